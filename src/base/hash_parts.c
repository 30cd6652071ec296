/*
 * hash_parts.c - checksums of long content part by part (see hash_parts.h)
 */
#include "base/hash_parts.h"

#include "base/check.h"
#include "base/num.h"
#include "base/wire.h"

#include <inttypes.h>
#include <stdio.h>

void
hash_parts_init(struct hash_parts *parts)
{
	*parts = (struct hash_parts) { .stream = hash_stream_new() };
	buf_init(&parts->sums, 0);
}

void
hash_parts_done(struct hash_parts *parts)
{
	hash_stream_free(parts->stream);
	parts->stream = NULL;
	buf_done(&parts->sums);
}

static void
hash_parts_close(struct hash_parts *parts)
{
	wire_put_u64(&parts->sums, hash_stream_value(parts->stream));
	hash_stream_reset(parts->stream);
	parts->filled = 0;
}

void
hash_parts_add(struct hash_parts *parts, struct slice bytes)
{
	parts->length += bytes.len;
	while (bytes.len > 0) {
		struct slice piece = slice_head(bytes, HASH_PART - parts->filled);

		hash_stream_add(parts->stream, piece);
		parts->filled += piece.len;
		bytes = slice_from(bytes, piece.len);
		if (parts->filled == HASH_PART)
			hash_parts_close(parts);
	}
}

void
hash_parts_end(struct hash_parts *parts)
{
	if (parts->filled > 0)
		hash_parts_close(parts);
}

uint64_t
hash_parts_count(uint64_t length)
{
	return length / HASH_PART + (length % HASH_PART != 0);
}

/* Sum of a part; false: there is none. */
static bool
hash_sum_at(struct slice sums, uint64_t part, uint64_t *ret_sum)
{
	if (part >= sums.len / HASH_SUM)
		return false;
	*ret_sum = wire_load_u64(sums.ptr + part * HASH_SUM);
	return true;
}

bool
hash_parts_match(const struct hash_parts *parts, struct slice sums, uint64_t length,
	struct hash_damage *ret_damage)
{
	struct hash_damage damage = { .of = hash_parts_count(length) };
	uint64_t end = num_max_u64(damage.of, hash_parts_count(parts->length));

	CHECK(parts->filled == 0); /* it was ended */
	for (uint64_t part = 0; part < end; part++) {
		uint64_t have, want;

		if (part < damage.of && hash_sum_at(buf_slice(&parts->sums), part, &have)
			&& hash_sum_at(sums, part, &want) && have == want)
			continue;
		if (damage.count++ == 0)
			damage.from = part * HASH_PART;
		damage.to = num_min_u64((part + 1) * HASH_PART, num_max_u64(length, parts->length));
	}
	if (damage.count > 0)
		*ret_damage = damage;
	return damage.count == 0;
}

const char *
hash_damage_format(const struct hash_damage *damage, char text[HASH_DAMAGE_TEXT])
{
	(void)snprintf(text, HASH_DAMAGE_TEXT,
		"bytes %" PRIu64 " to %" PRIu64 " (%" PRIu64 " of %" PRIu64 " parts)", damage->from,
		damage->to - 1, damage->count, damage->of);
	return text;
}
