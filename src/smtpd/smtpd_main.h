/*
 * smtpd_main.h - the process that serves SMTP
 *
 * Threads: main thread.
 */
#ifndef OSTLER_SMTPD_SMTPD_MAIN_H
#define OSTLER_SMTPD_SMTPD_MAIN_H

#include "ipc/role.h"

/* Runs until master stops it; returns the exit code. */
int smtpd_main(struct role *role);

#endif
