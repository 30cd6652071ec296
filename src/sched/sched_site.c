/*
 * sched_site.c - destinations with the same hosts are one site (sched.h)
 *
 * One of them is the site: mail of the others (members) waits there as if it were its own, in jobs
 * that remember whose it is (`home`), so that it can go back when DNS says something else. A
 * message's recipients at two members are two jobs: a transaction never mixes them.
 *
 *   ALONE --bind, nobody has these hosts--> SITE --bind, other hosts--> ALONE (its members, too)
 *   ALONE --bind, somebody has them--> MEMBER --bind, other hosts--> ALONE
 *   MEMBER --time, flush--> stale MEMBER --bind, the same hosts--> MEMBER
 *
 * A stale member's mail waits at home until the resolver has answered again; what is parked stays.
 */
#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "sched/sched_priv.h"

struct sched_destination *
site_of(struct sched_destination *home)
{
	return home->site != NULL && !home->is_stale ? home->site : home;
}

/* --- moving mail ------------------------------------------------------------------------------ */

static unsigned
count_jobs(const struct flow_list *flows, const struct sched_destination *home)
{
	const struct flow *flow;
	const struct sched_job *job;
	unsigned count = 0;

	TAILQ_FOREACH (flow, flows, link)
		TAILQ_FOREACH (job, &flow->jobs, link)
			count += home == NULL || job->home == home;
	return count;
}

static unsigned
list_jobs(const struct flow_list *flows, const struct sched_destination *home,
	struct sched_job **jobs)
{
	const struct flow *flow;
	struct sched_job *job;
	unsigned count = 0;

	TAILQ_FOREACH (flow, flows, link)
		TAILQ_FOREACH (job, &flow->jobs, link)
			if (home == NULL || job->home == home)
				jobs[count++] = job;
	return count;
}

/* What waits of `home` (NULL: of all) in `from` waits in `to`. O(what waits in `from`). */
static void
move_waiting(struct sched_destination *from, struct sched_destination *to,
	const struct sched_destination *home)
{
	struct flow_list *const lists[] = { &from->fresh, &from->steady, &from->urgent,
		&from->bulk };
	enum { LISTS = sizeof(lists) / sizeof(lists[0]) };
	unsigned count = 0, listed = 0;
	struct sched_job **jobs;

	for (unsigned i = 0; i < LISTS; i++)
		count += count_jobs(lists[i], home);
	if (count == 0)
		return;
	jobs = mem_array(count, sizeof(*jobs));
	for (unsigned i = 0; i < LISTS; i++)
		listed += list_jobs(lists[i], home, jobs + listed);
	CHECK(listed == count);
	for (unsigned i = 0; i < count; i++)
		job_move_waiting(jobs[i], to);
	mem_free(jobs);
}

/* --- leaving and joining ---------------------------------------------------------------------- */

static void
leave(struct sched_destination *member)
{
	struct sched_destination *site = member->site;

	LIST_REMOVE(member, member_link);
	site->member_count--;
	member->site = NULL;
	member->is_stale = false;
	move_waiting(site, member, member);
	/* Nobody knows whose these are, and each finds its place when it is fetched. */
	park_move(site, member);
}

static void
forget_key(struct sched_destination *site)
{
	if (site->site_key == NULL)
		return;
	HASH_DELETE(by_key, site->transport->sites, site);
	mem_free(site->site_key);
	site->site_key = NULL;
}

void
site_leave(struct sched_destination *destination)
{
	struct sched_destination *member;

	if (destination->site != NULL)
		leave(destination);
	while ((member = LIST_FIRST(&destination->members)) != NULL)
		leave(member);
	forget_key(destination);
}

void
site_forget(struct sched_destination *destination)
{
	struct sched_destination *member;

	if (destination->site != NULL) {
		LIST_REMOVE(destination, member_link);
		destination->site->member_count--;
	}
	LIST_FOREACH (member, &destination->members, member_link)
		member->site = NULL;
	forget_key(destination);
}

static void
join(struct sched_destination *member, struct sched_destination *site)
{
	enum window_state state = window_state(&member->window);

	/* It was its name that could not be resolved, or hosts that it has no more. */
	if (state == WINDOW_DEAD || state == WINDOW_PROBING)
		dest_revive(member);
	member->site = site;
	LIST_INSERT_HEAD(&site->members, member, member_link);
	site->member_count++;
	move_waiting(member, site, NULL);
	park_move(member, site);
}

static struct sched_destination *
site_find(const struct sched_transport *transport, struct slice key)
{
	struct sched_destination *site;

	HASH_FIND(by_key, transport->sites, key.ptr, key.len, site);
	return site;
}

static void
site_make(struct sched_destination *destination, struct slice key)
{
	destination->hosts_version = hash_bytes(key);
	destination->site_key = mem_strndup((const char *)key.ptr, key.len);
	HASH_ADD_KEYPTR(by_key, destination->transport->sites, destination->site_key, key.len,
		destination);
}

struct sched_destination *
sched_destination_bind(struct sched *sched, struct sched_destination *destination,
	struct slice key, struct mono until)
{
	struct sched_destination *site;

	if (!sched->options.is_adaptive)
		return destination;
	site = key.len > 0 ? site_find(destination->transport, key) : NULL;
	if (site != NULL && site == destination)
		return destination;
	destination->bound_until = until;
	if (site != NULL && site == destination->site) {
		if (destination->is_stale) {
			destination->is_stale = false;
			move_waiting(destination, site, NULL);
		}
		return site;
	}
	site_leave(destination);
	if (site != NULL)
		join(destination, site);
	else if (key.len > 0)
		site_make(destination, key);
	return site != NULL ? site : destination;
}

void
site_unbind(struct sched_destination *member)
{
	if (member->site == NULL || member->is_stale)
		return;
	member->is_stale = true;
	move_waiting(member->site, member, member);
}

void
site_expire(struct sched_destination *home, struct mono now)
{
	if (home->site != NULL && now.ns >= home->bound_until.ns)
		site_unbind(home);
}

uint64_t
sched_destination_version(const struct sched_destination *destination)
{
	return destination->hosts_version;
}

struct sched_destination *
sched_destination_site(struct sched_destination *destination)
{
	return site_of(destination);
}

struct sched_destination *
sched_destination_member(
	const struct sched_destination *site, const struct sched_destination *previous)
{
	return previous == NULL ? LIST_FIRST(&site->members) : LIST_NEXT(previous, member_link);
}

/* --- invariants ------------------------------------------------------------------------------- */

void
site_check(const struct sched_destination *destination)
{
	const struct sched_destination *member;
	uint32_t count = 0;

	LIST_FOREACH (member, &destination->members, member_link) {
		CHECK(member->site == destination && member->transport == destination->transport);
		CHECK(LIST_EMPTY(&member->members) && member->site_key == NULL);
		CHECK(member->is_stale || member->waiting == 0);
		count++;
	}
	CHECK(count == destination->member_count);
	CHECK(count == 0 || (destination->site_key != NULL && destination->site == NULL));
}
