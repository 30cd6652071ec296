/*
 * journal.c - the journal's face: appends, holds, named values, time (see journal.h)
 */
#include "base/check.h"
#include "base/mem.h"
#include "base/num.h"
#include "store/journal_priv.h"

#include <stdarg.h>
#include <stdio.h>

bool
journal_plant_is_on(const struct journal *journal, enum journal_plant plant)
{
	return (journal->options.planted & (unsigned)plant) != 0;
}

void
journal_notice(struct journal *journal, const char *format, ...)
{
	char text[FAULT_TEXT_SIZE];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	journal->options.callbacks->notice(journal->options.ctx, text);
}

struct journal *
journal_new(const struct journal_options *options)
{
	struct journal *journal = MEM_NEW(struct journal);

	CHECK(options->segment_size % RECORD_BLOCK == 0);
	CHECK(options->segment_size >= 16 * RECORD_BLOCK);
	CHECK(options->size_max >= 4 * options->segment_size);
	journal->options = *options;
	TAILQ_INIT(&journal->segments);
	TAILQ_INIT(&journal->spares);
	TAILQ_INIT(&journal->items);
	TAILQ_INIT(&journal->nodes);
	buf_init(&journal->read_op.list, 0);
	return journal;
}

void
journal_free(struct journal *journal)
{
	if (journal == NULL)
		return;
	CHECK(!journal->writing && !journal->preparing && !journal->dropping);
	CHECK(!journal->room.is_looking);
	CHECK(journal->landed == NULL);
	journal_writer_abandon(journal);
	while (journal->bytes_count > 0)
		buf_done(&journal->bytes[--journal->bytes_count]);
	journal_recovery_done(journal);
	buf_done(&journal->read_op.list);
	while (!TAILQ_EMPTY(&journal->segments))
		journal_segment_drop(journal, TAILQ_FIRST(&journal->segments));
	mem_free(journal->table);
	for (struct journal_spare *s; (s = TAILQ_FIRST(&journal->spares)) != NULL;) {
		TAILQ_REMOVE(&journal->spares, s, link);
		mem_free(s);
	}
	for (struct journal_node *n; (n = TAILQ_FIRST(&journal->nodes)) != NULL;) {
		TAILQ_REMOVE(&journal->nodes, n, link);
		buf_done(&n->key);
		buf_done(&n->value);
		mem_free(n);
	}
	mem_free(journal);
}

void
journal_open(struct journal *journal, struct instant now)
{
	CHECK(journal->state == JOURNAL_CLOSED);
	journal->now = now;
	journal->state = JOURNAL_RECOVERING;
	journal_recovery_start(journal);
}

enum journal_state
journal_state(const struct journal *journal)
{
	return journal->state;
}

enum err
journal_fault_err(const struct journal *journal)
{
	return journal->state == JOURNAL_FAULTED ? journal->fault_err : ERR_OK;
}

/* What the footer of its segment will say of a record. */
static void
journal_sum_up(struct journal_segment *segment, uint64_t lsn, const struct record *record)
{
	struct summary_entry entries[SUMMARY_PER_RECORD];
	unsigned count = summary_of_record(lsn, record, entries);

	for (unsigned i = 0; i < count; i++)
		summary_put(&segment->footer, &entries[i]);
}

/* Hints alone, as many as fill blocks: one more would only begin another block. */
static bool
journal_item_is_full(const struct journal_item *item)
{
	size_t room = (RECORD_BLOCK - item->bytes.len % RECORD_BLOCK) % RECORD_BLOCK;

	return item->later_count == item->txn_count
		&& (item->bytes.len >= JOURNAL_LATER_MAX
			|| (item->bytes.len > JOURNAL_LATER_MIN && room < JOURNAL_LATER_ROOM));
}

/* How long what is appended at once may be. */
static size_t
journal_append_max(const struct journal *journal)
{
	const struct journal_segment *segment = journal_newest(journal);

	return segment != NULL && segment->takes_long ? JOURNAL_APPEND_MAX : JOURNAL_APPEND_SHORT;
}

