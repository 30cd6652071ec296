/*
 * downgrade.c - see downgrade.h
 *
 * Survey and conversion are one walk over lines; where they differ, `out` tells which it is. Both
 * number the parts in the order of their headers, so what the survey found about a part is found
 * again by its number.
 */
#include "message/downgrade.h"

#include "base/check.h"
#include "base/mem.h"
#include "message/encoding.h"
#include "message/mime_type.h"

/* HOLD_MAX: of a line that is not whole yet; more than any boundary and its blanks. */
enum { HOLD_MAX = 2048, BASE64_SHARE = 4 };

#define TYPE_FIELD "Content-Type: text/plain; charset=unknown-8bit\r\n"

enum place {
	AT_HEADER,
	AT_LEAF,
	AT_AROUND, /* before, between and behind the parts of a multipart */
};

enum plan {
	PLAN_KEEP,
	PLAN_RELABEL, /* it is called 8bit, but need not be */
	PLAN_QUOTED,
	PLAN_BASE64,
};

struct part {
	enum plan plan;
	bool is_text;
	bool is_labelled; /* 8bit or binary */
	const char *why;  /* it may not be encoded; NULL: it may */
	uint64_t bytes, high, coded, longest; /* of a leaf; coded: =XX in quoted-printable */
};

/* A line, or a piece of a long one; raw: with its line end. */
struct line {
	struct slice raw, text;
	bool is_first, is_last;
};

/* What is open around the place where the walk is. */
struct frame {
	bool is_multipart; /* else: a message in a message */
	bool is_digest;
	size_t boundary_at, boundary_len; /* in `boundaries` */
};

/* The MIME fields of the header that is being read; the first of each counts. */
enum field {
	FIELD_OTHER,
	FIELD_TYPE,
	FIELD_ENCODING,
	FIELD_VERSION,
	FIELD_COUNT,
	FIELD_LEFT_OUT, /* another one comes in its place */
};

struct downgrade {
	bool is_survey;
	struct buf *out; /* of the conversion */
	enum place place;
	struct frame frames[DOWNGRADE_DEPTH_MAX];
	unsigned depth;
	struct buf boundaries;
	struct part *parts;
	size_t part_count, part_room;
	size_t part; /* index of the current one; part_count: it is not known */
	size_t next;
	const char *why; /* the first thing that stands in the way */
	bool has_high;   /* a byte above 127 anywhere */
	/* The header. */
	bool is_message;  /* of a message, not of a part in a multipart */
	bool is_default_message; /* in a digest */
	enum field field; /* the one that goes on */
	bool has_field;
	bool is_seen[FIELD_COUNT];
	bool is_too_long;
	struct buf values[FIELD_COUNT];
	/* The line. */
	struct buf hold;
	bool in_line; /* its beginning was taken already */
	uint64_t line_len;
	/* The leaf. */
	struct encoding encoding;
	bool owes_newline; /* base64: a line end that may be the boundary's */
};

/* --- life ------------------------------------------------------------------------------------- */

static void part_begin(struct downgrade *downgrade, bool is_message);

/* Before the first byte. */
static void
walk_begin(struct downgrade *downgrade, bool is_survey)
{
	downgrade->is_survey = is_survey;
	downgrade->depth = 0;
	downgrade->next = 0;
	downgrade->in_line = downgrade->is_default_message = false;
	buf_clear(&downgrade->boundaries);
	buf_clear(&downgrade->hold);
	part_begin(downgrade, true);
}

struct downgrade *
downgrade_new(void)
{
	struct downgrade *downgrade = MEM_NEW(struct downgrade);

	buf_init(&downgrade->boundaries, 0);
	buf_init(&downgrade->hold, 0);
	for (int i = 0; i < FIELD_COUNT; i++)
		buf_init(&downgrade->values[i], DOWNGRADE_FIELD_MAX);
	walk_begin(downgrade, true);
	return downgrade;
}

void
downgrade_free(struct downgrade *downgrade)
{
	if (downgrade == NULL)
		return;
	buf_done(&downgrade->boundaries);
	buf_done(&downgrade->hold);
	for (int i = 0; i < FIELD_COUNT; i++)
		buf_done(&downgrade->values[i]);
	mem_free(downgrade->parts);
	mem_free(downgrade);
}

/* --- parts ------------------------------------------------------------------------------------ */

static void
refuse(struct downgrade *downgrade, const char *why)
{
	if (downgrade->why == NULL)
		downgrade->why = why;
}

static struct part *
part_current(struct downgrade *downgrade)
{
	return downgrade->part < downgrade->part_count ? &downgrade->parts[downgrade->part] : NULL;
}

