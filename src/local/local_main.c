/*
 * local_main.c - sessions and results of local delivery (see local_main.h)
 *
 * A session is ready at once. Results are kept until qmgr says that they are durable; a new qmgr
 * gets an inventory of them and of what is going on.
 */
#include "local/local_main.h"

#include "base/check.h"
#include "base/mem.h"
#include "ipc/kept.h"
#include "local/local_job.h"
#include "message/delay.h"
#include "message/queue_id.h"

#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

enum { SESSIONS_MAX = 1000, MASTER_DOWN_MS = 5000 };

struct local_session {
	uint64_t number;
	char *service; /* of master.cf, if that is a pipe service; else NULL */
	char *nexthop;
	struct local_job *current, *next;
	bool is_closing;
	UT_hash_handle hh;
};

struct local {
	struct local_worker worker; /* first */
	struct local_session *sessions;
	LIST_HEAD(, local_job) jobs; /* begun */
	struct kept kept;
	bool is_stopping;
	struct loop_timer stop_timer;
	struct loop_hook hook;
};

static void run_session(struct local *local, struct local_session *session);

/* --- results ---------------------------------------------------------------------------------- */

static uint64_t
since_us(uint64_t later, uint64_t earlier)
{
	return later > earlier ? later - earlier : 0;
}

static const char *
relay_of(const struct local_job *job)
{
	return job->service == NULL ? "local" : job->service;
}

static void
log_outcomes(const struct local_job *job)
{
	const struct config *config = job->worker->config;
	unsigned decimals =
		(unsigned)config_int(config, NULL, PARAM_DELAY_LOGGING_RESOLUTION_LIMIT);
	uint64_t now = loop_now(job->worker->role->loop).wall.us;
	char id[QUEUE_ID_TEXT_SIZE], total[DELAY_TEXT_SIZE], a[DELAY_TEXT_SIZE];
	char b[DELAY_TEXT_SIZE], d[DELAY_TEXT_SIZE];
	bool is_whatif = (job->envelope.flags & ENVELOPE_WHATIF) != 0;

	(void)queue_id_format(job->ipc.queue_id, id);
	delay_format(total, since_us(now, job->ipc.arrival_us), decimals);
	delay_format(a, since_us(job->ipc.active_us, job->ipc.arrival_us), decimals);
	delay_format(b, since_us(job->received_at.us, job->ipc.active_us), decimals);
	delay_format(d, since_us(now, job->received_at.us), decimals);
	for (uint32_t i = 0; i < job->count; i++) {
		const struct ipc_recipient *recipient = &job->recipients[i];
		const struct local_outcome *outcome = &job->outcomes[i];

		log_event(&job->worker->role->log.log, EV_local_delivery, LOG_Z(id),
			LOG_S(recipient->address),
			LOG_Z(recipient->original.len > 0 ? ">, orig_to=<" : ""),
			LOG_S(recipient->original), LOG_Z(relay_of(job)), LOG_Z(total),
			LOG_Z(a), LOG_Z(b), LOG_Z(d),
			LOG_Z(outcome->dsn),
			LOG_Z(ipc_outcome_word(outcome->kind, is_whatif, false)),
			LOG_Z(outcome->reason));
	}
}

static void
send_result(struct local *local, const struct local_job *job)
{
	struct buf outcomes;

	buf_init(&outcomes, 0);
	for (uint32_t i = 0; i < job->count && !job->is_corrupt; i++) {
		struct ipc_outcome outcome = {
			.number = job->recipients[i].number,
			.kind = (uint8_t)job->outcomes[i].kind,
			.dsn = slice_str(job->outcomes[i].dsn),
			.reason = slice_str(job->outcomes[i].reason),
		};

		ipc_outcome_put(&outcomes, &outcome);
	}
	struct ipc_result result = {
		.session = job->session,
		.queue_id = job->ipc.queue_id,
		.attempt = job->ipc.attempt,
		.corrupt = job->is_corrupt,
		.helper = job->has_killed	  ? IPC_HELPER_DIED
			  : job->is_untried ? IPC_HELPER_MISSING
					    : IPC_HELPER_FINE,
		.outcomes = buf_slice(&outcomes),
		.host = slice_str(relay_of(job)),
	};

	kept_send(&local->kept, &local->worker.role->qmgr, job->ipc.token, &result);
	buf_done(&outcomes);
}

/* --- sessions --------------------------------------------------------------------------------- */

static struct local_session *
session_find(struct local *local, uint64_t number)
{
	struct local_session *session;

	HASH_FIND(hh, local->sessions, &number, sizeof(number), session);
	return session;
}

static void
end_session(struct local *local, struct local_session *session)
{
	channel_send(&local->worker.role->qmgr, IPC_TYPE_session_end,
		&(struct ipc_session_end){
			.session = session->number, .cause = IPC_SESSION_CLOSED });
	HASH_DELETE(hh, local->sessions, session);
	if (session->next != NULL)
		local_job_free(session->next);
	mem_free(session->service);
	mem_free(session->nexthop);
	mem_free(session);
}

