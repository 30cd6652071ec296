/*
 * transports.h - the transports of master.cf as the queue manager sees them
 *
 * One struct transport per name that routing ever gave, also for names that master.cf lacks
 * (is_missing): mail for these waits. Suspects have transports of their own, `NAME (suspects)`,
 * with one session and no memory of what else its sites do. They live until transports_close(); a
 * new configuration changes their limits in place.
 *
 * Threads: one.
 */
#ifndef OSTLER_QMGR_TRANSPORTS_H
#define OSTLER_QMGR_TRANSPORTS_H

#include "config/snapshot.h"
#include "ipc/messages.h"
#include "sched/sched.h"

#include <uthash.h>

struct core;

/* Who does the work of a transport. */
enum transport_kind {
	TRANSPORT_SMTP,    /* role smtp, by SMTP or LMTP */
	TRANSPORT_LOCAL,   /* role local */
	TRANSPORT_ERROR,   /* the queue manager: next hop is the reason of a bounce */
	TRANSPORT_RETRY,   /* the queue manager: next hop is the reason of a deferral */
	TRANSPORT_DISCARD, /* the queue manager: thrown away, as sent */
	TRANSPORT_MISSING, /* not in master.cf, or of a kind that this release does not have */
};

struct transport {
	char *key;
	char *name;        /* in master.cf */
	bool is_solo;      /* its mail are suspects, one at a time */
	enum transport_kind kind;
	enum ipc_protocol protocol;
	uint16_t port;     /* of next hops that name none */
	bool use_mx;
	bool is_deferred;  /* in defer_transports (rule R48) */
	bool is_missing_worker; /* nobody does its work */
	struct mono missing_since;
	struct mono gone_since; /* its mail is deferred for that; 0: since then it had a session */
	struct sched_transport *sched; /* NULL unless SMTP or LOCAL */
	UT_hash_handle hh;
};

/* How long a site is dead before its first probe. */
uint64_t transports_probe_s(const struct config *config);

void transports_open(struct core *core);
void transports_update(struct core *core); /* after a change of configuration */
void transports_close(struct core *core);

/* The transport of a name; never NULL. And the one that suspects take. */
struct transport *transport_get(struct core *core, struct slice name);
struct transport *transport_get_solo(struct core *core, struct slice name);

/*
 * A next hop of error or retry: "x.y.z text" parted into its status and its words; without a status
 * `standard` counts.
 */
void transport_split_reason(
	struct slice nexthop, const char *standard, struct slice *ret_dsn, struct slice *ret_text);

#endif
