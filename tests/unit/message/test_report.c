/*
 * test_report.c - unit tests of delivery reports
 *
 * Goal: a report is byte for byte what rules N39 to N48 say. Method: one failure report in full, then
 * what differs for other kinds, sizes, names and characters.
 */
#include "message/report.h"

#include "message/dsn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <stdio.h>

#include <cmocka.h>

static const char original[] = "Subject: hello\r\n\r\nbody of the original\r\n";

struct world {
	struct report report;
	struct report_recipient recipients[2];
	struct report_facts facts;
	struct buf out;
};

static int
start(void **state)
{
	static struct world world;

	world = (struct world){ .recipients = { {
		.address = SLICE_LIT("a b@dest.test"),
		.original = SLICE_LIT("first@dest.test"),
		.status = SLICE_LIT("5.1.1"),
		.reason = SLICE_LIT("host mx.dest.test[192.0.2.1] said: 550 5.1.1 no such user here "
				    "(in reply to RCPT TO command)"),
		.remote_mta = SLICE_LIT("mx.dest.test"),
		.diagnostic = SLICE_LIT("550 5.1.1 no such user here"),
	}, { .address = SLICE_LIT("c@dest.test"), .orcpt = SLICE_LIT("rfc822;o@dest.test"),
		.status = SLICE_LIT("nonsense"), .reason = SLICE_LIT("lost\r\nX-Evil: 1") } } };
	world.report = (struct report){
		.myhostname = SLICE_LIT("me.test"),
		.report_id = SLICE_LIT("NEW"),
		.queue_id = SLICE_LIT("OLD"),
		.sender = SLICE_LIT("s@client.test"),
		.to = SLICE_LIT("s@client.test"),
		.envid = SLICE_LIT("env id"),
		.message_id = SLICE_LIT("<m@client.test>"),
		.now = { UINT64_C(1700000000) * US_PER_S },
		.arrival = { UINT64_C(1699999000) * US_PER_S },
		.lifetime_s = 432000,
		.expires = { UINT64_C(1700431000) * US_PER_S },
		.head = SLICE_LIT("Received: by me.test\r\n"),
		.content = { (const uint8_t *)original, sizeof(original) - 1 },
		.content_whole = true,
		.content_head_length = 18,
		.size_limit = 50000,
		.recipients = world.recipients,
		.recipient_count = 2,
	};
	buf_init(&world.out, 0);
	*state = &world;
	return 0;
}

static int
stop(void **state)
{
	buf_done(&((struct world *)*state)->out);
	return 0;
}

static const char *
format(struct world *world)
{
	const char *text = "";

	buf_clear(&world->out);
	assert_int_equal(report_format(&world->report, &world->out, &world->facts), ERR_OK);
	assert_int_equal(buf_cstr(&world->out, &text), ERR_OK);
	return text;
}

static void
expect(const char *text, const char *wanted)
{
	if (strstr(text, wanted) == NULL) {
		print_error("not there: %s\n", wanted);
		fail();
	}
}

/* rules: N39 N47 T70 T71 */
static void
test_N39__header__has_its_fields_in_order(void **state)
{
	struct world *world = *state;
	const char *text = format(world);
	static const char header[] =
		"Date: Tue, 14 Nov 2023 22:13:20 +0000 (UTC)\r\n"
		"From: Mail Delivery System <MAILER-DAEMON@me.test>\r\n"
		"Subject: Undelivered Mail Returned to Sender\r\n"
		"To: s@client.test\r\n"
		"Message-ID: <20231114221320.NEW@me.test>\r\n"
		"Auto-Submitted: auto-replied\r\n"
		"MIME-Version: 1.0\r\n"
		"Content-Type: multipart/report; report-type=delivery-status;\r\n"
		"\tboundary=\"NEW.1700000000/me.test\"\r\n"
		"Content-Transfer-Encoding: 7bit\r\n\r\n"
		"This is a MIME-encapsulated message.\r\n";

	assert_true(strncmp(text, header, sizeof(header) - 1) == 0);
	assert_int_equal(world->facts.head_length, strstr(text, "\r\n\r\n") + 4 - text);
	assert_true(slice_equal_str(world->facts.message_id, "<20231114221320.NEW@me.test>"));
	world->report.from_obsolete = true;
	expect(format(world), "From: MAILER-DAEMON@me.test (Mail Delivery System)\r\nSubject: ");
	assert_null(strstr(format(world), "References:"));
	world->report.threaded = true;
	expect(format(world), "References: <m@client.test>\r\nIn-Reply-To: <m@client.test>\r\n");
}

