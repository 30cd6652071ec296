/*
 * learn.h - the adaptive policy: what a site bears is learned, not bumped into again and again
 *
 * Each success widens the window until something fails: that gives a first idea of the limit. From
 * then on one transaction at a time explores the next level, at most every EXPLORE_MAX when that
 * goes on failing, so that a limit costs two failures a minute and a higher one is found in time.
 * A failure at a level that is established says little (one of several hosts may be bad): the
 * window is halved only where more than half of the recent results failed. A site is dead when as
 * many transactions as its window, but at least five, failed with no success in between.
 *
 *   explore:  NONE --success at a full window, time--> WANTED --take at the top--> OUT
 *             ^ ^---------- no session for it ------------'                        |
 *             `------------------------ its result ---------------------------------'
 *
 * It works on a struct window (window.h) in place of window_success() and window_failure(); death,
 * probes and revival are the window's. Threads: pure.
 */
#ifndef OSTLER_SCHED_LEARN_H
#define OSTLER_SCHED_LEARN_H

#include "base/clock.h"
#include "sched/window.h"

enum learn_explore { LEARN_NONE, LEARN_WANTED, LEARN_OUT };

/* Private to learn.c; visible only so that it can be embedded. Zeroed by learn_start(). */
struct learner {
	bool has_failed;      /* the first idea of a limit is there */
	enum learn_explore explore;
	struct mono explore_at;
	uint64_t explore_wait_ns;
	uint32_t overshoot;   /* transactions of the first widening whose result is not known */
	uint32_t streak;      /* failures since the last success */
	uint32_t streak_limit; /* the window when it began */
	uint32_t errors;      /* of the recent results, in WINDOW_UNIT */
};

/* A new site, or one that is back. */
void learn_start(struct learner *learner);

/* Behind window_take(): whether that transaction explores. */
bool learn_take(struct learner *learner, const struct window *window);

/* Behind window_return() of one that does. */
void learn_return(struct learner *learner);

/* As window_success() and window_failure(). */
void learn_success(struct learner *learner, struct window *window, bool explores, struct mono now);
MUST_USE bool learn_failure(
	struct learner *learner, struct window *window, bool explores, struct mono now);

/* As window_session_failure(); `ready` and `opening`: the sessions that are left. */
MUST_USE bool learn_session_failure(struct learner *learner, struct window *window, uint32_t ready,
	uint32_t opening, struct mono now);

#endif
