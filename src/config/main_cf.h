/*
 * main_cf.h - the settings of main.cf and of the command line, unevaluated (rules T1 to T3)
 *
 * Ownership: embedded by its owner; main_cf_done() frees. Names and values are NUL-terminated
 *            copies and live until then or until they are set anew.
 * Limits:    the caller bounds the text (CONFIG_FILE_MAX).
 * Errors:    ERR_SYNTAX with file and line.
 * Threads:   none.
 */
#ifndef OSTLER_CONFIG_MAIN_CF_H
#define OSTLER_CONFIG_MAIN_CF_H

#include "base/buf.h"
#include "config/origin.h"

#include <uthash.h>

struct main_cf_entry {
	char *name;
	char *value;
	struct origin origin;
	bool is_used; /* set by whoever looks the entry up for its value */
	UT_hash_handle hh;
};

struct main_cf {
	struct main_cf_entry *entries; /* in the order in which names first came */
};

void main_cf_init(struct main_cf *main_cf);
void main_cf_done(struct main_cf *main_cf);

/*
 * Adds the settings of a text; a name that is there already is replaced with a line in
 * ret_warnings. `file` is borrowed for the life of main_cf.
 */
MUST_USE enum err main_cf_parse(struct main_cf *main_cf, struct slice text, const char *file,
	struct buf *ret_warnings, struct fault *reterr_fault);

/* One "name=value", of a command line or a -o of master.cf; replaces silently. */
MUST_USE enum err main_cf_set_pair(struct main_cf *main_cf, struct slice pair, struct origin origin,
	struct fault *reterr_fault);

/* NULL: not set. */
struct main_cf_entry *main_cf_find(const struct main_cf *main_cf, struct slice name);

#endif
