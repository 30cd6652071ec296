/* reaction_text.c - see reaction_text.h */
#include "config/reaction_text.h"

#include "base/num.h"

enum { TIME_MAX_S = 5 * 86400 };

static enum err
parse_time(struct slice text, uint64_t *ret_s)
{
	uint64_t unit = 1;
	uint8_t last = text.len > 0 ? text.ptr[text.len - 1] : '0';

	if (last == 's' || last == 'm' || last == 'h' || last == 'd') {
		unit = last == 's' ? 1 : last == 'm' ? 60 : last == 'h' ? 3600 : 86400;
		text = slice_head(text, text.len - 1);
	}
	enum err err = num_parse_u64(text, 1, TIME_MAX_S / unit, ret_s);

	if (err == ERR_OK)
		*ret_s *= unit;
	return err;
}

enum err
reaction_parse(struct slice text, struct reaction *ret_reaction)
{
	struct reaction reaction = { .kind = REACTION_SUSPEND };
	struct slice word;
	enum err err = ERR_OK;

	if (!slice_word(&text, " \t", &word))
		return ERR_SYNTAX;
	if (slice_equal_nocase_str(word, "slow")) {
		reaction.kind = REACTION_SLOW;
		if (!slice_word(&text, " \t", &reaction.rate))
			return ERR_SYNTAX;
		err = num_parse_rate(reaction.rate, &reaction.rate_ns);
	} else if (slice_equal_nocase_str(word, "back-off")) {
		reaction.kind = REACTION_BACK_OFF;
	} else if (!slice_equal_nocase_str(word, "suspend")) {
		return ERR_SYNTAX;
	}
	if (err == ERR_OK && !slice_word(&text, " \t", &word))
		return ERR_SYNTAX;
	if (err == ERR_OK)
		err = parse_time(word, &reaction.time_s);
	if (err == ERR_OK && slice_trim(text).len > 0)
		return ERR_SYNTAX;
	if (err == ERR_OK)
		*ret_reaction = reaction;
	return err;
}

/* "PATTERN => ACTION". */
static enum err
parse_entry(struct slice entry, struct slice *ret_pattern, struct reaction *ret_reaction)
{
	for (size_t i = 0; i + 1 < entry.len; i++)
		if (entry.ptr[i] == '=' && entry.ptr[i + 1] == '>') {
			*ret_pattern = slice_trim(slice_head(entry, i));
			return ret_pattern->len == 0
				       ? ERR_SYNTAX
				       : reaction_parse(slice_from(entry, i + 2), ret_reaction);
		}
	return ERR_SYNTAX;
}

enum err
reaction_next(struct slice *table, struct slice *ret_entry, struct slice *ret_pattern,
	struct reaction *ret_reaction)
{
	while (slice_word(table, ";", ret_entry)) {
		*ret_entry = slice_trim(*ret_entry);
		if (ret_entry->len > 0)
			return parse_entry(*ret_entry, ret_pattern, ret_reaction);
	}
	return ERR_NOTFOUND;
}
