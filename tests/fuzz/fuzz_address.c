/*
 * fuzz_address.c - any bytes as a path of MAIL or RCPT, as a bare address, as a next hop
 *
 * What is accepted is an internal form, which can be written and read again as the same.
 */
#include "base/check.h"
#include "message/address.h"
#include "message/xtext.h"
#include "resolver/nexthop_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_round_trip(struct slice internal, unsigned flags)
{
	struct buf external, again;

	buf_init(&external, 0);
	buf_init(&again, 0);
	CHECK(address_check(internal, flags | ADDRESS_NULL | ADDRESS_BARE) == ERR_OK);
	for (size_t i = 0; i < internal.len; i++)
		CHECK(internal.ptr[i] >= ' ' && internal.ptr[i] != 127);
	if (internal.len > 0 && address_format(internal, &external) == ERR_OK) {
		CHECK(address_parse(buf_slice(&external), flags | ADDRESS_BARE, &again) == ERR_OK);
		CHECK(slice_equal(buf_slice(&again), internal));
	}
	buf_done(&external);
	buf_done(&again);
}

static void
fuzz_xtext(struct slice text)
{
	struct buf plain, coded, again;

	buf_init(&plain, 4096);
	buf_init(&coded, 0);
	buf_init(&again, 0);
	if (xtext_decode(text, false, &plain) == ERR_OK) {
		CHECK(xtext_encode(buf_slice(&plain), &coded) == ERR_OK);
		CHECK(xtext_decode(buf_slice(&coded), false, &again) == ERR_OK);
		CHECK(slice_equal(buf_slice(&plain), buf_slice(&again)));
	}
	buf_done(&plain);
	buf_done(&coded);
	buf_done(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned flags = size > 0 ? data[0] & 15 : 0;
	struct slice text = slice_from(slice_make(data, size), 1), rest = text;
	struct nexthop_text nexthop;
	struct buf internal;

	buf_init(&internal, 0);
	if (address_parse_path(&rest, flags, &internal) == ERR_OK) {
		check_round_trip(buf_slice(&internal), flags);
		CHECK(internal.len > 0 || (flags & ADDRESS_NULL));
		CHECK(internal.len <= ADDRESS_MAX && rest.len <= text.len);
	} else {
		CHECK(internal.len == 0);
	}
	buf_clear(&internal);
	if (address_parse(text, flags, &internal) == ERR_OK)
		check_round_trip(buf_slice(&internal), flags);
	else
		CHECK(internal.len == 0);
	buf_done(&internal);
	if (nexthop_text_parse(text, 25, &nexthop) == ERR_OK)
		CHECK(nexthop.host[0] != '\0' && nexthop.port > 0);
	fuzz_xtext(text);
	return 0;
}
