/*
 * lookup.h - from a next hop to hosts in order: MX, addresses, loops (core)
 *
 *   MX --> ADDRESSES of each host --> answer
 *
 * Answers of DNS come in, questions and the final answer go out through ops. MX hosts stand by
 * preference, equal ones shuffled; a host's addresses by smtp_address_preference. No MX: the
 * domain itself. If we are one of the hosts, those that are no better than us are left out, and if
 * none remains, mail would loop (5.4.6).
 *
 * Ownership: lookup_start() makes it; it frees itself behind ops->done.
 * Limits:    LOOKUP_HOSTS_MAX hosts, LOOKUP_ADDRESSES_MAX addresses.
 * Source:    RFC 5321 5.1, RFC 7505; texts as Postfix's.
 * Threads:   one.
 */
#ifndef OSTLER_RESOLVER_LOOKUP_H
#define OSTLER_RESOLVER_LOOKUP_H

#include "base/buf.h"
#include "base/rand.h"
#include "dns/dns.h"
#include "resolver/nexthop_text.h"

enum { LOOKUP_HOSTS_MAX = 32, LOOKUP_ADDRESSES_MAX = 16, LOOKUP_TTL_MIN_S = 5 };

struct lookup;

struct lookup_ops {
	void (*ask)(void *ctx, struct lookup *lookup, const char *name, enum dns_type type,
		unsigned tag);
	bool (*is_self)(void *ctx, const char *host, uint16_t family, const uint8_t *address);
	/* status: enum ipc_resolve_status; hosts: list of ipc_host. */
	void (*done)(void *ctx, uint64_t query, unsigned status, uint32_t ttl_s,
		struct slice hosts, const char *dsn, const char *reason);
};

struct lookup_options {
	bool ipv4, ipv6;
	unsigned prefer; /* 0 any, 4, 6 */
	struct rng *rng;
	const struct lookup_ops *ops;
	void *ctx;
};

void lookup_start(const struct lookup_options *options, uint64_t query, struct slice nexthop,
	uint16_t port, bool use_mx);

/* The answer to what ops->ask asked. */
void lookup_answer(struct lookup *lookup, unsigned tag, const struct dns_answer *answer);

#endif
