/*
 * test_hint.c - changes that nobody waits for: how long they wait for company in the journal
 *
 * Real files; time is moved by hand, a millisecond a turn.
 */
#include "store_world.h"

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

static uint64_t
turns_until_durable(struct world *world, int count)
{
	uint64_t turns = 0;

	while (world->durable < count) {
		assert_true(++turns < TURNS_MAX);
		world_turn(world);
	}
	return turns;
}

static void
test_hint__alone__waits_a_second(void **state)
{
	struct world *world = *state;
	store_ref ref = world_put_id(world, 7);
	int before = world->durable;

	hint(world, ref, 100);
	assert_in_range(turns_until_durable(world, before + 1), 1000, 1100);
}

static void
test_hint__something_else_is_written__goes_with_it(void **state)
{
	struct world *world = *state;
	store_ref ref = world_put_id(world, 7), other = world_put_id(world, 8);
	int before = world->durable;

	hint(world, ref, 100);
	for (int i = 0; i < 500; i++)
		world_turn(world);
	assert_int_equal(world->durable, before);
	world_state(world, other, 5 * US_PER_S, 0, "in ten milliseconds");
	assert_int_equal(world->durable, before + 2);
	hint(world, ref, 100);
	(void)world_put_id(world, 9);
	assert_int_equal(world->durable, before + 4);
}

/* The record has 24 bytes in front of its payload, that 24 in front of the state, and the batch 128. */
static void
test_hint__block_is_full__does_not_wait(void **state)
{
	struct world *world = *state;
	store_ref ref = world_put_id(world, 7), other = world_put_id(world, 8);
	int before = world->durable;

	hint(world, ref, RECORD_BLOCK - 128 - 48 - JOURNAL_LATER_ROOM);
	for (int i = 0; i < 100; i++)
		world_turn(world);
	assert_int_equal(world->durable, before);
	hint(world, other, RECORD_BLOCK - 48);
	assert_int_equal(world->durable, before);
	for (int i = 0; i < 100; i++)
		world_turn(world);
	assert_int_equal(world->durable, before);
	hint(world, ref, 16);
	assert_in_range(turns_until_durable(world, before + 3), 1, 50);
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
	assert_in_range(turns_until_durable(world, before + 1), 1, 50);
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
