/* state.c - see state.h */
#include "message/state.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/wire.h"
#include "message/utf8.h"

enum {
	STATE_VERSION = 1,
	STATE_BRIEF = 2, /* version of what state_encode_brief() writes */
	RESULT_VERSION = 1,
	RESULT_LAST_AT = 13,    /* offset of the place of the last full reason */
	RESULT_HEADER_SIZE = 17,
	REASON_PARTS = 4,
	REASON_SEARCH_MAX = 64, /* how many stored reasons are compared with a new one */
};

#define US_PER_MS UINT64_C(1000)
#define STATE_MS_MAX (UINT64_MAX / US_PER_MS)

/* Attempts of one round that are no further apart count as made at one time. */
#define REASON_TIME_US (10 * US_PER_S)

/* One reason, shared by `refs` recipients; a slot with refs 0 is free and holds nothing. */
struct state_stored_reason {
	uint64_t hash;
	uint64_t time_us;
	uint32_t refs;
	uint16_t length[REASON_PARTS];
	uint8_t *bytes;
};

/* --- life ------------------------------------------------------------------------------------- */

enum err
state_init(struct state *state, uint32_t recipient_count)
{
	*state = (struct state){ .recipient_count = recipient_count };
	if (recipient_count > STATE_RECIPIENTS_MAX) {
		state->recipient_count = 0;
		return ERR_LIMIT;
	}
	if (recipient_count == 0)
		return ERR_OK;
	state->recipients = mem_try(recipient_count * sizeof(*state->recipients));
	if (state->recipients == NULL) {
		state->recipient_count = 0;
		return ERR_NOMEM;
	}
	memset(state->recipients, 0, recipient_count * sizeof(*state->recipients));
	state->class_count[STATE_OPEN] = recipient_count;
	return ERR_OK;
}

void
state_done(struct state *state)
{
	for (uint32_t i = 0; i < state->reason_count; i++)
		mem_free(state->reasons[i].bytes);
	mem_free(state->reasons);
	mem_free(state->recipients);
	*state = (struct state){ 0 };
}

bool
state_is_live(const struct state *state)
{
	return state->class_count[STATE_OPEN] > 0 ||
	       state->class_count[STATE_DELIVERED_PENDING] > 0 ||
	       state->class_count[STATE_BOUNCE_PENDING] > 0;
}

enum state_class
state_class(const struct state *state, uint32_t number)
{
	CHECK(number < state->recipient_count);
	return (enum state_class)state->recipients[number].class;
}

/* --- reasons ---------------------------------------------------------------------------------- */

static void
reason_view(const struct state_stored_reason *stored, struct state_reason *ret_reason)
{
	const uint8_t *at = stored->bytes;
	struct slice *parts[REASON_PARTS] = { &ret_reason->dsn, &ret_reason->text,
		&ret_reason->remote_mta, &ret_reason->diagnostic };

	for (int i = 0; i < REASON_PARTS; i++) {
		*parts[i] = slice_make(at, stored->length[i]);
		at += stored->length[i];
	}
	ret_reason->time_us = stored->time_us;
}

bool
state_reason(const struct state *state, uint32_t number, struct state_reason *ret_reason)
{
	CHECK(number < state->recipient_count);
	uint32_t place = state->recipients[number].reason;

	if (place == 0)
		return false;
	reason_view(&state->reasons[place - 1], ret_reason);
	return true;
}

static void
reason_release(struct state *state, uint32_t place)
{
	if (place == 0)
		return;
	struct state_stored_reason *stored = &state->reasons[place - 1];

	CHECK(stored->refs > 0);
	if (--stored->refs > 0)
		return;
	mem_free(stored->bytes);
	*stored = (struct state_stored_reason){ 0 };
	while (state->reason_count > 0 && state->reasons[state->reason_count - 1].refs == 0)
		state->reason_count--;
}

/* Cuts what is too long, so that all parts are as they will be stored. */
static struct state_reason
reason_bounded(const struct state_reason *reason)
{
	struct state_reason bounded = *reason;
	struct slice *parts[REASON_PARTS] = { &bounded.dsn, &bounded.text, &bounded.remote_mta,
		&bounded.diagnostic };

	for (int i = 0; i < REASON_PARTS; i++)
		if (parts[i]->len > STATE_TEXT_MAX)
			parts[i]->len = utf8_cut(*parts[i], STATE_TEXT_MAX);
	return bounded;
}

