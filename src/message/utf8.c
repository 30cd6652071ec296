/*
 * utf8.c - well-formed UTF-8 (see utf8.h)
 */
#include "message/utf8.h"

/* How many bytes a character with this first byte has, and the bits of it there. */
static size_t
utf8_first(uint8_t byte, uint32_t *ret_code)
{
	if (byte < 0x80) {
		*ret_code = byte;
		return 1;
	}
	if (byte >= 0xc2 && byte <= 0xdf) {
		*ret_code = byte & 0x1f;
		return 2;
	}
	if (byte >= 0xe0 && byte <= 0xef) {
		*ret_code = byte & 0x0f;
		return 3;
	}
	if (byte >= 0xf0 && byte <= 0xf4) {
		*ret_code = byte & 0x07;
		return 4;
	}
	return 0;
}

size_t
utf8_length(struct slice text)
{
	static const uint32_t least[] = { 0, 0, 0xa0, 0x800, 0x10000 };
	uint32_t code = 0;
	size_t len = text.len > 0 ? utf8_first(text.ptr[0], &code) : 0;

	if (len == 0 || len > text.len)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((text.ptr[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (text.ptr[i] & 0x3f);
	}
	if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return len;
}

bool
utf8_valid(struct slice text)
{
	while (text.len > 0) {
		size_t len = utf8_length(text);

		if (len == 0)
			return false;
		text = slice_from(text, len);
	}
	return true;
}

size_t
utf8_cut(struct slice text, size_t max)
{
	size_t cut = text.len < max ? text.len : max;

	if (cut == text.len)
		return cut;
	for (unsigned i = 0; i < 3 && cut > 0 && (text.ptr[cut] & 0xc0) == 0x80; i++)
		cut--;
	return cut;
}
