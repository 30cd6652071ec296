/*
 * defer.c - back to the deferred queue: backoff, jitter, the complete STATE (rules B1, D60, D61)
 */
#include "qmgr/core_priv.h"

#include "base/check.h"
#include "base/num.h"
#include "qmgr/transports.h"

/* What waits for room is looked at now and then, so that a site's death is told to its mail. */
enum { PARKED_LOOK_MIN_S = 300 };

uint64_t
message_created_us(const struct message *message)
{
	uint64_t created_us = message->envelope.created_us;

	return created_us != 0 ? created_us : message->envelope.arrival_us;
}

/* The minimum wins over the maximum; no creation time, or one in the future, gives the minimum. */
uint64_t
defer_due_us(struct core *core, const struct message *message)
{
	uint64_t min_s = config_time_s(core->config, NULL, PARAM_MINIMAL_BACKOFF_TIME);
	uint64_t max_s = config_time_s(core->config, NULL, PARAM_MAXIMAL_BACKOFF_TIME);
	uint64_t created_us = message_created_us(message);
	uint64_t now_us = core->now.wall.us;
	uint64_t delay_us = created_us > 0 && now_us > created_us ? now_us - created_us : 0;
	uint64_t due_us;

	if (core_plant_rule_is_on(core, CORE_RULE_NEGATIVE_AGE) && now_us < created_us)
		delay_us = UINT64_MAX;
	if (!core_plant_rule_is_on(core, CORE_RULE_NO_MAXIMUM))
		delay_us = num_min_u64(delay_us, max_s * US_PER_S);
	if (!core_plant_rule_is_on(core, CORE_RULE_NO_MINIMUM))
		delay_us = num_max_u64(delay_us, min_s * US_PER_S);
	due_us = now_us + delay_us +
		 rng_below(&core->rng, delay_us * DEFER_JITTER_PERCENT / 100 + 1);
	if (message->turn_us != 0)
		due_us = num_min_u64(
			due_us, num_max_u64(message->turn_us, now_us + min_s * US_PER_S));
	return due_us;
}

void
defer_encode(struct message *message, struct change *change)
{
	struct state *state = &message->state;

	state->attempts = message->attempt;
	if (message->is_tried)
		state->last_attempt_us = message->core->now.wall.us;
	state->flags &= ~(uint32_t)STATE_HELD;
	if (message->is_held)
		state->flags |= STATE_HELD;
	change->due_us = defer_due_us(message->core, message);
	state->next_attempt_us = change->due_us;
	change->flags = message->is_held ? RECORD_STATE_HELD : 0;
	buf_clear(&change->payload);
	CHECK(state_encode(state, &change->payload) == ERR_OK);
}

/*
 * Nothing is finished, and nobody has said anything about it: a crash that loses this costs an
 * attempt too early, as it does for a moment anyway. With a million deferred messages these are
 * nearly all that is written, so they may wait to be written together.
 */
static bool
defer_is_hint(const struct message *message)
{
	const struct state *state = &message->state;

	return state->class_count[STATE_OPEN] == state->recipient_count &&
	       (state->flags & ~(uint32_t)STATE_WARNED) == 0 && state->worker_deaths == 0;
}

/* In the form that a journal of the newest format may have. */
static void
defer_shorten(const struct message *message, struct change *change)
{
	struct journal_format format;

	journal_format(store_journal(message->core->store), &format);
	if (format.written < RECORD_FORMAT_BRIEF)
		return;
	buf_clear(&change->payload);
	if (!state_encode_brief(&message->state, &change->payload, &change->shared))
		CHECK(state_encode(&message->state, &change->payload) == ERR_OK);
}

void
defer_message(struct message *message)
{
	core_boundary(message->core, "deferral");
	struct change *change = change_new(message->core, CHANGE_STATE, message);

	defer_encode(message, change);
	change->is_hint = defer_is_hint(message);
	if (change->is_hint)
		defer_shorten(message, change);
	if (message->core->options.planted & CORE_PLANT_LOSE_DEFERRED)
		change->due_us = UINT64_MAX / 2;
	message->core->deferred++;
	message_move(message, MESSAGE_ENDING);
	change_submit(change);
}

