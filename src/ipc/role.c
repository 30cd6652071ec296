/*
 * role.c - the common start and end of role processes (see role.h)
 */
#include "ipc/role.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/sandbox.h"
#include "base/wire.h"

#include <signal.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

static const char *const role_names[ROLE_KIND_COUNT] = {
	[ROLE_MASTER] = "master",
	[ROLE_QMGR] = "qmgr",
	[ROLE_SMTPD] = "smtpd",
	[ROLE_PICKUP] = "pickup",
	[ROLE_SMTP] = "smtp",
	[ROLE_RESOLVER] = "resolver",
	[ROLE_LOCAL] = "local",
	[ROLE_AGENT] = "agent",
	[ROLE_RUNNER] = "runner",
	[ROLE_ADMIN] = "admin",
	[ROLE_LOG] = "log",
};

const char *
role_name(enum role_kind kind)
{
	CHECK(kind < ROLE_KIND_COUNT);
	return role_names[kind];
}

unsigned
role_sandbox(enum role_kind kind)
{
	static const unsigned flags[ROLE_KIND_COUNT] = {
		[ROLE_RESOLVER] = SANDBOX_SOCKETS | SANDBOX_READ_ETC,
		[ROLE_SMTP] = SANDBOX_SOCKETS,
		[ROLE_LOCAL] = SANDBOX_READ_ETC, /* the accounts' names */
		[ROLE_QMGR] = SANDBOX_READ_ETC,  /* those of operators */
		[ROLE_AGENT] = SANDBOX_READ_ETC | SANDBOX_BECOME,
		/* Its commands inherit what it may. */
		[ROLE_RUNNER] = SANDBOX_SOCKETS | SANDBOX_BECOME | SANDBOX_EXECUTE,
	};

	CHECK(kind < ROLE_KIND_COUNT);
	return flags[kind];
}

enum err
role_find(const char *name, enum role_kind *ret_kind)
{
	for (int i = 0; i < ROLE_KIND_COUNT; i++) {
		if (strcmp(role_names[i], name) == 0) {
			*ret_kind = (enum role_kind)i;
			return ERR_OK;
		}
	}
	return ERR_NOTFOUND;
}

static void
role_copy_text(char *to, size_t size, struct slice text)
{
	(void)snprintf(to, size, "%" SLICE_FMT, SLICE_ARG(text));
}

static void
role_take_log(struct role *role, const struct ipc_role_log *message, int fd)
{
	char host[100], tag[64];
	static int previous = -1;

	role_copy_text(host, sizeof(host), message->host);
	role_copy_text(tag, sizeof(tag), message->tag);
	if (previous >= 0) {
		log_file_reopen(&role->log, fd);
		(void)close(previous);
	} else {
		log_file_init(&role->log, fd,
			message->style == LOG_FILE_SYSLOG ? LOG_FILE_SYSLOG : LOG_FILE_PLAIN, host,
			tag, role_name(role->kind));
		log_file_own_checks(&role->log);
	}
	role->log.facility = message->facility;
	previous = fd;
}

static void
role_take_listener(struct role *role, const struct ipc_role_listener *message, int fd)
{
	struct role_listener *listener;

	CHECK(role->listener_count < ROLE_LISTENERS_MAX);
	listener = &role->listeners[role->listener_count++];
	listener->fd = fd;
	role_copy_text(listener->service, sizeof(listener->service), message->service);
	role_copy_text(listener->address, sizeof(listener->address), message->address);
}

static void
role_take_qmgr(struct role *role, int fd)
{
	if (role->qmgr_fd >= 0)
		(void)close(role->qmgr_fd);
	role->qmgr_fd = fd;
}

static void
role_take_directory(struct role *role, const struct ipc_role_directory *message, int fd)
{
	CHECK(message->kind < ROLE_DIR_COUNT);
	role->directories[message->kind] = fd;
}

static void
role_take_black_box(struct role *role, int fd)
{
	if (black_box_open(fd, &role->black_box) != ERR_OK)
		die(EX_SOFTWARE, "the black box cannot be mapped");
	(void)close(fd);
}

