/*
 * test_intake.c - unit tests of qmgr/intake and qmgr/ended
 *
 * Goal: a broken intake costs a bounded amount, an honest one is never called bad, and a message that
 * was taken is not disowned. Method: the core on a bench; frames of the intake are written by hand.
 */
#include "core_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const char *const plain[] = { NULL };

static int
start(void **state)
{
	static struct bench bench;

	bench_start(&bench, plain);
	bench.is_accusing = true;
	*state = &bench;
	return 0;
}

static int
stop(void **state)
{
	bench_stop(*state);
	return 0;
}

static int
ask(struct bench *bench, uint64_t queue_id)
{
	bench->status = IPC_INTAKE_FULL;
	bench_say(bench, IPC_TYPE_intake_query,
		&(struct ipc_intake_query){ .txn = 77, .queue_id = queue_id,
			.token = bench_token(bench, queue_id) });
	bench_run(bench);
	return bench->status;
}

static void
test_query__message_has_ended__is_durable_for_some_seconds(void **state)
{
	struct bench *bench = *state;
	uint64_t id = bench_mail(bench, "s@x.test", "ok@d.test");

	assert_int_equal(bench_messages(bench), 0);
	assert_int_equal(ask(bench, id), IPC_INTAKE_DURABLE);
	bench_pass(bench, CORE_ENDED_S + 1);
	assert_int_equal(ask(bench, id), IPC_INTAKE_UNKNOWN);
}

static void
test_query__message_had_ended_before_the_restart__is_durable(void **state)
{
	struct bench *bench = *state;
	uint64_t id = bench_mail(bench, "s@x.test", "ok@d.test");

	bench_kill(bench);
	assert_int_equal(bench_messages(bench), 0);
	assert_int_equal(ask(bench, id), IPC_INTAKE_DURABLE);
	assert_int_equal(ask(bench, id + 1), IPC_INTAKE_UNKNOWN);
	assert_null(bench->bad_peer);
}

static void
test_commit__queue_id_is_in_use__is_refused_and_nobody_is_accused(void **state)
{
	struct bench *bench = *state;
	uint64_t id = bench_mail(bench, "s@x.test", "wait@d.test");

	bench_commit(bench, 5001, id, "other@d.test");
	bench_run(bench);
	assert_int_equal(bench->status, IPC_INTAKE_TEMPORARY);
	assert_null(bench->bad_peer);
	assert_int_equal(bench_tried(bench, "other@d.test"), 0);
	bench_answer(bench, IPC_OUTCOME_DELIVERED, false);
}

/* A token holds for the process that leased the block, and for no other. */
static void
test_token__another_process_asks__is_told_nothing_and_is_a_bad_peer(void **state)
{
	struct bench *bench = *state;
	uint64_t id = bench_mail(bench, "s@x.test", "wait@d.test");

	bench_other_intake(bench);
	bench->status = IPC_INTAKE_FULL;
	bench_other_say(bench, IPC_TYPE_intake_query,
		&(struct ipc_intake_query){ .txn = 1, .queue_id = id,
			.token = bench_token(bench, id) });
	bench_run(bench);
	assert_int_equal(bench->status, IPC_INTAKE_FULL);
	assert_string_equal(bench->bad_peer, "asks for a queue ID that it did not lease");
	bench_answer(bench, IPC_OUTCOME_DELIVERED, false);
}

static void
test_token__another_process_commits__is_a_bad_peer_and_the_id_stays_free(void **state)
{
	static const char content[] = "Subject: t\r\n\r\n";
	struct bench *bench = *state;
	uint64_t id = bench->id_next;

	bench_other_intake(bench);
	bench_other_say(bench, IPC_TYPE_intake_commit,
		&(struct ipc_intake_commit){ .txn = 1, .queue_id = id,
			.token = bench_token(bench, id), .content = slice_str(content),
			.content_length = sizeof(content) - 1 });
	assert_string_equal(bench->bad_peer, "commits under a queue ID that it did not lease");
	assert_int_equal(bench_mail(bench, "s@x.test", "ok@d.test"), id);
}

static void
test_token__guessed__is_a_bad_peer(void **state)
{
	struct bench *bench = *state;
	uint64_t id = bench_mail(bench, "s@x.test", "wait@d.test");

	bench_say(bench, IPC_TYPE_intake_query, &(struct ipc_intake_query){ .queue_id = id });
	assert_string_equal(bench->bad_peer, "asks for a queue ID that it did not lease");
	bench_answer(bench, IPC_OUTCOME_DELIVERED, false);
}

