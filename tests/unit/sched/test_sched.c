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

/* rules: R55 G1 S4 */
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

/* rules: S2 S14 S21 */
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

/* rules: R12 K8 S1e Y4 */
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

/* rules: W15 X4 */
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

/* --- one destination and its sessions, by hand -------------------------------------------------- */

static struct sched_entry *
take_one(struct bench *bench)
{
	struct sched_destination *destination = sched_session_next(bench->sched, bench->now);

	assert_non_null(destination);
	sched_session_ready(bench->sched, destination);
	return sched_take(bench->sched, destination, false, bench->now);
}

static unsigned
drain_all(struct bench *bench, const char *reason)
{
	struct sched_reason got;
	struct sched_entry *entry;
	unsigned count = 0;

	for (; (entry = sched_drain(bench->sched, &got)) != NULL; count++) {
		assert_true(slice_equal_str(got.text, reason));
		sched_entry_drop(bench->sched, entry);
	}
	return count;
}

static void
kill_site(struct bench *bench, struct sched_message *message)
{
	sched_message_add(message, bench, 1);
	assert_true(assign(bench, message, "a.test", 0));
	assert_true(assign(bench, message, "a.test", 1));
	for (int i = 0; i < 2; i++) {
		struct sched_message *more = &message[1 + i];
		struct sched_entry *entry;

		sched_message_add(more, bench, 2);
		if (i == 0)
			assert_true(assign(bench, more, "a.test", 0));
		entry = sched_session_failed(bench->sched,
			sched_session_next(bench->sched, bench->now), SLICE_LIT("4.4.1"),
			SLICE_LIT("refused"), bench->now);
		sched_entry_drop(bench->sched, entry);
	}
	assert_int_equal(drain_all(bench, "delivery temporarily suspended: refused"), 0);
}

/* rules: S7 Y1 */
/* rules: S8 S21 */
static void
test_S8__who_is_carried__is_settled_when_the_session_is_ready(void **state)
{
	struct bench *bench = *state;
	static struct sched_message late, early;
	struct sched_destination *destination;
	struct sched_entry *entry;

	sched_message_add(&late, bench, 20);
	assert_true(assign(bench, &late, "a.test", 0));
	destination = sched_session_next(bench->sched, bench->now);
	sched_message_add(&early, bench, 10);
	assert_true(assign(bench, &early, "a.test", 0));
	sched_session_ready(bench->sched, destination);
	entry = sched_take(bench->sched, destination, false, bench->now);
	assert_ptr_equal(sched_entry_message(entry), &early);
	sched_entry_finish(bench->sched, entry, true, SLICE_LIT(""), SLICE_LIT(""), bench->now);
	/* Nothing is left by then: the session gets nothing, and no harm is done. */
	sched_message_remove(bench->sched, &late);
	assert_null(sched_take(bench->sched, destination, false, bench->now));
	sched_session_closed(bench->sched, destination, true);
}

/* rules: S3 S15 S22 G1 */
static void
test_S22__destinations__take_turns(void **state)
{
	struct bench *bench = *state;
	static struct sched_message messages[4];
	struct sched_destination *first, *second, *third;

	for (int i = 0; i < 4; i++) {
		sched_message_add(&messages[i], bench, (uint64_t)i);
		assert_true(assign(bench, &messages[i], i < 3 ? "a.test" : "b.test", 0));
	}
	first = sched_session_next(bench->sched, bench->now);
	second = sched_session_next(bench->sched, bench->now);
	third = sched_session_next(bench->sched, bench->now);
	assert_true(slice_equal_str(sched_destination_nexthop(first), "a.test"));
	assert_true(slice_equal_str(sched_destination_nexthop(second), "b.test"));
	assert_ptr_equal(third, first);
	/* a.test is at its window of 2, b.test has nothing more. */
	assert_null(sched_session_next(bench->sched, bench->now));
}

