/*
 * check.c - `ostler check`: the store over a disk that tells what would change (see check.h)
 *
 * One pass: the files are looked at, the store is opened, every message is read, what is in force
 * is looked at; in repair, what lies in a damaged place is copied elsewhere as cleaning does, until
 * no damaged segment is in force. After a repair a second pass, without repair, says whether it is
 * clean now.
 */
#include "check/check_priv.h"
#include "check/corrupt_file.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/rand.h"
#include "store/disk_file.h"
#include "store/file_system.h"

#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sysexits.h>
#include <unistd.h>

enum { CHECK_CACHE = 64 * 1024 * 1024, CHECK_PATIENCE_MS = 600 * 1000 };

#define CHECK_PROGRESS_NS (NS_PER_S / 4)
#define CHECK_STUCK_NS (10 * NS_PER_S) /* so long a repair tries what the disk does not take */

static const char check_help[] =
	"usage: ostler check [--repair] [--json]\n"
	"\n"
	"Verifies the files of a stopped queue: every segment, record, message and its content.\n"
	"\n"
	"  --repair  mends what was found: what cannot be read is kept under corrupt/, damaged\n"
	"            segments are put aside as bad-..., all else stays in the queue\n"
	"  --json    a line of JSON for each finding, and one for the whole\n"
	"Exit status: 0 clean, or all is repaired; 65 something is wrong; 75 an instance uses the\n"
	"queue; 78 the configuration is bad. See ostler(1).\n";

void
check_progress(struct check *check, const char *what, uint64_t done, uint64_t all)
{
	uint64_t now = clock_read_mono().ns;

	if (isatty(STDERR_FILENO) == 0 || now - check->started_ns < NS_PER_S
		|| now - check->shown_ns < CHECK_PROGRESS_NS)
		return;
	check->shown_ns = now;
	(void)fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " %s  \r", done, all, what);
}

/* --- what the store tells ---------------------------------------- */

static void
check_opened(void *ctx, enum err err, const struct fault *fault)
{
	struct check *check = ctx;

	check->is_open = err == ERR_OK;
	check->has_failed = err != ERR_OK;
	if (err != ERR_OK)
		(void)snprintf(check->fault.text, sizeof(check->fault.text), "%s",
			fault != NULL ? fault->text : err_meaning(err));
	else
		check->first = journal_first(store_journal(check->store));
}

static void
check_complete(void *ctx)
{
	struct check *check = ctx;

	check->is_complete = true;
}

/* What a start would say. Its progress is nothing that is wrong; files it keeps are told apart. */
static void
check_notice(void *ctx, const char *text)
{
	struct check *check = ctx;

	if (strstr(text, "corrupt/") != NULL || strncmp(text, "store: index", 12) == 0)
		return;
	findings_add(&check->findings, FINDING_PROBLEM, NULL, FINDING_NO_OFFSET, 0, text,
		"what can be read stays in the queue");
}

static const struct store_callbacks check_callbacks = { check_opened, check_complete,
	check_notice, NULL };

/* --- what it would change ---------------------------------------- */

static uint64_t
check_hex_of(const char *name)
{
	struct slice text = slice_str(name);
	uint64_t value = 0;

	text = slice_from(text, slice_rfind(text, '-') + 1);
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i];

		value = value * 16 + (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	return value;
}

static void
check_saves_damage(struct check *check, const struct disk_op *op)
{
	uint64_t lsn = check_hex_of(op->name), offset;
	char path[FINDING_FILE], what[FINDING_TEXT], repair[FINDING_TEXT];

	(void)check_place(check, lsn, path, &offset);
	(void)snprintf(what, sizeof(what),
		"damage at LSN %" PRIu64 ": %zu bytes that had been durable", lsn, op->bytes.len);
	(void)snprintf(repair, sizeof(repair),
		"kept as corrupt/%s; records in it that are whole stay in the queue", op->name);
	findings_add(&check->findings, FINDING_PROBLEM, path, offset, 0, what, repair);
	check->clean_below = num_max_u64(check->clean_below, lsn + 1);
}

