/*
 * maildir.h - writing a message into a Maildir (driver; blocks in writes and flushes)
 *
 * Two steps, so that several mailboxes of one message all have it or none: maildir_prepare() writes
 * and flushes tmp/NAME, maildir_commit() links it into new/ and flushes that directory. Bytes of
 * the content are verified against their checksum before prepare says that all is well. Directories
 * that are missing are made with mode 0700 and flushed with their parents. A crash leaves at most a
 * file in tmp/, which readers of Maildirs clear away.
 *
 * Everything is done by *at() calls below one directory descriptor; symbolic links are not
 * followed.
 *
 * Ownership: the message is borrowed; nothing stays open between the steps.
 * Limits:    paths as local_core.h makes them.
 * Errors:    ERR_CORRUPT: length or checksum of the content is wrong; ERR_NOSPACE: disk or quota
 *            (the fault has the errno); ERR_IO. After an error nothing is left in tmp/.
 * Threads:   any; two calls for the same Maildir do not disturb each other.
 */
#ifndef OSTLER_LOCAL_MAILDIR_H
#define OSTLER_LOCAL_MAILDIR_H

#include "base/err.h"
#include "base/slice.h"

enum { MAILDIR_NAME_SIZE = 160 };

struct maildir_message {
	struct slice prefix;  /* fields in front of all, lines end in LF */
	struct slice head;    /* fields in front of the content, lines end in CRLF */
	struct slice content; /* all of it, or empty with content_fd; lines end in CRLF */
	int content_fd;       /* -1: content is inline */
	uint64_t content_length;
	uint64_t content_hash; /* XXH3 of the content */
};

struct maildir_file {
	char name[MAILDIR_NAME_SIZE]; /* in tmp/, then in new/ */
};

/*
 * Writes tmp/NAME of the Maildir `path` below `root` ("": root itself). `host` becomes part of the
 * name.
 */
MUST_USE enum err maildir_prepare(int root, const char *path, const char *host,
	const struct maildir_message *message, struct maildir_file *ret_file,
	struct fault *reterr_fault);

/* The message as it would stand in the Maildir, written to fd; not flushed. */
MUST_USE enum err maildir_write(
	int fd, const struct maildir_message *message, struct fault *reterr_fault);

/* Makes a prepared file visible and durable in new/. */
MUST_USE enum err maildir_commit(int root, const char *path, const struct maildir_file *file,
	struct fault *reterr_fault);

/* Removes a prepared file. */
void maildir_abort(int root, const char *path, const struct maildir_file *file);

#endif
