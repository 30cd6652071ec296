/*
 * postfix_file.c - reads a file of a Postfix queue (see postfix_file.h)
 */
#include "message/postfix_file.h"

#include "base/mem.h"
#include "base/num.h"
#include "message/address.h"
#include "message/dsn.h"

enum {
	POSTFIX_FILE_LENGTH_BITS = 35, /* groups of 7 that a length may have */
	POSTFIX_FILE_UTF8_REQUESTED = 1,
	POSTFIX_FILE_UTF8_HEADER = 2,
	POSTFIX_FILE_UTF8_SENDER = 4,
	POSTFIX_FILE_TRACE_PROBES = 1 << 8 | 1 << 9, /* verify(8) and sendmail -bv */
};

enum postfix_segment { POSTFIX_ENVELOPE, POSTFIX_CONTENT, POSTFIX_EXTRACTED, POSTFIX_END };

struct postfix_record {
	uint8_t type;
	struct slice data;
};

struct postfix_reader {
	struct slice bytes;
	size_t at;
	size_t budget; /* records that may still be read: a loop of pointers ends here */
	enum postfix_segment segment;
	struct postfix_file *file;
	struct postfix_file_recipient next; /* what was said of the recipient to come */
	size_t cap;			    /* of file->recipients */
	uint64_t content_at;		    /* where the size record says that content begins */
	uint64_t options;		    /* SMTPUTF8 flags of the size record */
	bool has_sender, has_arrival, has_utf8_recipient;
};

/* --- records -------------------------------------------------------------------------------- */

static enum err
postfix_length(struct postfix_reader *reader, size_t *ret_length)
{
	uint64_t length = 0;

	for (unsigned shift = 0; shift < POSTFIX_FILE_LENGTH_BITS; shift += 7) {
		uint8_t group;

		if (reader->at >= reader->bytes.len)
			return ERR_AGAIN;
		group = reader->bytes.ptr[reader->at++];
		length |= (uint64_t)(group & 127) << shift;
		if ((group & 128) != 0)
			continue;
		*ret_length = (size_t)length;
		return ERR_OK;
	}
	return ERR_SYNTAX;
}

static enum err
postfix_record(struct postfix_reader *reader, struct postfix_record *ret_record)
{
	size_t length = 0;
	enum err err;

	if (reader->at >= reader->bytes.len)
		return ERR_AGAIN;
	if (reader->budget-- == 0)
		return ERR_SYNTAX;
	ret_record->type = reader->bytes.ptr[reader->at++];
	err = postfix_length(reader, &length);
	if (err < 0)
		return err;
	if (length > reader->bytes.len - reader->at)
		return ERR_AGAIN;
	ret_record->data = slice_make(reader->bytes.ptr + reader->at, length);
	reader->at += length;
	return ERR_OK;
}

/* Numbers are padded with blanks, so that they can be changed in place. */
static enum err
postfix_number(struct slice text, uint64_t max, uint64_t *ret_number)
{
	return num_parse_u64(slice_trim(text), 0, max, ret_number) == ERR_OK ? ERR_OK : ERR_SYNTAX;
}

/* A pointer goes on elsewhere; 0 is one that is not used yet. */
static enum err
postfix_jump(struct postfix_reader *reader, struct slice data)
{
	uint64_t offset;
	enum err err = postfix_number(data, reader->bytes.len, &offset);

	if (err == ERR_OK && offset > 0)
		reader->at = (size_t)offset;
	return err;
}

/* --- envelope ------------------------------------------------------------------------------- */

/* Sizes: content, its offset, recipients, options, content without pointers, SMTPUTF8. */
static enum err
postfix_sizes(struct postfix_reader *reader, struct slice data)
{
	uint64_t numbers[6] = { 0 };
	struct slice word;
	size_t count = 0;

	while (count < 6 && slice_word(&data, " ", &word))
		if (num_parse_u64(word, 0, UINT64_MAX, &numbers[count++]) < 0)
			return ERR_SYNTAX;
	if (count < 3 || numbers[0] == 0 || numbers[1] == 0 || reader->content_at != 0)
		return ERR_SYNTAX;
	reader->content_at = numbers[1];
	reader->options = numbers[5];
	return ERR_OK;
}

