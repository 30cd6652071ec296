/*
 * control_request.c - words of an operator become a job; who may ask for what (see control.c)
 */
#include "qmgr/control_priv.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/num.h"

#include <string.h>
#include <sysexits.h>

enum { WHY_MAX = 500 };

/* How long mail is looked for: of an address all of it is told, of a site its state comes first. */
#define WHY_NS (60 * NS_PER_MS)
#define WHY_ADDRESS_NS (240 * NS_PER_MS)

struct command {
	const char *name;
	enum job_kind kind;
	enum core_right right;
};

static const struct command commands[] = {
	{ "queue", JOB_QUEUE, CORE_MAY_LIST },
	{ "show", JOB_SHOW, CORE_MAY_LIST },
	{ "flush", JOB_FLUSH, CORE_MAY_FLUSH },
	{ "hold", JOB_HOLD, CORE_MAY_CHANGE },
	{ "release", JOB_RELEASE, CORE_MAY_CHANGE },
	{ "delete", JOB_DELETE, CORE_MAY_CHANGE },
	{ "requeue", JOB_REQUEUE, CORE_MAY_CHANGE },
	{ "expire", JOB_EXPIRE, CORE_MAY_CHANGE },
	{ "why", JOB_WHY, CORE_MAY_LIST },
	{ "status", JOB_STATUS, CORE_MAY_LIST },
	{ "metrics", JOB_METRICS, CORE_MAY_LIST },
	{ "health", JOB_HEALTH, CORE_MAY_LIST },
	{ "snapshot", JOB_SNAPSHOT, CORE_MAY_CHANGE },
	{ "sites", JOB_SITES, CORE_MAY_LIST },
	{ "site", JOB_SITE, CORE_MAY_CHANGE },
	{ "upgrade-journal", JOB_UPGRADE, CORE_MAY_CHANGE },
};

/* What a user hears who lacks the right. */
static const char *
refusal(enum core_right right)
{
	switch (right) {
	case CORE_MAY_LIST:
		return "authorized_mailq_users does not allow you to look at the queue";
	case CORE_MAY_FLUSH:
		return "authorized_flush_users does not allow you to flush the queue";
	case CORE_MAY_CHANGE:
		break;
	}
	return "only root, the mail owner and the user that started Ostler may do this";
}

static const struct command *
find_command(struct slice name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (slice_equal_str(name, commands[i].name))
			return &commands[i];
	return NULL;
}

static void
refuse(struct peer *peer, uint32_t request, uint8_t exit_code, const char *text)
{
	SEND(peer->core, peer->number, control_reply, .request = request, .final = 1,
		.exit_code = exit_code, .text = slice_str(text));
}

/* --- words ------------------------------------------------------------------------------------ */

static const char *
take_text(char **text, struct slice value)
{
	if (*text != NULL)
		return "a condition is given twice";
	if (value.len > 0 && memchr(value.ptr, 0, value.len) != NULL)
		return "a condition holds a NUL";
	*text = mem_strndup((const char *)value.ptr, value.len);
	return NULL;
}

static const char *
take_address(char **text, struct slice value,
	void (*want)(struct fingerprint_wanted *wanted, struct slice text),
	struct fingerprint_wanted *wanted)
{
	want(wanted, value);
	return take_text(text, value);
}

static const char *
take_number(uint64_t *number, struct slice value)
{
	return num_parse_u64(value, 0, INT64_MAX, number) == ERR_OK ? NULL : "bad number";
}

/* A word that has a value behind it. False: it is no such word. */
static bool
take_condition(
	struct control_select *select, struct slice name, struct slice value, const char **problem)
{
	*problem = NULL;
	select->needs_bytes |= !slice_equal_str(name, "older") && !slice_equal_str(name, "younger");
	if (slice_equal_str(name, "sender"))
		*problem = take_address(&select->sender, value, fingerprint_want_sender,
			&select->wanted);
	else if (slice_equal_str(name, "recipient"))
		*problem = take_address(&select->recipient, value, fingerprint_want_recipient,
			&select->wanted);
	else if (slice_equal_str(name, "site"))
		*problem = take_text(&select->site, value);
	else if (slice_equal_str(name, "reason"))
		*problem = take_text(&select->reason, value);
	else if (slice_equal_str(name, "older"))
		*problem = take_number(&select->age_min_s, value);
	else if (slice_equal_str(name, "younger"))
		*problem = take_number(&select->age_max_s, value);
	else if (slice_equal_str(name, "larger"))
		*problem = take_number(&select->size_min, value);
	else if (slice_equal_str(name, "smaller"))
		*problem = take_number(&select->size_max, value);
	else
		return false;
	select->is_set = true;
	return true;
}

