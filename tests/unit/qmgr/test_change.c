/*
 * test_change.c - unit tests of qmgr/change
 *
 * Goal: what the journal can never take does not go round for ever. Method: the core on a bench, whose
 * segments are small, and a message with thousands of recipients.
 */
#include "core_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { RECIPIENTS = 4000 };

static void
test_result__larger_than_the_journal_takes__message_is_held_and_said(void **state)
{
	static const char *const wide[] = { "default_destination_recipient_limit=50000",
		"qmgr_message_recipient_limit=50000", "smtpd_recipient_limit=50000", NULL };
	static struct bench bench;
	struct buf recipients;

	(void)state;
	bench_start(&bench, wide);
	buf_init(&recipients, 0);
	for (int i = 0; i < RECIPIENTS; i++)
		buf_addf(&recipients, "later-long%d@d.test ", i);
	buf_add(&recipients, slice_make("", 1));
	(void)bench_mail(&bench, "s@x.test", (const char *)recipients.ptr);
	bench_pass(&bench, 5);
	assert_int_equal(bench_logged(&bench, "larger than the journal takes; put on hold"), 1);
	bench_command(&bench, "queue", 0);
	assert_non_null(memmem(bench.answer.ptr, bench.answer.len, "\"hold\"", 6));
	bench_pass(&bench, 6000);
	assert_int_equal(bench_tried(&bench, "later-long7@"), 1);
	buf_done(&recipients);
	bench_stop(&bench);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_result__larger_than_the_journal_takes__message_is_held_and_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
