/*
 * control.c - what operators ask for: listing, show, flush, hold, release, delete, requeue, expire
 *
 * Requests come as control_request frames and become jobs (control_request.c). A job walks over
 * messages in slices, one slice per turn, and waits while its reader is slow, so that no request
 * delays deliveries. Answers are lines of JSON (control_json.c). docs/protocol/control.md.
 *
 *   walk    all messages of the store; with conditions each is looked at, a few read at a time
 *   list    the given IDs, in the same manner
 *   at once status, metrics, health; snapshot and upgrade-journal have their own files
 *
 * A reader that goes away ends its walk: what was begun is finished.
 */
#include "qmgr/control_priv.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/num.h"
#include "qmgr/transports.h"
#include "route/resolve.h"

#include <string.h>
#include <sysexits.h>

/* What a slice may cost: a message that is passed over costs 1, one that is looked at LOOK_COST. */
enum { SLICE_COST = 4000, LOOK_COST = 8, OUTSTANDING_MAX = 256, READER_PENDING_MAX = 1024 * 1024 };

#define BLOCKED_NS (20 * NS_PER_MS)
#define INCOMPLETE_NS (60 * NS_PER_S)

/* --- answers ---------------------------------------------------------------------------------- */

void
job_say(struct job *job, struct slice text)
{
	if (job->peer != 0)
		SEND(job->core, job->peer, control_reply, .request = job->request, .text = text);
}

static void
forget_revived(struct job *job)
{
	struct job_revived *revived, *next;

	HASH_ITER(hh, job->revived, revived, next)
	{
		HASH_DELETE(hh, job->revived, revived);
		mem_free(revived->key);
		mem_free(revived);
	}
}

void
job_end(struct job *job, uint8_t exit_code, struct slice text)
{
	struct core *core = job->core;

	if (job->peer != 0)
		SEND(core, job->peer, control_reply, .request = job->request, .final = 1,
			.exit_code = exit_code, .text = text);
	LIST_REMOVE(job, link);
	core->job_count--;
	forget_revived(job);
	control_select_done(&job->select);
	mem_free(job->ids);
	mem_free(job->who);
	mem_free(job->why);
	buf_done(&job->unknown);
	mem_free(job);
}

/* Also when it is only asked what it would change. */
static bool
job_changes_ever(const struct job *job)
{
	return job->kind != JOB_QUEUE && job->kind != JOB_SHOW && job->kind != JOB_WHY;
}

static bool
job_changes(const struct job *job)
{
	return job->kind != JOB_QUEUE && job->kind != JOB_SHOW && job->kind != JOB_WHY &&
	       !job->is_dry;
}

/* --- the log ---------------------------------------------------------------------------------- */

/* Rule J26: a line per message says what was asked, by whom and why. */
static void
log_message(const struct job *job, const struct store_info *info)
{
	static const char *const words[JOB_KIND_COUNT] = {
		[JOB_HOLD] = "placed on hold",
		[JOB_RELEASE] = "released from hold",
		[JOB_DELETE] = "deleted",
		[JOB_REQUEUE] = "to be requeued",
		[JOB_EXPIRE] = "expired",
	};
	char id[QUEUE_ID_TEXT_SIZE];

	if (words[job->kind] == NULL)
		return;
	log_event(job->core->log, EV_qmgr_operator, LOG_S(queue_id_format(info->queue_id, id)),
		LOG_Z(words[job->kind]), LOG_Z(job->who), LOG_Z(job->why != NULL ? ": " : ""),
		LOG_Z(job->why != NULL ? job->why : ""));
}

static void
log_command(const struct job *job)
{
	if (job_changes(job))
		log_event(job->core->log, EV_qmgr_command, LOG_Z(job->command), LOG_Z(job->who),
			LOG_U(job->done), LOG_Z(job->done == 1 ? "" : "s"),
			LOG_Z(job->why != NULL ? ": " : ""),
			LOG_Z(job->why != NULL ? job->why : ""));
}

/* --- one message ------------------------------------------------------------------------------ */

