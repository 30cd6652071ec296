/* model.c - see model.h */
#include "sim/model.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "sched/sched.h"
#include "sim/events.h"
#include "sim/network.h"

#include <math.h>
#include <stdio.h>

enum { SHARES = 5, JITTER_PERCENT = 10, PROBE_FIRST_S = 10, NAME_SIZE = 24 };

enum event_kind { EVENT_UP, EVENT_REFUSED, EVENT_WORKED, EVENT_FAILED, EVENT_RETRY, EVENT_CHANGE };

/* A message from its arrival to its end. */
struct mail {
	struct sched_message sched;
	uint64_t arrival_ns;
	uint64_t first_try_ns; /* 0: none yet */
	uint32_t sender;       /* of all classes */
	uint32_t class_number;
	uint32_t count, left;  /* recipients; those that are open */
	uint32_t one;          /* the site, if there is one recipient */
	uint32_t *sites;       /* else; DONE: not open any more */
	struct sched_destination *dead; /* held: it waits for this one */
	uint32_t dead_count;   /* recipients that do */
	uint32_t crowded_count; /* of these, because it has too much in memory already */
	bool is_parked;
	bool is_settled;       /* in the list of those to be looked at */
	struct mail *next;
};

#define DONE UINT32_MAX

/* A draw above the threshold is one of the alias. */
struct draw {
	uint32_t threshold, alias;
};

struct model {
	struct scenario scenario;
	struct rng rng;
	uint64_t now_ns;
	struct sched *sched;
	struct sched_transport *transport;
	struct site *sites;
	struct events events, retries;
	/* The generator. */
	uint64_t next_number;
	uint64_t arrival_ns; /* of that message; UINT64_MAX: all have come */
	uint64_t share_sum;
	struct draw *mix; /* Walker's table of the sites; NULL: even */
	uint64_t burst_left;
	uint32_t burst_class, burst_sender;
	uint64_t sender_bases[SCENARIO_CLASSES_MAX];
	struct sender *senders;
	uint64_t sender_count;
	/* Mail. */
	uint64_t active;
	uint64_t parked;
	struct mail *settled;
	struct mail *pool;
	uint64_t grants;
	struct totals totals;
	struct delays delays[SCENARIO_CLASSES_MAX];
	struct course course;
	uint64_t next_point_ns;
	char violation[200];
};

/* --- start and end ---------------------------------------------------------------------------- */

static void
violate(struct model *model, const char *what, uint64_t a, uint64_t b)
{
	if (model->violation[0] == '\0')
		(void)snprintf(model->violation, sizeof(model->violation),
			"%s (%llu, %llu) at %.6f s", what, (unsigned long long)a,
			(unsigned long long)b,
			(double)model->now_ns / (double)NS_PER_S);
}

/* Walker's method: one table look-up per draw, however many sites there are. */
static void
make_mix(struct model *model)
{
	uint64_t count = model->scenario.sites, small = 0, large = 0;
	double exponent = (double)model->scenario.zipf / 1e6, sum = 0;
	double *weight;
	uint32_t *stack;

	if (model->scenario.zipf == 0)
		return;
	weight = mem_array(count, sizeof(*weight));
	stack = mem_array(count, sizeof(*stack));
	model->mix = mem_array(count, sizeof(*model->mix));
	for (uint64_t i = 0; i < count; i++)
		sum += weight[i] = 1 / pow((double)(i + 1), exponent);
	/* The small ones grow from the front of the stack, the large ones from its end. */
	for (uint64_t i = 0; i < count; i++) {
		weight[i] *= (double)count / sum;
		if (weight[i] < 1)
			stack[small++] = (uint32_t)i;
		else
			stack[count - ++large] = (uint32_t)i;
	}
	for (uint64_t i = 0; i < count; i++)
		model->mix[i].threshold = UINT32_MAX;
	while (small > 0 && large > 0) {
		uint32_t poor = stack[--small], rich = stack[count - large];

		model->mix[poor].threshold = (uint32_t)(weight[poor] * (double)UINT32_MAX);
		model->mix[poor].alias = rich;
		weight[rich] -= 1 - weight[poor];
		if (weight[rich] < 1) {
			large--;
			stack[small++] = rich;
		}
	}
	mem_free(weight);
	mem_free(stack);
}

