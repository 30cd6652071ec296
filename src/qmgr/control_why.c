/*
 * control_why.c - what mail waits for: by queue ID, address, domain or site (control_priv.h)
 *
 * A message's open recipients are parted by where they go; of each part it is said who or what
 * limits it, its last answer, when it is tried next, and, while it waits its turn, how long that
 * takes at the pace of the last minute. Sites come from memory. Mail that is not in memory is read
 * for as long as an answer may take; the last line says how far that went.
 */
#include "qmgr/control_priv.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/num.h"
#include "qmgr/transports.h"
#include "route/resolve.h"

#include <jansson.h>
#include <string.h>

enum { PARTS_MAX = 16, REASON_MAX = 400 };

/* Open recipients of a message that go the same way. */
struct part {
	struct transport *transport;
	char *nexthop;
	uint32_t count, first;
	struct state_reason last;
	bool has_last;
};

/* --- where it goes ---------------------------------------------------------------------------- */

static struct sched_destination *
find_destination(const struct core *core, const struct part *part)
{
	struct sched_destination *at = NULL;

	while ((at = sched_destination_next(core->sched, at)) != NULL)
		if (sched_destination_transport(at) == part->transport->sched &&
			slice_equal_str(sched_destination_nexthop(at), part->nexthop))
			return sched_destination_site(at);
	return NULL;
}

static struct part *
part_of(struct part *parts, unsigned *count, struct transport *transport, struct slice nexthop)
{
	struct part *part;

	for (unsigned i = 0; i < *count; i++)
		if (parts[i].transport == transport && slice_equal_str(nexthop, parts[i].nexthop))
			return &parts[i];
	if (*count == PARTS_MAX)
		return NULL;
	part = &parts[(*count)++];
	*part = (struct part){ .transport = transport,
		.nexthop = mem_strndup((const char *)nexthop.ptr, nexthop.len) };
	return part;
}

/* Returns how many recipients are in no part, because there are too many. */
static uint32_t
part_recipients(const struct job *job, const struct control_view *view, struct part *parts,
	unsigned *ret_count)
{
	struct core *core = job->core;
	uint32_t others = 0;

	*ret_count = 0;
	for (uint32_t i = 0; i < view->recipient_count; i++) {
		struct state_reason reason;
		struct slice address;
		struct part *part;
		struct route route;

		if (state_class(view->state, i) != STATE_OPEN ||
			!control_select_recipient(core, &job->select, view, i))
			continue;
		address = recipient_index_get(view->recipients, i).address;
		route_resolve(core->config, address, &route);
		part = part_of(parts, ret_count, transport_get(core, route.transport),
			route.nexthop);
		if (part == NULL) {
			others++;
			continue;
		}
		if (part->count++ == 0)
			part->first = i;
		if (state_reason(view->state, i, &reason) &&
			(!part->has_last || reason.time_us > part->last.time_us)) {
			part->last = reason;
			part->has_last = true;
		}
	}
	return others;
}

/* --- why -------------------------------------------------------------------------------------- */

/* `cause` is for programs, the words for people. */
struct cause {
	const char *name;
	char words[REASON_MAX];
};

static void cause_set(struct cause *cause, const char *name, const char *format, ...)
	FORMAT_PRINTF(3, 4);

static void
cause_set(struct cause *cause, const char *name, const char *format, ...)
{
	va_list args;

	cause->name = name;
	va_start(args, format);
	(void)vsnprintf(cause->words, sizeof(cause->words), format, args);
	va_end(args);
}

