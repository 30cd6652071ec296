/* smtpd_proto.c - commands and replies (smtpd_proto.h) */
#include "smtpd/smtpd_proto.h"

#include "base/check.h"
#include "base/num.h"
#include "message/address.h"
#include "message/dsn.h"
#include "message/recipient_list.h"
#include "message/verp.h"
#include "route/canonical.h"
#include "route/resolve.h"
#include "route/rewrite.h"

#include <stdio.h>

static const char *const command_names[SMTPD_COMMAND_COUNT] = {
	[SMTPD_HELO] = "HELO",
	[SMTPD_EHLO] = "EHLO",
	[SMTPD_MAIL] = "MAIL",
	[SMTPD_RCPT] = "RCPT",
	[SMTPD_DATA_COMMAND] = "DATA",
	[SMTPD_BDAT_COMMAND] = "BDAT",
	[SMTPD_RSET] = "RSET",
	[SMTPD_NOOP] = "NOOP",
	[SMTPD_VRFY] = "VRFY",
	[SMTPD_HELP] = "HELP",
	[SMTPD_QUIT] = "QUIT",
	[SMTPD_UNKNOWN] = "UNKNOWN",
};

/* --- life ------------------------------------------------------------------------------------- */

void
smtpd_proto_init(struct smtpd_proto *proto)
{
	buf_init(&proto->out, 0);
	buf_init(&proto->sender, 0);
	buf_init(&proto->envid, 0);
	buf_init(&proto->recipients, 0);
	buf_init(&proto->only_recipient, 0);
	buf_init(&proto->content, 0);
	header_rewrite_init(&proto->header_rewrite);
	buf_init(&proto->rewritten, 0);
	transcript_init(&proto->transcript, false);
	proto->last_command = "CONNECT";
	proto->state = SMTPD_COMMAND;
}

void
smtpd_proto_reset(struct smtpd_proto *proto)
{
	recipient_filter_done(&proto->filter);
	buf_clear(&proto->sender);
	buf_clear(&proto->envid);
	buf_clear(&proto->recipients);
	buf_clear(&proto->only_recipient);
	buf_clear(&proto->content);
	proto->has_mail = proto->body_8bit = proto->smtputf8 = proto->in_bdat = false;
	proto->recipient_count = proto->stored_count = proto->overshoot = 0;
	proto->ret = DSN_RET_NONE;
	proto->verp[0] = '\0';
	proto->priority = 0;
	proto->queue_id = 0;
	proto->id_text[0] = '\0';
	proto->refusal[0] = '\0';
	proto->refusal_closes = proto->is_bare_noted = false;
}

void
smtpd_proto_done(struct smtpd_proto *proto)
{
	smtpd_proto_reset(proto);
	buf_done(&proto->out);
	buf_done(&proto->sender);
	buf_done(&proto->envid);
	buf_done(&proto->recipients);
	buf_done(&proto->only_recipient);
	buf_done(&proto->content);
	header_rewrite_done(&proto->header_rewrite);
	buf_done(&proto->rewritten);
	transcript_done(&proto->transcript);
	if (proto->hash != NULL)
		hash_stream_free(proto->hash);
}

/* --- replies ---------------------------------------------------------------------------------- */

static struct slice
myhostname(const struct smtpd_proto *proto)
{
	return config_str(proto->config, proto->service, PARAM_MYHOSTNAME);
}

/* Text of a client in a reply: what would break the line becomes '?'. */
static void
put_clean(struct buf *out, struct slice text)
{
	text = slice_head(text, SMTPD_TEXT_MAX);
	for (size_t i = 0; i < text.len; i++)
		CHECK(buf_append_byte(out, text.ptr[i] < ' ' || text.ptr[i] == 127
						   ? '?'
						   : text.ptr[i]) == ERR_OK);
}

static void
say(struct smtpd_proto *proto, const char *reply)
{
	buf_addf(&proto->out, "%s\r\n", reply);
}

/* soft_bounce: a configuration that is being tried out returns no mail. */
static void
soften(struct buf *out, size_t from)
{
	while (from + 3 < out->len) {
		struct slice line = slice_from(buf_slice(out), from);

		if (line.ptr[0] == '5' && line.len > 5 && line.ptr[4] == '5' && line.ptr[5] == '.')
			out->ptr[from + 4] = '4';
		if (line.ptr[0] == '5')
			out->ptr[from] = '4';
		from += slice_find(line, '\n') + 1;
	}
}

/* What is in `out` from there on is the answer: it is settled, and goes into the transcript. */
static void
settle_replies(struct smtpd_proto *proto, size_t from)
{
	if (from > proto->out.len)
		from = 0;
	if (from == proto->out.len)
		return;
	if (config_bool(proto->config, NULL, PARAM_SOFT_BOUNCE))
		soften(&proto->out, from);
	transcript_put_lines(
		&proto->transcript, "Out: ", slice_from(buf_slice(&proto->out), from));
}

