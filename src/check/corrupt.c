/*
 * corrupt.c - `ostler corrupt list|show|requeue|delete` (see corrupt.h)
 */
#include "check/corrupt.h"

#include "base/mem.h"
#include "cli/json_text.h"
#include "message/queue_id.h"
#include "message/recipient_list.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { CORRUPT_HEADER_MAX = 64 * 1024, CORRUPT_WORD = 1024 };

static const char corrupt_help[] =
	"usage: ostler corrupt list [--json]\n"
	"       ostler corrupt show ID\n"
	"       ostler corrupt requeue [--force] ID...|ALL\n"
	"       ostler corrupt delete [-y] ID...|ALL\n"
	"\n"
	"What could not be read and was kept under corrupt/ of queue_directory.\n"
	"\n"
	"  list         the files: lost messages, damage, content without a message\n"
	"  show ID      reason, origin, envelope and header of a message\n"
	"  requeue ID   as new mail, as far as it is whole; the file goes when it is in the queue\n"
	"  delete ID    for ever\n"
	"  --force      requeue also what a checksum says was changed\n"
	"  -y           do not ask\n"
	"ID is a queue ID or the name of a file. Exit status: 0; 65 some could not be requeued;\n"
	"66 there is no such file.\n";

struct corrupt_command {
	struct corrupt_dir dir;
	bool as_json, is_forced, is_sure;
};

/* --- words ---------------------------------------- */

static const char *
corrupt_fate_word(const struct corrupt_item *item)
{
	if (item->fate == CORRUPT_BROKEN)
		return "no";
	return item->fate == CORRUPT_DOUBTFUL ? "with --force" : "yes";
}

/* Bytes that nobody vouches for, for a terminal or JSON. */
static struct json_text
corrupt_text(struct slice bytes)
{
	char copy[CORRUPT_WORD];
	struct json_text clean;

	(void)snprintf(copy, sizeof(copy), "%" SLICE_FMT,
		SLICE_ARG(slice_head(bytes, CORRUPT_WORD - 1)));
	clean = json_text_clean(copy);
	return clean;
}

static json_t *
corrupt_json_text(struct slice bytes)
{
	json_t *text = json_stringn((const char *)bytes.ptr, bytes.len);

	return text != NULL ? text : json_string(corrupt_text(bytes).text);
}

/* --- list ---------------------------------------- */

static json_t *
corrupt_json_recipients(const struct corrupt_item *item)
{
	struct recipient_list_reader reader = recipient_list_read(item->file.message.recipients);
	struct recipient_entry entry;
	json_t *list = json_array();

	while (item->has_recipients && recipient_list_next(&reader, &entry) == ERR_OK)
		(void)json_array_append_new(list, corrupt_json_text(entry.address));
	return list;
}

static void
corrupt_json_message(const struct corrupt_item *item, json_t *object)
{
	char id[QUEUE_ID_TEXT_SIZE];

	(void)queue_id_format(item->file.queue_id, id);
	(void)json_object_set_new(object, "queue_id", json_string(id));
	(void)json_object_set_new(object, "arrival_time",
		json_integer((json_int_t)(item->file.arrival_us / 1000000)));
	(void)json_object_set_new(object, "reason", corrupt_json_text(item->file.reason));
	(void)json_object_set_new(object, "origin", corrupt_json_text(item->file.origin));
	if (item->has_envelope)
		(void)json_object_set_new(
			object, "sender", corrupt_json_text(item->envelope.sender));
	(void)json_object_set_new(object, "recipients", corrupt_json_recipients(item));
	(void)json_object_set_new(object, "requeue", json_string(corrupt_fate_word(item)));
	if (item->why != NULL)
		(void)json_object_set_new(object, "requeue_reason", json_string(item->why));
}

