/*
 * buf.h - bytes that we own, growing up to a limit
 *
 * A buffer never truncates: what does not fit is refused with ERR_LIMIT (the documented maximum) or
 * ERR_NOMEM and leaves the buffer as it was. A buffer with max = 0 may grow to BUF_MAX.
 *
 * Ownership: the struct is embedded by its owner; buf_done() frees. Slices of it are valid until
 *            the next call that may grow, consume or free it.
 * Threads:   none.
 */
#ifndef OSTLER_BASE_BUF_H
#define OSTLER_BASE_BUF_H

#include "base/err.h"
#include "base/slice.h"

#define BUF_MAX ((size_t)1 << 30)

struct buf {
	uint8_t *ptr;
	size_t len;
	size_t cap;
	size_t max; /* 0: BUF_MAX */
};

void buf_init(struct buf *buf, size_t max);
void buf_done(struct buf *buf);

/* Forgets the bytes, keeps the memory. */
void buf_clear(struct buf *buf);

/* Room for `more` bytes behind the end. */
MUST_USE enum err buf_reserve(struct buf *buf, size_t more);

/*
 * Room for `more` bytes behind the end, their bound proven, in memory that begins at a multiple of
 * `align`: for those who hand it to the disk itself. It stays so until something is added for which
 * there is no room. Starts from an empty buffer, or one that was made so.
 */
void buf_reserve_aligned(struct buf *buf, size_t more, size_t align);

MUST_USE enum err buf_append(struct buf *buf, struct slice bytes);
MUST_USE enum err buf_append_str(struct buf *buf, const char *text);
MUST_USE enum err buf_append_byte(struct buf *buf, uint8_t byte);
MUST_USE enum err buf_printf(struct buf *buf, const char *format, ...) FORMAT_PRINTF(2, 3);

/*
 * The same for buffers whose bound their owner has proven (a line of ours, a frame that was
 * measured before): a refusal is our bug and trips a CHECK.
 */
void buf_add(struct buf *buf, struct slice bytes);
void buf_add_str(struct buf *buf, const char *text);
void buf_addf(struct buf *buf, const char *format, ...) FORMAT_PRINTF(2, 3);

/* Drops `len` bytes (at most buf->len) from the front. */
void buf_consume(struct buf *buf, size_t len);

static inline struct slice
buf_slice(const struct buf *buf)
{
	return slice_make(buf->ptr, buf->len);
}

/* A NUL-terminated view, valid as a slice of the buffer; ERR_SYNTAX if it holds a NUL itself. */
MUST_USE enum err buf_cstr(struct buf *buf, const char **ret_text);

#endif
