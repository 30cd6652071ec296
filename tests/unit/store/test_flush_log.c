/*
 * test_flush_log.c - unit tests of the ring of flushes: percentiles by hand, nothing older than it
 */
#include "store/flush_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
test_get__nothing_was_flushed__is_zero(void **state)
{
	struct flush_log log = { 0 };
	struct flush_summary summary;

	(void)state;
	flush_log_get(&log, &summary);
	assert_true(summary.max_us == 0 && summary.p50_us == 0 && summary.bytes == 0);
}

static void
test_get__one_flush__is_all_of_them(void **state)
{
	struct flush_log log = { 0 };
	struct flush_summary summary;

	(void)state;
	flush_log_add(&log, 7000999, 3, 8192);
	flush_log_get(&log, &summary);
	assert_int_equal(summary.p50_us, 7000);
	assert_int_equal(summary.p99_us, 7000);
	assert_int_equal(summary.max_us, 7000);
	assert_true(summary.transactions == 3 && summary.bytes == 8192);
}

static void
test_get__a_hundred__has_each_at_its_place(void **state)
{
	struct flush_log log = { 0 };
	struct flush_summary summary;

	(void)state;
	for (uint64_t i = 100; i > 0; i--)
		flush_log_add(&log, i * 1000, i % 2, 4096);
	flush_log_get(&log, &summary);
	assert_int_equal(summary.p50_us, 50);
	assert_int_equal(summary.p99_us, 99);
	assert_int_equal(summary.max_us, 100);
	assert_true(summary.transactions == 0.5);
}

static void
test_get__more_than_the_ring__forgets_the_oldest(void **state)
{
	static struct flush_log log;
	struct flush_summary summary;

	(void)state;
	flush_log_add(&log, UINT64_MAX, 1, UINT64_MAX);
	flush_log_get(&log, &summary);
	assert_int_equal(summary.max_us, UINT32_MAX);
	for (int i = 0; i < FLUSH_LOG_MAX; i++)
		flush_log_add(&log, 5000, 1, 4096);
	flush_log_get(&log, &summary);
	assert_int_equal(summary.max_us, 5);
	assert_true(summary.bytes == 4096);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get__nothing_was_flushed__is_zero),
		cmocka_unit_test(test_get__one_flush__is_all_of_them),
		cmocka_unit_test(test_get__a_hundred__has_each_at_its_place),
		cmocka_unit_test(test_get__more_than_the_ring__forgets_the_oldest),
	};

	return cmocka_run_group_tests_name("flush_log", tests, NULL, NULL);
}
