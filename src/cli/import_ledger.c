/*
 * import_ledger.c - what an import has begun and finished (see import_ledger.h)
 */
#include "cli/import_ledger.h"

#include "base/mem.h"
#include "message/submission.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static const char import_ledger_title[] = "ostler-import-ledger 1";

struct import_ledger_entry *
import_ledger_find(const struct import_ledger *ledger, const char *key)
{
	struct import_ledger_entry *entry;

	HASH_FIND_STR(ledger->entries, key, entry);
	return entry;
}

static struct import_ledger_entry *
import_ledger_add(struct import_ledger *ledger, struct slice key)
{
	struct import_ledger_entry *entry = mem_new(sizeof(*entry) + key.len + 1);

	memcpy(entry->key, key.ptr, key.len);
	HASH_ADD_STR(ledger->entries, key, entry);
	return entry;
}

/* --- reading -------------------------------------------------------------------------------- */

static bool
import_ledger_step(struct import_ledger_entry *entry, struct slice verb, struct slice last)
{
	uint64_t id;

	if (slice_equal_str(verb, "kept") && queue_id_parse(last, &id) == ERR_OK
		&& entry->state == IMPORT_LEDGER_BEGUN) {
		(void)queue_id_format(id, entry->id);
		entry->state = IMPORT_LEDGER_KEPT;
		return true;
	}
	if (slice_equal_str(verb, "free") && last.len == 0 && entry->state != IMPORT_LEDGER_BEGUN) {
		entry->state = IMPORT_LEDGER_FREE;
		return true;
	}
	return false;
}

static bool
import_ledger_line(struct import_ledger *ledger, struct slice line)
{
	struct import_ledger_entry *entry;
	char text[SUBMISSION_KEY_MAX + 1];
	struct slice verb, key, last = slice_make(NULL, 0);
	bool is_hold;

	if (!slice_word(&line, " ", &verb) || !slice_word(&line, " ", &key)
		|| !submission_key_is_valid(key))
		return false;
	(void)slice_word(&line, " ", &last);
	if (line.len > 0)
		return false;
	(void)snprintf(text, sizeof(text), "%" SLICE_FMT, SLICE_ARG(key));
	entry = import_ledger_find(ledger, text);
	if (!slice_equal_str(verb, "begin"))
		return entry != NULL && import_ledger_step(entry, verb, last);
	is_hold = slice_equal_str(last, "hold");
	if (!is_hold && !slice_equal_str(last, "release"))
		return false;
	if (entry == NULL)
		entry = import_ledger_add(ledger, key);
	else if (entry->state != IMPORT_LEDGER_BEGUN)
		return false;
	entry->stays_held = is_hold;
	return true;
}

/* What is unreadable at the end is cut off; in the middle it is damage. */
static int
import_ledger_parse(struct import_ledger *ledger, struct slice text)
{
	struct slice rest = text;
	size_t good = 0, number = 0, bad = 0;

	while (rest.len > 0) {
		size_t end = slice_find(rest, '\n');
		struct slice line = slice_head(rest, end);
		bool is_whole = end < rest.len;

		number++;
		rest = slice_from(rest, end + 1);
		if (is_whole
			&& (number == 1 ? slice_equal_str(line, import_ledger_title)
					: import_ledger_line(ledger, line))) {
			if (bad > 0)
				return cli_complain(ledger->cli, EX_DATAERR,
					"%s: line %zu is damaged; without it mail could be "
					"imported twice",
					ledger->path, bad);
			good = text.len - rest.len;
		} else if (bad == 0) {
			bad = number;
		}
	}
	if (good == 0 && text.len > sizeof(import_ledger_title))
		return cli_complain(
			ledger->cli, EX_DATAERR, "%s: not a ledger of imports", ledger->path);
	if (good < text.len && ftruncate(ledger->fd, (off_t)good) < 0)
		return cli_complain(
			ledger->cli, EX_IOERR, "%s: %s", ledger->path, strerrordesc_np(errno));
	if (good == 0)
		buf_addf(&ledger->lines, "%s\n", import_ledger_title);
	return EX_OK;
}

