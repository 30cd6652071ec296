/*
 * clock.c - the real clocks (see clock.h)
 */
#include "base/clock.h"

#include "base/check.h"

#include <time.h>

struct mono
clock_read_mono(void)
{
	struct timespec ts;

	CHECK(clock_gettime(CLOCK_BOOTTIME, &ts) == 0);
	return (struct mono){ (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec };
}

struct wall
clock_read_wall(void)
{
	struct timespec ts;

	CHECK(clock_gettime(CLOCK_REALTIME, &ts) == 0);
	return (struct wall){ (uint64_t)ts.tv_sec * US_PER_S + (uint64_t)ts.tv_nsec / 1000 };
}

struct instant
clock_read(void)
{
	return (struct instant){ clock_read_mono(), clock_read_wall() };
}
