/*
 * delay.c - how delays are written in log lines (see delay.h; rules J15, J16)
 */
#include "message/delay.h"

#include <stdio.h>

#include "base/clock.h"

/* The step that leaves two significant digits, but not a finer one than the resolution. */
static uint64_t
delay_step_us(uint64_t delay_us, uint64_t resolution_us)
{
	uint64_t step_us = US_PER_S;

	for (uint64_t from_us = 10 * US_PER_S; delay_us < from_us && step_us > 1; from_us /= 10)
		step_us /= 10;
	return step_us > resolution_us ? step_us : resolution_us;
}

void
delay_format(char ret_text[DELAY_TEXT_SIZE], uint64_t delay_us, unsigned decimals)
{
	uint64_t resolution_us = US_PER_S;
	uint64_t step_us;
	uint64_t rest;
	int places = DELAY_DECIMALS_MAX;

	/* Rounding up must not wrap; nobody waits for 584,000 years. */
	if (delay_us > UINT64_MAX - US_PER_S)
		delay_us = UINT64_MAX - US_PER_S;
	for (unsigned i = 0; i < decimals && resolution_us > 1; i++)
		resolution_us /= 10;
	if (delay_us < resolution_us)
		delay_us = 0;
	step_us = delay_step_us(delay_us, resolution_us);
	delay_us = (delay_us / step_us + (delay_us % step_us >= (step_us + 1) / 2)) * step_us;
	rest = delay_us % US_PER_S;
	for (; places > 0 && rest % 10 == 0; places--)
		rest /= 10;
	if (places == 0)
		(void)snprintf(ret_text, DELAY_TEXT_SIZE, "%llu",
			(unsigned long long)(delay_us / US_PER_S));
	else
		(void)snprintf(ret_text, DELAY_TEXT_SIZE, "%llu.%0*llu",
			(unsigned long long)(delay_us / US_PER_S), places,
			(unsigned long long)rest);
}
