/*
 * reply.c - an SMTP reply as data (see reply.h)
 */
#include "message/reply.h"

#include "base/ascii.h"
#include "base/check.h"
#include "message/utf8.h"

#include <stdarg.h>
#include <stdio.h>

/* Copies with control bytes as blanks, cut at REPLY_TEXT_MAX. */
static void
reply_set_text(struct reply *reply, struct slice text)
{
	size_t len = utf8_cut(text, REPLY_TEXT_MAX);

	for (size_t i = 0; i < len; i++) {
		uint8_t byte = text.ptr[i];

		reply->text[i] = byte < 32 || byte == 127 ? ' ' : (char)byte;
	}
	reply->text[len] = '\0';
}

void
reply_set(struct reply *ret_reply, unsigned code, const char *status, const char *format, ...)
{
	struct slice status_text = slice_str(status);
	char text[REPLY_TEXT_MAX * 2];
	va_list args;
	int len;

	CHECK(code >= 200 && code <= 599);
	CHECK(status_text.len == 0 || dsn_status_valid(status_text));
	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	CHECK(len >= 0);
	*ret_reply = (struct reply){ .code = (uint16_t)code };
	memcpy(ret_reply->status, status_text.ptr, status_text.len);
	reply_set_text(ret_reply, slice_str(text));
}

enum err
reply_parse(struct slice line, struct reply *ret_reply)
{
	struct reply reply = { 0 };
	size_t status_len;

	if (line.len < 3 || line.ptr[0] < '2' || line.ptr[0] > '5' || !ascii_is_digit(line.ptr[1])
	    || !ascii_is_digit(line.ptr[2]))
		return ERR_SYNTAX;
	if (line.len > 3 && line.ptr[3] != ' ' && line.ptr[3] != '-')
		return ERR_SYNTAX;
	reply.code = (uint16_t)((line.ptr[0] - '0') * 100 + (line.ptr[1] - '0') * 10
		+ (line.ptr[2] - '0'));
	line = slice_trim(slice_from(line, 4));
	/* A status that contradicts its code is text, nothing to decide by. */
	status_len = dsn_status_length(line);
	if (status_len > 0 && line.ptr[0] - '0' == reply.code / 100
	    && (status_len == line.len || line.ptr[status_len] == ' ')) {
		memcpy(reply.status, line.ptr, status_len);
		line = slice_trim(slice_from(line, status_len));
	}
	reply_set_text(&reply, line);
	*ret_reply = reply;
	return ERR_OK;
}

enum err
reply_format(const struct reply *reply, struct buf *out)
{
	return buf_printf(out, "%u %s%s%s\r\n", (unsigned)reply->code, reply->status,
		reply->status[0] != '\0' ? " " : "", reply->text);
}

void
reply_status(const struct reply *reply, char ret_status[DSN_STATUS_MAX + 1])
{
	if (reply->status[0] != '\0')
		memcpy(ret_status, reply->status, DSN_STATUS_MAX + 1);
	else
		/* 3xx in the place of a final answer is the peer's error: not for now. */
		(void)snprintf(ret_status, DSN_STATUS_MAX + 1, "%c.0.0",
			reply->code / 100 == 3 ? '4' : '0' + reply->code / 100);
}