static void
message_done(void *ctx, struct sched_message *message)
{
	struct model *model = ctx;
	struct mail *mail = message->owner;

	CHECK(!mail->is_settled);
	mail->is_settled = true;
	mail->next = model->settled;
	model->settled = mail;
}

static void
make_scheduler(struct model *model)
{
	const struct scenario *scenario = &model->scenario;
	struct sched_options options = {
		.destination_max = (uint32_t)scenario->destinations,
		.is_adaptive = scenario->adaptive,
		.probe_first_ns = PROBE_FIRST_S * NS_PER_S,
		.probe_max_ns = 300 * NS_PER_S,
		.seed = scenario->seed,
		.dead_ns = scenario->minimal_backoff_ns,
		.transport_dead_ns = 60 * NS_PER_S,
		.message_done = message_done,
		.ctx = model,
	};
	struct sched_limits limits = {
		.recipient_max = 50,
		.session_max = (uint32_t)scenario->sessions,
		.share_max = scenario->adaptive ? (uint32_t)scenario->active_limit / SHARES : 0,
		.slots = { .cost = 5, .loan = 3, .discount = 50, .min = 3 },
		.window = {
			.initial = (uint32_t)scenario->initial,
			.limit_max = (uint32_t)scenario->limit,
			.cohort_limit = (uint32_t)scenario->cohorts,
			.has_whole_steps = scenario->whole_steps,
			.positive = scenario->positive,
			.negative = scenario->negative,
		},
	};

	model->sched = sched_new(&options);
	model->transport =
		sched_transport_set(model->sched, SLICE_LIT("smtp"), &limits, model);
}

static void
make_sites(struct model *model)
{
	const struct scenario *scenario = &model->scenario;

	model->sites = mem_array(scenario->sites, sizeof(*model->sites));
	for (uint64_t i = 0; i < scenario->sites; i++) {
		model->sites[i].latency_ns = 50 * NS_PER_MS;
		model->sites[i].connect_ns = 20 * NS_PER_MS;
	}
	for (uint32_t i = 0; i < scenario->change_count; i++) {
		const struct change *change = &scenario->changes[i];
		struct event event = { .at_ns = change->at_ns, .kind = EVENT_CHANGE, .site = i };

		if (change->at_ns > 0)
			events_push(&model->events, &event);
		else
			network_change(model->sites, scenario->sites, change, scenario->seed + i);
	}
}

/* When the next new message comes. */
static void
set_arrival(struct model *model)
{
	const struct scenario *scenario = &model->scenario;

	model->arrival_ns = model->next_number >= scenario->messages
		? UINT64_MAX
		: (uint64_t)((__uint128_t)scenario->arrival_ns * model->next_number /
			  scenario->messages);
}

struct model *
model_new(const struct scenario *scenario)
{
	struct model *model = MEM_NEW(struct model);

	model->scenario = *scenario;
	if (model->scenario.class_count == 0)
		model->scenario.classes[model->scenario.class_count++] = (struct mail_class){
			.name = "mail", .share = 1, .senders = 1, .recipients = 1, .burst = 1 };
	rng_init(&model->rng, scenario->seed);
	for (uint64_t i = 0; i < model->scenario.class_count; i++) {
		model->share_sum += model->scenario.classes[i].share;
		model->sender_bases[i] = model->sender_count;
		model->sender_count += model->scenario.classes[i].senders;
	}
	model->senders = mem_array(model->sender_count, sizeof(*model->senders));
	model->course.step_ns = NS_PER_S / 10;
	make_mix(model);
	make_sites(model);
	make_scheduler(model);
	set_arrival(model);
	return model;
}

