/*
 * test_learn.c - unit tests of sched/learn
 *
 * Goal: the limit of a site is found, kept, and tried anew at the promised rate; lone failures do
 * not narrow an established window or kill. Method: transactions by hand; a seeded walk against a
 * site with a limit that changes.
 */
#include "sched/learn.h"

#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct site {
	struct window window;
	struct learner learner;
	struct mono now;
};

static void
site_start(struct site *site, uint32_t initial, uint32_t limit)
{
	struct window_options options = { .initial = initial, .limit_max = limit,
		.cohort_limit = 1, .positive = { WINDOW_UNIT, false },
		.negative = { WINDOW_UNIT, false } };

	*site = (struct site){ .now = { 1000 * NS_PER_S } };
	window_init(&site->window, &options);
	learn_start(&site->learner);
}

static bool
take(struct site *site)
{
	window_take(&site->window);
	return learn_take(&site->learner, &site->window);
}

static void
test_success__first_time__widens_up_to_the_limit(void **state)
{
	struct site site;

	(void)state;
	site_start(&site, 2, 6);
	for (int i = 0; i < 20; i++) {
		while (window_has_room(&site.window))
			(void)take(&site);
		learn_success(&site.learner, &site.window, false, site.now);
		assert_true(window_limit(&site.window) <= 6);
	}
	assert_int_equal(window_limit(&site.window), 6);
}

/* More were begun than the site takes: each of those that fail lowers the window by one. */
static void
test_failure__of_a_first_widening__leaves_what_the_site_takes(void **state)
{
	struct site site;

	(void)state;
	site_start(&site, 16, 0);
	for (int i = 0; i < 16; i++)
		(void)take(&site);
	for (int i = 0; i < 6; i++)
		assert_false(learn_failure(&site.learner, &site.window, false, site.now));
	assert_int_equal(window_limit(&site.window), 10);
	assert_int_equal(window_busy(&site.window), 10);
}

static void
test_failure__one_at_concurrency_one__does_not_kill(void **state)
{
	struct site site;

	(void)state;
	site_start(&site, 1, 1);
	for (int i = 0; i < 4; i++) {
		(void)take(&site);
		assert_false(learn_failure(&site.learner, &site.window, false, site.now));
		assert_int_equal(window_state(&site.window), WINDOW_READY);
		assert_true(window_is_failing(&site.window));
	}
	(void)take(&site);
	assert_true(learn_failure(&site.learner, &site.window, false, site.now));
	assert_int_equal(window_state(&site.window), WINDOW_DEAD);
}

static void
test_failure__a_whole_window__kills_and_an_explorer_of_before_is_nothing_special(void **state)
{
	struct site site;
	unsigned failures = 1;

	(void)state;
	site_start(&site, 8, 0);
	for (int i = 0; i < 8; i++)
		(void)take(&site);
	while (!learn_failure(&site.learner, &site.window, false, site.now))
		failures++;
	assert_int_equal(failures, 8);
	window_probe(&site.window);
	assert_int_equal(window_limit(&site.window), 1);
	assert_false(take(&site));
	learn_success(&site.learner, &site.window, false, site.now);
	assert_int_equal(window_limit(&site.window), 8);
}

/* Others work, so it has as many as it wants; nobody dies of that, however often. */
static void
test_session_failure__others_work__as_many_as_it_takes(void **state)
{
	struct site site;

	(void)state;
	site_start(&site, 10, 0);
	for (int i = 0; i < 50; i++)
		assert_false(learn_session_failure(
			&site.learner, &site.window, 4, 0, site.now));
	assert_int_equal(window_limit(&site.window), 4);
	assert_false(window_is_failing(&site.window));
}

static void
test_explorer__returned__another_one_explores(void **state)
{
	struct site site;

	(void)state;
	site_start(&site, 2, 0);
	(void)take(&site);
	(void)take(&site);
	assert_false(learn_failure(&site.learner, &site.window, false, site.now));
	learn_success(&site.learner, &site.window, false, site.now);
	site.now.ns += 60 * NS_PER_S;
	(void)take(&site);
	learn_success(&site.learner, &site.window, false, site.now);
	assert_int_equal(window_limit(&site.window), 2);
	assert_false(take(&site));
	assert_true(take(&site));
	window_return(&site.window);
	learn_return(&site.learner);
	assert_true(take(&site));
	assert_false(learn_failure(&site.learner, &site.window, true, site.now));
	assert_int_equal(window_limit(&site.window), 1);
}

/* Transactions of a second each against a limit that changes every ten minutes. */
static void
test_walk__changing_limit__few_failures_and_full_use(void **state)
{
	enum { MOST = 64 };
	struct site site;
	struct rng rng;
	uint64_t ends[MOST];
	bool explores[MOST];
	uint32_t count = 0, failures = 0, successes = 0;
	uint64_t offered = 0;

	(void)state;
	rng_init(&rng, 3);
	site_start(&site, 5, 40);
	for (uint64_t ms = 0; ms < 6 * 600 * 1000; ms++) {
		static const uint32_t limits[] = { 5, 12, 3, 30, 8, 20 };
		uint32_t limit = limits[ms / 600000];

		site.now.ns += NS_PER_MS;
		offered += limit;
		for (uint32_t i = 0; i < count; i++) {
			if (ends[i] > ms)
				continue;
			learn_success(&site.learner, &site.window, explores[i], site.now);
			successes++;
			ends[i] = ends[--count];
			explores[i] = explores[count];
			i--;
		}
		while (window_has_room(&site.window)) {
			bool is_explorer = take(&site);

			if (count < limit) {
				explores[count] = is_explorer;
				ends[count++] = ms + 900 + rng_below(&rng, 200);
			} else {
				failures++;
				assert_false(learn_failure(&site.learner, &site.window,
					is_explorer, site.now));
			}
		}
		assert_true(window_limit(&site.window) <= 40);
	}
	assert_true(failures * 50 < successes);
	assert_true((uint64_t)successes * 1000 * 100 > offered * 95);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_success__first_time__widens_up_to_the_limit),
		cmocka_unit_test(test_failure__of_a_first_widening__leaves_what_the_site_takes),
		cmocka_unit_test(test_failure__one_at_concurrency_one__does_not_kill),
		cmocka_unit_test(
			test_failure__a_whole_window__kills_and_an_explorer_of_before_is_nothing_special),
		cmocka_unit_test(test_session_failure__others_work__as_many_as_it_takes),
		cmocka_unit_test(test_explorer__returned__another_one_explores),
		cmocka_unit_test(test_walk__changing_limit__few_failures_and_full_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
