/*
 * test_flow.c - unit tests of sched/sched_flow: whose message is next
 *
 * Goal: rules P as the reference has them, for the entries of one destination, and senders that take
 * turns. Method: one session takes entry after entry; the course is written down as a letter for each
 * entry, a message's name.
 */
#include "sched/sched.h"

#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { MESSAGES_MAX = 64, COURSE_MAX = 512, WALK_STEPS = 30000 };

struct bench {
	struct sched *sched;
	struct sched_transport *transport;
	struct sched_destination *destination; /* with its one session */
	struct mono now;
	struct sched_message messages[MESSAGES_MAX];
	char names[MESSAGES_MAX];
	unsigned count;
	char course[COURSE_MAX];
};

static void
set_slots(struct bench *bench, const struct sched_slots *slots)
{
	struct sched_limits limits = { .recipient_max = 1, .slots = *slots,
		.window = { .initial = 1, .limit_max = 1 } };

	bench->transport = sched_transport_set(bench->sched, SLICE_LIT("smtp"), &limits, NULL);
}

static int
setup(void **state)
{
	static struct bench bench;
	struct sched_options options = { .seed = 1 };

	bench = (struct bench){ .sched = sched_new(&options), .now = { 1000 * NS_PER_S } };
	set_slots(&bench, &(const struct sched_slots){ .cost = 0 });
	*state = &bench;
	return 0;
}

static int
teardown(void **state)
{
	struct bench *bench = *state;

	sched_check(bench->sched);
	sched_free(bench->sched);
	return 0;
}

static void
add_to(struct bench *bench, struct sched_message *message, uint32_t entries, uint64_t class)
{
	struct sched_reason dead;

	sched_message_set_class(message, class);
	for (uint32_t i = 0; i < entries; i++) {
		struct sched_assign to = { .transport = bench->transport,
			.nexthop = SLICE_LIT("a.test"), .number = i };

		assert_true(sched_recipient_assign(bench->sched, message, &to, &dead));
	}
}

/* A message of so many entries, `ago_s` old. */
static struct sched_message *
add(struct bench *bench, char name, uint32_t entries, uint64_t ago_s, uint64_t class)
{
	struct sched_message *message = &bench->messages[bench->count];

	assert_true(bench->count < MESSAGES_MAX);
	bench->names[bench->count++] = name;
	sched_message_add(message, bench, (bench->now.ns - ago_s * NS_PER_S) / 1000);
	add_to(bench, message, entries, class);
	return message;
}

static struct sched_entry *
take(struct bench *bench)
{
	if (bench->destination == NULL) {
		bench->destination = sched_session_next(bench->sched, bench->now);
		assert_non_null(bench->destination);
		sched_session_ready(bench->sched, bench->destination);
	}
	return sched_take(bench->sched, bench->destination, false, bench->now);
}

static char
name_of(const struct bench *bench, const struct sched_entry *entry)
{
	return bench->names[sched_entry_message(entry) - bench->messages];
}

/* At most so many entries are carried; the course of these. */
static const char *
carry(struct bench *bench, unsigned count)
{
	struct sched_entry *entry;
	size_t len = 0;

	while (count-- > 0 && (entry = take(bench)) != NULL) {
		assert_true(len + 1 < COURSE_MAX);
		bench->course[len++] = name_of(bench, entry);
		sched_entry_finish(bench->sched, entry, true, SLICE_LIT(""), SLICE_LIT(""),
			bench->now);
		sched_check(bench->sched);
	}
	bench->course[len] = '\0';
	return bench->course;
}

/* --- rules P ---------------------------------------------------------------------------------- */

/* rules: P3 P5 P6 P7 P8 P11 P12 S10 S1f T44 T45 T46 */
static void
test_P11__two_small_jobs__overtake_as_in_the_examples(void **state)
{
	struct bench *bench = *state;

	set_slots(bench, &(const struct sched_slots){ .cost = 2, .min = 3 });
	(void)add(bench, '1', 10, 3, 0);
	(void)add(bench, '2', 2, 2, 0);
	(void)add(bench, '3', 2, 1, 0);
	assert_string_equal(carry(bench, 99), "11112211113311");
	set_slots(bench, &(const struct sched_slots){ .cost = 2, .min = 3, .discount = 50 });
	(void)add(bench, '1', 10, 3, 0);
	(void)add(bench, '2', 2, 2, 0);
	(void)add(bench, '3', 2, 1, 0);
	assert_string_equal(carry(bench, 99), "11221111331111");
}

