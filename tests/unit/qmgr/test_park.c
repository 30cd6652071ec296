/*
 * test_park.c - unit tests of mail that waits for a dead site: parked, probed, woken
 *
 * Goal: a site that comes back has all its mail soon after the next probe, and what waits costs
 * nothing until then. Method: the core on a bench with a site that can be down.
 */
#include "core_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { MAIL = 40 };

/* One failure kills (W11): with a larger window each would be forgotten with its message (W16). */
static const char *const classic[] = { "scheduler_concurrency_policy=classic",
	"initial_destination_concurrency=1", NULL };

/* The site dies, and all this mail waits for it. */
static void
mail_to_dead_site(struct bench *bench)
{
	char address[32];

	bench->is_down = true;
	for (int i = 0; i < MAIL; i++) {
		(void)snprintf(address, sizeof(address), "ok%d@d.test", i);
		(void)bench_mail(bench, "s@x.test", address);
	}
	assert_int_equal(bench_messages(bench), MAIL);
	assert_true(bench_logged(bench, "delivery temporarily suspended") > 0);
}

static void
test_dead_site__comes_back__all_is_delivered_after_the_next_probe(void **state)
{
	struct bench *bench = *state;

	mail_to_dead_site(bench);
	bench_pass(bench, 5);
	bench->is_down = false;
	bench_pass(bench, 12);
	assert_int_equal(bench_messages(bench), 0);
}

/* What waits is tried by one message each time, logged once, and not written again. */
static void
test_dead_site__stays_dead__one_message_each_probe_pays(void **state)
{
	struct bench *bench = *state;
	unsigned suspended, refused;

	mail_to_dead_site(bench);
	/* Two failed before the site was known to be dead: they come once more. */
	bench_pass(bench, 15);
	suspended = bench_logged(bench, "delivery temporarily suspended");
	refused = bench_logged(bench, "deferred (connect to mx.test");
	/* Probes after 10, 20, 40, 80, 160, 300, 300 s. */
	bench_pass(bench, 1000);
	assert_int_equal(bench_logged(bench, "delivery temporarily suspended"), suspended);
	assert_in_range(bench_logged(bench, "deferred (connect to mx.test"), refused + 5, refused + 7);
	bench->is_down = false;
	bench_pass(bench, 340);
	assert_int_equal(bench_messages(bench), 0);
}

static void
test_flush__dead_site__is_probed_at_once(void **state)
{
	struct bench *bench = *state;

	mail_to_dead_site(bench);
	bench_pass(bench, 200);
	bench->is_down = false;
	bench_command(bench, "flush", 0);
	bench_pass(bench, 2);
	assert_int_equal(bench_messages(bench), 0);
}

/* Parked mail is in memory only; after a restart each has its own time, and one of them is enough. */
static void
test_restart__dead_site__no_storm_and_nothing_forgotten(void **state)
{
	struct bench *bench = *state;
	unsigned refused;

	mail_to_dead_site(bench);
	bench_pass(bench, 2); /* deferrals wait for company in the journal */
	refused = bench_logged(bench, "deferred (connect to mx.test");
	bench_restart(bench);
	bench_pass(bench, 200);
	assert_in_range(bench_logged(bench, "deferred (connect to mx.test"), refused, refused + 12);
	bench->is_down = false;
	bench_pass(bench, 340);
	assert_int_equal(bench_messages(bench), 0);
}

static void
test_two_sites__one_dead__keeps_its_timer(void **state)
{
	struct bench *bench = *state;

	mail_to_dead_site(bench);
	(void)bench_mail(bench, "s@x.test", "ok@d.test later@other.test");
	bench->is_down = false;
	bench_pass(bench, 290);
	assert_int_equal(bench_messages(bench), 1);
	assert_int_equal(bench_tried(bench, "later@other.test"), 1);
	bench_pass(bench, 60);
	assert_int_equal(bench_tried(bench, "later@other.test"), 2);
}

/* rules: D42 */
static void
test_dead_site__lifetime_ends__mail_is_returned_in_time(void **state)
{
	static const char *const shorter[] = { "maximal_queue_lifetime=600s", NULL };
	struct bench *bench = *state;

	bench_configure(bench, shorter);
	mail_to_dead_site(bench);
	bench_pass(bench, 700);
	assert_int_equal(bench_logged(bench, "status=expired, returned to sender"), MAIL);
}

static void
set_clock(struct bench *bench, int64_t by_s)
{
	bench->now.wall.us += (uint64_t)by_s * US_PER_S;
	bench_pass(bench, 1);
}

