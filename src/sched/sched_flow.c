/*
 * sched_flow.c - which message of a destination is next: among senders, then by earned slots (P)
 *
 * The mail of one sender at one destination is a flow. One that has just come stands in `fresh`
 * until it was served once, then in `steady`; the two lists take turns, and flows take turns in
 * each. So who sends seldom is served at once, and whoever else waits gets at least half of what
 * there is. Urgent mail has a list of its own before these two, bulk mail one behind them.
 *
 * Within a flow jobs stand by admission, but for those that pre-empt: each entry that is taken
 * earns its job a slot, and k slots buy a small job one entry before it. The candidate is the job
 * with the highest age by size (P4); jobs of one size stand by age, so only the first of each size
 * is looked at, and at most SIZES_MAX sizes.
 *
 * KNOWN LIMITS: a job that has begun and had to stand back for an older one is no candidate. Rules
 * P count entries of a message at a transport, these at a destination.
 */
#include "base/check.h"
#include "base/mem.h"
#include "sched/sched_priv.h"

enum { SIZES_MAX = 32, TURNS = 8, NORMAL_TURN = 3, BULK_TURN = 7 };

/* --- flows ------------------------------------------------------------------------------------ */

static struct flow *
flow_find(struct sched_destination *destination, uint64_t class)
{
	struct flow_key key = { destination, class };
	struct flow *flow = &destination->own;

	if (!TAILQ_EMPTY(&flow->jobs) && flow->key.class == class)
		return flow;
	if (destination->flow_count == 0)
		return NULL;
	HASH_FIND(hh, destination->sched->flows, &key, sizeof(key), flow);
	return flow;
}

static struct flow_list *
list_of(const struct flow *flow)
{
	struct sched_destination *destination = flow->key.destination;

	switch ((enum sched_level)flow->level) {
	case SCHED_URGENT:
		return &destination->urgent;
	case SCHED_BULK:
		return &destination->bulk;
	case SCHED_NORMAL:
		break;
	}
	return flow->is_fresh ? &destination->fresh : &destination->steady;
}

/* The usual destination has one flow at a time: that costs no allocation. */
static struct flow *
flow_new(struct sched_destination *destination, const struct sched_message *message)
{
	uint64_t class = message->class;
	struct flow *flow = &destination->own;
	bool is_own = TAILQ_EMPTY(&flow->jobs);

	if (!is_own)
		flow = MEM_NEW(struct flow);
	*flow = (struct flow){ .key = { destination, class }, .is_own = is_own,
		.level = message->level, .is_fresh = true };
	TAILQ_INIT(&flow->jobs);
	TAILQ_INIT(&flow->sizes);
	if (!is_own) {
		HASH_ADD(hh, destination->sched->flows, key, sizeof(flow->key), flow);
		destination->flow_count++;
	}
	TAILQ_INSERT_TAIL(list_of(flow), flow, link);
	return flow;
}

/* Its last job waits no more. */
static void
flow_end(struct flow *flow)
{
	struct sched_destination *destination = flow->key.destination;

	CHECK(TAILQ_EMPTY(&flow->sizes));
	TAILQ_REMOVE(list_of(flow), flow, link);
	if (flow->is_own)
		return;
	HASH_DELETE(hh, destination->sched->flows, flow);
	destination->flow_count--;
	mem_free(flow);
}

/* The end of the line, and the other list's turn. */
static void
flow_served(struct flow *flow)
{
	struct sched_destination *destination = flow->key.destination;

	destination->turn++;
	if (flow->level == SCHED_NORMAL)
		destination->is_steady_turn = flow->is_fresh;
	TAILQ_REMOVE(list_of(flow), flow, link);
	flow->is_fresh = false;
	TAILQ_INSERT_TAIL(list_of(flow), flow, link);
}

