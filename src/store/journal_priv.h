/*
 * journal_priv.h - what the files of the journal share (store only)
 */
#ifndef OSTLER_STORE_JOURNAL_PRIV_H
#define OSTLER_STORE_JOURNAL_PRIV_H

#include "store/journal.h"

#include <sys/queue.h>

/* A segment in force, oldest first in journal->segments. */
struct journal_segment {
	TAILQ_ENTRY(journal_segment) link;
	uint64_t sequence;
	uint64_t base;
	uint64_t size;
	uint64_t file_size; /* less: appended, or a crash amid its removal has left it short */
	uint64_t end; /* LSN up to which batches are planned or, when closed, count */
	uint64_t live; /* holds */
	uint64_t begun_us; /* wall time of its first batch; 0: not known */
	uint64_t generation;
	uint32_t slot;
	bool suspect; /* a write into it failed, or it is damaged: its file is never used again */
	bool is_blank; /* its file held zeroes when it was taken into use */
	bool takes_brief; /* its header says that there may be RECORD_BRIEF */
	bool takes_long; /* its header says that a batch may be longer than RECORD_BATCH_SHORT */
	bool has_footer; /* its records are summed up from the first one on */
	struct buf footer; /* entries of its records, while it is the newest */
};
TAILQ_HEAD(journal_segments, journal_segment);

enum journal_fate { JOURNAL_FATE_REUSE, JOURNAL_FATE_REMOVE, JOURNAL_FATE_RETIRE };

/* A file that can become a segment, or must go. */
struct journal_spare {
	TAILQ_ENTRY(journal_spare) link;
	uint32_t slot;
	enum journal_fate fate;
	bool is_blank; /* zeroes, as far as a segment is long */
	bool has_old; /* it must be zeroed before it is used again or removed */
	uint64_t size; /* of the file */
	uint64_t first_needed; /* usable once a batch with `first` at or beyond this is durable */
	bool needs_open; /* a closing batch may name it: it goes when a newer one is in force */
};
TAILQ_HEAD(journal_spares, journal_spare);

struct journal_txn {
	journal_done_fn *done;
	void *ctx;
};

enum journal_item_kind { JOURNAL_ITEM_BATCH, JOURNAL_ITEM_HEADER };

/* Something to be written, in order; the last one in the queue may still be open for appends. */
struct journal_item {
	TAILQ_ENTRY(journal_item) link;
	enum journal_item_kind kind;
	struct journal_segment *segment;
	uint64_t lsn;
	uint32_t count;     /* records */
	uint32_t txn_count;
	uint16_t flags;
	uint64_t successor;
	uint64_t footer;    /* closing batch */
	uint64_t cut;       /* header items */
	bool open;
	uint32_t urgent_count; /* transactions that a client waits for */
	uint32_t later_count;  /* transactions that nobody waits for */
	struct mono since;  /* of the first append */
	struct mono soon_since; /* of the first one that is not JOURNAL_LATER */
	struct buf bytes;
	struct journal_txn *txns; /* those that want to be told, in their order */
	uint32_t told_count, told_room;
};
TAILQ_HEAD(journal_items, journal_item);

struct journal_node {
	TAILQ_ENTRY(journal_node) link;
	struct buf key;
	struct buf value;
	uint64_t sequence; /* of the segment that it was found in; set since: UINT64_MAX */
};
TAILQ_HEAD(journal_nodes, journal_node);

/* What recovery knows of one file. */
struct journal_found {
	struct segment_header header;
	uint32_t slot;
	uint64_t file_size;
	uint64_t begun_us; /* as its first batch says */
	bool valid;
	bool is_orphan;  /* its header is lost; the first batch that is there: */
	bool is_rebuilt; /* the header was made from that (journal_rebuild.c) */
	struct batch_header begin;
	uint64_t begin_offset;
};

struct journal_recovery {
	struct journal_found *found;
	size_t count, index;
	size_t oldest, newest; /* range of `found` in force, sorted by sequence */
	uint64_t previous_sum; /* UINT64_MAX: whatever comes next is the first of its chain */
	uint64_t end; /* LSN behind the last accepted batch */
	bool is_scanning;  /* newest first, for its end, `first` and named values */
	bool has_begun;    /* the first batch of the segment under way was accepted */
	bool has_writer;   /* the epoch that all of its batches have is known */
	uint64_t writer;   /* that epoch */
	bool is_closed;    /* the newest segment names a successor */
	bool is_replaying; /* from recovery's begin to the end of replay */
	uint64_t from;     /* replay: what lies below is known */
	uint64_t footer;   /* LSN of the footer that is read */
	uint64_t limit;    /* closing batch behind it */
	uint64_t epoch;    /* of the footer's batches */
	uint64_t footer_sum; /* that its last batch must have */
	uint64_t scanned_end, scanned_sum;
	struct buf tail; /* bytes behind the end that nobody has acknowledged */
	uint64_t tail_lsn, tail_count; /* where they begin; how many are not zero or older */
	uint64_t orphan_lsn; /* the greatest that begins a segment file without a header */
	uint64_t orphan_end; /* of that segment, at the most */
	uint32_t orphan_slot;
};

