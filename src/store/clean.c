/*
 * clean.c - moves what lives in the oldest segment, so that its file can be used again
 *
 * A pass reads the segment from front to back. A MESSAGE that lives there is copied as it stands,
 * with a PLACE that says where its STATE lies; a STATE that lives there is copied as it stands. So
 * nothing is
 * read but the segment itself, in large pieces. The holds of the old places end when the copies are
 * durable.
 *
 * What has records in the making, or RESULTs that no STATE has folded, is left for the end of the
 * pass: then it is loaded and appended anew in one piece, MESSAGE and state and results, when
 * nothing of it is
 * in the making: a copy must contain every record that stands before it. So is what has records of
 * a later release, which follow their message unchanged.
 *
 * A BRIEF counts only where it lies: it becomes a whole STATE. Those that it may name stand in
 * front of it, so the STATEs of the segment are kept during a pass, up to CLEAN_ENDS_MAX; where
 * one is not among them, the message is left for the end, too.
 *
 * What cannot be read is kept under corrupt/ and ended (lost.c); its segment is never used again.
 */
#include "base/check.h"
#include "base/mem.h"
#include "base/num.h"
#include "store/store_priv.h"

#define CLEAN_PAUSE_NS (2 * NS_PER_S)	/* after a pass that moved nothing */
#define CLEAN_EASE_NS (20 * NS_PER_MS)	/* between two reads when nobody waits for room */
#define CLEAN_LOOK_NS (100 * NS_PER_MS) /* between two looks whether it pays */
#define CLEAN_REST_NS (50 * NS_PER_MS)	/* between two looks at what was left */
enum {
	CLEAN_READS = 8,
	CLEAN_SLOTS = 4096,	   /* looked at per step */
	CLEAN_CHUNK = 1024 * 1024, /* read at once */
	CLEAN_FLIGHT = 48 * 1024,  /* bytes of copies per flush, about: new mail waits for them */
	CLEAN_FLIGHT_MAX = 256 * 1024, /* when mail must wait for room anyway */
	CLEAN_RECORDS = JOURNAL_RECORDS_MAX,
	/* over what was left, before the whole index is looked through */
	CLEAN_ROUNDS = 4,
	CLEAN_ENDS_MAX = 8 * 1024 * 1024, /* bytes of states that BRIEFs of a segment may name */
	CLEAN_FAILURES = 5, /* passes over one segment before a read error is final */
};

/* A state in the segment that is emptied. */
struct clean_end {
	UT_hash_handle hh;
	uint32_t place; /* as in struct record_brief */
	size_t len;
	uint8_t bytes[];
};

struct clean_copy {
	struct store *store;
	store_ref ref;
	unsigned count; /* MESSAGE, STATE if has_state, RESULTs, unknown ones */
	unsigned unknown_count;
	bool has_state;
	size_t bytes;
	uint64_t *lsns;
	uint16_t *sizes;
};

/* --- when ---------------------------------------- */

/*
 * Too few segments are free. Beyond its target the journal makes a new one as soon as mail needs
 * it, so the cleaner must be one ahead of that, or the log grows for ever. Free ones do not count:
 * in a short log they would be much of it.
 */
static bool
clean_is_wanted(const struct store *store, const struct journal_space *space)
{
	bool is_beyond = space->used_bytes + store->options.segment_size > space->target_bytes;

	return space->free_segments < space->wanted_segments + is_beyond;
}

/* Mail must wait for room soon, if it does not already: then it may as well wait for copies. */
static bool
clean_is_dire(const struct store *store)
{
	struct journal_space space;

	journal_space(store->journal, &space);
	return space.room_bytes < store->options.segment_size / 2;
}

/* The log outgrows its target, because the cleaner falls behind what comes. */
static bool
clean_is_behind(const struct store *store)
{
	struct journal_space space;

	journal_space(store->journal, &space);
	return clean_is_wanted(store, &space)
	       && space.file_bytes > space.target_bytes + space.target_bytes / 16
					     + store->options.segment_size;
}

/*
 * The administrator waits, or mail comes so fast that its segments must be emptied as fast. Where
 * little comes, a log that is beyond its target (it may have shrunk) is no reason to hurry.
 */
static bool
clean_is_urgent(const struct store *store)
{
	struct journal_space space;

	if (store->clean.place.base < store->clean.below || clean_is_dire(store))
		return true;
	journal_space(store->journal, &space);
	return clean_is_wanted(store, &space)
	       && journal_flushed_bytes(store->journal) > CLEAN_FLIGHT;
}

