/*
 * process.c - one role process: start with its descriptors, its channel to qmgr, restart
 *
 * A process that dies is started again after a delay that doubles up to RESTART_MAX; whoever has
 * run for GOOD_LIFE begins anew at RESTART_MIN.
 */
#include "base/check.h"
#include "base/num.h"
#include "base/wire.h"
#include "ipc/client_table.h"
#include "master/master_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#define RESTART_MIN_NS (100 * NS_PER_MS)
#define RESTART_MAX_NS (30 * NS_PER_S)
#define GOOD_LIFE_NS (10 * NS_PER_S)
/* A process is asked four times in what it may be silent, but not more rarely than this. */
#define WATCH_MAX_NS (60 * NS_PER_S)

enum { LOG_END_MS = 700 };

static void
wait_to_start(struct process *process)
{
	process->state = PROCESS_WAITING;
	process->is_wanted = false;
	loop_timer_set(&process->restart, process->not_before);
}

/* One that has died may not have been seen to: process_died() starts it again then. */
static void
want_solo(struct master *master, uint8_t kind)
{
	for (int i = 0; i < master->process_count && !master->is_stopping; i++) {
		struct process *process = &master->processes[i];

		if (!process->is_solo || process->kind != kind)
			continue;
		if (process->state == PROCESS_DOWN)
			wait_to_start(process);
		else
			process->is_wanted = true;
	}
}

static void
channel_frame(void *ctx, uint16_t type, struct slice payload, int fd)
{
	struct process *process = ctx;
	struct process *other;
	union ipc_any any;

	if (fd >= 0)
		(void)close(fd);
	if (ipc_decode(type, payload, &any) != ERR_OK)
		return;
	if (type == IPC_TYPE_role_pong)
		process->pongs = num_min_u64(any.role_pong.number, process->pings);
	if (process->kind != ROLE_QMGR)
		return;
	if (type == IPC_TYPE_role_solo)
		want_solo(process->master, any.role_solo.kind);
	if (type != IPC_TYPE_role_kill)
		return;
	other = process_find(process->master, (pid_t)any.role_kill.pid);
	if (other != NULL && other->state != PROCESS_DOWN)
		(void)kill(other->pid, SIGKILL);
}

/* The process itself is settled when its end is reported. */
static void
channel_gone(void *ctx)
{
	struct process *process = ctx;

	channel_close(&process->channel);
}

/* --- the child -------------------------------------------------------------------------------- */

/* They become the users that mail is for. */
static bool
acts_for_others(enum role_kind kind)
{
	return kind == ROLE_AGENT || kind == ROLE_RUNNER;
}

static void
child_drop_rights(const struct master *master)
{
	if (!master->is_root)
		return;
	if (setgroups(0, NULL) != 0 || setgid(master->gid) != 0 || setuid(master->uid) != 0 ||
		setuid(0) == 0)
		_exit(EX_NOPERM);
}

static _Noreturn void
child(const struct process *process, int fd)
{
	const struct master *master = process->master;
	char slot[16];
	sigset_t none;

	(void)snprintf(slot, sizeof(slot), "%u", process->slot);
	if (dup2(fd, ROLE_MASTER_FD) < 0)
		_exit(EX_OSERR);
	/* The queue stays locked until the last queue manager is gone. */
	if (process->kind == ROLE_QMGR && master->lock_fd >= 0)
		(void)fcntl(master->lock_fd, F_SETFD, 0);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setsid();
	if (!acts_for_others(process->kind))
		child_drop_rights(master);
	(void)execl("/proc/self/exe", "ostlerd", "--role", role_name(process->kind), "--slot", slot,
		(char *)NULL);
	_exit(EX_OSERR);
}

/* --- what it is given ------------------------------------------------------------------------- */

void
process_send_config(struct process *process)
{
	channel_send_fd(&process->channel, IPC_TYPE_role_config,
		&(struct ipc_role_config){ .number = process->master->config_number },
		process->master->config_fd);
}

