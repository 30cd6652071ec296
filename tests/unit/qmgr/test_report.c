/*
 * test_report.c - unit tests of who is told what, and how often (report.c and its stages in done.c)
 *
 * Goal: rules N, and D25 to D50, to the second and to the line. Method: the core on a bench with time by
 * hand; a sender whose address is an alias loop is one to whom no report can be addressed.
 */
#include "core_bench.h"

#include "message/dsn.h"
#include "message/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define LOOP "virtual_alias_maps=inline:{ loop@x.test=ring@x.test, ring@x.test=loop@x.test }"

static const char *const plain[] = { NULL };
static const char *const looping[] = { LOOP, NULL };

static unsigned
told(struct bench *bench, const char *text)
{
	const uint8_t *at = bench->reports.ptr, *end = at + bench->reports.len;
	unsigned count = 0;

	while (at != NULL && (at = memmem(at, (size_t)(end - at), text, strlen(text))) != NULL) {
		count++;
		at += strlen(text);
	}
	return count;
}

/* --- delays ----------------------------------------------------------------------------------- */

/* rules: D45 D47 B11 B15 */
static void
test_D47__warning__one_second_early_is_late_enough_and_once_is_enough(void **state)
{
	struct bench *bench = *state;

	bench->warning_s = 1000;
	(void)bench_mail(bench, "s@x.test", "wait@d.test");
	bench->now.mono.ns += 999 * NS_PER_S - 1000;
	bench->now.wall.us += 999 * US_PER_S - 1;
	bench_answer(bench, IPC_OUTCOME_DEFERRED, false);
	assert_int_equal(bench->report_count, 0);
	(void)bench_mail(bench, "s@x.test", "wait-more@d.test");
	bench->now.mono.ns += 999 * NS_PER_S;
	bench->now.wall.us += 999 * US_PER_S;
	bench_answer(bench, IPC_OUTCOME_DEFERRED, false);
	assert_int_equal(bench->report_count, 1);
	assert_int_equal(told(bench, "Final-Recipient: rfc822; wait-more@d.test\r\n"), 1);
	bench_restart(bench);
	bench->report_count = 0;
	for (int i = 0; i < 3; i++) {
		bench_pass(bench, 4500);
		bench_answer(bench, IPC_OUTCOME_DEFERRED, false);
	}
	/* The first mail's own, and no second one of the other. */
	assert_int_equal(bench->report_count, 1);
	assert_int_equal(told(bench, "Final-Recipient: rfc822; wait-more@d.test\r\n"), 1);
}

/* rules: D48 J21 Z27 */
static void
test_D48__warning_that_fails__comes_after_the_next_attempt(void **state)
{
	struct bench *bench = *state;

	bench_configure(bench, looping);
	bench->warning_s = 1;
	(void)bench_mail(bench, "loop@x.test", "later@d.test");
	assert_int_equal(bench_logged(bench, ": status=deferred (delay warning failed)\n"), 1);
	bench_pass(bench, 100);
	assert_int_equal(bench_logged(bench, ": status=deferred (delay warning failed)\n"), 1);
	bench_configure(bench, plain);
	bench_pass(bench, 240);
	assert_int_equal(bench_tried(bench, "later@d.test"), 2);
	assert_int_equal(bench->report_count, 1);
	assert_int_equal(bench_messages(bench), 1);
}

/* rules: D50 */
static void
test_D50__too_old__no_warning(void **state)
{
	static const char *const short_life[] = { "maximal_queue_lifetime=0", NULL };
	struct bench *bench = *state;

	bench_configure(bench, short_life);
	bench->warning_s = 1;
	(void)bench_mail(bench, "s@x.test", "later@d.test");
	assert_int_equal(bench->report_count, 1);
	assert_int_equal(told(bench, "Subject: Undelivered Mail Returned to Sender\r\n"), 1);
}

/* rules: N25 B11 */
static void
test_N25__null_sender__is_never_warned(void **state)
{
	static const char *const classes[] = { "notify_classes=delay", NULL };
	struct bench *bench = *state;

	bench_configure(bench, classes);
	bench->warning_s = 1;
	(void)bench_mail(bench, "", "later@d.test");
	assert_int_equal(bench->report_count, 0);
	(void)bench_mail(bench, "s@x.test", "later@d.test");
	/* The sender's, and postmaster's copy of its header. */
	assert_int_equal(bench->report_count, 2);
	assert_int_equal(told(bench, "Subject: Postmaster Warning: Delayed Mail\r\n"), 1);
	assert_int_equal(told(bench, "Content-Type: text/rfc822-headers\r\n"), 2);
}

