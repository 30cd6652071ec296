/* smtp_session.c - connections: host after host, work after work, time-outs (smtp_worker.h) */
#include "base/check.h"
#include "base/mem.h"
#include "base/num.h"
#include "smtp/smtp_worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { READ_SIZE = 16 * 1024 };

static void session_next_host(struct smtp_session *session);
static void session_run(struct smtp_session *session);
static void session_event(void *ctx, int ready);
static void session_timeout(void *ctx);

/* --- parameters ------------------------------------------------------------------------------- */

static uint64_t
timeout_ns(const struct smtp_session *session, enum smtp_stage stage)
{
	static const enum param_id smtp_ids[] = {
		[SMTP_STAGE_HELO] = PARAM_SMTP_HELO_TIMEOUT,
		[SMTP_STAGE_MAIL] = PARAM_SMTP_MAIL_TIMEOUT,
		[SMTP_STAGE_RCPT] = PARAM_SMTP_RCPT_TIMEOUT,
		[SMTP_STAGE_DATA_INIT] = PARAM_SMTP_DATA_INIT_TIMEOUT,
		[SMTP_STAGE_DATA_XFER] = PARAM_SMTP_DATA_XFER_TIMEOUT,
		[SMTP_STAGE_DATA_DONE] = PARAM_SMTP_DATA_DONE_TIMEOUT,
		[SMTP_STAGE_RSET] = PARAM_SMTP_RSET_TIMEOUT,
		[SMTP_STAGE_QUIT] = PARAM_SMTP_QUIT_TIMEOUT,
		[SMTP_STAGE_IDLE] = PARAM_SMTP_CONNECTION_CACHE_TIME_LIMIT,
	};
	static const enum param_id lmtp_ids[] = {
		[SMTP_STAGE_HELO] = PARAM_LMTP_LHLO_TIMEOUT,
		[SMTP_STAGE_MAIL] = PARAM_LMTP_MAIL_TIMEOUT,
		[SMTP_STAGE_RCPT] = PARAM_LMTP_RCPT_TIMEOUT,
		[SMTP_STAGE_DATA_INIT] = PARAM_LMTP_DATA_INIT_TIMEOUT,
		[SMTP_STAGE_DATA_XFER] = PARAM_LMTP_DATA_XFER_TIMEOUT,
		[SMTP_STAGE_DATA_DONE] = PARAM_LMTP_DATA_DONE_TIMEOUT,
		[SMTP_STAGE_RSET] = PARAM_LMTP_RSET_TIMEOUT,
		[SMTP_STAGE_QUIT] = PARAM_LMTP_QUIT_TIMEOUT,
		[SMTP_STAGE_IDLE] = PARAM_SMTP_CONNECTION_CACHE_TIME_LIMIT,
	};
	const enum param_id *ids = session->is_lmtp ? lmtp_ids : smtp_ids;

	return config_time_s(session->worker->config, session->service, ids[stage]) * NS_PER_S;
}

static uint64_t
number_of(const struct smtp_session *session, enum param_id id)
{
	return config_int(session->worker->config, session->service, id);
}

/* --- the object ------------------------------------------------------------------------------- */

/* "name[address]"; an IPv6 address as it is. */
static void
format_host(struct smtp_host *host)
{
	char address[INET6_ADDRSTRLEN] = "";

	if (host->ipc.family == AF_UNIX) {
		(void)snprintf(host->text, sizeof(host->text), "localhost[%" SLICE_FMT "]",
			SLICE_ARG(slice_head(host->ipc.name, 200)));
		return;
	}
	(void)inet_ntop(host->ipc.family, host->ipc.address.ptr, address, sizeof(address));
	(void)snprintf(host->text, sizeof(host->text), "%" SLICE_FMT "[%s]",
		SLICE_ARG(slice_head(host->ipc.name, 255)), address);
}