static void
role_take_deaths(struct role *role, struct slice list)
{
	while (list.len >= 12 && role->death_count < ROLE_DEATHS_MAX) {
		struct wire_reader reader = wire_reader(list);
		struct role_death *death = &role->deaths[role->death_count++];

		death->queue_id = wire_get_u64(&reader);
		death->count = wire_get_u32(&reader);
		list = slice_from(list, 12);
	}
}

/* One frame of the start; true: role_start, the last one. */
static bool
role_take_frame(struct role *role, uint16_t type, const union ipc_any *any, int fd)
{
	switch (type) {
	case IPC_TYPE_role_config:
		role->config_fd = fd;
		role->config_number = any->role_config.number;
		break;
	case IPC_TYPE_role_log:
		role_take_log(role, &any->role_log, fd);
		break;
	case IPC_TYPE_role_log_source:
		CHECK(any->role_log_source.bytes_max == LOG_FILE_SEND_MAX);
		role->log_source_fd = fd;
		break;
	case IPC_TYPE_role_directory:
		role_take_directory(role, &any->role_directory, fd);
		break;
	case IPC_TYPE_role_listener:
		role_take_listener(role, &any->role_listener, fd);
		break;
	case IPC_TYPE_role_qmgr:
		role_take_qmgr(role, fd);
		break;
	case IPC_TYPE_role_black_box:
		role_take_black_box(role, fd);
		break;
	case IPC_TYPE_role_table:
		role->table_fd = fd;
		break;
	case IPC_TYPE_role_start:
		role->peers_expected = any->role_start.peers;
		role_take_deaths(role, any->role_start.deaths);
		if (any->role_start.machine.len == ROLE_MACHINE_SIZE)
			memcpy(role->machine, any->role_start.machine.ptr, ROLE_MACHINE_SIZE);
		if (any->role_start.secret.len == sizeof(role->secret))
			memcpy(role->secret, any->role_start.secret.ptr, sizeof(role->secret));
		return true;
	default:
		die(EX_SOFTWARE, "unexpected frame %s before the start", ipc_type_name(type));
	}
	return false;
}

struct role *
role_open(enum role_kind kind, uint32_t slot)
{
	struct role *role = MEM_NEW(struct role);
	struct buf frame;
	bool started = false;

	role->kind = kind;
	role->slot = slot;
	role->config_fd = role->table_fd = role->qmgr_fd = role->log_source_fd = -1;
	for (int i = 0; i < ROLE_DIR_COUNT; i++)
		role->directories[i] = -1;
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN); /* a terminal's Ctrl-C reaches all of us: master decides */
	(void)signal(SIGHUP, SIG_IGN);
	buf_init(&frame, IPC_PAYLOAD_MAX);
	while (!started) {
		union ipc_any any;
		uint16_t type;
		struct slice payload;
		int fd;
		enum err err = channel_read_blocking(ROLE_MASTER_FD, &frame, &type, &payload, &fd);

		if (err == ERR_OK)
			err = ipc_decode(type, payload, &any);
		if (err < 0 || ipc_type_has_fd(type) != (fd >= 0))
			die(EX_SOFTWARE, "%s: no start from master: %s", role_name(kind),
				err_meaning(err));
		started = role_take_frame(role, type, &any, fd);
	}
	buf_done(&frame);
	role->loop = loop_new();
	return role;
}

void
role_hook_add(struct role *role, struct loop_hook *hook, loop_hook_fn *fn, void *ctx)
{
	loop_hook_add(role->loop, hook, fn, ctx);
}

static void
role_qmgr_frame(void *ctx, uint16_t type, struct slice payload, int fd)
{
	struct role *role = ctx;

	if (role->callbacks->qmgr_frame != NULL)
		role->callbacks->qmgr_frame(role, type, payload, fd);
	else if (fd >= 0)
		(void)close(fd);
}

