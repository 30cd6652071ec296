/*
 * log_writer.c - see log_writer.h
 *
 * Two buffers: lines are put into `kept`; the thread takes it whole, leaving the other one, and
 * writes without the lock. Both together hold at most LOG_WRITER_KEPT_MAX.
 */
#include "log/log_writer.h"

#include "base/check.h"
#include "base/mem.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* A pipe that is writable takes this much without waiting (PIPE_BUF); more than any line has. */
enum { PIECE_MAX = 4096, OWN_MEMORY_MAX = 1 << 20, FINISH_STEP_MS = 5 };

_Static_assert((int)LOG_FILE_LINE_MAX <= (int)PIECE_MAX, "a piece is at least one line");

struct log_writer {
	log_writer_drained_fn *drained;
	void *ctx;
	enum log_file_style style;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t ready;
	/* Under the lock. */
	struct buf kept;
	size_t taken; /* bytes that the thread is writing */
	uint64_t lost_count;
	int next_fd; /* -1: none */
	/* The thread's own. */
	int fd;
	bool is_file; /* poll() says nothing about it: written in one piece */
};

/* --- the thread ------------------------------------------------------------------------------- */

static void
writer_switch(struct log_writer *writer)
{
	struct stat status;
	int next;

	(void)pthread_mutex_lock(&writer->lock);
	next = writer->next_fd;
	writer->next_fd = -1;
	(void)pthread_mutex_unlock(&writer->lock);
	if (next < 0)
		return;
	if (writer->fd >= 0)
		(void)close(writer->fd);
	writer->fd = next;
	writer->is_file = fstat(next, &status) == 0 && S_ISREG(status.st_mode);
}

static void
writer_pause(long wait_ms)
{
	struct timespec wait = { 0, wait_ms * 1000000L };

	(void)nanosleep(&wait, NULL);
}

/* Not connected any more: a new daemon listens under the old name. */
static ssize_t
writer_send_anew(int fd, struct slice line)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = LOG_FILE_SYSLOG_PATH };

	return sendto(fd, line.ptr, line.len, MSG_DONTWAIT | MSG_NOSIGNAL,
		(struct sockaddr *)&address, sizeof(address));
}

