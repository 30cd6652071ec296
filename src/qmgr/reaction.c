/* reaction.c - see reaction.h */
#include "qmgr/reaction.h"

#include "base/num.h"
#include "qmgr/core_priv.h"

static uint8_t
lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

/* After a star it is enough to go back to the last one, so the time is bounded by the product. */
bool
reaction_fits(struct slice pattern, struct slice reply)
{
	size_t p = 0, r = 0, star = SIZE_MAX, from = 0;

	while (r < reply.len) {
		if (p < pattern.len && pattern.ptr[p] == '*') {
			star = p++;
			from = r;
		} else if (p < pattern.len && lower(pattern.ptr[p]) == lower(reply.ptr[r])) {
			p++;
			r++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			r = ++from;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.ptr[p] == '*')
		p++;
	return p == pattern.len;
}

/* It is done already, for long enough: one line in the log, not one for each message. */
static bool
is_done(const struct core *core, const struct sched_status *status, const struct reaction *reaction)
{
	uint64_t soon_ns = core->now.mono.ns + reaction->time_s * NS_PER_S / 2;

	switch (reaction->kind) {
	case REACTION_SUSPEND:
		return status->held_until.ns > soon_ns;
	case REACTION_SLOW:
		return status->slow_until.ns > soon_ns && status->slow_ns >= reaction->rate_ns;
	case REACTION_BACK_OFF:
		return status->state == WINDOW_DEAD && status->due.ns > soon_ns;
	}
	return false;
}

void
reaction_act(struct core *core, struct sched_destination *destination,
	const struct reaction *reaction, struct slice dsn, struct slice why)
{
	static const char *const words[] = { "suspended for", "slowed down for", "left alone for" };
	struct mono until = mono_add_ns(core->now.mono, reaction->time_s * NS_PER_S);
	struct sched_status status;

	sched_destination_status(destination, &status);
	if (is_done(core, &status, reaction))
		return;
	log_event(core->log, EV_qmgr_site_act, LOG_S(status.nexthop),
		LOG_S(sched_transport_name(status.transport)), LOG_Z(words[reaction->kind]),
		LOG_U(reaction->time_s), LOG_S(why));
	switch (reaction->kind) {
	case REACTION_SUSPEND:
		sched_destination_suspend(destination, why, until);
		break;
	case REACTION_SLOW:
		sched_destination_slow(destination, why, reaction->rate_ns, until);
		break;
	case REACTION_BACK_OFF:
		sched_destination_back_off(destination, dsn, why, core->now.mono, until);
		break;
	}
	core_mark(core);
}

/* True: one of the table's entries fitted. */
static bool
look_up(struct core *core, struct slice table, struct sched_destination *destination,
	struct slice dsn, struct slice reply)
{
	struct slice entry, pattern;
	struct reaction reaction;

	/* The configuration has checked the table. */
	while (reaction_next(&table, &entry, &pattern, &reaction) == ERR_OK)
		if (reaction_fits(pattern, reply)) {
			reaction_act(core, destination, &reaction, dsn, reply);
			return true;
		}
	return false;
}

void
reaction_reply(struct core *core, struct sched_destination *destination, struct slice dsn,
	struct slice reply)
{
	const struct config *config = core->config;

	if (config_enum(config, NULL, PARAM_SCHEDULER_CONCURRENCY_POLICY) != 0 &&
		!look_up(core, config_str(config, NULL, PARAM_REPLY_REACTIONS), destination, dsn,
			reply))
		(void)look_up(core, config_str(config, NULL, PARAM_STANDARD_REPLY_REACTIONS),
			destination, dsn, reply);
}
