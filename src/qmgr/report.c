/*
 * report.c - reports to senders: who gets one, what it holds, one batch with its marks (rules N)
 *
 * Called by done.c for one kind at a time: failures (D5), successes and what `sendmail -v` asked
 * for (D25), delays (D45). A report and postmaster's copy of it (N24, N25) are messages of their
 * own; they and the marks that they set are one batch. Where nobody is to be told, recipients are
 * marked in memory and written with the message's next STATE or its end.
 */
#include "qmgr/core_priv.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/num.h"
#include "message/verp.h"
#include "route/rewrite.h"

#include <stdio.h>

/* REPORT_TEXT_MAX: of all recipients of a report, which repeats each; with the content that comes
 * back and the marks' STATE it is one batch of the journal. */
enum { LARGE_HEADER_MAX = 64 * 1024, REPORT_TEXT_MAX = 384 * 1024 };

/* Whom a report about this message goes to (rules N20 to N26). */
enum report_target { TARGET_SENDER, TARGET_POSTMASTER, TARGET_NOBODY };

/* What is to be reported of a message. */
struct order {
	struct message *message;
	enum report_kind kind;
	enum report_target target;
	bool is_verp; /* one recipient, to an address of its own (V5) */
	struct report_recipient *list; /* those that the target is told of */
	size_t count;
	struct report_recipient *copied; /* those in postmaster's copy; count 0: there is none */
	size_t copied_count;
	uint32_t *marks;               /* those that are marked with it */
	size_t mark_count;
};

static const char *const kind_words[] = {
	[REPORT_FAILURE] = "bounce", /* or "verp-bounce" */
	[REPORT_DELAY] = "delay warning",
	[REPORT_SUCCESS] = "trace",
	[REPORT_VERIFY] = "trace",
};

static const char *const log_words[][2] = {
	[REPORT_FAILURE] = { "sender non-delivery", "postmaster non-delivery" },
	[REPORT_DELAY] = { "sender delay", "postmaster delay" },
	[REPORT_SUCCESS] = { "sender delivery status", "postmaster delivery status" },
	[REPORT_VERIFY] = { "sender delivery status", "postmaster delivery status" },
};

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

static uint64_t
notify_classes(const struct message *message)
{
	return config_words(message->core->config, NULL, PARAM_NOTIFY_CLASSES);
}

/* Rules N21, N22. */
static enum report_target
target_of_failure(const struct message *message)
{
	if (is_double_bounce(message)) {
		log_event(message->core->log, EV_bounce_postmaster_discarded,
			LOG_Z(message->id_text));
		return TARGET_NOBODY;
	}
	if (message->envelope.sender.len > 0)
		return TARGET_SENDER;
	return notify_classes(message) & (CONFIG_NOTIFY_BOUNCE | CONFIG_NOTIFY_2BOUNCE)
		       ? TARGET_POSTMASTER
		       : TARGET_NOBODY;
}

/* Rule N26. */
static enum report_target
target_of_success(const struct message *message)
{
	bool is_double = is_double_bounce(message);

	if (message->envelope.sender.len > 0 && !is_double)
		return TARGET_SENDER;
	if (!is_double && (notify_classes(message) & CONFIG_NOTIFY_2BOUNCE) != 0)
		return TARGET_POSTMASTER;
	log_event(message->core->log, EV_bounce_not_sent, LOG_Z(message->id_text),
		LOG_Z(is_double ? "double-bounce" : "single-bounce"));
	return TARGET_NOBODY;
}

static enum report_target
target_of(const struct message *message, enum report_kind kind)
{
	switch (kind) {
	case REPORT_FAILURE:
		return target_of_failure(message);
	case REPORT_SUCCESS:
	case REPORT_VERIFY:
		return target_of_success(message);
	case REPORT_DELAY:
		return message->envelope.sender.len > 0 && !is_double_bounce(message)
			       ? TARGET_SENDER
			       : TARGET_NOBODY;
	}
	return TARGET_NOBODY;
}

