/*
 * upgrade.c - `ostler upgrade-journal`: from now on the journal may have what this release added
 *
 * Until then the release before can be started on it again. The tool is answered when the new
 * format is durable.
 */
#include "qmgr/control_priv.h"

#include <sysexits.h>

static void
answer(struct core *core, core_peer peer, uint32_t request, uint16_t from)
{
	struct journal_format format;
	struct buf text;

	journal_format(store_journal(core->store), &format);
	buf_init(&text, 0);
	buf_addf(&text, "{\"from\":\"%d.%u\",\"to\":\"%d.%u\",\"newest\":\"%d.%u\"}\n",
		RECORD_FORMAT_MAJOR, from, RECORD_FORMAT_MAJOR, format.in_force,
		RECORD_FORMAT_MAJOR, format.newest);
	SEND(core, peer, control_reply, .request = request, .final = 1, .exit_code = EX_OK,
		.text = buf_slice(&text));
	buf_done(&text);
}

/* A peer that is gone by then hears nothing, which SEND sees to. */
static void
upgraded(void *ctx, enum journal_outcome outcome)
{
	struct core *core = ctx;
	const struct upgrade *upgrade = &core->upgrade;

	if (outcome == JOURNAL_DURABLE) {
		log_event(core->log, EV_qmgr_journal_upgraded, LOG_U(RECORD_FORMAT_MAJOR),
			LOG_U(RECORD_FORMAT_MINOR), LOG_U(RECORD_FORMAT_MAJOR),
			LOG_U(upgrade->from));
		answer(core, upgrade->peer, upgrade->request, upgrade->from);
	} else {
		SEND(core, upgrade->peer, control_reply, .request = upgrade->request, .final = 1,
			.exit_code = EX_TEMPFAIL,
			.text = SLICE_LIT("the journal could not be flushed; try again"));
	}
	core_mark(core);
}

const char *
upgrade_request(struct peer *peer, uint32_t request)
{
	struct core *core = peer->core;
	struct journal *journal = store_journal(core->store);
	struct journal_format format;
	enum err err;

	journal_format(journal, &format);
	err = journal_upgrade(journal, upgraded, core);
	core_mark(core);
	if (err == ERR_OK) {
		core->upgrade = (struct upgrade){ peer->number, request, format.in_force };
		return NULL;
	}
	if (err != ERR_EXISTS)
		return err == ERR_AGAIN ? "the journal is being upgraded already"
					: "the journal cannot be written now; try again";
	answer(core, peer->number, request, format.in_force);
	return NULL;
}
