/*
 * rand.c - random numbers (see rand.h); the generator is xoshiro256** by Blackman and Vigna
 */
#include "base/rand.h"

#include "base/check.h"

#include <sys/random.h>

static uint64_t
rng_split(uint64_t *seed)
{
	uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint64_t
rng_rotate(uint64_t value, int by)
{
	return (value << by) | (value >> (64 - by));
}

void
rng_init(struct rng *rng, uint64_t seed)
{
	for (int i = 0; i < 4; i++)
		rng->state[i] = rng_split(&seed);
}

uint64_t
rng_next(struct rng *rng)
{
	uint64_t *s = rng->state;
	uint64_t result = rng_rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rng_rotate(s[3], 45);
	return result;
}

uint64_t
rng_below(struct rng *rng, uint64_t bound)
{
	__extension__ typedef unsigned __int128 wide;

	CHECK(bound >= 1);
	return (uint64_t)(((wide)rng_next(rng) * bound) >> 64);
}

int
rng_one_in(struct rng *rng, uint64_t n)
{
	return n > 0 && rng_below(rng, n) == 0;
}

void
rand_bytes(void *ptr, size_t len)
{
	uint8_t *at = ptr;

	while (len > 0) {
		ssize_t got = getrandom(at, len, 0);

		CHECK(got > 0);
		at += got;
		len -= (size_t)got;
	}
}

uint64_t
rand_seed(void)
{
	uint64_t seed;

	rand_bytes(&seed, sizeof(seed));
	return seed;
}
