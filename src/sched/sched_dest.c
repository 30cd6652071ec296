/* sched_dest.c - destinations: lists they stand in, death, revival, suspension (sched_priv.h) */
#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/num.h"
#include "sched/sched_priv.h"

enum { JITTER_PERCENT = 10 };

/* --- reasons ---------------------------------------------------------------------------------- */

void
text_clear(struct text *text)
{
	mem_free(text->dsn);
	mem_free(text->reason);
	*text = (struct text){ .dsn = NULL };
}

void
text_set(struct text *text, struct slice dsn, struct slice reason)
{
	char *new_dsn = mem_strndup((const char *)dsn.ptr, dsn.len);
	char *new_reason = mem_strndup((const char *)reason.ptr, reason.len);

	text_clear(text);
	text->dsn = new_dsn;
	text->reason = new_reason;
}

struct sched_reason
text_view(const struct text *text)
{
	return (struct sched_reason){ .dsn = slice_str(text->dsn != NULL ? text->dsn : ""),
		.text = slice_str(text->reason != NULL ? text->reason : ""), .at = text->at };
}

/* "delivery temporarily suspended: REASON" (W17). */
static void
text_set_suspended(struct text *text, struct slice dsn, struct slice reason)
{
	static const char words[] = "delivery temporarily suspended: ";
	char *both = mem_array(sizeof(words) + reason.len, 1);

	memcpy(both, words, sizeof(words) - 1);
	if (reason.len > 0)
		memcpy(both + sizeof(words) - 1, reason.ptr, reason.len);
	text_set(text, dsn, slice_make(both, sizeof(words) - 1 + reason.len));
	mem_free(both);
}

/* --- lists ------------------------------------------------------------------------------------ */

static uint32_t
idle_sessions(const struct sched_destination *destination)
{
	uint32_t busy = window_busy(&destination->window);

	return destination->ready > busy ? destination->ready - busy : 0;
}

static bool
is_working(const struct sched_destination *destination)
{
	enum window_state state = window_state(&destination->window);

	return (state == WINDOW_READY || state == WINDOW_PROBING) && !destination->in_paced &&
	       destination->refused.reason == NULL && !destination->transport->is_dead;
}

static bool
can_work(const struct sched_destination *destination)
{
	return is_working(destination) && destination->waiting > 0 &&
	       idle_sessions(destination) > 0 && window_has_room(&destination->window);
}

/* S3 to S5: more is waiting than idle and opening sessions will take, and the window allows. */
static bool
wants_session(const struct sched_destination *destination)
{
	return is_working(destination) &&
	       destination->waiting > idle_sessions(destination) + destination->opening &&
	       destination->opening + destination->ready < window_limit(&destination->window);
}

static void
list_in_want(struct sched_destination *destination, bool wanted)
{
	struct sched_transport *transport = destination->transport;

	if (wanted == destination->in_want)
		return;
	destination->in_want = wanted;
	if (wanted)
		TAILQ_INSERT_TAIL(&transport->want, destination, want_link);
	else
		TAILQ_REMOVE(&transport->want, destination, want_link);
	bool any = !TAILQ_EMPTY(&transport->want);

	if (any && !transport->in_want)
		TAILQ_INSERT_TAIL(&transport->sched->want, transport, want_link);
	else if (!any && transport->in_want)
		TAILQ_REMOVE(&transport->sched->want, transport, want_link);
	transport->in_want = any;
}

static void
list_in_work(struct sched_destination *destination, bool wanted)
{
	if (wanted == destination->in_work)
		return;
	destination->in_work = wanted;
	if (wanted)
		TAILQ_INSERT_TAIL(&destination->sched->work, destination, work_link);
	else
		TAILQ_REMOVE(&destination->sched->work, destination, work_link);
}

/* A sender who has just come gets a prefetch of another's back, if no session is free for him. */
void
dest_recall(struct sched_destination *destination)
{
	struct sched *sched = destination->sched;

	if (destination->recalls >= destination->prefetched || destination->opening > 0 ||
		idle_sessions(destination) > 0)
		return;
	destination->recalls++;
	if (!destination->in_recall)
		TAILQ_INSERT_TAIL(&sched->recall, destination, recall_link);
	destination->in_recall = true;
}

/* A rate delay leaves nothing to learn: there is one transaction at a time. */
bool
dest_learns(const struct sched_destination *destination)
{
	return destination->sched->options.is_adaptive &&
	       dest_limits(destination)->rate_delay_ns == 0;
}

void
dest_update(struct sched_destination *destination)
{
	list_in_want(destination, wants_session(destination));
	list_in_work(destination, can_work(destination));
	park_update(destination);
}