static enum message_wish
job_wish(const struct job *job)
{
	switch (job->kind) {
	case JOB_HOLD:
		return WISH_HOLD;
	case JOB_RELEASE:
		return WISH_RELEASE;
	case JOB_DELETE:
		return WISH_REMOVE;
	case JOB_REQUEUE:
		return WISH_REQUEUE;
	case JOB_EXPIRE:
		return job->with_held ? WISH_EXPIRE_HELD : WISH_EXPIRE;
	case JOB_FLUSH:
		return job->id_count > 0 ? WISH_FLUSH_ALONE : WISH_FLUSH;
	case JOB_QUEUE:
	case JOB_SHOW:
	case JOB_WHY:
	case JOB_STATUS:
	case JOB_METRICS:
	case JOB_HEALTH:
	case JOB_SNAPSHOT:
	case JOB_UPGRADE:
	case JOB_SITES:
	case JOB_SITE:
	case JOB_RELEASE_COPY:
	case JOB_KIND_COUNT:
		break;
	}
	UNREACHED();
	return WISH_NONE;
}

bool
control_is_reading(const struct core *core, store_ref ref)
{
	const struct job *job;

	LIST_FOREACH (job, &core->jobs, link)
		for (unsigned i = 0; job->read_count > 0 && i < JOB_READS; i++)
			if (job->reads[i].ref == ref)
				return true;
	return false;
}

/* Which commands concern a message as it is (rules O4, O40 to O44). */
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
			       : info->due_us <= DUE_FLUSHED_US;
}

