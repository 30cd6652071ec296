/*
 * journal_sim.c - the production journal on the simulated disk, with crashes, from a seed
 *
 * usage: journal_sim [--seed N] [--count M] [--plant NAME]
 *
 * A run appends messages (alone or as atomic pairs) and their ends, lets operations complete in any
 * order, and at random moments kills the process, cuts the power or makes a flush fail, during recovery
 * too. The oracle knows what was acknowledged. After each recovery: what was acknowledged and not ended
 * is there, byte for byte; what was durably ended is not; of a pair both are there or neither.
 * With --plant a deliberate bug is switched on, and the exit code is 0 only if a seed finds it.
 */
#include "base/check.h"
#include "base/mem.h"
#include "base/num.h"
#include "sim/disk_sim.h"
#include "store/journal.h"

#include <stdio.h>
#include <stdlib.h>

enum { SIM_MESSAGES_MAX = 4000, SIM_STEPS = 4000, SIM_SEGMENT = 32 * RECORD_BLOCK };

enum sim_fate { SIM_UNUSED, SIM_SENT, SIM_ACKED, SIM_REFUSED, SIM_GONE };

struct sim_message {
	struct sim *sim;
	uint32_t id;
	uint32_t twin; /* the other of an atomic pair, or its own id */
	enum sim_fate fate;
	bool done_sent;
	bool done_acked;
	bool done_maybe; /* an end was refused: a crash may show it all the same */
	bool alive; /* by replay, during recovery */
	bool held;
	uint64_t lsn;
};

struct sim {
	struct disk_sim disk;
	struct journal *journal;
	struct rng rng;
	uint64_t seed;
	unsigned planted;
	struct instant now;
	struct sim_message messages[SIM_MESSAGES_MAX];
	uint32_t count, first; /* messages used; none before `first` is alive */
	bool opened;
	bool broken;     /* recovery ended with an error that the run allows */
	const char *bug; /* the first violation */
	uint64_t epoch;
	uint64_t recoveries, acks;
};

static void
sim_fail(struct sim *sim, const char *bug)
{
	if (sim->bug == NULL)
		sim->bug = bug;
}

/* --- payloads --------------------------------------------------------------------------------- */

static size_t
sim_payload(uint64_t seed, uint32_t id, uint8_t *to)
{
	struct rng rng;
	size_t len;

	rng_init(&rng, seed * 7919 + id);
	len = 8 + rng_below(&rng, rng_one_in(&rng, 4) ? 9000 : 200);
	for (size_t i = 4; i < len; i++)
		to[i] = (uint8_t)(id + i);
	memcpy(to, &id, sizeof(id));
	return len;
}

/* --- callbacks of the journal ------------------------------------------------------------------ */

static struct sim_message *
sim_find(struct sim *sim, uint64_t lsn)
{
	for (uint32_t i = sim->first; i < sim->count; i++)
		if (sim->messages[i].alive && sim->messages[i].lsn == lsn)
			return &sim->messages[i];
	return NULL;
}

static void
sim_record(void *ctx, uint64_t lsn, const struct record *record)
{
	struct sim *sim = ctx;
	uint8_t expected[16384];
	uint32_t id;

	if (record->type == RECORD_DONE) {
		struct sim_message *message = sim_find(sim, record->message);

		if (message != NULL)
			message->alive = false;
		return;
	}
	if (record->type != RECORD_MESSAGE || record->payload.len < sizeof(id)) {
		sim_fail(sim, "replay gave a record that nobody wrote");
		return;
	}
	memcpy(&id, record->payload.ptr, sizeof(id));
	if (id >= sim->count) {
		sim_fail(sim, "replay gave a message that nobody wrote");
		return;
	}
	if (!slice_equal(record->payload, slice_make(expected, sim_payload(sim->seed, id, expected))))
		sim_fail(sim, "replay gave a message with other bytes");
	if (sim->messages[id].fate == SIM_GONE && id < sim->first)
		return;
	sim->messages[id].alive = true;
	sim->messages[id].lsn = lsn;
}

/* One message against what the oracle knows; the run goes on with what is. */
static bool
sim_was_ended(const struct sim_message *message)
{
	return message->done_sent || message->done_acked || message->done_maybe;
}

static void
sim_judge(struct sim *sim, struct sim_message *message)
{
	const struct sim_message *twin = &sim->messages[message->twin];
	bool acked = message->fate == SIM_ACKED;

	if (acked && !sim_was_ended(message) && !message->alive)
		sim_fail(sim, "an acknowledged message is lost");
	if (message->done_acked && message->alive)
		sim_fail(sim, "a message that had ended durably is back");
	if (!sim_was_ended(message) && !sim_was_ended(twin) && message->alive != twin->alive)
		sim_fail(sim, "of an atomic pair only one is there");
}

