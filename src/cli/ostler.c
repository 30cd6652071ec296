/*
 * ostler.c - the operator's tool: its command line
 */
#include "cli/cli.h"

#include "cli/beside.h"
#include "cli/config_print.h"
#include "cli/export.h"
#include "cli/import.h"
#include "cli/instance.h"
#include "cli/operator.h"
#include "cli/shape.h"
#include "cli/snapshot.h"
#include "cli/trace.h"
#include "cli/why.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static const char ostler_help[] =
	"usage: ostler [-c DIR] [-o name=value]... COMMAND\n"
	"\n"
	"  queue [CONDITION...] [--json]   list the queue, as mailq or as postqueue -j does\n"
	"  show ID [--content]        one message: envelope, state, attempts\n"
	"  why ID|ADDRESS|DOMAIN|SITE [--full] [--json]   what mail waits for\n"
	"  shape [-s] [-l] [-b N] [-t MINUTES] [--json] [QUEUE...]   ages by destination, sender\n"
	"  trace [--log FILE] [--json] ID|ADDRESS|MESSAGE-ID   what the log says of it\n"
	"  flush [WHICH]              try delivery now\n"
	"  hold WHICH                 keep from delivery\n"
	"  release WHICH              undo hold\n"
	"  delete WHICH               remove from the queue, without any report\n"
	"  requeue WHICH              start over: rewritten and routed anew\n"
	"  expire [--release] WHICH   return to the sender now, with the last reasons\n"
	"  import [OPTIONS] DIR       take over a Postfix queue, a Maildir, files (import --help)\n"
	"  export [--output DIR] ID...|ALL   messages as files (export --help)\n"
	"  corrupt list|show ID|requeue ID...|delete ID...   mail kept after damage\n"
	"  check [--repair] [--json]  what is wrong with the files of a stopped queue\n"
	"  snapshot [--time-limit S] DIR     a copy of the running queue (snapshot --help)\n"
	"  upgrade-journal            let the journal have what this release added\n"
	"  status [--json]            how the queue manager does\n"
	"  sites [--json]             where mail goes, and what is the matter there\n"
	"  site suspend SITE [TIME] | slow SITE RATE [TIME] | resume SITE | reset SITE\n"
	"  reload                     read the configuration again\n"
	"  stop                       end the mail system\n"
	"  config [-n] [-d] [-x] [-h] [NAME...]   parameters; config --check: are they good?\n"
	"                             config --templates: the texts of reports\n"
	"\n"
	"WHICH is ID... or ALL, and conditions that must all hold:\n"
	"  --sender A  --recipient A  an address, a domain, or <> (no sender)\n"
	"  --site S                   an open recipient's domain or next hop\n"
	"  --age T  --size N          at least so old (2h), large (4K); with -: at most\n"
	"  --reason TEXT              a part of the last reply, or its status (4.7.1)\n"
	"  -n  only list them   -y  do not ask   --why TEXT  for the log   --json\n"
	"\n"
	"  -c DIR         directory of main.cf and master.cf (or $MAIL_CONFIG)\n"
	"  -o name=value  overrides main.cf\n"
	"See ostler(1).\n";

typedef int ostler_command_fn(struct cli *cli, int argc, char **argv);

struct ostler_command {
	const char *name;
	ostler_command_fn *fn;
};

static int
ostler_usage(const struct cli *cli, const char *what, const char *detail)
{
	return cli_complain(cli, EX_USAGE, "%s%s%s (see %s --help)", what,
		detail != NULL ? ": " : "", detail != NULL ? detail : "", cli->program);
}

/* The commands' only option, if it stands first or last: removed. */
static bool
ostler_take(int *argc, char **argv, const char *option)
{
	for (int i = 1; i < *argc; i++) {
		if (strcmp(argv[i], option) != 0)
			continue;
		for (int j = i; j < *argc - 1; j++)
			argv[j] = argv[j + 1];
		(*argc)--;
		return true;
	}
	return false;
}

static int
ostler_queue(struct cli *cli, int argc, char **argv)
{
	struct selection selection;
	int exit_code = selection_parse(cli, argc, argv, &selection);

	if (exit_code != EX_OK)
		return exit_code;
	if (selection.id_count > 0)
		exit_code = ostler_usage(cli, "queue: unexpected argument", argv[argc - 1]);
	else
		exit_code = operator_queue(cli, &selection, selection.is_json);
	selection_done(&selection);
	return exit_code;
}

static int
ostler_show(struct cli *cli, int argc, char **argv)
{
	bool with_content = ostler_take(&argc, argv, "--content");

	if (argc != 2)
		return ostler_usage(cli, "show: one queue ID is wanted", NULL);
	return operator_show(cli, argv[1], with_content);
}

