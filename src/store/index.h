/*
 * index.h - what is known of every message in memory: where it lies, when it is due (core)
 *
 * A slot of 48 bytes per message, found by queue ID (linear hashing: it grows one bucket at a
 * time, so no insertion is slow) and by due time (a heap). Slots, buckets and heap lie in chunks
 * that never move and are never given back: no allocation per message, no copy while growing.
 *
 * A *ref* is the number of a slot, from 1 on. The ref of a removed message is not given out again
 * before index_settle(), so that whoever hears of its end can still name it.
 *
 * Limits:  48 bytes of slot, 4 of bucket and 4 of heap per message, and one chunk of each.
 * Threads: one.
 */
#ifndef OSTLER_STORE_INDEX_H
#define OSTLER_STORE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INDEX_FLAGS 15u
#define INDEX_SIZE_MASK 8191u
#define INDEX_WORD_MASK ((UINT64_C(1) << 52) - 1)

enum { INDEX_CHUNK = 8192 };

struct index_slot {
	uint64_t queue_id;
	uint64_t arrival_us : 52; /* until 2112 */
	uint64_t fingerprint_low : 12; /* of its addresses, see store.h */
	uint64_t message_lsn : 52; /* newest MESSAGE record; enough for 4 million GB */
	uint64_t fingerprint_high : 12;
	uint64_t state_lsn;   /* newest durable STATE; 0: none */
	uint32_t due_s;       /* wall time */
	uint32_t hash_next;   /* ref; also chains free slots */
	uint32_t heap_at;     /* place in the heap + 1; 0: not scheduled */
	uint32_t message_size : 13; /* of the records, packed as summary.h says */
	uint32_t state_size : 13;
	uint32_t flags : 4; /* enum record_state_flag */
	uint32_t is_used : 1;
	uint32_t is_durable : 1;
};

/* An array of words in chunks. */
struct index_words {
	uint32_t **chunks;
	uint32_t chunk_count;
};

struct index {
	struct index_slot **chunks;
	uint32_t chunk_count;
	uint32_t slot_count; /* ever used */
	uint32_t free, limbo;
	uint32_t count;
	struct index_words buckets;
	uint32_t bucket_count;
	struct index_words heap;
	uint32_t heap_count;
};

void index_init(struct index *index);
void index_done(struct index *index);

/* A new slot, zero but for the queue ID, which must not be there yet. */
uint32_t index_add(struct index *index, uint64_t queue_id);
void index_remove(struct index *index, uint32_t ref);
/* Refs removed since the last call may be used again. */
void index_settle(struct index *index);

/* 0: not there. */
uint32_t index_find(const struct index *index, uint64_t queue_id);
/* The next used slot behind `ref`; 0: no more. */
uint32_t index_next(const struct index *index, uint32_t ref);
/* The slot of a ref; it never moves. */
struct index_slot *index_slot(const struct index *index, uint32_t ref);
uint32_t index_fingerprint(const struct index_slot *slot);
void index_set_fingerprint(struct index_slot *slot, uint32_t fingerprint);
bool index_is_used(const struct index *index, uint32_t ref);

/* Puts a message at its place in the schedule, by due time and then arrival; again after either
 * changed. */
void index_schedule(struct index *index, uint32_t ref);
void index_unschedule(struct index *index, uint32_t ref);
/* The earliest, 0: none. */
uint32_t index_first(const struct index *index);

#endif
