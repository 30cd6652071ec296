/*
 * smtpd_data.c - content: line ends, dots, end of data, size, what it says about itself
 *
 * Well-formed lines are passed on in runs as long as possible; only a line with a leading dot, a
 * bare LF or a bare CR interrupts one.
 */
#include "base/check.h"
#include "smtpd/smtpd_proto.h"

#include <stdio.h>

static void
refuse(struct smtpd_proto *proto, const char *reply)
{
	if (proto->refusal[0] != '\0')
		return;
	(void)snprintf(proto->refusal, sizeof(proto->refusal), "%s", reply);
	buf_clear(&proto->content);
	proto->ops->abort(proto->ctx);
}

static void
store(struct smtpd_proto *proto, struct slice bytes)
{
	uint64_t limit = config_int(proto->config, proto->service, PARAM_MESSAGE_SIZE_LIMIT);

	if (bytes.len == 0 || proto->refusal[0] != '\0')
		return;
	proto->length += bytes.len;
	if (limit > 0 && proto->length > limit) {
		refuse(proto, "552 5.3.4 Error: message file too big");
		return;
	}
	header_feed(&proto->header, bytes);
	hash_stream_add(proto->hash, bytes);
	buf_add(&proto->content, bytes);
}

static void
emit(struct smtpd_proto *proto, struct slice bytes)
{
	if (!proto->rewrites_header || proto->header_rewrite.is_over) {
		store(proto, bytes);
		return;
	}
	buf_clear(&proto->rewritten);
	header_rewrite_feed(&proto->header_rewrite, proto->config, bytes, &proto->rewritten);
	store(proto, buf_slice(&proto->rewritten));
}

static void
emit_end(struct smtpd_proto *proto)
{
	buf_clear(&proto->rewritten);
	header_rewrite_finish(&proto->header_rewrite, proto->config, &proto->rewritten);
	store(proto, buf_slice(&proto->rewritten));
}

/* A part of a line without LF: each CR in it stands alone. */
static void
emit_text(struct smtpd_proto *proto, struct slice text)
{
	while (text.len > 0) {
		size_t cr = slice_find(text, '\r');

		emit(proto, slice_head(text, cr));
		if (cr == text.len)
			return;
		emit(proto, SLICE_LIT(" "));
		text = slice_from(text, cr + 1);
	}
}

void
smtpd_bare_newline_reply(const struct smtpd_proto *proto, char reply[SMTPD_TEXT_MAX])
{
	unsigned code = (unsigned)config_int(
		proto->config, proto->service, PARAM_SMTPD_FORBID_BARE_NEWLINE_REJECT_CODE);

	(void)snprintf(reply, SMTPD_TEXT_MAX, "%u %u.5.2 Error: bare <LF> received", code,
		code / 100);
}

static void
bare_newline(struct smtpd_proto *proto)
{
	char reply[SMTPD_TEXT_MAX];

	switch (proto->bare_newline) {
	case CONFIG_BARE_NEWLINE_REJECT:
		smtpd_bare_newline_reply(proto, reply);
		refuse(proto, reply);
		proto->refusal_closes = true;
		break;
	case CONFIG_BARE_NEWLINE_NOTE:
		if (proto->is_bare_noted)
			break;
		proto->is_bare_noted = true;
		log_event(proto->log, EV_smtpd_bare_newline, LOG_Z(proto->name),
			LOG_Z(proto->address));
		break;
	case CONFIG_BARE_NEWLINE_NO:
	case CONFIG_BARE_NEWLINE_YES:
	case CONFIG_BARE_NEWLINE_NORMALIZE:
		break;
	}
}

/* A line as it stands in the input, with its LF. */
struct line {
	struct slice text; /* without line end */
	bool crlf;
};

static struct line
line_of(struct slice bytes, size_t newline)
{
	bool crlf = newline > 0 && bytes.ptr[newline - 1] == '\r';

	return (struct line){ slice_head(bytes, newline - crlf), crlf };
}

static bool
is_plain(const struct smtpd_proto *proto, const struct line *line, bool dots)
{
	return line->crlf && !(dots && proto->at_line && line->text.len > 0 &&
				     line->text.ptr[0] == '.') &&
	       memchr(line->text.ptr, '\r', line->text.len) == NULL;
}

/* A line that cannot be passed on as it is. */
static void
emit_line(struct smtpd_proto *proto, const struct line *line, bool dots)
{
	struct slice text = line->text;

	if (!line->crlf)
		bare_newline(proto);
	if (dots && proto->at_line && text.len > 0 && text.ptr[0] == '.')
		text = slice_from(text, 1);
	emit_text(proto, text);
	emit(proto, SLICE_LIT("\r\n"));
}

static bool
is_end_of_data(const struct smtpd_proto *proto, const struct line *line)
{
	return proto->at_line && proto->after_crlf && line->crlf && line->text.len == 1 &&
	       line->text.ptr[0] == '.';
}

/*
 * What is left of the input behind its last LF: passed on but for what may belong to a line end or
 * to the end of data.
 */
