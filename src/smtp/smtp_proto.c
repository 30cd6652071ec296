/* smtp_proto.c - see smtp_proto.h */
#include "smtp/smtp_proto.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/num.h"
#include "message/address.h"
#include "message/dsn.h"
#include "message/xtext.h"

#include <stdarg.h>
#include <stdio.h>

/* --- life ------------------------------------------------------------------------------------- */

void
smtp_proto_init(struct smtp_proto *proto, bool is_lmtp, const char *helo_name, struct slice host)
{
	*proto = (struct smtp_proto){ .is_lmtp = is_lmtp, .helo_name = helo_name };
	(void)snprintf(proto->host, sizeof(proto->host), "%" SLICE_FMT, SLICE_ARG(host));
	smtp_reply_init(&proto->reply);
	buf_init(&proto->out, 0);
	transcript_init(&proto->transcript, false);
}

static void
free_outcomes(struct smtp_proto *proto)
{
	for (uint32_t i = 0; i < proto->outcome_count; i++) {
		mem_free(proto->outcomes[i].reason);
		mem_free(proto->outcomes[i].diagnostic);
	}
	mem_free(proto->outcomes);
	proto->outcomes = NULL;
	proto->outcome_count = 0;
}

void
smtp_proto_done(struct smtp_proto *proto)
{
	free_outcomes(proto);
	buf_done(&proto->out);
	transcript_done(&proto->transcript);
}

/* The one place where the state changes. */
static void
enter(struct smtp_proto *proto, enum smtp_state to)
{
	static const unsigned allowed[SMTP_STATE_COUNT] = {
		[SMTP_GREETING] = 1 << SMTP_HELLO | 1 << SMTP_IDLE | 1 << SMTP_OVER,
		[SMTP_HELLO] = 1 << SMTP_HELO | 1 << SMTP_IDLE | 1 << SMTP_OVER,
		[SMTP_HELO] = 1 << SMTP_IDLE | 1 << SMTP_OVER,
		[SMTP_IDLE] = 1 << SMTP_ENVELOPE | 1 << SMTP_QUIT | 1 << SMTP_OVER,
		[SMTP_ENVELOPE] = 1 << SMTP_BODY | 1 << SMTP_DOT | 1 << SMTP_RSET | 1 << SMTP_IDLE |
				  1 << SMTP_OVER,
		[SMTP_BODY] = 1 << SMTP_DOT | 1 << SMTP_OVER,
		[SMTP_DOT] = 1 << SMTP_IDLE | 1 << SMTP_RSET | 1 << SMTP_OVER,
		[SMTP_RSET] = 1 << SMTP_IDLE | 1 << SMTP_OVER,
		[SMTP_QUIT] = 1 << SMTP_OVER,
		[SMTP_OVER] = 1 << SMTP_OVER,
	};

	CHECK(allowed[proto->state] & 1u << to);
	proto->state = to;
}

/* --- outcomes --------------------------------------------------------------------------------- */

static void
decide(struct smtp_proto *proto, uint32_t index, enum ipc_outcome_kind kind, const char *dsn,
	const char *reason, const char *diagnostic)
{
	struct smtp_outcome *outcome = &proto->outcomes[index];

	if (outcome->decided)
		return;
	outcome->decided = true;
	outcome->kind = kind;
	(void)snprintf(outcome->dsn, sizeof(outcome->dsn), "%s", dsn);
	outcome->reason = mem_strndup(reason, strlen(reason));
	if (diagnostic != NULL)
		outcome->diagnostic = mem_strndup(diagnostic, strlen(diagnostic));
}

static void
decide_all(struct smtp_proto *proto, enum ipc_outcome_kind kind, const char *dsn,
	const char *reason, const char *diagnostic)
{
	for (uint32_t i = 0; i < proto->outcome_count; i++)
		decide(proto, i, kind, dsn, reason, diagnostic);
}

/*
 * A refusal in the range that speaks of syntax and sequence, or one that is none: it may be us who
 * did not keep to the protocol (RFC 5321 4.2.1). A host that means something else by it makes the
 * same impression.
 */
static bool
is_improper_refusal(unsigned code)
{
	return code < 400 || code > 599 || code == 555 || (code >= 500 && code < 510);
}

