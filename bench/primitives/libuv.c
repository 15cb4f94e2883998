/* SPDX-License-Identifier: MIT */
/* The works of bench/primitives in libuv: it has no tasks, so timers and waking are left. */
#include <semaphore.h>
#include <stddef.h>
#include <stdlib.h>
#include <uv.h>

#include "bench/primitives/primitives.h"

/* ---- time ---- */

static void never_fires(uv_timer_t *timer)
{
	(void)timer;
}

static void timer(struct primitive_run *run)
{
	uv_timer_t *others = calloc(MANY, sizeof(*others));
	uv_timer_t one;

	if (!others)
		primitive_skip("out of memory");
	for (int i = 0; i < MANY; i++) {
		uv_timer_init(uv_default_loop(), &others[i]);
		uv_timer_start(&others[i], never_fires, 60000 + (uint64_t)rand() % 60000, 0);
	}
	uv_timer_init(uv_default_loop(), &one);
	while (primitive_next(run, BATCH))
		for (uint64_t i = 0; i < BATCH; i++) {
			uv_timer_start(&one, never_fires, 30000 + i, 0);
			uv_timer_stop(&one);
		}
	/* The process ends here, and the loop's list of timers with it. */
}

/* ---- another thread ---- */

struct waker {
	uv_async_t async;
	struct primitive_run *run;
	sem_t woken;
	bool is_over;
};

static void answer(uv_async_t *async)
{
	struct waker *waker = async->data;

	if (waker->is_over)
		uv_close((uv_handle_t *)async, NULL);
	sem_post(&waker->woken);
}

static void wake_once(struct waker *waker)
{
	uv_async_send(&waker->async);
	while (sem_wait(&waker->woken) < 0)
		;
}

static void wake_again_and_again(void *arg)
{
	struct waker *waker = arg;

	while (primitive_next(waker->run, BATCH))
		for (int i = 0; i < BATCH; i++)
			wake_once(waker);
	/* The loop is at rest now, and sees this when it is woken. */
	waker->is_over = true;
	wake_once(waker);
}

static void wake(struct primitive_run *run)
{
	struct waker waker = { .run = run };
	uv_thread_t thread;

	sem_init(&waker.woken, 0, 0);
	uv_async_init(uv_default_loop(), &waker.async, answer);
	waker.async.data = &waker;
	if (uv_thread_create(&thread, wake_again_and_again, &waker) < 0)
		primitive_skip("no thread");
	uv_run(uv_default_loop(), UV_RUN_DEFAULT);
	uv_thread_join(&thread);
	sem_destroy(&waker.woken);
}

const struct primitive primitive_list[] = {
	{ "timer", timer, PROCESSOR },
	{ "wake", wake, WALL },
	{ NULL, NULL, PROCESSOR },
};
