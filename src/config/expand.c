/*
 * expand.c - $name and its kin in values of main.cf (see expand.h)
 */
#include "config/expand.h"

#include "base/ascii.h"
#include "config/origin.h"
#include "config/word.h"

struct expand {
	expand_find_fn *find;
	void *ctx;
	unsigned depth;
	unsigned steps;
	struct fault *reterr_fault;
};

static enum err expand_run(struct expand *expand, struct slice text, struct buf *out);

static enum err
expand_bad(const struct expand *expand, const char *what, struct slice where)
{
	return fault_set(
		expand->reterr_fault, ERR_SYNTAX, "%s: \"%s\"", what, origin_value(where).text);
}

static struct slice
expand_skip_blanks(struct slice text)
{
	while (text.len > 0 && ascii_is_space(text.ptr[0]))
		text = slice_from(text, 1);
	return text;
}

static size_t
expand_name_length(struct slice text)
{
	size_t len = 0;

	while (len < text.len && (ascii_is_alnum(text.ptr[len]) || text.ptr[len] == '_'))
		len++;
	return len;
}

static enum err
expand_name(struct expand *expand, struct slice name, struct buf *out)
{
	struct slice text;

	if (++expand->steps > EXPAND_STEPS_MAX)
		return fault_set(expand->reterr_fault, ERR_LIMIT,
			"more than %d names to expand, the last is $%s", EXPAND_STEPS_MAX,
			origin_value(name).text);
	if (expand->find(expand->ctx, name, &text) < 0)
		return ERR_OK;
	return expand_run(expand, text, out);
}

/* Cuts {text} with blanks around it off *rest. */
static enum err
expand_braced(const struct expand *expand, struct slice *rest, struct slice *ret_text)
{
	struct slice text = expand_skip_blanks(*rest);
	size_t close;

	if (text.len == 0 || text.ptr[0] != '{')
		return expand_bad(expand, "a text in braces was expected", *rest);
	close = word_find_close(text, '{', '}');
	if (close == text.len)
		return expand_bad(expand, "a brace is not closed", text);
	*ret_text = slice_make(text.ptr + 1, close - 1);
	*rest = expand_skip_blanks(slice_from(text, close + 1));
	return ERR_OK;
}

/* The last of the texts: in braces, with nothing behind them, or all that is left. */
static enum err
expand_last_arm(const struct expand *expand, struct slice rest, struct slice *ret_text)
{
	struct slice text = expand_skip_blanks(rest);
	enum err err;

	if (text.len == 0 || text.ptr[0] != '{') {
		*ret_text = rest;
		return ERR_OK;
	}
	err = expand_braced(expand, &text, ret_text);
	if (err == ERR_OK && text.len > 0)
		err = expand_bad(expand, "too much behind a text in braces", text);
	return err;
}

/* `rest` begins with ? or :, the texts follow; chooses one of them by `truth`. */
static enum err
expand_choose(const struct expand *expand, struct slice rest, bool truth, struct slice *ret_choice)
{
	bool is_else = rest.ptr[0] == ':';
	struct slice arm_true = SLICE_LIT("");
	struct slice arm_false = SLICE_LIT("");
	struct slice text;
	enum err err = ERR_OK;

	rest = slice_from(rest, 1);
	text = expand_skip_blanks(rest);
	if (is_else) {
		err = expand_last_arm(expand, rest, &arm_false);
	} else if (text.len == 0 || text.ptr[0] != '{') {
		arm_true = rest;
	} else {
		err = expand_braced(expand, &text, &arm_true);
		if (err == ERR_OK && text.len > 0) {
			if (text.ptr[0] != ':')
				return expand_bad(expand, "':' was expected", text);
			err = expand_last_arm(expand, slice_from(text, 1), &arm_false);
		}
	}
	*ret_choice = truth ? arm_true : arm_false;
	return err;
}

static bool
expand_is_digits(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!ascii_is_digit(text.ptr[i]))
			return false;
	return text.len > 0;
}

/* Digits of any length compare as numbers, all else byte by byte. */
static int
expand_compare(struct slice a, struct slice b)
{
	if (!expand_is_digits(a) || !expand_is_digits(b))
		return slice_compare(a, b);
	while (a.len > 1 && a.ptr[0] == '0')
		a = slice_from(a, 1);
	while (b.len > 1 && b.ptr[0] == '0')
		b = slice_from(b, 1);
	if (a.len != b.len)
		return a.len < b.len ? -1 : 1;
	return slice_compare(a, b);
}

static enum err
expand_operator(const struct expand *expand, struct slice *rest, int order, bool *ret_truth)
{
	static const struct {
		const char *text;
		bool less, equal, greater;
	} operators[] = {
		/* The longer ones first. */
		{ "==", false, true, false },
		{ "!=", true, false, true },
		{ "<=", true, true, false },
		{ ">=", false, true, true },
		{ "<", true, false, false },
		{ ">", false, false, true },
	};

	for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
		if (!slice_starts(*rest, slice_str(operators[i].text)))
			continue;
		*rest = slice_from(*rest, strlen(operators[i].text));
		*ret_truth = order < 0	  ? operators[i].less
			     : order == 0 ? operators[i].equal
					  : operators[i].greater;
		return ERR_OK;
	}
	return expand_bad(expand, "one of == != < <= >= > was expected", *rest);
}

