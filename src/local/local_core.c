/*
 * local_core.c - from a recipient to a plan: aliases, extensions, users (see local_core.h)
 */
#include "local/local_core.h"

#include "base/ascii.h"
#include "base/check.h"
#include "base/mem.h"
#include "message/address.h"

/* The aliases whose expansion led here, innermost first. */
struct alias_chain {
	const struct alias_chain *parent;
	struct slice name;
	unsigned depth;
};

static void local_plan_name(struct local_plan *plan, const struct local_names *names,
	struct slice address, const struct alias_chain *chain);

/* --- targets ---------------------------------------------------------------------------------- */

static struct local_target *
local_plan_add(struct local_plan *plan, enum local_target_kind kind, struct slice address)
{
	struct local_target *target;

	if (plan->count == plan->cap) {
		plan->cap = plan->cap == 0 ? 1 : plan->cap * 2;
		plan->targets = mem_resize(plan->targets, plan->cap, sizeof(*plan->targets));
	}
	target = &plan->targets[plan->count++];
	*target = (struct local_target){ .kind = kind,
		.address = mem_strndup((const char *)address.ptr, address.len) };
	return target;
}

static void local_plan_fail(struct local_plan *plan, enum local_target_kind kind,
	struct slice address, const char *dsn, const char *format, struct slice name)
	__attribute__((format(printf, 5, 0)));

/* `format` has one place, for `name`. */
static void
local_plan_fail(struct local_plan *plan, enum local_target_kind kind, struct slice address,
	const char *dsn, const char *format, struct slice name)
{
	struct local_target *target = local_plan_add(plan, kind, address);
	struct buf text;
	const char *parts = format;

	buf_init(&text, 0);
	for (; *parts != '\0'; parts++) {
		if (parts[0] == '%' && parts[1] == 's') {
			buf_add(&text, slice_head(name, ADDRESS_MAX));
			parts++;
		} else {
			buf_add(&text, slice_make(parts, 1));
		}
	}
	target->dsn = dsn;
	target->reason = mem_strndup((const char *)text.ptr, text.len);
	buf_done(&text);
}

static bool
local_plan_has(const struct local_plan *plan, enum local_target_kind kind, struct slice text)
{
	for (uint32_t i = 0; i < plan->count; i++) {
		const struct local_target *target = &plan->targets[i];

		if (target->kind == kind
			&& slice_equal_str(text,
				kind == LOCAL_TARGET_FORWARD ? target->address : target->path))
			return true;
	}
	return false;
}

/* True: the plan may grow no further, and says so. */
static bool
local_plan_is_full(struct local_plan *plan, struct slice name)
{
	if (++plan->steps <= LOCAL_STEPS_MAX && plan->count < LOCAL_TARGETS_MAX)
		return false;
	if (plan->steps > LOCAL_STEPS_MAX + 1 || plan->count > LOCAL_TARGETS_MAX)
		return true;
	plan->steps = LOCAL_STEPS_MAX + 1;
	local_plan_fail(plan, LOCAL_TARGET_BOUNCE, name, "5.2.4",
		"alias expansion gives too many addresses at \"%s\"", name);
	return true;
}

/* --- users ------------------------------------------------------------------------------------ */

bool
local_user_is_safe(struct slice user)
{
	if (user.len == 0 || user.len > LOCAL_USER_MAX || user.ptr[0] == '.')
		return false;
	for (size_t i = 0; i < user.len; i++)
		if (user.ptr[i] == '/' || user.ptr[i] < 32 || user.ptr[i] == 127)
			return false;
	return true;
}

/* Appends the parts of home_mailbox to a path; false: it leads elsewhere or names no Maildir. */
static bool
local_path_add(struct buf *path, struct slice mailbox)
{
	struct slice part;

	if (mailbox.len > 0 && mailbox.ptr[mailbox.len - 1] != '/')
		return false;
	while (slice_word(&mailbox, "/", &part)) {
		if (part.len == 0)
			continue;
		if (slice_equal_str(part, ".") || slice_equal_str(part, "..")
			|| slice_find(part, 0) < part.len)
			return false;
		buf_add_str(path, "/");
		buf_add(path, part);
	}
	return path->len <= LOCAL_PATH_MAX;
}

