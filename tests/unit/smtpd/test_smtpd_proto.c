/*
 * test_smtpd_proto.c - unit tests of the server's conversation
 *
 * Goal: replies, order of commands, relay rules, limits and what is stored, as RFC 5321 and rules J1
 * to J5 say. Method: a script of the client's lines; replies are compared byte for byte.
 */
#include "smtpd/smtpd_proto.h"

#include "config/compile.h"
#include "message/dsn.h"
#include "message/envelope.h"
#include "message/recipient_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

struct world {
	struct smtpd_proto proto;
	struct log log;
	struct buf image, warnings;
	struct config *config;
	enum ipc_intake_status intake_state;
	uint64_t next_id;
	unsigned commits, aborts;
	bool is_throttled;
};

static enum ipc_intake_status
world_intake_state(void *ctx)
{
	return ((struct world *)ctx)->intake_state;
}

static uint64_t
world_queue_id(void *ctx)
{
	return ((struct world *)ctx)->next_id;
}

static void
world_commit(void *ctx)
{
	((struct world *)ctx)->commits++;
}

static void
world_abort(void *ctx)
{
	((struct world *)ctx)->aborts++;
}

static bool
world_may_send(void *ctx)
{
	return !((struct world *)ctx)->is_throttled;
}

static const struct smtpd_ops ops = { world_intake_state, world_queue_id, world_commit,
	world_may_send, world_abort };

static int
start_with(void **state, const char *more)
{
	static struct world world;
	const char *overrides[] = { "mydestination=local.test",
		"relay_domains=relay.test", "virtual_alias_domains=virtual.test",
		"virtual_alias_maps=inline:{ { v@virtual.test = x@local.test, y@dest.test } "
		"{ v@local.test = y@dest.test } }",
		"smtpd_recipient_limit=3", "message_size_limit=1000", "hopcount_limit=2",
		"smtpd_soft_error_limit=2", "smtpd_hard_error_limit=4", "myorigin=local.test",
		"smtpd_forbid_bare_newline_reject_code=521",
		"recipient_delimiter=+", "alias_maps=inline:{ { alias = a@dest.test } }", more };
	struct config_options options = { .directory_fd = -1, .overrides = overrides,
		.override_count = sizeof(overrides) / sizeof(overrides[0]), .hostname = "me.test" };
	struct fault fault = { 0 };

	world = (struct world){ .next_id = 1000 };
	buf_init(&world.image, 0);
	buf_init(&world.warnings, 0);
	if (config_compile(&options, &world.image, &world.warnings, &fault) != ERR_OK ||
		config_open(buf_slice(&world.image), &world.config, &fault) != ERR_OK) {
		print_error("%s\n", fault.text);
		return -1;
	}
	log_init_null(&world.log);
	world.proto = (struct smtpd_proto){ .config = world.config, .log = &world.log, .ops = &ops,
		.ctx = &world, .name = "client.test", .address = "192.0.2.1", .is_trusted = true,
		.bare_newline = CONFIG_BARE_NEWLINE_NORMALIZE };
	smtpd_proto_init(&world.proto);
	*state = &world;
	return 0;
}

static int
start(void **state)
{
	return start_with(state, "mail_name=Ostler");
}

static int
stop(void **state)
{
	struct world *world = *state;

	smtpd_proto_done(&world->proto);
	config_close(world->config);
	buf_done(&world->image);
	buf_done(&world->warnings);
	return 0;
}

/* All of `text` in one packet; returns what was taken. */
static size_t
say(struct world *world, const char *text)
{
	return smtpd_proto_input(&world->proto, slice_str(text));
}

static void
expect(struct world *world, const char *replies)
{
	struct slice out = buf_slice(&world->proto.out);

	if (!slice_equal_str(out, replies))
		print_error("said: %" SLICE_FMT "\nwanted: %s\n", SLICE_ARG(out), replies);
	assert_true(slice_equal_str(out, replies));
	buf_clear(&world->proto.out);
}

static void
hello(struct world *world)
{
	(void)say(world, "EHLO client.test\r\n");
	buf_clear(&world->proto.out);
}

static void
test_ehlo__offers_what_is_there(void **state)
{
	(void)say(*state, "EHLO client.test\r\n");
	expect(*state, "250-me.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-ENHANCEDSTATUSCODES\r\n"
		       "250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250 CHUNKING\r\n");
}

