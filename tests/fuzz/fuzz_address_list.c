/*
 * fuzz_address_list.c - any bytes as sendmail's input: header found, addresses taken out of it
 */
#include "base/check.h"
#include "cli/draft.h"
#include "message/address.h"
#include "message/address_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err
fuzz_address(void *ctx, struct slice address, struct slice place)
{
	(void)ctx;
	CHECK(address.len > 0 && place.len > 0);
	CHECK(address_check(address, ADDRESS_BARE | ADDRESS_UTF8) == ERR_OK);
	return ERR_OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice all = slice_make(data, size);
	struct draft draft;

	draft_init(&draft);
	if (draft_parse(&draft, all, true) == ERR_OK) {
		CHECK(draft.used <= size);
		CHECK(draft.head.len > 0 && draft.head.ptr[draft.head.len - 1] == '\n');
		if (address_list_parse(buf_slice(&draft.recipients), fuzz_address, NULL) < 0)
			CHECK(draft.recipients.len > 0);
	}
	draft_done(&draft);
	if (address_list_parse(all, fuzz_address, NULL) < 0)
		CHECK(size > 0);
	return 0;
}
