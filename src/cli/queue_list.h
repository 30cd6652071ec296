/*
 * queue_list.h - the queue as people read it: mailq's columns from lines of JSON (rules O20 to O32)
 *
 * Lines are objects with queue_name, queue_id, arrival_time, message_size, forced_expire, sender
 * and recipients; members that are not known are skipped, as are lines that are no message.
 *
 * Ownership: embedded; text is appended to the caller's buffer.
 * Errors:    ERR_SYNTAX: the line is no JSON object; ERR_LIMIT, ERR_NOMEM of the buffer.
 * Threads:   pure, but for the zone of local time.
 */
#ifndef OSTLER_CLI_QUEUE_LIST_H
#define OSTLER_CLI_QUEUE_LIST_H

#include "base/buf.h"

struct queue_list {
	const char *null_sender; /* shown for it: empty_address_recipient; borrowed */
	uint64_t count;
	uint64_t bytes;
};

/* Appends what a line becomes: the heading before the first message. */
MUST_USE enum err queue_list_add(struct queue_list *list, struct slice line, struct buf *text);

/* Appends the last lines. */
MUST_USE enum err queue_list_end(const struct queue_list *list, struct buf *text);

#endif
