/* agent_main.c - see agent_main.h */
#include "local/agent_main.h"

#include "base/check.h"
#include "base/mem.h"
#include "local/local_core.h"
#include "local/maildir.h"
#include "local/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

enum { FILE_SLACK = 4096 };

struct agent;

struct agent_client {
	struct agent *agent;
	struct channel channel;
	LIST_ENTRY(agent_client) link;
};

struct agent_request {
	struct agent_client *client; /* NULL: it is gone, nobody waits for the answer */
	uint64_t number;
	uint32_t uid;
	uint64_t length, hash;
	char *maildir; /* below the mail directory */
	char *host;
	int fd;
	struct buf payload; /* of a run_request */
	/* Under way. */
	struct runner *runner;
	pid_t pid;
	int reason_fd; /* what the child has to say */
	TAILQ_ENTRY(agent_request) link;
};

TAILQ_HEAD(agent_requests, agent_request);

struct agent {
	struct role *role;
	struct config *config; /* of the runner */
	int mail_dir;
	LIST_HEAD(, agent_client) clients;
	struct agent_requests waiting, running;
	unsigned waiting_count, running_count;
	bool is_stopping;
	struct loop_timer stop_timer;
	struct loop_hook hook;
};

static void start_waiting(struct agent *agent);

/* --- rights ----------------------------------------------------------------------------------- */

/* Of all that root may do: make and hand over a directory, become a user, end a child. */
static void
drop_capabilities(enum role_kind kind)
{
	const uint32_t become = 1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_KILL;
	const uint32_t kept = kind == ROLE_RUNNER
				      ? become
				      : become | 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE;
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { .effective = kept, .permitted = kept } };

	if (syscall(SYS_capset, &header, data) != 0)
		die(EX_OSERR, "capabilities cannot be given up: %s", strerror(errno));
}

static bool
become(uid_t uid, gid_t gid)
{
	return setgroups(1, &gid) == 0 && setresgid(gid, gid, gid) == 0 &&
	       setresuid(uid, uid, uid) == 0 && setuid(0) != 0 && geteuid() == uid;
}

/* --- the child -------------------------------------------------------------------------------- */

static enum agent_status
status_of(enum err err)
{
	if (err == ERR_OK)
		return AGENT_DONE;
	if (err == ERR_NOSPACE)
		return AGENT_FULL;
	return err == ERR_CORRUPT ? AGENT_CORRUPT : AGENT_TEMPORARY;
}

static _Noreturn void
child(const struct agent_request *request, const struct passwd *user, int home, int reason_fd)
{
	const char *below = strchr(request->maildir, '/');
	struct rlimit size = { request->length + FILE_SLACK, request->length + FILE_SLACK };
	struct maildir_message message = { .content_fd = request->fd,
		.content_length = request->length,
		.content_hash = request->hash };
	struct maildir_file file;
	struct fault fault = { 0 };
	enum err err;

	below = below == NULL ? "" : below + 1;
	(void)setrlimit(RLIMIT_FSIZE, &size);
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)alarm(AGENT_SECONDS);
	if (!become(user->pw_uid, user->pw_gid))
		_exit(AGENT_TEMPORARY);
	err = maildir_prepare(home, below, request->host, &message, &file, &fault);
	if (err == ERR_OK)
		err = maildir_commit(home, below, &file, &fault);
	if (err != ERR_OK)
		(void)!write(reason_fd, fault.text, strlen(fault.text));
	_exit((int)status_of(err));
}

/* --- requests --------------------------------------------------------------------------------- */

static void
answer(struct agent_request *request, enum agent_status status, const char *dsn,
	const char *reason)
{
	if (request->client != NULL)
		channel_send(&request->client->channel, IPC_TYPE_agent_result,
			&(struct ipc_agent_result){ .request = request->number,
				.status = (uint8_t)status,
				.dsn = slice_str(dsn),
				.reason = slice_str(reason) });
}

