/*
 * test_lookup.c - unit tests of resolver/lookup: how long an answer holds
 *
 * Goal: no answer outlives what DNS said of it, and none is asked for in a loop. Method: answers by
 * hand.
 */
#include "resolver/lookup.h"

#include "ipc/messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct asked {
	struct lookup *lookup;
	enum dns_type type;
	unsigned tag;
};

struct world {
	struct rng rng;
	struct asked asked[8];
	unsigned asked_count;
	unsigned status;
	uint32_t ttl_s;
	unsigned done_count;
};

static void
op_ask(void *ctx, struct lookup *lookup, const char *name, enum dns_type type, unsigned tag)
{
	struct world *world = ctx;

	(void)name;
	assert_true(world->asked_count < 8);
	world->asked[world->asked_count++] = (struct asked){ lookup, type, tag };
}

static bool
op_is_self(void *ctx, const char *host, uint16_t family, const uint8_t *address)
{
	(void)ctx;
	(void)host;
	(void)family;
	(void)address;
	return false;
}

static void
op_done(void *ctx, uint64_t query, unsigned status, uint32_t ttl_s, struct slice hosts,
	const char *dsn, const char *reason)
{
	struct world *world = ctx;

	(void)query;
	(void)hosts;
	(void)dsn;
	(void)reason;
	world->status = status;
	world->ttl_s = ttl_s;
	world->done_count++;
}

static const struct lookup_ops ops = { op_ask, op_is_self, op_done };

static void
start(struct world *world, const char *nexthop)
{
	struct lookup_options options = { .ipv4 = true, .ipv6 = true, .rng = &world->rng,
		.ops = &ops, .ctx = world };

	*world = (struct world){ 0 };
	rng_init(&world->rng, 7);
	lookup_start(&options, 1, slice_str(nexthop), 25, true);
}

/* Answers the oldest open question of a type. */
static void
answer(struct world *world, enum dns_type type, enum dns_status status, uint32_t ttl_s,
	struct slice record)
{
	struct dns_answer found = { .status = status, .ttl_s = ttl_s };

	if (status == DNS_FOUND)
		found.records[found.count++] = record;
	for (unsigned i = 0; i < world->asked_count; i++) {
		struct asked asked = world->asked[i];

		if (asked.lookup == NULL || asked.type != type)
			continue;
		world->asked[i].lookup = NULL;
		lookup_answer(asked.lookup, asked.tag, &found);
		return;
	}
	fail_msg("nobody asked for type %d", (int)type);
}

#define MX_RECORD SLICE_LIT("\0\x0a\2mx\4test\0")
#define A_RECORD SLICE_LIT("\x0a\0\0\1")
#define NONE slice_make(NULL, 0)

static void
test_found__the_shortest_ttl_of_all_answers__holds(void **state)
{
	struct world world;

	(void)state;
	start(&world, "d.test");
	answer(&world, DNS_MX, DNS_FOUND, 300, MX_RECORD);
	answer(&world, DNS_A, DNS_FOUND, 120, A_RECORD);
	answer(&world, DNS_AAAA, DNS_EMPTY, 0, NONE);
	assert_int_equal(world.done_count, 1);
	assert_int_equal(world.status, IPC_RESOLVE_OK);
	assert_int_equal(world.ttl_s, 120);
	start(&world, "d.test");
	answer(&world, DNS_MX, DNS_FOUND, 30, MX_RECORD);
	answer(&world, DNS_A, DNS_FOUND, 120, A_RECORD);
	answer(&world, DNS_AAAA, DNS_NO_NAME, 0, NONE);
	assert_int_equal(world.ttl_s, 30);
}

static void
test_found__ttl_of_nothing__still_holds_a_moment(void **state)
{
	struct world world;

	(void)state;
	start(&world, "d.test");
	answer(&world, DNS_MX, DNS_FOUND, 0, MX_RECORD);
	answer(&world, DNS_A, DNS_FOUND, 0, A_RECORD);
	answer(&world, DNS_AAAA, DNS_EMPTY, 0, NONE);
	assert_int_equal(world.status, IPC_RESOLVE_OK);
	assert_int_equal(world.ttl_s, LOOKUP_TTL_MIN_S);
}

static void
test_no_mx__the_ttl_of_that_answer__counts_too(void **state)
{
	struct world world;

	(void)state;
	start(&world, "d.test");
	answer(&world, DNS_MX, DNS_EMPTY, 60, NONE);
	answer(&world, DNS_A, DNS_FOUND, 900, A_RECORD);
	answer(&world, DNS_AAAA, DNS_EMPTY, 0, NONE);
	assert_int_equal(world.status, IPC_RESOLVE_OK);
	assert_int_equal(world.ttl_s, 60);
}

static void
test_failed__holds_a_minute__trouble_ten_seconds(void **state)
{
	struct world world;

	(void)state;
	start(&world, "d.test");
	answer(&world, DNS_MX, DNS_NO_NAME, 86400, NONE);
	assert_int_equal(world.status, IPC_RESOLVE_PERMANENT);
	assert_int_equal(world.ttl_s, 60);
	start(&world, "d.test");
	answer(&world, DNS_MX, DNS_TEMPORARY, 0, NONE);
	assert_int_equal(world.status, IPC_RESOLVE_TEMPORARY);
	assert_int_equal(world.ttl_s, 10);
	/* So does trouble with the addresses, whatever the MX said. */
	start(&world, "d.test");
	answer(&world, DNS_MX, DNS_FOUND, 300, MX_RECORD);
	answer(&world, DNS_A, DNS_TEMPORARY, 0, NONE);
	answer(&world, DNS_AAAA, DNS_TEMPORARY, 0, NONE);
	assert_int_equal(world.status, IPC_RESOLVE_TEMPORARY);
	assert_int_equal(world.ttl_s, 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found__the_shortest_ttl_of_all_answers__holds),
		cmocka_unit_test(test_found__ttl_of_nothing__still_holds_a_moment),
		cmocka_unit_test(test_no_mx__the_ttl_of_that_answer__counts_too),
		cmocka_unit_test(test_failed__holds_a_minute__trouble_ten_seconds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