/* Free space, if that is the reserve (journal_room.c). */
struct journal_room {
	struct disk_op op;
	bool is_looking;
	bool is_known;
	bool is_stale;	      /* something was written since it was looked at */
	uint64_t free_bytes;
	struct mono next; /* not looked at before */
};

enum { JOURNAL_SLOTS_FREE = 64 };
/* One is being written, one gathers, the others wait: as much as two of RECORD_BATCH_SHORT. */
enum { JOURNAL_BYTES_KEPT = 4 };

struct journal {
	struct journal_options options;
	enum journal_state state;
	struct instant now;
	struct journal_segments segments;
	struct journal_segment **table; /* the same, by base */
	size_t table_count, table_room;
	struct journal_spares spares;
	struct journal_items items;
	struct buf bytes[JOURNAL_BYTES_KEPT]; /* of items that were written, for the next ones */
	unsigned bytes_count;
	struct journal_nodes nodes;
	struct disk_op write_op;
	bool writing;
	struct disk_op prepare_op;
	bool preparing;
	enum journal_fate prepare_fate; /* of the file, when it is zeroed */
	struct disk_op drop_op;
	bool dropping;
	struct disk_op read_op; /* recovery */
	struct journal_room room;
	struct journal_recovery recovery;
	uint8_t uuid[RECORD_UUID_SIZE];
	uint64_t durable;
	uint64_t recovered_end;
	uint64_t base_next; /* no segment begins below this */
	uint64_t live_bytes;
	struct journal_stats stats;
	struct flush_log flushes;
	struct mono sent_at; /* the batch in flight */
	struct journal_item *landed; /* it is on stable storage, journal_settle() tells of it */
	uint64_t flushed_bytes; /* of the last one that was told of */
	uint64_t durable_first; /* greatest `first` in a durable batch */
	uint64_t written_first; /* `first` of the batch in flight */
	uint64_t previous_sum;  /* checksum of the last durable batch */
	uint64_t written_sum;   /* of the batch in flight */
	uint64_t wall_us;
	uint64_t sequence;   /* of the newest segment planned */
	uint64_t generation; /* greatest used */
	uint16_t minor;      /* format in force */
	struct journal_txn upgrade; /* who is told of it; done: NULL, none is under way */
	uint32_t slot_next;  /* no file has this number or a greater one */
	uint32_t last_urgent_count; /* of the last batch */
	unsigned freezes; /* no segment leaves force */
	bool is_damaged; /* recovery missed something durable */
	uint64_t damage_end; /* what is known from below this may be out of date */
	uint64_t rebuilt_end; /* of the newest segment whose header was rebuilt */
	bool proven; /* the last batch was an empty one behind a flushed one */
	bool is_stopping;
	struct mono idle_since;
	bool is_hint; /* the last batch: nothing but JOURNAL_LATER was in it */
	struct mono retry_at; /* FAULTED, or after a failed prepare */
	uint64_t retry_ns;
	uint64_t prepare_retry_ns; /* 0: the last one worked */
	enum err fault_err;        /* FAULTED: why */
	uint32_t slots_free[JOURNAL_SLOTS_FREE]; /* numbers of files that were removed */
	unsigned slots_free_count;
};

/* journal_recovery.c */
void journal_recovery_start(struct journal *journal);
void journal_recovery_done(struct journal *journal);
/* What was durable cannot be read; what is known of messages below `end` may be out of date. */
void journal_recovery_mark(struct journal *journal, uint64_t end);

/* The next step of recovery: an operation on the file under way; its end is told to `done`. */
void journal_recovery_submit(struct journal *journal, enum disk_op_kind kind, uint64_t offset,
	uint64_t length, disk_done_fn *done);
/* Reads the segment under way whole: a scan looks for its end, replay tells its records. */
void journal_recovery_read(struct journal *journal);

/* journal_scan.c */
/* LSN at which the batches of a segment end at the latest. */
uint64_t journal_recovery_limit(const struct journal_recovery *recovery, size_t index);
bool journal_recovery_has_batches(const struct journal_recovery *recovery, size_t index);
/* All batches of one segment; returns whether the newest was found to be closed. */
bool journal_recovery_segment(struct journal *journal, struct slice segment);
void journal_recovery_entry(struct journal *journal, const struct summary_entry *entry);
/* A record that is whole: a scan takes the named values, replay all else. */
void journal_recovery_one(struct journal *journal, uint64_t lsn, const struct record *record);

