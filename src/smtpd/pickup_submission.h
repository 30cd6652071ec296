/*
 * pickup_submission.h - one submission on its way to qmgr, from a socket or a file (driver)
 *
 * Bytes go in, content goes on to qmgr in parts as far as credit allows, and the end is one answer:
 * an exit code of sysexits.h and words. Fields that are missing (Received, Message-ID, Date, From)
 * are put in front, and addresses of the header are rewritten, but for mail that an import takes
 * over as it is. The fields of an import are
 * taken only from whom its owner says so, and only while that sender is still there: what a killed
 * import had begun must not come in behind its successor's back.
 *
 * Ownership: embedded by its owner; pickup_submission_done() frees.
 * Limits:    message_size_limit, SUBMISSION_RECIPIENTS_MAX.
 * Callbacks: `answer` once, from the channel, the timer, or within pickup_submission_bytes().
 * Threads:   main thread.
 */
#ifndef OSTLER_SMTPD_PICKUP_SUBMISSION_H
#define OSTLER_SMTPD_PICKUP_SUBMISSION_H

#include "config/snapshot.h"
#include "message/header.h"
#include "message/queue_id.h"
#include "message/submission.h"
#include "route/header_rewrite.h"
#include "ipc/intake_client.h"

struct pickup_submission {
	struct role *role;
	const struct config *config;
	uint32_t uid;
	void (*answer)(void *ctx, uint8_t exit_code, struct slice text);
	bool (*is_there)(void *ctx); /* the sender; NULL: a file */
	void *ctx;
	bool may_import; /* set by the owner */
	struct submission_reader reader;
	struct intake_txn txn;
	struct header_rewrite header_rewrite;
	struct buf raw;	    /* on its way through it */
	struct buf content; /* not yet passed on */
	struct header header;
	struct hash_stream *hash;
	uint64_t length;
	uint64_t queue_id, id_token;
	char id_text[QUEUE_ID_TEXT_SIZE];
	bool is_over; /* answered, or waiting for qmgr */
};

void pickup_submission_init(struct pickup_submission *submission, struct role *role,
	const struct config *config, struct intake_client *intake, uint32_t uid);
void pickup_submission_done(struct pickup_submission *submission);

/* Takes bytes; all of them, unless it is over. */
void pickup_submission_bytes(struct pickup_submission *submission, struct slice bytes);

/* No more bytes come: a submission that is not whole is refused. */
void pickup_submission_end(struct pickup_submission *submission);

/* Whether more bytes may be given now; passes on what credit allows. */
bool pickup_submission_wants(struct pickup_submission *submission);

#endif
