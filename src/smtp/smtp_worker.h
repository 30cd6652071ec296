/*
 * smtp_worker.h - what the files of the delivering process share: worker, sessions, work (driver)
 *
 * A session is granted by qmgr, connects to one host after the other until one answers, and then
 * carries work after work. A result is kept until qmgr says that it is durable; when qmgr dies, its
 * successor gets an inventory first (smtp_ipc.c).
 *
 *   CONNECTING -> TALKING -> (next host: CONNECTING) ... -> CLOSED
 *
 * Ownership: the worker owns sessions and kept results; a session owns its works.
 * Limits:    one work in progress and one waiting per session; SMTP_SESSIONS_MAX sessions.
 * Threads:   main thread.
 */
#ifndef OSTLER_SMTP_SMTP_WORKER_H
#define OSTLER_SMTP_SMTP_WORKER_H

#include "base/hash.h"
#include "config/snapshot.h"
#include "ipc/role.h"
#include "message/envelope.h"
#include "smtp/smtp_proto.h"

#include <sys/queue.h>
#include <uthash.h>

enum { SMTP_SESSIONS_MAX = 20000, SMTP_HOSTS_MAX = 64, SMTP_PIECE = 64 * 1024 };

/* One transaction that was given to us. */
struct work {
	struct buf payload; /* of its frame; everything below points into it */
	struct ipc_work ipc;
	struct envelope envelope;
	struct ipc_recipient *recipients;
	struct smtp_job job;
	int fd; /* large content, or -1 */
	struct wall received_at;
	bool is_begun;
};

struct smtp_host {
	struct ipc_host ipc;
	char text[SMTP_PROTO_HOST_MAX]; /* name[address] */
};

enum session_phase { SESSION_CONNECTING, SESSION_TALKING, SESSION_CLOSED };

struct smtp_session {
	struct worker *worker;
	uint64_t number; /* qmgr's; 0: that qmgr is dead */
	enum session_phase phase;
	const struct config_service *service; /* for parameters; NULL: gone from master.cf */
	char *transport;
	bool is_lmtp;
	struct buf host_bytes;
	struct smtp_host *hosts;
	unsigned host_count, host_next;
	const struct smtp_host *host; /* the one in use */
	unsigned addresses_tried, greetings_tried;
	int fd;
	struct loop_fd watch;
	struct loop_timer timer;
	bool has_proto;
	struct smtp_proto proto;
	struct work *current, *next;
	bool is_announced; /* session_ready was sent */
	bool is_closing;   /* no further work */
	uint32_t use_count;
	struct mono opened_at;
	struct instant started_at;  /* of the connection attempts */
	struct wall connected_at;   /* greeting and hello done */
	/* Writing the content of `current`. */
	struct buf piece;           /* stuffed or read bytes, and the end */
	size_t piece_at;
	size_t body_at;             /* of head + content + end, when written as they are */
	uint64_t file_at;
	struct hash_stream *file_hash;
	bool body_prepared;
	/* Why no host could be used. */
	char fail_dsn[SMTP_REPLY_DSN_SIZE];
	char fail_reason[SMTP_PROTO_TEXT_MAX];
	UT_hash_handle hh;
	LIST_ENTRY(smtp_session) link;
};

/* A result that is not durable yet. */
struct kept {
	struct {
		uint64_t queue_id;
		uint64_t attempt;
	} key;
	struct buf frame; /* payload of the result frame */
	UT_hash_handle hh;
};

struct worker {
	struct role *role;
	struct config *config;
	LIST_HEAD(, smtp_session) all;
	struct smtp_session *sessions; /* hash by number; not those of a dead qmgr */
	uint32_t session_count;
	struct kept *kept;
	bool is_stopping;
	struct loop_timer stop_timer;
	struct loop_hook hook;
};

/* smtp_session.c */
void session_open(struct worker *worker, const struct ipc_session_open *open);
void session_give(struct smtp_session *session, struct work *work);
void session_close_soon(struct smtp_session *session); /* when its transaction is over */
void session_orphan(struct smtp_session *session);     /* qmgr died */
void session_abort(struct smtp_session *session);      /* at once, nothing is reported */
bool session_is_past_dot(const struct smtp_session *session);

/* smtp_body.c: writes commands and content; ERR_AGAIN: the socket is full, ERR_IO: lost. */
enum err body_write(struct smtp_session *session);
void body_begin(struct smtp_session *session);
/* The content does not match its checksum (known before anything was sent, or at its end). */
bool body_is_corrupt(struct smtp_session *session);

/* smtp_ipc.c */
struct work *work_new(const struct ipc_work *ipc, struct slice payload, int fd, struct wall now);
void work_free(struct work *work);
void report_result(struct smtp_session *session, bool is_corrupt);
void report_ready(struct smtp_session *session);
void report_end(struct smtp_session *session, enum ipc_session_cause cause);
void ipc_qmgr_frame(struct role *role, uint16_t type, struct slice payload, int fd);
void ipc_inventory(struct worker *worker);
void kept_free_all(struct worker *worker);

#endif