/* The reply as text, and as "host H said: ... (in reply to C)" (rule J17). */
struct said {
	enum ipc_outcome_kind kind;
	char dsn[SMTP_REPLY_DSN_SIZE];
	char reply[SMTP_REPLY_TEXT_MAX + 1];
	char reason[SMTP_PROTO_TEXT_MAX];
};

static struct said
said(struct smtp_proto *proto, const char *command)
{
	struct said said;
	struct slice text = smtp_reply_text(&proto->reply);
	unsigned class = proto->reply.code / 100;

	said.kind = class == 2	 ? IPC_OUTCOME_DELIVERED
		    : class == 5 ? IPC_OUTCOME_BOUNCED
				 : IPC_OUTCOME_DEFERRED;
	proto->is_improper |= class != 2 && is_improper_refusal(proto->reply.code);
	(void)snprintf(said.reply, sizeof(said.reply), "%" SLICE_FMT, SLICE_ARG(text));
	(void)snprintf(said.dsn, sizeof(said.dsn), "%s", proto->reply.dsn);
	/* A code that fits neither class (354 to RCPT) is a violation: try again later. */
	if (class != 2 && class != 4 && class != 5)
		(void)snprintf(said.dsn, sizeof(said.dsn), "4.5.0");
	(void)snprintf(said.reason, sizeof(said.reason), "host %s said: %s (in reply to %s)",
		proto->host, said.reply, command);
	return said;
}

static void
set_site_trouble(struct smtp_proto *proto, const char *dsn, const char *reason)
{
	(void)snprintf(proto->site_dsn, sizeof(proto->site_dsn), "%s", dsn);
	(void)snprintf(proto->site_reason, sizeof(proto->site_reason), "%s", reason);
}

/* --- greeting and hello ----------------------------------------------------------------------- */

static void
fail_handshake(struct smtp_proto *proto, const char *command)
{
	struct said reply = said(proto, command);

	if (command[0] == '\0')
		(void)snprintf(reply.reason, sizeof(reply.reason),
			"host %s refused to talk to me: %s", proto->host, reply.reply);
	proto->is_refused = command[0] == '\0' && reply.kind == IPC_OUTCOME_BOUNCED &&
			    proto->bounces_5xx_greeting;
	/* Without that, a host that refuses us is no verdict about the message. */
	if (!proto->is_refused)
		reply.dsn[0] = '4';
	set_site_trouble(proto, reply.dsn, reply.reason);
	enter(proto, proto->is_refused ? SMTP_IDLE : SMTP_OVER);
}

static void
greeting_reply(struct smtp_proto *proto)
{
	if (proto->reply.code != 220) {
		fail_handshake(proto, "");
		return;
	}
	enter(proto, SMTP_HELLO);
	buf_addf(&proto->out, "%s %s\r\n", proto->is_lmtp ? "LHLO" : "EHLO", proto->helo_name);
}

/* One line of the answer to EHLO. */
static void
take_capability(struct smtp_proto *proto)
{
	static const struct {
		const char *word;
		unsigned cap;
	} words[] = {
		{ "PIPELINING", SMTP_CAP_PIPELINING },
		{ "SIZE", SMTP_CAP_SIZE },
		{ "8BITMIME", SMTP_CAP_8BITMIME },
		{ "SMTPUTF8", SMTP_CAP_SMTPUTF8 },
		{ "MT-PRIORITY", SMTP_CAP_PRIORITY },
		{ "DSN", SMTP_CAP_DSN },
	};
	struct slice line = smtp_reply_line(&proto->reply), word, value;
	uint64_t limit;

	if (proto->reply.line_count <= 1 || !slice_word(&line, " \t=", &word))
		return;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (slice_equal_nocase_str(word, words[i].word))
			proto->caps |= words[i].cap;
	if (slice_equal_nocase_str(word, "SIZE") && slice_word(&line, " \t", &value) &&
		num_parse_u64(value, 0, UINT64_MAX, &limit) == ERR_OK)
		proto->size_limit = limit;
}

