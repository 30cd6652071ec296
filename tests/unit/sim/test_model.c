/*
 * test_model.c - unit tests of sim/model
 *
 * Goal: the simulator gives what was measured of the classic feedback elsewhere, and what follows
 * from a scenario by arithmetic; a seed repeats itself. Method: small scenarios.
 */
#include "sim/model.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct totals
run(const char *text)
{
	struct scenario scenario;
	char error[SCENARIO_ERROR_SIZE];
	struct totals totals;
	struct model *model;

	scenario_init(&scenario);
	if (scenario_read(&scenario, slice_str(text), error) != ERR_OK)
		fail_msg("%s", error);
	model = model_new(&scenario);
	model_run(model);
	totals = *model_totals(model);
	if (model_violation(model) != NULL)
		fail_msg("%s", model_violation(model));
	model_free(model);
	return totals;
}

static uint64_t
permille(uint64_t part, uint64_t whole)
{
	return part * 1000 / whole;
}

#define LIMITED \
	"messages 2000\nsites 1\nreuse no\nretry no\n" \
	"all latency=1s spread=10% connect=0ms capacity=5\n"
#define CLASSIC(feedback) \
	LIMITED "policy classic\npositive " feedback "\nnegative " feedback "\n"
#define BACKLOG(feedback) CLASSIC(feedback) "initial 20\ncohorts 0\nall full=30s\n"

/* Published: 16.5 %; theory 1/(1 + 5) = 16.7 %. */
static void
test_run__classic_at_a_server_that_refuses__as_published(void **state)
{
	struct totals totals = run(CLASSIC("1/concurrency"));

	(void)state;
	assert_in_range(permille(totals.given_up, totals.recipients), 155, 175);
}

/*
 * W7 and W11: with constant feedback a cycle is shorter by half a step, and the first failure after
 * a success costs two: two successes for each failure.
 */
static void
test_run__classic_with_constant_feedback__as_the_rules_say(void **state)
{
	(void)state;
	assert_in_range(permille(run(CLASSIC("1")).given_up, 2000), 325, 340);
	assert_in_range(permille(run(CLASSIC("0.43")).given_up, 2000), 325, 340);
}

/* Published: about 10 % whatever the feedback. */
static void
test_run__classic_at_a_full_connection_queue__as_published(void **state)
{
	(void)state;
	assert_in_range(permille(run(BACKLOG("1/concurrency")).given_up, 2000), 85, 110);
	assert_in_range(permille(run(BACKLOG("0.43")).given_up, 2000), 85, 110);
	assert_in_range(permille(run(BACKLOG("1")).given_up, 2000), 85, 110);
}

/* Published: about 1.2 %. */
static void
test_run__classic_with_a_slow_greeting__as_published(void **state)
{
	struct totals totals =
		run(BACKLOG("1/concurrency") "all full=300s\nmessages 20000\n");

	(void)state;
	assert_in_range(permille(totals.given_up, totals.recipients), 9, 14);
}

/* The measure of the default policy: under 2 % deferred, at least 95 % of 5 a second used. */
static void
test_run__adaptive_at_a_server_that_refuses__learns_the_limit(void **state)
{
	struct totals totals = run(LIMITED);

	(void)state;
	assert_true(permille(totals.given_up, totals.recipients) < 20);
	assert_true(totals.last_delivery_ns < totals.delivered * NS_PER_S / 5 * 100 / 95);
	/* With sessions that are used again no message pays for what is refused. */
	assert_int_equal(run(LIMITED "reuse yes\n").given_up, 0);
}

/* 200 s with room for five, then for ten: all of it in use again within a minute. */
static void
test_run__adaptive__finds_new_room_within_a_minute(void **state)
{
	static const char more[] = LIMITED "at 200s all capacity=10\n";
	struct totals totals = run(more);

	(void)state;
	assert_true(totals.last_delivery_ns < (200 + (2000 - 1000) / 10 + 30) * NS_PER_S);
	totals = run(LIMITED "at 200s all capacity=10\nreuse yes\n");
	assert_true(totals.last_delivery_ns < (200 + (2000 - 1000) / 10 + 30) * NS_PER_S);
}

/* rules: Z42; one of four hosts is bad: the window does not settle near four. */
static void
test_run__adaptive_with_one_bad_host_of_four__keeps_its_window(void **state)
{
	struct totals totals = run("messages 5000\nsites 1\nall bad=25% latency=1s spread=10%\n");

	(void)state;
	assert_true(totals.last_delivery_ns < 5000 * NS_PER_S / 20 * 110 / 100);
	totals = run("messages 5000\nsites 1\nreuse no\nretry no\n"
		     "all bad=25% latency=1s spread=10%\n");
	assert_true(totals.busy_ns / totals.last_delivery_ns >= 10);
}

static void
test_run__outage__adaptive_is_through_soon_after_a_probe(void **state)
{
	static const char outage[] = "messages 5000\nsites 1\narrival 300s\n"
				     "all outage=0s+600s\n";
	struct totals totals = run(outage);

	(void)state;
	/* The last wait before a probe is 300 s and a tenth at most. */
	assert_true(totals.last_delivery_ns < (600 + 330 + 20) * NS_PER_S);
	assert_true(totals.failed < 20);
}

static void
test_run__greylisting__one_retry_each(void **state)
{
	struct totals totals = run("messages 100\nsites 10\nall greylist=200s\n");

	(void)state;
	assert_int_equal(totals.delivered, 100);
	assert_int_equal(totals.retries, 100);
	assert_int_equal(totals.attempts, 200);
	assert_true(totals.end_ns >= 300 * NS_PER_S && totals.end_ns <= 331 * NS_PER_S);
}

static void
test_run__never_up__expires(void **state)
{
	struct totals totals =
		run("messages 20\nsites 1\nlifetime 2h\nall outage=0s+300d\npolicy classic\n");

	(void)state;
	assert_int_equal(totals.expired, 20);
	assert_int_equal(totals.delivered, 0);
	assert_true(totals.end_ns >= 7200 * NS_PER_S);
}

static void
test_run__same_seed__same_result(void **state)
{
	static const char text[] = "messages 5000\nsites 50\narrival 1h\n"
				   "class a burst=40\nclass b recipients=7 senders=30\n"
				   "some 20% bad=10%\nsome 10% outage=60s+600s\n";
	struct totals first = run(text), second = run(text);

	(void)state;
	assert_memory_equal(&first, &second, sizeof(first));
	assert_int_equal(first.delivered, first.recipients);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_run__classic_at_a_server_that_refuses__as_published),
		cmocka_unit_test(test_run__classic_with_constant_feedback__as_the_rules_say),
		cmocka_unit_test(test_run__classic_at_a_full_connection_queue__as_published),
		cmocka_unit_test(test_run__classic_with_a_slow_greeting__as_published),
		cmocka_unit_test(test_run__adaptive_at_a_server_that_refuses__learns_the_limit),
		cmocka_unit_test(test_run__adaptive__finds_new_room_within_a_minute),
		cmocka_unit_test(test_run__adaptive_with_one_bad_host_of_four__keeps_its_window),
		cmocka_unit_test(test_run__outage__adaptive_is_through_soon_after_a_probe),
		cmocka_unit_test(test_run__greylisting__one_retry_each),
		cmocka_unit_test(test_run__never_up__expires),
		cmocka_unit_test(test_run__same_seed__same_result),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
