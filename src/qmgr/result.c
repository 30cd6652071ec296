/*
 * result.c - what became of recipients: judged, recorded, acknowledged (rules N1 to N7, X6 to X8)
 *
 * A result changes memory at once and is acknowledged when its RESULT record, or the DONE of its
 * message, is durable. Outcomes that the queue manager decides itself (dead sites, error and retry
 * transports) are logged here and written with the next STATE.
 */
#include "qmgr/core_priv.h"

#include "base/check.h"
#include "base/mem.h"
#include "qmgr/reaction.h"

static const char *
standard_dsn(enum state_class class)
{
	return class == STATE_OPEN ? "4.0.0" : class == STATE_BOUNCE_PENDING ? "5.0.0" : "2.0.0";
}

static enum state_class
class_of(const struct core *core, enum ipc_outcome_kind kind)
{
	if (kind == IPC_OUTCOME_DELIVERED)
		return STATE_DELIVERED;
	/* Rule N6: the agent has logged it as SOFTBOUNCE. */
	if (kind == IPC_OUTCOME_BOUNCED && !config_bool(core->config, NULL, PARAM_SOFT_BOUNCE))
		return STATE_BOUNCE_PENDING;
	return STATE_OPEN;
}

/* Rules N5, L48: whatever it is, it is final and owed to who asked; nothing waits or bounces. */
static bool
is_whatif(const struct message *message)
{
	return (message->envelope.flags & ENVELOPE_WHATIF) != 0;
}

/* Rules N1, N63, B12: someone is to be told of a delivery. */
static bool
is_success_owed(const struct message *message, uint32_t number, bool dsn_passed)
{
	const struct config *config = message->core->config;
	uint8_t notify = recipient_index_get(&message->recipients, number).notify;

	if (message->core->options.planted & CORE_PLANT_FORGET_SUCCESS)
		return false;
	if ((notify & DSN_NOTIFY_SUCCESS) != 0 && !dsn_passed)
		return true;
	if ((message->envelope.flags & ENVELOPE_RECORD) != 0 &&
		(message->state.flags & STATE_RECORDED) == 0)
		return true;
	return (message->state.flags & STATE_WARNED) != 0 &&
	       (notify == 0 || (notify & DSN_NOTIFY_DELAY) != 0) &&
	       config_bool(config, NULL, PARAM_CONFIRM_DELAY_CLEARED);
}

/* What an open recipient becomes by its outcome. */
static struct state_result
judge(const struct message *message, const struct ipc_outcome *outcome)
{
	const struct core *core = message->core;
	struct state_result result = {
		.number = outcome->number,
		.class = (uint8_t)class_of(core, (enum ipc_outcome_kind)outcome->kind),
		.reason = {
			.dsn = outcome->dsn,
			.text = outcome->reason,
			.remote_mta = outcome->remote_mta,
			.diagnostic = outcome->diagnostic,
			.time_us = core->now.wall.us,
		},
	};

	if (!dsn_status_valid(outcome->dsn))
		result.reason.dsn = slice_str(standard_dsn((enum state_class)result.class));
	if (is_whatif(message) ||
		(result.class == STATE_DELIVERED &&
			is_success_owed(message, outcome->number, outcome->dsn_passed != 0)))
		result.class = STATE_DELIVERED_PENDING;
	return result;
}

static void
put(const struct message *message, struct buf *payload, struct state_result *result)
{
	if (result->class == STATE_DELIVERED)
		result->reason = (struct state_reason){ .time_us = result->reason.time_us };
	if (state_result_put(payload, result) != ERR_OK)
		log_event(message->core->log, EV_qmgr_state_too_long, LOG_Z(message->id_text));
}

static void
apply(struct message *message, struct buf *payload, const struct ipc_outcome *outcome)
{
	struct state_result result;

	if (state_class(&message->state, outcome->number) != STATE_OPEN)
		return;
	result = judge(message, outcome);
	if (outcome->kind == IPC_OUTCOME_DELIVERED && !is_whatif(message))
		message->core->delivered++;
	(void)state_set(&message->state, outcome->number, (enum state_class)result.class,
		result.class != STATE_DELIVERED ? &result.reason : NULL);
	put(message, payload, &result);
}

