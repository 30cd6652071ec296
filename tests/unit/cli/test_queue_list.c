/*
 * test_queue_list.c - unit tests of cli/queue_list and cli/json_text
 *
 * Goal: mailq's text is byte for byte what scripts parse (rules O20 to O27). Method: examples.
 */
#include "cli/queue_list.h"

#include "cli/json_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static void
assert_text(struct buf *text, const char *wanted)
{
	const char *got;

	assert_int_equal(buf_cstr(text, &got), ERR_OK);
	assert_string_equal(got, wanted);
}

/* rules: O20 */
static void
test_queue_list__empty__says_so(void **state)
{
	struct queue_list list = { .null_sender = "MAILER-DAEMON" };
	struct buf text;

	(void)state;
	buf_init(&text, 0);
	assert_int_equal(queue_list_add(&list, SLICE_LIT("{\"done\": 0}"), &text), ERR_OK);
	assert_int_equal(queue_list_add(&list, SLICE_LIT(" "), &text), ERR_OK);
	assert_int_equal(queue_list_end(&list, &text), ERR_OK);
	assert_text(&text, "Mail queue is empty\n");
	buf_done(&text);
}

/* rules: K34 O21 O22 O23 O24 O25 O26 O27 O30 */
static void
test_queue_list__messages__have_their_columns(void **state)
{
	struct queue_list list = { .null_sender = "MAILER-DAEMON" };
	struct buf text;

	(void)state;
	buf_init(&text, 0);
	assert_int_equal(
		queue_list_add(&list,
			SLICE_LIT("{\"queue_name\": \"deferred\", \"queue_id\": \"4Zabcdefghz1\","
				  " \"arrival_time\": 1700000000, \"message_size\": 1500,"
				  " \"forced_expire\": false, \"sender\": \"a@b.test\","
				  " \"recipients\": [{\"address\": \"x@y.test\", \"delay_reason\":"
				  " \"host gone\"}, {\"address\": \"z@y.test\", \"delay_reason\":"
				  " \"host gone\"}, {\"address\": \"q@y.test\"}]}"),
			&text),
		ERR_OK);
	assert_int_equal(
		queue_list_add(&list,
			SLICE_LIT("{\"queue_name\": \"hold\", \"queue_id\": \"4Zabcdefghz2\","
				  " \"arrival_time\": 1700000000, \"message_size\": 600,"
				  " \"forced_expire\": true, \"sender\": \"\", \"recipients\":"
				  " [{\"address\": \"w\\u001b@y.test\"}], \"new\": [1]}"),
			&text),
		ERR_OK);
	assert_int_equal(queue_list_end(&list, &text), ERR_OK);
	assert_text(&text,
		"----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n"
		"4Zabcdefghz1          1500 Tue Nov 14 22:13:20 a@b.test\n"
		"                                                                  (host gone)\n"
		"                                               x@y.test\n"
		"                                               z@y.test\n"
		"                                                         (reason unavailable)\n"
		"                                               q@y.test\n"
		"\n"
		"4Zabcdefghz2!#         600 Tue Nov 14 22:13:20 MAILER-DAEMON\n"
		"                                               w?@y.test\n"
		"\n"
		"-- 2 Kbytes in 2 Requests.\n");
	buf_done(&text);
}

/* rules: O23 O27 */
static void
test_queue_list__one_active_message__is_starred(void **state)
{
	struct queue_list list = { .null_sender = "MAILER-DAEMON" };
	struct buf text;

	(void)state;
	buf_init(&text, 0);
	assert_int_equal(
		queue_list_add(&list,
			SLICE_LIT("{\"queue_name\": \"active\", \"queue_id\": \"4Z\", \"sender\": \"a\"}"),
			&text),
		ERR_OK);
	assert_int_equal(queue_list_end(&list, &text), ERR_OK);
	assert_text(&text,
		"----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n"
		"4Z*                      0 Thu Jan  1 00:00:00 a\n"
		"\n"
		"-- 0 Kbytes in 1 Request.\n");
	assert_int_equal(queue_list_add(&list, SLICE_LIT("nonsense"), &text), ERR_SYNTAX);
	assert_int_equal(queue_list_add(&list, SLICE_LIT("[]"), &text), ERR_SYNTAX);
	buf_done(&text);
}

static void
test_json_text__nested__is_indented(void **state)
{
	struct buf text;

	(void)state;
	buf_init(&text, 0);
	assert_int_equal(
		json_text_format(SLICE_LIT("{\"a\": 1, \"content\": \"x\\r\\ny\", \"b\": [{\"c\": "
					   "\"d\\n\", \"e\": true}, 2.5], \"f\": {\"g\": null}}"),
			"content", &text),
		ERR_OK);
	assert_text(&text, "a: 1\nb:\n  -\n    c: d?\n    e: yes\n  - 2.5\nf:\n  g: -\n\nx\r\ny");
	assert_int_equal(json_text_format(SLICE_LIT("[1]"), NULL, &text), ERR_SYNTAX);
	buf_done(&text);
}

static void
test_json_text__numbers__have_the_units_of_their_names(void **state)
{
	struct buf text;

	(void)state;
	setenv("TZ", "UTC", 1);
	tzset();
	buf_init(&text, 0);
	assert_int_equal(json_text_format(SLICE_LIT("{\"a_bytes\": 5, \"b_bytes\": 335544320, "
						    "\"written_mail\": 2576, \"c_us\": 349, "
						    "\"d_us\": 32333, \"e_s\": 12, \"f_s\": 7500, "
						    "\"g_time\": 1795725051, \"h_at\": 0, "
						    "\"count\": 2576}"),
				 NULL, &text),
		ERR_OK);
	assert_text(&text, "a_bytes: 5 B\nb_bytes: 320 MiB\nwritten_mail: 2.516 KiB\nc_us: 349 us\n"
			   "d_us: 32.3 ms\ne_s: 12 s\nf_s: 2.08 h\n"
			   "g_time: Thu Nov 26 20:30:51 2026\nh_at: -\ncount: 2576\n");
	buf_done(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_queue_list__empty__says_so),
		cmocka_unit_test(test_queue_list__messages__have_their_columns),
		cmocka_unit_test(test_queue_list__one_active_message__is_starred),
		cmocka_unit_test(test_json_text__nested__is_indented),
		cmocka_unit_test(test_json_text__numbers__have_the_units_of_their_names),
	};

	if (setenv("TZ", "UTC0", 1) < 0)
		return 1;
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
