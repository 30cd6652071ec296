/*
 * test_record.c - unit tests of store/record
 *
 * Goal: every field comes back; every damaged bit of a batch, a record or a segment header is noticed;
 * no truncation reads beyond its bytes. Method: one batch and one header, damaged at every byte.
 */
#include "store/record.h"
#include "store/summary.h"

#include "base/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct segment_header sample = {
	.sequence = 7, .base = 7 * 65536, .cut = 6 * 65536 + 8192, .first = 2 * 65536, .size = 65536,
	.generation = 3, .features_may = 13, .epoch = 77, .node = 5, .major = RECORD_FORMAT_MAJOR,
	.minor = RECORD_FORMAT_MINOR, .uuid = { 1, 2, 3 },
};

static void
test_segment_header__encoded__comes_back(void **state)
{
	uint8_t block[RECORD_BLOCK];
	struct segment_header header;

	(void)state;
	segment_header_encode(&sample, block);
	assert_int_equal(
		segment_header_decode(slice_make(block, sizeof(block)), &header, NULL), ERR_OK);
	assert_memory_equal(&header, &sample, sizeof(header));
}

static void
test_segment_header__one_copy_damaged__the_other_serves(void **state)
{
	uint8_t block[RECORD_BLOCK];
	struct segment_header header;
	struct fault fault;

	(void)state;
	for (size_t at = 0; at < 104; at++) {
		segment_header_encode(&sample, block);
		block[at] ^= 0x10;
		assert_int_equal(
			segment_header_decode(slice_make(block, sizeof(block)), &header, NULL), ERR_OK);
		assert_int_equal(header.sequence, 7);
		block[RECORD_SEGMENT_COPY + at] ^= 0x10;
		assert_int_equal(
			segment_header_decode(slice_make(block, sizeof(block)), &header, &fault),
			at < 8 ? ERR_NOTFOUND : ERR_CORRUPT);
	}
}

static void
test_segment_header__newer_format__is_told_apart(void **state)
{
	uint8_t block[RECORD_BLOCK];
	struct segment_header header = sample, got;
	struct fault fault;

	(void)state;
	header.major = RECORD_FORMAT_MAJOR + 1;
	segment_header_encode(&header, block);
	assert_int_equal(
		segment_header_decode(slice_make(block, sizeof(block)), &got, &fault), ERR_VERSION);
	header = sample;
	header.features_must = 4;
	segment_header_encode(&header, block);
	assert_int_equal(
		segment_header_decode(slice_make(block, sizeof(block)), &got, &fault), ERR_VERSION);
}

static void
test_segment_header__writer__is_named_when_the_format_is_not_known(void **state)
{
	uint8_t block[RECORD_BLOCK];
	struct segment_header header = sample, got;
	struct fault fault;

	(void)state;
	memcpy(header.writer, "9.8.7", 6);
	header.major = RECORD_FORMAT_MAJOR + 1;
	segment_header_encode(&header, block);
	assert_int_equal(
		segment_header_decode(slice_make(block, sizeof(block)), &got, &fault), ERR_VERSION);
	assert_non_null(strstr(fault.text, "format 2.3"));
	assert_non_null(strstr(fault.text, "written by Ostler 9.8.7"));
	header.major = RECORD_FORMAT_MAJOR;
	segment_header_encode(&header, block);
	block[104] = '8'; /* not what its checksum says: not believed, and nothing else is lost */
	assert_int_equal(
		segment_header_decode(slice_make(block, sizeof(block)), &got, &fault), ERR_OK);
	assert_string_equal(got.writer, "");
	header.features_may = 0; /* as 1.0 wrote it */
	segment_header_encode(&header, block);
	assert_int_equal(block[104], 0);
	assert_int_equal(
		segment_header_decode(slice_make(block, sizeof(block)), &got, &fault), ERR_OK);
}

static void
test_segment_header__epoch_damaged__is_not_known(void **state)
{
	uint8_t block[RECORD_BLOCK];
	struct segment_header header;

	(void)state;
	for (size_t at = 136; at < 152; at++) {
		segment_header_encode(&sample, block);
		block[at] ^= 1;
		assert_int_equal(
			segment_header_decode(slice_make(block, sizeof(block)), &header, NULL), ERR_OK);
		assert_int_equal(header.epoch, 0);
	}
}

/* Nothing that is made of them may overflow. */
static void
test_segment_header__numbers_beyond_all_use__are_damage(void **state)
{
	uint8_t block[RECORD_BLOCK];
	struct segment_header headers[3] = { sample, sample, sample }, got;
	struct fault fault;

	(void)state;
	headers[0].base = UINT64_C(1) << 62;
	headers[1].sequence = UINT64_MAX;
	headers[2].generation = UINT64_MAX;
	for (int i = 0; i < 3; i++) {
		segment_header_encode(&headers[i], block);
		assert_int_equal(
			segment_header_decode(slice_make(block, sizeof(block)), &got, &fault), ERR_CORRUPT);
	}
}