static void
end_session(struct smtpd_proto *proto, const char *reply)
{
	if (proto->state == SMTPD_CLOSE)
		return;
	say(proto, reply);
	proto->state = SMTPD_CLOSE;
}

void
smtpd_proto_close(struct smtpd_proto *proto, const char *reply)
{
	size_t before = proto->out.len;

	end_session(proto, reply);
	settle_replies(proto, before);
}

/* The client breaks the protocol in a way that there is no going on from. */
static void
break_off(struct smtpd_proto *proto, const char *reply)
{
	proto->troubles |= CONFIG_NOTIFY_PROTOCOL;
	end_session(proto, reply);
}

/* False: that was one error too many, and the session is over. */
bool
smtpd_proto_count_error(struct smtpd_proto *proto, unsigned trouble)
{
	proto->troubles |= trouble;
	uint64_t hard = config_int(proto->config, proto->service, PARAM_SMTPD_HARD_ERROR_LIMIT);

	if (++proto->errors <= hard)
		return true;
	buf_addf(&proto->out, "421 4.7.0 %" SLICE_FMT " Error: too many errors\r\n",
		SLICE_ARG(myhostname(proto)));
	proto->state = SMTPD_CLOSE;
	log_event(proto->log, EV_smtpd_too_many_errors, LOG_Z(proto->last_command),
		LOG_Z(proto->name), LOG_Z(proto->address));
	return false;
}

static void
fail_as(struct smtpd_proto *proto, unsigned trouble, const char *reply)
{
	if (smtpd_proto_count_error(proto, trouble))
		say(proto, reply);
}

/* An error of the client: counted, and at last shown the door. */
static void
fail(struct smtpd_proto *proto, const char *reply)
{
	fail_as(proto, CONFIG_NOTIFY_PROTOCOL, reply);
}

/* A recipient that is not taken: logged as Postfix does (rule J3). */
static void
reject(struct smtpd_proto *proto, unsigned trouble, struct slice recipient, const char *code,
	struct slice subject, const char *why)
{
	struct buf reply;

	buf_init(&reply, 0);
	buf_addf(&reply, "%s <", code);
	put_clean(&reply, subject);
	buf_addf(&reply, ">: %s", why);
	if (config_bool(proto->config, NULL, PARAM_SOFT_BOUNCE))
		soften(&reply, 0);
	log_event(proto->log, EV_smtpd_reject,
		LOG_Z(proto->id_text[0] != '\0' ? proto->id_text : "NOQUEUE"), LOG_Z("RCPT"),
		LOG_Z(proto->name), LOG_Z(proto->address), LOG_S(buf_slice(&reply)),
		LOG_S(buf_slice(&proto->sender)), LOG_Z(recipient.len > 0 ? " to=<" : ""),
		LOG_S(recipient), LOG_Z(recipient.len > 0 ? ">" : ""),
		LOG_Z(proto->is_esmtp ? "ESMTP" : "SMTP"), LOG_Z(proto->helo));
	CHECK(buf_append_byte(&reply, '\0') == ERR_OK);
	fail_as(proto, trouble, (const char *)reply.ptr);
	buf_done(&reply);
}

void
smtpd_proto_greet(struct smtpd_proto *proto, bool early)
{
	size_t before = proto->out.len;

	if (early &&
		config_bool(proto->config, proto->service, PARAM_SMTPD_FORBID_UNAUTH_PIPELINING)) {
		log_event(proto->log, EV_smtpd_pipelining, LOG_Z("CONNECT"), LOG_Z(proto->name),
			LOG_Z(proto->address));
		break_off(proto, "554 5.5.0 Error: SMTP protocol synchronization");
	} else {
		buf_addf(&proto->out, "220 %s\r\n",
			config_cstr(proto->config, proto->service, PARAM_SMTPD_BANNER));
	}
	settle_replies(proto, before);
}

/* The client begins anew: chunks that were passed on already must not become part of the next. */
static void
drop_transaction(struct smtpd_proto *proto)
{
	if (proto->in_bdat)
		proto->ops->abort(proto->ctx);
	smtpd_proto_reset(proto);
}

/* --- HELO, EHLO ------------------------------------------------------------------------------- */

static void
set_helo(struct smtpd_proto *proto, struct slice name)
{
	(void)log_clean(proto->helo, sizeof(proto->helo) - 1, name);
	proto->helo[name.len < sizeof(proto->helo) - 1 ? name.len : sizeof(proto->helo) - 1] = '\0';
}

