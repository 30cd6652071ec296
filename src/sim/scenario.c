/* scenario.c - see scenario.h */
#include "sim/scenario.h"

#include "base/clock.h"
#include "base/num.h"
#include "base/rand.h"

#include <stdio.h>

enum { PERCENT = 100, RECIPIENTS_MAX = 1000 };
#define COUNT_MAX UINT64_C(10000000000)
#define SITES_MAX UINT64_C(100000000)

void
scenario_init(struct scenario *scenario)
{
	*scenario = (struct scenario){
		.seed = 1,
		.messages = 10000,
		.sites = 100,
		.zipf = 1000000,
		.adaptive = 1,
		.reuse = 1,
		.retry = 1,
		.sessions = 100,
		.initial = 5,
		.limit = 20,
		.cohorts = 1,
		.minimal_backoff_ns = 300 * NS_PER_S,
		.maximal_backoff_ns = 4000 * NS_PER_S,
		.lifetime_ns = 5 * 86400 * NS_PER_S,
		.destinations = 100000,
		.active_limit = 20000,
		.positive = { .value = WINDOW_UNIT },
		.negative = { .value = WINDOW_UNIT },
	};
}

/* --- values ----------------------------------------------------------------------------------- */

/* 1500ms, 20s, 5m, 2h, 3d. */
static enum err
parse_duration(struct slice text, uint64_t *ret_ns)
{
	static const struct {
		const char *suffix;
		uint64_t ns;
	} units[] = { { "us", 1000 }, { "ms", NS_PER_MS }, { "s", NS_PER_S },
		{ "m", 60 * NS_PER_S }, { "h", 3600 * NS_PER_S }, { "d", 86400 * NS_PER_S } };
	size_t digits = 0;
	uint64_t value;
	enum err err;

	while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
		digits++;
	err = num_parse_u64(slice_head(text, digits), 0, 100000000, &value);
	if (err < 0)
		return err;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (slice_equal_str(slice_from(text, digits), units[i].suffix)) {
			*ret_ns = value * units[i].ns;
			return *ret_ns <= 366 * 86400 * NS_PER_S ? ERR_OK : ERR_RANGE;
		}
	}
	return ERR_SYNTAX;
}

/* A decimal with up to `places` places, in units of 10^-places. */
static enum err
parse_decimal(struct slice text, unsigned places, uint64_t *ret_value)
{
	size_t dot = slice_find(text, '.');
	struct slice part = slice_from(text, dot + 1);
	uint64_t whole, fraction = 0;
	enum err err = num_parse_u64(slice_head(text, dot), 0, 1000000, &whole);

	if (err == ERR_OK && dot < text.len)
		err = part.len > places ? ERR_RANGE : num_parse_u64(part, 0, COUNT_MAX, &fraction);
	if (err < 0)
		return err;
	for (unsigned i = 0; i < places; i++) {
		whole *= 10;
		if (i >= part.len)
			fraction *= 10;
	}
	*ret_value = whole + fraction;
	return ERR_OK;
}

/* 1% or 0.25%, in 1/10000. */
static enum err
parse_percent(struct slice text, uint64_t *ret_value)
{
	if (text.len == 0 || text.ptr[text.len - 1] != '%')
		return ERR_SYNTAX;
	enum err err = parse_decimal(slice_head(text, text.len - 1), 2, ret_value);

	return err == ERR_OK && *ret_value > PERCENT * PERCENT ? ERR_RANGE : err;
}

/* --- lines ------------------------------------------------------------------------------------ */

static struct slice
next_word(struct slice *line)
{
	size_t start = 0, end;

	while (start < line->len && (line->ptr[start] == ' ' || line->ptr[start] == '\t'))
		start++;
	end = start;
	while (end < line->len && line->ptr[end] != ' ' && line->ptr[end] != '\t')
		end++;
	struct slice word = slice_make(line->ptr + start, end - start);

	*line = slice_from(*line, end);
	return word;
}

static enum err
read_outage(struct slice value, struct traits *traits)
{
	size_t plus = slice_find(value, '+');
	enum err err = parse_duration(slice_head(value, plus), &traits->values[TRAIT_OUTAGE]);

	if (err == ERR_OK)
		err = parse_duration(slice_from(value, plus + 1), &traits->outage_length_ns);
	return err;
}

