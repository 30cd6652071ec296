/*
 * store_priv.h - what the files of the message store share (store only)
 *
 * store.c: life, recovery, the face of the index; txn.c: changes; load.c: reading; large.c: files
 * under large/; clean.c: moving what lives out of the oldest segment.
 */
#ifndef OSTLER_STORE_STORE_PRIV_H
#define OSTLER_STORE_STORE_PRIV_H

#include "store/cache.h"
#include "store/index.h"
#include "store/store.h"

struct store_large {
	TAILQ_ENTRY(store_large) link;
	struct store *store;
	uint64_t number;
	struct buf pending;  /* to be written next */
	struct buf flight;   /* being written */
	uint64_t written;
	struct disk_op op;
	bool is_busy, is_aborted, is_finishing, is_finished;
	enum err err;
	store_large_fn *done;
	void *ctx;
};
TAILQ_HEAD(store_larges, store_large);

/* A file under large/ that nobody needs. */
struct store_doomed {
	STAILQ_ENTRY(store_doomed) link;
	char name[DISK_NAME_SIZE];
};
STAILQ_HEAD(store_dooms, store_doomed);

struct store_clean {
	bool is_stale;  /* something changed since it was asked whether cleaning pays */
	bool is_active;
	bool is_walked; /* the whole index was looked at in this pass */
	bool has_moved; /* something, in this pass */
	uint64_t limit; /* LSN below which the oldest segment lies */
	store_ref cursor;
	unsigned reading; /* messages being read */
	uint64_t flight;  /* bytes of copies being written */
	struct mono next;
};

struct store {
	struct store_options options;
	struct instant now;
	struct journal *journal;
	struct index index;
	struct cache cache;
	struct cache_entries ready; /* entries whose waiters will be told */
	struct buf scratch;         /* payloads of the transaction under construction */
	bool is_open;
	bool is_full;        /* hysteresis of store_accepts() */
	uint64_t live_bytes; /* of the records that must stay */
	unsigned op_count;   /* operations of the disk, without the journal's */
	struct store_larges larges;
	struct store_dooms doomed;
	bool is_removing;
	struct disk_op remove_op;
	struct disk_op list_op;
	struct store_clean clean;
};

enum { STORE_KIB = 1024 };

/* store.c */
uint32_t store_kib(size_t payload_len);
void store_hold(struct store *store, uint64_t lsn, uint32_t kib);
void store_release(struct store *store, uint64_t lsn, uint32_t kib);
void store_notice(struct store *store, const char *format, ...) FORMAT_PRINTF(2, 3);
struct cache_entry *store_entry(struct store *store, store_ref ref);
void store_schedule(struct store *store, store_ref ref);
/* Frees an entry that nothing keeps, or what of it need not stay. */
void store_entry_settle(struct store *store, struct cache_entry *entry);
/* Forgets the items in front of a STATE that has become durable, or all (NULL). */
void store_items_fold(
	struct store *store, struct cache_entry *entry, const struct cache_item *state);
/* Recovery is over. */
void store_recovered(struct store *store);
/* The end of a message: its refs, records, files and waiters. */
void store_message_end(struct store *store, store_ref ref);
uint32_t store_due_seconds(uint64_t due_us);

/* load.c */
void load_want(struct store *store, struct cache_entry *entry);
void load_step(struct store *store);
bool load_is_due(const struct store *store);
void load_cancel(struct store *store, struct cache_entry *entry);

/* large.c */
void large_taken(struct store_large *large);
void large_doom(struct store *store, uint64_t number);
/* Lists large/ and ends in store_recovered(). */
void large_recover(struct store *store);
void large_step(struct store *store);
bool large_is_due(const struct store *store);
void large_free_all(struct store *store);

/* clean.c */
void clean_step(struct store *store);
struct mono clean_due(const struct store *store);
void clean_loaded(struct store *store, struct cache_entry *entry, enum err err);

#endif
