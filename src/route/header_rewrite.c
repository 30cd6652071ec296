/* header_rewrite.c - see header_rewrite.h */
#include "route/header_rewrite.h"

#include "base/ascii.h"
#include "message/address.h"
#include "message/address_list.h"
#include "route/canonical.h"

static const struct {
	const char *name;
	enum canonical_class class;
} address_fields[] = {
	{ "from", CANONICAL_HEADER_SENDER },
	{ "to", CANONICAL_HEADER_RECIPIENT },
	{ "cc", CANONICAL_HEADER_RECIPIENT },
	{ "bcc", CANONICAL_HEADER_RECIPIENT },
	{ "sender", CANONICAL_HEADER_SENDER },
	{ "reply-to", CANONICAL_HEADER_SENDER },
	{ "errors-to", CANONICAL_HEADER_SENDER },
	{ "apparently-to", CANONICAL_HEADER_RECIPIENT },
	{ "mail-followup-to", CANONICAL_HEADER_SENDER },
	{ "mail-reply-to", CANONICAL_HEADER_SENDER },
	{ "disposition-notification-to", CANONICAL_HEADER_SENDER },
	{ "return-receipt-to", CANONICAL_HEADER_SENDER },
	{ "resent-from", CANONICAL_HEADER_SENDER },
	{ "resent-sender", CANONICAL_HEADER_SENDER },
	{ "resent-to", CANONICAL_HEADER_RECIPIENT },
	{ "resent-cc", CANONICAL_HEADER_RECIPIENT },
	{ "resent-bcc", CANONICAL_HEADER_RECIPIENT },
	{ "resent-reply-to", CANONICAL_HEADER_RECIPIENT },
};

/* --- one field -------------------------------------------------------------------------------- */

struct field {
	const struct config *config;
	enum canonical_class class;
	const uint8_t *from; /* of the field: not yet copied */
	struct buf text;
};

/* An address that cannot be rewritten stays as it is: the message is not to fail for that. */
static enum err
field_address(void *ctx, struct slice address, struct slice place)
{
	struct field *field = ctx;
	struct buf now, external;
	enum err err;

	buf_init(&now, 0);
	buf_init(&external, 0);
	err = canonical_rewrite(field->config, field->class, address, &now, NULL);
	if (err == ERR_OK && !slice_equal(buf_slice(&now), address))
		err = address_format(buf_slice(&now), &external);
	if (err == ERR_OK && external.len > 0) {
		err = buf_append(&field->text,
			slice_make(field->from, (size_t)(place.ptr - field->from)));
		if (err == ERR_OK)
			err = buf_append(&field->text, buf_slice(&external));
		field->from = place.ptr + place.len;
	} else if (err != ERR_NOMEM) {
		err = ERR_OK;
	}
	buf_done(&now);
	buf_done(&external);
	return err;
}

static enum canonical_class
field_class(struct slice name)
{
	while (name.len > 0 && ascii_is_space(name.ptr[name.len - 1]))
		name.len--;
	for (size_t i = 0; i < sizeof(address_fields) / sizeof(address_fields[0]); i++)
		if (slice_equal_nocase_str(name, address_fields[i].name))
			return address_fields[i].class;
	return (enum canonical_class)0;
}

/* `text`: all lines of a field. */
static void
put_field(const struct config *config, struct slice text, struct buf *to)
{
	size_t colon = slice_find(text, ':');
	struct field field = { .config = config,
		.class = field_class(slice_head(text, colon)),
		.from = text.ptr };
	enum err err = ERR_NOTFOUND;

	buf_init(&field.text, HEADER_REWRITE_MAX);
	if (field.class != 0)
		err = address_list_parse(slice_from(text, colon + 1), field_address, &field);
	if (err == ERR_OK && field.from > text.ptr)
		err = buf_append(&field.text,
			slice_from(text, (size_t)(field.from - text.ptr)));
	if (err == ERR_OK && field.text.len > 0)
		buf_add(to, buf_slice(&field.text));
	else
		buf_add(to, text);
	buf_done(&field.text);
}

/* --- all of them ------------------------------------------------------------------------------ */

void
header_rewrite_init(struct header_rewrite *rewrite)
{
	*rewrite = (struct header_rewrite){ 0 };
	buf_init(&rewrite->field, 0);
}

void
header_rewrite_done(struct header_rewrite *rewrite)
{
	buf_done(&rewrite->field);
}

void
header_rewrite_begin(struct header_rewrite *rewrite)
{
	buf_clear(&rewrite->field);
	rewrite->line = 0;
	rewrite->is_over = false;
}

/* Whether a line can begin a field: visible characters, blanks, a colon. */
static bool
is_field_start(struct slice line)
{
	size_t colon = slice_find(line, ':');
	bool has_blank = false;

	for (size_t i = 0; i < colon; i++) {
		bool blank = line.ptr[i] == ' ' || line.ptr[i] == '\t';

		if (!blank && (line.ptr[i] <= 32 || line.ptr[i] >= 127 || has_blank))
			return false;
		has_blank = blank;
	}
	return colon > 0 && colon < line.len && line.ptr[0] != ' ' && line.ptr[0] != '\t';
}

/*
 * Gives out the field whose lines end before the one at hand, `line`. False: that one belongs to
 * it.
 */
static bool
end_field(struct header_rewrite *rewrite, const struct config *config, struct slice line,
	size_t start, struct buf *to)
{
	bool is_blank = line.len > 0 && (line.ptr[0] == ' ' || line.ptr[0] == '\t');

	if (is_blank && rewrite->line > start)
		return false;
	if (rewrite->line > start)
		put_field(config,
			slice_make(rewrite->field.ptr + start, rewrite->line - start), to);
	rewrite->is_over = !is_field_start(line);
	return true;
}

void
header_rewrite_feed(struct header_rewrite *rewrite, const struct config *config,
	struct slice bytes, struct buf *to)
{
	struct buf *field = &rewrite->field;
	size_t start = 0; /* of the field at hand */

	if (rewrite->is_over) {
		buf_add(to, bytes);
		return;
	}
	buf_add(field, bytes);
	while (!rewrite->is_over && slice_find(bytes, '\n') < bytes.len) {
		struct slice rest = slice_from(buf_slice(field), rewrite->line);
		size_t newline = slice_find(rest, '\n');

		if (newline == rest.len)
			break;
		if (end_field(rewrite, config, slice_head(rest, newline + 1), start, to))
			start = rewrite->line;
		if (!rewrite->is_over)
			rewrite->line += newline + 1;
	}
	rewrite->line -= start;
	buf_consume(field, start);
	if (rewrite->is_over || field->len > HEADER_REWRITE_MAX) {
		rewrite->is_over = true;
		buf_add(to, buf_slice(field));
		buf_clear(field);
	}
}

void
header_rewrite_finish(
	struct header_rewrite *rewrite, const struct config *config, struct buf *to)
{
	if (rewrite->field.len > 0) {
		struct slice rest = slice_from(buf_slice(&rewrite->field), rewrite->line);

		/* A last line without its end is left alone. */
		if (rewrite->line > 0)
			put_field(config,
				slice_make(rewrite->field.ptr, rewrite->line), to);
		buf_add(to, rest);
	}
	header_rewrite_begin(rewrite);
}
