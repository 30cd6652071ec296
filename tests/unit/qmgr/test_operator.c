/*
 * test_operator.c - unit tests of what operators ask of mail: flush, expire, requeue, conditions
 *
 * Goal: each command does what its rule says, to the mail that is meant and to no other. Method: the
 * core on a bench with time by hand.
 */
#include "core_bench.h"
#include "message/queue_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define ASK(bench, command, ...) \
	bench_ask((bench), (command), (const char *const[]){ __VA_ARGS__, NULL })

static const char *const plain[] = { NULL };

/* --- flush ------------------------------------------------------------------------------------ */

/* rules: M13 R48 B14 O1 L21 L4 */
static void
test_R48__flush_of_all__overrides_defer_transports_once(void **state)
{
	static const char *const deferred[] = { "defer_transports=smtp", NULL };
	struct bench *bench = *state;

	bench_configure(bench, deferred);
	(void)bench_mail(bench, "s@x.test", "later@d.test");
	assert_int_equal(bench_logged(bench, "(deferred transport)"), 1);
	assert_int_equal(bench_tried(bench, "later@d.test"), 0);
	bench_command(bench, "flush", 0);
	assert_int_equal(bench_tried(bench, "later@d.test"), 1);
	/* The mark is used up: the next round waits again. */
	bench_pass(bench, 400);
	assert_int_equal(bench_tried(bench, "later@d.test"), 1);
	assert_int_equal(bench_logged(bench, "(deferred transport)"), 2);
}

/* rules: O2 R48 B14 */
static void
test_O2__flush_of_a_site__overrides_defer_transports_for_its_mail_only(void **state)
{
	static const char *const deferred[] = { "defer_transports=smtp", NULL };
	struct bench *bench = *state;

	bench_configure(bench, deferred);
	(void)bench_mail(bench, "s@x.test", "later@d.test");
	(void)bench_mail(bench, "s@x.test", "later@e.test");
	ASK(bench, "flush", "site", "D.test");
	assert_int_equal(bench_tried(bench, "later@d.test"), 1);
	assert_int_equal(bench_tried(bench, "later@e.test"), 0);
	assert_true(bench_answered(bench, "\"done\":1,"));
	assert_int_equal(bench_logged(bench, "flush by bench (uid 7): 1 message\n"), 1);
}

/* rules: X13 O3 F9 R9 */
static void
test_X13__flush_of_one__leaves_other_dead_sites_alone(void **state)
{
	struct bench *bench = *state;
	uint64_t id = bench_mail(bench, "s@x.test", "lost@d.test");

	(void)bench_mail(bench, "s@x.test", "lost@e.test");
	for (unsigned i = 0; i < 4; i++) {
		(void)bench_mail(bench, "s@x.test", "lost-more@d.test");
		(void)bench_mail(bench, "s@x.test", "lost-more@e.test");
	}
	unsigned before = bench_tried(bench, "lost-more@e.test");

	bench_command(bench, "flush", id);
	assert_int_equal(bench_tried(bench, "lost@d.test"), 2);
	(void)bench_mail(bench, "s@x.test", "lost-more@e.test");
	assert_int_equal(bench_tried(bench, "lost-more@e.test"), before);
}

/* --- expire ----------------------------------------------------------------------------------- */

/* rules: F11 R10 D41 O44 N11 J26 */
static void
test_D41__expire__returns_open_recipients_with_their_last_reasons(void **state)
{
	struct bench *bench = *state;
	char id[QUEUE_ID_TEXT_SIZE];

	(void)queue_id_format(bench_mail(bench, "s@x.test", "later@d.test ok@d.test"), id);
	ASK(bench, "expire", id, "why", "customer left");
	assert_int_equal(bench_tried(bench, "later@d.test"), 1);
	assert_int_equal(bench_logged(bench, ": expired by bench (uid 7): customer left\n"), 1);
	assert_int_equal(bench_logged(
				 bench, ": from=<s@x.test>, status=force-expired, returned to sender\n"),
		1);
	assert_int_equal(bench->report_count, 1);
	assert_non_null(memmem(bench->reports.ptr, bench->reports.len, "4.2.0", 5));
	assert_null(memmem(bench->reports.ptr, bench->reports.len, "ok@d.test", 9));
	assert_int_equal(bench_messages(bench), 0);
}

