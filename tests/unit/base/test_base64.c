/*
 * test_base64.c - unit tests of base/base64
 *
 * Goal: the vectors of RFC 4648, every length comes back, nothing else is taken for base64.
 */
#include "base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
test_base64__vectors__as_in_the_rfc(void **state)
{
	static const char *const vectors[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" },
		{ "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" }, { "\xff\xfe\xfd", "//79" } };
	struct buf text;

	(void)state;
	buf_init(&text, 0);
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		buf_clear(&text);
		assert_int_equal(base64_encode(slice_str(vectors[i][0]), &text), ERR_OK);
		assert_true(slice_equal_str(buf_slice(&text), vectors[i][1]));
		buf_clear(&text);
		assert_int_equal(base64_decode(slice_str(vectors[i][1]), &text), ERR_OK);
		assert_true(slice_equal_str(buf_slice(&text), vectors[i][0]));
	}
	buf_done(&text);
}

static void
test_base64__every_length__comes_back(void **state)
{
	uint8_t bytes[300];
	struct buf text, back;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 37 + 11);
	buf_init(&text, 0);
	buf_init(&back, 0);
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		buf_clear(&text);
		buf_clear(&back);
		assert_int_equal(base64_encode(slice_make(bytes, len), &text), ERR_OK);
		assert_int_equal(base64_decode(buf_slice(&text), &back), ERR_OK);
		assert_true(slice_equal(buf_slice(&back), slice_make(bytes, len)));
	}
	buf_done(&text);
	buf_done(&back);
}

static void
test_base64_decode__something_else__is_refused(void **state)
{
	static const char *const bad[] = { "Z", "Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==",
		"Zm9v\n", "Zm9 ", "Zm-_", "=Zg=" };
	struct buf bytes;

	(void)state;
	buf_init(&bytes, 0);
	buf_add_str(&bytes, "x");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(base64_decode(slice_str(bad[i]), &bytes), ERR_SYNTAX);
		assert_int_equal(bytes.len, 1);
	}
	buf_done(&bytes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64__vectors__as_in_the_rfc),
		cmocka_unit_test(test_base64__every_length__comes_back),
		cmocka_unit_test(test_base64_decode__something_else__is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
