/*
 * intake.c - from a client's end of data to a durable message: queue IDs, content, credit (rule L7)
 *
 *   RECEIVING --intake_commit--> (FINISHING large file) --> COMMITTED --durable--> answered, active
 *        `--------------------intake_abort, peer gone--------> forgotten
 *
 * Queue IDs are leased in blocks of one microsecond each. The floor, the time of the newest block,
 * is a value of the journal; a block is handed out only when its floor is durable, so no ID is ever
 * used twice, whatever the clock does. Bytes under way are bounded by credit: what a peer sends is
 * given back to it when it is durable or dropped. A peer that sends more, or asks for more than it
 * can use, breaks the protocol: what a broken one can cost is bounded too.
 */
#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/wire.h"
#include "qmgr/core_priv.h"
#include "qmgr/fingerprint.h"

#define FLOOR_KEY SLICE_LIT("queue-id-floor")

enum { LARGE_PENDING_MAX = 4 * 1024 * 1024 };

struct intake {
	struct core *core;
	core_peer peer;          /* 0: it is gone; nobody is told */
	uint64_t txn;
	uint64_t queue_id;
	struct buf content;      /* until it is large */
	struct store_large *large;
	uint64_t received;       /* bytes of content so far */
	uint64_t credit;         /* of them not given back */
	bool is_failed;          /* the answer is set already */
	bool is_committed;
	store_ref ref;
	uint32_t fingerprint;
	struct import_key *key;  /* claimed for an imported message */
	struct message *parent;  /* it takes the place of a recipient of that one; NULL: of none */
	struct buf result;       /* and what is recorded of that recipient with it */
	struct buf outcome;
	/* Kept while a large file is being finished, or a segment is being made. */
	struct buf envelope, recipients, head;
	struct ipc_intake_commit commit;
	bool is_kept;
	bool is_roomless;
	bool is_early;
	TAILQ_ENTRY(intake) room_link; /* in `roomless` or `early` of the core */
	UT_hash_handle hh;
};

struct block_wait {
	struct core *core;
	core_peer peer;          /* 0: our own block */
	uint64_t time_us;
};

static bool intake_store(struct intake *intake);
static void step_early(struct core *core);

static void
bad_peer(struct peer *peer, const char *why)
{
	peer->core->options.out->bad_peer(peer->core->options.ctx, peer->number, why);
}

/* --- queue IDs -------------------------------------------------------------------------------- */

/*
 * Anybody can guess a queue ID, and whether it is in use is another's secret: so a block carries a
 * keyed hash of itself and of the process that leased it. The key outlives us, so that it holds for
 * the next queue manager too.
 */
static uint64_t
block_token(const struct peer *peer, uint64_t queue_id)
{
	uint8_t bytes[24] = "block";

	wire_store_u64(bytes + 8, queue_id_make(queue_id_time_us(queue_id), 0));
	wire_store_u32(bytes + 16, peer->pid);
	return mac_make(peer->core->options.secret, slice_make(bytes, sizeof(bytes)));
}

static bool
is_leased(const struct peer *peer, uint64_t queue_id, uint64_t token)
{
	return token == block_token(peer, queue_id);
}

static void
block_durable(void *ctx, enum journal_outcome outcome)
{
	struct block_wait *wait = ctx;
	struct core *core = wait->core;
	struct peer *peer = core_peer_find(core, wait->peer);
	uint64_t first = queue_id_make(wait->time_us, 0);

	if (peer != NULL)
		peer->block_count--;

	if (outcome != JOURNAL_DURABLE) {
		/* The peer asks again; ours is asked for again by whoever needs it. */
		if (wait->peer == 0)
			core->own_asked = false;
		else if (peer != NULL) {
			intake_tell_state(core);
			SEND(core, wait->peer, id_block, .first = 0, .count = 0);
		}
	} else if (wait->peer != 0) {
		if (peer != NULL)
			SEND(core, wait->peer, id_block, .first = first,
				.count = QUEUE_ID_SEQUENCE_MAX + 1,
				.token = block_token(peer, first));
	} else {
		core->own_next = first;
		core->own_end = first + QUEUE_ID_SEQUENCE_MAX + 1;
		core->own_asked = false;
		intake_ids_came(core);
		core_mark(core);
	}
	mem_free(wait);
}

/*
 * max(clock, last time in the log), and later than any block before: the floor alone keeps IDs from
 * coming twice, the rest keeps them in the order of time. A clock beyond what an ID can hold counts
 * for nothing.
 */
