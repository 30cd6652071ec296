/*
 * test_damage.c - damage that a start must tell from what is whole: all that can be read stays
 *
 * Method: a store over real files, whose bytes are changed while it is closed. Closing at once, before
 * the journal was idle for JOURNAL_IDLE_NS, leaves it as a crash does: nothing proves the last batch.
 */
#include "store_world.h"

#include "base/hash.h"
#include "base/wire.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY SLICE_LIT("key")

/* --- files of the journal ---------------------------------------- */

static int
damage_open(const struct world *world, uint32_t slot)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "%08u.seg", (unsigned)slot);
	return openat(world->journal_dir, name, O_RDWR | O_CLOEXEC);
}

static void
damage_write(const struct world *world, uint32_t slot, uint64_t offset, struct slice bytes)
{
	int fd = damage_open(world, slot);

	assert_true(fd >= 0);
	assert_true(pwrite(fd, bytes.ptr, bytes.len, (off_t)offset) == (ssize_t)bytes.len);
	(void)close(fd);
}

static void
damage_flip(const struct world *world, uint32_t slot, uint64_t offset)
{
	int fd = damage_open(world, slot);
	uint8_t byte = 0;

	assert_true(fd >= 0 && pread(fd, &byte, 1, (off_t)offset) == 1);
	(void)close(fd);
	byte ^= 0x55;
	damage_write(world, slot, offset, slice_make(&byte, 1));
}

static void
damage_remove(const struct world *world, uint32_t slot)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "%08u.seg", (unsigned)slot);
	assert_int_equal(unlinkat(world->journal_dir, name, 0), 0);
}

/* The place of the newest segment, or of the one before it. */
static struct journal_place
damage_place(struct world *world, unsigned back)
{
	struct journal *journal = store_journal(world->store);
	struct journal_place place;
	size_t count = 0;

	while (journal_place_number(journal, count, &place))
		count++;
	assert_true(count > back);
	assert_true(journal_place_number(journal, count - 1 - back, &place));
	return place;
}

/* Messages until one is the first of a new segment; returns its queue ID. */
static uint64_t
damage_fill(struct world *world, uint64_t id)
{
	uint64_t base = damage_place(world, 0).base;

	for (;; id++) {
		store_unpin(world->store, world_put_id(world, id));
		if (damage_place(world, 0).base != base)
			return id;
	}
}

static void
damage_restart(struct world *world)
{
	world_close(world);
	world_open(world);
}

static void
damage_set(struct world *world, const char *value)
{
	int before = world->durable;

	assert_int_equal(journal_set_node(store_journal(world->store), KEY, slice_str(value),
				 world_settled, world),
		ERR_OK);
	WORLD_UNTIL(world, world->durable > before);
}

/* --- tests ---------------------------------------- */

/* A crash behind the header of a new segment: its first batch, which repeats all values, is not
 * there, so that they are those of the segment before, the last of each. */
static void
test_damage__segment_without_a_batch__values_are_the_last_ones(void **state)
{
	struct world *world = *state;
	uint8_t block[RECORD_BLOCK];
	struct segment_header header = { 0 };
	struct journal_place place, spare = { 0 };
	struct fault fault;
	uint64_t durable;
	int fd;

	damage_set(world, "old");
	damage_restart(world);
	damage_set(world, "new");
	place = damage_place(world, 0);
	durable = journal_durable(store_journal(world->store));
	world_close(world);
	fd = damage_open(world, place.slot);
	assert_true(pread(fd, block, sizeof(block), 0) == (ssize_t)sizeof(block));
	(void)close(fd);
	assert_int_equal(
		segment_header_decode(slice_make(block, sizeof(block)), &header, &fault), ERR_OK);
	header.sequence++;
	header.generation++;
	header.base += header.size;
	header.cut = durable;
	segment_header_encode(&header, block);
	for (spare.slot = 0; spare.slot < 32; spare.slot++) { /* a file that is blank */
		uint8_t first[RECORD_BLOCK];
		bool is_blank;

		fd = damage_open(world, spare.slot);
		is_blank = fd >= 0 && pread(fd, first, sizeof(first), 0) == (ssize_t)sizeof(first)
			   && first[0] == 0;
		if (fd >= 0)
			(void)close(fd);
		if (is_blank)
			break;
	}
	damage_write(world, spare.slot, 0, slice_make(block, sizeof(block)));
	world_open(world);
	assert_true(slice_equal_str(journal_node(store_journal(world->store), KEY), "new"));
}

