/*
 * control_client.c - one command to the queue manager (see control_client.h)
 */
#include "cli/control_client.h"

#include "base/mem.h"
#include "ipc/channel.h"

#include <errno.h>
#include <sysexits.h>
#include <unistd.h>

struct control_client {
	struct cli *cli;
	struct buf line; /* begun, its end has not come yet */
	control_client_line_fn *fn;
	void *ctx;
};

/* Gives whole lines on; in the last frame what is left over is a line too. */
static enum err
control_client_lines(struct control_client *client, struct slice text, bool is_final)
{
	enum err err = ERR_OK;

	while (err == ERR_OK && text.len > 0) {
		size_t end = slice_find(text, '\n');

		err = buf_append(&client->line, slice_head(text, end));
		if (err < 0 || end == text.len)
			break;
		client->fn(client->ctx, buf_slice(&client->line), is_final);
		buf_clear(&client->line);
		text = slice_from(text, end + 1);
	}
	if (err == ERR_OK && is_final && client->line.len > 0)
		client->fn(client->ctx, buf_slice(&client->line), true);
	return err;
}

static int
control_client_answer(struct control_client *client, int fd)
{
	struct buf frame;
	int exit_code = -1;

	buf_init(&frame, 0);
	while (exit_code < 0) {
		struct ipc_control_reply reply;
		struct slice payload;
		uint16_t type;
		int passed = -1;
		enum err err = channel_read_blocking(fd, &frame, &type, &payload, &passed);

		if (passed >= 0)
			(void)close(passed);
		if (err < 0) {
			exit_code = cli_complain(client->cli,
				err == ERR_CLOSED ? EX_UNAVAILABLE : EX_IOERR,
				"the queue manager ended the connection before its answer");
			break;
		}
		if (type != IPC_TYPE_control_reply || ipc_decode(type, payload, &reply) < 0
			|| control_client_lines(client, reply.text, reply.final != 0) < 0) {
			exit_code = cli_complain(client->cli, EX_PROTOCOL,
				"the queue manager's answer is not understood");
			break;
		}
		if (reply.final != 0)
			exit_code = reply.exit_code;
	}
	buf_done(&frame);
	return exit_code;
}

static int
control_client_connect(struct cli *cli, int *ret_fd)
{
	int exit_code = cli_open_queue(cli);
	char *path;

	if (exit_code != EX_OK)
		return exit_code;
	path = cli_value(cli, PARAM_CONTROL_SOCKET);
	if (path == NULL)
		return EX_CONFIG;
	*ret_fd = cli_connect(cli, path);
	if (*ret_fd < 0 && (errno == ENOENT || errno == ECONNREFUSED))
		exit_code = cli_complain(cli, EX_UNAVAILABLE,
			"the mail system is down: nobody answers at %s of its queue_directory",
			path);
	else if (*ret_fd < 0)
		exit_code = cli_complain(cli, errno == EACCES ? EX_NOPERM : EX_UNAVAILABLE,
			"%s of queue_directory: %s", path, strerrordesc_np(errno));
	mem_free(path);
	return exit_code;
}

int
control_session_open(struct control_session *session, struct cli *cli)
{
	*session = (struct control_session){ .cli = cli, .fd = -1 };
	return control_client_connect(cli, &session->fd);
}

void
control_session_close(struct control_session *session)
{
	if (session->fd >= 0)
		(void)close(session->fd);
	session->fd = -1;
}

int
control_session_ask(struct control_session *session, const char *command,
	const char *const *words, size_t word_count, control_client_line_fn *fn, void *ctx)
{
	struct control_client client = { .cli = session->cli, .fn = fn, .ctx = ctx };
	struct ipc_control_request request = { .request = ++session->request,
		.command = slice_str(command) };
	struct buf arguments, frame;
	int exit_code;

	buf_init(&client.line, 0);
	buf_init(&arguments, 0);
	buf_init(&frame, 0);
	for (size_t i = 0; i < word_count; i++)
		ipc_bytes_put(&arguments, slice_str(words[i]));
	request.arguments = buf_slice(&arguments);
	if (arguments.len > IPC_PAYLOAD_MAX - 1024) {
		exit_code = cli_complain(session->cli, EX_USAGE, "too many arguments");
	} else {
		ipc_encode(&frame, IPC_TYPE_control_request, false, &request);
		if (cli_write(session->fd, buf_slice(&frame)))
			exit_code = control_client_answer(&client, session->fd);
		else
			exit_code = cli_complain(session->cli, EX_UNAVAILABLE,
				"cannot write to the queue manager: %s", strerrordesc_np(errno));
	}
	buf_done(&frame);
	buf_done(&arguments);
	buf_done(&client.line);
	return exit_code;
}

int
control_client_run(struct cli *cli, const char *command, const char *const *words,
	size_t word_count, control_client_line_fn *fn, void *ctx)
{
	struct control_session session;
	int exit_code = control_session_open(&session, cli);

	if (exit_code == EX_OK)
		exit_code = control_session_ask(&session, command, words, word_count, fn, ctx);
	control_session_close(&session);
	return exit_code;
}
