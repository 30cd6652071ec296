/*
 * test_postmaster.c - unit tests of notices about SMTP sessions with errors
 *
 * Goal: what notify_classes wants is told to error_notice_recipient, and however many sessions go
 * wrong, notices stay few and say how many there were not. Method: the core on a bench.
 */
#include "core_bench.h"
#include "message/notice.h"
#include "message/transcript.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const char *const protocol[] = { "notify_classes=protocol",
	"error_notice_recipient=ok-errors@d.test", NULL };

static void
say(struct bench *bench, const char *peer, unsigned classes, uint32_t kept)
{
	bench_say(bench, IPC_TYPE_notice,
		&(struct ipc_notice){ .side = NOTICE_SERVER, .classes = classes,
			.peer = slice_str(peer), .transcript = SLICE_LIT("In:  X\nOut: 500 what?\n"),
			.kept = kept });
	bench_run(bench);
}

static unsigned
sent(const struct bench *bench)
{
	return bench_tried(bench, "ok-errors@d.test");
}

/* rules: N27 T66 */
static void
test_class__wanted_or_not__decides(void **state)
{
	struct bench *bench = *state;

	bench_configure(bench, protocol);
	say(bench, "a[192.0.2.1]", CONFIG_NOTIFY_POLICY, 0);
	assert_int_equal(sent(bench), 0);
	say(bench, "a[192.0.2.1]", CONFIG_NOTIFY_POLICY | CONFIG_NOTIFY_PROTOCOL, 0);
	assert_int_equal(sent(bench), 1);
	assert_int_equal(bench_logged(bench, "postmaster notice: errors in a session with a[192.0.2.1]"), 1);
	assert_int_equal(bench_messages(bench), 0);
}

static void
test_same_peer__once_a_minute__others_at_once(void **state)
{
	struct bench *bench = *state;

	bench_configure(bench, protocol);
	for (int i = 0; i < 5; i++)
		say(bench, "a[192.0.2.1]", CONFIG_NOTIFY_PROTOCOL, 0);
	assert_int_equal(sent(bench), 1);
	assert_int_equal(bench_logged(bench, "is held back"), 1);
	say(bench, "b[192.0.2.2]", CONFIG_NOTIFY_PROTOCOL, 0);
	assert_int_equal(sent(bench), 2);
	bench_pass(bench, 61);
	say(bench, "a[192.0.2.1]", CONFIG_NOTIFY_PROTOCOL, 0);
	assert_int_equal(sent(bench), 3);
}

/* Of a flood from everywhere for an hour 20 are sent at once, and one a minute. */
static void
test_flood__from_everywhere__at_most_eighty_in_an_hour(void **state)
{
	struct bench *bench = *state;
	char peer[32];

	bench_configure(bench, protocol);
	for (unsigned i = 0; i < 360; i++) {
		for (unsigned j = 0; j < 5; j++) {
			(void)snprintf(peer, sizeof(peer), "h%u-%u[192.0.2.9]", i, j);
			say(bench, peer, CONFIG_NOTIFY_PROTOCOL, 1000);
		}
		bench_pass(bench, 10);
	}
	assert_in_range(sent(bench), 75, 80);
	assert_in_range(bench_logged(bench, "is held back"), 1, 80);
}

/* What tells of a lack of room can be stored only when there is room again. */
static void
test_no_room__the_first_one_waits_for_some__others_are_counted(void **state)
{
	static const char *const tight[] = { "notify_classes=resource", "queue_minfree=1000000",
		"error_notice_recipient=ok-errors@d.test", NULL };
	struct bench *bench = *state;

	bench_configure(bench, tight);
	core_disk_free(bench->core, 0);
	say(bench, "a[192.0.2.1]", CONFIG_NOTIFY_RESOURCE, 0);
	say(bench, "b[192.0.2.2]", CONFIG_NOTIFY_RESOURCE, 0);
	assert_int_equal(sent(bench), 0);
	assert_int_equal(bench_logged(bench, "is held back"), 1);
	core_disk_free(bench->core, UINT64_C(1) << 40);
	bench_pass(bench, 1);
	assert_int_equal(sent(bench), 1);
	assert_int_equal(bench_logged(bench, "errors in a session with a[192.0.2.1]"), 1);
}

/* A role that is taken over cannot have anything sent that a role could not say. */
static void
test_frame__out_of_bounds__is_a_bad_peer(void **state)
{
	static char text[TRANSCRIPT_BYTES_MAX + 1];
	struct bench *bench = *state;

	bench_configure(bench, protocol);
	bench->is_accusing = true;
	memset(text, 'x', sizeof(text));
	bench_say(bench, IPC_TYPE_notice,
		&(struct ipc_notice){ .classes = CONFIG_NOTIFY_PROTOCOL, .peer = SLICE_LIT("a"),
			.transcript = slice_make(text, sizeof(text)) });
	assert_string_equal(bench->bad_peer, "malformed notice");
	assert_int_equal(sent(bench), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_class__wanted_or_not__decides, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(test_same_peer__once_a_minute__others_at_once,
			bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_flood__from_everywhere__at_most_eighty_in_an_hour, bench_setup,
			bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_no_room__the_first_one_waits_for_some__others_are_counted, bench_setup,
			bench_teardown),
		cmocka_unit_test_setup_teardown(
			test_frame__out_of_bounds__is_a_bad_peer, bench_setup, bench_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
