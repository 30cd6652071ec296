/* master.c - start, supervision, reload, stop (master.h) */
#include "master/master.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/rand.h"
#include "ipc/client_table.h"
#include "master/master_priv.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

enum { KILL_EXTRA_MS = 700 };

/* How soon a log file that was moved is noticed. */
#define LOG_WATCH_NS (2 * NS_PER_S)

/* --- which processes -------------------------------------------------------------------------- */

static void
add_processes(struct master *master, enum role_kind kind, uint64_t count)
{
	if (!master->options->has_role[kind])
		return;
	for (uint64_t i = 0; i < count && master->process_count < PROCESSES_MAX; i++) {
		struct process *process = &master->processes[master->process_count++];

		process->master = master;
		process->kind = kind;
		process->slot = (uint32_t)i;
		process_init(process);
	}
}

/* One more of a delivery role, which suspects are tried in; it is started when there are any. */
static void
add_solo(struct master *master, enum role_kind kind)
{
	int count = master->process_count;

	add_processes(master, kind, 1);
	if (master->process_count == count)
		return;
	master->processes[count].is_solo = true;
	master->processes[count].slot = SOLO_SLOT;
}

static void
plan_processes(struct master *master)
{
	const struct config *config = master->config;
	bool has_admin = config_str(config, NULL, PARAM_ADMIN_LISTEN).len > 0;

	add_processes(master, ROLE_LOG, 1);
	add_processes(master, ROLE_RESOLVER, 1);
	add_processes(master, ROLE_QMGR, 1);
	add_processes(master, ROLE_SMTP, config_int(config, NULL, PARAM_SMTP_PROCESSES));
	add_processes(master, ROLE_AGENT, master->is_root ? 1 : 0);
	add_processes(master, ROLE_RUNNER, 1);
	add_processes(master, ROLE_LOCAL, config_int(config, NULL, PARAM_LOCAL_PROCESSES));
	add_processes(master, ROLE_SMTPD, config_int(config, NULL, PARAM_SMTPD_PROCESSES));
	add_processes(master, ROLE_PICKUP, 1);
	add_processes(master, ROLE_ADMIN, has_admin ? 1 : 0);
	add_solo(master, ROLE_SMTP);
	add_solo(master, ROLE_LOCAL);
}

/* --- stop ------------------------------------------------------------------------------------- */

/* First nobody brings mail any more, then what is under way ends, the queue manager is the last. */
static int
stage_of(enum role_kind kind)
{
	switch (kind) {
	case ROLE_SMTPD:
	case ROLE_PICKUP:
	case ROLE_ADMIN:
		return 0;
	case ROLE_SMTP:
	case ROLE_LOCAL:
		return 1;
	case ROLE_LOG:
		return MASTER_LAST_STAGE + 1; /* process_end_log() */
	case ROLE_AGENT:
	case ROLE_RUNNER:
	case ROLE_RESOLVER:
	case ROLE_QMGR:
	case ROLE_MASTER:
	case ROLE_KIND_COUNT:
		return MASTER_LAST_STAGE;
	}
	return MASTER_LAST_STAGE;
}

static bool
stage_is_over(const struct master *master)
{
	for (int i = 0; i < master->process_count; i++)
		if (stage_of(master->processes[i].kind) == master->stop_stage &&
			master->processes[i].state != PROCESS_DOWN)
			return false;
	return true;
}

static void
stop_stage(struct master *master)
{
	uint32_t grace_ms =
		(uint32_t)(config_time_s(master->config, NULL, PARAM_STOP_GRACE) * 1000);

	for (; master->stop_stage <= MASTER_LAST_STAGE; master->stop_stage++) {
		for (int i = 0; i < master->process_count; i++)
			if (stage_of(master->processes[i].kind) == master->stop_stage)
				process_stop(&master->processes[i], grace_ms);
		if (!stage_is_over(master)) {
			loop_timer_set_ns(&master->stop_timer,
				(grace_ms + KILL_EXTRA_MS) * NS_PER_MS);
			return;
		}
	}
	loop_stop(master->loop);
}

