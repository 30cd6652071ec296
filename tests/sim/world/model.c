/* model.c - see model.h */
#include "sim/world/model.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <uthash.h>

#define SECOND_US UINT64_C(1000000)
#define SECOND_NS UINT64_C(1000000000)

struct recipient {
	enum model_fate fate;
	enum model_fate sure; /* what no crash takes back */
	struct model_notify notify;
	bool may_expand;
	bool is_tried;     /* in this round, itself */
	uint64_t tried_us;
};

struct message {
	uint64_t queue_id;
	struct model_facts facts;
	bool was_there;
	bool is_gone;
	bool is_in_memory;
	bool is_unsure;    /* there was a crash since the last look */
	bool is_held;
	bool may_be_held;  /* for what is wrong with it, or by a crash */
	bool was_held;     /* ever */
	bool is_warned, is_surely_warned;
	bool may_expire;   /* an operator wants it */
	bool has_expired;  /* said so since the last look */
	bool has_given_up;
	bool is_touched;   /* its next attempt may be earlier than its time */
	bool is_flushed;   /* since its round began */
	bool is_tried;     /* somebody, in this round */
	bool is_set_back;  /* the clock, in this round: times come again, so it proves nothing */
	bool is_refused;   /* it could not be requeued, and its round is over */
	bool is_clock_set; /* since it was in memory */
	bool unreported[MODEL_REPORTS]; /* marks are there whose report was not heard of */
	enum model_wish wish;
	enum model_ending ending;
	uint64_t due_us;   /* at the last look, not in memory */
	bool is_parked;
	struct recipient *recipients;
	UT_hash_handle hh;
};

struct model {
	struct model_options options;
	struct message *messages;
	uint64_t trust_us;    /* attempts before that do not count for expiry */
	uint64_t second;      /* and messages that expired in it */
	unsigned expired;
	uint64_t copied_below;
	bool is_flushing;
	char wrong[200];
	uint64_t wrong_id;
};

static void
wrong(struct model *model, const struct message *message, const char *what)
{
	if (model->wrong[0] != 0)
		return;
	(void)snprintf(model->wrong, sizeof(model->wrong), "model: %s", what);
	model->wrong_id = message->queue_id;
}

/* --- what holds of a message ------------------------------------------------------------------ */

static uint32_t
count(const struct message *message, enum model_fate fate)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < message->facts.recipient_count; i++)
		n += message->recipients[i].fate == fate;
	return n;
}

static bool
is_copied(const struct model *model, const struct message *message)
{
	return message->queue_id < model->copied_below;
}

/* M1, D42: the lifetime of a null sender's is never the longer one. */
static uint64_t
end_us(const struct model *model, const struct message *message)
{
	uint64_t life_us = model->options.lifetime_us;

	if (message->facts.is_null && model->options.null_lifetime_us < life_us)
		life_us = model->options.null_lifetime_us;
	return message->facts.created_us + life_us;
}

static bool
is_told_of_failure(const struct message *message, const struct recipient *recipient)
{
	return !message->facts.is_null && recipient->notify.failure;
}

/* --- the fates of a recipient ----------------------------------------------------------------- */

typedef bool fate_guard(
	const struct model *model, const struct message *message, const struct recipient *recipient);

static bool
always(const struct model *model, const struct message *message, const struct recipient *recipient)
{
	(void)model;
	(void)message;
	(void)recipient;
	return true;
}

static bool
wants_success(
	const struct model *model, const struct message *message, const struct recipient *recipient)
{
	(void)model;
	(void)message;
	return recipient->notify.success;
}

static bool
wants_no_success(
	const struct model *model, const struct message *message, const struct recipient *recipient)
{
	return !wants_success(model, message, recipient);
}

static bool
has_expired(
	const struct model *model, const struct message *message, const struct recipient *recipient)
{
	(void)model;
	(void)recipient;
	return message->has_expired;
}

static bool
is_expanded(
	const struct model *model, const struct message *message, const struct recipient *recipient)
{
	return recipient->may_expand && wants_no_success(model, message, recipient);
}

static bool
is_expanded_untold(
	const struct model *model, const struct message *message, const struct recipient *recipient)
{
	return recipient->may_expand && wants_success(model, message, recipient);
}

