/*
 * test_state.c - unit tests of STATE and RESULT payloads
 *
 * Goal: a finished recipient never opens again; what is written is read back; a bad payload changes
 * nothing. Method: every pair of classes; every prefix of an encoding.
 */
#include "message/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct state_reason reason = { .dsn = { (const uint8_t *)"5.1.1", 5 },
	.text = { (const uint8_t *)"gone", 4 },
	.remote_mta = { (const uint8_t *)"mx.test", 7 },
	.diagnostic = { (const uint8_t *)"550 gone", 8 },
	.time_us = 77 };

static void
bring(struct state *state, enum state_class class)
{
	if (class == STATE_BOUNCED)
		assert_true(state_set(state, 0, STATE_BOUNCE_PENDING, &reason));
	if (class != STATE_OPEN)
		assert_true(state_set(state, 0, class, &reason));
}

/* rules: L10 */
static void
test_set__only_the_steps_of_the_picture(void **state_)
{
	static const unsigned allowed[STATE_CLASS_COUNT] = {
		[STATE_OPEN] = 1 << STATE_OPEN | 1 << STATE_DELIVERED | 1 << STATE_DELIVERED_PENDING |
			       1 << STATE_BOUNCE_PENDING | 1 << STATE_REMOVED,
		[STATE_DELIVERED_PENDING] = 1 << STATE_DELIVERED,
		[STATE_BOUNCE_PENDING] = 1 << STATE_BOUNCED,
	};

	(void)state_;
	for (int from = 0; from < STATE_CLASS_COUNT; from++)
		for (int to = 0; to < STATE_CLASS_COUNT; to++) {
			struct state state;
			bool want = (allowed[from] >> to & 1) != 0;

			assert_int_equal(state_init(&state, 1), ERR_OK);
			bring(&state, (enum state_class)from);
			if (state_set(&state, 0, (enum state_class)to, &reason) != want)
				fail_msg("from %d to %d", from, to);
			assert_int_equal(state_class(&state, 0), want ? to : from);
			state_done(&state);
		}
}

/* rules: R11 N9a */
static void
test_encode__is_read_back__no_prefix_is(void **state_)
{
	struct state state, again;
	struct state_reason got;
	struct buf bytes;

	(void)state_;
	buf_init(&bytes, 0);
	assert_int_equal(state_init(&state, 4), ERR_OK);
	assert_true(state_set(&state, 1, STATE_BOUNCE_PENDING, &reason));
	assert_true(state_set(&state, 2, STATE_DELIVERED, NULL));
	assert_true(state_set(&state, 3, STATE_OPEN, &reason));
	state.flags = STATE_HELD | STATE_WARNED;
	state.attempts = 5;
	state.next_attempt_us = 1234567;
	assert_int_equal(state_encode(&state, &bytes), ERR_OK);
	assert_int_equal(state_decode(buf_slice(&bytes), 4, &again), ERR_OK);
	assert_int_equal(again.flags, state.flags);
	assert_int_equal(again.next_attempt_us, 1234567);
	assert_int_equal(state_class(&again, 1), STATE_BOUNCE_PENDING);
	assert_true(state_reason(&again, 3, &got));
	assert_true(slice_equal(got.text, reason.text) && slice_equal(got.dsn, reason.dsn));
	assert_false(state_reason(&again, 0, &got));
	state_done(&again);
	assert_int_not_equal(state_decode(buf_slice(&bytes), 3, &again), ERR_OK);
	state_done(&again);
	for (size_t len = 0; len < bytes.len; len++) {
		assert_int_not_equal(
			state_decode(slice_head(buf_slice(&bytes), len), 4, &again), ERR_OK);
		assert_int_equal(again.class_count[STATE_OPEN], 4);
		state_done(&again);
	}
	state_done(&state);
	buf_done(&bytes);
}

