/*
 * test_smtp_proto.c - unit tests of the client's conversation
 *
 * Goal: each reply ends as RFC 5321 and rules J17 and Y8 say, per recipient. Method: a script of
 * what the server says; what we send is compared byte for byte.
 */
#include "smtp/smtp_proto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define HELLO "220 dest.test ESMTP\r\n250-dest.test\r\n"
#define SENT_HELLO "EHLO me.test\r\n"

struct world {
	struct smtp_proto proto;
	struct ipc_recipient recipients[2];
	struct smtp_job job;
};

static int
start(void **state)
{
	static struct world world;

	world = (struct world){ .recipients = { { .number = 4, .address = SLICE_LIT("a@dest.test") },
					{ .number = 7, .address = SLICE_LIT("b c@dest.test"),
						.notify = 1,
						.orcpt = SLICE_LIT("rfc822;b+c@x.test") } } };
	world.job = (struct smtp_job){ .sender = SLICE_LIT("s@client.test"),
		.recipients = world.recipients, .count = 2, .size = 1234 };
	smtp_proto_init(
		&world.proto, false, "me.test", SLICE_LIT("dest.test[192.0.2.1]"));
	*state = &world;
	return 0;
}

static int
stop(void **state)
{
	smtp_proto_done(&((struct world *)*state)->proto);
	return 0;
}

static void
say(struct world *world, const char *text)
{
	smtp_proto_input(&world->proto, slice_str(text));
}

static void
expect(struct world *world, const char *text)
{
	struct slice out = buf_slice(&world->proto.out);

	if (!slice_equal_str(out, text))
		print_error("sent: %" SLICE_FMT "\nwanted: %s\n", SLICE_ARG(out), text);
	assert_true(slice_equal_str(out, text));
	buf_clear(&world->proto.out);
}

static void
expect_outcome(struct world *world, uint32_t index, enum ipc_outcome_kind kind, const char *dsn,
	const char *reason)
{
	const struct smtp_outcome *outcome = &world->proto.outcomes[index];

	assert_true(world->proto.finished && outcome->decided);
	assert_int_equal(outcome->kind, kind);
	assert_string_equal(outcome->dsn, dsn);
	assert_string_equal(outcome->reason, reason);
}

/* Greeting, hello, a job begun; what was sent for it stays in `out`. */
static void
begin(struct world *world, const char *hello)
{
	say(world, hello);
	assert_int_equal(world->proto.state, SMTP_IDLE);
	buf_clear(&world->proto.out);
	smtp_proto_begin(&world->proto, &world->job);
}

static void
test_greeting_5xx__skipped_or_bounced(void **state)
{
	struct world *world = *state;

	say(world, "554 5.7.1 go away\r\n");
	assert_int_equal(world->proto.state, SMTP_OVER);
	assert_string_equal(world->proto.site_dsn, "4.7.1");
	assert_int_equal(stop(state), 0);
	assert_int_equal(start(state), 0);
	world->proto.bounces_5xx_greeting = true; /* smtp_skip_5xx_greeting = no */
	begin(world, "554 5.7.1 go away\r\n");
	for (uint32_t i = 0; i < 2; i++)
		expect_outcome(world, i, IPC_OUTCOME_BOUNCED, "5.7.1",
			"host dest.test[192.0.2.1] refused to talk to me: 554 5.7.1 go away");
	expect(world, "");
	assert_int_equal(stop(state), 0);
	assert_int_equal(start(state), 0);
	world->proto.bounces_5xx_greeting = true;
	say(world, "421 4.3.2 not now\r\n");
	assert_int_equal(world->proto.state, SMTP_OVER);
}