static void
test_message__pipelined__is_stored_and_acknowledged(void **state)
{
	struct world *world = *state;
	struct recipient_list_reader reader;
	struct recipient_entry entry;

	hello(world);
	(void)say(world, "MAIL FROM:<s@client.test>\r\nRCPT TO:<a@dest.test> NOTIFY=FAILURE\r\nDATA\r\n");
	expect(world, "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n");
	(void)say(world, "Subject: x\r\n\r\n..dot\r\n.\r\nNOOP\r\n");
	assert_int_equal(world->proto.state, SMTPD_WAIT);
	assert_int_equal(world->commits, 1);
	expect(world, "");
	assert_true(slice_equal_str(buf_slice(&world->proto.content), "Subject: x\r\n\r\n.dot\r\n"));
	reader = recipient_list_read(buf_slice(&world->proto.recipients));
	assert_int_equal(recipient_list_next(&reader, &entry), ERR_OK);
	assert_true(slice_equal_str(entry.address, "a@dest.test") && entry.notify == 4);
	smtpd_proto_result(&world->proto, IPC_INTAKE_DURABLE, slice_make(NULL, 0));
	assert_true(slice_starts(buf_slice(&world->proto.out), SLICE_LIT("250 2.0.0 Ok: queued as ")));
}

static void
test_result__not_stored__is_a_temporary_error(void **state)
{
	struct world *world = *state;

	hello(world);
	(void)say(world, "MAIL FROM:<>\r\nRCPT TO:<a@dest.test>\r\nDATA\r\n");
	(void)say(world, ".\r\n");
	buf_clear(&world->proto.out);
	smtpd_proto_result(&world->proto, IPC_INTAKE_FULL, SLICE_LIT("no\r\n250 room"));
	expect(world, "452 4.3.1 no??250 room\r\n");
	assert_int_equal(world->proto.state, SMTPD_COMMAND);
}

static void
test_order__what_is_missing_is_named(void **state)
{
	struct world *world = *state;

	(void)say(world, "RCPT TO:<a@dest.test>\r\n");
	expect(world, "503 5.5.1 Error: need MAIL command\r\n");
	(void)say(world, "DATA\r\n");
	expect(world, "503 5.5.1 Error: need RCPT command\r\n");
	world->proto.must_sleep = false;
	(void)say(world, "MAIL FROM:<a@b.test>\r\n");
	buf_clear(&world->proto.out);
	(void)say(world, "DATA\r\n");
	expect(world, "554 5.5.1 Error: no valid recipients\r\n");
	assert_true(world->proto.must_sleep); /* smtpd_soft_error_limit is 2 */
	world->proto.must_sleep = false;
	(void)say(world, "MAIL FROM:<a@b.test>\r\n");
	expect(world, "503 5.5.1 Error: nested MAIL command\r\n");
	world->proto.must_sleep = false;
	(void)say(world, "FOO\r\n");
	expect(world, "421 4.7.0 me.test Error: too many errors\r\n");
	assert_int_equal(world->proto.state, SMTPD_CLOSE);
}

static void
test_relay__strangers_reach_only_our_domains(void **state)
{
	static const struct {
		const char *address;
		bool is_taken;
	} cases[] = { { "a@local.test", true }, { "a@relay.test", true }, { "a@sub.relay.test", true },
		{ "v@virtual.test", true }, { "a@dest.test", false }, { "a%dest.test@local.test", false },
		{ "dest.test!a@local.test", false }, { "\"a@dest.test\"@local.test", false },
		{ "@local.test:a@dest.test", false }, { "a@[192.0.2.9]", false } };
	struct world *world = *state;

	world->proto.is_trusted = false;
	hello(world);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char line[200];

		world->proto.errors = 0;
		(void)snprintf(line, sizeof(line),
			"RSET\r\nMAIL FROM:<s@client.test>\r\nRCPT TO:<%s>\r\n", cases[i].address);
		(void)say(world, line);
		if ((memmem(world->proto.out.ptr, world->proto.out.len, "554 5.7.1 <", 11) == NULL) !=
			cases[i].is_taken)
			fail_msg("%s: %" SLICE_FMT, cases[i].address,
				SLICE_ARG(buf_slice(&world->proto.out)));
		assert_int_equal(world->proto.recipient_count, cases[i].is_taken ? 1 : 0);
		buf_clear(&world->proto.out);
	}
}

