/*
 * kept.h - results that a worker keeps until the queue manager says that they are durable
 *
 * When qmgr dies, its successor is told first which transactions have a result (inventory), then
 * the results themselves; it acknowledges each as soon as the log has it, also those that the log
 * had already. For smtp and local.
 *
 * Ownership: the struct is embedded; kept_done() frees. Frames are copies.
 * Limits:    one entry per transaction that was given out, so the sessions bound it.
 * Threads:   main thread of the role.
 */
#ifndef OSTLER_IPC_KEPT_H
#define OSTLER_IPC_KEPT_H

#include "ipc/channel.h"
#include "ipc/messages.h"

struct kept_entry;

struct kept {
	struct kept_entry *entries;
};

/* Keeps the result and sends it. `token`: of its work. */
void kept_send(struct kept *kept, struct channel *qmgr, uint64_t token,
	const struct ipc_result *result);
void kept_forget(struct kept *kept, const struct ipc_result_ack *ack);
bool kept_is_empty(const struct kept *kept);
void kept_done(struct kept *kept);

/* Of a transaction that goes on: one item of the inventory. */
void kept_item_running(struct channel *qmgr, const struct ipc_work *work,
	const struct ipc_recipient *recipients, uint32_t count);

/*
 * The end of the inventory, after `running` items of the kind above: an item for each result, the
 * results, and how many items there were.
 */
void kept_finish_inventory(struct kept *kept, struct channel *qmgr, uint32_t running);

#endif
