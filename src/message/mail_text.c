/* mail_text.c - see mail_text.h */
#include "message/mail_text.h"

#include "message/address.h"
#include "message/date.h"

void
mail_put(struct mail_text *text, struct slice bytes)
{
	if (text->err == ERR_OK)
		text->err = buf_append(text->out, bytes);
}

void
mail_put_str(struct mail_text *text, const char *string)
{
	mail_put(text, slice_str(string));
}

static bool
is_clean(const struct mail_text *text, uint8_t byte)
{
	return byte >= ' ' && byte != 127 && (byte < 127 || !text->is_ascii);
}

void
mail_put_clean(struct mail_text *text, struct slice words)
{
	for (size_t i = 0; i < words.len && text->err == ERR_OK; i++)
		text->err = buf_append_byte(
			text->out, is_clean(text, words.ptr[i]) ? words.ptr[i] : '?');
}

void
mail_put_address(struct mail_text *text, struct slice address)
{
	enum err err;

	if (text->err != ERR_OK)
		return;
	err = address_format(address, text->out);
	if (err == ERR_SYNTAX)
		mail_put_clean(text, address);
	else
		text->err = err;
}

void
mail_put_from(struct mail_text *text, struct slice hostname, bool is_obsolete)
{
	mail_put_str(text, is_obsolete ? "From: MAILER-DAEMON@"
				       : "From: Mail Delivery System <MAILER-DAEMON@");
	mail_put(text, hostname);
	mail_put_str(text, is_obsolete ? " (Mail Delivery System)" : ">");
}

void
mail_put_id(struct mail_text *text, struct wall now, struct slice queue_id, struct slice hostname)
{
	char stamp[DATE_STAMP_SIZE];

	text->id_start = text->out->len;
	mail_put_str(text, "<");
	mail_put(text, date_stamp(stamp, now));
	mail_put_str(text, ".");
	mail_put(text, queue_id);
	mail_put_str(text, "@");
	mail_put(text, hostname);
	mail_put_str(text, ">");
	text->id_end = text->out->len;
}

struct slice
mail_text_id(const struct mail_text *text)
{
	return slice_make(text->out->ptr + text->id_start, text->id_end - text->id_start);
}