static uint64_t
reason_hash(const struct state_reason *reason)
{
	uint64_t hash = hash_bytes(reason->dsn);

	hash = hash * 31 + hash_bytes(reason->text);
	hash = hash * 31 + hash_bytes(reason->remote_mta);
	return hash * 31 + hash_bytes(reason->diagnostic);
}

/*
 * Recipients with one reason share it, and its time is that of the first: nobody seems to have been
 * tried later than he was, because then he might be returned untried.
 */
static bool
reason_is(const struct state_stored_reason *stored, uint64_t hash,
	const struct state_reason *reason)
{
	struct state_reason held;

	if (stored->refs == 0 || stored->hash != hash || stored->time_us > reason->time_us ||
		reason->time_us - stored->time_us > REASON_TIME_US)
		return false;
	reason_view(stored, &held);
	return slice_equal(held.dsn, reason->dsn) && slice_equal(held.text, reason->text) &&
	       slice_equal(held.remote_mta, reason->remote_mta) &&
	       slice_equal(held.diagnostic, reason->diagnostic);
}

/* A free slot's place, or 0. */
static uint32_t
reason_slot(struct state *state)
{
	uint32_t from = state->reason_count > REASON_SEARCH_MAX
				? state->reason_count - REASON_SEARCH_MAX
				: 0;

	for (uint32_t i = from; i < state->reason_count; i++)
		if (state->reasons[i].refs == 0)
			return i + 1;
	if (state->reason_count == STATE_REASONS_MAX)
		return 0;
	if (state->reason_count == state->reason_cap) {
		uint32_t cap = state->reason_cap == 0 ? 2 : state->reason_cap * 2;
		void *grown = mem_try_resize(state->reasons, cap * sizeof(*state->reasons));

		if (grown == NULL)
			return 0;
		state->reasons = grown;
		state->reason_cap = cap;
	}
	state->reasons[state->reason_count] = (struct state_stored_reason){ 0 };
	return ++state->reason_count;
}

/* Stores a reason as new; 0: it cannot be. */
static uint32_t
reason_new(struct state *state, uint64_t hash, const struct state_reason *reason)
{
	const struct slice parts[REASON_PARTS] = { reason->dsn, reason->text, reason->remote_mta,
		reason->diagnostic };
	size_t total = 1;

	for (int i = 0; i < REASON_PARTS; i++)
		total += parts[i].len;
	uint8_t *bytes = mem_try(total);

	if (bytes == NULL)
		return 0;
	uint32_t place = reason_slot(state);

	if (place == 0) {
		mem_free(bytes);
		return 0;
	}
	struct state_stored_reason *stored = &state->reasons[place - 1];

	*stored = (struct state_stored_reason){ hash, reason->time_us, 1, { 0 }, bytes };
	for (int i = 0; i < REASON_PARTS; i++) {
		if (parts[i].len > 0)
			memcpy(bytes, parts[i].ptr, parts[i].len);
		bytes += parts[i].len;
		stored->length[i] = (uint16_t)parts[i].len;
	}
	return place;
}

/* The place of a reason with one reference more; 0: out of memory. */
static uint32_t
reason_take(struct state *state, const struct state_reason *given)
{
	struct state_reason reason = reason_bounded(given);
	uint64_t hash = reason_hash(&reason);
	uint32_t searched = 0;

	for (uint32_t i = state->reason_count; i > 0 && searched < REASON_SEARCH_MAX;
		i--, searched++)
		if (reason_is(&state->reasons[i - 1], hash, &reason)) {
			state->reasons[i - 1].refs++;
			return i;
		}
	uint32_t place = reason_new(state, hash, &reason);

	if (place == 0 && state->reason_count == STATE_REASONS_MAX) {
		place = state->reason_count;
		state->reasons[place - 1].refs++;
	}
	return place;
}

/* --- steps ------------------------------------------------------------------------------------ */

