/*
 * active.c - admission: from the store into memory and to the scheduler (rules F, R, L)
 *
 * New mail comes through active_new() with its bytes still in memory. Mail that is due, and mail
 * that an operator or a survivor wants, is read by active_load(). What cannot be understood is
 * logged and held, never dropped.
 */
#include "qmgr/core_priv.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "message/delay.h"
#include "message/verp.h"
#include "base/num.h"
#include "qmgr/transports.h"
#include "route/address_map.h"
#include "route/resolve.h"

static const struct mono NOW = { 0 };

static void message_activate(struct message *message);
static void next_suspect(struct core *core);

/* --- the object ------------------------------------------------------------------------------- */

struct message *
active_find(struct core *core, store_ref ref)
{
	struct message *message;

	HASH_FIND(by_ref, core->messages, &ref, sizeof(ref), message);
	return message;
}

static struct message *
message_new(struct core *core, store_ref ref, enum message_phase phase)
{
	struct message *message = mem_new(sizeof(*message));
	struct store_info info;

	store_info(core->store, ref, &info);
	message->core = core;
	message->phase = phase;
	message->ref = ref;
	message->queue_id = info.queue_id;
	message->is_flushed = info.due_us == DUE_FLUSHED_US;
	(void)queue_id_format(info.queue_id, message->id_text);
	buf_init(&message->large_header, 0);
	HASH_ADD(by_ref, core->messages, ref, sizeof(message->ref), message);
	core->active_count++;
	return message;
}

static void
forget_site(struct message *message)
{
	if (message->site != NULL)
		sched_destination_release(message->site);
	message->site = NULL;
	message->site_count = message->crowded_count = 0;
}

/*
 * So many of its recipients wait for a dead site; one that waits for two keeps its timer. What a
 * suspect found out counts for suspects only, and nobody waits for that.
 */
void
active_wait(struct message *message, struct sched_destination *site, uint32_t count)
{
	const struct transport *transport = sched_transport_ctx(sched_destination_transport(site));

	if (transport->is_solo)
		return;
	if (message->site == NULL) {
		message->site = site;
		sched_destination_hold(site);
	}
	if (message->site == site)
		message->site_count += count;
}

void
active_forget(struct message *message)
{
	struct core *core = message->core;

	CHECK(message->leases == 0 && message->changes == 0 && !message->is_settling);
	if (core->suspect == message)
		core->suspect = NULL;
	if (message->job != NULL)
		control_message_done(message->job);
	sched_message_remove(core->sched, &message->sched);
	if (!message->keeps_place)
		sched_unparked(core->sched, message->queue_id);
	refill_forget(message);
	forget_site(message);
	core->list_bytes -= message->list_bytes;
	HASH_DELETE(by_ref, core->messages, message);
	core->active_count--;
	state_done(&message->state);
	buf_done(&message->large_header);
	recipient_index_done(&message->recipients);
	mem_free(message);
	core_mark(core);
}

/* The one place where a message's phase changes. */
void
message_move(struct message *message, enum message_phase to)
{
	static const unsigned allowed[] = {
		[MESSAGE_LOADING] = 1 << MESSAGE_LOCKED | 1 << MESSAGE_ACTIVE,
		[MESSAGE_LOCKED] = 1 << MESSAGE_ACTIVE,
		[MESSAGE_SUSPECT] = 1 << MESSAGE_ACTIVE | 1 << MESSAGE_SETTLING,
		[MESSAGE_ACTIVE] = 1 << MESSAGE_SETTLING | 1 << MESSAGE_ENDING,
		[MESSAGE_SETTLING] =
			1 << MESSAGE_ENDING | 1 << MESSAGE_SUSPECT | 1 << MESSAGE_ACTIVE,
		[MESSAGE_ENDING] = 0,
	};

	CHECK(allowed[message->phase] & 1u << to);
	message->phase = to;
}

/* --- reading its bytes (rules R20 to R32) ----------------------------------------------------- */

