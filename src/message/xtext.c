/*
 * xtext.c - RFC 3461 xtext (see xtext.h)
 */
#include "message/xtext.h"

#include "base/ascii.h"
#include "message/utf8.h"

/* RFC 3461: "+" and two digits 0-9, A-F; lower case is taken too. Returns bytes used, or 0. */
static size_t
xtext_take(struct slice text, size_t at, bool utf8, uint8_t *ret_byte)
{
	uint8_t byte = text.ptr[at];
	int high, low;

	if (byte != '+') {
		*ret_byte = byte;
		return byte != '=' && ((byte > ' ' && byte < 127) || (utf8 && byte > 127)) ? 1 : 0;
	}
	if (text.len - at < 3)
		return 0;
	high = ascii_hex_value(text.ptr[at + 1]);
	low = ascii_hex_value(text.ptr[at + 2]);
	if (high < 0 || low < 0)
		return 0;
	*ret_byte = (uint8_t)(high << 4 | low);
	return ascii_is_print(*ret_byte) || (utf8 && *ret_byte > 127) ? 3 : 0;
}

enum err
xtext_decode(struct slice text, bool utf8, struct buf *plain)
{
	size_t old_len = plain->len;
	enum err err = ERR_OK;
	uint8_t byte = 0;

	for (size_t at = 0, used; at < text.len && err == ERR_OK; at += used) {
		used = xtext_take(text, at, utf8, &byte);
		if (used == 0) {
			err = ERR_SYNTAX;
			break;
		}
		err = buf_append_byte(plain, byte);
	}
	if (err == ERR_OK && !utf8_valid(slice_from(buf_slice(plain), old_len)))
		err = ERR_SYNTAX;
	if (err < 0)
		plain->len = old_len;
	return err;
}

enum err
xtext_encode(struct slice plain, struct buf *text)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t old_len = text->len;
	enum err err = ERR_OK;

	for (size_t i = 0; i < plain.len && err == ERR_OK; i++) {
		uint8_t byte = plain.ptr[i];
		const char coded[] = { '+', digits[byte >> 4], digits[byte & 15] };

		if (byte > ' ' && byte < 127 && byte != '+' && byte != '=')
			err = buf_append_byte(text, byte);
		else
			err = buf_append(text, slice_make(coded, sizeof(coded)));
	}
	if (err < 0)
		text->len = old_len;
	return err;
}

/* The character at the front of `text`, which has `len` bytes. */
static unsigned
xtext_character(struct slice text, size_t len)
{
	static const uint8_t masks[] = { 0xff, 0xff, 0x1f, 0x0f, 0x07 };
	unsigned character = text.ptr[0];

	if (len < 2 || len > 4)
		return character;
	character &= masks[len];
	for (size_t i = 1; i < len; i++)
		character = character << 6 | (text.ptr[i] & 0x3fu);
	return character;
}

enum err
xtext_encode_utf8(struct slice plain, struct buf *text)
{
	size_t old_len = text->len;
	enum err err = ERR_OK;

	while (plain.len > 0 && err == ERR_OK) {
		size_t len = utf8_length(plain);
		unsigned character = xtext_character(plain, len);

		if (character > ' ' && character < 127 && character != '\\' &&
			character != '+' && character != '=')
			err = buf_append_byte(text, (uint8_t)character);
		else
			err = buf_printf(text, "\\x{%02X}", character);
		plain = slice_from(plain, len > 0 ? len : 1);
	}
	if (err < 0)
		text->len = old_len;
	return err;
}
