/*
 * fuzz_downgrade.c - any bytes as content for a next hop that takes 7 bits only
 *
 * What comes out is 7-bit, so that a second look finds nothing to do; it does not depend on how the
 * content is cut, and its size is bounded.
 */
#include "base/check.h"
#include "message/downgrade.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The converted content; false: there is nothing to convert, or no way. */
static bool
convert(struct slice content, size_t step, struct buf *out)
{
	struct downgrade *downgrade = downgrade_new();
	bool is_needed;
	const char *why;

	for (struct slice rest = content; rest.len > 0; rest = slice_from(rest, step))
		downgrade_survey(downgrade, slice_head(rest, step));
	why = downgrade_settle(downgrade, &is_needed);
	is_needed = is_needed && why == NULL;
	if (is_needed) {
		for (struct slice rest = content; rest.len > 0; rest = slice_from(rest, step))
			downgrade_convert(downgrade, slice_head(rest, step), out);
		downgrade_convert_end(downgrade, out);
	}
	downgrade_free(downgrade);
	return is_needed;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice content = slice_make(data, size);
	struct buf whole, pieces, again;

	buf_init(&whole, 0);
	buf_init(&pieces, 0);
	buf_init(&again, 0);
	if (convert(content, SIZE_MAX, &whole)) {
		CHECK(convert(content, 1 + size % 61, &pieces));
		CHECK(slice_equal(buf_slice(&whole), buf_slice(&pieces)));
		CHECK(!convert(buf_slice(&whole), SIZE_MAX, &again));
		for (size_t i = 0; i < whole.len; i++)
			CHECK(whole.ptr[i] < 128);
		/* Each byte may become three, each line may open a part with its fields. */
		CHECK(whole.len <= 4 * size + 200 * (size + 1));
	}
	buf_done(&whole);
	buf_done(&pieces);
	buf_done(&again);
	return 0;
}
