/*
 * params_doc.c - prints docs/parameters.md from the table of parameters (build-time program)
 *
 * usage: params_doc            the document, to stdout
 *        params_doc --check F  exit 1 if F is not that document
 */
#include "base/buf.h"
#include "config/params.h"
#include "config/text_file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int
params_doc_compare(const void *a, const void *b)
{
	const enum param_id *one = a;
	const enum param_id *other = b;

	return strcmp(param_get(*one)->name, param_get(*other)->name);
}

static void
params_doc_allowed(const struct param *param, struct buf *text)
{
	struct slice rest = slice_str(param->words);
	struct slice word;
	const char *comma = "";

	switch (param->type) {
	case PARAM_TYPE_BOOL:
		buf_add_str(text, "yes, no");
		break;
	case PARAM_TYPE_INT:
	case PARAM_TYPE_SIZE:
		buf_addf(text, "%" PRIu64 " to %" PRIu64, param->min, param->max);
		break;
	case PARAM_TYPE_TIME:
		buf_addf(text, "%" PRIu64 " s to %" PRIu64 " s", param->min, param->max);
		break;
	case PARAM_TYPE_ENUM:
	case PARAM_TYPE_WORDS:
		for (; slice_word(&rest, " ", &word); comma = ", ")
			buf_addf(text, "%s%" SLICE_FMT, comma, SLICE_ARG(word));
		break;
	case PARAM_TYPE_STRING:
	case PARAM_TYPE_STRINGS:
	case PARAM_TYPE_DOMAINS:
	case PARAM_TYPE_NETS:
	case PARAM_TYPE_MAPS:
	case PARAM_TYPE_TEMPLATES:
		break;
	}
}

static void
params_doc_row(enum param_id id, struct buf *text)
{
	const struct param *param = param_get(id);
	const char *suffix = param_transport_suffix(id);

	buf_addf(text, "## %s\n\n%s.\n\n- default: ", param->name, param->meaning);
	if (param->text[0] != '\0')
		buf_addf(text, "`%s`\n", param->text);
	else
		buf_add_str(text, "empty\n");
	buf_addf(text, "- type: %s", param_type_name(param->type));
	if (param->type == PARAM_TYPE_TIME)
		buf_addf(text, ", without a unit: %c", param_time_unit(id));
	buf_add_str(text, "\n");
	if (param->type <= PARAM_TYPE_SIZE || param->words[0] != '\0') {
		buf_add_str(text, "- allowed: ");
		params_doc_allowed(param, text);
		buf_add_str(text, "\n");
	}
	if (suffix != NULL)
		buf_addf(text, "- per transport: `TRANSPORT_%s`\n", suffix);
	buf_addf(text, "- a change counts after: %s\n\n",
		param->when == PARAM_LIVE ? "reload" : "restart");
}

static void
params_doc_all(struct buf *text)
{
	enum param_id order[PARAM_COUNT];

	for (unsigned i = 0; i < PARAM_COUNT; i++)
		order[i] = (enum param_id)i;
	qsort(order, PARAM_COUNT, sizeof(order[0]), params_doc_compare);
	buf_add_str(text,
		"# Parameters of main.cf\n"
		"\n"
		"Made from `src/config/params.def` by `params_doc`; do not edit. Syntax: "
		"`main.cf(5)`.\n"
		"\n"
		"Times are digits and a unit: s, m, h, d, w. Lists are parted by commas or "
		"blanks;\n"
		"items may be names or networks, `/files` of items, or tables (`inline:{ k=v }`,\n"
		"`texthash:FILE`, `static:VALUE`), each with `!` in front to mean the contrary.\n"
		"\n");
	for (unsigned i = 0; i < PARAM_COUNT; i++)
		params_doc_row(order[i], text);
	text->len--; /* one empty line less at the end */
}

int
main(int argc, char **argv)
{
	struct buf text, file;
	struct fault fault;
	int exit_code = 0;

	buf_init(&text, 0);
	buf_init(&file, 0);
	params_doc_all(&text);
	if (argc == 3 && strcmp(argv[1], "--check") == 0) {
		if (text_file_read(AT_FDCWD, argv[2], argv[2], 1 << 20, &file, &fault) < 0
			|| !slice_equal(buf_slice(&text), buf_slice(&file))) {
			(void)fprintf(
				stderr, "%s is stale: run params_doc > %s\n", argv[2], argv[2]);
			exit_code = 1;
		}
	} else {
		(void)fwrite(text.ptr, 1, text.len, stdout);
	}
	buf_done(&text);
	buf_done(&file);
	return exit_code;
}
