/*
 * journal_space.c - segments in force, spare files, how large the log grows (see journal.h)
 *
 * The log may grow at ease up to JOURNAL_GROW_PERCENT of the live bytes, so that cleaning copies
 * little; beyond that only as far as the reserve needs it. Files that are spare while the log is
 * larger than
 * JOURNAL_SHRINK_PERCENT are removed. Where segments are appended a spare is an empty file, and
 * counts only as far as the file system has room (journal_room.c).
 */
#include "base/check.h"
#include "base/mem.h"
#include "base/num.h"
#include "store/journal_priv.h"

#include <errno.h>

#define JOURNAL_PREPARE_RETRY_MIN_NS (1 * NS_PER_S)
#define JOURNAL_PREPARE_RETRY_MAX_NS (30 * NS_PER_S)

/* --- segments in force ------------------------------------------------------------------------ */

struct journal_segment *
journal_newest(const struct journal *journal)
{
	return TAILQ_LAST(&journal->segments, journal_segments);
}

void
journal_segment_add(struct journal *journal, struct journal_segment *segment)
{
	CHECK(journal->table_count == 0
		|| journal->table[journal->table_count - 1]->base < segment->base);
	if (journal->table_count == journal->table_room) {
		journal->table_room += 64 + journal->table_room / 2;
		journal->table = mem_resize(
			journal->table, journal->table_room, sizeof(struct journal_segment *));
	}
	journal->table[journal->table_count++] = segment;
	TAILQ_INSERT_TAIL(&journal->segments, segment, link);
}

void
journal_segment_drop(struct journal *journal, struct journal_segment *segment)
{
	journal->table_count--;
	if (segment == journal->table[0])
		memmove(journal->table, journal->table + 1,
			journal->table_count * sizeof(struct journal_segment *));
	else
		CHECK(segment == journal->table[journal->table_count]);
	TAILQ_REMOVE(&journal->segments, segment, link);
	buf_done(&segment->footer);
	mem_free(segment);
}

struct journal_segment *
journal_segment_of(const struct journal *journal, uint64_t lsn)
{
	size_t low = 0, high = journal->table_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (journal->table[middle]->base <= lsn)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || lsn - journal->table[low - 1]->base >= journal->table[low - 1]->size)
		return NULL;
	return journal->table[low - 1];
}

uint64_t
journal_first(const struct journal *journal)
{
	const struct journal_segment *oldest = TAILQ_FIRST(&journal->segments);

	CHECK(oldest != NULL);
	return oldest->base;
}

/* --- spare files ------------------------------------------------------------------------------ */

void
journal_spare_add(
	struct journal *journal, uint32_t slot, uint64_t first_needed, enum journal_fate fate)
{
	struct journal_spare *spare = MEM_NEW(struct journal_spare);

	spare->slot = slot;
	spare->size = journal->options.segment_size;
	spare->fate = fate;
	spare->has_old = fate == JOURNAL_FATE_REUSE && journal_zeroes(journal);
	spare->first_needed = first_needed;
	TAILQ_INSERT_TAIL(&journal->spares, spare, link);
}

void
journal_spare_free(
	struct journal *journal, uint32_t slot, uint64_t first_needed, uint64_t file_size)
{
	bool fits = file_size
		    == (journal->options.appends ? 0 : journal->options.segment_size);
	struct journal_spare *spare;

	journal_spare_add(
		journal, slot, first_needed, fits ? JOURNAL_FATE_REUSE : JOURNAL_FATE_REMOVE);
	spare = TAILQ_LAST(&journal->spares, journal_spares);
	spare->size = file_size;
	spare->is_blank = fits && file_size == 0;
	spare->has_old = journal_zeroes(journal);
}

static bool
journal_spare_may_go(const struct journal *journal, const struct journal_spare *spare)
{
	return spare->first_needed <= journal->durable_first
	       || journal_plant_is_on(journal, JOURNAL_PLANT_EARLY_REUSE);
}

static bool
journal_spare_is_ready(const struct journal *journal, const struct journal_spare *spare)
{
	return spare->fate == JOURNAL_FATE_REUSE && !spare->has_old
	       && journal_spare_may_go(journal, spare);
}

struct journal_spare *
journal_spare_ready(const struct journal *journal)
{
	struct journal_spare *spare;

	TAILQ_FOREACH(spare, &journal->spares, link)
	if (journal_spare_is_ready(journal, spare))
		return spare;
	return NULL;
}

