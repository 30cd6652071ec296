/*
 * disk_direct.h - writes past the page cache
 *
 * The copy into the page cache costs more than the checksums of a batch, nobody reads these bytes
 * for a while, and a flush that waits for the write-back of many pages has a long tail. What cannot
 * go this way is left to the caller, to be written as usual: all of it where the file system has no
 * such thing, the rest of a write that was cut short.
 *
 * Ownership: a descriptor is the struct's; the directory is borrowed.
 * Threads:   the caller sees to it that one at a time uses the struct.
 */
#ifndef OSTLER_STORE_DISK_DIRECT_H
#define OSTLER_STORE_DISK_DIRECT_H

#include "base/slice.h"

#define DISK_DIRECT_NO_SLOT UINT32_MAX

/* The descriptor of one file, that of a slot. */
struct disk_direct {
	uint32_t slot; /* DISK_DIRECT_NO_SLOT: none */
	int fd;        /* -1: it cannot be opened so */
};

void disk_direct_init(struct disk_direct *direct);
void disk_direct_close(struct disk_direct *direct);

/* The slot's descriptor, opened if it is that of another one; -1: there is none. */
int disk_direct_open(struct disk_direct *direct, int dir, const char *name, uint32_t slot);

/* Whether bytes and offset lie at multiples of DISK_ALIGN. */
bool disk_direct_is_possible(struct slice bytes, uint64_t offset);

/*
 * Writes what it can and takes it off `bytes`, on from `offset`. 0 or an errno. fd -1: nothing is
 * written, and that is no error. None of it is flushed.
 */
int disk_direct_write(int fd, struct slice *bytes, uint64_t *offset);

#endif
