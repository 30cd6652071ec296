/*
 * test_stages.c - unit tests of the stages after delivery, of backoff, and of operators in between
 *
 * Goal: rules B, D and L to the second and to the line. Method: the core on a bench with time by hand.
 */
#include "core_bench.h"

#include "qmgr/core_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const char *const plain[] = { NULL };

/* The same as `plain`, and a sender to whom no report can be addressed. */
static const char *const looping[] = { "virtual_alias_maps=inline:{ loop@x.test=ring@x.test, "
				       "ring@x.test=loop@x.test }", NULL };

static int
start(void **state)
{
	static struct bench bench;

	bench_start(&bench, plain);
	*state = &bench;
	return 0;
}

static int
stop(void **state)
{
	bench_stop(*state);
	return 0;
}

/* --- backoff ---------------------------------------------------------------------------------- */

/* rules: B1 B2 B21 D60 F5 R32 H10 */
static void
test_B2__attempts__follow_the_age_and_jitter_only_adds(void **state)
{
	/* Waits of the rule; each real one is at most a tenth longer. */
	struct bench *bench = *state;
	uint64_t begun = bench->now.wall.us, last = begun;
	unsigned tried = 1;

	(void)bench_mail(bench, "s@x.test", "later@d.test");
	assert_int_equal(bench_tried(bench, "later@d.test"), 1);
	while (tried < 9) {
		uint64_t age_s = (last - begun) / US_PER_S, waited_s;
		uint64_t want_s = age_s < 300 ? 300 : age_s > 4000 ? 4000 : age_s;

		while (bench_tried(bench, "later@d.test") == tried)
			bench_pass(bench, 1);
		waited_s = (bench->now.wall.us - last) / US_PER_S;
		if (waited_s < want_s || waited_s > want_s + want_s / 10 + 2)
			fail_msg("attempt %u after %u s, wanted %u", tried, (unsigned)waited_s,
				(unsigned)want_s);
		last = bench->now.wall.us;
		tried++;
	}
}

/* Retries in the second with the most against the mean of the minute around it. */
static void
check_peak(const uint32_t *seconds, size_t count)
{
	size_t peak = 0, from, to;
	double mean = 0;

	for (size_t i = 0; i < count; i++)
		if (seconds[i] > seconds[peak])
			peak = i;
	from = peak < 30 ? 0 : peak - 30;
	to = from + 60 < count ? from + 60 : count;
	for (size_t i = from; i < to; i++)
		mean += (double)seconds[i] / (double)(to - from);
	if (seconds[peak] > 2 * mean)
		fail_msg("second %zu has %u retries, the minute around it %.0f", peak,
			(unsigned)seconds[peak], mean);
}

static void
test_many_deferred_in_one_minute__retries_are_spread(void **state)
{
	enum { COUNT = 1000000, ROUNDS = 6, SPAN_S = 20000 };
	static uint32_t seconds[ROUNDS][SPAN_S];
	struct bench *bench = *state;
	uint64_t begun = bench->now.wall.us;

	memset(seconds, 0, sizeof(seconds));
	for (uint64_t i = 0; i < COUNT; i++) {
		struct message message = { .core = bench->core };
		uint64_t at = begun + i * 60 * US_PER_S / COUNT;

		message.envelope.arrival_us = at;
		for (unsigned round = 0; round < ROUNDS; round++) {
			uint64_t due;

			bench->core->now.wall.us = at;
			due = defer_due_us(bench->core, &message);
			assert_true(due >= at + 300 * US_PER_S);
			assert_true((due - begun) / US_PER_S < SPAN_S);
			seconds[round][(due - begun) / US_PER_S]++;
			at = due;
		}
	}
	bench->core->now = bench->now;
	for (unsigned round = 0; round < ROUNDS; round++)
		check_peak(seconds[round], SPAN_S);
}

/* rules: D60 D61 B1 */
static void
test_D60__minimum_wins__and_a_clock_set_back_gives_it(void **state)
{
	static const char *const odd[] = { "minimal_backoff_time=100s", "maximal_backoff_time=50s",
		NULL };
	struct bench *bench = *state;

	bench_configure(bench, odd);
	(void)bench_mail(bench, "s@x.test", "later@d.test");
	bench_pass(bench, 99);
	assert_int_equal(bench_tried(bench, "later@d.test"), 1);
	bench_pass(bench, 13);
	assert_int_equal(bench_tried(bench, "later@d.test"), 2);
	/* Made a day in the future, as after a step of the clock. */
	bench_configure(bench, plain);
	bench->created_us = bench->now.wall.us + 86400 * US_PER_S;
	(void)bench_mail(bench, "s@x.test", "later-two@d.test");
	bench_pass(bench, 299);
	assert_int_equal(bench_tried(bench, "later-two@d.test"), 1);
	bench_pass(bench, 33);
	assert_int_equal(bench_tried(bench, "later-two@d.test"), 2);
}

