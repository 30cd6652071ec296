/*
 * table.c - look-up tables as administrators write them (see table.h)
 */
#include "config/table.h"

#include "base/ascii.h"
#include "base/mem.h"
#include "config/compile.h"
#include "config/logical_line.h"
#include "config/text_file.h"
#include "config/word.h"

static const char table_allowed[] = "inline:{...}, texthash:FILE, static:VALUE";

bool
table_is_spec(struct slice word)
{
	return slice_starts(word, SLICE_LIT("inline:"))
	       || slice_starts(word, SLICE_LIT("texthash:"))
	       || slice_starts(word, SLICE_LIT("static:"));
}

bool
table_is_foreign(struct slice word)
{
	static const char *const types[] = { "btree", "cdb", "cidr", "dbm", "environ", "fail",
		"hash", "ldap", "lmdb", "memcache", "mongodb", "mysql", "netinfo", "nis", "nisplus",
		"pcre", "pgsql", "pipemap", "proxy", "randmap", "regexp", "sdbm", "socketmap",
		"sqlite", "tcp", "unionmap", "unix" };
	struct slice type = slice_head(word, slice_find(word, ':'));

	for (size_t i = 0; type.len < word.len && i < sizeof(types) / sizeof(types[0]); i++)
		if (slice_equal_str(type, types[i]))
			return true;
	return false;
}

void
table_init(struct table *table)
{
	*table = (struct table) { 0 };
	/* Keys and values of a file are not longer than the file. */
	buf_init(&table->text, 2 * (size_t)CONFIG_TABLE_MAX);
}

void
table_done(struct table *table)
{
	buf_done(&table->text);
	mem_free(table->items);
	*table = (struct table) { 0 };
}

enum err
table_put(struct table *table, struct slice key, struct slice value)
{
	struct table_item *item;
	enum err err;

	if (key.len > TABLE_KEY_MAX)
		return ERR_LIMIT;
	if (table->count == table->cap) {
		uint32_t cap = table->cap == 0 ? 16 : table->cap * 2;
		void *items = mem_try_resize(table->items, cap * sizeof(*item));

		if (items == NULL)
			return ERR_NOMEM;
		table->items = items;
		table->cap = cap;
	}
	item = &table->items[table->count];
	*item = (struct table_item) { (uint32_t)table->text.len, (uint32_t)key.len,
		(uint32_t)(table->text.len + key.len), (uint32_t)value.len };
	err = buf_append(&table->text, key);
	if (err == ERR_OK)
		err = buf_append(&table->text, value);
	if (err < 0)
		return err;
	for (uint32_t i = 0; i < item->key_len; i++)
		table->text.ptr[item->key + i] = ascii_lower(table->text.ptr[item->key + i]);
	table->count++;
	return ERR_OK;
}

static enum err
table_fault(struct fault *reterr_fault, enum err err, struct origin origin, struct slice text)
{
	if (err == ERR_LIMIT)
		return fault_set(reterr_fault, err, "%s: the key or the table is too long: \"%s\"",
			origin_text(origin).text, origin_value(text).text);
	return fault_set(
		reterr_fault, err, "%s: no memory for the table", origin_text(origin).text);
}

/* Cuts "key" or key off the front of a line; what is left, without blanks, is the value. */
static bool
table_split(struct slice line, bool is_alias, struct slice *ret_key, struct slice *ret_value)
{
	struct slice text = slice_trim(line);
	size_t len = 0;

	if (text.len > 0 && text.ptr[0] == '"') {
		text = slice_from(text, 1);
		len = slice_find(text, '"');
		if (len == text.len)
			return false;
		*ret_key = slice_head(text, len++);
	} else {
		while (len < text.len && !ascii_is_space(text.ptr[len])
			&& !(is_alias && text.ptr[len] == ':'))
			len++;
		*ret_key = slice_head(text, len);
	}
	text = slice_trim(slice_from(text, len));
	if (is_alias && text.len > 0 && text.ptr[0] == ':')
		text = slice_trim(slice_from(text, 1));
	*ret_value = text;
	return ret_key->len > 0 && text.len > 0;
}

