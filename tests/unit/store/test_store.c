/*
 * test_store.c - messages on real files: accepted, changed, read back, ended, damaged
 *
 * Goal: the contract of store.h at its edges. Method: a store over a new directory; each test turns it
 * until what it waits for has happened (bounded), and opens it again where recovery is meant. Crashes
 * are the simulation's part (tests/sim/store_sim.c).
 */
#include "store_world.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- tests ------------------------------------------------------------------------------------- */

static void
test_store__message_read_back__is_what_was_put(void **state)
{
	struct world *world = *state;
	store_ref ref = world_put_id(world, 7);
	struct store_view view;
	struct slice body;

	store_unpin(world->store, ref);
	assert_int_equal(world_load(world, ref), ERR_OK);
	store_view(world->store, ref, &view);
	assert_int_equal(view.queue_id, 7);
	assert_int_equal(view.arrival_us, 7000);
	assert_int_equal(view.content_length, BODY);
	assert_int_equal(view.content_hash, 99);
	assert_true(view.dotted);
	assert_int_equal(view.large, 0);
	assert_true(slice_equal_str(view.envelope, "e"));
	assert_true(slice_equal_str(view.recipients, "rr"));
	assert_true(slice_equal_str(view.head, "hhh"));
	assert_int_equal(view.state.len, 0);
	assert_int_equal(view.result_count, 0);
	assert_int_equal(store_body(world->store, ref, &body), ERR_OK);
	assert_int_equal(body.len, BODY);
	world_done(world, ref);
	assert_int_equal(store_find(world->store, 7), 0);
	assert_int_equal(store_count(world->store), 0);
}

static void
test_store__opened_again__has_state_and_results(void **state)
{
	struct world *world = *state;
	store_ref ref = world_put_id(world, 7), held = world_put_id(world, 8);
	struct store_txn txn;
	struct store_view view;
	struct store_info info;

	world_state(world, ref, 5 * US_PER_S + 1, RECORD_STATE_WARNED, "old");
	store_txn_begin(&txn, world->store, JOURNAL_RESULT, JOURNAL_SOON);
	store_txn_result(&txn, ref, slice_str("one"));
	store_txn_result(&txn, ref, slice_str("two"));
	assert_int_equal(store_txn_commit(&txn, NULL, NULL), ERR_OK);
	store_view(world->store, ref, &view);
	assert_int_equal(view.result_count, 2); /* not durable yet */
	world_state(world, held, 0, RECORD_STATE_HELD, "held");
	world_close(world);
	world_open(world);
	ref = store_find(world->store, 7);
	held = store_find(world->store, 8);
	store_info(world->store, ref, &info);
	assert_int_equal(info.due_us, 6 * US_PER_S);
	assert_int_equal(info.flags, RECORD_STATE_WARNED);
	assert_int_equal(store_due_first(world->store, (struct wall){ 6 * US_PER_S - 1 }), 0);
	assert_int_equal(store_due_first(world->store, (struct wall){ 6 * US_PER_S }), ref);
	assert_int_equal(world_load(world, ref), ERR_OK);
	assert_int_equal(store_due_next_us(world->store), UINT64_MAX); /* pinned, held */
	store_view(world->store, ref, &view);
	assert_true(slice_equal_str(view.state, "old"));
	assert_int_equal(view.result_count, 2);
	assert_true(slice_equal_str(view.results[0], "one"));
	assert_true(slice_equal_str(view.results[1], "two"));
	world_state(world, ref, 0, 0, "new");
	store_view(world->store, ref, &view);
	assert_true(slice_equal_str(view.state, "new"));
	assert_int_equal(view.result_count, 0);
	store_set_flags(world->store, held, 0);
	assert_int_equal(store_due_first(world->store, world->now.wall), held);
}

static void
test_store__cache_is_full__bodies_go_and_come_back(void **state)
{
	struct world *world = *state;
	store_ref refs[4];
	struct slice body;
	int before = world->loaded;

	for (unsigned i = 0; i < 4; i++)
		refs[i] = world_put_id(world, i + 1);
	assert_int_equal(store_body(world->store, refs[0], &body), ERR_AGAIN);
	assert_int_equal(store_body(world->store, refs[3], &body), ERR_OK);
	store_load_body(world->store, refs[0], world_loaded, world);
	WORLD_UNTIL(world, world->loaded > before);
	assert_int_equal(world->last, ERR_OK);
	assert_int_equal(store_body(world->store, refs[0], &body), ERR_OK);
	assert_int_equal(body.len, BODY);
}