/* rules: P1 P2 P6 T44 T47 */
static void
test_P2__small_jobs_or_no_cost__nobody_overtakes(void **state)
{
	struct bench *bench = *state;

	for (uint32_t cost = 0; cost < 2; cost++) {
		set_slots(bench, &(const struct sched_slots){ cost, 3, 50, 3 });
		(void)add(bench, '1', 20, 3, 0);
		(void)add(bench, '2', 1, 2, 0);
		assert_string_equal(carry(bench, 99), "111111111111111111112");
	}
	/* With the defaults: 14 entries are fewer than 15. */
	set_slots(bench, &(const struct sched_slots){ 5, 3, 50, 3 });
	(void)add(bench, '1', 14, 3, 0);
	(void)add(bench, '2', 1, 2, 0);
	assert_string_equal(carry(bench, 99), "111111111111112");
	(void)add(bench, '1', 15, 3, 0);
	(void)add(bench, '2', 1, 2, 0);
	assert_string_equal(carry(bench, 99), "1211111111111111");
}

/* rules: P4 P3 */
static void
test_P4__candidates__the_highest_age_by_size_wins(void **state)
{
	struct bench *bench = *state;

	set_slots(bench, &(const struct sched_slots){ .cost = 5, .loan = 3, .discount = 50, .min = 3 });
	(void)add(bench, '1', 40, 400, 0);
	(void)add(bench, '2', 4, 299, 0); /* 300 / 4 = 75 */
	(void)add(bench, '3', 1, 79, 0);  /* 80 */
	(void)add(bench, '4', 9, 70, 0);  /* more than (40 - 1 + 1) / 5 */
	/* The loan is paid back before the next one's turn. */
	assert_string_equal(carry(bench, 14), "13111112222111");
	assert_null(strchr(carry(bench, 99), '3'));
}

/* rules: P4 */
static void
test_P4__equal_score__the_earlier_one_wins(void **state)
{
	struct bench *bench = *state;

	set_slots(bench, &(const struct sched_slots){ .cost = 5, .loan = 3, .discount = 50, .min = 3 });
	(void)add(bench, '1', 40, 400, 0);
	(void)add(bench, '2', 2, 199, 0); /* 100 */
	(void)add(bench, '3', 1, 99, 0);  /* 100 */
	assert_string_equal(carry(bench, 3), "122");
}

/* rules: P9 */
static void
test_P9__what_is_not_used__comes_back(void **state)
{
	struct bench *bench = *state;
	struct sched_message *small;
	struct sched_entry *entry;

	set_slots(bench, &(const struct sched_slots){ .cost = 2, .min = 3 });
	(void)add(bench, '1', 30, 9, 0);
	small = add(bench, '2', 3, 8, 0);
	assert_string_equal(carry(bench, 7), "1111112");
	/* Two of three turns are left when an operator takes the message away: they are worth four. */
	sched_message_remove(bench->sched, small);
	(void)add(bench, '3', 2, 7, 0);
	assert_string_equal(carry(bench, 3), "331");
	/* S23: what comes back counts as not taken. */
	entry = take(bench);
	sched_entry_return(bench->sched, entry);
	assert_int_equal(strlen(carry(bench, 99)), 23);
}

/* rules: P9 P10 P12 */
static void
test_P10__a_stream_of_small_jobs__stretches_a_large_one_by_its_bound(void **state)
{
	struct bench *bench = *state;
	unsigned large = 0, small = 0;

	set_slots(bench, &(const struct sched_slots){ .cost = 5, .min = 3 });
	(void)add(bench, '1', 200, 900, 0);
	for (int i = 0; i < 50; i++)
		(void)add(bench, '2', 1, 800, 0);
	while (large < 200)
		for (const char *name = carry(bench, 1); *name != '\0'; name++)
			*name == '1' ? large++ : small++;
	assert_in_range(small, 35, 200 / 5);
}

