/* recipient_filter.c - see recipient_filter.h */
#include "message/recipient_filter.h"

#include "base/ascii.h"
#include "base/mem.h"

#include <uthash.h>

struct recipient_filter_key {
	char *text;
	UT_hash_handle hh;
};

void
recipient_filter_done(struct recipient_filter *filter)
{
	struct recipient_filter_key *key, *next;

	HASH_ITER(hh, filter->keys, key, next)
	{
		HASH_DELETE(hh, filter->keys, key);
		mem_free(key->text);
		mem_free(key);
	}
}

void
recipient_filter_begin(struct recipient_filter *filter, bool by_original, uint64_t max)
{
	recipient_filter_done(filter);
	filter->by_original = by_original;
	filter->max = max;
}

/* A part of a key, with its length in front so that parts cannot run into each other. */
static void
put_part(struct buf *key, struct slice part)
{
	uint32_t len = (uint32_t)part.len;

	buf_add(key, slice_make((const uint8_t *)&len, sizeof(len)));
	buf_add(key, part);
	for (uint8_t *byte = key->ptr + key->len - part.len; byte < key->ptr + key->len; byte++)
		*byte = ascii_lower(*byte);
}

static void
put_key(const struct recipient_filter *filter, const struct recipient_entry *entry,
	struct buf *key)
{
	put_part(key, entry->address);
	if (!filter->by_original)
		return;
	put_part(key, entry->original.len > 0 ? entry->original : entry->address);
	put_part(key, entry->orcpt);
	buf_add(key, slice_make(&entry->notify, 1));
}

/* Remembers it if there is room. True: it was there. */
static bool
is_known(struct recipient_filter *filter, const struct recipient_entry *entry)
{
	struct recipient_filter_key *key;
	struct buf text;

	buf_init(&text, 0);
	put_key(filter, entry, &text);
	HASH_FIND(hh, filter->keys, text.ptr, text.len, key);
	bool found = key != NULL;

	if (!found && (filter->max == 0 || HASH_COUNT(filter->keys) < filter->max)) {
		key = MEM_NEW(struct recipient_filter_key);
		key->text = mem_strndup((const char *)text.ptr, text.len);
		HASH_ADD_KEYPTR(hh, filter->keys, key->text, text.len, key);
	}
	buf_done(&text);
	return found;
}

enum err
recipient_filter_pass(
	struct recipient_filter *filter, struct slice list, struct buf *out, uint32_t *count)
{
	struct recipient_list_reader reader = recipient_list_read(list);
	struct recipient_entry entry;
	enum err err;

	while ((err = recipient_list_next(&reader, &entry)) == ERR_OK) {
		if (is_known(filter, &entry))
			continue;
		if (!filter->by_original)
			entry.original = slice_make(NULL, 0);
		err = recipient_list_put(out, &entry);
		if (err != ERR_OK)
			return err;
		(*count)++;
	}
	return err == ERR_NOTFOUND ? ERR_OK : err;
}