static enum err
read_trait(struct slice name, struct slice value, struct traits *traits)
{
	static const struct {
		const char *name;
		enum trait trait;
		char kind; /* d: duration, n: number, p: percent, o: outage */
	} rows[] = { { "latency", TRAIT_LATENCY, 'd' }, { "connect", TRAIT_CONNECT, 'd' },
		{ "capacity", TRAIT_CAPACITY, 'n' }, { "full", TRAIT_FULL, 'd' },
		{ "greylist", TRAIT_GREYLIST, 'd' }, { "rate", TRAIT_RATE, 'n' },
		{ "outage", TRAIT_OUTAGE, 'o' }, { "bad", TRAIT_BAD, 'p' },
		{ "spread", TRAIT_SPREAD, 'p' } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t *target = &traits->values[rows[i].trait];

		if (!slice_equal_str(name, rows[i].name))
			continue;
		traits->given |= 1u << rows[i].trait;
		if (rows[i].kind == 'd')
			return parse_duration(value, target);
		if (rows[i].kind == 'p')
			return parse_percent(value, target);
		if (rows[i].kind == 'o')
			return read_outage(value, traits);
		return num_parse_u64(value, 0, 1000000000, target);
	}
	return ERR_NOTFOUND;
}

static enum err
read_traits(struct slice line, struct traits *traits)
{
	struct slice word;

	while ((word = next_word(&line)).len > 0) {
		size_t equal = slice_find(word, '=');
		enum err err = read_trait(
			slice_head(word, equal), slice_from(word, equal + 1), traits);

		if (err < 0)
			return err;
	}
	return traits->given != 0 ? ERR_OK : ERR_SYNTAX;
}

/* all TRAITS, some PERCENT TRAITS, site N TRAITS. ERR_NOTFOUND: it is none of them. */
static enum err
read_change(struct scenario *scenario, struct slice key, struct slice line, uint64_t at_ns)
{
	struct change change = { .at_ns = at_ns };
	enum err err = ERR_OK;

	if (slice_equal_str(key, "some")) {
		change.select = SELECT_SOME;
		err = parse_percent(next_word(&line), &change.which);
	} else if (slice_equal_str(key, "site")) {
		change.select = SELECT_ONE;
		err = num_parse_u64(next_word(&line), 0, SITES_MAX, &change.which);
	} else if (!slice_equal_str(key, "all")) {
		return ERR_NOTFOUND;
	}
	if (err == ERR_OK)
		err = read_traits(line, &change.traits);
	if (err == ERR_OK && scenario->change_count == SCENARIO_CHANGES_MAX)
		err = ERR_LIMIT;
	if (err == ERR_OK)
		scenario->changes[scenario->change_count++] = change;
	return err;
}

static enum err
read_at(struct scenario *scenario, struct slice line)
{
	uint64_t at_ns;
	enum err err = parse_duration(next_word(&line), &at_ns);

	if (err < 0)
		return err;
	struct slice key = next_word(&line);

	return read_change(scenario, key, line, at_ns);
}

/* class NAME share=90 senders=10 recipients=1 burst=1 site=0 */
static enum err
read_class(struct scenario *scenario, struct slice line)
{
	struct slice name = next_word(&line), word;
	struct mail_class class = { .share = 1, .senders = 1, .recipients = 1, .burst = 1 };

	if (name.len == 0 || name.len >= sizeof(class.name))
		return ERR_SYNTAX;
	if (scenario->class_count == SCENARIO_CLASSES_MAX)
		return ERR_LIMIT;
	memcpy(class.name, name.ptr, name.len);
	while ((word = next_word(&line)).len > 0) {
		size_t equal = slice_find(word, '=');
		struct slice key = slice_head(word, equal), value = slice_from(word, equal + 1);
		enum err err = ERR_NOTFOUND;

		if (slice_equal_str(key, "share"))
			err = num_parse_u64(value, 1, 1000000, &class.share);
		else if (slice_equal_str(key, "senders"))
			err = num_parse_u64(value, 1, 10000000, &class.senders);
		else if (slice_equal_str(key, "recipients"))
			err = num_parse_u64(value, 1, RECIPIENTS_MAX, &class.recipients);
		else if (slice_equal_str(key, "burst"))
			err = num_parse_u64(value, 1, COUNT_MAX, &class.burst);
		else if (slice_equal_str(key, "site"))
			err = num_parse_u64(value, 0, SITES_MAX, &class.site);
		if (err < 0)
			return err;
		class.has_site |= slice_equal_str(key, "site");
	}
	scenario->classes[scenario->class_count++] = class;
	return ERR_OK;
}

