/*
 * value.c - the text of a parameter turned into its number (see value.h)
 */
#include "config/value.h"

#include "base/ascii.h"
#include "base/check.h"
#include "base/num.h"
#include "config/reaction_text.h"
#include "config/word.h"

#include <inttypes.h>

static enum err
value_parse_bool(const struct value_source *source, struct slice text, uint64_t *ret_number,
	struct fault *reterr_fault)
{
	if (slice_equal_nocase_str(text, "yes"))
		*ret_number = 1;
	else if (slice_equal_nocase_str(text, "no"))
		*ret_number = 0;
	else
		return fault_set(reterr_fault, ERR_CONFIG,
			"%s: bad boolean configuration: %s = %s (allowed: yes, no)",
			origin_text(source->origin).text, source->name, origin_value(text).text);
	return ERR_OK;
}

static enum err
value_parse_number(const struct value_source *source, struct slice text, uint64_t *ret_number,
	struct fault *reterr_fault)
{
	const struct param *param = source->param;
	uint64_t number = 0;
	enum err err = num_parse_u64(text, 0, UINT64_MAX, &number);

	if (err == ERR_SYNTAX)
		return fault_set(reterr_fault, ERR_CONFIG,
			"%s: bad numerical configuration: %s = %s (allowed: %" PRIu64 " to %" PRIu64
			")",
			origin_text(source->origin).text, source->name, origin_value(text).text,
			param->min, param->max);
	if (err < 0 || number < param->min || number > param->max) {
		bool is_less = err == ERR_OK && number < param->min;

		return fault_set(reterr_fault, ERR_CONFIG,
			"%s: invalid %s parameter value %s %s %" PRIu64 " (allowed: %" PRIu64
			" to %" PRIu64 ")",
			origin_text(source->origin).text, source->name, origin_value(text).text,
			is_less ? "<" : ">", is_less ? param->min : param->max, param->min,
			param->max);
	}
	*ret_number = number;
	return ERR_OK;
}

static uint64_t
value_unit_s(uint8_t unit)
{
	switch (unit) {
	case 's':
		return 1;
	case 'm':
		return 60;
	case 'h':
		return 3600;
	case 'd':
		return 86400;
	case 'w':
		return 7 * 86400;
	default:
		return 0;
	}
}

/* Only the first character behind the digits counts, as administrators' files rely on. */
static enum err
value_parse_time(const struct value_source *source, struct slice text, uint64_t *ret_number,
	struct fault *reterr_fault)
{
	const struct param *param = source->param;
	uint64_t unit = value_unit_s((uint8_t)source->time_unit);
	uint64_t number = 0;
	size_t digits = 0;
	enum err err;

	while (digits < text.len && ascii_is_digit(text.ptr[digits]))
		digits++;
	if (digits < text.len)
		unit = value_unit_s(text.ptr[digits]);
	err = num_parse_u64(slice_head(text, digits), 0, UINT64_MAX, &number);
	if (err == ERR_SYNTAX || unit == 0)
		return fault_set(reterr_fault, ERR_CONFIG,
			"%s: parameter %s: bad time value or unit: %s"
			" (allowed: digits and one of s m h d w)",
			origin_text(source->origin).text, source->name, origin_value(text).text);
	if (err < 0 || number > UINT64_MAX / unit || number * unit > param->max)
		return fault_set(reterr_fault, ERR_CONFIG,
			"%s: invalid %s: %s (max %" PRIu64 " seconds)",
			origin_text(source->origin).text, source->name, origin_value(text).text,
			param->max);
	if (number * unit < param->min)
		return fault_set(reterr_fault, ERR_CONFIG,
			"%s: invalid %s: %s (min %" PRIu64 " seconds)",
			origin_text(source->origin).text, source->name, origin_value(text).text,
			param->min);
	*ret_number = number * unit;
	return ERR_OK;
}

static enum err
value_parse_enum(const struct value_source *source, struct slice text, uint64_t *ret_number,
	struct fault *reterr_fault)
{
	int place = param_word_find(source->param->words, text);

	if (place < 0)
		return fault_set(reterr_fault, ERR_CONFIG, "%s: bad value: %s = %s (allowed: %s)",
			origin_text(source->origin).text, source->name, origin_value(text).text,
			source->param->words);
	*ret_number = (uint64_t)place;
	return ERR_OK;
}

static enum err
value_parse_words(const struct value_source *source, struct slice text, uint64_t *ret_number,
	struct fault *reterr_fault)
{
	struct slice rest = text;
	struct slice word;
	uint64_t bits = 0;

	while (slice_word(&rest, WORD_LIST_SEPARATORS, &word)) {
		int place = param_word_find(source->param->words, word);

		if (place < 0)
			return fault_set(reterr_fault, ERR_CONFIG,
				"%s: bad word \"%s\" in %s = %s (allowed: %s)",
				origin_text(source->origin).text, origin_value(word).text,
				source->name, origin_value(text).text, source->param->words);
		bits |= UINT64_C(1) << place;
	}
	*ret_number = bits;
	return ERR_OK;
}

