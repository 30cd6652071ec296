/*
 * control.c - what operators ask for: listing, show, flush, hold, release, delete, requeue, status
 *
 * Requests come as control_request frames and become jobs. A job walks over messages in slices, one
 * slice per turn, and waits while its reader is slow, so that no request delays deliveries. Answers
 * are lines of JSON (control_json.c). Commands: docs/protocol/control.md.
 *
 *   walk    queue, flush, flush site, and every command with ALL: all messages of the store
 *   list    show, flush id, hold, release, delete, requeue: the given IDs
 *   at once status, metrics, health; snapshot and upgrade-journal have their own files
 */
#include "qmgr/control_priv.h"

#include "base/check.h"
#include "base/mem.h"

#include <sysexits.h>

enum { SLICE_STEPS = 500, OUTSTANDING_MAX = 256, READER_PENDING_MAX = 1024 * 1024 };

#define BLOCKED_NS (20 * NS_PER_MS)

struct command {
	const char *name;
	enum job_kind kind;
	bool changes;
};

static const struct command commands[] = {
	{ "queue", JOB_QUEUE, false },
	{ "show", JOB_SHOW, false },
	{ "flush", JOB_FLUSH, false },
	{ "hold", JOB_HOLD, true },
	{ "release", JOB_RELEASE, true },
	{ "delete", JOB_DELETE, true },
	{ "requeue", JOB_REQUEUE, true },
	{ "status", JOB_STATUS, false },
	{ "metrics", JOB_METRICS, false },
	{ "health", JOB_HEALTH, false },
	{ "snapshot", JOB_SNAPSHOT, true },
	{ "upgrade-journal", JOB_UPGRADE, true },
};

static const char may_not[] =
	"only root, the mail owner and the user that started Ostler may do this";

/* --- answers ---------------------------------------------------------------------------------- */

void
job_say(struct job *job, struct slice text)
{
	if (job->peer != 0)
		SEND(job->core, job->peer, control_reply, .request = job->request, .text = text);
}

static void
job_end(struct job *job, uint8_t exit_code, struct slice text)
{
	struct core *core = job->core;

	if (job->peer != 0)
		SEND(core, job->peer, control_reply, .request = job->request, .final = 1,
			.exit_code = exit_code, .text = text);
	LIST_REMOVE(job, link);
	core->job_count--;
	mem_free(job->ids);
	buf_done(&job->unknown);
	mem_free(job->site);
	mem_free(job);
}

static void
refuse(struct peer *peer, uint32_t request, uint8_t exit_code, const char *text)
{
	SEND(peer->core, peer->number, control_reply, .request = request, .final = 1,
		.exit_code = exit_code, .text = slice_str(text));
}

static void
job_advance(struct job *job, store_ref ref)
{
	job->cursor = ref;
	job->position++;
}

/* --- one message ------------------------------------------------------------------------------ */

static const enum message_wish wishes[JOB_KIND_COUNT] = {
	[JOB_HOLD] = WISH_HOLD,
	[JOB_RELEASE] = WISH_RELEASE,
	[JOB_DELETE] = WISH_REMOVE,
	[JOB_REQUEUE] = WISH_REQUEUE,
	[JOB_FLUSH] = WISH_FLUSH,
};

static bool
is_read_by_another(const struct job *job, store_ref ref)
{
	const struct job *other;

	LIST_FOREACH (other, &job->core->jobs, link)
		if (other != job && other->reading == ref)
			return true;
	return false;
}

/* Which commands concern a message as it is (rules O40 to O43). */
static bool
is_concerned(const struct job *job, const struct store_info *info, const struct message *message)
{
	bool held = (info->flags & RECORD_STATE_HELD) != 0;

	if (job->kind == JOB_FLUSH && copy_holds(job->core, info->queue_id))
		return false;
	if (job->kind == JOB_HOLD || job->kind == JOB_FLUSH)
		return !held;
	if (job->kind != JOB_RELEASE || held)
		return true;
	/* Held since it came, which only its bytes say: they are being read, or about to be. */
	return message != NULL ? message->is_held || message->phase == MESSAGE_LOADING
			       : info->due_us == 0;
}

