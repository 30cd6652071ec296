/* client_table.c - see client_table.h */
#include "ipc/client_table.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

struct entry {
	uint8_t address[CLIENT_ADDRESS_SIZE];
	bool is_used;
	uint32_t messages;        /* since window_s */
	uint64_t window_s;
	uint16_t connections[CLIENT_TABLE_COLUMNS];
};

struct shared {
	pthread_mutex_t mutex;
	uint64_t seed;
	struct entry entries[CLIENT_TABLE_SETS][CLIENT_TABLE_WAYS];
};

struct client_table {
	struct shared *shared;
	uint32_t column;
};

/* --- the memory ------------------------------------------------------------------------------- */

static void
init_mutex(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attributes;

	CHECK(pthread_mutexattr_init(&attributes) == 0);
	CHECK(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
	CHECK(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
	CHECK(pthread_mutex_init(mutex, &attributes) == 0);
	(void)pthread_mutexattr_destroy(&attributes);
}

int
client_table_create(uint64_t seed)
{
	int fd = memfd_create("ostler-clients", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct shared *shared;

	if (fd < 0 || ftruncate(fd, sizeof(*shared)) != 0 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
		die(EX_OSERR, "shared memory for client counts: %s", strerror(errno));
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		die(EX_OSERR, "shared memory for client counts: %s", strerror(errno));
	init_mutex(&shared->mutex);
	shared->seed = seed;
	(void)munmap(shared, sizeof(*shared));
	return fd;
}

/* A process that died with the lock left counts that are whole numbers all the same. */
static void
lock(struct client_table *table)
{
	int error = pthread_mutex_lock(&table->shared->mutex);

	if (error == EOWNERDEAD)
		error = pthread_mutex_consistent(&table->shared->mutex);
	CHECK(error == 0);
}

static void
unlock(struct client_table *table)
{
	CHECK(pthread_mutex_unlock(&table->shared->mutex) == 0);
}

enum err
client_table_open(int fd, uint32_t column, struct client_table **ret_table)
{
	struct client_table *table;
	struct shared *shared;
	struct stat st;

	CHECK(column < CLIENT_TABLE_COLUMNS);
	if (fstat(fd, &st) != 0 || st.st_size != (off_t)sizeof(*shared))
		return ERR_CORRUPT;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		return ERR_NOMEM;
	table = MEM_NEW(struct client_table);
	table->shared = shared;
	table->column = column;
	lock(table);
	for (int set = 0; set < CLIENT_TABLE_SETS; set++)
		for (int way = 0; way < CLIENT_TABLE_WAYS; way++)
			if (shared->entries[set][way].is_used)
				shared->entries[set][way].connections[column] = 0;
	unlock(table);
	*ret_table = table;
	return ERR_OK;
}

void
client_table_close(struct client_table *table)
{
	(void)munmap(table->shared, sizeof(*table->shared));
	mem_free(table);
}

/* --- entries ---------------------------------------------------------------------------------- */

static struct entry *
set_of(struct client_table *table, const uint8_t *address)
{
	struct slice bytes = slice_make(address, CLIENT_ADDRESS_SIZE);

	return table->shared
		->entries[hash_bytes_seeded(bytes, table->shared->seed) % CLIENT_TABLE_SETS];
}

static uint32_t
total(const struct entry *entry)
{
	uint32_t sum = 0;

	for (int i = 0; i < CLIENT_TABLE_COLUMNS; i++)
		sum += entry->connections[i];
	return sum;
}

static struct entry *
find(struct client_table *table, const uint8_t *address)
{
	struct entry *set = set_of(table, address);

	for (int way = 0; way < CLIENT_TABLE_WAYS; way++)
		if (set[way].is_used && memcmp(set[way].address, address, CLIENT_ADDRESS_SIZE) == 0)
			return &set[way];
	return NULL;
}

/* A free one, or the idle one whose window is oldest; NULL: all are connected. */
static struct entry *
make_room(struct client_table *table, const uint8_t *address)
{
	struct entry *set = set_of(table, address), *best = NULL;

	for (int way = 0; way < CLIENT_TABLE_WAYS; way++) {
		struct entry *entry = &set[way];

		if (!entry->is_used)
			return entry;
		if (total(entry) == 0 && (best == NULL || entry->window_s < best->window_s))
			best = entry;
	}
	return best;
}

uint32_t
client_table_enter(struct client_table *table, const uint8_t address[CLIENT_ADDRESS_SIZE],
	uint64_t now_s)
{
	struct entry *entry;
	uint32_t count = 0;

	lock(table);
	entry = find(table, address);
	if (entry == NULL && (entry = make_room(table, address)) != NULL) {
		*entry = (struct entry){ .is_used = true, .window_s = now_s };
		memcpy(entry->address, address, CLIENT_ADDRESS_SIZE);
	}
	if (entry != NULL && entry->connections[table->column] < UINT16_MAX) {
		entry->connections[table->column]++;
		count = total(entry);
	}
	unlock(table);
	return count;
}

void
client_table_leave(struct client_table *table, const uint8_t address[CLIENT_ADDRESS_SIZE])
{
	struct entry *entry;

	lock(table);
	entry = find(table, address);
	if (entry != NULL && entry->connections[table->column] > 0)
		entry->connections[table->column]--;
	unlock(table);
}

uint32_t
client_table_message(struct client_table *table, const uint8_t address[CLIENT_ADDRESS_SIZE],
	uint64_t now_s, uint64_t unit_s)
{
	struct entry *entry;
	uint32_t count = 0;

	lock(table);
	entry = find(table, address);
	if (entry != NULL) {
		if (now_s - entry->window_s >= unit_s) {
			entry->window_s = now_s;
			entry->messages = 0;
		}
		count = ++entry->messages;
	}
	unlock(table);
	return count;
}
