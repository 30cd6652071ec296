/*
 * done.c - when nothing of a message is in flight: the stages after delivery (rules D)
 *
 * The stages stand below in the order in which a message passes them. Each either lets it pass or
 * starts something that ends in done_check(), which begins again at the first stage: a stage whose
 * work is done lets the message pass the second time.
 *
 *   1    report permanent failures           (D2-D8)   report.c
 *   2    next batch of recipients, success reports (D20-D28)
 *   2.5  too old? warn?                      (D40-D51)
 *   3    final disposition                   (D60-D65) defer.c
 */
#include "qmgr/core_priv.h"

#include "base/check.h"
#include "base/num.h"

static bool
is_quiet(const struct message *message)
{
	return message->leases == 0 && message->changes == 0 && message->locks == 0 &&
	       !message->body_loading && sched_message_refs(&message->sched) == 0;
}

void
done_check(struct message *message)
{
	if (message->phase != MESSAGE_ACTIVE && message->phase != MESSAGE_SETTLING)
		return;
	if (!is_quiet(message) || message->is_settling)
		return;
	if (message->phase == MESSAGE_ACTIVE)
		message_move(message, MESSAGE_SETTLING);
	message->is_settling = true;
	message->waits_for_id = false;
	TAILQ_INSERT_TAIL(&message->core->settling, message, link);
	core_mark(message->core);
}

/* --- stage 1 ---------------------------------------------------------------------------------- */

/* True: a report is on its way. A failed one stays owed and is tried in the next round (D7). */
static bool
stage_report_failures(struct message *message)
{
	while (message->state.class_count[STATE_BOUNCE_PENDING] > 0 && !message->report_failed)
		if (report_bounces(message))
			return true;
	return false;
}

/* --- stage 2.5 -------------------------------------------------------------------------------- */

/* Rule D42: equality expires; a null sender's lifetime is never the longer one (M1). */
static bool
is_too_old(const struct message *message)
{
	const struct config *config = message->core->config;
	uint64_t lifetime_s = config_time_s(config, NULL, PARAM_MAXIMAL_QUEUE_LIFETIME);
	uint64_t created_us = message_created_us(message);

	if (message->envelope.sender.len == 0)
		lifetime_s = num_min_u64(
			lifetime_s, config_time_s(config, NULL, PARAM_BOUNCE_QUEUE_LIFETIME));
	return message->core->now.wall.us >= created_us + lifetime_s * US_PER_S;
}

/* True: recipients have become failures; begin again at stage 1. */
static bool
stage_expire(struct message *message)
{
	if (message->state.class_count[STATE_OPEN] == 0 || !message->is_tried ||
		message->is_held || !is_too_old(message))
		return false;
	log_event(message->core->log, EV_qmgr_expired, LOG_Z(message->id_text),
		LOG_S(message->envelope.sender));
	for (uint32_t i = 0; i < message->recipient_count; i++) {
		struct state_reason reason;

		if (state_class(&message->state, i) != STATE_OPEN)
			continue;
		if (!state_reason(&message->state, i, &reason))
			reason = (struct state_reason){
				.dsn = SLICE_LIT("5.4.7"),
				.text = SLICE_LIT("delivery time expired"),
				.time_us = message->core->now.wall.us,
			};
		CHECK(state_set(&message->state, i, STATE_BOUNCE_PENDING, &reason));
	}
	return true;
}

/* --- stage 3 ---------------------------------------------------------------------------------- */

static void
stage_end(struct message *message)
{
	struct change *change = change_new(message->core, CHANGE_END, message);

	message_move(message, MESSAGE_ENDING);
	change_submit(change);
}

static bool
is_finished(const struct message *message)
{
	if (message->core->options.planted & CORE_PLANT_DONE_EARLY)
		return message->state.class_count[STATE_DELIVERED] > 0;
	return !state_is_live(&message->state);
}

/* A worker died with it: it is tried alone (active.c), if there is anything left to try. */
static bool
settle_suspect(struct message *message)
{
	struct core *core = message->core;
	bool has_died = message->has_died && message->state.class_count[STATE_OPEN] > 0;

	message->has_died = false;
	if (has_died && message->wish == WISH_NONE) {
		active_suspect(message);
		return true;
	}
	if (core->suspect == message)
		core->suspect = NULL;
	return false;
}

/* What an operator wants comes before the stages. True: it is on its way. */
static bool
settle_wish(struct message *message)
{
	enum message_wish wish = message->wish;

	message->wish = WISH_NONE;
	switch (wish) {
	case WISH_NONE:
	case WISH_FLUSH:
		return false;
	case WISH_HOLD:
		message->is_held = true;
		return false;
	case WISH_RELEASE:
		message->is_held = false;
		defer_at_once(message);
		return true;
	case WISH_REMOVE:
		stage_end(message);
		return true;
	case WISH_REQUEUE:
		/* A copy takes only what is open along: reports that are owed come first. */
		if (message->state.class_count[STATE_BOUNCE_PENDING] > 0 &&
			!message->report_failed) {
			message->wish = WISH_REQUEUE;
			return false;
		}
		return requeue_message(message);
	}
	return false;
}

static void
settle(struct message *message)
{
	if (settle_suspect(message) || settle_wish(message))
		return;
	if (stage_report_failures(message))
		return;
	if (message->wish != WISH_NONE && settle_wish(message))
		return;
	if (stage_expire(message) && stage_report_failures(message))
		return;
	if (is_finished(message))
		stage_end(message);
	else
		defer_message(message);
}

void
done_step(struct core *core)
{
	struct message *message;

	while ((message = TAILQ_FIRST(&core->settling)) != NULL) {
		TAILQ_REMOVE(&core->settling, message, link);
		message->is_settling = false;
		if (is_quiet(message))
			settle(message);
	}
}
