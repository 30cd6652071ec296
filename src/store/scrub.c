/*
 * scrub.c - closed segments are read again once a week, so that damage is found in time (see
 * store.h)
 *
 * A round goes from the oldest segment to the newest closed one: header and batches, past the page
 * cache, SCRUB_RATE at most. A read waits while the journal is busy, though not for ever, and
 * while a segment is being cleaned (which reads it anyway).
 *
 * Content of its own comes behind the segments: file by file against the sums in its MESSAGE.
 * Damage of it cannot be mended; the administrator hears which message and which bytes.
 *
 * Where something is damaged, the index in memory still knows all: a checkpoint is written, so that
 * no start depends on the damaged part; what lives there is copied to a new place, from memory or
 * from its record if that is whole, else it goes the way of lost.c. The segment's file is not used
 * again.
 *
 *   waiting --a week is over--> reading --damage, at a segment's end--> mending
 *      ^---- end of the round ----'  ^--------- nothing lives there ------'
 *
 * Place and time of the last round are a named value of the journal, written at each segment's end:
 * after a restart the round goes on with the segment it was in.
 */
#include "base/check.h"
#include "base/num.h"
#include "base/wire.h"
#include "store/store_priv.h"

#define SCRUB_RATE UINT64_C(5000000)	     /* bytes a second */
#define SCRUB_PATIENCE_NS (2 * NS_PER_S)     /* so long a read waits for a quiet moment */
#define SCRUB_LOOK_NS (50 * NS_PER_MS)	     /* between two looks for one */
#define SCRUB_MEND_NS (1 * NS_PER_S)	     /* between two walks over the index */
#define SCRUB_NOWHERE UINT64_MAX		     /* saved place: no round is under way */
#define SCRUB_KEY SLICE_LIT("scrub")

enum {
	SCRUB_CHUNK = 1024 * 1024,
	SCRUB_SLOTS = 4096, /* of the index, looked at per step */
	SCRUB_WALKS = 10,   /* over the index, for what is in the making */
	SCRUB_SLEEP_MAX_S = 3600, /* the clock may be set meanwhile */
};

/* --- place and time ---------------------------------------- */

static void
scrub_save(struct store *store)
{
	struct store_scrub *scrub = &store->scrub;
	struct buf value;

	buf_init(&value, 0);
	wire_put_u64(&value, scrub->is_running ? scrub->at : SCRUB_NOWHERE);
	wire_put_u64(&value, scrub->last_us);
	/* Where there is no room now, it is tried again with the next step. */
	scrub->is_saved = journal_set_node(store->journal, SCRUB_KEY, buf_slice(&value), NULL, NULL)
			  == ERR_OK;
	buf_done(&value);
}

/* What the value says; a week begins where there is none. */
static void
scrub_recall(struct store *store)
{
	struct store_scrub *scrub = &store->scrub;
	struct slice value = journal_node(store->journal, SCRUB_KEY);
	struct wire_reader reader = wire_reader(value);

	scrub->is_known = scrub->is_saved = true;
	scrub->at = wire_get_u64(&reader);
	scrub->last_us = wire_get_u64(&reader);
	scrub->is_running = !reader.failed && scrub->at != SCRUB_NOWHERE;
	if (!reader.failed)
		return;
	scrub->last_us = store->now.wall.us;
	scrub_save(store);
}

/* Microseconds until a round is due; it is if the clock was set back by more than a week. */
static uint64_t
scrub_wait_us(const struct store *store)
{
	uint64_t interval = store->options.scrub_interval_s * US_PER_S;
	uint64_t now = store->now.wall.us, last = store->scrub.last_us;
	uint64_t since = now >= last ? now - last : last - now;

	return since >= interval ? 0 : interval - since;
}

static void
scrub_sleep(struct store *store)
{
	uint64_t us = num_min_u64(scrub_wait_us(store), SCRUB_SLEEP_MAX_S * US_PER_S);

	store->scrub.next = mono_add_ns(store->now.mono, us * (NS_PER_S / US_PER_S));
}

static void
scrub_round_begin(struct store *store)
{
	struct store_scrub *scrub = &store->scrub;

	scrub->is_running = true;
	scrub->is_inside = false;
	scrub->at = journal_first(store->journal);
}

static void
scrub_round_end(struct store *store)
{
	struct store_scrub *scrub = &store->scrub;

	scrub->is_running = false;
	scrub->last_us = store->now.wall.us;
	scrub->rounds++;
	scrub_save(store);
	scrub_sleep(store);
}

/* --- reading ---------------------------------------- */

static void
scrub_bad(struct store_scrub *scrub, uint64_t length)
{
	if (scrub->bad_bytes == 0) {
		scrub->bad_from = scrub->at;
		scrub->bad_end = 0;
	}
	scrub->at += length;
	scrub->bad_end = num_max_u64(scrub->bad_end, scrub->at);
	scrub->bad_bytes += length;
}

