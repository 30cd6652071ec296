/*
 * lease.c - transactions in flight, inventories of survivors, deaths of workers
 *
 * A lease {queue ID, attempt} is given out with work and ends with its result (durable or not, the
 * worker keeps it until the acknowledgement), with work_return, or with the worker's death. After a
 * death of the queue manager survivors name theirs: these are leases without a session, and their
 * messages are LOCKED until each has its result or its worker has died (replaces rule F13).
 *
 * A lease ends after daemon_timeout (rules X5, Y19): whoever has it gets no more work, and when all
 * else that it has is through, its process is killed. Only its end says that nothing of it goes on,
 * so only then does the message go out again, as after any other death.
 *
 * Anybody can guess a lease's name, and a result that is believed for it is worth a message.
 * So work carries a token, a keyed hash of the name and of the process that was given it, and
 * an inventory must repeat it. Its key outlives the queue manager: master keeps it.
 */
#include "qmgr/core_priv.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/wire.h"

struct lease *
lease_new(struct message *message, struct sched_entry *entry, struct session *session)
{
	struct lease *lease = mem_new(sizeof(*lease));

	lease->message = message;
	lease->entry = entry;
	lease->session = session;
	lease->peer = session->peer;
	lease->attempt = ++message->attempt;
	sched_entry_set_ctx(entry, lease);
	buf_init(&lease->kept, 0);
	message->leases++;
	message->core->lease_count++;
	LIST_INSERT_HEAD(&lease->peer->leases, lease, peer_link);
	return lease;
}

static bool
lease_is(const struct lease *lease, uint64_t queue_id, uint32_t attempt)
{
	return lease != NULL && lease->attempt == attempt && lease->message->queue_id == queue_id;
}

/* The session, if it is one of ours, finds it at once; a survivor's is searched. */
struct lease *
lease_find(struct peer *peer, uint64_t session_number, uint64_t queue_id, uint32_t attempt)
{
	struct session *session = session_find(peer, session_number);
	struct lease *lease;

	if (session != NULL && lease_is(session->lease, queue_id, attempt))
		return session->lease;
	if (session != NULL && lease_is(session->prefetch, queue_id, attempt))
		return session->prefetch;
	LIST_FOREACH (lease, &peer->leases, peer_link)
		if (lease_is(lease, queue_id, attempt))
			return lease;
	return NULL;
}

static uint64_t
token_of(const struct peer *peer, uint64_t queue_id, uint32_t attempt)
{
	uint8_t bytes[16];

	wire_store_u64(bytes, queue_id);
	wire_store_u32(bytes + 8, attempt);
	wire_store_u32(bytes + 12, peer->pid);
	return mac_make(peer->core->options.secret, slice_make(bytes, sizeof(bytes)));
}

uint64_t
lease_token(const struct lease *lease)
{
	return token_of(lease->peer, lease->message->queue_id, lease->attempt);
}

void
lease_free(struct lease *lease)
{
	struct message *message = lease->message;

	LIST_REMOVE(lease, peer_link);
	if (lease->session != NULL) {
		message->leases--;
		message->core->lease_count--;
	}
	mem_free(lease->locked);
	buf_done(&lease->kept);
	mem_free(lease);
}

/* Rule S23: no attempt, no log line; it goes back to where it was. */
void
lease_return(struct peer *peer, const struct ipc_work_return *back)
{
	struct lease *lease =
		lease_find(peer, back->session, back->queue_id, back->attempt);
	struct session *session;
	struct message *message;

	if (lease == NULL || lease->session == NULL)
		return;
	session = lease->session;
	message = lease->message;
	sched_entry_return(peer->core->sched, lease->entry);
	session_lease_over(session, lease);
	lease_free(lease);
	done_check(message);
	core_mark(peer->core);
}

/* --- inventories ------------------------------------------------------------------------------ */

static bool
read_numbers(struct slice list, struct lease *lease)
{
	uint32_t number;
	enum err err;

	lease->locked = mem_array(list.len / 4 + 1, sizeof(*lease->locked));
	while ((err = ipc_number_next(&list, &number)) == ERR_OK)
		lease->locked[lease->locked_count++] = number;
	return err == ERR_NOTFOUND;
}

/* NULL: the worker was given this lease. */
static const char *
item_problem(struct peer *peer, const struct ipc_inventory_item *item)
{
	if (peer->inventory_count > CORE_INVENTORY_MAX)
		return "inventory is too long";
	if (item->token != token_of(peer, item->queue_id, item->attempt))
		return "inventory names work that it was not given";
	return NULL;
}

