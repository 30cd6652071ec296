/*
 * test_index.c - the index of messages against a naive one
 *
 * Goal: what was added is found, what was removed is not, and the earliest is the earliest, while the
 * table grows and shrinks. Method: a seeded walk beside a plain array; edges by hand.
 */
#include "base/check.h"
#include "base/mem.h"
#include "base/rand.h"
#include "store/index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { NAIVE_MAX = 3000, WALK_STEPS = 60000 };

struct naive {
	uint64_t queue_id; /* 0: free */
	uint32_t ref, due_s;
	bool is_scheduled;
};

static struct naive naive[NAIVE_MAX];

static void
naive_check_first(const struct index *index)
{
	uint32_t first = index_first(index), earliest = UINT32_MAX;
	bool any = false;

	for (size_t i = 0; i < NAIVE_MAX; i++) {
		if (naive[i].queue_id == 0 || !naive[i].is_scheduled)
			continue;
		any = true;
		earliest = naive[i].due_s < earliest ? naive[i].due_s : earliest;
	}
	assert_int_equal(first != 0, any);
	if (any)
		assert_int_equal(index_slot(index, first)->due_s, earliest);
}

static void
naive_step(struct index *index, struct rng *rng, struct naive *one)
{
	if (one->queue_id == 0) {
		one->queue_id = rng_next(rng) | 1;
		one->ref = index_add(index, one->queue_id);
		one->is_scheduled = false;
	} else if (rng_one_in(rng, 3)) {
		index_remove(index, one->ref);
		assert_int_equal(index_find(index, one->queue_id), 0);
		assert_false(index_is_used(index, one->ref));
		one->queue_id = 0;
		if (rng_one_in(rng, 2))
			index_settle(index);
	} else if (rng_one_in(rng, 4)) {
		index_unschedule(index, one->ref);
		one->is_scheduled = false;
	} else {
		one->due_s = (uint32_t)rng_below(rng, 500);
		index_slot(index, one->ref)->due_s = one->due_s;
		index_schedule(index, one->ref);
		one->is_scheduled = true;
	}
}

/* rules: H10 */
/* rules: M7 B3 B20 B22 */
static void
test_index__random_walk__agrees_with_a_plain_array(void **state)
{
	struct index index;
	struct rng rng;
	size_t count = 0;
	uint32_t seen = 0;

	(void)state;
	index_init(&index);
	rng_init(&rng, 7);
	for (int step = 0; step < WALK_STEPS; step++) {
		naive_step(&index, &rng, &naive[rng_below(&rng, NAIVE_MAX)]);
		if (step % 500 == 0)
			naive_check_first(&index);
	}
	for (size_t i = 0; i < NAIVE_MAX; i++) {
		if (naive[i].queue_id == 0)
			continue;
		count++;
		assert_int_equal(index_find(&index, naive[i].queue_id), naive[i].ref);
	}
	for (uint32_t ref = 0; (ref = index_next(&index, ref)) != 0;)
		seen++;
	assert_int_equal(count, index.count);
	assert_int_equal(count, seen);
	index_done(&index);
}

static void
test_index__more_than_a_chunk__keeps_slots_in_place(void **state)
{
	enum { COUNT = 3 * INDEX_CHUNK + 5 };
	struct index index;
	const struct index_slot *first;

	(void)state;
	index_init(&index);
	first = index_slot(&index, index_add(&index, 1));
	for (uint64_t id = 2; id <= COUNT; id++)
		index_schedule(&index, index_add(&index, id));
	assert_ptr_equal(first, index_slot(&index, index_find(&index, 1)));
	for (uint64_t id = 1; id <= COUNT; id++)
		assert_int_not_equal(index_find(&index, id), 0);
	assert_int_equal(index_find(&index, COUNT + 1), 0);
	assert_int_equal(index_next(&index, COUNT), 0);
	index_done(&index);
}

static void
test_index__removed_ref__comes_back_only_after_settle(void **state)
{
	struct index index;
	uint32_t ref;

	(void)state;
	index_init(&index);
	ref = index_add(&index, 10);
	index_remove(&index, ref);
	assert_int_not_equal(index_add(&index, 11), ref);
	index_settle(&index);
	assert_int_equal(index_add(&index, 12), ref);
	index_done(&index);
}

/* rules: L5 B4 B23 */
static void
test_index__equal_due_times__go_by_arrival(void **state)
{
	struct index index;
	uint32_t late, early;

	(void)state;
	index_init(&index);
	late = index_add(&index, 1);
	early = index_add(&index, 2);
	index_slot(&index, late)->arrival_us = 200;
	index_slot(&index, early)->arrival_us = 100;
	index_schedule(&index, late);
	index_schedule(&index, early);
	assert_int_equal(index_first(&index), early);
	index_unschedule(&index, early);
	index_unschedule(&index, early);
	assert_int_equal(index_first(&index), late);
	index_remove(&index, late);
	assert_int_equal(index_first(&index), 0);
	index_done(&index);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_index__random_walk__agrees_with_a_plain_array),
		cmocka_unit_test(test_index__more_than_a_chunk__keeps_slots_in_place),
		cmocka_unit_test(test_index__removed_ref__comes_back_only_after_settle),
		cmocka_unit_test(test_index__equal_due_times__go_by_arrival),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
