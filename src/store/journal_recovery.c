/*
 * journal_recovery.c - what the disk holds becomes entries again (see journal.h, docs/store.md)
 *
 * Recovery: list the files; make every one stable before a byte of it is believed (fsync: after a
 *        crash of the process the page cache may hold what the disk does not), and read past the
 *        cache
 *        (after a failed flush it shows, clean, what the disk never got); read the headers; *scan*
 *        the newest segment for its end, the greatest `first` and the named values; go on in a new
 *        segment whose cut binds all later recoveries. From here on appends are taken.
 * Replay: the segments in force in order, beside new mail: a closed one by its footer, which the
 *        block behind its batches names; one without, or with a damaged one, record by record.
 * Killed at any point, it can be run again: it writes nothing before the new segment, which only
 * says what was found.
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

#include <stdio.h>
#include <stdlib.h>

/* What is read of a file without a header: it is blank, or has lost its beginning. */
enum { JOURNAL_PROBE = 64 * RECORD_BLOCK };

static void journal_recovery_header(struct journal *journal);
static void journal_recovery_sync(struct journal *journal);
static void journal_recovery_read(struct journal *journal);
static void journal_replay_next(struct journal *journal);

static void
journal_recovery_submit(struct journal *journal, enum disk_op_kind kind, uint64_t offset,
	uint64_t length, disk_done_fn *done)
{
	struct journal_recovery *recovery = &journal->recovery;
	struct disk_op *op = &journal->read_op;
	struct buf list = op->list;

	buf_clear(&list);
	*op = (struct disk_op) { .kind = kind,
		.offset = offset,
		.length = length,
		.list = list,
		.done = done,
		.ctx = journal,
		.direct = !journal_plant_is_on(journal, JOURNAL_PLANT_CACHED_READ) };
	if (recovery->index < recovery->count)
		op->slot = recovery->found[recovery->index].slot;
	disk_submit(journal->options.disk, op);
}

void
journal_recovery_done(struct journal *journal)
{
	buf_done(&journal->recovery.tail);
	buf_init(&journal->recovery.tail, 0);
	mem_free(journal->recovery.found);
	journal->recovery.found = NULL;
	journal->recovery.count = 0;
}

static void
journal_recovery_fail(struct journal *journal, enum err err, const struct fault *fault)
{
	journal_recovery_done(journal);
	journal->state = JOURNAL_CLOSED;
	journal->options.callbacks->opened(journal->options.ctx, err, fault);
}

/* --- files and headers ------------------------------------------------------------------------ */

static void
journal_recovery_listed(void *ctx, struct disk_op *op)
{
	struct journal *journal = ctx;
	struct journal_recovery *recovery = &journal->recovery;
	struct wire_reader reader = wire_reader(buf_slice(&op->list));

	if (op->err < 0) {
		journal_recovery_fail(journal, op->err, NULL);
		return;
	}
	recovery->found = mem_array(op->list.len / 12 + 1, sizeof(*recovery->found));
	while (reader.rest.len > 0 && !reader.failed) {
		struct journal_found *found = &recovery->found[recovery->count++];

		found->slot = wire_get_u32(&reader);
		found->file_size = wire_get_u64(&reader);
		if (found->slot >= journal->slot_next)
			journal->slot_next = found->slot + 1;
	}
	recovery->index = 0;
	journal_recovery_sync(journal);
}

static void
journal_recovery_spare(struct journal *journal, const struct journal_found *found)
{
	journal_spare_free(journal, found->slot, 0, found->file_size);
}

/* A batch in block `block` that no header, or an older one, leaves room for. */
static bool
journal_recovery_orphan_at(struct journal *journal, struct journal_found *found, bool has_header,
	struct slice bytes, uint64_t block)
{
	struct journal_recovery *recovery = &journal->recovery;
	struct batch_header batch = { 0 };
	enum err err = batch_decode(slice_from(bytes, block * RECORD_BLOCK), &batch);

