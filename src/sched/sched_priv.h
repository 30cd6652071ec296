/*
 * sched_priv.h - what the files of the scheduler share; see sched.h
 *
 * Where a destination stands:
 *
 *   want    of its transport: it can use one more session
 *   work    of the scheduler: a session of its is idle, and an entry may go
 *   wake    of the scheduler: mail that is parked for it is wanted in memory
 *   recall  of the scheduler: a sender who has just come waits behind prefetched mail of others
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

/* As most next hops are: a look-up then needs no further line of memory. */
enum { SHORT_NAME = 32 };

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
	uint32_t one;      /* where `numbers` points to while they are not more */
	uint32_t *numbers;
	bool is_recalled;
	void *ctx;
	TAILQ_ENTRY(sched_entry) link; /* WAITING: of its job; PREFETCHED: destination->ahead */
};

TAILQ_HEAD(entry_list, sched_entry);

struct flow_key {
	struct sched_destination *destination;
	uint64_t class;
};

/* One message at one destination; it lives while it has entries. */
struct sched_job {
	struct sched_message *message;
	struct sched_destination *destination;
	struct sched_destination *home; /* as routed; another where that is a member of a site */
	struct flow *flow; /* in whose list it is; NULL: it has no waiting entries */
	uint32_t entries;  /* all that are not gone */
	struct entry_list waiting;
	TAILQ_ENTRY(sched_job) link;
	LIST_ENTRY(sched_job) message_link;
	/* Rules P. */
	uint32_t read, selected; /* entries made, and taken */
	int64_t avail, used;     /* slots */
	struct sched_job *parent; /* whom it pre-empted */
	uint32_t level;
	bool has_overtaken;      /* it stands where it did so */
	LIST_HEAD(, sched_job) children;
	LIST_ENTRY(sched_job) sibling;
	struct job_size *size;   /* NULL: it is no candidate */
	TAILQ_ENTRY(sched_job) size_link;
};

TAILQ_HEAD(job_list, sched_job);

/* The jobs of a flow that have not begun and have so many entries, oldest first. */
struct job_size {
	uint32_t entries;
	struct job_list jobs;
	TAILQ_ENTRY(job_size) link;
};

/* The waiting mail of one sender at one destination (sched_flow.c). */
struct flow {
	struct flow_key key;
	bool is_own;   /* destination->own */
	uint8_t level; /* enum sched_level */
	bool is_fresh; /* it was not served yet */
	bool is_sized; /* jobs that may pre-empt are in `sizes` */
	struct job_list jobs;                /* the first one is the current one (S10) */
	TAILQ_HEAD(, job_size) sizes;        /* the smallest first */
	TAILQ_ENTRY(flow) link;              /* the destination's list of its level */
	UT_hash_handle hh;                   /* sched->flows, unless is_own */
};

TAILQ_HEAD(flow_list, flow);

struct text {
	char *dsn;
	char *reason;
	struct mono at; /* 0: not kept */
};

/* A message outside of memory; FETCHED when it is in no list. */
struct parked {
	uint64_t token;
	struct parked_group *group;
	bool is_fetched;
	TAILQ_ENTRY(parked) link;
	UT_hash_handle hh;
};

TAILQ_HEAD(parked_list, parked);

/* The tokens of one sender at one destination; it lives while it has any. */
struct parked_group {
	struct flow_key key;
	struct parked_list parked; /* but for FETCHED ones: the longest unused first */
	uint32_t count;            /* with those */
	TAILQ_ENTRY(parked_group) link; /* destination->groups, while `parked` is not empty */
	UT_hash_handle hh;         /* sched->groups */
};

TAILQ_HEAD(group_list, parked_group);

