/*
 * dsn.c - delivery status codes and the DSN parameters of SMTP (see dsn.h)
 */
#include "message/dsn.h"

#include "base/ascii.h"
#include "message/xtext.h"

static const struct {
	const char *name;
	uint8_t bit;
} dsn_notify_names[] = {
	{ "NEVER", DSN_NOTIFY_NEVER },
	{ "SUCCESS", DSN_NOTIFY_SUCCESS },
	{ "FAILURE", DSN_NOTIFY_FAILURE },
	{ "DELAY", DSN_NOTIFY_DELAY },
};
enum { DSN_NOTIFY_NAMES = sizeof(dsn_notify_names) / sizeof(dsn_notify_names[0]) };

/* One to three digits behind a dot at `at`; returns where they end, or 0. */
static size_t
dsn_status_part(struct slice text, size_t at)
{
	size_t from = at + 1;

	if (at >= text.len || text.ptr[at] != '.')
		return 0;
	for (at = from; at < text.len && at - from < 4 && ascii_is_digit(text.ptr[at]);)
		at++;
	return at == from || at - from > 3 ? 0 : at;
}

size_t
dsn_status_length(struct slice text)
{
	size_t at;

	if (text.len == 0 || (text.ptr[0] != '2' && text.ptr[0] != '4' && text.ptr[0] != '5'))
		return 0;
	at = dsn_status_part(text, 1);
	return at > 0 ? dsn_status_part(text, at) : 0;
}

bool
dsn_status_valid(struct slice text)
{
	return text.len > 0 && dsn_status_length(text) == text.len;
}

static uint8_t
dsn_notify_find(struct slice name)
{
	for (size_t i = 0; i < DSN_NOTIFY_NAMES; i++)
		if (slice_equal_nocase_str(name, dsn_notify_names[i].name))
			return dsn_notify_names[i].bit;
	return 0;
}

enum err
dsn_parse_notify(struct slice value, uint8_t *ret_notify)
{
	uint8_t notify = 0;

	for (;;) {
		size_t comma = slice_find(value, ',');
		uint8_t bit = dsn_notify_find(slice_head(value, comma));

		if (bit == 0)
			return ERR_SYNTAX;
		notify |= bit;
		if (comma == value.len)
			break;
		value = slice_from(value, comma + 1);
	}
	if ((notify & DSN_NOTIFY_NEVER) != 0 && notify != DSN_NOTIFY_NEVER)
		return ERR_SYNTAX;
	*ret_notify = notify;
	return ERR_OK;
}

enum err
dsn_parse_ret(struct slice value, uint8_t *ret_ret)
{
	if (slice_equal_nocase_str(value, "FULL"))
		*ret_ret = DSN_RET_FULL;
	else if (slice_equal_nocase_str(value, "HDRS"))
		*ret_ret = DSN_RET_HDRS;
	else
		return ERR_SYNTAX;
	return ERR_OK;
}

enum err
dsn_parse_envid(struct slice value, struct buf *envid)
{
	if (value.len == 0)
		return ERR_SYNTAX;
	if (value.len > DSN_ENVID_MAX)
		return ERR_LIMIT;
	return xtext_decode(value, false, envid);
}

/* An atom of RFC 822: no blanks, controls and specials. */
static bool
dsn_type_valid(struct slice type)
{
	for (size_t i = 0; i < type.len; i++)
		if (!ascii_is_alnum(type.ptr[i]) && type.ptr[i] != '-')
			return false;
	return type.len > 0;
}

enum err
dsn_parse_orcpt(struct slice value, bool utf8, struct buf *orcpt)
{
	size_t semicolon = slice_find(value, ';');
	struct slice type = slice_head(value, semicolon);
	size_t old_len = orcpt->len;
	enum err err;

	if (semicolon + 1 >= value.len || !dsn_type_valid(type))
		return ERR_SYNTAX;
	if (value.len > DSN_ORCPT_MAX)
		return ERR_LIMIT;
	err = buf_append(orcpt, slice_head(value, semicolon + 1));
	if (err == ERR_OK)
		err = xtext_decode(slice_from(value, semicolon + 1), utf8, orcpt);
	if (err < 0)
		orcpt->len = old_len;
	return err;
}

enum err
dsn_format_notify(uint8_t notify, struct buf *text)
{
	size_t old_len = text->len;
	enum err err = ERR_OK;

	for (size_t i = 0; i < DSN_NOTIFY_NAMES && err == ERR_OK; i++) {
		if ((notify & dsn_notify_names[i].bit) == 0)
			continue;
		err = buf_append_str(text, text->len > old_len ? "," : "");
		if (err == ERR_OK)
			err = buf_append_str(text, dsn_notify_names[i].name);
	}
	if (err < 0)
		text->len = old_len;
	return err;
}
