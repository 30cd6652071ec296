/*
 * test_canonical.c - unit tests of canonical addresses, in envelope and header, and of copies
 *
 * Goal: what an address becomes in each place; that a header keeps every byte that is no address to
 * be changed, however it is cut; who gets copies. Method: tables over one configuration.
 */
#include "route/canonical.h"

#include "config/compile.h"
#include "message/dsn.h"
#include "route/header_rewrite.h"
#include "route/rewrite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct world {
	struct buf image, warnings;
	struct config *config;
};

static int
start(void **state)
{
	static struct world world;
	static const char *const overrides[] = { "mydestination=local.test", "myorigin=local.test",
		"recipient_delimiter=+", "append_dot_mydomain=yes", "mydomain=test",
		"canonical_maps=inline:{ { joe = Joe.Doe@local.test }, here@a.test=there@b.test, "
		"{ two@x.test = first@x.test, second@x.test }, @old.test=@new.test, "
		"ping@x.test=pong@x.test, pong@x.test=ping@x.test, bad@x.test=a@@b }",
		"sender_canonical_maps=inline:{ here@a.test=s@x.test }",
		"recipient_canonical_maps=inline:{ here@a.test=r@x.test }",
		"masquerade_domains=!keep.foo.test foo.test, bar.test",
		"masquerade_exceptions=root",
		"virtual_alias_maps=inline:{ Joe.Doe@local.test=jd@x.test }", "always_bcc=archive",
		"sender_bcc_maps=inline:{ boss@x.test=audit@x.test, @gone.test=a@@b }",
		"recipient_bcc_maps=inline:{ there@new.test=watch@x.test }" };
	struct config_options options = { .directory_fd = -1, .overrides = overrides,
		.override_count = sizeof(overrides) / sizeof(overrides[0]), .hostname = "me.test" };
	struct fault fault = { 0 };

	buf_init(&world.image, 0);
	buf_init(&world.warnings, 0);
	if (config_compile(&options, &world.image, &world.warnings, &fault) != ERR_OK ||
		config_open(buf_slice(&world.image), &world.config, &fault) != ERR_OK) {
		print_error("%s\n", fault.text);
		return -1;
	}
	*state = &world;
	return 0;
}

static int
stop(void **state)
{
	struct world *world = *state;

	config_close(world->config);
	buf_done(&world->image);
	buf_done(&world->warnings);
	return 0;
}

static void
test_canonical_rewrite__address_in_each_place__becomes_what_its_tables_say(void **state)
{
	static const struct {
		enum canonical_class class;
		const char *given, *becomes; /* NULL: an error */
	} cases[] = {
		{ CANONICAL_ENVELOPE_SENDER, "", "" },
		{ CANONICAL_ENVELOPE_SENDER, "root", "root@local.test" },
		{ CANONICAL_ENVELOPE_SENDER, "a@host", "a@host.test" },
		{ CANONICAL_ENVELOPE_SENDER, "joe", "Joe.Doe@local.test" },
		{ CANONICAL_ENVELOPE_SENDER, "joe+x", "Joe.Doe+x@local.test" },
		{ CANONICAL_ENVELOPE_SENDER, "here@a.test", "s@x.test" },
		{ CANONICAL_HEADER_SENDER, "here@a.test", "s@x.test" },
		{ CANONICAL_ENVELOPE_RECIPIENT, "here@a.test", "r@x.test" },
		{ CANONICAL_HEADER_RECIPIENT, "here@a.test", "r@x.test" },
		{ CANONICAL_ENVELOPE_RECIPIENT, "two@x.test", "first@x.test" },
		{ CANONICAL_ENVELOPE_RECIPIENT, "any+e@old.test", "any+e@new.test" },
		{ CANONICAL_ENVELOPE_SENDER, "ping@x.test", NULL },
		{ CANONICAL_ENVELOPE_SENDER, "bad@x.test", NULL },
		{ CANONICAL_ENVELOPE_SENDER, "u@a.b.foo.test", "u@foo.test" },
		{ CANONICAL_ENVELOPE_SENDER, "u@afoo.test", "u@afoo.test" },
		{ CANONICAL_ENVELOPE_SENDER, "u@FOO.test", "u@FOO.test" },
		{ CANONICAL_HEADER_RECIPIENT, "u@x.bar.test", "u@bar.test" },
		{ CANONICAL_ENVELOPE_RECIPIENT, "u@x.bar.test", "u@x.bar.test" },
		{ CANONICAL_ENVELOPE_SENDER, "root@x.bar.test", "root@x.bar.test" },
		{ CANONICAL_ENVELOPE_SENDER, "u@x.keep.foo.test", "u@x.keep.foo.test" },
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf now;
		enum err err;

		buf_init(&now, 0);
		err = canonical_rewrite(world->config, cases[i].class, slice_str(cases[i].given),
			&now, NULL);
		if ((err == ERR_OK) != (cases[i].becomes != NULL) ||
			!slice_equal_str(buf_slice(&now),
				cases[i].becomes != NULL ? cases[i].becomes : ""))
			fail_msg("%s: %s %" SLICE_FMT, cases[i].given, err_name(err),
				SLICE_ARG(buf_slice(&now)));
		buf_done(&now);
	}
}

