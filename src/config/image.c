/*
 * image.c - the writer of snapshots (see image.h)
 */
#include "config/image.h"

#include "base/ascii.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/wire.h"

void
image_init(struct image *image, struct buf *bytes)
{
	static const uint8_t zeroes[IMAGE_HEADER_SIZE];

	*image = (struct image) { .bytes = bytes };
	buf_init(&image->services, 0);
	buf_init(&image->objects, 0);
	buf_init(&image->tables, 0);
	buf_clear(bytes);
	buf_add(bytes, slice_make(zeroes, sizeof(zeroes)));
}

void
image_done(struct image *image)
{
	buf_done(&image->services);
	buf_done(&image->objects);
	buf_done(&image->tables);
	mem_free(image->rows);
	*image = (struct image) { 0 };
}

enum err
image_put_text(struct image *image, struct slice text, struct image_text *ret_text)
{
	size_t at = image->bytes->len;
	enum err err;

	if (text.len >= CONFIG_IMAGE_MAX || at > CONFIG_IMAGE_MAX)
		return ERR_LIMIT;
	err = buf_reserve(image->bytes, text.len + 1);
	if (err < 0)
		return err;
	buf_add(image->bytes, text);
	buf_add(image->bytes, slice_make("", 1));
	*ret_text = (struct image_text) { (uint32_t)at, (uint32_t)text.len };
	return ERR_OK;
}

enum err
image_add_row(struct image *image, uint32_t *ret_row)
{
	CHECK(image->row_count < IMAGE_ROWS_MAX);
	image->rows = mem_resize(
		image->rows, (image->row_count + 1) * (size_t)PARAM_COUNT, sizeof(*image->rows));
	memset(image_row(image, image->row_count), 0, PARAM_COUNT * sizeof(*image->rows));
	*ret_row = image->row_count++;
	return ERR_OK;
}

struct image_value *
image_row(const struct image *image, uint32_t row)
{
	return image->rows + row * (size_t)PARAM_COUNT;
}

/* Puts an item into the buckets at `at`; false: an equal key is there already. */
static bool
image_put_bucket(struct image *image, size_t at, uint32_t bucket_count, struct slice key,
	struct image_text key_text, struct image_text value_text)
{
	uint64_t hash = hash_bytes_seeded(key, IMAGE_TABLE_SEED);

	for (uint32_t i = (uint32_t)hash & (bucket_count - 1);; i = (i + 1) & (bucket_count - 1)) {
		uint8_t *bucket = image->bytes->ptr + at + i * (size_t)IMAGE_BUCKET_SIZE;
		uint32_t other = wire_load_u32(bucket);

		if (other == 0) {
			wire_store_u32(bucket, key_text.at);
			wire_store_u32(bucket + 4, key_text.len);
			wire_store_u32(bucket + 8, value_text.at);
			wire_store_u32(bucket + 12, value_text.len);
			return true;
		}
		if (slice_equal(
			    key, slice_make(image->bytes->ptr + other, wire_load_u32(bucket + 4))))
			return false;
	}
}

static enum err
image_put_zeroes(struct image *image, size_t len, uint32_t *ret_at)
{
	enum err err;

	if (len > CONFIG_IMAGE_MAX || image->bytes->len > CONFIG_IMAGE_MAX)
		return ERR_LIMIT;
	err = buf_reserve(image->bytes, len);
	if (err < 0)
		return err;
	*ret_at = (uint32_t)image->bytes->len;
	memset(image->bytes->ptr + image->bytes->len, 0, len);
	image->bytes->len += len;
	return ERR_OK;
}

static enum err
image_put_hash(struct image *image, const struct table *table, uint32_t *ret_at,
	uint32_t *ret_bucket_count)
{
	uint32_t bucket_count = 4;
	struct image_text text;
	enum err err;

	while (bucket_count / 2 < table->count && bucket_count < UINT32_C(1) << 30)
		bucket_count *= 2;
	err = image_put_text(image, buf_slice(&table->text), &text);
	if (err == ERR_OK)
		err = image_put_zeroes(image, bucket_count * (size_t)IMAGE_BUCKET_SIZE, ret_at);
	if (err < 0)
		return err;
	for (uint32_t i = 0; i < table->count; i++) {
		const struct table_item *item = &table->items[i];
		struct slice key = slice_make(table->text.ptr + item->key, item->key_len);

		(void)image_put_bucket(image, *ret_at, bucket_count, key,
			(struct image_text) { text.at + item->key, item->key_len },
			(struct image_text) { text.at + item->value, item->value_len });
	}
	*ret_bucket_count = bucket_count;
	return ERR_OK;
}

