/*
 * json_text.h - answers in JSON as people read them
 *
 * Threads: pure.
 */
#ifndef OSTLER_CLI_JSON_TEXT_H
#define OSTLER_CLI_JSON_TEXT_H

#include "base/buf.h"

struct json_text {
	char text[1200];
};

/* A string for a terminal: control bytes become ?, what is too long ends in "...". */
struct json_text json_text_clean(const char *string);

/* "349 us", "12 s", "2.08 h". */
MUST_USE enum err json_text_duration(uint64_t us, struct buf *text);

/*
 * Appends an object as lines "name: value", what is nested two columns further in. Numbers whose
 * name ends in _bytes, _us, _s, _time, _at, _last are written as sizes, durations and local times;
 * in reals and behind "-" they stay numbers. Strings keep
 * their line ends when they are the member named `verbatim` (may be NULL), which comes last.
 * ERR_SYNTAX: no JSON object.
 */
MUST_USE enum err json_text_format(struct slice json, const char *verbatim, struct buf *text);

#endif
