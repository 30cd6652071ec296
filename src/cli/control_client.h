/*
 * control_client.h - commands to the queue manager, over its control socket
 *
 * Lines of an answer are given to the caller as they come, so a list of any length passes through.
 *
 * Ownership: borrowed arguments; lines are borrowed until the callback returns.
 * Threads:   none; it blocks.
 */
#ifndef OSTLER_CLI_CONTROL_CLIENT_H
#define OSTLER_CLI_CONTROL_CLIENT_H

#include "cli/cli.h"

/* One line of the answer, without its end; `is_final`: out of the last frame. */
typedef void control_client_line_fn(void *ctx, struct slice line, bool is_final);

/*
 * Sends a command and reads its answer. Returns the queue manager's exit code, or EX_UNAVAILABLE,
 * EX_NOPERM, EX_PROTOCOL, EX_IOERR after a complaint.
 */
int control_client_run(struct cli *cli, const char *command, const char *const *words,
	size_t word_count, control_client_line_fn *fn, void *ctx);

/* Several commands on one connection, which the queue manager may bind something to. */
struct control_session {
	struct cli *cli;
	int fd;
	uint32_t request;
};

/* EX_OK, or an exit code after a complaint. */
MUST_USE int control_session_open(struct control_session *session, struct cli *cli);
int control_session_ask(struct control_session *session, const char *command,
	const char *const *words, size_t word_count, control_client_line_fn *fn, void *ctx);
void control_session_close(struct control_session *session);

#endif
