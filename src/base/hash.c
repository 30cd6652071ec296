/*
 * hash.c - XXH3 behind our own names (see hash.h)
 */
#include "base/hash.h"

#include "base/check.h"
#include "base/mem.h"

#define XXH_STATIC_LINKING_ONLY
#ifdef __x86_64__
/* The same values by the widest vectors that this processor has. */
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

struct hash_stream {
	XXH3_state_t *state;
};

uint64_t
hash_bytes(struct slice bytes)
{
	return XXH3_64bits(bytes.ptr, bytes.len);
}

uint64_t
hash_bytes_seeded(struct slice bytes, uint64_t seed)
{
	return XXH3_64bits_withSeed(bytes.ptr, bytes.len, seed);
}

struct hash_stream *
hash_stream_new(void)
{
	struct hash_stream *stream = MEM_NEW(struct hash_stream);

	stream->state = XXH3_createState();
	CHECK(stream->state != NULL);
	hash_stream_reset(stream);
	return stream;
}

void
hash_stream_free(struct hash_stream *stream)
{
	if (stream == NULL)
		return;
	(void)XXH3_freeState(stream->state);
	mem_free(stream);
}

void
hash_stream_reset(struct hash_stream *stream)
{
	CHECK(XXH3_64bits_reset(stream->state) == XXH_OK);
}

void
hash_stream_add(struct hash_stream *stream, struct slice bytes)
{
	if (bytes.len > 0)
		CHECK(XXH3_64bits_update(stream->state, bytes.ptr, bytes.len) == XXH_OK);
}

uint64_t
hash_stream_value(const struct hash_stream *stream)
{
	return XXH3_64bits_digest(stream->state);
}