/* rules: K31 */
static void
test_virtual__is_expanded_once_and_unknown_refused(void **state)
{
	struct world *world = *state;

	hello(world);
	(void)say(world, "MAIL FROM:<>\r\nRCPT TO:<v@virtual.test>\r\nRCPT TO:<y@dest.test>\r\n");
	expect(world, "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n");
	/* y@dest.test came by two ways; the very same recipient comes once (rules K32, K33). */
	assert_int_equal(world->proto.stored_count, 3);
	(void)say(world, "RCPT TO:<Y@dest.test>\r\n");
	expect(world, "250 2.1.5 Ok\r\n");
	assert_int_equal(world->proto.stored_count, 3);
	(void)say(world, "RSET\r\nMAIL FROM:<>\r\n");
	buf_clear(&world->proto.out);
	(void)say(world, "RCPT TO:<w@virtual.test>\r\n");
	expect(world, "550 5.1.1 <w@virtual.test>: Recipient address rejected: User unknown in virtual "
		      "alias table\r\n");
}

static uint8_t
priority_of(struct world *world, const char *parameter, const char *field)
{
	struct envelope envelope;
	struct buf bytes;
	char text[300];

	buf_init(&bytes, 0);
	(void)snprintf(text, sizeof(text), "MAIL FROM:<>%s\r\nRCPT TO:<a@d.test>\r\nDATA\r\n",
		parameter);
	(void)say(world, text);
	(void)say(world, field);
	(void)say(world, "\r\nx\r\n");
	smtpd_proto_envelope(&world->proto, &bytes);
	assert_int_equal(envelope_decode(buf_slice(&bytes), &envelope), ERR_OK);
	(void)say(world, ".\r\n");
	smtpd_proto_result(&world->proto, IPC_INTAKE_DURABLE, slice_make(NULL, 0));
	buf_clear(&world->proto.out);
	uint8_t priority = envelope.priority;

	buf_done(&bytes);
	return priority;
}

/* RFC 6710: offered to whom it is allowed; else it is an option like any other unknown one. */
static void
test_mt_priority__allowed_or_not__counts_or_is_refused(void **state)
{
	struct world *world = *state;

	hello(world);
	(void)say(world, "MAIL FROM:<> MT-PRIORITY=3\r\n");
	expect(world, "555 5.5.4 Unsupported option\r\n");
	world->proto.may_hurry = true;
	(void)say(world, "EHLO client.test\r\n");
	expect(world, "250-me.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-ENHANCEDSTATUSCODES\r\n"
		      "250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250-MT-PRIORITY\r\n"
		      "250 CHUNKING\r\n");
	static const char *const bad[] = { "MT-PRIORITY", "MT-PRIORITY=", "MT-PRIORITY=10",
		"MT-PRIORITY=+1", "MT-PRIORITY=--1", "MT-PRIORITY=1 MT-PRIORITY=1" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char line[80];

		/* Each in a session of its own: many errors are answered slowly. */
		assert_int_equal(stop(state), 0);
		assert_int_equal(start(state), 0);
		world = *state;
		hello(world);
		world->proto.may_hurry = true;
		(void)snprintf(line, sizeof(line), "MAIL FROM:<> %s\r\n", bad[i]);
		(void)say(world, line);
		expect(world, "501 5.5.4 Bad MT-PRIORITY parameter syntax\r\n");
	}
	assert_int_equal(priority_of(world, " MT-PRIORITY=9", ""), ENVELOPE_PRIORITY_ZERO + 9);
	assert_int_equal(priority_of(world, " MT-PRIORITY=-9", ""), ENVELOPE_PRIORITY_ZERO - 9);
	assert_int_equal(priority_of(world, " MT-PRIORITY=0", "Priority: urgent\r\n"),
		ENVELOPE_PRIORITY_ZERO);
	assert_int_equal(priority_of(world, "", ""), 0);
}

