/*
 * journal_scan.c - which batches of a segment count, and what their records say
 *
 * A batch counts only as the successor of exactly the one before it. Where one does not, it is
 * *damage* if anything later proves that it had been durable, else a *torn tail*, which is normal
 * after power loss.
 */
#include "base/check.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/wire.h"
#include "store/journal_priv.h"

/* LSN at which the batches of a segment end at the latest. */
uint64_t
journal_recovery_limit(const struct journal_recovery *recovery, size_t index)
{
	const struct segment_header *header = &recovery->found[index].header;
	uint64_t limit = header->base + header->size;

	for (size_t i = index + 1; i < recovery->count; i++)
		limit = num_min_u64(limit, recovery->found[i].header.cut);
	return limit;
}

/* A crash behind its header, or a second one: a later cut may lie in front of all of it. */
bool
journal_recovery_has_batches(const struct journal_recovery *recovery, size_t index)
{
	return journal_recovery_limit(recovery, index)
	       > recovery->found[index].header.base + RECORD_BLOCK;
}

/* A batch that is whole and stands where it says; it need not be the successor of anything. */
static bool
journal_batch_at(const struct journal *journal, struct slice segment,
	const struct segment_header *header, uint64_t offset, struct batch_header *ret_batch)
{
	return batch_decode(slice_from(segment, offset), ret_batch) == ERR_OK
	       && (ret_batch->lsn == header->base + offset
		       || journal_plant_is_on(journal, JOURNAL_PLANT_NO_EPOCH))
	       && offset + ret_batch->length <= header->size;
}

/*
 * A segment has one writer. What bears another epoch is none of its batches: somebody may have put
 * it into a message, whose bytes lie where a batch was torn.
 */
static bool
journal_recovery_is_ours(const struct journal *journal, const struct batch_header *batch)
{
	const struct journal_recovery *recovery = &journal->recovery;

	return !recovery->has_writer || batch->epoch == recovery->writer
	       || journal_plant_is_on(journal, JOURNAL_PLANT_NO_EPOCH);
}

/* Whether something behind `offset` proves that the batch there had been durable. */
static bool
journal_recovery_proven(
	struct journal *journal, struct slice segment, uint64_t offset, uint64_t *ret_next)
{
	struct journal_recovery *recovery = &journal->recovery;
	const struct segment_header *header = &recovery->found[recovery->index].header;
	uint64_t limit = journal_recovery_limit(recovery, recovery->index) - header->base;
	bool proven = recovery->index + 1 < recovery->count && offset < limit;

	if (journal_plant_is_on(journal, JOURNAL_PLANT_TAIL_IS_TORN))
		return false;
	*ret_next = limit;
	/* A header may claim more than the file has. */
	limit = num_min_u64(limit, segment.len);
	for (uint64_t at = offset + RECORD_BLOCK; at < limit; at += RECORD_BLOCK) {
		struct batch_header batch;

		if (!journal_batch_at(journal, segment, header, at, &batch)
			|| !journal_recovery_is_ours(journal, &batch))
			continue;
		if (batch.durable > header->base + offset)
			proven = true;
		if (proven) {
			*ret_next = at;
			recovery->previous_sum = batch.previous;
			return true;
		}
	}
	if (proven) /* what the next segment begins with follows something that is lost */
		recovery->previous_sum = UINT64_MAX;
	return proven;
}

static void
journal_recovery_node(struct journal *journal, const struct record *record)
{
	const struct journal_recovery *recovery = &journal->recovery;
	struct record_node node;

	if (record_node_decode(record->payload, &node) == ERR_OK && node.key.len > 0)
		journal_node_remember(journal, node.key, node.value,
			recovery->found[recovery->index].header.sequence);
}

/* Tells the owner of the journal what is new to it. */
void
journal_recovery_entry(struct journal *journal, const struct summary_entry *entry)
{
	if (entry->lsn >= journal->recovery.from)
		journal->options.callbacks->entry(journal->options.ctx, entry);
}

static void
journal_recovery_record(struct journal *journal, uint64_t lsn, const struct record *record)
{
	struct summary_entry entries[SUMMARY_PER_RECORD];
	unsigned count = summary_of_record(lsn, record, entries);

	for (unsigned i = 0; i < count; i++)
		journal_recovery_entry(journal, &entries[i]);
	if (count == 0 && record_is_of_message(record->type))
		journal_notice(journal,
			"journal: the record at LSN %llu (%u, of a message) is whole, but not what "
			"this release knows; left out",
			(unsigned long long)lsn, (unsigned)record->type);
	if (count == 0 && !record_is_known(record->type)
		&& (record->flags & RECORD_CRITICAL) != 0)
		journal_notice(journal,
			"journal: the record at LSN %llu is of a kind (%u) that this release must "
			"know and does not, and belongs to no message; left out",
			(unsigned long long)lsn, (unsigned)record->type);
}

