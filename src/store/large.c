/*
 * large.c - content in files of its own under large/ (see store.h)
 *
 * A file is written as NUMBER.tmp, in the order of its parts, one write at a time; finishing
 * flushes it, gives it its name and flushes the directory. Only then may a MESSAGE name it. It is
 * removed when that message's DONE is durable. What a crash leaves without a message goes after the
 * next recovery: it is removed if that found no damage, else it is kept under corrupt/, since a
 * damaged journal may have lost the MESSAGE. The directory is listed before the journal is
 * opened, so that nothing younger than this start can be meant.
 */
#include "base/check.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/wire.h"
#include "store/store_priv.h"

#include <stdio.h>

enum { LARGE_PIECE = 8 * HASH_PART }; /* read at once */

static void large_written(void *ctx, struct disk_op *op);

void
store_large_name(uint64_t number, char name[STORE_LARGE_NAME_SIZE])
{
	(void)snprintf(name, STORE_LARGE_NAME_SIZE, "%016llx", (unsigned long long)number);
}

/* --- writing ---------------------------------------- */

struct store_large *
store_large_begin(struct store *store, uint64_t number)
{
	struct store_large *large = MEM_NEW(struct store_large);

	CHECK(number != 0);
	large->store = store;
	large->number = number;
	buf_init(&large->pending, 0);
	buf_init(&large->flight, 0);
	hash_parts_init(&large->parts);
	TAILQ_INSERT_TAIL(&store->larges, large, link);
	return large;
}

static void
large_submit(struct store_large *large, enum disk_op_kind kind)
{
	struct disk_op *op = &large->op;

	*op = (struct disk_op){ .kind = kind, .offset = large->written,
		.bytes = buf_slice(&large->flight), .done = large_written, .ctx = large };
	store_large_name(large->number, op->name);
	large->is_busy = true;
	large->store->op_count++;
	disk_submit(large->store->options.disk, op);
}

/* Writes what has gathered, or finishes. */
static void
large_advance(struct store_large *large)
{
	struct buf empty = large->flight;

	if (large->is_busy || large->err != ERR_OK || large->is_finished)
		return;
	if (large->pending.len > 0 && !journal_has_room(large->store->journal)) {
		large->err = ERR_NOSPACE; /* what is left is the journal's */
		buf_clear(&large->pending);
	} else if (large->pending.len > 0) {
		journal_spend(large->store->journal, large->pending.len);
		buf_clear(&empty);
		large->flight = large->pending;
		large->pending = empty;
		large_submit(large, DISK_FILE_APPEND);
	} else if (large->is_finishing) {
		buf_clear(&large->flight);
		large_submit(large, DISK_FILE_FINISH);
	}
}

static void
large_free(struct store_large *large)
{
	TAILQ_REMOVE(&large->store->larges, large, link);
	buf_done(&large->pending);
	buf_done(&large->flight);
	hash_parts_done(&large->parts);
	mem_free(large);
}

static void
large_doom_name(struct store *store, struct slice name, bool is_kept)
{
	struct store_doomed *doomed = MEM_NEW(struct store_doomed);

	doomed->is_kept = is_kept;
	if (name.len < sizeof(doomed->name)) {
		memcpy(doomed->name, name.ptr, name.len);
		STAILQ_INSERT_TAIL(&store->doomed, doomed, link);
	} else {
		mem_free(doomed);
	}
}

/* Removes what was written of a file; it may have its name already. */
static void
large_drop(struct store_large *large)
{
	char name[STORE_LARGE_NAME_SIZE + sizeof(DISK_TEMPORARY)];

	(void)snprintf(name, sizeof(name), "%016llx%s", (unsigned long long)large->number,
		large->is_finished ? "" : DISK_TEMPORARY);
	large_doom_name(large->store, slice_str(name), false);
	large_free(large);
}

/* Tells the end of a file that was to be finished, once. */
static void
large_tell(struct store_large *large)
{
	store_large_fn *done = large->done;

	large->done = NULL;
	if (done != NULL)
		done(large->ctx, large->err);
}

