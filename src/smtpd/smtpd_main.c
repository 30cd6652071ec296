/*
 * smtpd_main.c - clients' connections around smtpd_proto.h (see smtpd_main.h)
 *
 * One event loop. A connection reads into a bounded buffer, lets the core take what it can, passes
 * content on in parts of IPC_CONTENT_PART_MAX, and writes all replies of a turn at once. It stops
 * reading while the core waits for qmgr, while credit is used up, and while it sleeps for errors.
 */
#include "smtpd/smtpd_main.h"

#include "base/check.h"
#include "base/wire.h"
#include "base/mem.h"
#include "base/stream.h"
#include "config/net.h"
#include "ipc/client_table.h"
#include "ipc/intake_client.h"
#include "ipc/notice_sender.h"
#include "message/notice.h"
#include "smtpd/smtpd_proto.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

enum { READ_MAX = 16 * 1024, ACCEPT_MAX = 64, PTR_MS = 1000 };

struct server;

struct listener {
	struct server *server; /* NULL: free */
	struct loop_fd watch;
	const struct config_service *service;
	char name[64], address[128]; /* as master said */
};

enum client_wait {
	CLIENT_NAME,  /* for its verified name */
	CLIENT_TALKS,
	CLIENT_SLEEPS, /* smtpd_error_sleep_time */
};

struct client {
	struct server *server;
	struct stream stream;
	struct loop_fd watch;
	struct loop_timer timer;
	enum client_wait wait;
	struct sockaddr_storage peer;
	uint8_t address[CLIENT_ADDRESS_SIZE]; /* IPv4 as mapped */
	bool is_counted;
	uint64_t ptr_query;
	struct smtpd_proto proto;
	struct intake_txn txn;
	uint64_t id_token; /* of its queue ID's block */
	struct buf in;
	struct buf out; /* taken over from the core, not yet written */
	bool wants_credit;
	bool peer_closed;
	const char *reason; /* why the session was broken off, or NULL */
	bool is_listed; /* in server->waiting */
	LIST_ENTRY(client) link;
	TAILQ_ENTRY(client) waiting_link;
	UT_hash_handle by_query;
};

struct server {
	struct role *role;
	struct config *config;
	struct intake_client intake;
	struct listener listeners[ROLE_LISTENERS_MAX];
	LIST_HEAD(, client) clients;
	TAILQ_HEAD(, client) waiting; /* for credit */
	unsigned client_count;
	struct client_table *table;
	struct notice_sender notices;
	struct client *queries;      /* hash by ptr_query */
	uint64_t query_next;
	bool said_full;
	bool is_stopping;
	struct loop_timer stop_timer;
	struct loop_hook hook;
};

static void client_run(struct client *client);
static void client_event(void *ctx, int ready);
static void client_timeout(void *ctx);

/* --- accepting or not ------------------------------------------------------------------------- */

static bool
may_accept(struct server *server)
{
	uint64_t limit = config_int(server->config, NULL, PARAM_SMTPD_SESSION_LIMIT);

	if (server->client_count >= limit) {
		if (!server->said_full)
			log_event(&server->role->log.log, EV_smtpd_session_limit, LOG_U(limit));
		server->said_full = true;
		return false;
	}
	server->said_full = false;
	return !server->is_stopping && intake_client_may_offer(&server->intake);
}

/* Without a queue manager clients wait in the backlog. */
static void
update_listeners(struct server *server)
{
	int wanted = may_accept(server) ? LOOP_READ : 0;

	for (int i = 0; i < ROLE_LISTENERS_MAX; i++)
		if (server->listeners[i].server != NULL)
			loop_fd_want(&server->listeners[i].watch, wanted);
}

static bool
is_exempt(const struct client *client)
{
	const struct sockaddr *address = (const struct sockaddr *)&client->peer;

	return config_net_match(client->server->config, client->proto.service,
		PARAM_SMTPD_CLIENT_EVENT_LIMIT_EXCEPTIONS, address);
}