/* Who shares a reason is not taken to have been tried when somebody else was. */
static void
test_reason__of_another_time__is_not_shared(void **state_)
{
	struct state state;
	struct state_reason got, later = reason;

	(void)state_;
	assert_int_equal(state_init(&state, 3), ERR_OK);
	assert_true(state_set(&state, 0, STATE_OPEN, &reason));
	later.time_us = reason.time_us + UINT64_C(10000000);
	assert_true(state_set(&state, 1, STATE_OPEN, &later));
	assert_int_equal(state.reason_count, 1);
	later.time_us++;
	assert_true(state_set(&state, 2, STATE_OPEN, &later));
	assert_int_equal(state.reason_count, 2);
	assert_true(state_reason(&state, 0, &got) && got.time_us == reason.time_us);
	assert_true(state_reason(&state, 1, &got) && got.time_us == reason.time_us);
	assert_true(state_reason(&state, 2, &got) && got.time_us == later.time_us);
	/* The clock went back: not shared either. */
	later.time_us = reason.time_us - 1;
	assert_true(state_set(&state, 1, STATE_OPEN, &later));
	assert_true(state_reason(&state, 1, &got) && got.time_us == later.time_us);
	assert_true(state_reason(&state, 0, &got) && got.time_us == reason.time_us);
	state_done(&state);
}

static void
test_reason__of_the_same_recipient__has_the_time_of_the_last_attempt(void **state_)
{
	struct state state;
	struct state_reason got, later = reason;

	(void)state_;
	later.time_us = reason.time_us + 1;
	assert_int_equal(state_init(&state, 1), ERR_OK);
	assert_true(state_set(&state, 0, STATE_OPEN, &reason));
	assert_true(state_set(&state, 0, STATE_OPEN, &later));
	assert_true(state_reason(&state, 0, &got) && got.time_us == later.time_us);
	state_done(&state);
}

/* rules: L20 R25 */
static void
test_result__applies_whole_or_not_at_all(void **state_)
{
	struct state_result results[2] = { { .number = 0, .class = STATE_DELIVERED },
		{ .number = 1, .class = STATE_OPEN, .reason = reason } };
	struct state state;
	struct buf bytes;

	(void)state_;
	buf_init(&bytes, 0);
	state_result_begin(&bytes, 3, 99);
	for (int i = 0; i < 2; i++)
		assert_int_equal(state_result_put(&bytes, &results[i]), ERR_OK);
	assert_int_equal(state_init(&state, 2), ERR_OK);
	for (size_t len = 0; len < bytes.len; len++) {
		enum err err = state_apply(&state, slice_head(buf_slice(&bytes), len));

		/* A payload may end behind a whole result: then that one counts. */
		if (err != ERR_OK)
			assert_int_equal(state.class_count[STATE_OPEN], 2);
		state_done(&state);
		assert_int_equal(state_init(&state, 2), ERR_OK);
	}
	assert_int_equal(state_apply(&state, buf_slice(&bytes)), ERR_OK);
	assert_int_equal(state_class(&state, 0), STATE_DELIVERED);
	assert_int_equal(state_class(&state, 1), STATE_OPEN);
	assert_int_equal(state.attempts, 3);
	assert_int_equal(state.last_attempt_us, 99);
	assert_true(state_is_live(&state));
	state_done(&state);
	/* A recipient that the message does not have. */
	assert_int_equal(state_init(&state, 1), ERR_OK);
	assert_int_not_equal(state_apply(&state, buf_slice(&bytes)), ERR_OK);
	assert_int_equal(state_class(&state, 0), STATE_OPEN);
	state_done(&state);
	buf_done(&bytes);
}

/* As a next hop can make it that says something else about each recipient. */
static void
defer_all(struct state *state, uint32_t round)
{
	char text[1500];

	memset(text, 'x', sizeof(text));
	for (uint32_t i = 0; i < state->recipient_count; i++) {
		struct state_reason said = { .dsn = SLICE_LIT("4.2.1"),
			.text = { (const uint8_t *)text, sizeof(text) },
			.diagnostic = { (const uint8_t *)text, 1024 } };

		memcpy(text, &i, sizeof(i));
		memcpy(text + sizeof(i), &round, sizeof(round));
		assert_true(state_set(state, i, STATE_OPEN, &said));
	}
}

