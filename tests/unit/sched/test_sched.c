/*
 * test_sched.c - unit tests of sched/sched
 *
 * Goal: rules S, W and X as sched.h states them. Method: one transport, entries moved by hand; a
 * seeded random walk that checks every invariant after each step.
 */
#include "sched/sched.h"

#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { WALK_MESSAGES = 40, WALK_STEPS = 20000 };

struct bench {
	struct sched *sched;
	struct sched_transport *transport;
	struct mono now;
	unsigned done;
};

static void
message_done(void *ctx, struct sched_message *message)
{
	struct bench *bench = ctx;

	(void)message;
	bench->done++;
}

static int
setup(void **state)
{
	static struct bench bench;
	struct sched_options options = { .dead_ns = 300 * NS_PER_S, .transport_dead_ns = 60 * NS_PER_S,
		.message_done = message_done, .ctx = &bench };
	struct sched_limits limits = { .recipient_max = 50,
		.window = { .initial = 2, .limit_max = 4, .cohort_limit = 1,
			.positive = { WINDOW_UNIT, true }, .negative = { WINDOW_UNIT, true } } };

	bench = (struct bench){ .sched = sched_new(&options), .now = { NS_PER_S } };
	bench.transport = sched_transport_set(bench.sched, SLICE_LIT("smtp"), &limits, NULL);
	*state = &bench;
	return 0;
}

static int
teardown(void **state)
{
	struct bench *bench = *state;

	sched_check(bench->sched);
	sched_free(bench->sched);
	return 0;
}

static bool
assign(struct bench *bench, struct sched_message *message, const char *nexthop, uint32_t number)
{
	struct sched_assign to = { .transport = bench->transport, .nexthop = slice_str(nexthop),
		.number = number };
	struct sched_reason dead;

	return sched_recipient_assign(bench->sched, message, &to, &dead);
}

static void
test_sessions__as_many_as_entries_and_window_allow(void **state)
{
	struct bench *bench = *state;
	static struct sched_message messages[3];

	for (int i = 0; i < 3; i++) {
		sched_message_add(&messages[i], bench, (uint64_t)i);
		assert_true(assign(bench, &messages[i], "a.test", 0));
	}
	assert_non_null(sched_session_next(bench->sched, bench->now));
	assert_non_null(sched_session_next(bench->sched, bench->now));
	/* W1: the window starts at 2. */
	assert_null(sched_session_next(bench->sched, bench->now));
}

static void
test_take__oldest_first__and_s23_return_goes_back_to_the_front(void **state)
{
	struct bench *bench = *state;
	static struct sched_message messages[2];
	struct sched_destination *destination;
	struct sched_entry *entry;

	sched_message_add(&messages[0], bench, 20);
	sched_message_add(&messages[1], bench, 10);
	assert_true(assign(bench, &messages[0], "a.test", 0));
	assert_true(assign(bench, &messages[1], "a.test", 0));
	destination = sched_session_next(bench->sched, bench->now);
	sched_session_ready(bench->sched, destination);
	entry = sched_take(bench->sched, destination, false, bench->now);
	assert_ptr_equal(sched_entry_message(entry), &messages[1]);
	sched_entry_return(bench->sched, entry);
	assert_ptr_equal(sched_take(bench->sched, destination, false, bench->now), entry);
	sched_entry_return(bench->sched, entry);
}

static void
test_recipients__grouped_up_to_the_limit__r56(void **state)
{
	struct bench *bench = *state;
	static struct sched_message message;

	sched_message_add(&message, bench, 1);
	for (uint32_t i = 0; i < 120; i++)
		assert_true(assign(bench, &message, "a.test", i));
	assert_int_equal(sched_message_refs(&message), 3);
}

