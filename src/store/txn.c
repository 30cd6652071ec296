/*
 * txn.c - atomic changes of messages: built, appended, applied when durable (see store.h)
 *
 * A transaction encodes its payloads into the store's scratch buffer. Committing appends all of
 * them at once and notes what each changed, as an item of its message, so that readers see it at
 * once. When the journal says DURABLE the index follows; when it says REFUSED the items go again.
 *
 * A STATE may be written as a BRIEF, see tails.h; readers of memory do not see the difference.
 */
#include "base/check.h"
#include "base/mem.h"
#include "store/store_priv.h"

struct store_change {
	uint16_t type;
	store_ref ref;
	uint16_t size;
	uint64_t lsn;
	struct cache_item *item; /* STATE and RESULT */
};

struct store_commit {
	struct store *store;
	journal_done_fn *done;
	void *ctx;
	unsigned count;
	struct store_change changes[];
};

/* --- building ---------------------------------------- */

void
store_txn_begin(struct store_txn *txn, struct store *store, enum journal_class class,
	enum journal_urgency urgency)
{
	txn->store = store;
	txn->class = class;
	txn->urgency = urgency;
	txn->count = 0;
	txn->err = store->is_open ? ERR_OK : ERR_FAULTED;
	buf_clear(&store->scratch);
}

/* The next record; NULL: the transaction has failed. Its payload is put behind the scratch. */
static struct store_txn_record *
txn_record(struct store_txn *txn, uint16_t type, store_ref ref)
{
	struct store_txn_record *record;

	if (txn->err == ERR_OK && txn->count == STORE_TXN_RECORDS_MAX)
		txn->err = ERR_LIMIT;
	if (txn->err != ERR_OK)
		return NULL;
	record = &txn->records[txn->count++];
	*record = (struct store_txn_record){ .type = type, .ref = ref,
		.payload_start = txn->store->scratch.len };
	return record;
}

static void
txn_record_end(struct store_txn *txn, struct store_txn_record *record)
{
	record->payload_len = txn->store->scratch.len - record->payload_start;
}

static enum err
txn_message_check(const struct store_txn *txn, const struct store_message *message)
{
	size_t limit = RECORD_BATCH_MAX - RECORD_BATCH_HEADER - 256;
	size_t sums = hash_parts_count(message->content_length) * HASH_SUM;

	if (txn->err != ERR_OK)
		return txn->err;
	if (message->queue_id == 0 || index_find(&txn->store->index, message->queue_id) != 0)
		return ERR_EXISTS;
	if (message->envelope.len > limit || message->recipients.len > limit
		|| message->head.len > limit || message->body.len > limit
		|| message->envelope.len + message->recipients.len + message->head.len
				+ message->body.len + sums
			> limit)
		return ERR_LIMIT;
	return ERR_OK;
}

/* The number of the file that holds its content, and the sums of that. */
static void
txn_large(const struct store *store, const struct store_message *message,
	struct record_message *record)
{
	const struct cache_entry *from;
	struct record_message other;

	if (message->large != NULL) {
		record->large = message->large->number;
		record->parts = buf_slice(&message->large->parts.sums);
	} else if (message->large_of != 0) {
		from = cache_find(&store->cache, message->large_of);
		CHECK(from != NULL && from->large != 0 && message->body.len == 0);
		CHECK(from->has_parts);
		cache_parts(from, &other);
		record->large = from->large;
		record->parts = other.parts;
	}
}

store_ref
store_txn_message(struct store_txn *txn, const struct store_message *message)
{
	struct store *store = txn->store;
	struct record_message record = {
		.queue_id = message->queue_id,
		.arrival_us = message->arrival_us,
		.content_length = message->content_length,
		.content_hash = message->content_hash,
		.flags = (message->dotted ? RECORD_MESSAGE_DOTTED : 0) |
			 message->fingerprint << RECORD_FINGERPRINT_AT,
		.envelope = message->envelope,
		.recipients = message->recipients,
		.head = message->head,
		.body = message->body,
	};
	struct store_txn_record *place;
	struct cache_entry *entry;
	store_ref ref;

	CHECK(message->large == NULL || (message->large->is_finished && message->body.len == 0));
	txn->err = txn_message_check(txn, message);
	place = txn_record(txn, RECORD_MESSAGE, 0);
	if (place == NULL)
		return 0;
	txn_large(store, message, &record);
	record_message_encode(&store->scratch, &record);
	txn_record_end(txn, place);
	place->ref = ref = index_add(&store->index, message->queue_id);
	index_slot(&store->index, ref)->arrival_us = message->arrival_us & INDEX_WORD_MASK;
	index_set_fingerprint(index_slot(&store->index, ref), message->fingerprint);
	entry = store_entry(store, ref);
	entry->is_new = entry->is_pinned = true;
	entry->taken = message->large;
	entry->large_from = message->large_of;
	cache_put_message(&store->cache, entry, &record);
	return ref;
}

