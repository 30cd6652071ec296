/*
 * import_source.h - where an import takes mail from: a Postfix queue, a Maildir, files
 *
 * First all names are gathered, then each is read into a whole submission. The key names a message
 * by what survives a copy: of a Postfix file its time of arrival (to the microsecond), sender and
 * content, whose Received field holds its queue ID; of others their content, envelope and name.
 * Recipients that Postfix has finished do not count, so that it stays the same between attempts.
 *
 * Nothing of the source is changed. A Postfix queue is locked while it is open, so that its owner
 * does not start meanwhile; one in use is refused.
 *
 * Ownership: import_source_close() frees; items by import_item_done().
 * Errors:    exit codes of sysexits.h after a complaint. Threads: none; it blocks.
 */
#ifndef OSTLER_CLI_IMPORT_SOURCE_H
#define OSTLER_CLI_IMPORT_SOURCE_H

#include "cli/cli.h"
#include "message/submission.h"

enum import_source_kind { IMPORT_SOURCE_POSTFIX, IMPORT_SOURCE_MAILDIR, IMPORT_SOURCE_FILES };

struct import_source {
	struct cli *cli;
	enum import_source_kind kind;
	struct slice sender;	 /* of a Maildir and files */
	struct slice recipients; /* for submission_recipient_next() */
	uint32_t recipient_count;
	bool stays_held; /* all of it */
	int root;	 /* names are relative to it; AT_FDCWD: files */
	int lock;	 /* of a Postfix queue; -1: none */
	char **names;
	size_t count, cap;
};

/* One message, ready to be submitted. */
struct import_item {
	char key[SUBMISSION_KEY_MAX + 1];
	bool stays_held;
	uint32_t recipient_count;
	struct buf bytes; /* the submission */
};

/* Gathers the names. The envelope fields above are set afterwards. */
MUST_USE int import_source_open(struct import_source *source, struct cli *cli,
	enum import_source_kind kind, char *const *paths, size_t path_count);
void import_source_close(struct import_source *source);

enum import_source_result {
	IMPORT_SOURCE_ITEM,
	IMPORT_SOURCE_FINISHED, /* all of its recipients are done */
	IMPORT_SOURCE_BAD,	/* *ret_why says why */
};
enum import_source_result import_source_read(struct import_source *source, size_t i,
	struct import_item *ret_item, const char **ret_why);

void import_item_done(struct import_item *item);

#endif
