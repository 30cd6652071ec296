/* sched_job.c - messages, their jobs and entries: waiting, given out, gone (sched_priv.h) */
#include "base/check.h"
#include "base/mem.h"
#include "sched/sched_priv.h"

/* --- messages --------------------------------------------------------------------------------- */

void
sched_message_add(struct sched_message *message, void *owner, uint64_t admitted_us)
{
	CHECK(message->refs == 0);
	message->recipients = 0;
	message->owner = owner;
	message->admitted = admitted_us;
	message->is_removed = false;
	message->class = 0;
	message->level = SCHED_NORMAL;
	message->unread = 0;
	LIST_INIT(&message->jobs);
}

void
sched_message_set_class(struct sched_message *message, uint64_t class)
{
	CHECK(message->refs == 0);
	message->class = class;
}

/* What a sender has of each level is a line of its own. */
void
sched_message_set_level(struct sched_message *message, enum sched_level level)
{
	CHECK(message->refs == 0 && message->level == SCHED_NORMAL);
	message->level = (uint8_t)level;
	message->class += level;
}

void
sched_message_set_unread(struct sched_message *message, uint32_t recipients)
{
	struct sched_job *job;

	if (message->unread == recipients)
		return;
	message->unread = recipients;
	LIST_FOREACH (job, &message->jobs, message_link)
		if (job->flow != NULL)
			(void)flow_list_job(job);
}

uint32_t
sched_message_refs(const struct sched_message *message)
{
	return message->refs;
}

void
sched_message_remove(struct sched *sched, struct sched_message *message)
{
	struct sched_job *job, *next;

	(void)sched;
	message->is_removed = true;
	for (job = LIST_FIRST(&message->jobs); job != NULL; job = next) {
		struct sched_entry *entry;
		uint32_t left = job->entries;

		next = LIST_NEXT(job, message_link);
		/* The job goes with its last entry. */
		while (left > 0 && (entry = TAILQ_FIRST(&job->waiting)) != NULL) {
			left--;
			entry_stop_waiting(entry, ENTRY_DRAINED);
			entry_gone(entry, false);
			if (left == 0)
				break;
		}
	}
}

uint32_t
sched_message_recipients(const struct sched_message *message)
{
	return message->recipients;
}

uint64_t
sched_recipients(const struct sched *sched)
{
	return sched->recipients;
}

/* --- jobs ------------------------------------------------------------------------------------- */

/* A message has few destinations as a rule; a long list of them is searched by the destination. */
static struct sched_job *
find_job(struct sched_message *message, struct sched_destination *destination,
	struct sched_destination *home)
{
	struct sched_job *job;
	unsigned looked = 0;

	LIST_FOREACH (job, &message->jobs, message_link) {
		if (job->destination == destination && job->home == home)
			return job;
		if (++looked == 16)
			break;
	}
	return flow_find_job(destination, message, home);
}

static struct sched_job *
get_job(struct sched_message *message, struct sched_destination *destination,
	struct sched_destination *home)
{
	struct sched_job *job = find_job(message, destination, home);

	if (job != NULL)
		return job;
	job = mem_new(sizeof(*job));
	job->message = message;
	job->destination = destination;
	job->home = home;
	if (home != destination)
		home->holds++;
	TAILQ_INIT(&job->waiting);
	LIST_INSERT_HEAD(&message->jobs, job, message_link);
	return job;
}

/* It has one entry less; the last one takes it along. */
static void
job_lost_entry(struct sched_job *job)
{
	if (--job->entries > 0)
		return;
	CHECK(job->flow == NULL);
	if (job->home != job->destination)
		job->home->holds--;
	LIST_REMOVE(job, message_link);
	mem_free(job);
}

/* --- entries ---------------------------------------------------------------------------------- */

static void
watch_clog(const struct sched_job *job)
{
	struct sched_destination *destination = job->destination;
	struct sched *sched = destination->sched;
	uint32_t most = sched->options.clog_max;
	uint64_t now_us = job->message->admitted;

	if (most == 0 || destination->waiting + window_busy(&destination->window) <= most ||
		(destination->clogged_us != 0 &&
			now_us < destination->clogged_us + sched->options.clog_ns / 1000))
		return;
	destination->clogged_us = now_us;
	sched->clogged = destination;
}

struct sched_destination *
sched_clogged(struct sched *sched)
{
	struct sched_destination *destination = sched->clogged;

	sched->clogged = NULL;
	return destination;
}

