/*
 * test_resolve.c - unit tests of routing and rewriting (rules R40 to R49)
 *
 * Goal: class, transport and next hop of an address, and what a recipient becomes. Method: tables
 * over one configuration.
 */
#include "route/resolve.h"

#include "config/compile.h"
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
	static const char *const overrides[] = { "mydestination=local.test,local2.test", "relay_domains=relay.test",
		"relayhost=[hub.test]:2525", "recipient_delimiter=+", "myorigin=local.test",
		"virtual_alias_domains=virtual.test",
		"transport_maps=inline:{ exact.test=smtp:[a.test], .sub.test=smtp:[b.test], "
		"who@exact.test=lmtp:unix:/run/x, { gone.test = error:5.1.2 no such domain }, "
		"here.test=local:, local2.test=smtp:, none.test=:, big.test=:[c.test]:26, silent.test=discard: }",
		"virtual_alias_maps=inline:{ info@virtual.test=alice@local.test, "
		"{ self@local.test = self@local.test, z@x.test }, @catch.test=all@dest.test, { both@local.test = a@x.test, b@y.test }, "
		"loop@local.test=loop@local.test, chain@local.test=both@local.test }" };
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

/* rules: R42 Y21 */
static void
test_route__table(void **state)
{
	static const char *const cases[][3] = {
		{ "a@local.test", "local", "me.test" },
		{ "a@LOCAL.test", "local", "me.test" },
		{ "a@relay.test", "relay", "[hub.test]:2525" },
		{ "a@other.test", "smtp", "[hub.test]:2525" },
		{ "a@exact.test", "smtp", "[a.test]" },
		{ "who@exact.test", "lmtp", "unix:/run/x" },
		{ "who+ext@exact.test", "lmtp", "unix:/run/x" },
		{ "a@x.sub.test", "smtp", "[b.test]" },
		{ "a@y.x.sub.test", "smtp", "[b.test]" },
		{ "a@sub.test", "smtp", "[hub.test]:2525" },
		{ "a@gone.test", "error", "5.1.2 no such domain" },
		{ "a@here.test", "local", "here.test" },
		{ "a@big.test", "smtp", "[c.test]:26" },
		{ "a@local2.test", "smtp", "local2.test" },
		{ "a@none.test", "smtp", "[hub.test]:2525" },
		{ "a@silent.test", "discard", "silent.test" },
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct route route;

		route_resolve(world->config, slice_str(cases[i][0]), &route);
		if (!slice_equal_str(route.transport, cases[i][1]) ||
			!slice_equal_str(route.nexthop, cases[i][2]))
			fail_msg("%s: %" SLICE_FMT ":%" SLICE_FMT, cases[i][0],
				SLICE_ARG(route.transport), SLICE_ARG(route.nexthop));
	}
}

static void
test_rewrite__table(void **state)
{
	static const char *const cases[][2] = {
		{ "a@dest.test", "a@dest.test " },
		{ "both@local.test", "a@x.test b@y.test " },
		{ "both+ext@local.test", "a+ext@x.test b+ext@y.test " },
		{ "chain@local.test", "a@x.test b@y.test " },
		{ "info@virtual.test", "alice@local.test " },
		{ "any@catch.test", "all@dest.test " },
		{ "loop@local.test", "loop@local.test " },
		{ "self+e@local.test", "self+e@local.test z+e@x.test " },
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct recipient_entry given = { .address = slice_str(cases[i][0]) }, entry;
		struct recipient_list_reader reader;
		struct rewrite_result result;
		struct buf list, text;

		buf_init(&list, 0);
		buf_init(&text, 0);
		assert_int_equal(rewrite_recipient(world->config, &given, &list, &result), ERR_OK);
		reader = recipient_list_read(buf_slice(&list));
		while (recipient_list_next(&reader, &entry) == ERR_OK)
			buf_addf(&text, "%" SLICE_FMT " ", SLICE_ARG(entry.address));
		if (!slice_equal_str(buf_slice(&text), cases[i][1]))
			fail_msg("%s: %" SLICE_FMT, cases[i][0], SLICE_ARG(buf_slice(&text)));
		buf_done(&list);
		buf_done(&text);
	}
}

static void
test_complete__adds_origin_and_domain(void **state)
{
	static const char *const cases[][2] = { { "", "" }, { "root", "root@local.test" },
		{ "a@b.test", "a@b.test" } };
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf complete;

		buf_init(&complete, 0);
		assert_int_equal(
			rewrite_complete(world->config, slice_str(cases[i][0]), &complete), ERR_OK);
		assert_true(slice_equal_str(buf_slice(&complete), cases[i][1]));
		buf_done(&complete);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_route__table),
		TEST(test_rewrite__table),
		TEST(test_complete__adds_origin_and_domain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
