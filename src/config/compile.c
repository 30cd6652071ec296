/*
 * compile.c - from main.cf, master.cf and tables to the image of a snapshot (see compile.h)
 */
#include "config/compile_priv.h"

#include "base/check.h"
#include "base/mem.h"
#include "config/text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static const char compile_command_line[] = "command line";

static bool
compile_is_builtin(const struct config_options *options)
{
	return options->directory == NULL && options->directory_fd < 0;
}

static enum err
compile_open_directory(struct compile *compile)
{
	const struct config_options *options = compile->options;

	compile->directory_fd = options->directory_fd;
	if (compile_is_builtin(options) || options->directory_fd >= 0)
		return ERR_OK;
	compile->directory_fd = open(options->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (compile->directory_fd < 0 && errno == ENOENT)
		return fault_set(compile->reterr_fault, ERR_NOTFOUND,
			"%s: no such configuration directory",
			origin_value(slice_str(options->directory)).text);
	if (compile->directory_fd < 0)
		return fault_errno(compile->reterr_fault, errno, "%s: cannot open the directory",
			origin_value(slice_str(options->directory)).text);
	return ERR_OK;
}

static char *
compile_name(const struct config_options *options, const char *file)
{
	struct buf name;
	char *copy;

	buf_init(&name, 0);
	if (compile_is_builtin(options))
		buf_addf(&name, "built-in %s", file);
	else
		buf_addf(&name, "%s%s%s", options->directory != NULL ? options->directory : "",
			options->directory != NULL ? "/" : "", file);
	copy = mem_strndup((const char *)name.ptr, name.len);
	buf_done(&name);
	return copy;
}

static enum err
compile_read_main(struct compile *compile, const char *shown)
{
	struct buf text;
	enum err err;

	if (compile_is_builtin(compile->options))
		return main_cf_parse(&compile->main_cf, slice_str(config_builtin_main()), shown,
			compile->warnings, compile->reterr_fault);
	buf_init(&text, (size_t)CONFIG_FILE_MAX + 128 * 1024);
	err = text_file_read(compile->directory_fd, "main.cf", shown, CONFIG_FILE_MAX, &text,
		compile->reterr_fault);
	if (err == ERR_OK)
		err = main_cf_parse(&compile->main_cf, buf_slice(&text), shown, compile->warnings,
			compile->reterr_fault);
	buf_done(&text);
	return err;
}

/* Without the file the built-in table holds. */
static enum err
compile_read_master(struct compile *compile, const char *shown)
{
	struct buf text;
	enum err err = ERR_NOTFOUND;

	buf_init(&text, (size_t)CONFIG_FILE_MAX + 128 * 1024);
	if (!compile_is_builtin(compile->options))
		err = text_file_read(compile->directory_fd, "master.cf", shown, CONFIG_FILE_MAX,
			&text, compile->reterr_fault);
	if (err == ERR_OK)
		err = master_cf_parse(&compile->master_cf, buf_slice(&text), shown,
			compile->warnings, compile->reterr_fault);
	else if (err == ERR_NOTFOUND)
		err = master_cf_parse(&compile->master_cf, slice_str(config_builtin_master()),
			"built-in master.cf", compile->warnings, compile->reterr_fault);
	buf_done(&text);
	return err;
}

enum err
compile_read_settings(struct compile *compile, const struct compile_names *names)
{
	enum err err = compile_open_directory(compile);

	if (err == ERR_OK)
		err = compile_read_main(compile, names->main_cf);
	for (size_t i = 0; err == ERR_OK && i < compile->options->override_count; i++)
		err = main_cf_set_pair(&compile->main_cf, slice_str(compile->options->overrides[i]),
			(struct origin) { compile_command_line, 0 }, compile->reterr_fault);
	return err;
}

void
compile_close_directory(struct compile *compile)
{
	if (compile->directory_fd >= 0 && compile->directory_fd != compile->options->directory_fd)
		(void)close(compile->directory_fd);
	compile->directory_fd = -1;
}

struct compile_names
compile_names_new(const struct config_options *options)
{
	return (struct compile_names) { compile_name(options, "main.cf"),
		compile_name(options, "master.cf") };
}

void
compile_names_free(struct compile_names *names)
{
	mem_free(names->main_cf);
	mem_free(names->master_cf);
	*names = (struct compile_names) { 0 };
}

static bool
compile_is_transport(const struct config_service *service)
{
	return service->type == CONFIG_SERVICE_UNIX && service->command != CONFIG_COMMAND_PICKUP;
}

static enum err
compile_services(struct compile *compile)
{
	uint64_t process_limit = image_row(&compile->image, 0)[PARAM_DEFAULT_PROCESS_LIMIT].number;

	for (uint32_t i = 0; i < compile->master_cf.count; i++) {
		struct master_cf_service *entry = &compile->master_cf.services[i];
		struct image_service service = { .service = entry->service };
		enum err err = ERR_OK;

		if (service.service.process_limit == MASTER_CF_PROCESS_DEFAULT)
			service.service.process_limit = (uint32_t)process_limit;
		if (entry->settings.entries != NULL)
			err = compile_row(compile, &entry->settings, &service.row);
		if (err == ERR_OK && compile_is_transport(&entry->service))
			err = compile_transport_row(
				compile, entry->service.name, &service.transport_row);
		if (err < 0)
			return err;
		err = image_add_service(&compile->image, &service);
		if (err < 0)
			return fault_set(
				compile->reterr_fault, err, "the configuration is too long");
	}
	return ERR_OK;
}

const struct config_service *
compile_find_transport(const struct compile *compile, struct slice name)
{
	for (uint32_t i = 0; i < compile->master_cf.count; i++) {
		const struct config_service *service = &compile->master_cf.services[i].service;

		if (compile_is_transport(service) && slice_equal(service->name, name))
			return service;
	}
	return NULL;
}

/* What an administrator relies on to look at mail: without it mail would pass unseen. */
static bool
compile_is_filter(const char *name)
{
	static const char *const names[] = { "content_filter", "smtpd_proxy_filter",
		"smtpd_milters", "non_smtpd_milters", "header_checks", "mime_header_checks",
		"nested_header_checks", "body_checks", "smtp_header_checks",
		"smtp_mime_header_checks", "smtp_nested_header_checks", "smtp_body_checks" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static enum err
compile_warn_unused(struct compile *compile, const struct main_cf_entry *entry)
{
	if (compile_is_filter(entry->name) && entry->value[0] != '\0')
		return fault_set(compile->reterr_fault, ERR_CONFIG,
			"%s: not supported, and mail would pass unfiltered: %s = %s (filter in "
			"front, or as a next hop: transport_maps)",
			origin_text(entry->origin).text, entry->name,
			origin_value(slice_str(entry->value)).text);

	enum err err = buf_printf(compile->warnings, "%s: unused parameter: %s=%s\n",
		origin_text(entry->origin).text, origin_value(slice_str(entry->name)).text,
		origin_value(slice_str(entry->value)).text);

	return err < 0 ? fault_set(compile->reterr_fault, err, "too many warnings") : ERR_OK;
}

/* The transports that routing starts from must exist: an error where they were set by hand. */
static enum err
compile_check_transport(struct compile *compile, enum param_id id)
{
	const char *name = param_get(id)->name;
	const struct main_cf_entry *entry = main_cf_find(&compile->main_cf, slice_str(name));
	struct image_value *value = &image_row(&compile->image, 0)[id];
	struct slice text = slice_make(compile->image.bytes->ptr + value->text.at, value->text.len);
	struct slice transport = slice_head(text, slice_find(text, ':'));
	enum err err;

	if (compile_find_transport(compile, transport) != NULL)
		return ERR_OK;
	if (entry != NULL)
		return fault_set(compile->reterr_fault, ERR_CONFIG,
			"%s: unknown transport: %s = %s (allowed: a delivering unix service of "
			"master.cf)",
			origin_text(entry->origin).text, name, origin_value(text).text);
	err = buf_printf(compile->warnings, "%s = %s: master.cf has no such transport\n", name,
		origin_value(text).text);
	return err < 0 ? fault_set(compile->reterr_fault, err, "too many warnings") : ERR_OK;
}

static enum err
compile_check_sizes(struct compile *compile)
{
	const struct image_value *row = image_row(&compile->image, 0);
	uint64_t min = row[PARAM_JOURNAL_SIZE_MIN].number;
	uint64_t max = row[PARAM_JOURNAL_SIZE_MAX].number;

	if (min > max)
		return fault_set(compile->reterr_fault, ERR_CONFIG,
			"journal_size_min (%llu) is greater than journal_size_max (%llu)",
			(unsigned long long)min, (unsigned long long)max);
	return ERR_OK;
}

/* Two characters of the filter: intake and sendmail would refuse others each time. */
static enum err
compile_check_verp(struct compile *compile)
{
	const struct image_value *row = image_row(&compile->image, 0);
	const struct image_text at = row[PARAM_DEFAULT_VERP_DELIMITERS].text;
	const struct image_text allowed_at = row[PARAM_VERP_DELIMITER_FILTER].text;
	struct slice text = slice_make(compile->image.bytes->ptr + at.at, at.len);
	struct slice allowed =
		slice_make(compile->image.bytes->ptr + allowed_at.at, allowed_at.len);
	const struct main_cf_entry *entry =
		main_cf_find(&compile->main_cf, SLICE_LIT("default_verp_delimiters"));
	struct origin origin = entry != NULL ? entry->origin : (struct origin) { "main.cf", 0 };

	if (text.len == 2 && slice_find(allowed, text.ptr[0]) < allowed.len
		&& slice_find(allowed, text.ptr[1]) < allowed.len)
		return ERR_OK;
	return fault_set(compile->reterr_fault, ERR_CONFIG,
		"%s: bad delimiters: default_verp_delimiters = %s (allowed: two characters of "
		"verp_delimiter_filter: %s)",
		origin_text(origin).text, origin_value(text).text, origin_value(allowed).text);
}

static enum err
compile_check(struct compile *compile)
{
	static const enum param_id transports[] = { PARAM_DEFAULT_TRANSPORT, PARAM_LOCAL_TRANSPORT,
		PARAM_RELAY_TRANSPORT };
	const struct main_cf_entry *entry;
	enum err err = compile_check_sizes(compile);

	if (err == ERR_OK)
		err = compile_check_verp(compile);
	for (size_t i = 0; err == ERR_OK && i < sizeof(transports) / sizeof(transports[0]); i++)
		err = compile_check_transport(compile, transports[i]);
	for (entry = compile->main_cf.entries; err == ERR_OK && entry != NULL;
		entry = entry->hh.next)
		if (!entry->is_used && param_find(slice_str(entry->name)) == PARAM_COUNT)
			err = compile_warn_unused(compile, entry);
	for (uint32_t i = 0; err == ERR_OK && i < compile->master_cf.count; i++)
		for (entry = compile->master_cf.services[i].settings.entries;
			err == ERR_OK && entry != NULL; entry = entry->hh.next)
			if (!entry->is_used && param_find(slice_str(entry->name)) == PARAM_COUNT)
				err = compile_warn_unused(compile, entry);
	return err;
}

static enum err
compile_run(struct compile *compile, const struct compile_names *names)
{
	uint32_t row = 0;
	enum err err = compile_read_settings(compile, names);

	if (err == ERR_OK)
		err = compile_read_master(compile, names->master_cf);
	if (err == ERR_OK)
		err = compile_hostname(compile);
	if (err == ERR_OK)
		err = compile_row(compile, NULL, &row);
	CHECK(row == 0);
	if (err == ERR_OK)
		err = compile_services(compile);
	if (err == ERR_OK)
		err = compile_check(compile);
	if (err < 0)
		return err;
	err = image_finish(&compile->image, compile->options->number);
	if (err < 0)
		return fault_set(compile->reterr_fault, err,
			"the configuration with its tables is longer than %d bytes",
			CONFIG_IMAGE_MAX);
	return ERR_OK;
}

enum err
config_compile(const struct config_options *options, struct buf *ret_image,
	struct buf *ret_warnings, struct fault *reterr_fault)
{
	struct fault unused;
	struct compile compile = { .options = options,
		.directory_fd = -1,
		.warnings = ret_warnings,
		.reterr_fault = reterr_fault != NULL ? reterr_fault : &unused };
	struct compile_names names = compile_names_new(options);
	enum err err;

	buf_clear(ret_warnings);
	main_cf_init(&compile.main_cf);
	master_cf_init(&compile.master_cf);
	image_init(&compile.image, ret_image);
	err = compile_run(&compile, &names);
	if (err < 0)
		buf_clear(ret_image);
	compile_close_directory(&compile);
	image_done(&compile.image);
	compile_list_done(&compile);
	master_cf_done(&compile.master_cf);
	main_cf_done(&compile.main_cf);
	mem_free(compile.hostname);
	mem_free(compile.mydomain);
	compile_names_free(&names);
	return err;
}
