/*
 * recipient_list.h - the recipients of a message as stored; a recipient's number is its place
 *
 * Bytes: u8 version, then per recipient {u32 length, u8 notify, address, original, orcpt} with u32
 * lengths. Later releases may add fields behind these; they are skipped here and, as a list is
 * never rewritten but only copied, kept. Numbers never change in the life of a message.
 *
 * Ownership: slices point into the list. Iteration allocates nothing; an index owns its places.
 * Limits:    RECIPIENT_LIST_COUNT_MAX recipients, RECIPIENT_LIST_ENTRY_MAX bytes each.
 * Errors:    ERR_SYNTAX, ERR_LIMIT, ERR_VERSION. Threads: pure.
 */
#ifndef OSTLER_MESSAGE_RECIPIENT_LIST_H
#define OSTLER_MESSAGE_RECIPIENT_LIST_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "base/wire.h"

enum { RECIPIENT_LIST_ENTRY_MAX = 8192, RECIPIENT_LIST_COUNT_MAX = 1 << 20 };

struct recipient_entry {
	uint32_t number;       /* set by the reader, ignored by the writer */
	struct slice address;  /* where to, internal form */
	struct slice original; /* before rewriting and expansion; empty: as address */
	struct slice orcpt;    /* DSN ORCPT type;address, decoded; may be empty */
	uint8_t notify;        /* enum dsn_notify bits */
};

struct recipient_list_reader {
	struct wire_reader bytes;
	uint32_t next;
	enum err err;
};

/* Appends one recipient; an empty buffer gets the version first. ERR_LIMIT: too long, or full. */
MUST_USE enum err recipient_list_put(struct buf *list, const struct recipient_entry *entry);

/* Starts at the first recipient. An empty list is an empty slice. */
struct recipient_list_reader recipient_list_read(struct slice list);

/* The next one. ERR_NOTFOUND: the end; other errors are final. */
MUST_USE enum err recipient_list_next(
	struct recipient_list_reader *reader, struct recipient_entry *ret_entry);

/* Reads through the whole list: is it well-formed, and how many are there? */
MUST_USE enum err recipient_list_check(struct slice list, uint32_t *ret_count);

/*
 * Finds recipients by number: a place is kept of every RECIPIENT_INDEX_STEPth, so that a list of a
 * hundred thousand costs little memory besides its bytes. Borrows the list.
 */
enum { RECIPIENT_INDEX_STEP = 64 };

struct recipient_index {
	struct slice list;
	uint32_t count;
	uint32_t *places; /* of recipient RECIPIENT_INDEX_STEP, of twice that, ... */
};

/* Checks the list as recipient_list_check() does; ERR_NOMEM. After an error it is empty. */
MUST_USE enum err recipient_index_init(struct recipient_index *index, struct slice list);
void recipient_index_done(struct recipient_index *index);

/* Recipient number `number`, which is less than index->count (CHECKed). */
struct recipient_entry recipient_index_get(const struct recipient_index *index, uint32_t number);

#endif
