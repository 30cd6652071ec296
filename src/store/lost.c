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
#include "base/num.h"
#include "base/wire.h"
#include "store/store_priv.h"

#include <stdio.h>

#define LOST_RETRY_MIN_NS (1 * NS_PER_S)
#define LOST_RETRY_MAX_NS (60 * NS_PER_S)

enum { LOST_HEAD = 512 };

static void
lost_head(char head[LOST_HEAD], uint64_t queue_id, const char *reason, const struct index_slot *at,
	size_t len)
{
	(void)snprintf(head, LOST_HEAD,
		"Format: ostler-corrupt 1\nQueue-ID: %016llx\nReason: "
		"%s\nOrigin: journal LSN %llu, state "
		"LSN %llu\nArrival: %llu\nDue: %u\nFlags: %u\nLength: %zu\n\n",
		(unsigned long long)queue_id, reason, (unsigned long long)at->message_lsn,
		(unsigned long long)at->state_lsn, (unsigned long long)at->arrival_us,
		(unsigned)at->due_s, (unsigned)at->flags, len);
}

static void
lost_save_name(struct disk_op *op, const char *kind, uint64_t number)
{
	(void)snprintf(op->name, sizeof(op->name), "%s-%016llx", kind, (unsigned long long)number);
}

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
	lost_head(head, queue_id, reason, slot, bytes.len);
	buf_add(&lost->bytes, slice_str(head));
	buf_add(&lost->bytes, bytes);
	STAILQ_INSERT_TAIL(&store->losts, lost, link);
}

static void
lost_put_record(struct buf *records, uint16_t type, const struct buf *payload)
{
	struct record record = { .type = type, .payload = buf_slice(payload) };

	(void)record_put(records, &record);
}

static void
lost_records(const struct store_view *view, const struct store_info *info, struct slice body,
	struct buf *records)
{
	struct record_message message = { .queue_id = view->queue_id,
		.arrival_us = view->arrival_us,
		.content_length = view->content_length,
		.content_hash = view->content_hash,
		.large = view->large,
		.parts = view->content_parts,
		.flags = (view->dotted ? RECORD_MESSAGE_DOTTED : 0) |
			 info->fingerprint << RECORD_FINGERPRINT_AT,
		.envelope = view->envelope,
		.recipients = view->recipients,
		.head = view->head,
		.body = body };
	struct record_state state = { .queue_id = view->queue_id,
		.due_us = info->due_us,
		.flags = view->flags,
		.state = view->state };
	struct buf payload;

	buf_init(&payload, 0);
	record_message_encode(&payload, &message);
	lost_put_record(records, RECORD_MESSAGE, &payload);
	if (view->state.len > 0) {
		buf_clear(&payload);
		record_state_encode(&payload, &state);
		lost_put_record(records, RECORD_STATE, &payload);
	}
	for (size_t i = 0; i < view->result_count; i++) {
		state = (struct record_state) { .queue_id = view->queue_id,
			.state = view->results[i] };
		buf_clear(&payload);
		record_state_encode(&payload, &state);
		lost_put_record(records, RECORD_RESULT, &payload);
	}
	buf_done(&payload);
}

void
store_records(struct store *store, store_ref ref, struct buf *records)
{
	struct slice body = slice_make(NULL, 0);
	struct store_view view;
	struct store_info info;

	store_view(store, ref, &view);
	store_info(store, ref, &info);
	if (view.large == 0)
		(void)!store_body(store, ref, &body);
	lost_records(&view, &info, body, records);
}

void
store_set_aside(struct store *store, store_ref ref, struct slice records, const char *reason)
{
	lost_add(store, ref, records, reason);
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

static uint64_t
lost_retry_ns(uint64_t before)
{
	return before == 0 ? LOST_RETRY_MIN_NS : num_min_u64(2 * before, LOST_RETRY_MAX_NS);
}

static void
lost_saved(void *ctx, struct disk_op *op)
{
	struct store_lost *lost = ctx;

	lost->store->op_count--;
	lost->is_saving = false;
	lost->is_saved = op->err == ERR_OK;
	if (lost->is_saved)
		return;
	if (lost->retry_ns == 0)
		store_notice(lost->store,
			"store: cannot keep corrupt/%s: %s; the message stays in the queue until "
			"it can be",
			op->name, err_meaning(op->err));
	lost->retry_ns = lost_retry_ns(lost->retry_ns);
	lost->retry_at = mono_add_ns(lost->store->now.mono, lost->retry_ns);
}

static void
lost_save(struct store_lost *lost)
{
	lost->op = (struct disk_op) {
		.kind = DISK_SAVE, .bytes = buf_slice(&lost->bytes), .done = lost_saved, .ctx = lost
	};
	lost_save_name(&lost->op, "message", lost->queue_id);
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
		else if (store->now.mono.ns >= lost->retry_at.ns)
			lost_save(lost);
	}
}

