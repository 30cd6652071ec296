/*
 * fuzz_master_cf.c - any bytes as master.cf
 */
#include "base/check.h"
#include "config/master_cf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct master_cf master_cf;
	struct buf warnings;
	struct fault fault;

	if (size > 65536 || memchr(data, 0, size) != NULL)
		return 0;
	buf_init(&warnings, 0);
	master_cf_init(&master_cf);
	if (master_cf_parse(&master_cf, slice_make(data, size), "fuzz", &warnings, &fault) < 0)
		CHECK(strstr(fault.text, "fuzz, line ") != NULL);
	for (uint32_t i = 0; i < master_cf.count; i++) {
		const struct config_service *service = &master_cf.services[i].service;

		CHECK(service->index == i && service->name.len > 0);
		CHECK((service->type == CONFIG_SERVICE_INET)
			== (service->command == CONFIG_COMMAND_SMTPD));
	}
	master_cf_done(&master_cf);
	buf_done(&warnings);
	return 0;
}
