/* site_settings.c - see site_settings.h */
#include "qmgr/site_settings.h"

#include "base/num.h"
#include "qmgr/core_priv.h"

enum { SESSIONS_MAX = 100000, ACTIVE_MAX = 10000000, DELAY_MAX_S = 31536000 };

static enum err
read_number(struct slice text, uint64_t min, uint64_t max, uint32_t *ret_number)
{
	uint64_t number;
	enum err err = num_parse_u64(text, min, max, &number);

	if (err == ERR_OK)
		*ret_number = (uint32_t)number;
	return err;
}

/* Seconds, with or without their unit. */
static enum err
read_delay(struct slice text, uint64_t *ret_ns)
{
	uint64_t seconds, unit = 1;
	uint8_t last = text.len > 0 ? text.ptr[text.len - 1] : '0';

	if (last == 's' || last == 'm' || last == 'h') {
		unit = last == 's' ? 1 : last == 'm' ? 60 : 3600;
		text = slice_head(text, text.len - 1);
	}
	enum err err = num_parse_u64(text, 0, DELAY_MAX_S / unit, &seconds);

	if (err == ERR_OK)
		*ret_ns = seconds * unit * NS_PER_S;
	return err;
}

static enum err
read_word(struct slice key, struct slice value, struct sched_limits *limits)
{
	struct window_options *window = &limits->window;

	if (slice_equal_nocase_str(key, "sessions"))
		return read_number(value, 0, SESSIONS_MAX, &window->limit_max);
	if (slice_equal_nocase_str(key, "initial"))
		return read_number(value, 1, SESSIONS_MAX, &window->initial);
	if (slice_equal_nocase_str(key, "active"))
		return read_number(value, 1, ACTIVE_MAX, &limits->share_max);
	if (slice_equal_nocase_str(key, "rate"))
		return num_parse_rate(value, &limits->rate_ns);
	if (slice_equal_nocase_str(key, "recipients"))
		return num_parse_rate(value, &limits->recipient_rate_ns);
	if (slice_equal_nocase_str(key, "delay"))
		return read_delay(value, &limits->rate_delay_ns);
	return ERR_SYNTAX;
}

enum err
site_settings_read(struct slice line, struct sched_limits *limits, struct slice *reterr_word)
{
	struct slice word;

	while (slice_word(&line, " \t,", &word)) {
		size_t sign = slice_find(word, '=');
		enum err err = read_word(
			slice_head(word, sign), slice_from(word, sign + 1), limits);

		if (err != ERR_OK) {
			*reterr_word = word;
			return err;
		}
	}
	return ERR_OK;
}

static enum err
find_line(struct core *core, struct slice transport, struct slice nexthop, struct slice *ret_line)
{
	enum err err;
	struct buf key;

	buf_init(&key, 0);
	buf_addf(&key, "%" SLICE_FMT ":%" SLICE_FMT, SLICE_ARG(transport), SLICE_ARG(nexthop));
	err = config_map_find(core->config, NULL, PARAM_DESTINATION_SETTINGS_MAPS,
		buf_slice(&key), ret_line);
	buf_done(&key);
	if (err == ERR_NOTFOUND)
		err = config_map_find(
			core->config, NULL, PARAM_DESTINATION_SETTINGS_MAPS, nexthop, ret_line);
	return err;
}

struct slice
site_settings_line(struct core *core, struct sched_transport *transport, struct slice nexthop)
{
	struct slice line;

	if (config_map_is_empty(core->config, NULL, PARAM_DESTINATION_SETTINGS_MAPS) ||
		find_line(core, sched_transport_name(transport), nexthop, &line) != ERR_OK)
		return slice_make(NULL, 0);
	return line;
}

bool
site_settings(void *ctx, struct sched_transport *transport, struct slice nexthop,
	struct sched_limits *limits)
{
	struct core *core = ctx;
	struct slice line, word;

	if (config_map_is_empty(core->config, NULL, PARAM_DESTINATION_SETTINGS_MAPS) ||
		find_line(core, sched_transport_name(transport), nexthop, &line) != ERR_OK)
		return false;
	if (site_settings_read(line, limits, &word) != ERR_OK)
		log_event(core->log, EV_qmgr_bad_settings, LOG_S(nexthop), LOG_S(word));
	return true;
}
