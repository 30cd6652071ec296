/*
 * journal_replay.c - what was in the journal before is told as entries (see journal.h)
 *
 * The segments in force in order, beside new mail: a closed one by its footer, which the block
 * behind its batches names; one without, or with a damaged one, record by record.
 */
#include "base/num.h"
#include "base/wire.h"
#include "store/journal_priv.h"

static void
journal_replay_end(struct journal *journal)
{
	struct journal_recovery *recovery = &journal->recovery;

	recovery->is_replaying = false;
	buf_done(&journal->read_op.list); /* as large as a segment, and not needed again */
	journal_recovery_done(journal);
	journal->options.callbacks->replayed(journal->options.ctx);
}

/* A batch of a footer holds one FOOTER record, made of whole entries. */
static bool
journal_footer_is_one(struct slice bytes, const struct batch_header *batch)
{
	struct slice rest = slice_from(slice_head(bytes, batch->used), RECORD_BATCH_HEADER);
	struct record record;

	return record_next(&rest, &record) == ERR_OK && rest.len == 0
	       && record.type == RECORD_FOOTER && record.payload.len % SUMMARY_ENTRY == 0;
}

/* Whether the bytes of a footer are whole batches one behind the other, up to its end. */
static bool
journal_footer_is_whole(const struct journal *journal, struct slice bytes)
{
	const struct journal_recovery *recovery = &journal->recovery;
	uint64_t lsn = recovery->footer, sum = 0;

	if (journal_plant_is_on(journal, JOURNAL_PLANT_TRUST_FOOTER))
		return true;
	while (bytes.len > 0) {
		struct batch_header batch;

		if (batch_decode(bytes, &batch) < 0 || batch.lsn != lsn
			|| batch.epoch != recovery->epoch || !journal_footer_is_one(bytes, &batch)
			|| (lsn != recovery->footer && batch.previous != sum))
			return false;
		sum = batch.sum;
		lsn += batch.length;
		bytes = slice_from(bytes, batch.length);
	}
	return lsn == recovery->limit && sum == recovery->footer_sum;
}

static void
journal_footer_entries(struct journal *journal, struct slice bytes)
{
	while (bytes.len >= RECORD_BATCH_HEADER + RECORD_HEADER) {
		uint32_t length = wire_load_u32(bytes.ptr + 24),
			 used = wire_load_u32(bytes.ptr + 28);
		struct slice rest = slice_from(slice_head(bytes, used), RECORD_BATCH_HEADER);
		struct summary_entry entry;
		struct record record;

		if (journal_plant_is_on(journal, JOURNAL_PLANT_TRUST_FOOTER)
			&& rest.len > RECORD_HEADER) {
			record.payload = slice_head(
				slice_from(rest, RECORD_HEADER), wire_load_u32(rest.ptr + 4));
			while (summary_next(&record.payload, &entry) == ERR_OK)
				journal_recovery_entry(journal, &entry);
		} else if (record_next(&rest, &record) == ERR_OK && record.type == RECORD_FOOTER)
			while (summary_next(&record.payload, &entry) == ERR_OK)
				journal_recovery_entry(journal, &entry);
		bytes = slice_from(bytes, length == 0 ? bytes.len : length);
	}
}

static void
journal_footer_read(void *ctx, struct disk_op *op)
{
	struct journal *journal = ctx;
	struct journal_recovery *recovery = &journal->recovery;
	struct slice bytes = buf_slice(&op->list);

	if (op->err < 0 || !journal_footer_is_whole(journal, bytes)) {
		journal_notice(journal,
			"journal: the footer of segment %llu cannot be read; "
			"its records are read instead",
			(unsigned long long)recovery->found[recovery->index].header.sequence);
		journal_recovery_read(journal);
		return;
	}
	journal_footer_entries(journal, bytes);
	recovery->previous_sum = recovery->footer_sum;
	recovery->index++;
	journal_replay_next(journal);
}

/* The block behind a segment's batches: it names the footer, if it is a closing batch. */
static void
journal_closing_read(void *ctx, struct disk_op *op)
{
	struct journal *journal = ctx;
	struct journal_recovery *recovery = &journal->recovery;
	const struct segment_header *header = &recovery->found[recovery->index].header;
	struct batch_header closing;

	if (op->err < 0 || batch_decode(buf_slice(&op->list), &closing) < 0
		|| (closing.flags & BATCH_LAST) == 0 || closing.lsn != recovery->limit
		|| closing.footer < header->base + RECORD_BLOCK
		|| closing.footer >= recovery->limit) {
		journal_recovery_read(journal);
		return;
	}
	recovery->footer = closing.footer;
	recovery->epoch = closing.epoch;
	recovery->footer_sum = closing.previous;
	journal_recovery_submit(journal, DISK_READ, recovery->footer - header->base,
		recovery->limit - recovery->footer, journal_footer_read);
}

/* The next segment, by its footer if it can have one; from the oldest on. */
void
journal_replay_next(struct journal *journal)
{
	struct journal_recovery *recovery = &journal->recovery;

	while (recovery->index <= recovery->newest
		&& (journal_recovery_limit(recovery, recovery->index) <= recovery->from
			|| journal->recovered_end <= recovery->from
			|| !journal_recovery_has_batches(recovery, recovery->index))) {
		if (journal_recovery_has_batches(recovery, recovery->index))
			recovery->previous_sum = UINT64_MAX;
		recovery->index++;
	}
	if (recovery->index > recovery->newest) {
		journal_replay_end(journal);
		return;
	}
	if (recovery->index > recovery->oldest
		&& recovery->found[recovery->index].header.sequence
			   != recovery->found[recovery->index - 1].header.sequence + 1)
		recovery->previous_sum = UINT64_MAX; /* one between them is missing */
	recovery->limit = journal_recovery_limit(recovery, recovery->index);
	if (recovery->index == recovery->newest || journal->options.reads_all
		|| recovery->limit >= recovery->found[recovery->index].header.base
					      + recovery->found[recovery->index].header.size) {
		journal_recovery_read(journal);
		return;
	}
	journal_recovery_submit(journal, DISK_READ,
		recovery->limit - recovery->found[recovery->index].header.base, RECORD_BLOCK,
		journal_closing_read);
}

void
journal_replay(struct journal *journal, uint64_t from)
{
	struct journal_recovery *recovery = &journal->recovery;

	if (recovery->count == 0) {
		journal_replay_end(journal);
		return;
	}
	recovery->from = from;
	recovery->index = recovery->oldest;
	recovery->previous_sum = UINT64_MAX;
	journal_replay_next(journal);
}
