/*
 * test_address_list.c - unit tests of message/address_list
 *
 * Goal: the forms that programs write into To: and Cc: give their addresses. Method: a table.
 */
#include "message/address_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static enum err
add(void *ctx, struct slice address, struct slice place)
{
	struct buf *all = ctx;

	assert_true(address.len > 0 && place.len >= address.len);
	buf_add(all, address);
	buf_add_str(all, "|");
	return ERR_OK;
}

static void
test_address_list_parse__forms__give_addresses(void **state)
{
	static const char *const good[][2] = {
		{ "", "" },
		{ " , ,", "" },
		{ "a", "a|" },
		{ "a@b.test", "a@b.test|" },
		{ "a@b.test, c@d.test,", "a@b.test|c@d.test|" },
		{ "John Smith <a@b.test>", "a@b.test|" },
		{ "\"Smith, John\" <a@b.test> , c", "a@b.test|c|" },
		{ "<a@b.test> (comment, with (nesting) and \\) )", "a@b.test|" },
		{ "a@b.test (John, really)", "a@b.test|" },
		{ "group: a@b.test, c@d.test;, e", "a@b.test|c@d.test|e|" },
		{ "undisclosed-recipients:;", "" },
		{ "a @ b . test", "a@b.test|" },
		{ "\"a b\"@c.test", "a b@c.test|" },
		{ "<\"a>b\"@c.test>", "a>b@c.test|" },
		{ "<@r.test:a@b.test>", "a@b.test|" },
		{ "a@[192.0.2.1]", "a@[192.0.2.1]|" },
		{ "a@b.test\r\n c", NULL },
		{ "<>", "" },
		{ "a b", NULL },
		{ "<a@b.test", NULL },
		{ "\"a", NULL },
		{ "(a", NULL },
		{ "a>", NULL },
		{ "a@", NULL },
		{ "a@b..test", NULL },
		{ "<a><b>", NULL },
	};
	struct buf all;

	(void)state;
	buf_init(&all, 0);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		enum err err;

		buf_clear(&all);
		err = address_list_parse(slice_str(good[i][0]), add, &all);
		if ((err == ERR_OK) != (good[i][1] != NULL))
			fail_msg("%s: %s", good[i][0], err_name(err));
		if (err == ERR_OK && !slice_equal_str(buf_slice(&all), good[i][1]))
			fail_msg("%s: %.*s", good[i][0], (int)all.len, (char *)all.ptr);
	}
	buf_done(&all);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address_list_parse__forms__give_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