static void
hello_reply(struct smtp_proto *proto)
{
	unsigned class = proto->reply.code / 100;

	if (class == 2) {
		enter(proto, SMTP_IDLE);
	} else if (proto->state == SMTP_HELLO && class == 5 && !proto->is_lmtp) {
		proto->caps = 0;
		enter(proto, SMTP_HELO);
		buf_addf(&proto->out, "HELO %s\r\n", proto->helo_name);
	} else {
		fail_handshake(proto, proto->is_lmtp		     ? "LHLO command"
				      : proto->state == SMTP_HELO ? "HELO command"
								  : "EHLO command");
	}
}

/* --- the envelope ----------------------------------------------------------------------------- */

/* Something that is no address (a damaged record) must not become commands: '?' for its bytes. */
static void
put_address(struct buf *out, struct slice address)
{
	if (address.len == 0 || address_format(address, out) == ERR_OK)
		return;
	for (size_t i = 0; i < address.len; i++) {
		uint8_t byte = address.ptr[i];

		bool is_safe = byte > ' ' && byte < 127 && byte != '<' && byte != '>';

		buf_addf(out, "%c", is_safe ? byte : '?');
	}
}

static void
put_xtext(struct buf *out, struct slice text)
{
	CHECK(xtext_encode(text, out) == ERR_OK);
}

static void
put_mail(struct smtp_proto *proto)
{
	const struct smtp_job *job = proto->job;
	struct buf *out = &proto->out;

	buf_add_str(out, "MAIL FROM:<");
	put_address(out, job->sender);
	buf_add_str(out, ">");
	if (proto->caps & SMTP_CAP_SIZE)
		buf_addf(out, " SIZE=%llu", (unsigned long long)job->size);
	if ((proto->caps & SMTP_CAP_8BITMIME) && job->body_8bit)
		buf_add_str(out, " BODY=8BITMIME");
	if ((proto->caps & SMTP_CAP_SMTPUTF8) && job->smtputf8)
		buf_add_str(out, " SMTPUTF8");
	if ((proto->caps & SMTP_CAP_PRIORITY) && job->priority != 0)
		buf_addf(out, " MT-PRIORITY=%d", job->priority);
	if ((proto->caps & SMTP_CAP_DSN) && job->ret != DSN_RET_NONE)
		buf_add_str(out, job->ret == DSN_RET_FULL ? " RET=FULL" : " RET=HDRS");
	if ((proto->caps & SMTP_CAP_DSN) && job->envid.len > 0) {
		buf_add_str(out, " ENVID=");
		put_xtext(out, job->envid);
	}
	buf_add_str(out, "\r\n");
}

/* An address beyond ASCII has a form of its own (RFC 6533 3). */
static void
put_orcpt(struct buf *out, struct slice orcpt, size_t type)
{
	struct slice address = slice_from(orcpt, type + 1);

	buf_add(out, slice_head(orcpt, type + 1));
	if (address_is_utf8(address))
		CHECK(xtext_encode_utf8(address, out) == ERR_OK);
	else
		put_xtext(out, address);
}

static void
put_rcpt(struct smtp_proto *proto, uint32_t index)
{
	const struct ipc_recipient *recipient = &proto->job->recipients[index];
	struct buf *out = &proto->out;
	size_t type = slice_find(recipient->orcpt, ';');

	buf_add_str(out, "RCPT TO:<");
	put_address(out, recipient->address);
	buf_add_str(out, ">");
	if ((proto->caps & SMTP_CAP_DSN) && recipient->notify != 0) {
		buf_add_str(out, " NOTIFY=");
		CHECK(dsn_format_notify(recipient->notify, out) == ERR_OK);
	}
	if ((proto->caps & SMTP_CAP_DSN) && type < recipient->orcpt.len) {
		buf_add_str(out, " ORCPT=");
		put_orcpt(out, recipient->orcpt, type);
	}
	buf_add_str(out, "\r\n");
}

/* What is in `out` from there on goes into the transcript. */
static void
note_commands(struct smtp_proto *proto, size_t from)
{
	transcript_put_lines(
		&proto->transcript, "Out: ", slice_from(buf_slice(&proto->out), from));
}

/* MAIL, RCPT ..., and DATA, which a what-if does not say. */
static uint32_t
command_count(const struct smtp_proto *proto)
{
	return proto->job->count + (proto->job->is_whatif ? 1 : 2);
}

