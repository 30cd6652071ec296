/*
 * shape.c - the queue's ages as a table, in the form of qshape (see shape.h)
 */
#include "cli/shape.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "cli/control_client.h"
#include "cli/json_text.h"

#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <uthash.h>

enum { SHAPE_WIDTH = 80, SHAPE_COLUMN_MIN = 3 };

struct shape_row {
	char *domain;
	uint64_t counts[SHAPE_BUCKETS_MAX + 1]; /* the last: all ages */
	UT_hash_handle hh;
};

static const char *const shape_queues[] = { "incoming", "active", "deferred", "hold" };

enum { SHAPE_QUEUES = sizeof(shape_queues) / sizeof(shape_queues[0]) };

/* --- counting --------------------------------------------------------------------------------- */

static unsigned
shape_queue_bit(const char *name)
{
	for (unsigned i = 0; i < SHAPE_QUEUES; i++)
		if (strcmp(name, shape_queues[i]) == 0)
			return 1u << i;
	return 0;
}

/* The upper limit of a bucket, in units of the first one's. */
static uint64_t
shape_limit(const struct shape *shape, unsigned bucket)
{
	return shape->is_linear ? bucket + 1 : UINT64_C(1) << bucket;
}

static unsigned
shape_bucket(const struct shape *shape, uint64_t age_s)
{
	unsigned bucket = 0;

	while (bucket + 1 < shape->buckets
		&& age_s >= shape_limit(shape, bucket) * shape->first_s)
		bucket++;
	return bucket;
}

static struct shape_row *
shape_row(struct shape *shape, const char *name)
{
	struct shape_row *row;

	HASH_FIND_STR(shape->rows, name, row);
	if (row != NULL)
		return row;
	if (HASH_COUNT(shape->rows) >= SHAPE_DOMAINS_MAX && strcmp(name, "(others)") != 0)
		return shape_row(shape, "(others)");
	row = mem_new(sizeof(*row));
	row->domain = mem_strndup(name, strlen(name));
	HASH_ADD_KEYPTR(hh, shape->rows, row->domain, strlen(row->domain), row);
	return row;
}

/* Rule O64: what is behind the last @, in lower case. */
static void
shape_count(struct shape *shape, const char *address, unsigned bucket)
{
	const char *at = strrchr(address, '@');
	const char *domain = address[0] == '\0' ? "MAILER-DAEMON" : at != NULL ? at + 1 : address;
	struct shape_row *row;
	char name[256];
	size_t len = strnlen(domain, sizeof(name) - 1);

	for (size_t i = 0; i < len; i++)
		name[i] = address[0] == '\0' ? domain[i]
					     : (char)ascii_lower((uint8_t)domain[i]);
	name[len] = '\0';
	row = shape_row(shape, name);
	row->counts[bucket]++;
	row->counts[shape->buckets]++;
	shape->total[bucket]++;
	shape->total[shape->buckets]++;
}

enum err
shape_add(struct shape *shape, struct slice line)
{
	json_t *object = json_loadb((const char *)line.ptr, line.len, 0, NULL);
	const char *queue = json_string_value(json_object_get(object, "queue_name"));
	const char *sender = json_string_value(json_object_get(object, "sender"));
	json_int_t arrival = json_integer_value(json_object_get(object, "arrival_time"));
	json_t *recipients = json_object_get(object, "recipients"), *recipient;
	uint64_t age_s = arrival > 0 && (uint64_t)arrival < shape->now_s
				 ? shape->now_s - (uint64_t)arrival
				 : 0;
	size_t i;

	if (!json_is_object(object)) {
		json_decref(object);
		return ERR_SYNTAX;
	}
	if (queue == NULL || (shape_queue_bit(queue) & shape->queues) == 0) {
		json_decref(object);
		return ERR_OK;
	}
	json_array_foreach(recipients, i, recipient)
	{
		const char *address = json_string_value(json_object_get(recipient, "address"));

		address = shape->by_sender ? sender : address;
		if (address != NULL)
			shape_count(shape, address, shape_bucket(shape, age_s));
	}
	json_decref(object);
	return ERR_OK;
}

/* --- the table -------------------------------------------------------------------------------- */

