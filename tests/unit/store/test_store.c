/*
 * test_store.c - messages on real files: accepted, changed, read back, ended, damaged
 *
 * Goal: the contract of store.h at its edges. Method: a store over a new directory; each test turns it
 * until what it waits for has happened (bounded), and opens it again where recovery is meant. Crashes
 * are the simulation's part (tests/sim/store_sim.c).
 */
#include "base/check.h"
#include "base/mem.h"
#include "store/disk_file.h"
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEGMENT = 128 * 1024, TURNS_MAX = 20000, BODY = 3000 };

struct world {
	char path[64];
	int journal_dir, corrupt_dir, large_dir;
	struct disk_file *disk;
	struct store *store;
	bool opened, zeroes, is_old;
	bool is_roomy; /* nothing need be cleaned */
	int durable, refused, loaded, finished;
	enum err last;
	struct instant now;
	uint8_t read_first;
	size_t read_len;
};

static void
world_wake(void *ctx)
{
	(void)ctx;
}

static void
world_opened(void *ctx, enum err err, const struct fault *fault)
{
	struct world *world = ctx;

	(void)fault;
	world->opened = true;
	world->last = err;
}

static void
world_notice(void *ctx, const char *text)
{
	(void)ctx;
	(void)text;
}

static void
world_complete(void *ctx)
{
	(void)ctx;
}

static void
world_settled(void *ctx, enum journal_outcome outcome)
{
	struct world *world = ctx;

	world->durable += outcome == JOURNAL_DURABLE;
	world->refused += outcome == JOURNAL_REFUSED;
}

static void
world_loaded(void *ctx, store_ref ref, enum err err)
{
	struct world *world = ctx;

	(void)ref;
	world->loaded++;
	world->last = err;
}

static void
world_finished(void *ctx, enum err err)
{
	struct world *world = ctx;

	world->finished++;
	world->last = err;
}

static void
world_read(void *ctx, enum err err, struct slice bytes)
{
	struct world *world = ctx;

	world->finished++;
	world->last = err;
	world->read_len = bytes.len;
	world->read_first = bytes.len > 0 ? bytes.ptr[0] : 0;
}

/* Time goes on a millisecond a turn. */
static void
world_turn(struct world *world)
{
	world->now.mono.ns += NS_PER_MS;
	store_step(world->store, world->now);
	if (disk_file_poll(world->disk) == 0)
		(void)usleep(50);
}

#define WORLD_UNTIL(world, condition)                                                              \
	do {                                                                                       \
		int turns = 0;                                                                     \
		while (!(condition)) {                                                             \
			assert_true(++turns < TURNS_MAX);                                          \
			world_turn(world);                                                         \
		}                                                                                  \
	} while (0)

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

static void
world_open(struct world *world)
{
	static const struct store_callbacks callbacks = { world_opened, world_complete, world_notice };
	struct store_options options = { .segment_size = SEGMENT, .size_max = (world->is_roomy ? 32 : 8) * SEGMENT,
		.size_min = (world->is_roomy ? 24 : 3) * SEGMENT, .cache_max = 2 * BODY, .epoch = world->now.mono.ns, .uuid = { 5 },
		.callbacks = &callbacks, .ctx = world, .scrub_interval_s = 7 * 24 * 3600,
		.zeroes_freed = world->zeroes, .is_old = world->is_old };

	world->disk = disk_file_new(
		world->journal_dir, world->corrupt_dir, world->large_dir, world_wake, NULL);
	options.disk = disk_file_disk(world->disk);
	world->opened = false;
	world->store = store_new(&options);
	store_open(world->store, world->now);
	WORLD_UNTIL(world, world->opened && store_is_complete(world->store));
	assert_int_equal(world->last, ERR_OK);
}

static void
world_close(struct world *world)
{
	WORLD_UNTIL(world, store_is_idle(world->store));
	disk_file_free(world->disk);
	store_free(world->store);
}

