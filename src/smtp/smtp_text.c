/* smtp_text.c - see smtp_text.h */
#include "smtp/smtp_text.h"

/* A line as it stands: its bytes in front of the LF, and whether it needs no change. */
static bool
line_is_clean(struct slice line, bool at_line)
{
	return line.len > 0 && line.ptr[line.len - 1] == '\r' &&
	       !(at_line && line.ptr[0] == '.') &&
	       memchr(line.ptr, '\r', line.len - 1) == NULL;
}

bool
smtp_text_is_clean(struct slice text)
{
	while (text.len > 0) {
		size_t end = slice_find(text, '\n');

		if (end == text.len || !line_is_clean(slice_head(text, end), true))
			return false;
		text = slice_from(text, end + 1);
	}
	return true;
}

/* Without LF: each CR in it stands alone. */
static void
put_text(struct smtp_text *state, struct buf *out, struct slice text)
{
	if (!state->in_line && text.len > 0 && text.ptr[0] == '.')
		buf_add_str(out, ".");
	while (text.len > 0) {
		size_t cr = slice_find(text, '\r');

		buf_add(out, slice_head(text, cr));
		if (cr == text.len)
			break;
		buf_add_str(out, " ");
		text = slice_from(text, cr + 1);
	}
}

static void
put_line(struct smtp_text *state, struct buf *out, struct slice line)
{
	bool crlf = line.len > 0 && line.ptr[line.len - 1] == '\r';

	put_text(state, out, slice_head(line, line.len - crlf));
	buf_add_str(out, "\r\n");
	state->in_line = false;
}

/* What is behind the last LF. */
static void
put_rest(struct smtp_text *state, struct buf *out, struct slice rest)
{
	if (rest.len == 0)
		return;
	state->has_cr = rest.ptr[rest.len - 1] == '\r';
	rest = slice_head(rest, rest.len - state->has_cr);
	put_text(state, out, rest);
	state->in_line |= rest.len > 0;
}

/* The CR that was held back ends a line, or stands alone. */
static struct slice
settle_cr(struct smtp_text *state, struct buf *out, struct slice bytes)
{
	state->has_cr = false;
	if (bytes.len > 0 && bytes.ptr[0] == '\n') {
		buf_add_str(out, "\r\n");
		state->in_line = false;
		return slice_from(bytes, 1);
	}
	buf_add_str(out, " ");
	state->in_line = true;
	return bytes;
}

void
smtp_text_stuff(struct smtp_text *state, struct buf *out, struct slice bytes)
{
	size_t run = 0, at = 0;

	if (state->has_cr && bytes.len > 0)
		bytes = settle_cr(state, out, bytes);
	while (at < bytes.len) {
		struct slice rest = slice_from(bytes, at);
		size_t end = slice_find(rest, '\n');

		if (end == rest.len)
			break;
		if (line_is_clean(slice_head(rest, end), !state->in_line)) {
			at += end + 1;
			state->in_line = false;
			continue;
		}
		buf_add(out, slice_make(bytes.ptr + run, at - run));
		put_line(state, out, slice_head(rest, end));
		at += end + 1;
		run = at;
	}
	buf_add(out, slice_make(bytes.ptr + run, at - run));
	put_rest(state, out, slice_from(bytes, at));
}

void
smtp_text_end(struct smtp_text *state, struct buf *out)
{
	if (state->has_cr)
		(void)settle_cr(state, out, slice_make(NULL, 0));
	if (state->in_line)
		buf_add_str(out, "\r\n");
	state->in_line = false;
}