static int
shape_before(struct shape_row *a, struct shape_row *b, unsigned buckets)
{
	size_t a_len = strlen(a->domain), b_len = strlen(b->domain);

	if (a->counts[buckets] != b->counts[buckets])
		return a->counts[buckets] > b->counts[buckets] ? -1 : 1;
	if (a_len != b_len)
		return a_len < b_len ? -1 : 1;
	return strcmp(a->domain, b->domain);
}

static struct shape_row **
shape_sorted(const struct shape *shape, size_t *ret_count)
{
	struct shape_row **rows = mem_array(HASH_COUNT(shape->rows) + 1, sizeof(*rows));
	struct shape_row *row, *next;
	size_t count = 0;

	/* Shell sort: no comparison has a context in the C library's. */
	HASH_ITER(hh, shape->rows, row, next)
	{
		rows[count++] = row;
	}
	for (size_t gap = count / 2; gap > 0; gap /= 2)
		for (size_t i = gap; i < count; i++)
			for (size_t j = i; j >= gap && shape_before(rows[j], rows[j - gap],
							       shape->buckets) < 0;
				j -= gap) {
				row = rows[j];
				rows[j] = rows[j - gap];
				rows[j - gap] = row;
			}
	*ret_count = count;
	return rows;
}

/* "T", "5", "10", "10+": minutes. */
static void
shape_heading(const struct shape *shape, unsigned column, char text[32])
{
	uint64_t minutes = shape->first_s / 60;

	if (column == 0)
		(void)snprintf(text, 32, "T");
	else if (column < shape->buckets)
		(void)snprintf(text, 32, "%" PRIu64, minutes * shape_limit(shape, column - 1));
	else
		(void)snprintf(text, 32, "%" PRIu64 "+",
			shape->buckets > 1 ? minutes * shape_limit(shape, column - 2) : 0);
}

static void
shape_line(const struct shape *shape, const int *widths, int rest, const char *name,
	const uint64_t *counts, struct buf *text)
{
	int len = (int)strlen(name);

	if (len > rest)
		buf_addf(text, "+%s", name + (len - rest + 1));
	else
		buf_addf(text, "%*s", rest, name);
	for (unsigned i = 0; i <= shape->buckets; i++) {
		char heading[32];

		shape_heading(shape, i, heading);
		if (counts == NULL)
			buf_addf(text, "%*s", widths[i], heading);
		else
			buf_addf(text, "%*" PRIu64, widths[i],
				counts[i == 0 ? shape->buckets : i - 1]);
	}
	buf_add_str(text, "\n");
}

static void
shape_table(const struct shape *shape, struct shape_row **rows, size_t count, struct buf *text)
{
	int widths[SHAPE_BUCKETS_MAX + 1], rest = SHAPE_WIDTH;

	for (unsigned i = 0; i <= shape->buckets; i++) {
		char heading[32], number[32];
		int len;

		shape_heading(shape, i, heading);
		(void)snprintf(number, sizeof(number), "%" PRIu64,
			shape->total[i == 0 ? shape->buckets : i - 1]);
		len = (int)num_max_u64(strlen(heading), strlen(number)) + 1;
		widths[i] = len > SHAPE_COLUMN_MIN ? len : SHAPE_COLUMN_MIN;
		rest -= widths[i];
	}
	rest = rest < 20 ? 20 : rest;
	shape_line(shape, widths, rest, "", NULL, text);
	shape_line(shape, widths, rest, "TOTAL", shape->total, text);
	for (size_t i = 0; i < count; i++)
		shape_line(shape, widths, rest, json_text_clean(rows[i]->domain).text,
			rows[i]->counts, text);
}

static int
shape_append(const char *bytes, size_t len, void *ctx)
{
	buf_add(ctx, slice_make(bytes, len));
	return 0;
}

static void
shape_json(const struct shape *shape, const char *name, const uint64_t *counts, struct buf *text)
{
	json_t *list = json_array(), *object;

	for (unsigned i = 0; i < shape->buckets; i++)
		(void)json_array_append_new(list, json_integer((json_int_t)counts[i]));
	object = json_pack("{s:s, s:I, s:o}", "domain", name, "total",
		(json_int_t)counts[shape->buckets], "ages", list);
	if (object != NULL && json_dump_callback(object, shape_append, text, JSON_COMPACT) == 0)
		buf_add_str(text, "\n");
	json_decref(object);
}

