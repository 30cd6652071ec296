/*
 * rand.h - seeded random numbers (xoshiro256**), the same in production and simulation
 *
 * For jitter, shuffling and tests; not for secrets. A core is given its seed; only mains draw one
 * from the kernel.
 */
#ifndef OSTLER_BASE_RAND_H
#define OSTLER_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

struct rng {
	uint64_t state[4];
};

void rng_init(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);

/* 0..bound-1 without bias worth speaking of; bound is at least 1. */
uint64_t rng_below(struct rng *rng, uint64_t bound);

/* True once in `n` calls on average; n = 0: never. */
int rng_one_in(struct rng *rng, uint64_t n);

/* From the kernel. */
uint64_t rand_seed(void);
void rand_bytes(void *ptr, size_t len);

#endif