/* --- lists of aliases ------------------------------------------------------------------------- */

/* Whether an entry of a list file is plain: no command, no file, no list in it. */
static bool
table_is_address(struct slice entry)
{
	return entry.ptr[0] != '|' && entry.ptr[0] != '/' && entry.ptr[0] != ':' &&
	       !(entry.len > 1 && entry.ptr[0] == '"' && strchr("|/:", entry.ptr[1]) != NULL);
}

/* The addresses of a file, parted by commas. False: it cannot be read, or holds something else. */
static bool
table_read_list(struct slice name, const struct table_options *options, struct buf *addresses)
{
	char *path = mem_strndup((const char *)name.ptr, name.len);
	struct fault fault = { 0 };
	struct buf file, line;
	uint32_t number;
	bool is_good;

	buf_init(&file, CONFIG_TABLE_MAX);
	buf_init(&line, 0);
	is_good = text_file_read(options->directory_fd, path, path, TABLE_LIST_MAX, &file,
			  &fault) == ERR_OK;
	struct logical_line_reader reader = logical_line_reader(buf_slice(&file));

	while (is_good && logical_line_next(&reader, &line, &number) == ERR_OK) {
		struct slice entry = slice_trim(buf_slice(&line));

		if (entry.len == 0)
			continue;
		is_good = table_is_address(entry);
		buf_addf(addresses, "%s%" SLICE_FMT, addresses->len > 0 ? ", " : "",
			SLICE_ARG(entry));
	}
	buf_done(&file);
	buf_done(&line);
	mem_free(path);
	return is_good && addresses->len > 0;
}

/* Where an entry of an alias ends: a comma outside of quotes. */
static size_t
table_entry_end(struct slice text)
{
	bool is_quoted = false;
	size_t i = 0;

	for (; i < text.len && (is_quoted || text.ptr[i] != ','); i++) {
		if (text.ptr[i] == '"')
			is_quoted = !is_quoted;
		else if (is_quoted && text.ptr[i] == '\\' && i + 1 < text.len)
			i++;
	}
	return i;
}

/*
 * :include:FILE in an alias becomes the addresses of the file; one that cannot be read, or has more
 * than addresses in it, stays as it is, and local delivery says so.
 */
static enum err
table_put_alias(struct table *table, struct slice key, struct slice value,
	const struct table_options *options)
{
	const struct slice include = SLICE_LIT(":include:");
	struct buf whole, addresses;
	enum err err;

	buf_init(&whole, 0);
	buf_init(&addresses, 0);
	while (value.len > 0) {
		size_t end = table_entry_end(value);
		struct slice entry = slice_trim(slice_head(value, end)), name = entry;

		value = slice_from(value, end + 1);
		if (name.len > 1 && name.ptr[0] == '"' && name.ptr[name.len - 1] == '"')
			name = slice_make(name.ptr + 1, name.len - 2);
		buf_clear(&addresses);
		if (slice_starts_nocase(name, include) &&
			table_read_list(slice_from(name, include.len), options, &addresses))
			entry = buf_slice(&addresses);
		buf_addf(&whole, "%s", whole.len > 0 ? ", " : "");
		buf_add(&whole, entry);
	}
	err = table_put(table, key, buf_slice(&whole));
	buf_done(&whole);
	buf_done(&addresses);
	return err;
}

static bool
table_has_list(struct slice value)
{
	const struct slice include = SLICE_LIT(":include:");

	for (size_t i = 0; i < value.len; i++)
		if (slice_starts_nocase(slice_from(value, i), include))
			return true;
	return false;
}

static enum err
table_put_entry(struct table *table, struct slice key, struct slice value,
	const struct table_options *options)
{
	return options->is_alias && table_has_list(value)
		       ? table_put_alias(table, key, value, options)
		       : table_put(table, key, value);
}

/* --- files ------------------------------------------------------------------------------------ */

