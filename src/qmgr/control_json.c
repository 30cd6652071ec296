/*
 * control_json.c - what tools are told: a line of JSON per message, the last line, status, metrics
 *
 * Members of a message are those of `postqueue -j`; show adds to them. Bytes of strangers that are
 * not UTF-8 are shown as U+FFFD.
 */
#include "base/base64.h"
#include "base/check.h"
#include "base/mem.h"
#include "message/utf8.h"
#include "qmgr/control_priv.h"
#include "qmgr/transports.h"
#include "route/resolve.h"

#include <inttypes.h>
#include <jansson.h>

enum { STATUS_DESTINATIONS_MAX = 200, RECIPIENTS_SAID_MAX = 4 * 1024 * 1024, MEMBERS_SHOWN = 20 };

static void
json_free(char *line)
{
	json_free_t release;

	json_get_alloc_funcs(NULL, &release);
	release(line);
}

/* --- texts ------------------------------------------------------------------------------------ */

static json_t *
text(struct slice bytes)
{
	json_t *json;
	struct buf clean;

	if (bytes.len == 0)
		return json_string("");
	if (utf8_valid(bytes))
		return json_stringn((const char *)bytes.ptr, bytes.len);
	buf_init(&clean, 0);
	for (size_t i = 0; i < bytes.len;) {
		size_t len = utf8_length(slice_from(bytes, i));

		if (len == 0)
			buf_add_str(&clean, "\xEF\xBF\xBD");
		else
			buf_add(&clean, slice_make(bytes.ptr + i, len));
		i += len == 0 ? 1 : len;
	}
	json = json_stringn((const char *)clean.ptr, clean.len);
	buf_done(&clean);
	return json;
}

json_t *
control_json_text(struct slice bytes)
{
	return text(bytes);
}

void
control_json_set(json_t *object, const char *name, json_t *value)
{
	CHECK(json_object_set_new(object, name, value) == 0);
}

static void
set(json_t *object, const char *name, json_t *value)
{
	CHECK(json_object_set_new(object, name, value) == 0);
}

static void
set_base64(json_t *object, const char *name, struct slice bytes)
{
	struct buf encoded;

	buf_init(&encoded, 0);
	CHECK(base64_encode(bytes, &encoded) == ERR_OK);
	set(object, name, json_stringn((const char *)encoded.ptr, encoded.len));
	buf_done(&encoded);
}

static void
set_number(json_t *object, const char *name, uint64_t value)
{
	set(object, name, json_integer((json_int_t)value));
}

static void
append_line(json_t *object, struct buf *out)
{
	char *line = json_dumps(object, JSON_COMPACT);

	CHECK(line != NULL);
	buf_add_str(out, line);
	buf_add_str(out, "\n");
	json_free(line);
	json_decref(object);
}

/* --- one message ------------------------------------------------------------------------------ */

/* When and where a recipient got its last answer, and which. */
static void
add_last(json_t *recipient, const struct state_reason *reason)
{
	set(recipient, "last_dsn", text(reason->dsn));
	if (reason->time_us > 0)
		set_number(recipient, "last_time", reason->time_us / US_PER_S);
	if (reason->remote_mta.len > 0)
		set(recipient, "last_host", text(reason->remote_mta));
	if (reason->diagnostic.len > 0)
		set(recipient, "last_reply", text(reason->diagnostic));
}

void
control_json_last(json_t *object, const struct state_reason *reason)
{
	add_last(object, reason);
	set(object, "last_reason", text(reason->text));
}

void
control_json_say(struct job *job, json_t *object)
{
	struct buf line;

	buf_init(&line, 0);
	append_line(object, &line);
	job_say(job, buf_slice(&line));
	buf_done(&line);
}

