/*
 * expand.h - $name and its kin in values of main.cf (rules T4 to T6)
 *
 *   $name ${name} $(name)            the value of name, expanded too; nothing if it has none
 *   $$                               a dollar sign
 *   ${name?text} ${name:text}        text if the value is not empty, or if it is
 *   ${name?{a}:{b}}                  one or the other
 *   ${{x} op {y} ? {a} : {b}}        op: == != < <= >= >; as numbers if both are digits only
 *
 * Ownership: output is appended to the caller's buffer.
 * Limits:    EXPAND_DEPTH_MAX levels, EXPAND_STEPS_MAX names per text (so that no text takes
 *            exponential time), the limit of the buffer.
 * Errors:    ERR_SYNTAX, ERR_LIMIT; the fault's text has no file and line, callers add them.
 * Threads:   pure.
 */
#ifndef OSTLER_CONFIG_EXPAND_H
#define OSTLER_CONFIG_EXPAND_H

#include "base/buf.h"

enum { EXPAND_DEPTH_MAX = 100, EXPAND_STEPS_MAX = 10000 };

/* Finds the unexpanded value of a name: ERR_NOTFOUND if it has none. Valid until expansion ends. */
typedef enum err expand_find_fn(void *ctx, struct slice name, struct slice *ret_text);

MUST_USE enum err expand_text(struct slice text, expand_find_fn *find, void *ctx, struct buf *out,
	struct fault *reterr_fault);

#endif
