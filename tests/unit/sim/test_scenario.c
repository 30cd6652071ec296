/*
 * test_scenario.c - unit tests of sim/scenario
 *
 * Goal: every kind of line is understood; a bad one is refused and named. Method: examples; cuts of
 * a whole scenario at each byte, and bytes changed at random, end in a scenario or an error.
 */
#include "sim/scenario.h"

#include "base/clock.h"
#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const char whole[] = "# all kinds of lines\n"
			    "messages 20000  # many\n"
			    "\tarrival 2m\n"
			    "zipf 0.95\n"
			    "policy classic\n"
			    "reuse no\n"
			    "positive 1/concurrency\n"
			    "class bulk share=3 senders=7 recipients=2 burst=9 site=4\n"
			    "all latency=1500ms\n"
			    "some 0.25% outage=10s+1h bad=5%\n"
			    "at 300s site 0 capacity=10";

static void
test_read__every_kind_of_line__understood(void **state)
{
	struct scenario scenario;
	char error[SCENARIO_ERROR_SIZE];

	(void)state;
	scenario_init(&scenario);
	assert_int_equal(scenario_read(&scenario, slice_str(whole), error), ERR_OK);
	assert_int_equal(scenario.messages, 20000);
	assert_int_equal(scenario.arrival_ns, 120 * NS_PER_S);
	assert_int_equal(scenario.zipf, 950000);
	assert_int_equal(scenario.adaptive, 0);
	assert_int_equal(scenario.reuse, 0);
	assert_true(scenario.positive.per_window);
	assert_int_equal(scenario.class_count, 1);
	assert_string_equal(scenario.classes[0].name, "bulk");
	assert_int_equal(scenario.classes[0].burst, 9);
	assert_true(scenario.classes[0].has_site);
	assert_int_equal(scenario.change_count, 3);
	assert_int_equal(scenario.changes[0].traits.values[TRAIT_LATENCY], 1500 * NS_PER_MS);
	assert_int_equal(scenario.changes[1].which, 25);
	assert_int_equal(scenario.changes[1].traits.outage_length_ns, 3600 * NS_PER_S);
	assert_int_equal(scenario.changes[2].at_ns, 300 * NS_PER_S);
	assert_int_equal(scenario.changes[2].select, SELECT_ONE);
}

static void
test_read__bad_line__named(void **state)
{
	static const char *const bad[] = { "nonsense 1", "messages", "messages 0", "messages 1 2",
		"messages x", "arrival 5", "arrival 5y", "arrival 400d", "zipf -1", "zipf 0.1234567",
		"policy best", "reuse maybe", "positive 2", "class", "class a share=0", "class a b=1",
		"class a recipients=1001", "all", "all latency", "all latency=1", "all speed=1s",
		"some 1 latency=1s", "some 101% latency=1s", "site x latency=1s", "at 5 all bad=1%",
		"at 5s", "at 5s messages 1", "site 0 outage=5s", "class a site=100" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct scenario scenario;
		char error[SCENARIO_ERROR_SIZE] = "";

		scenario_init(&scenario);
		if (scenario_read(&scenario, slice_str(bad[i]), error) == ERR_OK)
			fail_msg("accepted: %s", bad[i]);
		assert_true(error[0] != '\0');
	}
}

static void
test_read__cut_and_changed__never_worse_than_an_error(void **state)
{
	struct rng rng;
	char text[sizeof(whole)];

	(void)state;
	rng_init(&rng, 1);
	for (size_t len = 0; len < sizeof(whole); len++) {
		for (int i = 0; i < 20; i++) {
			struct scenario scenario;
			char error[SCENARIO_ERROR_SIZE];

			memcpy(text, whole, sizeof(whole));
			if (i > 0)
				text[rng_below(&rng, sizeof(whole))] = (char)rng_next(&rng);
			scenario_init(&scenario);
			(void)!scenario_read(&scenario, slice_make(text, len), error);
			assert_true(scenario.change_count <= SCENARIO_CHANGES_MAX);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read__every_kind_of_line__understood),
		cmocka_unit_test(test_read__bad_line__named),
		cmocka_unit_test(test_read__cut_and_changed__never_worse_than_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
