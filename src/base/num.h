/*
 * num.h - numbers from outside, and sizes that must not overflow
 */
#ifndef OSTLER_BASE_NUM_H
#define OSTLER_BASE_NUM_H

#include "base/err.h"
#include "base/slice.h"

/* Decimal digits only, at least one. ERR_SYNTAX: something else; ERR_RANGE: outside min..max. */
MUST_USE enum err num_parse_u64(struct slice text, uint64_t min, uint64_t max, uint64_t *ret_value);

/*
 * N/UNIT, UNIT one of s, sec, second, m, min, minute, h, hour, d, day: nanoseconds for each of N.
 * ERR_SYNTAX; ERR_RANGE: N is 0 or more than a million.
 */
MUST_USE enum err num_parse_rate(struct slice text, uint64_t *ret_ns);

/* a + b and a * b; ERR_LIMIT if the result does not fit. */
MUST_USE enum err size_add(size_t a, size_t b, size_t *ret_sum);
MUST_USE enum err size_mul(size_t a, size_t b, size_t *ret_product);

static inline uint64_t
num_min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t
num_max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The next multiple of a power of two at or above value. */
static inline uint64_t
num_align_u64(uint64_t value, uint64_t power)
{
	return (value + power - 1) & ~(power - 1);
}

#endif
