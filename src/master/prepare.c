/* prepare.c - before the first role starts: configuration, user, directories, log */
#include "base/check.h"
#include "config/compile.h"
#include "master/master_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

enum { COMPILE_MAX_S = 60 };

static int complain(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int
complain(int code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)fputs("ostlerd: ", stderr);
	(void)vfprintf(stderr, format, arguments);
	(void)fputc('\n', stderr);
	va_end(arguments);
	return code;
}

/* --- configuration ---------------------------------------------------------------------------- */

/* In the child: the image goes into the memory file, words into the pipe. */
static _Noreturn void
compile_child(struct master *master, int image_fd, int words_fd)
{
	struct config_options options = {
		.directory = master->options->directory,
		.directory_fd = master->config_dir,
		.overrides = master->options->overrides,
		.override_count = master->options->override_count,
		.hostname = master->hostname,
		.number = master->config_number + 1,
	};
	struct buf image, warnings;
	struct fault fault = { 0 };
	enum err err;

	(void)alarm(COMPILE_MAX_S);
	if (master->is_root && master->uid != 0 &&
		(setgroups(0, NULL) != 0 || setgid(master->gid) != 0 || setuid(master->uid) != 0))
		_exit(EX_NOPERM);
	buf_init(&image, CONFIG_IMAGE_MAX);
	buf_init(&warnings, 0);
	err = config_compile(&options, &image, &warnings, &fault);
	(void)!write(words_fd, warnings.ptr, warnings.len);
	if (err != ERR_OK) {
		(void)!write(words_fd, fault.text, strlen(fault.text));
		_exit(EX_CONFIG);
	}
	for (size_t at = 0; at < image.len;) {
		ssize_t written = write(image_fd, image.ptr + at, image.len - at);

		if (written <= 0)
			_exit(EX_OSERR);
		at += (size_t)written;
	}
	_exit(EX_OK);
}

static void
read_words(int fd, struct buf *text)
{
	uint8_t bytes[4096];
	ssize_t got;

	while ((got = read(fd, bytes, sizeof(bytes))) > 0)
		if (buf_append(text, slice_make(bytes, (size_t)got)) != ERR_OK)
			break;
}