/* False: not now, try the same message in the next turn. */
static bool
job_change(struct job *job, store_ref ref)
{
	struct core *core = job->core;
	struct store_info info;
	struct message *message;

	if (is_read_by_another(job, ref))
		return false;
	store_info(core->store, ref, &info);
	message = active_find(core, ref);
	if (!is_concerned(job, &info, message))
		return true;
	if (job->kind == JOB_FLUSH && message == NULL && job->id_count == 0) {
		store_set_due(core->store, ref, 0);
		job->done++;
		return true;
	}
	if (message == NULL)
		message = active_load(core, ref);
	else if (message->job != NULL || message->phase == MESSAGE_ENDING)
		return false;
	job->done++;
	if (job->kind != JOB_FLUSH)
		job->outstanding++;
	active_wish(message, wishes[job->kind], job);
	return true;
}

void
control_message_owed(struct job *job)
{
	job->outstanding++;
}

void
control_message_done(struct job *job)
{
	CHECK(job->outstanding > 0);
	job->outstanding--;
}

static void
read_done(void *ctx, store_ref ref, enum err err)
{
	struct job *job = ctx;
	struct core *core = job->core;

	job->is_reading = false;
	job->reading = 0;
	if (err == ERR_OK)
		job_visit_idle(job, ref);
	job_advance(job, ref);
	core_mark(core);
}

/* A message must be read to be listed. False: it is being read, or must wait. */
static bool
job_read(struct job *job, store_ref ref)
{
	struct core *core = job->core;
	struct message *message = active_find(core, ref);

	if (message != NULL) {
		if (message->phase == MESSAGE_LOADING)
			return false;
		job_visit_active(job, message);
		return true;
	}
	if (is_read_by_another(job, ref))
		return false;
	job->reading = ref;
	job->is_reading = true;
	store_load(core->store, ref, read_done, job);
	return false;
}

static bool
job_one(struct job *job, store_ref ref)
{
	bool must_read = job->kind == JOB_QUEUE || job->kind == JOB_SHOW || job->site != NULL;
	struct store_info info;

	/*
	 * Until it is durable it belongs to its intake, or to the report that makes it: no listing
	 * waits for a slow disk.
	 */
	store_info(job->core->store, ref, &info);
	if (!info.is_durable)
		return job->kind == JOB_QUEUE;
	return must_read ? job_read(job, ref) : job_change(job, ref);
}

/* --- walking ---------------------------------------------------------------------------------- */

static bool
reader_is_slow(const struct job *job)
{
	const struct core_out *out = job->core->options.out;

	return job->peer != 0 &&
	       out->pending(job->core->options.ctx, job->peer) > READER_PENDING_MAX;
}

/* The next message of the job; 0: no more. The cursor moves when job_one() is through with it. */
static store_ref
job_next(struct job *job)
{
	struct core *core = job->core;
	store_ref ref;

	if (job->id_count == 0)
		return store_next(core->store, job->cursor);
	while (job->position < job->id_count) {
		char text[QUEUE_ID_TEXT_SIZE];

		ref = store_find(core->store, job->ids[job->position]);
		if (ref != 0)
			return ref;
		buf_addf(&job->unknown, "%s%s", job->unknown.len > 0 ? " " : "",
			(const char *)queue_id_format(job->ids[job->position], text).ptr);
		job->position++;
	}
	return 0;
}

static void
job_finish(struct job *job)
{
	struct buf text;

	buf_init(&text, 0);
	job_summary(job, &text);
	job_end(job, job->kind == JOB_SHOW && job->done == 0 ? EX_NOINPUT : EX_OK,
		buf_slice(&text));
	buf_done(&text);
}

/* `release ALL` of a copied queue: not one message after the other, but all of it at once. */
static void
job_release_copy(struct job *job)
{
	struct core *core = job->core;
	struct store_gate_counts counts;

	if (job->outstanding > 0)
		return;
	store_gate_counts(core->store, &counts);
	if (core->copy.below != 0)
		copy_release(core, job);
	if (core->copy.below != 0 || counts.is_opening) {
		job->is_blocked = true;
		return;
	}
	job->done = counts.released - counts.held;
	job->still_held = counts.held;
	job_finish(job);
}