static bool
takes_value(struct slice word)
{
	static const char *const names[] = { "sender", "recipient", "site", "reason", "older",
		"younger", "larger", "smaller", "why" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (slice_equal_str(word, names[i]))
			return true;
	return false;
}

static bool
take_mark(struct job *job, struct slice word)
{
	if (slice_equal_str(word, "ALL"))
		job->is_all = true;
	else if (slice_equal_str(word, "dry"))
		job->is_dry = true;
	else if (slice_equal_str(word, "count"))
		job->is_dry = job->is_count = true;
	else if (job->kind == JOB_WHY && slice_equal_str(word, "full"))
		job->stop_at = (struct mono){ 0 };
	else if (job->kind == JOB_EXPIRE && slice_equal_str(word, "held"))
		job->with_held = true;
	else if (job->kind == JOB_SHOW && slice_equal_str(word, "content"))
		job->with_content = true;
	else if (job->kind == JOB_SHOW && slice_equal_str(word, "base64"))
		job->with_content = job->as_base64 = true;
	else
		return job->kind == JOB_FLUSH && slice_equal_str(word, "id");
	return true;
}

static const char *
take_value(struct job *job, struct slice name, struct slice value)
{
	const char *problem;

	if (slice_equal_str(name, "why"))
		return take_text(&job->why, slice_head(value, num_min_u64(value.len, WHY_MAX)));
	(void)take_condition(&job->select, name, value, &problem);
	return problem;
}

static const char *
bad_word(struct job *job, struct slice word)
{
	(void)snprintf(job->problem, sizeof(job->problem),
		"%" SLICE_FMT " is no queue ID; queue IDs or ALL are wanted",
		SLICE_ARG(slice_head(word, num_min_u64(word.len, 64))));
	return job->problem;
}

/* Words: docs/protocol/control.md. NULL: fine. */
static const char *
read_arguments(struct job *job, struct slice list)
{
	struct slice word, value;

	job->ids = mem_array(list.len / 4 + 1, sizeof(*job->ids));
	job->select.age_max_s = job->select.size_max = UINT64_MAX;
	while (ipc_bytes_next(&list, &word) == ERR_OK) {
		const char *problem = NULL;

		if (takes_value(word))
			problem = ipc_bytes_next(&list, &value) == ERR_OK
					  ? take_value(job, word, value)
					  : "the last word lacks its value";
		else if (!take_mark(job, word) &&
			 queue_id_parse(word, &job->ids[job->id_count++]) != ERR_OK)
			problem = bad_word(job, word);
		if (problem != NULL)
			return problem;
	}
	if (job->id_count > 0 && job->is_all)
		return "either queue IDs or ALL, not both";
	if (job->id_count == 0 && !job->is_all && !job->select.is_set && job->kind != JOB_QUEUE &&
		job->kind != JOB_FLUSH)
		return "a queue ID, a condition or ALL is wanted";
	return NULL;
}

/* --- start ------------------------------------------------------------------------------------ */

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
	bool concerns = job->is_all || (job->select.is_set && job->kind != JOB_FLUSH);

	if (core->copy.below == 0 || job->is_dry)
		return NULL;
	for (size_t i = 0; i < job->id_count; i++)
		concerns |= copy_holds(core, job->ids[i]);
	if (job->kind == JOB_RELEASE && job->is_all && !job->select.is_set)
		job->kind = JOB_RELEASE_COPY;
	else if (concerns && (job->kind == JOB_RELEASE || job->kind == JOB_REQUEUE ||
				     job->kind == JOB_EXPIRE || job->kind == JOB_FLUSH))
		return "the mail of this queue is held because the queue is a copy of another "
		       "one; only 'release ALL' ends that";
	return NULL;
}