/* D7: a report that cannot be made was not made. */
static bool
can_report_failure(
	const struct model *model, const struct message *message, const struct recipient *recipient)
{
	(void)model;
	return !message->facts.is_mute || !is_told_of_failure(message, recipient);
}

static bool
can_report_success(
	const struct model *model, const struct message *message, const struct recipient *recipient)
{
	(void)model;
	(void)recipient;
	return !message->facts.is_mute || message->has_given_up;
}

enum { BY_ITSELF = -1 }; /* the core does it without being told of anything */

static const struct fate {
	enum model_fate from;
	int event; /* enum model_event or BY_ITSELF */
	fate_guard *guard;
	enum model_fate to;
} fates[] = {
	/* rules: N1 N2 N63 */
	{ MODEL_OPEN, MODEL_DELIVERED, wants_no_success, MODEL_DONE },
	{ MODEL_OPEN, MODEL_DELIVERED, wants_success, MODEL_UNTOLD },
	/* rules: N3 Y6 */
	{ MODEL_OPEN, MODEL_REFUSED, always, MODEL_FAILED },
	/* rules: N2 Y9 */
	{ MODEL_OPEN, MODEL_LATER, always, MODEL_OPEN },
	/* rules: D41 D42 D46 */
	{ MODEL_OPEN, BY_ITSELF, has_expired, MODEL_FAILED },
	{ MODEL_OPEN, BY_ITSELF, is_expanded, MODEL_DONE },
	{ MODEL_OPEN, BY_ITSELF, is_expanded_untold, MODEL_UNTOLD },
	/* rules: D2 D5 D7 */
	{ MODEL_FAILED, BY_ITSELF, can_report_failure, MODEL_RETURNED },
	/* rules: D25 D27 */
	{ MODEL_UNTOLD, BY_ITSELF, can_report_success, MODEL_DONE },
};

enum { FATES = sizeof(fates) / sizeof(fates[0]) };

/* The row that leads from a fate to another by itself; NULL: none does now. */
static const struct fate *
find_step(const struct model *model, const struct message *message,
	const struct recipient *recipient, enum model_fate from, enum model_fate to)
{
	for (size_t i = 0; i < FATES; i++)
		if (fates[i].from == from && fates[i].to == to && fates[i].event == BY_ITSELF &&
			fates[i].guard(model, message, recipient))
			return &fates[i];
	return NULL;
}

static bool
may_become(const struct model *model, const struct message *message,
	const struct recipient *recipient, enum model_fate from, enum model_fate to)
{
	if (from == to || find_step(model, message, recipient, from, to) != NULL)
		return true;
	/* Two at once: expired and returned, expanded and told of. */
	for (size_t i = 0; i < FATES; i++)
		if (fates[i].to == to && find_step(model, message, recipient, from, fates[i].from) &&
			find_step(model, message, recipient, fates[i].from, to) != NULL)
			return true;
	return false;
}

/* What comes of an event that the core was told of; the fate itself: nothing. */
static enum model_fate
fate_by(const struct model *model, const struct message *message,
	const struct recipient *recipient, enum model_event event)
{
	for (size_t i = 0; i < FATES; i++)
		if (fates[i].from == MODEL_OPEN && fates[i].event == (int)event &&
			fates[i].guard(model, message, recipient))
			return fates[i].to;
	return MODEL_OPEN;
}

/* A crash leaves something on the way from what was durable to what there was; it goes on there. */
static bool
may_be_left(const struct model *model, const struct message *message,
	const struct recipient *recipient, enum model_fate seen)
{
	enum model_fate from[] = { recipient->sure, recipient->fate, recipient->sure };

	if (recipient->sure == MODEL_OPEN && recipient->fate == MODEL_RETURNED)
		from[2] = MODEL_FAILED;
	if (recipient->sure == MODEL_OPEN && recipient->fate == MODEL_DONE)
		from[2] = MODEL_UNTOLD;
	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++)
		if (may_become(model, message, recipient, from[i], seen))
			return true;
	return false;
}

/* --- the stages after delivery ---------------------------------------------------------------- */

/* Whether a stage is due for sure, of a message of which nothing is under way. */
typedef bool stage_due(const struct model *model, const struct message *message,
	const struct model_seen *seen, struct model_time now);

static bool
owes_failures(const struct model *model, const struct message *message,
	const struct model_seen *seen, struct model_time now)
{
	(void)seen;
	(void)now;
	return count(message, MODEL_FAILED) > 0 && !message->facts.is_mute &&
	       !is_copied(model, message);
}

