/*
 * test_corrupt_file.c - what a file corrupt/message-ID gives: heads, records that are whole, damaged in
 * each byte, cut off, and with a state behind them
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/hash.h"
#include "check/corrupt_file.h"

static const char head[] = "Format: ostler-corrupt 1\nQueue-ID: 0000000000000abc\nReason: it rots\n"
			   "Origin: journal LSN 4242, state LSN 0\nArrival: 77\nDue: 0\nFlags: 0\nLength: 9\n\n";

static void
put_record(struct buf *bytes, uint16_t type, const struct buf *payload)
{
	struct record record = { .type = type, .payload = buf_slice(payload) };
	struct buf one; /* records are aligned in their own buffer */

	buf_init(&one, 0);
	(void)record_put(&one, &record);
	buf_add(bytes, buf_slice(&one));
	buf_done(&one);
}

static void
put_message(struct buf *bytes)
{
	struct record_message message = { .queue_id = 0xabc, .arrival_us = 77, .content_length = 5,
		.envelope = SLICE_LIT("envelope"), .recipients = SLICE_LIT("recipients"),
		.head = SLICE_LIT("head"), .body = SLICE_LIT("body\n") };
	struct buf payload;

	message.content_hash = hash_bytes(message.body);
	buf_init(&payload, 0);
	record_message_encode(&payload, &message);
	put_record(bytes, RECORD_MESSAGE, &payload);
	buf_done(&payload);
}

static void
put_state(struct buf *bytes, uint16_t type, uint64_t queue_id, const char *text)
{
	struct record_state state = { .queue_id = queue_id, .state = slice_str(text) };
	struct buf payload;

	buf_init(&payload, 0);
	record_state_encode(&payload, &state);
	put_record(bytes, type, &payload);
	buf_done(&payload);
}

static void
test_parse__whole_message__verified(void **ctx)
{
	struct corrupt_file file;
	struct buf bytes;

	(void)ctx;
	buf_init(&bytes, 0);
	buf_add_str(&bytes, head);
	put_message(&bytes);
	assert_int_equal(corrupt_file_parse(buf_slice(&bytes), &file), ERR_OK);
	assert_int_equal(file.queue_id, 0xabc);
	assert_int_equal(file.arrival_us, 77);
	assert_true(slice_equal_str(file.reason, "it rots"));
	assert_true(slice_equal_str(file.origin, "journal LSN 4242, state LSN 0"));
	assert_true(file.has_message && file.is_verified && file.is_whole);
	assert_true(slice_equal_str(file.message.body, "body\n"));
	buf_done(&bytes);
}

static void
test_parse__each_byte_damaged__never_verified_nor_believed(void **ctx)
{
	struct corrupt_file file;
	struct buf bytes;
	size_t start = sizeof(head) - 1, contents = 0;

	(void)ctx;
	buf_init(&bytes, 0);
	buf_add_str(&bytes, head);
	put_message(&bytes);
	for (size_t i = start; i < bytes.len; i++) {
		bytes.ptr[i] ^= 0x40;
		assert_int_equal(corrupt_file_parse(buf_slice(&bytes), &file), ERR_OK);
		/* The last bytes are padding, which no checksum covers. */
		if (i < start + RECORD_HEADER + 44 + 16 + 27)
			assert_false(file.is_verified);
		if (file.has_message)
			assert_int_equal(file.message.queue_id, 0xabc);
		contents += file.has_message && file.is_whole;
		bytes.ptr[i] ^= 0x40;
	}
	assert_true(contents > 40); /* most damage leaves the content as it was */
	buf_done(&bytes);
}

static void
test_parse__cut_off_anywhere__no_crash_and_no_whole_content(void **ctx)
{
	struct corrupt_file file;
	struct buf bytes;

	(void)ctx;
	buf_init(&bytes, 0);
	buf_add_str(&bytes, head);
	put_message(&bytes);
	for (size_t len = 0; len < bytes.len - 8; len++) {
		enum err err = corrupt_file_parse(slice_make(bytes.ptr, len), &file);

		assert_int_equal(err, len < sizeof(head) - 1 ? ERR_SYNTAX : ERR_OK);
		if (err == ERR_OK)
			assert_false(file.is_verified);
	}
	buf_done(&bytes);
}

static void
test_next__states_of_the_message__others_are_left_out(void **ctx)
{
	struct corrupt_file file;
	struct record_state state;
	struct slice rest;
	struct buf bytes;
	uint16_t type;

	(void)ctx;
	buf_init(&bytes, 0);
	buf_add_str(&bytes, head);
	put_message(&bytes);
	put_state(&bytes, RECORD_STATE, 0xdef, "another's");
	put_state(&bytes, RECORD_STATE, 0xabc, "state");
	put_state(&bytes, RECORD_RESULT, 0xabc, "result");
	assert_int_equal(corrupt_file_parse(buf_slice(&bytes), &file), ERR_OK);
	rest = file.records;
	assert_int_equal(corrupt_file_next(&file, &rest, &type, &state), ERR_OK);
	assert_int_equal(type, RECORD_STATE);
	assert_true(slice_equal_str(state.state, "state"));
	assert_int_equal(corrupt_file_next(&file, &rest, &type, &state), ERR_OK);
	assert_int_equal(type, RECORD_RESULT);
	assert_int_equal(corrupt_file_next(&file, &rest, &type, &state), ERR_NOTFOUND);
	buf_done(&bytes);
}

static void
test_parse__heads_that_are_none__syntax(void **ctx)
{
	static const char *const bad[] = { "", "\n", "Format: ostler-corrupt 2\nQueue-ID: 0000000000000abc\n\n",
		"Format: ostler-corrupt 1\n\n", "Format: ostler-corrupt 1\nQueue-ID: abc\n\n",
		"Format: ostler-corrupt 1\nQueue-ID: 0000000000000abc\n" };
	struct corrupt_file file;

	(void)ctx;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(corrupt_file_parse(slice_str(bad[i]), &file), ERR_SYNTAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse__whole_message__verified),
		cmocka_unit_test(test_parse__each_byte_damaged__never_verified_nor_believed),
		cmocka_unit_test(test_parse__cut_off_anywhere__no_crash_and_no_whole_content),
		cmocka_unit_test(test_next__states_of_the_message__others_are_left_out),
		cmocka_unit_test(test_parse__heads_that_are_none__syntax),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
