/*
 * core_priv.h - what the files of the queue manager's core share; see core.h
 *
 * Threads: one. Nothing outside src/qmgr/core's files, its unit tests and the look that the
 *          simulation's model takes includes this.
 */
#ifndef OSTLER_QMGR_CORE_PRIV_H
#define OSTLER_QMGR_CORE_PRIV_H

#include "base/rand.h"
#include "message/address.h"
#include "message/dsn.h"
#include "message/envelope.h"
#include "message/queue_id.h"
#include "message/recipient_list.h"
#include "message/report.h"
#include "message/state.h"
#include "qmgr/core.h"
#include "sched/sched.h"

#include <sys/queue.h>
#include <uthash.h>

struct peer;
struct session;
struct lease;
struct intake;
struct change;
struct job;
struct host;
struct nexthop;
struct transport;
struct ptr_query;
struct import_key;
struct pace;
struct ended;
struct snapshot;

/*
 * A message in memory. Transitions are made by message_move() (active.c) only:
 *
 *   LOADING --> LOCKED --> ACTIVE <--> SETTLING --> ENDING --> (gone)
 *      |           `-----> SUSPECT --^    |
 *      `------------------^               `--> (idle: unpinned)
 *
 *   LOADING   its bytes are being read from the log
 *   LOCKED    survivors still deliver it or have results for it (replaces rule F13)
 *   SUSPECT   a worker died with it; it waits to be tried alone
 *   ACTIVE    the scheduler has it
 *   SETTLING  nothing is in flight; results become durable, reports are made (rules D)
 *   ENDING    its DONE or its last STATE is being written
 */
enum message_phase {
	MESSAGE_LOADING,
	MESSAGE_LOCKED,
	MESSAGE_SUSPECT,
	MESSAGE_ACTIVE,
	MESSAGE_SETTLING,
	MESSAGE_ENDING,
};

/* What an operator wants of a message; done when nothing of it is in flight (done.c). */
enum message_wish {
	WISH_NONE,
	WISH_HOLD,
	WISH_RELEASE,
	WISH_REMOVE,
	WISH_REQUEUE,
	WISH_EXPIRE,
	WISH_EXPIRE_HELD,  /* the same, and on hold it is released for that */
	WISH_FLUSH,        /* with all or many others */
	WISH_FLUSH_ALONE,  /* by name: it revives its sites (rule F9) */
};

/*
 * The due time of an idle message that a flush of many asked for: a second into 1970, which nothing
 * else gives. Being the due time it outlives the message's stay in memory (rules M13, R48).
 */
#define DUE_FLUSHED_US US_PER_S

struct message {
	struct core *core;
	enum message_phase phase;
	store_ref ref;
	uint64_t queue_id;
	char id_text[QUEUE_ID_TEXT_SIZE];
	struct envelope envelope;            /* slices of the pinned bytes */
	struct slice envelope_bytes;
	struct slice head;
	uint64_t content_length;
	uint64_t content_hash;
	struct slice content_parts; /* sums of large content, as base/hash_parts.h has them */
	bool dotted;
	uint64_t large;                      /* number of its file, 0: content is in the journal */
	struct recipient_index recipients;   /* of the pinned bytes */
	/* Those from here on have not been given to the scheduler in this round (rule K11). */
	uint32_t unread;
	struct mono read_at;                 /* when the last ones were, or should have been */
	bool has_unread;                     /* in core->unread */
	struct state state;
	struct wall active_at;
	struct mono round_at;                /* when this round began */
	uint64_t turn_us;                    /* when it may expire; 0: it does not wait for that */
	uint32_t attempt;                    /* of the last lease given out */
	uint32_t leases;                     /* in flight */
	uint32_t locks;                      /* held by survivors */
	uint32_t changes;                    /* waiting for the journal */
	unsigned reports_failed;             /* in this round, bit = enum report_kind (D7, L44) */
	bool is_held;                        /* by an operator: wanted */
	bool is_flushed;                     /* defer_transports does not count (rule R48) */
	bool revives_sites;                  /* rule F9: its sites are alive again, once */
	bool has_died;                       /* a worker died with it in this round */
	bool is_untried;                     /* in this round something was not there */
	bool is_unserved;                    /* in this round nobody was there to try it */
	bool is_tried;                       /* something was attempted in this round */
	bool may_be_parked;                  /* where a site has too much in memory */
	bool is_looked_at;                   /* it is parked, and has no recipient in a queue */
	bool keeps_place;                    /* it is parked, and leaves memory */
	bool is_forced;                      /* too old, but untried: one attempt was forced */
	bool is_settling;                    /* in core->settling or core->reporting */
	bool waits_for_id;                   /* its report needs a queue ID */
	bool body_loading;
	bool body_missing;                   /* it could not be read (rule N33) */
	bool has_large_header;
	uint64_t list_bytes;                 /* what it counts in those of the core */
	struct buf large_header;             /* front of large content, for a report */
	/* A result that changed only reasons: the next change makes it durable. */
	core_peer owed_peer;
	uint32_t owed_attempt; /* 0: none */
	enum message_wish wish;
	struct job *job;                     /* whose wish it is; may be NULL */
	struct sched_message sched;
	/* Held: the first dead destination of this round, and how many recipients wait for it. */
	struct sched_destination *site;
	uint32_t site_count;
	uint32_t crowded_count; /* of these, that destination lives and is crowded */
	UT_hash_handle by_ref;
	TAILQ_ENTRY(message) link;           /* core->suspects, ->settling or ->reporting */
	TAILQ_ENTRY(message) unread_link;
};

