/* learn.c - see learn.h */
#include "sched/learn.h"

#include "base/check.h"
#include "base/num.h"

#define EXPLORE_FIRST (2 * NS_PER_S)
#define EXPLORE_MAX (30 * NS_PER_S)

/* Of each result in the rate of errors, and of errors in it above which the window is halved. */
enum { ERROR_SHARE = 16, ERRORS_MAX = WINDOW_UNIT / 2, STREAK_MIN = 5, STREAK_NARROW = 4 };

void
learn_start(struct learner *learner)
{
	*learner = (struct learner){ .explore_wait_ns = EXPLORE_FIRST };
}

bool
learn_take(struct learner *learner, const struct window *window)
{
	if (learner->explore != LEARN_WANTED || window_busy(window) < window_limit(window))
		return false;
	learner->explore = LEARN_OUT;
	return true;
}

void
learn_return(struct learner *learner)
{
	if (learner->explore == LEARN_OUT)
		learner->explore = LEARN_WANTED;
}

static bool
may_widen(const struct window *window)
{
	uint32_t max = window->options.limit_max;

	return window->limit < WINDOW_LIMIT_MAX && (max == 0 || window->limit < max);
}

/* The level is one lower; the next try is not soon. */
static void
back_off(struct learner *learner, struct mono now)
{
	learner->explore = LEARN_NONE;
	learner->explore_at = mono_add_ns(now, learner->explore_wait_ns);
	learner->explore_wait_ns = num_min_u64(2 * learner->explore_wait_ns, EXPLORE_MAX);
}

static void
widen(struct learner *learner, struct window *window, struct mono now)
{
	bool is_used = window->busy >= window->limit;

	if (!may_widen(window))
		return;
	if (!learner->has_failed) {
		if (window->limit < window->busy + window->options.initial)
			window->limit++;
	} else if (learner->explore == LEARN_NONE && learner->overshoot == 0 && is_used &&
		   now.ns >= learner->explore_at.ns) {
		window->limit++;
		learner->explore = LEARN_WANTED;
	}
}

void
learn_success(struct learner *learner, struct window *window, bool explores, struct mono now)
{
	CHECK(window->busy > 0);
	window->cohorts = 0;
	learner->streak = 0;
	learner->errors -= learner->errors / ERROR_SHARE;
	if (learner->overshoot > 0)
		learner->overshoot--;
	if (explores && learner->explore == LEARN_OUT) {
		learner->explore = LEARN_NONE;
		learner->explore_wait_ns = EXPLORE_FIRST;
	}
	if (window->state == WINDOW_DEAD || window->state == WINDOW_PROBING)
		window_revive(window);
	else if (window->state == WINDOW_READY)
		widen(learner, window, now);
	window->busy--;
}

/* One more failure without a success; true: it is the last one. */
static bool
count_failure(struct learner *learner, struct window *window)
{
	uint32_t most = window->options.cohort_limit;

	if (learner->streak++ == 0)
		learner->streak_limit = window->limit;
	learner->errors += (WINDOW_UNIT - learner->errors) / ERROR_SHARE;
	window->cohorts = 1; /* not 0: it is failing */
	if (most == 0)
		return false;
	return learner->streak >=
	       (uint64_t)most * num_max_u64(learner->streak_limit, STREAK_MIN);
}

static bool
die_or_go_on(struct learner *learner, struct window *window, bool is_last)
{
	if (is_last) {
		learn_start(learner);
		window_die(window);
	}
	return is_last;
}

/* What this failure says about the limit. */
static void
narrow(struct learner *learner, struct window *window, bool explores, struct mono now)
{
	uint32_t lower = window->limit > 1 ? window->limit - 1 : 1;
	uint32_t left = window->busy > 1 ? window->busy - 1 : 1;

	if (explores && learner->explore == LEARN_OUT) {
		window->limit = lower;
		back_off(learner, now);
	} else if (!learner->has_failed) {
		learner->has_failed = true;
		learner->overshoot = window->busy;
		window->limit = left < window->limit ? left : window->limit;
		back_off(learner, now);
	} else if (learner->overshoot > 0) {
		window->limit = lower;
	} else if (learner->streak >= STREAK_NARROW) {
		/* One after the other while others run: there is room for those only. */
		window->limit = left < window->limit ? left : window->limit;
		learner->explore = LEARN_NONE;
		learner->explore_at = mono_add_ns(now, EXPLORE_FIRST);
	} else if (learner->errors > ERRORS_MAX) {
		window->limit = window->limit > 1 ? window->limit / 2 : 1;
		learner->errors = ERRORS_MAX / 2;
		back_off(learner, now);
	}
	if (learner->overshoot > 0)
		learner->overshoot--;
}

bool
learn_failure(struct learner *learner, struct window *window, bool explores, struct mono now)
{
	bool died = false;

	CHECK(window->busy > 0);
	if (window->state == WINDOW_PROBING)
		died = die_or_go_on(learner, window, true);
	else if (window->state == WINDOW_READY)
		died = die_or_go_on(learner, window, count_failure(learner, window));
	if (window->state == WINDOW_READY)
		narrow(learner, window, explores, now);
	window->busy--;
	return died;
}

bool
learn_session_failure(struct learner *learner, struct window *window, uint32_t ready,
	uint32_t opening, struct mono now)
{
	uint32_t left = ready + opening > 0 ? ready + opening : 1;

	if (window->state == WINDOW_PROBING)
		return die_or_go_on(learner, window, true);
	if (window->state != WINDOW_READY)
		return false;
	/* Others work: it has as many as it wants. */
	if (ready > 0) {
		learner->has_failed = true;
		if (left < window->limit)
			window->limit = left;
		back_off(learner, now);
		return false;
	}
	if (die_or_go_on(learner, window, count_failure(learner, window)))
		return true;
	if (learner->errors > ERRORS_MAX && window->limit > 1)
		window->limit--;
	return false;
}
