/*
 * store_sim.c - the production message store on the simulated disk, with crashes, from a seed
 *
 * A run accepts messages (small, large, or together with a result of another), loads, changes, ends
 * and forgets them, while operations complete in any order and the process is killed, the power cut or
 * a flush failed at random moments. Few messages live long, most do not, so segments must be cleaned.
 *
 * The oracle keeps the changes of each message in order, durable or not. After a crash each message is
 * loaded: it must be what its durable changes make it, and perhaps the first few of those that were
 * under way; what ended durably is gone; of an atomic pair both are there or neither.
 *
 * Before some starts a later release has written records of types that this one does not know: they must
 * stay with their message, whatever becomes of it, and hold it if they are critical.
 *
 * In some runs the disk lies or rots: then what it destroyed may be gone or back, but nothing is ever shown with
 * other bytes, and all ends well.
 *
 * At times the store is frozen and somebody copies its files, also while it is stopped: nothing that the
 * copy needs changes, and a store that starts on the copy has what there was. Options: seeds.h.
 */
#include "base/check.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/wire.h"
#include "sim/disk_sim.h"
#include "sim/seeds.h"
#include "sim/store_freeze.h"
#include "store/store.h"

#include <stdio.h>

enum {
	SIM_MESSAGES_MAX = 3000,
	SIM_STEPS = 3000,
	SIM_SEGMENT = 32 * RECORD_BLOCK,
	SIM_OPS_MAX = 24,
	SIM_LIVE_MAX = 40,
	SIM_LARGE = 20000,
	SIM_CACHE = 12000,
	SIM_UNKNOWNS = 2,
	SIM_UNKNOWN_TYPE = 900,
	SIM_SETTLED = 10, /* segments in force at the end: 3/2.4 of the smallest log and 2 */
};

enum sim_status { SIM_SENT, SIM_DURABLE, SIM_REFUSED };

struct sim_op {
	uint16_t type; /* enum record_type */
	uint32_t seq;
	enum sim_status status;
};

/* A record that a later release has written. */
struct sim_unknown {
	struct sim_message *message;
	uint32_t seq;
	enum sim_status status;
	uint16_t flags;
};

struct sim_message {
	struct sim *sim;
	uint32_t id;
	store_ref ref; /* 0: not in the store */
	bool is_pinned, is_loading, is_unverified, is_large, is_long;
	bool is_old; /* of the time before the last start; not looked for yet */
	bool is_gone; /* ended durably, or known not to exist */
	unsigned sent;
	uint32_t due_s;
	bool is_lost;       /* it could not be read: the store puts it aside, sooner or later */
	bool is_due_unsure; /* a state was refused */
	unsigned op_count;
	struct sim_op ops[SIM_OPS_MAX];
	struct store_large *large;
	struct sim_unknown unknowns[SIM_UNKNOWNS];
	unsigned unknown_count;
	bool is_held;
	uint32_t twin_id, twin_seq; /* the result that came in one transaction with it */
};

struct sim_txn {
	struct sim *sim;
	unsigned count;
	struct { uint32_t id, seq; } parts[3];
};

struct sim {
	struct disk_sim disk;
	struct store *store;
	struct rng rng, dice; /* dice: for what came later, so that seeds stay what they were */
	uint64_t seed;
	unsigned planted;
	struct instant now;
	struct sim_message messages[SIM_MESSAGES_MAX];
	uint32_t count, first;
	uint32_t seq;
	bool opened, complete, broken, rots;
	bool is_shared; /* others take and give room on the disk */
	bool damage_was_said; /* in this life or one before, since the lie */
	bool damage_in_life;
	/* Each lie was followed by flushes before the crash behind it: they show that something had
	 * been there. What is lost at the journal's very end, or rots while recovery runs, nothing shows. */
	bool is_provable;
	uint64_t lies_judged;
	const char *bug;
	/* The batch that was being written at the crash; its LSN if it was left in part, else 0. */
	struct buf torn;
	uint32_t torn_slot;
	uint64_t torn_offset, torn_lsn, tails;
	uint64_t epoch, recoveries, durables, verified;
	struct freeze freeze;
};

/* What some changes make of a message. */
struct sim_fold {
	bool exists;
	uint32_t state; /* 0: none */
	size_t count;
	uint32_t results[SIM_OPS_MAX];
};

/* --log: what the store tells the administrator is shown. */
static bool sim_says;

static void
sim_fail(struct sim *sim, const char *bug)
{
	if (sim->bug == NULL)
		sim->bug = bug;
}

/* What a disk that lies may cause. */
static void
sim_break(struct sim *sim, const char *bug)
{
	if (sim->disk.lies == 0)
		sim_fail(sim, bug);
}

/* What recovery may cause only if it says that something is damaged, where that can be known at all. */
static void
sim_break_aloud(struct sim *sim, const char *bug)
{
	if (sim->disk.lies == 0
		|| (!sim->damage_was_said && sim->disk.saved_count == 0 && sim->is_provable
			&& sim->disk.lies == sim->lies_judged))
		sim_fail(sim, bug);
}

/* --- bytes ------------------------------------------------------------------------------------- */

static size_t
sim_body(uint32_t id, bool is_large, uint8_t *to)
{
	struct rng rng;
	size_t len;

	rng_init(&rng, id * UINT64_C(7919) + 1);
	len = is_large ? SIM_LARGE : rng_below(&rng, rng_one_in(&rng, 4) ? 9000 : 300);
	for (size_t i = 0; i < len; i++)
		to[i] = (uint8_t)(id + i * 3);
	return len;
}

/* Bytes at the end that payloads of other messages have, too. */
static size_t
sim_tail_len(uint32_t seq)
{
	return seq % 4 * 33;
}

static void
sim_payload(struct buf *buf, uint32_t id, uint32_t seq)
{
	buf_clear(buf);
	wire_put_u32(buf, id);
	wire_put_u32(buf, seq);
	for (uint32_t i = 0; i < seq % 700; i++)
		wire_put_u8(buf, (uint8_t)(seq + i));
	for (size_t i = 0; i < sim_tail_len(seq); i++)
		wire_put_u8(buf, (uint8_t)(seq % 4));
}

/* The number in a payload; 0: it is not one of this message. */
static uint32_t
sim_payload_seq(struct slice bytes, uint32_t id)
{
	struct wire_reader reader = wire_reader(bytes);
	uint32_t of = wire_get_u32(&reader), seq = wire_get_u32(&reader);
	struct buf expected;
	bool is_good;

	buf_init(&expected, 0);
	sim_payload(&expected, id, seq);
	is_good = of == id && slice_equal(buf_slice(&expected), bytes);
	buf_done(&expected);
	return is_good ? seq : 0;
}