static struct flow *
normal_next(const struct sched_destination *destination)
{
	struct flow *fresh = TAILQ_FIRST(&destination->fresh);
	struct flow *steady = TAILQ_FIRST(&destination->steady);

	if (fresh == NULL || steady == NULL)
		return fresh != NULL ? fresh : steady;
	return destination->is_steady_turn ? steady : fresh;
}

/* One turn of eight is normal mail's whatever is urgent, and one bulk mail's: none starves. */
static struct flow *
flow_next(const struct sched_destination *destination)
{
	struct flow *urgent = TAILQ_FIRST(&destination->urgent);
	struct flow *bulk = TAILQ_FIRST(&destination->bulk);
	struct flow *normal = normal_next(destination);
	unsigned turn = destination->turn % TURNS;

	if (bulk != NULL && ((urgent == NULL && normal == NULL) || turn == BULK_TURN))
		return bulk;
	if (urgent != NULL && (normal == NULL || turn != NORMAL_TURN))
		return urgent;
	return normal;
}

void
flow_init(struct sched_destination *destination)
{
	TAILQ_INIT(&destination->fresh);
	TAILQ_INIT(&destination->steady);
	TAILQ_INIT(&destination->urgent);
	TAILQ_INIT(&destination->bulk);
	TAILQ_INIT(&destination->own.jobs);
}

/* --- candidates by size ----------------------------------------------------------------------- */

/* P13: unread recipients make it larger than it is, which is the safe side. */
static uint32_t
job_max(const struct sched_job *job)
{
	return job->read + job->message->unread;
}

static void
size_remove(struct sched_job *job)
{
	struct job_size *size = job->size;

	if (size == NULL)
		return;
	job->size = NULL;
	TAILQ_REMOVE(&size->jobs, job, size_link);
	if (TAILQ_EMPTY(&size->jobs)) {
		TAILQ_REMOVE(&job->flow->sizes, size, link);
		mem_free(size);
	}
}

static struct job_size *
size_get(struct flow *flow, uint32_t entries)
{
	struct job_size *before, *size;

	/* Small ones are frequent, and large ones come at the end. */
	TAILQ_FOREACH (before, &flow->sizes, link)
		if (before->entries >= entries)
			break;
	if (before != NULL && before->entries == entries)
		return before;
	size = MEM_NEW(struct job_size);
	size->entries = entries;
	TAILQ_INIT(&size->jobs);
	if (before == NULL)
		TAILQ_INSERT_TAIL(&flow->sizes, size, link);
	else
		TAILQ_INSERT_BEFORE(before, size, link);
	return size;
}

static void
size_add(struct sched_job *job)
{
	struct job_size *size;
	struct sched_job *before;

	if (job->selected > 0 || !job->flow->is_sized)
		return;
	size = size_get(job->flow, job_max(job));
	before = TAILQ_LAST(&size->jobs, job_list);
	while (before != NULL && before->message->admitted > job->message->admitted)
		before = TAILQ_PREV(before, job_list, size_link);
	if (before == NULL)
		TAILQ_INSERT_HEAD(&size->jobs, job, size_link);
	else
		TAILQ_INSERT_AFTER(&size->jobs, before, job, size_link);
	job->size = size;
}

/* From the first moment on at which it is asked for, until the flow ends. */
static void
size_all(struct flow *flow)
{
	struct sched_job *job;

	if (flow->is_sized)
		return;
	flow->is_sized = true;
	TAILQ_FOREACH (job, &flow->jobs, link)
		size_add(job);
}

/* --- the stack of those that pre-empt --------------------------------------------------------- */

/* P9: what it was given and did not use comes back; those in front of it are its parent's now. */
static void
stack_pop(struct sched_job *job)
{
	struct sched_job *parent = job->parent, *child;

	if (parent != NULL) {
		if (job->level == parent->level + 1)
			parent->avail -=
				job->used * dest_limits(job->destination)->slots.cost;
		LIST_REMOVE(job, sibling);
	}
	while ((child = LIST_FIRST(&job->children)) != NULL) {
		LIST_REMOVE(child, sibling);
		child->parent = parent;
		if (parent != NULL)
			LIST_INSERT_HEAD(&parent->children, child, sibling);
	}
	job->parent = NULL;
	job->level = 0;
}