static bool
do_helo(struct smtpd_proto *proto, struct slice argument, bool is_esmtp)
{
	struct slice name;

	if (!slice_word(&argument, " \t", &name)) {
		fail(proto, is_esmtp ? "501 Syntax: EHLO hostname" : "501 Syntax: HELO hostname");
		return false;
	}
	drop_transaction(proto);
	set_helo(proto, name);
	proto->is_esmtp = is_esmtp;
	if (!is_esmtp) {
		buf_addf(&proto->out, "250 %" SLICE_FMT "\r\n", SLICE_ARG(myhostname(proto)));
		return true;
	}
	uint64_t limit = config_int(proto->config, proto->service, PARAM_MESSAGE_SIZE_LIMIT);

	buf_addf(&proto->out,
		"250-%" SLICE_FMT "\r\n250-PIPELINING\r\n250-SIZE %llu\r\n"
		"250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n"
		"%s%s250 CHUNKING\r\n",
		SLICE_ARG(myhostname(proto)), (unsigned long long)limit,
		proto->may_verp ? "250-XVERP\r\n" : "",
		proto->may_hurry ? "250-MT-PRIORITY\r\n" : "");
	return true;
}

/* --- MAIL ------------------------------------------------------------------------------------- */

/* NAME=VALUE or NAME. */
static void
split_parameter(struct slice word, struct slice *name, struct slice *value)
{
	size_t equals = slice_find(word, '=');

	*name = slice_head(word, equals);
	*value = slice_from(word, equals + 1);
}

/* NULL: fine; else the reply. */
static const char *
mail_parameter(struct smtpd_proto *proto, struct slice word)
{
	uint64_t limit = config_int(proto->config, proto->service, PARAM_MESSAGE_SIZE_LIMIT);
	struct slice name, value;
	uint64_t size;

	split_parameter(word, &name, &value);
	if (slice_equal_nocase_str(name, "SIZE")) {
		if (num_parse_u64(value, 0, UINT64_MAX, &size) != ERR_OK)
			return "501 5.5.4 Bad message size syntax";
		if (limit > 0 && size > limit)
			return "552 5.3.4 Message size exceeds fixed limit";
	} else if (slice_equal_nocase_str(name, "BODY")) {
		if (slice_equal_nocase_str(value, "8BITMIME"))
			proto->body_8bit = true;
		else if (!slice_equal_nocase_str(value, "7BIT"))
			return "501 5.5.4 Bad BODY parameter: 7BIT or 8BITMIME is allowed";
	} else if (slice_equal_nocase_str(word, "SMTPUTF8")) {
		proto->smtputf8 = true;
	} else if (slice_equal_nocase_str(name, "RET")) {
		if (proto->ret != DSN_RET_NONE || dsn_parse_ret(value, &proto->ret) != ERR_OK)
			return "501 5.5.4 Bad RET parameter syntax";
	} else if (slice_equal_nocase_str(name, "ENVID")) {
		if (proto->envid.len > 0 || dsn_parse_envid(value, &proto->envid) != ERR_OK)
			return "501 5.5.4 Bad ENVID parameter syntax";
	} else if (slice_equal_nocase_str(name, "MT-PRIORITY") && proto->may_hurry) {
		return smtpd_proto_priority(proto, value);
	} else if (slice_equal_nocase_str(name, "XVERP") && proto->may_verp) {
		return smtpd_proto_verp(proto, word, value);
	} else {
		return "555 5.5.4 Unsupported option";
	}
	return NULL;
}

static bool
asks_for_utf8(struct slice parameters)
{
	struct slice word;

	while (slice_word(&parameters, " \t", &word))
		if (slice_equal_nocase_str(word, "SMTPUTF8"))
			return true;
	return false;
}

static bool
mail_failed(struct smtpd_proto *proto, const char *reply)
{
	unsigned trouble = reply[0] == '4'		    ? CONFIG_NOTIFY_DATA
			   : strncmp(reply, "552", 3) == 0 ? CONFIG_NOTIFY_POLICY
							    : CONFIG_NOTIFY_PROTOCOL;

	fail_as(proto, trouble, reply);
	enum smtpd_state state = proto->state;

	smtpd_proto_reset(proto);
	proto->state = state;
	return false;
}

/* Not taken for now, and not the client's fault. */
static void
put_refusal(struct smtpd_proto *proto, enum ipc_intake_status status, struct slice text)
{
	bool is_full = status == IPC_INTAKE_FULL;

	proto->troubles |= status == IPC_INTAKE_UNKNOWN ? CONFIG_NOTIFY_SOFTWARE
							: CONFIG_NOTIFY_RESOURCE;
	buf_add_str(&proto->out, is_full ? "452 4.3.1 " : "451 4.3.0 ");
	if (text.len == 0)
		text = is_full ? SLICE_LIT("Insufficient system storage")
			       : SLICE_LIT("Error: queue file write error");
	put_clean(&proto->out, text);
	buf_add_str(&proto->out, "\r\n");
}