void
model_free(struct model *model)
{
	struct mail *mail;

	sched_free(model->sched);
	events_done(&model->events);
	events_done(&model->retries);
	while ((mail = model->pool) != NULL) {
		model->pool = mail->next;
		mem_free(mail);
	}
	mem_free(model->mix);
	mem_free(model->senders);
	mem_free(model->sites);
	mem_free(model);
}

/* --- mail that comes -------------------------------------------------------------------------- */

static uint32_t
draw_site(struct model *model, const struct mail_class *class)
{
	uint64_t draw = rng_next(&model->rng);
	uint32_t site = (uint32_t)((draw >> 32) * model->scenario.sites >> 32);

	if (class->has_site)
		return (uint32_t)class->site;
	if (model->mix != NULL && (uint32_t)draw > model->mix[site].threshold)
		return model->mix[site].alias;
	return site;
}

static void
draw_sender(struct model *model)
{
	const struct scenario *scenario = &model->scenario;
	uint64_t draw = rng_below(&model->rng, model->share_sum);
	uint32_t number = 0;

	while (draw >= scenario->classes[number].share)
		draw -= scenario->classes[number++].share;
	model->burst_class = number;
	model->burst_sender = (uint32_t)(model->sender_bases[number] +
		rng_below(&model->rng, scenario->classes[number].senders));
	model->burst_left = scenario->classes[number].burst;
}

static struct mail *
mail_new(struct model *model)
{
	const struct mail_class *class;
	struct mail *mail = model->pool;

	if (model->burst_left == 0)
		draw_sender(model);
	model->burst_left--;
	class = &model->scenario.classes[model->burst_class];
	if (mail == NULL)
		mail = MEM_NEW(struct mail);
	else
		model->pool = mail->next;
	*mail = (struct mail){ .arrival_ns = model->arrival_ns, .sender = model->burst_sender,
		.class_number = model->burst_class, .count = (uint32_t)class->recipients,
		.left = (uint32_t)class->recipients };
	model->next_number++;
	set_arrival(model);
	model->totals.messages++;
	model->totals.recipients += mail->count;
	if (mail->count == 1) {
		mail->one = draw_site(model, class);
		return mail;
	}
	mail->sites = mem_array(mail->count, sizeof(*mail->sites));
	for (uint32_t i = 0; i < mail->count; i++)
		mail->sites[i] = draw_site(model, class);
	return mail;
}

static void
forget_dead(struct mail *mail)
{
	if (mail->dead != NULL)
		sched_destination_release(mail->dead);
	mail->dead = NULL;
	mail->dead_count = mail->crowded_count = 0;
}

static void
mail_end(struct model *model, struct mail *mail)
{
	forget_dead(mail);
	mem_free(mail->sites);
	mail->next = model->pool;
	model->pool = mail;
	model->totals.end_ns = model->now_ns;
}

static uint32_t *
mail_site(struct mail *mail, uint32_t number)
{
	return mail->sites == NULL ? &mail->one : &mail->sites[number];
}

/* --- assignment ------------------------------------------------------------------------------- */

static size_t
site_name(uint32_t site, char name[NAME_SIZE])
{
	char digits[12];
	size_t count = 0, len = 0;

	do
		digits[count++] = (char)('0' + site % 10);
	while ((site /= 10) > 0);
	while (count > 0)
		name[len++] = digits[--count];
	return len;
}

/* Read of its name once. */
static uint32_t
site_of(struct sched_destination *destination)
{
	uintptr_t known = (uintptr_t)sched_destination_ctx(destination);
	uint64_t value = 0;

	if (known > 0)
		return (uint32_t)(known - 1);
	CHECK(num_parse_u64(sched_destination_name(destination), 0, UINT32_MAX - 1, &value) ==
		ERR_OK);
	sched_destination_set_ctx(destination, (void *)((uintptr_t)value + 1));
	return (uint32_t)value;
}

static void
wait_for(struct mail *mail, struct sched_destination *dead, uint32_t count)
{
	if (mail->dead == NULL) {
		mail->dead = dead;
		sched_destination_hold(dead);
	}
	if (mail->dead == dead)
		mail->dead_count += count;
}

