/* transcript.c - see transcript.h */
#include "message/transcript.h"

/* What is dropped of a full one: room for a line at least. */
enum { DROP_LINES = 20, DROP_BYTES = 2048 };

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

/* Some lines at a time, so that a session of thousands moves its bytes seldom. */
static void
make_room(struct transcript *transcript, size_t needed)
{
	struct slice rest = buf_slice(&transcript->lines);

	if (transcript->line_count < TRANSCRIPT_LINES_MAX &&
		transcript->lines.len + needed <= TRANSCRIPT_BYTES_MAX)
		return;
	while (transcript->line_count > TRANSCRIPT_LINES_MAX - DROP_LINES ||
		rest.len > TRANSCRIPT_BYTES_MAX - DROP_BYTES) {
		rest = slice_from(rest, slice_find(rest, '\n') + 1);
		transcript->line_count--;
		transcript->dropped++;
	}
	buf_consume(&transcript->lines, transcript->lines.len - rest.len);
}

void
transcript_put(struct transcript *transcript, const char *who, struct slice text)
{
	size_t shown, limit;

	if (!transcript->is_kept)
		return;
	shown = shown_length(text);
	limit = shown < TRANSCRIPT_LINE_MAX ? shown : TRANSCRIPT_LINE_MAX;
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