static int
world_begin_as(void **state, bool is_roomy, bool is_old)
{
	struct world *world = MEM_NEW(struct world);

	world->is_roomy = is_roomy;
	world->is_old = is_old;
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

static int
world_begin(void **state, bool is_roomy)
{
	return world_begin_as(state, is_roomy, false);
}

static int
world_start_old(void **state)
{
	return world_begin_as(state, false, true);
}

static int
world_start(void **state)
{
	return world_begin(state, false);
}

static int
world_start_roomy(void **state)
{
	return world_begin(state, true);
}

/* How many files there are in a directory; removes them if told so. */
static unsigned
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

static int
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

/* --- what the tests do ------------------------------------------------------------------------- */

static struct store_message
world_message(uint64_t queue_id)
{
	static uint8_t body[BODY];

	memset(body, 'b', sizeof(body));
	return (struct store_message){ .queue_id = queue_id, .arrival_us = 1000 * queue_id,
		.content_length = BODY, .content_hash = 99, .dotted = true,
		.envelope = SLICE_LIT("e"), .recipients = SLICE_LIT("rr"),
		.head = SLICE_LIT("hhh"), .body = slice_make(body, BODY) };
}

static store_ref
world_put(struct world *world, const struct store_message *message)
{
	struct store_txn txn;
	store_ref ref;
	int before = world->durable;

	store_txn_begin(&txn, world->store, JOURNAL_NEW_MAIL, JOURNAL_NOW);
	ref = store_txn_message(&txn, message);
	assert_int_not_equal(ref, 0);
	assert_int_equal(store_txn_commit(&txn, world_settled, world), ERR_OK);
	WORLD_UNTIL(world, world->durable > before);
	return ref;
}

static store_ref
world_put_id(struct world *world, uint64_t queue_id)
{
	struct store_message message = world_message(queue_id);

	return world_put(world, &message);
}

static void
world_state(struct world *world, store_ref ref, uint64_t due_us, uint32_t flags, const char *text)
{
	struct store_txn txn;
	int before = world->durable;

	store_txn_begin(&txn, world->store, JOURNAL_RESULT, JOURNAL_SOON);
	store_txn_state(&txn, ref, due_us, flags, slice_str(text));
	assert_int_equal(store_txn_commit(&txn, world_settled, world), ERR_OK);
	WORLD_UNTIL(world, world->durable > before);
}

static void
world_done(struct world *world, store_ref ref)
{
	struct store_txn txn;
	int before = world->durable;

	store_txn_begin(&txn, world->store, JOURNAL_RESULT, JOURNAL_SOON);
	store_txn_done(&txn, ref);
	assert_int_equal(store_txn_commit(&txn, world_settled, world), ERR_OK);
	WORLD_UNTIL(world, world->durable > before);
}

static enum err
world_load(struct world *world, store_ref ref)
{
	int before = world->loaded;

	store_load(world->store, ref, world_loaded, world);
	assert_int_equal(world->loaded, before); /* never inside the call */
	WORLD_UNTIL(world, world->loaded > before);
	return world->last;
}

/* --- tests ------------------------------------------------------------------------------------- */

static void
test_store__message_read_back__is_what_was_put(void **state)
{
	struct world *world = *state;
	store_ref ref = world_put_id(world, 7);
	struct store_view view;
	struct slice body;

	store_unpin(world->store, ref);
	assert_int_equal(world_load(world, ref), ERR_OK);
	store_view(world->store, ref, &view);
	assert_int_equal(view.queue_id, 7);
	assert_int_equal(view.arrival_us, 7000);
	assert_int_equal(view.content_length, BODY);
	assert_int_equal(view.content_hash, 99);
	assert_true(view.dotted);
	assert_int_equal(view.large, 0);
	assert_true(slice_equal_str(view.envelope, "e"));
	assert_true(slice_equal_str(view.recipients, "rr"));
	assert_true(slice_equal_str(view.head, "hhh"));
	assert_int_equal(view.state.len, 0);
	assert_int_equal(view.result_count, 0);
	assert_int_equal(store_body(world->store, ref, &body), ERR_OK);
	assert_int_equal(body.len, BODY);
	world_done(world, ref);
	assert_int_equal(store_find(world->store, 7), 0);
	assert_int_equal(store_count(world->store), 0);
}

static void
test_store__opened_again__has_state_and_results(void **state)
{
	struct world *world = *state;
	store_ref ref = world_put_id(world, 7), held = world_put_id(world, 8);
	struct store_txn txn;
	struct store_view view;
	struct store_info info;

	world_state(world, ref, 5 * US_PER_S + 1, RECORD_STATE_WARNED, "old");
	store_txn_begin(&txn, world->store, JOURNAL_RESULT, JOURNAL_SOON);
	store_txn_result(&txn, ref, slice_str("one"));
	store_txn_result(&txn, ref, slice_str("two"));
	assert_int_equal(store_txn_commit(&txn, NULL, NULL), ERR_OK);
	store_view(world->store, ref, &view);
	assert_int_equal(view.result_count, 2); /* not durable yet */
	world_state(world, held, 0, RECORD_STATE_HELD, "held");
	world_close(world);
	world_open(world);
	ref = store_find(world->store, 7);
	held = store_find(world->store, 8);
	store_info(world->store, ref, &info);
	assert_int_equal(info.due_us, 6 * US_PER_S);
	assert_int_equal(info.flags, RECORD_STATE_WARNED);
	assert_int_equal(store_due_first(world->store, (struct wall){ 6 * US_PER_S - 1 }), 0);
	assert_int_equal(store_due_first(world->store, (struct wall){ 6 * US_PER_S }), ref);
	assert_int_equal(world_load(world, ref), ERR_OK);
	assert_int_equal(store_due_next_us(world->store), UINT64_MAX); /* pinned, held */
	store_view(world->store, ref, &view);
	assert_true(slice_equal_str(view.state, "old"));
	assert_int_equal(view.result_count, 2);
	assert_true(slice_equal_str(view.results[0], "one"));
	assert_true(slice_equal_str(view.results[1], "two"));
	world_state(world, ref, 0, 0, "new");
	store_view(world->store, ref, &view);
	assert_true(slice_equal_str(view.state, "new"));
	assert_int_equal(view.result_count, 0);
	store_set_flags(world->store, held, 0);
	assert_int_equal(store_due_first(world->store, world->now.wall), held);
}

static void
test_store__cache_is_full__bodies_go_and_come_back(void **state)
{
	struct world *world = *state;
	store_ref refs[4];
	struct slice body;
	int before = world->loaded;

	for (unsigned i = 0; i < 4; i++)
		refs[i] = world_put_id(world, i + 1);
	assert_int_equal(store_body(world->store, refs[0], &body), ERR_AGAIN);
	assert_int_equal(store_body(world->store, refs[3], &body), ERR_OK);
	store_load_body(world->store, refs[0], world_loaded, world);
	WORLD_UNTIL(world, world->loaded > before);
	assert_int_equal(world->last, ERR_OK);
	assert_int_equal(store_body(world->store, refs[0], &body), ERR_OK);
	assert_int_equal(body.len, BODY);
}

static void
test_store__transaction_that_fails__leaves_nothing(void **state)
{
	struct world *world = *state;
	struct store_message message = world_message(7);
	struct store_txn txn;
	store_ref ref = world_put(world, &message);

	store_txn_begin(&txn, world->store, JOURNAL_NEW_MAIL, JOURNAL_NOW);
	assert_int_equal(store_txn_message(&txn, &message), 0);
	assert_int_equal(store_txn_commit(&txn, world_settled, world), ERR_EXISTS);

	message.queue_id = 8;
	store_txn_begin(&txn, world->store, JOURNAL_NEW_MAIL, JOURNAL_NOW);
	assert_int_not_equal(store_txn_message(&txn, &message), 0);
	for (int i = 0; i < STORE_TXN_RECORDS_MAX; i++)
		store_txn_result(&txn, ref, slice_str("x"));
	assert_int_equal(store_txn_commit(&txn, world_settled, world), ERR_LIMIT);
	assert_int_equal(store_find(world->store, 8), 0);

	message.body.len = RECORD_BATCH_MAX;
	store_txn_begin(&txn, world->store, JOURNAL_NEW_MAIL, JOURNAL_NOW);
	assert_int_equal(store_txn_message(&txn, &message), 0);
	assert_int_equal(store_txn_commit(&txn, world_settled, world), ERR_LIMIT);
	assert_int_equal(store_count(world->store), 1);
	assert_int_equal(world->durable, 1);
}

static void
test_store__message_under_its_end__cannot_be_changed(void **state)
{
	struct world *world = *state;
	store_ref ref = world_put_id(world, 7);
	struct store_txn txn;
	int before = world->durable;

	store_txn_begin(&txn, world->store, JOURNAL_RESULT, JOURNAL_SOON);
	store_txn_done(&txn, ref);
	assert_int_equal(store_txn_commit(&txn, world_settled, world), ERR_OK);
	store_txn_begin(&txn, world->store, JOURNAL_RESULT, JOURNAL_SOON);
	store_txn_result(&txn, ref, slice_str("late"));
	assert_int_equal(store_txn_commit(&txn, world_settled, world), ERR_NOTFOUND);
	WORLD_UNTIL(world, world->durable > before);
}

static void
test_store__large_content__lives_as_long_as_its_message(void **state)
{
	struct world *world = *state;
	struct store_message message = world_message(7);
	char name[STORE_LARGE_NAME_SIZE];
	store_ref ref;
	struct stat st;

	message.large = store_large_begin(world->store, 0xabc);
	for (int i = 0; i < 100; i++)
		store_large_append(message.large, message.body);
	store_large_finish(message.large, world_finished, world);
	WORLD_UNTIL(world, world->finished == 1);
	assert_int_equal(world->last, ERR_OK);
	message.body.len = 0;
	ref = world_put(world, &message);
	store_large_name(0xabc, name);
	assert_int_equal(fstatat(world->large_dir, name, &st, 0), 0);
	assert_int_equal(st.st_size, 100 * BODY);
	store_large_read(world->store, ref, 10, world_read, world);
	WORLD_UNTIL(world, world->finished == 2);
	assert_int_equal(world->read_len, 10);
	assert_int_equal(world->read_first, 'b');

	/* A remnant of a crash goes, the file of a message stays. */
	(void)close(openat(world->large_dir, "00000000000000ff.tmp", O_CREAT | O_WRONLY, 0600));
	world_close(world);
	world_open(world);
	WORLD_UNTIL(world, store_is_idle(world->store));
	assert_int_equal(world_files(world->large_dir, false), 1);
	ref = store_find(world->store, 7);
	world_done(world, ref); /* without having been loaded */
	WORLD_UNTIL(world, store_is_idle(world->store));
	assert_int_equal(world_files(world->large_dir, false), 0);
}

static void
test_store__large_content_aborted__leaves_no_file(void **state)
{
	struct world *world = *state;
	struct store_large *large = store_large_begin(world->store, 5);

	store_large_append(large, SLICE_LIT("abc"));
	assert_int_equal(store_large_pending(large), 3);
	store_large_abort(large);
	WORLD_UNTIL(world, store_is_idle(world->store));
	assert_int_equal(world_files(world->large_dir, false), 0);
}

static void
test_store__full_of_living_mail__refuses_until_there_is_room(void **state)
{
	struct world *world = *state;
	uint64_t id = 0;

	while (store_accepts(world->store)) {
		store_unpin(world->store, world_put_id(world, ++id));
		assert_true(id < 1000);
	}
	assert_true(id * BODY > 2 * SEGMENT);
	for (uint64_t gone = 1; gone < id; gone++)
		world_done(world, store_find(world->store, gone));
	WORLD_UNTIL(world, store_accepts(world->store));
	assert_int_equal(world_load(world, store_find(world->store, id)), ERR_OK);
}

/* Puts messages until `id` lies in a closed segment. */
static void
world_put_closed(struct world *world, uint64_t id)
{
	struct journal *journal = store_journal(world->store);
	struct journal_place place;

	do
		store_unpin(world->store, world_put_id(world, id++));
	while (!journal_place_at(journal, 0, &place));
}

/* Where the first batch with a body lies in the first file. */
static uint64_t
world_first_body(struct world *world)
{
	int fd = openat(world->journal_dir, "00000000.seg", O_RDONLY | O_CLOEXEC);
	uint64_t offset = RECORD_BLOCK;

	assert_true(fd >= 0);
	for (uint8_t bytes[BODY] = { 0 };; offset += RECORD_BLOCK) {
		assert_true(pread(fd, bytes, sizeof(bytes), (off_t)offset) == (ssize_t)sizeof(bytes));
		if (bytes[1000] == 'b')
			break;
	}
	(void)close(fd);
	return offset;
}

static void
world_damage(struct world *world, uint64_t offset)
{
	int fd = openat(world->journal_dir, "00000000.seg", O_WRONLY | O_CLOEXEC);

	assert_int_equal(pwrite(fd, "X", 1, (off_t)offset), 1);
	(void)close(fd);
}

static void
test_store__damaged_record__is_reported_and_kept(void **state)
{
	struct world *world = *state;
	store_ref ref = world_put_id(world, 7);

	store_unpin(world->store, ref);
	world_damage(world, world_first_body(world) + 1000);
	assert_int_equal(world_load(world, ref), ERR_CORRUPT);
	WORLD_UNTIL(world, store_find(world->store, 7) == 0);
	assert_int_equal(world_files(world->corrupt_dir, false), 1);
}

static void
world_week(struct world *world, uint64_t want_damage)
{
	struct store_stats stats = { 0 };

	world->now.wall.us += UINT64_C(7) * 24 * 3600 * US_PER_S;
	WORLD_UNTIL(world, (world->now.mono.ns += NS_PER_S, store_stats(world->store, &stats),
				   stats.scrub_last_us == world->now.wall.us));
	assert_int_equal(stats.scrub_damage, want_damage);
	assert_true(stats.scrub_bytes > 0);
}

static void
test_store__scrub_finds_damage_beside_a_record__it_moves(void **state)
{
	struct world *world = *state;
	world_put_closed(world, 7);
	world_week(world, 0);
	world_damage(world, world_first_body(world) + RECORD_BLOCK - 1); /* padding: the record itself is whole */
	world_week(world, 1);
	assert_int_equal(world_load(world, store_find(world->store, 7)), ERR_OK);
	assert_int_equal(world_files(world->corrupt_dir, false), 0);
	world_close(world);
	world_open(world);
	assert_int_equal(world_load(world, store_find(world->store, 7)), ERR_OK);
}

static void
test_store__scrub_finds_a_damaged_record__its_message_is_kept_aside(void **state)
{
	struct world *world = *state;
	world_put_closed(world, 7);
	world_damage(world, world_first_body(world) + 1000);
	world_week(world, 1);
	WORLD_UNTIL(world, store_find(world->store, 7) == 0);
	assert_int_equal(world_files(world->corrupt_dir, false), 1);
	assert_int_equal(world_load(world, store_find(world->store, 8)), ERR_OK);
}

static void
test_store__scrub_finds_a_lost_header__all_moves_and_the_next_start_finds_it(void **state)
{
	struct world *world = *state;

	world_put_closed(world, 7);
	world_damage(world, 0);
	world_damage(world, RECORD_SEGMENT_COPY);
	world_week(world, 1);
	store_stop(world->store, NS_PER_S, world->now);
	world_close(world);
	world_open(world);
	assert_int_equal(world_load(world, store_find(world->store, 7)), ERR_OK);
	assert_int_equal(world_load(world, store_find(world->store, 8)), ERR_OK);
}

static void
test_store__clean_stop__a_checkpoint_holds_all(void **state)
{
	struct world *world = *state;
	struct store_stats stats;

	store_unpin(world->store, world_put_id(world, 7));
	store_stop(world->store, NS_PER_S, world->now);
	WORLD_UNTIL(world, store_is_idle(world->store));
	store_stats(world->store, &stats);
	assert_int_equal(stats.checkpoint_behind, 0);
	assert_true(stats.checkpoint_bytes > 0);
	world_close(world);
	world_open(world);
	assert_int_equal(world_load(world, store_find(world->store, 7)), ERR_OK);
}

static void
test_store__clean_stop_without_time__is_quick(void **state)
{
	struct world *world = *state;
	struct store_stats stats;

	store_unpin(world->store, world_put_id(world, 7));
	world->now.mono.ns += NS_PER_S;
	store_stop(world->store, 0, world->now);
	world->now.mono.ns += NS_PER_S;
	WORLD_UNTIL(world, store_is_idle(world->store));
	store_stats(world->store, &stats);
	assert_int_equal(stats.checkpoint_bytes, 0);
}

/* Whether the body of a message can be found in any segment file that is out of use. */
static bool
world_keeps_bodies(struct world *world)
{
	static uint8_t bytes[SEGMENT];
	bool found = false;

	for (unsigned slot = 0; slot < 20; slot++) {
		char name[32];
		int fd;

		(void)snprintf(name, sizeof(name), "%08u.seg", slot);
		fd = openat(world->journal_dir, name, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && pread(fd, bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes))
			found |= memmem(bytes, sizeof(bytes), "bbbbbbbb", 8) != NULL;
		if (fd >= 0)
			(void)close(fd);
	}
	return found;
}

static void
test_store__journal_scrub__ended_mail_is_not_kept_in_free_segments(void **state)
{
	struct world *world = *state;

	world_close(world);
	world->zeroes = true;
	world_open(world);
	world_put_closed(world, 7);
	assert_true(world_keeps_bodies(world));
	for (store_ref ref; (ref = store_next(world->store, 0)) != 0;)
		world_done(world, ref);
	for (int i = 0; i < 200; i++)
		world_turn(world);
	WORLD_UNTIL(world, store_is_idle(world->store));
	world_close(world);
	world_open(world); /* the segment that was the newest is free now, too */
	for (int i = 0; i < 200; i++)
		world_turn(world);
	WORLD_UNTIL(world, store_is_idle(world->store));
	assert_false(world_keeps_bodies(world));
}

static void
world_check_format(struct world *world, uint16_t in_force, uint16_t written)
{
	struct journal_format format;

	journal_format(store_journal(world->store), &format);
	assert_int_equal(format.in_force, in_force);
	assert_int_equal(format.written, written);
	assert_int_equal(format.newest, RECORD_FORMAT_MINOR);
}

/* The header of a segment file; false: it has none. Written anew if `change` is given. */
static bool
world_header(const struct world *world, uint32_t slot, struct segment_header *ret_header,
	const struct segment_header *change)
{
	uint8_t block[RECORD_BLOCK];
	struct fault fault;
	char name[32];
	int fd;
	bool is_there;

	(void)snprintf(name, sizeof(name), "%08u.seg", (unsigned)slot);
	fd = openat(world->journal_dir, name, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return false;
	is_there = pread(fd, block, sizeof(block), 0) == (ssize_t)sizeof(block)
		&& segment_header_decode(slice_make(block, sizeof(block)), ret_header, &fault)
			== ERR_OK;
	if (is_there && change != NULL) {
		segment_header_encode(change, block);
		CHECK(pwrite(fd, block, sizeof(block), 0) == (ssize_t)sizeof(block));
	}
	(void)close(fd);
	return is_there;
}

/* The header of the newest segment. */
static struct segment_header
world_newest_header(const struct world *world, uint32_t *ret_slot)
{
	struct segment_header newest = { 0 }, header;

	for (uint32_t slot = 0; slot < 32; slot++)
		if (world_header(world, slot, &header, NULL) && header.sequence > newest.sequence) {
			newest = header;
			*ret_slot = slot;
		}
	return newest;
}

static void
world_restart(struct world *world)
{
	world_close(world);
	world_open(world);
}

static void
test_store__new_journal__has_the_newest_format(void **state)
{
	struct world *world = *state;
	struct segment_header header;
	uint32_t slot;

	world_check_format(world, RECORD_FORMAT_MINOR, RECORD_FORMAT_MINOR);
	header = world_newest_header(world, &slot);
	assert_int_equal(header.minor, RECORD_FORMAT_MINOR);
	assert_string_not_equal(header.writer, "");
	assert_int_equal(journal_upgrade(store_journal(world->store), world_settled, world),
		ERR_EXISTS);
}

/* All that is written is as the old release wrote it, until an upgrade is asked for. */
static void
test_store__old_journal__keeps_its_format_until_upgraded(void **state)
{
	struct world *world = *state;
	struct journal *journal;
	struct segment_header header;
	int before = world->durable;
	uint32_t slot;

	world->is_old = false;
	for (int i = 0; i < 2; i++) {
		world_restart(world);
		world_check_format(world, 0, 0);
		header = world_newest_header(world, &slot);
		assert_int_equal(header.minor, 0);
		assert_int_equal(header.features_may, 0);
		assert_string_equal(header.writer, "");
		assert_int_equal(journal_node(store_journal(world->store),
					 SLICE_LIT("format")).len, 0);
	}
	journal = store_journal(world->store);
	assert_int_equal(journal_upgrade(journal, world_settled, world), ERR_OK);
	assert_int_equal(journal_upgrade(journal, world_settled, world), ERR_AGAIN);
	world_check_format(world, 0, 0); /* not durable yet */
	WORLD_UNTIL(world, world->durable > before);
	world_check_format(world, RECORD_FORMAT_MINOR, RECORD_FORMAT_MINOR);
	world_restart(world);
	world_check_format(world, RECORD_FORMAT_MINOR, RECORD_FORMAT_MINOR);
	assert_int_equal(world_newest_header(world, &slot).minor, RECORD_FORMAT_MINOR);
}

/* What a release to come may ignore is ignored here; it finds its format again. */
static void
test_store__newer_minor_format__works_and_is_not_lowered(void **state)
{
	struct world *world = *state;
	struct segment_header header, changed;
	uint32_t slot = 0;

	(void)world_put_id(world, 7);
	WORLD_UNTIL(world, store_is_idle(world->store));
	changed = world_newest_header(world, &slot);
	changed.minor = 7;
	changed.features_may |= 1024;
	assert_true(world_header(world, slot, &header, &changed));
	world_restart(world);
	world_check_format(world, 7, RECORD_FORMAT_MINOR);
	assert_int_equal(world_newest_header(world, &slot).minor, RECORD_FORMAT_MINOR);
	assert_int_not_equal(store_find(world->store, 7), 0);
	for (uint64_t id = 100; id < 400; id++) /* until that segment is out of force */
		world_done(world, world_put_id(world, id));
	world_done(world, store_find(world->store, 7));
	for (uint64_t id = 400; id < 500; id++)
		world_done(world, world_put_id(world, id));
	world_restart(world);
	world_check_format(world, 7, RECORD_FORMAT_MINOR);
}

#define TEST_OLD(name) cmocka_unit_test_setup_teardown(name, world_start_old, world_end)
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_start, world_end)
#define TEST_ROOMY(name) cmocka_unit_test_setup_teardown(name, world_start_roomy, world_end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store__message_read_back__is_what_was_put),
		TEST(test_store__opened_again__has_state_and_results),
		TEST(test_store__cache_is_full__bodies_go_and_come_back),
		TEST(test_store__transaction_that_fails__leaves_nothing),
		TEST(test_store__message_under_its_end__cannot_be_changed),
		TEST(test_store__large_content__lives_as_long_as_its_message),
		TEST(test_store__large_content_aborted__leaves_no_file),
		TEST(test_store__full_of_living_mail__refuses_until_there_is_room),
		TEST(test_store__damaged_record__is_reported_and_kept),
		TEST_ROOMY(test_store__scrub_finds_damage_beside_a_record__it_moves),
		TEST_ROOMY(test_store__scrub_finds_a_damaged_record__its_message_is_kept_aside),
		TEST_ROOMY(test_store__scrub_finds_a_lost_header__all_moves_and_the_next_start_finds_it),
		TEST(test_store__clean_stop__a_checkpoint_holds_all),
		TEST(test_store__clean_stop_without_time__is_quick),
		TEST(test_store__new_journal__has_the_newest_format),
		TEST_OLD(test_store__old_journal__keeps_its_format_until_upgraded),
		TEST(test_store__newer_minor_format__works_and_is_not_lowered),
		TEST(test_store__journal_scrub__ended_mail_is_not_kept_in_free_segments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