void
dest_drain(struct sched_destination *destination)
{
	bool wanted = destination->waiting > 0 &&
		      (destination->refused.reason != NULL || destination->transport->is_dead ||
			      window_state(&destination->window) == WINDOW_DEAD);

	if (destination->waiting == 0)
		text_clear(&destination->refused);
	if (wanted == destination->in_drain)
		return;
	destination->in_drain = wanted;
	if (wanted)
		TAILQ_INSERT_TAIL(&destination->sched->drain, destination, drain_link);
	else
		TAILQ_REMOVE(&destination->sched->drain, destination, drain_link);
}

/* --- timers ----------------------------------------------------------------------------------- */

static void
stop_timer(struct sched_destination *destination)
{
	if (destination->in_timers)
		TAILQ_REMOVE(&destination->transport->timers, destination, timer_link);
	destination->in_timers = false;
}

/* Nearly all waits are equally long, so its place is near the end. */
static void
start_timer(struct sched_destination *destination, struct mono due)
{
	struct dest_list *timers = &destination->transport->timers;
	struct sched_destination *before;

	stop_timer(destination);
	destination->due = due;
	destination->in_timers = true;
	before = TAILQ_LAST(timers, dest_list);
	while (before != NULL && before->due.ns > due.ns)
		before = TAILQ_PREV(before, dest_list, timer_link);
	if (before == NULL)
		TAILQ_INSERT_HEAD(timers, destination, timer_link);
	else
		TAILQ_INSERT_AFTER(timers, before, destination, timer_link);
}

/* Adaptive: growing with each failed probe; jitter only ever adds. */
static uint64_t
dead_wait_ns(struct sched_destination *destination)
{
	struct sched *sched = destination->sched;
	uint64_t wait_ns = destination->probe_wait_ns;

	if (!sched->options.is_adaptive)
		return sched->options.dead_ns;
	wait_ns = num_min_u64(wait_ns == 0 ? sched->options.probe_first_ns : wait_ns * 2,
		sched->options.probe_max_ns);
	destination->probe_wait_ns = wait_ns;
	return wait_ns + rng_below(&sched->rng, wait_ns * JITTER_PERCENT / 100 + 1);
}

/* W14: dead for a while; what waits is given back. The window is DEAD already. */
void
dest_kill(struct sched_destination *destination, struct slice dsn, struct slice reason,
	struct mono now)
{
	struct sched *sched = destination->sched;

	if (destination->dead.reason == NULL)
		sched->dead_count++;
	text_set_suspended(&destination->dead, dsn, reason);
	destination->dead.at = now;
	start_timer(destination, mono_add_ns(now, dead_wait_ns(destination)));
	dest_drain(destination);
	dest_update(destination);
}

void
dest_give_back(struct sched_destination *destination, struct slice dsn, struct slice reason)
{
	if (destination->waiting > 0)
		text_set_suspended(&destination->refused, dsn, reason);
	dest_drain(destination);
}

/* One message may try; the reason of its death stays until that has succeeded. */
void
dest_probe(struct sched_destination *destination)
{
	stop_timer(destination);
	window_probe(&destination->window);
	dest_drain(destination);
	dest_update(destination);
}

void
dest_revive(struct sched_destination *destination)
{
	if (destination->dead.reason != NULL)
		destination->sched->dead_count--;
	text_clear(&destination->dead);
	stop_timer(destination);
	learn_start(&destination->learner);
	if (window_state(&destination->window) == WINDOW_SUSPENDED)
		window_resume(&destination->window);
	else
		window_revive(&destination->window);
	dest_drain(destination);
	dest_update(destination);
}

/* W20. */
void
dest_suspend(struct sched_destination *destination, struct mono now)
{
	if (destination->dead.reason != NULL)
		destination->sched->dead_count--;
	text_clear(&destination->dead);
	window_suspend(&destination->window);
	start_timer(
		destination, mono_add_ns(now, dest_limits(destination)->rate_delay_ns));
	dest_drain(destination);
	dest_update(destination);
}

bool
transport_may_work(const struct sched_transport *transport, struct mono now)
{
	bool is_taken = transport->limits.transport_rate_delay_ns > 0 && transport->busy > 0;

	return !transport->is_dead && !is_taken && now.ns >= transport->not_before.ns;
}

/* --- limits and rates ------------------------------------------------------------------------- */

const struct sched_limits *
dest_limits(const struct sched_destination *destination)
{
	return destination->own_limits != NULL ? destination->own_limits
					       : &destination->transport->limits;
}