uint64_t
intake_next_time_us(const struct core *core)
{
	uint64_t log_us = journal_wall_us(store_journal(core->store));
	uint64_t time_us = num_max_u64(core->now.wall.us, log_us);

	if (core->options.planted & CORE_PLANT_CLOCK_IDS)
		return core->now.wall.us;
	return time_us < QUEUE_ID_TIME_US_MAX ? num_max_u64(time_us, core->floor_us + 1)
					      : core->floor_us + 1;
}

static enum err
lease_block(struct core *core, core_peer peer)
{
	uint64_t time_us = intake_next_time_us(core);
	struct block_wait *wait;
	uint8_t value[8];
	enum err err;

	if (time_us > QUEUE_ID_TIME_US_MAX)
		return ERR_LIMIT;
	wait = mem_new(sizeof(*wait));
	wait->core = core;
	wait->peer = peer;
	wait->time_us = time_us;
	core->floor_us = wait->time_us;
	wire_store_u64(value, wait->time_us);
	err = journal_set_node(store_journal(core->store), FLOOR_KEY,
		slice_make(value, sizeof(value)), block_durable, wait);
	if (err != ERR_OK)
		mem_free(wait);
	return err;
}

void
intake_read_floor(struct core *core)
{
	struct slice value = journal_node(store_journal(core->store), FLOOR_KEY);

	if (value.len == 8)
		core->floor_us = wire_load_u64(value.ptr);
}

void
intake_open(struct core *core)
{
	(void)intake_own_id(core);
}

uint64_t
intake_own_id(struct core *core)
{
	if (core->own_next < core->own_end)
		return core->own_next++;
	if (!core->own_asked && lease_block(core, 0) == ERR_OK)
		core->own_asked = true;
	return 0;
}

bool
intake_own_ids(struct core *core, unsigned count, uint64_t *ret_ids)
{
	if (core->own_end - core->own_next < count) {
		core->own_next = core->own_end;
		(void)intake_own_id(core);
		return false;
	}
	for (unsigned i = 0; i < count; i++)
		ret_ids[i] = intake_own_id(core);
	return true;
}

void
intake_id_request(struct peer *peer, const struct ipc_id_request *request)
{
	uint32_t have = 0;

	/* Several blocks when many are wanted; a refusal is an empty block, and the peer waits. */
	do {
		if (peer->block_count >= CORE_ID_BLOCKS_MAX) {
			bad_peer(peer, "asks for too many queue IDs");
			return;
		}
		if (lease_block(peer->core, peer->number) != ERR_OK) {
			intake_tell_state(peer->core);
			SEND(peer->core, peer->number, id_block, .first = 0, .count = 0);
			return;
		}
		peer->block_count++;
		have += QUEUE_ID_SEQUENCE_MAX + 1;
	} while (have < request->count && have < 16 * (QUEUE_ID_SEQUENCE_MAX + 1));
}

/* --- the table of what is being received ------------------------------------------------------ */

static void
tell_state(struct peer *peer, enum ipc_intake_status state)
{
	if (state != peer->told_state)
		SEND(peer->core, peer->number, intake_state, .status = (uint8_t)state);
	peer->told_state = state;
}

void
intake_hello(struct peer *peer)
{
	peer->credit = CORE_CREDIT;
	SEND(peer->core, peer->number, credit, .bytes = CORE_CREDIT);
	peer->told_state = IPC_INTAKE_DURABLE;
	tell_state(peer, core_intake_state(peer->core));
}

void
intake_tell_state(struct core *core)
{
	enum ipc_intake_status state = core_intake_state(core);
	struct peer *peer, *next;

	HASH_ITER(by_number, core->peers, peer, next)
	{
		if (peer->kind == CORE_PEER_INTAKE || peer->kind == CORE_PEER_LOCAL)
			tell_state(peer, state);
	}
}

static void
give_credit(struct intake *intake)
{
	struct peer *peer = core_peer_find(intake->core, intake->peer);

	if (intake->credit > 0 && peer != NULL) {
		peer->credit += (int64_t)intake->credit;
		SEND(intake->core, intake->peer, credit, .bytes = intake->credit);
	}
	intake->credit = 0;
}

