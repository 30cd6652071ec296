/*
 * world.c - the production core of the queue manager in a simulated world, from a seed
 *
 * Disk, clock, clients, operators, workers and resolver are simulated; frames are the real ones. At
 * random moments the queue manager or a worker is killed, or the power of the whole machine fails;
 * workers and the resolver stall, some messages kill every worker that begins with them, a
 * transaction hangs for ever, one worker delivers locally and forwards some, a worker lies (it tells
 * results that it was not asked for), an
 * operator holds, releases, deletes, requeues, expires and flushes; the machine is cloned, or its queue is
 * marked as a copy. Then faults end, time goes on, and the oracle judges:
 *
 *   - every recipient of an acknowledged message was delivered or reported, exactly once; more often
 *     only where a transaction was in flight when its worker died or the power failed
 *   - what an operator deleted by name need not, but may not be both
 *   - one report of a kind per recipient, ever, and only where NOTIFY asks for it: of success where
 *     one was asked for, of delay at most once a message
 *   - in one half of the seeds mail lives a few seconds only: nothing is returned that was not tried
 *     (or its site) lately, or since the clock was set, and never more in a second than expiry_rate
 *   - a recipient that local expands is expanded once, whoever dies
 *   - no queue ID is handed out twice, also where the clock goes back
 *   - nothing that was in a copied queue is given out before an operator releases it
 *   - no recipient is given out while it is given out: not by the same queue manager, not by the next
 *   - never more sessions to a destination than its limit, never more messages active than theirs
 *   - what has killed a worker is tried alone, in a worker that has nothing else meanwhile, and kills
 *     two of these at most before it is on hold
 *   - a message kills two queue managers at most
 *   - a liar is found out, an honest peer is not called bad; a worker with which a transaction hangs
 *     is killed, but not while it has another one under way
 *   - nothing waits for ever
 *   - after every step each message is what the model (model.h) allows
 *
 * The world is one thread and has no time of its own: a seed always gives the same history.
 */
#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/num.h"
#include "config/compile.h"
#include "message/address.h"
#include "message/dsn.h"
#include "message/envelope.h"
#include "message/queue_id.h"
#include "message/recipient_list.h"
#include "qmgr/core.h"
#include "sim/disk_sim.h"
#include "sim/seeds.h"
#include "sim/world/look.h"
#include "sim/world/model.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

enum {
	MESSAGES_MAX = 120,
	RECIPIENTS_MAX = MODEL_RECIPIENTS_MAX,
	RECIPIENTS_FEW = 4,
	WORKERS = 5, /* two for SMTP, one that delivers locally, and one of each for suspects */
	SESSIONS_MAX = 128,
	RESULTS_MAX = 128,
	LIMIT = 3, /* default_destination_concurrency_limit */
	ACTIVE_LIMIT = 25, /* qmgr_message_active_limit */
	LARGE = 5 * IPC_CONTENT_PART_MAX, /* beyond IPC_CONTENT_INLINE_MAX */
	STEPS = 1500,
	BLOCKS_MAX = 256,
	SETTLE_STEPS = 60000,
	DOMAINS = 4,
	LOCAL_DOMAIN = DOMAINS - 1,
	LIFETIME_S = 12,  /* of mail that is short-lived */
	BACKOFF_MIN_S = 1,
	BACKOFF_MAX_S = 4,
	JITTER_PERCENT = 10,
	DOWN_S = 30 * 86400, /* after some power cuts */
	IN_MEMORY_MAX = 4096,
	EXPIRY_RATE = 2,
};

/* A plant is one of enum core_plant_rule. */
#define OF_RULES 0x80000000U

enum actor { ACTOR_CLIENT, ACTOR_RESOLVER, ACTOR_WORKER, ACTOR_COUNT = ACTOR_WORKER + WORKERS,
	ACTOR_LOCAL = ACTOR_WORKER + 2, ACTOR_SOLO = ACTOR_WORKER + 3, SOLOS = 2 };

static bool
is_local(int actor)
{
	return actor == ACTOR_LOCAL || actor == ACTOR_SOLO + 1;
}

/* One frame on its way to an actor. */
struct frame {
	uint16_t type;
	struct buf payload;
	STAILQ_ENTRY(frame) link;
};

STAILQ_HEAD(frame_list, frame);

/* Reports of one kind about one recipient; the same one may come twice. */
struct told {
	uint32_t count;
	uint64_t id; /* of the last */
};

struct recipient {
	uint32_t delivered;
	struct told failure, delay, success;
	struct told copies; /* that local made of it */
	uint8_t notify;     /* enum dsn_notify */
	bool is_refused;    /* a peer has said 5xx */
	uint64_t tried_us;  /* it was, or its site */
	struct mono told_at; /* when the core heard what became of it */
	unsigned domain;
	bool is_expanded;   /* local made, or was about to make, another one of it */
	bool uncertain;     /* its transaction was in flight at a death */
};

struct message {
	bool is_sent, is_acknowledged, is_answered;
	bool is_removed; /* an operator has said so: it may be gone */
	bool is_held;	 /* since it came, and no operator has let it go */
	bool is_warned;  /* a delay is to be told */
	bool is_expired; /* an operator has had it returned */
	bool is_null;	 /* its sender is */
	bool is_mute;	 /* reports to its sender cannot be made */
	bool is_poison;	 /* as long as there are faults */
	bool is_deadly;	 /* to queue managers */
	unsigned qmgr_deaths;
	bool has_killed; /* a worker that others use */
	unsigned deaths; /* of workers that were for suspects only */
	uint64_t arrival_us;
	uint64_t queue_id;
	uint64_t txn;
	uint32_t recipient_count;
	struct recipient recipients[RECIPIENTS_MAX];
};

struct transaction {
	bool is_used;
	bool is_begun;
	bool is_stuck; /* it never ends */
	uint64_t expansion; /* its txn, while that is not answered; 0: none */
	uint64_t copy_id;
	uint64_t session; /* 0: of a dead queue manager */
	struct buf work;
};

struct result {
	bool is_used;
	bool is_forwarded; /* all it says was recorded with the copy */
	uint64_t queue_id;
	uint32_t attempt;
	uint64_t token;
	struct buf frame;
	struct buf work; /* what it is the result of */
};

struct worker_session {
	uint64_t number; /* 0: free */
	bool is_ready;
	char nexthop[64];
	char host; /* of its hosts, which digit names them */
};

/* What the core was told of a domain's hosts, and before that. */
struct hosts {
	char now, before;
	struct mono changed_at;
};

struct worker {
	struct worker_session sessions[SESSIONS_MAX];
	struct transaction transactions[SESSIONS_MAX];
	struct result results[RESULTS_MAX];
};

struct world {
	struct rng rng;
	struct disk_sim disk;
	struct core *core;
	struct model *model;
	uint64_t in_memory[IN_MEMORY_MAX]; /* at the last look */
	size_t in_memory_count;
	struct config *config;
	struct log log;
	struct instant now;
	unsigned planted;
	bool is_open;
	bool is_calm; /* no faults any more */
	core_peer next_peer;
	core_peer peers[ACTOR_COUNT]; /* 0: not connected */
	bool owes_inventory[ACTOR_COUNT];
	uint32_t pids[ACTOR_COUNT]; /* a survivor keeps its own */
	uint32_t next_pid;
	uint32_t condemned[ACTOR_COUNT]; /* pids of workers that the core wants killed */
	int condemned_count;
	bool has_operator;  /* one half of the seeds */
	bool copies_on_write; /* the file system does, in every fifth seed */
	bool is_short_lived; /* one half: mail expires within seconds */
	bool sets_clock;     /* of these a half */
	struct hosts hosts[DOMAINS];
	struct instant failed_at[128]; /* sites, by the digit of their hosts */
	struct mono site_told_at[DOMAINS]; /* when the core heard the last time that it failed */
	struct mono set_at;  /* when the clock was set the last time, by more than is drift */
	uint64_t drift_ns;   /* forward, since then: it looks like time that passed */
	uint64_t id_floor;   /* greatest queue ID handed out so far */
	uint64_t expiry_second; /* of boot time, and how many messages expired in it */
	unsigned expired;
	bool was_commanded; /* this queue manager, by an operator */
	bool is_solo_wanted[SOLOS]; /* and not there: smtp, local */
	bool has_solo[SOLOS];       /* it lived when the queue manager died */
	uint64_t dies_with;  /* the queue manager, with this message in hand; 0: it does not */
	struct core_death deaths[CORE_DEATHS_MAX];
	unsigned death_count;
	bool had_survivors; /* this queue manager met workers of the former one */
	core_peer liar;     /* it has lied: the core must call it bad */
	unsigned stalled[ACTOR_COUNT]; /* steps for which it does nothing */
	struct frame_list frames[ACTOR_COUNT];
	struct worker workers[WORKERS];
	struct message messages[MESSAGES_MAX];
	uint32_t message_count;
	struct {
		uint64_t next, end;
	} ids[ACTOR_COUNT];
	struct {
		uint64_t first, token;
	} blocks[BLOCKS_MAX]; /* of queue IDs, the newest ones */
	unsigned block_count;
	uint64_t id_max;       /* the greatest that anybody has seen */
	uint64_t copied_at;    /* what has a lower ID came with the last copy */
	uint64_t copied_below; /* mail with lower IDs waits: it came with the copy */
	struct core_origin origin;
	uint64_t txn_next;
	const char *bug;
};

/* --log 1: for whoever looks into a failing seed. */
static bool is_verbose;

static void say(const char *format, ...) FORMAT_PRINTF(1, 2);

static void
say(const char *format, ...)
{
	va_list arguments;

	if (!is_verbose)
		return;
	va_start(arguments, format);
	(void)vprintf(format, arguments);
	va_end(arguments);
}

static void fail(struct world *world, const char *bug);

/*
 * By an attempt of its own, or with its site, even if that failed before the mail came: drift looks
 * like a whole life in which the site was dead.
 */
static bool
is_tried_since_set(const struct world *world, const struct recipient *recipient)
{
	uint64_t told_ns = num_max_u64(
		recipient->told_at.ns, world->site_told_at[recipient->domain].ns);

	return told_ns + world->drift_ns >= world->set_at.ns;
}

/* Who is returned has been tried, or its site, since the clock was set. */
static void
check_tried(struct world *world, struct slice id)
{
	char text[QUEUE_ID_TEXT_SIZE];

	for (uint32_t m = 0; m < world->message_count; m++) {
		const struct message *message = &world->messages[m];

		if (!slice_equal(id, queue_id_format(message->queue_id, text)))
			continue;
		for (uint32_t r = 0; r < message->recipient_count; r++) {
			const struct recipient *recipient = &message->recipients[r];

			if (recipient->delivered == 0 && !recipient->is_refused &&
				!recipient->is_expanded &&
				!is_tried_since_set(world, recipient))
				fail(world, "a recipient expired that was not tried since the "
					    "clock was set");
		}
	}
}

static void
count_expiry(struct world *world)
{
	uint64_t second = world->now.mono.ns / NS_PER_S;

	if (world->expiry_second != second)
		world->expired = 0;
	world->expiry_second = second;
	if (++world->expired > EXPIRY_RATE)
		fail(world, "more messages expired in a second than expiry_rate");
}

static struct model_time
model_now(const struct world *world)
{
	return (struct model_time){ world->now.wall.us, world->now.mono.ns };
}

/* "ID: ..." */
static bool
read_id(struct slice text, uint64_t *ret_id)
{
	size_t end = 0;

	while (end < text.len && text.ptr[end] != ':' && text.ptr[end] != ' ')
		end++;
	return queue_id_parse(slice_head(text, end), ret_id) == ERR_OK;
}

