/*
 * operator.h - commands about mail in the queue: asked of the queue manager, shown to people
 *
 * Functions return an exit code of sysexits.h; answers go to stdout, complaints and counts of
 * what was done to stderr, as postsuper does.
 * Threads: none.
 */
#ifndef OSTLER_CLI_OPERATOR_H
#define OSTLER_CLI_OPERATOR_H

#include "cli/selection.h"

/* The queue, or what of it is selected (may be NULL), in mailq's form or as lines of JSON. */
int operator_queue(struct cli *cli, const struct selection *selection, bool as_json);

/* Tries delivery now: all, of one site, or of one message (the others NULL). Says nothing. */
int operator_flush(struct cli *cli, const char *site, const char *id);

/* One message: envelope, state, attempts; its content too if asked for. */
int operator_show(struct cli *cli, const char *id, bool with_content);

/*
 * flush, hold, release, delete, requeue or expire of what is selected. With conditions, or ALL, it
 * asks first unless it is told not to.
 */
int operator_change(struct cli *cli, const char *command, struct selection *selection);

/* Where mail goes: a table of sites, or lines of JSON. */
int operator_sites(struct cli *cli, bool as_json);

int operator_status(struct cli *cli, bool as_json);

/* A command whose answer is shown as it comes: JSON as it is, or as text. */
int operator_plain(struct cli *cli, const char *command, const char *const *words, size_t count,
	bool as_json);

/* upgrade-journal: says from what to what. */
int operator_upgrade(struct cli *cli);

#endif
