/*
 * test_mac.c - unit tests of base/mac
 *
 * Goal: it is SipHash-2-4. Method: vectors of its authors (key 00..0f, input 00, 00 01, ...).
 */
#include "base/mac.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
test_make__vectors_of_the_authors__match(void **state)
{
	static const struct {
		size_t len;
		uint64_t value;
	} vectors[] = {
		{ 0, UINT64_C(0x726fdb47dd0e0e31) },
		{ 1, UINT64_C(0x74f839c593dc67fd) },
		{ 8, UINT64_C(0x93f5f5799a932462) },
		{ 15, UINT64_C(0xa129ca6149be45e5) },
	};
	uint8_t bytes[MAC_KEY_SIZE];

	(void)state;
	for (uint8_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		assert_true(mac_make(bytes, slice_make(bytes, vectors[i].len)) ==
			    vectors[i].value);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_make__vectors_of_the_authors__match),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
