/*
 * cache.h - messages in memory: pinned ones, those being read, bodies that may go (core)
 *
 * An entry exists for a message that is pinned, read or written, that has RESULTs which no STATE
 * has folded yet, or that owns a large file. Bodies are counted; the one used longest ago goes
 * first when there are more than cache_max bytes of them. The rest of a pinned message stays.
 *
 * The *items* of an entry are its RESULTs behind the last durable STATE, and the STATEs and
 * RESULTs that are being written, in the order of the journal. What a message looks like is its
 * durable state with the items applied.
 *
 * The *unknowns* of an entry are records of types that only a later release knows; nothing is
 * known of them but that they belong to the message, until it ends.
 *
 * Ownership: entries belong to the cache; slices of them live as store.h says.
 * Threads:   one.
 */
#ifndef OSTLER_STORE_CACHE_H
#define OSTLER_STORE_CACHE_H

#include "store/disk.h"
#include "store/store.h"

#include <sys/queue.h>
#include <uthash.h>

struct cache_item {
	TAILQ_ENTRY(cache_item) link;
	uint16_t type; /* RECORD_STATE or RECORD_RESULT; in `unknowns` that of the record */
	bool is_durable;
	bool has_payload;
	uint16_t size;
	uint64_t lsn;
	uint64_t due_us; /* STATE */
	uint32_t flags;  /* STATE; in `unknowns` enum record_flag */
	struct buf payload;
};
TAILQ_HEAD(cache_items, cache_item);

struct cache_waiter {
	STAILQ_ENTRY(cache_waiter) link;
	bool is_load; /* else a body is wanted */
	store_loaded_fn *loaded;
	void *ctx;
};
STAILQ_HEAD(cache_waiters, cache_waiter);

struct cache_entry {
	UT_hash_handle hh;
	TAILQ_ENTRY(cache_entry) lru;     /* while has_body */
	TAILQ_ENTRY(cache_entry) ready;   /* while is_ready */
	struct store *store;
	store_ref ref;
	uint64_t queue_id;
	bool is_pinned;
	bool is_new;     /* its MESSAGE is not durable yet */
	bool is_ending;  /* its DONE is being written */
	bool is_gone;    /* it ended, but a read is under way */
	bool is_damaged; /* the cleaner could not read it */
	bool has_parts, has_body;
	bool is_reading; /* somebody waits for it */
	bool is_ready;   /* nothing is read for it: its waiters are told in the next step */
	bool is_busy;    /* op is under way */
	bool wants_body, wants_clean;
	bool wants_scrub; /* its content of its own is to be read again */
	bool dotted;
	unsigned load_count; /* waiters that will pin it */
	unsigned in_flight;  /* records being written */
	enum err read_err;
	uint64_t large;
	store_ref large_from; /* until durable the file is that message's */
	struct store_large *taken; /* while its transaction is under construction */
	uint64_t content_length;
	uint64_t content_hash;
	struct buf parts; /* envelope, recipients, head, sums of large content */
	size_t envelope_len, recipients_len, head_len;
	struct buf body;
	uint64_t state_from; /* LSN of the STATE in `state`, 0: none is there */
	uint64_t brief_from; /* of the BRIEF whose own part alone is in `state`, 0: none is */
	struct record_brief brief; /* its other fields */
	struct buf state;
	struct cache_items items;
	struct cache_items unknowns;
	struct slice *results; /* of the last view */
	struct record *views;  /* of the unknowns, in the last view */
	struct cache_waiters waiters;
	struct disk_op op;
	uint64_t op_lsn;
	size_t op_long; /* bytes that the next read wants; 0: what the index says */
};
TAILQ_HEAD(cache_entries, cache_entry);

struct cache {
	struct cache_entry *table; /* by ref */
	struct cache_entries lru;  /* longest unused first */
	uint64_t body_bytes;
	uint64_t max;
};

void cache_init(struct cache *cache, uint64_t max);
void cache_done(struct cache *cache);

/* NULL: nothing of it is in memory. */
struct cache_entry *cache_find(const struct cache *cache, store_ref ref);
/* The entry of a message, made if there is none. */
struct cache_entry *cache_get(
	struct cache *cache, struct store *store, store_ref ref, uint64_t queue_id);
/* Takes an entry out of the cache; its memory stays until cache_entry_free(). */
void cache_forget(struct cache *cache, struct cache_entry *entry);
void cache_entry_free(struct cache_entry *entry);

/* Copies what a MESSAGE record holds; its body counts as used now and may push others out. */
void cache_put_message(
	struct cache *cache, struct cache_entry *entry, const struct record_message *message);
void cache_put_body(struct cache *cache, struct cache_entry *entry, struct slice body);
/* The body was used. */
void cache_touch(struct cache *cache, struct cache_entry *entry);
/* Gives back the memory of a message that is idle, except what only memory knows. */
void cache_shrink(struct cache *cache, struct cache_entry *entry);

struct cache_item *cache_item_add(
	struct cache_entry *entry, uint16_t type, uint64_t lsn, uint16_t size);
void cache_item_drop(struct cache_entry *entry, struct cache_item *item);
/* The same in the list of unknowns; what is there is durable. */
struct cache_item *cache_unknown_add(
	struct cache_entry *entry, uint16_t type, uint64_t lsn, uint16_t size);
void cache_unknown_drop(struct cache_entry *entry, struct cache_item *item);
/* Envelope, recipients, head and sums of an entry that has them. */
void cache_parts(const struct cache_entry *entry, struct record_message *ret_message);
void cache_view(struct cache_entry *entry, uint32_t flags, struct store_view *ret_view);

#endif
