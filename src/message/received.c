/* received.c - see received.h */
#include "message/received.h"

#include "base/log.h"
#include "message/address.h"
#include "message/utf8.h"

/* What of a stranger's text would end a comment, a field or a token. */
static bool
is_harmful(uint8_t byte, bool in_comment)
{
	return byte < ' ' || byte == 127 ||
	       (in_comment && (byte == '(' || byte == ')' || byte == '\\'));
}

static enum err
append_text(struct buf *head, struct slice text, bool in_comment)
{
	uint8_t clean[RECEIVED_TEXT_MAX];
	size_t len = text.len > sizeof(clean) ? utf8_cut(text, sizeof(clean)) : text.len;

	for (size_t i = 0; i < len; i++)
		clean[i] = is_harmful(text.ptr[i], in_comment) ? '?' : text.ptr[i];
	return buf_append(head, slice_make(clean, len));
}

/* An address in its external form; what is none is cleaned and shown as it is. */
static enum err
append_address(struct buf *head, struct slice address)
{
	size_t start = head->len;
	enum err err = address_format(address, head);

	if (err != ERR_SYNTAX)
		return err;
	head->len = start;
	return append_text(head, address, false);
}

static enum err
append_origin(const struct received *received, struct buf *head)
{
	enum err err = buf_append_str(head, "from ");

	if (err == ERR_OK)
		err = append_text(head, received->helo.len > 0 ? received->helo
							       : received->client_address, false);
	if (err == ERR_OK)
		err = buf_append_str(head, " (");
	if (err == ERR_OK)
		err = append_text(head, received->client_name, true);
	if (err == ERR_OK)
		err = buf_append_str(head, " [");
	if (err == ERR_OK)
		err = append_text(head, received->client_address, true);
	return err == ERR_OK ? buf_append_str(head, "])\r\n\t") : err;
}

/* "by HOST (NAME) with PROTOCOL id ID", or for a user of this machine with its uid. */
static enum err
append_receiver(const struct received *received, struct buf *head)
{
	enum err err = buf_printf(head, "by %" SLICE_FMT " (%" SLICE_FMT,
		SLICE_ARG(received->myhostname), SLICE_ARG(received->mail_name));

	if (err == ERR_OK && received->local)
		err = buf_printf(head, ", from userid %u)\r\n\tid ", (unsigned)received->uid);
	else if (err == ERR_OK)
		err = buf_printf(
			head, ") with %" SLICE_FMT " id ", SLICE_ARG(received->protocol));
	return err == ERR_OK ? buf_append(head, received->queue_id) : err;
}

enum err
received_format(const struct received *received, struct buf *head)
{
	size_t start = head->len;
	char date[DATE_TEXT_SIZE];
	enum err err = buf_append_str(head, "Received: ");

	if (err == ERR_OK && !received->local)
		err = append_origin(received, head);
	if (err == ERR_OK)
		err = append_receiver(received, head);
	if (err == ERR_OK && received->recipient.len > 0) {
		err = buf_append_str(head, "\r\n\tfor <");
		if (err == ERR_OK)
			err = append_address(head, received->recipient);
		if (err == ERR_OK)
			err = buf_append_str(head, ">");
	}
	if (err == ERR_OK)
		err = buf_append_str(head, "; ");
	if (err == ERR_OK)
		err = buf_append(head, date_format(date, received->at, received->zone));
	if (err == ERR_OK)
		err = buf_append_str(head, "\r\n");
	if (err == ERR_OK && head->len - start > RECEIVED_MAX)
		err = ERR_LIMIT;
	if (err != ERR_OK)
		head->len = start;
	return err;
}

enum err
received_format_message_id(struct buf *head, struct wall at, struct slice queue_id,
	struct slice myhostname, struct slice *ret_value)
{
	static const char name[] = "Message-ID: ";
	char stamp[DATE_STAMP_SIZE];
	struct slice text = date_stamp(stamp, at);
	size_t start = head->len;
	enum err err = buf_printf(head,
		"%s<%" SLICE_FMT ".%" SLICE_FMT "@%" SLICE_FMT ">\r\n", name, SLICE_ARG(text),
		SLICE_ARG(queue_id), SLICE_ARG(myhostname));

	if (err == ERR_OK && ret_value != NULL) {
		size_t skip = start + sizeof(name) - 1;

		*ret_value = slice_make(head->ptr + skip, head->len - skip - 2);
	}
	return err;
}

enum err
received_format_date(struct buf *head, struct wall at, const struct date_zone *zone)
{
	char date[DATE_TEXT_SIZE];

	return buf_printf(
		head, "Date: %" SLICE_FMT "\r\n", SLICE_ARG(date_format(date, at, zone)));
}

/* A display name as a quoted string; bytes that end one are escaped. */
static enum err
append_quoted(struct buf *head, struct slice name)
{
	size_t len = name.len > RECEIVED_TEXT_MAX ? utf8_cut(name, RECEIVED_TEXT_MAX) : name.len;
	enum err err = buf_append_byte(head, '"');

	for (size_t i = 0; err == ERR_OK && i < len; i++) {
		uint8_t byte = is_harmful(name.ptr[i], false) ? '?' : name.ptr[i];

		if (byte == '"' || byte == '\\')
			err = buf_append_byte(head, '\\');
		if (err == ERR_OK)
			err = buf_append_byte(head, byte);
	}
	return err == ERR_OK ? buf_append_str(head, "\" ") : err;
}

enum err
received_format_from(struct buf *head, struct slice sender, struct slice full_name)
{
	size_t start = head->len;
	enum err err = buf_append_str(head, "From: ");

	if (err == ERR_OK && full_name.len > 0)
		err = append_quoted(head, full_name);
	if (err == ERR_OK && full_name.len > 0)
		err = buf_append_byte(head, '<');
	if (err == ERR_OK)
		err = sender.len == 0 ? buf_append_str(head, "MAILER-DAEMON")
				      : append_address(head, sender);
	if (err == ERR_OK)
		err = buf_append_str(head, full_name.len > 0 ? ">\r\n" : "\r\n");
	if (err != ERR_OK)
		head->len = start;
	return err;
}
