/*
 * submission.c - mail of this machine's users on its way to pickup (see submission.h)
 */
#include "message/submission.h"

#include "base/ascii.h"
#include "base/check.h"
#include "base/wire.h"
#include "message/address.h"
#include "message/dsn.h"
#include "message/verp.h"

#define SUBMISSION_MAGIC UINT64_C(0x31425553204c534f) /* "OSL SUB1" */

enum {
	SUBMISSION_MAGIC_SIZE = 12, /* with the length of the head */
	SUBMISSION_TRAILER_SIZE = 16,
	SUBMISSION_REPLY_HEADER_SIZE = 5,
	SUBMISSION_ADDRESS_FLAGS = ADDRESS_NULL | ADDRESS_UTF8 | ADDRESS_BARE,
};

enum err
submission_put_recipient(struct buf *list, const struct submission_recipient *recipient)
{
	enum err err;

	if (recipient->address.len > ADDRESS_MAX)
		return ERR_LIMIT;
	err = buf_reserve(list, recipient->address.len + 5);
	if (err < 0)
		return err;
	wire_put_u8(list, recipient->notify);
	wire_put_bytes(list, recipient->address);
	return ERR_OK;
}

enum err
submission_recipient_next(struct slice *list, struct submission_recipient *ret_recipient)
{
	struct wire_reader reader = wire_reader(*list);
	struct submission_recipient recipient;

	if (list->len == 0)
		return ERR_NOTFOUND;
	recipient.notify = wire_get_u8(&reader);
	recipient.address = wire_get_bytes(&reader);
	if (reader.failed)
		return ERR_SYNTAX;
	*list = reader.rest;
	*ret_recipient = recipient;
	return ERR_OK;
}

enum err
submission_put_detail(struct buf *list, const struct submission_detail *detail)
{
	enum err err;

	if (detail->original.len > ADDRESS_MAX || detail->orcpt.len > DSN_ORCPT_MAX)
		return ERR_LIMIT;
	err = buf_reserve(list, detail->original.len + detail->orcpt.len + 8);
	if (err < 0)
		return err;
	wire_put_bytes(list, detail->original);
	wire_put_bytes(list, detail->orcpt);
	return ERR_OK;
}

enum err
submission_detail_next(struct slice *list, struct submission_detail *ret_detail)
{
	struct wire_reader reader = wire_reader(*list);
	struct submission_detail detail;

	if (list->len == 0)
		return ERR_NOTFOUND;
	detail.original = wire_get_bytes(&reader);
	detail.orcpt = wire_get_bytes(&reader);
	if (reader.failed)
		return ERR_SYNTAX;
	*list = reader.rest;
	*ret_detail = detail;
	return ERR_OK;
}

bool
submission_key_is_valid(struct slice key)
{
	for (size_t i = 0; i < key.len; i++)
		if (key.ptr[i] <= ' ' || key.ptr[i] >= 127)
			return false;
	return key.len > 0 && key.len <= SUBMISSION_KEY_MAX;
}

void
submission_writer_init(struct submission_writer *writer)
{
	*writer = (struct submission_writer) { .hash = hash_stream_new() };
}

void
submission_writer_done(struct submission_writer *writer)
{
	hash_stream_free(writer->hash);
	*writer = (struct submission_writer) { 0 };
}

static size_t
submission_import_size(const struct submission *submission)
{
	const struct submission_import *import = &submission->import;

	return (submission->flags & SUBMISSION_IMPORT) == 0
		       ? 0
		       : 4 + 8 + 8 + 4 + import->key.len + 4 + import->details.len;
}

static size_t
submission_verp_size(const struct submission *submission)
{
	return (submission->flags & SUBMISSION_VERP) != 0 ? 4 + VERP_DELIMITERS : 0;
}

static void
submission_put_import(const struct submission *submission, struct buf *bytes)
{
	const struct submission_import *import = &submission->import;

	if ((submission->flags & SUBMISSION_IMPORT) == 0)
		return;
	wire_put_u32(bytes, import->flags);
	wire_put_u64(bytes, import->arrival_us);
	wire_put_u64(bytes, import->created_us);
	wire_put_bytes(bytes, import->key);
	wire_put_bytes(bytes, import->details);
}

enum err
submission_put_head(
	struct submission_writer *writer, struct buf *bytes, const struct submission *submission)
{
	size_t length = 4 + 8 + 1 + 4 * 4 + 4 + submission->sender.len + submission->full_name.len
			+ submission->envid.len + submission->recipients.len
			+ submission_verp_size(submission) + submission_import_size(submission);
	size_t start = bytes->len + SUBMISSION_MAGIC_SIZE;
	enum err err;