	if ((err != ERR_OK && err != ERR_SYNTAX)
		|| (has_header && batch.lsn == found->header.base + RECORD_BLOCK))
		return false;
	if (!has_header && block > 0 && batch.lsn % RECORD_BLOCK == 0
		&& batch.lsn >= block * RECORD_BLOCK) {
		found->is_orphan = true;
		found->begin = batch;
		found->begin_offset = block * RECORD_BLOCK;
	}
	if (batch.lsn > recovery->orphan_lsn && batch.lsn % RECORD_BLOCK == 0) {
		recovery->orphan_lsn = batch.lsn;
		recovery->orphan_end = batch.lsn - block * RECORD_BLOCK
				       + num_max_u64(found->file_size,
					       journal->options.segment_size);
		recovery->orphan_slot = found->slot;
	}
	return true;
}

/*
 * Whether the header was lost behind our back: the first batch is there, or lies where the header
 * was. The greatest LSN is kept, to be compared with where the journal seems to end.
 */
static bool
journal_recovery_is_orphan(struct journal *journal, struct journal_found *found,
	bool has_header, struct slice bytes)
{
	bool is_first = journal_recovery_orphan_at(journal, found, has_header, bytes, 1);

	/* Its beginning may be lost as well. */
	for (uint64_t at = 2; !has_header && !is_first && at < bytes.len / RECORD_BLOCK; at++)
		is_first = journal_recovery_orphan_at(journal, found, false, bytes, at);
	return (!has_header && journal_recovery_orphan_at(journal, found, false, bytes, 0))
	       || is_first;
}

/* For its age only, so that it need not verify. */
static void
journal_recovery_note_begin(struct journal_found *found, struct slice bytes)
{
	struct batch_header batch;

	if (batch_peek(slice_from(bytes, RECORD_BLOCK), &batch)
		&& batch.lsn == found->header.base + RECORD_BLOCK)
		found->begun_us = batch.wall_us;
}

static void
journal_recovery_header_read(void *ctx, struct disk_op *op)
{
	struct journal *journal = ctx;
	struct journal_recovery *recovery = &journal->recovery;
	struct journal_found *found = &recovery->found[recovery->index];
	struct fault fault;
	enum err err = op->err;
	bool is_orphan = false;

	if (err == ERR_OK) {
		err = segment_header_decode(buf_slice(&op->list), &found->header, &fault);
		is_orphan = journal_recovery_is_orphan(
			journal, found, err == ERR_OK, buf_slice(&op->list));
	} else
		(void)fault_set(&fault, err, "%s", err_meaning(err));
	if (err == ERR_NOTFOUND && !is_orphan && op->length < JOURNAL_PROBE
		&& found->file_size > op->length) {
		journal_recovery_submit(journal, DISK_READ, 0,
			num_min_u64(JOURNAL_PROBE, found->file_size), journal_recovery_header_read);
		return;
	}
	if (err == ERR_VERSION) {
		journal_recovery_fail(journal, err, &fault);
		return;
	}
	found->valid = err == ERR_OK;
	if (found->valid)
		journal_recovery_note_begin(found, buf_slice(&op->list));
	if (err == ERR_OK && found->header.generation > journal->generation)
		journal->generation = found->header.generation;
	if (err == ERR_NOTFOUND && is_orphan && !found->is_orphan)
		journal_spare_add(journal, found->slot, 0, JOURNAL_FATE_RETIRE);
	else if (err == ERR_NOTFOUND && !is_orphan)
		journal_recovery_spare(journal, found);
	journal->is_damaged |= err < 0 && err != ERR_NOTFOUND;
	if (err < 0 && err != ERR_NOTFOUND && !found->is_orphan)
		journal_notice(journal, "journal: segment file %08u: %s; left alone",
			(unsigned)found->slot, fault.text);
	recovery->index++;
	journal_recovery_header(journal);
}

static int
journal_found_compare(const void *a, const void *b)
{
	const struct journal_found *x = a, *y = b;

	if (x->header.sequence != y->header.sequence)
		return x->header.sequence < y->header.sequence ? -1 : 1;
	return x->header.generation < y->header.generation ? 1 : -1;
}

/* The journal is the one whose name most files bear; others are foreign. */
static void
journal_recovery_pick_uuid(struct journal *journal)
{
	struct journal_recovery *recovery = &journal->recovery;
	size_t best = 0;

	memcpy(journal->uuid, journal->options.uuid, RECORD_UUID_SIZE);
	for (size_t i = 0; i < recovery->count; i++) {
		const uint8_t *uuid = recovery->found[i].header.uuid;
		size_t same = 0;

		for (size_t j = 0; j < recovery->count && recovery->found[i].valid; j++)
			same += recovery->found[j].valid
				&& memcmp(recovery->found[j].header.uuid, uuid, RECORD_UUID_SIZE)
					   == 0;
		if (same > best) {
			best = same;
			memcpy(journal->uuid, uuid, RECORD_UUID_SIZE);
		}
	}
}

