/*
 * queue_id.h - queue IDs: the number in records and frames, the text in logs and replies
 *
 * The number is (microseconds since 1970 << 12) | sequence, so IDs grow with time and are good
 * until the year 2112. The text is Postfix's long form (rule L7): seconds in base 52 (at least 6
 * characters), microseconds of the second in base 52 (exactly 4), the letter z, the sequence in
 * base 51. Each number has exactly one text and the parser takes no other.
 *
 * Ownership: none. Errors: ERR_SYNTAX of the parser only. Threads: pure.
 */
#ifndef OSTLER_MESSAGE_QUEUE_ID_H
#define OSTLER_MESSAGE_QUEUE_ID_H

#include "base/err.h"
#include "base/slice.h"

enum { QUEUE_ID_SEQUENCE_BITS = 12, QUEUE_ID_SEQUENCE_MAX = 4095 };
enum { QUEUE_ID_TEXT_MAX = 15, QUEUE_ID_TEXT_SIZE = QUEUE_ID_TEXT_MAX + 1 };
#define QUEUE_ID_TIME_US_MAX ((UINT64_C(1) << 52) - 1)

/*
 * A number of its parts; time_us is at most QUEUE_ID_TIME_US_MAX, sequence QUEUE_ID_SEQUENCE_MAX.
 */
uint64_t queue_id_make(uint64_t time_us, unsigned sequence);

/* The microseconds since 1970 in an ID. */
uint64_t queue_id_time_us(uint64_t id);

/* Writes the text with a NUL behind it; returns it as a slice of ret_text. */
struct slice queue_id_format(uint64_t id, char ret_text[QUEUE_ID_TEXT_SIZE]);

/* The number of a text. ERR_SYNTAX: no text that queue_id_format() makes. */
MUST_USE enum err queue_id_parse(struct slice text, uint64_t *ret_id);

#endif