/* What follows a gap is not the successor of what stands before it, and counts all the same. */
static void
test_damage__missing_segment_before_the_newest__its_only_batch_counts(void **state)
{
	struct world *world = *state;
	uint64_t id;

	(void)damage_fill(world, 1);
	id = damage_fill(world, 100);
	world_close(world);
	damage_remove(world, 1);
	world_open(world);
	assert_true(world_heard(world, "missing") >= 1);
	assert_int_equal(world_load(world, store_find(world->store, id)), ERR_OK);
	assert_int_equal(world_heard(world, "damage at LSN"), 0);
}

/* The last batch of a closed segment is damaged, and its footer with it. */
static void
test_damage__end_of_the_segment_before_the_newest__its_only_batch_counts(void **state)
{
	struct world *world = *state;
	struct journal_place place;
	uint64_t id = damage_fill(world, 1);

	place = damage_place(world, 1);
	world_close(world);
	damage_flip(world, place.slot, place.end - place.base - RECORD_BLOCK + 200);
	world_open(world);
	assert_int_equal(world_load(world, store_find(world->store, id)), ERR_OK);
	assert_int_equal(world_heard(world, "damage at LSN"), 1);
}

/* A batch that bears the right LSN, but was written by nobody: a stranger's message has it in it. */
static void
damage_forge(uint64_t lsn, uint64_t epoch, uint64_t ends, struct buf *bytes)
{
	struct record_state end = { .queue_id = ends };
	struct batch_header header = { .epoch = epoch, .lsn = lsn, .count = 1, .durable = lsn };
	struct buf payload;

	buf_init(&payload, 0);
	record_state_encode(&payload, &end);
	batch_begin(bytes);
	(void)record_put(bytes,
		&(struct record){ .type = RECORD_DONE, .payload = buf_slice(&payload) });
	batch_seal(bytes, &header);
	buf_done(&payload);
}

/* Its message lies where a batch was torn: the journal ends there, and nothing of it counts. */
static void
test_damage__forged_batch_behind_a_torn_one__is_not_believed(void **state)
{
	static const uint8_t zeroes[RECORD_BLOCK];
	struct world *world = *state;
	struct journal *journal = store_journal(world->store);
	struct journal_place place;
	struct buf forged;
	uint64_t lsn;

	store_unpin(world->store, world_put_id(world, 7));
	store_unpin(world->store, world_put_id(world, 8));
	lsn = journal_durable(journal);
	place = damage_place(world, 0);
	world_close(world);
	buf_init(&forged, 0);
	damage_forge(lsn + RECORD_BLOCK, 12345, 7, &forged);
	damage_write(world, place.slot, lsn - place.base, slice_make(zeroes, sizeof(zeroes)));
	damage_write(world, place.slot, lsn - place.base + RECORD_BLOCK, buf_slice(&forged));
	buf_done(&forged);
	world_open(world);
	assert_int_equal(world_heard(world, "damage at LSN"), 0);
	assert_int_equal(world_heard(world, "behind the end"), 1);
	assert_int_not_equal(store_find(world->store, 7), 0);
}

/* A value that was set in a batch that is damaged, but not itself. */
static void
test_damage__value_in_a_damaged_batch__is_salvaged(void **state)
{
	struct world *world = *state;
	struct journal_place place;
	uint64_t lsn;

	damage_set(world, "old");
	lsn = journal_durable(store_journal(world->store));
	damage_set(world, "new");
	place = damage_place(world, 0);
	for (int i = 0; i < 200; i++) /* a batch behind it proves that it had been durable */
		world_turn(world);
	world_close(world);
	damage_flip(world, place.slot, lsn - place.base + RECORD_BLOCK - 1);
	world_open(world);
	assert_int_equal(world_heard(world, "damage at LSN"), 1);
	assert_true(slice_equal_str(journal_node(store_journal(world->store), KEY), "new"));
}

/* Named values join the first batch of each segment: beside them the largest append must fit. */
static void
test_damage__too_many_values__are_refused(void **state)
{
	static const uint8_t bytes[4096];
	struct world *world = *state;
	struct journal *journal = store_journal(world->store);
	char key[8] = "k0";
	enum err err = ERR_OK;
	unsigned count = 0;

	for (; err == ERR_OK && count < 64; count++, key[1]++)
		err = journal_set_node(journal, slice_str(key), slice_make(bytes, sizeof(bytes)),
			NULL, NULL);
	assert_int_equal(err, ERR_LIMIT);
	assert_true(count > 1 && count * sizeof(bytes) <= 2 * SEGMENT / 8);
	WORLD_UNTIL(world, store_is_idle(world->store));
	(void)damage_fill(world, 1);
}

