/*
 * journal_room.c - room of the file system, where segments are appended (see journal.h)
 *
 * A copy-on-write file system gives an overwritten block a new place, so a file that was written
 * before reserves nothing. There the reserve is free space: it is looked at once a second while
 * something is written or room is short, and what the store has written since is taken off. New
 * mail leaves three segments of it. Results leave one for the cleaner, which so can always empty
 * the oldest segment, and what they have written by then is most of what it finds dead. Others may
 * take that space, so a write may find none; that is a fault as any other, and ends when there is
 * some again.
 */
#include "base/check.h"
#include "base/num.h"
#include "store/journal_priv.h"

#define JOURNAL_ROOM_LOOK_NS (1 * NS_PER_S)

/* For headers and the batches that let an old segment go: nobody else may take them. */
enum { JOURNAL_ROOM_LAST = 16 * RECORD_BLOCK };

/* Whole segments that can be written besides the rest of the newest one. */
static uint32_t
journal_room_segments(const struct journal *journal)
{
	const struct journal_segment *newest = journal_newest(journal);
	uint64_t rest = newest != NULL ? newest->base + newest->size - newest->end : 0;
	uint64_t free = journal->room.free_bytes;

	if (!journal->room.is_known)
		return UINT32_MAX;
	free = free > rest ? free - rest : 0;
	return (uint32_t)num_min_u64(free / journal->options.segment_size, UINT32_MAX);
}

uint32_t
journal_room_cap(const struct journal *journal, uint32_t count)
{
	return (uint32_t)num_min_u64(count, journal_room_segments(journal));
}

bool
journal_has_room(const struct journal *journal)
{
	return journal_room_segments(journal) > journal_reserve(journal, JOURNAL_NEW_MAIL);
}

bool
journal_can_copy(const struct journal *journal, uint64_t bytes)
{
	return !journal->room.is_known || journal->room.free_bytes >= bytes + JOURNAL_ROOM_LAST;
}

bool
journal_room_permits(const struct journal *journal, enum journal_class class, size_t bytes)
{
	if (!journal->room.is_known)
		return true;
	if (class == JOURNAL_NEW_MAIL)
		return journal_has_room(journal);
	if (class == JOURNAL_RESULT)
		bytes += journal->options.segment_size;
	return journal_can_copy(journal, bytes);
}

void
journal_spend(struct journal *journal, uint64_t bytes)
{
	struct journal_room *room = &journal->room;

	room->is_stale = true;
	room->free_bytes -= num_min_u64(room->free_bytes, bytes);
}

static void
journal_room_came(void *ctx, struct disk_op *op)
{
	struct journal *journal = ctx;
	struct journal_room *room = &journal->room;

	room->is_looking = false;
	if (op->err < 0)
		return;
	room->is_known = !journal_plant_is_on(journal, JOURNAL_PLANT_NO_RESERVE);
	room->free_bytes = op->length;
}

static bool
journal_room_wants(const struct journal *journal)
{
	const struct journal_room *room = &journal->room;

	return journal->options.appends && journal->state == JOURNAL_OPEN && !room->is_looking
	       && (!room->is_known || room->is_stale || !journal_has_room(journal));
}

void
journal_room_step(struct journal *journal)
{
	struct journal_room *room = &journal->room;

	if (!journal_room_wants(journal) || journal->now.mono.ns < room->next.ns)
		return;
	room->op =
		(struct disk_op) { .kind = DISK_SPACE, .done = journal_room_came, .ctx = journal };
	room->is_looking = true;
	room->is_stale = false;
	room->next = mono_add_ns(journal->now.mono, JOURNAL_ROOM_LOOK_NS);
	disk_submit(journal->options.disk, &room->op);
}

uint64_t
journal_room_due_ns(const struct journal *journal)
{
	return journal_room_wants(journal) ? journal->room.next.ns : UINT64_MAX;
}
