/* SPDX-License-Identifier: MIT */
/* The works of bench/primitives in rota: one reactor, on the epoll engine. */
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

#include <rota/rota.h>

#include "backends/backends.h"
#include "bench/primitives/primitives.h"

#define NEEDED_BYTES (INT64_C(6) << 30)

static void run_in_task(struct primitive_run *run, rota_task_fn fn)
{
	const struct rota_reactor_options options = { .engine = &rota_backend_epoll };

	if (rota_run(&options, fn, run) < 0)
		primitive_skip("the reactor or a task failed");
}

/* ---- tasks ---- */

static int64_t yield_until_told(void *is_over)
{
	int status = 0;

	while (status == 0 && !*(bool *)is_over)
		status = rota_yield();
	return status;
}

static int64_t yield_between_two(void *arg)
{
	struct rota_scope scope;
	bool is_over = false;

	rota_scope_open(&scope, ROTA_NEVER);
	rota_ignore(rota_spawn(&scope, yield_until_told, &is_over), "close says it");
	while (primitive_next(arg, 2 * BATCH))
		for (int i = 0; i < BATCH; i++)
			rota_ignore(rota_yield(), "nobody cancels");
	is_over = true;
	return rota_scope_close(&scope);
}

static void yield(struct primitive_run *run)
{
	run_in_task(run, yield_between_two);
}

static int64_t do_nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int64_t spawn_and_join(void *arg)
{
	struct rota_future result;
	const struct rota_spawn_options options = { .result = &result };
	struct rota_scope scope;

	rota_scope_open(&scope, ROTA_NEVER);
	while (primitive_next(arg, BATCH))
		for (int i = 0; i < BATCH; i++) {
			rota_ignore(rota_spawn_with(&scope, do_nothing, NULL, &options),
				    "close says it");
			rota_ignore(rota_await(&result), "0");
		}
	return rota_scope_close(&scope);
}

static void spawn_join(struct primitive_run *run)
{
	run_in_task(run, spawn_and_join);
}

/* ---- for each other ---- */

static int64_t lock_and_unlock(void *arg)
{
	struct rota_mutex mutex;

	rota_mutex_init(&mutex, ROTA_LOCAL);
	while (primitive_next(arg, BATCH))
		for (int i = 0; i < BATCH; i++) {
			rota_ignore(rota_mutex_lock(&mutex), "nobody cancels");
			rota_mutex_unlock(&mutex);
		}
	rota_mutex_fini(&mutex);
	return 0;
}

static void lock(struct primitive_run *run)
{
	run_in_task(run, lock_and_unlock);
}

static int64_t receive_all(void *channel)
{
	int64_t number;
	int status;

	do
		status = rota_channel_receive(channel, &number);
	while (status > 0);
	return status;
}

static int64_t send_one_by_one(void *arg)
{
	struct rota_channel channel;
	struct rota_scope scope;
	int64_t buffer[1];

	rota_channel_init(&channel, &(struct rota_channel_options){ .reach = ROTA_LOCAL,
								    .message_bytes = sizeof(buffer),
								    .capacity = 1,
								    .buffer = buffer });
	rota_scope_open(&scope, ROTA_NEVER);
	rota_ignore(rota_spawn(&scope, receive_all, &channel), "close says it");
	while (primitive_next(arg, BATCH))
		for (int64_t i = 0; i < BATCH; i++)
			rota_ignore(rota_channel_send(&channel, &i), "it is open");
	rota_channel_close(&channel);
	return rota_scope_close(&scope);
}

static void message(struct primitive_run *run)
{
	run_in_task(run, send_one_by_one);
}

/* ---- time ---- */

static void never_fires(struct rota_timer *timer)
{
	(void)timer;
}

static int64_t arm_among_many(void *arg)
{
	struct rota_timer *others = calloc(MANY, sizeof(*others));
	struct rota_timer timer;
	rota_ns now = rota_after_ms(0);

	if (!others)
		return -ENOMEM;
	for (int i = 0; i < MANY; i++) {
		rota_timer_init(&others[i], never_fires);
		rota_timer_arm(&others[i], now + (60000 + rand() % 60000) * ROTA_NS_PER_MS);
	}
	rota_timer_init(&timer, never_fires);
	while (primitive_next(arg, BATCH))
		for (int i = 0; i < BATCH; i++) {
			rota_timer_arm(&timer, now + (30000 + i) * ROTA_NS_PER_MS);
			rota_timer_disarm(&timer);
		}
	for (int i = 0; i < MANY; i++)
		rota_timer_disarm(&others[i]);
	free(others);
	return 0;
}

