/*
 * poison.c - messages with which queue managers have died: set aside unread
 *
 * The core tells its driver what it has in hand (core_out.working), and that outlives it: master
 * counts deaths by queue ID, and the next queue manager is told. One with which two have died is
 * not looked into any more: its records go as they are to corrupt/message-ID, it leaves the queue,
 * and `ostler corrupt` lists it and can take it in again.
 */
#include "qmgr/core_priv.h"

#include "base/check.h"

enum { POISON_DEATHS = 2 };

static struct core_death *
find(struct core *core, uint64_t queue_id)
{
	for (unsigned i = 0; i < core->options.death_count; i++)
		if (core->options.deaths[i].queue_id == queue_id &&
			core->options.deaths[i].count >= POISON_DEATHS)
			return &core->options.deaths[i];
	return NULL;
}

bool
poison_is(struct core *core, uint64_t queue_id)
{
	return core->options.death_count > 0 && find(core, queue_id) != NULL;
}

/* One that is set aside may still be named by others: that touches nothing of it. */
void
poison_working(struct core *core, uint64_t queue_id)
{
	core->options.out->working(
		core->options.ctx, poison_is(core, queue_id) ? 0 : queue_id);
}

void
poison_open(struct core *core)
{
	char id[QUEUE_ID_TEXT_SIZE];

	CHECK(core->options.death_count <= CORE_DEATHS_MAX);
	for (unsigned i = 0; i < core->options.death_count; i++)
		log_event(core->log, EV_qmgr_died_with,
			LOG_S(queue_id_format(core->options.deaths[i].queue_id, id)),
			LOG_U(core->options.deaths[i].count));
	if (core->options.planted & CORE_PLANT_READ_DEADLY)
		core->options.death_count = 0;
	core->has_poison = core->options.death_count > 0;
}

/* --- setting it aside ------------------------------------------------------------------------- */

/* Pinned, with its body. Nothing of it is understood: the records are made as they were. */
static void
put_aside(struct core *core, store_ref ref)
{
	struct buf records;

	buf_init(&records, 0);
	store_records(core->store, ref, &records);
	store_unpin(core->store, ref);
	store_set_aside(core->store, ref, buf_slice(&records),
		"the queue manager died twice with it in hand");
	buf_done(&records);
}

static void
body_loaded(void *ctx, store_ref ref, enum err err)
{
	if (err == ERR_OK)
		put_aside(ctx, ref);
}

static void
loaded(void *ctx, store_ref ref, enum err err)
{
	struct core *core = ctx;
	struct slice body;

	if (err != ERR_OK)
		return; /* it is on hold, and stays so in this life */
	if (store_body(core->store, ref, &body) == ERR_AGAIN)
		store_load_body(core->store, ref, body_loaded, core);
	else
		put_aside(core, ref);
}

/* Before anything else sees the index: it leaves the schedule as soon as it is in it. */
void
poison_step(struct core *core)
{
	if (!core->has_poison)
		return;
	for (unsigned i = 0; i < core->options.death_count; i++) {
		struct core_death *death = &core->options.deaths[i];
		store_ref ref = store_find(core->store, death->queue_id);
		struct store_info info;

		if (death->count < POISON_DEATHS || death->is_seen)
			continue;
		if (ref == 0)
			continue;
		death->is_seen = true;
		store_info(core->store, ref, &info);
		store_set_flags(core->store, ref, info.flags | RECORD_STATE_HELD);
		store_load(core->store, ref, loaded, core);
	}
	core->has_poison = !core->is_complete; /* what has not come until then never does */
}
