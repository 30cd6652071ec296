/*
 * copy.c - a queue that is a copy of another one: its old mail waits until an operator releases it
 *
 * Two instances with the same mail would deliver it twice. So the journal says where it lives
 * (NODE `origin`: machine and journal directory), and a queue that finds itself elsewhere, or is
 * marked as a copy, starts held: every message that was in it waits at the store's gate. New mail
 * has greater queue IDs and passes. NODE `copy` keeps that over restarts, until `release ALL`.
 *
 *   copy_open():  mark or other origin --> gate closed, `copy` and `origin` appended
 *   both durable: out->adopted, the driver removes the mark file
 *   release ALL:  `copy` appended; durable: gate open
 *
 * Queue IDs are leased by NODE `queue-id-floor`, which follows `copy` in the journal: no mail is
 * new before it is durable that the old mail is held. A mark is told by its number, so that one
 * that a power cut brings back holds nothing a second time.
 */
#include "base/num.h"
#include "base/wire.h"
#include "qmgr/control_priv.h"

#define ORIGIN_KEY SLICE_LIT("origin")
#define COPY_KEY SLICE_LIT("copy")

enum {
	IDENTITY_SIZE = 16,
	ORIGIN_SIZE = CORE_MACHINE_SIZE + 8 + IDENTITY_SIZE,
	COPY_SIZE = 8 + 8 + 8 + 1,
};

static const char *const reasons[] = {
	[COPY_NONE] = "",
	[COPY_MARKED] = "it is marked as a copy (a snapshot, or --restored)",
	[COPY_MACHINE] = "it was used on another machine",
	[COPY_DIRECTORY] = "its files are a copy (it was used in another directory)",
};

const char *
copy_reason(const struct core *core)
{
	return core->copy.below == 0 ? "" : reasons[core->copy.reason];
}

/* --- named values ----------------------------------------------------------------------------- */

static void
origin_encode(struct core *core, uint8_t value[ORIGIN_SIZE])
{
	const struct core_origin *origin = &core->options.origin;

	memcpy(value, origin->machine, CORE_MACHINE_SIZE);
	wire_store_u64(value + CORE_MACHINE_SIZE, origin->directory);
	for (size_t i = CORE_MACHINE_SIZE + 8; i < ORIGIN_SIZE; i++)
		value[i] = (uint8_t)rng_next(&core->rng);
}

static void
copy_encode(const struct copy *copy, uint8_t value[COPY_SIZE])
{
	wire_store_u64(value, copy->below);
	wire_store_u64(value + 8, copy->since_us);
	wire_store_u64(value + 16, copy->mark);
	value[24] = (uint8_t)copy->reason;
}

static void
copy_decode(struct slice value, struct copy *ret_copy)
{
	*ret_copy = (struct copy){ 0 };
	if (value.len < COPY_SIZE)
		return;
	ret_copy->below = wire_load_u64(value.ptr);
	ret_copy->since_us = wire_load_u64(value.ptr + 8);
	ret_copy->mark = wire_load_u64(value.ptr + 16);
	ret_copy->reason = value.ptr[24] >= COPY_MARKED && value.ptr[24] <= COPY_DIRECTORY
		? (enum copy_reason)value.ptr[24]
		: COPY_MARKED;
}

/* --- at the start ----------------------------------------------------------------------------- */

static bool
machine_is_known(const uint8_t *machine)
{
	static const uint8_t unknown[CORE_MACHINE_SIZE];

	return memcmp(machine, unknown, CORE_MACHINE_SIZE) != 0;
}

/* A machine without a name (a container, say) proves nothing; the directory does. */
static enum copy_reason
judge(const struct core *core, struct slice stored)
{
	const struct core_origin *origin = &core->options.origin;

	if (origin->mark != 0 && origin->mark != core->copy.mark)
		return COPY_MARKED;
	if (stored.len < ORIGIN_SIZE)
		return COPY_NONE;
	if (machine_is_known(stored.ptr) && machine_is_known(origin->machine)
		&& memcmp(stored.ptr, origin->machine, CORE_MACHINE_SIZE) != 0)
		return COPY_MACHINE;
	if (wire_load_u64(stored.ptr + CORE_MACHINE_SIZE) != origin->directory)
		return COPY_DIRECTORY;
	return COPY_NONE;
}

static void
adopted(void *ctx, enum journal_outcome outcome)
{
	struct core *core = ctx;

	if (outcome == JOURNAL_DURABLE)
		core->options.out->adopted(core->options.ctx);
}

/* All IDs from here on are greater than any that the old mail can have. */
static uint64_t
ids_above(struct core *core)
{
	core->floor_us = num_min_u64(intake_next_time_us(core), QUEUE_ID_TIME_US_MAX);
	return queue_id_make(core->floor_us, 0);
}

static void
adopt(struct core *core, enum copy_reason reason)
{
	struct journal *journal = store_journal(core->store);
	uint8_t copy[COPY_SIZE], origin[ORIGIN_SIZE];

	if (reason != COPY_NONE) {
		core->copy.below = ids_above(core);
		core->copy.since_us = core->now.wall.us;
		core->copy.reason = reason;
	}
	if (core->options.origin.mark != 0)
		core->copy.mark = core->options.origin.mark;
	copy_encode(&core->copy, copy);
	origin_encode(core, origin);
	if (journal_set_node(journal, COPY_KEY, slice_make(copy, sizeof(copy)), NULL, NULL) < 0
		|| journal_set_node(journal, ORIGIN_KEY, slice_make(origin, sizeof(origin)),
			adopted, core) < 0)
		log_event(core->log, EV_store_notice,
			LOG_Z("where this queue lives cannot be written now; the next start "
			      "does it"));
}

void
copy_open(struct core *core)
{
	struct journal *journal = store_journal(core->store);
	struct slice stored = journal_node(journal, ORIGIN_KEY);
	enum copy_reason reason;

	copy_decode(journal_node(journal, COPY_KEY), &core->copy);
	reason = judge(core, stored);
	if (reason != COPY_NONE || stored.len < ORIGIN_SIZE)
		adopt(core, reason);
	else if (core->options.origin.mark != 0)
		core->options.out->adopted(core->options.ctx); /* this mark has done its work */
	if (core->copy.below == 0)
		return;
	if ((core->options.planted & CORE_PLANT_FORGET_COPY) == 0)
		store_gate_close(core->store, core->copy.below);
	log_event(core->log, EV_qmgr_copy_held, LOG_Z(copy_reason(core)));
}

bool
copy_holds(const struct core *core, uint64_t queue_id)
{
	return store_gate_holds(core->store, queue_id);
}

/* --- release ALL ------------------------------------------------------------------------------ */

static void
released(void *ctx, enum journal_outcome outcome)
{
	struct job *job = ctx;
	struct core *core = job->core;

	control_message_done(job);
	core_mark(core);
	if (outcome != JOURNAL_DURABLE || core->copy.below == 0)
		return; /* the job tries again */
	core->copy.below = 0;
	store_gate_open(core->store);
	log_event0(core->log, EV_qmgr_copy_released);
}

void
copy_release(struct core *core, struct job *job)
{
	struct copy open = core->copy;
	uint8_t value[COPY_SIZE];

	open.below = 0;
	copy_encode(&open, value);
	if (journal_set_node(store_journal(core->store), COPY_KEY,
		    slice_make(value, sizeof(value)), released, job) == ERR_OK)
		control_message_owed(job);
}