/* rules: P8 P9 P10 */
static void
test_P8__nested__the_small_one_in_front_of_the_middle_one(void **state)
{
	struct bench *bench = *state;
	struct sched_message *middle;

	set_slots(bench, &(const struct sched_slots){ .cost = 2, .min = 3, .loan = 1 });
	(void)add(bench, '1', 40, 900, 0);
	middle = add(bench, '2', 8, 800, 0);
	assert_string_equal(carry(bench, 16), "1111111111111122");
	(void)add(bench, '3', 1, 700, 0);
	assert_string_equal(carry(bench, 4), "3222");
	/* The middle one goes while a small one stands before it: that belongs to the large one now. */
	(void)add(bench, '4', 2, 600, 0);
	assert_string_equal(carry(bench, 1), "4");
	sched_message_remove(bench->sched, middle);
	assert_string_equal(carry(bench, 2), "41");
	assert_int_equal(strlen(carry(bench, 99)), 25);
}

/* rules: P13 */
static void
test_P13__unread_recipients__count_against_the_small_one_only(void **state)
{
	struct bench *bench = *state;
	struct sched_message *small;

	set_slots(bench, &(const struct sched_slots){ .cost = 2, .min = 3 });
	(void)add(bench, '1', 10, 9, 0);
	small = add(bench, '2', 1, 8, 0);
	sched_message_set_unread(small, 2);
	sched_check(bench->sched);
	assert_string_equal(carry(bench, 5), "11111");
	sched_message_set_unread(small, 0);
	assert_string_equal(carry(bench, 2), "21");
	(void)carry(bench, 99);
	/* min() of the large one has only what is read: capacity (4 - 1 + 1) / 2. */
	sched_message_set_unread(add(bench, '1', 4, 9, 0), 100);
	(void)add(bench, '2', 3, 8, 0);
	assert_string_equal(carry(bench, 7), "1111222");
}

/* --- senders ---------------------------------------------------------------------------------- */

static void
test_fairness__a_long_job_of_one_sender__the_next_turn_is_anothers(void **state)
{
	struct bench *bench = *state;

	for (int i = 0; i < 20; i++)
		(void)add(bench, 'a', 1, 90, 1);
	assert_string_equal(carry(bench, 3), "aaa");
	(void)add(bench, 'b', 1, 0, 2);
	assert_string_equal(carry(bench, 3), "baa");
	/* Two with much take turns. */
	for (int i = 0; i < 4; i++)
		(void)add(bench, 'c', 1, 0, 3);
	assert_string_equal(carry(bench, 9), "cacacacaa");
}

static void
test_fairness__ever_new_senders__leave_half_to_those_who_wait(void **state)
{
	struct bench *bench = *state;
	unsigned of_a = 0;

	(void)add(bench, 'a', 40, 90, 1);
	for (uint64_t i = 0; i < 40; i++) {
		(void)add(bench, 'n', 1, 0, 10 + i);
		of_a += carry(bench, 1)[0] == 'a';
	}
	assert_in_range(of_a, 19, 21);
}

/* rules: S21 */
static void
test_fairness__one_class__order_of_admission(void **state)
{
	struct bench *bench = *state;

	(void)add(bench, '2', 2, 8, 0);
	(void)add(bench, '1', 2, 9, 0);
	(void)add(bench, '3', 2, 7, 0);
	assert_string_equal(carry(bench, 99), "112233");
}

/* --- levels ----------------------------------------------------------------------------------- */

static struct sched_message *
add_level(struct bench *bench, char name, uint32_t entries, enum sched_level level)
{
	struct sched_message *message = &bench->messages[bench->count];

	assert_true(bench->count < MESSAGES_MAX);
	bench->names[bench->count++] = name;
	sched_message_add(message, bench, bench->now.ns / 1000);
	sched_message_set_class(message, 1);
	sched_message_set_level(message, level);
	for (uint32_t i = 0; i < entries; i++) {
		struct sched_assign to = { .transport = bench->transport,
			.nexthop = SLICE_LIT("a.test"), .number = i };
		struct sched_reason dead;

		assert_true(sched_recipient_assign(bench->sched, message, &to, &dead));
	}
	return message;
}

/* All of one sender: urgent mail goes first, bulk mail last, and nobody starves. */
static void
test_level__urgent_normal_and_bulk__share_turns_as_promised(void **state)
{
	struct bench *bench = *state;

	(void)add_level(bench, 'b', 20, SCHED_BULK);
	(void)add_level(bench, 'n', 20, SCHED_NORMAL);
	(void)add_level(bench, 'u', 20, SCHED_URGENT);
	assert_string_equal(carry(bench, 16), "uuunuuubuuunuuub");
}

