/*
 * test_park.c - unit tests of dead sites under the adaptive policy: probes and parked mail
 *
 * Goal: sched.h's promises of both. Method: one destination, time by hand; a seeded walk that keeps
 * a list of its own of what must still be parked.
 */
#include "sched_bench.h"

#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { INITIAL = 2, LIMIT = 4, TOKENS = 5000 };

struct bench {
	struct sched *sched;
	struct sched_transport *transport;
	struct sched_destination *destination;
	struct mono now;
	struct sched_message message;
};

static int
start(void **state, bool is_adaptive)
{
	static struct bench bench;
	struct sched_limits limits = sched_bench_limits(INITIAL, LIMIT);

	bench = (struct bench){ .sched = sched_bench_new(is_adaptive), .now = { NS_PER_S } };
	bench.transport = sched_transport_set(bench.sched, SLICE_LIT("smtp"), &limits, NULL);
	*state = &bench;
	return 0;
}

static int
start_adaptive(void **state)
{
	return start(state, true);
}

static int
start_classic(void **state)
{
	return start(state, false);
}

static int
stop(void **state)
{
	struct bench *bench = *state;

	sched_bench_end(bench->sched);
	return 0;
}

static bool
assign(struct bench *bench, struct sched_message *message)
{
	struct sched_assign to = { .transport = bench->transport, .nexthop = SLICE_LIT("a.test") };
	struct sched_reason dead;

	sched_message_add(message, bench, bench->now.ns / 1000);
	return sched_recipient_assign(bench->sched, message, &to, &dead);
}

/* One session that cannot be had; its message goes. */
static void
fail_session(struct bench *bench)
{
	struct sched_destination *destination = sched_session_next(bench->sched, bench->now);
	struct sched_entry *victim;

	assert_non_null(destination);
	bench->destination = destination;
	victim = sched_session_failed(bench->sched, destination, SLICE_LIT("4.4.1"),
		SLICE_LIT("refused"), bench->now);
	if (victim != NULL)
		sched_entry_drop(bench->sched, victim);
}

static enum window_state
state_of(const struct bench *bench)
{
	struct sched_status status;

	sched_destination_status(bench->destination, &status);
	return status.state;
}

static void
kill_site(struct bench *bench)
{
	do {
		if (sched_message_refs(&bench->message) == 0)
			assert_true(assign(bench, &bench->message));
		fail_session(bench);
	} while (state_of(bench) != WINDOW_DEAD);
}

/* How long until it is due, in seconds; it is moved there. */
static uint64_t
wait_for_timer(struct bench *bench)
{
	uint64_t due_ns = sched_due(bench->sched).ns, wait_ns = due_ns - bench->now.ns;

	bench->now.ns = due_ns - 1;
	sched_step(bench->sched, bench->now);
	assert_int_equal(state_of(bench), WINDOW_DEAD);
	bench->now.ns = due_ns;
	sched_step(bench->sched, bench->now);
	return wait_ns / NS_PER_S;
}

static void
test_probe__failed_ones__wait_longer_up_to_the_most(void **state)
{
	static const uint64_t waits_s[] = { 10, 20, 40, 80, 160, 300, 300, 300 };
	struct bench *bench = *state;

	kill_site(bench);
	for (size_t i = 0; i < sizeof(waits_s) / sizeof(waits_s[0]); i++) {
		uint64_t wait_s = wait_for_timer(bench);

		assert_in_range(wait_s, waits_s[i], waits_s[i] + waits_s[i] / 10);
		assert_int_equal(state_of(bench), WINDOW_PROBING);
		assert_true(assign(bench, &bench->message));
		fail_session(bench);
		assert_int_equal(state_of(bench), WINDOW_DEAD);
	}
}

static void
test_probe__due__takes_one_message_and_no_second(void **state)
{
	struct bench *bench = *state;
	static struct sched_message second;
	struct sched_reason dead;
	struct sched_assign to = { .transport = bench->transport, .nexthop = SLICE_LIT("a.test") };

	kill_site(bench);
	assert_false(assign(bench, &second));
	(void)wait_for_timer(bench);
	assert_true(assign(bench, &bench->message));
	sched_message_add(&second, bench, 1);
	assert_false(sched_recipient_assign(bench->sched, &second, &to, &dead));
	assert_ptr_equal(dead.dead, bench->destination);
	assert_non_null(sched_session_next(bench->sched, bench->now));
	assert_null(sched_session_next(bench->sched, bench->now));
	sched_message_remove(bench->sched, &bench->message);
}

