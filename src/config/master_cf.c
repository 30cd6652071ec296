/*
 * master_cf.c - the service table (see master_cf.h)
 */
#include "config/master_cf.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/num.h"
#include "config/logical_line.h"
#include "config/word.h"

enum {
	MASTER_CF_NAME,
	MASTER_CF_TYPE,
	MASTER_CF_PRIVATE,
	MASTER_CF_UNPRIV,
	MASTER_CF_CHROOT,
	MASTER_CF_WAKEUP,
	MASTER_CF_MAXPROC,
	MASTER_CF_COMMAND,
	MASTER_CF_COLUMNS,
};

static const char master_cf_blanks[] = " \t\r\n";

static const char *const master_cf_commands[CONFIG_COMMAND_COUNT] = {
	[CONFIG_COMMAND_SMTPD] = "smtpd",
	[CONFIG_COMMAND_PICKUP] = "pickup",
	[CONFIG_COMMAND_SMTP] = "smtp",
	[CONFIG_COMMAND_LMTP] = "lmtp",
	[CONFIG_COMMAND_LOCAL] = "local",
	[CONFIG_COMMAND_PIPE] = "pipe",
	[CONFIG_COMMAND_ERROR] = "error",
	[CONFIG_COMMAND_RETRY] = "retry",
	[CONFIG_COMMAND_DISCARD] = "discard",
};

/* While one text is read. */
struct master_cf_parser {
	struct master_cf *master_cf;
	struct buf *warnings;
	struct buf ignored; /* names of lines left out */
	struct fault *reterr_fault;
};

const char *
config_command_name(enum config_command command)
{
	CHECK(command < CONFIG_COMMAND_COUNT);
	return master_cf_commands[command];
}

void
master_cf_init(struct master_cf *master_cf)
{
	*master_cf = (struct master_cf) { .services = mem_array(CONFIG_SERVICES_MAX,
						  sizeof(*master_cf->services)) };
}

static void
master_cf_service_done(struct master_cf_service *entry)
{
	main_cf_done(&entry->settings);
	buf_done(&entry->arguments);
	mem_free(entry->line);
	*entry = (struct master_cf_service) { 0 };
}

void
master_cf_done(struct master_cf *master_cf)
{
	for (uint32_t i = 0; i < master_cf->count; i++)
		master_cf_service_done(&master_cf->services[i]);
	mem_free(master_cf->services);
	*master_cf = (struct master_cf) { 0 };
}

static enum err
master_cf_bad(const struct master_cf_parser *parser, struct origin origin, const char *what,
	struct slice value, const char *allowed)
{
	return fault_set(parser->reterr_fault, ERR_CONFIG, "%s: bad %s \"%s\" (allowed: %s)",
		origin_text(origin).text, what, origin_value(value).text, allowed);
}

static bool
master_cf_find_command(struct slice word, enum config_command *ret_command)
{
	for (unsigned i = 0; i < CONFIG_COMMAND_COUNT; i++) {
		if (!slice_equal_str(word, master_cf_commands[i]))
			continue;
		*ret_command = (enum config_command)i;
		return true;
	}
	return false;
}

/* The names of ports that mail uses: looked up here, as /etc/services may not exist. */
static bool
master_cf_find_port(struct slice word, uint16_t *ret_port)
{
	static const struct {
		const char *name;
		uint16_t port;
	} ports[] = { { "smtp", 25 }, { "submission", 587 }, { "submissions", 465 },
		{ "smtps", 465 }, { "lmtp", 24 } };
	uint64_t number;

	if (num_parse_u64(word, 0, 65535, &number) == ERR_OK) {
		*ret_port = (uint16_t)number;
		return true;
	}
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		if (slice_equal_str(word, ports[i].name)) {
			*ret_port = ports[i].port;
			return true;
		}
	}
	return false;
}

static enum err
master_cf_parse_endpoint(
	const struct master_cf_parser *parser, struct master_cf_service *entry, struct slice name)
{
	size_t colon = slice_rfind(name, ':');
	struct slice host = colon < name.len ? slice_head(name, colon) : slice_make(NULL, 0);
	struct slice port = colon < name.len ? slice_from(name, colon + 1) : name;

	if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
		host = slice_make(host.ptr + 1, host.len - 2);
	entry->service.host = host;
	if (!master_cf_find_port(port, &entry->service.port))
		return master_cf_bad(parser, entry->origin, "service name", name,
			"port, host:port, [address]:port; a port is a number, smtp, submission, "
			"submissions or lmtp");
	return ERR_OK;
}

static enum err
master_cf_parse_flag(const struct master_cf_parser *parser, struct origin origin, const char *what,
	struct slice word, bool standard, bool *ret_flag)
{
	if (slice_equal_str(word, "-"))
		*ret_flag = standard;
	else if (slice_equal_str(word, "y") || slice_equal_str(word, "n"))
		*ret_flag = word.ptr[0] == 'y';
	else
		return master_cf_bad(parser, origin, what, word, "y, n, -");
	return ERR_OK;
}

