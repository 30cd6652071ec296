/*
 * pace.c - how many transactions a next hop has finished lately, for estimates (see core_priv.h)
 *
 * A minute is counted while it runs; the one before it counts in part, so that the rate of the last
 * sixty seconds is known at any moment from two numbers.
 */
#include "qmgr/core_priv.h"

#include "base/mem.h"

enum { PACES_MAX = 20000 };

#define PACE_NS (60 * NS_PER_S)

struct pace {
	char *key;
	struct mono begun; /* of the minute that runs */
	uint32_t now, before;
	UT_hash_handle hh;
};

static void
pace_free(struct core *core, struct pace *pace)
{
	HASH_DELETE(hh, core->paces, pace);
	mem_free(pace->key);
	mem_free(pace);
}

static void
make_key(struct buf *key, struct slice transport, struct slice nexthop)
{
	buf_init(key, 0);
	buf_addf(key, "%" SLICE_FMT " %" SLICE_FMT, SLICE_ARG(transport), SLICE_ARG(nexthop));
}

/* Minutes that are over since anything was counted. */
static void
turn(struct pace *pace, struct mono now)
{
	uint64_t minutes = mono_since_ns(now, pace->begun) / PACE_NS;

	if (minutes == 0)
		return;
	pace->before = minutes == 1 ? pace->now : 0;
	pace->now = 0;
	pace->begun = mono_add_ns(pace->begun, minutes * PACE_NS);
}

static void
purge(struct core *core)
{
	struct pace *pace, *next;

	HASH_ITER(hh, core->paces, pace, next)
	{
		turn(pace, core->now.mono);
		if (pace->now + pace->before == 0)
			pace_free(core, pace);
	}
}

void
pace_note(struct core *core, struct slice transport, struct slice nexthop)
{
	struct pace *pace;
	struct buf key;

	make_key(&key, transport, nexthop);
	HASH_FIND(hh, core->paces, key.ptr, key.len, pace);
	if (pace == NULL && HASH_COUNT(core->paces) >= PACES_MAX &&
		mono_since_ns(core->now.mono, core->paces_purged) >= PACE_NS) {
		purge(core);
		core->paces_purged = core->now.mono;
	}
	if (pace == NULL && HASH_COUNT(core->paces) < PACES_MAX) {
		pace = mem_new(sizeof(*pace));
		pace->key = mem_strndup((const char *)key.ptr, key.len);
		pace->begun = core->now.mono;
		HASH_ADD_KEYPTR(hh, core->paces, pace->key, key.len, pace);
	}
	if (pace != NULL) {
		turn(pace, core->now.mono);
		pace->now++;
	}
	buf_done(&key);
}

double
pace_per_s(struct core *core, struct slice transport, struct slice nexthop)
{
	struct pace *pace;
	struct buf key;
	double part;

	make_key(&key, transport, nexthop);
	HASH_FIND(hh, core->paces, key.ptr, key.len, pace);
	buf_done(&key);
	if (pace == NULL)
		return 0;
	turn(pace, core->now.mono);
	part = (double)mono_since_ns(core->now.mono, pace->begun) / (double)PACE_NS;
	return ((double)pace->now + (double)pace->before * (1 - part)) / 60;
}

void
pace_free_all(struct core *core)
{
	struct pace *pace, *next;

	HASH_ITER(hh, core->paces, pace, next)
	{
		pace_free(core, pace);
	}
}
