/*
 * cli.c - what the tools share (see cli.h)
 */
#include "cli/cli.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

void
cli_init(struct cli *cli, const char *program)
{
	*cli = (struct cli) { .program = program, .queue_fd = -1 };
	if (gethostname(cli->hostname, sizeof(cli->hostname) - 1) < 0 || cli->hostname[0] == '\0')
		(void)snprintf(cli->hostname, sizeof(cli->hostname), "localhost");
}

void
cli_done(struct cli *cli)
{
	settings_close(cli->settings);
	cli->settings = NULL;
	if (cli->queue_fd >= 0)
		(void)close(cli->queue_fd);
	cli->queue_fd = -1;
}

int
cli_complain(const struct cli *cli, int exit_code, const char *format, ...)
{
	va_list args;

	(void)fflush(stdout);
	(void)fprintf(stderr, "%s: ", cli->program);
	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fputc('\n', stderr);
	return exit_code;
}

struct config_options
cli_config_options(const struct cli *cli)
{
	return (struct config_options) { .directory = config_directory_choose(cli->directory),
		.directory_fd = -1,
		.overrides = cli->overrides,
		.override_count = cli->override_count,
		.hostname = cli->hostname };
}

int
cli_load(struct cli *cli)
{
	struct config_options options = cli_config_options(cli);
	struct buf warnings;
	struct fault fault;
	enum err err;

	if (cli->settings != NULL)
		return EX_OK;
	buf_init(&warnings, 0);
	err = settings_open(&options, &cli->settings, &warnings, &fault);
	buf_done(&warnings); /* the server has said them, and `ostler config --check` does */
	if (err < 0)
		return cli_complain(cli, EX_CONFIG, "%s", fault.text);
	return EX_OK;
}

char *
cli_value(struct cli *cli, enum param_id id)
{
	struct buf text;
	struct fault fault;
	char *copy = NULL;

	buf_init(&text, 0);
	if (settings_expand(cli->settings, id, &text, &fault) < 0)
		(void)cli_complain(cli, EX_CONFIG, "%s", fault.text);
	else
		copy = mem_strndup(text.len > 0 ? (const char *)text.ptr : "", text.len);
	buf_done(&text);
	return copy;
}

int
cli_open_queue(struct cli *cli)
{
	int exit_code = cli_load(cli);
	char *path;

	if (exit_code != EX_OK || cli->queue_fd >= 0)
		return exit_code;
	path = cli_value(cli, PARAM_QUEUE_DIRECTORY);
	if (path == NULL)
		return EX_CONFIG;
	/* O_PATH: the directory need not be readable for us, only what we use in it. */
	cli->queue_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (cli->queue_fd < 0)
		exit_code = cli_complain(cli, errno == EACCES ? EX_NOPERM : EX_UNAVAILABLE,
			"queue_directory %s: %s%s", path, strerrordesc_np(errno),
			errno != ENOENT ? ""
					: "; -c DIR (sendmail and mailq: -C DIR) or MAIL_CONFIG "
					  "chooses the instance");
	mem_free(path);
	return exit_code;
}

int
cli_connect(const struct cli *cli, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int len, fd, saved;

	/* Through the descriptor, so that neither the length of the path nor its parents matter. */
	if (path[0] == '/')
		len = snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	else
		len = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s",
			cli->queue_fd, path);
	if (len < 0 || (size_t)len >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	saved = errno;
	(void)close(fd);
	errno = saved;
	return -1;
}

bool
cli_write(int fd, struct slice bytes)
{
	while (bytes.len > 0) {
		ssize_t sent = write(fd, bytes.ptr, bytes.len);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return false;
		bytes = slice_from(bytes, (size_t)sent);
	}
	return true;
}
