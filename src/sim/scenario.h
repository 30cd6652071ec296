/*
 * scenario.h - what is simulated: a text file, or drawn from a seed
 *
 * One setting per line, `#` starts a comment; docs/man/ostler-sim.1 lists all. Three lines say how
 * sites behave, later ones on top of earlier ones:
 *
 *   all          latency=50ms connect=20ms
 *   some 1%      outage=100s+600s
 *   site 0       capacity=5
 *   at 300s site 0 capacity=10
 *
 * Ownership: scenario_done() frees what a scenario points to. Errors: a bad line is ERR_SYNTAX or
 * ERR_RANGE with a text that names it. Threads: pure.
 */
#ifndef OSTLER_SIM_SCENARIO_H
#define OSTLER_SIM_SCENARIO_H

#include "base/err.h"
#include "base/slice.h"
#include "sched/window.h"

enum { SCENARIO_CLASSES_MAX = 8, SCENARIO_CHANGES_MAX = 64 };

/* How one site behaves; only what `given` has bits for was said. */
enum trait {
	TRAIT_LATENCY,   /* of a transaction */
	TRAIT_CONNECT,   /* until the site greets, or refuses */
	TRAIT_CAPACITY,  /* connections at a time; 0: any number */
	TRAIT_FULL,      /* how long a connection beyond it waits in vain; 0: it is refused (421) */
	TRAIT_GREYLIST,  /* a recipient is told 450 until so long after its first attempt */
	TRAIT_RATE,      /* transactions per minute, beyond it 421; 0: any number */
	TRAIT_OUTAGE,    /* start and length: connections fail after `connect` */
	TRAIT_BAD,       /* percent of connections that fail: one of several hosts is broken */
	TRAIT_SPREAD,    /* percent that a transaction may take more or less than `latency` */
	TRAIT_COUNT,
};

struct traits {
	unsigned given; /* 1 << enum trait */
	uint64_t values[TRAIT_COUNT];
	uint64_t outage_length_ns;
};

enum select { SELECT_ALL, SELECT_SOME, SELECT_ONE };

struct change {
	uint64_t at_ns;
	enum select select;
	uint64_t which; /* SOME: in 1/10000; ONE: the site */
	struct traits traits;
};

/* A kind of mail. */
struct mail_class {
	char name[32];
	uint64_t share;      /* of all messages, in parts of the sum */
	uint64_t senders;
	uint64_t recipients; /* per message, each at a site of its own */
	uint64_t burst;      /* so many messages of one sender come at once */
	bool has_site;       /* all of it goes to one site */
	uint64_t site;
};

struct scenario {
	uint64_t seed;
	uint64_t messages;
	uint64_t arrival_ns;  /* they arrive evenly within; 0: all at once */
	uint64_t sites;
	uint64_t zipf;        /* exponent of the site mix, in millionths; 0: even */
	uint64_t adaptive;    /* policy */
	uint64_t whole_steps; /* of the classic window: as published, not as the program has them */
	uint64_t reuse;       /* sessions carry more than one message */
	uint64_t retry;       /* deferred mail comes again; else it ends (first attempts only) */
	uint64_t sessions;    /* of the transport */
	uint64_t initial, limit, cohorts;
	uint64_t minimal_backoff_ns, maximal_backoff_ns, lifetime_ns;
	uint64_t destinations; /* remembered when idle */
	uint64_t active_limit; /* messages in memory */
	uint64_t checks;       /* the scheduler's own invariants after each event: slow */
	struct window_feedback positive, negative;
	struct mail_class classes[SCENARIO_CLASSES_MAX];
	uint64_t class_count;
	struct change changes[SCENARIO_CHANGES_MAX];
	uint64_t change_count;
};

void scenario_init(struct scenario *scenario);

enum { SCENARIO_ERROR_SIZE = 200 };

/* Adds what a text says; on failure `reterr` says which line and why. */
MUST_USE enum err scenario_read(struct scenario *scenario, struct slice text,
	char reterr[SCENARIO_ERROR_SIZE]);

/* A small one with every kind of trouble, from a seed. */
void scenario_draw(struct scenario *scenario, uint64_t seed);

#endif
