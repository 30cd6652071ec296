/*
 * store.h - messages kept safe: index, content, due times, atomic changes over the journal (core)
 *
 * A message lives in the store from the durable MESSAGE record to the durable DONE record. While
 * idle it is a few words in the index; while somebody works on it, it is *pinned*: its envelope,
 * recipients, head, state and results are in memory, and its body too as long as the cache has
 * room. Mail that was just accepted is pinned from the start, so relayed mail is never read back.
 *
 *   idle --store_load()--> loading --> pinned --store_unpin()--> idle
 *   store_txn_message() ----------------^          `--store_txn_done() durable--> gone
 *
 * Changes go through a transaction (struct store_txn): all its records land in one batch of the
 * journal or none does. The index follows when the batch is durable.
 *
 * Invariants: a message that was reported DURABLE is found after every crash until its DONE is
 * durable; a DONE that was reported DURABLE never comes back; at any time the newest durable STATE
 * and the durable RESULTs behind it are what store_view() shows after a crash.
 *
 * Ownership: slices given in are copied. Envelope, recipients and head of a view live until the
 *            message is unpinned or ends; its state and results until the next call that changes
 *            it; a body until the next call of the store.
 * Callbacks: from store_step() or a disk completion, never inside the call that asked.
 * Limits:    cache_max bytes of bodies; STORE_TXN_RECORDS_MAX records a transaction.
 * Threads:   one.
 */
#ifndef OSTLER_STORE_STORE_H
#define OSTLER_STORE_STORE_H

#include "store/journal.h"

struct store;
struct store_large;

/* Names a message while it is in the store; 0 is none. Reused after the end of the message. */
typedef uint32_t store_ref;

enum { STORE_TXN_RECORDS_MAX = 64, STORE_LARGE_NAME_SIZE = 32 };

struct store_callbacks {
	/*
	 * New mail may come; what was there before is not all in the index. On error it stays
	 * closed.
	 */
	void (*opened)(void *ctx, enum err err, const struct fault *fault);
	/* All messages are in the index and in the schedule. */
	void (*complete)(void *ctx);
	void (*notice)(void *ctx, const char *text); /* for the administrator's log */
	/* An end is durable, or recovery reads one; NULL: nobody asks. */
	void (*ended)(void *ctx, uint64_t queue_id);
};

struct store_options {
	struct disk *disk;
	uint64_t segment_size;
	uint64_t size_max;
	uint64_t size_min;
	/* messages whose state may be out of date after damage; else retried */
	bool hold_doubtful;
	uint64_t cache_max;   /* bytes of bodies kept in memory */
	uint64_t epoch;       /* random, of this start */
	uint64_t scrub_interval_s; /* closed segments are read again so often; 0: never */
	bool zeroes_freed;    /* segments are zeroed before they are used again */
	bool appends;	      /* segments are appended and removed (see journal.h) */
	uint8_t uuid[RECORD_UUID_SIZE];
	const struct store_callbacks *callbacks;
	void *ctx;
	bool reads_all; /* a start reads every record, whatever sums it up: for a check */
	bool is_old;    /* tests only: as in journal.h */
	unsigned planted;     /* simulation only: enum journal_plant */
};

struct store *store_new(const struct store_options *options);
void store_free(struct store *store);
void store_open(struct store *store, struct instant now);
void store_step(struct store *store, struct instant now);
struct mono store_due(const struct store *store);
/*
 * A clean stop: from here on the store is idle when the last batch is proven durable and the
 * index is written as a checkpoint, unless that would last longer than grace_ns. Changes are still
 * taken.
 */
void store_stop(struct store *store, uint64_t grace_ns, struct instant now);
struct journal *store_journal(struct store *store); /* node values, wall time, state */

/* False until the index is complete: what is not found may be there all the same. */
bool store_is_complete(const struct store *store);
/* Whether new mail may come: false means 452. Hysteresis as store.md says (70 %, 60 %). */
bool store_accepts(const struct store *store);
/* Whether there is room in a moment for new mail that was refused for want of it. */
bool store_room_comes(const struct store *store);
/* True when nothing waits to be written, flushed or read. */
bool store_is_idle(const struct store *store);
uint64_t store_count(const struct store *store);

struct store_stats {
	struct journal_stats journal;
	struct journal_space space;
	uint64_t live_bytes;
	uint64_t checkpoint_bytes; /* written since the start */
	uint64_t checkpoint_lsn;   /* of the newest */
	uint64_t large_bytes;      /* content written to files of its own since the start */
	uint64_t lost;             /* messages that could not be read since the start */
	uint64_t unsaved;          /* of them now in the queue, as corrupt/ does not take them */
	/* since the newest was written, or read at the start; 0: there is none */
	uint64_t checkpoint_age_ns;
	uint64_t checkpoint_behind; /* bytes of journal behind the newest checkpoint */
	/* wall time of the end of the last round; when the first week began, if none has ended */
	uint64_t scrub_last_us;
	uint64_t scrub_bytes;      /* read since the start */
	uint64_t scrub_damage;     /* damaged segments found since the start */
	uint64_t scrub_rounds;     /* ended since the start */
	bool is_scrubbing;
	bool is_cleaning;
};
void store_stats(const struct store *store, struct store_stats *ret_stats);