/* Alive is who greets: the window opens before the first message is through. */
static void
test_probe__session_up__window_starts_anew(void **state)
{
	struct bench *bench = *state;
	struct sched_status status;

	kill_site(bench);
	(void)wait_for_timer(bench);
	assert_true(assign(bench, &bench->message));
	sched_session_ready(bench->sched, sched_session_next(bench->sched, bench->now));
	sched_destination_status(bench->destination, &status);
	assert_int_equal(status.state, WINDOW_READY);
	assert_int_equal(status.limit, INITIAL);
	assert_int_equal(status.dead.text.len, 0);
	sched_session_closed(bench->sched, bench->destination, true);
	sched_message_remove(bench->sched, &bench->message);
}

static void
test_flush__dead_site__is_probed_at_once(void **state)
{
	struct bench *bench = *state;
	uint64_t token;

	kill_site(bench);
	sched_park(bench->sched, bench->destination, 0, 7);
	assert_false(sched_unpark(bench->sched, &token));
	sched_flush(bench->sched);
	assert_int_equal(state_of(bench), WINDOW_PROBING);
	assert_true(sched_unpark(bench->sched, &token));
	assert_int_equal(token, 7);
	assert_false(sched_unpark(bench->sched, &token));
}

static void
test_classic__dead_site__lives_again_when_its_time_is_over(void **state)
{
	struct bench *bench = *state;
	static struct sched_message waiting;
	struct sched_reason reason;
	struct sched_entry *entry;

	assert_true(assign(bench, &waiting)); /* else each failure would be forgotten (W16) */
	kill_site(bench);
	while ((entry = sched_drain(bench->sched, &reason)) != NULL)
		sched_entry_drop(bench->sched, entry);
	assert_int_equal(wait_for_timer(bench), 300);
	assert_int_equal(state_of(bench), WINDOW_READY);
}

/* rules: W16 */
static void
test_classic__empty_destination__forgets_its_window(void **state)
{
	struct bench *bench = *state;

	for (int i = 0; i < 10; i++) {
		assert_true(assign(bench, &bench->message));
		fail_session(bench);
		assert_int_equal(state_of(bench), WINDOW_READY);
	}
}

static void
test_parked__each_probe__takes_the_one_unused_longest(void **state)
{
	struct bench *bench = *state;
	uint64_t token;

	kill_site(bench);
	for (uint64_t i = 1; i <= 3; i++)
		sched_park(bench->sched, bench->destination, 0, i);
	for (uint64_t i = 0; i < 7; i++) {
		(void)wait_for_timer(bench);
		assert_true(sched_unpark(bench->sched, &token));
		assert_int_equal(token, i % 3 + 1);
		assert_false(sched_unpark(bench->sched, &token));
		assert_true(assign(bench, &bench->message));
		fail_session(bench);
		sched_park(bench->sched, bench->destination, 0, i % 3 + 1);
		sched_check(bench->sched);
	}
}

/* A session delivers a message; 0: there was nothing to do. */
static bool
deliver_one(struct bench *bench)
{
	struct sched_destination *destination = sched_session_next(bench->sched, bench->now);
	struct sched_entry *entry;

	if (destination == NULL)
		return false;
	sched_session_ready(bench->sched, destination);
	entry = sched_take(bench->sched, destination, false, bench->now);
	assert_non_null(entry);
	sched_entry_finish(bench->sched, entry, true, slice_make(NULL, 0), slice_make(NULL, 0),
		bench->now);
	sched_session_closed(bench->sched, destination, true);
	return true;
}

