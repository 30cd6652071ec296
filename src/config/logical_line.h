/*
 * logical_line.h - physical lines joined into logical ones (rule T1)
 *
 * A line that starts with white space continues the one before. Empty and blank lines, and those
 * whose first other byte is #, are dropped, even between a line and its continuation.
 *
 * Ownership: the reader borrows its text; the line is built in the caller's buffer.
 * Errors:    ERR_NOTFOUND at the end; ERR_LIMIT, ERR_NOMEM of the buffer.
 * Threads:   pure.
 */
#ifndef OSTLER_CONFIG_LOGICAL_LINE_H
#define OSTLER_CONFIG_LOGICAL_LINE_H

#include "base/buf.h"

struct logical_line_reader {
	struct slice rest;
	uint32_t number; /* of the last physical line that was read */
};

struct logical_line_reader logical_line_reader(struct slice text);

/* Clears `line` and puts the next one there; *ret_number is where it begins, from 1. */
MUST_USE enum err logical_line_next(
	struct logical_line_reader *reader, struct buf *line, uint32_t *ret_number);

#endif
