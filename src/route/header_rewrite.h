/*
 * header_rewrite.h - addresses in the header of mail of our own users become what they should be
 *
 * Content (lines ending in CRLF, split anywhere) goes in and comes out; the addresses in From, To
 * and their like are completed and made canonical on the way (canonical.h). Only addresses that
 * change are touched: names, comments, folding and all other fields stay byte for byte, and so does
 * a field that cannot be read. The body passes untouched.
 *
 * Ownership: embedded; header_rewrite_done() frees. The configuration is borrowed for the call.
 * Limits:    HEADER_REWRITE_MAX bytes per field, before and after; what is behind a longer one is
 *            not rewritten. Errors: none. Threads: pure.
 */
#ifndef OSTLER_ROUTE_HEADER_REWRITE_H
#define OSTLER_ROUTE_HEADER_REWRITE_H

#include "base/buf.h"
#include "config/snapshot.h"

enum { HEADER_REWRITE_MAX = 100 * 1024 };

struct header_rewrite {
	struct buf field; /* lines of a field, not yet given out; then the begin of a line */
	size_t line;      /* where that line begins */
	bool is_over;     /* the rest is body */
};

void header_rewrite_init(struct header_rewrite *rewrite);
void header_rewrite_done(struct header_rewrite *rewrite);

/* A new message. */
void header_rewrite_begin(struct header_rewrite *rewrite);

/* Appends to `to` what is complete. */
void header_rewrite_feed(struct header_rewrite *rewrite, const struct config *config,
	struct slice bytes, struct buf *to);

/* At the end of the content: appends what is left. */
void header_rewrite_finish(
	struct header_rewrite *rewrite, const struct config *config, struct buf *to);

#endif