/* P8. */
static void
stack_push(struct flow *flow, struct sched_job *current, struct sched_job *job)
{
	int64_t need = job_max(job) - job->selected;

	stack_pop(job);
	TAILQ_REMOVE(&flow->jobs, job, link);
	TAILQ_INSERT_BEFORE(current, job, link);
	job->parent = current;
	job->level = current->level + 1;
	LIST_INSERT_HEAD(&current->children, job, sibling);
	current->avail -= need * dest_limits(current->destination)->slots.cost;
	job->used = -need;
	job->has_overtaken = true;
}

/* P4: age by size; the earlier one where that is the same. Seconds, as the rule has them. */
static struct sched_job *
best_candidate(struct flow *flow, int64_t capacity, struct mono now)
{
	struct sched_job *best = NULL;
	struct job_size *size;
	uint64_t best_age = 0;
	int looked = 0;

	TAILQ_FOREACH (size, &flow->sizes, link) {
		struct sched_job *job = TAILQ_FIRST(&size->jobs);
		uint64_t admitted_s = job->message->admitted / US_PER_S, now_s = now.ns / NS_PER_S;
		uint64_t age = (now_s > admitted_s ? now_s - admitted_s : 0) + 1;

		if (size->entries > capacity || ++looked > SIZES_MAX)
			break;
		if (best == NULL || age * job_max(best) > best_age * job_max(job) ||
			(age * job_max(best) == best_age * job_max(job) &&
				job->message->admitted < best->message->admitted)) {
			best = job;
			best_age = age;
		}
	}
	return best;
}

/* P1 to P6: which job the next entry is taken from. */
static struct sched_job *
current_job(struct flow *flow, struct mono now)
{
	struct sched_job *current = TAILQ_FIRST(&flow->jobs), *job;
	const struct sched_slots *slots = &dest_limits(current->destination)->slots;
	int64_t capacity, need;

	if (slots->cost < 2 || current->avail <= 0 ||
		job_max(current) < (uint64_t)slots->min * slots->cost)
		return current;
	capacity = ((int64_t)(current->read - current->selected) + current->avail) / slots->cost;
	if (capacity <= 0)
		return current;
	size_all(flow);
	job = best_candidate(flow, capacity, now);
	if (job == NULL || job == current || !LIST_EMPTY(&job->children))
		return current;
	need = job_max(job) - job->selected;
	if ((current->avail / slots->cost + slots->loan) * 100 <
		need * (100 - (int64_t)slots->discount))
		return current;
	stack_push(flow, current, job);
	return job;
}

/* --- jobs ------------------------------------------------------------------------------------- */

bool
flow_exists(struct sched_destination *destination, uint64_t class)
{
	return flow_find(destination, class) != NULL;
}

/* S2: by admission, in front of nobody who pre-empts. */
static void
insert_by_admission(struct flow *flow, struct sched_job *job)
{
	struct sched_job *before = TAILQ_LAST(&flow->jobs, job_list);

	while (before != NULL && (before->parent != NULL ||
			before->message->admitted > job->message->admitted))
		before = TAILQ_PREV(before, job_list, link);
	if (before == NULL)
		TAILQ_INSERT_HEAD(&flow->jobs, job, link);
	else
		TAILQ_INSERT_AFTER(&flow->jobs, before, job, link);
}

bool
flow_list_job(struct sched_job *job)
{
	struct sched_destination *destination = job->destination;
	struct flow *flow = job->flow;
	bool is_new = false;

	if (flow == NULL) {
		flow = flow_find(destination, job->message->class);
		is_new = flow == NULL;
		job->flow = is_new ? flow_new(destination, job->message) : flow;
		insert_by_admission(job->flow, job);
	}
	/* It may be larger than it was. */
	size_remove(job);
	size_add(job);
	return is_new;
}