static void
stop_time_up(void *ctx)
{
	struct master *master = ctx;

	for (int i = 0; i < master->process_count; i++) {
		struct process *process = &master->processes[i];

		if (stage_of(process->kind) == master->stop_stage &&
			process->state == PROCESS_LEAVING) {
			log_event(&master->log.log, EV_master_killed,
				LOG_Z(role_name(process->kind)), LOG_I(process->pid));
			(void)kill(process->pid, SIGKILL);
		}
	}
}

/* --- signals ---------------------------------------------------------------------------------- */

static void
on_stop(void *ctx, int signal)
{
	struct master *master = ctx;

	(void)signal;
	if (master->is_stopping)
		return;
	master->is_stopping = true;
	log_event0(&master->log.log, EV_master_stopping);
	process_revive_qmgr(master);
	stop_stage(master);
}

/* False: the old one stays, which is said once. */
static bool
reopen_log(struct master *master)
{
	enum log_file_style style;
	int old = master->log_sink, fd = log_open(master, &style);

	if (fd < 0 && !master->is_log_stuck)
		log_event(&master->log.log, EV_master_log_stays, LOG_Z(log_path(master)),
			LOG_Z(strerror(errno)));
	master->is_log_stuck = fd < 0;
	if (fd < 0)
		return false;
	master->log_sink = fd;
	master->log_style = style;
	for (int i = 0; i < master->process_count; i++)
		if (master->processes[i].state == PROCESS_RUNNING)
			process_send_log(&master->processes[i]);
	(void)close(old);
	return true;
}

/* A file that was moved away is not written for ever, also where nobody thinks of a signal. */
static void
log_watch_due(void *ctx)
{
	struct master *master = ctx;

	if (log_was_moved(master) && reopen_log(master))
		log_event(&master->log.log, EV_master_log_begins, LOG_Z(log_path(master)));
	loop_timer_set_ns(&master->log_watch, LOG_WATCH_NS);
}

static void
log_words(struct master *master, enum log_event_id event, const struct buf *text)
{
	struct slice rest = buf_slice(text), line;

	while (slice_word(&rest, "\n", &line))
		log_event(&master->log.log, event, LOG_S(line));
}

/* Parameters that count at a start only: nobody should wonder why nothing happened. */
static void
say_what_waits(struct master *master, const struct config *config)
{
	for (int id = 0; id < PARAM_COUNT; id++) {
		const struct param *param = param_get((enum param_id)id);
		struct slice now = config_str(master->config, NULL, (enum param_id)id);
		struct slice then = config_str(config, NULL, (enum param_id)id);

		if (param->when == PARAM_START && !slice_equal(now, then))
			log_event(&master->log.log, EV_master_needs_start, LOG_Z(param->name),
				LOG_S(then));
	}
}

static void
on_reload(void *ctx, int signal)
{
	struct master *master = ctx;
	struct config *config;
	struct fault fault = { 0 };
	struct buf text;
	int fd;

	(void)signal;
	buf_init(&text, 1 << 20);
	if (compile_image(master, &fd, &text) != ERR_OK) {
		log_words(master, EV_master_reload_failed, &text);
	} else if (config_open_fd(fd, &config, &fault) != ERR_OK) {
		log_event(&master->log.log, EV_master_reload_failed, LOG_Z(fault.text));
		(void)close(fd);
	} else {
		log_words(master, EV_master_config_warning, &text);
		say_what_waits(master, config);
		config_close(master->config);
		(void)close(master->config_fd);
		master->config = config;
		master->config_fd = fd;
		master->config_number++;
		for (int i = 0; i < master->process_count; i++)
			if (master->processes[i].state == PROCESS_RUNNING)
				process_send_config(&master->processes[i]);
		listen_again(master);
		(void)reopen_log(master);
		log_event(&master->log.log, EV_master_reloaded, LOG_U(master->config_number));
	}
	buf_done(&text);
}

static void
on_child(void *ctx, int signal)
{
	struct master *master = ctx;
	struct process *process;
	int status;
	pid_t pid;

	(void)signal;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		process = process_find(master, pid);
		if (process != NULL)
			process_died(process, status);
	}
	if (master->is_stopping && stage_is_over(master))
		stop_stage(master);
}

