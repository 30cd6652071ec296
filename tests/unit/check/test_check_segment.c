/*
 * test_check_segment.c - what is said of a segment: a good one, a header copy, a footer that lies, an
 * unknown kind of record, a payload that does not fit
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/mem.h"
#include <stdio.h>
#include "check/check_segment.h"
#include "store/summary.h"

enum { SEGMENT = 16 * RECORD_BLOCK, BASE = 1 << 20 };

struct told {
	unsigned count, mendable;
	char what[256];
	uint64_t offset;
};

static void
tell(void *ctx, uint64_t offset, uint64_t queue_id, const char *what, bool can_repair)
{
	struct told *told = ctx;

	(void)queue_id;
	told->count++;
	told->mendable += can_repair;
	told->offset = offset;
	(void)snprintf(told->what, sizeof(told->what), "%s", what);
}

struct world {
	struct segment_header header;
	uint8_t *segment;
	size_t at;
	struct buf footer;
};

static void
world_start(struct world *world)
{
	*world = (struct world) { .header = { .sequence = 1, .base = BASE, .size = SEGMENT,
		.generation = 1, .major = RECORD_FORMAT_MAJOR }, .at = RECORD_BLOCK };
	world->segment = mem_array(SEGMENT, 1);
	segment_header_encode(&world->header, world->segment);
	buf_init(&world->footer, 0);
}

static void
world_put(struct world *world, uint16_t type, uint16_t flags, struct slice payload)
{
	struct record record = { .type = type, .flags = flags, .payload = payload };
	struct summary_entry entries[SUMMARY_PER_RECORD];
	struct batch_header batch = { .lsn = BASE + world->at, .count = 1 };
	struct buf bytes;
	size_t offset;
	unsigned count;

	buf_init(&bytes, 0);
	batch_begin(&bytes);
	offset = record_put(&bytes, &record);
	count = summary_of_record(BASE + world->at + offset, &record, entries);
	for (unsigned i = 0; i < count; i++)
		summary_put(&world->footer, &entries[i]);
	batch_seal(&bytes, &batch);
	memcpy(world->segment + world->at, bytes.ptr, bytes.len);
	world->at += bytes.len;
	buf_done(&bytes);
}

static void
world_message(struct world *world, uint64_t queue_id)
{
	struct record_message message = { .queue_id = queue_id };
	struct buf payload;

	buf_init(&payload, 0);
	record_message_encode(&payload, &message);
	world_put(world, RECORD_MESSAGE, 0, buf_slice(&payload));
	buf_done(&payload);
}

static struct told
world_end(struct world *world)
{
	struct told told = { 0 };

	check_segment(slice_make(world->segment, SEGMENT), &world->header, BASE + world->at, tell, &told);
	mem_free(world->segment);
	buf_done(&world->footer);
	return told;
}

static void
test_check__good_segment__nothing(void **ctx)
{
	struct world world;

	(void)ctx;
	world_start(&world);
	world_message(&world, 1);
	world_message(&world, 2);
	world_put(&world, RECORD_FOOTER, 0, buf_slice(&world.footer));
	assert_int_equal(world_end(&world).count, 0);
}

static void
test_check__one_header_copy_damaged__said(void **ctx)
{
	struct world world;
	struct told told;

	(void)ctx;
	world_start(&world);
	world.segment[RECORD_SEGMENT_COPY + 40] ^= 1;
	told = world_end(&world);
	assert_int_equal(told.count, 1);
	assert_non_null(strstr(told.what, "two copies"));
}

static void
test_check__footer_says_something_else__said(void **ctx)
{
	struct world world;
	struct told told;

	(void)ctx;
	world_start(&world);
	world_message(&world, 1);
	world_put(&world, RECORD_FOOTER, 0, buf_slice(&world.footer));
	world.at -= RECORD_BLOCK;
	world.footer.ptr[0] ^= 1;
	world_put(&world, RECORD_FOOTER, 0, buf_slice(&world.footer));
	told = world_end(&world);
	assert_int_equal(told.count, 1);
	assert_non_null(strstr(told.what, "footer"));
	assert_int_equal(told.mendable, 1);
}

static void
test_check__unknown_kinds__said_and_not_mended(void **ctx)
{
	struct world world;
	struct told told;

	(void)ctx;
	for (int critical = 0; critical < 2; critical++) {
		world_start(&world);
		world_put(&world, 99, critical ? RECORD_CRITICAL : 0, SLICE_LIT("new"));
		told = world_end(&world);
		assert_int_equal(told.count, 1);
		assert_int_equal(told.mendable, 0);
		assert_non_null(strstr(told.what, critical ? "must know" : "does not know"));
	}
}

static void
test_check__parts_that_do_not_fit__said(void **ctx)
{
	struct world world;
	struct told told;

	(void)ctx;
	world_start(&world);
	world_put(&world, RECORD_MESSAGE, 0, SLICE_LIT("short"));
	told = world_end(&world);
	assert_int_equal(told.count, 1);
	assert_int_equal(told.offset, RECORD_BLOCK + RECORD_BATCH_HEADER);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check__good_segment__nothing),
		cmocka_unit_test(test_check__one_header_copy_damaged__said),
		cmocka_unit_test(test_check__footer_says_something_else__said),
		cmocka_unit_test(test_check__unknown_kinds__said_and_not_mended),
		cmocka_unit_test(test_check__parts_that_do_not_fit__said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