static bool
assign(struct model *model, struct mail *mail, uint32_t number, bool may_be_parked)
{
	uint32_t site = *mail_site(mail, number);
	struct site *receiver = &model->sites[site];
	char name[NAME_SIZE];
	struct sched_reason reason;
	struct sched_assign to = { .transport = model->transport, .number = number,
		.may_be_parked = may_be_parked };

	to.nexthop = slice_make(name, site_name(site, name));
	model->totals.decisions++;
	if (!sched_recipient_assign(model->sched, &mail->sched, &to, &reason)) {
		if (reason.crowded != NULL) {
			wait_for(mail, reason.crowded, 1);
			mail->crowded_count++;
			return false;
		}
		model->totals.suspended++;
		if (reason.dead != NULL)
			wait_for(mail, reason.dead, 1);
		return false;
	}
	if (receiver->sessions == 0 && !receiver->is_waiting) {
		receiver->is_waiting = true;
		receiver->waiting_grants = model->grants;
	}
	return true;
}

/* Classic: all mail is of one sender. */
static uint64_t
class_of(const struct model *model, const struct mail *mail)
{
	return model->scenario.adaptive ? mail->sender + 1 : 0;
}

static void
admit(struct model *model, struct mail *mail)
{
	bool was_parked, is_fetched;

	model->active++;
	was_parked = sched_is_parked(model->sched, (uintptr_t)mail, &is_fetched);
	forget_dead(mail);
	sched_message_add(&mail->sched, mail, model->now_ns / 1000);
	sched_message_set_class(&mail->sched, class_of(model, mail));
	for (uint32_t i = 0; i < mail->count; i++)
		if (*mail_site(mail, i) != DONE)
			(void)assign(model, mail, i, !was_parked);
	sched_unparked(model->sched, (uintptr_t)mail);
	if (sched_message_refs(&mail->sched) == 0)
		message_done(model, &mail->sched);
}

/* Whichever waits longest, as long as there is room. */
static void
admit_all(struct model *model)
{
	uint64_t token;

	while (model->active < model->scenario.active_limit &&
		sched_unpark(model->sched, &token)) {
		struct mail *mail = (struct mail *)(uintptr_t)token;

		CHECK(mail->is_parked);
		mail->is_parked = false;
		model->parked--;
		model->totals.retries += mail->first_try_ns != 0;
		admit(model, mail);
	}
	while (model->active < model->scenario.active_limit) {
		uint64_t arrival_ns = model->arrival_ns;
		uint64_t retry_ns = events_first_ns(&model->retries);

		if (arrival_ns > model->now_ns && retry_ns > model->now_ns)
			return;
		if (arrival_ns <= retry_ns) {
			admit(model, mail_new(model));
			continue;
		}
		model->totals.retries++;
		struct event retry = events_pop(&model->retries);

		admit(model, retry.what);
	}
}

/* --- mail that was tried ---------------------------------------------------------------------- */

static void
defer(struct model *model, struct mail *mail)
{
	const struct scenario *scenario = &model->scenario;
	uint64_t age_ns = model->now_ns - mail->arrival_ns;
	uint64_t wait_ns = num_max_u64(num_min_u64(age_ns, scenario->maximal_backoff_ns),
		scenario->minimal_backoff_ns);
	struct event event = { .kind = EVENT_RETRY, .what = mail };

	if (scenario->adaptive && mail->dead_count == mail->left)
		wait_ns = PROBE_FIRST_S * NS_PER_S;
	wait_ns += rng_below(&model->rng, wait_ns * JITTER_PERCENT / 100 + 1);
	event.at_ns = model->now_ns + wait_ns;
	events_push(&model->retries, &event);
}

static void
park(struct model *model, struct mail *mail)
{
	struct sched_destination *dead = mail->dead;

	mail->is_parked = true;
	model->parked++;
	sched_park(model->sched, dead, class_of(model, mail), (uintptr_t)mail);
	forget_dead(mail);
}