TAILQ_HEAD(message_list, message);

enum session_phase {
	SESSION_RESOLVING, /* waits for the hosts of its next hop */
	SESSION_OPENING,   /* the worker connects */
	SESSION_IDLE,      /* ready, nothing to do */
	SESSION_BUSY,      /* a transaction is under way */
};

struct session {
	struct core *core;
	struct transport *transport;
	uint64_t number;
	enum session_phase phase;
	struct peer *peer; /* NULL while RESOLVING */
	struct sched_destination *destination;
	struct lease *lease;    /* what it works on */
	struct lease *prefetch; /* what waits behind it */
	bool is_closing;      /* the worker was told to end it */
	uint64_t hosts_version; /* of its destination when it was opened */
	UT_hash_handle by_number;
	LIST_ENTRY(session) peer_link;
	LIST_ENTRY(session) nexthop_link; /* while it waits for hosts */
	bool is_waiting;
	TAILQ_ENTRY(session) hungry_link;
	bool is_hungry;
	/* A transaction that takes long holds up nothing but itself (session.c). */
	struct mono begun;     /* the transaction under way */
	struct mono recall_at; /* when the prefetch is asked for again */
	TAILQ_ENTRY(session) recall_link; /* in `recalls` of the core, earliest first */
	bool is_recallable;
	bool is_slow; /* its last transaction was: no prefetch */
};

/* One transaction given out: the lease {queue ID, attempt}. */
TAILQ_HEAD(session_queue, session);

struct lease {
	struct message *message;
	uint32_t attempt;
	struct sched_entry *entry;  /* NULL: a survivor's, known from its inventory */
	struct session *session;    /* NULL: a survivor's */
	struct peer *peer;
	uint32_t *locked;           /* a survivor's: its recipient numbers */
	uint32_t locked_count;
	struct mono locked_at;      /* a survivor's: when it was named */
	bool is_sent;
	bool is_overdue;            /* it has been with its worker for too long */
	bool has_kept;              /* its result came while the message was being read */
	struct buf kept;            /* that frame's payload */
	LIST_ENTRY(lease) peer_link;
};

enum change_kind {
	CHANGE_RESULT, /* outcomes of one transaction */
	CHANGE_STATE,  /* the complete state */
	CHANGE_REPORT, /* reports and the marks they set */
	CHANGE_END,    /* the end of a message */
	CHANGE_REQUEUE, /* a copy under a new queue ID, and the end of the old one */
};

/* A report, or a copy, as a message of its own. */
struct change_report {
	struct store_message message; /* sizes; its parts are in the buffers */
	struct buf envelope, recipients, content;
	store_ref ref;
	uint64_t id;
	const char *words; /* for the log: "sender non-delivery" */
};

enum { CHANGE_REPORTS_MAX = 2 }; /* to the sender, and postmaster's copy */

/*
 * Something that must become durable. A change that the journal refuses (a failed flush, no room)
 * is tried again until it is taken; changes of one message never overtake each other in a way that
 * matters (results commute, everything else waits for message->changes == 0).
 */
