/*
 * journal.h - the segmented log: append with group commit, recovery, recycling (core)
 *
 * The room: everything that must survive is a record here. Appends gather in the open batch; a
 * batch is written and flushed as a whole, one at a time, and only then are its transactions told
 * DURABLE. All input and output goes through struct disk, time comes in as an argument: the
 * simulator runs this code unchanged.
 *
 *   JOURNAL_CLOSED --journal_open()--> RECOVERING --journal_recovery.c--> OPEN <--> FAULTED
 *
 *   RECOVERING  finds the end of what is there; nothing is accepted.
 *   OPEN        appends are accepted while there is room. What was there before is told as
 *               entries, in LSN order, once journal_replay() asked for it; until that is over
 *               nothing is
 *               recycled.
 *   FAULTED     a write or flush failed. All that was not durable was refused; the segment is cut
 *               at the durable LSN and never written again; a new segment is tried with growing
 *               delay.
 *
 * Invariants (store.md): 1. a transaction is DURABLE only after the flush behind its batch
 * returned; 2. no byte of the next batch is written before that; 3. no block is written twice in
 * one life of a segment; 4. a segment is reused only after a batch or
 * header whose `first` lies beyond it is durable.
 *
 * Ownership: journal_new() borrows the disk; payloads are copied by journal_append().
 * Errors:    journal_append() gives ERR_NOSPACE (full: nothing appended) or ERR_FAULTED.
 * Callbacks: called from journal_settle(), journal_step() or a disk completion, never inside
 *            journal_append().
 * Threads:   one; the disk hides its own.
 */
#ifndef OSTLER_STORE_JOURNAL_H
#define OSTLER_STORE_JOURNAL_H

#include "base/clock.h"
#include "store/disk.h"
#include "store/flush_log.h"
#include "store/summary.h"

struct journal;

enum journal_state { JOURNAL_CLOSED, JOURNAL_RECOVERING, JOURNAL_OPEN, JOURNAL_FAULTED };

enum journal_outcome { JOURNAL_DURABLE, JOURNAL_REFUSED };

/* Who may use the last free segments: of the reserve 2 are for cleaning, 1 is for results alone. */
enum journal_class {
	JOURNAL_NEW_MAIL, /* refused first */
	JOURNAL_RESULT,   /* results, states, ends: may use all of the reserve */
	JOURNAL_CLEANING, /* copies: may use all but the last */
	JOURNAL_CLASSES,
};

enum journal_urgency {
	JOURNAL_NOW,  /* a client waits: flushed as soon as grouping allows */
	JOURNAL_SOON, /* waits up to JOURNAL_SOON_NS for company */
	/*
	 * A hint: if it is lost, work is done once more, and nobody waits. It goes with what else
	 * goes, when its blocks are full, or after JOURNAL_LATER_NS: padding would be most of it.
	 */
	JOURNAL_LATER,
};

#define JOURNAL_GATHER_NS (1 * NS_PER_MS)    /* after a batch of JOURNAL_GATHER_MIN or more */
#define JOURNAL_SOON_NS (10 * NS_PER_MS)
#define JOURNAL_LATER_NS (1 * NS_PER_S)
#define JOURNAL_IDLE_NS (100 * NS_PER_MS)    /* then the last batch is proven durable */
/* The same behind a batch of hints alone: where more come, the next one proves it. */
#define JOURNAL_LATER_IDLE_NS (2 * NS_PER_S)
enum {
	JOURNAL_LATER_ROOM = 64, /* less is left of its last block: a batch of hints is full */
	JOURNAL_LATER_MIN = RECORD_BLOCK, /* bytes; its header is nothing beside them */
	JOURNAL_LATER_MAX = 32 * 1024, /* bytes of a batch of hints; then it is full in any case */
	JOURNAL_GATHER_MIN = 4,
	/* A batch takes company up to so many bytes. More would save little of a flush that takes
	 * long by then; so the next batch fills, from caches, while this one is written. */
	JOURNAL_JOIN_MAX = 2 * 1024 * 1024,
	/* segments that new mail may not have; fewer in small journals */
	JOURNAL_RESERVE = 3,
	JOURNAL_SPARES_MIN = 4,    /* or 2 % of the log */
	/* of the live bytes: as large as that the log may grow at ease */
	JOURNAL_GROW_PERCENT = 240,
	JOURNAL_SHRINK_PERCENT = 300,
	JOURNAL_RECORDS_MAX = 4096,
	/* all named values, which the first batch of a segment has besides */
	JOURNAL_NODES_MAX = 64 * 1024,
	JOURNAL_APPEND_MAX = RECORD_BATCH_MAX - RECORD_BATCH_HEADER - JOURNAL_NODES_MAX,
	/* the same while the segment's format is below RECORD_FORMAT_LONG */
	JOURNAL_APPEND_SHORT = RECORD_BATCH_SHORT - RECORD_BATCH_HEADER - JOURNAL_NODES_MAX,
};

