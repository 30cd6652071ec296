/*
 * instance.c - the running instance of a queue (see instance.h)
 *
 * A pid file outlives a killed master, and its number may be another process's by now. So the
 * process is held by a pidfd first, and then asked for its name.
 */
#include "cli/instance.h"

#include "base/num.h"
#include "config/text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

enum { INSTANCE_PID_MAX = 4194304, INSTANCE_STOP_EXTRA_MS = 10000 };

static int
instance_down(const struct cli *cli)
{
	return cli_complain(cli, EX_UNAVAILABLE, "the mail system is not running");
}

static bool
instance_is_master(pid_t pid)
{
	char path[64];
	struct buf name;
	bool is_master;

	(void)snprintf(path, sizeof(path), "/proc/%ld/comm", (long)pid);
	buf_init(&name, 0);
	is_master = text_file_read(AT_FDCWD, path, path, 4096, &name, NULL) == ERR_OK
		    && slice_equal_str(buf_slice(&name), "ostlerd\n");
	buf_done(&name);
	return is_master;
}

/* A pidfd of the master. */
static int
instance_find(struct cli *cli, int *ret_pidfd)
{
	struct buf text;
	struct fault fault;
	struct slice number;
	uint64_t pid = 0;
	int exit_code = cli_open_queue(cli);
	enum err err;

	if (exit_code != EX_OK)
		return exit_code;
	buf_init(&text, 0);
	err = text_file_read(
		cli->queue_fd, "pid/master.pid", "pid/master.pid", 4096, &text, &fault);
	number = slice_trim(slice_head(buf_slice(&text), slice_find(buf_slice(&text), '\n')));
	if (err == ERR_OK && num_parse_u64(number, 1, INSTANCE_PID_MAX, &pid) < 0)
		err = ERR_NOTFOUND;
	buf_done(&text);
	if (err == ERR_NOTFOUND)
		return instance_down(cli);
	if (err < 0)
		return cli_complain(
			cli, fault.sys_errno == EACCES ? EX_NOPERM : EX_OSERR, "%s", fault.text);
	*ret_pidfd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	if (*ret_pidfd < 0)
		return instance_down(cli);
	if (instance_is_master((pid_t)pid))
		return EX_OK;
	(void)close(*ret_pidfd);
	return instance_down(cli);
}

static int
instance_signal(const struct cli *cli, int pidfd, int signal)
{
	if (syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) == 0)
		return EX_OK;
	if (errno == ESRCH)
		return instance_down(cli);
	return cli_complain(cli, errno == EPERM ? EX_NOPERM : EX_OSERR,
		"cannot signal the master process: %s", strerrordesc_np(errno));
}

int
instance_reload(struct cli *cli)
{
	int pidfd;
	int exit_code = instance_find(cli, &pidfd);

	if (exit_code != EX_OK)
		return exit_code;
	exit_code = instance_signal(cli, pidfd, SIGHUP);
	(void)close(pidfd);
	return exit_code;
}

int
instance_stop(struct cli *cli)
{
	struct pollfd poll_fd = { .events = POLLIN };
	struct fault fault;
	uint64_t grace_s = 0;
	int exit_code = instance_find(cli, &poll_fd.fd);

	if (exit_code != EX_OK)
		return exit_code;
	if (settings_number(cli->settings, PARAM_STOP_GRACE, &grace_s, &fault) < 0)
		grace_s = 300;
	exit_code = instance_signal(cli, poll_fd.fd, SIGTERM);
	if (exit_code == EX_OK
		&& poll(&poll_fd, 1, (int)(grace_s * 1000) + INSTANCE_STOP_EXTRA_MS) != 1)
		exit_code = cli_complain(cli, EX_TEMPFAIL, "the mail system did not stop yet");
	(void)close(poll_fd.fd);
	return exit_code;
}
