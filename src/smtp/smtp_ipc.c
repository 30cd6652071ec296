/* smtp_ipc.c - what is said to qmgr and by it: grants, results, inventory (smtp_worker.h) */
#include "base/check.h"
#include "base/mem.h"
#include "message/notice.h"
#include "smtp/smtp_worker.h"

#include <unistd.h>

/* --- results ---------------------------------------------------------------------------------- */

void
report_result(struct smtp_session *session, bool is_corrupt)
{
	struct worker *worker = session->worker;
	const struct work *work = session->current;
	bool site_failed = !work->site_works && !is_corrupt;
	char relay[WORK_RELAY_SIZE];
	struct buf outcomes;

	work_relay_name(session->host, relay);
	buf_init(&outcomes, 0);
	work_put_outcomes(work, &outcomes);
	struct ipc_result result = {
		.session = session->number,
		.queue_id = work->ipc.queue_id,
		.attempt = work->ipc.attempt,
		.corrupt = is_corrupt,
		.outcomes = buf_slice(&outcomes),
		.site_dsn = slice_str(site_failed ? work->site_dsn : ""),
		.site_reason = slice_str(site_failed ? work->site_reason : ""),
		.host = slice_str(relay),
	};

	kept_send(&worker->kept, &worker->role->qmgr, work->ipc.token, &result);
	buf_done(&outcomes);
}

/* --- sessions --------------------------------------------------------------------------------- */

void
report_ready(struct smtp_session *session)
{
	struct ipc_session_ready ready = {
		.session = session->number,
		.host = slice_str(session->host->text),
		.failed = buf_slice(&session->failed_hosts),
	};

	if (session->number != 0)
		channel_send(&session->worker->role->qmgr, IPC_TYPE_session_ready, &ready);
	buf_clear(&session->failed_hosts);
}

void
report_notice(struct smtp_session *session)
{
	struct worker *worker = session->worker;
	const struct smtp_proto *proto = &session->proto;

	if (!proto->is_improper || !proto->transcript.is_kept)
		return;
	notice_sender_send(&worker->notices, &worker->role->qmgr, loop_now(worker->role->loop).mono,
		&(struct ipc_notice){ .side = NOTICE_CLIENT,
			.classes = CONFIG_NOTIFY_PROTOCOL,
			.peer = slice_str(session->host->text),
			.transcript = buf_slice(&proto->transcript.lines) });
}

/* Once: afterwards qmgr knows nothing of it. */
void
report_end(struct smtp_session *session, enum ipc_session_cause cause)
{
	struct worker *worker = session->worker;
	bool failed = cause == IPC_SESSION_FAILED;
	struct ipc_session_end end = {
		.session = session->number,
		.cause = (uint8_t)cause,
		.dsn = slice_str(failed ? session->fail_dsn : ""),
		.reason = slice_str(failed ? session->fail_reason : ""),
		.host = slice_str(session->host != NULL ? session->host->text : ""),
		.failed = buf_slice(&session->failed_hosts),
	};

	if (session->number == 0)
		return;
	channel_send(&worker->role->qmgr, IPC_TYPE_session_end, &end);
	HASH_DELETE(hh, worker->sessions, session);
	session->number = 0;
}

static struct smtp_session *
session_find(struct worker *worker, uint64_t number)
{
	struct smtp_session *session;

	HASH_FIND(hh, worker->sessions, &number, sizeof(number), session);
	return session;
}

/* Work for a session that has just ended is simply dropped: session_end told qmgr. */
static void
take_work(struct worker *worker, struct slice payload, uint64_t number, int fd)
{
	struct smtp_session *session = session_find(worker, number);
	struct work *work;

	if (session == NULL || (session->current != NULL && session->next != NULL)) {
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	work = work_new(payload, fd, loop_now(worker->role->loop).wall);
	if (work != NULL)
		session_give(session, work);
}

/* Given back only if it was not begun. */
static void
recall(struct worker *worker, const struct ipc_work_recall *wanted)
{
	struct smtp_session *session = session_find(worker, wanted->session);
	struct work *work = session == NULL ? NULL : session->next;

	if (work == NULL || work->ipc.queue_id != wanted->queue_id ||
		work->ipc.attempt != wanted->attempt)
		return;
	session->next = NULL;
	work_free(work);
	channel_send(&worker->role->qmgr, IPC_TYPE_work_return,
		&(struct ipc_work_return){ .session = wanted->session,
			.queue_id = wanted->queue_id,
			.attempt = wanted->attempt });
}

static void
open_session(struct worker *worker, const struct ipc_session_open *open)
{
	struct ipc_session_end end = {
		.session = open->session,
		.cause = IPC_SESSION_FAILED,
		.dsn = SLICE_LIT("4.3.2"),
		.reason = SLICE_LIT("too many sessions in this process"),
	};

	if (worker->is_stopping) {
		/* Nobody's fault: whoever comes next gets the mail. */
		end.cause = IPC_SESSION_CLOSED;
		end.dsn = end.reason = slice_make(NULL, 0);
	}
	if (worker->is_stopping || worker->session_count >= SMTP_SESSIONS_MAX)
		channel_send(&worker->role->qmgr, IPC_TYPE_session_end, &end);
	else
		session_open(worker, open);
}

void
ipc_qmgr_frame(struct role *role, uint16_t type, struct slice payload, int fd)
{
	struct worker *worker = role->ctx;
	struct smtp_session *session;
	union ipc_any any;

	if (ipc_decode(type, payload, &any) != ERR_OK)
		die(70, "bad frame %s from the queue manager", ipc_type_name(type));
	if (type == IPC_TYPE_work) {
		check_poison("smtp", payload.ptr, payload.len);
		take_work(worker, payload, any.work.session, fd);
		return;
	}
	if (fd >= 0)
		(void)close(fd);
	if (type == IPC_TYPE_session_open)
		open_session(worker, &any.session_open);
	else if (type == IPC_TYPE_result_ack)
		kept_forget(&worker->kept, &any.result_ack);
	else if (type == IPC_TYPE_work_recall)
		recall(worker, &any.work_recall);
	else if (type == IPC_TYPE_session_close &&
		 (session = session_find(worker, any.session_close.session)) != NULL)
		session_close_soon(session);
}

/* --- a new qmgr ------------------------------------------------------------------------------- */

void
ipc_inventory(struct worker *worker)
{
	struct channel *qmgr = &worker->role->qmgr;
	struct smtp_session *session;
	uint32_t count = 0;

	LIST_FOREACH (session, &worker->all, link) {
		const struct work *work = session->current;

		if (work == NULL || !work->is_begun)
			continue;
		kept_item_running(
			qmgr, &work->ipc, work->recipients, work->count);
		count++;
	}
	kept_finish_inventory(&worker->kept, qmgr, count);
}
