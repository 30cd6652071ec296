/*
 * logical_line.c - physical lines joined into logical ones (see logical_line.h)
 */
#include "config/logical_line.h"

struct logical_line_reader
logical_line_reader(struct slice text)
{
	return (struct logical_line_reader) { .rest = text };
}

/* The first physical line without its end; *ret_size counts that too. */
static struct slice
logical_line_peek(struct slice rest, size_t *ret_size)
{
	size_t len = slice_find(rest, '\n');
	struct slice line = slice_head(rest, len);

	*ret_size = len < rest.len ? len + 1 : len;
	if (line.len > 0 && line.ptr[line.len - 1] == '\r')
		line.len--;
	return line;
}

static bool
logical_line_is_dropped(struct slice line)
{
	struct slice text = slice_trim(line);

	return text.len == 0 || text.ptr[0] == '#';
}

enum err
logical_line_next(struct logical_line_reader *reader, struct buf *line, uint32_t *ret_number)
{
	uint32_t first = 0;

	buf_clear(line);
	while (reader->rest.len > 0) {
		size_t size;
		struct slice physical = logical_line_peek(reader->rest, &size);
		bool is_dropped = logical_line_is_dropped(physical);
		enum err err;

		if (!is_dropped && first != 0 && physical.ptr[0] != ' ' && physical.ptr[0] != '\t')
			break;
		reader->rest = slice_from(reader->rest, size);
		reader->number++;
		if (is_dropped)
			continue;
		if (first == 0)
			first = reader->number;
		err = buf_append(line, physical);
		if (err < 0)
			return err;
	}
	if (first == 0)
		return ERR_NOTFOUND;
	*ret_number = first;
	return ERR_OK;
}