static void
test_store__transaction_that_fails__leaves_nothing(void **state)
{
	struct world *world = *state;
	struct store_message message = world_message(7);
	struct store_txn txn;
	store_ref ref = world_put(world, &message);

	store_txn_begin(&txn, world->store, JOURNAL_NEW_MAIL, JOURNAL_NOW);
	assert_int_equal(store_txn_message(&txn, &message), 0);
	assert_int_equal(store_txn_commit(&txn, world_settled, world), ERR_EXISTS);

	message.queue_id = 8;
	store_txn_begin(&txn, world->store, JOURNAL_NEW_MAIL, JOURNAL_NOW);
	assert_int_not_equal(store_txn_message(&txn, &message), 0);
	for (int i = 0; i < STORE_TXN_RECORDS_MAX; i++)
		store_txn_result(&txn, ref, slice_str("x"));
	assert_int_equal(store_txn_commit(&txn, world_settled, world), ERR_LIMIT);
	assert_int_equal(store_find(world->store, 8), 0);

	message.body.len = RECORD_BATCH_MAX;
	store_txn_begin(&txn, world->store, JOURNAL_NEW_MAIL, JOURNAL_NOW);
	assert_int_equal(store_txn_message(&txn, &message), 0);
	assert_int_equal(store_txn_commit(&txn, world_settled, world), ERR_LIMIT);
	assert_int_equal(store_count(world->store), 1);
	assert_int_equal(world->durable, 1);
}

static void
test_store__message_under_its_end__cannot_be_changed(void **state)
{
	struct world *world = *state;
	store_ref ref = world_put_id(world, 7);
	struct store_txn txn;
	int before = world->durable;

	store_txn_begin(&txn, world->store, JOURNAL_RESULT, JOURNAL_SOON);
	store_txn_done(&txn, ref);
	assert_int_equal(store_txn_commit(&txn, world_settled, world), ERR_OK);
	store_txn_begin(&txn, world->store, JOURNAL_RESULT, JOURNAL_SOON);
	store_txn_result(&txn, ref, slice_str("late"));
	assert_int_equal(store_txn_commit(&txn, world_settled, world), ERR_NOTFOUND);
	WORLD_UNTIL(world, world->durable > before);
}

static void
test_store__large_content__lives_as_long_as_its_message(void **state)
{
	struct world *world = *state;
	struct store_message message = world_message(7);
	char name[STORE_LARGE_NAME_SIZE];
	store_ref ref;
	struct stat st;

	message.large = store_large_begin(world->store, 0xabc);
	for (int i = 0; i < 100; i++)
		store_large_append(message.large, message.body);
	store_large_finish(message.large, world_finished, world);
	WORLD_UNTIL(world, world->finished == 1);
	assert_int_equal(world->last, ERR_OK);
	message.body.len = 0;
	message.content_length = 100 * BODY;
	ref = world_put(world, &message);
	store_large_name(0xabc, name);
	assert_int_equal(fstatat(world->large_dir, name, &st, 0), 0);
	assert_int_equal(st.st_size, 100 * BODY);
	store_large_read(world->store, ref, 10, world_read, world);
	WORLD_UNTIL(world, world->finished == 2);
	assert_int_equal(world->read_len, 10);
	assert_int_equal(world->read_first, 'b');

	/* A remnant of a crash goes, the file of a message stays. */
	(void)close(openat(world->large_dir, "00000000000000ff.tmp", O_CREAT | O_WRONLY, 0600));
	world_close(world);
	world_open(world);
	WORLD_UNTIL(world, store_is_idle(world->store));
	assert_int_equal(world_files(world->large_dir, false), 1);
	ref = store_find(world->store, 7);
	world_done(world, ref); /* without having been loaded */
	WORLD_UNTIL(world, store_is_idle(world->store));
	assert_int_equal(world_files(world->large_dir, false), 0);
}

