/*
 * queue.c - a queue made by the production store, and what it costs (bench/queue)
 *
 * usage: bench_queue [-m MIN_MIB] [-r READ_MS] [-b HOURS] DIR ACTION...
 *
 * Opens the queue below DIR (journal/, large/ and corrupt/ are made), does the actions in their order, and prints
 * what each cost. It ends as a killed process does. Messages and states are as the queue manager
 * writes them, so Ostler can be started with what is left.
 *
 *   fill:COUNT:SIZE    COUNT deferred messages; resident memory is sampled while it grows
 *   age:HOURS          the clock goes on; then all are due some time within the next 4000 s
 *   retry:HOURS:SITES  HOURS of simulated time: each message is deferred again whenever it is due, by
 *                      the default backoff (300 s to 4000 s), each for the reason of one of SITES
 *   relay:SIZE:MIB     mail that comes and goes, 50 at a time, until MIB of it came; write amplification
 *   latency:COUNT      time from arrival to durable of one message at a time: idle; while a message of
 *                      100 MB is received; while COUNT deferred ones wake; while the cleaner shrinks the log at ease; while
 *                      it empties segments as if they were wanted
 *
 * -m: journal_size_min. -r: every read takes so much longer. -b: the clock begins so many hours ago.
 * Writing to the disk has the speed of the disk; only wall time is simulated, and for `retry` the other
 * clock with it: it stands while the disk is at work, so batches are those of a machine that keeps up.
 */
#include "base/check.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/rand.h"
#include "message/envelope.h"
#include "message/queue_id.h"
#include "message/recipient_list.h"
#include "message/state.h"
#include "qmgr/fingerprint.h"
#include "store/disk_file.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)
#define HOUR_US (3600 * US_PER_S)
#define PROBE_PAUSE_NS (2 * NS_PER_MS)
#define PHASE_NS (15 * NS_PER_S)
#define SETTLE_NS (8 * NS_PER_S)
#define CLEAN_OVER_NS (300 * NS_PER_MS) /* longer than from one segment to the next */

enum {
	SEGMENT = 64 << 20,
	FILL_FLIGHT = 2000,
	RETRY_FLIGHT = 16000,
	WAKE_FLIGHT = 64, /* as the queue manager reads */
	RELAY_FLIGHT = 50,
	WARM_FLIGHT = 500,
	PROBES_MAX = 100000,
	LARGE_SIZE = 100000000,
	LARGE_PART = 65536,
	LARGE_PENDING = 4 << 20,
	BACKOFF_MIN_S = 300,
	BACKOFF_MAX_S = 4000,
	MEMORY_STEP = 100000,
};

struct queue;
typedef void queue_act_fn(struct queue *queue);

struct queue {
	struct loop *loop;
	struct disk_file *disk;
	struct store *store;
	struct loop_hook hook;
	struct loop_timer timer;
	struct rng rng;
	queue_act_fn *act;
	uint64_t wall_us;
	bool is_simulated; /* the boot clock goes with wall_us, and both stand while busy */
	struct mono began, simulated;
	unsigned busy; /* operations of the disk */
	struct disk counter, *below;
	bool is_open, is_complete;
	struct buf body, part, envelope, recipients, state;
	uint32_t sent; /* messages */
	struct state reason;
	uint64_t sites; /* each message has one, whose reason is its own */
	/* of the action under way */
	uint64_t goal, made, flight, width, end_us, resident, resident_count;
	double resident_most;
	/* latency */
	struct mono probe_next, probe_sent, phase_end, idle_since;
	bool is_probing, is_quiet;
	uint64_t probes[PROBES_MAX];
	size_t probe_count;
	store_ref cursor;
	struct store_large *large;
	uint64_t large_at, large_id, woken;
};

/* A message under way. */
struct flight {
	struct queue *queue;
	store_ref ref;
	uint64_t arrival_us;
	bool is_relayed;
};

/* --- the disk that reads slowly ---------------------------------------- */

static uint64_t read_delay_ns;

/* In front of the C library's. */
ssize_t
pread(int fd, void *to, size_t len, off_t offset)
{
	struct timespec delay = { 0, (long)read_delay_ns };

	if (read_delay_ns > 0)
		(void)nanosleep(&delay, NULL);
	return syscall(SYS_pread64, fd, to, len, offset);
}

