/*
 * wire.c - integers and byte strings in bytes (see wire.h)
 */
#include "base/wire.h"

#include "base/check.h"

#include <endian.h>

void
wire_put_u8(struct buf *buf, uint8_t value)
{
	buf_add(buf, slice_make(&value, 1));
}

void
wire_put_u16(struct buf *buf, uint16_t value)
{
	uint16_t le = htole16(value);

	buf_add(buf, slice_make(&le, sizeof(le)));
}

void
wire_put_u32(struct buf *buf, uint32_t value)
{
	uint32_t le = htole32(value);

	buf_add(buf, slice_make(&le, sizeof(le)));
}

void
wire_put_u64(struct buf *buf, uint64_t value)
{
	uint64_t le = htole64(value);

	buf_add(buf, slice_make(&le, sizeof(le)));
}

void
wire_put_varint(struct buf *buf, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		wire_put_u8(buf, (uint8_t)(value | 0x80));
	wire_put_u8(buf, (uint8_t)value);
}

void
wire_put_bytes(struct buf *buf, struct slice bytes)
{
	CHECK(bytes.len <= UINT32_MAX);
	wire_put_u32(buf, (uint32_t)bytes.len);
	buf_add(buf, bytes);
}

void
wire_set_u32(struct buf *buf, size_t at, uint32_t value)
{
	CHECK(at + sizeof(value) <= buf->len);
	wire_store_u32(buf->ptr + at, value);
}

void
wire_set_u64(struct buf *buf, size_t at, uint64_t value)
{
	CHECK(at + sizeof(value) <= buf->len);
	wire_store_u64(buf->ptr + at, value);
}

uint16_t
wire_load_u16(const uint8_t *at)
{
	uint16_t le;

	memcpy(&le, at, sizeof(le));
	return le16toh(le);
}

uint32_t
wire_load_u32(const uint8_t *at)
{
	uint32_t le;

	memcpy(&le, at, sizeof(le));
	return le32toh(le);
}

uint64_t
wire_load_u64(const uint8_t *at)
{
	uint64_t le;

	memcpy(&le, at, sizeof(le));
	return le64toh(le);
}

void
wire_store_u16(uint8_t *at, uint16_t value)
{
	uint16_t le = htole16(value);

	memcpy(at, &le, sizeof(le));
}

void
wire_store_u32(uint8_t *at, uint32_t value)
{
	uint32_t le = htole32(value);

	memcpy(at, &le, sizeof(le));
}

void
wire_store_u64(uint8_t *at, uint64_t value)
{
	uint64_t le = htole64(value);

	memcpy(at, &le, sizeof(le));
}

struct wire_reader
wire_reader(struct slice bytes)
{
	return (struct wire_reader){ .rest = bytes };
}

struct slice
wire_get_raw(struct wire_reader *reader, size_t len)
{
	struct slice bytes;

	if (reader->failed || len > reader->rest.len) {
		reader->failed = true;
		return slice_make(NULL, 0);
	}
	bytes = slice_head(reader->rest, len);
	reader->rest = slice_from(reader->rest, len);
	return bytes;
}

uint8_t
wire_get_u8(struct wire_reader *reader)
{
	struct slice raw = wire_get_raw(reader, 1);

	return raw.len == 1 ? raw.ptr[0] : 0;
}

uint16_t
wire_get_u16(struct wire_reader *reader)
{
	struct slice raw = wire_get_raw(reader, 2);

	return raw.len == 2 ? wire_load_u16(raw.ptr) : 0;
}

uint32_t
wire_get_u32(struct wire_reader *reader)
{
	struct slice raw = wire_get_raw(reader, 4);

	return raw.len == 4 ? wire_load_u32(raw.ptr) : 0;
}

uint64_t
wire_get_u64(struct wire_reader *reader)
{
	struct slice raw = wire_get_raw(reader, 8);

	return raw.len == 8 ? wire_load_u64(raw.ptr) : 0;
}

uint64_t
wire_get_varint(struct wire_reader *reader)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint64_t byte = wire_get_u8(reader), bits = byte & 0x7f;

		if (shift == 63 && bits > 1)
			break;
		value |= bits << shift;
		if ((byte & 0x80) != 0)
			continue;
		if (byte == 0 && shift > 0)
			break;
		return reader->failed ? 0 : value;
	}
	reader->failed = true;
	return 0;
}

struct slice
wire_get_bytes(struct wire_reader *reader)
{
	return wire_get_raw(reader, wire_get_u32(reader));
}

enum err
wire_done(const struct wire_reader *reader)
{
	return reader->failed || reader->rest.len > 0 ? ERR_SYNTAX : ERR_OK;
}
