/*
 * test_notice.c - unit tests of message/notice and message/transcript
 *
 * Goal: a transcript stays within its bounds and shows no secret; the mail made of it stays text,
 * whatever strangers said. Method: examples.
 */
#include "message/notice.h"
#include "message/transcript.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void
test_transcript__auth__shows_the_mechanism_only(void **state)
{
	struct transcript transcript;

	(void)state;
	transcript_init(&transcript, true);
	transcript_put(&transcript, "In:  ", SLICE_LIT("auth PLAIN AGEAYg=="));
	transcript_put(&transcript, "In:  ", SLICE_LIT("AUTH LOGIN"));
	transcript_put_lines(&transcript, "Out: ", SLICE_LIT("a\xe4\r\nb\nc"));
	assert_true(slice_equal_str(buf_slice(&transcript.lines),
		"In:  auth PLAIN ...\nIn:  AUTH LOGIN\nOut: a?\nOut: b\nOut: c\n"));
	transcript_done(&transcript);
}

static void
test_transcript__long_session__beginning_is_dropped(void **state)
{
	struct transcript transcript;
	char line[400];

	(void)state;
	transcript_init(&transcript, true);
	for (int i = 0; i < 300; i++) {
		(void)snprintf(line, sizeof(line), "%0*d", i % 7 == 0 ? 390 : 5, i);
		transcript_put(&transcript, "In:  ", slice_str(line));
		assert_true(transcript.lines.len <= TRANSCRIPT_BYTES_MAX);
		assert_true(transcript.line_count <= TRANSCRIPT_LINES_MAX);
	}
	assert_int_equal(transcript.line_count + transcript.dropped, 300);
	assert_true(slice_ends_nocase(buf_slice(&transcript.lines), SLICE_LIT("\nIn:  00299\n")));
	transcript_done(&transcript);
}

static void
test_transcript__not_kept__costs_nothing(void **state)
{
	struct transcript transcript;

	(void)state;
	transcript_init(&transcript, false);
	transcript_put(&transcript, "In:  ", SLICE_LIT("x"));
	transcript_put_lines(&transcript, "In:  ", SLICE_LIT("x\r\n"));
	assert_int_equal(transcript.lines.cap, 0);
	transcript_done(&transcript);
}

/* rules: N27 */
static void
test_notice__is_text__whatever_strangers_said(void **state)
{
	struct notice notice = { .side = NOTICE_CLIENT, .myhostname = SLICE_LIT("me.test"),
		.mail_name = SLICE_LIT("Ostler"), .to = SLICE_LIT("postmaster@me.test"),
		.notice_id = SLICE_LIT("ABC"), .peer = SLICE_LIT("x\r\nBcc: y[192.0.2.1]"),
		.transcript = SLICE_LIT(".\n.\rQUIT\nIn:  \xe4 long word, and 0123456789012345678901234567890"
					"1234567890123456789012345678901234567890123456789\n"),
		.reason = SLICE_LIT("timeout"), .suppressed = 7 };
	struct notice_facts facts;
	struct buf content;

	(void)state;
	buf_init(&content, 0);
	assert_int_equal(notice_format(&notice, &content, &facts), ERR_OK);
	struct slice head = slice_make(content.ptr, facts.head_length), body =
		slice_from(buf_slice(&content), facts.head_length);

	assert_non_null(memmem(head.ptr, head.len,
		"\r\nSubject: Ostler SMTP client: errors from x??Bcc: y[192.0.2.1]\r\n", 62));
	assert_true(slice_ends_nocase(head, SLICE_LIT("\r\n\r\n")));
	assert_null(memmem(body.ptr, body.len, "\n.", 2));
	assert_non_null(memmem(body.ptr, body.len, "were not sent before it: 7\r\n", 28));
	assert_non_null(memmem(body.ptr, body.len, "reason: timeout\r\n", 17));
	while (body.len > 0) {
		size_t end = slice_find(body, '\n');

		assert_true(end > 0 && end <= 81 && body.ptr[end - 1] == '\r');
		for (size_t i = 0; i + 1 < end; i++)
			assert_true(body.ptr[i] >= ' ' && body.ptr[i] < 127);
		body = slice_from(body, end + 1);
	}
	assert_true(facts.message_id.ptr[0] == '<');
	buf_done(&content);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transcript__auth__shows_the_mechanism_only),
		cmocka_unit_test(test_transcript__long_session__beginning_is_dropped),
		cmocka_unit_test(test_transcript__not_kept__costs_nothing),
		cmocka_unit_test(test_notice__is_text__whatever_strangers_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
