/*
 * operator.c - commands about mail in the queue (see operator.h)
 */
#include "cli/operator.h"

#include "base/mem.h"
#include "cli/control_client.h"
#include "cli/json_text.h"
#include "cli/queue_list.h"
#include "cli/site_list.h"
#include "cli/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum operator_form {
	OPERATOR_LIST,	/* mailq */
	OPERATOR_SITES, /* a table */
	OPERATOR_LINES, /* lines of JSON as they come, those of messages */
	OPERATOR_RAW,	/* as it comes */
	OPERATOR_TEXT,	/* JSON as people read it */
	OPERATOR_SHOW,	/* the same, messages only */
	OPERATOR_LAST,	/* only the last line counts */
};

struct request {
	enum operator_form form;
	const char *verbatim; /* OPERATOR_SHOW: see json_text_format() */
	struct buf file;      /* OPERATOR_SHOW: name of large content below the queue directory */
	struct queue_list list;
	uint64_t sites;
	struct buf text; /* output of one line */
	struct buf last; /* what the last frame said */
	bool is_bad;
};

/* Whether a line is a JSON object of a message; the last line may hold counts instead. */
static bool
operator_is_message(struct slice line)
{
	return memmem(line.ptr, line.len, "\"queue_id\"", 10) != NULL;
}

static void
operator_note_file(struct request *request, struct slice line)
{
	json_t *object = json_loadb((const char *)line.ptr, line.len, 0, NULL);
	const char *name = json_string_value(json_object_get(object, "content_file"));

	if (name != NULL && request->file.len == 0)
		buf_add(&request->file, slice_make(name, strlen(name) + 1));
	json_decref(object);
}

static enum err
operator_format(struct request *request, struct slice line)
{
	enum err err;

	switch (request->form) {
	case OPERATOR_LIST:
		return operator_is_message(line)
			       ? queue_list_add(&request->list, line, &request->text)
			       : ERR_OK;
	case OPERATOR_SITES:
		return site_list_add(&request->sites, line, &request->text);
	case OPERATOR_LINES:
		if (!operator_is_message(line))
			return ERR_OK;
		break;
	case OPERATOR_SHOW:
		if (!operator_is_message(line))
			return ERR_OK;
		operator_note_file(request, line);
		__attribute__((fallthrough));
	case OPERATOR_TEXT:
		if (line.len > 0 && line.ptr[0] == '{'
			&& json_text_format(line, request->verbatim, &request->text) == ERR_OK)
			return ERR_OK;
		break;
	case OPERATOR_RAW:
		break;
	case OPERATOR_LAST:
		return ERR_OK;
	}
	err = buf_append(&request->text, line);
	return err < 0 ? err : buf_append_str(&request->text, "\n");
}

static void
operator_print(struct request *request, struct slice line)
{
	buf_clear(&request->text);
	if (operator_format(request, line) < 0)
		request->is_bad = true;
	if (request->text.len > 0)
		(void)fwrite(request->text.ptr, 1, request->text.len, stdout);
}

/* Lines of the last frame wait: with a bad exit code they are a complaint. */
static void
operator_line(void *ctx, struct slice line, bool is_final)
{
	struct request *request = ctx;

	if (!is_final) {
		operator_print(request, line);
		return;
	}
	if (buf_append(&request->last, line) < 0 || buf_append_str(&request->last, "\n") < 0)
		request->is_bad = true;
}

static void
operator_print_last(struct request *request)
{
	struct slice rest = buf_slice(&request->last);

	while (rest.len > 0) {
		size_t end = slice_find(rest, '\n');

		operator_print(request, slice_head(rest, end));
		rest = slice_from(rest, end + 1);
	}
}

static void
operator_init(struct request *request, enum operator_form form)
{
	*request = (struct request) { .form = form };
	buf_init(&request->text, 0);
	buf_init(&request->last, 0);
	buf_init(&request->file, 0);
}

static void
operator_done(struct request *request)
{
	buf_done(&request->text);
	buf_done(&request->last);
	buf_done(&request->file);
}

