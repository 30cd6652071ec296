/*
 * snapshot.c - reading an image (see snapshot.h); its layout is described in image.h
 *
 * Everything but the buckets of tables is checked and unpacked at opening; buckets, of which there
 * may be millions, are checked when a look-up meets them.
 */
#include "config/snapshot.h"

#include "base/ascii.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/wire.h"
#include "config/image.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct snapshot_value {
	uint64_t number;
	struct slice text; /* a NUL stands behind it */
	uint32_t object;
};

struct snapshot_object {
	uint32_t items;
	uint32_t item_count;
	uint32_t index_table;
	bool has_tables;
};

struct snapshot_table {
	bool is_static;
	uint32_t buckets;
	uint32_t bucket_count;
	struct slice value;
};

struct config {
	struct slice image;
	void *map; /* NULL: the image is borrowed */
	size_t map_len;
	uint64_t number;
	struct snapshot_value *values;
	struct config_service *services;
	uint32_t *rows; /* per service: of its -o, of its transport */
	struct snapshot_object *objects;
	struct snapshot_table *tables;
	uint32_t row_count, service_count, object_count, table_count;
};

/* A place within the image; false if it is not. */
static bool
config_slice(const struct config *config, uint64_t at, uint64_t len, struct slice *ret_slice)
{
	if (at < IMAGE_HEADER_SIZE || at > config->image.len || len > config->image.len - at)
		return false;
	*ret_slice = slice_make(config->image.ptr + at, (size_t)len);
	return true;
}

static bool
config_text(const struct config *config, uint32_t at, uint32_t len, struct slice *ret_text)
{
	struct slice text;

	if (!config_slice(config, at, (uint64_t)len + 1, &text) || text.ptr[len] != 0)
		return false;
	*ret_text = slice_head(text, len);
	return true;
}

static bool
config_unpack_values(struct config *config, uint32_t at)
{
	size_t count = config->row_count * (size_t)PARAM_COUNT;
	struct slice bytes;

	if (!config_slice(config, at, count * IMAGE_VALUE_SIZE, &bytes))
		return false;
	config->values = mem_array(count, sizeof(*config->values));
	for (size_t i = 0; i < count; i++) {
		const uint8_t *from = bytes.ptr + i * IMAGE_VALUE_SIZE;
		struct snapshot_value *value = &config->values[i];

		value->number = wire_load_u64(from);
		value->object = wire_load_u32(from + 16);
		if (!config_text(config, wire_load_u32(from + 8), wire_load_u32(from + 12),
			    &value->text))
			return false;
		if (value->object != IMAGE_NONE && value->object >= config->object_count)
			return false;
	}
	return true;
}

static bool
config_unpack_service(struct config *config, const uint8_t *from, uint32_t index)
{
	struct config_service *service = &config->services[index];

	if (from[0] > CONFIG_SERVICE_UNIX || from[1] >= CONFIG_COMMAND_COUNT
		|| wire_load_u32(from + 4) > UINT16_MAX)
		return false;
	service->type = (enum config_service_type)from[0];
	service->command = (enum config_command)from[1];
	service->is_private = from[2] != 0;
	service->port = (uint16_t)wire_load_u32(from + 4);
	service->process_limit = wire_load_u32(from + 8);
	service->index = index;
	config->rows[2 * index] = wire_load_u32(from + 12);
	config->rows[2 * index + 1] = wire_load_u32(from + 16);
	return config->rows[2 * index] < config->row_count
	       && config->rows[2 * index + 1] < config->row_count
	       && config_text(
		       config, wire_load_u32(from + 20), wire_load_u32(from + 24), &service->name)
	       && config_text(
		       config, wire_load_u32(from + 28), wire_load_u32(from + 32), &service->host)
	       && config_text(config, wire_load_u32(from + 36), wire_load_u32(from + 40),
		       &service->arguments);
}