/*
 * Bytes of copies under way, which are those in the batch that is being written and in the one that
 * gathers. Where the log outgrows its target they make half of each: a log of 2.4 times what lives
 * in it wants 1 / 1.4 as much as there is of all else, and more while it is full of what lives.
 */
static uint64_t
clean_most(const struct store *store)
{
	uint64_t flushed = journal_flushed_bytes(store->journal);

	if (clean_is_dire(store))
		return num_max_u64(flushed, CLEAN_FLIGHT_MAX);
	if (clean_is_behind(store))
		return num_max_u64(flushed, CLEAN_FLIGHT);
	return num_max_u64(num_min_u64(flushed / 2, CLEAN_FLIGHT_MAX), CLEAN_FLIGHT);
}

/* Too few files are free, and the log is as large as it may be at ease; or it is far too large. */
static bool
clean_pays(const struct store *store)
{
	uint64_t segment = store->options.segment_size;
	struct journal_space space;

	if (store->clean.place.base < store->clean.below)
		return true;
	journal_space(store->journal, &space);
	/* Where segments are appended free ones cost nothing, so that there always are some. */
	if (space.file_bytes + segment > space.target_bytes
		&& (clean_is_wanted(store, &space) || space.appends))
		return true;
	return space.used_bytes
	       > space.target_bytes / JOURNAL_GROW_PERCENT * JOURNAL_SHRINK_PERCENT + 2 * segment;
}

/* Enough is under way. */
static bool
clean_may_go_on(const struct store_clean *clean)
{
	return !clean->is_busy && clean->reading < CLEAN_READS
	       && clean->flight < clean->flight_most;
}

static bool
clean_may_run(const struct store *store)
{
	return store->phase == STORE_COMPLETE && !store->is_stopping
	       && journal_state(store->journal) == JOURNAL_OPEN;
}

bool
clean_has_room(const struct store *store)
{
	return clean_may_go_on(&store->clean);
}

struct mono
clean_due(const struct store *store)
{
	const struct store_clean *clean = &store->clean;

	if (!clean_may_run(store))
		return (struct mono) { UINT64_MAX };
	switch (clean->phase) {
	case CLEAN_READING:
		return (struct mono) { clean_may_go_on(clean) ? clean->next_read.ns : UINT64_MAX };
	case CLEAN_SETTLING:
		return (struct mono) { clean->flight == 0 && clean->reading == 0 ? clean->next.ns
										 : UINT64_MAX };
	case CLEAN_IDLE:
		break;
	}
	return clean->next;
}

void
store_clean_below(struct store *store, uint64_t lsn)
{
	store->clean.below = lsn;
	store->clean.next.ns = 0;
}

static void
clean_ends_clear(struct store_clean *clean)
{
	struct clean_end *end, *next;

	HASH_ITER(hh, clean->ends, end, next)
	{
		HASH_DELETE(hh, clean->ends, end);
		mem_free(end);
	}
	clean->ends_size = 0;
}

void
clean_free(struct store *store)
{
	clean_ends_clear(&store->clean);
	mem_free(store->clean.rest);
	buf_done(&store->clean.op.list);
}

static void
clean_leave(struct store_clean *clean, store_ref ref)
{
	if (clean->rest_count > 0 && clean->rest[clean->rest_count - 1] == ref)
		return;
	if (clean->rest_count == clean->rest_room) {
		clean->rest_room += 256 + clean->rest_room / 2;
		clean->rest = mem_resize(clean->rest, clean->rest_room, sizeof(*clean->rest));
	}
	clean->rest[clean->rest_count++] = ref;
}

/* --- single records ---------------------------------------- */

/*
 * A copy of a MESSAGE, with its PLACE, or of a STATE. After some moves a STATE may lie in front of
 * its MESSAGE: then the PLACE must name the copy of the STATE that is under way, which is in the
 * table till then.
 */
struct clean_move {
	UT_hash_handle hh; /* STATE */
	struct store *store;
	store_ref ref;
	uint64_t queue_id;
	uint64_t old_lsn;
	uint16_t type, size;
	size_t bytes;
	uint64_t lsns[2];
};

