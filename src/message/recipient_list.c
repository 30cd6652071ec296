/*
 * recipient_list.c - codec of recipient lists
 */
#include "message/recipient_list.h"

#include "base/check.h"
#include "base/mem.h"

enum { LIST_VERSION = 1, ENTRY_FIXED = 1 + 3 * 4 };

enum err
recipient_list_put(struct buf *list, const struct recipient_entry *entry)
{
	size_t len = ENTRY_FIXED + entry->address.len + entry->original.len + entry->orcpt.len;

	if (len > RECIPIENT_LIST_ENTRY_MAX)
		return ERR_LIMIT;
	if (buf_reserve(list, len + 5) != ERR_OK)
		return ERR_LIMIT;
	if (list->len == 0)
		wire_put_u8(list, LIST_VERSION);
	wire_put_u32(list, (uint32_t)len);
	wire_put_u8(list, entry->notify);
	wire_put_bytes(list, entry->address);
	wire_put_bytes(list, entry->original);
	wire_put_bytes(list, entry->orcpt);
	return ERR_OK;
}

struct recipient_list_reader
recipient_list_read(struct slice list)
{
	struct recipient_list_reader reader = { .bytes = wire_reader(list) };

	if (list.len > 0 && wire_get_u8(&reader.bytes) != LIST_VERSION)
		reader.err = ERR_VERSION;
	return reader;
}

static enum err
read_entry(struct slice bytes, struct recipient_entry *ret_entry)
{
	struct wire_reader reader = wire_reader(bytes);

	ret_entry->notify = wire_get_u8(&reader);
	ret_entry->address = wire_get_bytes(&reader);
	ret_entry->original = wire_get_bytes(&reader);
	ret_entry->orcpt = wire_get_bytes(&reader);
	/* What a later release put behind these is skipped. */
	return reader.failed ? ERR_SYNTAX : ERR_OK;
}

enum err
recipient_list_next(struct recipient_list_reader *reader, struct recipient_entry *ret_entry)
{
	struct recipient_entry entry = { .number = reader->next };
	struct slice bytes;

	if (reader->err != ERR_OK)
		return reader->err;
	if (reader->bytes.rest.len == 0)
		return ERR_NOTFOUND;
	bytes = wire_get_bytes(&reader->bytes);
	if (reader->bytes.failed)
		reader->err = ERR_SYNTAX;
	else if (bytes.len > RECIPIENT_LIST_ENTRY_MAX || reader->next >= RECIPIENT_LIST_COUNT_MAX)
		reader->err = ERR_LIMIT;
	else
		reader->err = read_entry(bytes, &entry);
	if (reader->err != ERR_OK)
		return reader->err;
	reader->next++;
	*ret_entry = entry;
	return ERR_OK;
}

enum err
recipient_list_check(struct slice list, uint32_t *ret_count)
{
	struct recipient_list_reader reader = recipient_list_read(list);
	struct recipient_entry entry;
	enum err err;

	while ((err = recipient_list_next(&reader, &entry)) == ERR_OK)
		continue;
	if (err != ERR_NOTFOUND)
		return err;
	*ret_count = reader.next;
	return ERR_OK;
}

/* --- by number -------------------------------------------------------------------------------- */

enum err
recipient_index_init(struct recipient_index *index, struct slice list)
{
	struct recipient_list_reader reader = recipient_list_read(list);
	struct recipient_entry entry;
	uint32_t count;
	enum err err = recipient_list_check(list, &count);

	*index = (struct recipient_index){ .list = list };
	if (err != ERR_OK)
		return err;
	index->places = mem_try((count / RECIPIENT_INDEX_STEP + 1) * sizeof(*index->places));
	if (index->places == NULL)
		return ERR_NOMEM;
	index->count = count;
	for (uint32_t i = 0; i < count; i++) {
		if (i > 0 && i % RECIPIENT_INDEX_STEP == 0)
			index->places[i / RECIPIENT_INDEX_STEP - 1] =
				(uint32_t)(list.len - reader.bytes.rest.len);
		CHECK(recipient_list_next(&reader, &entry) == ERR_OK);
	}
	return ERR_OK;
}

void
recipient_index_done(struct recipient_index *index)
{
	mem_free(index->places);
	*index = (struct recipient_index){ 0 };
}

struct recipient_entry
recipient_index_get(const struct recipient_index *index, uint32_t number)
{
	struct recipient_list_reader reader = recipient_list_read(index->list);
	uint32_t step = number / RECIPIENT_INDEX_STEP;
	struct recipient_entry entry = { 0 };

	CHECK(number < index->count);
	if (step > 0)
		reader.bytes.rest = slice_from(index->list, index->places[step - 1]);
	reader.next = step * RECIPIENT_INDEX_STEP;
	do
		CHECK(recipient_list_next(&reader, &entry) == ERR_OK);
	while (entry.number < number);
	return entry;
}
