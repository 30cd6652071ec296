/*
 * core.h - the queue manager's core: life cycle, leases, scheduling, reports (deterministic)
 *
 * The room: every message that Ostler answers for is looked after here. In go frames of roles,
 * completions of the disk and time; out go frames, log events and operations on the disk. It never
 * reads a clock, a descriptor or a random source and never blocks, so tests/sim/world runs it
 * unchanged. A message passes, in the order of these files:
 *
 *   intake.c    smtpd's frames become a durable MESSAGE record            incoming
 *   active.c    admission: loaded, resolved, given to the scheduler       active
 *   session.c   sessions are granted, work is handed out                  in flight (lease.c)
 *   result.c    what became of recipients is recorded and acknowledged
 *   done.c      when nothing is in flight: reports, expiry, defer.c, end  deferred, held, gone
 *
 * and operators reach it through control.c.
 *
 * Ownership: core_new() borrows options; configurations stay the caller's until the next
 *            core_config() or core_free().
 * Callbacks: struct core_out is called from any core_*() function; it must not call back into the
 *            core.
 * Errors:    a peer that sends nonsense is reported by out->bad_peer, and forgotten with
 *            core_peer_down().
 * Limits:    qmgr_message_active_limit, qmgr_message_recipient_limit, CORE_* below.
 * Threads:   one.
 */
#ifndef OSTLER_QMGR_CORE_H
#define OSTLER_QMGR_CORE_H

#include "base/log.h"
#include "base/mac.h"
#include "config/snapshot.h"
#include "ipc/messages.h"
#include "store/disk.h"
#include "store/store.h"

struct core;

/* Names a peer (a role process or a tool); given by the driver, never 0 and never used twice. */
typedef uint64_t core_peer;

enum core_peer_kind {
	CORE_PEER_INTAKE,   /* smtpd, pickup, local when it forwards */
	CORE_PEER_SMTP,     /* delivers by SMTP and LMTP */
	CORE_PEER_LOCAL,    /* delivers here */
	CORE_PEER_RESOLVER,
	CORE_PEER_TOOL,     /* control requests: tools and admin */
};

/* What the user of a tool may do. */
enum core_right { CORE_MAY_LIST = 1, CORE_MAY_FLUSH = 2, CORE_MAY_CHANGE = 4 };
enum { CORE_MAY_ALL = CORE_MAY_LIST | CORE_MAY_FLUSH | CORE_MAY_CHANGE };

struct core_user {
	unsigned rights;  /* enum core_right */
	const char *name; /* for the log */
};

enum {
	CORE_CREDIT = 16 * 1024 * 1024,     /* bytes of messages under way per intake peer */
	CORE_INTAKES_MAX = 16 * 1024,       /* transactions, and questions, of an intake peer */
	CORE_ID_BLOCKS_MAX = 64,            /* queue ID blocks on their way to an intake peer */
	CORE_ENDED_S = 10,                  /* how long ends are remembered at a start */
	CORE_ENDED_MAX = 128 * 1024,        /* and how many */
	CORE_INVENTORY_S = 5,               /* how long a survivor may take for its inventory */
	CORE_INVENTORY_MAX = 64 * 1024,     /* items in the inventory of a survivor */
	CORE_LOADS_MAX = 64,                /* messages being read from the log at a time */
	CORE_JOBS_MAX = 64,                 /* control requests at a time */
	CORE_JOBS_KEPT = 16,                /* of them for those who may change the queue */
	CORE_JOBS_PER_USER = 16,            /* of any other user */
	CORE_DEATHS_MAX = 16,               /* messages with which queue managers died */
};

struct core_out {
	void (*send)(void *ctx, core_peer peer, enum ipc_type type, const void *message);
	/* As send, with the large content of that number; false: it could not be opened. */
	bool (*send_large)(
		void *ctx, core_peer peer, const struct ipc_work *work, uint64_t large);
	size_t (*pending)(void *ctx, core_peer peer); /* bytes queued to it, for slow readers */
	void (*kill)(void *ctx, uint32_t pid);        /* a worker that does not answer */
	/* From here on this message is in hand, for whoever looks when we are dead; 0: none. */
	void (*working)(void *ctx, uint64_t queue_id);
	/* A worker of this kind (SMTP, LOCAL) for suspects is wanted: core_peer_is_solo(). */
	void (*want_solo)(void *ctx, enum core_peer_kind kind);
	void (*bad_peer)(void *ctx, core_peer peer, const char *why);
	/* ERR_OK: new mail may come, see core_open(). */
	void (*opened)(void *ctx, enum err err, const struct fault *fault);
	void (*complete)(void *ctx); /* workers may speak: all messages are known */
	void (*adopted)(void *ctx);  /* core_origin.mark is durably noted: it can go */
	/* A message is at this boundary of two stages (tests die there). May be NULL. */
	void (*boundary)(void *ctx, const char *name);
};

