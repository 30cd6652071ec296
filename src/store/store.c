/*
 * store.c - life and recovery of the message store, and the face of its index (see store.h)
 *
 * Recovery: the journal gives every record in force in order. A MESSAGE makes a slot, or moves
 * one: the cleaner copies a message together with its state and results, so a second MESSAGE with
 * one queue ID forgets all that came before it. STATE, RESULT and DONE are joined to their message
 * by the queue ID; without one they mean nothing.
 *
 * Holds: the segment of each live MESSAGE, of the newest durable STATE and of each RESULT behind
 * it is held in force. A DONE needs no hold: segments go first in, first out, so it outlives what
 * it ended.
 */
#include "base/check.h"
#include "base/mem.h"
#include "base/num.h"
#include "store/store_priv.h"

#include <stdarg.h>
#include <stdio.h>

enum { STORE_FULL_PERCENT = 70, STORE_ROOM_PERCENT = 60 };

void
store_notice(struct store *store, const char *format, ...)
{
	char text[FAULT_TEXT_SIZE];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	store->options.callbacks->notice(store->options.ctx, text);
}

uint32_t
store_kib(size_t payload_len)
{
	return (uint32_t)((record_size(payload_len) + STORE_KIB - 1) / STORE_KIB);
}

void
store_hold(struct store *store, uint64_t lsn, uint32_t kib)
{
	journal_hold(store->journal, lsn);
	store->live_bytes += (uint64_t)kib * STORE_KIB;
}

void
store_release(struct store *store, uint64_t lsn, uint32_t kib)
{
	journal_release(store->journal, lsn);
	CHECK(store->live_bytes >= (uint64_t)kib * STORE_KIB);
	store->live_bytes -= (uint64_t)kib * STORE_KIB;
}

/* Rounded up: a message is never due early. */
uint32_t
store_due_seconds(uint64_t due_us)
{
	uint64_t seconds = due_us / US_PER_S + (due_us % US_PER_S != 0);

	return (uint32_t)num_min_u64(seconds, UINT32_MAX);
}

struct cache_entry *
store_entry(struct store *store, store_ref ref)
{
	return cache_get(&store->cache, store, ref, index_slot(&store->index, ref)->queue_id);
}

/* --- what becomes of messages ---------------------------------------- */

void
store_schedule(struct store *store, store_ref ref)
{
	const struct index_slot *slot = index_slot(&store->index, ref);
	const struct cache_entry *entry = cache_find(&store->cache, ref);
	bool is_taken = entry != NULL && (entry->is_pinned || entry->load_count > 0);

	if (!store->is_open)
		return;
	if (slot->is_durable && !is_taken && (slot->flags & RECORD_STATE_HELD) == 0)
		index_schedule(&store->index, ref);
	else
		index_unschedule(&store->index, ref);
}

void
store_entry_settle(struct store *store, struct cache_entry *entry)
{
	if (entry->is_pinned || entry->is_new || entry->is_reading || entry->is_busy
		|| entry->in_flight > 0)
		return;
	if (entry->large == 0 && TAILQ_EMPTY(&entry->items) && !entry->is_damaged) {
		cache_forget(&store->cache, entry);
		cache_entry_free(entry);
	} else {
		cache_shrink(&store->cache, entry);
	}
}

void
store_items_fold(struct store *store, struct cache_entry *entry, const struct cache_item *state)
{
	struct cache_item *item;

	while ((item = TAILQ_FIRST(&entry->items)) != NULL && item != state) {
		if (item->is_durable)
			store_release(store, item->lsn, item->kib);
		cache_item_drop(entry, item);
	}
}

/* Nothing of a message needs to stay in force. */
static void
store_message_release(struct store *store, store_ref ref)
{
	struct index_slot *slot = index_slot(&store->index, ref);
	struct cache_entry *entry = cache_find(&store->cache, ref);

	if (slot->is_durable)
		store_release(store, slot->message_lsn, slot->message_kib);
	if (slot->state_lsn != 0)
		store_release(store, slot->state_lsn, slot->state_kib);
	slot->state_lsn = 0;
	if (entry != NULL)
		store_items_fold(store, entry, NULL);
}

void
store_message_end(struct store *store, store_ref ref)
{
	struct cache_entry *entry = cache_find(&store->cache, ref);

	store_message_release(store, ref);
	if (entry != NULL) {
		cache_forget(&store->cache, entry);
		entry->is_gone = true;
	}
	index_remove(&store->index, ref);
	if (entry != NULL)
		load_cancel(store, entry);
}

/* --- recovery ---------------------------------------- */

