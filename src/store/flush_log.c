/*
 * flush_log.c - see flush_log.h
 */
#include "store/flush_log.h"

#include "base/num.h"

#include <stdlib.h>

void
flush_log_add(struct flush_log *log, uint64_t ns, uint32_t transactions, uint64_t bytes)
{
	log->ring[log->count++ % FLUSH_LOG_MAX] = (struct flush) {
		.us = (uint32_t)num_min_u64(ns / 1000, UINT32_MAX),
		.transactions = transactions,
		.bytes = (uint32_t)num_min_u64(bytes, UINT32_MAX),
	};
}

static int
flush_compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* The least value that so many of a hundred do not exceed. */
static uint32_t
flush_percentile(const uint32_t *sorted, uint64_t count, uint64_t percent)
{
	return sorted[(count * percent + 99) / 100 - 1];
}

void
flush_log_get(const struct flush_log *log, struct flush_summary *ret_summary)
{
	uint64_t count = num_min_u64(log->count, FLUSH_LOG_MAX);
	uint64_t transactions = 0, bytes = 0;
	uint32_t us[FLUSH_LOG_MAX];

	*ret_summary = (struct flush_summary) { 0 };
	if (count == 0)
		return;
	for (uint64_t i = 0; i < count; i++) {
		us[i] = log->ring[i].us;
		transactions += log->ring[i].transactions;
		bytes += log->ring[i].bytes;
	}
	qsort(us, count, sizeof(us[0]), flush_compare);
	ret_summary->p50_us = flush_percentile(us, count, 50);
	ret_summary->p99_us = flush_percentile(us, count, 99);
	ret_summary->max_us = us[count - 1];
	ret_summary->transactions = (double)transactions / (double)count;
	ret_summary->bytes = (double)bytes / (double)count;
}
