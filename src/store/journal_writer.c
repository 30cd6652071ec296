/*
 * journal_writer.c - from open batches to stable storage, one write at a time (see journal.h)
 *
 * Items wait in one queue and go out in order: batches, and headers of new segments. The place of
 * every record is fixed when it is appended, because the length of each item before it is fixed
 * by then.
 *
 * Change of segment, in this order on disk: the footer of the old one, header of the new one (its
 * cut is the end of the old one's batches), an empty closing batch behind that cut which names the
 * footer, then the first batch of the new one. So a closing batch on disk proves that a successor
 * existed, and a missing newest segment is noticed. Room for the footer is kept free all the time.
 */
#include "base/check.h"
#include "base/mem.h"
#include "base/num.h"
#include "store/journal_priv.h"

#include <errno.h>

enum { FOOTER_CHUNK = 98304 * SUMMARY_ENTRY }; /* bytes of entries in a batch */

#define JOURNAL_RETRY_MIN_NS (100 * NS_PER_MS)
#define JOURNAL_RETRY_MAX_NS (30 * NS_PER_S)

static void journal_write_done(void *ctx, struct disk_op *op);

/* --- items ------------------------------------------------------------------------------------ */

/* Room for `more` bytes of an item, which the disk can take as they lie (disk.h). */
static void
journal_item_room(struct journal_item *item, size_t more)
{
	buf_reserve_aligned(&item->bytes, more, RECORD_BLOCK);
}

/*
 * Memory of a batch that was written before: it has grown already, and its pages are there. Fresh
 * memory costs more than filling it. One that was longer than most goes.
 */
static struct buf
journal_bytes_take(struct journal *journal)
{
	struct buf bytes;

	buf_init(&bytes, RECORD_BATCH_MAX);
	if (journal->bytes_count > 0)
		bytes = journal->bytes[--journal->bytes_count];
	return bytes;
}

static void
journal_bytes_put(struct journal *journal, struct buf *bytes)
{
	if (journal->bytes_count == JOURNAL_BYTES_KEPT || bytes->cap > JOURNAL_JOIN_MAX) {
		buf_done(bytes);
		return;
	}
	buf_clear(bytes);
	journal->bytes[journal->bytes_count++] = *bytes;
}

static struct journal_item *
journal_item_add(struct journal *journal, enum journal_item_kind kind,
	struct journal_segment *segment, uint64_t lsn)
{
	struct journal_item *item = MEM_NEW(struct journal_item);

	item->kind = kind;
	item->segment = segment;
	item->lsn = lsn;
	item->bytes = journal_bytes_take(journal);
	journal_item_room(item, RECORD_BLOCK);
	if (kind == JOURNAL_ITEM_BATCH)
		batch_begin(&item->bytes);
	TAILQ_INSERT_TAIL(&journal->items, item, link);
	return item;
}

static void
journal_item_free(struct journal *journal, struct journal_item *item)
{
	journal_bytes_put(journal, &item->bytes);
	mem_free(item->txns);
	mem_free(item);
}

/* A batch has many of these: they are an array, for want of time to allocate each. */
void
journal_item_tell(struct journal_item *item, journal_done_fn *done, void *ctx)
{
	if (item->told_count == item->told_room) {
		item->told_room = item->told_room > 0 ? 2 * item->told_room : 8;
		item->txns = mem_resize(item->txns, item->told_room, sizeof(*item->txns));
	}
	item->txns[item->told_count++] = (struct journal_txn) { .done = done, .ctx = ctx };
}

/* Tells every transaction of an item its fate, once; the item takes no more by now. */
static void
journal_item_settle(struct journal_item *item, enum journal_outcome outcome)
{
	uint32_t count = item->told_count;

	item->told_count = 0;
	for (uint32_t i = 0; i < count; i++)
		item->txns[i].done(item->txns[i].ctx, outcome);
}

