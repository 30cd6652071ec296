/*
 * requeue.c - an operator has a message taken in anew: a copy with a new queue ID and a clean state
 *
 * Copy and end of the old one are one batch. The copy keeps its time of arrival, so that it still
 * expires when its sender was promised (rule O43 lets it count from the requeue: created_us does).
 * Recipients that are finished do not come along; the others are rewritten and filtered for
 * duplicates as new ones are.
 */
#include "qmgr/core_priv.h"

#include "message/recipient_filter.h"
#include "route/rewrite.h"

enum problem { NO_PROBLEM, WAIT, REFUSED };

static void
refuse(struct message *message, const char *why)
{
	log_event(message->core->log, EV_qmgr_not_requeued, LOG_Z(message->id_text), LOG_Z(why));
}

static void
body_loaded(void *ctx, store_ref ref, enum err err)
{
	struct core *core = ctx;
	struct message *message = active_find(core, ref);

	if (message == NULL)
		return;
	message->body_loading = false;
	message->body_missing = err != ERR_OK;
	message->wish = WISH_REQUEUE;
	done_check(message);
}

static enum problem
get_body(struct message *message, struct slice *ret_body)
{
	struct core *core = message->core;

	/* The file of large content goes over to the copy as it is. */
	if (message->large != 0) {
		*ret_body = slice_make(NULL, 0);
		return NO_PROBLEM;
	}
	if (message->body_missing) {
		refuse(message, "its content cannot be read");
		return REFUSED;
	}
	if (store_body(core->store, message->ref, ret_body) == ERR_OK)
		return NO_PROBLEM;
	message->body_loading = true;
	store_load_body(core->store, message->ref, body_loaded, core);
	return WAIT;
}

static enum err
rewrite_open(const struct message *message, struct recipient_filter *filter, struct buf *list)
{
	const struct config *config = message->core->config;
	enum err err = ERR_OK;
	struct buf rewritten;
	uint32_t count = 0;

	buf_init(&rewritten, 0);
	for (uint32_t i = 0; err == ERR_OK && i < message->recipients.count; i++) {
		struct rewrite_result result;
		struct recipient_entry entry;

		if (state_class(&message->state, i) != STATE_OPEN)
			continue;
		entry = recipient_index_get(&message->recipients, i);
		buf_clear(&rewritten);
		err = rewrite_recipient(config, &entry, &rewritten, &result);
		if (err == ERR_OK)
			err = recipient_filter_pass(filter, buf_slice(&rewritten), list, &count);
	}
	buf_done(&rewritten);
	return err;
}

/* Rule O43: what is open is rewritten as if it came now, by the tables of today. */
static enum err
open_recipients(const struct message *message, struct buf *list)
{
	const struct config *config = message->core->config;
	struct recipient_filter filter = { 0 };
	enum err err;

	recipient_filter_begin(&filter,
		config_bool(config, NULL, PARAM_ENABLE_ORIGINAL_RECIPIENT),
		config_int(config, NULL, PARAM_DUPLICATE_FILTER_LIMIT));
	err = rewrite_open(message, &filter, list);
	recipient_filter_done(&filter);
	return err;
}

static enum err
fill_copy(struct message *message, struct change *change, struct slice body)
{
	struct envelope envelope = message->envelope;
	struct change_report *copy = &change->reports[0];
	enum err err;

	envelope.created_us = message->core->now.wall.us;
	envelope.orig_id = slice_str(message->id_text);
	if (!core_plant_rule_is_on(message->core, CORE_RULE_COPY_HELD))
		envelope.flags &= ~(uint32_t)ENVELOPE_HOLD;
	err = envelope_encode(&envelope, &copy->envelope);
	if (err == ERR_OK)
		err = open_recipients(message, &copy->recipients);
	if (err == ERR_OK)
		err = buf_append(&copy->content, body);
	copy->message = (struct store_message){
		.queue_id = copy->id,
		.arrival_us = message->envelope.arrival_us,
		.content_length = message->content_length,
		.content_hash = message->content_hash,
		.dotted = message->dotted,
		.large_of = message->large != 0 ? message->ref : 0,
		.head = message->head,
	};
	return err;
}

bool
requeue_message(struct message *message)
{
	struct core *core = message->core;
	struct slice body;
	enum problem problem = get_body(message, &body);
	enum err err;

	if (message->state.class_count[STATE_BOUNCE_PENDING] > 0 ||
		message->state.class_count[STATE_DELIVERED_PENDING] > 0) {
		refuse(message, "a report about it could not be made");
		return false;
	}
	if (message->state.class_count[STATE_OPEN] == 0 || problem == REFUSED)
		return false;
	if (problem == WAIT)
		return true;
	uint64_t id = intake_own_id(core);

	if (id == 0) {
		message->wish = WISH_REQUEUE;
		message->waits_for_id = core->ids_wanted = true;
		return true;
	}
	struct change *change = change_new(core, CHANGE_REQUEUE, message);

	change->reports[0].id = id;
	change->report_count = 1;
	change->is_end = true;
	err = fill_copy(message, change, body);
	if (err != ERR_OK) {
		refuse(message, err == ERR_NOMEM ? "out of memory"
						 : "its recipients cannot be rewritten");
		change_drop(change);
		return false;
	}
	message_move(message, MESSAGE_ENDING);
	change_submit(change);
	return true;
}
