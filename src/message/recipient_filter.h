/*
 * recipient_filter.h - the same recipient only once per message (rules K31 to K33)
 *
 * Recipients are the same if ORCPT, NOTIFY, original and final address are, in whatever case; with
 * enable_original_recipient = no, if the final address is: the first one's DSN attributes stay,
 * and originals are not kept at all. A full filter (duplicate_filter_limit) still knows what it
 * has, and lets everything else pass.
 *
 * Ownership: embedded; all zero is a filter that was not begun. recipient_filter_done() frees.
 * Limits:    duplicate_filter_limit keys; 0: no limit. Threads: pure.
 */
#ifndef OSTLER_MESSAGE_RECIPIENT_FILTER_H
#define OSTLER_MESSAGE_RECIPIENT_FILTER_H

#include "message/recipient_list.h"

#include <stdbool.h>

struct recipient_filter_key;

struct recipient_filter {
	struct recipient_filter_key *keys; /* hash */
	uint64_t max;
	bool by_original;
};

/* A new message: forgets all; max 0: no limit. */
void recipient_filter_begin(struct recipient_filter *filter, bool by_original, uint64_t max);
void recipient_filter_done(struct recipient_filter *filter);

/*
 * Appends what is new of `list` to `out`, and adds their number to *count. Errors as of
 * recipient_list_put(); what was appended before one stays.
 */
MUST_USE enum err recipient_filter_pass(
	struct recipient_filter *filter, struct slice list, struct buf *out, uint32_t *count);

#endif
