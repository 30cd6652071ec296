/*
 * runner_child.c - the child of the runner: becomes the user, then a command or a file's writer
 * (see runner_child.h)
 */
#include "local/runner_child.h"

#include "local/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static _Noreturn void
fail(const char *what, const char *name, enum agent_status status)
{
	(void)dprintf(STDOUT_FILENO, "%s %.200s: %s", what, name, strerror(errno));
	_exit((int)status);
}

/* --- the user --------------------------------------------------------------------------------- */

static bool
become(const struct runner_order *order)
{
	if (order->user == NULL)
		return true;
	return initgroups(order->user, order->gid) == 0 &&
	       setresgid(order->gid, order->gid, order->gid) == 0 &&
	       setresuid(order->uid, order->uid, order->uid) == 0 && setuid(0) != 0 &&
	       geteuid() == order->uid;
}

/* Nothing of ours stays: descriptors, signals, environment. */
static void
become_plain(int in, int out)
{
	sigset_t none;
	int fd = fcntl(out, F_DUPFD, STDERR_FILENO + 1); /* out of the way of 0 to 2 */

	in = fcntl(in, F_DUPFD, STDERR_FILENO + 1);
	if (fd < 0 || in < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0 ||
		dup2(fd, STDERR_FILENO) < 0 || lseek(STDIN_FILENO, 0, SEEK_SET) != 0)
		_exit(EX_TEMPFAIL);
	(void)close_range(STDERR_FILENO + 1, ~0U, 0);
	for (int number = 1; number < NSIG; number++)
		(void)signal(number, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)umask(077);
}

/* --- a file ----------------------------------------------------------------------------------- */

/* The directory, or the one that it is to be made in; *ret_below is then its name. */
static int
open_maildir(char *path, const char **ret_below)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	size_t len = strlen(path);
	char *slash;
	int root;

	while (len > 1 && path[len - 1] == '/')
		path[--len] = '\0';
	root = open(path, flags);
	slash = strrchr(path, '/');
	if (root >= 0 || errno != ENOENT || slash == path)
		return root;
	*slash = '\0';
	*ret_below = slash + 1;
	return open(path, flags);
}

static _Noreturn void
write_maildir(const struct runner_order *order)
{
	struct maildir_message message = { .content_fd = STDIN_FILENO,
		.content_length = order->length,
		.content_hash = order->hash };
	struct maildir_file file;
	struct fault fault = { 0 };
	const char *below = "";
	int root = open_maildir(order->file, &below);
	enum err err;

	if (root < 0)
		fail("open", order->file, AGENT_TEMPORARY);
	err = maildir_prepare(root, below, order->host, &message, &file, &fault);
	if (err == ERR_OK)
		err = maildir_commit(root, below, &file, &fault);
	if (err == ERR_OK)
		_exit(AGENT_DONE);
	(void)dprintf(STDOUT_FILENO, "%s", fault.text);
	_exit(err == ERR_NOSPACE ? AGENT_FULL : AGENT_TEMPORARY);
}

/* Lines that look like a separator get a > in front, but for the separator itself. */
static bool
copy_mbox(FILE *from, FILE *to)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len;
	bool is_first = true, is_ok = true;

	while (is_ok && (len = getline(&line, &size, from)) > 0) {
		if (!is_first && strncmp(line, "From ", 5) == 0)
			is_ok = fputc('>', to) != EOF;
		is_ok = is_ok && fwrite(line, 1, (size_t)len, to) == (size_t)len;
		is_first = false;
	}
	return is_ok && ferror(from) == 0 && fputc('\n', to) != EOF && fflush(to) == 0;
}

/* All of the message is in the mailbox, flushed, or nothing: it is cut back after an error. */
static _Noreturn void
write_mbox(const struct runner_order *order)
{
	int fd = open(order->file, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_CLOEXEC, 0600);
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat st;
	FILE *to;
	bool is_file, is_ok;
	int saved;

	if (fd < 0 || fstat(fd, &st) != 0)
		fail("open", order->file, AGENT_TEMPORARY);
	is_file = S_ISREG(st.st_mode);
	if (!is_file && !S_ISCHR(st.st_mode) && !S_ISFIFO(st.st_mode)) {
		errno = EINVAL;
		fail("open", order->file, AGENT_TEMPORARY);
	}
	/* The parent's time limit ends a wait for a lock. */
	if (is_file && (fcntl(fd, F_SETLKW, &lock) != 0 || flock(fd, LOCK_EX) != 0 ||
			       fstat(fd, &st) != 0))
		fail("lock", order->file, AGENT_TEMPORARY);
	to = fdopen(fd, "a");
	if (to == NULL)
		fail("open", order->file, AGENT_TEMPORARY);
	is_ok = copy_mbox(stdin, to) && (!is_file || fsync(fd) == 0);
	saved = errno;
	if (!is_ok && is_file)
		(void)!ftruncate(fd, st.st_size);
	errno = saved;
	if (!is_ok)
		fail("write", order->file,
			saved == ENOSPC || saved == EDQUOT || saved == EFBIG ? AGENT_FULL
									    : AGENT_TEMPORARY);
	_exit(AGENT_DONE);
}

/* --- the child -------------------------------------------------------------------------------- */

void
runner_child(const struct runner_order *order, int in, int out)
{
	size_t len = order->is_file ? strlen(order->file) : 0;

	(void)setsid();
	become_plain(in, out);
	if (!become(order))
		fail("become", order->user, AGENT_TEMPORARY);
	if (chdir(order->directory != NULL ? order->directory : "/") != 0)
		fail("enter", order->directory, (enum agent_status)EX_TEMPFAIL);
	if (order->is_file) {
		(void)signal(SIGXFSZ, SIG_IGN);
		if (order->file[len - 1] == '/')
			write_maildir(order);
		write_mbox(order);
	}
	environ = order->envp;
	(void)execvp(order->argv[0], order->argv);
	/* What the shell has built in, as exit, is no file. */
	if (errno == ENOENT && order->is_alias && strchr(order->argv[0], '/') == NULL)
		(void)execl("/bin/sh", "/bin/sh", "-c", order->shown, (char *)NULL);
	fail("cannot execute", order->argv[0], (enum agent_status)EX_TEMPFAIL);
}