/* smtpd_client_message_rate_limit */
static bool
may_send(void *ctx)
{
	struct client *client = ctx;
	struct server *server = client->server;
	const struct config_service *service = client->proto.service;
	uint64_t limit =
		config_int(server->config, service, PARAM_SMTPD_CLIENT_MESSAGE_RATE_LIMIT);
	uint64_t unit_s = config_time_s(server->config, service, PARAM_ANVIL_RATE_TIME_UNIT);
	uint64_t now_s = loop_now(server->role->loop).mono.ns / NS_PER_S;
	uint32_t count;

	if (limit == 0 || is_exempt(client))
		return true;
	count = client_table_message(server->table, client->address, now_s, unit_s);
	if (count <= limit)
		return true;
	log_event(client->proto.log, EV_smtpd_message_rate, LOG_U(count),
		LOG_Z(client->proto.name), LOG_Z(client->proto.address));
	return false;
}

/* --- the object ------------------------------------------------------------------------------- */

static void
list_waiting(struct client *client, bool wanted)
{
	if (wanted == client->is_listed)
		return;
	client->is_listed = wanted;
	if (wanted)
		TAILQ_INSERT_TAIL(&client->server->waiting, client, waiting_link);
	else
		TAILQ_REMOVE(&client->server->waiting, client, waiting_link);
}

static void
forget_query(struct client *client)
{
	if (client->ptr_query != 0)
		HASH_DELETE(by_query, client->server->queries, client);
	client->ptr_query = 0;
}

/* What smtpd may have to tell of; the other classes are of other roles. */
enum {
	NOTICE_CLASSES = CONFIG_NOTIFY_BOUNCE | CONFIG_NOTIFY_DATA | CONFIG_NOTIFY_POLICY |
			 CONFIG_NOTIFY_PROTOCOL | CONFIG_NOTIFY_RESOURCE | CONFIG_NOTIFY_SOFTWARE,
};

static unsigned
notify_classes(const struct client *client)
{
	return (unsigned)config_words(client->server->config, NULL, PARAM_NOTIFY_CLASSES) &
	       NOTICE_CLASSES;
}

/* Tells the postmaster of a session with errors, if notify_classes wants that. */
static void
send_notice(struct client *client)
{
	struct server *server = client->server;
	const struct smtpd_proto *proto = &client->proto;
	char peer[2 * SMTPD_TEXT_MAX + 4];

	if ((proto->troubles & notify_classes(client)) == 0)
		return;
	(void)snprintf(peer, sizeof(peer), "%s[%s]", proto->name, proto->address);
	notice_sender_send(&server->notices, &server->role->qmgr, proto->now.mono,
		&(struct ipc_notice){ .side = NOTICE_SERVER,
			.classes = proto->troubles,
			.peer = slice_str(peer),
			.transcript = buf_slice(&proto->transcript.lines),
			.reason = slice_str(client->reason == NULL ? "" : client->reason) });
}

static void
client_free(struct client *client)
{
	struct server *server = client->server;
	struct buf statistics;

	intake_txn_abort(&client->txn);
	send_notice(client);
	buf_init(&statistics, 0);
	smtpd_proto_statistics(&client->proto, &statistics);
	log_event(&server->role->log.log, EV_smtpd_disconnect, LOG_Z(client->proto.name),
		LOG_Z(client->proto.address), LOG_S(buf_slice(&statistics)));
	buf_done(&statistics);
	forget_query(client);
	list_waiting(client, false);
	loop_fd_close(&client->watch);
	stream_close(&client->stream);
	loop_timer_done(&client->timer);
	smtpd_proto_done(&client->proto);
	buf_done(&client->in);
	buf_done(&client->out);
	if (client->is_counted)
		client_table_leave(server->table, client->address);
	LIST_REMOVE(client, link);
	server->client_count--;
	mem_free(client);
	update_listeners(server);
}