/* --- for a check ---------------------------------------- */

/* Empties every segment below this LSN, as cleaning does. Over when journal_first() is there. */
void store_clean_below(struct store *store, uint64_t lsn);

/*
 * Takes a message that is not pinned out of the queue: its records as they are given go to
 * corrupt/message-ID, its large file to corrupt/, then it ends.
 */
void store_set_aside(struct store *store, store_ref ref, struct slice records, const char *reason);
/* The records of a message that is pinned with its body, as the journal has them. */
void store_records(struct store *store, store_ref ref, struct buf *records);

/*
 * Whether these are the `number`th block of a whole checkpoint of that LSN and journal; a shorter
 * slice is not. *ret_last: it has no more.
 */
enum { STORE_CHECKPOINT_BLOCK = 65536 };
MUST_USE bool store_checkpoint_check(const struct store *store, struct slice block, uint64_t lsn,
	uint64_t number, bool *ret_last);

/* --- changes ---------------------------------------- */

/* A new message. Content is in `body`, or in `large` with an empty body. */
struct store_message {
	uint64_t queue_id;
	uint64_t arrival_us;
	uint64_t content_length; /* without head */
	uint64_t content_hash;
	bool dotted;
	uint32_t fingerprint; /* 24 bits that mean something to whoever asks for them; 0: nothing */
	struct slice envelope;
	struct slice recipients;
	struct slice head;
	struct slice body;
	struct store_large *large; /* finished; the transaction takes it over, if it succeeds */
	/* Or the large content of this message, pinned, which the same transaction must end: the
	 * file changes its owner when the transaction is durable. 0: none. */
	store_ref large_of;
};

struct store_txn {
	struct store *store;
	enum journal_class class;
	enum journal_urgency urgency;
	unsigned count;
	enum err err; /* of the first call that failed: commit gives it back */
	struct store_txn_record {
		uint16_t type;
		store_ref ref;
		size_t payload_start; /* in the store's scratch buffer */
		size_t payload_len;
		size_t state_start, state_len; /* STATE, RESULT: the innermost of it */
		bool is_shared;   /* STATE: its end is one that others in this segment may have */
		uint64_t segment;
		size_t tail_len;
		bool is_brief;    /* STATE: written as a BRIEF of that segment */
		uint64_t due_us;
		uint32_t flags;
	} records[STORE_TXN_RECORDS_MAX];
};

/* Only one transaction is under construction at a time; no other call of the store meanwhile. */
void store_txn_begin(struct store_txn *txn, struct store *store, enum journal_class class,
	enum journal_urgency urgency);

/*
 * A new message; returns its ref, pinned (0: the transaction has failed already). If it is refused
 * later, the ref is gone when `done` has returned.
 */
store_ref store_txn_message(struct store_txn *txn, const struct store_message *message);

/* The complete state: replaces earlier STATEs and RESULTs. due_us and flags (enum
 * record_state_flag) also go to the index once durable. */
void store_txn_state(struct store_txn *txn, store_ref ref, uint64_t due_us, uint32_t flags,
	struct slice state);

/*
 * The same, alone in its transaction, of a message about which nothing is known that must not be
 * lost: many end with the same `tail_len` bytes as this one does, and those are written once for
 * some of them. Damage to them costs the states of all.
 */
void store_txn_brief(struct store_txn *txn, store_ref ref, uint64_t due_us, uint32_t flags,
	struct slice state, size_t tail_len);

/* One more result behind the last STATE. */
void store_txn_result(struct store_txn *txn, store_ref ref, struct slice result);

/* The end of a message. Once durable the ref is gone, pinned or not, and its large file too. */
void store_txn_done(struct store_txn *txn, store_ref ref);

/*
 * ERR_OK: `done` (may be NULL) is called once, in the order of commits. Otherwise nothing happened
 * and `done` is never called: ERR_NOSPACE, ERR_FAULTED, ERR_LIMIT.
 */
MUST_USE enum err store_txn_commit(struct store_txn *txn, journal_done_fn *done, void *ctx);

/* --- the index ---------------------------------------- */

struct store_info {
	uint64_t queue_id;
	uint64_t arrival_us;
	uint64_t due_us;    /* earliest next attempt, to the second; 0: at once */
	uint32_t flags;     /* enum record_state_flag */
	uint32_t fingerprint; /* as it was given */
	bool is_pinned;
	bool is_durable;
};

/* 0: no such message. */
store_ref store_find(const struct store *store, uint64_t queue_id);
void store_info(const struct store *store, store_ref ref, struct store_info *ret_info);
/* What is enough to pass over most of a million: it looks at nothing but the index. */
void store_glance(const struct store *store, store_ref ref, uint64_t *ret_arrival_us,
	uint32_t *ret_fingerprint);

/* The next message behind `ref` in no special order (0: the first); 0: no more. For listings. */
store_ref store_next(const struct store *store, store_ref ref);