/* --- messages ---------------------------------------- */

static uint64_t
queue_next_id(struct queue *queue)
{
	queue->wall_us++;
	return queue_id_make(queue->wall_us, 0);
}

static void
queue_size(struct queue *queue, size_t size)
{
	struct envelope envelope = { .sender = SLICE_LIT("sender@bench.test"),
		.client_name = SLICE_LIT("localhost"), .client_address = SLICE_LIT("127.0.0.1"),
		.client_helo = SLICE_LIT("bench.test"), .protocol = SLICE_LIT("ESMTP"),
		.arrival_us = queue->wall_us, .size = size, .head_length = 16 };
	buf_clear(&queue->body);
	buf_add_str(&queue->body, "Subject: bench\n\n");
	while (queue->body.len < size)
		buf_add_str(&queue->body, queue->body.len % 64 == 63 ? "\n" : "m");
	buf_clear(&queue->envelope);
	CHECK(envelope_encode(&envelope, &queue->envelope) == ERR_OK);
}

/* Each goes to somebody else, in one of a thousand domains. */
static void
queue_address(struct queue *queue)
{
	char text[40];
	struct recipient_entry recipient;

	(void)snprintf(text, sizeof(text), "r%07u@d%03u.test", queue->sent, queue->sent % 1000);
	recipient = (struct recipient_entry){ .address = slice_str(text) };
	queue->sent++;
	buf_clear(&queue->recipients);
	CHECK(recipient_list_put(&queue->recipients, &recipient) == ERR_OK);
}

/* Deferred once more, now. */
static void
queue_reason(struct queue *queue, uint64_t site)
{
	char text[96], host[32];
	struct state_reason reason = { .dsn = SLICE_LIT("4.4.1"), .time_us = queue->wall_us };

	(void)snprintf(host, sizeof(host), "mx%06u.dest.test", (unsigned)site);
	(void)snprintf(text, sizeof(text), "connect to %s[192.0.2.1]:25: Connection timed out", host);
	reason.text = slice_str(text);
	reason.remote_mta = slice_str(host);
	CHECK(state_set(&queue->reason, 0, STATE_OPEN, &reason));
}

/* Appends the message with its body, or with large content. */
static enum err
queue_send(struct queue *queue, struct flight *flight, struct store_large *large,
	journal_done_fn *done)
{
	struct store_message message = { .queue_id = queue_next_id(queue),
		.arrival_us = queue->wall_us, .envelope = buf_slice(&queue->envelope),
		.large = large,
		.content_length = large != NULL ? LARGE_SIZE : queue->body.len };
	struct store_txn txn;

	queue_address(queue);
	message.recipients = buf_slice(&queue->recipients);
	message.fingerprint =
		fingerprint_make(SLICE_LIT("sender@bench.test"), message.recipients);
	if (large == NULL)
		message.body = buf_slice(&queue->body);
	store_txn_begin(&txn, queue->store, JOURNAL_NEW_MAIL, JOURNAL_NOW);
	flight->ref = store_txn_message(&txn, &message);
	flight->arrival_us = queue->wall_us;
	return store_txn_commit(&txn, done, flight);
}

static enum err
queue_defer(struct queue *queue, struct flight *flight, journal_done_fn *done)
{
	uint64_t age_us = queue->wall_us - flight->arrival_us, wait_us;
	struct store_txn txn;
	size_t shared;

	wait_us = num_min_u64(num_max_u64(age_us, BACKOFF_MIN_S * US_PER_S), BACKOFF_MAX_S * US_PER_S);
	wait_us += rng_below(&queue->rng, wait_us / 10 + 1);
	queue->reason.attempts = (uint32_t)(queue->made / (store_count(queue->store) + 1)) + 1;
	queue->reason.last_attempt_us = queue->wall_us;
	queue->reason.next_attempt_us = queue->wall_us + wait_us;
	queue_reason(queue, flight->ref % queue->sites);
	buf_clear(&queue->state);
	CHECK(state_encode_brief(&queue->reason, &queue->state, &shared));
	store_txn_begin(&txn, queue->store, JOURNAL_RESULT, JOURNAL_LATER);
	store_txn_brief(&txn, flight->ref, queue->wall_us + wait_us, 0, buf_slice(&queue->state),
		shared);
	return store_txn_commit(&txn, done, flight);
}