static json_t *
recipient_json(const struct control_view *view, uint32_t number, bool in_full)
{
	static const char *const words[STATE_CLASS_COUNT] = { "open", "delivered", "delivered",
		"bounced", "bounced", "removed" };
	struct recipient_entry entry = recipient_index_get(view->recipients, number);
	enum state_class class = state_class(view->state, number);
	json_t *recipient = json_object();
	struct state_reason reason = { 0 };

	set(recipient, "address", text(entry.address));
	if (entry.original.len > 0)
		set(recipient, "orig_address", text(entry.original));
	if (state_reason(view->state, number, &reason))
		set(recipient, class == STATE_OPEN ? "delay_reason" : "bounce_reason",
			text(reason.text));
	if (in_full)
		set(recipient, "state",
			json_string((entry.notify & DSN_NOTIFY_EXPANDED) != 0 ? "expanded"
									      : words[class]));
	if (in_full && reason.dsn.len > 0)
		add_last(recipient, &reason);
	if (in_full && entry.orcpt.len > 0)
		set(recipient, "orcpt", text(entry.orcpt));
	if (in_full && entry.notify != 0) {
		struct buf notify;

		buf_init(&notify, 0);
		CHECK(dsn_format_notify(entry.notify, &notify) == ERR_OK);
		set(recipient, "notify", text(buf_slice(&notify)));
		buf_done(&notify);
	}
	return recipient;
}

static void
add_details(const struct control_view *view, json_t *object)
{
	const struct envelope *envelope = view->envelope;

	static const char *const rets[] = { "", "FULL", "HDRS" };

	set_number(object, "arrival_time_us", envelope->arrival_us);
	if (envelope->created_us > 0)
		set_number(object, "created_time_us", envelope->created_us);
	set(object, "ret", json_string(envelope->ret <= DSN_RET_HDRS ? rets[envelope->ret] : ""));
	set(object, "body_8bit", json_boolean(envelope->body_8bit != 0));
	set_number(object, "attempts", view->state->attempts);
	set_number(object, "worker_deaths", view->state->worker_deaths);
	if (view->state->last_attempt_us > 0)
		set_number(object, "last_attempt_time", view->state->last_attempt_us / US_PER_S);
	if (view->due_us > 0)
		set_number(object, "next_attempt_time", view->due_us / US_PER_S);
	set(object, "client_name", text(envelope->client_name));
	set(object, "client_address", text(envelope->client_address));
	set(object, "client_helo", text(envelope->client_helo));
	set(object, "protocol", text(envelope->protocol));
	set(object, "message_id", text(envelope->message_id));
	set(object, "envid", text(envelope->envid));
	set(object, "smtputf8", json_boolean(envelope->smtputf8 != 0));
	if (envelope->uid_plus1 > 0)
		set_number(object, "uid", envelope->uid_plus1 - 1);
}

/* Byte for byte: head, and body or the name of its file. Without both it is not to be had now. */
static void
add_base64(const struct control_view *view, json_t *object)
{
	set_base64(object, "head_base64", view->head);
	if (view->large != 0) {
		char name[STORE_LARGE_NAME_SIZE];

		store_large_name(view->large, name);
		set(object, "content_file", json_sprintf("large/%s", name));
		set_number(object, "content_length", view->content_length);
		set_base64(object, "content_sums_base64", view->parts);
	} else if (view->has_body) {
		set_base64(object, "body_base64", view->body);
	}
}

static void
add_content(const struct control_view *view, json_t *object)
{
	struct buf content;

	if (view->large != 0) {
		char name[STORE_LARGE_NAME_SIZE];

		store_large_name(view->large, name);
		set(object, "content_file", json_sprintf("large/%s", name));
		set(object, "content_head", text(view->head));
		return;
	}
	buf_init(&content, 0);
	buf_add(&content, view->head);
	if (view->has_body)
		buf_add(&content, view->body);
	set(object, "content", text(buf_slice(&content)));
	buf_done(&content);
}

/* What a recipient takes in a line at most, or nearly so: a byte may become six. */
static size_t
recipient_size(const struct control_view *view, uint32_t number)
{
	struct recipient_entry entry = recipient_index_get(view->recipients, number);
	struct state_reason reason = { 0 };

	(void)state_reason(view->state, number, &reason);
	return 256 + 6 * (entry.address.len + entry.original.len + entry.orcpt.len +
				 reason.text.len + reason.remote_mta.len + reason.diagnostic.len);
}

