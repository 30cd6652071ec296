/*
 * why.h - `ostler why`: what mail waits for, in words (docs/protocol/control.md)
 *
 * Errors:  exit codes of sysexits.h.
 * Threads: none.
 */
#ifndef OSTLER_CLI_WHY_H
#define OSTLER_CLI_WHY_H

#include "cli/cli.h"

int why_run(struct cli *cli, int argc, char **argv);

#endif
