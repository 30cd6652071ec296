/*
 * input.h - sendmail's standard input: until its end, or until a line with a single dot
 *
 * Threads: none; it blocks.
 */
#ifndef OSTLER_CLI_INPUT_H
#define OSTLER_CLI_INPUT_H

#include "base/buf.h"

enum input_state { INPUT_LINE_START, INPUT_LINE, INPUT_DOT, INPUT_DOT_CR, INPUT_END };

struct input {
	int fd;
	bool dot_ends; /* no -i */
	enum input_state state;
};

/* Takes bytes as they were read; appends those that are content. */
MUST_USE enum err input_feed(struct input *input, struct slice bytes, struct buf *content);

/* After the last byte. */
MUST_USE enum err input_finish(struct input *input, struct buf *content);

/* Reads once; at the end the state is INPUT_END. ERR_IO with errno. */
MUST_USE enum err input_read(struct input *input, struct buf *content);

#endif
