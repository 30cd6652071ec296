#include "smtp/smtp_reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Feeds pieces of `piece` bytes until something other than MORE and LINE comes out. */
static enum smtp_reply_step
feed(struct smtp_reply *reply, struct slice bytes, size_t piece)
{
	enum smtp_reply_step step = SMTP_REPLY_MORE;
	size_t at = 0;

	while (at < bytes.len) {
		size_t taken;

		step = smtp_reply_feed(reply, slice_head(slice_from(bytes, at), piece), &taken);
		at += taken;
		if (step == SMTP_REPLY_DONE || step == SMTP_REPLY_BAD)
			return step;
	}
	return step;
}

static void
check(const char *bytes, enum smtp_reply_step want, const char *text, const char *dsn)
{
	for (size_t piece = 1; piece < 40; piece += 38) {
		struct smtp_reply reply;

		smtp_reply_init(&reply);
		assert_int_equal(feed(&reply, slice_str(bytes), piece), want);
		if (want != SMTP_REPLY_DONE)
			continue;
		assert_true(slice_equal_str(smtp_reply_text(&reply), text));
		assert_string_equal(reply.dsn, dsn);
	}
}

static void
test_good(void **state)
{
	(void)state;
	check("250 2.1.5 Ok\r\n", SMTP_REPLY_DONE, "250 2.1.5 Ok", "2.1.5");
	check("250\r\n", SMTP_REPLY_DONE, "250", "2.0.0");
	check("550-5.7.1 a\r\n550 5.7.1 b\n", SMTP_REPLY_DONE, "550-5.7.1 a 550 5.7.1 b", "5.7.1");
	check("550 4.7.1 class differs\r\n", SMTP_REPLY_DONE, "550 4.7.1 class differs", "5.0.0");
	check("450 4.7 short\r\n", SMTP_REPLY_DONE, "450 4.7 short", "4.0.0");
	check("450 4.7.1111 long\r\n", SMTP_REPLY_DONE, "450 4.7.1111 long", "4.0.0");
	check("550 5.123.456\r\n", SMTP_REPLY_DONE, "550 5.123.456", "5.123.456");
	check("250 a\rb\x01\r\n", SMTP_REPLY_DONE, "250 a?b?", "2.0.0");
}

static void
test_bad(void **state)
{
	(void)state;
	check("\r\n", SMTP_REPLY_BAD, NULL, NULL);
	check("25\r\n", SMTP_REPLY_BAD, NULL, NULL);
	check("HTTP/1.1 400\r\n", SMTP_REPLY_BAD, NULL, NULL);
	check("650 x\r\n", SMTP_REPLY_BAD, NULL, NULL);
	check("150 x\r\n", SMTP_REPLY_BAD, NULL, NULL);
	check("2500 x\r\n", SMTP_REPLY_BAD, NULL, NULL);
	check("250-a\r\n251 b\r\n", SMTP_REPLY_BAD, NULL, NULL);
}

static void
test_nul_and_endless(void **state)
{
	struct smtp_reply reply;
	uint8_t line[SMTP_REPLY_LINE_MAX + 1];
	enum smtp_reply_step step = SMTP_REPLY_MORE;
	unsigned lines = 0;
	size_t taken;

	(void)state;
	smtp_reply_init(&reply);
	assert_int_equal(feed(&reply, SLICE_LIT("250 a\0b\r\n"), 99), SMTP_REPLY_BAD);
	assert_int_equal(feed(&reply, SLICE_LIT("250 ok\r\n"), 99), SMTP_REPLY_BAD);
	smtp_reply_init(&reply);
	memset(line, '2', sizeof(line));
	assert_int_equal(feed(&reply, slice_make(line, sizeof(line)), 7), SMTP_REPLY_BAD);
	smtp_reply_init(&reply);
	while (step != SMTP_REPLY_BAD && lines++ < 1000)
		step = smtp_reply_feed(&reply, SLICE_LIT("250-x\r\n"), &taken);
	assert_int_equal(lines, SMTP_REPLY_LINES_MAX + 1);
}

/* Two replies in one piece: the second begins where the first ended. */
static void
test_two_replies(void **state)
{
	struct slice bytes = SLICE_LIT("250 one\r\n550 5.1.1 two\r\n");
	struct smtp_reply reply;
	size_t taken;

	(void)state;
	smtp_reply_init(&reply);
	assert_int_equal(smtp_reply_feed(&reply, bytes, &taken), SMTP_REPLY_DONE);
	assert_int_equal(taken, 9);
	assert_int_equal(reply.code, 250);
	assert_int_equal(smtp_reply_feed(&reply, slice_from(bytes, 9), &taken), SMTP_REPLY_DONE);
	assert_int_equal(reply.code, 550);
	assert_true(slice_equal_str(smtp_reply_line(&reply), "5.1.1 two"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_nul_and_endless),
		cmocka_unit_test(test_two_replies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