void
shape_format(struct shape *shape, bool as_json, struct buf *text)
{
	size_t count;
	struct shape_row **rows = shape_sorted(shape, &count);

	if (!as_json) {
		shape_table(shape, rows, count, text);
	} else {
		shape_json(shape, "TOTAL", shape->total, text);
		for (size_t i = 0; i < count; i++)
			shape_json(shape, rows[i]->domain, rows[i]->counts, text);
	}
	mem_free(rows);
}

void
shape_done(struct shape *shape)
{
	struct shape_row *row, *next;

	HASH_ITER(hh, shape->rows, row, next)
	{
		HASH_DELETE(hh, shape->rows, row);
		mem_free(row->domain);
		mem_free(row);
	}
}

/* --- the command ------------------------------------------------------------------------------ */

struct shape_answer {
	struct shape shape;
	struct cli *cli;
	bool is_bad;
};

static void
shape_take(void *ctx, struct slice line, bool is_final)
{
	struct shape_answer *answer = ctx;

	if (!is_final)
		answer->is_bad |= shape_add(&answer->shape, line) != ERR_OK;
	else if (line.len > 0 && line.ptr[0] != '{')
		(void)cli_complain(answer->cli, EX_OK, "%" SLICE_FMT, SLICE_ARG(line));
}

static bool
shape_number(const char *text, uint64_t max, uint64_t *ret_number)
{
	return num_parse_u64(slice_str(text), 1, max, ret_number) == ERR_OK;
}

static int
shape_options(struct cli *cli, int argc, char **argv, struct shape *shape, bool *ret_json)
{
	static const struct option options[] = { { "sender", no_argument, NULL, 's' },
		{ "json", no_argument, NULL, 'j' }, { NULL, 0, NULL, 0 } };
	uint64_t number;
	int option;

	optind = 0;
	while ((option = getopt_long(argc, argv, "slb:t:", options, NULL)) != -1) {
		if (option == 's')
			shape->by_sender = true;
		else if (option == 'l')
			shape->is_linear = true;
		else if (option == 'j')
			*ret_json = true;
		else if (option == 'b' && shape_number(optarg, SHAPE_BUCKETS_MAX, &number))
			shape->buckets = (unsigned)number;
		else if (option == 't' && shape_number(optarg, 1000000, &number))
			shape->first_s = number * 60;
		else if (option == 'b' || option == 't')
			return cli_complain(cli, EX_USAGE,
				"shape: -%c %s: a number from 1 to %d is wanted", option, optarg,
				option == 'b' ? SHAPE_BUCKETS_MAX : 1000000);
		else
			return EX_USAGE;
	}
	for (; optind < argc; optind++) {
		if (shape_queue_bit(argv[optind]) == 0)
			return cli_complain(cli, EX_USAGE,
				"shape: no queue \"%s\" (allowed: incoming, active, "
				"deferred, hold)",
				argv[optind]);
		shape->queues |= shape_queue_bit(argv[optind]);
	}
	if (shape->queues == 0)
		shape->queues = shape_queue_bit("incoming") | shape_queue_bit("active")
				| shape_queue_bit("deferred");
	return EX_OK;
}

int
shape_run(struct cli *cli, int argc, char **argv)
{
	struct shape_answer answer = { .cli = cli,
		.shape = { .now_s = clock_read_wall().us / US_PER_S, .first_s = 300,
			.buckets = 10 } };
	bool as_json = false;
	struct buf text;
	int exit_code = shape_options(cli, argc, argv, &answer.shape, &as_json);

	if (exit_code == EX_OK)
		exit_code = control_client_run(cli, "queue", NULL, 0, shape_take, &answer);
	if (exit_code == EX_OK && answer.is_bad)
		exit_code = cli_complain(
			cli, EX_PROTOCOL, "the queue manager's answer is not understood");
	if (exit_code == EX_OK) {
		buf_init(&text, 0);
		shape_format(&answer.shape, as_json, &text);
		(void)fwrite(text.ptr, 1, text.len, stdout);
		buf_done(&text);
	}
	shape_done(&answer.shape);
	return exit_code;
}
