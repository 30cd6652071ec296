/*
 * fuzz_snapshot.c - any bytes as the image of a configuration snapshot, with every look-up
 *
 * The checksum is made right first, so that what lies behind it is reached.
 */
#include "base/buf.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/wire.h"
#include "config/image.h"
#include "config/snapshot.h"

#include <netinet/in.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fuzz_lookups(const struct config *config, const struct config_service *service)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	struct slice value;

	for (unsigned i = 0; i < PARAM_COUNT; i++) {
		enum param_id id = (enum param_id)i;

		(void)strlen(config_cstr(config, service, id));
		switch (param_get(id)->type) {
		case PARAM_TYPE_STRINGS:
		case PARAM_TYPE_DOMAINS:
			(void)config_list_match(config, service, id, SLICE_LIT("a.b.test"));
			(void)config_list_at(config, service, id, 1, &value);
			break;
		case PARAM_TYPE_NETS:
			(void)config_net_match(
				config, service, id, (const struct sockaddr *)&address);
			break;
		case PARAM_TYPE_MAPS:
		case PARAM_TYPE_TEMPLATES:
			if (config_map_find(config, service, id, SLICE_LIT("a.test"), &value)
				== ERR_OK)
				CHECK(value.len <= 1024 * 1024);
			(void)config_map_is_empty(config, service, id);
			break;
		case PARAM_TYPE_BOOL:
		case PARAM_TYPE_INT:
		case PARAM_TYPE_TIME:
		case PARAM_TYPE_SIZE:
		case PARAM_TYPE_STRING:
		case PARAM_TYPE_ENUM:
		case PARAM_TYPE_WORDS:
			break;
		}
		if (param_transport_suffix(id) != NULL)
			(void)config_transport_str(config, service, id);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *config = NULL;
	struct buf image;
	struct fault fault;
	uint8_t *header;

	if (size < IMAGE_HEADER_SIZE || size > 1024 * 1024)
		return 0;
	buf_init(&image, 0);
	buf_add(&image, slice_make(data, size));
	header = image.ptr;
	wire_store_u64(header, IMAGE_MAGIC);
	wire_store_u64(header + 8, param_table_hash());
	wire_store_u64(header + 24, size);
	wire_store_u64(header + IMAGE_HASH_AT,
		hash_bytes_seeded(slice_from(buf_slice(&image), IMAGE_HEADER_SIZE),
			hash_bytes(slice_make(header, IMAGE_HASH_AT))));
	if (config_open(buf_slice(&image), &config, &fault) == ERR_OK) {
		fuzz_lookups(config, NULL);
		for (uint32_t i = 0; config_service_at(config, i) != NULL; i++)
			fuzz_lookups(config, config_service_at(config, i));
		config_close(config);
	}
	buf_done(&image);
	return 0;
}
