/*
 * test_intake_client.c - unit tests of ipc/intake_client
 *
 * Goal: what is under way stays within the credit, however often the last message takes more than was
 * left. Method: a socket pair; frames are handed in.
 */
#include "ipc/intake_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

static void
ignore_frame(void *ctx, uint16_t type, struct slice payload, int fd)
{
	(void)ctx;
	(void)type;
	(void)payload;
	(void)fd;
}

static void
ignore_closed(void *ctx)
{
	(void)ctx;
}

static void
ignore_change(struct intake_client *client)
{
	(void)client;
}

static void
ignore_answer(struct intake_txn *txn, enum ipc_intake_status status, struct slice text)
{
	assert_int_equal(status, IPC_INTAKE_TEMPORARY);
	(void)text;
	loop_stop(txn->client->role->loop);
}

static void
give(struct intake_client *client, uint64_t bytes)
{
	union ipc_any any = { .credit = { .bytes = bytes } };

	assert_true(intake_client_frame(client, IPC_TYPE_credit, &any));
}

/* A client, and what it says to the queue manager. */
struct bench {
	struct role role;
	struct intake_client client;
	int peer;
};

static int
start(void **state)
{
	static struct bench bench;
	int pair[2];

	bench = (struct bench){ .role = { .loop = loop_new() } };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	channel_open(
		&bench.role.qmgr, bench.role.loop, pair[0], ignore_frame, ignore_closed, NULL);
	bench.peer = pair[1];
	intake_client_init(&bench.client, &bench.role, ignore_change);
	intake_client_qmgr_up(&bench.client);
	*state = &bench;
	return 0;
}

static int
stop(void **state)
{
	struct bench *bench = *state;

	loop_timer_done(&bench->client.query_timer);
	loop_timer_done(&bench->client.ask_timer);
	channel_close(&bench->role.qmgr);
	(void)close(bench->peer);
	loop_free(bench->role.loop);
	return 0;
}

static void
test_credit__overdrawn__is_owed(void **state)
{
	static const uint8_t content[1000];
	struct bench *bench = *state;
	struct intake_client *client = &bench->client;
	struct intake_txn txn = { .client = client, .answer = ignore_answer };
	struct ipc_intake_commit commit = { .queue_id = 1,
		.content = slice_make(content, sizeof(content)) };

	give(client, 100);
	assert_true(intake_client_has_credit(client));
	intake_txn_commit(&txn, &commit);
	assert_false(intake_client_has_credit(client));
	give(client, 900);
	assert_false(intake_client_has_credit(client));
	give(client, 100);
	assert_true(intake_client_has_credit(client));
	intake_txn_abort(&txn);
}

/* Frames of a type that the client has sent by now. */
static unsigned
sent(int fd, uint16_t wanted)
{
	static uint8_t bytes[64 * 1024];
	unsigned count = 0;
	ssize_t got;

	channel_flush_all(NULL);
	got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	for (ssize_t at = 0; at < got; at += IPC_HEADER_SIZE + wire_load_u32(bytes + at))
		count += wire_load_u16(bytes + at + 4) == wanted;
	return count;
}

static void
test_no_ids__mail_may_be_offered_if_it_is_refused__and_they_are_asked_for_again(void **state)
{
	struct bench *bench = *state;
	struct intake_client *client = &bench->client;
	union ipc_any none = { .id_block = { .count = 0 } };
	union ipc_any some = { .id_block = { .first = 1, .count = 10, .token = 77 } };
	union ipc_any refused = { .intake_state = { .status = IPC_INTAKE_TEMPORARY } };
	union ipc_any taken = { .intake_state = { .status = IPC_INTAKE_DURABLE } };
	uint64_t token;

	assert_int_equal(sent(bench->peer, IPC_TYPE_id_request), 1);
	assert_false(intake_client_may_offer(client));
	assert_true(intake_client_frame(client, IPC_TYPE_intake_state, &refused));
	assert_true(intake_client_frame(client, IPC_TYPE_id_block, &none));
	assert_true(intake_client_may_offer(client));
	assert_int_equal(intake_client_id(client, &token), 0);
	assert_true(client->ask_timer.is_set);
	assert_true(intake_client_frame(client, IPC_TYPE_intake_state, &taken));
	assert_false(intake_client_may_offer(client));
	assert_true(intake_client_frame(client, IPC_TYPE_id_block, &some));
	assert_true(intake_client_may_offer(client));
	assert_int_equal(intake_client_id(client, &token), 1);
	assert_int_equal(token, 77);
}

/* rules: M12 */
static void
test_commit__without_credit__waits_for_it(void **state)
{
	static const uint8_t content[1000];
	struct bench *bench = *state;
	struct intake_client *client = &bench->client;
	struct intake_txn txns[2] = { { .client = client, .answer = ignore_answer },
		{ .client = client, .answer = ignore_answer } };
	struct ipc_intake_commit commit = { .queue_id = 1,
		.content = slice_make(content, sizeof(content)) };

	intake_txn_commit(&txns[0], &commit);
	intake_txn_commit(&txns[1], &commit);
	assert_int_equal(sent(bench->peer, IPC_TYPE_intake_commit), 0);
	give(client, 1);
	assert_int_equal(sent(bench->peer, IPC_TYPE_intake_commit), 1);
	intake_txn_abort(&txns[1]);
	give(client, 5000);
	assert_int_equal(sent(bench->peer, IPC_TYPE_intake_commit), 0);
	intake_txn_abort(&txns[0]);
}

/* Its parts went to a queue manager that died; the new one never answers the question. */
static void
test_commit__parts_are_lost_and_no_answer_comes__ends_in_time(void **state)
{
	struct bench *bench = *state;
	struct intake_client *client = &bench->client;
	struct intake_txn txn = { .client = client, .answer = ignore_answer };
	struct ipc_intake_commit commit = { .queue_id = 1 };

	intake_txn_part(&txn, SLICE_LIT("one"));
	intake_client_qmgr_up(client);
	intake_txn_commit(&txn, &commit);
	assert_int_equal(sent(bench->peer, IPC_TYPE_intake_query), 1);
	assert_true(client->query_timer.is_set);
	loop_run(bench->role.loop);
	assert_int_equal(txn.txn, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_credit__overdrawn__is_owed),
		TEST(test_no_ids__mail_may_be_offered_if_it_is_refused__and_they_are_asked_for_again),
		TEST(test_commit__without_credit__waits_for_it),
		TEST(test_commit__parts_are_lost_and_no_answer_comes__ends_in_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
