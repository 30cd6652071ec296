/*
 * operator.h - commands about mail in the queue: asked of the queue manager, shown to people
 *
 * Functions return an exit code of sysexits.h; answers go to stdout, complaints and counts of
 * what was done to stderr, as postsuper does.
 * Threads: none.
 */
#ifndef OSTLER_CLI_OPERATOR_H
#define OSTLER_CLI_OPERATOR_H

#include "cli/cli.h"

/* The queue, in mailq's form or as lines of JSON. */
int operator_queue(struct cli *cli, bool as_json);

/* Tries delivery now: all, of one site, or of one message (the others NULL). */
int operator_flush(struct cli *cli, const char *site, const char *id);

/* One message: envelope, state, attempts; its content too if asked for. */
int operator_show(struct cli *cli, const char *id, bool with_content);

/* hold, release, delete, requeue of queue IDs or ALL. */
int operator_change(struct cli *cli, const char *command, const char *const *ids, size_t id_count);

int operator_status(struct cli *cli, bool as_json);

/* upgrade-journal: says from what to what. */
int operator_upgrade(struct cli *cli);

#endif
