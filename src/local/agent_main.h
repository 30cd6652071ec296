/*
 * agent_main.h - the roles that act as other users: agent and runner (driver)
 *
 * The agent writes into users' mailboxes as those users, the runner runs commands and writes files
 * of aliases and pipe services (runner.h). They are two processes, because commands need what the
 * agent must not have.
 *
 * The agent keeps root's rights, and so does next to nothing: it takes {uid, Maildir,
 * file} from local, makes the user's directory below the mail directory if it is missing, forks,
 * gives up all rights but the user's for good, and writes the message there. The directory must
 * have the user's login name and belong to the user. It has no network, parses no mail, runs no
 * program, and keeps only the capabilities that this takes. Master starts it only when it is root
 * itself; without root, local writes all mailboxes as the user that Ostler runs as.
 *
 * Limits:    AGENT_CHILDREN_MAX deliveries at a time, AGENT_WAITING_MAX waiting, AGENT_SECONDS
 *            each; a file may grow to the size of its message and no further.
 * Errors:    each request gets its answer; what local must not ask closes its channel.
 * Threads:   main thread; children never return.
 */
#ifndef OSTLER_LOCAL_AGENT_MAIN_H
#define OSTLER_LOCAL_AGENT_MAIN_H

#include "ipc/role.h"

enum {
	AGENT_CHILDREN_MAX = 8,
	RUNNER_CHILDREN_MAX = 50,
	AGENT_WAITING_MAX = 2000,
	AGENT_SECONDS = 300,
};

/* What agent_request frames say they wish for, and what the answer's status means. */
enum agent_status {
	AGENT_DONE = 0,
	AGENT_TEMPORARY = 1,
	AGENT_FULL = 2,
	AGENT_CORRUPT = 3,
	AGENT_REFUSED = 4,
};

int agent_main(struct role *role);

#endif
