/*
 * config_print.c - `ostler config` (see config_print.h)
 */
#include "cli/config_print.h"

#include "base/mem.h"
#include "config/snapshot.h"
#include "message/report_text.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

struct config_print {
	struct cli *cli;
	bool set_only;	  /* -n */
	bool defaults;	  /* -d */
	bool expanded;	  /* -x */
	bool values_only; /* -h */
};

static void
config_print_line(const struct config_print *print, const char *name, const char *value)
{
	if (print->values_only)
		(void)printf("%s\n", value);
	else
		(void)printf("%s =%s%s\n", name, value[0] != '\0' ? " " : "", value);
}

static int
config_print_param(const struct config_print *print, enum param_id id)
{
	struct settings *settings = print->cli->settings;
	const char *name = param_get(id)->name;
	const char *raw = settings_raw(settings, name);
	char *value;

	if (print->set_only && raw == NULL)
		return EX_OK;
	if (!print->expanded || print->defaults) {
		config_print_line(print, name,
			raw != NULL && !print->defaults ? raw : settings_default(settings, id));
		return EX_OK;
	}
	value = cli_value(print->cli, id);
	if (value == NULL)
		return EX_CONFIG;
	config_print_line(print, name, value);
	mem_free(value);
	return EX_OK;
}

static int
config_print_name(const struct config_print *print, const char *name)
{
	enum param_id id = param_find(slice_str(name));
	const char *raw = settings_raw(print->cli->settings, name);

	if (id < PARAM_COUNT)
		return config_print_param(print, id);
	if (raw != NULL && !print->defaults) {
		config_print_line(print, name, raw);
		return EX_OK;
	}
	return cli_complain(print->cli, EX_USAGE, "%s: unknown parameter", name);
}

static int
config_print_compare(const void *a, const void *b)
{
	const enum param_id *one = a;
	const enum param_id *other = b;

	return strcmp(param_get(*one)->name, param_get(*other)->name);
}

static int
config_print_all(const struct config_print *print)
{
	enum param_id order[PARAM_COUNT];
	int exit_code = EX_OK;

	for (unsigned i = 0; i < PARAM_COUNT; i++)
		order[i] = (enum param_id)i;
	qsort(order, PARAM_COUNT, sizeof(order[0]), config_print_compare);
	for (unsigned i = 0; i < PARAM_COUNT && exit_code == EX_OK; i++)
		exit_code = config_print_param(print, order[i]);
	/* Names of the administrator's own and forms of transports, where they were set. */
	for (uint32_t i = 0; exit_code == EX_OK && print->set_only; i++) {
		const char *name = settings_at(print->cli->settings, i);

		if (name == NULL)
			break;
		if (param_find(slice_str(name)) == PARAM_COUNT)
			exit_code = config_print_name(print, name);
	}
	return exit_code;
}

/* Compiles all of it, as a start would. */
static int
config_print_check(struct cli *cli)
{
	struct config_options options = cli_config_options(cli);
	struct buf image, warnings;
	struct fault fault;
	enum err err;

	buf_init(&image, 0);
	buf_init(&warnings, 0);
	err = config_compile(&options, &image, &warnings, &fault);
	if (warnings.len > 0)
		(void)fwrite(warnings.ptr, 1, warnings.len, stderr);
	if (err == ERR_OK)
		(void)printf("the configuration is good\n");
	buf_done(&image);
	buf_done(&warnings);
	return err < 0 ? cli_complain(cli, EX_CONFIG, "%s", fault.text) : EX_OK;
}

/* One template as it counts: as bounce_template_file has it, expanded, or built in. */
static void
config_print_template(const struct config *config, const char *name, enum report_kind kind)
{
	static const char *const fields[][2] = { { "charset", "Charset" }, { "from", "From" },
		{ "subject", "Subject" }, { "postmaster-subject", "Postmaster-Subject" } };
	const struct report report = { .kind = kind,
		.myhostname = config_str(config, NULL, PARAM_MYHOSTNAME),
		.lifetime_s = config_time_s(config, NULL, PARAM_MAXIMAL_QUEUE_LIFETIME) };
	bool has_fields = false;
	struct slice value;
	struct buf text, key;

	buf_init(&text, 0);
	(void)printf("%s = <<EOF\n", name);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		buf_init(&key, 0);
		buf_addf(&key, "%s %s", name, fields[i][0]);
		if (config_map_find(config, NULL, PARAM_BOUNCE_TEMPLATE_FILE, buf_slice(&key),
			    &value) == ERR_OK) {
			(void)printf("%s: %" SLICE_FMT "\n", fields[i][1], SLICE_ARG(value));
			has_fields = true;
		}
		buf_done(&key);
	}
	if (config_map_find(config, NULL, PARAM_BOUNCE_TEMPLATE_FILE, slice_str(name), &value)
		== ERR_OK) {
		buf_add(&text, value);
	} else {
		for (int copy = 0; copy < 2; copy++)
			(void)printf("%s: %s\n", copy ? "Postmaster-Subject" : "Subject",
				report_text_subject(kind, copy != 0));
		has_fields = true;
		if (report_text_put(&report, &text) < 0)
			buf_clear(&text);
	}
	if (has_fields)
		(void)printf("\n");
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] != '\r')
			(void)putchar(text.ptr[i]);
	(void)printf("EOF\n\n");
	buf_done(&text);
}

static int
config_print_templates(struct cli *cli)
{
	struct config_options options = cli_config_options(cli);
	struct config *config = NULL;
	struct buf image, warnings;
	struct fault fault;
	enum err err;

	buf_init(&image, 0);
	buf_init(&warnings, 0);
	err = config_compile(&options, &image, &warnings, &fault);
	if (err == ERR_OK)
		err = config_open(buf_slice(&image), &config, &fault);
	if (err == ERR_OK) {
		config_print_template(config, "failure_template", REPORT_FAILURE);
		config_print_template(config, "delay_template", REPORT_DELAY);
		config_print_template(config, "success_template", REPORT_SUCCESS);
		config_print_template(config, "verify_template", REPORT_VERIFY);
	}
	config_close(config);
	buf_done(&image);
	buf_done(&warnings);
	return err < 0 ? cli_complain(cli, EX_CONFIG, "%s", fault.text) : EX_OK;
}

int
config_print_run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = { { "check", no_argument, NULL, 'C' },
		{ "templates", no_argument, NULL, 'T' },
		{ NULL, 0, NULL, 0 } };
	struct config_print print = { .cli = cli };
	int exit_code = EX_OK;
	int option;

	optind = 0;
	while ((option = getopt_long(argc, argv, "+ndxh", options, NULL)) != -1) {
		switch (option) {
		case 'n':
			print.set_only = true;
			break;
		case 'd':
			print.defaults = true;
			break;
		case 'x':
			print.expanded = true;
			break;
		case 'h':
			print.values_only = true;
			break;
		case 'C':
			return config_print_check(cli);
		case 'T':
			return config_print_templates(cli);
		default:
			return EX_USAGE;
		}
	}
	if (print.set_only && print.defaults)
		return cli_complain(cli, EX_USAGE, "config: either -n or -d");
	exit_code = cli_load(cli);
	if (exit_code != EX_OK)
		return exit_code;
	if (optind == argc)
		return config_print_all(&print);
	for (int i = optind; i < argc; i++) {
		int code = config_print_name(&print, argv[i]);

		if (exit_code == EX_OK)
			exit_code = code;
	}
	return exit_code;
}
