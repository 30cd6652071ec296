/*
 * snapshot.h - `ostler snapshot`: a copy of the running queue, as it was at one moment
 *
 * The queue manager says which bytes count and keeps them as they are; this tool copies them into
 * DIR.tmp-…, syncs, asks whether they were kept all the time, and only then renames it to DIR. An
 * instance that starts on DIR starts held (src/qmgr/copy.c).
 *
 * Errors:  complaints and exit codes of sysexits.h; what was copied so far is removed.
 * Threads: none; it blocks.
 */
#ifndef OSTLER_CLI_SNAPSHOT_H
#define OSTLER_CLI_SNAPSHOT_H

#include "cli/cli.h"

int snapshot_run(struct cli *cli, int argc, char **argv);

#endif
