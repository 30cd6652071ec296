/* smtp_main.c - the delivering process: start, reload, stop (smtp_main.h) */
#include "smtp/smtp_main.h"

#include "base/check.h"
#include "base/mem.h"
#include "smtp/smtp_worker.h"

#include <sysexits.h>
#include <unistd.h>

enum { MASTER_DOWN_MS = 5000 };

static void
qmgr_up(struct role *role)
{
	ipc_inventory(role->ctx);
}

static void
qmgr_down(struct role *role)
{
	struct worker *worker = role->ctx;
	struct smtp_session *session, *next;

	for (session = LIST_FIRST(&worker->all); session != NULL; session = next) {
		next = LIST_NEXT(session, link);
		session_orphan(session);
	}
}

/* Sessions look their service up by name, so the old snapshot can go at once. */
static void
new_config(struct role *role, int fd, uint64_t number)
{
	struct worker *worker = role->ctx;
	struct smtp_session *session;
	struct config *config;
	struct fault fault = { 0 };

	(void)number;
	if (config_open_fd(fd, &config, &fault) != ERR_OK) {
		log_event(&role->log.log, EV_role_fault, LOG_Z(fault.text));
		(void)close(fd);
		return;
	}
	(void)close(fd);
	LIST_FOREACH (session, &worker->all, link) {
		session->service = config_transport_find(config, slice_str(session->transport));
		if (session->has_proto)
			session->proto.helo_name =
				config_cstr(config, session->service, PARAM_SMTP_HELO_NAME);
	}
	config_close(worker->config);
	worker->config = config;
}

/* --- stop ------------------------------------------------------------------------------------- */

static void
stop_time_up(void *ctx)
{
	struct worker *worker = ctx;

	role_exit(worker->role, EX_OK);
}

/*
 * After each turn: everything past the dot has its result, and every result is durable. A queue
 * manager that has just died is started again for that; when master is gone too, nobody comes.
 */
static void
maybe_exit(void *ctx)
{
	struct worker *worker = ctx;

	bool is_alone = !channel_is_open(&worker->role->qmgr) &&
			!channel_is_open(&worker->role->master);

	if (worker->is_stopping && LIST_EMPTY(&worker->all) &&
		(kept_is_empty(&worker->kept) || is_alone))
		role_exit(worker->role, EX_OK);
}

static void
stop(struct role *role, uint32_t grace_ms)
{
	struct worker *worker = role->ctx;
	struct smtp_session *session, *next;

	worker->is_stopping = true;
	loop_timer_set_ns(&worker->stop_timer, grace_ms * NS_PER_MS);
	for (session = LIST_FIRST(&worker->all); session != NULL; session = next) {
		next = LIST_NEXT(session, link);
		if (session_is_past_dot(session))
			session_close_soon(session);
		else
			session_abort(session);
	}
}

static void
master_down(struct role *role)
{
	stop(role, MASTER_DOWN_MS);
}

static const struct role_callbacks callbacks = {
	.config = new_config,
	.qmgr_up = qmgr_up,
	.qmgr_frame = ipc_qmgr_frame,
	.qmgr_down = qmgr_down,
	.stop = stop,
	.master_down = master_down,
};

int
smtp_main(struct role *role)
{
	struct worker *worker = MEM_NEW(struct worker);
	struct fault fault = { 0 };
	int exit_code;

	worker->role = role;
	role->ctx = worker;
	LIST_INIT(&worker->all);
	rng_init(&worker->rng, rand_seed());
	if (config_open_fd(role->config_fd, &worker->config, &fault) != ERR_OK)
		die(EX_CONFIG, "the configuration cannot be read: %s", fault.text);
	(void)close(role->config_fd);
	role->config_fd = -1;
	loop_timer_init(&worker->stop_timer, role->loop, stop_time_up, worker);
	role_hook_add(role, &worker->hook, maybe_exit, worker);
	exit_code = role_run(role, &callbacks);
	while (!LIST_EMPTY(&worker->all))
		session_abort(LIST_FIRST(&worker->all));
	kept_done(&worker->kept);
	config_close(worker->config);
	mem_free(worker);
	return exit_code;
}
