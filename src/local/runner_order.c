/* runner_order.c - what a child of the runner is to do (see runner_child.h) */
#include "local/runner_child.h"

#include "base/ascii.h"
#include "base/mem.h"
#include "local/local_core.h"
#include "local/runner_pipe.h"
#include "message/address.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

/* Characters that mean nothing to a shell: also what addresses may bring into an environment. */
static bool
is_harmless(uint8_t byte)
{
	return ascii_is_alnum(byte) ||
	       (byte != 0 && memchr("!@%-_=+:,./", byte, 11) != NULL);
}

bool
runner_is_plain(struct slice command)
{
	for (size_t i = 0; i < command.len; i++)
		if (!is_harmless(command.ptr[i]) && command.ptr[i] != ' ' &&
			command.ptr[i] != '\t')
			return false;
	return slice_trim(command).len > 0;
}

/* --- refusing --------------------------------------------------------------------------------- */

static bool
refuse(struct runner_verdict *verdict, enum agent_status status, const char *dsn, const char *what,
	const char *name)
{
	verdict->status = status;
	(void)snprintf(verdict->dsn, sizeof(verdict->dsn), "%s", dsn);
	(void)snprintf(verdict->reason, sizeof(verdict->reason), "%s%.300s", what, name);
	return false;
}

static bool
misconfigured(struct runner_verdict *verdict, const char *what, const char *name)
{
	return refuse(verdict, AGENT_TEMPORARY, "4.3.5", what, name);
}

static char *
text_of(struct slice text)
{
	return mem_strndup((const char *)text.ptr, text.len);
}

/* --- words and environment -------------------------------------------------------------------- */

void
runner_order_word(struct runner_order *order, struct slice word)
{
	order->argv = mem_resize(order->argv, order->argc + 2, sizeof(*order->argv));
	order->argv[order->argc++] = text_of(word);
	order->argv[order->argc] = NULL;
}

static void
put_environment(struct runner_order *order, const char *name, struct slice value, bool is_foreign)
{
	struct buf text;

	buf_init(&text, 0);
	buf_addf(&text, "%s=%" SLICE_FMT, name, SLICE_ARG(value));
	for (size_t i = strlen(name) + 1; is_foreign && i < text.len; i++)
		if (!is_harmless(text.ptr[i]))
			text.ptr[i] = '_';
	order->envp = mem_resize(order->envp, order->envc + 2, sizeof(*order->envp));
	order->envp[order->envc++] = text_of(buf_slice(&text));
	order->envp[order->envc] = NULL;
	buf_done(&text);
}

static void
put_addresses(struct runner_order *order, const struct config *config,
	const struct ipc_run_request *request)
{
	struct slice local, domain, extension;

	address_split(request->recipient, &local, &domain);
	(void)address_strip_extension(
		local, config_str(config, NULL, PARAM_RECIPIENT_DELIMITER), &extension);
	put_environment(order, "SENDER", request->sender, true);
	put_environment(order, "RECIPIENT", request->recipient, true);
	put_environment(order, "ORIGINAL_RECIPIENT",
		request->original.len > 0 ? request->original : request->recipient, true);
	put_environment(order, "LOCAL", local, true);
	put_environment(order, "DOMAIN", domain, true);
	put_environment(order, "EXTENSION", extension, true);
}

/* --- the user --------------------------------------------------------------------------------- */

/* Without root's rights nobody else can be become: it is the user that Ostler runs as. */
static bool
take_user(struct runner_order *order, const char *name, const char *group,
	struct runner_verdict *verdict)
{
	const struct passwd *user = geteuid() == 0 ? getpwnam(name) : getpwuid(geteuid());
	const struct group *other = NULL;

	if (user == NULL)
		return misconfigured(verdict, "there is no user ", name);
	order->uid = user->pw_uid;
	order->gid = user->pw_gid;
	if (geteuid() == 0) {
		if (group[0] != '\0' && (other = getgrnam(group)) == NULL)
			return misconfigured(verdict, "there is no group ", group);
		if (other != NULL)
			order->gid = other->gr_gid;
		if (order->uid == 0 || order->gid == 0)
			return misconfigured(verdict, "commands never run as root: ", name);
		order->user = text_of(slice_str(user->pw_name));
	}
	put_environment(order, "PATH", SLICE_LIT("/usr/bin:/bin"), false);
	put_environment(order, "SHELL", SLICE_LIT("/bin/sh"), false);
	put_environment(order, "HOME", slice_str(user->pw_dir), false);
	put_environment(order, "LOGNAME", slice_str(user->pw_name), false);
	put_environment(order, "USER", slice_str(user->pw_name), false);
	return true;
}

/* --- aliases ---------------------------------------------------------------------------------- */

/* What local asks for stands in the alias that it names, by our own configuration. */
static bool
is_of_alias(const struct config *config, struct slice alias, struct slice target)
{
	struct slice value, entry;
	struct buf scratch;
	bool found = false;

	if (config_map_find(config, NULL, PARAM_ALIAS_MAPS, alias, &value) != ERR_OK)
		return false;
	buf_init(&scratch, 0);
	while (!found && local_alias_next(&value, &scratch, &entry))
		found = slice_equal(entry, target);
	buf_done(&scratch);
	return found;
}