static bool
has_text(struct slice text, const char *part)
{
	return memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

static uint64_t
last_id(struct slice text)
{
	size_t at = text.len;
	uint64_t id = 0;

	while (at > 0 && text.ptr[at - 1] != ' ')
		at--;
	CHECK(queue_id_parse(slice_from(text, at), &id) == ERR_OK);
	return id;
}

static void
hear_operator(struct world *world, uint64_t id, struct slice text)
{
	static const struct {
		const char *words;
		enum model_wish wish;
	} wishes[] = { { "placed on hold", MODEL_HOLD }, { "released", MODEL_RELEASE },
		{ "deleted", MODEL_DELETE }, { "to be requeued", MODEL_REQUEUE },
		{ "expired", MODEL_EXPIRE } };

	for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++)
		if (has_text(text, wishes[i].words)) {
			model_wish(world->model, id, wishes[i].wish);
			return;
		}
}

/* A report is a message of its own. */
static void
hear_report(struct world *world, uint64_t id, struct slice text)
{
	model_reported(world->model, id,
		has_text(text, "non-delivery") ? MODEL_OF_FAILURE
		: has_text(text, "delay")      ? MODEL_OF_DELAY
					       : MODEL_OF_SUCCESS);
	model_offer(world->model, &(struct model_facts){ .queue_id = last_id(text),
					   .is_null = true,
					   .recipient_count = 1,
					   .notify = { { .failure = true } } });
}

static void
hear_requeue(struct world *world, uint64_t id, uint64_t copy)
{
	model_requeued(world->model, id, copy);
	/* It was in memory, if only for a moment. */
	if (world->in_memory_count < IN_MEMORY_MAX)
		world->in_memory[world->in_memory_count++] = copy;
}

/* What the log says, the model hears. */
static void
hear(struct world *world, enum log_event_id event, struct slice text)
{
	uint64_t id;

	if (event == EV_qmgr_copy_held)
		model_copied(world->model, world->copied_at);
	if (event == EV_qmgr_copy_released)
		model_copied(world->model, 0);
	if (!read_id(text, &id))
		return;
	if (event == EV_qmgr_active)
		model_round(world->model, id);
	else if (event == EV_qmgr_removed)
		model_removed(world->model, id);
	else if (event == EV_qmgr_requeued)
		hear_requeue(world, id, last_id(text));
	else if (event == EV_qmgr_not_requeued)
		model_not_requeued(world->model, id);
	else if (event == EV_qmgr_operator)
		hear_operator(world, id, text);
	else if (event == EV_qmgr_expired)
		model_expired(world->model, id, has_text(text, "force-expired"), model_now(world));
	else if (event == EV_bounce_notification)
		hear_report(world, id, text);
	else if (event == EV_bounce_given_up)
		model_gave_up(world->model, id);
	else if (event == EV_qmgr_suspect_held || event == EV_qmgr_corrupt ||
		 event == EV_qmgr_unreadable || event == EV_qmgr_change_too_long)
		model_put_on_hold(world->model, id);
}

static void
say_line(struct log *log, enum log_event_id id, enum log_level level, struct slice text)
{
	struct world *world = (struct world *)((char *)log - offsetof(struct world, log));

	(void)level;
	say("  core: %" SLICE_FMT "\n", SLICE_ARG(text));
	hear(world, id, text);
	/* What an operator wants returned needs neither an attempt nor its turn. */
	if (id == EV_qmgr_expired && !has_text(text, "force-expired")) {
		count_expiry(world);
		check_tried(world, slice_head(text, slice_find(text, ':')));
	}
}

/* What the core has made of each message that is, or was, in memory. */
static void
compare(struct world *world)
{
	uint64_t ids[IN_MEMORY_MAX];
	size_t count = look_ids(world->core, ids, IN_MEMORY_MAX);
	struct model_seen seen;
	char text[QUEUE_ID_TEXT_SIZE];
	const char *what;
	uint64_t id;

	for (size_t i = 0; i < world->in_memory_count; i++) {
		look_at(world->core, world->in_memory[i], &seen);
		if (!seen.is_in_memory)
			model_look(world->model, world->in_memory[i], &seen, model_now(world));
	}
	for (size_t i = 0; i < count; i++) {
		look_at(world->core, ids[i], &seen);
		model_look(world->model, ids[i], &seen, model_now(world));
	}
	memcpy(world->in_memory, ids, count * sizeof(ids[0]));
	world->in_memory_count = count;
	what = model_wrong(world->model, &id);
	if (what != NULL) {
		fail(world, what);
		say("%s: %s\n", (const char *)queue_id_format(id, text).ptr, what);
	}
}

static bool
chance(struct world *world, uint64_t one_in)
{
	return rng_one_in(&world->rng, one_in) != 0;
}

static void
fail(struct world *world, const char *bug)
{
	if (world->bug == NULL)
		world->bug = bug;
}

/* --- frames ----------------------------------------------------------------------------------- */

static int
actor_of(const struct world *world, core_peer peer)
{
	for (int i = 0; i < ACTOR_COUNT; i++)
		if (world->peers[i] == peer)
			return i;
	return -1;
}

/* What has killed a worker that others use goes to no such worker again. */
static void
check_suspect(struct world *world, int actor, const struct ipc_work *work)
{
	for (uint32_t i = 0; i < world->message_count && actor < ACTOR_SOLO; i++)
		if (world->messages[i].queue_id == work->queue_id &&
			world->messages[i].has_killed && !world->is_calm)
			fail(world, "a suspect was given to a worker that others use");
}

static void
check_ids(struct world *world, const struct ipc_id_block *block)
{
	if (block->count == 0)
		return;
	if (block->first <= world->id_floor)
		fail(world, "a queue ID was handed out twice");
	world->id_floor = block->first + block->count - 1;
}

static void
out_send(void *ctx, core_peer peer, enum ipc_type type, const void *message)
{
	struct world *world = ctx;
	int actor = actor_of(world, peer);
	struct frame *frame;

	if (type == IPC_TYPE_work)
		check_suspect(world, actor, message);
	if (actor < 0)
		return;
	if (type == IPC_TYPE_id_block)
		check_ids(world, message);
	frame = MEM_NEW(struct frame);
	frame->type = (uint16_t)type;
	buf_init(&frame->payload, 0);
	ipc_encode(&frame->payload, type, false, message);
	buf_consume(&frame->payload, IPC_HEADER_SIZE);
	STAILQ_INSERT_TAIL(&world->frames[actor], frame, link);
}

static bool
out_send_large(void *ctx, core_peer peer, const struct ipc_work *work, uint64_t large)
{
	(void)large;
	out_send(ctx, peer, IPC_TYPE_work, work);
	return true;
}

static size_t
out_pending(void *ctx, core_peer peer)
{
	(void)ctx;
	(void)peer;
	return 0;
}

static void
condemn(struct world *world, uint32_t pid)
{
	if (world->condemned_count < ACTOR_COUNT)
		world->condemned[world->condemned_count++] = pid;
}

/* Whether nothing but transactions that hang is under way. */
static bool
is_stuck(const struct worker *worker)
{
	unsigned stuck = 0, others = 0;

	for (int i = 0; i < SESSIONS_MAX; i++) {
		const struct transaction *transaction = &worker->transactions[i];

		stuck += transaction->is_used && transaction->is_stuck;
		others += transaction->is_used && transaction->is_begun && !transaction->is_stuck;
	}
	return stuck > 0 && others == 0;
}

/* rules: X5 */
static void
out_kill(void *ctx, uint32_t pid)
{
	struct world *world = ctx;

	for (int actor = ACTOR_WORKER; actor < ACTOR_COUNT; actor++)
		if (world->pids[actor] == pid && !world->owes_inventory[actor] &&
			!is_stuck(&world->workers[actor - ACTOR_WORKER]))
			fail(world, "a worker is to be killed that does its work");
	condemn(world, pid);
}

/* The driver closes its channel, so master sees it end. */
static void
out_bad_peer(void *ctx, core_peer peer, const char *why)
{
	struct world *world = ctx;

	(void)why;
	if (peer != world->liar)
		fail(world, "the core calls an honest peer bad");
	condemn(world, world->pids[actor_of(world, peer)]);
	world->liar = 0;
}

static void
out_opened(void *ctx, enum err err, const struct fault *fault)
{
	struct world *world = ctx;

	(void)fault;
	if (err != ERR_OK)
		fail(world, "the queue does not open");
}

static void
out_complete(void *ctx)
{
	struct world *world = ctx;

	world->is_open = true;
}

static void
out_adopted(void *ctx)
{
	struct world *world = ctx;

	/* A power cut may bring the mark back. */
	if (!chance(world, 4))
		world->origin.mark = 0;
}

static void
out_working(void *ctx, uint64_t queue_id)
{
	struct world *world = ctx;

	for (uint32_t i = 0; i < world->message_count && queue_id != 0 && !world->is_calm; i++)
		if (world->messages[i].queue_id == queue_id && world->messages[i].is_deadly &&
			world->dies_with == 0)
			world->dies_with = queue_id;
}

static void
out_want_solo(void *ctx, enum core_peer_kind kind)
{
	struct world *world = ctx;

	world->is_solo_wanted[kind == CORE_PEER_LOCAL] = true;
}

static const struct core_out core_out = { out_send, out_send_large, out_pending, out_kill,
	out_working, out_want_solo, out_bad_peer, out_opened, out_complete, out_adopted, NULL };

static void
tell_core(struct world *world, int actor, enum ipc_type type, const void *message)
{
	struct buf bytes;

	if (world->peers[actor] == 0)
		return;
	buf_init(&bytes, 0);
	ipc_encode(&bytes, type, false, message);
	core_frame(world->core, world->peers[actor], (uint16_t)type,
		slice_from(buf_slice(&bytes), IPC_HEADER_SIZE), world->now);
	buf_done(&bytes);
}

static void
drop_frames(struct world *world, int actor)
{
	struct frame *frame;

	while ((frame = STAILQ_FIRST(&world->frames[actor])) != NULL) {
		STAILQ_REMOVE_HEAD(&world->frames[actor], link);
		buf_done(&frame->payload);
		mem_free(frame);
	}
}

/* Of the block that a queue ID is from. */
static uint64_t
token_of(const struct world *world, uint64_t queue_id)
{
	uint64_t first = queue_id_make(queue_id_time_us(queue_id), 0);

	for (unsigned i = 0; i < BLOCKS_MAX; i++)
		if (world->blocks[i].first == first)
			return world->blocks[i].token;
	return 0;
}

/* --- clients ---------------------------------------------------------------------------------- */

/* Content that becomes a file of its own, in parts; returns it. */
static struct slice
send_large(struct world *world, uint64_t txn)
{
	static uint8_t content[LARGE];

	memset(content, 'x', sizeof(content));
	memcpy(content, "Subject: t\r\n\r\n", 14);
	for (size_t at = 0; at < sizeof(content); at += IPC_CONTENT_PART_MAX)
		tell_core(world, ACTOR_CLIENT, IPC_TYPE_intake_data,
			&(struct ipc_intake_data){ .txn = txn,
				.content = slice_make(content + at, IPC_CONTENT_PART_MAX) });
	return slice_make(content, sizeof(content));
}

static struct model_notify
model_notify(uint8_t notify)
{
	return (struct model_notify){
		.failure = notify == 0 || (notify & DSN_NOTIFY_FAILURE) != 0,
		.success = (notify & DSN_NOTIFY_SUCCESS) != 0,
	};
}

