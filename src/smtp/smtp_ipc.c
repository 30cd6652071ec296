/* smtp_ipc.c - what is said to qmgr and by it: grants, work, results, inventory (smtp_worker.h) */
#include "base/check.h"
#include "base/mem.h"
#include "message/delay.h"
#include "message/queue_id.h"
#include "smtp/smtp_worker.h"

#include <stdio.h>
#include <unistd.h>

/* --- work ------------------------------------------------------------------------------------- */

static bool
read_work(struct work *work)
{
	struct slice list = work->ipc.recipients;
	struct ipc_recipient recipient;
	uint32_t count = 0;
	enum err err;

	while ((err = ipc_recipient_next(&list, &recipient)) == ERR_OK)
		count++;
	if (err != ERR_NOTFOUND || count == 0 ||
		envelope_decode(work->ipc.envelope, &work->envelope) != ERR_OK)
		return false;
	work->recipients = mem_array(count, sizeof(*work->recipients));
	list = work->ipc.recipients;
	for (uint32_t i = 0; i < count; i++)
		CHECK(ipc_recipient_next(&list, &work->recipients[i]) == ERR_OK);
	work->job = (struct smtp_job){
		.sender = work->envelope.sender,
		.recipients = work->recipients,
		.count = count,
		.size = work->ipc.head.len + work->ipc.content_length,
		.smtputf8 = work->envelope.smtputf8 != 0,
		.body_8bit = work->envelope.body_8bit != 0,
		.ret = work->envelope.ret,
		.envid = work->envelope.envid,
	};
	return true;
}

/* NULL: malformed; the descriptor is closed then. */
struct work *
work_new(const struct ipc_work *ipc, struct slice payload, int fd, struct wall now)
{
	struct work *work = MEM_NEW(struct work);

	(void)ipc;
	work->fd = fd;
	work->received_at = now;
	buf_init(&work->payload, 0);
	buf_add(&work->payload, payload);
	if (ipc_decode(IPC_TYPE_work, buf_slice(&work->payload), &work->ipc) != ERR_OK ||
		!read_work(work)) {
		work_free(work);
		return NULL;
	}
	return work;
}

void
work_free(struct work *work)
{
	if (work == NULL)
		return;
	if (work->fd >= 0)
		(void)close(work->fd);
	mem_free(work->recipients);
	buf_done(&work->payload);
	mem_free(work);
}

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

static void
relay_name(const struct smtp_session *session, char text[SMTP_PROTO_HOST_MAX + 8])
{
	(void)snprintf(text, SMTP_PROTO_HOST_MAX + 8,
		session->host->ipc.port != 0 ? "%s:%u" : "%s", session->host->text,
		session->host->ipc.port);
}

static uint64_t
since_us(uint64_t later, uint64_t earlier)
{
	return later > earlier ? later - earlier : 0;
}