/* Asks, prints what comes; a refusal's words go to stderr. */
static int
operator_run(struct request *request, struct cli *cli, const char *command,
	const char *const *words, size_t count)
{
	int exit_code = control_client_run(cli, command, words, count, operator_line, request);
	struct slice last = slice_trim(buf_slice(&request->last));

	if (exit_code != EX_OK) {
		while (last.len > 0 && last.ptr[last.len - 1] == '\n')
			last.len--;
		if (last.len > 0 && last.ptr[0] != '{')
			(void)cli_complain(cli, exit_code, "%" SLICE_FMT, SLICE_ARG(last));
		return exit_code;
	}
	operator_print_last(request);
	if (request->is_bad)
		return cli_complain(
			cli, EX_PROTOCOL, "the queue manager's answer is not understood");
	return EX_OK;
}

static int
operator_list(struct cli *cli, const char *command, const struct selection *selection,
	bool as_json)
{
	struct request request;
	int exit_code = cli_load(cli);
	char *null_sender;

	if (exit_code != EX_OK)
		return exit_code;
	null_sender = cli_value(cli, PARAM_EMPTY_ADDRESS_RECIPIENT);
	if (null_sender == NULL)
		return EX_CONFIG;
	operator_init(&request, as_json ? OPERATOR_LINES : OPERATOR_LIST);
	request.list.null_sender = null_sender;
	exit_code = operator_run(&request, cli, command,
		selection != NULL ? selection->words : NULL,
		selection != NULL ? selection->word_count : 0);
	if (exit_code == EX_OK && !as_json) {
		buf_clear(&request.text);
		if (queue_list_end(&request.list, &request.text) == ERR_OK)
			(void)fwrite(request.text.ptr, 1, request.text.len, stdout);
	}
	operator_done(&request);
	mem_free(null_sender);
	return exit_code;
}

int
operator_queue(struct cli *cli, const struct selection *selection, bool as_json)
{
	return operator_list(cli, "queue", selection, as_json);
}

int
operator_flush(struct cli *cli, const char *site, const char *id)
{
	const char *words[2] = { site != NULL ? "site" : "id", site != NULL ? site : id };
	struct request request;
	int exit_code;

	operator_init(&request, OPERATOR_LAST);
	exit_code = operator_run(&request, cli, "flush", words, words[1] != NULL ? 2 : 0);
	operator_done(&request);
	return exit_code;
}

