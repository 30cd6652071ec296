/*
 * reaction.h - what a site's replies do to it (reply_reactions), and operators
 *
 * A table of `PATTERN => ACTION`, parted by ';'. A pattern is compared with the whole reply without
 * regard to case, * stands for anything. The first that fits counts:
 *
 *   suspend TIME     nothing begins there, its mail waits
 *   slow RATE TIME   at most so many transactions
 *   back-off TIME    its mail is deferred; then it is probed
 *
 * Threads: one. Errors: an entry that cannot be understood is logged and does nothing.
 */
#ifndef OSTLER_QMGR_REACTION_H
#define OSTLER_QMGR_REACTION_H

#include "base/err.h"
#include "sched/sched.h"

struct core;

enum reaction_kind { REACTION_SUSPEND, REACTION_SLOW, REACTION_BACK_OFF };

struct reaction {
	enum reaction_kind kind;
	uint64_t rate_ns; /* SLOW */
	struct slice rate;
	uint64_t time_s;
};

/* "suspend 5m"; ERR_SYNTAX, ERR_RANGE. */
MUST_USE enum err reaction_parse(struct slice text, struct reaction *ret_reaction);

/* Whether a reply fits a pattern. */
bool reaction_fits(struct slice pattern, struct slice reply);

/* A temporary reply of the site came; with the policy classic nothing follows from it. */
void reaction_reply(struct core *core, struct sched_destination *destination, struct slice dsn,
	struct slice reply);

/* Does it and logs it; `why`: a reply, or who wanted it. */
void reaction_act(struct core *core, struct sched_destination *destination,
	const struct reaction *reaction, struct slice dsn, struct slice why);

#endif
