/*
 * origin.c - where a piece of configuration was written (see origin.h)
 */
#include "config/origin.h"

#include <stdio.h>

enum { ORIGIN_FILE_SHOWN = 100, ORIGIN_VALUE_SHOWN = 80 };

struct origin_text
origin_text(struct origin origin)
{
	struct origin_text ret;
	size_t len = strlen(origin.file);
	const char *cut = len > ORIGIN_FILE_SHOWN ? "..." : "";
	const char *file =
		len > ORIGIN_FILE_SHOWN ? origin.file + len - ORIGIN_FILE_SHOWN : origin.file;

	if (origin.line == 0)
		(void)snprintf(ret.text, sizeof(ret.text), "%s%s", cut, file);
	else
		(void)snprintf(ret.text, sizeof(ret.text), "%s%s, line %u", cut, file, origin.line);
	return ret;
}

struct origin_value
origin_value(struct slice value)
{
	struct origin_value ret;
	bool is_long = value.len > ORIGIN_VALUE_SHOWN;
	size_t len = is_long ? ORIGIN_VALUE_SHOWN - 3 : value.len;

	for (size_t i = 0; i < len; i++) {
		uint8_t byte = value.ptr[i];

		ret.text[i] = byte < ' ' || byte == 127 ? '?' : (char)byte;
	}
	(void)snprintf(ret.text + len, sizeof(ret.text) - len, "%s", is_long ? "..." : "");
	return ret;
}
