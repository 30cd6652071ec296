/*
 * client_table.h - connections and messages per client, counted over all smtpd processes
 *
 * A piece of shared memory that master makes and each smtpd maps. A process has a column of its
 * own: opening clears it, so what a killed process counted is forgotten. Sets of CLIENT_TABLE_WAYS
 * entries, chosen by a seeded hash of the address; in a full set the idle entry whose window began
 * first makes room.
 *
 * Ownership: the table belongs to its opener; client_table_close() unmaps. It survives its users.
 * Limits:    CLIENT_TABLE_SETS * CLIENT_TABLE_WAYS clients. In a set full of connected clients a
 *            new one is not counted (0), and so not limited.
 * Errors:    creation dies (EX_OSERR); a descriptor of another size is ERR_CORRUPT.
 * Threads:   one thread per process; processes exclude each other by a robust mutex.
 */
#ifndef OSTLER_IPC_CLIENT_TABLE_H
#define OSTLER_IPC_CLIENT_TABLE_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum { CLIENT_TABLE_SETS = 4096, CLIENT_TABLE_WAYS = 8, CLIENT_TABLE_COLUMNS = 64 };
enum { CLIENT_ADDRESS_SIZE = 16 };

struct client_table;

/* A descriptor of an empty table. `seed`: a secret of this start. */
int client_table_create(uint64_t seed);

/* Maps it; the descriptor stays the caller's. CHECKs column. */
MUST_USE enum err client_table_open(
	int fd, uint32_t column, struct client_table **ret_table);
void client_table_close(struct client_table *table);

/* One more connection; how many it has now over all processes, 0: not counted (no leave then). */
uint32_t client_table_enter(struct client_table *table,
	const uint8_t address[CLIENT_ADDRESS_SIZE], uint64_t now_s);
void client_table_leave(
	struct client_table *table, const uint8_t address[CLIENT_ADDRESS_SIZE]);

/* One more message of a connected client; how many in the window of `unit_s` seconds. */
uint32_t client_table_message(struct client_table *table,
	const uint8_t address[CLIENT_ADDRESS_SIZE], uint64_t now_s, uint64_t unit_s);

#endif
