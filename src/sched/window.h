/*
 * window.h - how many transactions one destination may have under way (rules W1 to W15, W20)
 *
 * The classic feedback: each transaction's result is an event. A success widens the window at the
 * end of 1/g successes, a failure of the site narrows it at the start of 1/f failures, and a site
 * that fails a cohort (a full window of failures in sequence) is dead until its timer.
 *
 *   READY ---- window_failure(): cohort failed -----> DEAD
 *   DEAD ----- window_probe() ----------------------> PROBING
 *   PROBING -- window_success(), window_revive() ---> READY
 *   PROBING -- window_failure() --------------------> DEAD
 *   READY ---- window_suspend() --------------------> SUSPENDED
 *   DEAD ----- window_success(), window_revive() ---> READY
 *   SUSPENDED  window_resume() ---------------------> READY
 *
 *   READY      limit >= 1; a transaction may start while busy < limit.
 *   DEAD       limit is 0; nothing starts; the owner runs the timer and calls window_revive().
 *   PROBING    limit is 1: the transaction that finds out whether the site is back.
 *   SUSPENDED  limit is 0; between two deliveries of a destination with a rate delay.
 *
 * Ownership: embedded by the destination. Units: feedback in millionths, so that runs repeat bit
 * for bit. Errors: window_feedback_parse() only. Threads: pure.
 */
#ifndef OSTLER_SCHED_WINDOW_H
#define OSTLER_SCHED_WINDOW_H

#include "base/err.h"
#include "base/slice.h"

#define WINDOW_UNIT 1000000u /* 1 in feedback and cohorts */
#define WINDOW_LIMIT_MAX 1000000u

enum window_state { WINDOW_READY, WINDOW_DEAD, WINDOW_PROBING, WINDOW_SUSPENDED };

/* `x`, `x/y` (a constant) or `x/concurrency` (x divided by the window at that moment): rule W4. */
struct window_feedback {
	uint32_t value; /* in WINDOW_UNIT, 0 to WINDOW_UNIT */
	bool per_window;
};

struct window_options {
	uint32_t initial;      /* initial_destination_concurrency, at least 1 */
	uint32_t limit_max;    /* destination_concurrency_limit; 0: none */
	uint32_t cohort_limit; /* failed cohorts until dead; 0: never */
	struct window_feedback positive;
	struct window_feedback negative;
	bool has_rate_delay; /* W20: at most one at a time */
	/*
	 * Steps when a whole one has gathered, as the algorithm was published and measured; the
	 * program (W7, W10) is half a unit of feedback ahead. For ostler-sim.
	 */
	bool has_whole_steps;
};

/* Private to window.c and learn.c; visible only so that it can be embedded. */
struct window {
	struct window_options options;
	enum window_state state;
	uint32_t limit;   /* N of the rules */
	uint32_t busy;    /* transactions between grant and result */
	int64_t success;  /* sums of feedback, in WINDOW_UNIT */
	int64_t failure;
	uint64_t cohorts; /* failed in sequence, in WINDOW_UNIT */
};

/*
 * Reads a feedback parameter.
 * ERR_SYNTAX: malformed; ERR_RANGE: not within 0 to 1. The caller warns and takes constant 1.
 */
MUST_USE enum err window_feedback_parse(
	struct slice text, struct window_feedback *ret_feedback);

/* W2: the options are corrected first (rate delay: limit 1; initial not above the limit). */
void window_init(struct window *window, const struct window_options *options);

/* New options for a window in use: it is cut to the new limit, and else stays. */
void window_change(struct window *window, const struct window_options *options);

enum window_state window_state(const struct window *window);
uint32_t window_limit(const struct window *window); /* 0 unless READY or PROBING */
uint32_t window_busy(const struct window *window);

/* Its last event was a failure. */
bool window_is_failing(const struct window *window);

/* Whether one more transaction may start now. */
bool window_has_room(const struct window *window);

/* A transaction was granted (room is CHECKed) / came back unbegun (rule S23). */
void window_take(struct window *window);
void window_return(struct window *window);

/*
 * A transaction that was handed out before begins by itself: it counts even if the window has
 * shrunk or died meanwhile.
 */
void window_begin(struct window *window);

/* Its result says that the site works (W5 to W7), whatever became of its recipients. */
void window_success(struct window *window);

/* Its result blames the site (W8 to W13); true: the destination has just died. */
bool window_failure(struct window *window);

/* A session could not be opened: the same event without a transaction. */
bool window_session_failure(struct window *window);

/* READY or PROBING: nothing works (learn.h). */
void window_die(struct window *window);

/* One transaction may find out whether the site works again. No-op unless DEAD. */
void window_probe(struct window *window);

/* W15: the timer of a dead destination ran out, or a flush; a probe's session is up. No-op unless
 * DEAD or PROBING. */
void window_revive(struct window *window);

/* W20: behind each finished transaction / after the delay. */
void window_suspend(struct window *window);
void window_resume(struct window *window);

#endif
