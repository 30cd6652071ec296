/*
 * pickup_main.c - the submit socket and the maildrop directory (see pickup_main.h)
 *
 * Files are taken one at a time: at start, when inotify says so, and every RESCAN_S. Only regular
 * files with one link and a valid name are opened, without following links or waiting; anything
 * else is left where it is and reported once.
 */
#include "smtpd/pickup_main.h"

#include "base/check.h"
#include "base/mem.h"
#include "smtpd/pickup_submission.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

/* SOCKETS_MAX: each may take SUBMISSION_HEAD_MAX bytes of memory before anything is decided. */
enum { SOCKETS_MAX = 50, READ_SIZE = 16 * 1024, RESCAN_S = 60, REPORTED_MAX = 1000 };
enum { TEMPORARY_AGE_S = 86400, SOCKET_TIMEOUT_S = 300, RETRY_S = 5 };

struct pickup;

struct sender {
	struct pickup *pickup;
	int fd;
	struct loop_fd watch;
	struct loop_timer timer;
	struct pickup_submission submission;
	struct buf reply;
	bool is_answered;
	LIST_ENTRY(sender) link;
};

struct reported {
	char *name;
	UT_hash_handle hh;
};

struct pickup {
	struct role *role;
	struct config *config;
	struct intake_client intake;
	struct loop_fd listener;
	bool has_listener;
	LIST_HEAD(, sender) senders;
	unsigned sender_count;
	/* The maildrop. */
	int dir;
	int inotify;
	struct loop_fd inotify_watch;
	struct loop_timer rescan;
	bool wants_scan;
	bool has_file;
	int file;
	char file_name[SUBMISSION_NAME_LENGTH + 1];
	struct pickup_submission submission;
	bool file_is_over; /* to be closed in the hook */
	struct reported *reported;
	bool is_stopping;
	struct loop_hook hook;
};

/* --- the socket ------------------------------------------------------------------------------- */

static void
sender_free(struct sender *sender)
{
	loop_fd_close(&sender->watch);
	(void)close(sender->fd);
	loop_timer_done(&sender->timer);
	pickup_submission_done(&sender->submission);
	buf_done(&sender->reply);
	LIST_REMOVE(sender, link);
	sender->pickup->sender_count--;
	mem_free(sender);
}

/* The reply is written, and the socket closed, in the next event: nothing is freed under others. */
static void
sender_answer(void *ctx, uint8_t exit_code, struct slice text)
{
	struct sender *sender = ctx;

	sender->is_answered = true;
	CHECK(submission_put_reply(&sender->reply, exit_code,
		      slice_head(text, SUBMISSION_REPLY_TEXT_MAX)) == ERR_OK);
	loop_fd_want(&sender->watch, LOOP_WRITE);
}

