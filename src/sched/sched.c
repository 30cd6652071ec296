/* sched.c - transports, sessions, work, results, time (sched.h) */
#include "sched/sched.h"

#include "base/check.h"
#include "base/mem.h"
#include "sched/sched_priv.h"

/* --- life ------------------------------------------------------------------------------------- */

struct sched *
sched_new(const struct sched_options *options)
{
	struct sched *sched = MEM_NEW(struct sched);

	sched->options = *options;
	TAILQ_INIT(&sched->transports);
	TAILQ_INIT(&sched->want);
	TAILQ_INIT(&sched->work);
	TAILQ_INIT(&sched->drain);
	TAILQ_INIT(&sched->wake);
	TAILQ_INIT(&sched->recall);
	TAILQ_INIT(&sched->paced);
	rng_init(&sched->rng, options->seed);
	TAILQ_INIT(&sched->all);
	return sched;
}

void
sched_set_options(struct sched *sched, const struct sched_options *options)
{
	sched->options = *options;
}

void
sched_free(struct sched *sched)
{
	struct sched_destination *destination;
	struct sched_transport *transport;
	struct sched_entry *entry;
	uint64_t token;

	while (sched_park_empty(sched, &token))
		continue;
	TAILQ_FOREACH (destination, &sched->all, all_link)
		while ((entry = flow_first_entry(destination)) != NULL) {
			entry_stop_waiting(entry, ENTRY_DRAINED);
			entry_gone(entry, false);
		}
	while ((destination = TAILQ_FIRST(&sched->all)) != NULL)
		dest_free(destination);
	while ((transport = TAILQ_FIRST(&sched->transports)) != NULL) {
		TAILQ_REMOVE(&sched->transports, transport, link);
		text_clear(&transport->dead);
		dest_table_done(&transport->destinations);
		mem_free(transport->name);
		mem_free(transport);
	}
	text_clear(&sched->drained);
	mem_free(sched);
}

/* --- transports ------------------------------------------------------------------------------- */

static struct sched_transport *
transport_find(struct sched *sched, struct slice name)
{
	struct sched_transport *transport;

	TAILQ_FOREACH (transport, &sched->transports, link)
		if (slice_equal_str(name, transport->name))
			return transport;
	return NULL;
}

struct sched_transport *
sched_transport_set(
	struct sched *sched, struct slice name, const struct sched_limits *limits, void *ctx)
{
	struct sched_transport *transport = transport_find(sched, name);
	struct sched_destination *destination;

	if (transport == NULL) {
		transport = MEM_NEW(struct sched_transport);
		transport->sched = sched;
		transport->name = mem_strndup((const char *)name.ptr, name.len);
		TAILQ_INIT(&transport->want);
		TAILQ_INIT(&transport->timers);
		TAILQ_INSERT_TAIL(&sched->transports, transport, link);
	}
	transport->ctx = ctx;
	transport->limits = *limits;
	transport->limits.window.has_rate_delay = limits->rate_delay_ns > 0;
	TAILQ_FOREACH (destination, &sched->all, all_link) {
		if (destination->transport != transport)
			continue;
		/* Settings are part of what makes a site; the next session finds out. */
		site_leave(destination);
		dest_set_limits(destination);
		window_change(&destination->window, &dest_limits(destination)->window);
		dest_update(destination);
	}
	return transport;
}

void *
sched_transport_ctx(const struct sched_transport *transport)
{
	return transport->ctx;
}

struct slice
sched_transport_name(const struct sched_transport *transport)
{
	return slice_str(transport->name);
}

static void
update_all(struct sched_transport *transport)
{
	struct sched_destination *destination;

	TAILQ_FOREACH (destination, &transport->sched->all, all_link) {
		if (destination->transport != transport)
			continue;
		dest_drain(destination);
		dest_update(destination);
	}
}

void
sched_transport_fail(struct sched *sched, struct sched_transport *transport, struct slice dsn,
	struct slice reason, struct mono now)
{
	if (transport->is_dead)
		return; /* X3: its timer runs on */
	transport->is_dead = true;
	transport->due = mono_add_ns(now, sched->options.transport_dead_ns);
	text_set(&transport->dead, dsn, reason);
	transport->dead.at = now;
	update_all(transport);
}