void
process_send_log(struct process *process)
{
	struct master *master = process->master;

	channel_send_fd(&process->channel, IPC_TYPE_role_log,
		&(struct ipc_role_log){ .style = (uint8_t)master->log_style,
			.facility = log_facility(master),
			.host = slice_str(master->hostname),
			.tag = config_str(master->config, NULL, PARAM_SYSLOG_NAME) },
		process->kind == ROLE_LOG ? master->log_sink : master->log_fd);
}

static bool
needs_directory(enum role_kind kind, int directory)
{
	switch (directory) {
	case ROLE_DIR_JOURNAL:
	case ROLE_DIR_LARGE:
	case ROLE_DIR_CORRUPT:
		return kind == ROLE_QMGR;
	case ROLE_DIR_MAILDROP:
		return kind == ROLE_PICKUP;
	case ROLE_DIR_MAIL:
		return kind == ROLE_LOCAL || kind == ROLE_AGENT;
	default:
		return false;
	}
}

static void
send_descriptors(struct process *process)
{
	struct master *master = process->master;

	for (int i = 0; i < ROLE_DIR_COUNT; i++)
		if (needs_directory(process->kind, i) && master->directories[i] >= 0)
			channel_send_fd(&process->channel, IPC_TYPE_role_directory,
				&(struct ipc_role_directory){ .kind = (uint8_t)i },
				master->directories[i]);
	if (process->kind == ROLE_LOG)
		channel_send_fd(&process->channel, IPC_TYPE_role_log_source,
			&(struct ipc_role_log_source){ .bytes_max = LOG_FILE_SEND_MAX },
			master->log_source);
	if (process->kind == ROLE_SMTPD)
		channel_send_fd(&process->channel, IPC_TYPE_role_table,
			&(struct ipc_role_table){ .columns = CLIENT_TABLE_COLUMNS },
			master->client_table);
	for (int i = 0; i < master->listener_count; i++) {
		const struct bound *bound = &master->listeners[i];

		if (bound->role == process->kind)
			channel_send_fd(&process->channel, IPC_TYPE_role_listener,
				&(struct ipc_role_listener){
					.service = slice_str(bound->service),
					.address = slice_str(bound->address) },
				bound->fd);
	}
}

/* --- its channel to qmgr ---------------------------------------------------------------------- */

static bool
is_worker(const struct process *process)
{
	return process->kind == ROLE_SMTP || process->kind == ROLE_LOCAL;
}

static bool
is_up(const struct process *process)
{
	return (process->state == PROCESS_RUNNING || process->state == PROCESS_LEAVING) &&
	       channel_is_open(&process->channel);
}

static bool
knows_qmgr(const struct process *process)
{
	return process->kind != ROLE_QMGR && !acts_for_others(process->kind)
	       && process->kind != ROLE_LOG;
}

static void
connect_to_qmgr(struct process *process, bool is_survivor)
{
	struct process *qmgr = process_qmgr(process->master);
	int pair[2];

	if (qmgr == NULL || !is_up(qmgr) || !is_up(process) || process == qmgr)
		return;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		die(EX_OSERR, "socketpair: %s", strerror(errno));
	channel_send_fd(&qmgr->channel, IPC_TYPE_role_peer,
		&(struct ipc_role_peer){ .kind = (uint8_t)process->kind,
			.pid = (uint32_t)process->pid,
			.slot = process->slot,
			.survivor = is_survivor,
			.solo = process->is_solo },
		pair[0]);
	channel_send_fd(&process->channel, IPC_TYPE_role_qmgr,
		&(struct ipc_role_qmgr){ .pid = (uint32_t)qmgr->pid }, pair[1]);
	process->had_qmgr = true;
	(void)close(pair[0]);
	(void)close(pair[1]);
}

