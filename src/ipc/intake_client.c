/* intake_client.c - see intake_client.h */
#include "ipc/intake_client.h"

#include "base/check.h"

static bool
block_has_ids(const struct intake_block *block)
{
	return block->next < block->end;
}

static void
send(struct intake_client *client, enum ipc_type type, const void *message)
{
	channel_send(&client->role->qmgr, type, message);
}

static void
stop_waiting(struct intake_txn *txn)
{
	if (txn->waiting.len > 0)
		TAILQ_REMOVE(&txn->client->waiting, txn, link);
	buf_done(&txn->waiting);
}

static void
forget(struct intake_txn *txn)
{
	stop_waiting(txn);
	if (txn->txn != 0)
		HASH_DELETE(hh, txn->client->open, txn);
	txn->txn = 0;
	txn->has_parts = txn->is_committed = false;
}

static void
answer(struct intake_txn *txn, enum ipc_intake_status status, struct slice text)
{
	forget(txn);
	txn->answer(txn, status, text);
}

/* The new qmgr did not say in time whether it has them. */
static void
query_time_up(void *ctx)
{
	struct intake_client *client = ctx;
	struct intake_txn *txn, *next;

	HASH_ITER(hh, client->open, txn, next)
	{
		if (txn->is_committed && (txn->epoch != client->epoch ||
						 !channel_is_open(&client->role->qmgr)))
			answer(txn, IPC_INTAKE_TEMPORARY,
				SLICE_LIT("Error: queue file write error"));
	}
}

static void
ask_for_ids(struct intake_client *client)
{
	if (client->is_asked || !channel_is_open(&client->role->qmgr))
		return;
	client->is_asked = true;
	send(client, IPC_TYPE_id_request, &(struct ipc_id_request){ .count = INTAKE_IDS_LOW });
}

static void
ask_again(void *ctx)
{
	ask_for_ids(ctx);
}

void
intake_client_init(struct intake_client *client, struct role *role,
	void (*changed)(struct intake_client *client))
{
	*client = (struct intake_client){ .role = role, .changed = changed, .txn_next = 1 };
	TAILQ_INIT(&client->waiting);
	loop_timer_init(&client->query_timer, role->loop, query_time_up, client);
	loop_timer_init(&client->ask_timer, role->loop, ask_again, client);
}

/* Whether a queue manager that did not get all of it has it nevertheless. */
static void
ask(struct intake_txn *txn)
{
	struct intake_client *client = txn->client;

	stop_waiting(txn);
	send(client, IPC_TYPE_intake_query,
		&(struct ipc_intake_query){ .txn = txn->txn, .queue_id = txn->queue_id,
			.token = txn->token });
	if (!client->query_timer.is_set)
		loop_timer_set_ns(&client->query_timer, INTAKE_QUERY_S * NS_PER_S);
}

void
intake_client_qmgr_up(struct intake_client *client)
{
	struct intake_txn *txn, *next;

	client->epoch++;
	client->state = IPC_INTAKE_DURABLE;
	client->credit = 0;
	client->is_asked = false;
	/* Blocks stay ours: no other qmgr hands them out again. */
	if (!block_has_ids(&client->spare))
		ask_for_ids(client);
	HASH_ITER(hh, client->open, txn, next)
	{
		if (txn->waiting.len > 0 && !txn->has_parts)
			txn->epoch = client->epoch; /* nobody has seen it yet */
		else if (txn->is_committed)
			ask(txn);
	}
	client->changed(client);
}

void
intake_client_qmgr_down(struct intake_client *client)
{
	client->credit = 0;
	client->is_asked = false;
	loop_timer_set_ns(&client->query_timer, INTAKE_QUERY_S * NS_PER_S);
	client->changed(client);
}

static void
take_block(struct intake_client *client, const struct ipc_id_block *block)
{
	client->is_asked = false;
	if (block->count == 0) { /* not now */
		loop_timer_set_ns(&client->ask_timer, INTAKE_ASK_AGAIN_S * NS_PER_S);
		return;
	}
	struct intake_block *to = block_has_ids(&client->ids) ? &client->spare : &client->ids;

	*to = (struct intake_block){ block->first, block->first + block->count, block->token };
}

static void
take_result(struct intake_client *client, const struct ipc_intake_result *result)
{
	struct intake_txn *txn;

	HASH_FIND(hh, client->open, &result->txn, sizeof(result->txn), txn);
	if (txn != NULL && txn->is_committed)
		answer(txn, (enum ipc_intake_status)result->status, result->text);
}

