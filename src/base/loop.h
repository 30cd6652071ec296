/*
 * loop.h - the event loop of a role process (libevent behind it)
 *
 * Only drivers and mains include this; cores are told the time and given bytes. Callbacks record
 * and act within a small budget; nothing here blocks. One *turn* = wait, dispatch what is ready,
 * run the turn hooks in the order of their registration (roles: step, flush the log, flush the
 * channels).
 *
 * Ownership: watchers, timers and hooks are embedded in their owner and must be closed before it is
 *            freed; loop_fd_close() does not close the descriptor. Callbacks never run inside a
 *            loop_*() call, except from loop_run().
 * Threads:   one loop per thread; loop_wake() alone may be called from any thread.
 */
#ifndef OSTLER_BASE_LOOP_H
#define OSTLER_BASE_LOOP_H

#include "base/clock.h"
#include "base/err.h"

#include <stdbool.h>

struct loop;
struct event;

enum { LOOP_READ = 1, LOOP_WRITE = 2 };

typedef void loop_fd_fn(void *ctx, int ready); /* ready: LOOP_READ and/or LOOP_WRITE */
typedef void loop_timer_fn(void *ctx);
typedef void loop_hook_fn(void *ctx);
typedef void loop_signal_fn(void *ctx, int signal);

struct loop_fd {
	struct loop *loop;
	int fd;
	int wanted;
	loop_fd_fn *fn;
	void *ctx;
	struct event *read_event;
	struct event *write_event;
};

struct loop_timer {
	struct loop *loop;
	loop_timer_fn *fn;
	void *ctx;
	struct event *event;
	bool is_set;
	struct mono at;
};

struct loop_hook {
	struct loop_hook *next;
	loop_hook_fn *fn;
	void *ctx;
};

struct loop *loop_new(void);
void loop_free(struct loop *loop);

/* Runs turns until loop_stop(). */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* Makes a waiting loop take one more turn; any thread, signal-safe is not promised. */
void loop_wake(struct loop *loop);

/* The time of this turn, read once after waiting. */
struct instant loop_now(const struct loop *loop);

/* Watches a descriptor; `wanted` can change at any time, 0 pauses. */
void loop_fd_open(struct loop_fd *watch, struct loop *loop, int fd, int wanted, loop_fd_fn *fn,
	void *ctx);
void loop_fd_want(struct loop_fd *watch, int wanted);
void loop_fd_close(struct loop_fd *watch); /* idempotent */

/* One timer per reason to wait; set replaces, clear is idempotent. */
void loop_timer_init(struct loop_timer *timer, struct loop *loop, loop_timer_fn *fn, void *ctx);
void loop_timer_set(struct loop_timer *timer, struct mono at);
void loop_timer_set_ns(struct loop_timer *timer, uint64_t from_now_ns);
void loop_timer_clear(struct loop_timer *timer);
void loop_timer_done(struct loop_timer *timer);

/* Called at the end of every turn, before the loop waits. */
void loop_hook_add(struct loop *loop, struct loop_hook *hook, loop_hook_fn *fn, void *ctx);

/* A signal as an event; at most LOOP_SIGNAL_MAX per loop. */
enum { LOOP_SIGNAL_MAX = 8 };
void loop_signal_add(struct loop *loop, int signal, loop_signal_fn *fn, void *ctx);

#endif
