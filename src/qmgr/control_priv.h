/*
 * control_priv.h - a control request in progress: shared by control.c and control_json.c
 *
 * Ownership: core->jobs owns the jobs. Threads: one.
 */
#ifndef OSTLER_QMGR_CONTROL_PRIV_H
#define OSTLER_QMGR_CONTROL_PRIV_H

#include "qmgr/core_priv.h"

enum job_kind {
	JOB_QUEUE,
	JOB_SHOW,
	JOB_FLUSH,
	JOB_HOLD,
	JOB_RELEASE,
	JOB_DELETE,
	JOB_REQUEUE,
	JOB_STATUS,
	JOB_METRICS,
	JOB_HEALTH,
	JOB_SNAPSHOT,
	JOB_UPGRADE,
	JOB_RELEASE_COPY, /* release ALL while the whole queue is held (copy.c) */
	JOB_KIND_COUNT,
};

struct job {
	struct core *core;
	core_peer peer;        /* 0: it is gone */
	uint32_t request;
	enum job_kind kind;
	bool is_all;
	bool with_content;
	bool as_base64;        /* content byte for byte */
	char *site;            /* flush: of this site only */
	uint64_t *ids;
	size_t id_count, position;
	store_ref cursor;      /* walk: the last one that is done */
	store_ref reading;     /* pinned for this job */
	bool is_reading;
	bool is_blocked;       /* the next message is not to be had now */
	uint32_t outstanding;  /* messages whose wish is being fulfilled */
	uint64_t done;
	uint64_t still_held;   /* JOB_RELEASE_COPY: on hold on their own account */
	struct buf unknown;    /* IDs that do not exist */
	LIST_ENTRY(job) link;
};

/* control.c */
void job_say(struct job *job, struct slice text);

/* control_json.c: a line per message, the last line, counts. */
void job_visit_active(struct job *job, const struct message *message);
void job_visit_idle(struct job *job, store_ref ref); /* unpins it */
void job_summary(struct job *job, struct buf *text);
void control_status(struct core *core, struct buf *text);
void control_metrics(struct core *core, struct buf *text);
/* What both make of the store's numbers: 0 to 1, and seconds (0: not known). */
double status_live_share(const struct store_stats *stats);
uint64_t status_oldest_age_s(const struct core *core, const struct journal_stats *stats);

#endif
