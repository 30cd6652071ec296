/* sched_table.c - destinations by name: open addressing, linear probing (sched_priv.h) */
#include "base/check.h"
#include "base/mem.h"
#include "sched/sched_priv.h"

enum { CAP_MIN = 16 };

static size_t
home_of(const struct dest_table *table, uint64_t hash)
{
	return (size_t)hash & (table->cap - 1);
}

static size_t
next_to(const struct dest_table *table, size_t at)
{
	return (at + 1) & (table->cap - 1);
}

struct sched_destination *
dest_table_find(const struct dest_table *table, uint64_t hash, struct slice name)
{
	const struct dest_slot *slot;

	if (table->cap == 0)
		return NULL;
	for (size_t at = home_of(table, hash);; at = next_to(table, at)) {
		slot = &table->slots[at];
		if (slot->destination == NULL)
			return NULL;
		if (slot->hash == hash && slice_equal(dest_name(slot->destination), name))
			return slot->destination;
	}
}

static void
place(struct dest_table *table, struct dest_slot slot)
{
	size_t at = home_of(table, slot.hash);

	while (table->slots[at].destination != NULL)
		at = next_to(table, at);
	table->slots[at] = slot;
}

/* At most three quarters are in use. */
static void
make_room(struct dest_table *table)
{
	struct dest_table old = *table;

	if (4 * (table->count + 1) <= 3 * table->cap)
		return;
	table->cap = old.cap == 0 ? CAP_MIN : old.cap * 2;
	table->slots = mem_array(table->cap, sizeof(*table->slots));
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i].destination != NULL)
			place(table, old.slots[i]);
	mem_free(old.slots);
}

void
dest_table_add(struct dest_table *table, struct sched_destination *destination)
{
	make_room(table);
	place(table, (struct dest_slot){ destination->hash, destination });
	table->count++;
}

/* Those behind it move up, so that no search ends at the gap. */
void
dest_table_remove(struct dest_table *table, const struct sched_destination *destination)
{
	size_t gap = home_of(table, destination->hash), at;

	while (table->slots[gap].destination != destination) {
		CHECK(table->slots[gap].destination != NULL);
		gap = next_to(table, gap);
	}
	for (at = next_to(table, gap); table->slots[at].destination != NULL;
		at = next_to(table, at)) {
		size_t wanted = home_of(table, table->slots[at].hash);

		/* It may not stand before its home. */
		if (((at - wanted) & (table->cap - 1)) < ((at - gap) & (table->cap - 1)))
			continue;
		table->slots[gap] = table->slots[at];
		gap = at;
	}
	table->slots[gap].destination = NULL;
	table->count--;
}

void
dest_table_done(struct dest_table *table)
{
	mem_free(table->slots);
	*table = (struct dest_table){ 0 };
}