static void
send_command(struct smtp_proto *proto)
{
	uint32_t index = proto->sent++;

	if (index == 0)
		put_mail(proto);
	else if (index <= proto->job->count)
		put_rcpt(proto, index - 1);
	else
		buf_add_str(&proto->out, "DATA\r\n");
}

/* What cannot go to this peer needs no command. */
static bool
is_refused_here(struct smtp_proto *proto)
{
	const struct smtp_job *job = proto->job;
	char reason[SMTP_PROTO_TEXT_MAX];

	if (proto->is_refused) {
		decide_all(proto, IPC_OUTCOME_BOUNCED, proto->site_dsn, proto->site_reason, NULL);
		return true;
	}
	if (proto->size_limit > 0 && job->size > proto->size_limit) {
		(void)snprintf(reason, sizeof(reason),
			"message size %llu exceeds size limit %llu of server %s",
			(unsigned long long)job->size, (unsigned long long)proto->size_limit,
			proto->host);
		decide_all(proto, IPC_OUTCOME_BOUNCED, "5.3.4", reason, NULL);
		return true;
	}
	if (job->needs_smtputf8 && !(proto->caps & SMTP_CAP_SMTPUTF8)) {
		(void)snprintf(reason, sizeof(reason),
			"SMTPUTF8 is required, but was not offered by host %s", proto->host);
		decide_all(proto, IPC_OUTCOME_BOUNCED, "5.6.7", reason, NULL);
		return true;
	}
	if (job->misfit != NULL) {
		(void)snprintf(reason, sizeof(reason),
			"8BITMIME is required, but was not offered by host %s: %s", proto->host,
			job->misfit);
		decide_all(proto, IPC_OUTCOME_BOUNCED, "5.6.3", reason, NULL);
		return true;
	}
	return false;
}

void
smtp_proto_begin(struct smtp_proto *proto, const struct smtp_job *job)
{
	CHECK(proto->state == SMTP_IDLE && job->count > 0);
	free_outcomes(proto);
	proto->job = job;
	proto->outcomes = mem_array(job->count, sizeof(*proto->outcomes));
	proto->outcome_count = job->count;
	proto->sent = proto->answered = proto->accepted = proto->dot_next = 0;
	proto->mail_accepted = proto->is_discarded = proto->wants_body = false;
	proto->finished = is_refused_here(proto);
	if (proto->finished)
		return;
	size_t before = proto->out.len;

	enter(proto, SMTP_ENVELOPE);
	do
		send_command(proto);
	while ((proto->caps & SMTP_CAP_PIPELINING) && proto->sent < command_count(proto));
	note_commands(proto, before);
}

/* Every recipient has its outcome; `clean`: the peer is between transactions. */
static void
finish(struct smtp_proto *proto, bool clean)
{
	proto->finished = true;
	proto->wants_body = false;
	if (proto->is_ending) {
		enter(proto, SMTP_OVER);
	} else if (clean) {
		enter(proto, SMTP_IDLE);
	} else {
		enter(proto, SMTP_RSET);
		buf_add_str(&proto->out, "RSET\r\n");
	}
}

static void
data_reply(struct smtp_proto *proto)
{
	struct said reply;

	if (proto->reply.code == 354 && proto->accepted > 0) {
		enter(proto, SMTP_BODY);
		proto->wants_body = true;
		return;
	}
	if (proto->reply.code == 354) {
		/* RFC 2920: pipelined DATA was taken though nobody is left. */
		proto->is_discarded = true;
		buf_add_str(&proto->out, ".\r\n");
		enter(proto, SMTP_DOT);
		if (proto->is_lmtp)
			finish(proto, true);
		return;
	}
	reply = said(proto, "DATA command");
	if (reply.kind == IPC_OUTCOME_DELIVERED) {
		reply.kind = IPC_OUTCOME_DEFERRED;
		(void)snprintf(reply.dsn, sizeof(reply.dsn), "4.5.0");
	}
	decide_all(proto, reply.kind, reply.dsn, reply.reason, reply.reply);
	finish(proto, !proto->mail_accepted);
}

static void
rcpt_reply(struct smtp_proto *proto, uint32_t index)
{
	struct said reply = said(proto, "RCPT TO command");

	if (reply.kind != IPC_OUTCOME_DELIVERED) {
		decide(proto, index, reply.kind, reply.dsn, reply.reason, reply.reply);
	} else if (proto->job->is_whatif) {
		decide(proto, index, reply.kind, reply.dsn, reply.reply, reply.reply);
	} else if (!proto->outcomes[index].decided) {
		proto->outcomes[index].accepted = true;
		proto->accepted++;
	}
}

