/*
 * address.c - mail addresses in external and internal form (see address.h)
 *
 * Parsing works on a copy in `struct address_text` of at most ADDRESS_MAX bytes and appends to the
 * caller's buffer only what was found to be whole and right.
 */
#include "message/address.h"

#include "base/ascii.h"
#include "base/check.h"
#include "message/utf8.h"

#include <arpa/inet.h>

struct address_text {
	size_t len;
	uint8_t bytes[ADDRESS_MAX];
};

static enum err
address_put(struct address_text *text, uint8_t byte)
{
	if (text->len == ADDRESS_MAX)
		return ERR_LIMIT;
	text->bytes[text->len++] = byte;
	return ERR_OK;
}

/* A byte of an RFC 5322 atom. */
static bool
address_is_atom(uint8_t byte)
{
	static const char specials[] = "!#$%&'*+-/=?^_`{|}~";

	return ascii_is_alnum(byte) || byte > 127
		|| (byte != 0 && memchr(specials, byte, sizeof(specials) - 1) != NULL);
}

/* Whether bytes above 127 are there although they may not, or are no UTF-8; or controls are. */
static bool
address_has_bad_bytes(struct slice text, unsigned flags)
{
	bool high = false;

	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < 32 || text.ptr[i] == 127)
			return true;
		high = high || text.ptr[i] > 127;
	}
	return high && ((flags & ADDRESS_UTF8) == 0 || !utf8_valid(text));
}

/* --- domains ---------------------------------------------------------------------------------- */

bool
address_is_literal(struct slice domain)
{
	return domain.len > 2 && domain.ptr[0] == '[' && domain.ptr[domain.len - 1] == ']';
}

static enum err
address_check_literal(struct slice domain)
{
	const struct slice tag = SLICE_LIT("IPv6:");
	struct slice inside = slice_make(domain.ptr + 1, domain.len - 2);
	uint8_t network[sizeof(struct in6_addr)];
	char text[INET6_ADDRSTRLEN];
	int family = AF_INET;

	if (slice_starts_nocase(inside, tag)) {
		inside = slice_from(inside, tag.len);
		family = AF_INET6;
	}
	if (inside.len == 0 || inside.len >= sizeof(text)
	    || memchr(inside.ptr, 0, inside.len) != NULL)
		return ERR_SYNTAX;
	memcpy(text, inside.ptr, inside.len);
	text[inside.len] = '\0';
	return inet_pton(family, text, network) == 1 ? ERR_OK : ERR_SYNTAX;
}