static uint32_t
journal_spare_count(const struct journal *journal)
{
	const struct journal_spare *spare;
	uint32_t count = 0;

	TAILQ_FOREACH(spare, &journal->spares, link)
	count += journal_spare_is_ready(journal, spare);
	return journal_room_cap(journal, count);
}

/* How many files there may be. */
static uint64_t
journal_files_max(const struct journal *journal)
{
	return journal->options.size_max / journal->options.segment_size;
}

static uint64_t
journal_files(const struct journal *journal)
{
	const struct journal_spare *spare;
	uint64_t count = journal->table_count + journal->preparing + journal->dropping;

	TAILQ_FOREACH(spare, &journal->spares, link)
	count++;
	return count;
}

uint32_t
journal_reserve(const struct journal *journal, enum journal_class class)
{
	uint64_t scaled = num_min_u64(journal_files_max(journal) / 4, JOURNAL_RESERVE);

	if (class == JOURNAL_RESULT)
		return 0;
	return class == JOURNAL_CLEANING ? scaled > 1 : (uint32_t)scaled;
}

struct journal_spare *
journal_spare_for(const struct journal *journal, enum journal_class class)
{
	/* Where segments are appended results and copies need no whole one: journal_room_permits().
	 */
	bool is_any = journal->options.appends && class != JOURNAL_NEW_MAIL;

	if (!is_any && journal_spare_count(journal) <= journal_reserve(journal, class))
		return NULL;
	return journal_spare_ready(journal);
}

static uint64_t
journal_percent_of_live(const struct journal *journal, uint64_t percent)
{
	uint64_t bytes = journal->live_bytes / 100 * percent;

	return num_min_u64(
		num_max_u64(bytes, journal->options.size_min), journal->options.size_max);
}

static uint32_t
journal_spares_wanted(const struct journal *journal)
{
	uint64_t wanted = num_max_u64(JOURNAL_SPARES_MIN, journal->table_count / 50);

	return (uint32_t)num_min_u64(wanted,
		journal_reserve(journal, JOURNAL_NEW_MAIL) + journal_files_max(journal) / 8);
}

/* What is left of the newest segment, and the free ones that new mail may have. */
static uint64_t
journal_room(const struct journal *journal)
{
	const struct journal_segment *newest = journal_newest(journal);
	uint32_t spares = journal_spare_count(journal);
	uint32_t reserve = journal_reserve(journal, JOURNAL_NEW_MAIL);
	uint64_t free = spares > reserve ? spares - reserve : 0;

	return free * journal->options.segment_size
	       + (newest != NULL ? newest->base + newest->size - newest->end : 0);
}

/* What is being prepared, or waits for a durable `first`, counts as room: it is there in a moment.
 */
void
journal_space(const struct journal *journal, struct journal_space *ret_space)
{
	uint64_t size = journal->options.segment_size, files = journal_files(journal);
	uint64_t more = journal_files_max(journal), coming;
	const struct journal_spare *spare;

	coming = journal->preparing && journal->prepare_fate == JOURNAL_FATE_REUSE;
	more = more > files ? more - files : 0;
	TAILQ_FOREACH(spare, &journal->spares, link)
	coming += spare->fate == JOURNAL_FATE_REUSE;
	*ret_space = (struct journal_space) {
		.used_bytes = journal->table_count * size,
		.file_bytes = (journal->options.appends ? journal->table_count : files) * size,
		.target_bytes = journal_percent_of_live(journal, JOURNAL_GROW_PERCENT),
		.max_bytes = journal->options.size_max,
		.free_segments = journal_spare_count(journal),
		.room_bytes = journal_room(journal),
		.wanted_segments = journal_spares_wanted(journal),
		.is_short = journal->prepare_retry_ns > 0 || !journal_has_room(journal),
		.appends = journal->options.appends,
	};
	ret_space->accepts_mail = journal->state == JOURNAL_OPEN && journal_has_room(journal)
				  && coming + more > journal_reserve(journal, JOURNAL_NEW_MAIL);
}

/* --- preparing, recycling, removing ----------------------------------------------------------- */

/* The number of a file that is not there any more. */
static void
journal_slot_free(struct journal *journal, uint32_t slot)
{
	if (journal->slots_free_count < JOURNAL_SLOTS_FREE)
		journal->slots_free[journal->slots_free_count++] = slot;
}