static void
role_qmgr_closed(void *ctx)
{
	struct role *role = ctx;
	const char *fault = channel_fault(&role->qmgr);

	/* A living queue manager gives us no second channel: the next process gets one. */
	if (fault != NULL)
		die(EX_SOFTWARE, "the channel to the queue manager failed: %s", fault);
	channel_close(&role->qmgr);
	if (role->callbacks->qmgr_down != NULL)
		role->callbacks->qmgr_down(role);
}

static void
role_qmgr_open(struct role *role)
{
	struct ipc_hello hello = { .kind = (uint8_t)role->kind, .pid = (uint32_t)getpid(),
		.slot = role->slot, .config_number = role->config_number };

	if (role->qmgr_fd < 0)
		return;
	/* The old one's last words are answers that were promised: they count. Its end may have
	 * been seen already in this turn, and not been told yet. */
	channel_drain(&role->qmgr);
	if (!channel_is_closed(&role->qmgr))
		role_qmgr_closed(role);
	channel_open(
		&role->qmgr, role->loop, role->qmgr_fd, role_qmgr_frame, role_qmgr_closed, role);
	role->qmgr_fd = -1;
	channel_send(&role->qmgr, IPC_TYPE_hello, &hello);
	if (role->callbacks->qmgr_up != NULL)
		role->callbacks->qmgr_up(role);
}

static void
role_master_closed(void *ctx)
{
	struct role *role = ctx;

	channel_close(&role->master);
	if (role->callbacks->master_down != NULL)
		role->callbacks->master_down(role);
	else
		role_exit(role, 0);
}

static void
role_master_frame(void *ctx, uint16_t type, struct slice payload, int fd)
{
	struct role *role = ctx;
	const struct role_callbacks *callbacks = role->callbacks;
	union ipc_any any;

	if (ipc_decode(type, payload, &any) < 0)
		die(EX_SOFTWARE, "bad frame %s from master", ipc_type_name(type));
	if (type == IPC_TYPE_role_qmgr) {
		role_take_qmgr(role, fd);
		role_qmgr_open(role);
	} else if (type == IPC_TYPE_role_log) {
		role_take_log(role, &any.role_log, fd);
	} else if (type == IPC_TYPE_role_ping) {
		channel_send(&role->master, IPC_TYPE_role_pong,
			&(struct ipc_role_pong){ .number = any.role_ping.number });
	} else if (type == IPC_TYPE_role_config && callbacks->config != NULL) {
		role->config_number = any.role_config.number;
		callbacks->config(role, fd, any.role_config.number);
	} else if (type == IPC_TYPE_role_stop) {
		if (callbacks->stop != NULL)
			callbacks->stop(role, any.role_stop.grace_ms);
		else
			role_exit(role, 0);
	} else if (callbacks->master_frame != NULL) {
		callbacks->master_frame(role, type, payload, fd);
	} else if (fd >= 0) {
		(void)close(fd);
	}
}

static void
role_flush_log(void *ctx)
{
	struct role *role = ctx;

	if (!log_file_flush(&role->log))
		loop_timer_set_ns(&role->log_timer, LOG_FILE_RETRY_MS * NS_PER_MS);
}

/* The hook of this turn flushes again. */
static void
role_log_due(void *ctx)
{
	(void)ctx;
}

int
role_run(struct role *role, const struct role_callbacks *callbacks)
{
	struct ipc_role_ready ready = { .pid = (uint32_t)getpid() };

	role->callbacks = callbacks;
	loop_timer_init(&role->log_timer, role->loop, role_log_due, role);
	loop_hook_add(role->loop, &role->log_hook, role_flush_log, role);
	loop_hook_add(role->loop, &role->channel_hook, channel_flush_all, NULL);
	channel_open(&role->master, role->loop, ROLE_MASTER_FD, role_master_frame,
		role_master_closed, role);
	channel_send(&role->master, IPC_TYPE_role_ready, &ready);
	log_event(&role->log.log, EV_role_started, LOG_I(getpid()));
	role_qmgr_open(role);
	loop_run(role->loop);
	(void)log_file_flush(&role->log);
	return role->exit_code;
}

void
role_exit(struct role *role, int exit_code)
{
	role->exit_code = exit_code;
	loop_stop(role->loop);
}
