/*
 * test_downgrade.c - unit tests of message/downgrade
 *
 * Goal: 8-bit parts are converted and nothing else is, however the content is cut; what cannot be
 * converted is said. Method: examples byte for byte at each way of cutting, then random messages:
 * the result is 7-bit, its lines are short, and a second survey finds nothing to do. That every
 * part decodes to what it was is shown by Python's parser in test_eight_bit.py.
 */
#include "message/downgrade.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define A "\xe4"

static const char *
survey(struct downgrade *downgrade, struct slice content, size_t step, bool *ret_needed)
{
	for (struct slice rest = content; rest.len > 0; rest = slice_from(rest, step))
		downgrade_survey(downgrade, slice_head(rest, step));
	return downgrade_settle(downgrade, ret_needed);
}

static void
convert(struct downgrade *downgrade, struct slice content, size_t step, struct buf *out)
{
	buf_clear(out);
	for (struct slice rest = content; rest.len > 0; rest = slice_from(rest, step))
		downgrade_convert(downgrade, slice_head(rest, step), out);
	downgrade_convert_end(downgrade, out);
}

static void
check(const char *content, const char *wanted)
{
	struct slice all = slice_str(content);
	struct buf out;

	buf_init(&out, 0);
	for (size_t step = 1; step <= all.len; step++) {
		struct downgrade *downgrade = downgrade_new();
		bool needed;

		assert_null(survey(downgrade, all, step, &needed));
		assert_true(needed);
		convert(downgrade, all, all.len + 1 - step, &out);
		if (!slice_equal_str(buf_slice(&out), wanted))
			print_error("got:\n%" SLICE_FMT "\n", SLICE_ARG(buf_slice(&out)));
		assert_true(slice_equal_str(buf_slice(&out), wanted));
		downgrade_free(downgrade);
	}
	buf_done(&out);
}

static void
check_refused(const char *content, const char *why)
{
	struct downgrade *downgrade = downgrade_new();
	const char *said;
	bool needed;

	said = survey(downgrade, slice_str(content), SIZE_MAX, &needed);
	assert_non_null(said);
	assert_string_equal(said, why);
	downgrade_free(downgrade);
}

static void
test_text__without_mime__gets_its_fields(void **state)
{
	(void)state;
	check("Subject: x\r\n\r\n" A "bc defghijkl\r\n",
		"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
		"Content-Transfer-Encoding: quoted-printable\r\n\r\n=E4bc defghijkl\r\n");
	check("Subject: x\n\n" A "bc defghijkl", /* bare LF, no end */
		"Subject: x\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
		"Content-Transfer-Encoding: quoted-printable\r\n\n=E4bc defghijkl=\r\n");
	check("no header " A "\r\n",
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
		"Content-Transfer-Encoding: quoted-printable\r\n\r\nno header =E4\r\n");
}

static void
test_text__with_mime__keeps_all_but_the_encoding(void **state)
{
	(void)state;
	check("MIME-Version: 1.0\r\nContent-Transfer-Encoding:\r\n 8bit\r\nContent-Type: text/html;\r\n"
	      " charset=iso-8859-1\r\nX: 1\r\n\r\nabcdefg" A "\r\n",
		"MIME-Version: 1.0\r\nContent-Type: text/html;\r\n charset=iso-8859-1\r\nX: 1\r\n"
		"Content-Transfer-Encoding: quoted-printable\r\n\r\nabcdefg=E4\r\n");
	check("Content-Type: image/x\r\nContent-Transfer-Encoding: binary\r\n\r\n" A "\r\n",
		"Content-Type: image/x\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n"
		"\r\n5A0K\r\n");
}

#define MIXED "Content-Type: multipart/mixed; boundary=a\r\nMIME-Version: 1.0\r\n"
#define AS_QP "Content-Transfer-Encoding: quoted-printable\r\n\r\n"

