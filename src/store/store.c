/*
 * store.c - life and recovery of the message store, and the face of its index (see store.h)
 *
 * Recovery: once the journal has found its end, new mail is taken; beside it the newest
 * checkpoint, and what the journal has behind it, are applied in order, then every message is
 * scheduled and files
 * that no message owns are removed. A record that is older than what is known of its message
 * changes nothing, so a checkpoint may be written while the index changes, and read in part.
 *
 * A MESSAGE makes a slot, or moves one and forgets what stood before it; a PLACE behind it gives
 * back the STATE that was not moved. STATE, RESULT and DONE are joined to their message by the
 * queue ID;
 * without one they mean nothing.
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

#define STORE_PROGRESS_NS (2 * NS_PER_S)

enum { STORE_FULL_PERCENT = 70, STORE_ROOM_PERCENT = 60, STORE_SWEEP = 8192, STORE_MANY = 1000 };

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

bool
store_plant_is_on(const struct store *store, enum journal_plant plant)
{
	return (store->options.planted & (unsigned)plant) != 0;
}

uint16_t
store_size(size_t payload_len)
{
	return summary_size_pack(record_size(payload_len));
}

void
store_hold(struct store *store, uint64_t lsn, uint16_t size)
{
	journal_hold(store->journal, lsn);
	store->live_bytes += summary_size(size);
}

void
store_release(struct store *store, uint64_t lsn, uint16_t size)
{
	journal_release(store->journal, lsn);
	CHECK(store->live_bytes >= summary_size(size));
	store->live_bytes -= summary_size(size);
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

	if (store->phase < STORE_SCHEDULING)
		return; /* it comes when all is known */
	if (slot->is_durable && !is_taken && (slot->flags & RECORD_STATE_HELD) == 0
		&& slot->queue_id >= store->gate.queue_id)
		index_schedule(&store->index, ref);
	else
		index_unschedule(&store->index, ref);
}

void
store_freeze(struct store *store)
{
	store->freezes++;
	journal_freeze(store->journal);
}

void
store_thaw(struct store *store)
{
	CHECK(store->freezes > 0);
	store->freezes--;
	journal_thaw(store->journal);
}

void
store_gate_close(struct store *store, uint64_t queue_id)
{
	CHECK(store->phase < STORE_SCHEDULING);
	store->gate = (struct store_gate){ .queue_id = queue_id };
}

bool
store_gate_holds(const struct store *store, uint64_t queue_id)
{
	return queue_id < store->gate.queue_id;
}

void
store_gate_open(struct store *store)
{
	CHECK(store->phase == STORE_COMPLETE);
	if (store->gate.queue_id == 0)
		return;
	store->gate = (struct store_gate){ .opened = store->gate.queue_id,
		.counts.is_opening = true };
}

void
store_gate_counts(const struct store *store, struct store_gate_counts *ret_counts)
{
	*ret_counts = store->gate.counts;
}

/* Lets some of those in that waited at the gate. */
static void
store_gate_step(struct store *store)
{
	struct store_gate *gate = &store->gate;

	for (int i = 0; i < STORE_SWEEP && gate->counts.is_opening; i++) {
		const struct index_slot *slot;

		gate->cursor = index_next(&store->index, gate->cursor);
		if (gate->cursor == 0) {
			gate->counts.is_opening = false;
			return;
		}
		slot = index_slot(&store->index, gate->cursor);
		if (slot->queue_id >= gate->opened || !slot->is_durable)
			continue;
		gate->counts.released++;
		gate->counts.held += (slot->flags & RECORD_STATE_HELD) != 0;
		store_schedule(store, gate->cursor);
	}
}

void
store_entry_settle(struct store *store, struct cache_entry *entry)
{
	if (entry->is_pinned || entry->is_new || entry->is_reading || entry->is_busy
		|| entry->in_flight > 0)
		return;
	if (entry->large == 0 && TAILQ_EMPTY(&entry->items) && TAILQ_EMPTY(&entry->unknowns)
		&& !entry->is_damaged) {
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
			store_release(store, item->lsn, item->size);
		cache_item_drop(entry, item);
	}
}