/* Whoever may say MT-PRIORITY is believed in the header; anybody may ask for less. */
static void
test_priority_in_the_header__first_field_counts__urgent_from_friends_only(void **state)
{
	struct world *world = *state;

	hello(world);
	assert_int_equal(priority_of(world, "", "Priority: urgent\r\n"), 0);
	assert_int_equal(priority_of(world, "", "Precedence: bulk\r\n"), ENVELOPE_PRIORITY_ZERO - 4);
	world->proto.may_hurry = true;
	assert_int_equal(priority_of(world, "", "Subject: a\r\nPRIORITY:  Urgent\r\n"),
		ENVELOPE_PRIORITY_ZERO + 4);
	assert_int_equal(priority_of(world, "", "X-Priority: 1 (Highest)\r\nPrecedence: bulk\r\n"),
		ENVELOPE_PRIORITY_ZERO + 4);
	assert_int_equal(
		priority_of(world, "", "Importance: low\r\n"), ENVELOPE_PRIORITY_ZERO - 4);
	assert_int_equal(priority_of(world, "", "X-Priority: 3\r\n"), 0);
	assert_int_equal(priority_of(world, "", "Priority:\r\n"), 0);
	assert_int_equal(priority_of(world, "", "Precedence: urgently-needed-by-all\r\n"), 0);
}

static void
test_limits__recipients_size_hops(void **state)
{
	struct world *world = *state;

	hello(world);
	(void)say(world, "MAIL FROM:<> SIZE=1001\r\n");
	expect(world, "552 5.3.4 Message size exceeds fixed limit\r\n");
	(void)say(world, "MAIL FROM:<>\r\nRCPT TO:<a@d.test>\r\nRCPT TO:<b@d.test>\r\nRCPT TO:<c@d.test>\r\n"
			 "RCPT TO:<d@d.test>\r\n");
	expect(world, "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n"
		      "452 4.5.3 Error: too many recipients\r\n");
	(void)say(world, "DATA\r\n");
	buf_clear(&world->proto.out);
	for (int i = 0; i < 20; i++)
		(void)say(world, "012345678901234567890123456789012345678901234567890123456789\r\n");
	assert_int_equal(world->aborts, 1);
	(void)say(world, ".\r\n");
	expect(world, "552 5.3.4 Error: message file too big\r\n");
	assert_int_equal(world->commits, 0);
	(void)say(world, "MAIL FROM:<>\r\nRCPT TO:<a@d.test>\r\nDATA\r\n");
	buf_clear(&world->proto.out);
	(void)say(world, "Received: a\r\nReceived: b\r\nReceived: c\r\n\r\n.\r\n");
	expect(world, "554 5.4.0 Error: too many hops\r\n");
}

static void
test_line__too_long__ends_the_session(void **state)
{
	struct world *world = *state;
	char line[2048 + 1]; /* line_length_limit */

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\0';
	assert_int_equal(say(world, line + 1), 0);
	assert_int_equal(say(world, line), 2048);
	expect(world, "500 5.5.2 Error: line too long\r\n");
	assert_int_equal(world->proto.state, SMTPD_CLOSE);
}

static void
test_local_recipient_maps__unknown_names_are_refused(void **state)
{
	static const struct {
		const char *address;
		bool is_taken;
	} cases[] = { { "known@local.test", true }, { "Known+x@local.test", true },
		{ "alias@local.test", true }, { "v@local.test", true }, { "other@local.test", false },
		{ "other@relay.test", true } };
	struct world *world = *state;

	assert_int_equal(stop(state), 0);
	assert_int_equal(start_with(state, "local_recipient_maps=inline:{ { known = x } }"), 0);
	world = *state;
	hello(world);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char line[200];

		world->proto.errors = 0;
		(void)snprintf(line, sizeof(line), "RSET\r\nMAIL FROM:<>\r\nRCPT TO:<%s>\r\n",
			cases[i].address);
		(void)say(world, line);
		if ((memmem(world->proto.out.ptr, world->proto.out.len, "local recipient table", 21) ==
			    NULL) != cases[i].is_taken)
			fail_msg("%s: %" SLICE_FMT, cases[i].address,
				SLICE_ARG(buf_slice(&world->proto.out)));
		buf_clear(&world->proto.out);
	}
}

