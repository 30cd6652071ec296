/*
 * rewrite.h - from an address as a sender wrote it to the recipients that are stored (rules R, K)
 *
 * An incomplete address is completed with myorigin (append_at_myorigin) and mydomain
 * (append_dot_mydomain), made canonical (canonical.h), then expanded through virtual_alias_maps
 * (address_map.h), again and again, until nothing more is found or an address gives itself. smtpd,
 * pickup, local (forwarding) and qmgr (reports, requeue) use the same; copies of always_bcc,
 * sender_bcc_maps and recipient_bcc_maps go only with mail that comes in by smtpd and pickup.
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
	bool expanded;  /* a canonical table or virtual_alias_maps had something to say */
};

/*
 * Appends to `recipients` what one recipient becomes. `given` has the address as it came, notify
 * and orcpt; the address it came with becomes `original` where it differs. With NOTIFY=SUCCESS an
 * alias becomes DSN_NOTIFY_EXPANDED, and its members, without SUCCESS, follow.
 */
MUST_USE enum err rewrite_recipient(const struct config *config,
	const struct recipient_entry *given, struct buf *recipients,
	struct rewrite_result *ret_result);

/*
 * Appends the recipients that get copies of a message for its sender's sake (always_bcc,
 * sender_bcc_maps). `sender`: canonical.
 */
MUST_USE enum err rewrite_sender_copies(
	const struct config *config, struct slice sender, struct buf *recipients);

/* The same for the sake of one recipient, as it was given, complete (recipient_bcc_maps). */
MUST_USE enum err rewrite_recipient_copies(
	const struct config *config, struct slice address, struct buf *recipients);

#endif