	CHECK(submission->verp.len
		== ((submission->flags & SUBMISSION_VERP) != 0 ? VERP_DELIMITERS : 0U));
	if (length > SUBMISSION_HEAD_MAX || submission->recipient_count > SUBMISSION_RECIPIENTS_MAX)
		return ERR_LIMIT;
	err = buf_reserve(bytes, SUBMISSION_MAGIC_SIZE + length);
	if (err < 0)
		return err;
	wire_put_u64(bytes, SUBMISSION_MAGIC);
	wire_put_u32(bytes, (uint32_t)length);
	wire_put_u32(bytes, submission->flags);
	wire_put_u64(bytes, submission->created_us);
	wire_put_u8(bytes, submission->ret);
	wire_put_bytes(bytes, submission->sender);
	wire_put_bytes(bytes, submission->full_name);
	wire_put_bytes(bytes, submission->envid);
	wire_put_u32(bytes, submission->recipient_count);
	wire_put_bytes(bytes, submission->recipients);
	if ((submission->flags & SUBMISSION_VERP) != 0)
		wire_put_bytes(bytes, submission->verp);
	submission_put_import(submission, bytes);
	CHECK(bytes->len == start + length);
	hash_stream_add(writer->hash, slice_from(buf_slice(bytes), start));
	return ERR_OK;
}

enum err
submission_put_content(struct submission_writer *writer, struct buf *bytes, struct slice part)
{
	while (part.len > 0) {
		struct slice piece = slice_head(part, SUBMISSION_PIECE_MAX);
		enum err err = buf_reserve(bytes, piece.len + 4);

		if (err < 0)
			return err;
		wire_put_bytes(bytes, piece);
		hash_stream_add(writer->hash, piece);
		writer->length += piece.len;
		part = slice_from(part, piece.len);
	}
	return ERR_OK;
}

enum err
submission_put_end(struct submission_writer *writer, struct buf *bytes)
{
	enum err err = buf_reserve(bytes, 4 + SUBMISSION_TRAILER_SIZE);

	if (err < 0)
		return err;
	wire_put_u32(bytes, 0);
	wire_put_u64(bytes, writer->length);
	wire_put_u64(bytes, hash_stream_value(writer->hash));
	return ERR_OK;
}

void
submission_reader_init(struct submission_reader *reader)
{
	*reader = (struct submission_reader) { .state = SUBMISSION_STATE_MAGIC,
		.wanted = SUBMISSION_MAGIC_SIZE,
		.at_line = true,
		.hash = hash_stream_new() };
	buf_init(&reader->head, SUBMISSION_HEAD_MAX);
}

void
submission_reader_done(struct submission_reader *reader)
{
	buf_done(&reader->head);
	hash_stream_free(reader->hash);
	*reader = (struct submission_reader) { .state = SUBMISSION_STATE_BAD };
}

bool
submission_reader_has_head(const struct submission_reader *reader)
{
	return reader->state >= SUBMISSION_STATE_LENGTH && reader->state <= SUBMISSION_STATE_DONE;
}

static bool
submission_has_control(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] < ' ' || text.ptr[i] == 127)
			return true;
	return false;
}

static enum err
submission_check_recipients(const struct submission *submission)
{
	struct slice rest = submission->recipients;
	struct submission_recipient recipient;
	uint32_t count = 0;
	enum err err;

	if (submission->recipient_count > SUBMISSION_RECIPIENTS_MAX)
		return ERR_LIMIT;
	while ((err = submission_recipient_next(&rest, &recipient)) == ERR_OK) {
		count++;
		if (recipient.address.len == 0
			|| address_check(recipient.address, SUBMISSION_ADDRESS_FLAGS) < 0
			|| (recipient.notify & ~DSN_NOTIFY_ALL) != 0
			|| ((recipient.notify & DSN_NOTIFY_NEVER) != 0
				&& recipient.notify != DSN_NOTIFY_NEVER))
			return ERR_SYNTAX;
	}
	return err == ERR_NOTFOUND && count == submission->recipient_count && count > 0
		       ? ERR_OK
		       : ERR_SYNTAX;
}

static enum err
submission_check_details(const struct submission *submission)
{
	struct slice rest = submission->import.details;
	struct submission_detail detail;
	uint32_t count = 0;
	enum err err;

	while ((err = submission_detail_next(&rest, &detail)) == ERR_OK) {
		count++;
		if (detail.orcpt.len > DSN_ORCPT_MAX || submission_has_control(detail.orcpt)
			|| (detail.orcpt.len > 0
				&& slice_find(detail.orcpt, ';') == detail.orcpt.len)
			|| address_check(detail.original, SUBMISSION_ADDRESS_FLAGS) < 0)
			return ERR_SYNTAX;
	}
	return err == ERR_NOTFOUND && count == submission->recipient_count ? ERR_OK : ERR_SYNTAX;
}