/* STATE, RESULT and DONE. */
static void
txn_change(struct store_txn *txn, uint16_t type, store_ref ref, const struct record_state *state)
{
	struct store *store = txn->store;
	const struct cache_entry *entry;
	struct store_txn_record *record;
	struct record_state named = *state;

	if (txn->err == ERR_OK && !index_is_used(&store->index, ref))
		txn->err = ERR_NOTFOUND;
	entry = txn->err == ERR_OK ? cache_find(&store->cache, ref) : NULL;
	if (entry != NULL && entry->is_ending)
		txn->err = ERR_NOTFOUND;
	if (state->state.len > RECORD_BATCH_MAX / 2)
		txn->err = ERR_LIMIT;
	record = txn_record(txn, type, ref);
	if (record == NULL)
		return;
	named.queue_id = index_slot(&store->index, ref)->queue_id;
	record->due_us = state->due_us;
	record->flags = state->flags;
	record_state_encode(&store->scratch, &named);
	txn_record_end(txn, record);
	record->state_start = store->scratch.len - state->state.len;
	record->state_len = state->state.len;
}

void
store_txn_state(struct store_txn *txn, store_ref ref, uint64_t due_us, uint32_t flags,
	struct slice state)
{
	struct record_state record = { .due_us = due_us, .flags = flags, .state = state };

	txn_change(txn, RECORD_STATE, ref, &record);
}

/* Instead of the STATE that was put, which stays in the scratch for memory. */
static void
txn_shorten(struct store_txn *txn, struct store_txn_record *record, const struct tail *tail)
{
	struct buf *scratch = &txn->store->scratch;
	struct slice state = slice_make(scratch->ptr + record->state_start, record->state_len);
	struct record_brief brief = {
		.queue_id = index_slot(&txn->store->index, record->ref)->queue_id,
		.due_s = summary_due_seconds(record->due_us),
		.flags = (uint8_t)(record->flags & INDEX_FLAGS),
		.tail_len = (uint16_t)tail->len,
		.tail_sum = record_brief_sum(slice_make(tail->bytes, tail->len)),
		.place = tail->place,
	};
	struct buf payload;

	buf_init(&payload, 0);
	brief.own = slice_head(state, state.len - tail->len);
	record_brief_encode(&payload, &brief);
	record->payload_start = scratch->len;
	buf_add(scratch, buf_slice(&payload));
	txn_record_end(txn, record);
	record->is_brief = true;
	buf_done(&payload);
}

void
store_txn_brief(struct store_txn *txn, store_ref ref, uint64_t due_us, uint32_t flags,
	struct slice state, size_t tail_len)
{
	struct store *store = txn->store;
	struct store_txn_record *record = &txn->records[0];
	size_t size = record_size(STORE_STATE_FRAME + state.len);
	const struct tail *tail;
	uint64_t segment;

	CHECK(txn->count == 0 && tail_len <= state.len);
	store_txn_state(txn, ref, due_us, flags, state);
	if (txn->err != ERR_OK || tail_len == 0 || tail_len > RECORD_BRIEF_TAIL_MAX
		|| size > STORE_SHARED_MAX)
		return;
	segment = journal_brief_segment(store->journal, size);
	if (segment == JOURNAL_NO_SEGMENT)
		return;
	tail = tails_use(&store->tails,
		store_plant_is_on(store, JOURNAL_PLANT_FAR_TAIL) ? store->tails.segment : segment,
		slice_from(state, state.len - tail_len));
	record->is_shared = true;
	record->segment = segment;
	record->tail_len = tail_len;
	if (tail != NULL)
		txn_shorten(txn, record, tail);
}

void
store_txn_result(struct store_txn *txn, store_ref ref, struct slice result)
{
	struct record_state record = { .state = result };

	txn_change(txn, RECORD_RESULT, ref, &record);
}

