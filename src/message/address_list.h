/*
 * address_list.h - addresses out of a header field or an argument: RFC 5322 3.4, read leniently
 *
 * Display names, comments, groups and source routes are dropped; blanks around . and @ too.
 * Addresses may lack a domain. With each comes where it stands, so that it can be replaced.
 *
 * Ownership: an address is borrowed until the callback returns.
 * Errors:    ERR_SYNTAX, ERR_LIMIT; the callback's own error ends the reading.
 * Threads:   pure.
 */
#ifndef OSTLER_MESSAGE_ADDRESS_LIST_H
#define OSTLER_MESSAGE_ADDRESS_LIST_H

#include "base/buf.h"

/*
 * Gets an address in internal form, and the part of the text that it stands in: with quotes, and
 * comments within it, without angle brackets.
 */
typedef enum err address_list_fn(void *ctx, struct slice address, struct slice place);

MUST_USE enum err address_list_parse(struct slice text, address_list_fn *fn, void *ctx);

#endif
