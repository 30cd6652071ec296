/*
 * reaction.h - what a site's replies do to it (reply_reactions), and operators
 *
 * The table is config/reaction_text.h's. A pattern is compared with the whole reply without regard
 * to case, * stands for anything; the first that fits counts.
 *
 * Threads: one. Errors: none.
 */
#ifndef OSTLER_QMGR_REACTION_H
#define OSTLER_QMGR_REACTION_H

#include "config/reaction_text.h"
#include "sched/sched.h"

struct core;

/* Whether a reply fits a pattern. */
bool reaction_fits(struct slice pattern, struct slice reply);

/* A temporary reply of the site came; with the policy classic nothing follows from it. */
void reaction_reply(struct core *core, struct sched_destination *destination, struct slice dsn,
	struct slice reply);

/* Does it and logs it; `why`: a reply, or who wanted it. */
void reaction_act(struct core *core, struct sched_destination *destination,
	const struct reaction *reaction, struct slice dsn, struct slice why);

#endif