/* Pays for a frame of that many bytes, and finds or makes its transaction; NULL: bad peer. */
static struct intake *
intake_get(struct peer *peer, uint64_t txn, uint64_t cost)
{
	struct intake *intake;

	if (peer->credit <= 0) {
		bad_peer(peer, "sends more than its credit");
		return NULL;
	}
	HASH_FIND(hh, peer->intakes, &txn, sizeof(txn), intake);
	if (intake == NULL && HASH_COUNT(peer->intakes) >= CORE_INTAKES_MAX) {
		bad_peer(peer, "has too many transactions");
		return NULL;
	}
	peer->credit -= (int64_t)cost;
	if (intake != NULL) {
		intake->credit += cost;
		return intake;
	}
	intake = mem_new(sizeof(*intake));
	intake->core = peer->core;
	intake->peer = peer->number;
	intake->txn = txn;
	intake->credit = cost;
	buf_init(&intake->content, IPC_CONTENT_INLINE_MAX + IPC_PAYLOAD_MAX);
	buf_init(&intake->envelope, 0);
	buf_init(&intake->recipients, 0);
	buf_init(&intake->head, 0);
	buf_init(&intake->result, 0);
	buf_init(&intake->outcome, 0);
	HASH_ADD(hh, peer->intakes, txn, sizeof(intake->txn), intake);
	return intake;
}

static void
intake_free(struct intake *intake)
{
	struct peer *peer = core_peer_find(intake->core, intake->peer);

	give_credit(intake);
	if (intake->key != NULL)
		import_key_drop(intake->core, intake->key);
	if (peer != NULL)
		HASH_DELETE(hh, peer->intakes, intake);
	if (intake->large != NULL)
		store_large_abort(intake->large);
	if (intake->is_early)
		TAILQ_REMOVE(&intake->core->early, intake, room_link);
	if (intake->parent != NULL)
		result_expanded(intake->parent, slice_make(NULL, 0), false);
	buf_done(&intake->result);
	buf_done(&intake->outcome);
	buf_done(&intake->content);
	buf_done(&intake->envelope);
	buf_done(&intake->recipients);
	buf_done(&intake->head);
	mem_free(intake);
}

static void
answer(struct intake *intake, enum ipc_intake_status status, const char *text)
{
	if (intake->peer != 0)
		SEND(intake->core, intake->peer, intake_result, .txn = intake->txn,
			.queue_id = intake->queue_id, .status = (uint8_t)status,
			.text = slice_str(text));
}

void
intake_abort(struct peer *peer, const struct ipc_intake_abort *abort)
{
	struct intake *intake;

	HASH_FIND(hh, peer->intakes, &abort->txn, sizeof(abort->txn), intake);
	if (intake != NULL && !intake->is_committed)
		intake_free(intake);
}

void
intake_peer_gone(struct peer *peer)
{
	struct intake *intake, *next;

	HASH_ITER(hh, peer->intakes, intake, next)
	{
		HASH_DELETE(hh, peer->intakes, intake);
		intake->peer = 0;
		if (!intake->is_committed)
			intake_free(intake);
	}
}

/* --- content ---------------------------------------------------------------------------------- */

static bool
goes_large(const struct intake *intake, size_t more)
{
	return intake->large == NULL && intake->content.len + more > IPC_CONTENT_INLINE_MAX;
}

static void
add_content(struct intake *intake, struct slice part)
{
	intake->received += part.len;
	if (intake->is_failed)
		return;
	if (goes_large(intake, part.len)) {
		/* The queue ID is not known before the commit; the file needs a name of its own. */
		intake->queue_id = intake_own_id(intake->core);
		if (intake->queue_id == 0 || !core_accepts(intake->core)) {
			intake->is_failed = true;
			return;
		}
		intake->large = store_large_begin(intake->core->store, intake->queue_id);
		store_large_append(intake->large, buf_slice(&intake->content));
		buf_done(&intake->content);
		buf_init(&intake->content, 0);
	}
	if (intake->large != NULL)
		store_large_append(intake->large, part);
	else
		buf_add(&intake->content, part);
}

void
intake_part(struct peer *peer, const struct ipc_intake_data *data)
{
	struct intake *intake = intake_get(peer, data->txn, data->content.len);

	if (intake == NULL)
		return;
	if (intake->is_committed) {
		bad_peer(peer, "content behind its commit");
		return;
	}
	add_content(intake, data->content);
	/* What is in a file does not count against memory once the disk has taken it. */
	if (intake->is_failed || (intake->large != NULL &&
					 store_large_pending(intake->large) < LARGE_PENDING_MAX))
		give_credit(intake);
}

