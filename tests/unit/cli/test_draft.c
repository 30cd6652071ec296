/*
 * test_draft.c - unit tests of cli/draft and cli/input: what sendmail makes of its standard input
 *
 * Goal: headers are found and cleaned wherever the input is cut; a lone dot ends the message only without
 * -i. Method: examples, every one also fed byte by byte.
 */
#include "cli/draft.h"

#include "cli/input.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
assert_slice(struct slice got, const char *wanted)
{
	if (!slice_equal_str(got, wanted))
		fail_msg("\"%.*s\" instead of \"%s\"", (int)got.len, (const char *)got.ptr, wanted);
}

/* Parses, and again with growing input: the first answer must be the same. */
static void
check(const char *input, const char *head, const char *recipients, const char *body)
{
	struct slice whole = slice_str(input);

	for (size_t len = 0; len <= whole.len; len++) {
		struct draft draft;
		enum err err;

		draft_init(&draft);
		err = draft_parse(&draft, slice_head(whole, len), len == whole.len);
		if (err == ERR_AGAIN) {
			assert_true(len < whole.len);
			draft_done(&draft);
			continue;
		}
		assert_int_equal(err, ERR_OK);
		assert_slice(buf_slice(&draft.head), head);
		assert_slice(buf_slice(&draft.recipients), recipients);
		assert_slice(slice_from(whole, draft.used), body);
		draft_done(&draft);
	}
}

static void
test_draft_parse__header__is_cleaned(void **state)
{
	(void)state;
	check("To: a@b\nSubject: s\n\nbody\n", "To: a@b\nSubject: s\n\n", " a@b\n,", "body\n");
	check("To: a\r\nBcc: b,\r\n c\r\nCC : d\r\n\r\nbody", "To: a\r\nCC : d\r\n\n",
		" a\r\n, b,\r\n c\r\n, d\r\n,", "body");
	check("From me Thu\nReturn-Path: <x>\nContent-Length: 9\nX: y\n\n", "X: y\n\n", "", "");
	check("To: a\nResent-To: b\nResent-Bcc: c\n\n", "To: a\nResent-To: b\n\n", " b\n, c\n,", "");
}

static void
test_draft_parse__no_header__gets_an_empty_line(void **state)
{
	(void)state;
	check("", "\n", "", "");
	check("\n", "\n", "", "");
	check("hello\nTo: x\n", "\n", "", "hello\nTo: x\n");
	check(" hello\n", "\n", "", " hello\n");
	check("\nTo: x\n", "\n", "", "To: x\n");
	check("A: b\nbody\n", "A: b\n\n", "", "body\n");
	check("To: x", "To: x\n\n", " x,", "");
	check(": x\n", "\n", "", ": x\n");
	check("a b: x\n", "\n", "", "a b: x\n");
}

static void
test_draft_parse__long_line_of_text__is_no_header(void **state)
{
	uint8_t text[3000];
	struct draft draft;

	(void)state;
	memset(text, 'x', sizeof(text));
	draft_init(&draft);
	assert_int_equal(draft_parse(&draft, slice_make(text, 999), false), ERR_AGAIN);
	assert_int_equal(draft_parse(&draft, slice_make(text, 3000), false), ERR_OK);
	assert_int_equal(draft.used, 0);
	assert_slice(buf_slice(&draft.head), "\n");
	draft_done(&draft);
}

static void
check_input(const char *bytes, bool dot_ends, const char *wanted)
{
	for (int by_one = 0; by_one < 2; by_one++) {
		struct input input = { .fd = -1, .dot_ends = dot_ends };
		struct slice rest = slice_str(bytes);
		struct buf content;

		buf_init(&content, 0);
		while (rest.len > 0) {
			size_t len = by_one ? 1 : rest.len;

			assert_int_equal(
				input_feed(&input, slice_head(rest, len), &content), ERR_OK);
			rest = slice_from(rest, len);
		}
		assert_int_equal(input_finish(&input, &content), ERR_OK);
		assert_slice(buf_slice(&content), wanted);
		buf_done(&content);
	}
}

static void
test_input_feed__lone_dot__ends_only_without_i(void **state)
{
	(void)state;
	check_input("a\n.\nb\n", true, "a\n");
	check_input("a\n.\nb\n", false, "a\n.\nb\n");
	check_input("a\r\n.\r\nb\r\n", true, "a\r\n");
	check_input(".\nx", true, "");
	check_input("..\n.x\n.\rx\na.\n", true, "..\n.x\n.\rx\na.\n");
	check_input("a\n.", true, "a\n.");
	check_input("a\n.\r", true, "a\n.\r");
	check_input("", true, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_draft_parse__header__is_cleaned),
		cmocka_unit_test(test_draft_parse__no_header__gets_an_empty_line),
		cmocka_unit_test(test_draft_parse__long_line_of_text__is_no_header),
		cmocka_unit_test(test_input_feed__lone_dot__ends_only_without_i),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
