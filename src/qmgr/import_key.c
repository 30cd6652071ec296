/*
 * import_key.c - an import key is taken once: what `ostler import` gave, however often it comes
 *
 * A message of an import is on hold until the tool knows that it is durable, so the tool finds it
 * by its key after an interruption and does not send it again. What this cannot see is mail that a
 * killed tool had under way when its successor looked. That is seen here: a second message with a
 * key that this process has taken is not stored, and its sender hears the queue ID of the first.
 *
 * KNOWN LIMITS: the keys of the newest IMPORT_KEYS_MAX messages are known, and of one process; the
 * tool looks again when the queue manager was replaced under it.
 */
#include "base/mem.h"
#include "qmgr/core_priv.h"

enum { IMPORT_KEYS_MAX = 65536 };

struct import_key {
	uint64_t queue_id;
	bool is_durable;
	TAILQ_ENTRY(import_key) link;
	UT_hash_handle hh;
	size_t len;
	char text[];
};

static void
import_key_free(struct core *core, struct import_key *key)
{
	HASH_DELETE(hh, core->import_keys, key);
	if (key->is_durable)
		TAILQ_REMOVE(&core->import_order, key, link);
	mem_free(key);
}

enum import_key_fate
import_key_claim(struct core *core, struct slice text, uint64_t queue_id,
	struct import_key **ret_key, uint64_t *ret_other)
{
	struct import_key *key;

	HASH_FIND(hh, core->import_keys, text.ptr, text.len, key);
	if (key != NULL && !key->is_durable)
		return IMPORT_KEY_BUSY;
	if (key != NULL) {
		*ret_other = key->queue_id;
		return IMPORT_KEY_KNOWN;
	}
	key = mem_new(sizeof(*key) + text.len);
	key->queue_id = queue_id;
	key->len = text.len;
	memcpy(key->text, text.ptr, text.len);
	HASH_ADD_KEYPTR(hh, core->import_keys, key->text, key->len, key);
	*ret_key = key;
	return IMPORT_KEY_NEW;
}

void
import_key_keep(struct core *core, struct import_key *key)
{
	key->is_durable = true;
	TAILQ_INSERT_TAIL(&core->import_order, key, link);
	if (++core->import_count > IMPORT_KEYS_MAX) {
		core->import_count--;
		import_key_free(core, TAILQ_FIRST(&core->import_order));
	}
}

void
import_key_drop(struct core *core, struct import_key *key)
{
	import_key_free(core, key);
}

void
import_key_free_all(struct core *core)
{
	struct import_key *key, *next;

	HASH_ITER(hh, core->import_keys, key, next)
	{
		import_key_free(core, key);
	}
}
