/*
 * submit.h - where sendmail's mail goes: to pickup's socket, or into maildrop/ when nobody listens
 *
 * On the socket the reply says what became of it. A file counts once it is flushed and renamed; it
 * is removed when anything fails before.
 *
 * Ownership: embedded; submit_close() drops what was not finished.
 * Errors:    functions return an exit code of sysexits.h, after a complaint if it is not EX_OK.
 * Threads:   none; it blocks.
 */
#ifndef OSTLER_CLI_SUBMIT_H
#define OSTLER_CLI_SUBMIT_H

#include "cli/cli.h"
#include "message/submission.h"

struct submit {
	struct cli *cli;
	int fd;		  /* socket or file; -1: none */
	int directory_fd; /* maildrop; -1: it is a socket */
	char temporary[SUBMISSION_NAME_LENGTH + 8];
	bool is_broken; /* the peer closed early: its reply tells why */
};

MUST_USE int submit_open(struct submit *submit, struct cli *cli);
MUST_USE int submit_write(struct submit *submit, struct slice bytes);
MUST_USE int submit_finish(struct submit *submit);
void submit_close(struct submit *submit);

#endif
