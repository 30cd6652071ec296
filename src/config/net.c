/*
 * net.c - networks of addresses (see net.h)
 */
#include "config/net.h"

#include "base/num.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

static unsigned
net_bits(const struct net *net)
{
	return net->family == 4 ? 32 : 128;
}

static enum err
net_parse_address(struct slice text, struct net *net)
{
	bool bracketed = text.len >= 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']';
	char copy[INET6_ADDRSTRLEN + 1];

	if (bracketed)
		text = slice_make(text.ptr + 1, text.len - 2);
	if (text.len == 0 || text.len >= sizeof(copy) || slice_find(text, 0) < text.len)
		return ERR_SYNTAX;
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	if (!bracketed && inet_pton(AF_INET, copy, net->address) == 1)
		net->family = 4;
	else if (inet_pton(AF_INET6, copy, net->address) == 1)
		net->family = 6;
	else
		return ERR_SYNTAX;
	return ERR_OK;
}

/* Clears the bits behind the prefix; whether there were any. */
static bool
net_mask(struct net *net)
{
	bool any = false;

	for (unsigned bit = net->prefix; bit < net_bits(net); bit++) {
		uint8_t mask = (uint8_t)(0x80 >> bit % 8);

		any = any || (net->address[bit / 8] & mask) != 0;
		net->address[bit / 8] &= (uint8_t)~mask;
	}
	return any;
}

enum err
net_parse(struct slice text, struct net *ret_net)
{
	size_t slash = slice_find(text, '/');
	struct net net = { 0 };
	uint64_t prefix;
	enum err err = net_parse_address(slice_head(text, slash), &net);

	if (err < 0)
		return err;
	prefix = net_bits(&net);
	if (slash < text.len && num_parse_u64(slice_from(text, slash + 1), 0, prefix, &prefix) < 0)
		return ERR_SYNTAX;
	net.prefix = (uint8_t)prefix;
	err = net_mask(&net) ? ERR_RANGE : ERR_OK;
	*ret_net = net;
	return err;
}

struct slice
net_format(const struct net *net, char ret_text[NET_TEXT_SIZE])
{
	char address[INET6_ADDRSTRLEN] = "";
	int len;

	(void)inet_ntop(
		net->family == 4 ? AF_INET : AF_INET6, net->address, address, sizeof(address));
	if (net->prefix == net_bits(net))
		len = snprintf(ret_text, NET_TEXT_SIZE, "%s", address);
	else
		len = snprintf(ret_text, NET_TEXT_SIZE, net->family == 4 ? "%s/%u" : "[%s]/%u",
			address, (unsigned)net->prefix);
	return slice_make(ret_text, len > 0 ? (size_t)len : 0);
}

enum err
net_from_sockaddr(const struct sockaddr *address, struct net *ret_net)
{
	struct net net = { 0 };

	if (address->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, address, sizeof(in));
		net.family = 4;
		memcpy(net.address, &in.sin_addr, 4);
	} else if (address->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, address, sizeof(in6));
		net.family = 6;
		memcpy(net.address, &in6.sin6_addr, 16);
		if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
			net = (struct net) { .family = 4 };
			memcpy(net.address, in6.sin6_addr.s6_addr + 12, 4);
		}
	} else {
		return ERR_SYNTAX;
	}
	net.prefix = (uint8_t)net_bits(&net);
	*ret_net = net;
	return ERR_OK;
}

bool
net_contains(const struct net *net, const struct net *address)
{
	unsigned whole = net->prefix / 8;
	unsigned bits = net->prefix % 8;

	if (net->family != address->family || memcmp(net->address, address->address, whole) != 0)
		return false;
	return bits == 0
	       || ((net->address[whole] ^ address->address[whole]) & (0xff00 >> bits) & 0xff) == 0;
}
