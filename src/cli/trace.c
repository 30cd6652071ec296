/*
 * trace.c - lines of the log about one message (see trace.h)
 */
#include "cli/trace.h"

#include "base/ascii.h"
#include "base/mem.h"
#include "cli/json_text.h"
#include "message/queue_id.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>
#include <uthash.h>

enum { TRACE_FILES_MAX = 1000, TRACE_IDS_MAX = 100000, TRACE_PASSES = 3, TRACE_LINE_MAX = 65536 };

struct trace_id {
	char text[QUEUE_ID_TEXT_SIZE];
	UT_hash_handle hh;
};

struct trace_file {
	char *path;
	time_t changed;
};

struct trace {
	struct cli *cli;
	const char *subject;
	bool is_address; /* else a queue ID or a message ID */
	bool is_json;
	bool is_history; /* attempts only */
	bool prints;     /* the last pass */
	bool has_grown;
	struct trace_id *ids;
	struct trace_file *files;
	size_t file_count, read_count;
	uint64_t lines;
};

/* --- queue IDs that belong together ----------------------------------------------------------- */

static bool
trace_has(const struct trace *trace, struct slice id)
{
	struct trace_id *found;

	HASH_FIND(hh, trace->ids, id.ptr, id.len, found);
	return found != NULL;
}

static void
trace_add(struct trace *trace, struct slice id)
{
	struct trace_id *entry;
	uint64_t number;

	if (queue_id_parse(id, &number) != ERR_OK || trace_has(trace, id)
		|| HASH_COUNT(trace->ids) >= TRACE_IDS_MAX)
		return;
	entry = mem_new(sizeof(*entry));
	memcpy(entry->text, id.ptr, id.len);
	HASH_ADD(hh, trace->ids, text[0], (unsigned)id.len, entry);
	trace->has_grown = true;
}

/* "... service[pid]: ID: text". False: the line has none. */
static bool
trace_split(struct slice line, struct slice *ret_id, struct slice *ret_text)
{
	const uint8_t *at = line.len > 0 ? memmem(line.ptr, line.len, "]: ", 3) : NULL;
	struct slice rest;
	uint64_t number;
	size_t colon;

	if (at == NULL)
		return false;
	rest = slice_from(line, (size_t)(at - line.ptr) + 3);
	colon = slice_find(rest, ':');
	if (colon == rest.len || colon >= QUEUE_ID_TEXT_SIZE)
		return false;
	*ret_id = slice_head(rest, colon);
	*ret_text = slice_from(rest, colon + 1);
	return queue_id_parse(*ret_id, &number) == ERR_OK;
}

/* The ID behind a mark, up to what cannot be one. */
static bool
trace_related(struct slice text, const char *mark, struct slice *ret_id)
{
	size_t len = strlen(mark), end = 0;
	const uint8_t *at = text.len > 0 ? memmem(text.ptr, text.len, mark, len) : NULL;
	struct slice rest;

	if (at == NULL)
		return false;
	rest = slice_from(text, (size_t)(at - text.ptr) + len);
	while (end < rest.len && end < QUEUE_ID_TEXT_SIZE - 1 && ascii_is_alnum(rest.ptr[end]))
		end++;
	*ret_id = slice_head(rest, end);
	return end > 0;
}

/* One end of a relation that is known makes the other known. */
static void
trace_relate(struct trace *trace, struct slice id, struct slice text)
{
	static const char *const marks[] = { "requeued as ", "notification: ", "orig_id=" };
	struct slice other;

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		if (!trace_related(text, marks[i], &other))
			continue;
		if (trace_has(trace, id))
			trace_add(trace, other);
		else if (trace_has(trace, other))
			trace_add(trace, id);
	}
}

/* <subject> in a field of the line, in any case. */
static bool
trace_names_subject(const struct trace *trace, struct slice line)
{
	struct slice subject = slice_str(trace->subject);

	for (size_t i = 0; i + subject.len + 2 <= line.len; i++)
		if (line.ptr[i] == '<' && line.ptr[i + subject.len + 1] == '>'
			&& slice_equal_nocase(
				slice_make(line.ptr + i + 1, subject.len), subject))
			return true;
	return false;
}

/* --- one line --------------------------------------------------------------------------------- */

static bool
trace_is_attempt(struct slice line)
{
	return memmem(line.ptr, line.len, ": to=<", 6) != NULL &&
	       memmem(line.ptr, line.len, ", status=", 9) != NULL;
}