/* One boundary is the beginning of the other; text around parts; what is 7-bit stays. */
static void
test_multipart__nested__only_what_must_be_is_converted(void **state)
{
	(void)state;
	check(MIXED "Content-Transfer-Encoding: 8bit\r\n\r\npre" A "\r\n--a\r\n\r\nplain = \r\n--a\r\n"
		    "Content-Type: multipart/mixed; boundary=ab\r\n\r\n--ab\r\n\r\ninner " A "\r\n"
		    "--a-b\r\n--ab--  \r\n--abc " A "\r\n--a \r\n"
		    "Content-Type: x/y\r\nContent-Transfer-Encoding: 8BIT\r\n\r\n7bit\r\n--a--\r\nend\r\n",
		MIXED "Content-Transfer-Encoding: 7bit\r\n\r\npre?\r\n--a\r\n\r\nplain = \r\n--a\r\n"
		      "Content-Type: multipart/mixed; boundary=ab\r\n\r\n--ab\r\n"
		      "Content-Type: text/plain; charset=unknown-8bit\r\n" AS_QP "inner =E4\r\n"
		      "=2D-a-b\r\n--ab--  \r\n--abc ?\r\n--a \r\n"
		      "Content-Type: x/y\r\nContent-Transfer-Encoding: 7bit\r\n\r\n7bit\r\n--a--\r\nend\r\n");
}

/* The line end in front of a boundary is not part of what is encoded. */
static void
test_multipart__base64_part__ends_before_the_boundary(void **state)
{
	(void)state;
	check(MIXED "\r\n--a\r\nContent-Type: x/y\r\n\r\n" A "\r\n\r\n--a\r\n\r\nx\r\n--a\r\n"
		    "Content-Type: x/y\r\n\r\n" A "\r\n",
		MIXED "\r\n--a\r\nContent-Type: x/y\r\nContent-Transfer-Encoding: base64\r\n\r\n"
		      "5A0K\r\n--a\r\n\r\nx\r\n--a\r\nContent-Type: x/y\r\n"
		      "Content-Transfer-Encoding: base64\r\n\r\n5A==\r\n");
}

static void
test_message__in_a_message_and_in_a_digest__is_walked(void **state)
{
	(void)state;
	check("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\nMIME-Version: 1.0\r\n"
	      "\r\nSubject: in\r\n\r\nlong enough " A "\r\n",
		"Content-Type: message/rfc822\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 7bit\r\n"
		"\r\nSubject: in\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
		AS_QP "long enough =E4\r\n");
	check("MIME-Version: 1.0\r\nContent-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\n"
	      "From: x\r\n\r\nlong enough " A "\r\n--d--\r\n",
		"MIME-Version: 1.0\r\nContent-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\n"
		"From: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
		AS_QP "long enough =E4\r\n--d--\r\n");
}

static void
test_refused__what_cannot_be_converted__is_named(void **state)
{
	(void)state;
	check_refused("Subject: " A "\r\n\r\nx\r\n", "bytes above 127 in a header");
	check_refused("Content-Transfer-Encoding: base64\r\n\r\n" A "\r\n",
		"bytes above 127 in a part that is encoded already");
	check_refused("Content-Type: message/partial\r\n\r\n" A "\r\n",
		"bytes above 127 in a part that may not be encoded");
	check_refused("Content-Type: multipart/mixed\r\n\r\n" A "\r\n",
		"a multipart without a boundary");
}

/* `piece` with the number in the place of each '#'. */
static void
feed_numbered(struct downgrade *downgrade, const char *piece, unsigned number)
{
	for (struct slice rest = slice_str(piece); rest.len > 0;) {
		size_t mark = slice_find(rest, '#');
		char digits[12];

		downgrade_survey(downgrade, slice_head(rest, mark));
		if (mark < rest.len)
			downgrade_survey(downgrade,
				slice_make(digits, (size_t)snprintf(digits, sizeof(digits), "%u", number)));
		rest = slice_from(rest, mark + 1);
	}
}

static const char *
survey_many(const char *first, const char *piece, unsigned count, const char *end)
{
	struct downgrade *downgrade = downgrade_new();
	const char *why;
	bool needed;

	downgrade_survey(downgrade, slice_str(first));
	for (unsigned i = 0; i < count; i++)
		feed_numbered(downgrade, piece, i);
	downgrade_survey(downgrade, slice_str(end));
	why = downgrade_settle(downgrade, &needed);
	downgrade_free(downgrade);
	return why;
}

#define NEST "Content-Type: multipart/mixed; boundary=b#\r\n\r\n--b#\r\n"