static void
sim_unknown_payload(struct buf *buf, const struct sim_unknown *unknown)
{
	struct buf rest;

	buf_init(&rest, 0);
	sim_payload(&rest, unknown->message->id, unknown->seq);
	wire_put_u64(buf, unknown->message->id + 1);
	buf_add(buf, buf_slice(&rest));
	buf_done(&rest);
}

/* --- the oracle -------------------------------------------------------------------------------- */

static void
sim_fold_op(struct sim_fold *fold, const struct sim_op *op)
{
	if (op->type == RECORD_MESSAGE) {
		fold->exists = true;
	} else if (op->type == RECORD_DONE) {
		fold->exists = false;
	} else if (op->type == RECORD_STATE) {
		fold->state = op->seq;
		fold->count = 0;
	} else {
		fold->results[fold->count++] = op->seq;
	}
}

static bool
sim_fold_equal(const struct sim_fold *a, const struct sim_fold *b)
{
	if (!a->exists || !b->exists)
		return a->exists == b->exists;
	return a->state == b->state && a->count == b->count
		&& memcmp(a->results, b->results, a->count * sizeof(a->results[0])) == 0;
}

/* The durable changes, then none or more of the others in order. */
static bool
sim_is_possible(const struct sim_message *message, const struct sim_fold *found)
{
	struct sim_fold fold = { .exists = false };
	bool possible = false;

	for (unsigned i = 0; i < message->op_count; i++) {
		if (message->ops[i].status != SIM_DURABLE)
			possible |= sim_fold_equal(&fold, found);
		sim_fold_op(&fold, &message->ops[i]);
	}
	return possible || sim_fold_equal(&fold, found);
}

static void
sim_found(struct sim *sim, struct sim_message *message, struct sim_fold *ret_fold)
{
	struct store_view view;

	*ret_fold = (struct sim_fold){ .exists = true };
	store_view(sim->store, message->ref, &view);
	if (view.queue_id != message->id + 1 || !slice_equal_str(view.envelope, "envelope")
		|| !slice_equal_str(view.recipients, "recipients")
		|| !slice_equal_str(view.head, "head") || (view.large != 0) != message->is_large)
		sim_fail(sim, "a message was read with other bytes");
	if (view.state.len > 0)
		ret_fold->state = sim_payload_seq(view.state, message->id);
	if (view.state.len > 0 && ret_fold->state == 0)
		sim_fail(sim, "a state was read with other bytes");
	for (size_t i = 0; i < view.result_count && i < SIM_OPS_MAX; i++) {
		ret_fold->results[ret_fold->count] = sim_payload_seq(view.results[i], message->id);
		if (ret_fold->results[ret_fold->count++] == 0)
			sim_fail(sim, "a result was read with other bytes");
	}
}

static bool
sim_is_unknown(const struct sim_unknown *unknown, const struct record *record)
{
	struct buf expected;
	bool is_same;

	buf_init(&expected, 0);
	sim_unknown_payload(&expected, unknown);
	is_same = record->type == SIM_UNKNOWN_TYPE && record->flags == unknown->flags
		&& slice_equal(record->payload, buf_slice(&expected));
	buf_done(&expected);
	return is_same;
}

/* What a later release has written is there in its order; the run goes on with what is. */
static void
sim_check_unknowns(struct sim *sim, struct sim_message *message)
{
	struct store_view view;
	unsigned kept = 0, seen = 0;

	store_view(sim->store, message->ref, &view);
	for (unsigned i = 0; i < message->unknown_count; i++) {
		const struct sim_unknown *unknown = &message->unknowns[i];

		if (seen < view.unknown_count && sim_is_unknown(unknown, &view.unknowns[seen])) {
			message->unknowns[kept] = *unknown;
			message->unknowns[kept++].status = SIM_DURABLE;
			seen++;
		} else if (unknown->status == SIM_DURABLE) {
			sim_break(sim, "a record of a later release is lost");
		}
	}
	if (seen < view.unknown_count)
		sim_break(sim, "a record of a later release has other bytes");
	message->unknown_count = kept;
}

static void
sim_check_body(struct sim *sim, struct sim_message *message)
{
	static uint8_t expected[SIM_LARGE];
	struct slice body;
	size_t len;

	if (store_body(sim->store, message->ref, &body) != ERR_OK)
		return;
	len = message->is_large ? 0 : sim_body(message->id, false, expected);
	if (!slice_equal(body, slice_make(expected, len)))
		sim_fail(sim, "a body was read with other bytes");
}

/* The run goes on with what is. */
static void
sim_accept(struct sim_message *message, const struct sim_fold *found)
{
	message->op_count = 0;
	message->ops[message->op_count++] = (struct sim_op){ RECORD_MESSAGE, 0, SIM_DURABLE };
	if (found->state != 0)
		message->ops[message->op_count++] =
			(struct sim_op){ RECORD_STATE, found->state, SIM_DURABLE };
	for (size_t i = 0; i < found->count; i++)
		message->ops[message->op_count++] =
			(struct sim_op){ RECORD_RESULT, found->results[i], SIM_DURABLE };
}

/* A pinned message shows all that was committed and not refused. */
static void
sim_check_view(struct sim *sim, struct sim_message *message)
{
	struct sim_fold found, fold = { .exists = false };

	sim_found(sim, message, &found);
	for (unsigned i = 0; i < message->op_count; i++)
		if (message->ops[i].status != SIM_REFUSED && message->ops[i].type != RECORD_DONE)
			sim_fold_op(&fold, &message->ops[i]);
	/* A state that has rotted is told, and what was known before it counts. */
	if (!sim_fold_equal(&fold, &found)) {
		if (sim->disk.lies == 0 || !sim->damage_was_said)
			sim_fail(sim, "a view is not what was committed");
		else if (message->sent == 0)
			sim_accept(message, &found);
		return;
	}
	sim_check_unknowns(sim, message);
	sim_check_body(sim, message);
}

static bool
sim_has_op(const struct sim_message *message, uint32_t seq)
{
	for (unsigned i = 0; i < message->op_count; i++)
		if (message->ops[i].seq == seq)
			return true;
	return false;
}