/* rules: N40 */
static void
test_N40__text__names_each_recipient_and_wraps(void **state)
{
	const char *text = format(*state);

	expect(text, "\r\n--NEW.1700000000/me.test\r\nContent-Description: Notification\r\n"
		     "Content-Type: text/plain; charset=us-ascii\r\n\r\n"
		     "This is the mail system at host me.test.\r\n");
	expect(text, "\r\n\r\n<\"a b\"@dest.test> (expanded from <first@dest.test>): host\r\n"
		     "    mx.dest.test[192.0.2.1] said: 550 5.1.1 no such user here (in reply to RCPT\r\n"
		     "    TO command)\r\n\r\n<c@dest.test>: lost??X-Evil: 1\r\n");
}

/* rules: N41 N42 N46 */
static void
test_N42__machine_part__has_all_fields(void **state)
{
	struct world *world = *state;

	expect(format(world),
		"\r\n--NEW.1700000000/me.test\r\nContent-Description: Delivery report\r\n"
		"Content-Type: message/delivery-status\r\n\r\n"
		"Reporting-MTA: dns; me.test\r\nOriginal-Envelope-Id: env id\r\n"
		"X-Ostler-Queue-ID: OLD\r\nX-Ostler-Sender: rfc822; s@client.test\r\n"
		"Arrival-Date: Tue, 14 Nov 2023 21:56:40 +0000 (UTC)\r\n\r\n"
		"Final-Recipient: rfc822; \"a b\"@dest.test\r\n"
		"Original-Recipient: rfc822; first@dest.test\r\nAction: failed\r\nStatus: 5.1.1\r\n"
		"Remote-MTA: dns; mx.dest.test\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user here\r\n\r\n"
		"Final-Recipient: rfc822; c@dest.test\r\nOriginal-Recipient: rfc822;o@dest.test\r\n"
		"Action: failed\r\nStatus: 5.0.0\r\nDiagnostic-Code: X-Ostler; lost??X-Evil: 1\r\n");
	world->report.mail_name = SLICE_LIT("Our Mail/2");
	world->report.sender = slice_make(NULL, 0);
	expect(format(world), "X-Our-Mail-2-Queue-ID: OLD\r\n"
			      "X-Our-Mail-2-Sender: rfc822; MAILER-DAEMON\r\n");
}

/* rules: N43 N44 N45 N61 */
static void
test_N44__original__whole_or_its_header(void **state)
{
	struct world *world = *state;

	expect(format(world), "Content-Description: Undelivered Message\r\nContent-Type: message/rfc822\r\n\r\n"
			      "Return-Path: <s@client.test>\r\nReceived: by me.test\r\nSubject: hello\r\n\r\n"
			      "body of the original\r\n\r\n--NEW.1700000000/me.test--\r\n");
	world->report.size_limit = world->report.head.len + world->report.content.len;
	expect(format(world), "body of the original");
	world->report.size_limit--;
	expect(format(world), "Content-Description: Undelivered Message Headers\r\n"
			      "Content-Type: text/rfc822-headers\r\n\r\nReturn-Path: <s@client.test>\r\n");
	assert_null(strstr(format(world), "body of the original"));
	world->report.size_limit = 50000;
	world->report.ret = DSN_RET_HDRS;
	assert_null(strstr(format(world), "body of the original"));
}

/* rules: N49 N50 */
static void
test_N49__template__takes_the_place_of_our_words(void **state)
{
	struct world *world = *state;
	const char *text;

	world->report.template = (struct report_template){ .is_set = true,
		.charset = SLICE_LIT("utf-8"),
		.from = SLICE_LIT("MAILER-DAEMON (Post)"),
		.subject = SLICE_LIT("Back"),
		.postmaster_subject = SLICE_LIT("Copy"),
		.text = SLICE_LIT("Gr\xc3\xbc\xc3\x9f" "e.\r\n") };
	text = format(world);
	expect(text, "From: MAILER-DAEMON@me.test (Post)\r\nSubject: Back\r\n");
	expect(text, "Content-Transfer-Encoding: 8bit\r\n\r\nThis is a MIME");
	expect(text, "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
		     "\r\nGr\xc3\xbc\xc3\x9f" "e.\r\n\r\n<\"a b\"@dest.test>");
	assert_null(strstr(text, "This is the mail system"));
	world->report.template.from = SLICE_LIT("The Post <post@x.test>");
	world->report.postmaster = true;
	text = format(world);
	expect(text, "From: The Post <post@x.test>\r\nSubject: Copy\r\n");
	assert_null(strstr(text, "Gr\xc3"));
	expect(text, "charset=us-ascii");
	world->report.template.from = SLICE_LIT("The Post <post>");
	expect(format(world), "From: The Post <post@me.test>\r\n");
}