static enum err
queue_end(struct flight *flight, journal_done_fn *done)
{
	struct store_txn txn;

	store_txn_begin(&txn, flight->queue->store, JOURNAL_RESULT, JOURNAL_SOON);
	store_txn_done(&txn, flight->ref);
	return store_txn_commit(&txn, done, flight);
}

static void
flight_landed(struct flight *flight)
{
	flight->queue->flight--;
	mem_free(flight);
}

static void
flight_ended(void *ctx, enum journal_outcome outcome)
{
	CHECK(outcome == JOURNAL_DURABLE);
	flight_landed(ctx);
}

static void
flight_deferred(void *ctx, enum journal_outcome outcome)
{
	struct flight *flight = ctx;
	struct store_info info;

	CHECK(outcome == JOURNAL_DURABLE);
	store_info(flight->queue->store, flight->ref, &info);
	if (info.is_pinned)
		store_unpin(flight->queue->store, flight->ref);
	flight_landed(flight);
}

static void
flight_arrived(void *ctx, enum journal_outcome outcome)
{
	struct flight *flight = ctx;

	CHECK(outcome == JOURNAL_DURABLE);
	if (flight->is_relayed)
		CHECK(queue_end(flight, flight_ended) == ERR_OK);
	else
		CHECK(queue_defer(flight->queue, flight, flight_deferred) == ERR_OK);
}

static struct flight *
flight_new(struct queue *queue, store_ref ref, bool is_relayed)
{
	struct flight *flight = MEM_NEW(struct flight);

	*flight = (struct flight){ .queue = queue, .ref = ref, .is_relayed = is_relayed };
	queue->flight++;
	return flight;
}

/* This mail comes faster than any real one: it waits for segments to be prepared. */
static bool
queue_has_room(struct queue *queue)
{
	struct journal_space space;

	journal_space(store_journal(queue->store), &space);
	return store_accepts(queue->store) && space.free_segments > 0;
}

static bool
queue_make(struct queue *queue, bool is_relayed)
{
	struct flight *flight = flight_new(queue, 0, is_relayed);

	if (queue_has_room(queue)
		&& queue_send(queue, flight, NULL, flight_arrived) == ERR_OK)
		return true;
	flight_landed(flight);
	return false;
}

/* --- the loop ---------------------------------------- */

static void
queue_wake(void *ctx)
{
	struct queue *queue = ctx;

	loop_wake(queue->loop);
}

static void
queue_tick(void *ctx)
{
	(void)ctx;
}

/* In front of the real disk: what it has to do is counted. */
static void
counter_submit(struct disk *disk, struct disk_op *op)
{
	struct queue *queue = (struct queue *)((char *)disk - offsetof(struct queue, counter));

	queue->busy++;
	disk_submit(queue->below, op);
}

/* To the next thing that is due, by either clock. */
static void
queue_advance(struct queue *queue, struct mono due)
{
	bool is_over = queue->wall_us >= queue->end_us; /* the last states are still to be written */
	uint64_t next_us = store_due_next_us(queue->store);
	uint64_t to_us = is_over ? queue->wall_us + US_PER_S : queue->end_us;

	if (!is_over && next_us / US_PER_S < UINT32_MAX)
		to_us = num_min_u64(to_us, next_us);
	if (due.ns != UINT64_MAX && due.ns > queue->simulated.ns)
		to_us = num_min_u64(to_us,
			queue->wall_us + (due.ns - queue->simulated.ns + 999) / 1000);
	else if (due.ns != UINT64_MAX)
		to_us = queue->wall_us;
	if (to_us > queue->wall_us) {
		queue->simulated.ns += (to_us - queue->wall_us) * 1000;
		queue->wall_us = to_us;
	}
	loop_wake(queue->loop);
}

static struct instant
queue_now(const struct queue *queue)
{
	struct instant now = clock_read();

	now.wall.us = queue->wall_us;
	if (queue->is_simulated)
		now.mono = queue->simulated;
	return now;
}

static void
queue_turn(void *ctx)
{
	struct queue *queue = ctx;
	struct mono due;

	queue->busy -= disk_file_poll(queue->disk);
	journal_settle(store_journal(queue->store), queue_now(queue));
	if (queue->act != NULL)
		queue->act(queue);
	store_step(queue->store, queue_now(queue));
	due = store_due(queue->store);
	if (queue->is_simulated) {
		if (queue->busy == 0 || due.ns <= queue->simulated.ns)
			queue_advance(queue, due);
		return;
	}
	if (queue->is_probing && queue->probe_next.ns < due.ns)
		due = queue->probe_next;
	if (due.ns != UINT64_MAX)
		loop_timer_set(&queue->timer, due);
}

