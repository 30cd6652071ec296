/* events.c - a heap with four children per node: fewer cache misses than with two (events.h) */
#include "sim/events.h"

#include "base/check.h"
#include "base/mem.h"

enum { CHILDREN = 4 };

void
events_push(struct events *events, const struct event *event)
{
	size_t at = events->count++;

	if (at == events->cap) {
		events->cap = events->cap == 0 ? 1024 : events->cap * 2;
		events->heap = mem_resize(events->heap, events->cap, sizeof(*events->heap));
	}
	while (at > 0) {
		size_t parent = (at - 1) / CHILDREN;

		if (events->heap[parent].at_ns <= event->at_ns)
			break;
		events->heap[at] = events->heap[parent];
		at = parent;
	}
	events->heap[at] = *event;
}

uint64_t
events_first_ns(const struct events *events)
{
	return events->count == 0 ? UINT64_MAX : events->heap[0].at_ns;
}

/* The earliest child of a node, or `count` if it has none. */
static size_t
first_child(const struct events *events, size_t at)
{
	size_t first = at * CHILDREN + 1;
	size_t end = first + CHILDREN < events->count ? first + CHILDREN : events->count;
	size_t best = first;

	if (first >= events->count)
		return events->count;
	for (size_t i = first + 1; i < end; i++)
		if (events->heap[i].at_ns < events->heap[best].at_ns)
			best = i;
	return best;
}

struct event
events_pop(struct events *events)
{
	struct event first, last;
	size_t at = 0, child;

	CHECK(events->count > 0);
	first = events->heap[0];
	last = events->heap[--events->count];
	while ((child = first_child(events, at)) < events->count) {
		if (events->heap[child].at_ns >= last.at_ns)
			break;
		events->heap[at] = events->heap[child];
		at = child;
	}
	events->heap[at] = last;
	return first;
}

void
events_done(struct events *events)
{
	mem_free(events->heap);
	*events = (struct events){ 0 };
}