/* --- the first minute ------------------------------------------------------------------------- */

static void
say_banner(const struct master *master)
{
	const char *mail = config_cstr(master->config, NULL, PARAM_MAIL_SPOOL_DIRECTORY);
	const char *queue = config_cstr(master->config, NULL, PARAM_QUEUE_DIRECTORY);
	const char *first = NULL;

	if (!isatty(STDOUT_FILENO) && master->options->directory != NULL)
		return;
	(void)printf("Ostler is up. Queue: %s\n", queue);
	for (int i = 0; i < master->listener_count; i++) {
		const struct bound *bound = &master->listeners[i];

		if (bound->role == ROLE_SMTPD && first == NULL)
			first = bound->address;
		if (bound->role == ROLE_SMTPD)
			(void)printf("  SMTP   on %s\n", bound->address);
		else if (bound->role == ROLE_ADMIN)
			(void)printf("  admin  on http://%s/healthz, /metrics, /api/status, "
				     "/api/queue\n",
				bound->address);
	}
	if (first != NULL)
		(void)printf("Send a message:  swaks --server %s --from me@localhost --to "
			     "you@localhost\n"
			     "It appears in    %s/you/new/   Everything else goes out by MX.\n"
			     "The queue:       build/ostler queue      Stop with Ctrl-C.\n",
			first, mail);
	(void)fflush(stdout);
}

/* --- run -------------------------------------------------------------------------------------- */

static void
flush_log(void *ctx)
{
	struct master *master = ctx;

	if (!log_file_flush(&master->log))
		loop_timer_set_ns(&master->log_timer, LOG_FILE_RETRY_MS * NS_PER_MS);
}

/* The hook of this turn flushes again. */
static void
log_due(void *ctx)
{
	(void)ctx;
}

static int
prepare(struct master *master)
{
	int code;

	(void)umask(022);
	if (gethostname(master->hostname, sizeof(master->hostname) - 1) != 0)
		(void)snprintf(master->hostname, sizeof(master->hostname), "localhost");
	code = prepare_config(master);
	if (code == EX_OK)
		code = prepare_user(master);
	if (code == EX_OK)
		code = prepare_directories(master);
	if (code == EX_OK && master->options->restored)
		code = origin_mark(master);
	origin_find_machine(master);
	if (code == EX_OK)
		code = prepare_listeners(master);
	return code == EX_OK ? prepare_log(master) : code;
}

int
master_run(const struct master_options *options)
{
	struct master *master = MEM_NEW(struct master);
	int code;

	master->options = options;
	master->lock_fd = -1;
	code = prepare(master);
	if (code != EX_OK)
		return code;
	master->loop = loop_new();
	(void)signal(SIGPIPE, SIG_IGN);
	loop_signal_add(master->loop, SIGTERM, on_stop, master);
	loop_signal_add(master->loop, SIGINT, on_stop, master);
	loop_signal_add(master->loop, SIGHUP, on_reload, master);
	loop_signal_add(master->loop, SIGCHLD, on_child, master);
	loop_timer_init(&master->stop_timer, master->loop, stop_time_up, master);
	loop_timer_init(&master->log_timer, master->loop, log_due, master);
	loop_timer_init(&master->log_watch, master->loop, log_watch_due, master);
	loop_timer_set_ns(&master->log_watch, LOG_WATCH_NS);
	loop_hook_add(master->loop, &master->log_hook, flush_log, master);
	loop_hook_add(master->loop, &master->channel_hook, channel_flush_all, NULL);
	master->client_table = client_table_create(rand_seed());
	rand_bytes(master->secret, sizeof(master->secret));
	plan_processes(master);
	prepare_pid_file(master);
	log_event(&master->log.log, EV_master_started, LOG_Z("0.1.0"),
		LOG_Z(options->directory != NULL ? options->directory : "built in"));
	for (int i = 0; i < master->process_count; i++)
		if (!master->processes[i].is_solo)
			process_start(&master->processes[i]);
	say_banner(master);
	master->is_started = true;
	loop_run(master->loop);
	prepare_leave(master);
	log_event0(&master->log.log, EV_master_stopped);
	process_end_log(master);
	return EX_OK;
}
