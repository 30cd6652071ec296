/*
 * envelope.c - codec of envelope attributes; the table is envelope.def
 */
#include "message/envelope.h"

#include "base/clock.h"
#include "base/wire.h"

#include <string.h>

enum { ATTRIBUTE_HEADER = 7, FLAG_CRITICAL = 1 };

void
envelope_init(struct envelope *envelope)
{
	memset(envelope, 0, sizeof(*envelope));
}

static bool
is_known(uint16_t id)
{
	switch (id) {
#define NUMBER(id, critical, field, type, meaning) case id:
#define BYTES(id, critical, field, max, meaning) case id:
#include "message/envelope.def"
#undef NUMBER
#undef BYTES
		return true;
	default:
		return false;
	}
}

enum err
envelope_priority_parse(struct slice text, uint8_t *ret_priority)
{
	bool is_low = text.len > 0 && text.ptr[0] == '-';
	struct slice digit = slice_from(text, is_low ? 1 : 0);

	if (digit.len != 1 || digit.ptr[0] < '0' || digit.ptr[0] > '9')
		return ERR_SYNTAX;
	*ret_priority = (uint8_t)(is_low ? ENVELOPE_PRIORITY_ZERO - (digit.ptr[0] - '0')
					 : ENVELOPE_PRIORITY_ZERO + (digit.ptr[0] - '0'));
	return ERR_OK;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void
put_header(struct buf *bytes, uint16_t id, uint8_t critical, size_t len)
{
	wire_put_u16(bytes, id);
	wire_put_u8(bytes, critical ? FLAG_CRITICAL : 0);
	wire_put_u32(bytes, (uint32_t)len);
}

static void
put_number(struct buf *bytes, uint16_t id, uint8_t critical, uint64_t value, size_t width)
{
	if (value == 0)
		return;
	put_header(bytes, id, critical, width);
	for (size_t i = 0; i < width; i++)
		wire_put_u8(bytes, (uint8_t)(value >> (8 * i)));
}

static enum err
put_bytes(struct buf *bytes, uint16_t id, uint8_t critical, struct slice value, size_t max)
{
	if (value.len > max)
		return ERR_LIMIT;
	if (value.len == 0)
		return ERR_OK;
	put_header(bytes, id, critical, value.len);
	buf_add(bytes, value);
	return ERR_OK;
}

/* Attributes that this release does not know are written as they came. */
static void
put_unknown(struct buf *bytes, struct slice source)
{
	while (source.len >= ATTRIBUTE_HEADER) {
		size_t len = ATTRIBUTE_HEADER + (size_t)wire_load_u32(source.ptr + 3);

		if (len > source.len)
			return;
		if (!is_known(wire_load_u16(source.ptr)))
			buf_add(bytes, slice_head(source, len));
		source = slice_from(source, len);
	}
}

static enum err
put_all(const struct envelope *envelope, struct buf *bytes)
{
	enum err err = ERR_OK;

#define NUMBER(id, critical, field, type, meaning) \
	put_number(bytes, id, critical, envelope->field, sizeof(type));
#define BYTES(id, critical, field, max, meaning) \
	if (err == ERR_OK) \
		err = put_bytes(bytes, id, critical, envelope->field, max);
#include "message/envelope.def"
#undef NUMBER
#undef BYTES
	put_unknown(bytes, envelope->source);
	return err;
}

void
envelope_stamp(struct envelope *envelope, uint64_t now_us, uint64_t warning_s)
{
	envelope->arrival_us = now_us;
	envelope->warn_us = 0;
	if (warning_s > 0 && envelope->sender.len > 0)
		envelope->warn_us = now_us + warning_s * US_PER_S;
}

enum err
envelope_encode(const struct envelope *envelope, struct buf *bytes)
{
	size_t before = bytes->len;
	enum err err = put_all(envelope, bytes);

	if (err == ERR_OK && bytes->len - before > ENVELOPE_MAX)
		err = ERR_LIMIT;
	if (err != ERR_OK)
		bytes->len = before;
	return err;
}

/* --- reading ---------------------------------------------------------------------------------- */

static enum err
get_number(struct slice value, size_t width, uint64_t *ret_number)
{
	*ret_number = 0;
	if (value.len != width)
		return ERR_SYNTAX;
	for (size_t i = 0; i < width; i++)
		*ret_number |= (uint64_t)value.ptr[i] << (8 * i);
	return ERR_OK;
}

/* One attribute into its field; *seen has a bit per id. */
static enum err
take(struct envelope *envelope, uint16_t id, uint8_t flags, struct slice value, uint64_t *seen)
{
	uint64_t number;

	if (!is_known(id))
		return flags & FLAG_CRITICAL ? ERR_VERSION : ERR_OK;
	if (*seen & UINT64_C(1) << id)
		return ERR_SYNTAX;
	*seen |= UINT64_C(1) << id;
	switch (id) {
#define NUMBER(id, critical, field, type, meaning) \
	case id: \
		if (get_number(value, sizeof(type), &number) != ERR_OK) \
			return ERR_SYNTAX; \
		envelope->field = (type)number; \
		break;
#define BYTES(id, critical, field, max, meaning) \
	case id: \
		if (value.len > (max)) \
			return ERR_LIMIT; \
		envelope->field = value; \
		break;
#include "message/envelope.def"
#undef NUMBER
#undef BYTES
	default:
		break;
	}
	return ERR_OK;
}

enum err
envelope_decode(struct slice bytes, struct envelope *ret_envelope)
{
	struct wire_reader reader = wire_reader(bytes);
	struct envelope envelope;
	uint64_t seen = 0;

	if (bytes.len > ENVELOPE_MAX)
		return ERR_LIMIT;
	envelope_init(&envelope);
	envelope.source = bytes;
	for (unsigned count = 0; reader.rest.len > 0; count++) {
		uint16_t id = wire_get_u16(&reader);
		uint8_t flags = wire_get_u8(&reader);
		struct slice value = wire_get_bytes(&reader);
		enum err err;

		if (reader.failed)
			return ERR_SYNTAX;
		if (count >= ENVELOPE_ATTRIBUTES_MAX)
			return ERR_LIMIT;
		err = take(&envelope, id, flags, value, &seen);
		if (err != ERR_OK)
			return err;
	}
	*ret_envelope = envelope;
	return ERR_OK;
}
