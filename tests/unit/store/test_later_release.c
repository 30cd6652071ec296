/*
 * test_later_release.c - a journal that a later release has written, read by this one
 *
 * Goal: nothing that is not known is lost or overlooked. Method: records of a type that does not exist are
 * appended to a journal on real files, and headers are changed, as a later release would.
 */
#include "store_world.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { LATER_TYPE = 77, LATER_SIZE = 50 };

static void
later_settled(void *ctx, enum journal_outcome outcome)
{
	bool *is_durable = ctx;

	*is_durable = outcome == JOURNAL_DURABLE;
}

static void
later_put(struct world *world, uint64_t queue_id, uint16_t flags, uint8_t fill)
{
	uint8_t payload[LATER_SIZE];
	struct record record = { .type = LATER_TYPE, .flags = flags,
		.payload = slice_make(payload, sizeof(payload)) };
	bool is_durable = false;

	memset(payload, fill, sizeof(payload));
	for (int i = 0; i < 8; i++)
		payload[i] = (uint8_t)(queue_id >> (8 * i));
	assert_int_equal(journal_append(store_journal(world->store), &record, 1, JOURNAL_RESULT,
				 JOURNAL_NOW, later_settled, &is_durable, NULL),
		ERR_OK);
	WORLD_UNTIL(world, is_durable);
}

static void
later_expect(struct world *world, uint64_t queue_id, unsigned count, const char *fills)
{
	store_ref ref = store_find(world->store, queue_id);
	struct store_view view;

	assert_int_equal(world_load(world, ref), ERR_OK);
	store_view(world->store, ref, &view);
	assert_int_equal(view.unknown_count, count);
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(view.unknowns[i].type, LATER_TYPE);
		assert_int_equal(view.unknowns[i].payload.len, LATER_SIZE);
		assert_int_equal(view.unknowns[i].payload.ptr[0], queue_id);
		assert_int_equal(view.unknowns[i].payload.ptr[LATER_SIZE - 1], fills[i]);
	}
	store_unpin(world->store, ref);
}

static void
later_again(struct world *world)
{
	world_close(world);
	world_open(world);
}

static void
test_record__of_an_unknown_type__follows_its_message_until_it_ends(void **state)
{
	struct world *world = *state;
	uint64_t end;

	store_unpin(world->store, world_put_id(world, 7));
	later_put(world, 7, RECORD_OF_MESSAGE, 'x');
	later_put(world, 7, RECORD_OF_MESSAGE, 'y');
	later_put(world, 99, RECORD_OF_MESSAGE, 'z'); /* of no message that is there */
	later_again(world);
	later_expect(world, 7, 2, "xy");
	world_state(world, store_find(world->store, 7), 5000 * US_PER_S, 0, "state");
	end = journal_recovered_end(store_journal(world->store));
	store_clean_below(world->store, end);
	WORLD_UNTIL(world, journal_first(store_journal(world->store)) >= end);
	later_expect(world, 7, 2, "xy");
	later_again(world);
	later_expect(world, 7, 2, "xy");
	store_stop(world->store, NS_PER_S, world->now); /* by the checkpoint */
	later_again(world);
	later_expect(world, 7, 2, "xy");
	assert_int_equal(world_heard(world, "held"), 0);
	world_done(world, store_find(world->store, 7));
	later_again(world);
	assert_int_equal(store_count(world->store), 0);
}

static void
test_record__unknown_and_critical__holds_its_message_and_says_so(void **state)
{
	struct world *world = *state;
	struct store_info info;

	store_unpin(world->store, world_put_id(world, 7));
	store_unpin(world->store, world_put_id(world, 8));
	later_put(world, 7, RECORD_OF_MESSAGE | RECORD_CRITICAL, 'x');
	later_again(world);
	assert_int_equal(world_heard(world, "message 0000000000000007 has a record of a kind (77)"), 1);
	store_info(world->store, store_find(world->store, 7), &info);
	assert_int_equal(info.flags, RECORD_STATE_HELD);
	store_info(world->store, store_find(world->store, 8), &info);
	assert_int_equal(info.flags, 0);
	assert_int_equal(store_due_first(world->store, world->now.wall), store_find(world->store, 8));
	store_stop(world->store, NS_PER_S, world->now);
	later_again(world);
	assert_int_equal(world_heard(world, "held"), 1);
	later_expect(world, 7, 1, "x");
}