static bool
step_is_allowed(enum state_class from, enum state_class to)
{
	switch (from) {
	case STATE_OPEN:
		return to != STATE_BOUNCED && to < STATE_CLASS_COUNT;
	case STATE_DELIVERED_PENDING:
		return to == STATE_DELIVERED;
	case STATE_BOUNCE_PENDING:
		return to == STATE_BOUNCED;
	case STATE_DELIVERED:
	case STATE_BOUNCED:
	case STATE_REMOVED:
	case STATE_CLASS_COUNT:
		return false;
	}
	return false;
}

bool
state_set(struct state *state, uint32_t number, enum state_class to,
	const struct state_reason *reason)
{
	CHECK(number < state->recipient_count);
	struct state_recipient *recipient = &state->recipients[number];
	enum state_class from = (enum state_class)recipient->class;

	if (!step_is_allowed(from, to))
		return false;
	if (reason != NULL || from == STATE_OPEN) {
		uint32_t place = reason == NULL ? 0 : reason_take(state, reason);

		/* Nobody else has it: its time is that of this attempt. */
		if (place != 0 && place == recipient->reason && state->reasons[place - 1].refs == 2)
			state->reasons[place - 1].time_us = reason->time_us;
		reason_release(state, recipient->reason);
		recipient->reason = place;
	}
	recipient->class = (uint8_t)to;
	state->class_count[from]--;
	state->class_count[to]++;
	return true;
}

/* --- STATE records ---------------------------------------------------------------------------- */

static void
put_text(struct buf *bytes, struct slice text, size_t max)
{
	wire_put_bytes(bytes, text.len > max ? slice_head(text, utf8_cut(text, max)) : text);
}

static void
put_reason(struct buf *bytes, const struct state_reason *reason, size_t text_max)
{
	wire_put_bytes(bytes, reason->dsn);
	put_text(bytes, reason->text, text_max);
	put_text(bytes, reason->remote_mta, text_max);
	put_text(bytes, reason->diagnostic, text_max);
}

/* `places`: of each reason in the payload, where free ones have none. */
static void
put_recipients(const struct state *state, const uint32_t *places, struct buf *bytes)
{
	uint32_t run = 1;

	for (uint32_t i = 0; i < state->recipient_count; i += run) {
		const struct state_recipient *first = &state->recipients[i];

		for (run = 1; i + run < state->recipient_count; run++) {
			const struct state_recipient *next = first + run;

			if (next->class != first->class || next->reason != first->reason)
				break;
		}
		wire_put_u32(bytes, run);
		wire_put_u8(bytes, first->class);
		wire_put_u32(bytes, first->reason == 0 ? 0 : places[first->reason - 1]);
	}
}

/* Upper bound of an encoded state whose texts are cut so. */
static size_t
encoded_size(const struct state *state, size_t text_max)
{
	size_t size = 64;

	for (uint32_t i = 0; i < state->reason_count; i++) {
		size += 32;
		for (int part = 0; part < REASON_PARTS; part++)
			size += num_min_u64(state->reasons[i].length[part], text_max);
	}
	return size + (size_t)state->recipient_count * 9;
}

/* How long texts may be: a next hop that answers each of many recipients with a page of its own
 * must not make a state that the journal cannot take. */
static size_t
text_limit(const struct state *state)
{
	size_t max = STATE_TEXT_MAX;
	size_t limit = num_max_u64(
		STATE_BYTES_MAX, STATE_BYTES_MAX / 3 + (size_t)state->recipient_count * 9);

	while (max > 0 && encoded_size(state, max) > limit)
		max /= 2;
	return max;
}

static void
put_reasons(const struct state *state, uint32_t *places, size_t text_max, struct buf *bytes)
{
	size_t at = bytes->len;
	uint32_t count = 0;

	wire_put_u32(bytes, 0);
	for (uint32_t i = 0; i < state->reason_count; i++) {
		struct state_reason reason;

		if (state->reasons[i].refs == 0)
			continue;
		places[i] = ++count;
		reason_view(&state->reasons[i], &reason);
		wire_put_u64(bytes, reason.time_us);
		put_reason(bytes, &reason, text_max);
	}
	wire_set_u32(bytes, at, count);
}

