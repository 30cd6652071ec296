/*
 * change.c - changes on their way into the journal, and what their durability sets free
 *
 * A change is submitted once its message's memory says the new thing; what others may see of it (an
 * acknowledgement, `removed`, the next stage) happens in change_durable() and nowhere else. What
 * the journal refuses for now is kept and tried again every CHANGE_RETRY_NS; what it can never take
 * (ERR_LIMIT) ends in hold and a line in the log.
 */
#include "qmgr/core_priv.h"

#include "base/check.h"
#include "base/mem.h"
#include "qmgr/fingerprint.h"

#define CHANGE_RETRY_NS (100 * NS_PER_MS)

struct change *
change_new(struct core *core, enum change_kind kind, struct message *message)
{
	struct change *change = mem_new(sizeof(*change));

	change->core = core;
	change->kind = kind;
	change->message = message;
	change->ref = message->ref;
	change->queue_id = message->queue_id;
	buf_init(&change->payload, 0);
	for (unsigned i = 0; i < CHANGE_REPORTS_MAX; i++) {
		buf_init(&change->reports[i].envelope, 0);
		buf_init(&change->reports[i].recipients, 0);
		buf_init(&change->reports[i].content, 0);
	}
	if (kind != CHANGE_RESULT) {
		change->owed_peer = message->owed_peer;
		change->owed_attempt = message->owed_attempt;
		message->owed_attempt = 0;
	}
	message->changes++;
	core->change_count++;
	TAILQ_INSERT_TAIL(&core->changes, change, link);
	return change;
}

static void
change_free(struct change *change)
{
	struct core *core = change->core;

	TAILQ_REMOVE(&core->changes, change, link);
	core->change_count--;
	buf_done(&change->payload);
	for (unsigned i = 0; i < CHANGE_REPORTS_MAX; i++) {
		buf_done(&change->reports[i].envelope);
		buf_done(&change->reports[i].recipients);
		buf_done(&change->reports[i].content);
	}
	mem_free(change);
}

void
change_drop(struct change *change)
{
	CHECK(!change->in_flight);
	if (change->owed_attempt != 0) {
		change->message->owed_peer = change->owed_peer;
		change->message->owed_attempt = change->owed_attempt;
	}
	change->message->changes--;
	change_free(change);
}

/* At the end of the process: what is in flight has been settled before. */
void
change_free_all(struct core *core)
{
	struct change *change;

	while ((change = TAILQ_FIRST(&core->changes)) != NULL)
		change_free(change);
}

/* --- what durability sets free ---------------------------------------------------------------- */

static void
ack_leases(struct change *change)
{
	if (change->attempt != 0)
		SEND(change->core, change->peer, result_ack, .queue_id = change->queue_id,
			.attempt = change->attempt);
	if (change->owed_attempt != 0)
		SEND(change->core, change->owed_peer, result_ack, .queue_id = change->queue_id,
			.attempt = change->owed_attempt);
}

static void
end_message(struct change *change)
{
	struct message *message = change->message;

	log_event(change->core->log, EV_qmgr_removed, LOG_Z(message->id_text));
	change->core->removed++;
	active_forget(message);
}

static void
report_durable(struct change *change)
{
	struct core *core = change->core;
	struct message *message = change->message;
	char text[QUEUE_ID_TEXT_SIZE];

	for (unsigned i = 0; i < change->report_count; i++) {
		const struct change_report *report = &change->reports[i];

		log_event(core->log, EV_bounce_notification, LOG_Z(message->id_text),
			LOG_Z(report->words), LOG_S(queue_id_format(report->id, text)));
		active_new(core, report->ref);
	}
	if (change->is_end)
		end_message(change);
	else
		done_check(message);
}

static void
requeue_durable(struct change *change)
{
	struct core *core = change->core;
	struct message *message = change->message;
	char text[QUEUE_ID_TEXT_SIZE];

	log_event(core->log, EV_qmgr_requeued, LOG_Z(message->id_text),
		LOG_S(queue_id_format(change->reports[0].id, text)));
	active_new(core, change->reports[0].ref);
	end_message(change);
}

/* Idle from here on: until its timer, or until its site is back. */
static void
state_durable(struct change *change)
{
	struct core *core = change->core;
	struct message *message = change->message;
	struct sched_destination *site = defer_site(message, change);
	uint64_t look_us = defer_look_us(message);
	uint64_t queue_id = message->queue_id, class = message->sched.class;

	if (change->is_overtaken)
		clock_watch_pull(core, message->ref);
	store_unpin(core->store, message->ref);
	active_forget(message);
	if (site == NULL)
		return;
	if (sched_destination_is_dead(site) || !sched_destination_is_failing(site)) {
		store_set_due(core->store, change->ref, look_us);
		sched_park(core->sched, site, class, queue_id);
	} else {
		store_set_due(core->store, change->ref, defer_soon_us(core));
	}
	sched_destination_release(site);
}

