/*
 * base64.h - bytes as text and back (RFC 4648 4), where a text protocol must carry any byte
 *
 * Errors:  ERR_SYNTAX: not base64 with its padding; ERR_NOMEM, ERR_LIMIT of the buffer. On failure
 *          the buffer is as it was.
 * Threads: pure.
 */
#ifndef OSTLER_BASE_BASE64_H
#define OSTLER_BASE_BASE64_H

#include "base/buf.h"

/* Appends the text, padded, without line ends. */
MUST_USE enum err base64_encode(struct slice bytes, struct buf *text);

/* Appends the bytes. */
MUST_USE enum err base64_decode(struct slice text, struct buf *bytes);

#endif
