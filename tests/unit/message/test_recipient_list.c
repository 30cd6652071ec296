/*
 * test_recipient_list.c - unit tests of finding recipients by number
 *
 * Goal: every number finds its recipient, at and around the places that are kept, and a list that
 * is cut is refused. Method: lists of counted addresses.
 */
#include "message/recipient_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void
make(struct buf *list, uint32_t count)
{
	char address[32];

	buf_init(list, 0);
	for (uint32_t i = 0; i < count; i++) {
		(void)snprintf(address, sizeof(address), "r%u@d.test", i);
		assert_int_equal(
			recipient_list_put(list,
				&(struct recipient_entry){ .address = slice_str(address),
					.notify = (uint8_t)(i % 8) }),
			ERR_OK);
	}
}

static void
test_index__any_length__finds_each_by_number(void **state)
{
	const uint32_t counts[] = { 0, 1, RECIPIENT_INDEX_STEP - 1, RECIPIENT_INDEX_STEP,
		RECIPIENT_INDEX_STEP + 1, 5 * RECIPIENT_INDEX_STEP + 7 };

	(void)state;
	for (size_t n = 0; n < sizeof(counts) / sizeof(counts[0]); n++) {
		struct recipient_index index;
		struct buf list;

		make(&list, counts[n]);
		assert_int_equal(recipient_index_init(&index, buf_slice(&list)), ERR_OK);
		assert_int_equal(index.count, counts[n]);
		for (uint32_t i = counts[n]; i-- > 0;) {
			struct recipient_entry entry = recipient_index_get(&index, i);
			char address[32];

			(void)snprintf(address, sizeof(address), "r%u@d.test", i);
			assert_true(slice_equal_str(entry.address, address));
			assert_int_equal(entry.number, i);
			assert_int_equal(entry.notify, i % 8);
		}
		recipient_index_done(&index);
		buf_done(&list);
	}
}

static void
test_index__list_cut_short__is_refused_and_empty(void **state)
{
	struct recipient_index index;
	struct buf list;

	(void)state;
	make(&list, 100);
	assert_int_equal(recipient_index_init(&index, slice_head(buf_slice(&list), list.len - 1)),
		ERR_SYNTAX);
	assert_int_equal(index.count, 0);
	recipient_index_done(&index);
	buf_done(&list);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_index__any_length__finds_each_by_number),
		cmocka_unit_test(test_index__list_cut_short__is_refused_and_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
