/*
 * draft.c - a message as a program hands it to sendmail (see draft.h)
 */
#include "cli/draft.h"

enum { DRAFT_NAME_MAX = 1000 }; /* a field's name ends before this, or it is none */

struct draft_field {
	const char *name;
	bool is_recipient;
	bool is_resent;
	bool is_dropped;
};

static const struct draft_field draft_fields[] = {
	{ "to", true, false, false },
	{ "cc", true, false, false },
	{ "bcc", true, false, true },
	{ "resent-to", true, true, false },
	{ "resent-cc", true, true, false },
	{ "resent-bcc", true, true, true },
	{ "return-path", false, false, true },
	{ "content-length", false, false, true },
};

void
draft_init(struct draft *draft)
{
	*draft = (struct draft) { 0 };
	buf_init(&draft->head, 0);
	buf_init(&draft->recipients, 0);
}

void
draft_done(struct draft *draft)
{
	buf_done(&draft->head);
	buf_done(&draft->recipients);
}

/* The first line with its end; false: it may go on. */
static bool
draft_line(struct slice rest, bool is_whole, struct slice *ret_line)
{
	size_t end = slice_find(rest, '\n');

	if (end == rest.len && !is_whole)
		return false;
	*ret_line = slice_head(rest, end + 1);
	return true;
}

static bool
draft_is_empty(struct slice line)
{
	return slice_equal_str(line, "\n") || slice_equal_str(line, "\r\n");
}

/* The length of the name of a field that begins here, or 0. */
static size_t
draft_name_length(struct slice line)
{
	size_t colon = slice_find(line, ':');
	size_t len = slice_trim(slice_head(line, colon)).len;

	if (colon == line.len || len == 0)
		return 0;
	for (size_t i = 0; i < len; i++)
		if (line.ptr[i] <= ' ' || line.ptr[i] >= 127)
			return 0;
	return len;
}

static const struct draft_field *
draft_find(struct slice name)
{
	for (size_t i = 0; i < sizeof(draft_fields) / sizeof(draft_fields[0]); i++)
		if (slice_equal_nocase_str(name, draft_fields[i].name))
			return &draft_fields[i];
	return NULL;
}

/* The header's extent: *ret_len without an empty line behind it, *ret_used with it. */
static enum err
draft_measure(struct slice input, bool is_whole, size_t *ret_len, size_t *ret_used)
{
	struct slice line = SLICE_LIT("");
	size_t at = 0;

	for (;;) {
		struct slice rest = slice_from(input, at);
		bool is_more =
			at > 0 && rest.len > 0 && (rest.ptr[0] == ' ' || rest.ptr[0] == '\t');

		if (!draft_line(rest, is_whole, &line)) {
			/* A long line that did not begin as a field is text. */
			if (is_more || rest.len < DRAFT_NAME_MAX || draft_name_length(rest) > 0)
				return ERR_AGAIN;
			break;
		}
		if (line.len == 0 || draft_is_empty(line)
			|| (!is_more && draft_name_length(line) == 0))
			break;
		at += line.len;
		line = SLICE_LIT("");
	}
	*ret_len = at;
	*ret_used = at + (draft_is_empty(line) ? line.len : 0);
	return ERR_OK;
}

/* One field with its continuation lines. */
static enum err
draft_add(struct draft *draft, struct slice field, bool is_resent)
{
	size_t len = draft_name_length(field);
	const struct draft_field *known = draft_find(slice_head(field, len));
	enum err err = ERR_OK;

	if (known == NULL || !known->is_dropped)
		err = buf_append(&draft->head, field);
	if (err < 0 || known == NULL || !known->is_recipient || known->is_resent != is_resent)
		return err;
	err = buf_append(&draft->recipients, slice_from(field, slice_find(field, ':') + 1));
	return err < 0 ? err : buf_append_str(&draft->recipients, ",");
}

/* Cuts a field off the header. */
static struct slice
draft_cut(struct slice *header)
{
	struct slice field;
	size_t len = 0;

	do
		len += slice_find(slice_from(*header, len), '\n') + 1;
	while (len < header->len && (header->ptr[len] == ' ' || header->ptr[len] == '\t'));
	if (len > header->len)
		len = header->len;
	field = slice_head(*header, len);
	*header = slice_from(*header, len);
	return field;
}

static bool
draft_is_resent(struct slice header)
{
	while (header.len > 0) {
		struct slice field = draft_cut(&header);
		const struct draft_field *known =
			draft_find(slice_head(field, draft_name_length(field)));

		if (known != NULL && known->is_resent)
			return true;
	}
	return false;
}

enum err
draft_parse(struct draft *draft, struct slice input, bool is_whole)
{
	struct slice header, mailbox_line;
	size_t skipped = 0;
	size_t len = 0;
	bool is_resent;
	enum err err;

	if (slice_starts(input, SLICE_LIT("From ")) || slice_starts(input, SLICE_LIT(">From "))) {
		if (!draft_line(input, is_whole, &mailbox_line))
			return ERR_AGAIN;
		skipped = mailbox_line.len;
	} else if (!is_whole && input.len < 6) {
		return ERR_AGAIN;
	}
	err = draft_measure(slice_from(input, skipped), is_whole, &len, &draft->used);
	if (err < 0)
		return err;
	draft->used += skipped;
	header = slice_head(slice_from(input, skipped), len);
	is_resent = draft_is_resent(header);
	while (err == ERR_OK && header.len > 0)
		err = draft_add(draft, draft_cut(&header), is_resent);
	if (err == ERR_OK && draft->head.len > 0 && draft->head.ptr[draft->head.len - 1] != '\n')
		err = buf_append_str(&draft->head, "\n");
	return err < 0 ? err : buf_append_str(&draft->head, "\n");
}
