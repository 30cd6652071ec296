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

static void give_up_successes(struct message *message);

/* --- stages 1, 2 and 2.5: reports ------------------------------------------------------------- */

/* True: one is on its way. A failed one is owed to the next round (D7). */
static bool
stage_report(struct message *message, enum report_kind kind)
{
	static const char *const names[] = { [REPORT_FAILURE] = "failure report",
		[REPORT_DELAY] = "delay warning", [REPORT_SUCCESS] = "success report",
		[REPORT_VERIFY] = "delivery report" };

	core_boundary(message->core, names[kind]);
	switch (report_make(message, kind)) {
	case REPORT_ON_ITS_WAY:
		return true;
	case REPORT_FAILED:
		message->reports_failed |= 1u << kind;
		if (kind == REPORT_SUCCESS &&
			core_plant_rule_is_on(message->core, CORE_RULE_GIVE_UP))
			give_up_successes(message);
		return false;
	case REPORT_MARKED:
		return false;
	}
	return false;
}

static bool
is_owed(const struct message *message, enum report_kind kind, enum state_class class)
{
	return message->state.class_count[class] > 0 &&
	       (message->reports_failed & 1u << kind) == 0 &&
	       !copy_holds(message->core, message->queue_id);
}

static bool
stage_report_failures(struct message *message)
{
	while (is_owed(message, REPORT_FAILURE, STATE_BOUNCE_PENDING))
		if (stage_report(message, REPORT_FAILURE))
			return true;
	return false;
}

bool
done_is_record_owed(const struct message *message)
{
	return (message->envelope.flags & ENVELOPE_RECORD) != 0 &&
	       (message->state.flags & STATE_RECORDED) == 0 &&
	       (message->is_tried || message->state.class_count[STATE_OPEN] == 0);
}

/* D22 to D24, D29: a batch that nothing is left to deliver of goes through the stages at once. */
static bool
stage_next_batch(struct message *message)
{
	switch (refill_next(message)) {
	case REFILL_NONE:
		return false;
	case REFILL_SETTLED:
		if (!(message->core->options.planted & CORE_PLANT_BATCH_STOPS))
			done_check(message);
		return true;
	case REFILL_READ:
		core_boundary(message->core, "next batch");
		return true;
	case REFILL_LATER:
		return true;
	}
	return false;
}

/* D25 to D28: what `sendmail -v` asked for is told once, of every recipient that was tried. */
static bool
stage_report_successes(struct message *message)
{
	enum report_kind kind = (message->envelope.flags & ENVELOPE_WHATIF) != 0 ? REPORT_VERIFY
									 : REPORT_SUCCESS;
	bool is_asked = done_is_record_owed(message) &&
			(message->reports_failed & 1u << REPORT_VERIFY) == 0 &&
			!copy_holds(message->core, message->queue_id);

	if (is_asked && stage_report(message, REPORT_VERIFY))
		return true;
	while (is_owed(message, kind, STATE_DELIVERED_PENDING))
		if (stage_report(message, kind))
			return true;
	return false;
}

/* D45, D47, D48: once, one second early is late enough, after an attempt. */
static bool
stage_warn(struct message *message)
{
	uint64_t warn_us = message->envelope.warn_us;

	if (core_plant_rule_is_on(message->core, CORE_RULE_WARN_EARLY) && warn_us > 0)
		warn_us -= 5 * US_PER_S;
	if (warn_us == 0 || (message->state.flags & STATE_WARNED) != 0 || !message->is_tried ||
		message->is_held || !is_owed(message, REPORT_DELAY, STATE_OPEN) ||
		message->core->now.wall.us + US_PER_S < warn_us)
		return false;
	return stage_report(message, REPORT_DELAY);
}

/* --- stage 2.5: too old? ---------------------------------------------------------------------- */

uint64_t
done_lifetime_s(const struct message *message)
{
	const struct config *config = message->core->config;
	uint64_t lifetime_s = config_time_s(config, NULL, PARAM_MAXIMAL_QUEUE_LIFETIME);

	if (message->envelope.sender.len == 0)
		lifetime_s = num_min_u64(
			lifetime_s, config_time_s(config, NULL, PARAM_BOUNCE_QUEUE_LIFETIME));
	return lifetime_s;
}

uint64_t
done_expires_us(const struct message *message)
{
	return message_created_us(message) + done_lifetime_s(message) * US_PER_S;
}

/*
 * Nothing is returned untried: an attempt, or a failed one at its site, counts if it was made when
 * the lifetime had passed or at most one backoff before, and since the start or the last step of
 * the clock.
 */
