/*
 * value.h - the text of a parameter, expanded, turned into its number (rules T7 to T9)
 *
 * BOOL: 0, 1. INT, SIZE: as written. TIME: seconds. ENUM: place of the word. WORDS: a bit per word.
 * Other types have no number.
 * Errors:  ERR_CONFIG with place, name, value and what is allowed.
 * Threads: pure.
 */
#ifndef OSTLER_CONFIG_VALUE_H
#define OSTLER_CONFIG_VALUE_H

#include "base/err.h"
#include "config/origin.h"
#include "config/params.h"

/* A setting on its way: what it is called, where it stands, its text. */
struct value_source {
	const struct param *param;
	const char *name; /* as set: param->name, or its form for a transport */
	char time_unit;	  /* of a TIME without a unit */
	struct origin origin;
};

/* The number of a text, within the parameter's range. */
MUST_USE enum err value_parse(const struct value_source *source, struct slice text,
	uint64_t *ret_number, struct fault *reterr_fault);

/* Growth and loss of a window: x, x/y or x/concurrency, 0 to 1. */
MUST_USE enum err value_check_feedback(
	const struct value_source *source, struct slice text, struct fault *reterr_fault);

/* N/s, N/min, N/h, N/day; empty is fine. */
MUST_USE enum err value_check_rate(
	const struct value_source *source, struct slice text, struct fault *reterr_fault);

/* reply_reactions; empty is fine. */
MUST_USE enum err value_check_reactions(
	const struct value_source *source, struct slice text, struct fault *reterr_fault);

/* address:port, [address]:port; empty is fine. */
MUST_USE enum err value_check_endpoint(
	const struct value_source *source, struct slice text, struct fault *reterr_fault);

#endif
