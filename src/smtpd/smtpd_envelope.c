/* smtpd_envelope.c - what goes with the message: its options, envelope, Received (smtpd_proto.h) */
#include "base/check.h"
#include "message/envelope.h"
#include "message/received.h"
#include "message/verp.h"
#include "smtpd/smtpd_proto.h"

static const char *
protocol(const struct smtpd_proto *proto)
{
	return proto->smtputf8 ? "UTF8SMTP" : proto->is_esmtp ? "ESMTP" : "SMTP";
}

const char *
smtpd_proto_verp(struct smtpd_proto *proto, struct slice word, struct slice value)
{
	const struct config *config = proto->config;
	struct slice filter = config_str(config, proto->service, PARAM_VERP_DELIMITER_FILTER);
	bool has_value = slice_find(word, '=') < word.len;

	if (!has_value)
		value = config_str(config, proto->service, PARAM_DEFAULT_VERP_DELIMITERS);
	if (proto->sender.len == 0)
		return "503 5.5.4 Error: XVERP requires non-null sender";
	if (verp_check(value, filter) != NULL)
		return "501 5.5.4 Error: XVERP needs two characters of verp_delimiter_filter";
	memcpy(proto->verp, value.ptr, VERP_DELIMITERS);
	return NULL;
}

const char *
smtpd_proto_priority(struct smtpd_proto *proto, struct slice value)
{
	if (proto->priority == 0 && envelope_priority_parse(value, &proto->priority) == ERR_OK)
		return NULL;
	return "501 5.5.4 Bad MT-PRIORITY parameter syntax";
}

void
smtpd_proto_envelope(const struct smtpd_proto *proto, struct buf *bytes)
{
	struct envelope envelope;

	envelope_init(&envelope);
	envelope.sender = buf_slice(&proto->sender);
	envelope_stamp(&envelope, proto->now.wall.us,
		config_time_s(proto->config, proto->service, PARAM_DELAY_WARNING_TIME));
	envelope.client_name = slice_str(proto->name);
	envelope.client_address = slice_str(proto->address);
	envelope.client_port = proto->port;
	envelope.client_helo = slice_head(slice_str(proto->helo), 255);
	envelope.protocol = slice_str(protocol(proto));
	envelope.size = proto->length;
	envelope.ret = proto->ret;
	envelope.envid = buf_slice(&proto->envid);
	if (proto->verp[0] != '\0')
		envelope.verp = slice_make(proto->verp, VERP_DELIMITERS);
	if (proto->smtputf8)
		envelope.smtputf8 = proto->header.header_eight_bit ? ENVELOPE_SMTPUTF8_NEEDED
								   : ENVELOPE_SMTPUTF8_ASKED;
	envelope.body_8bit = proto->body_8bit || proto->header.eight_bit;
	envelope.message_id = header_message_id(&proto->header);
	envelope.hop_count = proto->header.hop_count;
	envelope.priority = proto->priority != 0
				    ? proto->priority
				    : header_priority(&proto->header, proto->may_hurry);
	envelope.rewrite = ENVELOPE_REWRITE_REMOTE;
	envelope.head_length = proto->header.head_length;
	CHECK(envelope_encode(&envelope, bytes) == ERR_OK);
}

void
smtpd_proto_head(const struct smtpd_proto *proto, struct buf *head)
{
	struct received received = {
		.helo = slice_str(proto->helo),
		.client_name = slice_str(proto->name),
		.client_address = slice_str(proto->address),
		.myhostname = config_str(proto->config, proto->service, PARAM_MYHOSTNAME),
		.mail_name = config_str(proto->config, proto->service, PARAM_MAIL_NAME),
		.protocol = slice_str(protocol(proto)),
		.queue_id = slice_str(proto->id_text),
		.at = proto->now.wall,
	};

	if (proto->recipient_count == 1)
		received.recipient = buf_slice(&proto->only_recipient);
	CHECK(received_format(&received, head) == ERR_OK);
}
