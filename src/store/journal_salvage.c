/*
 * journal_salvage.c - bytes of the journal that cannot be read: kept, reported, and what is whole
 * in them delivered (see journal_recovery.c)
 *
 * Damage is what had been durable. What lies behind the end never was: a torn batch, of which no
 * client was told; it is kept as well, so that nothing is cut off silently, and then the new
 * segment's cut makes all later recoveries pass it by.
 */
#include "base/mem.h"
#include "base/num.h"
#include "store/journal_priv.h"

#include <stdio.h>

static void
journal_salvage_saved(void *ctx, struct disk_op *op)
{
	struct journal *journal = ctx;

	if (op->err < 0)
		journal_notice(journal, "journal: corrupt/%s cannot be kept: %s; its segment is",
			op->name, err_meaning(op->err));
	buf_done(&op->list);
	mem_free(op);
}

/* Damage: the bytes are kept, what can be read of the records is delivered, the rest is reported.
 */
void
journal_salvage_report(struct journal *journal, const struct segment_header *header,
	struct slice bytes, uint64_t lsn, uint64_t end)
{
	struct disk_op *op = mem_new(sizeof(*op) + bytes.len);
	uint8_t *copy = (uint8_t *)(op + 1);

	journal_recovery_mark(journal, end); /* the file may be too short for it */
	journal_distrust(journal, header->base);
	journal_notice(journal,
		"journal: damage at LSN %llu (segment %llu): %zu bytes that had been durable "
		"cannot be "
		"read, kept as corrupt/damage-%016llx",
		(unsigned long long)lsn, (unsigned long long)header->sequence, bytes.len,
		(unsigned long long)lsn);
	memcpy(copy, bytes.ptr, bytes.len);
	op->kind = DISK_SAVE;
	op->bytes = slice_make(copy, bytes.len);
	(void)snprintf(op->name, sizeof(op->name), "damage-%016llx", (unsigned long long)lsn);
	op->done = journal_salvage_saved;
	op->ctx = journal;
	disk_submit(journal->options.disk, op);
}

/* --- behind the end ---------------------------------------- */

static bool
journal_tail_is_zero(struct slice block)
{
	return block.ptr[0] == 0 && memcmp(block.ptr, block.ptr + 1, block.len - 1) == 0;
}

/*
 * How far the bytes at `offset` can be of this life of the file. One that was blank has no others.
 * Of one that may not have been, only the batch that its own header proves: without that nothing
 * tells a torn batch from what lay there.
 */
static uint64_t
journal_tail_limit(const struct segment_header *header, struct slice segment, uint64_t offset)
{
	struct batch_header batch;

	if ((header->features_may & RECORD_FEATURE_BLANK) != 0)
		return segment.len;
	if (!batch_peek(slice_from(segment, offset), &batch)
		|| batch.lsn != header->base + offset)
		return offset;
	return num_min_u64(offset + batch.length, segment.len);
}

void
journal_salvage_tail(struct journal *journal, const struct segment_header *header,
	struct slice segment, uint64_t offset)
{
	struct journal_recovery *recovery = &journal->recovery;
	uint64_t limit, from = 0, end = 0;

	segment = slice_head(segment, segment.len / RECORD_BLOCK * RECORD_BLOCK);
	if (offset >= segment.len || journal_plant_is_on(journal, JOURNAL_PLANT_DROP_TAIL))
		return;
	limit = journal_tail_limit(header, segment, offset);
	recovery->tail_count = 0;
	for (uint64_t at = offset; at < limit; at += RECORD_BLOCK) {
		if (journal_tail_is_zero(slice_head(slice_from(segment, at), RECORD_BLOCK)))
			continue;
		from = end == 0 ? at : from;
		end = at + RECORD_BLOCK;
		recovery->tail_count += RECORD_BLOCK;
	}
	recovery->tail_lsn = header->base + from;
	buf_clear(&recovery->tail);
	buf_add(&recovery->tail, slice_head(slice_from(segment, from), end - from));
}

static void
journal_salvage_tail_saved(void *ctx, struct disk_op *op)
{
	struct journal *journal = ctx;
	struct journal_recovery *recovery = &journal->recovery;

	journal_notice(journal,
		"journal: %llu bytes from LSN %llu on, behind the end, were never acknowledged; "
		"%s corrupt/%s",
		(unsigned long long)recovery->tail_count, (unsigned long long)recovery->tail_lsn,
		op->err < 0 ? "they cannot be kept as" : "kept as", op->name);
	buf_done(&recovery->tail);
	buf_init(&recovery->tail, 0);
	mem_free(op);
	journal_writer_start(journal, journal->recovered_end);
}

void
journal_salvage_tail_save(struct journal *journal)
{
	struct journal_recovery *recovery = &journal->recovery;
	struct disk_op *op;

	if (recovery->tail.len == 0) {
		journal_writer_start(journal, journal->recovered_end);
		return;
	}
	op = MEM_NEW(struct disk_op);
	op->kind = DISK_SAVE;
	op->bytes = buf_slice(&recovery->tail);
	(void)snprintf(op->name, sizeof(op->name), "tail-%016llx",
		(unsigned long long)recovery->tail_lsn);
	op->done = journal_salvage_tail_saved;
	op->ctx = journal;
	disk_submit(journal->options.disk, op);
}

/* --- records of damaged batches ---------------------------------------- */

static void
journal_salvage_broken(struct journal *journal, uint64_t lsn, struct slice record)
{
	if (!journal->recovery.is_scanning && journal->options.callbacks->broken != NULL
		&& lsn >= journal->recovery.from)
		journal->options.callbacks->broken(journal->options.ctx, lsn, record);
}

/*
 * A damaged batch: every record of it that is whole. Where one is not, its length may be what is
 * wrong, so it ends where as many whole records as there must still be reach exactly to the end;
 * nothing that somebody wrote into a message can look like that beside them.
 */
static void
journal_salvage_batch(struct journal *journal, struct slice batch, uint64_t lsn)
{
	struct batch_header header = { 0 };
	struct slice rest = slice_from(batch, RECORD_BATCH_HEADER);
	uint32_t seen = 0;

	(void)batch_peek(batch, &header);
	while (rest.len > 0) {
		struct slice before = rest;
		size_t at = batch.len - rest.len, own = 0;
		struct record record;
		enum err err = record_next(&rest, &record);

		seen++;
		if (err == ERR_OK) {
			journal_recovery_one(journal, lsn + at, &record);
			continue;
		}
		if (header.used > at && seen < header.count)
			own = record_resync(
				slice_head(before, header.used - at), header.count - seen);
		if (own > 0)
			rest = slice_from(before, own);
		else
			own = err == ERR_CORRUPT ? before.len - rest.len : before.len;
		journal_salvage_broken(journal, lsn + at, slice_head(before, own));
		if (own == before.len)
			break;
	}
}

/* What can be read of batches that are damaged. */
void
journal_salvage(struct journal *journal, struct slice bytes, uint64_t lsn)
{
	while (bytes.len > RECORD_BATCH_HEADER) {
		struct batch_header header = { 0 }, next = { 0 };
		size_t own = bytes.len;

		if (batch_peek(bytes, &header)
			&& batch_peek(slice_from(bytes, header.length), &next)
			&& next.lsn == lsn + header.length)
			own = header.length;
		journal_salvage_batch(
			journal, slice_head(bytes, num_min_u64(own, RECORD_BATCH_MAX)), lsn);
		bytes = slice_from(bytes, own);
		lsn += own;
	}
}