static bool
has_more_to_read(const struct model *model, const struct message *message,
	const struct model_seen *seen, struct model_time now)
{
	(void)model;
	(void)now;
	return seen->unread > 0 && !message->is_held && !message->may_expire &&
	       !message->is_refused && message->wish == MODEL_NO_WISH;
}

static bool
owes_successes(const struct model *model, const struct message *message,
	const struct model_seen *seen, struct model_time now)
{
	(void)seen;
	(void)now;
	return count(message, MODEL_UNTOLD) > 0 && !message->facts.is_mute &&
	       !is_copied(model, message);
}

/* All that is open was tried in this round, late enough and since the clock can be trusted. */
static bool
is_too_old(const struct model *model, const struct message *message, const struct model_seen *seen,
	struct model_time now)
{
	uint64_t end = end_us(model, message);
	uint64_t blur = message->facts.recipient_count > 1 ? model->options.blur_us : 0;
	bool is_full = model->second == now.mono_ns / SECOND_NS &&
		       model->expired >= model->options.expiry_rate;

	if (now.wall_us < end || message->is_held || message->is_set_back ||
		is_copied(model, message) || is_full || count(message, MODEL_OPEN) == 0 || seen->unread > 0)
		return false;
	for (uint32_t i = 0; i < message->facts.recipient_count; i++) {
		const struct recipient *recipient = &message->recipients[i];

		if (recipient->fate == MODEL_OPEN &&
			(!recipient->is_tried || recipient->tried_us <= model->trust_us + blur ||
				recipient->tried_us > now.wall_us ||
				recipient->tried_us + model->options.backoff_max_us < end + blur))
			return false;
	}
	return true;
}

static bool
may_be_warned(const struct model *model, const struct message *message, struct model_time now)
{
	return message->facts.warn_us != 0 && !message->is_held && !is_copied(model, message) &&
	       count(message, MODEL_OPEN) > 0 &&
	       now.wall_us + SECOND_US >= message->facts.warn_us;
}

static bool
is_late(const struct model *model, const struct message *message, const struct model_seen *seen,
	struct model_time now)
{
	(void)seen;
	return may_be_warned(model, message, now) && !message->is_warned && message->is_tried &&
	       !message->facts.is_mute && now.wall_us < end_us(model, message);
}

static bool
is_over(const struct model *model, const struct message *message, const struct model_seen *seen,
	struct model_time now)
{
	(void)model;
	(void)seen;
	(void)now;
	return count(message, MODEL_OPEN) + count(message, MODEL_FAILED) +
		       count(message, MODEL_UNTOLD) ==
	       0;
}

enum stage { STAGE_FAILURES, STAGE_BATCH, STAGE_SUCCESSES, STAGE_EXPIRY, STAGE_WARNING, STAGE_END,
	STAGE_DEFERRAL };

static const struct {
	stage_due *is_due;
	const char *passed_over;
} stages[] = {
	/* rules: D2 D3 D4 D5 D8 L44 */
	[STAGE_FAILURES] = { owes_failures, "a failure is not reported first" },
	/* rules: D22 D23 D24 F14 */
	[STAGE_BATCH] = { has_more_to_read, "recipients were not looked at" },
	/* rules: D25 D26 D27 */
	[STAGE_SUCCESSES] = { owes_successes, "a success is not reported first" },
	/* rules: D40 D42 D43 D50 */
	[STAGE_EXPIRY] = { is_too_old, "it is too old and does not expire" },
	/* rules: D45 D47 D48 */
	[STAGE_WARNING] = { is_late, "nobody is warned of its delay" },
	/* rules: D65 */
	[STAGE_END] = { is_over, "nothing is left, and it does not end" },
};

/* A message does this now: nothing before it may be due. */
static void
reach(struct model *model, const struct message *message, enum stage stage,
	const struct model_seen *seen, struct model_time now)
{
	for (enum stage before = 0; before < stage; before++)
		if (stages[before].is_due(model, message, seen, now))
			wrong(model, message, stages[before].passed_over);
}

/* --- events ----------------------------------------------------------------------------------- */

static struct message *
find(const struct model *model, uint64_t queue_id)
{
	struct message *message;

	HASH_FIND(hh, model->messages, &queue_id, sizeof(queue_id), message);
	return message != NULL && !message->is_gone ? message : NULL;
}

