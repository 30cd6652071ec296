/*
 * checkpoint.c - the index as a file, so that a start need not read the whole journal
 * (docs/store.md)
 *
 * journal/index-LSN has entries as a footer has them, in blocks of 64 KiB with a checksum each;
 * with what the journal has from LSN on it makes the whole index. It is written in the background,
 * a block at a
 * time, while the index goes on changing: an entry is what is durable when its block is made, and
 * applying
 * records that it has seen already changes nothing. It is a cache: bad or missing, an older one
 * serves,
 * then footers and records.
 *
 * Written when the journal has grown by CHECKPOINT_GROWTH times its size, when a scrub has found
 * damage, and at a clean stop; the last two are kept.
 */
#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/wire.h"
#include "store/store_priv.h"

#include <stdio.h>
#include <stdlib.h>

#define BLOCK_MAGIC 0x504b434fu /* "OCKP" */
#define CHECKPOINT_RETRY_NS (60 * NS_PER_S)

enum {
	BLOCK_SIZE = 65536,
	BLOCK_HEADER = 64,
	BLOCK_ENTRIES = (BLOCK_SIZE - BLOCK_HEADER) / SUMMARY_ENTRY,
	BLOCK_LAST = 1,
	BLOCK_VERSION = 1,
	CHECKPOINT_READ = 16 * BLOCK_SIZE,
	CHECKPOINT_GROWTH = 8,
	CHECKPOINT_RATE_MS = 50000, /* bytes that a disk takes in a millisecond, for the estimate */
	CHECKPOINT_SEGMENTS = 4, /* or so many segments, if that is more */
	CHECKPOINTS_KEPT = 2,
};

_Static_assert((int)BLOCK_SIZE == (int)STORE_CHECKPOINT_BLOCK, "blocks of checkpoints");

/* Places in a block's header. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 4,
	AT_FLAGS = 6,
	AT_LSN = 8,
	AT_UUID = 16,
	AT_NUMBER = 32,
	AT_COUNT = 40,
	AT_ENTRIES = 48, /* of all blocks up to this one */
	AT_SUM = 56,
};

struct block {
	uint64_t lsn, number, entries;
	uint32_t count;
	bool is_last;
	struct slice bytes; /* its entries */
};

static uint64_t
block_sum(const uint8_t *block)
{
	return hash_bytes_seeded(slice_make(block + BLOCK_HEADER, BLOCK_SIZE - BLOCK_HEADER),
		hash_bytes(slice_make(block, AT_SUM)));
}

static bool
block_decode(const struct store *store, struct slice bytes, struct block *ret_block)
{
	const uint8_t *at = bytes.ptr;
	bool trusts = store_plant_is_on(store, JOURNAL_PLANT_HALF_CHECKPOINT);

	if (bytes.len < BLOCK_SIZE || wire_load_u32(at + AT_MAGIC) != BLOCK_MAGIC
		|| wire_load_u16(at + AT_VERSION) != BLOCK_VERSION
		|| memcmp(at + AT_UUID, journal_uuid(store->journal), RECORD_UUID_SIZE) != 0
		|| (wire_load_u64(at + AT_SUM) != block_sum(at) && !trusts)
		|| wire_load_u32(at + AT_COUNT) > BLOCK_ENTRIES)
		return false;
	*ret_block = (struct block) { .lsn = wire_load_u64(at + AT_LSN),
		.number = wire_load_u64(at + AT_NUMBER),
		.entries = wire_load_u64(at + AT_ENTRIES),
		.count = wire_load_u32(at + AT_COUNT),
		.is_last = (wire_load_u16(at + AT_FLAGS) & BLOCK_LAST) != 0 };
	ret_block->bytes = slice_make(at + BLOCK_HEADER, (size_t)ret_block->count * SUMMARY_ENTRY);
	return true;
}

static void
block_seal(struct store *store, uint32_t count, bool is_last)
{
	struct store_checkpoint *checkpoint = &store->checkpoint;
	uint8_t *at = checkpoint->bytes.ptr;
	size_t used = checkpoint->bytes.len;

	CHECK(buf_reserve(&checkpoint->bytes, BLOCK_SIZE - used) == ERR_OK);
	at = checkpoint->bytes.ptr;
	memset(at + used, 0, BLOCK_SIZE - used);
	checkpoint->bytes.len = BLOCK_SIZE;
	wire_store_u32(at + AT_MAGIC, BLOCK_MAGIC);
	wire_store_u16(at + AT_VERSION, BLOCK_VERSION);
	wire_store_u16(at + AT_FLAGS, is_last ? BLOCK_LAST : 0);
	wire_store_u64(at + AT_LSN, checkpoint->lsn);
	memcpy(at + AT_UUID, journal_uuid(store->journal), RECORD_UUID_SIZE);
	wire_store_u64(at + AT_NUMBER, checkpoint->block);
	wire_store_u32(at + AT_COUNT, count);
	wire_store_u32(at + AT_COUNT + 4, 0);
	wire_store_u64(at + AT_ENTRIES, checkpoint->entries);
	wire_store_u64(at + AT_SUM, block_sum(at));
}

