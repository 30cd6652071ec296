/*
 * runner_child.h - what a child of the runner is to do, and the child itself (driver)
 *
 * An order is made in the parent, where refusing is still possible; the child only becomes the user
 * and does it.
 *
 * Ownership: an order owns its texts; runner_order_done() frees, also one that was not made.
 * Errors:    a verdict. Threads: main thread.
 */
#ifndef OSTLER_LOCAL_RUNNER_CHILD_H
#define OSTLER_LOCAL_RUNNER_CHILD_H

#include "local/runner.h"

#include <sys/types.h>

struct runner_order {
	bool is_file;
	bool is_alias; /* shown is what a shell would be given */
	char *shown;     /* the command or file, for the log */
	char *file;      /* absolute; with a slash at its end: a Maildir */
	char **argv;     /* NULL at its end */
	size_t argc;
	char **envp;     /* NULL at its end */
	size_t envc;
	char *directory; /* where it begins */
	uid_t uid;
	gid_t gid;
	char *user; /* for its groups; NULL: as we are */
	char host[64];
	uint64_t length, hash; /* of the message */
};

/* False: *ret_verdict says why not. */
bool runner_order_make(struct runner_order *order, const struct config *config,
	const struct ipc_run_request *request, struct runner_verdict *ret_verdict);
void runner_order_done(struct runner_order *order);

/* Splits a command at its blanks into words; NULL at the end. */
void runner_order_word(struct runner_order *order, struct slice word);

/* In the child: `in` is the message, `out` takes what is said. */
_Noreturn void runner_child(const struct runner_order *order, int in, int out);

#endif
