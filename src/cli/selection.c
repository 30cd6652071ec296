/*
 * selection.c - options of commands about mail (see selection.h)
 */
#include "cli/selection.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/num.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

enum selection_option {
	SELECTION_SENDER = 256,
	SELECTION_RECIPIENT,
	SELECTION_SITE,
	SELECTION_REASON,
	SELECTION_WHY,
	SELECTION_ID,
	SELECTION_AGE,
	SELECTION_SIZE,
	SELECTION_JSON,
	SELECTION_RELEASE,
};

static const struct option selection_options[] = {
	{ "sender", required_argument, NULL, SELECTION_SENDER },
	{ "recipient", required_argument, NULL, SELECTION_RECIPIENT },
	{ "site", required_argument, NULL, SELECTION_SITE },
	{ "reason", required_argument, NULL, SELECTION_REASON },
	{ "why", required_argument, NULL, SELECTION_WHY },
	{ "id", required_argument, NULL, SELECTION_ID },
	{ "age", required_argument, NULL, SELECTION_AGE },
	{ "size", required_argument, NULL, SELECTION_SIZE },
	{ "json", no_argument, NULL, SELECTION_JSON },
	{ "release", no_argument, NULL, SELECTION_RELEASE },
	{ "dry-run", no_argument, NULL, 'n' },
	{ "yes", no_argument, NULL, 'y' },
	{ NULL, 0, NULL, 0 },
};

struct selection_unit {
	char name;
	uint64_t factor;
};

static bool
selection_number(const char *text, const struct selection_unit *units, uint64_t *ret_number)
{
	struct slice digits = slice_str(text);
	uint64_t factor = 1, number;

	for (; units->name != '\0'; units++) {
		if (digits.len < 2 || digits.ptr[digits.len - 1] != (uint8_t)units->name)
			continue;
		factor = units->factor;
		digits.len--;
		break;
	}
	if (num_parse_u64(digits, 0, INT64_MAX / factor, &number) != ERR_OK)
		return false;
	*ret_number = number * factor;
	return true;
}

bool
selection_seconds(const char *text, uint64_t *ret_seconds)
{
	static const struct selection_unit units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 },
		{ 'd', 86400 }, { 'w', 604800 }, { '\0', 0 } };

	return selection_number(text, units, ret_seconds);
}

bool
selection_bytes(const char *text, uint64_t *ret_bytes)
{
	static const struct selection_unit units[] = { { 'K', 1 << 10 }, { 'k', 1 << 10 },
		{ 'M', 1 << 20 }, { 'G', 1 << 30 }, { '\0', 0 } };

	return selection_number(text, units, ret_bytes);
}

void
selection_add(struct selection *selection, const char *word)
{
	selection->words = mem_resize(
		selection->words, selection->word_count + 1, sizeof(*selection->words));
	selection->words[selection->word_count++] = word;
}

static void
selection_condition(struct selection *selection, const char *name, const char *value)
{
	selection_add(selection, name);
	selection_add(selection, value);
	selection->has_conditions = true;
}

/* An age or size: from so much on, or with - in front up to so much. */
static int
selection_range(struct cli *cli, struct selection *selection, bool is_age, const char *value)
{
	bool is_below = value[0] == '-';
	const char *digits = value[0] == '-' || value[0] == '+' ? value + 1 : value;
	uint64_t number;
	char *text;

	if (!(is_age ? selection_seconds(digits, &number) : selection_bytes(digits, &number)))
		return cli_complain(cli, EX_USAGE, "bad %s \"%s\" (allowed: %s)",
			is_age ? "--age" : "--size", value,
			is_age ? "a number with s, m, h, d or w: at least so old; -2h: at most"
			       : "a number with K, M or G: at least so large; -4K: at most");
	if (selection->text_count == sizeof(selection->texts) / sizeof(selection->texts[0]))
		return cli_complain(cli, EX_USAGE, "too many conditions");
	text = mem_new(24);
	(void)snprintf(text, 24, "%llu", (unsigned long long)number);
	selection->texts[selection->text_count++] = text;
	selection_condition(selection,
		is_age ? (is_below ? "younger" : "older")
		       : (is_below ? "smaller" : "larger"), text);
	return EX_OK;
}

static int
selection_option(struct cli *cli, struct selection *selection, int option, const char *command)
{
	switch (option) {
	case SELECTION_SENDER:
		selection_condition(
			selection, "sender", strcmp(optarg, "<>") == 0 ? "" : optarg);
		return EX_OK;
	case SELECTION_RECIPIENT:
		selection_condition(selection, "recipient", optarg);
		return EX_OK;
	case SELECTION_SITE:
		selection_condition(selection, "site", optarg);
		return EX_OK;
	case SELECTION_REASON:
		selection_condition(selection, "reason", optarg);
		return EX_OK;
	case SELECTION_WHY:
		selection_add(selection, "why");
		selection_add(selection, optarg);
		return EX_OK;
	case SELECTION_ID:
		if (strcmp(command, "flush") == 0)
			selection_add(selection, "id");
		selection_add(selection, optarg);
		selection->id_count++;
		return EX_OK;
	case SELECTION_AGE:
		return selection_range(cli, selection, true, optarg);
	case SELECTION_SIZE:
		return selection_range(cli, selection, false, optarg);
	case SELECTION_JSON:
		selection->is_json = true;
		return EX_OK;
	case SELECTION_RELEASE:
		if (strcmp(command, "expire") != 0)
			return cli_complain(cli, EX_USAGE, "--release is for expire");
		selection_add(selection, "held");
		return EX_OK;
	case 'n':
		selection->is_dry = true;
		return EX_OK;
	case 'y':
		selection->is_yes = true;
		return EX_OK;
	default:
		/* getopt_long() has said what is wrong. */
		return EX_USAGE;
	}
}

int
selection_parse(struct cli *cli, int argc, char **argv, struct selection *ret_selection)
{
	int exit_code = EX_OK, option;

	*ret_selection = (struct selection) { 0 };
	optind = 0;
	while (exit_code == EX_OK &&
		(option = getopt_long(argc, argv, "ny", selection_options, NULL)) != -1)
		exit_code = selection_option(cli, ret_selection, option, argv[0]);
	for (; exit_code == EX_OK && optind < argc; optind++) {
		selection_add(ret_selection, argv[optind]);
		if (strcmp(argv[optind], "ALL") == 0)
			ret_selection->is_all = true;
		else
			ret_selection->id_count++;
	}
	if (exit_code != EX_OK)
		selection_done(ret_selection);
	return exit_code;
}

void
selection_done(struct selection *selection)
{
	for (size_t i = 0; i < selection->text_count; i++)
		mem_free(selection->texts[i]);
	mem_free(selection->words);
	*selection = (struct selection) { 0 };
}