/* Others may end as this one does. */
static void
clean_end_note(struct store_clean *clean, uint64_t lsn, const struct record *record)
{
	struct record_state state;
	struct clean_end *end;

	if (record->type != RECORD_STATE || clean->ends_size > CLEAN_ENDS_MAX
		|| record_size(record->payload.len) > STORE_SHARED_MAX
		|| lsn - clean->place.base >= RECORD_BRIEF_REACH
		|| record_state_decode(record->payload, &state) < 0)
		return;
	end = mem_new(sizeof(*end) + state.state.len);
	end->place = (uint32_t)(lsn - clean->place.base);
	end->len = state.state.len;
	if (end->len > 0)
		memcpy(end->bytes, state.state.ptr, end->len);
	clean->ends_size += sizeof(*end) + end->len;
	HASH_ADD(hh, clean->ends, place, sizeof(end->place), end);
}

/* The whole STATE that a BRIEF stands for; false: its end is not known. */
static bool
clean_brief_whole(struct store_clean *clean, const struct record *record, struct buf *payload)
{
	struct record_state whole;
	struct record_brief brief;
	struct clean_end *end;
	struct slice tail;
	struct buf state;

	if (record_brief_decode(record->payload, &brief) < 0)
		return false;
	HASH_FIND(hh, clean->ends, &brief.place, sizeof(brief.place), end);
	if (end == NULL || end->len < brief.tail_len)
		return false;
	tail = slice_make(end->bytes + end->len - brief.tail_len, brief.tail_len);
	if (record_brief_sum(tail) != brief.tail_sum)
		return false;
	buf_init(&state, 0);
	buf_add(&state, brief.own);
	buf_add(&state, tail);
	whole = (struct record_state) { .queue_id = brief.queue_id,
		.due_us = brief.due_s * US_PER_S,
		.flags = brief.flags,
		.state = buf_slice(&state) };
	record_state_encode(payload, &whole);
	buf_done(&state);
	return true;
}

static void
clean_moved(void *ctx, enum journal_outcome outcome)
{
	struct clean_move *move = ctx;
	struct store *store = move->store;
	struct index_slot *slot = index_slot(&store->index, move->ref);
	struct cache_entry *entry = cache_find(&store->cache, move->ref);
	bool is_there =
		outcome == JOURNAL_DURABLE && slot->is_used && slot->queue_id == move->queue_id;

	if (move->type == RECORD_STATE)
		HASH_DELETE(hh, store->clean.states, move);
	store->clean.flight -= move->bytes;
	store->clean.has_moved |= is_there;
	if (is_there && move->type == RECORD_MESSAGE && slot->message_lsn == move->old_lsn) {
		store_hold(store, move->lsns[0], move->size);
		store_release(store, move->old_lsn, move->size);
		slot->message_lsn = move->lsns[0] & INDEX_WORD_MASK;
	} else if (is_there && move->type == RECORD_STATE && slot->state_lsn == move->old_lsn) {
		store_hold(store, move->lsns[0], move->size);
		store_release(store, move->old_lsn, slot->state_size);
		slot->state_lsn = move->lsns[0];
		slot->state_size = move->size & INDEX_SIZE_MASK;
		if (entry != NULL && entry->state_from == move->old_lsn)
			entry->state_from = move->lsns[0];
	}
	mem_free(move);
}

static void
clean_copy_record(struct store *store, store_ref ref, uint64_t lsn, const struct record *record)
{
	const struct index_slot *slot = index_slot(&store->index, ref);
	struct clean_move *move = MEM_NEW(struct clean_move);
	struct record records[2] = { *record, { .type = RECORD_PLACE } };
	struct record_place place = { .queue_id = slot->queue_id,
		.state_lsn = slot->state_lsn,
		.due_s = slot->due_s,
		.flags = slot->flags,
		.size = slot->state_size };
	struct clean_move *state;
	bool has_place = record->type == RECORD_MESSAGE && slot->state_lsn != 0
			 && !store_plant_is_on(store, JOURNAL_PLANT_LOSE_STATE);
	struct buf payload;

	*move = (struct clean_move) { .store = store,
		.ref = ref,
		.queue_id = slot->queue_id,
		.old_lsn = lsn,
		.type = record->type == RECORD_MESSAGE ? RECORD_MESSAGE : RECORD_STATE,
		.size = record->type == RECORD_MESSAGE ? slot->message_size
						       : store_size(record->payload.len),
		.bytes = record_size(record->payload.len) };
	HASH_FIND(hh, store->clean.states, &ref, sizeof(ref), state);
	if (state != NULL && state->old_lsn == slot->state_lsn) {
		place.state_lsn = state->lsns[0];
		place.size = state->size;
	}
	buf_init(&payload, 0);
	record_place_encode(&payload, &place);
	records[0].message = record->type == RECORD_MESSAGE ? 0 : slot->message_lsn;
	records[1].payload = buf_slice(&payload);
	if (journal_append(store->journal, records, has_place ? 2 : 1, JOURNAL_CLEANING,
		    JOURNAL_SOON, clean_moved, move, move->lsns)
		== ERR_OK) {
		store->clean.flight += move->bytes;
		if (move->type == RECORD_STATE)
			HASH_ADD(hh, store->clean.states, ref, sizeof(ref), move);
	} else {
		clean_leave(&store->clean, ref);
		mem_free(move);
	}
	buf_done(&payload);
}