void
journal_recovery_one(struct journal *journal, uint64_t lsn, const struct record *record)
{
	if (journal->recovery.is_scanning && record->type == RECORD_NODE)
		journal_recovery_node(journal, record);
	else if (!journal->recovery.is_scanning)
		journal_recovery_record(journal, lsn, record);
}

/* Every record of a batch that is whole. */
static void
journal_recovery_records(struct journal *journal, struct slice batch, uint64_t lsn, uint32_t used)
{
	struct slice rest = slice_from(slice_head(batch, used), RECORD_BATCH_HEADER);

	while (rest.len > 0) {
		uint64_t at = lsn + used - rest.len;
		struct record record;
		enum err err = record_next(&rest, &record);

		if (err == ERR_CORRUPT)
			continue;
		if (err < 0)
			break;
		journal_recovery_one(journal, at, &record);
	}
}

/* The next batch in order at `offset`, or not. */
static bool
journal_recovery_is_next(struct journal *journal, struct slice segment, uint64_t offset,
	struct batch_header *ret_batch)
{
	struct journal_recovery *recovery = &journal->recovery;
	const struct segment_header *header = &recovery->found[recovery->index].header;

	if (!journal_batch_at(journal, segment, header, offset, ret_batch)
		|| !journal_recovery_is_ours(journal, ret_batch))
		return false;
	return recovery->previous_sum == UINT64_MAX
	       || ret_batch->previous == recovery->previous_sum;
}

static void
journal_recovery_take(struct journal *journal, struct slice segment, uint64_t offset,
	const struct batch_header *batch)
{
	struct journal_recovery *recovery = &journal->recovery;
	struct slice bytes = slice_head(slice_from(segment, offset), batch->length);

	recovery->previous_sum = batch->sum;
	recovery->has_writer = true;
	recovery->writer = batch->epoch;
	recovery->end = batch->lsn + batch->length;
	if (batch->wall_us > journal->wall_us)
		journal->wall_us = batch->wall_us;
	if (recovery->is_scanning && batch->first > journal->durable_first)
		journal->durable_first = batch->first;
	journal_recovery_records(journal, bytes, batch->lsn, batch->used);
}

/* Planted bug: believes the records of a batch that is not whole. */
static void
journal_recovery_torn(struct journal *journal, struct slice segment, uint64_t offset, uint64_t lsn)
{
	if (!journal->recovery.is_scanning
		&& journal_plant_is_on(journal, JOURNAL_PLANT_TORN_BATCH))
		journal_salvage(journal, slice_from(segment, offset), lsn);
}

/* The end of a segment that no header behind it names. */
static void
journal_recovery_cut(struct journal *journal, uint64_t base)
{
	struct journal_segment *segment = journal_segment_of(journal, base);

	if (segment != NULL)
		segment->end = journal->recovery.end;
}

/* What can be read of it counts: in a scan the named values, in replay all else. */
static void
journal_recovery_damage(
	struct journal *journal, struct slice segment, uint64_t offset, uint64_t end)
{
	const struct journal_recovery *recovery = &journal->recovery;
	const struct segment_header *header = &recovery->found[recovery->index].header;
	struct slice bytes = slice_head(slice_from(segment, offset), (size_t)(end - offset));

	if (!recovery->is_scanning)
		journal_salvage_report(
			journal, header, bytes, header->base + offset, header->base + end);
	journal_salvage(journal, bytes, header->base + offset);
}

/* All batches of one segment; returns whether the newest was found to be closed. */
bool
journal_recovery_segment(struct journal *journal, struct slice segment)
{
	struct journal_recovery *recovery = &journal->recovery;
	const struct segment_header *header = &recovery->found[recovery->index].header;
	uint64_t limit = journal_recovery_limit(recovery, recovery->index), offset = RECORD_BLOCK;

	recovery->has_writer = header->epoch != 0;
	recovery->writer = header->epoch;
	while (header->base + offset < limit) {
		struct batch_header batch;
		uint64_t next;

		if (journal_recovery_is_next(journal, segment, offset, &batch)) {
			if ((batch.flags & BATCH_LAST) != 0)
				return true;
			recovery->has_begun |= offset == RECORD_BLOCK;
			journal_recovery_take(journal, segment, offset, &batch);
			offset += batch.length;
			if (journal_rebuild_ends(recovery, &batch)) {
				journal_recovery_cut(journal, header->base);
				return false;
			}
			continue;
		}
		journal_recovery_torn(journal, segment, offset, header->base + offset);
		if (!journal_recovery_proven(journal, segment, offset, &next))
			return false;
		journal_recovery_damage(journal, segment, offset, next);
		recovery->end = header->base + next;
		offset = next;
	}
	return false;
}