/* LSN of an origin "journal LSN N, ...". */
static uint64_t
check_origin(struct slice origin)
{
	static const char prefix[] = "journal LSN ";
	uint64_t lsn = 0;

	if (!slice_starts(origin, slice_str(prefix)))
		return 0;
	origin = slice_from(origin, sizeof(prefix) - 1);
	origin = slice_head(origin, slice_find(origin, ','));
	return num_parse_u64(origin, 0, UINT64_MAX, &lsn) == ERR_OK ? lsn : 0;
}

/* A message, or its state. */
static void
check_saves_message(struct check *check, const struct disk_op *op)
{
	bool is_state = strncmp(op->name, "state-", 6) == 0;
	char path[FINDING_FILE], what[FINDING_TEXT], repair[FINDING_TEXT];
	uint64_t offset, lsn;
	struct corrupt_file file;

	if (corrupt_file_parse(op->bytes, &file) < 0)
		return;
	lsn = check_origin(file.origin);
	(void)check_place(check, lsn, path, &offset);
	(void)snprintf(what, sizeof(what), "%" SLICE_FMT, SLICE_ARG(file.reason));
	(void)snprintf(repair, sizeof(repair), "kept as corrupt/%s; %s", op->name,
		is_state ? "the message goes on without it (damaged_state_action)"
			 : "the message leaves the queue");
	findings_add(
		&check->findings, FINDING_PROBLEM, path, offset, file.queue_id, what, repair);
	check->clean_below = num_max_u64(check->clean_below, lsn + 1);
}

static void
check_changes(void *ctx, const struct disk_op *op)
{
	struct check *check = ctx;

	if (op->kind != DISK_SAVE)
		return; /* a consequence of what was found otherwise */
	if (strncmp(op->name, "damage-", 7) == 0)
		check_saves_damage(check, op);
	else if (strncmp(op->name, "tail-", 5) == 0)
		findings_add(&check->findings, FINDING_NOTE, NULL, FINDING_NO_OFFSET, 0,
			"the journal ends in a batch that was not finished, as after a power cut",
			"");
	else
		check_saves_message(check, op);
}

/* --- running it ---------------------------------------- */

static void
check_wake(void *ctx)
{
	const struct check *check = ctx;
	uint64_t one = 1;

	(void)!write(check->wake_fd, &one, sizeof(one));
}

static unsigned
check_turn(struct check *check)
{
	unsigned count = disk_file_poll(check->file) + check_disk_poll(&check->disk);

	store_step(check->store, clock_read());
	return count;
}

/* Waits for the disk or the store's next time; false: nothing came for very long. */
static bool
check_wait(struct check *check)
{
	struct pollfd wake = { .fd = check->wake_fd, .events = POLLIN };
	struct mono due = store_due(check->store), now = clock_read_mono();
	uint64_t ms = due.ns > now.ns ? (due.ns - now.ns) / NS_PER_MS + 1 : 0, value;

	if (check_disk_is_due(&check->disk))
		return true;
	if (poll(&wake, 1, (int)num_min_u64(ms, CHECK_PATIENCE_MS)) > 0)
		(void)!read(check->wake_fd, &value, sizeof(value));
	return ms < CHECK_PATIENCE_MS || wake.revents != 0;
}

typedef bool check_done_fn(struct check *check);

/* What must be kept or copied elsewhere cannot be written: the store would try it for ever. */
static bool
check_is_stuck(struct check *check)
{
	struct store_stats stats;
	uint64_t now = clock_read_mono().ns;
	bool is_failing;

	store_stats(check->store, &stats);
	is_failing = stats.unsaved > 0 || stats.space.is_short
		     || journal_state(store_journal(check->store)) == JOURNAL_FAULTED;
	if (!check->repairs || !is_failing || stats.journal.flushes != check->stuck_flushes) {
		check->stuck_ns = now;
		check->stuck_flushes = stats.journal.flushes;
	}
	if (now - check->stuck_ns < CHECK_STUCK_NS)
		return false;
	check->has_failed = true;
	(void)fault_set(&check->fault, ERR_NOSPACE,
		"the disk does not take what must be written; nothing is lost: make room, or see "
		"to the disk, and repair again");
	return true;
}