/* rules: R46 O45 L4 N12 */
static void
test_R46__expire_of_what_was_never_tried__says_so_and_on_hold_it_waits(void **state)
{
	struct bench *bench = *state;
	uint64_t id = bench_mail(bench, "s@x.test", "wait@d.test");
	char text[QUEUE_ID_TEXT_SIZE];

	(void)queue_id_format(id, text);
	bench_command(bench, "hold", id);
	bench_answer(bench, IPC_OUTCOME_DEFERRED, false);
	bench_command(bench, "expire", id);
	assert_int_equal(bench_logged(bench, "force-expired"), 0);
	bench_command(bench, "queue", 0);
	assert_true(bench_answered(bench, "\"queue_name\":\"hold\""));
	assert_true(bench_answered(bench, "\"forced_expire\":true"));
	/* The mark outlives the process, and counts at release. */
	bench_restart(bench);
	bench_command(bench, "release", id);
	assert_int_equal(bench_logged(bench, "force-expired"), 1);
	assert_int_equal(bench_messages(bench), 0);
	/* Held since it was parked, without a single attempt: expired and released in one. */
	(void)queue_id_format(bench_mail(bench, "s@x.test", "wait-too@d.test"), text);
	ASK(bench, "expire", text, "held");
	bench_answer(bench, IPC_OUTCOME_DELIVERED, false);
	assert_int_equal(bench_logged(bench, "force-expired"), 1);
	assert_int_equal(bench_messages(bench), 0);
}

/* rules: R46 F11 */
static void
test_F11__expire_of_a_deferred_transport__has_its_reason(void **state)
{
	static const char *const deferred[] = { "defer_transports=smtp", NULL };
	struct bench *bench = *state;
	uint64_t id;

	bench_configure(bench, deferred);
	id = bench_mail(bench, "s@x.test", "later@d.test");
	bench_configure(bench, plain);
	bench_command(bench, "expire", id);
	assert_non_null(memmem(bench->reports.ptr, bench->reports.len, "deferred transport", 18));
}

/* rules: L42 O44 */
static void
test_O44__expire_in_flight__waits_for_the_results(void **state)
{
	struct bench *bench = *state;
	uint64_t id = bench_mail(bench, "s@x.test", "wait@d.test");

	bench_command(bench, "expire", id);
	assert_true(bench_answered(bench, "\"in_delivery\":1"));
	assert_int_equal(bench_logged(bench, "force-expired"), 0);
	bench_answer(bench, IPC_OUTCOME_DELIVERED, false);
	assert_int_equal(bench_logged(bench, "force-expired"), 0);
	assert_int_equal(bench->report_count, 0);
	id = bench_mail(bench, "s@x.test", "wait@d.test");
	bench_command(bench, "expire", id);
	bench_answer(bench, IPC_OUTCOME_DEFERRED, false);
	assert_int_equal(bench_logged(bench, "force-expired"), 1);
	assert_int_equal(bench->report_count, 1);
	assert_int_equal(bench_messages(bench), 0);
}

/* --- requeue ---------------------------------------------------------------------------------- */

/* rules: O43 */
static void
test_O43__requeue__rewrites_recipients_again_and_drops_doubles(void **state)
{
	static const char *const aliases[] = { "virtual_alias_maps=inline:{ later@d.test=okay@d.test, "
					       "later-two@d.test=okay@d.test }", NULL };
	struct bench *bench = *state;
	uint64_t id = bench_mail(bench, "s@x.test", "later@d.test");

	bench_configure(bench, aliases);
	bench_command(bench, "requeue", id);
	assert_int_equal(bench_logged(bench, ": to be requeued by bench (uid 7)\n"), 1);
	assert_int_equal(bench_tried(bench, "okay@d.test"), 1);
	assert_int_equal(bench_tried(bench, "later@d.test"), 1);
	assert_int_equal(bench_messages(bench), 0);
}