/* --- envelopes of a later release --- */

/* Attribute 999: id, flags, length, value. */
#define LATER_SKIPPABLE SLICE_LIT("\xe7\x03\x00\x05\x00\x00\x00later")
#define LATER_CRITICAL SLICE_LIT("\xe7\x03\x01\x05\x00\x00\x00later")

static bool
is_in_work(const struct bench *bench, struct slice bytes)
{
	for (int i = 0; i < BENCH_WORKS_MAX; i++)
		if (bench->works[i].is_used
			&& memmem(bench->works[i].bytes.ptr, bench->works[i].bytes.len, bytes.ptr,
				   bytes.len) != NULL)
			return true;
	return false;
}

static void
test_envelope__unknown_attribute__is_kept_in_a_requeued_copy(void **state)
{
	struct bench *bench = *state;
	uint64_t id;

	bench->attribute = LATER_SKIPPABLE;
	id = bench_mail(bench, "s@x.test", "wait@d.test");
	assert_true(is_in_work(bench, LATER_SKIPPABLE));
	bench_answer(bench, IPC_OUTCOME_DEFERRED, false);
	assert_false(is_in_work(bench, LATER_SKIPPABLE));
	bench_command(bench, "requeue", id);
	bench_run(bench);
	assert_int_equal(bench_messages(bench), 1);
	assert_true(is_in_work(bench, LATER_SKIPPABLE));
}

/* As it would lie in the journal of a later release; nobody could hand it in here. */
static void
put_critical(struct bench *bench, uint64_t id)
{
	struct store *store = bench->core->store;
	struct recipient_entry entry = { .address = SLICE_LIT("ok@d.test") };
	struct envelope envelope;
	struct store_txn txn;
	struct buf bytes, list;

	buf_init(&bytes, 0);
	buf_init(&list, 0);
	envelope_init(&envelope);
	envelope.sender = SLICE_LIT("s@x.test");
	assert_int_equal(envelope_encode(&envelope, &bytes), ERR_OK);
	buf_add(&bytes, LATER_CRITICAL);
	assert_int_equal(recipient_list_put(&list, &entry), ERR_OK);
	store_txn_begin(&txn, store, JOURNAL_NEW_MAIL, JOURNAL_NOW);
	store_unpin(store, store_txn_message(&txn, &(struct store_message){ .queue_id = id,
		.envelope = buf_slice(&bytes), .recipients = buf_slice(&list) }));
	assert_int_equal(store_txn_commit(&txn, NULL, NULL), ERR_OK);
	buf_done(&bytes);
	buf_done(&list);
}

/* rules: R4 C1 */
static void
test_envelope__unknown_critical_attribute__holds_the_message(void **state)
{
	struct bench *bench = *state;
	struct store_info info;
	uint64_t id = bench->id_next++;

	put_critical(bench, id);
	bench_run(bench);
	bench_pass(bench, 2);
	for (int start = 1; start <= 2; start++) {
		assert_int_equal(bench_logged(bench, "cannot be read: a format or feature that this release does not know"),
			start);
		assert_int_equal(bench_tried(bench, "ok@d.test"), 0);
		assert_int_equal(bench_messages(bench), 1);
		store_info(bench->core->store, store_find(bench->core->store, id), &info);
		assert_int_equal(info.flags, RECORD_STATE_HELD);
		bench_restart(bench);
		bench_pass(bench, 2);
	}
}

/* --- expiry ----------------------------------------------------------------------------------- */

static uint64_t
fail_at_age(struct bench *bench, const char *sender, uint64_t age_us)
{
	uint64_t id = bench_mail(bench, sender, "wait@d.test");

	bench->now.mono.ns += age_us * 1000;
	bench->now.wall.us += age_us;
	bench_answer(bench, IPC_OUTCOME_DEFERRED, false);
	return id;
}

