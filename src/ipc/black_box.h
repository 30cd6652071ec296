/*
 * black_box.h - what a process works on, on a page that outlives it
 *
 * master makes a page for each process that has one and reads it when the process has died; the
 * process notes what it has in hand before it touches it: the queue manager a queue ID, smtpd the
 * address of a client. Two words, of which only their writer knows the meaning; 0, 0: nothing.
 *
 * Ownership: the page belongs to who made or opened it. Errors: making one dies (EX_OSERR); a
 *            descriptor of another size is ERR_CORRUPT.
 * Threads:   one writer; it is read when that one is dead.
 */
#ifndef OSTLER_IPC_BLACK_BOX_H
#define OSTLER_IPC_BLACK_BOX_H

#include "base/err.h"

#include <stdint.h>

struct black_box;

/* A page with nothing noted, and its descriptor. */
struct black_box *black_box_create(int *ret_fd);
MUST_USE enum err black_box_open(int fd, struct black_box **ret_box);

/* NULL: nobody wants to know. */
void black_box_note(struct black_box *box, uint64_t first, uint64_t second);
void black_box_read(const struct black_box *box, uint64_t *ret_first, uint64_t *ret_second);

#endif