static void
test_limits__depth_parts_and_fields__at_the_edge_and_beyond(void **state)
{
	(void)state;
	assert_null(survey_many("", NEST, DOWNGRADE_DEPTH_MAX, "\r\n" A "\r\n"));
	assert_string_equal(survey_many("", NEST, DOWNGRADE_DEPTH_MAX + 1, "\r\n" A "\r\n"),
		"MIME parts are nested too deep");
	assert_null(survey_many(MIXED "\r\n", "--a\r\n\r\n#\r\n", DOWNGRADE_PARTS_MAX - 1, A "\r\n"));
	assert_string_equal(
		survey_many(MIXED "\r\n", "--a\r\n\r\n#\r\n", DOWNGRADE_PARTS_MAX, A "\r\n"),
		"too many MIME parts");
	assert_null(survey_many("Content-Type: x/y;", " p#=#;", 1000, "\r\n\r\n" A "\r\n"));
	assert_string_equal(
		survey_many("Content-Type: x/y;", " p#=#;", 2000, "\r\n\r\n" A "\r\n"),
		"a MIME field is too long");
}

static uint64_t seed;

static unsigned
random_below(unsigned limit)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % limit;
}

/* Lines that meet in every order, so that most of them mean something else each time. */
static void
random_content(struct buf *content)
{
	static const char *const pieces[] = { "\r\n", "\n", "--a\r\n", "--a--\r\n", "--ab\r\n",
		"--ab--\r\n", "Content-Type: multipart/mixed; boundary=a\r\n",
		"Content-Type: multipart/digest; boundary=ab\r\n", "Content-Type: message/rfc822\r\n",
		"Content-Type: x/y\r\n", "Content-Transfer-Encoding: 8bit\r\n", "Subject: x\r\n",
		" folded\r\n", "text\r\n", A "\r\n", A A A " =\t\r\n", "\r", "--", "x\r\r\n" };
	static const char long_line[] = "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijkl";

	buf_clear(content);
	for (unsigned i = random_below(40); i > 0; i--) {
		if (random_below(12) == 0)
			for (unsigned j = random_below(50); j > 0; j--)
				buf_add_str(content, long_line);
		buf_add_str(content, pieces[random_below(sizeof(pieces) / sizeof(pieces[0]))]);
	}
}

static void
check_seven_bit(struct slice text)
{
	struct downgrade *downgrade = downgrade_new();
	bool needed;

	assert_null(survey(downgrade, text, SIZE_MAX, &needed));
	assert_false(needed);
	downgrade_free(downgrade);
}

static void
test_random__result_is_seven_bit__and_the_same_however_it_is_cut(void **state)
{
	struct buf content, first, second;
	unsigned converted = 0;

	(void)state;
	buf_init(&content, 0);
	buf_init(&first, 0);
	buf_init(&second, 0);
	for (seed = 1; seed < 20000; seed++) {
		uint64_t kept = seed;
		struct downgrade *downgrade = downgrade_new(), *other = downgrade_new();
		bool needed, needed_too;

		random_content(&content);
		if (survey(downgrade, buf_slice(&content), SIZE_MAX, &needed) == NULL && needed) {
			converted++;
			convert(downgrade, buf_slice(&content), SIZE_MAX, &first);
			check_seven_bit(buf_slice(&first));
			assert_null(survey(other, buf_slice(&content), 7, &needed_too));
			convert(other, buf_slice(&content), 3, &second);
			assert_true(slice_equal(buf_slice(&first), buf_slice(&second)));
		}
		downgrade_free(downgrade);
		downgrade_free(other);
		seed = kept;
	}
	assert_true(converted > 5000);
	buf_done(&content);
	buf_done(&first);
	buf_done(&second);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text__without_mime__gets_its_fields),
		cmocka_unit_test(test_text__with_mime__keeps_all_but_the_encoding),
		cmocka_unit_test(test_multipart__nested__only_what_must_be_is_converted),
		cmocka_unit_test(test_multipart__base64_part__ends_before_the_boundary),
		cmocka_unit_test(test_message__in_a_message_and_in_a_digest__is_walked),
		cmocka_unit_test(test_refused__what_cannot_be_converted__is_named),
		cmocka_unit_test(test_random__result_is_seven_bit__and_the_same_however_it_is_cut),
		cmocka_unit_test(test_limits__depth_parts_and_fields__at_the_edge_and_beyond),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