static void
settle(struct model *model, struct mail *mail)
{
	model->active--;
	if (mail->left > 0 && !model->scenario.retry) {
		model->totals.given_up += mail->left;
		mail->left = 0;
	}
	if (mail->left > 0 &&
		model->now_ns >= mail->arrival_ns + model->scenario.lifetime_ns) {
		model->totals.expired += mail->left;
		mail->left = 0;
	}
	if (mail->left > 0 && model->scenario.adaptive && mail->dead_count == mail->left &&
		(mail->crowded_count == mail->left || sched_destination_is_dead(mail->dead)))
		park(model, mail);
	else if (mail->left > 0)
		defer(model, mail);
	else
		mail_end(model, mail);
}

static void
settle_all(struct model *model)
{
	struct mail *mail;

	while ((mail = model->settled) != NULL) {
		model->settled = mail->next;
		mail->is_settled = false;
		settle(model, mail);
	}
}

static void
recipient_delivered(struct model *model, struct mail *mail, uint32_t number)
{
	uint64_t delay_ns = model->now_ns - mail->arrival_ns;

	*mail_site(mail, number) = DONE;
	mail->left--;
	model->totals.delivered++;
	model->totals.last_delivery_ns = model->now_ns;
	delays_add(&model->delays[mail->class_number], delay_ns);
	model->senders[mail->sender].count++;
	model->senders[mail->sender].delay_ns += delay_ns;
}

/* A site that greylists wants to see a message again some time after its first attempt. */
static void
carry(struct model *model, const struct sched_entry *entry, const struct site *site)
{
	struct mail *mail = sched_entry_owner(entry);
	uint32_t count;
	const uint32_t *numbers = sched_entry_recipients(entry, &count);
	bool was_tried = mail->first_try_ns != 0;

	if (!was_tried)
		mail->first_try_ns = num_max_u64(model->now_ns, 1);
	if (site->greylist_ns > 0 &&
		(!was_tried || model->now_ns < mail->first_try_ns + site->greylist_ns))
		return;
	for (uint32_t i = 0; i < count; i++)
		recipient_delivered(model, mail, numbers[i]);
}

static void
drain(struct model *model)
{
	struct sched_reason reason;
	struct sched_entry *entry;

	while ((entry = sched_drain(model->sched, &reason)) != NULL) {
		uint32_t count;

		(void)sched_entry_recipients(entry, &count);
		if (reason.dead != NULL)
			wait_for(sched_entry_owner(entry), reason.dead, count);
		model->sites[site_of(sched_entry_destination(entry))].is_waiting = false;
		model->totals.suspended += count;
		model->totals.decisions++;
		sched_entry_drop(model->sched, entry);
	}
}

/* --- sessions --------------------------------------------------------------------------------- */

static void
push(struct model *model, enum event_kind kind, uint64_t after_ns, uint32_t site, void *what)
{
	struct event event = { model->now_ns + after_ns, kind, site, what };

	events_push(&model->events, &event);
}

static void
check_window(struct model *model, const struct sched_destination *destination)
{
	struct sched_load load;

	sched_destination_load(destination, &load);
	if (load.busy > load.limit)
		violate(model, "a transaction started beyond the window", load.busy,
			load.limit);
	if (model->scenario.limit > 0 && load.sessions > model->scenario.limit)
		violate(model, "more sessions than the limit allows", load.sessions,
			model->scenario.limit);
}

/* Without reuse a transaction makes its own connection, as an agent would. */
static void
begin(struct model *model, struct sched_entry *entry, uint32_t number)
{
	struct site *site = &model->sites[number];
	struct answer answer = { 0, true };
	uint64_t connect_ns = 0;

	if (!model->scenario.reuse) {
		answer = network_connect(site, &model->rng, model->now_ns);
		connect_ns = answer.after_ns;
		if (!answer.works)
			connect_ns = 0;
	}
	if (answer.works) {
		answer = network_transact(site, &model->rng, model->now_ns);
		if (!answer.works && !model->scenario.reuse)
			network_close(site);
	}
	model->totals.busy_ns += connect_ns + answer.after_ns;
	push(model, answer.works ? EVENT_WORKED : EVENT_FAILED, connect_ns + answer.after_ns,
		number, entry);
}