/* Deliberate bugs that the simulation must find, one bit each. Production passes 0. */
enum core_plant {
	CORE_PLANT_ACK_EARLY = 1,      /* 250 before the batch is durable */
	CORE_PLANT_RESULT_LOST = 2,    /* a result is acknowledged but not recorded */
	CORE_PLANT_NO_INVENTORY = 4,   /* delivery starts before survivors have spoken */
	CORE_PLANT_BOUNCE_TWICE = 8,   /* report and mark are two batches */
	CORE_PLANT_FORGET_DEATH = 16,  /* transactions of a dead worker are not retried */
	CORE_PLANT_LOSE_DEFERRED = 32, /* a deferred message gets no due time */
	CORE_PLANT_UNLOCK_EARLY = 64,  /* a lock's end frees a message that others may hold */
	CORE_PLANT_DONE_EARLY = 128,   /* a message ends although a recipient is open */
	CORE_PLANT_FORGET_HOLD = 256,  /* mail that came on hold is given out */
	CORE_PLANT_WARN_AGAIN = 512,   /* a delay notice is not remembered */
	CORE_PLANT_FORGET_SUCCESS = 1024, /* nobody is told of a delivery */
	CORE_PLANT_REPORT_NEVER = 2048, /* NOTIFY is not looked at */
	CORE_PLANT_FORGET_COPY = 4096, /* mail of a copied queue is given out */
	CORE_PLANT_CLOCK_IDS = 8192,   /* queue IDs are made of the clock alone */
	CORE_PLANT_CLOCK_UNSEEN = 16384, /* a step of the clock is not noticed */
	CORE_PLANT_EXPIRE_FAST = 32768, /* expiry_rate is not looked at */
	CORE_PLANT_EXPIRE_SILENT = 65536, /* what an operator expires is dropped without a report */
	CORE_PLANT_BATCH_AGAIN = 131072, /* a batch of recipients begins with the last one again */
	CORE_PLANT_BATCH_STOPS = 262144, /* nothing follows a batch with nothing to deliver */
	CORE_PLANT_ONE_SITE = 1 << 30,   /* all next hops are taken for one site */
	CORE_PLANT_LOSE_CROWDED = 524288, /* mail that waits for room at its site is forgotten */
	CORE_PLANT_SUSPECT_AMONG = 2097152, /* suspects are tried in a worker that others use */
	CORE_PLANT_READ_DEADLY = 4194304, /* what killed queue managers is looked into again */
	CORE_PLANT_NO_DEADLINE = 1048576, /* a worker may have a transaction for ever */
	CORE_PLANT_EXPAND_TWICE = 1 << 24, /* expansion and its recipient's end: two batches */
};

/* The same, of the order and the conditions of what is done with a message: the model's. */
enum core_plant_rule {
	CORE_RULE_WARN_FIRST = 1,     /* a delay is told before expiry is looked at (D42, D45) */
	CORE_RULE_WARN_EARLY = 2,     /* five seconds before its time (D47) */
	CORE_RULE_MARK_FAILED = 4,    /* a report that cannot be made counts as made (D7) */
	CORE_RULE_GIVE_UP = 8,        /* the same of a success, long before the end (D46) */
	CORE_RULE_FLUSH_STAYS = 16,   /* the mark of a flush outlives its round (F9, R9) */
	CORE_RULE_NO_MINIMUM = 32,    /* backoff of young mail is its age (D61) */
	CORE_RULE_NO_MAXIMUM = 64,    /* and of old mail, too (D60) */
	CORE_RULE_NEGATIVE_AGE = 128, /* mail from the future is very old (D60) */
	CORE_RULE_HOLD_LOST = 256,    /* a hold while it is in flight is forgotten (L42) */
	CORE_RULE_COPY_HELD = 512,    /* what came on hold and is requeued is on hold again (O43) */
	CORE_RULE_ADMIT_EARLY = 1024, /* mail is tried three seconds too early (F5) */
	CORE_RULE_EXPIRE_FIRST = 2048, /* before failures are reported (D2) */
	CORE_RULE_DELETE_UNDONE = 4096, /* a later wish undoes a delete in flight (L42) */
	CORE_RULE_REQUEUE_LOST = 8192, /* after a report that cannot be made, silently (O43) */
};

