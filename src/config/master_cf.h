/*
 * master_cf.h - the service table (master.cf): Postfix's columns, the commands that we have
 *
 *   name  type  private  unpriv  chroot  wakeup  maxproc  command [-o name=value]...
 *
 * Types inet and unix; commands smtpd (inet), pickup smtp lmtp local pipe error retry discard
 * (unix). Lines with other types or commands are named in one warning and left out. unpriv,
 * chroot and wakeup are checked and have no meaning here: no role has privileges, and none wakes
 * up by the clock.
 *
 * Ownership: embedded by its owner; services point into copies that master_cf_done() frees.
 * Limits:    CONFIG_SERVICES_MAX services.
 * Errors:    ERR_SYNTAX, ERR_CONFIG, ERR_LIMIT, with file and line.
 * Threads:   none.
 */
#ifndef OSTLER_CONFIG_MASTER_CF_H
#define OSTLER_CONFIG_MASTER_CF_H

#include "base/buf.h"
#include "config/main_cf.h"
#include "config/snapshot.h"

#define MASTER_CF_PROCESS_DEFAULT UINT32_MAX /* the column says - */

struct master_cf_service {
	char *line;		       /* what the slices below point into */
	struct config_service service; /* process_limit may be MASTER_CF_PROCESS_DEFAULT */
	struct main_cf settings;       /* its -o */
	struct buf arguments;
	struct origin origin;
};

struct master_cf {
	struct master_cf_service *services;
	uint32_t count;
};

void master_cf_init(struct master_cf *master_cf);
void master_cf_done(struct master_cf *master_cf);

/* `file` is borrowed for the life of master_cf. Called once. */
MUST_USE enum err master_cf_parse(struct master_cf *master_cf, struct slice text, const char *file,
	struct buf *ret_warnings, struct fault *reterr_fault);

#endif
