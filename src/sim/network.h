/*
 * network.h - what simulated receivers do with connections and transactions
 *
 * A site takes `capacity` connections; one more is refused at once (421) or, where its backlog is
 * full too, waits in vain. Each answer says when it comes and whether the site is to blame, which
 * is what an SMTP client would tell the scheduler. Threads: pure.
 */
#ifndef OSTLER_SIM_NETWORK_H
#define OSTLER_SIM_NETWORK_H

#include "base/rand.h"
#include "sim/scenario.h"

#include <stdbool.h>
#include <stdint.h>

struct site {
	uint64_t latency_ns, connect_ns, full_ns, greylist_ns;
	uint64_t outage_start_ns, outage_end_ns;
	uint64_t rate_from_ns;   /* the minute that rate_left is of */
	uint32_t capacity, rate, rate_left, bad, spread;
	uint32_t open;           /* connections */
	uint32_t sessions;       /* of ours, opening ones too */
	bool is_waiting;         /* wants its first session since waiting_grants */
	uint64_t waiting_grants;
};

struct answer {
	uint64_t after_ns;
	bool works; /* else the site failed: the connection is gone */
};

/* Whether the site speaks the greeting; if it works, the connection is open. */
struct answer network_connect(struct site *site, struct rng *rng, uint64_t now_ns);
void network_close(struct site *site);

/* A transaction on an open connection. */
struct answer network_transact(struct site *site, struct rng *rng, uint64_t now_ns);

bool network_is_up(const struct site *site, uint64_t now_ns);

void network_change(struct site *sites, uint64_t count, const struct change *change, uint64_t seed);

#endif
