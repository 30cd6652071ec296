/*
 * session.c - sessions are granted to workers, work is handed to sessions (rules G1, S, X)
 *
 * The scheduler says which destination wants one more session; the hosts are looked up (nexthop.c),
 * the worker with the fewest sessions gets it and connects. Who is carried is settled when a
 * session is ready (rule S8): the best entry of its destination at that moment, and one more as
 * prefetch, so that the session never waits for us. A prefetch that was not begun within SLOW_NS is
 * recalled, so that it can go through another session; one whose last transaction took longer gets
 * none.
 */
#include "qmgr/core_priv.h"

#include "base/check.h"
#include "base/mem.h"
#include "message/verp.h"
#include "qmgr/reaction.h"
#include "qmgr/transports.h"

/* A worker that has died is there again sooner than this, or its transport waits (rule X1). */
#define MISSING_NS (5 * NS_PER_S)

/* Where a transaction takes as long as this, the way to us and back does not show any more. */
enum { SLOW_NS = 200 * 1000 * 1000 };

/* --- the object ------------------------------------------------------------------------------- */

static struct session *
session_new(struct core *core, struct transport *transport,
	struct sched_destination *destination)
{
	struct session *session = mem_new(sizeof(*session));

	session->core = core;
	session->number = core->session_next++;
	session->phase = SESSION_RESOLVING;
	session->transport = transport;
	session->destination = destination;
	HASH_ADD(by_number, core->sessions, number, sizeof(session->number), session);
	return session;
}

static void
leave_list(struct session *session)
{
	if (session->is_hungry)
		TAILQ_REMOVE(&session->core->hungry, session, hungry_link);
	session->is_hungry = false;
}

/* In the list of those that could take work: nothing to do, or no prefetch. */
static void
enter_list(struct session *session)
{
	if (!session->is_hungry)
		TAILQ_INSERT_TAIL(&session->core->hungry, session, hungry_link);
	session->is_hungry = true;
}

static void
leave_recalls(struct session *session)
{
	if (session->is_recallable)
		TAILQ_REMOVE(&session->core->recalls, session, recall_link);
	session->is_recallable = false;
}

static void
enter_recalls(struct session *session)
{
	session->recall_at = mono_add_ns(session->core->now.mono, SLOW_NS);
	TAILQ_INSERT_TAIL(&session->core->recalls, session, recall_link);
	session->is_recallable = true;
}

static void
session_free(struct session *session)
{
	struct core *core = session->core;

	CHECK(session->lease == NULL && session->prefetch == NULL);
	nexthop_forget_session(session);
	leave_list(session);
	leave_recalls(session);
	HASH_DELETE(by_number, core->sessions, session);
	if (session->peer != NULL) {
		LIST_REMOVE(session, peer_link);
		session->peer->session_count--;
	}
	mem_free(session);
	core_mark(core);
}

struct session *
session_find(struct peer *peer, uint64_t number)
{
	struct session *session;

	HASH_FIND(by_number, peer->core->sessions, &number, sizeof(number), session);
	return session != NULL && session->peer == peer ? session : NULL;
}

/*
 * Its hosts are not its destination's any more: DNS says something else, and by now the destination
 * may carry mail of others with the new hosts.
 */
static bool
is_out_of_date(const struct session *session)
{
	return session->hosts_version != sched_destination_version(session->destination);
}

/* --- granting --------------------------------------------------------------------------------- */

static enum core_peer_kind
worker_kind(const struct transport *transport)
{
	return transport->kind == TRANSPORT_LOCAL ? CORE_PEER_LOCAL : CORE_PEER_SMTP;
}

/* It still delivers for the former queue manager, so nothing would be alone in it. */
static bool
has_locks(const struct peer *peer)
{
	const struct lease *lease;

	LIST_FOREACH (lease, &peer->leases, peer_link)
		if (lease->session == NULL)
			return true;
	return false;
}

