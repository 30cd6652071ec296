/*
 * test_queue_id.c - unit tests of message/queue_id
 *
 * Goal: each number has one text, in Postfix's long form, and no other text is taken. Method: edges, a seeded
 * walk there and back, and every text one character away from a good one.
 */
#include "message/queue_id.h"

#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* rules: L7 */
static void
test_format__known_time__has_the_long_form(void **state)
{
	char text[QUEUE_ID_TEXT_SIZE];

	(void)state;
	(void)queue_id_format(queue_id_make(0, 0), text);
	assert_string_equal(text, "0000000000z0");
	(void)queue_id_format(queue_id_make(51 * UINT64_C(1000000) + 52, 51), text);
	assert_string_equal(text, "00000z0010z10");
	(void)queue_id_format(queue_id_make(QUEUE_ID_TIME_US_MAX, QUEUE_ID_SEQUENCE_MAX), text);
	assert_true(strlen(text) <= QUEUE_ID_TEXT_MAX);
}

/* rules: L7 */
static void
test_parse__any_formatted_id__comes_back(void **state)
{
	struct rng rng;

	(void)state;
	rng_init(&rng, 20261124);
	for (int i = 0; i < 100000; i++) {
		uint64_t id = queue_id_make(rng_below(&rng, QUEUE_ID_TIME_US_MAX - 2000000),
			(unsigned)rng_below(&rng, QUEUE_ID_SEQUENCE_MAX + 1));
		uint64_t got = 0;
		char text[QUEUE_ID_TEXT_SIZE];

		assert_int_equal(queue_id_parse(queue_id_format(id, text), &got), ERR_OK);
		assert_true(got == id);
	}
}

/* rules: L6 */
static void
test_parse__anything_else__is_refused(void **state)
{
	const char *const bad[] = { "", "z", "z0", "0000000000", "0000000000z", "000000000z0",
		"00000000000z0", "0000000000z00", "0000000000za", "000000000az0",
		"0000000000z0 ", "0000000000z0\n", "000000zzzzz0", "0000000000zzzz",
		"zzzzzzzzzzzzzzz", "../../../etc", "0000000000z0000000000000" };
	uint64_t id;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(queue_id_parse(slice_str(bad[i]), &id), ERR_SYNTAX);
}

static void
test_parse__one_character_changed__is_another_id_or_refused(void **state)
{
	char text[QUEUE_ID_TEXT_SIZE];
	uint64_t id = queue_id_make(UINT64_C(1795478400123456), 77);
	struct slice slice = queue_id_format(id, text);

	(void)state;
	for (size_t at = 0; at < slice.len; at++) {
		for (int byte = 0; byte < 256; byte++) {
			char changed[QUEUE_ID_TEXT_SIZE];
			uint64_t got = 0;

			memcpy(changed, text, sizeof(changed));
			changed[at] = (char)byte;
			if (queue_id_parse(slice_make(changed, slice.len), &got) == ERR_OK)
				assert_true((got == id) == (changed[at] == text[at]));
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format__known_time__has_the_long_form),
		cmocka_unit_test(test_parse__any_formatted_id__comes_back),
		cmocka_unit_test(test_parse__anything_else__is_refused),
		cmocka_unit_test(test_parse__one_character_changed__is_another_id_or_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
