/*
 * corrupt_file.c - what a file corrupt/message-ID holds of a message (see corrupt_file.h)
 */
#include "check/corrupt_file.h"

#include "base/hash.h"
#include "base/num.h"
#include "base/wire.h"

enum {
	CORRUPT_FILE_LARGE = 32,   /* place of the number of its file, in a MESSAGE's payload */
	CORRUPT_FILE_NUMBERS = 44, /* bytes in front of the envelope, in a MESSAGE's payload */
	CORRUPT_FILE_PARTS = 4,	   /* envelope, recipients, head, body */
};

/* --- head ---------------------------------------- */

bool
corrupt_file_parse_hex(struct slice text, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (text.len != 16)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i];

		if (c >= '0' && c <= '9')
			value = value * 16 + c - '0';
		else if (c >= 'a' && c <= 'f')
			value = value * 16 + c - 'a' + 10;
		else
			return false;
	}
	*ret_value = value;
	return true;
}

static void
corrupt_file_field(struct corrupt_file *file, struct slice name, struct slice value)
{
	uint64_t number;

	if (slice_equal_str(name, "Queue-ID")) {
		if (corrupt_file_parse_hex(value, &number))
			file->queue_id = number;
	} else if (slice_equal_str(name, "Reason")) {
		file->reason = value;
	} else if (slice_equal_str(name, "Origin")) {
		file->origin = value;
	} else if (slice_equal_str(name, "Arrival")) {
		if (num_parse_u64(value, 0, UINT64_MAX, &number) == ERR_OK)
			file->arrival_us = number;
	}
}

/* Cuts the head off. */
static enum err
corrupt_file_head(struct slice *rest, struct corrupt_file *file)
{
	bool is_first = true;

	while (rest->len > 0) {
		size_t end = slice_find(*rest, '\n');
		struct slice line = slice_head(*rest, end);
		size_t colon = slice_find(line, ':');

		if (end == rest->len)
			return ERR_SYNTAX;
		*rest = slice_from(*rest, end + 1);
		if (is_first && !slice_equal_str(line, "Format: ostler-corrupt 1"))
			return ERR_SYNTAX;
		is_first = false;
		if (line.len == 0)
			return file->queue_id != 0 ? ERR_OK : ERR_SYNTAX;
		corrupt_file_field(file, slice_head(line, colon),
			slice_trim(slice_from(line, colon + 1)));
	}
	return ERR_SYNTAX;
}

/* --- records ---------------------------------------- */

/* A MESSAGE's payload that stands in front of other bytes: its own lengths say where it ends. */
static enum err
corrupt_file_message(struct slice payload, struct record_message *ret_message)
{
	struct wire_reader reader = wire_reader(payload);

	(void)wire_get_raw(&reader, CORRUPT_FILE_NUMBERS);
	for (int i = 0; i < CORRUPT_FILE_PARTS; i++)
		(void)wire_get_bytes(&reader);
	if (!reader.failed && wire_load_u64(payload.ptr + CORRUPT_FILE_LARGE) != 0)
		(void)wire_get_bytes(&reader); /* sums of what is in its file */
	if (reader.failed)
		return ERR_SYNTAX;
	return record_message_decode(
		slice_head(payload, payload.len - reader.rest.len), ret_message);
}

static bool
corrupt_file_content_is_whole(const struct record_message *message)
{
	if (message->large != 0)
		return message->body.len == 0;
	/* If the length does not fit, it is the length that was changed. */
	return hash_bytes(message->body) == message->content_hash;
}

/* The first record, which should be the MESSAGE. */
static void
corrupt_file_first(struct slice *rest, struct corrupt_file *file)
{
	struct slice all = *rest, payload;
	struct record record;
	enum err err = record_next(rest, &record);

	if (err == ERR_OK && record.type != RECORD_MESSAGE) {
		*rest = all; /* a STATE alone */
		return;
	}
	payload = err == ERR_OK ? record.payload : slice_from(all, RECORD_HEADER);
	if (corrupt_file_message(payload, &file->message) < 0
		|| (err != ERR_OK && file->message.queue_id != file->queue_id))
		return;
	file->has_message = true;
	file->is_verified = err == ERR_OK;
	file->is_whole = corrupt_file_content_is_whole(&file->message);
	if (err == ERR_SYNTAX) /* its length is damaged: nobody knows where the next one begins */
		*rest = slice_make(NULL, 0);
}

enum err
corrupt_file_parse(struct slice bytes, struct corrupt_file *ret_file)
{
	struct corrupt_file file = { 0 };
	enum err err = corrupt_file_head(&bytes, &file);

	if (err < 0)
		return err;
	file.bytes = bytes.len;
	if (bytes.len > 0)
		corrupt_file_first(&bytes, &file);
	file.records = bytes;
	*ret_file = file;
	return ERR_OK;
}

enum err
corrupt_file_next(const struct corrupt_file *file, struct slice *rest, uint16_t *ret_type,
	struct record_state *ret_state)
{
	struct record_state state;
	struct record record;
	enum err err;

	while ((err = record_next(rest, &record)) == ERR_OK || err == ERR_CORRUPT) {
		if (err == ERR_CORRUPT
			|| (record.type != RECORD_STATE && record.type != RECORD_RESULT)
			|| record_state_decode(record.payload, &state) < 0
			|| state.queue_id != file->queue_id)
			continue;
		*ret_type = record.type;
		*ret_state = state;
		return ERR_OK;
	}
	return ERR_NOTFOUND;
}
