/*
 * role.h - how a role process starts, and its two channels: to master and to qmgr
 *
 * master starts `ostlerd --role NAME --slot N` with its end of a socket pair as descriptor 3. The
 * role reads frames from it until role_start (configuration, log, directories, listeners, qmgr
 * channel), then runs its loop. role_open() does that; the role's main registers its callbacks,
 * enters the sandbox and calls role_run(). Turn hooks are registered by role_open() in this
 * order: the role's own step hooks (role_hook_add), log flush, channel flush.
 *
 * Ownership: struct role lives as long as the process. Descriptors handed to callbacks belong to
 *            them.
 * Threads:   main thread.
 */
#ifndef OSTLER_IPC_ROLE_H
#define OSTLER_IPC_ROLE_H

#include "base/log_file.h"
#include "base/loop.h"
#include "base/mac.h"
#include "ipc/black_box.h"
#include "ipc/channel.h"

enum role_kind {
	ROLE_MASTER,
	ROLE_QMGR,
	ROLE_SMTPD,
	ROLE_PICKUP,
	ROLE_SMTP,
	ROLE_RESOLVER,
	ROLE_LOCAL,
	ROLE_AGENT,
	ROLE_RUNNER,
	ROLE_ADMIN,
	ROLE_LOG,
	ROLE_KIND_COUNT,
};

enum role_directory_kind {
	ROLE_DIR_JOURNAL,  /* queue_directory/journal */
	ROLE_DIR_LARGE,    /* queue_directory/large */
	ROLE_DIR_CORRUPT,  /* queue_directory/corrupt */
	ROLE_DIR_MAILDROP, /* queue_directory/maildrop */
	ROLE_DIR_MAIL,     /* mail_spool_directory */
	ROLE_DIR_COUNT,
};

enum { ROLE_LISTENERS_MAX = 32, ROLE_MASTER_FD = 3, ROLE_MACHINE_SIZE = 16 };

/* A file of this name in the journal directory says: this queue is a copy of another one. */
#define ROLE_COPY_MARK "copy"

/* How many queue managers died with a message in hand. */
enum { ROLE_DEATHS_MAX = 16 };
struct role_death {
	uint64_t queue_id;
	uint32_t count;
};

struct role_listener {
	int fd;
	char service[64];
	char address[128];
};

struct role;

/* What happens to a role while it runs; NULL entries are ignored. */
struct role_callbacks {
	void (*config)(struct role *role, int fd, uint64_t number); /* a new snapshot; owns fd */
	void (*qmgr_up)(struct role *role); /* role->qmgr is open, hello sent */
	void (*qmgr_frame)(struct role *role, uint16_t type, struct slice payload, int fd);
	void (*qmgr_down)(struct role *role);                            /* role->qmgr is closed */
	void (*master_frame)(
		struct role *role, uint16_t type, struct slice payload, int fd); /* others */
	void (*stop)(struct role *role, uint32_t grace_ms); /* finish, then role_exit() */
	void (*master_down)(struct role *role); /* master died; NULL: exit at once */
};

struct role {
	enum role_kind kind;
	uint32_t slot;
	struct loop *loop;
	struct log_file log;
	struct channel master;
	struct channel qmgr;
	int config_fd; /* at start; -1 once the role's main has taken it */
	uint64_t config_number;
	int directories[ROLE_DIR_COUNT]; /* -1: not granted */
	struct role_listener listeners[ROLE_LISTENERS_MAX];
	int listener_count;
	int log_source_fd; /* log: the lines of all processes; -1: none */
	struct black_box *black_box; /* qmgr, smtpd: what is in hand; NULL: nobody wants to know */
	struct role_death deaths[ROLE_DEATHS_MAX]; /* qmgr: of its predecessors */
	unsigned death_count;
	int table_fd; /* shared table of connection counts; -1: none */
	uint32_t peers_expected; /* qmgr: survivors announced by role_start */
	uint8_t machine[ROLE_MACHINE_SIZE]; /* qmgr: tells this machine from others, or zero */
	uint8_t secret[MAC_KEY_SIZE]; /* qmgr: key of lease tokens */
	const struct role_callbacks *callbacks;
	void *ctx; /* the role's own state */
	struct loop_hook log_hook, channel_hook;
	struct loop_timer log_timer; /* lines that the log did not take at once */
	int qmgr_fd;        /* from the start, until role_run() opens it */
	int exit_code;
};

const char *role_name(enum role_kind kind);
/* ERR_NOTFOUND: no such role. */
MUST_USE enum err role_find(const char *name, enum role_kind *ret_kind);

/* What its sandbox lets it do (enum sandbox_flags). */
unsigned role_sandbox(enum role_kind kind);

/* Reads the start frames; dies (exit 70) if master does not speak the protocol. */
struct role *role_open(enum role_kind kind, uint32_t slot);

/* Registers a hook that runs each turn before the log and the channels are flushed. */
void role_hook_add(struct role *role, struct loop_hook *hook, loop_hook_fn *fn, void *ctx);

/*
 * Opens the channels, tells master role_ready and runs the loop until role_exit(); returns the exit
 * code. Call sandbox_enter() right before.
 */
int role_run(struct role *role, const struct role_callbacks *callbacks);

/* Ends role_run() after this turn. */
void role_exit(struct role *role, int exit_code);

#endif
