/* local_job.c - see local_job.h */
#include "local/local_job.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "local/runner_pipe.h"
#include "message/address.h"
#include "message/date.h"
#include "message/dsn.h"
#include "message/queue_id.h"
#include "message/received.h"
#include "message/recipient_filter.h"
#include "route/resolve.h"
#include "route/rewrite.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { HEADER_MAX = 128 * 1024, RUN_WORDS_MAX = 1024 };

static void job_next(struct local_job *job);

/* --- the object ------------------------------------------------------------------------------- */

static void
intake_answer(struct intake_txn *txn, enum ipc_intake_status status, struct slice text);

static bool
read_work(struct local_job *job)
{
	struct slice list;
	struct ipc_recipient recipient;
	enum err err;

	if (ipc_decode(IPC_TYPE_work, buf_slice(&job->payload), &job->ipc) != ERR_OK ||
		envelope_decode(job->ipc.envelope, &job->envelope) != ERR_OK)
		return false;
	list = job->ipc.recipients;
	while ((err = ipc_recipient_next(&list, &recipient)) == ERR_OK)
		job->count++;
	if (err != ERR_NOTFOUND || job->count == 0)
		return false;
	job->recipients = mem_array(job->count, sizeof(*job->recipients));
	job->outcomes = mem_array(job->count, sizeof(*job->outcomes));
	list = job->ipc.recipients;
	for (uint32_t i = 0; i < job->count; i++)
		CHECK(ipc_recipient_next(&list, &job->recipients[i]) == ERR_OK);
	return true;
}

struct local_job *
local_job_new(struct local_worker *worker, struct slice payload, int fd, struct wall now)
{
	struct local_job *job = MEM_NEW(struct local_job);

	job->worker = worker;
	job->fd = fd;
	job->received_at = now;
	job->txn = (struct intake_txn){ .client = &worker->intake, .answer = intake_answer };
	buf_init(&job->payload, 0);
	buf_init(&job->prefix, 0);
	buf_add(&job->payload, payload);
	if (read_work(job)) {
		job->session = job->ipc.session;
		return job;
	}
	local_job_free(job);
	return NULL;
}

void
local_job_pipe(struct local_job *job, const char *service, const char *nexthop)
{
	job->service = mem_strndup(service, strlen(service));
	job->nexthop = mem_strndup(nexthop, strlen(nexthop));
}

void
local_job_free(struct local_job *job)
{
	CHECK(!job->in_pool && !job->in_agent);
	intake_txn_abort(&job->txn);
	for (uint32_t i = 0; i < job->count && job->outcomes != NULL; i++)
		mem_free(job->outcomes[i].reason);
	if (job->has_plan)
		local_plan_done(&job->plan);
	if (job->fd >= 0)
		(void)close(job->fd);
	mem_free(job->recipients);
	mem_free(job->outcomes);
	mem_free(job->service);
	mem_free(job->nexthop);
	buf_done(&job->payload);
	buf_done(&job->prefix);
	mem_free(job);
}

/* --- one recipient's fate --------------------------------------------------------------------- */

/* Decides the recipient; what is left of its targets is not tried. */
static void
decide(struct local_job *job, enum ipc_outcome_kind kind, const char *dsn, const char *reason)
{
	struct local_outcome *outcome = &job->outcomes[job->recipient];

	outcome->kind = kind;
	(void)snprintf(outcome->dsn, sizeof(outcome->dsn), "%s", dsn);
	mem_free(outcome->reason);
	outcome->reason = mem_strndup(reason, strlen(reason));
	local_plan_done(&job->plan);
	job->has_plan = false;
	job->recipient++;
}

