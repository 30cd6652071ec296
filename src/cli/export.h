/*
 * export.h - `ostler export`: messages of the queue as files, ID.eml (content) and ID.json
 *
 * A file is written under another name, flushed and renamed; one that is there stays, unless
 * --force. The envelope comes last: where ID.json is, ID.eml is whole. The queue is not changed.
 *
 * Threads: none; it blocks.
 */
#ifndef OSTLER_CLI_EXPORT_H
#define OSTLER_CLI_EXPORT_H

#include "cli/cli.h"

int export_run(struct cli *cli, int argc, char **argv);

#endif
