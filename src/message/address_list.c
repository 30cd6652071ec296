/*
 * address_list.c - addresses out of a header field or an argument (see address_list.h)
 */
#include "message/address_list.h"

#include "base/ascii.h"
#include "message/address.h"

enum { ADDRESS_LIST_FLAGS = ADDRESS_BARE | ADDRESS_UTF8 };

struct address_list {
	address_list_fn *fn;
	void *ctx;
	struct buf word;     /* the address without brackets, or a display name, so far */
	struct buf internal; /* of the address in brackets */
	struct slice place;  /* of the address in the text */
	bool is_parted;	     /* blanks stood between two words */
	bool is_blank;	     /* blanks were last */
	bool has_angle;
};

/* Where a quoted string, comment or bracket that begins the text ends, or text.len. */
static size_t
address_list_close(struct slice text, uint8_t open, uint8_t close)
{
	size_t depth = 1;

	for (size_t i = 1; i < text.len; i++) {
		if (text.ptr[i] == '\\')
			i++;
		else if (text.ptr[i] == close && --depth == 0)
			return i;
		else if (text.ptr[i] == open && open != '<')
			depth++;
		else if (text.ptr[i] == '"' && open == '<') {
			size_t end = address_list_close(slice_from(text, i), '"', '"');

			i += end;
		}
	}
	return text.len;
}

static void
address_list_clear(struct address_list *list)
{
	buf_clear(&list->word);
	list->is_parted = false;
	list->is_blank = false;
	list->has_angle = false;
}

/* A comma, or the end. */
static enum err
address_list_flush(struct address_list *list)
{
	struct buf internal;
	enum err err = ERR_OK;

	if (list->has_angle) {
		if (list->internal.len > 0)
			err = list->fn(list->ctx, buf_slice(&list->internal), list->place);
	} else if (list->word.len > 0) {
		if (list->is_parted)
			return ERR_SYNTAX;
		buf_init(&internal, ADDRESS_MAX + 1);
		err = address_parse(buf_slice(&list->word), ADDRESS_LIST_FLAGS, &internal);
		if (err == ERR_OK)
			err = list->fn(list->ctx, buf_slice(&internal), list->place);
		buf_done(&internal);
	}
	address_list_clear(list);
	return err;
}

static enum err
address_list_angle(struct address_list *list, struct slice path)
{
	if (list->has_angle)
		return ERR_SYNTAX;
	buf_clear(&list->word);
	buf_clear(&list->internal);
	list->has_angle = true;
	list->place = slice_make(path.ptr + 1, path.len - 2);
	return address_parse_path(&path, ADDRESS_LIST_FLAGS | ADDRESS_NULL, &list->internal);
}

/* A part of a word: one byte, or a quoted string or literal. */
static enum err
address_list_add(struct address_list *list, struct slice part)
{
	bool is_glue = part.len == 1 && (part.ptr[0] == '.' || part.ptr[0] == '@');
	uint8_t last = list->word.len > 0 ? list->word.ptr[list->word.len - 1] : '@';

	if (list->has_angle) /* something behind >: dropped */
		return ERR_OK;
	if (list->is_blank && !is_glue && last != '.' && last != '@')
		list->is_parted = true;
	list->is_blank = false;
	if (list->word.len == 0)
		list->place = part;
	list->place.len = (size_t)(part.ptr + part.len - list->place.ptr);
	return buf_append(&list->word, part);
}

/* What begins with a special character; *ret_used is how much of the text it is. */
static enum err
address_list_special(struct address_list *list, struct slice text, size_t *ret_used)
{
	size_t close;

	*ret_used = 1;
	switch (text.ptr[0]) {
	case ',':
	case ';':
		return address_list_flush(list);
	case ':': /* what was before is the name of a group */
		address_list_clear(list);
		return ERR_OK;
	case '(':
		close = address_list_close(text, '(', ')');
		list->is_blank = true;
		break;
	case '"':
		close = address_list_close(text, '"', '"');
		break;
	case '[':
		close = address_list_close(text, '[', ']');
		break;
	case '<':
		close = address_list_close(text, '<', '>');
		break;
	default:
		return ERR_SYNTAX;
	}
	if (close == text.len)
		return ERR_SYNTAX;
	*ret_used = close + 1;
	if (text.ptr[0] == '<')
		return address_list_angle(list, slice_head(text, close + 1));
	return text.ptr[0] == '(' ? ERR_OK : address_list_add(list, slice_head(text, close + 1));
}

enum err
address_list_parse(struct slice text, address_list_fn *fn, void *ctx)
{
	struct address_list list = { .fn = fn, .ctx = ctx };
	enum err err = ERR_OK;

	buf_init(&list.word, 0);
	buf_init(&list.internal, ADDRESS_MAX + 1);
	while (err == ERR_OK && text.len > 0) {
		size_t used = 1;

		if (ascii_is_space(text.ptr[0]))
			list.is_blank = true;
		else if (text.ptr[0] != 0 && strchr(",;:(\"[<>)]", text.ptr[0]) != NULL)
			err = address_list_special(&list, text, &used);
		else
			err = address_list_add(&list, slice_head(text, 1));
		text = slice_from(text, used);
	}
	if (err == ERR_OK)
		err = address_list_flush(&list);
	buf_done(&list.word);
	buf_done(&list.internal);
	return err;
}
