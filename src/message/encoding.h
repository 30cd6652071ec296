/*
 * encoding.h - bytes as quoted-printable or base64, as they come (RFC 2045 6.7, 6.8)
 *
 * Lines have at most ENCODING_LINE_MAX bytes in front of their CRLF. Line ends are told apart from
 * other bytes by the caller: encoding_newline(). No line of quoted-printable begins with a '-', so
 * that none can be taken for a MIME boundary.
 *
 * Ownership: the struct is embedded; it begins with its kind, otherwise zeroed.
 * Threads:   pure.
 */
#ifndef OSTLER_MESSAGE_ENCODING_H
#define OSTLER_MESSAGE_ENCODING_H

#include "base/buf.h"

enum { ENCODING_LINE_MAX = 76, ENCODING_BASE64_GROUP = 57 };

enum encoding_kind { ENCODING_QUOTED_PRINTABLE, ENCODING_BASE64 };

struct encoding {
	enum encoding_kind kind;
	unsigned column; /* quoted-printable: bytes in the line so far */
	uint8_t blank;   /* quoted-printable: a blank that is held back, it may end the line */
	size_t held_len; /* base64: bytes that do not fill a line yet */
	uint8_t held[ENCODING_BASE64_GROUP];
};

/* Appends what the bytes, none of which ends a line, are encoded to. */
void encoding_put(struct encoding *encoding, struct buf *out, struct slice bytes);
void encoding_newline(struct encoding *encoding, struct buf *out);

/*
 * That was all. base64 ends with CRLF; quoted-printable ends as the text does, but a last line
 * without an end gets a soft one when `wants_line` is set.
 */
void encoding_end(struct encoding *encoding, struct buf *out, bool wants_line);

#endif
