/*
 * export.c - `ostler export` (see export.h)
 */
#include "cli/export.h"

#include "base/base64.h"
#include "base/hash_parts.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cli/control_client.h"
#include "message/queue_id.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { EXPORT_ROUNDS_MAX = 5, EXPORT_NAME_SIZE = 64, EXPORT_COPY_SIZE = 64 * 1024 };

#define EXPORT_PROGRESS_NS (NS_PER_S / 4)

static const char export_help[] =
	"usage: ostler export [--output DIR] [--force] [--json] ID...|ALL\n"
	"\n"
	"Writes ID.eml, the content, and ID.json, the envelope with each recipient's state.\n"
	"\n"
	"  --output DIR   where to, else the current directory; made if it is not there\n"
	"  --force        overwrite files that are there\n"
	"  --json         the summary as JSON on standard output\n"
	"Exit status: 0 all was written; 66 a message is not there; 73 a file could not be made.\n";

struct export {
	struct cli *cli;
	int dir;
	bool force, as_json;
	struct buf again; /* IDs whose content was not to be had, a blank behind each */
	struct buf last;  /* the last line: counts, or a refusal's words */
	uint64_t written, failed, unknown;
	int exit_code;
	struct mono started, shown;
	char why[192]; /* the message at hand cannot be exported, if it is not the disk's fault */
};

/* --- files ---------------------------------------------------------------------------------- */

struct export_file {
	int fd;
	char name[EXPORT_NAME_SIZE], temporary[EXPORT_NAME_SIZE + 8];
};

