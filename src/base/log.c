/*
 * log.c - from an event to one harmless line (see log.h)
 */
#include "base/log.h"

#include "base/check.h"

#include <stdio.h>

struct log_row {
	const char *name;
	enum log_level level;
	const char *format;
	const char *meaning;
};

static const struct log_row log_rows[] = {
#define EVENT(name, level, format, meaning) { #name, LOG_##level, format, meaning },
#include "base/log_events.def"
#undef EVENT
};

_Static_assert(sizeof(log_rows) / sizeof(log_rows[0]) == EV_COUNT, "one row per event");

static const struct log_row *
log_row(enum log_event_id id)
{
	CHECK(id < EV_COUNT);
	return &log_rows[id];
}

const char *
log_event_name(enum log_event_id id)
{
	return log_row(id)->name;
}

const char *
log_event_format(enum log_event_id id)
{
	return log_row(id)->format;
}

const char *
log_event_meaning(enum log_event_id id)
{
	return log_row(id)->meaning;
}

enum log_level
log_event_level(enum log_event_id id)
{
	return log_row(id)->level;
}

const char *
log_level_prefix(enum log_level level)
{
	switch (level) {
	case LOG_DEBUG:
	case LOG_INFO:
		return "";
	case LOG_WARNING:
		return "warning: ";
	case LOG_ERROR:
		return "error: ";
	case LOG_FATAL:
		return "fatal: ";
	case LOG_PANIC:
		return "panic: ";
	}
	return "";
}

/* Length of the valid UTF-8 sequence at the front of s, with its code point; 0: none. */
static size_t
log_utf8_len(struct slice s, uint32_t *ret_code)
{
	uint8_t lead = s.ptr[0];
	size_t len = lead >= 0xf0 && lead <= 0xf4 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
	uint32_t code = lead & (0x7fu >> len);

	if (len == 0 || lead > 0xf4 || s.len < len)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((s.ptr[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s.ptr[i] & 0x3fu);
	}
	if ((len == 3 && code < 0x800) || (len == 4 && (code < 0x10000 || code > 0x10ffff))
		|| (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return len;
}

/* C1 controls, line separators and marks that change the direction of text can fake a line. */
static bool
log_code_is_harmful(uint32_t code)
{
	return code < 0xa0 || (code >= 0x200b && code <= 0x200f)
	       || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f)
	       || code == 0xfeff || code == 0x061c;
}

size_t
log_clean(char *to, size_t max, struct slice text)
{
	size_t used = 0, i = 0;

	while (i < text.len && used < max) {
		uint8_t byte = text.ptr[i];
		uint32_t code = 0;
		size_t len;

		if (byte >= 32 && byte < 127) {
			to[used++] = (char)byte;
			i++;
			continue;
		}
		len = byte >= 0x80 ? log_utf8_len(slice_from(text, i), &code) : 0;
		if (len == 0 || log_code_is_harmful(code)) {
			to[used++] = '?';
			i += len > 0 ? len : 1;
			continue;
		}
		if (used + len > max)
			break;
		memcpy(to + used, text.ptr + i, len);
		used += len;
		i += len;
	}
	return used;
}

static size_t
log_put_u64(char *to, size_t room, uint64_t value)
{
	char digits[20];
	size_t len = 0;

	do {
		digits[len++] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	if (len > room)
		return 0;
	for (size_t i = 0; i < len; i++)
		to[i] = digits[len - 1 - i];
	return len;
}

static size_t
log_put_field(char *to, size_t room, const struct log_field *field)
{
	switch (field->kind) {
	case LOG_FIELD_TEXT:
		return log_clean(to, room < LOG_FIELD_MAX ? room : LOG_FIELD_MAX, field->text);
	case LOG_FIELD_U64:
		return log_put_u64(to, room, field->number);
	case LOG_FIELD_I64:
		if ((int64_t)field->number < 0 && room > 1) {
			to[0] = '-';
			return 1 + log_put_u64(to + 1, room - 1, 0 - field->number);
		}
		return log_put_u64(to, room, field->number);
	}
	return 0;
}

void
log_event_fields(
	struct log *log, enum log_event_id id, const struct log_field *fields, size_t count)
{
	const struct log_row *row = log_row(id);
	char text[LOG_LINE_MAX];
	size_t used = 0, next = 0;

	for (const char *at = row->format; *at != '\0' && used < sizeof(text); at++) {
		if (at[0] == '{' && at[1] == '}') {
			CHECK(next < count);
			used += log_put_field(text + used, sizeof(text) - used, &fields[next++]);
			at++;
		} else {
			text[used++] = *at;
		}
	}
	CHECK(next == count || used == sizeof(text));
	log->counts[id]++;
	log->line(log, id, row->level, slice_make(text, used));
}

static void
log_line_null(struct log *log, enum log_event_id id, enum log_level level, struct slice text)
{
	(void)log;
	(void)id;
	(void)level;
	(void)text;
}

void
log_init_null(struct log *log)
{
	*log = (struct log){ .line = log_line_null };
}