/* A target, or several, are done: the next one, or the recipient is delivered, or returned. */
static void
targets_done(struct local_job *job, uint32_t count, const char *words)
{
	struct local_outcome *outcome = &job->outcomes[job->recipient];

	job->target += count;
	if (job->target < job->plan.count)
		return;
	if (outcome->reason == NULL) {
		decide(job, IPC_OUTCOME_DELIVERED, "2.0.0", words);
	} else {
		char *reason = outcome->reason;
		char dsn[sizeof(outcome->dsn)];

		outcome->reason = NULL;
		memcpy(dsn, outcome->dsn, sizeof(dsn));
		decide(job, IPC_OUTCOME_BOUNCED, dsn, reason);
		mem_free(reason);
	}
}

static void
target_done(struct local_job *job, const char *words)
{
	targets_done(job, 1, words);
}

/*
 * A target that is refused for good: the others still get the message, the first refusal counts.
 * With soft_bounce the recipient is tried again, and what is not done yet need not be done twice.
 */
static void
target_refused(struct local_job *job, const char *dsn, const char *reason)
{
	struct local_outcome *outcome = &job->outcomes[job->recipient];

	if (outcome->reason == NULL) {
		(void)snprintf(outcome->dsn, sizeof(outcome->dsn), "%s", dsn);
		outcome->reason = mem_strndup(reason, strlen(reason));
	}
	if (config_bool(job->worker->config, NULL, PARAM_SOFT_BOUNCE))
		targets_done(job, job->plan.count - job->target, "");
	else
		targets_done(job, 1, "");
}

/* --- Maildir ---------------------------------------------------------------------------------- */

/* In the pool. */
static void
run_maildir(struct local_task *task)
{
	struct local_job *job = (struct local_job *)task;
	struct maildir_message message = {
		.prefix = buf_slice(&job->prefix),
		.head = job->ipc.head,
		.content = job->ipc.content,
		.content_fd = job->fd,
		.content_length = job->ipc.content_length,
		.content_hash = job->ipc.content_hash,
	};
	struct maildir_file file;

	struct slice path = slice_str(job->path);

	job->wants_agent = job->is_run ||
			   (job->has_agent && local_agent_user(slice_head(path,
								       slice_find(path, '/')),
						      &job->uid));
	if (job->wants_agent) {
		job->err = local_agent_stage(
			job->worker->mail_dir, &message, &job->staged, &job->fault);
		return;
	}
	job->err = maildir_prepare(job->worker->mail_dir, job->path, job->worker->hostname,
		&message, &file, &job->fault);
	if (job->err == ERR_OK)
		job->err = maildir_commit(job->worker->mail_dir, job->path, &file, &job->fault);
}

static void
maildir_result(struct local_job *job)
{
	char reason[FAULT_TEXT_SIZE + 64];

	if (job->err == ERR_OK) {
		target_done(job, "delivered to maildir");
	} else if (job->err == ERR_CORRUPT) {
		job->is_corrupt = true;
		job->recipient = job->count;
	} else {
		(void)snprintf(reason, sizeof(reason), "maildir delivery failed: %s",
			job->fault.text);
		decide(job, IPC_OUTCOME_DEFERRED, job->err == ERR_NOSPACE ? "4.2.2" : "4.2.0",
			reason);
	}
	job_next(job);
}

static void
run_succeeded(struct local_job *job, const char *words)
{
	char via[RUN_WORDS_MAX];

	(void)snprintf(via, sizeof(via), "delivered via %s service",
		job->service == NULL ? "" : job->service);
	target_done(job, job->service == NULL ? words : via);
}

