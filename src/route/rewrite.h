/*
 * rewrite.h - from an address as a sender wrote it to the recipients that are stored (rules R, K)
 *
 * An incomplete address is completed with myorigin (and mydomain, if append_dot_mydomain), then
 * expanded through virtual_alias_maps, again and again, until nothing more is found or an address
 * gives itself. Keys, in this order: user+extension@domain, user@domain; for our own domains also
 * user+extension, user; then @domain. An extension that the key went without is added to the
 * results (propagate_unmatched_extensions' default for virtual aliases). smtpd, pickup and
 * qmgr (for its reports) use the same.
 *
 * Ownership: results are appended to buffers of the caller, which stay as they were on failure.
 * Limits:    virtual_alias_expansion_limit results, virtual_alias_recursion_limit steps.
 * Errors:    ERR_LIMIT: a limit was reached (the table has a loop, or is too generous);
 *            ERR_SYNTAX: what the table gives is no address; ERR_NOMEM.
 * Threads:   pure.
 */
#ifndef OSTLER_ROUTE_REWRITE_H
#define OSTLER_ROUTE_REWRITE_H

#include "config/snapshot.h"
#include "message/recipient_list.h"

/* Appends the complete form of an internal address; the null sender stays empty. */
MUST_USE enum err rewrite_complete(
	const struct config *config, struct slice address, struct buf *complete);

struct rewrite_result {
	uint32_t count; /* recipients appended */
	bool expanded;  /* virtual_alias_maps had something to say */
};

/*
 * Appends to `recipients` what one recipient becomes. `given` has the address as it came, notify
 * and orcpt; the address it came with becomes `original` where it differs.
 */
MUST_USE enum err rewrite_recipient(const struct config *config,
	const struct recipient_entry *given, struct buf *recipients,
	struct rewrite_result *ret_result);

#endif
