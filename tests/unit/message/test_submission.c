/*
 * test_submission.c - unit tests of message/submission
 *
 * Goal: what was written comes back however it is cut, content always in CRLF; nothing that is damaged or
 * cut off is taken for whole. Method: one submission, fed whole, byte by byte, damaged at each byte.
 */
#include "message/submission.h"

#include "base/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
write_submission(struct buf *bytes, const char *content, const char *second)
{
	struct submission_recipient one = { SLICE_LIT("user"), 0 };
	struct submission_recipient two = { SLICE_LIT("a@b.test"), 2 };
	struct submission submission = { .flags = SUBMISSION_8BIT,
		.sender = SLICE_LIT("root"),
		.full_name = SLICE_LIT("The Root"),
		.created_us = 7,
		.ret = 1,
		.envid = SLICE_LIT("id"),
		.recipient_count = 2 };
	struct submission_writer writer;
	struct buf list;

	buf_init(&list, 0);
	assert_int_equal(submission_put_recipient(&list, &one), ERR_OK);
	assert_int_equal(submission_put_recipient(&list, &two), ERR_OK);
	submission.recipients = buf_slice(&list);
	submission_writer_init(&writer);
	assert_int_equal(submission_put_head(&writer, bytes, &submission), ERR_OK);
	assert_int_equal(submission_put_content(&writer, bytes, slice_str(content)), ERR_OK);
	assert_int_equal(submission_put_content(&writer, bytes, slice_str(second)), ERR_OK);
	assert_int_equal(submission_put_end(&writer, bytes), ERR_OK);
	submission_writer_done(&writer);
	buf_done(&list);
}

static enum err
read_submission(struct submission_reader *reader, struct slice bytes, size_t step,
	struct buf *content)
{
	enum err err = ERR_AGAIN;

	while (bytes.len > 0 && err == ERR_AGAIN) {
		struct slice part = slice_head(bytes, step);

		err = submission_read(reader, &part, content);
		bytes = slice_from(bytes, step);
	}
	return err;
}

static void
check_content(const char *first, const char *second, const char *wanted)
{
	struct buf bytes, content;

	buf_init(&bytes, 0);
	buf_init(&content, 0);
	write_submission(&bytes, first, second);
	for (size_t step = 1; step < 80; step++) {
		struct submission_reader reader;

		buf_clear(&content);
		submission_reader_init(&reader);
		assert_int_equal(
			read_submission(&reader, buf_slice(&bytes), step, &content), ERR_OK);
		if (!slice_equal_str(buf_slice(&content), wanted))
			fail_msg("\"%.*s\"", (int)content.len, (char *)content.ptr);
		submission_reader_done(&reader);
	}
	buf_done(&bytes);
	buf_done(&content);
}

static void
test_submission_read__line_ends__become_crlf(void **state)
{
	(void)state;
	check_content("a\nb\r\nc", "", "a\r\nb\r\nc\r\n");
	check_content("a\r", "\nb\n", "a\r\nb\r\n");
	check_content("a\rb\n", "", "a b\r\n");
	check_content("a\r\r\nb\r", "", "a \r\nb \r\n");
	check_content("", "", "");
	check_content("\r", "", " \r\n");
	check_content("\n\n", "\r\n", "\r\n\r\n\r\n");
	check_content("a\r", "b", "a b\r\n");
}

