/*
 * instance.h - the running instance of a queue, found by its pid file: reload and stop
 *
 * Functions return an exit code of sysexits.h, after a complaint if it is not EX_OK.
 * Threads: none.
 */
#ifndef OSTLER_CLI_INSTANCE_H
#define OSTLER_CLI_INSTANCE_H

#include "cli/cli.h"

/* SIGHUP: the new configuration is read; a bad one is said in the log and changes nothing. */
int instance_reload(struct cli *cli);

/* SIGTERM, and waits until the master is gone (stop_grace and a little). */
int instance_stop(struct cli *cli);

#endif
