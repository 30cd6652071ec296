/*
 * main.c - entry of ostler-check, which `ostler check` and `ostler corrupt` start
 *
 * usage: ostler-check [-c DIR] [-o name=value]... check|corrupt ...
 *
 * As root it takes the queue's lock, which is root's, and becomes mail_owner before it reads a byte
 * of the queue. DIAGNOSTICS: exit codes of sysexits.h.
 */
#include "base/mem.h"
#include "check/check.h"
#include "check/corrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sysexits.h>
#include <unistd.h>

/* The instance holds pid/master.lock as long as it, or a queue manager of it, lives. */
static int
main_lock(struct cli *cli, int *ret_fd)
{
	int fd = openat(
		cli->queue_fd, "pid/master.lock", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	*ret_fd = fd;
	if (fd < 0 && errno == ENOENT)
		return EX_OK; /* never started here */
	if (fd < 0)
		return cli_complain(cli, errno == EACCES ? EX_NOPERM : EX_IOERR,
			"queue_directory/pid/master.lock: %s", strerrordesc_np(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return EX_OK;
	(void)close(fd);
	return cli_complain(cli, EX_TEMPFAIL,
		"this queue is in use: an instance holds its lock; stop it first (ostler stop)");
}

static int
main_become_owner(struct cli *cli)
{
	char *name;
	const struct passwd *entry;
	int exit_code = EX_OK;

	if (geteuid() != 0)
		return EX_OK;
	name = cli_value(cli, PARAM_MAIL_OWNER);
	if (name == NULL)
		return EX_CONFIG;
	entry = getpwnam(name);
	if (entry == NULL || entry->pw_uid == 0)
		exit_code = cli_complain(cli, EX_CONFIG, "mail_owner = %s: %s", name,
			entry == NULL ? "there is no such user" : "must not be root");
	else if (setgroups(0, NULL) != 0 || setgid(entry->pw_gid) != 0
		 || setuid(entry->pw_uid) != 0)
		exit_code = cli_complain(
			cli, EX_OSERR, "mail_owner = %s: %s", name, strerrordesc_np(errno));
	mem_free(name);
	return exit_code;
}

static int
main_run(struct cli *cli, int argc, char **argv)
{
	bool is_check = strcmp(argv[0], "check") == 0;
	int lock = -1;
	int exit_code = EX_OK;

	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return is_check ? check_run(cli, argc, argv) : corrupt_run(cli, argc, argv);
	exit_code = cli_open_queue(cli);
	if (exit_code == EX_OK && is_check)
		exit_code = main_lock(cli, &lock);
	if (exit_code == EX_OK)
		exit_code = main_become_owner(cli);
	if (exit_code == EX_OK)
		exit_code = is_check ? check_run(cli, argc, argv) : corrupt_run(cli, argc, argv);
	if (lock >= 0)
		(void)close(lock);
	return exit_code;
}

int
main(int argc, char **argv)
{
	struct cli cli;
	int exit_code, option;

	(void)signal(SIGPIPE, SIG_IGN);
	cli_init(&cli, "ostler");
	while ((option = getopt(argc, argv, "+c:o:")) != -1) {
		if (option == 'c')
			cli.directory = optarg;
		else if (option == 'o' && cli.override_count < CLI_OVERRIDES_MAX)
			cli.overrides[cli.override_count++] = optarg;
		else
			return EX_USAGE;
	}
	argc -= optind;
	argv += optind;
	if (argc == 0 || (strcmp(argv[0], "check") != 0 && strcmp(argv[0], "corrupt") != 0)) {
		(void)cli_complain(&cli, EX_USAGE, "use ostler check or ostler corrupt");
		return EX_USAGE;
	}
	exit_code = main_run(&cli, argc, argv);
	cli_done(&cli);
	if (fflush(stdout) != 0 && exit_code == EX_OK)
		exit_code = EX_IOERR;
	return exit_code;
}
