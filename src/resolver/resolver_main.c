/* resolver_main.c - qmgr's questions, DNS's answers (resolver_main.h) */
#include "resolver/resolver_main.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/rand.h"
#include "config/snapshot.h"
#include "resolver/lookup.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <strings.h>
#include <sysexits.h>
#include <unistd.h>

enum { SERVERS_MAX = 16, SELF_MAX = 64 };

struct resolver {
	struct role *role;
	struct config *config;
	struct dns *dns;
	struct loop_fd watch;
	struct rng rng;
	/* Addresses of this machine but for the loopback. */
	struct {
		uint16_t family;
		uint8_t bytes[16];
	} self[SELF_MAX];
	unsigned self_count;
};

struct pending {
	struct lookup *lookup;
	unsigned tag;
};

/* --- next hops -------------------------------------------------------------------------------- */

static void
lookup_answered(void *ctx, const struct dns_answer *answer)
{
	struct pending *pending = ctx;
	struct lookup *lookup = pending->lookup;
	unsigned tag = pending->tag;

	mem_free(pending);
	lookup_answer(lookup, tag, answer);
}

static void
op_ask(void *ctx, struct lookup *lookup, const char *name, enum dns_type type, unsigned tag)
{
	struct resolver *resolver = ctx;
	struct pending *pending = MEM_NEW(struct pending);

	*pending = (struct pending){ lookup, tag };
	dns_ask(resolver->dns, name, type, lookup_answered, pending);
}

static bool
op_is_self(void *ctx, const char *host, uint16_t family, const uint8_t *address)
{
	const struct resolver *resolver = ctx;

	if (host != NULL)
		return strcasecmp(host, config_cstr(resolver->config, NULL, PARAM_MYHOSTNAME)) == 0;
	for (unsigned i = 0; i < resolver->self_count; i++)
		if (resolver->self[i].family == family &&
			memcmp(resolver->self[i].bytes, address, family == AF_INET ? 4 : 16) == 0)
			return true;
	return false;
}

static void
op_done(void *ctx, uint64_t query, unsigned status, uint32_t ttl_s, struct slice hosts,
	const char *dsn, const char *reason)
{
	struct resolver *resolver = ctx;

	channel_send(&resolver->role->qmgr, IPC_TYPE_resolved,
		&(struct ipc_resolved){ .query = query,
			.status = (uint8_t)status,
			.ttl_s = ttl_s,
			.hosts = hosts,
			.dsn = slice_str(dsn),
			.reason = slice_str(reason) });
}

static const struct lookup_ops ops = { op_ask, op_is_self, op_done };

static void
resolve(struct resolver *resolver, const struct ipc_resolve *wanted)
{
	static const unsigned prefer[] = { 0, 4, 6 };
	struct lookup_options options = {
		.ipv4 = config_has_ipv4(resolver->config),
		.ipv6 = config_has_ipv6(resolver->config),
		.prefer = prefer[config_enum(
			resolver->config, NULL, PARAM_SMTP_ADDRESS_PREFERENCE)],
		.rng = &resolver->rng,
		.ops = &ops,
		.ctx = resolver,
	};

	lookup_start(&options, wanted->query, wanted->nexthop, wanted->port, wanted->use_mx != 0);
}

/* --- names of clients: the name's own addresses must have the client's among them ------------- */

struct name_query {
	struct resolver *resolver;
	uint64_t query;
	uint8_t address[16];
	size_t len;
	char name[DNS_NAME_MAX];
};

static void
name_done(struct name_query *query, const char *name)
{
	channel_send(&query->resolver->role->qmgr, IPC_TYPE_ptr_result,
		&(struct ipc_ptr_result){ .query = query->query, .name = slice_str(name) });
	mem_free(query);
}

static void
forward_answered(void *ctx, const struct dns_answer *answer)
{
	struct name_query *query = ctx;

	for (unsigned i = 0; i < answer->count; i++)
		if (slice_equal(answer->records[i], slice_make(query->address, query->len))) {
			name_done(query, query->name);
			return;
		}
	name_done(query, "");
}

static void
ptr_answered(void *ctx, const struct dns_answer *answer)
{
	struct name_query *query = ctx;

	if (answer->status != DNS_FOUND || answer->count == 0 ||
		!dns_name(answer->records[0], query->name) || query->name[0] == '\0')
		name_done(query, "");
	else
		dns_ask(query->resolver->dns, query->name, query->len == 4 ? DNS_A : DNS_AAAA,
			forward_answered, query);
}

