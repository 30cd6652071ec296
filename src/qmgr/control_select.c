/*
 * control_select.c - which messages an operator means: by sender, recipient, site, age and so on
 */
#include "qmgr/control_priv.h"

#include "base/mem.h"
#include "route/resolve.h"

bool
control_select_age(const struct control_select *select, uint64_t arrival_us, struct wall now)
{
	uint64_t age_s = now.us > arrival_us ? (now.us - arrival_us) / US_PER_S : 0;

	return age_s >= select->age_min_s && age_s <= select->age_max_s;
}

/* A pattern with an @ behind its first character is an address, else a domain. */
static bool
is_address(struct slice address, const char *pattern)
{
	struct slice wanted = slice_str(pattern), domain;
	size_t at = slice_find(wanted, '@');

	if (wanted.len == 0)
		return address.len == 0;
	if (at > 0 && at < wanted.len)
		return slice_equal_nocase(address, wanted);
	if (at == 0)
		wanted = slice_from(wanted, 1);
	address_split(address, NULL, &domain);
	return address.len > 0 && slice_equal_nocase(domain, wanted);
}

bool
control_select_is_site(struct slice nexthop, struct slice name)
{
	struct slice host = nexthop;

	if (slice_equal_nocase(nexthop, name))
		return true;
	if (host.len > 0 && host.ptr[0] == '[') {
		host = slice_from(host, 1);
		host = slice_head(host, slice_find(host, ']'));
	} else {
		host = slice_head(host, slice_find(host, ':'));
	}
	if (slice_starts_nocase(host, SLICE_LIT("IPv6:")))
		host = slice_from(host, 5);
	return host.len > 0 && slice_equal_nocase(host, name);
}

static bool
goes_to(const struct core *core, struct slice address, const char *site)
{
	struct slice domain;
	struct route route;

	address_split(address, NULL, &domain);
	if (slice_equal_nocase(domain, slice_str(site)))
		return true;
	route_resolve(core->config, address, &route);
	return control_select_is_site(route.nexthop, slice_str(site));
}

static bool
contains_nocase(struct slice text, struct slice part)
{
	for (size_t i = 0; i + part.len <= text.len; i++)
		if (slice_equal_nocase(slice_make(text.ptr + i, part.len), part))
			return true;
	return false;
}

static bool
has_reason(const struct state *state, uint32_t number, const char *wanted)
{
	struct state_reason reason;

	return state_reason(state, number, &reason) &&
	       (contains_nocase(reason.text, slice_str(wanted)) ||
		       slice_equal_str(reason.dsn, wanted));
}

bool
control_select_recipient(const struct core *core, const struct control_select *select,
	const struct control_view *view, uint32_t number)
{
	enum state_class class = state_class(view->state, number);
	struct recipient_entry entry;

	if (class != STATE_OPEN && class != STATE_BOUNCE_PENDING)
		return false;
	entry = recipient_index_get(view->recipients, number);
	if (select->recipient != NULL && !is_address(entry.address, select->recipient) &&
		(entry.original.len == 0 || !is_address(entry.original, select->recipient)))
		return false;
	if (select->site != NULL && (class != STATE_OPEN ||
					    !goes_to(core, entry.address, select->site)))
		return false;
	return select->reason == NULL || has_reason(view->state, number, select->reason);
}

bool
control_select_match(const struct core *core, const struct control_select *select,
	const struct control_view *view)
{
	const struct envelope *envelope = view->envelope;

	if (!select->is_set)
		return true;
	if (!control_select_age(select, envelope->arrival_us, core->now.wall) ||
		envelope->size < select->size_min || envelope->size > select->size_max)
		return false;
	if (select->sender != NULL && !is_address(envelope->sender, select->sender))
		return false;
	if (select->recipient == NULL && select->site == NULL && select->reason == NULL)
		return true;
	for (uint32_t i = 0; i < view->recipient_count; i++)
		if (control_select_recipient(core, select, view, i))
			return true;
	return false;
}

void
control_select_done(struct control_select *select)
{
	mem_free(select->sender);
	mem_free(select->recipient);
	mem_free(select->site);
	mem_free(select->reason);
}
