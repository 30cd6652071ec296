/*
 * params.h - the table of parameters (params.def): names, types, defaults, ranges, meanings
 *
 * A parameter's number (PARAM_...) is its place in the table and is valid within one build only; a
 * snapshot carries a checksum of the table, so that builds never read each other's numbers.
 * Limits: 64 words per WORDS parameter.
 * Threads: all functions are pure.
 */
#ifndef OSTLER_CONFIG_PARAMS_H
#define OSTLER_CONFIG_PARAMS_H

#include "base/slice.h"

enum param_type {
	PARAM_TYPE_BOOL,    /* yes, no */
	PARAM_TYPE_INT,	    /* digits */
	PARAM_TYPE_TIME,    /* digits and a unit s m h d w; kept in seconds */
	PARAM_TYPE_SIZE,    /* digits, bytes */
	PARAM_TYPE_STRING,  /* any text */
	PARAM_TYPE_ENUM,    /* one of param->words */
	PARAM_TYPE_WORDS,   /* a list of param->words */
	PARAM_TYPE_STRINGS, /* a list of names, /files, type:tables; a name matches itself */
	PARAM_TYPE_DOMAINS, /* the same; a name also matches the names below it */
	PARAM_TYPE_NETS,    /* a list of addresses, networks, /files, type:tables */
	PARAM_TYPE_MAPS,    /* a list of type:tables, asked in turn */
	PARAM_TYPE_TEMPLATES, /* a file of report templates */
};

enum param_when { PARAM_LIVE, PARAM_START };

enum param_id {
#define PARAM(id, name, type, text, min, max, words, when, meaning) PARAM_##id,
#include "config/params.def"
#undef PARAM
	PARAM_COUNT
};

struct param {
	const char *name;
	const char *text; /* default, unexpanded */
	const char *words;
	const char *meaning;
	uint64_t min;
	uint64_t max;
	enum param_type type;
	enum param_when when;
};

/* The row of a parameter; never NULL for an id of the enum. */
const struct param *param_get(enum param_id id);

/* PARAM_COUNT if there is no such name. */
enum param_id param_find(struct slice name);

/* "integer", "time", ... for people. */
const char *param_type_name(enum param_type type);

/*
 * What follows a transport's name and "_" in the form per transport (rule T10), e.g.
 * "destination_concurrency_limit"; NULL if the parameter has no such form.
 */
const char *param_transport_suffix(enum param_id id);

/* The unit letter of a TIME parameter's default: s, m, h, d or w. */
char param_time_unit(enum param_id id);

/* The number of a word in a blank-separated list, or -1. Letters compare without case. */
int param_word_find(const char *words, struct slice word);

/* A checksum of the whole table. */
uint64_t param_table_hash(void);

#endif
