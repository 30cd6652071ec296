/*
 * admin_main.h - the process that answers HTTP: health, metrics, queue and status for machines
 *
 * Threads: main thread.
 */
#ifndef OSTLER_ADMIN_ADMIN_MAIN_H
#define OSTLER_ADMIN_ADMIN_MAIN_H

#include "ipc/role.h"

/* Runs until master stops it; returns the exit code. */
int admin_main(struct role *role);

#endif
