/*
 * import.c - `ostler import` (see import.h)
 */
#include "cli/import.h"

#include "base/clock.h"
#include "base/mem.h"
#include "cli/import_queue.h"
#include "cli/import_source.h"
#include "cli/import_submit.h"
#include "cli/json_text.h"
#include "message/address_list.h"

#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

/* A group costs three flushes of two files, however large it is; its bytes are in memory. */
enum { IMPORT_GROUP_MAX = 1000, IMPORT_GROUP_BYTES = 32 * 1024 * 1024, IMPORT_ROUNDS_MAX = 5 };

#define IMPORT_PROGRESS_NS (NS_PER_S / 4)

static const char import_help[] =
	"usage: ostler import [OPTION]... DIR\n"
	"       ostler import [OPTION]... --maildir DIR --from ADDR --to ADDR[,ADDR]...\n"
	"       ostler import [OPTION]... --eml FILE... --from ADDR --to ADDR[,ADDR]...\n"
	"\n"
	"Takes over the queue of a Postfix that does not run, or a Maildir, or files. What was\n"
	"imported once is never imported again; nothing is changed at its source.\n"
	"\n"
	"  --maildir DIR  mail below cur/ and new/ of DIR\n"
	"  --eml FILE...  one message a file\n"
	"  --from ADDR    their envelope sender, <> for none\n"
	"  --to ADDRS     their recipients, separated by commas; may be repeated\n"
	"  --hold         all of it stays on hold\n"
	"  --ledger FILE  what was imported (else import.ledger in queue_directory)\n"
	"  --json         the summary as JSON on standard output\n"
	"Exit status: 0 all is in the queue; 65 some files were skipped; 75 some mail was not\n"
	"taken now. See ostler(1).\n";

struct import_work {
	struct import_item item;
	char *name;
};

struct import {
	struct cli *cli;
	struct import_source source;
	struct import_ledger ledger;
	char epoch[IMPORT_QUEUE_EPOCH_SIZE];
	struct import_work group[IMPORT_GROUP_MAX];
	struct import_submit_job jobs[IMPORT_GROUP_MAX];
	size_t group_count, group_bytes;
	/* Options. */
	const char *maildir, *eml, *ledger_path;
	struct buf sender, recipients;
	uint32_t recipient_count;
	bool has_sender, stays_held, as_json;
	/* What became of it. */
	uint64_t imported, recipients_imported, resumed, known, finished, skipped, failed;
	json_t *problems;
	struct mono started, shown;
};

/* --- telling -------------------------------------------------------------------------------- */

static void
import_progress(struct import *import, size_t done, bool is_last)
{
	struct mono now = clock_read_mono();

	if (!isatty(STDERR_FILENO) || mono_since_ns(now, import->started) < NS_PER_S
		|| (!is_last && mono_since_ns(now, import->shown) < IMPORT_PROGRESS_NS))
		return;
	import->shown = now;
	(void)fprintf(stderr, "\r%zu of %zu files%s", done, import->source.count,
		is_last ? "\n" : "");
}

static void
import_problem(struct import *import, const char *name, const char *why)
{
	const struct json_text clean = json_text_clean(name);
	json_t *file = json_string(clean.text);
	json_t *problem = json_object();

	(void)cli_complain(import->cli, EX_OK, "%s: %s", clean.text, why);
	(void)json_object_set_new(
		problem, "file", file != NULL ? file : json_string("(a name that is not UTF-8)"));
	(void)json_object_set_new(problem, "reason", json_string(why));
	(void)json_array_append_new(import->problems, problem);
}

static void
import_summary(struct import *import)
{
	const struct {
		const char *name;
		uint64_t value;
	} counts[] = {
		{ "files", import->source.count },
		{ "imported", import->imported },
		{ "recipients", import->recipients_imported },
		{ "resumed", import->resumed },
		{ "already_imported", import->known },
		{ "finished", import->finished },
		{ "skipped", import->skipped },
		{ "failed", import->failed },
	};
	json_t *object;

	if (!import->as_json) {
		(void)fprintf(stderr,
			"%s: Imported: %" PRIu64 " messages, %" PRIu64 " had been before, %" PRIu64
			" had no recipients left, %" PRIu64 " skipped, %" PRIu64 " not taken\n",
			import->cli->program, import->imported, import->known, import->finished,
			import->skipped, import->failed);
		return;
	}
	object = json_object();
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		(void)json_object_set_new(
			object, counts[i].name, json_integer((json_int_t)counts[i].value));
	(void)json_object_set(object, "problems", import->problems);
	(void)json_dumpf(object, stdout, JSON_COMPACT);
	(void)printf("\n");
	json_decref(object);
}

/* --- a group -------------------------------------------------------------------------------- */