static void
send_message(struct world *world)
{
	static const char content[] = "Subject: t\r\n\r\nbody\r\n";
	struct slice body = slice_str(content), rest = body;
	uint32_t index = world->message_count;
	struct message *message = &world->messages[index];
	struct envelope envelope;
	struct buf bytes, list;
	char address[64], id[QUEUE_ID_TEXT_SIZE];

	if (index == MESSAGES_MAX || world->ids[ACTOR_CLIENT].next >= world->ids[ACTOR_CLIENT].end)
		return;
	world->message_count++;
	message->is_sent = true;
	message->queue_id = world->ids[ACTOR_CLIENT].next++;
	(void)queue_id_format(message->queue_id, id);
	say("message %u: %s\n", index, id);
	message->txn = ++world->txn_next;
	message->recipient_count = 1 + (uint32_t)rng_below(&world->rng,
		chance(world, 12) ? RECIPIENTS_MAX : RECIPIENTS_FEW);
	if (chance(world, 15)) {
		body = send_large(world, message->txn);
		rest = slice_make(NULL, 0);
	}
	buf_init(&bytes, 0);
	buf_init(&list, 0);
	envelope_init(&envelope);
	envelope.sender = index % 4 == 0 ? SLICE_LIT("t@sender.test") : SLICE_LIT("s@sender.test");
	message->is_null = chance(world, 12);
	message->is_mute = !message->is_null && chance(world, 12);
	if (message->is_null)
		envelope.sender = slice_make(NULL, 0);
	if (message->is_mute)
		envelope.sender = SLICE_LIT("mute@sender.test");
	envelope.arrival_us = message->arrival_us = world->now.wall.us;
	envelope.head_length = 14;
	message->is_warned = chance(world, 3);
	if (message->is_warned)
		envelope.warn_us = world->now.wall.us + rng_below(&world->rng, 6 * US_PER_S);
	message->is_poison = chance(world, 40);
	message->is_deadly = !message->is_poison && chance(world, 60);
	message->is_held = chance(world, 10);
	if (message->is_held)
		envelope.flags = ENVELOPE_HOLD;
	if (chance(world, 15))
		envelope.created_us = world->now.wall.us + rng_below(&world->rng, 10 * US_PER_S);
	CHECK(envelope_encode(&envelope, &bytes) == ERR_OK);
	struct model_facts facts = { .queue_id = message->queue_id,
		.created_us = envelope.created_us != 0 ? envelope.created_us : world->now.wall.us,
		.recipient_count = message->recipient_count };

	for (uint32_t i = 0; i < message->recipient_count; i++) {
		static const uint8_t notify[] = { DSN_NOTIFY_NEVER, DSN_NOTIFY_SUCCESS,
			DSN_NOTIFY_SUCCESS | DSN_NOTIFY_FAILURE, DSN_NOTIFY_DELAY,
			DSN_NOTIFY_FAILURE };
		struct recipient *recipient = &message->recipients[i];
		struct recipient_entry entry = { 0 };

		recipient->domain = (unsigned)rng_below(&world->rng, DOMAINS);
		if (chance(world, 3))
			recipient->notify = notify[rng_below(&world->rng, sizeof(notify))];
		(void)snprintf(address, sizeof(address), "r%u-%u@d%u.test", index, i,
			recipient->domain);
		entry.address = slice_str(address);
		entry.notify = recipient->notify;
		facts.notify[i] = model_notify(recipient->notify);
		CHECK(recipient_list_put(&list, &entry) == ERR_OK);
	}
	facts.is_null = message->is_null;
	facts.is_mute = message->is_mute;
	facts.is_held = message->is_held;
	facts.warn_us = envelope.warn_us;
	model_offer(world->model, &facts);
	tell_core(world, ACTOR_CLIENT, IPC_TYPE_intake_commit,
		&(struct ipc_intake_commit){ .txn = message->txn,
			.queue_id = message->queue_id,
			.token = token_of(world, message->queue_id),
			.envelope = buf_slice(&bytes),
			.recipients = buf_slice(&list),
			.content = rest,
			.content_length = body.len,
			.content_hash = hash_bytes(body) });
	buf_done(&bytes);
	buf_done(&list);
}

static void
take_ids(struct world *world, int actor, const struct ipc_id_block *block)
{
	if (block->count == 0)
		return;
	world->blocks[world->block_count % BLOCKS_MAX].first = block->first;
	world->blocks[world->block_count++ % BLOCKS_MAX].token = block->token;
	world->ids[actor].next = block->first;
	world->ids[actor].end = block->first + block->count;
	world->id_max = num_max_u64(world->id_max, world->ids[actor].end);
}

static void
client_frame(struct world *world, uint16_t type, const union ipc_any *any)
{
	if (type == IPC_TYPE_id_block)
		take_ids(world, ACTOR_CLIENT, &any->id_block);
	if (type != IPC_TYPE_intake_result)
		return;
	for (uint32_t i = 0; i < world->message_count; i++) {
		struct message *message = &world->messages[i];

		if (message->txn != any->intake_result.txn || message->is_answered)
			continue;
		message->is_answered = true;
		message->is_acknowledged = any->intake_result.status == IPC_INTAKE_DURABLE;
	}
}

/* --- resolver --------------------------------------------------------------------------------- */

/* All that wait for the site have been tried with it. */
static void
site_failed(struct world *world, const char *nexthop)
{
	unsigned domain = (unsigned)(nexthop[1] - '0');

	if (domain >= DOMAINS) /* the reports' */
		return;
	world->site_told_at[domain] = world->now.mono;
	for (uint32_t m = 0; m < world->message_count; m++)
		for (uint32_t r = 0; r < world->messages[m].recipient_count; r++)
			if (world->messages[m].recipients[r].domain == domain)
				world->messages[m].recipients[r].tried_us = world->now.wall.us;
}

/* A session failed: the domains with the same hosts are one site, where sites are learned. */
static void
session_failed(struct world *world, const struct worker_session *session)
{
	char name[] = "d0.test";

	site_failed(world, session->nexthop);
	if (config_enum(world->config, NULL, PARAM_SCHEDULER_CONCURRENCY_POLICY) == 0)
		return;
	world->failed_at[(unsigned char)session->host & 127] = world->now;
	for (unsigned d = 0; d < DOMAINS; d++) {
		name[1] = (char)('0' + d);
		if (world->hosts[d].now == session->host)
			site_failed(world, name);
	}
}

/* Its own ones, or for some time those that others have, too. Reports' ones are theirs alone. */
static char
hosts_now(const struct world *world, struct slice nexthop)
{
	uint64_t spell = world->now.wall.us / (15 * US_PER_S);
	char digit = (char)nexthop.ptr[1];
	bool shares = nexthop.ptr[0] == 'd' && ((uint64_t)digit * 5 + spell * 7) % 3 != 0;

	return shares ? 'x' : digit;
}

/* It joins a site that may have failed a while ago: that is its own failure, too. */
static void
note_hosts(struct world *world, unsigned domain, char hosts)
{
	struct hosts *told = &world->hosts[domain];
	struct instant failed_at = world->failed_at[(unsigned char)hosts & 127];

	if (hosts == told->now)
		return;
	world->site_told_at[domain].ns =
		num_max_u64(world->site_told_at[domain].ns, failed_at.mono.ns);
	for (uint32_t m = 0; m < world->message_count; m++)
		for (uint32_t r = 0; r < world->messages[m].recipient_count; r++) {
			struct recipient *recipient = &world->messages[m].recipients[r];

			if (recipient->domain == domain)
				recipient->tried_us =
					num_max_u64(recipient->tried_us, failed_at.wall.us);
		}
	told->before = told->now;
	told->now = hosts;
	told->changed_at = world->now.mono;
}

/* For some seconds each site is gone altogether, so that it dies and is probed. */
static bool
site_is_down(const struct world *world, const char *nexthop)
{
	uint64_t spell = world->now.wall.us / (20 * US_PER_S);

	return ((uint64_t)nexthop[1] * 7 + spell * 13) % 5 == 0;
}

/* Where mail lives short, reports would too, and the oracle could not see what was reported. */
static bool
reports_must_arrive(const struct world *world, struct slice nexthop)
{
	return world->is_short_lived && slice_equal_str(nexthop, "sender.test");
}

static void
resolver_frame(struct world *world, uint16_t type, const union ipc_any *any)
{
	static const uint8_t address[4] = { 10, 0, 0, 1 };
	char name[] = "mx0.test";
	struct ipc_host host = { .name = slice_make(name, sizeof(name) - 1), .family = AF_INET,
		.port = 25, .address = { address, sizeof(address) } };
	struct buf hosts;
	unsigned domain;
	bool is_bad = !world->is_calm && chance(world, 8) &&
		      !reports_must_arrive(world, any->resolve.nexthop);

	if (type != IPC_TYPE_resolve)
		return;
	if (is_bad)
		site_failed(world, (const char *)any->resolve.nexthop.ptr);
	name[2] = hosts_now(world, any->resolve.nexthop);
	domain = (unsigned)(any->resolve.nexthop.ptr[1] - '0');
	if (!is_bad && domain < DOMAINS)
		note_hosts(world, domain, name[2]);
	buf_init(&hosts, 0);
	ipc_host_put(&hosts, &host);
	tell_core(world, ACTOR_RESOLVER, IPC_TYPE_resolved,
		&(struct ipc_resolved){ .query = any->resolve.query,
			.status = is_bad ? IPC_RESOLVE_TEMPORARY : IPC_RESOLVE_OK,
			.ttl_s = 5,
			.hosts = is_bad ? slice_make(NULL, 0) : buf_slice(&hosts),
			.dsn = slice_str(is_bad ? "4.4.3" : ""),
			.reason = slice_str(is_bad ? "no answer" : "") });
	buf_done(&hosts);
}

/* --- workers ---------------------------------------------------------------------------------- */

static struct worker *
worker_of(struct world *world, int actor)
{
	return &world->workers[actor - ACTOR_WORKER];
}

static struct worker_session *
session_find(struct worker *worker, uint64_t number)
{
	for (int i = 0; i < SESSIONS_MAX; i++)
		if (worker->sessions[i].number == number)
			return &worker->sessions[i];
	return NULL;
}

static void
check_limit(struct world *world, const char *nexthop)
{
	unsigned count = 0;

	/* A limit of local's is one of each user; a suspect may come on top. */
	for (int w = 0; w < ACTOR_LOCAL - ACTOR_WORKER; w++)
		for (int i = 0; i < SESSIONS_MAX; i++)
			count += world->workers[w].sessions[i].number != 0 &&
				 strcmp(world->workers[w].sessions[i].nexthop, nexthop) == 0;
	if (count > LIMIT)
		fail(world, "more sessions than default_destination_concurrency_limit");
}

static void
take_session(struct world *world, struct worker *worker, const struct ipc_session_open *open)
{
	struct worker_session *session = session_find(worker, 0);

	CHECK(session != NULL);
	session->number = open->session;
	session->is_ready = false;
	(void)snprintf(session->nexthop, sizeof(session->nexthop), "%" SLICE_FMT,
		SLICE_ARG(open->nexthop));
	check_limit(world, session->nexthop);
	struct slice hosts = open->hosts;
	struct ipc_host host;

	/* Local delivery has none. */
	session->host = ipc_host_next(&hosts, &host) == ERR_OK ? (char)host.name.ptr[2] : 0;
}

static bool
share_a_recipient(const struct ipc_work *a, const struct ipc_work *b)
{
	struct ipc_recipient one, other;

	for (struct slice list = a->recipients; ipc_recipient_next(&list, &one) == ERR_OK;)
		for (struct slice more = b->recipients; ipc_recipient_next(&more, &other) == ERR_OK;)
			if (one.number == other.number)
				return true;
	return false;
}

/* rules: F7 R3 R14 */
/* Nobody else may have these recipients, not even for a queue manager that is dead. */
static void
check_lease(struct world *world, const struct ipc_work *work)
{
	for (int w = 0; w < WORKERS; w++)
		for (int i = 0; i < SESSIONS_MAX; i++) {
			const struct transaction *other = &world->workers[w].transactions[i];
			struct ipc_work theirs;

			if (!other->is_used)
				continue;
			CHECK(ipc_decode(IPC_TYPE_work, buf_slice(&other->work), &theirs) == ERR_OK);
			if (theirs.queue_id == work->queue_id && share_a_recipient(&theirs, work))
				fail(world, "a recipient was given out twice at a time");
		}
}

