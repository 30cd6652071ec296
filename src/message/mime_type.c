/* mime_type.c - see mime_type.h */
#include "message/mime_type.h"

/* --- words ------------------------------------------------------------------------------------ */

static bool
is_blank(uint8_t byte)
{
	return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

/* One comment, which may hold others; an unclosed one is the rest. */
static struct slice
skip_comment(struct slice text)
{
	unsigned depth = 0;
	size_t i = 0;

	for (; i < text.len; i++) {
		if (text.ptr[i] == '\\')
			i++;
		else if (text.ptr[i] == '(')
			depth++;
		else if (text.ptr[i] == ')' && --depth == 0)
			return slice_from(text, i + 1);
	}
	return slice_make(NULL, 0);
}

static struct slice
skip_blanks(struct slice text)
{
	while (text.len > 0 && (is_blank(text.ptr[0]) || text.ptr[0] == '('))
		text = text.ptr[0] == '(' ? skip_comment(text) : slice_from(text, 1);
	return text;
}

/* Up to a blank or one of `ends`. */
static struct slice
take_word(struct slice *text, const char *ends)
{
	struct slice word;
	size_t len = 0;

	*text = skip_blanks(*text);
	while (len < text->len && !is_blank(text->ptr[len]) &&
		(text->ptr[len] == '\0' || strchr(ends, text->ptr[len]) == NULL))
		len++;
	word = slice_head(*text, len);
	*text = skip_blanks(slice_from(*text, len));
	return word;
}

/* --- Content-Type ----------------------------------------------------------------------------- */

static void
append(struct mime_type *type, size_t *len, uint8_t byte)
{
	if (*len < sizeof(type->boundary))
		type->boundary[*len] = byte;
	(*len)++;
}

/* Takes a value off, quoted or not; that of the boundary is kept. */
static void
take_value(struct slice *text, struct mime_type *type, bool is_boundary)
{
	size_t len = 0, i = 1;

	*text = skip_blanks(*text);
	if (text->len > 0 && text->ptr[0] == '"') {
		for (; i < text->len && text->ptr[i] != '"'; i++) {
			if (text->ptr[i] == '\\' && i + 1 < text->len)
				i++;
			if (is_boundary && text->ptr[i] != '\r' && text->ptr[i] != '\n')
				append(type, &len, text->ptr[i]);
		}
		*text = slice_from(*text, i + 1);
	} else {
		struct slice word = take_word(text, ";");

		for (i = 0; is_boundary && i < word.len; i++)
			append(type, &len, word.ptr[i]);
	}
	if (!is_boundary || len > sizeof(type->boundary))
		return;
	while (len > 0 && (type->boundary[len - 1] == ' ' || type->boundary[len - 1] == '\t'))
		len--;
	type->boundary_len = len;
}

static void
parse_parameters(struct slice text, struct mime_type *type)
{
	while (text.len > 0) {
		struct slice name;

		text = slice_from(text, slice_find(text, ';') + 1);
		name = take_word(&text, "=;");
		if (text.len > 0 && text.ptr[0] == '=') {
			text = slice_from(text, 1);
			take_value(&text, type,
				type->boundary_len == 0 &&
					slice_equal_nocase_str(name, "boundary"));
		}
	}
}

static enum mime_kind
kind_of(struct slice type, struct slice subtype)
{
	static const struct {
		const char *subtype;
		enum mime_kind kind;
	} messages[] = {
		{ "rfc822", MIME_MESSAGE },
		{ "news", MIME_MESSAGE },
		{ "partial", MIME_PIECE },
		{ "external-body", MIME_PIECE },
	};

	if (slice_equal_nocase_str(type, "multipart"))
		return slice_equal_nocase_str(subtype, "digest") ? MIME_DIGEST : MIME_MULTIPART;
	if (slice_equal_nocase_str(type, "message")) {
		for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
			if (slice_equal_nocase_str(subtype, messages[i].subtype))
				return messages[i].kind;
		return MIME_OTHER;
	}
	return slice_equal_nocase_str(type, "text") || subtype.len == 0 ? MIME_TEXT : MIME_OTHER;
}

void
mime_type_parse(struct slice value, struct mime_type *ret_type)
{
	struct slice rest = value, type = take_word(&rest, "/;"), subtype = slice_make(NULL, 0);

	*ret_type = (struct mime_type){ .kind = MIME_TEXT };
	if (rest.len > 0 && rest.ptr[0] == '/') {
		rest = slice_from(rest, 1);
		subtype = take_word(&rest, ";");
	}
	ret_type->kind = kind_of(type, subtype);
	parse_parameters(rest, ret_type);
}

/* --- Content-Transfer-Encoding ---------------------------------------------------------------- */

enum mime_encoding
mime_type_encoding(struct slice value)
{
	struct slice word = take_word(&value, ";(");

	if (word.len == 0 || slice_equal_nocase_str(word, "7bit"))
		return MIME_7BIT;
	if (slice_equal_nocase_str(word, "8bit") || slice_equal_nocase_str(word, "binary"))
		return MIME_8BIT;
	return MIME_ENCODED;
}