/* Everything that is KEPT: released unless it is to stay, then FREE. */
static int
import_free_kept(struct import *import)
{
	struct import_ledger *ledger = &import->ledger;
	struct import_ledger_entry *entry;
	struct buf ids;
	int exit_code;

	buf_init(&ids, 0);
	for (entry = ledger->entries; entry != NULL; entry = entry->hh.next)
		if (entry->state == IMPORT_LEDGER_KEPT && !entry->stays_held)
			buf_addf(&ids, "%s ", entry->id);
	exit_code = import_queue_change(import->cli, "release", buf_slice(&ids));
	buf_done(&ids);
	if (exit_code != EX_OK)
		return exit_code;
	for (entry = ledger->entries; entry != NULL; entry = entry->hh.next)
		if (entry->state == IMPORT_LEDGER_KEPT) {
			import_ledger_free(ledger, entry);
			import->resumed++;
		}
	return EX_OK;
}

/* The same for this group, whose entries are known. */
static int
import_free_group(struct import *import)
{
	struct buf ids;
	int exit_code;

	buf_init(&ids, 0);
	for (size_t i = 0; i < import->group_count; i++) {
		struct import_ledger_entry *entry =
			import_ledger_find(&import->ledger, import->group[i].item.key);

		if (entry->state == IMPORT_LEDGER_KEPT && !entry->stays_held)
			buf_addf(&ids, "%s ", entry->id);
	}
	exit_code = import_queue_change(import->cli, "release", buf_slice(&ids));
	buf_done(&ids);
	for (size_t i = 0; exit_code == EX_OK && i < import->group_count; i++) {
		struct import_ledger_entry *entry =
			import_ledger_find(&import->ledger, import->group[i].item.key);

		if (entry->state == IMPORT_LEDGER_KEPT)
			import_ledger_free(&import->ledger, entry);
	}
	return exit_code;
}

/* What was submitted and answered; the number of those that must be tried again. */
static size_t
import_take_answers(struct import *import)
{
	size_t again = 0;
	uint64_t id;

	for (size_t i = 0; i < import->group_count; i++) {
		struct import_submit_job *job = &import->jobs[i];
		struct import_ledger_entry *entry =
			import_ledger_find(&import->ledger, import->group[i].item.key);

		if (!job->is_wanted)
			continue;
		job->is_wanted = false;
		if (job->exit_code == EX_OK && queue_id_parse(slice_str(job->text), &id) < 0)
			job->exit_code = EX_PROTOCOL;
		if (job->exit_code == EX_OK && entry->state == IMPORT_LEDGER_BEGUN)
			import_ledger_keep(&import->ledger, entry, job->text);
		else if (job->exit_code == EX_TEMPFAIL)
			again++;
	}
	return again;
}

/* Those whose fate is unknown and that are not in the queue. */
static void
import_want_rest(struct import *import)
{
	for (size_t i = 0; i < import->group_count; i++) {
		const struct import_ledger_entry *entry =
			import_ledger_find(&import->ledger, import->group[i].item.key);
		struct import_submit_job *job = &import->jobs[i];

		job->is_wanted = entry->state == IMPORT_LEDGER_BEGUN
				 && job->exit_code == EX_TEMPFAIL;
	}
}

static int
import_submit_group(struct import *import)
{
	char epoch[IMPORT_QUEUE_EPOCH_SIZE] = "";
	int exit_code = EX_OK;

	for (size_t i = 0; i < import->group_count; i++)
		import->jobs[i] = (struct import_submit_job) {
			.bytes = buf_slice(&import->group[i].item.bytes), .is_wanted = true
		};
	for (unsigned round = 0; exit_code == EX_OK && round < IMPORT_ROUNDS_MAX; round++) {
		exit_code = import_submit_all(import->cli, import->jobs, import->group_count);
		if (import_take_answers(import) == 0)
			break;
		(void)nanosleep(&(struct timespec) { .tv_nsec = 200000000 }, NULL);
		if (exit_code == EX_OK)
			exit_code = import_queue_find(&import->ledger);
		import_want_rest(import);
	}
	if (exit_code == EX_OK && import->jobs[0].exit_code == EX_NOPERM)
		exit_code = cli_complain(import->cli, EX_NOPERM, "%s", import->jobs[0].text);
	if (exit_code == EX_OK)
		exit_code = import_ledger_flush(&import->ledger);
	/* A queue manager that was replaced does not know the keys that the former one took. */
	if (exit_code == EX_OK)
		exit_code = import_queue_epoch(import->cli, epoch);
	if (exit_code == EX_OK && strcmp(epoch, import->epoch) != 0) {
		(void)snprintf(import->epoch, sizeof(import->epoch), "%s", epoch);
		exit_code = import_queue_find(&import->ledger);
	}
	return exit_code;
}

