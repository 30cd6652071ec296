/*
 * test_tails.c - which ends of states later ones may share
 */
#include "store/tails.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
test_tails__end_that_was_put__is_found_in_its_segment_only(void **state)
{
	struct tails tails = { 0 };
	const struct tail *tail;

	(void)state;
	assert_null(tails_use(&tails, 0, SLICE_LIT("end")));
	tails_put(&tails, 0, SLICE_LIT("end"), 4096);
	tail = tails_use(&tails, 0, SLICE_LIT("end"));
	assert_non_null(tail);
	assert_int_equal(tail->place, 4096);
	assert_null(tails_use(&tails, 0, SLICE_LIT("en")));
	assert_null(tails_use(&tails, 65536, SLICE_LIT("end")));
	tails_put(&tails, 65536, SLICE_LIT("other"), 8192);
	assert_null(tails_use(&tails, 65536, SLICE_LIT("end")));
	assert_null(tails_use(&tails, 0, SLICE_LIT("end")));
	assert_non_null(tails_use(&tails, 65536, SLICE_LIT("other")));
	tails_clear(&tails);
	assert_null(tails_use(&tails, 65536, SLICE_LIT("other")));
}

static void
test_tails__used_often__is_written_anew(void **state)
{
	struct tails tails = { 0 };

	(void)state;
	tails_put(&tails, 0, SLICE_LIT("end"), 4096);
	for (int i = 0; i < TAILS_USES_MAX; i++)
		assert_non_null(tails_use(&tails, 0, SLICE_LIT("end")));
	assert_null(tails_use(&tails, 0, SLICE_LIT("end")));
	tails_put(&tails, 0, SLICE_LIT("end"), 8192);
	assert_int_equal(tails_use(&tails, 0, SLICE_LIT("end"))->place, 8192);
	tails_clear(&tails);
}

static void
test_tails__too_many__are_forgotten(void **state)
{
	static uint8_t end[4000];
	struct tails tails = { 0 };
	size_t most = 0;

	(void)state;
	for (uint32_t i = 0; i < 3000; i++) {
		end[0] = (uint8_t)i;
		end[1] = (uint8_t)(i >> 8);
		tails_put(&tails, 0, slice_make(end, sizeof(end)), 8 * i);
		most = tails.size > most ? tails.size : most;
		assert_non_null(tails_use(&tails, 0, slice_make(end, sizeof(end))));
	}
	assert_in_range(most, TAILS_BYTES_MAX, TAILS_BYTES_MAX + 2 * sizeof(end));
	tails_clear(&tails);
	assert_int_equal(tails.size, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tails__end_that_was_put__is_found_in_its_segment_only),
		cmocka_unit_test(test_tails__used_often__is_written_anew),
		cmocka_unit_test(test_tails__too_many__are_forgotten),
	};

	return cmocka_run_group_tests_name("tails", tests, NULL, NULL);
}
