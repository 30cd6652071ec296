/*
 * postmaster.c - notices about SMTP sessions with errors (rules N27, T66)
 *
 * A role tells of a session; here it becomes a mail to error_notice_recipient, whose own failure is
 * reported to nobody. Trouble must never become a storm: one notice a minute for the same peer and
 * the same classes, POSTMASTER_BURST at once and one a minute in all. What is not sent is counted
 * and said in the next one. A notice is no mail that anybody was promised: one that finds no room
 * waits for some in memory, and all others meanwhile are of those that were not sent.
 */
#include "qmgr/core_priv.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "message/notice.h"
#include "message/transcript.h"
#include "route/rewrite.h"

#define POSTMASTER_INTERVAL_NS (60 * NS_PER_S)

enum { POSTMASTER_BURST = 20, POSTMASTER_PEER_MAX = 1024, POSTMASTER_REASON_MAX = 1024 };

/* One on its way into the journal. */
struct postmaster_mail {
	struct core *core;
	uint64_t id;
	store_ref ref;
	char *peer;
	struct buf envelope, recipients, content;
	LIST_ENTRY(postmaster_mail) link;
};

static void
mail_free(struct postmaster_mail *mail)
{
	LIST_REMOVE(mail, link);
	buf_done(&mail->envelope);
	buf_done(&mail->recipients);
	buf_done(&mail->content);
	mem_free(mail->peer);
	mem_free(mail);
}

void
postmaster_free(struct core *core)
{
	struct postmaster_mail *mail;

	while ((mail = LIST_FIRST(&core->postmaster.mails)) != NULL)
		mail_free(mail);
	buf_done(&core->postmaster.waiting);
}

/* --- not too many ----------------------------------------------------------------------------- */

static void
hold_back(struct core *core, uint64_t count, struct slice peer)
{
	struct postmaster *postmaster = &core->postmaster;

	if (count > 0 && !postmaster->said)
		log_event(core->log, EV_postmaster_held_back, LOG_S(peer));
	postmaster->said |= count > 0;
	postmaster->held_back += count;
}

static uint64_t
key_of(const struct ipc_notice *notice)
{
	return hash_bytes(notice->peer) ^ ((uint64_t)notice->side << 32 | notice->classes);
}

/* True: it counts now as sent. */
static bool
take_turn(struct core *core, uint64_t key)
{
	struct postmaster *postmaster = &core->postmaster;
	struct postmaster_recent *place = &postmaster->recent[0];
	uint64_t now = core->now.mono.ns;

	if (postmaster->free_at.ns > now + (POSTMASTER_BURST - 1) * POSTMASTER_INTERVAL_NS)
		return false;
	for (unsigned i = 0; i < POSTMASTER_RECENT_MAX; i++) {
		struct postmaster_recent *recent = &postmaster->recent[i];

		if (recent->key == key && recent->until.ns > now)
			return false;
		if (recent->until.ns < place->until.ns)
			place = recent;
	}
	*place = (struct postmaster_recent){ key, mono_add_ns(core->now.mono,
							    POSTMASTER_INTERVAL_NS) };
	if (postmaster->free_at.ns < now)
		postmaster->free_at = core->now.mono;
	postmaster->free_at = mono_add_ns(postmaster->free_at, POSTMASTER_INTERVAL_NS);
	return true;
}

/* --- the mail --------------------------------------------------------------------------------- */

static void
mail_settled(void *ctx, enum journal_outcome outcome)
{
	struct postmaster_mail *mail = ctx;
	struct core *core = mail->core;
	char text[QUEUE_ID_TEXT_SIZE];

	if (outcome == JOURNAL_DURABLE) {
		log_event(core->log, EV_postmaster_notice, LOG_S(queue_id_format(mail->id, text)),
			LOG_Z(mail->peer));
		active_new(core, mail->ref);
	} else {
		hold_back(core, 1, slice_str(mail->peer));
	}
	mail_free(mail);
}

static enum err
fill_envelope(struct postmaster_mail *mail, const struct notice_facts *facts)
{
	struct core *core = mail->core;
	struct envelope envelope;
	struct buf sender;
	enum err err;

	buf_init(&sender, 0);
	buf_addf(&sender, "%s@%s", config_cstr(core->config, NULL, PARAM_DOUBLE_BOUNCE_SENDER),
		config_cstr(core->config, NULL, PARAM_MYHOSTNAME));
	envelope_init(&envelope);
	envelope.sender = buf_slice(&sender);
	envelope.flags = ENVELOPE_BOUNCE | ENVELOPE_DOUBLE_BOUNCE;
	envelope.arrival_us = core->now.wall.us;
	envelope.size = mail->content.len;
	envelope.message_id = facts->message_id;
	envelope.head_length = facts->head_length;
	err = envelope_encode(&envelope, &mail->envelope);
	buf_done(&sender);
	return err;
}

