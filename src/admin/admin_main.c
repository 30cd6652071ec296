/*
 * admin_main.c - libmicrohttpd on our loop; questions go to qmgr as control requests (admin_main.h)
 *
 *   /healthz     200 when mail is accepted, else 503 and why not
 *   /metrics     Prometheus text
 *   /api/status  one JSON object
 *   /api/queue   a JSON array of messages, fields as postqueue -j
 *
 * Reading only: other methods get 405. The Host field must be an address, localhost or myhostname,
 * so that a web page elsewhere cannot make a browser ask on its behalf. A request that waits for
 * qmgr is suspended; ANSWER_S bounds it, ANSWER_MAX its answer.
 */
#include "admin/admin_main.h"

#include "base/check.h"
#include "base/mem.h"
#include "config/snapshot.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sysexits.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 100, ANSWER_MAX = 256 * 1024 * 1024, IDLE_S = 30 };
#define ANSWER_NS (30 * NS_PER_S)

struct admin;

/* One HTTP request from its header to its end. */
struct request {
	struct admin *admin;
	struct MHD_Connection *connection;
	const char *command; /* of the control request */
	uint32_t number;
	bool is_asked, is_answered, is_suspended;
	unsigned status;
	struct buf text;
	struct mono give_up;
	LIST_ENTRY(request) link;
};

struct admin {
	struct role *role;
	struct config *config;
	struct MHD_Daemon *daemon;
	struct loop_fd watch;
	struct loop_timer timer;
	struct loop_hook hook;
	uint32_t next;
	LIST_HEAD(, request) requests;
};

/* --- answers ---------------------------------------------------------------------------------- */