/* A bit per recipient of the message: those of the lease, whose outcomes may be thousands. */
static uint8_t *
covered_recipients(const struct lease *lease)
{
	const uint32_t *numbers = lease->locked;
	uint32_t all = lease->message->recipients.count, count = lease->locked_count;
	uint8_t *bits = mem_new(all / 8 + 1);

	if (lease->entry != NULL)
		numbers = sched_entry_recipients(lease->entry, &count);
	for (uint32_t i = 0; i < count; i++)
		if (numbers[i] < all)
			bits[numbers[i] / 8] |= (uint8_t)(1 << numbers[i] % 8);
	return bits;
}

/* All outcomes are checked before the first one counts. */
static bool
outcomes_are_sound(const struct lease *lease, struct slice list)
{
	uint8_t *bits = covered_recipients(lease);
	struct ipc_outcome outcome;
	bool sound = true;
	enum err err;

	while (sound && (err = ipc_outcome_next(&list, &outcome)) != ERR_NOTFOUND)
		sound = err == ERR_OK && outcome.kind <= IPC_OUTCOME_DEFERRED &&
			outcome.number < lease->message->recipients.count &&
			(bits[outcome.number / 8] >> outcome.number % 8 & 1) != 0;
	mem_free(bits);
	return sound;
}

/* Those of the transaction that were not settled by it. */
static uint32_t
open_recipients(const struct lease *lease)
{
	uint32_t count, open = 0;
	const uint32_t *numbers = sched_entry_recipients(lease->entry, &count);

	for (uint32_t i = 0; i < count; i++)
		open += state_class(&lease->message->state, numbers[i]) == STATE_OPEN;
	return open;
}

/* The site's reason, or that of the first recipient it would not take now. */
static void
react(struct core *core, struct sched_destination *destination, const struct ipc_result *result)
{
	struct slice list = result->outcomes;
	struct ipc_outcome outcome;

	if (result->site_dsn.len > 0) {
		reaction_reply(core, destination, result->site_dsn, result->site_reason);
		return;
	}
	while (ipc_outcome_next(&list, &outcome) == ERR_OK)
		if (outcome.kind == IPC_OUTCOME_DEFERRED) {
			reaction_reply(core, destination, outcome.dsn, outcome.reason);
			return;
		}
}

/* X6 to X8: the site works unless the worker blames it. */
static void
feed_back(struct lease *lease, const struct ipc_result *result)
{
	struct core *core = lease->message->core;
	bool site_failed = result->site_dsn.len > 0 && !is_whatif(lease->message);
	uint32_t open = open_recipients(lease);

	pace_note(core,
		sched_transport_name(sched_destination_transport(lease->session->destination)),
		sched_destination_nexthop(lease->session->destination));
	sched_entry_finish(core->sched, lease->entry, !site_failed, result->site_dsn,
		result->site_reason, core->now.mono);
	feedback_log(core, lease->session->destination);
	if (site_failed && sched_destination_is_failing(lease->session->destination))
		active_wait(lease->message, lease->session->destination, open);
	react(core, lease->session->destination, result);
	session_lease_over(lease->session, lease);
	refill_result(lease->message);
	lease->entry = NULL;
}

static void
hold_corrupt(struct message *message)
{
	log_event(message->core->log, EV_qmgr_corrupt, LOG_Z(message->id_text));
	if (message->large != 0)
		store_large_locate(message->core->store, message->ref);
	message->is_held = true;
}

/* Nothing of it is in flight any more. */
static bool
is_alone(const struct message *message)
{
	return message->phase == MESSAGE_ACTIVE && message->changes == 0 &&
	       message->leases == 0 && !message->body_loading && !message->is_settling &&
	       sched_message_refs(&message->sched) == 0;
}

