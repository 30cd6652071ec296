/*
 * reply.h - an SMTP reply as data: code, enhanced status, text
 *
 * For replies that we give, and for text that a peer gave and that is taken apart for results.
 * Ownership: struct reply is a value, fixed size, no pointers.
 * Limits:    REPLY_TEXT_MAX bytes; longer text is cut at the end of a character (a reply is for
 *            people; what is decided by is the code).
 * Errors:    ERR_SYNTAX of the parser. Threads: pure.
 */
#ifndef OSTLER_MESSAGE_REPLY_H
#define OSTLER_MESSAGE_REPLY_H

#include "base/buf.h"
#include "base/err.h"
#include "message/dsn.h"

enum { REPLY_TEXT_MAX = 480, REPLY_LINE_MAX = 510 };

struct reply {
	uint16_t code;                /* 200 to 599 */
	char status[DSN_STATUS_MAX + 1]; /* x.y.z, or "" */
	char text[REPLY_TEXT_MAX + 1];   /* printable, one line, NUL-terminated */
};

/* Sets all; control bytes of the text become blanks. status may be "". CHECKs code and status. */
void reply_set(struct reply *ret_reply, unsigned code, const char *status, const char *format, ...)
	FORMAT_PRINTF(4, 5);

/*
 * Takes `550 5.1.1 text`, one line without CRLF; "550-", "550" alone and no status are fine too.
 */
MUST_USE enum err reply_parse(struct slice line, struct reply *ret_reply);

/* Appends "550 5.1.1 text\r\n". */
MUST_USE enum err reply_format(const struct reply *reply, struct buf *out);

/* The status, or x.0.0 made of the code; valid as long as the reply. Writes into ret_status. */
void reply_status(const struct reply *reply, char ret_status[DSN_STATUS_MAX + 1]);

/* What the code means for a delivery. */
static inline bool
reply_is_success(const struct reply *reply)
{
	return reply->code / 100 == 2;
}

static inline bool
reply_is_permanent(const struct reply *reply)
{
	return reply->code / 100 == 5;
}

#endif