static void
job_finished(struct local_job *job)
{
	struct local *local = (struct local *)job->worker;
	struct local_session *session = session_find(local, job->session);

	if (!job->is_corrupt)
		log_outcomes(job);
	send_result(local, job);
	LIST_REMOVE(job, link);
	if (session != NULL && session->current == job) {
		session->current = session->next;
		session->next = NULL;
		/* Not from within: the next job may finish at once, and so on. */
		loop_wake(local->worker.role->loop);
	}
	local_job_free(job);
	if (session != NULL)
		run_session(local, session);
}

static void
run_session(struct local *local, struct local_session *session)
{
	struct local_job *job = session->current;

	if (session->is_closing && job == NULL) {
		end_session(local, session);
		return;
	}
	if (job == NULL || job->in_pool || job->in_agent || job->is_forwarding)
		return;
	LIST_INSERT_HEAD(&local->jobs, job, link);
	local_job_start(job);
}

static void
take_service(struct local *local, struct local_session *session,
	const struct ipc_session_open *open)
{
	const struct config_service *service =
		config_transport_find(local->worker.config, open->transport);

	if (service == NULL || service->command != CONFIG_COMMAND_PIPE)
		return;
	session->service = mem_strndup((const char *)open->transport.ptr, open->transport.len);
	session->nexthop = mem_strndup((const char *)open->nexthop.ptr, open->nexthop.len);
}

static void
open_session(struct local *local, const struct ipc_session_open *open)
{
	struct role *role = local->worker.role;
	struct local_session *session;

	struct ipc_session_end end = { .session = open->session, .cause = IPC_SESSION_CLOSED };

	if (HASH_COUNT(local->sessions) >= SESSIONS_MAX) {
		end.cause = IPC_SESSION_FAILED;
		end.dsn = SLICE_LIT("4.3.2");
		end.reason = SLICE_LIT("too many sessions in this process");
	}
	if (local->is_stopping || end.cause == IPC_SESSION_FAILED) {
		channel_send(&role->qmgr, IPC_TYPE_session_end, &end);
		return;
	}
	session = MEM_NEW(struct local_session);
	session->number = open->session;
	take_service(local, session, open);
	HASH_ADD(hh, local->sessions, number, sizeof(session->number), session);
	channel_send(&role->qmgr, IPC_TYPE_session_ready,
		&(struct ipc_session_ready){
			.session = open->session, .host = SLICE_LIT("local") });
}

