/*
 * core.c - the core as a whole: peers, dispatch of frames, steps in order, due time
 */
#include "qmgr/core_priv.h"

#include "base/check.h"
#include "base/mem.h"
#include "qmgr/transports.h"

#include <string.h>

enum { CACHE_MAX = 64 * 1024 * 1024 };

/* --- start and end ---------------------------------------------------------------------------- */

/* Whether segments of the journal are appended and removed. */
static bool
appends(const struct core *core)
{
	enum { AUTO, YES, NO };
	unsigned recycle = config_enum(core->config, NULL, PARAM_JOURNAL_RECYCLE);

	return recycle == NO || (recycle == AUTO && core->options.copies_on_write);
}

static void
store_opened(void *ctx, enum err err, const struct fault *fault)
{
	struct core *core = ctx;

	if (err == ERR_OK) {
		core->is_open = true;
		core->survivors_waiting = core->options.survivors;
		core->inventory_by = mono_add_ns(core->now.mono, CORE_INVENTORY_S * NS_PER_S);
		if (core->options.planted & CORE_PLANT_NO_INVENTORY)
			core->survivors_waiting = 0;
		intake_read_floor(core);
		copy_open(core);
		poison_open(core);
		clock_watch_opened(core);
		intake_open(core);
		if (appends(core))
			log_event(core->log, EV_qmgr_journal_appends,
				LOG_Z(config_bool(core->config, NULL, PARAM_JOURNAL_SCRUB)
						? "; journal_scrub has no effect"
						: ""));
		core_mark(core);
	}
	core->options.out->opened(core->options.ctx, err, fault);
}

/* All that was there is known: workers may speak, and delivery begins when they have. */
static void
store_complete(void *ctx)
{
	struct core *core = ctx;

	core->is_complete = true;
	core->ended_until = mono_add_ns(core->now.mono, CORE_ENDED_S * NS_PER_S);
	core->inventory_by = mono_add_ns(core->now.mono, CORE_INVENTORY_S * NS_PER_S);
	intake_complete(core);
	core->options.out->complete(core->options.ctx);
	core_mark(core);
}

static void
store_notice(void *ctx, const char *text)
{
	struct core *core = ctx;

	log_event(core->log, EV_store_notice, LOG_Z(text));
}

static void
store_ended(void *ctx, uint64_t queue_id)
{
	ended_note(ctx, queue_id);
}

static const struct store_callbacks store_callbacks = { store_opened, store_complete,
	store_notice, store_ended };

static struct store *
open_store(struct core *core)
{
	const struct config *config = core->config;
	struct store_options options = {
		.disk = core->options.disk,
		.segment_size = config_int(config, NULL, PARAM_JOURNAL_SEGMENT_SIZE),
		.size_max = config_int(config, NULL, PARAM_JOURNAL_SIZE_MAX),
		.size_min = config_int(config, NULL, PARAM_JOURNAL_SIZE_MIN),
		.scrub_interval_s = config_time_s(config, NULL, PARAM_JOURNAL_CHECK_INTERVAL),
		.zeroes_freed = config_bool(config, NULL, PARAM_JOURNAL_SCRUB),
		.appends = appends(core),
		.hold_doubtful = config_enum(config, NULL, PARAM_DAMAGED_STATE_ACTION) == 1,
		.cache_max = CACHE_MAX,
		.epoch = core->epoch,
		.callbacks = &store_callbacks,
		.ctx = core,
		.planted = core->options.planted_journal,
	};

	for (size_t i = 0; i < sizeof(options.uuid); i++)
		options.uuid[i] = (uint8_t)rng_next(&core->rng);
	return store_new(&options);
}

struct core *
core_new(const struct core_options *options)
{
	struct core *core = mem_new(sizeof(*core));

	core->options = *options;
	core->log = options->log;
	core->config = options->config;
	rng_init(&core->rng, options->seed);
	core->epoch = rng_next(&core->rng);
	TAILQ_INIT(&core->suspects);
	TAILQ_INIT(&core->settling);
	TAILQ_INIT(&core->unread);
	TAILQ_INIT(&core->reporting);
	TAILQ_INIT(&core->changes);
	TAILQ_INIT(&core->hungry);
	TAILQ_INIT(&core->recalls);
	TAILQ_INIT(&core->roomless);
	TAILQ_INIT(&core->early);
	TAILQ_INIT(&core->import_order);
	LIST_INIT(&core->jobs);
	STAILQ_INIT(&core->unanswered);
	STAILQ_INIT(&core->ended_order);
	core->session_next = 1;
	core->missing_at.ns = UINT64_MAX;
	core->query_next = 1;
	core->store = open_store(core);
	transports_open(core);
	return core;
}

