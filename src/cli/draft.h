/*
 * draft.h - a message as a program hands it to sendmail: its header is read and cleaned
 *
 * Dropped fields: Bcc, Resent-Bcc (nobody else may see them), Return-Path, Content-Length (they
 * belong to delivered mail). A line "From ..." in front, as in mailboxes, is dropped too. An empty
 * line is put behind the header where there is none.
 *
 * Recipients come from To, Cc and Bcc, or, when the message was resent, from Resent-To, Resent-Cc
 * and Resent-Bcc alone.
 *
 * Ownership: borrowed input; output is appended to the caller's buffers.
 * Errors:    ERR_AGAIN: the header does not end in these bytes; ERR_LIMIT, ERR_NOMEM.
 * Threads:   pure.
 */
#ifndef OSTLER_CLI_DRAFT_H
#define OSTLER_CLI_DRAFT_H

#include "base/buf.h"

struct draft {
	struct buf head;       /* the header that goes on, with its empty line */
	struct buf recipients; /* values of the fields, one behind the other with commas */
	size_t used;	       /* bytes of the input that were the header */
};

void draft_init(struct draft *draft);
void draft_done(struct draft *draft);

/* `is_whole`: nothing follows the input. Called again with more until it is not ERR_AGAIN. */
MUST_USE enum err draft_parse(struct draft *draft, struct slice input, bool is_whole);

#endif
