/*
 * clock.h - kinds of time
 *
 * struct mono: nanoseconds of boot time (CLOCK_BOOTTIME), for waiting. struct wall: microseconds
 * since 1970 UTC, for what is stored and shown. Two structs, so that the compiler refuses the
 * mix. Durations are uint64_t with a unit in the name. Only drivers and mains call
 * clock_read_*(): cores get their time as an argument.
 */
#ifndef OSTLER_BASE_CLOCK_H
#define OSTLER_BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)
#define US_PER_S UINT64_C(1000000)

struct mono {
	uint64_t ns;
};

struct wall {
	uint64_t us;
};

/* One instant, read once per loop turn and passed down. */
struct instant {
	struct mono mono;
	struct wall wall;
};

struct mono clock_read_mono(void);
struct wall clock_read_wall(void);
struct instant clock_read(void);

static inline struct mono
mono_add_ns(struct mono at, uint64_t ns)
{
	return (struct mono){ at.ns + ns };
}

/* later - earlier, or 0 if it is not later. */
static inline uint64_t
mono_since_ns(struct mono later, struct mono earlier)
{
	return later.ns > earlier.ns ? later.ns - earlier.ns : 0;
}

static inline uint64_t
wall_s(struct wall at)
{
	return at.us / US_PER_S;
}

#endif