/* rules: N42 Z30 */
static void
test_Z30__will_retry_until__is_when_it_expires(void **state)
{
	static const char *const lifetime[] = { "maximal_queue_lifetime=1000s", NULL };
	struct bench *bench = *state;

	bench_configure(bench, lifetime);
	bench->warning_s = 1;
	bench->created_us = bench->now.wall.us - 100 * US_PER_S;
	(void)bench_mail(bench, "s@x.test", "later@d.test");
	assert_int_equal(told(bench, "Arrival-Date: Tue, 14 Nov 2023 22:13:20 +0000 (UTC)\r\n"), 1);
	assert_int_equal(told(bench, "Will-Retry-Until: Tue, 14 Nov 2023 22:28:20 +0000 (UTC)\r\n"), 1);
}

/* --- deliveries ------------------------------------------------------------------------------- */

/* rules: D25 D26 N10 N14 N15 N63 */
static void
test_D25__success__is_told_where_notify_says_so(void **state)
{
	struct bench *bench = *state;

	(void)bench_mail(bench, "s@x.test", "ok@d.test");
	bench->notify = DSN_NOTIFY_FAILURE;
	(void)bench_mail(bench, "s@x.test", "ok@d.test");
	assert_int_equal(bench->report_count, 0);
	bench->notify = DSN_NOTIFY_SUCCESS;
	(void)bench_mail(bench, "s@x.test", "ok@d.test no@d.test");
	assert_int_equal(bench->report_count, 1);
	assert_int_equal(told(bench, "Subject: Successful Mail Delivery Report\r\n"), 1);
	assert_int_equal(told(bench, "Final-Recipient: "), 1);
	assert_int_equal(bench_messages(bench), 0);
}

/* rules: D27 L22 L24 N1 N2 N3 N50 Z28 */
static void
test_D27__record__every_outcome_is_told_once(void **state)
{
	struct bench *bench = *state;

	bench->flags = ENVELOPE_RECORD;
	(void)bench_mail(bench, "s@x.test", "ok@d.test no@d.test later@d.test");
	/* The failure's own, and one about all. */
	assert_int_equal(bench->report_count, 2);
	assert_int_equal(told(bench, "Subject: Mail Delivery Status Report\r\n"), 1);
	assert_int_equal(told(bench, "Action: relayed\r\n") + told(bench, "Action: delivered\r\n"), 1);
	assert_int_equal(told(bench, "Action: delayed\r\n"), 1);
	assert_int_equal(told(bench, "Action: failed\r\n"), 2);
	bench_restart(bench);
	bench_pass(bench, 700);
	assert_true(bench_tried(bench, "later@d.test") >= 2);
	assert_int_equal(told(bench, "Subject: Mail Delivery Status Report\r\n"), 1);
}

/* rules: D27 D28 L24 */
static void
test_D27__record_of_failures_only__is_told_too_also_when_that_fails_at_first(void **state)
{
	static const char *const verify_fails[] = { "virtual_alias_maps=inline:{ s@x.test=ring@x.test, "
						    "ring@x.test=s@x.test }", NULL };
	struct bench *bench = *state;

	bench->flags = ENVELOPE_RECORD;
	(void)bench_mail(bench, "s@x.test", "no@d.test");
	assert_int_equal(bench->report_count, 2);
	assert_int_equal(told(bench, "Subject: Mail Delivery Status Report\r\n"), 1);
	assert_int_equal(bench_messages(bench), 0);
	bench->notify = DSN_NOTIFY_NEVER; /* so that only the record is owed */
	bench_configure(bench, verify_fails);
	(void)bench_mail(bench, "s@x.test", "no-more@d.test");
	assert_int_equal(bench_messages(bench), 1);
	bench_restart(bench);
	bench_configure(bench, plain);
	bench_pass(bench, 700);
	assert_int_equal(told(bench, "Subject: Mail Delivery Status Report\r\n"), 2);
	assert_int_equal(bench_tried(bench, "no-more@d.test"), 1);
	assert_int_equal(bench_messages(bench), 0);
}

/* rules: N5 L22 L48 B13 */
static void
test_N5__what_if__every_outcome_is_final_and_told_once(void **state)
{
	static const char *const transports[] = { "transport_maps=inline:{ "
						  "{ gone.test = error:5.1.9 gone }, "
						  "{ slow.test = retry:4.1.9 slow } }", NULL };
	struct bench *bench = *state;

	bench_configure(bench, transports);
	bench->flags = ENVELOPE_WHATIF;
	(void)bench_mail(bench, "s@x.test",
		"ok@d.test no@d.test later@d.test lost@d.test x@gone.test x@slow.test");
	assert_int_equal(bench_messages(bench), 0);
	assert_int_equal(bench->report_count, 1);
	assert_int_equal(told(bench, "Subject: Mail Delivery Status Report\r\n"), 1);
	assert_int_equal(told(bench, "Action: deliverable\r\n"), 1);
	assert_int_equal(told(bench, "Action: undeliverable\r\n"), 5);
	assert_int_equal(bench_logged(bench, ", status=undeliverable ("), 2);
	/* It was no failure of the site. */
	bench->flags = 0;
	(void)bench_mail(bench, "s@x.test", "ok-again@d.test");
	assert_int_equal(bench_tried(bench, "ok-again@d.test"), 1);
}