static bool
may_work(const struct peer *peer, const struct transport *transport)
{
	if (peer->kind != worker_kind(transport) || peer->is_solo != transport->is_solo ||
		peer->is_survivor || peer->is_leaving)
		return false;
	return !peer->is_solo || !has_locks(peer);
}

static struct peer *
choose_worker(struct core *core, const struct transport *transport)
{
	struct peer *peer, *next, *best = NULL;

	HASH_ITER(by_number, core->peers, peer, next)
	{
		if (may_work(peer, transport) &&
			(best == NULL || peer->session_count < best->session_count))
			best = peer;
	}
	return best;
}

void
session_hosts(struct session *session, struct slice hosts)
{
	struct core *core = session->core;
	const struct transport *transport = session->transport;
	struct peer *peer = choose_worker(core, transport);
	struct buf sorted;

	if (peer == NULL) {
		/* It died a moment ago; a new grant follows when there is one again. */
		session_not_needed(session);
		return;
	}
	session->peer = peer;
	session->hosts_version = sched_destination_version(session->destination);
	session->phase = SESSION_OPENING;
	peer->session_count++;
	LIST_INSERT_HEAD(&peer->sessions, session, peer_link);
	buf_init(&sorted, 0);
	host_health_sort(core, hosts, &sorted);
	SEND(core, peer->number, session_open, .session = session->number,
		.transport = slice_str(transport->name), .protocol = (uint8_t)transport->protocol,
		.nexthop = sched_destination_nexthop(session->destination),
		.hosts = buf_slice(&sorted), .config_number = config_number(core->config));
	buf_done(&sorted);
}

/* Its destination's mail waits elsewhere by now (nexthop.c). */
void
session_not_needed(struct session *session)
{
	sched_session_closed(session->core->sched, session->destination, false);
	session_free(session);
}

/* --- failure ---------------------------------------------------------------------------------- */

/* All recipients of an entry get the same fate, decided here; the entry stays the caller's. */
static void
settle_recipients(
	struct sched_entry *entry, enum state_class class, const struct sched_reason *why)
{
	struct message *message = sched_entry_owner(entry);
	uint32_t count;
	const uint32_t *numbers = sched_entry_recipients(entry, &count);

	for (uint32_t i = 0; i < count; i++)
		result_own(message, numbers[i], class, why->dsn, why->text, why->at);
}

bool
session_is_unserved(const struct core *core, const struct transport *transport)
{
	uint64_t backoff_s = config_time_s(core->config, NULL, PARAM_MAXIMAL_BACKOFF_TIME);

	return transport->gone_since.ns != 0 &&
	       core->now.mono.ns < mono_add_ns(transport->gone_since, backoff_s * NS_PER_S).ns;
}

static void
settle_drained(struct core *core, struct sched_entry *entry, const struct sched_reason *why)
{
	struct message *message = sched_entry_owner(entry);
	const struct transport *transport = sched_transport_ctx(
		sched_destination_transport(sched_entry_destination(entry)));
	bool is_permanent = why->dsn.len > 0 && why->dsn.ptr[0] == '5';
	uint32_t count;

	message->is_untried = true;
	message->is_unserved |= session_is_unserved(core, transport);
	settle_recipients(entry, is_permanent ? STATE_BOUNCE_PENDING : STATE_OPEN, why);
	if (!is_permanent && why->dead != NULL) {
		(void)sched_entry_recipients(entry, &count);
		active_wait(message, why->dead, count);
	}
	sched_entry_drop(core->sched, entry);
	done_check(message);
}

/* W17, X4: what waits for a dead or refused destination is settled at once. */
static void
drain(struct core *core)
{
	struct sched_reason reason;
	struct sched_entry *entry;

	while ((entry = sched_drain(core->sched, &reason)) != NULL)
		settle_drained(core, entry, &reason);
}

