/*
 * store_priv.h - what the files of the message store share (store only)
 *
 * store.c: life, recovery, the face of the index; txn.c: changes; load.c: reading; large.c: files
 * under large/; clean.c: moving what lives out of the oldest segment; scrub.c: looking for damage.
 */
#ifndef OSTLER_STORE_STORE_PRIV_H
#define OSTLER_STORE_STORE_PRIV_H

#include "base/hash_parts.h"
#include "store/cache.h"
#include "store/index.h"
#include "store/store.h"
#include "store/tails.h"

struct store_large {
	TAILQ_ENTRY(store_large) link;
	struct store *store;
	uint64_t number;
	struct buf pending;  /* to be written next */
	struct buf flight;   /* being written */
	struct hash_parts parts;
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
	bool is_kept; /* under corrupt/, instead of being removed */
	char name[DISK_NAME_SIZE];
};
STAILQ_HEAD(store_dooms, store_doomed);

enum clean_phase { CLEAN_IDLE, CLEAN_READING, CLEAN_SETTLING };

struct clean_move;

struct store_clean {
	enum clean_phase phase;
	struct journal_place place; /* the segment that is emptied */
	uint64_t at;         /* LSN of what is read next */
	uint64_t chunk;      /* bytes that the next read wants */
	struct disk_op op;
	bool is_busy;        /* op is under way */
	struct mono next_read; /* not before */
	bool has_moved;      /* something, in this pass */
	bool is_damaged;     /* something could not be read, in this pass */
	unsigned rounds;     /* over `rest` */
	uint64_t below;      /* segments below this LSN are emptied in any case */
	unsigned failures;   /* passes one behind the other that could not empty the segment */
	bool is_walking;     /* what is left is looked for in the whole index */
	struct slice records; /* of the batch under way, in op.list */
	uint64_t records_at;  /* their LSN */
	store_ref *rest;     /* messages that could not be copied as they lie there */
	size_t rest_count, rest_room, rest_next;
	store_ref cursor;
	struct clean_move *states; /* copies of STATEs under way, by ref */
	struct clean_end *ends;    /* of states in the segment, by place */
	size_t ends_size;
	unsigned reading;    /* messages being read */
	uint64_t flight;     /* bytes of copies being written */
	uint64_t flight_most; /* when it is as much, no more is begun */
	struct mono next;
};

/* A file of a checkpoint that is not needed any more. */
struct store_stale {
	uint64_t lsn;
	bool is_temporary; /* it was not finished */
};

enum { CHECKPOINT_NAMES = 16 };

enum {
	STORE_STATE_FRAME = 24, /* bytes of a STATE's payload around the state */
	/* of a STATE whose end others share: it is read without knowing how long it is */
	STORE_SHARED_MAX = RECORD_BLOCK + 512,
};

struct store_checkpoint {
	struct store_stale stale[CHECKPOINT_NAMES];
	unsigned stale_count;
	bool is_wrong;   /* none is written: the index is not to be believed */
	bool is_wanted;  /* however little the journal has grown */
	bool is_writing;
	bool is_busy;
	uint64_t lsn;     /* of the one under way: it holds all that lies below */
	uint64_t last_lsn, last_size; /* of the newest one */
	store_ref cursor;
	uint64_t block, offset, entries;
	struct disk_op op;
	struct buf bytes;
	uint64_t names[CHECKPOINT_NAMES]; /* LSNs of those on disk, newest first */
	unsigned name_count, name_next;
	uint64_t written; /* bytes since the start */
	struct mono made_at; /* the newest one; at the start, when it was read */
	struct mono next;
};