/* rules: S1b */
/* rules: R52 K8 */
static void
test_R52__recipient_limit_one__is_a_queue_per_user(void **state)
{
	struct bench *bench = *state;
	struct sched_limits limits = { .recipient_max = 1, .has_recipient_queues = true,
		.window = { .initial = 1, .limit_max = 1, .cohort_limit = 1 } };
	struct sched_transport *transport =
		sched_transport_set(bench->sched, SLICE_LIT("single"), &limits, NULL);
	static const char *const users[] = { "u", "v", "u" };
	static struct sched_message message;
	struct sched_reason dead;
	struct sched_counts counts;
	struct sched_destination *destination;

	sched_message_add(&message, bench, 1);
	for (uint32_t i = 0; i < 3; i++) {
		struct sched_assign to = { .transport = transport, .nexthop = SLICE_LIT("a.test"),
			.user = slice_str(users[i]), .number = i };

		assert_true(sched_recipient_assign(bench->sched, &message, &to, &dead));
	}
	assert_int_equal(sched_message_refs(&message), 3);
	sched_counts(bench->sched, &counts);
	assert_int_equal(counts.destinations, 2);
	/* The limit of one session counts per user now. */
	destination = sched_session_next(bench->sched, bench->now);
	assert_true(slice_equal_str(sched_destination_name(destination), "u@a.test"));
	assert_non_null(sched_session_next(bench->sched, bench->now));
	assert_null(sched_session_next(bench->sched, bench->now));
	sched_message_remove(bench->sched, &message);
}

/* rules: R53 R54 R55 X13 B7 F10 */
static void
test_R54__dead_site__takes_nothing_until_it_is_revived(void **state)
{
	struct bench *bench = *state;
	static struct sched_message dead[3], other;
	struct sched_reason reason;
	struct sched_assign to = { .transport = bench->transport, .nexthop = SLICE_LIT("a.test") };

	kill_site(bench, dead);
	sched_message_add(&other, bench, 9);
	assert_false(sched_recipient_assign(bench->sched, &other, &to, &reason));
	assert_true(slice_equal_str(reason.dsn, "4.4.1"));
	assert_true(slice_equal_str(reason.text, "delivery temporarily suspended: refused"));
	bench->now = mono_add_ns(bench->now, 300 * NS_PER_S - 1);
	sched_step(bench->sched, bench->now);
	assert_false(assign(bench, &other, "a.test", 0));
	assert_true(assign(bench, &other, "b.test", 1));
	sched_flush_destination(bench->sched, bench->transport, SLICE_LIT("a.test"), SLICE_LIT(""));
	assert_true(assign(bench, &other, "a.test", 0));
	sched_message_remove(bench->sched, &other);
}

/* rules: X12 M22 */
static void
test_X12__flush__revives_sites_and_transports(void **state)
{
	struct bench *bench = *state;
	static struct sched_message dead[3], other;
	struct sched_counts counts;

	kill_site(bench, dead);
	sched_transport_fail(bench->sched, bench->transport, SLICE_LIT("4.3.0"),
		SLICE_LIT("mail transport unavailable"), bench->now);
	sched_flush(bench->sched);
	sched_counts(bench->sched, &counts);
	assert_int_equal(counts.dead, 0);
	sched_message_add(&other, bench, 9);
	assert_true(assign(bench, &other, "a.test", 0));
	sched_message_remove(bench->sched, &other);
}

/* rules: B8 */
/* rules: R50 R51 X4 */
static void
test_R51__dead_transport__gives_back_and_takes_nothing(void **state)
{
	struct bench *bench = *state;
	static struct sched_message messages[2];

	for (int i = 0; i < 2; i++) {
		sched_message_add(&messages[i], bench, (uint64_t)i);
		assert_true(assign(bench, &messages[i], i == 0 ? "a.test" : "b.test", 0));
	}
	sched_transport_fail(bench->sched, bench->transport, SLICE_LIT("4.3.0"),
		SLICE_LIT("mail transport unavailable"), bench->now);
	assert_null(sched_session_next(bench->sched, bench->now));
	assert_int_equal(drain_all(bench, "mail transport unavailable"), 2);
	sched_message_add(&messages[0], bench, 5);
	assert_false(assign(bench, &messages[0], "c.test", 0));
	/* A flush of one message revives it, and so does time. */
	sched_flush_destination(bench->sched, bench->transport, SLICE_LIT("c.test"), SLICE_LIT(""));
	assert_true(assign(bench, &messages[0], "c.test", 0));
	sched_message_remove(bench->sched, &messages[0]);
	sched_transport_fail(bench->sched, bench->transport, SLICE_LIT("4.3.0"),
		SLICE_LIT("mail transport unavailable"), bench->now);
	assert_int_equal(sched_due(bench->sched).ns, bench->now.ns + 60 * NS_PER_S);
	sched_step(bench->sched, sched_due(bench->sched));
	assert_true(assign(bench, &messages[0], "c.test", 0));
	sched_message_remove(bench->sched, &messages[0]);
}

