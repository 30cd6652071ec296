/*
 * wire.h - the one way in which Ostler lays integers and byte strings into bytes
 *
 * Little-endian fixed-width integers; byte strings as u32 length and bytes. Used by IPC frames, the
 * journal, envelopes and the configuration snapshot. A reader is sticky: after the first failure
 * every further read gives zeroes and wire_done() says so, so that a decoder reads straight
 * through and checks once. Nothing here trusts its bytes.
 *
 * Ownership: slices returned by a reader point into its input.
 */
#ifndef OSTLER_BASE_WIRE_H
#define OSTLER_BASE_WIRE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>

/* Writers append to a buffer; its limit is the caller's to prove (buf_add), so they cannot fail. */
void wire_put_u8(struct buf *buf, uint8_t value);
void wire_put_u16(struct buf *buf, uint16_t value);
void wire_put_u32(struct buf *buf, uint32_t value);
void wire_put_u64(struct buf *buf, uint64_t value);
/* Seven bits a byte, the lowest first, all but the last with bit 7 set; at most 10 bytes. */
void wire_put_varint(struct buf *buf, uint64_t value);
void wire_put_bytes(struct buf *buf, struct slice bytes); /* at most 4 GiB - 1: CHECKed */

/* Overwrites what was put before, e.g. a length that became known later. */
void wire_set_u32(struct buf *buf, size_t at, uint32_t value);
void wire_set_u64(struct buf *buf, size_t at, uint64_t value);

/* Fixed places in a block, for headers that are laid out by offset. */
uint16_t wire_load_u16(const uint8_t *at);
uint32_t wire_load_u32(const uint8_t *at);
uint64_t wire_load_u64(const uint8_t *at);
void wire_store_u16(uint8_t *at, uint16_t value);
void wire_store_u32(uint8_t *at, uint32_t value);
void wire_store_u64(uint8_t *at, uint64_t value);

struct wire_reader {
	struct slice rest;
	bool failed;
};

struct wire_reader wire_reader(struct slice bytes);
uint8_t wire_get_u8(struct wire_reader *reader);
uint16_t wire_get_u16(struct wire_reader *reader);
uint32_t wire_get_u32(struct wire_reader *reader);
uint64_t wire_get_u64(struct wire_reader *reader);
uint64_t wire_get_varint(struct wire_reader *reader); /* a longer form than needed fails */
struct slice wire_get_bytes(struct wire_reader *reader);
struct slice wire_get_raw(struct wire_reader *reader, size_t len); /* without a length in front */

/* ERR_SYNTAX if any read failed or bytes are left over; else ERR_OK. */
MUST_USE enum err wire_done(const struct wire_reader *reader);

#endif