static bool
local_user_exists(const struct local_names *names, struct slice address, struct slice local,
	struct slice user)
{
	return names->exists(names->ctx, address) || names->exists(names->ctx, local)
	       || names->exists(names->ctx, user);
}

/* `local` is in lower case. */
static void
local_plan_user(struct local_plan *plan, const struct local_names *names, struct slice address,
	struct slice local)
{
	struct slice user = address_strip_extension(local, names->delimiters, NULL);
	struct buf path;

	if (!local_user_is_safe(user) || !local_user_exists(names, address, local, user)) {
		local_plan_fail(plan, LOCAL_TARGET_BOUNCE, address, "5.1.1",
			"unknown user: \"%s\"", user);
		return;
	}
	buf_init(&path, 0);
	buf_add(&path, user);
	if (!local_path_add(&path, names->home_mailbox))
		local_plan_fail(plan, LOCAL_TARGET_DEFER, address, "4.3.5",
			"home_mailbox = %s: a relative path with a slash at its end is wanted",
			names->home_mailbox);
	else if (!local_plan_has(plan, LOCAL_TARGET_MAILDIR, buf_slice(&path)))
		local_plan_add(plan, LOCAL_TARGET_MAILDIR, address)->path =
			mem_strndup((const char *)path.ptr, path.len);
	buf_done(&path);
}

/* --- aliases ---------------------------------------------------------------------------------- */

