/*
 * test_import_ledger.c - unit tests of cli/import_ledger
 *
 * Goal: what was flushed comes back; a torn end is cut off and goes on cleanly, damage in the middle
 * is refused; only one has it. Method: a file below the build directory, written and damaged.
 */
#include "cli/import_ledger.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <cmocka.h>

#define ID "4jYkTD6gkSz0"

static struct cli cli = { .program = "test", .queue_fd = -1 };
static char path[64];

static int
make_path(void **state)
{
	(void)state;
	(void)snprintf(path, sizeof(path), "/tmp/test-import-ledger-%ld", (long)getpid());
	(void)unlink(path);
	return 0;
}

static int
remove_path(void **state)
{
	(void)state;
	return unlink(path);
}

static void
add_text(const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	assert_true(fd >= 0 && cli_write(fd, slice_str(text)));
	(void)close(fd);
}

static void
check_entry(const struct import_ledger *ledger, const char *key, enum import_ledger_state wanted,
	bool stays_held)
{
	const struct import_ledger_entry *entry = import_ledger_find(ledger, key);

	assert_non_null(entry);
	assert_int_equal(entry->state, wanted);
	assert_int_equal(entry->stays_held, stays_held);
	assert_false(entry->is_ours);
	if (wanted != IMPORT_LEDGER_BEGUN)
		assert_string_equal(entry->id, ID);
}

/* Three entries, one in each state. */
static void
write_three(void)
{
	static const char *const keys[] = { "a", "b", "c" };
	struct import_ledger ledger;

	assert_int_equal(import_ledger_open(&ledger, &cli, path), EX_OK);
	for (size_t i = 0; i < 3; i++) {
		import_ledger_begin(&ledger, keys[i], i == 1);
		assert_true(import_ledger_find(&ledger, keys[i])->is_ours);
		if (i >= 1)
			import_ledger_keep(&ledger, import_ledger_find(&ledger, keys[i]), ID);
		if (i >= 2)
			import_ledger_free(&ledger, import_ledger_find(&ledger, keys[i]));
	}
	assert_int_equal(import_ledger_flush(&ledger), EX_OK);
	import_ledger_close(&ledger);
}

static void
check_three(void)
{
	struct import_ledger ledger;

	assert_int_equal(import_ledger_open(&ledger, &cli, path), EX_OK);
	check_entry(&ledger, "a", IMPORT_LEDGER_BEGUN, false);
	check_entry(&ledger, "b", IMPORT_LEDGER_KEPT, true);
	check_entry(&ledger, "c", IMPORT_LEDGER_FREE, false);
	assert_null(import_ledger_find(&ledger, "d"));
	assert_int_equal(import_ledger_flush(&ledger), EX_OK);
	import_ledger_close(&ledger);
}

static void
test_import_ledger__flushed__comes_back(void **state)
{
	(void)state;
	write_three();
	check_three();
	check_three();
}

static void
test_import_ledger__torn_end__is_cut_off(void **state)
{
	static const char *const torn[] = { "kept a 4jYkTD6gkS", "begin d relea", "free", "\n",
		"kept a 4jYk\n", "\x01\x02\n\n" };

	(void)state;
	write_three();
	for (size_t i = 0; i < sizeof(torn) / sizeof(torn[0]); i++) {
		add_text(torn[i]);
		check_three();
		/* And the next line stands by itself. */
		check_three();
	}
}

static void
test_import_ledger__damage_in_the_middle__is_refused(void **state)
{
	static const char *const bad[] = { "begin d\n", "kept d " ID "\n", "free a\n", "begin c hold\n",
		"begin d release more\n" };
	struct import_ledger ledger;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)unlink(path);
		write_three();
		add_text(bad[i]);
		add_text("begin e release\n");
		assert_int_equal(import_ledger_open(&ledger, &cli, path), EX_DATAERR);
	}
}

static void
test_import_ledger__second_opener__is_refused(void **state)
{
	struct import_ledger one, other;

	(void)state;
	assert_int_equal(import_ledger_open(&one, &cli, path), EX_OK);
	assert_int_equal(import_ledger_open(&other, &cli, path), EX_TEMPFAIL);
	import_ledger_close(&one);
	assert_int_equal(import_ledger_open(&other, &cli, path), EX_OK);
	import_ledger_close(&other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_import_ledger__flushed__comes_back, make_path, remove_path),
		cmocka_unit_test_setup_teardown(
			test_import_ledger__torn_end__is_cut_off, make_path, remove_path),
		cmocka_unit_test_setup_teardown(
			test_import_ledger__damage_in_the_middle__is_refused, make_path, remove_path),
		cmocka_unit_test_setup_teardown(
			test_import_ledger__second_opener__is_refused, make_path, remove_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