static enum err
read_state(struct message *message, const struct store_view *view)
{
	enum err err;

	if (view->state.len > 0)
		err = state_decode(view->state, message->recipients.count, &message->state);
	else
		err = state_init(&message->state, message->recipients.count);
	for (size_t i = 0; err == ERR_OK && i < view->result_count; i++)
		err = state_apply(&message->state, view->results[i]);
	return err;
}

/* Rule R33: a request that cannot be met counts for nothing. */
static void
check_verp(struct message *message)
{
	struct envelope *envelope = &message->envelope;
	struct slice filter =
		config_str(message->core->config, NULL, PARAM_VERP_DELIMITER_FILTER);

	if (envelope->verp.len == 0)
		return;
	if (envelope->sender.len == 0)
		log_event(message->core->log, EV_qmgr_verp_null, LOG_Z(message->id_text));
	else if (verp_check(envelope->verp, filter) != NULL)
		log_event(message->core->log, EV_qmgr_verp_bad, LOG_Z(message->id_text),
			LOG_S(envelope->verp));
	else
		return;
	envelope->verp = slice_make(NULL, 0);
}

/* On hold since it came, and nothing has been said of it since: the envelope is all there is. */
static bool
is_born_held(const struct store_view *view, const struct envelope *envelope)
{
	return view->state.len == 0 && view->result_count == 0 &&
	       (envelope->flags & ENVELOPE_HOLD) != 0;
}

static enum err
message_read(struct message *message)
{
	struct store_view view;
	enum err err;

	if (poison_is(message->core, message->queue_id))
		return ERR_CORRUPT;
	poison_working(message->core, message->queue_id);
	store_view(message->core->store, message->ref, &view);
	check_poison("qmgr", view.recipients.ptr, view.recipients.len);
	message->envelope_bytes = view.envelope;
	message->head = view.head;
	message->content_length = view.content_length;
	message->content_hash = view.content_hash;
	message->content_parts = view.content_parts;
	message->dotted = view.dotted;
	message->large = view.large;
	err = envelope_decode(view.envelope, &message->envelope);
	if (err == ERR_OK)
		err = recipient_index_init(&message->recipients, view.recipients);
	message->unread = message->recipients.count;
	message->list_bytes = view.recipients.len +
			      message->recipients.count * sizeof(struct state_recipient);
	message->core->list_bytes += message->list_bytes;
	if (err == ERR_OK)
		err = read_state(message, &view);
	if (err != ERR_OK)
		return err;
	check_verp(message);
	if (message->envelope.arrival_us == 0)
		message->envelope.arrival_us = view.arrival_us;
	if (message->attempt < message->state.attempts)
		message->attempt = message->state.attempts;
	message->is_held = (view.flags & RECORD_STATE_HELD) != 0;
	if (is_born_held(&view, &message->envelope) &&
		!(message->core->options.planted & CORE_PLANT_FORGET_HOLD))
		message->is_held = true;
	return ERR_OK;
}

/* The disk failed, not the message: it is read anew later. A lock must not be given up for that. */
static bool
postpone(struct message *message, enum err err)
{
	struct core *core = message->core;
	uint64_t wait_s = config_time_s(core->config, NULL, PARAM_MINIMAL_BACKOFF_TIME);

	if (err != ERR_IO || message->locks > 0)
		return false;
	log_event(core->log, EV_qmgr_read_error, LOG_Z(message->id_text),
		LOG_Z("input/output error"), LOG_U(wait_s));
	store_set_due(core->store, message->ref, core->now.wall.us + wait_s * US_PER_S);
	active_forget(message);
	return true;
}

/* Rule C1: kept for a human, out of everybody's way. */
static void
set_aside(struct message *message, enum err err)
{
	struct core *core = message->core;
	store_ref ref = message->ref;

	if (postpone(message, err))
		return;
	log_event(core->log, EV_qmgr_unreadable, LOG_Z(message->id_text), LOG_Z(err_meaning(err)));
	if (err != ERR_NOTFOUND) {
		struct store_info info;

		store_info(core->store, ref, &info);
		store_set_flags(core->store, ref, info.flags | RECORD_STATE_HELD);
		if (info.is_pinned)
			store_unpin(core->store, ref);
	}
	lease_drop_locks(message);
	active_forget(message);
}