/* The header block: without it the next start does not find the segment. */
static bool
scrub_header(const struct store_scrub *scrub, struct slice block)
{
	struct segment_header header;
	struct fault fault;

	return segment_header_decode(block, &header, &fault) == ERR_OK
	       && header.base == scrub->place.base;
}

/*
 * The batch at the front of what was read, or its next bad block; false: more must be read first.
 */
static bool
scrub_batch(struct store *store, struct slice bytes)
{
	struct store_scrub *scrub = &store->scrub;
	uint64_t read_end = scrub->place.base + scrub->op.offset + scrub->op.length;
	struct batch_header batch = { 0 };
	enum err err;

	if (bytes.len < RECORD_BLOCK)
		return false;
	if (scrub->at == scrub->place.base) {
		if (scrub_header(scrub, bytes)) {
			scrub->at += RECORD_BLOCK;
			return true;
		}
		scrub_bad(scrub, RECORD_BLOCK);
		scrub->bad_end = scrub->place.end; /* all that lives there moves */
		return true;
	}
	err = batch_decode(bytes, &batch);
	if (err == ERR_SYNTAX && batch.lsn == scrub->at && batch.length <= RECORD_BATCH_MAX
		&& scrub->at + batch.length <= scrub->place.end
		&& scrub->at + batch.length > read_end) {
		scrub->chunk = num_max_u64(SCRUB_CHUNK, batch.length);
		return false;
	}
	if ((err == ERR_OK && batch.lsn == scrub->at)
		|| store_plant_is_on(store, JOURNAL_PLANT_BLIND_SCRUB))
		scrub->at += err == ERR_OK ? batch.length : RECORD_BLOCK;
	else
		scrub_bad(scrub, RECORD_BLOCK);
	return true;
}

static void
scrub_segment_end(struct store *store)
{
	struct store_scrub *scrub = &store->scrub;

	if (scrub->bad_bytes > 0) {
		scrub->damage++;
		journal_distrust(store->journal, scrub->place.base);
		store_notice(store,
			"store: scrub: damage in segment file %08u from LSN %llu on: %llu bytes "
			"cannot be read; what lives there is moved",
			(unsigned)scrub->place.slot, (unsigned long long)scrub->bad_from,
			(unsigned long long)scrub->bad_bytes);
		store->checkpoint.is_wanted = true;
		scrub->is_mending = true;
		scrub->has_found = false;
		scrub->cursor = 0;
		scrub->walks = 0;
	}
	scrub->at = scrub->place.base + scrub->place.size;
	scrub->is_inside = false;
	scrub_save(store);
}

static void
scrub_read(void *ctx, struct disk_op *op)
{
	struct store *store = ctx;
	struct store_scrub *scrub = &store->scrub;
	struct slice bytes = buf_slice(&op->list);
	uint64_t begin = scrub->at;

	scrub->is_busy = false;
	store->op_count--;
	journal_release(store->journal, scrub->place.base);
	scrub->bytes += bytes.len;
	scrub->chunk = SCRUB_CHUNK;
	while (scrub->at < scrub->place.end
		&& scrub_batch(store, slice_from(bytes, (size_t)(scrub->at - begin))))
		;
	/* An error, or the file is shorter than it was. */
	if (bytes.len < op->length && scrub->at < begin + op->length)
		scrub_bad(scrub, begin + op->length - scrub->at);
	if (scrub->at >= scrub->place.end)
		scrub_segment_end(store);
	buf_done(&op->list);
	buf_init(&op->list, 0);
}

static void
scrub_fetch(struct store *store)
{
	struct store_scrub *scrub = &store->scrub;
	uint64_t chunk = num_max_u64(scrub->chunk, SCRUB_CHUNK);

	scrub->op = (struct disk_op) { .kind = DISK_READ,
		.slot = scrub->place.slot,
		.offset = scrub->at - scrub->place.base,
		.length = num_min_u64(chunk, scrub->place.end - scrub->at),
		.direct = true,
		.calm = true,
		.list = scrub->op.list,
		.done = scrub_read,
		.ctx = store };
	scrub->is_busy = true;
	store->op_count++;
	journal_hold(store->journal, scrub->place.base);
	scrub->next = mono_add_ns(store->now.mono, scrub->op.length * NS_PER_S / SCRUB_RATE);
	scrub->quiet_by = mono_add_ns(scrub->next, SCRUB_PATIENCE_NS);
	disk_submit(store->options.disk, &scrub->op);
}

/* --- content of its own ---------------------------------------- */

/* What somebody works with is verified on its way. */
static bool
scrub_wants(const struct store *store, store_ref ref)
{
	const struct cache_entry *entry = cache_find(&store->cache, ref);

	return entry != NULL && entry->large != 0 && !entry->is_pinned && !entry->is_new
	       && index_slot(&store->index, ref)->is_durable;
}

