/*
 * test_fingerprint.c - unit tests of qmgr/fingerprint
 *
 * Goal: what a message has is never passed over, and what it has not nearly always is. Method:
 * lists of recipients are encoded and asked for.
 */
#include "qmgr/fingerprint.h"

#include "base/check.h"
#include "message/recipient_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static uint32_t
make(const char *sender, const char *addresses, const char *original)
{
	struct slice rest = slice_str(addresses), word;
	struct buf list;
	uint32_t fingerprint;

	buf_init(&list, 0);
	while (slice_word(&rest, " ", &word)) {
		struct recipient_entry entry = { .address = word, .original = slice_str(original) };

		CHECK(recipient_list_put(&list, &entry) == ERR_OK);
	}
	fingerprint = fingerprint_make(slice_str(sender), buf_slice(&list));
	buf_done(&list);
	return fingerprint;
}

static bool
has(uint32_t fingerprint, const char *wanted)
{
	struct fingerprint_wanted query = { 0 };

	fingerprint_want_recipient(&query, slice_str(wanted));
	return fingerprint_may_fit(fingerprint, &query);
}

static bool
is_from(uint32_t fingerprint, const char *wanted)
{
	struct fingerprint_wanted query = { 0 };

	fingerprint_want_sender(&query, slice_str(wanted));
	return fingerprint_may_fit(fingerprint, &query);
}

static void
test_fingerprint__what_is_there__is_never_passed_over(void **state)
{
	uint32_t one = make("S@x.test", "Joe@D.test", "");
	uint32_t two = make("", "a@d.test b@D.test", "");
	uint32_t apart = make("", "a@d.test b@e.test", "");
	uint32_t alias = make("", "a@d.test", "list@e.test");

	(void)state;
	assert_true(has(one, "joe@d.test") && has(one, "d.TEST") && has(one, "@d.test"));
	assert_true(is_from(one, "s@X.test") && is_from(one, "x.test") && is_from(one, "@y.test"));
	assert_true(has(two, "a@d.test") && has(two, "b@d.test") && has(two, "d.test"));
	assert_true(has(apart, "a@d.test") && has(apart, "b@e.test") && has(apart, "e.test"));
	assert_true(has(alias, "list@e.test") && has(alias, "a@d.test") && has(alias, "e.test"));
	assert_true(is_from(two, ""));
	assert_true(has(0, "any@where.test") && is_from(0, "any@where.test"));
	assert_true(one >> 24 == 0);
}

static void
test_fingerprint__what_is_not_there__is_passed_over_mostly(void **state)
{
	uint32_t one = make("s@x.test", "joe@d.test", "");
	uint32_t two = make("s@x.test", "a@d.test b@d.test", "");
	unsigned same = 0, domains = 0, senders = 0;
	char text[40];

	(void)state;
	for (unsigned i = 0; i < 10000; i++) {
		(void)snprintf(text, sizeof(text), "u%u@d.test", i);
		same += has(one, text);
		senders += is_from(one, text);
		(void)snprintf(text, sizeof(text), "a@d%u.test", i);
		domains += has(two, text);
	}
	assert_in_range(same, 1, 40);
	assert_in_range(domains, 1, 200);
	assert_in_range(senders, 1, 200);
	assert_false(is_from(one, ""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fingerprint__what_is_there__is_never_passed_over),
		cmocka_unit_test(test_fingerprint__what_is_not_there__is_passed_over_mostly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