void
dest_set_limits(struct sched_destination *destination)
{
	struct sched_transport *transport = destination->transport;
	const struct sched_options *options = &destination->sched->options;
	struct sched_limits limits = transport->limits;

	mem_free(destination->own_limits);
	destination->own_limits = NULL;
	if (options->settings == NULL || !options->settings(options->ctx, transport,
						 dest_nexthop(destination), &limits))
		return;
	limits.window.has_rate_delay = limits.rate_delay_ns > 0;
	destination->own_limits = MEM_NEW(struct sched_limits);
	*destination->own_limits = limits;
}

static void
stop_pace(struct sched_destination *destination)
{
	if (destination->in_paced)
		TAILQ_REMOVE(&destination->sched->paced, destination, paced_link);
	destination->in_paced = destination->is_held = false;
}

/* Waits are short and alike as a rule, so the place in the list is near its end. */
static void
pace_until(struct sched_destination *destination, struct mono until)
{
	struct dest_list *paced = &destination->sched->paced;
	struct sched_destination *before;

	stop_pace(destination);
	destination->paced_until = until;
	destination->in_paced = true;
	before = TAILQ_LAST(paced, dest_list);
	while (before != NULL && before->paced_until.ns > destination->paced_until.ns)
		before = TAILQ_PREV(before, dest_list, paced_link);
	if (before == NULL)
		TAILQ_INSERT_HEAD(paced, destination, paced_link);
	else
		TAILQ_INSERT_AFTER(paced, before, destination, paced_link);
}

static void
end_slow(struct sched_destination *destination)
{
	destination->slow_ns = 0;
	destination->slow_until = (struct mono){ 0 };
	if (!destination->is_held)
		text_clear(&destination->act);
}

/*
 * Transactions are spread evenly: each takes the time that its rates give it, and what was not used
 * is lost, so that no window of time sees more than the rate.
 */
void
dest_pace(struct sched_destination *destination, uint32_t recipients, struct mono now)
{
	const struct sched_limits *limits = dest_limits(destination);
	uint64_t wait_ns = num_max_u64(limits->rate_ns, limits->recipient_rate_ns * recipients);

	if (destination->slow_ns > 0 && now.ns >= destination->slow_until.ns)
		end_slow(destination);
	wait_ns = num_max_u64(wait_ns, destination->slow_ns);
	if (wait_ns > 0)
		pace_until(destination, mono_add_ns(now, wait_ns));
}

void
dest_step_paced(struct sched *sched, struct mono now)
{
	struct sched_destination *destination;

	while ((destination = TAILQ_FIRST(&sched->paced)) != NULL &&
		destination->paced_until.ns <= now.ns) {
		stop_pace(destination);
		if (destination->slow_ns == 0)
			text_clear(&destination->act);
		dest_update(destination);
	}
}

/* --- what replies and operators want ---------------------------------------------------------- */

void
sched_destination_suspend(
	struct sched_destination *destination, struct slice why, struct mono until)
{
	text_set(&destination->act, SLICE_LIT(""), why);
	pace_until(destination, until);
	destination->is_held = true;
	dest_update(destination);
}

void
sched_destination_slow(struct sched_destination *destination, struct slice why, uint64_t rate_ns,
	struct mono until)
{
	text_set(&destination->act, SLICE_LIT(""), why);
	destination->slow_ns = rate_ns;
	destination->slow_until = until;
}

void
sched_destination_back_off(struct sched_destination *destination, struct slice dsn,
	struct slice why, struct mono now, struct mono until)
{
	if (window_state(&destination->window) == WINDOW_SUSPENDED)
		window_resume(&destination->window);
	if (window_state(&destination->window) != WINDOW_DEAD)
		window_die(&destination->window);
	dest_kill(destination, dsn, why, now);
	start_timer(destination, until);
}

void
sched_destination_reset(struct sched_destination *destination)
{
	stop_pace(destination);
	end_slow(destination);
	text_clear(&destination->act);
	if (window_state(&destination->window) != WINDOW_DEAD)
		dest_update(destination);
	else if (destination->sched->options.is_adaptive)
		dest_probe(destination);
	else
		dest_revive(destination);
}

/* --- life ------------------------------------------------------------------------------------- */

void
dest_free(struct sched_destination *destination)
{
	struct sched *sched = destination->sched;

	destination->waiting = 0;
	list_in_want(destination, false);
	list_in_work(destination, false);
	if (destination->in_drain)
		TAILQ_REMOVE(&sched->drain, destination, drain_link);
	if (sched->clogged == destination)
		sched->clogged = NULL;
	stop_pace(destination);
	text_clear(&destination->act);
	mem_free(destination->own_limits);
	if (destination->in_recall)
		TAILQ_REMOVE(&sched->recall, destination, recall_link);
	stop_timer(destination);
	park_free(destination);
	site_forget(destination);
	if (destination->dead.reason != NULL)
		sched->dead_count--;
	dest_table_remove(&destination->transport->destinations, destination);
	TAILQ_REMOVE(&sched->all, destination, all_link);
	sched->destination_count--;
	text_clear(&destination->dead);
	text_clear(&destination->refused);
	if (destination->name != destination->nexthop)
		mem_free(destination->name);
	if (destination->nexthop != destination->short_name)
		mem_free(destination->nexthop);
	mem_free(destination);
}

