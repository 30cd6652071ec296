/*
 * downgrade.h - 8-bit content made 7-bit, for a next hop without 8BITMIME (RFC 6152 3, RFC 2045)
 *
 * Content is read twice, split anywhere. The survey finds the parts, and which of them have bytes
 * above 127; it says what stands in the way. Then the same bytes are converted: such a part becomes
 * quoted-printable, or base64 where that is shorter or it is no text, and its header says so. All
 * other parts stay byte for byte, but what was called 8bit is called 7bit. Text without any
 * MIME field gets Content-Type with charset=unknown-8bit (RFC 1428).
 *
 *   HEADER -> LEAF | AROUND (of a multipart: -> HEADER at a boundary) | HEADER (of a message)
 *
 * A reader decodes every part to the bytes it had. What stands around the parts of a multipart is
 * shown to nobody: bytes above 127 there become '?'. Bytes above 127 in a header, in a part that is
 * encoded already, or in one that may not be encoded cannot be converted; signatures over what is
 * converted do not survive, as with any relay that converts.
 *
 * Ownership: the object is the caller's. Output is appended to his buffer, at most some four times
 *            what was fed.
 * Limits:    DOWNGRADE_DEPTH_MAX levels, DOWNGRADE_PARTS_MAX parts, DOWNGRADE_FIELD_MAX bytes of a
 *            MIME field; what is beyond is not looked into, and must be 7-bit.
 * Errors:    a reason why not, as text. Threads: pure.
 */
#ifndef OSTLER_MESSAGE_DOWNGRADE_H
#define OSTLER_MESSAGE_DOWNGRADE_H

#include "base/buf.h"

enum {
	DOWNGRADE_DEPTH_MAX = 100,
	DOWNGRADE_PARTS_MAX = 10000,
	DOWNGRADE_FIELD_MAX = 16 * 1024,
	DOWNGRADE_LINE_MAX = 998, /* a part with a longer line is converted, too */
};

struct downgrade;

struct downgrade *downgrade_new(void);
void downgrade_free(struct downgrade *downgrade);

/* The survey: all of the content, in order. */
void downgrade_survey(struct downgrade *downgrade, struct slice bytes);

/*
 * Ends the survey; conversion may begin. NULL, or why the content cannot be converted (a constant);
 * *ret_needed: false: it is 7-bit as it is.
 */
const char *downgrade_settle(struct downgrade *downgrade, bool *ret_needed);

/* About how many bytes the conversion adds. */
uint64_t downgrade_growth(const struct downgrade *downgrade);

/* The conversion: the same content once more. Lines come out with CRLF. */
void downgrade_convert(struct downgrade *downgrade, struct slice bytes, struct buf *out);
void downgrade_convert_end(struct downgrade *downgrade, struct buf *out);

#endif