/* rules: W6 W8 W14 X7 X8 */
static void
test_W8__a_dead_site__ends_no_transaction_and_dies_once(void **state)
{
	struct bench *bench = *state;
	struct sched_limits limits = { .recipient_max = 1, .has_recipient_queues = true,
		.window = { .initial = 5, .limit_max = 5, .cohort_limit = 1,
			.positive = { WINDOW_UNIT, false }, .negative = { WINDOW_UNIT, false } } };
	static struct sched_message messages[6];
	struct sched_entry *entries[5];
	struct sched_destination *destination;
	struct sched_status status;
	struct mono died = bench->now;

	bench->transport = sched_transport_set(bench->sched, SLICE_LIT("five"), &limits, NULL);
	for (int i = 0; i < 6; i++) {
		sched_message_add(&messages[i], bench, (uint64_t)i);
		assert_true(assign(bench, &messages[i], "a.test", 0));
	}
	for (int i = 0; i < 5; i++)
		assert_non_null(entries[i] = take_one(bench));
	destination = sched_entry_destination(entries[0]);
	/* From 5 the third failure kills (W11); what waits is given back, the rest goes on. */
	for (int i = 0; i < 3; i++)
		sched_entry_finish(bench->sched, entries[i], false, SLICE_LIT("4.4.2"),
			SLICE_LIT("lost"), bench->now);
	assert_int_equal(drain_all(bench, "delivery temporarily suspended: lost"), 1);
	bench->now = mono_add_ns(bench->now, 10 * NS_PER_S);
	sched_entry_finish(bench->sched, entries[3], false, SLICE_LIT("4.4.9"), SLICE_LIT("again"),
		bench->now);
	sched_destination_status(destination, &status);
	assert_int_equal(status.state, WINDOW_DEAD);
	assert_int_equal(status.due.ns, died.ns + 300 * NS_PER_S);
	assert_true(slice_equal_str(status.dead.text, "delivery temporarily suspended: lost"));
	assert_int_equal(status.busy, 1);
	/* A late success shows that it lives, with as much as is under way. */
	sched_entry_finish(bench->sched, entries[4], true, SLICE_LIT(""), SLICE_LIT(""), bench->now);
	sched_destination_status(destination, &status);
	assert_int_equal(status.state, WINDOW_READY);
	assert_int_equal(status.limit, 1);
}

/* rules: X10 */
static void
test_X10__transport_rate_delay__parts_transactions(void **state)
{
	struct bench *bench = *state;
	struct sched_limits limits = { .recipient_max = 1, .transport_rate_delay_ns = 10 * NS_PER_S,
		.window = { .initial = 5, .limit_max = 5, .cohort_limit = 1 } };
	static struct sched_message messages[2];
	struct sched_entry *entry;

	bench->transport = sched_transport_set(bench->sched, SLICE_LIT("slow"), &limits, NULL);
	for (int i = 0; i < 2; i++) {
		sched_message_add(&messages[i], bench, (uint64_t)i);
		assert_true(assign(bench, &messages[i], i == 0 ? "a.test" : "b.test", 0));
	}
	entry = take_one(bench);
	assert_non_null(entry);
	/* However long it takes, there is one at a time, and the pause comes after it. */
	bench->now = mono_add_ns(bench->now, 60 * NS_PER_S);
	sched_step(bench->sched, bench->now);
	assert_null(sched_session_next(bench->sched, bench->now));
	assert_int_equal(sched_due(bench->sched).ns, UINT64_MAX);
	sched_entry_finish(bench->sched, entry, true, SLICE_LIT(""), SLICE_LIT(""), bench->now);
	assert_null(sched_session_next(bench->sched, bench->now));
	assert_int_equal(sched_due(bench->sched).ns, bench->now.ns + 10 * NS_PER_S);
	bench->now = mono_add_ns(bench->now, 10 * NS_PER_S);
	sched_step(bench->sched, bench->now);
	assert_int_equal(sched_due(bench->sched).ns, UINT64_MAX);
	assert_non_null(sched_session_next(bench->sched, bench->now));
	sched_message_remove(bench->sched, &messages[1]);
}

