/*
 * journal_rebuild.c - segments whose header was lost, in both copies (see journal_recovery.c)
 *
 * A header says what its batches say as well, but for two things. Its sequence follows from
 * where it lies between the others: segments of one size stand in the journal without gaps. The
 * cut, at which the batches in front of it end, is where the batch ends whose checksum its first
 * batch names as that of its predecessor. So the segment is read as if its header were there; it
 * is emptied at once and its file put aside, since no later start could do without all this.
 *
 * What does not fit in like that is no segment of this journal in force, or its beginning is
 * lost too: the file is put aside.
 */
#include "base/num.h"
#include "store/journal_priv.h"

/* The nearest segment of this journal in front of an LSN, or behind it; NULL: none. */
static const struct journal_found *
journal_rebuild_neighbour(const struct journal *journal, uint64_t base, bool is_behind)
{
	const struct journal_recovery *recovery = &journal->recovery;
	const struct journal_found *best = NULL;

	for (size_t i = 0; i < recovery->count; i++) {
		const struct journal_found *found = &recovery->found[i];
		bool is_nearer;

		if (!found->valid || (found->header.base > base) != is_behind
			|| memcmp(found->header.uuid, journal->uuid, RECORD_UUID_SIZE) != 0)
			continue;
		is_nearer = best == NULL
			    || (found->header.base < best->header.base) == is_behind;
		if (is_nearer)
			best = found;
	}
	return best;
}

/* Its number, from the distance to a neighbour, else from the beginning; 0: it does not fit. */
static uint64_t
journal_rebuild_sequence(
	const struct journal_found *before, const struct journal_found *behind, uint64_t base,
	uint64_t size)
{
	const struct journal_found *known = before != NULL ? before : behind;
	uint64_t distance, steps, sequence;

	if (known == NULL) /* no header at all is left */
		return size > 0 && base % size == 0 ? base / size + 1 : 0;
	if (known->header.size != size)
		return 0;
	distance = known == before ? base - known->header.base : known->header.base - base;
	steps = distance / size;
	if (distance % size != 0 || steps == 0)
		return 0;
	if (known == behind)
		return known->header.sequence > steps ? known->header.sequence - steps : 0;
	sequence = known->header.sequence + steps;
	if (behind != NULL && sequence >= behind->header.sequence)
		return 0;
	return sequence;
}

static bool
journal_rebuild_one(struct journal *journal, struct journal_found *found)
{
	uint64_t base = found->begin.lsn - found->begin_offset, size = found->file_size;
	const struct journal_found *before = journal_rebuild_neighbour(journal, base, false);
	const struct journal_found *behind = journal_rebuild_neighbour(journal, base, true);
	uint64_t sequence;

	/* A file that was appended to is as long as what lies in it. */
	if (journal->options.appends && size < journal->options.segment_size)
		size = journal->options.segment_size;
	sequence = journal_rebuild_sequence(before, behind, base, size);
	if (sequence == 0)
		return false;
	found->header = (struct segment_header) { .sequence = sequence,
		.base = base,
		.cut = base, /* journal_rebuild_ends() knows better */
		.first = found->begin.first,
		.size = size,
		.major = RECORD_FORMAT_MAJOR };
	memcpy(found->header.uuid, journal->uuid, RECORD_UUID_SIZE);
	found->begun_us = found->begin.wall_us;
	found->valid = found->is_rebuilt = segment_header_is_sane(&found->header);
	return found->valid;
}

void
journal_rebuild(struct journal *journal)
{
	struct journal_recovery *recovery = &journal->recovery;

	for (size_t i = 0; i < recovery->count; i++) {
		struct journal_found *found = &recovery->found[i];

		if (!found->is_orphan || found->valid)
			continue;
		if (journal_rebuild_one(journal, found))
			continue;
		journal_notice(journal,
			"journal: segment file %08u has batches, but its header is lost and it "
			"fits nowhere; put aside",
			(unsigned)found->slot);
		journal_spare_add(journal, found->slot, 0, JOURNAL_FATE_RETIRE);
	}
}

void
journal_rebuild_enforced(struct journal *journal, const struct journal_found *found)
{
	const struct segment_header *header = &found->header;

	if (!found->is_rebuilt)
		return;
	journal->is_damaged = true;
	journal->rebuilt_end = num_max_u64(journal->rebuilt_end, header->base + header->size);
	journal_distrust(journal, header->base);
	journal_notice(journal,
		"journal: damage: the header of segment file %08u is lost; it is read as segment "
		"%llu, and emptied",
		(unsigned)found->slot, (unsigned long long)header->sequence);
}

bool
journal_rebuild_ends(const struct journal_recovery *recovery, const struct batch_header *batch)
{
	size_t next = recovery->index + 1;

	return next < recovery->count && recovery->found[next].is_rebuilt
	       && recovery->found[next].begin.previous == batch->sum;
}