/* What came on hold stays so, whatever dies, until an operator says otherwise. */
static void
check_hold(struct world *world, const struct ipc_work *work)
{
	for (uint32_t i = 0; i < world->message_count; i++)
		if (world->messages[i].queue_id == work->queue_id && world->messages[i].is_held)
			fail(world, "a message was given out that came on hold");
}

/*
 * Mail goes through a session that was opened for another domain only if that has the same hosts, or
 * had them a moment ago.
 */
static void
check_hosts(struct world *world, const struct worker_session *session, const struct ipc_work *work)
{
	struct slice list = work->recipients;
	struct ipc_recipient recipient;

	while (ipc_recipient_next(&list, &recipient) == ERR_OK) {
		struct slice domain = slice_from(
			recipient.address, slice_find(recipient.address, '@') + 1);
		unsigned d = domain.len > 1 ? (unsigned)(domain.ptr[1] - '0') : DOMAINS;
		const struct hosts *hosts = &world->hosts[d < DOMAINS ? d : 0];
		bool is_new = mono_since_ns(world->now.mono, hosts->changed_at) < 10 * NS_PER_S;

		if (d < DOMAINS && !slice_equal_str(domain, session->nexthop) &&
			hosts->now != session->host &&
			!(is_new && hosts->before == session->host))
			fail(world, "mail was given to a session with other hosts");
	}
}

/* Who tries suspects has nothing else meanwhile. */
static void
check_alone(struct world *world, const struct worker *worker, const struct ipc_work *work)
{
	if (worker < &world->workers[ACTOR_SOLO - ACTOR_WORKER])
		return;
	for (int i = 0; i < SESSIONS_MAX; i++) {
		const struct transaction *other = &worker->transactions[i];
		struct ipc_work theirs;

		if (!other->is_used)
			continue;
		CHECK(ipc_decode(IPC_TYPE_work, buf_slice(&other->work), &theirs) == ERR_OK);
		if (theirs.queue_id != work->queue_id)
			fail(world, "a suspect was not alone in its worker");
	}
}

static void
count_one(struct told *told, uint64_t id)
{
	if (told->count == 0 || told->id != id)
		told->count++;
	told->id = id;
}

static struct recipient *
recipient_of(struct world *world, struct slice address)
{
	char text[64];
	unsigned message, number;

	(void)snprintf(text, sizeof(text), "%" SLICE_FMT, SLICE_ARG(address));
	if (sscanf(text, "r%u-%u@", &message, &number) != 2)
		return NULL;
	CHECK(message < world->message_count && number < RECIPIENTS_MAX);
	return &world->messages[message].recipients[number];
}

/* rules: L7 */
/* What local has made of a recipient is one message, ever. */
static void
count_copies(struct world *world, const struct ipc_work *work)
{
	struct ipc_recipient recipient;
	struct envelope envelope;

	CHECK(envelope_decode(work->envelope, &envelope) == ERR_OK);
	for (struct slice list = work->recipients;
		envelope.hop_count > 0 && ipc_recipient_next(&list, &recipient) == ERR_OK;) {
		struct recipient *target = recipient_of(world, recipient.address);

		if (target == NULL)
			continue;
		count_one(&target->copies, work->queue_id);
		if (target->copies.count > 1)
			fail(world, "a recipient was expanded twice");
	}
}

static void
take_work(struct world *world, struct worker *worker, struct slice payload,
	const struct ipc_work *work)
{
	check_hosts(world, session_find(worker, work->session), work);
	check_lease(world, work);
	check_alone(world, worker, work);
	check_hold(world, work);
	if (work->queue_id < world->copied_below)
		fail(world, "mail of a copied queue was given out");
	world->id_max = num_max_u64(world->id_max, work->queue_id);
	count_copies(world, work);
	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct transaction *transaction = &worker->transactions[i];

		if (transaction->is_used)
			continue;
		*transaction = (struct transaction){ .is_used = true, .session = work->session };
		buf_init(&transaction->work, 0);
		buf_add(&transaction->work, payload);
		return;
	}
	UNREACHED();
}

static enum model_event
model_event(enum ipc_outcome_kind kind)
{
	return kind == IPC_OUTCOME_DELIVERED ? MODEL_DELIVERED
	       : kind == IPC_OUTCOME_BOUNCED ? MODEL_REFUSED
					     : MODEL_LATER;
}

/* The model hears of each outcome that the core is told, and that the core says it keeps. */
static void
hear_outcomes(struct world *world, uint64_t queue_id, struct slice outcomes, bool is_durable)
{
	struct ipc_outcome outcome;

	while (ipc_outcome_next(&outcomes, &outcome) == ERR_OK) {
		enum model_event event = model_event((enum ipc_outcome_kind)outcome.kind);

		if (is_durable)
			model_durable(world->model, queue_id, outcome.number, event);
		else
			model_result(world->model, queue_id, outcome.number, event,
				model_now(world));
	}
}

static void
forget_result(struct world *world, int actor, const struct ipc_result_ack *ack)
{
	struct worker *worker = worker_of(world, actor);
	struct ipc_result told;

	for (int i = 0; i < RESULTS_MAX; i++) {
		struct result *result = &worker->results[i];

		if (result->is_used && result->queue_id == ack->queue_id &&
			result->attempt == ack->attempt) {
			CHECK(ipc_decode(IPC_TYPE_result, buf_slice(&result->frame), &told) ==
				ERR_OK);
			hear_outcomes(world, ack->queue_id, told.outcomes, true);
			buf_done(&result->frame);
			buf_done(&result->work);
			result->is_used = false;
		}
	}
}

/* Given back if it was not begun. */
static void
give_back(struct world *world, int actor, const struct ipc_work_recall *recall)
{
	struct worker *worker = worker_of(world, actor);

	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct transaction *transaction = &worker->transactions[i];
		struct ipc_work work;

		if (!transaction->is_used || transaction->is_begun)
			continue;
		CHECK(ipc_decode(IPC_TYPE_work, buf_slice(&transaction->work), &work) == ERR_OK);
		if (work.session != recall->session || work.queue_id != recall->queue_id ||
			work.attempt != recall->attempt)
			continue;
		say("work of %s is recalled\n", actor == ACTOR_WORKER ? "the first" : "the second");
		tell_core(world, actor, IPC_TYPE_work_return,
			&(struct ipc_work_return){ .session = recall->session,
				.queue_id = recall->queue_id, .attempt = recall->attempt });
		buf_done(&transaction->work);
		transaction->is_used = false;
	}
}

/* Expired: returned without having been refused by anybody. */
static void
check_expiry(struct world *world, const struct message *message, const struct recipient *recipient)
{
	uint64_t needed_us =
		message->arrival_us + (LIFETIME_S - BACKOFF_MAX_S) * (uint64_t)US_PER_S;

	if (message->is_expired)
		return;
	if (!world->is_short_lived)
		fail(world, "a recipient expired before its time");
	else if (!world->sets_clock && recipient->tried_us < needed_us)
		fail(world, "a recipient was returned that was not tried lately");
}

static void
count_action(struct world *world, struct message *message, struct recipient *recipient,
	const char *action, uint64_t id)
{
	if (strncmp(action, "Action: failed\r\nStatus: 4", 26) == 0)
		check_expiry(world, message, recipient);
	if (strncmp(action, "Action: failed", 14) == 0)
		count_one(&recipient->failure, id);
	else if (strncmp(action, "Action: delayed", 15) == 0)
		count_one(&recipient->delay, id);
	else if (strncmp(action, "Action: relayed", 15) == 0 ||
		 strncmp(action, "Action: delivered", 17) == 0)
		count_one(&recipient->success, id);
	else
		fail(world, "a report of another kind");
}

/* A report arrives: which recipients does it name? */
static void
count_reports(struct world *world, const struct ipc_work *work)
{
	static const char field[] = "Final-Recipient: rfc822; r";
	struct buf text;
	const char *at;

	buf_init(&text, 0);
	buf_add(&text, work->content);
	CHECK(buf_append_byte(&text, 0) == ERR_OK);
	at = (const char *)text.ptr;
	while ((at = strstr(at, field)) != NULL) {
		unsigned message, number;

		at += sizeof(field) - 1;
		if (sscanf(at, "%u-%u@", &message, &number) != 2 ||
			message >= world->message_count || number >= RECIPIENTS_MAX) {
			fail(world, "a report about nobody");
			break;
		}
		struct recipient *recipient = &world->messages[message].recipients[number];

		const char *action = strstr(at, "Action: ");

		say("report about r%u-%u\n", message, number);
		CHECK(action != NULL);
		count_action(world, &world->messages[message], recipient, action, work->queue_id);
	}
	buf_done(&text);
}

static enum ipc_outcome_kind
draw_outcome(struct world *world, bool is_report)
{
	if (is_report)
		return chance(world, world->is_calm || world->is_short_lived ? 0 : 6)
			       ? IPC_OUTCOME_DEFERRED
			       : IPC_OUTCOME_DELIVERED;
	if (chance(world, 7))
		return IPC_OUTCOME_BOUNCED;
	return !world->is_calm && chance(world, 4) ? IPC_OUTCOME_DEFERRED : IPC_OUTCOME_DELIVERED;
}

/* What the peer does is done here; whether anybody hears of it is another matter. */
static void
perform(struct world *world, struct transaction *transaction, struct buf *outcomes)
{
	struct ipc_work work;
	struct ipc_recipient recipient;
	struct envelope envelope;

	CHECK(ipc_decode(IPC_TYPE_work, buf_slice(&transaction->work), &work) == ERR_OK);
	CHECK(envelope_decode(work.envelope, &envelope) == ERR_OK);
	/* Other mail without a sender is about nobody. */
	bool is_report = envelope.sender.len == 0 && (envelope.flags & ENVELOPE_BOUNCE) != 0;

	for (struct slice list = work.recipients; ipc_recipient_next(&list, &recipient) == ERR_OK;) {
		enum ipc_outcome_kind kind = draw_outcome(world, is_report);
		struct recipient *target = recipient_of(world, recipient.address);
		struct ipc_outcome outcome = {
			.number = recipient.number,
			.kind = (uint8_t)kind,
			.dsn = slice_str(kind == IPC_OUTCOME_BOUNCED	? "5.1.1"
					 : kind == IPC_OUTCOME_DEFERRED ? "4.2.0"
									: "2.0.0"),
			.reason = SLICE_LIT("host mx.test said so"),
			.remote_mta = SLICE_LIT("mx.test"),
		};

		if (target != NULL) {
			target->tried_us = world->now.wall.us;
			target->is_refused |= kind == IPC_OUTCOME_BOUNCED;
		}

		if (kind == IPC_OUTCOME_DELIVERED && is_report)
			count_reports(world, &work);
		else if (kind == IPC_OUTCOME_DELIVERED && target != NULL)
			target->delivered++;
		say("outcome %d for %" SLICE_FMT "\n", kind, SLICE_ARG(recipient.address));
		ipc_outcome_put(outcomes, &outcome);
	}
}

static void
mark_uncertain(struct world *world, struct slice work_bytes)
{
	struct ipc_work work;
	struct ipc_recipient recipient;

	CHECK(ipc_decode(IPC_TYPE_work, work_bytes, &work) == ERR_OK);
	for (struct slice list = work.recipients; ipc_recipient_next(&list, &recipient) == ERR_OK;) {
		struct recipient *target = recipient_of(world, recipient.address);

		if (target != NULL)
			target->uncertain = true;
	}
}

