/*
 * snapshot.c - copies the files of the queue while mail goes on (see snapshot.h)
 *
 * Of the journal: the segments that the queue manager names, the newest cut at the LSN of the
 * snapshot. Not the checkpoints: they are caches and may know what came later. Of large/: every
 * finished file; one that no message of the copy names is removed at its first start. Not
 * corrupt/, and not maildrop/: what lies there when the command begins is waited for until the
 * running instance has taken it into the queue, so it is in the copy, and held with all else.
 */
#include "cli/snapshot.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "cli/control_client.h"
#include "message/submission.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { SNAPSHOT_CHUNK = 1 << 20, SNAPSHOT_SLOT_MAX = 99999999 };

/* How long mail in maildrop/ is waited for, and how often it is looked for. */
#define SNAPSHOT_MAILDROP_NS (10 * NS_PER_S)
#define SNAPSHOT_LOOK_NS (50 * NS_PER_MS)

static const char snapshot_help[] =
	"usage: ostler snapshot [--time-limit SECONDS] DIR\n"
	"\n"
	"Copies the running queue, exactly as it is now, to DIR, which must not exist or be\n"
	"empty. Mail is taken and delivered meanwhile; only space in the queue is not freed, for\n"
	"at most SECONDS (3600). DIR can be the queue_directory of another instance, which starts\n"
	"held: nothing in it is delivered, bounced or expired until `ostler release ALL`.\n";

struct segment {
	uint32_t slot;
	uint64_t size, bytes;
};

struct snapshot {
	struct cli *cli;
	const char *target;
	char *work; /* DIR.tmp-PID */
	int work_fd;
	uint64_t lsn, time_s, messages;
	struct segment *segments;
	size_t count, room;
	uint64_t files, done_files, copied_bytes;
	bool has_head, is_bad;
	uint8_t *chunk;
	struct mono started, shown;
};

/* --- what is to be copied --------------------------------------------------------------------- */

static bool
snapshot_number(const json_t *object, const char *name, uint64_t max, uint64_t *ret_value)
{
	const json_t *value = json_object_get(object, name);

	if (!json_is_integer(value) || json_integer_value(value) < 0
		|| (uint64_t)json_integer_value(value) > max)
		return false;
	*ret_value = (uint64_t)json_integer_value(value);
	return true;
}

static bool
snapshot_add(struct snapshot *snapshot, const json_t *object)
{
	struct segment segment;
	uint64_t slot;

	if (!snapshot_number(object, "slot", SNAPSHOT_SLOT_MAX, &slot)
		|| !snapshot_number(object, "size", INT64_MAX, &segment.size)
		|| !snapshot_number(object, "bytes", segment.size, &segment.bytes))
		return false;
	segment.slot = (uint32_t)slot;
	if (snapshot->count == snapshot->room) {
		snapshot->room = 2 * snapshot->room + 64;
		snapshot->segments =
			mem_resize(snapshot->segments, snapshot->room, sizeof(segment));
	}
	snapshot->segments[snapshot->count++] = segment;
	return true;
}

/* A refusal is text. */
static void
snapshot_line(void *ctx, struct slice line, bool is_final)
{
	struct snapshot *snapshot = ctx;
	json_t *object = json_loadb((const char *)line.ptr, line.len, 0, NULL);

	(void)is_final;
	if (object == NULL) {
		(void)cli_complain(snapshot->cli, EX_OK, "snapshot: %" SLICE_FMT, SLICE_ARG(line));
	} else if (!snapshot->has_head) {
		snapshot->has_head = true;
		snapshot->is_bad = !snapshot_number(object, "lsn", INT64_MAX, &snapshot->lsn)
			|| !snapshot_number(object, "time", INT64_MAX, &snapshot->time_s)
			|| !snapshot_number(object, "messages", INT64_MAX, &snapshot->messages);
	} else if (json_object_get(object, "slot") != NULL) {
		snapshot->is_bad |= !snapshot_add(snapshot, object);
	}
	json_decref(object);
}

/* --- copying ---------------------------------------------------------------------------------- */

