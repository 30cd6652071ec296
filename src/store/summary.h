/*
 * summary.h - what the index must know of a record, 32 bytes: footers and checkpoints hold these
 *
 * Recovery turns every source of knowledge into a list of entries in the order of the journal, be
 * it the records themselves, the footer of a closed segment or a checkpoint; the store applies
 * them
 * all by one rule. Pure codecs, nothing here trusts its bytes.
 *
 *   MESSAGE  value: arrival_us, size: of the record; due_s: its fingerprint (store.h)
 *   PLACE    value: LSN of the STATE that the message in front of it keeps, size: of that STATE
 *   STATE    value: 0; due_s, flags, size; the same of a BRIEF
 *   RESULT   size
 *   DONE
 *   LARGE    (not a record: behind its MESSAGE) value: number of the file under large/
 *   UNKNOWN  value: type of the record, which this release does not know; size, flags: its own
 */
#ifndef OSTLER_STORE_SUMMARY_H
#define OSTLER_STORE_SUMMARY_H

#include "store/record.h"

enum {
	SUMMARY_ENTRY = 32,
	SUMMARY_PER_RECORD = 2, /* at most so many entries for one record */
	SUMMARY_LARGE = 0x80,	/* types of entries that no record has */
	SUMMARY_UNKNOWN = 0x81,
};

struct summary_entry {
	uint64_t queue_id;
	uint64_t lsn;
	uint64_t value;
	uint32_t due_s;
	uint16_t size; /* as summary_size_pack() gives it */
	uint8_t type;  /* enum record_type, SUMMARY_LARGE or SUMMARY_UNKNOWN */
	uint8_t flags; /* enum record_state_flag; UNKNOWN: enum record_flag */
};

/* Entries of a record at an LSN; returns how many: 0 if the index need not know it. */
unsigned summary_of_record(uint64_t lsn, const struct record *record,
	struct summary_entry entries[SUMMARY_PER_RECORD]);

void summary_put(struct buf *buf, const struct summary_entry *entry);
/* Cuts the next entry off; ERR_NOTFOUND: no more; ERR_SYNTAX: less than an entry is left. */
MUST_USE enum err summary_next(struct slice *rest, struct summary_entry *ret_entry);

/*
 * Sizes up to RECORD_BATCH_SHORT in 13 bits, rounded up: to 32 bytes, from 128 KiB on to 1 KiB.
 * What is longer counts as that: SUMMARY_SIZE_LONG.
 */
enum { SUMMARY_SIZE_LONG = 8191 };
uint16_t summary_size_pack(size_t bytes);
uint32_t summary_size(uint16_t packed);

/* Rounded up to seconds: a message is never due early. */
uint32_t summary_due_seconds(uint64_t due_us);

#endif