/* A result goes to the core: what it is about counts as tried from now on. */
static void
tell_result(struct world *world, int actor, const struct ipc_result *result, struct slice work_bytes)
{
	struct ipc_work work;
	struct ipc_recipient recipient;

	CHECK(ipc_decode(IPC_TYPE_work, work_bytes, &work) == ERR_OK);
	for (struct slice list = work.recipients; ipc_recipient_next(&list, &recipient) == ERR_OK;) {
		struct recipient *target = recipient_of(world, recipient.address);

		if (target != NULL)
			target->told_at = world->now.mono;
	}
	hear_outcomes(world, result->queue_id, result->outcomes, false);
	tell_core(world, actor, IPC_TYPE_result, result);
}

static struct result *
find_room(struct worker *worker)
{
	for (int i = 0; i < RESULTS_MAX; i++)
		if (!worker->results[i].is_used)
			return &worker->results[i];
	return NULL;
}

/* Ends a transaction with these outcomes. */
static void
end_transaction(struct world *world, int actor, struct transaction *transaction,
	const struct buf *outcomes, bool is_forwarded)
{
	struct result *kept = find_room(worker_of(world, actor));
	struct ipc_work work;

	CHECK(ipc_decode(IPC_TYPE_work, buf_slice(&transaction->work), &work) == ERR_OK);
	struct ipc_result result = {
		.session = transaction->session,
		.queue_id = work.queue_id,
		.attempt = work.attempt,
		.outcomes = buf_slice(outcomes),
		.host = SLICE_LIT("mx.test"),
	};

	*kept = (struct result){ true, is_forwarded, work.queue_id, work.attempt, work.token, { 0 },
		transaction->work };
	buf_init(&kept->frame, 0);
	ipc_encode(&kept->frame, IPC_TYPE_result, false, &result);
	buf_consume(&kept->frame, IPC_HEADER_SIZE);
	/* The inventory goes first, and will name it. */
	if (!world->owes_inventory[actor])
		tell_result(world, actor, &result, buf_slice(&kept->work));
	transaction->is_used = false;
}

static void
finish(struct world *world, int actor, struct transaction *transaction)
{
	struct buf outcomes;

	if (find_room(worker_of(world, actor)) == NULL)
		return;
	buf_init(&outcomes, 0);
	perform(world, transaction, &outcomes);
	end_transaction(world, actor, transaction, &outcomes, false);
	buf_done(&outcomes);
}

/* Of NOTIFY the hop that expands has done what success wants. */
static uint8_t
notify_of_copy(uint8_t notify)
{
	if (notify == 0)
		return 0;
	notify &= (uint8_t)~DSN_NOTIFY_SUCCESS;
	return notify != 0 ? notify : DSN_NOTIFY_NEVER;
}

/*
 * A recipient of local's becomes one elsewhere, in a message of its own. False: not now. A lie
 * names a recipient that it was not given.
 */
static bool
expand(struct world *world, struct transaction *transaction, bool is_lie)
{
	static const char content[] = "Subject: t\r\n\r\nbody\r\n";
	struct recipient_entry entry = { 0 };
	struct ipc_recipient recipient;
	struct ipc_outcome outcome = { .kind = IPC_OUTCOME_DELIVERED, .dsn = SLICE_LIT("2.0.0"),
		.reason = SLICE_LIT("forwarded") };
	struct ipc_work work;
	struct envelope envelope;
	struct slice local;
	struct recipient *target;
	struct buf bytes, list, outcomes, address;

	if (world->ids[ACTOR_LOCAL].next >= world->ids[ACTOR_LOCAL].end)
		return false;
	CHECK(ipc_decode(IPC_TYPE_work, buf_slice(&transaction->work), &work) == ERR_OK);
	CHECK(envelope_decode(work.envelope, &envelope) == ERR_OK);
	struct slice rest = work.recipients;

	CHECK(ipc_recipient_next(&rest, &recipient) == ERR_OK);
	target = recipient_of(world, recipient.address);
	if (rest.len > 0 || target == NULL)
		return false;
	target->is_expanded |= !is_lie;
	buf_init(&bytes, 0);
	buf_init(&list, 0);
	buf_init(&outcomes, 0);
	buf_init(&address, 0);
	address_split(recipient.address, &local, NULL);
	buf_addf(&address, "%" SLICE_FMT "@d%u.test", SLICE_ARG(local),
		(unsigned)rng_below(&world->rng, LOCAL_DOMAIN));
	entry.address = buf_slice(&address);
	entry.notify = notify_of_copy(target->notify);
	CHECK(recipient_list_put(&list, &entry) == ERR_OK);
	envelope.warn_us = envelope.created_us = 0;
	envelope.flags = 0;
	envelope.arrival_us = world->now.wall.us;
	envelope.hop_count++;
	CHECK(envelope_encode(&envelope, &bytes) == ERR_OK);
	outcome.number = recipient.number + is_lie;
	ipc_outcome_put(&outcomes, &outcome);
	transaction->expansion = ++world->txn_next;
	transaction->copy_id = world->ids[ACTOR_LOCAL].next++;
	say("%" SLICE_FMT " is expanded\n", SLICE_ARG(recipient.address));
	if (!is_lie) {
		model_expands(world->model, work.queue_id, recipient.number);
		model_offer(world->model, &(struct model_facts){
						  .queue_id = transaction->copy_id,
						  .created_us = world->now.wall.us,
						  .is_null = envelope.sender.len == 0,
						  .is_mute = slice_equal_str(envelope.sender,
							  "mute@sender.test"),
						  .recipient_count = 1,
						  .notify = { model_notify(entry.notify) } });
	}
	tell_core(world, ACTOR_LOCAL, IPC_TYPE_intake_commit,
		&(struct ipc_intake_commit){ .txn = transaction->expansion,
			.queue_id = transaction->copy_id,
			.token = token_of(world, transaction->copy_id),
			.envelope = buf_slice(&bytes),
			.recipients = buf_slice(&list),
			.content = slice_str(content),
			.content_length = sizeof(content) - 1,
			.content_hash = hash_bytes(slice_str(content)),
			.expands = work.queue_id,
			.expands_attempt = work.attempt,
			.expands_outcome = buf_slice(&outcomes) });
	buf_done(&bytes);
	buf_done(&list);
	buf_done(&outcomes);
	buf_done(&address);
	return true;
}

/* The fate of a copy is the fate of its recipient. */
static void
end_expansion(struct world *world, const struct ipc_intake_result *answer)
{
	struct worker *worker = worker_of(world, ACTOR_LOCAL);
	bool is_done = answer->status == IPC_INTAKE_DURABLE;

	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct transaction *transaction = &worker->transactions[i];
		struct ipc_outcome outcome = {
			.kind = is_done ? IPC_OUTCOME_DELIVERED : IPC_OUTCOME_DEFERRED,
			.dsn = slice_str(is_done ? "2.0.0" : "4.3.0"),
			.reason = slice_str(is_done ? "forwarded" : "forwarding failed") };
		struct ipc_recipient recipient;
		struct ipc_work work;
		struct buf outcomes;

		if (!transaction->is_used || transaction->expansion != answer->txn)
			continue;
		if (find_room(worker) == NULL)
			UNREACHED();
		CHECK(ipc_decode(IPC_TYPE_work, buf_slice(&transaction->work), &work) == ERR_OK);
		CHECK(ipc_recipient_next(&work.recipients, &recipient) == ERR_OK);
		outcome.number = recipient.number;
		buf_init(&outcomes, 0);
		ipc_outcome_put(&outcomes, &outcome);
		end_transaction(world, ACTOR_LOCAL, transaction, &outcomes, is_done);
		buf_done(&outcomes);
		return;
	}
}

/* Whether another transaction of the same session came first. */
static bool
waits(const struct worker *worker, const struct transaction *transaction)
{
	for (int i = 0; i < SESSIONS_MAX; i++) {
		const struct transaction *other = &worker->transactions[i];

		if (other->is_used && other != transaction && other->is_begun &&
			other->session == transaction->session && transaction->session != 0)
			return true;
	}
	return false;
}

static void
session_act(struct world *world, int actor, struct worker_session *session)
{
	bool fails = !world->is_calm && !is_local(actor) &&
		     (chance(world, 6) || site_is_down(world, session->nexthop)) &&
		     !reports_must_arrive(world, slice_str(session->nexthop));
	struct ipc_session_end end = { .session = session->number,
		.cause = IPC_SESSION_FAILED,
		.dsn = SLICE_LIT("4.4.1"),
		.reason = SLICE_LIT("connect to mx.test: Connection refused") };

	if (session->is_ready) {
		struct worker *worker = worker_of(world, actor);

		for (int i = 0; i < SESSIONS_MAX; i++)
			if (worker->transactions[i].is_used &&
				worker->transactions[i].session == session->number)
				return;
		if (!chance(world, 10))
			return;
		end.cause = IPC_SESSION_IDLE;
		end.dsn = end.reason = slice_make(NULL, 0);
		session->number = 0;
		tell_core(world, actor, IPC_TYPE_session_end, &end);
	} else if (fails) {
		session_failed(world, session);
		session->number = 0;
		tell_core(world, actor, IPC_TYPE_session_end, &end);
	} else {
		session->is_ready = true;
		tell_core(world, actor, IPC_TYPE_session_ready,
			&(struct ipc_session_ready){
				.session = session->number, .host = SLICE_LIT("mx.test") });
	}
}

/* The message of a transaction, if it kills its worker now. */
static struct message *
find_poison(struct world *world, const struct transaction *transaction)
{
	struct ipc_work work;

	CHECK(ipc_decode(IPC_TYPE_work, buf_slice(&transaction->work), &work) == ERR_OK);
	for (uint32_t i = 0; i < world->message_count && !world->is_calm; i++)
		if (world->messages[i].queue_id == work.queue_id && world->messages[i].is_poison)
			return &world->messages[i];
	return NULL;
}

static void kill_worker(struct world *world, int actor);

/* rules: X9a */
static bool
is_killed_by(struct world *world, int actor, struct transaction *transaction)
{
	struct message *poison = find_poison(world, transaction);

	/* One of a dead queue manager is known to be under way: that ends it, and proves nothing. */
	if (poison == NULL || transaction->session == 0)
		return false;
	poison->has_killed |= actor < ACTOR_SOLO;
	poison->deaths += actor >= ACTOR_SOLO;
	if (poison->deaths > 2)
		fail(world, "a message killed a third worker for suspects");
	say("r%u kills its worker\n", (unsigned)(poison - world->messages));
	kill_worker(world, actor);
	return true;
}

static void
worker_act(struct world *world, int actor)
{
	struct worker *worker = worker_of(world, actor);
	unsigned at = (unsigned)rng_below(&world->rng, SESSIONS_MAX);

	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct transaction *transaction =
			&worker->transactions[(at + (unsigned)i) % SESSIONS_MAX];

		if (!transaction->is_used || transaction->is_stuck || waits(worker, transaction) ||
			transaction->expansion != 0)
			continue;
		if (!transaction->is_begun) {
			transaction->is_begun = true;
			if (is_killed_by(world, actor, transaction))
				return;
			transaction->is_stuck = !world->is_calm && chance(world, 200);
		} else if (actor != ACTOR_LOCAL || !chance(world, 2) ||
			   !expand(world, transaction, false)) {
			finish(world, actor, transaction);
		}
		break;
	}
	if (world->peers[actor] == 0)
		return;
	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct worker_session *session =
			&worker->sessions[(at + (unsigned)i) % SESSIONS_MAX];

		if (session->number != 0) {
			session_act(world, actor, session);
			break;
		}
	}
}

