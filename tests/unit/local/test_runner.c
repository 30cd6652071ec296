/*
 * test_runner.c - unit tests of what a command's end means, and which commands need a shell
 *
 * Goal: exit codes of sysexits.h and codes that a command writes become status and words of a
 * delivery. Method: tables.
 */
#include "local/runner.h"

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge__exit_code_and_output__become_status_and_words),
		cmocka_unit_test(test_is_plain__shell_characters__need_a_shell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