static void
test_encode__many_long_reasons__the_journal_can_take_it(void **state_)
{
	struct state state, again;
	struct state_reason got;
	struct buf bytes;

	(void)state_;
	assert_int_equal(state_init(&state, 20000), ERR_OK);
	buf_init(&bytes, 0);
	defer_all(&state, 0);
	assert_int_equal(state_encode(&state, &bytes), ERR_OK);
	assert_true(bytes.len <= STATE_BYTES_MAX);
	assert_int_equal(state_decode(buf_slice(&bytes), 20000, &again), ERR_OK);
	assert_true(state_reason(&again, 0, &got));
	assert_true(slice_equal_str(got.dsn, "4.2.1"));
	state_done(&again);
	state_done(&state);
	buf_done(&bytes);
}

static void
test_encode__round_after_round__keeps_no_room_for_reasons_that_are_gone(void **state_)
{
	struct state state, again;
	struct buf bytes;
	size_t first = 0;

	(void)state_;
	assert_int_equal(state_init(&state, 200), ERR_OK);
	buf_init(&bytes, 0);
	for (uint32_t round = 0; round < 20; round++) {
		defer_all(&state, round);
		buf_clear(&bytes);
		assert_int_equal(state_encode(&state, &bytes), ERR_OK);
		first = round == 0 ? bytes.len : first;
		assert_int_equal(bytes.len, first);
		assert_int_equal(state_decode(buf_slice(&bytes), 200, &again), ERR_OK);
		state_done(&state);
		state = again;
	}
	state_done(&state);
	buf_done(&bytes);
}

/* rules: L20 K16 */
static void
test_late_result__never_opens_again(void **state_)
{
	struct state_result late = { .number = 0, .class = STATE_OPEN, .reason = reason };
	struct state state;
	struct buf bytes;

	(void)state_;
	buf_init(&bytes, 0);
	state_result_begin(&bytes, 1, 1);
	assert_int_equal(state_result_put(&bytes, &late), ERR_OK);
	assert_int_equal(state_init(&state, 1), ERR_OK);
	assert_true(state_set(&state, 0, STATE_DELIVERED, NULL));
	assert_int_equal(state_apply(&state, buf_slice(&bytes)), ERR_OK);
	assert_int_equal(state_class(&state, 0), STATE_DELIVERED);
	assert_false(state_is_live(&state));
	state_done(&state);
	buf_done(&bytes);
}

static void
brief_init(struct state *state, uint64_t now_us)
{
	struct state_reason now = reason;

	now.time_us = now_us - 7000;
	assert_int_equal(state_init(state, 2), ERR_OK);
	assert_true(state_set(state, 0, STATE_OPEN, &now));
	assert_true(state_set(state, 1, STATE_OPEN, &now));
	state->flags = STATE_WARNED;
	state->attempts = 100;
	state->last_attempt_us = now_us;
	state->next_attempt_us = now_us + UINT64_C(4400000000);
	state->warn_us = 5;
}

/* Times are kept to the millisecond; what changes with each attempt is in front, and short. */
static void
test_brief__is_read_back__no_prefix_is(void **state_)
{
	uint64_t now_us = UINT64_C(1795652394258939);
	struct state state, again;
	struct state_reason got;
	struct buf bytes;
	size_t shared = 0;

	(void)state_;
	buf_init(&bytes, 0);
	brief_init(&state, now_us);
	assert_true(state_encode_brief(&state, &bytes, &shared));
	assert_int_equal(bytes.len - shared, 13);
	assert_int_equal(state_decode(buf_slice(&bytes), 2, &again), ERR_OK);
	assert_int_equal(again.flags, STATE_WARNED);
	assert_int_equal(again.attempts, 100);
	assert_int_equal(again.warn_us, 5);
	assert_true(again.last_attempt_us == now_us - 939);
	assert_true(again.next_attempt_us == now_us - 939 + UINT64_C(4400000000));
	assert_int_equal(again.class_count[STATE_OPEN], 2);
	for (uint32_t i = 0; i < 2; i++) {
		assert_true(state_reason(&again, i, &got));
		assert_true(slice_equal(got.text, reason.text) && slice_equal(got.dsn, reason.dsn));
		assert_true(slice_equal(got.remote_mta, reason.remote_mta));
		assert_true(slice_equal(got.diagnostic, reason.diagnostic));
		assert_true(got.time_us == now_us - 7939);
	}
	assert_true(state_set(&again, 0, STATE_DELIVERED, NULL)); /* as any other */
	state_done(&again);
	assert_int_equal(state_decode(buf_slice(&bytes), 3, &again), ERR_SYNTAX);
	state_done(&again);
	for (size_t len = 0; len < bytes.len; len++) {
		assert_int_equal(
			state_decode(slice_head(buf_slice(&bytes), len), 2, &again), ERR_SYNTAX);
		assert_int_equal(again.class_count[STATE_OPEN], 2);
		state_done(&again);
	}
	buf_add(&bytes, SLICE_LIT("x"));
	assert_int_equal(state_decode(buf_slice(&bytes), 2, &again), ERR_SYNTAX);
	state_done(&again);
	state_done(&state);
	buf_done(&bytes);
}