/* The next piece of a file, or the next message that has one; at the end the round is over. */
static void
scrub_content(struct store *store)
{
	struct store_scrub *scrub = &store->scrub;
	size_t bytes;

	if (scrub->reader != NULL) {
		scrub->is_busy = true;
		bytes = large_scrub_read(scrub->reader);
		scrub->next = mono_add_ns(store->now.mono, bytes * NS_PER_S / SCRUB_RATE);
		scrub->quiet_by = mono_add_ns(scrub->next, SCRUB_PATIENCE_NS);
		return;
	}
	for (int i = 0; i < SCRUB_SLOTS; i++) {
		scrub->cursor = index_next(&store->index, scrub->cursor);
		if (scrub->cursor == 0) {
			scrub->is_large = false;
			scrub_round_end(store);
			return;
		}
		if (scrub_wants(store, scrub->cursor)) {
			struct cache_entry *entry = store_entry(store, scrub->cursor);

			scrub->is_busy = entry->wants_scrub = true;
			load_want(store, entry);
			return;
		}
	}
}

void
scrub_loaded(struct store *store, struct cache_entry *entry)
{
	store->scrub.is_busy = false;
	if (entry != NULL && entry->large != 0 && entry->has_parts)
		store->scrub.reader = large_scrub_begin(store, entry->ref);
}

void
scrub_content_came(struct store *store, size_t bytes, bool more, bool is_bad)
{
	struct store_scrub *scrub = &store->scrub;

	scrub->is_busy = false;
	scrub->bytes += bytes;
	scrub->damage += is_bad;
	if (!more)
		scrub->reader = NULL;
}

/* The next piece of the round; at its end the week begins anew. */
static void
scrub_go_on(struct store *store)
{
	struct store_scrub *scrub = &store->scrub;
	struct journal_place place;

	if (!journal_is_idle(store->journal) && store->now.mono.ns < scrub->quiet_by.ns) {
		scrub->next = mono_add_ns(store->now.mono, SCRUB_LOOK_NS);
		return;
	}
	if (!scrub->is_large && !journal_place_at(store->journal, scrub->at, &place)) {
		scrub->is_large = true;
		scrub->cursor = 0;
	}
	if (scrub->is_large) {
		scrub_content(store);
		return;
	}
	if (!scrub->is_inside || place.base != scrub->place.base) {
		scrub->is_inside = true;
		scrub->bad_bytes = 0;
		scrub->at = place.base;
		scrub->chunk = SCRUB_CHUNK;
	}
	scrub->place = place;
	scrub_fetch(store);
}

/* --- mending ---------------------------------------- */

static void
scrub_mend(struct store *store)
{
	struct store_scrub *scrub = &store->scrub;

	for (int i = 0; i < SCRUB_SLOTS && clean_has_room(store); i++) {
		scrub->cursor = index_next(&store->index, scrub->cursor);
		if (scrub->cursor != 0) {
			scrub->has_found |= clean_rescue(
				store, scrub->cursor, scrub->bad_from, scrub->bad_end);
			continue;
		}
		scrub->is_mending = scrub->has_found && ++scrub->walks < SCRUB_WALKS;
		scrub->has_found = false;
		scrub->next = mono_add_ns(store->now.mono, scrub->is_mending ? SCRUB_MEND_NS : 0);
		return;
	}
}

/* --- time ---------------------------------------- */

static bool
scrub_may_run(const struct store *store)
{
	return store->options.scrub_interval_s > 0 && store->phase == STORE_COMPLETE
	       && journal_state(store->journal) == JOURNAL_OPEN && !store->is_stopping
	       && !store->scrub.is_busy && store->clean.phase == CLEAN_IDLE;
}

void
scrub_step(struct store *store)
{
	struct store_scrub *scrub = &store->scrub;

	if (!scrub_may_run(store) || store->now.mono.ns < scrub->next.ns)
		return;
	if (!scrub->is_known)
		scrub_recall(store);
	if (!scrub->is_saved)
		scrub_save(store);
	if (scrub->is_mending)
		scrub_mend(store);
	else if (scrub->is_running)
		scrub_go_on(store);
	else if (scrub_wait_us(store) > 0)
		scrub_sleep(store);
	else
		scrub_round_begin(store);
}

struct mono
scrub_due(const struct store *store)
{
	if (!scrub_may_run(store) || (store->scrub.is_mending && !clean_has_room(store)))
		return (struct mono) { UINT64_MAX };
	return store->scrub.next;
}

void
scrub_free(struct store *store)
{
	buf_done(&store->scrub.op.list);
	if (store->scrub.reader != NULL)
		large_reader_free(store->scrub.reader);
}
