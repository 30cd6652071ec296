/*
 * test_smtp_text.c - unit tests of smtp/smtp_text
 *
 * Goal: whatever the bytes and however they are cut, nothing on the wire ends a message early. Method:
 * examples, each as a whole and byte by byte.
 */
#include "smtp/smtp_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
check(struct slice in, struct slice wanted)
{
	for (size_t step = 1; step <= in.len; step++) {
		struct smtp_text state = { 0 };
		struct buf out;

		buf_init(&out, 0);
		for (size_t at = 0; at < in.len; at += step) {
			struct slice rest = slice_from(in, at);

			smtp_text_stuff(&state, &out, slice_head(rest, step < rest.len ? step : rest.len));
		}
		smtp_text_end(&state, &out);
		assert_true(slice_equal(buf_slice(&out), wanted));
		buf_done(&out);
	}
}

static void
test_stuff__dots_and_bare_line_ends__nothing_ends_the_message(void **state)
{
	(void)state;
	check(SLICE_LIT("a\r\nb\r\n"), SLICE_LIT("a\r\nb\r\n"));
	check(SLICE_LIT(".\r\n..x\r\na.\r\n"), SLICE_LIT("..\r\n...x\r\na.\r\n"));
	check(SLICE_LIT("a\n.\nMAIL FROM:<x@y.test>\n"), SLICE_LIT("a\r\n..\r\nMAIL FROM:<x@y.test>\r\n"));
	check(SLICE_LIT("a\r.\rb\r\r\n"), SLICE_LIT("a . b \r\n"));
	check(SLICE_LIT("a\r\n.\r"), SLICE_LIT("a\r\n.. \r\n"));
	check(SLICE_LIT("\r\n\r\nend"), SLICE_LIT("\r\n\r\nend\r\n"));
	check(SLICE_LIT("\n\r."), SLICE_LIT("\r\n .\r\n"));
}

static void
test_is_clean__only_what_needs_no_change__is(void **state)
{
	(void)state;
	assert_true(smtp_text_is_clean(SLICE_LIT("")));
	assert_true(smtp_text_is_clean(SLICE_LIT("a.\r\n\r\nb\r\n")));
	assert_false(smtp_text_is_clean(SLICE_LIT("a\r\n.\r\n")));
	assert_false(smtp_text_is_clean(SLICE_LIT(".a\r\n")));
	assert_false(smtp_text_is_clean(SLICE_LIT("a\nb\r\n")));
	assert_false(smtp_text_is_clean(SLICE_LIT("a\rb\r\n")));
	assert_false(smtp_text_is_clean(SLICE_LIT("a\r\nb")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stuff__dots_and_bare_line_ends__nothing_ends_the_message),
		cmocka_unit_test(test_is_clean__only_what_needs_no_change__is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