/*
 * A session that never came to work. Temporary: one message pays for it with the reason, as it
 * would have with an agent of its own, and the site is blamed. Permanent (the domain does not
 * exist): that is true of all that waits, and no site is to blame.
 */
void
session_refused(struct session *session, bool is_permanent, struct slice dsn,
	struct slice reason)
{
	struct core *core = session->core;
	struct sched_destination *destination = session->destination;
	struct sched_entry *entry;

	if (is_permanent) {
		sched_destination_refuse(core->sched, destination, dsn, reason);
		sched_session_closed(core->sched, destination, false);
	} else {
		entry = sched_session_failed(
			core->sched, destination, dsn, reason, core->now.mono);
		feedback_log(core, destination);
		reaction_reply(core, destination, dsn, reason);
		if (entry != NULL)
			settle_drained(core, entry,
				&(const struct sched_reason){ .dsn = dsn, .text = reason,
					.dead = sched_destination_is_failing(destination)
							? destination
							: NULL });
	}
	session_free(session);
	drain(core);
}

static void
return_lease(struct lease *lease)
{
	struct message *message = lease->message;

	if (lease->entry != NULL)
		sched_entry_return(message->core->sched, lease->entry);
	session_lease_over(lease->session, lease);
	lease_free(lease);
	/* It may have been the last thing that an operator or a death made the message wait for. */
	done_check(message);
}

static void
return_leases(struct session *session)
{
	if (session->prefetch != NULL)
		return_lease(session->prefetch);
	if (session->lease != NULL)
		return_lease(session->lease);
}

static bool
was_ready(const struct session *session)
{
	return session->phase == SESSION_IDLE || session->phase == SESSION_BUSY;
}

/* It begins nothing more: the worker ends it when it is idle. */
void
session_retire(struct session *session)
{
	if (session->is_closing || session->phase == SESSION_RESOLVING)
		return;
	session->is_closing = true;
	SEND(session->core, session->peer->number, session_close, .session = session->number);
}

/* Its worker died; its leases are settled already (lease.c). */
void
session_lost(struct session *session)
{
	sched_session_closed(session->core->sched, session->destination, was_ready(session));
	session_free(session);
}

void
session_ended(struct peer *peer, const struct ipc_session_end *end)
{
	struct session *session = session_find(peer, end->session);

	if (session == NULL)
		return;
	host_health_failed(peer->core, end->failed);
	/* Hosts that its site has no more say nothing about it. */
	if (session->phase == SESSION_OPENING && end->cause == IPC_SESSION_FAILED &&
		!is_out_of_date(session)) {
		bool is_permanent = end->dsn.len > 0 && end->dsn.ptr[0] == '5';

		session_refused(session, is_permanent, end->dsn, end->reason);
		return;
	}
	bool ready = was_ready(session);

	/* A grant that is given back without a word: it stops, and will say so each time. */
	if (session->phase == SESSION_OPENING && end->cause == IPC_SESSION_CLOSED &&
		!session->is_closing)
		peer->is_leaving = true;
	return_leases(session);
	sched_session_closed(peer->core->sched, session->destination, ready);
	session_free(session);
}

/* --- work ------------------------------------------------------------------------------------- */

static void
put_recipients(const struct lease *lease, struct buf *list)
{
	const struct message *message = lease->message;
	uint32_t count;
	const uint32_t *numbers = sched_entry_recipients(lease->entry, &count);

	for (uint32_t i = 0; i < count; i++) {
		struct recipient_entry entry =
			recipient_index_get(&message->recipients, numbers[i]);
		struct ipc_recipient recipient = {
			.number = numbers[i],
			.address = entry.address,
			.original = entry.original,
			.orcpt = entry.orcpt,
			.notify = entry.notify,
		};

		ipc_recipient_put(list, &recipient);
	}
}