static void
cause_of_site(const struct core *core, const struct sched_status *status, struct cause *cause)
{
	uint64_t wait_s = status->due.ns > core->now.mono.ns && status->due.ns != UINT64_MAX
				  ? (status->due.ns - core->now.mono.ns) / NS_PER_S
				  : 0;

	switch (status->state) {
	case WINDOW_DEAD:
		cause_set(cause, "site", "the site is not tried for another %llu s: %.*s",
			(unsigned long long)wait_s, (int)num_min_u64(status->dead.text.len, 250),
			(const char *)status->dead.text.ptr);
		return;
	case WINDOW_PROBING:
		cause_set(cause, "probe",
			"the site failed; one delivery tries whether it is back: %.*s",
			(int)num_min_u64(status->dead.text.len, 250),
			(const char *)status->dead.text.ptr);
		return;
	case WINDOW_SUSPENDED:
		cause_set(cause, "rate", "the rate delay of its transport, for another %llu s",
			(unsigned long long)wait_s);
		return;
	case WINDOW_READY:
		break;
	}
	if (status->waiting == 0 && status->busy == 0)
		cause_set(cause, "none", "nothing waits for this site");
	else if (status->busy >= status->limit)
		cause_set(cause, "concurrency",
			"all %u deliveries at a time that this site is allowed are under way",
			status->limit);
	else if (status->sessions == status->opening)
		cause_set(cause, "session", "a session to the site is being opened");
	else
		cause_set(cause, "turn", "it is its turn as soon as a session is free");
}

/* Of a message in memory. */
static void
cause_of_active(const struct core *core, const struct message *message, const struct part *part,
	const struct sched_status *status, struct cause *cause)
{
	switch (message->phase) {
	case MESSAGE_LOADING:
		cause_set(cause, "loading", "it is being read from the disk");
		return;
	case MESSAGE_LOCKED:
		cause_set(cause, "survivor",
			"a delivery that began before the queue manager's restart has not ended");
		return;
	case MESSAGE_SUSPECT:
		cause_set(cause, "suspect", "a delivery process died with it: it is tried alone");
		return;
	case MESSAGE_SETTLING:
	case MESSAGE_ENDING:
		cause_set(cause, "recording", "its results, or a report, are being written");
		return;
	case MESSAGE_ACTIVE:
		break;
	}
	if (message->leases > 0)
		cause_set(cause, "delivering", "it is being delivered now (%u transaction%s)",
			message->leases, message->leases == 1 ? "" : "s");
	else if (status != NULL)
		cause_of_site(core, status, cause);
	else
		cause_set(cause, "recording", "%s is being decided without a site",
			part->nexthop);
}

/* Of one that is not in memory. */
static void
cause_of_idle(const struct core *core, const struct control_view *view, const struct part *part,
	struct cause *cause)
{
	bool is_due = view->due_us <= core->now.wall.us;

