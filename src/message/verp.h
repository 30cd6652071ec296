/*
 * verp.h - variable envelope return paths: each recipient's failures come back to an own address
 *
 * owner@o for user@dom becomes owner+user=dom@o (rule V3); the delimiters, here + and =, come with
 * the message. Ownership: output is appended to the caller's buffer. Threads: pure.
 */
#ifndef OSTLER_MESSAGE_VERP_H
#define OSTLER_MESSAGE_VERP_H

#include "base/buf.h"

enum { VERP_DELIMITERS = 2 };

/* NULL: usable; else what is wrong. `filter`: verp_delimiter_filter (rule V2). */
const char *verp_check(struct slice delimiters, struct slice filter);

/* Appends the address; all are in internal form. ERR_LIMIT of the buffer. */
MUST_USE enum err verp_address(
	struct slice sender, struct slice recipient, struct slice delimiters, struct buf *out);

#endif
