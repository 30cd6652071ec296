/*
 * corrupt_file.h - what a file corrupt/message-ID holds of a message that was lost (docs/store.md)
 *
 * A head of lines `Name: value`, an empty line, then bytes of the journal as they were found: the
 * MESSAGE record, and maybe STATE and RESULT records behind it. They are here because something
 * about them is wrong, so they are read with less care for checksums than the journal does, and it
 * is said what was right: a record whose checksum is wrong may still have its whole content, which
 * has one of its own.
 *
 * Ownership: slices point into the bytes. Errors: ERR_SYNTAX: no such file. Threads: pure.
 */
#ifndef OSTLER_CHECK_CORRUPT_FILE_H
#define OSTLER_CHECK_CORRUPT_FILE_H

#include "store/record.h"

enum { CORRUPT_FILE_RESULTS_MAX = 4096 };

struct corrupt_file {
	uint64_t queue_id;
	uint64_t arrival_us;
	struct slice reason, origin; /* may be empty */
	size_t bytes;		     /* of records */
	/* The MESSAGE, if its parts can be told apart. */
	bool has_message;
	bool is_verified; /* its checksum is right */
	bool is_whole;	  /* its content has the right checksum, or is large */
	struct record_message message;
	struct slice records; /* STATE and RESULT records, for corrupt_file_next() */
};

MUST_USE enum err corrupt_file_parse(struct slice bytes, struct corrupt_file *ret_file);

/* The next STATE or RESULT of the message that is whole; ERR_NOTFOUND: no more. */
MUST_USE enum err corrupt_file_next(
	const struct corrupt_file *file, struct slice *rest, uint16_t *ret_type,
	struct record_state *ret_state);

/* Sixteen hexadecimal digits, small letters: how files and messages are named on disk. */
bool corrupt_file_parse_hex(struct slice text, uint64_t *ret_value);

#endif
