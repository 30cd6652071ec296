/*
 * beside.h - commands that are programs of their own, in the directory of this one
 *
 * `ostler check` and `ostler corrupt` read the queue's files with the code of the store, which the
 * tools do not contain: ostler-check does, and is started in place of this process.
 * Threads: none.
 */
#ifndef OSTLER_CLI_BESIDE_H
#define OSTLER_CLI_BESIDE_H

#include "cli/cli.h"

/* Becomes the program with -c and -o as they were given, then argv. Returns only to complain. */
int beside_run(struct cli *cli, const char *program, int argc, char **argv);

#endif
