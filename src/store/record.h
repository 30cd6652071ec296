/*
 * record.h - the bytes of the journal: segment headers, batches and records (docs/store.md)
 *
 * Pure codecs. A segment is SEGMENT blocks of RECORD_BLOCK bytes: one header block (two copies),
 * then batches. A batch begins on a block boundary, is padded to one and is whole or worthless:
 * its checksum covers all of it. Each record has a checksum of its own, so that one can be
 * salvaged from a batch that was damaged later; the batch's is made of these, so that appending
 * reads every byte once.
 *
 * Ownership: decoded slices point into the input. Encoders append to the caller's buffer.
 * Limits:    RECORD_BATCH_MAX per batch. Nothing here trusts its bytes.
 */
#ifndef OSTLER_STORE_RECORD_H
#define OSTLER_STORE_RECORD_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum {
	RECORD_BLOCK = 4096,
	RECORD_BATCH_MAX = 16 * 1024 * 1024,
	RECORD_BATCH_SHORT = 4 * 1024 * 1024, /* all up to format 1.1; later ones mostly */
	RECORD_BATCH_HEADER = 128,
	RECORD_HEADER = 24,
	RECORD_ALIGN = 8,
	RECORD_SEGMENT_COPY = 2048, /* second copy of the segment header within its block */
	RECORD_FORMAT_MAJOR = 1,
	RECORD_FORMAT_MINOR = 3, /* what each adds: docs/store.md */
	RECORD_FORMAT_LONG = 2,  /* from this minor on batches are up to RECORD_BATCH_MAX */
	RECORD_FORMAT_BRIEF = 3, /* from this minor on there is RECORD_BRIEF */
	RECORD_UUID_SIZE = 16,
	RECORD_WRITER_SIZE = 24,
};

/* Features that a reader must know to open the journal. Since 1.2: batches of RECORD_BATCH_MAX. */
#define RECORD_FEATURE_LONG UINT64_C(1)
/* Since 1.3: records of RECORD_BRIEF. */
#define RECORD_FEATURE_BRIEF UINT64_C(2)
#define RECORD_FEATURES_MUST (RECORD_FEATURE_LONG | RECORD_FEATURE_BRIEF)
/* Features that a reader may ignore. Since 1.1: the header names the release that wrote it. */
#define RECORD_FEATURE_WRITER UINT64_C(1)
/* The same: the file was blank when it was taken into use. */
#define RECORD_FEATURE_BLANK UINT64_C(2)
/* The same: the header has the epoch of its writer. */
#define RECORD_FEATURE_EPOCH UINT64_C(4)

struct segment_header {
	uint64_t sequence;   /* 1, 2, 3, … without gaps among the segments in force */
	uint64_t base;       /* LSN of the segment's first byte */
	uint64_t cut;        /* LSN at which the previous segment ends; nothing beyond it counts */
	uint64_t first;      /* as in a batch, at the time of writing */
	uint64_t size;       /* bytes of the segment, header block included */
	uint64_t generation; /* how often this file was taken into use */
	uint64_t features_must;
	uint64_t features_may;
	uint32_t node;
	uint16_t major;
	uint16_t minor;
	uint8_t uuid[RECORD_UUID_SIZE]; /* of the journal */
	char writer[RECORD_WRITER_SIZE]; /* RECORD_FEATURE_WRITER: release, else empty */
	uint64_t epoch; /* RECORD_FEATURE_EPOCH: that all of its batches have; 0: not known */
};

/* Fills a block of RECORD_BLOCK bytes. */
void segment_header_encode(const struct segment_header *header, uint8_t *block);

/*
 * Reads either copy.
 * ERR_NOTFOUND: the block holds no header (blank or something else);
 * ERR_CORRUPT:  there was one, both copies are damaged;
 * ERR_VERSION:  a major format or a must-understand feature that this release does not know; the
 *               fault says which, and what wrote it.
 */
MUST_USE enum err segment_header_decode(
	struct slice block, struct segment_header *ret_header, struct fault *reterr);

/* Whether the numbers of a header can belong together at all. */
bool segment_header_is_sane(const struct segment_header *header);

