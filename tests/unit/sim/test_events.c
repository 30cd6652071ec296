/*
 * test_events.c - unit tests of sim/events
 *
 * Goal: events come out by time. Method: a seeded walk of pushes and pops against a counter.
 */
#include "sim/events.h"

#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
test_pop__random_pushes__by_time_and_each_once(void **state)
{
	struct events events = { 0 };
	struct rng rng;
	uint64_t pushed = 0, popped = 0, last = 0, sum = 0;

	(void)state;
	rng_init(&rng, 7);
	for (int i = 0; i < 200000; i++) {
		if (rng_below(&rng, 5) < 3 && i < 150000) {
			/* Never before what came out already, as in a simulation. */
			struct event event = { .at_ns = last + rng_below(&rng, 1000),
				.site = (uint32_t)i };

			events_push(&events, &event);
			sum += event.site;
			pushed++;
		} else if (events.count > 0) {
			uint64_t first = events_first_ns(&events);
			struct event event = events_pop(&events);

			assert_int_equal(event.at_ns, first);
			assert_true(event.at_ns >= last);
			last = event.at_ns;
			sum -= event.site;
			popped++;
		}
	}
	while (events.count > 0) {
		sum -= events_pop(&events).site;
		popped++;
	}
	assert_int_equal(pushed, popped);
	assert_int_equal(sum, 0);
	assert_int_equal(events_first_ns(&events), UINT64_MAX);
	events_done(&events);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pop__random_pushes__by_time_and_each_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