/* Nothing of it is in the making, and its newest STATE says all. */
static bool
clean_is_simple(const struct store *store, store_ref ref)
{
	const struct cache_entry *entry = cache_find(&store->cache, ref);

	if (entry == NULL || store_plant_is_on(store, JOURNAL_PLANT_LATE_STATE))
		return true;
	return entry->in_flight == 0 && TAILQ_EMPTY(&entry->items)
	       && TAILQ_EMPTY(&entry->unknowns);
}

static void
clean_copy_brief(struct store *store, store_ref ref, uint64_t lsn, const struct record *record)
{
	struct record whole = { .type = RECORD_STATE };
	struct buf payload;

	buf_init(&payload, 0);
	if (store_plant_is_on(store, JOURNAL_PLANT_MOVE_BRIEF)) {
		clean_copy_record(store, ref, lsn, record);
	} else if (clean_brief_whole(&store->clean, record, &payload)) {
		whole.payload = buf_slice(&payload);
		clean_copy_record(store, ref, lsn, &whole);
	} else {
		clean_leave(&store->clean, ref);
	}
	buf_done(&payload);
}

static void
clean_record(struct store *store, uint64_t lsn, const struct record *record)
{
	struct summary_entry entries[SUMMARY_PER_RECORD];
	const struct index_slot *slot;
	struct clean_move *under_way = NULL;
	bool is_part = record->type == RECORD_RESULT || !record_is_known(record->type), lives;
	bool is_state = record->type == RECORD_STATE || record->type == RECORD_BRIEF;
	store_ref ref;

	clean_end_note(&store->clean, lsn, record);
	if ((record->type != RECORD_MESSAGE && !is_state && !is_part)
		|| summary_of_record(lsn, record, entries) == 0)
		return;
	ref = index_find(&store->index, entries[0].queue_id);
	if (ref == 0)
		return;
	slot = index_slot(&store->index, ref);
	lives = record->type == RECORD_MESSAGE ? slot->message_lsn == lsn && slot->is_durable
		: is_state ? slot->state_lsn == lsn
			   : false;
	if (is_part)
		lives = cache_find(&store->cache, ref) != NULL;
	if (!lives)
		return;
	if (is_state)
		HASH_FIND(hh, store->clean.states, &ref, sizeof(ref), under_way);
	if (under_way != NULL)
		return;
	if (is_part || !clean_is_simple(store, ref))
		clean_leave(&store->clean, ref);
	else if (record->type == RECORD_BRIEF)
		clean_copy_brief(store, ref, lsn, record);
	else
		clean_copy_record(store, ref, lsn, record);
}

/* --- whole messages ---------------------------------------- */

static void
clean_copy_free(struct clean_copy *copy)
{
	mem_free(copy->lsns);
	mem_free(copy->sizes);
	mem_free(copy);
}

/* The old place is left, the new one is held. */
static void
clean_move(struct store *store, uint64_t *lsn, uint16_t *size, const struct clean_copy *copy,
	unsigned at)
{
	store_hold(store, copy->lsns[at], copy->sizes[at]);
	store_release(store, *lsn, *size);
	*lsn = copy->lsns[at];
	*size = copy->sizes[at];
}

/* The first records of the message, in the order of the journal, are those that were copied. */
static void
clean_apply_items(struct store *store, struct cache_item *first, const struct clean_copy *copy,
	unsigned *at, unsigned end)
{
	for (struct cache_item *item = first; *at < end; item = TAILQ_NEXT(item, link)) {
		CHECK(item != NULL && item->is_durable);
		clean_move(store, &item->lsn, &item->size, copy, (*at)++);
	}
}

