/*
 * report.h - delivery reports to senders: RFC 3464 in RFC 6522, per rules N39 to N48
 *
 * Builds the whole content of the report as a new message (header, three parts), lines in CRLF.
 * Date and Message-ID are written here too, as no other intake step follows. The boilerplate is in
 * report_text.c. Text of strangers cannot break a line, a field or the MIME boundary, which
 * is made unique against the returned bytes.
 *
 * Ownership: inputs are borrowed during the call; output is appended to the caller's buffer.
 * Limits:    REPORT_RECIPIENTS_MAX recipients a report; the buffer's limit. Content beyond
 *            size_limit is not returned, only its header.
 * Errors:    ERR_LIMIT, ERR_NOMEM of the buffer, which stays as it was. Threads: pure.
 */
#ifndef OSTLER_MESSAGE_REPORT_H
#define OSTLER_MESSAGE_REPORT_H

#include "base/buf.h"
#include "base/clock.h"
#include "message/date.h"

enum { REPORT_RECIPIENTS_MAX = 1000 };

enum report_kind { REPORT_FAILURE, REPORT_DELAY, REPORT_SUCCESS, REPORT_VERIFY };

enum report_action {
	REPORT_ACTION_FAILED,
	REPORT_ACTION_DELAYED,
	REPORT_ACTION_DELIVERED,
	REPORT_ACTION_RELAYED,
	REPORT_ACTION_EXPANDED,
	REPORT_ACTION_DELIVERABLE,
	REPORT_ACTION_UNDELIVERABLE,
};

struct report_recipient {
	struct slice address;  /* internal form */
	struct slice original; /* internal form, or empty */
	struct slice orcpt;    /* type;address, or empty */
	enum report_action action; /* a failure report always says failed */
	struct slice status;   /* x.y.z; anything else becomes 5.0.0, 4.0.0 or 2.0.0 by kind */
	struct slice reason;   /* as in the log */
	struct slice remote_mta; /* host name, or empty */
	struct slice diagnostic; /* the peer's reply, or empty */
};

/* An administrator's words instead of ours; empty: ours. */
struct report_template {
	struct slice charset, from, subject, postmaster_subject;
	struct slice text; /* lines in CRLF; is_set without a text: none */
	bool is_set;
};

struct report {
	enum report_kind kind;
	struct report_template template;
	bool postmaster;              /* a postmaster copy: no boilerplate, other subject */
	struct slice myhostname;
	struct slice mail_name;       /* empty: Ostler */
	struct slice report_id; /* queue ID of the report itself, text: Message-ID, boundary */
	struct slice queue_id;        /* of the original, text */
	struct slice sender;          /* of the original, internal form */
	struct slice to;              /* whom the report goes to, internal form */
	struct slice envid;           /* of the original, decoded, or empty */
	struct slice message_id;      /* of the original, with brackets, or empty: no References */
	struct wall now;
	struct wall arrival;          /* of the original */
	uint64_t lifetime_s;          /* the one that counts, for delay reports */
	struct wall expires;          /* when the original does, for delay reports */
	const struct date_zone *zone; /* NULL: UTC */
	bool smtputf8;                /* the original asked for it */
	bool threaded;                /* enable_threaded_bounces */
	bool from_obsolete;           /* header_from_format: address (name) */
	uint8_t ret;                  /* enum dsn_ret of the original */
	struct slice head;            /* fields put in front of the original */
	struct slice content;         /* the original: whole, or at least its header */
	bool content_whole; /* content is all of it; else at most the header is returned */
	bool content_missing;         /* it could not be read (rule N33) */
	uint64_t content_head_length; /* where the original's body begins */
	uint64_t size_limit;          /* bounce_size_limit */
	const struct report_recipient *recipients;
	size_t recipient_count;       /* 1 to REPORT_RECIPIENTS_MAX: CHECKed */
};

struct report_facts {
	uint64_t head_length; /* bytes of the report's header with its empty line */
	bool eight_bit;
	bool dotted;          /* a line starts with a dot */
	struct slice message_id; /* with brackets, a slice of the buffer */
};

/* Appends the report. */
MUST_USE enum err report_format(
	const struct report *report, struct buf *content, struct report_facts *ret_facts);

#endif
