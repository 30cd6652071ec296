/*
 * test_dsn.c - status codes, DSN parameters, xtext, UTF-8 and replies: grammar edges, injection
 */
#include "message/dsn.h"

#include "message/reply.h"
#include "message/utf8.h"
#include "message/xtext.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
test_status__grammar(void **state)
{
	(void)state;
	assert_true(dsn_status_valid(slice_str("2.0.0")));
	assert_true(dsn_status_valid(slice_str("5.123.999")));
	assert_false(dsn_status_valid(slice_str("5.1234.1")));
	assert_false(dsn_status_valid(slice_str("5.1.1000")));
	assert_false(dsn_status_valid(slice_str("3.1.1")));
	assert_false(dsn_status_valid(slice_str("5..1")));
	assert_false(dsn_status_valid(slice_str("5.1")));
	assert_false(dsn_status_valid(slice_str("5.1.")));
	assert_false(dsn_status_valid(slice_str("5.1.1 ")));
	assert_false(dsn_status_valid(slice_str("")));
	assert_int_equal(dsn_status_length(slice_str("4.7.10 text")), 6);
}

/* rules: N60 */
static void
test_notify__all_values(void **state)
{
	uint8_t notify = 0;

	(void)state;
	assert_int_equal(dsn_parse_notify(slice_str("never"), &notify), ERR_OK);
	assert_int_equal(notify, DSN_NOTIFY_NEVER);
	assert_int_equal(dsn_parse_notify(slice_str("SUCCESS,Delay,failure"), &notify), ERR_OK);
	assert_int_equal(notify, 14);
	notify = 77;
	assert_int_equal(dsn_parse_notify(slice_str("NEVER,DELAY"), &notify), ERR_SYNTAX);
	assert_int_equal(dsn_parse_notify(slice_str(""), &notify), ERR_SYNTAX);
	assert_int_equal(dsn_parse_notify(slice_str("DELAY,"), &notify), ERR_SYNTAX);
	assert_int_equal(dsn_parse_notify(slice_str(",DELAY"), &notify), ERR_SYNTAX);
	assert_int_equal(dsn_parse_notify(slice_str("DELAY FAILURE"), &notify), ERR_SYNTAX);
	assert_int_equal(notify, 77);
}

static void
expect_xtext(const char *text, bool utf8, enum err want, const char *plain)
{
	struct buf buf;

	buf_init(&buf, 0);
	buf_add_str(&buf, "x");
	assert_int_equal(xtext_decode(slice_str(text), utf8, &buf), want);
	assert_true(slice_equal_str(slice_from(buf_slice(&buf), 1), plain));
	buf_done(&buf);
}

/* RFC 6533 3 */
static void
test_xtext__address_beyond_ascii__is_coded_in_ascii(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 0);
	assert_int_equal(
		xtext_encode_utf8(SLICE_LIT("\xc3\xa4+b=\\ \xe2\x82\xac@\xf0\x9f\x98\x80.x"), &buf), ERR_OK);
	assert_true(slice_equal_str(
		buf_slice(&buf), "\\x{E4}\\x{2B}b\\x{3D}\\x{5C}\\x{20}\\x{20AC}@\\x{1F600}.x"));
	buf_clear(&buf);
	assert_int_equal(xtext_encode_utf8(SLICE_LIT("a\xff\xc3"), &buf), ERR_OK);
	assert_true(slice_equal_str(buf_slice(&buf), "a\\x{FF}\\x{C3}"));
	buf_done(&buf);
}

static void
test_xtext__decode(void **state)
{
	(void)state;
	expect_xtext("plain", false, ERR_OK, "plain");
	expect_xtext("a+2Bb+3Dc+20d", false, ERR_OK, "a+b=c d");
	expect_xtext("+2b", false, ERR_OK, "+");
	/* Line ends, NUL and DEL never come out. */
	expect_xtext("a+0Ab", false, ERR_SYNTAX, "");
	expect_xtext("a+0D+0Ab", false, ERR_SYNTAX, "");
	expect_xtext("+00", false, ERR_SYNTAX, "");
	expect_xtext("+7F", false, ERR_SYNTAX, "");
	expect_xtext("a=b", false, ERR_SYNTAX, "");
	expect_xtext("a b", false, ERR_SYNTAX, "");
	expect_xtext("a+", false, ERR_SYNTAX, "");
	expect_xtext("a+2", false, ERR_SYNTAX, "");
	expect_xtext("a+G0", false, ERR_SYNTAX, "");
	expect_xtext("+C3+A4", false, ERR_SYNTAX, "");
	expect_xtext("+C3+A4\xc3\xb6", true, ERR_OK, "\xc3\xa4\xc3\xb6");
	expect_xtext("+C3", true, ERR_SYNTAX, "");
	expect_xtext("+C2+85", true, ERR_SYNTAX, "");
}

static void
test_xtext__encode_all_bytes__decodes_back(void **state)
{
	struct buf text, plain;
	uint8_t bytes[95];

	(void)state;
	buf_init(&text, 0);
	buf_init(&plain, 0);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(32 + i);
	assert_int_equal(xtext_encode(slice_make(bytes, sizeof(bytes)), &text), ERR_OK);
	assert_int_equal(xtext_decode(buf_slice(&text), false, &plain), ERR_OK);
	assert_true(slice_equal(buf_slice(&plain), slice_make(bytes, sizeof(bytes))));
	buf_clear(&text);
	assert_int_equal(xtext_encode(slice_make("\n\0", 2), &text), ERR_OK);
	assert_true(slice_equal_str(buf_slice(&text), "+0A+00"));
	buf_done(&text);
	buf_done(&plain);
}

