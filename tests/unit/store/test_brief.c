/*
 * test_brief.c - states that end as another one does: written short, and read back whole
 *
 * Goal: whatever becomes of the segment, a message shows the state that was given. Crashes are the
 * simulation's part.
 */
#include "store_world.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define END "because its site does not answer, as it did not answer before, and nobody knows why"

/* A hint that ends with END, durable; returns what the journal took for it. */
static uint64_t
defer(struct world *world, store_ref ref, const char *own)
{
	struct store_stats before, after;
	struct store_txn txn;
	char text[200];
	int durable = world->durable;

	(void)snprintf(text, sizeof(text), "%s %s", own, END);
	store_stats(world->store, &before);
	store_txn_begin(&txn, world->store, JOURNAL_RESULT, JOURNAL_LATER);
	store_txn_brief(&txn, ref, 5 * US_PER_S, RECORD_STATE_WARNED, slice_str(text), strlen(END));
	assert_int_equal(store_txn_commit(&txn, world_settled, world), ERR_OK);
	WORLD_UNTIL(world, world->durable > durable);
	store_stats(world->store, &after);
	return after.journal.records[JOURNAL_RESULT] - before.journal.records[JOURNAL_RESULT];
}

static bool
is_brief(uint64_t bytes)
{
	return bytes <= 56;
}

/* That is the state of the message when it is read from the disk. */
static void
check_read(struct world *world, uint64_t queue_id, const char *own)
{
	store_ref ref = store_find(world->store, queue_id);
	struct store_view view;
	struct store_info info;
	char text[200];

	(void)snprintf(text, sizeof(text), "%s %s", own, END);
	store_info(world->store, ref, &info);
	assert_int_equal(info.due_us, 5 * US_PER_S);
	assert_int_equal(info.flags, RECORD_STATE_WARNED);
	assert_int_equal(world_load(world, ref), ERR_OK);
	store_view(world->store, ref, &view);
	assert_true(slice_equal_str(view.state, text));
	store_unpin(world->store, ref);
}

static void
restart(struct world *world)
{
	world_close(world);
	world_open(world);
}

/* Three messages; the second and third share the end of the first. */
static void
defer_three(struct world *world)
{
	for (uint64_t id = 7; id < 10; id++) {
		store_ref ref = world_put_id(world, id);
		char own[2] = { (char)('0' + id), '\0' };

		assert_int_equal(is_brief(defer(world, ref, own)), id != 7);
		store_unpin(world->store, ref);
	}
}

static void
check_three(struct world *world)
{
	check_read(world, 7, "7");
	check_read(world, 8, "8");
	check_read(world, 9, "9");
}

static void
test_brief__shared_end__is_read_back_whole(void **state)
{
	struct world *world = *state;

	defer_three(world);
	check_three(world);
	restart(world);
	check_three(world);
}

/* One whose end goes out of force with its message is still there for the others. */
static void
test_brief__first_message_ends__others_keep_their_states(void **state)
{
	struct world *world = *state;

	defer_three(world);
	world_done(world, store_find(world->store, 7));
	restart(world);
	check_read(world, 8, "8");
	check_read(world, 9, "9");
}

static void
test_brief__new_segment__begins_with_a_whole_state(void **state)
{
	struct world *world = *state;
	store_ref ref;

	defer_three(world);
	restart(world);
	ref = store_find(world->store, 8);
	assert_int_equal(world_load(world, ref), ERR_OK);
	assert_false(is_brief(defer(world, ref, "eight")));
	assert_true(is_brief(defer(world, ref, "8")));
	store_unpin(world->store, ref);
	check_three(world);
}

static void
test_brief__segment_is_emptied__states_move_whole(void **state)
{
	struct world *world = *state;
	uint64_t end;

	defer_three(world);
	restart(world); /* so that they are not in the newest segment */
	end = journal_durable(store_journal(world->store));
	store_clean_below(world->store, journal_recovered_end(store_journal(world->store)));
	WORLD_UNTIL(world, journal_first(store_journal(world->store)) > 0);
	assert_true(journal_first(store_journal(world->store)) < end);
	check_three(world);
	restart(world);
	check_three(world);
}

