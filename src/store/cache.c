/*
 * cache.c - entries, bodies that may go, and what a message looks like (see cache.h)
 */
#include "store/cache.h"

#include "base/check.h"
#include "base/mem.h"

void
cache_init(struct cache *cache, uint64_t max)
{
	*cache = (struct cache){ .max = max };
	TAILQ_INIT(&cache->lru);
}

void
cache_done(struct cache *cache)
{
	struct cache_entry *entry, *next;

	HASH_ITER (hh, cache->table, entry, next) {
		cache_forget(cache, entry);
		cache_entry_free(entry);
	}
}

struct cache_entry *
cache_find(const struct cache *cache, store_ref ref)
{
	struct cache_entry *entry;

	HASH_FIND(hh, cache->table, &ref, sizeof(ref), entry);
	return entry;
}

struct cache_entry *
cache_get(struct cache *cache, struct store *store, store_ref ref, uint64_t queue_id)
{
	struct cache_entry *entry = cache_find(cache, ref);

	if (entry != NULL)
		return entry;
	entry = MEM_NEW(struct cache_entry);
	entry->store = store;
	entry->ref = ref;
	entry->queue_id = queue_id;
	TAILQ_INIT(&entry->items);
	TAILQ_INIT(&entry->unknowns);
	STAILQ_INIT(&entry->waiters);
	HASH_ADD(hh, cache->table, ref, sizeof(ref), entry);
	return entry;
}

static void
cache_drop_body(struct cache *cache, struct cache_entry *entry)
{
	if (!entry->has_body)
		return;
	TAILQ_REMOVE(&cache->lru, entry, lru);
	cache->body_bytes -= entry->body.len;
	entry->has_body = false;
	buf_done(&entry->body);
}

void
cache_forget(struct cache *cache, struct cache_entry *entry)
{
	cache_drop_body(cache, entry);
	HASH_DELETE(hh, cache->table, entry);
}

void
cache_entry_free(struct cache_entry *entry)
{
	struct cache_waiter *waiter;
	struct cache_item *item;

	CHECK(!entry->is_busy && !entry->has_body);
	while ((item = TAILQ_FIRST(&entry->items)) != NULL)
		cache_item_drop(entry, item);
	while ((item = TAILQ_FIRST(&entry->unknowns)) != NULL)
		cache_unknown_drop(entry, item);
	while ((waiter = STAILQ_FIRST(&entry->waiters)) != NULL) {
		STAILQ_REMOVE_HEAD(&entry->waiters, link);
		mem_free(waiter);
	}
	buf_done(&entry->parts);
	buf_done(&entry->state);
	buf_done(&entry->op.list);
	mem_free(entry->results);
	mem_free(entry->views);
	mem_free(entry);
}

/* Bodies that cannot be read again stay: those of messages that are not durable yet. */
static void
cache_evict(struct cache *cache, const struct cache_entry *spared)
{
	struct cache_entry *entry = TAILQ_FIRST(&cache->lru), *next;

	for (; entry != NULL && cache->body_bytes > cache->max; entry = next) {
		next = TAILQ_NEXT(entry, lru);
		if (entry != spared && !entry->is_new)
			cache_drop_body(cache, entry);
	}
}

void
cache_put_body(struct cache *cache, struct cache_entry *entry, struct slice body)
{
	cache_drop_body(cache, entry);
	buf_init(&entry->body, 0);
	buf_add(&entry->body, body);
	entry->has_body = true;
	cache->body_bytes += body.len;
	TAILQ_INSERT_TAIL(&cache->lru, entry, lru);
	cache_evict(cache, entry);
}

void
cache_put_message(
	struct cache *cache, struct cache_entry *entry, const struct record_message *message)
{
	entry->content_length = message->content_length;
	entry->content_hash = message->content_hash;
	entry->dotted = (message->flags & RECORD_MESSAGE_DOTTED) != 0;
	entry->large = message->large;
	if (!entry->has_parts) {
		buf_init(&entry->parts, 0);
		buf_add(&entry->parts, message->envelope);
		buf_add(&entry->parts, message->recipients);
		buf_add(&entry->parts, message->head);
		buf_add(&entry->parts, message->parts);
		entry->envelope_len = message->envelope.len;
		entry->recipients_len = message->recipients.len;
		entry->head_len = message->head.len;
		entry->has_parts = true;
	}
	cache_put_body(cache, entry, message->body);
}

void
cache_touch(struct cache *cache, struct cache_entry *entry)
{
	TAILQ_REMOVE(&cache->lru, entry, lru);
	TAILQ_INSERT_TAIL(&cache->lru, entry, lru);
}