static void
job_step(struct job *job)
{
	store_ref ref = 0;

	job->is_blocked = false;
	if (job->is_reading)
		return;
	if (job->kind == JOB_RELEASE_COPY) {
		job_release_copy(job);
		return;
	}
	for (unsigned i = 0; i < SLICE_STEPS; i++) {
		if (job->outstanding >= OUTSTANDING_MAX || reader_is_slow(job))
			return;
		ref = job_next(job);
		if (ref == 0)
			break;
		if (!job_one(job, ref)) {
			job->is_blocked = true;
			return;
		}
		job_advance(job, ref);
	}
	if (ref == 0 && job->outstanding == 0)
		job_finish(job);
}

void
control_step(struct core *core)
{
	struct job *job, *next;

	for (job = LIST_FIRST(&core->jobs); job != NULL; job = next) {
		next = LIST_NEXT(job, link);
		if (job->peer == 0 && !job->is_reading && job->outstanding == 0)
			job_end(job, EX_OK, slice_make(NULL, 0));
		else
			job_step(job);
	}
}

/* A read or a wish that comes true marks the core; everything else must be looked at again. */
struct mono
control_due(const struct core *core)
{
	struct mono due = { UINT64_MAX };
	const struct job *job;

	LIST_FOREACH (job, &core->jobs, link) {
		bool waits = job->is_blocked || reader_is_slow(job);

		if (job->is_reading || job->outstanding > 0)
			continue;
		if (!waits)
			return core->now.mono;
		due = mono_add_ns(core->now.mono, BLOCKED_NS);
	}
	return due;
}

/* --- requests --------------------------------------------------------------------------------- */

static const struct command *
find_command(struct slice name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (slice_equal_str(name, commands[i].name))
			return &commands[i];
	return NULL;
}

/* Words: IDs, ALL, or `site NAME`, `id ID` (flush), `content` (show). NULL: fine. */
static const char *
read_arguments(struct job *job, struct slice list)
{
	struct slice word;
	bool wants_site = false;

	job->ids = mem_array(list.len / 4 + 1, sizeof(*job->ids));
	while (ipc_bytes_next(&list, &word) == ERR_OK) {
		if (wants_site) {
			job->site = mem_strndup((const char *)word.ptr, word.len);
			wants_site = false;
		} else if (job->kind == JOB_FLUSH && slice_equal_str(word, "site")) {
			wants_site = true;
		} else if (job->kind == JOB_FLUSH && slice_equal_str(word, "id")) {
			continue;
		} else if (job->kind == JOB_SHOW && slice_equal_str(word, "content")) {
			job->with_content = true;
		} else if (job->kind == JOB_SHOW && slice_equal_str(word, "base64")) {
			job->with_content = job->as_base64 = true;
		} else if (slice_equal_str(word, "ALL")) {
			job->is_all = true;
		} else if (queue_id_parse(word, &job->ids[job->id_count]) == ERR_OK) {
			job->id_count++;
		} else {
			return "bad argument: a queue ID or ALL is wanted";
		}
	}
	if (wants_site)
		return "flush site: the name of a site is missing";
	if (job->id_count > 0 && (job->is_all || job->site != NULL))
		return "either queue IDs or ALL, not both";
	if (job->id_count == 0 && !job->is_all && job->kind != JOB_QUEUE && job->kind != JOB_FLUSH)
		return "a queue ID or ALL is wanted";
	return NULL;
}

static void
answer_health(struct peer *peer, uint32_t request)
{
	const char *trouble = core_trouble(peer->core);
	struct buf text;

	if (trouble != NULL) {
		refuse(peer, request, EX_TEMPFAIL, trouble);
		return;
	}
	buf_init(&text, 0);
	buf_add_str(&text, "ok");
	if (peer->core->copy.below != 0)
		buf_addf(&text, "\nthe queue is held: %s; 'ostler release ALL' ends that",
			copy_reason(peer->core));
	SEND(peer->core, peer->number, control_reply, .request = request, .final = 1,
		.text = buf_slice(&text));
	buf_done(&text);
}