void
store_txn_done(struct store_txn *txn, store_ref ref)
{
	struct record_state record = { .queue_id = 0 };

	txn_change(txn, RECORD_DONE, ref, &record);
}

/* --- what became of it ---------------------------------------- */

static void
txn_message_durable(struct store *store, const struct store_change *change)
{
	struct index_slot *slot = index_slot(&store->index, change->ref);
	struct cache_entry *entry = cache_find(&store->cache, change->ref);

	CHECK(entry != NULL && entry->is_new);
	entry->is_new = false;
	if (entry->large_from != 0)
		cache_find(&store->cache, entry->large_from)->large = 0;
	entry->large_from = 0;
	slot->is_durable = 1;
	store_hold(store, change->lsn, change->size);
}

/* What stood before a durable STATE is out of force, and the STATE is what counts. */
static void
txn_state_durable(struct store *store, struct cache_entry *entry, const struct store_change *change)
{
	struct index_slot *slot = index_slot(&store->index, change->ref);
	struct cache_item *item = change->item;

	if (slot->state_lsn != 0)
		store_release(store, slot->state_lsn, slot->state_size);
	store_items_fold(store, entry, item);
	CHECK(TAILQ_FIRST(&entry->items) == item);
	buf_done(&entry->state);
	entry->state = item->payload;
	entry->state_from = change->lsn;
	buf_init(&item->payload, 0);
	slot->state_lsn = change->lsn;
	slot->state_size = change->size & INDEX_SIZE_MASK;
	slot->due_s = summary_due_seconds(item->due_us);
	slot->flags = item->flags & INDEX_FLAGS;
	store_hold(store, change->lsn, change->size);
	cache_item_drop(entry, item);
}

static void
txn_change_durable(struct store *store, const struct store_change *change)
{
	struct cache_entry *entry = cache_find(&store->cache, change->ref);

	CHECK(entry != NULL && entry->in_flight > 0);
	entry->in_flight--;
	switch ((enum record_type)change->type) {
	case RECORD_MESSAGE:
		txn_message_durable(store, change);
		break;
	case RECORD_STATE:
		txn_state_durable(store, entry, change);
		break;
	case RECORD_RESULT:
		change->item->is_durable = true;
		store_hold(store, change->lsn, change->size);
		break;
	case RECORD_DONE:
		if (entry->large != 0 && !store_plant_is_on(store, JOURNAL_PLANT_KEEP_ORPHANS)
			&& !store_plant_is_on(store, JOURNAL_PLANT_EARLY_UNLINK)) {
			if (lost_is_known(store, entry->queue_id))
				large_keep(store, entry->large);
			else
				large_doom(store, entry->large);
		}
		store_tell_end(store, entry->queue_id);
		store_message_end(store, change->ref);
		return;
	case RECORD_NODE:
	case RECORD_FOOTER:
	case RECORD_PLACE:
	case RECORD_BRIEF:
		UNREACHED();
	}
	store_schedule(store, change->ref);
	store_entry_settle(store, entry);
}

static void
txn_change_refused(struct store *store, const struct store_change *change)
{
	struct cache_entry *entry = cache_find(&store->cache, change->ref);

	if (entry == NULL) /* its MESSAGE was refused before */
		return;
	CHECK(entry->in_flight > 0);
	entry->in_flight--;
	if (change->item != NULL)
		cache_item_drop(entry, change->item);
	if (change->type == RECORD_DONE)
		entry->is_ending = false;
	store_entry_settle(store, entry);
}

/*
 * A refused message is gone when its owner has heard of it. Its large file goes only after the
 * journal's next batch is durable: until then a crash can bring the refused MESSAGE back.
 */
static void
txn_forget_new(struct store *store, store_ref ref, bool was_refused)
{
	struct cache_entry *entry = cache_find(&store->cache, ref);

	CHECK(entry != NULL && entry->is_new);
	if (was_refused && entry->large != 0 && entry->large_from == 0)
		large_doom(store, entry->large);
	store_message_end(store, ref);
}

static void
txn_settled(void *ctx, enum journal_outcome outcome)
{
	struct store_commit *commit = ctx;
	struct store *store = commit->store;

	if (outcome == JOURNAL_REFUSED)
		tails_clear(&store->tails);
	for (unsigned i = 0; i < commit->count && outcome == JOURNAL_DURABLE; i++)
		txn_change_durable(store, &commit->changes[i]);
	for (unsigned i = commit->count; i > 0 && outcome == JOURNAL_REFUSED; i--)
		txn_change_refused(store, &commit->changes[i - 1]);
	if (commit->done != NULL)
		commit->done(commit->ctx, outcome);
	for (unsigned i = 0; i < commit->count && outcome == JOURNAL_REFUSED; i++)
		if (commit->changes[i].type == RECORD_MESSAGE)
			txn_forget_new(store, commit->changes[i].ref, true);
	mem_free(commit);
}