/* The weekly reading of closed segments. */
struct store_scrub {
	bool is_known;   /* what the journal says of earlier rounds */
	bool is_saved;   /* the journal knows of this one */
	bool is_running; /* a round is under way */
	bool is_inside;  /* it stands somewhere in the segment of `place` */
	bool is_busy;    /* op is under way */
	bool is_large;   /* behind the segments: content of its own, by `cursor` */
	bool is_mending; /* what lives between bad_from and bad_end is moved */
	bool has_found;  /* something, in this walk over the index */
	uint64_t at;     /* LSN of what is read next */
	uint64_t last_us; /* when the last round ended; at first when counting began */
	struct journal_place place; /* the segment of op */
	uint64_t chunk;  /* bytes that the next read wants */
	uint64_t bad_from, bad_end, bad_bytes; /* of the present segment */
	store_ref cursor;
	unsigned walks;
	uint64_t bytes, damage, rounds; /* since the start: read, segments damaged, rounds ended */
	struct disk_op op;
	struct large_reader *reader; /* of the content under way; NULL: none is */
	struct mono next, quiet_by;
};

/* A message that cannot be read: its end is written when what is left of it is saved. */
struct store_lost {
	STAILQ_ENTRY(store_lost) link;
	struct store *store;
	store_ref ref;
	uint64_t queue_id;
	bool is_saved, is_saving, is_ending;
	struct mono retry_at; /* it could not be saved */
	uint64_t retry_ns;    /* 0: it has not failed */
	struct buf bytes;
	struct disk_op op;
};
STAILQ_HEAD(store_losts, store_lost);

enum store_phase {
	STORE_CLOSED,
	STORE_LOADING,    /* a checkpoint */
	STORE_REPLAYING,  /* what follows it */
	STORE_SCHEDULING, /* every message gets its place in the schedule */
	STORE_COMPLETE,
};

/* A MESSAGE that recovery found damaged in the journal. */
struct store_broken {
	TAILQ_ENTRY(store_broken) link;
	struct store *store;
	uint64_t queue_id; /* as the damaged bytes say */
	uint64_t lsn;
	struct buf bytes;
	bool is_saving, is_held; /* held: its segment stays until it is saved */
	struct mono retry_at;	 /* it could not be saved */
	uint64_t retry_ns;	 /* 0: it has not failed */
	struct disk_op op;
};
TAILQ_HEAD(store_brokens, store_broken);

/* What keeps the mail of a copied queue from being scheduled. */
struct store_gate {
	uint64_t queue_id; /* lower ones wait; 0: open */
	uint64_t opened;   /* what queue_id was: those are being let in */
	store_ref cursor;
	struct store_gate_counts counts;
};

struct store {
	struct store_options options;
	struct instant now;
	struct journal *journal;
	struct index index;
	struct cache cache;
	struct cache_entries ready; /* entries whose waiters will be told */
	struct buf scratch;         /* payloads of the transaction under construction */
	struct tails tails;
	enum store_phase phase;
	bool is_open; /* changes are taken */
	store_ref sweep;           /* STORE_SCHEDULING */
	struct store_gate gate;
	unsigned freezes; /* no file under large/ is removed */
	uint64_t doubtful;         /* messages whose state may be out of date */
	uint64_t critical_count;   /* critical records of a later release that recovery has met */
	struct mono opened_at, progress_at;
	uint64_t lost_count;
	uint64_t large_bytes;
	bool is_full;        /* hysteresis of store_accepts() */
	uint64_t live_bytes; /* of the records that must stay */
	unsigned op_count;   /* operations of the disk, without the journal's */
	struct store_larges larges;
	struct store_dooms doomed;
	bool is_removing;
	struct disk_op remove_op;
	struct disk_op list_op;
	struct store_clean clean;
	struct store_checkpoint checkpoint;
	struct store_losts losts;
	struct store_brokens brokens;
	struct store_scrub scrub;
	bool is_stopping;
	struct mono stop_by; /* no checkpoint that would last longer */
};

/* store.c */
uint16_t store_size(size_t payload_len);
void store_hold(struct store *store, uint64_t lsn, uint16_t size);
void store_release(struct store *store, uint64_t lsn, uint16_t size);
bool store_plant_is_on(const struct store *store, enum journal_plant plant);
/* What recovery learns, from whatever source, in the order of the journal. */
void store_apply(struct store *store, const struct summary_entry *entry);
void store_notice(struct store *store, const char *format, ...) FORMAT_PRINTF(2, 3);
struct cache_entry *store_entry(struct store *store, store_ref ref);
void store_schedule(struct store *store, store_ref ref);
/* Frees an entry that nothing keeps, or what of it need not stay. */
void store_entry_settle(struct store *store, struct cache_entry *entry);
/* Forgets the items in front of a STATE that has become durable, or all (NULL). */
void store_items_fold(
	struct store *store, struct cache_entry *entry, const struct cache_item *state);