static void
checkpoint_name(uint64_t lsn, char name[DISK_NAME_SIZE])
{
	(void)snprintf(name, DISK_NAME_SIZE, "%016llx", (unsigned long long)lsn);
}

static void
checkpoint_submit(struct store *store, enum disk_op_kind kind, uint64_t offset, uint64_t length,
	uint64_t lsn, disk_done_fn *done)
{
	struct store_checkpoint *checkpoint = &store->checkpoint;
	struct buf list = checkpoint->op.list;

	buf_clear(&list);
	checkpoint->op = (struct disk_op) { .kind = kind,
		.area = DISK_AREA_INDEX,
		.offset = offset,
		.length = length,
		.bytes = buf_slice(&checkpoint->bytes),
		.list = list,
		.done = done,
		.ctx = store };
	checkpoint_name(lsn, checkpoint->op.name);
	checkpoint->is_busy = true;
	store->op_count++;
	disk_submit(store->options.disk, &checkpoint->op);
}

static void
checkpoint_came(struct store *store)
{
	store->checkpoint.is_busy = false;
	store->op_count--;
}

/* --- writing ---------------------------------------- */

/* Entries of one message, as far as it is durable; returns how many. */
static uint32_t
checkpoint_put(struct store *store, store_ref ref, struct buf *buf)
{
	const struct index_slot *slot = index_slot(&store->index, ref);
	const struct cache_entry *known = cache_find(&store->cache, ref);
	struct summary_entry entry = { .queue_id = slot->queue_id,
		.lsn = slot->message_lsn,
		.value = slot->arrival_us,
		.due_s = index_fingerprint(slot),
		.size = slot->message_size,
		.type = RECORD_MESSAGE };
	size_t before = buf->len;
	const struct cache_item *item;

	if (!slot->is_durable)
		return 0;
	summary_put(buf, &entry);
	if (known != NULL && known->large != 0) {
		entry.type = SUMMARY_LARGE;
		entry.value = known->large;
		entry.due_s = 0;
		summary_put(buf, &entry);
	}
	if (slot->state_lsn != 0) {
		entry.type = RECORD_PLACE;
		entry.value = slot->state_lsn;
		entry.size = slot->state_size;
		entry.due_s = slot->due_s;
		entry.flags = slot->flags;
		summary_put(buf, &entry);
	}
	if (known != NULL)
		TAILQ_FOREACH(item, &known->items, link)
		{
			if (!item->is_durable || item->type != RECORD_RESULT)
				break;
			entry = (struct summary_entry) { .queue_id = slot->queue_id,
				.lsn = item->lsn,
				.size = item->size,
				.type = RECORD_RESULT };
			summary_put(buf, &entry);
		}
	if (known != NULL)
		TAILQ_FOREACH(item, &known->unknowns, link)
		{
			entry = (struct summary_entry) { .queue_id = slot->queue_id,
				.lsn = item->lsn,
				.value = item->type,
				.size = item->size,
				.type = SUMMARY_UNKNOWN,
				.flags = (uint8_t)item->flags };
			summary_put(buf, &entry);
		}
	return (uint32_t)((buf->len - before) / SUMMARY_ENTRY);
}

static void checkpoint_write(struct store *store);

/* To be removed; if there are too many, the next start finds the rest. */
static void
checkpoint_stale(struct store_checkpoint *checkpoint, uint64_t lsn, bool is_temporary)
{
	if (checkpoint->stale_count < CHECKPOINT_NAMES)
		checkpoint->stale[checkpoint->stale_count++] =
			(struct store_stale) { .lsn = lsn, .is_temporary = is_temporary };
}

static void
checkpoint_give_up(struct store *store, const struct disk_op *op)
{
	struct store_checkpoint *checkpoint = &store->checkpoint;

	store_notice(store,
		"store: cannot write a checkpoint: %s; the next "
		"start reads more of the journal",
		err_meaning(op->err));
	checkpoint->is_writing = false;
	checkpoint->next = mono_add_ns(store->now.mono, CHECKPOINT_RETRY_NS);
	checkpoint_stale(checkpoint, checkpoint->lsn, true);
}