static void
test_level__one_urgent_message_behind_many__is_next(void **state)
{
	struct bench *bench = *state;

	(void)add_level(bench, 'n', 30, SCHED_NORMAL);
	(void)carry(bench, 4);
	(void)add_level(bench, 'u', 1, SCHED_URGENT);
	(void)add_level(bench, 'b', 1, SCHED_BULK);
	assert_string_equal(carry(bench, 5), "unnbn");
}

/* --- share of memory -------------------------------------------------------------------------- */

static bool
try_add(struct bench *bench, char name, uint64_t class, uint64_t token)
{
	struct sched_message *message = &bench->messages[bench->count];
	struct sched_assign to = { .transport = bench->transport, .nexthop = SLICE_LIT("a.test"),
		.may_be_parked = true };
	struct sched_reason dead;

	bench->names[bench->count] = name;
	sched_message_add(message, bench, bench->now.ns / 1000);
	sched_message_set_class(message, class);
	if (sched_recipient_assign(bench->sched, message, &to, &dead)) {
		bench->count++;
		return true;
	}
	assert_non_null(dead.crowded);
	sched_park(bench->sched, dead.crowded, class, token);
	return false;
}

/* rules: Z41 */
static void
test_share__a_slow_site_is_full__its_mail_waits_outside_and_comes_in_turn(void **state)
{
	struct bench *bench = *state;
	struct sched_limits limits = { .recipient_max = 1, .share_max = 4,
		.window = { .initial = 1, .limit_max = 1 } };
	uint64_t token;
	bool is_fetched;

	bench->transport = sched_transport_set(bench->sched, SLICE_LIT("smtp"), &limits, NULL);
	for (int i = 0; i < 4; i++)
		assert_true(try_add(bench, 'a', 1, 0));
	assert_false(try_add(bench, 'a', 1, 100));
	/* Who has nothing there yet still comes in, up to twice the share. */
	for (uint64_t i = 0; i < 4; i++)
		assert_true(try_add(bench, 'n', 10 + i, 0));
	assert_false(try_add(bench, 'b', 2, 200));
	assert_false(try_add(bench, 'a', 1, 101));
	assert_false(sched_unpark(bench->sched, &token));
	/* Places get free; nobody overtakes his own mail that is outside. */
	(void)carry(bench, 6);
	assert_false(try_add(bench, 'a', 1, 102));
	assert_true(sched_unpark(bench->sched, &token));
	assert_int_equal(token, 100);
	assert_true(sched_is_parked(bench->sched, 100, &is_fetched) && is_fetched);
	/* Senders take turns; what was fetched counts as being there. */
	assert_true(sched_unpark(bench->sched, &token));
	assert_int_equal(token, 200);
	assert_false(sched_unpark(bench->sched, &token));
	assert_false(sched_is_parked(bench->sched, 7, &is_fetched));
	sched_unparked(bench->sched, 100);
	assert_true(sched_unpark(bench->sched, &token));
	assert_int_equal(token, 101);
}

/* rules: W21 T52 */
static void
test_W21__a_destination_that_clogs__is_told_once_in_a_while(void **state)
{
	struct bench *bench = *state;
	struct sched_options options = { .seed = 1, .clog_max = 3, .clog_ns = 300 * NS_PER_S };

	sched_set_options(bench->sched, &options);
	for (int i = 0; i < 3; i++)
		(void)add(bench, 'a', 1, 0, 0);
	assert_null(sched_clogged(bench->sched));
	(void)add(bench, 'a', 1, 0, 0);
	assert_non_null(sched_clogged(bench->sched));
	assert_null(sched_clogged(bench->sched));
	bench->now.ns += 299 * NS_PER_S;
	(void)add(bench, 'a', 1, 0, 0);
	assert_null(sched_clogged(bench->sched));
	bench->now.ns += NS_PER_S;
	(void)add(bench, 'a', 1, 0, 0);
	assert_non_null(sched_clogged(bench->sched));
}

