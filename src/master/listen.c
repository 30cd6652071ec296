/* listen.c - the sockets that clients and tools connect to (master_priv.h) */
#include "master/master_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

static struct bound *
bound_new(struct master *master, enum role_kind role, const char *service, int fd)
{
	struct bound *bound;

	if (master->listener_count == LISTENERS_MAX) {
		(void)close(fd);
		return NULL;
	}
	bound = &master->listeners[master->listener_count++];
	*bound = (struct bound){ .fd = fd, .role = role, .is_new = true };
	(void)snprintf(bound->service, sizeof(bound->service), "%s", service);
	return bound;
}

/* At the start on stderr, at a reload into the log. */
static void complain(const struct master *master, const char *format, ...) FORMAT_PRINTF(2, 3);

static void
complain(const struct master *master, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (master->is_started)
		log_event((struct log *)(uintptr_t)&master->log.log, EV_master_config_warning,
			LOG_Z(text));
	else
		(void)fprintf(stderr, "ostlerd: %s\n", text);
}

/* A socket that is open already, of an address with several it is the next one. */
static bool
keep_bound(struct master *master, enum role_kind role, const char *service, const char *address)
{
	for (int i = 0; i < master->listener_count; i++) {
		struct bound *bound = &master->listeners[i];

		if (!bound->is_stale || bound->role != role ||
			strcmp(bound->service, service) != 0 ||
			strcmp(bound->address, address) != 0)
			continue;
		bound->is_stale = false;
		return true;
	}
	return false;
}

/* --- TCP -------------------------------------------------------------------------------------- */

static int
bind_one(struct master *master, enum role_kind role, const char *service,
	const struct addrinfo *info, const char *host, unsigned port)
{
	int one = 1, fd;
	struct bound *bound;
	char address[128];

	(void)snprintf(address, sizeof(address), "%s:%u", host, port);
	if (keep_bound(master, role, service, address))
		return EX_OK;
	fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 && errno == EAFNOSUPPORT)
		return EX_OK; /* a machine without IPv6 */
	if (fd < 0)
		return EX_OSERR;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (info->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
		complain(master, "%s: cannot listen on %s port %u: %s", service, host, port,
			strerror(errno));
		(void)close(fd);
		return EX_UNAVAILABLE;
	}
	bound = bound_new(master, role, service, fd);
	if (bound != NULL)
		memcpy(bound->address, address, sizeof(address));
	return EX_OK;
}

static int
bind_host(struct master *master, enum role_kind role, const char *service, const char *host,
	uint16_t port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	struct addrinfo *list = NULL, *info;
	bool v4 = config_has_ipv4(master->config), v6 = config_has_ipv6(master->config);
	char number[16];
	int code, bound = 0;

	(void)snprintf(number, sizeof(number), "%u", port);
	code = getaddrinfo(host, number, &hints, &list);
	if (code != 0) {
		complain(master, "%s: %s: %s", service, host, gai_strerror(code));
		return EX_NOHOST;
	}
	code = EX_OK;
	for (info = list; info != NULL && code == EX_OK; info = info->ai_next) {
		if ((info->ai_family == AF_INET && !v4) || (info->ai_family == AF_INET6 && !v6) ||
			(info->ai_family != AF_INET && info->ai_family != AF_INET6))
			continue;
		code = bind_one(master, role, service, info, host, port);
		bound++;
	}
	freeaddrinfo(list);
	if (code == EX_OK && bound == 0) {
		complain(master, "%s: %s has no address of inet_protocols", service, host);
		return EX_CONFIG;
	}
	return code;
}

/* inet_interfaces: all, loopback-only, or addresses. */
static int
bind_interfaces(struct master *master, const char *service, uint16_t port)
{
	struct slice item;
	int code = EX_OK;

	for (uint32_t i = 0; code == EX_OK &&
			     config_list_at(master->config, NULL, PARAM_INET_INTERFACES, i, &item);
		i++) {
		char host[256];

		(void)snprintf(host, sizeof(host), "%" SLICE_FMT, SLICE_ARG(item));
		if (slice_equal_str(item, "loopback-only")) {
			if (config_has_ipv4(master->config))
				code = bind_host(
					master, ROLE_SMTPD, service, "127.0.0.1", port);
			if (code == EX_OK && config_has_ipv6(master->config))
				code = bind_host(master, ROLE_SMTPD, service, "::1", port);
		} else if (slice_equal_str(item, "all")) {
			if (config_has_ipv4(master->config))
				code = bind_host(master, ROLE_SMTPD, service, "0.0.0.0", port);
			if (code == EX_OK && config_has_ipv6(master->config))
				code = bind_host(master, ROLE_SMTPD, service, "::", port);
		} else {
			code = bind_host(master, ROLE_SMTPD, service, host, port);
		}
	}
	return code;
}

static void
strip_brackets(struct slice host, char text[256])
{
	if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
		host = slice_make(host.ptr + 1, host.len - 2);
	(void)snprintf(text, 256, "%" SLICE_FMT, SLICE_ARG(host));
}

