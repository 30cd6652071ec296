/*
 * submit.c - where sendmail's mail goes (see submit.h)
 */
#include "cli/submit.h"

#include "base/mem.h"
#include "base/rand.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sysexits.h>
#include <unistd.h>

enum { SUBMIT_REPLY_WAIT_S = 600 };

static const char submit_prefix[] = ".tmp-";

static int
submit_open_file(struct submit *submit)
{
	static const char digits[] = "0123456789ABCDEF";
	uint8_t random[SUBMISSION_NAME_LENGTH / 2];
	char *name = submit->temporary + sizeof(submit_prefix) - 1;

	submit->directory_fd =
		openat(submit->cli->queue_fd, "maildrop", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (submit->directory_fd < 0)
		return cli_complain(submit->cli, EX_TEMPFAIL, "maildrop of queue_directory: %s",
			strerrordesc_np(errno));
	rand_bytes(random, sizeof(random));
	(void)snprintf(submit->temporary, sizeof(submit->temporary), "%s", submit_prefix);
	for (size_t i = 0; i < sizeof(random); i++) {
		name[2 * i] = digits[random[i] >> 4];
		name[2 * i + 1] = digits[random[i] & 15];
	}
	name[SUBMISSION_NAME_LENGTH] = '\0';
	submit->fd = openat(submit->directory_fd, submit->temporary,
		O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	/* Whatever the umask is, pickup must be able to read it. */
	if (submit->fd < 0 || fchmod(submit->fd, 0644) < 0)
		return cli_complain(submit->cli, EX_TEMPFAIL, "maildrop of queue_directory: %s",
			strerrordesc_np(errno));
	return EX_OK;
}

int
submit_open(struct submit *submit, struct cli *cli)
{
	struct timeval wait = { .tv_sec = SUBMIT_REPLY_WAIT_S };
	char *path;

	*submit = (struct submit) { .cli = cli, .fd = -1, .directory_fd = -1 };
	if (cli_open_queue(cli) != EX_OK)
		return EX_TEMPFAIL;
	path = cli_value(cli, PARAM_SUBMIT_SOCKET);
	if (path == NULL)
		return EX_CONFIG;
	submit->fd = cli_connect(cli, path);
	mem_free(path);
	if (submit->fd < 0)
		return submit_open_file(submit);
	(void)setsockopt(submit->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	(void)setsockopt(submit->fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	return EX_OK;
}

int
submit_write(struct submit *submit, struct slice bytes)
{
	if (submit->is_broken || cli_write(submit->fd, bytes))
		return EX_OK;
	if (submit->directory_fd < 0) { /* pickup refuses: its reply is read in the end */
		submit->is_broken = true;
		return EX_OK;
	}
	return cli_complain(submit->cli,
		errno == ENOSPC || errno == EDQUOT ? EX_TEMPFAIL : EX_IOERR,
		"cannot write to maildrop: %s", strerrordesc_np(errno));
}

/* Makes a rename durable without the right to read the directory. */
static bool
submit_sync_name(const struct submit *submit)
{
	int fd = openat(submit->directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool is_done;

	if (fd < 0)
		return syncfs(submit->fd) == 0;
	is_done = fsync(fd) == 0;
	(void)close(fd);
	return is_done;
}

static int
submit_finish_file(struct submit *submit)
{
	const char *name = submit->temporary + sizeof(submit_prefix) - 1;

	if (fsync(submit->fd) < 0
		|| renameat(submit->directory_fd, submit->temporary, submit->directory_fd, name)
			   < 0)
		return cli_complain(submit->cli, EX_TEMPFAIL,
			"cannot keep the mail in maildrop: %s", strerrordesc_np(errno));
	submit->temporary[0] = '\0';
	if (!submit_sync_name(submit))
		return cli_complain(submit->cli, EX_TEMPFAIL,
			"cannot keep the mail in maildrop: %s", strerrordesc_np(errno));
	return EX_OK;
}

static int
submit_finish_socket(struct submit *submit)
{
	struct buf bytes;
	struct slice text;
	uint8_t code = EX_OK;
	int exit_code = EX_OK;
	enum err err;

	(void)shutdown(submit->fd, SHUT_WR);
	buf_init(&bytes, 0);
	while ((err = submission_parse_reply(buf_slice(&bytes), &code, &text)) == ERR_AGAIN) {
		ssize_t got;

		if (buf_reserve(&bytes, 4096) < 0)
			break;
		got = read(submit->fd, bytes.ptr + bytes.len, 4096);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		bytes.len += (size_t)got;
	}
	if (err < 0)
		exit_code = cli_complain(submit->cli, EX_TEMPFAIL,
			"the mail system went away before it had taken the mail");
	else if (code != EX_OK)
		exit_code = cli_complain(submit->cli, code, "%" SLICE_FMT, SLICE_ARG(text));
	buf_done(&bytes);
	return exit_code;
}

int
submit_finish(struct submit *submit)
{
	return submit->directory_fd >= 0 ? submit_finish_file(submit)
					 : submit_finish_socket(submit);
}

void
submit_close(struct submit *submit)
{
	if (submit->directory_fd >= 0 && submit->fd >= 0 && submit->temporary[0] != '\0')
		(void)unlinkat(submit->directory_fd, submit->temporary, 0);
	if (submit->fd >= 0)
		(void)close(submit->fd);
	if (submit->directory_fd >= 0)
		(void)close(submit->directory_fd);
	submit->fd = submit->directory_fd = -1;
}
