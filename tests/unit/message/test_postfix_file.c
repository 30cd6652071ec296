/*
 * test_postfix_file.c - unit tests of message/postfix_file
 *
 * Goal: envelope, open recipients and content come out; nothing cut off or damaged is taken; a loop
 * of pointers ends. Method: files built record by record, and cut at each byte.
 */
#include "message/postfix_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void
put(struct buf *file, char type, const char *data)
{
	size_t len = strlen(data);

	assert_int_equal(buf_append_byte(file, (uint8_t)type), ERR_OK);
	do {
		uint8_t group = (uint8_t)(len & 127) | (len > 127 ? 128 : 0);

		assert_int_equal(buf_append_byte(file, group), ERR_OK);
		len >>= 7;
	} while (len > 0);
	buf_add_str(file, data);
}

enum { SIZE_RECORD = 2 + 95 };

/* Begins with the record of sizes; put_message() knows where the content starts. */
static void
put_sizes(struct buf *file, size_t offset, unsigned options)
{
	char text[128];

	(void)snprintf(text, sizeof(text), "%15d %15zu %15d %15d %15d %15u", 100, offset, 2, 0, 100,
		options);
	put(file, 'C', text);
}

/* The envelope without its size record, up to and with M. */
static void
put_envelope(struct buf *file)
{
	put(file, 'T', "1700000000 123456");
	put(file, 'A', "encoding=8bit");
	put(file, 'A', "envelope_id=some-id");
	put(file, 'A', "ret_flags=2");
	put(file, 'A', "log_client_name=x.test");
	put(file, 'S', "s@a.test");
	put(file, 'A', "dsn_orig_rcpt=rfc822;one@b.test");
	put(file, 'A', "notify_flags=10");
	put(file, 'O', "one-orig@b.test");
	put(file, 'R', "one@b.test");
	put(file, 'O', "two@b.test");
	put(file, 'D', "two@b.test");
	put(file, 'R', "three@b.test");
	put(file, 'M', "");
}

static void
put_message(struct buf *file, unsigned options)
{
	struct buf envelope;
	char line[3001];

	memset(line, 'x', 3000);
	line[3000] = '\0';
	buf_init(&envelope, 0);
	put_envelope(&envelope);
	put_sizes(file, SIZE_RECORD + envelope.len, options);
	buf_add(file, buf_slice(&envelope));
	buf_done(&envelope);
	put(file, 'N', "Subject: x");
	put(file, 'N', "");
	put(file, 'L', "part ");
	put(file, 'N', "of a line\r");
	put(file, 'w', "hidden");
	put(file, 'N', line);
	put(file, 'X', "");
	put(file, 'O', "");
	put(file, 'R', "\xc3\xa4@b.test");
	put(file, 'c', "1700000009");
	put(file, 'E', "");
}

/* rules: R26 R28 */
static void
test_postfix_file_read__message__comes_out(void **state)
{
	struct postfix_file file;
	struct buf bytes;

	(void)state;
	buf_init(&bytes, 0);
	put_message(&bytes, 1);
	buf_add_str(&bytes, "behind the end");
	assert_int_equal(postfix_file_read(buf_slice(&bytes), false, &file), ERR_OK);
	assert_true(slice_equal_str(file.sender, "s@a.test"));
	assert_int_equal(file.arrival_us, UINT64_C(1700000000123456));
	assert_int_equal(file.created_us, UINT64_C(1700000009000000));
	assert_true(slice_equal_str(file.envid, "some-id"));
	assert_int_equal(file.ret, 2);
	assert_true(file.body_8bit);
	assert_true(file.smtputf8);
	assert_int_equal(file.recipient_count, 3);
	assert_int_equal(file.done_count, 1);
	assert_true(slice_equal_str(file.recipients[0].address, "one@b.test"));
	assert_true(slice_equal_str(file.recipients[0].original, "one-orig@b.test"));
	assert_true(slice_equal_str(file.recipients[0].orcpt, "rfc822;one@b.test"));
	assert_int_equal(file.recipients[0].notify, 10);
	/* What was said of the finished one is not the next one's. */
	assert_true(slice_equal_str(file.recipients[1].address, "three@b.test"));
	assert_int_equal(file.recipients[1].original.len, 0);
	assert_int_equal(file.recipients[1].notify, 0);
	assert_int_equal(file.content.len, 12 + 16 + 3001);
	assert_true(slice_starts(buf_slice(&file.content),
		SLICE_LIT("Subject: x\n\npart of a line\r\nxxx")));
	postfix_file_done(&file);
	buf_done(&bytes);
}

