/*
 * test_encoding.c - unit tests of message/encoding
 *
 * Goal: quoted-printable and base64 as RFC 2045 wants them, however the bytes are cut. Method:
 * examples with the edges of a line; the way back is tested with test_downgrade.c.
 */
#include "message/encoding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* LF in `text` ends a line. */
static void
check(enum encoding_kind kind, struct slice text, bool wants_line, const char *wanted)
{
	struct encoding encoding = { .kind = kind };
	struct buf out;

	buf_init(&out, 0);
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] == '\n')
			encoding_newline(&encoding, &out);
		else
			encoding_put(&encoding, &out, slice_make(text.ptr + i, 1));
	encoding_end(&encoding, &out, wants_line);
	if (!slice_equal_str(buf_slice(&out), wanted))
		print_error("got %" SLICE_FMT "\n", SLICE_ARG(buf_slice(&out)));
	assert_true(slice_equal_str(buf_slice(&out), wanted));
	buf_done(&out);
}

#define TEN "0123456789"
#define SEVENTY TEN TEN TEN TEN TEN TEN TEN

static void
test_quoted__bytes_and_blanks__are_what_the_rfc_says(void **state)
{
	(void)state;
	check(ENCODING_QUOTED_PRINTABLE, SLICE_LIT("a=b \xe4\n"), false, "a=3Db =E4\r\n");
	check(ENCODING_QUOTED_PRINTABLE, SLICE_LIT("a \t\n \n\n"), false, "a =09\r\n=20\r\n\r\n");
	check(ENCODING_QUOTED_PRINTABLE, SLICE_LIT("\0\x7f\r."), false, "=00=7F=0D.");
	check(ENCODING_QUOTED_PRINTABLE, SLICE_LIT("x "), true, "x=20=\r\n");
	check(ENCODING_QUOTED_PRINTABLE, SLICE_LIT("x\n"), true, "x\r\n");
}

/* No line is longer than 76 bytes, and none begins like a boundary. */
static void
test_quoted__long_lines__are_broken_in_time(void **state)
{
	(void)state;
	check(ENCODING_QUOTED_PRINTABLE, SLICE_LIT(SEVENTY "12345\n"), false, SEVENTY "12345\r\n");
	check(ENCODING_QUOTED_PRINTABLE, SLICE_LIT(SEVENTY "123456\n"), false,
		SEVENTY "12345=\r\n6\r\n");
	check(ENCODING_QUOTED_PRINTABLE, SLICE_LIT(SEVENTY "123\xe4\n"), false,
		SEVENTY "123=\r\n=E4\r\n");
	check(ENCODING_QUOTED_PRINTABLE, SLICE_LIT(SEVENTY "12345--x\n"), false,
		SEVENTY "12345=\r\n=2D-x\r\n");
	check(ENCODING_QUOTED_PRINTABLE, SLICE_LIT("--x\n"), false, "=2D-x\r\n");
}

static void
test_base64__lines_of_57_bytes(void **state)
{
	(void)state;
	check(ENCODING_BASE64, SLICE_LIT("a\n"), true, "YQ0K\r\n");
	check(ENCODING_BASE64, SLICE_LIT(""), true, "");
	check(ENCODING_BASE64, SLICE_LIT(TEN TEN TEN TEN TEN "1234567"), false,
		"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkxMjM0NTY3\r\n");
	check(ENCODING_BASE64, SLICE_LIT(TEN TEN TEN TEN TEN "12345678"), false,
		"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkxMjM0NTY3\r\n"
		"OA==\r\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quoted__bytes_and_blanks__are_what_the_rfc_says),
		cmocka_unit_test(test_quoted__long_lines__are_broken_in_time),
		cmocka_unit_test(test_base64__lines_of_57_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
