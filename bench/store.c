/*
 * store.c - the journal on the real disk beside a bare loop of the same writes (bench/store)
 *
 * usage: bench_store DIR SIZE CONCURRENT SECONDS
 *
 * The journal: CONCURRENT messages of SIZE bytes are under way at any moment, each acknowledged after its
 * flush and ended at once. The bare loop: batches of as many padded bytes, written one after the
 * other over prewritten blocks of one file, each followed by fdatasync. Both in DIR, one after the other.
 */
#include "base/check.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/rand.h"
#include "store/disk_file.h"
#include "store/journal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BENCH_SEGMENT = 64 * 1024 * 1024 };

struct bench {
	struct loop *loop;
	struct disk_file *disk;
	struct journal *journal;
	struct loop_hook hook;
	struct loop_timer timer;
	struct buf body;
	uint64_t concurrent, seconds, under_way, acked, ended, durable_at_start;
	struct mono began, until;
	bool stopped;
};

struct bench_message {
	struct bench *bench;
	uint64_t lsn;
};

static void
bench_wake(void *ctx)
{
	struct bench *bench = ctx;

	loop_wake(bench->loop);
}

static void
bench_ended(void *ctx, enum journal_outcome outcome)
{
	struct bench_message *message = ctx;

	CHECK(outcome == JOURNAL_DURABLE);
	journal_release(message->bench->journal, message->lsn);
	message->bench->ended++;
	mem_free(message);
}

static void
bench_acked(void *ctx, enum journal_outcome outcome)
{
	struct bench_message *message = ctx;
	struct bench *bench = message->bench;
	struct record record = { .type = RECORD_DONE, .message = message->lsn };

	CHECK(outcome == JOURNAL_DURABLE);
	journal_hold(bench->journal, message->lsn);
	bench->acked++;
	bench->under_way--;
	CHECK(journal_append(bench->journal, &record, 1, JOURNAL_RESULT, JOURNAL_SOON, bench_ended,
		      message, NULL)
		== ERR_OK);
}

static void
bench_send(struct bench *bench)
{
	while (bench->under_way < bench->concurrent) {
		struct bench_message *message = MEM_NEW(struct bench_message);
		struct record record = { .type = RECORD_MESSAGE,
			.payload = buf_slice(&bench->body) };

		message->bench = bench;
		if (journal_append(bench->journal, &record, 1, JOURNAL_NEW_MAIL, JOURNAL_NOW,
			    bench_acked, message, &message->lsn)
			< 0) {
			mem_free(message);
			return;
		}
		bench->under_way++;
	}
}

static void
bench_turn(void *ctx)
{
	struct bench *bench = ctx;
	struct instant now = clock_read();
	struct mono due;

	(void)disk_file_poll(bench->disk);
	if (journal_state(bench->journal) == JOURNAL_OPEN && bench->began.ns == 0) {
		journal_replay(bench->journal, 0);
		bench->began = now.mono;
		bench->until = mono_add_ns(now.mono, bench->seconds * NS_PER_S);
		bench->durable_at_start = journal_durable(bench->journal);
	}
	if (bench->began.ns > 0 && now.mono.ns < bench->until.ns)
		bench_send(bench);
	else if (bench->began.ns > 0 && bench->under_way == 0 && bench->ended == bench->acked)
		loop_stop(bench->loop);
	journal_step(bench->journal, now);
	due = journal_due(bench->journal);
	if (due.ns != UINT64_MAX)
		loop_timer_set(&bench->timer, due);
}

static void
bench_tick(void *ctx)
{
	(void)ctx;
}

static void
bench_entry(void *ctx, const struct summary_entry *entry)
{
	(void)ctx;
	(void)entry;
}

static void
bench_replayed(void *ctx)
{
	(void)ctx;
}

static void
bench_opened(void *ctx, enum err err, const struct fault *fault)
{
	(void)ctx;
	(void)fault;
	CHECK(err == ERR_OK);
}

