/*
 * events.h - what happens next in a simulation: a heap by time
 *
 * Events of the same instant come in no promised order, but always in the same one for the same
 * pushes, so that a seed repeats a run. Threads: one.
 */
#ifndef OSTLER_SIM_EVENTS_H
#define OSTLER_SIM_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event {
	uint64_t at_ns;
	uint32_t kind; /* the caller's */
	uint32_t site;
	void *what;
};

struct events {
	struct event *heap;
	size_t count, cap;
};

void events_push(struct events *events, const struct event *event);
/* UINT64_MAX: there is none. */
uint64_t events_first_ns(const struct events *events);
/* The first one; there must be one. */
struct event events_pop(struct events *events);
void events_done(struct events *events);

#endif