/* Its end was committed and not refused. */
static bool
sim_is_ending(const struct sim_message *message)
{
	const struct sim_op *last = &message->ops[message->op_count - 1];

	return message->op_count > 0 && last->type == RECORD_DONE && last->status != SIM_REFUSED;
}

/* Whether a result that belonged to a transaction could still be seen. */
static bool
sim_twin_is_missing(struct sim *sim, const struct sim_message *message)
{
	const struct sim_message *twin = &sim->messages[message->twin_id];

	if (message->twin_seq == 0 || twin->is_gone || twin->ref == 0 || twin->is_unverified)
		return false;
	for (unsigned i = 0; i < twin->op_count; i++)
		if (twin->ops[i].type == RECORD_STATE && twin->ops[i].seq > message->twin_seq)
			return false;
	return !sim_has_op(twin, message->twin_seq);
}

/* --- after a crash ----------------------------------------------------------------------------- */

static void
sim_large_checked(void *ctx, enum err err, struct slice bytes)
{
	static uint8_t expected[SIM_LARGE];
	struct sim_message *message = ctx;
	size_t len = sim_body(message->id, true, expected);

	if (message->is_gone)
		return;
	if (err != ERR_OK || !slice_equal(bytes, slice_make(expected, len)))
		sim_break(message->sim, "a large content is lost or has other bytes");
}

static void
sim_verify(struct sim *sim, struct sim_message *message)
{
	struct sim_fold found;

	sim_found(sim, message, &found);
	if (!sim_is_possible(message, &found) && sim_says) {
		printf("message %u: state %u, %zu results; known:", message->id, found.state,
			found.count);
		for (unsigned i = 0; i < message->op_count; i++)
			printf(" %u:%u/%d", message->ops[i].type, message->ops[i].seq,
				(int)message->ops[i].status);
		printf("\n");
	}
	if (!sim_is_possible(message, &found))
		sim_break(sim, "a message is not what its durable changes made it");
	sim_accept(message, &found);
	sim_check_unknowns(sim, message);
	sim_check_body(sim, message);
	if (message->is_large)
		store_large_read(sim->store, message->ref, SIM_LARGE, sim_large_checked, message);
	message->is_unverified = false;
	sim->verified++;
}

static void
sim_loaded(void *ctx, store_ref ref, enum err err)
{
	struct sim_message *message = ctx;
	struct sim *sim = message->sim;

	message->is_loading = false;
	if (err == ERR_NOTFOUND && sim_is_ending(message))
		return;
	if (err == ERR_IO && sim->disk.read_fails_one_in > 0)
		return;
	if (err != ERR_OK || ref != message->ref) {
		sim_break(sim, "a message cannot be read");
		message->is_gone = message->is_lost = true;
		message->ref = 0;
		return;
	}
	message->is_pinned = true;
	if (message->is_unverified)
		sim_verify(sim, message);
	else
		sim_check_view(sim, message);
	if (rng_one_in(&sim->rng, 3)) {
		message->is_pinned = false;
		store_unpin(sim->store, ref);
	}
}

static void
sim_load(struct sim *sim, struct sim_message *message)
{
	message->is_loading = true;
	store_load(sim->store, message->ref, sim_loaded, message);
}

/* On hold if a record says that it must be known, and only then. */
static void
sim_check_hold(struct sim *sim, struct sim_message *message, const struct store_info *info)
{
	bool must = false, may = false;

	for (unsigned i = 0; i < message->unknown_count; i++) {
		const struct sim_unknown *unknown = &message->unknowns[i];

		may |= (unknown->flags & RECORD_CRITICAL) != 0;
		must |= (unknown->flags & RECORD_CRITICAL) != 0 && unknown->status == SIM_DURABLE;
	}
	message->is_held = (info->flags & RECORD_STATE_HELD) != 0;
	if ((must && !message->is_held) || (!may && message->is_held))
		sim_break(sim, "a critical record of a later release does not hold its message");
}

static void
sim_meet(struct sim *sim, struct sim_message *message)
{
	struct sim_fold none = { .exists = false };
	struct store_info info;

	message->ref = store_find(sim->store, message->id + 1);
	if (message->ref == 0) {
		if (!message->is_gone && !sim_is_possible(message, &none))
			sim_break_aloud(sim, "a durable message is lost");
		message->is_gone = true;
		return;
	}
	if (message->is_gone && !message->is_lost)
		sim_break_aloud(sim, "a message that had ended durably is back");
	message->is_gone = false;
	store_info(sim->store, message->ref, &info);
	if (info.queue_id != message->id + 1 || !info.is_durable || info.is_pinned)
		sim_fail(sim, "recovery gave wrong information about a message");
	sim_check_hold(sim, message, &info);
	message->due_s = (uint32_t)(info.due_us / US_PER_S);
	message->is_unverified = true;
	message->is_due_unsure = false;
}

/* The batch that the process could not finish; recovery must keep what is there of it. */
static void
sim_note_write(struct sim *sim)
{
	const struct disk_op *op = disk_sim_writing(&sim->disk);
	struct batch_header batch;

	buf_clear(&sim->torn);
	sim->torn_lsn = 0;
	if (op == NULL || !batch_peek(op->bytes, &batch) || (batch.flags & BATCH_LAST) != 0)
		return;
	buf_add(&sim->torn, op->bytes);
	sim->torn_slot = op->slot;
	sim->torn_offset = op->offset;
}

static void
sim_note_torn(struct sim *sim)
{
	struct batch_header batch;

	sim->torn_lsn = 0;
	if (sim->torn.len > DISK_SIM_BLOCK
		&& disk_sim_is_torn(
			&sim->disk, sim->torn_slot, sim->torn_offset, buf_slice(&sim->torn))
		&& batch_peek(buf_slice(&sim->torn), &batch))
		sim->torn_lsn = batch.lsn;
}

static void
sim_check_tail(struct sim *sim)
{
	char name[DISK_NAME_SIZE];

	(void)snprintf(name, sizeof(name), "tail-%016llx", (unsigned long long)sim->torn_lsn);
	if (sim->torn_lsn != 0
		&& (strcmp(name, sim->disk.tail_name) != 0
			|| memcmp(sim->disk.tail_block, sim->torn.ptr, DISK_SIM_BLOCK) != 0))
		sim_break(sim, "a torn batch was cut off silently");
	sim->tails += sim->torn_lsn != 0;
	sim->torn_lsn = 0;
	buf_clear(&sim->torn);
}