static enum err
master_cf_parse_columns(const struct master_cf_parser *parser, struct master_cf_service *entry,
	const struct slice *column)
{
	struct config_service *service = &entry->service;
	struct slice wakeup = column[MASTER_CF_WAKEUP];
	uint64_t number = MASTER_CF_PROCESS_DEFAULT;
	bool unused;
	enum err err;

	err = master_cf_parse_flag(parser, entry->origin, "private column",
		column[MASTER_CF_PRIVATE], true, &service->is_private);
	if (err == ERR_OK)
		err = master_cf_parse_flag(parser, entry->origin, "unpriv column",
			column[MASTER_CF_UNPRIV], true, &unused);
	if (err == ERR_OK)
		err = master_cf_parse_flag(parser, entry->origin, "chroot column",
			column[MASTER_CF_CHROOT], false, &unused);
	if (err < 0)
		return err;
	if (wakeup.len > 1 && wakeup.ptr[wakeup.len - 1] == '?')
		wakeup.len--;
	if (!slice_equal_str(wakeup, "-") && num_parse_u64(wakeup, 0, UINT32_MAX, &number) < 0)
		return master_cf_bad(parser, entry->origin, "wakeup column",
			column[MASTER_CF_WAKEUP], "a number, a number and ?, -");
	number = MASTER_CF_PROCESS_DEFAULT;
	if (!slice_equal_str(column[MASTER_CF_MAXPROC], "-")
		&& num_parse_u64(column[MASTER_CF_MAXPROC], 0, 100000, &number) < 0)
		return master_cf_bad(parser, entry->origin, "maxproc column",
			column[MASTER_CF_MAXPROC], "0 to 100000, -");
	service->process_limit = (uint32_t)number;
	return ERR_OK;
}

static enum err
master_cf_no_memory(const struct master_cf_parser *parser, enum err err)
{
	return err < 0 ? fault_set(parser->reterr_fault, err, "master.cf: too much text") : ERR_OK;
}

/* One -o; `value` is what stands behind it, its braces removed. */
static enum err
master_cf_parse_setting(
	const struct master_cf_parser *parser, struct master_cf_service *entry, struct slice value)
{
	return main_cf_set_pair(&entry->settings, value, entry->origin, parser->reterr_fault);
}

/* What stands behind the command: options first, then arguments (of pipe). */
static enum err
master_cf_parse_arguments(
	const struct master_cf_parser *parser, struct master_cf_service *entry, struct slice rest)
{
	bool is_pipe = entry->service.command == CONFIG_COMMAND_PIPE;
	struct slice word;
	enum err err;

	while ((err = word_next(&rest, master_cf_blanks, &word)) == ERR_OK) {
		bool is_option = entry->arguments.len == 0 && slice_starts(word, SLICE_LIT("-o"));

		if (is_option) {
			word = slice_from(word, 2);
			if (word.len == 0 && word_next(&rest, master_cf_blanks, &word) < 0)
				return master_cf_bad(parser, entry->origin, "option",
					SLICE_LIT("-o"), "-o name=value, -o { name = value }");
			err = master_cf_parse_setting(parser, entry, word_strip_braces(word));
		} else if (is_pipe) {
			err = master_cf_no_memory(
				parser, buf_append(&entry->arguments, word_strip_braces(word)));
			if (err == ERR_OK)
				err = master_cf_no_memory(
					parser, buf_append_byte(&entry->arguments, 0));
		} else {
			err = master_cf_no_memory(parser,
				buf_printf(parser->warnings,
					"%s: argument without meaning here: %s\n",
					origin_text(entry->origin).text, origin_value(word).text));
		}
		if (err < 0)
			return err;
	}
	if (err == ERR_SYNTAX)
		return fault_set(parser->reterr_fault, ERR_SYNTAX, "%s: a brace is not closed: %s",
			origin_text(entry->origin).text, origin_value(rest).text);
	return ERR_OK;
}

static enum err
master_cf_ignore(struct master_cf_parser *parser, struct slice name, struct slice type)
{
	return master_cf_no_memory(
		parser, buf_printf(&parser->ignored, "%s%s/%s", parser->ignored.len > 0 ? ", " : "",
				origin_value(name).text, origin_value(type).text));
}

static enum err
master_cf_check_unique(const struct master_cf_parser *parser, const struct master_cf_service *entry)
{
	for (uint32_t i = 0; i < parser->master_cf->count; i++) {
		const struct config_service *other = &parser->master_cf->services[i].service;

		if (other->type == entry->service.type
			&& slice_equal(other->name, entry->service.name))
			return fault_set(parser->reterr_fault, ERR_CONFIG,
				"%s: service \"%s\" is there already, since %s",
				origin_text(entry->origin).text,
				origin_value(entry->service.name).text,
				origin_text(parser->master_cf->services[i].origin).text);
	}
	return ERR_OK;
}

