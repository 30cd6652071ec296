/*
 * test_log_writer.c - unit tests of log/log_writer
 *
 * Goal: whoever puts lines never waits; what is kept comes out in order, what is lost is counted.
 * Method: a pipe that nobody reads until the test wants it read.
 */
#include "log/log_writer.h"

#include "base/num.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

enum { LINE_SIZE = 1000, LINES = LOG_WRITER_KEPT_MAX / LINE_SIZE + 5000 };

static atomic_int drained_count;

static void
drained(void *ctx)
{
	(void)ctx;
	atomic_fetch_add(&drained_count, 1);
}

static void
put_numbered(struct log_writer *writer, int number)
{
	char line[LINE_SIZE + 1];

	(void)snprintf(line, sizeof(line), "%0*d\n", LINE_SIZE - 1, number);
	log_writer_put(writer, slice_str(line));
}

/* Reads one line; its number. */
static int
read_numbered(int fd)
{
	char line[LINE_SIZE];
	size_t have = 0;
	uint64_t number;

	while (have < sizeof(line)) {
		ssize_t got = read(fd, line + have, sizeof(line) - have);

		assert_true(got > 0);
		have += (size_t)got;
	}
	assert_int_equal(line[LINE_SIZE - 1], '\n');
	assert_int_equal(num_parse_u64(slice_make((uint8_t *)line + LINE_SIZE - 11, 10), 0,
		UINT32_MAX, &number), ERR_OK);
	return (int)number;
}

static void
test_put__nobody_reads__keeps_to_the_bound_and_counts_the_rest(void **state)
{
	struct log_writer *writer;
	int ends[2], kept = 0, lost;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	writer = log_writer_new(ends[1], LOG_FILE_PLAIN, drained, NULL);
	for (int i = 0; i < LINES; i++) {
		put_numbered(writer, i);
		if (i == 200) /* the pipe is full: from now on nothing moves */
			assert_false(log_writer_finish(writer, 200 * NS_PER_MS));
	}
	assert_int_equal(log_writer_take_lost(writer), 0);
	assert_false(log_writer_finish(writer, 10 * NS_PER_MS));
	for (; read_numbered(ends[0]) == kept; kept++)
		if (kept == LOG_WRITER_KEPT_MAX / LINE_SIZE - 1)
			break;
	assert_int_equal(kept, LOG_WRITER_KEPT_MAX / LINE_SIZE - 1);
	/* A few more may have gone into the pipe before the bound was reached. */
	while (!log_writer_finish(writer, 10 * NS_PER_MS))
		assert_int_equal(read_numbered(ends[0]), ++kept);
	for (int i = 0; i < 500 && atomic_load(&drained_count) == 0; i++)
		(void)usleep(10000);
	assert_int_equal(atomic_load(&drained_count), 1);
	lost = (int)log_writer_take_lost(writer);
	assert_true(lost > 0);
	assert_int_equal(log_writer_take_lost(writer), 0);
	while (kept + 1 + lost < LINES)
		assert_int_equal(read_numbered(ends[0]), ++kept);
	put_numbered(writer, 123456);
	assert_int_equal(read_numbered(ends[0]), 123456);
}

static void
test_set_fd__old_one_hangs__goes_on_in_the_new_one(void **state)
{
	struct log_writer *writer;
	int hung[2], ends[2], next = 0;

	(void)state;
	assert_int_equal(pipe(hung), 0);
	assert_int_equal(pipe(ends), 0);
	writer = log_writer_new(hung[1], LOG_FILE_PLAIN, drained, NULL);
	for (int i = 0; i < 200; i++)
		put_numbered(writer, i);
	assert_false(log_writer_finish(writer, 100 * NS_PER_MS));
	log_writer_set_fd(writer, ends[1]);
	/* The old end is closed when the new one is in use: whole lines up to there. */
	for (char byte; read(hung[0], &byte, 1) == 1;)
		next += byte == '\n';
	assert_true(next > 0 && next < 200);
	for (; next < 200; next++)
		assert_int_equal(read_numbered(ends[0]), next);
	assert_true(log_writer_finish(writer, NS_PER_S));
}

static void
test_whole__lines_up_to_a_size__never_cuts_one(void **state)
{
	(void)state;
	assert_int_equal(log_file_whole(SLICE_LIT("ab\ncd\nef\n"), 100), 9);
	assert_int_equal(log_file_whole(SLICE_LIT("ab\ncd\nef\n"), 8), 6);
	assert_int_equal(log_file_whole(SLICE_LIT("ab\ncd\nef\n"), 3), 3);
	assert_int_equal(log_file_whole(SLICE_LIT("ab\ncd\n"), 2), 3);
	assert_int_equal(log_file_whole(SLICE_LIT("ab"), 1), 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put__nobody_reads__keeps_to_the_bound_and_counts_the_rest),
		cmocka_unit_test(test_set_fd__old_one_hangs__goes_on_in_the_new_one),
		cmocka_unit_test(test_whole__lines_up_to_a_size__never_cuts_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
