/*
 * snapshot.c - files that stay as they are while a tool copies the queue (`ostler snapshot`)
 *
 *   snapshot begin:  files are frozen, NODE `snapshot` appended; durable: the tool is told their
 *                    names and up to which LSN they count. In this order: a segment that leaves
 *                    force before the freeze is not named, so a batch behind it must say so too.
 *   snapshot end:    thawed; says whether they had been frozen all the time
 *
 * The tool reads the files itself, mail comes and goes meanwhile, only its space is not freed. So
 * the pin ends with the tool's connection, and in any case after the time that it asked for.
 * What is told is what was durable in that moment, no more and no less: bytes below the LSN
 * never change while their segment is in force.
 */
#include "base/check.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/wire.h"
#include "qmgr/control_priv.h"

#include <inttypes.h>
#include <sysexits.h>

#define SNAPSHOT_KEY SLICE_LIT("snapshot")

enum { SNAPSHOT_S = 3600, SNAPSHOT_S_MAX = 7 * 86400, REPLY_CHUNK = 64 * 1024 };

/* The one that is being made. */
struct snapshot {
	struct core *core;
	core_peer peer;   /* 0: it is gone */
	uint32_t request;
	uint32_t pid;
	bool is_told;
	uint64_t limit_s;
	struct mono began, until;
};

static void
snapshot_free(struct snapshot *snapshot)
{
	struct core *core = snapshot->core;

	store_thaw(core->store);
	core->snapshot = NULL;
	mem_free(snapshot);
	core_mark(core);
}

static void
answer(struct snapshot *snapshot, bool is_final, uint8_t exit_code, struct slice text)
{
	SEND(snapshot->core, snapshot->peer, control_reply, .request = snapshot->request,
		.final = is_final, .exit_code = exit_code, .text = text);
}

static void
add_uuid(struct buf *text, const uint8_t *uuid)
{
	for (int i = 0; i < RECORD_UUID_SIZE; i++)
		buf_addf(text, "%02x", (unsigned)uuid[i]);
}

/* A line for all, then one for each segment. */
static void
tell(struct snapshot *snapshot)
{
	struct core *core = snapshot->core;
	struct journal *journal = store_journal(core->store);
	uint64_t lsn = journal_durable(journal);
	struct journal_place place;
	struct buf text;
	uint64_t count = 0;

	buf_init(&text, 0);
	buf_addf(&text, "{\"lsn\":%" PRIu64 ",\"time\":%" PRIu64 ",\"messages\":%" PRIu64
		",\"uuid\":\"", lsn, wall_s(core->now.wall), store_count(core->store));
	add_uuid(&text, journal_uuid(journal));
	buf_add_str(&text, "\"}\n");
	for (; journal_place_number(journal, count, &place) && place.base < lsn; count++) {
		buf_addf(&text, "{\"slot\":%u,\"size\":%" PRIu64 ",\"bytes\":%" PRIu64 "}\n",
			(unsigned)place.slot, place.size,
			journal_place_bytes(&place, lsn));
		if (text.len >= REPLY_CHUNK) {
			answer(snapshot, false, 0, buf_slice(&text));
			buf_clear(&text);
		}
	}
	log_event(core->log, EV_qmgr_snapshot_begun, LOG_U(snapshot->pid), LOG_U(lsn),
		LOG_U(count));
	answer(snapshot, true, EX_OK, buf_slice(&text));
	buf_done(&text);
}

static void
flushed(void *ctx, enum journal_outcome outcome)
{
	struct snapshot *snapshot = ctx;
	struct core *core = snapshot->core;

	if (snapshot->peer == 0) {
		snapshot_free(snapshot);
		return;
	}
	if (outcome != JOURNAL_DURABLE) {
		answer(snapshot, true, EX_TEMPFAIL,
			SLICE_LIT("the journal could not be flushed; try again"));
		snapshot_free(snapshot);
		return;
	}
	snapshot->is_told = true;
	snapshot->began = core->now.mono;
	snapshot->until = mono_add_ns(core->now.mono, snapshot->limit_s * NS_PER_S);
	tell(snapshot);
	core_mark(core);
}