static void
test_errors__too_many_recipients__is_none(void **state)
{
	struct world *world = *state;

	hello(world);
	(void)say(world, "MAIL FROM:<>\r\nRCPT TO:<a@d.test>\r\nRCPT TO:<b@d.test>\r\nRCPT TO:<c@d.test>\r\n");
	buf_clear(&world->proto.out);
	for (int i = 0; i < 1000; i++) {
		(void)say(world, "RCPT TO:<d@d.test>\r\n");
		expect(world, "452 4.5.3 Error: too many recipients\r\n");
	}
	assert_int_equal(world->proto.errors, 0);
	/* smtpd_recipient_overshoot_limit */
	(void)say(world, "RCPT TO:<d@d.test>\r\n");
	assert_int_equal(world->proto.errors, 1);
}

/* rules: O6 */
static void
test_missing_commands__are_said_to_be_missing(void **state)
{
	struct world *world = *state;

	hello(world);
	(void)say(world, "ETRN dest.test\r\n");
	expect(world, "502 5.5.1 Error: command not implemented\r\n");
	(void)say(world, "XYZZY\r\n");
	expect(world, "500 5.5.2 Error: command not recognized\r\n");
	assert_int_equal(world->proto.troubles, CONFIG_NOTIFY_PROTOCOL);
}

static void
test_errors__junk_ends_the_session_too(void **state)
{
	static const char *const junk[] = { "NOOP\r\n", "RSET\r\n", "VRFY a\r\n", "HELP\r\n",
		"EHLO x\r\n" };
	struct world *world = *state;
	unsigned count = 0;

	while (world->proto.state != SMTPD_CLOSE && count < 1000) {
		world->proto.must_sleep = false;
		buf_clear(&world->proto.out);
		(void)say(world, junk[count++ % 5]);
	}
	/* smtpd_junk_command_limit is 100, smtpd_hard_error_limit is 4. */
	assert_int_equal(count, 105);
	expect(world, "421 4.7.0 me.test Error: too many errors\r\n");
}

static void
test_errors__beyond_the_soft_limit__every_reply_is_slow__mail_ends_it(void **state)
{
	struct world *world = *state;

	hello(world);
	for (int i = 0; i < 3; i++)
		(void)say(world, "FOO\r\n");
	assert_true(world->proto.must_sleep);
	world->proto.must_sleep = false;
	(void)say(world, "MAIL FROM:<>\r\n");
	assert_true(world->proto.must_sleep);
	world->proto.must_sleep = false;
	(void)say(world, "RCPT TO:<a@d.test>\r\n");
	world->proto.must_sleep = false;
	(void)say(world, "DATA\r\n");
	world->proto.must_sleep = false;
	(void)say(world, ".\r\n");
	smtpd_proto_result(&world->proto, IPC_INTAKE_DURABLE, slice_make(NULL, 0));
	assert_int_equal(world->proto.errors, 0);
	(void)say(world, "NOOP\r\n");
	assert_false(world->proto.must_sleep);
}

static void
test_errors__refused_content_counts(void **state)
{
	struct world *world = *state;

	hello(world);
	for (unsigned i = 1; i <= 2; i++) {
		(void)say(world, "MAIL FROM:<>\r\nRCPT TO:<a@d.test>\r\nDATA\r\n");
		(void)say(world, "Received: a\r\nReceived: b\r\nReceived: c\r\n\r\n.\r\n");
		assert_int_equal(world->proto.errors, i);
	}
}

static void
test_rcpt__amid_bdat__is_refused(void **state)
{
	struct world *world = *state;

	hello(world);
	(void)say(world, "MAIL FROM:<>\r\nRCPT TO:<a@d.test>\r\nBDAT 3\r\na\r\n");
	buf_clear(&world->proto.out);
	(void)say(world, "RCPT TO:<b@d.test>\r\n");
	expect(world, "503 5.5.1 Error: RCPT after BDAT\r\n");
}

static void
test_bare_newline__reject__commands_too(void **state)
{
	struct world *world = *state;

	hello(world);
	(void)say(world, "NOOP\n"); /* normalize takes it */
	expect(world, "250 2.0.0 Ok\r\n");
	world->proto.bare_newline = CONFIG_BARE_NEWLINE_REJECT;
	(void)say(world, "NOOP\n");
	expect(world, "521 5.5.2 Error: bare <LF> received\r\n");
	assert_int_equal(world->proto.state, SMTPD_CLOSE);
}

