/* look.c - see look.h */
#include "sim/world/look.h"

#include "qmgr/core_priv.h"

static enum model_fate
fate_of(enum state_class class)
{
	static const enum model_fate fates[STATE_CLASS_COUNT] = {
		[STATE_OPEN] = MODEL_OPEN,
		[STATE_DELIVERED] = MODEL_DONE,
		[STATE_DELIVERED_PENDING] = MODEL_UNTOLD,
		[STATE_BOUNCE_PENDING] = MODEL_FAILED,
		[STATE_BOUNCED] = MODEL_RETURNED,
		[STATE_REMOVED] = MODEL_DROPPED,
	};

	return fates[class];
}

static enum model_ending
ending_of(const struct message *message)
{
	const struct change *change;

	if (message->phase != MESSAGE_ENDING)
		return MODEL_NOT_ENDING;
	TAILQ_FOREACH (change, &message->core->changes, link)
		if (change->message == message)
			return change->kind == CHANGE_STATE	? MODEL_DEFERS
			       : change->kind == CHANGE_REQUEUE ? MODEL_MOVES
								: MODEL_ENDS;
	return MODEL_NOT_ENDING;
}

static void
look_read(const struct message *message, struct model_seen *seen)
{
	seen->is_read = true;
	seen->is_held = message->is_held;
	seen->is_warned = (message->state.flags & STATE_WARNED) != 0;
	seen->has_flush_mark = message->is_flushed || message->revives_sites;
	seen->created_us = message_created_us(message);
	seen->unread = message->recipients.count - message->unread;
	seen->ending = ending_of(message);
	seen->due_us = message->state.next_attempt_us;
	seen->recipient_count = message->recipients.count;
	for (uint32_t i = 0; i < seen->recipient_count && i < MODEL_RECIPIENTS_MAX; i++)
		seen->fates[i] = fate_of(state_class(&message->state, i));
}

size_t
look_ids(const struct core *core, uint64_t *ret_ids, size_t max)
{
	const struct message *message;
	size_t count = 0;

	for (message = core->messages; message != NULL && count < max;
		message = message->by_ref.next)
		ret_ids[count++] = message->queue_id;
	return count;
}

void
look_at(const struct core *core, uint64_t queue_id, struct model_seen *ret_seen)
{
	store_ref ref = store_find(core->store, queue_id);
	const struct message *message;
	struct store_info info;
	bool is_fetched;

	*ret_seen = (struct model_seen){ .is_there = ref != 0 };
	if (ref == 0)
		return;
	message = active_find((struct core *)core, ref);
	ret_seen->is_in_memory = message != NULL;
	if (message != NULL) {
		if (message->phase != MESSAGE_LOADING)
			look_read(message, ret_seen);
		return;
	}
	store_info(core->store, ref, &info);
	ret_seen->is_held = (info.flags & RECORD_STATE_HELD) != 0;
	ret_seen->due_us = info.due_us;
	ret_seen->is_parked = sched_is_parked(core->sched, queue_id, &is_fetched);
}