static uint64_t
journal_item_end(const struct journal_item *item)
{
	return item->lsn + num_align_u64(item->bytes.len, RECORD_BLOCK);
}

/* No more appends: the place of what follows is fixed. */
void
journal_item_close(struct journal_item *item)
{
	item->open = false;
	item->segment->end = journal_item_end(item);
}

/* Blocks of a footer of `bytes` of entries, in batches of FOOTER_CHUNK. */
static uint64_t
journal_footer_size(uint64_t bytes)
{
	uint64_t whole = bytes / FOOTER_CHUNK, rest = bytes % FOOTER_CHUNK;
	uint64_t frame = RECORD_BATCH_HEADER + RECORD_HEADER;

	return whole * num_align_u64(FOOTER_CHUNK + frame, RECORD_BLOCK)
		+ (rest > 0 ? num_align_u64(rest + frame, RECORD_BLOCK) : 0);
}

/*
 * LSN below which batches with `count` more records must end: behind it footer and closing
 * batch.
 */
static uint64_t
journal_segment_limit(const struct journal_segment *segment, size_t count)
{
	uint64_t entries = segment->footer.len + count * SUMMARY_PER_RECORD * SUMMARY_ENTRY;
	uint64_t behind = journal_footer_size(entries) + RECORD_BLOCK;

	return behind < segment->size ? segment->base + segment->size - behind : segment->base;
}

/* Whether more records fit into an item. */
static bool
journal_item_fits(const struct journal_item *item, size_t bytes, size_t count)
{
	uint64_t len = item->bytes.len + bytes;

	return len <= (item->txn_count == 0 ? RECORD_BATCH_MAX : JOURNAL_JOIN_MAX)
		&& item->lsn + num_align_u64(len, RECORD_BLOCK)
		<= journal_segment_limit(item->segment, count);
}

/* --- segments --------------------------------------------------------------------------------- */

/* The first batch of a segment repeats all named values, so that older ones can go. */
static void
journal_nodes_put(struct journal *journal, struct journal_item *item)
{
	const struct journal_node *node;

	journal_item_room(item, journal_nodes_size(journal));
	TAILQ_FOREACH(node, &journal->nodes, link) {
		struct record_node value = { buf_slice(&node->key), buf_slice(&node->value) };
		struct record record = { .type = RECORD_NODE };
		struct buf payload;

		buf_init(&payload, 0);
		record_node_encode(&payload, &value);
		record.payload = buf_slice(&payload);
		(void)record_put(&item->bytes, &record);
		item->count++;
		buf_done(&payload);
	}
}

static uint64_t
journal_base_next(const struct journal *journal)
{
	const struct journal_segment *last = journal_newest(journal);

	return num_max_u64(journal->base_next, last != NULL ? last->base + last->size : 0);
}

/* Takes a spare file into force behind all others and queues its header. */
static struct journal_segment *
journal_segment_begin(struct journal *journal, struct journal_spare *spare, uint64_t cut)
{
	struct journal_segment *segment = MEM_NEW(struct journal_segment);
	struct journal_item *item;

	segment->slot = spare->slot;
	segment->sequence = ++journal->sequence;
	segment->generation = ++journal->generation;
	segment->size = journal->options.segment_size;
	segment->file_size = journal->options.appends ? 0 : segment->size;
	segment->begun_us = num_max_u64(journal->now.wall.us, journal->wall_us);
	segment->base = num_max_u64(journal_base_next(journal), num_align_u64(cut, RECORD_BLOCK));
	segment->is_blank = spare->is_blank;
	segment->has_footer = true;
	segment->takes_long = journal->minor >= RECORD_FORMAT_LONG;
	segment->takes_brief = journal->minor >= RECORD_FORMAT_BRIEF;
	buf_init(&segment->footer, 0);
	segment->end = segment->base + RECORD_BLOCK;
	TAILQ_REMOVE(&journal->spares, spare, link);
	mem_free(spare);
	journal_segment_add(journal, segment);
	item = journal_item_add(journal, JOURNAL_ITEM_HEADER, segment, segment->base);
	item->cut = journal_plant_is_on(journal, JOURNAL_PLANT_NO_CUT) ? segment->base : cut;
	return segment;
}