static bool
host_is_sound(const struct ipc_host *host)
{
	return (host->family == AF_INET && host->address.len == 4 && host->port != 0) ||
	       (host->family == AF_INET6 && host->address.len == 16 && host->port != 0) ||
	       (host->family == AF_UNIX && host->name.len > 0 &&
		       host->name.len < sizeof(((struct sockaddr_un *)NULL)->sun_path));
}

static void
swap_hosts(struct smtp_host *a, struct smtp_host *b)
{
	struct smtp_host kept = *a;

	*a = *b;
	*b = kept;
}

/* The preferred family first. */
static void
sort_families(struct smtp_host *hosts, unsigned count, uint16_t first)
{
	unsigned done = 0;

	for (unsigned i = 0; i < count; i++)
		if (hosts[i].ipc.family == first)
			swap_hosts(&hosts[done++], &hosts[i]);
}

/*
 * Each session begins with another of the hosts of equal preference (RFC 5321 5.1): what the
 * resolver found is good for many sessions. smtp_address_preference comes before chance.
 */
static void
shuffle_equals(struct smtp_session *session)
{
	struct worker *worker = session->worker;
	unsigned prefer = config_enum(
		worker->config, session->service, PARAM_SMTP_ADDRESS_PREFERENCE);
	unsigned begin = 0, end;

	for (; begin < session->host_count; begin = end) {
		struct smtp_host *group = &session->hosts[begin];

		for (end = begin; end < session->host_count; end++)
			if (session->hosts[end].ipc.preference != group->ipc.preference)
				break;
		for (unsigned i = end - begin; i > 1; i--)
			swap_hosts(&group[i - 1], &group[rng_below(&worker->rng, i)]);
		if (prefer != CONFIG_PREFERENCE_ANY)
			sort_families(group, end - begin,
				prefer == CONFIG_PREFERENCE_IPV4 ? AF_INET : AF_INET6);
	}
}

static void
read_hosts(struct smtp_session *session, struct slice list)
{
	struct ipc_host host;

	buf_add(&session->host_bytes, list);
	list = buf_slice(&session->host_bytes);
	session->hosts = mem_array(SMTP_HOSTS_MAX, sizeof(*session->hosts));
	while (session->host_count < SMTP_HOSTS_MAX && ipc_host_next(&list, &host) == ERR_OK) {
		if (!host_is_sound(&host))
			continue;
		session->hosts[session->host_count].ipc = host;
		format_host(&session->hosts[session->host_count++]);
	}
	shuffle_equals(session);
}

static void
close_connection(struct smtp_session *session)
{
	loop_fd_close(&session->watch);
	stream_close(&session->stream);
	if (session->has_proto) {
		report_notice(session);
		smtp_proto_done(&session->proto);
	}
	session->has_proto = false;
}

static void
session_free(struct smtp_session *session)
{
	struct worker *worker = session->worker;

	close_connection(session);
	loop_timer_done(&session->timer);
	if (session->number != 0)
		HASH_DELETE(hh, worker->sessions, session);
	LIST_REMOVE(session, link);
	worker->session_count--;
	work_free(session->current);
	work_free(session->next);
	if (session->file_hash != NULL)
		hash_stream_free(session->file_hash);
	body_done(session);
	buf_done(&session->piece);
	buf_done(&session->host_bytes);
	buf_done(&session->failed_hosts);
	mem_free(session->hosts);
	mem_free(session->transport);
	mem_free(session);
}

static void
session_end(struct smtp_session *session, enum ipc_session_cause cause)
{
	report_end(session, cause);
	session_free(session);
}

/* Between two hosts: what the first one decided must not be lost. */
static bool
has_outcomes(const struct smtp_session *session)
{
	return session->current != NULL && session->current->left < session->current->count;
}

void
session_abort(struct smtp_session *session)
{
	if (has_outcomes(session))
		report_result(session, false);
	session_free(session);
}

