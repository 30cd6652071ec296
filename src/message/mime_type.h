/*
 * mime_type.h - the values of Content-Type and Content-Transfer-Encoding (RFC 2045 5, 6)
 *
 * Strangers' fields are read as leniently as readers of mail do: comments and folds are skipped,
 * a parameter's value may be quoted or go up to the next blank or ';'. What cannot be read is
 * text/plain (RFC 2045 5.2), or an unknown encoding.
 *
 * Limits:  MIME_TYPE_BOUNDARY_MAX bytes of a boundary (RFC 2046 allows 70); a longer one, an empty
 *          one and one in pieces (RFC 2231) count as missing.
 * Errors:  none: any bytes are fine. Threads: pure.
 */
#ifndef OSTLER_MESSAGE_MIME_TYPE_H
#define OSTLER_MESSAGE_MIME_TYPE_H

#include "base/slice.h"

enum { MIME_TYPE_BOUNDARY_MAX = 200 };

enum mime_kind {
	MIME_TEXT,
	MIME_MULTIPART,
	MIME_DIGEST,  /* multipart/digest: its parts are messages unless they say otherwise */
	MIME_MESSAGE, /* message/rfc822, and message/news */
	MIME_PIECE,   /* message/partial, message/external-body: must be 7-bit */
	MIME_OTHER,   /* among them further kinds of message/ */
};

enum mime_encoding {
	MIME_7BIT,
	MIME_8BIT, /* or binary */
	MIME_ENCODED, /* quoted-printable, base64, and whatever else */
};

struct mime_type {
	enum mime_kind kind;
	size_t boundary_len; /* 0: it has none */
	uint8_t boundary[MIME_TYPE_BOUNDARY_MAX];
};

void mime_type_parse(struct slice value, struct mime_type *ret_type);
enum mime_encoding mime_type_encoding(struct slice value);

#endif
