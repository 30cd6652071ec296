/*
 * settings.c - main.cf alone, for tools (see settings.h)
 */
#include "config/settings.h"

#include "base/check.h"
#include "base/mem.h"
#include "config/compile_priv.h"

struct settings {
	struct compile compile;
	struct config_options options;
	struct compile_names names;
	struct buf warnings;
	struct fault fault;
};

enum err
settings_open(const struct config_options *options, struct settings **ret_settings,
	struct buf *ret_warnings, struct fault *reterr_fault)
{
	struct settings *settings = MEM_NEW(struct settings);
	enum err err;

	settings->options = *options;
	buf_init(&settings->warnings, 0);
	settings->compile = (struct compile) { .options = &settings->options,
		.directory_fd = -1,
		.warnings = &settings->warnings,
		.reterr_fault = &settings->fault };
	settings->names = compile_names_new(options);
	main_cf_init(&settings->compile.main_cf);
	err = compile_read_settings(&settings->compile, &settings->names);
	if (err == ERR_OK)
		err = compile_hostname(&settings->compile);
	if (err == ERR_OK)
		err = buf_append(ret_warnings, buf_slice(&settings->warnings));
	if (err < 0) {
		if (reterr_fault != NULL)
			*reterr_fault = settings->fault;
		settings_close(settings);
		return err;
	}
	*ret_settings = settings;
	return ERR_OK;
}

void
settings_close(struct settings *settings)
{
	if (settings == NULL)
		return;
	compile_close_directory(&settings->compile);
	main_cf_done(&settings->compile.main_cf);
	mem_free(settings->compile.hostname);
	mem_free(settings->compile.mydomain);
	compile_names_free(&settings->names);
	buf_done(&settings->warnings);
	mem_free(settings);
}

static enum err
settings_find(struct settings *settings, enum param_id id, struct value_source *ret_source,
	struct buf *text, struct fault *reterr_fault)
{
	struct compile_scope scope = { &settings->compile, NULL };
	struct value_source source = { .param = param_get(id), .name = param_get(id)->name };
	struct slice raw;
	enum err err;

	if (source.param->type == PARAM_TYPE_TIME)
		source.time_unit = param_time_unit(id);
	err = compile_find(&scope, slice_str(source.name), &raw, &source.origin);
	CHECK(err == ERR_OK);
	err = compile_expand(&scope, &source, raw, text);
	if (err < 0 && reterr_fault != NULL)
		*reterr_fault = settings->fault;
	*ret_source = source;
	return err;
}

enum err
settings_expand(
	struct settings *settings, enum param_id id, struct buf *text, struct fault *reterr_fault)
{
	struct value_source source;

	return settings_find(settings, id, &source, text, reterr_fault);
}

enum err
settings_number(struct settings *settings, enum param_id id, uint64_t *ret_number,
	struct fault *reterr_fault)
{
	struct value_source source;
	struct buf text;
	enum err err;

	buf_init(&text, COMPILE_TEXT_MAX);
	err = settings_find(settings, id, &source, &text, reterr_fault);
	if (err == ERR_OK)
		err = value_parse(&source, buf_slice(&text), ret_number, reterr_fault);
	buf_done(&text);
	return err;
}

const char *
settings_raw(const struct settings *settings, const char *name)
{
	const struct main_cf_entry *entry =
		main_cf_find(&settings->compile.main_cf, slice_str(name));

	return entry != NULL ? entry->value : NULL;
}

const char *
settings_default(const struct settings *settings, enum param_id id)
{
	if (id == PARAM_MYHOSTNAME)
		return settings->compile.hostname;
	if (id == PARAM_MYDOMAIN)
		return settings->compile.mydomain;
	return param_get(id)->text;
}

const char *
settings_at(const struct settings *settings, uint32_t index)
{
	const struct main_cf_entry *entry = settings->compile.main_cf.entries;

	for (; entry != NULL && index > 0; index--)
		entry = entry->hh.next;
	return entry != NULL ? entry->name : NULL;
}