struct mono
lost_due(const struct store *store)
{
	const struct store_lost *lost;
	const struct store_broken *broken;
	uint64_t due = UINT64_MAX;

	TAILQ_FOREACH(broken, &store->brokens, link)
	if (broken->retry_ns > 0 && !broken->is_saving)
		due = num_min_u64(due, broken->retry_at.ns);
	if (journal_state(store->journal) != JOURNAL_OPEN)
		return (struct mono) { due };
	STAILQ_FOREACH(lost, &store->losts, link)
	if (!lost_waits(lost))
		due = num_min_u64(due, lost->is_saved ? 0 : lost->retry_at.ns);
	return (struct mono) { due };
}

uint64_t
lost_unsaved(const struct store *store)
{
	const struct store_lost *lost;
	const struct store_broken *broken;
	uint64_t count = 0;

	TAILQ_FOREACH(broken, &store->brokens, link)
	count += broken->retry_ns > 0;
	STAILQ_FOREACH(lost, &store->losts, link)
	count += lost->retry_ns > 0 && !lost->is_saved;
	return count;
}

/* --- states ---------------------------------------- */

struct lost_part {
	struct store *store;
	struct buf bytes;
	struct disk_op op;
};

static void
lost_part_saved(void *ctx, struct disk_op *op)
{
	struct lost_part *part = ctx;

	part->store->op_count--;
	if (op->err < 0)
		store_notice(part->store, "store: cannot keep corrupt/%s: %s", op->name,
			err_meaning(op->err));
	buf_done(&part->bytes);
	mem_free(part);
}

void
lost_state(struct store *store, store_ref ref, uint64_t lsn, struct slice bytes)
{
	struct index_slot *slot = index_slot(&store->index, ref);
	struct lost_part *part = MEM_NEW(struct lost_part);
	char head[LOST_HEAD];

	part->store = store;
	buf_init(&part->bytes, 0);
	lost_head(head, slot->queue_id, "the checksum of its state is wrong", slot, bytes.len);
	buf_add(&part->bytes, slice_str(head));
	buf_add(&part->bytes, bytes);
	part->op = (struct disk_op) { .kind = DISK_SAVE,
		.bytes = buf_slice(&part->bytes),
		.done = lost_part_saved,
		.ctx = part };
	(void)snprintf(part->op.name, sizeof(part->op.name), "state-%016llx-%016llx",
		(unsigned long long)slot->queue_id, (unsigned long long)lsn);
	store->op_count++;
	disk_submit(store->options.disk, &part->op);
	if (store->options.hold_doubtful)
		slot->flags = (slot->flags | RECORD_STATE_HELD) & INDEX_FLAGS;
	store_notice(store,
		"store: message %016llx: its state at LSN %llu cannot be read; kept as "
		"corrupt/state-%016llx-%016llx, the message is %s with what is known before",
		(unsigned long long)slot->queue_id, (unsigned long long)lsn,
		(unsigned long long)slot->queue_id, (unsigned long long)lsn,
		store->options.hold_doubtful ? "held" : "retried");
}

/* --- messages that recovery found damaged ---------------------------------------- */

void
lost_broken(struct store *store, uint64_t lsn, struct slice record)
{
	struct slice payload = slice_from(record, RECORD_HEADER);
	struct store_broken *broken;

	if (payload.len < 8 || wire_load_u16(record.ptr) != RECORD_MESSAGE
		|| wire_load_u64(payload.ptr) == 0)
		return;
	broken = MEM_NEW(struct store_broken);
	broken->store = store;
	broken->lsn = lsn;
	broken->queue_id = wire_load_u64(payload.ptr);
	buf_init(&broken->bytes, 0);
	buf_add(&broken->bytes, record);
	TAILQ_INSERT_TAIL(&store->brokens, broken, link);
}

