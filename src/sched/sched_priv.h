/*
 * sched_priv.h - what the files of the scheduler share; see sched.h
 *
 * Where a destination stands:
 *
 *   want    of its transport: it can use one more session
 *   work    of the scheduler: a session of its is idle, and an entry may go
 *   wake    of the scheduler: mail that is parked for it is wanted in memory
 *   drain   of the scheduler: dead or refused, with entries that are to be given back
 *   timers  of its transport: dead or suspended until `due`, the earliest first
 *
 * dest_update() keeps the first two right and is called after every change of a destination.
 *
 * Threads: one.
 */
#ifndef OSTLER_SCHED_SCHED_PRIV_H
#define OSTLER_SCHED_SCHED_PRIV_H

#include "base/rand.h"
#include "sched/learn.h"
#include "sched/sched.h"

#include <sys/queue.h>
#include <uthash.h>

enum entry_state {
	ENTRY_WAITING,
	ENTRY_BUSY,
	ENTRY_PREFETCHED,
	ENTRY_DRAINED,
};

struct sched_entry {
	struct sched_job *job;
	enum entry_state state;
	bool is_single;
	bool explores; /* learn.h */
	uint32_t count, cap;
	uint32_t *numbers;
	TAILQ_ENTRY(sched_entry) link; /* of its job, while WAITING */
};

TAILQ_HEAD(entry_list, sched_entry);

/* One message at one destination; it lives while it has entries. */
struct sched_job {
	struct sched_message *message;
	struct sched_destination *destination;
	uint32_t entries; /* all that are not gone */
	bool is_listed;   /* in destination->jobs: it has waiting entries */
	struct entry_list waiting;
	TAILQ_ENTRY(sched_job) link;
	LIST_ENTRY(sched_job) message_link;
};

TAILQ_HEAD(job_list, sched_job);

struct text {
	char *dsn;
	char *reason;
	struct mono at; /* 0: not kept */
};

/* A message outside of memory; FETCHED when it is in no list. */
struct parked {
	uint64_t token;
	struct sched_destination *destination;
	bool is_fetched;
	TAILQ_ENTRY(parked) link;
	UT_hash_handle hh;
};

TAILQ_HEAD(parked_list, parked);

struct sched_destination {
	struct sched *sched;
	struct sched_transport *transport;
	char *nexthop;
	char *name;
	void *ctx;
	struct window window;
	struct learner learner;       /* adaptive only */
	struct job_list jobs;         /* in order of admission */
	uint32_t waiting;             /* entries */
	uint32_t entries;             /* all that are not gone */
	uint32_t prefetched;
	uint32_t opening, ready;      /* sessions */
	struct text dead;             /* why it is dead */
	struct text refused;          /* why what waits is given back; NULL: it is not */
	struct mono due;
	uint64_t probe_wait_ns;       /* before the next probe; 0: no failure since a success */
	struct parked_list parked;    /* the longest unused first */
	uint32_t parked_count, fetched_count;
	uint32_t holds;
	bool in_want, in_work, in_drain, in_timers, in_wake;
	TAILQ_ENTRY(sched_destination) wake_link;
	TAILQ_ENTRY(sched_destination) want_link, work_link, drain_link, timer_link;
	UT_hash_handle hh;            /* transport->destinations, by name */
	TAILQ_ENTRY(sched_destination) all_link;
};

TAILQ_HEAD(dest_list, sched_destination);

struct sched_transport {
	struct sched *sched;
	char *name;
	void *ctx;
	struct sched_limits limits;
	uint32_t sessions;
	bool is_dead;
	struct text dead;
	struct mono due;         /* dead until */
	struct mono not_before;  /* X10 */
	struct sched_destination *destinations;
	struct dest_list want;
	struct dest_list timers;
	bool in_want;
	TAILQ_ENTRY(sched_transport) want_link; /* sched->want */
	TAILQ_ENTRY(sched_transport) link;
};

TAILQ_HEAD(transport_list, sched_transport);

struct sched {
	struct sched_options options;
	struct transport_list transports;
	struct transport_list want;
	struct dest_list work;
	struct dest_list drain;
	struct dest_list wake;  /* their parked mail is wanted */
	struct parked *parked;  /* hash by token */
	struct rng rng;
	struct dest_list all;
	uint32_t destination_count;
	uint32_t dead_count;
	struct sched_counts counts;
	uint64_t recipients; /* in entries that are not gone */
	struct text drained; /* reason of the entry that sched_drain() gave last */
};

/* sched_dest.c */
struct sched_destination *dest_get(
	struct sched_transport *transport, struct slice nexthop, struct slice user);
bool dest_learns(const struct sched_destination *destination);
void dest_update(struct sched_destination *destination);
void dest_kill(struct sched_destination *destination, struct slice dsn, struct slice reason,
	struct mono now);
void dest_revive(struct sched_destination *destination);
void dest_probe(struct sched_destination *destination);
void dest_suspend(struct sched_destination *destination, struct mono now);
void dest_drain(struct sched_destination *destination);
void dest_free(struct sched_destination *destination);
bool transport_may_work(const struct sched_transport *transport, struct mono now);
void text_set(struct text *text, struct slice dsn, struct slice reason);
void text_clear(struct text *text);
struct sched_reason text_view(const struct text *text);

/* sched_park.c */
void park_update(struct sched_destination *destination);
void park_free(struct sched_destination *destination);

/* sched_job.c */
struct sched_entry *job_first_waiting(struct sched_destination *destination);
void entry_stop_waiting(struct sched_entry *entry, enum entry_state to);
void entry_gone(struct sched_entry *entry, bool tell);

#endif
