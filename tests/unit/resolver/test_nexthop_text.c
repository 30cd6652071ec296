/*
 * test_nexthop_text.c - unit tests of the forms of a next hop
 *
 * Goal: domain, [host], addresses, ports; anything else is refused. Method: a table.
 */
#include "resolver/nexthop_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>

#include <cmocka.h>

static void
test_parse__table(void **state)
{
	static const struct {
		const char *text, *host; /* NULL: refused */
		uint16_t port;
		bool is_bracketed;
		uint16_t family;
	} cases[] = {
		{ "dest.test", "dest.test", 25, false, 0 },
		{ "dest.test:2525", "dest.test", 2525, false, 0 },
		{ "[mx.dest.test]", "mx.dest.test", 25, true, 0 },
		{ "[mx.dest.test]:587", "mx.dest.test", 587, true, 0 },
		{ "[192.0.2.1]:26", "192.0.2.1", 26, true, AF_INET },
		{ "[2001:db8::1]", "2001:db8::1", 25, true, AF_INET6 },
		{ "[IPv6:2001:db8::1]:26", "2001:db8::1", 26, true, AF_INET6 },
		{ "", NULL, 0, false, 0 },
		{ "[]", NULL, 0, false, 0 },
		{ "[a", NULL, 0, false, 0 },
		{ "a:", NULL, 0, false, 0 },
		{ "a:0", NULL, 0, false, 0 },
		{ "a:65536", NULL, 0, false, 0 },
		{ "a:b", NULL, 0, false, 0 },
		{ "[a]x", NULL, 0, false, 0 },
		{ "a b", NULL, 0, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct nexthop_text nexthop;
		enum err err = nexthop_text_parse(slice_str(cases[i].text), 25, &nexthop);

		if ((err == ERR_OK) != (cases[i].host != NULL))
			fail_msg("\"%s\"", cases[i].text);
		if (err != ERR_OK)
			continue;
		assert_string_equal(nexthop.host, cases[i].host);
		assert_int_equal(nexthop.port, cases[i].port);
		assert_int_equal(nexthop.is_bracketed, cases[i].is_bracketed);
		assert_int_equal(nexthop.family, cases[i].family);
	}
}

static void
test_nameserver__table(void **state)
{
	static const char *const cases[][2] = { { "192.0.2.1", "192.0.2.1@53" },
		{ "127.0.0.1:5353", "127.0.0.1@5353" }, { "[::1]:5353", "::1@5353" },
		{ "[::1]", "::1@53" }, { "2001:db8::1", "2001:db8::1" }, { "dns.test", NULL },
		{ "[::1]x", NULL }, { "", NULL } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char server[NEXTHOP_HOST_MAX + 8];
		enum err err = nexthop_text_nameserver(slice_str(cases[i][0]), server);

		assert_int_equal(err == ERR_OK, cases[i][1] != NULL);
		if (err == ERR_OK)
			assert_string_equal(server, cases[i][1]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_parse__table),
		cmocka_unit_test(test_nameserver__table) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
