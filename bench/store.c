/*
 * store.c - the journal on the real disk beside a bare loop of the same writes (bench/store)
 *
 * usage: bench_store DIR SECONDS [SIZE CONCURRENT]
 *
 * The journal: CONCURRENT messages of SIZE bytes are under way at any moment, each acknowledged after its
 * flush and ended at once. The bare loop: the same padded bytes in batches as the journal makes them
 * at best (all that wait at once share one, as far as JOURNAL_JOIN_MAX allows), one after the
 * other over prewritten blocks, each followed by fdatasync. Headers and footers of segments are the
 * journal's alone.
 *
 * Both write over blocks that were written before, both go round a log of the same size: so the journal is first
 * driven round once, until it recycles. They take turns of TURN_NS, so that a disk that is shared
 * with strangers is slow for both; what is printed is the median turn of each, and the median ratio
 * of two turns that followed each other.
 * The journal's writer and the bare loop run on the same processor, the last one that the program
 * may use: on one that does not get the disk's interrupts a flush takes half as long again. The journal's
 * core has the first one; taskset(1) with one alone puts all there.
 *
 * Without SIZE and CONCURRENT: 1, 4 and 50 KiB, 1, 10 and 100 at once.
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
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BENCH_SEGMENT = 64 * 1024 * 1024, BENCH_SEGMENTS = 10 };

#define BENCH_LOG ((uint64_t)BENCH_SEGMENTS * BENCH_SEGMENT)
#define TURN_NS (100 * NS_PER_MS)

enum { TURNS_MAX = 1000 };

struct bench {
	struct loop *loop;
	struct disk_file *disk;
	struct journal *journal;
	struct loop_hook hook;
	struct loop_timer timer;
	struct buf body;
	uint64_t concurrent, under_way, acked, ended;
	uint64_t acked_ns; /* the turn in which the last one was */
	struct mono until;
	bool is_open;
	int bare;
	uint64_t bare_at;
	cpu_set_t first, last; /* processors */
};

struct bench_message {
	struct bench *bench;
	uint64_t lsn;
};

static void
bench_body(struct bench *bench, size_t size)
{
	buf_clear(&bench->body);
	while (bench->body.len < size)
		buf_add(&bench->body, SLICE_LIT("m"));
}

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
	struct journal_space space;

	journal_space(bench->journal, &space);
	while (bench->under_way < bench->concurrent && space.free_segments > 0) {
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
	struct instant now;
	struct mono due;
	uint64_t acked;

	(void)disk_file_poll(bench->disk);
	now = clock_read();
	if (journal_state(bench->journal) == JOURNAL_OPEN && !bench->is_open) {
		journal_replay(bench->journal, 0);
		bench->is_open = true;
	}
	acked = bench->acked;
	journal_settle(bench->journal, now);
	if (bench->acked > acked)
		bench->acked_ns = now.mono.ns;
	if (bench->is_open && now.mono.ns < bench->until.ns)
		bench_send(bench);
	else if (bench->is_open && bench->under_way == 0 && bench->ended == bench->acked
		&& journal_is_idle(bench->journal))
		loop_stop(bench->loop);
	journal_step(bench->journal, now);
	due = journal_due(bench->journal);
	if (due.ns != UINT64_MAX)
		loop_timer_set(&bench->timer, due);
	else
		loop_timer_clear(&bench->timer);
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

static void
bench_processors(struct bench *bench)
{
	cpu_set_t all;
	size_t first = CPU_SETSIZE, last = 0;

	CHECK(sched_getaffinity(0, sizeof(all), &all) == 0);
	for (size_t i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &all)) {
			first = num_min_u64(first, i);
			last = i;
		}
	CHECK(first <= last);
	CPU_ZERO(&bench->first);
	CPU_SET(first, &bench->first);
	CPU_ZERO(&bench->last);
	CPU_SET(last, &bench->last);
}

/* This thread, and those that it makes. */
static void
bench_stay(const cpu_set_t *processors)
{
	CHECK(sched_setaffinity(0, sizeof(*processors), processors) == 0);
}

static void
bench_open(struct bench *bench, int dir)
{
	static const struct journal_callbacks callbacks = { bench_opened, bench_entry,
		bench_replayed, bench_notice, NULL };
	struct journal_options options = { .segment_size = BENCH_SEGMENT,
		.size_max = BENCH_LOG, .size_min = BENCH_LOG, .epoch = rand_seed(),
		.callbacks = &callbacks, .ctx = bench };

	bench->loop = loop_new();
	bench_processors(bench);
	bench_stay(&bench->last);
	bench->disk = disk_file_new(dir, dir, dir, bench_wake, bench);
	bench_stay(&bench->first);
	options.disk = disk_file_disk(bench->disk);
	bench->journal = journal_new(&options);
	loop_timer_init(&bench->timer, bench->loop, bench_tick, bench);
	loop_hook_add(bench->loop, &bench->hook, bench_turn, bench);
	journal_open(bench->journal, clock_read());
}

static void
bench_close(struct bench *bench)
{
	disk_file_free(bench->disk);
	journal_free(bench->journal);
	loop_timer_done(&bench->timer);
	loop_free(bench->loop);
}