static void
test_failed_sessions__kill_the_destination__and_drain_it__w14_w17(void **state)
{
	struct bench *bench = *state;
	static struct sched_message messages[3];
	struct sched_destination *destination;
	struct sched_entry *entry;
	struct sched_reason reason;
	unsigned drained = 0;

	for (int i = 0; i < 3; i++) {
		sched_message_add(&messages[i], bench, (uint64_t)i);
		assert_true(assign(bench, &messages[i], "a.test", 0));
	}
	for (int i = 0; i < 2; i++) {
		destination = sched_session_next(bench->sched, bench->now);
		assert_non_null(destination);
		entry = sched_session_failed(bench->sched, destination, SLICE_LIT("4.4.1"),
			SLICE_LIT("refused"), bench->now);
		assert_non_null(entry);
		sched_entry_drop(bench->sched, entry);
	}
	while ((entry = sched_drain(bench->sched, &reason)) != NULL) {
		assert_true(slice_equal_str(
			reason.text, "delivery temporarily suspended: refused"));
		sched_entry_drop(bench->sched, entry);
		drained++;
	}
	assert_int_equal(drained, 1);
	assert_int_equal(bench->done, 3);
	sched_message_add(&messages[0], bench, 9);
	assert_false(assign(bench, &messages[0], "a.test", 0));
	/* W15: the timer revives it. */
	assert_int_equal(sched_due(bench->sched).ns, bench->now.ns + 300 * NS_PER_S);
	sched_step(bench->sched, sched_due(bench->sched));
	assert_true(assign(bench, &messages[0], "a.test", 0));
	sched_message_remove(bench->sched, &messages[0]);
}

struct walk {
	struct sched_message messages[WALK_MESSAGES];
	struct sched_entry *busy[WALK_MESSAGES * 8];
	unsigned busy_count;
	struct sched_destination *opening[64], *ready[64];
	unsigned opening_count, ready_count;
};

static void
walk_step(struct bench *bench, struct walk *walk, struct rng *rng)
{
	static const char *const sites[] = { "a.test", "b.test", "c.test" };
	struct sched_reason reason;
	struct sched_entry *entry;
	unsigned pick;

	switch (rng_below(rng, 6)) {
	case 0: {
		struct sched_message *message = &walk->messages[rng_below(rng, WALK_MESSAGES)];

		if (sched_message_refs(message) == 0) {
			sched_message_add(message, bench, rng_next(rng) % 1000);
			for (uint64_t i = rng_below(rng, 5); i > 0; i--)
				(void)assign(bench, message, sites[rng_below(rng, 3)], (uint32_t)i);
		}
		break;
	}
	case 1:
		if (walk->opening_count < 60 &&
			(walk->opening[walk->opening_count] =
					sched_session_next(bench->sched, bench->now)) != NULL)
			walk->opening_count++;
		break;
	case 2:
		if (walk->opening_count == 0)
			break;
		pick = --walk->opening_count;
		if (rng_below(rng, 4) == 0) {
			entry = sched_session_failed(bench->sched, walk->opening[pick],
				SLICE_LIT("4.4.1"), SLICE_LIT("no"), bench->now);
			if (entry != NULL)
				sched_entry_drop(bench->sched, entry);
		} else {
			sched_session_ready(bench->sched, walk->opening[pick]);
			walk->ready[walk->ready_count++] = walk->opening[pick];
		}
		break;
	case 3: {
		struct sched_destination *destination = sched_work_next(bench->sched, bench->now);

		if (destination != NULL && (entry = sched_take(bench->sched, destination, false,
						    bench->now)) != NULL)
			walk->busy[walk->busy_count++] = entry;
		break;
	}
	case 4:
		if (walk->busy_count == 0)
			break;
		entry = walk->busy[--walk->busy_count];
		if (rng_below(rng, 5) == 0)
			sched_entry_return(bench->sched, entry);
		else
			sched_entry_finish(bench->sched, entry, rng_below(rng, 4) != 0,
				SLICE_LIT("4.4.2"), SLICE_LIT("lost"), bench->now);
		break;
	default:
		bench->now.ns += rng_below(rng, 100 * NS_PER_S);
		sched_step(bench->sched, bench->now);
		break;
	}
	while ((entry = sched_drain(bench->sched, &reason)) != NULL)
		sched_entry_drop(bench->sched, entry);
}

static void
test_random_walk__keeps_every_invariant(void **state)
{
	struct bench *bench = *state;
	static struct walk walk;
	struct rng rng;

	rng_init(&rng, 7);
	for (int i = 0; i < WALK_STEPS; i++) {
		walk_step(bench, &walk, &rng);
		if (walk.ready_count == 60)
			break;
		sched_check(bench->sched);
	}
	while (walk.busy_count > 0)
		sched_entry_return(bench->sched, walk.busy[--walk.busy_count]);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_sessions__as_many_as_entries_and_window_allow),
		TEST(test_take__oldest_first__and_s23_return_goes_back_to_the_front),
		TEST(test_recipients__grouped_up_to_the_limit__r56),
		TEST(test_failed_sessions__kill_the_destination__and_drain_it__w14_w17),
		TEST(test_random_walk__keeps_every_invariant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