/* A byte of the third part: who reads the front does not notice, who looks for it learns where it is. */
static void
test_store__large_content_damaged__is_located(void **state)
{
	struct world *world = *state;
	struct store_message message = world_message(7);
	store_ref ref;
	int fd;

	message.large = store_large_begin(world->store, 0xabc);
	for (int i = 0; i < 100; i++)
		store_large_append(message.large, message.body);
	store_large_finish(message.large, world_finished, world);
	WORLD_UNTIL(world, world->finished == 1);
	message.body.len = 0;
	message.content_length = 100 * BODY;
	store_unpin(world->store, world_put(world, &message));
	world_close(world);
	world_open(world); /* the sums come from the journal */
	ref = store_find(world->store, 7);
	assert_int_equal(world_load(world, ref), ERR_OK);
	fd = openat(world->large_dir, "0000000000000abc", O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "X", 1, 270000), 1);
	store_large_read(world->store, ref, 10, world_read, world);
	WORLD_UNTIL(world, world->finished == 2);
	assert_int_equal(world->last, ERR_OK);
	store_large_read(world->store, ref, 270000, world_read, world);
	WORLD_UNTIL(world, world->finished == 3);
	assert_int_equal(world->last, ERR_CORRUPT);
	assert_int_equal(world->read_len, 0);
	assert_int_equal(world_heard(world, "message 0000000000000007: bytes 262144 to 299999 (1 of 3 "
					    "parts) of its content, large/0000000000000abc"), 1);
	store_large_locate(world->store, ref);
	WORLD_UNTIL(world, store_is_idle(world->store));
	assert_int_equal(world_heard(world, "bytes 262144 to 299999 (1 of 3 parts)"), 2);
	assert_int_equal(ftruncate(fd, 131072), 0);
	store_large_locate(world->store, ref);
	WORLD_UNTIL(world, store_is_idle(world->store));
	assert_int_equal(world_heard(world, "bytes 131072 to 299999 (2 of 3 parts)"), 1);
	(void)close(fd);
}

static void
test_store__large_content_aborted__leaves_no_file(void **state)
{
	struct world *world = *state;
	struct store_large *large = store_large_begin(world->store, 5);

	store_large_append(large, SLICE_LIT("abc"));
	assert_int_equal(store_large_pending(large), 3);
	store_large_abort(large);
	WORLD_UNTIL(world, store_is_idle(world->store));
	assert_int_equal(world_files(world->large_dir, false), 0);
}

static void
test_store__full_of_living_mail__refuses_until_there_is_room(void **state)
{
	struct world *world = *state;
	uint64_t id = 0;

	while (store_accepts(world->store)) {
		store_ref ref = world_put_id(world, ++id);

		assert_true(id < 1000);
		if (ref == 0)
			break;
		store_unpin(world->store, ref);
	}
	while (store_find(world->store, id) == 0)
		id--;
	assert_true(id * BODY > 2 * SEGMENT);
	for (uint64_t gone = 1; gone < id; gone++)
		world_done(world, store_find(world->store, gone));
	WORLD_UNTIL(world, store_accepts(world->store));
	assert_int_equal(world_load(world, store_find(world->store, id)), ERR_OK);
}

/* Puts messages until `id` lies in a closed segment. */
static void
world_put_closed(struct world *world, uint64_t id)
{
	struct journal *journal = store_journal(world->store);
	struct journal_place place;

	do
		store_unpin(world->store, world_put_id(world, id++));
	while (!journal_place_at(journal, 0, &place));
}

/* Where the first batch with a body lies in the first file. */
static uint64_t
world_first_body(struct world *world)
{
	int fd = openat(world->journal_dir, "00000000.seg", O_RDONLY | O_CLOEXEC);
	uint64_t offset = RECORD_BLOCK;

	assert_true(fd >= 0);
	for (uint8_t bytes[BODY] = { 0 };; offset += RECORD_BLOCK) {
		assert_true(pread(fd, bytes, sizeof(bytes), (off_t)offset) == (ssize_t)sizeof(bytes));
		if (bytes[1000] == 'b')
			break;
	}
	(void)close(fd);
	return offset;
}

static void
world_damage(struct world *world, uint64_t offset)
{
	int fd = openat(world->journal_dir, "00000000.seg", O_WRONLY | O_CLOEXEC);

	assert_int_equal(pwrite(fd, "X", 1, (off_t)offset), 1);
	(void)close(fd);
}

static void
test_store__damaged_record__is_reported_and_kept(void **state)
{
	struct world *world = *state;
	store_ref ref = world_put_id(world, 7);

	store_unpin(world->store, ref);
	world_damage(world, world_first_body(world) + 1000);
	assert_int_equal(world_load(world, ref), ERR_CORRUPT);
	WORLD_UNTIL(world, store_find(world->store, 7) == 0);
	assert_int_equal(world_files(world->corrupt_dir, false), 1);
}

