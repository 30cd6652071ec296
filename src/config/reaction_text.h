/*
 * reaction_text.h - the words of reply_reactions
 *
 * Entries `PATTERN => ACTION`, parted by ';':
 *
 *   suspend TIME     nothing begins there, its mail waits
 *   slow RATE TIME   at most so many transactions
 *   back-off TIME    its mail is deferred; then it is probed
 *
 * Times have a unit (s, m, h, d; none: seconds) and are at most five days. Threads: pure.
 */
#ifndef OSTLER_CONFIG_REACTION_TEXT_H
#define OSTLER_CONFIG_REACTION_TEXT_H

#include "base/err.h"
#include "base/slice.h"

enum reaction_kind { REACTION_SUSPEND, REACTION_SLOW, REACTION_BACK_OFF };

struct reaction {
	enum reaction_kind kind;
	uint64_t rate_ns; /* SLOW */
	struct slice rate;
	uint64_t time_s;
};

/* "suspend 5m"; ERR_SYNTAX, ERR_RANGE. */
MUST_USE enum err reaction_parse(struct slice text, struct reaction *ret_reaction);

/*
 * Cuts the next entry off a table. ERR_NOTFOUND: there is none; ERR_SYNTAX, ERR_RANGE: it is wrong,
 * *ret_entry says which.
 */
MUST_USE enum err reaction_next(struct slice *table, struct slice *ret_entry,
	struct slice *ret_pattern, struct reaction *ret_reaction);

#endif
