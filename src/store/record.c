/*
 * record.c - codecs of the journal's bytes (see record.h and docs/store.md)
 */
#include "store/record.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/num.h"
#include "base/wire.h"

#define SEGMENT_MAGIC UINT64_C(0x314745534c54534f) /* "OSTLSEG1" */
#define BATCH_MAGIC 0x5441424fu                     /* "OBAT" */

/* Places in the segment header; the checksum covers all before it. */
enum {
	SEGMENT_AT_MAGIC = 0,
	SEGMENT_AT_MAJOR = 8,
	SEGMENT_AT_MINOR = 10,
	SEGMENT_AT_NODE = 12,
	SEGMENT_AT_SEQUENCE = 16,
	SEGMENT_AT_BASE = 24,
	SEGMENT_AT_CUT = 32,
	SEGMENT_AT_FIRST = 40,
	SEGMENT_AT_SIZE = 48,
	SEGMENT_AT_GENERATION = 56,
	SEGMENT_AT_FEATURES_MUST = 64,
	SEGMENT_AT_FEATURES_MAY = 72,
	SEGMENT_AT_UUID = 80,
	SEGMENT_AT_SUM = 96,
	SEGMENT_END = 104,
	/* Behind that, since 1.1: the writer's release, with a checksum of its own. */
	SEGMENT_AT_WRITER = 104,
	SEGMENT_AT_WRITER_SUM = SEGMENT_AT_WRITER + RECORD_WRITER_SIZE,
	/* Behind that, the same for its epoch. */
	SEGMENT_AT_EPOCH = SEGMENT_AT_WRITER_SUM + 8,
	SEGMENT_AT_EPOCH_SUM = SEGMENT_AT_EPOCH + 8,
	SEGMENT_COPY_END = SEGMENT_AT_EPOCH_SUM + 8,
};

/* Places in the batch header; 32 bytes before the checksum are reserved. */
enum {
	BATCH_AT_MAGIC = 0,
	BATCH_AT_FORMAT = 4,
	BATCH_AT_FLAGS = 6,
	BATCH_AT_EPOCH = 8,
	BATCH_AT_LSN = 16,
	BATCH_AT_LENGTH = 24,
	BATCH_AT_USED = 28,
	BATCH_AT_COUNT = 32,
	BATCH_AT_PREVIOUS = 40,
	BATCH_AT_DURABLE = 48,
	BATCH_AT_FIRST = 56,
	BATCH_AT_WALL = 64,
	BATCH_AT_SUCCESSOR = 72,
	BATCH_AT_FOOTER = 80,
	BATCH_AT_RESERVED = 88,
	BATCH_AT_SUM = 120,
};

_Static_assert(BATCH_AT_SUM + 8 == RECORD_BATCH_HEADER, "batch header layout");
_Static_assert((int)SEGMENT_COPY_END <= (int)RECORD_SEGMENT_COPY, "segment header fits its copy");

/* Places in a record header. */
enum { RECORD_AT_TYPE = 0, RECORD_AT_FLAGS = 2, RECORD_AT_LENGTH = 4, RECORD_AT_MESSAGE = 8,
	RECORD_AT_SUM = 16 };

static uint64_t
segment_writer_sum(const uint8_t *copy)
{
	return hash_bytes(slice_make(copy + SEGMENT_AT_WRITER, RECORD_WRITER_SIZE));
}

static void
segment_writer_encode(const struct segment_header *header, uint8_t *block)
{
	CHECK(header->writer[RECORD_WRITER_SIZE - 1] == '\0');
	memcpy(block + SEGMENT_AT_WRITER, header->writer, RECORD_WRITER_SIZE);
	wire_store_u64(block + SEGMENT_AT_WRITER_SUM, segment_writer_sum(block));
}

/* Printable, or nothing: it goes to the log. */
static void
segment_writer_decode(const uint8_t *copy, struct segment_header *header)
{
	const uint8_t *text = copy + SEGMENT_AT_WRITER;

	if ((header->features_may & RECORD_FEATURE_WRITER) == 0
		|| wire_load_u64(copy + SEGMENT_AT_WRITER_SUM) != segment_writer_sum(copy))
		return;
	for (size_t i = 0; i + 1 < RECORD_WRITER_SIZE && text[i] > ' ' && text[i] < 0x7f; i++)
		header->writer[i] = (char)text[i];
}

static uint64_t
segment_epoch_sum(const uint8_t *copy)
{
	return hash_bytes(slice_make(copy + SEGMENT_AT_EPOCH, 8));
}

