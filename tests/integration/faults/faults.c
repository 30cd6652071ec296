/*
 * faults.c - a disk that fails when a test says so: LD_PRELOAD below the real processes
 *
 * Calls on files whose path matches a rule fail with a chosen errno, wait, or are cut short. The rules lie in a
 * file that the environment variable OSTLER_FAULTS names; it is mapped when the process starts, before
 * it confines itself, and a test changes it at run time (disk_faults.py). Nothing of this is installed or linked
 * into Ostler: without LD_PRELOAD it does not exist.
 *
 * Goal: whatever a call can return, the product must survive. What the kernel does to the page cache behind a
 * failed flush is not imitated here; test_disk_full.py has the real one.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum call {
	CALL_OPEN = 1,
	CALL_READ = 2,
	CALL_WRITE = 4,
	CALL_FLUSH = 8,
	CALL_RENAME = 16,
	CALL_LINK = 32,
	CALL_UNLINK = 64,
	CALL_TRUNCATE = 128,
	CALL_DATA = 256, /* fdatasync: FLUSH is fsync */
	CALL_RANGE = 512, /* sync_file_range */
};

/* As disk_faults.py packs it. */
struct rule {
	_Atomic uint32_t calls; /* enum call; 0: not in use */
	int32_t error;	 /* 0: the call goes through */
	uint32_t delay_ms;
	uint32_t bytes_max; /* 0: no limit */
	uint32_t skip;	 /* so many calls go through first */
	uint32_t times;	 /* so many are struck; 0: all that follow */
	_Atomic uint32_t seen;
	_Atomic uint32_t struck;
	char pattern[96]; /* of the whole path, as fnmatch(3) has it */
};

enum { RULES = 16 };

_Static_assert(sizeof(struct rule) == 128, "disk_faults.py packs 128 bytes");

static struct rule *rules;

__attribute__((constructor)) static void
faults_open(void)
{
	const char *path = getenv("OSTLER_FAULTS");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *map;

	if (fd < 0)
		return;
	map = mmap(NULL, RULES * sizeof(*rules), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd);
	if (map != MAP_FAILED)
		rules = map;
}

static void *
real(const char *name)
{
	void *symbol = dlsym(RTLD_NEXT, name);

	if (symbol == NULL)
		abort();
	return symbol;
}

/* ISO C has no cast from an object pointer to a function pointer. */
#define REAL(type, name) \
	static __typeof__(type) *call_real; \
	if (call_real == NULL) \
		*(void **)&call_real = real(name)

/* --- which rule ------------------------------------------------------------------------------- */

static bool
rule_takes(struct rule *rule, enum call call, const char *path)
{
	uint32_t number;

	if ((atomic_load(&rule->calls) & call) == 0 || fnmatch(rule->pattern, path, 0) != 0)
		return false;
	number = atomic_fetch_add(&rule->seen, 1);
	if (number < rule->skip || (rule->times != 0 && number - rule->skip >= rule->times))
		return false;
	(void)atomic_fetch_add(&rule->struck, 1);
	return true;
}

static bool
is_watched(enum call call)
{
	for (int i = 0; rules != NULL && i < RULES; i++)
		if ((atomic_load(&rules[i].calls) & call) != 0)
			return true;
	return false;
}

/* The first rule that applies; waits as it says. True: the call fails with errno. */
static bool
path_fails(enum call call, const char *path, size_t *len)
{
	for (int i = 0; i < RULES; i++) {
		struct rule *rule = &rules[i];
		struct timespec wait = { (time_t)(rule->delay_ms / 1000),
			(long)(rule->delay_ms % 1000) * 1000000 };

		if (!rule_takes(rule, call, path))
			continue;
		if (rule->delay_ms > 0)
			(void)nanosleep(&wait, NULL);
		if (len != NULL && rule->bytes_max > 0 && *len > rule->bytes_max)
			*len = rule->bytes_max;
		if (rule->error == 0)
			return false;
		errno = rule->error;
		return true;
	}
	return false;
}

static bool
fd_path(int fd, char path[PATH_MAX])
{
	char link[40];
	ssize_t len;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, PATH_MAX - 1);
	path[len > 0 ? len : 0] = '\0';
	return len > 0;
}

static bool
fd_fails(enum call call, int fd, size_t *len)
{
	char path[PATH_MAX];
	int saved = errno;

	if (!is_watched(call) || !fd_path(fd, path))
		return false;
	errno = saved;
	return path_fails(call, path, len);
}

static bool
at_fails(enum call call, int dir, const char *name)
{
	char path[PATH_MAX];
	size_t len = 0;
	int saved = errno;

	if (!is_watched(call))
		return false;
	if (name[0] != '/' && dir != AT_FDCWD && fd_path(dir, path))
		len = strlen(path);
	(void)snprintf(path + len, sizeof(path) - len, "%s%s", len > 0 ? "/" : "", name);
	errno = saved;
	return path_fails(call, path, NULL);
}

/* --- opening ---------------------------------------------------------------------------------- */

typedef int openat_fn(int, const char *, int, ...);

static int
open_it(int dir, const char *name, int flags, mode_t mode)
{
	REAL(openat_fn, "openat");

	if (at_fails(CALL_OPEN, dir, name))
		return -1;
	return call_real(dir, name, flags, mode);
}

