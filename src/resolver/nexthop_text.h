/*
 * nexthop_text.h - the forms of a next hop: domain, domain:port, [host], [host]:port, [address]
 *
 * Threads: pure.
 */
#ifndef OSTLER_RESOLVER_NEXTHOP_TEXT_H
#define OSTLER_RESOLVER_NEXTHOP_TEXT_H

#include "base/err.h"
#include "base/slice.h"

enum { NEXTHOP_HOST_MAX = 255 };

struct nexthop_text {
	char host[NEXTHOP_HOST_MAX + 1];
	uint16_t port;
	bool is_bracketed; /* no MX lookup */
	/* The host is an address. */
	uint16_t family; /* AF_INET, AF_INET6; 0: a name */
	uint8_t address[16];
};

/* ERR_SYNTAX: none of the forms; `port` counts where the text has none. */
MUST_USE enum err nexthop_text_parse(
	struct slice text, uint16_t port, struct nexthop_text *ret_nexthop);

/* A DNS server (ADDRESS, ADDRESS:PORT, [ADDRESS]:PORT) in libunbound's form: ADDRESS@PORT. */
MUST_USE enum err nexthop_text_nameserver(
	struct slice text, char ret_server[NEXTHOP_HOST_MAX + 8]);

#endif
