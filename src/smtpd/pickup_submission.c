/* pickup_submission.c - see pickup_submission.h */
#include "smtpd/pickup_submission.h"

#include "base/check.h"
#include "message/address.h"
#include "message/envelope.h"
#include "message/received.h"
#include "message/recipient_filter.h"
#include "message/verp.h"
#include "route/canonical.h"
#include "route/rewrite.h"

#include <sysexits.h>

static void
answer(struct pickup_submission *submission, uint8_t code, struct slice text)
{
	submission->is_over = true;
	submission->answer(submission->ctx, code, text);
}

static void
txn_answer(struct intake_txn *txn, enum ipc_intake_status status, struct slice text)
{
	struct pickup_submission *submission =
		(struct pickup_submission *)((char *)txn -
					     offsetof(struct pickup_submission, txn));

	if (status == IPC_INTAKE_DURABLE)
		answer(submission, EX_OK,
			text.len > 0 ? text : slice_str(submission->id_text));
	else
		answer(submission, EX_TEMPFAIL, text);
}

void
pickup_submission_init(struct pickup_submission *submission, struct role *role,
	const struct config *config, struct intake_client *intake, uint32_t uid)
{
	submission->role = role;
	submission->config = config;
	submission->uid = uid;
	submission->txn = (struct intake_txn){ .client = intake, .answer = txn_answer };
	submission_reader_init(&submission->reader);
	header_rewrite_init(&submission->header_rewrite);
	buf_init(&submission->raw, 0);
	buf_init(&submission->content, 0);
	header_init(&submission->header);
	submission->hash = hash_stream_new();
}

void
pickup_submission_done(struct pickup_submission *submission)
{
	intake_txn_abort(&submission->txn);
	submission_reader_done(&submission->reader);
	header_rewrite_done(&submission->header_rewrite);
	buf_done(&submission->raw);
	buf_done(&submission->content);
	hash_stream_free(submission->hash);
}

static const struct submission_import *
import_of(const struct pickup_submission *submission)
{
	return &submission->reader.submission.import;
}

static bool
is_import(const struct pickup_submission *submission)
{
	return submission_reader_has_head(&submission->reader) &&
	       (submission->reader.submission.flags & SUBMISSION_IMPORT) != 0;
}

static bool
is_exact(const struct pickup_submission *submission)
{
	return (import_of(submission)->flags & SUBMISSION_IMPORT_EXACT) != 0;
}

/* --- the end of a submission ------------------------------------------------------------------ */

static void
put_head(struct pickup_submission *submission, struct buf *head, struct slice sender)
{
	const struct config *config = submission->config;
	struct wall now = loop_now(submission->role->loop).wall;
	uint32_t fields = submission->header.fields;
	struct received received = {
		.myhostname = config_str(config, NULL, PARAM_MYHOSTNAME),
		.mail_name = config_str(config, NULL, PARAM_MAIL_NAME),
		.queue_id = slice_str(submission->id_text),
		.at = now,
		.local = true,
		.uid = submission->uid,
	};
	struct slice id = header_message_id(&submission->header);

	if (is_exact(submission)) {
		log_event(&submission->role->log.log, EV_smtpd_message_id,
			LOG_Z(submission->id_text), LOG_S(id));
		return;
	}
	CHECK(received_format(&received, head) == ERR_OK);
	if (!(fields & HEADER_MESSAGE_ID))
		CHECK(received_format_message_id(head, now, received.queue_id,
			      received.myhostname, &id) == ERR_OK);
	log_event(&submission->role->log.log, EV_smtpd_message_id, LOG_Z(submission->id_text),
		LOG_S(id));
	if (!(fields & HEADER_DATE))
		CHECK(received_format_date(head, now, NULL) == ERR_OK);
	if (!(fields & HEADER_FROM))
		CHECK(received_format_from(head, sender,
			      submission->reader.submission.full_name) == ERR_OK);
}

