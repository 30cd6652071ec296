/* encoding.c - see encoding.h */
#include "message/encoding.h"

#include "base/base64.h"
#include "base/check.h"

/* --- quoted-printable ------------------------------------------------------------------------- */

/* Before a soft line end there must be room for its '='. */
static void
break_line(struct encoding *encoding, struct buf *out, unsigned len)
{
	if (encoding->column + len < ENCODING_LINE_MAX)
		return;
	buf_add_str(out, "=\r\n");
	encoding->column = 0;
}

static void
put_escaped(struct encoding *encoding, struct buf *out, uint8_t byte)
{
	static const char digits[] = "0123456789ABCDEF";
	const char text[3] = { '=', digits[byte >> 4], digits[byte & 15] };

	break_line(encoding, out, 3);
	buf_add(out, slice_make(text, sizeof(text)));
	encoding->column += 3;
}

static void
put_literal(struct encoding *encoding, struct buf *out, uint8_t byte)
{
	break_line(encoding, out, 1);
	if (encoding->column == 0 && byte == '-') {
		put_escaped(encoding, out, byte);
		return;
	}
	buf_add(out, slice_make(&byte, 1));
	encoding->column++;
}

static void
quoted_put(struct encoding *encoding, struct buf *out, struct slice bytes)
{
	for (size_t i = 0; i < bytes.len; i++) {
		uint8_t byte = bytes.ptr[i];

		if (encoding->blank != 0)
			put_literal(encoding, out, encoding->blank);
		encoding->blank = 0;
		if (byte == ' ' || byte == '\t')
			encoding->blank = byte;
		else if (byte > ' ' && byte < 127 && byte != '=')
			put_literal(encoding, out, byte);
		else
			put_escaped(encoding, out, byte);
	}
}

/* A blank at the end of a line would be lost. */
static void
quoted_settle(struct encoding *encoding, struct buf *out)
{
	if (encoding->blank != 0)
		put_escaped(encoding, out, encoding->blank);
	encoding->blank = 0;
}

/* --- base64 ----------------------------------------------------------------------------------- */

static void
base64_flush(struct encoding *encoding, struct buf *out)
{
	if (encoding->held_len == 0)
		return;
	CHECK(base64_encode(slice_make(encoding->held, encoding->held_len), out) == ERR_OK);
	buf_add_str(out, "\r\n");
	encoding->held_len = 0;
}

static void
base64_put(struct encoding *encoding, struct buf *out, struct slice bytes)
{
	while (bytes.len > 0) {
		size_t room = ENCODING_BASE64_GROUP - encoding->held_len;
		struct slice part = slice_head(bytes, room);

		memcpy(encoding->held + encoding->held_len, part.ptr, part.len);
		encoding->held_len += part.len;
		bytes = slice_from(bytes, part.len);
		if (encoding->held_len == ENCODING_BASE64_GROUP)
			base64_flush(encoding, out);
	}
}

/* --- both ------------------------------------------------------------------------------------- */

void
encoding_put(struct encoding *encoding, struct buf *out, struct slice bytes)
{
	if (encoding->kind == ENCODING_BASE64)
		base64_put(encoding, out, bytes);
	else
		quoted_put(encoding, out, bytes);
}

void
encoding_newline(struct encoding *encoding, struct buf *out)
{
	if (encoding->kind == ENCODING_BASE64) {
		base64_put(encoding, out, SLICE_LIT("\r\n"));
		return;
	}
	quoted_settle(encoding, out);
	buf_add_str(out, "\r\n");
	encoding->column = 0;
}

void
encoding_end(struct encoding *encoding, struct buf *out, bool wants_line)
{
	if (encoding->kind == ENCODING_BASE64) {
		base64_flush(encoding, out);
		return;
	}
	quoted_settle(encoding, out);
	if (encoding->column > 0 && wants_line)
		buf_add_str(out, "=\r\n");
	encoding->column = 0;
}