static enum MHD_Result
reply(struct MHD_Connection *connection, unsigned status, const char *type, struct slice text)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		text.len, (void *)(uintptr_t)text.ptr, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result;

	if (response == NULL)
		return MHD_NO;
	(void)MHD_add_response_header(response, "Content-Type", type);
	(void)MHD_add_response_header(response, "Cache-Control", "no-store");
	(void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		(void)MHD_add_response_header(response, "Allow", "GET, HEAD");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result
refuse(struct MHD_Connection *connection, unsigned status, const char *why)
{
	return reply(connection, status, "text/plain; charset=utf-8", slice_str(why));
}

/* Lines of JSON, the last of which counts, become an array. */
static void
make_array(struct buf *text)
{
	struct slice rest = buf_slice(text), line;
	struct buf array;

	buf_init(&array, ANSWER_MAX);
	buf_add_str(&array, "[");
	while (slice_word(&rest, "\n", &line)) {
		if (memmem(line.ptr, line.len, "\"queue_id\"", 10) == NULL)
			continue;
		if (array.len > 1)
			buf_add_str(&array, ",\n");
		if (buf_append(&array, line) != ERR_OK)
			break;
	}
	if (buf_append_str(&array, "]\n") != ERR_OK)
		buf_clear(&array);
	buf_done(text);
	*text = array;
}

static enum MHD_Result
reply_answer(struct request *request)
{
	bool is_metrics = strcmp(request->command, "metrics") == 0;

	if (strcmp(request->command, "health") == 0 && request->text.len > 0) {
		buf_add_str(&request->text, "\n");
		return reply(request->connection, request->status, "text/plain; charset=utf-8",
			buf_slice(&request->text));
	}
	if (request->status != MHD_HTTP_OK)
		return refuse(request->connection, request->status,
			"the queue manager did not answer\n");
	if (strcmp(request->command, "queue") == 0)
		make_array(&request->text);
	return reply(request->connection, MHD_HTTP_OK,
		is_metrics ? "text/plain; version=0.0.4; charset=utf-8"
			   : "application/json",
		buf_slice(&request->text));
}

/* --- questions to qmgr ------------------------------------------------------------------------ */

static void
settle(struct request *request, unsigned status)
{
	request->is_answered = true;
	request->status = status;
	if (request->is_suspended)
		MHD_resume_connection(request->connection);
	request->is_suspended = false;
	loop_wake(request->admin->role->loop);
}

static void
ask(struct request *request)
{
	struct admin *admin = request->admin;

	request->is_asked = true;
	if (!channel_is_open(&admin->role->qmgr)) {
		request->is_answered = true;
		request->status = MHD_HTTP_SERVICE_UNAVAILABLE;
		return;
	}
	request->number = ++admin->next;
	request->give_up = mono_add_ns(loop_now(admin->role->loop).mono, ANSWER_NS);
	channel_send(&admin->role->qmgr, IPC_TYPE_control_request,
		&(struct ipc_control_request){
			.request = request->number, .command = slice_str(request->command) });
	request->is_suspended = true;
	MHD_suspend_connection(request->connection);
}

static void
take_reply(struct admin *admin, const struct ipc_control_reply *part)
{
	struct request *request;

	LIST_FOREACH (request, &admin->requests, link)
		if (request->number == part->request && !request->is_answered)
			break;
	if (request == NULL)
		return;
	if (buf_append(&request->text, part->text) != ERR_OK)
		settle(request, MHD_HTTP_INSUFFICIENT_STORAGE);
	else if (part->final)
		settle(request, part->exit_code == EX_OK ? MHD_HTTP_OK
							 : MHD_HTTP_SERVICE_UNAVAILABLE);
}

static void
give_up(struct admin *admin, bool all)
{
	struct request *request;
	struct mono now = loop_now(admin->role->loop).mono;

	LIST_FOREACH (request, &admin->requests, link)
		if (request->is_asked && !request->is_answered &&
			(all || now.ns >= request->give_up.ns))
			settle(request, MHD_HTTP_SERVICE_UNAVAILABLE);
}

/* --- requests --------------------------------------------------------------------------------- */

/* host, host:port, [v6], [v6]:port. */
static bool
host_is_ours(const struct admin *admin, const char *given)
{
	const char *ours = config_cstr(admin->config, NULL, PARAM_MYHOSTNAME);
	struct slice host = given == NULL ? slice_make(NULL, 0) : slice_str(given);
	char text[256];
	uint8_t address[16];
	size_t end;

	if (host.len > 0 && host.ptr[0] == '[') {
		end = slice_find(host, ']');
		host = slice_head(slice_from(host, 1), end > 0 ? end - 1 : 0);
	} else {
		host = slice_head(host, slice_rfind(host, ':'));
	}
	if (host.len == 0 || host.len >= sizeof(text))
		return false;
	memcpy(text, host.ptr, host.len);
	text[host.len] = '\0';
	return strcasecmp(text, "localhost") == 0 || strcasecmp(text, ours) == 0 ||
	       inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

static const char *
command_of(const char *url)
{
	static const char *const routes[][2] = { { "/metrics", "metrics" },
		{ "/api/status", "status" }, { "/api/queue", "queue" },
		{ "/healthz", "health" } };

	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (strcmp(url, routes[i][0]) == 0)
			return routes[i][1];
	return NULL;
}

static struct request *
request_new(struct admin *admin, struct MHD_Connection *connection, const char *command)
{
	struct request *request = MEM_NEW(struct request);

	request->admin = admin;
	request->connection = connection;
	request->command = command;
	buf_init(&request->text, ANSWER_MAX);
	LIST_INSERT_HEAD(&admin->requests, request, link);
	return request;
}

static enum MHD_Result
handle(void *ctx, struct MHD_Connection *connection, const char *url, const char *method,
	const char *version, const char *upload, size_t *upload_size, void **request_ctx)
{
	struct admin *admin = ctx;
	struct request *request = *request_ctx;
	const char *command = command_of(url);

	(void)version;
	(void)upload;
	if (request == NULL) {
		if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
			return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only reading\n");
		if (!host_is_ours(admin, MHD_lookup_connection_value(
						 connection, MHD_HEADER_KIND, "Host")))
			return refuse(connection, MHD_HTTP_FORBIDDEN,
				"Host must be localhost, an address or myhostname\n");
		*request_ctx = request_new(admin, connection, command);
		return MHD_YES;
	}
	*upload_size = 0;
	if (command == NULL)
		return refuse(connection, MHD_HTTP_NOT_FOUND,
			"there are /healthz, /metrics, /api/status, /api/queue\n");
	if (!request->is_asked)
		ask(request);
	return request->is_answered ? reply_answer(request) : MHD_YES;
}

static void
completed(void *ctx, struct MHD_Connection *connection, void **request_ctx,
	enum MHD_RequestTerminationCode code)
{
	struct request *request = *request_ctx;

	(void)ctx;
	(void)connection;
	(void)code;
	if (request == NULL)
		return;
	LIST_REMOVE(request, link);
	buf_done(&request->text);
	mem_free(request);
	*request_ctx = NULL;
}

/* --- process ---------------------------------------------------------------------------------- */

/* libmicrohttpd works when its descriptor is ready, when it asked for, and after a resume. */
static void
turn(void *ctx)
{
	struct admin *admin = ctx;
	MHD_UNSIGNED_LONG_LONG wait_ms = 1000;

	if (admin->daemon == NULL)
		return;
	give_up(admin, false);
	(void)MHD_run(admin->daemon);
	if (MHD_get_timeout(admin->daemon, &wait_ms) != MHD_YES || wait_ms > 1000)
		wait_ms = 1000;
	loop_timer_set_ns(&admin->timer, (wait_ms == 0 ? 1 : wait_ms) * NS_PER_MS);
}

static void
nothing(void *ctx)
{
	(void)ctx; /* the hook of this turn does the work */
}

static void
readable(void *ctx, int ready)
{
	(void)ctx;
	(void)ready;
}

static void
qmgr_frame(struct role *role, uint16_t type, struct slice payload, int fd)
{
	union ipc_any any;

	if (fd >= 0)
		(void)close(fd);
	if (ipc_decode(type, payload, &any) != ERR_OK)
		die(EX_SOFTWARE, "bad frame %s from the queue manager", ipc_type_name(type));
	if (type == IPC_TYPE_control_reply)
		take_reply(role->ctx, &any.control_reply);
}

static void
qmgr_down(struct role *role)
{
	give_up(role->ctx, true);
}

static void
new_config(struct role *role, int fd, uint64_t number)
{
	struct admin *admin = role->ctx;
	struct config *config;
	struct fault fault = { 0 };

	(void)number;
	if (config_open_fd(fd, &config, &fault) != ERR_OK) {
		log_event(&role->log.log, EV_role_fault, LOG_Z(fault.text));
	} else {
		config_close(admin->config);
		admin->config = config;
	}
	(void)close(fd);
}

static const struct role_callbacks callbacks = {
	.config = new_config,
	.qmgr_frame = qmgr_frame,
	.qmgr_down = qmgr_down,
};

static void
start_daemon(struct admin *admin)
{
	const union MHD_DaemonInfo *info;

	admin->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
		handle, admin, MHD_OPTION_LISTEN_SOCKET, admin->role->listeners[0].fd,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_NOTIFY_COMPLETED,
		completed, admin, MHD_OPTION_END);
	if (admin->daemon == NULL)
		die(EX_SOFTWARE, "the HTTP server does not start");
	info = MHD_get_daemon_info(admin->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL || info->epoll_fd < 0)
		die(EX_SOFTWARE, "the HTTP server has no descriptor to wait for");
	loop_fd_open(&admin->watch, admin->role->loop, info->epoll_fd, LOOP_READ, readable, admin);
}

int
admin_main(struct role *role)
{
	struct admin *admin = MEM_NEW(struct admin);
	struct fault fault = { 0 };

	admin->role = role;
	role->ctx = admin;
	LIST_INIT(&admin->requests);
	if (config_open_fd(role->config_fd, &admin->config, &fault) != ERR_OK)
		die(EX_CONFIG, "the configuration cannot be read: %s", fault.text);
	(void)close(role->config_fd);
	role->config_fd = -1;
	loop_timer_init(&admin->timer, role->loop, nothing, admin);
	if (role->listener_count > 0)
		start_daemon(admin);
	role_hook_add(role, &admin->hook, turn, admin);
	return role_run(role, &callbacks);
}