static void
checkpoint_removed(void *ctx, struct disk_op *op)
{
	(void)op;
	checkpoint_came(ctx);
}

static void
checkpoint_finished(void *ctx, struct disk_op *op)
{
	struct store *store = ctx;
	struct store_checkpoint *checkpoint = &store->checkpoint;

	checkpoint_came(store);
	if (op->err < 0) {
		checkpoint_give_up(store, op);
		return;
	}
	checkpoint->is_writing = false;
	if (checkpoint->is_wrong) {
		checkpoint_stale(checkpoint, checkpoint->lsn, false);
		return;
	}
	checkpoint->last_lsn = checkpoint->lsn;
	checkpoint->made_at = store->now.mono;
	checkpoint->last_size = checkpoint->offset;
	while (checkpoint->name_count >= CHECKPOINTS_KEPT)
		checkpoint_stale(checkpoint, checkpoint->names[--checkpoint->name_count], false);
	memmove(&checkpoint->names[1], &checkpoint->names[0],
		checkpoint->name_count * sizeof(checkpoint->names[0]));
	checkpoint->names[0] = checkpoint->lsn;
	checkpoint->name_count++;
}

static void
checkpoint_written(void *ctx, struct disk_op *op)
{
	struct store *store = ctx;
	struct store_checkpoint *checkpoint = &store->checkpoint;

	checkpoint_came(store);
	if (op->err < 0) {
		checkpoint_give_up(store, op);
		return;
	}
	checkpoint->offset += op->bytes.len;
	checkpoint->written += op->bytes.len;
	journal_spend(store->journal, op->bytes.len);
	checkpoint->block++;
	if (checkpoint->cursor == 0)
		checkpoint_submit(
			store, DISK_FILE_FINISH, 0, 0, checkpoint->lsn, checkpoint_finished);
	else
		checkpoint_write(store);
}

/* The next block. What a message of very many results leaves over begins the one behind it. */
static void
checkpoint_write(struct store *store)
{
	struct store_checkpoint *checkpoint = &store->checkpoint;
	static const uint8_t header[BLOCK_HEADER];
	uint32_t count = 0;

	buf_clear(&checkpoint->bytes);
	buf_add(&checkpoint->bytes, slice_make(header, sizeof(header)));
	while (count < BLOCK_ENTRIES) {
		size_t before = checkpoint->bytes.len;
		store_ref ref = index_next(&store->index, checkpoint->cursor);
		uint32_t more = ref != 0 ? checkpoint_put(store, ref, &checkpoint->bytes) : 0;

		if (count + more > BLOCK_ENTRIES) {
			checkpoint->bytes.len = before;
			if (count > 0)
				break;			/* it comes first in the next one */
			checkpoint->is_writing = false; /* too much for any */
			checkpoint->next = mono_add_ns(store->now.mono, CHECKPOINT_RETRY_NS);
			return;
		}
		count += more;
		checkpoint->cursor = ref;
		if (ref == 0)
			break;
	}
	checkpoint->entries += count;
	block_seal(store, count, checkpoint->cursor == 0);
	checkpoint_submit(store, DISK_FILE_APPEND, checkpoint->offset, 0, checkpoint->lsn,
		checkpoint_written);
}

static uint64_t
checkpoint_size(const struct store *store)
{
	return 2 * SUMMARY_ENTRY * store_count(store);
}

static bool
checkpoint_may_begin(const struct store *store)
{
	const struct store_checkpoint *checkpoint = &store->checkpoint;

	return store->phase == STORE_COMPLETE && !checkpoint->is_writing && !checkpoint->is_busy
	       && !checkpoint->is_wrong && store->now.mono.ns >= checkpoint->next.ns
	       && journal_state(store->journal) == JOURNAL_OPEN && journal_has_room(store->journal)
	       && journal_durable(store->journal) > checkpoint->last_lsn;
}

/* At a stop: when it would be there in time. */
static bool
checkpoint_fits(const struct store *store)
{
	uint64_t ns = checkpoint_size(store) / CHECKPOINT_RATE_MS * NS_PER_MS;

	return store->now.mono.ns + ns <= store->stop_by.ns;
}

bool
checkpoint_holds_stop(const struct store *store)
{
	const struct store_checkpoint *checkpoint = &store->checkpoint;

	if (!store->is_stopping)
		return false;
	return checkpoint->is_writing || (checkpoint_may_begin(store) && checkpoint_fits(store));
}

/*
 * At a stop the last batch is proven first: then a start has nothing to read behind it. What comes
 * after it makes another one.
 */