static void
queue_run(struct queue *queue, queue_act_fn *act)
{
	queue->act = act;
	loop_run(queue->loop);
	queue->act = NULL;
}

static double
queue_seconds(struct queue *queue)
{
	return (double)mono_since_ns(clock_read_mono(), queue->began) / 1e9;
}

static uint64_t
queue_resident(void)
{
	unsigned long pages = 0, resident = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	CHECK(file != NULL && fscanf(file, "%lu %lu", &pages, &resident) == 2);
	(void)fclose(file);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* --- opening ---------------------------------------- */

static void
queue_opened(void *ctx, enum err err, const struct fault *fault)
{
	struct queue *queue = ctx;

	if (err != ERR_OK) {
		(void)fprintf(stderr, "bench_queue: %s\n",
			fault != NULL ? fault->text : err_meaning(err));
		exit(1);
	}
	queue->is_open = true;
}

static void
queue_complete(void *ctx)
{
	struct queue *queue = ctx;

	queue->is_complete = true;
}

static void
queue_notice(void *ctx, const char *text)
{
	(void)ctx;
	printf("  %s\n", text);
}

static void
queue_first_durable(void *ctx, enum journal_outcome outcome)
{
	struct flight *flight = ctx;

	CHECK(outcome == JOURNAL_DURABLE);
	printf("  new mail durable after %.2f s\n", queue_seconds(flight->queue));
	CHECK(queue_end(flight, flight_ended) == ERR_OK);
}

static void
act_open(struct queue *queue)
{
	if (queue->is_open && queue->made == 0) {
		queue->made = 1;
		queue->wall_us = num_max_u64(
			queue->wall_us, journal_wall_us(store_journal(queue->store)));
		CHECK(queue_send(queue, flight_new(queue, 0, true), NULL, queue_first_durable)
			== ERR_OK);
	}
	if (queue->is_complete && queue->flight == 0)
		loop_stop(queue->loop);
}

static int
queue_directory(int dir, const char *name)
{
	int fd;

	CHECK(mkdirat(dir, name, 0700) == 0 || errno == EEXIST);
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(fd >= 0);
	return fd;
}

static void
queue_open(struct queue *queue, int dir, uint64_t size_min)
{
	static const struct store_callbacks callbacks = { queue_opened, queue_complete,
		queue_notice, NULL };
	struct store_options options = { .segment_size = SEGMENT, .size_max = 65536 * MIB,
		.size_min = size_min, .cache_max = 64 * MIB, .epoch = rand_seed(),
		.callbacks = &callbacks, .ctx = queue };

	rand_bytes(options.uuid, sizeof(options.uuid));
	queue->loop = loop_new();
	queue->disk = disk_file_new(queue_directory(dir, "journal"), queue_directory(dir, "corrupt"),
		queue_directory(dir, "large"), queue_wake, queue);
	queue->below = disk_file_disk(queue->disk);
	queue->counter.submit = counter_submit;
	options.disk = &queue->counter;
	queue->store = store_new(&options);
	loop_timer_init(&queue->timer, queue->loop, queue_tick, queue);
	loop_hook_add(queue->loop, &queue->hook, queue_turn, queue);
	queue_size(queue, 1024);
	queue->sites = 1;
	CHECK(state_init(&queue->reason, 1) == ERR_OK);
	queue->began = clock_read_mono();
	store_open(queue->store, clock_read());
	queue_run(queue, act_open);
	printf("open: %llu messages, index complete after %.2f s, %.0f MB resident\n",
		(unsigned long long)store_count(queue->store), queue_seconds(queue),
		(double)queue_resident() / 1e6);
}

/* --- fill and retry ---------------------------------------- */

static void
fill_sample(struct queue *queue)
{
	uint64_t count = store_count(queue->store), resident = queue_resident();
	double each;

	if (queue->resident == 0) {
		queue->resident = resident;
		queue->resident_count = count;
		return;
	}
	each = (double)(resident - queue->resident) / (double)(count - queue->resident_count);
	/* While there are few, what is under way weighs more than what is idle. */
	if (count - queue->resident_count >= MEMORY_STEP * 5 && each > queue->resident_most)
		queue->resident_most = each;
}

static void
act_fill(struct queue *queue)
{
	while (queue->made < queue->goal && queue->flight < FILL_FLIGHT && queue_make(queue, false)) {
		queue->made++;
		queue->wall_us += 10;
		if (queue->made % MEMORY_STEP == 0 && queue->made >= num_min_u64(queue->goal / 10, 1000000))
			fill_sample(queue);
	}
	if (queue->made == queue->goal && queue->flight == 0)
		loop_stop(queue->loop);
}

static void
queue_fill(struct queue *queue, uint64_t count, uint64_t size)
{
	queue_size(queue, size);
	queue->goal = count;
	queue->made = queue->resident = 0;
	queue->began = clock_read_mono();
	queue_run(queue, act_fill);
	fill_sample(queue);
	printf("fill: %llu messages of %llu bytes, %.0f/s; resident %.0f MB, from %llu on "
	       "%.1f bytes each at the end, %.1f at most\n",
		(unsigned long long)count, (unsigned long long)size,
		(double)count / queue_seconds(queue), (double)queue_resident() / 1e6,
		(unsigned long long)queue->resident_count,
		(double)(queue_resident() - queue->resident)
			/ (double)(store_count(queue->store) - queue->resident_count),
		queue->resident_most);
}

static void
act_retry(struct queue *queue)
{
	while (queue->flight < RETRY_FLIGHT) {
		store_ref ref = store_due_first(queue->store, (struct wall){ queue->wall_us });
		struct store_info info;
		struct flight *flight;

		if (ref == 0 || queue->wall_us >= queue->end_us)
			break;
		store_info(queue->store, ref, &info);
		store_set_due(queue->store, ref, UINT64_MAX);
		flight = flight_new(queue, ref, false);
		flight->arrival_us = info.arrival_us;
		queue->made++;
		if (queue_defer(queue, flight, flight_deferred) != ERR_OK) {
			store_set_due(queue->store, ref, info.due_us);
			queue->made--;
			flight_landed(flight);
			break;
		}
	}
	if (queue->wall_us >= queue->end_us && queue->flight == 0)
		loop_stop(queue->loop);
}

struct written {
	uint64_t journal, checkpoints, mail, results, copies, footers, flushes;
};

static struct written
queue_written(const struct queue *queue)
{
	struct store_stats stats;

	store_stats(queue->store, &stats);
	return (struct written){ stats.journal.written, stats.checkpoint_bytes,
		stats.journal.records[JOURNAL_NEW_MAIL], stats.journal.records[JOURNAL_RESULT],
		stats.journal.records[JOURNAL_CLEANING], stats.journal.footers,
		stats.journal.flushes };
}

static void
written_print(struct queue *queue, struct written before)
{
	struct written after = queue_written(queue);
	struct store_stats stats;

	store_stats(queue->store, &stats);
	printf("  MB: journal %.0f (mail %.0f, results %.0f, copies %.0f, footers %.0f, the rest "
	       "padding and headers of %llu batches), checkpoints %.0f; live %.0f, log %.0f\n",
		(double)(after.journal - before.journal) / 1e6,
		(double)(after.mail - before.mail) / 1e6,
		(double)(after.results - before.results) / 1e6,
		(double)(after.copies - before.copies) / 1e6,
		(double)(after.footers - before.footers) / 1e6,
		(unsigned long long)(after.flushes - before.flushes),
		(double)(after.checkpoints - before.checkpoints) / 1e6,
		(double)stats.live_bytes / 1e6, (double)stats.space.used_bytes / 1e6);
}

/* As if they had been retried all the time, and each had come to a time of its own. */
static void
queue_age(struct queue *queue, uint64_t hours)
{
	store_ref ref = 0;

	queue->wall_us += hours * HOUR_US;
	while ((ref = store_next(queue->store, ref)) != 0)
		store_set_due(queue->store, ref,
			queue->wall_us + rng_below(&queue->rng, BACKOFF_MAX_S * US_PER_S));
	printf("age: %llu hours\n", (unsigned long long)hours);
}

static void
queue_retry(struct queue *queue, uint64_t hours, uint64_t sites)
{
	struct written before = queue_written(queue), after;

	queue->sites = sites;
	queue->made = 0;
	queue->end_us = queue->wall_us + hours * HOUR_US;
	queue->began = queue->simulated = clock_read_mono();
	queue->is_simulated = true;
	queue_run(queue, act_retry);
	queue->is_simulated = false;
	queue->sites = 1;
	after = queue_written(queue);
	printf("retry: %llu hours, %.1f retries of each message, %.0f/s, %.2f GB a day written\n",
		(unsigned long long)hours, (double)queue->made / (double)store_count(queue->store),
		(double)queue->made / queue_seconds(queue),
		(double)(after.journal + after.checkpoints - before.journal - before.checkpoints)
			/ 1e9 * 24 / (double)hours);
	written_print(queue, before);
}

/* --- relay ---------------------------------------- */

static void
act_relay(struct queue *queue)
{
	struct written now = queue_written(queue);

	while (now.mail < queue->goal && queue->flight < queue->width && queue_make(queue, true))
		queue->made++;
	if (now.mail >= queue->goal && queue->flight == 0)
		loop_stop(queue->loop);
}

/*
 * First as much as the log holds where mail lives in it, so that what is measured is steady: every
 * segment is cleaned once. Without any a log is only a few segments long, whatever it might be.
 */
static void
queue_relay(struct queue *queue, uint64_t size, uint64_t bytes)
{
	struct written before;
	struct store_stats stats;
	double seconds;

	queue_size(queue, size);
	store_stats(queue->store, &stats);
	queue->goal = queue_written(queue).mail
		+ (stats.live_bytes < SEGMENT ? 8ull * SEGMENT : stats.space.target_bytes);
	queue->width = WARM_FLIGHT;
	queue_run(queue, act_relay);
	queue->width = RELAY_FLIGHT;
	before = queue_written(queue);
	queue->goal = before.mail + bytes;
	queue->made = 0;
	queue->began = clock_read_mono();
	queue_run(queue, act_relay);
	seconds = queue_seconds(queue);
	printf("relay: %llu bytes, %d at once: %.0f/s, write amplification %.2f\n",
		(unsigned long long)size, RELAY_FLIGHT, (double)queue->made / seconds,
		(double)(queue_written(queue).journal + queue_written(queue).checkpoints
			- before.journal - before.checkpoints)
			/ (double)(queue_written(queue).mail - before.mail));
	written_print(queue, before);
}

/* --- latency ---------------------------------------- */

static void
probe_durable(void *ctx, enum journal_outcome outcome)
{
	struct flight *flight = ctx;
	struct queue *queue = flight->queue;
	struct mono now = clock_read_mono();

	CHECK(outcome == JOURNAL_DURABLE);
	if (queue->probe_count < PROBES_MAX)
		queue->probes[queue->probe_count++] = mono_since_ns(now, queue->probe_sent);
	queue->probe_next = mono_add_ns(now, PROBE_PAUSE_NS);
	queue->is_quiet = true;
	CHECK(queue_end(flight, flight_ended) == ERR_OK);
}

/* One message at a time, PROBE_PAUSE_NS between them. */
static void
probe_step(struct queue *queue)
{
	struct flight *flight;

	if (!queue->is_quiet || clock_read_mono().ns < queue->probe_next.ns)
		return;
	flight = flight_new(queue, 0, true);
	queue->probe_sent = clock_read_mono();
	queue->probe_next.ns = UINT64_MAX;
	queue->is_quiet = false;
	CHECK(queue_send(queue, flight, NULL, probe_durable) == ERR_OK);
}

static bool
phase_ended(struct queue *queue)
{
	if (clock_read_mono().ns < queue->phase_end.ns)
		return false;
	if (queue->flight == 0)
		loop_stop(queue->loop);
	return true;
}

static void
act_idle(struct queue *queue)
{
	if (!phase_ended(queue))
		probe_step(queue);
}

static void
large_durable(void *ctx, enum journal_outcome outcome)
{
	struct flight *flight = ctx;

	CHECK(outcome == JOURNAL_DURABLE);
	flight->queue->large = NULL;
	flight->queue->woken++;
	CHECK(queue_end(flight, flight_ended) == ERR_OK);
}

static void
large_finished(void *ctx, enum err err)
{
	struct queue *queue = ctx;

	CHECK(err == ERR_OK);
	CHECK(queue_send(queue, flight_new(queue, 0, true), queue->large, large_durable) == ERR_OK);
}

static void
act_large(struct queue *queue)
{
	if (phase_ended(queue) && queue->large == NULL)
		return;
	probe_step(queue);
	if (queue->large == NULL) {
		queue->large_at = 0;
		queue->large_id = queue_next_id(queue);
		queue->large = store_large_begin(queue->store, queue->large_id);
	}
	while (queue->large_at < LARGE_SIZE && store_large_pending(queue->large) < LARGE_PENDING) {
		store_large_append(queue->large, buf_slice(&queue->part));
		queue->large_at += LARGE_PART;
		if (queue->large_at >= LARGE_SIZE)
			store_large_finish(queue->large, large_finished, queue);
	}
}

static void
wake_loaded(void *ctx, store_ref ref, enum err err)
{
	struct flight *flight = ctx;

	(void)ref;
	CHECK(err == ERR_OK);
	flight->queue->woken++;
	CHECK(queue_defer(flight->queue, flight, flight_deferred) == ERR_OK);
}

static void
act_wake(struct queue *queue)
{
	if (!phase_ended(queue))
		probe_step(queue);
	while (queue->made < queue->goal && queue->flight < WAKE_FLIGHT
		&& clock_read_mono().ns < queue->phase_end.ns) {
		struct store_info info;
		struct flight *flight;

		queue->cursor = store_next(queue->store, queue->cursor);
		if (queue->cursor == 0)
			continue;
		store_info(queue->store, queue->cursor, &info);
		if (info.is_pinned || !info.is_durable)
			continue;
		flight = flight_new(queue, queue->cursor, false);
		flight->arrival_us = info.arrival_us;
		queue->made++;
		store_load(queue->store, queue->cursor, wake_loaded, flight);
	}
	if (queue->made == queue->goal)
		queue->phase_end.ns = num_min_u64(queue->phase_end.ns, clock_read_mono().ns);
}

/* Ends five messages of six, so that the log is far too large for the rest. */
static void
act_thin(struct queue *queue)
{
	while (queue->flight < FILL_FLIGHT) {
		struct store_info info;
		store_ref ref = store_next(queue->store, queue->cursor);

		if (ref == 0)
			break;
		queue->cursor = ref;
		store_info(queue->store, ref, &info);
		if (info.is_durable && !info.is_pinned && rng_below(&queue->rng, 6) > 0)
			CHECK(queue_end(flight_new(queue, ref, true), flight_ended) == ERR_OK);
	}
	if (queue->flight == 0)
		loop_stop(queue->loop);
}

static void
act_clean(struct queue *queue)
{
	struct store_stats stats;

	store_stats(queue->store, &stats);
	if (stats.is_cleaning)
		queue->idle_since = clock_read_mono();
	else if (mono_since_ns(clock_read_mono(), queue->idle_since) > CLEAN_OVER_NS)
		queue->phase_end.ns = 0;
	if (!phase_ended(queue))
		probe_step(queue);
}

/* What the actions before left to be done in the background. */
static void
act_settle(struct queue *queue)
{
	if (clock_read_mono().ns >= queue->phase_end.ns)
		loop_stop(queue->loop);
}

static int
probe_compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static double
probe_ms(const struct queue *queue, size_t per_mille)
{
	size_t at = queue->probe_count * per_mille / 1000;

	return queue->probe_count == 0 ? 0
	     : (double)queue->probes[num_min_u64(at, queue->probe_count - 1)] / 1e6;
}

static double
latency_phase(struct queue *queue, const char *name, queue_act_fn *act, double idle)
{
	struct written before = queue_written(queue);

	queue->probe_count = 0;
	queue->made = queue->woken = 0;
	queue->is_probing = queue->is_quiet = true;
	queue->probe_next.ns = 0;
	queue->began = clock_read_mono();
	queue->phase_end = mono_add_ns(queue->began, PHASE_NS);
	queue_run(queue, act);
	queue->is_probing = false;
	qsort(queue->probes, queue->probe_count, sizeof(queue->probes[0]), probe_compare);
	printf("latency, %-13s %6zu probes in %4.1f s: ms p50 %6.2f  p90 %6.2f  p99 %6.2f  max %7.2f",
		name, queue->probe_count, queue_seconds(queue), probe_ms(queue, 500),
		probe_ms(queue, 900), probe_ms(queue, 990), probe_ms(queue, 1000));
	if (idle > 0)
		printf("  p99 %.1f x idle", probe_ms(queue, 990) / idle);
	printf("  (%llu done beside, %.0f MB written)\n", (unsigned long long)queue->woken,
		(double)(queue_written(queue).journal - before.journal) / 1e6);
	(void)fflush(stdout);
	return probe_ms(queue, 990);
}

static void
drop_page_cache(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	sync();
	if (fd < 0 || write(fd, "3\n", 2) != 2)
		printf("  (the page cache is warm: no right to drop it)\n");
	if (fd >= 0)
		(void)close(fd);
}

static void
latency_settle(struct queue *queue)
{
	queue->is_probing = true; /* so that the loop turns */
	queue->phase_end = queue->probe_next = mono_add_ns(clock_read_mono(), SETTLE_NS);
	queue_run(queue, act_settle);
}

static void
queue_latency(struct queue *queue, uint64_t count)
{
	double idle;

	queue_size(queue, 4096);
	while (queue->part.len < LARGE_PART)
		buf_add_str(&queue->part, "0123456789abcdef");
	latency_settle(queue);
	idle = latency_phase(queue, "idle", act_idle, 0);
	(void)latency_phase(queue, "100 MB", act_large, idle);
	drop_page_cache();
	queue->goal = count;
	queue->cursor = 0;
	(void)latency_phase(queue, "waking", act_wake, idle);
	queue->cursor = 0;
	queue_run(queue, act_thin);
	drop_page_cache();
	queue->idle_since = clock_read_mono();
	(void)latency_phase(queue, "cleaning", act_clean, idle);
	drop_page_cache();
	store_clean_below(queue->store, UINT64_MAX);
	queue->idle_since = clock_read_mono();
	(void)latency_phase(queue, "clean, wanted", act_clean, idle);
	store_clean_below(queue->store, 0);
}

/* --- the command line ---------------------------------------- */

static void
usage(void)
{
	(void)fprintf(stderr, "usage: bench_queue [-m MIN_MIB] [-r READ_MS] [-b HOURS] DIR "
			      "fill:COUNT:SIZE | age:HOURS | retry:HOURS:SITES | relay:SIZE:MIB | latency:COUNT ...\n");
	exit(64);
}

static uint64_t
number(struct slice text)
{
	uint64_t value = 0;

	if (num_parse_u64(text, 0, 100000000, &value) < 0)
		usage();
	return value;
}

static void
action(struct queue *queue, const char *text)
{
	unsigned long long first = 0, second = 0;
	char name[16];
	int count = sscanf(text, "%15[a-z]:%llu:%llu", name, &first, &second);

	if (count == 3 && slice_equal_str(slice_str(name), "fill"))
		queue_fill(queue, first, second);
	else if (count == 2 && slice_equal_str(slice_str(name), "age"))
		queue_age(queue, first);
	else if (count == 3 && second > 0 && slice_equal_str(slice_str(name), "retry"))
		queue_retry(queue, first, second);
	else if (count == 3 && slice_equal_str(slice_str(name), "relay"))
		queue_relay(queue, first, second * MIB);
	else if (count == 2 && slice_equal_str(slice_str(name), "latency"))
		queue_latency(queue, first);
	else
		usage();
	(void)fflush(stdout);
}

int
main(int argc, char **argv)
{
	static struct queue queue;
	uint64_t min_mib = 1024, back = 0;
	int option, dir;

	while ((option = getopt(argc, argv, "m:r:b:")) != -1) {
		if (option == 'm')
			min_mib = number(slice_str(optarg));
		else if (option == 'r')
			read_delay_ns = number(slice_str(optarg)) * NS_PER_MS;
		else if (option == 'b')
			back = number(slice_str(optarg));
		else
			usage();
	}
	if (argc - optind < 1)
		usage();
	dir = open(argv[optind], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(dir >= 0);
	queue.wall_us = clock_read_wall().us - back * HOUR_US;
	rng_init(&queue.rng, 1);
	queue_open(&queue, dir, min_mib * MIB);
	for (int i = optind + 1; i < argc; i++)
		action(&queue, argv[i]);
	(void)fflush(stdout);
	_exit(0);
}
