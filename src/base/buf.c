/*
 * buf.c - owned, growing bytes (see buf.h)
 */
#include "base/buf.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

static size_t
buf_max(const struct buf *buf)
{
	return buf->max > 0 ? buf->max : BUF_MAX;
}

void
buf_init(struct buf *buf, size_t max)
{
	CHECK(max <= BUF_MAX);
	*buf = (struct buf){ .max = max };
}

void
buf_done(struct buf *buf)
{
	mem_free(buf->ptr);
	*buf = (struct buf){ .max = buf->max };
}

void
buf_clear(struct buf *buf)
{
	buf->len = 0;
}

enum err
buf_reserve(struct buf *buf, size_t more)
{
	size_t cap = buf->cap > 0 ? buf->cap : 64;
	uint8_t *ptr;

	CHECK(buf->len <= buf->cap);
	if (more > buf_max(buf) - buf->len)
		return ERR_LIMIT;
	if (more <= buf->cap - buf->len)
		return ERR_OK;
	while (cap - buf->len < more)
		cap *= 2;
	ptr = mem_try_resize(buf->ptr, cap);
	if (ptr == NULL)
		return ERR_NOMEM;
	buf->ptr = ptr;
	buf->cap = cap;
	return ERR_OK;
}

void
buf_reserve_aligned(struct buf *buf, size_t more, size_t align)
{
	size_t cap = buf->cap > 0 ? buf->cap : align;
	uint8_t *ptr;

	CHECK((uintptr_t)buf->ptr % align == 0 && cap % align == 0);
	CHECK(more <= buf_max(buf) - buf->len);
	if (more <= buf->cap - buf->len)
		return;
	while (cap - buf->len < more)
		cap *= 2;
	ptr = mem_aligned(align, cap);
	if (buf->len > 0)
		memcpy(ptr, buf->ptr, buf->len);
	mem_free(buf->ptr);
	buf->ptr = ptr;
	buf->cap = cap;
}

enum err
buf_append(struct buf *buf, struct slice bytes)
{
	enum err err = buf_reserve(buf, bytes.len);

	if (err < 0)
		return err;
	if (bytes.len > 0)
		memcpy(buf->ptr + buf->len, bytes.ptr, bytes.len);
	buf->len += bytes.len;
	return ERR_OK;
}

enum err
buf_append_str(struct buf *buf, const char *text)
{
	return buf_append(buf, slice_str(text));
}

enum err
buf_append_byte(struct buf *buf, uint8_t byte)
{
	return buf_append(buf, slice_make(&byte, 1));
}

FORMAT_PRINTF(2, 0)
static enum err
buf_vprintf(struct buf *buf, const char *format, va_list args)
{
	va_list again;
	int len;
	enum err err;

	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, args);
	CHECK(len >= 0);
	err = buf_reserve(buf, (size_t)len + 1);
	if (err == ERR_OK) {
		(void)vsnprintf((char *)buf->ptr + buf->len, (size_t)len + 1, format, again);
		buf->len += (size_t)len;
	}
	va_end(again);
	return err;
}

enum err
buf_printf(struct buf *buf, const char *format, ...)
{
	va_list args;
	enum err err;

	va_start(args, format);
	err = buf_vprintf(buf, format, args);
	va_end(args);
	return err;
}

void
buf_add(struct buf *buf, struct slice bytes)
{
	enum err err = buf_append(buf, bytes);

	CHECK(err == ERR_OK);
}

void
buf_add_str(struct buf *buf, const char *text)
{
	buf_add(buf, slice_str(text));
}

void
buf_addf(struct buf *buf, const char *format, ...)
{
	va_list args;
	enum err err;

	va_start(args, format);
	err = buf_vprintf(buf, format, args);
	va_end(args);
	CHECK(err == ERR_OK);
}

void
buf_consume(struct buf *buf, size_t len)
{
	CHECK(len <= buf->len);
	if (len == 0)
		return;
	memmove(buf->ptr, buf->ptr + len, buf->len - len);
	buf->len -= len;
}

enum err
buf_cstr(struct buf *buf, const char **ret_text)
{
	enum err err = buf_reserve(buf, 1);

	if (err < 0)
		return err;
	if (slice_find(buf_slice(buf), 0) != buf->len)
		return ERR_SYNTAX;
	buf->ptr[buf->len] = 0;
	*ret_text = (const char *)buf->ptr;
	return ERR_OK;
}