static void
large_written(void *ctx, struct disk_op *op)
{
	struct store_large *large = ctx;

	large->is_busy = false;
	large->store->op_count--;
	if (op->err < 0)
		large->err = op->err == ERR_NOSPACE ? ERR_NOSPACE : ERR_IO;
	else if (op->kind == DISK_FILE_FINISH)
		large->is_finished = true;
	else
		large->written += op->bytes.len;
	if (op->err == ERR_OK)
		large->store->large_bytes += op->bytes.len;
	buf_clear(&large->flight);
	if (large->is_aborted) {
		large_drop(large);
		return;
	}
	if (large->err != ERR_OK)
		buf_clear(&large->pending);
	large_advance(large);
	if (large->is_finished || large->err != ERR_OK)
		large_tell(large);
}

void
store_large_append(struct store_large *large, struct slice part)
{
	CHECK(!large->is_finishing);
	if (large->err != ERR_OK)
		return;
	hash_parts_add(&large->parts, part);
	buf_add(&large->pending, part);
	large_advance(large);
}

size_t
store_large_pending(const struct store_large *large)
{
	return large->pending.len + large->flight.len;
}

void
store_large_finish(struct store_large *large, store_large_fn *done, void *ctx)
{
	CHECK(!large->is_finishing);
	large->is_finishing = true;
	hash_parts_end(&large->parts);
	large->done = done;
	large->ctx = ctx;
	large_advance(large);
}

void
store_large_abort(struct store_large *large)
{
	large->is_aborted = true;
	if (!large->is_busy)
		large_drop(large);
}

void
large_taken(struct store_large *large)
{
	CHECK(large->is_finished && !large->is_busy);
	large_free(large);
}

/* --- removing ---------------------------------------- */

void
large_doom(struct store *store, uint64_t number)
{
	char name[STORE_LARGE_NAME_SIZE];

	store_large_name(number, name);
	large_doom_name(store, slice_str(name), false);
}

void
large_keep(struct store *store, uint64_t number)
{
	char name[STORE_LARGE_NAME_SIZE];

	store_large_name(number, name);
	large_doom_name(store, slice_str(name), true);
}

static void
large_removed(void *ctx, struct disk_op *op)
{
	struct store *store = ctx;

	store->is_removing = false;
	store->op_count--;
	if (op->err < 0 && op->err != ERR_NOTFOUND)
		store_notice(store, "store: cannot %s large/%s: %s",
			op->kind == DISK_FILE_KEEP ? "keep" : "remove", op->name,
			err_meaning(op->err));
}

/*
 * Only while the journal is OPEN: then no batch that was refused can come back, because the cut
 * in front of the present segment is durable.
 */
static bool
large_may_remove(const struct store *store)
{
	return !store->is_removing && !STAILQ_EMPTY(&store->doomed) && store->freezes == 0
		&& journal_state(store->journal) == JOURNAL_OPEN;
}

static bool
large_has_news(const struct store_large *large)
{
	return large->done != NULL && !large->is_busy && large->err != ERR_OK;
}

void
large_step(struct store *store)
{
	struct store_large *large, *next;
	struct store_doomed *doomed;

	for (large = TAILQ_FIRST(&store->larges); large != NULL; large = next) {
		next = TAILQ_NEXT(large, link);
		if (large_has_news(large)) {
			large_tell(large);
			break; /* the list may be another one now */
		}
	}
	if (!large_may_remove(store))
		return;
	doomed = STAILQ_FIRST(&store->doomed); /* whoever heard of a failure may have added one */
	store->remove_op = (struct disk_op){
		.kind = doomed->is_kept ? DISK_FILE_KEEP : DISK_FILE_REMOVE, .done = large_removed,
		.ctx = store };
	memcpy(store->remove_op.name, doomed->name, sizeof(doomed->name));
	STAILQ_REMOVE_HEAD(&store->doomed, link);
	mem_free(doomed);
	store->is_removing = true;
	store->op_count++;
	disk_submit(store->options.disk, &store->remove_op);
}

bool
large_is_due(const struct store *store)
{
	const struct store_large *large;

	TAILQ_FOREACH (large, &store->larges, link)
		if (large_has_news(large))
			return true;
	return large_may_remove(store);
}

void
large_free_all(struct store *store)
{
	struct store_doomed *doomed;

	while (!TAILQ_EMPTY(&store->larges))
		large_free(TAILQ_FIRST(&store->larges));
	while ((doomed = STAILQ_FIRST(&store->doomed)) != NULL) {
		STAILQ_REMOVE_HEAD(&store->doomed, link);
		mem_free(doomed);
	}
}

