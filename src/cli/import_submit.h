/*
 * import_submit.h - many submissions to pickup at a time, so that the journal takes them in groups
 *
 * Each goes over a connection of its own, IMPORT_SUBMIT_MAX at a time; a reply is pickup's word
 * (message/submission.h). Without one, exit_code is EX_TEMPFAIL and nothing is known of its fate.
 *
 * Ownership: bytes are borrowed. Threads: none; it blocks.
 */
#ifndef OSTLER_CLI_IMPORT_SUBMIT_H
#define OSTLER_CLI_IMPORT_SUBMIT_H

#include "cli/cli.h"

enum { IMPORT_SUBMIT_MAX = 48, IMPORT_SUBMIT_TEXT = 256 };

struct import_submit_job {
	struct slice bytes; /* a whole submission */
	bool is_wanted;	    /* others are left alone */
	int exit_code;	    /* EX_OK: text is the queue ID */
	char text[IMPORT_SUBMIT_TEXT];
};

/* Submits the wanted ones. EX_OK, or EX_UNAVAILABLE after a complaint: nobody listens. */
MUST_USE int import_submit_all(struct cli *cli, struct import_submit_job *jobs, size_t count);

#endif
