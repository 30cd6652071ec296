/*
 * utf8.h - is it well-formed UTF-8 (RFC 3629)?
 *
 * Overlong forms, surrogates and anything above U+10FFFF are not. Controls U+0080 to U+009F are
 * not taken either: as bytes of an address they are never meant. Threads: pure.
 */
#ifndef OSTLER_MESSAGE_UTF8_H
#define OSTLER_MESSAGE_UTF8_H

#include "base/slice.h"

/* The bytes of the character at the front of text, 0 if it is none. ASCII counts, controls too. */
size_t utf8_length(struct slice text);

/* Whether all of text is. */
bool utf8_valid(struct slice text);

/* The largest length <= max at which text can be cut without breaking a character. */
size_t utf8_cut(struct slice text, size_t max);

#endif
