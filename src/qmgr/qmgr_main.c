/*
 * qmgr_main.c - sockets, disk and time for the core (see qmgr_main.h)
 *
 * Frames of peers are given to the core as they come; everything else happens in one hook at the
 * end of each turn: completions of the disk, the core's step, peers that are to be closed, the
 * timer for the next step. Peers are not read before the queue is open.
 */
#include "qmgr/qmgr_main.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rand.h"
#include "qmgr/core.h"
#include "store/disk_file.h"
#include "store/file_system.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sysexits.h>
#include <unistd.h>
#include <uthash.h>

/* Tools at a time: in all, of them kept for those who may change the queue, of any other user. */
enum { TOOLS_MAX = 64, TOOLS_RESERVED = 16, TOOLS_PER_USER = 8 };
enum { TOOL_PENDING_MAX = 1024 * 1024 }; /* unread bytes at which a tool's requests wait */
#define SPACE_NS (1 * NS_PER_S)
#define STOP_NS (5 * NS_PER_S)

struct qmgr;

struct qmgr_peer {
	struct qmgr *qmgr;
	core_peer number;
	struct channel channel;
	const char *name; /* of its role, or "tool" */
	uint32_t pid;
	uid_t uid; /* of a tool */
	bool is_tool;
	bool is_worker; /* it may speak only when all messages are known */
	bool is_bad;  /* a tool is closed in the hook, a role when it is dead */
	bool is_gone; /* closed; freed in the hook */
	UT_hash_handle hh;
	LIST_ENTRY(qmgr_peer) gone_link;
};

/* A listening socket for tools. */
struct control {
	struct qmgr *qmgr;
	struct loop_fd watch;
};

struct qmgr {
	struct role *role;
	struct core *core;
	struct config *config;
	struct disk_file *disk;
	struct loop_hook hook;
	struct loop_timer timer;
	struct loop_timer space_timer; /* looks at the free space every SPACE_NS */
	struct control control[ROLE_LISTENERS_MAX];
	int control_count;
	struct qmgr_peer *peers; /* hash by number */
	LIST_HEAD(, qmgr_peer) gone;
	core_peer next;
	unsigned tool_count;
	bool is_stopping;
	struct mono stop_by;
};

static struct qmgr_peer *
peer_find(struct qmgr *qmgr, core_peer number)
{
	struct qmgr_peer *peer;

	HASH_FIND(hh, qmgr->peers, &number, sizeof(number), peer);
	return peer;
}

/* --- what the core does to others ------------------------------------------------------------- */

static void
out_send(void *ctx, core_peer number, enum ipc_type type, const void *message)
{
	struct qmgr_peer *peer = peer_find(ctx, number);

	if (peer != NULL)
		channel_send(&peer->channel, type, message);
}