static void
sim_opened(void *ctx, enum err err, const struct fault *fault)
{
	struct sim *sim = ctx;

	(void)fault;
	sim->broken = err < 0;
	sim->opened = err == ERR_OK;
	if (sim->opened)
		sim_check_tail(sim);
}

static void
sim_complete(void *ctx)
{
	struct sim *sim = ctx;
	uint64_t found = 0;

	sim->recoveries++;
	sim->complete = true;
	for (uint32_t i = sim->first; i < sim->count; i++) {
		if (sim->messages[i].is_old)
			sim_meet(sim, &sim->messages[i]);
		sim->messages[i].is_old = false;
		found += sim->messages[i].ref != 0;
	}
	if (found != store_count(sim->store))
		sim_break(sim, "recovery found a message that nobody wrote");
}

static void
sim_notice(void *ctx, const char *text)
{
	struct sim *sim = ctx;

	if (sim_says)
		printf("%s\n", text);
	if (strstr(text, "removing") != NULL && sim->damage_in_life)
		sim_fail(sim, "content was removed although the journal is damaged");
	if (strncmp(text, "journal: damage", 15) == 0 || strstr(text, "are missing") != NULL)
		sim->damage_in_life = true;
	if (strstr(text, "damage") != NULL || strstr(text, "missing") != NULL
		|| strstr(text, "cannot be read") != NULL) {
		sim->damage_was_said = true;
		sim_break(sim, "damage was reported where there was none");
	}
}

static const struct store_callbacks sim_callbacks = { sim_opened, sim_complete, sim_notice, NULL };

/* --- transactions ------------------------------------------------------------------------------ */

static struct sim_op *
sim_op_find(struct sim_message *message, uint32_t seq)
{
	for (unsigned i = 0; i < message->op_count; i++)
		if (message->ops[i].seq == seq)
			return &message->ops[i];
	return NULL;
}

static void
sim_op_drop(struct sim_message *message, unsigned at)
{
	message->op_count--;
	memmove(&message->ops[at], &message->ops[at + 1],
		(message->op_count - at) * sizeof(message->ops[0]));
}

/* A durable state makes what was before it worthless. */
static void
sim_compress(struct sim_message *message, const struct sim_op *state)
{
	uint32_t seq = state->seq;

	while (message->op_count > 1 && message->ops[1].seq != seq)
		sim_op_drop(message, 1);
}

static void
sim_op_settled(struct sim *sim, struct sim_message *message, uint32_t seq,
	enum journal_outcome outcome)
{
	struct sim_op *op = sim_op_find(message, seq);

	CHECK(op != NULL);
	message->sent--;
	op->status = outcome == JOURNAL_DURABLE ? SIM_DURABLE : SIM_REFUSED;
	if (outcome == JOURNAL_REFUSED) {
		message->is_due_unsure |= op->type == RECORD_STATE;
		if (op->type == RECORD_MESSAGE)
			message->ref = 0;
		return;
	}
	sim->durables++;
	if (op->type == RECORD_STATE) {
		message->is_due_unsure = message->sent > 0;
		message->is_held = false;
		sim_compress(message, op);
	} else if (op->type == RECORD_DONE) {
		message->is_gone = true;
		message->is_pinned = false;
		message->ref = 0;
		if (store_find(sim->store, message->id + 1) != 0)
			sim_fail(sim, "a message is in the index behind its end");
	}
}

static void
sim_settled(void *ctx, enum journal_outcome outcome)
{
	struct sim_txn *txn = ctx;

	for (unsigned i = 0; i < txn->count; i++)
		sim_op_settled(txn->sim, &txn->sim->messages[txn->parts[i].id], txn->parts[i].seq,
			outcome);
	mem_free(txn);
}

static uint32_t
sim_plan(struct sim *sim, struct sim_txn *plan, struct sim_message *message)
{
	uint32_t seq = ++sim->seq;

	plan->sim = sim;
	plan->parts[plan->count].id = message->id;
	plan->parts[plan->count++].seq = seq;
	return seq;
}

/* Commits; the oracle learns of it only if it was taken. Refused changes before it are cut off. */
static bool
sim_commit(struct sim *sim, struct store_txn *txn, const struct sim_txn *plan,
	const uint16_t *types)
{
	struct sim_txn *copy = MEM_NEW(struct sim_txn);

	*copy = *plan;
	if (store_txn_commit(txn, sim_settled, copy) != ERR_OK) {
		mem_free(copy);
		return false;
	}
	for (unsigned i = 0; i < plan->count; i++) {
		struct sim_message *message = &sim->messages[plan->parts[i].id];

		for (unsigned at = message->op_count; at > 0; at--)
			if (message->ops[at - 1].status == SIM_REFUSED)
				sim_op_drop(message, at - 1);
		CHECK(message->op_count < SIM_OPS_MAX);
		message->ops[message->op_count++] =
			(struct sim_op){ types[i], plan->parts[i].seq, SIM_SENT };
		message->sent++;
	}
	return true;
}

static struct sim_message *
sim_new_message(struct sim *sim)
{
	struct sim_message *message = &sim->messages[sim->count];

	*message = (struct sim_message){ .sim = sim, .id = sim->count,
		.is_long = rng_one_in(&sim->rng, 25) };
	sim->count++;
	return message;
}

static struct sim_message *
sim_pick(struct sim *sim)
{
	uint32_t range = sim->count - sim->first;

	for (int i = 0; i < 20 && range > 0; i++) {
		struct sim_message *message =
			&sim->messages[sim->first + rng_below(&sim->rng, range)];

		if (message->ref == 0 || message->is_gone || message->is_loading)
			continue;
		if (store_find(sim->store, message->id + 1) == message->ref)
			return message;
		sim_break(sim, "a message has ended by itself");
		message->is_gone = message->is_lost = true;
		message->ref = 0;
	}
	return NULL;
}

static bool
sim_may_change(const struct sim_message *message)
{
	return message != NULL && message->op_count + 2 < SIM_OPS_MAX && !message->is_unverified
		&& message->op_count > 0 && !sim_is_ending(message);
}