static void
client_lost(struct client *client, enum log_event_id event)
{
	const char *after = client->proto.state == SMTPD_DATA || client->proto.state == SMTPD_WAIT
				    ? "DATA"
				    : client->proto.last_command;

	client->reason = event == EV_smtpd_timeout ? "timeout" : "lost connection";
	log_event(&client->server->role->log.log, event, LOG_Z(after), LOG_Z(client->proto.name),
		LOG_Z(client->proto.address));
	client_free(client);
}

/* --- what the core asks for ------------------------------------------------------------------- */

static enum ipc_intake_status
op_intake_state(void *ctx)
{
	const struct client *client = ctx;

	return client->server->intake.state;
}

static uint64_t
op_queue_id(void *ctx)
{
	struct client *client = ctx;

	return intake_client_id(&client->server->intake, &client->id_token);
}

static void
op_commit(void *ctx)
{
	struct client *client = ctx;
	struct smtpd_proto *proto = &client->proto;
	struct buf envelope, head;

	buf_init(&envelope, 0);
	buf_init(&head, 0);
	smtpd_proto_envelope(proto, &envelope);
	smtpd_proto_head(proto, &head);
	log_event(proto->log, EV_smtpd_message_id, LOG_Z(proto->id_text),
		LOG_S(header_message_id(&proto->header)));
	struct ipc_intake_commit commit = {
		.queue_id = proto->queue_id,
		.token = client->id_token,
		.envelope = buf_slice(&envelope),
		.recipients = buf_slice(&proto->recipients),
		.head = buf_slice(&head),
		.content = buf_slice(&proto->content),
		.content_length = proto->length,
		.content_hash = hash_stream_value(proto->hash),
		.dotted = proto->header.dotted,
	};

	intake_txn_commit(&client->txn, &commit);
	buf_clear(&proto->content);
	buf_done(&envelope);
	buf_done(&head);
}

static void
op_abort(void *ctx)
{
	struct client *client = ctx;

	intake_txn_abort(&client->txn);
}

static const struct smtpd_ops ops = {
	.intake_state = op_intake_state,
	.queue_id = op_queue_id,
	.commit = op_commit,
	.may_send = may_send,
	.abort = op_abort,
};

/* At a stop; what it has sent beyond is not looked at. */
static void
client_dismiss(struct client *client)
{
	client->wait = CLIENT_TALKS;
	client->wants_credit = false;
	buf_clear(&client->in);
	smtpd_proto_close(&client->proto, "421 4.3.2 Service shutting down");
}

static void
txn_answer(struct intake_txn *txn, enum ipc_intake_status status, struct slice text)
{
	struct client *client =
		(struct client *)((char *)txn - offsetof(struct client, txn));

	client->proto.now = loop_now(client->server->role->loop);
	smtpd_proto_result(&client->proto, status, text);
	if (client->server->is_stopping)
		client_dismiss(client);
	client_run(client);
}

/* --- a turn of a connection ------------------------------------------------------------------- */