/* The content could not be had: its recipients wait, and nobody is blamed. */
static void
work_failed(struct lease *lease)
{
	struct session *session = lease->session;
	struct sched_entry *entry = lease->entry;
	struct message *message = lease->message;
	struct core *core = session->core;

	settle_recipients(entry, STATE_OPEN,
		&(const struct sched_reason){ .dsn = SLICE_LIT("4.3.0"),
			.text = SLICE_LIT("queue file read error") });
	sched_entry_finish(core->sched, entry, true, slice_make(NULL, 0), slice_make(NULL, 0),
		core->now.mono);
	session_lease_over(session, lease);
	lease_free(lease);
	done_check(message);
}

/* With VERP the sender is the recipient's own (V3, V4), unless that were too long. */
static struct slice
envelope_of(const struct lease *lease, struct buf *bytes)
{
	const struct message *message = lease->message;
	struct envelope envelope = message->envelope;
	struct buf sender;
	uint32_t count = 0;
	bool is_own = false;

	if (envelope.verp.len == 0)
		return message->envelope_bytes;
	const uint32_t *numbers = sched_entry_recipients(lease->entry, &count);

	CHECK(count == 1);
	buf_init(&sender, 0);
	if (verp_address(envelope.sender, message_verp_recipient(message, numbers[0]),
		    envelope.verp, &sender) == ERR_OK) {
		envelope.sender = buf_slice(&sender);
		envelope.verp = slice_make(NULL, 0); /* what is forwarded keeps this sender */
		is_own = envelope_encode(&envelope, bytes) == ERR_OK;
	}
	buf_done(&sender);
	return is_own ? buf_slice(bytes) : message->envelope_bytes;
}

static void
send_work(struct lease *lease, struct slice body)
{
	struct message *message = lease->message;
	struct core *core = message->core;
	struct buf recipients, envelope;
	bool sent = true;

	poison_working(core, message->queue_id);
	buf_init(&recipients, 0);
	buf_init(&envelope, 0);
	put_recipients(lease, &recipients);
	struct ipc_work work = {
		.session = lease->session->number,
		.queue_id = message->queue_id,
		.attempt = lease->attempt,
		.token = lease_token(lease),
		.arrival_us = message->envelope.arrival_us,
		.active_us = message->active_at.us,
		.envelope = envelope_of(lease, &envelope),
		.recipients = buf_slice(&recipients),
		.head = message->head,
		.content = body,
		.content_length = message->content_length,
		.content_hash = message->content_hash,
		.dotted = message->dotted,
	};
	if (message->large != 0)
		sent = core->options.out->send_large(
			core->options.ctx, lease->peer->number, &work, message->large);
	else
		core->options.out->send(
			core->options.ctx, lease->peer->number, IPC_TYPE_work, &work);
	buf_done(&recipients);
	buf_done(&envelope);
	lease->is_sent = sent;
	if (!sent)
		work_failed(lease);
}

/* All leases of a message that wait for its body go out, or fail. */
static void
body_loaded(void *ctx, store_ref ref, enum err err)
{
	struct core *core = ctx;
	struct message *message = active_find(core, ref);
	struct session *session, *next;
	struct slice body;

	CHECK(message != NULL);
	message->body_loading = false;
	HASH_ITER(by_number, core->sessions, session, next)
	{
		struct lease *leases[2] = { session->lease, session->prefetch };

		for (int i = 0; i < 2; i++) {
			if (leases[i] == NULL || leases[i]->message != message ||
				leases[i]->is_sent)
				continue;
			if (err == ERR_OK && store_body(core->store, ref, &body) == ERR_OK)
				send_work(leases[i], body);
			else
				work_failed(leases[i]);
		}
	}
	done_check(message);
}

static void
start_work(struct lease *lease)
{
	struct message *message = lease->message;
	struct core *core = message->core;
	struct slice body = slice_make(NULL, 0);

	if (message->large == 0 && store_body(core->store, message->ref, &body) != ERR_OK) {
		if (!message->body_loading) {
			message->body_loading = true;
			store_load_body(core->store, message->ref, body_loaded, core);
		}
		return;
	}
	send_work(lease, body);
}

