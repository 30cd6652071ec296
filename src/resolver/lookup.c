/* lookup.c - see lookup.h */
#include "resolver/lookup.h"

#include "base/check.h"
#include "base/mem.h"
#include "ipc/messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

enum { TAG_MX = 1000, TEXT_MAX = 600 };
enum { TTL_LITERAL_S = 3600, TTL_FAILED_S = 60, TTL_TEMPORARY_S = 10 };

struct address {
	uint16_t family;
	uint8_t bytes[16];
};

struct host {
	char name[DNS_NAME_MAX];
	uint16_t preference;
	uint64_t order; /* random, among equals */
	struct address addresses[LOOKUP_ADDRESSES_MAX];
	unsigned address_count;
	enum dns_status worst; /* of its address questions */
	bool is_self;
};

struct lookup {
	struct lookup_options options;
	uint64_t query;
	struct nexthop_text nexthop;
	bool is_mx; /* hosts come from MX records */
	struct host hosts[LOOKUP_HOSTS_MAX];
	unsigned host_count;
	unsigned pending; /* questions */
	bool is_asking;   /* more questions follow: not done yet */
	uint32_t ttl_s;
};

/* --- the end ---------------------------------------------------------------------------------- */

static void
finish(struct lookup *lookup, unsigned status, uint32_t ttl_s, struct slice hosts,
	const char *dsn, const char *reason)
{
	lookup->options.ops->done(
		lookup->options.ctx, lookup->query, status, ttl_s, hosts, dsn, reason);
	mem_free(lookup);
}

static void
fail(struct lookup *lookup, bool is_permanent, const char *dsn, const char *reason)
{
	finish(lookup, is_permanent ? IPC_RESOLVE_PERMANENT : IPC_RESOLVE_TEMPORARY,
		is_permanent ? TTL_FAILED_S : TTL_TEMPORARY_S, slice_make(NULL, 0), dsn, reason);
}

/* "Host or domain name not found. Name service error for name=N type=T: WHY" */
static void
fail_name(struct lookup *lookup, bool is_permanent, const char *name, const char *type)
{
	char reason[TEXT_MAX];

	(void)snprintf(reason, sizeof(reason),
		"Host or domain name not found. Name service error for name=%s type=%s: %s", name,
		type, is_permanent ? "Host not found" : "Host not found, try again");
	fail(lookup, is_permanent, is_permanent ? "5.4.4" : "4.4.3", reason);
}

/* --- putting the answer together -------------------------------------------------------------- */

static int
by_preference(const void *a, const void *b)
{
	const struct host *left = a, *right = b;

	if (left->preference != right->preference)
		return left->preference < right->preference ? -1 : 1;
	return left->order < right->order ? -1 : left->order > right->order;
}

static void
put_family(const struct lookup *lookup, const struct host *host, uint16_t family, struct buf *list)
{
	for (unsigned i = 0; i < host->address_count; i++) {
		const struct address *address = &host->addresses[i];
		struct ipc_host ipc = {
			.name = slice_str(host->name),
			.family = address->family,
			.port = lookup->nexthop.port,
			.preference = host->preference,
			.address = slice_make(address->bytes, address->family == AF_INET ? 4 : 16),
		};

		if (address->family == family)
			ipc_host_put(list, &ipc);
	}
}

static void
put_host(struct lookup *lookup, const struct host *host, struct buf *list)
{
	bool v4_first = lookup->options.prefer == 4 ||
			(lookup->options.prefer == 0 && rng_below(lookup->options.rng, 2) == 0);

	put_family(lookup, host, v4_first ? AF_INET : AF_INET6, list);
	put_family(lookup, host, v4_first ? AF_INET6 : AF_INET, list);
}

/* How many hosts are better than ourselves; all, if we are none of them. */
static unsigned
cut_at_self(const struct lookup *lookup)
{
	for (unsigned i = 0; i < lookup->host_count && lookup->is_mx; i++) {
		unsigned better = i;

		if (!lookup->hosts[i].is_self)
			continue;
		while (better > 0 &&
			lookup->hosts[better - 1].preference == lookup->hosts[i].preference)
			better--;
		return better;
	}
	return lookup->host_count;
}

