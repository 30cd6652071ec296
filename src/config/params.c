/*
 * params.c - the table of parameters (see params.h)
 */
#include "config/params.h"

#include "base/ascii.h"
#include "base/check.h"
#include "base/hash.h"

static const struct param param_table[PARAM_COUNT] = {
#define PARAM(id, name_, type_, text_, min_, max_, words_, when_, meaning_)                        \
	[PARAM_##id] = {                                                                           \
		.name = name_,                                                                     \
		.text = text_,                                                                     \
		.words = words_,                                                                   \
		.meaning = meaning_,                                                               \
		.min = min_,                                                                       \
		.max = max_,                                                                       \
		.type = PARAM_TYPE_##type_,                                                        \
		.when = PARAM_##when_,                                                             \
	},
#include "config/params.def"
#undef PARAM
};

const struct param *
param_get(enum param_id id)
{
	CHECK(id < PARAM_COUNT);
	return &param_table[id < PARAM_COUNT ? id : 0]; /* a test's CHECK may return */
}

enum param_id
param_find(struct slice name)
{
	for (unsigned i = 0; i < PARAM_COUNT; i++)
		if (slice_equal_str(name, param_table[i].name))
			return (enum param_id)i;
	return PARAM_COUNT;
}

const char *
param_type_name(enum param_type type)
{
	switch (type) {
	case PARAM_TYPE_BOOL:
		return "boolean";
	case PARAM_TYPE_INT:
		return "integer";
	case PARAM_TYPE_TIME:
		return "time";
	case PARAM_TYPE_SIZE:
		return "bytes";
	case PARAM_TYPE_STRING:
		return "text";
	case PARAM_TYPE_ENUM:
		return "word";
	case PARAM_TYPE_WORDS:
		return "words";
	case PARAM_TYPE_STRINGS:
		return "list";
	case PARAM_TYPE_DOMAINS:
		return "list of domains";
	case PARAM_TYPE_NETS:
		return "list of networks";
	case PARAM_TYPE_MAPS:
		return "tables";
	case PARAM_TYPE_TEMPLATES:
		return "file of templates";
	}
	UNREACHED();
	return "";
}

const char *
param_transport_suffix(enum param_id id)
{
	static const char prefix[] = "default_";
	const char *name = param_get(id)->name;

	if (id == PARAM_INITIAL_DESTINATION_CONCURRENCY)
		return name;
	/* These two only look like one: smtp_process_limit and local_transport mean other things.
	 */
	if (id == PARAM_DEFAULT_PROCESS_LIMIT || id == PARAM_DEFAULT_TRANSPORT)
		return NULL;
	if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
		return NULL;
	return name + sizeof(prefix) - 1;
}

char
param_time_unit(enum param_id id)
{
	const char *text = param_get(id)->text;
	size_t len = strlen(text);

	CHECK(param_get(id)->type == PARAM_TYPE_TIME);
	return len > 0 && ascii_is_alpha((uint8_t)text[len - 1]) ? text[len - 1] : 's';
}

int
param_word_find(const char *words, struct slice word)
{
	struct slice rest = slice_str(words);
	struct slice one;

	for (int i = 0; slice_word(&rest, " ", &one); i++)
		if (slice_equal_nocase(one, word))
			return i;
	return -1;
}

uint64_t
param_table_hash(void)
{
	uint64_t hash = PARAM_COUNT;

	for (unsigned i = 0; i < PARAM_COUNT; i++) {
		const struct param *param = &param_table[i];
		uint64_t numbers[4] = { param->min, param->max, param->type, param->when };

		hash = hash_bytes_seeded(slice_str(param->name), hash);
		hash = hash_bytes_seeded(slice_str(param->text), hash);
		hash = hash_bytes_seeded(slice_str(param->words), hash);
		hash = hash_bytes_seeded(slice_make(numbers, sizeof(numbers)), hash);
	}
	return hash;
}
