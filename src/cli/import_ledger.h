/*
 * import_ledger.h - what an import has begun and finished, so that it can be interrupted anywhere
 *
 * A text file, one fact a line, written in groups and flushed before anything relies on it:
 *
 *	begin KEY release|hold	the message may be on its way (hold: stays on hold in the end)
 *	kept KEY ID		it is durable in the queue, on hold
 *	free KEY		it was released, or is to stay on hold: finished
 *
 * BEGUN: the queue is asked whether a message has this key; it cannot have left the queue, because
 * it is on hold until KEPT is durable. KEPT: release it, again if need be. FREE: never again.
 * Lines that were written after the last flush may be missing or torn after a crash; nothing had
 * relied on them, so what is unreadable at the end is cut off.
 *
 * Ownership: the ledger owns its entries. Only one process has it open (flock).
 * Errors:    exit codes of sysexits.h after a complaint. Threads: none.
 */
#ifndef OSTLER_CLI_IMPORT_LEDGER_H
#define OSTLER_CLI_IMPORT_LEDGER_H

#include "cli/cli.h"
#include "message/queue_id.h"

#include <uthash.h>

enum import_ledger_state { IMPORT_LEDGER_BEGUN, IMPORT_LEDGER_KEPT, IMPORT_LEDGER_FREE };

struct import_ledger_entry {
	enum import_ledger_state state;
	bool stays_held;
	bool is_ours;		       /* begun by this run */
	char id[QUEUE_ID_TEXT_SIZE];   /* KEPT */
	UT_hash_handle hh;
	char key[];
};

struct import_ledger {
	struct cli *cli;
	char *path;
	int fd;
	struct buf lines; /* not written yet */
	struct import_ledger_entry *entries;
};

/* `path` NULL: import.ledger in the queue directory, which is open. */
MUST_USE int import_ledger_open(struct import_ledger *ledger, struct cli *cli, const char *path);
void import_ledger_close(struct import_ledger *ledger);

/* NULL: never begun. */
struct import_ledger_entry *import_ledger_find(
	const struct import_ledger *ledger, const char *key);

/* Steps of an entry; they count once import_ledger_flush() has returned. */
void import_ledger_begin(struct import_ledger *ledger, const char *key, bool stays_held);
void import_ledger_keep(struct import_ledger *ledger, struct import_ledger_entry *entry,
	const char *id);
void import_ledger_free(struct import_ledger *ledger, struct import_ledger_entry *entry);

MUST_USE int import_ledger_flush(struct import_ledger *ledger);

#endif
