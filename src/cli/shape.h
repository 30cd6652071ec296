/*
 * shape.h - `ostler shape`: how old the mail is, by destination or sender (rules O62 to O64)
 *
 * struct shape counts; its functions are pure, so that a test can feed it lines. shape_run() is the
 * command.
 *
 * Limits:  SHAPE_BUCKETS_MAX; SHAPE_DOMAINS_MAX domains, more are counted together as "(others)".
 * Errors:  ERR_SYNTAX: a line that is no JSON object; exit codes of sysexits.h.
 * Threads: none.
 */
#ifndef OSTLER_CLI_SHAPE_H
#define OSTLER_CLI_SHAPE_H

#include "cli/cli.h"

enum { SHAPE_BUCKETS_MAX = 30, SHAPE_DOMAINS_MAX = 200000 };

struct shape_row;

struct shape {
	uint64_t now_s;
	uint64_t first_s;    /* upper limit of the first bucket */
	unsigned buckets;
	bool is_linear;      /* limits grow by the first one, not by doubling */
	bool by_sender;
	unsigned queues;     /* bits: incoming, active, deferred, hold */
	struct shape_row *rows; /* hash by domain */
	uint64_t total[SHAPE_BUCKETS_MAX + 1]; /* the last: all ages */
};

/* One line of `queue`: a message with its unfinished recipients. */
MUST_USE enum err shape_add(struct shape *shape, struct slice line);
void shape_format(struct shape *shape, bool as_json, struct buf *text);
void shape_done(struct shape *shape);

int shape_run(struct cli *cli, int argc, char **argv);

#endif