/* False: the connection is gone. */
static bool
write_out(struct client *client)
{
	if (client->proto.out.len > 0 && client->out.len == 0) {
		struct buf swap = client->out;

		client->out = client->proto.out;
		client->proto.out = swap;
	} else if (client->proto.out.len > 0) {
		buf_add(&client->out, buf_slice(&client->proto.out));
		buf_clear(&client->proto.out);
	}
	while (client->out.len > 0) {
		ssize_t written = stream_write(&client->stream, client->out.ptr, client->out.len);

		if (written < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (written < 0) {
			client_lost(client, EV_smtpd_lost);
			return false;
		}
		buf_consume(&client->out, (size_t)written);
	}
	return true;
}

/* Content goes on as far as credit allows; the rest waits here, and the client with it. */
static void
pass_content(struct client *client)
{
	struct smtpd_proto *proto = &client->proto;

	client->wants_credit = false;
	while (proto->content.len >= IPC_CONTENT_PART_MAX) {
		if (!intake_client_has_credit(&client->server->intake)) {
			client->wants_credit = true;
			break;
		}
		intake_txn_part(&client->txn,
			slice_head(buf_slice(&proto->content), IPC_CONTENT_PART_MAX));
		buf_consume(&proto->content, IPC_CONTENT_PART_MAX);
	}
	/* With nothing left of the credit nobody begins a message either. */
	if ((proto->state == SMTPD_DATA || proto->state == SMTPD_BDAT) &&
		!intake_client_has_credit(&client->server->intake))
		client->wants_credit = true;
	list_waiting(client, client->wants_credit);
}

/* Whose bytes are in hand, should they kill us. */
static void
note_client(const struct client *client)
{
	const uint8_t *address = client->address;

	black_box_note(client->server->role->black_box, wire_load_u64(address),
		wire_load_u64(address + 8));
	check_poison("smtpd", client->in.ptr, client->in.len);
}

/* False: the core could take nothing. */
static bool
feed_core(struct client *client)
{
	struct smtpd_proto *proto = &client->proto;
	size_t before = client->in.len;

	note_client(client);
	while (client->in.len > 0 && !client->wants_credit && !proto->must_sleep) {
		size_t taken = smtpd_proto_input(proto, buf_slice(&client->in));

		buf_consume(&client->in, taken);
		pass_content(client);
		if (taken == 0)
			break;
	}
	black_box_note(client->server->role->black_box, 0, 0);
	return client->in.len < before;
}

static void
update_watch(struct client *client)
{
	struct smtpd_proto *proto = &client->proto;
	bool may_read = client->wait == CLIENT_TALKS && proto->state != SMTPD_WAIT &&
			!client->wants_credit && client->in.len < READ_MAX &&
			client->out.len == 0 && !client->peer_closed;
	int wanted = (may_read ? LOOP_READ : 0) | (client->out.len > 0 ? LOOP_WRITE : 0);

	loop_fd_want(&client->watch, wanted | stream_wants(&client->stream));
}

static void
start_sleep(struct client *client)
{
	uint64_t sleep_s = config_time_s(
		client->server->config, client->proto.service, PARAM_SMTPD_ERROR_SLEEP_TIME);

	client->wait = CLIENT_SLEEPS;
	loop_timer_set_ns(&client->timer, sleep_s * NS_PER_S);
}

static void
start_timeout(struct client *client)
{
	uint64_t limit_s = config_time_s(
		client->server->config, client->proto.service, PARAM_SMTPD_TIMEOUT);

	loop_timer_set_ns(&client->timer, limit_s * NS_PER_S);
}

static void
client_run(struct client *client)
{
	struct smtpd_proto *proto = &client->proto;
	bool goes_on;

	proto->now = loop_now(client->server->role->loop);
	if (client->wait != CLIENT_TALKS)
		return;
	goes_on = feed_core(client) || client->in.len == 0 || proto->out.len > 0 ||
		  client->out.len > 0;
	if (proto->must_sleep) {
		start_sleep(client);
		update_watch(client);
		return;
	}
	if (!write_out(client))
		return;
	if (proto->state == SMTPD_CLOSE && client->out.len == 0) {
		client_free(client);
		return;
	}
	/* Half of a command, and nobody who could send the other half. */
	if (client->peer_closed && proto->state != SMTPD_WAIT && client->out.len == 0 &&
		!client->wants_credit) {
		client_lost(client, EV_smtpd_lost);
		return;
	}
	update_watch(client);
	/* Half a command buys no time: smtpd_timeout is for all of it. */
	if (goes_on)
		start_timeout(client);
}

static void
client_event(void *ctx, int ready)
{
	struct client *client = ctx;
	ssize_t got;

	if (ready & LOOP_READ) {
		CHECK(buf_reserve(&client->in, READ_MAX) == ERR_OK);
		got = stream_read(&client->stream, client->in.ptr + client->in.len, READ_MAX);
		if (got > 0) {
			client->in.len += (size_t)got;
		} else if (got == 0) {
			client->peer_closed = true;
		} else if (errno != EAGAIN && errno != EINTR) {
			client_lost(client, EV_smtpd_lost);
			return;
		}
	}
	client_run(client);
}

static void
client_greet(struct client *client)
{
	uint8_t early;

	forget_query(client);
	client->wait = CLIENT_TALKS;
	log_event(client->proto.log, EV_smtpd_connect, LOG_Z(client->proto.name),
		LOG_Z(client->proto.address));
	smtpd_proto_greet(&client->proto, recv(client->stream.fd, &early, 1, MSG_PEEK) > 0);
	client_run(client);
}

static void
client_timeout(void *ctx)
{
	struct client *client = ctx;

	switch (client->wait) {
	case CLIENT_NAME:
		client_greet(client);
		break;
	case CLIENT_SLEEPS:
		client->wait = CLIENT_TALKS;
		client->proto.must_sleep = false;
		client_run(client);
		break;
	case CLIENT_TALKS:
		if (client->proto.state == SMTPD_WAIT || client->wants_credit) {
			start_timeout(client); /* it waits for us */
			break;
		}
		buf_addf(&client->out, "421 4.4.2 %" SLICE_FMT " Error: timeout exceeded\r\n",
			SLICE_ARG(config_str(client->server->config, client->proto.service,
				PARAM_MYHOSTNAME)));
		(void)!stream_write(&client->stream, client->out.ptr, client->out.len);
		client_lost(client, EV_smtpd_timeout);
		break;
	}
}

/* --- a new connection ------------------------------------------------------------------------- */

static void
name_client(struct client *client, const struct sockaddr_storage *address)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
	struct smtpd_proto *proto = &client->proto;

	(void)snprintf(proto->name, sizeof(proto->name), "unknown");
	if (address->ss_family == AF_INET) {
		static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

		memcpy(client->address, mapped, sizeof(mapped));
		memcpy(client->address + 12, &v4->sin_addr, 4);
		(void)inet_ntop(AF_INET, &v4->sin_addr, proto->address, sizeof(proto->address));
		proto->port = ntohs(v4->sin_port);
	} else {
		memcpy(client->address, &v6->sin6_addr, 16);
		(void)inet_ntop(AF_INET6, &v6->sin6_addr, proto->address, sizeof(proto->address));
		proto->port = ntohs(v6->sin6_port);
	}
}

