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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read__every_word__changes_its_limit),
		cmocka_unit_test(test_map__rate_of_a_site__is_kept_until_a_reload_without_it),
		cmocka_unit_test(test_read__bad_word__is_named_and_what_came_before_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