/* A new message, at times with a result of another in one transaction, as a bounce is written. */
static void
sim_submit(struct sim *sim, struct sim_message *message)
{
	static uint8_t body[SIM_LARGE];
	struct store_message put = { .queue_id = message->id + 1,
		.arrival_us = sim->now.wall.us,
		.envelope = SLICE_LIT("envelope"),
		.recipients = SLICE_LIT("recipients"),
		.head = SLICE_LIT("head"),
		.large = message->large };
	struct sim_message *twin = rng_one_in(&sim->rng, 4) ? sim_pick(sim) : NULL;
	struct sim_txn plan = { .count = 0 };
	uint16_t types[2] = { RECORD_MESSAGE, RECORD_RESULT };
	struct store_txn txn;
	struct buf payload;
	uint32_t seq;

	store_txn_begin(&txn, sim->store, JOURNAL_NEW_MAIL,
		rng_one_in(&sim->rng, 4) ? JOURNAL_SOON : JOURNAL_NOW);
	put.content_length = sim_body(message->id, message->is_large, body);
	if (!message->is_large)
		put.body = slice_make(body, put.content_length);
	message->ref = store_txn_message(&txn, &put);
	(void)sim_plan(sim, &plan, message);
	buf_init(&payload, 0);
	if (sim_may_change(twin)) {
		seq = sim_plan(sim, &plan, twin);
		sim_payload(&payload, twin->id, seq);
		store_txn_result(&txn, twin->ref, buf_slice(&payload));
		message->twin_id = twin->id;
		message->twin_seq = seq;
	}
	buf_done(&payload);
	message->is_pinned = sim_commit(sim, &txn, &plan, types);
	if (message->is_pinned) {
		message->large = NULL;
		return;
	}
	message->ref = 0;
	message->is_gone = true;
	if (message->large != NULL)
		store_large_abort(message->large);
	message->large = NULL;
}

static void
sim_large_done(void *ctx, enum err err)
{
	struct sim_message *message = ctx;

	if (err == ERR_OK) {
		sim_submit(message->sim, message);
		return;
	}
	store_large_abort(message->large);
	message->large = NULL;
	message->is_gone = true;
}

static void
sim_send(struct sim *sim)
{
	static uint8_t body[SIM_LARGE];
	struct sim_message *message;
	size_t len;

	if (sim->count == SIM_MESSAGES_MAX || sim->count - sim->first > 400
		|| store_count(sim->store) >= SIM_LIVE_MAX)
		return;
	message = sim_new_message(sim);
	message->is_large = rng_one_in(&sim->rng, 8);
	if (!message->is_large) {
		sim_submit(sim, message);
		return;
	}
	len = sim_body(message->id, true, body);
	message->large = store_large_begin(sim->store, message->id + 1);
	for (size_t at = 0; at < len; at += 7000)
		store_large_append(message->large,
			slice_head(slice_from(slice_make(body, len), at), 7000));
	if (rng_one_in(&sim->rng, 5)) {
		store_large_abort(message->large);
		message->large = NULL;
		message->is_gone = true;
	} else {
		store_large_finish(message->large, sim_large_done, message);
	}
}

static void
sim_change(struct sim *sim, struct sim_message *message, uint16_t type)
{
	struct sim_txn plan = { .count = 0 };
	struct store_txn txn;
	struct buf payload;
	uint32_t seq = sim_plan(sim, &plan, message), due_s = message->due_s;

	buf_init(&payload, 0);
	sim_payload(&payload, message->id, seq);
	store_txn_begin(&txn, sim->store, JOURNAL_RESULT,
		type == RECORD_STATE && rng_one_in(&sim->rng, 2) ? JOURNAL_LATER : JOURNAL_SOON);
	if (type == RECORD_STATE) {
		message->due_s = (uint32_t)(wall_s(sim->now.wall) + rng_below(&sim->rng, 3));
		store_txn_brief(&txn, message->ref, message->due_s * US_PER_S, 0,
			buf_slice(&payload), sim_tail_len(seq));
	} else if (type == RECORD_RESULT) {
		store_txn_result(&txn, message->ref, buf_slice(&payload));
	} else {
		store_txn_done(&txn, message->ref);
	}
	if (!sim_commit(sim, &txn, &plan, &type))
		message->due_s = due_s;
	buf_done(&payload);
}

/* --- what happens ------------------------------------------------------------------------------ */

static void
sim_body_loaded(void *ctx, store_ref ref, enum err err)
{
	struct sim_message *message = ctx;

	if (err == ERR_NOTFOUND && sim_is_ending(message))
		return;
	if (err == ERR_IO && message->sim->disk.read_fails_one_in > 0)
		return;
	if (err != ERR_OK || ref != message->ref)
		sim_break(message->sim, "a body cannot be read");
	else if (message->is_pinned)
		sim_check_body(message->sim, message);
}

static void
sim_touch(struct sim *sim)
{
	struct sim_message *message = sim_pick(sim);
	uint64_t what = rng_below(&sim->rng, 100);

	if (message == NULL)
		return;
	if (message->is_unverified) {
		sim_load(sim, message);
	} else if (what < 15 && message->is_pinned && message->sent == 0) {
		message->is_pinned = false;
		store_unpin(sim->store, message->ref);
	} else if (what < 30) {
		if (message->is_pinned)
			store_load_body(sim->store, message->ref, sim_body_loaded, message);
		else
			sim_load(sim, message);
	} else if (what < 40) {
		if (message->is_pinned)
			sim_check_view(sim, message);
	} else if (!sim_may_change(message)) {
		return;
	} else if (what < 60) {
		sim_change(sim, message, RECORD_STATE);
	} else if (what < 75) {
		sim_change(sim, message, RECORD_RESULT);
	} else if (!message->is_long) {
		sim_change(sim, message, RECORD_DONE);
	}
}

/* A message that is due and idle is in the schedule. */
static void
sim_check_schedule(struct sim *sim)
{
	store_ref ref = store_due_first(sim->store, sim->now.wall);
	struct store_info info;

	if (ref != 0) {
		store_info(sim->store, ref, &info);
		if (info.is_pinned || info.due_us > sim->now.wall.us
			|| (info.flags & RECORD_STATE_HELD) != 0)
			sim_fail(sim, "the schedule holds a message that is not due or not idle");
		return;
	}
	for (uint32_t i = sim->first; i < sim->count && sim->complete && sim->disk.lies == 0; i++) {
		const struct sim_message *message = &sim->messages[i];

		if (message->ref != 0 && !message->is_pinned && !message->is_loading
			&& !message->is_held && message->sent == 0 && !message->is_due_unsure && message->due_s < wall_s(sim->now.wall)
			&& message->op_count > 0
			&& message->ops[message->op_count - 1].status == SIM_DURABLE)
			sim_fail(sim, "an idle message that is due is not in the schedule");
	}
}