/* {x} op {y} ? ... */
static enum err
expand_comparison(struct expand *expand, struct slice body, struct buf *out)
{
	struct slice rest = body;
	struct slice left, right, operator, choice;
	struct buf a, b;
	bool truth = false;
	enum err err;

	buf_init(&a, out->max);
	buf_init(&b, out->max);
	err = expand_braced(expand, &rest, &left);
	operator= rest;
	while (err == ERR_OK && rest.len > 0 && rest.ptr[0] != '{')
		rest = slice_from(rest, 1);
	if (err == ERR_OK)
		err = expand_braced(expand, &rest, &right);
	if (err == ERR_OK)
		err = expand_run(expand, left, &a);
	if (err == ERR_OK)
		err = expand_run(expand, right, &b);
	if (err == ERR_OK)
		err = expand_operator(
			expand, &operator, expand_compare(buf_slice(&a), buf_slice(&b)), &truth);
	operator= expand_skip_blanks(operator);
	if (err == ERR_OK && (operator.len == 0 || operator.ptr[0] != '{'))
		err = expand_bad(expand, "a text in braces was expected", operator);
	if (err == ERR_OK && (rest.len == 0 || (rest.ptr[0] != '?' && rest.ptr[0] != ':')))
		err = expand_bad(expand, "'?' was expected behind a comparison", body);
	if (err == ERR_OK)
		err = expand_choose(expand, rest, truth, &choice);
	buf_done(&a);
	buf_done(&b);
	return err < 0 ? err : expand_run(expand, choice, out);
}

/* What stands between the braces of ${...}. */
static enum err
expand_body(struct expand *expand, struct slice body, struct buf *out)
{
	struct slice text = expand_skip_blanks(body);
	size_t len = expand_name_length(text);
	struct slice name = slice_head(text, len);
	struct slice rest = expand_skip_blanks(slice_from(text, len));
	struct slice choice;
	struct buf value;
	enum err err;

	if (text.len > 0 && text.ptr[0] == '{')
		return expand_comparison(expand, text, out);
	if (len == 0)
		return expand_bad(expand, "a name was expected", body);
	if (rest.len == 0)
		return expand_name(expand, name, out);
	if (rest.ptr[0] != '?' && rest.ptr[0] != ':')
		return expand_bad(expand, "'?' or ':' was expected behind a name", body);
	buf_init(&value, out->max);
	err = expand_name(expand, name, &value);
	if (err == ERR_OK)
		err = expand_choose(expand, rest, value.len > 0, &choice);
	buf_done(&value);
	return err < 0 ? err : expand_run(expand, choice, out);
}

/* `text` begins with a dollar sign; *ret_used is how much belongs to it. */
static enum err
expand_dollar(struct expand *expand, struct slice text, struct buf *out, size_t *ret_used)
{
	uint8_t next = text.len > 1 ? text.ptr[1] : 0;
	struct slice rest = slice_from(text, 1);
	size_t len;

	if (next == '$') {
		*ret_used = 2;
		return buf_append_byte(out, '$');
	}
	if (next == '{' || next == '(') {
		len = word_find_close(rest, next, next == '{' ? '}' : ')');
		if (len == rest.len)
			return expand_bad(expand, "a brace is not closed", text);
		*ret_used = len + 2;
		return expand_body(expand, slice_make(rest.ptr + 1, len - 1), out);
	}
	len = expand_name_length(rest);
	if (len == 0)
		return expand_bad(
			expand, "a name was expected behind $ ($$ is a dollar sign)", text);
	*ret_used = len + 1;
	return expand_name(expand, slice_head(rest, len), out);
}

static enum err
expand_run(struct expand *expand, struct slice text, struct buf *out)
{
	enum err err = ERR_OK;

	if (++expand->depth > EXPAND_DEPTH_MAX)
		return fault_set(expand->reterr_fault, ERR_LIMIT,
			"more than %d levels of names in names: \"%s\"", EXPAND_DEPTH_MAX,
			origin_value(text).text);
	while (err == ERR_OK && text.len > 0) {
		size_t plain = slice_find(text, '$');
		size_t used = 0;

		err = buf_append(out, slice_head(text, plain));
		text = slice_from(text, plain);
		if (err == ERR_OK && text.len > 0) {
			err = expand_dollar(expand, text, out, &used);
			text = slice_from(text, used);
		}
	}
	expand->depth--;
	return err;
}

enum err
expand_text(struct slice text, expand_find_fn *find, void *ctx, struct buf *out,
	struct fault *reterr_fault)
{
	struct expand expand = { .find = find, .ctx = ctx, .reterr_fault = reterr_fault };

	if (reterr_fault != NULL)
		(void)fault_set(reterr_fault, ERR_LIMIT, "the value is too long when expanded");
	return expand_run(&expand, text, out);
}
