/*
 * test_reaction.c - unit tests of qmgr/reaction: replies that change how a site is treated
 *
 * Goal: reaction.h's promises, and that operators see and end what it does. Method: tables; a core on
 * a bench whose worker's temporary reply is "host mx.test said so".
 */
#include "qmgr/reaction.h"

#include "core_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
test_parse__actions__or_nothing(void **state)
{
	static const char *const bad[] = { "", "suspend", "suspend 0s", "suspend 6d", "slow 5m",
		"slow 10/min", "slow x 5m", "stop 5m", "suspend 5m now", "back-off -1s" };
	struct reaction reaction;

	(void)state;
	assert_int_equal(reaction_parse(SLICE_LIT(" Suspend 5m "), &reaction), ERR_OK);
	assert_int_equal(reaction.kind, REACTION_SUSPEND);
	assert_int_equal(reaction.time_s, 300);
	assert_int_equal(reaction_parse(SLICE_LIT("slow 30/min 2h"), &reaction), ERR_OK);
	assert_int_equal(reaction.kind, REACTION_SLOW);
	assert_int_equal(reaction.rate_ns, 2 * NS_PER_S);
	assert_int_equal(reaction.time_s, 7200);
	assert_int_equal(reaction_parse(SLICE_LIT("back-off 1d"), &reaction), ERR_OK);
	assert_int_equal(reaction.kind, REACTION_BACK_OFF);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(reaction_parse(slice_str(bad[i]), &reaction) < 0);
}

static void
test_fits__stars__stand_for_anything(void **state)
{
	struct slice reply = SLICE_LIT("host a said: 421 4.7.28 Rate Limit exceeded");

	(void)state;
	assert_true(reaction_fits(SLICE_LIT("*rate limit*"), reply));
	assert_true(reaction_fits(SLICE_LIT("*421*4.7.*limit*"), reply));
	assert_true(reaction_fits(SLICE_LIT("*"), SLICE_LIT("")));
	assert_true(reaction_fits(SLICE_LIT("host*exceeded"), reply));
	assert_false(reaction_fits(SLICE_LIT("rate limit"), reply));
	assert_false(reaction_fits(SLICE_LIT("*limit"), reply));
	assert_false(reaction_fits(SLICE_LIT("*4.7.28*421*"), reply));
	assert_false(reaction_fits(SLICE_LIT(""), reply));
}

static void
ask(struct bench *bench, const char *one, const char *two, const char *three)
{
	const char *const words[] = { one, two, three, NULL };

	bench_ask(bench, "site", words);
}

static void
test_reply__suspends__and_an_operator_ends_it(void **state)
{
	static const char *const config[] = {
		"reply_reactions=*nothing of it* => suspend 1h;; *SAID so* => suspend 10m", NULL
	};
	static struct bench bench;

	(void)state;
	bench_start(&bench, config);
	(void)bench_mail(&bench, "s@x.test", "later@d.test");
	assert_int_equal(bench_logged(&bench, "site d.test (smtp): suspended for 600 s: host mx.test said so"), 1);
	/* Its mail waits, that of others does not. */
	(void)bench_mail(&bench, "s@x.test", "ok@d.test");
	(void)bench_mail(&bench, "s@x.test", "ok@e.test");
	assert_int_equal(bench_tried(&bench, "ok@d.test"), 0);
	assert_int_equal(bench_tried(&bench, "ok@e.test"), 1);
	bench_command(&bench, "sites", 0);
	assert_true(bench_answered(&bench, "\"suspended_s\":"));
	assert_true(bench_answered(&bench, "\"because\":\"host mx.test said so\""));
	ask(&bench, "resume", "D.test", NULL);
	assert_true(bench_answered(&bench, "done"));
	assert_int_equal(bench_logged(&bench, "site d.test (smtp): reset by"), 1);
	assert_int_equal(bench_tried(&bench, "ok@d.test"), 1);
	bench_stop(&bench);
}

static void
test_suspension__time_is_over__all_goes_on(void **state)
{
	static const char *const config[] = { "reply_reactions=*so => suspend 10m", NULL };
	static struct bench bench;

	(void)state;
	bench_start(&bench, config);
	(void)bench_mail(&bench, "s@x.test", "later@d.test");
	(void)bench_mail(&bench, "s@x.test", "ok@d.test");
	bench_pass(&bench, 598);
	assert_int_equal(bench_tried(&bench, "ok@d.test"), 0);
	bench_pass(&bench, 3);
	assert_int_equal(bench_tried(&bench, "ok@d.test"), 1);
	bench_stop(&bench);
}

static void
test_back_off__its_mail_is_deferred__and_probed_later(void **state)
{
	static const char *const config[] = { "reply_reactions=*so => back-off 10m", NULL };
	static struct bench bench;

	(void)state;
	bench_start(&bench, config);
	(void)bench_mail(&bench, "s@x.test", "later@d.test");
	(void)bench_mail(&bench, "s@x.test", "ok@d.test");
	assert_int_equal(bench_logged(&bench, "left alone for 600 s"), 1);
	assert_true(bench_logged(&bench, "delivery temporarily suspended: host mx.test said so") > 0);
	bench_pass(&bench, 595);
	assert_int_equal(bench_tried(&bench, "ok@d.test"), 0);
	bench_pass(&bench, 30);
	assert_int_equal(bench_tried(&bench, "ok@d.test"), 1);
	bench_stop(&bench);
}

static void
test_operator__slows_and_suspends__within_reason(void **state)
{
	static const char *const config[] = { NULL };
	static struct bench bench;

	(void)state;
	bench_start(&bench, config);
	ask(&bench, "suspend", "d.test", "5m");
	assert_true(bench_answered(&bench, "no such site is known"));
	(void)bench_mail(&bench, "s@x.test", "ok@d.test");
	ask(&bench, "suspend", "d.test", "forever");
	assert_true(bench_answered(&bench, "is wanted"));
	ask(&bench, "slow", "d.test", "6/min");
	for (int i = 0; i < 3; i++)
		(void)bench_mail(&bench, "s@x.test", "ok@d.test");
	assert_int_equal(bench_tried(&bench, "ok@d.test"), 2);
	bench_pass(&bench, 25);
	assert_int_equal(bench_tried(&bench, "ok@d.test"), 4);
	bench_command(&bench, "sites", 0);
	assert_true(bench_answered(&bench, "\"slowed_to_per_hour\":360"));
	ask(&bench, "reset", "d.test", NULL);
	for (int i = 0; i < 3; i++)
		(void)bench_mail(&bench, "s@x.test", "ok@d.test");
	assert_int_equal(bench_tried(&bench, "ok@d.test"), 7);
	bench_stop(&bench);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse__actions__or_nothing),
		cmocka_unit_test(test_fits__stars__stand_for_anything),
		cmocka_unit_test(test_reply__suspends__and_an_operator_ends_it),
		cmocka_unit_test(test_suspension__time_is_over__all_goes_on),
		cmocka_unit_test(test_back_off__its_mail_is_deferred__and_probed_later),
		cmocka_unit_test(test_operator__slows_and_suspends__within_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