static void
test_early_talk__behind_data__is_refused(void **state)
{
	struct world *world = *state;

	hello(world);
	(void)say(world, "MAIL FROM:<>\r\nRCPT TO:<a@d.test>\r\nDATA\r\nSubject: x\r\n.\r\n");
	expect(world, "554 5.5.0 Error: SMTP protocol synchronization\r\n");
	assert_int_equal(world->commits, 0);
}

static void
test_bare_newline__as_configured(void **state)
{
	static const struct {
		enum config_bare_newline mode;
		const char *content;
	} cases[] = { { CONFIG_BARE_NEWLINE_NORMALIZE, "a\r\n.\r\nb c\r\n" },
		{ CONFIG_BARE_NEWLINE_NOTE, "a\r\n.\r\nb c\r\n" } };
	struct world *world = *state;

	hello(world);
	for (size_t i = 0; i < 2; i++) {
		world->proto.bare_newline = cases[i].mode;
		(void)say(world, "MAIL FROM:<>\r\nRCPT TO:<a@d.test>\r\nDATA\r\n");
		(void)say(world, "a\n..\nb\rc\r\n.\r\n");
		assert_true(slice_equal_str(buf_slice(&world->proto.content), cases[i].content));
		smtpd_proto_result(&world->proto, IPC_INTAKE_DURABLE, slice_make(NULL, 0));
	}
	buf_clear(&world->proto.out);
	world->proto.bare_newline = CONFIG_BARE_NEWLINE_REJECT;
	(void)say(world, "MAIL FROM:<>\r\nRCPT TO:<a@d.test>\r\nDATA\r\n");
	buf_clear(&world->proto.out);
	(void)say(world, "a\nb\r\n.\r\n");
	expect(world, "521 5.5.2 Error: bare <LF> received\r\n");
	assert_int_equal(world->proto.state, SMTPD_CLOSE);
}

static void
test_bdat__chunks_are_one_message(void **state)
{
	struct world *world = *state;

	hello(world);
	(void)say(world, "MAIL FROM:<>\r\nRCPT TO:<a@d.test>\r\nBDAT 4\r\na\r\n.BDAT 4 LAST\r\n\r\nb\r");
	assert_int_equal(world->commits, 1);
	assert_true(slice_equal_str(buf_slice(&world->proto.content), "a\r\n.\r\nb \r\n"));
	smtpd_proto_result(&world->proto, IPC_INTAKE_DURABLE, slice_make(NULL, 0));
	buf_clear(&world->proto.out);
	/* A chunk that nobody wants is swallowed whole, an empty one too. */
	(void)say(world, "BDAT 5\r\nNOOP\nBDAT 0\r\nNOOP\r\n");
	expect(world, "503 5.5.1 Error: need RCPT command\r\n503 5.5.1 Error: need RCPT command\r\n"
		      "250 2.0.0 Ok\r\n");
}

static void
test_bdat__begun_and_left__is_aborted(void **state)
{
	static const char *const ways[] = { "RSET\r\n", "EHLO x\r\n", "HELO x\r\n" };
	struct world *world = *state;

	for (unsigned i = 0; i < 3; i++) {
		hello(world);
		(void)say(world, "MAIL FROM:<>\r\nRCPT TO:<a@d.test>\r\nBDAT 3\r\na\r\n");
		assert_int_equal(world->aborts, i);
		(void)say(world, ways[i]);
		assert_int_equal(world->aborts, i + 1);
		assert_int_equal(world->proto.content.len, 0);
	}
}

static void
test_no_queue_id__451(void **state)
{
	struct world *world = *state;

	hello(world);
	world->next_id = 0;
	(void)say(world, "MAIL FROM:<>\r\nRCPT TO:<a@d.test>\r\n");
	buf_clear(&world->proto.out);
	(void)say(world, "DATA\r\n");
	expect(world, "451 4.3.0 Error: queue file write error\r\n");
	assert_int_equal(world->proto.state, SMTPD_COMMAND);
}

