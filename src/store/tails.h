/*
 * tails.h - ends of states in the segment that is being written, which others may share (core)
 *
 * Mail that waits for one site waits for one reason, and only a few bytes of its states differ. A
 * state with an end that is known here is written as a RECORD_BRIEF, which names the STATE that has
 * it. That one must lie in the same segment: so it is there as long as the BRIEF is.
 *
 * A damaged STATE takes those along that name it, so each is named TAILS_USES_MAX times at most.
 *
 * Limits:  TAILS_BYTES_MAX of ends; when it is full, all are forgotten.
 * Threads: one.
 */
#ifndef OSTLER_STORE_TAILS_H
#define OSTLER_STORE_TAILS_H

#include "base/slice.h"

#include <stdint.h>
#include <uthash.h>

enum { TAILS_USES_MAX = 256, TAILS_BYTES_MAX = 4 * 1024 * 1024 };

struct tail {
	UT_hash_handle hh;
	uint32_t place; /* of the STATE, as in struct record_brief */
	uint32_t uses;
	size_t len;
	uint8_t bytes[];
};

struct tails {
	struct tail *table;
	uint64_t segment; /* base of the segment that they lie in */
	size_t size;
};

/* Forgets all: where what was appended may not have been written, and at the end. */
void tails_clear(struct tails *tails);

/* Who has this end in this segment; one use more. NULL: nobody, or it was used often enough. */
const struct tail *tails_use(struct tails *tails, uint64_t segment, struct slice end);

/* A STATE with this end lies there from now on. */
void tails_put(struct tails *tails, uint64_t segment, struct slice end, uint32_t place);

#endif