static enum err
read_choice(struct slice value, const char *no, const char *yes, uint64_t *ret_value)
{
	if (slice_equal_str(value, no))
		*ret_value = 0;
	else if (slice_equal_str(value, yes))
		*ret_value = 1;
	else
		return ERR_SYNTAX;
	return ERR_OK;
}

static enum err
read_setting(struct scenario *scenario, struct slice key, struct slice value)
{
	const struct {
		const char *name;
		char kind; /* n: number, d: duration, b: yes or no */
		uint64_t min, max;
		uint64_t *target;
	} rows[] = {
		{ "seed", 'n', 0, UINT64_MAX, &scenario->seed },
		{ "messages", 'n', 1, COUNT_MAX, &scenario->messages },
		{ "sites", 'n', 1, SITES_MAX, &scenario->sites },
		{ "sessions", 'n', 0, 1000000, &scenario->sessions },
		{ "initial", 'n', 1, WINDOW_LIMIT_MAX, &scenario->initial },
		{ "limit", 'n', 0, WINDOW_LIMIT_MAX, &scenario->limit },
		{ "cohorts", 'n', 0, 1000000, &scenario->cohorts },
		{ "destinations", 'n', 0, SITES_MAX, &scenario->destinations },
		{ "active", 'n', 1, COUNT_MAX, &scenario->active_limit },
		{ "arrival", 'd', 0, 0, &scenario->arrival_ns },
		{ "minimal_backoff", 'd', 0, 0, &scenario->minimal_backoff_ns },
		{ "maximal_backoff", 'd', 0, 0, &scenario->maximal_backoff_ns },
		{ "lifetime", 'd', 0, 0, &scenario->lifetime_ns },
		{ "reuse", 'b', 0, 0, &scenario->reuse },
		{ "retry", 'b', 0, 0, &scenario->retry },
		{ "checks", 'b', 0, 0, &scenario->checks },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!slice_equal_str(key, rows[i].name))
			continue;
		if (rows[i].kind == 'd')
			return parse_duration(value, rows[i].target);
		if (rows[i].kind == 'b')
			return read_choice(value, "no", "yes", rows[i].target);
		return num_parse_u64(value, rows[i].min, rows[i].max, rows[i].target);
	}
	if (slice_equal_str(key, "policy"))
		return read_choice(value, "classic", "adaptive", &scenario->adaptive);
	if (slice_equal_str(key, "steps"))
		return read_choice(value, "half", "whole", &scenario->whole_steps);
	if (slice_equal_str(key, "zipf"))
		return parse_decimal(value, 6, &scenario->zipf);
	if (slice_equal_str(key, "positive"))
		return window_feedback_parse(value, &scenario->positive);
	if (slice_equal_str(key, "negative"))
		return window_feedback_parse(value, &scenario->negative);
	return ERR_NOTFOUND;
}

static enum err
read_line(struct scenario *scenario, struct slice line)
{
	struct slice key, value;
	enum err err;

	line = slice_head(line, slice_find(line, '#'));
	key = next_word(&line);
	if (key.len == 0)
		return ERR_OK;
	if (slice_equal_str(key, "class"))
		return read_class(scenario, line);
	if (slice_equal_str(key, "at"))
		return read_at(scenario, line);
	err = read_change(scenario, key, line, 0);
	if (err != ERR_NOTFOUND || slice_equal_str(key, "all") || slice_equal_str(key, "some") ||
		slice_equal_str(key, "site"))
		return err;
	value = next_word(&line);
	if (value.len == 0 || next_word(&line).len > 0)
		return ERR_SYNTAX;
	return read_setting(scenario, key, value);
}

static const char *
why(enum err err)
{
	if (err == ERR_NOTFOUND)
		return "unknown word";
	if (err == ERR_RANGE)
		return "value out of range";
	return err == ERR_LIMIT ? "too many lines of this kind" : "cannot be understood";
}