static bool
is_tried_lately(const struct message *message, uint32_t number)
{
	const struct core *core = message->core;
	uint64_t backoff_us =
		config_time_s(core->config, NULL, PARAM_MAXIMAL_BACKOFF_TIME) * US_PER_S;
	uint64_t end_us = done_expires_us(message);
	struct state_reason reason;

	if (!state_reason(&message->state, number, &reason))
		return false;
	/*
	 * One that lies in the future is from before the clock was set back, and counts only when
	 * the time that it names has come again.
	 */
	return reason.time_us >= core->trust_since.us && reason.time_us <= core->now.wall.us &&
	       reason.time_us + backoff_us >= end_us;
}

static bool
all_tried_lately(const struct message *message)
{
	/* Those were left out in this round: what is known of them may be from before a step. */
	if (message->crowded_count > 0 || message->is_unserved)
		return false;
	/* So is perhaps what this round found out: a time that has come again tells nothing. */
	if (message->round_at.ns < message->core->clock.back_at.ns)
		return false;
	for (uint32_t i = 0; i < message->recipients.count; i++)
		if (state_class(&message->state, i) == STATE_OPEN && !is_tried_lately(message, i))
			return false;
	return true;
}

/*
 * At most expiry_rate messages a second, so that a queue whose time is over at once, because of a
 * long outage or of the clock, does not become a flood of reports. The others are deferred until
 * their turn comes, or their next attempt before it.
 */
static bool
may_expire(struct message *message)
{
	struct core *core = message->core;
	struct expiry *expiry = &core->expiry;
	uint64_t rate = config_int(core->config, NULL, PARAM_EXPIRY_RATE);
	uint64_t second = core->now.mono.ns / NS_PER_S;

	if (expiry->second != second)
		expiry->count = 0;
	expiry->second = second;
	if (expiry->count < rate || core->options.planted & CORE_PLANT_EXPIRE_FAST) {
		expiry->count++;
		return true;
	}
	if (expiry->turn.ns < core->now.mono.ns + NS_PER_S)
		expiry->turn.ns = core->now.mono.ns + NS_PER_S;
	message->turn_us =
		core->now.wall.us + (expiry->turn.ns - core->now.mono.ns) / 1000;
	expiry->turn = mono_add_ns(expiry->turn, NS_PER_S / rate);
	return false;
}

/* Rule R46: what was never tried has the operator's wish as its reason. */
static void
expire_recipients(struct message *message)
{
	bool is_wanted = (message->state.flags & STATE_EXPIRE) != 0;
	bool is_dropped =
		is_wanted && (message->core->options.planted & CORE_PLANT_EXPIRE_SILENT) != 0;
	struct state_reason none = { .dsn = slice_str(is_wanted ? "4.7.0" : "4.4.7"),
		.text = slice_str(is_wanted ? "message is administratively expired"
					    : "delivery time expired") };

	log_event(message->core->log, EV_qmgr_expired, LOG_Z(message->id_text),
		LOG_S(message->envelope.sender), LOG_Z(is_wanted ? "force-expired" : "expired"));
	for (uint32_t i = 0; i < message->recipients.count; i++) {
		struct state_reason reason;

		if (state_class(&message->state, i) == STATE_OPEN) {
			if (!state_reason(&message->state, i, &reason))
				reason = none;
			CHECK(state_set(&message->state, i,
				is_dropped ? STATE_REMOVED : STATE_BOUNCE_PENDING, &reason));
		}
	}
}

/* The delivery itself is done: it is not kept for ever for a report that cannot be made. */
static void
give_up_successes(struct message *message)
{
	log_event(message->core->log, EV_bounce_given_up, LOG_Z(message->id_text));
	message->state.flags |= STATE_RECORDED;
	for (uint32_t i = 0; i < message->recipients.count; i++)
		if (state_class(&message->state, i) == STATE_DELIVERED_PENDING)
			CHECK(state_set(&message->state, i, STATE_DELIVERED, NULL));
}

/* Sent once more, whatever its site's state, before it may be returned; alone, if it is suspect. */
static void
force_attempt(struct message *message)
{
	message->is_forced = true;
	if ((message->state.flags & STATE_SUSPECT) != 0) {
		active_suspect(message);
		return;
	}
	message_move(message, MESSAGE_ACTIVE);
	active_release(message);
}

enum age { AGE_FINE, AGE_EXPIRED, AGE_FORCED, AGE_WAITS };

/*
 * Rule D42: equality expires. Rule D41: an operator's wish needs neither age nor attempt.
 * Recipients become failures; a failed report keeps them so (D46).
 */
