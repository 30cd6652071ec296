/*
 * core_bench.h - the queue manager's core on a bench: one intake, one worker, one tool, time by hand
 *
 * For tests of single rules; what may happen at any moment is the simulation's (tests/sim/world). Every
 * next hop resolves and every session comes up. What becomes of a recipient is in the name of its local
 * part:
 *
 *   ok...     delivered          no...     bounced: 550 5.1.1
 *   later...  deferred: 450      wait...   nothing is said until bench_answer()
 *   lost...   the site is to blame as well
 *   <>        (alone) no address at all
 *   later-long... deferred, each for a long reason of its own
 *
 * Reports (mail with a null sender) are kept in `reports`. Threads: one.
 */
#ifndef OSTLER_TESTS_UNIT_QMGR_CORE_BENCH_H
#define OSTLER_TESTS_UNIT_QMGR_CORE_BENCH_H

#include "config/snapshot.h"
#include "qmgr/core.h"
#include "sim/disk_sim.h"

enum { BENCH_WORKS_MAX = 64, BENCH_BLOCKS_MAX = 64 };

struct bench_work {
	bool is_used;
	core_peer peer;
	struct buf bytes;
};

struct bench {
	struct core *core;
	struct config *config;
	struct disk_sim disk;
	struct log log;
	struct instant now;
	struct buf lines;   /* of the log */
	struct buf answer;  /* what the tool was told last */
	struct buf attempts; /* "address " per recipient given to the worker */
	struct buf senders;  /* "sender>address,address, " per work */
	struct buf reports; /* contents of reports that were delivered */
	unsigned report_count;
	uint64_t id_next, id_end;
	struct {
		uint64_t first, token;
	} blocks[BENCH_BLOCKS_MAX]; /* of queue IDs, the newest */
	unsigned block_count;
	uint64_t durable; /* transactions of the intake that are */
	enum ipc_intake_status status; /* of the last one */
	bool is_accusing;  /* a bad peer is no failure of the test */
	const char *bad_peer; /* what the last one did */
	struct bench_work works[BENCH_WORKS_MAX]; /* held back by wait... */
	struct frame *frames; /* not read yet, oldest first */
	uint64_t created_us;  /* of the next mail; 0: none is written */
	uint64_t warning_s;   /* of the next mails: delay_warning_time at arrival */
	uint64_t expands;     /* by the next mails: a recipient of this message */
	uint32_t flags;       /* of the next mails: enum envelope_flags */
	uint8_t notify;       /* of the next mails' recipients: enum dsn_notify */
	struct slice verp;    /* of the next mails: delimiters */
	struct slice attribute; /* encoded, behind those of the next envelopes */
	unsigned resolve_count; /* how often a next hop was asked for */
	enum ipc_resolve_status resolve_status; /* the answer, for 60 s */
	uint64_t session;     /* the last one that came up */
	struct buf hosts;     /* list of ipc_host: those of the last session */
	struct slice failed_hosts; /* of the next sessions */
	struct slice more_hosts; /* all next hops have these, too */
	bool has_one_host;    /* all next hops have the same */
	bool is_down;         /* d.test takes no session */
	core_peer speaker;    /* the worker that the last frame went to */
	bool has_solo;        /* the worker for suspects is there */
	bool wants_solo;      /* and is to come */
	unsigned solo_tried;  /* transactions that it was given */
	unsigned kill_count;  /* how often a process was to be killed */
};

/* `overrides` ends with NULL: name=value. */
void bench_start(struct bench *bench, const char *const *overrides);
void bench_stop(struct bench *bench);
/* For cmocka: a bench without overrides. */
int bench_setup(void **state);
int bench_teardown(void **state);
/* The queue manager is killed and started anew; the worker dies with it. */
void bench_restart(struct bench *bench);
/* The same without a clean stop: recovery reads the journal. */
void bench_kill(struct bench *bench);
void bench_configure(struct bench *bench, const char *const *overrides);

/* Until nothing happens without time passing; the wall clock stands still. */
void bench_run(struct bench *bench);
/* Until something of a message is being written and is not on the disk yet; no frame is read. */
void bench_run_to_change(struct bench *bench);
/* Lets time pass, second by second. */
void bench_pass(struct bench *bench, uint64_t seconds);

/* Hands in mail and runs; addresses are separated by blanks. */
uint64_t bench_mail(struct bench *bench, const char *sender, const char *recipients);

/* The same, but it may be refused: `status` says so. */
uint64_t bench_offer(struct bench *bench, const char *sender, const char *recipients);

/* The token of the block that a queue ID is from. */
uint64_t bench_token(const struct bench *bench, uint64_t queue_id);

/* A second intake, and its frames. */
void bench_other_intake(struct bench *bench);
void bench_other_say(struct bench *bench, enum ipc_type type, const void *message);

/* A frame of the intake; nothing runs. And a commit of `queue_id` with one recipient. */
void bench_say(struct bench *bench, enum ipc_type type, const void *message);
void bench_commit(struct bench *bench, uint64_t txn, uint64_t queue_id, const char *recipients);

/* Ends all held back transactions: `kind` for each recipient, and whether the content was damaged. */
void bench_answer(struct bench *bench, enum ipc_outcome_kind kind, bool is_corrupt);

/* The worker dies with all that it has; and another one comes. That for suspects comes by itself. */
void bench_worker_dies(struct bench *bench);
void bench_solo_dies(struct bench *bench);
void bench_worker_comes(struct bench *bench);

/* The worker closes the last session, which is idle. */
void bench_end_session(struct bench *bench);

/* A tool's request; the answer is in `answer`. */
void bench_command(struct bench *bench, const char *command, uint64_t queue_id);
/* So many listings at once by one of two users without any further right; nothing runs. */
void bench_users_list(struct bench *bench, unsigned count, bool is_other);
/* The same with words that end with NULL. */
void bench_ask(struct bench *bench, const char *command, const char *const *words);
/* Whether the answer holds a text. */
bool bench_answered(const struct bench *bench, const char *text);

/* How often a text is in the log, or an address among the attempts. */
unsigned bench_logged(const struct bench *bench, const char *text);
unsigned bench_tried(const struct bench *bench, const char *address);
uint64_t bench_messages(const struct bench *bench);

#endif
