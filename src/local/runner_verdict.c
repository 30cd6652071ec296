/* runner_verdict.c - from a command's end to a delivery's (see runner.h) */
#include "local/runner.h"
#include "message/dsn.h"

#include <stdio.h>
#include <sysexits.h>

static const struct {
	int code;
	const char *dsn, *text;
} meanings[] = {
	{ EX_USAGE, "5.3.0", "command line usage error" },
	{ EX_DATAERR, "5.6.0", "data format error" },
	{ EX_NOINPUT, "5.3.0", "cannot open input" },
	{ EX_NOUSER, "5.1.1", "user unknown" },
	{ EX_NOHOST, "5.1.2", "host name unknown" },
	{ EX_UNAVAILABLE, "5.3.0", "service unavailable" },
	{ EX_SOFTWARE, "5.3.0", "internal software error" },
	{ EX_OSERR, "4.3.0", "system resource problem" },
	{ EX_OSFILE, "5.3.0", "critical OS file missing" },
	{ EX_CANTCREAT, "5.2.0", "can't create user output file" },
	{ EX_IOERR, "5.3.0", "input/output error" },
	{ EX_TEMPFAIL, "4.3.0", "temporary failure" },
	{ EX_PROTOCOL, "5.5.0", "remote error in protocol" },
	{ EX_NOPERM, "5.7.0", "permission denied" },
	{ EX_CONFIG, "5.3.5", "local configuration error" },
};

static void
say(struct runner_verdict *verdict, struct slice dsn, const char *text, struct slice output)
{
	verdict->status = dsn.ptr[0] == '4' ? AGENT_TEMPORARY : AGENT_REFUSED;
	(void)snprintf(verdict->dsn, sizeof(verdict->dsn), "%" SLICE_FMT, SLICE_ARG(dsn));
	(void)snprintf(verdict->reason, sizeof(verdict->reason), "%s%s%" SLICE_FMT, text,
		output.len > 0 && text[0] != '\0' ? ". Command output: " : "", SLICE_ARG(output));
}

void
runner_judge(int exit_code, struct slice output, const char *command,
	struct runner_verdict *ret_verdict)
{
	size_t len = dsn_status_length(output);
	char text[RUNNER_REASON_MAX / 2];

	if (exit_code == EX_OK) {
		*ret_verdict = (struct runner_verdict){ .status = AGENT_DONE, .dsn = "2.0.0" };
		(void)snprintf(ret_verdict->reason, sizeof(ret_verdict->reason),
			"delivered to command: %.500s", command);
		return;
	}
	/* What the command says itself counts most, unless it says that all is well. */
	if (len > 0 && output.ptr[0] != '2') {
		say(ret_verdict, slice_head(output, len), "",
			slice_trim(slice_from(output, len)));
		return;
	}
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
		if (meanings[i].code != exit_code)
			continue;
		say(ret_verdict, slice_str(meanings[i].dsn), meanings[i].text, output);
		return;
	}
	(void)snprintf(text, sizeof(text), "Command died with status %d: \"%.300s\"", exit_code,
		command);
	say(ret_verdict, SLICE_LIT("5.3.0"), text, output);
}