static bool
check_until(struct check *check, check_done_fn *done)
{
	for (;;) {
		(void)check_turn(check);
		if (check->has_failed || done(check))
			return !check->has_failed;
		if (done != check_messages && check->is_complete && check_is_stuck(check))
			return false;
		if (!check_wait(check))
			return false;
	}
}

static bool
check_is_complete(struct check *check)
{
	return check->is_complete;
}

static bool
check_is_idle(struct check *check)
{
	return store_is_idle(check->store) && !check_disk_is_due(&check->disk);
}

static bool
check_is_cleaned(struct check *check)
{
	return journal_first(store_journal(check->store)) >= check->clean_below
	       && journal_is_settled(store_journal(check->store)) && check_is_idle(check);
}

/* --- a pass ---------------------------------------- */

static int
check_open_store(struct check *check)
{
	struct store_options options = { .disk = &check->disk.disk,
		.cache_max = CHECK_CACHE,
		.epoch = rand_seed(),
		.callbacks = &check_callbacks,
		.ctx = check,
		.reads_all = true };
	struct settings *settings = check->cli->settings;
	char *action = cli_value(check->cli, PARAM_DAMAGED_STATE_ACTION);
	char *recycle = cli_value(check->cli, PARAM_JOURNAL_RECYCLE);
	struct fault fault;

	if (action == NULL || recycle == NULL
		|| settings_number(settings, PARAM_JOURNAL_SEGMENT_SIZE, &options.segment_size,
			   &fault)
			   < 0
		|| settings_number(settings, PARAM_JOURNAL_SIZE_MAX, &options.size_max, &fault) < 0
		|| settings_number(settings, PARAM_JOURNAL_SIZE_MIN, &options.size_min, &fault)
			   < 0) {
		mem_free(action);
		mem_free(recycle);
		return cli_complain(check->cli, EX_CONFIG, "the journal's parameters are bad");
	}
	options.hold_doubtful = strcmp(action, "hold") == 0;
	options.appends = strcmp(recycle, "no") == 0
			  || (strcmp(recycle, "auto") == 0
				  && file_system_copies(check->journal_fd) != NULL);
	mem_free(action);
	mem_free(recycle);
	rand_bytes(options.uuid, sizeof(options.uuid));
	check->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	check->file = disk_file_new(
		check->journal_fd, check->corrupt_fd, check->large_fd, check_wake, check);
	check_disk_init(&check->disk, disk_file_disk(check->file), check->repairs, check_changes,
		check);
	check->store = store_new(&options);
	store_open(check->store, clock_read());
	return EX_OK;
}

static void
check_close_store(struct check *check)
{
	bool is_idle = check->store != NULL && check_is_idle(check);

	if (check->store == NULL)
		return;
	disk_file_free(check->file); /* waits for what runs */
	if (is_idle) /* else the process ends in a moment */
		store_free(check->store);
	check_disk_done(&check->disk);
	(void)close(check->wake_fd);
	check->store = NULL;
}

static int
check_store(struct check *check)
{
	if (!check_until(check, check_is_complete))
		return cli_complain(check->cli, EX_DATAERR, "the queue cannot be opened: %s",
			check->fault.text[0] != '\0' ? check->fault.text : "the disk hangs");
	if (!check_until(check, check_messages) || !check_until(check, check_is_idle))
		return cli_complain(check->cli, EX_IOERR, "%s",
			check->fault.text[0] != '\0' ? check->fault.text : "the disk hangs");
	check_files_end(check);
	check->clean_below = num_max_u64(
		check->clean_below, journal_clean_end(store_journal(check->store)));
	if (!check->repairs || check->clean_below == 0)
		return EX_OK;
	store_clean_below(check->store, check->clean_below);
	return check_until(check, check_is_cleaned)
		       ? EX_OK
		       : cli_complain(check->cli, EX_IOERR,
				 "the damaged segments could not be emptied: %s",
				 check->fault.text[0] != '\0' ? check->fault.text
							      : "the disk hangs");
}