typedef void journal_done_fn(void *ctx, enum journal_outcome outcome);

struct journal_callbacks {
	/* ERR_OK: appends may come. Anything else: the journal stays CLOSED. */
	void (*opened)(void *ctx, enum err err, const struct fault *fault);
	/* Replay: one entry, in LSN order. */
	void (*entry)(void *ctx, const struct summary_entry *entry);
	/* Replay is over. */
	void (*replayed)(void *ctx);
	/* Something for the administrator: damage found, a flush failed, service is back. */
	void (*notice)(void *ctx, const char *text);
	/* Replay, may be NULL: a record of a damaged batch whose checksum is wrong. */
	void (*broken)(void *ctx, uint64_t lsn, struct slice record);
};

struct journal_options {
	struct disk *disk;
	uint64_t segment_size; /* multiple of RECORD_BLOCK, at least 16 blocks */
	uint64_t size_max;     /* of all segments together */
	uint64_t size_min;     /* the log may be as large without anything living in it */
	uint64_t epoch;        /* random, of this start */
	bool zeroes_freed;     /* segments are zeroed before they are used again */
	/* Segment files grow as they are written and are removed when they are out of force, the
	 * reserve is free space: for file systems that copy on write. Nothing is zeroed then. */
	bool appends;
	uint8_t uuid[RECORD_UUID_SIZE]; /* for a journal that does not exist yet */
	const struct journal_callbacks *callbacks;
	void *ctx;
	bool reads_all; /* replay reads every record, whatever sums it up: for a check */
	bool is_old;    /* tests only: a new journal begins with minor format 0, as old ones did */
	unsigned planted; /* simulation only: enum journal_plant, else 0 */
};

/* Deliberate bugs, one bit each, that the simulation must find. Production passes 0. */
enum journal_plant {
	JOURNAL_PLANT_EARLY_ACK = 1,    /* DURABLE before the flush */
	JOURNAL_PLANT_IGNORE_ERROR = 2, /* a failed flush counts as good */
	JOURNAL_PLANT_FREE_LIVE = 4,    /* a segment with one living record is recycled */
	JOURNAL_PLANT_NO_CUT = 8,       /* recovery goes on writing without a cut */
	JOURNAL_PLANT_NO_SYNC = 16,     /* no fsync before believing */
	JOURNAL_PLANT_APPEND_TAIL = 32, /* recovery goes on in the segment with the torn tail */
	JOURNAL_PLANT_TORN_BATCH = 64,  /* records of a batch with a bad checksum are believed */
	JOURNAL_PLANT_CACHED_READ = 128, /* recovery believes the page cache after a failed flush */
	JOURNAL_PLANT_EARLY_REUSE = 256, /* a file is used again before `first` is durable */
	JOURNAL_PLANT_NO_EPOCH = 1024,  /* a batch counts wherever it says it lies */
	JOURNAL_PLANT_TRUST_FOOTER = 2048, /* a footer's checksums are not verified */
	JOURNAL_PLANT_TAIL_IS_TORN = 4096, /* damage at the end is taken for a torn tail */
	JOURNAL_PLANT_LATE_STATE = 8192, /* store: a copy names a state older than its place */
	JOURNAL_PLANT_LOSE_STATE = 16384, /* store: a copy has no state */
	/* store: large content goes before its DONE is durable */
	JOURNAL_PLANT_EARLY_UNLINK = 32768,
	/* store: a checkpoint counts more than what follows it */
	JOURNAL_PLANT_OLD_CHECKPOINT = 65536,
	JOURNAL_PLANT_SHORT_REPLAY = 131072, /* store: replay begins behind the checkpoint's end */
	JOURNAL_PLANT_HALF_CHECKPOINT = 262144, /* store: one without an end is believed */
	JOURNAL_PLANT_KEEP_ORPHANS = 524288, /* store: an end does not remove large content */
	JOURNAL_PLANT_DROP_ORPHANS = 1048576, /* store: damage does not protect large content */
	JOURNAL_PLANT_BLIND_SCRUB = 2097152, /* store: the scrub takes all that it reads for good */
	JOURNAL_PLANT_DROP_UNKNOWN = 4194304, /* store: records of a later release go */
	JOURNAL_PLANT_DROP_TAIL = 8388608, /* what lies behind the end is not kept */
	JOURNAL_PLANT_IGNORE_FREEZE = 16777216, /* segments go while somebody copies them */
	JOURNAL_PLANT_BARE_FREEZE = 33554432, /* snapshot: nothing is flushed behind the freeze */
	JOURNAL_PLANT_FAR_TAIL = 67108864, /* store: a BRIEF names a place in an older segment */
	JOURNAL_PLANT_MOVE_BRIEF = 134217728, /* store: a BRIEF is copied as it stands */
	JOURNAL_PLANT_NO_RESERVE = 1073741824, /* appended segments: free space is not looked at */
	JOURNAL_PLANT_LONG_FILE = 536870912, /* a short file counts as long as its segment */
};

