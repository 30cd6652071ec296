/*
 * log_file.c - log lines of one process (see log_file.h)
 */
#include "base/log_file.h"

#include "base/check.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct log_file *log_file_of_checks;

static const char *
log_file_stamp(struct log_file *file)
{
	uint64_t now_s = wall_s(clock_read_wall());

	if (now_s != file->stamp_s) {
		time_t seconds = (time_t)now_s;
		struct tm tm;

		if (localtime_r(&seconds, &tm) == NULL
			|| strftime(file->stamp, sizeof(file->stamp), "%b %e %H:%M:%S", &tm) == 0)
			file->stamp[0] = '\0';
		file->stamp_s = now_s;
	}
	return file->stamp;
}

static int
log_file_priority(const struct log_file *file, enum log_level level)
{
	static const int severity[] = { 7, 6, 4, 3, 2, 2 };

	return (file->facility << 3) | severity[level];
}

static void
log_file_append(struct log_file *file, enum log_level level, struct slice text)
{
	struct buf *pending = &file->pending;
	const char *prefix = log_level_prefix(level), *stamp = log_file_stamp(file);

	if (pending->len + LOG_FILE_LINE_MAX > LOG_FILE_PENDING_MAX) {
		file->dropped_count++;
		return;
	}
	if (file->style == LOG_FILE_SYSLOG)
		buf_addf(pending, "<%d>", log_file_priority(file, level));
	buf_add_str(pending, stamp);
	buf_add_str(pending, file->origin);
	buf_add_str(pending, prefix);
	buf_add(pending, text);
	buf_add_str(pending, "\n");
}

static void
log_file_line(struct log *log, enum log_event_id id, enum log_level level, struct slice text)
{
	struct log_file *file = (struct log_file *)log;

	(void)id;
	if (level == LOG_DEBUG && !file->debug)
		return;
	log_file_append(file, level, text);
}

void
log_file_init(struct log_file *file, int fd, enum log_file_style style, const char *host,
	const char *tag, const char *service)
{
	*file = (struct log_file){ .log.line = log_file_line, .fd = fd, .style = style,
		.facility = LOG_FILE_FACILITY_MAIL };
	buf_init(&file->pending, LOG_FILE_PENDING_MAX);
	(void)snprintf(file->origin, sizeof(file->origin), "%s%.80s %.40s/%.40s[%ld]: ",
		style == LOG_FILE_SYSLOG ? "" : " ", style == LOG_FILE_SYSLOG ? "" : host, tag,
		service, (long)getpid());
}

void
log_file_reopen(struct log_file *file, int fd)
{
	(void)log_file_flush(file);
	file->fd = fd;
}

size_t
log_file_whole(struct slice lines, size_t max)
{
	size_t len = lines.len < max ? lines.len : max;

	while (len > 0 && lines.ptr[len - 1] != '\n')
		len--;
	if (len == 0)
		len = slice_find(lines, '\n') + 1;
	return len < lines.len ? len : lines.len;
}

/* The log process has the file itself, for its last words. */
static ssize_t
log_file_send(const struct log_file *file, struct slice lines)
{
	ssize_t got = send(file->fd, lines.ptr, lines.len, MSG_DONTWAIT | MSG_NOSIGNAL);

	return got < 0 && errno == ENOTSOCK ? write(file->fd, lines.ptr, lines.len) : got;
}

bool
log_file_flush(struct log_file *file)
{
	size_t done = 0;

	if (file->fd < 0)
		return true;
	while (done < file->pending.len) {
		struct slice rest = slice_from(buf_slice(&file->pending), done);
		size_t len = log_file_whole(rest, LOG_FILE_SEND_MAX);

		if (log_file_send(file, slice_make(rest.ptr, len)) < 0)
			break;
		done += len;
	}
	buf_consume(&file->pending, done);
	if (file->pending.len == 0 && file->dropped_count > 0) {
		uint64_t dropped = file->dropped_count;

		file->dropped_count = 0;
		log_event(&file->log, EV_log_dropped, LOG_U(dropped));
	}
	return file->pending.len == 0;
}

static void
log_file_report(const char *text)
{
	if (log_file_of_checks == NULL)
		return;
	log_file_append(log_file_of_checks, LOG_INFO, slice_str(text));
	(void)log_file_flush(log_file_of_checks);
}

void
log_file_own_checks(struct log_file *file)
{
	log_file_of_checks = file;
	check_report_set(log_file_report);
}
