/*
 * log_main.h - the process that writes the log
 *
 * It reads the lines of all others and of master from one socket and ends when the last of them is
 * gone, so also after master's own last line. Its own lines go the same way as theirs.
 *
 * Threads: main thread, and the writer's.
 */
#ifndef OSTLER_LOG_LOG_MAIN_H
#define OSTLER_LOG_LOG_MAIN_H

#include "ipc/role.h"

/* Returns the exit code. */
int log_main(struct role *role);

#endif