static void
close_soon(struct session *session)
{
	session->is_closing = true;
	SEND(session->core, session->peer->number, session_close, .session = session->number);
}

/* Gives a session what it can take; false: there was nothing. */
static bool
session_feed(struct session *session)
{
	struct core *core = session->core;
	bool is_prefetch = session->lease != NULL;
	struct sched_entry *entry;
	struct lease *lease;

	if (session->is_closing || (is_prefetch && session->is_slow))
		return false;
	if (is_out_of_date(session)) {
		close_soon(session);
		return false;
	}
	entry = sched_take(core->sched, session->destination, is_prefetch, core->now.mono);
	if (entry == NULL)
		return false;
	lease = lease_new(sched_entry_owner(entry), entry, session);
	if (is_prefetch) {
		session->prefetch = lease;
		enter_recalls(session);
	} else {
		session->lease = lease;
		session->begun = core->now.mono;
	}
	session->phase = SESSION_BUSY;
	if (session->prefetch != NULL)
		leave_list(session);
	start_work(lease);
	return true;
}

/* A lease has ended: what waited behind it is under way now. */
void
session_lease_over(struct session *session, struct lease *lease)
{
	struct core *core = session->core;

	leave_recalls(session);
	if (session->prefetch == lease) {
		session->prefetch = NULL;
	} else {
		CHECK(session->lease == lease);
		session->is_slow = mono_since_ns(core->now.mono, session->begun) > SLOW_NS;
		session->begun = core->now.mono;
		session->lease = session->prefetch;
		session->prefetch = NULL;
		if (session->lease != NULL)
			sched_entry_begin(core->sched, session->lease->entry);
	}
	if (session->lease == NULL)
		session->phase = SESSION_IDLE;
	enter_list(session);
	core_mark(core);
}

void
session_ready(struct peer *peer, const struct ipc_session_ready *ready)
{
	struct session *session = session_find(peer, ready->session);

	if (session == NULL || session->phase != SESSION_OPENING)
		return;
	host_health_failed(peer->core, ready->failed);
	session->phase = SESSION_IDLE;
	sched_session_ready(peer->core->sched, session->destination);
	enter_list(session);
	core_mark(peer->core);
}

/*
 * A session of local delivery costs nothing to begin and counts against its transport's limit, and
 * the one session for suspects is wanted by the next of them.
 */
static bool
ends_when_idle(const struct session *session)
{
	return session->transport->kind == TRANSPORT_LOCAL || session->transport->is_solo;
}

/* A suspect is in one worker at a time, so that one death says which transaction it was. */
static bool
waits_for_suspect(const struct session *session)
{
	const struct message *suspect = session->core->suspect;

	return session->transport->is_solo && suspect != NULL && suspect->leases > 0;
}

static void
feed_sessions(struct core *core)
{
	struct session *session, *next;

	for (session = TAILQ_FIRST(&core->hungry); session != NULL; session = next) {
		next = TAILQ_NEXT(session, hungry_link);
		/* Idle ones first: a prefetch must not take what another could begin. */
		if (session->lease == NULL && !waits_for_suspect(session) &&
			!session_feed(session) && ends_when_idle(session))
			session_retire(session);
	}
	for (session = TAILQ_FIRST(&core->hungry); session != NULL; session = next) {
		next = TAILQ_NEXT(session, hungry_link);
		if (session->lease != NULL && session->prefetch == NULL &&
			!session->transport->is_solo)
			(void)session_feed(session);
	}
}

/* --- recalling -------------------------------------------------------------------------------- */

/* The worker gives it back, unless it has begun it. */
static void
recall(const struct lease *lease)
{
	SEND(lease->message->core, lease->peer->number, work_recall,
		.session = lease->session->number, .queue_id = lease->message->queue_id,
		.attempt = lease->attempt);
}

