/*
 * hash_parts.h - checksums of long content part by part, so that damage of it can be located
 *
 * XXH3 of every HASH_PART bytes, and of what is left behind the last of them, as u64 little-endian
 * one behind the other. Computed as bytes come in pieces of any length.
 *
 * Ownership: init/done; `sums` is the owner's to read. Threads: pure.
 */
#ifndef OSTLER_BASE_HASH_PARTS_H
#define OSTLER_BASE_HASH_PARTS_H

#include "base/buf.h"
#include "base/hash.h"

enum { HASH_PART = 128 * 1024, HASH_SUM = 8, HASH_DAMAGE_TEXT = 96 };

struct hash_parts {
	struct hash_stream *stream; /* of the part under way */
	size_t filled;              /* bytes of it */
	uint64_t length;            /* bytes in all */
	struct buf sums;
};

void hash_parts_init(struct hash_parts *parts);
void hash_parts_done(struct hash_parts *parts);
void hash_parts_add(struct hash_parts *parts, struct slice bytes);
/* There is no more: what is left becomes the last part. */
void hash_parts_end(struct hash_parts *parts);

/* How many sums belong to content of this length. */
uint64_t hash_parts_count(uint64_t length);

/* Where content is not what its sums say: from the first bad part to the end of the last one. */
struct hash_damage {
	uint64_t from, to; /* bytes */
	uint64_t count;    /* bad parts */
	uint64_t of;       /* parts that there should be */
};

/*
 * Whether what was added is, up to `length`, what these sums were made of; if not, *ret_damage
 * says where.
 */
bool hash_parts_match(const struct hash_parts *parts, struct slice sums, uint64_t length,
	struct hash_damage *ret_damage);

/* "bytes 131072 to 262143 (1 of 9 parts)"; returns `text`. */
const char *hash_damage_format(const struct hash_damage *damage, char text[HASH_DAMAGE_TEXT]);

#endif