static bool
sim_zeroes(const struct sim *sim)
{
	return sim->seed / 7 % 3 == 0;
}

/* Segments are appended, as on a file system that copies on write. */
static bool
sim_appends(const struct sim *sim)
{
	return sim->seed / 11 % 3 == 0;
}

/* Such a disk may have an end, which in some runs others move. */
static void
sim_capacity(struct sim *sim)
{
	if (sim_appends(sim) && sim->seed / 33 % 2 == 0)
		sim->disk.capacity = (6 + sim->seed / 66 % 4) * SIM_SEGMENT;
	sim->is_shared = sim->disk.capacity > 0 && sim->seed / 66 % 2 == 0;
}

static void
sim_share(struct sim *sim)
{
	if (sim->is_shared && rng_one_in(&sim->dice, 300))
		sim->disk.foreign = rng_one_in(&sim->dice, 2)
			? 0 : rng_below(&sim->dice, sim->disk.capacity + 1);
}

static struct store_options
sim_options(struct sim *sim)
{
	return (struct store_options){
		.disk = &sim->disk.disk,
		.segment_size = SIM_SEGMENT,
		.size_max = 16 * SIM_SEGMENT,
		.size_min = 6 * SIM_SEGMENT,
		.cache_max = SIM_CACHE,
		.scrub_interval_s = sim->seed / 3 % 2 * 2,
		.zeroes_freed = sim_zeroes(sim),
		.appends = sim_appends(sim),
		.epoch = sim->epoch,
		.uuid = { 1, 2, 3 },
		.callbacks = &sim_callbacks,
		.ctx = sim,
		.planted = sim->planted,
	};
}

static void
sim_start(struct sim *sim)
{
	struct store_options options;

	if (sim->disk.lies > sim->lies_judged && sim->disk.flushes_since_lie < 3)
		sim->is_provable = false;
	sim->lies_judged = sim->disk.lies;
	sim->opened = sim->complete = sim->broken = sim->damage_in_life = false;
	for (uint32_t i = sim->first; i < sim->count; i++) {
		struct sim_message *message = &sim->messages[i];

		message->is_pinned = message->is_loading = message->is_unverified = false;
		message->is_old = true;
		message->ref = 0;
		message->sent = 0;
		message->large = NULL;
	}
	sim->epoch++;
	options = sim_options(sim);
	sim->store = store_new(&options);
	store_open(sim->store, sim->now);
}

/* --- snapshots --------------------------------------------------------------------------------- */

/* A disk that lies has nothing that a copy can be measured by. */
static void
sim_freeze_check(struct sim *sim, bool restore)
{
	const char *bug = NULL;
	struct store_options options = sim_options(sim);

	if (!sim->freeze.is_on || sim->disk.lies > 0)
		return;
	bug = freeze_check(&sim->freeze, &sim->disk);
	if (bug == NULL && restore)
		bug = freeze_restore(&sim->freeze, &sim->disk, &options, sim->now);
	if (bug != NULL)
		sim_fail(sim, bug);
}

/* Begins a snapshot, looks at one, or starts on the copy and ends it. */
static void
sim_freeze_step(struct sim *sim)
{
	if (sim->freeze.is_waiting)
		return;
	if (!sim->freeze.is_on) {
		if (sim->complete && sim->disk.lies == 0 && rng_one_in(&sim->dice, 12))
			freeze_begin(&sim->freeze, sim->store, &sim->disk,
				(sim->planted & JOURNAL_PLANT_BARE_FREEZE) != 0);
		return;
	}
	if (!rng_one_in(&sim->dice, 10)) {
		sim_freeze_check(sim, false);
		return;
	}
	sim_freeze_check(sim, true);
	store_thaw(sim->store);
	freeze_end(&sim->freeze);
}

/* Stopped by its administrator: what was committed is durable, and a checkpoint has it all. */
static void
sim_stop(struct sim *sim)
{
	struct store_stats stats;
	int turns = 0;

	store_stop(sim->store, NS_PER_S, sim->now);
	while (!store_is_idle(sim->store) && turns++ < 400) {
		(void)disk_sim_step(&sim->disk);
		sim->now.mono.ns += NS_PER_MS;
		store_step(sim->store, sim->now);
		freeze_note(&sim->freeze);
	}
	if (sim->disk.flush_fails_one_in > 0 || sim->disk.prepare_fails_one_in > 0
		|| sim->disk.capacity > 0 || !sim->complete || sim->disk.lies > 0)
		return;
	store_stats(sim->store, &stats);
	if (!store_is_idle(sim->store))
		sim_fail(sim, "a clean stop does not end");
	else if (stats.checkpoint_behind > 0)
		sim_fail(sim, "a clean stop left no checkpoint");
	for (uint32_t i = sim->first; i < sim->count; i++)
		if (sim->messages[i].sent > 0)
			sim_fail(sim, "a clean stop forgot a change");
}

static void
sim_unknown_settled(void *ctx, enum journal_outcome outcome)
{
	struct sim_unknown *unknown = ctx;

	unknown->status = outcome == JOURNAL_DURABLE ? SIM_DURABLE : SIM_REFUSED;
}

static void
sim_unknown_write(struct sim *sim, struct sim_message *message)
{
	struct sim_unknown *unknown = &message->unknowns[message->unknown_count];
	struct record record = { .type = SIM_UNKNOWN_TYPE, .flags = RECORD_OF_MESSAGE };
	struct buf payload;

	if (rng_one_in(&sim->dice, 3))
		record.flags |= RECORD_CRITICAL;
	*unknown = (struct sim_unknown){ message, ++sim->seq, SIM_SENT, record.flags };
	buf_init(&payload, 0);
	sim_unknown_payload(&payload, unknown);
	record.payload = buf_slice(&payload);
	if (journal_append(store_journal(sim->store), &record, 1, JOURNAL_RESULT, JOURNAL_NOW,
		    sim_unknown_settled, unknown, NULL)
		== ERR_OK)
		message->unknown_count++;
	buf_done(&payload);
}

static bool
sim_is_quiet(const struct sim *sim)
{
	struct store_stats stats;

	store_stats(sim->store, &stats);
	return store_is_idle(sim->store) && !stats.is_cleaning;
}

/*
 * A later release was at work and is going to be replaced by this one: the store, which could not
 * know of its records in this life, does nothing any more.
 */
