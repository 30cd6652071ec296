/* stats.c - see stats.h */
#include "sim/stats.h"

#include "base/check.h"

static uint32_t
bucket_of(uint64_t value)
{
	unsigned octave;

	if (value < 32)
		return (uint32_t)value;
	octave = 63u - (unsigned)__builtin_clzll(value);
	return (octave - 4) * 32 + (uint32_t)(value >> (octave - 5) & 31);
}

/* The largest value of a bucket. */
static uint64_t
bucket_end(uint32_t bucket)
{
	unsigned octave = bucket / 32 + 4;

	if (bucket < 32)
		return bucket;
	return ((UINT64_C(32) + bucket % 32 + 1) << (octave - 5)) - 1;
}

void
delays_add(struct delays *delays, uint64_t ns)
{
	delays->count++;
	delays->buckets[bucket_of(ns)]++;
	if (ns > delays->max_ns)
		delays->max_ns = ns;
}

uint64_t
delays_quantile_ns(const struct delays *delays, unsigned permille)
{
	uint64_t below = (delays->count * permille + 999) / 1000, sum = 0;

	for (uint32_t i = 0; i < DELAYS_BUCKETS && delays->count > 0; i++) {
		sum += delays->buckets[i];
		if (sum >= below)
			return bucket_end(i) < delays->max_ns ? bucket_end(i) : delays->max_ns;
	}
	return delays->max_ns;
}

double
stats_jain(const struct sender *senders, uint64_t count)
{
	double sum = 0, squares = 0;
	uint64_t used = 0;

	for (uint64_t i = 0; i < count; i++) {
		if (senders[i].count == 0)
			continue;
		double mean = (double)senders[i].delay_ns / (double)senders[i].count;

		sum += mean;
		squares += mean * mean;
		used++;
	}
	return squares > 0 ? sum * sum / ((double)used * squares) : 1;
}

void
course_add(struct course *course, const struct point *point)
{
	if (course->count == COURSE_POINTS) {
		for (uint32_t i = 0; i < COURSE_POINTS / 2; i++)
			course->points[i] = course->points[2 * i + 1];
		course->count = COURSE_POINTS / 2;
		course->step_ns *= 2;
	}
	course->points[course->count++] = *point;
}
