/*
 * store_freeze.c - a snapshot as the tool makes it, on simulated disks (see store_freeze.h)
 */
#include "sim/store_freeze.h"

#include "base/check.h"
#include "base/mem.h"

enum { FREEZE_TURNS = 3000 };

static bool
freeze_has_large(const struct disk_sim *disk, const char *name)
{
	for (size_t i = 0; i < DISK_SIM_NAMED; i++)
		if (disk->named[i].area == DISK_AREA_LARGE && disk->named[i].stable
			&& strcmp(disk->named[i].name, name) == 0)
			return true;
	return false;
}

/* Large content has the number of its message in this simulation. */
static void
freeze_add_message(struct freeze *freeze, const struct disk_sim *disk, uint64_t queue_id)
{
	char name[STORE_LARGE_NAME_SIZE];

	CHECK(freeze->message_count < FREEZE_MESSAGES_MAX);
	freeze->messages[freeze->message_count++] = queue_id;
	store_large_name(queue_id, name);
	if (freeze_has_large(disk, name))
		memcpy(freeze->larges[freeze->large_count++], name, sizeof(name));
}

/* What is durable now, the batch that was appended behind the freeze included. */
static void
freeze_flushed(void *ctx, enum journal_outcome outcome)
{
	struct freeze *freeze = ctx;
	struct journal *journal = store_journal(freeze->store);
	struct journal_place place;
	uint64_t bytes;

	freeze->is_waiting = false;
	if (outcome != JOURNAL_DURABLE) {
		store_thaw(freeze->store);
		return;
	}
	freeze->is_on = true;
	freeze->lsn = journal_durable(journal);
	while (journal_place_number(journal, freeze->count, &place) && place.base < freeze->lsn) {
		struct freeze_place *kept = &freeze->places[freeze->count++];

		CHECK(freeze->count < FREEZE_PLACES_MAX);
		kept->place = place;
		buf_init(&kept->bytes, 0);
		bytes = journal_place_bytes(&place, freeze->lsn);
		freeze->is_short |= bytes > freeze->disk->files[place.slot].size;
		if (!freeze->is_short)
			buf_add(&kept->bytes,
				slice_make(freeze->disk->files[place.slot].cache, bytes));
	}
}

void
freeze_note(struct freeze *freeze)
{
	if (!freeze->is_on || freeze->has_messages)
		return;
	freeze->has_messages = true;
	for (store_ref ref = store_next(freeze->store, 0); ref != 0;
		ref = store_next(freeze->store, ref)) {
		struct store_info info;

		store_info(freeze->store, ref, &info);
		if (info.is_durable)
			freeze_add_message(freeze, freeze->disk, info.queue_id);
	}
}

void
freeze_begin(
	struct freeze *freeze, struct store *store, const struct disk_sim *disk, bool is_bare)
{
	CHECK(!freeze->is_on && !freeze->is_waiting);
	*freeze = (struct freeze){ .store = store, .disk = disk };
	store_freeze(store);
	if (is_bare) {
		freeze_flushed(freeze, JOURNAL_DURABLE);
		return;
	}
	freeze->is_waiting = journal_set_node(store_journal(store), SLICE_LIT("snapshot"),
				     SLICE_LIT("now"), freeze_flushed, freeze) == ERR_OK;
	if (!freeze->is_waiting)
		store_thaw(store);
}

const char *
freeze_check(const struct freeze *freeze, const struct disk_sim *disk)
{
	if (freeze->is_short)
		return "a snapshot names more of a segment than its file has";
	for (unsigned i = 0; i < freeze->count; i++) {
		const struct freeze_place *kept = &freeze->places[i];
		const struct disk_sim_file *file = &disk->files[kept->place.slot];

		if (!file->exists || file->size < kept->bytes.len)
			return "a segment was removed although the store is frozen";
		if (memcmp(file->cache, kept->bytes.ptr, kept->bytes.len) != 0)
			return "a segment was used again although the store is frozen";
	}
	for (unsigned i = 0; i < freeze->large_count; i++)
		if (!freeze_has_large(disk, freeze->larges[i]))
			return "large content was removed although the store is frozen";
	return NULL;
}

/* --- the copy ---------------------------------------------------------------------------------- */

struct freeze_copy {
	struct disk_sim disk;
	struct store *store;
	bool is_open, is_complete;
	const char *bug;
};

