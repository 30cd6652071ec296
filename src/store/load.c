/*
 * load.c - reading messages back: envelope, body, state and results, one record at a time
 *
 * What an entry lacks that somebody waits for is read record after record; when nothing is
 * lacking from the start, its waiters are told in the next step (store->ready). What changed
 * meanwhile is looked up anew before each read, so the result is what the message is at the end.
 * While a record is read its segment is held: it cannot be recycled under the read, even if the
 * message ends or moves.
 */
#include "base/check.h"
#include "base/mem.h"
#include "store/store_priv.h"

#include <stdio.h>

/* A record that an entry lacks. */
struct load_piece {
	uint16_t type;
	uint64_t lsn;
	uint16_t size;
	struct cache_item *item;
	bool is_unknown;
};

static void load_done(void *ctx, struct disk_op *op);

/* The STATE that has the rest of a state. */
static struct load_piece
load_tail(const struct store *store, const struct cache_entry *entry)
{
	struct load_piece piece = { .type = RECORD_BRIEF, .lsn = entry->brief_from,
		.size = summary_size_pack(STORE_SHARED_MAX) };
	uint32_t slot;
	uint64_t offset;

	if (journal_locate(store->journal, entry->brief_from, &slot, &offset) == ERR_OK)
		piece.lsn = entry->brief_from - offset + entry->brief.place;
	return piece;
}

static bool
load_missing(struct store *store, const struct cache_entry *entry, struct load_piece *ret_piece)
{
	const struct index_slot *slot = index_slot(&store->index, entry->ref);
	struct cache_item *item;

	if (!entry->has_parts || (entry->wants_body && !entry->has_body)) {
		*ret_piece = (struct load_piece){ .type = RECORD_MESSAGE,
			.lsn = slot->message_lsn, .size = slot->message_size };
		return true;
	}
	if (slot->state_lsn != 0 && entry->state_from != slot->state_lsn
		&& entry->brief_from == slot->state_lsn) {
		*ret_piece = load_tail(store, entry);
		return true;
	}
	if (slot->state_lsn != 0 && entry->state_from != slot->state_lsn) {
		*ret_piece = (struct load_piece){ .type = RECORD_STATE, .lsn = slot->state_lsn,
			.size = slot->state_size };
		return true;
	}
	TAILQ_FOREACH (item, &entry->items, link) {
		if (item->has_payload)
			continue;
		*ret_piece = (struct load_piece){ .type = RECORD_RESULT, .lsn = item->lsn,
			.size = item->size, .item = item };
		return true;
	}
	TAILQ_FOREACH (item, &entry->unknowns, link) {
		if (item->has_payload)
			continue;
		*ret_piece = (struct load_piece){ .type = item->type, .lsn = item->lsn,
			.size = item->size, .item = item, .is_unknown = true };
		return true;
	}
	return false;
}

/* Begins to read what is missing; false: nothing is, or it cannot be found. */
static bool
load_submit(struct store *store, struct cache_entry *entry)
{
	struct load_piece piece;
	struct disk_op *op = &entry->op;

	CHECK(!entry->is_busy);
	if (entry->read_err != ERR_OK || !load_missing(store, entry, &piece))
		return false;
	*op = (struct disk_op){ .kind = DISK_READ,
		.length = entry->op_long > 0 ? entry->op_long : summary_size(piece.size),
		.done = load_done, .ctx = entry };
	entry->op_long = 0;
	buf_init(&op->list, 0);
	entry->read_err = journal_locate(store->journal, piece.lsn, &op->slot, &op->offset);
	if (entry->read_err != ERR_OK)
		return false;
	entry->op_lsn = piece.lsn;
	entry->is_busy = true;
	store->op_count++;
	journal_hold(store->journal, piece.lsn);
	disk_submit(store->options.disk, op);
	return true;
}

void
load_want(struct store *store, struct cache_entry *entry)
{
	if (!entry->is_reading)
		entry->read_err = ERR_OK;
	entry->is_reading = true;
	if (entry->is_busy || entry->is_ready || load_submit(store, entry))
		return;
	entry->is_ready = true;
	TAILQ_INSERT_TAIL(&store->ready, entry, ready);
}

/* --- what was read ---------------------------------------- */

static enum err
load_take_message(struct store *store, struct cache_entry *entry, struct slice payload)
{
	struct record_message message;
	enum err err = record_message_decode(payload, &message);

	if (err < 0 || message.queue_id != entry->queue_id)
		return ERR_SYNTAX;
	cache_put_message(&store->cache, entry, &message);
	return ERR_OK;
}

/* A STATE or a RESULT; what is out of date meanwhile is dropped. */
static enum err
load_take_part(struct cache_entry *entry, const struct load_piece *piece, struct slice payload)
{
	struct record_state state;
	struct buf *to = piece->type == RECORD_STATE ? &entry->state : &piece->item->payload;
	enum err err = record_state_decode(payload, &state);

	if (err < 0 || state.queue_id != entry->queue_id)
		return ERR_SYNTAX;
	buf_clear(to);
	buf_add(to, state.state);
	if (piece->type == RECORD_STATE)
		entry->state_from = piece->lsn;
	else
		piece->item->has_payload = true;
	return ERR_OK;
}

