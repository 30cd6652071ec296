/*
 * report.c - non-delivery reports: who gets one, what it holds, one batch with its marks (rules N)
 *
 * Called by done.c with BOUNCE_PENDING recipients. Either the report is on its way (a
 * CHANGE_REPORT,
 * or a read of the content that must come first), or there is nothing to send and the recipients
 * are marked in memory, to be written with the message's next STATE or its end.
 */
#include "qmgr/core_priv.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/num.h"
#include "route/rewrite.h"

/* REPORT_TEXT_MAX: of all recipients of a report, which repeats each; with the content that comes
 * back and the marks' STATE it is one batch of the journal. */
enum { LARGE_HEADER_MAX = 64 * 1024, REPORT_TEXT_MAX = 384 * 1024 };

/* Whom a report about this message goes to (rules N20 to N22). */
enum report_target { TARGET_SENDER, TARGET_POSTMASTER, TARGET_NOBODY };

static bool
is_double_bounce(const struct message *message)
{
	const struct config *config = message->core->config;
	struct slice local, domain;

	if (message->envelope.flags & ENVELOPE_DOUBLE_BOUNCE)
		return true;
	address_split(message->envelope.sender, &local, &domain);
	return slice_equal_nocase(local, config_str(config, NULL, PARAM_DOUBLE_BOUNCE_SENDER)) &&
	       slice_equal_nocase(domain, config_str(config, NULL, PARAM_MYHOSTNAME));
}

static enum report_target
target_of(const struct message *message)
{
	uint64_t classes = config_words(message->core->config, NULL, PARAM_NOTIFY_CLASSES);

	if (is_double_bounce(message)) {
		log_event(message->core->log, EV_bounce_postmaster_discarded,
			LOG_Z(message->id_text));
		return TARGET_NOBODY;
	}
	if (message->envelope.sender.len > 0)
		return TARGET_SENDER;
	return classes & (CONFIG_NOTIFY_BOUNCE | CONFIG_NOTIFY_2BOUNCE) ? TARGET_POSTMASTER
									 : TARGET_NOBODY;
}

/* Rule N10: no NOTIFY, or NOTIFY has FAILURE; postmaster sees all. */
static bool
is_included(const struct recipient_entry *recipient, enum report_target target)
{
	return target == TARGET_POSTMASTER || recipient->notify == 0 ||
	       (recipient->notify & DSN_NOTIFY_FAILURE) != 0;
}

/* --- the content of the original -------------------------------------------------------------- */

static void
body_loaded(void *ctx, store_ref ref, enum err err)
{
	struct core *core = ctx;
	struct message *message = active_find(core, ref);

	if (message == NULL)
		return;
	message->body_loading = false;
	message->body_missing = err != ERR_OK;
	done_check(message);
}

static void
large_loaded(void *ctx, enum err err, struct slice bytes)
{
	struct message *message = ctx;

	message->body_loading = false;
	message->body_missing = err != ERR_OK;
	buf_clear(&message->large_header);
	if (err == ERR_OK)
		buf_add(&message->large_header, bytes);
	message->has_large_header = true;
	done_check(message);
}

/* False: it is being read; done_check() comes again. */
static bool
content_get(struct message *message, struct report *report)
{
	struct core *core = message->core;
	uint64_t head_length = message->envelope.head_length;

	if (message->body_missing) {
		report->content_missing = true;
		return true;
	}
	if (message->large != 0) {
		if (!message->has_large_header) {
			message->body_loading = true;
			store_large_read(core->store, message->ref,
				num_min_u64(head_length, LARGE_HEADER_MAX), large_loaded, message);
			return false;
		}
		report->content = buf_slice(&message->large_header);
		return true;
	}
	if (store_body(core->store, message->ref, &report->content) == ERR_OK) {
		report->content_whole = true;
		return true;
	}
	message->body_loading = true;
	store_load_body(core->store, message->ref, body_loaded, core);
	return false;
}

/* --- one report ------------------------------------------------------------------------------- */

static void
fill_recipient(const struct message *message, uint32_t number, struct report_recipient *ret)
{
	const struct recipient_entry *entry = &message->recipients[number];
	struct state_reason reason = { 0 };

	(void)state_reason(&message->state, number, &reason);
	*ret = (struct report_recipient){
		.address = entry->address,
		.original = entry->original,
		.orcpt = entry->orcpt,
		.action = REPORT_ACTION_FAILED,
		.status = reason.dsn,
		.reason = reason.text,
		.remote_mta = reason.remote_mta,
		.diagnostic = reason.diagnostic,
	};
}

/* The recipients of one report and those that are marked with it. */
struct batch {
	struct report_recipient *list;
	size_t count;
	uint32_t *marks;
	size_t mark_count;
};

static size_t
text_size(const struct report_recipient *recipient)
{
	return recipient->address.len + recipient->original.len + recipient->orcpt.len +
	       recipient->reason.len + recipient->remote_mta.len + recipient->diagnostic.len;
}

static void
batch_collect(struct message *message, enum report_target target, struct batch *batch)
{
	size_t text = 0;

	batch->list = mem_array(REPORT_RECIPIENTS_MAX, sizeof(*batch->list));
	batch->marks = mem_array(REPORT_RECIPIENTS_MAX, sizeof(*batch->marks));
	for (uint32_t i = 0;
		i < message->recipient_count && batch->mark_count < REPORT_RECIPIENTS_MAX &&
		text < REPORT_TEXT_MAX;
		i++) {
		if (state_class(&message->state, i) != STATE_BOUNCE_PENDING)
			continue;
		batch->marks[batch->mark_count++] = i;
		if (target != TARGET_NOBODY && is_included(&message->recipients[i], target)) {
			fill_recipient(message, i, &batch->list[batch->count]);
			text += text_size(&batch->list[batch->count++]);
		}
	}
}