static bool
checkpoint_pays(const struct store *store)
{
	const struct store_checkpoint *checkpoint = &store->checkpoint;
	uint64_t grown = journal_durable(store->journal) - checkpoint->last_lsn;

	if (!checkpoint_may_begin(store))
		return false;
	if (store->is_stopping)
		return checkpoint_fits(store) && journal_is_idle(store->journal);
	return checkpoint->is_wanted
	       || grown >= num_max_u64(CHECKPOINT_GROWTH * checkpoint_size(store),
			  CHECKPOINT_SEGMENTS * store->options.segment_size);
}

void
checkpoint_distrust(struct store *store)
{
	struct store_checkpoint *checkpoint = &store->checkpoint;

	checkpoint->is_wrong = true;
	while (checkpoint->name_count > 0)
		checkpoint_stale(checkpoint, checkpoint->names[--checkpoint->name_count], false);
}

static bool
checkpoint_may_remove(const struct store *store)
{
	const struct store_checkpoint *checkpoint = &store->checkpoint;

	return store->phase == STORE_COMPLETE && checkpoint->stale_count > 0
	       && !checkpoint->is_writing && !checkpoint->is_busy;
}

static void
checkpoint_remove(struct store *store)
{
	struct store_checkpoint *checkpoint = &store->checkpoint;
	struct store_stale stale = checkpoint->stale[--checkpoint->stale_count];

	checkpoint->op = (struct disk_op) { .kind = DISK_FILE_REMOVE,
		.area = DISK_AREA_INDEX,
		.list = checkpoint->op.list,
		.done = checkpoint_removed,
		.ctx = store };
	(void)snprintf(checkpoint->op.name, DISK_NAME_SIZE, "%016llx%s",
		(unsigned long long)stale.lsn, stale.is_temporary ? DISK_TEMPORARY : "");
	checkpoint->is_busy = true;
	store->op_count++;
	disk_submit(store->options.disk, &checkpoint->op);
}

bool
checkpoint_is_due(const struct store *store)
{
	return checkpoint_may_remove(store) || checkpoint_pays(store);
}

void
checkpoint_step(struct store *store)
{
	struct store_checkpoint *checkpoint = &store->checkpoint;

	if (checkpoint_may_remove(store)) {
		checkpoint_remove(store);
		return;
	}
	if (!checkpoint_pays(store))
		return;
	checkpoint->is_writing = true;
	checkpoint->is_wanted = false;
	checkpoint->lsn = journal_durable(store->journal);
	checkpoint->cursor = 0;
	checkpoint->block = checkpoint->offset = checkpoint->entries = 0;
	checkpoint_write(store);
}

void
checkpoint_free(struct store *store)
{
	buf_done(&store->checkpoint.bytes);
	buf_done(&store->checkpoint.op.list);
}

/* --- loading ---------------------------------------- */

static void checkpoint_try(struct store *store);

static void
checkpoint_replay(struct store *store, uint64_t from)
{
	if (from != 0 && store_plant_is_on(store, JOURNAL_PLANT_SHORT_REPLAY))
		from += store->options.segment_size / 4;
	store->phase = STORE_REPLAYING;
	journal_replay(store->journal, from);
}

static void
checkpoint_bad(struct store *store, const char *why)
{
	struct store_checkpoint *checkpoint = &store->checkpoint;

	store_notice(store, "store: checkpoint index-%016llx %s; doing without it",
		(unsigned long long)checkpoint->lsn, why);
	checkpoint->name_next++;
	checkpoint_try(store);
}

/* Blocks that came; false: they are not what must follow. */
static bool
checkpoint_apply(struct store *store, struct slice bytes, bool *ret_last)
{
	struct store_checkpoint *checkpoint = &store->checkpoint;
	struct block block;

	while (bytes.len > 0 && !*ret_last) {
		struct summary_entry entry;

		if (!block_decode(store, bytes, &block) || block.lsn != checkpoint->lsn
			|| block.number != checkpoint->block
			|| block.entries != checkpoint->entries + block.count)
			return false;
		while (summary_next(&block.bytes, &entry) == ERR_OK)
			store_apply(store, &entry);
		checkpoint->block++;
		checkpoint->entries = block.entries;
		*ret_last = block.is_last;
		bytes = slice_from(bytes, BLOCK_SIZE);
	}
	return true;
}

