/*
 * origin.h - where a piece of configuration was written, for messages
 *
 * Every error of this module says `FILE, line N:` first. Both functions return small structs by
 * value, so that they can stand in the arguments of fault_set() and buf_printf().
 * Threads: pure.
 */
#ifndef OSTLER_CONFIG_ORIGIN_H
#define OSTLER_CONFIG_ORIGIN_H

#include "base/slice.h"

struct origin {
	const char *file; /* as people know it; borrowed */
	uint32_t line;	  /* 0: the place has no lines */
};

struct origin_text {
	char text[136];
};

struct origin_value {
	char text[84];
};

/* "FILE, line N" or "FILE"; a long path loses its front. */
struct origin_text origin_text(struct origin origin);

/* A value to show: control bytes become ?, what is too long ends in "...". */
struct origin_value origin_value(struct slice value);

#endif
