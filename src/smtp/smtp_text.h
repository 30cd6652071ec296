/*
 * smtp_text.h - content as it may go over the wire (RFC 5321 2.3.8, 4.5.2), whatever it is made of
 *
 * Content comes from other processes with a word on whether a line begins with a dot. A broken one
 * could end the message early with that word, or with a bare LF at a next hop that takes it for a
 * line end, and put a message of its own behind it. So the last process before the wire looks for
 * itself: a look costs a small part of what the checksum does.
 *
 * Threads: any; the struct belongs to its owner.
 */
#ifndef OSTLER_SMTP_SMTP_TEXT_H
#define OSTLER_SMTP_SMTP_TEXT_H

#include "base/buf.h"

#include <stdbool.h>

struct smtp_text {
	bool in_line; /* the last byte did not end a line */
	bool has_cr;  /* it was a CR, which is held back */
};

/* Whole lines that end in CRLF, without other CR and LF, none of which begins with a dot. */
bool smtp_text_is_clean(struct slice text);

/* Appends the next bytes: dots doubled, bare LF made CRLF, bare CR a blank. Begins zeroed. */
void smtp_text_stuff(struct smtp_text *state, struct buf *out, struct slice bytes);
/* That was all: what is held back, and the end of an unfinished line. */
void smtp_text_end(struct smtp_text *state, struct buf *out);

#endif
