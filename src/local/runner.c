/* runner.c - see runner.h */
#include "local/runner.h"

#include "base/check.h"
#include "base/mem.h"
#include "local/runner_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READ_SIZE = 4096 };

/* Reads what is there; the first bytes are kept, control bytes made blanks. */
static void
read_output(struct runner *runner)
{
	uint8_t bytes[READ_SIZE];
	ssize_t got;

	while ((got = read(runner->output_fd, bytes, sizeof(bytes))) > 0) {
		for (ssize_t i = 0; i < got && runner->output.len < RUNNER_OUTPUT_MAX; i++) {
			uint8_t byte = bytes[i] < 32 || bytes[i] == 127 ? ' ' : bytes[i];

			buf_add(&runner->output, slice_make(&byte, 1));
		}
	}
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		loop_fd_want(&runner->watch, 0);
}

static void
output_ready(void *ctx, int ready)
{
	(void)ready;
	read_output(ctx);
}

static void
time_is_up(void *ctx)
{
	struct runner *runner = ctx;

	runner->is_late = true;
	(void)kill(-runner->pid, SIGKILL);
	(void)kill(runner->pid, SIGKILL); /* before it has a group of its own */
}

struct runner *
runner_start(struct loop *loop, const struct config *config, const struct ipc_run_request *request,
	int fd, struct runner_verdict *ret_verdict)
{
	struct runner_order order;
	struct runner *runner = NULL;
	int pair[2];

	if (!runner_order_make(&order, config, request, ret_verdict)) {
		runner_order_done(&order);
		return NULL;
	}
	if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) == 0) {
		pid_t pid;

		(void)fcntl(pair[1], F_SETFL, 0);
		pid = fork();
		if (pid == 0)
			runner_child(&order, fd, pair[1]);
		(void)close(pair[1]);
		if (pid > 0) {
			runner = MEM_NEW(struct runner);
			runner->loop = loop;
			runner->pid = pid;
			runner->output_fd = pair[0];
			runner->is_file = order.is_file;
			runner->command = mem_strndup(order.shown, strlen(order.shown));
			buf_init(&runner->output, RUNNER_OUTPUT_MAX);
			loop_fd_open(&runner->watch, loop, pair[0], LOOP_READ, output_ready,
				runner);
			loop_timer_init(&runner->timer, loop, time_is_up, runner);
			loop_timer_set_ns(&runner->timer,
				config_time_s(config, NULL, PARAM_COMMAND_TIME_LIMIT) * NS_PER_S);
		} else {
			(void)close(pair[0]);
		}
	}
	if (runner == NULL) {
		*ret_verdict = (struct runner_verdict){ .status = AGENT_TEMPORARY, .dsn = "4.3.0" };
		(void)snprintf(ret_verdict->reason, sizeof(ret_verdict->reason),
			"command cannot be started: %s", strerror(errno));
	}
	runner_order_done(&order);
	return runner;
}

void
runner_settle(struct runner *runner, int wait_status, struct runner_verdict *ret_verdict)
{
	struct slice output;

	read_output(runner);
	output = slice_trim(buf_slice(&runner->output));
	*ret_verdict = (struct runner_verdict){ .status = AGENT_TEMPORARY, .dsn = "4.3.0" };
	if (runner->is_late) {
		ret_verdict->status = runner->is_file ? AGENT_TEMPORARY : AGENT_REFUSED;
		(void)snprintf(ret_verdict->dsn, sizeof(ret_verdict->dsn),
			runner->is_file ? "4.2.0" : "5.3.0");
		(void)snprintf(ret_verdict->reason, sizeof(ret_verdict->reason),
			"Command time limit exceeded: \"%.500s\"", runner->command);
	} else if (!WIFEXITED(wait_status)) {
		(void)snprintf(ret_verdict->reason, sizeof(ret_verdict->reason),
			"Command died with signal %d: \"%.300s\"%s%" SLICE_FMT,
			WTERMSIG(wait_status), runner->command,
			output.len > 0 ? ". Command output: " : "", SLICE_ARG(output));
	} else if (!runner->is_file) {
		runner_judge(WEXITSTATUS(wait_status), output, runner->command, ret_verdict);
	} else if (WEXITSTATUS(wait_status) == 0) {
		*ret_verdict = (struct runner_verdict){ .status = AGENT_DONE, .dsn = "2.0.0" };
		(void)snprintf(ret_verdict->reason, sizeof(ret_verdict->reason),
			"delivered to file: %.500s", runner->command);
	} else {
		bool is_full = WEXITSTATUS(wait_status) == AGENT_FULL;

		(void)snprintf(ret_verdict->dsn, sizeof(ret_verdict->dsn),
			is_full ? "4.2.2" : "4.2.0");
		(void)snprintf(ret_verdict->reason, sizeof(ret_verdict->reason),
			"cannot append message to file %.300s: %" SLICE_FMT, runner->command,
			SLICE_ARG(output));
	}
}

void
runner_free(struct runner *runner)
{
	if (runner == NULL)
		return;
	loop_fd_close(&runner->watch);
	loop_timer_done(&runner->timer);
	(void)close(runner->output_fd);
	buf_done(&runner->output);
	mem_free(runner->command);
	mem_free(runner);
}