/* --- admission -------------------------------------------------------------------------------- */

/*
 * Recipients that the scheduler has do not count: each message may have some (rules K1, K3). The
 * lists themselves do, which are in memory whole.
 */
static bool
has_room(const struct core *core)
{
	return core->active_count <
		       config_int(core->config, NULL, PARAM_QMGR_MESSAGE_ACTIVE_LIMIT) &&
	       core->list_bytes <
		       config_int(core->config, NULL, PARAM_QMGR_RECIPIENT_MEMORY_LIMIT);
}

/* Out of the schedule at once; a STATE that says so is not needed, the envelope does. */
static void
put_on_hold(struct core *core, store_ref ref)
{
	struct store_info info;

	store_info(core->store, ref, &info);
	store_set_flags(core->store, ref, info.flags | RECORD_STATE_HELD);
}

struct message *
active_new(struct core *core, store_ref ref)
{
	struct message *message;
	struct store_view view;
	struct envelope envelope;
	enum err err;

	if (!has_room(core) || core->is_stopping) {
		store_view(core->store, ref, &view);
		if (envelope_decode(view.envelope, &envelope) == ERR_OK &&
			is_born_held(&view, &envelope))
			put_on_hold(core, ref);
		store_unpin(core->store, ref);
		core_mark(core);
		return NULL;
	}
	message = message_new(core, ref, MESSAGE_LOADING);
	err = message_read(message);
	if (err != ERR_OK) {
		set_aside(message, err);
		return NULL;
	}
	if (message->is_held) {
		put_on_hold(core, ref);
		store_unpin(core->store, ref);
		active_forget(message);
		return NULL;
	}
	message_activate(message);
	return message;
}

static void
loaded(void *ctx, store_ref ref, enum err err)
{
	struct core *core = ctx;
	struct message *message = active_find(core, ref);

	CHECK(message != NULL && message->phase == MESSAGE_LOADING);
	core->loading_count--;
	if (err == ERR_OK)
		err = message_read(message);
	if (err != ERR_OK) {
		set_aside(message, err);
		return;
	}
	if (message->locks > 0 || !core_may_deliver(core)) {
		message_move(message, MESSAGE_LOCKED);
		lease_replay_results(message);
	} else {
		message_activate(message);
	}
	core_mark(core);
}

struct message *
active_load(struct core *core, store_ref ref)
{
	struct message *message = message_new(core, ref, MESSAGE_LOADING);

	core->loading_count++;
	store_load(core->store, ref, loaded, core);
	return message;
}

void
active_unlocked(struct message *message)
{
	bool is_early = !core_may_deliver(message->core) &&
			!(message->core->options.planted & CORE_PLANT_UNLOCK_EARLY);

	if (message->locks == 0 && message->phase == MESSAGE_LOCKED && message->changes == 0 &&
		!is_early)
		message_activate(message);
}

/* Another survivor might still have named them: only now are they free. */
void
active_inventories_complete(struct core *core)
{
	struct message *message, *next;

	HASH_ITER(by_ref, core->messages, message, next)
	{
		active_unlocked(message);
	}
}

/* A message that waits for a site that lives again, or for its probe. */
static void
load_parked(struct core *core, uint64_t queue_id)
{
	store_ref ref = store_find(core->store, queue_id);

	if (ref == 0)
		sched_unparked(core->sched, queue_id);
	else if (control_is_reading(core, ref))
		store_set_due(core->store, ref, 0); /* it comes when that is done */
	else if (active_find(core, ref) == NULL)
		(void)active_load(core, ref);
}

static struct wall
due_until(const struct core *core)
{
	struct wall until = core->now.wall;

	if (core_plant_rule_is_on(core, CORE_RULE_ADMIT_EARLY))
		until.us += 3 * US_PER_S;
	return until;
}