/* A message whose body is damaged, idle. */
static store_ref
damage_message(struct world *world, uint64_t id)
{
	struct journal_place place = damage_place(world, 0);
	store_ref ref;
	uint64_t lsn;

	WORLD_UNTIL(world, store_is_idle(world->store));
	lsn = journal_durable(store_journal(world->store));
	ref = world_put_id(world, id);
	store_unpin(world->store, ref);
	damage_flip(world, place.slot, lsn - place.base + 1000);
	return ref;
}

/* A message leaves the queue when all of it is kept, however often that fails. */
static void
test_damage__message_that_cannot_be_kept__stays_until_it_can(void **state)
{
	struct world *world = *state;
	struct store_stats stats;
	struct stat info;
	store_ref ref = damage_message(world, 7);

	assert_int_equal(mkdirat(world->corrupt_dir, "message-0000000000000007.tmp", 0700), 0);
	assert_int_equal(world_load(world, ref), ERR_CORRUPT);
	for (int i = 0; i < 8000; i++) /* eight seconds: at 1, 3 and 7 it is tried again */
		world_turn(world);
	store_stats(world->store, &stats);
	assert_int_equal(stats.unsaved, 1);
	assert_int_equal(world_heard(world, "cannot keep corrupt/message-0000000000000007"), 1);
	assert_int_equal(store_find(world->store, 7), ref);
	assert_int_equal(unlinkat(world->corrupt_dir, "message-0000000000000007.tmp", AT_REMOVEDIR), 0);
	WORLD_UNTIL(world, store_find(world->store, 7) == 0);
	assert_int_equal(fstatat(world->corrupt_dir, "message-0000000000000007", &info, 0), 0);
	assert_true(info.st_size > BODY);
}

/* What a kill left of a save is no file that was kept. */
static void
test_damage__half_a_save__is_made_anew(void **state)
{
	struct world *world = *state;
	struct stat info;
	store_ref ref = damage_message(world, 7);
	int fd = openat(world->corrupt_dir, "message-0000000000000007.tmp",
		O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0 && write(fd, "half", 4) == 4);
	(void)close(fd);
	assert_int_equal(world_load(world, ref), ERR_CORRUPT);
	WORLD_UNTIL(world, store_find(world->store, 7) == 0);
	assert_int_equal(fstatat(world->corrupt_dir, "message-0000000000000007", &info, 0), 0);
	assert_true(info.st_size > BODY);
	assert_int_equal(world_files(world->corrupt_dir, false), 1);
}