static void
sim_opened(void *ctx, enum err err, const struct fault *fault)
{
	struct sim *sim = ctx;

	(void)fault;
	if (err < 0) {
		sim->broken = true;
		return;
	}
	sim->recoveries++;
	for (uint32_t i = sim->first; i < sim->count; i++)
		sim_judge(sim, &sim->messages[i]);
	for (uint32_t i = sim->first; i < sim->count; i++) {
		struct sim_message *message = &sim->messages[i];

		message->fate = message->alive ? SIM_ACKED : SIM_GONE;
		message->done_sent = message->done_maybe = false;
		message->done_acked = !message->alive;
		message->held = message->alive;
		if (message->alive)
			journal_hold(sim->journal, message->lsn);
	}
	sim->opened = true;
}

static void
sim_notice(void *ctx, const char *text)
{
	struct sim *sim = ctx;

	if (strstr(text, "damage at") != NULL || strstr(text, "missing") != NULL)
		sim_fail(sim, "recovery reported damage where there was none");
}

static const struct journal_callbacks sim_callbacks = { sim_record, sim_opened, sim_notice };

static void
sim_message_done(void *ctx, enum journal_outcome outcome)
{
	struct sim_message *message = ctx;

	for (;;) {
		message->fate = outcome == JOURNAL_DURABLE ? SIM_ACKED : SIM_REFUSED;
		if (outcome == JOURNAL_DURABLE) {
			message->sim->acks++;
			message->held = true;
			journal_hold(message->sim->journal, message->lsn);
		}
		if (message->twin >= message->id)
			break;
		message = &message->sim->messages[message->twin];
	}
}

static void
sim_end_done(void *ctx, enum journal_outcome outcome)
{
	struct sim_message *message = ctx;

	if (outcome == JOURNAL_REFUSED) {
		message->done_sent = false;
		message->done_maybe = true;
		return;
	}
	message->done_acked = true;
	message->fate = SIM_GONE;
	journal_release(message->sim->journal, message->lsn);
	message->held = false;
}

/* --- what happens ----------------------------------------------------------------------------- */

static struct sim_message *
sim_new_message(struct sim *sim)
{
	struct sim_message *message = &sim->messages[sim->count];

	*message = (struct sim_message){ .sim = sim, .id = sim->count, .twin = sim->count,
		.fate = SIM_SENT };
	sim->count++;
	return message;
}

static void
sim_send(struct sim *sim)
{
	static uint8_t bytes[2][16384];
	struct sim_message *messages[2];
	struct record records[2] = { { .type = RECORD_MESSAGE }, { .type = RECORD_MESSAGE } };
	size_t count = rng_one_in(&sim->rng, 3) ? 2 : 1;
	uint64_t lsns[2];
	enum err err;

	if (sim->count + 2 > SIM_MESSAGES_MAX)
		return;
	for (size_t i = 0; i < count; i++) {
		messages[i] = sim_new_message(sim);
		records[i].payload = slice_make(
			bytes[i], sim_payload(sim->seed, messages[i]->id, bytes[i]));
	}
	messages[0]->twin = messages[count - 1]->id;
	messages[count - 1]->twin = messages[0]->id;
	err = journal_append(sim->journal, records, count, JOURNAL_NEW_MAIL,
		rng_one_in(&sim->rng, 4) ? JOURNAL_SOON : JOURNAL_NOW, sim_message_done,
		messages[count - 1], lsns);
	for (size_t i = 0; i < count; i++) {
		messages[i]->lsn = lsns[i];
		if (err < 0)
			messages[i]->fate = SIM_REFUSED;
	}
}

/* Ends one of the oldest living messages. */
static void
sim_end(struct sim *sim)
{
	for (uint32_t i = sim->first; i < sim->count; i++) {
		struct sim_message *message = &sim->messages[i];
		struct record record = { .type = RECORD_DONE, .message = message->lsn };

		if (message->fate != SIM_ACKED || message->done_sent || rng_one_in(&sim->rng, 4))
			continue;
		if (journal_append(sim->journal, &record, 1, JOURNAL_RESULT, JOURNAL_SOON,
			    sim_end_done, message, NULL) == ERR_OK)
			message->done_sent = true;
		return;
	}
}

static void
sim_start(struct sim *sim)
{
	struct journal_options options = {
		.disk = &sim->disk.disk,
		.segment_size = SIM_SEGMENT,
		.size_max = 16 * SIM_SEGMENT,
		.epoch = ++sim->epoch,
		.uuid = { 1, 2, 3, (uint8_t)sim->seed },
		.callbacks = &sim_callbacks,
		.ctx = sim,
		.planted = sim->planted,
	};

	sim->opened = sim->broken = false;
	for (uint32_t i = sim->first; i < sim->count; i++)
		sim->messages[i].alive = sim->messages[i].held = false;
	sim->journal = journal_new(&options);
	journal_open(sim->journal, sim->now);
}

/*
 * The process is gone. Its journal is not asked to clean up: what a dead process would have
 * completed never completes, so its memory is simply leaked, a few KiB per crash.
 */
static void
sim_crash(struct sim *sim)
{
	disk_sim_die(&sim->disk);
	if (rng_one_in(&sim->rng, 2))
		disk_sim_lose_power(&sim->disk);
	sim_start(sim);
}