/* The first half of a state; what is read next is the other one. */
static enum err
load_take_brief(struct cache_entry *entry, const struct load_piece *piece, struct slice payload)
{
	struct record_brief brief;
	enum err err = record_brief_decode(payload, &brief);

	if (err < 0 || brief.queue_id != entry->queue_id)
		return ERR_SYNTAX;
	buf_clear(&entry->state);
	buf_add(&entry->state, brief.own);
	entry->state_from = 0;
	entry->brief_from = piece->lsn;
	entry->brief = brief;
	entry->brief.own = slice_make(NULL, 0);
	return ERR_OK;
}

/* Whatever lies there instead, the half is of no use. */
static enum err
load_take_tail(struct cache_entry *entry, const struct record *record)
{
	struct record_state state;
	struct slice tail;

	if (record->type != RECORD_STATE || record_state_decode(record->payload, &state) < 0
		|| state.state.len < entry->brief.tail_len)
		return ERR_CORRUPT;
	tail = slice_from(state.state, state.state.len - entry->brief.tail_len);
	if (record_brief_sum(tail) != entry->brief.tail_sum)
		return ERR_CORRUPT;
	buf_add(&entry->state, tail);
	entry->state_from = entry->brief_from;
	entry->brief_from = 0;
	return ERR_OK;
}

static enum err
load_take_unknown(const struct cache_entry *entry, const struct load_piece *piece,
	const struct record *record)
{
	if (record_unknown_owner(record) != entry->queue_id)
		return ERR_SYNTAX;
	buf_clear(&piece->item->payload);
	buf_add(&piece->item->payload, record->payload);
	piece->item->flags = record->flags;
	piece->item->has_payload = true;
	return ERR_OK;
}

/* A record that is longer than the index can say: as long as its header says it is read anew. */
static bool
load_is_cut(
	const struct store *store, struct cache_entry *entry, const struct load_piece *piece)
{
	struct slice bytes = buf_slice(&entry->op.list);
	size_t length = record_length(bytes);

	/* Once only, and within the segment: the length may be damaged. */
	if (piece->size != SUMMARY_SIZE_LONG || length <= bytes.len ||
		entry->op.length > summary_size(SUMMARY_SIZE_LONG) ||
		entry->op.offset + length > store->options.segment_size)
		return false;
	entry->op_long = length;
	return true;
}

/*
 * Puts the record that was read where it belongs, if it still does. ERR_SYNTAX: it is whole, and
 * another one.
 */
static enum err
load_take(struct store *store, struct cache_entry *entry)
{
	struct slice rest = buf_slice(&entry->op.list);
	struct load_piece piece;
	struct record record;

	if (!load_missing(store, entry, &piece) || piece.lsn != entry->op_lsn ||
		load_is_cut(store, entry, &piece))
		return ERR_OK;
	if (record_next(&rest, &record) < 0)
		return ERR_CORRUPT;
	if (piece.type == RECORD_BRIEF)
		return load_take_tail(entry, &record);
	if (piece.type == RECORD_STATE && record.type == RECORD_BRIEF)
		return load_take_brief(entry, &piece, record.payload);
	if (record.type != piece.type)
		return ERR_SYNTAX;
	if (piece.type == RECORD_MESSAGE)
		return load_take_message(store, entry, record.payload);
	if (piece.is_unknown)
		return load_take_unknown(entry, &piece, &record);
	return load_take_part(entry, &piece, record.payload);
}

/*
 * The record that was read does not verify. A STATE or RESULT is only a part of what is known (so
 * is a record of a later release): it is kept, and the message goes on without it, as
 * damaged_state_action says. Without its MESSAGE
 * nothing is left. Returns ERR_OK if it goes on.
 */
static enum err
load_corrupt(struct store *store, struct cache_entry *entry)
{
	struct index_slot *slot = index_slot(&store->index, entry->ref);
	struct slice bytes = buf_slice(&entry->op.list);
	struct load_piece piece;

	if (!load_missing(store, entry, &piece) || piece.type == RECORD_MESSAGE) {
		lost_add(store, entry->ref, bytes, "its checksum is wrong");
		return ERR_CORRUPT;
	}
	lost_state(store, entry->ref, piece.lsn, bytes);
	if (piece.type == RECORD_STATE || piece.type == RECORD_BRIEF) {
		store_release(store, slot->state_lsn, slot->state_size);
		slot->state_lsn = entry->brief_from = 0;
		buf_clear(&entry->state);
	} else if (piece.is_unknown) {
		store_release(store, piece.item->lsn, piece.item->size);
		cache_unknown_drop(entry, piece.item);
	} else {
		if (piece.item->is_durable)
			store_release(store, piece.item->lsn, piece.item->size);
		cache_item_drop(entry, piece.item);
	}
	return ERR_OK;
}

/*
 * What lies there is whole, so the disk is not what is wrong, but what says that the message lies
 * there: a checkpoint that contradicts the records. They are right. It stays as it is, unread, and
 * the next start does without checkpoints.
 */
