/*
 * disk.h - all input and output of the store, as one small asynchronous interface
 *
 * The store's cores submit operations and get completions; they never see a descriptor.
 * Production is disk_file.h (threads), the simulation is tests/sim/disk_sim.h (a disk that loses
 * what was not flushed). Segments are named by slot number, other files by area and a
 * short name.
 *
 * Completion: exactly once per submitted operation, on the core's thread, never inside submit().
 * Ownership:  the operation and the bytes it points to belong to the submitter and must stay
 *             until the completion; operations are embedded in what waits for them.
 * Memory:     a WRITE whose bytes and offset lie at multiples of DISK_ALIGN goes to the device as
 *             it lies, past the page cache, where the file system can.
 * Order:      writer operations (WRITE, with or without flush) run one at a time in order of
 *             submission; the others run in any order beside them.
 * Errors:     err is ERR_OK, ERR_NOSPACE, ERR_NOTFOUND or ERR_IO with sys_errno.
 */
#ifndef OSTLER_STORE_DISK_H
#define OSTLER_STORE_DISK_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#include <stdatomic.h>

enum disk_op_kind {
	DISK_LIST,    /* out: list = u32 slot, u64 size of each segment file, as base/wire */
	/* make slot a zeroed file of `length` bytes (0: an empty one); file and directory are
	 * synced */
	DISK_PREPARE,
	/* slot is zeroed in place, its first block last and on its own; then as after PREPARE */
	DISK_ZERO,
	DISK_WRITE,   /* bytes at offset of slot, which may grow; then fdatasync if `flush` */
	DISK_READ,    /* out: list = `length` bytes from offset (fewer at the end of the file) */
	DISK_SYNC,    /* fsync slot: what the page cache holds becomes stable or the op fails */
	DISK_REMOVE,  /* unlink slot and sync the directory */
	DISK_SPACE,   /* out: length = bytes that are free for the journal's files */
	/* keep bytes as corrupt/NAME, whole and synced; an existing file of that name stays */
	DISK_SAVE,
	DISK_RETIRE, /* rename slot to bad-SLOT, which no recovery reads, and sync the directory */
	/* Files of an area: one operation at a time for each. */
	DISK_FILE_APPEND, /* bytes at offset of NAME.tmp, made if it is not there */
	DISK_FILE_FINISH, /* NAME.tmp is synced, becomes NAME, and the directory is synced */
	DISK_FILE_REMOVE, /* unlink NAME and sync the directory */
	DISK_FILE_KEEP,   /* NAME becomes corrupt/large-NAME; both directories are synced */
	DISK_FILE_LIST,   /* out: list = names in the area, each as bytes of base/wire */
	DISK_FILE_READ,   /* out: list = at most `length` bytes from `offset` of NAME */
};

struct disk_op;
typedef void disk_done_fn(void *ctx, struct disk_op *op);

enum disk_area {
	DISK_AREA_LARGE, /* large/: content of its own */
	DISK_AREA_INDEX, /* journal/index-NAME: checkpoints; names are without the prefix */
};

enum { DISK_NAME_SIZE = 64, DISK_ALIGN = 4096 };
#define DISK_TEMPORARY ".tmp"

struct disk_op {
	enum disk_op_kind kind;
	enum disk_area area;
	uint32_t slot;
	uint64_t offset;
	uint64_t length;
	bool flush;
	/* PREPARE, ZERO, READ: nobody waits for it, writes to the journal go first. Its submitter
	 * may clear it while the operation is under way. */
	atomic_bool calm;
	bool direct; /* READ: past the page cache, which shows bytes that a failed flush lost */
	struct slice bytes;
	char name[DISK_NAME_SIZE];
	struct buf list; /* owned by the submitter: buf_init before, buf_done after */
	disk_done_fn *done;
	void *ctx;
	enum err err; /* of the completion */
	int sys_errno;
	struct disk_op *next; /* for whoever holds the operation */
};

struct disk {
	void (*submit)(struct disk *disk, struct disk_op *op);
};

static inline void
disk_submit(struct disk *disk, struct disk_op *op)
{
	disk->submit(disk, op);
}

#endif
