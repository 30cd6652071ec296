/*
 * master.h - the supervisor: starts the roles, restarts what dies, reloads, stops
 *
 * It is the only process that may be root. It binds ports, makes directories and hands descriptors
 * out; it parses nothing: a short-lived child without rights compiles the configuration.
 *
 * Errors:  master_run() says what is wrong on stderr and returns an exit code of sysexits.h.
 * Threads: main thread.
 */
#ifndef OSTLER_MASTER_MASTER_H
#define OSTLER_MASTER_MASTER_H

#include "ipc/role.h"

struct master_options {
	const char *directory; /* -c; NULL: the built-in configuration */
	const char *const *overrides;
	size_t override_count;
	bool restored; /* --restored: the queue is a copy of another one */
	bool has_role[ROLE_KIND_COUNT]; /* what this program was built with */
};

int master_run(const struct master_options *options);

#endif