static void
load_contradicted(struct store *store, const struct cache_entry *entry)
{
	store_notice(store,
		"store: message %016llx is not at LSN %llu, where the index has it: checkpoints "
		"are removed, the next start reads the journal",
		(unsigned long long)entry->queue_id, (unsigned long long)entry->op_lsn);
	checkpoint_distrust(store);
}

/* --- the end ---------------------------------------- */

static void
load_tell(struct cache_waiters *waiters, store_ref ref, enum err err)
{
	struct cache_waiter *waiter;

	while ((waiter = STAILQ_FIRST(waiters)) != NULL) {
		STAILQ_REMOVE_HEAD(waiters, link);
		waiter->loaded(waiter->ctx, ref, err);
		mem_free(waiter);
	}
}

static void
load_complete(struct store *store, struct cache_entry *entry)
{
	struct cache_waiters waiters = STAILQ_HEAD_INITIALIZER(waiters);
	enum err err = entry->read_err;
	bool was_clean = entry->wants_clean, was_scrub = entry->wants_scrub;
	store_ref ref = entry->ref;

	STAILQ_CONCAT(&waiters, &entry->waiters);
	entry->is_reading = entry->wants_body = false;
	entry->wants_clean = entry->wants_scrub = false;
	if (err == ERR_OK && entry->load_count > 0)
		entry->is_pinned = true;
	entry->load_count = 0;
	store_schedule(store, ref);
	if (was_clean)
		clean_loaded(store, entry, err);
	if (was_scrub)
		scrub_loaded(store, err == ERR_OK ? entry : NULL);
	load_tell(&waiters, ref, err);
	entry = cache_find(&store->cache, ref); /* a waiter may have let it go */
	if (entry != NULL)
		store_entry_settle(store, entry);
}

static void
load_done(void *ctx, struct disk_op *op)
{
	struct cache_entry *entry = ctx;
	struct store *store = entry->store;
	enum err err = op->err;

	entry->is_busy = false;
	store->op_count--;
	journal_release(store->journal, entry->op_lsn);
	if (entry->is_gone) {
		cache_entry_free(entry);
		return;
	}
	if (err == ERR_OK)
		err = load_take(store, entry);
	if (err == ERR_CORRUPT)
		err = load_corrupt(store, entry);
	if (err == ERR_SYNTAX)
		load_contradicted(store, entry);
	entry->read_err = err == ERR_OK || err == ERR_CORRUPT ? err : ERR_IO;
	buf_done(&op->list);
	if (!load_submit(store, entry))
		load_complete(store, entry);
}

/* The message has ended: whoever waits hears it; a read under way ends alone. */
void
load_cancel(struct store *store, struct cache_entry *entry)
{
	struct cache_waiters waiters = STAILQ_HEAD_INITIALIZER(waiters);
	store_ref ref = entry->ref;

	if (entry->is_ready)
		TAILQ_REMOVE(&store->ready, entry, ready);
	entry->is_reading = entry->is_ready = false;
	STAILQ_CONCAT(&waiters, &entry->waiters);
	if (entry->wants_clean)
		clean_loaded(store, NULL, ERR_NOTFOUND);
	if (entry->wants_scrub)
		scrub_loaded(store, NULL);
	if (!entry->is_busy)
		cache_entry_free(entry);
	load_tell(&waiters, ref, ERR_NOTFOUND);
}

void
load_step(struct store *store)
{
	struct cache_entry *entry;
	size_t count = 0;

	TAILQ_FOREACH (entry, &store->ready, ready)
		count++;
	/* A waiter that asks again at once is served in the next step. */
	while (count-- > 0 && (entry = TAILQ_FIRST(&store->ready)) != NULL) {
		TAILQ_REMOVE(&store->ready, entry, ready);
		entry->is_ready = false;
		if (!load_submit(store, entry))
			load_complete(store, entry);
	}
}

bool
load_is_due(const struct store *store)
{
	return !TAILQ_EMPTY(&store->ready);
}

/* --- the face ---------------------------------------- */

static void
load_add(struct store *store, store_ref ref, bool is_load, store_loaded_fn *loaded, void *ctx)
{
	struct cache_entry *entry = store_entry(store, ref);
	struct cache_waiter *waiter = MEM_NEW(struct cache_waiter);

	CHECK(index_is_used(&store->index, ref));
	waiter->is_load = is_load;
	waiter->loaded = loaded;
	waiter->ctx = ctx;
	STAILQ_INSERT_TAIL(&entry->waiters, waiter, link);
	if (is_load)
		entry->load_count++;
	else
		entry->wants_body = true;
	load_want(store, entry);
}

void
store_load(struct store *store, store_ref ref, store_loaded_fn *loaded, void *ctx)
{
	load_add(store, ref, true, loaded, ctx);
	store_schedule(store, ref);
}

void
store_load_body(struct store *store, store_ref ref, store_loaded_fn *loaded, void *ctx)
{
	load_add(store, ref, false, loaded, ctx);
}
