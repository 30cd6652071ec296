/*
 * store_world.c - a store over real files (see store_world.h)
 */
#include "store_world.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void
world_wake(void *ctx)
{
	(void)ctx;
}

static void
world_opened(void *ctx, enum err err, const struct fault *fault)
{
	struct world *world = ctx;

	(void)snprintf(world->fault, sizeof(world->fault), "%s",
		err < 0 && fault != NULL ? fault->text : "");
	world->opened = true;
	world->last = err;
}

static void
world_notice(void *ctx, const char *text)
{
	struct world *world = ctx;
	size_t len = strlen(world->said);

	(void)snprintf(world->said + len, sizeof(world->said) - len, "%s\n", text);
}

static void
world_complete(void *ctx)
{
	(void)ctx;
}

void
world_settled(void *ctx, enum journal_outcome outcome)
{
	struct world *world = ctx;

	world->durable += outcome == JOURNAL_DURABLE;
	world->refused += outcome == JOURNAL_REFUSED;
}

void
world_loaded(void *ctx, store_ref ref, enum err err)
{
	struct world *world = ctx;

	(void)ref;
	world->loaded++;
	world->last = err;
}

void
world_finished(void *ctx, enum err err)
{
	struct world *world = ctx;

	world->finished++;
	world->last = err;
}

void
world_read(void *ctx, enum err err, struct slice bytes)
{
	struct world *world = ctx;

	world->finished++;
	world->last = err;
	world->read_len = bytes.len;
	world->read_first = bytes.len > 0 ? bytes.ptr[0] : 0;
}

/* Time goes on a millisecond a turn. */
void
world_turn(struct world *world)
{
	world->now.mono.ns += NS_PER_MS;
	store_step(world->store, world->now);
	if (disk_file_poll(world->disk) == 0)
		(void)usleep(50);
}

static int
world_dir(const struct world *world, const char *name)
{
	char path[96];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", world->path, name);
	(void)mkdir(path, 0700);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(fd >= 0);
	return fd;
}

void
world_begin_open(struct world *world)
{
	static const struct store_callbacks callbacks = { world_opened, world_complete, world_notice,
		NULL };
	uint64_t segment = world->is_long ? SEGMENT_LONG : SEGMENT;
	struct store_options options = { .segment_size = segment,
		.size_max = (world->is_roomy ? 32 : 8) * segment,
		.size_min = (world->is_roomy ? 24 : 3) * segment, .cache_max = 2 * BODY, .epoch = world->now.mono.ns, .uuid = { 5 },
		.callbacks = &callbacks, .ctx = world, .scrub_interval_s = 7 * 24 * 3600,
		.zeroes_freed = world->zeroes, .appends = world->appends, .is_old = world->is_old };

	world->disk = disk_file_new(
		world->journal_dir, world->corrupt_dir, world->large_dir, world_wake, NULL);
	options.disk = disk_file_disk(world->disk);
	world->opened = false;
	world->store = store_new(&options);
	world->said[0] = '\0';
	store_open(world->store, world->now);
}

void
world_open(struct world *world)
{
	world_begin_open(world);
	WORLD_UNTIL(world, world->opened && store_is_complete(world->store));
	assert_int_equal(world->last, ERR_OK);
}

void
world_close(struct world *world)
{
	WORLD_UNTIL(world, store_is_idle(world->store));
	disk_file_free(world->disk);
	store_free(world->store);
}

static int
world_begin(void **state, bool is_roomy, bool is_old, bool is_long)
{
	struct world *world = MEM_NEW(struct world);

	world->is_roomy = is_roomy;
	world->is_old = is_old;
	world->is_long = is_long;
	(void)snprintf(world->path, sizeof(world->path), "/tmp/test_store.XXXXXX");
	CHECK(mkdtemp(world->path) != NULL);
	world->journal_dir = world_dir(world, "journal");
	world->corrupt_dir = world_dir(world, "corrupt");
	world->large_dir = world_dir(world, "large");
	world->now = (struct instant){ { NS_PER_S }, { UINT64_C(1700000000) * US_PER_S } };
	world_open(world);
	*state = world;
	return 0;
}

