/*
 * test_core.c - unit tests of the core as a whole: limits of the queue, time
 *
 * Method: the core on a bench with time by hand.
 */
#include "core_bench.h"
#include "message/dsn.h"

#include "message/queue_id.h"
#include "qmgr/core_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const char *const plain[] = { NULL };

/* --- queue_message_limit ---------------------------------------------------------------------- */

static void
test_limit__reached__refuses_new_mail_and_says_so_once(void **state)
{
	static const char *const tight[] = { "queue_message_limit=40", NULL };
	struct bench *bench = *state;
	uint64_t last = 0;

	bench_configure(bench, tight);
	for (int i = 0; i < 40; i++)
		last = bench_mail(bench, "s@x.test", "later@d.test");
	for (int i = 0; i < 3; i++) {
		(void)bench_offer(bench, "s@x.test", "later@d.test");
		assert_int_equal(bench->status, IPC_INTAKE_FULL);
		core_disk_free(bench->core, UINT64_C(1) << 40);
	}
	assert_int_equal(bench_messages(bench), 40);
	assert_int_equal(bench_logged(bench, "queue_message_limit"), 1);
	/* One in twenty must be gone: 38 are still too many, so that it does not flicker. */
	bench_command(bench, "delete", last);
	bench_command(bench, "delete", last - 1);
	(void)bench_offer(bench, "s@x.test", "later@d.test");
	assert_int_equal(bench->status, IPC_INTAKE_FULL);
	core_disk_free(bench->core, UINT64_C(1) << 40);
	assert_int_equal(bench_logged(bench, "accepted again"), 0);
	bench_command(bench, "delete", last - 2);
	core_disk_free(bench->core, UINT64_C(1) << 40);
	assert_int_equal(bench_logged(bench, "accepted again"), 1);
	(void)bench_mail(bench, "s@x.test", "later@d.test");
}

static void
test_limit__reached__reports_are_made_all_the_same(void **state)
{
	static const char *const tight[] = { "queue_message_limit=1", NULL };
	struct bench *bench = *state;

	bench_configure(bench, tight);
	(void)bench_mail(bench, "s@x.test", "no@d.test");
	assert_int_equal(bench->report_count, 1);
	assert_int_equal(bench_messages(bench), 0);
}

static void
test_limit__raised_by_a_reload__ends_the_refusal(void **state)
{
	static const char *const tight[] = { "queue_message_limit=1", NULL };
	struct bench *bench = *state;

	bench_configure(bench, tight);
	(void)bench_mail(bench, "s@x.test", "later@d.test");
	(void)bench_offer(bench, "s@x.test", "later@d.test");
	assert_int_equal(bench->status, IPC_INTAKE_FULL);
	bench_configure(bench, plain);
	(void)bench_mail(bench, "s@x.test", "later@d.test");
}

/* --- the clock -------------------------------------------------------------------------------- */

static void
set_clock(struct bench *bench, int64_t by_s)
{
	bench->now.wall.us += (uint64_t)by_s * US_PER_S;
}

/* Seconds until a message that was tried before is tried again. */
static uint64_t
wait_for_attempt(struct bench *bench, const char *address)
{
	unsigned tried = bench_tried(bench, address);
	uint64_t seconds = 0;

	for (; bench_tried(bench, address) == tried && seconds < 20000; seconds++)
		bench_pass(bench, 1);
	return seconds;
}

/* rules: L7 L8 */
static void
test_L8__clock_set_back_over_a_restart__no_queue_id_comes_twice(void **state)
{
	struct bench *bench = *state;
	uint64_t before = 0, after, last_us;

	for (int i = 0; i < 3; i++) {
		before = bench_mail(bench, "s@x.test", "ok@d.test");
		bench_pass(bench, 10);
		bench_restart(bench);
	}
	/* The journal goes on while the block of IDs is an old one. */
	bench_pass(bench, 1000);
	before = bench_mail(bench, "s@x.test", "ok@d.test");
	last_us = bench->now.wall.us;
	set_clock(bench, -86400);
	bench_restart(bench);
	after = bench_mail(bench, "s@x.test", "ok@d.test");
	assert_true(after > before);
	assert_true(queue_id_time_us(after) >= last_us);
	assert_int_equal(bench_logged(bench, "s behind the last time in the journal"), 1);
	set_clock(bench, -86400);
	bench_pass(bench, 1);
	before = after;
	bench_restart(bench);
	assert_true(bench_mail(bench, "s@x.test", "ok@d.test") > before);
}

