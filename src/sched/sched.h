/*
 * sched.h - which destination gets a session, and which mail a session gets
 *
 * A message is added, each of its recipients is assigned to a destination (transport, queue name:
 * rule R52). Recipients of one message for one destination travel together in entries (R56). A
 * destination with more waiting entries than sessions that could take them wants one more session,
 * within its window; a session that is ready takes the next entry (late binding, S8). Results feed
 * the window (W5 to W13). Within a destination senders take turns (sched_message_set_class()); the
 * mail of one stands in jobs (one message for one destination), in the order of admission (S21) but
 * for small jobs that pre-empt large ones (P).
 *
 *   entry:  WAITING --take--> BUSY --finish--> gone
 *              |  ^             |
 *              |  `---return----+   (S23: no attempt, no event)
 *              |  `---return---+
 *              +--take--> PREFETCHED --begin--> BUSY
 *              `--drain, failed session--> DRAINED --drop--> gone
 *
 *   WAITING     one of its destination's queue
 *   PREFETCHED  given to a session behind its transaction; not busy, can be returned
 *   BUSY        a transaction; counts in the window until finish or return
 *   DRAINED     its destination is dead or refused: the caller defers or bounces it and drops it
 *
 * Ownership: struct sched_message is embedded by the caller and must stay until its references are
 *            0. Entries belong to the scheduler and are valid until finish, drop or return. A
 *            destination is valid while it has an entry or a session (else it may be dropped, W16).
 * Callbacks: message_done only; it must not call back into the scheduler.
 * Cost:      every call is O(1) amortised, but for those said otherwise.
 * Errors:    none; misuse is a CHECK. Threads: pure.
 */
#ifndef OSTLER_SCHED_SCHED_H
#define OSTLER_SCHED_SCHED_H

#include "base/clock.h"
#include "base/slice.h"
#include "sched/window.h"

#include <sys/queue.h>

struct sched;
struct sched_transport;
struct sched_destination;
struct sched_entry;
struct sched_job;
struct sched_limits;

/* Embedded in the caller's message; its fields are private. */
struct sched_message {
	void *owner;
	uint64_t admitted;  /* jobs of one destination and class stand in this order */
	uint64_t class;
	uint8_t level;      /* enum sched_level */
	uint32_t unread;
	uint32_t refs;      /* entries that are not gone */
	uint32_t recipients; /* in these */
	bool is_removed;
	LIST_HEAD(, sched_job) jobs;
};

struct sched_options {
	uint32_t session_max;     /* over all transports; 0: none */
	uint32_t destination_max; /* W16: above it empty ones are forgotten; 0: never */
	uint64_t dead_ns;         /* minimal_backoff_time: how long one stays dead (W14) */
	/*
	 * scheduler_concurrency_policy = adaptive: a dead destination is probed with one session
	 * after probe_first_ns, then after waits that double up to probe_max_ns, plus jitter.
	 */
	bool is_adaptive;
	uint64_t probe_first_ns, probe_max_ns;
	uint64_t seed;            /* of the jitter */
	uint32_t clog_max;        /* W21: entries of a destination worth a warning; 0: never */
	uint64_t clog_ns;         /* between two of them */
	uint64_t transport_dead_ns; /* transport_retry_time (X1) */
	/*
	 * Changes a transport's limits for one of its next hops (destination_settings_maps); false:
	 * they hold. Asked for a new destination and in sched_transport_set(). May be NULL.
	 */
	bool (*settings)(void *ctx, struct sched_transport *transport, struct slice nexthop,
		struct sched_limits *limits);
	/* refs are 0; may be NULL */
	void (*message_done)(void *ctx, struct sched_message *message);
	void *ctx;
};

/* Rules P: what a small job pays for overtaking a large one. */
struct sched_slots {
	uint32_t cost;     /* entries of the large one for each of the small one; < 2: never */
	uint32_t loan;     /* so many of the small one at once */
	uint32_t discount; /* percent of what the small one needs */
	uint32_t min;      /* times cost: entries that make a job large */
};

struct sched_limits {
	uint32_t recipient_max;        /* per entry (K8); 0: none */
	bool has_recipient_queues;     /* and if that is 1: a queue per recipient (R52) */
	uint32_t session_max;          /* of the transport (its process limit); 0: none */
	uint64_t rate_delay_ns;        /* destination rate delay (W20) */
	uint64_t rate_ns;              /* of each transaction at a destination; 0: no limit */
	uint64_t recipient_rate_ns;    /* of each recipient */
	uint64_t transport_rate_delay_ns; /* X10: not 0: one transaction at a time */
	/*
	 * Z41: recipients that may wait for one of its destinations in memory; beyond that senders
	 * who have mail there are parked, beyond twice that all are. 0: any number.
	 */
	uint32_t share_max;
	struct sched_slots slots;
	struct window_options window;  /* has_rate_delay is set from rate_delay_ns */
};