/* Copies a file below the queue directory to stdout. */
static int
operator_copy(struct cli *cli, const char *id, const char *name)
{
	char *queue = cli_value(cli, PARAM_QUEUE_DIRECTORY);
	int dir = queue == NULL ? -1 : open(queue, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = dir < 0 ? -1 : openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	static uint8_t bytes[64 * 1024];
	int exit_code = EX_OK;
	ssize_t got = -1;

	(void)fflush(stdout);
	if (fd < 0)
		exit_code = cli_complain(cli, errno == ENOENT ? EX_NOINPUT : EX_NOPERM,
			"%s: content %s/%s: %s", id, queue != NULL ? queue : "", name,
			strerror(errno));
	while (fd >= 0 && (got = read(fd, bytes, sizeof(bytes))) > 0)
		if (!cli_write(STDOUT_FILENO, slice_make(bytes, (size_t)got))) {
			exit_code = EX_IOERR;
			break;
		}
	if (fd >= 0 && got < 0)
		exit_code = cli_complain(cli, EX_IOERR, "%s: read: %s", id, strerror(errno));
	if (fd >= 0)
		(void)close(fd);
	if (dir >= 0)
		(void)close(dir);
	mem_free(queue);
	return exit_code;
}

int
operator_show(struct cli *cli, const char *id, bool with_content)
{
	const char *words[2] = { id, "content" };
	struct request request;
	int exit_code;

	operator_init(&request, OPERATOR_SHOW);
	request.verbatim = "content";
	exit_code = operator_run(&request, cli, "show", words, with_content ? 2 : 1);
	if (exit_code == EX_NOINPUT)
		(void)cli_complain(cli, exit_code, "%s: no such message", id);
	if (exit_code == EX_OK && request.file.len > 0)
		exit_code = operator_copy(cli, id, (const char *)request.file.ptr);
	if (exit_code == EX_OK && !with_content)
		trace_attempts(cli, id);
	operator_done(&request);
	return exit_code;
}

struct operator_words {
	const char *command;
	const char *done;   /* "Deleted: 3 messages" */
	const char *asked;  /* "delete 3 messages?" */
};

static const struct operator_words operator_commands[] = {
	{ "flush", "Flushed", "try delivery of" },
	{ "hold", "Placed on hold", "put on hold" },
	{ "release", "Released from hold", "release from hold" },
	{ "delete", "Deleted", "delete, without any report," },
	{ "requeue", "Requeued", "requeue" },
	{ "expire", "Force-expired", "return to their senders" },
};

static const struct operator_words *
operator_words_of(const char *command)
{
	const struct operator_words *words = operator_commands;

	while (strcmp(words->command, command) != 0)
		words++;
	return words;
}

static json_int_t
operator_number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static const char *
operator_plural(json_int_t count)
{
	return count == 1 ? "" : "s";
}

/* "Placed on hold: 3 messages", and which IDs there are not. */
static void
operator_report(const struct cli *cli, const char *command, struct slice last)
{
	json_t *object = json_loadb((const char *)last.ptr, last.len, 0, NULL);
	json_int_t done = operator_number(object, "done");
	json_int_t in_delivery = operator_number(object, "in_delivery"), held;
	json_t *unknown = json_object_get(object, "unknown");
	size_t index;
	json_t *id;

	if (object != NULL)
		(void)fprintf(stderr, "%s: %s: %" JSON_INTEGER_FORMAT " message%s\n", cli->program,
			operator_words_of(command)->done, done, operator_plural(done));
	if (in_delivery > 0)
		(void)fprintf(stderr,
			"%s: of these %" JSON_INTEGER_FORMAT
			" in delivery: what is under way ends first\n",
			cli->program, in_delivery);
	held = operator_number(object, "still_held");
	if (held > 0)
		(void)cli_complain(cli, EX_OK,
			"on hold before the queue was copied, and still so: %" JSON_INTEGER_FORMAT
			" message%s; 'release ALL' once more releases them too",
			held, operator_plural(held));
	json_array_foreach(unknown, index, id)
	{
		if (json_is_string(id))
			(void)cli_complain(
				cli, EX_OK, "%s: no such message", json_string_value(id));
	}
	json_decref(object);
}

static int
operator_last(struct cli *cli, const char *command, const struct selection *selection,
	struct request *request)
{
	operator_init(request, OPERATOR_LAST);
	return operator_run(request, cli, command, selection->words, selection->word_count);
}

/* How many messages a command would concern. */
static int
operator_count(
	struct cli *cli, const char *command, struct selection *selection, json_int_t *ret_count)
{
	struct request request;
	json_t *object;
	int exit_code;

	selection_add(selection, "count");
	exit_code = operator_last(cli, command, selection, &request);
	selection->word_count--;
	object = json_loadb((const char *)request.last.ptr, request.last.len, 0, NULL);
	*ret_count = operator_number(object, "done");
	json_decref(object);
	operator_done(&request);
	return exit_code;
}

static bool
operator_says_yes(void)
{
	char answer[16];

	(void)fflush(stderr);
	return fgets(answer, sizeof(answer), stdin) != NULL
	       && (answer[0] == 'y' || answer[0] == 'Y');
}

/* Conditions may mean more than their author thinks. ALL in a script means what it says. */
static int
operator_confirm(
	struct cli *cli, const char *command, struct selection *selection, bool *ret_go_on)
{
	bool is_terminal = isatty(STDIN_FILENO) != 0;
	json_int_t count;
	int exit_code;

	*ret_go_on = true;
	if (selection->is_yes || strcmp(command, "flush") == 0
		|| !(selection->has_conditions || (selection->is_all && is_terminal)))
		return EX_OK;
	*ret_go_on = false;
	exit_code = operator_count(cli, command, selection, &count);
	if (exit_code != EX_OK)
		return exit_code;
	if (!is_terminal && count > 0)
		return cli_complain(cli, EX_USAGE,
			"%s: %" JSON_INTEGER_FORMAT
			" message%s fit%s: nothing was done (-y: do it, -n: list them)",
			command, count, operator_plural(count), count == 1 ? "s" : "");
	*ret_go_on = true;
	if (count == 0)
		return EX_OK;
	(void)fprintf(stderr, "%s: %s %" JSON_INTEGER_FORMAT " message%s? [y/N] ", cli->program,
		operator_words_of(command)->asked, count, operator_plural(count));
	*ret_go_on = operator_says_yes();
	return *ret_go_on ? EX_OK : cli_complain(cli, EX_OK, "nothing was done");
}

int
operator_change(struct cli *cli, const char *command, struct selection *selection)
{
	struct request request;
	bool goes_on;
	int exit_code;

	if (selection->is_dry) {
		selection_add(selection, "dry");
		return operator_list(cli, command, selection, selection->is_json);
	}
	exit_code = operator_confirm(cli, command, selection, &goes_on);
	if (exit_code != EX_OK || !goes_on)
		return exit_code;
	exit_code = operator_last(cli, command, selection, &request);
	if (exit_code == EX_OK && selection->is_json)
		(void)fwrite(request.last.ptr, 1, request.last.len, stdout);
	else if (exit_code == EX_OK)
		operator_report(cli, command, buf_slice(&request.last));
	operator_done(&request);
	return exit_code;
}

int
operator_plain(struct cli *cli, const char *command, const char *const *words, size_t count,
	bool as_json)
{
	struct request request;
	int exit_code;

	operator_init(&request, as_json ? OPERATOR_RAW : OPERATOR_TEXT);
	exit_code = operator_run(&request, cli, command, words, count);
	operator_done(&request);
	return exit_code;
}

int
operator_sites(struct cli *cli, bool as_json)
{
	struct request request;
	int exit_code;

	operator_init(&request, as_json ? OPERATOR_RAW : OPERATOR_SITES);
	exit_code = operator_run(&request, cli, "sites", NULL, 0);
	buf_clear(&request.text);
	if (exit_code == EX_OK && !as_json && site_list_end(request.sites, &request.text) == ERR_OK)
		(void)fwrite(request.text.ptr, 1, request.text.len, stdout);
	operator_done(&request);
	return exit_code;
}

int
operator_status(struct cli *cli, bool as_json)
{
	return operator_plain(cli, "status", NULL, 0, as_json);
}

/* "from", "to" and "newest" of the answer. */
static int
operator_say_upgrade(struct cli *cli, struct slice answer)
{
	json_t *object = json_loadb((const char *)answer.ptr, answer.len, 0, NULL);
	const char *from = json_string_value(json_object_get(object, "from"));
	const char *to = json_string_value(json_object_get(object, "to"));
	const char *newest = json_string_value(json_object_get(object, "newest"));
	int exit_code = EX_OK;

	if (from == NULL || to == NULL || newest == NULL)
		exit_code = cli_complain(
			cli, EX_PROTOCOL, "the queue manager's answer is not understood");
	else if (strcmp(from, to) != 0)
		(void)printf("journal format: %s -> %s\n", from, to);
	else if (strcmp(to, newest) == 0)
		(void)printf("journal format: %s, the newest that this release knows\n", to);
	else
		(void)printf("journal format: %s; this release knows %s only and writes that\n",
			to, newest);
	json_decref(object);
	return exit_code;
}

int
operator_upgrade(struct cli *cli)
{
	struct request request;
	int exit_code;

	operator_init(&request, OPERATOR_LAST);
	exit_code = operator_run(&request, cli, "upgrade-journal", NULL, 0);
	if (exit_code == EX_OK)
		exit_code = operator_say_upgrade(cli, buf_slice(&request.last));
	operator_done(&request);
	return exit_code;
}