/* A checkpoint or a footer that says less than its records would hide this. */
static void
test_record__unknown_in_a_closed_segment__is_in_the_footer(void **state)
{
	struct world *world = *state;
	struct journal_place place;
	uint64_t id = 10;

	store_unpin(world->store, world_put_id(world, 7));
	later_put(world, 7, RECORD_OF_MESSAGE, 'x');
	while (!journal_place_at(store_journal(world->store), 0, &place))
		store_unpin(world->store, world_put_id(world, id++));
	later_again(world);
	assert_int_equal(world_heard(world, "footer"), 0);
	later_expect(world, 7, 1, "x");
}

static void
later_header_read(struct world *world, struct segment_header *header)
{
	uint8_t block[RECORD_BLOCK];
	struct fault fault;
	int fd = openat(world->journal_dir, "00000000.seg", O_RDONLY | O_CLOEXEC);

	assert_int_equal(pread(fd, block, sizeof(block), 0), sizeof(block));
	assert_int_equal(
		segment_header_decode(slice_make(block, sizeof(block)), header, &fault), ERR_OK);
	(void)close(fd);
}

static void
later_header(struct world *world, const struct segment_header *now, uint16_t major,
	uint64_t features)
{
	struct segment_header header = *now;
	uint8_t block[RECORD_BLOCK];
	int fd = openat(world->journal_dir, "00000000.seg", O_WRONLY | O_CLOEXEC);

	header.major = major;
	header.minor = 13;
	(void)snprintf(header.writer, sizeof(header.writer), "9.8");
	header.features_may |= RECORD_FEATURE_WRITER;
	header.features_must = features;
	segment_header_encode(&header, block);
	assert_int_equal(pwrite(fd, block, sizeof(block), 0), sizeof(block));
	(void)close(fd);
}

static void
later_read(const struct world *world, struct buf *bytes)
{
	for (unsigned slot = 0; slot < 20; slot++) {
		char name[32];
		static uint8_t segment[SEGMENT];
		int fd;

		(void)snprintf(name, sizeof(name), "%08u.seg", slot);
		fd = openat(world->journal_dir, name, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		assert_int_equal(pread(fd, segment, sizeof(segment), 0), sizeof(segment));
		buf_add(bytes, slice_make(segment, sizeof(segment)));
		(void)close(fd);
	}
}

/* The start fails, names the format that is wanted, and changes no byte of any file. */
static void
later_refuses(struct world *world, const char *text)
{
	struct buf before, after;
	unsigned files = world_files(world->journal_dir, false);

	buf_init(&before, 0);
	buf_init(&after, 0);
	later_read(world, &before);
	world_begin_open(world);
	WORLD_UNTIL(world, world->opened);
	assert_int_equal(world->last, ERR_VERSION);
	assert_non_null(strstr(world->fault, text));
	for (int i = 0; i < 300; i++)
		world_turn(world);
	world_close(world);
	later_read(world, &after);
	assert_int_equal(world_files(world->journal_dir, false), files);
	assert_true(slice_equal(buf_slice(&before), buf_slice(&after)));
	assert_int_equal(world_files(world->corrupt_dir, false), 0);
	buf_done(&before);
	buf_done(&after);
}

static void
test_start__unknown_format_or_feature__says_which_and_touches_nothing(void **state)
{
	struct world *world = *state;
	struct segment_header header;

	store_unpin(world->store, world_put_id(world, 7));
	world_close(world);
	later_header_read(world, &header);
	later_header(world, &header, RECORD_FORMAT_MAJOR, 4);
	later_refuses(world, "has format 1.13 and needs its features 0x4, this release knows 1.3; it was "
			     "written by Ostler 9.8");
	later_header(world, &header, 2, 0);
	later_refuses(world, "has format 2.13, this release knows 1.3; it was written by Ostler 9.8");
	later_header(world, &header, RECORD_FORMAT_MAJOR, 0);
	world_open(world);
	assert_int_equal(world_load(world, store_find(world->store, 7)), ERR_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_start_roomy, world_end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_record__of_an_unknown_type__follows_its_message_until_it_ends),
		TEST(test_record__unknown_and_critical__holds_its_message_and_says_so),
		TEST(test_record__unknown_in_a_closed_segment__is_in_the_footer),
		TEST(test_start__unknown_format_or_feature__says_which_and_touches_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