/* A torn batch that left no header, in a segment that had never been used. */
static void
test_store__bytes_behind_the_end__are_kept_once_and_told(void **state)
{
	struct world *world = *state;

	store_unpin(world->store, world_put_id(world, 7));
	world_close(world);
	world_damage(world, 100 * 1024 + 10);
	world_open(world);
	assert_int_equal(world_heard(world, "4096 bytes from LSN 102400 on, behind the end, were never "
					    "acknowledged; kept as corrupt/tail-0000000000019000"),
		1);
	assert_int_equal(world_files(world->corrupt_dir, false), 1);
	assert_int_equal(faccessat(world->corrupt_dir, "tail-0000000000019000", F_OK, 0), 0);
	assert_int_equal(world_load(world, store_find(world->store, 7)), ERR_OK);
	world_close(world);
	world_open(world);
	assert_int_equal(world_heard(world, "behind the end"), 0);
	assert_int_equal(world_files(world->corrupt_dir, false), 1);
}

/* What an earlier life of the file left there is no news. */
static void
test_store__segment_that_was_used_before__has_nothing_behind_its_end(void **state)
{
	struct world *world = *state;

	for (uint64_t id = 1; id < 400; id++) {
		world_done(world, world_put_id(world, id));
		if (id % 7 != 0)
			continue;
		world_close(world);
		world_open(world);
		assert_int_equal(world_heard(world, "behind the end"), 0);
	}
	assert_int_equal(world_files(world->corrupt_dir, false), 0);
}

/* The last bytes that were written may be the damaged ones: they are not taken for a torn tail. */
static void
world_check_proof(struct world *world, uint64_t grace_ns)
{
	struct store_txn txn;
	struct store_message message = world_message(7);
	uint64_t offset;

	store_txn_begin(&txn, world->store, JOURNAL_NEW_MAIL, JOURNAL_NOW);
	store_unpin(world->store, store_txn_message(&txn, &message));
	assert_int_equal(store_txn_commit(&txn, world_settled, world), ERR_OK);
	store_stop(world->store, grace_ns, world->now); /* before it is even written */
	WORLD_UNTIL(world, store_is_idle(world->store));
	assert_int_equal(world->durable, 1);
	offset = world_first_body(world);
	world_close(world);
	world_damage(world, offset + 1000);
	world_open(world);
	assert_int_equal(world_heard(world, "never acknowledged"), 0);
}

static void
test_store__stop_at_once__the_last_batch_is_provably_durable(void **state)
{
	struct world *world = *state;

	world_check_proof(world, 0);
	assert_int_equal(world_heard(world, "damage at LSN"), 1);
	WORLD_UNTIL(world, world_heard(world, "message 0000000000000007 at LSN") == 1);
}

static void
test_store__stop_with_a_checkpoint__the_last_batch_is_provably_durable(void **state)
{
	struct world *world = *state;

	world_check_proof(world, NS_PER_S);
	assert_int_equal(world_load(world, store_find(world->store, 7)), ERR_CORRUPT);
}

/* Damage that a start finds is emptied out of force: the next start finds nothing. */
static void
test_store__damaged_start__is_over_when_the_segment_is_put_aside(void **state)
{
	struct world *world = *state;
	unsigned kept;

	store_unpin(world->store, world_put_id(world, 7));
	store_unpin(world->store, world_put_id(world, 8));
	world_damage(world, world_first_body(world) + 1000);
	for (int i = 0; i < 200; i++) /* a batch behind them proves that they had been durable */
		world_turn(world);
	world_close(world);
	world_open(world);
	assert_int_equal(world_heard(world, "damage at LSN"), 1);
	WORLD_UNTIL(world, faccessat(world->journal_dir, "bad-00000000.seg", F_OK, 0) == 0);
	kept = world_files(world->corrupt_dir, false);
	assert_int_equal(kept, 2); /* the bytes, and the message */
	world_close(world);
	world_open(world);
	assert_int_equal(world_heard(world, "damage"), 0);
	assert_int_equal(world_files(world->corrupt_dir, false), kept);
	assert_int_equal(world_load(world, store_find(world->store, 8)), ERR_OK);
}