static void
worker_frame(struct world *world, int actor, struct slice payload, uint16_t type,
	const union ipc_any *any)
{
	struct worker *worker = worker_of(world, actor);

	if (type == IPC_TYPE_id_block)
		take_ids(world, actor, &any->id_block);
	else if (type == IPC_TYPE_intake_result)
		end_expansion(world, &any->intake_result);
	else if (type == IPC_TYPE_session_open)
		take_session(world, worker, &any->session_open);
	else if (type == IPC_TYPE_work && session_find(worker, any->work.session) != NULL)
		take_work(world, worker, payload, &any->work);
	else if (type == IPC_TYPE_work_recall)
		give_back(world, actor, &any->work_recall);
	else if (type == IPC_TYPE_result_ack)
		forget_result(world, actor, &any->result_ack);
}

/* A result for a recipient that it was not given: the core must not believe any of it. */
static void
lie(struct world *world, int actor)
{
	struct worker *worker = worker_of(world, actor);
	struct ipc_work work;
	struct buf outcomes;

	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct transaction *transaction = &worker->transactions[i];
		struct ipc_outcome outcome = { .number = RECIPIENTS_MAX + 7,
			.kind = IPC_OUTCOME_DELIVERED, .dsn = SLICE_LIT("2.0.0"),
			.reason = SLICE_LIT("believe me") };

		if (!transaction->is_used || transaction->session == 0 ||
			world->owes_inventory[actor] || world->peers[actor] == 0)
			continue;
		if (transaction->expansion != 0)
			continue;
		CHECK(ipc_decode(IPC_TYPE_work, buf_slice(&transaction->work), &work) == ERR_OK);
		world->liar = world->peers[actor];
		if (actor == ACTOR_LOCAL && chance(world, 2)) {
			if (expand(world, transaction, true) && world->liar != 0)
				fail(world, "a liar was believed");
			world->liar = 0;
			return;
		}
		buf_init(&outcomes, 0);
		ipc_outcome_put(&outcomes, &outcome);
		tell_core(world, actor, IPC_TYPE_result,
			&(struct ipc_result){ .session = transaction->session,
				.queue_id = work.queue_id,
				.attempt = work.attempt,
				.outcomes = buf_slice(&outcomes) });
		buf_done(&outcomes);
		if (world->liar != 0)
			fail(world, "a liar was believed");
		world->liar = 0;
		return;
	}
}

/* --- deaths ----------------------------------------------------------------------------------- */

static void
worker_forget(struct world *world, int actor)
{
	struct worker *worker = worker_of(world, actor);

	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct transaction *transaction = &worker->transactions[i];

		if (!transaction->is_used)
			continue;
		if (transaction->is_begun && transaction->expansion == 0) {
			struct buf outcomes;

			mark_uncertain(world, buf_slice(&transaction->work));
			buf_init(&outcomes, 0);
			if (chance(world, 2))
				perform(world, transaction, &outcomes);
			buf_done(&outcomes);
		}
		buf_done(&transaction->work);
	}
	memset(worker->sessions, 0, sizeof(worker->sessions));
	memset(worker->transactions, 0, sizeof(worker->transactions));
}

/* Results that nobody has recorded die with their worker. */
static void
results_forget(struct world *world, int actor)
{
	struct worker *worker = worker_of(world, actor);

	for (int i = 0; i < RESULTS_MAX; i++) {
		struct result *result = &worker->results[i];

		if (!result->is_used)
			continue;
		if (!result->is_forwarded)
			mark_uncertain(world, buf_slice(&result->work));
		buf_done(&result->frame);
		buf_done(&result->work);
		result->is_used = false;
	}
}

/* It needs queue IDs; a survivor asks what became of its copies. */
static void
connect_local(struct world *world)
{
	struct worker *worker = worker_of(world, ACTOR_LOCAL);

	world->ids[ACTOR_LOCAL].next = world->ids[ACTOR_LOCAL].end = 0;
	tell_core(world, ACTOR_LOCAL, IPC_TYPE_id_request, &(struct ipc_id_request){ .count = 1 });
	for (int i = 0; i < SESSIONS_MAX; i++) {
		const struct transaction *transaction = &worker->transactions[i];

		if (transaction->is_used && transaction->expansion != 0)
			tell_core(world, ACTOR_LOCAL, IPC_TYPE_intake_query,
				&(struct ipc_intake_query){ .txn = transaction->expansion,
					.queue_id = transaction->copy_id,
					.token = token_of(world, transaction->copy_id) });
	}
}

static void
connect_actor(struct world *world, int actor, bool survivor)
{
	static const enum core_peer_kind kinds[] = { CORE_PEER_INTAKE, CORE_PEER_RESOLVER };
	enum core_peer_kind kind = actor < ACTOR_WORKER	? kinds[actor]
				   : is_local(actor)	? CORE_PEER_LOCAL
							: CORE_PEER_SMTP;

	world->peers[actor] = ++world->next_peer;
	if (!survivor)
		world->pids[actor] = ++world->next_pid;
	core_peer_up(world->core, world->peers[actor], kind, world->pids[actor], survivor, NULL,
		world->now);
	if (actor == ACTOR_LOCAL)
		connect_local(world);
	if (actor >= ACTOR_SOLO)
		core_peer_is_solo(world->core, world->peers[actor]);
}

static void
kill_worker(struct world *world, int actor)
{
	core_peer peer = world->peers[actor];

	if (peer == 0)
		return;
	say("worker %d is killed\n", actor - ACTOR_WORKER);
	worker_forget(world, actor);
	results_forget(world, actor);
	drop_frames(world, actor);
	world->peers[actor] = 0;
	world->owes_inventory[actor] = false;
	core_peer_down(world->core, peer, world->now);
	if (actor < ACTOR_SOLO)
		connect_actor(world, actor, false);
}

/* Claims work that it was never given: the name of a lease is easily guessed, its token is not. */
static bool
forge_inventory(struct world *world, int actor)
{
	const struct message *message;
	struct core_counts before, after;

	if (world->is_calm || world->message_count == 0 || !chance(world, 30))
		return false;
	message = &world->messages[rng_below(&world->rng, world->message_count)];
	core_counts(world->core, &before);
	world->liar = world->peers[actor];
	tell_core(world, actor, IPC_TYPE_inventory_item,
		&(struct ipc_inventory_item){ .queue_id = message->queue_id,
			.attempt = chance(world, 2) ? 1 : UINT32_MAX,
			.token = rng_next(&world->rng) });
	core_counts(world->core, &after);
	if (world->liar != 0 || after.locked != before.locked)
		fail(world, "a forged inventory was believed");
	world->liar = 0;
	world->owes_inventory[actor] = false;
	return true;
}

static void
send_inventory(struct world *world, int actor)
{
	struct worker *worker = worker_of(world, actor);
	uint32_t count = 0;

	if (forge_inventory(world, actor))
		return;
	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct transaction *transaction = &worker->transactions[i];
		struct ipc_work work;
		struct ipc_recipient recipient;
		struct buf numbers;

		if (!transaction->is_used)
			continue;
		CHECK(ipc_decode(IPC_TYPE_work, buf_slice(&transaction->work), &work) == ERR_OK);
		buf_init(&numbers, 0);
		for (struct slice list = work.recipients;
			ipc_recipient_next(&list, &recipient) == ERR_OK;)
			ipc_number_put(&numbers, recipient.number);
		tell_core(world, actor, IPC_TYPE_inventory_item,
			&(struct ipc_inventory_item){ .queue_id = work.queue_id,
				.attempt = work.attempt,
				.token = work.token,
				.recipients = buf_slice(&numbers) });
		buf_done(&numbers);
		count++;
	}
	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < RESULTS_MAX; i++) {
			struct result *kept = &worker->results[i];
			struct ipc_result result;
			struct ipc_outcome outcome;
			struct buf numbers;

			if (!kept->is_used)
				continue;
			CHECK(ipc_decode(IPC_TYPE_result, buf_slice(&kept->frame), &result) ==
				ERR_OK);
			result.session = 0;
			if (pass == 1) {
				tell_result(world, actor, &result, buf_slice(&kept->work));
				continue;
			}
			buf_init(&numbers, 0);
			for (struct slice list = result.outcomes;
				ipc_outcome_next(&list, &outcome) == ERR_OK;)
				ipc_number_put(&numbers, outcome.number);
			tell_core(world, actor, IPC_TYPE_inventory_item,
				&(struct ipc_inventory_item){ .queue_id = result.queue_id,
					.attempt = result.attempt,
					.token = kept->token,
					.recipients = buf_slice(&numbers),
					.finished = 1 });
			buf_done(&numbers);
			count++;
		}
	world->owes_inventory[actor] = false;
	tell_core(world, actor, IPC_TYPE_inventory_end,
		&(struct ipc_inventory_end){ .count = count });
}

/* The queue manager is dead: sessions are void, what was not begun is dropped. */
static void
orphan(struct worker *worker)
{
	memset(worker->sessions, 0, sizeof(worker->sessions));
	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct transaction *transaction = &worker->transactions[i];

		if (transaction->is_used && !transaction->is_begun) {
			buf_done(&transaction->work);
			transaction->is_used = false;
		}
		transaction->session = 0;
	}
}

static void
start_core(struct world *world, uint32_t survivors)
{
	struct core_options options = {
		.log = &world->log,
		.disk = &world->disk.disk,
		.config = world->config,
		.out = &core_out,
		.ctx = world,
		.seed = rng_next(&world->rng),
		.origin = world->origin,
		.copies_on_write = world->copies_on_write,
		.survivors = survivors,
		.planted = (world->planted & OF_RULES) != 0 ? 0 : world->planted,
		.planted_rules = (world->planted & OF_RULES) != 0 ? world->planted & ~OF_RULES : 0,
	};

	model_crashed(world->model, model_now(world));
	model_copied(world->model, 0); /* else the new one says so */
	world->in_memory_count = 0;
	memcpy(options.deaths, world->deaths, sizeof(options.deaths));
	options.death_count = world->death_count;
	world->dies_with = 0;
	world->is_open = false;
	world->expired = 0; /* a new queue manager counts anew */
	world->had_survivors = survivors > 0;
	world->was_commanded = false;
	world->core = core_new(&options);
	core_open(world->core, world->now);
	for (unsigned i = 0; !world->is_open && world->bug == NULL; i++) {
		while (disk_sim_step(&world->disk))
			continue;
		core_step(world->core, world->now);
		if (i > 10000)
			fail(world, "recovery does not end");
	}
}

/* Everybody who lives meets the new queue manager. */
static void
reconnect(struct world *world, bool survivors)
{
	for (int actor = 0; actor < ACTOR_COUNT && world->bug == NULL; actor++) {
		if (actor >= ACTOR_SOLO && !world->has_solo[actor - ACTOR_SOLO])
			continue;
		connect_actor(world, actor, survivors);
		world->owes_inventory[actor] = actor >= ACTOR_WORKER && survivors;
	}
	memset(world->ids, 0, sizeof(world->ids));
	tell_core(world, ACTOR_CLIENT, IPC_TYPE_id_request, &(struct ipc_id_request){ .count = 1 });
	for (uint32_t i = 0; i < world->message_count; i++) {
		struct message *message = &world->messages[i];

		if (message->is_answered)
			continue;
		if (survivors)
			tell_core(world, ACTOR_CLIENT, IPC_TYPE_intake_query,
				&(struct ipc_intake_query){
					.txn = message->txn, .queue_id = message->queue_id,
					.token = token_of(world, message->queue_id) });
		else
			message->is_answered = true; /* the client heard nothing */
	}
}

/* The machine's disk runs in another one, or somebody has said that the queue is a copy. */
static void
become_copy(struct world *world)
{
	switch (rng_below(&world->rng, 3)) {
	case 0:
		world->origin.machine[0]++;
		break;
	case 1:
		world->origin.directory++;
		break;
	default:
		world->origin.mark = rng_next(&world->rng) | 1;
		break;
	}
	say("the queue is a copy now\n");
	world->copied_below = world->copied_at = world->id_max + 1;
}

