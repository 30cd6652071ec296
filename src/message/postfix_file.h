/*
 * postfix_file.h - reads a file of a Postfix queue: envelope, recipients, content
 *
 * Such a file is a sequence of records {u8 type, length in groups of 7 bits, least significant
 * first, the high bit says that more follow; bytes}. Three segments follow each other: envelope
 * (up to M), content (N: a line; L: a part of one; up to X) and what was extracted from the header
 * (up to E). A pointer record (p) goes on elsewhere in the file, padding (w) is skipped. Without E
 * the file was never finished.
 *
 * What is not read here: logging of the client, filters, inspectors, warning times, and how often
 * it was tried. A message that asks for what Ostler does not do (a redirect, a probe of addresses)
 * is not taken at all.
 *
 * Ownership: slices point into the bytes that were given; content and recipients belong to the
 *            struct, postfix_file_done() frees.
 * Limits:    POSTFIX_FILE_RECIPIENTS_MAX, as many records as the bytes can hold without a loop.
 * Errors:    ERR_AGAIN (no end: not fully written), ERR_SYNTAX (damaged), ERR_VERSION (asks for
 *            what we do not do), ERR_LIMIT, ERR_NOMEM. Threads: pure.
 */
#ifndef OSTLER_MESSAGE_POSTFIX_FILE_H
#define OSTLER_MESSAGE_POSTFIX_FILE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum { POSTFIX_FILE_RECIPIENTS_MAX = 50000 };

/* One that is left to do. */
struct postfix_file_recipient {
	struct slice address;
	struct slice original; /* before rewriting; may be empty */
	struct slice orcpt;    /* DSN ORCPT, decoded; may be empty */
	uint8_t notify;	       /* enum dsn_notify bits */
};

struct postfix_file {
	struct slice sender;
	struct slice full_name; /* of a local sender; maildrop only */
	uint64_t arrival_us;
	uint64_t created_us; /* 0: as arrival */
	uint8_t ret;	     /* enum dsn_ret */
	struct slice envid;
	bool body_8bit;
	bool smtputf8;
	struct buf content; /* lines end in LF; the last one may lack it */
	struct postfix_file_recipient *recipients;
	size_t recipient_count;
	size_t done_count; /* recipients that are finished */
};

/* `is_maildrop`: written by postdrop, without the record of sizes that all others begin with. */
MUST_USE enum err postfix_file_read(
	struct slice bytes, bool is_maildrop, struct postfix_file *ret_file);

/* Also fine for a struct of zeroes. */
void postfix_file_done(struct postfix_file *file);

#endif
