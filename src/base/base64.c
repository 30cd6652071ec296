/*
 * base64.c - bytes as text and back (see base64.h)
 */
#include "base/base64.h"

#include "base/num.h"

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

enum err
base64_encode(struct slice bytes, struct buf *text)
{
	size_t length;
	enum err err = size_mul(bytes.len / 3 + 1, 4, &length);

	if (err == ERR_OK)
		err = buf_reserve(text, length);
	if (err < 0)
		return err;
	while (bytes.len > 0) {
		uint32_t group = (uint32_t)bytes.ptr[0] << 16;

		if (bytes.len > 1)
			group |= (uint32_t)bytes.ptr[1] << 8;
		if (bytes.len > 2)
			group |= bytes.ptr[2];
		for (size_t i = 0; i < 4; i++) {
			bool is_padding = i > bytes.len;

			text->ptr[text->len++] =
				is_padding ? '='
					   : (uint8_t)base64_digits[group >> (18 - 6 * i) & 63];
		}
		bytes = slice_from(bytes, 3);
	}
	return ERR_OK;
}

static int
base64_value(uint8_t digit)
{
	const char *at = digit == 0 ? NULL : strchr(base64_digits, digit);

	return at == NULL ? -1 : (int)(at - base64_digits);
}

/* Four digits; *ret_count is how many bytes they are. */
static enum err
base64_group(const uint8_t *digits, bool is_last, uint32_t *ret_group, size_t *ret_count)
{
	uint32_t group = 0;
	size_t count = 3;

	if (is_last && digits[3] == '=')
		count = digits[2] == '=' ? 1 : 2;
	for (size_t i = 0; i < 4; i++) {
		int value = i > count ? 0 : base64_value(digits[i]);

		if (value < 0)
			return ERR_SYNTAX;
		group = group << 6 | (uint32_t)value;
	}
	/* Bits that no byte takes are zero, so that each text is the only one of its bytes. */
	if ((group & (count == 1 ? 0xffff : count == 2 ? 0xff : 0)) != 0)
		return ERR_SYNTAX;
	*ret_group = group;
	*ret_count = count;
	return ERR_OK;
}

enum err
base64_decode(struct slice text, struct buf *bytes)
{
	size_t start = bytes->len;
	enum err err = text.len % 4 == 0 ? buf_reserve(bytes, text.len / 4 * 3) : ERR_SYNTAX;

	for (size_t i = 0; err == ERR_OK && i < text.len; i += 4) {
		uint32_t group = 0;
		size_t count = 0;

		err = base64_group(text.ptr + i, i + 4 == text.len, &group, &count);
		for (size_t j = 0; err == ERR_OK && j < count; j++)
			bytes->ptr[bytes->len++] = (uint8_t)(group >> (16 - 8 * j));
	}
	if (err < 0)
		bytes->len = start;
	return err;
}
