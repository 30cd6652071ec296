/*
 * fuzz_header_rewrite.c - any bytes as content: cut anywhere it comes out the same, the body as is
 */
#include "base/check.h"
#include "config/compile.h"
#include "route/header_rewrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct config *
fuzz_config(void)
{
	static const char *const overrides[] = { "myorigin=o.test",
		"canonical_maps=inline:{ a=b@c.test, @x.test=@y.test }",
		"masquerade_domains=d.test" };
	static struct config *config;
	static struct buf image, warnings;
	struct config_options options = { .directory_fd = -1, .overrides = overrides,
		.override_count = 3, .hostname = "me.test" };
	struct fault fault;

	if (config == NULL)
		CHECK(config_compile(&options, &image, &warnings, &fault) == ERR_OK &&
			config_open(buf_slice(&image), &config, &fault) == ERR_OK);
	return config;
}

static void
fuzz_run(struct slice bytes, size_t step, struct buf *out)
{
	struct header_rewrite rewrite;

	header_rewrite_init(&rewrite);
	header_rewrite_begin(&rewrite);
	for (; bytes.len > 0; bytes = slice_from(bytes, step))
		header_rewrite_feed(&rewrite, fuzz_config(), slice_head(bytes, step), out);
	header_rewrite_finish(&rewrite, fuzz_config(), out);
	header_rewrite_done(&rewrite);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole, pieces;

	buf_init(&whole, 0);
	buf_init(&pieces, 0);
	fuzz_run(slice_make(data, size), size + 1, &whole);
	fuzz_run(slice_make(data, size), 7, &pieces);
	CHECK(slice_equal(buf_slice(&whole), buf_slice(&pieces)));
	if (size > 0 && data[0] == '\n')
		CHECK(slice_equal(buf_slice(&whole), slice_make(data, size)));
	buf_done(&whole);
	buf_done(&pieces);
	return 0;
}