/* All that another message with that reason shares is the same, whenever it was tried. */
static void
test_brief__same_reason_at_another_time__same_end(void **state_)
{
	struct state state, other;
	struct buf bytes, others;
	size_t shared = 0, theirs = 0;

	(void)state_;
	buf_init(&bytes, 0);
	buf_init(&others, 0);
	brief_init(&state, UINT64_C(1795652394258939));
	brief_init(&other, UINT64_C(1895652394258939));
	other.attempts = 1;
	other.next_attempt_us = 0; /* earlier than the last */
	assert_true(state_encode_brief(&state, &bytes, &shared));
	assert_true(state_encode_brief(&other, &others, &theirs));
	assert_int_equal(shared, theirs);
	assert_memory_equal(
		bytes.ptr + bytes.len - shared, others.ptr + others.len - theirs, shared);
	state_done(&state);
	assert_int_equal(state_decode(buf_slice(&others), 2, &state), ERR_OK);
	assert_int_equal(state.next_attempt_us, 0);
	state_done(&state);
	state_done(&other);
	buf_done(&bytes);
	buf_done(&others);
}

static void
test_brief__of_another_kind__is_not_written(void **state_)
{
	struct state_reason another = reason;
	struct state state;
	struct buf bytes;
	size_t shared;

	(void)state_;
	another.text = slice_str("another");
	buf_init(&bytes, 0);
	assert_int_equal(state_init(&state, 2), ERR_OK);
	assert_false(state_encode_brief(&state, &bytes, &shared)); /* none has a reason */
	assert_true(state_set(&state, 0, STATE_OPEN, &reason));
	assert_false(state_encode_brief(&state, &bytes, &shared)); /* one has none */
	assert_true(state_set(&state, 1, STATE_OPEN, &another));
	assert_false(state_encode_brief(&state, &bytes, &shared));
	assert_true(state_set(&state, 1, STATE_OPEN, &reason));
	assert_true(state_encode_brief(&state, &bytes, &shared));
	buf_clear(&bytes);
	assert_true(state_set(&state, 1, STATE_BOUNCE_PENDING, &reason));
	assert_false(state_encode_brief(&state, &bytes, &shared));
	assert_int_equal(bytes.len, 0);
	state_done(&state);
	buf_done(&bytes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set__only_the_steps_of_the_picture),
		cmocka_unit_test(test_encode__is_read_back__no_prefix_is),
		cmocka_unit_test(test_reason__of_another_time__is_not_shared),
		cmocka_unit_test(
			test_reason__of_the_same_recipient__has_the_time_of_the_last_attempt),
		cmocka_unit_test(test_result__applies_whole_or_not_at_all),
		cmocka_unit_test(test_encode__many_long_reasons__the_journal_can_take_it),
		cmocka_unit_test(
			test_encode__round_after_round__keeps_no_room_for_reasons_that_are_gone),
		cmocka_unit_test(test_brief__is_read_back__no_prefix_is),
		cmocka_unit_test(test_brief__same_reason_at_another_time__same_end),
		cmocka_unit_test(test_brief__of_another_kind__is_not_written),
		cmocka_unit_test(test_late_result__never_opens_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