struct sched *sched_new(const struct sched_options *options);
void sched_free(struct sched *sched); /* messages and sessions need not be gone */
void sched_set_options(struct sched *sched, const struct sched_options *options);

/* --- transports ------------------------------------------------------------------------------- */

/* Makes a transport or changes its limits and its destinations' (their windows stay). */
struct sched_transport *sched_transport_set(struct sched *sched, struct slice name,
	const struct sched_limits *limits, void *ctx);
void *sched_transport_ctx(const struct sched_transport *transport);
struct slice sched_transport_name(const struct sched_transport *transport);

/* X1 to X3: nothing is granted until its timer; its waiting entries come out of sched_drain(). */
void sched_transport_fail(struct sched *sched, struct sched_transport *transport,
	struct slice dsn, struct slice reason, struct mono now);

/* --- messages --------------------------------------------------------------------------------- */

/* Begins a round: no references yet. `admitted_us`: now; of one class it orders messages. */
void sched_message_add(struct sched_message *message, void *owner, uint64_t admitted_us);

/*
 * Behind sched_message_add(), where senders are to take turns: whose message it is. Without it all
 * are of class 0.
 */
void sched_message_set_class(struct sched_message *message, uint64_t class);

/*
 * Behind that: at a destination URGENT mail goes first and BULK mail last, though never all of the
 * time: of eight turns in a row where all wait normal mail has one at least, and bulk mail one.
 */
enum sched_level { SCHED_NORMAL, SCHED_URGENT, SCHED_BULK };
void sched_message_set_level(struct sched_message *message, enum sched_level level);

/* So many of its recipients may still be assigned: it is larger than it looks (P13). */
void sched_message_set_unread(struct sched_message *message, uint32_t recipients);

/* Entries that are waiting, given out or drained; 0: nothing is in flight. */
uint32_t sched_message_refs(const struct sched_message *message);

/* Recipients in these entries; and in those of all messages. */
uint32_t sched_message_recipients(const struct sched_message *message);
uint64_t sched_recipients(const struct sched *sched);

/*
 * Its waiting entries go at once, without message_done; those given out go when they are finished
 * or returned, with it. O(waiting entries of the message).
 */
void sched_message_remove(struct sched *sched, struct sched_message *message);

struct sched_assign {
	struct sched_transport *transport;
	struct slice nexthop;
	struct slice user;  /* local part: names the queue if each recipient has one */
	uint32_t number;    /* of the recipient */
	bool is_single;     /* V4: no other recipient in its entry */
	bool may_be_parked; /* it can wait outside of memory (Z41): not one that came from there */
};

/* Why something does not travel; valid until the next call that changes the scheduler. */
struct sched_reason {
	struct slice dsn;
	struct slice text;
	struct mono at; /* when that was found out; 0: just now */
	struct sched_destination *dead; /* whose death it is; NULL: something else's */
	/* It lives, but has too much in memory: nothing was tried, nothing is to be said. */
	struct sched_destination *crowded;
};

/*
 * R50 to R56. True: it waits for its destination. False: transport or destination are dead (R51,
 * R54); the caller defers the recipient with *ret_dead, or parks it where that is crowded.
 */
MUST_USE bool sched_recipient_assign(struct sched *sched, struct sched_message *message,
	const struct sched_assign *assign, struct sched_reason *ret_dead);

/* W21: a destination that uses up more than it should, once in a while; NULL: none. */
struct sched_destination *sched_clogged(struct sched *sched);

/* --- sessions --------------------------------------------------------------------------------- */

/*
 * A destination that wants one more session (S3 to S5), round robin over transports and within
 * each,
 * or NULL. The session counts as opening from now on: report ready, failed or closed.
 */
struct sched_destination *sched_session_next(struct sched *sched, struct mono now);

/* The opening session can take entries. */
void sched_session_ready(struct sched *sched, struct sched_destination *destination);

/*
 * The opening session could not be had, and the site is to blame (W8). The first waiting entry is
 * the attempt that failed: it is returned, DRAINED, to be deferred with the session's own reason.
 * NULL: nothing waits, or (adaptive) other sessions of it work and the message goes on waiting. If
 * the destination died of it, the others come out of sched_drain().
 */
struct sched_entry *sched_session_failed(struct sched *sched,
	struct sched_destination *destination, struct slice dsn, struct slice reason,
	struct mono now);

/* It ended, or was given up while opening. Its entries are finished or returned. */
void sched_session_closed(
	struct sched *sched, struct sched_destination *destination, bool was_ready);

/*
 * A destination that has a session without transaction, a waiting entry and room for it, or NULL.
 * The same one may come again until sched_take() was called for it.
 */
struct sched_destination *sched_work_next(struct sched *sched, struct mono now);