void
session_open(struct worker *worker, const struct ipc_session_open *open)
{
	struct smtp_session *session = MEM_NEW(struct smtp_session);

	session->worker = worker;
	session->number = open->session;
	stream_open(&session->stream, -1);
	session->transport = mem_strndup((const char *)open->transport.ptr, open->transport.len);
	session->service = config_transport_find(worker->config, open->transport);
	session->is_lmtp = open->protocol == IPC_PROTOCOL_LMTP;
	session->started_at = loop_now(worker->role->loop);
	session->opened_at = session->started_at.mono;
	buf_init(&session->host_bytes, 0);
	buf_init(&session->failed_hosts, 0);
	buf_init(&session->piece, 0);
	loop_timer_init(&session->timer, worker->role->loop, session_timeout, session);
	LIST_INSERT_HEAD(&worker->all, session, link);
	HASH_ADD(hh, worker->sessions, number, sizeof(session->number), session);
	worker->session_count++;
	read_hosts(session, open->hosts);
	(void)snprintf(session->fail_dsn, sizeof(session->fail_dsn), "4.4.1");
	(void)snprintf(session->fail_reason, sizeof(session->fail_reason),
		"no usable address for %" SLICE_FMT, SLICE_ARG(slice_head(open->nexthop, 255)));
	session_next_host(session);
}

/* --- connecting ------------------------------------------------------------------------------- */

static socklen_t
fill_address(const struct ipc_host *host, struct sockaddr_storage *address)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
	struct sockaddr_un *path = (struct sockaddr_un *)address;

	*address = (struct sockaddr_storage){ .ss_family = host->family };
	if (host->family == AF_INET) {
		v4->sin_port = htons(host->port);
		memcpy(&v4->sin_addr, host->address.ptr, 4);
		return sizeof(*v4);
	}
	if (host->family == AF_INET6) {
		v6->sin6_port = htons(host->port);
		memcpy(&v6->sin6_addr, host->address.ptr, 16);
		return sizeof(*v6);
	}
	memcpy(path->sun_path, host->name.ptr, host->name.len);
	return sizeof(*path);
}