static enum err
table_parse_file(struct table *table, struct slice text, const char *file,
	const struct table_options *options, struct fault *reterr_fault)
{
	struct logical_line_reader reader = logical_line_reader(text);
	struct buf line;
	uint32_t number;
	enum err err;

	buf_init(&line, 0);
	while ((err = logical_line_next(&reader, &line, &number)) == ERR_OK) {
		struct origin origin = { file, number };
		struct slice key, value;

		if (!table_split(buf_slice(&line), options->is_alias, &key, &value)) {
			err = fault_set(reterr_fault, ERR_SYNTAX,
				"%s: \"%s\" is no entry (allowed: key, blanks, value)",
				origin_text(origin).text, origin_value(buf_slice(&line)).text);
			break;
		}
		err = table_put_entry(table, key, value, options);
		if (err < 0) {
			err = table_fault(reterr_fault, err, origin, key);
			break;
		}
	}
	buf_done(&line);
	return err == ERR_NOTFOUND ? ERR_OK : err;
}

static enum err
table_load_file(struct table *table, struct slice name, const struct table_options *options,
	struct fault *reterr_fault)
{
	struct buf file;
	char *path;
	enum err err;

	if (name.len == 0 || slice_find(name, 0) < name.len)
		return fault_set(reterr_fault, ERR_CONFIG, "%s: texthash: needs a file name",
			origin_text(options->origin).text);
	path = mem_strndup((const char *)name.ptr, name.len);
	buf_init(&file, (size_t)CONFIG_TABLE_MAX + 128 * 1024);
	err = text_file_read(
		options->directory_fd, path, path, CONFIG_TABLE_MAX, &file, reterr_fault);
	if (err == ERR_OK)
		err = table_parse_file(table, buf_slice(&file), path, options, reterr_fault);
	buf_done(&file);
	mem_free(path);
	return err;
}

static enum err
table_load_inline(struct table *table, struct slice spec, const struct table_options *options,
	struct fault *reterr_fault)
{
	struct slice rest = word_strip_braces(slice_trim(spec));
	struct slice word, key, value;
	enum err err;

	if (rest.len == spec.len)
		return fault_set(reterr_fault, ERR_SYNTAX,
			"%s: bad table \"inline:%s\" (allowed: inline:{ key=value, { key = value } "
			"})",
			origin_text(options->origin).text, origin_value(spec).text);
	while ((err = word_next(&rest, WORD_LIST_SEPARATORS, &word)) == ERR_OK) {
		err = word_split_pair(word_strip_braces(word), &key, &value);
		if (err < 0)
			break;
		err = table_put_entry(table, key, value, options);
		if (err < 0)
			return table_fault(reterr_fault, err, options->origin, key);
	}
	if (err == ERR_SYNTAX)
		return fault_set(reterr_fault, ERR_SYNTAX,
			"%s: \"%s\" in inline:{...} is no entry (allowed: key=value, { key = value "
			"})",
			origin_text(options->origin).text, origin_value(word).text);
	return ERR_OK;
}

enum err
table_load(struct table *table, struct slice spec, const struct table_options *options,
	struct fault *reterr_fault)
{
	size_t colon = slice_find(spec, ':');
	struct slice type = slice_head(spec, colon);
	struct slice name = slice_trim(slice_from(spec, colon + 1));
	enum err err;

	if (colon < spec.len && slice_equal_str(type, "inline"))
		return table_load_inline(table, name, options, reterr_fault);
	if (colon < spec.len && slice_equal_str(type, "texthash"))
		return table_load_file(table, name, options, reterr_fault);
	if (colon < spec.len && slice_equal_str(type, "static")) {
		table->is_static = true;
		err = table_put(table, SLICE_LIT(""), word_strip_braces(name));
		return err < 0 ? table_fault(reterr_fault, err, options->origin, name) : ERR_OK;
	}
	return fault_set(reterr_fault, ERR_CONFIG, "%s: unknown table \"%s\" (allowed: %s)",
		origin_text(options->origin).text, origin_value(spec).text, table_allowed);
}