/* Fills an entry from its columns; *ret_ignored: not for us. */
static enum err
master_cf_fill(struct master_cf_parser *parser, struct master_cf_service *entry,
	const struct slice *column, struct slice rest, bool *ret_ignored)
{
	struct config_service *service = &entry->service;
	struct slice type = column[MASTER_CF_TYPE];
	bool is_inet = slice_equal_str(type, "inet");
	bool is_known = slice_equal_str(type, "unix") || is_inet;
	enum err err;

	service->name = column[MASTER_CF_NAME];
	if (!is_known && !slice_equal_str(type, "fifo") && !slice_equal_str(type, "pass"))
		return master_cf_bad(parser, entry->origin, "service type", type, "inet, unix");
	service->type = is_inet ? CONFIG_SERVICE_INET : CONFIG_SERVICE_UNIX;
	is_known = is_known && master_cf_find_command(column[MASTER_CF_COMMAND], &service->command);
	*ret_ignored = !is_known || is_inet != (service->command == CONFIG_COMMAND_SMTPD);
	if (*ret_ignored)
		return master_cf_ignore(parser, service->name, type);
	err = is_inet ? master_cf_parse_endpoint(parser, entry, service->name) : ERR_OK;
	if (err == ERR_OK)
		err = master_cf_check_unique(parser, entry);
	if (err == ERR_OK)
		err = master_cf_parse_columns(parser, entry, column);
	if (err == ERR_OK)
		err = master_cf_parse_arguments(parser, entry, rest);
	if (err == ERR_OK && service->command == CONFIG_COMMAND_PIPE && entry->arguments.len == 0)
		err = fault_set(parser->reterr_fault, ERR_CONFIG,
			"%s: service \"%s\": pipe needs arguments (allowed: user=name argv=command "
			"...)",
			origin_text(entry->origin).text, origin_value(service->name).text);
	service->arguments = buf_slice(&entry->arguments);
	return err;
}

static enum err
master_cf_parse_line(struct master_cf_parser *parser, struct slice line, struct origin origin)
{
	struct master_cf *master_cf = parser->master_cf;
	struct master_cf_service *entry = &master_cf->services[master_cf->count];
	struct slice column[MASTER_CF_COLUMNS];
	struct slice rest;
	bool is_ignored = false;
	enum err err;

	if (master_cf->count == CONFIG_SERVICES_MAX)
		return fault_set(parser->reterr_fault, ERR_LIMIT,
			"%s: more than the allowed %d services", origin_text(origin).text,
			CONFIG_SERVICES_MAX);
	*entry = (struct master_cf_service) { .origin = origin };
	entry->line = mem_strndup((const char *)line.ptr, line.len);
	buf_init(&entry->arguments, line.len + 1);
	rest = slice_make(entry->line, line.len);
	for (size_t i = 0; i < MASTER_CF_COLUMNS; i++) {
		if (slice_word(&rest, master_cf_blanks, &column[i]))
			continue;
		master_cf_service_done(entry);
		return fault_set(parser->reterr_fault, ERR_SYNTAX,
			"%s: %zu columns instead of %d: \"%s\" (allowed: name type private unpriv "
			"chroot wakeup maxproc command)",
			origin_text(origin).text, i, MASTER_CF_COLUMNS, origin_value(line).text);
	}
	err = master_cf_fill(parser, entry, column, rest, &is_ignored);
	if (err < 0 || is_ignored) {
		master_cf_service_done(entry);
		return err;
	}
	entry->service.index = master_cf->count++;
	return ERR_OK;
}

enum err
master_cf_parse(struct master_cf *master_cf, struct slice text, const char *file,
	struct buf *ret_warnings, struct fault *reterr_fault)
{
	struct master_cf_parser parser = {
		.master_cf = master_cf, .warnings = ret_warnings, .reterr_fault = reterr_fault
	};
	struct logical_line_reader reader = logical_line_reader(text);
	struct buf line;
	uint32_t number;
	enum err err;

	buf_init(&line, 0);
	buf_init(&parser.ignored, 0);
	while ((err = logical_line_next(&reader, &line, &number)) == ERR_OK) {
		err = master_cf_parse_line(
			&parser, buf_slice(&line), (struct origin) { file, number });
		if (err < 0)
			break;
	}
	if (err == ERR_NOTFOUND)
		err = ERR_OK;
	else if (err == ERR_NOMEM)
		err = fault_set(reterr_fault, err, "%s: no memory for a line",
			origin_text((struct origin) { file, 0 }).text);
	if (err == ERR_OK && parser.ignored.len > 0)
		err = master_cf_no_memory(&parser,
			buf_printf(ret_warnings,
				"%s: services without meaning here are left out: %" SLICE_FMT "\n",
				origin_text((struct origin) { file, 0 }).text,
				SLICE_ARG(buf_slice(&parser.ignored))));
	buf_done(&parser.ignored);
	buf_done(&line);
	return err;
}
