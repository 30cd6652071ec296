/*
 * test_buf.c - unit tests of base/buf: memory for the disk
 *
 * Goal: room that was asked for is there, begins where it should, and keeps what was in it. Method:
 * bytes in steps that cross each size it grows to.
 */
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
test_reserve_aligned__while_it_grows__keeps_place_and_bytes(void **state)
{
	enum { ALIGN = 4096, STEP = 1500, STEPS = 40 };
	uint8_t piece[STEP];
	struct buf buf;

	(void)state;
	buf_init(&buf, ALIGN * 64);
	for (unsigned i = 0; i < STEPS; i++) {
		const uint8_t *before;

		memset(piece, (int)i, sizeof(piece));
		buf_reserve_aligned(&buf, sizeof(piece), ALIGN);
		before = buf.ptr;
		buf_add(&buf, slice_make(piece, sizeof(piece)));
		assert_ptr_equal(buf.ptr, before);
		assert_int_equal((uintptr_t)buf.ptr % ALIGN, 0);
		assert_int_equal(buf.cap % ALIGN, 0);
	}
	assert_int_equal(buf.len, STEPS * STEP);
	for (size_t i = 0; i < buf.len; i++)
		assert_int_equal(buf.ptr[i], i / STEP);
	buf_done(&buf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reserve_aligned__while_it_grows__keeps_place_and_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