/*
 * The next entry for a ready session: BUSY, or PREFETCHED when the session has a transaction. NULL:
 * nothing waits, the window is full, the destination is dead or suspended; for a prefetch also:
 * what
 * waits is enough for sessions that are idle or opening only.
 */
struct sched_entry *sched_take(struct sched *sched, struct sched_destination *destination,
	bool prefetch, struct mono now);

/* --- entries ---------------------------------------------------------------------------------- */

struct sched_message *sched_entry_message(const struct sched_entry *entry);
void *sched_entry_owner(const struct sched_entry *entry); /* of its message */
struct sched_destination *sched_entry_destination(const struct sched_entry *entry);
bool sched_entry_is_prefetched(const struct sched_entry *entry);

/* Their numbers, in the order of assignment; borrowed. */
const uint32_t *sched_entry_recipients(const struct sched_entry *entry, uint32_t *ret_count);

/* The transaction before it has ended, so a PREFETCHED entry becomes BUSY; BUSY: no-op. */
void sched_entry_begin(struct sched *sched, struct sched_entry *entry);

/* A place for the caller, NULL at first. */
void sched_entry_set_ctx(struct sched_entry *entry, void *ctx);
void *sched_entry_ctx(const struct sched_entry *entry);

/*
 * A PREFETCHED entry that should be returned, if it has not begun, because a sender who has just
 * come would wait behind it; each is told once. NULL: none.
 */
struct sched_entry *sched_recall_next(struct sched *sched);

/* S23: back to where it was, first of its job; of a removed message: gone. */
void sched_entry_return(struct sched *sched, struct sched_entry *entry);

/*
 * Its result came (also of a PREFETCHED one: it has begun by itself). `site_works`: W5; else W8
 * with
 * dsn and reason, and the destination may die: sched_drain() then has what waits.
 */
void sched_entry_finish(struct sched *sched, struct sched_entry *entry, bool site_works,
	struct slice dsn, struct slice reason, struct mono now);

/* A DRAINED entry was dealt with. */
void sched_entry_drop(struct sched *sched, struct sched_entry *entry);

/* Whose it is, as routed: another than that of the session where that is a member of a site. */
struct sched_destination *sched_entry_home(const struct sched_entry *entry);

/* --- sites ------------------------------------------------------------------------------------ */

/*
 * Policy adaptive: destinations of a transport with the same hosts are one site. Their mail waits
 * in one of them, takes turns there, and shares sessions, window, health and rates. `key` names
 * what they must have in common (hosts, port, settings); empty: nobody knows, it stands alone.
 * Returns where its mail waits from now on: `destination` itself, or the one that had these hosts
 * before. Entries that are given out stay where they are. After `until` its mail waits in itself
 * again, so that it wants a session, whose hosts are looked up. Classic: always itself.
 * O(what waits) when its site changes.
 */
struct sched_destination *sched_destination_bind(struct sched *sched,
	struct sched_destination *destination, struct slice key, struct mono until);

/* Another number when it has other hosts than before: sessions of before carry nothing more. */
uint64_t sched_destination_version(const struct sched_destination *destination);

/* Where its mail waits. */
struct sched_destination *sched_destination_site(struct sched_destination *destination);

/* The others whose site it is; NULL starts, NULL ends. No changes meanwhile. */
struct sched_destination *sched_destination_member(
	const struct sched_destination *site, const struct sched_destination *previous);

/* --- destinations ----------------------------------------------------------------------------- */

struct slice sched_destination_nexthop(const struct sched_destination *destination);
struct slice sched_destination_name(const struct sched_destination *destination); /* R52 */
struct sched_transport *sched_destination_transport(const struct sched_destination *destination);

/* A place for the caller, NULL at first; forgotten with the destination. */
void sched_destination_set_ctx(struct sched_destination *destination, void *ctx);
void *sched_destination_ctx(const struct sched_destination *destination);

/*
 * The destination cannot be delivered to now, though no site is to blame (a domain that does not
 * exist, a bad next hop): what waits comes out of sched_drain() with this reason, and the window
 * stays as it is.
 */
void sched_destination_refuse(struct sched *sched, struct sched_destination *destination,
	struct slice dsn, struct slice reason);

/*
 * What a reply or an operator wants of a site for a time; `why` is kept for its status. A suspended
 * one begins nothing and its mail waits; a slowed one takes a transaction in rate_ns at most; one
 * that backs off is dead until then. Nothing but time and reset ends them.
 */
void sched_destination_suspend(struct sched_destination *destination, struct slice why,
	struct mono until);
void sched_destination_slow(struct sched_destination *destination, struct slice why,
	uint64_t rate_ns, struct mono until);
void sched_destination_back_off(struct sched_destination *destination, struct slice dsn,
	struct slice why, struct mono now, struct mono until);
