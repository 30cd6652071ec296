/*
 * test_space.c - files of another length than new segments have: counted as they are, not used again
 *
 * Goal: journal_space.c never writes into a file that was not prepared in the length of a segment.
 * Method: a store over real files; one is left as a crash amid its removal leaves it, or the length
 * of segments is changed between two starts.
 */
#include "store_world.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLOT = 31, SHORT = SEGMENT - 3 * RECORD_BLOCK };

static void
space_name(uint32_t slot, char name[32])
{
	(void)snprintf(name, 32, "%08u.seg", (unsigned)slot);
}

/* The length of a segment file; 0: it is not there. */
static uint64_t
space_length(const struct world *world, uint32_t slot)
{
	struct stat st;
	char name[32];

	space_name(slot, name);
	return fstatat(world->journal_dir, name, &st, 0) == 0 ? (uint64_t)st.st_size : 0;
}

/* The number of files that have another length than this. */
static unsigned
space_odd(const struct world *world, uint64_t length)
{
	unsigned count = 0;

	for (uint32_t slot = 0; slot <= SLOT; slot++)
		count += space_length(world, slot) != 0 && space_length(world, slot) != length;
	return count;
}

/* The segment in force whose file has this number. */
static bool
space_place(const struct world *world, uint32_t slot, struct journal_place *ret_place)
{
	const struct journal *journal = store_journal(world->store);

	for (size_t i = 0; journal_place_number(journal, i, ret_place); i++)
		if (ret_place->slot == slot)
			return true;
	return false;
}

/* Mail comes and goes until this file is out of force, and what goes is gone. */
static void
space_renew(struct world *world, uint32_t slot)
{
	struct journal_place place;

	for (uint64_t id = 1000; space_place(world, slot, &place); id++) {
		assert_true(id < 2000);
		world_done(world, world_put_id(world, id));
	}
	for (int i = 0; i < 200; i++)
		world_turn(world);
	WORLD_UNTIL(world, journal_is_settled(store_journal(world->store)));
}

/*
 * The file of a segment that came into force while a flush failed, and was taken out again: its
 * header is whole, and a crash amid its removal has left only a part of it.
 */
static void
space_leave_short(const struct world *world, uint32_t after, uint64_t durable)
{
	uint8_t block[RECORD_BLOCK];
	struct segment_header header = { 0 };
	struct fault fault;
	char name[32];
	int fd;

	space_name(after, name);
	fd = openat(world->journal_dir, name, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && pread(fd, block, sizeof(block), 0) == (ssize_t)sizeof(block));
	(void)close(fd);
	assert_int_equal(
		segment_header_decode(slice_make(block, sizeof(block)), &header, &fault), ERR_OK);
	header.sequence++;
	header.generation++;
	header.base += header.size;
	header.cut = durable;
	segment_header_encode(&header, block);
	space_name(SLOT, name);
	fd = openat(world->journal_dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && pwrite(fd, block, sizeof(block), 0) == (ssize_t)sizeof(block));
	assert_int_equal(ftruncate(fd, SHORT), 0);
	(void)close(fd);
}

/* --- tests ---------------------------------------- */

static void
test_space__file_cut_short_by_a_crash__counts_as_long_as_it_is_and_goes(void **state)
{
	struct world *world = *state;
	struct journal_place place = { 0 };
	uint64_t durable;
	size_t count = 0;

	store_unpin(world->store, world_put_id(world, 7));
	while (journal_place_number(store_journal(world->store), count, &place))
		count++;
	durable = journal_durable(store_journal(world->store));
	world_close(world);
	space_leave_short(world, place.slot, durable);
	world_open(world);
	assert_int_equal(world_heard(world, "damage") + world_heard(world, "missing"), 0);
	assert_int_equal(world_load(world, store_find(world->store, 7)), ERR_OK);
	assert_true(space_place(world, SLOT, &place));
	assert_int_equal(place.size, SEGMENT);
	durable = journal_durable(store_journal(world->store));
	assert_true(durable > place.base + place.size);
	assert_int_equal(journal_place_bytes(&place, durable), SHORT);
	assert_int_equal(journal_place_bytes(&place, place.base + RECORD_BLOCK), RECORD_BLOCK);
	assert_int_equal(journal_place_bytes(&place, place.base - RECORD_BLOCK), 0);
	world_done(world, store_find(world->store, 7));
	space_renew(world, SLOT);
	assert_int_equal(space_length(world, SLOT), 0);
	assert_int_equal(space_odd(world, SEGMENT), 0);
}

