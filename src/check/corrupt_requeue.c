/*
 * corrupt_requeue.c - `ostler corrupt requeue`: what was kept of a message becomes mail again
 *
 * The way of an import (cli/import_ledger.h), for one message at a time: it is noted that the
 * message may be on its way, it enters the queue on hold, it is noted that it is there, it is
 * released; that is noted, too, and only then its file goes. The key names the bytes of the file.
 */
#include "check/corrupt.h"

#include "base/hash.h"
#include "base/mem.h"
#include "cli/import_queue.h"
#include "cli/import_submit.h"
#include "message/dsn.h"
#include "message/recipient_list.h"
#include "message/submission.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { REQUEUE_ROUNDS_MAX = 5 };

struct requeue {
	struct corrupt_dir *dir;
	struct cli *cli;
	struct import_ledger ledger;
	bool is_forced;
	unsigned done, refused;
};

static void
requeue_key(const struct corrupt_item *item, char key[SUBMISSION_KEY_MAX + 1])
{
	(void)snprintf(key, SUBMISSION_KEY_MAX + 1, "corrupt:%016" PRIx64 ":%016" PRIx64,
		item->file.queue_id, hash_bytes(buf_slice(&item->bytes)));
}

/* --- the submission ---------------------------------------- */

/* Recipients that still want it. */
static enum err
requeue_recipients(const struct corrupt_item *item, struct buf *recipients, struct buf *details,
	uint32_t *ret_count)
{
	struct recipient_list_reader reader = recipient_list_read(item->file.message.recipients);
	struct recipient_entry entry;
	uint32_t count = 0;
	enum err err = ERR_OK;

	while (err == ERR_OK && recipient_list_next(&reader, &entry) == ERR_OK) {
		struct submission_recipient recipient = { entry.address, entry.notify };
		struct submission_detail detail = { entry.original, entry.orcpt };

		if (item->is_finished != NULL && item->is_finished[entry.number])
			continue;
		/* Its members follow; there is nothing to deliver to. */
		if ((entry.notify & DSN_NOTIFY_EXPANDED) != 0)
			continue;
		count++;
		err = submission_put_recipient(recipients, &recipient);
		if (err == ERR_OK)
			err = submission_put_detail(details, &detail);
	}
	*ret_count = count;
	return err;
}

static enum err
requeue_write(const struct submission *submission, struct slice content, struct buf *bytes)
{
	struct submission_writer writer;
	enum err err;

	submission_writer_init(&writer);
	err = submission_put_head(&writer, bytes, submission);
	if (err == ERR_OK)
		err = submission_put_content(&writer, bytes, content);
	if (err == ERR_OK)
		err = submission_put_end(&writer, bytes);
	submission_writer_done(&writer);
	return err;
}

/* ERR_NOTFOUND: all recipients are finished. ERR_IO: the content is not to be had. */
static enum err
requeue_submission(const struct requeue *requeue, const struct corrupt_item *item, const char *key,
	struct buf *bytes)
{
	const struct envelope *envelope = &item->envelope;
	struct submission submission = {
		.flags = SUBMISSION_IMPORT | (envelope->body_8bit ? SUBMISSION_8BIT : 0),
		.sender = envelope->sender,
		.created_us = item->file.message.arrival_us,
		.ret = envelope->ret,
		.envid = envelope->envid,
		.import = { .flags = SUBMISSION_IMPORT_HOLD | SUBMISSION_IMPORT_EXACT
				     | (envelope->smtputf8 ? SUBMISSION_IMPORT_SMTPUTF8 : 0),
			.arrival_us = item->file.message.arrival_us,
			.created_us = envelope->created_us,
			.key = slice_str(key) },
	};
	struct buf recipients, details, content;
	struct hash_damage damage;
	enum err err;

	buf_init(&recipients, SUBMISSION_HEAD_MAX);
	buf_init(&details, SUBMISSION_HEAD_MAX);
	buf_init(&content, 0);
	err = requeue_recipients(item, &recipients, &details, &submission.recipient_count);
	if (err == ERR_OK && submission.recipient_count == 0)
		err = ERR_NOTFOUND;
	if (err == ERR_OK && !corrupt_item_content(requeue->dir, item, &content, &damage))
		err = ERR_IO;
	submission.recipients = buf_slice(&recipients);
	submission.import.details = buf_slice(&details);
	if (err == ERR_OK)
		err = requeue_write(&submission, buf_slice(&content), bytes);
	buf_done(&recipients);
	buf_done(&details);
	buf_done(&content);
	return err;
}

/* --- its steps ---------------------------------------- */

/* BEGUN becomes KEPT: it is durable, on hold. */
static int
requeue_keep(struct requeue *requeue, struct import_ledger_entry *entry, struct slice bytes)
{
	struct import_submit_job job = { .bytes = bytes, .is_wanted = true };
	char before[IMPORT_QUEUE_EPOCH_SIZE] = "", after[IMPORT_QUEUE_EPOCH_SIZE] = "";
	int exit_code = import_queue_epoch(requeue->cli, before);
	uint64_t id;

	/* An earlier run may have brought it there. */
	if (exit_code == EX_OK && !entry->is_ours)
		exit_code = import_queue_find(&requeue->ledger);
	for (unsigned round = 0; exit_code == EX_OK && round < REQUEUE_ROUNDS_MAX
				 && entry->state == IMPORT_LEDGER_BEGUN;
		round++) {
		exit_code = import_submit_all(requeue->cli, &job, 1);
		if (exit_code == EX_OK && job.exit_code == EX_OK
			&& queue_id_parse(slice_str(job.text), &id) == ERR_OK)
			import_ledger_keep(&requeue->ledger, entry, job.text);
		else if (job.exit_code != EX_TEMPFAIL)
			break;
		else
			(void)nanosleep(&(struct timespec) { .tv_nsec = 200000000 }, NULL);
		if (exit_code == EX_OK && entry->state == IMPORT_LEDGER_BEGUN)
			exit_code = import_queue_find(&requeue->ledger);
	}
	if (exit_code == EX_OK && entry->state == IMPORT_LEDGER_BEGUN)
		exit_code = cli_complain(requeue->cli,
			job.exit_code != EX_OK ? job.exit_code : EX_PROTOCOL, "not taken: %s",
			job.text);
	if (exit_code == EX_OK)
		exit_code = import_ledger_flush(&requeue->ledger);
	/* A queue manager that was replaced did not know the key that the former one took. */
	if (exit_code == EX_OK)
		exit_code = import_queue_epoch(requeue->cli, after);
	if (exit_code == EX_OK && strcmp(before, after) != 0)
		exit_code = import_queue_find(&requeue->ledger);
	return exit_code;
}