/* journal_replay.c */
/* The next segment, by its footer if it can have one; behind the newest one replay is over. */
void journal_replay_next(struct journal *journal);

/* journal_rebuild.c */
/* Headers for those files that lost them and fit into the journal; the others are retired. */
void journal_rebuild(struct journal *journal);
/* It is in force. */
void journal_rebuild_enforced(struct journal *journal, const struct journal_found *found);
/* Whether this batch is the last in front of a segment whose header, and so the cut, is lost. */
bool journal_rebuild_ends(
	const struct journal_recovery *recovery, const struct batch_header *batch);

/* journal_salvage.c */
/* Damage from `lsn` to `end`: reported, its bytes are kept under corrupt/. */
void journal_salvage_report(struct journal *journal, const struct segment_header *header,
	struct slice bytes, uint64_t lsn, uint64_t end);
/*
 * Looks at what the newest segment holds from `offset` on, behind the journal's end: notes in
 * recovery->tail what is neither zero nor left over from batches that lay there before.
 */
void journal_salvage_tail(struct journal *journal, const struct segment_header *header,
	struct slice segment, uint64_t offset);
/* Keeps that under corrupt/ and says so, if there is any; then writing begins. */
void journal_salvage_tail_save(struct journal *journal);
/* Every record that can be read of batches that are damaged; the others are told as broken. */
void journal_salvage(struct journal *journal, struct slice bytes, uint64_t lsn);

/* journal_writer.c */
void journal_writer_start(struct journal *journal, uint64_t cut);
void journal_writer_step(struct journal *journal);
void journal_writer_settle(struct journal *journal);
void journal_writer_abandon(struct journal *journal);
void journal_item_tell(struct journal_item *item, journal_done_fn *done, void *ctx);
struct journal_item *journal_writer_open_item(
	struct journal *journal, size_t bytes, size_t count, enum journal_class class);

/* journal_format.c */
/* A journal that did not exist before has the newest format. */
void journal_format_begin(struct journal *journal);
/* What recovery saw: a header in force, then the named values. */
void journal_format_seen(struct journal *journal, uint16_t minor);
void journal_format_recovered(struct journal *journal);
/* The format, features and writer of a header that is about to be written. */
void journal_format_fill(const struct journal *journal, struct segment_header *header);

/* journal_space.c */
void journal_segment_add(struct journal *journal, struct journal_segment *segment);
/* Takes the oldest or the newest one out and frees it. */
void journal_segment_drop(struct journal *journal, struct journal_segment *segment);
struct journal_segment *journal_segment_of(const struct journal *journal, uint64_t lsn);
struct journal_segment *journal_newest(const struct journal *journal);
void journal_spare_add(
	struct journal *journal, uint32_t slot, uint64_t first_needed, enum journal_fate fate);
/* A file that is out of force: it is used again if it has the size of new ones, else removed. */
void journal_spare_free(
	struct journal *journal, uint32_t slot, uint64_t first_needed, uint64_t file_size);
struct journal_spare *journal_spare_ready(const struct journal *journal);
/* A spare for this class; NULL: none. */
struct journal_spare *journal_spare_for(const struct journal *journal, enum journal_class class);
/* Free segments that a class must leave to others. */
uint32_t journal_reserve(const struct journal *journal, enum journal_class class);
void journal_space_step(struct journal *journal);
void journal_prepare(struct journal *journal);

/* journal_room.c */
/* At most so many of `count` segments have room. */
uint32_t journal_room_cap(const struct journal *journal, uint32_t count);
/* Whether a class may write so many bytes more. */
bool journal_room_permits(const struct journal *journal, enum journal_class class, size_t bytes);
void journal_room_step(struct journal *journal);
uint64_t journal_room_due_ns(const struct journal *journal);

/* journal.c */
bool journal_plant_is_on(const struct journal *journal, enum journal_plant plant);
void journal_notice(struct journal *journal, const char *format, ...) FORMAT_PRINTF(2, 3);
/* Whether files are zeroed; those that are appended to would keep the old bytes elsewhere. */
bool journal_zeroes(const struct journal *journal);
/* It replaces what is known from the same segment or an older one. */
void journal_node_remember(
	struct journal *journal, struct slice key, struct slice value, uint64_t sequence);
/* Bytes that all named values take in the first batch of a segment, and may take. */
size_t journal_nodes_size(const struct journal *journal);
size_t journal_nodes_max(const struct journal *journal);
/* When an idle journal gets the empty batch that proves the one before it. */
uint64_t journal_prove_at_ns(const struct journal *journal);
/* No more is appended to it. */
void journal_item_close(struct journal_item *item);
uint64_t journal_gather_until_ns(
	const struct journal *journal, const struct journal_item *item);

#endif
