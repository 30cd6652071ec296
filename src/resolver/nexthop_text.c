/* nexthop_text.c - see nexthop_text.h */
#include "resolver/nexthop_text.h"

#include "base/num.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>

/* "IPv6:" is a mark of the text, no part of the address. */
static bool
parse_address(struct nexthop_text *nexthop)
{
	char *text = nexthop->host;

	if (inet_pton(AF_INET, text, nexthop->address) == 1)
		nexthop->family = AF_INET;
	else if (strncasecmp(text, "ipv6:", 5) == 0 &&
		 inet_pton(AF_INET6, text + 5, nexthop->address) == 1) {
		nexthop->family = AF_INET6;
		memmove(text, text + 5, strlen(text + 5) + 1);
	} else if (inet_pton(AF_INET6, text, nexthop->address) == 1)
		nexthop->family = AF_INET6;
	return nexthop->family != 0;
}

enum err
nexthop_text_parse(struct slice text, uint16_t port, struct nexthop_text *ret_nexthop)
{
	struct nexthop_text nexthop = { .port = port };
	struct slice host = text, number = slice_make(NULL, 0);
	size_t end;
	uint64_t value;

	if (text.len > 0 && text.ptr[0] == '[') {
		end = slice_rfind(text, ']');
		if (end == text.len)
			return ERR_SYNTAX;
		nexthop.is_bracketed = true;
		host = slice_make(text.ptr + 1, end - 1);
		number = slice_from(text, end + 1);
		if (number.len > 0 && number.ptr[0] != ':')
			return ERR_SYNTAX;
	} else if ((end = slice_rfind(text, ':')) < text.len) {
		host = slice_head(text, end);
		number = slice_from(text, end);
	}
	if (number.len > 0) {
		if (num_parse_u64(slice_from(number, 1), 1, 65535, &value) != ERR_OK)
			return ERR_SYNTAX;
		nexthop.port = (uint16_t)value;
	}
	if (host.len == 0 || host.len > NEXTHOP_HOST_MAX)
		return ERR_SYNTAX;
	for (size_t i = 0; i < host.len; i++)
		if (host.ptr[i] <= ' ' || host.ptr[i] == 127)
			return ERR_SYNTAX;
	memcpy(nexthop.host, host.ptr, host.len);
	(void)parse_address(&nexthop);
	*ret_nexthop = nexthop;
	return ERR_OK;
}

enum err
nexthop_text_nameserver(struct slice text, char ret_server[NEXTHOP_HOST_MAX + 8])
{
	bool is_bare_v6 = text.len > 0 && text.ptr[0] != '[' &&
			  slice_find(text, ':') != slice_rfind(text, ':');
	struct nexthop_text server;

	if (is_bare_v6 && text.len <= NEXTHOP_HOST_MAX) {
		(void)snprintf(ret_server, NEXTHOP_HOST_MAX + 8, "%" SLICE_FMT, SLICE_ARG(text));
		return ERR_OK;
	}
	if (nexthop_text_parse(text, 53, &server) != ERR_OK || server.family == 0)
		return ERR_SYNTAX;
	(void)snprintf(ret_server, NEXTHOP_HOST_MAX + 8, "%s@%u", server.host, server.port);
	return ERR_OK;
}