static void
mail_reply(struct smtp_proto *proto)
{
	struct said reply = said(proto, "MAIL FROM command");

	proto->mail_accepted = reply.kind == IPC_OUTCOME_DELIVERED;
	if (!proto->mail_accepted)
		decide_all(proto, reply.kind, reply.dsn, reply.reason, reply.reply);
}

static void
envelope_reply(struct smtp_proto *proto)
{
	uint32_t index = proto->answered++;

	if (index == 0)
		mail_reply(proto);
	else if (index <= proto->job->count)
		rcpt_reply(proto, index - 1);
	else {
		data_reply(proto);
		return;
	}
	if (proto->answered < proto->sent)
		return; /* pipelined: the other answers are on their way */
	if (!proto->mail_accepted)
		finish(proto, true);
	else if (proto->answered == proto->job->count + 1 && proto->accepted == 0)
		finish(proto, false);
	else
		send_command(proto);
}

/* --- behind the final dot --------------------------------------------------------------------- */

void
smtp_proto_body_sent(struct smtp_proto *proto)
{
	proto->wants_body = false;
	enter(proto, SMTP_DOT);
}

static void
decide_delivered(struct smtp_proto *proto, uint32_t index, const struct said *reply)
{
	if (reply->kind == IPC_OUTCOME_DELIVERED)
		decide(proto, index, reply->kind, reply->dsn, reply->reply, reply->reply);
	else
		decide(proto, index, reply->kind, reply->dsn, reply->reason, reply->reply);
}

static void
dot_reply(struct smtp_proto *proto)
{
	struct said reply = said(proto, "end of DATA command");

	if (proto->is_discarded) {
		finish(proto, true);
		return;
	}
	if (!proto->is_lmtp) {
		for (uint32_t i = 0; i < proto->outcome_count; i++)
			decide_delivered(proto, i, &reply);
		finish(proto, true);
		return;
	}
	while (!proto->outcomes[proto->dot_next].accepted)
		proto->dot_next++;
	decide_delivered(proto, proto->dot_next++, &reply);
	if (--proto->accepted == 0)
		finish(proto, true);
}

/* --- replies ---------------------------------------------------------------------------------- */

static void
take_reply(struct smtp_proto *proto)
{
	bool says_goodbye = proto->reply.code == 421;

	if (says_goodbye)
		proto->is_ending = true;
	switch (proto->state) {
	case SMTP_GREETING:
		greeting_reply(proto);
		break;
	case SMTP_HELLO:
	case SMTP_HELO:
		hello_reply(proto);
		break;
	case SMTP_ENVELOPE:
		envelope_reply(proto);
		break;
	case SMTP_DOT:
		dot_reply(proto);
		break;
	case SMTP_RSET:
		enter(proto, proto->reply.code / 100 == 2 ? SMTP_IDLE : SMTP_OVER);
		break;
	case SMTP_IDLE:
	case SMTP_BODY:
	case SMTP_QUIT:
	case SMTP_OVER:
	case SMTP_STATE_COUNT:
		/* Nobody asked: it will not go on with us. */
		smtp_proto_lost(proto, false);
		break;
	}
	/* The other answers will not come. */
	if (says_goodbye && !proto->finished && proto->state == SMTP_ENVELOPE) {
		struct said reply = said(proto, "a command");

		decide_all(proto, reply.kind, reply.dsn, reply.reason, reply.reply);
		finish(proto, true);
	}
}

/* A line of a reply, as it came. */
static void
note_reply(struct smtp_proto *proto, char separator)
{
	char line[TRANSCRIPT_LINE_MAX + 1];

	if (!proto->transcript.is_kept)
		return;
	(void)snprintf(line, sizeof(line), "%03u%c%" SLICE_FMT, proto->reply.code, separator,
		SLICE_ARG(smtp_reply_line(&proto->reply)));
	transcript_put(&proto->transcript, "In:  ", slice_str(line));
}