static size_t
partial(struct smtpd_proto *proto, struct slice rest, bool dots)
{
	size_t keep = rest.len > 0 && rest.ptr[rest.len - 1] == '\r' ? 1 : 0;
	struct slice text = slice_head(rest, rest.len - keep);

	if (text.len == 0 || (dots && proto->at_line && text.len == 1 && text.ptr[0] == '.'))
		return 0;
	if (dots && proto->at_line && text.ptr[0] == '.')
		emit_text(proto, slice_from(text, 1));
	else
		emit_text(proto, text);
	proto->at_line = false;
	return text.len;
}

/* Returns what was taken; *ret_ended: the end of data was in it. */
static size_t
take_lines(struct smtpd_proto *proto, struct slice bytes, bool dots, bool *ret_ended)
{
	size_t run = 0, at = 0;

	*ret_ended = false;
	while (at < bytes.len) {
		struct slice rest = slice_from(bytes, at);
		size_t newline = slice_find(rest, '\n');

		if (newline == rest.len)
			break;
		struct line line = line_of(rest, newline);

		if (is_plain(proto, &line, dots)) {
			at += newline + 1;
		} else {
			emit(proto, slice_make(bytes.ptr + run, at - run));
			at += newline + 1;
			run = at;
			if (dots && is_end_of_data(proto, &line)) {
				*ret_ended = true;
				return at;
			}
			emit_line(proto, &line, dots);
		}
		proto->at_line = true;
		proto->after_crlf = line.crlf;
	}
	emit(proto, slice_make(bytes.ptr + run, at - run));
	return at + partial(proto, slice_from(bytes, at), dots);
}

void
smtpd_data_begin(struct smtpd_proto *proto)
{
	header_init(&proto->header);
	header_rewrite_begin(&proto->header_rewrite);
	if (proto->hash == NULL)
		proto->hash = hash_stream_new();
	hash_stream_reset(proto->hash);
	buf_clear(&proto->content);
	proto->length = 0;
	proto->at_line = proto->after_crlf = true;
	proto->refusal[0] = '\0';
	proto->refusal_closes = proto->is_bare_noted = false;
}

size_t
smtpd_data_input(struct smtpd_proto *proto, struct slice bytes)
{
	bool ended;
	size_t taken = take_lines(proto, bytes, true, &ended);

	if (ended)
		smtpd_data_end(proto);
	return taken;
}

/* All of a message is here. */
void
smtpd_data_end(struct smtpd_proto *proto)
{
	uint64_t hops = config_int(proto->config, proto->service, PARAM_HOPCOUNT_LIMIT);

	emit_end(proto);
	header_finish(&proto->header);
	if (proto->header.hop_count > hops)
		refuse(proto, "554 5.4.0 Error: too many hops");
	if (proto->refusal[0] != '\0') {
		bool closes = proto->refusal_closes;

		/* A bare LF breaks the protocol; what is too big or goes round is returned. */
		if (smtpd_proto_count_error(
			    proto, closes ? CONFIG_NOTIFY_PROTOCOL : CONFIG_NOTIFY_BOUNCE))
			buf_addf(&proto->out, "%s\r\n", proto->refusal);
		else
			closes = true;
		log_event(proto->log, EV_smtpd_reject, LOG_Z(proto->id_text),
			LOG_Z("END-OF-MESSAGE"), LOG_Z(proto->name), LOG_Z(proto->address),
			LOG_Z(proto->refusal), LOG_S(buf_slice(&proto->sender)), LOG_Z(""),
			LOG_Z(""), LOG_Z(""), LOG_Z(proto->is_esmtp ? "ESMTP" : "SMTP"),
			LOG_Z(proto->helo));
		smtpd_proto_reset(proto);
		proto->state = closes ? SMTPD_CLOSE : SMTPD_COMMAND;
		return;
	}
	proto->state = SMTPD_WAIT;
	proto->ops->commit(proto->ctx);
}

/* The last byte of a chunk may be a CR whose LF comes in the next one. */
size_t
smtpd_bdat_input(struct smtpd_proto *proto, struct slice bytes)
{
	struct slice chunk =
		slice_head(bytes, proto->chunk_left < bytes.len ? proto->chunk_left : bytes.len);
	bool ended, is_all = chunk.len == proto->chunk_left;
	size_t taken = take_lines(proto, chunk, false, &ended);

	if (is_all && taken < chunk.len) {
		emit(proto, SLICE_LIT(" "));
		proto->at_line = false;
		taken = chunk.len;
	}
	proto->chunk_left -= taken;
	if (proto->chunk_left > 0)
		return taken;
	if (proto->refusal[0] == '-') {
		/* A chunk that nobody wanted: its reply was given with the command. */
		proto->refusal[0] = '\0';
		proto->refusal_closes = false;
		proto->state = SMTPD_COMMAND;
		return taken;
	}
	if (proto->chunk_last) {
		if (!proto->at_line)
			emit(proto, SLICE_LIT("\r\n"));
		smtpd_data_end(proto);
		return taken;
	}
	if (proto->refusal[0] != '\0')
		buf_addf(&proto->out, "%s\r\n", proto->refusal);
	else
		buf_addf(&proto->out, "250 2.0.0 Ok: %llu bytes\r\n",
			(unsigned long long)proto->length);
	proto->state = SMTPD_COMMAND;
	return taken;
}
