/*
 * control_view.c - a message as operators see it: in memory, or read for a request (control_priv.h)
 */
#include "qmgr/control_priv.h"

#include <string.h>

void
control_view_active(const struct message *message, struct control_view *view)
{
	*view = (struct control_view){
		.queue_name = message->is_held ? "hold" : "active",
		.message = message,
		.envelope = &message->envelope,
		.recipients = &message->recipients,
		.recipient_count = message->recipients.count,
		.state = &message->state,
		.head = message->head,
		.large = message->large,
		.content_length = message->content_length,
		.parts = message->content_parts,
	};
	memcpy(view->id_text, message->id_text, sizeof(view->id_text));
	view->has_body = message->large == 0 &&
			 store_body(message->core->store, message->ref, &view->body) == ERR_OK;
}

static enum err
view_open(const struct store_view *stored, struct control_view *view)
{
	enum err err = envelope_decode(stored->envelope, &view->own_envelope);
	uint32_t count;

	if (err == ERR_OK)
		err = recipient_index_init(&view->own_recipients, stored->recipients);
	if (err != ERR_OK)
		return err;
	count = view->own_recipients.count;
	if (stored->state.len > 0)
		err = state_decode(stored->state, count, &view->own_state);
	else
		err = state_init(&view->own_state, count);
	for (size_t i = 0; err == ERR_OK && i < stored->result_count; i++)
		err = state_apply(&view->own_state, stored->results[i]);
	view->recipient_count = count;
	return err;
}

/* Nothing was tried yet of what has neither a state nor a result. */
static const char *
idle_queue(const struct core *core, const struct store_view *stored, uint32_t flags,
	const struct envelope *envelope)
{
	bool is_new = stored->state.len == 0 && stored->result_count == 0;

	if ((flags & RECORD_STATE_HELD) != 0 || copy_holds(core, stored->queue_id) ||
		(is_new && (envelope->flags & ENVELOPE_HOLD) != 0))
		return "hold";
	return is_new ? "incoming" : "deferred";
}

bool
control_view_idle(struct core *core, store_ref ref, struct control_view *view)
{
	struct store_view stored;
	struct store_info info;

	*view = (struct control_view){ 0 };
	store_view(core->store, ref, &stored);
	if (poison_is(core, stored.queue_id))
		return false;
	poison_working(core, stored.queue_id);
	store_info(core->store, ref, &info);
	if (view_open(&stored, view) != ERR_OK)
		return false;
	(void)queue_id_format(stored.queue_id, view->id_text);
	view->queue_name = idle_queue(core, &stored, info.flags, &view->own_envelope);
	view->envelope = &view->own_envelope;
	view->recipients = &view->own_recipients;
	view->state = &view->own_state;
	view->due_us = info.due_us;
	view->large = stored.large;
	view->content_length = stored.content_length;
	view->parts = stored.content_parts;
	view->head = stored.head;
	view->has_body =
		stored.large == 0 && store_body(core->store, ref, &view->body) == ERR_OK;
	return true;
}

void
control_view_done(struct control_view *view)
{
	state_done(&view->own_state);
	recipient_index_done(&view->own_recipients);
}