/* Rules J10 to J16: one line per recipient, before anybody can see the consequence. */
static void
log_outcomes(struct smtp_session *session)
{
	static const char *const words[] = {
		[IPC_OUTCOME_DELIVERED] = "sent",
		[IPC_OUTCOME_BOUNCED] = "bounced",
		[IPC_OUTCOME_DEFERRED] = "deferred",
	};
	const struct work *work = session->current;
	const struct config *config = session->worker->config;
	unsigned decimals =
		(unsigned)config_int(config, NULL, PARAM_DELAY_LOGGING_RESOLUTION_LIMIT);
	uint64_t now = loop_now(session->worker->role->loop).wall.us;
	uint64_t begun = work->received_at.us, ready = session->connected_at.us;
	uint64_t setup = session->use_count > 1 || ready == 0
				 ? 0
				 : since_us(ready, session->started_at.wall.us);
	char id[QUEUE_ID_TEXT_SIZE], total[DELAY_TEXT_SIZE], a[DELAY_TEXT_SIZE];
	char b[DELAY_TEXT_SIZE], c[DELAY_TEXT_SIZE], d[DELAY_TEXT_SIZE];
	char relay[SMTP_PROTO_HOST_MAX + 8], use[32] = "";

	(void)queue_id_format(work->ipc.queue_id, id);
	relay_name(session, relay);
	if (session->use_count > 1)
		(void)snprintf(use, sizeof(use), "conn_use=%u, ", session->use_count);
	delay_format(total, since_us(now, work->ipc.arrival_us), decimals);
	delay_format(a, since_us(work->ipc.active_us, work->ipc.arrival_us), decimals);
	delay_format(b, since_us(since_us(begun, work->ipc.active_us), setup), decimals);
	delay_format(c, setup, decimals);
	delay_format(d, since_us(now, begun), decimals);
	for (uint32_t i = 0; i < work->job.count; i++) {
		const struct ipc_recipient *recipient = &work->recipients[i];
		const struct smtp_outcome *outcome = &session->proto.outcomes[i];
		bool has_original = recipient->original.len > 0;
		bool soft = outcome->kind == IPC_OUTCOME_BOUNCED &&
			    config_bool(config, NULL, PARAM_SOFT_BOUNCE);

		log_event(&session->worker->role->log.log, EV_smtp_delivery, LOG_Z(id),
			LOG_S(recipient->address), LOG_Z(has_original ? ">, orig_to=<" : ""),
			LOG_S(recipient->original), LOG_Z(relay), LOG_Z(use), LOG_Z(total),
			LOG_Z(a), LOG_Z(b), LOG_Z(c), LOG_Z(d), LOG_Z(outcome->dsn),
			LOG_Z(soft ? "SOFTBOUNCE" : words[outcome->kind]), LOG_Z(outcome->reason));
	}
}

static void
put_outcomes(const struct smtp_session *session, struct buf *list)
{
	const struct work *work = session->current;

	for (uint32_t i = 0; i < work->job.count; i++) {
		const struct smtp_outcome *outcome = &session->proto.outcomes[i];
		bool failed = outcome->kind != IPC_OUTCOME_DELIVERED;
		struct ipc_outcome ipc = {
			.number = work->recipients[i].number,
			.kind = (uint8_t)outcome->kind,
			.dsn_passed = (session->proto.caps & SMTP_CAP_DSN) != 0,
			.dsn = slice_str(outcome->dsn),
			.reason = slice_str(outcome->reason),
		};

		if (failed && outcome->diagnostic != NULL) {
			ipc.diagnostic = slice_str(outcome->diagnostic);
			ipc.remote_mta = session->host->ipc.name;
		}
		ipc_outcome_put(list, &ipc);
	}
}

void
report_result(struct smtp_session *session, bool is_corrupt)
{
	struct worker *worker = session->worker;
	const struct work *work = session->current;
	char relay[SMTP_PROTO_HOST_MAX + 8];
	struct buf outcomes;

	relay_name(session, relay);
	buf_init(&outcomes, 0);
	if (!is_corrupt) {
		log_outcomes(session);
		put_outcomes(session, &outcomes);
	}
	struct ipc_result result = {
		.session = session->number,
		.queue_id = work->ipc.queue_id,
		.attempt = work->ipc.attempt,
		.corrupt = is_corrupt,
		.outcomes = buf_slice(&outcomes),
		.site_dsn = slice_str(session->proto.site_dsn),
		.site_reason = slice_str(session->proto.site_reason),
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
take_work(struct worker *worker, struct slice payload, const struct ipc_work *ipc, int fd)
{
	struct smtp_session *session = session_find(worker, ipc->session);
	struct work *work;

	if (session == NULL || (session->current != NULL && session->next != NULL)) {
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	work = work_new(ipc, payload, fd, loop_now(worker->role->loop).wall);
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
		take_work(worker, payload, &any.work, fd);
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
	for (uint32_t i = 0; i < work->job.count; i++)
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