/* --- committing ---------------------------------------- */

static enum err
txn_append(struct store_txn *txn, struct store_commit *commit, uint64_t *ret_lsns)
{
	struct record records[STORE_TXN_RECORDS_MAX];
	const struct index *index = &txn->store->index;
	const struct buf *scratch = &txn->store->scratch;

	for (unsigned i = 0; i < txn->count; i++) {
		const struct store_txn_record *place = &txn->records[i];

		records[i] = (struct record){ .type = place->is_brief ? RECORD_BRIEF : place->type,
			.payload = slice_make(
				scratch->ptr + place->payload_start, place->payload_len) };
		if (place->type != RECORD_MESSAGE)
			records[i].message = index_slot(index, place->ref)->message_lsn;
	}
	return journal_append(txn->store->journal, records, txn->count, txn->class, txn->urgency,
		txn_settled, commit, ret_lsns);
}

/* Readers see the change from now on. */
static void
txn_note(struct store_txn *txn, const struct store_txn_record *place, struct store_change *change)
{
	struct store *store = txn->store;
	struct cache_entry *entry = store_entry(store, place->ref);
	struct index_slot *slot = index_slot(&store->index, place->ref);

	entry->in_flight++;
	if (place->type == RECORD_MESSAGE) {
		slot->message_lsn = change->lsn & INDEX_WORD_MASK;
		slot->message_size = change->size & INDEX_SIZE_MASK;
		if (entry->taken != NULL)
			large_taken(entry->taken);
		entry->taken = NULL;
		return;
	}
	if (place->type == RECORD_DONE) {
		entry->is_ending = true;
		if (entry->large != 0 && store_plant_is_on(store, JOURNAL_PLANT_EARLY_UNLINK))
			large_doom(store, entry->large);
		return;
	}
	change->item = cache_item_add(entry, place->type, change->lsn, change->size);
	change->item->has_payload = true;
	change->item->due_us = place->due_us;
	change->item->flags = place->flags;
	buf_add(&change->item->payload,
		slice_make(store->scratch.ptr + place->state_start, place->state_len));
}

/* It lies where it was to lie; others may end as it does. */
static void
txn_share(struct store *store, const struct store_txn_record *place, uint64_t lsn)
{
	struct slice state = slice_make(store->scratch.ptr + place->state_start, place->state_len);

	CHECK(lsn > place->segment && lsn < place->segment + store->options.segment_size);
	if (!place->is_brief && lsn - place->segment < RECORD_BRIEF_REACH)
		tails_put(&store->tails, place->segment,
			slice_from(state, state.len - place->tail_len),
			(uint32_t)(lsn - place->segment));
}

enum err
store_txn_commit(struct store_txn *txn, journal_done_fn *done, void *ctx)
{
	struct store *store = txn->store;
	struct store_commit *commit = mem_new(
		sizeof(*commit) + txn->count * sizeof(commit->changes[0]));
	uint64_t lsns[STORE_TXN_RECORDS_MAX];
	enum err err = txn->err;

	CHECK(err != ERR_OK || txn->count > 0);
	CHECK(txn->count <= 1 || !txn->records[0].is_shared);
	*commit = (struct store_commit){ .store = store, .done = done, .ctx = ctx,
		.count = txn->count };
	if (err == ERR_OK)
		err = txn_append(txn, commit, lsns);
	for (unsigned i = 0; i < txn->count; i++) {
		const struct store_txn_record *place = &txn->records[i];

		if (err == ERR_OK) {
			commit->changes[i] = (struct store_change){ .type = place->type,
				.ref = place->ref, .lsn = lsns[i],
				.size = store_size(place->payload_len) };
			txn_note(txn, place, &commit->changes[i]);
			if (place->is_shared)
				txn_share(store, place, lsns[i]);
		} else if (place->type == RECORD_MESSAGE) {
			txn_forget_new(store, place->ref, false);
		}
	}
	if (err != ERR_OK)
		mem_free(commit);
	txn->count = 0;
	buf_clear(&store->scratch);
	return err;
}