static uint32_t
count_survivors(struct master *master)
{
	uint32_t count = 0;

	for (int i = 0; i < master->process_count; i++) {
		const struct process *process = &master->processes[i];

		count += is_worker(process) && is_up(process) && process->had_qmgr;
	}
	return count;
}

static void
connect_all(struct master *master)
{
	for (int i = 0; i < master->process_count; i++) {
		struct process *process = &master->processes[i];

		if (knows_qmgr(process))
			connect_to_qmgr(process, is_worker(process) && process->had_qmgr);
	}
}

/* --- local's channels to agent and runner ----------------------------------------------------- */

static void
connect_to_agent(struct process *local, struct process *agent)
{
	int pair[2];

	if (!is_up(local) || !is_up(agent))
		return;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		die(EX_OSERR, "socketpair: %s", strerror(errno));
	channel_send_fd(&agent->channel, IPC_TYPE_role_peer,
		&(struct ipc_role_peer){ .kind = (uint8_t)local->kind,
			.pid = (uint32_t)local->pid,
			.slot = local->slot },
		pair[0]);
	channel_send_fd(&local->channel, IPC_TYPE_role_agent,
		&(struct ipc_role_agent){ .kind = (uint8_t)agent->kind,
			.pid = (uint32_t)agent->pid },
		pair[1]);
	(void)close(pair[0]);
	(void)close(pair[1]);
}

/* A new process of one of the two kinds is joined with all of the other. */
static void
join_agent(struct process *process)
{
	struct master *master = process->master;
	bool is_agent = acts_for_others(process->kind);

	if (!is_agent && process->kind != ROLE_LOCAL)
		return;
	for (int i = 0; i < master->process_count; i++) {
		struct process *other = &master->processes[i];

		if (is_agent ? other->kind != ROLE_LOCAL : !acts_for_others(other->kind))
			continue;
		connect_to_agent(is_agent ? other : process, is_agent ? process : other);
	}
}

/* --- black boxes ------------------------------------------------------------------------------ */

static bool
has_black_box(const struct process *process)
{
	return process->kind == ROLE_QMGR || process->kind == ROLE_SMTPD;
}

static void
give_black_box(struct process *process)
{
	if (!has_black_box(process))
		return;
	if (process->black_box == NULL)
		process->black_box = black_box_create(&process->black_box_fd);
	black_box_note(process->black_box, 0, 0);
	channel_send_fd(&process->channel, IPC_TYPE_role_black_box,
		&(struct ipc_role_black_box){ .words = 2 }, process->black_box_fd);
}

/* Counted by message; of too many those are forgotten whose last death is longest ago. */
static void
count_death(struct master *master, uint64_t queue_id)
{
	struct role_death death = { .queue_id = queue_id, .count = 1 };
	unsigned at = 0;

	while (at < master->death_count && master->deaths[at].queue_id != queue_id)
		at++;
	if (at < master->death_count)
		death.count += master->deaths[at].count;
	else if (at == ROLE_DEATHS_MAX)
		at--;
	else
		master->death_count++;
	memmove(master->deaths + 1, master->deaths, at * sizeof(death));
	master->deaths[0] = death;
}

/* A stranger's bytes may have killed smtpd: who that was is all that can be said. */
static void
say_client(struct process *process, uint64_t first, uint64_t second)
{
	char text[INET6_ADDRSTRLEN];
	uint8_t address[16];

	wire_store_u64(address, first);
	wire_store_u64(address + 8, second);
	if (inet_ntop(AF_INET6, address, text, sizeof(text)) != NULL)
		log_event(&process->master->log.log, EV_master_died_with_client,
			LOG_I(process->pid), LOG_Z(text));
}

static void
read_black_box(struct process *process)
{
	uint64_t first, second;

	if (process->black_box == NULL)
		return;
	black_box_read(process->black_box, &first, &second);
	if (first == 0 && second == 0)
		return;
	if (process->kind == ROLE_QMGR)
		count_death(process->master, first);
	else
		say_client(process, first, second);
}