/* Nobody waits for a delivery to it. */
static bool
is_expanded(const struct control_view *view, uint32_t number)
{
	return (recipient_index_get(view->recipients, number).notify & DSN_NOTIFY_EXPANDED) != 0;
}

/* As many as a frame can hold; of the others it is said how many they are. */
static void
add_recipients(const struct control_view *view, bool in_full, json_t *object)
{
	json_t *recipients = json_array();
	size_t size = 0;
	uint64_t more = 0;

	for (uint32_t i = 0; i < view->recipient_count; i++) {
		enum state_class class = state_class(view->state, i);

		if (!in_full && class != STATE_OPEN && class != STATE_BOUNCE_PENDING)
			continue;
		if (!in_full && is_expanded(view, i))
			continue;
		if (size > RECIPIENTS_SAID_MAX) {
			more++;
			continue;
		}
		size += recipient_size(view, i);
		CHECK(json_array_append_new(recipients, recipient_json(view, i, in_full)) == 0);
	}
	set(object, "recipients", recipients);
	if (more > 0)
		set_number(object, "more_recipients", more);
}

void
job_say_message(struct job *job, const struct control_view *view)
{
	bool in_full = job->kind == JOB_SHOW;
	json_t *object = json_object();
	struct buf line;

	set(object, "queue_name", json_string(view->queue_name));
	set(object, "queue_id", json_string(view->id_text));
	set_number(object, "arrival_time", view->envelope->arrival_us / US_PER_S);
	set_number(object, "message_size", view->envelope->size);
	set(object, "forced_expire", json_boolean((view->state->flags & STATE_EXPIRE) != 0));
	set(object, "sender", text(view->envelope->sender));
	add_recipients(view, in_full, object);
	if (view->envelope->import_key.len > 0)
		set(object, "import_key", text(view->envelope->import_key));
	if (in_full)
		add_details(view, object);
	if (in_full && job->as_base64)
		add_base64(view, object);
	else if (in_full && job->with_content)
		add_content(view, object);
	buf_init(&line, 0);
	append_line(object, &line);
	job_say(job, buf_slice(&line));
	buf_done(&line);
}

/* --- the last line ---------------------------------------------------------------------------- */

/* How far an answer goes, and what was found of a site's mail. */
static void
add_found(const struct job *job, json_t *object)
{
	set(object, "complete", json_boolean(!job->is_cut));
	set_number(object, "looked_at", job->looked_at);
	set_number(object, "messages", store_count(job->core->store));
	if (job->oldest_us == 0)
		return;
	set_number(object, "held", job->held);
	set_number(object, "oldest_arrival_time", job->oldest_us / US_PER_S);
	if (job->next_due_us > 0)
		set_number(object, "next_attempt_time", job->next_due_us / US_PER_S);
}

void
job_summary(struct job *job, struct buf *out)
{
	json_t *object = json_object();
	json_t *unknown = json_array();
	struct slice rest = buf_slice(&job->unknown), word;

	set_number(object, "done", job->done);
	if (job->bytes > 0)
		set_number(object, "bytes", job->bytes);
	if (job->in_delivery > 0)
		set_number(object, "in_delivery", job->in_delivery);
	while (slice_word(&rest, " ", &word))
		CHECK(json_array_append_new(unknown, text(word)) == 0);
	set(object, "unknown", unknown);
	if (job->kind == JOB_WHY)
		add_found(job, object);
	if (job->kind == JOB_RELEASE_COPY)
		set_number(object, "still_held", job->still_held);
	append_line(object, out);
}

/* --- status and metrics ----------------------------------------------------------------------- */