enum err
journal_append(struct journal *journal, const struct record *records, size_t count,
	enum journal_class class, enum journal_urgency urgency, journal_done_fn *done, void *ctx,
	uint64_t *ret_lsns)
{
	struct journal_item *item;
	size_t bytes = 0;

	CHECK(count >= 1 && count <= JOURNAL_RECORDS_MAX);
	if (journal->state != JOURNAL_OPEN)
		return ERR_FAULTED;
	for (size_t i = 0; i < count; i++)
		bytes += record_size(records[i].payload.len);
	if (bytes > journal_append_max(journal) || bytes > journal->options.segment_size / 2)
		return ERR_LIMIT;
	if (!journal_room_permits(journal, class, bytes))
		return ERR_NOSPACE;
	item = journal_writer_open_item(journal, bytes, count, class);
	if (item == NULL)
		return ERR_NOSPACE;
	if (item->txn_count == 0)
		item->since = journal->now.mono;
	if (item->txn_count == item->later_count && urgency != JOURNAL_LATER)
		item->soon_since = journal->now.mono;
	for (size_t i = 0; i < count; i++) {
		uint64_t lsn = item->lsn + record_put(&item->bytes, &records[i]);

		journal_sum_up(item->segment, lsn, &records[i]);
		if (ret_lsns != NULL)
			ret_lsns[i] = lsn;
	}
	journal->stats.records[class] += bytes;
	item->count += (uint32_t)count;
	item->txn_count++;
	item->urgent_count += urgency == JOURNAL_NOW;
	item->later_count += urgency == JOURNAL_LATER;
	if (done != NULL)
		journal_item_tell(item, done, ctx);
	if (journal_item_is_full(item))
		journal_item_close(item);
	return ERR_OK;
}

bool
journal_zeroes(const struct journal *journal)
{
	return journal->options.zeroes_freed && !journal->options.appends;
}

size_t
journal_nodes_size(const struct journal *journal)
{
	const struct journal_node *node;
	size_t bytes = 0;

	TAILQ_FOREACH(node, &journal->nodes, link)
		bytes += record_size(8 + node->key.len + node->value.len);
	return bytes;
}

size_t
journal_nodes_max(const struct journal *journal)
{
	return num_min_u64(JOURNAL_NODES_MAX, journal->options.segment_size / 8);
}

void
journal_node_remember(
	struct journal *journal, struct slice key, struct slice value, uint64_t sequence)
{
	struct journal_node *node;

	TAILQ_FOREACH(node, &journal->nodes, link)
		if (slice_equal(buf_slice(&node->key), key))
			break;
	if (node != NULL && node->sequence > sequence)
		return;
	if (node == NULL) {
		node = MEM_NEW(struct journal_node);
		buf_init(&node->key, 0);
		buf_init(&node->value, 0);
		buf_add(&node->key, key);
		TAILQ_INSERT_TAIL(&journal->nodes, node, link);
	}
	node->sequence = sequence;
	buf_clear(&node->value);
	buf_add(&node->value, value);
}

enum err
journal_set_node(struct journal *journal, struct slice key, struct slice value,
	journal_done_fn *done, void *ctx)
{
	struct record_node node = { key, value };
	struct record record = { .type = RECORD_NODE };
	struct buf payload;
	enum err err;

	CHECK(key.len > 0 && key.len <= 64 && value.len <= 4096);
	if (journal_nodes_size(journal) + record_size(8 + key.len + value.len)
		> journal_nodes_max(journal))
		return ERR_LIMIT;
	buf_init(&payload, 0);
	record_node_encode(&payload, &node);
	record.payload = buf_slice(&payload);
	err = journal_append(journal, &record, 1, JOURNAL_RESULT, JOURNAL_NOW, done, ctx, NULL);
	if (err == ERR_OK)
		journal_node_remember(journal, key, value, UINT64_MAX);
	buf_done(&payload);
	return err;
}

struct slice
journal_node(const struct journal *journal, struct slice key)
{
	const struct journal_node *node;

	TAILQ_FOREACH(node, &journal->nodes, link)
		if (slice_equal(buf_slice(&node->key), key))
			return buf_slice(&node->value);
	return slice_make(NULL, 0);
}

void
journal_hold(struct journal *journal, uint64_t lsn)
{
	struct journal_segment *segment = journal_segment_of(journal, lsn);

	CHECK(segment != NULL);
	segment->live++;
}

