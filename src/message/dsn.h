/*
 * dsn.h - delivery status: x.y.z codes (RFC 3463) and the DSN parameters of SMTP (RFC 3461)
 *
 * Ownership: results are slices of the input or appended to the caller's buffer.
 * Errors:    ERR_SYNTAX: not in the grammar. Threads: pure.
 */
#ifndef OSTLER_MESSAGE_DSN_H
#define OSTLER_MESSAGE_DSN_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* NOTIFY= of a recipient (rule N60): 0 means not given. NEVER stands alone. */
enum dsn_notify {
	DSN_NOTIFY_NEVER = 1,
	DSN_NOTIFY_SUCCESS = 2,
	DSN_NOTIFY_FAILURE = 4,
	DSN_NOTIFY_DELAY = 8,
	DSN_NOTIFY_ALL = 15,
	/* Ours: no address to deliver to, but one that was expanded to others; its sender wanted to
	 * be told of success (rule N64). */
	DSN_NOTIFY_EXPANDED = 16,
};

/* RET= of a message. */
enum dsn_ret { DSN_RET_NONE = 0, DSN_RET_FULL = 1, DSN_RET_HDRS = 2 };

enum { DSN_ENVID_MAX = 100, DSN_ORCPT_MAX = 500, DSN_STATUS_MAX = 11 };

/* The length of the x.y.z (x = 2, 4, 5; y, z up to three digits) at the front of text, or 0. */
size_t dsn_status_length(struct slice text);

/* Whether all of text is such a code. */
bool dsn_status_valid(struct slice text);

/* The values of the parameters; NOTIFY= is a list (SUCCESS,FAILURE,DELAY | NEVER). */
MUST_USE enum err dsn_parse_notify(struct slice value, uint8_t *ret_notify);
MUST_USE enum err dsn_parse_ret(struct slice value, uint8_t *ret_ret);

/* ENVID=: appends the decoded text, 1 to DSN_ENVID_MAX bytes of xtext; ERR_LIMIT: longer. */
MUST_USE enum err dsn_parse_envid(struct slice value, struct buf *envid);

/* ORCPT=type;xtext: appends `type;decoded`, at most DSN_ORCPT_MAX bytes; ERR_LIMIT: longer. */
MUST_USE enum err dsn_parse_orcpt(struct slice value, bool utf8, struct buf *orcpt);

/* Appends "SUCCESS,DELAY" and the like; nothing for 0. */
MUST_USE enum err dsn_format_notify(uint8_t notify, struct buf *text);

#endif
