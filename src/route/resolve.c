/* resolve.c - see resolve.h */
#include "route/resolve.h"

#include "base/ascii.h"
#include "base/buf.h"
#include "message/address.h"

bool
route_is_ours(const struct config *config, struct slice domain)
{
	return domain.len == 0 || config_list_match(config, NULL, PARAM_MYDESTINATION, domain);
}

enum route_class
route_classify(const struct config *config, struct slice domain)
{
	if (route_is_ours(config, domain))
		return ROUTE_CLASS_LOCAL;
	if (config_list_match(config, NULL, PARAM_VIRTUAL_ALIAS_DOMAINS, domain))
		return ROUTE_CLASS_VIRTUAL_ALIAS;
	if (config_list_match(config, NULL, PARAM_RELAY_DOMAINS, domain))
		return ROUTE_CLASS_RELAY;
	return ROUTE_CLASS_DEFAULT;
}

/* Next hops compare by bytes further on, so case and a final dot go here; error texts stay. */
static void
set_nexthop(struct route *route, struct slice nexthop, bool is_text)
{
	size_t len = nexthop.len < sizeof(route->text) ? nexthop.len : sizeof(route->text);

	if (!is_text && len > 1 && nexthop.ptr[len - 1] == '.')
		len--;
	for (size_t i = 0; i < len; i++)
		route->text[i] = is_text ? nexthop.ptr[i] : (uint8_t)ascii_lower(nexthop.ptr[i]);
	route->nexthop = slice_make(route->text, len);
}

static bool
is_path(struct slice nexthop)
{
	return slice_starts_nocase(nexthop, SLICE_LIT("unix:"));
}

/* "transport:nexthop", "transport", ":nexthop" or "[host]:port"; what is missing stays. */
static void
apply_spec(struct route *route, struct slice spec)
{
	size_t colon = slice_find(spec, ':');
	bool is_host = spec.len > 0 && spec.ptr[0] == '[';
	struct slice nexthop = is_host ? spec : slice_from(spec, colon + 1);

	if (!is_host && colon > 0)
		route->transport = slice_head(spec, colon);
	if (nexthop.len > 0)
		set_nexthop(route, nexthop,
			is_path(nexthop) || slice_equal_str(route->transport, "error") ||
				slice_equal_str(route->transport, "retry") ||
				slice_equal_str(route->transport, "discard"));
}

static bool
find_transport(const struct config *config, struct slice first, const char *at,
	struct slice second, struct slice *ret_value)
{
	struct buf key;
	bool found;

	buf_init(&key, 0);
	buf_add(&key, first);
	buf_add_str(&key, at);
	buf_add(&key, second);
	found = config_map_find(config, NULL, PARAM_TRANSPORT_MAPS, buf_slice(&key), ret_value) ==
		ERR_OK;
	buf_done(&key);
	return found;
}

/* user+extension@domain, user@domain, domain, .parent ..., * */
static bool
find_override(const struct config *config, struct slice address, struct slice *ret_value)
{
	const struct slice none = slice_make(NULL, 0);
	struct slice delimiters = config_str(config, NULL, PARAM_RECIPIENT_DELIMITER);
	struct slice local, domain, user, extension;

	if (config_map_is_empty(config, NULL, PARAM_TRANSPORT_MAPS))
		return false;
	address_split(address, &local, &domain);
	user = address_strip_extension(local, delimiters, &extension);
	if (find_transport(config, local, "@", domain, ret_value) ||
		(extension.len > 0 && find_transport(config, user, "@", domain, ret_value)) ||
		find_transport(config, domain, "", none, ret_value))
		return true;
	for (size_t dot = slice_find(domain, '.'); dot < domain.len && !address_is_literal(domain);
		dot = slice_find(domain, '.')) {
		domain = slice_from(domain, dot + 1);
		if (find_transport(config, none, ".", domain, ret_value))
			return true;
	}
	return find_transport(config, none, "*", none, ret_value);
}

static void
start_by_class(const struct config *config, struct slice domain, struct route *route)
{
	struct slice relayhost = config_str(config, NULL, PARAM_RELAYHOST);

	switch (route->class) {
	case ROUTE_CLASS_LOCAL:
		set_nexthop(route, config_str(config, NULL, PARAM_MYHOSTNAME), false);
		apply_spec(route, config_str(config, NULL, PARAM_LOCAL_TRANSPORT));
		break;
	case ROUTE_CLASS_VIRTUAL_ALIAS:
		apply_spec(route, SLICE_LIT("error:5.1.1 User unknown in virtual alias table"));
		break;
	case ROUTE_CLASS_RELAY:
	case ROUTE_CLASS_DEFAULT:
		set_nexthop(route, relayhost.len > 0 ? relayhost : domain, is_path(relayhost));
		apply_spec(route, config_str(config, NULL,
					  route->class == ROUTE_CLASS_RELAY
						  ? PARAM_RELAY_TRANSPORT
						  : PARAM_DEFAULT_TRANSPORT));
		break;
	}
}

void
route_resolve(const struct config *config, struct slice address, struct route *ret_route)
{
	struct slice domain, value;

	ret_route->transport = SLICE_LIT("smtp");
	ret_route->nexthop = slice_make(NULL, 0);
	address_split(address, NULL, &domain);
	ret_route->class = route_classify(config, domain);
	start_by_class(config, domain, ret_route);
	if (!find_override(config, address, &value))
		return;
	/* A transport alone means the domain itself, not relayhost; ":" changes nothing. */
	if (value.len > 0 && value.ptr[0] != ':')
		set_nexthop(ret_route, domain, false);
	apply_spec(ret_route, value);
}