static bool
do_mail(struct smtpd_proto *proto, struct slice argument)
{
	struct slice word;
	struct buf sender, complete;
	unsigned flags = ADDRESS_NULL | ADDRESS_BARE;
	enum ipc_intake_status intake;
	const char *refusal = NULL;
	enum err err;

	if (proto->helo[0] == '\0' &&
		config_bool(proto->config, proto->service, PARAM_SMTPD_HELO_REQUIRED)) {
		fail(proto, "503 5.5.1 Error: send HELO/EHLO first");
		return false;
	}
	if (proto->has_mail) {
		fail(proto, "503 5.5.1 Error: nested MAIL command");
		return false;
	}
	intake = proto->ops->intake_state(proto->ctx);
	if (intake != IPC_INTAKE_DURABLE) { /* before the client sends all of it in vain */
		put_refusal(proto, intake, slice_make(NULL, 0));
		return false;
	}
	if (!proto->ops->may_send(proto->ctx)) {
		char reply[SMTPD_TEXT_MAX + 64];

		(void)snprintf(reply, sizeof(reply), "450 4.7.1 Error: too much mail from %s",
			proto->address);
		fail_as(proto, CONFIG_NOTIFY_POLICY, reply);
		return false;
	}
	if (!slice_starts_nocase(argument, SLICE_LIT("FROM:"))) {
		fail(proto, "501 5.5.4 Syntax: MAIL FROM:<address>");
		return false;
	}
	argument = slice_from(argument, 5);
	if (asks_for_utf8(argument))
		flags |= ADDRESS_UTF8;
	buf_init(&sender, 0);
	buf_init(&complete, 0);
	err = address_parse_path(&argument, flags, &sender);
	if (err == ERR_OK)
		err = rewrite_complete(proto->config, buf_slice(&sender), &complete);
	if (err != ERR_OK)
		refusal = "501 5.1.7 Bad sender address syntax";
	else if (canonical_rewrite(proto->config, CANONICAL_ENVELOPE_SENDER, buf_slice(&complete),
			 &proto->sender, NULL) != ERR_OK)
		refusal = "451 4.3.0 Temporary lookup failure";
	buf_done(&sender);
	buf_done(&complete);
	if (refusal != NULL)
		return mail_failed(proto, refusal);
	while (slice_word(&argument, " \t", &word)) {
		const char *reply = mail_parameter(proto, word);

		if (reply != NULL)
			return mail_failed(proto, reply);
	}
	proto->has_mail = true;
	recipient_filter_begin(&proto->filter,
		config_bool(proto->config, proto->service, PARAM_ENABLE_ORIGINAL_RECIPIENT),
		config_int(proto->config, proto->service, PARAM_DUPLICATE_FILTER_LIMIT));
	say(proto, "250 2.1.0 Ok");
	return true;
}

/* --- RCPT ------------------------------------------------------------------------------------- */

static const char *
rcpt_parameter(struct slice word, struct recipient_entry *entry, struct buf *orcpt, bool utf8)
{
	struct slice name, value;

	split_parameter(word, &name, &value);
	if (slice_equal_nocase_str(name, "NOTIFY")) {
		if (entry->notify != 0 || dsn_parse_notify(value, &entry->notify) != ERR_OK)
			return "501 5.5.4 Bad NOTIFY parameter syntax";
	} else if (slice_equal_nocase_str(name, "ORCPT")) {
		if (orcpt->len > 0 || dsn_parse_orcpt(value, utf8, orcpt) != ERR_OK)
			return "501 5.5.4 Bad ORCPT parameter syntax";
	} else {
		return "555 5.5.4 Unsupported option";
	}
	return NULL;
}

/* Only for our own and our relay domains, or for clients in mynetworks; no trick goes round. */
static bool
may_relay(const struct smtpd_proto *proto, struct slice address)
{
	struct slice domain;

	if (proto->is_trusted)
		return true;
	address_split(address, NULL, &domain);
	return route_classify(proto->config, domain) != ROUTE_CLASS_DEFAULT &&
	       address_find_trick(address) == ADDRESS_TRICK_NONE;
}

/*
 * Whether local delivery will know the name, as local_core.c decides it: an alias, or in
 * local_recipient_maps. Refusing here saves a report to a sender that may be forged.
 */
