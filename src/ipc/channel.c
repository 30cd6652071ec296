/*
 * channel.c - frames over a socket (see channel.h)
 */
#include "ipc/channel.h"

#include "base/check.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHANNEL_READ_SIZE = 128 * 1024, CHANNEL_READS_PER_EVENT = 8 };
enum { CHANNEL_IN_MAX = 2 * IPC_PAYLOAD_MAX + 2 * CHANNEL_READ_SIZE,
	CHANNEL_IN_KEPT = 4 * 1024 * 1024 };
enum { CHANNEL_FDS_START = 8 };

static TAILQ_HEAD(channel_list, channel) channel_dirty = TAILQ_HEAD_INITIALIZER(channel_dirty);

static void
channel_mark_dirty(struct channel *channel)
{
	if (channel->is_dirty)
		return;
	channel->is_dirty = true;
	TAILQ_INSERT_TAIL(&channel_dirty, channel, dirty_link);
}

/* `fault`: what was wrong with it; NULL: its end was reached. */
static void
channel_fail(struct channel *channel, const char *fault)
{
	channel->is_failed = true;
	channel->fault = fault;
	loop_fd_close(&channel->watch);
	channel_mark_dirty(channel);
	loop_wake(channel->loop);
}

static void
channel_drop_out(struct channel *channel)
{
	for (int i = 0; i < channel->out_fd_count; i++)
		(void)close(channel->out_fds[i].fd);
	channel->out_fd_count = 0;
	channel->out_start = 0;
	buf_clear(&channel->out);
}

/*
 * The peer takes nothing any more: it is dead, or dying. What it said before that still lies in the
 * socket, a result perhaps that must not be lost; reading ends at its end of file.
 */
static void
channel_become_deaf(struct channel *channel)
{
	channel->is_deaf = true;
	channel_drop_out(channel);
	loop_fd_want(&channel->watch, channel->is_paused ? 0 : LOOP_READ);
}

/* Takes the payload and the descriptor of the frame at the front of `in`; false: closed meanwhile.
 */
static bool
channel_deliver(struct channel *channel, size_t at, size_t len, uint16_t type, int fd)
{
	bool gone = false;

	channel->gone = &gone;
	channel->frame_fn(channel->ctx, type, slice_make(channel->in.ptr + at, len), fd);
	if (gone)
		return false;
	channel->gone = NULL;
	return true;
}

static int
channel_take_fd(struct channel *channel)
{
	int fd;

	if (channel->in_fd_count == 0)
		return -1;
	fd = channel->in_fds[0];
	channel->in_fd_count--;
	memmove(channel->in_fds, channel->in_fds + 1,
		(size_t)channel->in_fd_count * sizeof(channel->in_fds[0]));
	return fd;
}

static bool
channel_header_valid(const uint8_t head[IPC_HEADER_SIZE])
{
	return wire_load_u32(head) <= IPC_PAYLOAD_MAX && head[6] <= 1 && head[7] == 0 &&
	       (head[6] == 0 || ipc_type_has_fd(wire_load_u16(head + 4)));
}

/* Hands out every complete frame; false: the channel was closed or failed. */
static bool
channel_parse(struct channel *channel)
{
	size_t at = 0;

	while (channel->in.len - at >= IPC_HEADER_SIZE && !channel->is_paused) {
		const uint8_t *head = channel->in.ptr + at;
		uint32_t len = wire_load_u32(head);
		uint16_t type = wire_load_u16(head + 4);
		int fd = -1;

		if (!channel_header_valid(head)) {
			channel_fail(channel, "malformed frame header");
			return false;
		}
		if (channel->in.len - at - IPC_HEADER_SIZE < len)
			break;
		if (head[6] == 1 && (fd = channel_take_fd(channel)) < 0) {
			channel_fail(channel, "frame without its descriptor");
			return false;
		}
		if (!channel_deliver(channel, at + IPC_HEADER_SIZE, len, type, fd))
			return false;
		if (channel->is_failed)
			return false;
		at += IPC_HEADER_SIZE + len;
	}
	buf_consume(&channel->in, at);
	/* A long frame is rare: its memory goes with it. */
	if (channel->in.len == 0 && channel->in.cap > CHANNEL_IN_KEPT) {
		buf_done(&channel->in);
		buf_init(&channel->in, CHANNEL_IN_MAX);
	}
	return true;
}

static void
channel_collect_fds(struct channel *channel, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (channel->in_fd_count < CHANNEL_IN_FDS_MAX)
				channel->in_fds[channel->in_fd_count++] = fd;
			else
				(void)close(fd);
		}
	}
}