enum err
scenario_read(struct scenario *scenario, struct slice text, char reterr[SCENARIO_ERROR_SIZE])
{
	unsigned number = 0;

	while (text.len > 0) {
		size_t end = slice_find(text, '\n');
		struct slice line = slice_head(text, end);
		enum err err = read_line(scenario, line);

		number++;
		if (err < 0) {
			(void)snprintf(reterr, SCENARIO_ERROR_SIZE, "line %u: %s: %" SLICE_FMT,
				number, why(err), SLICE_ARG(slice_head(line, 100)));
			return err;
		}
		text = slice_from(text, end + 1);
	}
	for (uint64_t i = 0; i < scenario->class_count; i++) {
		if (scenario->classes[i].has_site && scenario->classes[i].site >= scenario->sites) {
			(void)snprintf(reterr, SCENARIO_ERROR_SIZE,
				"class %s: there is no such site", scenario->classes[i].name);
			return ERR_RANGE;
		}
	}
	return ERR_OK;
}

/* --- from a seed ------------------------------------------------------------------------------ */

static void
draw_site(struct rng *rng, struct scenario *scenario)
{
	struct change *change = &scenario->changes[scenario->change_count++];
	uint64_t outage_s = rng_below(rng, 300);

	change->select = SELECT_SOME;
	change->which = rng_below(rng, 5000);
	change->at_ns = rng_one_in(rng, 3) ? rng_below(rng, 300) * NS_PER_S : 0;
	change->traits.given = (unsigned)rng_below(rng, 1u << TRAIT_COUNT);
	change->traits.outage_length_ns = rng_below(rng, 2000) * NS_PER_S;
	const uint64_t values[TRAIT_COUNT] = {
		[TRAIT_LATENCY] = (1 + rng_below(rng, 20000)) * NS_PER_MS,
		[TRAIT_CONNECT] = rng_below(rng, 30000) * NS_PER_MS,
		[TRAIT_CAPACITY] = rng_below(rng, 30),
		[TRAIT_FULL] = rng_below(rng, 60) * NS_PER_S,
		[TRAIT_GREYLIST] = rng_below(rng, 600) * NS_PER_S,
		[TRAIT_RATE] = 10 + rng_below(rng, 1000),
		[TRAIT_OUTAGE] = outage_s * NS_PER_S,
		[TRAIT_BAD] = rng_below(rng, 5000),
		[TRAIT_SPREAD] = rng_below(rng, 5000),
	};

	memcpy(change->traits.values, values, sizeof(values));
}

void
scenario_draw(struct scenario *scenario, uint64_t seed)
{
	struct rng rng;

	rng_init(&rng, seed);
	scenario_init(scenario);
	scenario->seed = seed;
	scenario->messages = 1 + rng_below(&rng, 2000);
	scenario->arrival_ns = rng_below(&rng, 600) * NS_PER_S;
	scenario->sites = 1 + rng_below(&rng, 30);
	scenario->zipf = rng_below(&rng, 2000000);
	scenario->adaptive = rng_below(&rng, 2);
	scenario->reuse = rng_below(&rng, 2);
	scenario->sessions = rng_below(&rng, 100);
	scenario->initial = 1 + rng_below(&rng, 10);
	scenario->limit = rng_below(&rng, 30);
	scenario->cohorts = rng_below(&rng, 3);
	scenario->destinations = rng_below(&rng, 40);
	scenario->active_limit = 10 + rng_below(&rng, 1000);
	scenario->checks = 1;
	scenario->positive.per_window = rng_one_in(&rng, 2);
	scenario->negative.per_window = rng_one_in(&rng, 2);
	scenario->class_count = 1 + rng_below(&rng, 3);
	for (uint64_t i = 0; i < scenario->class_count; i++) {
		struct mail_class *class = &scenario->classes[i];

		*class = (struct mail_class){ .name = { (char)('a' + i) },
			.share = 1 + rng_below(&rng, 10),
			.senders = 1 + rng_below(&rng, 10),
			.recipients = rng_one_in(&rng, 3) ? 1 + rng_below(&rng, 20) : 1,
			.burst = rng_one_in(&rng, 3) ? 1 + rng_below(&rng, 300) : 1 };
	}
	for (uint64_t i = rng_below(&rng, 8); i > 0; i--)
		draw_site(&rng, scenario);
}
