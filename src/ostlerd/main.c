/*
 * main.c - ostlerd: the supervisor, or, started by it, one of the roles
 */
#include "admin/admin_main.h"
#include "base/check.h"
#include "base/num.h"
#include "base/sandbox.h"
#include "config/compile.h"
#include "ipc/role.h"
#include "local/agent_main.h"
#include "local/local_main.h"
#include "log/log_main.h"
#include "master/master.h"
#include "qmgr/qmgr_main.h"
#include "resolver/resolver_main.h"
#include "smtp/smtp_main.h"
#include "smtpd/pickup_main.h"
#include "smtpd/smtpd_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum { OVERRIDES_MAX = 256 };

#ifdef __SANITIZE_ADDRESS__
/* Its search for leaks needs system calls that the sandbox forbids. */
const char *__asan_default_options(void);
const char *
__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

static int (*const mains[ROLE_KIND_COUNT])(struct role *) = {
	[ROLE_QMGR] = qmgr_main,
	[ROLE_SMTPD] = smtpd_main,
	[ROLE_PICKUP] = pickup_main,
	[ROLE_ADMIN] = admin_main,
	[ROLE_LOG] = log_main,
	[ROLE_LOCAL] = local_main,
	[ROLE_AGENT] = agent_main,
	[ROLE_RUNNER] = agent_main,
	[ROLE_RESOLVER] = resolver_main,
	[ROLE_SMTP] = smtp_main,
};

static int
usage(FILE *to)
{
	(void)fputs("usage: ostlerd [-c DIR] [-o NAME=VALUE]... [--restored]\n"
		    "  -c DIR         use DIR/main.cf and DIR/master.cf; without it the built-in\n"
		    "                 configuration, with all state below ./var\n"
		    "  -o NAME=VALUE  override a parameter of main.cf; repeatable\n"
		    "  --restored     the queue is a copy of another one (a backup, a clone):\n"
		    "                 hold its mail until `ostler release ALL`\n"
		    "  --help, --version\n"
		    "Runs in the foreground. SIGHUP reloads, SIGTERM and SIGINT stop.\n"
		    "See ostlerd(8).\n",
		to);
	return to == stdout ? EX_OK : EX_USAGE;
}

/* --- one role --------------------------------------------------------------------------------- */

static int
run_role(const char *name, const char *slot_text)
{
	int directories[ROLE_DIR_COUNT];
	size_t count = 0;
	enum role_kind kind;
	struct role *role;
	uint64_t slot;

	if (role_find(name, &kind) != ERR_OK || mains[kind] == NULL ||
		num_parse_u64(slot_text == NULL ? slice_make(NULL, 0) : slice_str(slot_text), 0,
			UINT32_MAX, &slot) != ERR_OK) {
		(void)fprintf(stderr, "ostlerd: --role is for ostlerd itself\n");
		return EX_USAGE;
	}
	role = role_open(kind, (uint32_t)slot);
	for (int i = 0; i < ROLE_DIR_COUNT; i++)
		if (role->directories[i] >= 0)
			directories[count++] = role->directories[i];
	if (sandbox_enter(role_sandbox(kind), directories, count) != ERR_OK)
		die(EX_OSERR, "%s: the sandbox cannot be entered", role_name(kind));
	return mains[kind](role);
}

/* --- options ---------------------------------------------------------------------------------- */

struct arguments {
	struct master_options master;
	const char *overrides[OVERRIDES_MAX];
	const char *role, *slot;
};

/* The value of an option that wants one: behind it, or the next word. NULL: there is none. */
static const char *
value_of(int argc, char **argv, int *index, size_t skip)
{
	const char *word = argv[*index];

	if (strlen(word) > skip)
		return word + skip;
	if (*index + 1 >= argc)
		return NULL;
	return argv[++*index];
}

/* An exit code, or -1: go on. */
static int
read_argument(struct arguments *arguments, int argc, char **argv, int *index)
{
	const char *word = argv[*index], *value;

	if (strcmp(word, "--help") == 0)
		return usage(stdout);
	if (strcmp(word, "--version") == 0)
		return printf("ostlerd 0.1.0\n") < 0 ? EX_IOERR : EX_OK;
	if (strcmp(word, "--restored") == 0) {
		arguments->master.restored = true;
		return -1;
	}
	if (strcmp(word, "--role") == 0 || strcmp(word, "--slot") == 0) {
		value = value_of(argc, argv, index, strlen(word));
		*(word[2] == 'r' ? &arguments->role : &arguments->slot) = value;
		return value == NULL ? usage(stderr) : -1;
	}
	if (strncmp(word, "-c", 2) == 0) {
		arguments->master.directory = value_of(argc, argv, index, 2);
		return arguments->master.directory == NULL ? usage(stderr) : -1;
	}
	if (strncmp(word, "-o", 2) == 0) {
		value = value_of(argc, argv, index, 2);
		if (value == NULL || strchr(value, '=') == NULL ||
			arguments->master.override_count == OVERRIDES_MAX) {
			(void)fprintf(stderr, "ostlerd: -o wants NAME=VALUE\n");
			return EX_USAGE;
		}
		arguments->overrides[arguments->master.override_count++] = value;
		return -1;
	}
	(void)fprintf(stderr, "ostlerd: unknown argument %s\n", word);
	return usage(stderr);
}

int
main(int argc, char **argv)
{
	static struct arguments arguments;

	for (int i = 1; i < argc; i++) {
		int code = read_argument(&arguments, argc, argv, &i);

		if (code >= 0)
			return code;
	}
	if (arguments.role != NULL)
		return run_role(arguments.role, arguments.slot);
	arguments.master.overrides = arguments.overrides;
	arguments.master.directory = config_directory_choose(arguments.master.directory);
	for (int i = 0; i < ROLE_KIND_COUNT; i++)
		arguments.master.has_role[i] = mains[i] != NULL;
	return master_run(&arguments.master);
}
