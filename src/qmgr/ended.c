/*
 * ended.c - queue IDs of messages that ended a moment ago
 *
 * An intake that was cut off between the end of data and its answer asks the next queue manager
 * whether its message is durable. It may have been delivered and be gone by then, before or after
 * the restart: without a memory of that the client would hear 451 and send it again. So the ends
 * that recovery reads, and those of the first CORE_ENDED_S, are remembered that long. An end that a
 * checkpoint has swallowed is not among them: between it and the restart the answer was on its way
 * for longer than a client waits.
 */
#include "qmgr/core_priv.h"

#include "base/mem.h"

struct ended {
	uint64_t queue_id;
	STAILQ_ENTRY(ended) link;
	UT_hash_handle hh;
};

static void
forget_oldest(struct core *core)
{
	struct ended *oldest = STAILQ_FIRST(&core->ended_order);

	STAILQ_REMOVE_HEAD(&core->ended_order, link);
	HASH_DELETE(hh, core->ended, oldest);
	mem_free(oldest);
}

void
ended_note(struct core *core, uint64_t queue_id)
{
	struct ended *ended;

	if (core->is_complete && core->now.mono.ns >= core->ended_until.ns)
		return;
	HASH_FIND(hh, core->ended, &queue_id, sizeof(queue_id), ended);
	if (ended != NULL)
		return;
	if (HASH_COUNT(core->ended) >= CORE_ENDED_MAX)
		forget_oldest(core);
	ended = MEM_NEW(struct ended);
	ended->queue_id = queue_id;
	HASH_ADD(hh, core->ended, queue_id, sizeof(queue_id), ended);
	STAILQ_INSERT_TAIL(&core->ended_order, ended, link);
}

bool
ended_find(const struct core *core, uint64_t queue_id)
{
	struct ended *ended;

	HASH_FIND(hh, core->ended, &queue_id, sizeof(queue_id), ended);
	return ended != NULL;
}

void
ended_step(struct core *core)
{
	if (core->is_complete && core->now.mono.ns >= core->ended_until.ns)
		ended_free_all(core);
}

void
ended_free_all(struct core *core)
{
	while (!STAILQ_EMPTY(&core->ended_order))
		forget_oldest(core);
}
