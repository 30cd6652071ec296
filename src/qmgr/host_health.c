/*
 * host_health.c - hosts that could not be reached: what one session finds out all know
 *
 * A host that a session could not use is tried last by the sessions after it, for a time that
 * doubles when it fails again soon after. A site is dead only when none of its hosts can be used
 * (a session finds that out: none is left out).
 */
#include "qmgr/core_priv.h"

#include "base/mem.h"
#include "base/num.h"

enum { HOSTS_MAX = 10000, HOSTS_LISTED_MAX = 64, PREFERENCE_LAST = UINT16_MAX };
enum { AVOID_FIRST_S = 30, AVOID_MAX_S = 300 };

struct host_key {
	uint16_t family, port;
	uint8_t address[16];
};

struct host {
	struct host_key key;
	uint64_t wait_ns;
	struct mono until;
	UT_hash_handle hh;
};

static struct host_key
key_of(const struct ipc_host *host)
{
	struct host_key key;

	memset(&key, 0, sizeof(key)); /* the gaps, too */
	key.family = host->family;
	key.port = host->port;
	memcpy(key.address, host->address.ptr,
		host->address.len < sizeof(key.address) ? host->address.len : sizeof(key.address));
	return key;
}

static struct host *
find(const struct core *core, const struct ipc_host *ipc)
{
	struct host_key key = key_of(ipc);
	struct host *host;

	HASH_FIND(hh, core->hosts, &key, sizeof(key), host);
	return host;
}

/* Those that have not failed for long are as good as any. */
static void
purge(struct core *core)
{
	struct host *host, *next;

	HASH_ITER(hh, core->hosts, host, next)
	{
		if (mono_add_ns(host->until, host->wait_ns).ns < core->now.mono.ns) {
			HASH_DELETE(hh, core->hosts, host);
			mem_free(host);
		}
	}
}

static void
failed(struct core *core, const struct ipc_host *ipc)
{
	struct host *host = find(core, ipc);
	struct mono now = core->now.mono;

	if (host == NULL) {
		if (HASH_COUNT(core->hosts) >= HOSTS_MAX)
			purge(core);
		if (HASH_COUNT(core->hosts) >= HOSTS_MAX)
			return;
		host = MEM_NEW(struct host);
		host->key = key_of(ipc);
		HASH_ADD(hh, core->hosts, key, sizeof(host->key), host);
	}
	/* Others that were on their way to it say nothing new. */
	if (now.ns < host->until.ns)
		return;
	if (host->wait_ns == 0 || now.ns > mono_add_ns(host->until, host->wait_ns).ns)
		host->wait_ns = AVOID_FIRST_S * NS_PER_S;
	else
		host->wait_ns = num_min_u64(2 * host->wait_ns, AVOID_MAX_S * NS_PER_S);
	host->until = mono_add_ns(now, host->wait_ns);
}

void
host_health_failed(struct core *core, struct slice list)
{
	struct ipc_host host;

	for (unsigned i = 0; i < HOSTS_LISTED_MAX && ipc_host_next(&list, &host) == ERR_OK; i++)
		if (host.address.len > 0)
			failed(core, &host);
}

static bool
is_avoided(const struct core *core, const struct ipc_host *ipc)
{
	const struct host *host = ipc->address.len > 0 ? find(core, ipc) : NULL;

	return host != NULL && core->now.mono.ns < host->until.ns;
}

void
host_health_sort(const struct core *core, struct slice list, struct buf *to)
{
	struct slice rest = list;
	struct ipc_host host;

	if (core->hosts == NULL) {
		buf_add(to, list);
		return;
	}
	while (ipc_host_next(&rest, &host) == ERR_OK)
		if (!is_avoided(core, &host))
			ipc_host_put(to, &host);
	while (ipc_host_next(&list, &host) == ERR_OK)
		if (is_avoided(core, &host)) {
			host.preference = PREFERENCE_LAST;
			ipc_host_put(to, &host);
		}
}

/* An operator who mended something wants to see it. */
void
host_health_forget(struct core *core)
{
	struct host *host, *next;

	HASH_ITER(hh, core->hosts, host, next)
	{
		HASH_DELETE(hh, core->hosts, host);
		mem_free(host);
	}
}
