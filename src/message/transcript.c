/* transcript.c - see transcript.h */
#include "message/transcript.h"

void
transcript_init(struct transcript *transcript, bool is_kept)
{
	*transcript = (struct transcript){ .is_kept = is_kept };
	buf_init(&transcript->lines, 0);
}

void
transcript_done(struct transcript *transcript)
{
	buf_done(&transcript->lines);
}

/* How much of it may be shown: of AUTH its mechanism, where the password may follow. */
static size_t
shown_length(struct slice text)
{
	struct slice rest = text, word;

	if (!slice_word(&rest, " \t", &word) || !slice_equal_nocase_str(word, "AUTH"))
		return text.len;
	if (!slice_word(&rest, " \t", &word))
		return text.len;
	return (size_t)(word.ptr + word.len - text.ptr);
}

static void
put_printable(struct buf *out, struct slice text)
{
	size_t start = out->len;

	buf_add(out, text);
	for (size_t i = start; i < out->len; i++)
		if (out->ptr[i] < ' ' || out->ptr[i] > 126)
			out->ptr[i] = '?';
}

static void
make_room(struct transcript *transcript, size_t needed)
{
	while (transcript->line_count == TRANSCRIPT_LINES_MAX ||
		transcript->lines.len + needed > TRANSCRIPT_BYTES_MAX) {
		size_t first = slice_find(buf_slice(&transcript->lines), '\n') + 1;

		buf_consume(&transcript->lines, first);
		transcript->line_count--;
		transcript->dropped++;
	}
}

void
transcript_put(struct transcript *transcript, const char *who, struct slice text)
{
	size_t shown = shown_length(text);
	size_t limit = shown < TRANSCRIPT_LINE_MAX ? shown : TRANSCRIPT_LINE_MAX;

	if (!transcript->is_kept)
		return;
	make_room(transcript, TRANSCRIPT_LINE_MAX + 16);
	buf_add_str(&transcript->lines, who);
	put_printable(&transcript->lines, slice_head(text, limit));
	buf_add_str(&transcript->lines, limit < text.len ? " ...\n" : "\n");
	transcript->line_count++;
}

void
transcript_put_lines(struct transcript *transcript, const char *who, struct slice text)
{
	while (transcript->is_kept && text.len > 0) {
		size_t end = slice_find(text, '\n');
		struct slice line = slice_head(text, end);

		if (line.len > 0 && line.ptr[line.len - 1] == '\r')
			line.len--;
		transcript_put(transcript, who, line);
		text = slice_from(text, end + 1);
	}
}
