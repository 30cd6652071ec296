/*
 * disk_file.h - the real disk: files below three directories, written and read by threads
 *
 * One writer thread runs DISK_WRITE in order; one runs what takes long and nobody waits for (making
 * and removing files); DISK_FILE_POOL threads run everything else. All but the writer do what is
 * long in small pieces, and let the journal's writes that are under way go before the next piece.
 * When an operation is finished `wake` is called (from a thread); the owner then calls
 * disk_file_poll(), which runs the completions on the owner's thread. Only *at() calls on the given
 * descriptors are made.
 *
 * Files: journal/NNNNNNNN.seg; corrupt/NAME for DISK_SAVE; large/NAME and journal/index-NAME, with
 * .tmp behind the name while they are written.
 * Ownership: the directory descriptors are borrowed. disk_file_free() waits for what runs; nothing
 *            may be waiting by then that the owner still wants.
 * Limits:    DISK_FILE_SLOTS segment files, each with one open descriptor at the most.
 * Threads:   submit and poll on the owner's thread.
 */
#ifndef OSTLER_STORE_DISK_FILE_H
#define OSTLER_STORE_DISK_FILE_H

#include "store/disk.h"

enum { DISK_FILE_POOL = 2, DISK_FILE_SLOTS = 65536 };

struct disk_file;
typedef void disk_file_wake_fn(void *ctx);

struct disk_file *disk_file_new(
	int journal_dir, int corrupt_dir, int large_dir, disk_file_wake_fn *wake, void *ctx);
/* At a stop: new segments are not written in small pieces any more, so that they are done soon. */
void disk_file_hurry(struct disk_file *file);
void disk_file_free(struct disk_file *file);

/* To be given to the journal. */
struct disk *disk_file_disk(struct disk_file *file);

/* Runs the completions of what is finished; returns how many. */
unsigned disk_file_poll(struct disk_file *file);

#endif
