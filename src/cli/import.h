/*
 * import.h - `ostler import`: mail that another system accepted enters the queue, each once
 *
 * Messages go in groups: BEGUN in the ledger, submitted on hold, KEPT in the ledger, released, FREE
 * (import_ledger.h). Between any two steps the process, the queue manager or the machine may die.
 *
 * Threads: none; it blocks.
 */
#ifndef OSTLER_CLI_IMPORT_H
#define OSTLER_CLI_IMPORT_H

#include "cli/cli.h"

int import_run(struct cli *cli, int argc, char **argv);

#endif
