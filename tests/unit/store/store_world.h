/*
 * store_world.h - a store over a new directory of real files, for the unit tests of src/store
 *
 * A test turns it until what it waits for has happened (bounded) and opens it again where recovery
 * is meant. Time is moved by hand, a millisecond a turn.
 */
#ifndef OSTLER_TESTS_UNIT_STORE_STORE_WORLD_H
#define OSTLER_TESTS_UNIT_STORE_STORE_WORLD_H

#include "base/check.h"
#include "base/mem.h"
#include "store/disk_file.h"
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { SEGMENT = 128 * 1024, SEGMENT_LONG = 12 * 1024 * 1024, TURNS_MAX = 20000, BODY = 3000 };

struct world {
	char path[64];
	int journal_dir, corrupt_dir, large_dir;
	struct disk_file *disk;
	struct store *store;
	bool opened, zeroes, is_old;
	bool is_roomy; /* nothing need be cleaned */
	bool is_long;  /* segments of SEGMENT_LONG */
	bool appends;  /* segments are appended and removed */
	int durable, refused, loaded, finished;
	enum err last;
	struct instant now;
	uint8_t read_first;
	size_t read_len;
	char said[4096]; /* notices since the last start, a line each */
	char fault[FAULT_TEXT_SIZE]; /* of a start that failed */
};

#define WORLD_UNTIL(world, condition)                                                              \
	do {                                                                                       \
		int turns = 0;                                                                     \
		while (!(condition)) {                                                             \
			assert_true(++turns < TURNS_MAX);                                          \
			world_turn(world);                                                         \
		}                                                                                  \
	} while (0)

/* Callbacks that count in `durable` and `refused`, `loaded`, and `finished`. */
void world_settled(void *ctx, enum journal_outcome outcome);
void world_loaded(void *ctx, store_ref ref, enum err err);
void world_finished(void *ctx, enum err err);
void world_read(void *ctx, enum err err, struct slice bytes);
/* One step, and what completes. */
void world_turn(struct world *world);
/* Begins a start; world->opened and `last` say how it ends. */
void world_begin_open(struct world *world);
/* A start that succeeds, up to the complete index. */
void world_open(struct world *world);
void world_close(struct world *world);
int world_start(void **state);
int world_start_roomy(void **state);
/* With the format of old journals. */
int world_start_old(void **state);
/* With long segments, for long batches; and these in the format of old journals. */
int world_start_long(void **state);
int world_start_long_old(void **state);
/* How many files there are in a directory; removes them if told so. */
unsigned world_files(int dir, bool remove);
/* How many of the notices since the last start contain this. */
unsigned world_heard(const struct world *world, const char *part);
int world_end(void **state);
struct store_message world_message(uint64_t queue_id);
/* A durable message, pinned; 0: there is no room, and the store says so. */
store_ref world_put(struct world *world, const struct store_message *message);
store_ref world_put_id(struct world *world, uint64_t queue_id);
void world_state(struct world *world, store_ref ref, uint64_t due_us, uint32_t flags, const char *text);
void world_done(struct world *world, store_ref ref);
enum err world_load(struct world *world, store_ref ref);

#endif