static void
run_done(struct local_ask *ask, enum agent_status status, struct slice dsn, struct slice reason)
{
	struct local_job *job = (struct local_job *)((char *)ask - offsetof(struct local_job, ask));
	char code[sizeof(job->outcomes->dsn)], words[RUN_WORDS_MAX];
	bool is_sound = dsn_status_valid(dsn) && dsn.len < sizeof(code);

	job->in_agent = false;
	job->has_killed |= ask->was_lost;
	job->is_untried |= ask->was_absent;
	(void)snprintf(words, sizeof(words), "%" SLICE_FMT,
		SLICE_ARG(slice_head(reason, sizeof(words) - 1)));
	(void)snprintf(code, sizeof(code), "%" SLICE_FMT,
		SLICE_ARG(is_sound ? dsn : SLICE_LIT("4.3.0")));
	if (status == AGENT_DONE)
		run_succeeded(job, words);
	else if (status == AGENT_REFUSED && is_sound)
		target_refused(job, code, words);
	else
		decide(job, IPC_OUTCOME_DEFERRED, code, words);
	job_next(job);
}

static void
agent_done(struct local_ask *ask, enum agent_status status, struct slice dsn, struct slice reason)
{
	static const enum err errors[] = { [AGENT_DONE] = ERR_OK, [AGENT_TEMPORARY] = ERR_IO,
		[AGENT_FULL] = ERR_NOSPACE, [AGENT_CORRUPT] = ERR_IO, [AGENT_REFUSED] = ERR_IO };
	struct local_job *job = (struct local_job *)((char *)ask - offsetof(struct local_job, ask));

	(void)dsn;
	job->in_agent = false;
	job->has_killed |= ask->was_lost;
	job->is_untried |= ask->was_absent;
	job->err = status <= AGENT_REFUSED ? errors[status] : ERR_IO;
	(void)snprintf(job->fault.text, sizeof(job->fault.text), "%" SLICE_FMT,
		SLICE_ARG(slice_head(reason, FAULT_TEXT_SIZE - 1)));
	maildir_result(job);
}

static void
ask_runner(struct local_job *job)
{
	const struct local_target *target = &job->plan.targets[job->target];
	const struct ipc_recipient *recipient = &job->recipients[job->recipient];
	char id[QUEUE_ID_TEXT_SIZE];
	struct ipc_run_request request = {
		.alias = slice_str(job->service == NULL ? target->alias : ""),
		.target = slice_str(job->service == NULL ? target->path : ""),
		.service = slice_str(job->service == NULL ? "" : job->service),
		.nexthop = slice_str(job->service == NULL ? "" : job->nexthop),
		.sender = job->envelope.sender,
		.recipient = recipient->address,
		.original = recipient->original,
		.queue_id = queue_id_format(job->ipc.queue_id, id),
	};

	job->ask.done = run_done;
	local_agent_run(&job->worker->runner, &job->ask, &request, &job->staged);
}

static void
maildir_done(struct local_task *task)
{
	struct local_job *job = (struct local_job *)task;

	job->in_pool = false;
	if (!job->wants_agent || job->err != ERR_OK) {
		maildir_result(job);
		return;
	}
	job->in_agent = true;
	if (job->is_run) {
		ask_runner(job);
		return;
	}
	job->ask.done = agent_done;
	local_agent_ask(&job->worker->agent, &job->ask, job->uid, job->path,
		job->worker->hostname, &job->staged);
}

static void
put_field_address(struct buf *out, const char *before, struct slice address, const char *after)
{
	buf_add_str(out, before);
	if (address.len > 0 && address_format(address, out) != ERR_OK)
		buf_add_str(out, "(damaged)");
	buf_add_str(out, after);
}

/* The line that parts messages of a mailbox file; commands get it too. */
static void
put_separator(struct local_job *job)
{
	char text[DATE_MBOX_SIZE];
	struct slice sender = job->envelope.sender;

	put_field_address(&job->prefix, "From ",
		sender.len > 0 ? sender : SLICE_LIT("MAILER-DAEMON"), "  ");
	buf_add(&job->prefix, date_mbox(text, job->received_at));
	buf_add_str(&job->prefix, "\n");
}

