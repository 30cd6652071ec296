/*
 * local_job.h - one transaction of local delivery: its recipients, their targets, one after another
 *
 *   PLAN -> (Maildir, command, file: in the pool, then maybe at agent or runner |
 *            forward: to qmgr) ...
 *        -> next recipient ... -> FINISHED
 *
 * A recipient is delivered when all its targets are. If a later target fails after an earlier one
 * is done, the recipient is deferred and may get its copy twice: never not at all.
 *
 * Ownership: owned by the worker; local_job_free() only when nothing is in the pool or at the
 *            agent.
 * Callbacks: `finished` once, from the loop.
 * Threads:   main thread, but for the task in the pool.
 */
#ifndef OSTLER_LOCAL_LOCAL_JOB_H
#define OSTLER_LOCAL_LOCAL_JOB_H

#include "config/snapshot.h"
#include "ipc/intake_client.h"
#include "local/local_agent.h"
#include "local/local_core.h"
#include "local/local_pool.h"
#include "local/maildir.h"
#include "message/envelope.h"

#include <sys/queue.h>

struct local_outcome {
	enum ipc_outcome_kind kind;
	char dsn[12];
	char *reason;
};

struct local_worker;

struct local_job {
	struct local_task task; /* first: the pool hands it back */
	struct local_worker *worker;
	uint64_t session; /* 0: that qmgr is dead */
	struct buf payload;
	struct ipc_work ipc;
	struct envelope envelope;
	struct ipc_recipient *recipients;
	struct local_outcome *outcomes;
	uint32_t count;
	int fd; /* large content, or -1 */
	struct wall received_at;
	bool is_corrupt;
	bool has_killed; /* agent or runner died with it */
	bool is_untried; /* or was not there */
	/* Where it is. */
	uint32_t recipient;
	struct local_plan plan;
	bool has_plan;
	uint32_t target;
	/* In the pool. */
	struct buf prefix;
	char path[LOCAL_PATH_MAX + 1];
	enum err err;
	struct fault fault;
	bool in_pool;
	/* At the agent: the user's mailbox is written as that user. */
	struct local_ask ask;
	bool has_agent, wants_agent, in_agent;
	bool is_run;	/* at the runner: a command or file */
	char *service; /* a pipe service: all goes to its command; else NULL */
	char *nexthop;
	uint32_t uid;
	struct local_staged staged;
	/* Forwarding. */
	struct intake_txn txn;
	bool is_forwarding;
	uint64_t forward_id, forward_token;
	uint64_t forward_at; /* queue ID, and how much of large content was sent */
	LIST_ENTRY(local_job) link;
};

struct local_worker {
	struct role *role;
	struct config *config;
	struct local_pool pool;
	struct intake_client intake;
	struct local_agent agent, runner;
	int mail_dir;
	char hostname[256];
	void (*finished)(struct local_job *job);
};

/* NULL: malformed; fd is closed then. */
struct local_job *local_job_new(
	struct local_worker *worker, struct slice payload, int fd, struct wall now);
/* Before it starts: it is for the command of a pipe service. */
void local_job_pipe(struct local_job *job, const char *service, const char *nexthop);
void local_job_free(struct local_job *job);
void local_job_start(struct local_job *job);
/* Credit came: large content that is being forwarded goes on. */
void local_job_credit(struct local_job *job);

#endif