static bool
local_is_blank(uint8_t byte)
{
	return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static struct slice
local_trim(struct slice s)
{
	while (s.len > 0 && local_is_blank(s.ptr[0]))
		s = slice_from(s, 1);
	while (s.len > 0 && local_is_blank(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

/* Takes quotes that enclose the whole entry off; "john doe"@x keeps its own. */
static struct slice
local_unquote(struct slice entry, struct buf *scratch)
{
	buf_clear(scratch);
	if (entry.len < 2 || entry.ptr[0] != '"')
		return entry;
	for (size_t i = 1; i < entry.len; i++) {
		if (entry.ptr[i] == '"')
			return i + 1 == entry.len ? buf_slice(scratch) : entry;
		if (entry.ptr[i] == '\\' && i + 1 < entry.len)
			i++;
		buf_add(scratch, slice_make(entry.ptr + i, 1));
	}
	return entry;
}

bool
local_alias_next(struct slice *rest, struct buf *scratch, struct slice *ret_entry)
{
	while (rest->len > 0) {
		bool quoted = false;
		size_t end = 0;
		struct slice entry;

		for (; end < rest->len && (quoted || rest->ptr[end] != ','); end++) {
			if (rest->ptr[end] == '"')
				quoted = !quoted;
			else if (quoted && rest->ptr[end] == '\\' && end + 1 < rest->len)
				end++;
		}
		entry = local_trim(slice_head(*rest, end));
		*rest = slice_from(*rest, end + 1);
		if (entry.len == 0)
			continue;
		*ret_entry = local_unquote(entry, scratch);
		return true;
	}
	return false;
}

/* |command and /file. */
static void
local_plan_run(struct local_plan *plan, const struct local_names *names, struct slice address,
	struct slice entry, struct slice alias)
{
	bool is_command = entry.ptr[0] == '|';
	struct local_target *target;

	if (entry.len > LOCAL_RUN_MAX) {
		local_plan_fail(plan, LOCAL_TARGET_DEFER, address, "4.3.5",
			"alias \"%s\" has too long a command", alias);
	} else if (!(is_command ? names->runs_commands : names->writes_files)) {
		local_plan_fail(plan, LOCAL_TARGET_BOUNCE, address, "5.7.1",
			is_command ? "mail to command is restricted"
				   : "mail to file is restricted",
			alias);
	} else if (!local_plan_has(plan, LOCAL_TARGET_RUN, entry)) {
		target = local_plan_add(plan, LOCAL_TARGET_RUN, address);
		target->path = mem_strndup((const char *)entry.ptr, entry.len);
		target->alias = mem_strndup((const char *)alias.ptr, alias.len);
	}
}

/* "Name <a@b>" and "<a@b>" mean a@b. */
static struct slice
local_entry_address(struct slice entry)
{
	size_t open = slice_rfind(entry, '<');

	if (open == entry.len || entry.ptr[entry.len - 1] != '>')
		return entry;
	entry.len--;
	return local_trim(slice_from(entry, open + 1));
}

static void
local_plan_address(struct local_plan *plan, const struct local_names *names, struct slice address,
	const struct alias_chain *chain)
{
	struct slice domain;

	address_split(address, NULL, &domain);
	if (names->is_local(names->ctx, domain))
		local_plan_name(plan, names, address, chain);
	else if (!local_plan_has(plan, LOCAL_TARGET_FORWARD, address))
		(void)local_plan_add(plan, LOCAL_TARGET_FORWARD, address);
}

static void
local_plan_entry(struct local_plan *plan, const struct local_names *names, struct slice address,
	struct slice entry, const struct alias_chain *chain)
{
	bool is_user = entry.len > 1 && entry.ptr[0] == '\\';
	struct slice domain;
	struct buf internal;

	if (entry.ptr[0] == '|' || entry.ptr[0] == '/') {
		local_plan_run(plan, names, address, entry, chain->name);
		return;
	}
	if (slice_starts_nocase(entry, SLICE_LIT(":include:"))) {
		local_plan_fail(plan, LOCAL_TARGET_DEFER, address, "4.3.5",
			"the file of %s could not be read at start or reload", entry);
		return;
	}
	buf_init(&internal, 0);
	if (address_parse(is_user ? slice_from(entry, 1) : local_entry_address(entry),
		    ADDRESS_BARE | ADDRESS_UTF8, &internal) != ERR_OK
		|| internal.len == 0) {
		local_plan_fail(plan, LOCAL_TARGET_DEFER, address, "4.3.5",
			"alias \"%s\" has an entry that is no address", chain->name);
		buf_done(&internal);
		return;
	}
	address_split(buf_slice(&internal), NULL, &domain);
	if (is_user) {
		for (size_t i = 0; i < internal.len; i++)
			internal.ptr[i] = ascii_lower(internal.ptr[i]);
		local_plan_user(plan, names, buf_slice(&internal), buf_slice(&internal));
	} else {
		if (domain.len == 0) {
			buf_add_str(&internal, "@");
			buf_add(&internal, names->origin);
		}
		local_plan_address(plan, names, buf_slice(&internal), chain);
	}
	buf_done(&internal);
}

/* Rule of lists: mail that leaves by an alias with an owner-alias has that as its sender. */
static void
local_plan_owner(struct local_plan *plan, const struct local_names *names, struct slice address,
	struct slice name)
{
	struct slice domain, value;
	struct buf owner;

	if (plan->owner != NULL || slice_starts_nocase(name, SLICE_LIT("owner-")))
		return;
	buf_init(&owner, 0);
	buf_add_str(&owner, "owner-");
	buf_add(&owner, name);
	if (names->alias(names->ctx, buf_slice(&owner), &value)) {
		address_split(address, NULL, &domain);
		buf_add_str(&owner, "@");
		buf_add(&owner, domain.len > 0 ? domain : names->origin);
		plan->owner = mem_strndup((const char *)owner.ptr, owner.len);
	}
	buf_done(&owner);
}

static void
local_plan_alias(struct local_plan *plan, const struct local_names *names, struct slice address,
	struct slice name, struct slice value, const struct alias_chain *parent)
{
	struct alias_chain chain = { parent, name, parent == NULL ? 1 : parent->depth + 1 };
	uint32_t before = plan->count, steps = plan->steps;
	struct slice entry;
	struct buf scratch;

	for (const struct alias_chain *up = parent; up != NULL; up = up->parent) {
		if (slice_equal_nocase(up->name, name) || chain.depth > LOCAL_DEPTH_MAX) {
			local_plan_fail(plan, LOCAL_TARGET_BOUNCE, address, "5.4.6",
				"alias database loop for %s", name);
			return;
		}
	}
	local_plan_owner(plan, names, address, name);
	buf_init(&scratch, 0);
	while (local_alias_next(&value, &scratch, &entry) && !local_plan_is_full(plan, address))
		local_plan_entry(plan, names, address, entry, &chain);
	buf_done(&scratch);
	if (plan->count == before && plan->steps == steps)
		local_plan_fail(plan, LOCAL_TARGET_DEFER, address, "4.3.5",
			"alias \"%s\" names no address", name);
}

static bool
local_alias_find(const struct local_names *names, struct slice name,
	const struct alias_chain *chain, struct slice *ret_value)
{
	if (name.len == 0 || (chain != NULL && slice_equal_nocase(chain->name, name)))
		return false;
	return names->alias(names->ctx, name, ret_value);
}

/* An address that is delivered here: an alias, or a user. */
static void
local_plan_name(struct local_plan *plan, const struct local_names *names, struct slice address,
	const struct alias_chain *chain)
{
	struct slice local, user, value;
	struct buf lower;

	address_split(address, &local, NULL);
	buf_init(&lower, 0);
	for (size_t i = 0; i < local.len; i++)
		buf_add(&lower, slice_make(&(uint8_t){ ascii_lower(local.ptr[i]) }, 1));
	local = buf_slice(&lower);
	user = address_strip_extension(local, names->delimiters, NULL);
	if (local_alias_find(names, local, chain, &value))
		local_plan_alias(plan, names, address, local, value, chain);
	else if (local_alias_find(names, user, chain, &value))
		local_plan_alias(plan, names, address, user, value, chain);
	else
		local_plan_user(plan, names, address, local);
	buf_done(&lower);
}

/* --- the whole -------------------------------------------------------------------------------- */

void
local_plan_make(struct local_plan *ret_plan, const struct local_names *names, struct slice address,
	bool loops)
{
	*ret_plan = (struct local_plan){ 0 };
	if (loops)
		local_plan_fail(ret_plan, LOCAL_TARGET_BOUNCE, address, "5.4.6",
			"mail forwarding loop for %s", address);
	else
		local_plan_name(ret_plan, names, address, NULL);
	CHECK(ret_plan->count > 0);
}

void
local_plan_pipe(struct local_plan *ret_plan, struct slice address, struct slice service)
{
	*ret_plan = (struct local_plan){ 0 };
	local_plan_add(ret_plan, LOCAL_TARGET_RUN, address)->path =
		mem_strndup((const char *)service.ptr, service.len);
}

void
local_plan_done(struct local_plan *plan)
{
	for (uint32_t i = 0; i < plan->count; i++) {
		mem_free(plan->targets[i].address);
		mem_free(plan->targets[i].path);
		mem_free(plan->targets[i].alias);
		mem_free(plan->targets[i].reason);
	}
	mem_free(plan->targets);
	mem_free(plan->owner);
	*plan = (struct local_plan){ 0 };
}

bool
local_delivered_to_find(struct slice header, struct slice address, bool *ret_ended)
{
	const struct slice name = SLICE_LIT("Delivered-To:");

	if (ret_ended != NULL)
		*ret_ended = false;
	while (header.len > 0) {
		size_t end = slice_find(header, '\n');
		struct slice line = slice_head(header, end);

		header = slice_from(header, end + 1);
		if (line.len > 0 && line.ptr[line.len - 1] == '\r')
			line.len--;
		if (line.len == 0) {
			if (ret_ended != NULL)
				*ret_ended = true;
			return false;
		}
		if (slice_starts_nocase(line, name)
			&& slice_equal_nocase(slice_trim(slice_from(line, name.len)), address))
			return true;
	}
	return false;
}