/* It waits behind the others of its job. */
static void
entry_wait(struct sched_entry *entry, struct sched_job *job)
{
	struct sched_destination *destination = job->destination;

	entry->job = job;
	entry->state = ENTRY_WAITING;
	TAILQ_INSERT_TAIL(&job->waiting, entry, link);
	job->read++;
	if (flow_list_job(job))
		dest_recall(destination);
	job->entries++;
	destination->entries++;
	destination->waiting++;
	destination->waiting_recipients += entry->count;
	destination->sched->counts.waiting++;
}

static struct sched_entry *
new_entry(struct sched_job *job, bool is_single)
{
	struct sched_entry *entry = mem_new(sizeof(*entry));

	entry->is_single = is_single;
	entry->numbers = &entry->one;
	entry->cap = 1;
	entry_wait(entry, job);
	job->message->refs++;
	watch_clog(job);
	return entry;
}

void
job_move_waiting(struct sched_job *job, struct sched_destination *to)
{
	struct sched_destination *from = job->destination;
	struct sched_job *other = get_job(job->message, to, job->home);
	struct sched_entry *entry;
	unsigned count = 0;

	TAILQ_FOREACH (entry, &job->waiting, link)
		count++;
	while (count-- > 0) {
		entry = TAILQ_FIRST(&job->waiting);
		entry_stop_waiting(entry, ENTRY_DRAINED);
		from->entries--;
		entry_wait(entry, other);
		job_lost_entry(job);
	}
	dest_drain(to);
	dest_update(to);
}

static void
add_number(struct sched_entry *entry, uint32_t number)
{
	if (entry->count == 1 && entry->numbers == &entry->one) {
		entry->cap = 4;
		entry->numbers = mem_array(entry->cap, sizeof(*entry->numbers));
		entry->numbers[0] = entry->one;
	} else if (entry->count == entry->cap) {
		entry->cap *= 4;
		entry->numbers = mem_resize(entry->numbers, entry->cap, sizeof(*entry->numbers));
	}
	entry->numbers[entry->count++] = number;
	entry->job->message->recipients++;
	entry->job->destination->sched->recipients++;
	entry->job->destination->waiting_recipients++;
}

/* R56: the last entry of the job takes it while there is room. */
static struct sched_entry *
entry_for(struct sched_job *job, bool is_single)
{
	uint32_t most = job->destination->transport->limits.recipient_max;
	struct sched_entry *last = TAILQ_LAST(&job->waiting, entry_list);

	if (is_single || last == NULL || last->is_single || (most != 0 && last->count >= most))
		return new_entry(job, is_single);
	return last;
}

/* A dead one takes nothing, one that is probed the message that does it. */
static bool
dest_takes(const struct sched_destination *destination)
{
	enum window_state state = window_state(&destination->window);

	return state != WINDOW_DEAD && (state != WINDOW_PROBING || destination->entries == 0);
}

/*
 * Z41: its share of memory is full, and the sender has mail there already; mail of a sender that is
 * parked is not overtaken by his own. A message that has begun is not parted.
 */
static bool
is_crowded(struct sched_message *message, struct sched_destination *destination,
	struct sched_destination *home)
{
	uint32_t share = dest_limits(destination)->share_max;
	bool is_behind = park_has(destination, message->class);

	if (share == 0 || (destination->waiting_recipients < share && !is_behind) ||
		find_job(message, destination, home) != NULL)
		return false;
	return is_behind || destination->waiting_recipients / 2 >= share ||
	       flow_exists(destination, message->class);
}

bool
sched_recipient_assign(struct sched *sched, struct sched_message *message,
	const struct sched_assign *assign, struct sched_reason *ret_dead)
{
	struct sched_transport *transport = assign->transport;
	struct sched_destination *destination, *home;

	(void)sched;
	if (transport->is_dead) {
		*ret_dead = text_view(&transport->dead);
		return false;
	}
	home = dest_get(transport, assign->nexthop, assign->user);
	site_expire(home, (struct mono){ message->admitted * 1000 });
	destination = site_of(home);
	dest_refresh(destination);
	if (!dest_takes(destination)) {
		*ret_dead = text_view(&destination->dead);
		ret_dead->dead = destination;
		return false;
	}
	if (assign->may_be_parked && is_crowded(message, destination, home)) {
		*ret_dead = (struct sched_reason){ .crowded = destination };
		return false;
	}
	add_number(entry_for(get_job(message, destination, home), assign->is_single),
		assign->number);
	dest_update(destination);
	dest_drain(destination);
	return true;
}

void
entry_starts(struct sched_entry *entry)
{
	struct sched_destination *destination = entry->job->destination;

	entry->state = ENTRY_BUSY;
	destination->transport->busy++;
	destination->sched->counts.busy++;
}

