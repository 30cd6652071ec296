/*
 * hash.h - checksums (XXH3, 64 bit) of stored and transferred bytes
 *
 * Not cryptographic: it finds accidents of disks and of our own code, not forgers.
 */
#ifndef OSTLER_BASE_HASH_H
#define OSTLER_BASE_HASH_H

#include "base/slice.h"

uint64_t hash_bytes(struct slice bytes);
uint64_t hash_bytes_seeded(struct slice bytes, uint64_t seed);

/* The same value computed piece by piece. */
struct hash_stream;
struct hash_stream *hash_stream_new(void);
void hash_stream_free(struct hash_stream *stream);
void hash_stream_reset(struct hash_stream *stream);
void hash_stream_add(struct hash_stream *stream, struct slice bytes);
uint64_t hash_stream_value(const struct hash_stream *stream);

#endif
