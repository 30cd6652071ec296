/*
 * intake_client.h - the way of new mail to qmgr, for every role that brings mail (driver)
 *
 * A frame may be sent while credit is left; what it takes beyond that is owed. A commit waits here
 * for credit and is answered once: durable, refused, or, when qmgr died in between, what its
 * successor knows of it (asked by queue ID, INTAKE_QUERY_S at most). What had been sent in parts to
 * a dead qmgr is lost: such a transaction is refused at its end.
 *
 * Queue IDs are leases and need the disk, so while it fails there may be none. Who brings mail is
 * heard all the same, and refused: `state` says how. What was not granted is asked for again after
 * INTAKE_ASK_AGAIN_S.
 *
 * Ownership: embedded in the process's struct; transactions are embedded in what sends them.
 * Callbacks: `answer` from the channel or the timer, never inside a call.
 * Threads:   main thread.
 */
#ifndef OSTLER_IPC_INTAKE_CLIENT_H
#define OSTLER_IPC_INTAKE_CLIENT_H

#include "ipc/role.h"

#include <sys/queue.h>
#include <uthash.h>

enum { INTAKE_QUERY_S = 5, INTAKE_ASK_AGAIN_S = 1, INTAKE_IDS_LOW = 2048 };

struct intake_client;

struct intake_txn {
	struct intake_client *client;
	uint64_t txn; /* 0: nothing was sent */
	uint64_t queue_id, token;
	uint32_t epoch; /* the qmgr that has its parts */
	bool has_parts;
	bool is_committed;
	struct buf waiting; /* payload of the commit, until there is credit */
	TAILQ_ENTRY(intake_txn) link; /* in `waiting` of the client, if there is a payload */
	void (*answer)(
		struct intake_txn *txn, enum ipc_intake_status status, struct slice text);
	UT_hash_handle hh;
};

/* Queue IDs that nobody else has, and the token that shows it. */
struct intake_block {
	uint64_t next, end, token;
};

struct intake_client {
	struct role *role;
	struct intake_block ids, spare;
	bool is_asked;
	enum ipc_intake_status state; /* IPC_INTAKE_DURABLE: new mail is taken */
	int64_t credit; /* below 0: the last message took more than was left */
	uint64_t txn_next;
	uint32_t epoch; /* counts qmgrs */
	struct intake_txn *open; /* hash by txn */
	TAILQ_HEAD(, intake_txn) waiting; /* commits without credit, oldest first */
	struct loop_timer query_timer, ask_timer;
	void (*changed)(struct intake_client *client); /* credit or IDs came, qmgr came or went */
};

void intake_client_init(struct intake_client *client, struct role *role,
	void (*changed)(struct intake_client *client));
void intake_client_qmgr_up(struct intake_client *client);
void intake_client_qmgr_down(struct intake_client *client);
/* False: not a frame of intake. */
bool intake_client_frame(struct intake_client *client, uint16_t type, const union ipc_any *any);

/* 0: none is there. The token goes into the commit. */
uint64_t intake_client_id(struct intake_client *client, uint64_t *ret_token);
bool intake_client_has_ids(const struct intake_client *client);
/* Whether mail may be offered: a queue manager is there that will take it, or says why not. */
bool intake_client_may_offer(const struct intake_client *client);
bool intake_client_has_credit(const struct intake_client *client);

/* A part of the content. */
void intake_txn_part(struct intake_txn *txn, struct slice content);
/* The rest; `commit` is filled but for txn. */
void intake_txn_commit(struct intake_txn *txn, struct ipc_intake_commit *commit);
/* Forgets it: before the commit qmgr is told; afterwards nobody hears the answer. */
void intake_txn_abort(struct intake_txn *txn);

#endif