struct model *
model_new(const struct model_options *options)
{
	struct model *model = MEM_NEW(struct model);

	model->options = *options;
	return model;
}

void
model_free(struct model *model)
{
	struct message *message, *next;

	HASH_ITER(hh, model->messages, message, next)
	{
		HASH_DEL(model->messages, message);
		mem_free(message->recipients);
		mem_free(message);
	}
	mem_free(model);
}

const char *
model_wrong(const struct model *model, uint64_t *ret_id)
{
	*ret_id = model->wrong_id;
	return model->wrong[0] != 0 ? model->wrong : NULL;
}

void
model_offer(struct model *model, const struct model_facts *facts)
{
	struct message *message = MEM_NEW(struct message);

	message->queue_id = facts->queue_id;
	message->facts = *facts;
	message->is_held = message->was_held = facts->is_held;
	message->is_touched = true;
	message->recipients = mem_array(facts->recipient_count, sizeof(*message->recipients));
	for (uint32_t i = 0; i < facts->recipient_count; i++)
		message->recipients[i].notify = facts->notify[i];
	HASH_ADD(hh, model->messages, queue_id, sizeof(message->queue_id), message);
}

/* rules: O43 */
void
model_requeued(struct model *model, uint64_t queue_id, uint64_t new_id)
{
	struct message *message = find(model, queue_id);
	struct model_facts facts;

	if (message == NULL)
		return;
	if (count(message, MODEL_FAILED) > 0)
		wrong(model, message, "it is requeued with a failure that was not reported");
	facts = message->facts;
	facts.queue_id = new_id;
	facts.created_us = 0;
	facts.is_held = false;
	facts.recipient_count = 0;
	for (uint32_t i = 0; i < message->facts.recipient_count; i++)
		if (message->recipients[i].fate == MODEL_OPEN)
			facts.notify[facts.recipient_count++] = message->recipients[i].notify;
	for (uint32_t i = 0; i < message->facts.recipient_count; i++)
		if (message->recipients[i].fate == MODEL_OPEN)
			message->recipients[i].fate = MODEL_DROPPED;
	model_offer(model, &facts);
	find(model, new_id)->is_in_memory = true;
}

void
model_not_requeued(struct model *model, uint64_t queue_id)
{
	struct message *message = find(model, queue_id);

	if (message == NULL)
		return;
	message->wish = MODEL_NO_WISH;
	message->is_refused = true;
}

/* rules: D64 D65 */
void
model_removed(struct model *model, uint64_t queue_id)
{
	struct message *message = find(model, queue_id);

	if (message == NULL)
		return;
	if (message->wish != MODEL_DELETE) {
		if (count(message, MODEL_OPEN) > 0)
			wrong(model, message, "it ends with an open recipient");
		if (count(message, MODEL_FAILED) > 0 && !message->facts.is_null)
			for (uint32_t i = 0; i < message->facts.recipient_count; i++)
				if (message->recipients[i].fate == MODEL_FAILED &&
					message->recipients[i].notify.failure)
					wrong(model, message, "it ends with an unreported failure");
		if (message->unreported[MODEL_OF_FAILURE])
			wrong(model, message, "recipients were returned without a report");
		if (message->unreported[MODEL_OF_SUCCESS])
			wrong(model, message, "a delivery was asked for and not reported");
	}
	message->is_gone = true;
}

void
model_round(struct model *model, uint64_t queue_id)
{
	struct message *message = find(model, queue_id);

	if (message == NULL)
		return;
	message->is_tried = message->is_clock_set = message->is_set_back = false;
	message->is_flushed = model->is_flushing;
	message->is_refused = false;
	message->ending = MODEL_NOT_ENDING;
	for (uint32_t i = 0; i < message->facts.recipient_count; i++)
		message->recipients[i].is_tried = false;
}

static struct recipient *
recipient_of(const struct message *message, uint32_t number)
{
	return message != NULL && number < message->facts.recipient_count
		       ? &message->recipients[number]
		       : NULL;
}

void
model_result(struct model *model, uint64_t queue_id, uint32_t number, enum model_event event,
	struct model_time now)
{
	struct message *message = find(model, queue_id);
	struct recipient *recipient = recipient_of(message, number);