static json_t *
destination_json(const struct sched_destination *destination)
{
	static const char *const states[] = { "ready", "dead", "probing", "suspended" };
	struct sched_status status;
	json_t *object = json_object();

	sched_destination_status(destination, &status);
	set(object, "transport", text(sched_transport_name(status.transport)));
	set(object, "name", text(status.name));
	set(object, "state", json_string(states[status.state]));
	set_number(object, "limit", status.limit);
	set_number(object, "busy", status.busy);
	set_number(object, "waiting", status.waiting);
	set_number(object, "sessions", status.sessions);
	if (status.dead.text.len > 0)
		set(object, "reason", text(status.dead.text));
	return object;
}

static void
set_left(json_t *object, const char *name, const struct core *core, struct mono until)
{
	if (until.ns > core->now.mono.ns)
		set_number(object, name, (until.ns - core->now.mono.ns) / NS_PER_S);
}

/* The next hops that have the same hosts and settings; some of them, if they are many. */
static void
set_members(json_t *object, const struct sched_destination *site, uint32_t count)
{
	const struct sched_destination *member = NULL;
	json_t *list;

	if (count == 0)
		return;
	set_number(object, "members", count);
	list = json_array();
	for (unsigned i = 0; i < MEMBERS_SHOWN && i < count; i++) {
		member = sched_destination_member(site, member);
		CHECK(json_array_append_new(list, text(sched_destination_nexthop(member))) == 0);
	}
	set(object, "serves", list);
}

void
control_site_json(
	struct core *core, const struct sched_destination *destination, struct buf *out)
{
	json_t *object = destination_json(destination);
	struct sched_status status;

	sched_destination_status(destination, &status);
	set_number(object, "parked", status.parked);
	set_members(object, destination, status.members);
	if (status.state == WINDOW_DEAD)
		set_left(object, "next_probe_s", core, status.due);
	set_left(object, "suspended_s", core, status.held_until);
	set_left(object, "slowed_s", core, status.slow_until);
	if (status.slow_ns > 0)
		set_number(object, "slowed_to_per_hour", 3600 * NS_PER_S / status.slow_ns);
	if (status.act.len > 0)
		set(object, "because", text(status.act));
	append_line(object, out);
}

/* What the store wrote, by cause, for each byte of mail that it took. */
double
status_write_amplification(const struct store_stats *stats)
{
	uint64_t taken = stats->journal.records[JOURNAL_NEW_MAIL] + stats->large_bytes;

	if (taken == 0)
		return 0;
	return (double)(stats->journal.written + stats->checkpoint_bytes + stats->large_bytes) /
	       (double)taken;
}

uint64_t
status_padding(const struct journal_stats *stats)
{
	uint64_t named = stats->footers;

	for (int i = 0; i < JOURNAL_CLASSES; i++)
		named += stats->records[i];
	return stats->written > named ? stats->written - named : 0;
}

double
status_live_share(const struct store_stats *stats)
{
	return stats->space.used_bytes == 0
		       ? 0
		       : (double)stats->live_bytes / (double)stats->space.used_bytes;
}

/* How old the oldest segment in force is; 0: that is not known. */
uint64_t
status_oldest_age_s(const struct core *core, const struct journal_stats *stats)
{
	uint64_t now_us = core->now.wall.us;

	return stats->oldest_us == 0 || stats->oldest_us > now_us
		       ? 0
		       : (now_us - stats->oldest_us) / US_PER_S;
}

static void
set_flushes(json_t *object, const struct journal_stats *stats)
{
	set_number(object, "flush_p50_us", stats->flush.p50_us);
	set_number(object, "flush_p99_us", stats->flush.p99_us);
	set_number(object, "flush_max_us", stats->flush.max_us);
	set(object, "batch_transactions", json_real(stats->flush.transactions));
	set(object, "batch_bytes", json_real(stats->flush.bytes));
	set_number(object, "durable_lag_us", stats->lag_ns / 1000);
	set_number(object, "durable_lag_bytes", stats->lag_bytes);
}

static void
set_format(json_t *object, const struct core *core)
{
	struct journal_format format;

	journal_format(store_journal(core->store), &format);
	set(object, "journal_format",
		json_sprintf("%d.%u", RECORD_FORMAT_MAJOR, format.in_force));
	set(object, "journal_format_newest",
		json_sprintf("%d.%u", RECORD_FORMAT_MAJOR, format.newest));
}