/* What is under large/ is known: the journal can be opened. */
void store_listed(struct store *store);
/* For those who remember ends. */
void store_tell_end(struct store *store, uint64_t queue_id);
/* The end of a message: its refs, records, files and waiters. */
void store_message_end(struct store *store, store_ref ref);

/* load.c */
void load_want(struct store *store, struct cache_entry *entry);
void load_step(struct store *store);
bool load_is_due(const struct store *store);
void load_cancel(struct store *store, struct cache_entry *entry);

/* large.c */
void large_taken(struct store_large *large);
void large_doom(struct store *store, uint64_t number);
/* The same, but it goes to corrupt/: its message could not be read. */
void large_keep(struct store *store, uint64_t number);
/* Lists large/, before anything of this start can be there; ends in store_listed(). */
void large_list(struct store *store);
/* The index is complete: what was listed and no message owns goes. */
void large_recover(struct store *store);
void large_step(struct store *store);
bool large_is_due(const struct store *store);
void large_free_all(struct store *store);
/* Reads the content of a message, whose parts are in memory, and compares: piece by piece. */
struct large_reader *large_scrub_begin(struct store *store, store_ref ref);
size_t large_scrub_read(struct large_reader *reader); /* bytes that are read at the most */
void large_reader_free(struct large_reader *reader);

/* checkpoint.c */
/* Loads the newest one that is whole and begins the replay of what follows it. */
void checkpoint_load(struct store *store);
void checkpoint_step(struct store *store);
/* At a clean stop: one must still be written, or is being. */
bool checkpoint_holds_stop(const struct store *store);
bool checkpoint_is_due(const struct store *store);
/* Those there are go, and none is written any more: they say what is not so. */
void checkpoint_distrust(struct store *store);
void checkpoint_free(struct store *store);

/* lost.c */
/* A message that cannot be read: kept under corrupt/, then ended. */
void lost_add(struct store *store, store_ref ref, struct slice bytes, const char *reason);
bool lost_is_known(const struct store *store, uint64_t queue_id);
/*
 * Recovery: a record that does not verify; then what the journal says of its message later on; then
 * the end. Messages that are not known by then are kept under corrupt/.
 */
void lost_broken(struct store *store, uint64_t lsn, struct slice record);
void lost_broken_forget(struct store *store, uint64_t queue_id);
void lost_broken_save(struct store *store);
void lost_broken_step(struct store *store); /* those that could not be */
/* A STATE or RESULT that cannot be read: kept as state-ID-LSN, the message goes on without. */
void lost_state(struct store *store, store_ref ref, uint64_t lsn, struct slice bytes);
void lost_step(struct store *store);
struct mono lost_due(const struct store *store);
/* Messages that cannot be saved, so that they cannot end. */
uint64_t lost_unsaved(const struct store *store);
void lost_free(struct store *store);

/* clean.c */
void clean_free(struct store *store);
void clean_step(struct store *store);
struct mono clean_due(const struct store *store);
void clean_loaded(struct store *store, struct cache_entry *entry, enum err err);
/* Not so much is under way that more must wait. */
bool clean_has_room(const struct store *store);
/*
 * Copies a message to a new place if something of it lies from LSN `from` to below `end`, or does
 * so in a later call, because something of it is in the making; false: nothing lies there, or it
 * is lost already. Only while no segment is being cleaned.
 */
bool clean_rescue(struct store *store, store_ref ref, uint64_t from, uint64_t end);

/* scrub.c */
void scrub_step(struct store *store);
struct mono scrub_due(const struct store *store);
void scrub_free(struct store *store);
/* The MESSAGE whose content comes next is in memory; NULL: it is gone, or cannot be read. */
void scrub_loaded(struct store *store, struct cache_entry *entry);
/* A piece of content came, of `bytes`; it was the last one, unless `more`. */
void scrub_content_came(struct store *store, size_t bytes, bool more, bool is_bad);

#endif