static void
answer_at_once(struct peer *peer, uint32_t request, enum job_kind kind)
{
	struct buf text;

	buf_init(&text, 0);
	if (kind == JOB_STATUS)
		control_status(peer->core, &text);
	else
		control_metrics(peer->core, &text);
	SEND(peer->core, peer->number, control_reply, .request = request, .final = 1,
		.text = buf_slice(&text));
	buf_done(&text);
}

/* What would give out mail of a queue that is held because it is a copy. */
static const char *
check_copy(struct job *job)
{
	const struct core *core = job->core;
	bool concerns = job->is_all;

	if (core->copy.below == 0)
		return NULL;
	for (size_t i = 0; i < job->id_count; i++)
		concerns |= copy_holds(core, job->ids[i]);
	if (job->kind == JOB_RELEASE && job->is_all)
		job->kind = JOB_RELEASE_COPY;
	else if (concerns && (job->kind == JOB_RELEASE || job->kind == JOB_REQUEUE
				     || job->kind == JOB_FLUSH))
		return "the mail of this queue is held because the queue is a copy of another "
		       "one; only 'release ALL' ends that";
	return NULL;
}

static void
start_job(struct peer *peer, const struct ipc_control_request *request, enum job_kind kind)
{
	struct core *core = peer->core;
	struct job *job = mem_new(sizeof(*job));
	const char *problem;

	job->core = core;
	job->peer = peer->number;
	job->request = request->request;
	job->kind = kind;
	buf_init(&job->unknown, 0);
	LIST_INSERT_HEAD(&core->jobs, job, link);
	core->job_count++;
	problem = read_arguments(job, request->arguments);
	if (problem != NULL) {
		job_end(job, EX_USAGE, slice_str(problem));
		return;
	}
	problem = check_copy(job);
	if (problem != NULL) {
		job_end(job, EX_UNAVAILABLE, slice_str(problem));
		return;
	}
	if (job->with_content && !peer->may_change) {
		job_end(job, EX_NOPERM, slice_str(may_not));
		return;
	}
	if (kind == JOB_FLUSH) {
		nexthop_flush(core);
		sched_flush(core->sched);
	}
	core_mark(core);
}

static void
request_snapshot(struct peer *peer, const struct ipc_control_request *request)
{
	uint8_t exit_code;
	const char *problem = snapshot_request(peer, request, &exit_code);

	if (problem != NULL)
		refuse(peer, request->request, exit_code, problem);
}

static void
request_upgrade(struct peer *peer, uint32_t request)
{
	const char *problem = upgrade_request(peer, request);

	if (problem != NULL)
		refuse(peer, request, EX_TEMPFAIL, problem);
}

void
control_request(struct peer *peer, const struct ipc_control_request *request)
{
	const struct command *command = find_command(request->command);

	if (command == NULL)
		refuse(peer, request->request, EX_USAGE, "unknown command");
	else if (command->changes && !peer->may_change)
		refuse(peer, request->request, EX_NOPERM, may_not);
	else if (command->kind == JOB_HEALTH)
		answer_health(peer, request->request);
	else if (command->kind == JOB_STATUS || command->kind == JOB_METRICS)
		answer_at_once(peer, request->request, command->kind);
	else if (command->kind == JOB_SNAPSHOT)
		request_snapshot(peer, request);
	else if (command->kind == JOB_UPGRADE)
		request_upgrade(peer, request->request);
	else if (peer->core->job_count >= CORE_JOBS_MAX)
		refuse(peer, request->request, EX_TEMPFAIL, "too many requests at a time");
	else
		start_job(peer, request, command->kind);
}

/* What was begun is finished; nobody hears of it. */
void
control_peer_gone(struct peer *peer)
{
	struct job *job;

	LIST_FOREACH (job, &peer->core->jobs, link)
		if (job->peer == peer->number)
			job->peer = 0;
	core_mark(peer->core);
}

void
control_free(struct core *core)
{
	struct job *job;

	while ((job = LIST_FIRST(&core->jobs)) != NULL) {
		job->peer = 0;
		job_end(job, EX_OK, slice_make(NULL, 0));
	}
}
