/*
 * test_stats.c - unit tests of sim/stats
 *
 * Goal: quantiles are right to 4 %, Jain's index as defined, a course of any length fits. Method:
 * known distributions.
 */
#include "sim/stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
test_quantile__even_delays__within_four_percent(void **state)
{
	static struct delays delays;

	(void)state;
	assert_int_equal(delays_quantile_ns(&delays, 500), 0);
	for (uint64_t i = 1; i <= 100000; i++)
		delays_add(&delays, i * 1000);
	for (unsigned permille = 1; permille <= 1000; permille++) {
		uint64_t exact = (uint64_t)permille * 100 * 1000;
		uint64_t told = delays_quantile_ns(&delays, permille);

		assert_in_range(told, exact, exact + exact / 25);
	}
	assert_int_equal(delays_quantile_ns(&delays, 1000), 100000000);
}

static void
test_quantile__largest_value__counted(void **state)
{
	static struct delays delays;

	(void)state;
	delays_add(&delays, UINT64_MAX);
	delays_add(&delays, 0);
	assert_int_equal(delays_quantile_ns(&delays, 1000), UINT64_MAX);
	assert_int_equal(delays_quantile_ns(&delays, 500), 0);
}

static void
test_jain__equal_and_unequal__one_and_less(void **state)
{
	struct sender senders[4] = { { 2, 20 }, { 1, 10 }, { 3, 30 }, { 0, 0 } };

	(void)state;
	assert_true(stats_jain(senders, 4) > 0.999999);
	senders[0].delay_ns = 0;
	senders[1].delay_ns = 0;
	/* One of three has all of it: 1/3. */
	assert_true(stats_jain(senders, 4) > 0.3333 && stats_jain(senders, 4) < 0.3334);
	assert_true(stats_jain(senders, 0) > 0.999999);
}

static void
test_course__more_points_than_fit__every_second_stays(void **state)
{
	static struct course course = { .step_ns = 10 };

	(void)state;
	for (uint64_t i = 0; i < 5000; i++) {
		struct point point = { .at_ns = i };

		course_add(&course, &point);
		assert_true(course.count <= COURSE_POINTS);
	}
	for (uint32_t i = 1; i < course.count; i++)
		assert_true(course.points[i].at_ns > course.points[i - 1].at_ns);
	assert_true(course.step_ns > 10);
	assert_int_equal(course.points[course.count - 1].at_ns, 4999);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quantile__even_delays__within_four_percent),
		cmocka_unit_test(test_quantile__largest_value__counted),
		cmocka_unit_test(test_jain__equal_and_unequal__one_and_less),
		cmocka_unit_test(test_course__more_points_than_fit__every_second_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