/* Rules M8, F5: what waits for a site that is back, then in due order, while there is room. */
void
active_step(struct core *core)
{
	uint64_t queue_id;

	next_suspect(core);
	while (has_room(core) && core->loading_count < CORE_LOADS_MAX &&
		sched_unpark(core->sched, &queue_id))
		load_parked(core, queue_id);
	while (has_room(core) && core->loading_count < CORE_LOADS_MAX) {
		store_ref ref = store_due_first(core->store, due_until(core));

		if (ref == 0)
			break;
		(void)active_load(core, ref);
	}
}

struct mono
active_due(const struct core *core)
{
	uint64_t due_us = store_due_next_us(core->store);
	uint64_t now_us = core->now.wall.us;

	if (due_us == UINT64_MAX || !has_room(core) || core->loading_count >= CORE_LOADS_MAX)
		return (struct mono){ UINT64_MAX };
	return mono_add_ns(core->now.mono,
		due_us > now_us ? num_min_u64(due_us - now_us, 3600 * US_PER_S) * 1000 : 0);
}

/* --- to the scheduler (rules R40 to R56) ------------------------------------------------------ */

/* Rule R47, and what has no worker. True: the recipient is settled. */
static bool
settle_here(struct message *message, uint32_t number, const struct transport *transport,
	const struct route *route)
{
	struct slice dsn, text;

	if (transport->is_deferred && !message->is_flushed) {
		result_own(message, number, STATE_OPEN, SLICE_LIT("4.3.2"),
			SLICE_LIT("deferred transport"), NOW);
		return true;
	}
	switch (transport->kind) {
	case TRANSPORT_SMTP:
	case TRANSPORT_LOCAL:
		return false;
	case TRANSPORT_ERROR:
		transport_split_reason(route->nexthop, "5.0.0", &dsn, &text);
		result_own(message, number, STATE_BOUNCE_PENDING, dsn, text, NOW);
		return true;
	case TRANSPORT_RETRY:
		transport_split_reason(route->nexthop, "4.0.0", &dsn, &text);
		result_own(message, number, STATE_OPEN, dsn, text, NOW);
		return true;
	case TRANSPORT_DISCARD:
		result_own(message, number, STATE_DELIVERED, SLICE_LIT("2.0.0"),
			route->nexthop.len > 0 ? route->nexthop : SLICE_LIT("discarded"), NOW);
		return true;
	case TRANSPORT_MISSING:
		result_own(message, number, STATE_OPEN, SLICE_LIT("4.3.0"),
			SLICE_LIT("mail transport unavailable"), NOW);
		return true;
	}
	return true;
}

/* Rule R47: nobody reads answers to reports about reports. True: the recipient is settled. */
static bool
settle_double_bounce(struct message *message, uint32_t number, struct slice local,
	struct slice domain)
{
	const struct config *config = message->core->config;

	if (!slice_equal_nocase(local, config_str(config, NULL, PARAM_DOUBLE_BOUNCE_SENDER)) ||
		route_classify(config, domain) != ROUTE_CLASS_LOCAL)
		return false;
	result_own(message, number, STATE_DELIVERED, SLICE_LIT("2.0.0"),
		SLICE_LIT("undeliverable postmaster notification discarded"), NOW);
	return true;
}

/* Rules R44, R45: a record from elsewhere, or a damaged one. True: it is returned. */
static bool
settle_no_address(struct message *message, uint32_t number, struct slice address)
{
	if (address.len == 0)
		result_own(message, number, STATE_BOUNCE_PENDING, SLICE_LIT("5.1.3"),
			SLICE_LIT("null recipient address"), NOW);
	else if (address_check(address, ADDRESS_UTF8 | ADDRESS_BARE) != ERR_OK)
		result_own(message, number, STATE_BOUNCE_PENDING, SLICE_LIT("5.1.3"),
			SLICE_LIT("bad address syntax"), NOW);
	else
		return false;
	return true;
}

void
active_revive(struct core *core, struct slice address)
{
	struct slice delimiters = config_str(core->config, NULL, PARAM_RECIPIENT_DELIMITER);
	struct transport *transport;
	struct route route;
	struct slice local;

	address_split(address, &local, NULL);
	route_resolve(core->config, address, &route);
	transport = transport_get(core, route.transport);
	if (transport->sched == NULL)
		return;
	sched_flush_destination(core->sched, transport->sched, route.nexthop,
		address_strip_extension(local, delimiters, NULL));
	nexthop_forget(core, route.nexthop);
}