void
intake_step(struct core *core)
{
	struct peer *peer, *next_peer;
	struct intake *intake, *next;

	HASH_ITER(by_number, core->peers, peer, next_peer)
	{
		HASH_ITER(hh, peer->intakes, intake, next)
		{
			if (intake->large != NULL && intake->credit > 0 &&
				store_large_pending(intake->large) < LARGE_PENDING_MAX)
				give_credit(intake);
		}
	}
	/* Oldest first; where one still waits, so do those behind it. */
	while ((intake = TAILQ_FIRST(&core->roomless)) != NULL && intake_store(intake))
		;
	step_early(core);
}

/* --- commit ----------------------------------------------------------------------------------- */

static void
intake_settled(void *ctx, enum journal_outcome outcome)
{
	struct intake *intake = ctx;
	struct core *core = intake->core;

	if (outcome == JOURNAL_DURABLE) {
		core->accepted++;
		if (intake->key != NULL)
			import_key_keep(core, intake->key);
		intake->key = NULL;
		if (intake->parent != NULL)
			result_expanded(intake->parent, buf_slice(&intake->result), true);
		intake->parent = NULL;
		if (!(core->options.planted & CORE_PLANT_ACK_EARLY))
			answer(intake, IPC_INTAKE_DURABLE, "");
		active_new(core, intake->ref);
	} else {
		answer(intake, IPC_INTAKE_TEMPORARY, "Error: queue file write error");
	}
	intake_free(intake);
}

static void
intake_refuse(struct intake *intake, enum err err)
{
	if (err == ERR_NOSPACE)
		answer(intake, IPC_INTAKE_FULL, "Insufficient system storage");
	else
		answer(intake, IPC_INTAKE_TEMPORARY, "Error: queue file write error");
	intake_free(intake);
}

/* The commit outlives its frame. */
static void
keep_commit(struct intake *intake)
{
	const struct ipc_intake_commit *commit = &intake->commit;

	if (intake->is_kept)
		return;
	intake->is_kept = true;
	buf_add(&intake->envelope, commit->envelope);
	buf_add(&intake->recipients, commit->recipients);
	buf_add(&intake->head, commit->head);
	if (intake->large == NULL && intake->content.len == 0)
		buf_add(&intake->content, commit->content);
	buf_add(&intake->outcome, commit->expands_outcome);
	intake->commit.expands_outcome = buf_slice(&intake->outcome);
	intake->commit.envelope = buf_slice(&intake->envelope);
	intake->commit.recipients = buf_slice(&intake->recipients);
	intake->commit.head = buf_slice(&intake->head);
	intake->commit.content = slice_make(NULL, 0);
}

/* Mail that comes faster than segments are made waits for the next one, and its client with it. */
static void
wait_for_room(struct intake *intake)
{
	if (intake->is_roomless)
		return;
	if (intake->large == NULL)
		keep_commit(intake);
	TAILQ_INSERT_TAIL(&intake->core->roomless, intake, room_link);
	intake->is_roomless = true;
}

static void
leave_roomless(struct intake *intake)
{
	if (intake->is_roomless)
		TAILQ_REMOVE(&intake->core->roomless, intake, room_link);
	intake->is_roomless = false;
}

/* False: it waits for room; else it is on its way to the disk, or refused. */
static bool
intake_store(struct intake *intake)
{
	struct core *core = intake->core;
	const struct ipc_intake_commit *commit = &intake->commit;
	struct store_message message = {
		.queue_id = commit->queue_id,
		.arrival_us = core->now.wall.us,
		.content_length = commit->content_length,
		.content_hash = commit->content_hash,
		.dotted = commit->dotted != 0,
		.fingerprint = intake->fingerprint,
		.envelope = commit->envelope,
		.recipients = commit->recipients,
		.head = commit->head,
		.large = intake->large,
	};
	struct store_txn txn;
	enum err err;

	if (intake->large == NULL)
		message.body = intake->content.len > 0 ? buf_slice(&intake->content)
						       : commit->content;
	store_txn_begin(&txn, core->store, JOURNAL_NEW_MAIL, JOURNAL_NOW);
	intake->ref = store_txn_message(&txn, &message);
	if (intake->parent != NULL && !(core->options.planted & CORE_PLANT_EXPAND_TWICE))
		store_txn_result(&txn, intake->parent->ref, buf_slice(&intake->result));
	err = store_txn_commit(&txn, intake_settled, intake);
	if (err == ERR_NOSPACE && !core->is_stopping && core_accepts(core) &&
		store_room_comes(core->store)) {
		wait_for_room(intake);
		return false;
	}
	leave_roomless(intake);
	if (err != ERR_OK) {
		intake_refuse(intake, err);
		return true;
	}
	intake->large = NULL;
	if (core->options.planted & CORE_PLANT_ACK_EARLY)
		answer(intake, IPC_INTAKE_DURABLE, "");
	return true;
}