static enum age
stage_expire(struct message *message)
{
	bool is_wanted = (message->state.flags & STATE_EXPIRE) != 0;

	if (message->is_held || copy_holds(message->core, message->queue_id) ||
		(!is_wanted && message->core->now.wall.us < done_expires_us(message)))
		return AGE_FINE;
	if (!is_wanted && message->state.class_count[STATE_OPEN] > 0 &&
		!all_tried_lately(message)) {
		if (message->is_forced)
			return AGE_FINE;
		force_attempt(message);
		return AGE_FORCED;
	}
	if (!is_wanted && (message->state.class_count[STATE_DELIVERED_PENDING] > 0 ||
				  done_is_record_owed(message)))
		give_up_successes(message);
	if (message->state.class_count[STATE_OPEN] == 0)
		return AGE_FINE;
	if (!is_wanted && !may_expire(message))
		return AGE_WAITS;
	expire_recipients(message);
	core_boundary(message->core, "expiry");
	return AGE_EXPIRED;
}

/* True: something is on its way. Expiry has precedence over the delay notice (D50). */
static bool
stage_age(struct message *message)
{
	if (core_plant_rule_is_on(message->core, CORE_RULE_WARN_FIRST) && stage_warn(message))
		return true;
	switch (stage_expire(message)) {
	case AGE_FORCED:
		return true;
	case AGE_EXPIRED:
		return stage_report_failures(message);
	case AGE_WAITS:
		return false;
	case AGE_FINE:
		return stage_warn(message);
	}
	return false;
}

/* --- stage 3 ---------------------------------------------------------------------------------- */

static void
stage_end(struct message *message)
{
	struct change *change = change_new(message->core, CHANGE_END, message);

	core_boundary(message->core, "removal");
	message_move(message, MESSAGE_ENDING);
	change_submit(change);
}

static bool
is_finished(const struct message *message)
{
	if (message->core->options.planted & CORE_PLANT_DONE_EARLY)
		return message->state.class_count[STATE_DELIVERED] > 0;
	return !state_is_live(&message->state) && !done_is_record_owed(message);
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
	if (core->suspect != message ||
		(!refill_is_all(message) && message->wish == WISH_NONE && !message->is_held))
		return false; /* it is none, or more batches follow */
	core->suspect = NULL;
	if (!message->is_untried)
		message->state.flags &= ~(uint32_t)STATE_SUSPECT;
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
	case WISH_FLUSH_ALONE:
		return false;
	case WISH_EXPIRE_HELD:
		message->is_held = false;
		__attribute__((fallthrough));
	case WISH_EXPIRE:
		/* The mark is durable with the next STATE, or needless when all are reported. */
		message->state.flags |= STATE_EXPIRE;
		return false;
	case WISH_HOLD:
		message->is_held = !core_plant_rule_is_on(message->core, CORE_RULE_HOLD_LOST);
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
		if (is_owed(message, REPORT_FAILURE, STATE_BOUNCE_PENDING) ||
			is_owed(message, REPORT_SUCCESS, STATE_DELIVERED_PENDING)) {
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
	core_boundary(message->core, "settled");
	poison_working(message->core, message->queue_id);
	if (settle_suspect(message) || settle_wish(message))
		return;
	if (core_plant_rule_is_on(message->core, CORE_RULE_EXPIRE_FIRST) && stage_age(message))
		return;
	if (stage_report_failures(message))
		return;
	if (message->wish != WISH_NONE && settle_wish(message))
		return;
	if (stage_next_batch(message) || stage_report_successes(message))
		return;
	/* Reports that could not be made are not waited for. */
	if (message->wish != WISH_NONE &&
		!core_plant_rule_is_on(message->core, CORE_RULE_REQUEUE_LOST) &&
		settle_wish(message))
		return;
	if (stage_age(message))
		return;
	if (is_finished(message))
		stage_end(message);
	else if (!defer_crowded(message))
		defer_message(message);
}

/* Those that waited for their turn, as many as may be made now. */
static void
call_reporting(struct core *core)
{
	uint64_t limit = core->now.mono.ns + REPORT_BURST_NS, at = core->report_at.ns;
	struct message *message;

	for (; at <= limit && (message = TAILQ_FIRST(&core->reporting)) != NULL;
		at = num_max_u64(at, core->now.mono.ns) + REPORT_INTERVAL_NS) {
		TAILQ_REMOVE(&core->reporting, message, link);
		TAILQ_INSERT_TAIL(&core->settling, message, link);
	}
}

struct mono
done_due(const struct core *core)
{
	if (TAILQ_EMPTY(&core->reporting))
		return (struct mono){ UINT64_MAX };
	return (struct mono){ core->report_at.ns > REPORT_BURST_NS
				      ? core->report_at.ns - REPORT_BURST_NS
				      : 0 };
}

void
done_step(struct core *core)
{
	struct message *message;

	call_reporting(core);
	while ((message = TAILQ_FIRST(&core->settling)) != NULL) {
		TAILQ_REMOVE(&core->settling, message, link);
		message->is_settling = false;
		if (is_quiet(message))
			settle(message);
	}
}
