/*
 * import_queue.h - what an import asks of the queue manager: who it is, what is there, releases
 *
 * Errors:  exit codes of sysexits.h after a complaint. Threads: none; it blocks.
 */
#ifndef OSTLER_CLI_IMPORT_QUEUE_H
#define OSTLER_CLI_IMPORT_QUEUE_H

#include "cli/import_ledger.h"

enum { IMPORT_QUEUE_EPOCH_SIZE = 24 };

/* Names the process that is the queue manager now. */
MUST_USE int import_queue_epoch(struct cli *cli, char ret_epoch[IMPORT_QUEUE_EPOCH_SIZE]);

/*
 * Looks for the messages of all entries that are BEGUN and keeps what is found. One that is there
 * twice (a queue manager died between the two) loses the one that comes later.
 */
MUST_USE int import_queue_find(struct import_ledger *ledger);

/* `command` (release, delete) of queue IDs that stand in `ids` with a blank behind each. */
MUST_USE int import_queue_change(struct cli *cli, const char *command, struct slice ids);

#endif
