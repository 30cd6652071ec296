/*
 * test_core.c - unit tests of the core as a whole: limits of the queue, time
 *
 * Method: the core on a bench with time by hand.
 */
#include "core_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const char *const plain[] = { NULL };

static int
start(void **state)
{
	static struct bench bench;

	bench_start(&bench, plain);
	*state = &bench;
	return 0;
}

static int
stop(void **state)
{
	bench_stop(*state);
	return 0;
}

/* --- queue_message_limit ---------------------------------------------------------------------- */

static void
test_limit__reached__refuses_new_mail_and_says_so_once(void **state)
{
	static const char *const tight[] = { "queue_message_limit=40", NULL };
	struct bench *bench = *state;
	uint64_t last = 0;

	bench_configure(bench, tight);
	for (int i = 0; i < 40; i++)
		last = bench_mail(bench, "s@x.test", "later@d.test");
	for (int i = 0; i < 3; i++) {
		(void)bench_offer(bench, "s@x.test", "later@d.test");
		assert_int_equal(bench->status, IPC_INTAKE_FULL);
		core_disk_free(bench->core, UINT64_C(1) << 40);
	}
	assert_int_equal(bench_messages(bench), 40);
	assert_int_equal(bench_logged(bench, "queue_message_limit"), 1);
	/* One in twenty must be gone: 38 are still too many, so that it does not flicker. */
	bench_command(bench, "delete", last);
	bench_command(bench, "delete", last - 1);
	(void)bench_offer(bench, "s@x.test", "later@d.test");
	assert_int_equal(bench->status, IPC_INTAKE_FULL);
	core_disk_free(bench->core, UINT64_C(1) << 40);
	assert_int_equal(bench_logged(bench, "accepted again"), 0);
	bench_command(bench, "delete", last - 2);
	core_disk_free(bench->core, UINT64_C(1) << 40);
	assert_int_equal(bench_logged(bench, "accepted again"), 1);
	(void)bench_mail(bench, "s@x.test", "later@d.test");
}

static void
test_limit__reached__reports_are_made_all_the_same(void **state)
{
	static const char *const tight[] = { "queue_message_limit=1", NULL };
	struct bench *bench = *state;

	bench_configure(bench, tight);
	(void)bench_mail(bench, "s@x.test", "no@d.test");
	assert_int_equal(bench->report_count, 1);
	assert_int_equal(bench_messages(bench), 0);
}

static void
test_limit__raised_by_a_reload__ends_the_refusal(void **state)
{
	static const char *const tight[] = { "queue_message_limit=1", NULL };
	struct bench *bench = *state;

	bench_configure(bench, tight);
	(void)bench_mail(bench, "s@x.test", "later@d.test");
	(void)bench_offer(bench, "s@x.test", "later@d.test");
	assert_int_equal(bench->status, IPC_INTAKE_FULL);
	bench_configure(bench, plain);
	(void)bench_mail(bench, "s@x.test", "later@d.test");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_limit__reached__refuses_new_mail_and_says_so_once, start, stop),
		cmocka_unit_test_setup_teardown(
			test_limit__reached__reports_are_made_all_the_same, start, stop),
		cmocka_unit_test_setup_teardown(
			test_limit__raised_by_a_reload__ends_the_refusal, start, stop),
	};

	return cmocka_run_group_tests_name("core", tests, NULL, NULL);
}