static void
set_store(json_t *object, const struct core *core)
{
	struct store_stats stats;

	store_stats(core->store, &stats);
	set_format(object, core);
	set(object, "index_complete", json_boolean(store_is_complete(core->store)));
	set_number(object, "journal_live_bytes", stats.live_bytes);
	set_number(object, "journal_file_bytes", stats.space.file_bytes);
	set_number(object, "journal_free_segments", stats.space.free_segments);
	set(object, "journal_is_cleaned", json_boolean(stats.is_cleaning));
	set_number(object, "journal_flushes", stats.journal.flushes);
	set_number(object, "written_mail", stats.journal.records[JOURNAL_NEW_MAIL]);
	set_number(object, "written_results", stats.journal.records[JOURNAL_RESULT]);
	set_number(object, "written_copies", stats.journal.records[JOURNAL_CLEANING]);
	set_number(object, "written_footers", stats.journal.footers);
	set_number(object, "written_padding", status_padding(&stats.journal));
	set_number(object, "written_checkpoints", stats.checkpoint_bytes);
	set_number(object, "written_large", stats.large_bytes);
	set(object, "write_amplification", json_real(status_write_amplification(&stats)));
	set_flushes(object, &stats.journal);
	set_number(object, "journal_reserve_segments", stats.journal.reserve);
	set(object, "journal_live_share", json_real(status_live_share(&stats)));
	set_number(object, "journal_freed_segments", stats.journal.freed_segments);
	set_number(object, "journal_oldest_segment_s", status_oldest_age_s(core, &stats.journal));
	set_number(object, "journal_damaged_segments", stats.journal.suspects);
	set_number(object, "messages_lost", stats.lost);
	set_number(object, "checkpoint_age_s", stats.checkpoint_age_ns / NS_PER_S);
	set_number(object, "checkpoint_behind_bytes", stats.checkpoint_behind);
	set(object, "journal_is_scrubbed", json_boolean(stats.is_scrubbing));
	set_number(object, "scrub_last", stats.scrub_last_us / US_PER_S);
	set_number(object, "scrub_bytes", stats.scrub_bytes);
	set_number(object, "scrub_damage", stats.scrub_damage);
}

void
control_status(struct core *core, struct buf *out)
{
	struct core_counts counts;
	struct sched_counts sched;
	struct sched_destination *destination = NULL;
	json_t *object = json_object();
	json_t *list = json_array();

	core_counts(core, &counts);
	sched_counts(core->sched, &sched);
	set(object, "epoch", json_sprintf("%016" PRIx64, core->epoch));
	set_number(object, "messages", counts.messages);
	set_number(object, "active", counts.active);
	set_number(object, "loading", counts.loading);
	set_number(object, "locked", counts.locked);
	set_number(object, "transactions", counts.leases);
	set_number(object, "sessions", counts.sessions);
	set_number(object, "accepted", core->accepted);
	set_number(object, "delivered", core->delivered);
	set_number(object, "deferred", core->deferred);
	set_number(object, "bounced", core->bounced);
	set_number(object, "removed", core->removed);
	set_number(object, "destinations", sched.destinations);
	set_number(object, "destinations_dead", sched.dead);
	set(object, "accepts_mail", json_boolean(core_accepts(core)));
	set(object, "trouble",
		core_trouble(core) != NULL ? json_string(core_trouble(core)) : json_null());
	if (core->copy.below != 0) {
		set(object, "held_as_copy", json_string(copy_reason(core)));
		set_number(object, "held_as_copy_since", core->copy.since_us / US_PER_S);
	}
	set_store(object, core);
	set_number(object, "config_number", config_number(core->config));
	for (unsigned i = 0; i < STATUS_DESTINATIONS_MAX; i++) {
		destination = sched_destination_next(core->sched, destination);
		if (destination == NULL)
			break;
		CHECK(json_array_append_new(list, destination_json(destination)) == 0);
	}
	set(object, "sites", list);
	append_line(object, out);
}