void
segment_header_encode(const struct segment_header *header, uint8_t *block)
{
	memset(block, 0, RECORD_BLOCK);
	wire_store_u64(block + SEGMENT_AT_MAGIC, SEGMENT_MAGIC);
	wire_store_u16(block + SEGMENT_AT_MAJOR, header->major);
	wire_store_u16(block + SEGMENT_AT_MINOR, header->minor);
	wire_store_u32(block + SEGMENT_AT_NODE, header->node);
	wire_store_u64(block + SEGMENT_AT_SEQUENCE, header->sequence);
	wire_store_u64(block + SEGMENT_AT_BASE, header->base);
	wire_store_u64(block + SEGMENT_AT_CUT, header->cut);
	wire_store_u64(block + SEGMENT_AT_FIRST, header->first);
	wire_store_u64(block + SEGMENT_AT_SIZE, header->size);
	wire_store_u64(block + SEGMENT_AT_GENERATION, header->generation);
	wire_store_u64(block + SEGMENT_AT_FEATURES_MUST, header->features_must);
	wire_store_u64(block + SEGMENT_AT_FEATURES_MAY, header->features_may);
	memcpy(block + SEGMENT_AT_UUID, header->uuid, RECORD_UUID_SIZE);
	wire_store_u64(block + SEGMENT_AT_SUM, hash_bytes(slice_make(block, SEGMENT_AT_SUM)));
	if ((header->features_may & RECORD_FEATURE_WRITER) != 0)
		segment_writer_encode(header, block);
	if ((header->features_may & RECORD_FEATURE_EPOCH) != 0) {
		wire_store_u64(block + SEGMENT_AT_EPOCH, header->epoch);
		wire_store_u64(block + SEGMENT_AT_EPOCH_SUM, segment_epoch_sum(block));
	}
	memcpy(block + RECORD_SEGMENT_COPY, block, SEGMENT_COPY_END);
}

static bool
segment_copy_is_valid(const uint8_t *copy)
{
	return wire_load_u64(copy + SEGMENT_AT_MAGIC) == SEGMENT_MAGIC
		&& wire_load_u64(copy + SEGMENT_AT_SUM)
		== hash_bytes(slice_make(copy, SEGMENT_AT_SUM));
}

static void
segment_copy_decode(const uint8_t *copy, struct segment_header *header)
{
	header->major = wire_load_u16(copy + SEGMENT_AT_MAJOR);
	header->minor = wire_load_u16(copy + SEGMENT_AT_MINOR);
	header->node = wire_load_u32(copy + SEGMENT_AT_NODE);
	header->sequence = wire_load_u64(copy + SEGMENT_AT_SEQUENCE);
	header->base = wire_load_u64(copy + SEGMENT_AT_BASE);
	header->cut = wire_load_u64(copy + SEGMENT_AT_CUT);
	header->first = wire_load_u64(copy + SEGMENT_AT_FIRST);
	header->size = wire_load_u64(copy + SEGMENT_AT_SIZE);
	header->generation = wire_load_u64(copy + SEGMENT_AT_GENERATION);
	header->features_must = wire_load_u64(copy + SEGMENT_AT_FEATURES_MUST);
	header->features_may = wire_load_u64(copy + SEGMENT_AT_FEATURES_MAY);
	memcpy(header->uuid, copy + SEGMENT_AT_UUID, RECORD_UUID_SIZE);
	segment_writer_decode(copy, header);
	if ((header->features_may & RECORD_FEATURE_EPOCH) != 0
		&& wire_load_u64(copy + SEGMENT_AT_EPOCH_SUM) == segment_epoch_sum(copy))
		header->epoch = wire_load_u64(copy + SEGMENT_AT_EPOCH);
}

/* Numbers that grow for ever do not come near this, so that nothing made of them overflows. */
#define SEGMENT_NUMBER_MAX (UINT64_MAX / 4)

bool
segment_header_is_sane(const struct segment_header *header)
{
	return header->sequence > 0 && header->sequence <= SEGMENT_NUMBER_MAX
		&& header->generation <= SEGMENT_NUMBER_MAX
		&& header->size >= 2 * RECORD_BLOCK
		&& header->size <= (UINT64_C(1) << 40) && header->size % RECORD_BLOCK == 0
		&& header->base % RECORD_BLOCK == 0 && header->base <= SEGMENT_NUMBER_MAX
		&& header->cut <= header->base && header->first <= header->base;
}

