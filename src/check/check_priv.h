/*
 * check_priv.h - what the files of a check share (check only)
 */
#ifndef OSTLER_CHECK_CHECK_PRIV_H
#define OSTLER_CHECK_CHECK_PRIV_H

#include "check/check.h"
#include "check/check_disk.h"
#include "check/finding.h"
#include "store/store.h"

enum { CHECK_NAME = 24 };

/* A file with a header. */
struct check_found {
	char name[CHECK_NAME];
	uint32_t slot;
	uint64_t file_size;
	struct segment_header header;
};

/* A number of a file under large/ that a message owns. */
struct check_large {
	uint64_t number;
	UT_hash_handle hh;
};

struct check {
	struct cli *cli;
	bool repairs;
	bool as_json;
	int journal_fd, large_fd, corrupt_fd;
	struct findings findings;
	struct check_found *found; /* sorted by base */
	size_t found_count;
	/* The store. */
	struct disk_file *file;
	struct check_disk disk;
	struct store *store;
	int wake_fd;
	bool is_open, is_complete, has_failed;
	struct fault fault;
	uint64_t first;	      /* of what was in force when it was opened */
	uint64_t clean_below; /* repair: what lies below must be copied elsewhere */
	/* Messages. */
	store_ref next;
	unsigned loading;
	bool has_all; /* none is left to begin with */
	uint64_t message_count, message_bytes;
	char where[FINDING_TEXT]; /* content of its own is damaged */
	struct check_large *larges;
	uint64_t shown_ns, started_ns;
	/* Repair: nothing has been written since then. */
	uint64_t stuck_ns, stuck_flushes;
};

/* check_files.c: before the store is opened. EX_OK, or why nothing can be checked. */
MUST_USE int check_files_begin(struct check *check);
void check_files_done(struct check *check);
/* After it: segments in force, checkpoints, large/. */
void check_files_end(struct check *check);
/* File and offset of a place in the journal; false: in none that is known. */
bool check_place(const struct check *check, uint64_t lsn, char name[FINDING_FILE],
	uint64_t *ret_offset);

/* check_message.c: reads all messages, some at a time; true when all were. */
bool check_messages(struct check *check);

void check_progress(struct check *check, const char *what, uint64_t done, uint64_t all);

#endif
