/*
 * test_disk_file.c - the journal on real files, killed at random moments
 *
 * Goal: what a killed process had acknowledged is there for the next one, and what it had ended is not.
 * Method: a child appends numbered messages, ends every second one, and tells each outcome through a
 * pipe after the journal did; the parent kills it with SIGKILL, opens the journal itself, compares,
 * and lets the next child go on.
 */
#include "base/check.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/wire.h"
#include "store/disk_file.h"
#include "store/journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 12, IDS_MAX = 200000, SEGMENT = 256 * 1024, UNDER_WAY = 16 };

enum { SAID_ACKED = 1, SAID_ENDED = 2 };

struct node {
	struct loop *loop;
	struct loop_hook hook;
	struct loop_timer timer;
	struct disk_file *disk;
	struct journal *journal;
	int tell; /* the pipe; -1 in the parent */
	uint32_t next_id, under_way;
	uint64_t *lsns;   /* by id; 0: not alive */
	bool opened;
};

struct node_message {
	struct node *node;
	uint32_t id;
	uint64_t lsn;
};

static uint8_t world_said[IDS_MAX]; /* SAID_ bits by id */

static void
node_wake(void *ctx)
{
	loop_wake(((struct node *)ctx)->loop);
}

static void
node_tell(struct node *node, uint32_t id, uint8_t what)
{
	uint8_t line[5] = { what };

	wire_store_u32(line + 1, id);
	CHECK(write(node->tell, line, sizeof(line)) == (ssize_t)sizeof(line));
}

static void
node_ended(void *ctx, enum journal_outcome outcome)
{
	struct node_message *message = ctx;

	CHECK(outcome == JOURNAL_DURABLE);
	node_tell(message->node, message->id, SAID_ENDED);
	journal_release(message->node->journal, message->lsn);
	mem_free(message);
}

static void
node_acked(void *ctx, enum journal_outcome outcome)
{
	struct node_message *message = ctx;
	struct record_state done = { .queue_id = message->id + 1 };
	struct record record = { .type = RECORD_DONE };
	struct buf payload;

	CHECK(outcome == JOURNAL_DURABLE);
	buf_init(&payload, 0);
	record_state_encode(&payload, &done);
	record.payload = buf_slice(&payload);
	message->node->under_way--;
	node_tell(message->node, message->id, SAID_ACKED);
	journal_hold(message->node->journal, message->lsn);
	if (message->id % 64 == 0
		|| journal_append(message->node->journal, &record, 1, JOURNAL_RESULT, JOURNAL_SOON,
			   node_ended, message, NULL)
			< 0)
		mem_free(message);
	buf_done(&payload);
}

static void
node_send(struct node *node)
{
	static const uint8_t body[600];
	struct node_message *message = MEM_NEW(struct node_message);
	struct record record = { .type = RECORD_MESSAGE };
	struct record_message content = { .queue_id = node->next_id + 1,
		.body = slice_make(body, node->next_id % 500) };
	struct buf payload;

	message->node = node;
	message->id = node->next_id++;
	buf_init(&payload, 0);
	record_message_encode(&payload, &content);
	record.payload = buf_slice(&payload);
	if (journal_append(node->journal, &record, 1, JOURNAL_NEW_MAIL, JOURNAL_NOW, node_acked,
		    message, &message->lsn)
		< 0)
		mem_free(message);
	else
		node->under_way++;
	buf_done(&payload);
}

static void
node_turn(void *ctx)
{
	struct node *node = ctx;
	struct mono due;

	(void)disk_file_poll(node->disk);
	for (int i = 0; node->opened && node->tell >= 0 && node->under_way < UNDER_WAY && i < 64; i++)
		node_send(node);
	journal_step(node->journal, clock_read());
	due = journal_due(node->journal);
	if (due.ns != UINT64_MAX)
		loop_timer_set(&node->timer, due);
	if (node->opened && node->tell < 0 && journal_is_idle(node->journal))
		loop_stop(node->loop);
}