static void
put_import(struct pickup_submission *submission, struct envelope *envelope)
{
	const struct submission_import *import = import_of(submission);
	uint64_t now_us = envelope->arrival_us;

	if (!is_import(submission))
		return;
	/* These times count for expiry: nothing comes from the future. */
	if (import->arrival_us > 0 && import->arrival_us < now_us)
		envelope->arrival_us = import->arrival_us;
	if (import->created_us > 0 && import->created_us < now_us)
		envelope->created_us = import->created_us;
	envelope->import_key = import->key;
	envelope->smtputf8 = (import->flags & SUBMISSION_IMPORT_SMTPUTF8) != 0;
	if (import->flags & SUBMISSION_IMPORT_HOLD)
		envelope->flags |= ENVELOPE_HOLD;
}

/* Addresses beyond ASCII need SMTPUTF8 on the way (RFC 6531 3.2); a program cannot ask for it. */
static bool
needs_utf8(struct slice sender, struct slice recipients)
{
	struct recipient_list_reader reader = recipient_list_read(recipients);
	struct recipient_entry entry;
	bool needs = address_is_utf8(sender);

	while (!needs && recipient_list_next(&reader, &entry) == ERR_OK)
		needs = address_is_utf8(entry.address);
	return needs;
}

static void
put_envelope(struct pickup_submission *submission, struct buf *bytes, struct slice sender,
	struct slice recipients)
{
	const struct submission *given = &submission->reader.submission;
	uint64_t now_us = loop_now(submission->role->loop).wall.us;
	struct envelope envelope;

	envelope_init(&envelope);
	envelope.sender = sender;
	envelope_stamp(&envelope, now_us,
		config_time_s(submission->config, NULL, PARAM_DELAY_WARNING_TIME));
	envelope.uid_plus1 = (uint64_t)submission->uid + 1;
	envelope.size = submission->length;
	envelope.ret = given->ret;
	envelope.envid = given->envid;
	envelope.body_8bit =
		(given->flags & SUBMISSION_8BIT) != 0 || submission->header.eight_bit;
	envelope.message_id = header_message_id(&submission->header);
	envelope.hop_count = submission->header.hop_count;
	envelope.priority = header_priority(&submission->header, true);
	envelope.rewrite = ENVELOPE_REWRITE_LOCAL;
	envelope.head_length = submission->header.head_length;
	envelope.verp = given->verp;
	if (given->flags & SUBMISSION_RECORD)
		envelope.flags |= ENVELOPE_RECORD;
	if (given->flags & SUBMISSION_WHATIF)
		envelope.flags |= ENVELOPE_WHATIF;
	envelope.smtputf8 = needs_utf8(sender, recipients);
	put_import(submission, &envelope);
	CHECK(envelope_encode(&envelope, bytes) == ERR_OK);
}

/* Mail that was accepted elsewhere has had its aliases expanded there. */
static enum err
put_exact(const struct recipient_entry *entry, struct slice given, struct buf *list)
{
	struct recipient_entry exact = *entry;
	struct slice original = exact.original.len > 0 ? exact.original : given;

	exact.original = slice_equal(original, exact.address) ? slice_make(NULL, 0) : original;
	return recipient_list_put(list, &exact);
}

/* Not what came in elsewhere, nor what is never delivered. */
static bool
gets_copies(const struct pickup_submission *submission)
{
	return !is_import(submission) &&
	       !(submission->reader.submission.flags & SUBMISSION_WHATIF);
}

static enum err
put_expanded(struct pickup_submission *submission, const struct recipient_entry *entry,
	struct recipient_filter *filter, struct buf *list)
{
	struct rewrite_result result;
	struct buf expanded;
	uint32_t count = 0;
	enum err err;

	buf_init(&expanded, 0);
	err = rewrite_recipient(submission->config, entry, &expanded, &result);
	if (err == ERR_OK && gets_copies(submission))
		err = rewrite_recipient_copies(submission->config, entry->address, &expanded);
	if (err == ERR_OK)
		err = recipient_filter_pass(filter, buf_slice(&expanded), list, &count);
	buf_done(&expanded);
	return err;
}

static enum err
put_all_recipients(
	struct pickup_submission *submission, struct recipient_filter *filter, struct buf *list)
{
	struct slice rest = submission->reader.submission.recipients;
	struct slice details = import_of(submission)->details;
	struct submission_recipient given;
	struct submission_detail detail;
	enum err err = ERR_OK;

