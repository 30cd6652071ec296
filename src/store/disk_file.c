/*
 * disk_file.c - threads and system calls behind struct disk (see disk_file.h)
 */
#include "store/disk_file.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/wire.h"
#include "store/disk_direct.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
	DISK_FILE_CALM = 1 << 17, /* bytes that are read or flushed at once, where there are many */
	DISK_FILE_SHORT = 1 << 19, /* a write that a piece would hold up for long, as it goes */
	DISK_FILE_SHORTEN = 1 << 20,
	DISK_FILE_EASE = 4, /* after a piece of a file was freed, rest so many times as long */
	DISK_FILE_SERIES = 8,
	DISK_FILE_NAME = 24,
};

#define DISK_FILE_YIELD_NS (2 * NS_PER_MS) /* the longest that a piece waits for a write */
#define DISK_FILE_REST_NS (20 * NS_PER_MS)

struct disk_queue {
	struct disk_op *head, **tail;
	pthread_cond_t ready;
};

/* Where reads of single records are, in pieces of DISK_FILE_CALM. */
struct disk_series {
	uint32_t slot;
	uint64_t piece;
};

struct disk_file {
	struct disk disk; /* first */
	int journal_dir;
	int corrupt_dir;
	int large_dir;
	disk_file_wake_fn *wake;
	void *ctx;
	pthread_mutex_t lock; /* guards all below */
	struct disk_queue writes, others, slow;
	pthread_cond_t written; /* a write has ended, and somebody wants to know */
	unsigned unwritten;	/* short writes that wait or run */
	uint64_t write_count;	/* that have ended */
	unsigned yielding;
	struct disk_series series[DISK_FILE_SERIES];
	unsigned series_next;
	struct disk_op *finished, **finished_tail;
	int *fds; /* by slot; -1: not open */
	struct disk_direct direct;
	atomic_bool hurried;
	bool stopping;
	pthread_t writer, slow_one;
	pthread_t pool[DISK_FILE_POOL];
};

/* --- queues ----------------------------------------------------------------------------------- */

static void
disk_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attributes;

	CHECK(pthread_condattr_init(&attributes) == 0);
	CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
	CHECK(pthread_cond_init(cond, &attributes) == 0);
	(void)pthread_condattr_destroy(&attributes);
}

static void
disk_queue_init(struct disk_queue *queue)
{
	queue->head = NULL;
	queue->tail = &queue->head;
	disk_cond_init(&queue->ready);
}

static void
disk_queue_push(struct disk_queue *queue, struct disk_op *op)
{
	op->next = NULL;
	*queue->tail = op;
	queue->tail = &op->next;
}

static struct disk_op *
disk_queue_pop(struct disk_queue *queue)
{
	struct disk_op *op = queue->head;

	if (op != NULL) {
		queue->head = op->next;
		if (queue->head == NULL)
			queue->tail = &queue->head;
	}
	return op;
}

static bool
disk_op_is_short_write(const struct disk_op *op)
{
	return op->kind == DISK_WRITE && op->bytes.len <= DISK_FILE_SHORT;
}

static struct disk_queue *
disk_file_queue(struct disk_file *file, const struct disk_op *op)
{
	if (op->kind == DISK_WRITE)
		return &file->writes;
	return op->kind == DISK_PREPARE || op->kind == DISK_ZERO || op->kind == DISK_REMOVE
			       || op->kind == DISK_FILE_REMOVE
		       ? &file->slow
		       : &file->others;
}

static void
disk_file_submit(struct disk *disk, struct disk_op *op)
{
	struct disk_file *file = (struct disk_file *)disk;
	struct disk_queue *queue = disk_file_queue(file, op);

	(void)pthread_mutex_lock(&file->lock);
	file->unwritten += disk_op_is_short_write(op);
	disk_queue_push(queue, op);
	(void)pthread_mutex_unlock(&file->lock);
	/* Only now: who wakes up while the lock is held goes to sleep again at once. */
	(void)pthread_cond_signal(&queue->ready);
}

