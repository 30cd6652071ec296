/*
 * smtp_reply.h - reads the replies of a server, which may be hostile
 *
 * Bytes go in as they come, one finished line at a time comes out (RFC 5321 4.2). Strict: three
 * digits 2yz to 5yz, the same code in all lines, blank, '-' or end of line behind it, no NUL. A
 * bare LF ends a line as CRLF does; no CR, LF or control byte ever enters the kept text.
 *
 * Ownership: the struct is embedded; everything in it is valid until the next feed.
 * Limits:    SMTP_REPLY_LINE_MAX bytes a line, SMTP_REPLY_LINES_MAX lines; of the text the first
 *            SMTP_REPLY_TEXT_MAX bytes are kept.
 * Errors:    SMTP_REPLY_BAD is final: the session cannot be used any more.
 * Threads:   none; pure.
 */
#ifndef OSTLER_SMTP_SMTP_REPLY_H
#define OSTLER_SMTP_SMTP_REPLY_H

#include "base/slice.h"

enum { SMTP_REPLY_LINE_MAX = 2048, SMTP_REPLY_LINES_MAX = 128, SMTP_REPLY_TEXT_MAX = 1024 };
enum { SMTP_REPLY_DSN_SIZE = 12 };

enum smtp_reply_step {
	SMTP_REPLY_MORE, /* all bytes are taken, the line is not complete */
	SMTP_REPLY_LINE, /* a line that others follow */
	SMTP_REPLY_DONE, /* the last line: code, text and dsn are valid */
	SMTP_REPLY_BAD,
};

struct smtp_reply {
	unsigned code;
	unsigned line_count;
	size_t line_len;
	size_t text_len;
	bool done;
	bool line_ended;
	bool bad;
	char dsn[SMTP_REPLY_DSN_SIZE]; /* x.y.z, of the server or made of the code: x.0.0 */
	uint8_t line[SMTP_REPLY_LINE_MAX];
	uint8_t text[SMTP_REPLY_TEXT_MAX]; /* all lines with their codes, joined by blanks */
};

void smtp_reply_init(struct smtp_reply *reply);

/* Takes bytes up to the end of a line; says how many. After DONE a new reply begins by itself. */
enum smtp_reply_step smtp_reply_feed(
	struct smtp_reply *reply, struct slice bytes, size_t *ret_taken);

/* The line just finished, without code and separator. */
struct slice smtp_reply_line(const struct smtp_reply *reply);

/* The kept text of the reply. */
struct slice smtp_reply_text(const struct smtp_reply *reply);

#endif