/*
 * Due times. Every message that is not pinned, not loading and not HELD is in the schedule; a
 * pinned one enters it when it is unpinned. After recovery a message without STATE is due at once,
 * in the order of arrival.
 */
void store_set_due(struct store *store, store_ref ref, uint64_t due_us);
/* The due message that is due longest, still in the schedule; 0: none is due at `wall`. */
store_ref store_due_first(const struct store *store, struct wall wall);
/* When the next one is due; UINT64_MAX: nothing is scheduled. */
uint64_t store_due_next_us(const struct store *store);
/* Changes flags in memory only (release from hold before its STATE is durable, ...). */
void store_set_flags(struct store *store, store_ref ref, uint32_t flags);

/*
 * Files that hold something durable stay as they are from here on, so that somebody can copy them;
 * what is written goes behind that (counted). Space is not freed meanwhile. A copy is whole once
 * something that was appended after this is durable: only then does the journal itself say which
 * segments had left force before.
 */
void store_freeze(struct store *store);
void store_thaw(struct store *store);

/*
 * Closes the gate: messages with queue IDs below this one stay out of the schedule until it is
 * opened. To be called before they get there, i.e. from the opened callback.
 */
void store_gate_close(struct store *store, uint64_t queue_id);
bool store_gate_holds(const struct store *store, uint64_t queue_id);
/* Opens it: what waited enters the schedule, some messages per step. */
void store_gate_open(struct store *store);

struct store_gate_counts {
	bool is_opening;   /* the figures are still growing */
	uint64_t released; /* messages that waited at the gate */
	uint64_t held;     /* of them: on hold on their own account, and still so */
};
void store_gate_counts(const struct store *store, struct store_gate_counts *ret_counts);

/* --- reading ---------------------------------------- */

struct store_view {
	uint64_t queue_id;
	uint64_t arrival_us;
	uint64_t content_length;
	uint64_t content_hash;
	bool dotted;
	uint64_t large;              /* number of its file under large/; 0: the body has it */
	struct slice content_parts;  /* its sums part by part (base/hash_parts.h), if it is large */
	struct slice envelope;
	struct slice recipients;
	struct slice head;
	struct slice state;          /* of the newest STATE, empty: none */
	uint32_t flags;
	const struct slice *results; /* RESULT payloads behind that STATE, oldest first */
	size_t result_count;
	/* Records of a later release that belong to it, oldest first; they go with it everywhere
	 * until it ends. One that is critical has put the message on hold at the start. */
	const struct record *unknowns;
	size_t unknown_count;
};

/*
 * ERR_OK: pinned. ERR_CORRUPT, ERR_IO: it could not be read (it was set aside under corrupt/ if
 * its bytes are damaged). ERR_NOTFOUND: it ended meanwhile.
 */
typedef void store_loaded_fn(void *ctx, store_ref ref, enum err err);

/* Reads and pins a message that is idle. `loaded` is called once. */
void store_load(struct store *store, store_ref ref, store_loaded_fn *loaded, void *ctx);

/* What a pinned message is. Results committed meanwhile (durable or not) are included. */
void store_view(const struct store *store, store_ref ref, struct store_view *ret_view);

/*
 * The body of a pinned message. ERR_AGAIN: the cache has dropped it; store_load_body() reads it
 * again. A large one has an empty body here.
 */
MUST_USE enum err store_body(struct store *store, store_ref ref, struct slice *ret_body);
void store_load_body(struct store *store, store_ref ref, store_loaded_fn *loaded, void *ctx);

/* Back to idle; it enters the schedule with its due time (not when HELD). */
void store_unpin(struct store *store, store_ref ref);

/* --- large content ---------------------------------------- */

/* Begins a file under large/ for a message to come, named by a number that is never used twice (a
 * queue ID, not always the message's own; the MESSAGE record holds it). Parts are written in the
 * background; memory is bounded by the caller waiting while store_large_pending() is large. */
struct store_large *store_large_begin(struct store *store, uint64_t number);
void store_large_append(struct store_large *large, struct slice part);
size_t store_large_pending(const struct store_large *large);
/* All parts are there: flush and link; then `done` with ERR_OK, ERR_NOSPACE or ERR_IO. */
typedef void store_large_fn(void *ctx, enum err err);
void store_large_finish(struct store_large *large, store_large_fn *done, void *ctx);
/* Forgets it and removes the file; any time before a transaction took it over. */
void store_large_abort(struct store_large *large);
/* File name below large/ of a number. */
void store_large_name(uint64_t number, char name[STORE_LARGE_NAME_SIZE]);
/*
 * Reads at most `length` bytes from the front of the large content of a pinned message: `done` gets
 * them. ERR_CORRUPT: they are not what was written; where, a notice says.
 */
typedef void store_large_read_fn(void *ctx, enum err err, struct slice bytes);
void store_large_read(
	struct store *store, store_ref ref, uint64_t length, store_large_read_fn *done, void *ctx);
/* Somebody found the large content of a pinned message damaged: it is read again, and a notice says
 * where that is. */
void store_large_locate(struct store *store, store_ref ref);

#endif
