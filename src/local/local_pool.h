/*
 * local_pool.h - a few threads that do what blocks: writing and flushing mailboxes
 *
 * A task is done once by one of the threads, then handed back in the thread of the loop by
 * local_pool_take(); the loop is woken for that. Tasks never touch the loop, the configuration or
 * each other.
 *
 * Ownership: tasks are embedded in their owner, who keeps them until they were taken back.
 * Limits:    LOCAL_POOL_THREADS; the number of tasks is bounded by the sessions.
 * Threads:   submit and take: the thread of the loop.
 */
#ifndef OSTLER_LOCAL_LOCAL_POOL_H
#define OSTLER_LOCAL_LOCAL_POOL_H

#include "base/loop.h"

#include <pthread.h>
#include <sys/queue.h>

enum { LOCAL_POOL_THREADS = 2 };

struct local_task {
	STAILQ_ENTRY(local_task) link;
	void (*run)(struct local_task *task);  /* in a thread of the pool */
	void (*done)(struct local_task *task); /* in the thread of the loop */
};

STAILQ_HEAD(local_task_list, local_task);

struct local_pool {
	struct loop *loop;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	struct local_task_list waiting;
	struct local_task_list finished;
	bool stopping;
	pthread_t threads[LOCAL_POOL_THREADS];
	int thread_count;
};

/* Starts the threads; dies when there are none to be had. */
void local_pool_open(struct local_pool *pool, struct loop *loop);

/* Waits for what is being done; tasks that were not begun are dropped. */
void local_pool_close(struct local_pool *pool);

void local_pool_submit(struct local_pool *pool, struct local_task *task);

/* Calls done() of all tasks that are finished. */
void local_pool_take(struct local_pool *pool);

#endif