/* rules: D28 N32 L47 J21 Z3 */
static void
test_D28__success_report_that_fails__keeps_the_message_and_delivers_no_second_time(void **state)
{
	struct bench *bench = *state;

	bench_configure(bench, looping);
	bench->notify = DSN_NOTIFY_SUCCESS;
	(void)bench_mail(bench, "loop@x.test", "ok@d.test");
	assert_int_equal(bench_logged(bench, ": status=deferred (trace failed)\n"), 1);
	assert_int_equal(bench_messages(bench), 1);
	bench_restart(bench);
	bench_configure(bench, plain);
	bench_pass(bench, 700);
	assert_int_equal(bench->report_count, 1);
	assert_int_equal(bench_tried(bench, "ok@d.test"), 1);
	assert_int_equal(bench_messages(bench), 0);
}

/* rules: N26 */
static void
test_N26__success_of_mail_without_a_sender__goes_to_postmaster_or_nowhere(void **state)
{
	static const char *const classes[] = { "notify_classes=2bounce",
		"2bounce_notice_recipient=boss@d.test", NULL };
	struct bench *bench = *state;

	bench->notify = DSN_NOTIFY_SUCCESS;
	(void)bench_mail(bench, "", "ok@d.test");
	assert_int_equal(bench_logged(bench,
		": not sending trace/success notification for single-bounce message\n"), 1);
	(void)bench_mail(bench, "double-bounce@sim.test", "ok@d.test");
	assert_int_equal(bench_logged(bench,
		": not sending trace/success notification for double-bounce message\n"), 1);
	assert_int_equal(bench->report_count, 0);
	assert_int_equal(bench_messages(bench), 0);
	bench_configure(bench, classes);
	(void)bench_mail(bench, "", "ok@d.test");
	assert_int_equal(bench->report_count, 1);
	assert_int_equal(bench_tried(bench, "boss@d.test"), 1);
}

/* rules: N6 */
static void
test_N6__soft_bounce__is_a_deferral_and_nobody_is_told(void **state)
{
	static const char *const soft[] = { "soft_bounce=yes", NULL };
	struct bench *bench = *state;

	bench_configure(bench, soft);
	(void)bench_mail(bench, "s@x.test", "no@d.test");
	assert_int_equal(bench->report_count, 0);
	assert_int_equal(bench_messages(bench), 1);
	bench_configure(bench, plain);
	bench_pass(bench, 340);
	assert_int_equal(bench_tried(bench, "no@d.test"), 2);
	assert_int_equal(bench->report_count, 1);
	assert_int_equal(bench_messages(bench), 0);
}

/* --- VERP ------------------------------------------------------------------------------------- */

static void
expect_senders(struct bench *bench, const char *wanted)
{
	const char *text = "";

	assert_int_equal(buf_cstr(&bench->senders, &text), ERR_OK);
	assert_string_equal(text, wanted);
	buf_clear(&bench->senders);
}

/* rules: V3 V4 V5 V10 D6 */
static void
test_V4__verp__a_transaction_and_a_report_per_recipient(void **state)
{
	static const char *const copies[] = { "notify_classes=bounce",
		"bounce_notice_recipient=boss@d.test", NULL };
	struct bench *bench = *state;

	bench_configure(bench, copies);
	bench->verp = SLICE_LIT("+=");
	(void)bench_mail(bench, "own@x.test", "ok-a@d.test ok-b@d.test");
	expect_senders(bench, "own+ok-a=d.test@x.test>ok-a@d.test, "
			      "own+ok-b=d.test@x.test>ok-b@d.test, ");
	(void)bench_mail(bench, "own@x.test", "no-a@d.test no-b@d.test");
	assert_int_equal(bench_tried(bench, "own+no-a=d.test@x.test"), 1);
	assert_int_equal(bench_tried(bench, "own+no-b=d.test@x.test"), 1);
	assert_int_equal(bench_tried(bench, "boss@d.test"), 2);
	assert_int_equal(told(bench, "Final-Recipient: rfc822; no-a@d.test\r\n"), 2);
	assert_int_equal(bench_messages(bench), 0);
}

/* rules: V5 T75 */
static void
test_V5__disable_verp_bounces__one_report_to_the_plain_sender(void **state)
{
	static const char *const disabled[] = { "disable_verp_bounces=yes", NULL };
	struct bench *bench = *state;

	bench_configure(bench, disabled);
	bench->verp = SLICE_LIT("+=");
	(void)bench_mail(bench, "own@x.test", "no-a@d.test no-b@d.test");
	assert_int_equal(bench->report_count, 1);
	assert_int_equal(bench_tried(bench, "own@x.test"), 1);
}