static int
import_ledger_read(struct import_ledger *ledger)
{
	struct buf text;
	struct stat info;
	ssize_t got = -1;
	int exit_code;

	buf_init(&text, 0);
	if (fstat(ledger->fd, &info) == 0 && buf_reserve(&text, (size_t)info.st_size + 1) == ERR_OK)
		do {
			got = pread(ledger->fd, text.ptr + text.len,
				(size_t)info.st_size - text.len, (off_t)text.len);
			text.len += got > 0 ? (size_t)got : 0;
		} while (got > 0 && text.len < (size_t)info.st_size);
	if (got < 0)
		exit_code = cli_complain(
			ledger->cli, EX_IOERR, "%s: %s", ledger->path, strerrordesc_np(errno));
	else
		exit_code = import_ledger_parse(ledger, buf_slice(&text));
	buf_done(&text);
	return exit_code;
}

/* A new file: its name must survive, too, before anything relies on what is in it. */
static int
import_ledger_start(struct import_ledger *ledger)
{
	int exit_code = import_ledger_read(ledger);

	if (exit_code != EX_OK || ledger->lines.len == 0)
		return exit_code;
	exit_code = import_ledger_flush(ledger);
	if (exit_code == EX_OK && syncfs(ledger->fd) < 0)
		exit_code = cli_complain(
			ledger->cli, EX_IOERR, "%s: %s", ledger->path, strerrordesc_np(errno));
	return exit_code;
}

int
import_ledger_open(struct import_ledger *ledger, struct cli *cli, const char *path)
{
	int exit_code;

	*ledger = (struct import_ledger) { .cli = cli };
	buf_init(&ledger->lines, 0);
	ledger->path = mem_strndup(path != NULL ? path : "import.ledger",
		path != NULL ? strlen(path) : sizeof("import.ledger") - 1);
	ledger->fd = openat(path != NULL ? AT_FDCWD : cli->queue_fd, ledger->path,
		O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (ledger->fd < 0)
		exit_code = cli_complain(cli, errno == EACCES ? EX_NOPERM : EX_CANTCREAT,
			"%s%s: %s (--ledger FILE puts it elsewhere)",
			path != NULL ? "" : "queue_directory/", ledger->path,
			strerrordesc_np(errno));
	else if (flock(ledger->fd, LOCK_EX | LOCK_NB) < 0)
		exit_code = cli_complain(
			cli, EX_TEMPFAIL, "%s: another import is using it", ledger->path);
	else
		exit_code = import_ledger_start(ledger);
	if (exit_code != EX_OK)
		import_ledger_close(ledger);
	return exit_code;
}

void
import_ledger_close(struct import_ledger *ledger)
{
	struct import_ledger_entry *entry, *next;

	HASH_ITER(hh, ledger->entries, entry, next)
	{
		HASH_DEL(ledger->entries, entry);
		mem_free(entry);
	}
	if (ledger->fd >= 0)
		(void)close(ledger->fd);
	ledger->fd = -1;
	buf_done(&ledger->lines);
	mem_free(ledger->path);
	ledger->path = NULL;
}

/* --- writing -------------------------------------------------------------------------------- */

void
import_ledger_begin(struct import_ledger *ledger, const char *key, bool stays_held)
{
	struct import_ledger_entry *entry = import_ledger_find(ledger, key);

	if (entry == NULL)
		entry = import_ledger_add(ledger, slice_str(key));
	entry->is_ours = true;
	entry->stays_held = stays_held;
	buf_addf(&ledger->lines, "begin %s %s\n", key, stays_held ? "hold" : "release");
}

void
import_ledger_keep(
	struct import_ledger *ledger, struct import_ledger_entry *entry, const char *id)
{
	entry->state = IMPORT_LEDGER_KEPT;
	(void)snprintf(entry->id, sizeof(entry->id), "%s", id);
	buf_addf(&ledger->lines, "kept %s %s\n", entry->key, entry->id);
}

void
import_ledger_free(struct import_ledger *ledger, struct import_ledger_entry *entry)
{
	entry->state = IMPORT_LEDGER_FREE;
	buf_addf(&ledger->lines, "free %s\n", entry->key);
}

int
import_ledger_flush(struct import_ledger *ledger)
{
	if (ledger->lines.len > 0
		&& (!cli_write(ledger->fd, buf_slice(&ledger->lines)) || fdatasync(ledger->fd) < 0))
		return cli_complain(
			ledger->cli, EX_IOERR, "%s: %s", ledger->path, strerrordesc_np(errno));
	buf_clear(&ledger->lines);
	return EX_OK;
}
