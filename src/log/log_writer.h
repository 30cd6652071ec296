/*
 * log_writer.h - lines on their way into the log, which may be slow
 *
 * A thread does all writing, so whoever puts lines never waits: a FIFO without a reader, a terminal
 * after Ctrl-S, a disk that takes seconds, a syslog daemon that is being replaced. What cannot be
 * written at once is kept, in order, up to LOG_WRITER_KEPT_MAX bytes; what comes while that is
 * full is lost and counted, in whole lines. A write that fails is tried again a little later
 * (LOG_WRITER_RETRY_MS).
 *
 * Ownership: descriptors given become the writer's own.
 * Threads:   made and used by one thread; `drained` is called by the writer's.
 */
#ifndef OSTLER_LOG_LOG_WRITER_H
#define OSTLER_LOG_LOG_WRITER_H

#include "base/log_file.h"

enum { LOG_WRITER_KEPT_MAX = 16 << 20, LOG_WRITER_RETRY_MS = 250 };

struct log_writer;

typedef void log_writer_drained_fn(void *ctx);

/* `drained`: all is written that was put, and lines had been lost (see log_writer_take_lost). */
struct log_writer *log_writer_new(
	int fd, enum log_file_style style, log_writer_drained_fn *drained, void *ctx);

/* Whole lines, each with its newline. */
void log_writer_put(struct log_writer *writer, struct slice lines);

/* Writes there from now on. */
void log_writer_set_fd(struct log_writer *writer, int fd);

/* How many lines were lost since the last call; 0 as long as kept ones still wait. */
uint64_t log_writer_take_lost(struct log_writer *writer);

/*
 * Waits until all is written, at most `wait_ns`; true: it is. A writer that hangs in a write is
 * left to the end of the process.
 */
bool log_writer_finish(struct log_writer *writer, uint64_t wait_ns);

#endif
