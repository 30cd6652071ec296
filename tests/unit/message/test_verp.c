/*
 * test_verp.c - unit tests of variable envelope return paths
 *
 * Goal: addresses and refusals of rules V2 and V3. Method: tables.
 */
#include "message/verp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* rules: V3 */
static void
test_V3__address__names_sender_and_recipient(void **state)
{
	static const char *const cases[][4] = {
		{ "owner@o", "user@dom", "+=", "owner+user=dom@o" },
		{ "owner@o", "user", "-=", "owner-user@o" },
		{ "owner", "user@dom", "==", "owner=user=dom" },
		{ "a@b@o", "x@y@dom", "+-", "a@b+x@y-dom@o" },
	};
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_clear(&out);
		assert_int_equal(verp_address(slice_str(cases[i][0]), slice_str(cases[i][1]),
					 slice_str(cases[i][2]), &out), ERR_OK);
		assert_true(slice_equal_str(buf_slice(&out), cases[i][3]));
	}
	buf_done(&out);
	buf_init(&out, 10);
	assert_int_equal(verp_address(SLICE_LIT("owner@o"), SLICE_LIT("user@dom"),
				 SLICE_LIT("+="), &out), ERR_LIMIT);
	assert_int_equal(out.len, 0);
	buf_done(&out);
}

/* rules: V2 T74 */
static void
test_V2__delimiters__two_of_the_filter(void **state)
{
	struct slice filter = SLICE_LIT("-=+");

	(void)state;
	assert_null(verp_check(SLICE_LIT("+="), filter));
	assert_null(verp_check(SLICE_LIT("--"), filter));
	assert_string_equal(
		verp_check(SLICE_LIT("+"), filter), "bad VERP delimiter character count");
	assert_string_equal(
		verp_check(SLICE_LIT("+=="), filter), "bad VERP delimiter character count");
	assert_string_equal(
		verp_check(SLICE_LIT("#="), filter), "bad first VERP delimiter character");
	assert_string_equal(
		verp_check(SLICE_LIT("+#"), filter), "bad second VERP delimiter character");
	assert_non_null(verp_check(SLICE_LIT("+="), SLICE_LIT("")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_V3__address__names_sender_and_recipient),
		cmocka_unit_test(test_V2__delimiters__two_of_the_filter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