/* rules: W2 W20 */
static void
test_W20__rate_delay__suspends_between_transactions(void **state)
{
	struct bench *bench = *state;
	struct sched_limits limits = { .recipient_max = 1, .rate_delay_ns = 10 * NS_PER_S,
		.window = { .initial = 5, .limit_max = 5, .cohort_limit = 1 } };
	static struct sched_message messages[2];
	struct sched_destination *destination;
	struct sched_entry *entry;

	bench->transport = sched_transport_set(bench->sched, SLICE_LIT("paced"), &limits, NULL);
	for (int i = 0; i < 2; i++) {
		sched_message_add(&messages[i], bench, (uint64_t)i);
		assert_true(assign(bench, &messages[i], "a.test", 0));
	}
	entry = take_one(bench);
	destination = sched_entry_destination(entry);
	assert_null(sched_session_next(bench->sched, bench->now));
	sched_entry_finish(bench->sched, entry, true, SLICE_LIT(""), SLICE_LIT(""), bench->now);
	assert_null(sched_take(bench->sched, destination, false, bench->now));
	bench->now = mono_add_ns(bench->now, 10 * NS_PER_S - 1);
	sched_step(bench->sched, bench->now);
	assert_null(sched_take(bench->sched, destination, false, bench->now));
	bench->now = mono_add_ns(bench->now, 1);
	sched_step(bench->sched, bench->now);
	assert_non_null(entry = sched_take(bench->sched, destination, false, bench->now));
	sched_entry_finish(bench->sched, entry, true, SLICE_LIT(""), SLICE_LIT(""), bench->now);
}

/* rules: W20 */
static void
test_W20__last_failure__gives_back_what_waits_and_makes_its_pause(void **state)
{
	struct bench *bench = *state;
	struct sched_limits limits = { .recipient_max = 1, .rate_delay_ns = 10 * NS_PER_S,
		.window = { .initial = 5, .limit_max = 5, .cohort_limit = 1 } };
	static struct sched_message messages[3];
	struct sched_status status;
	struct sched_entry *entry;

	bench->transport = sched_transport_set(bench->sched, SLICE_LIT("paced"), &limits, NULL);
	for (int i = 0; i < 3; i++) {
		sched_message_add(&messages[i], bench, (uint64_t)i);
		assert_true(assign(bench, &messages[i], "a.test", 0));
	}
	entry = take_one(bench);
	struct sched_destination *destination = sched_entry_destination(entry);

	sched_entry_finish(bench->sched, entry, false, SLICE_LIT("4.4.2"), SLICE_LIT("lost"),
		bench->now);
	assert_int_equal(drain_all(bench, "delivery temporarily suspended: lost"), 2);
	sched_destination_status(destination, &status);
	assert_int_equal(status.state, WINDOW_SUSPENDED);
	assert_int_equal(sched_due(bench->sched).ns, bench->now.ns + 10 * NS_PER_S);
	/* What comes now waits for the end of the pause, no longer. */
	sched_message_add(&messages[0], bench, 9);
	assert_true(assign(bench, &messages[0], "a.test", 0));
	bench->now = sched_due(bench->sched);
	sched_step(bench->sched, bench->now);
	assert_non_null(entry = sched_take(bench->sched, destination, false, bench->now));
	sched_entry_finish(bench->sched, entry, true, SLICE_LIT(""), SLICE_LIT(""), bench->now);
}

/* a.test may have four recipients a second, b.test three messages a minute in one session. */
static bool
settings(void *ctx, struct sched_transport *transport, struct slice nexthop,
	struct sched_limits *limits)
{
	(void)ctx;
	(void)transport;
	if (slice_equal_str(nexthop, "a.test"))
		limits->recipient_rate_ns = NS_PER_S / 4;
	else if (slice_equal_str(nexthop, "b.test"))
		limits->rate_ns = 20 * NS_PER_S;
	else
		return false;
	limits->window.limit_max = slice_equal_str(nexthop, "b.test") ? 1 : 5;
	return true;
}

