/*
 * test_refill.c - unit tests of long lists of recipients, read in batches
 *
 * Goal: rules K2 to K14, D22 to D24, F14. Method: the core on a bench; who was tried says what was
 * read.
 */
#include "core_bench.h"

#include "qmgr/core_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const char *const small[] = { "qmgr_message_active_limit=4",
	"qmgr_message_recipient_limit=6", "qmgr_message_recipient_minimum=2",
	"default_recipient_refill_limit=3", "default_recipient_refill_delay=10s",
	"default_destination_recipient_limit=1", "default_destination_concurrency_limit=50",
	"initial_destination_concurrency=50", "scheduler_concurrency_policy=classic", NULL };

/* The same, and one failure kills a site. */
static const char *const fragile[] = { "qmgr_message_active_limit=4",
	"qmgr_message_recipient_limit=6", "default_recipient_refill_limit=3",
	"default_destination_recipient_limit=1", "initial_destination_concurrency=1",
	"scheduler_concurrency_policy=classic", NULL };

static int
start(void **state)
{
	static struct bench bench;

	bench_start(&bench, small);
	*state = &bench;
	return 0;
}

static int
stop(void **state)
{
	bench_stop(*state);
	return 0;
}

/* `count` addresses NAMEi@d.test, from `first` on. */
static char *
add_list(struct buf *list, const char *name, unsigned first, unsigned count)
{
	for (unsigned i = first; i < first + count; i++)
		buf_addf(list, "%s%u@d.test ", name, i);
	return (char *)list->ptr;
}

static char *
make_list(struct buf *list, const char *name, unsigned count)
{
	buf_init(list, 0);
	(void)add_list(list, name, 0, count);
	buf_add(list, slice_make("", 1));
	return (char *)list->ptr;
}

/* rules: K2 K10 K11 K12 R36 R13 T29 S12 */
static void
test_K10__more_recipients_than_the_limit__are_read_as_others_end(void **state)
{
	struct bench *bench = *state;
	struct buf list;

	(void)bench_mail(bench, "s@x.test", make_list(&list, "wait", 20));
	assert_int_equal(bench_tried(bench, "@d.test"), 6);
	assert_int_equal(bench_tried(bench, "wait5@"), 1);
	bench_answer(bench, IPC_OUTCOME_DELIVERED, false);
	assert_int_equal(bench_tried(bench, "@d.test"), 12);
	bench_answer(bench, IPC_OUTCOME_DELIVERED, false);
	bench_answer(bench, IPC_OUTCOME_DELIVERED, false);
	bench_answer(bench, IPC_OUTCOME_DELIVERED, false);
	assert_int_equal(bench_tried(bench, "@d.test"), 20);
	for (unsigned i = 0; i < 20; i++) {
		char address[32];

		(void)snprintf(address, sizeof(address), "wait%u@", i);
		assert_int_equal(bench_tried(bench, address), 1);
	}
	assert_int_equal(bench_messages(bench), 0);
	buf_done(&list);
}

/* rules: K3 T30 */
static void
test_K3__no_room_for_recipients__each_message_has_its_minimum(void **state)
{
	struct bench *bench = *state;
	struct buf list;

	(void)bench_mail(bench, "s@x.test", make_list(&list, "wait", 20));
	(void)bench_mail(bench, "s@x.test", "wait-a@e.test wait-b@e.test wait-c@e.test");
	assert_int_equal(bench_tried(bench, "@e.test"), 2);
	bench_answer(bench, IPC_OUTCOME_DELIVERED, false);
	assert_int_equal(bench_tried(bench, "wait-c@e.test"), 1);
	buf_done(&list);
}

/* One recipient stays under way, the others end: room for fewer than the refill limit waits. */
/* rules: K6 K7 T33 T34 S12 */
static void
test_K7__room_below_the_refill_limit__is_filled_after_the_delay(void **state)
{
	struct bench *bench = *state;
	struct buf list;

	/* Four wait, two end at once: room for two, the limit is three. */
	buf_init(&list, 0);
	(void)add_list(&list, "wait", 0, 4);
	(void)add_list(&list, "ok", 0, 2);
	(void)add_list(&list, "late", 0, 3);
	buf_add(&list, slice_make("", 1));
	(void)bench_mail(bench, "s@x.test", (const char *)list.ptr);
	assert_int_equal(bench_tried(bench, "ok"), 2);
	assert_int_equal(bench_tried(bench, "late"), 0);
	bench_pass(bench, 8);
	assert_int_equal(bench_tried(bench, "late"), 0);
	bench_pass(bench, 4);
	assert_int_equal(bench_tried(bench, "late"), 2);
	buf_done(&list);
}