/* rules: R20 */
static void
test_postfix_file_read__cut_anywhere__is_not_fully_written(void **state)
{
	struct postfix_file file;
	struct buf bytes;

	(void)state;
	buf_init(&bytes, 0);
	put_message(&bytes, 0);
	for (size_t len = 0; len < bytes.len; len++)
		assert_int_equal(postfix_file_read(slice_head(buf_slice(&bytes), len), false, &file),
			ERR_AGAIN);
	buf_done(&bytes);
}

static void
test_postfix_file_read__pointers__are_followed(void **state)
{
	struct postfix_file file;
	struct buf bytes;
	char text[32];
	size_t back;

	(void)state;
	buf_init(&bytes, 0);
	put(&bytes, 'T', "1 2");
	put(&bytes, 'S', "");
	put(&bytes, 'M', "");
	put(&bytes, 'p', "              0");
	put(&bytes, 'N', "one");
	put(&bytes, 'p', "              0");
	back = bytes.len;
	put(&bytes, 'N', "two");
	put(&bytes, 'X', "");
	put(&bytes, 'E', "");
	/* The pointer in front of "two" goes to what was appended, and that comes back. */
	(void)snprintf(text, sizeof(text), "%15zu", bytes.len);
	memcpy(bytes.ptr + back - 15, text, 15);
	put(&bytes, 'N', "added");
	(void)snprintf(text, sizeof(text), "%15zu", back);
	put(&bytes, 'p', text);
	assert_int_equal(postfix_file_read(buf_slice(&bytes), true, &file), ERR_OK);
	assert_true(slice_equal_str(buf_slice(&file.content), "one\nadded\ntwo\n"));
	postfix_file_done(&file);
	/* And a loop: back to itself. */
	(void)snprintf(text, sizeof(text), "%15zu", back - 17);
	memcpy(bytes.ptr + back - 15, text, 15);
	assert_int_equal(postfix_file_read(buf_slice(&bytes), true, &file), ERR_SYNTAX);
	buf_done(&bytes);
}

static void
check_refused(const char *what, char type, const char *data, enum err wanted)
{
	struct postfix_file file;
	struct buf bytes;

	buf_init(&bytes, 0);
	put(&bytes, 'T', "1 2");
	put(&bytes, 'S', "s@a.test");
	put(&bytes, type, data);
	put(&bytes, 'R', "r@a.test");
	put(&bytes, 'M', "");
	put(&bytes, 'X', "");
	put(&bytes, 'E', "");
	if (postfix_file_read(buf_slice(&bytes), true, &file) != wanted)
		fail_msg("%s", what);
	if (wanted == ERR_OK)
		postfix_file_done(&file);
	buf_done(&bytes);
}

/* rules: R21 R22 R23 R27 */
static void
test_postfix_file_read__odd_records__have_their_errors(void **state)
{
	(void)state;
	check_refused("plain", 'A', "a=b", ERR_OK);
	check_refused("redirect", '>', "other@a.test", ERR_VERSION);
	check_refused("probe", 'A', "trace_flags=256", ERR_VERSION);
	check_refused("unknown type", 'Z', "", ERR_SYNTAX);
	check_refused("no attribute", 'A', "nothing", ERR_SYNTAX);
	check_refused("notify", 'A', "notify_flags=3", ERR_SYNTAX);
	check_refused("ret", 'A', "ret_flags=9", ERR_SYNTAX);
	check_refused("time", 'c', "tomorrow", ERR_SYNTAX);
	check_refused("pointer out of the file", 'p', "999999", ERR_SYNTAX);
	check_refused("sizes in a maildrop file", 'C', "1 1 1", ERR_SYNTAX);
	check_refused("end before content", 'E', "", ERR_SYNTAX);
	check_refused("content that begins elsewhere", 'C', "10 20 1", ERR_SYNTAX);
}

static void
test_postfix_file_read__ascii_only__needs_no_smtputf8(void **state)
{
	struct postfix_file file;
	struct buf bytes;

	(void)state;
	buf_init(&bytes, 0);
	put_message(&bytes, 0);
	assert_int_equal(postfix_file_read(buf_slice(&bytes), false, &file), ERR_OK);
	assert_false(file.smtputf8); /* never asked for */
	postfix_file_done(&file);
	assert_int_equal(postfix_file_read(buf_slice(&bytes), true, &file), ERR_SYNTAX);
	buf_done(&bytes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_postfix_file_read__message__comes_out),
		cmocka_unit_test(test_postfix_file_read__cut_anywhere__is_not_fully_written),
		cmocka_unit_test(test_postfix_file_read__pointers__are_followed),
		cmocka_unit_test(test_postfix_file_read__odd_records__have_their_errors),
		cmocka_unit_test(test_postfix_file_read__ascii_only__needs_no_smtputf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
