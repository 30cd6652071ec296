/*
 * word.c - words of lists and command lines (see word.h)
 */
#include "config/word.h"

#include "base/ascii.h"

size_t
word_find_close(struct slice text, uint8_t open, uint8_t close)
{
	size_t depth = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == open)
			depth++;
		else if (text.ptr[i] == close && --depth == 0)
			return i;
	}
	return text.len;
}

static bool
word_is_separator(uint8_t byte, const char *separators)
{
	return byte != 0 && strchr(separators, byte) != NULL;
}

enum err
word_next(struct slice *rest, const char *separators, struct slice *ret_word)
{
	struct slice text = *rest;
	size_t end = 0;

	while (text.len > 0 && word_is_separator(text.ptr[0], separators))
		text = slice_from(text, 1);
	if (text.len == 0) {
		*rest = text;
		return ERR_NOTFOUND;
	}
	while (end < text.len && !word_is_separator(text.ptr[end], separators)) {
		if (text.ptr[end] == '{') {
			struct slice braced = slice_from(text, end);
			size_t close = word_find_close(braced, '{', '}');

			if (close == braced.len)
				return ERR_SYNTAX;
			end += close;
		}
		end++;
	}
	*ret_word = slice_head(text, end);
	*rest = slice_from(text, end);
	return ERR_OK;
}

static struct slice
word_trim(struct slice text)
{
	while (text.len > 0 && ascii_is_space(text.ptr[0]))
		text = slice_from(text, 1);
	while (text.len > 0 && ascii_is_space(text.ptr[text.len - 1]))
		text.len--;
	return text;
}

struct slice
word_strip_braces(struct slice word)
{
	if (word.len >= 2 && word.ptr[0] == '{' && word_find_close(word, '{', '}') == word.len - 1)
		return word_trim(slice_make(word.ptr + 1, word.len - 2));
	return word;
}

enum err
word_split_pair(struct slice text, struct slice *ret_name, struct slice *ret_value)
{
	size_t equal = slice_find(text, '=');
	struct slice name = word_trim(slice_head(text, equal));

	if (equal == text.len || name.len == 0)
		return ERR_SYNTAX;
	for (size_t i = 0; i < name.len; i++)
		if (ascii_is_space(name.ptr[i]))
			return ERR_SYNTAX;
	*ret_name = name;
	*ret_value = word_trim(slice_from(text, equal + 1));
	return ERR_OK;
}