/* Said once, and once when it is over. */
static void
journal_prepare_failed(struct journal *journal, const struct disk_op *op)
{
	bool first_time = journal->prepare_retry_ns == 0;

	journal->prepare_retry_ns = first_time
		? JOURNAL_PREPARE_RETRY_MIN_NS
		: num_min_u64(2 * journal->prepare_retry_ns, JOURNAL_PREPARE_RETRY_MAX_NS);
	if (first_time)
		journal_notice(journal,
			"journal: cannot %s segment %08u: %s; tried again until it works",
			op->kind == DISK_ZERO ? "zero" : "prepare", (unsigned)op->slot,
			op->sys_errno != 0 ? strerrordesc_np(op->sys_errno) : err_meaning(op->err));
	/* What could not be removed again keeps its number. */
	if (op->kind == DISK_PREPARE && op->sys_errno != EEXIST)
		journal_slot_free(journal, op->slot);
}

static void
journal_prepare_done(void *ctx, struct disk_op *op)
{
	struct journal *journal = ctx;

	journal->preparing = false;
	if (op->err < 0 && op->kind == DISK_ZERO) /* it goes; a new one takes its place */
		journal_spare_add(journal, op->slot, 0, JOURNAL_FATE_REMOVE);
	if (op->err == ERR_OK && journal->prepare_fate != JOURNAL_FATE_REUSE) {
		/* It was zeroed, to be removed. */
		journal_spare_add(journal, op->slot, 0, JOURNAL_FATE_REMOVE);
		return;
	}
	if (op->err == ERR_OK) {
		if (journal->prepare_retry_ns > 0)
			journal_notice(journal, "journal: segments can be prepared again");
		journal->prepare_retry_ns = 0;
		journal_spare_add(journal, op->slot, 0, JOURNAL_FATE_REUSE);
		TAILQ_LAST(&journal->spares, journal_spares)->has_old = false;
		TAILQ_LAST(&journal->spares, journal_spares)->is_blank = true;
		if (journal->state != JOURNAL_FAULTED)
			journal->retry_at.ns = 0;
		if (journal->state == JOURNAL_RECOVERING)
			journal_writer_start(journal, journal->recovered_end);
		return;
	}
	journal_prepare_failed(journal, op);
	if (journal->state == JOURNAL_RECOVERING && op->kind == DISK_ZERO) {
		journal_prepare(journal);
	} else if (journal->state == JOURNAL_RECOVERING) {
		journal->state = JOURNAL_CLOSED;
		journal->options.callbacks->opened(journal->options.ctx, op->err, NULL);
	} else {
		journal->retry_at = mono_add_ns(journal->now.mono, journal->prepare_retry_ns);
	}
}

/* Whether a segment may be written with pauses: new mail does not come to its end meanwhile. */
static bool
journal_has_time(const struct journal *journal)
{
	return journal_room(journal) >= journal->options.segment_size / 4 * 3;
}

static void
journal_prepare_slot(struct journal *journal, enum disk_op_kind kind, uint32_t slot,
	uint64_t length, enum journal_fate fate)
{
	struct disk_op *op = &journal->prepare_op;

	*op = (struct disk_op) { .kind = kind,
		.slot = slot,
		.length = length,
		.calm = journal_has_time(journal),
		.done = journal_prepare_done,
		.ctx = journal };
	journal->preparing = true;
	journal->prepare_fate = fate;
	disk_submit(journal->options.disk, op);
}

/* A file that may be used again, or removed, is zeroed, if that is wanted and one is there. */
static bool
journal_zero(struct journal *journal, enum journal_fate fate)
{
	struct journal_spare *spare;

	TAILQ_FOREACH(spare, &journal->spares, link)
	if (spare->has_old && spare->fate == fate && journal_spare_may_go(journal, spare))
		break;
	if (spare == NULL)
		return false;
	journal_prepare_slot(journal, DISK_ZERO, spare->slot, spare->size, fate);
	TAILQ_REMOVE(&journal->spares, spare, link);
	mem_free(spare);
	return true;
}

void
journal_prepare(struct journal *journal)
{
	uint32_t slot;

	if (journal_zero(journal, JOURNAL_FATE_REUSE))
		return;
	slot = journal->slots_free_count > 0 ? journal->slots_free[--journal->slots_free_count]
					     : journal->slot_next++;
	journal_prepare_slot(journal, DISK_PREPARE, slot,
		journal->options.appends ? 0 : journal->options.segment_size, JOURNAL_FATE_REUSE);
}

