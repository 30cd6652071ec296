/*
 * nexthop.c - hosts of next hops, asked of the resolver and kept for their TTL; PTR questions
 *
 * A session that was granted waits here until its hosts are known. Answers are shared: a hundred
 * sessions for one next hop are one question. An answer that failed is kept as long as it says, so
 * that a dead domain does not cost a question per message.
 */
#include "qmgr/core_priv.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/num.h"
#include "qmgr/site_settings.h"
#include "qmgr/transports.h"

#include <stdlib.h>

enum { NEXTHOPS_MAX = 50000, TTL_MAX_S = 3600, PTRS_MAX = 10000, SITE_HOSTS_MAX = 64 };
/* Mail is not moved between sites more often than this. */
enum { BOUND_MIN_S = 5 };

struct nexthop {
	char *key;
	size_t key_len;
	char *text;            /* what the resolver is asked */
	uint16_t port;
	bool use_mx;
	uint64_t query;        /* 0: none is open */
	bool is_known;
	enum ipc_resolve_status status;
	struct mono asked_at, expires;
	struct buf hosts, dsn, reason;
	struct buf site; /* what makes its hosts the same as another's */
	LIST_HEAD(, session) waiting;
	UT_hash_handle hh;       /* by key, in core->nexthops */
	UT_hash_handle by_query; /* in core->queries, while a question is open */
};

struct ptr_query {
	uint64_t number;
	core_peer peer;
	uint64_t theirs;
	UT_hash_handle hh;
};

/* --- the table -------------------------------------------------------------------------------- */

static void
nexthop_free(struct core *core, struct nexthop *nexthop)
{
	HASH_DELETE(hh, core->nexthops, nexthop);
	if (nexthop->query != 0)
		HASH_DELETE(by_query, core->queries, nexthop);
	buf_done(&nexthop->hosts);
	buf_done(&nexthop->dsn);
	buf_done(&nexthop->reason);
	buf_done(&nexthop->site);
	mem_free(nexthop->key);
	mem_free(nexthop->text);
	mem_free(nexthop);
}

/* Drops answers that are too old; all that nobody waits for when there are too many. */
static void
purge(struct core *core)
{
	struct nexthop *nexthop, *next;

	if (HASH_COUNT(core->nexthops) < NEXTHOPS_MAX)
		return;
	HASH_ITER(hh, core->nexthops, nexthop, next)
	{
		if (LIST_EMPTY(&nexthop->waiting) && nexthop->query == 0)
			nexthop_free(core, nexthop);
	}
}

static struct nexthop *
nexthop_get(struct core *core, struct slice text, uint16_t port, bool use_mx)
{
	struct nexthop *nexthop;
	struct buf key;

	buf_init(&key, 0);
	buf_addf(&key, "%u %u %" SLICE_FMT, use_mx, port, SLICE_ARG(text));
	HASH_FIND(hh, core->nexthops, key.ptr, key.len, nexthop);
	if (nexthop == NULL) {
		purge(core);
		nexthop = mem_new(sizeof(*nexthop));
		nexthop->key = mem_strndup((const char *)key.ptr, key.len);
		nexthop->key_len = key.len;
		nexthop->text = mem_strndup((const char *)text.ptr, text.len);
		nexthop->port = port;
		nexthop->use_mx = use_mx;
		buf_init(&nexthop->hosts, 0);
		buf_init(&nexthop->dsn, 0);
		buf_init(&nexthop->reason, 0);
		buf_init(&nexthop->site, 0);
		LIST_INIT(&nexthop->waiting);
		HASH_ADD_KEYPTR(hh, core->nexthops, nexthop->key, nexthop->key_len, nexthop);
	}
	buf_done(&key);
	return nexthop;
}

static void
ask(struct core *core, struct nexthop *nexthop)
{
	if (nexthop->query == 0) {
		nexthop->query = core->query_next++;
		HASH_ADD(by_query, core->queries, query, sizeof(nexthop->query), nexthop);
	}
	if (core->resolver != NULL)
		SEND(core, core->resolver->number, resolve, .query = nexthop->query,
			.nexthop = slice_str(nexthop->text), .port = nexthop->port,
			.use_mx = nexthop->use_mx);
}

/* --- sessions that wait ----------------------------------------------------------------------- */

/*
 * One with the same hosts, settings and (being of the same transport) source address and protocol
 * may have been there before: then the mail waits there. True: it does, and that session's is over.
 */
static bool
bind_site(struct session *session, const struct nexthop *nexthop)
{
	struct core *core = session->core;
	struct sched_destination *destination = session->destination, *site;
	struct slice text = sched_destination_nexthop(destination), line;
	struct mono until = mono_add_ns(nexthop->asked_at, BOUND_MIN_S * NS_PER_S);
	struct buf key;

	/* A user's queue (R52) is there so that he has a window of his own; suspects are alone. */
	bool may_share = slice_equal(sched_destination_name(destination), text) &&
			 !session->transport->is_solo;

	buf_init(&key, 0);
	if (nexthop->status == IPC_RESOLVE_OK && may_share) {
		line = site_settings_line(core, session->transport->sched, text);
		buf_add(&key, buf_slice(&nexthop->site));
		buf_addf(&key, "%" SLICE_FMT, SLICE_ARG(line));
		if (core->options.planted & CORE_PLANT_ONE_SITE)
			key.len = 1;
	}
	site = sched_destination_bind(core->sched, destination, buf_slice(&key),
		until.ns > nexthop->expires.ns ? until : nexthop->expires);
	buf_done(&key);
	return site != destination;
}