/* One recvmsg() into `in`: bytes got, 0 at the end, -1 with errno. */
static ssize_t
channel_receive(struct channel *channel)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 8)];
	} control;
	struct iovec iov;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = channel->refuses_fds ? 0 : sizeof(control) };
	ssize_t got;

	if (buf_reserve(&channel->in, CHANNEL_READ_SIZE) < 0) {
		errno = ENOMEM;
		return -1;
	}
	iov.iov_base = channel->in.ptr + channel->in.len;
	iov.iov_len = channel->in.cap - channel->in.len;
	got = recvmsg(channel->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (got > 0) {
		channel->in.len += (size_t)got;
		channel_collect_fds(channel, &msg);
	}
	return got;
}

/* One read and what it brought: false: there is no more, or the channel was closed or failed. */
static bool
channel_take(struct channel *channel, ssize_t *ret_got)
{
	ssize_t got;

	do
		got = channel_receive(channel);
	while (got < 0 && errno == EINTR);
	*ret_got = got;
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return false;
	if (got <= 0) {
		channel_fail(channel, got < 0 && errno == ENOMEM ? "out of memory" : NULL);
		return false;
	}
	return channel_parse(channel) && !channel->is_paused;
}

static void
channel_ready(void *ctx, int ready)
{
	struct channel *channel = ctx;

	if (ready & LOOP_WRITE) {
		loop_fd_want(&channel->watch, channel->is_paused ? 0 : LOOP_READ);
		channel_mark_dirty(channel);
	}
	if (!(ready & LOOP_READ))
		return;
	for (int i = 0; i < CHANNEL_READS_PER_EVENT; i++) {
		ssize_t got;

		if (!channel_take(channel, &got) || got < CHANNEL_READ_SIZE / 2)
			return;
	}
}

void
channel_drain(struct channel *channel)
{
	ssize_t got;

	if (!channel_is_open(channel) || channel->is_paused)
		return;
	while (channel_take(channel, &got))
		continue;
}

void
channel_open(struct channel *channel, struct loop *loop, int fd, channel_frame_fn *frame_fn,
	channel_closed_fn *closed_fn, void *ctx)
{
	int flags = fcntl(fd, F_GETFL);

	CHECK(flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
	*channel = (struct channel){ .loop = loop, .fd = fd, .frame_fn = frame_fn,
		.closed_fn = closed_fn, .ctx = ctx };
	buf_init(&channel->in, CHANNEL_IN_MAX);
	buf_init(&channel->out, 0);
	loop_fd_open(&channel->watch, loop, fd, LOOP_READ, channel_ready, channel);
}

void
channel_refuse_fds(struct channel *channel)
{
	channel->refuses_fds = true;
}

bool
channel_is_open(const struct channel *channel)
{
	return channel->loop != NULL && !channel->is_failed;
}

bool
channel_is_closed(const struct channel *channel)
{
	return channel->loop == NULL;
}

const char *
channel_fault(const struct channel *channel)
{
	return channel->fault;
}

void
channel_close(struct channel *channel)
{
	if (channel->loop == NULL)
		return;
	if (channel->gone != NULL)
		*channel->gone = true;
	loop_fd_close(&channel->watch);
	if (channel->is_dirty)
		TAILQ_REMOVE(&channel_dirty, channel, dirty_link);
	for (int i = 0; i < channel->in_fd_count; i++)
		(void)close(channel->in_fds[i]);
	channel_drop_out(channel);
	mem_free(channel->out_fds);
	buf_done(&channel->in);
	buf_done(&channel->out);
	(void)close(channel->fd);
	*channel = (struct channel){ .fd = -1 };
}

/* How many can wait is bounded by what the process may hold open. */
static void
channel_put_fd(struct channel *channel, int fd)
{
	if (channel->out_fd_count == channel->out_fd_cap) {
		channel->out_fd_cap =
			channel->out_fd_cap > 0 ? 2 * channel->out_fd_cap : CHANNEL_FDS_START;
		channel->out_fds = mem_resize(channel->out_fds, (size_t)channel->out_fd_cap,
			sizeof(channel->out_fds[0]));
	}
	channel->out_fds[channel->out_fd_count++] = (struct channel_fd){ channel->out.len, fd };
}

void
channel_send_fd(struct channel *channel, enum ipc_type type, const void *message, int fd)
{
	if (!channel_is_open(channel) || channel->is_deaf)
		return;
	if (fd >= 0) {
		int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

		if (copy < 0) {
			channel_fail(channel, "out of descriptors");
			return;
		}
		channel_put_fd(channel, copy);
	}
	ipc_encode(&channel->out, type, fd >= 0, message);
	if (channel->out.len - channel->out_start > CHANNEL_PENDING_MAX)
		channel_fail(channel, "it leaves too much unread");
	channel_mark_dirty(channel);
}

void
channel_send(struct channel *channel, enum ipc_type type, const void *message)
{
	channel_send_fd(channel, type, message, -1);
}

size_t
channel_pending(const struct channel *channel)
{
	return channel->out.len - channel->out_start;
}

void
channel_pause(struct channel *channel, bool paused)
{
	if (!channel_is_open(channel) || channel->is_paused == paused)
		return;
	channel->is_paused = paused;
	loop_fd_want(&channel->watch,
		(paused ? 0 : LOOP_READ) | (channel->watch.wanted & LOOP_WRITE));
	if (!paused)
		(void)channel_parse(channel);
}

/* Sends up to the next descriptor, and that descriptor with the first byte of its frame. */
static ssize_t
channel_transmit(struct channel *channel)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	size_t start = channel->out_start, end = channel->out.len;
	struct iovec iov;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	bool with_fd = channel->out_fd_count > 0 && channel->out_fds[0].at == start;

	if (with_fd) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.align), &channel->out_fds[0].fd, sizeof(int));
	}
	if (channel->out_fd_count > (with_fd ? 1 : 0))
		end = channel->out_fds[with_fd ? 1 : 0].at;
	iov.iov_base = channel->out.ptr + start;
	iov.iov_len = end - start;
	ssize_t sent = sendmsg(channel->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent > 0 && with_fd) {
		(void)close(channel->out_fds[0].fd);
		channel->out_fd_count--;
		memmove(channel->out_fds, channel->out_fds + 1,
			(size_t)channel->out_fd_count * sizeof(channel->out_fds[0]));
	}
	return sent;
}

