/*
 * window.c - the classic concurrency feedback (see window.h)
 */
#include "sched/window.h"

#include "base/check.h"
#include "base/num.h"

/* A decimal number from 0 to 1 with up to six places, in WINDOW_UNIT. */
static enum err
window_parse_part(struct slice text, uint64_t max, uint64_t *ret_value)
{
	size_t dot = slice_find(text, '.');
	struct slice places = slice_from(text, dot + 1);
	uint64_t whole = 0, part = 0;
	enum err err = num_parse_u64(slice_head(text, dot), 0, max, &whole);

	if (err < 0)
		return err;
	if (dot < text.len) {
		if (places.len > 6)
			return ERR_RANGE;
		err = num_parse_u64(places, 0, WINDOW_UNIT - 1, &part);
		if (err < 0)
			return err;
		for (size_t i = places.len; i < 6; i++)
			part *= 10;
	}
	*ret_value = whole * WINDOW_UNIT + part;
	return ERR_OK;
}

enum err
window_feedback_parse(struct slice text, struct window_feedback *ret_feedback)
{
	size_t slash = slice_find(text, '/');
	struct slice below = slice_trim(slice_from(text, slash + 1));
	bool per_window = slice_equal_nocase_str(below, "concurrency");
	uint64_t value, divisor = WINDOW_UNIT;
	enum err err = window_parse_part(slice_trim(slice_head(text, slash)), 1000000, &value);

	if (err == ERR_OK && slash < text.len && !per_window)
		err = window_parse_part(below, 1000000, &divisor);
	if (err < 0)
		return err;
	if (divisor == 0)
		return ERR_RANGE;
	value = value * WINDOW_UNIT / divisor;
	if (value > WINDOW_UNIT)
		return ERR_RANGE;
	*ret_feedback = (struct window_feedback){ (uint32_t)value, per_window };
	return ERR_OK;
}

static void
window_check(const struct window *window)
{
	const struct window_options *options = &window->options;

	CHECK((window->limit >= 1) ==
		(window->state == WINDOW_READY || window->state == WINDOW_PROBING));
	CHECK(options->limit_max == 0 || window->limit <= options->limit_max
		|| window->limit <= window->busy);
	CHECK(window->cohorts <= (uint64_t)(options->cohort_limit + 1) * WINDOW_UNIT
		|| options->cohort_limit == 0);
}

/* The only writer of state and, with it, of the limit that the state allows. */
static void
window_enter(struct window *window, enum window_state state, uint32_t limit)
{
	CHECK(window->state == WINDOW_READY || state == WINDOW_READY ||
		(window->state == WINDOW_DEAD && state == WINDOW_PROBING) ||
		(window->state == WINDOW_PROBING && state == WINDOW_DEAD));
	window->state = state;
	window->limit = limit;
	window->success = window->failure = 0;
}

void
window_init(struct window *window, const struct window_options *options)
{
	CHECK(options->initial >= 1 && options->initial <= WINDOW_LIMIT_MAX);
	CHECK(options->limit_max <= WINDOW_LIMIT_MAX);
	*window = (struct window){ .options = *options };
	if (options->has_rate_delay)
		window->options.limit_max = 1;
	if (window->options.limit_max != 0 && window->options.limit_max < options->initial)
		window->options.initial = window->options.limit_max;
	window->limit = window->options.initial;
	window_check(window);
}

void
window_change(struct window *window, const struct window_options *options)
{
	struct window fresh;

	window_init(&fresh, options);
	window->options = fresh.options;
	if (window->state == WINDOW_READY && window->options.limit_max != 0 &&
		window->limit > window->options.limit_max)
		window->limit = window->options.limit_max;
	window->cohorts = 0;
}

enum window_state
window_state(const struct window *window)
{
	return window->state;
}

uint32_t
window_limit(const struct window *window)
{
	return window->limit;
}

uint32_t
window_busy(const struct window *window)
{
	return window->busy;
}

bool
window_is_failing(const struct window *window)
{
	return window->cohorts > 0 || window->state == WINDOW_DEAD ||
	       window->state == WINDOW_PROBING;
}