static void
bench_notice(void *ctx, const char *text)
{
	(void)ctx;
	(void)fprintf(stderr, "%s\n", text);
}

/* Messages per second of the journal; *ret_batch: mean padded bytes between two flushes' ends. */
static double
bench_journal(struct bench *bench, int dir)
{
	static const struct journal_callbacks callbacks = { bench_opened, bench_entry, bench_replayed, bench_notice, NULL };
	struct journal_options options = { .segment_size = BENCH_SEGMENT,
		.size_max = 16ull * BENCH_SEGMENT, .size_min = 16ull * BENCH_SEGMENT, .epoch = rand_seed(), .callbacks = &callbacks,
		.ctx = bench };
	double elapsed;

	bench->loop = loop_new();
	bench->disk = disk_file_new(dir, dir, dir, bench_wake, bench);
	options.disk = disk_file_disk(bench->disk);
	bench->journal = journal_new(&options);
	loop_timer_init(&bench->timer, bench->loop, bench_tick, bench);
	loop_hook_add(bench->loop, &bench->hook, bench_turn, bench);
	journal_open(bench->journal, clock_read());
	loop_run(bench->loop);
	elapsed = (double)mono_since_ns(clock_read_mono(), bench->began) / 1e9;
	return (double)bench->acked / elapsed;
}

/* Batches of `length` bytes per second, over prewritten blocks. */
static double
bench_bare(int dir, size_t length, uint64_t seconds)
{
	uint8_t *bytes = mem_array(length, 1);
	int fd = openat(dir, "bare", O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
	uint64_t count = 0, offset = 0;
	struct mono began, now;

	CHECK(fd >= 0);
	memset(bytes, 'x', length);
	for (uint64_t at = 0; at + length <= BENCH_SEGMENT; at += length)
		CHECK(pwrite(fd, bytes, length, (off_t)at) == (ssize_t)length);
	CHECK(fsync(fd) == 0);
	began = now = clock_read_mono();
	while (now.ns < began.ns + seconds * NS_PER_S) {
		CHECK(pwrite(fd, bytes, length, (off_t)offset) == (ssize_t)length);
		CHECK(fdatasync(fd) == 0);
		offset = offset + 2 * length <= BENCH_SEGMENT ? offset + length : 0;
		count++;
		now = clock_read_mono();
	}
	(void)close(fd);
	(void)unlinkat(dir, "bare", 0);
	mem_free(bytes);
	return (double)count / ((double)mono_since_ns(now, began) / 1e9);
}

static uint64_t
bench_number(const char *text)
{
	uint64_t value = 0;

	if (num_parse_u64(slice_str(text), 1, 1000000, &value) < 0) {
		(void)fprintf(stderr, "bench_store: not a number from 1 to 1000000: %s\n", text);
		exit(64);
	}
	return value;
}

int
main(int argc, char **argv)
{
	struct bench bench = { 0 };
	size_t size, batch;
	double journal, bare;
	int dir;

	if (argc != 5) {
		(void)fprintf(stderr, "usage: bench_store DIR SIZE CONCURRENT SECONDS\n");
		return 64;
	}
	dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(dir >= 0);
	size = bench_number(argv[2]);
	bench.concurrent = bench_number(argv[3]);
	bench.seconds = bench_number(argv[4]);
	buf_init(&bench.body, 0);
	for (size_t i = 0; i < size; i++)
		buf_add(&bench.body, SLICE_LIT("m"));
	journal = bench_journal(&bench, dir);
	/* As many messages as wait at once share one batch of the bare loop, as they do at best. */
	batch = num_align_u64(RECORD_BATCH_HEADER + bench.concurrent * (record_size(size) + record_size(0)),
		RECORD_BLOCK);
	bare = bench_bare(dir, batch, bench.seconds) * (double)bench.concurrent;
	printf("%6zu bytes, %4llu at once: journal %8.0f/s  bare loop %8.0f/s  ratio %.2f\n", size,
		(unsigned long long)bench.concurrent, journal, bare, journal / bare);
	return 0;
}
