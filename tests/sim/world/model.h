/*
 * model.h - what the rules let become of a message: a small executable specification
 *
 * It was written from the rules of the queue manager and uses nothing of src/qmgr. The world tells it what
 * happens, and after every step what the core has made of that (a look). The model says whether
 * the rules allow it, by two tables in model.c:
 *
 *   fates    what a recipient may become, by which event, under which condition
 *   stages   what is done with a message when nothing of it is under way, in their order: what a
 *            message does next must be the first of them that is due
 *
 * Beside them it follows the hold, the delay notice, the flush mark, operators' wishes and the
 * time of the next attempt. What it cannot know (whether a site lives, what a crash left of what
 * was not durable) it does not demand; what was said to be durable it does.
 *
 * Ownership: model_free() frees messages; texts are constants, or valid until the next call.
 * Errors:    model_wrong() is the first thing that was not allowed.
 * Threads:   none.
 */
#ifndef OSTLER_TESTS_SIM_MODEL_H
#define OSTLER_TESTS_SIM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MODEL_RECIPIENTS_MAX = 40 };

struct model;

struct model_options {
	uint64_t lifetime_us, null_lifetime_us; /* maximal_, bounce_queue_lifetime */
	uint64_t backoff_min_us, backoff_max_us;
	unsigned jitter_percent; /* that a backoff may get on top */
	unsigned expiry_rate;    /* messages a second */
	uint64_t blur_us; /* attempts so close may count as made at the time of the first */
};

enum model_fate {
	MODEL_OPEN,
	MODEL_DONE,
	MODEL_UNTOLD,   /* delivered, and that is to be reported */
	MODEL_FAILED,   /* that is to be reported */
	MODEL_RETURNED,
	MODEL_DROPPED,  /* by an operator; no rule ends so while the message is there */
};

/* What a recipient's NOTIFY asks for; without one it is failure and delay. */
struct model_notify {
	bool failure, success;
};

struct model_facts {
	uint64_t queue_id;
	/* Backoff and lifetime count from here; 0: the core has made it, and says when. */
	uint64_t created_us;
	uint64_t warn_us;    /* 0: no delay is told */
	bool is_null;        /* its sender is: nobody is told */
	bool is_mute;        /* reports to its sender cannot be made */
	bool is_held;        /* it came so */
	uint32_t recipient_count;
	struct model_notify notify[MODEL_RECIPIENTS_MAX];
};

struct model_time {
	uint64_t wall_us, mono_ns;
};

enum model_event { MODEL_DELIVERED, MODEL_REFUSED, MODEL_LATER };

enum model_wish { MODEL_NO_WISH, MODEL_HOLD, MODEL_RELEASE, MODEL_DELETE, MODEL_REQUEUE,
	MODEL_EXPIRE };

enum model_report { MODEL_OF_FAILURE, MODEL_OF_DELAY, MODEL_OF_SUCCESS, MODEL_REPORTS };

/* What is being written of a message of which nothing is under way. */
enum model_ending { MODEL_NOT_ENDING, MODEL_DEFERS, MODEL_ENDS, MODEL_MOVES };

/* A message as the core has it. */
struct model_seen {
	bool is_there;     /* else it is gone */
	bool is_in_memory;
	bool is_read;      /* what follows is known */
	bool is_held;
	bool is_warned;
	bool has_flush_mark;
	uint64_t created_us;
	uint32_t unread;   /* recipients that are not looked at yet in this round */
	enum model_ending ending;
	uint64_t due_us;   /* ending: of the next attempt; not in memory: when it is read again */
	bool is_parked;    /* not in memory: it waits for a site, not for its time */
	uint32_t recipient_count;
	enum model_fate fates[MODEL_RECIPIENTS_MAX];
};

struct model *model_new(const struct model_options *options);
void model_free(struct model *model);
/* NULL: nothing was. *ret_id: the message. */
const char *model_wrong(const struct model *model, uint64_t *ret_id);

/* --- what happens ---------------------------------------- */

/* A message that may become durable. */
void model_offer(struct model *model, const struct model_facts *facts);
/* Open recipients go over to a new message. */
void model_requeued(struct model *model, uint64_t queue_id, uint64_t new_id);
void model_not_requeued(struct model *model, uint64_t queue_id);
void model_removed(struct model *model, uint64_t queue_id);

/* It is given to the scheduler: a round begins. */
void model_round(struct model *model, uint64_t queue_id);
/* The core was told of a recipient; model_durable(): it has said that this is kept. */
void model_result(struct model *model, uint64_t queue_id, uint32_t number, enum model_event event,
	struct model_time now);
void model_durable(
	struct model *model, uint64_t queue_id, uint32_t number, enum model_event event);
/* Another message is about to take the place of a recipient. */
void model_expands(struct model *model, uint64_t queue_id, uint32_t number);

/* The core says so. */
void model_reported(struct model *model, uint64_t queue_id, enum model_report kind);
void model_gave_up(struct model *model, uint64_t queue_id); /* to report a success */
void model_expired(
	struct model *model, uint64_t queue_id, bool is_forced, struct model_time now);
void model_put_on_hold(struct model *model, uint64_t queue_id); /* for what is wrong with it */

void model_wish(struct model *model, uint64_t queue_id, enum model_wish wish);
/* An operator flushes: all that begins while he does may have the mark. */
void model_flushed(struct model *model, bool is_begun);

void model_crashed(struct model *model, struct model_time now);
/* By less than a minute it is drift, not a step. */
void model_clock_set(
	struct model *model, bool is_step, bool is_back, struct model_time now);
/* The queue is a copy: what has a lower ID waits; 0: it does no more. */
void model_copied(struct model *model, uint64_t below);

/* --- what the core has made of it ---------------------------------------- */

void model_look(struct model *model, uint64_t queue_id, const struct model_seen *seen,
	struct model_time now);

#endif
