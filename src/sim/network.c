/* network.c - see network.h */
#include "sim/network.h"

#include "base/check.h"
#include "base/clock.h"

bool
network_is_up(const struct site *site, uint64_t now_ns)
{
	return now_ns < site->outage_start_ns || now_ns >= site->outage_end_ns;
}

struct answer
network_connect(struct site *site, struct rng *rng, uint64_t now_ns)
{
	struct answer no = { site->connect_ns, false };

	if (!network_is_up(site, now_ns) || (site->bad > 0 && rng_below(rng, 10000) < site->bad))
		return no;
	if (site->capacity > 0 && site->open >= site->capacity) {
		if (site->full_ns > 0)
			no.after_ns = site->full_ns;
		return no;
	}
	site->open++;
	return (struct answer){ site->connect_ns, true };
}

void
network_close(struct site *site)
{
	CHECK(site->open > 0);
	site->open--;
}

struct answer
network_transact(struct site *site, struct rng *rng, uint64_t now_ns)
{
	struct answer answer = { site->latency_ns, network_is_up(site, now_ns) };

	if (site->spread > 0) {
		uint64_t part = site->latency_ns / 10000 * site->spread;

		answer.after_ns += rng_below(rng, 2 * part + 1) - part;
	}
	if (site->rate == 0)
		return answer;
	if (now_ns >= site->rate_from_ns + 60 * NS_PER_S) {
		site->rate_from_ns = now_ns;
		site->rate_left = site->rate;
	}
	if (site->rate_left == 0)
		answer.works = false;
	else
		site->rate_left--;
	return answer;
}

static void
set_traits(struct site *site, const struct traits *traits)
{
	const uint64_t *values = traits->values;

	if (traits->given & 1u << TRAIT_LATENCY)
		site->latency_ns = values[TRAIT_LATENCY];
	if (traits->given & 1u << TRAIT_CONNECT)
		site->connect_ns = values[TRAIT_CONNECT];
	if (traits->given & 1u << TRAIT_CAPACITY)
		site->capacity = (uint32_t)values[TRAIT_CAPACITY];
	if (traits->given & 1u << TRAIT_FULL)
		site->full_ns = values[TRAIT_FULL];
	if (traits->given & 1u << TRAIT_GREYLIST)
		site->greylist_ns = values[TRAIT_GREYLIST];
	if (traits->given & 1u << TRAIT_RATE) {
		site->rate = (uint32_t)values[TRAIT_RATE];
		site->rate_left = site->rate;
	}
	if (traits->given & 1u << TRAIT_BAD)
		site->bad = (uint32_t)values[TRAIT_BAD];
	if (traits->given & 1u << TRAIT_SPREAD)
		site->spread = (uint32_t)values[TRAIT_SPREAD];
	if (traits->given & 1u << TRAIT_OUTAGE) {
		site->outage_start_ns = values[TRAIT_OUTAGE];
		site->outage_end_ns = values[TRAIT_OUTAGE] + traits->outage_length_ns;
	}
}

void
network_change(struct site *sites, uint64_t count, const struct change *change, uint64_t seed)
{
	struct rng rng;

	rng_init(&rng, seed);
	if (change->select == SELECT_ONE) {
		if (change->which < count)
			set_traits(&sites[change->which], &change->traits);
		return;
	}
	for (uint64_t i = 0; i < count; i++)
		if (change->select == SELECT_ALL || rng_below(&rng, 10000) < change->which)
			set_traits(&sites[i], &change->traits);
}