static void
test_submission_read__head__comes_back(void **state)
{
	struct submission_reader reader;
	struct submission_recipient recipient;
	struct buf bytes, content;
	struct slice rest;

	(void)state;
	buf_init(&bytes, 0);
	buf_init(&content, 0);
	write_submission(&bytes, "x\n", "");
	buf_add_str(&bytes, "behind");
	submission_reader_init(&reader);
	assert_false(submission_reader_has_head(&reader));
	rest = buf_slice(&bytes);
	assert_int_equal(submission_read(&reader, &rest, &content), ERR_OK);
	assert_true(slice_equal_str(rest, "behind"));
	assert_true(submission_reader_has_head(&reader));
	assert_int_equal(reader.submission.flags, SUBMISSION_8BIT);
	assert_true(slice_equal_str(reader.submission.sender, "root"));
	assert_true(slice_equal_str(reader.submission.full_name, "The Root"));
	assert_true(slice_equal_str(reader.submission.envid, "id"));
	assert_int_equal(reader.submission.created_us, 7);
	assert_int_equal(reader.submission.recipient_count, 2);
	rest = reader.submission.recipients;
	assert_int_equal(submission_recipient_next(&rest, &recipient), ERR_OK);
	assert_true(slice_equal_str(recipient.address, "user"));
	assert_int_equal(submission_recipient_next(&rest, &recipient), ERR_OK);
	assert_int_equal(recipient.notify, 2);
	assert_int_equal(submission_recipient_next(&rest, &recipient), ERR_NOTFOUND);
	submission_reader_done(&reader);
	buf_done(&bytes);
	buf_done(&content);
}

static void
test_submission_read__damaged_or_cut__is_never_whole(void **state)
{
	struct buf bytes, content;

	(void)state;
	buf_init(&bytes, 0);
	buf_init(&content, 0);
	write_submission(&bytes, "hello\n", "");
	for (size_t i = 0; i < bytes.len; i++) {
		struct submission_reader reader;
		enum err err;

		submission_reader_init(&reader);
		err = read_submission(&reader, slice_head(buf_slice(&bytes), i), 7, &content);
		assert_true(err == ERR_AGAIN);
		submission_reader_done(&reader);
		bytes.ptr[i] ^= 0x80;
		submission_reader_init(&reader);
		err = read_submission(&reader, buf_slice(&bytes), 1000, &content);
		assert_true(err < 0);
		if (err != ERR_AGAIN) {
			struct slice rest = buf_slice(&bytes);

			assert_true(submission_read(&reader, &rest, &content) == ERR_SYNTAX);
		}
		submission_reader_done(&reader);
		bytes.ptr[i] ^= 0x80;
	}
	buf_done(&bytes);
	buf_done(&content);
}

static enum err
read_import(const struct submission_import *import, const char *original, const char *orcpt,
	struct submission_reader *reader)
{
	struct submission_recipient recipient = { SLICE_LIT("a@b.test"), 2 };
	struct submission_detail detail = { slice_str(original), slice_str(orcpt) };
	struct submission submission = { .flags = SUBMISSION_IMPORT, .recipient_count = 1 };
	struct submission_writer writer;
	struct buf list, details, bytes, content;
	enum err err;

	buf_init(&list, 0);
	buf_init(&details, 0);
	buf_init(&bytes, 0);
	buf_init(&content, 0);
	assert_int_equal(submission_put_recipient(&list, &recipient), ERR_OK);
	assert_int_equal(submission_put_detail(&details, &detail), ERR_OK);
	submission.recipients = buf_slice(&list);
	submission.import = *import;
	if (import->details.len == 0)
		submission.import.details = buf_slice(&details);
	submission_writer_init(&writer);
	assert_int_equal(submission_put_head(&writer, &bytes, &submission), ERR_OK);
	assert_int_equal(submission_put_content(&writer, &bytes, SLICE_LIT("x\n")), ERR_OK);
	assert_int_equal(submission_put_end(&writer, &bytes), ERR_OK);
	submission_writer_done(&writer);
	submission_reader_init(reader);
	err = read_submission(reader, buf_slice(&bytes), 3, &content);
	buf_done(&list);
	buf_done(&details);
	buf_done(&bytes);
	buf_done(&content);
	return err;
}