enum err
state_encode(const struct state *state, struct buf *bytes)
{
	size_t text_max = text_limit(state);
	enum err err = buf_reserve(bytes, encoded_size(state, text_max));
	uint32_t *places;

	if (err != ERR_OK)
		return err;
	places = mem_try((state->reason_count + (size_t)1) * sizeof(*places));
	if (places == NULL)
		return ERR_NOMEM;
	wire_put_u8(bytes, STATE_VERSION);
	wire_put_u32(bytes, state->flags);
	wire_put_u32(bytes, state->attempts);
	wire_put_u32(bytes, state->worker_deaths);
	wire_put_u64(bytes, state->last_attempt_us);
	wire_put_u64(bytes, state->next_attempt_us);
	wire_put_u64(bytes, state->warn_us);
	wire_put_u32(bytes, state->recipient_count);
	put_reasons(state, places, text_max, bytes);
	put_recipients(state, places, bytes);
	mem_free(places);
	return ERR_OK;
}

/* The one reason of all recipients, who are all OPEN; 0: it is not so. */
static uint32_t
only_reason(const struct state *state)
{
	if (state->recipient_count == 0 ||
		state->class_count[STATE_OPEN] != state->recipient_count)
		return 0;
	for (uint32_t i = 1; i < state->recipient_count; i++)
		if (state->recipients[i].reason != state->recipients[0].reason)
			return 0;
	return state->recipients[0].reason;
}

/* The difference of two times in few bytes, whichever is later. */
static void
put_difference(struct buf *bytes, uint64_t us, uint64_t from_us)
{
	uint64_t ms = us / US_PER_MS, from = from_us / US_PER_MS;

	wire_put_varint(bytes, ms >= from ? (ms - from) * 2 : (from - ms) * 2 - 1);
}

bool
state_encode_brief(const struct state *state, struct buf *bytes, size_t *ret_shared)
{
	uint32_t place = only_reason(state);
	struct state_reason reason;
	size_t text_max = text_limit(state), start;

	if (place == 0 || buf_reserve(bytes, encoded_size(state, text_max)) != ERR_OK)
		return false;
	reason_view(&state->reasons[place - 1], &reason);
	wire_put_u8(bytes, STATE_BRIEF);
	wire_put_varint(bytes, state->attempts);
	wire_put_varint(bytes, state->last_attempt_us / US_PER_MS);
	put_difference(bytes, state->next_attempt_us, state->last_attempt_us);
	put_difference(bytes, reason.time_us, state->last_attempt_us);
	start = bytes->len;
	wire_put_u32(bytes, state->flags);
	wire_put_u32(bytes, state->worker_deaths);
	wire_put_u64(bytes, state->warn_us);
	wire_put_u32(bytes, state->recipient_count);
	put_reason(bytes, &reason, text_max);
	*ret_shared = bytes->len - start;
	return true;
}

static struct state_reason
get_reason(struct wire_reader *reader)
{
	struct state_reason reason = { 0 };

	reason.dsn = wire_get_bytes(reader);
	reason.text = wire_get_bytes(reader);
	reason.remote_mta = wire_get_bytes(reader);
	reason.diagnostic = wire_get_bytes(reader);
	return reason;
}

/* Reasons are kept at their places; refs are counted when the recipients are read. */
static enum err
decode_reasons(struct wire_reader *reader, struct state *state)
{
	uint32_t count = wire_get_u32(reader);

	if (count > STATE_REASONS_MAX)
		return ERR_LIMIT;
	for (uint32_t i = 0; i < count && !reader->failed; i++) {
		uint64_t time_us = wire_get_u64(reader);
		struct state_reason given = get_reason(reader);
		struct state_reason reason = reason_bounded(&given);

		reason.time_us = time_us;
		uint32_t place = reason_new(state, reason_hash(&reason), &reason);

		if (place == 0)
			return ERR_NOMEM;
		CHECK(place == i + 1);
	}
	return reader->failed ? ERR_SYNTAX : ERR_OK;
}

static enum err
decode_recipients(struct wire_reader *reader, struct state *state)
{
	uint32_t at = 0;

	while (at < state->recipient_count && !reader->failed) {
		uint32_t run = wire_get_u32(reader);
		uint8_t class = wire_get_u8(reader);
		uint32_t reason = wire_get_u32(reader);

		if (reader->failed || run == 0 || run > state->recipient_count - at ||
			class >= STATE_CLASS_COUNT || reason > state->reason_count)
			return ERR_SYNTAX;
		for (uint32_t i = 0; i < run; i++)
			state->recipients[at + i] = (struct state_recipient){ class, reason };
		state->class_count[STATE_OPEN] -= run;
		state->class_count[class] += run;
		if (reason > 0)
			state->reasons[reason - 1].refs += run;
		at += run;
	}
	return wire_done(reader);
}

