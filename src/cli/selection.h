/*
 * selection.h - options of commands about mail: which messages are meant, and how to go about it
 *
 *   --sender A --recipient A --site S --age T --size N --reason TEXT   conditions, all must hold
 *   -n, --dry-run   only say what would be done      -y, --yes   do not ask
 *   --why TEXT      goes to the log                  --json      for programs
 *   ID... or ALL
 *
 * They become words of a control request (docs/protocol/control.md).
 *
 * Ownership: embedded; words borrow the arguments and `text`. selection_done() frees.
 * Threads:   none.
 */
#ifndef OSTLER_CLI_SELECTION_H
#define OSTLER_CLI_SELECTION_H

#include "cli/cli.h"

struct selection {
	const char **words; /* of the request */
	size_t word_count;
	size_t id_count;
	bool has_conditions;
	bool is_all;
	bool is_dry;
	bool is_yes;
	bool is_json;
	char *texts[16]; /* numbers made of ages and sizes */
	size_t text_count;
};

/* EX_OK, or EX_USAGE after a complaint. argv[0] is the command. */
MUST_USE int selection_parse(
	struct cli *cli, int argc, char **argv, struct selection *ret_selection);
void selection_done(struct selection *selection);
void selection_add(struct selection *selection, const char *word);

/* "90", "15m", "2h", "3d", "1w": seconds. "10", "4K", "2M", "1G": bytes. False: neither. */
bool selection_seconds(const char *text, uint64_t *ret_seconds);
bool selection_bytes(const char *text, uint64_t *ret_bytes);

#endif