	if (recipient == NULL || recipient->fate != MODEL_OPEN)
		return;
	message->is_tried = recipient->is_tried = true;
	recipient->tried_us = now.wall_us;
	recipient->fate = fate_by(model, message, recipient, event);
	if (event == MODEL_LATER)
		recipient->may_expand = false;
}

void
model_durable(struct model *model, uint64_t queue_id, uint32_t number, enum model_event event)
{
	struct message *message = find(model, queue_id);
	struct recipient *recipient = recipient_of(message, number);

	if (recipient != NULL && recipient->sure == MODEL_OPEN && recipient->fate != MODEL_OPEN)
		recipient->sure = fate_by(model, message, recipient, event);
}

void
model_expands(struct model *model, uint64_t queue_id, uint32_t number)
{
	struct recipient *recipient = recipient_of(find(model, queue_id), number);

	if (recipient != NULL)
		recipient->may_expand = true;
}

/* rules: N30 */
void
model_reported(struct model *model, uint64_t queue_id, enum model_report kind)
{
	struct message *message = find(model, queue_id);

	if (message == NULL)
		return;
	message->unreported[kind] = false;
	if (kind == MODEL_OF_DELAY && message->is_surely_warned)
		wrong(model, message, "its sender is warned twice");
	if (kind == MODEL_OF_DELAY)
		message->is_surely_warned = true;
	for (uint32_t i = 0; i < message->facts.recipient_count; i++) {
		struct recipient *recipient = &message->recipients[i];

		if (kind == MODEL_OF_FAILURE && recipient->fate == MODEL_RETURNED)
			recipient->sure = MODEL_RETURNED;
		if (kind == MODEL_OF_SUCCESS && recipient->fate == MODEL_DONE)
			recipient->sure = MODEL_DONE;
	}
}

/* rules: D46 */
void
model_gave_up(struct model *model, uint64_t queue_id)
{
	struct message *message = find(model, queue_id);

	if (message != NULL)
		message->has_given_up = true;
}

/* A success that cannot be reported is given up when the message would expire, and not before. */
static void
check_given_up(
	struct model *model, struct message *message, struct model_time now)
{
	if (message->has_given_up && now.wall_us < end_us(model, message) && !message->may_expire)
		wrong(model, message, "a success is given up before its time");
}

void
model_expired(struct model *model, uint64_t queue_id, bool is_forced, struct model_time now)
{
	struct message *message = find(model, queue_id);
	uint64_t second = now.mono_ns / SECOND_NS;

	if (!is_forced) {
		model->expired = second == model->second ? model->expired + 1 : 1;
		model->second = second;
	}
	if (message == NULL)
		return;
	message->has_expired = true;
	if (message->is_held && message->wish != MODEL_RELEASE && !message->is_unsure)
		wrong(model, message, "it expires although it is on hold");
	if (is_copied(model, message))
		wrong(model, message, "it expires although its queue is a copy");
	if (is_forced && !message->may_expire)
		wrong(model, message, "it is expired by an operator that did not want that");
	if (!is_forced && now.wall_us < end_us(model, message))
		wrong(model, message, "it expires before its time");
	for (uint32_t i = 0; i < message->facts.recipient_count; i++)
		if (message->recipients[i].fate == MODEL_FAILED && !message->facts.is_mute &&
			!message->is_unsure && is_told_of_failure(message, &message->recipients[i]))
			wrong(model, message, "it expires before a failure is reported");
}

void
model_put_on_hold(struct model *model, uint64_t queue_id)
{
	struct message *message = find(model, queue_id);

	if (message != NULL)
		message->may_be_held = true;
}

/* The last word counts; but what was deleted is (L42). */
void
model_wish(struct model *model, uint64_t queue_id, enum model_wish wish)
{
	struct message *message = find(model, queue_id);

	if (message == NULL)
		return;
	message->is_touched = true;
	message->may_expire |= wish == MODEL_EXPIRE;
	if (message->wish != MODEL_DELETE)
		message->wish = wish;
}

void
model_flushed(struct model *model, bool is_begun)
{
	struct message *message, *next;

	model->is_flushing = is_begun;
	HASH_ITER(hh, model->messages, message, next)
	{
		message->is_touched = message->is_flushed = true;
	}
}

