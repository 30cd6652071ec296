/*
 * flush_log.h - how long the last flushes took and what was in them, for status and metrics (core)
 *
 * A ring of the newest FLUSH_LOG_MAX flushes: percentiles of counters since the start would say
 * nothing of a disk that became slow a minute ago.
 *
 * Ownership: embedded in the journal, all zero at first. Threads: one.
 */
#ifndef OSTLER_STORE_FLUSH_LOG_H
#define OSTLER_STORE_FLUSH_LOG_H

#include <stdint.h>

enum { FLUSH_LOG_MAX = 1024 };

struct flush_log {
	uint64_t count; /* since the start */
	struct flush {
		uint32_t us;
		uint32_t transactions;
		uint32_t bytes;
	} ring[FLUSH_LOG_MAX];
};

/* Of the flushes in the ring; all 0 where there was none. */
struct flush_summary {
	uint64_t p50_us, p99_us, max_us;
	double transactions; /* in a batch, the mean */
	double bytes;        /* with padding, the mean */
};

/* `ns`: from the write to the end of its flush. */
void flush_log_add(struct flush_log *log, uint64_t ns, uint32_t transactions, uint64_t bytes);
void flush_log_get(const struct flush_log *log, struct flush_summary *ret_summary);

#endif