static void
transport_revive(struct sched_transport *transport)
{
	if (!transport->is_dead)
		return;
	transport->is_dead = false;
	text_clear(&transport->dead);
	update_all(transport);
}

/* --- sessions --------------------------------------------------------------------------------- */

static bool
transport_has_room(const struct sched_transport *transport)
{
	const struct sched *sched = transport->sched;

	return (transport->limits.session_max == 0 ||
		       transport->sessions < transport->limits.session_max) &&
	       (sched->options.session_max == 0 ||
		       sched->counts.sessions < sched->options.session_max);
}

/* Who was served goes to the end of both rounds. */
static struct sched_destination *
grant(struct sched_transport *transport)
{
	struct sched *sched = transport->sched;
	struct sched_destination *destination = TAILQ_FIRST(&transport->want);

	TAILQ_REMOVE(&transport->want, destination, want_link);
	TAILQ_INSERT_TAIL(&transport->want, destination, want_link);
	TAILQ_REMOVE(&sched->want, transport, want_link);
	TAILQ_INSERT_TAIL(&sched->want, transport, want_link);
	destination->opening++;
	transport->sessions++;
	sched->counts.sessions++;
	sched->counts.opening++;
	dest_update(destination);
	return destination;
}

struct sched_destination *
sched_session_next(struct sched *sched, struct mono now)
{
	struct sched_transport *transport;

	TAILQ_FOREACH (transport, &sched->want, want_link)
		if (transport_may_work(transport, now) && transport_has_room(transport))
			return grant(transport);
	return NULL;
}

static void
opening_over(struct sched_destination *destination)
{
	CHECK(destination->opening > 0);
	destination->opening--;
	destination->sched->counts.opening--;
}

static void
session_gone(struct sched_destination *destination)
{
	CHECK(destination->transport->sessions > 0);
	destination->transport->sessions--;
	destination->sched->counts.sessions--;
}

void
sched_session_ready(struct sched *sched, struct sched_destination *destination)
{
	(void)sched;
	opening_over(destination);
	destination->ready++;
	/* It speaks: that is what the probe was to find out. */
	if (window_state(&destination->window) == WINDOW_PROBING)
		dest_revive(destination);
	dest_update(destination);
}

/* W20: with a rate delay what waits is given back, but the destination only makes its pause. */
static void
after_failure(struct sched_destination *destination, bool died, const struct sched_reason *why,
	struct mono now)
{
	bool is_delayed = dest_limits(destination)->rate_delay_ns > 0;

	if (died && is_delayed)
		dest_give_back(destination, why->dsn, why->text);
	else if (died)
		dest_kill(destination, why->dsn, why->text, now);
	if (is_delayed && window_state(&destination->window) != WINDOW_SUSPENDED)
		dest_suspend(destination, now);
	dest_update(destination);
}

struct sched_entry *
sched_session_failed(struct sched *sched, struct sched_destination *destination, struct slice dsn,
	struct slice reason, struct mono now)
{
	struct sched_entry *victim;

	(void)sched;
	opening_over(destination);
	session_gone(destination);
	/* Where other sessions work, no message is to pay for one more. */
	bool spares = dest_learns(destination) && destination->ready > 0;
	bool died = dest_learns(destination)
			    ? learn_session_failure(&destination->learner, &destination->window,
				      destination->ready, destination->opening, now)
			    : window_session_failure(&destination->window);

	victim = spares ? NULL : flow_first_entry(destination);
	if (victim != NULL)
		entry_stop_waiting(victim, ENTRY_DRAINED);
	after_failure(destination, died,
		&(const struct sched_reason){ .dsn = dsn, .text = reason }, now);
	return victim;
}

void
sched_session_closed(struct sched *sched, struct sched_destination *destination, bool was_ready)
{
	(void)sched;
	if (was_ready) {
		CHECK(destination->ready > 0);
		destination->ready--;
	} else {
		opening_over(destination);
	}
	session_gone(destination);
	dest_update(destination);
}

/* --- work ------------------------------------------------------------------------------------- */