static void
test_clock__beyond_what_an_id_can_hold__does_not_count(void **state)
{
	struct bench *bench = *state;
	uint64_t before = bench_mail(bench, "s@x.test", "ok@d.test");

	set_clock(bench, INT64_C(150) * 365 * 86400);
	bench_restart(bench);
	assert_true(bench_mail(bench, "s@x.test", "ok@d.test") > before);
	set_clock(bench, INT64_C(-150) * 365 * 86400);
	bench_restart(bench);
	assert_true(bench_mail(bench, "s@x.test", "ok@d.test") > before);
}

/* rules: B15 */
static void
test_clock__set_back__is_said_and_due_times_are_pulled_in(void **state)
{
	struct bench *bench = *state;

	(void)bench_mail(bench, "s@x.test", "later@d.test");
	bench_pass(bench, 1);
	set_clock(bench, -30 * 86400);
	bench_pass(bench, 1);
	assert_int_equal(bench_logged(bench, "the clock was set back by 2592000 s"), 1);
	assert_in_range(wait_for_attempt(bench, "later@d.test"), 290, 4410);
	assert_int_equal(bench_logged(bench, "the clock was set"), 1);
}

static void
test_clock__set_back_while_a_state_is_written__its_due_time_is_pulled_in(void **state)
{
	static const char *const fixed[] = { "transport_maps=inline:{ d.test=retry:later }",
		NULL };
	struct bench *bench = *state;
	uint64_t seconds = 0;

	bench_configure(bench, fixed);
	(void)bench_mail(bench, "s@x.test", "a@d.test");
	bench_pass(bench, 2); /* a deferral waits for company in the journal */
	assert_int_equal(bench_logged(bench, "to=<a@d.test>"), 1);
	bench->now.mono.ns += 400 * NS_PER_S;
	bench->now.wall.us += 400 * US_PER_S;
	bench_run_to_change(bench);
	assert_int_equal(bench_logged(bench, "to=<a@d.test>"), 2);
	set_clock(bench, -30 * 86400);
	for (; bench_logged(bench, "to=<a@d.test>") == 2; seconds++) {
		assert_true(seconds < 4410);
		bench_pass(bench, 1);
	}
}

static void
test_clock__set_back_while_down__due_times_are_pulled_in(void **state)
{
	struct bench *bench = *state;

	(void)bench_mail(bench, "s@x.test", "later@d.test");
	set_clock(bench, -30 * 86400);
	bench_restart(bench);
	assert_in_range(wait_for_attempt(bench, "later@d.test"), 290, 4410);
}

static void
test_clock__more_messages_than_a_slice__are_pulled_in_and_spread(void **state)
{
	struct bench *bench = *state;
	unsigned most = 0;

	for (int i = 0; i < 600; i++)
		(void)bench_mail(bench, "s@x.test", "later@d.test");
	set_clock(bench, -30 * 86400);
	for (unsigned i = 0, before = bench_tried(bench, "later@d.test"); i < 4500; i++) {
		unsigned now;

		bench_pass(bench, 1);
		now = bench_tried(bench, "later@d.test");
		most = now - before > most ? now - before : most;
		before = now;
	}
	assert_true(bench_tried(bench, "later@d.test") >= 1200);
	assert_true(most < 20);
}

static void
test_clock__small_differences__are_no_step(void **state)
{
	struct bench *bench = *state;

	for (int i = 0; i < 10; i++) {
		set_clock(bench, 60);
		bench_pass(bench, 1);
	}
	assert_int_equal(bench_logged(bench, "the clock was set"), 0);
	set_clock(bench, 61);
	bench_pass(bench, 1);
	assert_int_equal(bench_logged(bench, "the clock was set forward by 61 s"), 1);
}

/* --- expiry_rate ------------------------------------------------------------------------------ */

