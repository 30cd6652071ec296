/*
 * control_priv.h - a control request in progress: shared by the control_*.c files
 *
 *   control_request.c  words of a request become a job; who may ask for what
 *   control.c          a job walks over messages, slice by slice
 *   control_select.c   which messages a job concerns
 *   control_view.c     a message as it is now, in memory or read for the job
 *   control_why.c      what mail waits for
 *   control_json.c     what tools are told
 *
 * Ownership: core->jobs owns the jobs. Threads: one.
 */
#ifndef OSTLER_QMGR_CONTROL_PRIV_H
#define OSTLER_QMGR_CONTROL_PRIV_H

#include "qmgr/core_priv.h"
#include "qmgr/fingerprint.h"

#include <jansson.h>

enum { JOB_READS = 16, JOB_READS_AT_EASE = 1, JOB_REVIVED_MAX = 10000 };

enum job_kind {
	JOB_QUEUE,
	JOB_SHOW,
	JOB_FLUSH,
	JOB_HOLD,
	JOB_RELEASE,
	JOB_DELETE,
	JOB_REQUEUE,
	JOB_EXPIRE,
	JOB_WHY,
	JOB_STATUS,
	JOB_METRICS,
	JOB_HEALTH,
	JOB_SNAPSHOT,
	JOB_UPGRADE,
	JOB_SITES,
	JOB_SITE,
	JOB_RELEASE_COPY, /* release ALL while the whole queue is held (copy.c) */
	JOB_KIND_COUNT,
};

/* What a message must be like; what is NULL or wide open does not count. */
struct control_select {
	bool is_set;       /* something counts */
	bool needs_bytes;  /* more than the age does: a message must be read */
	char *sender;      /* an address, a domain, or "" for the null sender */
	char *recipient;   /* these three of one and the same unfinished recipient */
	char *site;        /* its domain or next hop */
	char *reason;      /* a part of its last reply, or its status */
	uint64_t age_min_s, age_max_s;
	uint64_t size_min, size_max;
	struct fingerprint_wanted wanted; /* sender and recipient as the index knows them */
};

struct job;

/* A message that is being read for a job. */
struct job_read {
	struct job *job;
	store_ref ref; /* 0: free */
};

/* A destination that a flush has revived: once is enough. */
struct job_revived {
	char *key;
	UT_hash_handle hh;
};

struct job {
	struct core *core;
	core_peer peer;        /* 0: it is gone */
	uint32_t request;
	enum job_kind kind;
	const char *command;   /* its name */
	char *who;             /* the user, for the log */
	char *why;             /* in the user's words; NULL: nothing was said */
	char problem[160];     /* what was wrong with its words */
	bool is_of_others;     /* of a user who may not change the queue */
	bool is_all;
	bool is_dry;           /* nothing is done, messages are listed */
	bool is_count;         /* is_dry: they are only counted */
	bool with_content;
	bool as_base64;        /* content byte for byte */
	bool with_held;        /* expire: releases for that what is on hold */
	struct control_select select;
	uint64_t *ids;
	size_t id_count, position;
	store_ref cursor;      /* walk: the last one that was begun */
	struct job_read reads[JOB_READS];
	uint32_t read_count;
	uint64_t again[JOB_READS]; /* queue IDs of messages that fit and were not to be had */
	uint32_t again_count;
	struct job_revived *revived; /* hash by key */
	bool is_blocked;       /* the next message is not to be had now */
	bool is_at_end;        /* all have been begun */
	uint32_t outstanding;  /* messages whose wish is being fulfilled */
	uint64_t done;
	uint64_t bytes;        /* of those that were looked at */
	uint64_t still_held;   /* JOB_RELEASE_COPY: on hold on their own account */
	uint64_t in_delivery;  /* of those done: what is under way ends first */
	struct mono began;
	struct mono stop_at;   /* why: what was found until then is the answer; 0: all */
	uint64_t looked_at;
	uint64_t held, oldest_us, next_due_us; /* why of a site: of those found */
	bool is_cut;           /* it was that time */
	struct buf unknown;    /* IDs that do not exist */
	LIST_ENTRY(job) link;
};

/* A message as it is now. Slices belong to the message or are pinned for the job. */
struct control_view {
	const char *queue_name;
	char id_text[QUEUE_ID_TEXT_SIZE];
	const struct message *message; /* NULL: it is idle */
	const struct envelope *envelope;
	const struct recipient_index *recipients;
	uint32_t recipient_count;
	const struct state *state;
	uint64_t due_us;
	uint64_t large, content_length;
	struct slice parts; /* sums of large content */
	struct slice head, body;
	bool has_body;
	/* Of an idle one. */
	struct envelope own_envelope;
	struct recipient_index own_recipients;
	struct state own_state;
};

/* control.c */
void job_say(struct job *job, struct slice text);
void control_why_begin(struct job *job); /* what memory knows */
void job_end(struct job *job, uint8_t exit_code, struct slice text);

/* control_select.c */
bool control_select_age(const struct control_select *select, uint64_t arrival_us, struct wall now);
/* Whether a next hop has that name: as it is written, or its host (127.0.0.9 of [127.0.0.9]:25). */
bool control_select_is_site(struct slice nexthop, struct slice name);
bool control_select_match(const struct core *core, const struct control_select *select,
	const struct control_view *view);
/* Whether a recipient is unfinished and fits as far as recipients count. */
bool control_select_recipient(const struct core *core, const struct control_select *select,
	const struct control_view *view, uint32_t number);
void control_select_done(struct control_select *select);

/* control_view.c */
void control_view_active(const struct message *message, struct control_view *view);
/* One that is pinned; false: it cannot be understood. Both: control_view_done(). */
MUST_USE bool control_view_idle(struct core *core, store_ref ref, struct control_view *view);
void control_view_done(struct control_view *view);

/* control_json.c: a line per message, the last line, counts. */
void job_say_message(struct job *job, const struct control_view *view);
/* For other answers; values are taken over. */
void control_json_set(json_t *object, const char *name, json_t *value);
json_t *control_json_text(struct slice bytes);
void control_json_last(json_t *object, const struct state_reason *reason);
void control_json_say(struct job *job, json_t *object);
void job_summary(struct job *job, struct buf *text);
void control_status(struct core *core, struct buf *text);
/* One line. */
void control_site_json(
	struct core *core, const struct sched_destination *destination, struct buf *out);
/* control_site.c */
void control_sites(struct peer *peer, uint32_t request);
/* NULL: it is done. */
const char *control_site(struct peer *peer, struct slice words, uint8_t *ret_exit);
void control_metrics(struct core *core, struct buf *text);
/* What both make of the store's numbers: 0 to 1, and seconds (0: not known). */
double status_live_share(const struct store_stats *stats);
/* Bytes written for each byte of mail that was taken; those that no record accounts for. */
double status_write_amplification(const struct store_stats *stats);
uint64_t status_padding(const struct journal_stats *stats);
uint64_t status_oldest_age_s(const struct core *core, const struct journal_stats *stats);

/* control_why.c */
void control_why_message(struct job *job, const struct control_view *view);
void control_why_sites(struct job *job);

#endif
