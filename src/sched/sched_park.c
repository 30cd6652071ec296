/* sched_park.c - mail that waits outside of memory for a dead destination (sched.h) */
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
	uint32_t near = destination->waiting + destination->fetched_count;

	if (TAILQ_EMPTY(&destination->parked))
		return false;
	if (window_state(window) == WINDOW_PROBING)
		return destination->entries == 0 && destination->fetched_count == 0;
	return window_state(window) == WINDOW_READY && near < 2 * window_limit(window) + AHEAD;
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

static void
forget(struct parked *parked)
{
	struct sched_destination *destination = parked->destination;

	if (parked->is_fetched)
		destination->fetched_count--;
	else
		TAILQ_REMOVE(&destination->parked, parked, link);
	destination->parked_count--;
	HASH_DELETE(hh, destination->sched->parked, parked);
	mem_free(parked);
	park_update(destination);
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
sched_park(struct sched *sched, struct sched_destination *destination, uint64_t token)
{
	struct parked *parked;

	sched_unparked(sched, token);
	parked = MEM_NEW(struct parked);
	parked->token = token;
	parked->destination = destination;
	HASH_ADD(hh, sched->parked, token, sizeof(parked->token), parked);
	TAILQ_INSERT_TAIL(&destination->parked, parked, link);
	destination->parked_count++;
	park_update(destination);
}

/* Round robin, one message each, so that nobody's return keeps the others'. */
bool
sched_unpark(struct sched *sched, uint64_t *ret_token)
{
	struct sched_destination *destination = TAILQ_FIRST(&sched->wake);
	struct parked *parked;

	if (destination == NULL)
		return false;
	parked = TAILQ_FIRST(&destination->parked);
	TAILQ_REMOVE(&destination->parked, parked, link);
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

/* With its destination, at the end. */
void
park_free(struct sched_destination *destination)
{
	struct parked *parked;

	while ((parked = TAILQ_FIRST(&destination->parked)) != NULL)
		forget(parked);
	if (destination->in_wake)
		TAILQ_REMOVE(&destination->sched->wake, destination, wake_link);
}