static void
large_finished(void *ctx, enum err err)
{
	struct intake *intake = ctx;

	if (err != ERR_OK) {
		intake_refuse(intake, err);
		return;
	}
	(void)intake_store(intake);
}

/* Everything of a commit that does not depend on the store. */
static const char *
commit_problem(const struct peer *peer, const struct intake *intake,
	const struct ipc_intake_commit *commit, struct envelope *envelope)
{
	const struct core *core = peer->core;
	uint32_t count;

	if (envelope_decode(commit->envelope, envelope) != ERR_OK)
		return "envelope is malformed";
	if (recipient_list_check(commit->recipients, &count) != ERR_OK || count == 0)
		return "recipient list is malformed or empty";
	if (commit->recipients.len > IPC_RECIPIENTS_MAX || commit->head.len > IPC_HEAD_MAX)
		return "recipients or head are too long";
	if (commit->content_length != intake->received)
		return "content length is wrong";
	if (queue_id_time_us(commit->queue_id) > core->floor_us)
		return "queue ID was never leased";
	if (commit->expands != 0 && peer->kind != CORE_PEER_LOCAL)
		return "only local expands recipients";
	return NULL;
}

static bool
is_used(const struct core *core, uint64_t queue_id)
{
	return store_find(core->store, queue_id) != 0 || ended_find(core, queue_id);
}

/* True: it is here already, or may be in a moment; the sender was told. */
static bool
was_imported(struct intake *intake, struct slice key)
{
	char text[QUEUE_ID_TEXT_SIZE];
	uint64_t other = 0;

	if (key.len == 0)
		return false;
	switch (import_key_claim(intake->core, key, intake->queue_id, &intake->key, &other)) {
	case IMPORT_KEY_NEW:
		return false;
	case IMPORT_KEY_BUSY:
		answer(intake, IPC_INTAKE_TEMPORARY, "the same message is being taken");
		break;
	case IMPORT_KEY_KNOWN:
		answer(intake, IPC_INTAKE_DURABLE,
			(const char *)queue_id_format(other, text).ptr);
		break;
	}
	intake_free(intake);
	return true;
}

/* Into a file first, or to the journal. */
static void
go_on(struct intake *intake)
{
	struct core *core = intake->core;

	if (intake->is_failed || core->is_stopping || !core_accepts(core)) {
		enum err fault = journal_fault_err(store_journal(core->store));

		intake_refuse(
			intake, core->is_stopping || fault == ERR_IO ? ERR_FAULTED : ERR_NOSPACE);
		return;
	}
	if (intake->large == NULL) {
		(void)intake_store(intake);
		return;
	}
	keep_commit(intake);
	store_large_finish(intake->large, large_finished, intake);
}

/*
 * A message that local makes out of a recipient, an alias, is one batch with that one's end: what
 * crashes between its copies and its result repeats neither. False: it waits, or was answered.
 */
static bool
takes_place(struct peer *peer, struct intake *intake)
{
	const struct ipc_intake_commit *commit = &intake->commit;
	enum expand_fate fate;

	if (commit->expands == 0)
		return true;
	fate = result_expand(peer, commit->expands, commit->expands_attempt,
		commit->expands_outcome, &intake->result, &intake->parent);
	switch (fate) {
	case EXPAND_READY:
		return true;
	case EXPAND_EARLY:
		keep_commit(intake);
		TAILQ_INSERT_TAIL(&intake->core->early, intake, room_link);
		intake->is_early = true;
		return false;
	case EXPAND_KNOWN:
		answer(intake, IPC_INTAKE_DURABLE, "");
		break;
	case EXPAND_GONE:
		answer(intake, IPC_INTAKE_TEMPORARY, "the recipient is not expected any more");
		break;
	case EXPAND_BAD:
		bad_peer(peer, "expands a recipient that it was not given");
		break;
	}
	intake_free(intake);
	return false;
}