static void
take_work(struct local *local, struct slice payload, const struct ipc_work *ipc, int fd)
{
	struct role *role = local->worker.role;
	struct local_session *session = session_find(local, ipc->session);
	struct local_job *job;

	if (session == NULL || session->next != NULL) {
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	job = local_job_new(&local->worker, payload, fd, loop_now(role->loop).wall);
	if (job == NULL)
		return;
	if (session->service != NULL)
		local_job_pipe(job, session->service, session->nexthop);
	if (session->current != NULL) {
		session->next = job;
		return;
	}
	session->current = job;
	run_session(local, session);
}

static void
recall(struct local *local, const struct ipc_work_recall *wanted)
{
	struct local_session *session = session_find(local, wanted->session);

	if (session == NULL || session->next == NULL ||
		session->next->ipc.queue_id != wanted->queue_id ||
		session->next->ipc.attempt != wanted->attempt)
		return;
	local_job_free(session->next);
	session->next = NULL;
	channel_send(&local->worker.role->qmgr, IPC_TYPE_work_return,
		&(struct ipc_work_return){ .session = wanted->session,
			.queue_id = wanted->queue_id,
			.attempt = wanted->attempt });
}

static void
qmgr_frame(struct role *role, uint16_t type, struct slice payload, int fd)
{
	struct local *local = role->ctx;
	struct local_session *session;
	union ipc_any any;

	if (ipc_decode(type, payload, &any) != ERR_OK)
		die(EX_SOFTWARE, "bad frame %s from the queue manager", ipc_type_name(type));
	if (type == IPC_TYPE_work) {
		check_poison("local", payload.ptr, payload.len);
		take_work(local, payload, &any.work, fd);
		return;
	}
	if (fd >= 0)
		(void)close(fd);
	if (intake_client_frame(&local->worker.intake, type, &any))
		return;
	if (type == IPC_TYPE_session_open) {
		open_session(local, &any.session_open);
	} else if (type == IPC_TYPE_result_ack) {
		kept_forget(&local->kept, &any.result_ack);
	} else if (type == IPC_TYPE_work_recall) {
		recall(local, &any.work_recall);
	} else if (type == IPC_TYPE_session_close &&
		   (session = session_find(local, any.session_close.session)) != NULL) {
		session->is_closing = true;
		run_session(local, session);
	}
}

/* --- a new qmgr ------------------------------------------------------------------------------- */

static void
qmgr_up(struct role *role)
{
	struct local *local = role->ctx;
	struct local_job *job;
	uint32_t count = 0;

	LIST_FOREACH (job, &local->jobs, link) {
		kept_item_running(&role->qmgr, &job->ipc, job->recipients, job->count);
		count++;
	}
	kept_finish_inventory(&local->kept, &role->qmgr, count);
	intake_client_qmgr_up(&local->worker.intake);
}

static void
qmgr_down(struct role *role)
{
	struct local *local = role->ctx;
	struct local_session *session, *next;
	struct local_job *job;

	intake_client_qmgr_down(&local->worker.intake);
	LIST_FOREACH (job, &local->jobs, link)
		job->session = 0;
	HASH_ITER(hh, local->sessions, session, next)
	{
		HASH_DELETE(hh, local->sessions, session);
		if (session->next != NULL)
			local_job_free(session->next);
		mem_free(session);
	}
}

/* --- process ---------------------------------------------------------------------------------- */

static void
intake_changed(struct intake_client *intake)
{
	struct local *local =
		(struct local *)((char *)intake - offsetof(struct local, worker.intake));
	struct local_job *job, *next;

	for (job = LIST_FIRST(&local->jobs);
		job != NULL && intake_client_has_credit(intake); job = next) {
		next = LIST_NEXT(job, link);
		local_job_credit(job);
	}
}

static void
new_config(struct role *role, int fd, uint64_t number)
{
	struct local *local = role->ctx;
	struct config *config;
	struct fault fault = { 0 };

	(void)number;
	if (config_open_fd(fd, &config, &fault) != ERR_OK) {
		log_event(&role->log.log, EV_role_fault, LOG_Z(fault.text));
	} else {
		config_close(local->worker.config);
		local->worker.config = config;
	}
	(void)close(fd);
}

static void
turn(void *ctx)
{
	struct local *local = ctx;
	struct role *role = local->worker.role;
	bool is_alone = !channel_is_open(&role->qmgr) && !channel_is_open(&role->master);

	local_pool_take(&local->worker.pool);
	if (local->is_stopping && LIST_EMPTY(&local->jobs) &&
		(kept_is_empty(&local->kept) || is_alone))
		role_exit(local->worker.role, EX_OK);
}

static void
stop_time_up(void *ctx)
{
	struct local *local = ctx;

	role_exit(local->worker.role, EX_OK);
}

static void
stop(struct role *role, uint32_t grace_ms)
{
	struct local *local = role->ctx;

	local->is_stopping = true;
	loop_timer_set_ns(&local->stop_timer, grace_ms * NS_PER_MS);
}

static void
master_down(struct role *role)
{
	stop(role, MASTER_DOWN_MS);
}

static void
master_frame(struct role *role, uint16_t type, struct slice payload, int fd)
{
	struct local *local = role->ctx;
	union ipc_any any;

	if (type == IPC_TYPE_role_agent && fd >= 0 && ipc_decode(type, payload, &any) == ERR_OK)
		local_agent_connect(any.role_agent.kind == ROLE_RUNNER ? &local->worker.runner
								       : &local->worker.agent,
			fd);
	else if (fd >= 0)
		(void)close(fd);
}

static const struct role_callbacks callbacks = {
	.config = new_config,
	.master_frame = master_frame,
	.qmgr_up = qmgr_up,
	.qmgr_frame = qmgr_frame,
	.qmgr_down = qmgr_down,
	.stop = stop,
	.master_down = master_down,
};

int
local_main(struct role *role)
{
	struct local *local = MEM_NEW(struct local);
	struct fault fault = { 0 };
	int exit_code;

	local->worker.role = role;
	local->worker.finished = job_finished;
	local->worker.mail_dir = role->directories[ROLE_DIR_MAIL];
	role->ctx = local;
	LIST_INIT(&local->jobs);
	if (config_open_fd(role->config_fd, &local->worker.config, &fault) != ERR_OK)
		die(EX_CONFIG, "the configuration cannot be read: %s", fault.text);
	(void)close(role->config_fd);
	role->config_fd = -1;
	(void)snprintf(local->worker.hostname, sizeof(local->worker.hostname), "%s",
		config_cstr(local->worker.config, NULL, PARAM_MYHOSTNAME));
	local_agent_init(&local->worker.agent, role->loop);
	local_agent_init(&local->worker.runner, role->loop);
	local_pool_open(&local->worker.pool, role->loop);
	intake_client_init(&local->worker.intake, role, intake_changed);
	loop_timer_init(&local->stop_timer, role->loop, stop_time_up, local);
	role_hook_add(role, &local->hook, turn, local);
	exit_code = role_run(role, &callbacks);
	local_pool_close(&local->worker.pool);
	return exit_code;
}
