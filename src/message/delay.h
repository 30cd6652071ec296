/*
 * delay.h - how log lines write a duration (rule J16)
 *
 * Two significant digits, at most `decimals` places behind the point (the parameter
 * delay_logging_resolution_limit, 0 to 6), no trailing zeros, whole seconds from 100 s on, "0"
 * below the resolution. Unit: microseconds. Errors: none. Threads: pure.
 */
#ifndef OSTLER_MESSAGE_DELAY_H
#define OSTLER_MESSAGE_DELAY_H

#include <stdint.h>

enum { DELAY_TEXT_SIZE = 32, DELAY_DECIMALS_MAX = 6 };

/* Writes a NUL-terminated text; more decimals than DELAY_DECIMALS_MAX count as that. */
void delay_format(char ret_text[DELAY_TEXT_SIZE], uint64_t delay_us, unsigned decimals);

#endif