static void
clean_apply(struct store *store, struct cache_entry *entry, const struct clean_copy *copy)
{
	struct index_slot *slot = index_slot(&store->index, copy->ref);
	uint16_t size = slot->message_size;
	uint64_t message_lsn = slot->message_lsn, state_lsn = slot->state_lsn;
	unsigned at = 0;

	clean_move(store, &message_lsn, &size, copy, at++);
	slot->message_lsn = message_lsn & INDEX_WORD_MASK;
	slot->message_size = size & INDEX_SIZE_MASK;
	if (copy->has_state) {
		size = slot->state_size;
		clean_move(store, &slot->state_lsn, &size, copy, at++);
		slot->state_size = size & INDEX_SIZE_MASK;
		if (entry->state_from == state_lsn)
			entry->state_from = slot->state_lsn;
	}
	clean_apply_items(store, TAILQ_FIRST(&entry->items), copy, &at,
		copy->count - copy->unknown_count);
	clean_apply_items(store, TAILQ_FIRST(&entry->unknowns), copy, &at, copy->count);
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

	records[copy->count] = (struct record) { .type = type,
		.message = type == RECORD_MESSAGE ? 0 : slot->message_lsn,
		.payload = { NULL, payloads->len - start } };
	copy->sizes[copy->count++] = store_size(payloads->len - start);
}

static void
clean_put_message(struct clean_copy *copy, const struct cache_entry *entry, struct buf *payloads,
	struct record *records)
{
	const struct index_slot *slot = index_slot(&copy->store->index, copy->ref);
	struct record_message message;