static void
test_data__more_than_the_credit__is_a_bad_peer(void **state)
{
	static const uint8_t part[IPC_CONTENT_PART_MAX];
	struct bench *bench = *state;
	struct ipc_intake_data data = { .content = slice_make(part, sizeof(part)) };

	for (uint64_t i = 0; i < CORE_CREDIT / sizeof(part); i++) {
		data.txn = 1000 + i / 4; /* a fifth part would go to a file */
		bench_say(bench, IPC_TYPE_intake_data, &data);
	}
	assert_null(bench->bad_peer);
	data.txn = 1;
	bench_say(bench, IPC_TYPE_intake_data, &data);
	assert_string_equal(bench->bad_peer, "sends more than its credit");
}

static void
test_data__given_up__can_be_sent_again_and_again(void **state)
{
	static const uint8_t part[IPC_CONTENT_PART_MAX];
	struct bench *bench = *state;
	struct ipc_intake_data data = { .txn = 1, .content = slice_make(part, sizeof(part)) };

	for (uint64_t i = 0; i < 2 * CORE_CREDIT / sizeof(part); i++) {
		bench_say(bench, IPC_TYPE_intake_data, &data);
		bench_say(bench, IPC_TYPE_intake_abort, &(struct ipc_intake_abort){ .txn = 1 });
	}
	assert_null(bench->bad_peer);
}

static void
test_data__too_many_transactions__is_a_bad_peer(void **state)
{
	struct bench *bench = *state;

	for (uint64_t i = 1; i <= CORE_INTAKES_MAX + 1; i++) {
		assert_null(bench->bad_peer);
		bench_say(bench, IPC_TYPE_intake_data, &(struct ipc_intake_data){ .txn = i });
	}
	assert_string_equal(bench->bad_peer, "has too many transactions");
}

static void
test_id_request__without_end__is_a_bad_peer(void **state)
{
	struct bench *bench = *state;

	for (int i = 0; i <= CORE_ID_BLOCKS_MAX; i++) {
		assert_null(bench->bad_peer);
		bench_say(bench, IPC_TYPE_id_request, &(struct ipc_id_request){ .count = 1 });
	}
	assert_string_equal(bench->bad_peer, "asks for too many queue IDs");
	bench_run(bench);
	bench->bad_peer = NULL;
	bench_say(bench, IPC_TYPE_id_request, &(struct ipc_id_request){ .count = 1 });
	assert_null(bench->bad_peer);
}

static void
test_commit__of_another_than_local__expands_nothing(void **state)
{
	struct bench *bench = *state;
	uint64_t id = bench_mail(bench, "s@x.test", "wait@d.test");

	bench->expands = id;
	bench_commit(bench, 5001, bench->id_next++, "ok@d.test");
	assert_string_equal(bench->bad_peer, "only local expands recipients");
	bench_run(bench);
	assert_int_equal(bench_messages(bench), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_query__message_has_ended__is_durable_for_some_seconds, start, stop),
		cmocka_unit_test_setup_teardown(
			test_query__message_had_ended_before_the_restart__is_durable, start, stop),
		cmocka_unit_test_setup_teardown(
			test_commit__queue_id_is_in_use__is_refused_and_nobody_is_accused, start, stop),
		cmocka_unit_test_setup_teardown(
			test_token__another_process_asks__is_told_nothing_and_is_a_bad_peer, start,
			stop),
		cmocka_unit_test_setup_teardown(
			test_token__another_process_commits__is_a_bad_peer_and_the_id_stays_free, start,
			stop),
		cmocka_unit_test_setup_teardown(
			test_token__guessed__is_a_bad_peer, start, stop),
		cmocka_unit_test_setup_teardown(
			test_data__more_than_the_credit__is_a_bad_peer, start, stop),
		cmocka_unit_test_setup_teardown(
			test_data__given_up__can_be_sent_again_and_again, start, stop),
		cmocka_unit_test_setup_teardown(
			test_data__too_many_transactions__is_a_bad_peer, start, stop),
		cmocka_unit_test_setup_teardown(
			test_id_request__without_end__is_a_bad_peer, start, stop),
		cmocka_unit_test_setup_teardown(
			test_commit__of_another_than_local__expands_nothing, start, stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
