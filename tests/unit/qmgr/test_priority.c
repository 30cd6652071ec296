/*
 * test_priority.c - unit tests of priorities: what is urgent, and from where that is known
 *
 * Goal: MT-PRIORITY of the envelope and sender_priority_maps decide which mail of a site goes first.
 * Method: the core on a bench; a site is suspended while mail comes, then all of it goes.
 */
#include "core_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Attribute 24, skippable, one byte: MT-PRIORITY=5 and -5. */
#define PRIORITY(value) slice_make("\x18\x00\x00\x01\x00\x00\x00" value, 8)
#define URGENT PRIORITY("\x0f")
#define LAZY PRIORITY("\x05")

static void
command(struct bench *bench, const char *word)
{
	const char *const words[] = { word, "d.test", NULL };

	bench_ask(bench, "site", words);
}

static void
mail(struct bench *bench, struct slice attribute, const char *sender, const char *recipient)
{
	bench->attribute = attribute;
	(void)bench_mail(bench, sender, recipient);
}

/* Six messages wait for a site; in which order they go. */
static void
expect_order(const char *policy, const char *wanted)
{
	const char *const config[] = { policy,
		"sender_priority_maps=inline:{ {@news.test=-3} {boss@x.test=9} {odd@x.test=ten} }",
		"smtp_destination_concurrency_limit=1", "initial_destination_concurrency=1", NULL };
	const struct slice none = slice_make(NULL, 0);
	static struct bench bench;

	bench_start(&bench, config);
	mail(&bench, none, "s@x.test", "ok0@d.test");
	command(&bench, "suspend");
	buf_clear(&bench.attempts);
	mail(&bench, LAZY, "s@x.test", "ok-lazy@d.test");
	mail(&bench, none, "list@news.test", "ok-news@d.test");
	mail(&bench, none, "odd@x.test", "ok-odd@d.test");
	mail(&bench, none, "boss@x.test", "ok-boss@d.test");
	mail(&bench, URGENT, "list@news.test", "ok-alarm@d.test");
	command(&bench, "resume");
	bench_pass(&bench, 5);
	assert_int_equal(bench_messages(&bench), 0);
	assert_true(slice_equal_str(buf_slice(&bench.attempts), wanted));
	bench_stop(&bench);
}

static void
test_adaptive__urgent_mail_first__bulk_mail_last(void **state)
{
	(void)state;
	expect_order("scheduler_concurrency_policy=adaptive",
		"ok-boss@d.test ok-alarm@d.test ok-odd@d.test ok-lazy@d.test ok-news@d.test ");
}

/* rules: S21 */
static void
test_classic__as_admitted(void **state)
{
	(void)state;
	expect_order("scheduler_concurrency_policy=classic",
		"ok-lazy@d.test ok-news@d.test ok-odd@d.test ok-boss@d.test ok-alarm@d.test ");
}

static void
test_map__value_that_is_no_priority__is_named_and_counts_for_nothing(void **state)
{
	static const char *const config[] = { "sender_priority_maps=inline:{ {odd@x.test=ten} }",
		NULL };
	static struct bench bench;

	(void)state;
	bench_start(&bench, config);
	(void)bench_mail(&bench, "odd@x.test", "ok@d.test");
	assert_int_equal(
		bench_logged(&bench, "sender_priority_maps: odd@x.test: ignoring \"ten\"\n"), 1);
	assert_int_equal(bench_messages(&bench), 0);
	bench_stop(&bench);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_adaptive__urgent_mail_first__bulk_mail_last),
		cmocka_unit_test(test_classic__as_admitted),
		cmocka_unit_test(
			test_map__value_that_is_no_priority__is_named_and_counts_for_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