void
active_assign(struct message *message, uint32_t number)
{
	struct core *core = message->core;
	struct recipient_entry recipient = recipient_index_get(&message->recipients, number);
	struct slice delimiters = config_str(core->config, NULL, PARAM_RECIPIENT_DELIMITER);
	struct sched_reason dead;
	struct transport *transport;
	struct route route;
	struct slice local, domain;

	if ((recipient.notify & DSN_NOTIFY_EXPANDED) != 0) {
		result_alias_expanded(message, number);
		return;
	}
	if (settle_no_address(message, number, recipient.address))
		return;
	address_split(recipient.address, &local, &domain);
	if (settle_double_bounce(message, number, local, domain))
		return;
	route_resolve(core->config, recipient.address, &route);
	transport = transport_get(core, route.transport);
	if (settle_here(message, number, transport, &route))
		return;
	if (core->suspect == message && !(core->options.planted & CORE_PLANT_SUSPECT_AMONG))
		transport = transport_get_solo(core, route.transport);
	struct sched_assign to = {
		.transport = transport->sched,
		.nexthop = route.nexthop,
		.user = address_strip_extension(local, delimiters, NULL),
		.number = number,
		.is_single = message->envelope.verp.len > 0,
		.may_be_parked = message->may_be_parked,
	};
	if (message->revives_sites)
		active_revive(core, recipient.address);
	if (sched_recipient_assign(core->sched, &message->sched, &to, &dead)) {
		if (message->is_looked_at)
			sched_unparked(core->sched, message->queue_id);
		message->is_looked_at = false;
		return;
	}
	message->is_untried = true;
	if (dead.crowded != NULL) {
		active_wait(message, dead.crowded, 1);
		message->crowded_count++;
		return;
	}
	message->is_unserved |= session_is_unserved(core, transport);
	result_own(message, number, STATE_OPEN, dead.dsn, dead.text, dead.at);
	if (dead.dead != NULL)
		active_wait(message, dead.dead, 1);
}

/*
 * Whose mail takes turns with whose: the sender, without extension. Classic: all are one (S21).
 * Seeded, so that nobody can choose to share another's turn.
 */
static uint64_t
sender_class(const struct message *message)
{
	const struct config *config = message->core->config;
	struct slice delimiters = config_str(config, NULL, PARAM_RECIPIENT_DELIMITER);
	struct slice local, domain;
	uint64_t seed = message->core->epoch;

	if (config_enum(config, NULL, PARAM_SCHEDULER_CONCURRENCY_POLICY) == 0)
		return 0;
	if (delimiters.len == 0)
		delimiters = SLICE_LIT("+"); /* a sender per recipient, as VERP has it */
	address_split(message->envelope.sender, &local, &domain);
	local = address_strip_extension(local, delimiters, NULL);
	return hash_bytes_seeded(local, hash_bytes_seeded(domain, seed));
}

/* Of a sender whose mail says nothing of its own. */
static uint8_t
priority_of_sender(const struct message *message)
{
	const struct core *core = message->core;
	struct slice sender = message->envelope.sender;
	struct address_map_result found;
	uint8_t priority = 0;

	if (address_map_find(core->config, PARAM_SENDER_PRIORITY_MAPS, sender, &found) != ERR_OK)
		return 0;
	if (envelope_priority_parse(slice_trim(found.value), &priority) != ERR_OK)
		log_event(core->log, EV_qmgr_bad_priority, LOG_S(sender), LOG_S(found.value));
	return priority;
}

/* What it came with, else what its sender's mail has. Classic: the order of admission is all. */
static enum sched_level
level_of(const struct message *message)
{
	uint8_t priority = message->envelope.priority;

	if (config_enum(message->core->config, NULL, PARAM_SCHEDULER_CONCURRENCY_POLICY) == 0)
		return SCHED_NORMAL;
	if (priority == 0)
		priority = priority_of_sender(message);
	if (priority == 0 || priority == ENVELOPE_PRIORITY_ZERO)
		return SCHED_NORMAL;
	return priority > ENVELOPE_PRIORITY_ZERO ? SCHED_URGENT : SCHED_BULK;
}