/* Seconds, and microseconds if they are there. */
static enum err
postfix_time(struct slice data, uint64_t *ret_us)
{
	struct slice word;
	uint64_t seconds, us = 0;

	if (!slice_word(&data, " ", &word)
		|| num_parse_u64(word, 0, UINT32_MAX * UINT64_C(64), &seconds) < 0)
		return ERR_SYNTAX;
	if (slice_word(&data, " ", &word) && num_parse_u64(word, 0, 999999, &us) < 0)
		return ERR_SYNTAX;
	*ret_us = seconds * 1000000 + us;
	return ERR_OK;
}

static enum err
postfix_recipient(struct postfix_reader *reader, struct slice address)
{
	struct postfix_file *file = reader->file;

	if (file->recipient_count == POSTFIX_FILE_RECIPIENTS_MAX)
		return ERR_LIMIT;
	if (file->recipient_count == reader->cap) {
		size_t cap = reader->cap == 0 ? 4 : 2 * reader->cap;
		void *larger = mem_try_resize(file->recipients, cap * sizeof(*file->recipients));

		if (larger == NULL)
			return ERR_NOMEM;
		file->recipients = larger;
		reader->cap = cap;
	}
	reader->next.address = address;
	file->recipients[file->recipient_count++] = reader->next;
	reader->next = (struct postfix_file_recipient) { 0 };
	if (address_is_utf8(address))
		reader->has_utf8_recipient = true;
	return ERR_OK;
}

static enum err
postfix_notify(struct postfix_reader *reader, struct slice value)
{
	uint64_t bits;

	if (postfix_number(value, DSN_NOTIFY_ALL, &bits) < 0
		|| ((bits & DSN_NOTIFY_NEVER) != 0 && bits != DSN_NOTIFY_NEVER))
		return ERR_SYNTAX;
	reader->next.notify = (uint8_t)bits;
	return ERR_OK;
}

static enum err
postfix_ret(struct postfix_reader *reader, struct slice value)
{
	uint64_t ret;

	if (postfix_number(value, DSN_RET_HDRS, &ret) < 0)
		return ERR_SYNTAX;
	reader->file->ret = (uint8_t)ret;
	return ERR_OK;
}

/* name=value; names that mean nothing here are many. */
static enum err
postfix_attribute(struct postfix_reader *reader, struct slice data)
{
	size_t equals = slice_find(data, '=');
	struct slice name = slice_trim(slice_head(data, equals));
	struct slice value = slice_trim(slice_from(data, equals + 1));
	uint64_t flags;

	if (equals == data.len || name.len == 0)
		return ERR_SYNTAX;
	if (slice_equal_str(name, "dsn_orig_rcpt"))
		reader->next.orcpt = value;
	else if (slice_equal_str(name, "notify_flags"))
		return postfix_notify(reader, value);
	else if (slice_equal_str(name, "envelope_id"))
		reader->file->envid = value;
	else if (slice_equal_str(name, "ret_flags"))
		return postfix_ret(reader, value);
	else if (slice_equal_str(name, "encoding"))
		reader->file->body_8bit = slice_equal_nocase_str(value, "8bit");
	else if (slice_equal_str(name, "trace_flags"))
		return postfix_number(value, UINT32_MAX, &flags) < 0	? ERR_SYNTAX
		       : (flags & POSTFIX_FILE_TRACE_PROBES) != 0	? ERR_VERSION
									: ERR_OK;
	return ERR_OK;
}

static void
postfix_sender(struct postfix_reader *reader, struct slice data)
{
	if (!reader->has_sender)
		reader->file->sender = data;
	reader->has_sender = true;
}

static enum err
postfix_arrival(struct postfix_reader *reader, struct slice data)
{
	if (reader->has_arrival)
		return ERR_OK;
	reader->has_arrival = true;
	return postfix_time(data, &reader->file->arrival_us);
}