enum err
image_add_table(struct image *image, const struct table *table, uint32_t *ret_table)
{
	struct image_text value = { 0 };
	uint32_t at = 0;
	uint32_t bucket_count = 0;
	enum err err;

	if (image->table_count == IMAGE_TABLES_MAX)
		return ERR_LIMIT;
	if (table->is_static)
		err = image_put_text(
			image, slice_make(table->text.ptr, table->items[0].value_len), &value);
	else
		err = image_put_hash(image, table, &at, &bucket_count);
	if (err < 0)
		return err;
	wire_put_u32(&image->tables, table->is_static);
	wire_put_u32(&image->tables, at);
	wire_put_u32(&image->tables, bucket_count);
	wire_put_u32(&image->tables, value.at);
	wire_put_u32(&image->tables, value.len);
	*ret_table = image->table_count++;
	return ERR_OK;
}

/* For a long list: a table from each name to the first place where it stands. */
static enum err
image_add_index(
	struct image *image, const struct image_item *items, uint32_t count, uint32_t *ret_table)
{
	uint32_t bucket_count = 4;
	uint32_t at;
	enum err err;

	if (image->table_count == IMAGE_TABLES_MAX)
		return ERR_LIMIT;
	while (bucket_count / 2 < count)
		bucket_count *= 2;
	err = image_put_zeroes(image, bucket_count * (size_t)IMAGE_BUCKET_SIZE, &at);
	for (uint32_t i = 0; err == ERR_OK && i < count; i++) {
		struct image_text name, place;
		uint8_t number[4];

		if (items[i].kind != IMAGE_ITEM_NAME)
			continue;
		wire_store_u32(number, i);
		err = image_put_text(image, slice_make(number, 4), &place);
		if (err == ERR_OK)
			err = image_put_text(
				image, slice_from(items[i].text, items[i].negated ? 1 : 0), &name);
		if (err < 0)
			break;
		for (uint32_t j = 0; j < name.len; j++) {
			uint8_t *byte = image->bytes->ptr + name.at + j;

			*byte = ascii_lower(*byte);
		}
		(void)image_put_bucket(image, at, bucket_count,
			slice_make(image->bytes->ptr + name.at, name.len), name, place);
	}
	if (err < 0)
		return err;
	wire_put_u32(&image->tables, 0);
	wire_put_u32(&image->tables, at);
	wire_put_u32(&image->tables, bucket_count);
	wire_put_u32(&image->tables, 0);
	wire_put_u32(&image->tables, 0);
	*ret_table = image->table_count++;
	return ERR_OK;
}

static void
image_store_item(uint8_t *at, const struct image_item *item, struct image_text text)
{
	at[0] = item->negated;
	at[1] = (uint8_t)item->kind;
	at[2] = item->net.family;
	at[3] = item->net.prefix;
	wire_store_u32(at + 4, text.at);
	wire_store_u32(at + 8, text.len);
	wire_store_u32(at + 12, item->table);
	memcpy(at + 16, item->net.address, 16);
}

enum err
image_add_object(
	struct image *image, const struct image_item *items, uint32_t count, uint32_t *ret_object)
{
	uint32_t index_table = IMAGE_NONE;
	uint32_t names = 0;
	uint32_t flags = 0;
	uint32_t at;
	enum err err;