static const char *
begin(struct peer *peer, uint32_t request, uint64_t limit_s)
{
	struct core *core = peer->core;
	struct snapshot *snapshot;
	uint8_t value[8];

	if (core->snapshot != NULL)
		return "another snapshot is being made";
	if (!core->is_complete)
		return "the index is not complete yet; try again";
	snapshot = MEM_NEW(struct snapshot);
	*snapshot = (struct snapshot){ .core = core, .peer = peer->number, .request = request,
		.pid = peer->pid, .limit_s = limit_s };
	wire_store_u64(value, core->now.wall.us);
	if (journal_set_node(store_journal(core->store), SNAPSHOT_KEY,
		    slice_make(value, sizeof(value)), flushed, snapshot) != ERR_OK) {
		mem_free(snapshot);
		return "the journal cannot be written now; try again";
	}
	store_freeze(core->store); /* that batch is written later on */
	core->snapshot = snapshot;
	core_mark(core);
	return NULL;
}

static const char *
end(struct peer *peer, uint32_t request)
{
	struct core *core = peer->core;
	struct snapshot *snapshot = core->snapshot;

	if (snapshot == NULL || snapshot->peer != peer->number || !snapshot->is_told)
		return "the snapshot took too long: files may have changed under it "
		       "(see --time-limit)";
	snapshot->request = request;
	log_event(core->log, EV_qmgr_snapshot_ended, LOG_U(snapshot->pid), LOG_Z("complete"),
		LOG_U(mono_since_ns(core->now.mono, snapshot->began) / NS_PER_S));
	answer(snapshot, true, EX_OK, SLICE_LIT("{\"done\":1}\n"));
	snapshot_free(snapshot);
	return NULL;
}

const char *
snapshot_request(struct peer *peer, const struct ipc_control_request *request, uint8_t *ret_exit)
{
	struct slice list = request->arguments, word = slice_make(NULL, 0);
	uint64_t limit_s = SNAPSHOT_S;
	bool is_begin;

	*ret_exit = EX_USAGE;
	if (ipc_bytes_next(&list, &word) != ERR_OK)
		return "snapshot: begin or end is wanted";
	is_begin = slice_equal_str(word, "begin");
	if (!is_begin && !slice_equal_str(word, "end"))
		return "snapshot: begin or end is wanted";
	if (ipc_bytes_next(&list, &word) == ERR_OK
		&& (!is_begin || num_parse_u64(word, 1, SNAPSHOT_S_MAX, &limit_s) < 0))
		return "snapshot begin: seconds from 1 to 604800 are wanted";
	*ret_exit = EX_TEMPFAIL;
	return is_begin ? begin(peer, request->request, limit_s) : end(peer, request->request);
}

static void
give_up(struct snapshot *snapshot, const char *why)
{
	struct core *core = snapshot->core;

	log_event(core->log, EV_qmgr_snapshot_ended, LOG_U(snapshot->pid), LOG_Z(why),
		LOG_U(mono_since_ns(core->now.mono, snapshot->began) / NS_PER_S));
	snapshot_free(snapshot);
}

void
snapshot_peer_gone(struct peer *peer)
{
	struct snapshot *snapshot = peer->core->snapshot;

	if (snapshot == NULL || snapshot->peer != peer->number)
		return;
	snapshot->peer = 0;
	if (snapshot->is_told)
		give_up(snapshot, "given up, its tool is gone");
}

void
snapshot_step(struct core *core)
{
	struct snapshot *snapshot = core->snapshot;

	if (snapshot != NULL && snapshot->is_told && core->now.mono.ns >= snapshot->until.ns)
		give_up(snapshot, "given up, its time is over");
}

struct mono
snapshot_due(const struct core *core)
{
	const struct snapshot *snapshot = core->snapshot;

	return snapshot != NULL && snapshot->is_told ? snapshot->until
						       : (struct mono){ UINT64_MAX };
}

/* At the end of the process: the store is going too. */
void
snapshot_forget(struct core *core)
{
	mem_free(core->snapshot);
	core->snapshot = NULL;
}