struct journal_space {
	uint64_t used_bytes;  /* segments in force */
	uint64_t file_bytes;  /* all files */
	uint64_t target_bytes; /* up to which the files may grow before cleaning must make room */
	uint64_t max_bytes;
	uint32_t free_segments;
	uint64_t room_bytes;      /* that new mail can take before it needs another free segment */
	uint32_t wanted_segments; /* free ones */
	bool is_short; /* a new file was tried, and the disk does not give it */
	bool appends;  /* files are as long as what was written into them */
	bool accepts_mail;
};

/* Bytes that went to disk since the start, by cause; what is not named is padding and headers. */
struct journal_stats {
	uint64_t written;
	uint64_t records[JOURNAL_CLASSES];
	uint64_t footers;
	uint64_t flushes;
	uint64_t transactions;   /* that are durable */
	uint64_t freed_segments; /* emptied, so that they left force */
	/* As it is now: */
	uint64_t lag_ns;         /* for how long the oldest transaction has not been durable */
	uint64_t lag_bytes;      /* that are not */
	uint64_t oldest_us;      /* when the oldest segment was begun, wall time; 0: not known */
	uint32_t suspects;       /* segments in force that are damaged or were cut */
	uint32_t reserve;        /* free segments that new mail may not have */
	struct flush_summary flush; /* of the newest FLUSH_LOG_MAX batches */
};

/* A segment in force. */
struct journal_place {
	uint32_t slot;
	uint64_t base, end; /* its batches lie between base + RECORD_BLOCK and end */
	uint64_t size;      /* as its header says */
	/* What was left of its file when the journal was opened may be less; so may one be that is
	 * appended to. */
	uint64_t file_size;
	uint64_t live;
};

struct journal *journal_new(const struct journal_options *options);
void journal_free(struct journal *journal);

/* Starts recovery; ends with the opened callback. */
void journal_open(struct journal *journal, struct instant now);

/* Tells what was there before it was opened, from an LSN on (0: all). Once, when OPEN. */
void journal_replay(struct journal *journal, uint64_t from);

enum journal_state journal_state(const struct journal *journal);
/* Why it is FAULTED: ERR_NOSPACE or ERR_IO; else ERR_OK. */
enum err journal_fault_err(const struct journal *journal);

/* How many bytes of records must stay: guides how large the log grows. */
void journal_set_live(struct journal *journal, uint64_t bytes);

/*
 * Appends records that must be atomic: all land in one batch. ret_lsns (may be NULL) gets the LSN
 * of each. `done` (may be NULL) is called once, in order of appending.
 * ERR_NOSPACE: no room now; ERR_FAULTED: not OPEN; ERR_LIMIT: larger than a batch can be.
 */
MUST_USE enum err journal_append(struct journal *journal, const struct record *records,
	size_t count, enum journal_class class, enum journal_urgency urgency, journal_done_fn *done,
	void *ctx, uint64_t *ret_lsns);

/*
 * Base of the segment in which a record of so many bytes will lie if it is appended next, alone;
 * JOURNAL_NO_SEGMENT: that is not begun yet, or may not hold RECORD_BRIEF.
 */
#define JOURNAL_NO_SEGMENT UINT64_MAX
uint64_t journal_brief_segment(const struct journal *journal, size_t bytes);

/*
 * Sets a named value of the node, kept for ever; joins the next batch. Value at most 4 KiB. Errors
 * as journal_append(); ERR_LIMIT: all together would be too large.
 */
MUST_USE enum err journal_set_node(struct journal *journal, struct slice key, struct slice value,
	journal_done_fn *done, void *ctx);