/* Postmaster's copy of what a sender is told (rules N24, N25). */
static bool
has_copy(const struct order *order)
{
	uint64_t classes = notify_classes(order->message);

	if (order->target != TARGET_SENDER)
		return false;
	return (order->kind == REPORT_FAILURE && (classes & CONFIG_NOTIFY_BOUNCE) != 0) ||
	       (order->kind == REPORT_DELAY && (classes & CONFIG_NOTIFY_DELAY) != 0);
}

/* sendmail -bv. */
static bool
is_whatif(const struct message *message)
{
	return (message->envelope.flags & ENVELOPE_WHATIF) != 0;
}

/* What a recipient must be to be in it: rules N2, N3, N14. */
static bool
is_subject(const struct order *order, uint32_t number)
{
	const struct state *state = &order->message->state;
	struct state_reason reason;

	switch (order->kind) {
	case REPORT_FAILURE:
		return state_class(state, number) == STATE_BOUNCE_PENDING;
	case REPORT_DELAY:
		return state_class(state, number) == STATE_OPEN;
	case REPORT_SUCCESS:
		return state_class(state, number) == STATE_DELIVERED_PENDING;
	case REPORT_VERIFY:
		return state_class(state, number) == STATE_DELIVERED_PENDING ||
		       (!is_whatif(order->message) && state_reason(state, number, &reason));
	}
	return false;
}

