/*
 * slice.c - comparing and cutting borrowed bytes (see slice.h)
 */
#include "base/slice.h"

#include "base/ascii.h"

bool
slice_equal(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool
slice_equal_str(struct slice a, const char *text)
{
	return slice_equal(a, slice_str(text));
}

bool
slice_equal_nocase(struct slice a, struct slice b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i]))
			return false;
	return true;
}

bool
slice_equal_nocase_str(struct slice a, const char *text)
{
	return slice_equal_nocase(a, slice_str(text));
}

bool
slice_starts(struct slice s, struct slice prefix)
{
	return s.len >= prefix.len && slice_equal(slice_head(s, prefix.len), prefix);
}

bool
slice_starts_nocase(struct slice s, struct slice prefix)
{
	return s.len >= prefix.len && slice_equal_nocase(slice_head(s, prefix.len), prefix);
}

bool
slice_ends_nocase(struct slice s, struct slice suffix)
{
	return s.len >= suffix.len
		&& slice_equal_nocase(slice_from(s, s.len - suffix.len), suffix);
}

int
slice_compare(struct slice a, struct slice b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len > 0 ? memcmp(a.ptr, b.ptr, len) : 0;

	if (order != 0)
		return order;
	return (a.len > b.len) - (a.len < b.len);
}

size_t
slice_find(struct slice s, uint8_t byte)
{
	const uint8_t *at = s.len > 0 ? memchr(s.ptr, byte, s.len) : NULL;

	return at != NULL ? (size_t)(at - s.ptr) : s.len;
}

size_t
slice_rfind(struct slice s, uint8_t byte)
{
	const uint8_t *at = s.len > 0 ? memrchr(s.ptr, byte, s.len) : NULL;

	return at != NULL ? (size_t)(at - s.ptr) : s.len;
}

struct slice
slice_trim(struct slice s)
{
	while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
		s = slice_from(s, 1);
	while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

static bool
slice_is_sep(uint8_t byte, const char *seps)
{
	return byte != 0 && strchr(seps, byte) != NULL;
}

bool
slice_word(struct slice *rest, const char *seps, struct slice *ret_word)
{
	struct slice s = *rest;
	size_t end = 0;

	while (s.len > 0 && slice_is_sep(s.ptr[0], seps))
		s = slice_from(s, 1);
	while (end < s.len && !slice_is_sep(s.ptr[end], seps))
		end++;
	*rest = slice_from(s, end);
	if (end == 0)
		return false;
	*ret_word = slice_head(s, end);
	return true;
}