/* Takes back the reference that each reason got when it was made; nobody's ones go. */
static void
drop_unused_reasons(struct state *state)
{
	uint32_t count = state->reason_count;

	for (uint32_t i = count; i > 0; i--)
		reason_release(state, i);
}

/* The fields of version 1. */
static enum err
decode_full(struct wire_reader *reader, struct state *state)
{
	enum err err;

	state->flags = wire_get_u32(reader);
	state->attempts = wire_get_u32(reader);
	state->worker_deaths = wire_get_u32(reader);
	state->last_attempt_us = wire_get_u64(reader);
	state->next_attempt_us = wire_get_u64(reader);
	state->warn_us = wire_get_u64(reader);
	if (wire_get_u32(reader) != state->recipient_count)
		return ERR_SYNTAX;
	err = decode_reasons(reader, state);
	if (err == ERR_OK)
		err = decode_recipients(reader, state);
	if (err == ERR_OK)
		drop_unused_reasons(state);
	return err;
}

static uint64_t
get_ms(struct wire_reader *reader)
{
	uint64_t ms = wire_get_varint(reader);

	reader->failed |= ms > STATE_MS_MAX;
	return reader->failed ? 0 : ms * US_PER_MS;
}

static uint64_t
get_difference(struct wire_reader *reader, uint64_t from_us)
{
	uint64_t coded = wire_get_varint(reader), from = from_us / US_PER_MS;
	uint64_t by = coded / 2 + (coded & 1);

	reader->failed |= (coded & 1) != 0 ? by > from : by > STATE_MS_MAX - from;
	if (reader->failed)
		return 0;
	return ((coded & 1) != 0 ? from - by : from + by) * US_PER_MS;
}

static enum err
decode_brief(struct wire_reader *reader, struct state *state)
{
	uint64_t attempts = wire_get_varint(reader), time_us;
	struct state_reason given, reason;

	state->attempts = (uint32_t)attempts;
	state->last_attempt_us = get_ms(reader);
	state->next_attempt_us = get_difference(reader, state->last_attempt_us);
	time_us = get_difference(reader, state->last_attempt_us);
	state->flags = wire_get_u32(reader);
	state->worker_deaths = wire_get_u32(reader);
	state->warn_us = wire_get_u64(reader);
	if (wire_get_u32(reader) != state->recipient_count || state->recipient_count == 0 ||
		attempts > UINT32_MAX)
		return ERR_SYNTAX;
	given = get_reason(reader);
	if (wire_done(reader) != ERR_OK)
		return ERR_SYNTAX;
	reason = reason_bounded(&given);
	reason.time_us = time_us;
	if (reason_new(state, reason_hash(&reason), &reason) == 0)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < state->recipient_count; i++)
		state->recipients[i].reason = 1;
	state->reasons[0].refs = state->recipient_count;
	return ERR_OK;
}

enum err
state_decode(struct slice bytes, uint32_t recipient_count, struct state *ret_state)
{
	struct wire_reader reader = wire_reader(bytes);
	enum err err = state_init(ret_state, recipient_count);

	if (err != ERR_OK)
		return err;
	uint8_t version = wire_get_u8(&reader);

	if (version == STATE_VERSION)
		err = decode_full(&reader, ret_state);
	else if (version == STATE_BRIEF)
		err = decode_brief(&reader, ret_state);
	else
		err = reader.failed ? ERR_SYNTAX : ERR_VERSION;
	if (err == ERR_OK)
		return ERR_OK;
	state_done(ret_state);
	enum err again = state_init(ret_state, recipient_count);

	return again != ERR_OK ? again : err;
}

/* --- RESULT records --------------------------------------------------------------------------- */

void
state_result_begin(struct buf *bytes, uint32_t attempt, uint64_t time_us)
{
	CHECK(bytes->len == 0);
	wire_put_u8(bytes, RESULT_VERSION);
	wire_put_u32(bytes, attempt);
	wire_put_u64(bytes, time_us);
	wire_put_u32(bytes, 0);
}