struct change {
	struct core *core;
	enum change_kind kind;
	struct message *message;
	store_ref ref;
	struct buf payload;      /* of a RESULT or STATE */
	uint64_t due_us;
	uint32_t flags;
	size_t shared;           /* STATE: so many bytes at the end others may have, too; or 0 */
	bool is_hint;            /* STATE: nothing is finished; lost, it costs an attempt */
	bool is_end;             /* REPORT, RESULT: a DONE in the same batch */
	/* Who is told. */
	core_peer peer;
	uint64_t queue_id;
	uint32_t attempt;        /* RESULT: lease to acknowledge, 0: none */
	core_peer owed_peer;     /* the message's, taken over */
	uint32_t owed_attempt;
	struct change_report reports[CHANGE_REPORTS_MAX]; /* REPORT; REQUEUE: the copy */
	unsigned report_count;
	bool in_flight;
	bool is_overtaken;       /* the clock was set since its due time was thought out */
	bool is_stuck;           /* the journal can never take it */
	TAILQ_ENTRY(change) link;
};

TAILQ_HEAD(change_list, change);
TAILQ_HEAD(import_key_list, import_key);

struct peer {
	struct core *core;
	core_peer number;
	enum core_peer_kind kind;
	uint32_t pid;
	bool is_solo;    /* for suspects only */
	bool is_leaving; /* it takes no session any more: its process stops */
	bool is_survivor;        /* its inventory is not complete */
	bool is_condemned;       /* it came too late, and is to be killed */
	bool is_overdue;         /* a transaction hangs there: it gets no more, and ends */
	unsigned rights;         /* enum core_right */
	char *user;              /* for the log */
	struct mono inventory_by;
	uint32_t inventory_count;
	uint32_t session_count;
	struct intake *intakes;  /* hash by txn */
	enum ipc_intake_status told_state; /* intake: what it knows of whether mail is taken */
	int64_t credit;          /* intake: bytes it may send; the last frame may take more */
	uint32_t block_count;    /* intake: queue ID blocks on their way to it */
	uint32_t query_count;    /* intake: questions in core->unanswered */
	LIST_HEAD(, session) sessions;
	LIST_HEAD(, lease) leases;
	UT_hash_handle by_number;
};

/* What an intake asked of a message before all are known. */
struct query {
	STAILQ_ENTRY(query) link;
	core_peer peer;
	uint64_t queue_id;
	uint64_t txn;
};

enum copy_reason { COPY_NONE, COPY_MARKED, COPY_MACHINE, COPY_DIRECTORY };

/* Whether this queue is a copy whose mail waits. */
struct copy {
	uint64_t below; /* messages with lower queue IDs wait; 0: it is none, or was released */
	uint64_t since_us;
	uint64_t mark;  /* the last one that was heeded */
	enum copy_reason reason;
};

/* The wall clock beside boot time (clock_watch.c). */
struct clock_watch {
	uint64_t boot_us;  /* wall time at which the boot clock was 0 */
	struct mono back_at; /* boot time at which it was set back last; 0: never */
	bool is_pulling;   /* due times that are too far away are looked for */
	store_ref cursor;
};

/* Of how many messages' lifetime ended in this second of boot time (done.c). */
struct expiry {
	uint64_t second;
	uint64_t count;
	struct mono turn; /* of the next one that must wait */
};

/* Notices to the postmaster (postmaster.c). */
enum { POSTMASTER_RECENT_MAX = 32 };

struct postmaster_recent {
	uint64_t key; /* peer, side and classes */
	struct mono until;
};

struct postmaster {
	struct postmaster_recent recent[POSTMASTER_RECENT_MAX];
	struct mono free_at; /* when all that were sent are paid for */
	uint64_t held_back;  /* since the last one */
	bool said;           /* that any are */
	LIST_HEAD(, postmaster_mail) mails;
	struct buf waiting;  /* a frame that found no room, or empty */
};

