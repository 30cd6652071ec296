/*
 * config_print.h - `ostler config`: parameters as main.cf has them, defaults, or the whole checked
 *
 * Threads: none.
 */
#ifndef OSTLER_CLI_CONFIG_PRINT_H
#define OSTLER_CLI_CONFIG_PRINT_H

#include "cli/cli.h"

/* Runs the command; argv[0] is "config". Returns the exit code. */
int config_print_run(struct cli *cli, int argc, char **argv);

#endif