void
model_crashed(struct model *model, struct model_time now)
{
	struct message *message, *next;

	model->trust_us = now.wall_us;
	model->expired = 0;
	HASH_ITER(hh, model->messages, message, next)
	{
		message->is_unsure = message->is_touched = true;
		message->is_in_memory = false;
		message->ending = MODEL_NOT_ENDING;
		/* A wish may have come true, a release may not have. */
		message->may_be_held |= message->was_held || message->wish == MODEL_HOLD;
		message->wish = MODEL_NO_WISH;
		memset(message->unreported, 0, sizeof(message->unreported));
	}
}

void
model_clock_set(struct model *model, bool is_step, bool is_back, struct model_time now)
{
	struct message *message, *next;

	if (is_step)
		model->trust_us = now.wall_us;
	HASH_ITER(hh, model->messages, message, next)
	{
		message->is_touched = message->is_clock_set = true;
		message->is_set_back |= is_step && is_back;
	}
}

void
model_copied(struct model *model, uint64_t below)
{
	model->copied_below = below;
}

/* --- looks ------------------------------------------------------------------------------------ */

static void
look_fates(struct model *model, struct message *message, const struct model_seen *seen)
{
	for (uint32_t i = 0; i < message->facts.recipient_count; i++) {
		struct recipient *recipient = &message->recipients[i];
		enum model_fate fate = seen->fates[i];

		if (message->is_unsure) {
			if (!may_be_left(model, message, recipient, fate))
				wrong(model, message,
					"a crash made of a recipient what it cannot be");
			recipient->fate = fate;
			continue;
		}
		if (!may_become(model, message, recipient, recipient->fate, fate))
			wrong(model, message, "a recipient became what it cannot become");
		if (recipient->fate != fate && fate == MODEL_RETURNED)
			message->unreported[MODEL_OF_FAILURE] |=
				is_told_of_failure(message, recipient);
		if (recipient->fate == MODEL_UNTOLD && fate == MODEL_DONE)
			message->unreported[MODEL_OF_SUCCESS] |=
				!message->facts.is_null && !message->has_given_up;
		recipient->fate = fate;
	}
	message->has_expired = false;
}

/* rules: L40 L41 L42 O40 O41 */
static void
look_hold(struct model *model, struct message *message, const struct model_seen *seen)
{
	bool may_hold = message->may_be_held || message->wish == MODEL_HOLD;
	bool may_free = message->wish == MODEL_RELEASE;

	if (seen->is_held && !message->is_held && !may_hold)
		wrong(model, message, "it is on hold, and nobody wanted that");
	if (!seen->is_held && message->is_held && !may_free && !message->is_unsure)
		wrong(model, message, "its hold is forgotten");
	message->is_held = seen->is_held;
	message->was_held |= seen->is_held;
}

/* rules: D45 D47 D48 D50 */
static void
look_warning(struct model *model, struct message *message, const struct model_seen *seen,
	struct model_time now)
{
	if (message->is_warned && !seen->is_warned &&
		(message->is_surely_warned || !message->is_unsure))
		wrong(model, message, "that its sender was warned is forgotten");
	if (!message->is_warned && seen->is_warned && !message->is_unsure) {
		if (!may_be_warned(model, message, now))
			wrong(model, message, "its sender is warned before the time");
		reach(model, message, STAGE_WARNING, seen, now);
	}
	message->is_warned = seen->is_warned;
}

/* rules: F9 R9 R48 */
static void
look_flush(struct model *model, struct message *message, const struct model_seen *seen)
{
	if (seen->has_flush_mark && seen->unread == 0 && !message->is_flushed)
		wrong(model, message, "its flush mark outlives its round");
}

/* rules: D60 D61 B1 */
static void
check_due(struct model *model, struct message *message, const struct model_seen *seen,
	struct model_time now)
{
	const struct model_options *options = &model->options;
	uint64_t created_us = message->facts.created_us;
	uint64_t age_us =
		created_us > 0 && now.wall_us > created_us ? now.wall_us - created_us : 0;
	uint64_t least = options->backoff_min_us, most;

	if (age_us > options->backoff_max_us)
		age_us = options->backoff_max_us;
	if (age_us > least)
		least = age_us;
	most = least + least * options->jitter_percent / 100 + 1;
	/* One that waits for its turn to expire may come before its time. */
	if (now.wall_us >= end_us(model, message))
		least = options->backoff_min_us;
	if (seen->due_us < now.wall_us + least)
		wrong(model, message, "its next attempt comes too early");
	if (seen->due_us > now.wall_us + most)
		wrong(model, message, "its next attempt comes too late");
}