/* False: not now, try the same message in the next turn. */
static bool
job_change(struct job *job, store_ref ref)
{
	struct core *core = job->core;
	struct store_info info;
	struct message *message;

	if (control_is_reading(core, ref))
		return false;
	store_info(core->store, ref, &info);
	message = active_find(core, ref);
	if (!is_concerned(job, &info, message))
		return true;
	if (job->is_dry) {
		job->done++;
		return true;
	}
	if (job->kind == JOB_FLUSH && message == NULL && job->id_count == 0) {
		store_set_due(core->store, ref, DUE_FLUSHED_US);
		job->done++;
		return true;
	}
	if (message == NULL)
		message = active_load(core, ref);
	else if (message->job != NULL || message->phase == MESSAGE_ENDING)
		return false;
	job->done++;
	job->in_delivery += message->leases > 0;
	if (job->kind != JOB_FLUSH)
		job->outstanding++;
	log_message(job, &info);
	active_wish(message, job_wish(job), job);
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

/* --- looking at a message --------------------------------------------------------------------- */

/* What a flush with conditions concerns is revived, each destination once. */
static void
revive(struct job *job, struct slice address)
{
	struct job_revived *revived;
	struct route route;
	struct buf key;

	route_resolve(job->core->config, address, &route);
	buf_init(&key, 0);
	buf_addf(&key, "%" SLICE_FMT " %" SLICE_FMT, SLICE_ARG(route.transport),
		SLICE_ARG(route.nexthop));
	HASH_FIND(hh, job->revived, key.ptr, key.len, revived);
	if (revived == NULL && HASH_COUNT(job->revived) < JOB_REVIVED_MAX) {
		revived = mem_new(sizeof(*revived));
		revived->key = mem_strndup((const char *)key.ptr, key.len);
		HASH_ADD_KEYPTR(hh, job->revived, revived->key, key.len, revived);
		active_revive(job->core, address);
	}
	buf_done(&key);
}

/* Whether the job concerns a message that was looked at. */
static bool
job_fits(const struct job *job, store_ref ref, const struct control_view *view)
{
	struct store_info info;

	if (!control_select_match(job->core, &job->select, view))
		return false;
	store_info(job->core->store, ref, &info);
	return !job_changes_ever(job) || is_concerned(job, &info, view->message);
}

/* Mail of a site is too much to be told one by one. */
static void
count_for_site(struct job *job, const struct control_view *view)
{
	uint64_t arrival_us = view->envelope->arrival_us;

	job->held += strcmp(view->queue_name, "hold") == 0;
	if (job->oldest_us == 0 || arrival_us < job->oldest_us)
		job->oldest_us = arrival_us;
	if (view->due_us > 0 && (job->next_due_us == 0 || view->due_us < job->next_due_us))
		job->next_due_us = view->due_us;
}

static void
job_tell(struct job *job, const struct control_view *view)
{
	job->done++;
	job->bytes += view->envelope->size;
	if (job->kind == JOB_WHY && job->select.site != NULL)
		count_for_site(job, view);
	else if (job->kind == JOB_WHY)
		control_why_message(job, view);
	else if (!job->is_count)
		job_say_message(job, view);
}

static void
revive_all(struct job *job, const struct control_view *view)
{
	if (job->kind != JOB_FLUSH || job->id_count > 0)
		return;
	for (uint32_t i = 0; i < view->recipient_count; i++)
		if (control_select_recipient(job->core, &job->select, view, i))
			revive(job, recipient_index_get(view->recipients, i).address);
}

static void
read_done(void *ctx, store_ref ref, enum err err)
{
	struct job_read *read = ctx;
	struct job *job = read->job;
	struct core *core = job->core;
	struct control_view view = { 0 };
	struct store_info info;
	bool fits = false;

	read->ref = 0;
	job->read_count--;
	core_mark(core);
	if (err != ERR_OK)
		return;
	store_info(core->store, ref, &info);
	if (control_view_idle(core, ref, &view) && job_fits(job, ref, &view)) {
		fits = job_changes(job);
		if (fits)
			revive_all(job, &view);
		else
			job_tell(job, &view);
	}
	control_view_done(&view);
	store_unpin(core->store, ref);
	if (fits && !job_change(job, ref))
		job->again[job->again_count++] = info.queue_id;
}

/* A message must be looked at. False: it must wait. */
static bool
job_look(struct job *job, store_ref ref)
{
	struct core *core = job->core;
	struct message *message = active_find(core, ref);
	struct job_read *read = job->reads;

	if (message != NULL) {
		struct control_view view;

		if (message->phase == MESSAGE_LOADING)
			return false;
		control_view_active(message, &view);
		if (!job_fits(job, ref, &view))
			return true;
		if (job_changes(job))
			return job_change(job, ref);
		job_tell(job, &view);
		return true;
	}
	if (control_is_reading(core, ref))
		return false;
	while (read->ref != 0)
		read++;
	*read = (struct job_read){ job, ref };
	job->read_count++;
	store_load(core->store, ref, read_done, read);
	return true;
}

void
control_why_begin(struct job *job)
{
	struct core *core = job->core;
	struct message *message, *next;

	if (job->id_count > 0)
		return;
	if (job->select.site != NULL)
		control_why_sites(job);
	HASH_ITER(by_ref, core->messages, message, next)
	{
		struct control_view view;

		if (message->phase == MESSAGE_LOADING)
			continue;
		job->looked_at++;
		control_view_active(message, &view);
		if (job_fits(job, message->ref, &view))
			job_tell(job, &view);
	}
}

static bool
must_look(const struct job *job)
{
	return !job_changes_ever(job) || job->select.needs_bytes ||
	       (job->is_dry && !job->is_count);
}

/* What the index knows of a message is enough to see that the job does not concern it. */
static bool
job_passes_over(struct job *job, store_ref ref)
{
	uint64_t arrival_us;
	uint32_t fingerprint;

	if (!job->select.is_set)
		return false;
	store_glance(job->core->store, ref, &arrival_us, &fingerprint);
	if (control_select_age(&job->select, arrival_us, job->core->now.wall) &&
		fingerprint_may_fit(fingerprint, &job->select.wanted))
		return false;
	job->looked_at += job->kind == JOB_WHY;
	return true;
}

static bool
job_one(struct job *job, store_ref ref)
{
	struct core *core = job->core;
	struct store_info info;

	/*
	 * Until it is durable it belongs to its intake, or to the report that makes it: no listing
	 * waits for a slow disk.
	 */
	store_info(core->store, ref, &info);
	if (!info.is_durable)
		return !job_changes(job);
	if (job->kind == JOB_WHY) {
		/* control_why_begin() has told of those in memory. */
		if (job->id_count == 0 && active_find(core, ref) != NULL)
			return true;
		job->looked_at++;
	}
	return must_look(job) ? job_look(job, ref) : job_change(job, ref);
}

/* --- walking ---------------------------------------------------------------------------------- */

static bool
reader_is_slow(const struct job *job)
{
	const struct core_out *out = job->core->options.out;

	return job->peer != 0 &&
	       out->pending(job->core->options.ctx, job->peer) > READER_PENDING_MAX;
}

/* The next message of the job; 0: no more. job_advance() goes on to the one behind it. */
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
job_advance(struct job *job, store_ref ref)
{
	job->cursor = ref;
	job->position++;
}

static void
job_finish(struct job *job)
{
	struct buf text;

	log_command(job);
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

/* Messages that fit and were busy. They may have ended meanwhile. */
static void
job_retry(struct job *job)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < job->again_count; i++) {
		store_ref ref = store_find(job->core->store, job->again[i]);

		if (ref != 0 && !job_change(job, ref))
			job->again[kept++] = job->again[i];
	}
	job->again_count = kept;
}

