/*
 * smtp_reply.c - the replies of a server, line by line (see smtp_reply.h)
 */
#include "smtp/smtp_reply.h"

#include "base/ascii.h"

void
smtp_reply_init(struct smtp_reply *reply)
{
	memset(reply, 0, sizeof(*reply));
}

struct slice
smtp_reply_line(const struct smtp_reply *reply)
{
	return slice_from(slice_make(reply->line, reply->line_len), 4);
}

struct slice
smtp_reply_text(const struct smtp_reply *reply)
{
	return slice_make(reply->text, reply->text_len);
}

static void
smtp_reply_keep(struct smtp_reply *reply, uint8_t byte)
{
	if (reply->text_len < sizeof(reply->text))
		reply->text[reply->text_len++] = byte >= 32 && byte != 127 ? byte : '?';
}

/* One to three digits of an enhanced code (RFC 3463); the length, or 0. */
static size_t
smtp_reply_digits(struct slice text)
{
	size_t len = 0;

	while (len < text.len && len < 4 && ascii_is_digit(text.ptr[len]))
		len++;
	return len <= 3 ? len : 0;
}

/* Takes the enhanced code of the first line if its class fits the code, else x.0.0. */
static void
smtp_reply_set_dsn(struct smtp_reply *reply)
{
	struct slice line = smtp_reply_line(reply);
	size_t len = 0;

	memcpy(reply->dsn, "0.0.0", sizeof("0.0.0"));
	reply->dsn[0] = (char)('0' + reply->code / 100);
	for (int part = 0; part < 3; part++) {
		size_t digits = smtp_reply_digits(slice_from(line, len));

		if (digits == 0 || (part == 0 && digits != 1))
			return;
		len += digits;
		if (part < 2 && (len >= line.len || line.ptr[len++] != '.'))
			return;
	}
	if (len < line.len && line.ptr[len] != ' ')
		return;
	if (line.ptr[0] - '0' != (int)(reply->code / 100))
		return;
	memcpy(reply->dsn, line.ptr, len);
	reply->dsn[len] = '\0';
}

static enum smtp_reply_step
smtp_reply_fail(struct smtp_reply *reply)
{
	reply->bad = true;
	return SMTP_REPLY_BAD;
}

static enum smtp_reply_step
smtp_reply_finish_line(struct smtp_reply *reply)
{
	const uint8_t *line = reply->line;
	unsigned code;
	bool more;

	if (reply->line_len > 0 && line[reply->line_len - 1] == '\r')
		reply->line_len--;
	if (reply->line_len < 3 || line[0] < '2' || line[0] > '5' || !ascii_is_digit(line[1]) ||
		!ascii_is_digit(line[2]))
		return smtp_reply_fail(reply);
	if (reply->line_len > 3 && line[3] != ' ' && line[3] != '-')
		return smtp_reply_fail(reply);
	code = (unsigned)(line[0] - '0') * 100 + (unsigned)(line[1] - '0') * 10 +
		(unsigned)(line[2] - '0');
	more = reply->line_len > 3 && line[3] == '-';
	if (reply->line_count > 0 && code != reply->code)
		return smtp_reply_fail(reply);
	if (++reply->line_count > SMTP_REPLY_LINES_MAX)
		return smtp_reply_fail(reply);
	reply->code = code;
	if (reply->line_count == 1)
		smtp_reply_set_dsn(reply);
	else
		smtp_reply_keep(reply, ' ');
	for (size_t i = 0; i < reply->line_len; i++)
		smtp_reply_keep(reply, line[i]);
	reply->done = !more;
	return more ? SMTP_REPLY_LINE : SMTP_REPLY_DONE;
}

enum smtp_reply_step
smtp_reply_feed(struct smtp_reply *reply, struct slice bytes, size_t *ret_taken)
{
	size_t taken = 0;

	*ret_taken = 0;
	if (reply->bad)
		return SMTP_REPLY_BAD;
	if (bytes.len == 0)
		return SMTP_REPLY_MORE;
	if (reply->done)
		smtp_reply_init(reply);
	else if (reply->line_ended)
		reply->line_len = 0;
	reply->line_ended = false;
	while (taken < bytes.len) {
		uint8_t byte = bytes.ptr[taken++];

		*ret_taken = taken;
		if (byte == '\n') {
			reply->line_ended = true;
			return smtp_reply_finish_line(reply);
		}
		if (byte == '\0' || reply->line_len == sizeof(reply->line))
			return smtp_reply_fail(reply);
		reply->line[reply->line_len++] = byte;
	}
	return SMTP_REPLY_MORE;
}
