/*
 * fuzz_journal.c - any bytes as a segment file: recovery must end, and never trust them
 *
 * The first byte says how many of the following 4 KiB blocks get their checksums made right, so that the
 * fuzzer reaches what lies behind them.
 */
#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/wire.h"
#include "sim/disk_sim.h"
#include "store/journal.h"

enum { FUZZ_SEGMENT = 32 * RECORD_BLOCK };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool fuzz_over, fuzz_is_open;

static void
fuzz_entry(void *ctx, const struct summary_entry *entry)
{
	(void)ctx;
	(void)entry;
}

static void
fuzz_replayed(void *ctx)
{
	(void)ctx;
	fuzz_over = true;
}

static void
fuzz_opened(void *ctx, enum err err, const struct fault *fault)
{
	(void)ctx;
	(void)fault;
	if (err == ERR_OK)
		fuzz_is_open = true;
	else
		fuzz_over = true;
}

static void
fuzz_notice(void *ctx, const char *text)
{
	(void)ctx;
	(void)text;
}

/* Gives a header block, and a batch of one block, the checksums that their bytes want. */
static void
fuzz_repair(uint8_t *segment, unsigned blocks)
{
	wire_store_u64(segment + 96, hash_bytes(slice_make(segment, 96)));
	for (unsigned i = 1; i <= blocks && i < 32; i++) {
		uint8_t *batch = segment + i * RECORD_BLOCK;
		uint64_t head;

		wire_store_u32(batch + 24, RECORD_BLOCK);
		head = hash_bytes(slice_make(batch, 120));
		wire_store_u64(batch + 120,
			hash_bytes_seeded(slice_make(batch + RECORD_BATCH_HEADER,
						  RECORD_BLOCK - RECORD_BATCH_HEADER),
				head));
	}
}

/* What is read of a BRIEF is written as the same bytes. */
static void
fuzz_brief(struct slice bytes)
{
	struct record_brief brief;
	struct buf coded;

	if (record_brief_decode(bytes, &brief) != ERR_OK)
		return;
	buf_init(&coded, 0);
	record_brief_encode(&coded, &brief);
	CHECK(slice_equal(buf_slice(&coded), bytes));
	buf_done(&coded);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct journal_callbacks callbacks = { fuzz_opened, fuzz_entry, fuzz_replayed, fuzz_notice,
		NULL };
	struct disk_sim *sim = MEM_NEW(struct disk_sim);
	struct journal_options options = { .disk = &sim->disk, .segment_size = FUZZ_SEGMENT,
		.size_max = 8 * FUZZ_SEGMENT, .epoch = 1, .callbacks = &callbacks };
	struct journal *journal;

	fuzz_brief(slice_make(data, size));
	if (size < 1 || size > FUZZ_SEGMENT) {
		mem_free(sim);
		return 0;
	}
	disk_sim_init(sim, 1);
	sim->files[0] = (struct disk_sim_file){ .exists = true, .size = FUZZ_SEGMENT,
		.cache = mem_array(FUZZ_SEGMENT, 1), .stable = mem_array(FUZZ_SEGMENT, 1),
		.dirty = mem_array(32, 1) };
	memcpy(sim->files[0].stable, data + 1, size - 1);
	fuzz_repair(sim->files[0].stable, data[0]);
	memcpy(sim->files[0].cache, sim->files[0].stable, FUZZ_SEGMENT);
	fuzz_over = fuzz_is_open = false;
	journal = journal_new(&options);
	journal_open(journal, (struct instant){ { 1 }, { 1 } });
	while (disk_sim_step(sim))
		;
	if (fuzz_is_open)
		journal_replay(journal, 0);
	while (disk_sim_step(sim))
		;
	CHECK(fuzz_over);
	journal_free(journal);
	disk_sim_done(sim);
	mem_free(sim);
	return 0;
}
