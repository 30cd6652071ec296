/*
 * test_admission.c - unit tests of qmgr/active and what feeds it: who comes into memory, and when
 *
 * Goal: new mail is not kept waiting by mail that is due, nor the other way round; what an answer of
 * the resolver, or bytes in an address, cannot do. Method: the core on a bench with time by hand.
 */
#include "core_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct bench bench;

/* Where an address stands among the attempts, from behind; -1: nowhere. */
static long
last_attempt(const char *address)
{
	long last = -1;
	size_t len = strlen(address);

	for (size_t at = 0; at + len <= bench.attempts.len; at++)
		if (memcmp(bench.attempts.ptr + at, address, len) == 0)
			last = (long)at;
	return last;
}

/* rules: M11 */
static void
test_M11__memory_is_full__new_mail_comes_before_mail_that_is_due(void **state)
{
	static const char *const overrides[] = { "qmgr_message_active_limit=1", NULL };

	(void)state;
	bench_start(&bench, overrides);
	(void)bench_mail(&bench, "s@x.test", "later@e.test");
	bench_pass(&bench, 10);
	(void)bench_mail(&bench, "s@x.test", "wait@d.test");
	bench_pass(&bench, 1000);
	(void)bench_mail(&bench, "s@x.test", "ok@f.test");
	assert_int_equal(bench_tried(&bench, "ok@f.test"), 0);
	assert_int_equal(bench_tried(&bench, "later@e.test"), 1);
	bench_answer(&bench, IPC_OUTCOME_DELIVERED, false);
	assert_int_equal(bench_tried(&bench, "later@e.test"), 2);
	assert_true(last_attempt("ok@f.test") >= 0);
	assert_true(last_attempt("ok@f.test") < last_attempt("later@e.test"));
	bench_stop(&bench);
}

/* rules: M8 M10 H13 */
static void
test_M8__much_is_due_at_once__new_mail_has_its_turn_between(void **state)
{
	static const char *const overrides[] = { "qmgr_message_active_limit=30",
		"scheduler_concurrency_policy=classic", NULL };
	char address[32];
	size_t before;

	(void)state;
	bench_start(&bench, overrides);
	for (unsigned i = 0; i < 200; i++) {
		(void)snprintf(address, sizeof(address), "later%u@e.test", i);
		(void)bench_mail(&bench, "s@x.test", address);
	}
	/* All are due; then one comes that is new. */
	bench.now.mono.ns += 2000 * NS_PER_S;
	bench.now.wall.us += 2000 * US_PER_S;
	before = bench.attempts.len;
	for (unsigned i = 0; i < 60; i++) {
		core_step(bench.core, bench.now);
		(void)disk_sim_step(&bench.disk);
	}
	(void)bench_mail(&bench, "s@x.test", "ok@f.test");
	bench_pass(&bench, 100);
	assert_true(last_attempt("ok@f.test") > (long)before);
	/* Not behind all of them: so many have been tried by then, and the others follow. */
	assert_true(bench.attempts.len - (size_t)last_attempt("ok@f.test") >
		50 * sizeof("later1@e.test"));
	for (unsigned i = 0; i < 200; i++) {
		(void)snprintf(address, sizeof(address), "later%u@e.test ", i);
		assert_int_equal(bench_tried(&bench, address), 2);
	}
	bench_stop(&bench);
}

/* rules: R43 */
static void
test_R43__answer_of_the_resolver_that_makes_no_sense__defers(void **state)
{
	static const char *const overrides[] = { NULL };

	(void)state;
	bench_start(&bench, overrides);
	bench.resolve_status = (enum ipc_resolve_status)9;
	(void)bench_mail(&bench, "s@x.test", "ok@d.test");
	assert_int_equal(bench_logged(&bench,
				 "dsn=4.3.0, status=deferred (address resolver failure)"),
		1);
	bench.resolve_status = IPC_RESOLVE_OK;
	bench_pass(&bench, 1000);
	assert_int_equal(bench_tried(&bench, "ok@d.test"), 1);
	bench_stop(&bench);
}

/* rules: O5 */
static void
test_O5__flush_of_an_active_message__changes_nothing(void **state)
{
	static const char *const overrides[] = { NULL };
	uint64_t id;

	(void)state;
	bench_start(&bench, overrides);
	id = bench_mail(&bench, "s@x.test", "wait@d.test");
	bench_command(&bench, "flush", id);
	assert_int_equal(bench_tried(&bench, "wait@d.test"), 1);
	bench_answer(&bench, IPC_OUTCOME_DEFERRED, false);
	bench_pass(&bench, 200);
	assert_int_equal(bench_tried(&bench, "wait@d.test"), 1);
	bench_pass(&bench, 200);
	assert_int_equal(bench_tried(&bench, "wait@d.test"), 2);
	bench_stop(&bench);
}

/* rules: O32 */
static void
test_O32__address_that_is_no_utf8__is_shown_with_a_replacement(void **state)
{
	static const char *const overrides[] = { NULL };

	(void)state;
	bench_start(&bench, overrides);
	(void)bench_mail(&bench, "s\xff\xc3\xa4@x.test", "wait@d.test");
	bench_command(&bench, "queue", 0);
	assert_true(bench_answered(&bench, "s\xEF\xBF\xBD\xc3\xa4@x.test"));
	bench_stop(&bench);
}

/* rules: T82 W21 */
static void
test_T82__helpful_warnings__no__a_destination_that_clogs_is_not_told(void **state)
{
	static const char *const said[] = { "qmgr_message_active_limit=10",
		"default_destination_concurrency_limit=1", NULL };
	static const char *const unsaid[] = { "qmgr_message_active_limit=10",
		"default_destination_concurrency_limit=1", "helpful_warnings=no", NULL };

	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		bench_start(&bench, round == 0 ? said : unsaid);
		for (unsigned i = 0; i < 6; i++)
			(void)bench_mail(&bench, "s@x.test", "wait@d.test");
		assert_int_equal(bench_logged(&bench, "is using up"), round == 0);
		bench_stop(&bench);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_M11__memory_is_full__new_mail_comes_before_mail_that_is_due),
		cmocka_unit_test(test_M8__much_is_due_at_once__new_mail_has_its_turn_between),
		cmocka_unit_test(test_R43__answer_of_the_resolver_that_makes_no_sense__defers),
		cmocka_unit_test(test_O5__flush_of_an_active_message__changes_nothing),
		cmocka_unit_test(test_O32__address_that_is_no_utf8__is_shown_with_a_replacement),
		cmocka_unit_test(test_T82__helpful_warnings__no__a_destination_that_clogs_is_not_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