static void
checkpoint_loaded(void *ctx, struct disk_op *op)
{
	struct store *store = ctx;
	struct store_checkpoint *checkpoint = &store->checkpoint;
	struct slice bytes = buf_slice(&op->list);
	uint64_t from = checkpoint->lsn;
	bool is_last = false;

	checkpoint_came(store);
	if (op->err < 0) {
		checkpoint_bad(store, err_meaning(op->err));
		return;
	}
	if ((bytes.len == 0 || !checkpoint_apply(store, bytes, &is_last))
		&& !store_plant_is_on(store, JOURNAL_PLANT_HALF_CHECKPOINT)) {
		checkpoint_bad(store, "is damaged");
		return;
	}
	checkpoint->offset += bytes.len;
	if (!is_last && bytes.len == CHECKPOINT_READ) {
		checkpoint_submit(store, DISK_FILE_READ, checkpoint->offset, CHECKPOINT_READ,
			checkpoint->lsn, checkpoint_loaded);
		return;
	}
	if (!is_last && !store_plant_is_on(store, JOURNAL_PLANT_HALF_CHECKPOINT)) {
		checkpoint_bad(store, "has no end");
		return;
	}
	checkpoint->last_lsn = checkpoint->lsn;
	checkpoint->made_at = store->now.mono;
	checkpoint->last_size = checkpoint->offset;
	if (store_plant_is_on(store, JOURNAL_PLANT_OLD_CHECKPOINT))
		from = checkpoint->names[0];
	checkpoint_replay(store, from);
}

/* The next one, newest first. */
static void
checkpoint_try(struct store *store)
{
	struct store_checkpoint *checkpoint = &store->checkpoint;

	if (checkpoint->name_next == 0 && checkpoint->name_count > 1
		&& store_plant_is_on(store, JOURNAL_PLANT_OLD_CHECKPOINT))
		checkpoint->name_next = 1;
	while (checkpoint->name_next < checkpoint->name_count
		&& checkpoint->names[checkpoint->name_next] > journal_recovered_end(store->journal))
		checkpoint->name_next++;
	if (checkpoint->name_next >= checkpoint->name_count) {
		checkpoint_replay(store, 0);
		return;
	}
	checkpoint->lsn = checkpoint->names[checkpoint->name_next];
	checkpoint->block = checkpoint->offset = checkpoint->entries = 0;
	checkpoint_submit(
		store, DISK_FILE_READ, 0, CHECKPOINT_READ, checkpoint->lsn, checkpoint_loaded);
}

static int
checkpoint_compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x > *y ? -1 : *x < *y;
}

/* LSN of a checkpoint's name; 0: it is none. */
static uint64_t
checkpoint_lsn_of(struct slice name)
{
	uint64_t lsn = 0;

	if (name.len != 16)
		return 0;
	for (size_t i = 0; i < name.len; i++) {
		char digit = (char)name.ptr[i];

		if (digit >= '0' && digit <= '9')
			lsn = lsn * 16 + (uint64_t)(digit - '0');
		else if (digit >= 'a' && digit <= 'f')
			lsn = lsn * 16 + (uint64_t)(digit - 'a') + 10;
		else
			return 0;
	}
	return lsn;
}

static void
checkpoint_listed(void *ctx, struct disk_op *op)
{
	struct store *store = ctx;
	struct store_checkpoint *checkpoint = &store->checkpoint;
	struct wire_reader reader = wire_reader(buf_slice(&op->list));

	checkpoint_came(store);
	while (reader.rest.len > 0 && !reader.failed) {
		struct slice name = wire_get_bytes(&reader);
		uint64_t lsn = checkpoint_lsn_of(name), left = 0;

		if (name.len > 16 && slice_equal_str(slice_from(name, 16), DISK_TEMPORARY))
			left = checkpoint_lsn_of(slice_head(name, 16));
		if (left != 0) /* by a kill, or a disk that was full */
			checkpoint_stale(checkpoint, left, true);
		if (lsn != 0 && checkpoint->name_count < CHECKPOINT_NAMES)
			checkpoint->names[checkpoint->name_count++] = lsn;
	}
	if (checkpoint->name_count > 0)
		qsort(checkpoint->names, checkpoint->name_count, sizeof(checkpoint->names[0]),
			checkpoint_compare);
	checkpoint_try(store);
}

bool
store_checkpoint_check(const struct store *store, struct slice bytes, uint64_t lsn,
	uint64_t number, bool *ret_last)
{
	struct block block;

	if (!block_decode(store, bytes, &block) || block.lsn != lsn || block.number != number)
		return false;
	*ret_last = block.is_last;
	return true;
}

void
checkpoint_load(struct store *store)
{
	buf_init(&store->checkpoint.bytes, 0);
	if (store->options.reads_all) {
		checkpoint_replay(store, 0);
		return;
	}
	checkpoint_submit(store, DISK_FILE_LIST, 0, 0, 0, checkpoint_listed);
}
