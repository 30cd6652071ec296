/*
 * test_hash_parts.c - checksums of content part by part
 *
 * Goal: damage is found wherever it is, and named by the part it is in. Method: content of lengths around
 * the size of a part, in pieces of several sizes, with a byte changed, cut off or added.
 */
#include "base/hash_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static uint8_t content[3 * HASH_PART + 1];

static void
sums_of(struct slice bytes, size_t piece, struct hash_parts *parts)
{
	hash_parts_init(parts);
	for (; bytes.len > 0; bytes = slice_from(bytes, piece))
		hash_parts_add(parts, slice_head(bytes, piece));
	hash_parts_end(parts);
}

static void
test_match__any_pieces__same_sums(void **state)
{
	static const size_t lengths[] = { 0, 1, HASH_PART - 1, HASH_PART, HASH_PART + 1, 3 * HASH_PART };
	static const size_t pieces[] = { 1000, HASH_PART, HASH_PART + 7, 4 * HASH_PART };

	(void)state;
	for (size_t i = 0; i < 6; i++)
		for (size_t k = 0; k < 4; k++) {
			struct slice bytes = slice_make(content, lengths[i]);
			struct hash_parts whole, parts;
			struct hash_damage damage;

			sums_of(bytes, 4 * HASH_PART, &whole);
			sums_of(bytes, pieces[k], &parts);
			assert_int_equal(whole.sums.len, hash_parts_count(bytes.len) * HASH_SUM);
			assert_true(hash_parts_match(
				&parts, buf_slice(&whole.sums), bytes.len, &damage));
			hash_parts_done(&whole);
			hash_parts_done(&parts);
		}
}

static void
expect_damage(struct slice bytes, struct slice now, const char *expected)
{
	struct hash_parts before, after;
	struct hash_damage damage;
	char text[HASH_DAMAGE_TEXT];
	bool is_changed = now.len == bytes.len;

	sums_of(bytes, 70000, &before);
	content[2 * HASH_PART] ^= is_changed;
	sums_of(now, 5000, &after);
	content[2 * HASH_PART] ^= is_changed;
	assert_false(hash_parts_match(&after, buf_slice(&before.sums), bytes.len, &damage));
	assert_string_equal(hash_damage_format(&damage, text), expected);
	hash_parts_done(&before);
	hash_parts_done(&after);
}

static void
test_match__changed_cut_or_longer__says_where(void **state)
{
	struct slice bytes = slice_make(content, 2 * HASH_PART + 100);

	(void)state;
	expect_damage(bytes, bytes, "bytes 262144 to 262243 (1 of 3 parts)");
	expect_damage(bytes, slice_head(bytes, 2 * HASH_PART), "bytes 262144 to 262243 (1 of 3 parts)");
	expect_damage(bytes, slice_head(bytes, 10), "bytes 0 to 262243 (3 of 3 parts)");
	expect_damage(slice_head(bytes, 2 * HASH_PART), bytes, "bytes 262144 to 262243 (1 of 2 parts)");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_match__any_pieces__same_sums),
		cmocka_unit_test(test_match__changed_cut_or_longer__says_where),
	};

	for (size_t i = 0; i < sizeof(content); i++)
		content[i] = (uint8_t)(i * 7 + i / 1000);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