static enum plan
plan_current(struct downgrade *downgrade)
{
	const struct part *part = part_current(downgrade);

	return part == NULL ? PLAN_KEEP : part->plan;
}

/* Room for one more; beyond DOWNGRADE_PARTS_MAX there is none. */
static void
part_add(struct downgrade *downgrade)
{
	if (downgrade->part_count == DOWNGRADE_PARTS_MAX)
		return;
	if (downgrade->part_count == downgrade->part_room) {
		downgrade->part_room = downgrade->part_room == 0 ? 8 : 2 * downgrade->part_room;
		downgrade->parts = mem_resize(
			downgrade->parts, downgrade->part_room, sizeof(*downgrade->parts));
	}
	downgrade->parts[downgrade->part_count++] = (struct part){ .plan = PLAN_KEEP };
}

static void
part_begin(struct downgrade *downgrade, bool is_message)
{
	if (downgrade->is_survey)
		part_add(downgrade);
	downgrade->part = downgrade->next++;
	downgrade->place = AT_HEADER;
	downgrade->is_message = is_message;
	downgrade->field = FIELD_OTHER;
	downgrade->has_field = downgrade->is_too_long = false;
	for (int i = 0; i < FIELD_COUNT; i++) {
		downgrade->is_seen[i] = false;
		buf_clear(&downgrade->values[i]);
	}
}

static bool
has_high(struct slice bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		if (bytes.ptr[i] > 127)
			return true;
	return false;
}

/* --- headers ---------------------------------------------------------------------------------- */

static enum field
field_of(struct slice line)
{
	static const char *const names[FIELD_COUNT] = { [FIELD_TYPE] = "content-type",
		[FIELD_ENCODING] = "content-transfer-encoding", [FIELD_VERSION] = "mime-version" };
	struct slice name = slice_trim(slice_head(line, slice_find(line, ':')));

	for (int i = FIELD_OTHER + 1; i < FIELD_COUNT; i++)
		if (slice_equal_nocase_str(name, names[i]))
			return (enum field)i;
	return FIELD_OTHER;
}

/* A name, perhaps blanks, a colon. */
static bool
is_field(struct slice line)
{
	size_t colon = slice_find(line, ':');
	struct slice name = slice_trim(slice_head(line, colon));

	if (colon == line.len || name.len == 0 || line.ptr[0] == ' ' || line.ptr[0] == '\t')
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (name.ptr[i] <= ' ' || name.ptr[i] >= 127)
			return false;
	return true;
}

/* What goes on behind a field's name, or in its next line. */
static void
keep_value(struct downgrade *downgrade, struct slice text)
{
	if (downgrade->field == FIELD_OTHER || downgrade->field == FIELD_LEFT_OUT)
		return;
	if (buf_append(&downgrade->values[downgrade->field], text) != ERR_OK)
		downgrade->is_too_long = true;
}

static void
field_begin(struct downgrade *downgrade, struct slice line)
{
	enum field field = field_of(line);

	/* A second one counts as little as it does with readers of mail. */
	downgrade->field = downgrade->is_seen[field] ? FIELD_OTHER : field;
	downgrade->is_seen[field] = downgrade->has_field = true;
	keep_value(downgrade, slice_from(line, slice_find(line, ':') + 1));
	if (field == FIELD_ENCODING && plan_current(downgrade) != PLAN_KEEP)
		downgrade->field = FIELD_LEFT_OUT;
}

static void
type_of(struct downgrade *downgrade, struct mime_type *type)
{
	if (downgrade->is_seen[FIELD_TYPE])
		mime_type_parse(buf_slice(&downgrade->values[FIELD_TYPE]), type);
	else
		*type = (struct mime_type){
			.kind = downgrade->is_default_message ? MIME_MESSAGE : MIME_TEXT };
}

/* What keeps a part from being looked into or encoded. */
static const char *
obstacle(const struct downgrade *downgrade, const struct mime_type *type,
	enum mime_encoding encoding)
{
	bool is_container = type->kind == MIME_MULTIPART || type->kind == MIME_DIGEST ||
			    type->kind == MIME_MESSAGE;

	if (downgrade->is_too_long)
		return "a MIME field is too long";
	if (encoding == MIME_ENCODED)
		return "bytes above 127 in a part that is encoded already";
	if (type->kind == MIME_PIECE)
		return "bytes above 127 in a part that may not be encoded";
	if (!is_container)
		return NULL;
	if (type->kind != MIME_MESSAGE && type->boundary_len == 0)
		return "a multipart without a boundary";
	return downgrade->depth == DOWNGRADE_DEPTH_MAX ? "MIME parts are nested too deep" : NULL;
}