#define OPEN(function) \
	int function(const char *name, int flags, ...); \
	int function(const char *name, int flags, ...) \
	{ \
		va_list list; \
		mode_t mode; \
\
		va_start(list, flags); \
		mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0; \
		va_end(list); \
		return open_it(AT_FDCWD, name, flags, mode); \
	}
#define OPENAT(function) \
	int function(int dir, const char *name, int flags, ...); \
	int function(int dir, const char *name, int flags, ...) \
	{ \
		va_list list; \
		mode_t mode; \
\
		va_start(list, flags); \
		mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0; \
		va_end(list); \
		return open_it(dir, name, flags, mode); \
	}

OPEN(open)
OPEN(open64)
OPEN(__open_2)
OPEN(__open64_2)
OPENAT(openat)
OPENAT(openat64)
OPENAT(__openat_2)
OPENAT(__openat64_2)

/* --- bytes ------------------------------------------------------------------------------------ */

#define READ(function, ...) \
	ssize_t function(int fd, void *to, size_t len __VA_ARGS__); \
	ssize_t function(int fd, void *to, size_t len __VA_ARGS__)

READ(read)
{
	REAL(ssize_t(int, void *, size_t), "read");
	return fd_fails(CALL_READ, fd, &len) ? -1 : call_real(fd, to, len);
}

READ(__read_chk, , size_t room)
{
	(void)room;
	return read(fd, to, len);
}

static ssize_t
pread_it(int fd, void *to, size_t len, off_t offset)
{
	REAL(ssize_t(int, void *, size_t, off_t), "pread64");
	return fd_fails(CALL_READ, fd, &len) ? -1 : call_real(fd, to, len, offset);
}

READ(pread, , off_t offset)
{
	return pread_it(fd, to, len, offset);
}

READ(pread64, , off_t offset)
{
	return pread_it(fd, to, len, offset);
}

READ(__pread_chk, , off_t offset, size_t room)
{
	(void)room;
	return pread_it(fd, to, len, offset);
}

READ(__pread64_chk, , off_t offset, size_t room)
{
	(void)room;
	return pread_it(fd, to, len, offset);
}

ssize_t
write(int fd, const void *from, size_t len)
{
	REAL(ssize_t(int, const void *, size_t), "write");
	return fd_fails(CALL_WRITE, fd, &len) ? -1 : call_real(fd, from, len);
}

static ssize_t
pwrite_it(int fd, const void *from, size_t len, off_t offset)
{
	REAL(ssize_t(int, const void *, size_t, off_t), "pwrite64");
	return fd_fails(CALL_WRITE, fd, &len) ? -1 : call_real(fd, from, len, offset);
}

ssize_t pwrite(int fd, const void *from, size_t len, off_t offset);
ssize_t
pwrite(int fd, const void *from, size_t len, off_t offset)
{
	return pwrite_it(fd, from, len, offset);
}

ssize_t pwrite64(int fd, const void *from, size_t len, off_t offset);
ssize_t
pwrite64(int fd, const void *from, size_t len, off_t offset)
{
	return pwrite_it(fd, from, len, offset);
}

/* --- the others ------------------------------------------------------------------------------- */

int
fsync(int fd)
{
	REAL(int(int), "fsync");
	return fd_fails(CALL_FLUSH, fd, NULL) ? -1 : call_real(fd);
}

int
fdatasync(int fd)
{
	REAL(int(int), "fdatasync");
	return fd_fails(CALL_DATA, fd, NULL) ? -1 : call_real(fd);
}

int
sync_file_range(int fd, off_t offset, off_t len, unsigned flags)
{
	REAL(int(int, off_t, off_t, unsigned), "sync_file_range");
	return fd_fails(CALL_RANGE, fd, NULL) ? -1 : call_real(fd, offset, len, flags);
}

int
rename(const char *from, const char *to)
{
	REAL(int(const char *, const char *), "rename");
	return at_fails(CALL_RENAME, AT_FDCWD, to) ? -1 : call_real(from, to);
}

int
renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	REAL(int(int, const char *, int, const char *), "renameat");
	return at_fails(CALL_RENAME, to_dir, to) ? -1 : call_real(from_dir, from, to_dir, to);
}

int
linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	REAL(int(int, const char *, int, const char *, int), "linkat");
	return at_fails(CALL_LINK, to_dir, to) ? -1
					       : call_real(from_dir, from, to_dir, to, flags);
}

int
unlinkat(int dir, const char *name, int flags)
{
	REAL(int(int, const char *, int), "unlinkat");
	return at_fails(CALL_UNLINK, dir, name) ? -1 : call_real(dir, name, flags);
}

static int
truncate_it(int fd, off_t length)
{
	REAL(int(int, off_t), "ftruncate64");
	return fd_fails(CALL_TRUNCATE, fd, NULL) ? -1 : call_real(fd, length);
}

int ftruncate(int fd, off_t length);
int
ftruncate(int fd, off_t length)
{
	return truncate_it(fd, length);
}

int ftruncate64(int fd, off_t length);
int
ftruncate64(int fd, off_t length)
{
	return truncate_it(fd, length);
}