/* Rules N10, N13: what NOTIFY says; postmaster sees all. */
static bool
is_told(const struct order *order, uint32_t number)
{
	uint8_t notify = recipient_index_get(&order->message->recipients, number).notify;

	if (order->target == TARGET_POSTMASTER || notify == 0 ||
		(order->message->core->options.planted & CORE_PLANT_REPORT_NEVER) != 0)
		return true;
	if (order->kind == REPORT_FAILURE)
		return (notify & DSN_NOTIFY_FAILURE) != 0;
	if (order->kind == REPORT_DELAY)
		return (notify & DSN_NOTIFY_DELAY) != 0;
	return true;
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

/* --- what is reported ------------------------------------------------------------------------- */

static enum report_action
action_of(enum state_class class, struct slice remote_mta)
{
	if (class == STATE_BOUNCE_PENDING || class == STATE_BOUNCED)
		return REPORT_ACTION_FAILED;
	if (class == STATE_OPEN)
		return REPORT_ACTION_DELAYED;
	return remote_mta.len > 0 ? REPORT_ACTION_RELAYED : REPORT_ACTION_DELIVERED;
}

static enum report_action
action_of_whatif(struct slice dsn)
{
	return slice_starts(dsn, SLICE_LIT("2.")) ? REPORT_ACTION_DELIVERABLE
						  : REPORT_ACTION_UNDELIVERABLE;
}

static void
fill_recipient(const struct message *message, uint32_t number, struct report_recipient *ret)
{
	struct recipient_entry entry = recipient_index_get(&message->recipients, number);
	struct state_reason reason = { 0 };
	enum state_class class;

	(void)state_reason(&message->state, number, &reason);
	class = state_class(&message->state, number);
	*ret = (struct report_recipient){
		.address = entry.address,
		.original = entry.original,
		.orcpt = entry.orcpt,
		.action = is_whatif(message) ? action_of_whatif(reason.dsn)
			  : (entry.notify & DSN_NOTIFY_EXPANDED) != 0
				  ? REPORT_ACTION_EXPANDED
				  : action_of(class, reason.remote_mta),
		.status = reason.dsn,
		.reason = reason.text,
		.remote_mta = reason.remote_mta,
		.diagnostic = reason.diagnostic,
	};
}

static size_t
text_size(const struct report_recipient *recipient)
{
	return recipient->address.len + recipient->original.len + recipient->orcpt.len +
	       recipient->reason.len + recipient->remote_mta.len + recipient->diagnostic.len;
}

struct slice
message_verp_recipient(const struct message *message, uint32_t number)
{
	struct recipient_entry entry = recipient_index_get(&message->recipients, number);

	return entry.original.len > 0 ? entry.original : entry.address;
}

/* Rules V5, V6. */
static bool
is_verp(const struct order *order)
{
	return order->kind == REPORT_FAILURE && order->target == TARGET_SENDER &&
	       order->message->envelope.verp.len > 0 &&
	       !config_bool(order->message->core->config, NULL, PARAM_DISABLE_VERP_BOUNCES);
}

/* As many as REPORT_RECIPIENTS_MAX and REPORT_TEXT_MAX allow; a delay notice names no more. */
static void
order_init(struct order *order, struct message *message, enum report_kind kind)
{
	size_t text = 0;
	size_t most;
	bool copies;

	*order = (struct order){ .message = message, .kind = kind };
	order->target = target_of(message, kind);
	order->list = mem_array(REPORT_RECIPIENTS_MAX, sizeof(*order->list));
	order->copied = mem_array(REPORT_RECIPIENTS_MAX, sizeof(*order->copied));
	order->marks = mem_array(REPORT_RECIPIENTS_MAX, sizeof(*order->marks));
	copies = has_copy(order);
	order->is_verp = is_verp(order);
	most = order->is_verp ? 1 : REPORT_RECIPIENTS_MAX;
	for (uint32_t i = 0; i < message->recipients.count && order->mark_count < most &&
			     text < REPORT_TEXT_MAX;
		i++) {
		struct report_recipient told;

		if (!is_subject(order, i))
			continue;
		fill_recipient(message, i, &told);
		text += text_size(&told);
		order->marks[order->mark_count++] = i;
		if (order->target != TARGET_NOBODY && is_told(order, i))
			order->list[order->count++] = told;
		if (copies)
			order->copied[order->copied_count++] = told;
	}
}

static void
order_done(struct order *order)
{
	mem_free(order->list);
	mem_free(order->copied);
	mem_free(order->marks);
}

/* What the report, or that there is none to send, makes of the message. */
static void
order_mark(const struct order *order)
{
	struct message *message = order->message;
	struct state *state = &message->state;

	for (size_t i = 0; i < order->mark_count; i++) {
		uint32_t number = order->marks[i];

		if (order->kind == REPORT_FAILURE)
			CHECK(state_set(state, number, STATE_BOUNCED, NULL));
		else if (state_class(state, number) == STATE_DELIVERED_PENDING)
			CHECK(state_set(state, number, STATE_DELIVERED, NULL));
	}
	if (order->kind == REPORT_FAILURE)
		message->core->bounced += order->mark_count;
	else if (order->kind == REPORT_DELAY &&
		 !(message->core->options.planted & CORE_PLANT_WARN_AGAIN))
		state->flags |= STATE_WARNED;
	else if (order->kind == REPORT_VERIFY)
		state->flags |= STATE_RECORDED;
}

/* --- one report ------------------------------------------------------------------------------- */

/* Rules N49, N50. */
static void
fill_template(const struct config *config, enum report_kind kind, struct report_template *to)
{
	static const char *const names[] = { [REPORT_FAILURE] = "failure_template",
		[REPORT_DELAY] = "delay_template", [REPORT_SUCCESS] = "success_template",
		[REPORT_VERIFY] = "verify_template" };
	const struct {
		const char *field;
		struct slice *to;
	} fields[] = { { "", &to->text }, { " charset", &to->charset }, { " from", &to->from },
		{ " subject", &to->subject },
		{ " postmaster-subject", &to->postmaster_subject } };
	char key[64];

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		(void)snprintf(key, sizeof(key), "%s%s", names[kind], fields[i].field);
		if (config_map_find(config, NULL, PARAM_BOUNCE_TEMPLATE_FILE, slice_str(key),
			    fields[i].to) == ERR_OK)
			to->is_set = true;
	}
}