static uint32_t
count_survivors(const struct world *world)
{
	uint32_t count = WORKERS - SOLOS;

	for (int i = 0; i < SOLOS; i++)
		count += world->has_solo[i];
	return count;
}

static void
crash(struct world *world, bool power)
{
	for (int i = 0; i < SOLOS; i++) {
		world->has_solo[i] = !power && world->peers[ACTOR_SOLO + i] != 0;
		world->is_solo_wanted[i] = false;
	}
	/* What lies in sockets is read by those who live on, but for the power. */
	for (int actor = 0; actor < ACTOR_COUNT; actor++) {
		if (actor >= ACTOR_WORKER && !power)
			orphan(worker_of(world, actor));
		if (actor >= ACTOR_WORKER && power) {
			worker_forget(world, actor);
			results_forget(world, actor);
		}
		drop_frames(world, actor);
		world->peers[actor] = 0;
	}
	say(power ? "power fails\n" : "the queue manager is killed\n");
	if (power && world->sets_clock && chance(world, 4)) {
		world->now.wall.us += DOWN_S * US_PER_S;
		world->now.mono.ns += DOWN_S * NS_PER_S;
		world->set_at = world->now.mono; /* for what expires it is the same */
		world->drift_ns = 0;
		say("for thirty days\n");
	}
	/* The next queue manager knows of deaths what was written of them. */
	for (uint32_t i = 0; i < world->message_count; i++) {
		world->messages[i].has_killed = false;
		world->messages[i].deaths = 0;
		if (power)
			world->messages[i].qmgr_deaths = 0;
	}
	if (power)
		world->death_count = 0; /* master died too */
	disk_sim_die(&world->disk);
	if (power)
		disk_sim_lose_power(&world->disk);
	if (power && chance(world, 3))
		become_copy(world);
	start_core(world, power ? 0 : count_survivors(world));
	if (world->bug == NULL)
		reconnect(world, !power);
}

/* What master does with the black box. Two deaths are the end of the message, by name. */
static void
die_with(struct world *world)
{
	uint64_t id = world->dies_with;
	unsigned at = 0;

	while (at < world->death_count && world->deaths[at].queue_id != id)
		at++;
	if (at == world->death_count && at < CORE_DEATHS_MAX)
		world->deaths[world->death_count++] = (struct core_death){ .queue_id = id };
	world->deaths[at % CORE_DEATHS_MAX].count++;
	for (uint32_t i = 0; i < world->message_count; i++) {
		struct message *message = &world->messages[i];

		if (message->queue_id != id)
			continue;
		say("r%u kills the queue manager\n", i);
		if (++message->qmgr_deaths > 2)
			fail(world, "a message killed a third queue manager");
		message->is_removed |= message->qmgr_deaths == 2;
	}
	crash(world, false);
}

/* --- a run ------------------------------------------------------------------------------------ */

static void
deliver_frame(struct world *world)
{
	int actor = (int)rng_below(&world->rng, ACTOR_COUNT);
	struct frame *frame = STAILQ_FIRST(&world->frames[actor]);
	union ipc_any any;

	if (frame == NULL || world->stalled[actor] > 0)
		return;
	STAILQ_REMOVE_HEAD(&world->frames[actor], link);
	CHECK(ipc_decode(frame->type, buf_slice(&frame->payload), &any) == ERR_OK);
	if (actor == ACTOR_CLIENT)
		client_frame(world, frame->type, &any);
	else if (actor == ACTOR_RESOLVER)
		resolver_frame(world, frame->type, &any);
	else
		worker_frame(world, actor, buf_slice(&frame->payload), frame->type, &any);
	buf_done(&frame->payload);
	mem_free(frame);
}

/* By minutes, or by days. Less than a minute is drift. */
static void
set_clock(struct world *world)
{
	int64_t by_s = chance(world, 4)	  ? 10 * 86400
		       : chance(world, 4) ? -86400
		       : chance(world, 3) ? (int64_t)rng_below(&world->rng, 20 * 86400) - 10 * 86400
					  : (int64_t)rng_below(&world->rng, 600) - 200;

	world->now.wall.us += (uint64_t)by_s * US_PER_S;
	if (by_s > 61 || by_s < -61) {
		world->set_at = world->now.mono;
		world->drift_ns = 0;
	} else if (by_s > 0) {
		world->drift_ns += (uint64_t)by_s * NS_PER_S;
	}
	say("the clock is set by %lld s\n", (long long)by_s);
	model_clock_set(world->model, by_s > 61 || by_s < -61, by_s < 0, model_now(world));
}

static void
pass_time(struct world *world)
{
	uint64_t ns = rng_below(&world->rng, 20 * NS_PER_MS);

	if (chance(world, world->is_calm ? 20 : 100))
		ns = rng_below(&world->rng, 2 * NS_PER_S);
	world->now.mono.ns += ns;
	world->now.wall.us += ns / 1000;
	if (world->sets_clock && !world->is_calm && chance(world, 400))
		set_clock(world);
}

/* A survivor takes its time with its inventory; one that takes too long is killed, which takes its
 * time too. */
static void
survivors_act(struct world *world)
{
	int kept = 0;

	for (int actor = ACTOR_WORKER; actor < ACTOR_COUNT; actor++)
		if (world->owes_inventory[actor] && world->stalled[actor] == 0 && chance(world, 5))
			send_inventory(world, actor);
	for (int i = 0; i < world->condemned_count; i++)
		for (int actor = ACTOR_WORKER; actor < ACTOR_COUNT; actor++) {
			if (world->pids[actor] != world->condemned[i])
				continue;
			if (world->owes_inventory[actor] && !chance(world, 3)) {
				world->stalled[actor] = 0; /* it wakes up just now */
				world->condemned[kept++] = world->condemned[i];
			} else {
				kill_worker(world, actor);
			}
			break;
		}
	world->condemned_count = kept;
}

static void
let_act(struct world *world, int actor)
{
	for (int i = 0; i < ACTOR_COUNT; i++)
		if (world->stalled[i] > 0)
			world->stalled[i]--;
	if (world->stalled[actor] == 0)
		worker_act(world, actor);
}

/* rules: K1 */
/* What survivors hold or operators want comes into memory whatever the limit. */
static void
check_active(struct world *world)
{
	struct core_counts counts;

	core_counts(world->core, &counts);
	if (counts.active > ACTIVE_LIMIT && !world->had_survivors && !world->was_commanded)
		fail(world, "more messages in memory than qmgr_message_active_limit");
}

static void
step(struct world *world)
{
	survivors_act(world);
	for (int i = 0; i < SOLOS; i++)
		if (world->is_solo_wanted[i] && world->peers[ACTOR_SOLO + i] == 0 &&
			chance(world, 5)) {
			world->is_solo_wanted[i] = false;
			connect_actor(world, ACTOR_SOLO + i, false);
		}
	for (uint64_t i = rng_below(&world->rng, 4); i > 0; i--)
		(void)disk_sim_step(&world->disk);
	for (uint64_t i = rng_below(&world->rng, 6); i > 0; i--)
		deliver_frame(world);
	let_act(world, ACTOR_WORKER + (int)rng_below(&world->rng, WORKERS));
	pass_time(world);
	core_step(world->core, world->now);
	if (world->dies_with != 0)
		die_with(world);
	check_active(world);
	compare(world);
}

/* An operator's tool asks for one thing and leaves. The words end with NULL. */
static void
command(struct world *world, const char *what, const char *const *which)
{
	core_peer tool = ++world->next_peer;
	static const struct core_user operator = { CORE_MAY_ALL, "operator" };
	struct ipc_control_request request = { .request = 1, .command = slice_str(what) };
	struct buf words, bytes;

	world->was_commanded = true;
	buf_init(&words, 0);
	buf_init(&bytes, 0);
	for (; *which != NULL; which++)
		ipc_bytes_put(&words, slice_str(*which));
	request.arguments = buf_slice(&words);
	ipc_encode(&bytes, IPC_TYPE_control_request, false, &request);
	core_peer_up(world->core, tool, CORE_PEER_TOOL, (uint32_t)tool, false, &operator, world->now);
	core_frame(world->core, tool, IPC_TYPE_control_request,
		slice_from(buf_slice(&bytes), IPC_HEADER_SIZE), world->now);
	core_step(world->core, world->now);
	core_peer_down(world->core, tool, world->now);
	compare(world);
	buf_done(&words);
	buf_done(&bytes);
}

static void
operate_on(struct world *world, struct message *message)
{
	static const char *const commands[] = { "hold", "release", "requeue", "flush", "delete",
		"expire" };
	const char *what = commands[rng_below(&world->rng, 6)];
	char id[QUEUE_ID_TEXT_SIZE];
	bool is_all = strcmp(what, "flush") == 0 && chance(world, 2);

	(void)queue_id_format(message->queue_id, id);
	if (strcmp(what, "delete") == 0 && !chance(world, 4))
		return;
	if (strcmp(what, "delete") == 0)
		message->is_removed = true;
	if (strcmp(what, "release") == 0) {
		message->is_held = false;
		message->deaths = 0;
	}
	if (strcmp(what, "expire") == 0)
		message->is_expired = true;
	if (strcmp(what, "flush") == 0)
		model_flushed(world->model, true);
	say("operator: %s %s\n", what, is_all ? "" : id);
	command(world, what, (const char *const[]){ is_all ? NULL : id, NULL });
	if (strcmp(what, "flush") == 0)
		model_flushed(world->model, false);
}

/* Half the time it is one of the last, which may be in flight; and then he may think better of it. */
static void
operate(struct world *world)
{
	uint64_t from = chance(world, 2) ? num_min_u64(world->message_count, 8)
					 : world->message_count;
	struct message *message;

	if (from == 0)
		return;
	message = &world->messages[world->message_count - 1 - rng_below(&world->rng, from)];
	do
		operate_on(world, message);
	while (chance(world, 2));
}

/* What is on hold, also because two workers died with it, is let go by an operator. */
static void
release_held(struct world *world)
{
	for (uint32_t i = 0; i < world->message_count; i++)
		world->messages[i].is_held = false;
	for (uint32_t i = 0; i < world->message_count; i++)
		world->messages[i].deaths = 0;
	world->copied_below = 0;
	command(world, "release", (const char *const[]){ "ALL", NULL });
}

/* What nobody can be told of is kept for an operator to decide (D7). */
static void
delete_mute(struct world *world)
{
	for (uint32_t i = 0; i < world->message_count; i++)
		world->messages[i].is_removed |= world->messages[i].is_mute;
	command(world, "delete", (const char *const[]){ "sender", "mute@sender.test", NULL });
}

static void
fault_step(struct world *world)
{
	if (chance(world, 6))
		send_message(world);
	if (chance(world, 300))
		kill_worker(world, ACTOR_WORKER + (int)rng_below(&world->rng, WORKERS));
	if (chance(world, 250))
		world->stalled[rng_below(&world->rng, ACTOR_COUNT)] =
			(unsigned)rng_below(&world->rng, 300);
	if (chance(world, 400))
		lie(world, ACTOR_WORKER + (int)rng_below(&world->rng, WORKERS));
	if (world->has_operator && chance(world, 30))
		operate(world);
	if (world->copied_below != 0 && chance(world, 150))
		release_held(world);
	if (chance(world, 200))
		crash(world, chance(world, 3));
}

/* rules: D65 */
static bool
is_finished(const struct world *world)
{
	struct core_counts counts;

	core_counts(world->core, &counts);
	return counts.messages == 0 && counts.active == 0 && counts.changes == 0;
}