void
flow_unlist_job(struct sched_job *job)
{
	struct flow *flow = job->flow;

	if (flow == NULL)
		return;
	size_remove(job);
	stack_pop(job);
	TAILQ_REMOVE(&flow->jobs, job, link);
	job->flow = NULL;
	job->has_overtaken = false;
	if (TAILQ_EMPTY(&flow->jobs))
		flow_end(flow);
}

void
flow_forget_entry(struct sched_job *job)
{
	job->read--;
	if (job->flow != NULL)
		(void)flow_list_job(job);
}

/* What was assigned last stands last, or nearly so. */
struct sched_job *
flow_find_job(struct sched_destination *destination, const struct sched_message *message,
	const struct sched_destination *home)
{
	struct flow *flow = flow_find(destination, message->class);
	struct sched_job *job = flow == NULL ? NULL : TAILQ_LAST(&flow->jobs, job_list);

	for (; job != NULL && job->message->admitted >= message->admitted;
		job = TAILQ_PREV(job, job_list, link))
		if (job->message == message && job->home == home)
			return job;
	return NULL;
}

struct sched_entry *
flow_first_entry(const struct sched_destination *destination)
{
	struct flow *flow = flow_next(destination);

	return flow == NULL ? NULL : TAILQ_FIRST(&TAILQ_FIRST(&flow->jobs)->waiting);
}

/* P7: what is taken earns its job a slot. */
struct sched_entry *
flow_select(struct sched_destination *destination, struct mono now)
{
	struct flow *flow = flow_next(destination);
	struct sched_job *job;

	if (flow == NULL)
		return NULL;
	job = current_job(flow, now);
	size_remove(job);
	job->selected++;
	job->avail++;
	job->used++;
	flow_served(flow);
	return TAILQ_FIRST(&job->waiting);
}

/* --- invariants ------------------------------------------------------------------------------- */

static uint32_t
check_job(const struct sched_job *job, const struct flow *flow)
{
	const struct sched_job *child;
	const struct sched_entry *entry;
	uint32_t waiting = 0;

	CHECK(job->flow == flow && !TAILQ_EMPTY(&job->waiting));
	CHECK(site_of(job->home) == job->destination);
	CHECK(job->message->class == flow->key.class);
	CHECK(job->selected == 0 || job->size == NULL);
	CHECK(job->size == NULL || job->size->entries == job_max(job));
	LIST_FOREACH (child, &job->children, sibling)
		CHECK(child->parent == job && child->flow == flow);
	TAILQ_FOREACH (entry, &job->waiting, link) {
		CHECK(entry->state == ENTRY_WAITING && entry->count > 0);
		waiting++;
	}
	CHECK(job->read >= job->selected + waiting);
	return waiting;
}

static uint32_t
check_list(const struct sched_destination *destination, const struct flow_list *flows)
{
	const struct flow *flow;
	const struct sched_job *job;
	uint32_t waiting = 0;

	TAILQ_FOREACH (flow, flows, link) {
		uint64_t admitted = 0;

		CHECK(flow->key.destination == destination && !TAILQ_EMPTY(&flow->jobs));
		CHECK(flows == list_of(flow));
		TAILQ_FOREACH (job, &flow->jobs, link) {
			waiting += check_job(job, flow);
			if (job->has_overtaken)
				continue;
			CHECK(job->message->admitted >= admitted);
			admitted = job->message->admitted;
		}
	}
	return waiting;
}

uint32_t
flow_check(const struct sched_destination *destination)
{
	return check_list(destination, &destination->fresh) +
	       check_list(destination, &destination->steady) +
	       check_list(destination, &destination->urgent) +
	       check_list(destination, &destination->bulk);
}
