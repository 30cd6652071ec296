/*
 * clean.c - moves what lives in the oldest segment, so that its file can be used again
 *
 * A pass walks the index and reads every message whose MESSAGE lies in the oldest segment; its
 * STATE and RESULTs cannot lie in an older one. What was read is appended anew in one piece,
 * MESSAGE and state and results, so that recovery, which lets the later MESSAGE win, finds either
 * the old records or all of the new ones. Old holds are released when the copy is durable.
 *
 * A message with records in the making is left for the next pass: its copy must contain every
 * record that stands before it. One that cannot be read stays where it is, and with it its
 * segment, until it is deleted.
 */
#include "base/check.h"
#include "base/mem.h"
#include "store/store_priv.h"

#define CLEAN_PAUSE_NS (2 * NS_PER_S)      /* after a pass that moved nothing */
#define CLEAN_LOOK_NS (100 * NS_PER_MS)    /* between two looks whether it pays */
enum {
	CLEAN_READS = 8,
	CLEAN_SLOTS = 4096,          /* looked at per step */
	CLEAN_FLIGHT = 256 * 1024,   /* bytes of copies per flush, about */
	CLEAN_RECORDS = JOURNAL_RECORDS_MAX,
};

struct clean_copy {
	struct store *store;
	store_ref ref;
	unsigned count; /* MESSAGE, STATE if has_state, RESULTs */
	bool has_state;
	size_t bytes;
	uint64_t *lsns;
	uint32_t *kibs;
};

/* --- when ---------------------------------------- */

/*
 * Segments in force are far more than what lives in them. The second bound is for queues that
 * hardly live: one old message must not keep all that came after it.
 */
static bool
clean_pays(const struct store *store)
{
	uint64_t live = store->live_bytes, segment = store->options.segment_size;
	struct journal_space space;

	journal_space(store->journal, &space);
	if (space.used_bytes > space.max_bytes / 2
		&& space.used_bytes > live + live / 4 + 3 * segment)
		return true;
	return space.used_bytes > 3 * live + 4 * segment;
}

/* Enough is under way, or at the end all of it is waited for. */
static bool
clean_may_go_on(const struct store_clean *clean)
{
	if (clean->is_walked)
		return clean->reading == 0 && clean->flight == 0;
	return clean->reading < CLEAN_READS && clean->flight < CLEAN_FLIGHT;
}

struct mono
clean_due(const struct store *store)
{
	const struct store_clean *clean = &store->clean;

	if (!store->is_open || (!clean->is_active && !clean->is_stale)
		|| journal_state(store->journal) != JOURNAL_OPEN)
		return (struct mono){ UINT64_MAX };
	if (!clean->is_active)
		return clean->next;
	return (struct mono){ clean_may_go_on(clean) ? 0 : UINT64_MAX };
}

/* --- copying ---------------------------------------- */

static void
clean_copy_free(struct clean_copy *copy)
{
	mem_free(copy->lsns);
	mem_free(copy->kibs);
	mem_free(copy);
}

/* The old place is left, the new one is held. */
static void
clean_move(struct store *store, uint64_t *lsn, uint32_t *kib, const struct clean_copy *copy,
	unsigned at)
{
	store_hold(store, copy->lsns[at], copy->kibs[at]);
	store_release(store, *lsn, *kib);
	*lsn = copy->lsns[at];
	*kib = copy->kibs[at];
}

/* The first records of the message, in the order of the journal, are those that were copied. */
static void
clean_apply(struct store *store, struct cache_entry *entry, const struct clean_copy *copy)
{
	struct index_slot *slot = index_slot(&store->index, copy->ref);
	struct cache_item *item = TAILQ_FIRST(&entry->items);
	uint32_t kib = slot->message_kib;
	uint64_t state_lsn = slot->state_lsn;
	unsigned at = 0;

	clean_move(store, &slot->message_lsn, &kib, copy, at++);
	slot->message_kib = kib & INDEX_KIB_MAX;
	if (copy->has_state) {
		kib = slot->state_kib;
		clean_move(store, &slot->state_lsn, &kib, copy, at++);
		slot->state_kib = kib & INDEX_KIB_MAX;
		if (entry->state_from == state_lsn)
			entry->state_from = slot->state_lsn;
	}
	for (; at < copy->count; at++, item = TAILQ_NEXT(item, link)) {
		CHECK(item != NULL && item->is_durable);
		clean_move(store, &item->lsn, &item->kib, copy, at);
	}
}

static void
clean_settled(void *ctx, enum journal_outcome outcome)
{
	struct clean_copy *copy = ctx;
	struct store *store = copy->store;
	struct cache_entry *entry = cache_find(&store->cache, copy->ref);

	CHECK(entry != NULL && entry->in_flight > 0);
	entry->in_flight--;
	store->clean.flight -= copy->bytes;
	store->clean.is_stale = true;
	if (outcome == JOURNAL_DURABLE) {
		clean_apply(store, entry, copy);
		store->clean.has_moved = true;
	}
	store_entry_settle(store, entry);
	clean_copy_free(copy);
}

static void
clean_put(struct clean_copy *copy, struct buf *payloads, struct record *records, uint16_t type,
	size_t start)
{
	const struct index_slot *slot = index_slot(&copy->store->index, copy->ref);

	records[copy->count] = (struct record){ .type = type,
		.message = type == RECORD_MESSAGE ? 0 : slot->message_lsn,
		.payload = { NULL, payloads->len - start } };
	copy->kibs[copy->count++] = store_kib(payloads->len - start);
}

