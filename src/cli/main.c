/*
 * main.c - entry of ostler, sendmail and mailq: the name it is called by decides
 *
 * DIAGNOSTICS: exit codes of sysexits.h.
 */
#include "cli/cli.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

int
main(int argc, char **argv)
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *name = slash != NULL ? slash + 1 : argc > 0 ? argv[0] : "ostler";
	struct cli cli;
	int exit_code;

	(void)signal(SIGPIPE, SIG_IGN);
	cli_init(&cli, name);
	if (strcmp(name, "sendmail") == 0 || strcmp(name, "mailq") == 0
		|| strcmp(name, "newaliases") == 0)
		exit_code = sendmail_run(&cli, argc, argv);
	else
		exit_code = ostler_run(&cli, argc, argv);
	cli_done(&cli);
	/* Rule O16: half of an answer is not taken for all of it. */
	if ((fflush(stdout) != 0 || ferror(stdout)) && exit_code == EX_OK) {
		(void)fprintf(stderr, "%s: the output could not be written in full\n", name);
		exit_code = EX_IOERR;
	}
	return exit_code;
}
