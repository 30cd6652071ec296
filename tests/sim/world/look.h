/*
 * look.h - what the core has made of a message, as the model's words say it
 *
 * The only part of the world that sees into the core.
 *
 * Threads: none.
 */
#ifndef OSTLER_TESTS_SIM_LOOK_H
#define OSTLER_TESTS_SIM_LOOK_H

#include "qmgr/core.h"
#include "sim/world/model.h"

/* The queue IDs of messages in memory, at most `max`; returns how many there are. */
size_t look_ids(const struct core *core, uint64_t *ret_ids, size_t max);
void look_at(const struct core *core, uint64_t queue_id, struct model_seen *ret_seen);

#endif