/* A connection from an address of this machine ends at the same one, or at another of 127/8. */
static bool
is_from_here(const struct client *client, int fd)
{
	struct sockaddr_storage own = { 0 };
	socklen_t size = sizeof(own);
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&own;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&own;

	if (getsockname(fd, (struct sockaddr *)&own, &size) != 0)
		return false;
	if (own.ss_family == AF_INET)
		return memcmp(client->address + 12, &v4->sin_addr, 4) == 0 ||
		       (client->address[12] == 127 && ntohl(v4->sin_addr.s_addr) >> 24 == 127);
	return own.ss_family == AF_INET6 && memcmp(client->address, &v6->sin6_addr, 16) == 0;
}

static bool
rewrites_header(const struct client *client, int fd)
{
	uint64_t clients = config_words(client->server->config, client->proto.service,
		PARAM_LOCAL_HEADER_REWRITE_CLIENTS);

	return (clients & CONFIG_CLIENTS_ALL) ||
	       ((clients & CONFIG_CLIENTS_MYNETWORKS) && client->proto.is_trusted) ||
	       ((clients & CONFIG_CLIENTS_INET_INTERFACES) && is_from_here(client, fd));
}

static bool
is_over_limit(struct client *client)
{
	struct server *server = client->server;
	uint64_t now_s = loop_now(server->role->loop).mono.ns / NS_PER_S;
	uint32_t count = client_table_enter(server->table, client->address, now_s);
	uint64_t limit = config_int(server->config, client->proto.service,
		PARAM_SMTPD_CLIENT_CONNECTION_COUNT_LIMIT);

	client->is_counted = count > 0;
	if (limit == 0 || count <= limit || is_exempt(client))
		return false;
	log_event(client->proto.log, EV_smtpd_client_limit, LOG_U(count),
		LOG_Z(client->proto.name), LOG_Z(client->proto.address));
	return true;
}

