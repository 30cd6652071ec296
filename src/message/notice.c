/* notice.c - see notice.h */
#include "message/notice.h"

#include "message/date.h"
#include "message/mail_text.h"

enum { WRAP_COLUMN = 78, WRAP_INDENT = 4 };

static void
put_number(struct mail_text *text, uint64_t number)
{
	if (text->err == ERR_OK)
		text->err = buf_printf(text->out, "%llu", (unsigned long long)number);
}

static void
put_header(struct mail_text *text, const struct notice *notice)
{
	char date[DATE_TEXT_SIZE];

	mail_put_str(text, "Date: ");
	mail_put(text, date_format(date, notice->now, NULL));
	mail_put_str(text, "\r\n");
	mail_put_from(text, notice->myhostname, notice->from_obsolete);
	mail_put_str(text, "\r\nTo: ");
	mail_put_address(text, notice->to);
	mail_put_str(text, "\r\nSubject: ");
	mail_put_clean(text, notice->mail_name);
	mail_put_str(text, notice->side == NOTICE_SERVER ? " SMTP server: errors from "
							 : " SMTP client: errors from ");
	mail_put_clean(text, notice->peer);
	mail_put_str(text, "\r\nMessage-ID: ");
	mail_put_id(text, notice->now, notice->notice_id, notice->myhostname);
	mail_put_str(text, "\r\nAuto-Submitted: auto-generated\r\n\r\n");
}

/* A line that is too long goes on in further ones. */
static void
put_wrapped(struct mail_text *text, struct slice line)
{
	size_t room = WRAP_COLUMN;

	while (line.len > room) {
		size_t cut = slice_rfind(slice_head(line, room), ' ');

		if (cut == room || cut < WRAP_INDENT * 2)
			cut = room;
		mail_put_clean(text, slice_head(line, cut));
		mail_put_str(text, "\r\n    ");
		line = slice_from(line, cut < room ? cut + 1 : cut);
		room = WRAP_COLUMN - WRAP_INDENT;
	}
	mail_put_clean(text, line);
	mail_put_str(text, "\r\n");
}

/* A blank in front of each line: what a stranger said must not begin with a dot. */
static void
put_transcript(struct mail_text *text, struct slice rest)
{
	while (rest.len > 0) {
		size_t end = slice_find(rest, '\n');

		mail_put_str(text, " ");
		put_wrapped(text, slice_head(rest, end));
		rest = slice_from(rest, end + 1);
	}
}

static void
put_body(struct mail_text *text, const struct notice *notice)
{
	mail_put_str(text, "This is the mail system at host ");
	mail_put(text, notice->myhostname);
	mail_put_str(text, ".\r\n\r\nThere were errors in a session with ");
	mail_put_clean(text, notice->peer);
	mail_put_str(text, ".\r\nThis was said (Out: by us, In: by the other side):\r\n\r\n");
	put_transcript(text, notice->transcript);
	if (notice->reason.len > 0) {
		mail_put_str(text, "\r\nSession aborted, reason: ");
		mail_put_clean(text, notice->reason);
		mail_put_str(text, "\r\n");
	}
	if (notice->suppressed > 0) {
		mail_put_str(text, "\r\nNotices like this one that were not sent before it: ");
		put_number(text, notice->suppressed);
		mail_put_str(text, "\r\n");
	}
	mail_put_str(text, "\r\nThe log has more.\r\n");
}

enum err
notice_format(const struct notice *notice, struct buf *content, struct notice_facts *ret_facts)
{
	size_t start = content->len, head_end;
	struct mail_text text = { .out = content, .is_ascii = true };

	put_header(&text, notice);
	head_end = content->len;
	put_body(&text, notice);
	if (text.err != ERR_OK) {
		content->len = start;
		return text.err;
	}
	ret_facts->head_length = head_end - start;
	ret_facts->message_id = mail_text_id(&text);
	return ERR_OK;
}