/*
 * Keeps enough spare files: at ease below the target, beyond it only the reserve. Those that must
 * be zeroed before they go wait for that, unless their room is needed.
 */
static void
journal_prepare_ahead(struct journal *journal)
{
	uint64_t files = journal_files(journal), size = journal->options.segment_size;
	uint32_t wanted = journal_spares_wanted(journal), spares = journal_spare_count(journal);

	if (journal->preparing && !journal_has_time(journal))
		atomic_store(&journal->prepare_op.calm, false);
	if (journal->preparing || journal->retry_at.ns > journal->now.mono.ns)
		return;
	journal->retry_at.ns = 0;
	if (journal_zero(journal, JOURNAL_FATE_REUSE)
		|| (journal->prepare_retry_ns > 0 && journal_zero(journal, JOURNAL_FATE_REMOVE)))
		return;
	if ((files + 1) * size > journal_percent_of_live(journal, JOURNAL_GROW_PERCENT))
		wanted = journal_reserve(journal, JOURNAL_NEW_MAIL) + 1;
	if (spares < wanted && files < journal_files_max(journal))
		journal_prepare(journal);
	else
		(void)journal_zero(journal, JOURNAL_FATE_REMOVE);
}

/* The oldest segments without anything live leave force; their files wait for a durable `first`. */
static void
journal_recycle(struct journal *journal)
{
	struct journal_segment *oldest;

	while (!journal->recovery.is_replaying
		&& (journal->freezes == 0
			|| journal_plant_is_on(journal, JOURNAL_PLANT_IGNORE_FREEZE))
		&& (oldest = TAILQ_FIRST(&journal->segments)) != journal_newest(journal)
		&& oldest->live <= journal_plant_is_on(journal, JOURNAL_PLANT_FREE_LIVE)
		&& TAILQ_NEXT(oldest, link)->base < journal->durable) {
		uint64_t file_size = oldest->file_size;
		uint32_t slot = oldest->slot;
		bool suspect = oldest->suspect;

		journal_segment_drop(journal, oldest);
		journal->stats.freed_segments++;
		if (suspect)
			journal_spare_add(
				journal, slot, journal_first(journal), JOURNAL_FATE_RETIRE);
		else
			journal_spare_free(journal, slot, journal_first(journal), file_size);
		journal->proven = false;
	}
}

static void
journal_dropped(void *ctx, struct disk_op *op)
{
	struct journal *journal = ctx;

	journal->dropping = false;
	if (op->err == ERR_OK && op->kind == DISK_REMOVE)
		journal_slot_free(journal, op->slot);
	if (op->err < 0 && op->err != ERR_NOTFOUND)
		journal_notice(journal, "journal: cannot %s segment file %08u: %s; left alone",
			op->kind == DISK_REMOVE ? "remove" : "put aside", (unsigned)op->slot,
			err_meaning(op->err));
}

/* Removes or renames one file that is not to be used again. */
static void
journal_drop(struct journal *journal)
{
	uint64_t shrink = journal_percent_of_live(journal, JOURNAL_SHRINK_PERCENT);
	bool is_open = journal->state == JOURNAL_OPEN;
	bool is_large = is_open && journal_files(journal) * journal->options.segment_size > shrink
			&& journal_spare_count(journal) > journal_spares_wanted(journal);
	struct journal_spare *spare;

	if (journal->dropping)
		return;
	TAILQ_FOREACH(spare, &journal->spares, link)
	if (journal_spare_may_go(journal, spare) && (is_open || !spare->needs_open)
		&& !spare->has_old && (spare->fate != JOURNAL_FATE_REUSE || is_large))
		break;
	if (spare == NULL)
		return;
	journal->drop_op =
		(struct disk_op) { .kind = spare->fate == JOURNAL_FATE_RETIRE ? DISK_RETIRE
									      : DISK_REMOVE,
			.slot = spare->slot,
			.done = journal_dropped,
			.ctx = journal };
	journal->dropping = true;
	TAILQ_REMOVE(&journal->spares, spare, link);
	mem_free(spare);
	disk_submit(journal->options.disk, &journal->drop_op);
}

void
journal_space_step(struct journal *journal)
{
	if (journal->state == JOURNAL_OPEN)
		journal_recycle(journal);
	journal_drop(journal);
	if (journal->state == JOURNAL_OPEN)
		journal_prepare_ahead(journal);
	journal_room_step(journal);
}
