/*
 * net.h - networks of addresses: 192.0.2.0/24, [2001:db8::]/32, and what is in them
 *
 * Threads: pure.
 */
#ifndef OSTLER_CONFIG_NET_H
#define OSTLER_CONFIG_NET_H

#include "base/err.h"
#include "base/slice.h"

#include <sys/socket.h>

enum { NET_TEXT_SIZE = 48 };

struct net {
	uint8_t family; /* 4 or 6 */
	uint8_t prefix; /* 0 to 32 or 128 */
	uint8_t address[16];
};

/*
 * 192.0.2.1, 192.0.2.0/24, [2001:db8::1], [2001:db8::]/32, without brackets too. ERR_SYNTAX:
 * something else; ERR_RANGE: bits behind the prefix are set (*ret_net is what may be meant).
 */
MUST_USE enum err net_parse(struct slice text, struct net *ret_net);

/* As net_parse() reads it. */
struct slice net_format(const struct net *net, char ret_text[NET_TEXT_SIZE]);

/* The one address as a network; v4-mapped becomes v4. ERR_SYNTAX: another family. */
MUST_USE enum err net_from_sockaddr(const struct sockaddr *address, struct net *ret_net);

bool net_contains(const struct net *net, const struct net *address);

#endif