static void
report_fill(const struct order *order, bool is_copy, struct report *report)
{
	const struct message *message = order->message;
	const struct core *core = message->core;
	const struct config *config = core->config;

	report->kind = order->kind;
	fill_template(config, order->kind, &report->template);
	report->postmaster = is_copy || order->target == TARGET_POSTMASTER;
	report->myhostname = config_str(config, NULL, PARAM_MYHOSTNAME);
	report->mail_name = config_str(config, NULL, PARAM_MAIL_NAME);
	report->queue_id = slice_str(message->id_text);
	report->sender = message->envelope.sender;
	report->envid = message->envelope.envid;
	report->message_id = message->envelope.message_id;
	report->now = core->now.wall;
	report->arrival = (struct wall){ message->envelope.arrival_us };
	report->lifetime_s = done_lifetime_s(message);
	report->expires = (struct wall){ done_expires_us(message) };
	report->threaded = config_bool(config, NULL, PARAM_ENABLE_THREADED_BOUNCES);
	report->from_obsolete = config_enum(config, NULL, PARAM_HEADER_FROM_FORMAT) ==
				CONFIG_FROM_OBSOLETE;
	report->smtputf8 = message->envelope.smtputf8 != 0;
	report->ret = is_copy ? (uint8_t)DSN_RET_HDRS : message->envelope.ret;
	report->head = message->head;
	report->content_head_length = message->envelope.head_length;
	report->size_limit = config_int(config, NULL, PARAM_BOUNCE_SIZE_LIMIT);
	report->recipients = is_copy ? order->copied : order->list;
	report->recipient_count = is_copy ? order->copied_count : order->count;
}

/* The envelope of the report as a message of its own. */
static enum err
fill_envelope(const struct message *message, const struct report *report,
	const struct report_facts *facts, struct change_report *to)
{
	struct core *core = message->core;
	const struct config *config = core->config;
	struct envelope envelope;
	struct buf sender;
	enum err err;

	buf_init(&sender, 0);
	envelope_init(&envelope);
	if (report->postmaster) {
		buf_addf(&sender, "%s@%s", config_cstr(config, NULL, PARAM_DOUBLE_BOUNCE_SENDER),
			config_cstr(config, NULL, PARAM_MYHOSTNAME));
		envelope.flags |= ENVELOPE_DOUBLE_BOUNCE;
	}
	envelope.sender = buf_slice(&sender);
	envelope.flags |= ENVELOPE_BOUNCE;
	envelope.arrival_us = core->now.wall.us;
	envelope.size = to->content.len;
	envelope.smtputf8 = message->envelope.smtputf8;
	envelope.body_8bit = facts->eight_bit;
	envelope.message_id = facts->message_id;
	envelope.head_length = facts->head_length;
	err = envelope_encode(&envelope, &to->envelope);
	buf_done(&sender);
	return err;
}

/* `verp` holds the address of a VERP report. */
static struct slice
address_of(const struct order *order, bool is_copy, struct buf *verp)
{
	const struct config *config = order->message->core->config;
	const struct envelope *envelope = &order->message->envelope;

	if (!is_copy && order->is_verp &&
		verp_address(envelope->sender,
			message_verp_recipient(order->message, order->marks[0]), envelope->verp,
			verp) == ERR_OK)
		return buf_slice(verp);
	if (!is_copy && order->target == TARGET_SENDER)
		return envelope->sender;
	if (!is_copy)
		return config_str(config, NULL, PARAM_DOUBLE_BOUNCE_NOTICE_RECIPIENT);
	return config_str(config, NULL,
		order->kind == REPORT_DELAY ? PARAM_DELAY_NOTICE_RECIPIENT
					    : PARAM_BOUNCE_NOTICE_RECIPIENT);
}

static enum err
fill_report(const struct order *order, bool is_copy, struct report *report,
	struct change_report *to)
{
	struct core *core = order->message->core;
	struct rewrite_result result;
	struct recipient_entry entry = { 0 };
	struct report_facts facts;
	struct buf rewritten, verp;
	char text[QUEUE_ID_TEXT_SIZE];
	enum err err;

