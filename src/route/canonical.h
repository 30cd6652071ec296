/*
 * canonical.h - the one form of an address that we show to the world
 *
 * An address is completed, then replaced by what sender_canonical_maps or recipient_canonical_maps
 * and then canonical_maps give for it, then its domain is cut to one of masquerade_domains. The
 * _classes parameters say which addresses each of them concerns.
 *
 * Ownership: the result is appended to a buffer of the caller, which stays as it was on failure.
 * Limits:    CANONICAL_STEPS_MAX look-ups in a row per parameter.
 * Errors:    ERR_LIMIT: too long, or a table that goes on and on; ERR_SYNTAX: what a table gives
 *            is no address; ERR_NOMEM. Threads: pure.
 */
#ifndef OSTLER_ROUTE_CANONICAL_H
#define OSTLER_ROUTE_CANONICAL_H

#include "base/buf.h"
#include "config/snapshot.h"

enum { CANONICAL_STEPS_MAX = 10 };

/* Where an address stands: bits of canonical_classes and so on. */
enum canonical_class {
	CANONICAL_ENVELOPE_SENDER = 1,
	CANONICAL_ENVELOPE_RECIPIENT = 2,
	CANONICAL_HEADER_SENDER = 4,
	CANONICAL_HEADER_RECIPIENT = 8,
};

/*
 * `address`: internal form; the null sender stays empty. *ret_is_mapped (may be NULL): one of the
 * tables had something to say.
 */
MUST_USE enum err canonical_rewrite(const struct config *config, enum canonical_class class,
	struct slice address, struct buf *to, bool *ret_is_mapped);

#endif