/* rules: V5 D44 */
static void
test_D44__expiry_with_verp__a_report_per_recipient(void **state)
{
	static const char *const short_life[] = { "maximal_queue_lifetime=0", NULL };
	struct bench *bench = *state;

	bench_configure(bench, short_life);
	bench->verp = SLICE_LIT("-=");
	(void)bench_mail(bench, "own@x.test", "later-a@d.test later-b@d.test");
	assert_int_equal(bench->report_count, 2);
	assert_int_equal(bench_tried(bench, "own-later-a=d.test@x.test"), 1);
	assert_int_equal(bench_tried(bench, "own-later-b=d.test@x.test"), 1);
}

/* rules: R33 V6 V2 */
static void
test_R33__verp_that_cannot_be__is_ignored(void **state)
{
	static const char *const filter[] = { "verp_delimiter_filter=+=", NULL };
	struct bench *bench = *state;

	bench->verp = SLICE_LIT("+=");
	(void)bench_mail(bench, "", "ok-a@d.test ok-b@d.test");
	assert_int_equal(bench_logged(bench, ": ignoring VERP request for null sender\n"), 1);
	expect_senders(bench, ">ok-a@d.test,ok-b@d.test, ");
	bench_configure(bench, filter);
	bench->verp = SLICE_LIT("-=");
	(void)bench_mail(bench, "own@x.test", "no-a@d.test no-b@d.test");
	assert_int_equal(bench_logged(bench, ": ignoring bad VERP request: \"-=\"\n"), 1);
	assert_int_equal(bench->report_count, 1);
}

/* rules: V8 N10 N16 */
static void
test_V8__verp_without_failure__that_recipient_is_skipped(void **state)
{
	struct bench *bench = *state;

	bench->verp = SLICE_LIT("+=");
	bench->notify = DSN_NOTIFY_NEVER;
	(void)bench_mail(bench, "own@x.test", "no-a@d.test no-b@d.test");
	assert_int_equal(bench->report_count, 0);
	assert_int_equal(bench_messages(bench), 0);
}

/* rules: V7 Z31 */
static void
test_V7__failing_verp_report__those_before_it_are_told_once(void **state)
{
	static const char *const one_loops[] = {
		"virtual_alias_maps=inline:{ own+no-b-d.test@x.test=ring@x.test, "
		"ring@x.test=own+no-b-d.test@x.test }", NULL };
	struct bench *bench = *state;

	bench_configure(bench, one_loops);
	bench->verp = SLICE_LIT("+-");
	(void)bench_mail(bench, "own@x.test", "no-a@d.test no-b@d.test");
	assert_int_equal(bench->report_count, 1);
	assert_int_equal(bench_logged(bench, ": status=deferred (verp-bounce failed)\n"), 1);
	bench_restart(bench);
	bench_configure(bench, plain);
	bench_pass(bench, 700);
	assert_int_equal(bench->report_count, 2);
	assert_int_equal(bench_tried(bench, "own+no-a-d.test@x.test"), 1);
	assert_int_equal(bench_tried(bench, "own+no-b-d.test@x.test"), 1);
	assert_int_equal(bench_messages(bench), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_D47__warning__one_second_early_is_late_enough_and_once_is_enough),
		TEST(test_D48__warning_that_fails__comes_after_the_next_attempt),
		TEST(test_D50__too_old__no_warning),
		TEST(test_N25__null_sender__is_never_warned),
		TEST(test_Z30__will_retry_until__is_when_it_expires),
		TEST(test_D25__success__is_told_where_notify_says_so),
		TEST(test_D27__record__every_outcome_is_told_once),
		TEST(test_D27__record_of_failures_only__is_told_too_also_when_that_fails_at_first),
		TEST(test_N5__what_if__every_outcome_is_final_and_told_once),
		TEST(test_D28__success_report_that_fails__keeps_the_message_and_delivers_no_second_time),
		TEST(test_N26__success_of_mail_without_a_sender__goes_to_postmaster_or_nowhere),
		TEST(test_N6__soft_bounce__is_a_deferral_and_nobody_is_told),
		TEST(test_V4__verp__a_transaction_and_a_report_per_recipient),
		TEST(test_V5__disable_verp_bounces__one_report_to_the_plain_sender),
		TEST(test_D44__expiry_with_verp__a_report_per_recipient),
		TEST(test_R33__verp_that_cannot_be__is_ignored),
		TEST(test_V7__failing_verp_report__those_before_it_are_told_once),
		TEST(test_V8__verp_without_failure__that_recipient_is_skipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