/* Ends all of that; a dead one is probed, or (classic) lives. */
void sched_destination_reset(struct sched_destination *destination);

/*
 * The next waiting entry of a dead or refused destination, DRAINED, with the reason (W17: "delivery
 * temporarily suspended: ..."), or NULL. The caller defers or bounces it and calls
 * sched_entry_drop().
 */
struct sched_entry *sched_drain(struct sched *sched, struct sched_reason *ret_reason);

/*
 * X12: revives every dead transport and destination; adaptive: lets all dead ones be probed
 * at once. Hosts of members of sites are looked up again. O(destinations).
 */
void sched_flush(struct sched *sched);

/* X13, R50, R53: the same for one; an unknown one is a no-op. */
void sched_flush_destination(struct sched *sched, struct sched_transport *transport,
	struct slice nexthop, struct slice user);

/* --- parked mail ------------------------------------------------------------------------------ */

/*
 * A message all of whose recipients wait for one destination that is dead, or lives and is crowded,
 * needs no place in memory: the caller forgets it and leaves a token here. Tokens come back one for
 * each probe, those first that have not been used longest, and all when the destination lives, at
 * the pace of its window. Senders (classes) take turns.
 *
 *   (none) --sched_park()--> PARKED --sched_unpark()--> FETCHED --sched_unparked()--> (none)
 *                               `----------------sched_unparked()-----------------------^
 */

/* Whether mail for it is refused, but for a probe. */
bool sched_destination_is_dead(const struct sched_destination *destination);

/* It is dead, or may be about to die: nothing has worked since its last failure. */
bool sched_destination_is_failing(const struct sched_destination *destination);

/* It is not forgotten until it is released as often. */
void sched_destination_hold(struct sched_destination *destination);
void sched_destination_release(struct sched_destination *destination);

/* A token that is there already moves. */
void sched_park(struct sched *sched, struct sched_destination *destination, uint64_t class,
	uint64_t token);

/* Whether there is such a token. */
bool sched_is_parked(struct sched *sched, uint64_t token, bool *ret_is_fetched);

/* A message to be assigned, or dealt with otherwise, now; false: none. */
MUST_USE bool sched_unpark(struct sched *sched, uint64_t *ret_token);

/* That is done, or it came back by another way. An unknown token is a no-op. */
void sched_unparked(struct sched *sched, uint64_t token);

/* Any one, at the end of the process; false: none is left. */
MUST_USE bool sched_park_empty(struct sched *sched, uint64_t *ret_token);

/* --- time and status -------------------------------------------------------------------------- */

/* Dead ones whose timer is due revive (W15), suspended ones resume (W20). */
void sched_step(struct sched *sched, struct mono now);

/* When sched_step() has to be called; UINT64_MAX: no timer. O(transports). */
struct mono sched_due(const struct sched *sched);

struct sched_counts {
	uint32_t destinations;
	uint32_t dead;
	uint32_t waiting;   /* entries */
	uint32_t busy;
	uint32_t prefetched;
	uint32_t sessions;  /* opening ones too */
	uint32_t opening;
	uint32_t parked;    /* tokens, FETCHED ones too */
};
void sched_counts(const struct sched *sched, struct sched_counts *ret_counts);

/* The few numbers that a check after each decision wants. */
struct sched_load {
	uint32_t limit; /* the window */
	uint32_t busy;
	uint32_t sessions;
};
void sched_destination_load(
	const struct sched_destination *destination, struct sched_load *ret_load);

struct sched_status {
	struct sched_transport *transport;
	struct slice name;
	struct slice nexthop;
	enum window_state state;
	uint32_t limit;     /* the window */
	uint32_t limit_max; /* of it; 0: none */
	int64_t success, failure; /* W18: sums of feedback, in WINDOW_UNIT */
	uint64_t cohorts;         /* failed in sequence, in WINDOW_UNIT */
	uint32_t busy;
	uint32_t waiting;
	uint32_t prefetched;
	uint32_t sessions;
	uint32_t opening;
	uint32_t parked;
	uint32_t members;   /* other destinations whose site it is */
	struct sched_reason dead; /* empty unless dead */
	struct mono due;    /* its timer, if dead or suspended */
	struct mono held_until; /* sched_destination_suspend(); 0: it is not */
	struct mono slow_until; /* sched_destination_slow(); 0: it is not */
	uint64_t slow_ns;
	struct slice act;       /* why it is either */
};
void sched_destination_status(
	const struct sched_destination *destination, struct sched_status *ret_status);

/* Iterates all destinations, in no special order; NULL starts, NULL ends. No changes meanwhile. */
struct sched_destination *sched_destination_next(
	const struct sched *sched, const struct sched_destination *previous);

/* CHECKs every invariant. O(everything): tests and simulation. */
void sched_check(const struct sched *sched);

#endif