void
journal_release(struct journal *journal, uint64_t lsn)
{
	struct journal_segment *segment = journal_segment_of(journal, lsn);

	if (segment == NULL && journal_plant_is_on(journal, JOURNAL_PLANT_FREE_LIVE))
		return;
	CHECK(segment != NULL && segment->live > 0);
	segment->live--;
}

static struct journal_place
journal_place(const struct journal *journal, const struct journal_segment *segment)
{
	bool is_long = journal_plant_is_on(journal, JOURNAL_PLANT_LONG_FILE);

	return (struct journal_place) { .slot = segment->slot,
		.base = segment->base,
		.end = segment->end,
		.size = segment->size,
		.file_size = is_long ? segment->size : segment->file_size,
		.live = segment->live };
}

bool
journal_place_number(
	const struct journal *journal, size_t number, struct journal_place *ret_place)
{
	if (number >= journal->table_count)
		return false;
	*ret_place = journal_place(journal, journal->table[number]);
	return true;
}

uint64_t
journal_place_bytes(const struct journal_place *place, uint64_t lsn)
{
	uint64_t below = lsn > place->base ? lsn - place->base : 0;

	return num_min_u64(below, num_min_u64(place->size, place->file_size));
}

bool
journal_oldest(const struct journal *journal, struct journal_place *ret_place)
{
	return journal->table_count > 1 && journal_place_number(journal, 0, ret_place);
}

void
journal_freeze(struct journal *journal)
{
	journal->freezes++;
}

void
journal_thaw(struct journal *journal)
{
	CHECK(journal->freezes > 0);
	journal->freezes--;
}

bool
journal_place_at(const struct journal *journal, uint64_t lsn, struct journal_place *ret_place)
{
	const struct journal_segment *segment;

	TAILQ_FOREACH(segment, &journal->segments, link)
	{
		bool is_closed = TAILQ_NEXT(segment, link) != NULL
				 && segment->end <= journal->durable;

		if (!is_closed || segment->base + segment->size <= lsn
			|| segment->end <= segment->base + RECORD_BLOCK)
			continue;
		*ret_place = journal_place(journal, segment);
		return true;
	}
	return false;
}

void
journal_distrust(struct journal *journal, uint64_t base)
{
	struct journal_segment *segment = journal_segment_of(journal, base);

	if (segment != NULL)
		segment->suspect = true;
}

bool
journal_is_damaged(const struct journal *journal)
{
	return journal->is_damaged;
}

uint64_t
journal_damage_end(const struct journal *journal)
{
	return journal->damage_end;
}

uint64_t
journal_clean_end(const struct journal *journal)
{
	return num_min_u64(num_max_u64(journal->damage_end, journal->rebuilt_end),
		journal->recovered_end);
}

uint64_t
journal_replayed(const struct journal *journal)
{
	const struct journal_recovery *recovery = &journal->recovery;

	return recovery->is_replaying && recovery->index < recovery->count
		? recovery->found[recovery->index].header.base
		: journal->recovered_end;
}

void
journal_settle(struct journal *journal, struct instant now)
{
	journal->now = now;
	if (journal->landed != NULL)
		journal_writer_settle(journal);
}

void
journal_step(struct journal *journal, struct instant now)
{
	journal_settle(journal, now);
	if (journal->state == JOURNAL_OPEN || journal->state == JOURNAL_FAULTED)
		journal_writer_step(journal);
}

/*
 * Until when an open batch waits for company. A client that waits is kept only while others are
 * likely to come: fewer are here than the last batch had, and that one had several.
 */
uint64_t
journal_gather_until_ns(const struct journal *journal, const struct journal_item *item)
{
	if (item->later_count == item->txn_count)
		return journal->is_stopping ? 0 : item->since.ns + JOURNAL_LATER_NS;
	if (item->urgent_count == 0)
		return item->soon_since.ns + JOURNAL_SOON_NS;
	return journal->last_urgent_count >= JOURNAL_GATHER_MIN
			&& item->urgent_count < journal->last_urgent_count
		? item->soon_since.ns + JOURNAL_GATHER_NS
		: 0;
}

