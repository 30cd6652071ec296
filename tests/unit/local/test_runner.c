/*
 * test_runner.c - unit tests of what a command's end means, and which commands need a shell
 *
 * Goal: exit codes of sysexits.h and codes that a command writes become status and words of a
 * delivery. Method: tables.
 */
#include "local/runner.h"

#include "local/runner_pipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
test_judge__exit_code_and_output__become_status_and_words(void **state)
{
	static const struct {
		int code;
		const char *output;
		enum agent_status status;
		const char *dsn, *reason;
	} cases[] = {
		{ 0, "", AGENT_DONE, "2.0.0", "delivered to command: cmd" },
		{ 0, "5.1.1 noise", AGENT_DONE, "2.0.0", "delivered to command: cmd" },
		{ 67, "", AGENT_REFUSED, "5.1.1", "user unknown" },
		{ 67, "who?", AGENT_REFUSED, "5.1.1", "user unknown. Command output: who?" },
		{ 75, "", AGENT_TEMPORARY, "4.3.0", "temporary failure" },
		{ 71, "", AGENT_TEMPORARY, "4.3.0", "system resource problem" },
		{ 77, "", AGENT_REFUSED, "5.7.0", "permission denied" },
		{ 78, "", AGENT_REFUSED, "5.3.5", "local configuration error" },
		{ 1, "", AGENT_REFUSED, "5.3.0", "Command died with status 1: \"cmd\"" },
		{ 1, "oops", AGENT_REFUSED, "5.3.0",
			"Command died with status 1: \"cmd\". Command output: oops" },
		{ 1, "4.2.2 mailbox full", AGENT_TEMPORARY, "4.2.2", "mailbox full" },
		{ 75, "5.7.1 no", AGENT_REFUSED, "5.7.1", "no" },
		{ 75, "2.0.0 fine", AGENT_TEMPORARY, "4.3.0",
			"temporary failure. Command output: 2.0.0 fine" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct runner_verdict verdict;

		runner_judge(cases[i].code, slice_str(cases[i].output), "cmd", &verdict);
		if (verdict.status != cases[i].status)
			fail_msg("%zu: status %d", i, verdict.status);
		assert_string_equal(verdict.dsn, cases[i].dsn);
		assert_string_equal(verdict.reason, cases[i].reason);
	}
}

static void
test_is_plain__shell_characters__need_a_shell(void **state)
{
	(void)state;
	assert_true(runner_is_plain(SLICE_LIT("/usr/bin/vacation -a x user@host.test")));
	assert_false(runner_is_plain(SLICE_LIT("cat > /tmp/x")));
	assert_false(runner_is_plain(SLICE_LIT("a; b")));
	assert_false(runner_is_plain(SLICE_LIT("echo \"x\"")));
	assert_false(runner_is_plain(SLICE_LIT("  ")));
	assert_false(runner_is_plain(SLICE_LIT("")));
}

/* Words stand in the table with blanks, in the arguments with NUL. */
static struct slice
arguments_of(const char *words, struct buf *buf)
{
	buf_clear(buf);
	buf_add_str(buf, words);
	for (size_t i = 0; i < buf->len; i++)
		if (buf->ptr[i] == ' ')
			buf->ptr[i] = 0;
	return buf_slice(buf);
}

static void
test_pipe_parse__attributes__are_taken_or_refused(void **state)
{
	static const char *const bad[] = { "", "user=a", "argv=x", "user=a argv=", "flags=Z argv=x",
		"user=a size=x argv=x", "chroot=/ user=a argv=x" };
	struct runner_pipe pipe;
	struct buf buf;

	(void)state;
	buf_init(&buf, 0);
	assert_null(runner_pipe_parse(
		arguments_of("flags=DR user=vmail:mail size=10 argv=/bin/x -f user=y", &buf), &pipe));
	assert_true(slice_equal_str(pipe.user, "vmail") && slice_equal_str(pipe.group, "mail"));
	assert_true(runner_pipe_has(&pipe, 'D') && !runner_pipe_has(&pipe, 'F'));
	assert_int_equal(pipe.size_max, 10);
	assert_int_equal(pipe.argv.len, sizeof("/bin/x -f user=y") - 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(runner_pipe_parse(arguments_of(bad[i], &buf), &pipe));
	buf_done(&buf);
}

static void
test_pipe_expand__names__become_one_word(void **state)
{
	static const struct {
		const char *flags, *word, *becomes; /* NULL: refused */
		bool is_risky;
	} cases[] = {
		{ "", "-f", "-f", false },
		{ "", "${sender}", "S o@x.test", false },
		{ "q", "$(sender)", "\"S o\"@x.test", false },
		{ "", "to=$recipient!", "to=Jo+Ext@Host.Test!", false },
		{ "hu", "${recipient}", "jo+ext@host.test", false },
		{ "u", "${user}/${extension}/${mailbox}", "jo/ext/jo+ext", false },
		{ "", "${domain} ${nexthop} ${queue_id} ${size}", "Host.Test nh Q1 7", false },
		{ "", "${original_recipient}", "-rf@x.test", true },
		{ "", "a=${original_recipient}", "a=-rf@x.test", false },
		{ "", "$$x$", NULL, false },
		{ "", "$$x", "$x", false },
		{ "", "${nobody}", NULL, false },
		{ "", "${sender", NULL, false },
	};
	struct ipc_run_request request = { .sender = SLICE_LIT("S o@x.test"),
		.recipient = SLICE_LIT("Jo+Ext@Host.Test"),
		.original = SLICE_LIT("-rf@x.test"),
		.nexthop = SLICE_LIT("nh"),
		.queue_id = SLICE_LIT("Q1"),
		.length = 7 };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct runner_pipe pipe = { .flags = slice_str(cases[i].flags) };
		struct buf to;
		bool is_risky;
		const char *problem;

		buf_init(&to, 0);
		problem = runner_pipe_expand(&pipe, slice_str(cases[i].word), &request,
			SLICE_LIT("+"), &to, &is_risky);
		if ((problem == NULL) != (cases[i].becomes != NULL) ||
			(problem == NULL &&
				!slice_equal_str(buf_slice(&to), cases[i].becomes)) ||
			is_risky != cases[i].is_risky)
			fail_msg("%s: %" SLICE_FMT, cases[i].word, SLICE_ARG(buf_slice(&to)));
		buf_done(&to);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge__exit_code_and_output__become_status_and_words),
		cmocka_unit_test(test_pipe_parse__attributes__are_taken_or_refused),
		cmocka_unit_test(test_pipe_expand__names__become_one_word),
		cmocka_unit_test(test_is_plain__shell_characters__need_a_shell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