enum batch_flag {
	BATCH_LAST = 1, /* the segment is closed; `successor` is the next segment's sequence */
};

struct batch_header {
	uint64_t epoch;      /* random, of this start of the writer */
	uint64_t lsn;        /* of the batch's first byte */
	uint32_t length;     /* of the whole batch, padding included; multiple of RECORD_BLOCK */
	uint32_t used;       /* header and records, without padding */
	uint32_t count;      /* of records */
	uint16_t flags;      /* enum batch_flag */
	uint64_t previous;   /* checksum of the batch before it; 0 for the first of a journal */
	uint64_t durable;    /* everything below this LSN was flushed when this was written */
	uint64_t first;      /* base of the oldest segment in force */
	uint64_t wall_us;
	uint64_t successor;
	uint64_t footer; /* closing batch: LSN of the first batch of the footer; 0: it has none */
	uint64_t sum; /* of the batch; set by batch_seal() and batch_decode() */
};

/* Begins a batch in an empty buffer: leaves room for its header. */
void batch_begin(struct buf *buf);

/* Pads and fills in header->length, used and sum, and the bytes of the header. */
void batch_seal(struct buf *buf, struct batch_header *header);

/*
 * Reads the header of a batch at the front of `bytes` and verifies the checksum of the whole.
 * ERR_NOTFOUND: no batch begins here; ERR_SYNTAX: `bytes` is shorter than the batch says;
 * ERR_CORRUPT: the checksum is wrong; *ret_header is filled for ERR_OK and ERR_SYNTAX.
 */
MUST_USE enum err batch_decode(struct slice bytes, struct batch_header *ret_header);

/*
 * What the header of a batch says that may not verify: none of it need be true, but its lengths are
 * possible. False: no batch begins here, nothing is filled.
 */
bool batch_peek(struct slice bytes, struct batch_header *ret_header);

enum record_type {
	RECORD_MESSAGE = 1, /* a message: envelope, recipients, content */
	RECORD_RESULT = 2,  /* what became of some recipients; counts until the next STATE */
	RECORD_STATE = 3,   /* the complete state of a message */
	RECORD_DONE = 4,    /* the message has ended */
	RECORD_NODE = 5,    /* a named value of the node, e.g. the floor of queue IDs */
	RECORD_FOOTER = 6,  /* a part of a closed segment's summary: entries of summary.h */
	RECORD_PLACE = 7,   /* behind the copy of a MESSAGE: where its STATE lies */
	RECORD_BRIEF = 8,   /* a STATE that ends as an earlier one of the same segment does */
};

enum record_flag {
	RECORD_CRITICAL = 1, /* a reader that does not know the type must not go on as if it did */
	/* The payload begins with a queue ID. In every type that a later release adds: a reader
	 * that does not know it carries it along until that message ends. */
	RECORD_OF_MESSAGE = 2,
};

struct record {
	uint16_t type;
	uint16_t flags;
	/* Place of the MESSAGE it belonged to when it was written, for tools; 0: it is one, it came
	 * with it, or it belongs to none. The queue ID in the payload is what joins them. */
	uint64_t message;
	struct slice payload;
};

/* Bytes that a record with such a payload takes in a batch. */
size_t record_size(size_t payload_len);

/* Whether this release knows what records of this type mean. */
bool record_is_known(uint16_t type);

/* Whether records of this type, which is known, belong to a message. */
bool record_is_of_message(uint16_t type);

/* Queue ID of the message that a record of an unknown type belongs to; 0: of none. */
uint64_t record_unknown_owner(const struct record *record);

/* Bytes of the record that begins here, as its unverified header says; 0: that is not whole. */
size_t record_length(struct slice bytes);

/* Appends a record; returns the offset in buf at which it begins. */
size_t record_put(struct buf *buf, const struct record *record);

/*
 * Cuts the next record off a batch's records.
 * ERR_NOTFOUND: no more; ERR_SYNTAX: lengths are impossible; ERR_CORRUPT: its checksum is wrong,
 *               *rest
 * stands behind it and the next one can be tried.
 */
