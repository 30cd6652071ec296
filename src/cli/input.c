/*
 * input.c - sendmail's standard input (see input.h)
 */
#include "cli/input.h"

#include <errno.h>
#include <unistd.h>

enum { INPUT_STEP = 64 * 1024 };

static enum err
input_feed_byte(struct input *input, uint8_t byte, struct buf *content)
{
	enum err err = ERR_OK;

	switch (input->state) {
	case INPUT_LINE_START:
		if (byte == '.') {
			input->state = INPUT_DOT;
			return ERR_OK;
		}
		break;
	case INPUT_DOT:
		if (byte == '\n') {
			input->state = INPUT_END;
			return ERR_OK;
		}
		if (byte == '\r') {
			input->state = INPUT_DOT_CR;
			return ERR_OK;
		}
		err = buf_append_str(content, ".");
		break;
	case INPUT_DOT_CR:
		if (byte == '\n') {
			input->state = INPUT_END;
			return ERR_OK;
		}
		err = buf_append_str(content, ".\r");
		break;
	case INPUT_LINE:
		break;
	case INPUT_END:
		return ERR_OK;
	}
	input->state = byte == '\n' ? INPUT_LINE_START : INPUT_LINE;
	return err < 0 ? err : buf_append_byte(content, byte);
}

enum err
input_feed(struct input *input, struct slice bytes, struct buf *content)
{
	enum err err = ERR_OK;

	if (!input->dot_ends)
		return buf_append(content, bytes);
	while (err == ERR_OK && bytes.len > 0) {
		size_t end = input->state == INPUT_LINE ? slice_find(bytes, '\n') : 0;

		if (end > 0)
			err = buf_append(content, slice_head(bytes, end));
		bytes = slice_from(bytes, end);
		if (err == ERR_OK && bytes.len > 0)
			err = input_feed_byte(input, bytes.ptr[0], content);
		bytes = slice_from(bytes, 1);
	}
	return err;
}

enum err
input_finish(struct input *input, struct buf *content)
{
	enum input_state state = input->state;

	input->state = INPUT_END;
	if (state == INPUT_DOT || state == INPUT_DOT_CR)
		return buf_append_str(content, state == INPUT_DOT ? "." : ".\r");
	return ERR_OK;
}

enum err
input_read(struct input *input, struct buf *content)
{
	uint8_t bytes[INPUT_STEP];
	ssize_t got;

	do
		got = read(input->fd, bytes, sizeof(bytes));
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return ERR_IO;
	if (got == 0)
		return input_finish(input, content);
	return input_feed(input, slice_make(bytes, (size_t)got), content);
}
