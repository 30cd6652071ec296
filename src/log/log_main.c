/*
 * log_main.c - see log_main.h
 *
 * The role's own log (role->log) has the file itself as its descriptor; its lines are taken over
 * before the role would write them, so that they stand among the others'.
 */
#include "log/log_main.h"

#include "base/check.h"
#include "base/mem.h"
#include "log/log_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

/* At the end nobody waits longer than this for a log that takes nothing (master: a little more). */
#define LOG_FINISH_NS (500 * NS_PER_MS)

/*
 * After a look at the socket this process sleeps for a moment, whatever comes: one wake-up and one
 * write for many lines (measured under load: 90 us per message of all processes instead of 99).
 */
#define LOG_PAUSE_NS (5 * NS_PER_MS)

enum { DATAGRAMS_PER_TURN = 4096 };

struct log_main {
	struct role *role;
	struct loop_fd watch;
	struct loop_timer pause;
	struct loop_hook hook;
	struct log_writer *writer;
	int sink; /* the role's descriptor of which the writer has a copy */
	uint8_t lines[LOG_FILE_SEND_MAX];
};

static int
copy_of(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		die(EX_OSERR, "dup: %s", err_meaning(ERR_IO));
	return copy;
}

/* An empty datagram of a broken role reads like an end. */
static bool
is_over(struct log_main *log)
{
	struct pollfd state = { .fd = log->watch.fd, .events = POLLIN | POLLRDHUP };

	return poll(&state, 1, 0) > 0 && (state.revents & (POLLHUP | POLLRDHUP)) != 0;
}

/* Whatever a broken role sends, the next line begins on a new one. */
static void
put(struct log_main *log, size_t len)
{
	if (log->lines[len - 1] != '\n') {
		len = len < sizeof(log->lines) ? len + 1 : len;
		log->lines[len - 1] = '\n';
	}
	log_writer_put(log->writer, slice_make(log->lines, len));
}

/* The last sender is gone. */
static void
end(struct log_main *log)
{
	loop_timer_clear(&log->pause);
	loop_fd_close(&log->watch);
	(void)log_writer_finish(log->writer, LOG_FINISH_NS);
	role_exit(log->role, EX_OK);
}

static void
readable(void *ctx, int ready)
{
	struct log_main *log = ctx;

	(void)ready;
	loop_fd_want(&log->watch, 0);
	loop_timer_set_ns(&log->pause, LOG_PAUSE_NS);
	for (int i = 0; i < DATAGRAMS_PER_TURN; i++) {
		ssize_t len = recv(
			log->watch.fd, log->lines, sizeof(log->lines), MSG_DONTWAIT);

		if (len < 0)
			return;
		if (len == 0 && is_over(log)) {
			end(log);
			return;
		}
		if (len > 0)
			put(log, (size_t)len);
	}
}

static void
pause_over(void *ctx)
{
	struct log_main *log = ctx;

	loop_fd_want(&log->watch, LOOP_READ);
}

static void
drained(void *ctx)
{
	struct log_main *log = ctx;

	loop_wake(log->role->loop);
}

static void
turn(void *ctx)
{
	struct log_main *log = ctx;
	struct log_file *own = &log->role->log;
	uint64_t lost = log_writer_take_lost(log->writer);

	if (own->fd != log->sink) {
		log->sink = own->fd;
		log_writer_set_fd(log->writer, copy_of(own->fd));
	}
	if (lost > 0)
		log_event(&own->log, EV_log_dropped, LOG_U(lost));
	log_writer_put(log->writer, buf_slice(&own->pending));
	buf_clear(&own->pending);
}

/* Without master the others still end what they have under way. */
static void
master_down(struct role *role)
{
	(void)role;
}

static const struct role_callbacks callbacks = { .master_down = master_down };

int
log_main(struct role *role)
{
	struct log_main *log = MEM_NEW(struct log_main);

	log->role = role;
	role->ctx = log;
	log->sink = role->log.fd;
	if (role->log_source_fd < 0)
		die(EX_SOFTWARE, "no socket to read lines from");
	log->writer = log_writer_new(copy_of(log->sink), role->log.style, drained, log);
	loop_fd_open(&log->watch, role->loop, role->log_source_fd, LOOP_READ, readable, log);
	loop_timer_init(&log->pause, role->loop, pause_over, log);
	role_hook_add(role, &log->hook, turn, log);
	return role_run(role, &callbacks);
}