/* What nearly every decision looks at stands first: of a million of them few are in a cache. */
struct sched_destination {
	char *name;
	char *nexthop;                /* `name`, unless that has a user */
	uint32_t name_len, nexthop_len;
	uint64_t hash;                /* of the name */
	char short_name[SHORT_NAME];  /* where `nexthop` points to if that is short */
	struct sched *sched;
	struct sched_transport *transport;
	void *ctx;
	struct sched_limits *own_limits; /* NULL: the transport's */
	struct sched_destination *site; /* of which it is a member (sched_site.c); NULL: of none */
	uint32_t waiting;             /* entries */
	uint32_t waiting_recipients;
	uint32_t entries;             /* all that are not gone */
	uint32_t prefetched;
	uint32_t opening, ready;      /* sessions */
	bool in_want, in_work, in_drain, in_timers, in_wake, in_recall, in_paced;
	bool is_steady_turn;
	uint8_t turn;                 /* counts what is taken */
	bool is_stale;                /* its mail waits here although it is a member */
	bool is_held;                 /* until paced_until, by sched_destination_suspend() */
	struct window window;
	struct group_list groups;     /* of parked mail; senders take turns */
	struct flow_list fresh, steady; /* of normal mail */
	struct flow_list urgent, bulk;
	struct flow own;              /* the only one, as a rule; else others are in sched->flows */
	uint32_t flow_count;          /* of those */
	struct learner learner;       /* adaptive only */
	TAILQ_ENTRY(sched_destination) want_link, work_link, drain_link, timer_link;
	struct text refused;          /* why what waits is given back; NULL: it is not */
	struct text dead;             /* why it is dead */
	struct mono due;
	struct entry_list ahead;      /* the prefetched entries, as they were given out */
	uint32_t recalls;             /* so many of them are wanted back */
	struct mono paced_until;      /* a rate: nothing is taken before */
	uint64_t slow_ns;             /* of each transaction until slow_until; 0: not slowed */
	struct mono slow_until;
	struct text act;              /* why it is held or slowed */
	uint64_t probe_wait_ns;       /* before the next probe; 0: no failure since a success */
	uint32_t parked_count, fetched_count;
	uint32_t holds;
	uint64_t clogged_us;          /* when that was told last; 0: never */
	struct mono bound_until;      /* a member: what is known of its hosts */
	uint64_t hosts_version;       /* what its key was when it had one last */
	char *site_key;               /* it is a site; NULL: it is none */
	LIST_HEAD(, sched_destination) members;
	uint32_t member_count;
	LIST_ENTRY(sched_destination) member_link;
	UT_hash_handle by_key;        /* transport->sites */
	TAILQ_ENTRY(sched_destination) paced_link, recall_link, wake_link, all_link;
};

TAILQ_HEAD(dest_list, sched_destination);

/*
 * Destinations by name (sched_table.c): with a million of them a look-up is one line of memory here
 * and one of the destination, where a chained table has several of each.
 */
struct dest_slot {
	uint64_t hash;
	struct sched_destination *destination; /* NULL: free */
};

struct dest_table {
	struct dest_slot *slots;
	size_t count, cap; /* cap: 0 or a power of two */
};

struct sched_transport {
	struct sched *sched;
	char *name;
	void *ctx;
	struct sched_limits limits;
	uint32_t sessions;
	uint32_t busy;           /* transactions */
	bool is_dead;
	struct text dead;
	struct mono due;         /* dead until */
	struct mono not_before;  /* X10 */
	struct dest_table destinations;
	struct sched_destination *sites; /* hash by key: those that are one */
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
	struct dest_list paced;  /* the earliest first */
	struct dest_list recall; /* a prefetch of theirs is wanted back */
	struct dest_list wake;  /* their parked mail is wanted */
	struct flow *flows;     /* hash by key */
	struct parked *parked;  /* hash by token */
	struct parked_group *groups; /* hash by key */
	struct rng rng;
	struct dest_list all;
	struct sched_destination *clogged; /* to be told, or NULL */
	uint32_t destination_count;
	uint32_t dead_count;
	struct sched_counts counts;
	uint64_t recipients; /* in entries that are not gone */
	struct text drained; /* reason of the entry that sched_drain() gave last */
};