	/* Beyond the limit it is refused; the rest makes no difference. */
	while (list->len <= IPC_RECIPIENTS_MAX &&
		(err = submission_recipient_next(&rest, &given)) == ERR_OK) {
		struct recipient_entry entry = { .notify = given.notify };
		struct buf complete;

		buf_init(&complete, 0);
		if (submission_detail_next(&details, &detail) == ERR_OK) {
			entry.original = detail.original;
			entry.orcpt = detail.orcpt;
		}
		err = rewrite_complete(submission->config, given.address, &complete);
		entry.address = buf_slice(&complete);
		if (err == ERR_OK && is_exact(submission))
			err = put_exact(&entry, given.address, list);
		else if (err == ERR_OK)
			err = put_expanded(submission, &entry, filter, list);
		buf_done(&complete);
		if (err != ERR_OK)
			return err;
	}
	return err == ERR_NOTFOUND ? ERR_OK : err;
}

static enum err
put_sender_copies(struct pickup_submission *submission, struct slice sender,
	struct recipient_filter *filter, struct buf *list)
{
	struct buf copies;
	uint32_t count = 0;
	enum err err;

	if (!gets_copies(submission) || list->len == 0)
		return ERR_OK;
	buf_init(&copies, 0);
	err = rewrite_sender_copies(submission->config, sender, &copies);
	if (err == ERR_OK)
		err = recipient_filter_pass(filter, buf_slice(&copies), list, &count);
	buf_done(&copies);
	return err;
}

static enum err
put_recipients(struct pickup_submission *submission, struct slice sender, struct buf *list)
{
	const struct config *config = submission->config;
	struct recipient_filter filter = { 0 };
	enum err err;

	recipient_filter_begin(&filter, config_bool(config, NULL, PARAM_ENABLE_ORIGINAL_RECIPIENT),
		config_int(config, NULL, PARAM_DUPLICATE_FILTER_LIMIT));
	err = put_all_recipients(submission, &filter, list);
	if (err == ERR_OK)
		err = put_sender_copies(submission, sender, &filter, list);
	recipient_filter_done(&filter);
	return err;
}

static enum err
put_sender(const struct pickup_submission *submission, struct buf *sender)
{
	struct slice given = submission->reader.submission.sender;

	if (is_exact(submission))
		return rewrite_complete(submission->config, given, sender);
	return canonical_rewrite(
		submission->config, CANONICAL_ENVELOPE_SENDER, given, sender, NULL);
}

/* Rules V1, V2; sendmail has checked it too, but is not to be believed. */
static bool
is_bad_verp(const struct pickup_submission *submission)
{
	const struct submission *given = &submission->reader.submission;
	struct slice filter =
		config_str(submission->config, NULL, PARAM_VERP_DELIMITER_FILTER);

	return given->verp.len > 0 &&
	       (given->sender.len == 0 || verp_check(given->verp, filter) != NULL);
}

static void
commit(struct pickup_submission *submission)
{
	struct buf sender, recipients, envelope, head;

	buf_init(&sender, 0);
	buf_init(&recipients, 0);
	buf_init(&envelope, 0);
	buf_init(&head, 0);
	submission->is_over = true;
	if (put_sender(submission, &sender) != ERR_OK ||
		put_recipients(submission, buf_slice(&sender), &recipients) != ERR_OK ||
		recipients.len == 0) {
		answer(submission, EX_DATAERR, SLICE_LIT("sender or recipients are not usable"));
	} else if (is_bad_verp(submission)) {
		answer(submission, EX_USAGE,
			SLICE_LIT("VERP needs a sender and characters of "
				  "verp_delimiter_filter"));
	} else if (recipients.len > IPC_RECIPIENTS_MAX) {
		answer(submission, EX_DATAERR, SLICE_LIT("too many recipients for one message"));
	} else {
		log_event(&submission->role->log.log, EV_pickup_from, LOG_Z(submission->id_text),
			LOG_U(submission->uid), LOG_S(buf_slice(&sender)));
		put_head(submission, &head, buf_slice(&sender));
		put_envelope(
			submission, &envelope, buf_slice(&sender), buf_slice(&recipients));
		struct ipc_intake_commit frame = {
			.queue_id = submission->queue_id,
			.token = submission->id_token,
			.envelope = buf_slice(&envelope),
			.recipients = buf_slice(&recipients),
			.head = buf_slice(&head),
			.content = buf_slice(&submission->content),
			.content_length = submission->length,
			.content_hash = hash_stream_value(submission->hash),
			.dotted = submission->header.dotted,
		};

		intake_txn_commit(&submission->txn, &frame);
		buf_clear(&submission->content);
	}
	buf_done(&sender);
	buf_done(&recipients);
	buf_done(&envelope);
	buf_done(&head);
}

