/*
 * test_lease.c - unit tests of qmgr/lease and qmgr/session: workers that hang, die or are not there
 *
 * Goal: a transaction is not with its worker for longer than daemon_timeout, and goes out again only
 * when that one is dead; a role without process keeps only its own mail waiting.
 * Method: the core on a bench with time by hand. Each bench has its own daemon_timeout.
 */
#include "core_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct bench bench;

/* rules: X5 Y19 T55 */
static void
test_X5__no_result_in_daemon_timeout__worker_is_ended_and_its_mail_goes_again(void **state)
{
	static const char *const overrides[] = { "daemon_timeout=100s", NULL };

	(void)state;
	bench_start(&bench, overrides);
	(void)bench_mail(&bench, "s@x.test", "wait@d.test");
	bench_pass(&bench, 98);
	assert_int_equal(bench.kill_count, 0);
	bench_pass(&bench, 4);
	assert_int_equal(bench.kill_count, 1);
	assert_int_equal(bench_logged(&bench, ": timeout receiving delivery status from process "), 1);
	/* Until it is dead it may still be delivering. */
	bench_pass(&bench, 50);
	assert_int_equal(bench_tried(&bench, "wait@d.test"), 1);
	assert_int_equal(bench.kill_count, 1);
	bench_worker_dies(&bench);
	bench_worker_comes(&bench);
	assert_int_equal(bench_tried(&bench, "wait@d.test"), 2);
	bench_answer(&bench, IPC_OUTCOME_DELIVERED, false);
	assert_int_equal(bench_messages(&bench), 0);
	bench_stop(&bench);
}

/* rules: X5 */
static void
test_X5__other_transactions_of_the_worker__have_their_time_and_no_new_ones_come(void **state)
{
	static const char *const overrides[] = { "daemon_timeout=100s", NULL };

	(void)state;
	bench_start(&bench, overrides);
	(void)bench_mail(&bench, "s@x.test", "wait@d.test");
	bench_pass(&bench, 60);
	(void)bench_mail(&bench, "s@x.test", "wait@e.test");
	bench_pass(&bench, 50);
	assert_int_equal(bench_logged(&bench, ": timeout receiving delivery status from process "), 1);
	assert_int_equal(bench.kill_count, 0);
	(void)bench_mail(&bench, "s@x.test", "ok@e.test");
	assert_int_equal(bench_tried(&bench, "ok@e.test"), 0);
	bench_pass(&bench, 60);
	assert_int_equal(bench.kill_count, 1);
	bench_stop(&bench);
}

/* rules: X1 X3 X4 T27 B8 */
static void
test_X1__role_without_process__only_its_transport_waits(void **state)
{
	static const char *const overrides[] = { "mydestination=here.test", NULL };

	(void)state;
	bench_start(&bench, overrides);
	(void)bench_mail(&bench, "s@x.test", "ok1@here.test");
	(void)bench_mail(&bench, "s@x.test", "ok2@d.test");
	assert_int_equal(bench_tried(&bench, "ok2@d.test"), 1);
	bench_pass(&bench, 3);
	assert_int_equal(bench_logged(&bench, "status=deferred"), 0);
	bench_pass(&bench, 3);
	assert_int_equal(bench_logged(&bench, "to=<ok1@here.test>"), 1);
	assert_int_equal(bench_logged(&bench, "dsn=4.3.0, status=deferred (mail transport unavailable)"), 1);
	assert_int_equal(bench_logged(&bench, "no process that delivers by transport local"), 1);
	/* As long as transport_retry_time says its mail is deferred at once, and nothing else is. */
	bench_pass(&bench, 40);
	(void)bench_mail(&bench, "s@x.test", "ok3@here.test ok4@d.test");
	assert_int_equal(bench_logged(&bench, "to=<ok3@here.test>"), 1);
	assert_int_equal(bench_tried(&bench, "ok4@d.test"), 1);
	/* Then it is tried again; what came meanwhile has not made it longer. */
	bench_pass(&bench, 22);
	(void)bench_mail(&bench, "s@x.test", "ok5@here.test");
	assert_int_equal(bench_logged(&bench, "to=<ok5@here.test>"), 0);
	bench_pass(&bench, 6);
	assert_int_equal(bench_logged(&bench, "to=<ok5@here.test>"), 1);
	assert_int_equal(bench_logged(&bench, "no process that delivers by transport local"), 2);
	bench_stop(&bench);
}

/* After a start, too, nobody has tried it yet; but it does not wait for ever. */
static void
test_expiry__role_without_process__returns_mail_only_when_it_stays_away(void **state)
{
	static const char *const overrides[] = { "mydestination=here.test",
		"maximal_queue_lifetime=1s", "minimal_backoff_time=10s",
		"maximal_backoff_time=200s", NULL };

	(void)state;
	bench_start(&bench, overrides);
	(void)bench_mail(&bench, "s@x.test", "ok@here.test");
	bench_pass(&bench, 190);
	assert_in_range(bench_logged(&bench, "(mail transport unavailable)"), 2, 30);
	assert_int_equal(bench_logged(&bench, "status=expired"), 0);
	bench_pass(&bench, 260);
	assert_int_equal(bench_logged(&bench, "status=expired"), 1);
	bench_stop(&bench);
}