/* `step`: bytes at a time. */
static void
check_header(const struct config *config, const char *given, const char *wanted, size_t step)
{
	struct header_rewrite rewrite;
	struct slice rest = slice_str(given);
	struct buf out;

	buf_init(&out, 0);
	header_rewrite_init(&rewrite);
	header_rewrite_begin(&rewrite);
	for (; rest.len > 0; rest = slice_from(rest, step))
		header_rewrite_feed(&rewrite, config, slice_head(rest, step), &out);
	header_rewrite_finish(&rewrite, config, &out);
	if (!slice_equal_str(buf_slice(&out), wanted))
		fail_msg("%zu at a time: %s\n became %" SLICE_FMT, step, given,
			SLICE_ARG(buf_slice(&out)));
	buf_done(&out);
	header_rewrite_done(&rewrite);
}

static void
test_header_rewrite__header_cut_anywhere__has_its_addresses_rewritten_and_nothing_else(
	void **state)
{
	static const char *const cases[][2] = {
		{ "From: joe\r\nTo: a@b.test\r\n\r\nTo: joe\r\n",
			"From: Joe.Doe@local.test\r\nTo: a@b.test\r\n\r\nTo: joe\r\n" },
		{ "from : \"J, D\" <joe> (me)\r\nSubject: joe\r\n\r\n",
			"from : \"J, D\" <Joe.Doe@local.test> (me)\r\nSubject: joe\r\n\r\n" },
		{ "To: root,\r\n\tjoe (x), b@host\r\n ,c@old.test\r\nX-To: joe\r\n\r\n",
			"To: root@local.test,\r\n\tJoe.Doe@local.test (x), b@host.test\r\n "
			",c@new.test\r\nX-To: joe\r\n\r\n" },
		{ "To: friends: joe, root;\r\n\r\n",
			"To: friends: Joe.Doe@local.test, root@local.test;\r\n\r\n" },
		{ "To: undisclosed-recipients:;\r\n\r\n", "To: undisclosed-recipients:;\r\n\r\n" },
		{ "To: \"not closed, joe\r\nCc: joe\r\n\r\n",
			"To: \"not closed, joe\r\nCc: Joe.Doe@local.test\r\n\r\n" },
		{ "To: ping@x.test, joe\r\n\r\n", "To: ping@x.test, Joe.Doe@local.test\r\n\r\n" },
		{ "To: here@a.test\r\nSender: here@a.test\r\n\r\n",
			"To: r@x.test\r\nSender: s@x.test\r\n\r\n" },
		{ "no header\r\nTo: joe\r\n", "no header\r\nTo: joe\r\n" },
		{ " To: joe\r\nTo: joe\r\n", " To: joe\r\nTo: joe\r\n" },
		{ "To: joe", "To: joe" },
		{ "To: joe\r\nCc: joe", "To: Joe.Doe@local.test\r\nCc: joe" },
		{ "To: joe\r\n", "To: Joe.Doe@local.test\r\n" },
		{ "\r\nTo: joe\r\n", "\r\nTo: joe\r\n" },
		{ "", "" },
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t step = 1; step < 90; step++)
			check_header(world->config, cases[i][0], cases[i][1], step);
}

