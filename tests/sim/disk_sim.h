/*
 * disk_sim.h - a disk that behaves as badly as real ones, from a seed (implements store/disk.h)
 *
 * Every file has two contents: what the page cache shows and what is stable. A write changes the first
 * only; a flush copies dirty blocks over. Process death keeps the cache and leaves what was under way done
 * in part: blocks of a write, a file of any length that was to be prepared or removed, a rename or not. Power
 * loss keeps, drops or tears each dirty block; what a block held before comes back, be it of the
 * segment's former life. A flush that fails drops the dirty marks but leaves the bytes readable, as Linux
 * does: only a restart of the machine, or a direct read, shows the loss.
 *
 * Faults that real disks hide (`lies`): a durable block is not written, is written elsewhere, or loses a bit
 * later. The store cannot prevent what they destroy, it must notice it.
 *
 * Segments may also grow as they are written. Then their length is what was flushed, or more, and the disk
 * may have an end, which others move.
 *
 * Files of areas: what is appended is lost or kept in part by power loss; what was finished stays.
 *
 * Ownership: operations stay their submitter's; disk_sim_die() forgets them all without completion.
 */
#ifndef OSTLER_TESTS_SIM_DISK_SIM_H
#define OSTLER_TESTS_SIM_DISK_SIM_H

#include "base/rand.h"
#include "store/disk.h"

enum { DISK_SIM_BLOCK = 4096, DISK_SIM_SECTOR = 512, DISK_SIM_SLOTS = 256, DISK_SIM_QUEUE = 256 };

struct disk_sim_file {
	bool exists;
	uint64_t size;        /* as the page cache shows it */
	uint64_t stable_size; /* at least so long after a power loss */
	uint8_t *cache;
	uint8_t *stable;
	uint8_t *dirty; /* a flag per block */
};

enum { DISK_SIM_NAMED = 128 };

/* A file of an area. */
struct disk_sim_named {
	enum disk_area area;
	char name[DISK_NAME_SIZE]; /* empty: free */
	bool stable;               /* finished, name and bytes survive */
	struct buf bytes;
};

struct disk_sim {
	struct disk disk; /* first */
	struct rng rng;
	struct disk_sim_file files[DISK_SIM_SLOTS];
	struct disk_sim_named named[DISK_SIM_NAMED];
	struct disk_op *queue[DISK_SIM_QUEUE];
	size_t queued;
	uint64_t flush_fails_one_in;   /* 0: never */
	uint64_t prepare_fails_one_in; /* 0: never */
	uint64_t read_fails_one_in;    /* 0: never; reads without `direct` */
	uint64_t lies_one_in;          /* 0: never; of the blocks that are flushed */
	uint64_t capacity;             /* bytes of all files; 0: no end */
	uint64_t foreign;              /* of them, what others have taken */
	uint64_t full_count;           /* writes to segments that found no room */
	uint64_t lies;                 /* told so far */
	uint64_t flushes_since_lie;    /* two later ones prove that something had been there */
	uint64_t mail_removed;         /* segment files that went with content of a message in them */
	uint64_t saved_count;          /* DISK_SAVE operations, without the following */
	char tail_name[DISK_NAME_SIZE]; /* of the last one of bytes behind the journal's end */
	uint8_t tail_block[DISK_SIM_BLOCK]; /* its first bytes */
};

void disk_sim_init(struct disk_sim *sim, uint64_t seed);
void disk_sim_done(struct disk_sim *sim);

/* Completes one of the waiting operations; false: there is none. */
bool disk_sim_step(struct disk_sim *sim);

/* The process dies: waiting operations are forgotten, a waiting write may be done in part. */
void disk_sim_die(struct disk_sim *sim);

/* The power fails too: what was not flushed is kept, lost or torn, block by block. Call after die. */
void disk_sim_lose_power(struct disk_sim *sim);

/* The write under way, and whether it was left in part: its first block is there, others are not. */
const struct disk_op *disk_sim_writing(const struct disk_sim *sim);
bool disk_sim_is_torn(
	struct disk_sim *sim, uint32_t slot, uint64_t offset, struct slice bytes);

/* Bytes that can still be written; UINT64_MAX: no end. */
uint64_t disk_sim_free(const struct disk_sim *sim);

/* How many files there are under large/. */
size_t disk_sim_large_count(const struct disk_sim *sim);

/* Flips one bit somewhere in what is stable; false: there is nothing. */
bool disk_sim_rot(struct disk_sim *sim);

/* Flips one bit in the stable and cached bytes of a slot. */
void disk_sim_damage(struct disk_sim *sim, uint32_t slot, uint64_t offset);

#endif
