/*
 * compile_list.c - lists and tables of parameters become objects of the image (see compile_priv.h)
 */
#include "config/compile_priv.h"

#include "base/check.h"
#include "base/mem.h"
#include "config/logical_line.h"
#include "config/text_file.h"
#include "config/word.h"

enum { COMPILE_LIST_DEPTH_MAX = 10, COMPILE_LIST_WARNINGS_MAX = 10 };

/* One list being read. */
struct compile_list {
	struct compile *compile;
	const struct value_source *source;
	struct origin origin; /* where the words at hand stand: the setting, or a file it names */
	struct image_item *items;
	uint32_t count, cap;
	char **names; /* paths and words that items point into */
	uint32_t name_count;
	unsigned depth;
};

static enum err compile_list_words(struct compile_list *list, struct slice text, bool negated);

static enum err
compile_list_bad(
	const struct compile_list *list, const char *what, struct slice word, const char *allowed)
{
	return fault_set(list->compile->reterr_fault, ERR_CONFIG, "%s: %s: %s \"%s\" (allowed: %s)",
		origin_text(list->origin).text, list->source->name, what, origin_value(word).text,
		allowed);
}

static enum err
compile_list_fault(const struct compile_list *list, enum err err)
{
	return fault_set(list->compile->reterr_fault, err, "%s: %s: the list or table is too long",
		origin_text(list->origin).text, list->source->name);
}

static const char *
compile_list_allowed(enum param_type type)
{
	switch (type) {
	case PARAM_TYPE_STRINGS:
	case PARAM_TYPE_DOMAINS:
		return "names, /files, inline:{...}, texthash:FILE, static:VALUE, each with ! or "
		       "not";
	case PARAM_TYPE_NETS:
		return "192.0.2.1, 192.0.2.0/24, [2001:db8::]/32, /files, tables, each with ! or "
		       "not";
	case PARAM_TYPE_MAPS:
	case PARAM_TYPE_TEMPLATES:
	case PARAM_TYPE_BOOL:
	case PARAM_TYPE_INT:
	case PARAM_TYPE_TIME:
	case PARAM_TYPE_SIZE:
	case PARAM_TYPE_STRING:
	case PARAM_TYPE_ENUM:
	case PARAM_TYPE_WORDS:
		break;
	}
	return "inline:{...}, texthash:FILE, static:VALUE";
}

static char *
compile_list_keep(struct compile_list *list, char *text)
{
	list->names = mem_resize(list->names, list->name_count + 1, sizeof(*list->names));
	list->names[list->name_count++] = text;
	return text;
}

static enum err
compile_list_add(struct compile_list *list, const struct image_item *item)
{
	if (list->count == COMPILE_ITEMS_MAX)
		return compile_list_fault(list, ERR_LIMIT);
	if (list->count == list->cap) {
		list->cap = list->cap == 0 ? 16 : list->cap * 2;
		list->items = mem_resize(list->items, list->cap, sizeof(*list->items));
	}
	list->items[list->count++] = *item;
	return ERR_OK;
}

/* transport_maps may name transports that master.cf does not have: said, a few at most. */
static enum err
compile_list_check_transports(struct compile_list *list, const struct table *table)
{
	uint32_t unknown = 0;
	enum err err = ERR_OK;

	if (list->source->param != param_get(PARAM_TRANSPORT_MAPS))
		return ERR_OK;
	for (uint32_t i = 0; err == ERR_OK && i < table->count; i++) {
		const struct table_item *item = &table->items[i];
		struct slice value = slice_make(table->text.ptr + item->value, item->value_len);
		struct slice transport = slice_head(value, slice_find(value, ':'));

		if (transport.len == 0 || compile_find_transport(list->compile, transport) != NULL)
			continue;
		if (++unknown > COMPILE_LIST_WARNINGS_MAX)
			break;
		err = buf_printf(list->compile->warnings,
			"%s: transport_maps: master.cf has no transport \"%s\"\n",
			origin_text(list->origin).text, origin_value(transport).text);
	}
	return err < 0 ? compile_list_fault(list, err) : ERR_OK;
}

/* The number of a table in the image; loads it when it is named the first time. */
static enum err
compile_list_table(struct compile_list *list, struct slice spec, uint32_t *ret_table)
{
	struct compile *compile = list->compile;
	struct table_options options = { .directory_fd = compile->directory_fd,
		.origin = list->origin,
		.is_alias = list->source->param == param_get(PARAM_ALIAS_MAPS) };
	struct compile_table *known;
	struct table table;
	struct buf key;
	enum err err;

	buf_init(&key, 0);
	err = buf_printf(&key, "%c%" SLICE_FMT, options.is_alias ? 'a' : 't', SLICE_ARG(spec));
	if (err < 0) {
		buf_done(&key);
		return compile_list_fault(list, err);
	}
	HASH_FIND(hh, compile->tables, key.ptr, key.len, known);
	if (known == NULL) {
		table_init(&table);
		err = table_load(&table, spec, &options, compile->reterr_fault);
		if (err == ERR_OK)
			err = compile_list_check_transports(list, &table);
		if (err == ERR_OK) {
			err = image_add_table(&compile->image, &table, ret_table);
			if (err < 0)
				(void)compile_list_fault(list, err);
		}
		table_done(&table);
		if (err == ERR_OK) {
			known = MEM_NEW(struct compile_table);
			known->spec = mem_strndup((const char *)key.ptr, key.len);
			known->number = *ret_table;
			HASH_ADD_KEYPTR(hh, compile->tables, known->spec, key.len, known);
		}
	} else {
		*ret_table = known->number;
	}
	buf_done(&key);
	return err;
}