	cache_parts(entry, &message);
	message.queue_id = entry->queue_id;
	message.arrival_us = slot->arrival_us;
	message.content_length = entry->content_length;
	message.content_hash = entry->content_hash;
	message.large = entry->large;
	message.flags = (entry->dotted ? RECORD_MESSAGE_DOTTED : 0) |
			index_fingerprint(slot) << RECORD_FINGERPRINT_AT;
	message.body = buf_slice(&entry->body);
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
	TAILQ_FOREACH(item, &entry->items, link)
	{
		start = payloads->len;
		state = (struct record_state) { .queue_id = entry->queue_id,
			.state = buf_slice(&item->payload) };
		record_state_encode(payloads, &state);
		clean_put(copy, payloads, records, RECORD_RESULT, start);
	}
	TAILQ_FOREACH(item, &entry->unknowns, link)
	{
		start = payloads->len;
		buf_add(payloads, buf_slice(&item->payload));
		clean_put(copy, payloads, records, item->type, start);
		records[copy->count - 1].flags = (uint16_t)item->flags;
		copy->unknown_count++;
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

	*copy = (struct clean_copy) { .store = store, .ref = entry->ref };
	copy->lsns = mem_array(count, sizeof(*copy->lsns));
	copy->sizes = mem_array(count, sizeof(*copy->sizes));
	buf_init(&payloads, 0);
	clean_collect(copy, entry, &payloads, records);
	CHECK(copy->count == count);
	err = journal_append(store->journal, records, count, JOURNAL_CLEANING, JOURNAL_SOON,
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
	struct store_clean *clean = &store->clean;
	struct index_slot *slot;
	const struct cache_item *item;
	unsigned count = 1;

	CHECK(clean->reading > 0);
	clean->reading--;
	if (entry == NULL)
		return;
	if (err < 0 && err != ERR_NOTFOUND)
		clean->is_damaged = true;
	if (err == ERR_IO && clean->failures >= CLEAN_FAILURES)
		lost_add(store, entry->ref, slice_make(NULL, 0), "the disk does not give it back");
	slot = index_slot(&store->index, entry->ref);
	if (err != ERR_OK || entry->in_flight > 0 || !entry->has_body)
		return;
	count += slot->state_lsn != 0;
	TAILQ_FOREACH(item, &entry->items, link)
	count++;
	TAILQ_FOREACH(item, &entry->unknowns, link)
	count++;
	if (count <= CLEAN_RECORDS)
		clean_append(store, entry, count);
}

static bool
clean_is_between(uint64_t lsn, uint64_t from, uint64_t end)
{
	return lsn >= from && lsn < end;
}

/* Whether something that must stay of a message lies there. */
static bool
clean_lives_between(const struct store *store, store_ref ref, uint64_t from, uint64_t end)
{
	const struct cache_entry *entry = cache_find(&store->cache, ref);
	const struct index_slot *slot = index_slot(&store->index, ref);
	const struct cache_item *item;

	if (!slot->is_used || !slot->is_durable)
		return false;
	if (clean_is_between(slot->message_lsn, from, end)
		|| clean_is_between(slot->state_lsn, from, end))
		return true;
	if (entry == NULL)
		return false;
	TAILQ_FOREACH(item, &entry->items, link)
	if (item->is_durable && clean_is_between(item->lsn, from, end))
		return true;
	TAILQ_FOREACH(item, &entry->unknowns, link)
	if (clean_is_between(item->lsn, from, end))
		return true;
	return false;
}

/* Copied is the whole message, unless something of it is in the making. */
bool
clean_rescue(struct store *store, store_ref ref, uint64_t from, uint64_t end)
{
	struct cache_entry *entry = cache_find(&store->cache, ref);

	if (!clean_lives_between(store, ref, from, end)
		|| lost_is_known(store, index_slot(&store->index, ref)->queue_id))
		return false;
	if (entry != NULL && (entry->in_flight > 0 || entry->wants_clean))
		return true;
	entry = store_entry(store, ref);
	entry->wants_clean = entry->wants_body = true;
	store->clean.reading++;
	load_want(store, entry);
	return true;
}

static void
clean_whole(struct store *store, store_ref ref)
{
	(void)clean_rescue(store, ref, store->clean.place.base, store->clean.place.end);
}

/* --- a pass ---------------------------------------- */

static void
clean_begin(struct store *store)
{
	struct store_clean *clean = &store->clean;

	if (store->now.mono.ns < clean->next.ns)
		return;
	clean->next = mono_add_ns(store->now.mono, CLEAN_LOOK_NS);
	if (clean->reading > 0)
		return; /* what a scrub rescues does not belong to a pass */
	if (!journal_oldest(store->journal, &clean->place) || clean->place.live == 0
		|| !clean_pays(store)
		|| !journal_can_copy(store->journal, clean->place.file_size))
		return;
	journal_hold(store->journal, clean->place.base); /* it stays until the pass ends */
	clean_ends_clear(clean);
	clean->phase = CLEAN_READING;
	clean->at = clean->place.base + RECORD_BLOCK;
	clean->chunk = CLEAN_CHUNK;
	clean->has_moved = clean->is_damaged = clean->is_walking = false;
	clean->rest_count = clean->rest_next = clean->rounds = 0;
	clean->records = slice_make(NULL, 0);
	buf_clear(&clean->op.list);
}

static void
clean_read(void *ctx, struct disk_op *op)
{
	struct store *store = ctx;
	struct store_clean *clean = &store->clean;

	clean->is_busy = false;
	store->op_count--;
	if (op->err == ERR_OK && op->list.len >= RECORD_BLOCK)
		return;
	clean->is_damaged = true; /* what lives there is looked for in the index */
	buf_clear(&op->list);
	clean->at += clean->chunk;
	clean->chunk = CLEAN_CHUNK;
}

static void
clean_fetch(struct store *store)
{
	struct store_clean *clean = &store->clean;
	struct buf list = clean->op.list;

	buf_clear(&list);
	clean->op = (struct disk_op) { .kind = DISK_READ,
		.slot = clean->place.slot,
		.offset = clean->at - clean->place.base,
		.length = num_min_u64(clean->chunk, clean->place.end - clean->at),
		.calm = clean->flight_most < CLEAN_FLIGHT_MAX,
		.list = list,
		.done = clean_read,
		.ctx = store };
	clean->is_busy = true;
	store->op_count++;
	clean->next_read.ns = 0;
	if (!clean_is_urgent(store))
		clean->next_read = mono_add_ns(store->now.mono, CLEAN_EASE_NS);
	disk_submit(store->options.disk, &clean->op);
}

/* The batch at the front of what was read; false: more must be read first. */
static bool
clean_batch(struct store_clean *clean)
{
	uint64_t begin = clean->op.offset + clean->place.base;
	struct slice bytes = slice_from(buf_slice(&clean->op.list), (size_t)(clean->at - begin));
	struct batch_header batch;
	enum err err;

	if (bytes.len < RECORD_BLOCK)
		return false;
	err = batch_decode(bytes, &batch);
	if (err == ERR_SYNTAX && batch.lsn == clean->at
		&& clean->at + batch.length <= clean->place.end && clean->at > begin) {
		clean->chunk = num_max_u64(CLEAN_CHUNK, batch.length);
		return false;
	}
	if (err == ERR_SYNTAX && batch.lsn == clean->at && clean->chunk < batch.length
		&& clean->at + batch.length <= clean->place.end) {
		clean->chunk = batch.length;
		return false;
	}
	if (err == ERR_OK && batch.lsn == clean->at) {
		clean->records = slice_from(slice_head(bytes, batch.used), RECORD_BATCH_HEADER);
		clean->records_at = clean->at + RECORD_BATCH_HEADER;
		clean->at += batch.length;
		return true;
	}
	clean->is_damaged = true;
	clean->records = slice_make(NULL, 0);
	clean->at += RECORD_BLOCK;
	return true;
}

/* One record, or the next batch, or the next piece of the segment. */
static void
clean_advance(struct store *store)
{
	struct store_clean *clean = &store->clean;
	struct record record;
	uint64_t lsn = clean->records_at;
	size_t before = clean->records.len;

	if (before > 0) {
		enum err err = record_next(&clean->records, &record);

		clean->records_at += before - clean->records.len;
		if (err == ERR_OK)
			clean_record(store, lsn, &record);
		else if (err == ERR_SYNTAX)
			clean->records = slice_make(NULL, 0);
		return;
	}
	if (clean->at >= clean->place.end) {
		clean->phase = CLEAN_SETTLING;
		clean->next.ns = 0;
		return;
	}
	if (!clean_batch(clean))
		clean_fetch(store);
}

static void
clean_end(struct store *store)
{
	struct store_clean *clean = &store->clean;

	journal_release(store->journal, clean->place.base);
	clean->failures = clean->is_walking && !clean->has_moved ? clean->failures + 1 : 0;
	clean->phase = CLEAN_IDLE;
	clean_ends_clear(clean);
	buf_done(&clean->op.list);
	buf_init(&clean->op.list, 0);
	clean->next = mono_add_ns(store->now.mono, clean->has_moved ? 0 : CLEAN_PAUSE_NS);
}

/* Whether anything still lives in the segment that is emptied. */
static bool
clean_is_needed(const struct store *store)
{
	struct journal_place place;

	return journal_oldest(store->journal, &place) && place.base == store->clean.place.base
	       && place.live > 1; /* one is the pass's own */
}

/* What was left is copied whole; what was damaged is looked for in the index. */
static void
clean_settle(struct store *store)
{
	struct store_clean *clean = &store->clean;

	if (store->now.mono.ns < clean->next.ns)
		return;
	if (clean->is_walking) {
		clean->cursor = index_next(&store->index, clean->cursor);
		if (clean->cursor != 0)
			clean_whole(store, clean->cursor);
		else if (clean->reading == 0 && clean->flight == 0)
			clean_end(store);
		return;
	}
	if (clean->rest_next < clean->rest_count) {
		clean_whole(store, clean->rest[clean->rest_next++]);
		return;
	}
	if (clean->reading > 0 || clean->flight > 0)
		return;
	if (!clean_is_needed(store)) {
		clean->has_moved = true;
		clean_end(store);
		return;
	}
	clean->next = mono_add_ns(store->now.mono, CLEAN_REST_NS);
	clean->rest_next = 0;
	if (clean->is_damaged || clean->rest_count == 0 || ++clean->rounds > CLEAN_ROUNDS) {
		if (clean->is_damaged)
			journal_distrust(store->journal, clean->place.base);
		clean->is_walking = true;
		clean->cursor = 0;
	}
}

void
clean_step(struct store *store)
{
	struct store_clean *clean = &store->clean;

	if (!clean_may_run(store))
		return;
	if (clean->phase == CLEAN_READING && store->now.mono.ns < clean->next_read.ns)
		return;
	clean->flight_most = clean->phase == CLEAN_IDLE ? CLEAN_FLIGHT : clean_most(store);
	for (int i = 0; i < CLEAN_SLOTS && clean_may_go_on(clean); i++) {
		if (clean->phase == CLEAN_READING) {
			clean_advance(store);
		} else if (clean->phase == CLEAN_SETTLING) {
			clean_settle(store);
			if (clean->phase == CLEAN_IDLE)
				return; /* the journal takes the segment out of force first */
		} else {
			clean_begin(store);
			if (clean->phase == CLEAN_IDLE)
				return;
		}
	}
}