	if (image->object_count == IMAGE_OBJECTS_MAX)
		return ERR_LIMIT;
	err = image_put_zeroes(image, count * (size_t)IMAGE_ITEM_SIZE, &at);
	for (uint32_t i = 0; err == ERR_OK && i < count; i++) {
		struct image_text text;

		err = image_put_text(image, items[i].text, &text);
		if (err < 0)
			break;
		image_store_item(
			image->bytes->ptr + at + i * (size_t)IMAGE_ITEM_SIZE, &items[i], text);
		names += items[i].kind == IMAGE_ITEM_NAME;
		if (items[i].kind == IMAGE_ITEM_TABLE)
			flags |= IMAGE_OBJECT_HAS_TABLES;
	}
	if (err == ERR_OK && names > IMAGE_INDEX_MIN)
		err = image_add_index(image, items, count, &index_table);
	if (err < 0)
		return err;
	wire_put_u32(&image->objects, at);
	wire_put_u32(&image->objects, count);
	wire_put_u32(&image->objects, index_table);
	wire_put_u32(&image->objects, flags);
	*ret_object = image->object_count++;
	return ERR_OK;
}

enum err
image_add_service(struct image *image, const struct image_service *service)
{
	const struct config_service *from = &service->service;
	const struct slice texts[3] = { from->name, from->host, from->arguments };
	struct image_text places[3];
	struct buf *to = &image->services;

	for (size_t i = 0; i < 3; i++) {
		enum err err = image_put_text(image, texts[i], &places[i]);

		if (err < 0)
			return err;
	}
	wire_put_u8(to, (uint8_t)from->type);
	wire_put_u8(to, (uint8_t)from->command);
	wire_put_u8(to, from->is_private);
	wire_put_u8(to, 0);
	wire_put_u32(to, from->port);
	wire_put_u32(to, from->process_limit);
	wire_put_u32(to, service->row);
	wire_put_u32(to, service->transport_row);
	for (size_t i = 0; i < 3; i++) {
		wire_put_u32(to, places[i].at);
		wire_put_u32(to, places[i].len);
	}
	image->service_count++;
	return ERR_OK;
}

static enum err
image_put_rows(struct image *image)
{
	size_t count = image->row_count * (size_t)PARAM_COUNT;
	enum err err = buf_reserve(image->bytes, count * IMAGE_VALUE_SIZE);

	for (size_t i = 0; err == ERR_OK && i < count; i++) {
		const struct image_value *value = &image->rows[i];

		wire_put_u64(image->bytes, value->number);
		wire_put_u32(image->bytes, value->text.at);
		wire_put_u32(image->bytes, value->text.len);
		wire_put_u32(image->bytes, value->object);
		wire_put_u32(image->bytes, 0);
	}
	return err;
}

enum err
image_finish(struct image *image, uint64_t number)
{
	uint32_t rows = (uint32_t)image->bytes->len;
	enum err err = image->bytes->len > CONFIG_IMAGE_MAX ? ERR_LIMIT : image_put_rows(image);
	uint32_t services = (uint32_t)image->bytes->len;
	uint32_t objects = services + (uint32_t)image->services.len;
	uint32_t tables = objects + (uint32_t)image->objects.len;
	uint8_t *header;

	if (err == ERR_OK)
		err = buf_append(image->bytes, buf_slice(&image->services));
	if (err == ERR_OK)
		err = buf_append(image->bytes, buf_slice(&image->objects));
	if (err == ERR_OK)
		err = buf_append(image->bytes, buf_slice(&image->tables));
	if (err == ERR_OK && image->bytes->len > CONFIG_IMAGE_MAX)
		err = ERR_LIMIT;
	if (err < 0)
		return err;
	header = image->bytes->ptr;
	wire_store_u64(header, IMAGE_MAGIC);
	wire_store_u64(header + 8, param_table_hash());
	wire_store_u64(header + 16, number);
	wire_store_u64(header + 24, image->bytes->len);
	wire_store_u32(header + 32, rows);
	wire_store_u32(header + 36, image->row_count);
	wire_store_u32(header + 40, services);
	wire_store_u32(header + 44, image->service_count);
	wire_store_u32(header + 48, objects);
	wire_store_u32(header + 52, image->object_count);
	wire_store_u32(header + 56, tables);
	wire_store_u32(header + 60, image->table_count);
	wire_store_u64(header + 64, 0);
	wire_store_u64(header + IMAGE_HASH_AT,
		hash_bytes_seeded(slice_from(buf_slice(image->bytes), IMAGE_HEADER_SIZE),
			hash_bytes(slice_make(header, IMAGE_HASH_AT))));
	return ERR_OK;
}
