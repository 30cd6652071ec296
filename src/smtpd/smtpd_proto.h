/*
 * smtpd_proto.h - one SMTP server conversation, without a socket (core)
 *
 *   COMMAND --DATA--> DATA --CRLF.CRLF--> WAIT --smtpd_proto_result()--> COMMAND
 *      `-----BDAT--> BDAT --LAST chunk------^
 *
 * The driver gives it what the client sent and writes `out`. Content comes out in `content`, lines
 * in CRLF, dots unstuffed, without any bare CR or LF; the driver empties it as it goes. In WAIT no
 * input is taken until the fate of the message is known.
 *
 * Only <CR><LF>.<CR><LF> ends DATA, whatever surrounds it and however it is split. A bare LF is
 * a line end within the content (smtpd_forbid_bare_newline: normalize, note, no) or an error
 * (reject); a bare CR becomes a blank. Input behind EHLO, DATA or before the greeting is refused.
 *
 * Ownership: the struct is embedded; smtpd_proto_done() frees. ops are called from within
 *            smtpd_proto_input() and must not call back.
 * Limits:    line_length_limit bytes a command line, smtpd_recipient_limit, message_size_limit,
 *            counts of errors.
 * Replies:   with soft_bounce each 5xx is said as 4xx.
 * Source:    RFC 5321, 2920, 1870, 6152, 6531, 3461, 3030; rules J1 to J5.
 * Threads:   pure.
 */
#ifndef OSTLER_SMTPD_SMTPD_PROTO_H
#define OSTLER_SMTPD_SMTPD_PROTO_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "config/snapshot.h"
#include "ipc/messages.h"
#include "message/header.h"
#include "message/queue_id.h"
#include "message/recipient_filter.h"
#include "message/transcript.h"
#include "route/header_rewrite.h"

#include <sys/socket.h>

enum { SMTPD_TEXT_MAX = 256 };

enum smtpd_state {
	SMTPD_COMMAND,
	SMTPD_DATA,
	SMTPD_BDAT,  /* within a chunk */
	SMTPD_WAIT,  /* for the fate of the message */
	SMTPD_CLOSE, /* write `out`, then close */
};

enum smtpd_command_id {
	SMTPD_HELO,
	SMTPD_EHLO,
	SMTPD_MAIL,
	SMTPD_RCPT,
	SMTPD_DATA_COMMAND,
	SMTPD_BDAT_COMMAND,
	SMTPD_RSET,
	SMTPD_NOOP,
	SMTPD_VRFY,
	SMTPD_HELP,
	SMTPD_QUIT,
	SMTPD_UNKNOWN,
	SMTPD_COMMAND_COUNT,
};

struct smtpd_ops {
	/* IPC_INTAKE_DURABLE, or how mail is refused for now. */
	enum ipc_intake_status (*intake_state)(void *ctx);
	/* A queue ID, or 0: mail cannot be taken now. */
	uint64_t (*queue_id)(void *ctx);
	/* All content is in or behind `content`; the answer is smtpd_proto_result(). */
	void (*commit)(void *ctx);
	/* Whether the client may send one more message now. */
	bool (*may_send)(void *ctx);
	/* What was passed on of the content is void. */
	void (*abort)(void *ctx);
};

struct smtpd_proto {
	const struct config *config;
	const struct config_service *service;
	struct log *log;
	const struct smtpd_ops *ops;
	void *ctx;
	struct instant now; /* set by the driver before each call */

	/* The client. */
	char name[SMTPD_TEXT_MAX];    /* verified, or "unknown" */
	char address[SMTPD_TEXT_MAX]; /* as text */
	uint16_t port;
	bool is_trusted; /* in mynetworks */
	bool may_verp;   /* in smtpd_authorized_verp_clients */
	bool may_hurry;  /* in smtpd_priority_clients */
	enum config_bare_newline bare_newline;
	bool rewrites_header; /* in local_header_rewrite_clients */