/* X10: the pause is between the end of one transaction and the start of the next. */
void
entry_ends(struct sched_entry *entry, struct mono now)
{
	struct sched_transport *transport = entry->job->destination->transport;

	CHECK(transport->busy > 0);
	transport->busy--;
	transport->sched->counts.busy--;
	if (transport->limits.transport_rate_delay_ns > 0)
		transport->not_before =
			mono_add_ns(now, transport->limits.transport_rate_delay_ns);
}

/* A PREFETCHED one has begun, or comes back. */
void
entry_not_ahead(struct sched_entry *entry)
{
	struct sched_destination *destination = entry->job->destination;

	TAILQ_REMOVE(&destination->ahead, entry, link);
	destination->prefetched--;
	destination->sched->counts.prefetched--;
	entry->is_recalled = false;
}

void
entry_stop_waiting(struct sched_entry *entry, enum entry_state to)
{
	struct sched_job *job = entry->job;
	struct sched_destination *destination = job->destination;

	CHECK(entry->state == ENTRY_WAITING);
	TAILQ_REMOVE(&job->waiting, entry, link);
	if (TAILQ_EMPTY(&job->waiting))
		flow_unlist_job(job);
	if (to == ENTRY_DRAINED)
		flow_forget_entry(job);
	entry->state = to;
	destination->waiting--;
	destination->waiting_recipients -= entry->count;
	destination->sched->counts.waiting--;
	if (to == ENTRY_PREFETCHED) {
		destination->prefetched++;
		TAILQ_INSERT_TAIL(&destination->ahead, entry, link);
		destination->sched->counts.prefetched++;
	} else if (to == ENTRY_BUSY) {
		entry_starts(entry);
	}
	dest_drain(destination);
	dest_update(destination);
}

/* The end of an entry that does not wait. `tell`: message_done when it was the message's last. */
void
entry_gone(struct sched_entry *entry, bool tell)
{
	struct sched_job *job = entry->job;
	struct sched_message *message = job->message;
	struct sched *sched = job->destination->sched;

	CHECK(entry->state != ENTRY_WAITING);
	job->destination->entries--;
	message->recipients -= entry->count;
	sched->recipients -= entry->count;
	if (entry->numbers != &entry->one)
		mem_free(entry->numbers);
	mem_free(entry);
	job_lost_entry(job);
	if (--message->refs == 0 && tell && sched->options.message_done != NULL)
		sched->options.message_done(sched->options.ctx, message);
}

void
sched_entry_return(struct sched *sched, struct sched_entry *entry)
{
	struct sched_job *job = entry->job;
	struct sched_destination *destination = job->destination;

	CHECK(entry->state == ENTRY_BUSY || entry->state == ENTRY_PREFETCHED);
	if (entry->state == ENTRY_BUSY) {
		window_return(&destination->window);
		if (entry->explores)
			learn_return(&destination->learner);
		entry->explores = false;
		entry_ends(entry, (struct mono){ 0 });
	} else {
		entry_not_ahead(entry);
	}
	if (job->message->is_removed) {
		entry_gone(entry, true);
		dest_update(destination);
		return;
	}
	entry->state = ENTRY_WAITING;
	TAILQ_INSERT_HEAD(&job->waiting, entry, link);
	job->selected--;
	(void)flow_list_job(job);
	destination->waiting++;
	destination->waiting_recipients += entry->count;
	sched->counts.waiting++;
	dest_drain(destination);
	dest_update(destination);
	/* Its destination has other hosts by now. */
	if (site_of(job->home) != destination)
		job_move_waiting(job, site_of(job->home));
}

void
sched_entry_drop(struct sched *sched, struct sched_entry *entry)
{
	(void)sched;
	CHECK(entry->state == ENTRY_DRAINED);
	entry_gone(entry, true);
}

/* --- looking ---------------------------------------------------------------------------------- */

struct sched_message *
sched_entry_message(const struct sched_entry *entry)
{
	return entry->job->message;
}

void *
sched_entry_owner(const struct sched_entry *entry)
{
	return entry->job->message->owner;
}

struct sched_destination *
sched_entry_destination(const struct sched_entry *entry)
{
	return entry->job->destination;
}

struct sched_destination *
sched_entry_home(const struct sched_entry *entry)
{
	return entry->job->home;
}

void
sched_entry_set_ctx(struct sched_entry *entry, void *ctx)
{
	entry->ctx = ctx;
}

void *
sched_entry_ctx(const struct sched_entry *entry)
{
	return entry->ctx;
}

bool
sched_entry_is_prefetched(const struct sched_entry *entry)
{
	return entry->state == ENTRY_PREFETCHED;
}

const uint32_t *
sched_entry_recipients(const struct sched_entry *entry, uint32_t *ret_count)
{
	*ret_count = entry->count;
	return entry->numbers;
}