/* rules: N33 */
static void
test_N33__unreadable_original__has_a_line_in_its_place(void **state)
{
	struct world *world = *state;

	world->report.content = slice_make(NULL, 0);
	world->report.content_missing = true;
	expect(format(world), "Content-Type: text/rfc822-headers\r\n\r\n"
			      "Return-Path: <s@client.test>\r\nReceived: by me.test\r\n"
			      "--- Undelivered message unavailable ---\r\n\r\n--NEW");
}

/* rules: N41 N42 N43 */
static void
test_N43__utf8__has_the_global_types(void **state)
{
	struct world *world = *state;
	const char *text;

	world->report.smtputf8 = true;
	world->recipients[0].address = SLICE_LIT("\xc3\xa4@dest.test");
	text = format(world);
	expect(text, "charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n");
	expect(text, "Content-Type: message/global-delivery-status\r\n");
	expect(text, "Final-Recipient: utf-8; \xc3\xa4@dest.test\r\n");
	expect(text, "Content-Type: message/global\r\n");
	assert_true(world->facts.eight_bit);
}

/* rules: N8 */
static void
test_N8__success__says_by_whom(void **state)
{
	struct world *world = *state;

	world->report.kind = REPORT_SUCCESS;
	world->recipients[0].action = world->recipients[1].action = REPORT_ACTION_RELAYED;
	world->recipients[0].diagnostic = slice_make(NULL, 0);
	world->recipients[0].reason = SLICE_LIT("250 2.0.0 Ok");
	expect(format(world), "delivery via mx.dest.test:\r\n    250 2.0.0 Ok\r\n");
	/* As seen of Postfix: what the next hop replied is a diagnostic of its own. */
	expect(format(world), "Diagnostic-Code: smtp; 250 2.0.0 Ok\r\n");
	expect(format(world), "<c@dest.test>: lost??X-Evil: 1\r\n");
	world->recipients[0].action = REPORT_ACTION_DELAYED;
	world->report.kind = REPORT_DELAY;
	assert_null(strstr(format(world), "delivery via"));
}

/* rules: N14 N42 N48 */
static void
test_N48__kinds__have_their_subjects(void **state)
{
	static const struct {
		enum report_kind kind;
		bool postmaster;
		const char *subject;
	} cases[] = { { REPORT_FAILURE, true, "Postmaster Copy: Undelivered Mail" },
		{ REPORT_DELAY, false, "Delayed Mail (still being retried)" },
		{ REPORT_DELAY, true, "Postmaster Warning: Delayed Mail" },
		{ REPORT_SUCCESS, false, "Successful Mail Delivery Report" },
		{ REPORT_VERIFY, false, "Mail Delivery Status Report" } };
	struct world *world = *state;

	world->recipients[0].action = world->recipients[1].action = REPORT_ACTION_RELAYED;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *text;
		char line[100];

		world->report.kind = cases[i].kind;
		world->report.postmaster = cases[i].postmaster;
		text = format(world);
		(void)snprintf(line, sizeof(line), "Subject: %s\r\n", cases[i].subject);
		expect(text, line);
		expect(text, cases[i].postmaster ? "Auto-Submitted: auto-generated\r\n"
						 : "Auto-Submitted: auto-replied\r\n");
		assert_true((strstr(text, "This is the mail system") == NULL) == cases[i].postmaster);
		assert_true((strstr(text, "Will-Retry-Until: Sun, 19 Nov 2023 21:56:40 +0000 (UTC)") !=
				    NULL) == (cases[i].kind == REPORT_DELAY));
		expect(text, cases[i].kind == REPORT_FAILURE ? "Action: failed" : "Action: relayed");
	}
	world->report.kind = REPORT_SUCCESS;
	assert_null(strstr(format(world), "body of the original"));
}

/* A stranger's content that holds our boundary cannot end a part. */
static void
test_boundary__in_the_original__another_is_taken(void **state)
{
	struct world *world = *state;

	world->report.content = SLICE_LIT("Subject: x\r\n\r\n--NEW.1700000000/me.test--\r\n");
	expect(format(world), "boundary=\"NEW.1700000000-1/me.test\"");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_N39__header__has_its_fields_in_order),
		TEST(test_N40__text__names_each_recipient_and_wraps),
		TEST(test_N42__machine_part__has_all_fields),
		TEST(test_N44__original__whole_or_its_header),
		TEST(test_N49__template__takes_the_place_of_our_words),
		TEST(test_N33__unreadable_original__has_a_line_in_its_place),
		TEST(test_N43__utf8__has_the_global_types),
		TEST(test_N8__success__says_by_whom),
		TEST(test_N48__kinds__have_their_subjects),
		TEST(test_boundary__in_the_original__another_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