int
world_start_old(void **state)
{
	return world_begin(state, false, true, false);
}

int
world_start(void **state)
{
	return world_begin(state, false, false, false);
}

int
world_start_roomy(void **state)
{
	return world_begin(state, true, false, false);
}

int
world_start_long(void **state)
{
	return world_begin(state, false, false, true);
}

int
world_start_long_old(void **state)
{
	return world_begin(state, false, true, true);
}

unsigned
world_heard(const struct world *world, const char *part)
{
	unsigned count = 0;

	for (const char *at = world->said; (at = strstr(at, part)) != NULL; at += strlen(part))
		count++;
	return count;
}

unsigned
world_files(int dir, bool remove)
{
	DIR *list = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *entry;
	unsigned count = 0;

	CHECK(list != NULL);
	while ((entry = readdir(list)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		count++;
		if (remove)
			(void)unlinkat(dir, entry->d_name, 0);
	}
	(void)closedir(list);
	return count;
}

int
world_end(void **state)
{
	struct world *world = *state;
	char path[96];

	world_close(world);
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = { "journal", "corrupt", "large" };
		int dir = world_dir(world, names[i]);

		(void)world_files(dir, true);
		(void)close(dir);
		(void)snprintf(path, sizeof(path), "%s/%s", world->path, names[i]);
		(void)rmdir(path);
	}
	(void)rmdir(world->path);
	(void)close(world->journal_dir);
	(void)close(world->corrupt_dir);
	(void)close(world->large_dir);
	mem_free(world);
	return 0;
}

/* --- what the tests do ---------------------------------------- */

struct store_message
world_message(uint64_t queue_id)
{
	static uint8_t body[BODY];

	memset(body, 'b', sizeof(body));
	return (struct store_message){ .queue_id = queue_id, .arrival_us = 1000 * queue_id,
		.content_length = BODY, .content_hash = 99, .dotted = true,
		.envelope = SLICE_LIT("e"), .recipients = SLICE_LIT("rr"),
		.head = SLICE_LIT("hhh"), .body = slice_make(body, BODY) };
}

store_ref
world_put(struct world *world, const struct store_message *message)
{
	struct store_txn txn;
	store_ref ref;
	int before = world->durable;

	enum err err;

	do {
		store_txn_begin(&txn, world->store, JOURNAL_NEW_MAIL, JOURNAL_NOW);
		ref = store_txn_message(&txn, message);
		assert_int_not_equal(ref, 0);
		err = store_txn_commit(&txn, world_settled, world);
		if (err == ERR_NOSPACE && !store_accepts(world->store))
			return 0;
		if (err == ERR_NOSPACE) /* a segment in the making counts as room already */
			world_turn(world);
	} while (err == ERR_NOSPACE);
	assert_int_equal(err, ERR_OK);
	WORLD_UNTIL(world, world->durable > before);
	return ref;
}

store_ref
world_put_id(struct world *world, uint64_t queue_id)
{
	struct store_message message = world_message(queue_id);

	return world_put(world, &message);
}

void
world_state(struct world *world, store_ref ref, uint64_t due_us, uint32_t flags, const char *text)
{
	struct store_txn txn;
	int before = world->durable;

	store_txn_begin(&txn, world->store, JOURNAL_RESULT, JOURNAL_SOON);
	store_txn_state(&txn, ref, due_us, flags, slice_str(text));
	assert_int_equal(store_txn_commit(&txn, world_settled, world), ERR_OK);
	WORLD_UNTIL(world, world->durable > before);
}

void
world_done(struct world *world, store_ref ref)
{
	struct store_txn txn;
	int before = world->durable;

	store_txn_begin(&txn, world->store, JOURNAL_RESULT, JOURNAL_SOON);
	store_txn_done(&txn, ref);
	assert_int_equal(store_txn_commit(&txn, world_settled, world), ERR_OK);
	WORLD_UNTIL(world, world->durable > before);
}

enum err
world_load(struct world *world, store_ref ref)
{
	int before = world->loaded;

	store_load(world->store, ref, world_loaded, world);
	assert_int_equal(world->loaded, before); /* never inside the call */
	WORLD_UNTIL(world, world->loaded > before);
	return world->last;
}

