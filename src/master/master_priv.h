/*
 * master_priv.h - what the files of the supervisor share; see master.h
 *
 * Threads: main thread.
 */
#ifndef OSTLER_MASTER_MASTER_PRIV_H
#define OSTLER_MASTER_MASTER_PRIV_H

#include "base/log_file.h"
#include "base/loop.h"
#include "config/snapshot.h"
#include "master/master.h"

#include <sys/types.h>

enum { SOLO_SLOT = 1000 }; /* no other worker has it */
enum { PROCESSES_MAX = 256, LISTENERS_MAX = 64, MASTER_LAST_STAGE = 2 };
enum { LOG_SOCKET_SIZE = 8 << 20 }; /* wanted; an ordinary user gets what net.core.wmem_max is */

enum process_state {
	PROCESS_DOWN,    /* not running, and not to be, or not yet */
	PROCESS_WAITING, /* to be started when its timer fires */
	PROCESS_RUNNING,
	PROCESS_LEAVING, /* told to stop */
};

struct process {
	struct master *master;
	enum role_kind kind;
	uint32_t slot;
	enum process_state state;
	pid_t pid;
	struct channel channel;
	struct loop_timer restart;
	struct mono started;
	struct mono not_before; /* the end of the delay of its next start */
	uint64_t delay_ns;  /* of the next restart */
	struct loop_timer watch; /* asks it whether its loop turns */
	struct mono asked;       /* when the open question was put */
	uint64_t pings, pongs;   /* equal: no question is open */
	struct black_box *black_box; /* qmgr, smtpd; made at the first start */
	int black_box_fd;
	bool is_solo;       /* a worker for suspects: started when one is there, and stays */
	bool is_wanted;     /* solo: there were suspects since it started */
	bool was_revived;   /* qmgr: once more during the stop */
	bool had_qmgr;      /* it may hold deliveries of a queue manager that died */
};

struct bound {
	int fd;
	enum role_kind role;
	char service[64];
	char address[128];
	bool is_stale; /* during a reload: not asked for any more */
	bool is_new;   /* during a reload: the processes do not have it yet */
};

struct master {
	const struct master_options *options;
	struct loop *loop;
	struct log_file log;
	enum log_file_style log_style;
	int log_sink;   /* where the log process writes */
	int log_fd;     /* the socket for lines: everybody's end, this process's too */
	int log_source; /* the log process's end: kept, so that lines survive that process */
	bool is_log_stuck; /* the last try to open it failed */
	struct loop_timer log_timer, log_watch;
	int config_dir;  /* -1: built in */
	int config_fd;   /* sealed image */
	uint64_t config_number;
	struct config *config;
	char hostname[256];
	/* Who the roles run as. */
	bool is_root;
	uid_t uid;
	gid_t gid;
	char owner[64];
	/* The queue. */
	int queue_dir, lock_fd;
	int directories[ROLE_DIR_COUNT];
	uint8_t machine[ROLE_MACHINE_SIZE];
	size_t machine_len; /* 0: this machine has no name */
	struct bound listeners[LISTENERS_MAX];
	int listener_count;
	int client_table; /* shared by the smtpd processes */
	struct role_death deaths[ROLE_DEATHS_MAX]; /* of queue managers, the newest first */
	unsigned death_count;
	uint8_t secret[MAC_KEY_SIZE]; /* of queue managers, one after the other */
	struct process processes[PROCESSES_MAX];
	int process_count;
	bool is_started; /* trouble goes to the log */
	bool is_stopping;
	int stop_stage;
	struct loop_timer stop_timer;
	struct loop_hook log_hook, channel_hook;
	int exit_code;
};

/* prepare.c: messages on stderr; an exit code. */
int prepare_config(struct master *master);       /* the first snapshot */
int prepare_user(struct master *master);
int prepare_directories(struct master *master);  /* and pid file and lock */
int prepare_listeners(struct master *master);
int prepare_log(struct master *master);
/* origin.c */
void origin_find_machine(struct master *master);
int origin_mark(struct master *master); /* --restored; an exit code */
/* After a reload: binds what is new, drops what is gone, tells smtpd. Trouble goes to the log. */
void listen_again(struct master *master);
void prepare_pid_file(struct master *master);
void prepare_leave(struct master *master);       /* removes pid file and sockets */

/* A new image; on failure `text` says why, and the old one stays. Warnings go to text too. */
MUST_USE enum err compile_image(struct master *master, int *ret_fd, struct buf *text);

/* After the last line: waits for the log process to write it, for a short time. */
void process_end_log(struct master *master);

/* Opens the log as the configuration says; -1: it cannot be. */
int log_open(struct master *master, enum log_file_style *ret_style);

/* What the log is called; "syslog" when it is no file. */
const char *log_path(const struct master *master);

/* Whether another file than the open one, or none, has the log's name now. */
bool log_was_moved(const struct master *master);
uint8_t log_facility(const struct master *master);

/* process.c */
void process_init(struct process *process); /* its timers */
void process_start(struct process *process);
void process_send_log(struct process *process);
void process_send_config(struct process *process);
void process_stop(struct process *process, uint32_t grace_ms);
/* At a stop: workers have results for a queue manager that is just waiting to be restarted. */
void process_revive_qmgr(struct master *master);
void process_died(struct process *process, int status);
struct process *process_find(struct master *master, pid_t pid);
struct process *process_qmgr(struct master *master);

#endif
