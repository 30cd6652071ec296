/*
 * test_client_table.c - unit tests of the shared table of clients
 *
 * Goal: counts are those of all processes, a killed process's are forgotten, full sets never lose a
 * connected client. Method: two openers of one table in one process, and a child that is killed.
 */
#include "ipc/client_table.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct world {
	int fd;
	struct client_table *tables[2];
};

static int
start(void **state)
{
	static struct world world;

	world.fd = client_table_create(1);
	for (uint32_t i = 0; i < 2; i++)
		if (client_table_open(world.fd, i, &world.tables[i]) != ERR_OK)
			return -1;
	*state = &world;
	return 0;
}

static int
stop(void **state)
{
	struct world *world = *state;

	for (int i = 0; i < 2; i++)
		client_table_close(world->tables[i]);
	(void)close(world->fd);
	return 0;
}

static const uint8_t alice[16] = { 1 }, bob[16] = { 2 };

static void
test_count__is_over_all_processes(void **state)
{
	struct world *world = *state;

	assert_int_equal(client_table_enter(world->tables[0], alice, 0), 1);
	assert_int_equal(client_table_enter(world->tables[1], alice, 0), 2);
	assert_int_equal(client_table_enter(world->tables[1], bob, 0), 1);
	client_table_leave(world->tables[0], alice);
	assert_int_equal(client_table_enter(world->tables[1], alice, 0), 2);
}

static void
test_open__forgets_what_the_former_process_counted(void **state)
{
	struct world *world = *state;
	struct client_table *again;

	(void)client_table_enter(world->tables[0], alice, 0);
	(void)client_table_enter(world->tables[1], alice, 0);
	assert_int_equal(client_table_open(world->fd, 0, &again), ERR_OK);
	assert_int_equal(client_table_enter(world->tables[1], alice, 0), 2);
	client_table_close(again);
}

static void
test_messages__are_counted_per_window(void **state)
{
	struct world *world = *state;

	(void)client_table_enter(world->tables[0], alice, 100);
	assert_int_equal(client_table_message(world->tables[0], alice, 100, 60), 1);
	assert_int_equal(client_table_message(world->tables[1], alice, 159, 60), 2);
	assert_int_equal(client_table_message(world->tables[1], alice, 160, 60), 1);
	assert_int_equal(client_table_message(world->tables[1], bob, 160, 60), 0);
}

static void
test_full__connected_clients_keep_their_counts(void **state)
{
	struct world *world = *state;
	uint32_t uncounted = 0;
	enum { CLIENTS = CLIENT_TABLE_SETS * CLIENT_TABLE_WAYS + 1000 };

	for (uint32_t i = 0; i < CLIENTS; i++) {
		uint8_t address[16] = { 9 };

		memcpy(address + 4, &i, sizeof(i));
		if (client_table_enter(world->tables[0], address, i) == 0)
			uncounted++;
	}
	assert_true(uncounted >= 1000 && uncounted < CLIENTS / 2);
	for (uint32_t i = 0; i < CLIENTS; i++) {
		uint8_t address[16] = { 9 };

		memcpy(address + 4, &i, sizeof(i));
		client_table_leave(world->tables[0], address);
	}
	/* All are idle now: there is room for anybody. */
	assert_int_equal(client_table_enter(world->tables[0], alice, CLIENTS), 1);
}

static void
test_death_with_the_lock__others_go_on(void **state)
{
	struct world *world = *state;

	for (int round = 0; round < 20; round++) {
		pid_t pid = fork();

		if (pid == 0)
			for (;;) {
				(void)client_table_enter(world->tables[0], alice, 0);
				client_table_leave(world->tables[0], alice);
			}
		(void)usleep(1000);
		(void)kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_true(client_table_enter(world->tables[1], bob, 0) > 0);
	}
}

static void
test_foreign_descriptor__is_refused(void **state)
{
	struct client_table *table;
	int pair[2];

	(void)state;
	assert_int_equal(pipe(pair), 0);
	assert_int_equal(client_table_open(pair[0], 0, &table), ERR_CORRUPT);
	(void)close(pair[0]);
	(void)close(pair[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_count__is_over_all_processes),
		TEST(test_open__forgets_what_the_former_process_counted),
		TEST(test_messages__are_counted_per_window),
		TEST(test_full__connected_clients_keep_their_counts),
		TEST(test_death_with_the_lock__others_go_on),
		TEST(test_foreign_descriptor__is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
