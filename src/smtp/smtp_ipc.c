/* smtp_ipc.c - what is said to qmgr and by it: grants, results, inventory (smtp_worker.h) */
#include "base/check.h"
#include "base/mem.h"
#include "smtp/smtp_worker.h"

#include <unistd.h>

/* --- results ---------------------------------------------------------------------------------- */

static void
kept_add(struct worker *worker, const struct ipc_result *result)
{
	struct kept *kept = MEM_NEW(struct kept);

	kept->key.queue_id = result->queue_id;
	kept->key.attempt = result->attempt;
	buf_init(&kept->frame, 0);
	ipc_encode(&kept->frame, IPC_TYPE_result, false, result);
	buf_consume(&kept->frame, IPC_HEADER_SIZE);
	HASH_ADD(hh, worker->kept, key, sizeof(kept->key), kept);
}

static void
kept_free(struct worker *worker, struct kept *kept)
{
	HASH_DELETE(hh, worker->kept, kept);
	buf_done(&kept->frame);
	mem_free(kept);
}

void
kept_free_all(struct worker *worker)
{
	struct kept *kept, *next;

	HASH_ITER(hh, worker->kept, kept, next)
	{
		kept_free(worker, kept);
	}
}

static void
forget(struct worker *worker, const struct ipc_result_ack *ack)
{
	struct kept probe, *kept;

	memset(&probe, 0, sizeof(probe));
	probe.key.queue_id = ack->queue_id;
	probe.key.attempt = ack->attempt;
	HASH_FIND(hh, worker->kept, &probe.key, sizeof(probe.key), kept);
	if (kept != NULL)
		kept_free(worker, kept);
}

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

	kept_add(worker, &result);
	channel_send(&worker->role->qmgr, IPC_TYPE_result, &result);
	buf_done(&outcomes);
}

/* --- sessions --------------------------------------------------------------------------------- */

void
report_ready(struct smtp_session *session)
{
	struct ipc_session_ready ready = {
		.session = session->number,
		.host = slice_str(session->host->text),
	};

	if (session->number != 0)
		channel_send(&session->worker->role->qmgr, IPC_TYPE_session_ready, &ready);
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
		take_work(worker, payload, any.work.session, fd);
		return;
	}
	if (fd >= 0)
		(void)close(fd);
	if (type == IPC_TYPE_session_open)
		open_session(worker, &any.session_open);
	else if (type == IPC_TYPE_result_ack)
		forget(worker, &any.result_ack);
	else if (type == IPC_TYPE_work_recall)
		recall(worker, &any.work_recall);
	else if (type == IPC_TYPE_session_close &&
		 (session = session_find(worker, any.session_close.session)) != NULL)
		session_close_soon(session);
}

/* --- a new qmgr ------------------------------------------------------------------------------- */

static void
send_item(struct worker *worker, uint64_t queue_id, uint32_t attempt, struct slice numbers,
	bool finished)
{
	channel_send(&worker->role->qmgr, IPC_TYPE_inventory_item,
		&(struct ipc_inventory_item){ .queue_id = queue_id,
			.attempt = attempt,
			.recipients = numbers,
			.finished = finished });
}

static void
send_kept(struct worker *worker, const struct kept *kept, bool as_item)
{
	struct ipc_result result;
	struct ipc_outcome outcome;
	struct buf numbers;

	CHECK(ipc_decode(IPC_TYPE_result, buf_slice(&kept->frame), &result) == ERR_OK);
	if (!as_item) {
		result.session = 0;
		channel_send(&worker->role->qmgr, IPC_TYPE_result, &result);
		return;
	}
	buf_init(&numbers, 0);
	for (struct slice list = result.outcomes; ipc_outcome_next(&list, &outcome) == ERR_OK;)
		ipc_number_put(&numbers, outcome.number);
	send_item(worker, result.queue_id, result.attempt, buf_slice(&numbers), true);
	buf_done(&numbers);
}

static void
send_current(struct worker *worker, const struct work *work)
{
	struct buf numbers;

	buf_init(&numbers, 0);
	for (uint32_t i = 0; i < work->count; i++)
		ipc_number_put(&numbers, work->recipients[i].number);
	send_item(worker, work->ipc.queue_id, work->ipc.attempt, buf_slice(&numbers), false);
	buf_done(&numbers);
}

void
ipc_inventory(struct worker *worker)
{
	struct smtp_session *session;
	struct kept *kept, *next;
	uint32_t count = 0;

	LIST_FOREACH (session, &worker->all, link)
		if (session->current != NULL && session->current->is_begun) {
			send_current(worker, session->current);
			count++;
		}
	HASH_ITER(hh, worker->kept, kept, next)
	{
		send_kept(worker, kept, true);
		count++;
	}
	HASH_ITER(hh, worker->kept, kept, next)
	{
		send_kept(worker, kept, false);
	}
	channel_send(&worker->role->qmgr, IPC_TYPE_inventory_end,
		&(struct ipc_inventory_end){ .count = count });
}
