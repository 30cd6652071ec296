/*
 * clock_watch.c - the wall clock beside boot time: what is done when somebody sets it
 *
 * Due times are wall time, because they must outlive a restart; waiting is boot time. A clock that
 * is set makes both differ: mail that was to be tried in an hour would wait for years, or nobody
 * would know which attempts are recent. So a step is said, due times further away than a message
 * can be deferred for are pulled in, and attempts before it do not count for expiry (done.c). After
 * a step back times come again, so what a round found out that was under way does not count at all.
 *
 * A step while Ostler was down shows only if the clock is behind the journal, whose time never goes
 * back; queue IDs then go on from the journal's time (intake.c).
 *
 * KNOWN LIMITS: a step of less than CLOCK_STEP_US, or one forward while Ostler was down, is not
 * told from time that passed.
 */
#include "qmgr/core_priv.h"

#include "base/num.h"

enum { CLOCK_SLICE = 500 }; /* messages looked at in a step */
#define CLOCK_STEP_US (60 * US_PER_S)
#define CLOCK_BEHIND_US (1 * US_PER_S)

/* --- how far away an attempt may be ----------------------------------------------------------- */

static uint64_t
backoff_min_us(const struct core *core)
{
	return config_time_s(core->config, NULL, PARAM_MINIMAL_BACKOFF_TIME) * US_PER_S;
}

/* The minimum wins over the maximum, and jitter adds (defer.c). */
static uint64_t
backoff_max_us(const struct core *core)
{
	uint64_t max_us = config_time_s(core->config, NULL, PARAM_MAXIMAL_BACKOFF_TIME) * US_PER_S;

	max_us = num_max_u64(max_us, backoff_min_us(core));
	return max_us + max_us * DEFER_JITTER_PERCENT / 100 + US_PER_S;
}

/* Spread, so that what was pulled in does not come due in one second. */
void
clock_watch_pull(struct core *core, store_ref ref)
{
	uint64_t min_us = backoff_min_us(core), max_us = backoff_max_us(core);
	struct store_info info;

	store_info(core->store, ref, &info);
	if (info.due_us <= core->now.wall.us + max_us)
		return;
	store_set_due(core->store, ref,
		core->now.wall.us + min_us + rng_below(&core->rng, max_us - min_us));
}

static void
pull_slice(struct core *core)
{
	struct clock_watch *watch = &core->clock;

	for (unsigned i = 0; i < CLOCK_SLICE && watch->is_pulling; i++) {
		watch->cursor = store_next(core->store, watch->cursor);
		if (watch->cursor == 0)
			watch->is_pulling = false;
		else
			clock_watch_pull(core, watch->cursor);
	}
}

/* Changes under way will set due times that were thought out before the step. */
static void
pull_begin(struct core *core)
{
	struct change *change;

	core->clock.is_pulling = true;
	core->clock.cursor = 0;
	TAILQ_FOREACH (change, &core->changes, link)
		change->is_overtaken = true;
	core_mark(core);
}

/* --- steps ------------------------------------------------------------------------------------ */

static uint64_t
boot_us(struct instant now)
{
	return now.wall.us - now.mono.ns / 1000;
}

/* What the clock was set by; small differences are taken over, so that drift never adds up. */
static void
look_for_step(struct core *core)
{
	struct clock_watch *watch = &core->clock;
	uint64_t boot = boot_us(core->now);
	int64_t by_us = (int64_t)(boot - watch->boot_us);
	uint64_t size_us = by_us < 0 ? (uint64_t)-by_us : (uint64_t)by_us;

	watch->boot_us = boot;
	if (size_us <= CLOCK_STEP_US || (core->options.planted & CORE_PLANT_CLOCK_UNSEEN))
		return;
	log_event(core->log, EV_qmgr_clock_step, LOG_Z(by_us < 0 ? "back" : "forward"),
		LOG_U(size_us / US_PER_S));
	core->trust_since = core->now.wall;
	if (by_us < 0)
		watch->back_at = core->now.mono;
	/* An answer from before must not look like a fresh attempt. */
	nexthop_flush(core);
	pull_begin(core);
}

void
clock_watch_begin(struct core *core)
{
	core->clock.boot_us = boot_us(core->now);
	core->trust_since = core->now.wall;
}

void
clock_watch_opened(struct core *core)
{
	uint64_t log_us = journal_wall_us(store_journal(core->store));
	uint64_t now_us = core->now.wall.us;

	if (now_us + CLOCK_BEHIND_US > log_us)
		return;
	log_event(core->log, EV_qmgr_clock_behind, LOG_U((log_us - now_us) / US_PER_S));
	pull_begin(core);
}

void
clock_watch_step(struct core *core)
{
	look_for_step(core);
	if (core->is_complete)
		pull_slice(core);
}

bool
clock_watch_is_due(const struct core *core)
{
	return core->clock.is_pulling && core->is_complete;
}