static void
sender_write(struct sender *sender)
{
	while (sender->reply.len > 0) {
		ssize_t written = write(sender->fd, sender->reply.ptr, sender->reply.len);

		if (written < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (written < 0)
			break;
		buf_consume(&sender->reply, (size_t)written);
	}
	sender_free(sender);
}

static void
sender_event(void *ctx, int ready)
{
	struct sender *sender = ctx;
	uint8_t bytes[READ_SIZE];
	ssize_t got;

	if (sender->is_answered) {
		sender_write(sender);
		return;
	}
	if (!(ready & LOOP_READ))
		return;
	got = read(sender->fd, bytes, sizeof(bytes));
	if (got > 0)
		pickup_submission_bytes(&sender->submission, slice_make(bytes, (size_t)got));
	else if (got == 0)
		pickup_submission_end(&sender->submission);
	else if (errno != EAGAIN && errno != EINTR) {
		sender_free(sender);
		return;
	}
	if (!sender->is_answered)
		loop_fd_want(&sender->watch,
			pickup_submission_wants(&sender->submission) ? LOOP_READ : 0);
	loop_timer_set_ns(&sender->timer, SOCKET_TIMEOUT_S * NS_PER_S);
}

static void
sender_timeout(void *ctx)
{
	sender_free(ctx);
}

/* A sender that only said its end is there; one that closed, or died, is not. */
static bool
sender_is_there(void *ctx)
{
	const struct sender *sender = ctx;
	struct pollfd look = { .fd = sender->fd };

	return poll(&look, 1, 0) == 0;
}

static void
accept_sender(void *ctx, int ready)
{
	struct pickup *pickup = ctx;
	struct ucred who = { 0 };
	socklen_t size = sizeof(who);
	struct sender *sender;
	int fd;

	(void)ready;
	if (pickup->sender_count >= SOCKETS_MAX)
		return;
	fd = accept4(pickup->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) {
		(void)close(fd);
		return;
	}
	sender = MEM_NEW(struct sender);
	sender->pickup = pickup;
	sender->fd = fd;
	buf_init(&sender->reply, 0);
	pickup_submission_init(&sender->submission, pickup->role, pickup->config, &pickup->intake,
		who.uid);
	sender->submission.answer = sender_answer;
	sender->submission.is_there = sender_is_there;
	sender->submission.may_import = who.uid == 0 || who.uid == geteuid();
	sender->submission.ctx = sender;
	loop_timer_init(&sender->timer, pickup->role->loop, sender_timeout, sender);
	loop_timer_set_ns(&sender->timer, SOCKET_TIMEOUT_S * NS_PER_S);
	loop_fd_open(&sender->watch, pickup->role->loop, fd, LOOP_READ, sender_event, sender);
	LIST_INSERT_HEAD(&pickup->senders, sender, link);
	pickup->sender_count++;
}

/* --- the maildrop ----------------------------------------------------------------------------- */

static void
report_once(struct pickup *pickup, const char *name, const char *why)
{
	struct reported *reported;

	HASH_FIND_STR(pickup->reported, name, reported);
	if (reported != NULL || HASH_COUNT(pickup->reported) >= REPORTED_MAX)
		return;
	reported = MEM_NEW(struct reported);
	reported->name = mem_strndup(name, strlen(name));
	HASH_ADD_KEYPTR(hh, pickup->reported, reported->name, strlen(name), reported);
	log_event(&pickup->role->log.log, EV_pickup_odd_file, LOG_Z(name), LOG_Z(why));
}

static bool
was_reported(struct pickup *pickup, const char *name)
{
	struct reported *reported;

	HASH_FIND_STR(pickup->reported, name, reported);
	return reported != NULL;
}

/* What a sendmail that was killed left a day ago. */
static void
remove_if_old(struct pickup *pickup, const char *name)
{
	struct stat info;
	uint64_t now_s = wall_s(loop_now(pickup->role->loop).wall);

	if (fstatat(pickup->dir, name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
		S_ISREG(info.st_mode) && (uint64_t)info.st_mtime + TEMPORARY_AGE_S < now_s)
		(void)unlinkat(pickup->dir, name, 0);
}

static void
file_answer(void *ctx, uint8_t exit_code, struct slice text)
{
	struct pickup *pickup = ctx;

	pickup->file_is_over = true;
	loop_wake(pickup->role->loop);
	if (exit_code == EX_OK) {
		(void)unlinkat(pickup->dir, pickup->file_name, 0);
	} else if (exit_code == EX_TEMPFAIL) {
		pickup->wants_scan = false;
		loop_timer_set_ns(&pickup->rescan, RETRY_S * NS_PER_S);
	} else {
		char why[256];

		(void)snprintf(why, sizeof(why), "%" SLICE_FMT, SLICE_ARG(slice_head(text, 200)));
		report_once(pickup, pickup->file_name, why);
	}
}

/* False: it is not for us. */
static bool
open_file(struct pickup *pickup, const char *name)
{
	struct stat info;
	int fd;

	if (strncmp(name, ".tmp-", 5) == 0) {
		remove_if_old(pickup, name);
		return false;
	}
	if (name[0] == '.' || was_reported(pickup, name))
		return false;
	if (!submission_name_is_valid(slice_str(name))) {
		report_once(pickup, name, "its name is not one that sendmail gives");
		return false;
	}
	fd = openat(pickup->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		report_once(pickup, name, strerror(errno));
		return false;
	}
	if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_nlink != 1) {
		report_once(pickup, name, "not a regular file with one link");
		(void)close(fd);
		return false;
	}
	pickup->file = fd;
	pickup->has_file = true;
	pickup->file_is_over = false;
	(void)snprintf(pickup->file_name, sizeof(pickup->file_name), "%s", name);
	pickup->submission = (struct pickup_submission){ 0 };
	pickup_submission_init(&pickup->submission, pickup->role, pickup->config, &pickup->intake,
		info.st_uid);
	pickup->submission.answer = file_answer;
	pickup->submission.ctx = pickup;
	return true;
}

/* The first file that can be taken. */
static void
scan(struct pickup *pickup)
{
	int fd = openat(pickup->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	pickup->wants_scan = false;
	if (list == NULL) {
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	while (!pickup->has_file && (entry = readdir(list)) != NULL)
		(void)open_file(pickup, entry->d_name);
	(void)closedir(list);
	/* There may be more of them. */
	pickup->wants_scan = pickup->has_file;
}

static void
read_file(struct pickup *pickup)
{
	while (pickup->has_file && pickup_submission_wants(&pickup->submission)) {
		uint8_t bytes[READ_SIZE];
		ssize_t got = read(pickup->file, bytes, sizeof(bytes));

		if (got > 0)
			pickup_submission_bytes(
				&pickup->submission, slice_make(bytes, (size_t)got));
		else
			pickup_submission_end(&pickup->submission);
	}
}

static void
close_file(struct pickup *pickup)
{
	pickup_submission_done(&pickup->submission);
	(void)close(pickup->file);
	pickup->has_file = pickup->file_is_over = false;
}

static void
turn(void *ctx)
{
	struct pickup *pickup = ctx;

	if (pickup->has_file && pickup->file_is_over)
		close_file(pickup);
	if (pickup->is_stopping) {
		if (!pickup->has_file && LIST_EMPTY(&pickup->senders))
			role_exit(pickup->role, EX_OK);
		return;
	}
	if (!pickup->has_file && pickup->wants_scan && intake_client_has_ids(&pickup->intake) &&
		channel_is_open(&pickup->role->qmgr))
		scan(pickup);
	read_file(pickup);
}

static void
inotify_ready(void *ctx, int ready)
{
	struct pickup *pickup = ctx;
	uint8_t events[4096];

	(void)ready;
	while (read(pickup->inotify, events, sizeof(events)) > 0)
		pickup->wants_scan = true;
}

static void
rescan_due(void *ctx)
{
	struct pickup *pickup = ctx;

	pickup->wants_scan = true;
	loop_timer_set_ns(&pickup->rescan, RESCAN_S * NS_PER_S);
}

/* By the descriptor: the directory's path may not be reachable for us. */
static void
open_maildrop(struct pickup *pickup)
{
	char path[64];

	pickup->dir = pickup->role->directories[ROLE_DIR_MAILDROP];
	pickup->wants_scan = true;
	loop_timer_init(&pickup->rescan, pickup->role->loop, rescan_due, pickup);
	loop_timer_set_ns(&pickup->rescan, RESCAN_S * NS_PER_S);
	pickup->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", pickup->dir);
	if (pickup->inotify < 0 || inotify_add_watch(pickup->inotify, path, IN_MOVED_TO) < 0) {
		log_event(&pickup->role->log.log, EV_role_fault,
			LOG_Z("maildrop cannot be watched; it is looked at every minute"));
		return;
	}
	loop_fd_open(&pickup->inotify_watch, pickup->role->loop, pickup->inotify, LOOP_READ,
		inotify_ready, pickup);
}

/* --- process ---------------------------------------------------------------------------------- */

static void
intake_changed(struct intake_client *intake)
{
	struct pickup *pickup =
		(struct pickup *)((char *)intake - offsetof(struct pickup, intake));
	struct sender *sender;

	if (pickup->has_listener)
		loop_fd_want(&pickup->listener,
			intake_client_may_offer(intake) ? LOOP_READ : 0);
	LIST_FOREACH (sender, &pickup->senders, link)
		if (!sender->is_answered)
			loop_fd_want(&sender->watch,
				pickup_submission_wants(&sender->submission) ? LOOP_READ : 0);
}

static void
qmgr_frame(struct role *role, uint16_t type, struct slice payload, int fd)
{
	struct pickup *pickup = role->ctx;
	union ipc_any any;

	if (fd >= 0)
		(void)close(fd);
	if (ipc_decode(type, payload, &any) != ERR_OK)
		die(EX_SOFTWARE, "bad frame %s from the queue manager", ipc_type_name(type));
	(void)intake_client_frame(&pickup->intake, type, &any);
}

static void
qmgr_up(struct role *role)
{
	struct pickup *pickup = role->ctx;

	intake_client_qmgr_up(&pickup->intake);
}

static void
qmgr_down(struct role *role)
{
	struct pickup *pickup = role->ctx;

	intake_client_qmgr_down(&pickup->intake);
}

static void
new_config(struct role *role, int fd, uint64_t number)
{
	struct pickup *pickup = role->ctx;
	struct config *config;
	struct sender *sender;
	struct fault fault = { 0 };

	(void)number;
	if (config_open_fd(fd, &config, &fault) != ERR_OK) {
		log_event(&role->log.log, EV_role_fault, LOG_Z(fault.text));
		(void)close(fd);
		return;
	}
	(void)close(fd);
	LIST_FOREACH (sender, &pickup->senders, link)
		sender->submission.config = config;
	pickup->submission.config = config;
	config_close(pickup->config);
	pickup->config = config;
}

/* A submission that is not whole stays where it is: in its file, or with its sender. */
static void
stop(struct role *role, uint32_t grace_ms)
{
	struct pickup *pickup = role->ctx;
	struct sender *sender, *next;

	(void)grace_ms;
	pickup->is_stopping = true;
	if (pickup->has_listener)
		loop_fd_want(&pickup->listener, 0);
	for (sender = LIST_FIRST(&pickup->senders); sender != NULL; sender = next) {
		next = LIST_NEXT(sender, link);
		if (!sender->submission.is_over)
			sender_free(sender);
	}
	if (pickup->has_file && !pickup->submission.is_over)
		close_file(pickup);
}

static const struct role_callbacks callbacks = {
	.config = new_config,
	.qmgr_up = qmgr_up,
	.qmgr_frame = qmgr_frame,
	.qmgr_down = qmgr_down,
	.stop = stop,
};

int
pickup_main(struct role *role)
{
	struct pickup *pickup = MEM_NEW(struct pickup);
	struct fault fault = { 0 };

	pickup->role = role;
	role->ctx = pickup;
	LIST_INIT(&pickup->senders);
	if (config_open_fd(role->config_fd, &pickup->config, &fault) != ERR_OK)
		die(EX_CONFIG, "the configuration cannot be read: %s", fault.text);
	(void)close(role->config_fd);
	role->config_fd = -1;
	intake_client_init(&pickup->intake, role, intake_changed);
	if (role->listener_count > 0) {
		loop_fd_open(&pickup->listener, role->loop, role->listeners[0].fd, 0,
			accept_sender, pickup);
		pickup->has_listener = true;
	}
	open_maildrop(pickup);
	role_hook_add(role, &pickup->hook, turn, pickup);
	return role_run(role, &callbacks);
}
