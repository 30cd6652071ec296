/*
 * json_text.c - answers in JSON as people read them (see json_text.h)
 */
#include "cli/json_text.h"

#include <jansson.h>
#include <stdio.h>

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

static enum err json_text_value(const json_t *value, unsigned depth, struct buf *text);

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
			err = json_text_value(value, depth, text);
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
			err = json_text_value(value, depth + 1, text);
	}
	return err;
}

/* What stands behind "name:" or "-", with its line end. */
static enum err
json_text_value(const json_t *value, unsigned depth, struct buf *text)
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
		return buf_printf(text, " %" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
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