static int
bind_smtpd(struct master *master)
{
	const struct config_service *service;
	int code = EX_OK;

	for (uint32_t i = 0;
		code == EX_OK && (service = config_service_at(master->config, i)) != NULL; i++) {
		char name[64], host[256];

		if (service->type != CONFIG_SERVICE_INET ||
			service->command != CONFIG_COMMAND_SMTPD)
			continue;
		(void)snprintf(name, sizeof(name), "%" SLICE_FMT, SLICE_ARG(service->name));
		strip_brackets(service->host, host);
		if (service->host.len == 0)
			code = bind_interfaces(master, name, service->port);
		else
			code = bind_host(master, ROLE_SMTPD, name, host, service->port);
	}
	return code;
}

static int
bind_admin(struct master *master)
{
	struct slice text = config_str(master->config, NULL, PARAM_ADMIN_LISTEN);
	size_t colon = slice_rfind(text, ':');
	char host[256], port[16];

	if (text.len == 0)
		return EX_OK;
	if (colon == text.len) {
		(void)fprintf(stderr,
			"ostlerd: admin_listen = %" SLICE_FMT ": address:port is wanted\n",
			SLICE_ARG(text));
		return EX_CONFIG;
	}
	strip_brackets(slice_head(text, colon), host);
	(void)snprintf(port, sizeof(port), "%" SLICE_FMT, SLICE_ARG(slice_from(text, colon + 1)));
	unsigned number = 0;

	if (sscanf(port, "%5u", &number) != 1 || number == 0 || number > 65535) {
		(void)fprintf(stderr, "ostlerd: admin_listen: bad port %s\n", port);
		return EX_CONFIG;
	}
	return bind_host(master, ROLE_ADMIN, "admin", host, (uint16_t)number);
}

/* --- Unix sockets ----------------------------------------------------------------------------- */

/* By way of the directory's descriptor: a deep queue_directory does not matter. */
static int
bind_unix(struct master *master, enum role_kind role, const char *service, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct bound *bound;

	if (fd < 0 || (size_t)snprintf(address.sun_path, sizeof(address.sun_path),
			      "/proc/self/fd/%d/%s", master->queue_dir,
			      path) >= sizeof(address.sun_path))
		return EX_CONFIG;
	(void)unlinkat(master->queue_dir, path, 0);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
		fchmodat(master->queue_dir, path, 0666, 0) != 0 || listen(fd, BACKLOG) != 0) {
		(void)fprintf(stderr, "ostlerd: %s socket %s: %s\n", service, path,
			strerror(errno));
		(void)close(fd);
		return EX_CANTCREAT;
	}
	bound = bound_new(master, role, service, fd);
	if (bound != NULL)
		(void)snprintf(bound->address, sizeof(bound->address), "%s", path);
	return EX_OK;
}

int
prepare_listeners(struct master *master)
{
	const struct config *config = master->config;
	const bool *has_role = master->options->has_role;
	int code = bind_smtpd(master);

	if (code == EX_OK && has_role[ROLE_ADMIN])
		code = bind_admin(master);
	if (code == EX_OK)
		code = bind_unix(master, ROLE_QMGR, "control",
			config_cstr(config, NULL, PARAM_CONTROL_SOCKET));
	if (code == EX_OK && has_role[ROLE_PICKUP])
		code = bind_unix(master, ROLE_PICKUP, "submit",
			config_cstr(config, NULL, PARAM_SUBMIT_SOCKET));
	return code;
}

/* --- reload ----------------------------------------------------------------------------------- */

static void
tell_smtpd(struct master *master, const struct bound *bound)
{
	for (int i = 0; i < master->process_count; i++) {
		struct process *process = &master->processes[i];

		if (process->kind != bound->role || process->state != PROCESS_RUNNING)
			continue;
		if (bound->is_stale)
			channel_send(&process->channel, IPC_TYPE_role_unlisten,
				&(struct ipc_role_unlisten){
					.service = slice_str(bound->service),
					.address = slice_str(bound->address) });
		else
			channel_send_fd(&process->channel, IPC_TYPE_role_listener,
				&(struct ipc_role_listener){
					.service = slice_str(bound->service),
					.address = slice_str(bound->address) },
				bound->fd);
	}
}

static void
drop_stale(struct master *master)
{
	int kept = 0;

	for (int i = 0; i < master->listener_count; i++) {
		struct bound *bound = &master->listeners[i];

		if (!bound->is_stale) {
			master->listeners[kept++] = *bound;
			continue;
		}
		log_event(&master->log.log, EV_master_listener_gone, LOG_Z(bound->address));
		tell_smtpd(master, bound);
		(void)close(bound->fd);
	}
	master->listener_count = kept;
}

void
listen_again(struct master *master)
{
	for (int i = 0; i < master->listener_count; i++) {
		master->listeners[i].is_stale = master->listeners[i].role == ROLE_SMTPD;
		master->listeners[i].is_new = false;
	}
	/* What cannot be bound was said; the others change all the same. */
	(void)bind_smtpd(master);
	drop_stale(master);
	for (int i = 0; i < master->listener_count; i++) {
		if (!master->listeners[i].is_new)
			continue;
		log_event(&master->log.log, EV_master_listener_new,
			LOG_Z(master->listeners[i].address));
		tell_smtpd(master, &master->listeners[i]);
	}
}
