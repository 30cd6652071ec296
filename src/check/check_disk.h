/*
 * check_disk.h - the store's disk as a check sees it: every change is told, and made only in repair
 *
 * Below it is the real disk. Without repair all that writes is done in memory (a segment that would
 * be written is a file without a name) or only said to be done, so the production store recovers
 * as it would and nothing is changed. With repair everything passes through. In both cases large/
 * looks empty to the store when it looks for orphans: those are the check's own business.
 *
 * Ownership: borrows the disk below. Threads: one; completions come from check_disk_poll() and
 *            from the disk below.
 */
#ifndef OSTLER_CHECK_CHECK_DISK_H
#define OSTLER_CHECK_CHECK_DISK_H

#include "store/disk.h"

#include <uthash.h>

/* SAVE, RETIRE and removals, before they are done. */
typedef void check_disk_change_fn(void *ctx, const struct disk_op *op);

struct check_disk_slot {
	uint32_t slot;
	int fd;
	UT_hash_handle hh;
};

struct check_disk {
	struct disk disk; /* first */
	struct disk *below;
	bool writes;
	check_disk_change_fn *change;
	void *ctx;
	struct check_disk_slot *slots; /* written to, in memory */
	struct disk_op *head, **tail;  /* done here */
	uint64_t read_bytes;
};

void check_disk_init(struct check_disk *disk, struct disk *below, bool writes,
	check_disk_change_fn *change, void *ctx);
void check_disk_done(struct check_disk *disk);

/* Completes what was done here; returns how many. */
unsigned check_disk_poll(struct check_disk *disk);
bool check_disk_is_due(const struct check_disk *disk);

#endif