/* Whether this release may read the journal at all. */
static enum err
segment_header_check_format(const struct segment_header *header, struct fault *reterr)
{
	uint64_t unknown = header->features_must & ~RECORD_FEATURES_MUST;
	const char *by = header->writer[0] != '\0' ? "; it was written by Ostler " : "";

	if (header->major != RECORD_FORMAT_MAJOR)
		return fault_set(reterr, ERR_VERSION,
			"the journal has format %u.%u, this release knows %u.%u%s%s", header->major,
			header->minor, RECORD_FORMAT_MAJOR, RECORD_FORMAT_MINOR, by,
			header->writer);
	if (unknown != 0)
		return fault_set(reterr, ERR_VERSION,
			"the journal has format %u.%u and needs its features %#llx, this release "
			"knows %u.%u%s%s",
			header->major, header->minor, (unsigned long long)unknown,
			RECORD_FORMAT_MAJOR, RECORD_FORMAT_MINOR, by, header->writer);
	return ERR_OK;
}

enum err
segment_header_decode(
	struct slice block, struct segment_header *ret_header, struct fault *reterr)
{
	const uint8_t *copy = NULL;
	struct segment_header header = { 0 };
	bool had_magic = false;

	if (block.len < RECORD_BLOCK)
		return fault_set(reterr, ERR_NOTFOUND, "shorter than one block");
	for (size_t at = 0; at <= RECORD_SEGMENT_COPY && copy == NULL; at += RECORD_SEGMENT_COPY) {
		had_magic |= wire_load_u64(block.ptr + at) == SEGMENT_MAGIC;
		if (segment_copy_is_valid(block.ptr + at))
			copy = block.ptr + at;
	}
	if (copy == NULL)
		return fault_set(reterr, had_magic ? ERR_CORRUPT : ERR_NOTFOUND,
			had_magic ? "both copies of the segment header are damaged"
				  : "no segment header");
	segment_copy_decode(copy, &header);
	if (segment_header_check_format(&header, reterr) < 0)
		return ERR_VERSION;
	if (!segment_header_is_sane(&header))
		return fault_set(reterr, ERR_CORRUPT, "the segment header contradicts itself");
	*ret_header = header;
	return ERR_OK;
}

void
batch_begin(struct buf *buf)
{
	static const uint8_t zeroes[RECORD_BATCH_HEADER];

	CHECK(buf->len == 0);
	buf_add(buf, slice_make(zeroes, sizeof(zeroes)));
}

/*
 * The checksum of a batch: of its header and the headers of its records. Each of these has the
 * checksum of a payload in it, so nothing is read twice; what lies between them is zero, which
 * batch_decode() verifies. *ret_end: how far its `used` bytes are well-formed.
 */
static uint64_t
batch_sum(struct slice batch, size_t used, size_t *ret_end)
{
	uint64_t sum = hash_bytes(slice_head(batch, BATCH_AT_SUM));
	size_t at = RECORD_BATCH_HEADER;

	while (used - at >= RECORD_HEADER) {
		uint32_t len = wire_load_u32(batch.ptr + at + RECORD_AT_LENGTH);

		if (len > RECORD_BATCH_MAX || record_size(len) > used - at)
			break;
		sum = hash_bytes_seeded(slice_make(batch.ptr + at, RECORD_HEADER), sum);
		at += record_size(len);
	}
	*ret_end = at;
	return sum;
}

