/*
 * journal_salvage.c - bytes of the journal that cannot be read: kept, reported, and what is whole
 * in them delivered (see journal_recovery.c)
 */
#include "base/mem.h"
#include "base/num.h"
#include "store/journal_priv.h"

#include <stdio.h>

static void
journal_salvage_saved(void *ctx, struct disk_op *op)
{
	(void)ctx;
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
	disk_submit(journal->options.disk, op);
}

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