static enum err
address_check_label(struct slice label)
{
	if (label.len == 0 || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
		return ERR_SYNTAX;
	if (label.len > ADDRESS_LABEL_MAX)
		return ERR_LIMIT;
	for (size_t i = 0; i < label.len; i++)
		if (!ascii_is_alnum(label.ptr[i]) && label.ptr[i] != '-' && label.ptr[i] != '_'
		    && label.ptr[i] < 128)
			return ERR_SYNTAX;
	return ERR_OK;
}

enum err
address_check_domain(struct slice domain, unsigned flags)
{
	enum err err = ERR_OK;

	if (domain.len > ADDRESS_DOMAIN_MAX)
		return ERR_LIMIT;
	if (domain.len == 0 || address_has_bad_bytes(domain, flags))
		return ERR_SYNTAX;
	if (domain.ptr[0] == '[')
		return address_is_literal(domain) ? address_check_literal(domain) : ERR_SYNTAX;
	for (struct slice rest = domain; err == ERR_OK;) {
		size_t dot = slice_find(rest, '.');

		err = address_check_label(slice_head(rest, dot));
		if (dot == rest.len)
			break;
		rest = slice_from(rest, dot + 1);
	}
	return err;
}

/* --- parsing ---------------------------------------------------------------------------------- */

/* Cuts a quoted string off *rest. Backslash takes the next byte as it is. */
static enum err
address_take_quoted(struct slice *rest, struct address_text *local)
{
	enum err err = ERR_OK;

	for (size_t i = 1; i < rest->len && err == ERR_OK; i++) {
		uint8_t byte = rest->ptr[i];

		if (byte == '"') {
			*rest = slice_from(*rest, i + 1);
			return ERR_OK;
		}
		if (byte == '\\') {
			if (++i == rest->len)
				return ERR_SYNTAX;
			byte = rest->ptr[i];
		}
		err = address_put(local, byte);
	}
	return err < 0 ? err : ERR_SYNTAX;
}

/* Cuts atoms and dots off *rest. Dots anywhere are taken: such mailboxes exist. */
static enum err
address_take_atoms(struct slice *rest, struct address_text *local)
{
	size_t i = 0;
	enum err err = ERR_OK;

	while (err == ERR_OK && i < rest->len
	       && (address_is_atom(rest->ptr[i]) || rest->ptr[i] == '.'
		       || (rest->ptr[i] == '\\' && i + 1 < rest->len))) {
		if (rest->ptr[i] == '\\')
			i++;
		err = address_put(local, rest->ptr[i++]);
	}
	*rest = slice_from(*rest, i);
	return err;
}

/* A local part: words of atoms, dots and quoted strings. */
static enum err
address_take_local(struct slice *rest, struct address_text *local)
{
	size_t before = rest->len;
	enum err err = ERR_OK;

	while (err == ERR_OK && rest->len > 0) {
		size_t left = rest->len;

		if (rest->ptr[0] == '"')
			err = address_take_quoted(rest, local);
		else
			err = address_take_atoms(rest, local);
		if (rest->len == left)
			break;
	}
	if (err == ERR_OK && (rest->len == before || local->len == 0))
		err = ERR_SYNTAX;
	return err;
}

/* Cuts a domain or a literal off *rest: up to a byte that cannot be in one. */
static struct slice
address_take_domain(struct slice *rest)
{
	struct slice domain;
	size_t end = 0;

	if (rest->len > 0 && rest->ptr[0] == '[')
		end = slice_find(*rest, ']') + 1;
	else
		while (end < rest->len
		       && (ascii_is_alnum(rest->ptr[end]) || rest->ptr[end] > 127
			       || memchr("-_.", rest->ptr[end], 3) != NULL))
			end++;
	domain = slice_head(*rest, end);
	*rest = slice_from(*rest, end);
	return domain;
}

/* Checks and drops "@one,@two:" (RFC 5321 appendix C). */
static enum err
address_drop_route(struct slice *rest, unsigned flags)
{
	while (rest->len > 0 && rest->ptr[0] == '@') {
		enum err err;

		*rest = slice_from(*rest, 1);
		err = address_check_domain(address_take_domain(rest), flags);
		if (err < 0)
			return err;
		if (rest->len == 0 || (rest->ptr[0] != ',' && rest->ptr[0] != ':'))
			return ERR_SYNTAX;
		if (rest->ptr[0] == ':') {
			*rest = slice_from(*rest, 1);
			return ERR_OK;
		}
		*rest = slice_from(*rest, 1);
		if (rest->len == 0 || rest->ptr[0] != '@')
			return ERR_SYNTAX;
	}
	return ERR_OK;
}

/* A mailbox at the front of *rest. */
static enum err
address_take_mailbox(struct slice *rest, unsigned flags, struct address_text *text)
{
	struct slice domain;
	enum err err = address_take_local(rest, text);

	if (err < 0)
		return err;
	if (rest->len > 0 && rest->ptr[0] == '@') {
		*rest = slice_from(*rest, 1);
		domain = address_take_domain(rest);
		/* One dot at the end makes a name absolute, and means the same name. */
		if (domain.len > 1 && domain.ptr[domain.len - 1] == '.')
			domain.len--;
		err = address_check_domain(domain, flags);
		if (err == ERR_OK)
			err = address_put(text, '@');
		for (size_t i = 0; i < domain.len && err == ERR_OK; i++)
			err = address_put(text, domain.ptr[i]);
		if (err < 0)
			return err;
	}
	return address_check(slice_make(text->bytes, text->len), flags);
}

/* Blanks in front of the parameters; anything else must not follow a path. */
static enum err
address_skip_to_parameters(struct slice *rest)
{
	size_t blanks = 0;

	while (blanks < rest->len && rest->ptr[blanks] == ' ')
		blanks++;
	if (rest->len > 0 && blanks == 0)
		return ERR_SYNTAX;
	*rest = slice_from(*rest, blanks);
	return ERR_OK;
}

/* What stands between the brackets, or without them. */
static enum err
address_take_path(struct slice *rest, unsigned flags, struct address_text *text)
{
	bool bracket = rest->len > 0 && rest->ptr[0] == '<';
	enum err err = ERR_OK;

	if (!bracket && (flags & ADDRESS_STRICT) != 0)
		return ERR_SYNTAX;
	if (bracket)
		*rest = slice_from(*rest, 1);
	if (bracket && (flags & ADDRESS_NULL) != 0 && rest->len > 0 && rest->ptr[0] == '>') {
		*rest = slice_from(*rest, 1);
		return ERR_OK;
	}
	if (bracket)
		err = address_drop_route(rest, flags);
	if (err == ERR_OK)
		err = address_take_mailbox(rest, flags, text);
	if (err < 0 || !bracket)
		return err;
	if (rest->len == 0 || rest->ptr[0] != '>')
		return ERR_SYNTAX;
	*rest = slice_from(*rest, 1);
	return ERR_OK;
}

enum err
address_parse_path(struct slice *rest, unsigned flags, struct buf *internal)
{
	struct address_text text = { .len = 0 };
	struct slice left = *rest;
	enum err err;

	while (left.len > 0 && left.ptr[0] == ' ')
		left = slice_from(left, 1);
	err = address_take_path(&left, flags, &text);
	if (err == ERR_OK)
		err = address_skip_to_parameters(&left);
	if (err == ERR_OK)
		err = buf_append(internal, slice_make(text.bytes, text.len));
	if (err == ERR_OK)
		*rest = left;
	return err;
}

enum err
address_parse(struct slice source, unsigned flags, struct buf *internal)
{
	struct address_text text = { .len = 0 };
	enum err err;

	if (source.len == 0)
		return (flags & ADDRESS_NULL) != 0 ? ERR_OK : ERR_SYNTAX;
	err = address_take_mailbox(&source, flags, &text);
	if (err == ERR_OK && source.len > 0)
		err = ERR_SYNTAX;
	if (err == ERR_OK)
		err = buf_append(internal, slice_make(text.bytes, text.len));
	return err;
}

/* --- internal form ---------------------------------------------------------------------------- */

enum err
address_check(struct slice internal, unsigned flags)
{
	struct slice local, domain;
	enum err err;

	if (internal.len == 0)
		return (flags & ADDRESS_NULL) != 0 ? ERR_OK : ERR_SYNTAX;
	if (internal.len > ADDRESS_MAX)
		return ERR_LIMIT;
	address_split(internal, &local, &domain);
	if (local.len == 0 || address_has_bad_bytes(local, flags))
		return ERR_SYNTAX;
	if (local.len == internal.len)
		return (flags & ADDRESS_BARE) != 0 ? ERR_OK : ERR_SYNTAX;
	err = address_check_domain(domain, flags);
	return err;
}

void
address_split(struct slice internal, struct slice *ret_local, struct slice *ret_domain)
{
	size_t at = slice_rfind(internal, '@');

	if (ret_local != NULL)
		*ret_local = slice_head(internal, at);
	if (ret_domain != NULL)
		*ret_domain = slice_from(internal, at + 1);
}

/* Whether a local part can stand without quotes: atoms with single dots between them. */
static bool
address_is_dot_string(struct slice local)
{
	bool after_dot = true;

	for (size_t i = 0; i < local.len; i++) {
		bool dot = local.ptr[i] == '.';

		if (dot ? after_dot : !address_is_atom(local.ptr[i]))
			return false;
		after_dot = dot;
	}
	return !after_dot;
}

enum err
address_format(struct slice internal, struct buf *external)
{
	struct slice local;
	size_t old_len = external->len;
	enum err err = address_check(internal, ADDRESS_NULL | ADDRESS_UTF8 | ADDRESS_BARE);

	if (err < 0)
		return err;
	address_split(internal, &local, NULL);
	if (local.len == 0 || address_is_dot_string(local))
		return buf_append(external, internal);
	err = buf_append_byte(external, '"');
	for (size_t i = 0; i < local.len && err == ERR_OK; i++) {
		if (local.ptr[i] == '"' || local.ptr[i] == '\\')
			err = buf_append_byte(external, '\\');
		if (err == ERR_OK)
			err = buf_append_byte(external, local.ptr[i]);
	}
	if (err == ERR_OK)
		err = buf_append_byte(external, '"');
	if (err == ERR_OK)
		err = buf_append(external, slice_from(internal, local.len));
	if (err < 0)
		external->len = old_len;
	return err;
}

enum address_trick
address_find_trick(struct slice internal)
{
	struct slice local;

	address_split(internal, &local, NULL);
	if (slice_find(local, '@') < local.len)
		return ADDRESS_TRICK_AT;
	if (slice_find(local, '!') < local.len)
		return ADDRESS_TRICK_BANG;
	if (slice_find(local, '%') < local.len)
		return ADDRESS_TRICK_PERCENT;
	return ADDRESS_TRICK_NONE;
}

bool
address_is_utf8(struct slice internal)
{
	for (size_t i = 0; i < internal.len; i++)
		if (internal.ptr[i] > 127)
			return true;
	return false;
}

struct slice
address_strip_extension(struct slice local, struct slice delimiters, struct slice *ret_extension)
{
	size_t at = local.len;

	if (ret_extension != NULL)
		*ret_extension = slice_make(NULL, 0);
	if (slice_starts_nocase(local, SLICE_LIT("owner-"))
	    || slice_ends_nocase(local, SLICE_LIT("-request")))
		delimiters = slice_make(NULL, 0);
	for (size_t i = 1; i < local.len && at == local.len; i++)
		if (slice_find(delimiters, local.ptr[i]) < delimiters.len)
			at = i;
	if (ret_extension != NULL)
		*ret_extension = slice_from(local, at + 1);
	return slice_head(local, at);
}
