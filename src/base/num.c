/*
 * num.c - parsing of numbers, checked arithmetic (see num.h)
 */
#include "base/num.h"

#include "base/ascii.h"

enum err
num_parse_u64(struct slice text, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (text.len == 0)
		return ERR_SYNTAX;
	for (size_t i = 0; i < text.len; i++)
		if (!ascii_is_digit(text.ptr[i]))
			return ERR_SYNTAX;
	for (size_t i = 0; i < text.len; i++) {
		if (__builtin_mul_overflow(value, 10u, &value)
			|| __builtin_add_overflow(value, (uint64_t)(text.ptr[i] - '0'), &value))
			return ERR_RANGE;
	}
	if (value < min || value > max)
		return ERR_RANGE;
	*ret_value = value;
	return ERR_OK;
}

enum err
num_parse_rate(struct slice text, uint64_t *ret_ns)
{
	static const struct {
		const char *name;
		uint64_t seconds;
	} units[] = { { "s", 1 }, { "sec", 1 }, { "second", 1 }, { "m", 60 }, { "min", 60 },
		{ "minute", 60 }, { "h", 3600 }, { "hour", 3600 }, { "d", 86400 },
		{ "day", 86400 } };
	size_t slash = slice_find(text, '/');
	struct slice unit = slice_trim(slice_from(text, slash + 1));
	uint64_t count;
	enum err err = num_parse_u64(slice_trim(slice_head(text, slash)), 1, 1000000, &count);

	if (err != ERR_OK)
		return err;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (slice_equal_nocase_str(unit, units[i].name)) {
			*ret_ns = units[i].seconds * 1000000000 / count;
			return ERR_OK;
		}
	return ERR_SYNTAX;
}

enum err
size_add(size_t a, size_t b, size_t *ret_sum)
{
	size_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return ERR_LIMIT;
	*ret_sum = sum;
	return ERR_OK;
}

enum err
size_mul(size_t a, size_t b, size_t *ret_product)
{
	size_t product;

	if (__builtin_mul_overflow(a, b, &product))
		return ERR_LIMIT;
	*ret_product = product;
	return ERR_OK;
}
