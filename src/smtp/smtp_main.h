/*
 * smtp_main.h - the process that delivers by SMTP and LMTP
 *
 * Threads: main thread.
 */
#ifndef OSTLER_SMTP_SMTP_MAIN_H
#define OSTLER_SMTP_SMTP_MAIN_H

#include "ipc/role.h"

/* Runs until master stops it; returns the exit code. */
int smtp_main(struct role *role);

#endif