struct core {
	struct core_options options;
	struct log *log;
	const struct config *config;
	struct rng rng;
	struct instant now;
	struct store *store;
	struct sched *sched;
	bool is_open;     /* new mail may come */
	bool is_complete; /* all messages are known */
	bool has_poison;  /* messages to be set aside may still come into the index */
	STAILQ_HEAD(, query) unanswered; /* about messages that may not be known yet */
	struct copy copy;
	struct snapshot *snapshot;   /* that a tool makes now, or NULL */
	struct upgrade {             /* the tool that waits for the journal's new format */
		core_peer peer;
		uint32_t request;
		uint16_t from;
	} upgrade;
	uint64_t epoch;              /* random: names this process */
	bool is_stopping;
	bool disk_is_low; /* core_disk_free() */
	bool queue_is_full; /* queue_message_limit was reached, and is not over yet */
	bool said_refuses; /* that new mail is refused; with disk_is_low that was said */
	bool is_dirty;               /* something may be granted or admitted */
	struct peer *peers;          /* hash by number */
	struct peer *resolver;
	uint32_t survivors_waiting;
	struct mono inventory_by;
	struct mono overdue_at;      /* no lease is too old before */
	struct mono missing_at;      /* when a transport without worker is looked at again */

	uint64_t floor_us;           /* time of the newest block of queue IDs */
	uint64_t own_next, own_end;  /* block for our own messages */
	bool own_asked;

	struct message *messages;    /* hash by ref */
	uint32_t active_count;       /* in memory, whatever their phase */
	uint32_t loading_count;
	uint64_t list_bytes;         /* of their lists of recipients, and of what became of those */
	struct message_list unread;  /* more recipients are to come, those read longest ago first */
	uint32_t read_budget;        /* recipients that may still be read in this step */
	struct message_list suspects;
	struct message *suspect;     /* the one that is being tried alone */
	struct message_list settling; /* to be looked at by done_step() */
	struct message_list reporting; /* those that wait for their turn to make a report */
	struct mono report_at;        /* when the next report may be made at full rate */
	struct wall trust_since;      /* attempts before this do not count for expiry */
	struct clock_watch clock;
	struct expiry expiry;
	bool ids_wanted;              /* a message waits for a queue ID of ours */

	uint64_t session_next;
	struct session *sessions;    /* hash by number */
	struct session_queue hungry; /* those that could take work */
	TAILQ_HEAD(, intake) roomless; /* mail for which a segment is being made, oldest first */
	TAILQ_HEAD(, intake) early;  /* mail of recipients whose message is still being read */
	struct session_queue recalls; /* those with a prefetch that was not asked for again */
	struct transport *transports; /* hash by name */
	struct host *hosts;          /* host_health.c: hash of those that failed lately */
	struct nexthop *nexthops;    /* hash by key */
	struct nexthop *queries;     /* those with an open question, hash by its number */
	uint64_t query_next;
	struct ptr_query *ptrs;

	struct pace *paces; /* hash by transport and next hop */
	struct mono paces_purged;

	uint32_t lease_count;
	uint32_t lock_count;
	struct change_list changes;  /* in flight, or refused */
	uint32_t change_count;
	uint32_t refused_count;      /* to be tried again at retry_at */
	struct mono retry_at;

	struct import_key *import_keys; /* hash by text */
	struct import_key_list import_order; /* those that are durable, oldest first */
	uint32_t import_count;       /* of them */

	struct ended *ended;         /* hash by queue ID: messages that ended a moment ago */
	STAILQ_HEAD(, ended) ended_order;
	struct mono ended_until;

	struct postmaster postmaster;

	LIST_HEAD(, job) jobs;       /* control requests */
	uint32_t job_count;

	uint64_t accepted, delivered, deferred, bounced, removed; /* since the start, for status */
};

