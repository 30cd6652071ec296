/*
 * resolve.h - where mail goes: address class, transport, next hop (rules R40 to R49)
 *
 * Pure functions over a configuration. A domain is ours (mydestination), a virtual alias domain, a
 * relay domain, or somebody else's. transport_maps overrides what the class says; relayhost counts
 * for all domains that are not ours. qmgr asks at every admission, so that a changed configuration
 * applies to waiting mail.
 *
 * Ownership: slices of a struct route point into the configuration or into the struct itself, so
 *            it must not be copied.
 * Errors:    none: what cannot be delivered gets the transport `error` with the reason as its next
 *            hop. Threads: pure.
 */
#ifndef OSTLER_ROUTE_RESOLVE_H
#define OSTLER_ROUTE_RESOLVE_H

#include "config/snapshot.h"

enum { ROUTE_NEXTHOP_MAX = 512 };

enum route_class {
	ROUTE_CLASS_LOCAL,         /* mydestination */
	ROUTE_CLASS_VIRTUAL_ALIAS, /* virtual_alias_domains: only addresses in the table exist */
	ROUTE_CLASS_RELAY,         /* relay_domains */
	ROUTE_CLASS_DEFAULT,
};

struct route {
	enum route_class class;
	struct slice transport;
	struct slice nexthop; /* in lower case */
	uint8_t text[ROUTE_NEXTHOP_MAX];
};

/* The class of a domain; no domain counts as ours. */
enum route_class route_classify(const struct config *config, struct slice domain);

/* mydestination, and no domain at all. */
bool route_is_ours(const struct config *config, struct slice domain);

/* `address`: internal form, complete. */
void route_resolve(const struct config *config, struct slice address, struct route *ret_route);

#endif
