/*
 * model.h - mail between a scenario's senders, the scheduler and simulated receivers
 *
 * The scheduler is the production one. What the queue manager does around it is done here in the
 * same way: a message comes into memory when there is room, its recipients are assigned, what is
 * deferred comes again after a backoff that grows with its age, what is older than its lifetime
 * ends. A session is closed when nothing waits for its site; prefetch is not simulated.
 *
 * Checked in every run: a transaction starts within its window only; a site that waits gets its
 * first session before any other one gets two; mail of one site leaves in the order of admission;
 * every message ends; nothing is left in the scheduler. Threads: pure, but for speed of the host.
 */
#ifndef OSTLER_SIM_MODEL_H
#define OSTLER_SIM_MODEL_H

#include "sim/scenario.h"
#include "sim/stats.h"

struct model;

struct model *model_new(const struct scenario *scenario);
void model_free(struct model *model);

/* Until every message has ended, or an invariant is broken. */
void model_run(struct model *model);

struct totals {
	uint64_t messages;   /* that came */
	uint64_t recipients;
	uint64_t delivered;  /* recipients */
	uint64_t expired;    /* recipients whose message was too old */
	uint64_t given_up;   /* recipients deferred where nothing is tried again */
	uint64_t attempts;   /* transactions, and sessions that failed */
	uint64_t failed;     /* of them: blamed on the site */
	uint64_t suspended;  /* recipients deferred without an attempt */
	uint64_t retries;    /* admissions of deferred messages */
	uint64_t decisions;  /* answers of the scheduler */
	uint64_t starvation; /* most sessions that others got while a site waited for its first */
	uint64_t destinations; /* most at a time */
	uint64_t end_ns;     /* simulated time of the last end */
	uint64_t last_delivery_ns;
	uint64_t busy_ns;    /* transactions x time */
};

const struct totals *model_totals(const struct model *model);
const struct delays *model_delays(const struct model *model, uint64_t class_number);
const struct course *model_course(const struct model *model);
double model_jain(const struct model *model);
/* NULL: every invariant holds. */
const char *model_violation(const struct model *model);

#endif