static bool
config_unpack_services(struct config *config, uint32_t at)
{
	struct slice bytes;

	if (!config_slice(config, at, config->service_count * (uint64_t)IMAGE_SERVICE_SIZE, &bytes))
		return false;
	config->services = mem_array(config->service_count + 1, sizeof(*config->services));
	config->rows = mem_array(2 * (size_t)config->service_count + 1, sizeof(*config->rows));
	for (uint32_t i = 0; i < config->service_count; i++)
		if (!config_unpack_service(config, bytes.ptr + i * (size_t)IMAGE_SERVICE_SIZE, i))
			return false;
	return true;
}

static bool
config_check_items(const struct config *config, const struct snapshot_object *object)
{
	struct slice bytes;
	struct slice text;

	if (!config_slice(
		    config, object->items, object->item_count * (uint64_t)IMAGE_ITEM_SIZE, &bytes))
		return false;
	for (uint32_t i = 0; i < object->item_count; i++) {
		const uint8_t *item = bytes.ptr + i * (size_t)IMAGE_ITEM_SIZE;

		if (item[0] > 1 || item[1] >= IMAGE_ITEM_KIND_COUNT
			|| !config_text(
				config, wire_load_u32(item + 4), wire_load_u32(item + 8), &text)
			|| (item[0] == 1 && text.len == 0))
			return false;
		if (item[1] == IMAGE_ITEM_TABLE && wire_load_u32(item + 12) >= config->table_count)
			return false;
		if (item[1] == IMAGE_ITEM_NET
			&& !((item[2] == 4 && item[3] <= 32) || (item[2] == 6 && item[3] <= 128)))
			return false;
	}
	return true;
}

static bool
config_unpack_objects(struct config *config, uint32_t at)
{
	struct slice bytes;

	if (!config_slice(config, at, config->object_count * (uint64_t)IMAGE_OBJECT_SIZE, &bytes))
		return false;
	config->objects = mem_array(config->object_count + 1, sizeof(*config->objects));
	for (uint32_t i = 0; i < config->object_count; i++) {
		const uint8_t *from = bytes.ptr + i * (size_t)IMAGE_OBJECT_SIZE;
		struct snapshot_object *object = &config->objects[i];

		object->items = wire_load_u32(from);
		object->item_count = wire_load_u32(from + 4);
		object->index_table = wire_load_u32(from + 8);
		object->has_tables = (wire_load_u32(from + 12) & IMAGE_OBJECT_HAS_TABLES) != 0;
		if (object->index_table != IMAGE_NONE && object->index_table >= config->table_count)
			return false;
		if (!config_check_items(config, object))
			return false;
	}
	return true;
}

static bool
config_unpack_tables(struct config *config, uint32_t at)
{
	struct slice bytes;

	if (!config_slice(config, at, config->table_count * (uint64_t)IMAGE_TABLE_SIZE, &bytes))
		return false;
	config->tables = mem_array(config->table_count + 1, sizeof(*config->tables));
	for (uint32_t i = 0; i < config->table_count; i++) {
		const uint8_t *from = bytes.ptr + i * (size_t)IMAGE_TABLE_SIZE;
		struct snapshot_table *table = &config->tables[i];
		uint32_t count = wire_load_u32(from + 8);
		struct slice buckets;

		table->is_static = wire_load_u32(from) != 0;
		table->buckets = wire_load_u32(from + 4);
		table->bucket_count = count;
		if (table->is_static) {
			if (!config_text(config, wire_load_u32(from + 12), wire_load_u32(from + 16),
				    &table->value))
				return false;
		} else if (count == 0 || (count & (count - 1)) != 0
			   || !config_slice(config, table->buckets,
				   count * (uint64_t)IMAGE_BUCKET_SIZE, &buckets)) {
			return false;
		}
	}
	return true;
}