static bool
is_known_here(const struct smtpd_proto *proto, struct slice address)
{
	static const enum param_id maps[] = { PARAM_ALIAS_MAPS, PARAM_LOCAL_RECIPIENT_MAPS };
	const struct config *config = proto->config;
	struct slice delimiters = config_str(config, NULL, PARAM_RECIPIENT_DELIMITER);
	struct slice local, value;

	if (config_map_is_empty(config, NULL, PARAM_LOCAL_RECIPIENT_MAPS))
		return true;
	address_split(address, &local, NULL);
	const struct slice keys[] = { address, local,
		address_strip_extension(local, delimiters, NULL) };

	/* A table that cannot be read is no verdict: local delivery asks again. */
	for (size_t map = 0; map < 2; map++)
		for (size_t i = 0; i < 3; i++)
			if (config_map_find(config, NULL, maps[map], keys[i], &value) !=
				ERR_NOTFOUND)
				return true;
	return false;
}

static bool
accept_recipient(struct smtpd_proto *proto, const struct recipient_entry *entry)
{
	struct rewrite_result result;
	struct slice domain;
	struct buf expanded;
	enum err err;

	buf_init(&expanded, 0);
	err = rewrite_recipient(proto->config, entry, &expanded, &result);
	address_split(entry->address, NULL, &domain);
	if (err == ERR_OK && !result.expanded &&
		route_classify(proto->config, domain) == ROUTE_CLASS_VIRTUAL_ALIAS) {
		buf_done(&expanded);
		reject(proto, CONFIG_NOTIFY_BOUNCE, entry->address, "550 5.1.1", entry->address,
			"Recipient address rejected: User unknown in virtual alias table");
		return false;
	}
	if (err == ERR_OK && !result.expanded &&
		route_classify(proto->config, domain) == ROUTE_CLASS_LOCAL &&
		!is_known_here(proto, entry->address)) {
		buf_done(&expanded);
		reject(proto, CONFIG_NOTIFY_BOUNCE, entry->address, "550 5.1.1", entry->address,
			"Recipient address rejected: User unknown in local recipient table");
		return false;
	}
	if (err == ERR_OK)
		err = rewrite_recipient_copies(proto->config, entry->address, &expanded);
	if (err == ERR_OK && proto->recipient_count == 0)
		err = rewrite_sender_copies(
			proto->config, buf_slice(&proto->sender), &expanded);
	/* All that it expands to or none: what is refused here must not get the message. */
	if (err == ERR_OK && proto->recipients.len + expanded.len > IPC_RECIPIENTS_MAX) {
		buf_done(&expanded);
		fail_as(proto, CONFIG_NOTIFY_POLICY, "452 4.5.3 Error: too many recipients");
		return false;
	}
	if (err == ERR_OK)
		err = recipient_filter_pass(&proto->filter, buf_slice(&expanded),
			&proto->recipients, &proto->stored_count);
	buf_done(&expanded);
	if (err != ERR_OK) {
		reject(proto, CONFIG_NOTIFY_DATA, entry->address, "451 4.3.0", entry->address,
			"Temporary lookup failure");
		return false;
	}
	if (proto->recipient_count++ == 0)
		buf_add(&proto->only_recipient, entry->address);
	say(proto, "250 2.1.5 Ok");
	return true;
}

static bool
take_recipient(struct smtpd_proto *proto, struct slice given, struct slice parameters)
{
	struct recipient_entry entry = { 0 };
	struct slice word;
	struct buf complete, orcpt;
	const char *reply = NULL;
	bool done = false;

	buf_init(&complete, 0);
	buf_init(&orcpt, 0);
	if (rewrite_complete(proto->config, given, &complete) != ERR_OK)
		reply = "501 5.1.3 Bad recipient address syntax";
	while (reply == NULL && slice_word(&parameters, " \t", &word))
		reply = rcpt_parameter(word, &entry, &orcpt, proto->smtputf8);
	entry.address = buf_slice(&complete);
	entry.orcpt = buf_slice(&orcpt);
	if (reply != NULL)
		fail(proto, reply);
	else if (!may_relay(proto, entry.address))
		reject(proto, CONFIG_NOTIFY_POLICY, entry.address, "554 5.7.1", given,
			"Relay access denied");
	else
		done = accept_recipient(proto, &entry);
	buf_done(&complete);
	buf_done(&orcpt);
	return done;
}

