/*
 * table.h - look-up tables as administrators write them, before they go into an image
 *
 *   inline:{ key=value, { key = value } }    in main.cf itself ($$ is a dollar sign there)
 *   texthash:FILE                            lines "key value"; continuation lines as in main.cf
 *   static:VALUE, static:{ VALUE }           the same value for every key
 *
 * A relative FILE counts from the configuration's directory. Keys are kept in lower case; a key in
 * double quotes may hold blanks; one colon behind a key is dropped in the form of alias files
 * ("name: value"). Of equal keys the first counts. In aliases, :include:FILE becomes the addresses
 * of that file, at most TABLE_LIST_MAX bytes.
 *
 * Ownership: embedded by its owner, table_done() frees.
 * Limits:    CONFIG_TABLE_MAX bytes, TABLE_KEY_MAX per key.
 * Errors:    ERR_CONFIG, ERR_SYNTAX, ERR_LIMIT, ERR_NOTFOUND, ERR_IO.
 * Threads:   none.
 */
#ifndef OSTLER_CONFIG_TABLE_H
#define OSTLER_CONFIG_TABLE_H

#include "base/buf.h"
#include "config/origin.h"

enum { TABLE_KEY_MAX = 2048, TABLE_LIST_MAX = 1024 * 1024 };

struct table_item {
	uint32_t key; /* offset in text */
	uint32_t key_len;
	uint32_t value; /* offset in text */
	uint32_t value_len;
};

struct table {
	bool is_static; /* the one item's value answers all keys */
	struct buf text;
	struct table_item *items;
	uint32_t count;
	uint32_t cap;
};

struct table_options {
	int directory_fd;
	struct origin origin; /* of the setting that names the table */
	bool is_alias;	      /* keys may end in a colon, values have lists */
};

/* Whether a word of a list begins with a table type that we have, as "texthash:". */
bool table_is_spec(struct slice word);

/* Whether it begins with a type that other mail systems have: said in errors. */
bool table_is_foreign(struct slice word);

void table_init(struct table *table);
void table_done(struct table *table);

/* Appends one entry; a key that is there already keeps its value. ERR_LIMIT, ERR_NOMEM. */
MUST_USE enum err table_put(struct table *table, struct slice key, struct slice value);

MUST_USE enum err table_load(struct table *table, struct slice spec,
	const struct table_options *options, struct fault *reterr_fault);

#endif