static bool
out_send_large(void *ctx, core_peer number, const struct ipc_work *work, uint64_t large)
{
	struct qmgr *qmgr = ctx;
	struct qmgr_peer *peer = peer_find(qmgr, number);
	char name[STORE_LARGE_NAME_SIZE];
	int fd;

	store_large_name(large, name);
	fd = openat(qmgr->role->directories[ROLE_DIR_LARGE], name,
		O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	if (peer != NULL)
		channel_send_fd(&peer->channel, IPC_TYPE_work, work, fd);
	(void)close(fd);
	return true;
}

static size_t
out_pending(void *ctx, core_peer number)
{
	struct qmgr_peer *peer = peer_find(ctx, number);

	return peer == NULL ? 0 : channel_pending(&peer->channel);
}

static void
out_kill(void *ctx, uint32_t pid)
{
	struct qmgr *qmgr = ctx;

	struct ipc_role_kill wanted = { .pid = pid };

	channel_send(&qmgr->role->master, IPC_TYPE_role_kill, &wanted);
}

static void
out_working(void *ctx, uint64_t queue_id)
{
	const struct qmgr *qmgr = ctx;

	black_box_note(qmgr->role->black_box, queue_id, 0);
}

static void
out_want_solo(void *ctx, enum core_peer_kind kind)
{
	struct qmgr *qmgr = ctx;
	struct ipc_role_solo wanted = { .kind = kind == CORE_PEER_LOCAL ? ROLE_LOCAL : ROLE_SMTP };

	channel_send(&qmgr->role->master, IPC_TYPE_role_solo, &wanted);
}

/*
 * Whoever breaks the protocol is not heard any more. A role has one channel in the life of a queue
 * manager, so its process is ended, and master starts another; what it may be delivering goes out
 * again when it is dead, which its end of file says.
 */
static void
condemn(struct qmgr_peer *peer, const char *why)
{
	struct qmgr *qmgr = peer->qmgr;

	if (peer->is_bad)
		return;
	peer->is_bad = true;
	log_event(&qmgr->role->log.log, EV_qmgr_bad_peer, LOG_Z(peer->name), LOG_U(peer->pid),
		LOG_Z(why));
	if (!peer->is_tool)
		out_kill(qmgr, peer->pid);
	loop_wake(qmgr->role->loop);
}

static void
out_bad_peer(void *ctx, core_peer number, const char *why)
{
	struct qmgr_peer *peer = peer_find(ctx, number);

	if (peer != NULL)
		condemn(peer, why);
}

static void
out_opened(void *ctx, enum err err, const struct fault *fault)
{
	struct qmgr *qmgr = ctx;
	struct qmgr_peer *peer, *next;

	if (err != ERR_OK)
		die(EX_IOERR, "the queue cannot be opened: %s",
			fault != NULL && fault->text[0] != '\0' ? fault->text : err_meaning(err));
	HASH_ITER(hh, qmgr->peers, peer, next)
	{
		channel_pause(
			&peer->channel, peer->is_worker && !core_hears_workers(qmgr->core));
	}
	for (int i = 0; i < qmgr->control_count; i++)
		loop_fd_want(&qmgr->control[i].watch, LOOP_READ);
}

static void
out_complete(void *ctx)
{
	struct qmgr *qmgr = ctx;
	struct qmgr_peer *peer, *next;

	HASH_ITER(hh, qmgr->peers, peer, next)
	{
		channel_pause(&peer->channel, false);
	}
}

/* Once a start: a flush of the directory, so that a power cut does not bring the mark back. */
static void
out_adopted(void *ctx)
{
	const struct qmgr *qmgr = ctx;
	int dir = qmgr->role->directories[ROLE_DIR_JOURNAL];

	if ((unlinkat(dir, ROLE_COPY_MARK, 0) != 0 && errno != ENOENT) || fsync(dir) != 0)
		log_event(&qmgr->role->log.log, EV_role_fault,
			LOG_Z("the mark journal/" ROLE_COPY_MARK " cannot be removed"));
}

/* --- a switch for tests: die once, at a boundary ---------------------------------------------- */

#ifdef OSTLER_CHECK_SLOW

#define DIE_AT "die-at" /* in journal/; its one line is the name of a boundary */

static char die_at[64];

/* It goes at once, so that the next queue manager lives. */
static void
find_die_at(const struct role *role)
{
	int dir = role->directories[ROLE_DIR_JOURNAL];
	int fd = openat(dir, DIE_AT, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t len = fd < 0 ? 0 : read(fd, die_at, sizeof(die_at) - 1);

	if (fd >= 0)
		(void)close(fd);
	(void)unlinkat(dir, DIE_AT, 0);
	if (len > 0)
		die_at[strcspn(die_at, "\n")] = 0;
}

/* At once, as by kill -9; nothing is flushed. */
static void
out_boundary(void *ctx, const char *name)
{
	(void)ctx;
	if (strcmp(name, die_at) == 0)
		__builtin_trap();
}

#else

static void
find_die_at(const struct role *role)
{
	(void)role;
}

#define out_boundary NULL

#endif

static const struct core_out core_out = { out_send, out_send_large, out_pending, out_kill,
	out_working, out_want_solo, out_bad_peer, out_opened, out_complete, out_adopted,
	out_boundary };

/* --- peers ------------------------------------------------------------------------------------ */

static void
peer_frame(void *ctx, uint16_t type, struct slice payload, int fd)
{
	struct qmgr_peer *peer = ctx;

	if (fd >= 0)
		(void)close(fd);
	if (peer->is_tool && channel_pending(&peer->channel) > TOOL_PENDING_MAX)
		channel_pause(&peer->channel, true);
	if (!peer->is_bad)
		core_frame(peer->qmgr->core, peer->number, type, payload,
			loop_now(peer->qmgr->role->loop));
}

/* The struct lives until the hook: the channel may still be working with it. */
static void
peer_closed(void *ctx)
{
	struct qmgr_peer *peer = ctx;
	struct qmgr *qmgr = peer->qmgr;

	if (peer->is_gone)
		return;
	if (channel_fault(&peer->channel) != NULL)
		condemn(peer, channel_fault(&peer->channel));
	peer->is_gone = true;
	HASH_DELETE(hh, qmgr->peers, peer);
	LIST_INSERT_HEAD(&qmgr->gone, peer, gone_link);
	if (peer->is_tool)
		qmgr->tool_count--;
	core_peer_down(qmgr->core, peer->number, loop_now(qmgr->role->loop));
	channel_close(&peer->channel);
	loop_wake(qmgr->role->loop);
}

static struct qmgr_peer *
peer_new(struct qmgr *qmgr, int fd, const char *name, uint32_t pid, bool is_worker)
{
	struct qmgr_peer *peer = mem_new(sizeof(*peer));

	peer->qmgr = qmgr;
	peer->number = ++qmgr->next;
	peer->name = name;
	peer->pid = pid;
	HASH_ADD(hh, qmgr->peers, number, sizeof(peer->number), peer);
	channel_open(&peer->channel, qmgr->role->loop, fd, peer_frame, peer_closed, peer);
	channel_refuse_fds(&peer->channel);
	peer->is_worker = is_worker;
	if (!core_is_open(qmgr->core) || (is_worker && !core_hears_workers(qmgr->core)))
		channel_pause(&peer->channel, true);
	return peer;
}

/* False: no role that speaks to the queue manager. */
static bool
peer_kind(uint8_t role, enum core_peer_kind *ret_kind)
{
	switch (role) {
	case ROLE_SMTPD:
	case ROLE_PICKUP:
		*ret_kind = CORE_PEER_INTAKE;
		return true;
	case ROLE_SMTP:
		*ret_kind = CORE_PEER_SMTP;
		return true;
	case ROLE_LOCAL:
		*ret_kind = CORE_PEER_LOCAL;
		return true;
	case ROLE_RESOLVER:
		*ret_kind = CORE_PEER_RESOLVER;
		return true;
	case ROLE_ADMIN:
		*ret_kind = CORE_PEER_TOOL;
		return true;
	default:
		return false;
	}
}

static void
role_peer(struct qmgr *qmgr, const struct ipc_role_peer *announced, int fd)
{
	static const struct core_user admin = { CORE_MAY_LIST, "admin" };
	enum core_peer_kind kind;
	struct qmgr_peer *peer;

	if (!peer_kind(announced->kind, &kind)) {
		(void)close(fd);
		return;
	}
	peer = peer_new(
		qmgr, fd, role_name((enum role_kind)announced->kind), announced->pid,
		kind == CORE_PEER_SMTP || kind == CORE_PEER_LOCAL);
	core_peer_up(qmgr->core, peer->number, kind, announced->pid, announced->survivor != 0,
		kind == CORE_PEER_TOOL ? &admin : NULL, loop_now(qmgr->role->loop));
	if (announced->solo != 0)
		core_peer_is_solo(qmgr->core, peer->number);
}

static void
master_frame(struct role *role, uint16_t type, struct slice payload, int fd)
{
	union ipc_any any;

	if (type == IPC_TYPE_role_peer && fd >= 0 && ipc_decode(type, payload, &any) == ERR_OK)
		role_peer(role->ctx, &any.role_peer, fd);
	else if (fd >= 0)
		(void)close(fd);
}

/* --- tools ------------------------------------------------------------------------------------ */

/*
 * The name of a user, for lists of users and the log. /etc/passwd is all that the sandbox lets us
 * ask; others are named by their number.
 */
static void
user_name(uid_t uid, char *name, size_t size)
{
	char scratch[4096];
	struct passwd entry, *found = NULL;

	if (getpwuid_r(uid, &entry, scratch, sizeof(scratch), &found) == 0 && found != NULL)
		(void)snprintf(name, size, "%s", found->pw_name);
	else
		(void)snprintf(name, size, "%u", (unsigned)uid);
}

/* Root, and the user that Ostler runs as. */
static bool
user_is_administrator(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

/* Rule O7: root and the user that Ostler runs as may do all, others what lists of users say. */
static unsigned
user_rights(const struct qmgr *qmgr, uid_t uid, const char *name)
{
	unsigned rights = 0;

	if (user_is_administrator(uid))
		return CORE_MAY_ALL;
	if (config_list_match(qmgr->config, NULL, PARAM_AUTHORIZED_MAILQ_USERS, slice_str(name)))
		rights |= CORE_MAY_LIST;
	if (config_list_match(qmgr->config, NULL, PARAM_AUTHORIZED_FLUSH_USERS, slice_str(name)))
		rights |= CORE_MAY_FLUSH;
	return rights;
}

/* Nobody's tools keep the administrator's out. */
static bool
tool_has_place(struct qmgr *qmgr, uid_t uid)
{
	struct qmgr_peer *peer, *next;
	unsigned others = 0, own = 0;

	if (user_is_administrator(uid))
		return qmgr->tool_count < TOOLS_MAX;
	HASH_ITER(hh, qmgr->peers, peer, next)
	{
		others += peer->is_tool && !user_is_administrator(peer->uid);
		own += peer->is_tool && peer->uid == uid;
	}
	return others < TOOLS_MAX - TOOLS_RESERVED && own < TOOLS_PER_USER;
}

static void
tool_accept(struct qmgr *qmgr, int fd)
{
	struct ucred who = { 0 };
	socklen_t size = sizeof(who);
	struct qmgr_peer *peer;
	char name[64], text[96];

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 ||
		!tool_has_place(qmgr, who.uid)) {
		(void)close(fd);
		return;
	}
	peer = peer_new(qmgr, fd, "tool", (uint32_t)who.pid, false);
	peer->is_tool = true;
	peer->uid = who.uid;
	qmgr->tool_count++;
	user_name(who.uid, name, sizeof(name));
	(void)snprintf(text, sizeof(text), "%s (uid %u)", name, (unsigned)who.uid);
	core_peer_up(qmgr->core, peer->number, CORE_PEER_TOOL, (uint32_t)who.pid, false,
		&(struct core_user){ user_rights(qmgr, who.uid, name), text },
		loop_now(qmgr->role->loop));
}

static void
control_ready(void *ctx, int ready)
{
	struct control *control = ctx;
	int fd;

	(void)ready;
	while ((fd = accept4(control->watch.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		tool_accept(control->qmgr, fd);
}

/* --- a turn ----------------------------------------------------------------------------------- */

static void
close_bad_peers(struct qmgr *qmgr)
{
	struct qmgr_peer *peer, *next;

	HASH_ITER(hh, qmgr->peers, peer, next)
	{
		if (peer->is_bad && peer->is_tool)
			peer_closed(peer);
		else if (peer->is_tool && core_is_open(qmgr->core) &&
			 channel_pending(&peer->channel) <= TOOL_PENDING_MAX)
			channel_pause(&peer->channel, false);
	}
	while ((peer = LIST_FIRST(&qmgr->gone)) != NULL) {
		LIST_REMOVE(peer, gone_link);
		mem_free(peer);
	}
}

static void
turn(void *ctx)
{
	struct qmgr *qmgr = ctx;
	struct instant now = loop_now(qmgr->role->loop);
	struct mono due;

	(void)disk_file_poll(qmgr->disk);
	core_step(qmgr->core, now);
	close_bad_peers(qmgr);
	due = core_due(qmgr->core);
	if (qmgr->is_stopping &&
		(core_is_quiet(qmgr->core) || now.mono.ns >= qmgr->stop_by.ns)) {
		role_exit(qmgr->role, EX_OK);
		return;
	}
	if (qmgr->is_stopping && due.ns > qmgr->stop_by.ns)
		due = qmgr->stop_by;
	if (due.ns == UINT64_MAX)
		loop_timer_clear(&qmgr->timer);
	else
		loop_timer_set(&qmgr->timer, due);
}

static void
look_at_space(void *ctx)
{
	struct qmgr *qmgr = ctx;
	struct statvfs st;

	if (fstatvfs(qmgr->role->directories[ROLE_DIR_JOURNAL], &st) == 0)
		core_disk_free(qmgr->core, (uint64_t)st.f_bavail * st.f_frsize);
	loop_timer_set_ns(&qmgr->space_timer, SPACE_NS);
}

static void
timer_fired(void *ctx)
{
	(void)ctx; /* the hook of this turn does the work */
}

static void
disk_wake(void *ctx)
{
	loop_wake(ctx);
}

/* --- what master wants ------------------------------------------------------------------------ */

static void
stop(struct role *role, uint32_t grace_ms)
{
	struct qmgr *qmgr = role->ctx;
	struct instant now = loop_now(role->loop);

	if (!qmgr->is_stopping)
		qmgr->stop_by = mono_add_ns(now.mono, STOP_NS);
	qmgr->is_stopping = true;
	disk_file_hurry(qmgr->disk);
	core_stop(qmgr->core, grace_ms * NS_PER_MS, now);
	loop_wake(role->loop);
}

static void
master_down(struct role *role)
{
	stop(role, (uint32_t)(STOP_NS / NS_PER_MS));
}

static void
new_config(struct role *role, int fd, uint64_t number)
{
	struct qmgr *qmgr = role->ctx;
	struct config *config;
	struct fault fault = { 0 };

	(void)number;
	if (config_open_fd(fd, &config, &fault) != ERR_OK) {
		log_event(&role->log.log, EV_role_fault, LOG_Z(fault.text));
	} else {
		core_config(qmgr->core, config, loop_now(role->loop));
		config_close(qmgr->config);
		qmgr->config = config;
	}
	(void)close(fd);
}

static const struct role_callbacks callbacks = {
	.config = new_config,
	.master_frame = master_frame,
	.stop = stop,
	.master_down = master_down,
};

/* --- start and end ---------------------------------------------------------------------------- */

static void
open_config(struct qmgr *qmgr)
{
	struct fault fault = { 0 };

	if (config_open_fd(qmgr->role->config_fd, &qmgr->config, &fault) != ERR_OK)
		die(EX_CONFIG, "the configuration cannot be read: %s", fault.text);
	(void)close(qmgr->role->config_fd);
	qmgr->role->config_fd = -1;
}

/*
 * Machine, directory and mark of this queue. A mark is named by what it says and when it was made:
 * the same file is heeded once, a new one again.
 */
static struct core_origin
find_origin(const struct role *role)
{
	int dir = role->directories[ROLE_DIR_JOURNAL], fd;
	struct core_origin origin = { 0 };
	uint8_t bytes[4096];
	struct stat st;
	ssize_t len;

	memcpy(origin.machine, role->machine, sizeof(origin.machine));
	if (fstat(dir, &st) != 0)
		die(EX_IOERR, "queue_directory/journal: %s", strerrordesc_np(errno));
	origin.directory = st.st_ino;
	fd = openat(dir, ROLE_COPY_MARK, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return origin;
	len = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));
	if (len < 0 || fstat(fd, &st) != 0)
		die(EX_IOERR, "queue_directory/journal/" ROLE_COPY_MARK ": %s",
			strerrordesc_np(errno));
	(void)close(fd);
	origin.mark = hash_bytes_seeded(slice_make(bytes, (size_t)len),
		(uint64_t)st.st_mtim.tv_sec * NS_PER_S + (uint64_t)st.st_mtim.tv_nsec);
	origin.mark |= 1; /* 0 means: none */
	return origin;
}

static void
open_control(struct qmgr *qmgr)
{
	struct role *role = qmgr->role;

	for (int i = 0; i < role->listener_count; i++) {
		struct control *control = &qmgr->control[qmgr->control_count++];

		control->qmgr = qmgr;
		loop_fd_open(&control->watch, role->loop, role->listeners[i].fd, 0, control_ready,
			control);
	}
}

int
qmgr_main(struct role *role)
{
	struct qmgr *qmgr = MEM_NEW(struct qmgr);
	int exit_code;

	qmgr->role = role;
	role->ctx = qmgr;
	LIST_INIT(&qmgr->gone);
	open_config(qmgr);
	find_die_at(role);
	qmgr->disk = disk_file_new(role->directories[ROLE_DIR_JOURNAL],
		role->directories[ROLE_DIR_CORRUPT], role->directories[ROLE_DIR_LARGE], disk_wake,
		role->loop);
	struct core_options options = {
		.log = &role->log.log,
		.disk = disk_file_disk(qmgr->disk),
		.config = qmgr->config,
		.out = &core_out,
		.ctx = qmgr,
		.seed = rand_seed(),
		.origin = find_origin(role),
		.copies_on_write =
			file_system_copies(role->directories[ROLE_DIR_JOURNAL]) != NULL,
		.survivors = role->peers_expected,
	};

	memcpy(options.secret, role->secret, sizeof(options.secret));
	for (; options.death_count < role->death_count; options.death_count++) {
		const struct role_death *death = &role->deaths[options.death_count];

		options.deaths[options.death_count] =
			(struct core_death){ .queue_id = death->queue_id, .count = death->count };
	}
	_Static_assert((int)ROLE_DEATHS_MAX == (int)CORE_DEATHS_MAX, "all deaths are told");
	qmgr->core = core_new(&options);
	open_control(qmgr);
	loop_timer_init(&qmgr->timer, role->loop, timer_fired, qmgr);
	loop_timer_init(&qmgr->space_timer, role->loop, look_at_space, qmgr);
	look_at_space(qmgr);
	role_hook_add(role, &qmgr->hook, turn, qmgr);
	core_open(qmgr->core, clock_read());
	exit_code = role_run(role, &callbacks);
	disk_file_free(qmgr->disk);
	return exit_code;
}
