/*
 * compile.h - from main.cf, master.cf and tables to the image of a snapshot
 *
 * Reads files, so only master's short-lived child, tools and tests call it. All problems that can
 * be found are found here: names, types, ranges, references to transports and tables, syntax of
 * tables. The first error ends the compilation and names file, line, parameter, value and what is
 * allowed; warnings (overridden entries, unknown parameters and services) are gathered as lines.
 *
 * Ownership: the caller owns all buffers; nothing is kept.
 * Errors:    ERR_CONFIG (a bad value), ERR_SYNTAX (a bad line), ERR_NOTFOUND and ERR_IO (a file),
 *            ERR_LIMIT (a documented cap).
 * Limits:    CONFIG_FILE_MAX per main.cf, master.cf; CONFIG_TABLE_MAX per table; CONFIG_IMAGE_MAX.
 * Threads:   any, but the process must not change its directory meanwhile.
 */
#ifndef OSTLER_CONFIG_COMPILE_H
#define OSTLER_CONFIG_COMPILE_H

#include "base/buf.h"
#include "base/err.h"

enum { CONFIG_FILE_MAX = 4 * 1024 * 1024, CONFIG_TABLE_MAX = 256 * 1024 * 1024 };

struct config_options {
	const char *directory; /* has main.cf, maybe master.cf; NULL: the built-in configuration */
	int directory_fd; /* the same, opened (-1: by name); a 0700 parent does not matter then */
	const char *const *overrides; /* "name=value" of the command line, in order */
	size_t override_count;
	const char *hostname; /* of the machine, for myhostname */
	uint64_t number;      /* of the snapshot */
};

/*
 * Appends an image to ret_image (cleared first; its max must be at least CONFIG_IMAGE_MAX or 0) and
 * one line per warning, with newline, to ret_warnings.
 */
MUST_USE enum err config_compile(const struct config_options *options, struct buf *ret_image,
	struct buf *ret_warnings, struct fault *reterr_fault);

/* The directory to use: `given` (-c), or $MAIL_CONFIG, or NULL for the built-in configuration. */
const char *config_directory_choose(const char *given);

/* The built-in main.cf and master.cf. */
const char *config_builtin_main(void);
const char *config_builtin_master(void);

#endif
