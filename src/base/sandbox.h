/*
 * sandbox.h - gives up what a role does not need, for good
 *
 * Called once, before threads are made and before a byte of a stranger is read. A forbidden system
 * call fails with EPERM; Landlock, where the kernel has it, limits file names to the directories
 * given. Everything that a role has open already stays usable. Core dumps and gaining rights by
 * exec are off too.
 *
 * Errors:  the process must not go on without: the caller dies on ERR_IO.
 * Threads: before any other thread exists.
 */
#ifndef OSTLER_BASE_SANDBOX_H
#define OSTLER_BASE_SANDBOX_H

#include "base/err.h"

#include <stddef.h>

enum sandbox_flags {
	SANDBOX_SOCKETS = 1, /* may make sockets and connect them */
	SANDBOX_READ_ETC = 2, /* may read below /etc (resolv.conf, hosts, passwd) */
	SANDBOX_BECOME = 4,   /* may fork, and give up rights (the agent) */
	SANDBOX_EXECUTE = 8,  /* may execute programs, and use all files that its user may */
};

/* `directories`: descriptors of what may be used by name, with everything below. */
MUST_USE enum err sandbox_enter(unsigned flags, const int *directories, size_t count);

#endif
