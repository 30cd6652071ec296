/*
 * cli.h - what the tools share: their names, complaints, the configuration they use
 *
 * One program with three names: ostler, sendmail, mailq. Exit codes are those of sysexits.h.
 *
 * Ownership: struct cli is embedded in its main; cli_done() frees.
 * Threads:   none.
 */
#ifndef OSTLER_CLI_CLI_H
#define OSTLER_CLI_CLI_H

#include "base/buf.h"
#include "base/err.h"
#include "config/settings.h"

enum { CLI_OVERRIDES_MAX = 64 };

struct cli {
	const char *program;			  /* as in complaints */
	const char *directory;			  /* -c, -C; NULL: $MAIL_CONFIG or built in */
	const char *overrides[CLI_OVERRIDES_MAX]; /* -o */
	size_t override_count;
	char hostname[256];
	struct settings *settings; /* NULL before cli_load() */
	int queue_fd;		   /* queue_directory; -1 before cli_open_queue() */
};

void cli_init(struct cli *cli, const char *program);
void cli_done(struct cli *cli);

/* "program: text" to stderr; returns exit_code, so that `return cli_complain(...)` reads well. */
int cli_complain(const struct cli *cli, int exit_code, const char *format, ...) FORMAT_PRINTF(3, 4);

/* Options for config_compile() and settings_open(). */
struct config_options cli_config_options(const struct cli *cli);

/* Reads main.cf. Returns EX_OK, or EX_CONFIG after a complaint. */
MUST_USE int cli_load(struct cli *cli);

/* Opens queue_directory. EX_OK, or EX_UNAVAILABLE, EX_NOPERM, EX_CONFIG after a complaint. */
MUST_USE int cli_open_queue(struct cli *cli);

/* The expanded value of a parameter, as a copy to mem_free(); NULL after a complaint. */
char *cli_value(struct cli *cli, enum param_id id);

/* Connects to a socket below the queue directory. -1: errno says why. */
int cli_connect(const struct cli *cli, const char *path);

/* Writes all of it to a descriptor; false: errno says why. */
bool cli_write(int fd, struct slice bytes);

/* What each of the programs does; the result is the exit code. */
int ostler_run(struct cli *cli, int argc, char **argv);
int sendmail_run(struct cli *cli, int argc, char **argv);

#endif
