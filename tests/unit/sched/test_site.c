/*
 * test_site.c - unit tests of sites: destinations with the same hosts (sched_site.c)
 *
 * Goal: sched.h's promises of sched_destination_bind(). Method: a few destinations moved by hand; a
 * seeded walk in which their hosts change all the time, with every invariant checked.
 */
#include "sched_bench.h"

#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { LIMIT = 3, MESSAGES = 40, STEPS = 30000, HELD_MAX = 200 };

static const struct mono LATER = { 1000 * NS_PER_S };

struct bench {
	struct sched *sched;
	struct sched_transport *transport;
	struct mono now;
	struct sched_message messages[MESSAGES];
};

static int
start(void **state, bool is_adaptive)
{
	static struct bench bench;
	struct sched_limits limits = sched_bench_limits(2, LIMIT);

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
assign(struct bench *bench, unsigned message, const char *nexthop, uint32_t number)
{
	struct sched_assign to = { .transport = bench->transport, .nexthop = slice_str(nexthop),
		.number = number };
	struct sched_reason dead;

	bench->now.ns += 1000 * 1000;
	if (sched_message_refs(&bench->messages[message]) == 0)
		sched_message_add(&bench->messages[message], bench, bench->now.ns / 1000);
	return sched_recipient_assign(bench->sched, &bench->messages[message], &to, &dead);
}

static struct sched_destination *
find(struct bench *bench, const char *nexthop)
{
	struct sched_destination *at = NULL;

	while ((at = sched_destination_next(bench->sched, at)) != NULL)
		if (slice_equal_str(sched_destination_nexthop(at), nexthop))
			return at;
	return NULL;
}

static struct sched_destination *
bind(struct bench *bench, const char *nexthop, const char *key)
{
	return sched_destination_bind(
		bench->sched, find(bench, nexthop), slice_str(key), LATER);
}

static uint32_t
waiting(struct bench *bench, const char *nexthop)
{
	struct sched_status status;

	sched_destination_status(find(bench, nexthop), &status);
	return status.waiting;
}

static struct sched_destination *
open_session(struct bench *bench)
{
	struct sched_destination *destination = sched_session_next(bench->sched, bench->now);

	assert_non_null(destination);
	sched_session_ready(bench->sched, destination);
	return destination;
}

static void
test_same_hosts__one_site__shares_window_sessions_and_turns(void **state)
{
	struct bench *bench = *state;
	struct sched_entry *entry;

	for (unsigned i = 0; i < 4; i++)
		assert_true(assign(bench, i, i % 2 ? "b.test" : "a.test", 0));
	assert_ptr_equal(bind(bench, "a.test", "mx"), find(bench, "a.test"));
	assert_ptr_equal(bind(bench, "b.test", "mx"), find(bench, "a.test"));
	assert_int_equal(waiting(bench, "a.test"), 4);
	assert_int_equal(waiting(bench, "b.test"), 0);
	/* The window of one destination, not of two. */
	assert_ptr_equal(open_session(bench), find(bench, "a.test"));
	(void)open_session(bench);
	assert_null(sched_session_next(bench->sched, bench->now));
	for (unsigned i = 0; i < 2; i++) {
		entry = sched_take(bench->sched, find(bench, "a.test"), false, bench->now);
		assert_ptr_equal(sched_entry_message(entry), &bench->messages[i]);
		assert_ptr_equal(sched_entry_home(entry), find(bench, i ? "b.test" : "a.test"));
		sched_entry_finish(bench->sched, entry, true, SLICE_LIT(""), SLICE_LIT(""),
			bench->now);
	}
}

static void
test_other_policy__other_key__no_session_is_shared(void **state)
{
	struct bench *bench = *state;

	assert_true(assign(bench, 0, "a.test", 0));
	assert_true(assign(bench, 1, "b.test", 0));
	assert_ptr_equal(bind(bench, "a.test", "mx\n"), find(bench, "a.test"));
	assert_ptr_equal(bind(bench, "b.test", "mx\nrate=1/min"), find(bench, "b.test"));
	assert_int_equal(waiting(bench, "a.test"), 1);
	assert_int_equal(waiting(bench, "b.test"), 1);
}

static void
test_one_message_for_two_members__is_never_one_transaction(void **state)
{
	struct bench *bench = *state;
	uint32_t count;

	assert_true(assign(bench, 0, "a.test", 0));
	assert_true(assign(bench, 0, "b.test", 1));
	(void)bind(bench, "a.test", "mx");
	(void)bind(bench, "b.test", "mx");
	assert_true(assign(bench, 0, "b.test", 2));
	assert_true(assign(bench, 0, "a.test", 3));
	assert_int_equal(sched_message_refs(&bench->messages[0]), 2);
	(void)open_session(bench);
	for (unsigned i = 0; i < 2; i++) {
		struct sched_entry *entry =
			sched_take(bench->sched, find(bench, "a.test"), false, bench->now);

		(void)sched_entry_recipients(entry, &count);
		assert_int_equal(count, 2);
		sched_entry_finish(bench->sched, entry, true, SLICE_LIT(""), SLICE_LIT(""),
			bench->now);
	}
}

static void
test_hosts_change__its_mail_goes_along__and_what_was_given_out_stays(void **state)
{
	struct bench *bench = *state;
	struct sched_entry *entry;

	assert_true(assign(bench, 0, "b.test", 0));
	assert_true(assign(bench, 1, "b.test", 0));
	assert_true(assign(bench, 2, "a.test", 0));
	(void)bind(bench, "a.test", "mx");
	(void)bind(bench, "b.test", "mx");
	(void)open_session(bench);
	entry = sched_take(bench->sched, find(bench, "a.test"), false, bench->now);
	assert_ptr_equal(sched_entry_home(entry), find(bench, "b.test"));
	assert_ptr_equal(bind(bench, "b.test", "mx2"), find(bench, "b.test"));
	assert_int_equal(waiting(bench, "b.test"), 1);
	assert_int_equal(waiting(bench, "a.test"), 1);
	/* It comes back: to where its hosts are now. */
	sched_entry_return(bench->sched, entry);
	assert_int_equal(waiting(bench, "b.test"), 2);
}

static void
test_site_itself_changes__its_members_are_alone_until_they_are_looked_up(void **state)
{
	struct bench *bench = *state;
	uint64_t version;

	for (unsigned i = 0; i < 3; i++)
		assert_true(assign(bench, i, i == 0 ? "a.test" : i == 1 ? "b.test" : "c.test", 0));
	(void)bind(bench, "a.test", "mx");
	(void)bind(bench, "b.test", "mx");
	(void)bind(bench, "c.test", "mx");
	version = sched_destination_version(find(bench, "a.test"));
	(void)bind(bench, "a.test", "other");
	assert_true(version != sched_destination_version(find(bench, "a.test")));
	assert_int_equal(waiting(bench, "a.test"), 1);
	assert_int_equal(waiting(bench, "b.test"), 1);
	assert_ptr_equal(bind(bench, "b.test", "mx"), find(bench, "b.test"));
	assert_ptr_equal(bind(bench, "c.test", "mx"), find(bench, "b.test"));
	assert_int_equal(waiting(bench, "b.test"), 2);
	/* A name that cannot be resolved has no site. */
	assert_ptr_equal(bind(bench, "c.test", ""), find(bench, "c.test"));
	assert_int_equal(waiting(bench, "c.test"), 1);
}

static void
test_answer_too_old__its_mail_waits_at_home_until_the_next_one(void **state)
{
	struct bench *bench = *state;

	assert_true(assign(bench, 0, "a.test", 0));
	assert_true(assign(bench, 1, "b.test", 0));
	(void)bind(bench, "a.test", "mx");
	(void)bind(bench, "b.test", "mx");
	assert_int_equal(waiting(bench, "a.test"), 2);
	bench->now = LATER;
	assert_true(assign(bench, 2, "b.test", 0));
	assert_int_equal(waiting(bench, "b.test"), 2);
	assert_ptr_equal(bind(bench, "b.test", "mx"), find(bench, "a.test"));
	assert_int_equal(waiting(bench, "a.test"), 3);
	/* A flush asks anew, too. */
	sched_flush(bench->sched);
	assert_int_equal(waiting(bench, "b.test"), 2);
}

static void
test_dead_site__all_its_members_mail_is_given_back_and_parked_mail_follows(void **state)
{
	struct bench *bench = *state;
	struct sched_destination *site;
	struct sched_reason reason;
	struct sched_entry *entry;
	unsigned drained = 0;
	uint64_t token;

	for (unsigned i = 0; i < 8; i++)
		assert_true(assign(bench, i, i % 2 ? "b.test" : "a.test", 0));
	site = bind(bench, "a.test", "mx");
	(void)bind(bench, "b.test", "mx");
	while (!sched_destination_is_dead(site)) {
		assert_ptr_equal(sched_session_next(bench->sched, bench->now), site);
		entry = sched_session_failed(bench->sched, site, SLICE_LIT("4.4.1"),
			SLICE_LIT("no"), bench->now);
		if (entry != NULL)
			sched_entry_drop(bench->sched, entry);
	}
	while ((entry = sched_drain(bench->sched, &reason)) != NULL) {
		assert_ptr_equal(reason.dead, site);
		drained++;
		sched_entry_drop(bench->sched, entry);
	}
	assert_true(drained > 0);
	sched_park(bench->sched, site, 0, 77);
	assert_false(sched_unpark(bench->sched, &token));
	assert_false(assign(bench, 0, "b.test", 0));
	/* It has hosts of its own now: what is parked is looked at there. */
	assert_ptr_equal(bind(bench, "b.test", "mx2"), find(bench, "b.test"));
	assert_true(sched_unpark(bench->sched, &token));
	assert_int_equal(token, 77);
	assert_true(assign(bench, 0, "b.test", 0));
}

/* rules: W16 */
static void
test_classic__every_destination_is_its_own_site(void **state)
{
	struct bench *bench = *state;

	assert_true(assign(bench, 0, "a.test", 0));
	assert_true(assign(bench, 1, "b.test", 0));
	assert_ptr_equal(bind(bench, "a.test", "mx"), find(bench, "a.test"));
	assert_ptr_equal(bind(bench, "b.test", "mx"), find(bench, "b.test"));
}

struct walk {
	struct sched_entry *held[HELD_MAX];
	struct sched_destination *ready[HELD_MAX];
	unsigned held_count, ready_count;
};

static void
walk_entry(struct bench *bench, struct walk *walk, struct rng *rng)
{
	struct sched_entry *entry;

	if (walk->held_count == 0)
		return;
	unsigned pick = (unsigned)rng_below(rng, walk->held_count);

	entry = walk->held[pick];
	walk->held[pick] = walk->held[--walk->held_count];
	if (rng_below(rng, 3) == 0)
		sched_entry_return(bench->sched, entry);
	else
		sched_entry_finish(bench->sched, entry, rng_below(rng, 4) != 0,
			SLICE_LIT("4.4.2"), SLICE_LIT("lost"), bench->now);
}

static void
walk_session(struct bench *bench, struct walk *walk, struct rng *rng)
{
	struct sched_destination *destination = sched_session_next(bench->sched, bench->now);
	struct sched_entry *entry;

	if (destination == NULL)
		return;
	if (rng_below(rng, 4) == 0) {
		entry = sched_session_failed(bench->sched, destination, SLICE_LIT("4.4.1"),
			SLICE_LIT("no"), bench->now);
		if (entry != NULL)
			sched_entry_drop(bench->sched, entry);
		return;
	}
	sched_session_ready(bench->sched, destination);
	walk->ready[walk->ready_count++] = destination;
}

static void
walk_step(struct bench *bench, struct walk *walk, struct rng *rng)
{
	static const char *const sites[] = { "a.test", "b.test", "c.test", "d.test" };
	static const char *const keys[] = { "x", "y", "" };
	const char *nexthop = sites[rng_below(rng, 4)];
	struct sched_reason reason;
	struct sched_entry *entry;
	uint64_t token;

	switch (rng_below(rng, 6)) {
	case 0:
		(void)assign(bench, (unsigned)rng_below(rng, MESSAGES), nexthop, 0);
		break;
	case 1:
		if (find(bench, nexthop) != NULL)
			(void)sched_destination_bind(bench->sched, find(bench, nexthop),
				slice_str(keys[rng_below(rng, 3)]),
				mono_add_ns(bench->now, rng_below(rng, 500 * NS_PER_S)));
		break;
	case 2:
		walk_session(bench, walk, rng);
		break;
	case 3:
		if (walk->ready_count == 0 || walk->held_count == HELD_MAX)
			break;
		entry = sched_take(bench->sched, walk->ready[rng_below(rng, walk->ready_count)],
			rng_below(rng, 2) != 0, bench->now);
		if (entry != NULL)
			walk->held[walk->held_count++] = entry;
		break;
	case 4:
		walk_entry(bench, walk, rng);
		break;
	default:
		bench->now.ns += rng_below(rng, 20 * NS_PER_S);
		sched_step(bench->sched, bench->now);
		if (rng_below(rng, 4) == 0 && find(bench, nexthop) != NULL)
			sched_park(bench->sched, sched_destination_site(find(bench, nexthop)),
				rng_below(rng, 3), rng_below(rng, 30));
		if (sched_unpark(bench->sched, &token))
			sched_unparked(bench->sched, token);
		break;
	}
	while ((entry = sched_drain(bench->sched, &reason)) != NULL)
		sched_entry_drop(bench->sched, entry);
}

static void
test_random_walk__hosts_change_all_the_time__every_invariant_holds(void **state)
{
	struct bench *bench = *state;
	static struct walk walk;
	struct rng rng;

	rng_init(&rng, 11);
	for (int i = 0; i < STEPS; i++) {
		walk_step(bench, &walk, &rng);
		if (walk.ready_count == HELD_MAX)
			sched_session_closed(
				bench->sched, walk.ready[--walk.ready_count], true);
		sched_check(bench->sched);
	}
	while (walk.held_count > 0)
		walk_entry(bench, &walk, &rng);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start_adaptive, stop)
	const struct CMUnitTest tests[] = {
		TEST(test_same_hosts__one_site__shares_window_sessions_and_turns),
		TEST(test_other_policy__other_key__no_session_is_shared),
		TEST(test_one_message_for_two_members__is_never_one_transaction),
		TEST(test_hosts_change__its_mail_goes_along__and_what_was_given_out_stays),
		TEST(test_site_itself_changes__its_members_are_alone_until_they_are_looked_up),
		TEST(test_answer_too_old__its_mail_waits_at_home_until_the_next_one),
		TEST(test_dead_site__all_its_members_mail_is_given_back_and_parked_mail_follows),
		cmocka_unit_test_setup_teardown(
			test_classic__every_destination_is_its_own_site, start_classic, stop),
		TEST(test_random_walk__hosts_change_all_the_time__every_invariant_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
