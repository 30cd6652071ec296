/*
 * index.c - slots, linear hashing and the heap of due times (see index.h)
 */
#include "store/index.h"

#include "base/check.h"
#include "base/mem.h"

_Static_assert(sizeof(struct index_slot) == 48, "the memory of an idle message is promised");

/* --- words in chunks ---------------------------------------- */

static uint32_t *
index_word(const struct index_words *words, uint32_t at)
{
	return &words->chunks[at / INDEX_CHUNK][at % INDEX_CHUNK];
}

/* Makes the word at `at` exist; it is zero. */
static void
index_words_reach(struct index_words *words, uint32_t at)
{
	if (at / INDEX_CHUNK < words->chunk_count)
		return;
	words->chunks = mem_resize(words->chunks, words->chunk_count + 1, sizeof(*words->chunks));
	words->chunks[words->chunk_count++] = mem_array(INDEX_CHUNK, sizeof(uint32_t));
}

static void
index_words_done(struct index_words *words)
{
	for (uint32_t i = 0; i < words->chunk_count; i++)
		mem_free(words->chunks[i]);
	mem_free(words->chunks);
}

/* --- hashing ---------------------------------------- */

static uint64_t
index_hash(uint64_t key)
{
	key = (key ^ (key >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	key = (key ^ (key >> 27)) * UINT64_C(0x94d049bb133111eb);
	return key ^ (key >> 31);
}

/* The smallest power of two that is greater than the last bucket's number. */
static uint32_t
index_hash_span(uint32_t bucket_count)
{
	uint32_t span = 1;

	while (span < bucket_count)
		span *= 2;
	return span;
}

static uint32_t
index_bucket_of(const struct index *index, uint64_t queue_id)
{
	uint32_t span = index_hash_span(index->bucket_count);
	uint32_t bucket = (uint32_t)index_hash(queue_id) & (span - 1);

	return bucket < index->bucket_count ? bucket : bucket & (span / 2 - 1);
}

/* One bucket more: the messages of the one that it halves are parted. */
static void
index_split(struct index *index)
{
	uint32_t added = index->bucket_count, span, old, ref;

	index_words_reach(&index->buckets, added);
	index->bucket_count++;
	span = index_hash_span(index->bucket_count);
	old = added & (span / 2 - 1);
	ref = *index_word(&index->buckets, old);
	*index_word(&index->buckets, old) = 0;
	while (ref != 0) {
		struct index_slot *slot = index_slot(index, ref);
		uint32_t next = slot->hash_next;
		uint32_t *head = index_word(
			&index->buckets, index_bucket_of(index, slot->queue_id));

		slot->hash_next = *head;
		*head = ref;
		ref = next;
	}
}

uint32_t
index_find(const struct index *index, uint64_t queue_id)
{
	uint32_t ref = *index_word(&index->buckets, index_bucket_of(index, queue_id));

	while (ref != 0 && index_slot(index, ref)->queue_id != queue_id)
		ref = index_slot(index, ref)->hash_next;
	return ref;
}

/* --- slots ---------------------------------------- */

void
index_init(struct index *index)
{
	*index = (struct index){ .bucket_count = 1 };
	index_words_reach(&index->buckets, 0);
}

void
index_done(struct index *index)
{
	for (uint32_t i = 0; i < index->chunk_count; i++)
		mem_free(index->chunks[i]);
	mem_free(index->chunks);
	index_words_done(&index->buckets);
	index_words_done(&index->heap);
	*index = (struct index){ 0 };
}

struct index_slot *
index_slot(const struct index *index, uint32_t ref)
{
	CHECK(ref >= 1 && ref <= index->slot_count);
	return &index->chunks[(ref - 1) / INDEX_CHUNK][(ref - 1) % INDEX_CHUNK];
}

uint32_t
index_fingerprint(const struct index_slot *slot)
{
	return (uint32_t)(slot->fingerprint_high << 12 | slot->fingerprint_low);
}

void
index_set_fingerprint(struct index_slot *slot, uint32_t fingerprint)
{
	slot->fingerprint_low = fingerprint & 0xfff;
	slot->fingerprint_high = fingerprint >> 12 & 0xfff;
}

bool
index_is_used(const struct index *index, uint32_t ref)
{
	return ref >= 1 && ref <= index->slot_count && index_slot(index, ref)->is_used;
}

static uint32_t
index_take_free(struct index *index)
{
	uint32_t ref = index->free;

	if (ref != 0) {
		index->free = index_slot(index, ref)->hash_next;
		return ref;
	}
	CHECK(index->slot_count < UINT32_MAX);
	if (index->slot_count / INDEX_CHUNK == index->chunk_count) {
		index->chunks = mem_resize(
			index->chunks, index->chunk_count + 1, sizeof(*index->chunks));
		index->chunks[index->chunk_count++] =
			mem_array(INDEX_CHUNK, sizeof(struct index_slot));
	}
	return ++index->slot_count;
}

uint32_t
index_add(struct index *index, uint64_t queue_id)
{
	uint32_t ref, *head;
	struct index_slot *slot;

	CHECK(index_find(index, queue_id) == 0);
	ref = index_take_free(index);
	slot = index_slot(index, ref);
	head = index_word(&index->buckets, index_bucket_of(index, queue_id));
	*slot = (struct index_slot){ .queue_id = queue_id, .is_used = 1, .hash_next = *head };
	*head = ref;
	if (++index->count > index->bucket_count)
		index_split(index);
	return ref;
}

void
index_remove(struct index *index, uint32_t ref)
{
	struct index_slot *slot = index_slot(index, ref);
	uint32_t *link = index_word(&index->buckets, index_bucket_of(index, slot->queue_id));

	CHECK(slot->is_used);
	index_unschedule(index, ref);
	while (*link != ref)
		link = &index_slot(index, *link)->hash_next;
	*link = slot->hash_next;
	slot->is_used = 0;
	slot->hash_next = index->limbo;
	index->limbo = ref;
	index->count--;
}

void
index_settle(struct index *index)
{
	while (index->limbo != 0) {
		uint32_t ref = index->limbo;
		struct index_slot *slot = index_slot(index, ref);

		index->limbo = slot->hash_next;
		slot->hash_next = index->free;
		index->free = ref;
	}
}

uint32_t
index_next(const struct index *index, uint32_t ref)
{
	while (ref < index->slot_count)
		if (index_slot(index, ++ref)->is_used)
			return ref;
	return 0;
}

/* --- the heap ---------------------------------------- */

static bool
index_is_before(const struct index *index, uint32_t a, uint32_t b)
{
	const struct index_slot *x = index_slot(index, a), *y = index_slot(index, b);

	if (x->due_s != y->due_s)
		return x->due_s < y->due_s;
	if (x->arrival_us != y->arrival_us)
		return x->arrival_us < y->arrival_us;
	return x->queue_id < y->queue_id;
}

static void
index_heap_put(struct index *index, uint32_t at, uint32_t ref)
{
	*index_word(&index->heap, at) = ref;
	index_slot(index, ref)->heap_at = at + 1;
}

static void
index_heap_rise(struct index *index, uint32_t at, uint32_t ref)
{
	while (at > 0) {
		uint32_t parent = (at - 1) / 2, above = *index_word(&index->heap, parent);

		if (!index_is_before(index, ref, above))
			break;
		index_heap_put(index, at, above);
		at = parent;
	}
	index_heap_put(index, at, ref);
}

static void
index_heap_sink(struct index *index, uint32_t at, uint32_t ref)
{
	for (;;) {
		uint64_t child = 2 * (uint64_t)at + 1;
		uint32_t below;

		if (child >= index->heap_count)
			break;
		if (child + 1 < index->heap_count
			&& index_is_before(index, *index_word(&index->heap, (uint32_t)child + 1),
				*index_word(&index->heap, (uint32_t)child)))
			child++;
		below = *index_word(&index->heap, (uint32_t)child);
		if (!index_is_before(index, below, ref))
			break;
		index_heap_put(index, at, below);
		at = (uint32_t)child;
	}
	index_heap_put(index, at, ref);
}

void
index_schedule(struct index *index, uint32_t ref)
{
	index_unschedule(index, ref);
	index_words_reach(&index->heap, index->heap_count);
	index_heap_rise(index, index->heap_count++, ref);
}

void
index_unschedule(struct index *index, uint32_t ref)
{
	struct index_slot *slot = index_slot(index, ref);
	uint32_t at = slot->heap_at, last;

	if (at-- == 0)
		return;
	slot->heap_at = 0;
	last = *index_word(&index->heap, --index->heap_count);
	if (last == ref)
		return;
	index_heap_rise(index, at, last);
	index_heap_sink(index, index_slot(index, last)->heap_at - 1, last);
}

uint32_t
index_first(const struct index *index)
{
	return index->heap_count > 0 ? *index_word(&index->heap, 0) : 0;
}