/* The header: magic, build, length, checksum. */
static enum err
config_check_header(struct slice image, struct fault *reterr_fault)
{
	const uint8_t *header = image.ptr;

	if (image.len < IMAGE_HEADER_SIZE || image.len > CONFIG_IMAGE_MAX
		|| wire_load_u64(header) != IMAGE_MAGIC)
		return fault_set(reterr_fault, ERR_CORRUPT, "not a configuration snapshot");
	if (wire_load_u64(header + 8) != param_table_hash())
		return fault_set(reterr_fault, ERR_VERSION,
			"the configuration snapshot is from another build");
	if (wire_load_u64(header + 24) != image.len
		|| wire_load_u64(header + IMAGE_HASH_AT)
			   != hash_bytes_seeded(slice_from(image, IMAGE_HEADER_SIZE),
				   hash_bytes(slice_make(header, IMAGE_HASH_AT))))
		return fault_set(
			reterr_fault, ERR_CORRUPT, "the configuration snapshot fails its checksum");
	return ERR_OK;
}

enum err
config_open(struct slice image, struct config **ret_config, struct fault *reterr_fault)
{
	const uint8_t *header = image.ptr;
	enum err err = config_check_header(image, reterr_fault);
	struct config *config;

	if (err < 0)
		return err;
	config = MEM_NEW(struct config);
	config->image = image;
	config->number = wire_load_u64(header + 16);
	config->row_count = wire_load_u32(header + 36);
	config->service_count = wire_load_u32(header + 44);
	config->object_count = wire_load_u32(header + 52);
	config->table_count = wire_load_u32(header + 60);
	if (config->row_count < 1 || config->row_count > IMAGE_ROWS_MAX
		|| config->service_count > CONFIG_SERVICES_MAX
		|| config->object_count > IMAGE_OBJECTS_MAX
		|| config->table_count > IMAGE_TABLES_MAX
		|| !config_unpack_values(config, wire_load_u32(header + 32))
		|| !config_unpack_services(config, wire_load_u32(header + 40))
		|| !config_unpack_objects(config, wire_load_u32(header + 48))
		|| !config_unpack_tables(config, wire_load_u32(header + 56))) {
		config_close(config);
		return fault_set(reterr_fault, ERR_CORRUPT,
			"the structure of the configuration snapshot is wrong");
	}
	*ret_config = config;
	return ERR_OK;
}

enum err
config_open_fd(int fd, struct config **ret_config, struct fault *reterr_fault)
{
	struct stat st;
	void *map;
	enum err err;

	if (fstat(fd, &st) < 0)
		return fault_errno(
			reterr_fault, errno, "cannot look at the configuration snapshot");
	if (st.st_size < IMAGE_HEADER_SIZE || st.st_size > CONFIG_IMAGE_MAX)
		return fault_set(
			reterr_fault, ERR_CORRUPT, "the configuration snapshot has a wrong length");
	/* Private: a memfd sealed against writing cannot be mapped shared on older kernels. */
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return fault_errno(reterr_fault, errno, "cannot map the configuration snapshot");
	err = config_open(slice_make(map, (size_t)st.st_size), ret_config, reterr_fault);
	if (err < 0) {
		(void)munmap(map, (size_t)st.st_size);
		return err;
	}
	(*ret_config)->map = map;
	(*ret_config)->map_len = (size_t)st.st_size;
	return ERR_OK;
}

void
config_close(struct config *config)
{
	if (config == NULL)
		return;
	mem_free(config->values);
	mem_free(config->services);
	mem_free(config->rows);
	mem_free(config->objects);
	mem_free(config->tables);
	if (config->map != NULL)
		(void)munmap(config->map, config->map_len);
	mem_free(config);
}

uint64_t
config_number(const struct config *config)
{
	return config->number;
}

static const struct snapshot_value *
config_value(const struct config *config, const struct config_service *service, enum param_id id)
{
	uint32_t row = 0;

	CHECK(id < PARAM_COUNT);
	if (service != NULL) {
		CHECK(service->index < config->service_count);
		row = config->rows[2 * service->index];
	}
	return &config->values[row * (size_t)PARAM_COUNT + id];
}