/* Pipe services get only what their flags say. */
static bool
has_field(const struct local_job *job, char flag)
{
	const struct config_service *service;
	struct runner_pipe pipe;

	if (job->service == NULL)
		return true;
	service = config_transport_find(job->worker->config, slice_str(job->service));
	return service != NULL && runner_pipe_parse(service->arguments, &pipe) == NULL &&
	       runner_pipe_has(&pipe, flag);
}

/* A Maildir, a command or a file. */
static void
start_maildir(struct local_job *job, const struct local_target *target)
{
	const struct ipc_recipient *recipient = &job->recipients[job->recipient];
	size_t len = strlen(target->path);

	job->is_run = target->kind == LOCAL_TARGET_RUN;
	buf_clear(&job->prefix);
	if (job->is_run && has_field(job, 'F') && target->path[len - 1] != '/')
		put_separator(job);
	if (has_field(job, 'R'))
		put_field_address(&job->prefix, "Return-Path: <", job->envelope.sender, ">\n");
	if (recipient->original.len > 0 && has_field(job, 'O'))
		put_field_address(&job->prefix, "X-Original-To: ", recipient->original, "\n");
	if (has_field(job, 'D'))
		put_field_address(&job->prefix, "Delivered-To: ", recipient->address, "\n");
	(void)snprintf(
		job->path, sizeof(job->path), "%s", job->is_run ? "" : target->path);
	job->fault = (struct fault){ 0 };
	job->has_agent = local_agent_is_there(&job->worker->agent);
	job->task.run = run_maildir;
	job->task.done = maildir_done;
	job->in_pool = true;
	local_pool_submit(&job->worker->pool, &job->task);
}

/* --- forwarding: a message of its own --------------------------------------------------------- */

static void
intake_answer(struct intake_txn *txn, enum ipc_intake_status status, struct slice text)
{
	struct local_job *job =
		(struct local_job *)((char *)txn - offsetof(struct local_job, txn));
	char words[300];

	job->is_forwarding = false;
	if (status == IPC_INTAKE_DURABLE) {
		targets_done(job, job->plan.count - job->target, "forwarded");
	} else {
		(void)snprintf(words, sizeof(words), "forwarding failed: %" SLICE_FMT,
			SLICE_ARG(slice_head(text, 200)));
		decide(job, IPC_OUTCOME_DEFERRED, "4.3.0", words);
	}
	job_next(job);
}

/*
 * What the sender asked for holds for the members, but for success, which is told of the recipient
 * itself; failures of a list with an owner are the owner's (RFC 3461 5.2.7).
 */
static void
inherit_dsn(const struct local_job *job, struct recipient_entry *member)
{
	const struct ipc_recipient *recipient = &job->recipients[job->recipient];

	if (job->plan.owner != NULL)
		return;
	member->orcpt = recipient->orcpt;
	member->notify = (uint8_t)(recipient->notify & ~DSN_NOTIFY_SUCCESS);
	if (member->notify == 0 && recipient->notify != 0)
		member->notify = DSN_NOTIFY_NEVER;
}

static enum err
forward_recipient(struct local_job *job, struct slice address, struct recipient_filter *filter,
	struct buf *list)
{
	const struct config *config = job->worker->config;
	struct recipient_entry entry = { 0 };
	struct rewrite_result result;
	struct buf complete, expanded;
	uint32_t count = 0;
	enum err err;

	buf_init(&complete, 0);
	buf_init(&expanded, 0);
	err = rewrite_complete(config, address, &complete);
	entry.address = buf_slice(&complete);
	inherit_dsn(job, &entry);
	if (err == ERR_OK)
		err = rewrite_recipient(config, &entry, &expanded, &result);
	if (err == ERR_OK)
		err = recipient_filter_pass(filter, buf_slice(&expanded), list, &count);
	buf_done(&complete);
	buf_done(&expanded);
	return err;
}