/* rules: N62 */
static void
test_pipelining__envelope_is_one_write__then_body_then_idle(void **state)
{
	struct world *world = *state;

	begin(world, HELLO "250-PIPELINING\r\n250-SIZE 5000\r\n250-DSN\r\n250 8BITMIME\r\n");
	expect(world, "MAIL FROM:<s@client.test> SIZE=1234\r\nRCPT TO:<a@dest.test>\r\n"
		      "RCPT TO:<\"b c\"@dest.test> NOTIFY=NEVER ORCPT=rfc822;b+2Bc@x.test\r\nDATA\r\n");
	say(world, "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n");
	assert_false(world->proto.wants_body);
	say(world, "354 go\r\n");
	assert_true(world->proto.wants_body);
	smtp_proto_body_sent(&world->proto);
	say(world, "250 2.0.0 Ok: queued as X\r\n");
	expect_outcome(world, 0, IPC_OUTCOME_DELIVERED, "2.0.0", "250 2.0.0 Ok: queued as X");
	expect_outcome(world, 1, IPC_OUTCOME_DELIVERED, "2.0.0", "250 2.0.0 Ok: queued as X");
	assert_int_equal(world->proto.state, SMTP_IDLE);
	expect(world, "");
}

/* RFC 6710: told to the next hop, if that knows what it is. */
static void
test_mt_priority__offered_or_not__is_passed_on_or_kept(void **state)
{
	struct world *world = *state;

	world->job.priority = -4;
	begin(world, HELLO "250 MT-PRIORITY MIXER\r\n");
	expect(world, "MAIL FROM:<s@client.test> MT-PRIORITY=-4\r\n");
	assert_int_equal(stop(state), 0);
	assert_int_equal(start(state), 0);
	world->job.priority = 9;
	begin(world, HELLO "250 DSN\r\n");
	expect(world, "MAIL FROM:<s@client.test>\r\n");
}

static void
test_no_pipelining__each_command_waits_for_its_reply(void **state)
{
	struct world *world = *state;

	begin(world, "220 x\r\n250 dest.test\r\n");
	expect(world, "MAIL FROM:<s@client.test>\r\n");
	say(world, "250 Ok\r\n");
	expect(world, "RCPT TO:<a@dest.test>\r\n");
	say(world, "250 Ok\r\n");
	expect(world, "RCPT TO:<\"b c\"@dest.test>\r\n");
	say(world, "250 Ok\r\n");
	expect(world, "DATA\r\n");
}

/* rules: J17 */
static void
test_recipients__each_has_its_own_fate(void **state)
{
	struct world *world = *state;

	begin(world, HELLO "250 PIPELINING\r\n");
	say(world, "250 Ok\r\n550 5.1.1 no such user\r\n250 Ok\r\n354 go\r\n");
	smtp_proto_body_sent(&world->proto);
	say(world, "250 2.0.0 taken\r\n");
	expect_outcome(world, 0, IPC_OUTCOME_BOUNCED, "5.1.1",
		"host dest.test[192.0.2.1] said: 550 5.1.1 no such user (in reply to RCPT TO command)");
	expect_outcome(world, 1, IPC_OUTCOME_DELIVERED, "2.0.0", "250 2.0.0 taken");
}

static void
test_nobody_left__pipelined_data_gets_an_empty_message(void **state)
{
	struct world *world = *state;

	begin(world, HELLO "250 PIPELINING\r\n");
	buf_clear(&world->proto.out);
	say(world, "250 Ok\r\n550 5.1.1 a\r\n450 4.2.0 b\r\n354 go\r\n");
	expect(world, ".\r\n");
	assert_false(world->proto.finished || world->proto.wants_body);
	say(world, "250 2.0.0 nothing taken\r\n");
	expect_outcome(world, 0, IPC_OUTCOME_BOUNCED, "5.1.1",
		"host dest.test[192.0.2.1] said: 550 5.1.1 a (in reply to RCPT TO command)");
	expect_outcome(world, 1, IPC_OUTCOME_DEFERRED, "4.2.0",
		"host dest.test[192.0.2.1] said: 450 4.2.0 b (in reply to RCPT TO command)");
	assert_int_equal(world->proto.state, SMTP_IDLE);
}