static const struct snapshot_value *
config_transport_value(
	const struct config *config, const struct config_service *transport, enum param_id id)
{
	uint32_t row = 0;

	CHECK(param_transport_suffix(id) != NULL);
	if (transport != NULL) {
		CHECK(transport->index < config->service_count);
		row = config->rows[2 * transport->index + 1];
	}
	return &config->values[row * (size_t)PARAM_COUNT + id];
}

static bool
config_is_int(enum param_id id)
{
	enum param_type type = param_get(id)->type;

	return type == PARAM_TYPE_INT || type == PARAM_TYPE_SIZE;
}

bool
config_bool(const struct config *config, const struct config_service *service, enum param_id id)
{
	CHECK(param_get(id)->type == PARAM_TYPE_BOOL);
	return config_value(config, service, id)->number != 0;
}

uint64_t
config_int(const struct config *config, const struct config_service *service, enum param_id id)
{
	CHECK(config_is_int(id));
	return config_value(config, service, id)->number;
}

uint64_t
config_time_s(const struct config *config, const struct config_service *service, enum param_id id)
{
	CHECK(param_get(id)->type == PARAM_TYPE_TIME);
	return config_value(config, service, id)->number;
}

unsigned
config_enum(const struct config *config, const struct config_service *service, enum param_id id)
{
	CHECK(param_get(id)->type == PARAM_TYPE_ENUM);
	return (unsigned)config_value(config, service, id)->number;
}

uint64_t
config_words(const struct config *config, const struct config_service *service, enum param_id id)
{
	CHECK(param_get(id)->type == PARAM_TYPE_WORDS);
	return config_value(config, service, id)->number;
}

struct slice
config_str(const struct config *config, const struct config_service *service, enum param_id id)
{
	return config_value(config, service, id)->text;
}

const char *
config_cstr(const struct config *config, const struct config_service *service, enum param_id id)
{
	return (const char *)config_value(config, service, id)->text.ptr;
}

bool
config_has_ipv4(const struct config *config)
{
	return (config_words(config, NULL, PARAM_INET_PROTOCOLS) & CONFIG_PROTOCOL_ALL) != 0
	       || (config_words(config, NULL, PARAM_INET_PROTOCOLS) & CONFIG_PROTOCOL_IPV4) != 0;
}

bool
config_has_ipv6(const struct config *config)
{
	return (config_words(config, NULL, PARAM_INET_PROTOCOLS) & CONFIG_PROTOCOL_ALL) != 0
	       || (config_words(config, NULL, PARAM_INET_PROTOCOLS) & CONFIG_PROTOCOL_IPV6) != 0;
}

uint64_t
config_transport_int(
	const struct config *config, const struct config_service *transport, enum param_id id)
{
	CHECK(config_is_int(id));
	return config_transport_value(config, transport, id)->number;
}

unsigned
config_transport_enum(
	const struct config *config, const struct config_service *transport, enum param_id id)
{
	CHECK(param_get(id)->type == PARAM_TYPE_ENUM);
	return (unsigned)config_transport_value(config, transport, id)->number;
}

uint64_t
config_transport_time_s(
	const struct config *config, const struct config_service *transport, enum param_id id)
{
	CHECK(param_get(id)->type == PARAM_TYPE_TIME);
	return config_transport_value(config, transport, id)->number;
}

struct slice
config_transport_str(
	const struct config *config, const struct config_service *transport, enum param_id id)
{
	return config_transport_value(config, transport, id)->text;
}

const struct config_service *
config_service_at(const struct config *config, uint32_t index)
{
	return index < config->service_count ? &config->services[index] : NULL;
}

const struct config_service *
config_transport_find(const struct config *config, struct slice name)
{
	for (uint32_t i = 0; i < config->service_count; i++) {
		const struct config_service *service = &config->services[i];

		if (service->type == CONFIG_SERVICE_UNIX
			&& service->command != CONFIG_COMMAND_PICKUP
			&& slice_equal(service->name, name))
			return service;
	}
	return NULL;
}