/* One record of the first or the last segment. */
static enum err
postfix_envelope_record(struct postfix_reader *reader, const struct postfix_record *record)
{
	switch (record->type) {
	case 'C':
		return postfix_sizes(reader, record->data);
	case 'T':
		return postfix_arrival(reader, record->data);
	case 'c':
		return postfix_time(record->data, &reader->file->created_us);
	case 'S':
		postfix_sender(reader, record->data);
		return ERR_OK;
	case 'F':
		reader->file->full_name = record->data;
		return ERR_OK;
	case 'A':
		return postfix_attribute(reader, record->data);
	case 'O':
		reader->next.original = record->data;
		return ERR_OK;
	case 'R':
		return postfix_recipient(reader, record->data);
	case 'D':
	case '/': /* taken off by a milter */
		reader->next = (struct postfix_file_recipient) { 0 };
		reader->file->done_count++;
		return ERR_OK;
	case 'o':
		reader->next.orcpt = record->data;
		return ERR_OK;
	case 'n':
		return postfix_notify(reader, record->data);
	case 'i':
		reader->file->envid = record->data;
		return ERR_OK;
	case '<':
		return postfix_ret(reader, record->data);
	case '>': /* all recipients are replaced by this one */
		return ERR_VERSION;
	case 'I':
	case 'L':
	case 'W':
	case 'K':
	case 'V':
	case 'P':
	case 'd':
	case 'e':
	case 'f':
	case 'm':
	case 'r':
		return ERR_OK;
	default:
		return ERR_SYNTAX;
	}
}

/* --- the whole ------------------------------------------------------------------------------ */

static enum err
postfix_content_record(struct postfix_reader *reader, const struct postfix_record *record)
{
	struct buf *content = &reader->file->content;
	enum err err;

	switch (record->type) {
	case 'N':
	case 'L':
		err = buf_append(content, record->data);
		return err == ERR_OK && record->type == 'N' ? buf_append_byte(content, '\n') : err;
	case 'X':
		reader->segment = POSTFIX_EXTRACTED;
		return ERR_OK;
	default:
		return ERR_SYNTAX;
	}
}

static enum err
postfix_step(struct postfix_reader *reader)
{
	struct postfix_record record;
	enum err err = postfix_record(reader, &record);

	if (err < 0)
		return err;
	if (record.type == 'p')
		return postfix_jump(reader, record.data);
	if (record.type == 'w')
		return ERR_OK;
	if (reader->segment == POSTFIX_CONTENT)
		return postfix_content_record(reader, &record);
	if (reader->segment == POSTFIX_ENVELOPE && record.type == 'M') {
		reader->segment = POSTFIX_CONTENT;
		return reader->content_at == 0 || reader->content_at == reader->at ? ERR_OK
										   : ERR_SYNTAX;
	}
	if (reader->segment == POSTFIX_EXTRACTED && record.type == 'E') {
		reader->segment = POSTFIX_END;
		return ERR_OK;
	}
	return postfix_envelope_record(reader, &record);
}

enum err
postfix_file_read(struct slice bytes, bool is_maildrop, struct postfix_file *ret_file)
{
	struct postfix_file file = { 0 };
	struct postfix_reader reader = { .bytes = bytes, .budget = bytes.len, .file = &file };
	enum err err = ERR_OK;

	/* Content is never more than the file: pointers cannot blow it up. */
	buf_init(&file.content, bytes.len + 1);
	while (err == ERR_OK && reader.segment != POSTFIX_END)
		err = postfix_step(&reader);
	if (err == ERR_OK
		&& (!reader.has_sender || !reader.has_arrival
			|| is_maildrop == (reader.content_at != 0)))
		err = ERR_SYNTAX;
	if (err < 0) {
		postfix_file_done(&file);
		return err;
	}
	file.smtputf8 = (reader.options & POSTFIX_FILE_UTF8_REQUESTED) != 0
			&& ((reader.options & (POSTFIX_FILE_UTF8_HEADER | POSTFIX_FILE_UTF8_SENDER))
					!= 0
				|| reader.has_utf8_recipient);
	*ret_file = file;
	return ERR_OK;
}

void
postfix_file_done(struct postfix_file *file)
{
	buf_done(&file->content);
	mem_free(file->recipients);
	*file = (struct postfix_file) { 0 };
}