static void
recall_step(struct core *core)
{
	struct sched_entry *entry;
	struct session *session;

	/* What has just come should not wait behind what another has already been given. */
	while ((entry = sched_recall_next(core->sched)) != NULL)
		recall(sched_entry_ctx(entry));
	/* And nothing waits behind a transaction that takes long. */
	while ((session = TAILQ_FIRST(&core->recalls)) != NULL &&
		session->recall_at.ns <= core->now.mono.ns) {
		leave_recalls(session);
		session->is_slow = true;
		if (session->prefetch->is_sent)
			recall(session->prefetch);
		else
			enter_recalls(session); /* its content is being read */
	}
}

struct mono
session_due(const struct core *core)
{
	const struct session *session = TAILQ_FIRST(&core->recalls);
	struct mono due = core->missing_at;

	if (session != NULL && session->recall_at.ns < due.ns)
		due = session->recall_at;
	return due;
}

void
session_recall_message(const struct message *message)
{
	struct session *session;

	if (message->leases == 0)
		return;
	TAILQ_FOREACH(session, &message->core->recalls, recall_link)
	{
		if (session->prefetch->message == message && session->prefetch->is_sent)
			recall(session->prefetch);
	}
}

/*
 * Rule X1: no process does the work of a transport. A role that has died is there again in a moment
 * and its mail waits as it is; after MISSING_NS the mail of this transport is deferred.
 */
static void
worker_missing(struct core *core, struct transport *transport)
{
	struct mono until;

	if (!transport->is_missing_worker)
		transport->missing_since = core->now.mono;
	if (!transport->is_missing_worker && transport->is_solo)
		core->options.out->want_solo(core->options.ctx, worker_kind(transport));
	transport->is_missing_worker = true;
	until = mono_add_ns(transport->missing_since, MISSING_NS);
	if (core->now.mono.ns < until.ns) {
		if (until.ns < core->missing_at.ns)
			core->missing_at = until;
		return;
	}
	transport->is_missing_worker = false;
	if (transport->gone_since.ns == 0)
		transport->gone_since = transport->missing_since;
	log_event(core->log, EV_qmgr_no_worker, LOG_Z(transport->name),
		LOG_U(config_time_s(core->config, NULL, PARAM_TRANSPORT_RETRY_TIME)));
	sched_transport_fail(core->sched, transport->sched, SLICE_LIT("4.3.0"),
		SLICE_LIT("mail transport unavailable"), core->now.mono);
}

void
session_worker_up(struct core *core)
{
	struct transport *transport, *next;

	HASH_ITER(hh, core->transports, transport, next)
	{
		transport->is_missing_worker = false;
	}
}

static void
grant_sessions(struct core *core)
{
	unsigned misses = 0, rounds = HASH_COUNT(core->transports);
	struct sched_destination *destination;

	/* A transport without worker comes again and again; others have their turns between. */
	while (misses <= rounds &&
		(destination = sched_session_next(core->sched, core->now.mono)) != NULL) {
		struct transport *transport =
			sched_transport_ctx(sched_destination_transport(destination));

		if (choose_worker(core, transport) == NULL) {
			sched_session_closed(core->sched, destination, false);
			worker_missing(core, transport);
			misses++;
			continue;
		}
		misses = 0;
		transport->gone_since.ns = 0;
		nexthop_want(session_new(core, transport, destination));
	}
}

void
session_step(struct core *core)
{
	core->missing_at.ns = UINT64_MAX;
	drain(core);
	feed_sessions(core);
	recall_step(core);
	grant_sessions(core);
	drain(core);
}

/* At the end of the process. */
void
session_free_all(struct core *core)
{
	struct session *session, *next;

	HASH_ITER(by_number, core->sessions, session, next)
	{
		session_free(session);
	}
}