/* rules: X1 */
static void
test_X1__worker_that_is_there_again_in_a_moment__nothing_is_deferred(void **state)
{
	static const char *const overrides[] = { NULL };

	(void)state;
	bench_start(&bench, overrides);
	bench_worker_dies(&bench);
	(void)bench_mail(&bench, "s@x.test", "ok@d.test");
	bench_pass(&bench, 4);
	bench_worker_comes(&bench);
	assert_int_equal(bench_tried(&bench, "ok@d.test"), 1);
	bench_worker_dies(&bench);
	(void)bench_mail(&bench, "s@x.test", "ok2@d.test");
	bench_pass(&bench, 4);
	assert_int_equal(bench_logged(&bench, "status=deferred"), 0);
	bench_stop(&bench);
}

/* rules: X9a */
static void
test_suspect__kills_two_workers_of_its_own__is_held_until_released(void **state)
{
	static const char *const overrides[] = { NULL };
	uint64_t id;

	(void)state;
	bench_start(&bench, overrides);
	id = bench_mail(&bench, "s@x.test", "wait-k@d.test");
	bench_worker_dies(&bench);
	bench_worker_comes(&bench);
	assert_int_equal(bench.solo_tried, 1);
	/* Others go on, to the same site too. */
	(void)bench_mail(&bench, "s@x.test", "ok@d.test");
	assert_int_equal(bench_messages(&bench), 1);
	bench_solo_dies(&bench);
	assert_int_equal(bench.solo_tried, 2);
	bench_solo_dies(&bench);
	assert_int_equal(bench.solo_tried, 2);
	assert_int_equal(bench_logged(&bench, ": delivery process died twice; put on hold"), 1);
	bench_restart(&bench);
	bench_pass(&bench, 10000);
	assert_int_equal(bench_tried(&bench, "wait-k@d.test"), 3);
	/* Whoever releases it has it tried alone. */
	bench_command(&bench, "release", id);
	assert_int_equal(bench.solo_tried, 3);
	bench_answer(&bench, IPC_OUTCOME_DEFERRED, false);
	/* A result says that it is innocent. */
	bench_pass(&bench, 5000);
	assert_int_equal(bench_tried(&bench, "wait-k@d.test"), 5);
	assert_int_equal(bench.solo_tried, 3);
	bench_stop(&bench);
}

/* rules: X9a */
static void
test_suspect__its_site_is_not_there__stays_suspect(void **state)
{
	static const char *const overrides[] = { NULL };

	(void)state;
	bench_start(&bench, overrides);
	(void)bench_mail(&bench, "s@x.test", "wait-k@d.test");
	bench.is_down = true;
	bench_worker_dies(&bench);
	bench_worker_comes(&bench);
	assert_int_equal(bench_logged(&bench, "status=deferred"), 1);
	bench.is_down = false;
	bench_pass(&bench, 1000);
	assert_int_equal(bench.solo_tried, 1);
	bench_stop(&bench);
}

/*
 * The clock was set back while it was tried, so it is tried once more before it is returned: that is
 * done alone, too.
 *
 * rules: X9a
 */
static void
test_suspect__tried_again_before_it_is_returned__is_alone(void **state)
{
	static const char *const overrides[] = { "maximal_queue_lifetime=5s", NULL };

	(void)state;
	bench_start(&bench, overrides);
	(void)bench_mail(&bench, "s@x.test", "wait-k@d.test wait@e.test");
	bench.is_down = true;
	bench_worker_dies(&bench);
	bench_worker_comes(&bench);
	assert_int_equal(bench.solo_tried, 1);
	bench.now.wall.us -= 100 * US_PER_S;
	bench_pass(&bench, 120);
	bench_answer(&bench, IPC_OUTCOME_DEFERRED, false);
	assert_int_equal(bench_logged(&bench, "status=expired"), 0);
	assert_int_equal(bench_tried(&bench, "wait@e.test"), 3);
	assert_int_equal(bench.solo_tried, 2);
	bench_answer(&bench, IPC_OUTCOME_DEFERRED, false);
	assert_int_equal(bench_logged(&bench, "status=expired"), 1);
	bench_stop(&bench);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_X5__no_result_in_daemon_timeout__worker_is_ended_and_its_mail_goes_again),
		cmocka_unit_test(
			test_X5__other_transactions_of_the_worker__have_their_time_and_no_new_ones_come),
		cmocka_unit_test(
			test_expiry__role_without_process__returns_mail_only_when_it_stays_away),
		cmocka_unit_test(test_X1__role_without_process__only_its_transport_waits),
		cmocka_unit_test(test_X1__worker_that_is_there_again_in_a_moment__nothing_is_deferred),
		cmocka_unit_test(test_suspect__kills_two_workers_of_its_own__is_held_until_released),
		cmocka_unit_test(test_suspect__its_site_is_not_there__stays_suspect),
		cmocka_unit_test(test_suspect__tried_again_before_it_is_returned__is_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