void
core_free(struct core *core)
{
	struct peer *peer, *next;

	HASH_ITER(by_number, core->peers, peer, next)
	{
		core_peer_down(core, peer->number, core->now);
	}
	control_free(core);
	session_free_all(core);
	nexthop_free_all(core);
	pace_free_all(core);
	change_free_all(core);
	postmaster_free(core);
	active_free_all(core);
	snapshot_forget(core);
	intake_forget(core); /* a large file that it gives up is the store's */
	store_free(core->store);
	ended_free_all(core);
	import_key_free_all(core);
	transports_close(core);
	mem_free(core);
}

void
core_open(struct core *core, struct instant now)
{
	core->now = now;
	clock_watch_begin(core);
	store_open(core->store, now);
}

bool
core_is_open(const struct core *core)
{
	return core->is_open;
}

/* Without survivors nobody can know anything of messages that are not known here yet. */
bool
core_hears_workers(const struct core *core)
{
	return core->is_open && (core->is_complete || core->options.survivors == 0);
}

void
core_stop(struct core *core, uint64_t grace_ns, struct instant now)
{
	core->now = now;
	core->is_stopping = true;
	defer_stop(core);
	store_stop(core->store, grace_ns, now);
}

static uint64_t
minimum_free(const struct core *core)
{
	uint64_t configured = config_int(core->config, NULL, PARAM_QUEUE_MINFREE);

	return configured > 0 ? configured
			      : 2 * config_int(core->config, NULL, PARAM_MESSAGE_SIZE_LIMIT);
}

/* Reports are not counted against it: each takes the place of a message that ends. */
static bool
is_at_queue_limit(const struct core *core)
{
	uint64_t limit = config_int(core->config, NULL, PARAM_QUEUE_MESSAGE_LIMIT);
	uint64_t count = store_count(core->store);

	/* A twentieth must go before it is over, so that it does not flicker. */
	return core->queue_is_full ? count >= limit - limit / 20 : count >= limit;
}

const char *
core_trouble(const struct core *core)
{
	const struct journal *journal = store_journal(core->store);

	enum err fault = journal_fault_err(journal);

	if (fault == ERR_NOSPACE)
		return "the journal cannot be written: the disk is full";
	if (fault != ERR_OK)
		return "the journal cannot be written: the disk reports errors";
	if (core->disk_is_low)
		return "less than queue_minfree is free on the queue's file system";
	if (core->is_open && is_at_queue_limit(core))
		return "there are as many messages in the queue as queue_message_limit allows";
	if (core->is_open && !store_accepts(core->store))
		return "the journal is full (journal_size_max, or no room on the disk for more "
		       "segments)";
	return NULL;
}

/* How those who bring mail shall refuse it; what is no lack of room is a failure of the disk. */
enum ipc_intake_status
core_intake_state(const struct core *core)
{
	enum err fault = journal_fault_err(store_journal(core->store));

	if (core_trouble(core) == NULL)
		return IPC_INTAKE_DURABLE;
	return fault == ERR_OK || fault == ERR_NOSPACE ? IPC_INTAKE_FULL : IPC_INTAKE_TEMPORARY;
}

/* Called once a second, so that what is over in a moment is not said. */
static void
say_trouble(struct core *core)
{
	const char *trouble = core->disk_is_low ? NULL : core_trouble(core);

	if (trouble != NULL && !core->said_refuses)
		log_event(core->log, EV_qmgr_refuses, LOG_Z(trouble));
	else if (trouble == NULL && core->said_refuses && !core->disk_is_low)
		log_event0(core->log, EV_qmgr_accepts);
	core->said_refuses = trouble != NULL;
	intake_tell_state(core);
}

/* An eighth more than the minimum ends it, so that it does not flicker. */
void
core_disk_free(struct core *core, uint64_t bytes)
{
	uint64_t minimum = minimum_free(core);

	if (!core->disk_is_low && bytes < minimum) {
		core->disk_is_low = true;
		log_event(core->log, EV_qmgr_disk_low, LOG_U(bytes), LOG_U(minimum));
	} else if (core->disk_is_low && bytes >= minimum + minimum / 8) {
		core->disk_is_low = false;
		log_event(core->log, EV_qmgr_disk_room, LOG_U(bytes));
	}
	say_trouble(core);
}

bool
core_accepts(const struct core *core)
{
	return !core->disk_is_low && !is_at_queue_limit(core) && store_accepts(core->store);
}