static void
trace_print(struct trace *trace, struct slice id, struct slice line)
{
	json_t *object;

	if (trace->is_history && !trace_is_attempt(line))
		return;
	if (trace->lines++ == 0 && trace->is_history)
		(void)puts("attempts, as the log has them:");
	if (!trace->is_json) {
		for (size_t i = 0; i < line.len; i++)
			(void)putchar(line.ptr[i] < ' ' || line.ptr[i] == 127 ? '?' : line.ptr[i]);
		(void)putchar('\n');
		return;
	}
	object = json_pack("{s:s%, s:s%}", "queue_id", (const char *)id.ptr, id.len, "line",
		(const char *)line.ptr, line.len);
	if (object != NULL && json_dumpf(object, stdout, JSON_COMPACT) == 0)
		(void)putchar('\n');
	json_decref(object);
}

static void
trace_line(struct trace *trace, struct slice line)
{
	struct slice id = slice_make("", 0), text = line;
	bool has_id = trace_split(line, &id, &text);
	bool names = trace->is_address && trace_names_subject(trace, line);

	if (trace->prints) {
		if (has_id ? trace_has(trace, id) : names)
			trace_print(trace, has_id ? id : slice_make("", 0), line);
		return;
	}
	if (!has_id)
		return;
	if (names)
		trace_add(trace, id);
	trace_relate(trace, id, text);
}

/* --- files ------------------------------------------------------------------------------------ */

/* The output of gzip -dc; *ret_child is to be waited for. */
static int
trace_unzip(int fd, pid_t *ret_child)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		return -1;
	*ret_child = fork();
	if (*ret_child == 0) {
		if (dup2(fd, STDIN_FILENO) >= 0 && dup2(ends[1], STDOUT_FILENO) >= 0)
			(void)execlp("gzip", "gzip", "-dc", (char *)NULL);
		_exit(EX_UNAVAILABLE);
	}
	(void)close(ends[1]);
	if (*ret_child > 0)
		return ends[0];
	(void)close(ends[0]);
	return -1;
}

static bool
trace_is_zipped(const char *path)
{
	size_t len = strlen(path);

	return len > 3 && strcmp(path + len - 3, ".gz") == 0;
}

static void
trace_stream(struct trace *trace, FILE *stream)
{
	static char line[TRACE_LINE_MAX];

	while (fgets(line, sizeof(line), stream) != NULL) {
		size_t len = strlen(line);

		if (len > 0 && line[len - 1] == '\n')
			len--;
		trace_line(trace, slice_make(line, len));
	}
}

static void
trace_read(struct trace *trace, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int from = fd, status = 0;
	pid_t child = 0;
	FILE *stream;

	if (fd >= 0 && trace_is_zipped(path))
		from = trace_unzip(fd, &child);
	stream = from >= 0 ? fdopen(from, "r") : NULL;
	if (stream == NULL) {
		if (trace->prints)
			(void)cli_complain(
				trace->cli, EX_OK, "%s: %s", path, strerrordesc_np(errno));
	} else {
		trace->read_count += trace->prints;
		trace_stream(trace, stream);
		(void)fclose(stream);
	}
	if (fd >= 0 && (stream == NULL || from != fd))
		(void)close(fd);
	if (child > 0 && waitpid(child, &status, 0) == child && status != 0 && trace->prints)
		(void)cli_complain(trace->cli, EX_OK, "%s: gzip could not read it", path);
}

static int
trace_older(const void *a, const void *b)
{
	const struct trace_file *x = a, *y = b;

	return x->changed < y->changed ? -1 : x->changed > y->changed;
}

/* The log itself, and names that go on with . or - behind its own. */
static void
trace_find_files(struct trace *trace, const char *log)
{
	const char *slash = strrchr(log, '/');
	const char *name = slash != NULL ? slash + 1 : log;
	char *directory = slash != NULL ? mem_strndup(log, (size_t)(slash - log) + 1)
					: mem_strndup("./", 2);
	DIR *dir = opendir(directory);
	const struct dirent *entry;
	size_t len = strlen(name);

	while (dir != NULL && (entry = readdir(dir)) != NULL
		&& trace->file_count < TRACE_FILES_MAX) {
		struct trace_file *file = &trace->files[trace->file_count];
		struct buf path;
		struct stat st;

		if (strncmp(entry->d_name, name, len) != 0
			|| strchr(".-", entry->d_name[len]) == NULL)
			continue;
		buf_init(&path, 0);
		buf_addf(&path, "%s%s", directory, entry->d_name);
		file->path = mem_strndup((const char *)path.ptr, path.len);
		buf_done(&path);
		if (stat(file->path, &st) == 0 && S_ISREG(st.st_mode)) {
			file->changed = st.st_mtime;
			trace->file_count++;
		} else {
			mem_free(file->path);
		}
	}
	if (dir != NULL)
		(void)closedir(dir);
	mem_free(directory);
	qsort(trace->files, trace->file_count, sizeof(*trace->files), trace_older);
}

