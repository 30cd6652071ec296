/* reaction.c - see reaction.h */
#include "qmgr/reaction.h"

#include "base/num.h"
#include "qmgr/core_priv.h"

enum { TIME_MAX_S = 5 * 86400 };

static enum err
parse_time(struct slice text, uint64_t *ret_s)
{
	uint64_t unit = 1;
	uint8_t last = text.len > 0 ? text.ptr[text.len - 1] : '0';

	if (last == 's' || last == 'm' || last == 'h' || last == 'd') {
		unit = last == 's' ? 1 : last == 'm' ? 60 : last == 'h' ? 3600 : 86400;
		text = slice_head(text, text.len - 1);
	}
	enum err err = num_parse_u64(text, 1, TIME_MAX_S / unit, ret_s);

	if (err == ERR_OK)
		*ret_s *= unit;
	return err;
}

enum err
reaction_parse(struct slice text, struct reaction *ret_reaction)
{
	struct reaction reaction = { .kind = REACTION_SUSPEND };
	struct slice word;
	enum err err = ERR_OK;

	if (!slice_word(&text, " \t", &word))
		return ERR_SYNTAX;
	if (slice_equal_nocase_str(word, "slow")) {
		reaction.kind = REACTION_SLOW;
		if (!slice_word(&text, " \t", &reaction.rate))
			return ERR_SYNTAX;
		err = num_parse_rate(reaction.rate, &reaction.rate_ns);
	} else if (slice_equal_nocase_str(word, "back-off")) {
		reaction.kind = REACTION_BACK_OFF;
	} else if (!slice_equal_nocase_str(word, "suspend")) {
		return ERR_SYNTAX;
	}
	if (err == ERR_OK && !slice_word(&text, " \t", &word))
		return ERR_SYNTAX;
	if (err == ERR_OK)
		err = parse_time(word, &reaction.time_s);
	if (err == ERR_OK && slice_trim(text).len > 0)
		return ERR_SYNTAX;
	if (err == ERR_OK)
		*ret_reaction = reaction;
	return err;
}

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

/* "PATTERN => ACTION"; false: it is none. */
static bool
split(struct slice entry, struct slice *ret_pattern, struct reaction *ret_reaction)
{
	for (size_t i = 0; i + 1 < entry.len; i++)
		if (entry.ptr[i] == '=' && entry.ptr[i + 1] == '>') {
			*ret_pattern = slice_trim(slice_head(entry, i));
			return reaction_parse(slice_from(entry, i + 2), ret_reaction) == ERR_OK;
		}
	return false;
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

	while (slice_word(&table, ";", &entry)) {
		entry = slice_trim(entry);
		if (entry.len == 0)
			continue;
		if (!split(entry, &pattern, &reaction)) {
			log_event(core->log, EV_qmgr_bad_reaction, LOG_S(entry));
		} else if (reaction_fits(pattern, reply)) {
			reaction_act(core, destination, &reaction, dsn, reply);
			return true;
		}
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