/* One datagram per line. A line that is too long for the daemon is skipped. */
static ssize_t
writer_send(struct log_writer *writer, struct slice rest)
{
	struct slice line = slice_make(rest.ptr, slice_find(rest, '\n'));
	ssize_t got = send(writer->fd, line.ptr, line.len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (got < 0 && (errno == ECONNREFUSED || errno == ENOTCONN || errno == ECONNRESET))
		got = writer_send_anew(writer->fd, line);
	return got < 0 && errno != EMSGSIZE ? got : (ssize_t)line.len + 1;
}

/* Some of what is left; 0: none for now. Waits for room in a way that a switch can end. */
static size_t
writer_write(struct log_writer *writer, struct slice rest)
{
	struct pollfd room = { .fd = writer->fd, .events = POLLOUT };
	ssize_t got;

	writer_switch(writer);
	room.fd = writer->fd;
	if (!writer->is_file && poll(&room, 1, LOG_WRITER_RETRY_MS) <= 0)
		return 0;
	if (writer->style == LOG_FILE_SYSLOG)
		got = writer_send(writer, rest);
	else
		got = write(writer->fd, rest.ptr,
			writer->is_file ? rest.len : log_file_whole(rest, PIECE_MAX));
	if (got > 0)
		return (size_t)got;
	if (got == 0 || errno != EINTR)
		writer_pause(LOG_WRITER_RETRY_MS);
	return 0;
}

static void
writer_write_all(struct log_writer *writer, struct slice rest)
{
	while (rest.len > 0) {
		size_t got = writer_write(writer, rest);

		rest = slice_from(rest, got);
		if (got == 0)
			continue;
		(void)pthread_mutex_lock(&writer->lock);
		writer->taken = rest.len;
		(void)pthread_mutex_unlock(&writer->lock);
	}
}

static void *
writer_thread(void *ctx)
{
	struct log_writer *writer = ctx;
	struct buf own, swapped;
	bool has_lost;

	buf_init(&own, LOG_WRITER_KEPT_MAX);
	(void)pthread_mutex_lock(&writer->lock);
	for (;;) {
		while (writer->kept.len == 0)
			(void)pthread_cond_wait(&writer->ready, &writer->lock);
		swapped = writer->kept;
		writer->kept = own;
		own = swapped;
		writer->taken = own.len;
		(void)pthread_mutex_unlock(&writer->lock);
		writer_write_all(writer, buf_slice(&own));
		buf_clear(&own);
		if (own.cap > OWN_MEMORY_MAX)
			buf_done(&own);
		(void)pthread_mutex_lock(&writer->lock);
		has_lost = writer->kept.len == 0 && writer->lost_count > 0;
		(void)pthread_mutex_unlock(&writer->lock);
		if (has_lost)
			writer->drained(writer->ctx);
		(void)pthread_mutex_lock(&writer->lock);
	}
	return NULL;
}

/* --- the others ------------------------------------------------------------------------------- */

struct log_writer *
log_writer_new(int fd, enum log_file_style style, log_writer_drained_fn *drained, void *ctx)
{
	struct log_writer *writer = MEM_NEW(struct log_writer);

	writer->drained = drained;
	writer->ctx = ctx;
	writer->style = style;
	writer->fd = -1;
	writer->next_fd = fd;
	buf_init(&writer->kept, LOG_WRITER_KEPT_MAX);
	CHECK(pthread_mutex_init(&writer->lock, NULL) == 0);
	CHECK(pthread_cond_init(&writer->ready, NULL) == 0);
	CHECK(pthread_create(&writer->thread, NULL, writer_thread, writer) == 0);
	return writer;
}

static uint64_t
count_lines(struct slice lines)
{
	uint64_t count = 0;

	for (size_t i = 0; i < lines.len; i++)
		count += lines.ptr[i] == '\n';
	return count;
}

void
log_writer_put(struct log_writer *writer, struct slice lines)
{
	if (lines.len == 0)
		return;
	(void)pthread_mutex_lock(&writer->lock);
	if (writer->taken + writer->kept.len + lines.len > LOG_WRITER_KEPT_MAX
		|| buf_append(&writer->kept, lines) != ERR_OK)
		writer->lost_count += count_lines(lines);
	(void)pthread_cond_signal(&writer->ready);
	(void)pthread_mutex_unlock(&writer->lock);
}

void
log_writer_set_fd(struct log_writer *writer, int fd)
{
	(void)pthread_mutex_lock(&writer->lock);
	if (writer->next_fd >= 0)
		(void)close(writer->next_fd);
	writer->next_fd = fd;
	(void)pthread_mutex_unlock(&writer->lock);
}

static bool
writer_is_empty(struct log_writer *writer)
{
	bool is_empty;

	(void)pthread_mutex_lock(&writer->lock);
	is_empty = writer->taken + writer->kept.len == 0;
	(void)pthread_mutex_unlock(&writer->lock);
	return is_empty;
}

uint64_t
log_writer_take_lost(struct log_writer *writer)
{
	uint64_t count;

	if (!writer_is_empty(writer))
		return 0;
	(void)pthread_mutex_lock(&writer->lock);
	count = writer->lost_count;
	writer->lost_count = 0;
	(void)pthread_mutex_unlock(&writer->lock);
	return count;
}

bool
log_writer_finish(struct log_writer *writer, uint64_t wait_ns)
{
	struct mono end = mono_add_ns(clock_read_mono(), wait_ns);

	while (!writer_is_empty(writer) && mono_since_ns(end, clock_read_mono()) > 0)
		writer_pause(FINISH_STEP_MS);
	return writer_is_empty(writer);
}