static void
submission_read_import(struct submission *submission, struct wire_reader *wire)
{
	struct submission_import *import = &submission->import;

	*import = (struct submission_import) { 0 };
	if ((submission->flags & SUBMISSION_IMPORT) == 0)
		return;
	import->flags = wire_get_u32(wire);
	import->arrival_us = wire_get_u64(wire);
	import->created_us = wire_get_u64(wire);
	import->key = wire_get_bytes(wire);
	import->details = wire_get_bytes(wire);
}

static enum err
submission_check_import(const struct submission *submission)
{
	if ((submission->flags & SUBMISSION_IMPORT) == 0)
		return ERR_OK;
	if ((submission->import.flags & ~(uint32_t)SUBMISSION_IMPORT_ALL) != 0
		|| !submission_key_is_valid(submission->import.key))
		return ERR_SYNTAX;
	return submission_check_details(submission);
}

/* The head is complete in reader->head. */
static enum err
submission_read_head(struct submission_reader *reader)
{
	struct wire_reader wire = wire_reader(buf_slice(&reader->head));
	struct submission *submission = &reader->submission;
	enum err err;

	hash_stream_add(reader->hash, buf_slice(&reader->head));
	submission->flags = wire_get_u32(&wire);
	submission->created_us = wire_get_u64(&wire);
	submission->ret = wire_get_u8(&wire);
	submission->sender = wire_get_bytes(&wire);
	submission->full_name = wire_get_bytes(&wire);
	submission->envid = wire_get_bytes(&wire);
	submission->recipient_count = wire_get_u32(&wire);
	submission->recipients = wire_get_bytes(&wire);
	submission->verp = slice_make(NULL, 0);
	if ((submission->flags & SUBMISSION_VERP) != 0)
		submission->verp = wire_get_bytes(&wire);
	submission_read_import(submission, &wire);
	if (wire_done(&wire) < 0 || (submission->flags & ~(uint32_t)SUBMISSION_FLAGS_ALL) != 0
		|| ((submission->flags & SUBMISSION_VERP) != 0
			&& submission->verp.len != VERP_DELIMITERS)
		|| submission->ret > DSN_RET_HDRS
		|| submission->full_name.len > SUBMISSION_FULL_NAME_MAX
		|| submission->envid.len > DSN_ENVID_MAX
		|| submission_has_control(submission->full_name)
		|| submission_has_control(submission->envid)
		|| address_check(submission->sender, SUBMISSION_ADDRESS_FLAGS) < 0)
		return ERR_SYNTAX;
	err = submission_check_recipients(submission);
	return err == ERR_OK ? submission_check_import(submission) : err;
}

static void
submission_enter(struct submission_reader *reader, enum submission_state state, size_t wanted)
{
	reader->state = state;
	reader->wanted = wanted;
	reader->small_len = 0;
}

/* Appends a piece as lines that end in CRLF. */
static enum err
submission_put_lines(struct submission_reader *reader, struct slice piece, struct buf *content)
{
	enum err err = buf_reserve(content, 2 * piece.len + 2);

	if (err < 0)
		return err;
	while (piece.len > 0) {
		size_t plain = 0;

		if (reader->after_cr && piece.ptr[0] != '\n')
			buf_add_str(content, " ");
		if (piece.ptr[0] == '\n')
			buf_add_str(content, "\r\n");
		reader->after_cr = piece.ptr[0] == '\r';
		reader->at_line = piece.ptr[0] == '\n';
		if (piece.ptr[0] == '\n' || piece.ptr[0] == '\r') {
			piece = slice_from(piece, 1);
			continue;
		}
		plain = slice_find(piece, '\n');
		plain = slice_find(slice_head(piece, plain), '\r');
		buf_add(content, slice_head(piece, plain));
		piece = slice_from(piece, plain);
	}
	return ERR_OK;
}

static enum err
submission_read_content(struct submission_reader *reader, struct slice *rest, struct buf *content)
{
	struct slice piece = slice_head(*rest, reader->wanted);
	enum err err = submission_put_lines(reader, piece, content);

	if (err < 0)
		return err;
	hash_stream_add(reader->hash, piece);
	reader->length += piece.len;
	reader->wanted -= piece.len;
	*rest = slice_from(*rest, piece.len);
	if (reader->wanted == 0)
		submission_enter(reader, SUBMISSION_STATE_LENGTH, 4);
	return ERR_OK;
}