static void
conclude(struct lookup *lookup)
{
	const char *name = lookup->nexthop.host;
	bool any_temporary = false;
	unsigned count;
	struct buf list;

	qsort(lookup->hosts, lookup->host_count, sizeof(lookup->hosts[0]), by_preference);
	count = cut_at_self(lookup);
	if (count == 0 && lookup->host_count > 0) {
		char reason[TEXT_MAX];

		(void)snprintf(reason, sizeof(reason), "mail for %s loops back to myself", name);
		fail(lookup, true, "5.4.6", reason);
		return;
	}
	buf_init(&list, 0);
	for (unsigned i = 0; i < count; i++) {
		put_host(lookup, &lookup->hosts[i], &list);
		any_temporary = any_temporary || lookup->hosts[i].worst >= DNS_TEMPORARY;
	}
	if (list.len > 0)
		finish(lookup, IPC_RESOLVE_OK,
			lookup->ttl_s > LOOKUP_TTL_MIN_S ? lookup->ttl_s : LOOKUP_TTL_MIN_S,
			buf_slice(&list), "", "");
	else
		fail_name(lookup, !any_temporary, lookup->host_count > 0 ? lookup->hosts[0].name
									   : name,
			lookup->options.ipv4 ? "A" : "AAAA");
	buf_done(&list);
}

/* --- addresses -------------------------------------------------------------------------------- */

static void
ask(struct lookup *lookup, const char *name, enum dns_type type, unsigned tag)
{
	lookup->pending++;
	lookup->options.ops->ask(lookup->options.ctx, lookup, name, type, tag);
}

/* An MX that names an address breaks the rules, but is understood. */
static void
ask_addresses(struct lookup *lookup)
{
	lookup->is_asking = true;
	for (unsigned i = 0; i < lookup->host_count; i++) {
		if (lookup->options.ipv4)
			ask(lookup, lookup->hosts[i].name, DNS_A, i);
		if (lookup->options.ipv6)
			ask(lookup, lookup->hosts[i].name, DNS_AAAA, i);
	}
	lookup->is_asking = false;
	if (lookup->pending == 0)
		conclude(lookup);
}

static struct host *
worst_host(struct lookup *lookup)
{
	struct host *worst = &lookup->hosts[0];

	for (unsigned i = 1; i < lookup->host_count; i++)
		if (by_preference(&lookup->hosts[i], worst) > 0)
			worst = &lookup->hosts[i];
	return worst;
}

/* Records come in any order: of too many the best are kept. */
static void
add_host(struct lookup *lookup, const char *name, uint16_t preference)
{
	struct host host = { .preference = preference, .order = rng_next(lookup->options.rng) };
	struct host *place = NULL;

	if (lookup->host_count < LOOKUP_HOSTS_MAX)
		place = &lookup->hosts[lookup->host_count++];
	else if (by_preference(&host, worst_host(lookup)) < 0)
		place = worst_host(lookup);
	if (place == NULL)
		return;
	(void)snprintf(host.name, sizeof(host.name), "%s", name);
	host.is_self = lookup->options.ops->is_self(lookup->options.ctx, name, 0, NULL);
	*place = host;
}

static void
take_addresses(struct lookup *lookup, struct host *host, const struct dns_answer *answer)
{
	if (answer->status != DNS_FOUND) {
		if (answer->status > host->worst)
			host->worst = answer->status;
		return;
	}
	for (unsigned i = 0; i < answer->count && host->address_count < LOOKUP_ADDRESSES_MAX; i++) {
		struct slice record = answer->records[i];
		struct address *address = &host->addresses[host->address_count];

		if (record.len != 4 && record.len != 16)
			continue;
		address->family = record.len == 4 ? AF_INET : AF_INET6;
		memcpy(address->bytes, record.ptr, record.len);
		host->address_count++;
		/* An address of ours means us only at the port where we serve mail. */
		if (lookup->is_mx && lookup->nexthop.port == 25 &&
			lookup->options.ops->is_self(lookup->options.ctx, NULL, address->family,
				address->bytes))
			host->is_self = true;
	}
	if (answer->ttl_s < lookup->ttl_s)
		lookup->ttl_s = answer->ttl_s;
}

/* --- MX --------------------------------------------------------------------------------------- */