static void
clean_put_message(struct clean_copy *copy, const struct cache_entry *entry, struct buf *payloads,
	struct record *records)
{
	const struct index_slot *slot = index_slot(&copy->store->index, copy->ref);
	struct slice parts = buf_slice(&entry->parts);
	struct slice behind = slice_from(parts, entry->envelope_len);
	struct record_message message = {
		.queue_id = entry->queue_id,
		.arrival_us = slot->arrival_us,
		.content_length = entry->content_length,
		.content_hash = entry->content_hash,
		.large = entry->large,
		.flags = entry->dotted ? RECORD_MESSAGE_DOTTED : 0,
		.envelope = slice_head(parts, entry->envelope_len),
		.recipients = slice_head(behind, entry->recipients_len),
		.head = slice_from(behind, entry->recipients_len),
		.body = buf_slice(&entry->body),
	};

	record_message_encode(payloads, &message);
	clean_put(copy, payloads, records, RECORD_MESSAGE, 0);
}

/* All records of a message, their payloads one behind the other. */
static void
clean_collect(struct clean_copy *copy, const struct cache_entry *entry, struct buf *payloads,
	struct record *records)
{
	const struct index_slot *slot = index_slot(&copy->store->index, copy->ref);
	struct record_state state = { .queue_id = entry->queue_id };
	const struct cache_item *item;
	size_t start, at = 0;

	clean_put_message(copy, entry, payloads, records);
	copy->has_state = slot->state_lsn != 0;
	if (copy->has_state) {
		start = payloads->len;
		state.due_us = slot->due_s * US_PER_S;
		state.flags = slot->flags;
		state.state = buf_slice(&entry->state);
		record_state_encode(payloads, &state);
		clean_put(copy, payloads, records, RECORD_STATE, start);
	}
	TAILQ_FOREACH (item, &entry->items, link) {
		start = payloads->len;
		state = (struct record_state){ .queue_id = entry->queue_id,
			.state = buf_slice(&item->payload) };
		record_state_encode(payloads, &state);
		clean_put(copy, payloads, records, RECORD_RESULT, start);
	}
	for (unsigned i = 0; i < copy->count; i++) {
		records[i].payload.ptr = payloads->ptr + at;
		at += records[i].payload.len;
	}
	copy->bytes = payloads->len;
}

static void
clean_append(struct store *store, struct cache_entry *entry, unsigned count)
{
	struct clean_copy *copy = MEM_NEW(struct clean_copy);
	struct record *records = mem_array(count, sizeof(*records));
	struct buf payloads;
	enum err err;

	*copy = (struct clean_copy){ .store = store, .ref = entry->ref };
	copy->lsns = mem_array(count, sizeof(*copy->lsns));
	copy->kibs = mem_array(count, sizeof(*copy->kibs));
	buf_init(&payloads, 0);
	clean_collect(copy, entry, &payloads, records);
	CHECK(copy->count == count);
	err = journal_append(store->journal, records, count, JOURNAL_RESULT, JOURNAL_SOON,
		clean_settled, copy, copy->lsns);
	if (err == ERR_OK) {
		entry->in_flight++;
		store->clean.flight += copy->bytes;
	} else {
		clean_copy_free(copy);
	}
	buf_done(&payloads);
	mem_free(records);
}

void
clean_loaded(struct store *store, struct cache_entry *entry, enum err err)
{
	struct index_slot *slot;
	const struct cache_item *item;
	unsigned count = 1;

	CHECK(store->clean.reading > 0);
	store->clean.reading--;
	if (entry == NULL)
		return;
	if (err == ERR_CORRUPT)
		entry->is_damaged = true;
	slot = index_slot(&store->index, entry->ref);
	if (err != ERR_OK || entry->in_flight > 0 || slot->message_lsn >= store->clean.limit
		|| !entry->has_body)
		return;
	count += slot->state_lsn != 0;
	TAILQ_FOREACH (item, &entry->items, link)
		count++;
	if (count <= CLEAN_RECORDS)
		clean_append(store, entry, count);
}

/* --- a pass ---------------------------------------- */

static void
clean_consider(struct store *store, store_ref ref)
{
	const struct index_slot *slot = index_slot(&store->index, ref);
	struct cache_entry *entry = cache_find(&store->cache, ref);

	if (!slot->is_durable || slot->message_lsn >= store->clean.limit)
		return;
	if (entry != NULL && (entry->in_flight > 0 || entry->is_damaged || entry->wants_clean))
		return;
	entry = store_entry(store, ref);
	entry->wants_clean = entry->wants_body = true;
	store->clean.reading++;
	load_want(store, entry);
}

static void
clean_begin(struct store *store)
{
	struct store_clean *clean = &store->clean;

	if (!clean->is_stale || store->now.mono.ns < clean->next.ns)
		return;
	clean->is_active = journal_oldest(store->journal, &clean->limit) && clean_pays(store);
	if (!clean->is_active) {
		clean->is_stale = false;
		clean->next = mono_add_ns(store->now.mono, CLEAN_LOOK_NS);
	}
	clean->is_walked = clean->has_moved = false;
	clean->cursor = 0;
}

static void
clean_end(struct store *store)
{
	struct store_clean *clean = &store->clean;

	clean->is_active = false;
	if (!clean->has_moved)
		clean->next = mono_add_ns(store->now.mono, CLEAN_PAUSE_NS);
}

void
clean_step(struct store *store)
{
	struct store_clean *clean = &store->clean;

	if (journal_state(store->journal) != JOURNAL_OPEN)
		return;
	if (!clean->is_active)
		clean_begin(store);
	for (int i = 0; clean->is_active && i < CLEAN_SLOTS && clean_may_go_on(clean); i++) {
		if (clean->is_walked) {
			clean_end(store);
			return;
		}
		clean->cursor = index_next(&store->index, clean->cursor);
		clean->is_walked = clean->cursor == 0;
		if (!clean->is_walked)
			clean_consider(store, clean->cursor);
	}
}