/* What the site did before the clock was set says nothing of late@d.test, so that tries itself. */
static void
test_clock__set_since_the_site_died__later_mail_is_tried_before_it_is_returned(void **state)
{
	static const char *const often[] = { "minimal_backoff_time=5s", NULL };
	static const char *const brief[] = { "minimal_backoff_time=5s",
		"maximal_queue_lifetime=5s", NULL };
	struct bench *bench = *state;

	bench_configure(bench, often);
	mail_to_dead_site(bench);
	/* Probes after 5, 10 and 20 s, then none for 40 s. */
	bench_pass(bench, 45);
	bench_configure(bench, brief);
	set_clock(bench, -86400);
	(void)bench_mail(bench, "late@x.test", "late@d.test");
	assert_int_equal(bench_logged(bench, "to=<late@d.test>"), 1);
	bench_pass(bench, 8);
	assert_int_equal(bench_logged(bench, "to=<late@d.test>"), 3);
	assert_int_equal(bench_logged(bench, "from=<late@x.test>, status=expired"), 1);
}

/*
 * A site that failed since then has failed for all that wait for it, also for what came later: if a
 * step too small to be one makes that mail old, it is returned without a further attempt.
 */
static void
test_clock__set_before_the_site_died__later_mail_is_returned_with_it(void **state)
{
	static const char *const brief[] = { "maximal_queue_lifetime=30s", "minimal_backoff_time=10s",
		"maximal_backoff_time=10s", NULL };
	struct bench *bench = *state;

	bench_configure(bench, brief);
	set_clock(bench, -86400);
	mail_to_dead_site(bench);
	(void)bench_mail(bench, "late@x.test", "late@d.test");
	assert_int_equal(bench_logged(bench, "to=<late@d.test>"), 1);
	set_clock(bench, 40);
	assert_int_equal(bench_logged(bench, "the clock was set"), 1);
	assert_int_equal(bench_logged(bench, "to=<late@d.test>"), 2);
	assert_int_equal(bench_logged(bench, "from=<late@x.test>, status=expired"), 1);
}

/*
 * The second of two recipients is under way while the clock is set back, and until the time has come
 * again that the attempt for the first one names: that is no attempt since then.
 */
static void
test_clock__set_back_in_a_round__all_are_tried_again_before_they_are_returned(void **state)
{
	static const char *const brief[] = { "maximal_queue_lifetime=5s", NULL };
	struct bench *bench = *state;

	bench_configure(bench, brief);
	(void)bench_mail(bench, "s@x.test", "later@d.test wait@e.test");
	bench_pass(bench, 1);
	set_clock(bench, -100);
	bench_pass(bench, 120);
	bench_answer(bench, IPC_OUTCOME_DEFERRED, false);
	assert_int_equal(bench_logged(bench, "status=expired"), 0);
	assert_int_equal(bench_tried(bench, "later@d.test"), 2);
	assert_int_equal(bench_tried(bench, "wait@e.test"), 2);
	bench_answer(bench, IPC_OUTCOME_DEFERRED, false);
	assert_int_equal(bench_logged(bench, "status=expired"), 1);
}

/* rules: W14 W15 */
static void
test_classic__dead_site__waits_for_minimal_backoff_time(void **state)
{
	struct bench *bench = *state;

	bench_configure(bench, classic);
	mail_to_dead_site(bench);
	bench->is_down = false;
	bench_pass(bench, 299);
	assert_int_equal(bench_messages(bench), MAIL);
	bench_pass(bench, 40);
	assert_int_equal(bench_messages(bench), 0);
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		ROW(test_dead_site__comes_back__all_is_delivered_after_the_next_probe),
		ROW(test_dead_site__stays_dead__one_message_each_probe_pays),
		ROW(test_flush__dead_site__is_probed_at_once),
		ROW(test_restart__dead_site__no_storm_and_nothing_forgotten),
		ROW(test_two_sites__one_dead__keeps_its_timer),
		ROW(test_dead_site__lifetime_ends__mail_is_returned_in_time),
		ROW(test_clock__set_since_the_site_died__later_mail_is_tried_before_it_is_returned),
		ROW(test_clock__set_before_the_site_died__later_mail_is_returned_with_it),
		ROW(test_clock__set_back_in_a_round__all_are_tried_again_before_they_are_returned),
		ROW(test_classic__dead_site__waits_for_minimal_backoff_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