static void
corrupt_list_json(const struct corrupt_item *item)
{
	json_t *object = json_object();

	(void)json_object_set_new(object, "file", corrupt_json_text(slice_str(item->name)));
	(void)json_object_set_new(object, "kind", json_string(corrupt_kind_name(item->kind)));
	(void)json_object_set_new(object, "size", json_integer((json_int_t)item->info.st_size));
	(void)json_object_set_new(
		object, "saved_at", json_integer((json_int_t)item->info.st_mtim.tv_sec));
	if (item->kind == CORRUPT_MESSAGE && item->file.queue_id != 0)
		corrupt_json_message(item, object);
	(void)json_dumpf(object, stdout, JSON_COMPACT);
	(void)printf("\n");
	json_decref(object);
}

static const char *
corrupt_meaning(const struct corrupt_item *item)
{
	switch (item->kind) {
	case CORRUPT_DAMAGE:
		return "bytes of the journal that had been durable and cannot be read";
	case CORRUPT_TAIL:
		return "bytes behind the end of the journal, never acknowledged";
	case CORRUPT_LARGE:
		return "content that no message in the queue owns";
	case CORRUPT_MESSAGE:
	case CORRUPT_OTHER:
		break;
	}
	return item->kind == CORRUPT_MESSAGE ? item->why : "not made by Ostler";
}

static void
corrupt_list_text(const struct corrupt_item *item)
{
	struct json_text name = corrupt_text(slice_str(item->name));
	char id[QUEUE_ID_TEXT_SIZE], date[32];
	struct tm when;

	(void)localtime_r(&item->info.st_mtim.tv_sec, &when);
	(void)strftime(date, sizeof(date), "%F %T", &when);
	if (item->kind != CORRUPT_MESSAGE || item->file.queue_id == 0) {
		(void)printf("%s  %lld bytes  %s  %s\n", name.text, (long long)item->info.st_size,
			date, corrupt_meaning(item));
		return;
	}
	(void)queue_id_format(item->file.queue_id, id);
	(void)printf("%s  %lld bytes  %s  %s\n", id, (long long)item->info.st_size, date,
		corrupt_text(item->file.reason).text);
	if (item->has_envelope)
		(void)printf("    from <%s>", corrupt_text(item->envelope.sender).text);
	else
		(void)printf("    sender unknown");
	if (item->has_recipients)
		(void)printf(" to %u recipient%s", (unsigned)item->recipient_count,
			item->recipient_count == 1 ? "" : "s");
	(void)printf("; requeue: %s%s%s\n", corrupt_fate_word(item), item->why != NULL ? ", " : "",
		item->why != NULL ? item->why : "");
}

static int
corrupt_list(struct corrupt_command *command)
{
	int exit_code = EX_OK;

	for (size_t i = 0; i < command->dir.count; i++) {
		struct corrupt_item item;

		if (!corrupt_item_read(&command->dir, command->dir.names[i], &item)) {
			if (errno != ENOENT) /* another one has dealt with it */
				exit_code = cli_complain(command->dir.cli, EX_IOERR, "%s: %s",
					corrupt_text(slice_str(item.name)).text,
					strerrordesc_np(errno));
		} else if (command->as_json) {
			corrupt_list_json(&item);
		} else {
			corrupt_list_text(&item);
		}
		corrupt_item_done(&item);
	}
	if (command->dir.count == 0 && !command->as_json)
		(void)printf("Nothing is kept under corrupt/\n");
	return exit_code;
}

/* --- show ---------------------------------------- */

static void
corrupt_show_recipients(const struct corrupt_item *item)
{
	struct recipient_list_reader reader = recipient_list_read(item->file.message.recipients);
	struct recipient_entry entry;

	if (!item->has_recipients)
		(void)printf("recipients: not readable\n");
	while (item->has_recipients && recipient_list_next(&reader, &entry) == ERR_OK)
		(void)printf("recipient: %s%s\n", corrupt_text(entry.address).text,
			item->is_finished != NULL && item->is_finished[entry.number]
				? " (finished)"
				: "");
}

