/*
 * pickup_main.h - the process that takes mail of this machine's users: submit socket and maildrop
 *
 * Threads: main thread.
 */
#ifndef OSTLER_SMTPD_PICKUP_MAIN_H
#define OSTLER_SMTPD_PICKUP_MAIN_H

#include "ipc/role.h"

/* Runs until master stops it; returns the exit code. */
int pickup_main(struct role *role);

#endif
