/*
 * runner.h - one command, or one append to a file, as a user that is not root (driver)
 *
 * What is run never comes from local as it is: a command or file must be an entry of the alias that
 * local names, in this process's own configuration; a pipe service's user and argv are taken from
 * there. A command without shell characters is executed as it is, any other by /bin/sh -c, exactly
 * as the alias has it. Addresses reach commands of aliases as environment only, with everything but
 * letters, digits and a few marks made "_"; those of pipe services stand in argv, each in its own
 * word.
 *
 * The command gets the message as its standard input and has a session of its own; what it writes
 * is kept for the log, RUNNER_OUTPUT_MAX bytes. When its time is up its process group is killed.
 *
 * Ownership: runner_start() copies; runner_free() when the child has been waited for.
 * Limits:    command_time_limit; RUNNER_WORDS_MAX words.
 * Errors:    a verdict: what the result is to say. Threads: main thread; children never return.
 */
#ifndef OSTLER_LOCAL_RUNNER_H
#define OSTLER_LOCAL_RUNNER_H

#include "base/loop.h"
#include "config/snapshot.h"
#include "ipc/messages.h"
#include "local/agent_main.h"

enum { RUNNER_OUTPUT_MAX = 512, RUNNER_WORDS_MAX = 256, RUNNER_REASON_MAX = 1024 };

struct runner_verdict {
	enum agent_status status;
	char dsn[12];
	char reason[RUNNER_REASON_MAX];
};

struct runner {
	struct loop *loop;
	pid_t pid;
	int output_fd;
	struct loop_fd watch;
	struct loop_timer timer;
	bool is_late;
	bool is_file;
	struct buf output;
	char *command; /* as in the log */
};

/* Starts a child; NULL: *ret_verdict says why not. `fd` stays the caller's. */
struct runner *runner_start(struct loop *loop, const struct config *config,
	const struct ipc_run_request *request, int fd, struct runner_verdict *ret_verdict);

/* The child has ended with a status of waitpid(). */
void runner_settle(struct runner *runner, int wait_status, struct runner_verdict *ret_verdict);
void runner_free(struct runner *runner);

/* What an exit code, and the first bytes that were written, mean (sysexits.h; "x.y.z text"). */
void runner_judge(int exit_code, struct slice output, const char *command,
	struct runner_verdict *ret_verdict);

/* Whether a command needs no shell. */
bool runner_is_plain(struct slice command);

#endif
