/*
 * transcript.h - what was said in an SMTP session, for a notice to the postmaster
 *
 * Commands and replies only: the caller never adds content. What follows AUTH and its mechanism is
 * left out here, whoever adds it. Lines are made printable ASCII, cut, and end in LF; of a long
 * session the beginning is dropped.
 *
 * Ownership: the struct is embedded. Limits: TRANSCRIPT_LINES_MAX lines, TRANSCRIPT_BYTES_MAX
 *            bytes, TRANSCRIPT_LINE_MAX a line.
 * Threads:   pure.
 */
#ifndef OSTLER_MESSAGE_TRANSCRIPT_H
#define OSTLER_MESSAGE_TRANSCRIPT_H

#include "base/buf.h"

enum {
	TRANSCRIPT_LINES_MAX = 100,
	TRANSCRIPT_BYTES_MAX = 8 * 1024,
	TRANSCRIPT_LINE_MAX = 256,
};

struct transcript {
	bool is_kept; /* else nothing is added: nobody would read it */
	struct buf lines;
	unsigned line_count;
	uint64_t dropped; /* lines */
};

void transcript_init(struct transcript *transcript, bool is_kept);
void transcript_done(struct transcript *transcript);

/* One line, "Out: " or "In:  " in front of it; `text` without line end. */
void transcript_put(struct transcript *transcript, const char *who, struct slice text);
/* Lines in CRLF or LF. */
void transcript_put_lines(struct transcript *transcript, const char *who, struct slice text);

#endif