static bool
do_rcpt(struct smtpd_proto *proto, struct slice argument)
{
	uint64_t limit = config_int(proto->config, proto->service, PARAM_SMTPD_RECIPIENT_LIMIT);
	uint64_t overshoot = config_int(
		proto->config, proto->service, PARAM_SMTPD_RECIPIENT_OVERSHOOT_LIMIT);
	unsigned flags = ADDRESS_BARE | (proto->smtputf8 ? ADDRESS_UTF8 : 0u);
	struct buf address;
	bool done = false;

	if (!proto->has_mail) {
		fail(proto, "503 5.5.1 Error: need MAIL command");
		return false;
	}
	if (proto->in_bdat) {
		fail(proto, "503 5.5.1 Error: RCPT after BDAT");
		return false;
	}
	if (!slice_starts_nocase(argument, SLICE_LIT("TO:"))) {
		fail(proto, "501 5.5.4 Syntax: RCPT TO:<address>");
		return false;
	}
	/* RFC 5321 4.5.3.1.10: a client that sends the rest later makes no error, within reason. */
	if (proto->recipient_count >= limit) {
		const char *reply = "452 4.5.3 Error: too many recipients";

		if (proto->overshoot++ < overshoot)
			say(proto, reply);
		else
			fail_as(proto, CONFIG_NOTIFY_POLICY, reply);
		return false;
	}
	argument = slice_from(argument, 3);
	buf_init(&address, 0);
	if (address_parse_path(&argument, flags, &address) != ERR_OK || address.len == 0)
		fail(proto, "501 5.1.3 Bad recipient address syntax");
	else
		done = take_recipient(proto, buf_slice(&address), argument);
	buf_done(&address);
	return done;
}

/* --- DATA, BDAT ------------------------------------------------------------------------------- */

/* The queue ID is settled here, with the line that says whose it is (rule J2). */
static bool
begin_message(struct smtpd_proto *proto)
{
	if (!proto->has_mail || proto->recipient_count == 0) {
		fail(proto, proto->has_mail ? "554 5.5.1 Error: no valid recipients"
					    : "503 5.5.1 Error: need RCPT command");
		return false;
	}
	proto->queue_id = proto->ops->queue_id(proto->ctx);
	if (proto->queue_id == 0) {
		proto->troubles |= CONFIG_NOTIFY_RESOURCE;
		say(proto, "451 4.3.0 Error: queue file write error");
		return false;
	}
	(void)queue_id_format(proto->queue_id, proto->id_text);
	log_event(proto->log, EV_smtpd_client, LOG_Z(proto->id_text), LOG_Z(proto->name),
		LOG_Z(proto->address));
	smtpd_data_begin(proto);
	return true;
}

static bool
do_data(struct smtpd_proto *proto)
{
	if (proto->in_bdat) {
		fail(proto, "503 5.5.1 Error: DATA after BDAT");
		return false;
	}
	if (!begin_message(proto))
		return false;
	say(proto, "354 End data with <CR><LF>.<CR><LF>");
	proto->state = SMTPD_DATA;
	return true;
}

static bool
do_bdat(struct smtpd_proto *proto, struct slice argument)
{
	struct slice size, last;
	uint64_t length;

	if (!slice_word(&argument, " \t", &size) ||
		num_parse_u64(size, 0, UINT64_MAX / 2, &length) != ERR_OK) {
		/* How much content follows cannot be known. */
		proto->errors++;
		break_off(proto, "501 5.5.4 Syntax: BDAT count [LAST]");
		return false;
	}
	proto->chunk_last = slice_word(&argument, " \t", &last);
	if (proto->chunk_last && !slice_equal_nocase_str(last, "LAST")) {
		break_off(proto, "501 5.5.4 Syntax: BDAT count [LAST]");
		return false;
	}
	proto->chunk_left = length;
	if (!proto->in_bdat) {
		smtpd_data_begin(proto);
		if (begin_message(proto))
			proto->in_bdat = true;
		else if (proto->state == SMTPD_COMMAND && proto->out.len > 0) {
			/* The chunk comes all the same, and is thrown away. */
			proto->state = SMTPD_BDAT;
			(void)snprintf(proto->refusal, sizeof(proto->refusal), "-");
			if (length == 0)
				(void)smtpd_bdat_input(proto, slice_make((const uint8_t *)"", 0));
			return false;
		}
	}
	if (proto->state == SMTPD_CLOSE)
		return false;
	proto->state = SMTPD_BDAT;
	if (length == 0)
		(void)smtpd_bdat_input(proto, slice_make((const uint8_t *)"", 0));
	return true;
}

void
smtpd_proto_result(
	struct smtpd_proto *proto, enum ipc_intake_status status, struct slice text)
{
	size_t before = proto->out.len;

	CHECK(proto->state == SMTPD_WAIT);
	proto->state = SMTPD_COMMAND;
	switch (status) {
	case IPC_INTAKE_DURABLE:
		/* A client that brings mail may make errors anew. */
		proto->errors = proto->junk = 0;
		buf_addf(&proto->out, "250 2.0.0 Ok: queued as %s\r\n", proto->id_text);
		break;
	case IPC_INTAKE_FULL:
	case IPC_INTAKE_TEMPORARY:
	case IPC_INTAKE_UNKNOWN:
		put_refusal(proto, status, text);
		break;
	}
	settle_replies(proto, before);
	smtpd_proto_reset(proto);
}

/* --- dispatch --------------------------------------------------------------------------------- */