/* rules: O43 */
static void
test_O43__requeue_into_a_loop_of_aliases__is_refused_and_nothing_is_lost(void **state)
{
	static const char *const ring[] = { "virtual_alias_maps=inline:{ later@d.test=ring@d.test, "
					    "ring@d.test=later@d.test }", NULL };
	struct bench *bench = *state;
	uint64_t id = bench_mail(bench, "s@x.test", "later@d.test");

	bench_configure(bench, ring);
	bench_command(bench, "requeue", id);
	assert_int_equal(bench_logged(bench, "not requeued: its recipients cannot be rewritten"), 1);
	assert_int_equal(bench_messages(bench), 1);
}

/* --- conditions ------------------------------------------------------------------------------- */

static void
assert_count(struct bench *bench, const char *command, const char *const *words, unsigned count)
{
	char text[32];

	bench_ask(bench, command, words);
	(void)snprintf(text, sizeof(text), "{\"done\":%u,", count);
	if (!bench_answered(bench, text))
		fail_msg("%s %s: wanted %u, got %.*s", command, words[1], count,
			(int)bench->answer.len, (const char *)bench->answer.ptr);
}

#define COUNT(bench, count, command, ...) \
	assert_count((bench), (command), (const char *const[]){ __VA_ARGS__, NULL }, (count))

static void
test_conditions__each_and_together__choose_what_is_meant(void **state)
{
	struct bench *bench = *state;

	(void)bench_mail(bench, "Ann@x.test", "later@d.test");
	bench_pass(bench, 100);
	(void)bench_mail(bench, "bob@x.test", "later@d.test later@e.test ok@f.test");
	(void)bench_mail(bench, "", "later@E.test");
	COUNT(bench, 3, "delete", "count", "ALL");
	COUNT(bench, 1, "delete", "count", "sender", "ann@X.test");
	COUNT(bench, 2, "delete", "count", "sender", "@x.test");
	COUNT(bench, 2, "delete", "count", "sender", "x.test");
	COUNT(bench, 1, "delete", "count", "sender", "");
	COUNT(bench, 0, "delete", "count", "sender", "test");
	COUNT(bench, 2, "delete", "count", "recipient", "e.test");
	COUNT(bench, 0, "delete", "count", "recipient", "ok@f.test");
	COUNT(bench, 2, "delete", "count", "site", "d.test");
	COUNT(bench, 3, "delete", "count", "reason", "SAID so");
	COUNT(bench, 0, "delete", "count", "reason", "no such text");
	COUNT(bench, 1, "delete", "count", "older", "100");
	COUNT(bench, 2, "delete", "count", "younger", "99");
	COUNT(bench, 0, "delete", "count", "older", "101");
	COUNT(bench, 0, "delete", "count", "larger", "100000");
	COUNT(bench, 3, "delete", "count", "smaller", "100000");
	COUNT(bench, 1, "delete", "count", "sender", "x.test", "site", "e.test", "younger", "99");
	/* One and the same recipient must fit. */
	COUNT(bench, 0, "delete", "count", "recipient", "later@d.test", "site", "e.test");
	assert_int_equal(bench_messages(bench), 3);
	COUNT(bench, 1, "delete", "sender", "x.test", "site", "e.test");
	assert_int_equal(bench_messages(bench), 2);
	assert_int_equal(bench_logged(bench, ": deleted by bench (uid 7)\n"), 1);
	assert_int_equal(bench_logged(bench, "delete by bench (uid 7): 1 message\n"), 1);
	COUNT(bench, 2, "hold", "reason", "SAID so");
	COUNT(bench, 1, "release", "count", "sender", "x.test", "younger", "5000");
}

static void
test_conditions__of_a_thousand__are_met_in_slices(void **state)
{
	struct bench *bench = *state;

	for (unsigned i = 0; i < 1000; i++)
		(void)bench_mail(bench, i % 4 == 0 ? "s@x.test" : "s@y.test", "later@d.test");
	COUNT(bench, 250, "hold", "sender", "x.test");
	COUNT(bench, 250, "release", "count", "ALL");
	COUNT(bench, 250, "delete", "sender", "x.test");
	COUNT(bench, 750, "expire", "site", "d.test", "sender", "s@y.test");
	assert_int_equal(bench_messages(bench), 0);
}

