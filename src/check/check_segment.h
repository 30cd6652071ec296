/*
 * check_segment.h - one segment of the journal, looked at for what a recovery need not see (core)
 *
 * Recovery judges batches: whole, torn, damaged. This looks at the rest: that both copies of the
 * header are good, that the footer says what the records say, that each record of a whole batch has
 * a type this release knows and a payload with the right form.
 *
 * Ownership: texts are valid during the callback. Threads: pure.
 */
#ifndef OSTLER_CHECK_CHECK_SEGMENT_H
#define OSTLER_CHECK_CHECK_SEGMENT_H

#include "store/record.h"

/* `queue_id` 0: none, or not known. `can_repair`: copying what lives elsewhere mends it. */
typedef void check_segment_fn(
	void *ctx, uint64_t offset, uint64_t queue_id, const char *what, bool can_repair);

/* `limit`: LSN at which its batches end at the latest; what stands behind a gap counts too. */
void check_segment(struct slice bytes, const struct segment_header *header, uint64_t limit,
	check_segment_fn *fn, void *ctx);

#endif
