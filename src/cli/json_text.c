/*
 * json_text.c - answers in JSON as people read them (see json_text.h)
 */
#include "cli/json_text.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { JSON_TEXT_DEPTH_MAX = 8 };

struct json_text
json_text_clean(const char *string)
{
	struct json_text ret;
	size_t len = strlen(string);
	bool is_long = len >= sizeof(ret.text);

	(void)snprintf(ret.text, sizeof(ret.text), "%s", string);
	for (char *at = ret.text; *at != '\0'; at++)
		if ((unsigned char)*at < ' ' || *at == 127)
			*at = '?';
	if (is_long)
		memcpy(ret.text + sizeof(ret.text) - 4, "...", 4);
	return ret;
}

/* --- numbers, by what their names say they are ------------------------------------------------ */

static enum err
json_text_size(uint64_t bytes, struct buf *text)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
	double size = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024)
		return buf_printf(text, " %" PRIu64 " B\n", bytes);
	for (; size >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
		size /= 1024;
	return buf_printf(text, " %.4g %s\n", size, units[unit]);
}

enum err
json_text_duration(uint64_t us, struct buf *text)
{
	static const struct {
		uint64_t seconds;
		const char *name;
	} units[] = { { 86400, "d" }, { 3600, "h" }, { 60, "min" } };
	uint64_t seconds = us / 1000000;

	if (us < 1000)
		return buf_printf(text, "%" PRIu64 " us", us);
	if (us < 1000000)
		return buf_printf(text, "%.3g ms", (double)us / 1000);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (seconds >= 2 * units[i].seconds)
			return buf_printf(text, "%.3g %s",
				(double)seconds / (double)units[i].seconds, units[i].name);
	}
	return buf_printf(text, "%.3g s", (double)us / 1000000);
}

static enum err
json_text_duration_line(uint64_t us, struct buf *text)
{
	enum err err = buf_append_str(text, " ");

	if (err == ERR_OK)
		err = json_text_duration(us, text);
	return err < 0 ? err : buf_append_str(text, "\n");
}

static enum err
json_text_time(int64_t seconds, struct buf *text)
{
	char date[64];
	time_t time = seconds;
	struct tm local;

	if (seconds <= 0 || localtime_r(&time, &local) == NULL)
		return buf_append_str(text, " -\n");
	(void)strftime(date, sizeof(date), " %a %b %e %T %Y\n", &local);
	return buf_append_str(text, date);
}

static bool
ends_in(const char *name, const char *end)
{
	size_t length = strlen(name), end_length = strlen(end);

	return length >= end_length && strcmp(name + length - end_length, end) == 0;
}

static enum err
json_text_number(const char *name, int64_t number, struct buf *text)
{
	uint64_t amount = number < 0 ? 0 : (uint64_t)number;

	if (ends_in(name, "_time_us"))
		return json_text_time(number / 1000000, text);
	if (ends_in(name, "_time") || ends_in(name, "_at") || ends_in(name, "_last"))
		return json_text_time(number, text);
	if (ends_in(name, "_bytes") || strncmp(name, "written_", 8) == 0)
		return json_text_size(amount, text);
	if (ends_in(name, "_us"))
		return json_text_duration_line(amount, text);
	if (ends_in(name, "_s") && amount < UINT64_MAX / 1000000)
		return json_text_duration_line(amount * 1000000, text);
	return buf_printf(text, " %" PRId64 "\n", number);
}

/* --- values ----------------------------------------------------------------------------------- */

static enum err json_text_value(
	const char *name, const json_t *value, unsigned depth, struct buf *text);

static enum err
json_text_members(const json_t *object, const char *skipped, unsigned depth, struct buf *text)
{
	const char *name;
	json_t *value;
	enum err err = ERR_OK;

	json_object_foreach((json_t *)object, name, value)
	{
		if (skipped != NULL &&
			(strcmp(name, skipped) == 0 || strcmp(name, "content_head") == 0))
			continue;
		err = buf_printf(text, "%*s%s:", (int)(2 * depth), "", json_text_clean(name).text);
		if (err == ERR_OK)
			err = json_text_value(name, value, depth, text);
		if (err < 0)
			break;
	}
	return err;
}

static enum err
json_text_items(const json_t *array, unsigned depth, struct buf *text)
{
	size_t i;
	json_t *value;
	enum err err = buf_append_str(text, "\n");

	json_array_foreach(array, i, value)
	{
		if (err == ERR_OK)
			err = buf_printf(text, "%*s-", (int)(2 * depth + 2), "");
		if (err == ERR_OK)
			err = json_text_value("", value, depth + 1, text);
	}
	return err;
}

/* What stands behind "name:" or "-" (then name is ""), with its line end. */
static enum err
json_text_value(const char *name, const json_t *value, unsigned depth, struct buf *text)
{
	enum err err;

	if (depth >= JSON_TEXT_DEPTH_MAX)
		return buf_append_str(text, " ...\n");
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		err = buf_append_str(text, "\n");
		return err < 0 ? err : json_text_members(value, NULL, depth + 1, text);
	case JSON_ARRAY:
		return json_text_items(value, depth, text);
	case JSON_STRING:
		return buf_printf(text, " %s\n", json_text_clean(json_string_value(value)).text);
	case JSON_INTEGER:
		return json_text_number(name, json_integer_value(value), text);
	case JSON_REAL:
		return buf_printf(text, " %.6g\n", json_real_value(value));
	case JSON_TRUE:
		return buf_append_str(text, " yes\n");
	case JSON_FALSE:
		return buf_append_str(text, " no\n");
	case JSON_NULL:
		break;
	}
	return buf_append_str(text, " -\n");
}

enum err
json_text_format(struct slice json, const char *verbatim, struct buf *text)
{
	json_t *object = json_loadb((const char *)json.ptr, json.len, 0, NULL);
	const char *last;
	enum err err;

	if (!json_is_object(object)) {
		json_decref(object);
		return ERR_SYNTAX;
	}
	err = json_text_members(object, verbatim, 0, text);
	last = verbatim != NULL ? json_string_value(json_object_get(object, verbatim)) : NULL;
	if (err == ERR_OK && last != NULL)
		err = buf_printf(text, "\n%s", last);
	/* Large content is a file of its own; these fields stand in front of it. */
	last = verbatim != NULL ? json_string_value(json_object_get(object, "content_head")) : NULL;
	if (err == ERR_OK && last != NULL)
		err = buf_printf(text, "\n%s", last);
	json_decref(object);
	return err;
}