/* A STATE that several share is damaged: theirs is out of date, and that is said of each. */
static void
test_brief__shared_end_is_damaged__each_is_reported_and_retried(void **state)
{
	struct world *world = *state;
	struct journal_place place;
	uint64_t lsn;
	char name[32];
	uint8_t byte;
	int fd;
	store_ref ref = world_put_id(world, 7), other = world_put_id(world, 8);
	struct store_view view;

	lsn = journal_durable(store_journal(world->store));
	(void)defer(world, ref, "7");
	assert_true(is_brief(defer(world, other, "8")));
	store_unpin(world->store, ref);
	store_unpin(world->store, other);
	restart(world);
	assert_true(journal_place_at(store_journal(world->store), lsn, &place));
	(void)snprintf(name, sizeof(name), "%08u.seg", (unsigned)place.slot);
	fd = openat(world->journal_dir, name, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, (off_t)(lsn - place.base + 200)), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)(lsn - place.base + 200)), 1);
	(void)close(fd);
	other = store_find(world->store, 8);
	assert_int_equal(world_load(world, other), ERR_OK);
	store_view(world->store, other, &view);
	assert_int_equal(view.state.len, 0);
	assert_int_equal(world_heard(world, "message 0000000000000008: its state"), 1);
	assert_int_equal(world_load(world, store_find(world->store, 7)), ERR_OK);
	assert_int_equal(world_heard(world, "message 0000000000000007: its state"), 1);
	assert_false(is_brief(defer(world, other, "8")));
	assert_true(is_brief(defer(world, store_find(world->store, 7), "7")));
	store_unpin(world->store, other);
	store_unpin(world->store, store_find(world->store, 7));
	restart(world);
	check_read(world, 8, "8");
	check_read(world, 7, "7");
}

/* A release that does not know them must be able to go on with it. */
static void
test_brief__old_journal__has_none_before_its_upgrade(void **state)
{
	struct world *world = *state;
	store_ref ref = world_put_id(world, 7);
	int before;

	assert_false(is_brief(defer(world, ref, "1")));
	assert_false(is_brief(defer(world, ref, "2")));
	before = world->durable;
	assert_int_equal(
		journal_upgrade(store_journal(world->store), world_settled, world), ERR_OK);
	WORLD_UNTIL(world, world->durable > before);
	(void)defer(world, ref, "3"); /* the header of its segment does not say that it has them */
	assert_false(is_brief(defer(world, ref, "4")));
	world->is_old = false;
	restart(world);
	ref = store_find(world->store, 7);
	assert_int_equal(world_load(world, ref), ERR_OK);
	assert_false(is_brief(defer(world, ref, "5")));
	assert_true(is_brief(defer(world, ref, "6")));
	store_unpin(world->store, ref);
	check_read(world, 7, "6");
}

/* Longer than what is read of a STATE that is shared: it is written whole each time. */
static void
test_brief__long_state__is_written_whole(void **state)
{
	static uint8_t text[RECORD_BLOCK + 600];
	struct world *world = *state;
	store_ref ref = world_put_id(world, 7);
	struct store_view view;

	memset(text, 't', sizeof(text));
	for (size_t len = RECORD_BLOCK + 400; len <= sizeof(text); len += 100)
		for (int i = 0; i < 2; i++) {
			struct store_txn txn;
			int durable = world->durable;

			store_txn_begin(&txn, world->store, JOURNAL_RESULT, JOURNAL_LATER);
			store_txn_brief(&txn, ref, 0, 0, slice_make(text, len),
				RECORD_BRIEF_TAIL_MAX + (len > RECORD_BLOCK + 500));
			assert_int_equal(store_txn_commit(&txn, world_settled, world), ERR_OK);
			WORLD_UNTIL(world, world->durable > durable);
			store_unpin(world->store, ref);
			assert_int_equal(world_load(world, ref), ERR_OK);
			store_view(world->store, ref, &view);
			assert_true(slice_equal(view.state, slice_make(text, len)));
		}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_start_roomy, world_end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_brief__shared_end__is_read_back_whole),
		TEST(test_brief__first_message_ends__others_keep_their_states),
		TEST(test_brief__new_segment__begins_with_a_whole_state),
		TEST(test_brief__segment_is_emptied__states_move_whole),
		TEST(test_brief__shared_end_is_damaged__each_is_reported_and_retried),
		cmocka_unit_test_setup_teardown(
			test_brief__old_journal__has_none_before_its_upgrade, world_start_old,
			world_end),
		TEST(test_brief__long_state__is_written_whole),
	};

	return cmocka_run_group_tests_name("brief", tests, NULL, NULL);
}
