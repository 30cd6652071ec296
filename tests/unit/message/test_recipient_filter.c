/*
 * test_recipient_filter.c - unit tests of the duplicate filter
 *
 * Goal: what counts as the same recipient, with and without originals, and a full filter.
 * Method: a list is passed; the addresses that come out are compared.
 */
#include "message/recipient_filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void
add(struct buf *list, const char *address, const char *original, const char *orcpt, uint8_t notify)
{
	struct recipient_entry entry = { .address = slice_str(address),
		.original = slice_str(original),
		.orcpt = slice_str(orcpt),
		.notify = notify };

	assert_int_equal(recipient_list_put(list, &entry), ERR_OK);
}

/* Passes the list; `want` are the addresses that come out, each with its original in parentheses. */
static void
check(struct recipient_filter *filter, struct buf *list, const char *want)
{
	struct recipient_list_reader reader;
	struct recipient_entry entry;
	struct buf out, text;
	uint32_t count = 0, seen = 0;

	buf_init(&out, 0);
	buf_init(&text, 0);
	assert_int_equal(recipient_filter_pass(filter, buf_slice(list), &out, &count), ERR_OK);
	reader = recipient_list_read(buf_slice(&out));
	while (recipient_list_next(&reader, &entry) == ERR_OK) {
		buf_addf(&text, "%" SLICE_FMT "(%" SLICE_FMT ") ", SLICE_ARG(entry.address),
			SLICE_ARG(entry.original));
		seen++;
	}
	if (!slice_equal_str(buf_slice(&text), want))
		print_error("%" SLICE_FMT "\n", SLICE_ARG(buf_slice(&text)));
	assert_true(slice_equal_str(buf_slice(&text), want));
	assert_int_equal(count, seen);
	buf_done(&out);
	buf_done(&text);
	buf_clear(list);
}

/* rules: K32 K33 T62 */
static void
test_by_original__what_differs_in_dsn_or_origin_stays(void **state)
{
	struct recipient_filter filter = { 0 };
	struct buf list;

	(void)state;
	buf_init(&list, 0);
	recipient_filter_begin(&filter, true, 1000);
	add(&list, "a@x", "", "", 0);
	add(&list, "A@X", "a@X", "", 0); /* its own original */
	add(&list, "a@x", "b@x", "", 0);
	add(&list, "a@x", "", "rfc822;a@x", 0);
	add(&list, "a@x", "", "", 1);
	check(&filter, &list, "a@x() a@x(b@x) a@x() a@x() ");
	add(&list, "a@x", "B@x", "", 0); /* the filter remembers over lists */
	check(&filter, &list, "");
	recipient_filter_begin(&filter, true, 1000);
	add(&list, "a@x", "", "", 0);
	check(&filter, &list, "a@x() ");
	recipient_filter_done(&filter);
	buf_done(&list);
}

/* rules: K32 T62 */
static void
test_by_address__originals_are_dropped(void **state)
{
	struct recipient_filter filter = { 0 };
	struct buf list;

	(void)state;
	buf_init(&list, 0);
	recipient_filter_begin(&filter, false, 1000);
	add(&list, "c@x", "a@x", "", 1);
	add(&list, "C@x", "b@x", "", 2);
	check(&filter, &list, "c@x() ");
	recipient_filter_done(&filter);
	buf_done(&list);
}

/* rules: K31 T61 */
static void
test_full__knows_what_it_has_and_passes_the_rest(void **state)
{
	struct recipient_filter filter = { 0 };
	struct buf list;

	(void)state;
	buf_init(&list, 0);
	recipient_filter_begin(&filter, true, 1);
	add(&list, "a@x", "", "", 0);
	add(&list, "b@x", "", "", 0);
	add(&list, "b@x", "", "", 0);
	add(&list, "a@x", "", "", 0);
	check(&filter, &list, "a@x() b@x() b@x() ");
	recipient_filter_begin(&filter, true, 0);
	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 2000; j++) {
			char address[20];

			(void)snprintf(address, sizeof(address), "%d@x", j);
			add(&list, address, "", "", 0);
		}
	uint32_t count = 0;
	struct buf out;

	buf_init(&out, 0);
	assert_int_equal(recipient_filter_pass(&filter, buf_slice(&list), &out, &count), ERR_OK);
	assert_int_equal(count, 2000);
	buf_done(&out);
	recipient_filter_done(&filter);
	buf_done(&list);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_original__what_differs_in_dsn_or_origin_stays),
		cmocka_unit_test(test_by_address__originals_are_dropped),
		cmocka_unit_test(test_full__knows_what_it_has_and_passes_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