/* Nothing of the message is left, so its end is all that must be written. */
static bool
is_last(const struct message *message)
{
	return is_alone(message) && message->wish == WISH_NONE && !message->is_held &&
	       !message->has_died && !state_is_live(&message->state);
}

/*
 * A deferral changes reasons only, and the STATE that follows at once has them: it is recorded, and
 * acknowledged, with that. Lost before, it costs an attempt.
 */
static bool
is_owed_to_state(const struct message *message, bool is_deferral)
{
	return is_deferral && message->owed_attempt == 0 && !message->has_died &&
	       is_alone(message) &&
	       refill_is_all(message);
}

static void
submit(struct message *message, core_peer peer, uint32_t attempt, struct buf *payload)
{
	bool is_end = is_last(message);
	struct change *change =
		change_new(message->core, is_end ? CHANGE_END : CHANGE_RESULT, message);

	change->peer = peer;
	change->attempt = attempt;
	buf_done(&change->payload);
	change->payload = *payload;
	buf_init(payload, 0);
	if (is_end)
		message_move(message, MESSAGE_ENDING);
	change_submit(change);
}

static void
record(struct peer *peer, struct lease *lease, const struct ipc_result *result)
{
	struct message *message = lease->message;
	struct core *core = peer->core;
	struct slice list = result->outcomes;
	struct ipc_outcome outcome;
	struct buf payload;
	bool is_lock = lease->session == NULL, is_deferral;
	uint32_t open = message->state.class_count[STATE_OPEN];

	buf_init(&payload, 0);
	state_result_begin(&payload, result->attempt, core->now.wall.us);
	while (ipc_outcome_next(&list, &outcome) == ERR_OK)
		apply(message, &payload, &outcome);
	is_deferral = message->state.class_count[STATE_OPEN] == open;
	if (result->corrupt)
		hold_corrupt(message);
	if (result->helper == IPC_HELPER_DIED && !is_lock)
		active_mark_suspect(message);
	message->is_untried |= result->helper == IPC_HELPER_MISSING;
	message->is_tried = true;
	if (!is_lock)
		feed_back(lease, result);
	lease_free(lease);
	if (is_lock) {
		message->locks--;
		core->lock_count--;
	}
	if (core->options.planted & CORE_PLANT_RESULT_LOST) {
		SEND(core, peer->number, result_ack, .queue_id = message->queue_id,
			.attempt = result->attempt);
		buf_done(&payload);
		done_check(message);
		return;
	}
	if (is_owed_to_state(message, is_deferral)) {
		message->owed_peer = peer->number;
		message->owed_attempt = result->attempt;
		buf_done(&payload);
		done_check(message);
		return;
	}
	submit(message, peer->number, result->attempt, &payload);
}

void
result_frame(struct peer *peer, const struct ipc_result *result)
{
	struct lease *lease =
		lease_find(peer, result->session, result->queue_id, result->attempt);
	struct core *core = peer->core;

	poison_working(core, result->queue_id);
	if (lease == NULL || lease->message->phase == MESSAGE_LOADING) {
		if (lease != NULL) {
			lease_keep_result(lease, result);
			return;
		}
		/* Of a message that has ended: the worker may forget it. */
		SEND(core, peer->number, result_ack, .queue_id = result->queue_id,
			.attempt = result->attempt);
		return;
	}
	if (!outcomes_are_sound(lease, result->outcomes)) {
		core->options.out->bad_peer(core->options.ctx, peer->number,
			"outcome of a recipient that it was not given");
		return;
	}
	record(peer, lease, result);
	core_mark(core);
}

/* --- expansions ------------------------------------------------------------------------------- */

/* Until its batch is settled nobody else is given the recipient, whatever becomes of the peer. */
enum expand_fate
result_expand(struct peer *peer, uint64_t queue_id, uint32_t attempt, struct slice outcomes,
	struct buf *ret_result, struct message **ret_parent)
{
	struct lease *lease = lease_find(peer, 0, queue_id, attempt);
	struct ipc_outcome outcome;
	struct state_result result;
	struct slice list = outcomes;

