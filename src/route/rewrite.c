/* rewrite.c - see rewrite.h */
#include "route/rewrite.h"

#include "base/mem.h"
#include "message/address.h"
#include "message/dsn.h"
#include "route/address_map.h"
#include "route/canonical.h"

/* --- completing ------------------------------------------------------------------------------- */

enum err
rewrite_complete(const struct config *config, struct slice address, struct buf *complete)
{
	struct slice local, domain;
	size_t start = complete->len;
	enum err err = buf_append(complete, address);

	if (address.len == 0)
		return err;
	address_split(address, &local, &domain);
	if (err == ERR_OK && domain.len == 0 &&
		config_bool(config, NULL, PARAM_APPEND_AT_MYORIGIN)) {
		domain = config_str(config, NULL, PARAM_MYORIGIN);
		err = buf_append_byte(complete, '@');
		if (err == ERR_OK)
			err = buf_append(complete, domain);
	}
	if (err == ERR_OK && domain.len > 0 &&
		config_bool(config, NULL, PARAM_APPEND_DOT_MYDOMAIN) &&
		slice_find(domain, '.') == domain.len && !address_is_literal(domain)) {
		err = buf_append_byte(complete, '.');
		if (err == ERR_OK)
			err = buf_append(complete, config_str(config, NULL, PARAM_MYDOMAIN));
	}
	if (err == ERR_OK && complete->len - start > ADDRESS_MAX)
		err = ERR_LIMIT;
	if (err != ERR_OK)
		complete->len = start;
	return err;
}

/* --- virtual aliases -------------------------------------------------------------------------- */

/* Addresses on their way: each is {offset, length} in `text`, `depth` steps from the first. */
struct pending {
	size_t at, len;
	uint32_t depth;
};

struct expansion {
	const struct config *config;
	const struct recipient_entry *given;
	struct buf text;
	struct pending *list;
	size_t count, cap, next;
	struct buf *out;
	struct rewrite_result result;
	bool is_changed; /* what came out is not the one address that went in */
};

static enum err
enqueue(struct expansion *expansion, struct slice address, uint32_t depth)
{
	uint64_t most =
		config_int(expansion->config, NULL, PARAM_VIRTUAL_ALIAS_EXPANSION_LIMIT);
	size_t at = expansion->text.len;

	for (size_t i = 0; i < expansion->count; i++)
		if (slice_equal_nocase(address,
			    slice_make(expansion->text.ptr + expansion->list[i].at,
				    expansion->list[i].len)))
			return ERR_OK;
	if (expansion->count >= most ||
		depth > config_int(expansion->config, NULL, PARAM_VIRTUAL_ALIAS_RECURSION_LIMIT))
		return ERR_LIMIT;
	enum err err = rewrite_complete(expansion->config, address, &expansion->text);

	if (err != ERR_OK)
		return err;
	if (expansion->count == expansion->cap) {
		expansion->cap = expansion->cap == 0 ? 4 : expansion->cap * 2;
		expansion->list = mem_resize(
			expansion->list, expansion->cap, sizeof(*expansion->list));
	}
	expansion->list[expansion->count++] =
		(struct pending){ at, expansion->text.len - at, depth };
	return ERR_OK;
}

static enum err
emit(struct expansion *expansion, struct slice address)
{
	struct recipient_entry entry = *expansion->given;

	entry.original = expansion->given->original.len > 0 ? expansion->given->original
							     : expansion->given->address;
	if (slice_equal(entry.original, address))
		entry.original = slice_make(NULL, 0);
	entry.address = address;
	expansion->is_changed |= expansion->result.count > 0 ||
				 !slice_equal_nocase(address, slice_make(expansion->text.ptr,
							      expansion->list[0].len));
	expansion->result.count++;
	return recipient_list_put(expansion->out, &entry);
}

/* Whether the results name the address itself: then it is final, and the others go on. */
static bool
names_itself(const struct config *config, struct slice address, struct address_map_result results)
{
	struct buf word, complete;
	bool found = false;

	buf_init(&word, 0);
	buf_init(&complete, 0);
	while (!found && address_map_next(&results, address, &word) == ERR_OK) {
		buf_clear(&complete);
		found = rewrite_complete(config, buf_slice(&word), &complete) == ERR_OK &&
			slice_equal_nocase(buf_slice(&complete), address);
		buf_clear(&word);
	}
	buf_done(&word);
	buf_done(&complete);
	return found;
}

static enum err
expand_one(struct expansion *expansion, struct slice address, uint32_t depth)
{
	struct address_map_result results;
	struct buf word;
	enum err err = address_map_find(
		expansion->config, PARAM_VIRTUAL_ALIAS_MAPS, address, &results);

	if (err == ERR_NOTFOUND)
		return emit(expansion, address);
	if (err != ERR_OK)
		return err;
	expansion->result.expanded = true;
	if (names_itself(expansion->config, address, results))
		err = emit(expansion, address);
	buf_init(&word, 0);
	while (err == ERR_OK) {
		buf_clear(&word);
		err = address_map_next(&results, address, &word);
		if (err == ERR_OK)
			err = enqueue(expansion, buf_slice(&word), depth + 1);
	}
	buf_done(&word);
	return err == ERR_NOTFOUND ? ERR_OK : err;
}

static enum err
expand_all(struct expansion *expansion)
{
	enum err err = ERR_OK;

	while (err == ERR_OK && expansion->next < expansion->count) {
		struct pending pending = expansion->list[expansion->next++];
		struct buf address; /* the text may move while this one is looked up */

		buf_init(&address, 0);
		buf_add(&address, slice_make(expansion->text.ptr + pending.at, pending.len));
		err = expand_one(expansion, buf_slice(&address), pending.depth);
		buf_done(&address);
	}
	return err;
}

