/*
 * smtp_proto.h - one SMTP or LMTP conversation, without a socket (core)
 *
 *   GREETING -> HELLO (-> HELO) -> IDLE -> ENVELOPE -> BODY -> DOT -> IDLE
 *                                    ^        `--> RSET --'      `--> QUIT -> OVER
 *
 * The driver gives it the peer's bytes and writes `out`; when wants_body is set it writes the
 * content behind `out`, ends it with CRLF.CRLF (dots stuffed) and says smtp_proto_body_sent(). When
 * `finished` is set every recipient has its outcome. With PIPELINING MAIL, all RCPT and DATA are
 * one write. Replies are parsed strictly (smtp_reply.h); what is out of order ends the session.
 *
 * Ownership: the struct is embedded; a job is borrowed until `finished`. Texts of outcomes belong
 *            to the outcome and are freed by the next job or smtp_proto_done().
 * Errors:    a bad peer is an outcome (4xx) and the end of the session, never an error here.
 * Limits:    SMTP_PROTO_TEXT_MAX bytes a text.
 * Source:    RFC 5321, 2920, 1870, 6152, 6531, 3461, 2033; rules J17, Y8.
 * Threads:   pure.
 */
#ifndef OSTLER_SMTP_SMTP_PROTO_H
#define OSTLER_SMTP_SMTP_PROTO_H

#include "base/buf.h"
#include "ipc/messages.h"
#include "message/transcript.h"
#include "smtp/smtp_reply.h"

enum { SMTP_PROTO_TEXT_MAX = 1500, SMTP_PROTO_HOST_MAX = 400 };

enum smtp_state {
	SMTP_GREETING,
	SMTP_HELLO, /* EHLO or LHLO was sent */
	SMTP_HELO,
	SMTP_IDLE,
	SMTP_ENVELOPE,
	SMTP_BODY,
	SMTP_DOT,
	SMTP_RSET,
	SMTP_QUIT,
	SMTP_OVER,
	SMTP_STATE_COUNT,
};

/* What a time-out is counted for: Postfix's parameters. */
enum smtp_stage {
	SMTP_STAGE_HELO, /* greeting too */
	SMTP_STAGE_MAIL,
	SMTP_STAGE_RCPT,
	SMTP_STAGE_DATA_INIT,
	SMTP_STAGE_DATA_XFER,
	SMTP_STAGE_DATA_DONE,
	SMTP_STAGE_RSET,
	SMTP_STAGE_QUIT,
	SMTP_STAGE_IDLE,
};

enum smtp_cap {
	SMTP_CAP_PIPELINING = 1,
	SMTP_CAP_SIZE = 2,
	SMTP_CAP_8BITMIME = 4,
	SMTP_CAP_SMTPUTF8 = 8,
	SMTP_CAP_DSN = 16,
	SMTP_CAP_PRIORITY = 32,
};

/* A transaction to be made. */
struct smtp_job {
	struct slice sender;
	const struct ipc_recipient *recipients;
	uint32_t count;
	uint64_t size; /* head and content */
	bool smtputf8, needs_smtputf8, body_8bit;
	const char *misfit; /* why it cannot be made 7-bit, as this host needs it; or NULL */
	bool is_whatif; /* nothing behind RCPT: its replies are the outcomes (Y16) */
	uint8_t ret;
	struct slice envid;
	int priority; /* MT-PRIORITY; 0, as if there were none: not passed on */
};

struct smtp_outcome {
	bool decided;
	bool accepted; /* RCPT was */
	enum ipc_outcome_kind kind;
	char dsn[SMTP_REPLY_DSN_SIZE];
	char *reason;     /* as in the log */
	char *diagnostic; /* the peer's reply, or NULL */
};

struct smtp_proto {
	bool is_lmtp;
	enum smtp_state state;
	const char *helo_name;
	char host[SMTP_PROTO_HOST_MAX]; /* name[address], for texts */
	unsigned caps;
	uint64_t size_limit; /* of the server; 0: none told */
	struct smtp_reply reply;
	struct buf out;

	const struct smtp_job *job;
	struct smtp_outcome *outcomes;
	uint32_t outcome_count;
	uint32_t sent, answered; /* commands of the envelope: MAIL, RCPT ..., DATA */
	uint32_t accepted;
	uint32_t dot_next;       /* LMTP: whose reply is next */
	bool mail_accepted;
	bool is_discarded;       /* DATA was taken although nobody is left: an empty one follows */
	bool wants_body;
	bool finished;
	bool is_ending;          /* the peer said 421, or something it must not say */
	bool bounces_5xx_greeting; /* smtp_skip_5xx_greeting = no; set behind init */
	bool is_refused;         /* and so it was: every recipient bounces with site_reason */

	/* For a notice (notify_classes = protocol); kept if the driver says so behind init. */
	bool is_improper; /* somebody broke the protocol, we perhaps */
	struct transcript transcript;

	/* Trouble of the site (rule Y8); empty reason: none. */
	char site_dsn[SMTP_REPLY_DSN_SIZE];
	char site_reason[SMTP_PROTO_TEXT_MAX];
};

void smtp_proto_init(struct smtp_proto *proto, bool is_lmtp, const char *helo_name,
	struct slice host);
void smtp_proto_done(struct smtp_proto *proto);

void smtp_proto_input(struct smtp_proto *proto, struct slice bytes);

/* In state IDLE only. It may be `finished` at once (size, SMTPUTF8, 8BITMIME). */
void smtp_proto_begin(struct smtp_proto *proto, const struct smtp_job *job);
void smtp_proto_body_sent(struct smtp_proto *proto);

/* QUIT is sent; the state is QUIT until its reply. In state IDLE only. */
void smtp_proto_quit(struct smtp_proto *proto);

/* The connection is gone, or the peer too slow: open recipients are deferred, the state is OVER. */
void smtp_proto_lost(struct smtp_proto *proto, bool timed_out);

enum smtp_stage smtp_proto_stage(const struct smtp_proto *proto);

/* The greeting or the hello failed: try another host. */
bool smtp_proto_handshake_failed(const struct smtp_proto *proto);

#endif