const struct config_service *
config_listener_find(const struct config *config, struct slice name)
{
	for (uint32_t i = 0; i < config->service_count; i++)
		if (config->services[i].type == CONFIG_SERVICE_INET
			&& slice_equal(config->services[i].name, name))
			return &config->services[i];
	return NULL;
}

/* Looks a key up, which is in lower case already. Buckets are not trusted. */
static bool
config_table_find(
	const struct config *config, uint32_t number, struct slice key, struct slice *ret_value)
{
	const struct snapshot_table *table = &config->tables[number];
	uint32_t mask = table->bucket_count - 1;
	uint32_t at;

	if (table->is_static) {
		*ret_value = table->value;
		return true;
	}
	at = (uint32_t)hash_bytes_seeded(key, IMAGE_TABLE_SEED) & mask;
	for (uint32_t i = 0; i < table->bucket_count; i++, at = (at + 1) & mask) {
		const uint8_t *bucket =
			config->image.ptr + table->buckets + at * (size_t)IMAGE_BUCKET_SIZE;
		struct slice found;

		if (wire_load_u32(bucket) == 0)
			return false;
		if (wire_load_u32(bucket + 4) == key.len
			&& config_slice(config, wire_load_u32(bucket), key.len, &found)
			&& slice_equal(found, key))
			return config_slice(config, wire_load_u32(bucket + 8),
				wire_load_u32(bucket + 12), ret_value);
	}
	return false;
}

/* A key in lower case in `fold`; false: longer than any key of a table. */
static bool
config_fold(struct slice key, uint8_t fold[TABLE_KEY_MAX], struct slice *ret_key)
{
	if (key.len > TABLE_KEY_MAX)
		return false;
	for (size_t i = 0; i < key.len; i++)
		fold[i] = ascii_lower(key.ptr[i]);
	*ret_key = slice_make(fold, key.len);
	return true;
}

static const struct snapshot_object *
config_object(const struct config *config, const struct config_service *service, enum param_id id)
{
	uint32_t object = config_value(config, service, id)->object;

	return object == IMAGE_NONE ? NULL : &config->objects[object];
}

static const uint8_t *
config_item(const struct config *config, const struct snapshot_object *object, uint32_t index)
{
	return config->image.ptr + object->items + index * (size_t)IMAGE_ITEM_SIZE;
}

static bool
config_has_tables(enum param_id id)
{
	enum param_type type = param_get(id)->type;

	return type == PARAM_TYPE_MAPS || type == PARAM_TYPE_TEMPLATES;
}

enum err
config_map_find(const struct config *config, const struct config_service *service, enum param_id id,
	struct slice key, struct slice *ret_value)
{
	const struct snapshot_object *object = config_object(config, service, id);
	uint8_t fold[TABLE_KEY_MAX];

	CHECK(config_has_tables(id));
	if (object == NULL || object->item_count == 0 || !config_fold(key, fold, &key))
		return ERR_NOTFOUND;
	for (uint32_t i = 0; i < object->item_count; i++) {
		const uint8_t *item = config_item(config, object, i);

		if (item[1] == IMAGE_ITEM_TABLE
			&& config_table_find(config, wire_load_u32(item + 12), key, ret_value))
			return ERR_OK;
	}
	return ERR_NOTFOUND;
}

bool
config_map_is_empty(
	const struct config *config, const struct config_service *service, enum param_id id)
{
	const struct snapshot_object *object = config_object(config, service, id);

	CHECK(config_has_tables(id));
	return object == NULL || object->item_count == 0;
}

/* The text of an item without its !. */
static struct slice
config_item_name(const struct config *config, const uint8_t *item)
{
	struct slice text =
		slice_make(config->image.ptr + wire_load_u32(item + 4), wire_load_u32(item + 8));

	return slice_from(text, item[0]);
}