static void
sim_downgrade(struct sim *sim)
{
	for (int turns = 0; !sim_is_quiet(sim) && turns < 200; turns++) {
		(void)disk_sim_step(&sim->disk);
		sim->now.mono.ns += NS_PER_MS;
		store_step(sim->store, sim->now);
	}
	if (!sim_is_quiet(sim))
		return;
	for (int i = 0; i < 6 && sim->first < sim->count; i++) {
		struct sim_message *message = &sim->messages[sim->first
			+ rng_below(&sim->dice, sim->count - sim->first)];

		if (message->ref != 0 && !message->is_gone && message->sent == 0
			&& message->op_count > 0 && message->ops[0].status == SIM_DURABLE
			&& !sim_is_ending(message) && message->unknown_count < SIM_UNKNOWNS
			&& store_find(sim->store, message->id + 1) == message->ref)
			sim_unknown_write(sim, message);
	}
	for (uint64_t turns = rng_below(&sim->dice, 60); turns > 0; turns--) {
		(void)disk_sim_step(&sim->disk);
		sim->now.mono.ns += NS_PER_MS;
		journal_step(store_journal(sim->store), sim->now);
	}
}

/* The process is gone; its memory is leaked, as nothing of it completes any more. */
static void
sim_crash(struct sim *sim)
{
	bool power = rng_one_in(&sim->rng, 2);

	if (sim->opened && rng_one_in(&sim->dice, 4))
		sim_stop(sim);
	sim_freeze_check(sim, true); /* behind a clean stop a checkpoint is there, too */
	if (sim->complete && !sim->broken && rng_one_in(&sim->dice, 3))
		sim_downgrade(sim);
	if (sim->opened)
		sim_note_write(sim);
	freeze_end(&sim->freeze);
	disk_sim_die(&sim->disk);
	if (power)
		disk_sim_lose_power(&sim->disk);
	sim_note_torn(sim);
	if (sim_says)
		printf("--- %s; %llu lies, %llu flushes since the last\n",
			power ? "power loss" : "killed", (unsigned long long)sim->disk.lies,
			(unsigned long long)sim->disk.flushes_since_lie);
	sim_start(sim);
}

static void
sim_check_twins(struct sim *sim)
{
	for (uint32_t i = sim->first; i < sim->count && sim->disk.lies == 0; i++) {
		const struct sim_message *message = &sim->messages[i];

		if (message->ref != 0 && message->op_count > 0
			&& message->ops[0].status == SIM_DURABLE
			&& sim_twin_is_missing(sim, message))
			sim_fail(sim, "of an atomic transaction only a part is there");
	}
}

static void
sim_act(struct sim *sim)
{
	uint64_t what = rng_below(&sim->rng, 100);

	/* A start takes two blocks, and many segments hardly fit on a disk with an end. */
	uint64_t crash_one_in = sim->disk.capacity > 0 ? 600 : 180;

	if (sim->broken || rng_one_in(&sim->rng, crash_one_in)) {
		sim_crash(sim);
	} else if (what < 45 || !sim->opened) {
		(void)disk_sim_step(&sim->disk);
	} else if (what < 60) {
		sim_send(sim);
	} else if (what < 90) {
		sim_touch(sim);
	} else {
		sim->now.mono.ns += rng_below(&sim->rng, 20 * NS_PER_MS);
		sim->now.wall.us += rng_below(&sim->rng, 400000);
		if (rng_one_in(&sim->rng, 400)) /* a clock that is set, back or forth */
			sim->now.wall.us += (rng_below(&sim->rng, 7200) - 3600) * US_PER_S;
		if (sim->rots && rng_one_in(&sim->rng, 60))
			(void)disk_sim_rot(&sim->disk);
		if (sim->opened)
			sim_check_schedule(sim);
		sim_check_twins(sim);
		sim_freeze_step(sim);
	}
	sim_share(sim);
	store_step(sim->store, sim->now);
	freeze_note(&sim->freeze);
	while (sim->first < sim->count && sim->messages[sim->first].is_gone
		&& !sim->messages[sim->first].is_old
		&& sim->messages[sim->first].large == NULL)
		sim->first++;
}

/* One turn in which all that waits completes and every message is brought to its end. */
static void
sim_settle_turn(struct sim *sim)
{
	if (sim->broken)
		sim_crash(sim);
	while (disk_sim_step(&sim->disk))
		;
	for (uint32_t i = sim->first; i < sim->count && sim->opened; i++) {
		struct sim_message *message = &sim->messages[i];

		if (message->ref == 0 || message->is_gone || message->is_loading)
			continue;
		if (store_find(sim->store, message->id + 1) != message->ref) {
			sim_break(sim, "a message has ended by itself");
			message->is_gone = message->is_lost = true;
			message->ref = 0;
			continue;
		}
		if (message->is_pinned && message->is_long && message->sent == 0) {
			message->is_pinned = false;
			store_unpin(sim->store, message->ref);
		}
		if (message->is_unverified)
			sim_load(sim, message);
		else if (sim_may_change(message) && !message->is_long && message->sent == 0)
			sim_change(sim, message, RECORD_DONE);
	}
	sim->now.mono.ns += 5 * NS_PER_MS;
	store_step(sim->store, sim->now);
}

/* The journal must become as small as what lives, and nothing may be left behind. */
static void
sim_settle(struct sim *sim)
{
	struct journal_space space;
	size_t larges = 0;

	sim->disk.flush_fails_one_in = sim->disk.prepare_fails_one_in = 0;
	sim->disk.read_fails_one_in = sim->disk.lies_one_in = 0;
	sim->disk.foreign = 0;
	sim->is_shared = false;
	for (int i = 0; i < 1500 && sim->bug == NULL; i++)
		sim_settle_turn(sim);
	for (uint32_t i = sim->first; i < sim->count; i++) {
		const struct sim_message *message = &sim->messages[i];

		larges += message->ref != 0 && message->is_large;
		if (message->ref != 0 && !message->is_long && !message->is_gone)
			sim_fail(sim, "a message cannot be ended: the journal is stuck");
	}
	sim_check_twins(sim);
	journal_space(store_journal(sim->store), &space);
	if (space.used_bytes > SIM_SETTLED * SIM_SEGMENT && sim->disk.lies == 0)
		sim_fail(sim, "the journal was not cleaned");
	if (larges != disk_sim_large_count(&sim->disk) && sim->disk.lies == 0)
		sim_fail(sim, "a large file was left behind");
	while (disk_sim_step(&sim->disk))
		;
	if (!store_is_idle(sim->store) && sim->disk.lies == 0)
		sim_fail(sim, "the store is not idle");
}

