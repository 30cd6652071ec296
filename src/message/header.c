/*
 * header.c - one pass over content: end of header, field names, facts per line
 */
#include "message/header.h"

#include "message/envelope.h"

#include <string.h>

enum { URGENT = 4 };

static const struct {
	const char *name;
	uint32_t field;
} known_fields[] = {
	{ "from", HEADER_FROM },
	{ "sender", HEADER_SENDER },
	{ "to", HEADER_TO },
	{ "cc", HEADER_CC },
	{ "bcc", HEADER_BCC },
	{ "date", HEADER_DATE },
	{ "subject", HEADER_SUBJECT },
	{ "message-id", HEADER_MESSAGE_ID },
	{ "received", HEADER_RECEIVED },
	{ "delivered-to", HEADER_DELIVERED_TO },
	{ "resent-from", HEADER_RESENT_FROM },
	{ "resent-date", HEADER_RESENT_DATE },
	{ "resent-message-id", HEADER_RESENT_MESSAGE_ID },
	{ "return-path", HEADER_RETURN_PATH },
	{ "auto-submitted", HEADER_AUTO_SUBMITTED },
	{ "priority", HEADER_PRIORITY },
	{ "precedence", HEADER_PRIORITY },
	{ "importance", HEADER_PRIORITY },
	{ "x-priority", HEADER_PRIORITY },
};

void
header_init(struct header *header)
{
	memset(header, 0, sizeof(*header));
}

static uint32_t
field_of(const struct header *header)
{
	struct slice name = slice_make(header->name, header->name_len);

	for (size_t i = 0; i < sizeof(known_fields) / sizeof(known_fields[0]); i++)
		if (slice_equal_nocase_str(name, known_fields[i].name))
			return known_fields[i].field;
	return HEADER_OTHER;
}

static void
begin_line(struct header *header, uint64_t at)
{
	header->line_start = at;
	header->line_len = 0;
	header->line_cr = false;
	header->name_bad = false;
	header->name_blank = false;
	header->name_len = 0;
}

static void
end_header(struct header *header, uint64_t at, bool separator_missing)
{
	header->ended = true;
	header->separator_missing = separator_missing;
	header->head_length = at;
	header->state = HEADER_STATE_BODY;
}

/* A byte of a line that may become a field. */
static void
name_byte(struct header *header, uint8_t byte)
{
	if (byte == ':') {
		if (header->name_len == 0) {
			header->name_bad = true;
			return;
		}
		header->field = field_of(header);
		if ((header->field & HEADER_RECEIVED) && header->hop_count < UINT32_MAX)
			header->hop_count++;
		/* Only the first Message-ID is kept. */
		if (header->field == HEADER_MESSAGE_ID && (header->fields & HEADER_MESSAGE_ID))
			header->field = HEADER_OTHER;
		if (header->field == HEADER_PRIORITY && (header->fields & HEADER_PRIORITY))
			header->field = HEADER_OTHER;
		header->fields |= header->field;
		header->state = HEADER_STATE_VALUE;
	} else if (byte == ' ' || byte == '\t') {
		header->name_blank = true;
	} else if (header->name_blank || byte <= 32 || byte >= 127) {
		header->name_bad = true;
	} else if (header->name_len < HEADER_NAME_MAX) {
		header->name[header->name_len++] = byte;
	}
}

/* Its first word is enough: "1 (Highest)". */
static void
priority_byte(struct header *header, uint8_t byte)
{
	bool is_blank = byte == ' ' || byte == '\t' || byte == '\r';

	if (header->priority_len == 0 && is_blank)
		return;
	if (header->priority_len < HEADER_PRIORITY_MAX)
		header->priority[header->priority_len++] = is_blank ? ' ' : byte;
}

static bool
is_one_of(struct slice word, const char *const *words)
{
	for (; *words != NULL; words++)
		if (slice_equal_nocase_str(word, *words))
			return true;
	return false;
}

uint8_t
header_priority(const struct header *header, bool may_hurry)
{
	static const char *const urgent[] = { "urgent", "high", "1", "2", NULL };
	static const char *const lazy[] = { "non-urgent", "low", "bulk", "list", "junk", "4", "5",
		NULL };
	struct slice text = slice_make(header->priority, header->priority_len), word;

	if (!slice_word(&text, " ", &word))
		return 0;
	if (is_one_of(word, urgent))
		return may_hurry ? ENVELOPE_PRIORITY_ZERO + URGENT : 0;
	return is_one_of(word, lazy) ? ENVELOPE_PRIORITY_ZERO - URGENT : 0;
}

