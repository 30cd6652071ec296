/*
 * mail_text.h - writing a mail of our own: pieces one after the other, the first error is kept
 *
 * So the layout of a report or notice reads straight through, and is looked at for errors once, at
 * its end.
 *
 * Ownership: `out` is the caller's.
 * Errors:    in `err`: ERR_LIMIT, ERR_NOMEM of the buffer; after one, nothing more is written.
 * Threads:   pure.
 */
#ifndef OSTLER_MESSAGE_MAIL_TEXT_H
#define OSTLER_MESSAGE_MAIL_TEXT_H

#include "base/buf.h"
#include "base/clock.h"

struct mail_text {
	struct buf *out;
	enum err err;
	bool is_ascii;           /* what strangers say is written in ASCII only */
	size_t id_start, id_end; /* of the Message-ID in `out` */
};

void mail_put(struct mail_text *text, struct slice bytes);
void mail_put_str(struct mail_text *text, const char *string);

/* Text of a stranger: what could leave its line becomes '?', with is_ascii also what is beyond. */
void mail_put_clean(struct mail_text *text, struct slice words);

/* An address as it is written; one that cannot be is written as a stranger's text. */
void mail_put_address(struct mail_text *text, struct slice address);

/* "From: " and the mail system's name, without the end of the line; the obsolete form has the name
 * behind the address. */
void mail_put_from(struct mail_text *text, struct slice hostname, bool is_obsolete);

/* A Message-ID of ours, in angle brackets; its place is noted. */
void mail_put_id(
	struct mail_text *text, struct wall now, struct slice queue_id, struct slice hostname);

/* That Message-ID; it stands until `out` changes. */
struct slice mail_text_id(const struct mail_text *text);

#endif
