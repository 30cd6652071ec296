/*
 * local_main.h - the process that delivers into Maildirs of this machine
 *
 * Threads: main thread; file work in a small pool (local_pool.h).
 */
#ifndef OSTLER_LOCAL_LOCAL_MAIN_H
#define OSTLER_LOCAL_LOCAL_MAIN_H

#include "ipc/role.h"

/* Runs until master says stop; returns the exit code. */
int local_main(struct role *role);

#endif
