/* notice.c - see notice.h */
#include "message/notice.h"

#include "message/address.h"
#include "message/date.h"

enum { WRAP_COLUMN = 78, WRAP_INDENT = 4 };

/* All writing goes through one struct that remembers the first error. */
struct writer {
	struct buf *out;
	enum err err;
};

static void
put(struct writer *writer, struct slice bytes)
{
	if (writer->err == ERR_OK)
		writer->err = buf_append(writer->out, bytes);
}

static void
put_str(struct writer *writer, const char *text)
{
	put(writer, slice_str(text));
}

/* Text of a stranger stays in its line. */
static void
put_clean(struct writer *writer, struct slice text)
{
	for (size_t i = 0; i < text.len && writer->err == ERR_OK; i++) {
		uint8_t byte = text.ptr[i];

		writer->err = buf_append_byte(writer->out, byte < ' ' || byte > 126 ? '?' : byte);
	}
}

static void
put_number(struct writer *writer, uint64_t number)
{
	if (writer->err == ERR_OK)
		writer->err = buf_printf(writer->out, "%llu", (unsigned long long)number);
}

static void
put_address(struct writer *writer, struct slice address)
{
	if (writer->err != ERR_OK)
		return;
	enum err err = address_format(address, writer->out);

	if (err == ERR_SYNTAX)
		put_clean(writer, address);
	else
		writer->err = err;
}

static void
put_header(struct writer *writer, const struct notice *notice, size_t *ret_id, size_t *ret_id_end)
{
	char date[DATE_TEXT_SIZE], stamp[DATE_STAMP_SIZE];
	bool is_obsolete = notice->from_obsolete;

	put_str(writer, "Date: ");
	put(writer, date_format(date, notice->now, NULL));
	put_str(writer, is_obsolete ? "\r\nFrom: MAILER-DAEMON@"
				    : "\r\nFrom: Mail Delivery System <MAILER-DAEMON@");
	put(writer, notice->myhostname);
	put_str(writer, is_obsolete ? " (Mail Delivery System)\r\nTo: " : ">\r\nTo: ");
	put_address(writer, notice->to);
	put_str(writer, "\r\nSubject: ");
	put_clean(writer, notice->mail_name);
	put_str(writer, notice->side == NOTICE_SERVER ? " SMTP server: errors from "
						      : " SMTP client: errors from ");
	put_clean(writer, notice->peer);
	put_str(writer, "\r\nMessage-ID: ");
	*ret_id = writer->out->len;
	put_str(writer, "<");
	put(writer, date_stamp(stamp, notice->now));
	put_str(writer, ".");
	put(writer, notice->notice_id);
	put_str(writer, "@");
	put(writer, notice->myhostname);
	put_str(writer, ">");
	*ret_id_end = writer->out->len;
	put_str(writer, "\r\nAuto-Submitted: auto-generated\r\n\r\n");
}

/* A line that is too long goes on in further ones. */
static void
put_wrapped(struct writer *writer, struct slice line)
{
	size_t room = WRAP_COLUMN;

	while (line.len > room) {
		size_t cut = slice_rfind(slice_head(line, room), ' ');

		if (cut == room || cut < WRAP_INDENT * 2)
			cut = room;
		put_clean(writer, slice_head(line, cut));
		put_str(writer, "\r\n    ");
		line = slice_from(line, cut < room ? cut + 1 : cut);
		room = WRAP_COLUMN - WRAP_INDENT;
	}
	put_clean(writer, line);
	put_str(writer, "\r\n");
}

/* A blank in front of each line: what a stranger said must not begin with a dot. */
static void
put_transcript(struct writer *writer, struct slice text)
{
	while (text.len > 0) {
		size_t end = slice_find(text, '\n');

		put_str(writer, " ");
		put_wrapped(writer, slice_head(text, end));
		text = slice_from(text, end + 1);
	}
}

static void
put_body(struct writer *writer, const struct notice *notice)
{
	put_str(writer, "This is the mail system at host ");
	put(writer, notice->myhostname);
	put_str(writer, ".\r\n\r\nThere were errors in a session with ");
	put_clean(writer, notice->peer);
	put_str(writer, ".\r\nThis was said (Out: by us, In: by the other side):\r\n\r\n");
	put_transcript(writer, notice->transcript);
	if (notice->reason.len > 0) {
		put_str(writer, "\r\nSession aborted, reason: ");
		put_clean(writer, notice->reason);
		put_str(writer, "\r\n");
	}
	if (notice->suppressed > 0) {
		put_str(writer, "\r\nNotices like this one that were not sent before it: ");
		put_number(writer, notice->suppressed);
		put_str(writer, "\r\n");
	}
	put_str(writer, "\r\nThe log has more.\r\n");
}

enum err
notice_format(const struct notice *notice, struct buf *content, struct notice_facts *ret_facts)
{
	size_t start = content->len, id = 0, id_end = 0, head_end;
	struct writer writer = { .out = content };

	put_header(&writer, notice, &id, &id_end);
	head_end = content->len;
	put_body(&writer, notice);
	if (writer.err != ERR_OK) {
		content->len = start;
		return writer.err;
	}
	ret_facts->head_length = head_end - start;
	ret_facts->message_id = slice_make(content->ptr + id, id_end - id);
	return ERR_OK;
}