/* What is read only to be counted, until the time is over, keeps new mail waiting for nothing. */
static uint32_t
reads_max(const struct job *job)
{
	return job->kind == JOB_WHY && job->select.site != NULL && job->stop_at.ns != 0
		       ? JOB_READS_AT_EASE
		       : JOB_READS;
}

static bool
has_room(const struct job *job)
{
	return job->outstanding + job->read_count < OUTSTANDING_MAX &&
	       job->read_count + job->again_count < reads_max(job) && !reader_is_slow(job);
}

/* Answers of `why` about many messages come in time, and say how far they go. */
static bool
is_late(const struct job *job)
{
	return job->kind == JOB_WHY && job->id_count == 0 && job->stop_at.ns != 0 &&
	       job->core->now.mono.ns >= job->stop_at.ns && !job->is_at_end;
}

static void
job_step(struct job *job)
{
	store_ref ref = 0;

	job->is_blocked = false;
	if (job->kind == JOB_RELEASE_COPY) {
		job_release_copy(job);
		return;
	}
	job_retry(job);
	job->is_blocked = job->again_count > 0;
	job->is_cut = is_late(job);
	for (unsigned cost = 0; cost < SLICE_COST && !job->is_cut; cost++) {
		ref = job_next(job);
		job->is_at_end = ref == 0;
		if (ref == 0)
			break;
		if (!job_passes_over(job, ref)) {
			cost += LOOK_COST - 1;
			if (!has_room(job))
				return;
			if (!job_one(job, ref)) {
				job->is_blocked = true;
				return;
			}
		}
		job_advance(job, ref);
	}
	if (ref == 0 && job->outstanding + job->read_count + job->again_count == 0)
		job_finish(job);
}

void
control_step(struct core *core)
{
	struct job *job, *next;

	for (job = LIST_FIRST(&core->jobs); job != NULL; job = next) {
		next = LIST_NEXT(job, link);
		if (job->peer != 0) {
			job_step(job);
		} else if (job->read_count + job->outstanding == 0) {
			log_command(job);
			job_end(job, EX_OK, slice_make(NULL, 0));
		}
	}
}

/* Before all messages are known nothing can be said of them, nor done; nobody waits for ever. */
void
control_wait_step(struct core *core)
{
	struct job *job, *next;

	for (job = LIST_FIRST(&core->jobs); job != NULL; job = next) {
		next = LIST_NEXT(job, link);
		if (core->now.mono.ns >= job->began.ns + INCOMPLETE_NS)
			job_end(job, EX_TEMPFAIL,
				SLICE_LIT("not all messages are known yet after the start; "
					  "try again"));
	}
}

struct mono
control_wait_due(const struct core *core)
{
	struct mono due = { UINT64_MAX };
	const struct job *job;

	LIST_FOREACH (job, &core->jobs, link)
		due.ns = num_min_u64(due.ns, job->began.ns + INCOMPLETE_NS);
	return due;
}

/* A read or a wish that comes true marks the core; everything else must be looked at again. */
struct mono
control_due(const struct core *core)
{
	struct mono due = { UINT64_MAX };
	const struct job *job;

	LIST_FOREACH (job, &core->jobs, link) {
		if (job->is_blocked || reader_is_slow(job))
			due = mono_add_ns(core->now.mono, BLOCKED_NS);
		else if (!job->is_at_end && !job->is_cut && job->kind != JOB_RELEASE_COPY &&
			 has_room(job))
			return core->now.mono;
	}
	return due;
}

/* --- ends ------------------------------------------------------------------------------------- */

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
