/*
 * messages.h - typed messages between roles, their codec, and the lists inside them
 *
 * Each row of messages.def becomes a struct ipc_NAME and a type IPC_TYPE_NAME. A frame is a
 * header of 8 bytes {u32 payload length, u16 type, u8 descriptors (0 or 1), u8 zero} and the
 * payload. Decoding treats every byte as hostile: unknown types, wrong lengths and left-over
 * bytes are errors, and the receiver closes the channel.
 *
 * Ownership: slices in a decoded struct point into the frame and are valid until the callback that
 *            got it returns. Encoders copy.
 * Limits:    IPC_PAYLOAD_MAX per frame; one descriptor per frame.
 */
#ifndef OSTLER_IPC_MESSAGES_H
#define OSTLER_IPC_MESSAGES_H

#include "base/buf.h"
#include "base/err.h"
#include "base/wire.h"

enum {
	IPC_HEADER_SIZE = 8,
	IPC_PAYLOAD_MAX = 14 * 1024 * 1024,
	IPC_CONTENT_PART_MAX = 32 * 1024,   /* one intake_data */
	IPC_CONTENT_INLINE_MAX = 128 * 1024, /* beyond it content is a file */
	/* Lists that must fit into a frame with what else is in it. */
	IPC_RECIPIENTS_MAX = 12 * 1024 * 1024,          /* of a commit */
	IPC_WORK_RECIPIENTS_MAX = 1000,                 /* of a work */
	IPC_OUTCOMES_MAX = 2 * 1024 * 1024 - 64 * 1024, /* of a result */
	IPC_HEAD_MAX = 256 * 1024,                      /* of a commit */
};

#define IPC_MESSAGE(name, number, meaning) IPC_TYPE_##name = number,
#define IPC_U8(field, meaning)
#define IPC_U16(field, meaning)
#define IPC_U32(field, meaning)
#define IPC_U64(field, meaning)
#define IPC_BYTES(field, meaning)
#define IPC_FD(meaning)
#define IPC_END(name)
enum ipc_type {
#include "ipc/messages.def"
};
#undef IPC_MESSAGE
#undef IPC_U8
#undef IPC_U16
#undef IPC_U32
#undef IPC_U64
#undef IPC_BYTES
#undef IPC_FD
#undef IPC_END

#define IPC_FD(meaning)
#define IPC_MESSAGE(name, number, meaning) struct ipc_##name {
#define IPC_U8(field, meaning) uint8_t field;
#define IPC_U16(field, meaning) uint16_t field;
#define IPC_U32(field, meaning) uint32_t field;
#define IPC_U64(field, meaning) uint64_t field;
#define IPC_BYTES(field, meaning) struct slice field;
#define IPC_END(name) \
	} \
	;
#include "ipc/messages.def"
#undef IPC_MESSAGE
#undef IPC_U8
#undef IPC_U16
#undef IPC_U32
#undef IPC_U64
#undef IPC_BYTES
#undef IPC_FD
#undef IPC_END

/* The largest of the structs, for one decode buffer that fits all. */
union ipc_any {
#define IPC_MESSAGE(name, number, meaning) struct ipc_##name name;
#define IPC_U8(field, meaning)
#define IPC_U16(field, meaning)
#define IPC_U32(field, meaning)
#define IPC_U64(field, meaning)
#define IPC_BYTES(field, meaning)
#define IPC_FD(meaning)
#define IPC_END(name)
#include "ipc/messages.def"
#undef IPC_MESSAGE
#undef IPC_U8
#undef IPC_U16
#undef IPC_U32
#undef IPC_U64
#undef IPC_BYTES
#undef IPC_FD
#undef IPC_END
};

enum ipc_intake_status {
	IPC_INTAKE_DURABLE = 0,
	IPC_INTAKE_FULL = 1,      /* 452: no room */
	IPC_INTAKE_TEMPORARY = 2, /* 451: could not be stored */
	IPC_INTAKE_UNKNOWN = 3,   /* answer to intake_query: not durable, will never be */
};

enum ipc_protocol { IPC_PROTOCOL_SMTP = 0, IPC_PROTOCOL_LMTP = 1, IPC_PROTOCOL_LOCAL = 2 };