/* W21: which setting is the nearest. */
static const char *
clog_hint(const struct sched_status *status, uint64_t active_max, bool has_others)
{
	if (status->limit_max != 0 && status->limit_max <= status->busy + 1)
		return "you may need to increase its destination_concurrency_limit";
	if (status->limit > active_max / 5)
		return "you may need to increase qmgr_message_active_limit";
	if (has_others)
		return "you may need a separate master.cf transport for it";
	return "you may need shorter connection time-outs or a longer minimal_backoff_time";
}

static void
warn_of_clog(struct core *core)
{
	struct sched_destination *destination = sched_clogged(core->sched);
	uint64_t max = config_int(core->config, NULL, PARAM_QMGR_MESSAGE_ACTIVE_LIMIT);
	struct sched_status status;
	struct sched_counts counts;

	if (destination == NULL)
		return;
	sched_destination_status(destination, &status);
	sched_counts(core->sched, &counts);
	log_event(core->log, EV_qmgr_clogged, LOG_S(status.nexthop),
		LOG_U((uint64_t)status.waiting + status.busy), LOG_U(max));
	log_event(core->log, EV_qmgr_clog_hint,
		LOG_Z(clog_hint(&status, max, counts.destinations > 1)));
}

void
active_release(struct message *message)
{
	struct core *core = message->core;
	bool is_fetched, is_parked;

	/* One that is looked at and still has to wait keeps its place in the line. */
	is_parked = sched_is_parked(core->sched, message->queue_id, &is_fetched);
	message->is_looked_at = is_parked && !is_fetched;
	if (is_fetched)
		sched_unparked(core->sched, message->queue_id);
	message->is_flushed |= message->is_forced;
	message->revives_sites |= message->is_forced;
	message->may_be_parked = !is_fetched && !message->revives_sites && core->suspect != message;
	message->active_at = core->now.wall;
	message->round_at = core->now.mono;
	message->reports_failed = 0;
	message->is_tried = message->is_unserved = false;
	forget_site(message);
	log_event(core->log, EV_qmgr_active, LOG_Z(message->id_text),
		LOG_S(message->envelope.sender), LOG_U(message->envelope.size),
		LOG_U(message->recipients.count));
	sched_message_add(&message->sched, message, core->now.mono.ns / 1000);
	sched_message_set_class(&message->sched, sender_class(message));
	sched_message_set_level(&message->sched, level_of(message));
	refill_begin(message);
	warn_of_clog(core);
	core_mark(core);
	/* Rule F14: nothing to deliver, so the stages after delivery begin at once. */
	done_check(message);
}

static void
message_activate(struct message *message)
{
	message_move(message, MESSAGE_ACTIVE);
	if (message->wish != WISH_NONE || message->is_held ||
		(message->state.flags & STATE_EXPIRE) != 0 ||
		copy_holds(message->core, message->queue_id)) {
		done_check(message);
		return;
	}
	message->has_died = (message->state.flags & STATE_SUSPECT) != 0;
	if (message->has_died)
		done_check(message);
	else
		active_release(message);
}

/* --- operators -------------------------------------------------------------------------------- */

void
active_wish(struct message *message, enum message_wish wish, struct job *job)
{
	struct core *core = message->core;

	if (wish == WISH_FLUSH || wish == WISH_FLUSH_ALONE) {
		message->is_flushed = true;
		message->revives_sites |= wish == WISH_FLUSH_ALONE;
		return;
	}
	/* What was deleted stays so, whatever else is wanted of it. */
	if (message->wish != WISH_REMOVE || core_plant_rule_is_on(core, CORE_RULE_DELETE_UNDONE))
		message->wish = wish;
	message->job = job;
	if (message->phase == MESSAGE_ACTIVE)
		sched_message_remove(core->sched, &message->sched);
	if (message->phase == MESSAGE_SUSPECT) {
		TAILQ_REMOVE(&core->suspects, message, link);
		message_move(message, MESSAGE_SETTLING);
	}
	session_recall_message(message);
	/* Transactions under way are not cut short; the operator does not wait for them. */
	if (message->leases > 0 && job != NULL) {
		message->job = NULL;
		control_message_done(job);
	}
	done_check(message);
}