static void
test_recall__a_new_sender_behind_prefetched_mail__gets_one_back(void **state)
{
	struct bench *bench = *state;
	struct sched_entry *busy, *ahead;

	for (int i = 0; i < 5; i++)
		(void)add(bench, 'a', 1, 9, 1);
	busy = take(bench);
	ahead = sched_take(bench->sched, bench->destination, true, bench->now);
	assert_true(sched_entry_is_prefetched(ahead));
	assert_null(sched_recall_next(bench->sched));
	(void)add(bench, 'b', 1, 0, 2);
	assert_ptr_equal(sched_recall_next(bench->sched), ahead);
	assert_null(sched_recall_next(bench->sched));
	sched_entry_return(bench->sched, ahead);
	assert_null(sched_recall_next(bench->sched));
	ahead = sched_take(bench->sched, bench->destination, true, bench->now);
	assert_int_equal(name_of(bench, ahead), 'b');
	sched_entry_finish(bench->sched, busy, true, SLICE_LIT(""), SLICE_LIT(""), bench->now);
	sched_entry_finish(bench->sched, ahead, true, SLICE_LIT(""), SLICE_LIT(""), bench->now);
	assert_string_equal(carry(bench, 99), "aaaa");
}

/* What may happen at any time, with senders and slots, keeps every invariant. */
static void
walk_step(struct bench *bench, struct rng *rng, struct sched_entry **taken)
{
	struct sched_message *message = &bench->messages[rng_below(rng, MESSAGES_MAX)];

	bench->now.ns += rng_below(rng, NS_PER_S);
	switch (rng_below(rng, 6)) {
	case 0:
	case 1:
		if (sched_message_refs(message) > 0)
			return;
		sched_message_add(message, bench, bench->now.ns / 1000 - rng_below(rng, 5000000));
		add_to(bench, message, (uint32_t)rng_below(rng, rng_one_in(rng, 4) ? 60 : 4),
			rng_below(rng, 4));
		return;
	case 2:
		sched_message_remove(bench->sched, message);
		return;
	case 3:
		if (*taken != NULL && rng_one_in(rng, 3)) {
			sched_entry_return(bench->sched, *taken);
			*taken = NULL;
		}
		return;
	default:
		if (*taken != NULL)
			sched_entry_finish(bench->sched, *taken, true, SLICE_LIT(""), SLICE_LIT(""),
				bench->now);
		*taken = bench->destination == NULL &&
					 sched_session_next(bench->sched, bench->now) == NULL
				 ? NULL
				 : sched_take(bench->sched, bench->destination, false, bench->now);
		return;
	}
}

static void
test_walk__any_order__keeps_every_invariant(void **state)
{
	struct bench *bench = *state;
	struct sched_entry *taken = NULL;
	struct rng rng;

	rng_init(&rng, 3);
	set_slots(bench, &(const struct sched_slots){ .cost = 2, .loan = 3, .discount = 50, .min = 2 });
	(void)add(bench, 'x', 1, 0, 0);
	(void)carry(bench, 1);
	for (int i = 0; i < WALK_STEPS; i++) {
		walk_step(bench, &rng, &taken);
		sched_check(bench->sched);
	}
	if (taken != NULL)
		sched_entry_return(bench->sched, taken);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_P11__two_small_jobs__overtake_as_in_the_examples),
		TEST(test_P2__small_jobs_or_no_cost__nobody_overtakes),
		TEST(test_P4__candidates__the_highest_age_by_size_wins),
		TEST(test_P4__equal_score__the_earlier_one_wins),
		TEST(test_P9__what_is_not_used__comes_back),
		TEST(test_P10__a_stream_of_small_jobs__stretches_a_large_one_by_its_bound),
		TEST(test_P8__nested__the_small_one_in_front_of_the_middle_one),
		TEST(test_P13__unread_recipients__count_against_the_small_one_only),
		TEST(test_fairness__a_long_job_of_one_sender__the_next_turn_is_anothers),
		TEST(test_fairness__ever_new_senders__leave_half_to_those_who_wait),
		TEST(test_fairness__one_class__order_of_admission),
		TEST(test_level__urgent_normal_and_bulk__share_turns_as_promised),
		TEST(test_level__one_urgent_message_behind_many__is_next),
		TEST(test_share__a_slow_site_is_full__its_mail_waits_outside_and_comes_in_turn),
		TEST(test_W21__a_destination_that_clogs__is_told_once_in_a_while),
		TEST(test_recall__a_new_sender_behind_prefetched_mail__gets_one_back),
		TEST(test_walk__any_order__keeps_every_invariant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