static void
ask_name(struct client *client)
{
	struct server *server = client->server;
	bool is_v4 = memcmp(client->address, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0;
	struct ipc_ptr ptr = {
		.query = ++server->query_next,
		.address = is_v4 ? slice_make(client->address + 12, 4)
				 : slice_make(client->address, 16),
	};

	client->ptr_query = ptr.query;
	HASH_ADD(by_query, server->queries, ptr_query, sizeof(client->ptr_query), client);
	channel_send(&server->role->qmgr, IPC_TYPE_ptr, &ptr);
	loop_timer_set_ns(&client->timer, PTR_MS * NS_PER_MS);
}

static void
client_new(struct listener *listener, int fd, const struct sockaddr_storage *address)
{
	struct server *server = listener->server;
	struct client *client = MEM_NEW(struct client);
	struct smtpd_proto *proto = &client->proto;
	const struct sockaddr *plain = (const struct sockaddr *)address;
	int one = 1;

	client->server = server;
	stream_open(&client->stream, fd);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	smtpd_proto_init(proto);
	proto->config = server->config;
	proto->service = listener->service;
	proto->log = &server->role->log.log;
	proto->ops = &ops;
	proto->ctx = client;
	proto->now = loop_now(server->role->loop);
	client->txn = (struct intake_txn){ .client = &server->intake, .answer = txn_answer };
	buf_init(&client->in, 0);
	buf_init(&client->out, 0);
	client->peer = *address;
	name_client(client, address);
	proto->is_trusted =
		config_net_match(server->config, listener->service, PARAM_MYNETWORKS, plain);
	proto->rewrites_header = rewrites_header(client, fd);
	proto->may_verp = config_net_match(
		server->config, listener->service, PARAM_SMTPD_AUTHORIZED_VERP_CLIENTS, plain);
	proto->may_hurry = config_net_match(
		server->config, listener->service, PARAM_SMTPD_PRIORITY_CLIENTS, plain);
	proto->bare_newline = (enum config_bare_newline)config_enum(
		server->config, listener->service, PARAM_SMTPD_FORBID_BARE_NEWLINE);
	if (config_net_match(server->config, listener->service,
		    PARAM_SMTPD_FORBID_BARE_NEWLINE_EXCLUSIONS, plain))
		proto->bare_newline = CONFIG_BARE_NEWLINE_NO;
	transcript_init(&proto->transcript, notify_classes(client) != 0);
	loop_timer_init(&client->timer, server->role->loop, client_timeout, client);
	loop_fd_open(&client->watch, server->role->loop, fd, 0, client_event, client);
	LIST_INSERT_HEAD(&server->clients, client, link);
	server->client_count++;
	if (is_over_limit(client)) {
		client->wait = CLIENT_TALKS;
		proto->troubles |= CONFIG_NOTIFY_POLICY;
		smtpd_proto_close(proto, "421 4.7.0 Error: too many connections from you");
		client_run(client);
	} else if (config_bool(server->config, listener->service, PARAM_SMTPD_PEERNAME_LOOKUP)) {
		client->wait = CLIENT_NAME;
		ask_name(client);
	} else {
		client_greet(client);
	}
}

static void
listener_ready(void *ctx, int ready)
{
	struct listener *listener = ctx;

	(void)ready;
	for (int i = 0; i < ACCEPT_MAX && may_accept(listener->server); i++) {
		struct sockaddr_storage address = { 0 };
		socklen_t size = sizeof(address);
		int fd = accept4(listener->watch.fd, (struct sockaddr *)&address, &size,
			SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			break;
		client_new(listener, fd, &address);
	}
	update_listeners(listener->server);
}

/* --- qmgr ------------------------------------------------------------------------------------- */

/* Credit or IDs have come, or the queue manager has gone. */
static void
intake_changed(struct intake_client *intake)
{
	struct server *server =
		(struct server *)((char *)intake - offsetof(struct server, intake));
	struct client *client, *next;

	for (client = TAILQ_FIRST(&server->waiting);
		client != NULL && intake_client_has_credit(intake); client = next) {
		next = TAILQ_NEXT(client, waiting_link);
		pass_content(client);
		client_run(client);
	}
	update_listeners(server);
}

static void
take_name(struct server *server, const struct ipc_ptr_result *result)
{
	struct client *client;

	HASH_FIND(by_query, server->queries, &result->query, sizeof(result->query), client);
	if (client == NULL)
		return;
	if (result->name.len > 0) {
		size_t len = log_clean(
			client->proto.name, sizeof(client->proto.name) - 1, result->name);

		client->proto.name[len] = '\0';
	}
	client_greet(client);
}

static void
qmgr_frame(struct role *role, uint16_t type, struct slice payload, int fd)
{
	struct server *server = role->ctx;
	union ipc_any any;

	if (fd >= 0)
		(void)close(fd);
	if (ipc_decode(type, payload, &any) != ERR_OK)
		die(EX_SOFTWARE, "bad frame %s from the queue manager", ipc_type_name(type));
	if (type == IPC_TYPE_ptr_result)
		take_name(server, &any.ptr_result);
	else
		(void)intake_client_frame(&server->intake, type, &any);
}

static void
qmgr_up(struct role *role)
{
	struct server *server = role->ctx;

	intake_client_qmgr_up(&server->intake);
}

static void
qmgr_down(struct role *role)
{
	struct server *server = role->ctx;

	intake_client_qmgr_down(&server->intake);
}

/* --- reload and stop -------------------------------------------------------------------------- */

static void
find_services(struct server *server)
{
	for (int i = 0; i < ROLE_LISTENERS_MAX; i++)
		if (server->listeners[i].server != NULL)
			server->listeners[i].service = config_listener_find(
				server->config, slice_str(server->listeners[i].name));
}

/* Clients point into the old snapshot: they change over with it, by the name of their listener. */
static void
new_config(struct role *role, int fd, uint64_t number)
{
	struct server *server = role->ctx;
	struct config *old = server->config, *config;
	struct client *client;
	struct fault fault = { 0 };

	(void)number;
	if (config_open_fd(fd, &config, &fault) != ERR_OK) {
		log_event(&role->log.log, EV_role_fault, LOG_Z(fault.text));
		(void)close(fd);
		return;
	}
	(void)close(fd);
	server->config = config;
	find_services(server);
	LIST_FOREACH (client, &server->clients, link) {
		const struct config_service *service = client->proto.service;

		client->proto.service =
			service == NULL ? NULL : config_listener_find(config, service->name);
		client->proto.config = config;
	}
	config_close(old);
	update_listeners(server);
}

static void
stop_time_up(void *ctx)
{
	struct server *server = ctx;

	role_exit(server->role, EX_OK);
}

static void
maybe_exit(void *ctx)
{
	struct server *server = ctx;

	if (server->is_stopping && LIST_EMPTY(&server->clients))
		role_exit(server->role, EX_OK);
}

static void
stop(struct role *role, uint32_t grace_ms)
{
	struct server *server = role->ctx;
	struct client *client, *next;

	server->is_stopping = true;
	update_listeners(server);
	loop_timer_set_ns(&server->stop_timer, grace_ms * NS_PER_MS);
	for (client = LIST_FIRST(&server->clients); client != NULL; client = next) {
		next = LIST_NEXT(client, link);
		if (client->proto.state == SMTPD_WAIT)
			continue;
		client_dismiss(client);
		client_run(client);
	}
}

static void
open_listener(struct server *server, const char *service, const char *address, int fd)
{
	struct listener *listener = NULL;

	for (int i = 0; i < ROLE_LISTENERS_MAX && listener == NULL; i++)
		if (server->listeners[i].server == NULL)
			listener = &server->listeners[i];
	if (listener == NULL) {
		(void)close(fd);
		return;
	}
	listener->server = server;
	(void)snprintf(listener->name, sizeof(listener->name), "%s", service);
	(void)snprintf(listener->address, sizeof(listener->address), "%s", address);
	loop_fd_open(&listener->watch, server->role->loop, fd, 0, listener_ready, listener);
}

static void
open_listeners(struct server *server)
{
	struct role *role = server->role;

	for (int i = 0; i < role->listener_count; i++)
		open_listener(server, role->listeners[i].service, role->listeners[i].address,
			role->listeners[i].fd);
	find_services(server);
}

/* Of several sockets with the same address any one goes. */
static void
close_listener(struct server *server, const struct ipc_role_unlisten *gone)
{
	for (int i = 0; i < ROLE_LISTENERS_MAX; i++) {
		struct listener *listener = &server->listeners[i];
		int fd = listener->watch.fd;

		if (listener->server == NULL || !slice_equal_str(gone->service, listener->name) ||
			!slice_equal_str(gone->address, listener->address))
			continue;
		loop_fd_close(&listener->watch);
		(void)close(fd);
		*listener = (struct listener){ .server = NULL };
		return;
	}
}

/* A reload brings and takes listeners. */
static void
master_frame(struct role *role, uint16_t type, struct slice payload, int fd)
{
	struct server *server = role->ctx;
	char service[64], address[128];
	union ipc_any any;

	if (ipc_decode(type, payload, &any) != ERR_OK)
		type = 0;
	if (type == IPC_TYPE_role_listener && fd >= 0) {
		(void)snprintf(service, sizeof(service), "%" SLICE_FMT,
			SLICE_ARG(any.role_listener.service));
		(void)snprintf(address, sizeof(address), "%" SLICE_FMT,
			SLICE_ARG(any.role_listener.address));
		open_listener(server, service, address, fd);
		fd = -1;
	} else if (type == IPC_TYPE_role_unlisten) {
		close_listener(server, &any.role_unlisten);
	}
	if (fd >= 0)
		(void)close(fd);
	find_services(server);
	update_listeners(server);
}

static const struct role_callbacks callbacks = {
	.config = new_config,
	.qmgr_up = qmgr_up,
	.qmgr_frame = qmgr_frame,
	.qmgr_down = qmgr_down,
	.master_frame = master_frame,
	.stop = stop,
};

int
smtpd_main(struct role *role)
{
	struct server *server = MEM_NEW(struct server);
	struct fault fault = { 0 };

	server->role = role;
	role->ctx = server;
	LIST_INIT(&server->clients);
	TAILQ_INIT(&server->waiting);
	if (config_open_fd(role->config_fd, &server->config, &fault) != ERR_OK)
		die(EX_CONFIG, "the configuration cannot be read: %s", fault.text);
	(void)close(role->config_fd);
	role->config_fd = -1;
	if (role->table_fd < 0 ||
		client_table_open(role->table_fd, role->slot % CLIENT_TABLE_COLUMNS,
			&server->table) != ERR_OK)
		die(EX_SOFTWARE, "no table of client counts from master");
	intake_client_init(&server->intake, role, intake_changed);
	loop_timer_init(&server->stop_timer, role->loop, stop_time_up, server);
	open_listeners(server);
	role_hook_add(role, &server->hook, maybe_exit, server);
	return role_run(role, &callbacks);
}