/* --- recovery ---------------------------------------- */

struct large_owned {
	UT_hash_handle hh;
	char name[STORE_LARGE_NAME_SIZE];
};

static struct large_owned *
large_owned_all(const struct store *store)
{
	struct large_owned *table = NULL, *owned;
	const struct cache_entry *entry;
	const struct store_large *large;

	for (entry = store->cache.table; entry != NULL; entry = entry->hh.next) {
		if (entry->large == 0)
			continue;
		owned = MEM_NEW(struct large_owned);
		store_large_name(entry->large, owned->name);
		HASH_ADD_STR(table, name, owned);
	}
	TAILQ_FOREACH (large, &store->larges, link) {
		owned = MEM_NEW(struct large_owned);
		(void)snprintf(owned->name, sizeof(owned->name), "%016llx%s",
			(unsigned long long)large->number,
			large->is_finished ? "" : DISK_TEMPORARY);
		HASH_ADD_STR(table, name, owned);
	}
	return table;
}

/* What the processes before left without a message. */
static void
large_doom_orphans(struct store *store, struct slice list, bool is_kept)
{
	struct large_owned *table = large_owned_all(store), *owned, *next;
	struct wire_reader reader = wire_reader(list);
	unsigned count = 0;

	while (reader.rest.len > 0 && !reader.failed) {
		struct slice name = wire_get_bytes(&reader);

		HASH_FIND(hh, table, name.ptr, name.len, owned);
		if (owned == NULL && !reader.failed) {
			large_doom_name(store, name, is_kept);
			count++;
		}
	}
	if (count > 0 && is_kept)
		store_notice(store,
			"store: the journal is damaged: %u files under large/ that no message owns "
			"are kept as corrupt/large-...",
			count);
	else if (count > 0)
		store_notice(store, "store: removing %u files under large/ that no message owns",
			count);
	HASH_ITER (hh, table, owned, next) {
		HASH_DELETE(hh, table, owned);
		mem_free(owned);
	}
}

void
large_recover(struct store *store)
{
	bool is_kept = journal_is_damaged(store->journal)
		&& !store_plant_is_on(store, JOURNAL_PLANT_DROP_ORPHANS);

	large_doom_orphans(store, buf_slice(&store->list_op.list), is_kept);
	buf_done(&store->list_op.list);
	buf_init(&store->list_op.list, 0);
}

static void
large_listed(void *ctx, struct disk_op *op)
{
	struct store *store = ctx;

	if (op->err < 0 && op->err != ERR_NOTFOUND)
		store_notice(store,
			"store: cannot list large/: %s; what no message owns there stays",
			err_meaning(op->err));
	if (op->err < 0)
		buf_clear(&op->list);
	store_listed(store);
}

void
large_list(struct store *store)
{
	struct disk_op *op = &store->list_op;

	*op = (struct disk_op){ .kind = DISK_FILE_LIST, .done = large_listed, .ctx = store };
	buf_init(&op->list, 0);
	disk_submit(store->options.disk, op);
}

/* --- reading ---------------------------------------- */

/* Reads from the front, and knows what must come. */
struct large_reader {
	struct disk_op op;
	struct store *store;
	uint64_t queue_id, content_length;
	uint64_t wanted; /* bytes that somebody waits for */
	struct buf sums;
	struct hash_parts parts;
	store_large_read_fn *done; /* NULL: damage is to be located */
	void *ctx;
};

static struct large_reader *
large_reader_new(struct store *store, store_ref ref, uint64_t length)
{
	const struct cache_entry *entry = cache_find(&store->cache, ref);
	struct large_reader *reader = MEM_NEW(struct large_reader);
	struct record_message message;

	CHECK(entry != NULL && entry->large != 0 && entry->has_parts);
	cache_parts(entry, &message);
	reader->store = store;
	reader->queue_id = entry->queue_id;
	reader->content_length = entry->content_length;
	reader->wanted = length;
	buf_init(&reader->sums, 0);
	buf_add(&reader->sums, message.parts);
	hash_parts_init(&reader->parts);
	store_large_name(entry->large, reader->op.name);
	buf_init(&reader->op.list, 0);
	return reader;
}