static void
freeze_opened(void *ctx, enum err err, const struct fault *fault)
{
	struct freeze_copy *copy = ctx;

	(void)fault;
	copy->is_open = err == ERR_OK;
	if (err < 0)
		copy->bug = "a copy cannot be opened";
}

static void
freeze_complete(void *ctx)
{
	struct freeze_copy *copy = ctx;

	copy->is_complete = true;
}

static void
freeze_notice(void *ctx, const char *text)
{
	struct freeze_copy *copy = ctx;

	if (strstr(text, "damage") != NULL || strstr(text, "missing") != NULL)
		copy->bug = "a copy has damage";
}

static void
freeze_copy_file(struct disk_sim_file *to, const struct disk_sim_file *from, uint64_t size,
	uint64_t bytes)
{
	to->exists = true;
	to->size = to->stable_size = size;
	to->cache = mem_array(size, 1);
	to->stable = mem_array(size, 1);
	to->dirty = mem_array(size / DISK_SIM_BLOCK, 1);
	memcpy(to->cache, from->cache, bytes);
	memcpy(to->stable, from->cache, bytes);
}

/* Segments up to the LSN, and every finished file under large/; no checkpoints. */
static void
freeze_copy_disk(const struct freeze *freeze, const struct disk_sim *from, struct disk_sim *to)
{
	disk_sim_init(to, freeze->lsn);
	for (unsigned i = 0; i < freeze->count; i++) {
		uint32_t slot = freeze->places[i].place.slot;

		freeze_copy_file(&to->files[slot], &from->files[slot],
			freeze->places[i].place.size, freeze->places[i].bytes.len);
	}
	for (size_t i = 0; i < DISK_SIM_NAMED; i++) {
		if (from->named[i].area != DISK_AREA_LARGE || !from->named[i].stable)
			continue;
		to->named[i] = from->named[i];
		buf_init(&to->named[i].bytes, 0);
		buf_add(&to->named[i].bytes, buf_slice(&from->named[i].bytes));
	}
}

static void
freeze_loaded(void *ctx, store_ref ref, enum err err)
{
	struct freeze_copy *copy = ctx;

	if (err != ERR_OK || ref == 0)
		copy->bug = "a message of a copy cannot be read";
}

static void
freeze_turn(struct freeze_copy *copy, struct instant *now)
{
	(void)disk_sim_step(&copy->disk);
	now->mono.ns += NS_PER_MS;
	store_step(copy->store, *now);
}

/* All of its messages, and they can be read. */
static void
freeze_look(const struct freeze *freeze, struct freeze_copy *copy)
{
	if (store_count(copy->store) != freeze->message_count)
		copy->bug = "a copy has other messages than there were";
	for (unsigned i = 0; i < freeze->message_count && copy->bug == NULL; i++) {
		store_ref ref = store_find(copy->store, freeze->messages[i]);

		if (ref == 0)
			copy->bug = "a message is not in the copy";
		else
			store_load(copy->store, ref, freeze_loaded, copy);
	}
}

const char *
freeze_restore(const struct freeze *freeze, const struct disk_sim *disk,
	const struct store_options *options, struct instant now)
{
	static const struct store_callbacks callbacks = { freeze_opened, freeze_complete,
		freeze_notice, NULL };
	struct store_options own = *options;
	struct freeze_copy copy = { .bug = NULL };

	freeze_copy_disk(freeze, disk, &copy.disk);
	own.disk = &copy.disk.disk;
	own.callbacks = &callbacks;
	own.ctx = &copy;
	copy.store = store_new(&own);
	store_open(copy.store, now);
	for (int i = 0; i < FREEZE_TURNS && !copy.is_complete && copy.bug == NULL; i++)
		freeze_turn(&copy, &now);
	if (copy.bug == NULL && !copy.is_complete)
		copy.bug = "a copy does not come up";
	if (copy.bug == NULL)
		freeze_look(freeze, &copy);
	for (int i = 0; i < FREEZE_TURNS && !store_is_idle(copy.store) && copy.bug == NULL; i++)
		freeze_turn(&copy, &now);
	disk_sim_die(&copy.disk);
	disk_sim_done(&copy.disk);
	return copy.bug;
}

void
freeze_end(struct freeze *freeze)
{
	for (unsigned i = 0; i < freeze->count; i++)
		buf_done(&freeze->places[i].bytes);
	*freeze = (struct freeze){ .is_on = false };
}
