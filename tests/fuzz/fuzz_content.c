/*
 * fuzz_content.c - any bytes as a message's content, and as strangers' text in fields and reports
 *
 * The header scan must not depend on how content is split; nothing that a stranger wrote breaks a
 * field, a line or a MIME boundary of what we make of it, and a notice stays plain ASCII.
 */
#include "base/check.h"
#include "local/local_core.h"
#include "message/header.h"
#include "message/notice.h"
#include "message/received.h"
#include "message/report.h"
#include "message/transcript.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All but what tells how far the scan is. */
static void
check_same(const struct header *a, const struct header *b)
{
	CHECK(a->fields == b->fields && a->hop_count == b->hop_count && a->length == b->length &&
		a->head_length == b->head_length && a->line_longest == b->line_longest &&
		a->eight_bit == b->eight_bit && a->dotted == b->dotted &&
		a->separator_missing == b->separator_missing);
	CHECK(slice_equal(header_message_id(a), header_message_id(b)));
	CHECK(a->head_length <= a->length);
}

static void
fuzz_header(struct slice content)
{
	struct header whole, bytewise;

	header_init(&whole);
	header_feed(&whole, content);
	header_finish(&whole);
	header_init(&bytewise);
	for (size_t i = 0; i < content.len; i++)
		header_feed(&bytewise, slice_make(content.ptr + i, 1));
	header_finish(&bytewise);
	check_same(&whole, &bytewise);
	(void)local_delivered_to_find(content, SLICE_LIT("a@local.test"), NULL);
}

/* `allow_folds`: lines may begin with a blank. */
static void
check_fields(struct slice head)
{
	CHECK(head.len >= 2 && head.ptr[head.len - 1] == '\n');
	for (size_t i = 0; i < head.len; i++) {
		CHECK(head.ptr[i] != '\0');
		if (head.ptr[i] == '\n')
			CHECK(i > 1 && head.ptr[i - 1] == '\r' && head.ptr[i - 2] != '\n');
		if (head.ptr[i] == '\r')
			CHECK(i + 1 < head.len && head.ptr[i + 1] == '\n');
	}
}

static void
fuzz_received(struct slice text)
{
	struct received received = { .helo = text, .client_name = text,
		.client_address = SLICE_LIT("192.0.2.1"), .myhostname = SLICE_LIT("ostler.test"),
		.mail_name = SLICE_LIT("Ostler"), .protocol = SLICE_LIT("ESMTP"),
		.queue_id = SLICE_LIT("ABC"), .recipient = text };
	struct buf head;

	buf_init(&head, 0);
	if (received_format(&received, &head) == ERR_OK) {
		unsigned fields = 0;

		check_fields(buf_slice(&head));
		for (size_t i = 0; i + 1 < head.len; i++)
			if (head.ptr[i] == '\n' && head.ptr[i + 1] != ' ' && head.ptr[i + 1] != '\t')
				fields++;
		CHECK(fields == 0);
	}
	buf_clear(&head);
	if (received_format_from(&head, text, text) == ERR_OK)
		check_fields(buf_slice(&head));
	buf_done(&head);
}

static void
fuzz_report(struct slice text, struct slice content)
{
	struct report_recipient recipient = { .address = text, .original = text, .orcpt = text,
		.status = text, .reason = text, .remote_mta = text, .diagnostic = text };
	struct report report = { .kind = text.len % 4, .myhostname = SLICE_LIT("ostler.test"),
		.report_id = SLICE_LIT("ABC"), .queue_id = SLICE_LIT("DEF"), .sender = text,
		.to = text, .envid = text, .message_id = text, .content = content,
		.content_whole = true, .content_head_length = content.len, .size_limit = 50000,
		.recipients = &recipient, .recipient_count = 1 };
	struct report_facts facts;
	struct buf out;

	buf_init(&out, 0);
	if (report_format(&report, &out, &facts) == ERR_OK) {
		CHECK(facts.head_length > 0 && facts.head_length < out.len);
		check_fields(slice_make(out.ptr, facts.head_length - 2));
	} else {
		CHECK(out.len == 0);
	}
	buf_done(&out);
}

/* What was said in a session, as it is kept and as a mail. */
static void
fuzz_notice(struct slice text)
{
	struct transcript transcript;
	struct notice notice = { .side = text.len % NOTICE_SIDE_COUNT,
		.myhostname = SLICE_LIT("ostler.test"), .mail_name = SLICE_LIT("Ostler"),
		.to = SLICE_LIT("postmaster@ostler.test"), .notice_id = SLICE_LIT("ABC"),
		.peer = slice_head(text, 300), .reason = slice_head(text, 300) };
	struct notice_facts facts;
	struct buf out;

	transcript_init(&transcript, true);
	transcript_put_lines(&transcript, "In:  ", text);
	CHECK(transcript.lines.len <= TRANSCRIPT_BYTES_MAX);
	CHECK(transcript.line_count <= TRANSCRIPT_LINES_MAX);
	notice.transcript = text.len % 3 == 0 ? text : buf_slice(&transcript.lines);
	buf_init(&out, 0);
	CHECK(notice_format(&notice, &out, &facts) == ERR_OK);
	check_fields(slice_make(out.ptr, facts.head_length - 2));
	for (size_t i = 0; i < out.len; i++) {
		CHECK(out.ptr[i] < 127);
		CHECK(out.ptr[i] >= ' ' || out.ptr[i] == '\r' || out.ptr[i] == '\n');
		CHECK(out.ptr[i] != '.' || i == 0 || out.ptr[i - 1] != '\n');
	}
	buf_done(&out);
	transcript_done(&transcript);
}

static void
fuzz_alias(struct slice value)
{
	struct slice entry;
	struct buf scratch;
	size_t count = 0;

	buf_init(&scratch, 0);
	while (local_alias_next(&value, &scratch, &entry))
		CHECK(++count <= 1 << 20);
	buf_done(&scratch);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice all = slice_make(data, size);
	size_t cut = slice_find(all, '\n');

	fuzz_header(all);
	fuzz_received(slice_head(all, 2000));
	fuzz_report(slice_head(all, cut), slice_from(all, cut + 1));
	fuzz_alias(all);
	fuzz_notice(all);
	return 0;
}
