/* address_map.c - see address_map.h */
#include "route/address_map.h"

#include "message/address.h"
#include "route/resolve.h"

static enum err
find_parts(const struct config *config, enum param_id map, struct slice first, const char *at,
	struct slice second, struct slice *ret_value)
{
	struct buf key;
	enum err err;

	buf_init(&key, 0);
	buf_add(&key, first);
	buf_add_str(&key, at);
	buf_add(&key, second);
	err = config_map_find(config, NULL, map, buf_slice(&key), ret_value);
	buf_done(&key);
	return err;
}

/* The words of propagate_unmatched_extensions, in the order of params.def. */
static bool
propagates(const struct config *config, enum param_id map)
{
	uint64_t words = config_words(config, NULL, PARAM_PROPAGATE_UNMATCHED_EXTENSIONS);

	if (map == PARAM_VIRTUAL_ALIAS_MAPS)
		return words & CONFIG_PROPAGATE_VIRTUAL;
	if (map == PARAM_SENDER_BCC_MAPS || map == PARAM_RECIPIENT_BCC_MAPS)
		return false;
	return words & CONFIG_PROPAGATE_CANONICAL;
}

enum err
address_map_find(const struct config *config, enum param_id map, struct slice address,
	struct address_map_result *ret_result)
{
	const struct slice none = slice_make(NULL, 0);
	struct slice local, domain, user, extension, value;
	struct slice suffix = none;
	enum err err;

	if (config_map_is_empty(config, NULL, map))
		return ERR_NOTFOUND;
	address_split(address, &local, &domain);
	user = address_strip_extension(
		local, config_str(config, NULL, PARAM_RECIPIENT_DELIMITER), &extension);
	err = find_parts(config, map, local, "@", domain, &value);
	if (err == ERR_NOTFOUND && extension.len > 0) {
		err = find_parts(config, map, user, "@", domain, &value);
		suffix = err == ERR_OK ? slice_from(local, user.len) : none;
	}
	if (err == ERR_NOTFOUND && route_is_ours(config, domain)) {
		err = find_parts(config, map, local, "", none, &value);
		if (err == ERR_NOTFOUND && extension.len > 0) {
			err = find_parts(config, map, user, "", none, &value);
			suffix = err == ERR_OK ? slice_from(local, user.len) : none;
		}
	}
	if (err == ERR_NOTFOUND)
		err = find_parts(config, map, none, "@", domain, &value);
	if (err == ERR_OK) {
		ret_result->value = value;
		ret_result->suffix = propagates(config, map) ? suffix : none;
	}
	return err;
}

/* user@domain becomes user+extension@domain. */
static enum err
add_suffix(struct buf *address, size_t start, struct slice suffix)
{
	struct slice local, domain;
	struct buf with;
	enum err err;

	if (suffix.len == 0)
		return ERR_OK;
	buf_init(&with, 0);
	address_split(slice_from(buf_slice(address), start), &local, &domain);
	buf_add(&with, local);
	buf_add(&with, suffix);
	if (domain.len > 0)
		buf_add_str(&with, "@");
	buf_add(&with, domain);
	address->len = start;
	err = with.len <= ADDRESS_MAX ? buf_append(address, buf_slice(&with)) : ERR_LIMIT;
	buf_done(&with);
	return err;
}

enum err
address_map_next(struct address_map_result *result, struct slice address, struct buf *to)
{
	size_t start = to->len;
	struct slice word, local;
	enum err err;

	if (!slice_word(&result->value, ", \t", &word))
		return ERR_NOTFOUND;
	if (word.len > 1 && word.ptr[0] == '@') {
		address_split(address, &local, NULL);
		err = buf_append(to, local);
		if (err == ERR_OK)
			err = buf_append(to, word);
		if (err == ERR_OK && to->len - start > ADDRESS_MAX)
			err = ERR_LIMIT;
	} else {
		err = address_parse(word, ADDRESS_UTF8 | ADDRESS_BARE, to);
		if (err == ERR_OK)
			err = add_suffix(to, start, result->suffix);
	}
	if (err != ERR_OK)
		to->len = start;
	return err;
}