/* The value known now (from recovery or journal_set_node); empty: none. */
struct slice journal_node(const struct journal *journal, struct slice key);

/* The minor format: a newer release writes what it has added only once the journal has it. */
struct journal_format {
	uint16_t in_force; /* kept in the journal, never lowered */
	uint16_t written;  /* by this release: in_force, or less if it does not know that */
	uint16_t newest;   /* that this release knows */
};
void journal_format(const struct journal *journal, struct journal_format *ret_format);

/*
 * Brings the journal to the newest format that this release knows; releases before it may not
 * know all that is written from then on. `done` as in journal_append(). ERR_EXISTS: it has it;
 * ERR_AGAIN: one is under way.
 */
MUST_USE enum err journal_upgrade(struct journal *journal, journal_done_fn *done, void *ctx);

/* The segment that holds this durable LSN must stay in force / need not any more (counted). */
void journal_hold(struct journal *journal, uint64_t lsn);
void journal_release(struct journal *journal, uint64_t lsn);

/*
 * The oldest segment, if it is not the newest: what lives in it must go before it can be used
 * again.
 */
bool journal_oldest(const struct journal *journal, struct journal_place *ret_place);

/* The closed segment that holds this LSN, or the next one behind it that holds batches. */
bool journal_place_at(
	const struct journal *journal, uint64_t lsn, struct journal_place *ret_place);

/* The segment in force with this number, from the oldest (0) on; false: there are no more. */
bool journal_place_number(
	const struct journal *journal, size_t number, struct journal_place *ret_place);

/* How many of the first bytes of its file count, of all that lies below `lsn`. */
uint64_t journal_place_bytes(const struct journal_place *place, uint64_t lsn);

/* No segment leaves force from here on, so that somebody can copy the files / again (counted). */
void journal_freeze(struct journal *journal);
void journal_thaw(struct journal *journal);

/* The file of this segment is not to be used again: it is renamed when it leaves force. */
void journal_distrust(struct journal *journal, uint64_t base);

/* Recovery found that something durable cannot be read. */
bool journal_is_damaged(const struct journal *journal);
/*
 * LSN below which what is known may be out of date, because something behind it is lost; 0:
 * none.
 */
uint64_t journal_damage_end(const struct journal *journal);
/* What lies below it must be copied, so that the next start does not meet the damage; 0: none. */
uint64_t journal_clean_end(const struct journal *journal);
/* Of all that was there, how far replay is. */
uint64_t journal_replayed(const struct journal *journal);

/* Acts on time: sends batches, recycles, retries. Call once per loop turn. */
void journal_step(struct journal *journal, struct instant now);

/*
 * The first part of a step, soon after a completion and before other work: if a flush has ended,
 * the next batch goes out if it is complete, and then the transactions of the one that is durable
 * are told.
 */
void journal_settle(struct journal *journal, struct instant now);

/* When journal_step() must be called at the latest; ns = UINT64_MAX: not before an event. */
struct mono journal_due(const struct journal *journal);

/* Where a record that recovery or append named lies; ERR_NOTFOUND: not in a segment in force. */
MUST_USE enum err journal_locate(
	const struct journal *journal, uint64_t lsn, uint32_t *ret_slot, uint64_t *ret_offset);

uint64_t journal_durable(const struct journal *journal);
uint64_t journal_flushed_bytes(const struct journal *journal); /* of the last flush */
/* The end of what was there before it was opened. */
uint64_t journal_recovered_end(const struct journal *journal);
uint64_t journal_first(const struct journal *journal); /* LSN of the oldest segment in force */
const uint8_t *journal_uuid(const struct journal *journal);
void journal_stats(const struct journal *journal, struct journal_stats *ret_stats);
uint64_t journal_wall_us(const struct journal *journal); /* latest wall time in the log */
void journal_space(const struct journal *journal, struct journal_space *ret_space);
/* Whether the file system has room for more than the reserve, as far as that is free space. */
bool journal_has_room(const struct journal *journal);
/* Whether there is room to copy a segment of so many bytes. */
bool journal_can_copy(const struct journal *journal, uint64_t bytes);
/* Somebody else of the store writes so many bytes to the same file system. */
void journal_spend(struct journal *journal, uint64_t bytes);

/* A clean stop: the last batch is proven durable at once, and the journal is not idle before. */
void journal_stop(struct journal *journal);

/* True when nothing waits to be written or flushed, and no segment is in the making. */
bool journal_is_idle(const struct journal *journal);

/* The same, and all that left force is so durably and has been put aside or removed. */
bool journal_is_settled(const struct journal *journal);

#endif