/* What stopped all of it was said before, so its victims are only counted. */
static void
import_count_group(struct import *import, bool is_stopped)
{
	for (size_t i = 0; i < import->group_count; i++) {
		const struct import_work *work = &import->group[i];
		const struct import_ledger_entry *entry =
			import_ledger_find(&import->ledger, work->item.key);

		if (entry->state == IMPORT_LEDGER_FREE) {
			import->imported++;
			import->recipients_imported += work->item.recipient_count;
		} else {
			import->failed++;
			if (is_stopped)
				continue;
			import_problem(import, work->name,
				import->jobs[i].text[0] != '\0' ? import->jobs[i].text
								: "not taken");
		}
	}
}

static int
import_flush_group(struct import *import)
{
	int exit_code = EX_OK;

	if (import->group_count == 0)
		return EX_OK;
	exit_code = import_ledger_flush(&import->ledger);
	if (exit_code == EX_OK)
		exit_code = import_submit_group(import);
	if (exit_code == EX_OK)
		exit_code = import_free_group(import);
	import_count_group(import, exit_code != EX_OK);
	for (size_t i = 0; i < import->group_count; i++) {
		import_item_done(&import->group[i].item);
		mem_free(import->group[i].name);
	}
	import->group_count = import->group_bytes = 0;
	return exit_code;
}

/* --- the whole ------------------------------------------------------------------------------ */

static int
import_file(struct import *import, size_t i)
{
	const char *name = import->source.names[i];
	const struct import_ledger_entry *entry;
	struct import_item item;
	const char *why = NULL;

	switch (import_source_read(&import->source, i, &item, &why)) {
	case IMPORT_SOURCE_BAD:
		import->skipped++;
		import_problem(import, name, why);
		return EX_OK;
	case IMPORT_SOURCE_FINISHED:
		import->finished++;
		return EX_OK;
	case IMPORT_SOURCE_ITEM:
		break;
	}
	entry = import_ledger_find(&import->ledger, item.key);
	if (entry != NULL && (entry->state != IMPORT_LEDGER_BEGUN || entry->is_ours)) {
		import->known++;
		import_item_done(&item);
		return EX_OK;
	}
	import_ledger_begin(&import->ledger, item.key, item.stays_held);
	import->group_bytes += item.bytes.len;
	import->group[import->group_count++] = (struct import_work) {
		.item = item, .name = mem_strndup(name, strlen(name))
	};
	return import->group_count == IMPORT_GROUP_MAX || import->group_bytes > IMPORT_GROUP_BYTES
		       ? import_flush_group(import)
		       : EX_OK;
}

/* What an earlier run had begun. */
static int
import_resume(struct import *import)
{
	struct import_ledger_entry *entry;
	bool has_begun = false;
	int exit_code = import_queue_epoch(import->cli, import->epoch);

	for (entry = import->ledger.entries; entry != NULL; entry = entry->hh.next)
		has_begun = has_begun || entry->state == IMPORT_LEDGER_BEGUN;
	if (exit_code == EX_OK && has_begun)
		exit_code = import_queue_find(&import->ledger);
	if (exit_code == EX_OK)
		exit_code = import_free_kept(import);
	return exit_code;
}

static int
import_all(struct import *import)
{
	int exit_code = import_resume(import);
	int last;

	import->started = import->shown = clock_read_mono();
	for (size_t i = 0; exit_code == EX_OK && i < import->source.count; i++) {
		exit_code = import_file(import, i);
		import_progress(import, i + 1, false);
	}
	if (exit_code == EX_OK)
		exit_code = import_flush_group(import);
	if (exit_code == EX_OK) /* of an earlier run, found late */
		exit_code = import_free_kept(import);
	last = import_ledger_flush(&import->ledger);
	import_progress(import, import->source.count, true);
	import_summary(import);
	if (exit_code != EX_OK || last != EX_OK)
		return exit_code != EX_OK ? exit_code : last;
	return import->failed > 0 ? EX_TEMPFAIL : import->skipped > 0 ? EX_DATAERR : EX_OK;
}

/* --- command line --------------------------------------------------------------------------- */

static enum err
import_add_recipient(void *ctx, struct slice address, struct slice place)
{
	struct import *import = ctx;
	struct submission_recipient recipient = { .address = address };

	(void)place;
	import->recipient_count++;
	return submission_put_recipient(&import->recipients, &recipient);
}

static enum err
import_set_sender(void *ctx, struct slice address, struct slice place)
{
	struct import *import = ctx;

	(void)place;
	if (import->sender.len > 0)
		return ERR_SYNTAX;
	return buf_append(&import->sender, address);
}