static void
test_xtext__full_buffer__unchanged(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 3);
	assert_int_equal(xtext_decode(slice_str("abcd"), false, &buf), ERR_LIMIT);
	assert_int_equal(buf.len, 0);
	assert_int_equal(xtext_encode(slice_str("a="), &buf), ERR_LIMIT);
	assert_int_equal(buf.len, 0);
	assert_int_equal(xtext_decode(slice_str("abc"), false, &buf), ERR_OK);
	buf_done(&buf);
}

static void
expect_orcpt(const char *text, enum err want, const char *plain)
{
	struct buf buf;

	buf_init(&buf, 0);
	assert_int_equal(dsn_parse_orcpt(slice_str(text), true, &buf), want);
	assert_true(slice_equal_str(buf_slice(&buf), plain));
	buf_done(&buf);
}

/* rules: N65 */
static void
test_orcpt_and_envid__edges(void **state)
{
	char text[DSN_ORCPT_MAX + 2];
	struct buf envid;

	(void)state;
	expect_orcpt("rfc822;a+2Bb@c.example", ERR_OK, "rfc822;a+b@c.example");
	expect_orcpt("rfc822;", ERR_SYNTAX, "");
	expect_orcpt(";a@b", ERR_SYNTAX, "");
	expect_orcpt("rfc822", ERR_SYNTAX, "");
	expect_orcpt("", ERR_SYNTAX, "");
	expect_orcpt("rfc 822;a@b", ERR_SYNTAX, "");
	expect_orcpt("rfc822;a+0D+0AX-Evil:+20y", ERR_SYNTAX, "");
	memset(text, 'a', sizeof(text));
	text[3] = ';';
	text[DSN_ORCPT_MAX + 1] = '\0';
	expect_orcpt(text, ERR_LIMIT, "");
	text[DSN_ORCPT_MAX] = '\0';
	expect_orcpt(text, ERR_OK, text);
	buf_init(&envid, 0);
	assert_int_equal(dsn_parse_envid(slice_str(""), &envid), ERR_SYNTAX);
	text[3] = 'a';
	assert_int_equal(dsn_parse_envid(slice_make(text, 101), &envid), ERR_LIMIT);
	assert_int_equal(dsn_parse_envid(slice_make(text, 100), &envid), ERR_OK);
	assert_int_equal(envid.len, 100);
	buf_done(&envid);
}

static void
test_utf8__edges(void **state)
{
	static const char *const good[] = { "", "a", "\xc2\xa0", "\xdf\xbf", "\xe0\xa0\x80",
		"\xed\x9f\xbf", "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf" };
	static const char *const bad[] = { "\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\x80",
		"\xc2\x9f", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80", "\xff", "a\xe2\x82", "\xc3(" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(utf8_valid(slice_str(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(utf8_valid(slice_str(bad[i])));
	assert_int_equal(utf8_cut(slice_str("a\xe2\x82\xac"), 3), 1);
	assert_int_equal(utf8_cut(slice_str("a\xe2\x82\xac"), 4), 4);
}

static void
test_reply__parse_and_format(void **state)
{
	struct reply reply;
	char status[DSN_STATUS_MAX + 1];
	char text[REPLY_TEXT_MAX + 20];
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	assert_int_equal(reply_parse(slice_str("550 5.1.1 no such user"), &reply), ERR_OK);
	assert_int_equal(reply.code, 550);
	assert_string_equal(reply.status, "5.1.1");
	assert_string_equal(reply.text, "no such user");
	assert_int_equal(reply_format(&reply, &out), ERR_OK);
	assert_true(slice_equal_str(buf_slice(&out), "550 5.1.1 no such user\r\n"));
	/* A status of another class than the code decides nothing. */
	assert_int_equal(reply_parse(slice_str("450 5.1.1 x\ry"), &reply), ERR_OK);
	assert_string_equal(reply.status, "");
	assert_string_equal(reply.text, "5.1.1 x y");
	reply_status(&reply, status);
	assert_string_equal(status, "4.0.0");
	assert_int_equal(reply_parse(slice_str("354"), &reply), ERR_OK);
	reply_status(&reply, status);
	assert_string_equal(status, "4.0.0");
	assert_int_equal(reply_parse(slice_str("250"), &reply), ERR_OK);
	assert_true(reply_is_success(&reply));
	assert_int_equal(reply_parse(slice_str("25"), &reply), ERR_SYNTAX);
	assert_int_equal(reply_parse(slice_str("150 x"), &reply), ERR_SYNTAX);
	assert_int_equal(reply_parse(slice_str("600 x"), &reply), ERR_SYNTAX);
	assert_int_equal(reply_parse(slice_str("2500 x"), &reply), ERR_SYNTAX);
	memset(text, 'a', sizeof(text));
	memcpy(text, "250 ", 4);
	assert_int_equal(reply_parse(slice_make(text, sizeof(text)), &reply), ERR_OK);
	assert_int_equal(strlen(reply.text), REPLY_TEXT_MAX);
	reply_set(&reply, 452, "4.3.1", "line\r\nbreak %d", 7);
	assert_string_equal(reply.text, "line  break 7");
	buf_done(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status__grammar),
		cmocka_unit_test(test_notify__all_values),
		cmocka_unit_test(test_xtext__address_beyond_ascii__is_coded_in_ascii),
		cmocka_unit_test(test_xtext__decode),
		cmocka_unit_test(test_xtext__encode_all_bytes__decodes_back),
		cmocka_unit_test(test_xtext__full_buffer__unchanged),
		cmocka_unit_test(test_orcpt_and_envid__edges),
		cmocka_unit_test(test_utf8__edges),
		cmocka_unit_test(test_reply__parse_and_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