	if (strcmp(view->queue_name, "hold") == 0)
		cause_set(cause, "hold", "it is on hold until `ostler release`");
	else if (is_due && !core_may_deliver(core))
		cause_set(cause, "start", "the queue manager has just started");
	else if (is_due)
		cause_set(cause, "active-limit",
			"it is due; the active queue is full (qmgr_message_active_limit, "
			"qmgr_message_recipient_limit)");
	else if (part->transport->is_deferred)
		cause_set(cause, "transport", "defer_transports has %s: it waits for a flush",
			part->transport->name);
	else if (part->has_last)
		cause_set(cause, "deferred", "it was deferred: %.*s",
			(int)num_min_u64(part->last.text.len, 350),
			(const char *)part->last.text.ptr);
	else
		cause_set(cause, "deferred", "it was deferred");
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void
set_cause(json_t *object, const struct cause *cause)
{
	control_json_set(object, "cause", json_string(cause->name));
	control_json_set(object, "why", control_json_text(slice_str(cause->words)));
}

/* At most `waiting` stand in front. */
static void
set_pace(struct core *core, json_t *object, const struct sched_status *status)
{
	double rate = pace_per_s(
		core, sched_transport_name(status->transport), status->nexthop);

	control_json_set(object, "limit", json_integer(status->limit));
	control_json_set(object, "busy", json_integer(status->busy));
	control_json_set(object, "waiting", json_integer(status->waiting));
	control_json_set(object, "sessions", json_integer(status->sessions));
	control_json_set(object, "per_minute", json_real(rate * 60));
	if (status->waiting > 0 && rate > 0)
		control_json_set(object, "estimate_s",
			json_integer((json_int_t)((double)status->waiting / rate) + 1));
}

/* What hangs on its site comes when that does, all else not before its own time either. */
static uint64_t
site_due_us(const struct core *core, const struct control_view *view,
	const struct sched_status *status)
{
	uint64_t due_us = core->now.wall.us, queue_id = 0;
	bool is_fetched;

	if (status->due.ns == UINT64_MAX)
		return view->due_us;
	if (status->due.ns > core->now.mono.ns)
		due_us += (status->due.ns - core->now.mono.ns) / 1000;
	CHECK(queue_id_parse(slice_str(view->id_text), &queue_id) == ERR_OK);
	return sched_is_parked(core->sched, queue_id, &is_fetched)
		       ? due_us
		       : num_max_u64(due_us, view->due_us);
}

static json_t *
part_json(struct core *core, const struct control_view *view, const struct part *part)
{
	struct sched_destination *destination = find_destination(core, part);
	const struct message *message = view->message;
	struct sched_status status;
	struct cause cause;
	json_t *object = json_object();
	uint64_t next_us = view->due_us;
	bool is_at_site;

	if (destination != NULL)
		sched_destination_status(destination, &status);
	is_at_site = message == NULL && destination != NULL && status.state != WINDOW_READY &&
		     strcmp(view->queue_name, "hold") != 0;
	if (is_at_site)
		next_us = site_due_us(core, view, &status);
	if (message != NULL)
		cause_of_active(core, message, part, destination != NULL ? &status : NULL, &cause);
	else if (is_at_site)
		cause_of_site(core, &status, &cause);
	else
		cause_of_idle(core, view, part, &cause);
	control_json_set(object, "transport", json_string(part->transport->name));
	control_json_set(object, "site", control_json_text(slice_str(part->nexthop)));
	control_json_set(object, "recipients", json_integer(part->count));
	control_json_set(object, "recipient",
		control_json_text(recipient_index_get(view->recipients, part->first).address));
	set_cause(object, &cause);
	if (part->has_last)
		control_json_last(object, &part->last);
	if (message == NULL && next_us > core->now.wall.us)
		control_json_set(object, "next_attempt_time",
			json_integer((json_int_t)(next_us / US_PER_S)));
	if (destination != NULL && (message != NULL || is_at_site))
		set_pace(core, object, &status);
	return object;
}

void
control_why_message(struct job *job, const struct control_view *view)
{
	struct part parts[PARTS_MAX];
	unsigned count;
	uint32_t others = part_recipients(job, view, parts, &count);
	json_t *object = json_object(), *list = json_array();

	control_json_set(object, "queue_name", json_string(view->queue_name));
	control_json_set(object, "queue_id", json_string(view->id_text));
	control_json_set(object, "arrival_time",
		json_integer((json_int_t)(view->envelope->arrival_us / US_PER_S)));
	control_json_set(object, "sender", control_json_text(view->envelope->sender));
	control_json_set(object, "reports_owed",
		json_integer(view->state->class_count[STATE_BOUNCE_PENDING]));
	for (unsigned i = 0; i < count; i++) {
		CHECK(json_array_append_new(list, part_json(job->core, view, &parts[i])) == 0);
		mem_free(parts[i].nexthop);
	}
	control_json_set(object, "waits", list);
	if (others > 0)
		control_json_set(object, "other_recipients", json_integer(others));
	control_json_say(job, object);
}

static void
say_site(struct job *job, const struct sched_status *status)
{
	json_t *object = json_object();
	struct cause cause;

	cause_of_site(job->core, status, &cause);
	control_json_set(object, "site", control_json_text(status->nexthop));
	control_json_set(
		object, "transport", control_json_text(sched_transport_name(status->transport)));
	set_cause(object, &cause);
	set_pace(job->core, object, status);
	control_json_say(job, object);
}

/* Sites of that name, or where mail for a domain of that name goes. */
void
control_why_sites(struct job *job)
{
	struct core *core = job->core;
	struct slice name = slice_str(job->select.site);
	struct sched_destination *at = NULL;
	struct route route;
	struct buf address;

	buf_init(&address, 0);
	buf_addf(&address, "postmaster@%" SLICE_FMT, SLICE_ARG(name));
	route_resolve(core->config, buf_slice(&address), &route);
	buf_done(&address);
	while ((at = sched_destination_next(core->sched, at)) != NULL) {
		struct sched_status status;
		struct slice nexthop = sched_destination_nexthop(at);

		sched_destination_status(sched_destination_site(at), &status);
		if (control_select_is_site(nexthop, name) ||
			slice_equal_nocase(nexthop, route.nexthop))
			say_site(job, &status);
	}
}