enum err
value_parse(const struct value_source *source, struct slice text, uint64_t *ret_number,
	struct fault *reterr_fault)
{
	switch (source->param->type) {
	case PARAM_TYPE_BOOL:
		return value_parse_bool(source, text, ret_number, reterr_fault);
	case PARAM_TYPE_INT:
	case PARAM_TYPE_SIZE:
		return value_parse_number(source, text, ret_number, reterr_fault);
	case PARAM_TYPE_TIME:
		return value_parse_time(source, text, ret_number, reterr_fault);
	case PARAM_TYPE_ENUM:
		return value_parse_enum(source, text, ret_number, reterr_fault);
	case PARAM_TYPE_WORDS:
		return value_parse_words(source, text, ret_number, reterr_fault);
	case PARAM_TYPE_STRING:
	case PARAM_TYPE_STRINGS:
	case PARAM_TYPE_DOMAINS:
	case PARAM_TYPE_NETS:
	case PARAM_TYPE_MAPS:
	case PARAM_TYPE_TEMPLATES:
		*ret_number = 0;
		return ERR_OK;
	}
	UNREACHED();
	return ERR_CONFIG;
}

/* Digits with at most one dot among them, in millionths; false: something else. */
static bool
value_parse_decimal(struct slice text, uint64_t *ret_millionths)
{
	size_t dot = slice_find(text, '.');
	struct slice whole = slice_head(text, dot);
	struct slice part = slice_from(text, dot + 1);
	uint64_t number = 0;
	uint64_t unit = 1000000;

	if (num_parse_u64(whole, 0, 1000000, &number) < 0)
		return false;
	if (dot < text.len && (part.len == 0 || part.len > 6))
		return false;
	number *= unit;
	for (size_t i = 0; i < part.len; i++) {
		if (!ascii_is_digit(part.ptr[i]))
			return false;
		unit /= 10;
		number += (uint64_t)(part.ptr[i] - '0') * unit;
	}
	*ret_millionths = number;
	return true;
}

enum err
value_check_feedback(
	const struct value_source *source, struct slice text, struct fault *reterr_fault)
{
	size_t slash = slice_find(text, '/');
	struct slice divisor = slice_trim(slice_from(text, slash + 1));
	uint64_t over = 0;
	uint64_t under = 1000000;
	bool is_good = value_parse_decimal(slice_trim(slice_head(text, slash)), &over);

	if (slash < text.len && !slice_equal_nocase_str(divisor, "concurrency"))
		is_good = is_good && value_parse_decimal(divisor, &under) && under > 0;
	if (is_good && over <= under)
		return ERR_OK;
	return fault_set(reterr_fault, ERR_CONFIG,
		"%s: bad feedback: %s = %s (allowed: x, x/y or x/concurrency, from 0 to 1)",
		origin_text(source->origin).text, source->name, origin_value(text).text);
}

enum err
value_check_rate(const struct value_source *source, struct slice text, struct fault *reterr_fault)
{
	uint64_t ns;

	if (text.len == 0 || num_parse_rate(text, &ns) == ERR_OK)
		return ERR_OK;
	return fault_set(reterr_fault, ERR_CONFIG,
		"%s: bad rate: %s = %s (allowed: N/s, N/min, N/h or N/day, N from 1 to 1000000)",
		origin_text(source->origin).text, source->name, origin_value(text).text);
}

enum err
value_check_reactions(
	const struct value_source *source, struct slice text, struct fault *reterr_fault)
{
	struct slice entry, pattern;
	struct reaction reaction;
	enum err err;

	while ((err = reaction_next(&text, &entry, &pattern, &reaction)) == ERR_OK)
		continue;
	if (err == ERR_NOTFOUND)
		return ERR_OK;
	return fault_set(reterr_fault, ERR_CONFIG,
		"%s: bad entry of %s: %s (allowed: PATTERN => suspend TIME, slow RATE TIME or "
		"back-off TIME, as in *try later* => slow 10/min 5m; at most 5d)",
		origin_text(source->origin).text, source->name, origin_value(entry).text);
}

enum err
value_check_endpoint(
	const struct value_source *source, struct slice text, struct fault *reterr_fault)
{
	size_t colon = slice_rfind(text, ':');
	struct slice host = slice_head(text, colon);
	uint64_t port;

	if (text.len == 0)
		return ERR_OK;
	if (colon < text.len && host.len > 0
		&& (host.ptr[0] == '[') == (host.ptr[host.len - 1] == ']')
		&& (host.ptr[0] == '[' || slice_find(host, ':') == host.len)
		&& num_parse_u64(slice_from(text, colon + 1), 0, 65535, &port) == ERR_OK)
		return ERR_OK;
	return fault_set(reterr_fault, ERR_CONFIG,
		"%s: bad address: %s = %s (allowed: address:port or [address]:port)",
		origin_text(source->origin).text, source->name, origin_value(text).text);
}