static void
batch_fill(struct buf *buf, struct batch_header *header)
{
	struct record first = { RECORD_DONE, RECORD_CRITICAL, 4096, SLICE_LIT("one") };
	struct record second = { RECORD_NODE, 0, 0, SLICE_LIT("") };

	buf_init(buf, 0);
	batch_begin(buf);
	(void)record_put(buf, &first);
	(void)record_put(buf, &second);
	*header = (struct batch_header){ .epoch = 11, .lsn = 8192, .count = 2, .flags = BATCH_LAST,
		.previous = 12, .durable = 8192, .first = 0, .wall_us = 14, .successor = 8 };
	batch_seal(buf, header);
}

static void
test_batch__sealed__comes_back_with_its_records(void **state)
{
	struct buf buf;
	struct batch_header header, got;
	struct record record;
	struct slice rest;

	(void)state;
	batch_fill(&buf, &header);
	assert_int_equal(buf.len, RECORD_BLOCK);
	assert_int_equal(batch_decode(buf_slice(&buf), &got), ERR_OK);
	assert_memory_equal(&got, &header, sizeof(got));
	rest = slice_from(slice_head(buf_slice(&buf), got.used), RECORD_BATCH_HEADER);
	assert_int_equal(record_next(&rest, &record), ERR_OK);
	assert_int_equal(record.type, RECORD_DONE);
	assert_int_equal(record.flags, RECORD_CRITICAL);
	assert_int_equal(record.message, 4096);
	assert_true(slice_equal_str(record.payload, "one"));
	assert_int_equal(record_next(&rest, &record), ERR_OK);
	assert_int_equal(record.payload.len, 0);
	assert_int_equal(record_next(&rest, &record), ERR_NOTFOUND);
	buf_done(&buf);
}

static void
test_batch__any_flipped_bit__is_noticed(void **state)
{
	struct buf buf;
	struct batch_header header, got;

	(void)state;
	batch_fill(&buf, &header);
	for (size_t at = 0; at < buf.len; at++) {
		buf.ptr[at] ^= 1;
		assert_int_not_equal(batch_decode(buf_slice(&buf), &got), ERR_OK);
		buf.ptr[at] ^= 1;
	}
	for (size_t len = 0; len < buf.len; len++)
		assert_int_not_equal(batch_decode(slice_head(buf_slice(&buf), len), &got), ERR_OK);
	assert_int_equal(batch_decode(buf_slice(&buf), &got), ERR_OK);
	buf_done(&buf);
}

static void
test_record__damaged__is_skipped_and_the_next_is_read(void **state)
{
	struct buf buf;
	struct batch_header header;
	struct record record;
	struct slice rest;

	(void)state;
	batch_fill(&buf, &header);
	buf.ptr[RECORD_BATCH_HEADER + RECORD_HEADER] ^= 1;
	rest = slice_from(slice_head(buf_slice(&buf), header.used), RECORD_BATCH_HEADER);
	assert_int_equal(record_next(&rest, &record), ERR_CORRUPT);
	assert_int_equal(record_next(&rest, &record), ERR_OK);
	assert_int_equal(record.type, RECORD_NODE);
	buf_done(&buf);
}

/* rules: R20 R23 */
static void
test_message__every_truncation__is_refused(void **state)
{
	struct record_message message = { .queue_id = 1, .arrival_us = 2, .content_length = 4,
		.content_hash = 5, .flags = RECORD_MESSAGE_DOTTED, .envelope = SLICE_LIT("e"),
		.recipients = SLICE_LIT("rr"), .head = SLICE_LIT("hhh"), .body = SLICE_LIT("body") };
	struct record_message got;
	struct buf buf;

	(void)state;
	buf_init(&buf, 0);
	record_message_encode(&buf, &message);
	for (size_t len = 0; len < buf.len; len++)
		assert_int_equal(
			record_message_decode(slice_head(buf_slice(&buf), len), &got), ERR_SYNTAX);
	assert_int_equal(record_message_decode(buf_slice(&buf), &got), ERR_OK);
	assert_true(slice_equal(got.body, message.body) && slice_equal(got.head, message.head));
	assert_true(slice_equal(got.recipients, message.recipients));
	assert_int_equal(got.flags, RECORD_MESSAGE_DOTTED);
	buf_done(&buf);
}