static void
request_free(struct agent_request *request)
{
	if (request->fd >= 0)
		(void)close(request->fd);
	if (request->reason_fd >= 0)
		(void)close(request->reason_fd);
	mem_free(request->maildir);
	mem_free(request->host);
	buf_done(&request->payload);
	runner_free(request->runner);
	mem_free(request);
}

/* The user's own directory, made if it is missing; -1: `reason` says why not. */
static int
open_home(struct agent *agent, const struct passwd *user, char *reason, size_t size)
{
	const char *name = user->pw_name;
	bool is_new = mkdirat(agent->mail_dir, name, 0700) == 0;
	int fd = openat(agent->mail_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st = { 0 };

	if (fd < 0 || fstat(fd, &st) != 0) {
		(void)snprintf(reason, size, "open mail directory %s: %s", name, strerror(errno));
	} else if (st.st_uid == 0 && fchown(fd, user->pw_uid, user->pw_gid) != 0) {
		/* Only the agent leaves one to root: when it was killed between two steps. */
		(void)snprintf(reason, size, "chown of %s: %s", name, strerror(errno));
	} else if (st.st_uid != 0 && st.st_uid != user->pw_uid) {
		(void)snprintf(reason, size,
			"mail directory %s belongs to uid %u, not to its user: chown -R %s it",
			name, st.st_uid, name);
	} else if (is_new && fsync(agent->mail_dir) != 0) {
		(void)snprintf(reason, size, "flush of the mail directory: %s", strerror(errno));
	} else {
		return fd;
	}
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

/* True: a child is at work. */
static bool
start_child(struct agent *agent, struct agent_request *request, char *reason, size_t size)
{
	const struct passwd *user = getpwuid(request->uid);
	size_t first = strcspn(request->maildir, "/");
	int home, pair[2];

	if (user == NULL || strlen(user->pw_name) != first ||
		strncmp(user->pw_name, request->maildir, first) != 0) {
		(void)snprintf(reason, size, "no user of this name has uid %u", request->uid);
		return false;
	}
	home = open_home(agent, user, reason, size);
	if (home < 0)
		return false;
	if (pipe2(pair, O_CLOEXEC) != 0) {
		(void)snprintf(reason, size, "pipe: %s", strerror(errno));
		(void)close(home);
		return false;
	}
	request->pid = fork();
	if (request->pid == 0)
		child(request, user, home, pair[1]);
	(void)close(home);
	(void)close(pair[1]);
	request->reason_fd = pair[0];
	if (request->pid > 0)
		return true;
	(void)snprintf(reason, size, "fork: %s", strerror(errno));
	return false;
}

static bool
start_runner(struct agent *agent, struct agent_request *request, struct runner_verdict *verdict)
{
	struct ipc_run_request ipc;

	CHECK(ipc_decode(IPC_TYPE_run_request, buf_slice(&request->payload), &ipc) == ERR_OK);
	request->runner =
		runner_start(agent->role->loop, agent->config, &ipc, request->fd, verdict);
	if (request->runner == NULL)
		return false;
	request->pid = request->runner->pid;
	return true;
}

static void
start_waiting(struct agent *agent)
{
	bool is_runner = agent->role->kind == ROLE_RUNNER;
	unsigned max = is_runner ? RUNNER_CHILDREN_MAX : AGENT_CHILDREN_MAX;

	while (agent->running_count < max && !TAILQ_EMPTY(&agent->waiting)) {
		struct agent_request *request = TAILQ_FIRST(&agent->waiting);
		struct runner_verdict verdict = { .status = AGENT_TEMPORARY };

		TAILQ_REMOVE(&agent->waiting, request, link);
		agent->waiting_count--;
		if (is_runner ? start_runner(agent, request, &verdict)
			      : start_child(agent, request, verdict.reason,
					sizeof(verdict.reason))) {
			TAILQ_INSERT_TAIL(&agent->running, request, link);
			agent->running_count++;
		} else {
			answer(request, verdict.status, verdict.dsn, verdict.reason);
			request_free(request);
		}
	}
}

static void
child_ended(struct agent *agent, struct agent_request *request, int status)
{
	char reason[FAULT_TEXT_SIZE] = "";
	struct runner_verdict verdict;
	ssize_t got = 0;

	TAILQ_REMOVE(&agent->running, request, link);
	agent->running_count--;
	if (request->runner == NULL)
		got = read(request->reason_fd, reason, sizeof(reason) - 1);
	reason[got > 0 ? got : 0] = '\0';
	if (request->runner != NULL) {
		runner_settle(request->runner, status, &verdict);
		answer(request, verdict.status, verdict.dsn, verdict.reason);
	} else if (!WIFEXITED(status) || WEXITSTATUS(status) > AGENT_CORRUPT) {
		(void)snprintf(reason, sizeof(reason), "delivery took too long, or was killed");
		answer(request, AGENT_TEMPORARY, "", reason);
	} else {
		answer(request, (enum agent_status)WEXITSTATUS(status), "", reason);
	}
	request_free(request);
}

static void
on_child(void *ctx, int signal)
{
	struct agent *agent = ctx;
	struct agent_request *request, *next;
	int status;

	(void)signal;
	for (request = TAILQ_FIRST(&agent->running); request != NULL; request = next) {
		next = TAILQ_NEXT(request, link);
		if (waitpid(request->pid, &status, WNOHANG) == request->pid)
			child_ended(agent, request, status);
	}
	start_waiting(agent);
}

/* --- clients ---------------------------------------------------------------------------------- */

static void
forget_client(struct agent_requests *requests, const struct agent_client *client)
{
	struct agent_request *request;

	TAILQ_FOREACH (request, requests, link)
		if (request->client == client)
			request->client = NULL;
}

/* What it asked for is finished all the same; it will be asked for again. */
static void
client_closed(void *ctx)
{
	struct agent_client *client = ctx;

	forget_client(&client->agent->waiting, client);
	forget_client(&client->agent->running, client);
	channel_close(&client->channel);
	LIST_REMOVE(client, link);
	mem_free(client);
}

/* Relative, each part a plain name. */
static bool
is_safe_path(struct slice path)
{
	struct slice part;
	bool any = false;

	if (path.len == 0 || path.len > LOCAL_PATH_MAX || path.ptr[0] == '/' ||
		slice_find(path, '\0') < path.len)
		return false;
	while (slice_word(&path, "/", &part)) {
		if (!any && !local_user_is_safe(part))
			return false;
		if (slice_equal_str(part, ".") || slice_equal_str(part, ".."))
			return false;
		any = true;
	}
	return any;
}

static struct agent_request *
request_new(struct agent_client *client, uint64_t number, int fd)
{
	struct agent_request *request = MEM_NEW(struct agent_request);

	request->client = client;
	request->number = number;
	request->fd = fd;
	request->reason_fd = -1;
	buf_init(&request->payload, 0);
	return request;
}

static void
enqueue(struct agent *agent, struct agent_request *request)
{
	if (agent->waiting_count >= AGENT_WAITING_MAX) {
		answer(request, AGENT_TEMPORARY, "", "too many deliveries are waiting");
		request_free(request);
		return;
	}
	TAILQ_INSERT_TAIL(&agent->waiting, request, link);
	agent->waiting_count++;
	start_waiting(agent);
}

static bool
take_request(struct agent_client *client, const struct ipc_agent_request *ipc, int fd)
{
	struct agent_request *request;

	if (client->agent->role->kind != ROLE_AGENT || ipc->uid == 0 ||
		!is_safe_path(ipc->maildir) || fd < 0)
		return false;
	request = request_new(client, ipc->request, fd);
	request->uid = ipc->uid;
	request->length = ipc->length;
	request->hash = ipc->hash;
	request->maildir = mem_strndup((const char *)ipc->maildir.ptr, ipc->maildir.len);
	request->host = mem_strndup((const char *)ipc->host.ptr, ipc->host.len);
	enqueue(client->agent, request);
	return true;
}

static bool
take_run(struct agent_client *client, uint64_t number, struct slice payload, int fd)
{
	struct agent_request *request;

	if (client->agent->role->kind != ROLE_RUNNER || fd < 0)
		return false;
	request = request_new(client, number, fd);
	buf_add(&request->payload, payload);
	enqueue(client->agent, request);
	return true;
}

static void
client_frame(void *ctx, uint16_t type, struct slice payload, int fd)
{
	struct agent_client *client = ctx;
	union ipc_any any;

	check_poison(role_name(client->agent->role->kind), payload.ptr, payload.len);
	if (type == IPC_TYPE_agent_request && ipc_decode(type, payload, &any) == ERR_OK &&
		take_request(client, &any.agent_request, fd))
		return;
	if (type == IPC_TYPE_run_request && ipc_decode(type, payload, &any) == ERR_OK &&
		take_run(client, any.run_request.request, payload, fd))
		return;
	if (fd >= 0)
		(void)close(fd);
	if (type == IPC_TYPE_hello)
		return;
	log_event(&client->agent->role->log.log, EV_role_fault,
		LOG_Z("a request that it must not get; its channel is closed"));
	client_closed(client);
}

/* --- process ---------------------------------------------------------------------------------- */

static void
master_frame(struct role *role, uint16_t type, struct slice payload, int fd)
{
	struct agent *agent = role->ctx;
	struct agent_client *client;

	(void)payload;
	if (type != IPC_TYPE_role_peer || fd < 0) {
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	client = MEM_NEW(struct agent_client);
	client->agent = agent;
	LIST_INSERT_HEAD(&agent->clients, client, link);
	channel_open(&client->channel, role->loop, fd, client_frame, client_closed, client);
}

static void
stop_time_up(void *ctx)
{
	role_exit(((struct agent *)ctx)->role, EX_OK);
}

static void
maybe_exit(void *ctx)
{
	struct agent *agent = ctx;

	if (agent->is_stopping && TAILQ_EMPTY(&agent->running) && TAILQ_EMPTY(&agent->waiting) &&
		LIST_EMPTY(&agent->clients))
		role_exit(agent->role, EX_OK);
}

/* local leaves first: then its channel closes and nothing is left to do. */
static void
stop(struct role *role, uint32_t grace_ms)
{
	struct agent *agent = role->ctx;

	agent->is_stopping = true;
	loop_timer_set_ns(&agent->stop_timer, grace_ms * NS_PER_MS);
}

/* The agent needs none. */
static void
take_config(struct role *role, int fd, uint64_t number)
{
	struct agent *agent = role->ctx;
	struct config *config;
	struct fault fault = { 0 };

	(void)number;
	if (role->kind != ROLE_RUNNER) {
		(void)close(fd);
		return;
	}
	if (config_open_fd(fd, &config, &fault) != ERR_OK) {
		log_event(&role->log.log, EV_role_fault, LOG_Z(fault.text));
	} else {
		config_close(agent->config);
		agent->config = config;
	}
	(void)close(fd);
}

static const struct role_callbacks callbacks = {
	.config = take_config,
	.master_frame = master_frame,
	.stop = stop,
};

int
agent_main(struct role *role)
{
	struct agent *agent = MEM_NEW(struct agent);

	agent->role = role;
	agent->mail_dir = role->directories[ROLE_DIR_MAIL];
	role->ctx = agent;
	LIST_INIT(&agent->clients);
	TAILQ_INIT(&agent->waiting);
	TAILQ_INIT(&agent->running);
	take_config(role, role->config_fd, 0);
	role->config_fd = -1;
	if (role->kind == ROLE_RUNNER && agent->config == NULL)
		die(EX_CONFIG, "the configuration cannot be read");
	(void)umask(077);
	if (geteuid() == 0)
		drop_capabilities(role->kind);
	loop_signal_add(role->loop, SIGCHLD, on_child, agent);
	loop_timer_init(&agent->stop_timer, role->loop, stop_time_up, agent);
	role_hook_add(role, &agent->hook, maybe_exit, agent);
	return role_run(role, &callbacks);
}