/* What was sent makes room once it is the larger part, so a reader that never quite catches up
 * costs no more memory than what it has not read. */
static void
channel_compact(struct channel *channel)
{
	size_t sent = channel->out_start;

	if (sent < channel->out.len - sent)
		return;
	buf_consume(&channel->out, sent);
	channel->out_start = 0;
	for (int i = 0; i < channel->out_fd_count; i++)
		channel->out_fds[i].at -= sent;
}

static void
channel_flush(struct channel *channel)
{
	while (channel->out_start < channel->out.len) {
		ssize_t sent = channel_transmit(channel);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			loop_fd_want(&channel->watch, channel->watch.wanted | LOOP_WRITE);
			channel_compact(channel);
			return;
		}
		if (sent <= 0) {
			channel_become_deaf(channel);
			return;
		}
		channel->out_start += (size_t)sent;
	}
	buf_clear(&channel->out);
	channel->out_start = 0;
}

void
channel_flush_all(void *ctx)
{
	struct channel *channel;

	(void)ctx;
	while ((channel = TAILQ_FIRST(&channel_dirty)) != NULL) {
		TAILQ_REMOVE(&channel_dirty, channel, dirty_link);
		channel->is_dirty = false;
		if (channel->is_failed) {
			channel->closed_fn(channel->ctx);
			continue;
		}
		channel_flush(channel);
	}
}

/* Reads exactly len bytes; a descriptor that comes along lands in *fd. */
static enum err
channel_read_exact(int fd, uint8_t *to, size_t len, int *passed)
{
	while (len > 0) {
		union {
			struct cmsghdr align;
			char bytes[CMSG_SPACE(sizeof(int))];
		} control;
		struct iovec iov = { to, len };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			.msg_controllen = sizeof(control) };
		ssize_t got = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
		struct cmsghdr *c;

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got == 0 ? ERR_CLOSED : ERR_IO;
		c = CMSG_FIRSTHDR(&msg);
		if (c != NULL && c->cmsg_type == SCM_RIGHTS && *passed < 0)
			memcpy(passed, CMSG_DATA(c), sizeof(int));
		to += got;
		len -= (size_t)got;
	}
	return ERR_OK;
}

enum err
channel_read_blocking(
	int fd, struct buf *frame, uint16_t *ret_type, struct slice *ret_payload, int *ret_fd)
{
	uint8_t head[IPC_HEADER_SIZE];
	uint32_t len;
	int passed = -1;
	enum err err = channel_read_exact(fd, head, sizeof(head), &passed);

	if (err < 0)
		return err;
	len = wire_load_u32(head);
	buf_clear(frame);
	if (!channel_header_valid(head) || buf_reserve(frame, len) < 0)
		err = ERR_SYNTAX;
	else
		err = channel_read_exact(fd, frame->ptr, len, &passed);
	if (err == ERR_OK && (head[6] == 1) != (passed >= 0))
		err = ERR_SYNTAX;
	if (err < 0) {
		if (passed >= 0)
			(void)close(passed);
		return err;
	}
	frame->len = len;
	*ret_type = wire_load_u16(head + 4);
	*ret_payload = buf_slice(frame);
	*ret_fd = passed;
	return ERR_OK;
}
