/*
 * tails.c - see tails.h
 */
#include "store/tails.h"

#include "base/check.h"
#include "base/mem.h"

#include <string.h>

static void
tails_drop(struct tails *tails, struct tail *tail)
{
	HASH_DELETE(hh, tails->table, tail);
	tails->size -= sizeof(*tail) + tail->len;
	mem_free(tail);
}

void
tails_clear(struct tails *tails)
{
	struct tail *tail, *next;

	HASH_ITER(hh, tails->table, tail, next)
	tails_drop(tails, tail);
	CHECK(tails->size == 0);
}

static struct tail *
tails_find(struct tails *tails, struct slice end)
{
	struct tail *tail;

	HASH_FIND(hh, tails->table, end.ptr, end.len, tail);
	return tail;
}

const struct tail *
tails_use(struct tails *tails, uint64_t segment, struct slice end)
{
	struct tail *tail = segment == tails->segment ? tails_find(tails, end) : NULL;

	if (tail == NULL || tail->uses == TAILS_USES_MAX)
		return NULL;
	tail->uses++;
	return tail;
}

void
tails_put(struct tails *tails, uint64_t segment, struct slice end, uint32_t place)
{
	struct tail *tail;

	CHECK(end.len > 0);
	if (segment != tails->segment || tails->size > TAILS_BYTES_MAX)
		tails_clear(tails);
	tails->segment = segment;
	tail = tails_find(tails, end);
	if (tail != NULL)
		tails_drop(tails, tail);
	tail = mem_new(sizeof(*tail) + end.len);
	tail->place = place;
	tail->len = end.len;
	memcpy(tail->bytes, end.ptr, end.len);
	tails->size += sizeof(*tail) + end.len;
	HASH_ADD_KEYPTR(hh, tails->table, tail->bytes, tail->len, tail);
}