/* All addresses elsewhere are recipients of one message (rule K31: each once). */
static enum err
forward_recipients(struct local_job *job, struct buf *list)
{
	const struct config *config = job->worker->config;
	struct recipient_filter filter = { 0 };
	enum err err = ERR_OK;

	recipient_filter_begin(&filter,
		config_bool(config, NULL, PARAM_ENABLE_ORIGINAL_RECIPIENT),
		config_int(config, NULL, PARAM_DUPLICATE_FILTER_LIMIT));
	for (uint32_t i = job->target; err == ERR_OK && i < job->plan.count; i++)
		err = forward_recipient(
			job, slice_str(job->plan.targets[i].address), &filter, list);
	recipient_filter_done(&filter);
	return err;
}

/* Delivered-To is what ends a loop (RFC 5321 6.3). */
static void
forward_head(struct local_job *job, uint64_t id, struct buf *head)
{
	const struct config *config = job->worker->config;
	char text[QUEUE_ID_TEXT_SIZE];
	struct received received = {
		.myhostname = config_str(config, NULL, PARAM_MYHOSTNAME),
		.mail_name = config_str(config, NULL, PARAM_MAIL_NAME),
		.queue_id = queue_id_format(id, text),
		.at = loop_now(job->worker->role->loop).wall,
		.local = true,
		.uid = (uint32_t)geteuid(),
	};

	CHECK(received_format(&received, head) == ERR_OK);
	put_field_address(
		head, "Delivered-To: ", job->recipients[job->recipient].address, "\r\n");
	buf_add(head, job->ipc.head);
}

/* Large content goes in parts, as far as credit allows; false: it cannot be read. */
static bool
send_large(struct local_job *job)
{
	static uint8_t bytes[IPC_CONTENT_PART_MAX];

	while (job->forward_at < job->ipc.content_length &&
		intake_client_has_credit(&job->worker->intake)) {
		ssize_t got = pread(job->fd, bytes, sizeof(bytes), (off_t)job->forward_at);

		if (got <= 0)
			return false;
		intake_txn_part(&job->txn, slice_make(bytes, (size_t)got));
		job->forward_at += (uint64_t)got;
	}
	return true;
}

static void
fail_forward(struct local_job *job, const char *why)
{
	intake_txn_abort(&job->txn);
	job->is_forwarding = false;
	decide(job, IPC_OUTCOME_DEFERRED, "4.3.0", why);
}

/*
 * What becomes of the recipient when its copies are durable: one batch with them, so that whoever
 * dies in between makes none of them come twice.
 */
static void
put_expanded(const struct local_job *job, struct buf *list)
{
	const struct local_outcome *refused = &job->outcomes[job->recipient];
	bool is_refused = refused->reason != NULL;
	struct ipc_outcome outcome = {
		.number = job->recipients[job->recipient].number,
		.kind = is_refused ? IPC_OUTCOME_BOUNCED : IPC_OUTCOME_DELIVERED,
		.dsn = slice_str(is_refused ? refused->dsn : "2.0.0"),
		.reason = slice_str(is_refused ? refused->reason : "forwarded"),
	};

	ipc_outcome_put(list, &outcome);
}

