/*
 * store_freeze.h - somebody copies the files of a frozen store, and starts on the copy
 *
 * While a store is frozen, every byte that was durable when that began must stay as it is, and every
 * finished file under large/ too, whatever is written, cleaned, ended or checkpointed meanwhile. The
 * copy is a disk of its own: a store that opens it finds exactly what was durable in that moment.
 *
 * Ownership: freeze_begin() keeps copies; freeze_end() frees them. Threads: none.
 */
#ifndef OSTLER_TESTS_SIM_STORE_FREEZE_H
#define OSTLER_TESTS_SIM_STORE_FREEZE_H

#include "sim/disk_sim.h"
#include "store/store.h"

enum { FREEZE_PLACES_MAX = 64, FREEZE_MESSAGES_MAX = 512 };

struct freeze {
	struct store *store;
	const struct disk_sim *disk;
	bool is_waiting; /* for the flush behind the freeze */
	bool is_on;
	bool is_short; /* a file is shorter than the store says */
	uint64_t lsn; /* all below it counts */
	unsigned count;
	struct freeze_place {
		struct journal_place place;
		struct buf bytes; /* below the LSN, as they were */
	} places[FREEZE_PLACES_MAX];
	unsigned large_count;
	char larges[DISK_SIM_NAMED][DISK_NAME_SIZE];
	bool has_messages;
	unsigned message_count;
	uint64_t messages[FREEZE_MESSAGES_MAX]; /* queue IDs that the copy must have, and no others */
};

/*
 * Freezes the store, whose index is complete, and flushes; is_on when that is durable. Both, as
 * qmgr/snapshot.c: a segment that has left force since the last batch is not copied, and only a later
 * batch says that it has left. `is_bare`: planted, there is none.
 */
void freeze_begin(
	struct freeze *freeze, struct store *store, const struct disk_sim *disk, bool is_bare);

/* To be called behind each step of the store: by then all of the batch is in the index. */
void freeze_note(struct freeze *freeze);

/* NULL: everything is as it was; else what is not. */
const char *freeze_check(const struct freeze *freeze, const struct disk_sim *disk);

/* Copies what the snapshot is made of now, and opens it. NULL: all is there; else what is not. */
const char *freeze_restore(const struct freeze *freeze, const struct disk_sim *disk,
	const struct store_options *options, struct instant now);

/* Forgets it. The store is thawed by the caller, or is gone. */
void freeze_end(struct freeze *freeze);

#endif