static void
test_nobody_left__without_pipelining__rset(void **state)
{
	struct world *world = *state;

	begin(world, "220 x\r\n250 dest.test\r\n");
	say(world, "250 Ok\r\n");
	say(world, "550 5.1.1 a\r\n");
	buf_clear(&world->proto.out);
	say(world, "550 5.1.1 b\r\n");
	expect(world, "RSET\r\n");
	assert_true(world->proto.finished);
	assert_int_equal(world->proto.state, SMTP_RSET);
	say(world, "250 Ok\r\n");
	assert_int_equal(world->proto.state, SMTP_IDLE);
}

/* rules: X6 X7 Y8 */
static void
test_mail_refused__all_recipients_share_it(void **state)
{
	struct world *world = *state;

	begin(world, "220 x\r\n250 dest.test\r\n");
	say(world, "451 4.3.0 busy\r\n");
	for (uint32_t i = 0; i < 2; i++)
		expect_outcome(world, i, IPC_OUTCOME_DEFERRED, "4.3.0",
			"host dest.test[192.0.2.1] said: 451 4.3.0 busy (in reply to MAIL FROM command)");
	assert_int_equal(world->proto.state, SMTP_IDLE);
	assert_string_equal(world->proto.site_reason, "");
}

static void
test_size_and_utf8__known_beforehand__nothing_is_sent(void **state)
{
	struct world *world = *state;

	begin(world, HELLO "250 SIZE 1000\r\n");
	expect(world, "");
	expect_outcome(world, 0, IPC_OUTCOME_BOUNCED, "5.3.4",
		"message size 1234 exceeds size limit 1000 of server dest.test[192.0.2.1]");
	world->proto.finished = false;
	world->job.size = 10;
	world->job.smtputf8 = world->job.needs_smtputf8 = true;
	smtp_proto_begin(&world->proto, &world->job);
	expect_outcome(world, 1, IPC_OUTCOME_BOUNCED, "5.6.7",
		"SMTPUTF8 is required, but was not offered by host dest.test[192.0.2.1]");
	world->proto.finished = false;
	world->job.needs_smtputf8 = false;
	world->job.misfit = "why";
	smtp_proto_begin(&world->proto, &world->job);
	expect_outcome(world, 0, IPC_OUTCOME_BOUNCED, "5.6.3",
		"8BITMIME is required, but was not offered by host dest.test[192.0.2.1]: why");
}

/* rules: Y8 */
static void
test_greeting_and_hello__refused__are_trouble_of_the_site(void **state)
{
	struct world *world = *state;

	say(world, "554 5.7.1 go away\r\n");
	assert_true(smtp_proto_handshake_failed(&world->proto));
	assert_string_equal(world->proto.site_dsn, "4.7.1");
	assert_string_equal(world->proto.site_reason,
		"host dest.test[192.0.2.1] refused to talk to me: 554 5.7.1 go away");
}

static void
test_ehlo_unknown__helo(void **state)
{
	struct world *world = *state;

	say(world, "220 x\r\n");
	expect(world, SENT_HELLO);
	say(world, "502 5.5.1 what?\r\n");
	expect(world, "HELO me.test\r\n");
	say(world, "250 dest.test\r\n");
	assert_int_equal(world->proto.state, SMTP_IDLE);
	assert_int_equal(world->proto.caps, 0);
}

static void
test_421__ends_all_at_once(void **state)
{
	struct world *world = *state;

	begin(world, HELLO "250 PIPELINING\r\n");
	say(world, "250 Ok\r\n421 4.3.2 shutting down\r\n");
	expect_outcome(world, 1, IPC_OUTCOME_DEFERRED, "4.3.2",
		"host dest.test[192.0.2.1] said: 421 4.3.2 shutting down (in reply to a command)");
	assert_int_equal(world->proto.state, SMTP_OVER);
}

