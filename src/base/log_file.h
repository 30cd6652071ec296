/*
 * log_file.h - the log of a process: lines with Postfix's prefix, sent to the one that writes them
 *
 * Lines gather in memory and are sent by log_file_flush(), which the loop calls at the end of each
 * turn, before frames that the lines precede are sent: all processes share one socket that keeps
 * the order, so the lines of one message are in order across processes. Nobody waits for the log:
 * what the socket does not take stays in memory until the next flush, what does not fit
 * LOG_FILE_PENDING_MAX is counted and dropped, and the count is logged when there is room again.
 * The process that writes (src/log) keeps far more; so this happens only while it is away.
 *
 * Ownership: the struct is embedded; the descriptor is borrowed until log_file_reopen().
 * Threads:   the thread of its loop.
 */
#ifndef OSTLER_BASE_LOG_FILE_H
#define OSTLER_BASE_LOG_FILE_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"

enum {
	LOG_FILE_PENDING_MAX = 1 << 20,
	LOG_FILE_FACILITY_MAIL = 2,
	LOG_FILE_SEND_MAX = 32 << 10, /* of one datagram to the log process */
	LOG_FILE_LINE_MAX = LOG_LINE_MAX + 300, /* with everything in front of the text */
	LOG_FILE_RETRY_MS = 50, /* when to flush again what stayed */
};

#define LOG_FILE_SYSLOG_PATH "/dev/log"

/* How a line begins. */
enum log_file_style {
	LOG_FILE_PLAIN,  /* "Mmm dd hh:mm:ss host tag/service[pid]: text" + newline */
	LOG_FILE_SYSLOG, /* "<prio>Mmm dd hh:mm:ss tag/service[pid]: text" + newline */
};

struct log_file {
	struct log log; /* first: cores are given this */
	int fd;
	enum log_file_style style;
	uint8_t facility; /* of syslog(3), without the shift; mail, unless the owner sets another */
	char origin[200]; /* " host tag/service[pid]: " */
	struct buf pending;
	uint64_t dropped_count;
	uint64_t stamp_s; /* the second that stamp[] shows */
	char stamp[24];
	bool debug; /* LOG_DEBUG lines too */
};

/* Lines name `host`, `tag` (syslog_name), `service` and the process's own id. */
void log_file_init(struct log_file *file, int fd, enum log_file_style style, const char *host,
	const char *tag, const char *service);

/* Changes the descriptor; the caller closes the old one. */
void log_file_reopen(struct log_file *file, int fd);

/* Sends what is pending, as far as the descriptor takes it; true: all. */
bool log_file_flush(struct log_file *file);

/* How many bytes of `lines` are whole lines, at most `max`; the first counts in any case. */
size_t log_file_whole(struct slice lines, size_t max);

/* Makes check_failed() and die() report through this log, once per process. */
void log_file_own_checks(struct log_file *file);

#endif