/* --- suspects --------------------------------------------------------------------------------- */

/*
 * A worker that dies makes what it was given suspect. Suspects stand in line and are tried one at a
 * time, each in a worker that has nothing else (transports.h, core_peer_is_solo()); so a message
 * that kills has met others in one death only. It stays suspect until a round of attempts has
 * ended without a death and nothing was missing. One with which two such workers died goes on hold,
 * and is tried alone again when an operator releases it.
 */
enum { SUSPECT_DEATHS = 2 };

void
active_mark_suspect(struct message *message)
{
	message->has_died = true;
	session_recall_message(message);
	if (message->phase == MESSAGE_ACTIVE)
		sched_message_remove(message->core->sched, &message->sched);
}

/* From done.c: nothing of it is in flight any more. */
void
active_suspect(struct message *message)
{
	struct core *core = message->core;

	message_move(message, MESSAGE_SUSPECT);
	message->has_died = false;
	message->state.flags |= STATE_SUSPECT;
	if (core->suspect == message) {
		core->suspect = NULL;
		message->state.worker_deaths++;
	}
	TAILQ_INSERT_TAIL(&core->suspects, message, link);
}

static void
next_suspect(struct core *core)
{
	struct message *message = TAILQ_FIRST(&core->suspects);

	if (message == NULL || core->suspect != NULL)
		return;
	TAILQ_REMOVE(&core->suspects, message, link);
	if (message->state.worker_deaths >= SUSPECT_DEATHS) {
		log_event(core->log, EV_qmgr_suspect_held, LOG_Z(message->id_text));
		message->state.worker_deaths = 0;
		message->is_held = true;
		message_move(message, MESSAGE_SETTLING);
		done_check(message);
		return;
	}
	core->suspect = message;
	message->is_untried = false;
	message_move(message, MESSAGE_ACTIVE);
	active_release(message);
}

/* --- log -------------------------------------------------------------------------------------- */

/* Rules J10, J15: no hand-off to an agent, so b = now - active, c = d = 0. */
void
active_log_delivery(const struct message *message, uint32_t number, struct slice dsn,
	struct slice text, const char *status)
{
	const struct core *core = message->core;
	struct recipient_entry recipient = recipient_index_get(&message->recipients, number);
	unsigned decimals = (unsigned)config_int(
		core->config, NULL, PARAM_DELAY_LOGGING_RESOLUTION_LIMIT);
	uint64_t now = core->now.wall.us, active = message->active_at.us;
	uint64_t arrival = message->envelope.arrival_us;
	char total[DELAY_TEXT_SIZE], before[DELAY_TEXT_SIZE], since[DELAY_TEXT_SIZE];
	bool has_original = recipient.original.len > 0 &&
			    !slice_equal_nocase(recipient.original, recipient.address);

	delay_format(total, now > arrival ? now - arrival : 0, decimals);
	delay_format(before, active > arrival ? active - arrival : 0, decimals);
	delay_format(since, now > active ? now - active : 0, decimals);
	log_event(core->log, EV_qmgr_delivery, LOG_Z(message->id_text), LOG_S(recipient.address),
		LOG_Z(has_original ? ">, orig_to=<" : ""),
		LOG_S(has_original ? recipient.original : slice_make(NULL, 0)), LOG_Z(total),
		LOG_Z(before), LOG_Z(since), LOG_S(dsn), LOG_Z(status), LOG_S(text));
}

void
active_free_all(struct core *core)
{
	struct message *message, *next;

	HASH_ITER(by_ref, core->messages, message, next)
	{
		message->job = NULL;
		message->leases = message->changes = 0;
		message->is_settling = false;
		active_forget(message);
	}
}
