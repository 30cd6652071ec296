/* sched_park.c - mail that waits outside of memory for a dead or crowded destination (sched.h) */
#include "base/check.h"
#include "base/mem.h"
#include "sched/sched_priv.h"

/* More than a window of messages is in memory, so that no session waits for the disk. */
enum { AHEAD = 50 };

/* Whether one more message should come: as a probe, or because the site lives and has room. */
static bool
wants_parked(const struct sched_destination *destination)
{
	const struct window *window = &destination->window;
	uint32_t near, share, wanted;

	if (TAILQ_EMPTY(&destination->groups) || destination->is_held)
		return false;
	near = destination->waiting + destination->fetched_count;
	share = dest_limits(destination)->share_max;
	wanted = 2 * window_limit(window) + AHEAD;
	switch (window_state(window)) {
	case WINDOW_PROBING:
		return destination->entries == 0 && destination->fetched_count == 0;
	case WINDOW_READY:
	case WINDOW_SUSPENDED:
		return near < wanted && (share == 0 || near < share);
	case WINDOW_DEAD:
		return false;
	}
	return false;
}

void
park_update(struct sched_destination *destination)
{
	struct sched *sched = destination->sched;
	bool wanted = wants_parked(destination);

	if (wanted == destination->in_wake)
		return;
	destination->in_wake = wanted;
	if (wanted)
		TAILQ_INSERT_TAIL(&sched->wake, destination, wake_link);
	else
		TAILQ_REMOVE(&sched->wake, destination, wake_link);
}

static struct parked *
find(struct sched *sched, uint64_t token)
{
	struct parked *parked;

	HASH_FIND(hh, sched->parked, &token, sizeof(token), parked);
	return parked;
}

static struct parked_group *
group_find(struct sched_destination *destination, uint64_t class)
{
	struct flow_key key = { destination, class };
	struct parked_group *group;

	HASH_FIND(hh, destination->sched->groups, &key, sizeof(key), group);
	return group;
}

static struct parked_group *
group_get(struct sched_destination *destination, uint64_t class)
{
	struct parked_group *group = group_find(destination, class);

	if (group != NULL)
		return group;
	group = MEM_NEW(struct parked_group);
	group->key = (struct flow_key){ destination, class };
	TAILQ_INIT(&group->parked);
	HASH_ADD(hh, destination->sched->groups, key, sizeof(group->key), group);
	return group;
}

/* Last of its sender's line, and that one last of the round if it was in none. */
static void
line_up(struct parked *parked)
{
	struct parked_group *group = parked->group;

	if (TAILQ_EMPTY(&group->parked))
		TAILQ_INSERT_TAIL(&group->key.destination->groups, group, link);
	TAILQ_INSERT_TAIL(&group->parked, parked, link);
	group->count++;
	group->key.destination->parked_count++;
}

/* Out of its sender's line, and that one out of the round if nothing is left in it. */
static void
leave_line(struct parked *parked)
{
	struct parked_group *group = parked->group;

	TAILQ_REMOVE(&group->parked, parked, link);
	if (TAILQ_EMPTY(&group->parked))
		TAILQ_REMOVE(&group->key.destination->groups, group, link);
}

static void
forget(struct parked *parked)
{
	struct parked_group *group = parked->group;
	struct sched_destination *destination = group->key.destination;

	if (parked->is_fetched)
		destination->fetched_count--;
	else
		leave_line(parked);
	destination->parked_count--;
	HASH_DELETE(hh, destination->sched->parked, parked);
	mem_free(parked);
	if (--group->count == 0) {
		HASH_DELETE(hh, destination->sched->groups, group);
		mem_free(group);
	}
	park_update(destination);
}

bool
park_has(struct sched_destination *destination, uint64_t class)
{
	struct parked_group *group;

	if (TAILQ_EMPTY(&destination->groups))
		return false;
	group = group_find(destination, class);
	return group != NULL && !TAILQ_EMPTY(&group->parked);
}

bool
sched_destination_is_dead(const struct sched_destination *destination)
{
	enum window_state state = window_state(&destination->window);

	return state == WINDOW_DEAD || state == WINDOW_PROBING;
}

bool
sched_destination_is_failing(const struct sched_destination *destination)
{
	return window_is_failing(&destination->window);
}

void
sched_destination_hold(struct sched_destination *destination)
{
	destination->holds++;
}

void
sched_destination_release(struct sched_destination *destination)
{
	CHECK(destination->holds > 0);
	destination->holds--;
}

void
sched_park(struct sched *sched, struct sched_destination *destination, uint64_t class,
	uint64_t token)
{
	struct parked *parked;

	sched_unparked(sched, token);
	parked = MEM_NEW(struct parked);
	parked->token = token;
	parked->group = group_get(destination, class);
	HASH_ADD(hh, sched->parked, token, sizeof(parked->token), parked);
	line_up(parked);
	park_update(destination);
}

bool
sched_is_parked(struct sched *sched, uint64_t token, bool *ret_is_fetched)
{
	struct parked *parked = find(sched, token);

	*ret_is_fetched = parked != NULL && parked->is_fetched;
	return parked != NULL;
}

/* Round robin, one message each, so that nobody's return keeps the others'; so do senders. */
bool
sched_unpark(struct sched *sched, uint64_t *ret_token)
{
	struct sched_destination *destination = TAILQ_FIRST(&sched->wake);
	struct parked_group *group;
	struct parked *parked;

	if (destination == NULL)
		return false;
	group = TAILQ_FIRST(&destination->groups);
	parked = TAILQ_FIRST(&group->parked);
	TAILQ_REMOVE(&destination->groups, group, link);
	TAILQ_REMOVE(&group->parked, parked, link);
	if (!TAILQ_EMPTY(&group->parked))
		TAILQ_INSERT_TAIL(&destination->groups, group, link);
	parked->is_fetched = true;
	destination->fetched_count++;
	TAILQ_REMOVE(&sched->wake, destination, wake_link);
	destination->in_wake = false;
	park_update(destination);
	*ret_token = parked->token;
	return true;
}

void
sched_unparked(struct sched *sched, uint64_t token)
{
	struct parked *parked = find(sched, token);

	if (parked != NULL)
		forget(parked);
}

bool
sched_park_empty(struct sched *sched, uint64_t *ret_token)
{
	if (sched->parked == NULL)
		return false;
	*ret_token = sched->parked->token;
	forget(sched->parked);
	return true;
}

/* Senders and their order stay; what is FETCHED is on its way. */
void
park_move(struct sched_destination *from, struct sched_destination *to)
{
	struct parked_group *group, *other;
	struct parked *parked;

	while ((group = TAILQ_FIRST(&from->groups)) != NULL) {
		parked = TAILQ_FIRST(&group->parked);
		other = group_get(to, group->key.class);
		leave_line(parked);
		from->parked_count--;
		if (--group->count == 0) {
			HASH_DELETE(hh, from->sched->groups, group);
			mem_free(group);
		}
		parked->group = other;
		line_up(parked);
	}
	park_update(from);
	park_update(to);
}

/* With its destination, at the end. */
void
park_free(struct sched_destination *destination)
{
	struct parked_group *group;

	while ((group = TAILQ_FIRST(&destination->groups)) != NULL)
		forget(TAILQ_FIRST(&group->parked));
	if (destination->in_wake)
		TAILQ_REMOVE(&destination->sched->wake, destination, wake_link);
}