/* Keeps the valid segments of this journal, sorted; of two with one sequence the younger file. */
static void
journal_recovery_sort(struct journal *journal)
{
	struct journal_recovery *recovery = &journal->recovery;
	size_t kept = 0;

	journal_recovery_pick_uuid(journal);
	journal_rebuild(journal);
	for (size_t i = 0; i < recovery->count; i++) {
		struct journal_found *found = &recovery->found[i];

		if (!found->valid)
			continue;
		if (memcmp(found->header.uuid, journal->uuid, RECORD_UUID_SIZE) != 0)
			journal_notice(journal,
				"journal: segment file %08u belongs to another journal; left alone",
				(unsigned)found->slot);
		else
			recovery->found[kept++] = *found;
	}
	qsort(recovery->found, kept, sizeof(*recovery->found), journal_found_compare);
	recovery->count = kept;
	for (size_t i = 1; i < recovery->count; i++)
		if (recovery->found[i].header.sequence == recovery->found[i - 1].header.sequence) {
			journal_recovery_spare(journal, &recovery->found[i]);
			memmove(&recovery->found[i], &recovery->found[i + 1],
				(recovery->count - i - 1) * sizeof(*recovery->found));
			recovery->count--;
			i--;
		}
}

void
journal_recovery_mark(struct journal *journal, uint64_t end)
{
	journal->is_damaged = true;
	journal->damage_end = num_max_u64(journal->damage_end, end);
}

/*
 * What was behind the newest segment and is lost: it is told before anything is written, and
 * neither its number nor its place is used again, so that a gap is there for all later recoveries.
 */
static void
journal_recovery_check_newest(struct journal *journal)
{
	const struct journal_recovery *recovery = &journal->recovery;
	const struct journal_segment *newest = journal_newest(journal);

	if (recovery->is_closed) {
		journal->base_next = newest->base + 2 * newest->size;
		journal_notice(journal, "journal: the segment after %llu is missing",
			(unsigned long long)newest->sequence);
	} else if (recovery->orphan_lsn > num_align_u64(journal->recovered_end, RECORD_BLOCK)) {
		journal->base_next = recovery->orphan_end;
		journal_notice(journal,
			"journal: damage: segment file %08u holds batches from "
			"LSN %llu on, but its header is lost",
			(unsigned)recovery->orphan_slot, (unsigned long long)recovery->orphan_lsn);
	} else {
		return;
	}
	journal->sequence++;
	journal_recovery_mark(journal, journal->base_next);
}

static void
journal_recovery_header(struct journal *journal)
{
	struct journal_recovery *recovery = &journal->recovery;

	if (recovery->index < recovery->count) {
		journal_recovery_submit(
			journal, DISK_READ, 0, 2 * RECORD_BLOCK, journal_recovery_header_read);
		return;
	}
	journal_recovery_sort(journal);
	if (recovery->count == 0) {
		journal_recovery_check_newest(journal);
		journal_format_begin(journal);
		journal_writer_start(journal, 0);
		return;
	}
	recovery->newest = recovery->index = recovery->count - 1;
	recovery->is_scanning = recovery->is_replaying = true;
	journal->durable_first = recovery->found[recovery->newest].header.first;
	journal_recovery_read(journal);
}

static void
journal_recovery_synced(void *ctx, struct disk_op *op)
{
	struct journal *journal = ctx;

	if (op->err < 0) {
		journal_recovery_fail(journal, op->err, NULL);
		return;
	}
	journal->recovery.index++;
	journal_recovery_sync(journal);
}

static void
journal_recovery_sync(struct journal *journal)
{
	struct journal_recovery *recovery = &journal->recovery;

	if (recovery->index < recovery->count
		&& !journal_plant_is_on(journal, JOURNAL_PLANT_NO_SYNC)) {
		journal_recovery_submit(journal, DISK_SYNC, 0, 0, journal_recovery_synced);
		return;
	}
	recovery->index = 0;
	journal_recovery_header(journal);
}

/* --- batches ---------------------------------------------------------------------------------- */

