/*
 * check.h - `ostler check [--repair] [--json]`: what is wrong with a stopped queue
 *
 * The production store recovers and reads the whole queue; without --repair its disk is one that
 * writes nothing (check_disk.h), so what it would do is known and nothing is done. Beside that the
 * segments are looked at for what a recovery need not see (check_segment.h), and the directories.
 *
 * The caller holds the queue's lock and is the owner of its files. Exit codes of sysexits.h: 0
 * clean (or all was repaired), 65 findings. Threads: those of the disk.
 */
#ifndef OSTLER_CHECK_CHECK_H
#define OSTLER_CHECK_CHECK_H

#include "cli/cli.h"

/* argv[0] is "check". The queue directory is open. */
int check_run(struct cli *cli, int argc, char **argv);

#endif
