/*
 * runner_pipe.h - the arguments of a pipe service in master.cf: attributes and a command (pure)
 *
 *   user=name[:group] flags=DFORXhqu directory=/path null_sender=text size=bytes
 *   argv=command word ...
 *
 * Words of the command may hold ${name}, $(name) or $name: sender, recipient, original_recipient,
 * mailbox (the local part), user (it without extension), extension, domain, nexthop, queue_id,
 * size; $$ is a dollar sign. Each word stays one word, and no shell sees it.
 *
 * Ownership: slices of the arguments. Errors: text for the log. Threads: pure.
 */
#ifndef OSTLER_LOCAL_RUNNER_PIPE_H
#define OSTLER_LOCAL_RUNNER_PIPE_H

#include "base/buf.h"
#include "ipc/messages.h"

#include <stdbool.h>

struct runner_pipe {
	struct slice user, group, flags, directory, null_sender;
	uint64_t size_max; /* 0: no limit */
	struct slice argv; /* words parted by NUL */
};

/* NULL: it is fine; else what is wrong with them. */
const char *runner_pipe_parse(struct slice arguments, struct runner_pipe *ret_pipe);

/* D Delivered-To, F From line, O X-Original-To, R Return-Path; h, u, q: forms of addresses. */
bool runner_pipe_has(const struct runner_pipe *pipe, char flag);

/*
 * Appends a word with its names replaced. NULL: it is fine; else what is wrong. `delimiters`:
 * recipient_delimiter. *ret_is_risky: it became an option by what an address holds.
 */
const char *runner_pipe_expand(const struct runner_pipe *pipe, struct slice word,
	const struct ipc_run_request *request, struct slice delimiters, struct buf *to,
	bool *ret_is_risky);

#endif
