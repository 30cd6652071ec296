/*
 * test_address.c - unit tests of addresses: paths, internal and external form, tricks, extensions
 *
 * Goal: RFC 5321 4.1.2 as real clients use it; what is refused leaves nothing behind. Method: tables.
 */
#include "message/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

struct path_case {
	const char *text;
	unsigned flags;
	const char *internal; /* NULL: refused */
	const char *rest;
};

static void
test_path__table(void **state)
{
	static const struct path_case cases[] = {
		{ "<a@b.test> SIZE=10", 0, "a@b.test", "SIZE=10" },
		{ "  <a@b.test>", 0, "a@b.test", "" },
		{ "<>", ADDRESS_NULL, "", "" },
		{ "<>", 0, NULL, NULL },
		{ "<@one.test,@two.test:a@b.test>", 0, "a@b.test", "" },
		{ "<@one.test>", 0, NULL, NULL },
		{ "<\"a b\"@c.test>", 0, "a b@c.test", "" },
		{ "<\"a\\\"b\\\\\"@c.test>", 0, "a\"b\\@c.test", "" },
		{ "<\"a@b\"@c.test>", 0, "a@b@c.test", "" },
		{ "<a@[192.0.2.1]>", 0, "a@[192.0.2.1]", "" },
		{ "<a@[IPv6:2001:db8::1]>", 0, "a@[IPv6:2001:db8::1]", "" },
		{ "<a@[300.1.1.1]>", 0, NULL, NULL },
		{ "<a@b.test", 0, NULL, NULL },
		{ "<a@>", 0, NULL, NULL },
		{ "<@b.test>", 0, NULL, NULL },
		{ "<a@b..test>", 0, NULL, NULL },
		{ "<a@-b.test>", 0, NULL, NULL },
		{ "<a b@c.test>", 0, NULL, NULL },
		{ "<postmaster>", ADDRESS_BARE, "postmaster", "" },
		{ "<postmaster>", 0, NULL, NULL },
		{ "a@b.test SIZE=1", 0, "a@b.test", "SIZE=1" },
		{ "a@b.test", ADDRESS_STRICT, NULL, NULL },
		{ "<\"a\rb\"@c.test>", 0, NULL, NULL },
		{ "<\xc3\xa4@b.test>", 0, NULL, NULL },
		{ "<\xc3\xa4@\xc3\xb6.test>", ADDRESS_UTF8, "\xc3\xa4@\xc3\xb6.test", "" },
		{ "<\xc3@b.test>", ADDRESS_UTF8, NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice rest = slice_str(cases[i].text);
		struct buf internal;

		buf_init(&internal, 0);
		enum err err = address_parse_path(&rest, cases[i].flags, &internal);

		if ((err == ERR_OK) != (cases[i].internal != NULL))
			print_error("case %s\n", cases[i].text);
		assert_int_equal(err == ERR_OK, cases[i].internal != NULL);
		assert_true(slice_equal_str(
			buf_slice(&internal), cases[i].internal == NULL ? "" : cases[i].internal));
		if (cases[i].rest != NULL)
			assert_true(slice_equal_str(rest, cases[i].rest));
		buf_done(&internal);
	}
}

static void
test_format__quotes_only_where_it_must(void **state)
{
	static const char *const cases[][2] = { { "a@b.test", "a@b.test" },
		{ "a.b+c@d.test", "a.b+c@d.test" }, { "a b@c.test", "\"a b\"@c.test" },
		{ "a\"b@c.test", "\"a\\\"b\"@c.test" }, { "a@b@c.test", "\"a@b\"@c.test" },
		{ ".a@b.test", "\".a\"@b.test" }, { "a..b@c.test", "\"a..b\"@c.test" } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf external;

		buf_init(&external, 0);
		assert_int_equal(address_format(slice_str(cases[i][0]), &external), ERR_OK);
		assert_true(slice_equal_str(buf_slice(&external), cases[i][1]));
		buf_done(&external);
	}
}

static void
test_length__limit_is_refused_beyond(void **state)
{
	char text[ADDRESS_MAX + 40];
	struct buf internal;
	struct slice rest;

	(void)state;
	buf_init(&internal, 0);
	memset(text, 'a', sizeof(text));
	(void)snprintf(text + ADDRESS_MAX - 7, 20, "@b.test");
	assert_int_equal(address_parse(slice_str(text), 0, &internal), ERR_OK);
	assert_int_equal(internal.len, ADDRESS_MAX);
	buf_clear(&internal);
	memset(text, 'a', sizeof(text));
	(void)snprintf(text + ADDRESS_MAX - 6, 20, "@b.test");
	rest = slice_str(text);
	assert_int_not_equal(address_parse(rest, 0, &internal), ERR_OK);
	assert_int_equal(internal.len, 0);
	buf_done(&internal);
}

static void
test_trick__asks_somebody_else_to_relay(void **state)
{
	(void)state;
	assert_int_equal(address_find_trick(SLICE_LIT("a@b.test")), ADDRESS_TRICK_NONE);
	assert_int_equal(address_find_trick(SLICE_LIT("a%c@b.test")), ADDRESS_TRICK_PERCENT);
	assert_int_equal(address_find_trick(SLICE_LIT("c!a@b.test")), ADDRESS_TRICK_BANG);
	assert_int_equal(address_find_trick(SLICE_LIT("a@c@b.test")), ADDRESS_TRICK_AT);
}

static void
test_extension__cut_at_the_first_delimiter(void **state)
{
	struct slice extension, user;

	(void)state;
	user = address_strip_extension(SLICE_LIT("user+a+b"), SLICE_LIT("+-"), &extension);
	assert_true(slice_equal_str(user, "user") && slice_equal_str(extension, "a+b"));
	user = address_strip_extension(SLICE_LIT("+user"), SLICE_LIT("+"), &extension);
	assert_true(slice_equal_str(user, "+user") && extension.len == 0);
	user = address_strip_extension(SLICE_LIT("owner-list"), SLICE_LIT("-"), &extension);
	assert_true(slice_equal_str(user, "owner-list") && extension.len == 0);
	user = address_strip_extension(SLICE_LIT("list-request"), SLICE_LIT("-"), &extension);
	assert_true(slice_equal_str(user, "list-request") && extension.len == 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path__table),
		cmocka_unit_test(test_format__quotes_only_where_it_must),
		cmocka_unit_test(test_length__limit_is_refused_beyond),
		cmocka_unit_test(test_trick__asks_somebody_else_to_relay),
		cmocka_unit_test(test_extension__cut_at_the_first_delimiter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