/* sched_table.c */
struct sched_destination *dest_table_find(
	const struct dest_table *table, uint64_t hash, struct slice name);
void dest_table_add(struct dest_table *table, struct sched_destination *destination);
void dest_table_remove(struct dest_table *table, const struct sched_destination *destination);
void dest_table_done(struct dest_table *table);

/* sched_dest.c */
struct sched_destination *dest_get(
	struct sched_transport *transport, struct slice nexthop, struct slice user);
bool dest_learns(const struct sched_destination *destination);
const struct sched_limits *dest_limits(const struct sched_destination *destination);
void dest_set_limits(struct sched_destination *destination);
void dest_pace(struct sched_destination *destination, uint32_t recipients, struct mono now);
void dest_step_paced(struct sched *sched, struct mono now);
void dest_refresh(struct sched_destination *destination);
void dest_recall(struct sched_destination *destination);
void dest_update(struct sched_destination *destination);
void dest_kill(struct sched_destination *destination, struct slice dsn, struct slice reason,
	struct mono now);
void dest_revive(struct sched_destination *destination);
void dest_probe(struct sched_destination *destination);
/* What waits is drained with that reason; nothing else happens. */
void dest_give_back(struct sched_destination *destination, struct slice dsn, struct slice reason);
void dest_suspend(struct sched_destination *destination, struct mono now);
void dest_drain(struct sched_destination *destination);
void dest_free(struct sched_destination *destination);
bool transport_may_work(const struct sched_transport *transport, struct mono now);
void text_set(struct text *text, struct slice dsn, struct slice reason);
void text_clear(struct text *text);
struct sched_reason text_view(const struct text *text);
struct slice dest_name(const struct sched_destination *destination);
struct slice dest_nexthop(const struct sched_destination *destination);

/* sched_site.c */
struct sched_destination *site_of(struct sched_destination *home); /* where its mail waits */
void site_unbind(struct sched_destination *member);      /* it is stale */
void site_expire(struct sched_destination *home, struct mono now);
void site_leave(struct sched_destination *destination); /* with its members: all are alone */
void site_forget(struct sched_destination *destination); /* it has no mail and goes */
void site_check(const struct sched_destination *destination);

/* sched_park.c */
void park_update(struct sched_destination *destination);
void park_free(struct sched_destination *destination);
void park_move(struct sched_destination *from, struct sched_destination *to);
bool park_has(struct sched_destination *destination, uint64_t class); /* not FETCHED */

/* sched_flow.c */
void flow_init(struct sched_destination *destination);
/* It has one more waiting entry. True: that is the only one of its sender. */
bool flow_list_job(struct sched_job *job);
void flow_unlist_job(struct sched_job *job);
bool flow_exists(struct sched_destination *destination, uint64_t class);
void flow_forget_entry(struct sched_job *job); /* one goes that was not taken */
struct sched_job *flow_find_job(struct sched_destination *destination,
	const struct sched_message *message, const struct sched_destination *home);
struct sched_entry *flow_first_entry(const struct sched_destination *destination);
/* The entry that is to be taken now; NULL: none waits. */
struct sched_entry *flow_select(struct sched_destination *destination, struct mono now);
uint32_t flow_check(const struct sched_destination *destination); /* waiting entries */

/* sched_job.c */
void entry_starts(struct sched_entry *entry); /* it is a transaction from now on */
void entry_ends(struct sched_entry *entry, struct mono now);
void entry_not_ahead(struct sched_entry *entry);
void entry_stop_waiting(struct sched_entry *entry, enum entry_state to);
void entry_gone(struct sched_entry *entry, bool tell);
/* Its waiting entries wait in `to`; the job may be gone. */
void job_move_waiting(struct sched_job *job, struct sched_destination *to);

#endif