static void
cache_items_shrink(struct cache_items *items)
{
	struct cache_item *item;

	TAILQ_FOREACH (item, items, link) {
		CHECK(item->is_durable);
		buf_done(&item->payload);
		buf_init(&item->payload, 0);
		item->has_payload = false;
	}
}

void
cache_shrink(struct cache *cache, struct cache_entry *entry)
{
	cache_drop_body(cache, entry);
	buf_done(&entry->parts);
	buf_init(&entry->parts, 0);
	entry->has_parts = false;
	buf_done(&entry->state);
	buf_init(&entry->state, 0);
	entry->state_from = entry->brief_from = 0;
	mem_free(entry->results);
	entry->results = NULL;
	mem_free(entry->views);
	entry->views = NULL;
	cache_items_shrink(&entry->items);
	cache_items_shrink(&entry->unknowns);
}

/* --- items ---------------------------------------- */

static struct cache_item *
cache_item_new(uint16_t type, uint64_t lsn, uint16_t size)
{
	struct cache_item *item = MEM_NEW(struct cache_item);

	item->type = type;
	item->lsn = lsn;
	item->size = size;
	buf_init(&item->payload, 0);
	return item;
}

static void
cache_item_free(struct cache_item *item)
{
	buf_done(&item->payload);
	mem_free(item);
}

struct cache_item *
cache_item_add(struct cache_entry *entry, uint16_t type, uint64_t lsn, uint16_t size)
{
	struct cache_item *item = cache_item_new(type, lsn, size);

	TAILQ_INSERT_TAIL(&entry->items, item, link);
	return item;
}

void
cache_item_drop(struct cache_entry *entry, struct cache_item *item)
{
	TAILQ_REMOVE(&entry->items, item, link);
	cache_item_free(item);
}

struct cache_item *
cache_unknown_add(struct cache_entry *entry, uint16_t type, uint64_t lsn, uint16_t size)
{
	struct cache_item *item = cache_item_new(type, lsn, size);

	item->is_durable = true;
	TAILQ_INSERT_TAIL(&entry->unknowns, item, link);
	return item;
}

void
cache_unknown_drop(struct cache_entry *entry, struct cache_item *item)
{
	TAILQ_REMOVE(&entry->unknowns, item, link);
	cache_item_free(item);
}

static void
cache_view_unknowns(struct cache_entry *entry, struct store_view *view)
{
	const struct cache_item *item;
	size_t count = 0;

	TAILQ_FOREACH (item, &entry->unknowns, link)
		count++;
	mem_free(entry->views);
	entry->views = count > 0 ? mem_array(count, sizeof(*entry->views)) : NULL;
	view->unknowns = entry->views;
	TAILQ_FOREACH (item, &entry->unknowns, link)
		entry->views[view->unknown_count++] = (struct record){ .type = item->type,
			.flags = (uint16_t)item->flags,
			.payload = buf_slice(&item->payload) };
}

static void
cache_view_state(struct cache_entry *entry, struct store_view *view)
{
	const struct cache_item *item;
	size_t count = 0;

	TAILQ_FOREACH (item, &entry->items, link)
		count++;
	mem_free(entry->results);
	entry->results = count > 0 ? mem_array(count, sizeof(*entry->results)) : NULL;
	view->results = entry->results;
	TAILQ_FOREACH (item, &entry->items, link) {
		if (item->type == RECORD_RESULT) {
			entry->results[view->result_count++] = buf_slice(&item->payload);
			continue;
		}
		view->state = buf_slice(&item->payload);
		view->flags = item->flags;
		view->result_count = 0;
	}
}

void
cache_parts(const struct cache_entry *entry, struct record_message *ret_message)
{
	struct slice rest = buf_slice(&entry->parts);

	*ret_message = (struct record_message){ .envelope = slice_head(rest, entry->envelope_len) };
	rest = slice_from(rest, entry->envelope_len);
	ret_message->recipients = slice_head(rest, entry->recipients_len);
	rest = slice_from(rest, entry->recipients_len);
	ret_message->head = slice_head(rest, entry->head_len);
	ret_message->parts = slice_from(rest, entry->head_len);
}

void
cache_view(struct cache_entry *entry, uint32_t flags, struct store_view *ret_view)
{
	struct record_message parts;

	CHECK(entry->has_parts);
	cache_parts(entry, &parts);
	*ret_view = (struct store_view){
		.queue_id = entry->queue_id,
		.content_length = entry->content_length,
		.content_hash = entry->content_hash,
		.dotted = entry->dotted,
		.large = entry->large,
		.content_parts = parts.parts,
		.envelope = parts.envelope,
		.recipients = parts.recipients,
		.head = parts.head,
		.state = buf_slice(&entry->state),
		.flags = flags,
	};
	cache_view_state(entry, ret_view);
	cache_view_unknowns(entry, ret_view);
}
