/*
 * resolver_main.h - the process that asks DNS
 *
 * Threads: main thread, and libunbound's own.
 */
#ifndef OSTLER_RESOLVER_RESOLVER_MAIN_H
#define OSTLER_RESOLVER_RESOLVER_MAIN_H

#include "ipc/role.h"

/* Runs until master stops it; returns the exit code. */
int resolver_main(struct role *role);

#endif