/* Fields in the place of those that were left out. */
static void
put_fields(struct downgrade *downgrade)
{
	enum plan plan = plan_current(downgrade);

	if (plan == PLAN_KEEP)
		return;
	if (downgrade->is_message && !downgrade->is_seen[FIELD_VERSION])
		buf_add_str(downgrade->out, "MIME-Version: 1.0\r\n");
	if (plan != PLAN_RELABEL && !downgrade->is_seen[FIELD_TYPE])
		buf_add_str(downgrade->out, TYPE_FIELD);
	buf_add_str(downgrade->out, "Content-Transfer-Encoding: ");
	buf_add_str(downgrade->out, plan == PLAN_RELABEL  ? "7bit\r\n"
				    : plan == PLAN_BASE64 ? "base64\r\n"
							  : "quoted-printable\r\n");
}

static void
leaf_begin(struct downgrade *downgrade)
{
	downgrade->place = AT_LEAF;
	downgrade->owes_newline = false;
	downgrade->encoding = (struct encoding){
		.kind = plan_current(downgrade) == PLAN_BASE64 ? ENCODING_BASE64
							       : ENCODING_QUOTED_PRINTABLE };
}

static void
frame_push(struct downgrade *downgrade, const struct mime_type *type)
{
	downgrade->frames[downgrade->depth++] = (struct frame){
		.is_multipart = type->kind != MIME_MESSAGE,
		.is_digest = type->kind == MIME_DIGEST,
		.boundary_at = downgrade->boundaries.len,
		.boundary_len = type->kind == MIME_MESSAGE ? 0 : type->boundary_len,
	};
	if (type->kind != MIME_MESSAGE)
		buf_add(&downgrade->boundaries, slice_make(type->boundary, type->boundary_len));
}

/* The header is read: what comes now? */
static void
header_end(struct downgrade *downgrade)
{
	struct mime_type type;
	enum mime_encoding encoding;
	struct part *part = part_current(downgrade);
	const char *why;

	type_of(downgrade, &type);
	encoding = mime_type_encoding(buf_slice(&downgrade->values[FIELD_ENCODING]));
	why = obstacle(downgrade, &type, encoding);
	if (!downgrade->is_survey) {
		put_fields(downgrade);
	} else if (part != NULL) {
		part->why = why;
		part->is_text = type.kind == MIME_TEXT;
		part->is_labelled = encoding == MIME_8BIT;
	}
	if (why != NULL || type.kind == MIME_TEXT || type.kind == MIME_OTHER) {
		leaf_begin(downgrade);
		return;
	}
	frame_push(downgrade, &type);
	downgrade->is_default_message = false;
	if (type.kind == MIME_MESSAGE)
		part_begin(downgrade, true);
	else
		downgrade->place = AT_AROUND;
}

static void line_dispatch(struct downgrade *downgrade, const struct line *line);

/* No empty line: what is no field is text already, unless it belongs to what is inside. */
static void
header_end_without_line(struct downgrade *downgrade, const struct line *line)
{
	bool is_changed = plan_current(downgrade) != PLAN_KEEP;

	header_end(downgrade);
	if (!downgrade->is_survey && is_changed)
		buf_add_str(downgrade->out, "\r\n");
	line_dispatch(downgrade, line);
}

static void
header_line(struct downgrade *downgrade, const struct line *line)
{
	struct slice text = line->text;
	bool goes_on = !line->is_first || (downgrade->has_field && text.len > 0 &&
						  (text.ptr[0] == ' ' || text.ptr[0] == '\t'));

	if (line->is_first && line->is_last && text.len == 0) {
		header_end(downgrade);
		if (!downgrade->is_survey)
			buf_add(downgrade->out, line->raw);
		return;
	}
	if (!goes_on && !is_field(text)) {
		header_end_without_line(downgrade, line);
		return;
	}
	if (has_high(text)) {
		downgrade->has_high = true;
		refuse(downgrade, "bytes above 127 in a header");
	}
	if (goes_on)
		keep_value(downgrade, text);
	else
		field_begin(downgrade, text);
	if (!downgrade->is_survey && downgrade->field != FIELD_LEFT_OUT)
		buf_add(downgrade->out, line->raw);
}

/* --- leaves ----------------------------------------------------------------------------------- */