static enum err
fill_mail(struct postmaster_mail *mail, const struct ipc_notice *about)
{
	const struct config *config = mail->core->config;
	struct recipient_entry entry = { 0 };
	struct rewrite_result result;
	struct notice_facts facts;
	struct buf to;
	char text[QUEUE_ID_TEXT_SIZE];
	struct notice notice = {
		.side = (enum notice_side)about->side,
		.myhostname = config_str(config, NULL, PARAM_MYHOSTNAME),
		.mail_name = config_str(config, NULL, PARAM_MAIL_NAME),
		.notice_id = queue_id_format(mail->id, text),
		.peer = about->peer,
		.transcript = about->transcript,
		.reason = about->reason,
		.now = mail->core->now.wall,
		.from_obsolete = config_enum(config, NULL, PARAM_HEADER_FROM_FORMAT) ==
				 CONFIG_FROM_OBSOLETE,
		.suppressed = mail->core->postmaster.held_back,
	};
	enum err err;

	buf_init(&to, 0);
	err = rewrite_complete(
		config, config_str(config, NULL, PARAM_ERROR_NOTICE_RECIPIENT), &to);
	notice.to = entry.address = buf_slice(&to);
	if (err == ERR_OK)
		err = rewrite_recipient(config, &entry, &mail->recipients, &result);
	if (err == ERR_OK)
		err = notice_format(&notice, &mail->content, &facts);
	if (err == ERR_OK)
		err = fill_envelope(mail, &facts);
	buf_done(&to);
	return err;
}

static enum err
store_mail(struct postmaster_mail *mail)
{
	struct core *core = mail->core;
	struct store_message message = {
		.queue_id = mail->id,
		.arrival_us = core->now.wall.us,
		.content_length = mail->content.len,
		.content_hash = hash_bytes(buf_slice(&mail->content)),
		.envelope = buf_slice(&mail->envelope),
		.recipients = buf_slice(&mail->recipients),
		.body = buf_slice(&mail->content),
	};
	struct store_txn txn;

	store_txn_begin(&txn, core->store, JOURNAL_NEW_MAIL, JOURNAL_SOON);
	mail->ref = store_txn_message(&txn, &message);
	return store_txn_commit(&txn, mail_settled, mail);
}

/* ERR_AGAIN: there is no room, or no queue ID, for now; others: it will never be. */
static enum err
mail_send(struct core *core, const struct ipc_notice *about)
{
	struct postmaster_mail *mail;
	uint64_t id;
	enum err err;

	if (core->is_stopping || !core_accepts(core) || !intake_own_ids(core, 1, &id))
		return ERR_AGAIN;
	mail = MEM_NEW(struct postmaster_mail);
	mail->core = core;
	mail->id = id;
	mail->peer = mem_strndup((const char *)about->peer.ptr, about->peer.len);
	buf_init(&mail->envelope, 0);
	buf_init(&mail->recipients, 0);
	buf_init(&mail->content, 0);
	LIST_INSERT_HEAD(&core->postmaster.mails, mail, link);
	err = fill_mail(mail, about);
	if (err == ERR_OK)
		err = store_mail(mail);
	if (err != ERR_OK) {
		mail_free(mail);
		return err == ERR_NOSPACE ? ERR_AGAIN : err;
	}
	core->postmaster.held_back = 0;
	core->postmaster.said = false;
	return ERR_OK;
}

/* The first one that finds no room is sent when there is some: it may tell of just that. */
static void
send_or_keep(struct core *core, const struct ipc_notice *notice)
{
	struct buf *waiting = &core->postmaster.waiting;
	enum err err = mail_send(core, notice);

	if (err == ERR_AGAIN && waiting->len == 0)
		ipc_encode(waiting, IPC_TYPE_notice, false, notice);
	else if (err != ERR_OK)
		hold_back(core, 1, notice->peer);
}

void
postmaster_step(struct core *core)
{
	struct buf *waiting = &core->postmaster.waiting;
	struct ipc_notice notice;
	enum err err;

	if (waiting->len == 0 || core->is_stopping || !core_accepts(core))
		return;
	CHECK(ipc_decode(IPC_TYPE_notice, slice_from(buf_slice(waiting), IPC_HEADER_SIZE),
		      &notice) == ERR_OK);
	err = mail_send(core, &notice);
	if (err == ERR_AGAIN)
		return;
	if (err != ERR_OK)
		hold_back(core, 1, notice.peer);
	buf_clear(waiting);
}

/* --- frames ----------------------------------------------------------------------------------- */

static bool
is_sound(const struct ipc_notice *notice)
{
	return notice->side < NOTICE_SIDE_COUNT && notice->peer.len > 0 &&
	       notice->peer.len <= POSTMASTER_PEER_MAX &&
	       notice->transcript.len <= TRANSCRIPT_BYTES_MAX &&
	       notice->reason.len <= POSTMASTER_REASON_MAX;
}

void
postmaster_frame(struct peer *peer, const struct ipc_notice *notice)
{
	struct core *core = peer->core;
	uint64_t wanted = config_words(core->config, NULL, PARAM_NOTIFY_CLASSES);

	if (!is_sound(notice)) {
		core->options.out->bad_peer(
			core->options.ctx, peer->number, "malformed notice");
		return;
	}
	hold_back(core, notice->kept, notice->peer);
	if ((notice->classes & wanted) == 0)
		return;
	if (take_turn(core, key_of(notice)))
		send_or_keep(core, notice);
	else
		hold_back(core, 1, notice->peer);
}