enum { CORE_MACHINE_SIZE = 16 };

/* Where a queue lives: elsewhere it is a copy (copy.c). */
struct core_origin {
	uint8_t machine[CORE_MACHINE_SIZE]; /* all zero: it has no name */
	uint64_t directory; /* inode of journal/ */
	uint64_t mark;      /* names the mark that says `this is a copy`; 0: there is none */
};

struct core_death {
	uint64_t queue_id;
	uint32_t count;
	bool is_seen; /* the core's own */
};

struct core_options {
	struct log *log;
	struct disk *disk;
	const struct config *config;
	const struct core_out *out;
	void *ctx;
	uint64_t seed;            /* random numbers: jitter, epochs */
	struct core_origin origin;
	bool copies_on_write; /* the queue's file system does (store/file_system.h) */
	uint8_t secret[MAC_KEY_SIZE]; /* of lease tokens: the former one had the same */
	/* Messages that former ones had in hand when they died (poison.c). */
	struct core_death deaths[CORE_DEATHS_MAX];
	unsigned death_count;
	uint32_t survivors;       /* workers of the former one that will send inventories */
	unsigned planted;         /* enum core_plant */
	unsigned planted_rules;   /* enum core_plant_rule */
	unsigned planted_journal; /* enum journal_plant */
};

struct core *core_new(const struct core_options *options);
void core_free(struct core *core);

/*
 * Starts recovery. After out->opened frames of intakes, tools and the resolver may be given, after
 * out->complete those of workers too; where there are no survivors those also from the first on.
 */
void core_open(struct core *core, struct instant now);
bool core_is_open(const struct core *core);
/* Whether frames of workers may be given. */
bool core_hears_workers(const struct core *core);

/*
 * A peer is there. `survivor`: it worked for the former queue manager and sends its inventory
 * first. `user`: of a tool; NULL: a role, which asks for nothing. Copied.
 */
void core_peer_up(struct core *core, core_peer peer, enum core_peer_kind kind, uint32_t pid,
	bool survivor, const struct core_user *user, struct instant now);
/* Right behind core_peer_up(): this worker is for suspects, one at a time, and for nothing else. */
void core_peer_is_solo(struct core *core, core_peer peer);
void core_peer_down(struct core *core, core_peer peer, struct instant now);

/* A frame of a peer, decoded here. */
void core_frame(struct core *core, core_peer peer, uint16_t type, struct slice payload,
	struct instant now);

/* A new configuration; it also frees the old one's transports when they are idle. */
void core_config(struct core *core, const struct config *config, struct instant now);

/* Free bytes of the queue's file system: below queue_minfree new mail gets 452. */
void core_disk_free(struct core *core, uint64_t bytes);

/* Acts on time and on what came in; call once per turn, and when core_due() says so. */
void core_step(struct core *core, struct instant now);
struct mono core_due(const struct core *core);

/*
 * No new session, work or admission from here on; results are still taken. What makes the next
 * start quicker is written if it fits into grace_ns.
 */
void core_stop(struct core *core, uint64_t grace_ns, struct instant now);
/* After core_stop(): everything that was said to others is durable. */
bool core_is_quiet(const struct core *core);

/* What the simulation's oracle and tests look at. */
struct core_counts {
	uint64_t messages;  /* in the store */
	uint32_t active;
	uint32_t loading;
	uint32_t leases;    /* transactions in flight */
	uint32_t sessions;
	uint32_t locked;    /* transactions of survivors */
	uint32_t changes;   /* waiting for the journal */
};
void core_counts(const struct core *core, struct core_counts *ret_counts);

#endif