uint64_t
journal_prove_at_ns(const struct journal *journal)
{
	if (journal->is_stopping)
		return 0;
	return journal->idle_since.ns
		+ (journal->is_hint ? JOURNAL_LATER_IDLE_NS : JOURNAL_IDLE_NS);
}

static uint64_t
journal_min_ns(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

struct mono
journal_due(const struct journal *journal)
{
	const struct journal_item *item = TAILQ_FIRST(&journal->items);
	uint64_t due = journal_room_due_ns(journal);

	if (journal->landed != NULL)
		return (struct mono){ 0 };
	if (journal->writing || journal->state == JOURNAL_CLOSED
		|| journal->state == JOURNAL_RECOVERING)
		return (struct mono){ UINT64_MAX };
	if ((journal->state == JOURNAL_FAULTED || journal->retry_at.ns > 0) && !journal->preparing)
		due = item != NULL ? 0 : journal_min_ns(due, journal->retry_at.ns);
	if (journal->state != JOURNAL_OPEN)
		return (struct mono){ due };
	if (item != NULL && !item->open)
		due = 0;
	else if (item != NULL && item->txn_count > 0)
		due = journal_min_ns(due, journal_gather_until_ns(journal, item));
	else if (!journal->proven)
		due = journal_min_ns(due, journal_prove_at_ns(journal));
	return (struct mono){ due };
}

enum err
journal_locate(
	const struct journal *journal, uint64_t lsn, uint32_t *ret_slot, uint64_t *ret_offset)
{
	const struct journal_segment *segment = journal_segment_of(journal, lsn);

	if (segment == NULL || lsn < segment->base + RECORD_BLOCK || lsn >= segment->end)
		return ERR_NOTFOUND;
	*ret_slot = segment->slot;
	*ret_offset = lsn - segment->base;
	return ERR_OK;
}

uint64_t
journal_durable(const struct journal *journal)
{
	return journal->durable;
}

uint64_t
journal_flushed_bytes(const struct journal *journal)
{
	return journal->flushed_bytes;
}

uint64_t
journal_wall_us(const struct journal *journal)
{
	return journal->wall_us;
}

uint64_t
journal_recovered_end(const struct journal *journal)
{
	return journal->recovered_end;
}

const uint8_t *
journal_uuid(const struct journal *journal)
{
	return journal->uuid;
}

void
journal_stats(const struct journal *journal, struct journal_stats *ret_stats)
{
	const struct journal_segment *segment, *newest = journal_newest(journal);
	const struct journal_item *item;

	*ret_stats = journal->stats;
	TAILQ_FOREACH(item, &journal->items, link)
		if (item->txn_count > 0) {
			ret_stats->lag_ns = mono_since_ns(journal->now.mono, item->since);
			break;
		}
	TAILQ_FOREACH(item, &journal->items, link)
		ret_stats->lag_bytes += item->bytes.len;
	TAILQ_FOREACH(segment, &journal->segments, link)
		ret_stats->suspects += segment->suspect;
	if (newest != NULL)
		ret_stats->oldest_us = TAILQ_FIRST(&journal->segments)->begun_us;
	ret_stats->reserve = journal_reserve(journal, JOURNAL_NEW_MAIL);
	flush_log_get(&journal->flushes, &ret_stats->flush);
}

void
journal_set_live(struct journal *journal, uint64_t bytes)
{
	journal->live_bytes = bytes;
}

void
journal_stop(struct journal *journal)
{
	journal->is_stopping = true;
}

bool
journal_is_idle(const struct journal *journal)
{
	const struct journal_item *item = TAILQ_FIRST(&journal->items);

	if (journal->is_stopping && journal->state == JOURNAL_OPEN && !journal->proven)
		return false;
	return !journal->writing && journal->landed == NULL && !journal->preparing
		&& !journal->dropping && !journal->room.is_looking
		&& (item == NULL || (item->open && item->count == 0));
}

bool
journal_is_settled(const struct journal *journal)
{
	const struct journal_spare *spare;

	TAILQ_FOREACH(spare, &journal->spares, link)
	if (spare->fate != JOURNAL_FATE_REUSE)
		return false;
	return journal_is_idle(journal) && journal->proven;
}