static enum smtpd_command_id
find_command(struct slice word)
{
	for (int i = 0; i < SMTPD_UNKNOWN; i++)
		if (slice_equal_nocase_str(word, command_names[i]))
			return (enum smtpd_command_id)i;
	return SMTPD_UNKNOWN;
}

/* HELO, RSET, NOOP, VRFY ...: harmless, but not by the hundred. False: the session is over. */
static bool
count_junk(struct smtpd_proto *proto, enum smtpd_command_id id)
{
	uint64_t limit = config_int(proto->config, proto->service, PARAM_SMTPD_JUNK_COMMAND_LIMIT);
	bool is_junk = id == SMTPD_HELO || id == SMTPD_EHLO || id == SMTPD_RSET ||
		       id == SMTPD_NOOP || id == SMTPD_VRFY || id == SMTPD_HELP;

	return !is_junk || ++proto->junk <= limit ||
	       smtpd_proto_count_error(proto, CONFIG_NOTIFY_PROTOCOL);
}

/* A command that there is, but not here; or NULL. */
static const char *
find_missing(struct slice word)
{
	static const char *const missing[] = { "STARTTLS", "AUTH", "ETRN", "EXPN", "TURN", "SEND",
		"SOML", "SAML" };

	for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++)
		if (slice_equal_nocase_str(word, missing[i]))
			return missing[i];
	return NULL;
}

static bool
do_unknown(struct smtpd_proto *proto, struct slice word)
{
	if (find_missing(word) != NULL) {
		fail(proto, "502 5.5.1 Error: command not implemented");
		return false;
	}
	fail(proto, "500 5.5.2 Error: command not recognized");
	return false;
}

static bool
run_command(struct smtpd_proto *proto, enum smtpd_command_id id, struct slice word,
	struct slice argument)
{
	if (!count_junk(proto, id))
		return false;
	switch (id) {
	case SMTPD_HELO:
		return do_helo(proto, argument, false);
	case SMTPD_EHLO:
		return do_helo(proto, argument, true);
	case SMTPD_MAIL:
		return do_mail(proto, argument);
	case SMTPD_RCPT:
		return do_rcpt(proto, argument);
	case SMTPD_DATA_COMMAND:
		return do_data(proto);
	case SMTPD_BDAT_COMMAND:
		return do_bdat(proto, argument);
	case SMTPD_RSET:
		drop_transaction(proto);
		say(proto, "250 2.0.0 Ok");
		return true;
	case SMTPD_NOOP:
		say(proto, "250 2.0.0 Ok");
		return true;
	case SMTPD_VRFY:
		say(proto, "252 2.0.0 Cannot verify, but will accept mail that may be delivered");
		return true;
	case SMTPD_HELP:
		say(proto, "214 2.0.0 HELO EHLO MAIL RCPT DATA BDAT RSET NOOP VRFY QUIT");
		return true;
	case SMTPD_QUIT:
		end_session(proto, "221 2.0.0 Bye");
		return true;
	case SMTPD_UNKNOWN:
	case SMTPD_COMMAND_COUNT:
		return do_unknown(proto, word);
	}
	return false;
}

/* Commands that must be the last of what a client sends at a time (RFC 2920). */
static bool
must_be_last(enum smtpd_command_id id)
{
	return id == SMTPD_HELO || id == SMTPD_EHLO || id == SMTPD_DATA_COMMAND ||
	       id == SMTPD_QUIT || id == SMTPD_VRFY || id == SMTPD_NOOP;
}

static bool
is_forbidden_pipelining(
	const struct smtpd_proto *proto, enum smtpd_command_id id, struct slice rest)
{
	if (rest.len == 0 || !config_bool(proto->config, proto->service,
				     PARAM_SMTPD_FORBID_UNAUTH_PIPELINING))
		return false;
	return (id == SMTPD_DATA_COMMAND && proto->state == SMTPD_DATA) || id == SMTPD_HELO ||
	       id == SMTPD_EHLO || (!proto->is_esmtp && must_be_last(id) && id != SMTPD_QUIT &&
					   id != SMTPD_NOOP && id != SMTPD_VRFY);
}

/*
 * What is no command may be content that follows a refused DATA, or a password: nothing of it is
 * shown, nor what stands behind a command that takes nothing.
 */
static void
note_command(struct smtpd_proto *proto, enum smtpd_command_id id, struct slice word,
	struct slice line)
{
	bool has_argument = id == SMTPD_HELO || id == SMTPD_EHLO || id == SMTPD_MAIL ||
			    id == SMTPD_RCPT || id == SMTPD_BDAT_COMMAND;
	const char *name = id == SMTPD_UNKNOWN ? find_missing(word) : command_names[id];
	char text[64];

	(void)snprintf(text, sizeof(text), "(unknown command, %zu bytes)", line.len);
	if (name != NULL)
		(void)snprintf(text, sizeof(text), "%s", name);
	transcript_put(&proto->transcript, "In:  ", has_argument ? line : slice_str(text));
}