/* Whether the last full reason of the payload is this one. */
static bool
last_reason_is(const struct buf *bytes, const struct state_reason *reason)
{
	uint32_t at = wire_load_u32(bytes->ptr + RESULT_LAST_AT);

	if (at == 0)
		return false;
	struct wire_reader reader = wire_reader(slice_from(buf_slice(bytes), at));
	struct state_reason last = get_reason(&reader);

	return slice_equal(last.dsn, reason->dsn) && slice_equal(last.text, reason->text) &&
	       slice_equal(last.remote_mta, reason->remote_mta) &&
	       slice_equal(last.diagnostic, reason->diagnostic);
}

enum err
state_result_put(struct buf *bytes, const struct state_result *result)
{
	CHECK(bytes->len >= RESULT_HEADER_SIZE);
	struct state_reason reason = reason_bounded(&result->reason);
	bool is_same = last_reason_is(bytes, &reason);
	enum err err = buf_reserve(bytes, 32 + reason.dsn.len + reason.text.len +
			reason.remote_mta.len + reason.diagnostic.len);

	if (err != ERR_OK)
		return err;
	wire_put_u32(bytes, result->number);
	wire_put_u8(bytes, result->class);
	wire_put_u8(bytes, is_same);
	if (!is_same) {
		wire_set_u32(bytes, RESULT_LAST_AT, (uint32_t)bytes->len);
		put_reason(bytes, &reason, STATE_TEXT_MAX);
	}
	return ERR_OK;
}

enum err
state_result_read(struct slice bytes, struct state_result_reader *ret_reader)
{
	struct wire_reader reader = wire_reader(bytes);
	uint8_t version = wire_get_u8(&reader);

	*ret_reader = (struct state_result_reader){ .first = true };
	ret_reader->attempt = wire_get_u32(&reader);
	ret_reader->time_us = wire_get_u64(&reader);
	(void)wire_get_u32(&reader);
	ret_reader->rest = reader.rest;
	if (reader.failed)
		return ERR_SYNTAX;
	return version == RESULT_VERSION ? ERR_OK : ERR_VERSION;
}

enum err
state_result_next(struct state_result_reader *reader, struct state_result *ret_result)
{
	if (reader->rest.len == 0)
		return ERR_NOTFOUND;
	struct wire_reader wire = wire_reader(reader->rest);
	struct state_result result = { .number = wire_get_u32(&wire) };

	result.class = wire_get_u8(&wire);
	uint8_t is_same = wire_get_u8(&wire);

	if (is_same > 1 || (is_same == 1 && reader->first))
		return ERR_SYNTAX;
	result.reason = is_same == 1 ? reader->last.reason : get_reason(&wire);
	result.reason.time_us = reader->time_us;
	if (wire.failed || result.class >= STATE_CLASS_COUNT)
		return ERR_SYNTAX;
	reader->rest = wire.rest;
	reader->first = false;
	reader->last = result;
	*ret_result = result;
	return ERR_OK;
}

static enum err
check_result(const struct state *state, struct slice bytes)
{
	struct state_result_reader reader;
	struct state_result result;
	enum err err = state_result_read(bytes, &reader);

	while (err == ERR_OK) {
		err = state_result_next(&reader, &result);
		if (err == ERR_OK && result.number >= state->recipient_count)
			err = ERR_SYNTAX;
	}
	return err == ERR_NOTFOUND ? ERR_OK : err;
}

enum err
state_apply(struct state *state, struct slice result_bytes)
{
	struct state_result_reader reader;
	struct state_result result;
	enum err err = check_result(state, result_bytes);

	if (err == ERR_OK)
		err = state_result_read(result_bytes, &reader);
	if (err != ERR_OK)
		return err;
	if (reader.attempt > state->attempts)
		state->attempts = reader.attempt;
	if (reader.time_us > state->last_attempt_us)
		state->last_attempt_us = reader.time_us;
	while (state_result_next(&reader, &result) == ERR_OK) {
		bool has_reason = result.reason.dsn.len > 0 || result.reason.text.len > 0;

		(void)state_set(state, result.number, (enum state_class)result.class,
			has_reason ? &result.reason : NULL);
	}
	return ERR_OK;
}