static void
world_touch(const struct world *world, const char *name)
{
	int fd = openat(world->large_dir, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	(void)close(fd);
}

/* A message whose record is lost may have owned it. */
static void
test_store__remnants_and_damage__are_kept(void **state)
{
	struct world *world = *state;

	store_unpin(world->store, world_put_id(world, 7));
	world_damage(world, world_first_body(world) + 1000);
	for (int i = 0; i < 200; i++)
		world_turn(world);
	world_close(world);
	world_touch(world, "00000000000000ff");
	world_open(world);
	WORLD_UNTIL(world, store_is_idle(world->store));
	assert_int_equal(world_heard(world, "1 files under large/ that no message owns are kept"), 1);
	assert_int_equal(world_files(world->large_dir, false), 0);
	assert_int_equal(faccessat(world->corrupt_dir, "large-00000000000000ff", F_OK, 0), 0);
}

/* What comes while the index is still incomplete may belong to somebody who is at work now. */
static void
test_store__remnant_younger_than_the_start__stays(void **state)
{
	struct world *world = *state;

	world_close(world);
	world_touch(world, "00000000000000fe");
	world_begin_open(world);
	WORLD_UNTIL(world, world->opened);
	world_touch(world, "00000000000000ff");
	WORLD_UNTIL(world, store_is_complete(world->store) && store_is_idle(world->store));
	assert_int_equal(world_files(world->large_dir, false), 1);
	assert_int_equal(faccessat(world->large_dir, "00000000000000ff", F_OK, 0), 0);
}

static void
world_week(struct world *world, uint64_t want_damage)
{
	struct store_stats stats = { 0 };

	world->now.wall.us += UINT64_C(7) * 24 * 3600 * US_PER_S;
	WORLD_UNTIL(world, (world->now.mono.ns += NS_PER_S, store_stats(world->store, &stats),
				   stats.scrub_last_us == world->now.wall.us));
	assert_int_equal(stats.scrub_damage, want_damage);
	assert_true(stats.scrub_bytes > 0);
}

static void
test_store__scrub_finds_damage_beside_a_record__it_moves(void **state)
{
	struct world *world = *state;
	world_put_closed(world, 7);
	world_week(world, 0);
	world_damage(world, world_first_body(world) + RECORD_BLOCK - 1); /* padding: the record itself is whole */
	world_week(world, 1);
	assert_int_equal(world_load(world, store_find(world->store, 7)), ERR_OK);
	assert_int_equal(world_files(world->corrupt_dir, false), 0);
	world_close(world);
	world_open(world);
	assert_int_equal(world_load(world, store_find(world->store, 7)), ERR_OK);
}

static void
test_store__scrub_finds_a_damaged_record__its_message_is_kept_aside(void **state)
{
	struct world *world = *state;
	world_put_closed(world, 7);
	world_damage(world, world_first_body(world) + 1000);
	world_week(world, 1);
	WORLD_UNTIL(world, store_find(world->store, 7) == 0);
	assert_int_equal(world_files(world->corrupt_dir, false), 1);
	assert_int_equal(world_load(world, store_find(world->store, 8)), ERR_OK);
}

static void
test_store__scrub_finds_a_lost_header__all_moves_and_the_next_start_finds_it(void **state)
{
	struct world *world = *state;

	world_put_closed(world, 7);
	world_damage(world, 0);
	world_damage(world, RECORD_SEGMENT_COPY);
	world_week(world, 1);
	store_stop(world->store, NS_PER_S, world->now);
	world_close(world);
	world_open(world);
	assert_int_equal(world_load(world, store_find(world->store, 7)), ERR_OK);
	assert_int_equal(world_load(world, store_find(world->store, 8)), ERR_OK);
}

/* Content of its own is read with the segments, though nobody asks for it. */
static void
test_store__scrub_reads_large_content__damage_is_told(void **state)
{
	struct world *world = *state;
	struct store_message message = world_message(7);
	int fd;

	message.large = store_large_begin(world->store, 0xabc);
	for (int i = 0; i < 1000; i++) /* more than is read at once */
		store_large_append(message.large, message.body);
	store_large_finish(message.large, world_finished, world);
	WORLD_UNTIL(world, world->finished == 1);
	message.body.len = 0;
	message.content_length = 1000 * BODY;
	store_unpin(world->store, world_put(world, &message));
	world_close(world);
	world_open(world); /* the sums come from the journal */
	world_week(world, 0);
	assert_int_equal(world_heard(world, "of its content"), 0);
	fd = openat(world->large_dir, "0000000000000abc", O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "X", 1, 2700000), 1);
	(void)close(fd);
	world_week(world, 1);
	assert_int_equal(world_heard(world, "message 0000000000000007: bytes 2621440 to 2752511"), 1);
	WORLD_UNTIL(world, store_is_idle(world->store));
	assert_int_equal(world_load(world, store_find(world->store, 7)), ERR_OK);
}