static struct journal_item *
journal_batch_begin(struct journal *journal, struct journal_segment *segment)
{
	struct journal_item *item =
		journal_item_add(journal, JOURNAL_ITEM_BATCH, segment, segment->end);

	item->open = true;
	if (segment->end == segment->base + RECORD_BLOCK)
		journal_nodes_put(journal, item);
	return item;
}

/* The batches of a segment's footer; returns the LSN of the first, 0: it has no footer. */
static uint64_t
journal_footer_put(struct journal *journal, struct journal_segment *segment)
{
	struct slice rest = buf_slice(&segment->footer);
	uint64_t first = rest.len > 0 && segment->has_footer ? segment->end : 0;

	while (first != 0 && rest.len > 0) {
		struct record record = { .type = RECORD_FOOTER,
			.payload = slice_head(rest, FOOTER_CHUNK) };
		struct journal_item *item =
			journal_item_add(journal, JOURNAL_ITEM_BATCH, segment, segment->end);

		journal_item_room(item, record_size(record.payload.len));
		(void)record_put(&item->bytes, &record);
		item->count = 1;
		journal_item_close(item);
		journal->stats.footers += item->bytes.len;
		rest = slice_from(rest, record.payload.len);
	}
	buf_done(&segment->footer);
	buf_init(&segment->footer, 0);
	return first;
}

/* Footer, header of the next segment, then the closing batch of this one. NULL: no spare for this
 * class. */
static struct journal_segment *
journal_segment_switch(struct journal *journal, enum journal_class class)
{
	struct journal_segment *old = journal_newest(journal), *segment;
	struct journal_spare *spare = journal_spare_for(journal, class);
	struct journal_item *closing;
	uint64_t footer;

	if (spare == NULL)
		return NULL;
	footer = journal_footer_put(journal, old);
	segment = journal_segment_begin(journal, spare, old->end);
	closing = journal_item_add(journal, JOURNAL_ITEM_BATCH, old, old->end);
	closing->flags = BATCH_LAST;
	closing->successor = segment->sequence;
	closing->footer = footer;
	return segment;
}

struct journal_item *
journal_writer_open_item(
	struct journal *journal, size_t bytes, size_t count, enum journal_class class)
{
	struct journal_item *item = TAILQ_LAST(&journal->items, journal_items);
	struct journal_segment *segment = journal_newest(journal);
	uint64_t need = num_align_u64(RECORD_BATCH_HEADER + bytes, RECORD_BLOCK);

	if (item != NULL && item->open) {
		if (journal_item_fits(item, bytes, count)) {
			journal_item_room(item, bytes);
			return item;
		}
		journal_item_close(item);
	}
	if (segment->end + need > journal_segment_limit(segment, count)) {
		segment = journal_segment_switch(journal, class);
		if (segment == NULL)
			return NULL;
		CHECK(segment->end + need + journal_nodes_size(journal) + RECORD_BLOCK
			<= journal_segment_limit(segment, count));
	}
	item = journal_batch_begin(journal, segment);
	journal_item_room(item, bytes);
	return item;
}