static void
value_byte(struct header *header, uint8_t byte)
{
	if (header->field == HEADER_PRIORITY)
		priority_byte(header, byte);
	if (header->field != HEADER_MESSAGE_ID || byte == '\r')
		return;
	if (byte == '\t')
		byte = ' ';
	if (header->message_id_len == 0 && byte == ' ')
		return;
	if (header->message_id_len < HEADER_MESSAGE_ID_MAX)
		header->message_id[header->message_id_len++] = byte;
}

/* The first byte of a header line decides: continuation, field or no header at all. */
static void
first_byte(struct header *header, uint8_t byte)
{
	bool blank = byte == ' ' || byte == '\t';

	if (byte == '.')
		header->dotted = true;
	if (header->state == HEADER_STATE_BODY)
		return;
	if (blank && header->fields != 0)
		header->state = HEADER_STATE_VALUE;
	else
		header->state = HEADER_STATE_NAME;
	if (blank && header->fields == 0)
		header->name_bad = true;
}

static void
end_line(struct header *header, uint64_t next)
{
	uint64_t len = header->line_len - (header->line_cr ? 1 : 0);

	if (len > header->line_longest)
		header->line_longest = len;
	if (header->state != HEADER_STATE_BODY) {
		if (len == 0)
			end_header(header, next, false);
		else if (header->state == HEADER_STATE_NAME)
			end_header(header, header->line_start, true);
	}
	begin_line(header, next);
}

static void
header_byte(struct header *header, uint8_t byte)
{
	if (header->line_len == 0)
		first_byte(header, byte);
	if (header->state == HEADER_STATE_NAME && byte != '\r')
		name_byte(header, byte);
	else if (header->state == HEADER_STATE_VALUE)
		value_byte(header, byte);
	if (header->state == HEADER_STATE_NAME && header->name_bad)
		end_header(header, header->line_start, true);
	header->line_len++;
	header->line_cr = byte == '\r';
	if (byte > 127)
		header->header_eight_bit = header->eight_bit = true;
}

static bool
has_eight_bit(const uint8_t *ptr, size_t len)
{
	uint64_t word;

	for (; len >= 8; ptr += 8, len -= 8) {
		memcpy(&word, ptr, 8);
		if (word & UINT64_C(0x8080808080808080))
			return true;
	}
	for (; len > 0; ptr++, len--)
		if (*ptr > 127)
			return true;
	return false;
}

/* The body is looked at a line at a time. */
static void
body_feed(struct header *header, struct slice bytes)
{
	if (!header->eight_bit)
		header->eight_bit = has_eight_bit(bytes.ptr, bytes.len);
	while (bytes.len > 0) {
		size_t len = slice_find(bytes, '\n');

		if (header->line_len == 0 && bytes.ptr[0] == '.')
			header->dotted = true;
		header->line_len += len;
		header->length += len;
		if (len > 0)
			header->line_cr = bytes.ptr[len - 1] == '\r';
		if (len == bytes.len)
			return;
		header->length++;
		end_line(header, header->length);
		bytes = slice_from(bytes, len + 1);
	}
}

void
header_feed(struct header *header, struct slice bytes)
{
	while (bytes.len > 0 && header->state != HEADER_STATE_BODY) {
		uint8_t byte = bytes.ptr[0];

		bytes = slice_from(bytes, 1);
		header->length++;
		if (byte == '\n')
			end_line(header, header->length);
		else
			header_byte(header, byte);
	}
	if (bytes.len > 0)
		body_feed(header, bytes);
}

void
header_finish(struct header *header)
{
	if (header->line_len > 0 && header->line_len > header->line_longest)
		header->line_longest = header->line_len;
	if (header->ended)
		return;
	if (header->line_len > 0 && header->state == HEADER_STATE_NAME)
		end_header(header, header->line_start, true);
	else
		end_header(header, header->length, true);
}

struct slice
header_message_id(const struct header *header)
{
	size_t len = header->message_id_len;

	while (len > 0 && header->message_id[len - 1] == ' ')
		len--;
	return slice_make(header->message_id, len);
}