static void
commit_forward(struct local_job *job)
{
	struct envelope envelope = job->envelope;
	struct buf list, bytes, head, outcome;

	/* The key of an import, and a hold, concerned the original only. */
	envelope.import_key = slice_make(NULL, 0);
	envelope.orig_id = slice_make(NULL, 0);
	envelope.flags &= ~(uint32_t)ENVELOPE_HOLD;
	buf_init(&list, 0);
	buf_init(&bytes, 0);
	buf_init(&head, 0);
	buf_init(&outcome, 0);
	put_expanded(job, &outcome);
	forward_head(job, job->forward_id, &head);
	if (job->plan.owner != NULL)
		envelope.sender = slice_str(job->plan.owner);
	envelope_stamp(&envelope, loop_now(job->worker->role->loop).wall.us,
		config_time_s(job->worker->config, NULL, PARAM_DELAY_WARNING_TIME));
	envelope.hop_count++;
	if (forward_recipients(job, &list) != ERR_OK ||
		envelope_encode(&envelope, &bytes) != ERR_OK) {
		fail_forward(job, "forwarding: bad address");
	} else if (list.len > IPC_RECIPIENTS_MAX) {
		fail_forward(job, "forwarding: too many addresses for one message");
	} else {
		struct ipc_intake_commit commit = {
			.queue_id = job->forward_id,
			.token = job->forward_token,
			.envelope = buf_slice(&bytes),
			.recipients = buf_slice(&list),
			.head = buf_slice(&head),
			.content = job->ipc.content,
			.content_length = job->ipc.content_length,
			.content_hash = job->ipc.content_hash,
			.dotted = job->ipc.dotted,
			.expands = job->ipc.queue_id,
			.expands_attempt = job->ipc.attempt,
			.expands_outcome = buf_slice(&outcome),
		};

		intake_txn_commit(&job->txn, &commit);
	}
	buf_done(&list);
	buf_done(&bytes);
	buf_done(&head);
	buf_done(&outcome);
}

/* Sends what credit allows, and the end of it when all else is sent. */
static void
go_on_forwarding(struct local_job *job)
{
	if (job->fd >= 0 && !send_large(job))
		fail_forward(job, "forwarding: queue file read error");
	else if (job->fd < 0 || job->forward_at == job->ipc.content_length)
		commit_forward(job);
}

static void
start_forward(struct local_job *job)
{
	job->forward_id = intake_client_id(&job->worker->intake, &job->forward_token);
	if (job->forward_id == 0 || !channel_is_open(&job->worker->role->qmgr)) {
		decide(job, IPC_OUTCOME_DEFERRED, "4.3.0", "forwarding: the queue takes no mail");
		return;
	}
	job->forward_at = 0;
	job->is_forwarding = true;
	go_on_forwarding(job);
}

/* --- names ------------------------------------------------------------------------------------ */

static bool
name_alias(void *ctx, struct slice name, struct slice *ret_value)
{
	const struct local_worker *worker = ctx;

	return config_map_find(worker->config, NULL, PARAM_ALIAS_MAPS, name, ret_value) == ERR_OK;
}

static bool
name_is_local(void *ctx, struct slice domain)
{
	const struct local_worker *worker = ctx;

	return route_is_ours(worker->config, domain);
}

static bool
name_exists(void *ctx, struct slice key)
{
	const struct local_worker *worker = ctx;
	struct slice value;

	return config_map_is_empty(worker->config, NULL, PARAM_LOCAL_RECIPIENT_MAPS) ||
	       config_map_find(worker->config, NULL, PARAM_LOCAL_RECIPIENT_MAPS, key, &value) ==
		       ERR_OK;
}

/* The header of large content, as far as HEADER_MAX goes. */
static bool
names_it_in_file(const struct local_job *job, struct slice address)
{
	static uint8_t header[HEADER_MAX];
	ssize_t got = pread(job->fd, header, sizeof(header), 0);

	return got > 0 &&
	       local_delivered_to_find(slice_make(header, (size_t)got), address, NULL);
}

/*
 * What cannot be done now comes first, so that nothing is done twice for it; what goes elsewhere,
 * in one message, comes last, as it can no more fail than be taken back.
 */
static void
order_targets(struct local_plan *plan)
{
	static const enum local_target_kind order[] = { LOCAL_TARGET_DEFER, LOCAL_TARGET_RUN,
		LOCAL_TARGET_MAILDIR, LOCAL_TARGET_BOUNCE, LOCAL_TARGET_FORWARD };
	struct local_target *sorted = mem_array(plan->count, sizeof(*sorted));
	uint32_t count = 0;

	for (size_t kind = 0; kind < sizeof(order) / sizeof(order[0]); kind++)
		for (uint32_t i = 0; i < plan->count; i++)
			if (plan->targets[i].kind == order[kind])
				sorted[count++] = plan->targets[i];
	CHECK(count == plan->count);
	mem_free(plan->targets);
	plan->targets = sorted;
	plan->cap = count;
}

