/*
 * test_summary.c - entries of footers and checkpoints, and sizes in 13 bits
 *
 * Goal: an entry read is the entry written; a size is never rounded down, and little up. Method: edges and a
 * walk over all sizes.
 */
#include "store/summary.h"

#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
test_size__any__is_never_less_and_little_more(void **state)
{
	(void)state;
	for (size_t bytes = 0; bytes <= RECORD_BATCH_SHORT; bytes += bytes < 300000 ? 7 : 501) {
		uint16_t packed = summary_size_pack(bytes);
		uint32_t size = summary_size(packed);

		assert_true(packed < 8192);
		assert_true(size >= bytes);
		assert_true(size - bytes < (bytes < 131000 ? 32 : 1024));
	}
	assert_int_equal(summary_size(summary_size_pack(RECORD_BATCH_SHORT)), RECORD_BATCH_SHORT);
	assert_int_equal(summary_size_pack(RECORD_BATCH_SHORT), SUMMARY_SIZE_LONG);
	assert_int_equal(summary_size_pack(RECORD_BATCH_MAX), SUMMARY_SIZE_LONG);
}

/* rules: L5 */
static void
test_due__part_of_a_second__is_rounded_up(void **state)
{
	(void)state;
	assert_int_equal(summary_due_seconds(0), 0);
	assert_int_equal(summary_due_seconds(1), 1);
	assert_int_equal(summary_due_seconds(1000000), 1);
	assert_int_equal(summary_due_seconds(1000001), 2);
	assert_int_equal(summary_due_seconds(UINT64_MAX), UINT32_MAX);
}

static void
test_entry__written__is_read_back(void **state)
{
	struct summary_entry entry = { .queue_id = 1, .lsn = 2, .value = 3, .due_s = 4, .size = 5,
		.type = RECORD_STATE, .flags = 7 }, got;
	struct slice rest;
	struct buf buf;

	(void)state;
	buf_init(&buf, 0);
	summary_put(&buf, &entry);
	buf_add(&buf, SLICE_LIT("x"));
	rest = buf_slice(&buf);
	assert_int_equal(summary_next(&rest, &got), ERR_OK);
	assert_memory_equal(&got, &entry, sizeof(got));
	assert_int_equal(summary_next(&rest, &got), ERR_SYNTAX);
	rest = slice_head(rest, 0);
	assert_int_equal(summary_next(&rest, &got), ERR_NOTFOUND);
	buf_done(&buf);
}

static void
test_record__of_large_message__has_two_entries(void **state)
{
	struct record_message message = { .queue_id = 9, .arrival_us = 8, .large = 7 };
	struct summary_entry entries[SUMMARY_PER_RECORD];
	struct record record = { .type = RECORD_MESSAGE };
	struct buf buf;

	(void)state;
	buf_init(&buf, 0);
	record_message_encode(&buf, &message);
	record.payload = buf_slice(&buf);
	assert_int_equal(summary_of_record(4096, &record, entries), 2);
	assert_int_equal(entries[0].value, 8);
	assert_int_equal(entries[1].type, SUMMARY_LARGE);
	assert_int_equal(entries[1].value, 7);
	record.type = RECORD_NODE;
	assert_int_equal(summary_of_record(4096, &record, entries), 0);
	buf_done(&buf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_size__any__is_never_less_and_little_more),
		cmocka_unit_test(test_due__part_of_a_second__is_rounded_up),
		cmocka_unit_test(test_entry__written__is_read_back),
		cmocka_unit_test(test_record__of_large_message__has_two_entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