MUST_USE enum err record_next(struct slice *rest, struct record *ret_record);

/*
 * Where a record at the front of `records` that is damaged ends, if its length cannot be believed:
 * `count` whole records, at least one, reach from there exactly to the end. 0: nowhere.
 */
enum { RECORD_RESYNC_MAX = 64 * 1024 * 1024 }; /* bytes hashed at the most */
size_t record_resync(struct slice records, uint32_t count);

/* Payload of RECORD_MESSAGE. The parts are opaque to the store. */
struct record_message {
	uint64_t queue_id;
	uint64_t arrival_us;
	uint64_t content_length; /* without head */
	uint64_t content_hash;
	uint64_t large;      /* number that names the file under large/; 0: `body` has it */
	/* RECORD_MESSAGE_* in the lowest byte, above it its fingerprint (store.h) */
	uint32_t flags;
	struct slice envelope;
	struct slice recipients;
	struct slice head;
	struct slice body;
	struct slice parts; /* of large content: its sums as base/hash_parts.h has them */
};

enum record_message_flag {
	RECORD_MESSAGE_DOTTED = 1,  /* a line begins with a dot */
	RECORD_MESSAGE_ZSTD = 2,    /* reserved: body is compressed */
	RECORD_MESSAGE_SECRET = 4,  /* reserved: body is encrypted */
};

enum { RECORD_FINGERPRINT_AT = 8 };

void record_message_encode(struct buf *buf, const struct record_message *message);
MUST_USE enum err record_message_decode(struct slice payload, struct record_message *ret_message);

/* Payload of RECORD_STATE, RECORD_RESULT and RECORD_DONE. */
struct record_state {
	uint64_t queue_id;
	uint64_t due_us; /* earliest next attempt, wall time; STATE only */
	uint32_t flags;  /* RECORD_STATE_* */
	struct slice state; /* opaque */
};

enum record_state_flag { RECORD_STATE_HELD = 1, RECORD_STATE_WARNED = 2 };

void record_state_encode(struct buf *buf, const struct record_state *state);
MUST_USE enum err record_state_decode(struct slice payload, struct record_state *ret_state);

/*
 * Payload of RECORD_PLACE. A MESSAGE that was moved forgets what stood before it; this gives it
 * back the STATE that was not moved with it.
 */
struct record_place {
	uint64_t queue_id;
	uint64_t state_lsn;
	uint32_t due_s;
	uint32_t flags;
	uint16_t size; /* of the STATE, packed as summary.h says */
};

void record_place_encode(struct buf *buf, const struct record_place *place);
MUST_USE enum err record_place_decode(struct slice payload, struct record_place *ret_place);

/*
 * Payload of RECORD_BRIEF. The state is `own`, and behind it the last `tail_len` bytes of the state
 * that the STATE record at `place` of the same segment holds.
 */
enum {
	RECORD_BRIEF_TAIL_MAX = 4095,
	RECORD_BRIEF_ALIGN = RECORD_ALIGN, /* places are counted in these */
	RECORD_BRIEF_REACH = (1 << 24) * RECORD_BRIEF_ALIGN,
};

struct record_brief {
	uint64_t queue_id;
	uint32_t due_s;
	uint8_t flags;     /* enum record_state_flag, below 16 */
	uint16_t tail_len; /* 1 to RECORD_BRIEF_TAIL_MAX */
	uint16_t tail_sum; /* record_brief_sum() */
	uint32_t place;    /* offset in the segment, below RECORD_BRIEF_REACH */
	struct slice own;
};

/* Of the tail: tells that it is the one that was meant. */
uint16_t record_brief_sum(struct slice tail);
void record_brief_encode(struct buf *buf, const struct record_brief *brief);
MUST_USE enum err record_brief_decode(struct slice payload, struct record_brief *ret_brief);

/* Payload of RECORD_NODE. */
struct record_node {
	struct slice key;
	struct slice value; /* empty: forgotten */
};

void record_node_encode(struct buf *buf, const struct record_node *node);
MUST_USE enum err record_node_decode(struct slice payload, struct record_node *ret_node);

#endif
