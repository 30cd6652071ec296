/*
 * log_file.h - the log of a role process: lines with Postfix's prefix into one descriptor
 *
 * Lines gather in memory and are written with one write() by log_file_flush(), which the loop
 * calls at the end of each turn, before frames that the lines precede are sent, and at the latest
 * after 50 ms. A log that blocks or fails never blocks mail: what does not fit
 * LOG_FILE_PENDING_MAX is counted and dropped, and the count is logged when the log works again.
 *
 * Ownership: the struct is embedded; the descriptor is borrowed until log_file_reopen() or done.
 * Threads:   the thread of its loop.
 */
#ifndef OSTLER_BASE_LOG_FILE_H
#define OSTLER_BASE_LOG_FILE_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"

enum { LOG_FILE_PENDING_MAX = 1 << 20, LOG_FILE_FACILITY_MAIL = 2 };

/* How a line begins. */
enum log_file_style {
	LOG_FILE_PLAIN,  /* "Mmm dd hh:mm:ss host tag/service[pid]: text" + newline */
	LOG_FILE_SYSLOG, /* "<prio>Mmm dd hh:mm:ss tag/service[pid]: text", one datagram per line */
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
void log_file_done(struct log_file *file);

/* Changes the descriptor; the caller closes the old one. */
void log_file_reopen(struct log_file *file, int fd);

/* Writes what is pending, as far as the descriptor takes it. */
void log_file_flush(struct log_file *file);

/* Makes check_failed() and die() report through this log, once per process. */
void log_file_own_checks(struct log_file *file);

#endif