/* LSN at which the batches of a segment end at the latest. */
static uint64_t
journal_recovery_limit(const struct journal_recovery *recovery, size_t index)
{
	const struct segment_header *header = &recovery->found[index].header;
	uint64_t limit = header->base + header->size;

	for (size_t i = index + 1; i < recovery->count; i++)
		limit = num_min_u64(limit, recovery->found[i].header.cut);
	return limit;
}

/* A crash behind its header, or a second one: a later cut may lie in front of all of it. */
static bool
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
static void
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
static bool
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

/* --- the end of recovery ---------------------------------------------------------------------- */

/* The oldest segment in force is where `first` says, or it is missing. */
static void
journal_recovery_check_oldest(struct journal *journal)
{
	const struct journal_recovery *recovery = &journal->recovery;
	const struct segment_header *header = &recovery->found[recovery->oldest].header;

	if (header->base <= journal->durable_first)
		return;
	journal_recovery_mark(journal, header->base);
	journal_notice(journal, "journal: segments before %llu are missing, from LSN %llu on",
		(unsigned long long)header->sequence, (unsigned long long)journal->durable_first);
}

/* Segments below `first` are out of force whatever they hold: their files are spares. */
static void
journal_recovery_drop_old(struct journal *journal)
{
	struct journal_recovery *recovery = &journal->recovery;

	recovery->oldest = 0;
	while (recovery->oldest < recovery->newest
		&& recovery->found[recovery->oldest].header.base < journal->durable_first)
		journal_recovery_spare(journal, &recovery->found[recovery->oldest++]);
	journal_recovery_check_oldest(journal);
	for (size_t i = recovery->oldest + 1; i <= recovery->newest; i++) {
		uint64_t before = recovery->found[i - 1].header.sequence;
		uint64_t after = recovery->found[i].header.sequence;

		if (after == before + 1)
			continue;
		journal_recovery_mark(journal, recovery->found[i].header.base);
		journal_notice(journal, "journal: segments %llu to %llu are missing",
			(unsigned long long)before + 1, (unsigned long long)after - 1);
	}
}

/* Two files claim the same place in the journal: only what is whole can be told from the other. */
static bool
journal_recovery_overlaps(const struct journal_recovery *recovery, size_t at)
{
	const struct segment_header *before, *header = &recovery->found[at].header;

	if (at == recovery->oldest)
		return false;
	before = &recovery->found[at - 1].header;
	return header->base < before->base + before->size;
}

static void
journal_recovery_enforce(struct journal *journal)
{
	struct journal_recovery *recovery = &journal->recovery;

	for (size_t i = recovery->oldest; i <= recovery->newest; i++) {
		const struct journal_found *found = &recovery->found[i];
		struct journal_segment *segment;

		if (journal_recovery_overlaps(recovery, i)) {
			struct fault fault;

			(void)fault_set(&fault, ERR_CORRUPT,
				"segments %llu and %llu lie at the same place of the journal",
				(unsigned long long)found[-1].header.sequence,
				(unsigned long long)found->header.sequence);
			journal_recovery_fail(journal, ERR_CORRUPT, &fault);
			return;
		}
		segment = MEM_NEW(struct journal_segment);
		*segment = (struct journal_segment) { .sequence = found->header.sequence,
			.base = found->header.base,
			.size = found->header.size,
			.file_size = found->file_size,
			.end = journal_recovery_limit(recovery, i),
			.generation = found->header.generation,
			.begun_us = found->begun_us,
			.slot = found->slot };
		buf_init(&segment->footer, 0);
		journal_segment_add(journal, segment);
		journal_rebuild_enforced(journal, found);
		journal_format_seen(journal, found->header.minor);
	}
	journal_format_recovered(journal);
}

