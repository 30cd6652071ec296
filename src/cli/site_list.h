/*
 * site_list.h - sites as people read them: a line each, and below it what is the matter there
 *
 * Lines are objects as qmgr answers to "sites": transport, name, state, waiting, parked, busy,
 * limit, sessions, and if there is trouble reason, because, next_probe_s, suspended_s, slowed_s,
 * slowed_to_per_hour; members that are not known are skipped.
 *
 * Ownership: text is appended to the caller's buffer; *count is the caller's, 0 at the start.
 * Errors:    ERR_SYNTAX: the line is no JSON object; ERR_LIMIT, ERR_NOMEM of the buffer.
 * Threads:   pure.
 */
#ifndef OSTLER_CLI_SITE_LIST_H
#define OSTLER_CLI_SITE_LIST_H

#include "base/buf.h"

/* Appends what a line becomes: the heading before the first site. */
MUST_USE enum err site_list_add(uint64_t *count, struct slice line, struct buf *text);

/* Appends what an empty list says. */
MUST_USE enum err site_list_end(uint64_t count, struct buf *text);

#endif