bool
core_is_quiet(const struct core *core)
{
	return !core->is_open || (core->change_count == 0 && store_is_idle(core->store));
}

void
core_config(struct core *core, const struct config *config, struct instant now)
{
	core->now = now;
	core->config = config;
	core->overdue_at = now.mono;
	transports_update(core);
	core_mark(core);
}

/* --- peers ------------------------------------------------------------------------------------ */

struct peer *
core_peer_find(struct core *core, core_peer number)
{
	struct peer *peer;

	HASH_FIND(by_number, core->peers, &number, sizeof(number), peer);
	return peer;
}

void
core_peer_up(struct core *core, core_peer number, enum core_peer_kind kind, uint32_t pid,
	bool survivor, const struct core_user *user, struct instant now)
{
	struct peer *peer = mem_new(sizeof(*peer));

	core->now = now;
	peer->core = core;
	peer->number = number;
	peer->kind = kind;
	peer->pid = pid;
	peer->is_survivor = survivor && (kind == CORE_PEER_SMTP || kind == CORE_PEER_LOCAL);
	peer->rights = user != NULL ? user->rights : 0;
	peer->user = user != NULL ? mem_strndup(user->name, strlen(user->name)) : NULL;
	LIST_INIT(&peer->sessions);
	LIST_INIT(&peer->leases);
	HASH_ADD(by_number, core->peers, number, sizeof(peer->number), peer);
	if (kind == CORE_PEER_RESOLVER) {
		core->resolver = peer;
		nexthop_resolver_up(core);
	}
	if (kind == CORE_PEER_INTAKE || kind == CORE_PEER_LOCAL)
		intake_hello(peer);
	if (kind == CORE_PEER_SMTP || kind == CORE_PEER_LOCAL)
		session_worker_up(core);
	core_mark(core);
}

void
core_peer_is_solo(struct core *core, core_peer number)
{
	struct peer *peer = core_peer_find(core, number);

	if (peer != NULL)
		peer->is_solo = true;
}

void
core_peer_down(struct core *core, core_peer number, struct instant now)
{
	struct peer *peer = core_peer_find(core, number);

	core->now = now;
	if (peer == NULL)
		return;
	HASH_DELETE(by_number, core->peers, peer);
	if (core->resolver == peer) {
		core->resolver = NULL;
		nexthop_resolver_gone(core);
	}
	intake_peer_gone(peer);
	lease_worker_died(peer);
	control_peer_gone(peer);
	snapshot_peer_gone(peer);
	mem_free(peer->user);
	mem_free(peer);
	core_mark(core);
}

void
core_boundary(struct core *core, const char *name)
{
	if (core->options.out->boundary != NULL)
		core->options.out->boundary(core->options.ctx, name);
}

bool
core_plant_rule_is_on(const struct core *core, enum core_plant_rule rule)
{
	return (core->options.planted_rules & rule) != 0;
}

bool
core_may_deliver(const struct core *core)
{
	return core_hears_workers(core) && core->survivors_waiting == 0;
}

/* --- frames ----------------------------------------------------------------------------------- */

static bool
intake_message(struct peer *peer, uint16_t type, const union ipc_any *any)
{
	switch (type) {
	case IPC_TYPE_id_request:
		intake_id_request(peer, &any->id_request);
		return true;
	case IPC_TYPE_intake_data:
		intake_part(peer, &any->intake_data);
		return true;
	case IPC_TYPE_intake_commit:
		intake_commit(peer, &any->intake_commit);
		return true;
	case IPC_TYPE_intake_abort:
		intake_abort(peer, &any->intake_abort);
		return true;
	case IPC_TYPE_intake_query:
		intake_query(peer, &any->intake_query);
		return true;
	case IPC_TYPE_ptr:
		nexthop_ptr(peer, &any->ptr);
		return true;
	case IPC_TYPE_notice:
		postmaster_frame(peer, &any->notice);
		return true;
	default:
		return false;
	}
}

static bool
worker_message(struct peer *peer, uint16_t type, const union ipc_any *any)
{
	switch (type) {
	case IPC_TYPE_session_ready:
		session_ready(peer, &any->session_ready);
		return true;
	case IPC_TYPE_session_end:
		session_ended(peer, &any->session_end);
		return true;
	case IPC_TYPE_work_return:
		lease_return(peer, &any->work_return);
		return true;
	case IPC_TYPE_result:
		result_frame(peer, &any->result);
		return true;
	case IPC_TYPE_inventory_item:
		lease_inventory_item(peer, &any->inventory_item);
		return true;
	case IPC_TYPE_inventory_end:
		lease_inventory_end(peer, &any->inventory_end);
		return true;
	case IPC_TYPE_notice:
		postmaster_frame(peer, &any->notice);
		return true;
	default:
		return peer->kind == CORE_PEER_LOCAL && intake_message(peer, type, any);
	}
}

