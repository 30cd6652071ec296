/*
 * loop.c - the event loop on libevent (see loop.h); the only file that includes libevent
 */
#include "base/loop.h"

#include "base/check.h"
#include "base/mem.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct loop_signal {
	struct event *event;
	loop_signal_fn *fn;
	void *ctx;
};

struct loop {
	struct event_base *base;
	struct event *wake_event;
	int wake_fd;
	bool stopping;
	struct instant now;
	struct loop_hook *hooks;
	struct loop_signal signals[LOOP_SIGNAL_MAX];
	int signal_count;
};

static void
loop_wake_drain(evutil_socket_t fd, short what, void *ctx)
{
	uint64_t count;

	(void)what;
	(void)ctx;
	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

struct loop *
loop_new(void)
{
	struct loop *loop = MEM_NEW(struct loop);
	struct event_config *config = event_config_new();

	CHECK(config != NULL);
	(void)event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_PRECISE_TIMER);
	loop->base = event_base_new_with_config(config);
	event_config_free(config);
	CHECK(loop->base != NULL);
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK(loop->wake_fd >= 0);
	loop->wake_event =
		event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, loop_wake_drain, loop);
	CHECK(loop->wake_event != NULL && event_add(loop->wake_event, NULL) == 0);
	loop->now = clock_read();
	return loop;
}

void
loop_free(struct loop *loop)
{
	if (loop == NULL)
		return;
	for (int i = 0; i < loop->signal_count; i++)
		event_free(loop->signals[i].event);
	event_free(loop->wake_event);
	(void)close(loop->wake_fd);
	event_base_free(loop->base);
	mem_free(loop);
}

static void
loop_run_hooks(struct loop *loop)
{
	for (struct loop_hook *hook = loop->hooks; hook != NULL; hook = hook->next)
		hook->fn(hook->ctx);
}

void
loop_run(struct loop *loop)
{
	loop->stopping = false;
	loop->now = clock_read();
	loop_run_hooks(loop);
	while (!loop->stopping) {
		int result = event_base_loop(loop->base, EVLOOP_ONCE);

		CHECK(result >= 0);
		loop_run_hooks(loop);
	}
}

void
loop_stop(struct loop *loop)
{
	loop->stopping = true;
	loop_wake(loop);
}

void
loop_wake(struct loop *loop)
{
	uint64_t one = 1;

	while (write(loop->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

struct instant
loop_now(const struct loop *loop)
{
	(void)loop;
	return clock_read();
}

static void
loop_fd_event(evutil_socket_t fd, short what, void *ctx)
{
	struct loop_fd *watch = ctx;
	int ready = (what & EV_READ ? LOOP_READ : 0) | (what & EV_WRITE ? LOOP_WRITE : 0);

	(void)fd;
	ready &= watch->wanted;
	if (ready != 0)
		watch->fn(watch->ctx, ready);
}

void
loop_fd_open(
	struct loop_fd *watch, struct loop *loop, int fd, int wanted, loop_fd_fn *fn, void *ctx)
{
	*watch = (struct loop_fd){ .loop = loop, .fd = fd, .fn = fn, .ctx = ctx };
	watch->read_event = event_new(loop->base, fd, EV_READ | EV_PERSIST, loop_fd_event, watch);
	watch->write_event = event_new(loop->base, fd, EV_WRITE | EV_PERSIST, loop_fd_event, watch);
	CHECK(watch->read_event != NULL && watch->write_event != NULL);
	loop_fd_want(watch, wanted);
}

static void
loop_fd_toggle(struct event *event, bool was, bool is)
{
	if (is && !was)
		CHECK(event_add(event, NULL) == 0);
	else if (was && !is)
		CHECK(event_del(event) == 0);
}

void
loop_fd_want(struct loop_fd *watch, int wanted)
{
	CHECK(watch->loop != NULL);
	loop_fd_toggle(watch->read_event, watch->wanted & LOOP_READ, wanted & LOOP_READ);
	loop_fd_toggle(watch->write_event, watch->wanted & LOOP_WRITE, wanted & LOOP_WRITE);
	watch->wanted = wanted;
}

void
loop_fd_close(struct loop_fd *watch)
{
	if (watch->loop == NULL)
		return;
	event_free(watch->read_event);
	event_free(watch->write_event);
	*watch = (struct loop_fd){ .fd = -1 };
}

static void
loop_timer_event(evutil_socket_t fd, short what, void *ctx)
{
	struct loop_timer *timer = ctx;

	(void)fd;
	(void)what;
	timer->is_set = false;
	timer->fn(timer->ctx);
}

void
loop_timer_init(struct loop_timer *timer, struct loop *loop, loop_timer_fn *fn, void *ctx)
{
	*timer = (struct loop_timer){ .loop = loop, .fn = fn, .ctx = ctx };
	timer->event = event_new(loop->base, -1, 0, loop_timer_event, timer);
	CHECK(timer->event != NULL);
}

void
loop_timer_set(struct loop_timer *timer, struct mono at)
{
	uint64_t wait_ns;
	struct timeval tv;

	if (timer->is_set && timer->at.ns == at.ns)
		return;
	wait_ns = mono_since_ns(at, clock_read_mono());
	tv.tv_sec = (time_t)(wait_ns / NS_PER_S);
	tv.tv_usec = (suseconds_t)((wait_ns % NS_PER_S + 999) / 1000);
	if (tv.tv_usec >= 1000000) {
		tv.tv_sec++;
		tv.tv_usec -= 1000000;
	}
	CHECK(event_add(timer->event, &tv) == 0);
	timer->is_set = true;
	timer->at = at;
}

void
loop_timer_set_ns(struct loop_timer *timer, uint64_t from_now_ns)
{
	loop_timer_set(timer, mono_add_ns(clock_read_mono(), from_now_ns));
}

void
loop_timer_clear(struct loop_timer *timer)
{
	if (!timer->is_set)
		return;
	CHECK(event_del(timer->event) == 0);
	timer->is_set = false;
}

void
loop_timer_done(struct loop_timer *timer)
{
	if (timer->event != NULL)
		event_free(timer->event);
	*timer = (struct loop_timer){ 0 };
}

void
loop_hook_add(struct loop *loop, struct loop_hook *hook, loop_hook_fn *fn, void *ctx)
{
	struct loop_hook **last = &loop->hooks;

	while (*last != NULL)
		last = &(*last)->next;
	*hook = (struct loop_hook){ .fn = fn, .ctx = ctx };
	*last = hook;
}

static void
loop_signal_event(evutil_socket_t fd, short what, void *ctx)
{
	struct loop_signal *signal = ctx;

	(void)what;
	signal->fn(signal->ctx, (int)fd);
}

void
loop_signal_add(struct loop *loop, int signal, loop_signal_fn *fn, void *ctx)
{
	struct loop_signal *entry;

	CHECK(loop->signal_count < LOOP_SIGNAL_MAX);
	entry = &loop->signals[loop->signal_count++];
	*entry = (struct loop_signal){ .fn = fn, .ctx = ctx };
	entry->event = evsignal_new(loop->base, signal, loop_signal_event, entry);
	CHECK(entry->event != NULL && event_add(entry->event, NULL) == 0);
}