/* rules: X8 Y8 */
static void
test_lost__stage_is_named__site_is_blamed(void **state)
{
	struct world *world = *state;

	begin(world, HELLO "250 PIPELINING\r\n");
	say(world, "250 Ok\r\n");
	smtp_proto_lost(&world->proto, true);
	expect_outcome(world, 0, IPC_OUTCOME_DEFERRED, "4.4.2",
		"conversation with dest.test[192.0.2.1] timed out while sending RCPT TO");
	assert_string_equal(world->proto.site_reason,
		"conversation with dest.test[192.0.2.1] timed out while sending RCPT TO");
}

static void
test_replies_nobody_asked_for__end_the_session(void **state)
{
	struct world *world = *state;

	say(world, HELLO "250 PIPELINING\r\n");
	say(world, "250 Ok\r\n");
	assert_int_equal(world->proto.state, SMTP_OVER);
}

static void
test_354_to_rcpt__is_no_acceptance(void **state)
{
	struct world *world = *state;

	begin(world, HELLO "250 PIPELINING\r\n");
	say(world, "250 Ok\r\n354 what\r\n354 what\r\n503 5.5.1 nobody\r\n");
	assert_int_equal(world->proto.outcomes[0].kind, IPC_OUTCOME_DEFERRED);
	assert_string_equal(world->proto.outcomes[0].dsn, "4.5.0");
}

static void
test_lmtp__one_reply_per_accepted_recipient(void **state)
{
	struct world *world = *state;

	smtp_proto_done(&world->proto);
	smtp_proto_init(&world->proto, true, "me.test", SLICE_LIT("dest.test[192.0.2.1]"));
	say(world, "220 x\r\n");
	expect(world, "LHLO me.test\r\n");
	say(world, "250-x\r\n250 PIPELINING\r\n");
	smtp_proto_begin(&world->proto, &world->job);
	say(world, "250 Ok\r\n250 Ok\r\n250 Ok\r\n354 go\r\n");
	smtp_proto_body_sent(&world->proto);
	say(world, "250 2.0.0 first\r\n");
	assert_false(world->proto.finished);
	say(world, "452 4.2.2 quota\r\n");
	expect_outcome(world, 0, IPC_OUTCOME_DELIVERED, "2.0.0", "250 2.0.0 first");
	expect_outcome(world, 1, IPC_OUTCOME_DEFERRED, "4.2.2",
		"host dest.test[192.0.2.1] said: 452 4.2.2 quota (in reply to end of DATA command)");
}

static void
test_damaged_address__never_becomes_a_command(void **state)
{
	struct world *world = *state;

	world->recipients[0].address = SLICE_LIT("a>\r\nRSET <\x01@x");
	world->job.count = 1;
	begin(world, HELLO "250 PIPELINING\r\n");
	expect(world, "MAIL FROM:<s@client.test>\r\nRCPT TO:<a???RSET???@x>\r\nDATA\r\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_greeting_5xx__skipped_or_bounced),
		TEST(test_pipelining__envelope_is_one_write__then_body_then_idle),
		TEST(test_mt_priority__offered_or_not__is_passed_on_or_kept),
		TEST(test_no_pipelining__each_command_waits_for_its_reply),
		TEST(test_recipients__each_has_its_own_fate),
		TEST(test_nobody_left__pipelined_data_gets_an_empty_message),
		TEST(test_nobody_left__without_pipelining__rset),
		TEST(test_mail_refused__all_recipients_share_it),
		TEST(test_size_and_utf8__known_beforehand__nothing_is_sent),
		TEST(test_greeting_and_hello__refused__are_trouble_of_the_site),
		TEST(test_ehlo_unknown__helo),
		TEST(test_421__ends_all_at_once),
		TEST(test_lost__stage_is_named__site_is_blamed),
		TEST(test_replies_nobody_asked_for__end_the_session),
		TEST(test_354_to_rcpt__is_no_acceptance),
		TEST(test_lmtp__one_reply_per_accepted_recipient),
		TEST(test_damaged_address__never_becomes_a_command),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
