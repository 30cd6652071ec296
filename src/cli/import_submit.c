/*
 * import_submit.c - many submissions to pickup at a time (see import_submit.h)
 */
#include "cli/import_submit.h"

#include "base/mem.h"
#include "message/submission.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

enum { IMPORT_SUBMIT_WAIT_MS = 600 * 1000 };

struct import_submit_slot {
	struct import_submit_job *job; /* NULL: idle */
	struct slice rest;	       /* not written yet */
	struct buf reply;
};

struct import_submit {
	struct cli *cli;
	char *path;
	struct import_submit_slot slots[IMPORT_SUBMIT_MAX];
	struct pollfd polls[IMPORT_SUBMIT_MAX];
	size_t busy_count;
};

static void
import_submit_end(struct import_submit *submit, size_t i, int exit_code, struct slice text)
{
	struct import_submit_slot *slot = &submit->slots[i];

	slot->job->exit_code = exit_code;
	(void)snprintf(slot->job->text, sizeof(slot->job->text), "%" SLICE_FMT,
		SLICE_ARG(slice_head(text, IMPORT_SUBMIT_TEXT - 1)));
	slot->job = NULL;
	(void)close(submit->polls[i].fd);
	submit->polls[i].fd = -1;
	buf_done(&slot->reply);
	submit->busy_count--;
}

static bool
import_submit_start(struct import_submit *submit, size_t i, struct import_submit_job *job)
{
	int fd = cli_connect(submit->cli, submit->path);

	if (fd < 0)
		return false;
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	submit->polls[i] = (struct pollfd) { .fd = fd, .events = POLLOUT };
	submit->slots[i] = (struct import_submit_slot) { .job = job, .rest = job->bytes };
	buf_init(&submit->slots[i].reply, 0);
	submit->busy_count++;
	return true;
}

static void
import_submit_write(struct import_submit *submit, size_t i)
{
	struct import_submit_slot *slot = &submit->slots[i];

	while (slot->rest.len > 0) {
		ssize_t sent = write(submit->polls[i].fd, slot->rest.ptr, slot->rest.len);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN)
			return;
		if (sent < 0) /* pickup refuses: its reply tells why */
			break;
		slot->rest = slice_from(slot->rest, (size_t)sent);
	}
	/* Not shut down: pickup must see that we are still there when it commits. */
	submit->polls[i].events = POLLIN;
}

static void
import_submit_read(struct import_submit *submit, size_t i)
{
	struct import_submit_slot *slot = &submit->slots[i];
	struct slice text;
	uint8_t code;
	ssize_t got;

	if (buf_reserve(&slot->reply, SUBMISSION_REPLY_TEXT_MAX) < 0)
		return;
	got = read(submit->polls[i].fd, slot->reply.ptr + slot->reply.len,
		SUBMISSION_REPLY_TEXT_MAX);
	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	slot->reply.len += got > 0 ? (size_t)got : 0;
	if (submission_parse_reply(buf_slice(&slot->reply), &code, &text) == ERR_OK)
		import_submit_end(submit, i, code, text);
	else if (got <= 0)
		import_submit_end(submit, i, EX_TEMPFAIL,
			SLICE_LIT("the mail system went away before it had taken it"));
}

static void
import_submit_events(struct import_submit *submit)
{
	int count = poll(submit->polls, IMPORT_SUBMIT_MAX, IMPORT_SUBMIT_WAIT_MS);

	for (size_t i = 0; i < IMPORT_SUBMIT_MAX; i++) {
		if (submit->slots[i].job == NULL)
			continue;
		if (count == 0)
			import_submit_end(submit, i, EX_TEMPFAIL, SLICE_LIT("no answer"));
		else if (submit->polls[i].revents == 0)
			continue;
		else if (submit->polls[i].events == POLLOUT)
			import_submit_write(submit, i);
		else
			import_submit_read(submit, i);
	}
}

/* Gives idle slots something to do; false: nobody listens. */
static bool
import_submit_fill(
	struct import_submit *submit, struct import_submit_job *jobs, size_t count, size_t *next)
{
	for (size_t i = 0; i < IMPORT_SUBMIT_MAX; i++) {
		while (*next < count && !jobs[*next].is_wanted)
			(*next)++;
		if (*next == count)
			return true;
		if (submit->slots[i].job == NULL && !import_submit_start(submit, i, &jobs[*next]))
			return false;
		else if (submit->slots[i].job == &jobs[*next])
			(*next)++;
	}
	return true;
}

int
import_submit_all(struct cli *cli, struct import_submit_job *jobs, size_t count)
{
	struct import_submit *submit = MEM_NEW(struct import_submit);
	size_t next = 0;
	int exit_code = EX_OK;

	submit->cli = cli;
	submit->path = cli_value(cli, PARAM_SUBMIT_SOCKET);
	for (size_t i = 0; i < IMPORT_SUBMIT_MAX; i++)
		submit->polls[i].fd = -1;
	for (size_t i = 0; i < count; i++)
		if (jobs[i].is_wanted)
			jobs[i].exit_code = EX_TEMPFAIL;
	do {
		if (exit_code == EX_OK && submit->path != NULL
			&& !import_submit_fill(submit, jobs, count, &next))
			exit_code = cli_complain(cli, EX_UNAVAILABLE,
				"the mail system is down: nobody answers at %s of its "
				"queue_directory",
				submit->path);
		if (submit->busy_count > 0)
			import_submit_events(submit);
	} while (submit->busy_count > 0 || (next < count && exit_code == EX_OK && submit->path));
	if (submit->path == NULL)
		exit_code = EX_CONFIG;
	mem_free(submit->path);
	mem_free(submit);
	return exit_code;
}
