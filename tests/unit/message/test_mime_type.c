/*
 * test_mime_type.c - unit tests of message/mime_type
 *
 * Goal: what a part is, and its boundary, as readers of mail see it. Method: examples.
 */
#include "message/mime_type.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void
check(const char *value, enum mime_kind kind, const char *boundary)
{
	struct mime_type type;

	mime_type_parse(slice_str(value), &type);
	if (type.kind != kind)
		print_error("%s: %d\n", value, (int)type.kind);
	assert_int_equal(type.kind, kind);
	assert_true(slice_equal_str(slice_make(type.boundary, type.boundary_len), boundary));
}

static void
test_parse__kinds_and_boundaries(void **state)
{
	(void)state;
	check(" text/plain; charset=utf-8", MIME_TEXT, "");
	check("", MIME_TEXT, "");
	check("text", MIME_TEXT, "");
	check("image/png", MIME_OTHER, "");
	check("multipart/mixed; boundary=abc", MIME_MULTIPART, "abc");
	check("Multipart/Digest;\r\n\tBOUNDARY=\"a b\" ", MIME_DIGEST, "a b");
	check("multipart/mixed (x;boundary=no) ; charset=x; boundary = \"q\\\"; \" ; x", MIME_MULTIPART,
		"q\";");
	check("multipart/mixed; boundary=a/b=?; boundary=second", MIME_MULTIPART, "a/b=?");
	check("multipart/mixed; x=\"boundary=no;\"; boundary=yes", MIME_MULTIPART, "yes");
	check("multipart/mixed; boundary*0=a; boundary*1=b", MIME_MULTIPART, "");
	check("multipart/mixed; boundary=\"\"", MIME_MULTIPART, "");
	check("multipart/mixed; boundary", MIME_MULTIPART, "");
	check("multipart/mixed; (unclosed boundary=x", MIME_MULTIPART, "");
	check("message/rfc822", MIME_MESSAGE, "");
	check("message/partial; id=x", MIME_PIECE, "");
	check("message/delivery-status", MIME_OTHER, "");
	check("message/global", MIME_OTHER, "");
}

static void
test_parse__a_boundary_that_is_too_long__is_none(void **state)
{
	char value[400];
	struct mime_type type;
	int len = snprintf(value, sizeof(value), "multipart/mixed; boundary=%0*d", MIME_TYPE_BOUNDARY_MAX, 1);

	(void)state;
	mime_type_parse(slice_make(value, (size_t)len), &type);
	assert_int_equal(type.boundary_len, MIME_TYPE_BOUNDARY_MAX);
	len = snprintf(value, sizeof(value), "multipart/mixed; boundary=%0*d", MIME_TYPE_BOUNDARY_MAX + 1, 1);
	mime_type_parse(slice_make(value, (size_t)len), &type);
	assert_int_equal(type.boundary_len, 0);
}

static void
test_encoding__three_classes(void **state)
{
	(void)state;
	assert_int_equal(mime_type_encoding(SLICE_LIT(" 7bit")), MIME_7BIT);
	assert_int_equal(mime_type_encoding(SLICE_LIT("")), MIME_7BIT);
	assert_int_equal(mime_type_encoding(SLICE_LIT(" (x) 8BIT (y)")), MIME_8BIT);
	assert_int_equal(mime_type_encoding(SLICE_LIT("Binary\r\n")), MIME_8BIT);
	assert_int_equal(mime_type_encoding(SLICE_LIT("quoted-printable")), MIME_ENCODED);
	assert_int_equal(mime_type_encoding(SLICE_LIT("x-uuencode")), MIME_ENCODED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse__kinds_and_boundaries),
		cmocka_unit_test(test_parse__a_boundary_that_is_too_long__is_none),
		cmocka_unit_test(test_encoding__three_classes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