/* rules: D23 K14 */
static void
test_D23__early_failure__defers_the_message_after_the_last_batch(void **state)
{
	struct bench *bench = *state;
	struct buf list;

	buf_init(&list, 0);
	(void)add_list(&list, "later", 0, 1);
	(void)add_list(&list, "ok", 0, 30);
	buf_add(&list, slice_make("", 1));
	(void)bench_mail(bench, "s@x.test", (const char *)list.ptr);
	assert_int_equal(bench_tried(bench, "ok"), 30);
	assert_int_equal(bench_tried(bench, "later0@"), 1);
	assert_int_equal(bench_messages(bench), 1);
	assert_int_equal(bench_logged(bench, "removed"), 0);
	bench_pass(bench, 340);
	assert_int_equal(bench_tried(bench, "later0@"), 2);
	assert_int_equal(bench_tried(bench, "ok"), 30);
	buf_done(&list);
}

/* rules: D29 */
static void
test_D29__failures_in_each_batch__are_reported_batch_by_batch(void **state)
{
	struct bench *bench = *state;
	struct buf list;

	(void)bench_mail(bench, "s@x.test", make_list(&list, "no", 18));
	assert_int_equal(bench_tried(bench, "no"), 18);
	assert_in_range(bench->report_count, 2, 18);
	assert_int_equal(bench_messages(bench), 0);
	buf_done(&list);
}

/* A dead site takes nothing: every batch is settled at once, and the next one follows. */
/* rules: D24 S13 */
static void
test_D24__batches_with_nothing_to_deliver__follow_each_other(void **state)
{
	struct bench *bench = *state;
	struct buf list;

	bench_configure(bench, fragile);
	bench->is_down = true;
	(void)bench_mail(bench, "s@x.test", "first@d.test");
	(void)bench_mail(bench, "s@x.test", make_list(&list, "ok", 40));
	assert_int_equal(bench_tried(bench, "@d.test"), 0);
	assert_int_equal(bench_logged(bench, "to=<ok"), 40);
	assert_int_equal(bench_messages(bench), 2);
	buf_done(&list);
}

/* What was read when a new process came is read again from the first open recipient on. */
/* rules: K11 F14 */
static void
test_K16__killed_half_way__nobody_finished_is_tried_again(void **state)
{
	struct bench *bench = *state;
	struct buf list;

	buf_init(&list, 0);
	(void)add_list(&list, "ok", 0, 10);
	(void)add_list(&list, "wait", 0, 6);
	(void)add_list(&list, "ok", 10, 10);
	buf_add(&list, slice_make("", 1));
	(void)bench_mail(bench, "s@x.test", (const char *)list.ptr);
	assert_int_equal(bench_tried(bench, "ok"), 10);
	bench_kill(bench);
	bench_answer(bench, IPC_OUTCOME_DELIVERED, false);
	bench_answer(bench, IPC_OUTCOME_DELIVERED, false);
	assert_int_equal(bench_tried(bench, "ok"), 20);
	assert_int_equal(bench_tried(bench, "wait"), 12);
	assert_int_equal(bench_messages(bench), 0);
	buf_done(&list);
}

/* Neither a hold nor an expiry waits for the end of the list. */
/* rules: K13 */
static void
test_K13__held_or_expired_half_way__no_more_is_read(void **state)
{
	struct bench *bench = *state;
	struct buf list;
	uint64_t held = bench_mail(bench, "s@x.test", make_list(&list, "wait", 20));

	bench_command(bench, "hold", held);
	bench_answer(bench, IPC_OUTCOME_DELIVERED, false);
	assert_int_equal(bench_tried(bench, "wait"), 6);
	assert_int_equal(bench_messages(bench), 1);
	bench_command(bench, "release", held);
	assert_int_equal(bench_tried(bench, "wait"), 12);
	bench_command(bench, "expire", held);
	bench_answer(bench, IPC_OUTCOME_DELIVERED, false);
	assert_int_equal(bench_tried(bench, "wait"), 12);
	assert_int_equal(bench->report_count, 1);
	assert_int_equal(bench_messages(bench), 0);
	buf_done(&list);
}

/* --- a hundred thousand and more -------------------------------------------------------------- */

enum { MANY = 200000 };

static const char *const large[] = { "journal_segment_size=33554432",
	"default_destination_concurrency_limit=50", "initial_destination_concurrency=50",
	"transport_maps=inline:{ { gone.test = error:5.1.2 gone } }",
	"virtual_alias_maps=inline:{ loop@x.test=ring@x.test, ring@x.test=loop@x.test }", NULL };

static int
start_large(void **state)
{
	static struct bench bench;

	bench_start(&bench, large);
	*state = &bench;
	return 0;
}