static int
import_usage(const struct import *import, const char *what)
{
	return cli_complain(import->cli, EX_USAGE, "import: %s (see import --help)", what);
}

static int
import_option(struct import *import, int option, const char *value)
{
	switch (option) {
	case 'm':
		import->maildir = value;
		return EX_OK;
	case 'e':
		import->eml = value;
		return EX_OK;
	case 'f':
		import->has_sender = true;
		return address_list_parse(slice_str(value), import_set_sender, import) == ERR_OK
			       ? EX_OK
			       : import_usage(import, "--from is no address");
	case 't':
		return address_list_parse(slice_str(value), import_add_recipient, import)
				       == ERR_OK
			       ? EX_OK
			       : import_usage(import, "--to: these are no addresses");
	case 'l':
		import->ledger_path = value;
		return EX_OK;
	case 'h':
		import->stays_held = true;
		return EX_OK;
	case 'j':
		import->as_json = true;
		return EX_OK;
	default:
		return EX_USAGE;
	}
}

static int
import_options(struct import *import, int argc, char **argv)
{
	static const struct option options[] = { { "maildir", required_argument, NULL, 'm' },
		{ "eml", required_argument, NULL, 'e' }, { "from", required_argument, NULL, 'f' },
		{ "to", required_argument, NULL, 't' }, { "ledger", required_argument, NULL, 'l' },
		{ "hold", no_argument, NULL, 'h' }, { "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 } };
	int exit_code = EX_OK;
	int option;

	optind = 0;
	while (exit_code == EX_OK && (option = getopt_long(argc, argv, "", options, NULL)) != -1)
		exit_code = import_option(import, option, optarg);
	if (exit_code != EX_OK)
		return exit_code;
	if (import->maildir != NULL && import->eml != NULL)
		return import_usage(import, "either --maildir or --eml");
	if (import->maildir == NULL && import->eml == NULL)
		return argc - optind == 1 && !import->has_sender && import->recipient_count == 0
			       ? EX_OK
			       : import_usage(import, "one directory of a Postfix queue is wanted");
	if (!import->has_sender || import->recipient_count == 0)
		return import_usage(import, "--from and --to are wanted");
	return import->maildir == NULL || argc == optind
		       ? EX_OK
		       : import_usage(import, "unexpected argument");
}

/* --eml takes the first file, the others stand behind the options. */
static int
import_open(struct import *import, int argc, char **argv)
{
	char **paths = mem_array((size_t)(argc + 2), sizeof(*paths));
	enum import_source_kind kind = import->maildir != NULL ? IMPORT_SOURCE_MAILDIR
				       : import->eml != NULL   ? IMPORT_SOURCE_FILES
							       : IMPORT_SOURCE_POSTFIX;
	const char *first = import->maildir != NULL ? import->maildir : import->eml;
	char *copy = first != NULL ? mem_strndup(first, strlen(first)) : NULL;
	size_t count = 0;
	int exit_code;

	if (copy != NULL)
		paths[count++] = copy;
	for (int i = 0; i < argc; i++)
		paths[count++] = argv[i];
	exit_code = import_source_open(&import->source, import->cli, kind, paths, count);
	mem_free(copy);
	mem_free(paths);
	if (exit_code != EX_OK)
		return exit_code;
	import->source.sender = buf_slice(&import->sender);
	import->source.recipients = buf_slice(&import->recipients);
	import->source.recipient_count = import->recipient_count;
	import->source.stays_held = import->stays_held;
	return EX_OK;
}

static int
import_with_source(struct import *import)
{
	int exit_code = cli_open_queue(import->cli);

	if (exit_code == EX_OK)
		exit_code = import_ledger_open(
			&import->ledger, import->cli, import->ledger_path);
	if (exit_code != EX_OK)
		return exit_code;
	import->problems = json_array();
	exit_code = import_all(import);
	json_decref(import->problems);
	import_ledger_close(&import->ledger);
	return exit_code;
}

int
import_run(struct cli *cli, int argc, char **argv)
{
	struct import *import;
	int exit_code;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		(void)fputs(import_help, stdout);
		return EX_OK;
	}
	import = MEM_NEW(struct import);
	import->cli = cli;
	buf_init(&import->sender, 0);
	buf_init(&import->recipients, SUBMISSION_HEAD_MAX / 2);
	exit_code = import_options(import, argc, argv);
	if (exit_code == EX_OK)
		exit_code = import_open(import, argc - optind, argv + optind);
	if (exit_code == EX_OK) {
		exit_code = import_with_source(import);
		import_source_close(&import->source);
	}
	buf_done(&import->sender);
	buf_done(&import->recipients);
	mem_free(import);
	return exit_code;
}