bool
window_has_room(const struct window *window)
{
	return window->limit > window->busy;
}

void
window_take(struct window *window)
{
	CHECK(window_has_room(window));
	window->busy++;
}

void
window_return(struct window *window)
{
	CHECK(window->busy > 0);
	window->busy--;
}

void
window_begin(struct window *window)
{
	window->busy++;
}

static int64_t
window_feedback_value(const struct window *window, struct window_feedback feedback)
{
	return feedback.per_window ? feedback.value / window->limit : feedback.value;
}

static int64_t
half_ahead(const struct window *window, int64_t feedback)
{
	return window->options.has_whole_steps ? 0 : feedback;
}

/* W7: a success counts only while the window is in use, and the finishing one still is. */
static void
window_widen(struct window *window)
{
	const struct window_options *options = &window->options;
	int64_t gain = window_feedback_value(window, options->positive);

	if ((options->limit_max != 0 && window->limit >= options->limit_max)
		|| window->limit >= WINDOW_LIMIT_MAX
		|| window->limit >= window->busy + options->initial)
		return;
	window->success += gain;
	while (2 * window->success + half_ahead(window, gain) >= 2 * WINDOW_UNIT) {
		window->limit++;
		window->success -= WINDOW_UNIT;
		window->failure = 0;
	}
	if (options->limit_max != 0 && window->limit > options->limit_max)
		window->limit = options->limit_max;
}

void
window_success(struct window *window)
{
	CHECK(window->busy > 0);
	window->cohorts = 0;
	if (window->state == WINDOW_DEAD || window->state == WINDOW_PROBING)
		window_revive(window);
	else if (window->state == WINDOW_READY)
		window_widen(window);
	window->busy--;
	window_check(window);
}

/* W10, W11: the step down comes at the start of a cycle of 1/f failures. */
static void
window_narrow(struct window *window)
{
	int64_t loss = window_feedback_value(window, window->options.negative);

	window->failure -= loss;
	while (2 * window->failure - half_ahead(window, loss) < 0) {
		window->limit--;
		window->success = 0;
		window->failure += WINDOW_UNIT;
		if (window->limit == 0)
			break;
	}
	if (window->limit < 1)
		window->limit = 1;
}

bool
window_session_failure(struct window *window)
{
	const struct window_options *options = &window->options;

	if (window->state == WINDOW_PROBING) {
		window_enter(window, WINDOW_DEAD, 0);
		return true;
	}
	if (window->state != WINDOW_READY)
		return false;
	/* Rounded up, so that N failures at a window of N are a whole cohort (W9). */
	if (options->cohort_limit > 0)
		window->cohorts += (WINDOW_UNIT + window->limit - 1) / window->limit;
	if (options->cohort_limit > 0
		&& window->cohorts >= (uint64_t)options->cohort_limit * WINDOW_UNIT) {
		window_enter(window, WINDOW_DEAD, 0);
		window_check(window);
		return true;
	}
	window_narrow(window);
	window_check(window);
	return false;
}

bool
window_failure(struct window *window)
{
	CHECK(window->busy > 0);
	bool died = window_session_failure(window);

	window->busy--;
	return died;
}

void
window_die(struct window *window)
{
	window_enter(window, WINDOW_DEAD, 0);
}

void
window_probe(struct window *window)
{
	if (window->state == WINDOW_DEAD)
		window_enter(window, WINDOW_PROBING, 1);
}

void
window_revive(struct window *window)
{
	uint32_t limit = window->busy > 0 ? window->busy : window->options.initial;

	if (window->state == WINDOW_PROBING)
		limit = window->options.initial;
	else if (window->state != WINDOW_DEAD)
		return;
	window_enter(window, WINDOW_READY, limit);
	window->cohorts = 0;
}

void
window_suspend(struct window *window)
{
	window_revive(window);
	if (window->state == WINDOW_READY)
		window_enter(window, WINDOW_SUSPENDED, 0);
}

void
window_resume(struct window *window)
{
	if (window->state == WINDOW_SUSPENDED)
		window_enter(window, WINDOW_READY, 1);
}