static void
take_command(struct smtpd_proto *proto, struct slice line, struct slice rest)
{
	struct slice whole = line;
	struct slice word = slice_make(NULL, 0);
	enum smtpd_command_id id;

	if (!slice_word(&line, " \t", &word)) {
		fail(proto, "500 5.5.2 Error: bad syntax");
		return;
	}
	id = find_command(word);
	note_command(proto, id, word, whole);
	proto->last_command = command_names[id];
	proto->counts[id]++;
	if (!run_command(proto, id, word, slice_trim(line)))
		proto->failed[id]++;
	if (is_forbidden_pipelining(proto, id, rest)) {
		log_event(proto->log, EV_smtpd_pipelining, LOG_Z(command_names[id]),
			LOG_Z(proto->name), LOG_Z(proto->address));
		buf_clear(&proto->out);
		proto->state = SMTPD_COMMAND;
		break_off(proto, "554 5.5.0 Error: SMTP protocol synchronization");
	}
}

/* smtpd_forbid_bare_newline for commands. False: the session is over. */
static bool
may_end_in_lf(struct smtpd_proto *proto)
{
	char reply[SMTPD_TEXT_MAX];

	if (proto->bare_newline != CONFIG_BARE_NEWLINE_REJECT)
		return true;
	smtpd_bare_newline_reply(proto, reply);
	break_off(proto, reply);
	return false;
}

static void
take_line(struct smtpd_proto *proto, struct slice line, struct slice rest)
{
	bool has_cr = line.len > 0 && line.ptr[line.len - 1] == '\r';

	if (has_cr)
		line.len--;
	else if (!may_end_in_lf(proto))
		return;
	if (memchr(line.ptr, '\r', line.len) != NULL || memchr(line.ptr, '\0', line.len) != NULL)
		fail(proto, "500 5.5.2 Error: bad syntax: control characters in a command");
	else
		take_command(proto, line, rest);
}

/* One command line; 0: it is not complete. Behind smtpd_soft_error_limit every reply is slow. */
static size_t
command_input(struct smtpd_proto *proto, struct slice bytes)
{
	uint64_t limit = config_int(proto->config, proto->service, PARAM_LINE_LENGTH_LIMIT);
	uint64_t soft = config_int(proto->config, proto->service, PARAM_SMTPD_SOFT_ERROR_LIMIT);
	size_t newline = slice_find(bytes, '\n');

	if (newline == bytes.len && bytes.len < limit)
		return 0;
	if (newline >= limit) {
		break_off(proto, "500 5.5.2 Error: line too long");
		return bytes.len;
	}
	take_line(proto, slice_head(bytes, newline), slice_from(bytes, newline + 1));
	proto->must_sleep = proto->errors > soft && proto->state != SMTPD_CLOSE;
	return newline + 1;
}

size_t
smtpd_proto_input(struct smtpd_proto *proto, struct slice bytes)
{
	size_t total = 0;

	while (bytes.len > 0 && !proto->must_sleep) {
		size_t taken = 0, before = proto->out.len;

		switch (proto->state) {
		case SMTPD_COMMAND:
			taken = command_input(proto, bytes);
			break;
		case SMTPD_DATA:
			taken = smtpd_data_input(proto, bytes);
			break;
		case SMTPD_BDAT:
			taken = smtpd_bdat_input(proto, bytes);
			break;
		case SMTPD_WAIT:
		case SMTPD_CLOSE:
			return total;
		}
		settle_replies(proto, before);
		if (taken == 0)
			break;
		total += taken;
		bytes = slice_from(bytes, taken);
		/* The driver passes content on before there is more of it. */
		if (proto->content.len >= IPC_CONTENT_PART_MAX)
			break;
	}
	return total;
}

void
smtpd_proto_statistics(const struct smtpd_proto *proto, struct buf *text)
{
	static const char *const names[SMTPD_COMMAND_COUNT] = { "helo", "ehlo", "mail", "rcpt",
		"data", "bdat", "rset", "noop", "vrfy", "help", "quit", "unknown" };
	uint32_t total = 0, failed = 0;

	for (int i = 0; i < SMTPD_COMMAND_COUNT; i++) {
		uint32_t good = proto->counts[i] - proto->failed[i];

		total += proto->counts[i];
		failed += proto->failed[i];
		if (proto->counts[i] == 0)
			continue;
		if (proto->failed[i] > 0)
			buf_addf(text, " %s=%u/%u", names[i], good, proto->counts[i]);
		else
			buf_addf(text, " %s=%u", names[i], good);
	}
	if (failed > 0)
		buf_addf(text, " commands=%u/%u", total - failed, total);
	else
		buf_addf(text, " commands=%u", total);
}