	enum smtpd_state state;
	struct buf out;
	bool is_esmtp;
	char helo[SMTPD_TEXT_MAX];
	unsigned errors, junk;
	unsigned troubles; /* CONFIG_NOTIFY_ bits of the errors that there were */
	struct transcript transcript; /* kept if the driver says so behind init */
	bool must_sleep; /* smtpd_error_sleep_time before the next reply; cleared by the driver */
	const char *last_command;
	uint32_t counts[SMTPD_COMMAND_COUNT], failed[SMTPD_COMMAND_COUNT];

	/* The transaction. */
	bool has_mail;
	struct buf sender, envid, recipients;
	uint32_t recipient_count; /* as given by the client */
	uint32_t stored_count;    /* after expansion, without duplicates */
	uint32_t overshoot;       /* refused beyond smtpd_recipient_limit */
	struct buf only_recipient;
	struct recipient_filter filter;
	uint8_t ret;
	bool body_8bit, smtputf8;
	char verp[2]; /* delimiters; verp[0] == 0: no VERP */
	uint8_t priority; /* as in the envelope; 0: none */
	uint64_t queue_id;
	char id_text[QUEUE_ID_TEXT_SIZE];

	/* Its content. */
	struct buf content;
	struct header_rewrite header_rewrite;
	struct buf rewritten; /* what comes out of it */
	struct header header;
	struct hash_stream *hash;
	uint64_t length;
	bool at_line;      /* the next byte begins a line */
	bool after_crlf;   /* the line before ended in CRLF */
	uint64_t chunk_left;
	bool chunk_last;
	bool in_bdat;      /* a transaction by BDAT has begun */
	char refusal[SMTPD_TEXT_MAX]; /* reply at its end instead of storing it; "": none */
	bool refusal_closes;          /* and that is the end of the session */
	bool is_bare_noted;           /* smtpd_forbid_bare_newline = note: once per message */
};

void smtpd_proto_init(struct smtpd_proto *proto);
void smtpd_proto_done(struct smtpd_proto *proto);

/* The greeting; `early`: the client has sent something already. */
void smtpd_proto_greet(struct smtpd_proto *proto, bool early);

/*
 * Takes bytes and says how many: it stops in WAIT, when it must sleep, and before an incomplete
 * command or end of line. A full line that is too long is taken, and refused.
 */
size_t smtpd_proto_input(struct smtpd_proto *proto, struct slice bytes);

/* In WAIT: the fate of the message. */
void smtpd_proto_result(
	struct smtpd_proto *proto, enum ipc_intake_status status, struct slice text);

/* 421 and the end: stop, time-out. */
void smtpd_proto_close(struct smtpd_proto *proto, const char *reply);

/* Forgets the transaction. */
void smtpd_proto_reset(struct smtpd_proto *proto);

/* The envelope, and the fields in front of the content, of the message in WAIT. */
/* XVERP or XVERP=ab (rules V1, V2); MT-PRIORITY (RFC 6710). NULL: fine; else the reply. */
const char *smtpd_proto_verp(struct smtpd_proto *proto, struct slice word, struct slice value);
const char *smtpd_proto_priority(struct smtpd_proto *proto, struct slice value);

void smtpd_proto_envelope(const struct smtpd_proto *proto, struct buf *envelope);
void smtpd_proto_head(const struct smtpd_proto *proto, struct buf *head);

/* For smtpd_data.c. */
size_t smtpd_data_input(struct smtpd_proto *proto, struct slice bytes);
size_t smtpd_bdat_input(struct smtpd_proto *proto, struct slice bytes);
void smtpd_data_begin(struct smtpd_proto *proto);
/* smtpd_forbid_bare_newline_reject_code and its text. */
void smtpd_bare_newline_reply(const struct smtpd_proto *proto, char reply[SMTPD_TEXT_MAX]);
/* For replies that count as an error of the client; false: they were one too many. `trouble`: a
 * CONFIG_NOTIFY_ bit. */
bool smtpd_proto_count_error(struct smtpd_proto *proto, unsigned trouble);
void smtpd_data_end(struct smtpd_proto *proto);

/* "name[address]" statistics of the disconnect line: " ehlo=1 mail=1 ... commands=5". */
void smtpd_proto_statistics(const struct smtpd_proto *proto, struct buf *text);

#endif