static int
check_pass(struct check *check)
{
	int exit_code;

	check->started_ns = clock_read_mono().ns;
	findings_init(&check->findings);
	exit_code = check_files_begin(check);
	if (exit_code == EX_OK && !check->has_failed)
		exit_code = check_open_store(check);
	if (exit_code == EX_OK && !check->has_failed)
		exit_code = check_store(check);
	check_close_store(check);
	check_files_done(check);
	return exit_code;
}

/* --- telling ---------------------------------------- */

static void
check_summary(const struct check *check, bool is_repaired, size_t left)
{
	const struct findings *findings = &check->findings;
	json_t *object;

	if (!check->as_json) {
		(void)printf("%" PRIu64 " messages, %" PRIu64 " bytes; ", check->message_count,
			check->message_bytes);
		if (findings->problems + findings->advices == 0)
			(void)printf("clean\n");
		else if (is_repaired)
			(void)printf("%zu findings, %zu left after the repair\n",
				findings->problems + findings->advices, left);
		else
			(void)printf("%zu findings%s\n", findings->problems + findings->advices,
				findings->problems > 0 ? " (--repair mends)" : "");
		return;
	}
	object = json_object();
	(void)json_object_set_new(object, "kind", json_string("summary"));
	(void)json_object_set_new(
		object, "messages", json_integer((json_int_t)check->message_count));
	(void)json_object_set_new(
		object, "content_bytes", json_integer((json_int_t)check->message_bytes));
	(void)json_object_set_new(object, "findings",
		json_integer((json_int_t)(findings->problems + findings->advices)));
	(void)json_object_set_new(object, "repaired", json_boolean(is_repaired));
	(void)json_object_set_new(object, "left", json_integer((json_int_t)left));
	(void)json_dumpf(object, stdout, JSON_COMPACT);
	(void)printf("\n");
	json_decref(object);
}

/* Whether it is clean now; what is not is printed. */
static int
check_again(const struct check *before, size_t *ret_left)
{
	struct check check = { .cli = before->cli,
		.as_json = before->as_json,
		.journal_fd = -1,
		.large_fd = -1,
		.corrupt_fd = -1 };
	int exit_code = check_pass(&check);

	*ret_left = check.findings.problems + check.findings.advices;
	if (*ret_left > 0 && !before->as_json)
		(void)printf("After the repair:\n");
	if (*ret_left > 0)
		findings_print(&check.findings, before->as_json, false);
	findings_done(&check.findings);
	return exit_code;
}

static int
check_whole(struct check *check)
{
	int exit_code = check_pass(check);
	size_t found = check->findings.problems + check->findings.advices, left = found;
	bool is_repaired = check->repairs && exit_code == EX_OK && !check->has_failed && found > 0;

	findings_print(&check->findings, check->as_json, is_repaired);
	if (is_repaired)
		exit_code = check_again(check, &left);
	if (exit_code == EX_OK)
		check_summary(check, is_repaired, left);
	findings_done(&check->findings);
	return exit_code != EX_OK ? exit_code : left > 0 ? EX_DATAERR : EX_OK;
}

int
check_run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = { { "repair", no_argument, NULL, 'r' },
		{ "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 } };
	struct check check = { .cli = cli, .journal_fd = -1, .large_fd = -1, .corrupt_fd = -1 };
	int option;

	optind = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'r')
			check.repairs = true;
		else if (option == 'j')
			check.as_json = true;
		else if (option == 'h')
			return fputs(check_help, stdout) < 0 ? EX_IOERR : EX_OK;
		else
			return EX_USAGE;
	}
	if (optind < argc)
		return cli_complain(cli, EX_USAGE,
			"check: unexpected argument: %s (see check --help)", argv[optind]);
	return check_whole(&check);
}