static void
node_tick(void *ctx)
{
	(void)ctx;
}

static void
node_entry(void *ctx, const struct summary_entry *entry)
{
	struct node *node = ctx;
	uint32_t id = (uint32_t)(entry->queue_id - 1);

	CHECK(id < IDS_MAX);
	if (id >= node->next_id)
		node->next_id = id + 1;
	if (entry->type == RECORD_MESSAGE)
		node->lsns[id] = entry->lsn;
	else if (entry->type == RECORD_DONE)
		node->lsns[id] = 0;
}

static void
node_opened(void *ctx, enum err err, const struct fault *fault)
{
	if (err < 0)
		die(70, "open: %s", fault != NULL ? fault->text : err_meaning(err));
	journal_replay(((struct node *)ctx)->journal, 0);
}

static void
node_replayed(void *ctx)
{
	struct node *node = ctx;

	for (uint32_t id = 0; id < node->next_id; id++)
		if (node->lsns[id] != 0)
			journal_hold(node->journal, node->lsns[id]);
	node->opened = true;
}

static void
node_notice(void *ctx, const char *text)
{
	(void)ctx;
	if (strstr(text, "damage") != NULL || strstr(text, "missing") != NULL)
		die(70, "%s", text);
}

/* Opens the journal in `dir`; a child (tell >= 0) works until it is killed, a parent only looks. */
static void
node_run(struct node *node, int dir, int tell, uint32_t next_id)
{
	static const struct journal_callbacks callbacks = { node_opened, node_entry, node_replayed,
		node_notice, NULL };
	struct journal_options options = { .segment_size = SEGMENT, .size_max = 64 * SEGMENT, .size_min = 8 * SEGMENT,
		.epoch = rand_seed(), .uuid = { 7 }, .callbacks = &callbacks, .ctx = node };

	*node = (struct node){ .tell = tell, .next_id = next_id, .loop = loop_new() };
	node->lsns = mem_array(IDS_MAX, sizeof(*node->lsns));
	node->disk = disk_file_new(dir, dir, dir, node_wake, node);
	options.disk = disk_file_disk(node->disk);
	node->journal = journal_new(&options);
	loop_timer_init(&node->timer, node->loop, node_tick, node);
	loop_hook_add(node->loop, &node->hook, node_turn, node);
	journal_open(node->journal, clock_read());
	loop_run(node->loop);
}

static void
node_end(struct node *node)
{
	while (!journal_is_idle(node->journal) || disk_file_poll(node->disk) > 0)
		;
	disk_file_free(node->disk);
	loop_timer_done(&node->timer);
	loop_free(node->loop);
	mem_free(node->lsns);
}

static void
world_listen(int from)
{
	uint8_t line[5];

	while (read(from, line, sizeof(line)) == (ssize_t)sizeof(line))
		world_said[wire_load_u32(line + 1)] |= line[0];
}