static void
test_intake_is_refused__said_at_mail(void **state)
{
	struct world *world = *state;

	hello(world);
	world->intake_state = IPC_INTAKE_FULL;
	buf_clear(&world->proto.out);
	(void)say(world, "MAIL FROM:<>\r\n");
	expect(world, "452 4.3.1 Insufficient system storage\r\n");
	assert_int_equal(world->proto.troubles, CONFIG_NOTIFY_RESOURCE);
	world->intake_state = IPC_INTAKE_TEMPORARY;
	buf_clear(&world->proto.out);
	(void)say(world, "MAIL FROM:<>\r\n");
	expect(world, "451 4.3.0 Error: queue file write error\r\n");
	world->intake_state = IPC_INTAKE_DURABLE;
	buf_clear(&world->proto.out);
	(void)say(world, "MAIL FROM:<>\r\n");
	expect(world, "250 2.1.0 Ok\r\n");
	assert_int_equal(world->proto.errors, 0);
}

/* rules: N65 */
static void
test_envelope__has_what_the_client_gave(void **state)
{
	struct world *world = *state;
	struct envelope envelope;
	struct buf bytes;

	hello(world);
	(void)say(world, "MAIL FROM:<s> RET=HDRS ENVID=a+2Bb BODY=8BITMIME\r\nRCPT TO:<r>\r\nDATA\r\n");
	(void)say(world, "Message-ID: <m@x>\r\n\r\nbody\r\n.\r\n");
	buf_init(&bytes, 0);
	smtpd_proto_envelope(&world->proto, &bytes);
	assert_int_equal(envelope_decode(buf_slice(&bytes), &envelope), ERR_OK);
	assert_true(slice_equal_str(envelope.sender, "s@local.test"));
	assert_true(slice_equal_str(envelope.envid, "a+b"));
	assert_true(slice_equal_str(envelope.message_id, "<m@x>"));
	assert_true(slice_equal_str(envelope.protocol, "ESMTP"));
	assert_int_equal(envelope.ret, DSN_RET_HDRS);
	assert_int_equal(envelope.body_8bit, 1);
	assert_int_equal(envelope.size, 27);
	assert_int_equal(envelope.head_length, 21);
	buf_clear(&bytes);
	smtpd_proto_head(&world->proto, &bytes);
	assert_true(slice_starts(buf_slice(&bytes),
		SLICE_LIT("Received: from client.test (client.test [192.0.2.1])\r\n")));
	buf_done(&bytes);
}

static void
test_rate__mail_is_refused_for_now(void **state)
{
	struct world *world = *state;

	hello(world);
	world->is_throttled = true;
	(void)say(world, "MAIL FROM:<>\r\n");
	expect(world, "450 4.7.1 Error: too much mail from 192.0.2.1\r\n");
	world->is_throttled = false;
	(void)say(world, "MAIL FROM:<>\r\n");
	expect(world, "250 2.1.0 Ok\r\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ehlo__offers_what_is_there),
		TEST(test_message__pipelined__is_stored_and_acknowledged),
		TEST(test_result__not_stored__is_a_temporary_error),
		TEST(test_order__what_is_missing_is_named),
		TEST(test_relay__strangers_reach_only_our_domains),
		TEST(test_virtual__is_expanded_once_and_unknown_refused),
		TEST(test_mt_priority__allowed_or_not__counts_or_is_refused),
		TEST(test_priority_in_the_header__first_field_counts__urgent_from_friends_only),
		TEST(test_limits__recipients_size_hops),
		TEST(test_line__too_long__ends_the_session),
		TEST(test_local_recipient_maps__unknown_names_are_refused),
		TEST(test_errors__too_many_recipients__is_none),
		TEST(test_missing_commands__are_said_to_be_missing),
		TEST(test_errors__junk_ends_the_session_too),
		TEST(test_errors__beyond_the_soft_limit__every_reply_is_slow__mail_ends_it),
		TEST(test_errors__refused_content_counts),
		TEST(test_rcpt__amid_bdat__is_refused),
		TEST(test_bare_newline__reject__commands_too),
		TEST(test_early_talk__behind_data__is_refused),
		TEST(test_bare_newline__as_configured),
		TEST(test_bdat__chunks_are_one_message),
		TEST(test_bdat__begun_and_left__is_aborted),
		TEST(test_no_queue_id__451),
		TEST(test_intake_is_refused__said_at_mail),
		TEST(test_rate__mail_is_refused_for_now),
		TEST(test_envelope__has_what_the_client_gave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