	buf_init(&rewritten, 0);
	buf_init(&verp, 0);
	report_fill(order, is_copy, report);
	report->report_id = queue_id_format(to->id, text);
	err = rewrite_complete(core->config, address_of(order, is_copy, &verp), &rewritten);
	report->to = entry.address = buf_slice(&rewritten);
	if (err == ERR_OK)
		err = rewrite_recipient(core->config, &entry, &to->recipients, &result);
	if (err == ERR_OK)
		err = report_format(report, &to->content, &facts);
	if (err == ERR_OK)
		err = fill_envelope(order->message, report, &facts, to);
	if (err == ERR_OK)
		to->message = (struct store_message){
			.queue_id = to->id,
			.arrival_us = core->now.wall.us,
			.content_length = to->content.len,
			.content_hash = hash_bytes(buf_slice(&to->content)),
			.dotted = facts.dotted,
		};
	to->words = log_words[order->kind][report->postmaster];
	buf_done(&rewritten);
	buf_done(&verp);
	return err;
}

/* The marks' STATE, or that nothing is left. */
static void
fill_marks(struct message *message, struct change *change)
{
	change->is_end = !state_is_live(&message->state) && !message->is_held &&
			 !done_is_record_owed(message);
	if (change->is_end)
		return;
	defer_encode(message, change);
	/* Nobody has tried the rest of the list yet: after a crash it goes on. */
	if (!refill_is_all(message))
		change->due_us = 0;
}

/* The report to the target, if one is told, and the copy; a copy that fails only warns (N24). */
static enum err
fill_all(const struct order *order, struct report *report, const uint64_t *ids,
	struct change *change)
{
	struct change_report *to = &change->reports[0];
	enum err err = ERR_OK;

	if (order->count > 0) {
		to->id = *ids++;
		err = fill_report(order, false, report, to);
		change->report_count++;
	}
	if (err == ERR_OK && order->copied_count > 0) {
		to = &change->reports[change->report_count];
		to->id = *ids;
		if (fill_report(order, true, report, to) == ERR_OK)
			change->report_count++;
		else
			log_event(order->message->core->log, EV_bounce_copy_failed,
				LOG_Z(order->message->id_text));
	}
	return err;
}

/* Deliveries go first: reports are spread (GCRA). False: the message waits for its turn. */
static bool
take_turn(struct message *message)
{
	struct core *core = message->core;

	if (core->report_at.ns > core->now.mono.ns + REPORT_BURST_NS) {
		message->is_settling = true;
		TAILQ_INSERT_TAIL(&core->reporting, message, link);
		return false;
	}
	if (core->report_at.ns < core->now.mono.ns)
		core->report_at = core->now.mono;
	core->report_at = mono_add_ns(core->report_at, REPORT_INTERVAL_NS);
	return true;
}

static enum report_fate
order_send(const struct order *order)
{
	struct message *message = order->message;
	struct core *core = message->core;
	unsigned needed = (order->count > 0 ? 1U : 0U) + (order->copied_count > 0 ? 1U : 0U);
	uint64_t ids[CHANGE_REPORTS_MAX];
	struct report report = { 0 };
	struct change *change;

	if (!content_get(message, &report))
		return REPORT_ON_ITS_WAY;
	if (!intake_own_ids(core, needed, ids)) {
		message->waits_for_id = core->ids_wanted = true;
		return REPORT_ON_ITS_WAY;
	}
	if (!take_turn(message))
		return REPORT_ON_ITS_WAY;
	change = change_new(core, CHANGE_REPORT, message);
	if (fill_all(order, &report, ids, change) != ERR_OK || change->report_count == 0) {
		log_event(core->log, EV_bounce_failed, LOG_Z(message->id_text),
			LOG_Z(order->is_verp ? "verp-bounce" : kind_words[order->kind]));
		change_drop(change);
		if (!core_plant_rule_is_on(core, CORE_RULE_MARK_FAILED))
			return REPORT_FAILED;
		order_mark(order);
		return REPORT_MARKED;
	}
	order_mark(order);
	fill_marks(message, change);
	change_submit(change);
	return REPORT_ON_ITS_WAY;
}

enum report_fate
report_make(struct message *message, enum report_kind kind)
{
	enum report_fate fate = REPORT_MARKED;
	struct order order;

	order_init(&order, message, kind);
	if (order.count + order.copied_count > 0)
		fate = order_send(&order);
	else
		order_mark(&order);
	order_done(&order);
	return fate;
}