/* The next name to try: of a.b.c, b.c and then c. */
static bool
config_parent(struct slice *name)
{
	size_t dot = slice_find(*name, '.');

	if (dot == name->len)
		return false;
	*name = slice_from(*name, dot + 1);
	return true;
}

/* The first place where `name`, in lower case, or with `deep` one of its parents, stands. */
static uint32_t
config_list_find_name(const struct config *config, const struct snapshot_object *object,
	struct slice name, bool deep)
{
	uint32_t best = object->item_count;
	struct slice value;

	if (object->index_table != IMAGE_NONE) {
		do {
			if (config_table_find(config, object->index_table, name, &value)
				&& value.len == 4 && wire_load_u32(value.ptr) < best)
				best = wire_load_u32(value.ptr);
		} while (deep && config_parent(&name));
		return best;
	}
	for (uint32_t i = 0; i < object->item_count; i++) {
		const uint8_t *item = config_item(config, object, i);
		struct slice rest = name;

		if (item[1] != IMAGE_ITEM_NAME)
			continue;
		do {
			if (slice_equal_nocase(config_item_name(config, item), rest))
				return i;
		} while (deep && config_parent(&rest));
	}
	return best;
}

static bool
config_list_find_table(
	const struct config *config, const uint8_t *item, struct slice name, bool deep)
{
	struct slice value;

	do {
		if (config_table_find(config, wire_load_u32(item + 12), name, &value))
			return true;
	} while (deep && config_parent(&name));
	return false;
}

bool
config_list_match(const struct config *config, const struct config_service *service,
	enum param_id id, struct slice name)
{
	const struct snapshot_object *object = config_object(config, service, id);
	bool deep = param_get(id)->type == PARAM_TYPE_DOMAINS;
	uint8_t fold[TABLE_KEY_MAX];
	uint32_t best;

	CHECK(deep || param_get(id)->type == PARAM_TYPE_STRINGS);
	if (object == NULL || object->item_count == 0 || name.len == 0
		|| !config_fold(name, fold, &name))
		return false;
	best = config_list_find_name(config, object, name, deep);
	for (uint32_t i = 0; object->has_tables && i < best; i++) {
		const uint8_t *item = config_item(config, object, i);

		if (item[1] == IMAGE_ITEM_TABLE && config_list_find_table(config, item, name, deep))
			best = i;
	}
	return best < object->item_count && config_item(config, object, best)[0] == 0;
}

bool
config_list_at(const struct config *config, const struct config_service *service, enum param_id id,
	uint32_t index, struct slice *ret_item)
{
	const struct snapshot_object *object = config_object(config, service, id);
	const uint8_t *item;

	if (object == NULL || index >= object->item_count)
		return false;
	item = config_item(config, object, index);
	*ret_item =
		slice_make(config->image.ptr + wire_load_u32(item + 4), wire_load_u32(item + 8));
	return true;
}

bool
config_net_match(const struct config *config, const struct config_service *service,
	enum param_id id, const struct sockaddr *address)
{
	const struct snapshot_object *object = config_object(config, service, id);
	char text[NET_TEXT_SIZE];
	struct net one;
	struct net net;
	struct slice value;

	CHECK(param_get(id)->type == PARAM_TYPE_NETS);
	if (object == NULL || net_from_sockaddr(address, &one) < 0)
		return false;
	for (uint32_t i = 0; i < object->item_count; i++) {
		const uint8_t *item = config_item(config, object, i);
		bool is_match = false;

		if (item[1] == IMAGE_ITEM_NET) {
			net.family = item[2];
			net.prefix = item[3];
			memcpy(net.address, item + 16, sizeof(net.address));
			is_match = net_contains(&net, &one);
		} else if (item[1] == IMAGE_ITEM_TABLE) {
			is_match = config_table_find(
				config, wire_load_u32(item + 12), net_format(&one, text), &value);
		}
		if (is_match)
			return item[0] == 0;
	}
	return false;
}