/* Messages acknowledged in one turn, and the time till the last of them. */
static uint64_t
bench_journal(struct bench *bench, uint64_t ns, uint64_t *ret_ns)
{
	uint64_t acked = bench->acked, began = clock_read_mono().ns;

	bench->until.ns = began + ns;
	loop_run(bench->loop);
	*ret_ns = bench->acked_ns - began;
	return bench->acked - acked;
}

/* Until every file has been written and is used again. */
static void
bench_warm_up(struct bench *bench)
{
	uint64_t from = journal_durable(bench->journal), ns;

	bench_body(bench, 51200);
	bench->concurrent = 10;
	do
		(void)bench_journal(bench, NS_PER_S, &ns);
	while (journal_durable(bench->journal) < from + 2 * BENCH_LOG);
}

static void
bench_bare_open(struct bench *bench, int dir)
{
	uint8_t *bytes = mem_array(BENCH_SEGMENT, 1);

	bench->bare = openat(dir, "bare", O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
	CHECK(bench->bare >= 0);
	for (uint64_t at = 0; at < BENCH_LOG; at += BENCH_SEGMENT)
		CHECK(pwrite(bench->bare, bytes, BENCH_SEGMENT, (off_t)at) == BENCH_SEGMENT);
	CHECK(fsync(bench->bare) == 0);
	mem_free(bytes);
}

static void
bench_bare_write(struct bench *bench, struct slice bytes)
{
	if (bench->bare_at + bytes.len > BENCH_LOG)
		bench->bare_at = 0;
	CHECK(pwrite(bench->bare, bytes.ptr, bytes.len, (off_t)bench->bare_at)
		== (ssize_t)bytes.len);
	CHECK(fdatasync(bench->bare) == 0);
	bench->bare_at += bytes.len;
}

/*
 * Messages written by the bare loop in one turn. Its bytes are those of as many messages as the
 * journal has under way, and not those of fresh memory, all of which is one page of zeroes.
 */
static uint64_t
bench_bare(struct bench *bench, uint64_t ns, uint64_t *ret_ns)
{
	size_t each = record_size(bench->body.len) + record_size(0);
	uint64_t most = (JOURNAL_JOIN_MAX - RECORD_BATCH_HEADER) / each, count = 0;
	uint64_t messages = num_min_u64(bench->concurrent, most), began, now;
	size_t length = num_align_u64(RECORD_BATCH_HEADER + messages * each, RECORD_BLOCK);
	size_t rounds = (bench->concurrent + messages - 1) / messages, round = 0;
	uint8_t *bytes = mem_array(rounds, length);

	memset(bytes, 'm', rounds * length);
	bench_stay(&bench->last);
	began = clock_read_mono().ns;
	do {
		bench_bare_write(bench, slice_make(bytes + round * length, length));
		round = (round + 1) % rounds;
		count += messages;
		now = clock_read_mono().ns;
	} while (now < began + ns);
	*ret_ns = now - began;
	bench_stay(&bench->first);
	mem_free(bytes);
	return count;
}

static int
bench_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
bench_median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), bench_compare);
	return values[count / 2];
}

static void
bench_run(struct bench *bench, size_t size, uint64_t concurrent, uint64_t seconds)
{
	size_t turns = num_min_u64(TURNS_MAX, seconds * NS_PER_S / TURN_NS / 2);
	double journal[TURNS_MAX], bare[TURNS_MAX], ratio[TURNS_MAX];
	uint64_t count, ns;

	bench_body(bench, size);
	bench->concurrent = concurrent;
	for (size_t i = 0; i < turns; i++) {
		count = bench_journal(bench, TURN_NS, &ns);
		journal[i] = (double)count / (double)ns * 1e9;
		count = bench_bare(bench, TURN_NS, &ns);
		bare[i] = (double)count / (double)ns * 1e9;
		ratio[i] = journal[i] / bare[i];
	}
	printf("%6zu bytes, %4llu at once: journal %8.0f/s  bare loop %8.0f/s  ratio %.2f\n", size,
		(unsigned long long)concurrent, bench_median(journal, turns),
		bench_median(bare, turns), bench_median(ratio, turns));
	(void)fflush(stdout);
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
	static const uint64_t sizes[] = { 1024, 4096, 51200 }, counts[] = { 1, 10, 100 };
	struct bench bench = { 0 };
	uint64_t seconds;
	int dir;

	if (argc != 3 && argc != 5) {
		(void)fprintf(stderr, "usage: bench_store DIR SECONDS [SIZE CONCURRENT]\n");
		return 64;
	}
	dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(dir >= 0);
	seconds = bench_number(argv[2]);
	buf_init(&bench.body, 0);
	bench_open(&bench, dir);
	bench_bare_open(&bench, dir);
	bench_warm_up(&bench);
	for (size_t i = 0; i < 9 && argc == 3; i++)
		bench_run(&bench, sizes[i / 3], counts[i % 3], seconds);
	if (argc == 5)
		bench_run(&bench, bench_number(argv[3]), bench_number(argv[4]), seconds);
	bench_close(&bench);
	(void)unlinkat(dir, "bare", 0);
	buf_done(&bench.body);
	return 0;
}
