/*
 * test_main_cf.c - unit tests of config/main_cf and config/logical_line (rules T1 to T3)
 *
 * Goal: lines join as administrators know it. Method: small texts.
 */
#include "config/main_cf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct world {
	struct main_cf main_cf;
	struct buf warnings;
	struct fault fault;
};

static enum err
parse(struct world *world, const char *text)
{
	enum err err;

	main_cf_init(&world->main_cf);
	buf_init(&world->warnings, 0);
	err = main_cf_parse(
		&world->main_cf, slice_str(text), "main.cf", &world->warnings, &world->fault);
	return err;
}

static void
done(struct world *world)
{
	main_cf_done(&world->main_cf);
	buf_done(&world->warnings);
}

static void
check(struct world *world, const char *name, const char *value, unsigned line)
{
	const struct main_cf_entry *entry = main_cf_find(&world->main_cf, slice_str(name));

	assert_non_null(entry);
	assert_string_equal(entry->value, value);
	assert_int_equal(entry->origin.line, line);
}

/* rules: T1 T2 */
static void
test_main_cf_parse__continuations__join_as_they_are(void **state)
{
	struct world world;

	(void)state;
	assert_int_equal(parse(&world,
				 "# comment\n"
				 "\n"
				 "a = 1\n"
				 "  2\n"
				 "# not an end\n"
				 "   # nor this\n"
				 "\t \n"
				 "\t3\n"
				 "b=\n"
				 "  x\r\n"
				 "c = last = y"),
		ERR_OK);
	check(&world, "a", "1  2\t3", 3);
	check(&world, "b", "x", 9);
	check(&world, "c", "last = y", 11);
	done(&world);
}

/* rules: T3 */
static void
test_main_cf_parse__same_name_twice__last_counts_with_a_warning(void **state)
{
	struct world world;

	(void)state;
	assert_int_equal(parse(&world, "a = 1\nb=\na=2\n"), ERR_OK);
	check(&world, "a", "2", 3);
	check(&world, "b", "", 2);
	assert_true(slice_equal_str(
		buf_slice(&world.warnings), "main.cf, line 3: overriding earlier entry: a=2\n"));
	done(&world);
}

/* rules: T2 */
static void
test_main_cf_parse__bad_lines__name_their_place(void **state)
{
	static const char *const bad[][2] = {
		{ "a\n", "main.cf, line 1: missing '=' after attribute name: \"a\""
			 " (allowed: name = value)" },
		{ "a = 1\na b = c\n", "main.cf, line 2: missing '=' after attribute name: \"a b = c\""
				      " (allowed: name = value)" },
		{ "= c\n", "main.cf, line 1: missing attribute name: \"= c\"" },
		{ "a\nb = c\n", "main.cf, line 1: missing '=' after attribute name: \"a\""
				" (allowed: name = value)" },
	};
	struct world world;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(parse(&world, bad[i][0]), ERR_SYNTAX);
		assert_string_equal(world.fault.text, bad[i][1]);
		done(&world);
	}
}

static void
test_main_cf_parse__control_bytes_and_long_lines__are_made_harmless(void **state)
{
	struct world world;

	(void)state;
	assert_int_equal(parse(&world, "\033[2Jbad line "
				       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
				       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n"),
		ERR_SYNTAX);
	assert_null(strchr(world.fault.text, '\033'));
	assert_non_null(strstr(world.fault.text, "..."));
	done(&world);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_main_cf_parse__continuations__join_as_they_are),
		cmocka_unit_test(test_main_cf_parse__same_name_twice__last_counts_with_a_warning),
		cmocka_unit_test(test_main_cf_parse__bad_lines__name_their_place),
		cmocka_unit_test(
			test_main_cf_parse__control_bytes_and_long_lines__are_made_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