static void
sim_act(struct sim *sim)
{
	uint64_t what = rng_below(&sim->rng, 100);

	if (sim->broken || rng_one_in(&sim->rng, 150)) {
		sim_crash(sim);
	} else if (what < 50) {
		(void)disk_sim_step(&sim->disk);
	} else if (!sim->opened) {
		(void)disk_sim_step(&sim->disk);
	} else if (what < 70) {
		sim_send(sim);
	} else if (what < 88) {
		sim_end(sim);
	} else {
		sim->now.mono.ns += rng_below(&sim->rng, 20 * NS_PER_MS);
		sim->now.wall.us += rng_below(&sim->rng, 20000);
	}
	journal_step(sim->journal, sim->now);
	while (sim->first < sim->count && sim->messages[sim->first].fate == SIM_GONE
		&& sim->messages[sim->first].done_acked)
		sim->first++;
}

/* Lets everything end; a message without an end, or a journal that is never idle, is a bug. */
static void
sim_settle(struct sim *sim)
{
	sim->disk.flush_fails_one_in = sim->disk.prepare_fails_one_in = 0;
	for (int i = 0; i < 20000 && sim->bug == NULL; i++) {
		if (sim->broken)
			sim_crash(sim);
		while (disk_sim_step(&sim->disk))
			;
		if (sim->opened)
			sim_end(sim);
		sim->now.mono.ns += 5 * NS_PER_MS;
		journal_step(sim->journal, sim->now);
	}
	for (uint32_t i = 0; i < sim->count; i++)
		if (sim->messages[i].fate == SIM_ACKED)
			sim_fail(sim, "a message cannot be ended: the journal is stuck");
}

static const char *
sim_run(uint64_t seed, unsigned planted)
{
	static struct sim sim;
	const char *bug;

	sim = (struct sim){ .seed = seed, .planted = planted };
	rng_init(&sim.rng, seed);
	disk_sim_init(&sim.disk, seed ^ 0x5eed);
	sim.now = (struct instant){ { NS_PER_S }, { UINT64_C(1700000000) * US_PER_S } };
	if (rng_one_in(&sim.rng, 2))
		sim.disk.flush_fails_one_in = 40;
	if (rng_one_in(&sim.rng, 4))
		sim.disk.prepare_fails_one_in = 4;
	sim_start(&sim);
	for (int step = 0; step < SIM_STEPS && sim.bug == NULL; step++)
		sim_act(&sim);
	if (sim.bug == NULL)
		sim_crash(&sim);
	sim_settle(&sim);
	bug = sim.bug;
	if (bug == NULL && (sim.recoveries == 0 || sim.acks == 0))
		bug = "the run did nothing";
	disk_sim_die(&sim.disk);
	disk_sim_done(&sim.disk);
	return bug;
}

static const struct {
	const char *name;
	unsigned bit;
} sim_plants[] = {
	{ "early-ack", JOURNAL_PLANT_EARLY_ACK },
	{ "ignore-error", JOURNAL_PLANT_IGNORE_ERROR },
	{ "free-live", JOURNAL_PLANT_FREE_LIVE },
	{ "no-cut", JOURNAL_PLANT_NO_CUT },
	{ "no-sync", JOURNAL_PLANT_NO_SYNC },
	{ "cached-read", JOURNAL_PLANT_CACHED_READ },
	{ "torn-batch", JOURNAL_PLANT_TORN_BATCH },
};

static unsigned
sim_plant_find(const char *name)
{
	for (size_t i = 0; i < sizeof(sim_plants) / sizeof(sim_plants[0]); i++)
		if (strcmp(sim_plants[i].name, name) == 0)
			return sim_plants[i].bit;
	(void)fprintf(stderr, "journal_sim: no such plant: %s; there are:", name);
	for (size_t i = 0; i < sizeof(sim_plants) / sizeof(sim_plants[0]); i++)
		(void)fprintf(stderr, " %s", sim_plants[i].name);
	(void)fprintf(stderr, "\n");
	exit(64);
}

static uint64_t
sim_number(const char *text)
{
	uint64_t value;

	if (num_parse_u64(slice_str(text), 0, UINT64_MAX, &value) < 0) {
		(void)fprintf(stderr, "journal_sim: not a number: %s\n", text);
		exit(64);
	}
	return value;
}

int
main(int argc, char **argv)
{
	uint64_t seed = 1, count = 1;
	const char *plant = NULL;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--seed") == 0)
			seed = sim_number(argv[i + 1]);
		else if (strcmp(argv[i], "--count") == 0)
			count = sim_number(argv[i + 1]);
		else if (strcmp(argv[i], "--plant") == 0)
			plant = argv[i + 1];
	}
	for (uint64_t i = 0; i < count; i++) {
		const char *bug = sim_run(seed + i, plant != NULL ? sim_plant_find(plant) : 0);

		if (bug == NULL)
			continue;
		printf("seed %llu: %s\n", (unsigned long long)(seed + i), bug);
		if (plant != NULL)
			return 0;
		printf("repeat with: %s --seed %llu\n", argv[0], (unsigned long long)(seed + i));
		return 1;
	}
	printf("%llu seeds, %s\n", (unsigned long long)count,
		plant != NULL ? "planted bug not found" : "nothing found");
	return plant != NULL;
}
