/*
 * qmgr_main.h - the queue manager's process: the driver around core.h
 *
 * Threads: main thread for the core; the disk has its own (store/disk_file.h).
 */
#ifndef OSTLER_QMGR_QMGR_MAIN_H
#define OSTLER_QMGR_QMGR_MAIN_H

#include "ipc/role.h"

/* Runs until master stops it; returns the exit code. */
int qmgr_main(struct role *role);

#endif
