/*
 * why.c - answers to `why` as people read them (see why.h)
 */
#include "cli/why.h"

#include "base/clock.h"
#include "cli/control_client.h"
#include "cli/json_text.h"
#include "message/queue_id.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

struct why {
	struct cli *cli;
	bool as_json;
	bool has_failed; /* the queue manager refused: its words were said */
	uint64_t now_s;
	uint64_t found;
};

/* "3d 4h", "2h 13m", "12m", "40s". */
static void
why_duration(uint64_t seconds, char text[32])
{
	if (seconds >= 86400)
		(void)snprintf(text, 32, "%" PRIu64 "d %" PRIu64 "h", seconds / 86400,
			seconds % 86400 / 3600);
	else if (seconds >= 3600)
		(void)snprintf(text, 32, "%" PRIu64 "h %" PRIu64 "m", seconds / 3600,
			seconds % 3600 / 60);
	else if (seconds >= 60)
		(void)snprintf(text, 32, "%" PRIu64 "m", seconds / 60);
	else
		(void)snprintf(text, 32, "%" PRIu64 "s", seconds);
}

static struct json_text
why_text(const json_t *object, const char *name)
{
	const char *string = json_string_value(json_object_get(object, name));

	return json_text_clean(string != NULL ? string : "");
}

static uint64_t
why_number(const json_t *object, const char *name)
{
	json_int_t number = json_integer_value(json_object_get(object, name));

	return number > 0 ? (uint64_t)number : 0;
}

static uint64_t
why_since(const struct why *why, uint64_t time_s)
{
	return why->now_s > time_s ? why->now_s - time_s : 0;
}

static void
why_print_pace(const json_t *object)
{
	char duration[32];

	if (json_object_get(object, "limit") == NULL)
		return;
	(void)printf("    %" PRIu64 " waiting, %" PRIu64 " under way of %" PRIu64
		     " allowed, %" PRIu64 " sessions, %.1f a minute\n",
		why_number(object, "waiting"), why_number(object, "busy"),
		why_number(object, "limit"), why_number(object, "sessions"),
		json_number_value(json_object_get(object, "per_minute")));
	if (json_object_get(object, "estimate_s") != NULL) {
		why_duration(why_number(object, "estimate_s"), duration);
		(void)printf("    at this pace through in at most %s\n", duration);
	}
}

static void
why_print_part(const struct why *why, const json_t *part)
{
	uint64_t recipients = why_number(part, "recipients");
	uint64_t last = why_number(part, "last_time"), next = why_number(part, "next_attempt_time");
	char duration[32];

	(void)printf("  to %s%s by %s:%s\n    %s\n", why_text(part, "recipient").text,
		recipients > 1 ? " and others" : "", why_text(part, "transport").text,
		why_text(part, "site").text, why_text(part, "why").text);
	if (last > 0) {
		why_duration(why_since(why, last), duration);
		(void)printf("    last answer %s ago%s%s: %s\n", duration,
			json_object_get(part, "last_host") != NULL ? " from " : "",
			why_text(part, "last_host").text,
			json_object_get(part, "last_reply") != NULL
				? why_text(part, "last_reply").text
				: why_text(part, "last_reason").text);
	}
	if (next > 0) {
		why_duration(next > why->now_s ? next - why->now_s : 0, duration);
		(void)printf("    next attempt in %s\n", duration);
	}
	why_print_pace(part);
}

static void
why_print_message(struct why *why, const json_t *object)
{
	char duration[32];
	size_t i;
	json_t *part;

	why_duration(why_since(why, why_number(object, "arrival_time")), duration);
	(void)printf("%s: %s, from <%s>, for %s\n", why_text(object, "queue_id").text,
		why_text(object, "queue_name").text, why_text(object, "sender").text, duration);
	json_array_foreach(json_object_get(object, "waits"), i, part)
	{
		why_print_part(why, part);
	}
	if (why_number(object, "reports_owed") > 0)
		(void)printf("  %" PRIu64 " failed, to be reported to the sender\n",
			why_number(object, "reports_owed"));
	if (why_number(object, "other_recipients") > 0)
		(void)printf("  and %" PRIu64 " recipients elsewhere\n",
			why_number(object, "other_recipients"));
}

static void
why_print_end(const json_t *object)
{
	if (json_is_false(json_object_get(object, "complete")))
		(void)printf("(%" PRIu64 " of %" PRIu64 " messages were looked at; --full: all)\n",
			why_number(object, "looked_at"), why_number(object, "messages"));
}

static void
why_print_found(const struct why *why, const json_t *object)
{
	uint64_t next = why_number(object, "next_attempt_time");
	char age[32], wait[32];

	if (json_object_get(object, "oldest_arrival_time") == NULL)
		return;
	why_duration(why_since(why, why_number(object, "oldest_arrival_time")), age);
	why_duration(next > why->now_s ? next - why->now_s : 0, wait);
	(void)printf("%" PRIu64 " message%s for it, %" PRIu64 " on hold, the oldest for %s%s%s\n",
		why_number(object, "done"), why_number(object, "done") == 1 ? "" : "s",
		why_number(object, "held"), age,
		next > 0 ? ", the next is tried in " : "", next > 0 ? wait : "");
}

static void
why_print(struct why *why, const json_t *object, bool is_final)
{
	if (json_object_get(object, "queue_id") != NULL) {
		why->found++;
		why_print_message(why, object);
	} else if (json_object_get(object, "cause") != NULL) {
		why->found++;
		(void)printf("%s:%s\n    %s\n", why_text(object, "transport").text,
			why_text(object, "site").text, why_text(object, "why").text);
		why_print_pace(object);
	} else if (is_final) {
		why->found += why_number(object, "done");
		why_print_found(why, object);
		why_print_end(object);
	}
}

static void
why_line(void *ctx, struct slice line, bool is_final)
{
	struct why *why = ctx;
	json_t *object = json_loadb((const char *)line.ptr, line.len, 0, NULL);

	if (!json_is_object(object)) {
		(void)cli_complain(why->cli, EX_OK, "why: %" SLICE_FMT, SLICE_ARG(line));
		why->has_failed = true;
	} else if (why->as_json) {
		(void)printf("%" SLICE_FMT "\n", SLICE_ARG(line));
		why->found += why_number(object, "done");
	} else {
		why_print(why, object, is_final);
	}
	json_decref(object);
}

int
why_run(struct cli *cli, int argc, char **argv)
{
	struct why why = { .cli = cli, .now_s = clock_read_wall().us / US_PER_S };
	const char *subject = NULL, *words[3];
	bool is_full = false;
	size_t count = 0;
	uint64_t id;
	int exit_code;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			why.as_json = true;
		else if (strcmp(argv[i], "--full") == 0)
			is_full = true;
		else if (subject != NULL || argv[i][0] == '-' || argv[i][0] == '\0')
			return cli_complain(cli, EX_USAGE, "why: unexpected argument: %s", argv[i]);
		else
			subject = argv[i];
	}
	if (subject == NULL)
		return cli_complain(cli, EX_USAGE,
			"why: a queue ID, an address, a domain or a site is wanted");
	if (queue_id_parse(slice_str(subject), &id) != ERR_OK)
		words[count++] = strchr(subject, '@') != NULL ? "recipient" : "site";
	words[count++] = subject;
	if (is_full)
		words[count++] = "full";
	exit_code = control_client_run(cli, "why", words, count, why_line, &why);
	if (exit_code == EX_OK && why.found == 0)
		exit_code = cli_complain(cli, EX_NOINPUT, "%s: nothing waits for it", subject);
	return exit_code;
}