static void
leaf_count(struct downgrade *downgrade, const struct line *line)
{
	struct part *part = part_current(downgrade);
	uint64_t high = 0, coded = 0;

	for (size_t i = 0; i < line->text.len; i++) {
		uint8_t byte = line->text.ptr[i];

		high += byte > 127;
		coded += byte > 126 || byte == '=' || (byte < ' ' && byte != '\t');
	}
	downgrade->has_high |= high > 0;
	if (part == NULL) {
		if (high > 0)
			refuse(downgrade, "too many MIME parts");
		return;
	}
	part->bytes += line->raw.len;
	part->high += high;
	part->coded += coded;
	if (downgrade->line_len > part->longest)
		part->longest = downgrade->line_len;
}

static void
leaf_line(struct downgrade *downgrade, const struct line *line)
{
	bool has_newline = line->raw.len > line->text.len;

	if (downgrade->is_survey) {
		leaf_count(downgrade, line);
		return;
	}
	if (plan_current(downgrade) < PLAN_QUOTED) {
		buf_add(downgrade->out, line->raw);
		return;
	}
	if (downgrade->owes_newline)
		encoding_newline(&downgrade->encoding, downgrade->out);
	encoding_put(&downgrade->encoding, downgrade->out, line->text);
	downgrade->owes_newline = has_newline && downgrade->encoding.kind == ENCODING_BASE64;
	if (has_newline && !downgrade->owes_newline)
		encoding_newline(&downgrade->encoding, downgrade->out);
}

/* The line end in front of a boundary belongs to that. */
static void
leaf_end(struct downgrade *downgrade, bool at_boundary)
{
	if (downgrade->is_survey || plan_current(downgrade) < PLAN_QUOTED)
		return;
	if (downgrade->owes_newline && !at_boundary)
		encoding_newline(&downgrade->encoding, downgrade->out);
	encoding_end(&downgrade->encoding, downgrade->out, !at_boundary);
}

/* --- around parts, and boundaries ------------------------------------------------------------- */

static void
around_line(struct downgrade *downgrade, const struct line *line)
{
	size_t start = downgrade->is_survey ? 0 : downgrade->out->len;

	downgrade->has_high |= has_high(line->raw);
	if (downgrade->is_survey)
		return;
	buf_add(downgrade->out, line->raw);
	for (size_t i = start; i < downgrade->out->len; i++)
		if (downgrade->out->ptr[i] > 127)
			downgrade->out->ptr[i] = '?';
}

/* The line is "--BOUNDARY" or "--BOUNDARY--", and perhaps blanks. */
static bool
is_boundary(const struct downgrade *downgrade, const struct frame *frame, struct slice line,
	bool *ret_is_close)
{
	struct slice boundary =
		slice_make(downgrade->boundaries.ptr + frame->boundary_at, frame->boundary_len);
	struct slice rest = slice_from(line, 2);

	if (!frame->is_multipart || !slice_starts(rest, boundary))
		return false;
	rest = slice_from(rest, boundary.len);
	while (rest.len > 0 && (rest.ptr[rest.len - 1] == ' ' || rest.ptr[rest.len - 1] == '\t'))
		rest.len--;
	*ret_is_close = rest.len > 0;
	return rest.len == 0 || slice_equal_str(rest, "--");
}

/* Of the innermost multipart that has it; whatever is open inside is over, too. */
static bool
boundary_take(struct downgrade *downgrade, const struct line *line)
{
	unsigned i = downgrade->depth;
	bool is_close = false;

	while (i > 0 && !is_boundary(downgrade, &downgrade->frames[i - 1], line->text, &is_close))
		i--;
	if (i == 0)
		return false;
	if (downgrade->place == AT_LEAF)
		leaf_end(downgrade, true);
	if (!downgrade->is_survey)
		buf_add(downgrade->out, line->raw);
	const struct frame *frame = &downgrade->frames[i - 1];

	downgrade->depth = is_close ? i - 1 : i;
	downgrade->boundaries.len = frame->boundary_at + (is_close ? 0 : frame->boundary_len);
	downgrade->is_default_message = frame->is_digest && !is_close;
	if (is_close)
		downgrade->place = AT_AROUND;
	else
		part_begin(downgrade, false);
	return true;
}

/* --- lines ------------------------------------------------------------------------------------ */

static void
line_dispatch(struct downgrade *downgrade, const struct line *line)
{
	switch (downgrade->place) {
	case AT_HEADER:
		header_line(downgrade, line);
		break;
	case AT_LEAF:
		leaf_line(downgrade, line);
		break;
	case AT_AROUND:
		around_line(downgrade, line);
		break;
	}
}