static void
batch_mark(struct message *message, const struct batch *batch)
{
	for (size_t i = 0; i < batch->mark_count; i++)
		CHECK(state_set(&message->state, batch->marks[i], STATE_BOUNCED, NULL));
	message->core->bounced += batch->mark_count;
}

static void
batch_done(struct batch *batch)
{
	mem_free(batch->list);
	mem_free(batch->marks);
}

static void
report_fill(const struct message *message, enum report_target target, struct report *report)
{
	const struct core *core = message->core;
	const struct config *config = core->config;

	report->kind = REPORT_FAILURE;
	report->postmaster = target == TARGET_POSTMASTER;
	report->myhostname = config_str(config, NULL, PARAM_MYHOSTNAME);
	report->mail_name = config_str(config, NULL, PARAM_MAIL_NAME);
	report->queue_id = slice_str(message->id_text);
	report->sender = message->envelope.sender;
	report->envid = message->envelope.envid;
	report->message_id = message->envelope.message_id;
	report->now = core->now.wall;
	report->arrival = (struct wall){ message->envelope.arrival_us };
	report->lifetime_s = config_time_s(config, NULL, PARAM_MAXIMAL_QUEUE_LIFETIME);
	report->smtputf8 = message->envelope.smtputf8 != 0;
	report->ret = message->envelope.ret;
	report->head = message->head;
	report->content_head_length = message->envelope.head_length;
	report->size_limit = config_int(config, NULL, PARAM_BOUNCE_SIZE_LIMIT);
}

/* The envelope of the report as a message of its own. */
static enum err
fill_envelope(const struct message *message, enum report_target target, struct change *change,
	const struct report_facts *facts)
{
	struct core *core = message->core;
	const struct config *config = core->config;
	struct envelope envelope;
	struct buf sender;
	enum err err;

	buf_init(&sender, 0);
	envelope_init(&envelope);
	if (target == TARGET_POSTMASTER) {
		buf_addf(&sender, "%s@%s", config_cstr(config, NULL, PARAM_DOUBLE_BOUNCE_SENDER),
			config_cstr(config, NULL, PARAM_MYHOSTNAME));
		envelope.flags |= ENVELOPE_DOUBLE_BOUNCE;
	}
	envelope.sender = buf_slice(&sender);
	envelope.flags |= ENVELOPE_BOUNCE;
	envelope.arrival_us = core->now.wall.us;
	envelope.size = change->report_content.len;
	envelope.smtputf8 = message->envelope.smtputf8;
	envelope.body_8bit = facts->eight_bit;
	envelope.message_id = facts->message_id;
	envelope.head_length = facts->head_length;
	err = envelope_encode(&envelope, &change->report_envelope);
	buf_done(&sender);
	return err;
}

static enum err
fill_report(struct message *message, enum report_target target, struct report *report,
	struct change *change)
{
	const struct config *config = message->core->config;
	struct slice to = message->envelope.sender;
	struct report_facts facts;
	struct buf rewritten;
	enum err err;

	buf_init(&rewritten, 0);
	if (target == TARGET_POSTMASTER)
		to = config_str(config, NULL, PARAM_DOUBLE_BOUNCE_NOTICE_RECIPIENT);
	err = rewrite_complete(config, to, &rewritten);
	report->to = buf_slice(&rewritten);
	struct recipient_entry entry = { .address = report->to };
	struct rewrite_result result;

	if (err == ERR_OK)
		err = rewrite_recipient(config, &entry, &change->report_recipients, &result);
	if (err == ERR_OK)
		err = report_format(report, &change->report_content, &facts);
	if (err == ERR_OK)
		err = fill_envelope(message, target, change, &facts);
	if (err == ERR_OK)
		change->report = (struct store_message){
			.queue_id = change->report_id,
			.arrival_us = message->core->now.wall.us,
			.content_length = change->report_content.len,
			.content_hash = hash_bytes(buf_slice(&change->report_content)),
			.dotted = facts.dotted,
		};
	buf_done(&rewritten);
	return err;
}

/* The marks' STATE, or that nothing is left. */
static void
fill_marks(struct message *message, struct change *change)
{
	change->is_end = !state_is_live(&message->state) && !message->is_held;
	if (!change->is_end)
		defer_encode(message, change);
}

static bool
send_report(struct message *message, enum report_target target, struct batch *batch)
{
	struct core *core = message->core;
	struct report report = { 0 };
	struct change *change;
	char text[QUEUE_ID_TEXT_SIZE];
	uint64_t id;
	enum err err;

	if (!content_get(message, &report))
		return true;
	id = intake_own_id(core);
	if (id == 0) {
		message->waits_for_id = core->ids_wanted = true;
		return true;
	}
	change = change_new(core, CHANGE_REPORT, message);
	change->report_id = id;
	report_fill(message, target, &report);
	report.report_id = queue_id_format(id, text);
	report.recipients = batch->list;
	report.recipient_count = batch->count;
	err = fill_report(message, target, &report, change);
	if (err != ERR_OK) {
		log_event(core->log, EV_bounce_failed, LOG_Z(message->id_text));
		change_drop(change);
		message->report_failed = true;
		return false;
	}
	batch_mark(message, batch);
	fill_marks(message, change);
	change_submit(change);
	return true;
}

bool
report_bounces(struct message *message)
{
	enum report_target target = target_of(message);
	struct batch batch = { 0 };
	bool is_waiting = false;

	batch_collect(message, target, &batch);
	if (batch.count == 0)
		batch_mark(message, &batch);
	else
		is_waiting = send_report(message, target, &batch);
	batch_done(&batch);
	return is_waiting;
}