/* rules: L40 L41 L42 O40 O41 O42 O43 O44 */
static void
check_wish(struct model *model, struct message *message, const struct model_seen *seen)
{
	bool has_open = count(message, MODEL_OPEN) > 0;

	switch (message->wish) {
	case MODEL_DELETE:
		if (seen->ending != MODEL_ENDS)
			wrong(model, message, "it was deleted, and lives on");
		return; /* until it is gone */
	case MODEL_HOLD:
		if (seen->ending == MODEL_DEFERS && !seen->is_held)
			wrong(model, message, "it was put on hold, and is not");
		break;
	case MODEL_RELEASE:
		if (seen->ending == MODEL_DEFERS && seen->is_held)
			wrong(model, message, "it was released, and is on hold");
		break;
	case MODEL_REQUEUE:
		if (seen->ending == MODEL_DEFERS && has_open)
			wrong(model, message, "it was to be requeued, and was not");
		break;
	case MODEL_EXPIRE:
		if (has_open && !seen->is_held && !is_copied(model, message) &&
			seen->ending == MODEL_DEFERS)
			wrong(model, message, "it was to be expired, and was not");
		break;
	case MODEL_NO_WISH:
		break;
	}
	message->wish = MODEL_NO_WISH;
}

/* Nothing of it is under way: what becomes of it now? */
static void
look_ending(struct model *model, struct message *message, const struct model_seen *seen,
	struct model_time now)
{
	enum model_wish wish = message->wish;

	if (seen->ending == MODEL_NOT_ENDING || seen->ending == message->ending)
		return;
	if (seen->ending == MODEL_MOVES && wish != MODEL_REQUEUE)
		wrong(model, message, "it is requeued, and nobody wanted that");
	check_wish(model, message, seen);
	if (seen->ending == MODEL_ENDS && wish != MODEL_DELETE)
		reach(model, message, STAGE_END, seen, now);
	if (seen->ending != MODEL_DEFERS || wish == MODEL_RELEASE || wish == MODEL_DELETE)
		return;
	reach(model, message, STAGE_DEFERRAL, seen, now);
	if (!message->is_clock_set)
		check_due(model, message, seen, now);
}

/* rules: F5 */
static void
look_admission(struct model *model, struct message *message, struct model_time now)
{
	if (message->is_in_memory || message->is_touched || message->is_parked)
		return;
	if (message->due_us > now.wall_us + SECOND_US)
		wrong(model, message, "it is tried before its time");
}

static void
look_idle(struct model *model, struct message *message, const struct model_seen *seen)
{
	if (message->is_in_memory) {
		message->is_touched = message->is_flushed = false;
		message->due_us = seen->due_us;
		message->is_parked = seen->is_parked;
		message->ending = MODEL_NOT_ENDING;
		if (seen->is_held != message->is_held && !message->is_unsure &&
			!message->may_be_held && message->wish == MODEL_NO_WISH)
			wrong(model, message, "it lies elsewhere than it should");
	}
	message->is_in_memory = false;
}

void
model_look(struct model *model, uint64_t queue_id, const struct model_seen *seen,
	struct model_time now)
{
	struct message *message = find(model, queue_id);

	if (message == NULL)
		return;
	if (!seen->is_there) {
		if (message->was_there && message->is_in_memory && !message->is_unsure)
			wrong(model, message, "it vanished");
		message->is_in_memory = false;
		return;
	}
	message->was_there = true;
	if (!seen->is_in_memory) {
		look_idle(model, message, seen);
		return;
	}
	look_admission(model, message, now);
	message->is_in_memory = true;
	if (!seen->is_read)
		return;
	if (seen->recipient_count != message->facts.recipient_count) {
		wrong(model, message, "its recipients are not those that it came with");
		return;
	}
	if (message->facts.created_us == 0)
		message->facts.created_us = seen->created_us;
	if (message->facts.created_us != seen->created_us)
		wrong(model, message, "it is not as old as it is");
	check_given_up(model, message, now);
	look_fates(model, message, seen);
	look_warning(model, message, seen, now);
	look_hold(model, message, seen);
	look_flush(model, message, seen);
	look_ending(model, message, seen, now);
	message->ending = seen->ending;
	message->has_given_up = false;
	message->is_unsure = false;
}
