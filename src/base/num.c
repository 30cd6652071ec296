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