/* KEPT becomes FREE. */
static int
requeue_release(struct requeue *requeue, struct import_ledger_entry *entry)
{
	char id[QUEUE_ID_TEXT_SIZE + 1];
	int exit_code;

	(void)snprintf(id, sizeof(id), "%s ", entry->id);
	exit_code = import_queue_change(requeue->cli, "release", slice_str(id));
	if (exit_code != EX_OK)
		return exit_code;
	import_ledger_free(&requeue->ledger, entry);
	return import_ledger_flush(&requeue->ledger);
}

/* Its file is not needed any more, nor that of its content. */
static int
requeue_remove(struct requeue *requeue, const struct corrupt_item *item)
{
	const char *large = strncmp(item->large, "corrupt/", 8) == 0 ? item->large + 8 : NULL;

	if ((unlinkat(requeue->dir->fd, item->name, 0) < 0 && errno != ENOENT)
		|| (large != NULL && unlinkat(requeue->dir->fd, large, 0) < 0 && errno != ENOENT)
		|| fsync(requeue->dir->fd) < 0)
		return cli_complain(requeue->cli, EX_IOERR, "corrupt/%s: %s", item->name,
			strerrordesc_np(errno));
	return EX_OK;
}

static int
requeue_item(struct requeue *requeue, const struct corrupt_item *item)
{
	char key[SUBMISSION_KEY_MAX + 1];
	struct import_ledger_entry *entry;
	struct buf bytes;
	int exit_code = EX_OK;
	enum err err;

	requeue_key(item, key);
	buf_init(&bytes, 0);
	err = requeue_submission(requeue, item, key, &bytes);
	if (err < 0) {
		buf_done(&bytes);
		requeue->refused++;
		return cli_complain(requeue->cli, EX_OK, "%s: %s", item->name,
			err == ERR_NOTFOUND ? "all of its recipients are finished"
			: err == ERR_IO	    ? "the file of its content is not as it was"
					    : err_meaning(err));
	}
	entry = import_ledger_find(&requeue->ledger, key);
	if (entry == NULL) {
		import_ledger_begin(&requeue->ledger, key, false);
		exit_code = import_ledger_flush(&requeue->ledger);
		entry = import_ledger_find(&requeue->ledger, key);
	}
	if (exit_code == EX_OK && entry->state == IMPORT_LEDGER_BEGUN)
		exit_code = requeue_keep(requeue, entry, buf_slice(&bytes));
	buf_done(&bytes);
	if (exit_code == EX_OK && entry->state == IMPORT_LEDGER_KEPT) {
		(void)printf("%s: requeued as %s\n", item->name, entry->id);
		exit_code = requeue_release(requeue, entry);
	}
	if (exit_code == EX_OK)
		exit_code = requeue_remove(requeue, item);
	requeue->done += exit_code == EX_OK;
	return exit_code;
}

static int
requeue_one(struct requeue *requeue, const char *id)
{
	const char *name = corrupt_dir_find(requeue->dir, id);
	struct corrupt_item item;
	int exit_code = EX_OK;

	if (name == NULL || corrupt_kind_of(name) != CORRUPT_MESSAGE) {
		requeue->refused++;
		return cli_complain(requeue->cli, EX_OK, "%s: %s", id,
			name == NULL ? "not under corrupt/" : "not a message");
	}
	if (!corrupt_item_read(requeue->dir, name, &item)) {
		requeue->refused++;
		(void)cli_complain(requeue->cli, EX_OK, "%s: %s", name, strerrordesc_np(errno));
	} else if (item.fate == CORRUPT_BROKEN) {
		requeue->refused++;
		(void)cli_complain(requeue->cli, EX_OK, "%s: %s", name, item.why);
	} else if (item.fate == CORRUPT_DOUBTFUL && !requeue->is_forced) {
		requeue->refused++;
		(void)cli_complain(requeue->cli, EX_OK, "%s: %s; --force sends it as it is", name,
			item.why);
	} else {
		exit_code = requeue_item(requeue, &item);
	}
	corrupt_item_done(&item);
	return exit_code;
}

int
corrupt_requeue(struct corrupt_dir *dir, char *const *ids, size_t count, bool is_forced)
{
	struct requeue requeue = { .dir = dir, .cli = dir->cli, .is_forced = is_forced };
	char path[64];
	int exit_code;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/requeue.ledger", dir->fd);
	exit_code = import_ledger_open(&requeue.ledger, dir->cli, path);
	if (exit_code != EX_OK)
		return exit_code;
	for (size_t i = 0; exit_code == EX_OK && i < count; i++)
		exit_code = requeue_one(&requeue, ids[i]);
	import_ledger_close(&requeue.ledger);
	if (exit_code != EX_OK)
		return exit_code;
	return requeue.refused > 0 ? EX_DATAERR : EX_OK;
}