/* rules: D42 D43 D51 J19 B9 M1 */
static void
test_D42__equal_age__expires__a_microsecond_less_does_not(void **state)
{
	static const char *const lifetimes[] = { "maximal_queue_lifetime=1000s",
		"bounce_queue_lifetime=500s", NULL };
	static const char *const reversed[] = { "maximal_queue_lifetime=500s",
		"bounce_queue_lifetime=1000s", NULL };
	struct bench *bench = *state;
	uint64_t id;

	bench_configure(bench, lifetimes);
	id = fail_at_age(bench, "s@x.test", 1000 * US_PER_S - 1);
	assert_int_equal(bench_logged(bench, "status=expired"), 0);
	bench_command(bench, "delete", id);
	(void)fail_at_age(bench, "s@x.test", 1000 * US_PER_S);
	assert_int_equal(
		bench_logged(bench, ": from=<s@x.test>, status=expired, returned to sender\n"), 1);
	assert_int_equal(bench->report_count, 1);
	(void)fail_at_age(bench, "", 500 * US_PER_S);
	assert_int_equal(bench_logged(bench, ": from=<>, status=expired, returned to sender\n"), 1);
	bench_configure(bench, reversed);
	(void)fail_at_age(bench, "", 500 * US_PER_S);
	assert_int_equal(bench_logged(bench, ": from=<>, status=expired, returned to sender\n"), 2);
	assert_int_equal(bench->report_count, 1);
}

/* --- reports ---------------------------------------------------------------------------------- */

/* rules: D7 D8 L44 N32 Z36 J21 */
static void
test_L44__report_that_fails__is_tried_again_and_nothing_else_is(void **state)
{
	struct bench *bench = *state;

	bench_configure(bench, looping);
	(void)bench_mail(bench, "loop@x.test", "no@d.test ok@d.test");
	assert_int_equal(bench_logged(bench, "status=deferred (bounce failed)"), 1);
	assert_int_equal(bench_logged(bench, ": removed"), 0);
	assert_int_equal(bench_messages(bench), 1);
	bench_pass(bench, 340);
	assert_int_equal(bench_logged(bench, "status=deferred (bounce failed)"), 2);
	bench_restart(bench);
	bench_configure(bench, plain);
	bench_pass(bench, 700);
	assert_int_equal(bench->report_count, 1);
	assert_int_equal(bench_tried(bench, "no@d.test"), 1);
	assert_int_equal(bench_tried(bench, "ok@d.test"), 1);
	assert_int_equal(bench_messages(bench), 0);
}

/* rules: D46 Z36 */
static void
test_D46__report_of_an_expiry_that_fails__keeps_the_message(void **state)
{
	static const char *const both[] = { "virtual_alias_maps=inline:{ loop@x.test=ring@x.test, "
					    "ring@x.test=loop@x.test }",
		"maximal_queue_lifetime=0", NULL };
	struct bench *bench = *state;

	bench_configure(bench, both);
	(void)bench_mail(bench, "loop@x.test", "later@d.test ok@d.test");
	assert_int_equal(bench_logged(bench, "status=expired"), 1);
	assert_int_equal(bench_messages(bench), 1);
	bench_configure(bench, plain);
	bench_pass(bench, 340);
	assert_int_equal(bench_logged(bench, "status=expired"), 1);
	assert_int_equal(bench_tried(bench, "later@d.test"), 1);
	assert_int_equal(bench->report_count, 1);
	assert_int_equal(bench_messages(bench), 0);
}

/* rules: D29 */
static void
test_D29__more_than_a_thousand_failures__are_several_reports(void **state)
{
	struct bench *bench = *state;
	struct buf list;
	const char *text;

	buf_init(&list, 0);
	for (int i = 0; i < 1001; i++)
		buf_addf(&list, "no%d@d.test ", i);
	assert_int_equal(buf_cstr(&list, &text), ERR_OK);
	(void)bench_mail(bench, "s@x.test", text);
	assert_int_equal(bench->report_count, 2);
	assert_int_equal(bench_messages(bench), 0);
	assert_int_equal(bench_logged(bench, ": removed"), 3);
	buf_done(&list);
}

/* --- damage ----------------------------------------------------------------------------------- */