static void
take_mx(struct lookup *lookup, const struct dns_answer *answer)
{
	bool is_null = false;

	lookup->is_mx = true;
	lookup->ttl_s = answer->ttl_s;
	for (unsigned i = 0; i < answer->count; i++) {
		struct slice record = answer->records[i];
		char name[DNS_NAME_MAX];

		if (record.len < 3 || !dns_name(slice_from(record, 2), name))
			continue;
		if (name[0] == '\0')
			is_null = true;
		else
			add_host(lookup, name,
				(uint16_t)(record.ptr[0] << 8 | record.ptr[1]));
	}
	if (is_null && lookup->host_count == 0) {
		char reason[TEXT_MAX];

		(void)snprintf(reason, sizeof(reason),
			"Domain %s does not accept mail (nullMX)", lookup->nexthop.host);
		fail(lookup, true, "5.1.10", reason);
	} else if (lookup->host_count == 0) {
		fail_name(lookup, true, lookup->nexthop.host, "MX");
	} else {
		ask_addresses(lookup);
	}
}

static void
mx_answer(struct lookup *lookup, const struct dns_answer *answer)
{
	switch (answer->status) {
	case DNS_FOUND:
		take_mx(lookup, answer);
		break;
	case DNS_EMPTY:
		add_host(lookup, lookup->nexthop.host, 0);
		lookup->ttl_s = answer->ttl_s > 0 && answer->ttl_s < TTL_LITERAL_S
					? answer->ttl_s
					: TTL_LITERAL_S;
		ask_addresses(lookup);
		break;
	case DNS_NO_NAME:
		fail_name(lookup, true, lookup->nexthop.host, "MX");
		break;
	case DNS_TEMPORARY:
	case DNS_BOGUS:
		fail_name(lookup, false, lookup->nexthop.host, "MX");
		break;
	}
}

void
lookup_answer(struct lookup *lookup, unsigned tag, const struct dns_answer *answer)
{
	CHECK(lookup->pending > 0);
	lookup->pending--;
	if (tag == TAG_MX) {
		mx_answer(lookup, answer);
		return;
	}
	take_addresses(lookup, &lookup->hosts[tag], answer);
	if (lookup->pending == 0 && !lookup->is_asking)
		conclude(lookup);
}

/* --- start ------------------------------------------------------------------------------------ */

static void
answer_literal(struct lookup *lookup)
{
	const struct nexthop_text *nexthop = &lookup->nexthop;
	bool is_v4 = nexthop->family == AF_INET;
	struct ipc_host host = {
		.name = slice_str(nexthop->host),
		.family = nexthop->family,
		.port = nexthop->port,
		.address = slice_make(nexthop->address, is_v4 ? 4 : 16),
	};
	struct buf list;

	if ((is_v4 && !lookup->options.ipv4) || (!is_v4 && !lookup->options.ipv6)) {
		char reason[TEXT_MAX];

		(void)snprintf(reason, sizeof(reason),
			"inet_protocols does not allow the address %s", nexthop->host);
		fail(lookup, false, "4.4.3", reason);
		return;
	}
	buf_init(&list, 0);
	ipc_host_put(&list, &host);
	finish(lookup, IPC_RESOLVE_OK, TTL_LITERAL_S, buf_slice(&list), "", "");
	buf_done(&list);
}

void
lookup_start(const struct lookup_options *options, uint64_t query, struct slice nexthop,
	uint16_t port, bool use_mx)
{
	struct lookup *lookup = MEM_NEW(struct lookup);

	lookup->options = *options;
	lookup->query = query;
	lookup->ttl_s = TTL_LITERAL_S;
	if (nexthop_text_parse(nexthop, port, &lookup->nexthop) != ERR_OK) {
		char reason[TEXT_MAX];

		(void)snprintf(reason, sizeof(reason),
			"bad next hop \"%.255s\": domain, [host] or [host]:port is wanted",
			nexthop.len > 0 ? (const char *)nexthop.ptr : "");
		fail(lookup, true, "5.4.4", reason);
	} else if (lookup->nexthop.family != 0) {
		answer_literal(lookup);
	} else if (use_mx && !lookup->nexthop.is_bracketed) {
		ask(lookup, lookup->nexthop.host, DNS_MX, TAG_MX);
	} else {
		add_host(lookup, lookup->nexthop.host, 0);
		ask_addresses(lookup);
	}
}