static void
store_recover_message(struct store *store, uint64_t lsn, const struct record *record)
{
	struct record_message message;
	struct index_slot *slot;
	store_ref ref;

	if (record_message_decode(record->payload, &message) < 0 || message.queue_id == 0) {
		store_notice(store, "store: the message at LSN %llu is not readable; left out",
			(unsigned long long)lsn);
		return;
	}
	ref = index_find(&store->index, message.queue_id);
	if (ref != 0)
		store_message_release(store, ref);
	else
		ref = index_add(&store->index, message.queue_id);
	slot = index_slot(&store->index, ref);
	slot->arrival_us = message.arrival_us;
	slot->message_lsn = lsn;
	slot->message_kib = store_kib(record->payload.len) & INDEX_KIB_MAX;
	slot->due_s = 0;
	slot->flags = 0;
	slot->is_durable = 1;
	store_hold(store, lsn, slot->message_kib);
	if (message.large != 0)
		store_entry(store, ref)->large = message.large;
}

static void
store_recover_state(struct store *store, uint64_t lsn, const struct record *record, store_ref ref,
	const struct record_state *state)
{
	struct index_slot *slot = index_slot(&store->index, ref);
	struct cache_entry *entry = cache_find(&store->cache, ref);

	if (slot->state_lsn != 0)
		store_release(store, slot->state_lsn, slot->state_kib);
	if (entry != NULL) {
		store_items_fold(store, entry, NULL);
		store_entry_settle(store, entry);
	}
	slot->state_lsn = lsn;
	slot->state_kib = store_kib(record->payload.len) & INDEX_KIB_MAX;
	slot->due_s = store_due_seconds(state->due_us);
	slot->flags = state->flags & INDEX_FLAGS;
	store_hold(store, lsn, slot->state_kib);
}

static void
store_recover_result(struct store *store, uint64_t lsn, const struct record *record, store_ref ref)
{
	struct cache_item *item = cache_item_add(store_entry(store, ref), RECORD_RESULT, lsn,
		store_kib(record->payload.len));

	item->is_durable = true;
	store_hold(store, lsn, item->kib);
}

static void
store_record(void *ctx, uint64_t lsn, const struct record *record)
{
	struct store *store = ctx;
	struct record_state state;
	store_ref ref;

	if (record->type == RECORD_MESSAGE) {
		store_recover_message(store, lsn, record);
		return;
	}
	if (record->type != RECORD_STATE && record->type != RECORD_RESULT
		&& record->type != RECORD_DONE) {
		if ((record->flags & RECORD_CRITICAL) != 0)
			store_notice(store,
				"store: the record at LSN %llu is of a kind (%u) that this "
				"release does not know",
				(unsigned long long)lsn, (unsigned)record->type);
		return;
	}
	if (record_state_decode(record->payload, &state) < 0)
		return;
	ref = index_find(&store->index, state.queue_id);
	if (ref == 0)
		return;
	if (record->type == RECORD_STATE)
		store_recover_state(store, lsn, record, ref, &state);
	else if (record->type == RECORD_RESULT)
		store_recover_result(store, lsn, record, ref);
	else
		store_message_end(store, ref);
}

/* The files under large/ that no message owns are known: the store is open. */
void
store_recovered(struct store *store)
{
	store->is_open = store->clean.is_stale = true;
	for (store_ref ref = 0; (ref = index_next(&store->index, ref)) != 0;)
		store_schedule(store, ref);
	store->options.callbacks->opened(store->options.ctx, ERR_OK, NULL);
}

static void
store_opened(void *ctx, enum err err, const struct fault *fault)
{
	struct store *store = ctx;

	index_settle(&store->index);
	if (err < 0)
		store->options.callbacks->opened(store->options.ctx, err, fault);
	else
		large_recover(store);
}

static void
store_journal_notice(void *ctx, const char *text)
{
	struct store *store = ctx;

	store->options.callbacks->notice(store->options.ctx, text);
}

/* --- life ---------------------------------------- */

struct store *
store_new(const struct store_options *options)
{
	static const struct journal_callbacks callbacks = { store_record, store_opened,
		store_journal_notice };
	struct store *store = MEM_NEW(struct store);
	struct journal_options journal = {
		.disk = options->disk,
		.segment_size = options->segment_size,
		.size_max = options->size_max,
		.epoch = options->epoch,
		.callbacks = &callbacks,
		.ctx = store,
		.planted = options->planted,
	};

	memcpy(journal.uuid, options->uuid, sizeof(journal.uuid));
	store->options = *options;
	store->journal = journal_new(&journal);
	index_init(&store->index);
	cache_init(&store->cache, options->cache_max);
	TAILQ_INIT(&store->ready);
	TAILQ_INIT(&store->larges);
	STAILQ_INIT(&store->doomed);
	buf_init(&store->scratch, 0);
	buf_init(&store->list_op.list, 0);
	return store;
}