/* smtp_bind_address or smtp_bind_address6. False: it is not ours, errno says why. */
static bool
bind_source(const struct smtp_session *session, int family)
{
	const char *text = config_cstr(session->worker->config, session->service,
		family == AF_INET6 ? PARAM_SMTP_BIND_ADDRESS6 : PARAM_SMTP_BIND_ADDRESS);
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	if (text[0] == '\0')
		return true;
	if (family == AF_INET && inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return bind(session->stream.fd, (struct sockaddr *)&v4, sizeof(v4)) == 0;
	if (family == AF_INET6 && inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
		return bind(session->stream.fd, (struct sockaddr *)&v6, sizeof(v6)) == 0;
	return true;
}

static void
connect_failed(struct smtp_session *session, int error)
{
	ipc_host_put(&session->failed_hosts, &session->host->ipc);
	(void)snprintf(session->fail_dsn, sizeof(session->fail_dsn), "4.4.1");
	(void)snprintf(session->fail_reason, sizeof(session->fail_reason),
		"connect to %s:%u: %s", session->host->text, session->host->ipc.port,
		error == ETIMEDOUT ? "Connection timed out" : strerror(error));
	log_event(&session->worker->role->log.log, EV_smtp_connect_failed,
		LOG_Z(session->fail_reason));
	close_connection(session);
	session_next_host(session);
}

/* From another address than the configured one nothing is sent. */
static void
bind_failed(struct smtp_session *session, int error)
{
	(void)snprintf(session->fail_dsn, sizeof(session->fail_dsn), "4.3.5");
	(void)snprintf(session->fail_reason, sizeof(session->fail_reason),
		"smtp_bind_address cannot be used for %s: %s", session->host->text,
		strerror(error));
	log_event(&session->worker->role->log.log, EV_role_fault, LOG_Z(session->fail_reason));
	close_connection(session);
	session_next_host(session);
}

static bool
notices_are_wanted(const struct smtp_session *session)
{
	return (config_words(session->worker->config, NULL, PARAM_NOTIFY_CLASSES) &
		       CONFIG_NOTIFY_PROTOCOL) != 0;
}

static void
connected(struct smtp_session *session)
{
	int one = 1;

	if (session->host->ipc.family != AF_UNIX)
		(void)setsockopt(session->stream.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	session->phase = SESSION_TALKING;
	session->greetings_tried++;
	session->use_count = 0;
	session->is_greeted = false;
	session->opened_at = loop_now(session->worker->role->loop).mono;
	smtp_proto_init(&session->proto, session->is_lmtp,
		config_cstr(session->worker->config, session->service, PARAM_SMTP_HELO_NAME),
		slice_str(session->host->text));
	session->has_proto = true;
	transcript_init(&session->proto.transcript, notices_are_wanted(session));
	session->proto.bounces_5xx_greeting = !config_bool(
		session->worker->config, session->service, PARAM_SMTP_SKIP_5XX_GREETING);
	loop_fd_want(&session->watch, LOOP_READ);
	loop_timer_set_ns(&session->timer, timeout_ns(session, SMTP_STAGE_HELO));
}

static void
start_connect(struct smtp_session *session)
{
	struct sockaddr_storage address;
	socklen_t size = fill_address(&session->host->ipc, &address);
	uint64_t limit_s = config_time_s(session->worker->config, session->service,
		session->is_lmtp ? PARAM_LMTP_CONNECT_TIMEOUT : PARAM_SMTP_CONNECT_TIMEOUT);

	session->phase = SESSION_CONNECTING;
	stream_open(&session->stream,
		socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	if (session->stream.fd < 0) {
		connect_failed(session, errno);
		return;
	}
	if (!bind_source(session, address.ss_family)) {
		bind_failed(session, errno);
		return;
	}
	loop_fd_open(&session->watch, session->worker->role->loop, session->stream.fd, 0,
		session_event, session);
	if (connect(session->stream.fd, (struct sockaddr *)&address, size) == 0) {
		connected(session);
	} else if (errno == EINPROGRESS) {
		loop_fd_want(&session->watch, LOOP_WRITE);
		if (limit_s > 0)
			loop_timer_set_ns(&session->timer, limit_s * NS_PER_S);
	} else {
		connect_failed(session, errno);
	}
}

static bool
has_next_host(const struct smtp_session *session)
{
	uint64_t address_max = number_of(session, PARAM_SMTP_MX_ADDRESS_LIMIT);
	uint64_t session_max = number_of(session, PARAM_SMTP_MX_SESSION_LIMIT);

	return session->host_next < session->host_count && !session->worker->is_stopping &&
	       (address_max == 0 || session->addresses_tried < address_max) &&
	       (session_max == 0 || session->greetings_tried < session_max);
}

static bool
has_begun_work(const struct smtp_session *session)
{
	return session->current != NULL && session->current->is_begun;
}

static void
session_next_host(struct smtp_session *session)
{
	loop_timer_clear(&session->timer);
	if (!has_next_host(session)) {
		if (has_begun_work(session)) {
			work_defer_rest(session, session->fail_dsn, session->fail_reason);
			report_result(session, false);
		}
		session_end(session,
			session->is_announced ? IPC_SESSION_LOST : IPC_SESSION_FAILED);
		return;
	}
	session->host = &session->hosts[session->host_next++];
	session->addresses_tried++;
	start_connect(session);
}

/* --- work ------------------------------------------------------------------------------------- */

static void
begin_work(struct smtp_session *session)
{
	struct work *work = session->current;

	session->use_count++;
	body_begin(session);
	if (work->fd < 0 && body_is_corrupt(session)) {
		report_result(session, true);
		work_free(work);
		session->current = NULL;
		return;
	}
	if (body_survey(session))
		smtp_proto_begin(&session->proto, work_begin(work));
}

/* The survey of a large content, piece by piece; the peer may have gone meanwhile. */
static void
go_on_surveying(struct smtp_session *session)
{
	if (!body_survey(session)) {
		loop_timer_set_ns(&session->timer, 1);
		return;
	}
	if (session->proto.state == SMTP_IDLE) {
		smtp_proto_begin(&session->proto, work_begin(session->current));
	} else if (has_begun_work(session)) {
		(void)snprintf(session->fail_dsn, sizeof(session->fail_dsn), "4.4.2");
		(void)snprintf(session->fail_reason, sizeof(session->fail_reason),
			"lost connection with %s", session->host->text);
		close_connection(session);
		session_next_host(session);
		return;
	}
	session_run(session);
}

void
session_give(struct smtp_session *session, struct work *work)
{
	if (session->current == NULL)
		session->current = work;
	else
		session->next = work;
	session_run(session);
}

/*
 * A peer may end a session between two messages, and says so (421, or not at all) only when the
 * next one comes. That message was never tried: session_end gives it back, and it goes at once.
 */
static bool
was_over_before(const struct smtp_session *session)
{
	const struct smtp_proto *proto = &session->proto;

	return session->use_count > 1 && proto->is_ending && !proto->mail_accepted &&
	       proto->answered <= 1;
}

/* Leaves a host that deferred something; what is left of the work goes on at the next one. */
static void
go_on_elsewhere(struct smtp_session *session)
{
	if (session->proto.state == SMTP_IDLE) {
		smtp_proto_quit(&session->proto);
		(void)body_write(session);
	}
	close_connection(session);
	session->is_spent = true;
	session->started_at = loop_now(session->worker->role->loop);
	session_next_host(session);
}

/* False: the session is somewhere else, or gone. */
static bool
finish_work(struct smtp_session *session)
{
	bool may_go_on = !session->is_closing && has_next_host(session);

	if (was_over_before(session)) {
		session_end(session, IPC_SESSION_LOST);
		return false;
	}
	work_settle(session, may_go_on);
	if (session->current->left > 0) {
		go_on_elsewhere(session);
		return false;
	}
	report_result(session, false);
	work_free(session->current);
	session->current = session->next;
	session->next = NULL;
	session->proto.finished = false;
	session->proto.job = NULL;
	return true;
}

static bool
is_used_up(const struct smtp_session *session)
{
	uint64_t count = number_of(session, PARAM_SMTP_CONNECTION_REUSE_COUNT_LIMIT);
	uint64_t time_s = config_time_s(session->worker->config, session->service,
		PARAM_SMTP_CONNECTION_REUSE_TIME_LIMIT);
	struct mono now = loop_now(session->worker->role->loop).mono;

	return session->is_spent || (count > 0 && session->use_count >= count) ||
	       mono_since_ns(now, session->opened_at) > time_s * NS_PER_S;
}

/* Greeting and hello are over, or it has just finished something. */
static void
idle(struct smtp_session *session)
{
	if (!session->is_announced) {
		session->is_announced = true;
		session->connected_at = loop_now(session->worker->role->loop).wall;
		report_ready(session);
	}
	session->is_greeted = true;
	if (session->current == NULL && session->number == 0)
		session->is_closing = true;
	if (has_begun_work(session) ||
		(session->current != NULL && !session->is_closing && !is_used_up(session))) {
		begin_work(session);
	} else if (session->is_closing || is_used_up(session)) {
		/* What waits was not begun: qmgr takes it back when the session ends. */
		report_end(session,
			session->is_closing ? IPC_SESSION_CLOSED : IPC_SESSION_LIMIT);
		work_free(session->current);
		work_free(session->next);
		session->current = session->next = NULL;
		smtp_proto_quit(&session->proto);
	}
}

/* The conversation is over for good. */
static void
over(struct smtp_session *session)
{
	if (!session->is_greeted) {
		ipc_host_put(&session->failed_hosts, &session->host->ipc);
		memcpy(session->fail_dsn, session->proto.site_dsn, sizeof(session->fail_dsn));
		memcpy(session->fail_reason, session->proto.site_reason,
			sizeof(session->fail_reason));
		close_connection(session);
		session_next_host(session);
		return;
	}
	session_end(session, IPC_SESSION_LOST);
}

/* Goes on as far as it can without the peer. */
static void
session_run(struct smtp_session *session)
{
	struct smtp_proto *proto = &session->proto;
	enum err err = ERR_OK;

	if (session->phase != SESSION_TALKING || session->is_surveying)
		return;
	for (;;) {
		if (proto->finished && !finish_work(session))
			return;
		if (proto->state == SMTP_OVER) {
			over(session);
			return;
		}
		if (proto->state == SMTP_IDLE) {
			bool had_work = session->current != NULL;

			idle(session);
			if (had_work && (proto->finished || session->current == NULL) &&
				proto->state == SMTP_IDLE)
				continue;
			if (session->is_surveying) {
				loop_timer_set_ns(&session->timer, 1);
				return;
			}
		}
		err = body_write(session);
		if (err == ERR_CORRUPT) {
			report_result(session, true);
			work_free(session->current);
			session->current = NULL;
			session_end(session, IPC_SESSION_LOST);
			return;
		}
		if (err == ERR_IO)
			smtp_proto_lost(proto, false);
		if (!proto->finished && proto->state != SMTP_OVER)
			break;
	}
	loop_fd_want(&session->watch, (err == ERR_AGAIN ? LOOP_READ | LOOP_WRITE : LOOP_READ) |
					      stream_wants(&session->stream));
	loop_timer_set_ns(&session->timer, timeout_ns(session, smtp_proto_stage(proto)));
}

/* --- events ----------------------------------------------------------------------------------- */

static void
connect_event(struct smtp_session *session)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(session->stream.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
		error = errno;
	if (error != 0)
		connect_failed(session, error);
	else
		connected(session);
}

static void
session_event(void *ctx, int ready)
{
	struct smtp_session *session = ctx;
	uint8_t bytes[READ_SIZE];
	ssize_t got;

	if (session->phase == SESSION_CONNECTING) {
		connect_event(session);
		return;
	}
	if (ready & LOOP_READ) {
		got = stream_read(&session->stream, bytes, sizeof(bytes));
		if (got > 0)
			smtp_proto_input(&session->proto, slice_make(bytes, (size_t)got));
		else if (got == 0 || (errno != EAGAIN && errno != EINTR))
			smtp_proto_lost(&session->proto, false);
	}
	session_run(session);
}

static void
session_timeout(void *ctx)
{
	struct smtp_session *session = ctx;

	if (session->phase == SESSION_CONNECTING) {
		connect_failed(session, ETIMEDOUT);
		return;
	}
	if (session->is_surveying) {
		go_on_surveying(session);
		return;
	}
	if (session->proto.state == SMTP_IDLE) {
		report_end(session, IPC_SESSION_IDLE);
		smtp_proto_quit(&session->proto);
	} else {
		smtp_proto_lost(&session->proto, true);
	}
	session_run(session);
}

/* --- from outside ----------------------------------------------------------------------------- */

void
session_close_soon(struct smtp_session *session)
{
	bool is_talking = session->phase == SESSION_TALKING && session->proto.state >= SMTP_IDLE;

	session->is_closing = true;
	if (is_talking)
		session_run(session);
	else if (!has_begun_work(session))
		session_end(session, IPC_SESSION_CLOSED);
}

bool
session_is_past_dot(const struct smtp_session *session)
{
	return session->phase == SESSION_TALKING && session->proto.state == SMTP_DOT &&
	       !session->proto.is_discarded;
}

/* What waits is open in the log and will be given out anew; what is going on is finished. */
void
session_orphan(struct smtp_session *session)
{
	if (session->number != 0)
		HASH_DELETE(hh, session->worker->sessions, session);
	session->number = 0;
	session->is_closing = true;
	work_free(session->next);
	session->next = NULL;
	if (session->phase == SESSION_CONNECTING || session->proto.state < SMTP_IDLE ||
		!has_begun_work(session))
		session_abort(session);
}
