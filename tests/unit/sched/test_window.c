/*
 * test_window.c - unit tests of sched/window
 *
 * Goal: the window follows rules W2 to W13 and W20 to the letter, and never breaks its invariants.
 * Method: the sequences that the rules give, then a seeded walk.
 */
#include "sched/window.h"

#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct window_feedback one = { WINDOW_UNIT, false };

static void
world_start(struct window *window, uint32_t initial, uint32_t limit)
{
	struct window_options options = { .initial = initial, .limit_max = limit,
		.cohort_limit = 1, .positive = one, .negative = one };

	window_init(window, &options);
}

/* Fails until dead; writes the limit after each failure, 0 for dead; returns how many failures. */
static unsigned
world_fail(struct window *window, uint32_t *limits, unsigned max)
{
	for (unsigned i = 0; i < max; i++) {
		bool died = window_session_failure(window);

		limits[i] = window_limit(window);
		if (died)
			return i + 1;
	}
	return max + 1;
}

/* rules: W9 W10 */
static void
test_W11__consecutive_failures__give_the_sequences_of_the_rule(void **state)
{
	struct window window;
	uint32_t limits[20];
	const uint32_t from_five[] = { 3, 2, 0 };
	const uint32_t from_twenty[] = { 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 0 };

	(void)state;
	world_start(&window, 5, 20);
	assert_int_equal(world_fail(&window, limits, 20), 3);
	assert_memory_equal(limits, from_five, sizeof(from_five));
	world_start(&window, 20, 20);
	assert_int_equal(world_fail(&window, limits, 20), 13);
	assert_memory_equal(limits, from_twenty, sizeof(from_twenty));
	world_start(&window, 1, 20);
	assert_int_equal(world_fail(&window, limits, 20), 1);
	world_start(&window, 2, 20);
	assert_int_equal(world_fail(&window, limits, 20), 2);
	assert_int_equal(limits[0], 1);
}

static void
test_W11__negative_feedback_per_concurrency__narrows_slowly(void **state)
{
	struct window window;
	struct window_options options = { .initial = 5, .limit_max = 20, .cohort_limit = 1,
		.positive = one, .negative = { WINDOW_UNIT, true } };
	uint32_t limits[20];
	const uint32_t expected[] = { 4, 4, 4, 3, 0 };

	(void)state;
	window_init(&window, &options);
	assert_int_equal(world_fail(&window, limits, 20), 5);
	assert_memory_equal(limits, expected, sizeof(expected));
}

static void
test_W7__successes__widen_up_to_the_limit_and_only_in_use(void **state)
{
	struct window window;

	(void)state;
	world_start(&window, 5, 7);
	window_take(&window);
	window_success(&window); /* 5 < 1 + 5: one wider */
	assert_int_equal(window_limit(&window), 6);
	window_take(&window);
	window_success(&window); /* 6 < 1 + 5 is false: not in use */
	assert_int_equal(window_limit(&window), 6);
	for (int i = 0; i < 6; i++)
		window_take(&window);
	assert_false(window_has_room(&window));
	for (int i = 0; i < 6; i++)
		window_success(&window);
	assert_int_equal(window_limit(&window), 7);
	assert_int_equal(window_busy(&window), 0);
}

/* rules: W5 X6 */
static void
test_W12__a_success__forgives_all_failures(void **state)
{
	struct window window;

	(void)state;
	world_start(&window, 2, 20);
	for (int i = 0; i < 1000; i++) {
		window_take(&window);
		window_success(&window);
		if (window_limit(&window) > 1)
			assert_false(window_session_failure(&window));
	}
	assert_int_equal(window_state(&window), WINDOW_READY);
}

static void
test_W13__cohort_limit_zero__never_dies(void **state)
{
	struct window window;
	struct window_options options = { .initial = 5, .positive = one, .negative = one };

	(void)state;
	window_init(&window, &options);
	for (int i = 0; i < 1000; i++)
		assert_false(window_session_failure(&window));
	assert_int_equal(window_limit(&window), 1);
}

/* rules: W1 W8 */
static void
test_W6__success_on_a_dead_destination__revives_with_what_is_busy(void **state)
{
	struct window window;
	uint32_t limits[20];

	(void)state;
	world_start(&window, 5, 20);
	for (int i = 0; i < 2; i++)
		window_take(&window);
	(void)world_fail(&window, limits, 20);
	assert_int_equal(window_state(&window), WINDOW_DEAD);
	assert_false(window_has_room(&window));
	assert_false(window_failure(&window)); /* W8: a dead one is not touched */
	window_success(&window);
	assert_int_equal(window_state(&window), WINDOW_READY);
	assert_int_equal(window_limit(&window), 1);
	(void)world_fail(&window, limits, 20);
	window_revive(&window);
	assert_int_equal(window_limit(&window), 5);
}