/*
 * Recipients that all wait for one dead site need no timer of their own. The STATE has one all the
 * same: after a restart nothing is parked, and each message comes by itself.
 */
struct sched_destination *
defer_site(const struct message *message, const struct change *change)
{
	const struct state *state = &message->state;

	if (message->site == NULL || message->site_count != state->class_count[STATE_OPEN] ||
		state->class_count[STATE_BOUNCE_PENDING] > 0 ||
		state->class_count[STATE_DELIVERED_PENDING] > 0 ||
		(change->flags & RECORD_STATE_HELD) != 0 || change->due_us == 0 ||
		config_enum(message->core->config, NULL, PARAM_SCHEDULER_CONCURRENCY_POLICY) == 0)
		return NULL;
	sched_destination_hold(message->site);
	return message->site;
}

/*
 * Nothing was tried and nothing has changed, so nothing is written: it waits in its sender's line
 * until its site has taken what is before it. Not for a message whose state in memory is newer.
 */
bool
defer_crowded(struct message *message)
{
	struct core *core = message->core;
	struct sched_destination *site = message->site;
	store_ref ref = message->ref;
	uint64_t queue_id = message->queue_id, class = message->sched.class, look_us;
	bool is_fetched;

	if (message->site == NULL || message->is_tried || message->is_held ||
		message->owed_attempt != 0 || message->state.worker_deaths > 0 ||
		message->crowded_count != message->state.class_count[STATE_OPEN] ||
		message->site_count != message->crowded_count ||
		message->state.class_count[STATE_BOUNCE_PENDING] > 0 ||
		message->state.class_count[STATE_DELIVERED_PENDING] > 0 || core->is_stopping)
		return false;
	look_us = num_max_u64(
		defer_look_us(message), core->now.wall.us + PARKED_LOOK_MIN_S * US_PER_S);
	sched_destination_hold(site);
	message->keeps_place =
		sched_is_parked(core->sched, queue_id, &is_fetched) && !is_fetched;
	if (core->options.planted & CORE_PLANT_LOSE_CROWDED)
		look_us = UINT64_MAX / 2;
	else if (!message->keeps_place)
		sched_park(core->sched, site, class, queue_id);
	message->keeps_place = true;
	store_unpin(core->store, ref);
	active_forget(message);
	store_set_due(core->store, ref, look_us);
	sched_destination_release(site);
	return true;
}

/* In time for a warning and for its end, and now and then. */
uint64_t
defer_look_us(const struct message *message)
{
	const struct core *core = message->core;
	uint64_t max_s = config_time_s(core->config, NULL, PARAM_MAXIMAL_BACKOFF_TIME);
	uint64_t now_us = core->now.wall.us;
	uint64_t look_us = now_us + max_s * US_PER_S;
	uint64_t warn_us = message->envelope.warn_us;

	look_us = num_min_u64(look_us, done_expires_us(message));
	if (warn_us > 0 && (message->state.flags & STATE_WARNED) == 0)
		look_us = num_min_u64(look_us, warn_us);
	return num_max_u64(look_us, message->state.next_attempt_us);
}

/* A failure that may be the first of a dying site is looked into as soon as a probe would be. */
uint64_t
defer_soon_us(struct core *core)
{
	uint64_t wait_us = transports_probe_s(core->config) * US_PER_S;

	return core->now.wall.us + wait_us +
	       rng_below(&core->rng, wait_us * DEFER_JITTER_PERCENT / 100 + 1);
}

void
defer_stop(struct core *core)
{
	uint64_t min_s = config_time_s(core->config, NULL, PARAM_MINIMAL_BACKOFF_TIME);
	uint64_t queue_id;

	while (sched_park_empty(core->sched, &queue_id)) {
		store_ref ref = store_find(core->store, queue_id);

		if (ref != 0 && active_find(core, ref) == NULL)
			store_set_due(core->store, ref, core->now.wall.us +
				rng_below(&core->rng, min_s * US_PER_S + 1));
	}
}

void
defer_at_once(struct message *message)
{
	struct change *change = change_new(message->core, CHANGE_STATE, message);

	defer_encode(message, change);
	change->due_us = 0;
	message_move(message, MESSAGE_ENDING);
	change_submit(change);
}