void
lease_inventory_item(struct peer *peer, const struct ipc_inventory_item *item)
{
	struct core *core = peer->core;
	store_ref ref = store_find(core->store, item->queue_id);
	const char *problem;
	struct message *message;
	struct lease *lease;

	if (!peer->is_survivor)
		return;
	poison_working(core, item->queue_id);
	peer->inventory_count++;
	problem = item_problem(peer, item);
	if (problem != NULL) {
		core->options.out->bad_peer(core->options.ctx, peer->number, problem);
		return;
	}
	/* Ended long ago, or set aside: its result will be acknowledged as it comes. */
	if (ref == 0 || poison_is(core, item->queue_id))
		return;
	message = active_find(core, ref);
	if (message == NULL)
		message = active_load(core, ref);
	if (message->locks > 0 &&
		lease_find(peer, 0, item->queue_id, item->attempt) != NULL) {
		core->options.out->bad_peer(
			core->options.ctx, peer->number, "inventory names work twice");
		return;
	}
	lease = mem_new(sizeof(*lease));
	lease->message = message;
	lease->peer = peer;
	lease->locked_at = core->now.mono;
	lease->attempt = item->attempt;
	buf_init(&lease->kept, 0);
	LIST_INSERT_HEAD(&peer->leases, lease, peer_link);
	if (!read_numbers(item->recipients, lease))
		core->options.out->bad_peer(core->options.ctx, peer->number, "bad inventory");
	if (message->attempt < item->attempt)
		message->attempt = item->attempt;
	message->locks++;
	core->lock_count++;
	log_event(core->log, EV_qmgr_locked, LOG_Z(message->id_text));
}

static void
inventory_complete(struct peer *peer)
{
	if (!peer->is_survivor)
		return;
	peer->is_survivor = false;
	if (peer->core->survivors_waiting > 0 && --peer->core->survivors_waiting == 0)
		active_inventories_complete(peer->core);
	core_mark(peer->core);
}

void
lease_inventory_end(struct peer *peer, const struct ipc_inventory_end *end)
{
	struct core *core = peer->core;

	if (peer->is_survivor && end->count != peer->inventory_count)
		core->options.out->bad_peer(
			core->options.ctx, peer->number, "inventory is incomplete");
	else
		inventory_complete(peer);
}

/*
 * A survivor that says nothing is killed, and its death settles the rest: until then nothing of
 * what it may be delivering is given out. One that never came counts as dead: master saw it die
 * before it could be announced; so does one that is there as long again after it was condemned.
 */
static void
inventories_step(struct core *core)
{
	struct peer *peer, *next;
	uint32_t alive = 0;

	if (!core->is_complete || core->survivors_waiting == 0
		|| core->now.mono.ns < core->inventory_by.ns)
		return;
	HASH_ITER(by_number, core->peers, peer, next)
	{
		if (!peer->is_survivor)
			continue;
		if (peer->is_condemned) {
			peer->is_survivor = false;
			continue;
		}
		log_event(core->log, EV_qmgr_no_inventory, LOG_U(peer->pid));
		core->options.out->kill(core->options.ctx, peer->pid);
		peer->is_condemned = true;
		alive++;
	}
	core->survivors_waiting = alive;
	core->inventory_by = mono_add_ns(core->now.mono, CORE_INVENTORY_S * NS_PER_S);
	if (alive == 0)
		active_inventories_complete(core);
	core_mark(core);
}

/* --- deadlines -------------------------------------------------------------------------------- */

/* When its transaction began; false: it has not. */
static bool
lease_begun(const struct lease *lease, struct mono *ret_begun)
{
	const struct session *session = lease->session;

	if (session != NULL && session->lease != lease)
		return false;
	*ret_begun = session != NULL ? session->begun : lease->locked_at;
	return true;
}

static void
say_overdue(struct lease *lease)
{
	if (!lease->is_overdue)
		log_event(lease->message->core->log, EV_qmgr_overdue,
			LOG_Z(lease->message->id_text), LOG_U(lease->peer->pid));
	lease->is_overdue = true;
}

static void
retire(struct peer *peer)
{
	struct session *session, *next;

	if (peer->is_overdue)
		return;
	peer->is_overdue = peer->is_leaving = true;
	for (session = LIST_FIRST(&peer->sessions); session != NULL; session = next) {
		next = LIST_NEXT(session, peer_link);
		session_retire(session);
	}
}