static void
test_store__clean_stop__a_checkpoint_holds_all(void **state)
{
	struct world *world = *state;
	struct store_stats stats;

	store_unpin(world->store, world_put_id(world, 7));
	store_stop(world->store, NS_PER_S, world->now);
	WORLD_UNTIL(world, store_is_idle(world->store));
	store_stats(world->store, &stats);
	assert_int_equal(stats.checkpoint_behind, 0);
	assert_true(stats.checkpoint_bytes > 0);
	world_close(world);
	world_open(world);
	assert_int_equal(world_load(world, store_find(world->store, 7)), ERR_OK);
}

static void
test_store__clean_stop_without_time__is_quick(void **state)
{
	struct world *world = *state;
	struct store_stats stats;

	store_unpin(world->store, world_put_id(world, 7));
	world->now.mono.ns += NS_PER_S;
	store_stop(world->store, 0, world->now);
	world->now.mono.ns += NS_PER_S;
	WORLD_UNTIL(world, store_is_idle(world->store));
	store_stats(world->store, &stats);
	assert_int_equal(stats.checkpoint_bytes, 0);
}

/* Whether the body of a message can be found in any segment file that is out of use. */
static bool
world_keeps_bodies(struct world *world)
{
	static uint8_t bytes[SEGMENT];
	bool found = false;

	for (unsigned slot = 0; slot < 20; slot++) {
		char name[32];
		int fd;

		(void)snprintf(name, sizeof(name), "%08u.seg", slot);
		fd = openat(world->journal_dir, name, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && pread(fd, bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes))
			found |= memmem(bytes, sizeof(bytes), "bbbbbbbb", 8) != NULL;
		if (fd >= 0)
			(void)close(fd);
	}
	return found;
}

static void
test_store__journal_scrub__ended_mail_is_not_kept_in_free_segments(void **state)
{
	struct world *world = *state;

	world_close(world);
	world->zeroes = true;
	world_open(world);
	world_put_closed(world, 7);
	assert_true(world_keeps_bodies(world));
	for (store_ref ref; (ref = store_next(world->store, 0)) != 0;)
		world_done(world, ref);
	for (int i = 0; i < 200; i++)
		world_turn(world);
	WORLD_UNTIL(world, store_is_idle(world->store));
	world_close(world);
	world_open(world); /* the segment that was the newest is free now, too */
	for (int i = 0; i < 200; i++)
		world_turn(world);
	WORLD_UNTIL(world, store_is_idle(world->store));
	WORLD_UNTIL(world, !world_keeps_bodies(world));
}

static void
world_check_format(struct world *world, uint16_t in_force, uint16_t written)
{
	struct journal_format format;

	journal_format(store_journal(world->store), &format);
	assert_int_equal(format.in_force, in_force);
	assert_int_equal(format.written, written);
	assert_int_equal(format.newest, RECORD_FORMAT_MINOR);
}