static void
test_brief__encoded__comes_back_and_is_a_state_for_the_index(void **state)
{
	struct record_brief brief = { .queue_id = UINT64_MAX, .due_s = 3, .flags = 15,
		.tail_len = RECORD_BRIEF_TAIL_MAX, .tail_sum = 0xabcd,
		.place = RECORD_BRIEF_REACH - RECORD_BRIEF_ALIGN, .own = SLICE_LIT("thirteen byte") };
	struct summary_entry entries[SUMMARY_PER_RECORD];
	struct record record = { .type = RECORD_BRIEF };
	struct record_brief got;
	struct buf buf;

	(void)state;
	buf_init(&buf, 0);
	record_brief_encode(&buf, &brief);
	assert_int_equal(record_size(buf.len), 56); /* the common case, which is meant to be short */
	assert_int_equal(record_brief_decode(buf_slice(&buf), &got), ERR_OK);
	assert_true(got.queue_id == brief.queue_id);
	assert_int_equal(got.due_s, 3);
	assert_int_equal(got.flags, 15);
	assert_int_equal(got.tail_len, RECORD_BRIEF_TAIL_MAX);
	assert_int_equal(got.tail_sum, 0xabcd);
	assert_int_equal(got.place, RECORD_BRIEF_REACH - RECORD_BRIEF_ALIGN);
	assert_true(slice_equal(got.own, brief.own));
	for (size_t len = 0; len < buf.len - brief.own.len; len++)
		assert_int_equal(
			record_brief_decode(slice_head(buf_slice(&buf), len), &got), ERR_SYNTAX);
	record.payload = buf_slice(&buf);
	assert_int_equal(summary_of_record(77, &record, entries), 1);
	assert_int_equal(entries[0].type, RECORD_STATE);
	assert_int_equal(entries[0].lsn, 77);
	assert_int_equal(entries[0].due_s, 3);
	assert_int_equal(entries[0].flags, 15);
	assert_int_equal(summary_size(entries[0].size), 64);
	buf.ptr[12] = 0;
	buf.ptr[13] = 0; /* flags and the length of the end */
	assert_int_equal(record_brief_decode(buf_slice(&buf), &got), ERR_SYNTAX);
	buf_done(&buf);
}

static void
put_text(struct buf *buf, const char *text)
{
	struct record record = { .type = RECORD_STATE, .payload = slice_str(text) };

	(void)record_put(buf, &record);
}

/* The middle one of three records is damaged in its length: it ends where one whole record is left. */
static void
test_resync__length_damaged__finds_the_next_record(void **state)
{
	struct buf buf;
	size_t second, third;

	(void)state;
	buf_init(&buf, 0);
	put_text(&buf, "first");
	second = buf.len;
	put_text(&buf, "second, some bytes long");
	third = buf.len;
	put_text(&buf, "third");
	buf.ptr[second + 4] ^= 0x40;
	assert_int_equal(record_resync(slice_from(buf_slice(&buf), second), 1), third - second);
	assert_int_equal(record_resync(slice_from(buf_slice(&buf), second), 2), 0);
	assert_int_equal(record_resync(slice_from(buf_slice(&buf), second), 0), 0);
	buf_done(&buf);
}

/* Records that somebody wrote into a message are not taken for some of the batch. */
static void
test_resync__records_inside_a_payload__are_not_believed(void **state)
{
	struct record record = { .type = RECORD_MESSAGE };
	struct buf buf, forged;
	size_t next;

	(void)state;
	buf_init(&buf, 0);
	buf_init(&forged, 0);
	put_text(&forged, "forged");
	put_text(&forged, "forged, too");
	record.payload = buf_slice(&forged);
	(void)record_put(&buf, &record);
	assert_int_equal(record_resync(buf_slice(&buf), 0), 0); /* it was the last */
	next = buf.len;
	put_text(&buf, "behind it");
	buf.ptr[4] ^= 0x80;
	assert_int_equal(record_resync(buf_slice(&buf), 1), next);
	buf_done(&forged);
	buf_done(&buf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_segment_header__encoded__comes_back),
		cmocka_unit_test(test_segment_header__one_copy_damaged__the_other_serves),
		cmocka_unit_test(test_segment_header__newer_format__is_told_apart),
		cmocka_unit_test(test_segment_header__epoch_damaged__is_not_known),
		cmocka_unit_test(test_segment_header__numbers_beyond_all_use__are_damage),
		cmocka_unit_test(test_segment_header__writer__is_named_when_the_format_is_not_known),
		cmocka_unit_test(test_batch__sealed__comes_back_with_its_records),
		cmocka_unit_test(test_batch__any_flipped_bit__is_noticed),
		cmocka_unit_test(test_record__damaged__is_skipped_and_the_next_is_read),
		cmocka_unit_test(test_message__every_truncation__is_refused),
		cmocka_unit_test(test_brief__encoded__comes_back_and_is_a_state_for_the_index),
		cmocka_unit_test(test_resync__length_damaged__finds_the_next_record),
		cmocka_unit_test(test_resync__records_inside_a_payload__are_not_believed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
