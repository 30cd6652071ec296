/*
 * xtext.h - RFC 3461 xtext: the coding of ENVID and ORCPT
 *
 * Errors:  ERR_SYNTAX: bytes outside of the grammar, or a decoded control byte; ERR_LIMIT: the
 *          buffer is full. On failure the buffer is as it was.
 * Limits:  those of the buffer. Threads: pure.
 */
#ifndef OSTLER_MESSAGE_XTEXT_H
#define OSTLER_MESSAGE_XTEXT_H

#include "base/buf.h"
#include "base/err.h"

/*
 * Appends the decoded bytes. Only printable ASCII may come out, with utf8 also well-formed UTF-8,
 * so a decoded text can never bring a line end into a record, a report or a log.
 */
MUST_USE enum err xtext_decode(struct slice text, bool utf8, struct buf *plain);

/* Appends the coded form: '+', '=', blanks and everything that is not printable ASCII as +XX. */
MUST_USE enum err xtext_encode(struct slice plain, struct buf *text);

/*
 * Appends an address of type utf-8 in ASCII (RFC 6533 3, utf-8-addr-xtext): '\\', '+', '=', blanks
 * and what is not printable ASCII as \x{HEX}. Good in ORCPT too, as nothing is left to be coded. A
 * byte that is not UTF-8 stands for itself.
 */
MUST_USE enum err xtext_encode_utf8(struct slice plain, struct buf *text);

#endif