/* Lines up to the first empty one. */
static void
corrupt_show_header(struct slice rest)
{
	(void)printf("\n");
	rest = slice_head(rest, CORRUPT_HEADER_MAX);
	while (rest.len > 0) {
		size_t end = slice_find(rest, '\n');
		struct slice line = slice_head(rest, end);

		if (line.len > 0 && line.ptr[line.len - 1] == '\r')
			line.len--;
		if (line.len == 0)
			break;
		(void)printf("%s\n", corrupt_text(line).text);
		rest = slice_from(rest, end + 1);
	}
}

/* Content of its own is read only for its front. */
static void
corrupt_show_content(const struct corrupt_dir *dir, const struct corrupt_item *item)
{
	struct hash_damage damage;
	char text[HASH_DAMAGE_TEXT];
	struct buf content;

	buf_init(&content, 0);
	if (item->file.message.large == 0 || item->large[0] == '\0') {
		buf_add(&content, item->file.message.head);
		buf_add(&content, item->file.message.body);
	} else if (!corrupt_item_content(dir, item, &content, &damage)) {
		if (damage.count > 0)
			(void)printf("content: %s: %s are not what was written\n", item->large,
				hash_damage_format(&damage, text));
		else
			(void)printf("content: %s is not as it was\n", item->large);
	}
	corrupt_show_header(buf_slice(&content));
	buf_done(&content);
}

static void
corrupt_show_message(const struct corrupt_dir *dir, const struct corrupt_item *item)
{
	const struct record_message *message = &item->file.message;
	time_t arrival = (time_t)(item->file.arrival_us / 1000000);
	char id[QUEUE_ID_TEXT_SIZE], date[64];
	struct tm when;

	(void)localtime_r(&arrival, &when);
	(void)strftime(date, sizeof(date), "%F %T %z", &when);
	(void)queue_id_format(item->file.queue_id, id);
	(void)printf("queue ID: %s\nfile: corrupt/%s\nreason: %s\norigin: %s\narrival: %s\n", id,
		item->name, corrupt_text(item->file.reason).text,
		corrupt_text(item->file.origin).text, date);
	(void)printf("requeue: %s%s%s\n", corrupt_fate_word(item), item->why != NULL ? ", " : "",
		item->why != NULL ? item->why : "");
	if (!item->file.has_message)
		return;
	if (item->has_envelope)
		(void)printf("sender: <%s>\n", corrupt_text(item->envelope.sender).text);
	else
		(void)printf("sender: not readable\n");
	corrupt_show_recipients(item);
	(void)printf("content: %" PRIu64 " bytes%s%s%s\n", message->content_length,
		item->large[0] != '\0' ? " in " : "", item->large,
		item->file.is_whole ? "" : ", damaged");
	corrupt_show_content(dir, item);
}

static int
corrupt_show(struct corrupt_command *command, const char *id)
{
	struct corrupt_dir *dir = &command->dir;
	const char *name = corrupt_dir_find(dir, id);
	struct corrupt_item item;
	int exit_code = EX_OK;

	if (name == NULL)
		return cli_complain(dir->cli, EX_NOINPUT, "%s: not under corrupt/", id);
	if (!corrupt_item_read(dir, name, &item))
		exit_code = cli_complain(
			dir->cli, EX_IOERR, "%s: %s", name, strerrordesc_np(errno));
	else if (item.kind == CORRUPT_MESSAGE && item.file.queue_id != 0)
		corrupt_show_message(dir, &item);
	else
		corrupt_list_text(&item);
	corrupt_item_done(&item);
	return exit_code;
}

/* --- delete ---------------------------------------- */

static bool
corrupt_ask(size_t count)
{
	int answer;

	(void)fprintf(stderr, "Delete %zu file%s for ever? [y/N] ", count, count == 1 ? "" : "s");
	answer = getchar();
	return answer == 'y' || answer == 'Y';
}

