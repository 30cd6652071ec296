/*
 * stats.h - what a simulation tells: delays by class, fairness, course over time
 *
 * Delays are counted in buckets of a thirty-second of an octave: 3 % exact, at no cost per sample.
 * Threads: pure.
 */
#ifndef OSTLER_SIM_STATS_H
#define OSTLER_SIM_STATS_H

#include <stdint.h>
#include <stdio.h>

enum { DELAYS_BUCKETS = 64 * 32, COURSE_POINTS = 600 };

struct delays {
	uint64_t count;
	uint64_t max_ns;
	uint64_t buckets[DELAYS_BUCKETS];
};

void delays_add(struct delays *delays, uint64_t ns);
/* The delay that `permille` of all were below or equal to; 0 if there are none. */
uint64_t delays_quantile_ns(const struct delays *delays, unsigned permille);

/* One sender; Jain's index is of the mean delays of all senders that had mail delivered. */
struct sender {
	uint64_t count;
	uint64_t delay_ns;
};
double stats_jain(const struct sender *senders, uint64_t count);

/* What there was at equal distances in time. When it is full, every second point goes. */
struct point {
	uint64_t at_ns;
	uint64_t delivered; /* until then */
	uint64_t failed;    /* attempts, until then */
	uint32_t window, busy; /* of the site that is watched */
	uint64_t waiting;   /* messages that have come and not ended */
};

struct course {
	uint64_t step_ns;
	uint32_t count;
	struct point points[COURSE_POINTS];
};

void course_add(struct course *course, const struct point *point);

#endif