/* A fixed number of bytes is complete in reader->small. */
static enum err
submission_read_small(struct submission_reader *reader, struct buf *content)
{
	uint32_t length;

	switch (reader->state) {
	case SUBMISSION_STATE_MAGIC:
		length = wire_load_u32(reader->small + 8);
		if (wire_load_u64(reader->small) != SUBMISSION_MAGIC)
			return ERR_VERSION;
		if (length == 0 || length > SUBMISSION_HEAD_MAX)
			return ERR_LIMIT;
		submission_enter(reader, SUBMISSION_STATE_HEAD, length);
		return ERR_OK;
	case SUBMISSION_STATE_LENGTH:
		length = wire_load_u32(reader->small);
		if (length > SUBMISSION_PIECE_MAX)
			return ERR_LIMIT;
		if (length == 0)
			submission_enter(reader, SUBMISSION_STATE_TRAILER, SUBMISSION_TRAILER_SIZE);
		else
			submission_enter(reader, SUBMISSION_STATE_CONTENT, length);
		return ERR_OK;
	case SUBMISSION_STATE_TRAILER:
		if (wire_load_u64(reader->small) != reader->length
			|| wire_load_u64(reader->small + 8) != hash_stream_value(reader->hash))
			return ERR_CORRUPT;
		submission_enter(reader, SUBMISSION_STATE_DONE, 0);
		return reader->at_line
			       ? ERR_OK
			       : buf_append_str(content, reader->after_cr ? " \r\n" : "\r\n");
	case SUBMISSION_STATE_HEAD:
	case SUBMISSION_STATE_CONTENT:
	case SUBMISSION_STATE_DONE:
	case SUBMISSION_STATE_BAD:
		break;
	}
	UNREACHED();
	return ERR_SYNTAX;
}

/* One step: takes at least one byte, or fails. */
static enum err
submission_read_step(struct submission_reader *reader, struct slice *rest, struct buf *content)
{
	struct slice part;
	enum err err;

	if (reader->state == SUBMISSION_STATE_CONTENT)
		return submission_read_content(reader, rest, content);
	if (reader->state == SUBMISSION_STATE_HEAD) {
		part = slice_head(*rest, reader->wanted - reader->head.len);
		err = buf_append(&reader->head, part);
		if (err < 0)
			return err;
		*rest = slice_from(*rest, part.len);
		if (reader->head.len < reader->wanted)
			return ERR_OK;
		err = submission_read_head(reader);
		if (err == ERR_OK)
			submission_enter(reader, SUBMISSION_STATE_LENGTH, 4);
		return err;
	}
	part = slice_head(*rest, reader->wanted - reader->small_len);
	memcpy(reader->small + reader->small_len, part.ptr, part.len);
	reader->small_len += part.len;
	*rest = slice_from(*rest, part.len);
	return reader->small_len < reader->wanted ? ERR_OK : submission_read_small(reader, content);
}

enum err
submission_read(struct submission_reader *reader, struct slice *rest, struct buf *content)
{
	if (reader->state == SUBMISSION_STATE_BAD)
		return ERR_SYNTAX;
	while (reader->state != SUBMISSION_STATE_DONE && rest->len > 0) {
		enum err err = submission_read_step(reader, rest, content);

		if (err < 0) {
			reader->state = SUBMISSION_STATE_BAD;
			return err;
		}
	}
	return reader->state == SUBMISSION_STATE_DONE ? ERR_OK : ERR_AGAIN;
}

enum err
submission_put_reply(struct buf *bytes, uint8_t code, struct slice text)
{
	enum err err;

	text = slice_head(text, SUBMISSION_REPLY_TEXT_MAX);
	err = buf_reserve(bytes, SUBMISSION_REPLY_HEADER_SIZE + text.len);
	if (err < 0)
		return err;
	wire_put_u32(bytes, (uint32_t)text.len);
	wire_put_u8(bytes, code);
	buf_add(bytes, text);
	return ERR_OK;
}

enum err
submission_parse_reply(struct slice bytes, uint8_t *ret_code, struct slice *ret_text)
{
	uint32_t length;

	if (bytes.len < SUBMISSION_REPLY_HEADER_SIZE)
		return ERR_AGAIN;
	length = wire_load_u32(bytes.ptr);
	if (length > SUBMISSION_REPLY_TEXT_MAX)
		return ERR_SYNTAX;
	if (bytes.len < SUBMISSION_REPLY_HEADER_SIZE + (size_t)length)
		return ERR_AGAIN;
	*ret_code = bytes.ptr[4];
	*ret_text = slice_head(slice_from(bytes, SUBMISSION_REPLY_HEADER_SIZE), length);
	return ERR_OK;
}

bool
submission_name_is_valid(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (ascii_hex_value(name.ptr[i]) < 0 || ascii_upper(name.ptr[i]) != name.ptr[i])
			return false;
	return name.len == SUBMISSION_NAME_LENGTH;
}
