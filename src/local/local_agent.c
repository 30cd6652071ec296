/* local_agent.c - see local_agent.h */
#include "local/local_agent.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "local/local_core.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PASSWD_SIZE = 16 * 1024, PIECE = 64 * 1024 };

/* --- answers ---------------------------------------------------------------------------------- */

static void
settle(struct local_ask *ask, enum agent_status status, struct slice dsn, struct slice reason)
{
	HASH_DELETE(hh, ask->agent->asks, ask);
	ask->done(ask, status, dsn, reason);
}

static void
agent_frame(void *ctx, uint16_t type, struct slice payload, int fd)
{
	struct local_agent *agent = ctx;
	struct local_ask *ask;
	union ipc_any any;

	if (fd >= 0)
		(void)close(fd);
	if (type != IPC_TYPE_agent_result || ipc_decode(type, payload, &any) != ERR_OK)
		return;
	HASH_FIND(hh, agent->asks, &any.agent_result.request, sizeof(ask->number), ask);
	if (ask != NULL)
		settle(ask, (enum agent_status)any.agent_result.status, any.agent_result.dsn,
			any.agent_result.reason);
}

static void
agent_closed(void *ctx)
{
	struct local_agent *agent = ctx;
	struct local_ask *ask, *next;

	channel_close(&agent->channel);
	HASH_ITER(hh, agent->asks, ask, next)
	{
		ask->was_lost = true;
		settle(ask, AGENT_TEMPORARY, slice_make(NULL, 0),
			SLICE_LIT("the delivery agent has gone away"));
	}
}

void
local_agent_init(struct local_agent *agent, struct loop *loop)
{
	*agent = (struct local_agent){ .loop = loop };
}

void
local_agent_connect(struct local_agent *agent, int fd)
{
	agent_closed(agent);
	channel_open(&agent->channel, agent->loop, fd, agent_frame, agent_closed, agent);
}

bool
local_agent_is_there(const struct local_agent *agent)
{
	return channel_is_open(&agent->channel);
}

/* --- requests --------------------------------------------------------------------------------- */

bool
local_agent_user(struct slice name, uint32_t *ret_uid)
{
	char text[LOCAL_USER_MAX + 1], buffer[PASSWD_SIZE];
	struct passwd user, *found = NULL;

	if (name.len > LOCAL_USER_MAX)
		return false;
	memcpy(text, name.ptr, name.len);
	text[name.len] = '\0';
	if (getpwnam_r(text, &user, buffer, sizeof(buffer), &found) != 0 || found == NULL ||
		user.pw_uid == 0 || strcmp(user.pw_name, text) != 0)
		return false;
	*ret_uid = user.pw_uid;
	return true;
}

static enum err
measure(struct local_staged *staged, struct fault *reterr_fault)
{
	struct hash_stream *hash = hash_stream_new();
	uint8_t *piece = mem_array(PIECE, 1);
	ssize_t got;

	staged->length = 0;
	while ((got = pread(staged->fd, piece, PIECE, (off_t)staged->length)) > 0) {
		hash_stream_add(hash, slice_make(piece, (size_t)got));
		staged->length += (uint64_t)got;
	}
	staged->hash = hash_stream_value(hash);
	mem_free(piece);
	hash_stream_free(hash);
	return got == 0 ? ERR_OK : fault_errno(reterr_fault, errno, "read of the staged message");
}

enum err
local_agent_stage(int directory, const struct maildir_message *message,
	struct local_staged *ret_staged, struct fault *reterr_fault)
{
	struct local_staged staged = {
		.fd = openat(directory, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600),
	};
	enum err err;

	if (staged.fd < 0)
		staged.fd = memfd_create("ostler-message", MFD_CLOEXEC);
	if (staged.fd < 0)
		return fault_errno(reterr_fault, errno, "stage the message");
	err = maildir_write(staged.fd, message, reterr_fault);
	if (err == ERR_OK)
		err = measure(&staged, reterr_fault);
	if (err == ERR_OK)
		*ret_staged = staged;
	else
		(void)close(staged.fd);
	return err;
}

/* Sends a request, whose number is agent->next; it is answered once, whatever happens. */
static void
ask_for(struct local_agent *agent, struct local_ask *ask, uint16_t type, const void *request,
	const struct local_staged *staged)
{
	ask->number = agent->next;
	ask->agent = agent;
	ask->was_lost = ask->was_absent = false;
	HASH_ADD(hh, agent->asks, number, sizeof(ask->number), ask);
	if (local_agent_is_there(agent))
		channel_send_fd(&agent->channel, type, request, staged->fd);
	(void)close(staged->fd);
	if (!local_agent_is_there(agent)) {
		ask->was_absent = true;
		settle(ask, AGENT_TEMPORARY, slice_make(NULL, 0),
			SLICE_LIT("there is no delivery agent now"));
	}
}

void
local_agent_ask(struct local_agent *agent, struct local_ask *ask, uint32_t uid,
	const char *maildir, const char *host, const struct local_staged *staged)
{
	struct ipc_agent_request request = {
		.request = ++agent->next,
		.uid = uid,
		.maildir = slice_str(maildir),
		.host = slice_str(host),
		.length = staged->length,
		.hash = staged->hash,
	};

	ask_for(agent, ask, IPC_TYPE_agent_request, &request, staged);
}

void
local_agent_run(struct local_agent *runner, struct local_ask *ask, struct ipc_run_request *request,
	const struct local_staged *staged)
{
	request->request = ++runner->next;
	request->length = staged->length;
	request->hash = staged->hash;
	ask_for(runner, ask, IPC_TYPE_run_request, request, staged);
}
