/*
 * smtp_work.c - one work: its recipients, what became of each, at which host (smtp_worker.h)
 *
 * A host's soft failures are not the end while there is another host to try (rule Y13): they are
 * logged, and what is left of the work goes on there. Only what is final is kept here.
 */
#include "base/check.h"
#include "base/mem.h"
#include "message/address.h"
#include "message/delay.h"
#include "message/queue_id.h"
#include "message/utf8.h"
#include "smtp/smtp_worker.h"

#include <stdio.h>
#include <unistd.h>

/* Of an outcome in a frame: its numbers, lengths and DSN; and how many texts it has besides. */
enum { OUTCOME_FIXED = 40, OUTCOME_TEXTS = 3 };

/* --- life ------------------------------------------------------------------------------------- */

/* An alias may have brought in an address that the sender knew nothing of. */
static bool
needs_smtputf8(const struct work *work)
{
	if (address_is_utf8(work->envelope.sender))
		return true;
	for (uint32_t i = 0; i < work->count; i++)
		if (address_is_utf8(work->recipients[i].address))
			return true;
	return work->envelope.smtputf8 != 0 &&
	       work->envelope.smtputf8 != ENVELOPE_SMTPUTF8_ASKED;
}

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
	work->outcomes = mem_array(count, sizeof(*work->outcomes));
	work->count = work->left = count;
	list = work->ipc.recipients;
	for (uint32_t i = 0; i < count; i++)
		CHECK(ipc_recipient_next(&list, &work->recipients[i]) == ERR_OK);
	work->job = (struct smtp_job){
		.sender = work->envelope.sender,
		.size = work->ipc.head.len + work->ipc.content_length,
		.body_8bit = work->envelope.body_8bit != 0,
		.is_whatif = (work->envelope.flags & ENVELOPE_WHATIF) != 0,
		.ret = work->envelope.ret,
		.envid = work->envelope.envid,
		.priority = work->envelope.priority == 0
				    ? 0
				    : work->envelope.priority - ENVELOPE_PRIORITY_ZERO,
	};
	work->job.needs_smtputf8 = needs_smtputf8(work);
	work->job.smtputf8 = work->envelope.smtputf8 != 0 || work->job.needs_smtputf8;
	return true;
}

struct work *
work_new(struct slice payload, int fd, struct wall now)
{
	struct work *work = MEM_NEW(struct work);

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
	for (uint32_t i = 0; i < work->count; i++) {
		mem_free(work->outcomes[i].said.reason);
		mem_free(work->outcomes[i].said.diagnostic);
	}
	mem_free(work->outcomes);
	mem_free(work->remaining);
	mem_free(work->recipients);
	buf_done(&work->payload);
	mem_free(work);
}

/* --- a transaction ---------------------------------------------------------------------------- */

const struct smtp_job *
work_begin(struct work *work)
{
	uint32_t count = 0;

	work->is_begun = true;
	work->job.recipients = work->recipients;
	work->job.count = work->left;
	if (work->left == work->count)
		return &work->job;
	if (work->remaining == NULL)
		work->remaining = mem_array(work->count, sizeof(*work->remaining));
	for (uint32_t i = 0; i < work->count; i++)
		if (!work->outcomes[i].said.decided)
			work->remaining[count++] = work->recipients[i];
	CHECK(count == work->left);
	work->job.recipients = work->remaining;
	return &work->job;
}

/* --- log -------------------------------------------------------------------------------------- */

void
work_relay_name(const struct smtp_host *host, char text[WORK_RELAY_SIZE])
{
	(void)snprintf(text, WORK_RELAY_SIZE, host->ipc.port != 0 ? "%s:%u" : "%s", host->text,
		host->ipc.port);
}

static uint64_t
since_us(uint64_t later, uint64_t earlier)
{
	return later > earlier ? later - earlier : 0;
}

/* What is the same in all lines of a transaction. */
struct log_parts {
	char id[QUEUE_ID_TEXT_SIZE];
	char relay[WORK_RELAY_SIZE], use[32];
	char total[DELAY_TEXT_SIZE], delays[4][DELAY_TEXT_SIZE];
	bool soft_bounce;
};

static void
fill_parts(const struct smtp_session *session, struct log_parts *parts)
{
	const struct work *work = session->current;
	const struct config *config = session->worker->config;
	unsigned decimals =
		(unsigned)config_int(config, NULL, PARAM_DELAY_LOGGING_RESOLUTION_LIMIT);
	uint64_t now = loop_now(session->worker->role->loop).wall.us;
	uint64_t begun = work->received_at.us, ready = session->connected_at.us;
	uint64_t setup = session->use_count > 1 || ready == 0
				 ? 0
				 : since_us(ready, session->started_at.wall.us);

	(void)queue_id_format(work->ipc.queue_id, parts->id);
	work_relay_name(session->host, parts->relay);
	parts->use[0] = '\0';
	if (session->use_count > 1)
		(void)snprintf(
			parts->use, sizeof(parts->use), "conn_use=%u, ", session->use_count);
	delay_format(parts->total, since_us(now, work->ipc.arrival_us), decimals);
	delay_format(
		parts->delays[0], since_us(work->ipc.active_us, work->ipc.arrival_us), decimals);
	delay_format(parts->delays[1], since_us(since_us(begun, work->ipc.active_us), setup),
		decimals);
	delay_format(parts->delays[2], setup, decimals);
	delay_format(parts->delays[3], since_us(now, begun), decimals);
	parts->soft_bounce = config_bool(config, NULL, PARAM_SOFT_BOUNCE);
}