/* A /file: its words take its place. */
static enum err
compile_list_file(struct compile_list *list, struct slice name, bool negated)
{
	struct origin outer = list->origin;
	struct buf file, line;
	struct logical_line_reader reader;
	uint32_t number;
	char *path;
	enum err err;

	if (list->depth == COMPILE_LIST_DEPTH_MAX)
		return compile_list_bad(list, "too many files in files at", name, "10 levels");
	path = compile_list_keep(list, mem_strndup((const char *)name.ptr, name.len));
	buf_init(&file, (size_t)CONFIG_TABLE_MAX + 128 * 1024);
	buf_init(&line, 0);
	err = text_file_read(list->compile->directory_fd, path, path, CONFIG_TABLE_MAX, &file,
		list->compile->reterr_fault);
	reader = logical_line_reader(buf_slice(&file));
	list->depth++;
	while (err == ERR_OK) {
		enum err end = logical_line_next(&reader, &line, &number);

		if (end == ERR_NOTFOUND)
			break;
		list->origin = (struct origin) { path, number };
		if (end < 0)
			err = compile_list_fault(list, end);
		else
			err = compile_list_words(list,
				slice_str(compile_list_keep(
					list, mem_strndup((const char *)line.ptr, line.len))),
				negated);
	}
	list->depth--;
	list->origin = outer;
	buf_done(&line);
	buf_done(&file);
	return err;
}

static enum err
compile_list_net(struct compile_list *list, struct slice word, struct image_item *item)
{
	char text[NET_TEXT_SIZE];
	enum err err = net_parse(word, &item->net);

	item->kind = IMAGE_ITEM_NET;
	if (err == ERR_RANGE) {
		struct slice meant = net_format(&item->net, text);

		return fault_set(list->compile->reterr_fault, ERR_CONFIG,
			"%s: %s: bits behind the prefix are set in \"%s\" (allowed: %" SLICE_FMT
			")",
			origin_text(list->origin).text, list->source->name, origin_value(word).text,
			SLICE_ARG(meant));
	}
	if (err < 0)
		return compile_list_bad(
			list, "bad network", word, compile_list_allowed(PARAM_TYPE_NETS));
	return ERR_OK;
}

static enum err
compile_list_word(struct compile_list *list, struct slice word, bool negated)
{
	enum param_type type = list->source->param->type;
	struct image_item item = { .text = word, .table = IMAGE_NONE };
	enum err err = ERR_OK;

	while (type != PARAM_TYPE_MAPS && word.len > 0 && word.ptr[0] == '!') {
		negated = !negated;
		word = slice_from(word, 1);
	}
	if (word.len == 0)
		return compile_list_bad(list, "bad word", item.text, compile_list_allowed(type));
	if (type != PARAM_TYPE_MAPS && word.ptr[0] == '/')
		return compile_list_file(list, word, negated);
	item.negated = negated;
	if (type == PARAM_TYPE_MAPS || table_is_spec(word)) {
		item.kind = IMAGE_ITEM_TABLE;
		err = compile_list_table(list, word, &item.table);
	} else if (table_is_foreign(word)) {
		err = compile_list_bad(list, "unknown table", word, compile_list_allowed(type));
	} else if (type == PARAM_TYPE_NETS) {
		err = compile_list_net(list, word, &item);
	}
	/* The text keeps exactly one ! of a negated item: readers skip it. */
	if (negated) {
		struct buf text;

		buf_init(&text, 0);
		buf_addf(&text, "!%" SLICE_FMT, SLICE_ARG(word));
		item.text = slice_str(
			compile_list_keep(list, mem_strndup((const char *)text.ptr, text.len)));
		buf_done(&text);
	} else {
		item.text = word;
	}
	return err < 0 ? err : compile_list_add(list, &item);
}

static enum err
compile_list_words(struct compile_list *list, struct slice text, bool negated)
{
	struct slice rest = text;
	struct slice word;
	enum err err;

	while ((err = word_next(&rest, WORD_LIST_SEPARATORS, &word)) == ERR_OK) {
		err = compile_list_word(list, word, negated);
		if (err < 0)
			return err;
	}
	if (err == ERR_SYNTAX)
		return compile_list_bad(list, "a brace is not closed in", text, "{ and } in pairs");
	return ERR_OK;
}

enum err
compile_list(struct compile *compile, const struct value_source *source, struct slice text,
	uint32_t *ret_object)
{
	struct compile_list list = {
		.compile = compile, .source = source, .origin = source->origin
	};
	enum err err = compile_list_words(&list, text, false);

	if (err == ERR_OK) {
		err = image_add_object(&compile->image, list.items, list.count, ret_object);
		if (err < 0)
			(void)compile_list_fault(&list, err);
	}
	for (uint32_t i = 0; i < list.name_count; i++)
		mem_free(list.names[i]);
	mem_free(list.names);
	mem_free(list.items);
	return err;
}

void
compile_list_done(struct compile *compile)
{
	struct compile_table *table;
	struct compile_table *next;

	HASH_ITER(hh, compile->tables, table, next)
	{
		HASH_DEL(compile->tables, table);
		mem_free(table->spec);
		mem_free(table);
	}
}