/* A line, or what follows of one that is longer than HOLD_MAX. */
static void
line_take(struct downgrade *downgrade, struct slice raw, bool is_last)
{
	struct line line = { .raw = raw, .text = raw, .is_first = !downgrade->in_line,
		.is_last = is_last };

	if (raw.len > 0 && raw.ptr[raw.len - 1] == '\n')
		line.text.len -= raw.len > 1 && raw.ptr[raw.len - 2] == '\r' ? 2 : 1;
	downgrade->line_len = (line.is_first ? 0 : downgrade->line_len) + line.text.len;
	downgrade->in_line = !is_last;
	if (line.is_first && is_last && slice_starts(line.text, SLICE_LIT("--")) &&
		boundary_take(downgrade, &line))
		return;
	line_dispatch(downgrade, &line);
}

/* A CR at its end may belong to a line end. */
static void
hold_flush(struct downgrade *downgrade, bool is_last)
{
	struct slice held = buf_slice(&downgrade->hold);

	if (!is_last && held.ptr[held.len - 1] == '\r')
		held.len--;
	line_take(downgrade, held, is_last);
	buf_consume(&downgrade->hold, held.len);
}

static void
walk(struct downgrade *downgrade, struct slice bytes)
{
	while (bytes.len > 0) {
		size_t end = slice_find(bytes, '\n');
		bool is_whole = end < bytes.len;
		struct slice piece = slice_head(bytes, end + 1);

		bytes = slice_from(bytes, piece.len);
		if (is_whole && downgrade->hold.len == 0 &&
			(downgrade->in_line || piece.len <= HOLD_MAX)) {
			line_take(downgrade, piece, true);
			continue;
		}
		while (piece.len > 0) {
			struct slice part = slice_head(piece, HOLD_MAX - downgrade->hold.len);

			buf_add(&downgrade->hold, part);
			piece = slice_from(piece, part.len);
			if ((is_whole && piece.len == 0) || downgrade->hold.len == HOLD_MAX)
				hold_flush(downgrade, is_whole && piece.len == 0);
		}
	}
}

/* Readers take the end of a message for a boundary that is missing. */
static bool
is_in_multipart(const struct downgrade *downgrade)
{
	for (unsigned i = 0; i < downgrade->depth; i++)
		if (downgrade->frames[i].is_multipart)
			return true;
	return false;
}

/* The last line may have no end. */
static void
walk_end(struct downgrade *downgrade)
{
	if (downgrade->hold.len > 0)
		hold_flush(downgrade, true);
	if (downgrade->place == AT_LEAF)
		leaf_end(downgrade, is_in_multipart(downgrade));
}

/* --- from outside ----------------------------------------------------------------------------- */

void
downgrade_survey(struct downgrade *downgrade, struct slice bytes)
{
	CHECK(downgrade->is_survey);
	walk(downgrade, bytes);
}

static enum plan
plan_of(const struct part *part)
{
	bool is_coded = part->high > 0 || part->longest > DOWNGRADE_LINE_MAX;

	if (!is_coded || part->why != NULL)
		return part->is_labelled ? PLAN_RELABEL : PLAN_KEEP;
	return !part->is_text || part->high > part->bytes / BASE64_SHARE ? PLAN_BASE64
									 : PLAN_QUOTED;
}

const char *
downgrade_settle(struct downgrade *downgrade, bool *ret_needed)
{
	CHECK(downgrade->is_survey);
	walk_end(downgrade);
	*ret_needed = downgrade->has_high;
	if (!downgrade->has_high)
		return NULL;
	for (size_t i = 0; i < downgrade->part_count; i++) {
		struct part *part = &downgrade->parts[i];

		if (part->high > 0 && part->why != NULL)
			refuse(downgrade, part->why);
		part->plan = plan_of(part);
	}
	walk_begin(downgrade, false);
	return downgrade->why;
}

uint64_t
downgrade_growth(const struct downgrade *downgrade)
{
	uint64_t growth = 0;

	for (size_t i = 0; i < downgrade->part_count; i++) {
		const struct part *part = &downgrade->parts[i];

		if (part->plan == PLAN_BASE64)
			growth += part->bytes / 3 + 2 * (part->bytes / ENCODING_BASE64_GROUP);
		else if (part->plan == PLAN_QUOTED)
			growth += 2 * part->coded + part->bytes / ENCODING_LINE_MAX * 3;
		if (part->plan >= PLAN_QUOTED)
			growth += sizeof(TYPE_FIELD) + 64;
	}
	return growth;
}

void
downgrade_convert(struct downgrade *downgrade, struct slice bytes, struct buf *out)
{
	CHECK(!downgrade->is_survey);
	downgrade->out = out;
	walk(downgrade, bytes);
}

void
downgrade_convert_end(struct downgrade *downgrade, struct buf *out)
{
	CHECK(!downgrade->is_survey);
	downgrade->out = out;
	walk_end(downgrade);
}