static int
ostler_change(struct cli *cli, int argc, char **argv)
{
	struct selection selection;
	int exit_code = selection_parse(cli, argc, argv, &selection);

	if (exit_code != EX_OK)
		return exit_code;
	if (strcmp(argv[0], "flush") != 0 && selection.id_count == 0 && !selection.is_all
		&& !selection.has_conditions)
		exit_code = ostler_usage(cli, argv[0], "queue IDs, conditions or ALL are wanted");
	else
		exit_code = operator_change(cli, argv[0], &selection);
	selection_done(&selection);
	return exit_code;
}

static int
ostler_status(struct cli *cli, int argc, char **argv)
{
	bool as_json = ostler_take(&argc, argv, "--json");

	if (argc > 1)
		return ostler_usage(cli, "status: unexpected argument", argv[1]);
	return operator_status(cli, as_json);
}

static int
ostler_sites(struct cli *cli, int argc, char **argv)
{
	bool as_json = ostler_take(&argc, argv, "--json");

	if (argc > 1)
		return ostler_usage(cli, "sites: unexpected argument", argv[1]);
	return operator_sites(cli, as_json);
}

static int
ostler_site(struct cli *cli, int argc, char **argv)
{
	if (argc < 3)
		return ostler_usage(cli, "site", "suspend, resume, slow or reset, and a site");
	return operator_plain(
		cli, "site", (const char *const *)&argv[1], (size_t)argc - 1, true);
}

static int
ostler_upgrade(struct cli *cli, int argc, char **argv)
{
	return argc > 1 ? ostler_usage(cli, "upgrade-journal: unexpected argument", argv[1])
			: operator_upgrade(cli);
}

/* They read the queue's files, which another program can. */
static int
ostler_files(struct cli *cli, int argc, char **argv)
{
	return beside_run(cli, "ostler-check", argc, argv);
}

static int
ostler_reload(struct cli *cli, int argc, char **argv)
{
	return argc > 1 ? ostler_usage(cli, "reload: unexpected argument", argv[1])
			: instance_reload(cli);
}

static int
ostler_stop(struct cli *cli, int argc, char **argv)
{
	return argc > 1 ? ostler_usage(cli, "stop: unexpected argument", argv[1])
			: instance_stop(cli);
}

static const struct ostler_command ostler_commands[] = {
	{ "queue", ostler_queue },
	{ "show", ostler_show },
	{ "flush", ostler_change },
	{ "hold", ostler_change },
	{ "release", ostler_change },
	{ "delete", ostler_change },
	{ "requeue", ostler_change },
	{ "expire", ostler_change },
	{ "why", why_run },
	{ "shape", shape_run },
	{ "trace", trace_run },
	{ "import", import_run },
	{ "export", export_run },
	{ "corrupt", ostler_files },
	{ "check", ostler_files },
	{ "snapshot", snapshot_run },
	{ "upgrade-journal", ostler_upgrade },
	{ "status", ostler_status },
	{ "sites", ostler_sites },
	{ "site", ostler_site },
	{ "reload", ostler_reload },
	{ "stop", ostler_stop },
	{ "config", config_print_run },
};

/* The options in front of the command. *ret_exit: nothing is left to do. */
static int
ostler_options(struct cli *cli, int argc, char **argv, bool *ret_exit)
{
	static const struct option options[] = { { "help", no_argument, NULL, 'H' },
		{ "version", no_argument, NULL, 'V' }, { NULL, 0, NULL, 0 } };
	int option;

	*ret_exit = true;
	optind = 0;
	while ((option = getopt_long(argc, argv, "+c:o:", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			cli->directory = optarg;
			break;
		case 'o':
			if (cli->override_count == CLI_OVERRIDES_MAX)
				return ostler_usage(cli, "too many -o", optarg);
			cli->overrides[cli->override_count++] = optarg;
			break;
		case 'H':
			(void)fputs(ostler_help, stdout);
			return EX_OK;
		case 'V':
			(void)printf("ostler %s\n", OSTLER_VERSION);
			return EX_OK;
		default:
			return EX_USAGE;
		}
	}
	*ret_exit = false;
	return EX_OK;
}

/* Commands with more options than the list above can say. */
static bool
ostler_has_help(const char *name)
{
	return strcmp(name, "import") == 0 || strcmp(name, "export") == 0
	       || strcmp(name, "check") == 0 || strcmp(name, "corrupt") == 0
	       || strcmp(name, "snapshot") == 0;
}

int
ostler_run(struct cli *cli, int argc, char **argv)
{
	bool is_done;
	int exit_code = ostler_options(cli, argc, argv, &is_done);

	if (is_done)
		return exit_code;
	if (optind == argc)
		return ostler_usage(cli, "a command is wanted", NULL);
	argc -= optind;
	argv += optind;
	if (argc == 2 && strcmp(argv[1], "--help") == 0 && !ostler_has_help(argv[0])) {
		(void)fputs(ostler_help, stdout);
		return EX_OK;
	}
	for (size_t i = 0; i < sizeof(ostler_commands) / sizeof(ostler_commands[0]); i++)
		if (strcmp(argv[0], ostler_commands[i].name) == 0)
			return ostler_commands[i].fn(cli, argc, argv);
	return ostler_usage(cli, "unknown command", argv[0]);
}
