#include "message/delay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
check(uint64_t us, unsigned decimals, const char *want)
{
	char text[DELAY_TEXT_SIZE];

	delay_format(text, us, decimals);
	assert_string_equal(text, want);
}

/* rules: J16 */
static void
test_examples_of_rule(void **state)
{
	(void)state;
	check(1110000000, 2, "1110");
	check(111000000, 2, "111");
	check(11100000, 2, "11");
	check(1110000, 2, "1.1");
	check(111000, 2, "0.11");
	check(11100, 2, "0.01");
	check(99600000, 2, "100");
	check(9960000, 2, "10");
	check(996000, 2, "1");
}

/* rules: J16 */
static void
test_edges(void **state)
{
	(void)state;
	check(0, 2, "0");
	check(9999, 2, "0");
	check(10000, 2, "0.01");
	check(500000, 2, "0.5");
	check(1, 6, "0.000001");
	check(1, 99, "0.000001");
	check(12345, 6, "0.012");
	check(999999, 0, "0");
	check(1500000, 0, "2");
	check(UINT64_MAX, 2, "18446744073709");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples_of_rule),
		cmocka_unit_test(test_edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