/* What a session does next: the next message, or its end. */
static void
go_on(struct model *model, struct sched_destination *destination, uint32_t number)
{
	struct mono now = { model->now_ns };
	struct sched_entry *entry = sched_take(model->sched, destination, false, now);

	model->totals.decisions++;
	if (entry != NULL) {
		check_window(model, destination);
		begin(model, entry, number);
		return;
	}
	if (model->scenario.reuse)
		network_close(&model->sites[number]);
	model->sites[number].sessions--;
	sched_session_closed(model->sched, destination, true);
}

static void
open_session(struct model *model, struct sched_destination *destination)
{
	uint32_t number = site_of(destination);
	struct site *site = &model->sites[number];
	struct answer answer;

	model->totals.decisions++;
	if (site->is_waiting) {
		uint64_t others = model->grants - site->waiting_grants;

		model->totals.starvation = num_max_u64(model->totals.starvation, others);
		site->is_waiting = false;
	}
	model->grants++;
	site->sessions++;
	if (!model->scenario.reuse) {
		sched_session_ready(model->sched, destination);
		go_on(model, destination, number);
		return;
	}
	answer = network_connect(site, &model->rng, model->now_ns);
	push(model, answer.works ? EVENT_UP : EVENT_REFUSED, answer.after_ns, number, destination);
}

static void
pump(struct model *model)
{
	struct mono now = { model->now_ns };
	struct sched_destination *destination;

	drain(model);
	settle_all(model);
	admit_all(model);
	while ((destination = sched_session_next(model->sched, now)) != NULL)
		open_session(model, destination);
	drain(model);
	settle_all(model);
}

/* --- events ----------------------------------------------------------------------------------- */

static void
refused(struct model *model, struct sched_destination *destination, uint32_t number)
{
	struct mono now = { model->now_ns };
	struct sched_entry *victim = sched_session_failed(model->sched, destination,
		SLICE_LIT("4.4.1"), SLICE_LIT("connection failed"), now);

	model->totals.attempts++;
	model->totals.failed++;
	model->totals.decisions++;
	model->sites[number].sessions--;
	if (victim == NULL)
		return;
	if (sched_destination_is_failing(destination)) {
		uint32_t count;

		(void)sched_entry_recipients(victim, &count);
		wait_for(sched_entry_owner(victim), destination, count);
	}
	sched_entry_drop(model->sched, victim);
}

static void
finish(struct model *model, struct sched_entry *entry, uint32_t number, bool works)
{
	struct site *site = &model->sites[number];
	struct sched_destination *destination = sched_entry_destination(entry);
	struct mail *mail = sched_entry_owner(entry);
	struct mono now = { model->now_ns };
	uint32_t count;

	(void)sched_entry_recipients(entry, &count);
	model->totals.attempts++;
	model->totals.failed += !works;
	model->totals.decisions++;
	if (works)
		carry(model, entry, site);
	sched_entry_finish(model->sched, entry, works, SLICE_LIT("4.4.2"),
		SLICE_LIT("connection lost"), now);
	if (!works && sched_destination_is_failing(destination))
		wait_for(mail, destination, count);
	if (works && !model->scenario.reuse)
		network_close(site);
	if (works && model->scenario.reuse) {
		go_on(model, destination, number);
		return;
	}
	if (model->scenario.reuse)
		network_close(site);
	site->sessions--;
	sched_session_closed(model->sched, destination, true);
}