static void
put_deaths(const struct process *process, struct buf *list)
{
	const struct master *master = process->master;

	for (unsigned i = 0; i < master->death_count && process->kind == ROLE_QMGR; i++) {
		wire_put_u64(list, master->deaths[i].queue_id);
		wire_put_u32(list, master->deaths[i].count);
	}
}

/* --- watchdog (rule M2) ----------------------------------------------------------------------- */

static uint64_t
silence_max_ns(const struct process *process)
{
	enum param_id id = process->kind == ROLE_QMGR ? PARAM_QMGR_DAEMON_TIMEOUT
						      : PARAM_DAEMON_TIMEOUT;

	return config_time_s(process->master->config, NULL, id) * NS_PER_S;
}

static void
ask_again(struct process *process)
{
	loop_timer_set_ns(
		&process->watch, num_min_u64(silence_max_ns(process) / 4, WATCH_MAX_NS));
}

/* Asks whether its loop turns; one that has been silent for too long is killed. */
static void
watch_due(void *ctx)
{
	struct process *process = ctx;
	struct mono now = loop_now(process->master->loop).mono;
	uint64_t max_ns = silence_max_ns(process);

	if (process->pongs == process->pings) {
		process->asked = now;
		channel_send(&process->channel, IPC_TYPE_role_ping,
			&(struct ipc_role_ping){ .number = ++process->pings });
	} else if (mono_since_ns(now, process->asked) >= max_ns) {
		log_event(&process->master->log.log, EV_master_silent,
			LOG_Z(role_name(process->kind)), LOG_I(process->pid),
			LOG_U(max_ns / NS_PER_S));
		(void)kill(process->pid, SIGKILL);
		return;
	}
	ask_again(process);
}

static void
restart_due(void *ctx)
{
	process_start(ctx);
}

void
process_init(struct process *process)
{
	loop_timer_init(&process->restart, process->master->loop, restart_due, process);
	loop_timer_init(&process->watch, process->master->loop, watch_due, process);
}

/* --- start and end ---------------------------------------------------------------------------- */

void
process_start(struct process *process)
{
	struct master *master = process->master;
	uint32_t survivors = process->kind == ROLE_QMGR ? count_survivors(master) : 0;
	struct buf deaths;
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		die(EX_OSERR, "socketpair: %s", strerror(errno));
	(void)log_file_flush(&master->log);
	pid = fork();
	if (pid < 0)
		die(EX_OSERR, "fork: %s", strerror(errno));
	if (pid == 0)
		child(process, pair[1]);
	(void)close(pair[1]);
	(void)fcntl(pair[0], F_SETFL, O_NONBLOCK);
	process->pid = pid;
	process->state = PROCESS_RUNNING;
	process->had_qmgr = false;
	process->started = loop_now(master->loop).mono;
	process->pings = process->pongs = 0;
	ask_again(process);
	channel_open(
		&process->channel, master->loop, pair[0], channel_frame, channel_gone, process);
	process_send_config(process);
	process_send_log(process);
	send_descriptors(process);
	give_black_box(process);
	buf_init(&deaths, 0);
	put_deaths(process, &deaths);
	channel_send(&process->channel, IPC_TYPE_role_start,
		&(struct ipc_role_start){ .peers = survivors,
			.deaths = buf_slice(&deaths),
			.machine = slice_make(master->machine, master->machine_len),
			.secret = slice_make(master->secret,
				process->kind == ROLE_QMGR ? sizeof(master->secret) : 0) });
	buf_done(&deaths);
	if (process->kind == ROLE_QMGR)
		connect_all(master);
	else if (knows_qmgr(process))
		connect_to_qmgr(process, false);
	join_agent(process);
}