static void
snapshot_progress(struct snapshot *snapshot, bool is_last)
{
	struct mono now = clock_read_mono();

	if (!isatty(STDERR_FILENO) || mono_since_ns(now, snapshot->started) < NS_PER_S
		|| (!is_last && mono_since_ns(now, snapshot->shown) < NS_PER_S))
		return;
	snapshot->shown = now;
	(void)fprintf(stderr, "\r%llu of %llu files, %llu MB%s",
		(unsigned long long)snapshot->done_files, (unsigned long long)snapshot->files,
		(unsigned long long)(snapshot->copied_bytes / 1000000), is_last ? "\n" : "");
}

static int
snapshot_fail(const struct snapshot *snapshot, const char *where, const char *name)
{
	int saved = errno, code = saved == EACCES || saved == EPERM ? EX_NOPERM : EX_IOERR;

	return cli_complain(snapshot->cli, code, "snapshot: %s/%s: %s", where, name,
		strerrordesc_np(saved));
}

/* The first bytes of a file; false: errno. A clone shares them, where the file system can. */
static bool
snapshot_bytes(struct snapshot *snapshot, int from, int to, uint64_t bytes)
{
	uint64_t at = 0;

	if (ioctl(to, FICLONE, from) == 0)
		return ftruncate(to, (off_t)bytes) == 0;
	while (at < bytes) {
		size_t want = (size_t)num_min_u64(bytes - at, SNAPSHOT_CHUNK);
		ssize_t got = pread(from, snapshot->chunk, want, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0)
			errno = EIO; /* shorter than the queue manager said */
		if (got <= 0 || !cli_write(to, slice_make(snapshot->chunk, (size_t)got)))
			return false;
		at += (uint64_t)got;
		snapshot_progress(snapshot, false);
	}
	return true;
}

/* As the original: owner where that may be said, mode. */
static bool
snapshot_own(int to, const struct stat *st)
{
	return (geteuid() != 0 || fchown(to, st->st_uid, st->st_gid) == 0)
	       && fchmod(to, st->st_mode & 07777) == 0;
}

/* segment NULL: a whole file. A file that is gone is not needed. */
static int
snapshot_file(struct snapshot *snapshot, int from_dir, int to_dir, const char *where,
	const char *name, const struct segment *segment)
{
	int from = openat(from_dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), to = -1;
	int exit_code = EX_OK;
	struct stat st;
	uint64_t bytes;

	if (from < 0 && errno == ENOENT && segment == NULL)
		return EX_OK;
	if (from >= 0)
		to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0 || fstat(from, &st) != 0) {
		exit_code = snapshot_fail(snapshot, where, name);
	} else {
		bytes = segment != NULL ? segment->bytes : (uint64_t)st.st_size;
		if (!snapshot_bytes(snapshot, from, to, bytes)
			|| (segment != NULL && ftruncate(to, (off_t)segment->size) != 0)
			|| !snapshot_own(to, &st) || fsync(to) != 0)
			exit_code = snapshot_fail(snapshot, where, name);
		snapshot->copied_bytes += bytes;
	}
	if (from >= 0)
		(void)close(from);
	if (to >= 0)
		(void)close(to);
	snapshot->done_files++;
	snapshot_progress(snapshot, false);
	return exit_code;
}

