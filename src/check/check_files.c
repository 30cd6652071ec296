/*
 * check_files.c - directories, segments, checkpoints and large/ of a queue (see check_priv.h)
 */
#include "check/check_priv.h"
#include "check/corrupt_file.h"
#include "check/check_segment.h"

#include "base/mem.h"
#include "base/num.h"
#include "store/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum { CHECK_KEPT_MAX = 64 * 1024 * 1024 };

static void
check_path(char path[FINDING_FILE], const char *below, const char *name)
{
	struct slice text = slice_str(name);

	(void)snprintf(path, FINDING_FILE, "%s/%" SLICE_FMT, below, SLICE_ARG(text));
}

/* --- owners and modes ---------------------------------------- */

static void
check_mode(struct check *check, int dir, const char *below, const char *name, mode_t forbidden)
{
	char path[FINDING_FILE], what[FINDING_TEXT];
	struct stat info;

	(void)snprintf(path, sizeof(path), "%s%s%s", below, name[0] != '\0' ? "/" : "", name);
	if (fstatat(dir, name[0] != '\0' ? name : ".", &info, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (info.st_uid != geteuid()) {
		(void)snprintf(what, sizeof(what), "belongs to uid %u, but must belong to uid %u",
			(unsigned)info.st_uid, (unsigned)geteuid());
		findings_add(&check->findings, FINDING_ADVICE, path, FINDING_NO_OFFSET, 0, what,
			"root must give it back: chown -h");
	} else if ((info.st_mode & forbidden) != 0 && !S_ISLNK(info.st_mode)) {
		(void)snprintf(what, sizeof(what), "others may use it (mode %04o)",
			(unsigned)info.st_mode & 07777);
		findings_add(&check->findings, FINDING_PROBLEM, path, FINDING_NO_OFFSET, 0, what,
			"the permission is taken away");
		if (check->repairs
			&& fchmodat(dir, name[0] != '\0' ? name : ".",
				   info.st_mode & 07777 & ~forbidden, 0)
				   < 0)
			(void)cli_complain(
				check->cli, EX_NOPERM, "%s: %s", path, strerrordesc_np(errno));
	}
}

typedef void check_name_fn(struct check *check, const char *name);

static void
check_each(struct check *check, int dir, check_name_fn *fn)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	char **names = NULL;
	size_t count = 0, cap = 0;
	struct dirent *entry;

	/* All names first: a repair renames while it looks. */
	while (list != NULL && (entry = readdir(list)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (count == cap) {
			cap = cap == 0 ? 64 : 2 * cap;
			names = mem_resize(names, cap, sizeof(*names));
		}
		names[count++] = mem_strndup(entry->d_name, strlen(entry->d_name));
	}
	if (list != NULL)
		(void)closedir(list);
	for (size_t i = 0; i < count; i++) {
		fn(check, names[i]);
		mem_free(names[i]);
	}
	mem_free(names);
}

/* --- segments ---------------------------------------- */

static bool
check_read(int dir, const char *name, uint64_t offset, size_t len, struct buf *bytes)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t got = 1;

	buf_clear(bytes);
	if (fd < 0 || buf_reserve(bytes, len) < 0) {
		if (fd >= 0)
			(void)close(fd);
		return false;
	}
	while (bytes->len < len && got > 0) {
		got = pread(fd, bytes->ptr + bytes->len, len - bytes->len,
			(off_t)(offset + bytes->len));
		bytes->len += got > 0 ? (size_t)got : 0;
	}
	(void)close(fd);
	return got >= 0;
}

/* Out of the way of recovery, but not lost. */
static void
check_put_aside(struct check *check, const char *name)
{
	char bad[CHECK_NAME + 8];

	(void)snprintf(bad, sizeof(bad), "bad-%s", name);
	if (check->repairs
		&& (renameat(check->journal_fd, name, check->journal_fd, bad) < 0
			|| fsync(check->journal_fd) < 0))
		(void)cli_complain(
			check->cli, EX_IOERR, "journal/%s: %s", name, strerrordesc_np(errno));
}

static void
check_bad_segment(struct check *check, const char *name, const char *what)
{
	char path[FINDING_FILE];

	check_path(path, "journal", name);
	findings_add(&check->findings, FINDING_PROBLEM, path, 0, 0, what,
		"it is put aside as bad-... and not read any more");
	check_put_aside(check, name);
}

static bool
check_has_batch(const struct buf *blocks)
{
	struct batch_header batch;
	enum err err = batch_decode(slice_from(buf_slice(blocks), RECORD_BLOCK), &batch);

	return err == ERR_OK || err == ERR_SYNTAX;
}

static void
check_header(struct check *check, const char *name, uint32_t slot)
{
	struct check_found found = { .slot = slot };
	char path[FINDING_FILE];
	struct fault fault;
	struct stat info;
	struct buf block;
	enum err err = ERR_IO;

	(void)snprintf(found.name, sizeof(found.name), "%s", name);
	check_path(path, "journal", name);
	buf_init(&block, 0);
	if (fstatat(check->journal_fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0
		&& S_ISREG(info.st_mode)
		&& check_read(check->journal_fd, name, 0, 2 * RECORD_BLOCK, &block)) {
		found.file_size = (uint64_t)info.st_size;
		err = segment_header_decode(buf_slice(&block), &found.header, &fault);
	}
	if (err == ERR_VERSION) {
		findings_add(&check->findings, FINDING_ADVICE, path, 0, 0, fault.text,
			"start the release that wrote it");
		check->has_failed = true;
	} else if (err == ERR_CORRUPT && !check_has_batch(&block)) {
		check_bad_segment(check, name, fault.text);
	} else if (err != ERR_OK && check_has_batch(&block)) {
		findings_add(&check->findings, FINDING_PROBLEM, path, 0, 0,
			"its header is lost, it has batches",
			"what is in force there is copied, then it is put aside as bad-...");
	} else if (err == ERR_IO) {
		findings_add(&check->findings, FINDING_ADVICE, path, FINDING_NO_OFFSET, 0,
			"cannot be read", "see the kernel's log; copy what is left of the disk");
	} else if (err == ERR_OK) {
		check->found = mem_resize(
			check->found, check->found_count + 1, sizeof(*check->found));
		check->found[check->found_count++] = found;
	}
	buf_done(&block);
}

static bool
check_starts(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

static void
check_journal_name(struct check *check, const char *name)
{
	struct slice text = slice_str(name);
	char path[FINDING_FILE];
	uint64_t slot;

	check_mode(check, check->journal_fd, "journal", name, 077);
	if (text.len == 12 && slice_equal_str(slice_from(text, 8), ".seg")
		&& num_parse_u64(slice_head(text, 8), 0, 65535, &slot) == ERR_OK) {
		check_header(check, name, (uint32_t)slot);
		return;
	}
	check_path(path, "journal", name);
	if (check_starts(name, "bad-"))
		findings_add(&check->findings, FINDING_NOTE, path, FINDING_NO_OFFSET, 0,
			"a segment that was put aside; remove it when it is not needed", "");
	else if (!check_starts(name, "index-"))
		findings_add(&check->findings, FINDING_NOTE, path, FINDING_NO_OFFSET, 0,
			"not a file of the journal; left alone", "");
}

static int
check_found_compare(const void *a, const void *b)
{
	const struct check_found *x = a, *y = b;

	if (x->header.base != y->header.base)
		return x->header.base < y->header.base ? -1 : 1;
	return x->header.generation < y->header.generation ? -1 : 1;
}

static void
check_large_mode(struct check *check, const char *name)
{
	check_mode(check, check->large_fd, "large", name, 077);
}

static bool
check_ends(const char *name, const char *suffix)
{
	struct slice text = slice_str(name), end = slice_str(suffix);

	return text.len > end.len && slice_equal(slice_from(text, text.len - end.len), end);
}

/* What is wrong with a file that is to hold a message or a state; NULL: nothing. */
static const char *
check_kept_fault(struct check *check, const char *name, bool *ret_is_whole)
{
	struct slice id = slice_from(slice_str(name), slice_find(slice_str(name), '-') + 1);
	const char *what = NULL;
	struct corrupt_file file = { 0 };
	struct stat info;
	struct buf bytes;
	uint64_t number;

	buf_init(&bytes, 0);
	*ret_is_whole = false;
	if (fstatat(check->corrupt_fd, name, &info, AT_SYMLINK_NOFOLLOW) < 0
		|| !S_ISREG(info.st_mode)
		|| !check_read(check->corrupt_fd, name, 0,
			(size_t)num_min_u64((uint64_t)info.st_size, CHECK_KEPT_MAX), &bytes))
		what = "cannot be read";
	else if (corrupt_file_parse(buf_slice(&bytes), &file) < 0)
		what = "has no head that says what was kept";
	else if (!corrupt_file_parse_hex(slice_head(id, 16), &number) || number != file.queue_id)
		what = "names another message than its name does";
	*ret_is_whole = file.has_message;
	buf_done(&bytes);
	return what;
}

/* Messages and states that were kept, and what a kill left of one. */
static void
check_corrupt_name(struct check *check, const char *name)
{
	bool is_message = check_starts(name, "message-"), is_whole;
	char path[FINDING_FILE];
	const char *what;

	check_mode(check, check->corrupt_fd, "corrupt", name, 077);
	check_path(path, "corrupt", name);
	if (check_ends(name, DISK_TEMPORARY)) {
		findings_add(&check->findings, FINDING_PROBLEM, path, FINDING_NO_OFFSET, 0,
			"what a kill left of a file that was to be kept", "it is removed");
		if (check->repairs && unlinkat(check->corrupt_fd, name, 0) < 0)
			(void)cli_complain(
				check->cli, EX_IOERR, "%s: %s", path, strerrordesc_np(errno));
		return;
	}
	if (!is_message && !check_starts(name, "state-"))
		return;
	what = check_kept_fault(check, name, &is_whole);
	if (what != NULL)
		findings_add(&check->findings, FINDING_ADVICE, path, FINDING_NO_OFFSET, 0, what,
			"look at it, then remove it: ostler corrupt delete NAME");
	else if (is_message && !is_whole)
		findings_add(&check->findings, FINDING_NOTE, path, FINDING_NO_OFFSET, 0,
			"the parts of this message cannot be told apart: it cannot be requeued",
			"");
}

static int
check_open_dir(struct check *check, const char *name, int *ret_fd)
{
	*ret_fd = openat(
		check->cli->queue_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*ret_fd >= 0)
		return EX_OK;
	return cli_complain(check->cli,
		errno == EACCES	  ? EX_NOPERM
		: errno == ENOENT ? EX_NOINPUT
				  : EX_IOERR,
		"queue_directory/%s: %s%s", name, strerrordesc_np(errno),
		errno == ENOENT ? " (was this queue ever in use?)" : "");
}

int
check_files_begin(struct check *check)
{
	int exit_code = check_open_dir(check, "journal", &check->journal_fd);

	if (exit_code == EX_OK)
		exit_code = check_open_dir(check, "large", &check->large_fd);
	if (exit_code == EX_OK)
		exit_code = check_open_dir(check, "corrupt", &check->corrupt_fd);
	if (exit_code != EX_OK)
		return exit_code;
	check_mode(check, check->journal_fd, "journal", "", 077);
	check_mode(check, check->large_fd, "large", "", 077);
	check_mode(check, check->corrupt_fd, "corrupt", "", 077);
	check_each(check, check->journal_fd, check_journal_name);
	check_each(check, check->large_fd, check_large_mode);
	check_each(check, check->corrupt_fd, check_corrupt_name);
	if (check->found_count > 0)
		qsort(check->found, check->found_count, sizeof(*check->found),
			check_found_compare);
	return EX_OK;
}

void
check_files_done(struct check *check)
{
	struct check_large *large, *next;
	const int fds[] = { check->journal_fd, check->large_fd, check->corrupt_fd };

	HASH_ITER(hh, check->larges, large, next)
	{
		HASH_DELETE(hh, check->larges, large);
		mem_free(large);
	}
	mem_free(check->found);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
}

static bool
check_is_ours(const struct check *check, const struct check_found *found)
{
	return memcmp(found->header.uuid, journal_uuid(store_journal(check->store)),
		       RECORD_UUID_SIZE)
	       == 0;
}

bool
check_place(
	const struct check *check, uint64_t lsn, char name[FINDING_FILE], uint64_t *ret_offset)
{
	for (size_t i = check->found_count; i > 0; i--) {
		const struct check_found *found = &check->found[i - 1];

		if (!check_is_ours(check, found) || lsn < found->header.base
			|| lsn >= found->header.base + found->header.size)
			continue;
		(void)snprintf(name, FINDING_FILE, "journal/%s", found->name);
		*ret_offset = lsn - found->header.base;
		return true;
	}
	name[0] = '\0';
	*ret_offset = FINDING_NO_OFFSET;
	return false;
}

/* --- what is in force ---------------------------------------- */

struct check_scan {
	struct check *check;
	const struct check_found *found;
};

static void
check_segment_found(
	void *ctx, uint64_t offset, uint64_t queue_id, const char *what, bool can_repair)
{
	struct check_scan *scan = ctx;
	struct check *check = scan->check;
	const struct segment_header *header = &scan->found->header;
	char path[FINDING_FILE];

	check_path(path, "journal", scan->found->name);
	findings_add(&check->findings, can_repair ? FINDING_PROBLEM : FINDING_ADVICE, path, offset,
		queue_id, what,
		can_repair ? "what is in the queue is copied to a new segment"
			   : "a newer release may know it");
	if (can_repair)
		check->clean_below =
			num_max_u64(check->clean_below, header->base + header->size);
}

static void
check_one_segment(struct check *check, size_t i)
{
	const struct check_found *found = &check->found[i];
	struct check_scan scan = { check, found };
	uint64_t limit = journal_recovered_end(store_journal(check->store));
	struct buf bytes;

	for (size_t j = 0; j < check->found_count; j++)
		if (check->found[j].header.base > found->header.base
			&& check_is_ours(check, &check->found[j]))
			limit = num_min_u64(limit, check->found[j].header.cut);
	buf_init(&bytes, 0);
	if (check_read(check->journal_fd, found->name, 0,
		    (size_t)num_min_u64(found->file_size, found->header.size), &bytes))
		check_segment(buf_slice(&bytes), &found->header, limit, check_segment_found, &scan);
	buf_done(&bytes);
}

static void
check_segments(struct check *check)
{
	for (size_t i = 0; i < check->found_count; i++) {
		const struct check_found *found = &check->found[i];
		bool is_older = i + 1 < check->found_count && check_is_ours(check, found)
				&& check->found[i + 1].header.base == found->header.base;

		if (!check_is_ours(check, found))
			check_bad_segment(check, found->name, "it belongs to another journal");
		else if (found->header.base >= check->first && !is_older)
			check_one_segment(check, i);
		check_progress(check, "segments", i + 1, check->found_count);
	}
}

/* --- checkpoints ---------------------------------------- */

static const char *
check_checkpoint_fault(struct check *check, const char *name, uint64_t lsn)
{
	const char *what = NULL;
	bool is_last = false;
	struct buf block;

	if (lsn > journal_recovered_end(store_journal(check->store)))
		return "a checkpoint that lies behind the journal's end";
	buf_init(&block, 0);
	for (uint64_t number = 0; what == NULL && !is_last; number++) {
		if (!check_read(check->journal_fd, name, number * STORE_CHECKPOINT_BLOCK,
			    STORE_CHECKPOINT_BLOCK, &block))
			what = "a checkpoint that cannot be read";
		else if (block.len == 0)
			what = "a checkpoint without its end";
		else if (!store_checkpoint_check(
				 check->store, buf_slice(&block), lsn, number, &is_last))
			what = "a damaged checkpoint";
	}
	buf_done(&block);
	return what;
}

static void
check_checkpoint(struct check *check, const char *name)
{
	enum finding_kind kind = FINDING_PROBLEM;
	const char *what = NULL;
	char path[FINDING_FILE];
	uint64_t lsn;

	if (!check_starts(name, "index-"))
		return;
	if (corrupt_file_parse_hex(slice_from(slice_str(name), 6), &lsn)) {
		what = check_checkpoint_fault(check, name, lsn);
	} else {
		what = "what a kill left of a checkpoint";
		kind = FINDING_NOTE; /* the next start removes it */
	}
	if (what == NULL)
		return;
	check_path(path, "journal", name);
	findings_add(&check->findings, kind, path, FINDING_NO_OFFSET, 0, what,
		"it is removed; footers and records serve");
	if (check->repairs
		&& (unlinkat(check->journal_fd, name, 0) < 0 || fsync(check->journal_fd) < 0))
		(void)cli_complain(check->cli, EX_IOERR, "%s: %s", path, strerrordesc_np(errno));
}

/* --- large/ ---------------------------------------- */

static void
check_large_file(struct check *check, const char *name)
{
	struct check_large *large = NULL;
	char path[FINDING_FILE], kept[FINDING_FILE];
	uint64_t number;

	if (corrupt_file_parse_hex(slice_str(name), &number))
		HASH_FIND(hh, check->larges, &number, sizeof(number), large);
	if (large != NULL)
		return;
	check_path(path, "large", name);
	(void)snprintf(kept, sizeof(kept), "large-%s", name);
	findings_add(&check->findings, FINDING_PROBLEM, path, FINDING_NO_OFFSET, 0,
		"content that no message owns", "it goes to corrupt/");
	if (check->repairs
		&& (renameat2(check->large_fd, name, check->corrupt_fd, kept, RENAME_NOREPLACE) < 0
			|| fsync(check->corrupt_fd) < 0 || fsync(check->large_fd) < 0))
		(void)cli_complain(check->cli, EX_IOERR, "%s: %s", path, strerrordesc_np(errno));
}

void
check_files_end(struct check *check)
{
	check_segments(check);
	check_each(check, check->journal_fd, check_checkpoint);
	check_each(check, check->large_fd, check_large_file);
}
