/*
 * local_pool.c - threads for blocking file work (see local_pool.h)
 */
#include "local/local_pool.h"

#include "base/check.h"

#include <signal.h>
#include <string.h>
#include <sysexits.h>

static void *
local_pool_thread(void *ctx)
{
	struct local_pool *pool = ctx;

	CHECK(pthread_mutex_lock(&pool->mutex) == 0);
	while (!pool->stopping) {
		struct local_task *task = STAILQ_FIRST(&pool->waiting);

		if (task == NULL) {
			CHECK(pthread_cond_wait(&pool->changed, &pool->mutex) == 0);
			continue;
		}
		STAILQ_REMOVE_HEAD(&pool->waiting, link);
		CHECK(pthread_mutex_unlock(&pool->mutex) == 0);
		task->run(task);
		CHECK(pthread_mutex_lock(&pool->mutex) == 0);
		STAILQ_INSERT_TAIL(&pool->finished, task, link);
		loop_wake(pool->loop);
	}
	CHECK(pthread_mutex_unlock(&pool->mutex) == 0);
	return NULL;
}

void
local_pool_open(struct local_pool *pool, struct loop *loop)
{
	sigset_t all, before;

	*pool = (struct local_pool){ .loop = loop };
	STAILQ_INIT(&pool->waiting);
	STAILQ_INIT(&pool->finished);
	CHECK(pthread_mutex_init(&pool->mutex, NULL) == 0);
	CHECK(pthread_cond_init(&pool->changed, NULL) == 0);
	/* Signals are the main thread's. */
	(void)sigfillset(&all);
	CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
	for (; pool->thread_count < LOCAL_POOL_THREADS; pool->thread_count++) {
		int problem = pthread_create(&pool->threads[pool->thread_count], NULL,
			local_pool_thread, pool);

		if (problem != 0)
			die(EX_OSERR, "cannot start a thread: %s", strerror(problem));
	}
	CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

void
local_pool_close(struct local_pool *pool)
{
	CHECK(pthread_mutex_lock(&pool->mutex) == 0);
	pool->stopping = true;
	CHECK(pthread_cond_broadcast(&pool->changed) == 0);
	CHECK(pthread_mutex_unlock(&pool->mutex) == 0);
	for (int i = 0; i < pool->thread_count; i++)
		CHECK(pthread_join(pool->threads[i], NULL) == 0);
	(void)pthread_cond_destroy(&pool->changed);
	(void)pthread_mutex_destroy(&pool->mutex);
}

void
local_pool_submit(struct local_pool *pool, struct local_task *task)
{
	CHECK(pthread_mutex_lock(&pool->mutex) == 0);
	STAILQ_INSERT_TAIL(&pool->waiting, task, link);
	CHECK(pthread_cond_signal(&pool->changed) == 0);
	CHECK(pthread_mutex_unlock(&pool->mutex) == 0);
}

void
local_pool_take(struct local_pool *pool)
{
	struct local_task_list taken = STAILQ_HEAD_INITIALIZER(taken);
	struct local_task *task;

	CHECK(pthread_mutex_lock(&pool->mutex) == 0);
	STAILQ_CONCAT(&taken, &pool->finished);
	CHECK(pthread_mutex_unlock(&pool->mutex) == 0);
	while ((task = STAILQ_FIRST(&taken)) != NULL) {
		STAILQ_REMOVE_HEAD(&taken, link);
		task->done(task);
	}
}
