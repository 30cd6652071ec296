/*
 * test_site_settings.c - unit tests of qmgr/site_settings
 *
 * Goal: the lines of destination_settings_maps as site_settings.h states them. Method: table driven, and a core on a
 * bench.
 */
#include "qmgr/site_settings.h"

#include "core_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
test_read__every_word__changes_its_limit(void **state)
{
	struct sched_limits limits = { .recipient_max = 50,
		.window = { .initial = 5, .limit_max = 20 } };
	struct slice word;

	(void)state;
	assert_int_equal(site_settings_read(SLICE_LIT("sessions=30 initial=2 rate=200/min "
						      "recipients=36/h, DELAY=2m active=7"),
				 &limits, &word),
		ERR_OK);
	assert_int_equal(limits.window.limit_max, 30);
	assert_int_equal(limits.window.initial, 2);
	assert_int_equal(limits.rate_ns, 300 * NS_PER_MS);
	assert_int_equal(limits.recipient_rate_ns, 100 * NS_PER_S);
	assert_int_equal(limits.rate_delay_ns, 120 * NS_PER_S);
	assert_int_equal(limits.share_max, 7);
	assert_int_equal(limits.recipient_max, 50);
}

static void
test_read__bad_word__is_named_and_what_came_before_holds(void **state)
{
	static const char *const bad[] = { "rate=0/min", "rate=5", "rate=5/week", "sessions=x",
		"sessions", "initial=0", "delay=-1", "limit=3", "rate=1000001/s", "delay=99999999h" };
	struct slice word;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct sched_limits limits = { .rate_ns = 0 };
		struct slice line = slice_str(bad[i]);

		assert_true(site_settings_read(line, &limits, &word) < 0);
		assert_true(slice_equal_str(word, bad[i]));
	}
	struct sched_limits limits = { .rate_ns = 0 };

	assert_true(site_settings_read(SLICE_LIT("sessions=3 foo=1 rate=1/s"), &limits, &word) < 0);
	assert_int_equal(limits.window.limit_max, 3);
	assert_int_equal(limits.rate_ns, 0);
}

/* A line of the map holds for its site only, and a reload changes it at once. */
static void
test_map__rate_of_a_site__is_kept_until_a_reload_without_it(void **state)
{
	static const char *const plain[] = { NULL };
	static const char *const rated[] = {
		"destination_settings_maps=inline:{ {smtp:d.test=rate=1/min nonsense=1} }", NULL
	};
	static struct bench bench;

	(void)state;
	bench_start(&bench, rated);
	for (int i = 0; i < 3; i++)
		(void)bench_mail(&bench, "s@x.test", "ok@d.test");
	(void)bench_mail(&bench, "s@x.test", "ok@e.test");
	assert_int_equal(bench_messages(&bench), 2);
	assert_true(bench_logged(&bench, "ignoring \"nonsense=1\"") > 0);
	bench_pass(&bench, 59);
	assert_int_equal(bench_messages(&bench), 2);
	bench_pass(&bench, 2);
	assert_int_equal(bench_messages(&bench), 1);
	(void)bench_mail(&bench, "s@x.test", "ok@d.test");
	bench_configure(&bench, plain);
	bench_pass(&bench, 61);
	assert_int_equal(bench_messages(&bench), 0);
	bench_stop(&bench);
}

static unsigned
windows_of(const char *queues, const char *policy)
{
	const char *const config[] = { "smtp_destination_recipient_limit=1", queues, policy, NULL };
	static struct bench bench;
	unsigned count;

	bench_start(&bench, config);
	(void)bench_mail(&bench, "s@x.test", "wait1@d.test wait2@d.test");
	bench_command(&bench, "sites", 0);
	count = bench_answered(&bench, "\"name\":\"wait1@d.test\"") ? 2 : 1;
	assert_int_equal(bench_answered(&bench, "\"name\":\"wait2@d.test\""), count == 2);
	assert_int_equal(bench_answered(&bench, "\"name\":\"d.test\""), count == 1);
	bench_answer(&bench, IPC_OUTCOME_DELIVERED, false);
	bench_stop(&bench);
	return count;
}

/* rules: R52 */
static void
test_R52__recipient_limit_one__a_window_for_each_is_asked_for_by_name(void **state)
{
	static const char auto_[] = "smtp_destination_recipient_queues=auto";

	(void)state;
	assert_int_equal(windows_of(auto_, "scheduler_concurrency_policy=adaptive"), 1);
	assert_int_equal(windows_of(auto_, "scheduler_concurrency_policy=classic"), 2);
	assert_int_equal(windows_of("smtp_destination_recipient_queues=yes",
				 "scheduler_concurrency_policy=adaptive"),
		2);
	assert_int_equal(windows_of("default_destination_recipient_queues=no",
				 "scheduler_concurrency_policy=classic"),
		1);
}

/* rules: W18 T43 */
static void
test_W18__feedback_debug__each_result_is_logged_when_wanted(void **state)
{
	static const char *const config[] = { "destination_concurrency_feedback_debug=yes",
		"scheduler_concurrency_policy=classic",
		"default_destination_concurrency_positive_feedback=1/4",
		"default_destination_concurrency_negative_feedback=1/concurrency", NULL };
	static const char *const plain[] = { NULL };
	static struct bench bench;

	(void)state;
	bench_start(&bench, config);
	(void)bench_mail(&bench, "s@x.test", "ok@d.test");
	assert_int_equal(
		bench_logged(&bench, "smtp: positive feedback type 0 value at 5: 0.25\n"), 1);
	assert_int_equal(
		bench_logged(&bench, "smtp: negative feedback type 1 value at 5: 0.2\n"), 1);
	assert_int_equal(bench_logged(&bench, "smtp: queue d.test: limit 20 window 5 success 0.25 "
					      "failure 0 fail_cohorts 0\n"),
		1);
	(void)bench_mail(&bench, "s@x.test", "lost@d.test");
	assert_int_equal(bench_logged(&bench, "smtp: queue d.test: limit 20 window 4 success 0 "
					      "failure 0.8 fail_cohorts 0.2\n"),
		1);
	bench_configure(&bench, plain);
	(void)bench_mail(&bench, "s@x.test", "ok@d.test");
	assert_int_equal(bench_logged(&bench, "smtp: queue"), 2);
	bench_stop(&bench);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read__every_word__changes_its_limit),
		cmocka_unit_test(test_map__rate_of_a_site__is_kept_until_a_reload_without_it),
		cmocka_unit_test(
			test_R52__recipient_limit_one__a_window_for_each_is_asked_for_by_name),
		cmocka_unit_test(test_W18__feedback_debug__each_result_is_logged_when_wanted),
		cmocka_unit_test(test_read__bad_word__is_named_and_what_came_before_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