static enum err
expand(struct expansion *expansion, struct slice canonical)
{
	enum err err;

	buf_init(&expansion->text, 0);
	err = enqueue(expansion, canonical, 0);
	if (err == ERR_OK)
		err = expand_all(expansion);
	/* Every path led back to one that was there before: a loop without an end. */
	if (err == ERR_OK && expansion->result.count == 0)
		err = ERR_LIMIT;
	buf_done(&expansion->text);
	mem_free(expansion->list);
	return err;
}

/*
 * Rule N64: who asked to be told of success is told of the expansion, at once; what becomes of the
 * members is told to nobody (RFC 3461 5.2.7.3).
 */
static enum err
expand_told(const struct config *config, const struct recipient_entry *given,
	struct slice canonical, struct buf *recipients, struct rewrite_result *result)
{
	struct recipient_entry told = *given, members = *given;
	struct expansion expansion = {
		.config = config, .given = &members, .out = recipients, .result = *result };
	enum err err;

	told.notify = DSN_NOTIFY_EXPANDED | DSN_NOTIFY_SUCCESS;
	members.notify = given->notify & ~DSN_NOTIFY_SUCCESS & DSN_NOTIFY_ALL;
	if (members.notify == 0)
		members.notify = DSN_NOTIFY_NEVER;
	err = recipient_list_put(recipients, &told);
	if (err == ERR_OK)
		err = expand(&expansion, canonical);
	expansion.result.count++;
	*result = expansion.result;
	return err;
}

enum err
rewrite_recipient(const struct config *config, const struct recipient_entry *given,
	struct buf *recipients, struct rewrite_result *ret_result)
{
	size_t start = recipients->len;
	struct expansion expansion = { .config = config, .given = given, .out = recipients };
	struct rewrite_result before;
	struct buf canonical;
	enum err err;

	if ((given->notify & DSN_NOTIFY_EXPANDED) != 0) {
		*ret_result = (struct rewrite_result){ .count = 1 };
		return recipient_list_put(recipients, given);
	}
	buf_init(&canonical, 0);
	err = canonical_rewrite(config, CANONICAL_ENVELOPE_RECIPIENT, given->address, &canonical,
		&expansion.result.expanded);
	before = expansion.result;
	if (err == ERR_OK)
		err = expand(&expansion, buf_slice(&canonical));
	if (err == ERR_OK && expansion.is_changed && (given->notify & DSN_NOTIFY_SUCCESS) != 0) {
		recipients->len = start;
		expansion.result = before;
		err = expand_told(
			config, given, buf_slice(&canonical), recipients, &expansion.result);
	}
	buf_done(&canonical);
	if (err == ERR_OK)
		*ret_result = expansion.result;
	else
		recipients->len = start;
	return err;
}

/* --- copies ----------------------------------------------------------------------------------- */

/* Nobody is told of what becomes of a copy. */
static enum err
put_copy(const struct config *config, struct slice address, struct buf *recipients)
{
	struct recipient_entry entry = { .address = address, .notify = DSN_NOTIFY_NEVER };
	struct rewrite_result result;

	return rewrite_recipient(config, &entry, recipients, &result);
}

/* What a table says for `address`, if anything. */
static enum err
put_mapped_copy(const struct config *config, enum param_id map, struct slice address,
	struct buf *recipients)
{
	struct address_map_result result;
	struct buf copy;
	enum err err = address_map_find(config, map, address, &result);

	if (err == ERR_NOTFOUND)
		return ERR_OK;
	buf_init(&copy, 0);
	if (err == ERR_OK)
		err = address_map_next(&result, address, &copy);
	if (err == ERR_OK)
		err = put_copy(config, buf_slice(&copy), recipients);
	buf_done(&copy);
	return err == ERR_NOTFOUND ? ERR_SYNTAX : err;
}

enum err
rewrite_sender_copies(const struct config *config, struct slice sender, struct buf *recipients)
{
	struct slice always = config_str(config, NULL, PARAM_ALWAYS_BCC);
	size_t start = recipients->len;
	struct buf address;
	enum err err = ERR_OK;

	buf_init(&address, 0);
	if (always.len > 0)
		err = address_parse(always, ADDRESS_UTF8 | ADDRESS_BARE, &address);
	if (err == ERR_OK && always.len > 0)
		err = put_copy(config, buf_slice(&address), recipients);
	if (err == ERR_OK && sender.len > 0)
		err = put_mapped_copy(config, PARAM_SENDER_BCC_MAPS, sender, recipients);
	buf_done(&address);
	if (err != ERR_OK)
		recipients->len = start;
	return err;
}

enum err
rewrite_recipient_copies(const struct config *config, struct slice address, struct buf *recipients)
{
	size_t start = recipients->len;
	struct buf canonical;
	enum err err;

	if (config_map_is_empty(config, NULL, PARAM_RECIPIENT_BCC_MAPS))
		return ERR_OK;
	buf_init(&canonical, 0);
	err = canonical_rewrite(
		config, CANONICAL_ENVELOPE_RECIPIENT, address, &canonical, NULL);
	if (err == ERR_OK)
		err = put_mapped_copy(config, PARAM_RECIPIENT_BCC_MAPS, buf_slice(&canonical),
			recipients);
	buf_done(&canonical);
	if (err != ERR_OK)
		recipients->len = start;
	return err;
}
