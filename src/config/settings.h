/*
 * settings.h - main.cf alone, for tools: single values, raw or expanded, without opening any table
 *
 * sendmail and mailq run as any user, who may not read what tables name; they need a few values
 * only. Services' -o do not count here.
 *
 * Ownership: settings_close() frees; texts returned live until then.
 * Errors:    those of config_compile(), for main.cf.
 * Threads:   none.
 */
#ifndef OSTLER_CONFIG_SETTINGS_H
#define OSTLER_CONFIG_SETTINGS_H

#include "config/compile.h"
#include "config/params.h"

struct settings;

MUST_USE enum err settings_open(const struct config_options *options,
	struct settings **ret_settings, struct buf *ret_warnings, struct fault *reterr_fault);

/* Accepts NULL. */
void settings_close(struct settings *settings);

/* Appends the expanded value of a parameter. */
MUST_USE enum err settings_expand(
	struct settings *settings, enum param_id id, struct buf *text, struct fault *reterr_fault);

/* The number of a parameter that has one (config/value.h). */
MUST_USE enum err settings_number(struct settings *settings, enum param_id id, uint64_t *ret_number,
	struct fault *reterr_fault);

/* The value as main.cf or the command line has it; NULL: not set. */
const char *settings_raw(const struct settings *settings, const char *name);

/* What counts where it is not set, unexpanded. */
const char *settings_default(const struct settings *settings, enum param_id id);

/* The name of the nth setting, in the order of main.cf; NULL beyond the last. */
const char *settings_at(const struct settings *settings, uint32_t index);

#endif