enum ipc_session_cause {
	IPC_SESSION_FAILED = 0,  /* no host could be used; dsn and reason say why */
	IPC_SESSION_IDLE = 1,    /* nothing to do for too long */
	IPC_SESSION_LIMIT = 2,   /* reuse limit reached */
	IPC_SESSION_CLOSED = 3,  /* on session_close or stop */
	IPC_SESSION_LOST = 4,    /* the peer ended it between transactions */
};

/* What became of the agent or the runner with a transaction of local. */
enum ipc_helper {
	IPC_HELPER_FINE = 0,
	IPC_HELPER_DIED = 1,    /* with the message in its hands */
	IPC_HELPER_MISSING = 2, /* it was not there: nothing was tried */
};

enum ipc_resolve_status {
	IPC_RESOLVE_OK = 0,
	IPC_RESOLVE_PERMANENT = 1,
	IPC_RESOLVE_TEMPORARY = 2,
};

enum ipc_outcome_kind {
	IPC_OUTCOME_DELIVERED = 0,
	IPC_OUTCOME_BOUNCED = 1,
	IPC_OUTCOME_DEFERRED = 2,
};

/* Appends header and payload of one frame. `message` is the struct that belongs to `type`. */
void ipc_encode(struct buf *buf, enum ipc_type type, bool has_fd, const void *message);

/*
 * Decodes a payload into the struct that belongs to `type` (any member of union ipc_any).
 * ERR_NOTFOUND: unknown type; ERR_SYNTAX: the payload is not one of it.
 */
MUST_USE enum err ipc_decode(uint16_t type, struct slice payload, void *ret_message);

/* "intake_commit", or "unknown". */
const char *ipc_type_name(uint16_t type);

/* Whether the type may carry a descriptor. */
bool ipc_type_has_fd(uint16_t type);

/* What a commit takes of the intake's credit; an intake_data takes its content. */
uint64_t ipc_commit_cost(const struct ipc_intake_commit *commit);

/* One host of a site. A unix-domain next hop has family AF_UNIX and its path as name. */
struct ipc_host {
	struct slice name;    /* as looked up, for logs and TLS */
	uint16_t family;      /* AF_INET, AF_INET6, AF_UNIX */
	uint16_t port;        /* host order */
	uint16_t preference;  /* of its MX record */
	struct slice address; /* 4 or 16 bytes, network order; empty for AF_UNIX */
};

/* One recipient of a work; `number` is its place in the message's recipient list. */
struct ipc_recipient {
	uint32_t number;
	struct slice address;  /* where to */
	struct slice original; /* before rewriting, may be empty */
	struct slice orcpt;    /* DSN ORCPT as given, may be empty */
	uint8_t notify;        /* DSN NOTIFY bits (rule N60), 0: not given */
};

/* What became of one recipient. */
struct ipc_outcome {
	uint32_t number;
	uint8_t kind;            /* enum ipc_outcome_kind */
	uint8_t dsn_passed;      /* 1: the next hop speaks DSN and reports success itself (N63) */
	struct slice dsn;        /* x.y.z */
	struct slice reason;     /* as in the log line's parentheses */
	struct slice remote_mta; /* host name, or empty; of a delivery: it was relayed there */
	struct slice diagnostic; /* the peer's reply, or empty */
};

/* The word of the log's status= for an outcome; a what-if (sendmail -bv) has its own. */
const char *ipc_outcome_word(enum ipc_outcome_kind kind, bool is_whatif, bool soft_bounce);

/* Lists are elements back to back; `next` cuts one off and returns ERR_NOTFOUND at the end. */
void ipc_host_put(struct buf *list, const struct ipc_host *host);
MUST_USE enum err ipc_host_next(struct slice *list, struct ipc_host *ret_host);
void ipc_recipient_put(struct buf *list, const struct ipc_recipient *recipient);
MUST_USE enum err ipc_recipient_next(struct slice *list, struct ipc_recipient *ret_recipient);
void ipc_outcome_put(struct buf *list, const struct ipc_outcome *outcome);
MUST_USE enum err ipc_outcome_next(struct slice *list, struct ipc_outcome *ret_outcome);
void ipc_bytes_put(struct buf *list, struct slice bytes);
MUST_USE enum err ipc_bytes_next(struct slice *list, struct slice *ret_bytes);
void ipc_number_put(struct buf *list, uint32_t number);
MUST_USE enum err ipc_number_next(struct slice *list, uint32_t *ret_number);

#endif
