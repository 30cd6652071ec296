/*
 * queue_id.c - the text of queue IDs (see queue_id.h; rule L7)
 */
#include "message/queue_id.h"

#include "base/check.h"
#include "base/clock.h"

enum { QUEUE_ID_BASE = 52, QUEUE_ID_BASE_SEQUENCE = 51, QUEUE_ID_SECONDS_MIN = 6,
	QUEUE_ID_MICROSECONDS = 4 };

/* Digits and consonants: no word can appear by accident. The last one is the separator. */
static const char queue_id_digits[] = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";
_Static_assert(sizeof(queue_id_digits) - 1 == QUEUE_ID_BASE, "one digit each");

uint64_t
queue_id_make(uint64_t time_us, unsigned sequence)
{
	CHECK(time_us <= QUEUE_ID_TIME_US_MAX);
	CHECK(sequence <= QUEUE_ID_SEQUENCE_MAX);
	return time_us << QUEUE_ID_SEQUENCE_BITS | sequence;
}

uint64_t
queue_id_time_us(uint64_t id)
{
	return id >> QUEUE_ID_SEQUENCE_BITS;
}

/* Appends a number with at least `min` digits; returns how many. */
static size_t
queue_id_put(char *to, uint64_t value, unsigned base, size_t min)
{
	char digits[16];
	size_t len = 0;

	do {
		digits[len++] = queue_id_digits[value % base];
		value /= base;
	} while (value > 0 || len < min);
	for (size_t i = 0; i < len; i++)
		to[i] = digits[len - 1 - i];
	return len;
}

struct slice
queue_id_format(uint64_t id, char ret_text[QUEUE_ID_TEXT_SIZE])
{
	uint64_t time_us = queue_id_time_us(id);
	size_t len =
		queue_id_put(ret_text, time_us / US_PER_S, QUEUE_ID_BASE, QUEUE_ID_SECONDS_MIN);

	len += queue_id_put(
		ret_text + len, time_us % US_PER_S, QUEUE_ID_BASE, QUEUE_ID_MICROSECONDS);
	ret_text[len++] = 'z';
	len += queue_id_put(ret_text + len, id & QUEUE_ID_SEQUENCE_MAX, QUEUE_ID_BASE_SEQUENCE, 1);
	CHECK(len <= QUEUE_ID_TEXT_MAX);
	ret_text[len] = '\0';
	return slice_make(ret_text, len);
}

static bool
queue_id_get(struct slice text, unsigned base, uint64_t max, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (size_t i = 0; i < text.len; i++) {
		const char *digit = text.ptr[i] != 0 ? strchr(queue_id_digits, text.ptr[i]) : NULL;

		if (digit == NULL || digit >= queue_id_digits + base)
			return false;
		value = value * base + (uint64_t)(digit - queue_id_digits);
		if (value > max)
			return false;
	}
	*ret_value = value;
	return text.len > 0;
}

enum err
queue_id_parse(struct slice text, uint64_t *ret_id)
{
	size_t separator = slice_rfind(text, 'z');
	uint64_t seconds, microseconds, sequence, id;
	char again[QUEUE_ID_TEXT_SIZE];

	if (text.len > QUEUE_ID_TEXT_MAX || separator == text.len
		|| separator < QUEUE_ID_SECONDS_MIN + QUEUE_ID_MICROSECONDS
		|| !queue_id_get(slice_head(text, separator - QUEUE_ID_MICROSECONDS), QUEUE_ID_BASE,
			QUEUE_ID_TIME_US_MAX / US_PER_S - 1, &seconds)
		|| !queue_id_get(slice_from(slice_head(text, separator),
					 separator - QUEUE_ID_MICROSECONDS),
			QUEUE_ID_BASE, US_PER_S - 1, &microseconds)
		|| !queue_id_get(slice_from(text, separator + 1), QUEUE_ID_BASE_SEQUENCE,
			QUEUE_ID_SEQUENCE_MAX, &sequence))
		return ERR_SYNTAX;
	id = queue_id_make(seconds * US_PER_S + microseconds, (unsigned)sequence);
	/* Each number has one text: leading zeroes beyond the fixed width are no second one. */
	if (!slice_equal(queue_id_format(id, again), text))
		return ERR_SYNTAX;
	*ret_id = id;
	return ERR_OK;
}
