/*
 * envelope.h - what belongs to a message besides its content and recipients, as typed attributes
 *
 * Bytes: per attribute {u16 id, u8 flags (bit 0: critical), u32 length, value}; integers
 * little-endian in their own width. Written by smtpd, pickup and qmgr, stored in MESSAGE records,
 * sent with work. Envelopes cross process and release borders: nothing is believed. An unknown
 * skippable attribute is kept and written again by envelope_encode(); an unknown critical one
 * stops the decoder.
 *
 * Ownership: slices of a decoded envelope point into its bytes, `source` too; keep those as long.
 * Limits:    ENVELOPE_MAX bytes, ENVELOPE_ATTRIBUTES_MAX attributes, bytes fields as the table
 *            says.
 * Errors:    ERR_SYNTAX, ERR_LIMIT, ERR_VERSION. Threads: pure.
 */
#ifndef OSTLER_MESSAGE_ENVELOPE_H
#define OSTLER_MESSAGE_ENVELOPE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum { ENVELOPE_MAX = 64 * 1024, ENVELOPE_ATTRIBUTES_MAX = 256 };

enum envelope_flags {
	ENVELOPE_PROBE = 1,     /* MTA_VRFY: an address probe */
	ENVELOPE_WHATIF = 2,    /* USR_VRFY: sendmail -bv */
	ENVELOPE_RECORD = 4,    /* sendmail -v */
	ENVELOPE_BOUNCE = 8,    /* one of our own reports */
	ENVELOPE_HOLD = 16,     /* goes on hold at arrival */
	ENVELOPE_DOUBLE_BOUNCE = 32, /* a report about a report */
};

enum envelope_smtputf8 {
	ENVELOPE_SMTPUTF8_NEEDED = 1, /* next hops must speak it: the header is not ASCII */
	ENVELOPE_SMTPUTF8_ASKED = 2,  /* it is needed only if an address is not ASCII */
};

/* envelope.priority of MT-PRIORITY=0; -9 to 9 are around it. */
enum { ENVELOPE_PRIORITY_ZERO = 10 };

enum envelope_rewrite {
	ENVELOPE_REWRITE_LOCAL = 0,  /* completed with myorigin and mydomain */
	ENVELOPE_REWRITE_REMOTE = 1, /* a stranger's: header addresses stay as they are */
};

struct envelope {
#define NUMBER(id, critical, field, type, meaning) type field;
#define BYTES(id, critical, field, max, meaning) struct slice field;
#include "message/envelope.def"
#undef NUMBER
#undef BYTES
	struct slice source; /* the bytes this was decoded from, for their unknown attributes */
};

/* A digit, with or without a minus (RFC 6710), as envelope.priority has it; ERR_SYNTAX. */
MUST_USE enum err envelope_priority_parse(struct slice text, uint8_t *ret_priority);

/* Everything at its default. */
void envelope_init(struct envelope *envelope);

/*
 * Arrival now, and when a delay is to be told (rule B11): fixed here, never for the null sender.
 * warning_s: delay_warning_time; 0: never.
 */
void envelope_stamp(struct envelope *envelope, uint64_t now_us, uint64_t warning_s);

/* Appends the bytes. ERR_LIMIT: a field or the whole is too long; then nothing was appended. */
MUST_USE enum err envelope_encode(const struct envelope *envelope, struct buf *bytes);

/* The other way. An attribute given twice, or one of a wrong length, is ERR_SYNTAX. */
MUST_USE enum err envelope_decode(struct slice bytes, struct envelope *ret_envelope);

#endif