/* --- who goes first --------------------------------------------------------------------------- */

/* Absolute, for a condition that waits by the monotonic clock. */
static struct timespec
disk_file_after(uint64_t ns)
{
	uint64_t at = clock_read_mono().ns + ns;

	return (struct timespec) { (time_t)(at / NS_PER_S), (long)(at % NS_PER_S) };
}

/*
 * Before each piece of something long: a short write to the journal that waits or runs ends first,
 * unless the disk is slow. A client waits for it, and on the device it would stand behind the
 * piece.
 */
static void
disk_file_yield(struct disk_file *file)
{
	struct timespec until = disk_file_after(DISK_FILE_YIELD_NS);
	uint64_t count;

	(void)pthread_mutex_lock(&file->lock);
	count = file->write_count;
	file->yielding++;
	while (file->unwritten > 0 && file->write_count == count && !file->stopping)
		if (pthread_cond_timedwait(&file->written, &file->lock, &until) != 0)
			break;
	file->yielding--;
	(void)pthread_mutex_unlock(&file->lock);
}

/* A rest for the device, unless somebody waits for the thread that nobody should wait for. */
static void
disk_file_rest(struct disk_file *file, uint64_t ns)
{
	struct timespec until = disk_file_after(num_min_u64(ns, DISK_FILE_REST_NS));

	(void)pthread_mutex_lock(&file->lock);
	while (file->slow.head == NULL && !file->stopping)
		if (pthread_cond_timedwait(&file->slow.ready, &file->lock, &until) != 0)
			break;
	(void)pthread_mutex_unlock(&file->lock);
}

/* --- system calls ----------------------------------------------------------------------------- */

static void
disk_op_fail(struct disk_op *op, int sys_errno)
{
	op->sys_errno = sys_errno;
	op->err = sys_errno == ENOSPC || sys_errno == EDQUOT ? ERR_NOSPACE
		: sys_errno == ENOENT				     ? ERR_NOTFOUND
								     : ERR_IO;
}

static void
disk_file_name(uint32_t slot, char name[DISK_FILE_NAME])
{
	(void)snprintf(name, DISK_FILE_NAME, "%08u.seg", (unsigned)slot);
}