static void
test_header_rewrite__field_beyond_the_limit__ends_rewriting(void **state)
{
	struct world *world = *state;
	struct buf text;
	const char *given;

	buf_init(&text, 0);
	buf_add_str(&text, "To: joe\r\nX: ");
	while (text.len <= HEADER_REWRITE_MAX + 2000)
		buf_add_str(&text, "and so on\r\n ");
	buf_add_str(&text, "\r\nCc: joe\r\n\r\n");
	assert_int_equal(buf_cstr(&text, &given), ERR_OK);
	struct buf wanted;
	const char *expected;

	buf_init(&wanted, 0);
	buf_add_str(&wanted, "To: Joe.Doe@local.test");
	buf_add_str(&wanted, given + 7);
	assert_int_equal(buf_cstr(&wanted, &expected), ERR_OK);
	check_header(world->config, given, expected, 1000);
	buf_done(&wanted);
	buf_done(&text);
}

static void
put_text(struct slice list, struct buf *text)
{
	struct recipient_list_reader reader = recipient_list_read(list);
	struct recipient_entry entry;

	while (recipient_list_next(&reader, &entry) == ERR_OK)
		buf_addf(text, "%" SLICE_FMT "%s ", SLICE_ARG(entry.address),
			entry.notify == DSN_NOTIFY_NEVER ? "!" : "");
}

static void
test_rewrite_copies__sender_and_recipient__add_recipients_without_notice(void **state)
{
	struct world *world = *state;
	struct buf list, text;

	buf_init(&list, 0);
	buf_init(&text, 0);
	assert_int_equal(rewrite_recipient_copies(
				 world->config, slice_str("there@old.test"), &list),
		ERR_OK);
	assert_int_equal(
		rewrite_recipient_copies(world->config, slice_str("no@x.test"), &list), ERR_OK);
	assert_int_equal(
		rewrite_sender_copies(world->config, slice_str("boss+e@x.test"), &list), ERR_OK);
	assert_int_equal(rewrite_sender_copies(world->config, slice_make(NULL, 0), &list), ERR_OK);
	put_text(buf_slice(&list), &text);
	assert_true(slice_equal_str(buf_slice(&text),
		"watch@x.test! archive@local.test! audit@x.test! archive@local.test! "));
	buf_clear(&list);
	assert_int_equal(rewrite_sender_copies(world->config, slice_str("a@gone.test"), &list),
		ERR_SYNTAX);
	assert_int_equal(list.len, 0);
	buf_done(&list);
	buf_done(&text);
}

static void
test_rewrite_recipient__canonical_then_virtual__keeps_the_original(void **state)
{
	struct world *world = *state;
	struct recipient_entry given = { .address = SLICE_LIT("joe@local.test") }, entry;
	struct recipient_list_reader reader;
	struct rewrite_result result;
	struct buf list;

	buf_init(&list, 0);
	assert_int_equal(rewrite_recipient(world->config, &given, &list, &result), ERR_OK);
	reader = recipient_list_read(buf_slice(&list));
	assert_int_equal(recipient_list_next(&reader, &entry), ERR_OK);
	assert_true(slice_equal_str(entry.address, "jd@x.test"));
	assert_true(slice_equal_str(entry.original, "joe@local.test"));
	assert_true(result.expanded && result.count == 1);
	buf_done(&list);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_canonical_rewrite__address_in_each_place__becomes_what_its_tables_say),
		TEST(test_header_rewrite__header_cut_anywhere__has_its_addresses_rewritten_and_nothing_else),
		TEST(test_header_rewrite__field_beyond_the_limit__ends_rewriting),
		TEST(test_rewrite_copies__sender_and_recipient__add_recipients_without_notice),
		TEST(test_rewrite_recipient__canonical_then_virtual__keeps_the_original),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