static bool
is_forgettable(const struct sched_destination *destination)
{
	return destination->entries == 0 && destination->opening == 0 && destination->ready == 0 &&
	       destination->parked_count == 0 && destination->holds == 0 &&
	       destination->member_count == 0 &&
	       !destination->in_paced && destination->slow_ns == 0;
}

/* W16: too many: the oldest that nobody needs goes. A few are looked at, no more. */
static void
forget_some(struct sched *sched)
{
	struct sched_destination *destination = TAILQ_FIRST(&sched->all);

	if (sched->options.destination_max == 0)
		return;
	for (int i = 0; i < 8 && destination != NULL &&
			sched->destination_count >= sched->options.destination_max;
		i++) {
		struct sched_destination *next = TAILQ_NEXT(destination, all_link);

		if (is_forgettable(destination))
			dest_free(destination);
		else {
			TAILQ_REMOVE(&sched->all, destination, all_link);
			TAILQ_INSERT_TAIL(&sched->all, destination, all_link);
		}
		destination = next;
	}
}

struct slice
dest_name(const struct sched_destination *destination)
{
	return slice_make(destination->name, destination->name_len);
}

struct slice
dest_nexthop(const struct sched_destination *destination)
{
	return slice_make(destination->nexthop, destination->nexthop_len);
}

/* R52: a queue per recipient where an entry has one recipient only, else one per next hop. */
static bool
is_per_user(const struct sched_transport *transport, struct slice user)
{
	return transport->limits.has_recipient_queues && transport->limits.recipient_max == 1 &&
	       user.len > 0;
}

static char *
name_with_user(struct slice nexthop, struct slice user)
{
	char *name = mem_array(user.len + 1 + nexthop.len + 1, 1);

	memcpy(name, user.ptr, user.len);
	name[user.len] = '@';
	if (nexthop.len > 0)
		memcpy(name + user.len + 1, nexthop.ptr, nexthop.len);
	return name;
}

/* W16: classic forgets what it knew of an empty destination that is neither dead nor suspended. */
void
dest_refresh(struct sched_destination *destination)
{
	if (!destination->sched->options.is_adaptive && destination->entries == 0 &&
		destination->opening + destination->ready == 0 &&
		window_state(&destination->window) == WINDOW_READY)
		window_init(&destination->window, &dest_limits(destination)->window);
}

static struct sched_destination *
dest_new(struct sched_transport *transport, struct slice nexthop, char *user_name, size_t name_len)
{
	struct sched *sched = transport->sched;
	struct sched_destination *destination;

	forget_some(sched);
	destination = mem_new(sizeof(*destination));
	destination->sched = sched;
	destination->transport = transport;
	destination->nexthop = nexthop.len < SHORT_NAME
				       ? destination->short_name
				       : mem_array(nexthop.len + 1, 1);
	if (nexthop.len > 0)
		memcpy(destination->nexthop, nexthop.ptr, nexthop.len);
	destination->nexthop_len = (uint32_t)nexthop.len;
	destination->name = user_name != NULL ? user_name : destination->nexthop;
	destination->name_len = (uint32_t)name_len;
	flow_init(destination);
	TAILQ_INIT(&destination->groups);
	LIST_INIT(&destination->members);
	TAILQ_INIT(&destination->ahead);
	learn_start(&destination->learner);
	dest_set_limits(destination);
	window_init(&destination->window, &dest_limits(destination)->window);
	destination->hash = hash_bytes(dest_name(destination));
	dest_table_add(&transport->destinations, destination);
	TAILQ_INSERT_TAIL(&sched->all, destination, all_link);
	sched->destination_count++;
	return destination;
}

struct sched_destination *
dest_get(struct sched_transport *transport, struct slice nexthop, struct slice user)
{
	struct sched_destination *destination;
	struct slice name = nexthop;
	char *user_name = NULL;

	if (is_per_user(transport, user)) {
		user_name = name_with_user(nexthop, user);
		name = slice_str(user_name);
	}
	destination = dest_table_find(&transport->destinations, hash_bytes(name), name);
	if (destination == NULL)
		return dest_new(transport, nexthop, user_name, name.len);
	mem_free(user_name);
	return destination;
}
