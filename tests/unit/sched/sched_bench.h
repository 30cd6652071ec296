/*
 * sched_bench.h - what tests of sites begin with: a scheduler that calls a site dead for five minutes
 * and probes it after ten seconds
 */
#ifndef OSTLER_TESTS_SCHED_BENCH_H
#define OSTLER_TESTS_SCHED_BENCH_H

#include "sched/sched.h"

/* The caller's, to be ended with sched_bench_end(). */
struct sched *sched_bench_new(bool is_adaptive);

/* Windows from `initial` to `most`, a whole step for each result; one failed cohort is a dead site. */
struct sched_limits sched_bench_limits(uint32_t initial, uint32_t most);

/* Every invariant is checked once more. */
void sched_bench_end(struct sched *sched);

#endif