static bool
bytes_are_zero(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

/* Payloads, and the zeroes behind each and behind the last. */
static bool
batch_is_whole(struct slice batch, size_t used)
{
	struct slice rest = slice_from(slice_head(batch, used), RECORD_BATCH_HEADER);

	while (rest.len > 0) {
		const uint8_t *at = rest.ptr;
		size_t size;
		struct record record;

		if (record_next(&rest, &record) != ERR_OK)
			return false;
		size = RECORD_HEADER + record.payload.len;
		if (!bytes_are_zero(at + size, record_size(record.payload.len) - size))
			return false;
	}
	return bytes_are_zero(batch.ptr + used, batch.len - used);
}

void
batch_seal(struct buf *buf, struct batch_header *header)
{
	size_t length = num_align_u64(buf->len, RECORD_BLOCK), end;
	uint8_t *at;
	enum err err = buf_reserve(buf, length - buf->len);

	CHECK(err == ERR_OK);
	CHECK(buf->len >= RECORD_BATCH_HEADER && length <= RECORD_BATCH_MAX);
	header->used = (uint32_t)buf->len;
	header->length = (uint32_t)length;
	memset(buf->ptr + buf->len, 0, length - buf->len);
	buf->len = length;
	at = buf->ptr;
	wire_store_u32(at + BATCH_AT_MAGIC, BATCH_MAGIC);
	wire_store_u16(at + BATCH_AT_FORMAT, RECORD_FORMAT_MAJOR);
	wire_store_u16(at + BATCH_AT_FLAGS, header->flags);
	wire_store_u64(at + BATCH_AT_EPOCH, header->epoch);
	wire_store_u64(at + BATCH_AT_LSN, header->lsn);
	wire_store_u32(at + BATCH_AT_LENGTH, header->length);
	wire_store_u32(at + BATCH_AT_USED, header->used);
	wire_store_u32(at + BATCH_AT_COUNT, header->count);
	wire_store_u64(at + BATCH_AT_PREVIOUS, header->previous);
	wire_store_u64(at + BATCH_AT_DURABLE, header->durable);
	wire_store_u64(at + BATCH_AT_FIRST, header->first);
	wire_store_u64(at + BATCH_AT_WALL, header->wall_us);
	wire_store_u64(at + BATCH_AT_SUCCESSOR, header->successor);
	wire_store_u64(at + BATCH_AT_FOOTER, header->footer);
	header->sum = batch_sum(buf_slice(buf), header->used, &end);
	CHECK(end == header->used);
	wire_store_u64(at + BATCH_AT_SUM, header->sum);
}

bool
batch_peek(struct slice bytes, struct batch_header *ret_header)
{
	struct batch_header header = { 0 };
	const uint8_t *at = bytes.ptr;

	if (bytes.len < RECORD_BATCH_HEADER || wire_load_u32(at + BATCH_AT_MAGIC) != BATCH_MAGIC
		|| wire_load_u16(at + BATCH_AT_FORMAT) != RECORD_FORMAT_MAJOR)
		return false;
	header.flags = wire_load_u16(at + BATCH_AT_FLAGS);
	header.epoch = wire_load_u64(at + BATCH_AT_EPOCH);
	header.lsn = wire_load_u64(at + BATCH_AT_LSN);
	header.length = wire_load_u32(at + BATCH_AT_LENGTH);
	header.used = wire_load_u32(at + BATCH_AT_USED);
	header.count = wire_load_u32(at + BATCH_AT_COUNT);
	header.previous = wire_load_u64(at + BATCH_AT_PREVIOUS);
	header.durable = wire_load_u64(at + BATCH_AT_DURABLE);
	header.first = wire_load_u64(at + BATCH_AT_FIRST);
	header.wall_us = wire_load_u64(at + BATCH_AT_WALL);
	header.successor = wire_load_u64(at + BATCH_AT_SUCCESSOR);
	header.footer = wire_load_u64(at + BATCH_AT_FOOTER);
	header.sum = wire_load_u64(at + BATCH_AT_SUM);
	if (header.length % RECORD_BLOCK != 0 || header.length == 0
		|| header.length > RECORD_BATCH_MAX || header.used < RECORD_BATCH_HEADER
		|| header.used > header.length)
		return false;
	*ret_header = header;
	return true;
}

enum err
batch_decode(struct slice bytes, struct batch_header *ret_header)
{
	struct batch_header header;
	size_t end;

	if (!batch_peek(bytes, &header))
		return ERR_NOTFOUND;
	if (bytes.len < header.length) {
		*ret_header = header;
		return ERR_SYNTAX;
	}
	bytes = slice_head(bytes, header.length);
	if (batch_sum(bytes, header.used, &end) != header.sum || end != header.used
		|| !batch_is_whole(bytes, header.used))
		return ERR_CORRUPT;
	*ret_header = header;
	return ERR_OK;
}

size_t
record_size(size_t payload_len)
{
	return (size_t)num_align_u64(RECORD_HEADER + payload_len, RECORD_ALIGN);
}

static uint64_t
record_sum(const uint8_t *header, struct slice payload)
{
	return hash_bytes_seeded(payload, hash_bytes(slice_make(header, RECORD_AT_SUM)));
}

bool
record_is_known(uint16_t type)
{
	return type >= RECORD_MESSAGE && type <= RECORD_BRIEF;
}

bool
record_is_of_message(uint16_t type)
{
	return (type >= RECORD_MESSAGE && type <= RECORD_DONE) || type == RECORD_PLACE
		|| type == RECORD_BRIEF;
}

uint64_t
record_unknown_owner(const struct record *record)
{
	if (record_is_known(record->type) || (record->flags & RECORD_OF_MESSAGE) == 0
		|| record->payload.len < 8)
		return 0;
	return wire_load_u64(record->payload.ptr);
}

size_t
record_length(struct slice bytes)
{
	uint32_t len = bytes.len < RECORD_HEADER ? 0
						 : wire_load_u32(bytes.ptr + RECORD_AT_LENGTH);

	if (bytes.len < RECORD_HEADER || len > RECORD_BATCH_MAX)
		return 0;
	return record_size(len);
}

size_t
record_put(struct buf *buf, const struct record *record)
{
	static const uint8_t zeroes[RECORD_ALIGN];
	uint8_t header[RECORD_HEADER];
	size_t at = buf->len, size = record_size(record->payload.len);

	CHECK(record->payload.len <= RECORD_BATCH_MAX && at % RECORD_ALIGN == 0);
	wire_store_u16(header + RECORD_AT_TYPE, record->type);
	wire_store_u16(header + RECORD_AT_FLAGS, record->flags);
	wire_store_u32(header + RECORD_AT_LENGTH, (uint32_t)record->payload.len);
	wire_store_u64(header + RECORD_AT_MESSAGE, record->message);
	wire_store_u64(header + RECORD_AT_SUM, record_sum(header, record->payload));
	buf_add(buf, slice_make(header, sizeof(header)));
	buf_add(buf, record->payload);
	buf_add(buf, slice_make(zeroes, size - RECORD_HEADER - record->payload.len));
	return at;
}

enum err
record_next(struct slice *rest, struct record *ret_record)
{
	struct record record;
	const uint8_t *at = rest->ptr;
	uint32_t len;

	if (rest->len == 0)
		return ERR_NOTFOUND;
	if (rest->len < RECORD_HEADER)
		return ERR_SYNTAX;
	len = wire_load_u32(at + RECORD_AT_LENGTH);
	if (len > RECORD_BATCH_MAX || record_size(len) > rest->len)
		return ERR_SYNTAX;
	record.type = wire_load_u16(at + RECORD_AT_TYPE);
	record.flags = wire_load_u16(at + RECORD_AT_FLAGS);
	record.message = wire_load_u64(at + RECORD_AT_MESSAGE);
	record.payload = slice_make(at + RECORD_HEADER, len);
	*rest = slice_from(*rest, record_size(len));
	if (wire_load_u64(at + RECORD_AT_SUM) != record_sum(at, record.payload))
		return ERR_CORRUPT;
	*ret_record = record;
	return ERR_OK;
}

/* Whether exactly so many whole records are there; *budget limits the bytes that are hashed. */
static bool
record_chain_is_whole(struct slice rest, uint32_t count, size_t *budget)
{
	struct record record;

	for (uint32_t i = 0; i < count; i++) {
		size_t before = rest.len;

		if (record_next(&rest, &record) != ERR_OK)
			return false;
		*budget -= before - rest.len < *budget ? before - rest.len : *budget;
	}
	return rest.len == 0;
}

size_t
record_resync(struct slice records, uint32_t count)
{
	size_t budget = RECORD_RESYNC_MAX;

	for (size_t at = RECORD_ALIGN; count > 0 && budget > 0 && at + RECORD_HEADER <= records.len;
		at += RECORD_ALIGN)
		if (record_chain_is_whole(slice_from(records, at), count, &budget))
			return at;
	return 0;
}

void
record_message_encode(struct buf *buf, const struct record_message *message)
{
	wire_put_u64(buf, message->queue_id);
	wire_put_u64(buf, message->arrival_us);
	wire_put_u64(buf, message->content_length);
	wire_put_u64(buf, message->content_hash);
	wire_put_u64(buf, message->large);
	wire_put_u32(buf, message->flags);
	wire_put_bytes(buf, message->envelope);
	wire_put_bytes(buf, message->recipients);
	wire_put_bytes(buf, message->head);
	wire_put_bytes(buf, message->body);
	if (message->large != 0)
		wire_put_bytes(buf, message->parts);
}

enum err
record_message_decode(struct slice payload, struct record_message *ret_message)
{
	struct wire_reader reader = wire_reader(payload);
	struct record_message message;
	enum err err;

	message.queue_id = wire_get_u64(&reader);
	message.arrival_us = wire_get_u64(&reader);
	message.content_length = wire_get_u64(&reader);
	message.content_hash = wire_get_u64(&reader);
	message.large = wire_get_u64(&reader);
	message.flags = wire_get_u32(&reader);
	message.envelope = wire_get_bytes(&reader);
	message.recipients = wire_get_bytes(&reader);
	message.head = wire_get_bytes(&reader);
	message.body = wire_get_bytes(&reader);
	message.parts = message.large != 0 ? wire_get_bytes(&reader) : slice_make(NULL, 0);
	err = wire_done(&reader);
	if (err == ERR_OK)
		*ret_message = message;
	return err;
}

void
record_state_encode(struct buf *buf, const struct record_state *state)
{
	wire_put_u64(buf, state->queue_id);
	wire_put_u64(buf, state->due_us);
	wire_put_u32(buf, state->flags);
	wire_put_bytes(buf, state->state);
}

enum err
record_state_decode(struct slice payload, struct record_state *ret_state)
{
	struct wire_reader reader = wire_reader(payload);
	struct record_state state;
	enum err err;

	state.queue_id = wire_get_u64(&reader);
	state.due_us = wire_get_u64(&reader);
	state.flags = wire_get_u32(&reader);
	state.state = wire_get_bytes(&reader);
	err = wire_done(&reader);
	if (err == ERR_OK)
		*ret_state = state;
	return err;
}

uint16_t
record_brief_sum(struct slice tail)
{
	return (uint16_t)hash_bytes(tail);
}

void
record_brief_encode(struct buf *buf, const struct record_brief *brief)
{
	uint32_t place = brief->place / RECORD_BRIEF_ALIGN;

	CHECK(brief->tail_len > 0 && brief->tail_len <= RECORD_BRIEF_TAIL_MAX);
	CHECK(brief->flags < 16 && brief->place % RECORD_BRIEF_ALIGN == 0);
	CHECK(brief->place < RECORD_BRIEF_REACH);
	wire_put_u64(buf, brief->queue_id);
	wire_put_u32(buf, brief->due_s);
	wire_put_u16(buf, (uint16_t)(brief->flags << 12 | brief->tail_len));
	wire_put_u16(buf, brief->tail_sum);
	wire_put_u16(buf, (uint16_t)place);
	wire_put_u8(buf, (uint8_t)(place >> 16));
	buf_add(buf, brief->own);
}

enum err
record_brief_decode(struct slice payload, struct record_brief *ret_brief)
{
	struct wire_reader reader = wire_reader(payload);
	struct record_brief brief = { .queue_id = wire_get_u64(&reader) };
	uint16_t bits;

	brief.due_s = wire_get_u32(&reader);
	bits = wire_get_u16(&reader);
	brief.flags = (uint8_t)(bits >> 12);
	brief.tail_len = bits & RECORD_BRIEF_TAIL_MAX;
	brief.tail_sum = wire_get_u16(&reader);
	brief.place = wire_get_u16(&reader);
	brief.place |= (uint32_t)wire_get_u8(&reader) << 16;
	brief.place *= RECORD_BRIEF_ALIGN;
	brief.own = reader.rest;
	if (reader.failed || brief.tail_len == 0)
		return ERR_SYNTAX;
	*ret_brief = brief;
	return ERR_OK;
}

void
record_node_encode(struct buf *buf, const struct record_node *node)
{
	wire_put_bytes(buf, node->key);
	wire_put_bytes(buf, node->value);
}

enum err
record_node_decode(struct slice payload, struct record_node *ret_node)
{
	struct wire_reader reader = wire_reader(payload);
	struct record_node node;
	enum err err;

	node.key = wire_get_bytes(&reader);
	node.value = wire_get_bytes(&reader);
	err = wire_done(&reader);
	if (err == ERR_OK)
		*ret_node = node;
	return err;
}

void
record_place_encode(struct buf *buf, const struct record_place *place)
{
	wire_put_u64(buf, place->queue_id);
	wire_put_u64(buf, place->state_lsn);
	wire_put_u32(buf, place->due_s);
	wire_put_u32(buf, place->flags);
	wire_put_u16(buf, place->size);
}

enum err
record_place_decode(struct slice payload, struct record_place *ret_place)
{
	struct wire_reader reader = wire_reader(payload);
	struct record_place place;
	enum err err;

	place.queue_id = wire_get_u64(&reader);
	place.state_lsn = wire_get_u64(&reader);
	place.due_s = wire_get_u32(&reader);
	place.flags = wire_get_u32(&reader);
	place.size = wire_get_u16(&reader);
	err = wire_done(&reader);
	if (err == ERR_OK)
		*ret_place = place;
	return err;
}
