/*
 * main_cf.c - the settings of main.cf, unevaluated (see main_cf.h)
 */
#include "config/main_cf.h"

#include "base/check.h"
#include "base/mem.h"
#include "config/logical_line.h"
#include "config/word.h"

void
main_cf_init(struct main_cf *main_cf)
{
	*main_cf = (struct main_cf) { 0 };
}

void
main_cf_done(struct main_cf *main_cf)
{
	struct main_cf_entry *entry;
	struct main_cf_entry *next;

	HASH_ITER(hh, main_cf->entries, entry, next)
	{
		HASH_DEL(main_cf->entries, entry);
		mem_free(entry->name);
		mem_free(entry->value);
		mem_free(entry);
	}
}

struct main_cf_entry *
main_cf_find(const struct main_cf *main_cf, struct slice name)
{
	struct main_cf_entry *entry;

	HASH_FIND(hh, main_cf->entries, name.ptr, name.len, entry);
	return entry;
}

static void
main_cf_set(struct main_cf *main_cf, struct slice name, struct slice value, struct origin origin)
{
	struct main_cf_entry *entry = main_cf_find(main_cf, name);

	if (entry == NULL) {
		entry = MEM_NEW(struct main_cf_entry);
		entry->name = mem_strndup((const char *)name.ptr, name.len);
		HASH_ADD_KEYPTR(hh, main_cf->entries, entry->name, name.len, entry);
	}
	mem_free(entry->value);
	entry->value = value.len > 0 ? mem_strndup((const char *)value.ptr, value.len)
				     : mem_strndup("", 0);
	entry->origin = origin;
}

static enum err
main_cf_split(struct slice line, struct origin origin, struct slice *ret_name,
	struct slice *ret_value, struct fault *reterr_fault)
{
	if (word_split_pair(line, ret_name, ret_value) == ERR_OK)
		return ERR_OK;
	if (slice_trim(line).len > 0 && slice_trim(line).ptr[0] == '=')
		return fault_set(reterr_fault, ERR_SYNTAX, "%s: missing attribute name: \"%s\"",
			origin_text(origin).text, origin_value(line).text);
	return fault_set(reterr_fault, ERR_SYNTAX,
		"%s: missing '=' after attribute name: \"%s\" (allowed: name = value)",
		origin_text(origin).text, origin_value(line).text);
}

static enum err
main_cf_parse_line(struct main_cf *main_cf, struct slice line, struct origin origin,
	struct buf *ret_warnings, struct fault *reterr_fault)
{
	struct slice name;
	struct slice value;
	enum err err = main_cf_split(line, origin, &name, &value, reterr_fault);

	if (err < 0)
		return err;
	if (main_cf_find(main_cf, name) != NULL) {
		err = buf_printf(ret_warnings, "%s: overriding earlier entry: %" SLICE_FMT "=%s\n",
			origin_text(origin).text, SLICE_ARG(name), origin_value(value).text);
		if (err < 0)
			return fault_set(reterr_fault, err, "too many warnings");
	}
	main_cf_set(main_cf, name, value, origin);
	return ERR_OK;
}

enum err
main_cf_parse(struct main_cf *main_cf, struct slice text, const char *file,
	struct buf *ret_warnings, struct fault *reterr_fault)
{
	struct logical_line_reader reader = logical_line_reader(text);
	struct buf line;
	uint32_t number;
	enum err err;

	buf_init(&line, 0);
	while ((err = logical_line_next(&reader, &line, &number)) == ERR_OK) {
		err = main_cf_parse_line(main_cf, buf_slice(&line),
			(struct origin) { file, number }, ret_warnings, reterr_fault);
		if (err < 0)
			break;
	}
	buf_done(&line);
	if (err == ERR_NOTFOUND)
		return ERR_OK;
	if (err == ERR_LIMIT || err == ERR_NOMEM)
		return fault_set(reterr_fault, err, "%s: a line is too long",
			origin_text((struct origin) { file, reader.number }).text);
	return err;
}

enum err
main_cf_set_pair(struct main_cf *main_cf, struct slice pair, struct origin origin,
	struct fault *reterr_fault)
{
	struct slice name;
	struct slice value;
	enum err err = main_cf_split(pair, origin, &name, &value, reterr_fault);

	if (err < 0)
		return err;
	main_cf_set(main_cf, name, value, origin);
	return ERR_OK;
}