/* One life of a child, ended by SIGKILL after a random time. */
static void
world_round(int dir, struct rng *rng, uint32_t next_id)
{
	int pipes[2];
	pid_t child;

	assert_int_equal(pipe(pipes), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct node node;

		(void)close(pipes[0]);
		node_run(&node, dir, pipes[1], next_id);
		_exit(0);
	}
	(void)close(pipes[1]);
	(void)fcntl(pipes[0], F_SETPIPE_SZ, 1 << 20);
	if (rng_one_in(rng, 4)) {
		(void)usleep((useconds_t)rng_below(rng, 20000));
	} else {
		(void)usleep((useconds_t)(20000 + rng_below(rng, 150000)));
	}
	(void)kill(child, SIGKILL);
	world_listen(pipes[0]);
	(void)close(pipes[0]);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static void
world_remove(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		(void)unlinkat(dirfd(dir), entry->d_name, 0);
	(void)closedir(dir);
	(void)rmdir(path);
}

/* rules: L2 L3 */
static void
test_journal__killed_at_any_moment__keeps_its_word(void **state)
{
	char path[] = "/var/tmp/ostler-journal-XXXXXX";
	uint32_t next_id = 0, acked = 0;
	struct rng rng;
	int dir;

	(void)state;
	rng_init(&rng, 20261124);
	assert_non_null(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	for (int round = 0; round < ROUNDS; round++) {
		struct node node;

		world_round(dir, &rng, next_id);
		node_run(&node, dir, -1, 0);
		acked = 0;
		for (uint32_t id = 0; id < IDS_MAX; id++) {
			acked += (world_said[id] & SAID_ACKED) != 0;
			if ((world_said[id] & SAID_ENDED) != 0)
				assert_true(node.lsns[id] == 0);
			else if ((world_said[id] & SAID_ACKED) != 0 && id % 64 == 0)
				assert_true(node.lsns[id] != 0);
		}
		next_id = node.next_id > next_id ? node.next_id + 100 : next_id + 100;
		node_end(&node);
	}
	assert_true(acked > 100);
	(void)close(dir);
	world_remove(path);
}

static void
note_done(void *ctx, struct disk_op *op)
{
	(void)op;
	*(bool *)ctx = true;
}

/* Runs one operation on a file under large/; its errno. */
static int
file_run(struct disk_file *disk, enum disk_op_kind kind, struct disk_op *op)
{
	bool is_done = false;

	op->kind = kind;
	op->area = DISK_AREA_LARGE;
	op->done = note_done;
	op->ctx = &is_done;
	(void)snprintf(op->name, sizeof(op->name), "content");
	disk_submit(disk_file_disk(disk), op);
	while (!is_done) {
		(void)usleep(1000);
		(void)disk_file_poll(disk);
	}
	return op->sys_errno;
}

static void
wake_nobody(void *ctx)
{
	(void)ctx;
}

/* Larger than what is flushed, and cut off, at once; and no multiple of it. */
static void
test_disk_file__large_content__comes_back_and_goes(void **state)
{
	enum { LARGE = 5 * 1024 * 1024 + 4711 };
	char path[] = "/tmp/ostler-disk-file-XXXXXX";
	struct disk_op op = { .list = { 0 } };
	struct disk_file *disk;
	struct buf content;
	int dir;

	(void)state;
	assert_non_null(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	disk = disk_file_new(dir, dir, dir, wake_nobody, NULL);
	buf_init(&content, 0);
	for (uint32_t i = 0; content.len < LARGE; i++)
		wire_put_u32(&content, i * 2654435761u);
	for (size_t half = 0; half < 2; half++) {
		op.offset = half * LARGE / 2;
		op.bytes = slice_make(content.ptr + op.offset, LARGE / 2 + half * (LARGE % 2));
		assert_int_equal(file_run(disk, DISK_FILE_APPEND, &op), 0);
	}
	assert_int_equal(file_run(disk, DISK_FILE_FINISH, &op), 0);
	op.offset = 0;
	op.length = 2 * LARGE;
	buf_init(&op.list, 0);
	assert_int_equal(file_run(disk, DISK_FILE_READ, &op), 0);
	assert_int_equal(op.list.len, LARGE);
	assert_memory_equal(op.list.ptr, content.ptr, LARGE);
	buf_done(&op.list);
	assert_int_equal(file_run(disk, DISK_FILE_REMOVE, &op), 0);
	assert_int_equal(faccessat(dir, "content", F_OK, 0), -1);
	assert_int_equal(file_run(disk, DISK_FILE_REMOVE, &op), ENOENT);
	disk_file_free(disk);
	buf_done(&content);
	(void)close(dir);
	world_remove(path);
}

/* A segment is written, read calmly and in short records one behind the other, and removed. */
static void
test_disk_file__calm_reads_in_pieces__give_the_same_bytes(void **state)
{
	enum { SIZE = 3 * 1024 * 1024, FROM = 4096, LENGTH = SIZE - 3 * 4096 - 77, SHORT = 4099 };
	char path[] = "/tmp/ostler-disk-file-XXXXXX";
	struct disk_op op = { .slot = 3, .length = SIZE, .calm = true };
	struct disk_file *disk;
	struct buf content;
	int dir;

	(void)state;
	assert_non_null(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	disk = disk_file_new(dir, dir, dir, wake_nobody, NULL);
	buf_init(&content, 0);
	for (uint32_t i = 0; content.len < SIZE; i++)
		wire_put_u32(&content, i * 2654435761u);
	assert_int_equal(file_run(disk, DISK_PREPARE, &op), 0);
	op.bytes = buf_slice(&content);
	op.flush = true;
	assert_int_equal(file_run(disk, DISK_WRITE, &op), 0);
	op.offset = FROM;
	op.length = LENGTH;
	buf_init(&op.list, 0);
	assert_int_equal(file_run(disk, DISK_READ, &op), 0);
	assert_int_equal(op.list.len, LENGTH);
	assert_memory_equal(op.list.ptr, content.ptr + FROM, LENGTH);
	op.calm = false;
	op.length = SHORT;
	for (op.offset = 0; op.offset + SHORT < SIZE; op.offset += SHORT * 9) {
		buf_clear(&op.list);
		assert_int_equal(file_run(disk, DISK_READ, &op), 0);
		assert_int_equal(op.list.len, SHORT);
		assert_memory_equal(op.list.ptr, content.ptr + op.offset, SHORT);
	}
	buf_done(&op.list);
	assert_int_equal(file_run(disk, DISK_REMOVE, &op), 0);
	assert_int_equal(file_run(disk, DISK_READ, &op), ENOENT);
	disk_file_free(disk);
	buf_done(&content);
	(void)close(dir);
	world_remove(path);
}

/* Past the page cache and through it, in turns: each read sees what was written last. */
static void
test_disk_file__writes_aligned_and_not__are_read_as_written(void **state)
{
	enum { SIZE = 256 * 1024, PIECE = 64 * 1024 };
	char path[] = "/tmp/ostler-disk-file-XXXXXX";
	struct disk_op op = { .slot = 5, .length = SIZE };
	uint8_t *memory = mem_aligned(DISK_ALIGN, PIECE + DISK_ALIGN);
	struct disk_file *disk;
	int dir;

	(void)state;
	assert_non_null(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	disk = disk_file_new(dir, dir, dir, wake_nobody, NULL);
	assert_int_equal(file_run(disk, DISK_PREPARE, &op), 0);
	buf_init(&op.list, 0);
	op.flush = true;
	for (unsigned i = 0; i < 24; i++) {
		bool is_skewed = i % 3 == 1, is_short = i % 3 == 2;

		memset(memory, (int)i + 1, PIECE + DISK_ALIGN);
		op.offset = i % 4 * PIECE + (is_short ? 100 : 0);
		op.bytes = slice_make(
			memory + (is_skewed ? 8 : 0), is_short ? PIECE - 300 : PIECE);
		assert_int_equal(file_run(disk, DISK_WRITE, &op), 0);
		op.length = op.bytes.len;
		buf_clear(&op.list);
		assert_int_equal(file_run(disk, DISK_READ, &op), 0);
		assert_int_equal(op.list.len, op.bytes.len);
		assert_memory_equal(op.list.ptr, op.bytes.ptr, op.bytes.len);
	}
	/* The number is used again: nothing goes to the file that had it before. */
	op.length = SIZE;
	assert_int_equal(file_run(disk, DISK_REMOVE, &op), 0);
	assert_int_equal(file_run(disk, DISK_PREPARE, &op), 0);
	op.offset = 0;
	op.bytes = slice_make(memory, PIECE);
	assert_int_equal(file_run(disk, DISK_WRITE, &op), 0);
	buf_clear(&op.list);
	assert_int_equal(file_run(disk, DISK_READ, &op), 0);
	assert_int_equal(op.list.len, SIZE);
	assert_memory_equal(op.list.ptr, memory, PIECE);
	assert_int_equal(op.list.ptr[PIECE], 0);
	buf_done(&op.list);
	mem_free(memory);
	disk_file_free(disk);
	(void)close(dir);
	world_remove(path);
}

/* --- what goes first ---------------------------------------- */

/* A disk that counts the writes that it is given. */
struct counting {
	struct disk disk; /* first */
	struct disk *real;
	unsigned writes;
	struct journal *journal;
	struct disk_file *file;
	unsigned told, written_when_told[3];
	bool is_open;
};

static void
counting_submit(struct disk *disk, struct disk_op *op)
{
	struct counting *counting = (struct counting *)disk;

	counting->writes += op->kind == DISK_WRITE;
	disk_submit(counting->real, op);
}

static void
counting_told(void *ctx, enum journal_outcome outcome)
{
	struct counting *counting = ctx;

	assert_int_equal(outcome, JOURNAL_DURABLE);
	counting->written_when_told[counting->told++] = counting->writes;
}

static void
counting_opened(void *ctx, enum err err, const struct fault *fault)
{
	struct counting *counting = ctx;

	(void)fault;
	assert_int_equal(err, ERR_OK);
	counting->is_open = true;
}

static void
counting_replayed(void *ctx)
{
	(void)ctx;
}

static void
counting_turns(struct counting *counting, unsigned told)
{
	while (!counting->is_open || counting->told < told || !journal_is_idle(counting->journal)) {
		(void)usleep(500);
		(void)disk_file_poll(counting->file);
		journal_step(counting->journal, clock_read());
	}
}

/*
 * Three messages, each too large for the batch of the one before it. The disk has the second batch
 * before anybody hears of the first, and so on: it need not wait for what they do then.
 */
static void
test_journal__a_batch_that_is_complete__goes_before_callbacks(void **state)
{
	enum { BODY = JOURNAL_JOIN_MAX / 2 + 4096, BIG_SEGMENT = 8 * 1024 * 1024 };
	static const struct journal_callbacks callbacks = { counting_opened, node_entry,
		counting_replayed, node_notice, NULL };
	char path[] = "/tmp/ostler-disk-file-XXXXXX";
	struct counting counting = { .disk.submit = counting_submit };
	struct journal_options options = { .segment_size = BIG_SEGMENT,
		.size_max = 8 * BIG_SEGMENT, .size_min = 2 * BIG_SEGMENT, .epoch = 1,
		.callbacks = &callbacks, .ctx = &counting, .disk = &counting.disk };
	uint8_t *body = mem_array(BODY, 1);
	struct record record = { .type = RECORD_MESSAGE, .payload = slice_make(body, BODY) };
	unsigned before;
	int dir;

	(void)state;
	assert_non_null(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	counting.file = disk_file_new(dir, dir, dir, wake_nobody, NULL);
	counting.real = disk_file_disk(counting.file);
	counting.journal = journal_new(&options);
	journal_open(counting.journal, clock_read());
	counting_turns(&counting, 0);
	before = counting.writes;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(journal_append(counting.journal, &record, 1, JOURNAL_NEW_MAIL,
					 JOURNAL_NOW, counting_told, &counting, NULL),
			ERR_OK);
	counting_turns(&counting, 3);
	assert_int_equal(counting.written_when_told[0], before + 2);
	assert_true(counting.written_when_told[1] >= before + 2);
	disk_file_free(counting.file);
	journal_free(counting.journal);
	mem_free(body);
	(void)close(dir);
	world_remove(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_disk_file__large_content__comes_back_and_goes),
		cmocka_unit_test(test_disk_file__calm_reads_in_pieces__give_the_same_bytes),
		cmocka_unit_test(test_disk_file__writes_aligned_and_not__are_read_as_written),
		cmocka_unit_test(test_journal__a_batch_that_is_complete__goes_before_callbacks),
		cmocka_unit_test(test_journal__killed_at_any_moment__keeps_its_word),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