/* All come back, never many more than the window can use, each once. */
static void
test_parked__site_is_back__all_come_at_the_pace_of_its_window(void **state)
{
	static struct sched_message messages[TOKENS + 1];
	static bool seen[TOKENS + 1];
	struct bench *bench = *state;
	struct sched_status status;
	uint64_t token, came = 0, delivered = 0;

	kill_site(bench);
	for (uint64_t i = 1; i <= TOKENS; i++)
		sched_park(bench->sched, bench->destination, 0, i);
	(void)wait_for_timer(bench);
	while (came < TOKENS || delivered < TOKENS) {
		while (sched_unpark(bench->sched, &token)) {
			assert_false(seen[token]);
			seen[token] = true;
			came++;
			assert_true(assign(bench, &messages[token]));
			sched_unparked(bench->sched, token);
		}
		sched_destination_status(bench->destination, &status);
		assert_true(status.waiting <= 2 * LIMIT + 50);
		assert_true(deliver_one(bench));
		delivered++;
	}
	sched_destination_status(bench->destination, &status);
	assert_int_equal(status.parked, 0);
}

static void
test_parked__token_parked_again_or_unknown__counts_once(void **state)
{
	struct bench *bench = *state;
	struct sched_counts counts;
	uint64_t token;

	kill_site(bench);
	sched_park(bench->sched, bench->destination, 0, 1);
	sched_park(bench->sched, bench->destination, 0, 1);
	sched_unparked(bench->sched, 2);
	sched_counts(bench->sched, &counts);
	assert_int_equal(counts.parked, 1);
	sched_unparked(bench->sched, 1);
	sched_unparked(bench->sched, 1);
	assert_false(sched_park_empty(bench->sched, &token));
	sched_park(bench->sched, bench->destination, 0, 3);
	assert_true(sched_park_empty(bench->sched, &token));
	assert_int_equal(token, 3);
}

static void
test_walk__any_events__no_token_is_lost(void **state)
{
	enum { COUNT = 40, STEPS = 20000 };
	struct bench *bench = *state;
	bool parked[COUNT] = { false }, fetched[COUNT] = { false };
	struct rng rng;

	rng_init(&rng, 11);
	kill_site(bench);
	for (int step = 0; step < STEPS; step++) {
		uint64_t token = rng_below(&rng, COUNT);

		switch (rng_below(&rng, 6)) {
		case 0:
			sched_park(bench->sched, bench->destination, 0, token);
			parked[token] = true;
			fetched[token] = false;
			break;
		case 1:
			sched_unparked(bench->sched, token);
			parked[token] = fetched[token] = false;
			break;
		case 2:
			if (sched_unpark(bench->sched, &token)) {
				assert_true(parked[token] && !fetched[token]);
				fetched[token] = true;
			}
			break;
		case 3:
			bench->now.ns += rng_below(&rng, 60) * NS_PER_S;
			sched_step(bench->sched, bench->now);
			break;
		case 4:
			if (sched_message_refs(&bench->message) == 0)
				(void)assign(bench, &bench->message);
			break;
		case 5:
			if (sched_message_refs(&bench->message) == 0)
				break;
			if (rng_one_in(&rng, 3))
				(void)deliver_one(bench);
			else
				fail_session(bench);
			break;
		}
		struct sched_counts counts;
		uint32_t mine = 0;

		for (int i = 0; i < COUNT; i++)
			mine += parked[i];
		sched_counts(bench->sched, &counts);
		assert_int_equal(counts.parked, mine);
		sched_check(bench->sched);
	}
	sched_message_remove(bench->sched, &bench->message);
}

int
main(void)
{
#define ADAPTIVE(test) cmocka_unit_test_setup_teardown(test, start_adaptive, stop)
	const struct CMUnitTest tests[] = {
		ADAPTIVE(test_probe__failed_ones__wait_longer_up_to_the_most),
		ADAPTIVE(test_probe__due__takes_one_message_and_no_second),
		ADAPTIVE(test_probe__session_up__window_starts_anew),
		ADAPTIVE(test_flush__dead_site__is_probed_at_once),
		cmocka_unit_test_setup_teardown(
			test_classic__dead_site__lives_again_when_its_time_is_over, start_classic,
			stop),
		cmocka_unit_test_setup_teardown(
			test_classic__empty_destination__forgets_its_window, start_classic,
			stop),
		ADAPTIVE(test_parked__each_probe__takes_the_one_unused_longest),
		ADAPTIVE(test_parked__site_is_back__all_come_at_the_pace_of_its_window),
		ADAPTIVE(test_parked__token_parked_again_or_unknown__counts_once),
		ADAPTIVE(test_walk__any_events__no_token_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
