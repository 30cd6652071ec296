/*
 * notice.h - a mail to the postmaster about an SMTP session with errors: its whole content
 *
 * Text only: who it was with, what was said, and how many such notices were not sent before.
 *
 * Ownership: inputs are borrowed during the call; output is appended to the caller's buffer.
 * Limits:    what the transcript has (transcript.h), whoever made it; the buffer's limit.
 * Errors:    ERR_LIMIT, ERR_NOMEM of the buffer, which stays as it was. Threads: pure.
 */
#ifndef OSTLER_MESSAGE_NOTICE_H
#define OSTLER_MESSAGE_NOTICE_H

#include "base/buf.h"
#include "base/clock.h"

enum notice_side { NOTICE_SERVER, NOTICE_CLIENT, NOTICE_SIDE_COUNT };

struct notice {
	enum notice_side side; /* which of the two we were */
	struct slice myhostname, mail_name;
	struct slice to;         /* internal form */
	struct slice notice_id;  /* queue ID of the notice, text */
	struct slice peer;       /* name[address] */
	struct slice transcript; /* lines in LF */
	struct slice reason;     /* why the session was broken off, or empty */
	struct wall now;
	bool from_obsolete;      /* header_from_format: address (name) */
	uint64_t suppressed;     /* notices that were not sent before this one */
};

struct notice_facts {
	uint64_t head_length; /* bytes of the header with its empty line */
	struct slice message_id; /* with brackets, a slice of the buffer */
};

/* Appends the mail: lines in CRLF, none of which begins with a dot, printable ASCII only. */
MUST_USE enum err notice_format(
	const struct notice *notice, struct buf *content, struct notice_facts *ret_facts);

#endif
