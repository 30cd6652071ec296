/*
 * received.h - fields that Ostler puts in front of a message: Received, Message-ID, Date, From
 *
 * Text of strangers (HELO, names, addresses) is made harmless here: control bytes, and in comments
 * parentheses and backslashes, become '?', so no field is ever injected. Lines end in CRLF.
 *
 * Ownership: appended to the caller's buffer, which stays as it was on failure.
 * Limits:    strangers' text is cut at RECEIVED_TEXT_MAX bytes; a field is at most RECEIVED_MAX
 *            bytes.
 * Errors:    ERR_LIMIT or ERR_NOMEM of the buffer. Threads: pure.
 */
#ifndef OSTLER_MESSAGE_RECEIVED_H
#define OSTLER_MESSAGE_RECEIVED_H

#include "base/buf.h"
#include "base/clock.h"
#include "message/date.h"

enum { RECEIVED_TEXT_MAX = 255, RECEIVED_MAX = 4096 };

struct received {
	struct slice helo;           /* empty for local submission */
	struct slice client_name;    /* verified, or "unknown" */
	struct slice client_address; /* 192.0.2.1 or IPv6:..., without brackets */
	struct slice myhostname;
	struct slice mail_name;      /* Ostler */
	struct slice protocol;       /* SMTP, ESMTP, UTF8SMTP ... */
	struct slice queue_id;       /* text */
	struct slice recipient;      /* internal form; empty unless it is the only one */
	struct wall at;
	const struct date_zone *zone; /* NULL: UTC */
	bool local;                  /* submitted by a user of this machine */
	uint32_t uid;                /* of that user */
};

/* The Received field, as Postfix lays it out. */
MUST_USE enum err received_format(const struct received *received, struct buf *head);

/* Message-ID: <yyyymmddhhmmss.QUEUEID@myhostname>. *ret_value (may be NULL) is the part in <>,
 * with the brackets, as a slice of `head`. */
MUST_USE enum err received_format_message_id(struct buf *head, struct wall at,
	struct slice queue_id, struct slice myhostname, struct slice *ret_value);

/* Date: of `at`. */
MUST_USE enum err received_format_date(
	struct buf *head, struct wall at, const struct date_zone *zone);

/*
 * From: of a sender (internal form; null sender: MAILER-DAEMON) and a full name, which may be
 * empty.
 */
MUST_USE enum err received_format_from(
	struct buf *head, struct slice sender, struct slice full_name);

#endif