/* The journal ends behind the last accepted batch; the new segment cuts off what lies beyond. */
static void
journal_recovery_finish(struct journal *journal)
{
	struct journal_recovery *recovery = &journal->recovery;
	struct journal_segment *newest;
	struct fault fault;

	recovery->is_scanning = false;
	journal_recovery_drop_old(journal);
	journal_recovery_enforce(journal);
	if (journal->state != JOURNAL_RECOVERING)
		return;
	if (journal_nodes_size(journal) > journal_nodes_max(journal)) {
		(void)fault_set(&fault, ERR_LIMIT,
			"the journal has named values of %zu bytes, this release takes %zu",
			journal_nodes_size(journal), journal_nodes_max(journal));
		journal_recovery_fail(journal, ERR_LIMIT, &fault);
		return;
	}
	newest = journal_newest(journal);
	newest->end = num_max_u64(recovery->scanned_end, newest->base);
	journal->sequence = newest->sequence;
	journal->durable = journal->recovered_end = recovery->scanned_end;
	journal->previous_sum = recovery->scanned_sum == UINT64_MAX ? 0 : recovery->scanned_sum;
	journal_recovery_check_newest(journal);
	buf_done(&journal->read_op.list);
	journal_salvage_tail_save(journal);
}

static void
journal_recovery_scanned(struct journal *journal, struct slice segment)
{
	struct journal_recovery *recovery = &journal->recovery;
	bool is_newest = recovery->index == recovery->newest, is_closed;

	recovery->previous_sum = UINT64_MAX;
	recovery->has_begun = false;
	recovery->end = 0;
	is_closed = journal_recovery_segment(journal, segment);
	if (is_newest)
		recovery->is_closed = is_closed;
	if (is_newest && !is_closed) {
		const struct segment_header *header = &recovery->found[recovery->index].header;
		uint64_t end = num_max_u64(recovery->end, header->base + RECORD_BLOCK);

		journal_salvage_tail(journal, header, segment, end - header->base);
	}
	if (recovery->scanned_end == 0 && recovery->end != 0) {
		recovery->scanned_end = recovery->end;
		recovery->scanned_sum = recovery->previous_sum;
	}
	if (!recovery->has_begun && recovery->index > 0
		&& recovery->found[recovery->index - 1].header.base >= journal->durable_first) {
		recovery->index--; /* its end or its values are in an older one */
		journal_recovery_read(journal);
		return;
	}
	if (recovery->scanned_end == 0) {
		recovery->scanned_end = recovery->found[recovery->newest].header.base;
		recovery->scanned_sum = UINT64_MAX;
	}
	journal_recovery_finish(journal);
}

/* --- replay ----------------------------------------------------------------------------------- */

static void
journal_replay_end(struct journal *journal)
{
	struct journal_recovery *recovery = &journal->recovery;

	recovery->is_replaying = false;
	buf_done(&journal->read_op.list); /* as large as a segment, and not needed again */
	journal_recovery_done(journal);
	journal->options.callbacks->replayed(journal->options.ctx);
}

static void
journal_recovery_segment_read(void *ctx, struct disk_op *op)
{
	struct journal *journal = ctx;
	struct journal_recovery *recovery = &journal->recovery;
	struct slice segment = buf_slice(&op->list);

	if (op->err < 0 && recovery->is_scanning) {
		journal_recovery_fail(journal, op->err, NULL);
		return;
	}
	if (recovery->is_scanning) {
		journal_recovery_scanned(journal, segment);
		return;
	}
	if (op->err < 0) {
		const struct segment_header *header = &recovery->found[recovery->index].header;

		journal_recovery_mark(journal, header->base + header->size);
		journal_distrust(journal, header->base);
		journal_notice(journal,
			"journal: damage at LSN %llu: segment "
			"%llu cannot be read: %s",
			(unsigned long long)header->base, (unsigned long long)header->sequence,
			err_meaning(op->err));
	} else {
		(void)journal_recovery_segment(journal, segment);
	}
	if (op->err < 0)
		recovery->previous_sum = UINT64_MAX;
	recovery->index++;
	journal_replay_next(journal);
}

static void
journal_recovery_read(struct journal *journal)
{
	const struct journal_found *found = &journal->recovery.found[journal->recovery.index];
	uint64_t length = num_min_u64(found->header.size, found->file_size);

	/* Not what the header claims: the file says how much there can be. */
	if (!journal->recovery.is_scanning)
		length = num_min_u64(length,
			num_align_u64(
				journal_recovery_limit(&journal->recovery, journal->recovery.index)
					- found->header.base,
				RECORD_BLOCK));
	journal_recovery_submit(journal, DISK_READ, 0, length, journal_recovery_segment_read);
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
static void
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

void
journal_recovery_start(struct journal *journal)
{
	journal->recovery.previous_sum = UINT64_MAX;
	journal_recovery_submit(journal, DISK_LIST, 0, 0, journal_recovery_listed);
}
