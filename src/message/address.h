/*
 * address.h - mail addresses: how they come over the wire, how we keep them, how we send them
 *
 * External form: as in RFC 5321 4.1.2, local part quoted where it must be. Internal form: without
 * quotes and backslashes, `local@domain` split at its last '@'; a domain never holds an '@', and a
 * local part without a domain never does, so the split is always right. The null sender is empty.
 * An address never holds control bytes (NUL, CR, LF, DEL ...), whatever quoting was tried. Bytes
 * above 127 must be UTF-8 and are taken only with ADDRESS_UTF8 (RFC 6531).
 *
 * Ownership: results are appended to a buffer of the caller, or are slices of the input.
 * Limits:    ADDRESS_MAX bytes in either form. A local part may exceed RFC 5321's 64 bytes as
 *            long as the whole fits: real senders do that (VERP, SRS).
 * Errors:    ERR_SYNTAX, ERR_LIMIT; on failure outputs are as they were.
 * Threads:   pure.
 */
#ifndef OSTLER_MESSAGE_ADDRESS_H
#define OSTLER_MESSAGE_ADDRESS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum { ADDRESS_MAX = 998, ADDRESS_LABEL_MAX = 63, ADDRESS_DOMAIN_MAX = 255 };

enum address_flags {
	ADDRESS_NULL = 1,   /* <> is allowed (MAIL FROM) */
	ADDRESS_UTF8 = 2,   /* SMTPUTF8 was given */
	ADDRESS_BARE = 4,   /* without a domain is allowed */
	ADDRESS_STRICT = 8, /* the angle brackets must be there */
};

/*
 * Cuts a path off *rest (what stands behind "FROM:" or "TO:", blanks before it are skipped) and
 * appends its internal form to `internal`. A source route (@a,@b:) is checked and dropped. *rest
 * is then the parameters, without blanks before them.
 */
MUST_USE enum err address_parse_path(struct slice *rest, unsigned flags, struct buf *internal);

/* One address without angle brackets, the whole of `text`; appends its internal form. */
MUST_USE enum err address_parse(struct slice text, unsigned flags, struct buf *internal);

/*
 * Appends the external form, without angle brackets. ERR_SYNTAX: `internal` is not an internal
 * form.
 */
MUST_USE enum err address_format(struct slice internal, struct buf *external);

/* ERR_OK if this is an internal form: for addresses out of tables, frames and records. */
MUST_USE enum err address_check(struct slice internal, unsigned flags);

/* Cuts an internal form at its last '@'; without one the domain is empty. Either may be NULL. */
void address_split(struct slice internal, struct slice *ret_local, struct slice *ret_domain);

/* A host name (letters, digits, '-', '_', dots; UTF-8 labels with ADDRESS_UTF8), or [literal]. */
MUST_USE enum err address_check_domain(struct slice domain, unsigned flags);

/* Whether a domain is a literal: [192.0.2.1], [IPv6:2001:db8::1]. */
bool address_is_literal(struct slice domain);

/* How a local part may ask somebody else to relay on. */
enum address_trick {
	ADDRESS_TRICK_NONE,
	ADDRESS_TRICK_PERCENT, /* user%other@here */
	ADDRESS_TRICK_BANG,    /* other!user@here */
	ADDRESS_TRICK_AT,      /* "user@other"@here */
};
enum address_trick address_find_trick(struct slice internal);

/* Whether any byte is above 127. */
bool address_is_utf8(struct slice internal);

/*
 * The local part without its extension (user of user+x), cut at the first of `delimiters`; a
 * delimiter at the very front does not count, owner-x and x-request keep theirs. *ret_extension
 * (may be NULL) is what stands behind it; no extension: empty.
 */
struct slice address_strip_extension(
	struct slice local, struct slice delimiters, struct slice *ret_extension);

#endif
