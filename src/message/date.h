/*
 * date.h - dates as RFC 5322 and rule N47 write them: Www, dd Mon yyyy hh:mm:ss +zzzz (ZONE)
 *
 * The zone is an argument, because a core never asks the system for it; NULL is UTC.
 * Ownership: none. Errors: none; years end at 9999. Threads: pure.
 */
#ifndef OSTLER_MESSAGE_DATE_H
#define OSTLER_MESSAGE_DATE_H

#include "base/clock.h"
#include "base/slice.h"

enum { DATE_TEXT_SIZE = 56, DATE_STAMP_SIZE = 15, DATE_MBOX_SIZE = 25, DATE_ZONE_NAME_SIZE = 8 };

struct date_zone {
	int32_t offset_s;               /* east of UTC, less than a day */
	char name[DATE_ZONE_NAME_SIZE]; /* "UTC"; empty: no comment behind the offset */
};

/* Writes a NUL-terminated date; returns it as a slice of ret_text. */
struct slice date_format(
	char ret_text[DATE_TEXT_SIZE], struct wall at, const struct date_zone *zone);

/* "Thu Nov 26 20:26:50 2026" in UTC, as behind "From " in mailbox files. */
struct slice date_mbox(char ret_text[DATE_MBOX_SIZE], struct wall at);

/* yyyymmddhhmmss in UTC, as in a Message-ID. */
struct slice date_stamp(char ret_text[DATE_STAMP_SIZE], struct wall at);

#endif