static void
ask_name(struct resolver *resolver, const struct ipc_ptr *ptr)
{
	struct name_query *query = MEM_NEW(struct name_query);
	const uint8_t *a = ptr->address.ptr;
	char name[80];
	size_t len = 0;

	query->resolver = resolver;
	query->query = ptr->query;
	query->len = ptr->address.len;
	if (query->len != 4 && query->len != 16) {
		name_done(query, "");
		return;
	}
	memcpy(query->address, a, query->len);
	if (query->len == 4) {
		(void)snprintf(name, sizeof(name), "%u.%u.%u.%u.in-addr.arpa", a[3], a[2], a[1],
			a[0]);
	} else {
		for (int i = 15; i >= 0; i--)
			len += (size_t)snprintf(name + len, sizeof(name) - len, "%x.%x.",
				a[i] & 15u, a[i] >> 4);
		(void)snprintf(name + len, sizeof(name) - len, "ip6.arpa");
	}
	dns_ask(resolver->dns, name, DNS_PTR, ptr_answered, query);
}

/* --- process ---------------------------------------------------------------------------------- */

static void
qmgr_frame(struct role *role, uint16_t type, struct slice payload, int fd)
{
	struct resolver *resolver = role->ctx;
	union ipc_any any;

	if (fd >= 0)
		(void)close(fd);
	if (ipc_decode(type, payload, &any) != ERR_OK)
		die(EX_SOFTWARE, "bad frame %s from the queue manager", ipc_type_name(type));
	if (type == IPC_TYPE_resolve)
		resolve(resolver, &any.resolve);
	else if (type == IPC_TYPE_ptr)
		ask_name(resolver, &any.ptr);
}

static void
dns_ready(void *ctx, int ready)
{
	struct resolver *resolver = ctx;

	(void)ready;
	dns_process(resolver->dns);
}

static void
new_config(struct role *role, int fd, uint64_t number)
{
	struct resolver *resolver = role->ctx;
	struct config *config;
	struct fault fault = { 0 };

	(void)number;
	if (config_open_fd(fd, &config, &fault) != ERR_OK) {
		log_event(&role->log.log, EV_role_fault, LOG_Z(fault.text));
	} else {
		config_close(resolver->config);
		resolver->config = config;
	}
	(void)close(fd);
}

static const struct role_callbacks callbacks = {
	.config = new_config,
	.qmgr_frame = qmgr_frame,
};

static void
find_self(struct resolver *resolver)
{
	struct ifaddrs *list, *entry;

	if (getifaddrs(&list) != 0)
		return;
	for (entry = list; entry != NULL && resolver->self_count < SELF_MAX;
		entry = entry->ifa_next) {
		const struct sockaddr *address = entry->ifa_addr;
		uint8_t *bytes = resolver->self[resolver->self_count].bytes;

		if (address == NULL || (address->sa_family != AF_INET &&
					       address->sa_family != AF_INET6))
			continue;
		if (address->sa_family == AF_INET)
			memcpy(bytes,
				&((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
		else
			memcpy(bytes,
				&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr,
				16);
		resolver->self[resolver->self_count++].family = address->sa_family;
	}
	freeifaddrs(list);
}

static void
open_dns(struct resolver *resolver)
{
	char *servers[SERVERS_MAX + 1] = { NULL };
	struct slice item;

	for (uint32_t i = 0; i < SERVERS_MAX &&
			     config_list_at(resolver->config, NULL, PARAM_RESOLVER_NAMESERVERS, i,
				     &item);
		i++) {
		char server[NEXTHOP_HOST_MAX + 8];

		if (nexthop_text_nameserver(item, server) != ERR_OK)
			die(EX_CONFIG, "resolver_nameservers: bad address");
		servers[i] = mem_strndup(server, strlen(server));
	}
	if (dns_new((const char *const *)servers, &resolver->dns) != ERR_OK)
		die(EX_CONFIG, "resolver_nameservers cannot be used: address or address:port is "
			       "wanted");
	for (int i = 0; servers[i] != NULL; i++)
		mem_free(servers[i]);
}

int
resolver_main(struct role *role)
{
	struct resolver *resolver = MEM_NEW(struct resolver);
	struct fault fault = { 0 };

	resolver->role = role;
	role->ctx = resolver;
	rng_init(&resolver->rng, rand_seed());
	if (config_open_fd(role->config_fd, &resolver->config, &fault) != ERR_OK)
		die(EX_CONFIG, "the configuration cannot be read: %s", fault.text);
	(void)close(role->config_fd);
	role->config_fd = -1;
	find_self(resolver);
	open_dns(resolver);
	loop_fd_open(&resolver->watch, role->loop, dns_fd(resolver->dns), LOOP_READ, dns_ready,
		resolver);
	return role_run(role, &callbacks);
}