void
process_stop(struct process *process, uint32_t grace_ms)
{
	loop_timer_clear(&process->restart);
	if (process->state == PROCESS_WAITING)
		process->state = PROCESS_DOWN;
	if (process->state != PROCESS_RUNNING)
		return;
	loop_timer_clear(&process->watch); /* the end of the stop has a time of its own */
	process->state = PROCESS_LEAVING;
	channel_send(&process->channel, IPC_TYPE_role_stop,
		&(struct ipc_role_stop){ .grace_ms = grace_ms });
}

static void
say_how(struct process *process, int status)
{
	struct master *master = process->master;
	char how[64], next[64] = "";

	if (WIFSIGNALED(status))
		(void)snprintf(how, sizeof(how), "killed by signal %d", WTERMSIG(status));
	else
		(void)snprintf(how, sizeof(how), "exit status %d", WEXITSTATUS(status));
	if (process->state == PROCESS_WAITING)
		(void)snprintf(next, sizeof(next), "; it is started again in %llu ms",
			(unsigned long long)(process->delay_ns / NS_PER_MS));
	log_event(&master->log.log, EV_master_process_died, LOG_Z(role_name(process->kind)),
		LOG_I(process->pid), LOG_Z(how), LOG_Z(next));
}

void
process_revive_qmgr(struct master *master)
{
	struct process *qmgr = process_qmgr(master);

	if (qmgr == NULL || qmgr->state != PROCESS_WAITING)
		return;
	loop_timer_clear(&qmgr->restart);
	qmgr->was_revived = true;
	process_start(qmgr);
}

void
process_died(struct process *process, int status)
{
	struct master *master = process->master;
	struct mono now = loop_now(master->loop).mono;
	bool was_leaving = process->state == PROCESS_LEAVING;

	channel_close(&process->channel);
	loop_timer_clear(&process->watch);
	process->state = PROCESS_DOWN;
	if (!(WIFEXITED(status) && WEXITSTATUS(status) == 0))
		read_black_box(process);
	if (!was_leaving && process->kind == ROLE_QMGR && master->is_stopping &&
		master->stop_stage < MASTER_LAST_STAGE && !process->was_revived) {
		process->was_revived = true;
		say_how(process, status);
		process_start(process);
		return;
	}
	if (was_leaving || (master->is_stopping && process->kind != ROLE_LOG)) {
		if (!(WIFEXITED(status) && WEXITSTATUS(status) == 0))
			say_how(process, status);
		return;
	}
	if (process->delay_ns == 0 || mono_since_ns(now, process->started) > GOOD_LIFE_NS)
		process->delay_ns = RESTART_MIN_NS;
	process->not_before = mono_add_ns(now, process->delay_ns);
	if (!process->is_solo || process->is_wanted)
		wait_to_start(process);
	say_how(process, status);
	process->delay_ns = process->delay_ns * 2 < RESTART_MAX_NS ? process->delay_ns * 2
								    : RESTART_MAX_NS;
}

struct process *
process_find(struct master *master, pid_t pid)
{
	for (int i = 0; i < master->process_count; i++)
		if (master->processes[i].pid == pid &&
			master->processes[i].state != PROCESS_DOWN &&
			master->processes[i].state != PROCESS_WAITING)
			return &master->processes[i];
	return NULL;
}

struct process *
process_qmgr(struct master *master)
{
	for (int i = 0; i < master->process_count; i++)
		if (master->processes[i].kind == ROLE_QMGR)
			return &master->processes[i];
	return NULL;
}

void
process_end_log(struct master *master)
{
	for (int i = 0; i < master->process_count; i++) {
		struct process *process = &master->processes[i];
		struct pollfd end = { .events = POLLIN };

		if (process->kind != ROLE_LOG || process->state != PROCESS_RUNNING)
			continue;
		(void)log_file_flush(&master->log);
		(void)close(master->log_fd);
		end.fd = pidfd_open(process->pid, 0);
		if (end.fd >= 0 && poll(&end, 1, LOG_END_MS) == 0)
			(void)kill(process->pid, SIGKILL);
	}
}