/* rules: D20 D21 Y11 Z4 */
static void
test_D20__corrupt__is_held_and_earlier_results_count(void **state)
{
	struct bench *bench = *state;
	uint64_t id = bench_mail(bench, "s@x.test", "wait@d.test later@d.test");

	/* One recipient was delivered, then the content turned out to be damaged. */
	bench_answer(bench, IPC_OUTCOME_DELIVERED, true);
	assert_int_equal(bench_logged(bench, "content does not match its checksum"), 1);
	bench_pass(bench, 10000);
	assert_int_equal(bench_tried(bench, "wait@d.test"), 1);
	bench_command(bench, "queue", 0);
	assert_non_null(memmem(bench->answer.ptr, bench->answer.len, "\"hold\"", 6));
	assert_null(memmem(bench->answer.ptr, bench->answer.len, "wait@d.test", 11));
	bench_command(bench, "delete", id);
	assert_int_equal(bench_messages(bench), 0);
}

/* --- operators -------------------------------------------------------------------------------- */

/* rules: L40 L41 D63 Q6 Z26 */
static void
test_L40__deleted_in_flight__one_line_and_no_report(void **state)
{
	static const enum ipc_outcome_kind kinds[] = { IPC_OUTCOME_DELIVERED, IPC_OUTCOME_DEFERRED,
		IPC_OUTCOME_BOUNCED };
	struct bench *bench = *state;

	for (unsigned i = 0; i < 3; i++) {
		uint64_t id = bench_mail(bench, "s@x.test", "wait@d.test");

		bench_command(bench, "delete", id);
		assert_int_equal(bench_messages(bench), 1);
		bench_answer(bench, kinds[i], false);
		assert_int_equal(bench_messages(bench), 0);
		assert_int_equal(bench_logged(bench, ": removed"), i + 1);
	}
	assert_int_equal(bench->report_count, 0);
}

/* rules: L42 L43 F14 Q6 */
static void
test_L42__held_in_flight__keeps_its_results(void **state)
{
	struct bench *bench = *state;
	uint64_t id = bench_mail(bench, "s@x.test", "wait@d.test");

	bench_command(bench, "hold", id);
	bench_answer(bench, IPC_OUTCOME_DEFERRED, false);
	bench_pass(bench, 10000);
	assert_int_equal(bench_tried(bench, "wait@d.test"), 1);
	bench_command(bench, "release", id);
	assert_int_equal(bench_tried(bench, "wait@d.test"), 2);
	bench_command(bench, "hold", id);
	bench_answer(bench, IPC_OUTCOME_BOUNCED, false);
	bench_command(bench, "release", id);
	bench_pass(bench, 10);
	assert_int_equal(bench_tried(bench, "wait@d.test"), 2);
	assert_int_equal(bench->report_count, 1);
	assert_int_equal(bench_messages(bench), 0);
}

/* rules: B5 O43 */
static void
test_B5__requeue__starts_its_lifetime_anew(void **state)
{
	static const char *const lifetime[] = { "maximal_queue_lifetime=1000s", NULL };
	struct bench *bench = *state;
	uint64_t id = bench_mail(bench, "s@x.test", "later@d.test ok@d.test");

	bench_configure(bench, lifetime);
	bench_pass(bench, 900);
	bench_command(bench, "requeue", id);
	assert_int_equal(bench_logged(bench, ": requeued as "), 1);
	bench_command(bench, "queue", 0);
	assert_non_null(memmem(bench->answer.ptr, bench->answer.len,
		"\"arrival_time\":1700000000,", 26));
	bench_pass(bench, 700);
	assert_int_equal(bench_logged(bench, "status=expired"), 0);
	bench_pass(bench, 1500);
	assert_int_equal(bench_logged(bench, "status=expired"), 1);
	assert_int_equal(bench_tried(bench, "ok@d.test"), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_B2__attempts__follow_the_age_and_jitter_only_adds),
		TEST(test_many_deferred_in_one_minute__retries_are_spread),
		TEST(test_D60__minimum_wins__and_a_clock_set_back_gives_it),
		TEST(test_envelope__unknown_attribute__is_kept_in_a_requeued_copy),
		TEST(test_envelope__unknown_critical_attribute__holds_the_message),
		TEST(test_D42__equal_age__expires__a_microsecond_less_does_not),
		TEST(test_L44__report_that_fails__is_tried_again_and_nothing_else_is),
		TEST(test_D46__report_of_an_expiry_that_fails__keeps_the_message),
		TEST(test_D29__more_than_a_thousand_failures__are_several_reports),
		TEST(test_D20__corrupt__is_held_and_earlier_results_count),
		TEST(test_L40__deleted_in_flight__one_line_and_no_report),
		TEST(test_L42__held_in_flight__keeps_its_results),
		TEST(test_B5__requeue__starts_its_lifetime_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