enum err
compile_image(struct master *master, int *ret_fd, struct buf *text)
{
	int image = memfd_create("ostler-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int words[2], status = 0;
	pid_t pid;

	if (image < 0 || pipe2(words, O_CLOEXEC) != 0) {
		if (image >= 0)
			(void)close(image);
		return ERR_IO;
	}
	pid = fork();
	if (pid == 0)
		compile_child(master, image, words[1]);
	(void)close(words[1]);
	read_words(words[0], text);
	(void)close(words[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
		WEXITSTATUS(status) != 0 ||
		fcntl(image, F_ADD_SEALS,
			F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
		(void)close(image);
		return ERR_CONFIG;
	}
	*ret_fd = image;
	return ERR_OK;
}

int
prepare_config(struct master *master)
{
	const char *directory = master->options->directory;
	struct fault fault = { 0 };
	struct buf text;
	enum err err;

	master->config_dir = -1;
	if (directory != NULL) {
		master->config_dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (master->config_dir < 0)
			return complain(EX_CONFIG, "-c %s: %s", directory, strerror(errno));
	}
	buf_init(&text, 1 << 20);
	err = compile_image(master, &master->config_fd, &text);
	if (text.len > 0)
		(void)fprintf(stderr, "%" SLICE_FMT "%s", SLICE_ARG(buf_slice(&text)),
			text.ptr[text.len - 1] == '\n' ? "" : "\n");
	buf_done(&text);
	if (err != ERR_OK)
		return complain(EX_CONFIG, "the configuration is not usable; nothing was started");
	master->config_number++;
	if (config_open_fd(master->config_fd, &master->config, &fault) != ERR_OK)
		return complain(EX_SOFTWARE, "%s", fault.text);
	return EX_OK;
}

/* --- who the roles are ------------------------------------------------------------------------ */

int
prepare_user(struct master *master)
{
	const char *name = config_cstr(master->config, NULL, PARAM_MAIL_OWNER);
	const struct passwd *entry;

	master->is_root = geteuid() == 0;
	master->uid = geteuid();
	master->gid = getegid();
	if (!master->is_root)
		return EX_OK;
	entry = getpwnam(name);
	if (entry == NULL)
		return complain(EX_NOUSER,
			"mail_owner = %s: there is no such user; make it with\n"
			"  useradd --system --no-create-home --shell /usr/sbin/nologin %s",
			name, name);
	if (entry->pw_uid == 0)
		return complain(EX_CONFIG, "mail_owner = %s: must not be root", name);
	(void)snprintf(master->owner, sizeof(master->owner), "%s", name);
	master->uid = entry->pw_uid;
	master->gid = entry->pw_gid;
	return EX_OK;
}

/* --- directories ------------------------------------------------------------------------------ */

/* mkdir -p, but for the last part. */
static void
make_parents(const char *path)
{
	char part[4096];

	for (size_t i = 1; path[i] != '\0' && i < sizeof(part) - 1; i++) {
		if (path[i] != '/')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		(void)mkdir(part, 0755);
	}
}

static int
check_owner(struct master *master, int fd, const char *where, const char *name, uid_t uid)
{
	struct stat info;

	if (fstat(fd, &info) != 0)
		return complain(EX_OSERR, "%s/%s: %s", where, name, strerror(errno));
	if (info.st_uid == uid)
		return EX_OK;
	return complain(EX_NOPERM,
		"%s/%s belongs to uid %u, but must belong to uid %u; mend it with\n"
		"  chown -R %s%s%s/%s",
		where, name, (unsigned)info.st_uid, (unsigned)uid,
		master->is_root && uid == master->uid ? master->owner : "$(id -u)", " ", where,
		name);
}

/* A directory below another one: made with the right owner and mode, or checked. */
static int
open_below(struct master *master, int parent, const char *where, const char *name, mode_t mode,
	uid_t uid, int *ret_fd)
{
	bool is_new = mkdirat(parent, name, 0700) == 0;
	int fd;

	if (!is_new && errno != EEXIST)
		return complain(EX_CANTCREAT, "%s/%s: %s", where, name, strerror(errno));
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return complain(EX_OSERR, "%s/%s: %s", where, name, strerror(errno));
	if (is_new && master->is_root && uid != 0 && fchown(fd, uid, master->gid) != 0)
		return complain(EX_OSERR, "%s/%s: %s", where, name, strerror(errno));
	if (is_new && fchmod(fd, mode) != 0)
		return complain(EX_OSERR, "%s/%s: %s", where, name, strerror(errno));
	*ret_fd = fd;
	return is_new ? EX_OK : check_owner(master, fd, where, name, uid);
}

static int
open_top(const char *path, int *ret_fd)
{
	make_parents(path);
	if (mkdir(path, 0755) != 0 && errno != EEXIST)
		return complain(EX_CANTCREAT, "%s: %s", path, strerror(errno));
	*ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret_fd < 0)
		return complain(EX_OSERR, "%s: %s", path, strerror(errno));
	return EX_OK;
}

static int
take_lock(struct master *master, const char *queue, int pid_dir)
{
	char text[32] = "";
	int fd = openat(pid_dir, "master.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);

	if (fd < 0)
		return complain(EX_CANTCREAT, "%s/pid/master.lock: %s", queue, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		int pid_file = openat(pid_dir, "master.pid", O_RDONLY | O_CLOEXEC);

		if (pid_file >= 0)
			(void)!read(pid_file, text, sizeof(text) - 1);
		text[strcspn(text, "\n")] = '\0';
		return complain(EX_TEMPFAIL, "another Ostler runs on %s (pid %s)", queue,
			text[0] != '\0' ? text : "unknown");
	}
	master->lock_fd = fd;
	return EX_OK;
}

static int
open_mail(struct master *master)
{
	const char *path = config_cstr(master->config, NULL, PARAM_MAIL_SPOOL_DIRECTORY);
	struct stat info;
	bool is_new = stat(path, &info) != 0;
	int fd = -1, code = open_top(path, &fd);

	if (code != EX_OK)
		return code;
	if (is_new && master->is_root && fchown(fd, master->uid, master->gid) != 0)
		return complain(EX_OSERR, "%s: %s", path, strerror(errno));
	master->directories[ROLE_DIR_MAIL] = fd;
	return EX_OK;
}

int
prepare_directories(struct master *master)
{
	static const struct {
		const char *name;
		int kind;
		mode_t mode;
	} below[] = {
		{ "journal", ROLE_DIR_JOURNAL, 0700 },
		{ "large", ROLE_DIR_LARGE, 0700 },
		{ "corrupt", ROLE_DIR_CORRUPT, 0700 },
		{ "maildrop", ROLE_DIR_MAILDROP, 01733 },
	};
	const char *queue = config_cstr(master->config, NULL, PARAM_QUEUE_DIRECTORY);
	int code = open_top(queue, &master->queue_dir), fd = -1;

	for (int i = 0; i < ROLE_DIR_COUNT; i++)
		master->directories[i] = -1;
	if (code == EX_OK)
		code = open_below(
			master, master->queue_dir, queue, "pid", 0755, geteuid(), &fd);
	if (code == EX_OK)
		code = take_lock(master, queue, fd);
	for (size_t i = 0; code == EX_OK && i < sizeof(below) / sizeof(below[0]); i++)
		code = open_below(master, master->queue_dir, queue, below[i].name, below[i].mode,
			master->uid, &master->directories[below[i].kind]);
	if (code == EX_OK)
		code = open_below(
			master, master->queue_dir, queue, "public", 0755, geteuid(), &fd);
	return code == EX_OK ? open_mail(master) : code;
}

void
prepare_pid_file(struct master *master)
{
	char text[32];
	int fd = openat(master->queue_dir, "pid/master.pid",
		O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);

	(void)snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		(void)complain(EX_OSERR, "pid/master.pid: %s", strerror(errno));
	if (fd >= 0)
		(void)close(fd);
}

void
prepare_leave(struct master *master)
{
	(void)unlinkat(master->queue_dir, "pid/master.pid", 0);
	for (int i = 0; i < master->listener_count; i++)
		if (master->listeners[i].address[0] == 'p') /* public/... */
			(void)unlinkat(master->queue_dir, master->listeners[i].address, 0);
}

/* --- log -------------------------------------------------------------------------------------- */

static int
open_syslog(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = LOG_FILE_SYSLOG_PATH };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

int
log_open(struct master *master, enum log_file_style *ret_style)
{
	const char *path = config_cstr(master->config, NULL, PARAM_MAILLOG_FILE);
	int fd;

	*ret_style = LOG_FILE_PLAIN;
	if (path[0] == '\0' && !isatty(STDOUT_FILENO)) {
		*ret_style = LOG_FILE_SYSLOG;
		return open_syslog();
	}
	if (path[0] == '\0' || strcmp(path, "/dev/stdout") == 0)
		return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
	/* A FIFO that nobody reads is an error, not a reason to wait. */
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
		0640);
	return fd;
}

const char *
log_path(const struct master *master)
{
	const char *path = config_cstr(master->config, NULL, PARAM_MAILLOG_FILE);

	return path[0] != '\0' ? path : master->log_style == LOG_FILE_SYSLOG ? "syslog" : "stdout";
}

bool
log_was_moved(const struct master *master)
{
	const char *path = config_cstr(master->config, NULL, PARAM_MAILLOG_FILE);
	struct stat open_one, named;

	if (path[0] == '\0' || fstat(master->log_sink, &open_one) != 0
		|| !S_ISREG(open_one.st_mode))
		return false;
	if (stat(path, &named) != 0)
		return errno == ENOENT;
	return named.st_dev != open_one.st_dev || named.st_ino != open_one.st_ino;
}

/* syslog_facility as a number of syslog(3). */
uint8_t
log_facility(const struct master *master)
{
	static const uint8_t numbers[] = { 2, 3, 1, 16, 17, 18, 19, 20, 21, 22, 23 };
	unsigned word = config_enum(master->config, NULL, PARAM_SYSLOG_FACILITY);

	CHECK(word < sizeof(numbers));
	return numbers[word];
}

/*
 * The socket between all processes and the one that writes the log. While that one is being
 * restarted it holds the lines, in their order: as many as the kernel lets us.
 */
static int
make_log_socket(struct master *master)
{
	int size = LOG_SOCKET_SIZE, pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		return complain(EX_OSERR, "socketpair: %s", strerror(errno));
	if (setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) != 0)
		(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	master->log_fd = pair[0];
	master->log_source = pair[1];
	return EX_OK;
}

int
prepare_log(struct master *master)
{
	int code;

	master->log_sink = log_open(master, &master->log_style);
	if (master->log_sink < 0)
		return complain(EX_CANTCREAT, "the log (maillog_file = %s) cannot be opened: %s",
			config_cstr(master->config, NULL, PARAM_MAILLOG_FILE), strerror(errno));
	code = make_log_socket(master);
	if (code != EX_OK)
		return code;
	log_file_init(&master->log, master->log_fd, master->log_style, master->hostname,
		config_cstr(master->config, NULL, PARAM_SYSLOG_NAME), "master");
	master->log.facility = log_facility(master);
	return EX_OK;
}