static void
test_submission_read__import__comes_back(void **state)
{
	struct submission_import import = { .flags = SUBMISSION_IMPORT_HOLD,
		.arrival_us = 5,
		.created_us = 6,
		.key = SLICE_LIT("k:1") };
	struct submission_reader reader;
	struct submission_detail detail;
	struct slice rest;

	(void)state;
	assert_int_equal(read_import(&import, "o@b.test", "rfc822;o@b.test", &reader), ERR_OK);
	assert_int_equal(reader.submission.import.flags, SUBMISSION_IMPORT_HOLD);
	assert_int_equal(reader.submission.import.arrival_us, 5);
	assert_int_equal(reader.submission.import.created_us, 6);
	assert_true(slice_equal_str(reader.submission.import.key, "k:1"));
	rest = reader.submission.import.details;
	assert_int_equal(submission_detail_next(&rest, &detail), ERR_OK);
	assert_true(slice_equal_str(detail.original, "o@b.test"));
	assert_true(slice_equal_str(detail.orcpt, "rfc822;o@b.test"));
	assert_int_equal(submission_detail_next(&rest, &detail), ERR_NOTFOUND);
	submission_reader_done(&reader);
}

static void
test_submission_read__bad_import__is_refused(void **state)
{
	const struct {
		struct submission_import import;
		const char *original, *orcpt;
	} bad[] = {
		{ { .key = SLICE_LIT("") }, "", "" },
		{ { .key = SLICE_LIT("a b") }, "", "" },
		{ { .key = SLICE_LIT("a\n") }, "", "" },
		{ { .key = SLICE_LIT("k"), .flags = 8 }, "", "" },
		{ { .key = SLICE_LIT("k") }, "a@@", "" },
		{ { .key = SLICE_LIT("k") }, "", "no-type" },
		{ { .key = SLICE_LIT("k") }, "", "rfc822;a\nb" },
		{ { .key = SLICE_LIT("k"), .details = SLICE_LIT("\0\0\0\0") }, "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct submission_reader reader;

		if (read_import(&bad[i].import, bad[i].original, bad[i].orcpt, &reader)
			!= ERR_SYNTAX)
			fail_msg("case %zu was taken", i);
		submission_reader_done(&reader);
	}
}

static void
test_submission_reply__cut_anywhere__comes_back(void **state)
{
	struct buf bytes;
	struct slice text;
	uint8_t code = 0;

	(void)state;
	buf_init(&bytes, 0);
	assert_int_equal(submission_put_reply(&bytes, 75, SLICE_LIT("later")), ERR_OK);
	for (size_t i = 0; i < bytes.len; i++)
		assert_int_equal(submission_parse_reply(
					 slice_head(buf_slice(&bytes), i), &code, &text),
			ERR_AGAIN);
	assert_int_equal(submission_parse_reply(buf_slice(&bytes), &code, &text), ERR_OK);
	assert_int_equal(code, 75);
	assert_true(slice_equal_str(text, "later"));
	wire_set_u32(&bytes, 0, SUBMISSION_REPLY_TEXT_MAX + 1);
	assert_int_equal(submission_parse_reply(buf_slice(&bytes), &code, &text), ERR_SYNTAX);
	buf_done(&bytes);
}

static void
test_submission_name__only_ours__is_valid(void **state)
{
	(void)state;
	assert_true(submission_name_is_valid(SLICE_LIT("0123456789ABCDEF0123456789ABCDEF")));
	assert_false(submission_name_is_valid(SLICE_LIT("0123456789abcdef0123456789ABCDEF")));
	assert_false(submission_name_is_valid(SLICE_LIT("0123456789ABCDEF0123456789ABCDE")));
	assert_false(submission_name_is_valid(SLICE_LIT(".tmp-56789ABCDEF0123456789ABCDEF")));
	assert_false(submission_name_is_valid(SLICE_LIT("../../../../../../../../etc/pass")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_submission_read__line_ends__become_crlf),
		cmocka_unit_test(test_submission_read__head__comes_back),
		cmocka_unit_test(test_submission_read__damaged_or_cut__is_never_whole),
		cmocka_unit_test(test_submission_read__import__comes_back),
		cmocka_unit_test(test_submission_read__bad_import__is_refused),
		cmocka_unit_test(test_submission_reply__cut_anywhere__comes_back),
		cmocka_unit_test(test_submission_name__only_ours__is_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