struct sched_destination *
sched_work_next(struct sched *sched, struct mono now)
{
	struct sched_destination *destination;

	TAILQ_FOREACH (destination, &sched->work, work_link)
		if (transport_may_work(destination->transport, now))
			return destination;
	return NULL;
}

/* A prefetch must not take what an idle or opening session is there for. */
static bool
may_prefetch(const struct sched_destination *destination)
{
	uint32_t busy = window_busy(&destination->window);
	uint32_t idle = destination->ready > busy ? destination->ready - busy : 0;

	return destination->waiting > idle + destination->opening &&
	       window_state(&destination->window) == WINDOW_READY &&
	       destination->prefetched < window_limit(&destination->window) &&
	       dest_limits(destination)->rate_delay_ns == 0 &&
	       dest_limits(destination)->rate_ns == 0 &&
	       dest_limits(destination)->recipient_rate_ns == 0 &&
	       destination->transport->limits.transport_rate_delay_ns == 0;
}

struct sched_entry *
sched_take(struct sched *sched, struct sched_destination *destination, bool prefetch,
	struct mono now)
{
	struct sched_transport *transport = destination->transport;
	struct sched_entry *entry;

	(void)sched;
	if (destination->waiting == 0 || !transport_may_work(transport, now) ||
		destination->refused.reason != NULL || destination->in_paced)
		return NULL;
	if (prefetch ? !may_prefetch(destination) : !window_has_room(&destination->window))
		return NULL;
	entry = flow_select(destination, now);
	dest_pace(destination, entry->count, now);
	if (!prefetch) {
		window_take(&destination->window);
		entry->explores = dest_learns(destination) &&
				  learn_take(&destination->learner, &destination->window);
	}
	entry_stop_waiting(entry, prefetch ? ENTRY_PREFETCHED : ENTRY_BUSY);
	site_expire(entry->job->home, now);
	return entry;
}

/* The oldest first: the transaction before it is likely to end soonest. */
struct sched_entry *
sched_recall_next(struct sched *sched)
{
	struct sched_destination *destination;
	struct sched_entry *entry;

	while ((destination = TAILQ_FIRST(&sched->recall)) != NULL) {
		TAILQ_FOREACH (entry, &destination->ahead, link)
			if (!entry->is_recalled)
				break;
		if (entry == NULL || destination->recalls == 0) {
			destination->recalls = 0;
			TAILQ_REMOVE(&sched->recall, destination, recall_link);
			destination->in_recall = false;
			continue;
		}
		destination->recalls--;
		entry->is_recalled = true;
		return entry;
	}
	return NULL;
}

void
sched_entry_begin(struct sched *sched, struct sched_entry *entry)
{
	struct sched_destination *destination = entry->job->destination;

	(void)sched;
	if (entry->state == ENTRY_BUSY)
		return;
	CHECK(entry->state == ENTRY_PREFETCHED);
	window_begin(&destination->window);
	entry_not_ahead(entry);
	entry_starts(entry);
	dest_update(destination);
}

static void
site_works(struct sched_destination *destination, bool explores, struct mono now)
{
	bool was_dead = destination->dead.reason != NULL;

	destination->probe_wait_ns = 0;
	if (dest_learns(destination))
		learn_success(&destination->learner, &destination->window, explores, now);
	else
		window_success(&destination->window);
	if (was_dead && window_state(&destination->window) == WINDOW_READY)
		dest_revive(destination);
	if (dest_limits(destination)->rate_delay_ns > 0 &&
		window_state(&destination->window) == WINDOW_READY)
		dest_suspend(destination, now);
}

/* True: it has just died. */
static bool
site_fails(struct sched_destination *destination, bool explores, struct mono now)
{
	return dest_learns(destination)
		       ? learn_failure(&destination->learner, &destination->window, explores, now)
		       : window_failure(&destination->window);
}

void
sched_entry_finish(struct sched *sched, struct sched_entry *entry, bool works, struct slice dsn,
	struct slice reason, struct mono now)
{
	struct sched_destination *destination = entry->job->destination;

	sched_entry_begin(sched, entry);
	entry_ends(entry, now);
	if (works)
		site_works(destination, entry->explores, now);
	else
		after_failure(destination, site_fails(destination, entry->explores, now),
			&(const struct sched_reason){ .dsn = dsn, .text = reason }, now);
	entry_gone(entry, true);
	dest_update(destination);
}