static void
make_plan(struct local_job *job)
{
	struct local_worker *worker = job->worker;
	struct slice address = job->recipients[job->recipient].address;
	struct local_names names = {
		.ctx = worker,
		.alias = name_alias,
		.is_local = name_is_local,
		.exists = name_exists,
		.runs_commands =
			config_words(worker->config, NULL, PARAM_ALLOW_MAIL_TO_COMMANDS) != 0,
		.writes_files =
			config_words(worker->config, NULL, PARAM_ALLOW_MAIL_TO_FILES) != 0,
		.origin = config_str(worker->config, NULL, PARAM_MYORIGIN),
		.delimiters = config_str(worker->config, NULL, PARAM_RECIPIENT_DELIMITER),
		.home_mailbox = config_str(worker->config, NULL, PARAM_HOME_MAILBOX),
	};
	bool loops = local_delivered_to_find(job->ipc.head, address, NULL) ||
		     local_delivered_to_find(job->ipc.content, address, NULL) ||
		     (job->fd >= 0 && names_it_in_file(job, address));

	if (job->service == NULL || (loops && has_field(job, 'D')))
		local_plan_make(&job->plan, &names, address, loops);
	else
		local_plan_pipe(&job->plan, address, slice_str(job->service));
	order_targets(&job->plan);
	job->has_plan = true;
	job->target = 0;
}

/* --- going on --------------------------------------------------------------------------------- */

/* Rule Y16: what would be done is all that is found out. True: it was. */
static bool
start_whatif(struct local_job *job, const struct local_target *target)
{
	char words[LOCAL_PATH_MAX + 32];

	if ((job->envelope.flags & ENVELOPE_WHATIF) == 0)
		return false;
	if (target->kind == LOCAL_TARGET_MAILDIR) {
		target_done(job, "delivers to maildir");
		return true;
	}
	if (target->kind == LOCAL_TARGET_RUN) {
		(void)snprintf(words, sizeof(words), "delivers to %s: %.900s",
			target->path[0] == '/' ? "file" : "command", target->path);
		target_done(job, words);
		return true;
	}
	if (target->kind == LOCAL_TARGET_FORWARD) {
		(void)snprintf(words, sizeof(words), "forwards to <%s>", target->address);
		target_done(job, words);
		return true;
	}
	return false;
}

static void
start_target(struct local_job *job)
{
	const struct local_target *target = &job->plan.targets[job->target];

	if (start_whatif(job, target))
		return;
	switch (target->kind) {
	case LOCAL_TARGET_MAILDIR:
	case LOCAL_TARGET_RUN:
		start_maildir(job, target);
		break;
	case LOCAL_TARGET_FORWARD:
		start_forward(job);
		break;
	case LOCAL_TARGET_BOUNCE:
		target_refused(job, target->dsn, target->reason);
		break;
	case LOCAL_TARGET_DEFER: {
		char *reason = mem_strndup(target->reason, strlen(target->reason));

		decide(job, IPC_OUTCOME_DEFERRED, target->dsn, reason);
		mem_free(reason);
		break;
	}
	}
}

static void
job_next(struct local_job *job)
{
	while (!job->in_pool && !job->in_agent && !job->is_forwarding) {
		if (job->recipient >= job->count) {
			job->worker->finished(job);
			return;
		}
		if (!job->has_plan)
			make_plan(job);
		start_target(job);
	}
}

void
local_job_start(struct local_job *job)
{
	job_next(job);
}

void
local_job_credit(struct local_job *job)
{
	if (!job->is_forwarding || job->txn.is_committed)
		return;
	go_on_forwarding(job);
	if (!job->is_forwarding)
		job_next(job);
}