static void
tell(struct session *session, const struct nexthop *nexthop)
{
	if (bind_site(session, nexthop))
		session_not_needed(session);
	else if (nexthop->status == IPC_RESOLVE_OK)
		session_hosts(session, buf_slice(&nexthop->hosts));
	else
		session_refused(session, nexthop->status == IPC_RESOLVE_PERMANENT,
			buf_slice(&nexthop->dsn), buf_slice(&nexthop->reason));
}

/* unix:PATH needs no resolver. */
static bool
is_unix(struct slice nexthop, struct buf *hosts)
{
	struct ipc_host host = { .family = 1 /* AF_UNIX */ };

	if (!slice_starts_nocase(nexthop, SLICE_LIT("unix:")))
		return false;
	host.name = slice_from(nexthop, 5);
	ipc_host_put(hosts, &host);
	return true;
}

void
nexthop_want(struct session *session)
{
	struct core *core = session->core;
	const struct transport *transport = session->transport;
	struct slice text = sched_destination_nexthop(session->destination);
	struct nexthop *nexthop;
	struct buf hosts;
	bool use_mx = transport->use_mx;

	buf_init(&hosts, 0);
	if (transport->kind == TRANSPORT_LOCAL || is_unix(text, &hosts)) {
		session_hosts(session, buf_slice(&hosts));
		buf_done(&hosts);
		return;
	}
	if (slice_starts_nocase(text, SLICE_LIT("inet:"))) {
		text = slice_from(text, 5);
		use_mx = false;
	}
	nexthop = nexthop_get(core, text, transport->port, use_mx);
	if (nexthop->is_known && core->now.mono.ns < nexthop->expires.ns) {
		tell(session, nexthop);
		return;
	}
	nexthop->is_known = false;
	LIST_INSERT_HEAD(&nexthop->waiting, session, nexthop_link);
	session->is_waiting = true;
	if (nexthop->query == 0)
		ask(core, nexthop);
}

void
nexthop_forget_session(struct session *session)
{
	if (session->is_waiting)
		LIST_REMOVE(session, nexthop_link);
	session->is_waiting = false;
}

static struct nexthop *
find_query(struct core *core, uint64_t query)
{
	struct nexthop *nexthop;

	HASH_FIND(by_query, core->queries, &query, sizeof(query), nexthop);
	return nexthop;
}

static bool
hosts_are_sound(struct slice hosts)
{
	struct ipc_host host;
	enum err err;

	while ((err = ipc_host_next(&hosts, &host)) == ERR_OK)
		continue;
	return err == ERR_NOTFOUND;
}

/* --- what makes two next hops one site -------------------------------------------------------- */

/* A host of a site: the rank of its preference, and its name, which MX records share. */
struct site_host {
	unsigned rank;
	struct ipc_host ipc;
	bool by_address; /* the name is the next hop's own */
};

static int
compare_hosts(const void *left, const void *right)
{
	const struct site_host *a = left, *b = right;
	int order = a->rank < b->rank ? -1 : a->rank > b->rank;

	if (order == 0)
		order = (a->by_address > b->by_address) - (a->by_address < b->by_address);
	if (order == 0)
		order = a->by_address ? slice_compare(a->ipc.address, b->ipc.address)
				      : slice_compare(a->ipc.name, b->ipc.name);
	return order;
}

static void
put_site_host(struct buf *site, const struct site_host *host)
{
	buf_addf(site, "%u %u ", host->rank, host->ipc.port);
	if (host->by_address)
		for (size_t i = 0; i < host->ipc.address.len; i++)
			buf_addf(site, "%02x", host->ipc.address.ptr[i]);
	else
		buf_addf(site, "%" SLICE_FMT, SLICE_ARG(host->ipc.name));
	buf_add_str(site, "\n");
}

/*
 * The hosts in an order that chance has no part in. Those that MX records name go by their names:
 * where a name has ever other addresses it still is one site.
 */
static void
name_site(struct nexthop *nexthop)
{
	struct site_host hosts[SITE_HOSTS_MAX];
	struct slice list = buf_slice(&nexthop->hosts), text = slice_str(nexthop->text);
	unsigned count = 0, rank = 0;

	if (text.len > 0 && text.ptr[0] == '[')
		text = slice_from(text, 1);
	while (count < SITE_HOSTS_MAX && ipc_host_next(&list, &hosts[count].ipc) == ERR_OK) {
		struct site_host *host = &hosts[count];

		if (count > 0 && host->ipc.preference != hosts[count - 1].ipc.preference)
			rank++;
		host->rank = rank;
		host->by_address = slice_starts_nocase(text, host->ipc.name);
		count++;
	}
	qsort(hosts, count, sizeof(hosts[0]), compare_hosts);
	buf_clear(&nexthop->site);
	for (unsigned i = 0; i < count; i++)
		if (i == 0 || compare_hosts(&hosts[i - 1], &hosts[i]) != 0)
			put_site_host(&nexthop->site, &hosts[i]);
}