static void
happen(struct model *model, const struct event *event)
{
	const struct scenario *scenario = &model->scenario;

	switch ((enum event_kind)event->kind) {
	case EVENT_UP:
		sched_session_ready(model->sched, event->what);
		go_on(model, event->what, event->site);
		return;
	case EVENT_REFUSED:
		refused(model, event->what, event->site);
		return;
	case EVENT_WORKED:
		finish(model, event->what, event->site, true);
		return;
	case EVENT_FAILED:
		finish(model, event->what, event->site, false);
		return;
	case EVENT_CHANGE:
		network_change(model->sites, scenario->sites, &scenario->changes[event->site],
			scenario->seed + event->site);
		return;
	case EVENT_RETRY:
		UNREACHED();
		return;
	}
}

/* Site 0 is the one whose window is drawn. */
static void
take_point(struct model *model)
{
	const struct totals *totals = &model->totals;
	struct point point = {
		.at_ns = model->now_ns,
		.delivered = totals->delivered,
		.failed = totals->failed,
		.waiting = model->active + model->parked + model->retries.count,
	};
	struct sched_destination *destination = sched_destination_next(model->sched, NULL);
	struct sched_counts counts;

	sched_counts(model->sched, &counts);
	model->totals.destinations =
		num_max_u64(model->totals.destinations, counts.destinations);
	if (destination != NULL && site_of(destination) == 0) {
		struct sched_status status;

		sched_destination_status(destination, &status);
		point.window = status.limit;
		point.busy = status.busy;
	}
	course_add(&model->course, &point);
	model->next_point_ns = model->now_ns + model->course.step_ns;
}

static uint64_t
next_ns(const struct model *model)
{
	uint64_t next = num_min_u64(
		events_first_ns(&model->events), sched_due(model->sched).ns);

	if (model->active < model->scenario.active_limit)
		next = num_min_u64(next, num_min_u64(model->arrival_ns,
						 events_first_ns(&model->retries)));
	return next;
}

static void
check_end(struct model *model)
{
	const struct totals *totals = &model->totals;
	struct sched_counts counts;

	sched_counts(model->sched, &counts);
	if (totals->delivered + totals->expired + totals->given_up != totals->recipients)
		violate(model, "recipients were lost",
			totals->delivered + totals->expired + totals->given_up,
			totals->recipients);
	if (model->active > 0 || model->retries.count > 0 || model->parked > 0)
		violate(model, "messages did not end", model->active,
			model->retries.count + model->parked);
	if (counts.waiting + counts.busy + counts.sessions > 0)
		violate(model, "the scheduler still has work", counts.waiting, counts.sessions);
}

/* Round robin: before a site's first session each other site gets one at most. */
static void
check_starvation(struct model *model)
{
	if (model->totals.starvation > model->scenario.sites)
		violate(model, "a site waited while others got a second session",
			model->totals.starvation, model->scenario.sites);
}

static bool
is_over(const struct model *model)
{
	return model->next_number == model->scenario.messages && model->active == 0 &&
	       model->retries.count == 0 && model->events.count == 0 && model->parked == 0;
}

void
model_run(struct model *model)
{
	uint64_t next;

	pump(model);
	while (model->violation[0] == '\0' && (next = next_ns(model)) != UINT64_MAX) {
		model->now_ns = num_max_u64(next, model->now_ns);
		sched_step(model->sched, (struct mono){ model->now_ns });
		while (events_first_ns(&model->events) <= model->now_ns) {
			struct event event = events_pop(&model->events);

			happen(model, &event);
		}
		pump(model);
		if (model->now_ns >= model->next_point_ns)
			take_point(model);
		if (model->scenario.checks)
			sched_check(model->sched);
		if (is_over(model))
			break;
	}
	take_point(model);
	check_end(model);
	check_starvation(model);
}

const struct totals *
model_totals(const struct model *model)
{
	return &model->totals;
}

const struct delays *
model_delays(const struct model *model, uint64_t class_number)
{
	return &model->delays[class_number];
}

const struct course *
model_course(const struct model *model)
{
	return &model->course;
}

double
model_jain(const struct model *model)
{
	return stats_jain(model->senders, model->sender_count);
}

const char *
model_violation(const struct model *model)
{
	return model->violation[0] == '\0' ? NULL : model->violation;
}