static void
test_conditions__that_make_no_sense__are_refused(void **state)
{
	static const char *const bad[][4] = { { "sender", NULL }, { "older", "x", NULL },
		{ "sender", "a", "sender", NULL }, { "nonsense", NULL }, { NULL } };
	struct bench *bench = *state;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		bench_ask(bench, "hold", bad[i]);
		assert_false(bench_answered(bench, "done"));
	}
	ASK(bench, "hold", "sender", "a", "sender", "b");
	assert_true(bench_answered(bench, "given twice"));
}

/* --- snapshot --------------------------------------------------------------------------------- */

static uint64_t
snapshot_lsn(struct bench *bench)
{
	const char *at;

	ASK(bench, "snapshot", "begin");
	assert_true(bench_answered(bench, "{\"lsn\":"));
	at = memmem(bench->answer.ptr, bench->answer.len, "{\"lsn\":", 7);
	at += 7;
	uint64_t lsn = 0;
	for (; *at >= '0' && *at <= '9'; at++)
		lsn = lsn * 10 + (uint64_t)(*at - '0');
	ASK(bench, "snapshot", "end");
	assert_true(bench_answered(bench, "\"done\":1"));
	return lsn;
}

/* Nothing has changed since the last one: a batch behind the freeze is written all the same, as it
 * alone says which segments had left force before. */
static void
test_snapshot__of_an_idle_queue__is_flushed_behind_the_freeze(void **state)
{
	struct bench *bench = *state;
	uint64_t first, second;

	(void)bench_mail(bench, "s@x.test", "later@d.test");
	bench_pass(bench, 2);
	first = snapshot_lsn(bench);
	bench_run(bench);
	second = snapshot_lsn(bench);
	assert_true(second > first);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

/* --- many at a time --------------------------------------------------------------------------- */

static unsigned
count_words(const struct bench *bench, const char *words)
{
	const uint8_t *at = bench->answer.ptr, *end = at + bench->answer.len;
	unsigned count = 0;

	while (at != NULL && (at = memmem(at, (size_t)(end - at), words, strlen(words))) != NULL) {
		at += strlen(words);
		count++;
	}
	return count;
}

static void
test_requests__users_ask_too_much__each_other_and_the_administrator_are_served(void **state)
{
	struct bench *bench = *state;

	(void)bench_mail(bench, "s@x.test", "later@d.test");
	bench_users_list(bench, 100, false);
	bench_users_list(bench, 20, true);
	bench_command(bench, "queue", 0);
	assert_int_equal(count_words(bench, "too many requests at a time"),
		120 - 2 * CORE_JOBS_PER_USER);
	assert_int_equal(count_words(bench, "\"done\""), 2 * CORE_JOBS_PER_USER + 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_R48__flush_of_all__overrides_defer_transports_once),
		TEST(test_O2__flush_of_a_site__overrides_defer_transports_for_its_mail_only),
		TEST(test_X13__flush_of_one__leaves_other_dead_sites_alone),
		TEST(test_D41__expire__returns_open_recipients_with_their_last_reasons),
		TEST(test_R46__expire_of_what_was_never_tried__says_so_and_on_hold_it_waits),
		TEST(test_F11__expire_of_a_deferred_transport__has_its_reason),
		TEST(test_O44__expire_in_flight__waits_for_the_results),
		TEST(test_O43__requeue__rewrites_recipients_again_and_drops_doubles),
		TEST(test_O43__requeue_into_a_loop_of_aliases__is_refused_and_nothing_is_lost),
		TEST(test_conditions__each_and_together__choose_what_is_meant),
		TEST(test_conditions__of_a_thousand__are_met_in_slices),
		TEST(test_conditions__that_make_no_sense__are_refused),
		TEST(test_requests__users_ask_too_much__each_other_and_the_administrator_are_served),
		TEST(test_snapshot__of_an_idle_queue__is_flushed_behind_the_freeze),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