/* The slot's descriptor, opened on first use; -1 with errno. */
static int
disk_file_fd(struct disk_file *file, uint32_t slot, int flags)
{
	char name[DISK_FILE_NAME];
	int fd;

	CHECK(slot < DISK_FILE_SLOTS);
	(void)pthread_mutex_lock(&file->lock);
	fd = file->fds[slot];
	if (fd < 0) {
		disk_file_name(slot, name);
		fd = openat(file->journal_dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
		file->fds[slot] = fd;
	}
	(void)pthread_mutex_unlock(&file->lock);
	return fd;
}

static void
disk_file_forget(struct disk_file *file, uint32_t slot)
{
	(void)pthread_mutex_lock(&file->lock);
	if (file->fds[slot] >= 0)
		(void)close(file->fds[slot]);
	file->fds[slot] = -1;
	if (file->direct.slot == slot)
		disk_direct_close(&file->direct);
	(void)pthread_mutex_unlock(&file->lock);
}

/* 0 or an errno. */
static int
disk_file_pwrite(int fd, struct slice bytes, uint64_t offset)
{
	while (bytes.len > 0) {
		ssize_t done = pwrite(fd, bytes.ptr, bytes.len, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done < 0 ? errno : EIO;
		bytes = slice_from(bytes, (size_t)done);
		offset += (uint64_t)done;
	}
	return 0;
}

/*
 * Writes much, and waits for each piece to reach the disk before it begins the next: else a
 * later fsync would flush all of it at once, and the journal's flushes would stand behind it for
 * tens of milliseconds. This is pace, not safety: whoever needs the bytes to be stable calls
 * fsync. 0 or an errno.
 */
static int
disk_file_pwrite_calm(struct disk_file *file, int fd, struct slice bytes, uint64_t offset)
{
	while (bytes.len > 0) {
		struct slice piece = slice_head(bytes, DISK_FILE_CALM);
		int sys_errno;

		disk_file_yield(file);
		sys_errno = disk_file_pwrite(fd, piece, offset);
		if (sys_errno != 0)
			return sys_errno;
		/* An error of the disk shows here, and then not in fsync; others mean that the file
		 * system has no such call. */
		if (sync_file_range(fd, (off_t)offset, (off_t)piece.len,
			    SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER)
				!= 0
			&& (errno == EIO || errno == ENOSPC || errno == EDQUOT))
			return errno;
		bytes = slice_from(bytes, piece.len);
		offset += piece.len;
	}
	return 0;
}

/* Reads until `len` bytes or the end of the file; -1 with errno. */
static ssize_t
disk_file_pread(int fd, uint8_t *to, size_t len, uint64_t offset)
{
	size_t got = 0;

	while (got < len) {
		ssize_t done = pread(fd, to + got, len - got, (off_t)(offset + got));

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -1;
		if (done == 0)
			break;
		got += (size_t)done;
	}
	return (ssize_t)got;
}

static bool
disk_file_slot_of(const char *name, uint32_t *ret_slot)
{
	struct slice text = slice_str(name);
	uint64_t slot;

	if (text.len != 12 || !slice_equal_str(slice_from(text, 8), ".seg")
		|| num_parse_u64(slice_head(text, 8), 0, DISK_FILE_SLOTS - 1, &slot) < 0)
		return false;
	*ret_slot = (uint32_t)slot;
	return true;
}

static void
disk_file_list(struct disk_file *file, struct disk_op *op)
{
	int fd = openat(file->journal_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	if (dir == NULL) {
		disk_op_fail(op, errno);
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	while ((entry = readdir(dir)) != NULL) {
		struct stat st;
		uint32_t slot;

		if (!disk_file_slot_of(entry->d_name, &slot)
			|| fstatat(file->journal_dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0
			|| !S_ISREG(st.st_mode))
			continue;
		wire_put_u32(&op->list, slot);
		wire_put_u64(&op->list, (uint64_t)st.st_size);
	}
	(void)closedir(dir);
}

/* A file so short that all of it may be flushed at once is not worth the waits. */
static int
disk_file_fill(struct disk_file *file, int fd, uint64_t from, uint64_t length,
	const atomic_bool *calm)
{
	uint8_t *zeroes = mem_array(DISK_FILE_CALM, 1);
	bool is_long = length > DISK_FILE_SHORTEN;
	int sys_errno = 0;

	for (uint64_t at = from; at < length && sys_errno == 0; at += DISK_FILE_CALM) {
		struct slice piece = slice_make(zeroes, num_min_u64(DISK_FILE_CALM, length - at));

		if (is_long && atomic_load(calm) && !atomic_load(&file->hurried))
			sys_errno = disk_file_pwrite_calm(file, fd, piece, at);
		else
			sys_errno = disk_file_pwrite(fd, piece, at);
	}
	mem_free(zeroes);
	if (sys_errno == 0 && fsync(fd) != 0)
		sys_errno = errno;
	/* What is in the page cache would be thrown out of it write by write (disk_direct.h). */
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return sys_errno;
}

static void
disk_file_prepare(struct disk_file *file, struct disk_op *op)
{
	char name[DISK_FILE_NAME];
	int fd = disk_file_fd(file, op->slot, O_CREAT | O_EXCL), sys_errno;

	if (fd < 0) {
		disk_op_fail(op, errno);
		return;
	}
	sys_errno = disk_file_fill(file, fd, 0, op->length, &op->calm);
	if (sys_errno == 0 && fsync(file->journal_dir) != 0)
		sys_errno = errno;
	if (sys_errno == 0)
		return;
	disk_op_fail(op, sys_errno);
	disk_file_forget(file, op->slot);
	disk_file_name(op->slot, name);
	(void)unlinkat(file->journal_dir, name, 0);
}

/* The header goes last: while it is there, recovery knows the file as one out of use. */
static void
disk_file_zero(struct disk_file *file, struct disk_op *op)
{
	int fd = disk_file_fd(file, op->slot, 0);
	int sys_errno = fd < 0 ? errno
			       : disk_file_fill(file, fd, DISK_ALIGN, op->length, &op->calm);

	if (sys_errno == 0)
		sys_errno = disk_file_fill(file, fd, 0, DISK_ALIGN, &op->calm);
	if (sys_errno != 0)
		disk_op_fail(op, sys_errno);
}

/* The writer's, past the page cache. Most writes go to the same slot as the one before. */
static int
disk_file_direct(struct disk_file *file, uint32_t slot)
{
	char name[DISK_FILE_NAME];
	int fd;

	disk_file_name(slot, name);
	(void)pthread_mutex_lock(&file->lock);
	fd = disk_direct_open(&file->direct, file->journal_dir, name, slot);
	(void)pthread_mutex_unlock(&file->lock);
	return fd;
}

static void
disk_file_write(struct disk_file *file, struct disk_op *op)
{
	int fd = disk_file_fd(file, op->slot, 0), sys_errno;
	struct slice rest = op->bytes;
	uint64_t offset = op->offset;

	if (fd < 0) {
		disk_op_fail(op, errno);
		return;
	}
	sys_errno = disk_direct_is_possible(rest, offset)
		? disk_direct_write(disk_file_direct(file, op->slot), &rest, &offset)
		: 0;
	if (sys_errno == 0)
		sys_errno = disk_file_pwrite(fd, rest, offset);
	if (sys_errno == 0 && op->flush && fdatasync(fd) != 0)
		sys_errno = errno;
	if (sys_errno != 0)
		disk_op_fail(op, sys_errno);
}

/* A descriptor that bypasses the page cache; where the file system has none, an ordinary one. */
static int
disk_file_open_read(struct disk_file *file, const struct disk_op *op)
{
	char name[DISK_FILE_NAME];
	int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW, fd = -1;

	disk_file_name(op->slot, name);
	if (op->direct)
		fd = openat(file->journal_dir, name, flags | O_DIRECT);
	if (fd < 0)
		fd = openat(file->journal_dir, name, flags);
	return fd;
}

/*
 * Whether the piece where this read begins follows one that was read lately. A few series are
 * told apart: messages and their states lie in different places.
 */
static bool
disk_file_is_series(struct disk_file *file, const struct disk_op *op)
{
	struct disk_series here = { op->slot, op->offset / DISK_FILE_CALM }, *to = NULL;
	bool is_next = false, is_known = false;

	(void)pthread_mutex_lock(&file->lock);
	for (size_t i = 0; i < DISK_FILE_SERIES && !is_known; i++) {
		struct disk_series *at = &file->series[i];

		is_known = at->slot == here.slot && at->piece == here.piece;
		if (at->slot == here.slot && at->piece + 1 == here.piece)
			to = at;
	}
	is_next = !is_known && to != NULL;
	if (to == NULL)
		to = &file->series[file->series_next++ % DISK_FILE_SERIES];
	if (!is_known)
		*to = here;
	(void)pthread_mutex_unlock(&file->lock);
	return is_next;
}

/*
 * The system reads ahead as far as the administrator said, which may be megabytes, and a flush
 * would stand behind all of it. So it is told not to; where records are read one behind the other
 * their piece is asked for.
 */
static void
disk_file_advise(struct disk_file *file, const struct disk_op *op, int fd)
{
	bool is_short = op->length < DISK_FILE_CALM;

	if (op->direct || (!is_short && !op->calm))
		return;
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	if (is_short && disk_file_is_series(file, op))
		(void)posix_fadvise(fd, (off_t)(op->offset - op->offset % DISK_FILE_CALM),
			DISK_FILE_CALM, POSIX_FADV_WILLNEED);
}

/* In pieces, if it is calm; -1 with errno. */
static ssize_t
disk_file_pread_op(
	struct disk_file *file, const struct disk_op *op, int fd, uint8_t *to, size_t len)
{
	size_t most = op->calm ? DISK_FILE_CALM : len, got = 0;

	while (got < len) {
		size_t piece = num_min_u64(most, len - got);
		ssize_t done;

		if (op->calm)
			disk_file_yield(file);
		done = disk_file_pread(fd, to + got, piece, op->offset + got);
		if (done < 0)
			return -1;
		got += (size_t)done;
		if ((size_t)done < piece)
			break;
	}
	if (op->calm) /* as in disk_file_fill(): nobody reads it twice */
		(void)posix_fadvise(fd, (off_t)op->offset, (off_t)got, POSIX_FADV_DONTNEED);
	return (ssize_t)got;
}

static void
disk_file_read(struct disk_file *file, struct disk_op *op)
{
	size_t len = num_align_u64(op->length, DISK_ALIGN);
	int fd = disk_file_open_read(file, op);
	uint8_t *memory = mem_try(len + DISK_ALIGN), *aligned;
	ssize_t got = -1;

	if (fd < 0 || memory == NULL) {
		disk_op_fail(op, fd < 0 ? errno : ENOMEM);
	} else {
		aligned = memory + (DISK_ALIGN - (uintptr_t)memory % DISK_ALIGN);
		disk_file_advise(file, op, fd);
		got = disk_file_pread_op(file, op, fd, aligned, len);
		if (got < 0)
			disk_op_fail(op, errno);
		else if (buf_append(&op->list,
				 slice_head(slice_make(aligned, (size_t)got), op->length))
			< 0)
			disk_op_fail(op, ENOMEM);
	}
	mem_free(memory);
	if (fd >= 0)
		(void)close(fd);
}

static void
disk_file_sync(struct disk_file *file, struct disk_op *op)
{
	int fd = disk_file_fd(file, op->slot, 0);

	if (fd < 0 || fsync(fd) != 0 || fsync(file->journal_dir) != 0)
		disk_op_fail(op, errno);
}

/*
 * Makes a file that nobody needs short, piece by piece from its end: to unlink one of 100 MB at
 * once frees pages and blocks (where the file system discards: on the device too) for some 30 ms,
 * and flushes of the journal stand behind it. Discards go on in the device for a while, hence the
 * rests.
 */
static void
disk_file_shorten(struct disk_file *file, int dir, const char *name)
{
	int fd = openat(dir, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;

	for (; end > DISK_FILE_SHORTEN; end -= DISK_FILE_SHORTEN) {
		struct mono began;

		disk_file_yield(file);
		began = clock_read_mono();
		if (ftruncate(fd, end - DISK_FILE_SHORTEN) != 0)
			break;
		disk_file_rest(file, DISK_FILE_EASE * mono_since_ns(clock_read_mono(), began));
	}
	if (fd >= 0)
		(void)close(fd);
}

static void
disk_file_remove(struct disk_file *file, struct disk_op *op)
{
	char name[DISK_FILE_NAME];

	disk_file_forget(file, op->slot);
	disk_file_name(op->slot, name);
	disk_file_shorten(file, file->journal_dir, name);
	if (unlinkat(file->journal_dir, name, 0) != 0 || fsync(file->journal_dir) != 0)
		disk_op_fail(op, errno);
}

static void
disk_file_space(struct disk_file *file, struct disk_op *op)
{
	struct statvfs st;

	if (fstatvfs(file->journal_dir, &st) != 0)
		disk_op_fail(op, errno);
	else
		op->length = (uint64_t)st.f_bavail * st.f_frsize;
}

static void
disk_file_retire(struct disk_file *file, struct disk_op *op)
{
	char name[DISK_FILE_NAME], retired[DISK_FILE_NAME + 4];

	disk_file_forget(file, op->slot);
	disk_file_name(op->slot, name);
	(void)snprintf(retired, sizeof(retired), "bad-%s", name);
	if (renameat(file->journal_dir, name, file->journal_dir, retired) != 0
		|| fsync(file->journal_dir) != 0)
		disk_op_fail(op, errno);
}

/* Whole or not at all: what is there under its name counts as kept. */
static void
disk_file_save(struct disk_file *file, struct disk_op *op)
{
	char name[DISK_NAME_SIZE + sizeof(DISK_TEMPORARY)];
	int dir = file->corrupt_dir, sys_errno, fd;

	(void)snprintf(name, sizeof(name), "%s%s", op->name, DISK_TEMPORARY);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		disk_op_fail(op, errno);
		return;
	}
	sys_errno = disk_file_pwrite(fd, op->bytes, 0);
	if (sys_errno == 0 && fsync(fd) != 0)
		sys_errno = errno;
	if (sys_errno == 0 && renameat2(dir, name, dir, op->name, RENAME_NOREPLACE) != 0)
		sys_errno = errno;
	if (sys_errno != 0)
		(void)unlinkat(dir, name, 0);
	if ((sys_errno == 0 || sys_errno == EEXIST) && fsync(dir) != 0)
		sys_errno = errno;
	if (sys_errno != 0 && sys_errno != EEXIST)
		disk_op_fail(op, sys_errno);
	(void)close(fd);
}

/* --- files of areas --------------------------------------------------------------------------- */

#define DISK_INDEX_PREFIX "index-"

enum { DISK_AREA_NAME = DISK_NAME_SIZE + 16 };

static int
disk_area_dir(const struct disk_file *file, const struct disk_op *op)
{
	return op->area == DISK_AREA_LARGE ? file->large_dir : file->journal_dir;
}

static const char *
disk_area_prefix(const struct disk_op *op)
{
	return op->area == DISK_AREA_LARGE ? "" : DISK_INDEX_PREFIX;
}

static void
disk_area_name(const struct disk_op *op, const char *suffix, char name[DISK_AREA_NAME])
{
	(void)snprintf(name, DISK_AREA_NAME, "%s%s%s", disk_area_prefix(op), op->name, suffix);
}

static int
disk_area_open(struct disk_file *file, const struct disk_op *op, char name[DISK_AREA_NAME])
{
	disk_area_name(op, DISK_TEMPORARY, name);
	return openat(disk_area_dir(file, op), name,
		O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (op->offset == 0 ? O_TRUNC : 0),
		0600);
}

static void
disk_area_append(struct disk_file *file, struct disk_op *op)
{
	char name[DISK_AREA_NAME];
	int fd = disk_area_open(file, op, name);
	int sys_errno = fd >= 0 ? disk_file_pwrite_calm(file, fd, op->bytes, op->offset) : errno;

	if (sys_errno != 0)
		disk_op_fail(op, sys_errno);
	if (fd >= 0)
		(void)close(fd);
}

static void
disk_area_finish(struct disk_file *file, struct disk_op *op)
{
	char name[DISK_AREA_NAME], final[DISK_AREA_NAME];
	int dir = disk_area_dir(file, op), fd;

	disk_area_name(op, DISK_TEMPORARY, name);
	disk_area_name(op, "", final);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fsync(fd) != 0 || renameat(dir, name, dir, final) != 0 || fsync(dir) != 0)
		disk_op_fail(op, errno);
	if (fd >= 0)
		(void)close(fd);
}

static void
disk_area_remove(struct disk_file *file, struct disk_op *op)
{
	char name[DISK_AREA_NAME];
	int dir = disk_area_dir(file, op);

	disk_area_name(op, "", name);
	disk_file_shorten(file, dir, name);
	if (unlinkat(dir, name, 0) != 0 || fsync(dir) != 0)
		disk_op_fail(op, errno);
}

/* One that is kept already stays, and so does this one. */
static void
disk_area_keep(struct disk_file *file, struct disk_op *op)
{
	char name[DISK_AREA_NAME], kept[DISK_AREA_NAME + 8];
	int dir = disk_area_dir(file, op);

	disk_area_name(op, "", name);
	(void)snprintf(kept, sizeof(kept), "large-%s", op->name);
	if (renameat2(dir, name, file->corrupt_dir, kept, RENAME_NOREPLACE) != 0
		|| fsync(file->corrupt_dir) != 0 || fsync(dir) != 0)
		disk_op_fail(op, errno);
}

static void
disk_area_list(struct disk_file *file, struct disk_op *op)
{
	int area = disk_area_dir(file, op);
	int fd = openat(area, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct slice prefix = slice_str(disk_area_prefix(op));
	struct dirent *entry;

	if (dir == NULL) {
		disk_op_fail(op, errno);
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	while ((entry = readdir(dir)) != NULL) {
		struct slice name = slice_str(entry->d_name);
		struct stat st;

		if (slice_equal(slice_head(name, prefix.len), prefix)
			&& fstatat(area, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0
			&& S_ISREG(st.st_mode))
			wire_put_bytes(&op->list, slice_from(name, prefix.len));
	}
	(void)closedir(dir);
}

static void
disk_area_read(struct disk_file *file, struct disk_op *op)
{
	char name[DISK_AREA_NAME];
	uint8_t *memory = mem_try(op->length + 1);
	ssize_t got = -1;
	int fd;

	disk_area_name(op, "", name);
	fd = openat(disk_area_dir(file, op), name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || memory == NULL) {
		disk_op_fail(op, fd < 0 ? errno : ENOMEM);
	} else {
		got = disk_file_pread(fd, memory, op->length, op->offset);
		if (got < 0)
			disk_op_fail(op, errno);
		else if (buf_append(&op->list, slice_make(memory, (size_t)got)) < 0)
			disk_op_fail(op, ENOMEM);
	}
	mem_free(memory);
	if (fd >= 0)
		(void)close(fd);
}

static void
disk_file_run(struct disk_file *file, struct disk_op *op)
{
	op->err = ERR_OK;
	op->sys_errno = 0;
	switch (op->kind) {
	case DISK_LIST:
		disk_file_list(file, op);
		break;
	case DISK_PREPARE:
		disk_file_prepare(file, op);
		break;
	case DISK_ZERO:
		disk_file_zero(file, op);
		break;
	case DISK_WRITE:
		disk_file_write(file, op);
		break;
	case DISK_READ:
		disk_file_read(file, op);
		break;
	case DISK_SYNC:
		disk_file_sync(file, op);
		break;
	case DISK_REMOVE:
		disk_file_remove(file, op);
		break;
	case DISK_SAVE:
		disk_file_save(file, op);
		break;
	case DISK_SPACE:
		disk_file_space(file, op);
		break;
	case DISK_RETIRE:
		disk_file_retire(file, op);
		break;
	case DISK_FILE_APPEND:
		disk_area_append(file, op);
		break;
	case DISK_FILE_FINISH:
		disk_area_finish(file, op);
		break;
	case DISK_FILE_REMOVE:
		disk_area_remove(file, op);
		break;
	case DISK_FILE_KEEP:
		disk_area_keep(file, op);
		break;
	case DISK_FILE_LIST:
		disk_area_list(file, op);
		break;
	case DISK_FILE_READ:
		disk_area_read(file, op);
		break;
	}
}

/* --- threads ---------------------------------------------------------------------------------- */

static void
disk_file_work(struct disk_file *file, struct disk_queue *queue)
{
	(void)pthread_mutex_lock(&file->lock);
	for (;;) {
		struct disk_op *op = disk_queue_pop(queue);

		if (op == NULL && file->stopping)
			break;
		if (op == NULL) {
			(void)pthread_cond_wait(&queue->ready, &file->lock);
			continue;
		}
		(void)pthread_mutex_unlock(&file->lock);
		disk_file_run(file, op);
		(void)pthread_mutex_lock(&file->lock);
		op->next = NULL;
		*file->finished_tail = op;
		file->finished_tail = &op->next;
		if (disk_op_is_short_write(op)) {
			file->unwritten--;
			file->write_count++;
			if (file->yielding > 0)
				(void)pthread_cond_broadcast(&file->written);
		}
		(void)pthread_mutex_unlock(&file->lock);
		file->wake(file->ctx);
		(void)pthread_mutex_lock(&file->lock);
	}
	(void)pthread_mutex_unlock(&file->lock);
}

static void *
disk_file_writer(void *ctx)
{
	struct disk_file *file = ctx;

	disk_file_work(file, &file->writes);
	return NULL;
}

static void *
disk_file_slow(void *ctx)
{
	struct disk_file *file = ctx;

	disk_file_work(file, &file->slow);
	return NULL;
}

static void *
disk_file_pooled(void *ctx)
{
	struct disk_file *file = ctx;

	disk_file_work(file, &file->others);
	return NULL;
}

struct disk_file *
disk_file_new(
	int journal_dir, int corrupt_dir, int large_dir, disk_file_wake_fn *wake, void *ctx)
{
	struct disk_file *file = MEM_NEW(struct disk_file);

	*file = (struct disk_file){ .disk.submit = disk_file_submit, .journal_dir = journal_dir,
		.corrupt_dir = corrupt_dir, .large_dir = large_dir, .wake = wake, .ctx = ctx };
	file->finished_tail = &file->finished;
	file->fds = mem_array(DISK_FILE_SLOTS, sizeof(*file->fds));
	disk_direct_init(&file->direct);
	for (size_t i = 0; i < DISK_FILE_SLOTS; i++)
		file->fds[i] = -1;
	CHECK(pthread_mutex_init(&file->lock, NULL) == 0);
	disk_queue_init(&file->writes);
	disk_queue_init(&file->others);
	disk_queue_init(&file->slow);
	disk_cond_init(&file->written);
	CHECK(pthread_create(&file->writer, NULL, disk_file_writer, file) == 0);
	CHECK(pthread_create(&file->slow_one, NULL, disk_file_slow, file) == 0);
	for (int i = 0; i < DISK_FILE_POOL; i++)
		CHECK(pthread_create(&file->pool[i], NULL, disk_file_pooled, file) == 0);
	return file;
}

void
disk_file_hurry(struct disk_file *file)
{
	atomic_store(&file->hurried, true);
}

void
disk_file_free(struct disk_file *file)
{
	if (file == NULL)
		return;
	(void)pthread_mutex_lock(&file->lock);
	file->stopping = true;
	(void)pthread_cond_broadcast(&file->writes.ready);
	(void)pthread_cond_broadcast(&file->others.ready);
	(void)pthread_cond_broadcast(&file->slow.ready);
	(void)pthread_cond_broadcast(&file->written);
	(void)pthread_mutex_unlock(&file->lock);
	(void)pthread_join(file->writer, NULL);
	(void)pthread_join(file->slow_one, NULL);
	for (int i = 0; i < DISK_FILE_POOL; i++)
		(void)pthread_join(file->pool[i], NULL);
	for (size_t i = 0; i < DISK_FILE_SLOTS; i++)
		if (file->fds[i] >= 0)
			(void)close(file->fds[i]);
	disk_direct_close(&file->direct);
	mem_free(file->fds);
	(void)pthread_cond_destroy(&file->writes.ready);
	(void)pthread_cond_destroy(&file->others.ready);
	(void)pthread_cond_destroy(&file->slow.ready);
	(void)pthread_cond_destroy(&file->written);
	(void)pthread_mutex_destroy(&file->lock);
	mem_free(file);
}

struct disk *
disk_file_disk(struct disk_file *file)
{
	return &file->disk;
}

unsigned
disk_file_poll(struct disk_file *file)
{
	struct disk_op *op, *next;
	unsigned count = 0;

	(void)pthread_mutex_lock(&file->lock);
	op = file->finished;
	file->finished = NULL;
	file->finished_tail = &file->finished;
	(void)pthread_mutex_unlock(&file->lock);
	for (; op != NULL; op = next) {
		next = op->next; /* the completion may submit or free the operation */
		op->done(op->ctx, op);
		count++;
	}
	return count;
}