static bool
make_for_alias(struct runner_order *order, const struct config *config,
	const struct ipc_run_request *request, struct runner_verdict *verdict)
{
	struct slice target = request->target, word, command;
	bool is_command = target.len > 0 && target.ptr[0] == '|';
	enum param_id allowed =
		is_command ? PARAM_ALLOW_MAIL_TO_COMMANDS : PARAM_ALLOW_MAIL_TO_FILES;

	if (config_words(config, NULL, allowed) == 0)
		return refuse(verdict, AGENT_REFUSED, "5.7.1",
			is_command ? "mail to command is restricted" : "mail to file is restricted",
			"");
	if (target.len == 0 || slice_find(target, '\0') < target.len ||
		!is_of_alias(config, request->alias, target))
		return misconfigured(verdict, "the alias has changed", "");
	if (!take_user(order, config_cstr(config, NULL, PARAM_DEFAULT_PRIVS), "", verdict))
		return false;
	if (!is_command) {
		order->is_file = true;
		order->file = text_of(target);
		order->shown = text_of(target);
		return true;
	}
	command = slice_trim(slice_from(target, 1));
	order->shown = text_of(command);
	order->is_alias = true;
	put_addresses(order, config, request);
	if (!runner_is_plain(command)) {
		runner_order_word(order, SLICE_LIT("/bin/sh"));
		runner_order_word(order, SLICE_LIT("-c"));
		runner_order_word(order, command);
		return command.len > 0 || misconfigured(verdict, "an empty command", "");
	}
	while (slice_word(&command, " \t", &word)) {
		if (order->argc == RUNNER_WORDS_MAX)
			return misconfigured(verdict, "too many words: ", order->shown);
		runner_order_word(order, word);
	}
	return true;
}

/* --- pipe services ---------------------------------------------------------------------------- */

static bool
put_pipe_words(struct runner_order *order, const struct config *config,
	const struct runner_pipe *pipe, const struct ipc_run_request *request,
	struct runner_verdict *verdict)
{
	struct slice delimiters = config_str(config, NULL, PARAM_RECIPIENT_DELIMITER);
	struct slice rest = pipe->argv;
	const char *problem = NULL;
	bool is_risky = false;
	struct buf word;

	buf_init(&word, 0);
	while (problem == NULL && !is_risky && rest.len > 0) {
		struct slice given = slice_head(rest, slice_find(rest, '\0'));

		rest = slice_from(rest, given.len + 1);
		buf_clear(&word);
		problem = order->argc == RUNNER_WORDS_MAX
				  ? "too many words"
				  : runner_pipe_expand(
					    pipe, given, request, delimiters, &word, &is_risky);
		if (problem == NULL)
			runner_order_word(order, buf_slice(&word));
	}
	buf_done(&word);
	if (problem != NULL)
		return misconfigured(verdict, "pipe: ", problem);
	if (is_risky)
		return refuse(verdict, AGENT_REFUSED, "5.1.3",
			"an address that begins with - is no argument for a command", "");
	return true;
}

static bool
make_for_pipe(struct runner_order *order, const struct config *config,
	const struct ipc_run_request *request, struct runner_verdict *verdict)
{
	const struct config_service *service = config_transport_find(config, request->service);
	struct runner_pipe pipe;
	const char *problem;
	char *user, *group;
	bool is_good;

	if (service == NULL || service->command != CONFIG_COMMAND_PIPE)
		return misconfigured(verdict, "master.cf has no such pipe service", "");
	problem = runner_pipe_parse(service->arguments, &pipe);
	if (problem != NULL)
		return misconfigured(verdict, "pipe: ", problem);
	if (pipe.size_max > 0 && request->length > pipe.size_max)
		return refuse(verdict, AGENT_REFUSED, "5.2.3",
			"message size exceeds the limit of this service", "");
	user = text_of(pipe.user);
	group = text_of(pipe.group);
	is_good = take_user(order, user, group, verdict);
	mem_free(user);
	mem_free(group);
	if (!is_good || !put_pipe_words(order, config, &pipe, request, verdict))
		return false;
	if (pipe.directory.len > 0)
		order->directory = text_of(pipe.directory);
	order->shown = text_of(slice_str(order->argv[0]));
	return true;
}

/* --- the whole -------------------------------------------------------------------------------- */

bool
runner_order_make(struct runner_order *order, const struct config *config,
	const struct ipc_run_request *request, struct runner_verdict *ret_verdict)
{
	*order = (struct runner_order){ .length = request->length, .hash = request->hash };
	*ret_verdict = (struct runner_verdict){ .status = AGENT_TEMPORARY };
	(void)snprintf(order->host, sizeof(order->host), "%s",
		config_cstr(config, NULL, PARAM_MYHOSTNAME));
	if (request->service.len > 0)
		return make_for_pipe(order, config, request, ret_verdict);
	return make_for_alias(order, config, request, ret_verdict);
}

static void
free_words(char **words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		mem_free(words[i]);
	mem_free(words);
}

void
runner_order_done(struct runner_order *order)
{
	free_words(order->argv, order->argc);
	free_words(order->envp, order->envc);
	mem_free(order->shown);
	mem_free(order->file);
	mem_free(order->directory);
	mem_free(order->user);
	*order = (struct runner_order){ 0 };
}