static void
test_expiry_rate__many_at_once__wait_for_their_turn(void **state)
{
	static const char *const slow[] = { "expiry_rate=2", "maximal_queue_lifetime=100s",
		"minimal_backoff_time=10s", "maximal_backoff_time=10s", NULL };
	struct bench *bench = *state;
	unsigned most = 0, expired = 0, tries[20] = { 0 }, last[20] = { 0 };
	char address[32];

	bench_configure(bench, slow);
	for (unsigned i = 0; i < 20; i++) {
		(void)snprintf(address, sizeof(address), "later-%02u@d.test", i);
		(void)bench_mail(bench, "s@x.test", address);
		tries[i] = 1;
	}
	for (unsigned second = 1; bench_messages(bench) > 0; second++) {
		unsigned before = expired;

		assert_true(second < 400);
		bench_pass(bench, 1);
		expired = bench_logged(bench, "status=expired");
		most = expired - before > most ? expired - before : most;
		for (unsigned i = 0; i < 20; i++) {
			unsigned tried;

			(void)snprintf(address, sizeof(address), "later-%02u@d.test", i);
			tried = bench_tried(bench, address);
			/* Attempts stay at least minimal_backoff_time apart. */
			if (tried > tries[i])
				assert_true(tried == tries[i] + 1 && second >= last[i] + 10);
			last[i] = tried > tries[i] ? second : last[i];
			tries[i] = tried;
		}
	}
	assert_int_equal(most, 2);
	assert_int_equal(expired, 20);
	assert_int_equal(bench->report_count, 20);
}

/* rules: R44 R45 */
static void
test_R44_R45__no_address__is_returned_and_never_given_out(void **state)
{
	struct bench *bench = *state;

	(void)bench_mail(bench, "s@x.test", "<> bad\001@d.test ok@d.test");
	assert_int_equal(bench_logged(bench, "dsn=5.1.3, status=bounced (null recipient address)"), 1);
	assert_int_equal(bench_logged(bench, "dsn=5.1.3, status=bounced (bad address syntax)"), 1);
	assert_int_equal(bench_tried(bench, "ok@d.test"), 1);
	assert_int_equal(bench->report_count, 1);
	assert_int_equal(bench_messages(bench), 0);
}

/* rules: N64 */
static void
test_N64__expanded__is_told_once_and_tried_never(void **state)
{
	struct bench *bench = *state;

	bench->notify = DSN_NOTIFY_EXPANDED | DSN_NOTIFY_SUCCESS;
	(void)bench_mail(bench, "s@x.test", "team@d.test");
	bench->notify = 0;
	assert_int_equal(bench_tried(bench, "team@d.test"), 0);
	assert_int_equal(bench->report_count, 1);
	assert_non_null(memmem(bench->reports.ptr, bench->reports.len, "Action: expanded\r\n", 18));
	bench_kill(bench);
	bench_pass(bench, 5);
	assert_int_equal(bench->report_count, 1);
	assert_int_equal(bench_messages(bench), 0);
}

/* --- a start that takes long ------------------------------------------------------------------ */

/* As if replay were under way: nothing that is not known yet may be left out, or changed. */
static void
test_index__not_complete__requests_wait_and_not_for_ever(void **state)
{
	static const char *const all[] = { "ALL", NULL };
	struct bench *bench = *state;

	(void)bench_mail(bench, "s@x.test", "later@d.test");
	bench->core->is_complete = false;
	bench_ask(bench, "hold", all);
	bench_pass(bench, 50);
	assert_int_equal(bench->answer.len, 0);
	bench->core->is_complete = true;
	bench_run(bench);
	assert_true(bench_answered(bench, "\"done\":1"));
	bench->core->is_complete = false;
	bench_ask(bench, "release", all);
	bench_pass(bench, 61);
	assert_true(bench_answered(bench, "not all messages are known yet"));
	bench->core->is_complete = true;
	bench_ask(bench, "release", all);
	assert_true(bench_answered(bench, "\"done\":1"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_limit__reached__refuses_new_mail_and_says_so_once, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_limit__reached__reports_are_made_all_the_same, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_limit__raised_by_a_reload__ends_the_refusal, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_L8__clock_set_back_over_a_restart__no_queue_id_comes_twice, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_clock__beyond_what_an_id_can_hold__does_not_count, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_clock__set_back__is_said_and_due_times_are_pulled_in, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_clock__set_back_while_a_state_is_written__its_due_time_is_pulled_in, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_clock__set_back_while_down__due_times_are_pulled_in, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_clock__more_messages_than_a_slice__are_pulled_in_and_spread, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_clock__small_differences__are_no_step, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_expiry_rate__many_at_once__wait_for_their_turn, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_R44_R45__no_address__is_returned_and_never_given_out, bench_setup,
			bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_N64__expanded__is_told_once_and_tried_never, bench_setup,
			bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_index__not_complete__requests_wait_and_not_for_ever, bench_setup, bench_teardown),
	};

	return cmocka_run_group_tests_name("core", tests, NULL, NULL);
}
