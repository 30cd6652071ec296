/*
 * fuzz_payload.c - any bytes as payloads of records: envelope, recipients, STATE, RESULT
 *
 * What is accepted can be written and read again as the same; what is refused changes nothing.
 */
#include "base/check.h"
#include "message/envelope.h"
#include "message/recipient_list.h"
#include "message/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_RECIPIENTS = 5 };

static void
fuzz_envelope(struct slice bytes)
{
	struct envelope envelope, again;
	struct buf coded;

	if (envelope_decode(bytes, &envelope) != ERR_OK)
		return;
	buf_init(&coded, 0);
	CHECK(envelope_encode(&envelope, &coded) == ERR_OK);
	CHECK(envelope_decode(buf_slice(&coded), &again) == ERR_OK);
	CHECK(slice_equal(envelope.sender, again.sender) && envelope.flags == again.flags &&
		envelope.arrival_us == again.arrival_us);
	buf_done(&coded);
}

static void
fuzz_recipients(struct slice bytes)
{
	struct recipient_list_reader reader = recipient_list_read(bytes);
	struct recipient_entry entry;
	uint32_t count, seen = 0;
	enum err err;

	while ((err = recipient_list_next(&reader, &entry)) == ERR_OK)
		CHECK(entry.number == seen++);
	CHECK((recipient_list_check(bytes, &count) == ERR_OK) == (err == ERR_NOTFOUND));
	if (err == ERR_NOTFOUND)
		CHECK(count == seen);
}

static void
check_counts(const struct state *state)
{
	uint32_t counts[STATE_CLASS_COUNT] = { 0 };
	struct state_reason reason;

	for (uint32_t i = 0; i < state->recipient_count; i++) {
		counts[state_class(state, i)]++;
		if (state_reason(state, i, &reason))
			CHECK(reason.text.len <= STATE_TEXT_MAX);
	}
	CHECK(memcmp(counts, state->class_count, sizeof(counts)) == 0);
}

static void
fuzz_state(struct slice bytes)
{
	struct state state, again;
	struct buf coded;

	if (state_decode(bytes, FUZZ_RECIPIENTS, &state) == ERR_OK) {
		buf_init(&coded, 0);
		check_counts(&state);
		CHECK(state_encode(&state, &coded) == ERR_OK);
		CHECK(state_decode(buf_slice(&coded), FUZZ_RECIPIENTS, &again) == ERR_OK);
		CHECK(memcmp(state.class_count, again.class_count, sizeof(state.class_count)) == 0);
		CHECK(state.flags == again.flags && state.next_attempt_us == again.next_attempt_us);
		state_done(&again);
		buf_done(&coded);
	}
	state_done(&state);
	CHECK(state_init(&state, FUZZ_RECIPIENTS) == ERR_OK);
	if (state_apply(&state, bytes) != ERR_OK)
		CHECK(state.class_count[STATE_OPEN] == FUZZ_RECIPIENTS && state.attempts == 0);
	check_counts(&state);
	state_done(&state);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice bytes = slice_make(data, size);

	fuzz_envelope(bytes);
	fuzz_recipients(bytes);
	fuzz_state(bytes);
	return 0;
}