static void
spend(struct intake_client *client, uint64_t bytes)
{
	client->credit -= (int64_t)bytes;
}

static void
send_commit(struct intake_txn *txn, const struct ipc_intake_commit *commit)
{
	spend(txn->client, ipc_commit_cost(commit));
	send(txn->client, IPC_TYPE_intake_commit, commit);
}

static void
send_waiting(struct intake_client *client)
{
	struct ipc_intake_commit commit;
	struct intake_txn *txn;

	while (intake_client_has_credit(client) &&
		(txn = TAILQ_FIRST(&client->waiting)) != NULL) {
		CHECK(ipc_decode(IPC_TYPE_intake_commit, buf_slice(&txn->waiting), &commit) ==
			ERR_OK);
		send_commit(txn, &commit);
		stop_waiting(txn);
	}
}

bool
intake_client_frame(struct intake_client *client, uint16_t type, const union ipc_any *any)
{
	if (type == IPC_TYPE_id_block)
		take_block(client, &any->id_block);
	else if (type == IPC_TYPE_credit)
		client->credit += (int64_t)any->credit.bytes;
	else if (type == IPC_TYPE_intake_result)
		take_result(client, &any->intake_result);
	else if (type == IPC_TYPE_intake_state)
		client->state = (enum ipc_intake_status)any->intake_state.status;
	else
		return false;
	send_waiting(client);
	client->changed(client);
	return true;
}

uint64_t
intake_client_id(struct intake_client *client, uint64_t *ret_token)
{
	uint64_t id = 0;

	if (!block_has_ids(&client->ids)) {
		client->ids = client->spare;
		client->spare = (struct intake_block){ 0 };
	}
	*ret_token = client->ids.token;
	if (block_has_ids(&client->ids))
		id = client->ids.next++;
	if (!block_has_ids(&client->spare) &&
		client->ids.end - client->ids.next < INTAKE_IDS_LOW)
		ask_for_ids(client);
	return id;
}

bool
intake_client_has_ids(const struct intake_client *client)
{
	return block_has_ids(&client->ids) || block_has_ids(&client->spare);
}

bool
intake_client_may_offer(const struct intake_client *client)
{
	return channel_is_open(&client->role->qmgr) &&
	       (intake_client_has_ids(client) || client->state != IPC_INTAKE_DURABLE);
}

bool
intake_client_has_credit(const struct intake_client *client)
{
	return client->credit > 0 && channel_is_open(&client->role->qmgr);
}

/* --- transactions ----------------------------------------------------------------------------- */

static void
register_txn(struct intake_txn *txn)
{
	struct intake_client *client = txn->client;

	if (txn->txn != 0)
		return;
	txn->txn = client->txn_next++;
	txn->epoch = client->epoch;
	HASH_ADD(hh, client->open, txn, sizeof(txn->txn), txn);
}

void
intake_txn_part(struct intake_txn *txn, struct slice content)
{
	register_txn(txn);
	txn->has_parts = true;
	if (txn->epoch != txn->client->epoch)
		return; /* its first parts are lost: refused at the end */
	spend(txn->client, content.len);
	send(txn->client, IPC_TYPE_intake_data,
		&(struct ipc_intake_data){ .txn = txn->txn, .content = content });
}

void
intake_txn_commit(struct intake_txn *txn, struct ipc_intake_commit *commit)
{
	struct intake_client *client = txn->client;

	register_txn(txn);
	txn->queue_id = commit->queue_id;
	txn->token = commit->token;
	txn->is_committed = true;
	commit->txn = txn->txn;
	/* What an old qmgr had in parts is unknown to the new one: the query says so. */
	if (txn->has_parts && txn->epoch != client->epoch &&
		channel_is_open(&client->role->qmgr)) {
		ask(txn);
	} else if (intake_client_has_credit(client)) {
		send_commit(txn, commit);
	} else {
		ipc_encode(&txn->waiting, IPC_TYPE_intake_commit, false, commit);
		buf_consume(&txn->waiting, IPC_HEADER_SIZE);
		TAILQ_INSERT_TAIL(&client->waiting, txn, link);
		if (!channel_is_open(&client->role->qmgr) && !client->query_timer.is_set)
			loop_timer_set_ns(&client->query_timer, INTAKE_QUERY_S * NS_PER_S);
	}
}

void
intake_txn_abort(struct intake_txn *txn)
{
	if (txn->txn != 0 && !txn->is_committed && txn->epoch == txn->client->epoch)
		send(txn->client, IPC_TYPE_intake_abort,
			&(struct ipc_intake_abort){ .txn = txn->txn });
	forget(txn);
}
