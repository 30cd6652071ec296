/*
 * test_hint.c - changes that nobody waits for: how long they wait for company in the journal
 *
 * Real files; time is moved by hand, a millisecond a turn.
 */
#include "store_world.h"

#include <unistd.h>

static void
hint(struct world *world, store_ref ref, size_t length)
{
	uint8_t text[RECORD_BLOCK];
	struct store_txn txn;

	assert_true(length <= sizeof(text));
	memset(text, 's', sizeof(text));
	store_txn_begin(&txn, world->store, JOURNAL_RESULT, JOURNAL_LATER);
	store_txn_state(&txn, ref, 5 * US_PER_S, 0, slice_make(text, length));
	assert_int_equal(store_txn_commit(&txn, world_settled, world), ERR_OK);
}

static void
pass_ms(struct world *world, int count)
{
	for (int i = 0; i < count; i++)
		world_turn(world);
}

/* Without waiting: the clock stands, however long the disk takes. */
static void
until_durable(struct world *world, int count)
{
	for (int turns = 0; world->durable < count; turns++) {
		assert_true(turns < TURNS_MAX);
		store_step(world->store, world->now);
		if (disk_file_poll(world->disk) == 0)
			(void)usleep(100);
	}
}

static void
test_hint__alone__waits_a_second(void **state)
{
	struct world *world = *state;
	store_ref ref = world_put_id(world, 7);
	int before = world->durable;

	hint(world, ref, 100);
	pass_ms(world, 990);
	assert_int_equal(world->durable, before);
	pass_ms(world, 10);
	until_durable(world, before + 1);
}

static void
test_hint__something_else_is_written__goes_with_it(void **state)
{
	struct world *world = *state;
	store_ref ref = world_put_id(world, 7), other = world_put_id(world, 8);
	int before = world->durable;

	hint(world, ref, 100);
	pass_ms(world, 500);
	assert_int_equal(world->durable, before);
	world_state(world, other, 5 * US_PER_S, 0, "in ten milliseconds");
	assert_int_equal(world->durable, before + 2);
	hint(world, ref, 100);
	(void)world_put_id(world, 9);
	assert_int_equal(world->durable, before + 4);
}

/* In front of the state the record has 48 bytes, and the batch has 128. */
static void
test_hint__block_is_full__does_not_wait(void **state)
{
	struct world *world = *state;
	store_ref ref = world_put_id(world, 7), other = world_put_id(world, 8);
	int before = world->durable;

	hint(world, ref, RECORD_BLOCK - 128 - 48 - JOURNAL_LATER_ROOM);
	pass_ms(world, 100);
	assert_int_equal(world->durable, before);
	hint(world, other, RECORD_BLOCK - 48);
	assert_int_equal(world->durable, before);
	pass_ms(world, 100);
	assert_int_equal(world->durable, before);
	hint(world, ref, 16);
	until_durable(world, before + 3);
}

static void
test_hint__stop__does_not_wait(void **state)
{
	struct world *world = *state;
	store_ref ref = world_put_id(world, 7);
	struct store_info info;
	int before = world->durable;

	hint(world, ref, 100);
	store_stop(world->store, 0, world->now);
	until_durable(world, before + 1);
	world_close(world);
	world_open(world);
	store_info(world->store, store_find(world->store, 7), &info);
	assert_int_equal(info.due_us, 5 * US_PER_S);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_hint__alone__waits_a_second, world_start, world_end),
		cmocka_unit_test_setup_teardown(
			test_hint__something_else_is_written__goes_with_it, world_start, world_end),
		cmocka_unit_test_setup_teardown(
			test_hint__block_is_full__does_not_wait, world_start, world_end),
		cmocka_unit_test_setup_teardown(
			test_hint__stop__does_not_wait, world_start, world_end),
	};

	return cmocka_run_group_tests_name("hint", tests, NULL, NULL);
}