/* For whoever looks into a failing seed. */
static void
say_counts(const struct world *world)
{
	struct core_counts counts;

	core_counts(world->core, &counts);
	if (world->planted == 0)
		printf("messages %llu, active %u, loading %u, leases %u, sessions %u, locked %u, "
		       "changes %u\n",
			(unsigned long long)counts.messages, counts.active, counts.loading,
			counts.leases, counts.sessions, counts.locked, counts.changes);
}

/* NOTIFY wants no report of failure, and there was one. */
static bool
may_end_unheard(const struct world *world, const struct message *message,
	const struct recipient *recipient)
{
	return (message->is_null || (recipient->notify != 0 &&
					    (recipient->notify & DSN_NOTIFY_FAILURE) == 0)) &&
	       (recipient->is_refused || world->is_short_lived || message->is_expired);
}

/* Reports came where they were asked for, once. */
static void
judge_told(
	struct world *world, const struct message *message, const struct recipient *recipient)
{
	uint8_t notify = recipient->notify;
	bool is_sure = message->is_acknowledged && !message->is_removed &&
		       !recipient->uncertain && !message->is_null && !message->is_mute;

	if (recipient->failure.count > 1)
		fail(world, "two reports about one recipient");
	if (recipient->failure.count > 0 && notify != 0 && (notify & DSN_NOTIFY_FAILURE) == 0)
		fail(world, "a failure was reported although NOTIFY does not want it");
	/* A requeued message begins anew. */
	if (recipient->delay.count > 1 && !world->has_operator)
		fail(world, "two reports of one delay");
	if (recipient->delay.count > 0 &&
		(!message->is_warned || (notify != 0 && (notify & DSN_NOTIFY_DELAY) == 0)))
		fail(world, "a delay was reported that nobody asked for");
	if (recipient->success.count > 1)
		fail(world, "two reports of one delivery");
	if (recipient->success.count > 0 && (notify & DSN_NOTIFY_SUCCESS) == 0)
		fail(world, "a delivery was reported that nobody asked for");
	if (is_sure && recipient->delivered > 0 && (notify & DSN_NOTIFY_SUCCESS) != 0 &&
		recipient->success.count == 0)
		fail(world, "a delivery was not reported that was asked for");
}

/* rules: L2 L10 L45 Y1 Y9 */
static void
judge(struct world *world)
{
	for (uint32_t m = 0; m < world->message_count; m++) {
		const struct message *message = &world->messages[m];

		for (uint32_t r = 0; r < message->recipient_count; r++) {
			const struct recipient *recipient = &message->recipients[r];
			uint32_t ends = recipient->delivered + recipient->failure.count;

			judge_told(world, message, recipient);
			if (message->is_acknowledged && !message->is_removed && ends == 0
				&& !may_end_unheard(world, message, recipient)) {
				say("lost: r%u-%u\n", m, r);
				fail(world, "an acknowledged recipient got lost");
			}
			if (!recipient->uncertain && ends > 1) {
				say("repeated: r%u-%u\n", m, r);
				fail(world, "a finished recipient was repeated");
			}
		}
	}
}

/* rules: M9 */
static const char *
run(uint64_t seed, unsigned planted, struct config *config)
{
	struct world *world = MEM_NEW(struct world);
	const char *bug;
	unsigned steps = 0;

	rng_init(&world->rng, seed);
	world->config = config;
	world->planted = planted;
	world->has_operator = seed % 2 == 0;
	world->copies_on_write = seed % 5 == 0;
	world->is_short_lived = seed % 4 >= 2;
	world->sets_clock = world->is_short_lived && seed % 8 >= 4;
	world->log.line = say_line;
	world->origin = (struct core_origin){ .machine = { 1 }, .directory = 1 };
	world->now = (struct instant){ { NS_PER_S }, { UINT64_C(1700000000) * US_PER_S } };
	world->model = model_new(&(struct model_options){
		.lifetime_us = world->is_short_lived ? LIFETIME_S * US_PER_S : 5 * 86400 * US_PER_S,
		.null_lifetime_us = 5 * 86400 * US_PER_S,
		.backoff_min_us = BACKOFF_MIN_S * US_PER_S,
		.backoff_max_us = BACKOFF_MAX_S * US_PER_S,
		.jitter_percent = JITTER_PERCENT,
		.expiry_rate = EXPIRY_RATE,
		.blur_us = 10 * US_PER_S });
	for (int i = 0; i < ACTOR_COUNT; i++)
		STAILQ_INIT(&world->frames[i]);
	disk_sim_init(&world->disk, rng_next(&world->rng));
	start_core(world, 0);
	if (world->bug == NULL)
		reconnect(world, false);
	for (; steps < STEPS && world->bug == NULL; steps++) {
		step(world);
		fault_step(world);
	}
	world->is_calm = true;
	for (steps = 0; steps < SETTLE_STEPS && world->bug == NULL && !is_finished(world);
		steps++) {
		step(world);
		if (steps % 1000 == 999)
			release_held(world);
		if (steps % 1000 == 499)
			delete_mute(world);
	}
	if (world->bug == NULL && !is_finished(world)) {
		fail(world, "something waits for ever");
		say_counts(world);
	}
	if (world->bug == NULL)
		judge(world);
	/* The process ends soon: the words may be the model's. */
	bug = world->bug;
	if (bug == NULL)
		model_free(world->model);
	disk_sim_done(&world->disk);
	mem_free(world);
	return bug;
}

/* --- program ---------------------------------------------------------------------------------- */

static const struct seeds_plant plants[] = {
	{ "clock-ids", CORE_PLANT_CLOCK_IDS }, /* rules: L8 */
	{ "clock-unseen", CORE_PLANT_CLOCK_UNSEEN }, /* rules: B15 */
	{ "expire-fast", CORE_PLANT_EXPIRE_FAST },
	{ "ack-early", CORE_PLANT_ACK_EARLY },
	{ "result-lost", CORE_PLANT_RESULT_LOST }, /* rules: K16 N7 Y6 Y10 */
	{ "no-inventory", CORE_PLANT_NO_INVENTORY }, /* rules: F13 R3 B6 J22 */
	{ "bounce-twice", CORE_PLANT_BOUNCE_TWICE }, /* rules: N30 */
	{ "forget-death", CORE_PLANT_FORGET_DEATH }, /* rules: X2 X9a X9b Y20 */
	{ "lose-deferred", CORE_PLANT_LOSE_DEFERRED }, /* rules: Q2 Q5 */
	{ "done-early", CORE_PLANT_DONE_EARLY }, /* rules: D40 */
	{ "unlock-early", CORE_PLANT_UNLOCK_EARLY }, /* rules: F13 */
	{ "forget-hold", CORE_PLANT_FORGET_HOLD },
	{ "expire-silent", CORE_PLANT_EXPIRE_SILENT },
	{ "lose-crowded", CORE_PLANT_LOSE_CROWDED },
	{ "one-site", CORE_PLANT_ONE_SITE },
	{ "warn-again", CORE_PLANT_WARN_AGAIN },
	{ "forget-success", CORE_PLANT_FORGET_SUCCESS },
	{ "report-never", CORE_PLANT_REPORT_NEVER },
	{ "forget-copy", CORE_PLANT_FORGET_COPY },
	{ "suspect-among", CORE_PLANT_SUSPECT_AMONG }, /* rules: X9a */
	{ "read-deadly", CORE_PLANT_READ_DEADLY },
	{ "no-deadline", CORE_PLANT_NO_DEADLINE }, /* rules: X5 Y19 */
	{ "batch-again", CORE_PLANT_BATCH_AGAIN }, /* rules: K11 */
	{ "expand-twice", CORE_PLANT_EXPAND_TWICE },
	{ "batch-stops", CORE_PLANT_BATCH_STOPS }, /* rules: F14 D24 */
	{ "warn-first", OF_RULES | CORE_RULE_WARN_FIRST }, /* rules: D42 D45 D50 */
	{ "warn-early", OF_RULES | CORE_RULE_WARN_EARLY }, /* rules: D47 */
	{ "mark-failed", OF_RULES | CORE_RULE_MARK_FAILED }, /* rules: D7 L44 */
	{ "give-up", OF_RULES | CORE_RULE_GIVE_UP }, /* rules: D46 */
	{ "flush-stays", OF_RULES | CORE_RULE_FLUSH_STAYS }, /* rules: F9 R9 */
	{ "no-minimum", OF_RULES | CORE_RULE_NO_MINIMUM }, /* rules: D61 */
	{ "no-maximum", OF_RULES | CORE_RULE_NO_MAXIMUM }, /* rules: D60 */
	{ "negative-age", OF_RULES | CORE_RULE_NEGATIVE_AGE }, /* rules: D60 */
	{ "hold-lost", OF_RULES | CORE_RULE_HOLD_LOST }, /* rules: L42 */
	{ "copy-held", OF_RULES | CORE_RULE_COPY_HELD }, /* rules: O43 */
	{ "admit-early", OF_RULES | CORE_RULE_ADMIT_EARLY }, /* rules: F5 */
	{ "expire-first", OF_RULES | CORE_RULE_EXPIRE_FIRST }, /* rules: D2 */
	{ "delete-undone", OF_RULES | CORE_RULE_DELETE_UNDONE }, /* rules: L42 */
	{ "requeue-lost", OF_RULES | CORE_RULE_REQUEUE_LOST }, /* rules: O43 */
};

static struct config *
make_config(const char *lifetime, const char *policy)
{
	char policy_line[64];
	const char *const overrides[] = { "myhostname=sim.test", "mydestination=d3.test",
		/* A loop: no report to this one can be made. */
		"virtual_alias_maps=inline:{ mute@sender.test=sender@mute.test, "
		"sender@mute.test=mute@sender.test }",
		"default_destination_concurrency_limit=3", "initial_destination_concurrency=2",
		"qmgr_message_active_limit=25", "minimal_backoff_time=1s", "maximal_backoff_time=4s",
		"default_destination_concurrency_failed_cohort_limit=3",
		"journal_segment_size=1048576", "expiry_rate=2", lifetime, policy_line,
		"daemon_timeout=120s",
		"qmgr_message_recipient_limit=25", "qmgr_message_recipient_minimum=1",
		"default_recipient_refill_limit=3", "default_recipient_refill_delay=1s" };
	struct config_options options = { .directory_fd = -1,
		.overrides = overrides,
		.override_count = sizeof(overrides) / sizeof(overrides[0]),
		.hostname = "sim.test",
		.number = 1 };
	struct buf image, warnings;
	struct fault fault = { 0 };
	struct config *config;

	(void)snprintf(policy_line, sizeof(policy_line), "scheduler_concurrency_policy=%s",
		policy);
	buf_init(&image, 0);
	buf_init(&warnings, 0);
	if (config_compile(&options, &image, &warnings, &fault) != ERR_OK ||
		config_open(buf_slice(&image), &config, &fault) != ERR_OK) {
		printf("configuration: %s\n", fault.text);
		exit(2);
	}
	buf_done(&warnings);
	return config;
}

static const char *
run_seed(uint64_t seed, unsigned planted, bool log)
{
	static struct config *configs[4];

	if (configs[0] == NULL) {
		configs[0] = make_config("maximal_queue_lifetime=5d", "adaptive");
		configs[1] = make_config("maximal_queue_lifetime=12s", "adaptive"); /* LIFETIME_S */
		configs[2] = make_config("maximal_queue_lifetime=5d", "classic");
		configs[3] = make_config("maximal_queue_lifetime=12s", "classic");
	}
	is_verbose = log;
	return run(seed, planted, configs[(seed % 4 >= 2) + 2 * (seed % 3 == 0)]);
}

int
main(int argc, char **argv)
{
	static const struct seeds_program program = { run_seed, plants,
		sizeof(plants) / sizeof(plants[0]) };

	return seeds_main(argc, argv, &program);
}
