/* verp.c - see verp.h */
#include "message/verp.h"

#include "base/check.h"
#include "message/address.h"

const char *
verp_check(struct slice delimiters, struct slice filter)
{
	if (delimiters.len != VERP_DELIMITERS)
		return "bad VERP delimiter character count";
	if (slice_find(filter, delimiters.ptr[0]) == filter.len)
		return "bad first VERP delimiter character";
	if (slice_find(filter, delimiters.ptr[1]) == filter.len)
		return "bad second VERP delimiter character";
	return NULL;
}

enum err
verp_address(
	struct slice sender, struct slice recipient, struct slice delimiters, struct buf *out)
{
	struct slice local, domain, to_local, to_domain;
	size_t start = out->len;
	enum err err;

	CHECK(delimiters.len == VERP_DELIMITERS);
	address_split(sender, &local, &domain);
	address_split(recipient, &to_local, &to_domain);
	err = buf_printf(out, "%" SLICE_FMT "%c%" SLICE_FMT, SLICE_ARG(local), delimiters.ptr[0],
		SLICE_ARG(to_local));
	if (err == ERR_OK && to_domain.len > 0)
		err = buf_printf(
			out, "%c%" SLICE_FMT, delimiters.ptr[1], SLICE_ARG(to_domain));
	if (err == ERR_OK && domain.len > 0)
		err = buf_printf(out, "@%" SLICE_FMT, SLICE_ARG(domain));
	if (err != ERR_OK)
		out->len = start;
	return err;
}
