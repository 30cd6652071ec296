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

/* Two domains with the same hosts are one site, but where their settings differ. */
static void
test_same_hosts__one_session_for_two_domains__unless_settings_differ(void **state)
{
	static const char *const differing[] = {
		"destination_settings_maps=inline:{ {e.test=sessions=7} }", NULL
	};
	static const char *const plain[] = { NULL };
	struct bench *bench = *state;
	uint64_t session;

	bench->has_one_host = true;
	(void)bench_mail(bench, "s@x.test", "ok@d.test");
	session = bench->session;
	(void)bench_mail(bench, "s@x.test", "ok@e.test");
	assert_int_equal(bench->session, session);
	assert_int_equal(bench_tried(bench, "ok@e.test"), 1);
	bench_command(bench, "sites", 0);
	assert_true(bench_answered(bench, "\"serves\":[\"e.test\"]"));
	bench_configure(bench, differing);
	(void)bench_mail(bench, "s@x.test", "ok2@d.test");
	(void)bench_mail(bench, "s@x.test", "ok2@e.test");
	assert_int_equal(bench_tried(bench, "ok2@e.test"), 1);
	assert_true(bench->session != session);
	session = bench->session;
	bench_configure(bench, plain);
	(void)bench_mail(bench, "s@x.test", "ok3@e.test");
	assert_int_equal(bench_messages(bench), 0);
}

/* A dead site is dead for all its domains; one that has other hosts by now is tried there. */
static void
test_dead_site__domain_that_moves_away__is_delivered(void **state)
{
	struct bench *bench = *state;

	bench->has_one_host = true;
	bench->is_down = true;
	(void)bench_mail(bench, "s@x.test", "ok0@d.test");
	for (unsigned i = 0; i < 9; i++)
		(void)bench_mail(bench, "s@x.test", "ok@d.test");
	(void)bench_mail(bench, "s@x.test", "ok@e.test");
	assert_int_equal(bench_tried(bench, "ok@e.test"), 0);
	assert_true(bench_logged(bench, "ok@e.test>, relay=none") > 0);
	bench->has_one_host = false;
	bench_pass(bench, 400);
	assert_int_equal(bench_tried(bench, "ok@e.test"), 1);
	assert_int_equal(bench_tried(bench, "ok@d.test"), 0);
}

/* The port of the host that a session is to try first. */
static unsigned
first_port(struct bench *bench)
{
	struct slice list = buf_slice(&bench->hosts);
	struct ipc_host host;

	assert_int_equal(ipc_host_next(&list, &host), ERR_OK);
	return host.port;
}

static unsigned
port_of_next_session(struct bench *bench)
{
	bench_end_session(bench);
	(void)bench_mail(bench, "s@x.test", "ok@d.test");
	return first_port(bench);
}

/* A host that failed is the last one for 30 s, then for 60 s, and then as good as any. */
static void
test_host__that_failed__is_tried_last_for_a_time(void **state)
{
	static const uint8_t address[4] = { 10, 0, 0, 1 };
	struct bench *bench = *state;
	struct ipc_host second = { .name = SLICE_LIT("mx2.test"), .family = 2, .port = 26,
		.preference = 20, .address = { address, sizeof(address) } };
	struct ipc_host first = second;
	struct buf more, bad;

	buf_init(&more, 0);
	buf_init(&bad, 0);
	first.port = 25;
	ipc_host_put(&more, &second);
	ipc_host_put(&bad, &first);
	bench->more_hosts = buf_slice(&more);
	bench->failed_hosts = buf_slice(&bad);
	(void)bench_mail(bench, "s@x.test", "ok@d.test");
	assert_int_equal(first_port(bench), 25);
	bench->failed_hosts = slice_make(NULL, 0);
	bench_pass(bench, 20);
	assert_int_equal(port_of_next_session(bench), 26);
	bench_pass(bench, 11);
	bench->failed_hosts = buf_slice(&bad);
	assert_int_equal(port_of_next_session(bench), 25);
	bench->failed_hosts = slice_make(NULL, 0);
	bench_pass(bench, 50);
	assert_int_equal(port_of_next_session(bench), 26);
	bench_pass(bench, 11);
	assert_int_equal(port_of_next_session(bench), 25);
	buf_done(&more);
	buf_done(&bad);
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
		cmocka_unit_test_setup_teardown(
			test_same_hosts__one_session_for_two_domains__unless_settings_differ, bench_setup,
			bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_host__that_failed__is_tried_last_for_a_time, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_dead_site__domain_that_moves_away__is_delivered, bench_setup,
			bench_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