/* --- destinations ----------------------------------------------------------------------------- */

struct slice
sched_destination_nexthop(const struct sched_destination *destination)
{
	return dest_nexthop(destination);
}

struct slice
sched_destination_name(const struct sched_destination *destination)
{
	return dest_name(destination);
}

struct sched_transport *
sched_destination_transport(const struct sched_destination *destination)
{
	return destination->transport;
}

void
sched_destination_set_ctx(struct sched_destination *destination, void *ctx)
{
	destination->ctx = ctx;
}

void *
sched_destination_ctx(const struct sched_destination *destination)
{
	return destination->ctx;
}

void
sched_destination_refuse(struct sched *sched, struct sched_destination *destination,
	struct slice dsn, struct slice reason)
{
	(void)sched;
	if (destination->waiting == 0)
		return;
	text_set(&destination->refused, dsn, reason);
	dest_drain(destination);
	dest_update(destination);
}

static struct sched_reason
reason_of(const struct sched_destination *destination)
{
	if (destination->refused.reason != NULL)
		return text_view(&destination->refused);
	if (destination->transport->is_dead)
		return text_view(&destination->transport->dead);
	return text_view(&destination->dead);
}

struct sched_entry *
sched_drain(struct sched *sched, struct sched_reason *ret_reason)
{
	struct sched_destination *destination = TAILQ_FIRST(&sched->drain);
	struct sched_entry *entry;

	if (destination == NULL)
		return NULL;
	entry = flow_first_entry(destination);
	CHECK(entry != NULL);
	/* Kept apart: the last entry's going forgets why the destination was refused. */
	struct sched_reason reason = reason_of(destination);

	text_set(&sched->drained, reason.dsn, reason.text);
	*ret_reason = text_view(&sched->drained);
	ret_reason->at = reason.at;
	ret_reason->dead = destination->refused.reason == NULL && !destination->transport->is_dead
				   ? destination
				   : NULL;
	entry_stop_waiting(entry, ENTRY_DRAINED);
	return entry;
}

/* Its timer ran out, or a flush. */
static void
dest_wake(struct sched_destination *destination)
{
	if (destination->sched->options.is_adaptive &&
		window_state(&destination->window) == WINDOW_DEAD)
		dest_probe(destination);
	else
		dest_revive(destination);
}

void
sched_flush(struct sched *sched)
{
	struct sched_transport *transport;
	struct sched_destination *destination, *next;

	TAILQ_FOREACH (destination, &sched->all, all_link)
		site_unbind(destination);
	TAILQ_FOREACH (transport, &sched->transports, link) {
		transport_revive(transport);
		for (destination = TAILQ_FIRST(&transport->timers); destination != NULL;
			destination = next) {
			next = TAILQ_NEXT(destination, timer_link);
			if (window_state(&destination->window) == WINDOW_DEAD)
				dest_wake(destination);
		}
	}
}

void
sched_flush_destination(struct sched *sched, struct sched_transport *transport,
	struct slice nexthop, struct slice user)
{
	struct sched_destination *destination;

	(void)sched;
	transport_revive(transport);
	destination = dest_get(transport, nexthop, user);
	site_unbind(destination);
	if (destination->site != NULL)
		destination = destination->site;
	if (window_state(&destination->window) == WINDOW_DEAD)
		dest_wake(destination);
}

/* --- time and status -------------------------------------------------------------------------- */

void
sched_step(struct sched *sched, struct mono now)
{
	struct sched_transport *transport;
	struct sched_destination *destination;

	dest_step_paced(sched, now);
	TAILQ_FOREACH (transport, &sched->transports, link) {
		if (transport->is_dead && transport->due.ns <= now.ns)
			transport_revive(transport);
		if (transport->not_before.ns <= now.ns)
			transport->not_before = (struct mono){ 0 };
		while ((destination = TAILQ_FIRST(&transport->timers)) != NULL &&
			destination->due.ns <= now.ns)
			dest_wake(destination);
	}
}