uint64_t
journal_brief_segment(const struct journal *journal, size_t bytes)
{
	const struct journal_item *item = TAILQ_LAST(&journal->items, journal_items);
	const struct journal_segment *segment = journal_newest(journal);
	bool is_open = item != NULL && item->open;
	uint64_t end, need = num_align_u64(RECORD_BATCH_HEADER + bytes, RECORD_BLOCK);

	if (journal->state != JOURNAL_OPEN || segment == NULL || !segment->takes_brief)
		return JOURNAL_NO_SEGMENT;
	if (is_open && journal_item_fits(item, bytes, 1))
		return segment->base;
	end = is_open ? journal_item_end(item) : segment->end;
	return end + need <= journal_segment_limit(segment, 1) ? segment->base
									  : JOURNAL_NO_SEGMENT;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void
journal_seal_header(struct journal *journal, struct journal_item *item)
{
	struct segment_header header = {
		.sequence = item->segment->sequence,
		.base = item->segment->base,
		.cut = item->cut,
		.first = journal_plant_is_on(journal, JOURNAL_PLANT_EARLY_REUSE)
			? journal->durable_first
			: num_min_u64(journal_first(journal), item->segment->base),
		.size = item->segment->size,
		.generation = item->segment->generation,
	};
	uint8_t block[RECORD_BLOCK];

	journal_format_fill(journal, &header);
	if (header.minor > 0 && item->segment->is_blank)
		header.features_may |= RECORD_FEATURE_BLANK;
	memcpy(header.uuid, journal->uuid, sizeof(header.uuid));
	segment_header_encode(&header, block);
	buf_clear(&item->bytes);
	buf_add(&item->bytes, slice_make(block, sizeof(block)));
}

static void
journal_seal_batch(struct journal *journal, struct journal_item *item)
{
	struct batch_header header = {
		.epoch = journal->options.epoch,
		.lsn = item->lsn,
		.count = item->count,
		.flags = item->flags,
		.previous = journal->previous_sum,
		.durable = journal->durable,
		.first = journal_plant_is_on(journal, JOURNAL_PLANT_EARLY_REUSE)
			? journal->durable_first
			: journal_first(journal),
		.wall_us = num_max_u64(journal->now.wall.us, journal->wall_us),
		.successor = item->successor,
		.footer = item->footer,
	};

	if (item->open)
		journal_item_close(item);
	batch_seal(&item->bytes, &header);
	journal->wall_us = header.wall_us;
	journal->written_first = header.first;
	journal->written_sum = header.sum;
}

static void
journal_transmit(struct journal *journal, struct journal_item *item)
{
	struct disk_op *op = &journal->write_op;

	CHECK(!journal->writing);
	if (item->kind == JOURNAL_ITEM_HEADER)
		journal_seal_header(journal, item);
	else
		journal_seal_batch(journal, item);
	*op = (struct disk_op){ .kind = DISK_WRITE, .slot = item->segment->slot,
		.offset = item->lsn - item->segment->base, .bytes = buf_slice(&item->bytes),
		.flush = true, .done = journal_write_done, .ctx = journal };
	journal->writing = true;
	journal->sent_at = journal->now.mono;
	disk_submit(journal->options.disk, op);
	if (journal_plant_is_on(journal, JOURNAL_PLANT_EARLY_ACK))
		journal_item_settle(item, JOURNAL_DURABLE);
}

/*
 * Drops all that is queued, and every segment that holds nothing durable. Their files are removed:
 * those of a retry at once, so that a disk that fails for long does not fill up with them; the
 * first one may be named by a closing batch, and stays until a newer segment is in force; it may
 * hold mail, too, and is zeroed if that is wanted. Where segments are appended the disk may just
 * be full: then what is durable in the newest one is as good as ever.
 */
static void
journal_cut(struct journal *journal, bool is_retry, bool is_full, struct journal_items *ret_refused)
{
	struct journal_segment *segment;

	TAILQ_INIT(ret_refused);
	TAILQ_CONCAT(ret_refused, &journal->items, link);
	while ((segment = journal_newest(journal)) != NULL && segment->base >= journal->durable
		&& segment != TAILQ_FIRST(&journal->segments)) {
		uint32_t slot = segment->slot;

		journal_segment_drop(journal, segment);
		journal_spare_add(journal, slot, 0, JOURNAL_FATE_REMOVE);
		TAILQ_LAST(&journal->spares, journal_spares)->needs_open = !is_retry;
		TAILQ_LAST(&journal->spares, journal_spares)->has_old =
			!is_retry && journal_zeroes(journal);
	}
	segment = journal_newest(journal);
	segment->suspect |= !is_full;
	segment->end = journal->durable;
	journal->sequence = segment->sequence;
}

/* A write or flush failed: nothing in flight or queued is acknowledged, the segment is cut. */
static void
journal_fault(struct journal *journal, const struct disk_op *op)
{
	struct journal_items refused;
	struct journal_item *item;
	bool first_time = journal->retry_ns == 0;

	journal->state = JOURNAL_FAULTED;
	journal->retry_ns = first_time ? JOURNAL_RETRY_MIN_NS
				       : num_min_u64(2 * journal->retry_ns, JOURNAL_RETRY_MAX_NS);
	journal->retry_at = mono_add_ns(journal->now.mono, journal->retry_ns);
	if (first_time)
		journal_notice(journal,
			"journal: write or flush failed (%s): nothing unflushed is acknowledged, "
			"trying a new segment",
			op->sys_errno != 0 ? strerrordesc_np(op->sys_errno) : err_meaning(op->err));
	journal->fault_err = op->err == ERR_NOSPACE ? ERR_NOSPACE : ERR_IO;
	journal_cut(journal, !first_time,
		journal->options.appends && journal->fault_err == ERR_NOSPACE, &refused);
	while ((item = TAILQ_FIRST(&refused)) != NULL) {
		TAILQ_REMOVE(&refused, item, link);
		journal_item_settle(item, JOURNAL_REFUSED);
		journal_item_free(journal, item);
	}
}

/* What is durable is known, before anybody is told. */
static void
journal_batch_durable(struct journal *journal, const struct journal_item *item)
{
	journal->durable = journal_item_end(item);
	journal->previous_sum = journal->written_sum;
	journal->durable_first = num_max_u64(journal->durable_first, journal->written_first);
	journal->last_urgent_count = item->urgent_count;
	journal->proven = item->txn_count == 0;
	journal->is_hint = item->txn_count > 0 && item->later_count == item->txn_count;
	journal->idle_since = journal->now.mono;
	if (journal->state == JOURNAL_FAULTED) {
		journal->retry_ns = 0;
		journal->retry_at.ns = 0;
		journal_notice(journal, "journal: writing again, in a new segment");
	}
	journal->state = JOURNAL_OPEN;
}

/*
 * A write that recovery waits for is settled as it ends; the next step tells of the others.
 */
static void
journal_write_done(void *ctx, struct disk_op *op)
{
	struct journal *journal = ctx;
	struct journal_item *item = TAILQ_FIRST(&journal->items);
	enum err err = op->err;

	CHECK(journal->writing && journal->landed == NULL && item != NULL);
	journal->writing = false;
	if (journal_plant_is_on(journal, JOURNAL_PLANT_IGNORE_ERROR))
		err = ERR_OK;
	if (err < 0 && journal->state == JOURNAL_RECOVERING) {
		journal_writer_abandon(journal);
		journal->state = JOURNAL_CLOSED;
		journal->options.callbacks->opened(journal->options.ctx, err, NULL);
		return;
	}
	if (err < 0) {
		journal_fault(journal, op);
		return;
	}
	TAILQ_REMOVE(&journal->items, item, link);
	journal->landed = item;
	if (journal->state == JOURNAL_RECOVERING)
		journal_writer_settle(journal);
}

/* Whether what comes next is complete: the disk need not stand still while callbacks run. */
static bool
journal_is_next_closed(const struct journal *journal)
{
	const struct journal_item *next = TAILQ_FIRST(&journal->items);

	return next != NULL && (!next->open || journal->state == JOURNAL_RECOVERING);
}

void
journal_writer_settle(struct journal *journal)
{
	struct journal_item *item = journal->landed;
	enum journal_state before = journal->state;
	bool is_batch = item->kind == JOURNAL_ITEM_BATCH;
	bool is_told = is_batch && (item->flags & BATCH_LAST) == 0;

	journal->landed = NULL;
	journal->stats.written += item->bytes.len;
	journal_spend(journal, item->bytes.len);
	item->segment->file_size = num_max_u64(item->segment->file_size,
		item->lsn - item->segment->base + item->bytes.len);
	journal->stats.flushes++;
	journal->stats.transactions += item->txn_count;
	journal->flushed_bytes = item->bytes.len;
	if (is_batch && before != JOURNAL_RECOVERING)
		flush_log_add(&journal->flushes,
			mono_since_ns(journal->now.mono, journal->sent_at), item->txn_count,
			item->bytes.len);
	if (is_told)
		journal_batch_durable(journal, item);
	if (journal_is_next_closed(journal))
		journal_transmit(journal, TAILQ_FIRST(&journal->items));
	if (is_told)
		journal_item_settle(item, JOURNAL_DURABLE);
	journal_item_free(journal, item);
	if (is_told && before == JOURNAL_RECOVERING)
		journal->options.callbacks->opened(journal->options.ctx, ERR_OK, NULL);
}

void
journal_writer_abandon(struct journal *journal)
{
	struct journal_item *item;

	while ((item = TAILQ_FIRST(&journal->items)) != NULL) {
		TAILQ_REMOVE(&journal->items, item, link);
		journal_item_free(journal, item);
	}
}

/* A new segment with an empty first batch; the journal is OPEN once that is durable. */
void
journal_writer_start(struct journal *journal, uint64_t cut)
{
	struct journal_spare *spare = journal_spare_ready(journal);
	struct journal_segment *segment = journal_newest(journal);

	if (segment != NULL && journal->state == JOURNAL_RECOVERING
		&& journal_plant_is_on(journal, JOURNAL_PLANT_APPEND_TAIL)
		&& segment->end + 8 * RECORD_BLOCK < segment->base + segment->size) {
		(void)journal_batch_begin(journal, segment);
		journal_transmit(journal, TAILQ_FIRST(&journal->items));
		return;
	}
	if (spare == NULL) {
		if (!journal->preparing)
			journal_prepare(journal);
		return;
	}
	segment = journal_segment_begin(journal, spare, cut);
	(void)journal_batch_begin(journal, segment);
	journal_transmit(journal, TAILQ_FIRST(&journal->items));
}

/* Whether the open batch goes now or waits for company. */
static bool
journal_item_is_due(const struct journal *journal, const struct journal_item *item)
{
	if (!item->open)
		return true;
	return item->txn_count > 0
		&& journal->now.mono.ns >= journal_gather_until_ns(journal, item);
}

/* An empty batch behind the last one says in its header that that one is durable. */
static void
journal_prove(struct journal *journal)
{
	struct journal_item *item;

	if (journal->proven || !TAILQ_EMPTY(&journal->items)
		|| journal->now.mono.ns < journal_prove_at_ns(journal))
		return;
	item = journal_writer_open_item(journal, 0, 0, JOURNAL_RESULT);
	if (item != NULL)
		journal_item_close(item);
	else
		journal->proven = true;
}

void
journal_writer_step(struct journal *journal)
{
	struct journal_item *item;

	if (journal->writing)
		return;
	if (journal->state == JOURNAL_FAULTED) {
		journal_space_step(journal);
		item = TAILQ_FIRST(&journal->items);
		if (item != NULL)
			journal_transmit(journal, item);
		else if (journal->now.mono.ns >= journal->retry_at.ns)
			journal_writer_start(journal, journal->durable);
		return;
	}
	journal_space_step(journal);
	journal_prove(journal);
	item = TAILQ_FIRST(&journal->items);
	if (item != NULL && journal_item_is_due(journal, item))
		journal_transmit(journal, item);
}