static int
corrupt_delete(struct corrupt_command *command, char *const *ids, size_t count)
{
	struct corrupt_dir *dir = &command->dir;
	int exit_code = EX_OK;
	size_t deleted = 0;

	if (!command->is_sure && isatty(STDIN_FILENO) == 0)
		return cli_complain(
			dir->cli, EX_USAGE, "corrupt delete: nobody can be asked; -y is wanted");
	if (!command->is_sure && !corrupt_ask(count))
		return cli_complain(dir->cli, EX_TEMPFAIL, "nothing was deleted");
	for (size_t i = 0; i < count; i++) {
		const char *name = corrupt_dir_find(dir, ids[i]);

		if (name == NULL || (unlinkat(dir->fd, name, 0) < 0 && errno == ENOENT))
			exit_code = cli_complain(
				dir->cli, EX_NOINPUT, "%s: not under corrupt/", ids[i]);
		else if (faccessat(dir->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			exit_code = cli_complain(dir->cli, EX_IOERR, "corrupt/%s: it stays", name);
		else
			deleted++;
	}
	if (deleted > 0 && fsync(dir->fd) < 0)
		exit_code = cli_complain(dir->cli, EX_IOERR, "corrupt: %s", strerrordesc_np(errno));
	(void)fprintf(stderr, "%s: Deleted: %zu file%s\n", dir->cli->program, deleted,
		deleted == 1 ? "" : "s");
	return exit_code;
}

/* --- command line ---------------------------------------- */

/* ALL: the names of the files; to requeue, those of messages. */
static int
corrupt_selected(struct corrupt_command *command, const char *verb, char **ids, size_t count)
{
	bool requeues = strcmp(verb, "requeue") == 0;
	char **all = NULL;
	int exit_code;

	if (count == 1 && strcmp(ids[0], "ALL") == 0) {
		all = mem_array(command->dir.count + 1, sizeof(*all));
		count = 0;
		for (size_t i = 0; i < command->dir.count; i++)
			if (!requeues
				|| corrupt_kind_of(command->dir.names[i]) == CORRUPT_MESSAGE)
				all[count++] = command->dir.names[i];
		ids = all;
	}
	exit_code = count == 0 ? EX_OK
		    : requeues ? corrupt_requeue(&command->dir, ids, count, command->is_forced)
			       : corrupt_delete(command, ids, count);
	mem_free(all);
	return exit_code;
}

static int
corrupt_do(struct corrupt_command *command, const char *verb, char **ids, size_t count)
{
	if (strcmp(verb, "list") == 0 && count == 0)
		return corrupt_list(command);
	if (strcmp(verb, "show") == 0 && count == 1)
		return corrupt_show(command, ids[0]);
	if ((strcmp(verb, "requeue") == 0 || strcmp(verb, "delete") == 0) && count > 0)
		return corrupt_selected(command, verb, ids, count);
	return cli_complain(command->dir.cli, EX_USAGE,
		"corrupt: list, show ID, requeue ID... or delete ID... is wanted (see corrupt "
		"--help)");
}

int
corrupt_run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' },
		{ "force", no_argument, NULL, 'f' }, { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 } };
	struct corrupt_command command = { .dir = { .cli = cli, .fd = -1, .large_fd = -1 } };
	int exit_code, option;

	optind = 0;
	while ((option = getopt_long(argc, argv, "y", options, NULL)) != -1) {
		if (option == 'j')
			command.as_json = true;
		else if (option == 'f')
			command.is_forced = true;
		else if (option == 'y')
			command.is_sure = true;
		else if (option == 'h')
			return fputs(corrupt_help, stdout) < 0 ? EX_IOERR : EX_OK;
		else
			return EX_USAGE;
	}
	if (optind == argc)
		return corrupt_do(&command, "", NULL, 0);
	exit_code = corrupt_dir_open(&command.dir, cli);
	if (exit_code == EX_OK)
		exit_code = corrupt_do(&command, argv[optind], argv + optind + 1,
			(size_t)(argc - optind - 1));
	corrupt_dir_close(&command.dir);
	return exit_code;
}
