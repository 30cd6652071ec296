/*
 * dialogue.h - sendmail -bs: SMTP on standard input and output, for programs of this machine
 *
 * What comes in is handed in as sendmail's mail is (submit.h): by the caller's user, also while
 * Ostler is down. Headers stay as they are; PIPELINING, SIZE and 8BITMIME are offered.
 *
 * Limits:  DIALOGUE_LINE_MAX bytes per command, message_size_limit or DIALOGUE_CONTENT_MAX bytes
 *          per message, SUBMISSION_RECIPIENTS_MAX recipients; DIALOGUE_ERRORS_MAX errors end it.
 * Threads: none; it blocks.
 */
#ifndef OSTLER_CLI_DIALOGUE_H
#define OSTLER_CLI_DIALOGUE_H

#include "cli/cli.h"

enum {
	DIALOGUE_LINE_MAX = 4096,
	DIALOGUE_CONTENT_MAX = 512 * 1024 * 1024,
	DIALOGUE_ERRORS_MAX = 50,
};

/* Until QUIT or the end of input; an exit code. The configuration is loaded. */
int dialogue_run(struct cli *cli);

#endif