static void
start_job(struct peer *peer, const struct ipc_control_request *request,
	const struct command *command)
{
	struct core *core = peer->core;
	struct job *job = mem_new(sizeof(*job));
	const char *problem;

	job->core = core;
	job->peer = peer->number;
	job->request = request->request;
	job->kind = command->kind;
	job->command = command->name;
	job->who = mem_strndup(peer->user, strlen(peer->user));
	job->is_of_others = (peer->rights & CORE_MAY_CHANGE) == 0;
	job->began = core->now.mono;
	job->stop_at = mono_add_ns(core->now.mono, WHY_NS);
	buf_init(&job->unknown, 0);
	LIST_INSERT_HEAD(&core->jobs, job, link);
	core->job_count++;
	problem = read_arguments(job, request->arguments);
	if (job->stop_at.ns != 0 && job->select.recipient != NULL)
		job->stop_at = mono_add_ns(core->now.mono, WHY_ADDRESS_NS);
	if (problem != NULL) {
		job_end(job, EX_USAGE, slice_str(problem));
		return;
	}
	problem = check_copy(job);
	if (problem != NULL) {
		job_end(job, EX_UNAVAILABLE, slice_str(problem));
		return;
	}
	if (job->with_content && (peer->rights & CORE_MAY_CHANGE) == 0) {
		job_end(job, EX_NOPERM, slice_str(refusal(CORE_MAY_CHANGE)));
		return;
	}
	/* Rule X12: a flush of all revives all. Others revive what they concern, in control.c. */
	if (job->kind == JOB_FLUSH && job->id_count == 0 && !job->select.is_set && !job->is_dry) {
		nexthop_flush(core);
		sched_flush(core->sched);
	}
	if (job->kind == JOB_WHY)
		control_why_begin(job);
	core_mark(core);
}

/* No user's requests keep the administrator's out, nor those of all other users. */
static bool
has_place(const struct peer *peer)
{
	const struct core *core = peer->core;
	const struct job *job;
	uint32_t others = 0, own = 0;

	if ((peer->rights & CORE_MAY_CHANGE) != 0)
		return core->job_count < CORE_JOBS_MAX;
	LIST_FOREACH (job, &core->jobs, link) {
		others += job->is_of_others;
		own += job->is_of_others && strcmp(job->who, peer->user) == 0;
	}
	return core->job_count < CORE_JOBS_MAX && others < CORE_JOBS_MAX - CORE_JOBS_KEPT &&
	       own < CORE_JOBS_PER_USER;
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

static void
request_site(struct peer *peer, const struct ipc_control_request *request)
{
	uint8_t exit_code;
	const char *problem = control_site(peer, request->arguments, &exit_code);

	refuse(peer, request->request, exit_code, problem != NULL ? problem : "{\"done\": true}\n");
}

void
control_request(struct peer *peer, const struct ipc_control_request *request)
{
	const struct command *command = find_command(request->command);

	if (command == NULL)
		refuse(peer, request->request, EX_USAGE, "unknown command");
	else if ((peer->rights & command->right) == 0)
		refuse(peer, request->request, EX_NOPERM, refusal(command->right));
	else if (command->kind == JOB_HEALTH)
		answer_health(peer, request->request);
	else if (command->kind == JOB_STATUS || command->kind == JOB_METRICS)
		answer_at_once(peer, request->request, command->kind);
	else if (command->kind == JOB_SNAPSHOT)
		request_snapshot(peer, request);
	else if (command->kind == JOB_UPGRADE)
		request_upgrade(peer, request->request);
	else if (command->kind == JOB_SITES)
		control_sites(peer, request->request);
	else if (command->kind == JOB_SITE)
		request_site(peer, request);
	else if (!has_place(peer))
		refuse(peer, request->request, EX_TEMPFAIL, "too many requests at a time");
	else
		start_job(peer, request, command);
}
