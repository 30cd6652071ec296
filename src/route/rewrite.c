/* rewrite.c - see rewrite.h */
#include "route/rewrite.h"

#include "base/mem.h"
#include "message/address.h"
#include "route/resolve.h"

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
	if (err == ERR_OK && domain.len == 0) {
		domain = config_str(config, NULL, PARAM_MYORIGIN);
		err = buf_append_byte(complete, '@');
		if (err == ERR_OK)
			err = buf_append(complete, domain);
	}
	if (err == ERR_OK && config_bool(config, NULL, PARAM_APPEND_DOT_MYDOMAIN) &&
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
find_key(const struct config *config, struct buf *key, struct slice *ret_value)
{
	return config_map_find(config, NULL, PARAM_VIRTUAL_ALIAS_MAPS, buf_slice(key), ret_value);
}

static enum err
find_parts(const struct config *config, struct slice first, const char *at, struct slice second,
	struct slice *ret_value)
{
	struct buf key;
	enum err err;

	buf_init(&key, 0);
	buf_add(&key, first);
	buf_add_str(&key, at);
	buf_add(&key, second);
	err = find_key(config, &key, ret_value);
	buf_done(&key);
	return err;
}

/* *ret_suffix: delimiter and extension, if the key that was found went without them. */
static enum err
find_alias(const struct config *config, struct slice address, struct slice *ret_value,
	struct slice *ret_suffix)
{
	const struct slice none = slice_make(NULL, 0);
	struct slice local, domain, user, extension, suffix;
	struct slice delimiters = config_str(config, NULL, PARAM_RECIPIENT_DELIMITER);
	enum err err;

	address_split(address, &local, &domain);
	user = address_strip_extension(local, delimiters, &extension);
	suffix = slice_from(local, user.len);
	*ret_suffix = none;
	err = find_parts(config, local, "@", domain, ret_value);
	if (err == ERR_NOTFOUND && extension.len > 0) {
		err = find_parts(config, user, "@", domain, ret_value);
		*ret_suffix = err == ERR_OK ? suffix : none;
	}
	if (err == ERR_NOTFOUND && route_is_ours(config, domain)) {
		err = find_parts(config, local, "", none, ret_value);
		if (err == ERR_NOTFOUND && extension.len > 0) {
			err = find_parts(config, user, "", none, ret_value);
			*ret_suffix = err == ERR_OK ? suffix : none;
		}
	}
	if (err == ERR_NOTFOUND)
		err = find_parts(config, none, "@", domain, ret_value);
	return err;
}

/* user@domain becomes user+extension@domain. */
static enum err
add_suffix(struct buf *address, struct slice suffix)
{
	struct slice local, domain;
	struct buf with;
	enum err err;

	if (suffix.len == 0)
		return ERR_OK;
	buf_init(&with, 0);
	address_split(buf_slice(address), &local, &domain);
	buf_add(&with, local);
	buf_add(&with, suffix);
	if (domain.len > 0)
		buf_add_str(&with, "@");
	buf_add(&with, domain);
	buf_clear(address);
	err = with.len <= ADDRESS_MAX ? buf_append(address, buf_slice(&with)) : ERR_LIMIT;
	buf_done(&with);
	return err;
}

/* One result of a table: "@domain" keeps the user, others get what was not looked up. */
static enum err
take_result(struct expansion *expansion, struct slice from, struct slice word,
	struct slice suffix, uint32_t depth)
{
	struct slice local;
	struct buf address;
	enum err err;

	if (word.len > 1 && word.ptr[0] == '@') {
		buf_init(&address, ADDRESS_MAX);
		address_split(from, &local, NULL);
		err = buf_append(&address, local);
		if (err == ERR_OK)
			err = buf_append(&address, word);
		if (err == ERR_OK)
			err = enqueue(expansion, buf_slice(&address), depth);
		buf_done(&address);
		return err;
	}
	buf_init(&address, 0);
	err = address_parse(word, ADDRESS_UTF8 | ADDRESS_BARE, &address);
	if (err == ERR_OK)
		err = add_suffix(&address, suffix);
	if (err == ERR_OK)
		err = enqueue(expansion, buf_slice(&address), depth);
	buf_done(&address);
	return err;
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
	expansion->result.count++;
	return recipient_list_put(expansion->out, &entry);
}

/* Whether the results name the address itself: then it is final, and the others go on. */
static bool
names_itself(const struct config *config, struct slice address, struct slice results,
	struct slice suffix)
{
	struct slice word;
	bool found = false;

	while (!found && slice_word(&results, ", \t", &word)) {
		struct buf complete;

		buf_init(&complete, 0);
		found = rewrite_complete(config, word, &complete) == ERR_OK &&
			add_suffix(&complete, suffix) == ERR_OK &&
			slice_equal_nocase(buf_slice(&complete), address);
		buf_done(&complete);
	}
	return found;
}

static enum err
expand_one(struct expansion *expansion, struct slice address, uint32_t depth)
{
	struct slice value, word, suffix;
	enum err err = find_alias(expansion->config, address, &value, &suffix);

	if (err == ERR_NOTFOUND)
		return emit(expansion, address);
	if (err != ERR_OK)
		return err;
	expansion->result.expanded = true;
	if (names_itself(expansion->config, address, value, suffix)) {
		err = emit(expansion, address);
		if (err != ERR_OK)
			return err;
	}
	while (slice_word(&value, ", \t", &word)) {
		err = take_result(expansion, address, word, suffix, depth + 1);
		if (err != ERR_OK)
			return err;
	}
	return ERR_OK;
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

enum err
rewrite_recipient(const struct config *config, const struct recipient_entry *given,
	struct buf *recipients, struct rewrite_result *ret_result)
{
	size_t start = recipients->len;
	struct expansion expansion = { .config = config, .given = given, .out = recipients };
	enum err err;

	buf_init(&expansion.text, 0);
	err = enqueue(&expansion, given->address, 0);
	if (err == ERR_OK)
		err = expand_all(&expansion);
	/* Every path led back to one that was there before: a loop without an end. */
	if (err == ERR_OK && expansion.result.count == 0)
		err = ERR_LIMIT;
	buf_done(&expansion.text);
	mem_free(expansion.list);
	if (err == ERR_OK)
		*ret_result = expansion.result;
	else
		recipients->len = start;
	return err;
}