static char *
make_many(struct buf *list, const char *domain, const char *last)
{
	buf_init(list, 0);
	for (unsigned i = 1; i < MANY; i++)
		buf_addf(list, "ok%u@%s ", i, domain);
	buf_addf(list, "%s@%s", last, domain);
	buf_add(list, slice_make("", 1));
	return (char *)list->ptr;
}

/* All are finished, but a report cannot be made: the next round has nothing to deliver. */
/* rules: F14 L44 K2 S13 */
static void
test_F14__200000_finished_recipients__go_through_the_stages_at_once(void **state)
{
	struct bench *bench = *state;
	struct buf list;

	(void)bench_mail(bench, "loop@x.test", make_many(&list, "d.test", "no"));
	assert_int_equal(bench_tried(bench, "ok"), MANY - 1);
	assert_int_equal(bench_logged(bench, "bounce failed"), 1);
	assert_int_equal(bench_messages(bench), 1);
	buf_clear(&bench->attempts);
	bench_pass(bench, 340);
	assert_int_equal(bench->attempts.len, 0);
	assert_int_equal(bench_logged(bench, "bounce failed"), 2);
	buf_done(&list);
}

/* Each batch is settled as it is read, and has its report. */
/* rules: D24 D29 F14 */
static void
test_D24__200000_recipients_refused_at_once__end_batch_by_batch(void **state)
{
	struct bench *bench = *state;
	struct buf list;

	bench->notify = DSN_NOTIFY_NEVER;
	(void)bench_mail(bench, "s@x.test", make_many(&list, "gone.test", "last"));
	assert_int_equal(bench_logged(bench, "status=bounced"), MANY);
	assert_int_equal(bench->report_count, 0);
	assert_int_equal(bench_messages(bench), 0);
	buf_done(&list);
}

/* rules: K30 */
static void
test_K30__same_recipient_twice_in_the_queue__is_delivered_twice(void **state)
{
	struct bench *bench = *state;

	(void)bench_mail(bench, "s@x.test", "ok@d.test ok@d.test");
	assert_int_equal(bench_tried(bench, "ok@d.test"), 2);
}

/* Some 45 KB each: the third does not become active before one of the others is gone. */
static void
test_lists__more_bytes_than_their_limit__further_messages_wait(void **state)
{
	static const char *const tight[] = { "qmgr_recipient_memory_limit=65536",
		"qmgr_message_recipient_limit=6", "qmgr_message_active_limit=4",
		"qmgr_message_recipient_minimum=2", "default_destination_recipient_limit=50", NULL };
	struct bench *bench = *state;
	struct buf list;

	bench_configure(bench, tight);
	for (unsigned i = 0; i < 3; i++) {
		(void)bench_mail(bench, "s@x.test",
			make_list(&list, i == 0 ? "waita" : i == 1 ? "waitb" : "okc", 1500));
		buf_done(&list);
	}
	assert_true(bench->core->list_bytes > 65536 && bench->core->list_bytes < 150000);
	assert_int_equal(bench->core->active_count, 2);
	assert_int_equal(bench_tried(bench, "okc0@"), 0);
	for (unsigned i = 0; i < 2000 && bench_messages(bench) > 0; i++)
		bench_answer(bench, IPC_OUTCOME_DELIVERED, false);
	assert_int_equal(bench_messages(bench), 0);
	assert_int_equal(bench_tried(bench, "okc1499@"), 1);
	assert_int_equal(bench->core->list_bytes, 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
#define TEST_LARGE(name) cmocka_unit_test_setup_teardown(name, start_large, stop)
	const struct CMUnitTest tests[] = {
		TEST_LARGE(test_F14__200000_finished_recipients__go_through_the_stages_at_once),
		TEST_LARGE(test_D24__200000_recipients_refused_at_once__end_batch_by_batch),
		TEST(test_K10__more_recipients_than_the_limit__are_read_as_others_end),
		TEST(test_K3__no_room_for_recipients__each_message_has_its_minimum),
		TEST(test_K7__room_below_the_refill_limit__is_filled_after_the_delay),
		TEST(test_D23__early_failure__defers_the_message_after_the_last_batch),
		TEST(test_D29__failures_in_each_batch__are_reported_batch_by_batch),
		TEST(test_D24__batches_with_nothing_to_deliver__follow_each_other),
		TEST(test_K16__killed_half_way__nobody_finished_is_tried_again),
		TEST(test_K13__held_or_expired_half_way__no_more_is_read),
		TEST(test_K30__same_recipient_twice_in_the_queue__is_delivered_twice),
		TEST(test_lists__more_bytes_than_their_limit__further_messages_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