struct mono
sched_due(const struct sched *sched)
{
	struct mono due = { UINT64_MAX };
	const struct sched_transport *transport;
	const struct sched_destination *paced = TAILQ_FIRST(&sched->paced);

	if (paced != NULL)
		due = paced->paced_until;
	TAILQ_FOREACH (transport, &sched->transports, link) {
		const struct sched_destination *first = TAILQ_FIRST(&transport->timers);

		if (transport->is_dead && transport->due.ns < due.ns)
			due = transport->due;
		if (first != NULL && first->due.ns < due.ns)
			due = first->due;
		if (transport->not_before.ns > 0 && transport->busy == 0 &&
			(transport->in_want || !TAILQ_EMPTY(&sched->work)) &&
			transport->not_before.ns < due.ns)
			due = transport->not_before;
	}
	return due;
}

void
sched_counts(const struct sched *sched, struct sched_counts *ret_counts)
{
	*ret_counts = sched->counts;
	ret_counts->destinations = sched->destination_count;
	ret_counts->dead = sched->dead_count;
	ret_counts->parked = HASH_COUNT(sched->parked);
}

void
sched_destination_load(
	const struct sched_destination *destination, struct sched_load *ret_load)
{
	*ret_load = (struct sched_load){
		.limit = window_limit(&destination->window),
		.busy = window_busy(&destination->window),
		.sessions = destination->opening + destination->ready,
	};
}

void
sched_destination_status(
	const struct sched_destination *destination, struct sched_status *ret_status)
{
	*ret_status = (struct sched_status){
		.transport = destination->transport,
		.name = dest_name(destination),
		.nexthop = dest_nexthop(destination),
		.state = window_state(&destination->window),
		.limit = window_limit(&destination->window),
		.limit_max = destination->window.options.limit_max,
		.success = destination->window.success,
		.failure = destination->window.failure,
		.cohorts = destination->window.cohorts,
		.busy = window_busy(&destination->window),
		.waiting = destination->waiting,
		.prefetched = destination->prefetched,
		.sessions = destination->opening + destination->ready,
		.opening = destination->opening,
		.parked = destination->parked_count,
		.members = destination->member_count,
		.dead = text_view(&destination->dead),
		.due = destination->due,
		.held_until = { destination->is_held ? destination->paced_until.ns : 0 },
		.slow_until = destination->slow_until,
		.slow_ns = destination->slow_ns,
		.act = slice_str(destination->act.reason != NULL ? destination->act.reason : ""),
	};
}

struct sched_destination *
sched_destination_next(const struct sched *sched, const struct sched_destination *previous)
{
	return previous == NULL ? TAILQ_FIRST(&sched->all) : TAILQ_NEXT(previous, all_link);
}

static void
check_parked(const struct sched_destination *destination)
{
	const struct parked_group *group;
	const struct parked *parked;
	uint32_t count = 0;

	TAILQ_FOREACH (group, &destination->groups, link) {
		CHECK(group->key.destination == destination && !TAILQ_EMPTY(&group->parked));
		TAILQ_FOREACH (parked, &group->parked, link) {
			CHECK(parked->group == group && !parked->is_fetched);
			count++;
		}
	}
	CHECK(count + destination->fetched_count == destination->parked_count);
}

static void
check_destination(const struct sched_destination *destination)
{
	uint32_t waiting = flow_check(destination);

	CHECK(waiting == destination->waiting);
	CHECK(destination->entries >= waiting + destination->prefetched +
			window_busy(&destination->window));
	enum window_state state = window_state(&destination->window);

	CHECK((state == WINDOW_DEAD || state == WINDOW_PROBING) ==
	      (destination->dead.reason != NULL));
	CHECK(destination->in_timers == (state == WINDOW_DEAD || state == WINDOW_SUSPENDED));
	check_parked(destination);
	site_check(destination);
}

void
sched_check(const struct sched *sched)
{
	const struct sched_destination *destination;
	uint32_t waiting = 0, sessions = 0, busy = 0;

	TAILQ_FOREACH (destination, &sched->all, all_link) {
		check_destination(destination);
		waiting += destination->waiting;
		sessions += destination->opening + destination->ready;
		busy += window_busy(&destination->window);
	}
	CHECK(waiting == sched->counts.waiting);
	CHECK(sessions == sched->counts.sessions);
	CHECK(busy == sched->counts.busy);
}
