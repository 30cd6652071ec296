/*
 * trace.h - `ostler trace`: what the log says of a message, by queue ID, address or message ID
 *
 * The log file and its rotations (FILE.1, FILE-20250101, each also .gz) are read with the rights
 * of the user: first to find the queue IDs that belong together (requeued mail, reports), at last
 * to print their lines.
 *
 * Errors:  exit codes of sysexits.h.
 * Threads: none; it blocks.
 */
#ifndef OSTLER_CLI_TRACE_H
#define OSTLER_CLI_TRACE_H

#include "cli/cli.h"

int trace_run(struct cli *cli, int argc, char **argv);

/*
 * Prints the attempts to deliver a message, and what it was before it was requeued, that the log
 * has: when, to whom, by which host, with which reply. Nothing if there are none.
 */
void trace_attempts(struct cli *cli, const char *id);

#endif
