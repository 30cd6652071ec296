/*
 * test_channel.c - unit tests of ipc/channel on a real socket pair
 *
 * Goal: frames keep their order and their descriptors, however the bytes are cut; nonsense closes the
 * channel and nothing else. Method: two ends in one process, one loop.
 */
#include "ipc/channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

struct world {
	struct loop *loop;
	struct loop_hook hook;
	struct channel channel;
	int peer; /* the other end, raw */
	uint64_t frames;
	uint64_t queries[8];
	int fd;
	bool closed;
	const char *fault;
	uint64_t stop_after;
};

static void
world_frame(void *ctx, uint16_t type, struct slice payload, int fd)
{
	struct world *world = ctx;
	union ipc_any any;

	assert_int_equal(ipc_decode(type, payload, &any), ERR_OK);
	if (type == IPC_TYPE_ptr && world->frames < 8)
		world->queries[world->frames] = any.ptr.query;
	if (fd >= 0)
		world->fd = fd;
	if (++world->frames == world->stop_after)
		loop_stop(world->loop);
}

static void
world_closed(void *ctx)
{
	struct world *world = ctx;

	world->closed = true;
	world->fault = channel_fault(&world->channel);
	channel_close(&world->channel);
	loop_stop(world->loop);
}

static void
world_start(struct world *world)
{
	int fds[2];

	*world = (struct world){ .loop = loop_new(), .fd = -1 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	world->peer = fds[1];
	loop_hook_add(world->loop, &world->hook, channel_flush_all, NULL);
	channel_open(&world->channel, world->loop, fds[0], world_frame, world_closed, world);
}

static void
world_end(struct world *world)
{
	channel_close(&world->channel);
	(void)close(world->peer);
	loop_free(world->loop);
}

static void
test_frames__written_byte_by_byte__arrive_in_order(void **state)
{
	struct world world;
	struct buf buf;

	(void)state;
	world_start(&world);
	buf_init(&buf, 0);
	for (uint64_t query = 1; query <= 3; query++) {
		struct ipc_ptr ptr = { .query = query, .address = SLICE_LIT("\x7f\0\0\1") };

		ipc_encode(&buf, IPC_TYPE_ptr, false, &ptr);
	}
	for (size_t i = 0; i < buf.len; i++)
		assert_int_equal(write(world.peer, buf.ptr + i, 1), 1);
	world.stop_after = 3;
	loop_run(world.loop);
	assert_int_equal(world.queries[0], 1);
	assert_int_equal(world.queries[2], 3);
	buf_done(&buf);
	world_end(&world);
}

static void
test_send_fd__descriptor__arrives_with_its_frame(void **state)
{
	struct world world;
	struct ipc_ptr ptr = { .query = 9 };
	struct ipc_role_qmgr qmgr = { .pid = 4 };
	struct buf frame;
	struct slice payload;
	uint16_t type;
	int fd = -1, pipes[2];
	char byte = 0;

	(void)state;
	world_start(&world);
	assert_int_equal(pipe(pipes), 0);
	channel_send(&world.channel, IPC_TYPE_ptr, &ptr);
	channel_send_fd(&world.channel, IPC_TYPE_role_qmgr, &qmgr, pipes[1]);
	channel_send(&world.channel, IPC_TYPE_ptr, &ptr);
	channel_flush_all(NULL);
	buf_init(&frame, 0);
	assert_int_equal(
		channel_read_blocking(world.peer, &frame, &type, &payload, &fd), ERR_OK);
	assert_int_equal(type, IPC_TYPE_ptr);
	assert_int_equal(fd, -1);
	assert_int_equal(
		channel_read_blocking(world.peer, &frame, &type, &payload, &fd), ERR_OK);
	assert_int_equal(type, IPC_TYPE_role_qmgr);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	assert_int_equal(byte, 'x');
	(void)close(fd);
	assert_int_equal(
		channel_read_blocking(world.peer, &frame, &type, &payload, &fd), ERR_OK);
	assert_int_equal(fd, -1);
	buf_done(&frame);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
	world_end(&world);
}

static void
test_receive__impossible_length__closes_the_channel(void **state)
{
	struct world world;
	const uint8_t head[IPC_HEADER_SIZE] = { 0xff, 0xff, 0xff, 0x7f, 1, 0, 0, 0 };

	(void)state;
	world_start(&world);
	assert_int_equal(write(world.peer, head, sizeof(head)), sizeof(head));
	loop_run(world.loop);
	assert_true(world.closed);
	assert_int_equal(world.frames, 0);
	world_end(&world);
}

static void
test_receive__reserved_byte_is_set__closes_the_channel_and_says_why(void **state)
{
	static const uint8_t head[IPC_HEADER_SIZE] = { 0, 0, 0, 0, IPC_TYPE_hello, 0, 0, 1 };
	struct world world;

	(void)state;
	world_start(&world);
	assert_int_equal(write(world.peer, head, sizeof(head)), sizeof(head));
	loop_run(world.loop);
	assert_true(world.closed);
	assert_int_equal(world.frames, 0);
	assert_string_equal(world.fault, "malformed frame header");
	world_end(&world);
}

static void
test_receive__descriptor_announced_but_absent__closes_the_channel(void **state)
{
	struct world world;
	struct ipc_role_qmgr qmgr = { .pid = 4 };
	struct buf buf;

	(void)state;
	world_start(&world);
	buf_init(&buf, 0);
	ipc_encode(&buf, IPC_TYPE_role_qmgr, true, &qmgr);
	assert_int_equal(write(world.peer, buf.ptr, buf.len), (ssize_t)buf.len);
	loop_run(world.loop);
	assert_true(world.closed);
	buf_done(&buf);
	world_end(&world);
}

static void
test_receive__peer_closes__is_told_once(void **state)
{
	struct world world;

	(void)state;
	world_start(&world);
	(void)close(world.peer);
	world.peer = -1;
	loop_run(world.loop);
	assert_true(world.closed);
	channel_send(&world.channel, IPC_TYPE_ptr, &(struct ipc_ptr){ .query = 1 });
	world_end(&world);
}

/* Reads what is there; true: something was. */
static bool
drain_some(int fd)
{
	static uint8_t bytes[256 * 1024];

	return recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0;
}

static void
test_send__reader_that_never_catches_up__memory_follows_what_is_unread(void **state)
{
	struct world world;
	static const uint8_t text[64 * 1024];
	struct ipc_control_reply reply = { .text = slice_make(text, sizeof(text)) };

	(void)state;
	world_start(&world);
	for (int i = 0; i < 500; i++) {
		while (channel_pending(&world.channel) < 1024 * 1024) {
			channel_send(&world.channel, IPC_TYPE_control_reply, &reply);
			channel_flush_all(NULL);
		}
		assert_true(drain_some(world.peer));
		channel_send(&world.channel, IPC_TYPE_control_reply, &reply);
		channel_flush_all(NULL);
		assert_true(channel_pending(&world.channel) > 0);
	}
	assert_true(world.channel.out.len < 8 * 1024 * 1024);
	world_end(&world);
}

static void
test_flush__peer_died_behind_its_frame__the_frame_is_delivered(void **state)
{
	struct world world;
	struct ipc_ptr ptr = { .query = 7 };
	struct buf buf;

	(void)state;
	world_start(&world);
	buf_init(&buf, 0);
	ipc_encode(&buf, IPC_TYPE_ptr, false, &ptr);
	assert_int_equal(write(world.peer, buf.ptr, buf.len), (ssize_t)buf.len);
	(void)close(world.peer);
	world.peer = -1;
	channel_send(&world.channel, IPC_TYPE_ptr, &ptr);
	channel_flush_all(NULL);
	channel_flush_all(NULL);
	loop_run(world.loop);
	assert_true(world.closed);
	assert_int_equal(world.frames, 1);
	assert_int_equal(world.queries[0], 7);
	buf_done(&buf);
	world_end(&world);
}

/* So many large messages can be given out in one turn, to one worker that is busy. */
static void
test_send_fd__hundreds_in_a_turn__all_arrive(void **state)
{
	enum { COUNT = 200 };
	struct world world;
	struct ipc_role_qmgr qmgr = { .pid = 4 };
	struct buf frame;
	struct slice payload;
	uint16_t type;
	int fd = -1, pipes[2];

	(void)state;
	world_start(&world);
	buf_init(&frame, 0);
	assert_int_equal(pipe(pipes), 0);
	for (int i = 0; i < COUNT; i++)
		channel_send_fd(&world.channel, IPC_TYPE_role_qmgr, &qmgr, pipes[1]);
	for (int i = 0; i < COUNT; i++) {
		channel_flush_all(NULL);
		assert_int_equal(
			channel_read_blocking(world.peer, &frame, &type, &payload, &fd), ERR_OK);
		assert_int_equal(type, IPC_TYPE_role_qmgr);
		assert_true(fd >= 0);
		(void)close(fd);
	}
	assert_true(channel_is_open(&world.channel));
	buf_done(&frame);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
	world_end(&world);
}

static int
count_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void
test_refuse_fds__peer_sends_some__none_is_kept(void **state)
{
	struct world world;
	struct channel other;
	struct ipc_role_qmgr qmgr = { .pid = 4 };
	int before, pair[2];

	(void)state;
	world_start(&world);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	channel_refuse_fds(&world.channel);
	channel_open(&other, world.loop, world.peer, world_frame, world_closed, &world);
	before = count_fds();
	channel_send_fd(&other, IPC_TYPE_role_qmgr, &qmgr, pair[0]);
	channel_flush_all(NULL);
	loop_run(world.loop);
	assert_true(world.closed);
	assert_int_equal(world.frames, 0);
	assert_int_equal(count_fds(), before - 1); /* its own socket */
	channel_close(&other);
	world.peer = -1;
	(void)close(pair[0]);
	(void)close(pair[1]);
	world_end(&world);
}

static void
test_drain__frames_in_the_socket__are_delivered(void **state)
{
	struct world world;
	struct ipc_ptr ptr = { .query = 5 };
	struct buf buf;

	(void)state;
	world_start(&world);
	buf_init(&buf, 0);
	ipc_encode(&buf, IPC_TYPE_ptr, false, &ptr);
	assert_int_equal(write(world.peer, buf.ptr, buf.len), (ssize_t)buf.len);
	channel_drain(&world.channel);
	assert_int_equal(world.frames, 1);
	assert_true(channel_is_open(&world.channel));
	(void)close(world.peer);
	world.peer = -1;
	channel_drain(&world.channel);
	assert_false(channel_is_open(&world.channel));
	assert_false(channel_is_closed(&world.channel));
	channel_close(&world.channel);
	assert_true(channel_is_closed(&world.channel));
	buf_done(&buf);
	world_end(&world);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames__written_byte_by_byte__arrive_in_order),
		cmocka_unit_test(test_send_fd__descriptor__arrives_with_its_frame),
		cmocka_unit_test(test_receive__impossible_length__closes_the_channel),
		cmocka_unit_test(
			test_receive__reserved_byte_is_set__closes_the_channel_and_says_why),
		cmocka_unit_test(test_receive__descriptor_announced_but_absent__closes_the_channel),
		cmocka_unit_test(test_receive__peer_closes__is_told_once),
		cmocka_unit_test(test_send_fd__hundreds_in_a_turn__all_arrive),
		cmocka_unit_test(test_refuse_fds__peer_sends_some__none_is_kept),
		cmocka_unit_test(test_drain__frames_in_the_socket__are_delivered),
		cmocka_unit_test(test_flush__peer_died_behind_its_frame__the_frame_is_delivered),
		cmocka_unit_test(
			test_send__reader_that_never_catches_up__memory_follows_what_is_unread),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