static void
lost_broken_free(struct store_broken *broken)
{
	TAILQ_REMOVE(&broken->store->brokens, broken, link);
	buf_done(&broken->bytes);
	mem_free(broken);
}

void
lost_broken_forget(struct store *store, uint64_t queue_id)
{
	struct store_broken *broken, *next;

	for (broken = TAILQ_FIRST(&store->brokens); broken != NULL; broken = next) {
		next = TAILQ_NEXT(broken, link);
		if (broken->queue_id == queue_id)
			lost_broken_free(broken);
	}
}

/* Its segment stays in force, so that a start meanwhile finds it again. */
static void
lost_broken_wait(struct store_broken *broken, const struct disk_op *op)
{
	struct store *store = broken->store;
	uint32_t slot;
	uint64_t offset;

	if (broken->retry_ns == 0) {
		store_notice(store,
			"store: message %016llx at LSN %llu is damaged and cannot be kept as "
			"corrupt/%s: %s; tried again until it can be",
			(unsigned long long)broken->queue_id, (unsigned long long)broken->lsn,
			op->name, err_meaning(op->err));
		broken->is_held = journal_locate(store->journal, broken->lsn, &slot, &offset)
				  == ERR_OK;
		if (broken->is_held)
			journal_hold(store->journal, broken->lsn);
	}
	broken->retry_ns = lost_retry_ns(broken->retry_ns);
	broken->retry_at = mono_add_ns(store->now.mono, broken->retry_ns);
}

static void
lost_broken_saved(void *ctx, struct disk_op *op)
{
	struct store_broken *broken = ctx;
	struct store *store = broken->store;

	store->op_count--;
	broken->is_saving = false;
	if (op->err < 0) {
		lost_broken_wait(broken, op);
		return;
	}
	store_notice(store,
		"store: message %016llx at LSN %llu is damaged; kept as corrupt/%s, out of the "
		"queue",
		(unsigned long long)broken->queue_id, (unsigned long long)broken->lsn, op->name);
	store->lost_count++;
	if (broken->is_held)
		journal_release(store->journal, broken->lsn);
	lost_broken_free(broken);
}

static void
lost_broken_submit(struct store_broken *broken)
{
	broken->op = (struct disk_op) { .kind = DISK_SAVE,
		.bytes = buf_slice(&broken->bytes),
		.done = lost_broken_saved,
		.ctx = broken };
	lost_save_name(&broken->op, "message", broken->queue_id);
	broken->is_saving = true;
	broken->store->op_count++;
	disk_submit(broken->store->options.disk, &broken->op);
}

void
lost_broken_save(struct store *store)
{
	struct store_broken *broken, *next;

	for (broken = TAILQ_FIRST(&store->brokens); broken != NULL; broken = next) {
		struct index_slot at = { .message_lsn = broken->lsn & INDEX_WORD_MASK };
		struct buf bytes = broken->bytes;
		char head[LOST_HEAD];

		next = TAILQ_NEXT(broken, link);
		if (index_find(&store->index, broken->queue_id) != 0) {
			lost_broken_free(broken); /* it is known from elsewhere */
			continue;
		}
		if (bytes.len >= RECORD_HEADER + 16)
			at.arrival_us = wire_load_u64(bytes.ptr + RECORD_HEADER + 8) &
					INDEX_WORD_MASK;
		lost_head(head, broken->queue_id, "its checksum is wrong", &at, bytes.len);
		buf_init(&broken->bytes, 0);
		buf_add(&broken->bytes, slice_str(head));
		buf_add(&broken->bytes, buf_slice(&bytes));
		buf_done(&bytes);
		lost_broken_submit(broken);
	}
}

void
lost_broken_step(struct store *store)
{
	struct store_broken *broken;

	TAILQ_FOREACH(broken, &store->brokens, link)
	if (broken->retry_ns > 0 && !broken->is_saving
		&& store->now.mono.ns >= broken->retry_at.ns)
		lost_broken_submit(broken);
}

void
lost_free(struct store *store)
{
	while (!TAILQ_EMPTY(&store->brokens))
		lost_broken_free(TAILQ_FIRST(&store->brokens));
	while (!STAILQ_EMPTY(&store->losts))
		lost_free_one(STAILQ_FIRST(&store->losts));
}
