/*
 * test_expand.c - unit tests of config/expand (rules T4 to T6)
 *
 * Goal: every form gives what an administrator of other systems expects, every broken one an error, and no
 * text takes exponential time. Method: a table of texts over a fixed set of names.
 */
#include "config/expand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const char *const names[][2] = {
	{ "a", "A" },
	{ "empty", "" },
	{ "two", "$a$a" },
	{ "ten", "10" },
	{ "nine", "9" },
	{ "loop", "x $loop" },
	{ "b0", "$b1$b1$b1$b1$b1$b1$b1$b1$b1$b1" },
	{ "b1", "$b2$b2$b2$b2$b2$b2$b2$b2$b2$b2" },
	{ "b2", "$b3$b3$b3$b3$b3$b3$b3$b3$b3$b3" },
	{ "b3", "$b4$b4$b4$b4$b4$b4$b4$b4$b4$b4" },
	{ "b4", "$b5$b5$b5$b5$b5$b5$b5$b5$b5$b5" },
	{ "b5", "" },
};

static enum err
find(void *ctx, struct slice name, struct slice *ret_text)
{
	(void)ctx;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (slice_equal_str(name, names[i][0])) {
			*ret_text = slice_str(names[i][1]);
			return ERR_OK;
		}
	}
	return ERR_NOTFOUND;
}

/* rules: T4 T5 T6 */
static void
test_expand_text__every_form__gives_its_text(void **state)
{
	static const char *const good[][2] = {
		{ "", "" },
		{ "plain text", "plain text" },
		{ "$a", "A" },
		{ "${a}", "A" },
		{ "$(a)", "A" },
		{ "x$a.y", "xA.y" },
		{ "$two", "AA" },
		{ "$nosuch", "" },
		{ "$$a", "$a" },
		{ "$$$a", "$A" },
		{ "${a?yes}", "yes" },
		{ "${empty?yes}", "" },
		{ "${a:no}", "" },
		{ "${empty:no}", "no" },
		{ "${nosuch:no}", "no" },
		{ "${a?{1}:{2}}", "1" },
		{ "${empty?{1}:{2}}", "2" },
		{ "${empty?{1}:2}", "2" },
		{ "${a?{1}}", "1" },
		{ "${a ? {1} : {2} }", "1" },
		{ "${empty:{x y}}", "x y" },
		{ "${a?a:b}", "a:b" },
		{ "${a?$two}", "AA" },
		{ "${empty?{$loop}:{$a}}", "A" },
		{ "${a?{${empty?{1}:{2}}}:{3}}", "2" },
		{ "${{$ten} > {$nine} ? {num} : {text}}", "num" },
		{ "${{10}<{9}?{yes}:{no}}", "no" },
		{ "${{10x}<{9}?{yes}:{no}}", "yes" },
		{ "${{007}=={7}?{yes}:{no}}", "yes" },
		{ "${{99999999999999999999999}>{1}?{yes}:{no}}", "yes" },
		{ "${{a}!={b}?{yes}}", "yes" },
		{ "${{a}<={a}?{yes}:{no}}", "yes" },
		{ "${{a}>={b}?{yes}:{no}}", "no" },
		{ "${{a}=={b}:{else}}", "else" },
		{ "${{$empty}=={}?{yes}:{no}}", "yes" },
		{ "a{b}c", "a{b}c" },
	};
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct fault fault;

		buf_clear(&out);
		if (expand_text(slice_str(good[i][0]), find, NULL, &out, &fault) < 0)
			fail_msg("%s: %s", good[i][0], fault.text);
		if (!slice_equal_str(buf_slice(&out), good[i][1]))
			fail_msg("%s: %.*s instead of %s", good[i][0], (int)out.len, (char *)out.ptr,
				good[i][1]);
	}
	buf_done(&out);
}

static void
test_expand_text__broken_forms__are_refused(void **state)
{
	static const char *const bad[] = { "$", "x$ y", "${a", "$(a", "${}", "${ }", "${a b}", "${?x}",
		"${a!x}", "${a?{1}", "${a?{1}x}", "${a?{1}:{2}x}", "${a:{1}x}", "${{a}}",
		"${{a} = {b}?{1}}", "${{a}=={b}}", "${{a}==b?{1}}", "${{a}=={b}x{1}}",
		"${{a} == x {b}?{1}}", "$loop", "$b0" };
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct fault fault = { 0 };

		buf_clear(&out);
		if (expand_text(slice_str(bad[i]), find, NULL, &out, &fault) == ERR_OK)
			fail_msg("%s was taken", bad[i]);
		assert_true(fault.text[0] != '\0');
	}
	buf_done(&out);
}

static enum err
find_next(void *ctx, struct slice name, struct slice *ret_text)
{
	static char text[16];
	int level = 0;

	for (size_t i = 1; i < name.len; i++)
		level = 10 * level + (name.ptr[i] - '0');
	(void)snprintf(text, sizeof(text), "$n%d", level + 1);
	*ret_text = level == *(int *)ctx ? SLICE_LIT("end") : slice_str(text);
	return ERR_OK;
}

/* rules: T4 */
static void
test_expand_text__nesting__has_its_limit(void **state)
{
	struct buf out;
	int depth = EXPAND_DEPTH_MAX - 2; /* the text itself is a level, and n0 */

	(void)state;
	buf_init(&out, 0);
	assert_int_equal(expand_text(SLICE_LIT("$n0"), find_next, &depth, &out, NULL), ERR_OK);
	assert_true(slice_equal_str(buf_slice(&out), "end"));
	depth++;
	assert_int_equal(expand_text(SLICE_LIT("$n0"), find_next, &depth, &out, NULL), ERR_LIMIT);
	buf_done(&out);
}

static void
test_expand_text__buffer_full__is_refused(void **state)
{
	struct buf out;
	struct fault fault;

	(void)state;
	buf_init(&out, 3);
	assert_int_equal(expand_text(SLICE_LIT("$two$two"), find, NULL, &out, &fault), ERR_LIMIT);
	buf_done(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expand_text__every_form__gives_its_text),
		cmocka_unit_test(test_expand_text__broken_forms__are_refused),
		cmocka_unit_test(test_expand_text__nesting__has_its_limit),
		cmocka_unit_test(test_expand_text__buffer_full__is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
