/*
 * slice.h - bytes that somebody else owns
 *
 * A slice is borrowed: it is valid until the moment that the function which returned it
 * documents. It may hold any byte, NUL included. SLICE_FMT prints one with printf("%" SLICE_FMT,
 * SLICE_ARG(s)), up to its first NUL.
 */
#ifndef OSTLER_BASE_SLICE_H
#define OSTLER_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const uint8_t *ptr; /* may be NULL when len is 0 */
	size_t len;
};

#define SLICE_FMT ".*s"
#define SLICE_ARG(s) (int)(s).len, (const char *)((s).ptr != NULL ? (s).ptr : (const uint8_t *)"")

/* A slice of a string literal, usable in initialisers. */
#define SLICE_LIT(text) ((struct slice){ (const uint8_t *)("" text), sizeof(text) - 1 })

static inline struct slice
slice_make(const void *ptr, size_t len)
{
	return (struct slice){ ptr, len };
}

static inline struct slice
slice_str(const char *text)
{
	return (struct slice){ (const uint8_t *)text, strlen(text) };
}

/* The bytes from `from` on; beyond the end: empty. */
static inline struct slice
slice_from(struct slice s, size_t from)
{
	return from < s.len ? slice_make(s.ptr + from, s.len - from) : slice_make(NULL, 0);
}

/* The first `len` bytes, or all if there are fewer. */
static inline struct slice
slice_head(struct slice s, size_t len)
{
	return slice_make(s.ptr, len < s.len ? len : s.len);
}

bool slice_equal(struct slice a, struct slice b);
bool slice_equal_str(struct slice a, const char *text);

/* ASCII letters compare without case; other bytes must be equal. */
bool slice_equal_nocase(struct slice a, struct slice b);
bool slice_equal_nocase_str(struct slice a, const char *text);
bool slice_starts(struct slice s, struct slice prefix);
bool slice_starts_nocase(struct slice s, struct slice prefix);
bool slice_ends_nocase(struct slice s, struct slice suffix);

/* The total order of memcmp(), shorter first: <0, 0, >0. */
int slice_compare(struct slice a, struct slice b);

/* The place of a byte, first or last, or s.len if there is none. */
size_t slice_find(struct slice s, uint8_t byte);
size_t slice_rfind(struct slice s, uint8_t byte);

/* Without blanks and tabs (slice_trim) at both ends. */
struct slice slice_trim(struct slice s);

/* Cuts the next word off *rest: words are separated by any of `seps`; false: none left. */
bool slice_word(struct slice *rest, const char *seps, struct slice *ret_word);

#endif