/* Mail of recipients whose message is there by now, or whose process is gone. */
static void
step_early(struct core *core)
{
	TAILQ_HEAD(, intake) early = TAILQ_HEAD_INITIALIZER(early);
	struct intake *intake;

	TAILQ_CONCAT(&early, &core->early, room_link);
	while ((intake = TAILQ_FIRST(&early)) != NULL) {
		struct peer *peer = core_peer_find(core, intake->peer);

		TAILQ_REMOVE(&early, intake, room_link);
		intake->is_early = false;
		if (peer == NULL)
			intake_free(intake);
		else if (takes_place(peer, intake))
			go_on(intake);
	}
}

void
intake_commit(struct peer *peer, const struct ipc_intake_commit *commit)
{
	struct core *core = peer->core;
	struct intake *intake = intake_get(peer, commit->txn, ipc_commit_cost(commit));
	struct envelope envelope;
	const char *problem;

	poison_working(core, commit->queue_id);
	if (intake == NULL)
		return;
	if (!is_leased(peer, commit->queue_id, commit->token)) {
		bad_peer(peer, "commits under a queue ID that it did not lease");
		return;
	}
	if (intake->is_committed) {
		bad_peer(peer, "commit twice");
		return;
	}
	if (intake->received == 0 && commit->content.len <= IPC_CONTENT_INLINE_MAX) {
		intake->received = commit->content.len;
	} else {
		add_content(intake, commit->content);
	}
	problem = commit_problem(peer, intake, commit, &envelope);
	if (problem != NULL) {
		bad_peer(peer, problem);
		return;
	}
	intake->is_committed = true;
	intake->queue_id = commit->queue_id;
	intake->commit = *commit;
	intake->fingerprint = fingerprint_make(envelope.sender, commit->recipients);
	/* Whoever took it, it need not be this peer: its client comes again, with another ID. */
	if (is_used(core, commit->queue_id)) {
		intake_refuse(intake, ERR_FAULTED);
		return;
	}
	if (was_imported(intake, envelope.import_key) || !takes_place(peer, intake))
		return;
	go_on(intake);
}

static void
query_answer(struct peer *peer, uint64_t txn, uint64_t queue_id)
{
	bool was_taken = is_used(peer->core, queue_id);

	SEND(peer->core, peer->number, intake_result, .txn = txn, .queue_id = queue_id,
		.status = was_taken ? IPC_INTAKE_DURABLE : IPC_INTAKE_UNKNOWN,
		.text = slice_str(was_taken ? "" : "Error: queue file write error"));
}

static void
query_keep(struct peer *peer, const struct ipc_intake_query *query)
{
	struct query *kept;

	if (peer->query_count >= CORE_INTAKES_MAX) {
		bad_peer(peer, "asks for too many messages");
		return;
	}
	peer->query_count++;
	kept = MEM_NEW(struct query);
	kept->peer = peer->number;
	kept->queue_id = query->queue_id;
	kept->txn = query->txn;
	STAILQ_INSERT_TAIL(&peer->core->unanswered, kept, link);
}

void
intake_complete(struct core *core)
{
	struct query *kept;

	while ((kept = STAILQ_FIRST(&core->unanswered)) != NULL) {
		struct peer *peer = core_peer_find(core, kept->peer);

		STAILQ_REMOVE_HEAD(&core->unanswered, link);
		if (peer != NULL) {
			peer->query_count--;
			query_answer(peer, kept->txn, kept->queue_id);
		}
		mem_free(kept);
	}
}

void
intake_forget(struct core *core)
{
	struct intake *intake;
	struct query *kept;

	while ((intake = TAILQ_FIRST(&core->roomless)) != NULL) {
		leave_roomless(intake);
		intake_free(intake);
	}
	while ((intake = TAILQ_FIRST(&core->early)) != NULL)
		intake_free(intake);
	while ((kept = STAILQ_FIRST(&core->unanswered)) != NULL) {
		STAILQ_REMOVE_HEAD(&core->unanswered, link);
		mem_free(kept);
	}
}

void
intake_query(struct peer *peer, const struct ipc_intake_query *query)
{
	if (!is_leased(peer, query->queue_id, query->token))
		bad_peer(peer, "asks for a queue ID that it did not lease");
	else if (!is_used(peer->core, query->queue_id) && !peer->core->is_complete)
		query_keep(peer, query);
	else
		query_answer(peer, query->txn, query->queue_id);
}

/* A block of our own is there: reports that waited for an ID go on. */
void
intake_ids_came(struct core *core)
{
	struct message *message, *next;

	if (!core->ids_wanted)
		return;
	core->ids_wanted = false;
	HASH_ITER(by_ref, core->messages, message, next)
	{
		if (message->waits_for_id)
			done_check(message);
	}
}
