/*
 * site_settings.h - what destination_settings_maps says of one next hop
 *
 * One line per site, words in any order, each at most once:
 *
 *   gmail.com  sessions=20 initial=5 rate=200/min recipients=1000/h delay=1s active=2000
 *
 * Threads: one.
 */
#ifndef OSTLER_QMGR_SITE_SETTINGS_H
#define OSTLER_QMGR_SITE_SETTINGS_H

#include "base/err.h"
#include "sched/sched.h"

struct core;

/*
 * Changes *limits as a line says. ERR_SYNTAX, ERR_RANGE: a word is none of the above, *reterr_word;
 * the words before it hold.
 */
MUST_USE enum err site_settings_read(
	struct slice line, struct sched_limits *limits, struct slice *reterr_word);

/* The line of a next hop, empty if there is none; valid as long as the configuration. */
struct slice site_settings_line(
	struct core *core, struct sched_transport *transport, struct slice nexthop);

/* struct sched_options.settings, ctx: the core. A bad word is logged. */
bool site_settings(void *ctx, struct sched_transport *transport, struct slice nexthop,
	struct sched_limits *limits);

#endif
