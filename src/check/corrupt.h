/*
 * corrupt.h - `ostler corrupt`: list, show, requeue and delete what is kept of damage
 *
 * Exit codes of sysexits.h. Threads: none; it blocks.
 */
#ifndef OSTLER_CHECK_CORRUPT_H
#define OSTLER_CHECK_CORRUPT_H

#include "check/corrupt_dir.h"

/* argv[0] is "corrupt". */
int corrupt_run(struct cli *cli, int argc, char **argv);

/*
 * Puts messages into the queue anew and removes their files when that is durable, each once however
 * often it is interrupted and repeated. `is_forced`: doubtful ones, too.
 */
int corrupt_requeue(struct corrupt_dir *dir, char *const *ids, size_t count, bool is_forced);

#endif
