/*
 * test_nexthop.c - unit tests of qmgr/nexthop: answers of the resolver expire
 *
 * Goal: within its TTL an answer is used for all, after it the resolver is asked again; failures too.
 * Method: the core on a bench with time by hand, whose answers hold 60 s.
 */
#include "core_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
test_answer__within_its_ttl_and_after__is_used_and_asked_for_again(void **state)
{
	struct bench *bench = *state;

	(void)bench_mail(bench, "s@x.test", "ok1@d.test");
	(void)bench_mail(bench, "s@x.test", "ok2@d.test");
	bench_pass(bench, 50);
	bench_end_session(bench);
	(void)bench_mail(bench, "s@x.test", "ok3@d.test");
	assert_int_equal(bench->resolve_count, 1);
	bench_pass(bench, 20);
	bench_end_session(bench);
	(void)bench_mail(bench, "s@x.test", "ok4@d.test");
	assert_int_equal(bench->resolve_count, 2);
	assert_int_equal(bench_messages(bench), 0);
}

static void
test_failure__within_its_ttl_and_after__is_used_and_asked_for_again(void **state)
{
	struct bench *bench = *state;

	bench->resolve_status = IPC_RESOLVE_PERMANENT;
	(void)bench_mail(bench, "", "ok1@d.test");
	assert_int_equal(bench_logged(bench, "status=bounced"), 1);
	bench->resolve_status = IPC_RESOLVE_OK;
	bench_pass(bench, 50);
	(void)bench_mail(bench, "", "ok2@d.test");
	assert_int_equal(bench_logged(bench, "status=bounced"), 2);
	assert_int_equal(bench->resolve_count, 1);
	bench_pass(bench, 20);
	(void)bench_mail(bench, "", "ok3@d.test");
	assert_int_equal(bench_tried(bench, "ok3@d.test"), 1);
	assert_int_equal(bench->resolve_count, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_answer__within_its_ttl_and_after__is_used_and_asked_for_again, bench_setup,
			bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_failure__within_its_ttl_and_after__is_used_and_asked_for_again, bench_setup,
			bench_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
