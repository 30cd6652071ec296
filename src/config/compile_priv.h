/*
 * compile_priv.h - what the parts of the compiler share
 *
 * compile.c reads the files and leads; compile_value.c turns settings into rows of values;
 * compile_list.c turns lists and tables, compile_template.c report templates, into objects of the
 * image.
 */
#ifndef OSTLER_CONFIG_COMPILE_PRIV_H
#define OSTLER_CONFIG_COMPILE_PRIV_H

#include "config/compile.h"
#include "config/image.h"
#include "config/main_cf.h"
#include "config/master_cf.h"
#include "config/value.h"

#include <uthash.h>

enum { COMPILE_TEXT_MAX = 4 * 1024 * 1024, COMPILE_ITEMS_MAX = 4 * 1024 * 1024 };

/* A table that is in the image already: lists that name it again share it. */
struct compile_table {
	char *spec; /* with its form in front */
	uint32_t number;
	UT_hash_handle hh;
};

struct compile {
	const struct config_options *options;
	int directory_fd; /* -1: built-in configuration */
	struct main_cf main_cf;
	struct master_cf master_cf;
	struct image image;
	struct compile_table *tables;
	char *hostname; /* default of myhostname, may hold $mydomain */
	char *mydomain; /* default of mydomain */
	struct buf *warnings;
	struct fault *reterr_fault;
};

/* Whose settings count: those of a service before those of main.cf. */
struct compile_scope {
	struct compile *compile;
	struct main_cf *settings; /* of the service; NULL: main.cf alone */
};

/* File names for messages live as long as what is compiled from them. */
struct compile_names {
	char *main_cf;
	char *master_cf;
};

/* compile.c: the directory is opened, main.cf and the command line are read. */
struct compile_names compile_names_new(const struct config_options *options);
void compile_names_free(struct compile_names *names);
MUST_USE enum err compile_read_settings(struct compile *compile, const struct compile_names *names);
void compile_close_directory(struct compile *compile);

/* A delivering unix service by its name; NULL: none. */
const struct config_service *compile_find_transport(
	const struct compile *compile, struct slice name);

/* compile_value.c: the raw text of a name and where it was set; ERR_NOTFOUND. */
MUST_USE enum err compile_find(const struct compile_scope *scope, struct slice name,
	struct slice *ret_text, struct origin *ret_origin);

/* Appends the expanded text. */
MUST_USE enum err compile_expand(const struct compile_scope *scope,
	const struct value_source *source, struct slice text, struct buf *out);

/* Works out the defaults of myhostname and mydomain. */
MUST_USE enum err compile_hostname(struct compile *compile);

/* A row of all values. */
MUST_USE enum err compile_row(struct compile *compile, struct main_cf *settings, uint32_t *ret_row);

/* The row of a transport: main.cf's with its own forms of the defaults (rule T10). */
MUST_USE enum err compile_transport_row(
	struct compile *compile, struct slice transport, uint32_t *ret_row);

/* compile_list.c: the object of a list or of tables, from its expanded text. */
MUST_USE enum err compile_list(struct compile *compile, const struct value_source *source,
	struct slice text, uint32_t *ret_object);

void compile_list_done(struct compile *compile);

/* compile_template.c: the object of a file of report templates; an empty path leaves none. */
MUST_USE enum err compile_templates(struct compile *compile, const struct value_source *source,
	struct slice path, uint32_t *ret_object);

#endif
