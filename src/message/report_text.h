/*
 * report_text.h - the words of delivery reports: subjects and boilerplate (rules N40, N48)
 *
 * Ownership: constants; appended to the caller's buffer. Threads: pure.
 */
#ifndef OSTLER_MESSAGE_REPORT_TEXT_H
#define OSTLER_MESSAGE_REPORT_TEXT_H

#include "message/report.h"

/* Without the field's name. */
const char *report_text_subject(enum report_kind kind, bool postmaster);

/* Greeting and explanation, lines in CRLF. */
MUST_USE enum err report_text_put(const struct report *report, struct buf *content);

#endif