static void
damage_touch(int dir, const char *name)
{
	int fd = openat(dir, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	(void)close(fd);
}

static unsigned
damage_index_files(const struct world *world)
{
	DIR *list = fdopendir(openat(world->journal_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *entry;
	unsigned count = 0;

	assert_non_null(list);
	while ((entry = readdir(list)) != NULL)
		count += strncmp(entry->d_name, "index-", 6) == 0;
	(void)closedir(list);
	return count;
}

/* --- checkpoints ---------------------------------------- */

enum { CHECKPOINT_BLOCK = 65536, CHECKPOINT_HEADER = 64 };

/* Exchanges the places of the first two messages, and makes the checksum right. */
static void
damage_swap_entries(uint8_t *block)
{
	uint8_t *one = NULL, *two = NULL;
	uint64_t lsn;

	for (uint32_t i = 0; i < wire_load_u32(block + 40) && two == NULL; i++) {
		uint8_t *entry = block + CHECKPOINT_HEADER + i * SUMMARY_ENTRY;

		if (entry[30] != RECORD_MESSAGE)
			continue;
		two = one != NULL ? entry : NULL;
		one = one != NULL ? one : entry;
	}
	assert_true(one != NULL && two != NULL);
	lsn = wire_load_u64(one + 8);
	wire_store_u64(one + 8, wire_load_u64(two + 8));
	wire_store_u64(two + 8, lsn);
	wire_store_u64(block + 56,
		hash_bytes_seeded(slice_make(block + CHECKPOINT_HEADER,
					  CHECKPOINT_BLOCK - CHECKPOINT_HEADER),
			hash_bytes(slice_make(block, 56))));
}

/* A checkpoint that is whole, but not true: the records are, and no message is lost for it. */
static void
test_damage__checkpoint_contradicts_the_records__they_count(void **state)
{
	struct world *world = *state;
	static uint8_t block[CHECKPOINT_BLOCK];
	struct store_stats stats;
	char name[32];
	int fd;

	store_unpin(world->store, world_put_id(world, 7));
	store_unpin(world->store, world_put_id(world, 8));
	store_stop(world->store, NS_PER_S, world->now);
	WORLD_UNTIL(world, store_is_idle(world->store));
	store_stats(world->store, &stats);
	world_close(world);
	(void)snprintf(name, sizeof(name), "index-%016llx", (unsigned long long)stats.checkpoint_lsn);
	fd = openat(world->journal_dir, name, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0 && pread(fd, block, sizeof(block), 0) == (ssize_t)sizeof(block));
	damage_swap_entries(block);
	assert_true(pwrite(fd, block, sizeof(block), 0) == (ssize_t)sizeof(block));
	(void)close(fd);
	world_open(world);
	assert_int_equal(world_load(world, store_find(world->store, 7)), ERR_IO);
	assert_int_equal(world_heard(world, "where the index has it"), 1);
	WORLD_UNTIL(world, damage_index_files(world) == 0);
	assert_int_equal(world_files(world->corrupt_dir, false), 0);
	damage_restart(world);
	assert_int_equal(world_load(world, store_find(world->store, 7)), ERR_OK);
	assert_int_equal(world_load(world, store_find(world->store, 8)), ERR_OK);
}

/* --- lost headers ---------------------------------------- */

static void
damage_lose_header(const struct world *world, uint32_t slot)
{
	static const uint8_t zeroes[RECORD_BLOCK];

	damage_write(world, slot, 0, slice_make(zeroes, sizeof(zeroes)));
}

/* Mail in three segments, of which the one `back` from the newest loses its header. */
static void
damage_check_rebuilt(struct world *world, unsigned back)
{
	struct journal_place place;
	uint64_t last, count;

	(void)damage_fill(world, 1);
	(void)damage_fill(world, 100);
	last = damage_fill(world, 200);
	store_unpin(world->store, world_put_id(world, 300));
	count = store_count(world->store);
	place = damage_place(world, back);
	world_close(world);
	damage_lose_header(world, place.slot);
	world_open(world);
	assert_int_equal(world_heard(world, "its header is lost"), 0);
	assert_int_equal(world_heard(world, "is lost; it is read as segment"), 1);
	assert_int_equal(world_heard(world, "damage at LSN"), 0);
	assert_int_equal(world_heard(world, "missing"), 0);
	assert_int_equal(store_count(world->store), count);
	assert_int_equal(world_load(world, store_find(world->store, 1)), ERR_OK);
	assert_int_equal(world_load(world, store_find(world->store, last)), ERR_OK);
	assert_int_equal(world_load(world, store_find(world->store, 300)), ERR_OK);
	WORLD_UNTIL(world, journal_first(store_journal(world->store)) > place.base
				   && store_is_idle(world->store));
	for (int i = 0; i < 200; i++)
		world_turn(world);
	damage_restart(world);
	assert_int_equal(world_heard(world, "lost"), 0);
	assert_int_equal(store_count(world->store), count);
}

static void
test_damage__header_of_a_closed_segment_lost__its_batches_count(void **state)
{
	damage_check_rebuilt(*state, 1);
}

static void
test_damage__header_of_the_oldest_segment_lost__its_batches_count(void **state)
{
	damage_check_rebuilt(*state, 3);
}

static void
test_damage__header_of_the_newest_segment_lost__its_batches_count(void **state)
{
	damage_check_rebuilt(*state, 0);
}

/* Its first batch as well: it is not taken for a file that is blank. */
static void
test_damage__header_and_first_batch_lost__the_others_count(void **state)
{
	static const uint8_t zeroes[RECORD_BLOCK];
	struct world *world = *state;
	struct journal_place place;

	(void)damage_fill(world, 1);
	store_unpin(world->store, world_put_id(world, 300));
	for (int i = 0; i < 200; i++)
		world_turn(world);
	place = damage_place(world, 0);
	world_close(world);
	damage_lose_header(world, place.slot);
	damage_write(world, place.slot, RECORD_BLOCK, slice_make(zeroes, sizeof(zeroes)));
	world_open(world);
	assert_int_equal(world_heard(world, "is lost; it is read as segment"), 1);
	assert_true(world_heard(world, "damage at LSN") >= 1);
	assert_int_equal(world_load(world, store_find(world->store, 300)), ERR_OK);
}

/* Of another journal, or of nowhere in this one. */
static void
test_damage__batches_without_a_header_that_fit_nowhere__are_put_aside(void **state)
{
	struct world *world = *state;
	struct journal_place place;
	struct buf forged;

	store_unpin(world->store, world_put_id(world, 7));
	place = damage_place(world, 0);
	world_close(world);
	buf_init(&forged, 0);
	damage_forge(place.base + place.size / 2 + RECORD_BLOCK, 5, 7, &forged);
	damage_touch(world->journal_dir, "00000031.seg");
	damage_write(world, 31, RECORD_BLOCK, buf_slice(&forged));
	buf_done(&forged);
	world_open(world);
	assert_int_equal(world_heard(world, "fits nowhere"), 1);
	assert_int_equal(world_load(world, store_find(world->store, 7)), ERR_OK);
	WORLD_UNTIL(world, faccessat(world->journal_dir, "bad-00000031.seg", F_OK, 0) == 0);
}

/* What kills have left of checkpoints, one of them after its end: two whole ones are kept. */
static void
test_damage__remnants_of_checkpoints__are_removed(void **state)
{
	struct world *world = *state;

	world_close(world);
	damage_touch(world->journal_dir, "index-0000000000002000.tmp");
	damage_touch(world->journal_dir, "index-0000000000003000.tmp");
	damage_touch(world->journal_dir, "index-0000000000000001");
	damage_touch(world->journal_dir, "index-0000000000000002");
	damage_touch(world->journal_dir, "index-0000000000000003");
	world_open(world);
	store_unpin(world->store, world_put_id(world, 7));
	store_stop(world->store, NS_PER_S, world->now);
	WORLD_UNTIL(world, store_is_idle(world->store) && damage_index_files(world) == 2);
	damage_restart(world);
	assert_int_equal(world_heard(world, "checkpoint"), 0);
	assert_int_equal(world_load(world, store_find(world->store, 7)), ERR_OK);
}

/* A disk that takes none is not filled with what it took of them. */
static void
test_damage__checkpoint_that_fails__leaves_nothing(void **state)
{
	struct world *world = *state;
	char name[64];

	store_unpin(world->store, world_put_id(world, 7));
	for (int i = 0; i < 200; i++)
		world_turn(world);
	/* The name that it is to get is taken by a directory: all is written, but not renamed. */
	(void)snprintf(name, sizeof(name), "index-%016llx",
		(unsigned long long)journal_durable(store_journal(world->store)));
	assert_int_equal(mkdirat(world->journal_dir, name, 0700), 0);
	store_stop(world->store, NS_PER_S, world->now);
	WORLD_UNTIL(world, world_heard(world, "cannot write a checkpoint") == 1);
	WORLD_UNTIL(world, store_is_idle(world->store) && damage_index_files(world) == 1);
	assert_int_equal(unlinkat(world->journal_dir, name, AT_REMOVEDIR), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_start_roomy, world_end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_damage__segment_without_a_batch__values_are_the_last_ones),
		TEST(test_damage__missing_segment_before_the_newest__its_only_batch_counts),
		TEST(test_damage__end_of_the_segment_before_the_newest__its_only_batch_counts),
		TEST(test_damage__forged_batch_behind_a_torn_one__is_not_believed),
		TEST(test_damage__value_in_a_damaged_batch__is_salvaged),
		TEST(test_damage__message_that_cannot_be_kept__stays_until_it_can),
		TEST(test_damage__half_a_save__is_made_anew),
		TEST(test_damage__remnants_of_checkpoints__are_removed),
		TEST(test_damage__checkpoint_that_fails__leaves_nothing),
		TEST(test_damage__header_of_a_closed_segment_lost__its_batches_count),
		TEST(test_damage__header_of_the_oldest_segment_lost__its_batches_count),
		TEST(test_damage__header_of_the_newest_segment_lost__its_batches_count),
		TEST(test_damage__header_and_first_batch_lost__the_others_count),
		TEST(test_damage__batches_without_a_header_that_fit_nowhere__are_put_aside),
		TEST(test_damage__checkpoint_contradicts_the_records__they_count),
		TEST(test_damage__too_many_values__are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