static void
test_space__segments_became_longer__the_old_files_go(void **state)
{
	struct world *world = *state;

	world_done(world, world_put_id(world, 7));
	world_close(world);
	world->is_long = true;
	world_open(world);
	assert_int_equal(space_length(world, 0), SEGMENT);
	space_renew(world, 0);
	assert_int_equal(space_length(world, 0), 0);
	assert_int_equal(space_odd(world, SEGMENT_LONG), 0);
}

static void
test_space__appended_segments__are_as_long_as_what_they_hold_and_go(void **state)
{
	struct world *world = *state;
	struct journal_place place = { 0 };
	struct journal_space space;
	uint64_t slot;

	world_done(world, world_put_id(world, 7)); /* in a segment that was written beforehand */
	world_close(world);
	world->appends = true;
	world_open(world);
	store_unpin(world->store, world_put_id(world, 8));
	for (size_t i = 0; journal_place_number(store_journal(world->store), i, &place); i++)
		;
	slot = place.slot;
	assert_int_equal(place.size, SEGMENT);
	assert_true(place.file_size > 2 * RECORD_BLOCK && place.file_size < SEGMENT);
	assert_int_equal(space_length(world, place.slot), place.file_size);
	assert_int_equal(journal_place_bytes(&place, UINT64_MAX), place.file_size);
	WORLD_UNTIL(world, (journal_space(store_journal(world->store), &space),
				   space.appends && space.accepts_mail && space.free_segments > 0));
	/* Files from before go, too; what is there afterwards has been made anew. */
	space_renew(world, 0);
	assert_int_equal(space_length(world, 0), 0);
	world_done(world, store_find(world->store, 8));
	space_renew(world, (uint32_t)slot);
	world_close(world);
	world_open(world);
	assert_int_equal(world_heard(world, "damage") + world_heard(world, "missing"), 0);
	/* Back again: only files that were prepared in full are written to. */
	world_close(world);
	world->appends = false;
	world_open(world);
	(void)journal_place_number(store_journal(world->store), 0, &place);
	space_renew(world, place.slot);
	assert_int_equal(space_odd(world, SEGMENT), 0);
}

/* Whether a file has anything but zeroes. */
static bool
space_has_content(const struct world *world, const char *name)
{
	int fd = openat(world->journal_dir, name, O_RDONLY | O_CLOEXEC);
	uint8_t bytes[SEGMENT];
	bool found = false;

	assert_true(fd >= 0 && read(fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes));
	(void)close(fd);
	for (size_t i = 0; i < sizeof(bytes); i++)
		found |= bytes[i] != 0;
	return found;
}

/* Under a second name, the bytes can be looked at when the file is gone. */
static void
test_space__journal_scrub__files_that_go_are_zeroed(void **state)
{
	struct world *world = *state;

	world_done(world, world_put_id(world, 7));
	world_close(world);
	assert_int_equal(
		linkat(world->journal_dir, "00000000.seg", world->journal_dir, "second", 0), 0);
	world->is_long = world->zeroes = true;
	world_open(world);
	assert_true(space_has_content(world, "second"));
	space_renew(world, 0);
	assert_int_equal(space_length(world, 0), 0);
	assert_false(space_has_content(world, "second"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_start, world_end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_space__file_cut_short_by_a_crash__counts_as_long_as_it_is_and_goes),
		TEST(test_space__segments_became_longer__the_old_files_go),
		TEST(test_space__journal_scrub__files_that_go_are_zeroed),
		TEST(test_space__appended_segments__are_as_long_as_what_they_hold_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