void
smtp_proto_input(struct smtp_proto *proto, struct slice bytes)
{
	while (bytes.len > 0 && proto->state != SMTP_OVER) {
		size_t taken = 0;
		enum smtp_reply_step step = smtp_reply_feed(&proto->reply, bytes, &taken);

		bytes = slice_from(bytes, taken);
		if (step == SMTP_REPLY_BAD) {
			proto->is_improper = true;
			smtp_proto_lost(proto, false);
			return;
		}
		if (step != SMTP_REPLY_MORE)
			note_reply(proto, step == SMTP_REPLY_DONE ? ' ' : '-');
		if (step != SMTP_REPLY_MORE && proto->state == SMTP_HELLO)
			take_capability(proto);
		if (step == SMTP_REPLY_DONE) {
			size_t before = proto->out.len;

			take_reply(proto);
			note_commands(proto, before);
		}
	}
}

/* --- the end ---------------------------------------------------------------------------------- */

void
smtp_proto_quit(struct smtp_proto *proto)
{
	enter(proto, SMTP_QUIT);
	buf_add_str(&proto->out, "QUIT\r\n");
}

enum smtp_stage
smtp_proto_stage(const struct smtp_proto *proto)
{
	switch (proto->state) {
	case SMTP_GREETING:
	case SMTP_HELLO:
	case SMTP_HELO:
		return SMTP_STAGE_HELO;
	case SMTP_ENVELOPE:
		if (proto->answered == 0)
			return SMTP_STAGE_MAIL;
		return proto->answered <= proto->job->count ? SMTP_STAGE_RCPT
							      : SMTP_STAGE_DATA_INIT;
	case SMTP_BODY:
		return SMTP_STAGE_DATA_XFER;
	case SMTP_DOT:
		return SMTP_STAGE_DATA_DONE;
	case SMTP_RSET:
		return SMTP_STAGE_RSET;
	case SMTP_QUIT:
		return SMTP_STAGE_QUIT;
	case SMTP_IDLE:
	case SMTP_OVER:
	case SMTP_STATE_COUNT:
		return SMTP_STAGE_IDLE;
	}
	return SMTP_STAGE_IDLE;
}

static const char *
doing(const struct smtp_proto *proto)
{
	switch (proto->state) {
	case SMTP_GREETING:
		return "receiving the initial server greeting";
	case SMTP_HELLO:
		return proto->is_lmtp ? "performing the LHLO handshake"
				      : "performing the EHLO handshake";
	case SMTP_HELO:
		return "performing the HELO handshake";
	case SMTP_ENVELOPE:
		if (proto->answered == 0)
			return "sending MAIL FROM";
		return proto->answered <= proto->job->count ? "sending RCPT TO"
							      : "sending DATA command";
	case SMTP_BODY:
		return "sending message body";
	case SMTP_DOT:
		return "sending end of data -- message may be sent more than once";
	case SMTP_RSET:
		return "sending RSET command";
	case SMTP_QUIT:
		return "sending QUIT command";
	case SMTP_IDLE:
	case SMTP_OVER:
	case SMTP_STATE_COUNT:
		return "waiting for work";
	}
	return "";
}

void
smtp_proto_lost(struct smtp_proto *proto, bool timed_out)
{
	bool in_transaction = proto->state == SMTP_ENVELOPE || proto->state == SMTP_BODY ||
			      proto->state == SMTP_DOT;
	bool in_handshake = proto->state < SMTP_IDLE;
	char reason[SMTP_PROTO_TEXT_MAX];

	if (proto->state == SMTP_OVER)
		return;
	(void)snprintf(reason, sizeof(reason),
		timed_out ? "conversation with %s timed out while %s"
			  : "lost connection with %s while %s",
		proto->host, doing(proto));
	if (in_transaction) {
		decide_all(proto, IPC_OUTCOME_DEFERRED, "4.4.2", reason, NULL);
		proto->finished = true;
		proto->wants_body = false;
	}
	if (in_transaction || in_handshake)
		set_site_trouble(proto, "4.4.2", reason);
	proto->is_ending = true;
	enter(proto, SMTP_OVER);
}

bool
smtp_proto_handshake_failed(const struct smtp_proto *proto)
{
	return proto->state == SMTP_OVER && proto->outcome_count == 0 &&
	       proto->site_reason[0] != '\0';
}
