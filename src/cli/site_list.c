/*
 * site_list.c - sites as people read them (see site_list.h)
 */
#include "cli/site_list.h"

#include "cli/json_text.h"

#include <jansson.h>

static json_int_t
site_list_number(const json_t *site, const char *name)
{
	return json_integer_value(json_object_get(site, name));
}

static const char *
site_list_string(const json_t *site, const char *name)
{
	const char *string = json_string_value(json_object_get(site, name));

	return string != NULL ? string : "";
}

/* "          (suspended for 5 min)": one of what is the matter. */
static enum err
site_list_until(const json_t *site, const char *member, const char *what, struct buf *text)
{
	json_int_t seconds = site_list_number(site, member);
	enum err err;

	if (seconds <= 0)
		return ERR_OK;
	err = buf_printf(text, "           (%s ", what);
	if (err == ERR_OK)
		err = json_text_duration((uint64_t)seconds * 1000000, text);
	return err < 0 ? err : buf_append_str(text, ")\n");
}

static enum err
site_list_slowed(const json_t *site, struct buf *text)
{
	json_int_t rate = site_list_number(site, "slowed_to_per_hour");

	return rate <= 0 ? ERR_OK
			 : buf_printf(text, "           (slowed to %" JSON_INTEGER_FORMAT "/h)\n",
				   rate);
}

static enum err
site_list_text(const json_t *site, const char *member, struct buf *text)
{
	const char *string = site_list_string(site, member);

	return string[0] == '\0'
		       ? ERR_OK
		       : buf_printf(text, "           (%s)\n", json_text_clean(string).text);
}

static enum err
site_list_trouble(const json_t *site, struct buf *text)
{
	enum err err = site_list_text(site, "reason", text);

	if (err == ERR_OK)
		err = site_list_text(site, "because", text);
	if (err == ERR_OK)
		err = site_list_until(site, "next_probe_s", "next probe in", text);
	if (err == ERR_OK)
		err = site_list_until(site, "suspended_s", "suspended for", text);
	if (err == ERR_OK)
		err = site_list_slowed(site, text);
	return err < 0 ? err : site_list_until(site, "slowed_s", "slowed for", text);
}

static enum err
site_list_line(const json_t *site, struct buf *text)
{
	struct json_text state = json_text_clean(site_list_string(site, "state"));
	struct json_text transport = json_text_clean(site_list_string(site, "transport"));

	return buf_printf(text,
		"%-9.9s %8" JSON_INTEGER_FORMAT " %8" JSON_INTEGER_FORMAT
		" %5" JSON_INTEGER_FORMAT "/%-5" JSON_INTEGER_FORMAT " %8" JSON_INTEGER_FORMAT
		" %s (%s)\n",
		state.text, site_list_number(site, "waiting"), site_list_number(site, "parked"),
		site_list_number(site, "busy"), site_list_number(site, "limit"),
		site_list_number(site, "sessions"),
		json_text_clean(site_list_string(site, "name")).text, transport.text);
}

enum err
site_list_add(uint64_t *count, struct slice line, struct buf *text)
{
	json_t *site = json_loadb((const char *)line.ptr, line.len, 0, NULL);
	enum err err = ERR_OK;

	if (!json_is_object(site)) {
		json_decref(site);
		return ERR_SYNTAX;
	}
	if ((*count)++ == 0)
		err = buf_printf(text, "%-9s %8s %8s %11s %8s %s\n", "--State--", "-Waiting",
			"-Parked-", "-Busy/Limit", "Sessions", "--Site (Transport)------");
	if (err == ERR_OK)
		err = site_list_line(site, text);
	if (err == ERR_OK)
		err = site_list_trouble(site, text);
	json_decref(site);
	return err;
}

enum err
site_list_end(uint64_t count, struct buf *text)
{
	return count > 0 ? ERR_OK : buf_append_str(text, "No site has mail or is in trouble\n");
}
