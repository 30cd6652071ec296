/*
 * lost.c - messages that cannot be read any more: kept for a human, then ended (see store.h)
 *
 * What is left of the message, and what the index knows of it, is saved as corrupt/message-ID and
 * flushed; then a DONE takes it out of the queue, so that the rest is served. A message that is in
 * memory is
 * not lost: it is copied from there.
 */
#include "base/check.h"
#include "base/mem.h"
#include "store/store_priv.h"

#include <stdio.h>

enum { LOST_HEAD = 512 };

bool
lost_is_known(const struct store *store, uint64_t queue_id)
{
	const struct store_lost *lost;

	STAILQ_FOREACH(lost, &store->losts, link)
	if (lost->queue_id == queue_id)
		return true;
	return false;
}

void
lost_add(struct store *store, store_ref ref, struct slice bytes, const char *reason)
{
	const struct index_slot *slot = index_slot(&store->index, ref);
	uint64_t queue_id = slot->queue_id;
	struct store_lost *lost;
	char head[LOST_HEAD];

	if (lost_is_known(store, queue_id))
		return;
	lost = MEM_NEW(struct store_lost);
	lost->store = store;
	lost->ref = ref;
	lost->queue_id = queue_id;
	buf_init(&lost->bytes, 0);
	(void)snprintf(head, sizeof(head),
		"Format: ostler-corrupt 1\nQueue-ID: %016llx\nReason: "
		"%s\nOrigin: journal LSN %llu, state "
		"LSN %llu\nArrival: %llu\nDue: %u\nFlags: %u\nLength: %zu\n\n",
		(unsigned long long)queue_id, reason, (unsigned long long)slot->message_lsn,
		(unsigned long long)slot->state_lsn, (unsigned long long)slot->arrival_us,
		(unsigned)slot->due_s, (unsigned)slot->flags, bytes.len);
	buf_add(&lost->bytes, slice_str(head));
	buf_add(&lost->bytes, bytes);
	STAILQ_INSERT_TAIL(&store->losts, lost, link);
}

static void
lost_free_one(struct store_lost *lost)
{
	STAILQ_REMOVE(&lost->store->losts, lost, store_lost, link);
	buf_done(&lost->bytes);
	mem_free(lost);
}

static bool
lost_is_still_there(const struct store_lost *lost)
{
	return index_find(&lost->store->index, lost->queue_id) == lost->ref;
}

/* Someone has it in memory. */
static bool
lost_is_pinned(const struct store_lost *lost)
{
	const struct cache_entry *entry = cache_find(&lost->store->cache, lost->ref);

	return entry != NULL && entry->is_pinned;
}

/* Something is under way with it: its end waits. */
static bool
lost_waits(const struct store_lost *lost)
{
	const struct cache_entry *entry = cache_find(&lost->store->cache, lost->ref);

	return lost->is_saving || lost->is_ending
	       || (entry != NULL && (entry->is_reading || entry->is_busy || entry->in_flight > 0));
}

static void
lost_saved(void *ctx, struct disk_op *op)
{
	struct store_lost *lost = ctx;

	lost->store->op_count--;
	lost->is_saving = false;
	lost->is_saved = op->err == ERR_OK;
	if (!lost->is_saved)
		store_notice(lost->store,
			"store: cannot keep corrupt/%s: %s; "
			"the message stays in the queue",
			op->name, err_meaning(op->err));
}

static void
lost_save(struct store_lost *lost)
{
	lost->op = (struct disk_op) {
		.kind = DISK_SAVE, .bytes = buf_slice(&lost->bytes), .done = lost_saved, .ctx = lost
	};
	(void)snprintf(lost->op.name, sizeof(lost->op.name), "message-%016llx",
		(unsigned long long)lost->queue_id);
	lost->is_saving = true;
	lost->store->op_count++;
	disk_submit(lost->store->options.disk, &lost->op);
}

static void
lost_ended(void *ctx, enum journal_outcome outcome)
{
	struct store_lost *lost = ctx;

	lost->is_ending = false;
	if (outcome != JOURNAL_DURABLE)
		return; /* tried again in a step */
	store_notice(lost->store,
		"store: message %016llx cannot be read; kept as "
		"corrupt/message-%016llx, out of the queue",
		(unsigned long long)lost->queue_id, (unsigned long long)lost->queue_id);
	lost->store->lost_count++;
	lost_free_one(lost);
}

static void
lost_end(struct store_lost *lost)
{
	struct store_txn txn;

	store_txn_begin(&txn, lost->store, JOURNAL_RESULT, JOURNAL_SOON);
	store_txn_done(&txn, lost->ref);
	lost->is_ending = store_txn_commit(&txn, lost_ended, lost) == ERR_OK;
}

void
lost_step(struct store *store)
{
	struct store_lost *lost, *next;

	if (journal_state(store->journal) != JOURNAL_OPEN)
		return;
	for (lost = STAILQ_FIRST(&store->losts); lost != NULL; lost = next) {
		next = STAILQ_NEXT(lost, link);
		if (lost->is_saving || lost->is_ending)
			continue;
		if (!lost_is_still_there(lost) || lost_is_pinned(lost))
			lost_free_one(lost); /* whoever reads it again will say so */
		else if (lost_waits(lost))
			continue;
		else if (lost->is_saved)
			lost_end(lost);
		else
			lost_save(lost);
	}
}

bool
lost_is_due(const struct store *store)
{
	const struct store_lost *lost;

	STAILQ_FOREACH(lost, &store->losts, link)
	if (!lost_waits(lost) && journal_state(store->journal) == JOURNAL_OPEN)
		return true;
	return false;
}

void
lost_free(struct store *store)
{
	while (!STAILQ_EMPTY(&store->losts))
		lost_free_one(STAILQ_FIRST(&store->losts));
}