static void
large_reader_submit(struct large_reader *reader, uint64_t length, disk_done_fn *done)
{
	struct disk_op *op = &reader->op;

	buf_clear(&op->list);
	op->kind = DISK_FILE_READ;
	op->offset = reader->parts.length;
	op->length = length;
	op->done = done;
	op->ctx = reader;
	reader->store->op_count++;
	disk_submit(reader->store->options.disk, op);
}

void
large_reader_free(struct large_reader *reader)
{
	buf_done(&reader->op.list);
	buf_done(&reader->sums);
	hash_parts_done(&reader->parts);
	mem_free(reader);
}

/* What was read up to `length` is what was written; if not, the administrator hears where. */
static bool
large_is_whole(struct large_reader *reader, uint64_t length)
{
	char text[HASH_DAMAGE_TEXT];
	struct hash_damage damage;

	hash_parts_end(&reader->parts);
	if (hash_parts_match(&reader->parts, buf_slice(&reader->sums), length, &damage))
		return true;
	store_notice(reader->store,
		"store: message %016llx: %s of its content, large/%s, are not what was written",
		(unsigned long long)reader->queue_id, hash_damage_format(&damage, text),
		reader->op.name);
	return false;
}

static void
large_say_unreadable(const struct large_reader *reader)
{
	store_notice(reader->store,
		"store: message %016llx: its content, large/%s, cannot be read from byte %llu on: "
		"%s",
		(unsigned long long)reader->queue_id, reader->op.name,
		(unsigned long long)reader->parts.length, err_meaning(reader->op.err));
}

static void
large_read(void *ctx, struct disk_op *op)
{
	struct large_reader *reader = ctx;
	uint64_t length = num_min_u64(op->length, reader->content_length);
	enum err err = op->err;

	reader->store->op_count--;
	if (err == ERR_OK) {
		hash_parts_add(&reader->parts, buf_slice(&op->list));
		err = large_is_whole(reader, length) ? ERR_OK : ERR_CORRUPT;
	}
	reader->done(reader->ctx, err,
		err == ERR_OK ? slice_head(buf_slice(&op->list), reader->wanted)
			      : slice_make(NULL, 0));
	large_reader_free(reader);
}

void
store_large_read(
	struct store *store, store_ref ref, uint64_t length, store_large_read_fn *done, void *ctx)
{
	struct large_reader *reader = large_reader_new(store, ref, length);

	reader->done = done;
	reader->ctx = ctx;
	large_reader_submit(reader, num_align_u64(length, HASH_PART), large_read);
}

/* It may have ended meanwhile: then its file is gone. */
static void
large_scrubbed(void *ctx, struct disk_op *op)
{
	struct large_reader *reader = ctx;
	struct store *store = reader->store;
	size_t bytes = op->list.len;
	bool more = op->err == ERR_OK && bytes == op->length, is_bad = false;

	store->op_count--;
	hash_parts_add(&reader->parts, buf_slice(&op->list));
	if (!more && op->err != ERR_NOTFOUND) {
		is_bad = op->err < 0 || !large_is_whole(reader, reader->content_length);
		if (op->err < 0)
			large_say_unreadable(reader);
	}
	if (!more)
		large_reader_free(reader);
	scrub_content_came(store, bytes, more, is_bad);
}

struct large_reader *
large_scrub_begin(struct store *store, store_ref ref)
{
	return large_reader_new(store, ref, 0);
}

size_t
large_scrub_read(struct large_reader *reader)
{
	large_reader_submit(reader, LARGE_PIECE, large_scrubbed);
	return LARGE_PIECE;
}

static void
large_located(void *ctx, struct disk_op *op)
{
	struct large_reader *reader = ctx;

	reader->store->op_count--;
	hash_parts_add(&reader->parts, buf_slice(&op->list));
	if (op->err == ERR_OK && op->list.len == op->length) {
		large_reader_submit(reader, op->length, large_located);
		return;
	}
	if (op->err < 0)
		large_say_unreadable(reader);
	else
		(void)large_is_whole(reader, reader->content_length);
	large_reader_free(reader);
}

void
store_large_locate(struct store *store, store_ref ref)
{
	struct large_reader *reader = large_reader_new(store, ref, 0);

	large_reader_submit(reader, LARGE_PIECE, large_located);
}
