/*
 * test_local_core.c - unit tests of local delivery's decisions
 *
 * Goal: aliases, extensions, loops and limits give the plan that local_core.h promises. Method: names
 * from a table, plans as text.
 */
#include "local/local_core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const char *const aliases[][2] = {
	{ "root", "alice" },
	{ "team", "alice, bob, carol@dest.test" },
	{ "self", "\\self, bob" },
	{ "again", "again, bob" },
	{ "ring1", "ring2" },
	{ "ring2", "ring1" },
	{ "cmd", "|/bin/true, \"/srv/box\", bob, |/bin/true" },
	{ "file", "/var/mail/x" },
	{ "inc", ":include:/etc/list" },
	{ "list", "carol@dest.test" },
	{ "owner-list", "alice" },
	{ "quoted", "\"odd name\"@dest.test" },
	{ "deep+x", "bob" },
};

static bool
find_alias(void *ctx, struct slice name, struct slice *ret_value)
{
	(void)ctx;
	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
		if (slice_equal_nocase_str(name, aliases[i][0])) {
			*ret_value = slice_str(aliases[i][1]);
			return true;
		}
	return false;
}

static bool
is_local(void *ctx, struct slice domain)
{
	(void)ctx;
	return slice_equal_nocase_str(domain, "local.test");
}

static bool
exists(void *ctx, struct slice key)
{
	(void)ctx;
	return !slice_starts(key, SLICE_LIT("nobody"));
}

static const struct local_names names = { .alias = find_alias, .is_local = is_local,
	.exists = exists, .origin = { (const uint8_t *)"local.test", 10 },
	.runs_commands = true, .writes_files = true,
	.delimiters = { (const uint8_t *)"+", 1 } };

/* "maildir alice; forward carol@dest.test; " ... */
static void
expect(const char *address, bool loops, const char *want)
{
	static const char *const kinds[] = { "maildir", "run", "forward", "bounce", "defer" };
	struct local_plan plan = { 0 };
	struct buf text;

	buf_init(&text, 0);
	local_plan_make(&plan, &names, slice_str(address), loops);
	for (uint32_t i = 0; i < plan.count; i++) {
		const struct local_target *target = &plan.targets[i];

		buf_addf(&text, "%s %s; ", kinds[target->kind],
			target->kind == LOCAL_TARGET_MAILDIR || target->kind == LOCAL_TARGET_RUN
				? target->path
			: target->kind == LOCAL_TARGET_FORWARD ? target->address
							       : target->dsn);
	}
	if (!slice_equal_str(buf_slice(&text), want))
		print_error("%s: %" SLICE_FMT "\n", address, SLICE_ARG(buf_slice(&text)));
	assert_true(slice_equal_str(buf_slice(&text), want));
	local_plan_done(&plan);
	buf_done(&text);
}

static void
test_plan__table(void **state)
{
	(void)state;
	expect("alice@local.test", false, "maildir alice; ");
	expect("Alice+x@local.test", false, "maildir alice; ");
	expect("root@local.test", false, "maildir alice; ");
	expect("team@local.test", false, "maildir alice; maildir bob; forward carol@dest.test; ");
	expect("team+x@local.test", false, "maildir alice; maildir bob; forward carol@dest.test; ");
	expect("deep+x@local.test", false, "maildir bob; ");
	expect("self@local.test", false, "maildir self; maildir bob; ");
	expect("again@local.test", false, "maildir again; maildir bob; ");
	expect("quoted@local.test", false, "forward odd name@dest.test; ");
	expect("cmd@local.test", false, "run |/bin/true; run /srv/box; maildir bob; ");
	expect("nobody@local.test", false, "bounce 5.1.1; ");
	expect("alice@local.test", true, "bounce 5.4.6; ");
}

static void
test_plan__loops_and_what_is_not_allowed_end(void **state)
{
	static const char *const bad[] = { "ring1@local.test", "../etc@local.test", "a/b@local.test",
		".hidden@local.test", "cmd@local.test", "file@local.test", "inc@local.test" };

	struct local_names strict = names;

	(void)state;
	strict.runs_commands = strict.writes_files = false;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct local_plan plan = { 0 };

		local_plan_make(&plan, &strict, slice_str(bad[i]), false);
		assert_true(plan.count > 0);
		for (uint32_t t = 0; t < plan.count; t++) {
			if (plan.targets[t].kind == LOCAL_TARGET_MAILDIR) {
				assert_null(strchr(plan.targets[t].path, '/'));
				assert_true(plan.targets[t].path[0] != '.');
			} else {
				assert_true(plan.targets[t].kind >= LOCAL_TARGET_BOUNCE);
				assert_non_null(plan.targets[t].reason);
			}
		}
		local_plan_done(&plan);
	}
}

static void
test_owner__sends_what_the_list_forwards(void **state)
{
	struct local_plan plan = { 0 };

	(void)state;
	local_plan_make(&plan, &names, SLICE_LIT("list@local.test"), false);
	assert_non_null(plan.owner);
	assert_string_equal(plan.owner, "owner-list@local.test");
	local_plan_done(&plan);
}

static void
test_delivered_to__is_found_in_the_header_only(void **state)
{
	bool ended;

	(void)state;
	assert_true(local_delivered_to_find(
		SLICE_LIT("From: x\r\nDelivered-To: a@b.test\r\n\r\n"), SLICE_LIT("a@b.test"), &ended));
	assert_true(local_delivered_to_find(
		SLICE_LIT("delivered-to:  A@B.test \nX: y\n"), SLICE_LIT("a@b.test"), NULL));
	assert_false(local_delivered_to_find(
		SLICE_LIT("From: x\n\nDelivered-To: a@b.test\n"), SLICE_LIT("a@b.test"), &ended));
	assert_true(ended);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plan__table),
		cmocka_unit_test(test_plan__loops_and_what_is_not_allowed_end),
		cmocka_unit_test(test_owner__sends_what_the_list_forwards),
		cmocka_unit_test(test_delivered_to__is_found_in_the_header_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
