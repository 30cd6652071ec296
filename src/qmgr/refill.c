/*
 * refill.c - long lists of recipients: given to the scheduler bit by bit (rules K2, K3, K6 to K14)
 *
 * The list itself is in memory with the message, at the cost of its bytes; what is dear is a
 * recipient that the scheduler has: a route, a place in a queue, a transaction. Of those there are
 * about qmgr_message_recipient_limit. A message reads on
 *
 *   - while recipients of it are under way, when qmgr has room for default_recipient_refill_limit
 *     of them, or for any and the last time is default_recipient_refill_delay ago
 *   - when none is (done.c, stage 2), at once
 *
 * and never more than REFILL_READ_MAX in one step of the core, all messages together, so that
 * nobody waits for somebody else's long list.
 *
 *   (all read) --refill_begin()--> UNREAD --the last one is read--> (all read)
 *                                    `-----refill_forget()---------------------^
 *
 * UNREAD ones stand in core->unread in the order in which they are looked at. What is recorded of
 * a message is recorded by recipient, so nothing is kept of its batches.
 */
#include "qmgr/core_priv.h"

#include "base/check.h"
#include "base/num.h"

enum {
	REFILL_READ_MAX = 500,     /* recipients read in a step */
	REFILL_MESSAGE_MAX = 5000, /* of one message in the scheduler's hands (rule K10) */
};

static uint64_t
refill_delay_ns(const struct core *core)
{
	return config_time_s(core->config, NULL, PARAM_DEFAULT_RECIPIENT_REFILL_DELAY) * NS_PER_S;
}

/*
 * How many recipients more the scheduler may have of it: what is left of the whole, but no message
 * has so little that it cannot move (rule K3), and none so much that others cannot (K10).
 */
static uint32_t
room(const struct message *message)
{
	const struct core *core = message->core;
	uint64_t limit = config_int(core->config, NULL, PARAM_QMGR_MESSAGE_RECIPIENT_LIMIT);
	uint64_t least = config_int(core->config, NULL, PARAM_QMGR_MESSAGE_RECIPIENT_MINIMUM);
	uint64_t active = config_int(core->config, NULL, PARAM_QMGR_MESSAGE_ACTIVE_LIMIT);
	uint64_t all = sched_recipients(core->sched);
	uint64_t own = sched_message_recipients(&message->sched);
	uint64_t share;

	limit = num_max_u64(limit, active); /* rule M1 */
	share = num_min_u64(limit > all ? limit - all : 0,
		own < REFILL_MESSAGE_MAX ? REFILL_MESSAGE_MAX - own : 0);
	return (uint32_t)num_max_u64(share, least > own ? least - own : 0);
}

bool
refill_is_all(const struct message *message)
{
	return message->unread >= message->recipients.count;
}

void
refill_forget(struct message *message)
{
	if (message->has_unread)
		TAILQ_REMOVE(&message->core->unread, message, unread_link);
	message->has_unread = false;
	message->unread = message->recipients.count;
}

/* To be looked at now, or when the delay has passed; the queue is in the order of these times. */
static void
enqueue(struct message *message, bool is_due)
{
	struct core *core = message->core;

	if (message->has_unread)
		TAILQ_REMOVE(&core->unread, message, unread_link);
	message->has_unread = true;
	message->read_at = is_due ? core->now.mono
				  : mono_add_ns(core->now.mono, refill_delay_ns(core));
	if (is_due)
		TAILQ_INSERT_HEAD(&core->unread, message, unread_link);
	else
		TAILQ_INSERT_TAIL(&core->unread, message, unread_link);
}

static bool
has_room(const struct message *message)
{
	return room(message) >= config_int(message->core->config, NULL,
					PARAM_DEFAULT_RECIPIENT_REFILL_LIMIT);
}

/* Rule R9: what a flush asked for holds for the whole round. */
static void
end_batch(struct message *message)
{
	while (!refill_is_all(message) &&
		state_class(&message->state, message->unread) != STATE_OPEN)
		message->unread++;
	if (!refill_is_all(message)) {
		enqueue(message, has_room(message));
		return;
	}
	refill_forget(message);
	if (!core_plant_rule_is_on(message->core, CORE_RULE_FLUSH_STAYS))
		message->is_flushed = message->revives_sites = false;
}

/* At most so many open ones; what is finished is passed over and costs next to nothing. */
static void
read_some(struct message *message, uint32_t most)
{
	struct core *core = message->core;
	uint32_t count = 0;

	if ((core->options.planted & CORE_PLANT_BATCH_AGAIN) && message->unread > 0)
		message->unread--;
	for (; count < most && !refill_is_all(message); message->unread++) {
		if (state_class(&message->state, message->unread) != STATE_OPEN)
			continue;
		active_assign(message, message->unread);
		count++;
	}
	sched_message_set_unread(&message->sched, message->recipients.count - message->unread);
	core->read_budget -= (uint32_t)num_min_u64(core->read_budget, count);
	end_batch(message);
	core_mark(core);
}

/* Whatever others have read: a message that comes gets its least share, most need no more. */
void
refill_begin(struct message *message)
{
	uint64_t least = config_int(
		message->core->config, NULL, PARAM_QMGR_MESSAGE_RECIPIENT_MINIMUM);

	message->unread = 0;
	read_some(message, (uint32_t)num_min_u64(room(message),
			num_max_u64(message->core->read_budget, least)));
}

enum refill_fate
refill_next(struct message *message)
{
	struct core *core = message->core;

	if (refill_is_all(message) || message->is_held || message->sched.is_removed ||
		(message->state.flags & STATE_EXPIRE) != 0)
		return REFILL_NONE;
	if (core->is_stopping)
		return REFILL_LATER;
	if (core->read_budget == 0) {
		enqueue(message, true);
		return REFILL_LATER;
	}
	read_some(message, (uint32_t)num_min_u64(room(message), core->read_budget));
	if (sched_message_refs(&message->sched) == 0)
		return REFILL_SETTLED;
	message_move(message, MESSAGE_ACTIVE);
	return REFILL_READ;
}

void
refill_result(struct message *message)
{
	if (message->has_unread && message->phase == MESSAGE_ACTIVE && has_room(message))
		enqueue(message, true);
}

void
refill_step(struct core *core)
{
	struct message *message;

	core->read_budget = REFILL_READ_MAX;
	while (core->read_budget > 0 && (message = TAILQ_FIRST(&core->unread)) != NULL &&
		message->read_at.ns <= core->now.mono.ns) {
		uint32_t most = (uint32_t)num_min_u64(room(message), core->read_budget);

		enqueue(message, false);
		/* Without references the stages after delivery have it (rule K12). */
		if (most > 0 && message->phase == MESSAGE_ACTIVE && !message->sched.is_removed &&
			sched_message_refs(&message->sched) > 0)
			read_some(message, most);
		done_check(message);
	}
}

struct mono
refill_due(const struct core *core)
{
	const struct message *message = TAILQ_FIRST(&core->unread);

	return message == NULL ? (struct mono){ UINT64_MAX } : message->read_at;
}