/* So many transactions of the next hop begin within a time. */
static unsigned
count_within(struct bench *bench, struct sched_destination *destination, uint64_t ns)
{
	uint64_t end_ns = bench->now.ns + ns;
	struct sched_entry *entry;
	unsigned count = 0;

	while (bench->now.ns < end_ns) {
		while ((entry = sched_take(bench->sched, destination, false, bench->now)) != NULL) {
			assert_null(sched_take(bench->sched, destination, true, bench->now));
			sched_entry_finish(bench->sched, entry, true, SLICE_LIT(""), SLICE_LIT(""),
				bench->now);
			count++;
		}
		bench->now = sched_due(bench->sched);
		sched_step(bench->sched, bench->now);
		sched_check(bench->sched);
	}
	return count;
}

static void
test_rate__of_messages_and_of_recipients__is_never_passed(void **state)
{
	struct bench *bench = *state;
	struct sched_options options = { .settings = settings };
	struct sched_limits limits = { .recipient_max = 2,
		.window = { .initial = 5, .limit_max = 20, .cohort_limit = 1 } };
	static struct sched_message messages[3][30];
	static const char *const hops[] = { "a.test", "b.test", "c.test" };
	struct sched_destination *destination;
	struct sched_status status;

	sched_set_options(bench->sched, &options);
	bench->transport = sched_transport_set(bench->sched, SLICE_LIT("rated"), &limits, NULL);
	for (int hop = 0; hop < 3; hop++)
		for (int i = 0; i < 30; i++) {
			sched_message_add(&messages[hop][i], bench, (uint64_t)i);
			assert_true(assign(bench, &messages[hop][i], hops[hop], 0));
			assert_true(assign(bench, &messages[hop][i], hops[hop], 1));
		}
	for (int hop = 0; hop < 3; hop++) {
		destination = sched_session_next(bench->sched, bench->now);
		sched_session_ready(bench->sched, destination);
		sched_destination_status(destination, &status);
		if (slice_equal_str(status.nexthop, "a.test")) {
			/* Two recipients a transaction: two transactions a second. */
			assert_in_range(count_within(bench, destination, 10 * NS_PER_S), 20, 21);
		} else if (slice_equal_str(status.nexthop, "b.test")) {
			assert_int_equal(status.limit_max, 1);
			assert_in_range(count_within(bench, destination, 180 * NS_PER_S), 9, 10);
			/* A reload without the line: from its next turn on nothing holds it back. */
			options.settings = NULL;
			sched_set_options(bench->sched, &options);
			(void)sched_transport_set(
				bench->sched, SLICE_LIT("rated"), &limits, NULL);
			bench->now.ns += 20 * NS_PER_S;
			sched_step(bench->sched, bench->now);
			sched_destination_status(destination, &status);
			assert_int_equal(status.limit_max, 20);
			for (int i = 0; i < 5; i++) {
				struct sched_entry *entry = sched_take(
					bench->sched, destination, false, bench->now);

				assert_non_null(entry);
				sched_entry_finish(bench->sched, entry, true, SLICE_LIT(""),
					SLICE_LIT(""), bench->now);
			}
			options.settings = settings;
			sched_set_options(bench->sched, &options);
		} else {
			assert_int_equal(status.limit_max, 20);
		}
	}
	for (int hop = 0; hop < 3; hop++)
		for (int i = 0; i < 30; i++)
			sched_message_remove(bench->sched, &messages[hop][i]);
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

/* rules: S1a S1b S1c S1e S24 */
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
		TEST(test_S8__who_is_carried__is_settled_when_the_session_is_ready),
		TEST(test_S22__destinations__take_turns),
		TEST(test_R52__recipient_limit_one__is_a_queue_per_user),
		TEST(test_R54__dead_site__takes_nothing_until_it_is_revived),
		TEST(test_X12__flush__revives_sites_and_transports),
		TEST(test_R51__dead_transport__gives_back_and_takes_nothing),
		TEST(test_W8__a_dead_site__ends_no_transaction_and_dies_once),
		TEST(test_X10__transport_rate_delay__parts_transactions),
		TEST(test_W20__rate_delay__suspends_between_transactions),
		TEST(test_W20__last_failure__gives_back_what_waits_and_makes_its_pause),
		TEST(test_rate__of_messages_and_of_recipients__is_never_passed),
		TEST(test_random_walk__keeps_every_invariant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
