/*
 * fuzz_main_cf.c - any bytes as main.cf: parsed, every value expanded and read as its type
 *
 * No file is opened: tables and lists stay text. Errors must name their place.
 */
#include "base/check.h"
#include "config/expand.h"
#include "config/main_cf.h"
#include "config/net.h"
#include "config/value.h"
#include "config/word.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err
fuzz_find(void *ctx, struct slice name, struct slice *ret_text)
{
	struct main_cf_entry *entry = main_cf_find(ctx, name);

	if (entry == NULL)
		return ERR_NOTFOUND;
	*ret_text = slice_str(entry->value);
	return ERR_OK;
}

static void
fuzz_value(const struct main_cf_entry *entry, struct slice text)
{
	struct value_source source = { .name = entry->name, .origin = entry->origin, .time_unit = 's' };
	struct slice rest = text;
	struct slice word, name, value;
	struct fault fault;
	struct net net;
	uint64_t number;

	/* Each type once: what a name means is chosen by the table, not by the text. */
	for (unsigned i = 0; i < PARAM_COUNT; i++) {
		source.param = param_get((enum param_id)i);
		if (value_parse(&source, text, &number, &fault) < 0)
			CHECK(strstr(fault.text, "fuzz") != NULL);
	}
	if (value_check_feedback(&source, text, &fault) < 0)
		CHECK(strstr(fault.text, "bad feedback") != NULL);
	if (value_check_endpoint(&source, text, &fault) < 0)
		CHECK(strstr(fault.text, "bad address") != NULL);
	while (word_next(&rest, WORD_LIST_SEPARATORS, &word) == ERR_OK) {
		if (word_split_pair(word_strip_braces(word), &name, &value) == ERR_OK)
			CHECK(name.len > 0);
		if (net_parse(word, &net) == ERR_OK) {
			char shown[NET_TEXT_SIZE];
			struct net again;

			CHECK(net_parse(net_format(&net, shown), &again) == ERR_OK);
			CHECK(net_contains(&net, &again));
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct main_cf_entry *entry;
	struct main_cf main_cf;
	struct buf warnings, text;
	struct fault fault;
	unsigned count = 0;

	if (size > 65536 || memchr(data, 0, size) != NULL)
		return 0;
	buf_init(&warnings, 0);
	buf_init(&text, 65536);
	main_cf_init(&main_cf);
	if (main_cf_parse(&main_cf, slice_make(data, size), "fuzz", &warnings, &fault) < 0)
		CHECK(strstr(fault.text, "fuzz, line ") != NULL);
	for (entry = main_cf.entries; entry != NULL && count < 50; entry = entry->hh.next, count++) {
		buf_clear(&text);
		if (expand_text(slice_str(entry->value), fuzz_find, &main_cf, &text, &fault) == ERR_OK)
			fuzz_value(entry, buf_slice(&text));
	}
	main_cf_done(&main_cf);
	buf_done(&warnings);
	buf_done(&text);
	return 0;
}