static void
trace_pass(struct trace *trace)
{
	trace->has_grown = false;
	for (size_t i = 0; i < trace->file_count; i++)
		trace_read(trace, trace->files[i].path);
}

/* Of the files: who belongs together, then their lines. */
static void
trace_search(struct trace *trace, const char *log)
{
	trace->files = mem_array(TRACE_FILES_MAX, sizeof(*trace->files));
	trace_find_files(trace, log);
	/* What a line relates may stand in front of it. */
	for (unsigned i = 0; i < TRACE_PASSES && (i == 0 || trace->has_grown); i++)
		trace_pass(trace);
	trace->prints = true;
	trace_pass(trace);
}

static void
trace_done(struct trace *trace)
{
	struct trace_id *id, *next;

	for (size_t i = 0; i < trace->file_count; i++)
		mem_free(trace->files[i].path);
	mem_free(trace->files);
	HASH_ITER(hh, trace->ids, id, next)
	{
		HASH_DELETE(hh, trace->ids, id);
		mem_free(id);
	}
}

void
trace_attempts(struct cli *cli, const char *id)
{
	struct trace trace = { .cli = cli, .subject = id, .is_history = true };
	char *log = cli_load(cli) == EX_OK ? cli_value(cli, PARAM_MAILLOG_FILE) : NULL;

	if (log != NULL && log[0] == '/' && strncmp(log, "/dev/", 5) != 0) {
		trace_add(&trace, slice_str(id));
		trace_search(&trace, log);
		trace_done(&trace);
	}
	mem_free(log);
}

/* --- the command ------------------------------------------------------------------------------ */

static int
trace_log(struct trace *trace, const char *log)
{
	int exit_code = EX_OK;

	trace_search(trace, log);
	if (trace->read_count == 0)
		exit_code = cli_complain(trace->cli,
			trace->file_count == 0 ? EX_NOINPUT : EX_NOPERM,
			"trace: no log can be read at %s", log);
	else if (trace->lines == 0)
		exit_code = cli_complain(trace->cli, EX_NOINPUT,
			"trace: nothing about %s in %zu files at %s", trace->subject,
			trace->file_count, log);
	trace_done(trace);
	return exit_code;
}

static int
trace_configured(struct trace *trace)
{
	int exit_code = cli_load(trace->cli);
	char *log;

	if (exit_code != EX_OK)
		return exit_code;
	log = cli_value(trace->cli, PARAM_MAILLOG_FILE);
	if (log == NULL)
		return EX_CONFIG;
	if (log[0] == '\0' || strncmp(log, "/dev/", 5) == 0)
		exit_code = cli_complain(trace->cli, EX_USAGE,
			"trace: maillog_file names no file; --log FILE does");
	else
		exit_code = trace_log(trace, log);
	mem_free(log);
	return exit_code;
}

int
trace_run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = { { "log", required_argument, NULL, 'l' },
		{ "json", no_argument, NULL, 'j' }, { NULL, 0, NULL, 0 } };
	struct trace trace = { .cli = cli };
	const char *log = NULL;
	uint64_t number;
	size_t len;
	char *subject;
	int option, exit_code;

	optind = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'l')
			log = optarg;
		else if (option == 'j')
			trace.is_json = true;
		else
			return EX_USAGE;
	}
	if (optind + 1 != argc || argv[optind][0] == '\0')
		return cli_complain(cli, EX_USAGE,
			"trace: one queue ID, address or message ID is wanted");
	len = strlen(argv[optind]);
	subject = argv[optind][0] == '<' && argv[optind][len - 1] == '>' && len > 2
			  ? mem_strndup(argv[optind] + 1, len - 2)
			  : mem_strndup(argv[optind], len);
	trace.subject = subject;
	trace.is_address = queue_id_parse(slice_str(subject), &number) != ERR_OK;
	if (!trace.is_address)
		trace_add(&trace, slice_str(subject));
	exit_code = log != NULL ? trace_log(&trace, log) : trace_configured(&trace);
	mem_free(subject);
	return exit_code;
}
