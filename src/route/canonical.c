/* canonical.c - see canonical.h */
#include "route/canonical.h"

#include "message/address.h"
#include "route/address_map.h"
#include "route/rewrite.h"

/* What `address` becomes in one look-up, completed. */
static enum err
map_step(const struct config *config, enum param_id map, struct slice address, struct buf *to)
{
	struct address_map_result result;
	struct buf word;
	enum err err = address_map_find(config, map, address, &result);

	if (err != ERR_OK)
		return err;
	buf_init(&word, 0);
	err = address_map_next(&result, address, &word);
	if (err == ERR_OK)
		err = rewrite_complete(config, buf_slice(&word), to);
	else if (err == ERR_NOTFOUND)
		err = ERR_SYNTAX; /* an empty value */
	buf_done(&word);
	return err;
}

/* Again and again, until nothing is found or an address gives itself. */
static enum err
map_address(const struct config *config, enum param_id map, struct buf *address, bool *is_mapped)
{
	struct buf next;
	bool is_same = false;
	enum err err = ERR_OK;

	if (config_map_is_empty(config, NULL, map))
		return ERR_OK;
	buf_init(&next, 0);
	for (int i = 0; err == ERR_OK && !is_same; i++) {
		buf_clear(&next);
		err = i < CANONICAL_STEPS_MAX ? map_step(config, map, buf_slice(address), &next)
					      : ERR_LIMIT;
		if (err != ERR_OK)
			break;
		*is_mapped = true;
		is_same = slice_equal_nocase(buf_slice(address), buf_slice(&next));
		buf_clear(address);
		err = buf_append(address, buf_slice(&next));
	}
	buf_done(&next);
	return err == ERR_NOTFOUND ? ERR_OK : err;
}

/* The first domain of the list that fits decides; with ! in front it keeps what is below it. */
static void
masquerade(const struct config *config, struct buf *address)
{
	struct slice list = config_str(config, NULL, PARAM_MASQUERADE_DOMAINS);
	struct slice local, domain, word;

	address_split(buf_slice(address), &local, &domain);
	if (list.len == 0 || domain.len == 0 ||
		config_list_match(config, NULL, PARAM_MASQUERADE_EXCEPTIONS, local))
		return;
	while (slice_word(&list, ", \t\r\n", &word)) {
		bool keeps = word.ptr[0] == '!';
		struct slice parent = slice_from(word, keeps);

		if (slice_equal_nocase(domain, parent))
			return;
		if (parent.len == 0 || domain.len <= parent.len ||
			domain.ptr[domain.len - parent.len - 1] != '.' ||
			!slice_ends_nocase(domain, parent))
			continue;
		if (!keeps) {
			address->len -= domain.len;
			buf_add(address, parent); /* shorter than what it replaces */
		}
		return;
	}
}

enum err
canonical_rewrite(const struct config *config, enum canonical_class class, struct slice address,
	struct buf *to, bool *ret_is_mapped)
{
	const unsigned senders = CANONICAL_ENVELOPE_SENDER | CANONICAL_HEADER_SENDER;
	struct {
		enum param_id map, classes;
	} const tables[] = {
		{ PARAM_SENDER_CANONICAL_MAPS, PARAM_SENDER_CANONICAL_CLASSES },
		{ PARAM_RECIPIENT_CANONICAL_MAPS, PARAM_RECIPIENT_CANONICAL_CLASSES },
		{ PARAM_CANONICAL_MAPS, PARAM_CANONICAL_CLASSES },
	};
	bool is_mapped = false;
	struct buf now;
	enum err err;

	buf_init(&now, 0);
	err = rewrite_complete(config, address, &now);
	for (size_t i = 0; err == ERR_OK && now.len > 0 && i < 3; i++) {
		uint64_t allowed = config_words(config, NULL, tables[i].classes);

		/* The first table is for senders, the second for recipients, come what may. */
		if (i < 2)
			allowed &= i == 0 ? senders : ~(uint64_t)senders;
		if (allowed & class)
			err = map_address(config, tables[i].map, &now, &is_mapped);
	}
	if (err == ERR_OK && (config_words(config, NULL, PARAM_MASQUERADE_CLASSES) & class))
		masquerade(config, &now);
	if (err == ERR_OK)
		err = buf_append(to, buf_slice(&now));
	buf_done(&now);
	if (err == ERR_OK && ret_is_mapped != NULL)
		*ret_is_mapped = is_mapped;
	return err;
}