static void timer(struct primitive_run *run)
{
	run_in_task(run, arm_among_many);
}

static int64_t open_and_close(void *arg)
{
	struct rota_scope scope;

	while (primitive_next(arg, BATCH))
		for (int i = 0; i < BATCH; i++) {
			rota_scope_open(&scope, rota_after_ms(30000));
			rota_ignore(rota_scope_close(&scope), "nothing is in it");
		}
	return 0;
}

static void deadline(struct primitive_run *run)
{
	run_in_task(run, open_and_close);
}

/* ---- another thread ---- */

struct waker {
	struct rota_message message;
	struct rota_reactor *reactor;
	struct rota_event is_over;
	struct primitive_run *run;
	sem_t woken;
};

static void answer(struct rota_message *message)
{
	sem_post(&ROTA_CONTAINER_OF(message, struct waker, message)->woken);
}

static void *wake_again_and_again(void *arg)
{
	struct waker *waker = arg;

	while (primitive_next(waker->run, BATCH))
		for (int i = 0; i < BATCH; i++) {
			rota_post(waker->reactor, &waker->message);
			while (sem_wait(&waker->woken) < 0)
				;
		}
	rota_event_set(&waker->is_over);
	return NULL;
}

static int64_t be_woken(void *arg)
{
	struct waker waker = { .message.run = answer, .run = arg };
	pthread_t thread;
	int status;

	waker.reactor = rota_reactor_current();
	rota_event_init(&waker.is_over, ROTA_SHARED);
	sem_init(&waker.woken, 0, 0);
	status = -pthread_create(&thread, NULL, wake_again_and_again, &waker);
	if (status < 0)
		return status;
	status = rota_event_wait(&waker.is_over);
	pthread_join(thread, NULL);
	rota_event_fini(&waker.is_over);
	sem_destroy(&waker.woken);
	return status;
}

static void wake(struct primitive_run *run)
{
	run_in_task(run, be_woken);
}

/* ---- very many ---- */

static int64_t sleep_an_hour(void *arg)
{
	(void)arg;
	return rota_sleep_ms(INT64_C(1000) * HOUR_S);
}

static void spawn_sleepers(struct rota_scope *scope, int count)
{
	for (int i = 0; i < count; i++)
		rota_ignore(rota_spawn(scope, sleep_an_hour, NULL), "close says it");
	rota_ignore(rota_yield(), "behind all of them: now they sleep");
}

static int64_t cancel_sleepers(struct primitive_run *run, int count)
{
	struct rota_scope scope;
	int64_t status;

	rota_scope_open(&scope, ROTA_NEVER);
	spawn_sleepers(&scope, count);
	primitive_start(run);
	rota_scope_cancel(&scope, "measured");
	status = rota_scope_close(&scope);
	primitive_end(run, count);
	return status == -ECANCELED ? 0 : -EIO;
}

static int64_t cancel_some_sleepers(void *arg)
{
	return cancel_sleepers(arg, SOME);
}

static int64_t cancel_many_sleepers(void *arg)
{
	return cancel_sleepers(arg, MANY);
}

static void cancel_some(struct primitive_run *run)
{
	run_in_task(run, cancel_some_sleepers);
}

static void cancel_many(struct primitive_run *run)
{
	run_in_task(run, cancel_many_sleepers);
}

static int64_t suspend_a_million(void *arg)
{
	struct rota_scope scope;
	int64_t status;

	rota_scope_open(&scope, ROTA_NEVER);
	primitive_start(arg);
	spawn_sleepers(&scope, MILLION);
	primitive_end_memory(arg, MILLION);
	rota_scope_cancel(&scope, "measured");
	status = rota_scope_close(&scope);
	return status == -ECANCELED ? 0 : -EIO;
}

static void memory(struct primitive_run *run)
{
	if (sysconf(_SC_AVPHYS_PAGES) * sysconf(_SC_PAGESIZE) < NEEDED_BYTES)
		primitive_skip("less than 6 GiB of memory are free");
	run_in_task(run, suspend_a_million);
}

const struct primitive primitive_list[] = {
	{ "yield", yield, PROCESSOR },
	{ "spawn", spawn_join, PROCESSOR },
	{ "lock", lock, PROCESSOR },
	{ "message", message, PROCESSOR },
	{ "timer", timer, PROCESSOR },
	{ "deadline", deadline, PROCESSOR },
	{ "wake", wake, WALL },
	{ "cancel-some", cancel_some, PROCESSOR },
	{ "cancel-many", cancel_many, PROCESSOR },
	{ "memory", memory, PROCESSOR },
	{ NULL, NULL, PROCESSOR },
};