/* The header of a segment file; false: it has none. Written anew if `change` is given. */
static bool
world_header(const struct world *world, uint32_t slot, struct segment_header *ret_header,
	const struct segment_header *change)
{
	uint8_t block[RECORD_BLOCK];
	struct fault fault;
	char name[32];
	int fd;
	bool is_there;

	(void)snprintf(name, sizeof(name), "%08u.seg", (unsigned)slot);
	fd = openat(world->journal_dir, name, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return false;
	is_there = pread(fd, block, sizeof(block), 0) == (ssize_t)sizeof(block)
		&& segment_header_decode(slice_make(block, sizeof(block)), ret_header, &fault)
			== ERR_OK;
	if (is_there && change != NULL) {
		segment_header_encode(change, block);
		CHECK(pwrite(fd, block, sizeof(block), 0) == (ssize_t)sizeof(block));
	}
	(void)close(fd);
	return is_there;
}

/* The header of the newest segment. */
static struct segment_header
world_newest_header(const struct world *world, uint32_t *ret_slot)
{
	struct segment_header newest = { 0 }, header;

	for (uint32_t slot = 0; slot < 32; slot++)
		if (world_header(world, slot, &header, NULL) && header.sequence > newest.sequence) {
			newest = header;
			*ret_slot = slot;
		}
	return newest;
}

static void
world_restart(struct world *world)
{
	world_close(world);
	world_open(world);
}

static void
test_store__new_journal__has_the_newest_format(void **state)
{
	struct world *world = *state;
	struct segment_header header;
	uint32_t slot;

	world_check_format(world, RECORD_FORMAT_MINOR, RECORD_FORMAT_MINOR);
	header = world_newest_header(world, &slot);
	assert_int_equal(header.minor, RECORD_FORMAT_MINOR);
	assert_string_not_equal(header.writer, "");
	assert_int_equal(journal_upgrade(store_journal(world->store), world_settled, world),
		ERR_EXISTS);
}

/* All that is written is as the old release wrote it, until an upgrade is asked for. */
static void
test_store__old_journal__keeps_its_format_until_upgraded(void **state)
{
	struct world *world = *state;
	struct journal *journal;
	struct segment_header header;
	int before = world->durable;
	uint32_t slot;

	world->is_old = false;
	for (int i = 0; i < 2; i++) {
		world_restart(world);
		world_check_format(world, 0, 0);
		header = world_newest_header(world, &slot);
		assert_int_equal(header.minor, 0);
		assert_int_equal(header.features_may, 0);
		assert_string_equal(header.writer, "");
		assert_int_equal(journal_node(store_journal(world->store),
					 SLICE_LIT("format")).len, 0);
	}
	journal = store_journal(world->store);
	assert_int_equal(journal_upgrade(journal, world_settled, world), ERR_OK);
	assert_int_equal(journal_upgrade(journal, world_settled, world), ERR_AGAIN);
	world_check_format(world, 0, 0); /* not durable yet */
	WORLD_UNTIL(world, world->durable > before);
	world_check_format(world, RECORD_FORMAT_MINOR, RECORD_FORMAT_MINOR);
	world_restart(world);
	world_check_format(world, RECORD_FORMAT_MINOR, RECORD_FORMAT_MINOR);
	assert_int_equal(world_newest_header(world, &slot).minor, RECORD_FORMAT_MINOR);
}

/* What a release to come may ignore is ignored here; it finds its format again. */
static void
test_store__newer_minor_format__works_and_is_not_lowered(void **state)
{
	struct world *world = *state;
	struct segment_header header, changed;
	uint32_t slot = 0;

	(void)world_put_id(world, 7);
	WORLD_UNTIL(world, store_is_idle(world->store));
	changed = world_newest_header(world, &slot);
	changed.minor = 7;
	changed.features_may |= 1024;
	assert_true(world_header(world, slot, &header, &changed));
	world_restart(world);
	world_check_format(world, 7, RECORD_FORMAT_MINOR);
	assert_int_equal(world_newest_header(world, &slot).minor, RECORD_FORMAT_MINOR);
	assert_int_not_equal(store_find(world->store, 7), 0);
	for (uint64_t id = 100; id < 400; id++) /* until that segment is out of force */
		world_done(world, world_put_id(world, id));
	world_done(world, store_find(world->store, 7));
	for (uint64_t id = 400; id < 500; id++)
		world_done(world, world_put_id(world, id));
	world_restart(world);
	world_check_format(world, 7, RECORD_FORMAT_MINOR);
}

/* --- long batches ----------------------------------------------------------------------------- */

enum { LONG = 5 * 1024 * 1024 };

static struct store_message
world_long(uint64_t id)
{
	static uint8_t list[LONG];
	struct store_message message = world_message(id);

	for (size_t i = 0; i < LONG; i++)
		list[i] = (uint8_t)(i * 7 + i / 1000);
	message.recipients = slice_make(list, LONG);
	return message;
}

static void
check_long(struct world *world, uint64_t id)
{
	struct store_message message = world_long(id);
	store_ref ref = store_find(world->store, id);
	struct store_view view;

	assert_int_not_equal(ref, 0);
	assert_int_equal(world_load(world, ref), ERR_OK);
	store_view(world->store, ref, &view);
	assert_true(slice_equal(view.recipients, message.recipients));
	store_unpin(world->store, ref);
}

/* The index knows of its length only that it is long. */
static void
test_store__record_beyond_4_mib__survives_a_start_and_cleaning(void **state)
{
	struct world *world = *state;
	struct store_message message = world_long(7);
	struct segment_header header;
	uint32_t slot;

	store_unpin(world->store, world_put(world, &message));
	check_long(world, 7);
	header = world_newest_header(world, &slot);
	assert_true((header.features_must & RECORD_FEATURE_LONG) != 0);
	world_restart(world);
	check_long(world, 7);
	store_clean_below(world->store, UINT64_MAX);
	for (uint64_t id = 100; id < 104; id++) {
		struct store_message other = world_long(id);

		world_done(world, world_put(world, &other));
	}
	WORLD_UNTIL(world, store_is_idle(world->store));
	check_long(world, 7);
	world_restart(world);
	check_long(world, 7);
	world_done(world, store_find(world->store, 7));
	assert_int_equal(store_count(world->store), 0);
}

/* A release that does not know them can read all that is written before the upgrade. */
static void
test_store__old_journal__takes_no_long_record(void **state)
{
	struct world *world = *state;
	struct store_message message = world_long(7);
	struct store_txn txn;

	store_txn_begin(&txn, world->store, JOURNAL_NEW_MAIL, JOURNAL_NOW);
	assert_int_not_equal(store_txn_message(&txn, &message), 0);
	assert_int_equal(store_txn_commit(&txn, world_settled, world), ERR_LIMIT);
	assert_int_equal(store_count(world->store), 0);
}

#define TEST_LONG(name) cmocka_unit_test_setup_teardown(name, world_start_long, world_end)
#define TEST_LONG_OLD(name) cmocka_unit_test_setup_teardown(name, world_start_long_old, world_end)
#define TEST_OLD(name) cmocka_unit_test_setup_teardown(name, world_start_old, world_end)
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_start, world_end)
#define TEST_ROOMY(name) cmocka_unit_test_setup_teardown(name, world_start_roomy, world_end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_LONG(test_store__record_beyond_4_mib__survives_a_start_and_cleaning),
		TEST_LONG_OLD(test_store__old_journal__takes_no_long_record),
		TEST(test_store__message_read_back__is_what_was_put),
		TEST(test_store__opened_again__has_state_and_results),
		TEST(test_store__cache_is_full__bodies_go_and_come_back),
		TEST(test_store__transaction_that_fails__leaves_nothing),
		TEST(test_store__message_under_its_end__cannot_be_changed),
		TEST(test_store__large_content__lives_as_long_as_its_message),
		TEST(test_store__large_content_damaged__is_located),
		TEST(test_store__large_content_aborted__leaves_no_file),
		TEST(test_store__full_of_living_mail__refuses_until_there_is_room),
		TEST(test_store__damaged_record__is_reported_and_kept),
		TEST(test_store__bytes_behind_the_end__are_kept_once_and_told),
		TEST(test_store__segment_that_was_used_before__has_nothing_behind_its_end),
		TEST(test_store__stop_at_once__the_last_batch_is_provably_durable),
		TEST(test_store__stop_with_a_checkpoint__the_last_batch_is_provably_durable),
		TEST_ROOMY(test_store__damaged_start__is_over_when_the_segment_is_put_aside),
		TEST(test_store__remnants_and_damage__are_kept),
		TEST(test_store__remnant_younger_than_the_start__stays),
		TEST_ROOMY(test_store__scrub_finds_damage_beside_a_record__it_moves),
		TEST_ROOMY(test_store__scrub_finds_a_damaged_record__its_message_is_kept_aside),
		TEST_ROOMY(test_store__scrub_finds_a_lost_header__all_moves_and_the_next_start_finds_it),
		TEST(test_store__scrub_reads_large_content__damage_is_told),
		TEST(test_store__clean_stop__a_checkpoint_holds_all),
		TEST(test_store__clean_stop_without_time__is_quick),
		TEST(test_store__new_journal__has_the_newest_format),
		TEST_OLD(test_store__old_journal__keeps_its_format_until_upgraded),
		TEST(test_store__newer_minor_format__works_and_is_not_lowered),
		TEST(test_store__journal_scrub__ended_mail_is_not_kept_in_free_segments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
