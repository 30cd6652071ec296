/*
 * state.h - what has become of a message so far: payloads of STATE and RESULT records
 *
 * A STATE is complete by itself: with the MESSAGE it says everything that a new process needs. A
 * RESULT is what one transaction changed and is applied on top. Reasons are stored once however
 * many recipients share them.
 *
 *	OPEN ──► DELIVERED                         finished
 *	     ──► DELIVERED_PENDING ──► DELIVERED   a success report is owed
 *	     ──► BOUNCE_PENDING ──► BOUNCED        a non-delivery report is owed, then was made (one
 *batch) ──► REMOVED                           by an operator, by name
 *
 * A finished recipient never opens again: state_set() and state_apply() ignore what arrives late.
 * An OPEN recipient may have a reason: that of its last deferral.
 *
 * Ownership: a struct state owns its memory; slices of reasons are valid until the next change.
 * Limits:    STATE_RECIPIENTS_MAX, STATE_REASONS_MAX (then the reason of a deferral is shared with
 *            the last one stored), STATE_TEXT_MAX bytes a text (longer is cut). Texts are cut
 *            further where a STATE would be longer than STATE_BYTES_MAX, or with more than
 *            100,000 recipients than a third of that and what these need, so that it can always be
 *            stored.
 * Errors:    ERR_SYNTAX, ERR_LIMIT, ERR_VERSION, ERR_NOMEM; after an error of state_decode() the
 *            struct is as after state_init(); state_apply() checks all before it changes anything.
 * Threads:   none.
 */
#ifndef OSTLER_MESSAGE_STATE_H
#define OSTLER_MESSAGE_STATE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum { STATE_RECIPIENTS_MAX = 1 << 20, STATE_REASONS_MAX = 16384, STATE_TEXT_MAX = 2048,
	STATE_BYTES_MAX = 1536 * 1024 };

enum state_class {
	STATE_OPEN = 0,
	STATE_DELIVERED = 1,
	STATE_DELIVERED_PENDING = 2,
	STATE_BOUNCE_PENDING = 3,
	STATE_BOUNCED = 4,
	STATE_REMOVED = 5,
	STATE_CLASS_COUNT,
};

enum state_flags {
	STATE_HELD = 1,         /* on hold */
	STATE_WARNED = 2,       /* the delay warning was sent */
	STATE_EXPIRE = 4,       /* an operator asked for expiry now */
	STATE_EXPIRE_TRIED = 8, /* the attempt that expiry demands was made */
	STATE_SUSPECT = 16,     /* a worker died with it; next attempt alone */
	STATE_RECORDED = 32,    /* the report on every recipient that was asked for is sent */
};

struct state_reason {
	struct slice dsn;        /* x.y.z */
	struct slice text;       /* as in the log's parentheses */
	struct slice remote_mta; /* host name, or empty */
	struct slice diagnostic; /* the peer's reply, or empty */
	uint64_t time_us;        /* when, wall time */
};

struct state_recipient {
	uint8_t class;       /* enum state_class */
	uint32_t reason;     /* 0: none, else place + 1 */
};

struct state_stored_reason;

struct state {
	uint32_t flags;            /* enum state_flags */
	uint32_t attempts;         /* of the message, the attempt number of the last lease */
	uint32_t worker_deaths;    /* workers that died with it */
	uint64_t last_attempt_us;
	uint64_t next_attempt_us;
	uint64_t warn_us;          /* delay warning due; 0: none */
	uint32_t recipient_count;
	uint32_t class_count[STATE_CLASS_COUNT]; /* how many recipients are in each */
	struct state_recipient *recipients;
	struct state_stored_reason *reasons;
	uint32_t reason_count, reason_cap;
};

/* All recipients OPEN, everything else 0. ERR_NOMEM, ERR_LIMIT. */
MUST_USE enum err state_init(struct state *state, uint32_t recipient_count);
void state_done(struct state *state);

/* OPEN, or a report is owed: something is left to do. */
bool state_is_live(const struct state *state);

enum state_class state_class(const struct state *state, uint32_t number);

/* False: the recipient has none. */
bool state_reason(const struct state *state, uint32_t number, struct state_reason *ret_reason);

/*
 * Moves a recipient along the picture above and stores the reason (NULL: none; for a pending
 * report becoming final NULL keeps it). False: not a step of the picture, nothing changed.
 * ERR_NOMEM aside (then the reason is dropped, never the class) it cannot fail. CHECKs number.
 */
bool state_set(struct state *state, uint32_t number, enum state_class to,
	const struct state_reason *reason);

/* Payload of a STATE record. */
MUST_USE enum err state_encode(const struct state *state, struct buf *bytes);

/*
 * The same, for what most deferred mail is: all recipients OPEN, all for one reason. What changes
 * with each attempt comes first, in a few bytes; the last *ret_shared bytes are the same for all
 * mail with that reason, number of recipients and flags. Times are kept to the millisecond,
 * rounded down. False: it is not of that kind, nothing was appended.
 */
bool state_encode_brief(const struct state *state, struct buf *bytes, size_t *ret_shared);

/* `recipient_count` is the MESSAGE's; another count in the payload is ERR_SYNTAX. */
MUST_USE enum err state_decode(
	struct slice bytes, uint32_t recipient_count, struct state *ret_state);

/*
 * --- payload of a RESULT record -----------------------------------------------------------------
 */

struct state_result {
	uint32_t number;
	uint8_t class; /* enum state_class; OPEN: was deferred */
	struct state_reason reason;
};

/* Starts a payload in an empty buffer. */
void state_result_begin(struct buf *bytes, uint32_t attempt, uint64_t time_us);

/* Appends one recipient; a reason equal to that of the recipient before it costs one byte. */
MUST_USE enum err state_result_put(struct buf *bytes, const struct state_result *result);

struct state_result_reader {
	struct slice rest;
	uint32_t attempt;
	uint64_t time_us;
	struct state_result last;
	bool first;
};

MUST_USE enum err state_result_read(struct slice bytes, struct state_result_reader *ret_reader);

/* ERR_NOTFOUND: the end. Slices point into the payload. */
MUST_USE enum err state_result_next(
	struct state_result_reader *reader, struct state_result *ret_result);

/* Applies a whole payload: attempts, last attempt, classes, reasons. */
MUST_USE enum err state_apply(struct state *state, struct slice result_bytes);

#endif
