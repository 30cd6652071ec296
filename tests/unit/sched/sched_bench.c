/* sched_bench.c - see sched_bench.h */
#include "sched_bench.h"

struct sched *
sched_bench_new(bool is_adaptive)
{
	struct sched_options options = { .dead_ns = 300 * NS_PER_S, .is_adaptive = is_adaptive,
		.probe_first_ns = 10 * NS_PER_S, .probe_max_ns = 300 * NS_PER_S, .seed = 5 };

	return sched_new(&options);
}

struct sched_limits
sched_bench_limits(uint32_t initial, uint32_t most)
{
	return (struct sched_limits){ .recipient_max = 50,
		.window = { .initial = initial, .limit_max = most, .cohort_limit = 1,
			.positive = { WINDOW_UNIT, false }, .negative = { WINDOW_UNIT, false } } };
}

void
sched_bench_end(struct sched *sched)
{
	sched_check(sched);
	sched_free(sched);
}