/* Looks at what a worker has; *next_due: when to look again. */
static void
check_deadlines(struct peer *peer, uint64_t limit_ns, struct mono *next_due)
{
	struct core *core = peer->core;
	struct lease *lease;
	struct mono begun, due;
	bool is_busy = false, is_overdue = false;

	LIST_FOREACH (lease, &peer->leases, peer_link) {
		if (!lease_begun(lease, &begun))
			continue;
		due = mono_add_ns(begun, limit_ns);
		if (due.ns <= core->now.mono.ns) {
			is_overdue = true;
			say_overdue(lease);
			continue;
		}
		is_busy = true;
		if (due.ns < next_due->ns)
			*next_due = due;
	}
	if (!is_overdue || peer->is_condemned)
		return;
	retire(peer);
	if (is_busy) {
		/* The others are given the time that they would have had. */
		*next_due = mono_add_ns(core->now.mono, NS_PER_S);
		return;
	}
	peer->is_condemned = true;
	core->options.out->kill(core->options.ctx, peer->pid);
}

static void
deadlines_step(struct core *core)
{
	uint64_t limit_ns = config_time_s(core->config, NULL, PARAM_DAEMON_TIMEOUT) * NS_PER_S;
	struct peer *peer, *next;

	if (core->now.mono.ns < core->overdue_at.ns ||
		(core->options.planted & CORE_PLANT_NO_DEADLINE))
		return;
	core->overdue_at = mono_add_ns(core->now.mono, limit_ns);
	HASH_ITER(by_number, core->peers, peer, next)
	{
		if (!peer->is_survivor)
			check_deadlines(peer, limit_ns, &core->overdue_at);
	}
}

void
lease_step(struct core *core)
{
	inventories_step(core);
	deadlines_step(core);
}

struct mono
lease_due(const struct core *core)
{
	struct mono due = { UINT64_MAX };

	if (core->lease_count + core->lock_count > 0)
		due = core->overdue_at;
	if (core->survivors_waiting > 0 && core->is_complete && core->inventory_by.ns < due.ns)
		due = core->inventory_by;
	return due;
}

/* --- results that come while the message is being read ---------------------------------------- */

void
lease_keep_result(struct lease *lease, const struct ipc_result *result)
{
	buf_clear(&lease->kept);
	ipc_encode(&lease->kept, IPC_TYPE_result, false, result);
	buf_consume(&lease->kept, IPC_HEADER_SIZE);
	lease->has_kept = true;
}

/* The first lease of this message that has a result in waiting, or any of its locks. */
static struct lease *
find_lock(struct message *message, bool with_result)
{
	struct peer *peer, *next;
	struct lease *lease;

	HASH_ITER(by_number, message->core->peers, peer, next)
	{
		LIST_FOREACH (lease, &peer->leases, peer_link)
			if (lease->message == message && lease->session == NULL &&
				(lease->has_kept || !with_result))
				return lease;
	}
	return NULL;
}

void
lease_replay_results(struct message *message)
{
	struct lease *lease;

	while ((lease = find_lock(message, true)) != NULL) {
		struct buf kept = lease->kept;
		struct ipc_result result;

		buf_init(&lease->kept, 0);
		lease->has_kept = false;
		CHECK(ipc_decode(IPC_TYPE_result, buf_slice(&kept), &result) == ERR_OK);
		result_frame(lease->peer, &result);
		buf_done(&kept);
	}
}

/* Their results will be acknowledged as those of a message that has ended. */
void
lease_drop_locks(struct message *message)
{
	struct lease *lease;

	while ((lease = find_lock(message, false)) != NULL) {
		lease_free(lease);
		message->locks--;
		message->core->lock_count--;
	}
}

/* --- deaths ----------------------------------------------------------------------------------- */

/* What it was given is suspect, also what waited behind another: the worker has read it. */
static void
lease_died(struct lease *lease)
{
	struct message *message = lease->message;
	struct core *core = message->core;

	if (lease->session == NULL) {
		lease_free(lease);
		message->locks--;
		core->lock_count--;
		active_unlocked(message);
		return;
	}
	if (lease->entry != NULL) {
		if (lease->is_sent)
			active_mark_suspect(message);
		if (!(core->options.planted & CORE_PLANT_FORGET_DEATH))
			sched_entry_return(core->sched, lease->entry);
		session_lease_over(lease->session, lease);
	}
	lease_free(lease);
	done_check(message);
}

void
lease_worker_died(struct peer *peer)
{
	struct session *session;
	struct lease *lease;

	while ((lease = LIST_FIRST(&peer->leases)) != NULL)
		lease_died(lease);
	while ((session = LIST_FIRST(&peer->sessions)) != NULL)
		session_lost(session);
	inventory_complete(peer);
}