/* A bit of a closed segment flips: a round of the scrub says so, before anybody reads it. */
static void
sim_check_scrub(struct sim *sim)
{
	struct journal *journal = store_journal(sim->store);
	struct journal_place place, now;
	struct store_stats stats;
	uint64_t rounds;

	if (sim->seed / 3 % 2 == 0 || sim->bug != NULL || sim->disk.lies > 0
		|| !journal_place_at(journal, journal_first(journal), &place))
		return;
	store_stats(sim->store, &stats);
	rounds = stats.scrub_rounds;
	sim->disk.lies++;
	disk_sim_damage(&sim->disk, place.slot,
		RECORD_BLOCK + rng_below(&sim->dice, place.end - place.base - RECORD_BLOCK));
	for (int i = 0; i < 1500 && stats.scrub_rounds < rounds + 2; i++) {
		sim_settle_turn(sim);
		sim->now.mono.ns += 300 * NS_PER_MS;
		sim->now.wall.us += US_PER_S;
		store_stats(sim->store, &stats);
		if (stats.scrub_damage > 0 || !journal_place_at(journal, place.base, &now)
			|| now.base != place.base)
			return;
	}
	sim_fail(sim, "a scrub did not notice damage");
}

static const char *
sim_run(uint64_t seed, unsigned planted, bool log)
{
	static struct sim sim;
	const char *bug;
	bool zeroing_fails;

	sim_says = log;
	sim = (struct sim){ .planted = planted, .seed = seed, .is_provable = true };
	buf_init(&sim.torn, 0);
	rng_init(&sim.rng, seed);
	rng_init(&sim.dice, seed ^ 0xd1ce);
	disk_sim_init(&sim.disk, seed ^ 0x5eed);
	sim.now = (struct instant){ { NS_PER_S }, { UINT64_C(1700000000) * US_PER_S } };
	/* Planted bugs are looked for where disks are worst. */
	if (rng_one_in(&sim.rng, 2))
		sim.disk.flush_fails_one_in = 60;
	if (rng_one_in(&sim.rng, planted != 0 ? 2 : 4))
		sim.disk.prepare_fails_one_in = 6;
	zeroing_fails = sim_appends(&sim) || sim.disk.prepare_fails_one_in > 0;
	if (rng_one_in(&sim.rng, 6))
		sim.disk.read_fails_one_in = 20;
	if (rng_one_in(&sim.rng, planted != 0 ? 2 : 6))
		sim.disk.lies_one_in = 100;
	sim.rots = rng_one_in(&sim.rng, planted != 0 ? 2 : 6);
	sim_capacity(&sim);
	sim_start(&sim);
	for (int step = 0; step < SIM_STEPS && sim.bug == NULL; step++)
		sim_act(&sim);
	if (sim.bug == NULL)
		sim_crash(&sim);
	sim_settle(&sim);
	/* A file that could not be zeroed goes as it is. */
	if (sim.disk.mail_removed > 0 && sim_zeroes(&sim) && !zeroing_fails)
		sim_fail(&sim, "a file was removed with mail in it");
	/* What nobody else takes is enough for all that has been accepted. */
	if (sim.disk.full_count > 0 && sim.seed / 66 % 2 != 0)
		sim_fail(&sim, "mail took the room of results");
	sim_check_scrub(&sim);
	bug = sim.bug;
	/* A disk that others fill may take nothing at all. */
	if (bug == NULL
		&& (sim.recoveries == 0
			|| (sim.disk.capacity == 0 && (sim.durables == 0 || sim.verified == 0))))
		bug = "the run did nothing";
	disk_sim_die(&sim.disk);
	disk_sim_done(&sim.disk);
	buf_done(&sim.torn);
	return bug;
}

static const struct seeds_plant sim_plants[] = {
	{ "early-ack", JOURNAL_PLANT_EARLY_ACK },
	{ "ignore-error", JOURNAL_PLANT_IGNORE_ERROR },
	{ "free-live", JOURNAL_PLANT_FREE_LIVE },
	{ "no-cut", JOURNAL_PLANT_NO_CUT },
	{ "no-sync", JOURNAL_PLANT_NO_SYNC },
	{ "append-tail", JOURNAL_PLANT_APPEND_TAIL },
	{ "torn-batch", JOURNAL_PLANT_TORN_BATCH },
	{ "cached-read", JOURNAL_PLANT_CACHED_READ },
	{ "early-reuse", JOURNAL_PLANT_EARLY_REUSE },
	{ "no-epoch", JOURNAL_PLANT_NO_EPOCH },
	{ "trust-footer", JOURNAL_PLANT_TRUST_FOOTER },
	{ "tail-is-torn", JOURNAL_PLANT_TAIL_IS_TORN },
	{ "late-state", JOURNAL_PLANT_LATE_STATE },
	{ "lose-state", JOURNAL_PLANT_LOSE_STATE },
	{ "early-unlink", JOURNAL_PLANT_EARLY_UNLINK },
	{ "old-checkpoint", JOURNAL_PLANT_OLD_CHECKPOINT },
	{ "short-replay", JOURNAL_PLANT_SHORT_REPLAY },
	{ "half-checkpoint", JOURNAL_PLANT_HALF_CHECKPOINT },
	{ "keep-orphans", JOURNAL_PLANT_KEEP_ORPHANS },
	{ "drop-orphans", JOURNAL_PLANT_DROP_ORPHANS },
	{ "blind-scrub", JOURNAL_PLANT_BLIND_SCRUB },
	{ "drop-unknown", JOURNAL_PLANT_DROP_UNKNOWN },
	{ "drop-tail", JOURNAL_PLANT_DROP_TAIL },
	{ "ignore-freeze", JOURNAL_PLANT_IGNORE_FREEZE },
	{ "bare-freeze", JOURNAL_PLANT_BARE_FREEZE },
	{ "far-tail", JOURNAL_PLANT_FAR_TAIL },
	{ "move-brief", JOURNAL_PLANT_MOVE_BRIEF },
	{ "no-reserve", JOURNAL_PLANT_NO_RESERVE },
	{ "long-file", JOURNAL_PLANT_LONG_FILE },
};

int
main(int argc, char **argv)
{
	static const struct seeds_program program = { sim_run, sim_plants,
		sizeof(sim_plants) / sizeof(sim_plants[0]) };

	return seeds_main(argc, argv, &program);
}