/* When it is on its way to the disk, and when it is there and nobody has heard of it. */
static void
at_boundary(const struct change *change, bool is_durable)
{
	static const char *const names[][2] = {
		[CHANGE_RESULT] = { "result is written", "result is durable" },
		[CHANGE_STATE] = { "deferral is written", "deferral is durable" },
		[CHANGE_REPORT] = { "report is written", "report is durable" },
		[CHANGE_END] = { "removal is written", "removal is durable" },
		[CHANGE_REQUEUE] = { "requeue is written", "requeue is durable" },
	};

	core_boundary(change->core, names[change->kind][is_durable]);
}

static void
change_durable(struct change *change)
{
	struct core *core = change->core;
	struct message *message = change->message;

	at_boundary(change, true);
	message->changes--;
	core_mark(core);
	ack_leases(change);
	switch (change->kind) {
	case CHANGE_RESULT:
		if (message->phase == MESSAGE_LOCKED)
			active_unlocked(message);
		else
			done_check(message);
		break;
	case CHANGE_END:
		end_message(change);
		break;
	case CHANGE_STATE:
		state_durable(change);
		break;
	case CHANGE_REPORT:
		report_durable(change);
		break;
	case CHANGE_REQUEUE:
		requeue_durable(change);
		break;
	}
	change_free(change);
}

/* --- into the journal ------------------------------------------------------------------------- */

static void
keep_for_retry(struct change *change)
{
	struct core *core = change->core;

	change->in_flight = false;
	if (core->refused_count++ == 0)
		core->retry_at = mono_add_ns(core->now.mono, CHANGE_RETRY_NS);
}

static void
change_settled(void *ctx, enum journal_outcome outcome)
{
	struct change *change = ctx;

	change->in_flight = false;
	if (outcome == JOURNAL_DURABLE)
		change_durable(change);
	else
		keep_for_retry(change);
}

/* Bounce and mark are one batch (design: 'one atomic step'). */
static void
put_report(struct store_txn *txn, struct change *change)
{
	for (unsigned i = 0; i < change->report_count; i++) {
		struct change_report *report = &change->reports[i];
		struct store_message message = report->message;
		struct envelope envelope;

		CHECK(envelope_decode(buf_slice(&report->envelope), &envelope) == ERR_OK);
		message.fingerprint =
			fingerprint_make(envelope.sender, buf_slice(&report->recipients));
		message.envelope = buf_slice(&report->envelope);
		message.recipients = buf_slice(&report->recipients);
		message.body = buf_slice(&report->content);
		report->ref = store_txn_message(txn, &message);
	}
	if (change->kind == CHANGE_REPORT &&
		change->core->options.planted & CORE_PLANT_BOUNCE_TWICE)
		return;
	if (change->is_end)
		store_txn_done(txn, change->ref);
	else
		store_txn_state(txn, change->ref, change->due_us, change->flags,
			buf_slice(&change->payload));
}

static enum err
try_commit(struct change *change)
{
	struct store_txn txn;
	struct slice payload = buf_slice(&change->payload);

	store_txn_begin(&txn, change->core->store, JOURNAL_RESULT,
		change->is_hint ? JOURNAL_LATER : JOURNAL_SOON);
	switch (change->kind) {
	case CHANGE_RESULT:
		store_txn_result(&txn, change->ref, payload);
		break;
	case CHANGE_STATE:
		store_txn_brief(&txn, change->ref, change->due_us, change->flags, payload,
			change->shared);
		break;
	case CHANGE_END:
		store_txn_done(&txn, change->ref);
		break;
	case CHANGE_REPORT:
	case CHANGE_REQUEUE:
		put_report(&txn, change);
		break;
	}
	return store_txn_commit(&txn, change_settled, change);
}

/*
 * It will not fit later either. What a RESULT says is in the STATE of the held message too, which
 * may fit. Anything else stays as it is in memory, so that nothing is taken for done; the next
 * start begins again at what the journal has.
 */
static void
give_up(struct change *change)
{
	struct message *message = change->message;

	if (!message->is_held)
		log_event(change->core->log, EV_qmgr_change_too_long, LOG_Z(message->id_text));
	change->in_flight = false;
	message->is_held = true;
	if (change->kind == CHANGE_RESULT)
		change_durable(change);
	else
		change->is_stuck = true;
}

void
change_submit(struct change *change)
{
	enum err err;

	CHECK(!change->in_flight);
	change->in_flight = true;
	err = try_commit(change);
	if (err == ERR_OK)
		at_boundary(change, false);
	else if (err == ERR_LIMIT)
		give_up(change);
	else
		keep_for_retry(change);
}

/* Changes keep their order: the oldest is tried first. */
void
change_step(struct core *core)
{
	struct change *change, *next;

	if (core->refused_count == 0 || core->now.mono.ns < core->retry_at.ns)
		return;
	core->refused_count = 0;
	for (change = TAILQ_FIRST(&core->changes); change != NULL; change = next) {
		next = TAILQ_NEXT(change, link);
		if (!change->in_flight && !change->is_stuck)
			change_submit(change);
	}
}