/* core.c */
bool core_accepts(const struct core *core); /* there is room for new mail */
enum ipc_intake_status core_intake_state(const struct core *core);
const char *core_trouble(const struct core *core); /* why there is not; NULL: there is */
void core_mark(struct core *core); /* something changed: grant and admit in this step */
struct peer *core_peer_find(struct core *core, core_peer number);
void core_boundary(struct core *core, const char *name);
bool core_plant_rule_is_on(const struct core *core, enum core_plant_rule rule);
bool core_may_deliver(const struct core *core); /* all inventories are in */
#define SEND(core, peer, type, ...) \
	(core)->options.out->send((core)->options.ctx, (peer), IPC_TYPE_##type, \
		&(const struct ipc_##type){ __VA_ARGS__ })

/* intake.c */
void intake_hello(struct peer *peer);
/* Tells those who bring mail whether it is taken, if that has changed. */
void intake_tell_state(struct core *core);
void intake_id_request(struct peer *peer, const struct ipc_id_request *request);
void intake_part(struct peer *peer, const struct ipc_intake_data *data);
void intake_commit(struct peer *peer, const struct ipc_intake_commit *commit);
void intake_abort(struct peer *peer, const struct ipc_intake_abort *abort);
void intake_query(struct peer *peer, const struct ipc_intake_query *query);
void intake_peer_gone(struct peer *peer);
void intake_step(struct core *core); /* returns credit of large contents */
uint64_t intake_own_id(struct core *core); /* 0: none yet, ask again */
/* All of them or none: false. */
bool intake_own_ids(struct core *core, unsigned count, uint64_t *ret_ids);
void intake_complete(struct core *core); /* answers what was asked before all was known */
void intake_forget(struct core *core);
uint64_t intake_next_time_us(const struct core *core); /* of the next block of queue IDs */
void intake_read_floor(struct core *core);
void intake_open(struct core *core);

void intake_ids_came(struct core *core);

/* postmaster.c */
void postmaster_frame(struct peer *peer, const struct ipc_notice *notice);
void postmaster_step(struct core *core); /* what found no room is sent when there is some */
void postmaster_free(struct core *core);

/* import_key.c */
enum import_key_fate {
	IMPORT_KEY_NEW,   /* taken; to be ended by keep or drop */
	IMPORT_KEY_BUSY,  /* another message with it is not durable yet */
	IMPORT_KEY_KNOWN, /* *ret_other has it */
};
enum import_key_fate import_key_claim(struct core *core, struct slice text, uint64_t queue_id,
	struct import_key **ret_key, uint64_t *ret_other);
void import_key_keep(struct core *core, struct import_key *key); /* its message is durable */
void import_key_drop(struct core *core, struct import_key *key); /* its message is not */
void import_key_free_all(struct core *core);

/* poison.c */
void poison_open(struct core *core);
void poison_step(struct core *core);
void poison_working(struct core *core, uint64_t queue_id);
bool poison_is(struct core *core, uint64_t queue_id); /* nobody looks into it */

/* copy.c */
void copy_open(struct core *core); /* before the first queue ID is leased */
bool copy_holds(const struct core *core, uint64_t queue_id);
const char *copy_reason(const struct core *core); /* "": it is none, or was released */
/* Tries to end it; the job is owed until that is known, and if it failed asks again. */
void copy_release(struct core *core, struct job *job);

/* snapshot.c */
/* NULL: it will be answered; else what is wrong, and the exit code for it. */
const char *snapshot_request(
	struct peer *peer, const struct ipc_control_request *request, uint8_t *ret_exit);
void snapshot_peer_gone(struct peer *peer);
void snapshot_step(struct core *core);
struct mono snapshot_due(const struct core *core);
void snapshot_forget(struct core *core);

/* upgrade.c */
/* NULL: it is or will be answered; else what is wrong. */
const char *upgrade_request(struct peer *peer, uint32_t request);

/* ended.c */
void ended_note(struct core *core, uint64_t queue_id);
bool ended_find(const struct core *core, uint64_t queue_id);
void ended_step(struct core *core);
void ended_free_all(struct core *core);

/* active.c */
void active_step(struct core *core); /* admission (rules M8, F) */
struct mono active_due(const struct core *core);
struct message *active_new(struct core *core, store_ref ref); /* just accepted, pinned */
struct message *active_find(struct core *core, store_ref ref);
struct message *active_load(struct core *core, store_ref ref); /* an idle one */
void active_unlocked(struct message *message); /* a lock, or its result, is gone */
void active_inventories_complete(struct core *core);
void active_forget(struct message *message); /* memory is freed; unpin or end were done */
void active_release(struct message *message); /* gives it to the scheduler again */
void active_wait(struct message *message, struct sched_destination *site, uint32_t count);
void active_revive(struct core *core, struct slice address); /* its destination, X13 */
void active_wish(struct message *message, enum message_wish wish, struct job *job);
void active_mark_suspect(struct message *message);
void active_suspect(struct message *message);
void active_log_delivery(const struct message *message, uint32_t number, struct slice dsn,
	struct slice text, const char *status);
void active_free_all(struct core *core);
void active_assign(struct message *message, uint32_t number); /* to the scheduler, or settled */
void message_move(struct message *message, enum message_phase to);

/* refill.c */
void refill_begin(struct message *message); /* of a round: the first recipients are read */
/*
 * Nothing of it is under way (rules D22 to D24). NONE: there are no more recipients to be read;
 * READ: some are with the scheduler; SETTLED: some were settled at once, the stages begin again;
 * LATER: done_check() comes again, but for a stop.
 */
enum refill_fate { REFILL_NONE, REFILL_READ, REFILL_SETTLED, REFILL_LATER };
enum refill_fate refill_next(struct message *message);
void refill_result(struct message *message); /* it has fewer recipients under way */
bool refill_is_all(const struct message *message);
void refill_forget(struct message *message); /* nothing more is read in this round */
void refill_step(struct core *core);
struct mono refill_due(const struct core *core);

/* feedback.c: W18, if it is wanted */
void feedback_log(struct core *core, const struct sched_destination *destination);
void feedback_log_values(
	struct core *core, struct slice transport, const struct window_options *options);

/* host_health.c */
void host_health_failed(struct core *core, struct slice list); /* of ipc_host */
/* Those that failed lately stand last, and are tried after all others. */
void host_health_sort(const struct core *core, struct slice list, struct buf *to);
void host_health_forget(struct core *core);

/* nexthop.c */
void nexthop_want(struct session *session);
void nexthop_resolved(struct core *core, const struct ipc_resolved *resolved);
void nexthop_forget_session(struct session *session);
void nexthop_resolver_gone(struct core *core);
void nexthop_resolver_up(struct core *core);
void nexthop_flush(struct core *core);
void nexthop_forget(struct core *core, struct slice text); /* asks anew for one next hop */
void nexthop_ptr(struct peer *peer, const struct ipc_ptr *ptr);
void nexthop_ptr_result(struct core *core, const struct ipc_ptr_result *result);
void nexthop_free_all(struct core *core);

/* session.c */
void session_step(struct core *core);
/* When a prefetch is to be asked for again. */
struct mono session_due(const struct core *core);
/* An operator wants something of it: what is not begun comes back, the rest ends (rule L42). */
void session_recall_message(const struct message *message);  /* grants sessions, hands out work */
void session_hosts(struct session *session, struct slice hosts); /* from nexthop.c */
void session_not_needed(struct session *session);                /* the same */
void session_refused(struct session *session, bool is_permanent, struct slice dsn,
	struct slice reason);
void session_ready(struct peer *peer, const struct ipc_session_ready *ready);
void session_ended(struct peer *peer, const struct ipc_session_end *end);
void session_lost(struct session *session); /* its worker died */
void session_retire(struct session *session); /* it ends with what it has */
void session_worker_up(struct core *core);
/*
 * No process does the work of a transport, but not for as long as maximal_backoff_time yet: that
 * its mail was deferred for it is no attempt that it may be returned after.
 */
bool session_is_unserved(const struct core *core, const struct transport *transport);
void session_lease_over(struct session *session, struct lease *lease);
struct session *session_find(struct peer *peer, uint64_t number);
void session_free_all(struct core *core);

/* lease.c */
struct lease *lease_new(struct message *message, struct sched_entry *entry,
	struct session *session);
struct lease *lease_find(
	struct peer *peer, uint64_t session, uint64_t queue_id, uint32_t attempt);
void lease_free(struct lease *lease);
uint64_t lease_token(const struct lease *lease);
void lease_return(struct peer *peer, const struct ipc_work_return *back);
void lease_inventory_item(struct peer *peer, const struct ipc_inventory_item *item);
void lease_inventory_end(struct peer *peer, const struct ipc_inventory_end *end);
void lease_worker_died(struct peer *peer);
void lease_step(struct core *core); /* ends survivors that say nothing, and leases too old */
struct mono lease_due(const struct core *core);
void lease_keep_result(struct lease *lease, const struct ipc_result *result);
void lease_replay_results(struct message *message); /* its bytes are there now */
void lease_drop_locks(struct message *message);     /* it cannot be read */

/* pace.c */
void pace_note(struct core *core, struct slice transport, struct slice nexthop);
double pace_per_s(struct core *core, struct slice transport, struct slice nexthop);
void pace_free_all(struct core *core);

/* result.c */
void result_frame(struct peer *peer, const struct ipc_result *result);
/*
 * A message of local takes the place of a recipient (its outcome says of which): what is to be
 * recorded of that in the same batch. READY: *ret_parent stays as it is until result_expanded().
 */
enum expand_fate {
	EXPAND_READY,
	EXPAND_EARLY, /* the recipient's message is still being read: ask again */
	EXPAND_KNOWN, /* the recipient is done already */
	EXPAND_GONE,  /* it is not this peer's any more */
	EXPAND_BAD,   /* it never was */
};
enum expand_fate result_expand(struct peer *peer, uint64_t queue_id, uint32_t attempt,
	struct slice outcome, struct buf *ret_result, struct message **ret_parent);
void result_expanded(struct message *parent, struct slice result, bool is_durable);
/* The alias was expanded at intake; its sender is told, if he wants to be (rule N64). */
void result_alias_expanded(struct message *message, uint32_t number);
/* The same for what qmgr decides itself (rules X4, W17, error and retry transports). */
void result_own(struct message *message, uint32_t number, enum state_class class,
	struct slice dsn, struct slice text, struct mono at); /* 0: now */

/* change.c */
struct change *change_new(struct core *core, enum change_kind kind, struct message *message);
void change_submit(struct change *change);
void change_drop(struct change *change); /* one that was never submitted */
void change_step(struct core *core);
void change_free_all(struct core *core);

/* done.c, defer.c, report.c */
void done_check(struct message *message); /* nothing in flight any more? then settle */
void done_step(struct core *core);
struct mono done_due(const struct core *core);
/* Whose address VERP puts into the sender's (V3): as it was given, when that is known. */
struct slice message_verp_recipient(const struct message *message, uint32_t number);
/* How long it may be in the queue, and until when: a null sender's is never the longer one (M1). */
uint64_t done_lifetime_s(const struct message *message);
/* sendmail -v: what was tried is still to be told, whatever became of the recipients. */
bool done_is_record_owed(const struct message *message);
uint64_t done_expires_us(const struct message *message);
uint64_t message_created_us(const struct message *message);
/* Retries that were deferred together part again; jitter only ever adds. */
enum { DEFER_JITTER_PERCENT = 10 };
uint64_t defer_due_us(struct core *core, const struct message *message);
void defer_encode(struct message *message, struct change *change);
void defer_message(struct message *message);
/* Where it will wait when it is deferred; NULL: by its timer only. Holds the destination. */
struct sched_destination *defer_site(const struct message *message, const struct change *change);
uint64_t defer_look_us(const struct message *message); /* when a parked one is looked at */
bool defer_crowded(struct message *message); /* true: it waits outside of memory, as it was */
uint64_t defer_soon_us(struct core *core); /* after a failure that did not kill its site */
void defer_stop(struct core *core); /* parked mail will be due after the next start */
void defer_at_once(struct message *message); /* out of memory, due now: read anew */
bool requeue_message(struct message *message); /* false: it goes on as it is */

/*
 * Reports of one kind about at most REPORT_RECIPIENTS_MAX of the recipients that one is owed for.
 * ON_ITS_WAY: done_check() comes again; MARKED: nobody is to be told, recipients are marked in
 * memory; FAILED: kept as they are, for the next round.
 */
enum report_fate { REPORT_ON_ITS_WAY, REPORT_MARKED, REPORT_FAILED };
enum report_fate report_make(struct message *message, enum report_kind kind);
#define REPORT_INTERVAL_NS (2 * NS_PER_MS) /* at most 500 reports a second */
#define REPORT_BURST_NS (200 * NS_PER_MS)

/* clock_watch.c */
void clock_watch_begin(struct core *core);  /* the core has been told the time */
void clock_watch_opened(struct core *core); /* the journal's time is known */
void clock_watch_step(struct core *core);
bool clock_watch_is_due(const struct core *core); /* there is more to do */
/* A message that is due later than it can have been deferred for is due earlier. */
void clock_watch_pull(struct core *core, store_ref ref);

/* control.c */
void control_request(struct peer *peer, const struct ipc_control_request *request);
void control_peer_gone(struct peer *peer);
void control_step(struct core *core);
/* Instead, while the index is not complete. */
void control_wait_step(struct core *core);
struct mono control_wait_due(const struct core *core);
void control_message_owed(struct job *job);
void control_message_done(struct job *job);
bool control_is_reading(const struct core *core, store_ref ref); /* it is pinned soon */
struct mono control_due(const struct core *core);
void control_free(struct core *core);

#endif
