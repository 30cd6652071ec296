/*
 * local_agent.h - local's side of agent and runner: what is done as other users
 *
 * Ownership: requests point to jobs, which must stay until they are answered.
 * Callbacks: job->agent_done once per request, from the loop; when the agent goes away all that is
 *            open ends as temporary failures.
 * Threads:   local_agent_user() and local_agent_stage(): any; the others: main thread.
 */
#ifndef OSTLER_LOCAL_LOCAL_AGENT_H
#define OSTLER_LOCAL_LOCAL_AGENT_H

#include "ipc/channel.h"
#include "local/agent_main.h"
#include "local/maildir.h"

#include <uthash.h>

struct local_agent;

struct local_ask {
	uint64_t number;
	struct local_agent *agent;
	bool was_lost;   /* when done: the agent went away with it */
	bool was_absent; /* there was none */
	/* `dsn` (the runner's; else empty) and `reason` are borrowed. */
	void (*done)(struct local_ask *ask, enum agent_status status, struct slice dsn,
		struct slice reason);
	UT_hash_handle hh;
};

struct local_agent {
	struct loop *loop;
	struct channel channel;
	struct local_ask *asks;
	uint64_t next;
};

/* A complete message on its way to the agent. */
struct local_staged {
	int fd;
	uint64_t length, hash;
};

void local_agent_init(struct local_agent *agent, struct loop *loop);
/* A new channel from master; the old one's requests end. */
void local_agent_connect(struct local_agent *agent, int fd);
bool local_agent_is_there(const struct local_agent *agent);

/* The account of that name in /etc/passwd, unless it is root; false: there is none. */
bool local_agent_user(struct slice name, uint32_t *ret_uid);

/* Writes the message into a file without a name in `directory`. */
MUST_USE enum err local_agent_stage(int directory, const struct maildir_message *message,
	struct local_staged *ret_staged, struct fault *reterr_fault);

/* Asks; takes staged->fd. */
void local_agent_ask(struct local_agent *agent, struct local_ask *ask, uint32_t uid,
	const char *maildir, const char *host, const struct local_staged *staged);

/* The same of the runner; fills number, length and hash of the request. */
void local_agent_run(struct local_agent *runner, struct local_ask *ask,
	struct ipc_run_request *request, const struct local_staged *staged);

#endif