/* A directory of the queue, here and in the copy, where it is made. */
static int
snapshot_open(struct snapshot *snapshot, const char *name, int *ret_from, int *ret_to)
{
	struct stat st;

	*ret_to = -1;
	*ret_from = openat(snapshot->cli->queue_fd, name,
		O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (*ret_from < 0 || fstat(*ret_from, &st) != 0)
		return snapshot_fail(snapshot, "queue_directory", name);
	if (mkdirat(snapshot->work_fd, name, 0700) != 0)
		return snapshot_fail(snapshot, snapshot->work, name);
	*ret_to = openat(snapshot->work_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (*ret_to < 0 || !snapshot_own(*ret_to, &st))
		return snapshot_fail(snapshot, snapshot->work, name);
	return EX_OK;
}

/* What makes the copy start held. */
static int
snapshot_mark(struct snapshot *snapshot, int journal, const struct stat *owner)
{
	int fd = openat(journal, "copy", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct buf text;
	bool is_good;

	buf_init(&text, 0);
	buf_addf(&text, "Format: ostler-copy 1\nReason: snapshot\nTime: %llu\nLSN: %llu\n",
		(unsigned long long)snapshot->time_s, (unsigned long long)snapshot->lsn);
	is_good = fd >= 0 && cli_write(fd, buf_slice(&text))
		  && (geteuid() != 0 || fchown(fd, owner->st_uid, owner->st_gid) == 0)
		  && fsync(fd) == 0;
	buf_done(&text);
	if (!is_good)
		(void)snapshot_fail(snapshot, snapshot->work, "journal/copy");
	if (fd >= 0)
		(void)close(fd);
	return is_good ? EX_OK : EX_IOERR;
}

static int
snapshot_journal(struct snapshot *snapshot)
{
	int from, to, exit_code = snapshot_open(snapshot, "journal", &from, &to);
	struct stat owner = { 0 };
	char name[24];

	snapshot->files += snapshot->count;
	for (size_t i = 0; exit_code == EX_OK && i < snapshot->count; i++) {
		(void)snprintf(name, sizeof(name), "%08u.seg",
			(unsigned)snapshot->segments[i].slot);
		exit_code = snapshot_file(
			snapshot, from, to, "journal", name, &snapshot->segments[i]);
	}
	if (exit_code == EX_OK && fstat(from, &owner) != 0)
		exit_code = snapshot_fail(snapshot, "queue_directory", "journal");
	if (exit_code == EX_OK)
		exit_code = snapshot_mark(snapshot, to, &owner);
	if (exit_code == EX_OK && fsync(to) != 0)
		exit_code = snapshot_fail(snapshot, snapshot->work, "journal");
	if (from >= 0)
		(void)close(from);
	if (to >= 0)
		(void)close(to);
	return exit_code;
}

/* 16 hexadecimal digits: a file that is being written has .tmp behind them. */
static bool
snapshot_is_large(const char *name)
{
	return strlen(name) == 16 && strspn(name, "0123456789abcdef") == 16;
}

static int
snapshot_large(struct snapshot *snapshot)
{
	int from, to, exit_code = snapshot_open(snapshot, "large", &from, &to);
	int listed = exit_code == EX_OK ? dup(from) : -1;
	DIR *dir = listed >= 0 ? fdopendir(listed) : NULL;
	const struct dirent *entry;

	if (exit_code == EX_OK && dir == NULL)
		exit_code = snapshot_fail(snapshot, "queue_directory", "large");
	while (exit_code == EX_OK && (errno = 0, entry = readdir(dir)) != NULL)
		if (snapshot_is_large(entry->d_name)) {
			snapshot->files++;
			exit_code = snapshot_file(snapshot, from, to, "large", entry->d_name, NULL);
		}
	if (exit_code == EX_OK && (errno != 0 || fsync(to) != 0))
		exit_code = snapshot_fail(snapshot, snapshot->work, "large");
	if (dir != NULL)
		(void)closedir(dir);
	if (from >= 0)
		(void)close(from);
	if (to >= 0)
		(void)close(to);
	return exit_code;
}

/* --- maildrop --------------------------------------------------------------------------------- */

/* Mail that sendmail had put there by that time, without what is not sendmail's. */
static unsigned
snapshot_maildrop_count(DIR *dir, const struct timespec *until)
{
	const struct dirent *entry;
	unsigned count = 0;
	struct stat st;

	rewinddir(dir);
	while ((entry = readdir(dir)) != NULL)
		if (submission_name_is_valid(slice_str(entry->d_name))
			&& fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0
			&& S_ISREG(st.st_mode) && st.st_nlink == 1
			&& (st.st_ctim.tv_sec < until->tv_sec
				|| (st.st_ctim.tv_sec == until->tv_sec
					&& st.st_ctim.tv_nsec <= until->tv_nsec)))
			count++;
	return count;
}

/* What the instance does not take (a full journal, a broken file) cannot stop a snapshot. */
static int
snapshot_maildrop(struct snapshot *snapshot)
{
	const struct timespec pause = { .tv_nsec = SNAPSHOT_LOOK_NS };
	int fd = openat(snapshot->cli->queue_fd, "maildrop",
		O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	uint64_t now_us = clock_read().wall.us;
	struct timespec now = { .tv_sec = (time_t)(now_us / US_PER_S),
		.tv_nsec = (long)(now_us % US_PER_S * 1000) };
	unsigned count;

	if (dir == NULL) {
		int exit_code = snapshot_fail(snapshot, "queue_directory", "maildrop");

		if (fd >= 0)
			(void)close(fd);
		return exit_code;
	}
	while ((count = snapshot_maildrop_count(dir, &now)) > 0
		&& mono_since_ns(clock_read_mono(), snapshot->started) < SNAPSHOT_MAILDROP_NS)
		(void)nanosleep(&pause, NULL);
	(void)closedir(dir);
	if (count > 0)
		(void)cli_complain(snapshot->cli, EX_OK,
			"snapshot: %u messages in maildrop/ are not taken into the queue (see the "
			"log): they are not in the copy",
			count);
	return EX_OK;
}

/* --- the directory ---------------------------------------------------------------------------- */

static bool
snapshot_is_empty(DIR *dir)
{
	const struct dirent *entry;

	while ((entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return false;
	return true;
}

static int
snapshot_check_target(const struct snapshot *snapshot)
{
	DIR *dir = opendir(snapshot->target);
	bool is_empty;

	if (dir == NULL)
		return errno == ENOENT ? EX_OK
				       : cli_complain(snapshot->cli, EX_CANTCREAT,
						 "snapshot: %s: %s", snapshot->target,
						 strerrordesc_np(errno));
	is_empty = snapshot_is_empty(dir);
	(void)closedir(dir);
	return is_empty ? EX_OK
			: cli_complain(snapshot->cli, EX_CANTCREAT,
				  "snapshot: %s is there already and not empty", snapshot->target);
}

static void
snapshot_remove_below(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		(void)unlinkat(fd, entry->d_name, 0);
	if (dir != NULL)
		(void)closedir(dir);
	(void)unlinkat(parent, name, AT_REMOVEDIR);
}

static void
snapshot_remove_content(int work)
{
	snapshot_remove_below(work, "journal");
	snapshot_remove_below(work, "large");
}

static void
snapshot_remove_work(struct snapshot *snapshot)
{
	if (snapshot->work_fd < 0)
		return;
	snapshot_remove_content(snapshot->work_fd);
	(void)rmdir(snapshot->work);
}

/* A directory of ours that no process has locked: its snapshot was killed. */
static void
snapshot_remove_leftover(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0) {
		snapshot_remove_content(fd);
		(void)unlinkat(parent, name, AT_REMOVEDIR);
	}
	(void)close(fd);
}

/* DIR.tmp-PID of snapshots of the same DIR; the queue manager lets only one be made at a time. */
static void
snapshot_remove_leftovers(const struct snapshot *snapshot)
{
	const char *slash = strrchr(snapshot->target, '/'), *entry_name;
	struct buf path, prefix;
	const struct dirent *entry;
	DIR *dir;

	buf_init(&path, 0);
	buf_init(&prefix, 0);
	if (slash == NULL)
		buf_add_str(&path, ".");
	else
		buf_add(&path, slice_make(snapshot->target,
				       (size_t)(slash - snapshot->target) + 1));
	buf_add(&path, slice_make("", 1));
	buf_addf(&prefix, "%s.tmp-", slash == NULL ? snapshot->target : slash + 1);
	dir = opendir((const char *)path.ptr);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		entry_name = entry->d_name;
		if (slice_equal(slice_head(slice_str(entry_name), prefix.len), buf_slice(&prefix))
			&& strlen(entry_name) > prefix.len
			&& strspn(entry_name + prefix.len, "0123456789")
				   == strlen(entry_name) - prefix.len)
			snapshot_remove_leftover(dirfd(dir), entry_name);
	}
	if (dir != NULL)
		(void)closedir(dir);
	buf_done(&path);
	buf_done(&prefix);
}

/* Locked, so that it can be told from what a killed one left. */
static int
snapshot_make_work(struct snapshot *snapshot)
{
	struct buf path;

	snapshot_remove_leftovers(snapshot);
	buf_init(&path, 0);
	buf_addf(&path, "%s.tmp-%ld", snapshot->target, (long)getpid());
	snapshot->work = mem_strndup((const char *)path.ptr, path.len);
	buf_done(&path);
	if (mkdir(snapshot->work, 0755) == 0)
		snapshot->work_fd = open(snapshot->work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (snapshot->work_fd >= 0 && flock(snapshot->work_fd, LOCK_EX | LOCK_NB) == 0)
		return EX_OK;
	return cli_complain(snapshot->cli, EX_CANTCREAT, "snapshot: %s: %s", snapshot->work,
		strerrordesc_np(errno));
}

/* The copy gets its name; that is durable too. */
static int
snapshot_publish(struct snapshot *snapshot)
{
	struct buf path;
	int dir;

	if (fsync(snapshot->work_fd) != 0 || rename(snapshot->work, snapshot->target) != 0)
		return cli_complain(snapshot->cli, EX_CANTCREAT, "snapshot: %s: %s",
			snapshot->target, strerrordesc_np(errno));
	buf_init(&path, 0);
	buf_addf(&path, "%s/..", snapshot->target);
	buf_add(&path, slice_make("", 1));
	dir = open((const char *)path.ptr, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	buf_done(&path);
	if (dir < 0 || fsync(dir) != 0)
		(void)cli_complain(snapshot->cli, EX_OK, "snapshot: %s: its name is not synced: %s",
			snapshot->target, strerrordesc_np(errno));
	if (dir >= 0)
		(void)close(dir);
	return EX_OK;
}

/* --- the command ------------------------------------------------------------------------------ */

static int
snapshot_copy(struct snapshot *snapshot, struct control_session *session, const char *limit)
{
	const char *words[2] = { "begin", limit };
	const char *last = "end";
	int exit_code = snapshot_maildrop(snapshot);

	if (exit_code == EX_OK)
		exit_code = control_session_ask(session, "snapshot", words, limit != NULL ? 2 : 1,
			snapshot_line, snapshot);
	if (exit_code == EX_OK && (snapshot->is_bad || snapshot->count == 0))
		exit_code = cli_complain(snapshot->cli, EX_PROTOCOL,
			"the queue manager's answer is not understood");
	if (exit_code == EX_OK)
		exit_code = snapshot_make_work(snapshot);
	if (exit_code == EX_OK)
		exit_code = snapshot_journal(snapshot);
	if (exit_code == EX_OK)
		exit_code = snapshot_large(snapshot);
	if (exit_code == EX_OK)
		exit_code = control_session_ask(
			session, "snapshot", &last, 1, snapshot_line, snapshot);
	if (exit_code == EX_OK)
		exit_code = snapshot_publish(snapshot);
	return exit_code;
}

static int
snapshot_make(struct cli *cli, const char *target, const char *limit)
{
	struct snapshot snapshot = { .cli = cli, .target = target, .work_fd = -1,
		.started = clock_read_mono() };
	struct control_session session = { .fd = -1 };
	int exit_code = snapshot_check_target(&snapshot);

	snapshot.chunk = mem_array(SNAPSHOT_CHUNK, 1);
	if (exit_code == EX_OK)
		exit_code = control_session_open(&session, cli);
	if (exit_code == EX_OK)
		exit_code = snapshot_copy(&snapshot, &session, limit);
	control_session_close(&session);
	snapshot_progress(&snapshot, true);
	if (exit_code == EX_OK)
		(void)printf("%s: %llu messages, %llu files, %llu bytes\n", target,
			(unsigned long long)snapshot.messages,
			(unsigned long long)snapshot.files,
			(unsigned long long)snapshot.copied_bytes);
	else
		snapshot_remove_work(&snapshot);
	if (snapshot.work_fd >= 0)
		(void)close(snapshot.work_fd);
	mem_free(snapshot.work);
	mem_free(snapshot.segments);
	mem_free(snapshot.chunk);
	return exit_code;
}

int
snapshot_run(struct cli *cli, int argc, char **argv)
{
	const char *limit = NULL;
	char *target;
	uint64_t seconds;
	size_t len;
	int exit_code;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		(void)fputs(snapshot_help, stdout);
		return EX_OK;
	}
	if (argc == 4 && strcmp(argv[1], "--time-limit") == 0) {
		limit = argv[2];
		if (num_parse_u64(slice_str(limit), 1, 604800, &seconds) < 0)
			return cli_complain(cli, EX_USAGE,
				"snapshot: --time-limit %s: seconds from 1 to 604800 are wanted",
				limit);
		argv += 2;
		argc -= 2;
	}
	if (argc != 2 || argv[1][0] == '-' || argv[1][0] == '\0')
		return cli_complain(cli, EX_USAGE,
			"snapshot: one directory is wanted (see %s snapshot --help)", cli->program);
	len = strlen(argv[1]);
	while (len > 1 && argv[1][len - 1] == '/')
		len--;
	target = mem_strndup(argv[1], len);
	exit_code = snapshot_make(cli, target, limit);
	mem_free(target);
	return exit_code;
}
