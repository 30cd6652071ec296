/*
 * image.h - how a snapshot is laid out in bytes, and the writer of it
 *
 * Header, data, then four arrays: values (rows of PARAM_COUNT), services, objects, tables. All
 * integers little-endian, all places u32 offsets from the start of the image. An image is for one
 * build and one machine's processes, so the layout may change with any release: magic and the
 * hash of the parameter table tell.
 *
 *   value    u64 number, u32 text, u32 text_len, u32 object (IMAGE_NONE), u32 zero
 *   service  u8 type, u8 command, u8 private, u8 zero, u32 port, u32 process_limit, u32 row,
 *            u32 transport_row, and u32 place, u32 length of name, host, arguments
 *   object   u32 items, u32 item_count, u32 index_table (IMAGE_NONE), u32 flags
 *   item     u8 negated, u8 kind, u8 family, u8 prefix, u32 text, u32 text_len, u32 table,
 *            16 bytes address
 *   table    u32 is_static, u32 buckets, u32 bucket_count (power of 2), u32 value, u32 value_len
 *   bucket   u32 key, u32 key_len, u32 value, u32 value_len; key 0: free
 *
 * Texts have a NUL behind them. An index_table maps each name of a long list to its first place.
 *
 * Ownership: the writer appends to the caller's buffer; image_done() frees the rest.
 * Errors:    ERR_LIMIT, ERR_NOMEM of the buffer.
 * Threads:   none.
 */
#ifndef OSTLER_CONFIG_IMAGE_H
#define OSTLER_CONFIG_IMAGE_H

#include "base/buf.h"
#include "config/net.h"
#include "config/snapshot.h"
#include "config/table.h"

#define IMAGE_MAGIC UINT64_C(0x31464e434c54534f) /* OSTLCNF1 */
#define IMAGE_TABLE_SEED UINT64_C(0x7461626c65)	 /* of hashes of keys */
#define IMAGE_NONE UINT32_MAX

enum {
	IMAGE_HEADER_SIZE = 80,
	IMAGE_HASH_AT = 72, /* of all but these 8 bytes: body seeded with the header's */
	IMAGE_VALUE_SIZE = 24,
	IMAGE_SERVICE_SIZE = 44,
	IMAGE_OBJECT_SIZE = 16,
	IMAGE_ITEM_SIZE = 32,
	IMAGE_TABLE_SIZE = 20,
	IMAGE_BUCKET_SIZE = 16,
	IMAGE_ROWS_MAX = 1 + 2 * CONFIG_SERVICES_MAX,
	IMAGE_OBJECTS_MAX = 65536,
	IMAGE_TABLES_MAX = 65536,
	IMAGE_INDEX_MIN = 16, /* lists with more names get an index_table */
};

enum image_item_kind { IMAGE_ITEM_NAME, IMAGE_ITEM_TABLE, IMAGE_ITEM_NET, IMAGE_ITEM_KIND_COUNT };

enum { IMAGE_OBJECT_HAS_TABLES = 1 };

struct image_text {
	uint32_t at;
	uint32_t len;
};

struct image_value {
	uint64_t number;
	struct image_text text;
	uint32_t object;
};

struct image_item {
	bool negated;
	enum image_item_kind kind;
	struct net net;
	struct slice text;
	uint32_t table;
};

struct image_service {
	struct config_service service;
	uint32_t row;
	uint32_t transport_row;
};

struct image {
	struct buf *bytes;
	struct buf services, objects, tables;
	struct image_value *rows;
	uint32_t row_count, service_count, object_count, table_count;
};

void image_init(struct image *image, struct buf *bytes);
void image_done(struct image *image);

MUST_USE enum err image_put_text(
	struct image *image, struct slice text, struct image_text *ret_text);

/* A new row, all zero; pointers to other rows become invalid. */
MUST_USE enum err image_add_row(struct image *image, uint32_t *ret_row);

struct image_value *image_row(const struct image *image, uint32_t row);

MUST_USE enum err image_add_table(
	struct image *image, const struct table *table, uint32_t *ret_table);

MUST_USE enum err image_add_object(
	struct image *image, const struct image_item *items, uint32_t count, uint32_t *ret_object);

MUST_USE enum err image_add_service(struct image *image, const struct image_service *service);

/* Appends the arrays and completes the header. */
MUST_USE enum err image_finish(struct image *image, uint64_t number);

#endif
