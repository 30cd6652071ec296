/*
 * address_map.h - an address looked up in a table, whole and by its parts
 *
 * Keys, in this order: user+extension@domain, user@domain; for our own domains also
 * user+extension, user; then @domain. An extension that the key went without is the result's
 * suffix, for tables of propagate_unmatched_extensions.
 *
 * Ownership: results are slices of the configuration and of the address.
 * Errors:    ERR_NOTFOUND; ERR_SYNTAX: what the table gives is no address; ERR_LIMIT, ERR_NOMEM.
 * Threads:   pure.
 */
#ifndef OSTLER_ROUTE_ADDRESS_MAP_H
#define OSTLER_ROUTE_ADDRESS_MAP_H

#include "base/buf.h"
#include "config/snapshot.h"

struct address_map_result {
	struct slice value;  /* words: addresses, or @domain */
	struct slice suffix; /* delimiter and extension to be added to them; may be empty */
};

/* `map`: a MAPS parameter; `address`: internal form. */
MUST_USE enum err address_map_find(const struct config *config, enum param_id map,
	struct slice address, struct address_map_result *ret_result);

/* The next word of result->value becomes an internal form, which may lack a domain, in `to`. */
MUST_USE enum err address_map_next(
	struct address_map_result *result, struct slice address, struct buf *to);

#endif