/* Rules J10 to J16: before anybody can see the consequence. */
static void
log_final(const struct smtp_session *session, const struct log_parts *parts, uint32_t place)
{
	const struct ipc_recipient *recipient = &session->current->recipients[place];
	const struct smtp_outcome *said = &session->current->outcomes[place].said;
	bool has_original = recipient->original.len > 0;
	const char *word = ipc_outcome_word((enum ipc_outcome_kind)said->kind,
		session->current->job.is_whatif, parts->soft_bounce);

	log_event(&session->worker->role->log.log, EV_smtp_delivery, LOG_Z(parts->id),
		LOG_S(recipient->address), LOG_Z(has_original ? ">, orig_to=<" : ""),
		LOG_S(recipient->original), LOG_Z(parts->relay), LOG_Z(parts->use),
		LOG_Z(parts->total), LOG_Z(parts->delays[0]), LOG_Z(parts->delays[1]),
		LOG_Z(parts->delays[2]), LOG_Z(parts->delays[3]), LOG_Z(said->dsn),
		LOG_Z(word), LOG_Z(said->reason));
}

/* --- outcomes --------------------------------------------------------------------------------- */

/* The first trouble counts, and only if no host did better (rule Y8). */
static void
note_site(struct work *work, const char *dsn, const char *reason)
{
	if (reason[0] == '\0') {
		work->site_works = true;
	} else if (work->site_reason[0] == '\0') {
		(void)snprintf(work->site_dsn, sizeof(work->site_dsn), "%s", dsn);
		(void)snprintf(work->site_reason, sizeof(work->site_reason), "%s", reason);
	}
}

static uint32_t
next_undecided(const struct work *work, uint32_t place)
{
	while (work->outcomes[place].said.decided)
		place++;
	return place;
}

void
work_settle(struct smtp_session *session, bool has_next_host)
{
	struct work *work = session->current;
	struct smtp_proto *proto = &session->proto;
	struct log_parts parts;
	uint32_t place = 0;

	fill_parts(session, &parts);
	note_site(work, proto->site_dsn, proto->site_reason);
	for (uint32_t i = 0; i < proto->outcome_count; i++, place++) {
		struct smtp_outcome *said = &proto->outcomes[i];

		place = next_undecided(work, place);
		if (has_next_host && said->kind == IPC_OUTCOME_DEFERRED) {
			log_event(&session->worker->role->log.log, EV_smtp_next_host,
				LOG_Z(parts.id), LOG_Z(said->reason));
			continue;
		}
		work->outcomes[place] = (struct work_outcome){ .said = *said,
			.host = session->host,
			.dsn_passed = (proto->caps & SMTP_CAP_DSN) != 0,
			.is_relayed = !session->is_lmtp };
		said->reason = said->diagnostic = NULL;
		work->left--;
		log_final(session, &parts, place);
	}
}

void
work_defer_rest(struct smtp_session *session, const char *dsn, const char *reason)
{
	struct work *work = session->current;
	struct log_parts parts;

	fill_parts(session, &parts);
	note_site(work, dsn, reason);
	for (uint32_t place = 0; place < work->count; place++) {
		struct work_outcome *outcome = &work->outcomes[place];

		if (outcome->said.decided)
			continue;
		outcome->said = (struct smtp_outcome){ .decided = true,
			.kind = IPC_OUTCOME_DEFERRED,
			.reason = mem_strndup(reason, strlen(reason)) };
		(void)snprintf(outcome->said.dsn, sizeof(outcome->said.dsn), "%s", dsn);
		outcome->host = session->host;
		work->left--;
		log_final(session, &parts, place);
	}
}

/* All outcomes must fit into one frame, whatever the next hop says about each recipient. */
static size_t
text_limit(const struct work *work)
{
	size_t share = IPC_OUTCOMES_MAX / (work->count > 0 ? work->count : 1);

	return share > OUTCOME_FIXED ? (share - OUTCOME_FIXED) / OUTCOME_TEXTS : 0;
}

static struct slice
cut(struct slice text, size_t max)
{
	return text.len > max ? slice_head(text, utf8_cut(text, max)) : text;
}

void
work_put_outcomes(const struct work *work, struct buf *list)
{
	size_t max = text_limit(work);

	for (uint32_t i = 0; i < work->count; i++) {
		const struct work_outcome *outcome = &work->outcomes[i];
		bool failed = outcome->said.kind != IPC_OUTCOME_DELIVERED;
		struct ipc_outcome ipc = {
			.number = work->recipients[i].number,
			.kind = (uint8_t)outcome->said.kind,
			.dsn_passed = outcome->dsn_passed,
			.dsn = slice_str(outcome->said.dsn),
		};

		if (!outcome->said.decided)
			continue;
		ipc.reason = cut(slice_str(outcome->said.reason), max);
		if (failed && outcome->said.diagnostic != NULL) {
			ipc.diagnostic = cut(slice_str(outcome->said.diagnostic), max);
			ipc.remote_mta = cut(outcome->host->ipc.name, max);
		} else if (!failed && outcome->is_relayed) {
			ipc.remote_mta = cut(outcome->host->ipc.name, max);
		}
		ipc_outcome_put(list, &ipc);
	}
}
