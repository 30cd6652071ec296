/*
 * journal_recovery.c - from the files on disk to the journal's end (see journal.h, docs/store.md)
 *
 * Recovery: list the files; make every one stable before a byte of it is believed (fsync: after a
 *        crash of the process the page cache may hold what the disk does not), and read past the
 *        cache
 *        (after a failed flush it shows, clean, what the disk never got); read the headers; *scan*
 *        the newest segment for its end, the greatest `first` and the named values; go on in a new
 *        segment whose cut binds all later recoveries. From here on appends are taken.
 * Killed at any point, it can be run again: it writes nothing before the new segment, which only
 * says what was found.
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

void
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

void
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

void
journal_recovery_start(struct journal *journal)
{
	journal->recovery.previous_sum = UINT64_MAX;
	journal_recovery_submit(journal, DISK_LIST, 0, 0, journal_recovery_listed);
}