static bool
export_file_open(const struct export *export, const char *id, const char *suffix,
	struct export_file *file)
{
	(void)snprintf(file->name, sizeof(file->name), "%s%s", id, suffix);
	(void)snprintf(file->temporary, sizeof(file->temporary), ".tmp-%s", file->name);
	/* What a killed export left; a link that somebody else put there goes, too. */
	(void)unlinkat(export->dir, file->temporary, 0);
	file->fd = openat(export->dir, file->temporary,
		O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return file->fd >= 0;
}

/* Flushes and names it; or drops it. Returns whether it is there now; errno says why not. */
static bool
export_file_close(const struct export *export, struct export_file *file, bool is_good)
{
	bool is_there = is_good && fsync(file->fd) == 0
			&& renameat2(export->dir, file->temporary, export->dir, file->name,
				   export->force ? 0 : RENAME_NOREPLACE)
				   == 0;
	int saved = errno;

	(void)close(file->fd);
	if (!is_there)
		(void)unlinkat(export->dir, file->temporary, 0);
	errno = saved;
	return is_there;
}

/* A file below the queue directory; *parts gets its sums. */
static bool
export_copy(const struct export *export, const char *name, int to, struct hash_parts *parts)
{
	int from = openat(export->cli->queue_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	uint8_t *bytes = mem_array(EXPORT_COPY_SIZE, 1);
	bool is_good = from >= 0;
	ssize_t got = 1;

	while (is_good && got > 0) {
		struct slice piece;

		got = read(from, bytes, EXPORT_COPY_SIZE);
		piece = slice_make(bytes, (size_t)(got > 0 ? got : 0));
		hash_parts_add(parts, piece);
		is_good = got >= 0 && cli_write(to, piece);
	}
	hash_parts_end(parts);
	if (from >= 0)
		(void)close(from);
	mem_free(bytes);
	return is_good;
}

static bool
export_bytes_get(const json_t *member, struct buf *bytes)
{
	return json_is_string(member)
	       && base64_decode(slice_make(json_string_value(member),
					json_string_length(member)),
			  bytes)
			  == ERR_OK;
}

/* Content of its own: the file is made only if every part is what was accepted. */
static bool
export_large(struct export *export, const json_t *message, const char *name, int to)
{
	json_int_t length = json_integer_value(json_object_get(message, "content_length"));
	char text[HASH_DAMAGE_TEXT];
	struct hash_damage damage;
	struct hash_parts parts;
	bool is_good, is_whole;
	struct buf sums;

	hash_parts_init(&parts);
	buf_init(&sums, 0);
	is_good = export_copy(export, name, to, &parts);
	is_whole = export_bytes_get(json_object_get(message, "content_sums_base64"), &sums)
		   && hash_parts_match(&parts, buf_slice(&sums), (uint64_t)length, &damage);
	if (is_good && !is_whole) {
		(void)snprintf(export->why, sizeof(export->why),
			"%s of its content, %s, are not what was accepted",
			sums.len > 0 ? hash_damage_format(&damage, text) : "bytes", name);
		is_good = false;
	}
	buf_done(&sums);
	hash_parts_done(&parts);
	return is_good;
}

static bool
export_bytes(const json_t *message, const char *name, int to)
{
	const json_t *member = json_object_get(message, name);
	struct buf bytes;
	bool is_good;

	if (member == NULL)
		return true;
	buf_init(&bytes, 0);
	is_good = export_bytes_get(member, &bytes)
		  && cli_write(to, buf_slice(&bytes));
	buf_done(&bytes);
	return is_good;
}

static bool
export_content(struct export *export, const json_t *message, const char *id)
{
	const char *large = json_string_value(json_object_get(message, "content_file"));
	struct export_file file;
	bool is_good;

	if (!export_file_open(export, id, ".eml", &file))
		return false;
	is_good = export_bytes(message, "head_base64", file.fd);
	if (is_good && large != NULL)
		is_good = export_large(export, message, large, file.fd);
	else if (is_good)
		is_good = export_bytes(message, "body_base64", file.fd);
	return export_file_close(export, &file, is_good);
}

/* What is known besides the content. */
static bool
export_envelope(const struct export *export, json_t *message, const char *id)
{
	const char *queue = json_string_value(json_object_get(message, "queue_name"));
	bool is_held = queue != NULL && strcmp(queue, "hold") == 0;
	struct export_file file;
	bool is_good;

	(void)json_object_del(message, "head_base64");
	(void)json_object_del(message, "body_base64");
	(void)json_object_del(message, "content_file");
	(void)json_object_del(message, "content_length");
	(void)json_object_del(message, "content_sums_base64");
	(void)json_object_set_new(message, "hold", json_boolean(is_held));
	if (!export_file_open(export, id, ".json", &file))
		return false;
	is_good = json_dumpfd(message, file.fd, JSON_INDENT(2)) == 0
		  && cli_write(file.fd, SLICE_LIT("\n"));
	return export_file_close(export, &file, is_good);
}

/* --- messages ------------------------------------------------------------------------------- */

static void
export_fail(struct export *export, const char *id, const char *why)
{
	export->failed++;
	(void)cli_complain(export->cli, EX_OK, "%s: %s", id, why);
	if (export->exit_code == EX_OK)
		export->exit_code = EX_CANTCREAT;
}

/* Checked first, so that nothing is half written where one of the two is there. */
static bool
export_is_there(const struct export *export, const char *id)
{
	static const char *const suffixes[] = { ".eml", ".json" };
	char name[EXPORT_NAME_SIZE];
	struct stat info;

	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(name, sizeof(name), "%s%s", id, suffixes[i]);
		if (fstatat(export->dir, name, &info, AT_SYMLINK_NOFOLLOW) == 0)
			return true;
	}
	return false;
}

static void
export_message(struct export *export, json_t *message)
{
	const char *id = json_string_value(json_object_get(message, "queue_id"));
	uint64_t number;

	export->why[0] = '\0';
	if (id == NULL || queue_id_parse(slice_str(id), &number) < 0)
		return;
	if (json_object_get(message, "body_base64") == NULL
		&& json_object_get(message, "content_file") == NULL)
		buf_addf(&export->again, "%s ", id);
	else if (!export->force && export_is_there(export, id))
		export_fail(export, id, "its file is there already (--force overwrites it)");
	else if (!export_content(export, message, id) || !export_envelope(export, message, id))
		export_fail(export, id,
			export->why[0] != '\0' ? export->why : strerrordesc_np(errno));
	else
		export->written++;
}

static void
export_progress(struct export *export)
{
	struct mono now = clock_read_mono();

	if (!isatty(STDERR_FILENO) || mono_since_ns(now, export->started) < NS_PER_S
		|| mono_since_ns(now, export->shown) < EXPORT_PROGRESS_NS)
		return;
	export->shown = now;
	(void)fprintf(stderr, "\r%" PRIu64 " messages\r", export->written);
}

static void
export_line(void *ctx, struct slice line, bool is_final)
{
	struct export *export = ctx;
	json_t *message = is_final ? NULL
				   : json_loadb((const char *)line.ptr, line.len, 0, NULL);

	if (message != NULL)
		export_message(export, message);
	json_decref(message);
	export_progress(export);
	if (is_final) {
		buf_clear(&export->last);
		if (buf_append(&export->last, line) < 0)
			buf_clear(&export->last);
	}
}

static void
export_unknown(struct export *export)
{
	json_t *last = json_loadb((const char *)export->last.ptr, export->last.len, 0, NULL);
	json_t *id;
	size_t i;

	json_array_foreach(json_object_get(last, "unknown"), i, id)
	{
		const char *text = json_string_value(id);

		export->unknown++;
		(void)cli_complain(export->cli, EX_OK, "%s: no such message",
			text != NULL ? text : "?");
	}
	json_decref(last);
}

static int
export_ask(struct export *export, char *const *ids, size_t count)
{
	const char **words = mem_array(count + 1, sizeof(*words));
	struct slice last;
	int exit_code;

	for (size_t i = 0; i < count; i++)
		words[i] = ids[i];
	words[count] = "base64";
	exit_code = control_client_run(
		export->cli, "show", words, count + 1, export_line, export);
	mem_free(words);
	last = buf_slice(&export->last);
	if (exit_code != EX_OK && last.len > 0 && last.ptr[0] != '{')
		return cli_complain(
			export->cli, exit_code, "%" SLICE_FMT, SLICE_ARG(last));
	if (exit_code == EX_OK || exit_code == EX_NOINPUT) {
		export_unknown(export);
		return EX_OK;
	}
	return exit_code;
}

/* Content that was not in memory of a message being delivered: it is in a moment, or is gone. */
static int
export_rest(struct export *export)
{
	int exit_code = EX_OK;

	for (unsigned round = 0; round < EXPORT_ROUNDS_MAX && export->again.len > 0; round++) {
		struct buf ids = export->again;
		struct slice rest = buf_slice(&ids), word;

		(void)nanosleep(&(struct timespec) { .tv_nsec = 300000000 }, NULL);
		buf_init(&export->again, 0);
		while (exit_code == EX_OK && slice_word(&rest, " ", &word)) {
			char *id = mem_strndup((const char *)word.ptr, word.len);

			exit_code = export_ask(export, &id, 1);
			mem_free(id);
		}
		buf_done(&ids);
	}
	if (exit_code == EX_OK && export->again.len > 0)
		export_fail(export, "content not to be had now",
			(const char *)export->again.ptr);
	return exit_code;
}

/* --- the whole ------------------------------------------------------------------------------ */

static void
export_summary(const struct export *export)
{
	if (export->as_json)
		(void)printf("{\"written\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"unknown\":%" PRIu64
			     "}\n",
			export->written, export->failed, export->unknown);
	else
		(void)fprintf(stderr, "%s: Exported: %" PRIu64 " message%s\n",
			export->cli->program, export->written, export->written == 1 ? "" : "s");
}

static int
export_to(struct export *export, const char *directory, char *const *ids, size_t count)
{
	int exit_code = cli_open_queue(export->cli);

	if (exit_code != EX_OK)
		return exit_code;
	if (mkdir(directory, 0700) < 0 && errno != EEXIST)
		return cli_complain(export->cli, EX_CANTCREAT, "%s: %s", directory,
			strerrordesc_np(errno));
	export->dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (export->dir < 0)
		return cli_complain(export->cli, EX_CANTCREAT, "%s: %s", directory,
			strerrordesc_np(errno));
	export->started = export->shown = clock_read_mono();
	exit_code = export_ask(export, ids, count);
	if (exit_code == EX_OK)
		exit_code = export_rest(export);
	/* The names of all of them. */
	if (fsync(export->dir) < 0 && exit_code == EX_OK)
		exit_code = cli_complain(
			export->cli, EX_IOERR, "%s: %s", directory, strerrordesc_np(errno));
	(void)close(export->dir);
	export_summary(export);
	if (exit_code != EX_OK)
		return exit_code;
	return export->exit_code != EX_OK ? export->exit_code
	       : export->unknown > 0	  ? EX_NOINPUT
					  : EX_OK;
}

int
export_run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = { { "output", required_argument, NULL, 'o' },
		{ "force", no_argument, NULL, 'f' }, { "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 } };
	struct export export = { .cli = cli, .dir = -1 };
	const char *directory = ".";
	int exit_code, option;

	optind = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'o')
			directory = optarg;
		else if (option == 'f')
			export.force = true;
		else if (option == 'j')
			export.as_json = true;
		else if (option == 'h')
			return fputs(export_help, stdout) < 0 ? EX_IOERR : EX_OK;
		else
			return EX_USAGE;
	}
	if (optind == argc)
		return cli_complain(cli, EX_USAGE,
			"export: queue IDs or ALL are wanted (see export --help)");
	buf_init(&export.again, 0);
	buf_init(&export.last, 0);
	exit_code = export_to(&export, directory, argv + optind, (size_t)(argc - optind));
	buf_done(&export.again);
	buf_done(&export.last);
	return exit_code;
}