static bool
resolver_message(struct peer *peer, uint16_t type, const union ipc_any *any)
{
	if (type == IPC_TYPE_resolved)
		nexthop_resolved(peer->core, &any->resolved);
	else if (type == IPC_TYPE_ptr_result)
		nexthop_ptr_result(peer->core, &any->ptr_result);
	else
		return false;
	return true;
}

static bool
dispatch(struct peer *peer, uint16_t type, const union ipc_any *any)
{
	if (type == IPC_TYPE_hello)
		return true;
	switch (peer->kind) {
	case CORE_PEER_INTAKE:
		return intake_message(peer, type, any);
	case CORE_PEER_SMTP:
	case CORE_PEER_LOCAL:
		return worker_message(peer, type, any);
	case CORE_PEER_RESOLVER:
		return resolver_message(peer, type, any);
	case CORE_PEER_TOOL:
		if (type != IPC_TYPE_control_request)
			return false;
		control_request(peer, &any->control_request);
		return true;
	}
	return false;
}

void
core_frame(struct core *core, core_peer number, uint16_t type, struct slice payload,
	struct instant now)
{
	struct peer *peer = core_peer_find(core, number);
	union ipc_any any;

	core->now = now;
	if (peer == NULL)
		return;
	CHECK(core->is_open);
	if (ipc_decode(type, payload, &any) != ERR_OK)
		core->options.out->bad_peer(core->options.ctx, number, "malformed frame");
	else if (!dispatch(peer, type, &any))
		core->options.out->bad_peer(
			core->options.ctx, number, "frame that it may not send");
	poison_working(core, 0);
}

/* --- time ------------------------------------------------------------------------------------- */

void
core_mark(struct core *core)
{
	core->is_dirty = true;
}

/* Rule M8's order: deliveries first, then new mail, then mail that is due. */
void
core_step(struct core *core, struct instant now)
{
	core->now = now;
	core->is_dirty = false;
	store_step(core->store, now);
	poison_working(core, 0);
	if (!core->is_open)
		return;
	poison_step(core);
	clock_watch_step(core);
	change_step(core);
	core->queue_is_full = is_at_queue_limit(core);
	lease_step(core);
	intake_step(core);
	postmaster_step(core);
	ended_step(core);
	snapshot_step(core);
	if (core_may_deliver(core) && !core->is_stopping)
		refill_step(core);
	done_step(core);
	if (core_may_deliver(core) && !core->is_stopping) {
		sched_step(core->sched, now.mono);
		session_step(core);
		active_step(core);
		session_step(core);
	}
	done_step(core);
	if (core_may_deliver(core) && core->is_complete)
		control_step(core);
	else
		control_wait_step(core);
	poison_working(core, 0);
	/* What this turn appended is sent to the disk in this turn. */
	store_step(core->store, now);
	poison_working(core, 0);
}

static struct mono
earlier(struct mono a, struct mono b)
{
	return a.ns < b.ns ? a : b;
}

struct mono
core_due(const struct core *core)
{
	struct mono due = store_due(core->store);

	if (!core->is_open)
		return due;
	if (core->refused_count > 0)
		due = earlier(due, core->retry_at);
	due = earlier(due, lease_due(core));
	due = earlier(due, snapshot_due(core));
	if (core->is_dirty || clock_watch_is_due(core))
		due = earlier(due, core->now.mono);
	due = earlier(due, done_due(core));
	if (core_may_deliver(core) && core->is_complete)
		due = earlier(due, control_due(core));
	else
		due = earlier(due, control_wait_due(core));
	if (core_may_deliver(core) && !core->is_stopping) {
		due = earlier(due, sched_due(core->sched));
		due = earlier(due, session_due(core));
		due = earlier(due, active_due(core));
		due = earlier(due, refill_due(core));
	}
	return due;
}

void
core_counts(const struct core *core, struct core_counts *ret_counts)
{
	struct session *session, *next;

	*ret_counts = (struct core_counts){
		.messages = store_count(core->store),
		.active = core->active_count,
		.loading = core->loading_count,
		.leases = core->lease_count,
		.locked = core->lock_count,
		.changes = core->change_count,
	};
	HASH_ITER(by_number, core->sessions, session, next)
	{
		ret_counts->sessions += session->phase != SESSION_RESOLVING;
	}
}
