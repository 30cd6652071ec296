/* kept.c - see kept.h */
#include "ipc/kept.h"

#include "base/check.h"
#include "base/mem.h"

#include <uthash.h>

struct kept_key {
	uint64_t queue_id;
	uint64_t attempt;
};

struct kept_entry {
	struct kept_key key;
	uint64_t token;
	struct buf frame; /* payload of the result frame */
	UT_hash_handle hh;
};

static void
drop(struct kept *kept, struct kept_entry *entry)
{
	HASH_DELETE(hh, kept->entries, entry);
	buf_done(&entry->frame);
	mem_free(entry);
}

void
kept_send(struct kept *kept, struct channel *qmgr, uint64_t token,
	const struct ipc_result *result)
{
	struct kept_entry *entry = MEM_NEW(struct kept_entry);

	entry->key = (struct kept_key){ result->queue_id, result->attempt };
	entry->token = token;
	buf_init(&entry->frame, 0);
	ipc_encode(&entry->frame, IPC_TYPE_result, false, result);
	buf_consume(&entry->frame, IPC_HEADER_SIZE);
	HASH_ADD(hh, kept->entries, key, sizeof(entry->key), entry);
	channel_send(qmgr, IPC_TYPE_result, result);
}

void
kept_forget(struct kept *kept, const struct ipc_result_ack *ack)
{
	struct kept_key key = { ack->queue_id, ack->attempt };
	struct kept_entry *entry;

	HASH_FIND(hh, kept->entries, &key, sizeof(key), entry);
	if (entry != NULL)
		drop(kept, entry);
}

bool
kept_is_empty(const struct kept *kept)
{
	return kept->entries == NULL;
}

void
kept_done(struct kept *kept)
{
	struct kept_entry *entry, *next;

	HASH_ITER(hh, kept->entries, entry, next)
	{
		drop(kept, entry);
	}
}

/* --- inventory -------------------------------------------------------------------------------- */

void
kept_item_running(struct channel *qmgr, const struct ipc_work *work,
	const struct ipc_recipient *recipients, uint32_t count)
{
	struct buf numbers;

	buf_init(&numbers, 0);
	for (uint32_t i = 0; i < count; i++)
		ipc_number_put(&numbers, recipients[i].number);
	channel_send(qmgr, IPC_TYPE_inventory_item,
		&(struct ipc_inventory_item){ .queue_id = work->queue_id,
			.attempt = work->attempt,
			.token = work->token,
			.recipients = buf_slice(&numbers) });
	buf_done(&numbers);
}

static void
send_item(struct channel *qmgr, uint64_t token, const struct ipc_result *result)
{
	struct slice list = result->outcomes;
	struct ipc_outcome outcome;
	struct buf numbers;

	buf_init(&numbers, 0);
	while (ipc_outcome_next(&list, &outcome) == ERR_OK)
		ipc_number_put(&numbers, outcome.number);
	channel_send(qmgr, IPC_TYPE_inventory_item,
		&(struct ipc_inventory_item){ .queue_id = result->queue_id,
			.attempt = result->attempt,
			.token = token,
			.recipients = buf_slice(&numbers),
			.finished = 1 });
	buf_done(&numbers);
}

void
kept_finish_inventory(struct kept *kept, struct channel *qmgr, uint32_t running)
{
	struct kept_entry *entry, *next;
	struct ipc_result result;
	uint32_t count = running;

	HASH_ITER(hh, kept->entries, entry, next)
	{
		CHECK(ipc_decode(IPC_TYPE_result, buf_slice(&entry->frame), &result) == ERR_OK);
		send_item(qmgr, entry->token, &result);
		count++;
	}
	HASH_ITER(hh, kept->entries, entry, next)
	{
		CHECK(ipc_decode(IPC_TYPE_result, buf_slice(&entry->frame), &result) == ERR_OK);
		result.session = 0; /* this queue manager did not grant it */
		channel_send(qmgr, IPC_TYPE_result, &result);
	}
	channel_send(qmgr, IPC_TYPE_inventory_end, &(struct ipc_inventory_end){ .count = count });
}