void
store_free(struct store *store)
{
	if (store == NULL)
		return;
	CHECK(store->op_count == 0);
	large_free_all(store);
	journal_free(store->journal);
	cache_done(&store->cache);
	index_done(&store->index);
	buf_done(&store->scratch);
	buf_done(&store->list_op.list);
	mem_free(store);
}

void
store_open(struct store *store, struct instant now)
{
	store->now = now;
	journal_open(store->journal, now);
}

struct journal *
store_journal(struct store *store)
{
	return store->journal;
}

/* 452 begins when live bytes exceed 70 % of the maximum and ends at 60 %. */
static void
store_judge_room(struct store *store)
{
	uint64_t percent = store->options.size_max / 100;

	if (store->live_bytes > percent * STORE_FULL_PERCENT)
		store->is_full = true;
	else if (store->live_bytes < percent * STORE_ROOM_PERCENT)
		store->is_full = false;
}

void
store_step(struct store *store, struct instant now)
{
	store->now = now;
	if (store->is_open) {
		index_settle(&store->index);
		store_judge_room(store);
		load_step(store);
		large_step(store);
		clean_step(store);
	}
	journal_step(store->journal, now);
}

struct mono
store_due(const struct store *store)
{
	struct mono due = journal_due(store->journal), clean = clean_due(store);

	if (store->is_open && (load_is_due(store) || large_is_due(store)))
		return (struct mono){ 0 };
	return clean.ns < due.ns ? clean : due;
}

bool
store_accepts(const struct store *store)
{
	struct journal_space space;

	journal_space(store->journal, &space);
	return store->is_open && !store->is_full && space.accepts_mail;
}

bool
store_is_idle(const struct store *store)
{
	return journal_is_idle(store->journal) && store->op_count == 0
		&& TAILQ_EMPTY(&store->ready) && STAILQ_EMPTY(&store->doomed);
}

uint64_t
store_count(const struct store *store)
{
	return store->index.count;
}

/* --- the index ---------------------------------------- */

store_ref
store_find(const struct store *store, uint64_t queue_id)
{
	return index_find(&store->index, queue_id);
}

void
store_info(const struct store *store, store_ref ref, struct store_info *ret_info)
{
	const struct index_slot *slot = index_slot(&store->index, ref);
	const struct cache_entry *entry = cache_find(&store->cache, ref);

	CHECK(slot->is_used);
	*ret_info = (struct store_info){
		.queue_id = slot->queue_id,
		.arrival_us = slot->arrival_us,
		.due_us = slot->due_s * US_PER_S,
		.flags = slot->flags,
		.is_pinned = entry != NULL && entry->is_pinned,
		.is_durable = slot->is_durable,
	};
}

store_ref
store_next(const struct store *store, store_ref ref)
{
	return index_next(&store->index, ref);
}

void
store_set_due(struct store *store, store_ref ref, uint64_t due_us)
{
	CHECK(index_is_used(&store->index, ref));
	index_slot(&store->index, ref)->due_s = store_due_seconds(due_us);
	store_schedule(store, ref);
}

store_ref
store_due_first(const struct store *store, struct wall wall)
{
	store_ref ref = index_first(&store->index);

	return ref != 0 && index_slot(&store->index, ref)->due_s <= wall_s(wall) ? ref : 0;
}

uint64_t
store_due_next_us(const struct store *store)
{
	store_ref ref = index_first(&store->index);

	return ref != 0 ? index_slot(&store->index, ref)->due_s * US_PER_S : UINT64_MAX;
}

void
store_set_flags(struct store *store, store_ref ref, uint32_t flags)
{
	CHECK(index_is_used(&store->index, ref));
	index_slot(&store->index, ref)->flags = flags & INDEX_FLAGS;
	store_schedule(store, ref);
}

/* --- pinned messages ---------------------------------------- */

void
store_view(const struct store *store, store_ref ref, struct store_view *ret_view)
{
	const struct index_slot *slot = index_slot(&store->index, ref);
	struct cache_entry *entry = cache_find(&store->cache, ref);

	CHECK(entry != NULL && entry->is_pinned);
	cache_view(entry, slot->flags, ret_view);
	ret_view->arrival_us = slot->arrival_us;
}

enum err
store_body(struct store *store, store_ref ref, struct slice *ret_body)
{
	struct cache_entry *entry = cache_find(&store->cache, ref);

	CHECK(entry != NULL && entry->is_pinned);
	if (!entry->has_body)
		return ERR_AGAIN;
	cache_touch(&store->cache, entry);
	*ret_body = buf_slice(&entry->body);
	return ERR_OK;
}

void
store_unpin(struct store *store, store_ref ref)
{
	struct cache_entry *entry = cache_find(&store->cache, ref);

	CHECK(entry != NULL && entry->is_pinned);
	entry->is_pinned = false;
	store_schedule(store, ref);
	store_entry_settle(store, entry);
}