/* --- answers ---------------------------------------------------------------------------------- */

void
nexthop_resolved(struct core *core, const struct ipc_resolved *resolved)
{
	struct nexthop *nexthop = find_query(core, resolved->query);
	struct session *session;
	uint64_t ttl_s = num_min_u64(resolved->ttl_s, TTL_MAX_S);

	if (nexthop == NULL || resolved->query == 0)
		return;
	HASH_DELETE(by_query, core->queries, nexthop);
	nexthop->query = 0;
	nexthop->is_known = true;
	nexthop->asked_at = core->now.mono;
	nexthop->expires = mono_add_ns(core->now.mono, ttl_s * NS_PER_S);
	nexthop->status = resolved->status;
	buf_clear(&nexthop->hosts);
	buf_clear(&nexthop->dsn);
	buf_clear(&nexthop->reason);
	buf_add(&nexthop->hosts, resolved->hosts);
	buf_add(&nexthop->dsn, resolved->dsn);
	buf_add(&nexthop->reason, resolved->reason);
	if (nexthop->status > IPC_RESOLVE_TEMPORARY || !hosts_are_sound(resolved->hosts) ||
		(nexthop->status == IPC_RESOLVE_OK && resolved->hosts.len == 0)) {
		nexthop->status = IPC_RESOLVE_TEMPORARY;
		buf_clear(&nexthop->dsn);
		buf_clear(&nexthop->reason);
		buf_add_str(&nexthop->dsn, "4.3.0");
		buf_add_str(&nexthop->reason, "address resolver failure");
	}
	if (nexthop->status == IPC_RESOLVE_OK)
		name_site(nexthop);
	while ((session = LIST_FIRST(&nexthop->waiting)) != NULL) {
		nexthop_forget_session(session);
		tell(session, nexthop);
	}
	core_mark(core);
}

/* Questions stay open; the next resolver gets them again. */
void
nexthop_resolver_gone(struct core *core)
{
	struct ptr_query *ptr, *next;

	HASH_ITER(hh, core->ptrs, ptr, next)
	{
		HASH_DELETE(hh, core->ptrs, ptr);
		if (core_peer_find(core, ptr->peer) != NULL)
			SEND(core, ptr->peer, ptr_result, .query = ptr->theirs);
		mem_free(ptr);
	}
}

void
nexthop_resolver_up(struct core *core)
{
	struct nexthop *nexthop, *next;

	HASH_ITER(hh, core->nexthops, nexthop, next)
	{
		if (nexthop->query != 0)
			ask(core, nexthop);
	}
}

/* A flush asks anew: an operator who mended DNS does not wait for a TTL. */
void
nexthop_flush(struct core *core)
{
	struct nexthop *nexthop, *next;

	host_health_forget(core);
	HASH_ITER(hh, core->nexthops, nexthop, next)
	{
		nexthop->is_known = false;
	}
}

void
nexthop_forget(struct core *core, struct slice text)
{
	struct nexthop *nexthop, *next;

	HASH_ITER(hh, core->nexthops, nexthop, next)
	{
		if (slice_equal_str(text, nexthop->text))
			nexthop->is_known = false;
	}
}

void
nexthop_free_all(struct core *core)
{
	struct nexthop *nexthop, *next;

	host_health_forget(core);
	nexthop_resolver_gone(core);
	HASH_ITER(hh, core->nexthops, nexthop, next)
	{
		struct session *session;

		while ((session = LIST_FIRST(&nexthop->waiting)) != NULL)
			nexthop_forget_session(session);
		nexthop_free(core, nexthop);
	}
}

/* --- names of clients ------------------------------------------------------------------------- */

void
nexthop_ptr(struct peer *peer, const struct ipc_ptr *ptr)
{
	struct core *core = peer->core;
	struct ptr_query *query;

	if (core->resolver == NULL || HASH_COUNT(core->ptrs) >= PTRS_MAX) {
		SEND(core, peer->number, ptr_result, .query = ptr->query);
		return;
	}
	query = mem_new(sizeof(*query));
	query->number = core->query_next++;
	query->peer = peer->number;
	query->theirs = ptr->query;
	HASH_ADD(hh, core->ptrs, number, sizeof(query->number), query);
	SEND(core, core->resolver->number, ptr, .query = query->number, .address = ptr->address);
}

void
nexthop_ptr_result(struct core *core, const struct ipc_ptr_result *result)
{
	struct ptr_query *query;

	HASH_FIND(hh, core->ptrs, &result->query, sizeof(result->query), query);
	if (query == NULL)
		return;
	HASH_DELETE(hh, core->ptrs, query);
	if (core_peer_find(core, query->peer) != NULL)
		SEND(core, query->peer, ptr_result, .query = query->theirs, .name = result->name);
	mem_free(query);
}