static void
test_W2_W20__rate_delay__one_at_a_time_with_a_pause(void **state)
{
	struct window window;
	struct window_options options = { .initial = 5, .limit_max = 20, .cohort_limit = 1,
		.positive = one, .negative = one, .has_rate_delay = true };

	(void)state;
	window_init(&window, &options);
	assert_int_equal(window_limit(&window), 1);
	window_take(&window);
	window_success(&window);
	window_suspend(&window);
	assert_int_equal(window_state(&window), WINDOW_SUSPENDED);
	assert_false(window_has_room(&window));
	window_resume(&window);
	assert_int_equal(window_limit(&window), 1);
	window_take(&window);
	assert_true(window_failure(&window));
	window_suspend(&window); /* W20: a dead one is revived first */
	window_resume(&window);
	assert_int_equal(window_state(&window), WINDOW_READY);
}

static void
test_W4__feedback_texts__are_read_or_refused(void **state)
{
	struct window_feedback feedback;

	(void)state;
	assert_int_equal(window_feedback_parse(SLICE_LIT("1"), &feedback), ERR_OK);
	assert_true(feedback.value == WINDOW_UNIT && !feedback.per_window);
	assert_int_equal(window_feedback_parse(SLICE_LIT("0.25"), &feedback), ERR_OK);
	assert_int_equal(feedback.value, WINDOW_UNIT / 4);
	assert_int_equal(window_feedback_parse(SLICE_LIT("1/5"), &feedback), ERR_OK);
	assert_int_equal(feedback.value, WINDOW_UNIT / 5);
	assert_int_equal(window_feedback_parse(SLICE_LIT("1/concurrency"), &feedback), ERR_OK);
	assert_true(feedback.value == WINDOW_UNIT && feedback.per_window);
	assert_int_equal(window_feedback_parse(SLICE_LIT("2"), &feedback), ERR_RANGE);
	assert_int_equal(window_feedback_parse(SLICE_LIT("3/2"), &feedback), ERR_RANGE);
	assert_int_equal(window_feedback_parse(SLICE_LIT("1/0"), &feedback), ERR_RANGE);
	assert_int_equal(window_feedback_parse(SLICE_LIT(""), &feedback), ERR_SYNTAX);
	assert_int_equal(window_feedback_parse(SLICE_LIT("1/many"), &feedback), ERR_SYNTAX);
	assert_int_equal(window_feedback_parse(SLICE_LIT("-1"), &feedback), ERR_SYNTAX);
}

/* rules: W1 */
static void
test_walk__any_events__keep_busy_within_the_window(void **state)
{
	struct window window;
	struct rng rng;

	(void)state;
	rng_init(&rng, 20261124);
	world_start(&window, 5, 20);
	for (int step = 0; step < 200000; step++) {
		uint64_t what = rng_below(&rng, 10);

		if (what < 4 && window_has_room(&window))
			window_take(&window);
		else if (what < 6 && window_busy(&window) > 0)
			window_success(&window);
		else if (what < 8 && window_busy(&window) > 0)
			(void)window_failure(&window);
		else if (what == 8 && window_busy(&window) > 0)
			window_return(&window);
		else if (what == 9)
			window_revive(&window);
		assert_true(window_busy(&window) <= 20);
		assert_true(window_limit(&window) <= 20);
	}
}

/* As published: three successes at 0.4 are a step up, and one failure never costs two. */
static void
test_whole_steps__as_published__no_half_step_ahead(void **state)
{
	struct window_options options = { .initial = 5, .limit_max = 20,
		.positive = { 400000, false }, .negative = { WINDOW_UNIT, false } };
	struct window window;
	uint32_t ups[2] = { 0 };

	(void)state;
	for (int whole = 0; whole < 2; whole++) {
		options.has_whole_steps = whole != 0;
		window_init(&window, &options);
		while (window_busy(&window) < 5)
			window_take(&window);
		while (window_limit(&window) == 5) {
			window_success(&window);
			window_take(&window);
			ups[whole]++;
		}
		window_take(&window);
		assert_false(window_failure(&window));
		assert_int_equal(window_limit(&window), whole ? 5 : 4);
	}
	assert_int_equal(ups[0], 2);
	assert_int_equal(ups[1], 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_W11__consecutive_failures__give_the_sequences_of_the_rule),
		cmocka_unit_test(test_W11__negative_feedback_per_concurrency__narrows_slowly),
		cmocka_unit_test(test_W7__successes__widen_up_to_the_limit_and_only_in_use),
		cmocka_unit_test(test_W12__a_success__forgives_all_failures),
		cmocka_unit_test(test_W13__cohort_limit_zero__never_dies),
		cmocka_unit_test(test_whole_steps__as_published__no_half_step_ahead),
		cmocka_unit_test(test_W6__success_on_a_dead_destination__revives_with_what_is_busy),
		cmocka_unit_test(test_W2_W20__rate_delay__one_at_a_time_with_a_pause),
		cmocka_unit_test(test_W4__feedback_texts__are_read_or_refused),
		cmocka_unit_test(test_walk__any_events__keep_busy_within_the_window),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
