/*
 * smtp_worker.h - what the files of the delivering process share: worker, sessions, work (driver)
 *
 * A session is granted by qmgr, connects to one host after the other until one answers, and then
 * carries work after work. What a host defers goes on to the next one (rule Y13); the session ends
 * behind such a work, so that the next begins with the best host again. A work whose session turned
 * out to be over before it was begun is given back. A result is kept until qmgr says that it is
 * durable; when qmgr dies, its successor gets an inventory first (smtp_ipc.c).
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
#include "base/rand.h"
#include "base/stream.h"
#include "config/snapshot.h"
#include "ipc/kept.h"
#include "ipc/notice_sender.h"
#include "ipc/role.h"
#include "message/downgrade.h"
#include "message/envelope.h"
#include "smtp/smtp_proto.h"
#include "smtp/smtp_text.h"

#include <sys/queue.h>
#include <uthash.h>

enum { SMTP_SESSIONS_MAX = 20000, SMTP_HOSTS_MAX = 64, SMTP_PIECE = 64 * 1024 };
enum { WORK_RELAY_SIZE = SMTP_PROTO_HOST_MAX + 8 };

struct smtp_host {
	struct ipc_host ipc;
	char text[SMTP_PROTO_HOST_MAX]; /* name[address] */
};

/* What is final about one recipient. */
struct work_outcome {
	struct smtp_outcome said; /* undecided: still to be tried */
	const struct smtp_host *host;
	bool dsn_passed; /* that host speaks DSN */
	bool is_relayed; /* by SMTP: that host is not the last one */
};

/* One transaction that was given to us; it may take several hosts. */
struct work {
	struct buf payload; /* of its frame; everything below points into it */
	struct ipc_work ipc;
	struct envelope envelope;
	struct ipc_recipient *recipients;
	struct work_outcome *outcomes;
	uint32_t count, left;            /* recipients, and those without an outcome */
	struct ipc_recipient *remaining; /* those, for a further host */
	struct smtp_job job;
	int fd; /* large content, or -1 */
	struct wall received_at;
	bool is_begun;
	/* Trouble of the site, unless one of its hosts worked (rule Y8). */
	bool site_works;
	char site_dsn[SMTP_REPLY_DSN_SIZE];
	char site_reason[SMTP_PROTO_TEXT_MAX];
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
	struct buf failed_hosts; /* list of ipc_host, not told yet */
	struct smtp_host *hosts;
	unsigned host_count, host_next;
	const struct smtp_host *host; /* the one in use */
	unsigned addresses_tried, greetings_tried;
	struct stream stream;
	struct loop_fd watch;
	struct loop_timer timer;
	bool has_proto;
	struct smtp_proto proto;
	struct work *current, *next;
	bool is_announced; /* session_ready was sent */
	bool is_greeted;   /* this host has let us in */
	bool is_spent;     /* it went on to a second-best host: one work, then over */
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
	struct smtp_text text; /* where stuffing is in the content */
	bool body_prepared;
	/* For a host without 8BITMIME: how its 8-bit content is made 7-bit, or NULL. */
	struct downgrade *downgrade;
	bool is_surveying; /* a large one, a piece in each turn of the loop */
	uint64_t survey_at;
	/* Why no host could be used. */
	char fail_dsn[SMTP_REPLY_DSN_SIZE];
	char fail_reason[SMTP_PROTO_TEXT_MAX];
	UT_hash_handle hh;
	LIST_ENTRY(smtp_session) link;
};

struct worker {
	struct role *role;
	struct config *config;
	struct rng rng; /* the order of hosts of equal preference */
	LIST_HEAD(, smtp_session) all;
	struct smtp_session *sessions; /* hash by number; not those of a dead qmgr */
	uint32_t session_count;
	struct kept kept;
	struct notice_sender notices;
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
/*
 * 8-bit content for a host that takes none is looked through before its envelope is sent. False:
 * not all of it yet, call again; true: the work's job says how large it becomes, or why it cannot
 * go there. Other content is not looked at.
 */
bool body_survey(struct smtp_session *session);
void body_done(struct smtp_session *session);
/* The content does not match its checksum (known before anything was sent, or at its end). */
bool body_is_corrupt(struct smtp_session *session);

/* smtp_work.c */
/* NULL: malformed; the descriptor is closed then. */
struct work *work_new(struct slice payload, int fd, struct wall now);
void work_free(struct work *work);
/* The transaction for the host that is connected now: what is left. */
const struct smtp_job *work_begin(struct work *work);
/* Takes over what the conversation found out; with a next host, deferred recipients stay left. */
void work_settle(struct smtp_session *session, bool has_next_host);
/* No further host could be used. */
void work_defer_rest(struct smtp_session *session, const char *dsn, const char *reason);
void work_put_outcomes(const struct work *work, struct buf *list);
void work_relay_name(const struct smtp_host *host, char text[WORK_RELAY_SIZE]);

/* smtp_ipc.c */
void report_result(struct smtp_session *session, bool is_corrupt);
void report_ready(struct smtp_session *session);
/* Of the conversation that is over, if notify_classes wants that. */
void report_notice(struct smtp_session *session);
void report_end(struct smtp_session *session, enum ipc_session_cause cause);
void ipc_qmgr_frame(struct role *role, uint16_t type, struct slice payload, int fd);
void ipc_inventory(struct worker *worker);

#endif