static void
whole(struct pickup_submission *submission)
{
	uint64_t hops = config_int(submission->config, NULL, PARAM_HOPCOUNT_LIMIT);

	header_finish(&submission->header);
	submission->queue_id =
		intake_client_id(submission->txn.client, &submission->id_token);
	if (submission->header.hop_count > hops) {
		answer(submission, EX_UNAVAILABLE, SLICE_LIT("too many hops: mail loops"));
	} else if (is_import(submission) && !submission->is_there(submission->ctx)) {
		answer(submission, EX_TEMPFAIL, SLICE_LIT("the sender has gone"));
	} else if (submission->queue_id == 0) {
		answer(submission, EX_TEMPFAIL, SLICE_LIT("the queue manager is not there"));
	} else {
		(void)queue_id_format(submission->queue_id, submission->id_text);
		commit(submission);
	}
}

/* --- bytes ------------------------------------------------------------------------------------ */

static void
pass_on(struct pickup_submission *submission)
{
	while (submission->content.len >= IPC_CONTENT_PART_MAX &&
		intake_client_has_credit(submission->txn.client)) {
		intake_txn_part(&submission->txn,
			slice_head(buf_slice(&submission->content), IPC_CONTENT_PART_MAX));
		buf_consume(&submission->content, IPC_CONTENT_PART_MAX);
	}
}

bool
pickup_submission_wants(struct pickup_submission *submission)
{
	if (submission->is_over)
		return false;
	pass_on(submission);
	return submission->content.len < IPC_CONTENT_PART_MAX &&
	       intake_client_may_offer(submission->txn.client);
}

/* As submission_read(); the content goes through header_rewrite, unless it comes as it is. */
static enum err
read_content(struct pickup_submission *submission, struct slice *bytes)
{
	enum err err;

	buf_clear(&submission->raw);
	err = submission_read(&submission->reader, bytes, &submission->raw);
	if (is_exact(submission)) {
		buf_add(&submission->content, buf_slice(&submission->raw));
		return err;
	}
	header_rewrite_feed(&submission->header_rewrite, submission->config,
		buf_slice(&submission->raw), &submission->content);
	if (err == ERR_OK)
		header_rewrite_finish(&submission->header_rewrite, submission->config,
			&submission->content);
	return err;
}

void
pickup_submission_bytes(struct pickup_submission *submission, struct slice bytes)
{
	uint64_t limit = config_int(submission->config, NULL, PARAM_MESSAGE_SIZE_LIMIT);
	size_t before = submission->content.len;
	enum err err;

	if (submission->is_over)
		return;
	if (!intake_client_has_ids(submission->txn.client)) {
		answer(submission, EX_TEMPFAIL, SLICE_LIT("Error: queue file write error"));
		return;
	}
	err = read_content(submission, &bytes);
	struct slice added = slice_from(buf_slice(&submission->content), before);

	header_feed(&submission->header, added);
	hash_stream_add(submission->hash, added);
	submission->length += added.len;
	if (is_import(submission) && (!submission->may_import || submission->is_there == NULL))
		answer(submission, EX_NOPERM,
			SLICE_LIT("only root, the mail owner and the user that started Ostler "
				  "may import mail"));
	else if (limit > 0 && submission->length > limit)
		answer(submission, EX_UNAVAILABLE, SLICE_LIT("message file too big"));
	else if (err == ERR_OK)
		whole(submission);
	else if (err == ERR_AGAIN)
		pass_on(submission);
	else
		answer(submission, EX_DATAERR, slice_str(err_meaning(err)));
}

void
pickup_submission_end(struct pickup_submission *submission)
{
	if (!submission->is_over)
		answer(submission, EX_DATAERR, SLICE_LIT("the submission is cut off"));
}
