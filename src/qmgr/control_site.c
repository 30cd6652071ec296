/*
 * control_site.c - `sites` and `site`: what the scheduler knows of sites, and what operators want
 */
#include "qmgr/control_priv.h"

#include "qmgr/reaction.h"

#include <sysexits.h>

enum { SITE_ROWS_MAX = 10000, SITE_PART = 48 * 1024, WORDS_MAX = 4 };

static bool
has_news(const struct sched_status *status)
{
	return status->state != WINDOW_READY || status->held_until.ns > 0 ||
	       status->slow_until.ns > 0 || status->waiting + status->busy + status->parked > 0 ||
	       status->sessions > 0;
}

static void
send_part(struct peer *peer, uint32_t request, struct buf *text, bool is_final)
{
	SEND(peer->core, peer->number, control_reply, .request = request, .final = is_final,
		.text = buf_slice(text));
	buf_clear(text);
}

/* One line of JSON for each that has mail, sessions or trouble. */
void
control_sites(struct peer *peer, uint32_t request)
{
	struct core *core = peer->core;
	struct sched_destination *destination = NULL;
	struct sched_status status;
	struct buf text;
	unsigned rows = 0;

	buf_init(&text, 0);
	while (rows < SITE_ROWS_MAX &&
		(destination = sched_destination_next(core->sched, destination)) != NULL) {
		sched_destination_status(destination, &status);
		if (!has_news(&status))
			continue;
		control_site_json(core, destination, &text);
		rows++;
		if (text.len > SITE_PART)
			send_part(peer, request, &text, false);
	}
	send_part(peer, request, &text, true);
	buf_done(&text);
}

static void
reset(struct peer *peer, struct sched_destination *destination)
{
	log_event(peer->core->log, EV_qmgr_site_reset,
		LOG_S(sched_destination_nexthop(destination)),
		LOG_S(sched_transport_name(sched_destination_transport(destination))),
		LOG_Z(peer->user));
	sched_destination_reset(destination);
}

/* "suspend SITE [TIME]", "slow SITE RATE [TIME]": as an action of the table, in `text`. */
static void
write_action(const struct slice *words, unsigned count, struct buf *text)
{
	if (count >= 2 && slice_equal_str(words[0], "suspend"))
		buf_addf(text, "suspend %" SLICE_FMT,
			SLICE_ARG(count > 2 ? words[2] : SLICE_LIT("1h")));
	else if (count >= 3 && slice_equal_str(words[0], "slow"))
		buf_addf(text, "slow %" SLICE_FMT " %" SLICE_FMT, SLICE_ARG(words[2]),
			SLICE_ARG(count > 3 ? words[3] : SLICE_LIT("1h")));
}

/* All sites of that name, whatever their transport; how many. NULL: they are reset. */
static unsigned
act_on_all(struct peer *peer, struct slice name, const struct reaction *reaction)
{
	struct core *core = peer->core;
	struct sched_destination *destination = NULL;
	unsigned found = 0;

	while ((destination = sched_destination_next(core->sched, destination)) != NULL) {
		if (!control_select_is_site(sched_destination_nexthop(destination), name))
			continue;
		struct sched_destination *site = sched_destination_site(destination);

		if (reaction == NULL)
			reset(peer, site);
		else
			reaction_act(core, site, reaction, SLICE_LIT("4.3.2"),
				slice_str(peer->user));
		found++;
	}
	core_mark(core);
	return found;
}

const char *
control_site(struct peer *peer, struct slice list, uint8_t *ret_exit)
{
	struct slice words[WORDS_MAX], word;
	struct reaction reaction;
	struct buf text;
	unsigned count = 0, found;

	*ret_exit = EX_USAGE;
	while (ipc_bytes_next(&list, &word) == ERR_OK) {
		if (count == WORDS_MAX)
			return "too many words";
		words[count++] = word;
	}
	bool resets = count == 2 && (slice_equal_str(words[0], "resume") ||
					    slice_equal_str(words[0], "reset"));

	buf_init(&text, 0);
	write_action(words, count, &text);
	enum err err = reaction_parse(buf_slice(&text), &reaction);

	/* Its slices point into the text. */
	found = resets || err == ERR_OK
			? act_on_all(peer, words[1], resets ? NULL : &reaction)
			: 0;
	buf_done(&text);
	if (!resets && err != ERR_OK)
		return "suspend SITE [TIME], slow SITE RATE [TIME], resume SITE or reset SITE is "
		       "wanted";
	*ret_exit = found > 0 ? EX_OK : EX_UNAVAILABLE;
	return found > 0 ? NULL : "no such site is known; 'ostler sites' lists them";
}