	if (lease == NULL)
		return EXPAND_GONE;
	if (lease->message->phase == MESSAGE_LOADING)
		return EXPAND_EARLY;
	if (!outcomes_are_sound(lease, outcomes) ||
		ipc_outcome_next(&list, &outcome) != ERR_OK || list.len > 0 ||
		outcome.kind == IPC_OUTCOME_DEFERRED)
		return EXPAND_BAD;
	if (state_class(&lease->message->state, outcome.number) != STATE_OPEN)
		return EXPAND_KNOWN;
	result = judge(lease->message, &outcome);
	state_result_begin(ret_result, attempt, peer->core->now.wall.us);
	put(lease->message, ret_result, &result);
	lease->message->changes++;
	*ret_parent = lease->message;
	return EXPAND_READY;
}

void
result_expanded(struct message *parent, struct slice result, bool is_durable)
{
	struct state *state = &parent->state;

	parent->changes--;
	if (is_durable) {
		parent->core->delivered += state->class_count[STATE_OPEN];
		if (state_apply(state, result) != ERR_OK)
			log_event(parent->core->log, EV_qmgr_state_too_long,
				LOG_Z(parent->id_text));
		parent->core->delivered -= state->class_count[STATE_OPEN];
		parent->is_tried = true;
	}
	if (parent->phase == MESSAGE_LOCKED)
		active_unlocked(parent);
	else
		done_check(parent);
}

/* --- what the queue manager decides itself ---------------------------------------------------- */

/* When something was found out, on the wall clock. */
static uint64_t
wall_of(const struct core *core, struct mono at)
{
	uint64_t ago_us = at.ns == 0 || at.ns > core->now.mono.ns
				  ? 0
				  : (core->now.mono.ns - at.ns) / 1000;

	return core->now.wall.us > ago_us ? core->now.wall.us - ago_us : 0;
}

void
result_alias_expanded(struct message *message, uint32_t number)
{
	bool is_owed = is_success_owed(message, number, false);
	struct state_reason reason = {
		.dsn = SLICE_LIT("2.0.0"),
		.text = SLICE_LIT("alias expanded"),
		.time_us = message->core->now.wall.us,
	};

	message->is_tried = true;
	(void)state_set(&message->state, number,
		is_owed ? STATE_DELIVERED_PENDING : STATE_DELIVERED, is_owed ? &reason : NULL);
}

void
result_own(struct message *message, uint32_t number, enum state_class class, struct slice dsn,
	struct slice text, struct mono at)
{
	static const char *const words[STATE_CLASS_COUNT] = {
		[STATE_OPEN] = "deferred",
		[STATE_DELIVERED] = "sent",
		[STATE_BOUNCE_PENDING] = "bounced",
	};
	struct state_reason reason = {
		.dsn = dsn,
		.text = text,
		.time_us = wall_of(message->core, at),
	};
	const char *word = words[class];

	if (class == STATE_BOUNCE_PENDING &&
		config_bool(message->core->config, NULL, PARAM_SOFT_BOUNCE)) {
		class = STATE_OPEN;
		word = "SOFTBOUNCE";
	}
	if (!dsn_status_valid(dsn))
		reason.dsn = slice_str(standard_dsn(class));
	if (is_whatif(message)) {
		word = class == STATE_DELIVERED ? "deliverable" : "undeliverable";
		class = STATE_DELIVERED_PENDING;
	}
	active_log_delivery(message, number, reason.dsn, text, word);
	if (class == STATE_DELIVERED)
		message->core->delivered++;
	if (class == STATE_DELIVERED && is_success_owed(message, number, false))
		class = STATE_DELIVERED_PENDING;
	message->is_tried = true;
	(void)state_set(
		&message->state, number, class, class == STATE_DELIVERED ? NULL : &reason);
}