static void
store_unknowns_release(struct store *store, struct cache_entry *entry)
{
	struct cache_item *item;

	while ((item = TAILQ_FIRST(&entry->unknowns)) != NULL) {
		store_release(store, item->lsn, item->size);
		cache_unknown_drop(entry, item);
	}
}

/* Nothing of a message needs to stay in force. */
static void
store_message_release(struct store *store, store_ref ref)
{
	struct index_slot *slot = index_slot(&store->index, ref);
	struct cache_entry *entry = cache_find(&store->cache, ref);

	if (slot->is_durable)
		store_release(store, slot->message_lsn, slot->message_size);
	if (slot->state_lsn != 0)
		store_release(store, slot->state_lsn, slot->state_size);
	slot->state_lsn = 0;
	if (entry != NULL) {
		store_items_fold(store, entry, NULL);
		store_unknowns_release(store, entry);
	}
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

/* Whether a place that recovery names is in force. */
static bool
store_is_in_force(const struct store *store, uint64_t lsn)
{
	uint32_t slot;
	uint64_t offset;

	return journal_locate(store->journal, lsn, &slot, &offset) == ERR_OK;
}

static void
store_apply_message(struct store *store, const struct summary_entry *entry)
{
	store_ref ref = index_find(&store->index, entry->queue_id);
	struct index_slot *slot;

	if (!store_is_in_force(store, entry->lsn)
		|| (ref != 0 && index_slot(&store->index, ref)->message_lsn >= entry->lsn))
		return;
	if (ref != 0)
		store_message_release(store, ref);
	else
		ref = index_add(&store->index, entry->queue_id);
	slot = index_slot(&store->index, ref);
	slot->arrival_us = entry->value & INDEX_WORD_MASK;
	slot->message_lsn = entry->lsn & INDEX_WORD_MASK;
	slot->message_size = entry->size & INDEX_SIZE_MASK;
	index_set_fingerprint(slot, entry->due_s);
	slot->due_s = 0;
	slot->flags = 0;
	slot->is_durable = 1;
	store_hold(store, entry->lsn, slot->message_size);
}

/* Items that stand before a STATE count no more. */
static void
store_fold_before(struct store *store, struct cache_entry *entry, uint64_t lsn)
{
	struct cache_item *item;

	while ((item = TAILQ_FIRST(&entry->items)) != NULL && item->lsn < lsn) {
		if (item->is_durable)
			store_release(store, item->lsn, item->size);
		cache_item_drop(entry, item);
	}
}

/* A STATE, or the place of one. */
static void
store_apply_state(
	struct store *store, const struct summary_entry *entry, store_ref ref, uint64_t lsn)
{
	struct index_slot *slot = index_slot(&store->index, ref);
	struct cache_entry *known = cache_find(&store->cache, ref);

	if (slot->state_lsn >= lsn || !store_is_in_force(store, lsn))
		return;
	if (slot->state_lsn != 0)
		store_release(store, slot->state_lsn, slot->state_size);
	if (known != NULL) {
		store_fold_before(store, known, lsn);
		store_entry_settle(store, known);
	}
	slot->state_lsn = lsn;
	slot->state_size = entry->size & INDEX_SIZE_MASK;
	slot->due_s = entry->due_s;
	slot->flags = entry->flags & INDEX_FLAGS;
	store_hold(store, lsn, slot->state_size);
}

static void
store_apply_result(struct store *store, const struct summary_entry *entry, store_ref ref)
{
	const struct index_slot *slot = index_slot(&store->index, ref);
	const struct cache_entry *known = cache_find(&store->cache, ref);
	const struct cache_item *last = NULL;
	struct cache_item *item;

	if (known != NULL)
		last = TAILQ_LAST(&known->items, cache_items);
	if (!store_is_in_force(store, entry->lsn) || entry->lsn < slot->state_lsn
		|| (last != NULL && last->lsn >= entry->lsn))
		return;
	item = cache_item_add(store_entry(store, ref), RECORD_RESULT, entry->lsn, entry->size);
	item->is_durable = true;
	store_hold(store, entry->lsn, item->size);
}

/* What it means only a later release knows; it stays with its message. */
static void
store_apply_unknown(struct store *store, const struct summary_entry *entry, store_ref ref)
{
	const struct cache_entry *known = cache_find(&store->cache, ref);
	const struct cache_item *last = NULL;
	struct cache_item *item;

	if (known != NULL)
		last = TAILQ_LAST(&known->unknowns, cache_items);
	if (!store_is_in_force(store, entry->lsn) || (last != NULL && last->lsn >= entry->lsn)
		|| store_plant_is_on(store, JOURNAL_PLANT_DROP_UNKNOWN))
		return;
	item = cache_unknown_add(
		store_entry(store, ref), (uint16_t)entry->value, entry->lsn, entry->size);
	item->flags = entry->flags;
	store_hold(store, entry->lsn, item->size);
	store->critical_count += (entry->flags & RECORD_CRITICAL) != 0;
}

void
store_apply(struct store *store, const struct summary_entry *entry)
{
	store_ref ref;

	if (entry->queue_id == 0)
		return;
	if (entry->type == RECORD_MESSAGE) {
		store_apply_message(store, entry);
		return;
	}
	ref = index_find(&store->index, entry->queue_id);
	if (ref == 0 || entry->lsn < index_slot(&store->index, ref)->message_lsn)
		return;
	switch (entry->type) {
	case SUMMARY_LARGE:
		store_entry(store, ref)->large = entry->value;
		break;
	case RECORD_PLACE:
		store_apply_state(store, entry, ref, entry->value);
		break;
	case RECORD_STATE:
		store_apply_state(store, entry, ref, entry->lsn);
		break;
	case RECORD_RESULT:
		store_apply_result(store, entry, ref);
		break;
	case RECORD_DONE:
		store_message_end(store, ref);
		break;
	case SUMMARY_UNKNOWN:
		store_apply_unknown(store, entry, ref);
		break;
	default:
		break;
	}
}

void
store_tell_end(struct store *store, uint64_t queue_id)
{
	if (store->options.callbacks->ended != NULL)
		store->options.callbacks->ended(store->options.ctx, queue_id);
}

static void
store_entry_came(void *ctx, const struct summary_entry *entry)
{
	struct store *store = ctx;

	if (entry->type == RECORD_DONE && !TAILQ_EMPTY(&store->brokens))
		lost_broken_forget(store, entry->queue_id);
	if (entry->type == RECORD_DONE)
		store_tell_end(store, entry->queue_id);
	store_apply(store, entry);
}

static void
store_record_broken(void *ctx, uint64_t lsn, struct slice record)
{
	lost_broken(ctx, lsn, record);
}

static void
store_replayed(void *ctx)
{
	struct store *store = ctx;

	index_settle(&store->index);
	lost_broken_save(store);
	store->phase = STORE_SCHEDULING;
	store->sweep = 0;
}

/* What was lost behind it may have been its newer state. */
static void
store_doubt(struct store *store, struct index_slot *slot)
{
	uint64_t known = num_max_u64(slot->message_lsn, slot->state_lsn);

	if (!slot->is_durable || known >= journal_damage_end(store->journal)
		|| slot->message_lsn >= journal_recovered_end(store->journal))
		return;
	store->doubtful++;
	if (store->options.hold_doubtful)
		slot->flags = (slot->flags | RECORD_STATE_HELD) & INDEX_FLAGS;
}

/* What a later release has said of it must be known before anybody touches it. */
static void
store_hold_critical(struct store *store, store_ref ref)
{
	struct index_slot *slot = index_slot(&store->index, ref);
	const struct cache_entry *entry = cache_find(&store->cache, ref);
	const struct cache_item *item;

	if (entry == NULL)
		return;
	TAILQ_FOREACH(item, &entry->unknowns, link)
	if ((item->flags & RECORD_CRITICAL) != 0)
		break;
	if (item == NULL)
		return;
	slot->flags = (slot->flags | RECORD_STATE_HELD) & INDEX_FLAGS;
	store_notice(store,
		"store: message %016llx has a record of a kind (%u) that this release must know "
		"and does not; held",
		(unsigned long long)slot->queue_id, (unsigned)item->type);
}

/* All is known. A damaged segment is emptied, so that the next start does not find it again. */
static void
store_recovered(struct store *store)
{
	uint64_t ns = store->now.mono.ns - store->opened_at.ns;

	large_recover(store);
	store->phase = STORE_COMPLETE;
	if (journal_clean_end(store->journal) > 0)
		store_clean_below(store, journal_clean_end(store->journal));
	if (ns > NS_PER_S / 2 || store_count(store) >= STORE_MANY)
		store_notice(store, "store: index complete: %llu messages in %.1f s",
			(unsigned long long)store_count(store), (double)ns / (double)NS_PER_S);
	store->options.callbacks->complete(store->options.ctx);
}

/* Some messages get their place in the schedule; at the end all have one. */
static void
store_sweep(struct store *store)
{
	for (int i = 0; i < STORE_SWEEP; i++) {
		store->sweep = index_next(&store->index, store->sweep);
		if (store->sweep == 0) {
			if (store->doubtful > 0)
				store_notice(store,
					"store: %llu messages may have a newer "
					"state that is lost: %s",
					(unsigned long long)store->doubtful,
					store->options.hold_doubtful ? "held" : "retried");
			store_recovered(store);
			return;
		}
		store_doubt(store, index_slot(&store->index, store->sweep));
		if (store->critical_count > 0)
			store_hold_critical(store, store->sweep);
		store_schedule(store, store->sweep);
	}
}

static void
store_progress(struct store *store)
{
	uint64_t done = journal_replayed(store->journal), first = journal_first(store->journal);
	uint64_t all = journal_recovered_end(store->journal) - first;

	if (mono_since_ns(store->now.mono, store->progress_at) < STORE_PROGRESS_NS)
		return;
	store->progress_at = store->now.mono;
	store_notice(store, "store: index: %llu messages so far, %llu %% of "
		"the journal; new mail is taken",
		(unsigned long long)store_count(store),
		(unsigned long long)(done > first && all > 0 ? (done - first) * 100 / all : 0));
}

static void
store_opened(void *ctx, enum err err, const struct fault *fault)
{
	struct store *store = ctx;

	if (err == ERR_OK) {
		store->is_open = true;
		store->phase = STORE_LOADING;
		store->opened_at = store->progress_at = store->now.mono;
	}
	store->options.callbacks->opened(store->options.ctx, err, fault);
	if (err == ERR_OK)
		checkpoint_load(store);
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
	static const struct journal_callbacks callbacks = { store_opened, store_entry_came,
		store_replayed, store_journal_notice, store_record_broken };
	struct store *store = MEM_NEW(struct store);
	struct journal_options journal = {
		.disk = options->disk,
		.segment_size = options->segment_size,
		.size_max = options->size_max,
		.size_min = options->size_min,
		.epoch = options->epoch,
		.zeroes_freed = options->zeroes_freed,
		.appends = options->appends,
		.callbacks = &callbacks,
		.ctx = store,
		.reads_all = options->reads_all,
		.is_old = options->is_old,
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
	STAILQ_INIT(&store->losts);
	TAILQ_INIT(&store->brokens);
	buf_init(&store->clean.op.list, 0);
	buf_init(&store->checkpoint.op.list, 0);
	buf_init(&store->scrub.op.list, 0);
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
	clean_free(store);
	scrub_free(store);
	checkpoint_free(store);
	lost_free(store);
	journal_free(store->journal);
	cache_done(&store->cache);
	index_done(&store->index);
	buf_done(&store->scratch);
	tails_clear(&store->tails);
	buf_done(&store->list_op.list);
	mem_free(store);
}

void
store_open(struct store *store, struct instant now)
{
	store->now = now;
	large_list(store);
}

void
store_listed(struct store *store)
{
	journal_open(store->journal, store->now);
}

void
store_stop(struct store *store, uint64_t grace_ns, struct instant now)
{
	store->now = now;
	if (store->is_stopping)
		return;
	store->is_stopping = true;
	store->stop_by = mono_add_ns(now.mono, grace_ns);
	journal_stop(store->journal);
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
	journal_settle(store->journal, now);
	if (store->is_open) {
		index_settle(&store->index);
		store_judge_room(store);
		journal_set_live(store->journal, store->live_bytes);
		load_step(store);
		if (store->phase == STORE_SCHEDULING)
			store_sweep(store);
		if (store->phase < STORE_COMPLETE)
			store_progress(store);
		store_gate_step(store);
		large_step(store);
		lost_step(store);
		lost_broken_step(store);
		clean_step(store);
		scrub_step(store);
		checkpoint_step(store);
	}
	journal_step(store->journal, now);
}

struct mono
store_due(const struct store *store)
{
	struct mono due = journal_due(store->journal), clean = clean_due(store);
	struct mono scrub = scrub_due(store);

	if (store->is_open
		&& (load_is_due(store) || large_is_due(store) || checkpoint_is_due(store)
			|| store->phase == STORE_SCHEDULING
			|| store->gate.counts.is_opening))
		return (struct mono){ 0 };
	due.ns = num_min_u64(due.ns, num_min_u64(clean.ns, scrub.ns));
	return (struct mono) { num_min_u64(due.ns, lost_due(store).ns) };
}

bool
store_accepts(const struct store *store)
{
	struct journal_space space;

	journal_space(store->journal, &space);
	return store->is_open && !store->is_full && space.accepts_mail;
}

bool
store_room_comes(const struct store *store)
{
	struct journal_space space;

	journal_space(store->journal, &space);
	return store_accepts(store) && !space.is_short;
}

bool
store_is_complete(const struct store *store)
{
	return store->phase == STORE_COMPLETE;
}

bool
store_is_idle(const struct store *store)
{
	return journal_is_idle(store->journal) && store->op_count == 0
		&& !checkpoint_holds_stop(store)
		&& TAILQ_EMPTY(&store->ready)
		&& (STAILQ_EMPTY(&store->doomed) || store->freezes > 0)
		&& STAILQ_EMPTY(&store->losts) && lost_unsaved(store) == 0;
}

void
store_stats(const struct store *store, struct store_stats *ret_stats)
{
	*ret_stats = (struct store_stats){
		.live_bytes = store->live_bytes,
		.checkpoint_bytes = store->checkpoint.written,
		.checkpoint_lsn = store->checkpoint.last_lsn,
		.checkpoint_age_ns = store->checkpoint.last_lsn == 0
					     ? 0
					     : mono_since_ns(store->now.mono,
						       store->checkpoint.made_at),
		.large_bytes = store->large_bytes,
		.lost = store->lost_count,
		.unsaved = lost_unsaved(store),
		.is_cleaning = store->clean.phase != CLEAN_IDLE,
		.checkpoint_behind =
			journal_durable(store->journal) - store->checkpoint.last_lsn,
		.scrub_last_us = store->scrub.last_us,
		.scrub_bytes = store->scrub.bytes,
		.scrub_damage = store->scrub.damage,
		.scrub_rounds = store->scrub.rounds,
		.is_scrubbing = store->scrub.is_running,
	};
	journal_stats(store->journal, &ret_stats->journal);
	journal_space(store->journal, &ret_stats->space);
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
store_glance(const struct store *store, store_ref ref, uint64_t *ret_arrival_us,
	uint32_t *ret_fingerprint)
{
	const struct index_slot *slot = index_slot(&store->index, ref);

	*ret_arrival_us = slot->arrival_us;
	*ret_fingerprint = index_fingerprint(slot);
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
		.fingerprint = index_fingerprint(slot),
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
	index_slot(&store->index, ref)->due_s = summary_due_seconds(due_us);
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
