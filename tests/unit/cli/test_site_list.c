/*
 * test_site_list.c - unit tests of cli/site_list
 *
 * Goal: a site is one line that the eye finds again, its trouble stands below. Method: examples.
 */
#include "cli/site_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void
assert_text(struct buf *text, const char *wanted)
{
	const char *got;

	assert_int_equal(buf_cstr(text, &got), ERR_OK);
	assert_string_equal(got, wanted);
}

static void
test_site_list__nothing__says_so(void **state)
{
	struct buf text;

	(void)state;
	buf_init(&text, 0);
	assert_int_equal(site_list_end(0, &text), ERR_OK);
	assert_text(&text, "No site has mail or is in trouble\n");
	buf_done(&text);
}

static void
test_site_list__sites__have_a_line_and_their_trouble(void **state)
{
	uint64_t count = 0;
	struct buf text;

	(void)state;
	buf_init(&text, 0);
	assert_int_equal(site_list_add(&count,
				 SLICE_LIT("{\"transport\":\"local\",\"name\":\"you\",\"state\":"
					   "\"ready\",\"limit\":2,\"busy\":1,\"waiting\":3,"
					   "\"sessions\":1,\"parked\":0}"),
				 &text),
		ERR_OK);
	assert_int_equal(site_list_add(&count,
				 SLICE_LIT("{\"transport\":\"smtp\",\"name\":\"b\\u001b.test\","
					   "\"state\":\"dead\",\"limit\":5,\"parked\":5000,"
					   "\"reason\":\"refused\",\"next_probe_s\":34,"
					   "\"slowed_s\":600,\"slowed_to_per_hour\":60,"
					   "\"suspended_s\":7200,\"because\":\"operator\"}"),
				 &text),
		ERR_OK);
	assert_int_equal(site_list_end(count, &text), ERR_OK);
	assert_text(&text,
		"--State-- -Waiting -Parked- -Busy/Limit Sessions --Site (Transport)------\n"
		"ready            3        0     1/2            1 you (local)\n"
		"dead             0     5000     0/5            0 b?.test (smtp)\n"
		"           (refused)\n"
		"           (operator)\n"
		"           (next probe in 34 s)\n"
		"           (suspended for 2 h)\n"
		"           (slowed to 60/h)\n"
		"           (slowed for 10 min)\n");
	buf_done(&text);
}

static void
test_site_list__no_object__is_refused(void **state)
{
	uint64_t count = 0;
	struct buf text;

	(void)state;
	buf_init(&text, 0);
	assert_int_equal(site_list_add(&count, SLICE_LIT("nonsense"), &text), ERR_SYNTAX);
	assert_int_equal(site_list_add(&count, SLICE_LIT("[]"), &text), ERR_SYNTAX);
	assert_int_equal(count, 0);
	buf_done(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_site_list__nothing__says_so),
		cmocka_unit_test(test_site_list__sites__have_a_line_and_their_trouble),
		cmocka_unit_test(test_site_list__no_object__is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
