/*
 * summary.c - entries of the index: made of records, written and read (see summary.h)
 */
#include "store/summary.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/num.h"
#include "base/wire.h"

enum {
	SIZE_FINE = 32,
	SIZE_COARSE = 1024,
	SIZE_STEPS = 4096, /* of each kind */
	SIZE_FINE_MAX = (SIZE_STEPS - 1) * SIZE_FINE,
};

uint16_t
summary_size_pack(size_t bytes)
{
	size_t coarse = (bytes + SIZE_COARSE - 1) / SIZE_COARSE;

	if (bytes <= SIZE_FINE_MAX)
		return (uint16_t)((bytes + SIZE_FINE - 1) / SIZE_FINE);
	_Static_assert(SUMMARY_SIZE_LONG == 2 * SIZE_STEPS - 1, "the last step");
	return (uint16_t)num_min_u64(SIZE_STEPS + coarse - 1, SUMMARY_SIZE_LONG);
}

uint32_t
summary_size(uint16_t packed)
{
	return packed < SIZE_STEPS ? (uint32_t)packed * SIZE_FINE
				   : ((uint32_t)packed - SIZE_STEPS + 1) * SIZE_COARSE;
}

uint32_t
summary_due_seconds(uint64_t due_us)
{
	uint64_t seconds = due_us / US_PER_S + (due_us % US_PER_S != 0);

	return (uint32_t)num_min_u64(seconds, UINT32_MAX);
}

static unsigned
summary_of_message(const struct record *record, struct summary_entry *entries)
{
	struct record_message message;

	if (record_message_decode(record->payload, &message) < 0 || message.queue_id == 0)
		return 0;
	entries[0].queue_id = message.queue_id;
	entries[0].value = message.arrival_us;
	entries[0].due_s = message.flags >> RECORD_FINGERPRINT_AT;
	if (message.large == 0)
		return 1;
	entries[1] = (struct summary_entry) { .queue_id = message.queue_id,
		.lsn = entries[0].lsn,
		.value = message.large,
		.type = SUMMARY_LARGE };
	return 2;
}

static unsigned
summary_of_place(const struct record *record, struct summary_entry *entry)
{
	struct record_place place;

	if (record_place_decode(record->payload, &place) < 0)
		return 0;
	entry->queue_id = place.queue_id;
	entry->value = place.state_lsn;
	entry->due_s = place.due_s;
	entry->size = place.size;
	entry->flags = (uint8_t)place.flags;
	return 1;
}

static unsigned
summary_of_state(const struct record *record, struct summary_entry *entry)
{
	struct record_state state;

	if (record_state_decode(record->payload, &state) < 0)
		return 0;
	entry->queue_id = state.queue_id;
	entry->due_s = summary_due_seconds(state.due_us);
	entry->flags = (uint8_t)state.flags;
	return 1;
}

/* For the index it is a STATE. */
static unsigned
summary_of_brief(const struct record *record, struct summary_entry *entry)
{
	struct record_brief brief;

	if (record_brief_decode(record->payload, &brief) < 0)
		return 0;
	entry->type = RECORD_STATE;
	entry->queue_id = brief.queue_id;
	entry->due_s = brief.due_s;
	entry->flags = brief.flags;
	return 1;
}

/* It belongs to a message, whatever it says. */
static unsigned
summary_of_unknown(const struct record *record, struct summary_entry *entry)
{
	entry->queue_id = record_unknown_owner(record);
	entry->value = record->type;
	entry->type = SUMMARY_UNKNOWN;
	entry->flags = (uint8_t)record->flags;
	return entry->queue_id != 0;
}

unsigned
summary_of_record(
	uint64_t lsn, const struct record *record, struct summary_entry entries[SUMMARY_PER_RECORD])
{
	entries[0] = (struct summary_entry) { .lsn = lsn,
		.type = (uint8_t)record->type,
		.size = summary_size_pack(record_size(record->payload.len)) };
	switch (record->type) {
	case RECORD_MESSAGE:
		return summary_of_message(record, entries);
	case RECORD_PLACE:
		return summary_of_place(record, entries);
	case RECORD_BRIEF:
		return summary_of_brief(record, entries);
	case RECORD_STATE:
	case RECORD_RESULT:
	case RECORD_DONE:
		return summary_of_state(record, entries);
	default:
		return summary_of_unknown(record, entries);
	}
}

void
summary_put(struct buf *buf, const struct summary_entry *entry)
{
	uint8_t bytes[SUMMARY_ENTRY];

	wire_store_u64(bytes, entry->queue_id);
	wire_store_u64(bytes + 8, entry->lsn);
	wire_store_u64(bytes + 16, entry->value);
	wire_store_u32(bytes + 24, entry->due_s);
	wire_store_u16(bytes + 28, entry->size);
	bytes[30] = entry->type;
	bytes[31] = entry->flags;
	buf_add(buf, slice_make(bytes, sizeof(bytes)));
}

enum err
summary_next(struct slice *rest, struct summary_entry *ret_entry)
{
	const uint8_t *at = rest->ptr;

	if (rest->len == 0)
		return ERR_NOTFOUND;
	if (rest->len < SUMMARY_ENTRY)
		return ERR_SYNTAX;
	*ret_entry = (struct summary_entry) { .queue_id = wire_load_u64(at),
		.lsn = wire_load_u64(at + 8),
		.value = wire_load_u64(at + 16),
		.due_s = wire_load_u32(at + 24),
		.size = wire_load_u16(at + 28),
		.type = at[30],
		.flags = at[31] };
	*rest = slice_from(*rest, SUMMARY_ENTRY);
	return ERR_OK;
}
