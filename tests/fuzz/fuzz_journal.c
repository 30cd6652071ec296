/*
 * fuzz_journal.c - any bytes as a segment file: recovery must end, and never trust them
 *
 * The lowest five bits of the first byte say how many 4 KiB blocks behind the header become batches whose lengths
 * and checksums are right, so that the fuzzer reaches what lies behind them; the bit of 64, whether each follows the one
 * before it.
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

/* A record as its unverified bytes say, its payload cut to what there is; false: there is none. */
static bool
fuzz_record(struct slice *rest, struct record *ret_record)
{
	uint32_t len;

	if (rest->len < RECORD_HEADER)
		return false;
	len = wire_load_u32(rest->ptr + 4);
	*ret_record = (struct record){ .type = wire_load_u16(rest->ptr), .flags = wire_load_u16(rest->ptr + 2),
		.message = wire_load_u64(rest->ptr + 8) };
	*rest = slice_from(*rest, RECORD_HEADER);
	ret_record->payload = slice_head(*rest, len < rest->len ? len : rest->len);
	*rest = slice_from(*rest, record_size(ret_record->payload.len) - RECORD_HEADER);
	return true;
}

/*
 * The batch of one block that these bytes would be if their lengths and checksums were right, and
 * its place the one behind `before`, unless that is NULL.
 */
static void
fuzz_batch(uint8_t *block, const struct batch_header *before)
{
	struct batch_header header;
	struct slice rest = slice_make(block + RECORD_BATCH_HEADER, RECORD_BLOCK - RECORD_BATCH_HEADER);
	struct record record;
	struct buf batch;

	wire_store_u32(block + 24, RECORD_BLOCK);
	wire_store_u32(block + 28, RECORD_BLOCK);
	if (!batch_peek(slice_make(block, RECORD_BLOCK), &header))
		return;
	if (before != NULL) {
		header.lsn = before->lsn + before->length;
		header.previous = before->sum;
		header.epoch = before->epoch;
	}
	buf_init(&batch, 0);
	batch_begin(&batch);
	for (header.count = 0; fuzz_record(&rest, &record) && record.type != 0; header.count++)
		(void)record_put(&batch, &record);
	batch_seal(&batch, &header);
	CHECK(header.length == RECORD_BLOCK);
	memcpy(block, batch.ptr, RECORD_BLOCK);
	buf_done(&batch);
}

static void
fuzz_repair(uint8_t *segment, unsigned blocks, bool is_chain)
{
	struct batch_header before;

	wire_store_u64(segment + 96, hash_bytes(slice_make(segment, 96)));
	for (unsigned i = 1; i <= blocks; i++) {
		uint8_t *block = segment + i * RECORD_BLOCK;
		bool has_before = is_chain && i > 1 && batch_peek(slice_make(block - RECORD_BLOCK,
			RECORD_BLOCK), &before);

		fuzz_batch(block, has_before ? &before : NULL);
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
	fuzz_repair(sim->files[0].stable, data[0] & 31, (data[0] & 64) != 0);
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
