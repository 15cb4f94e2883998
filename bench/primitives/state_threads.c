/* SPDX-License-Identifier: MIT */
/*
 * The works of bench/primitives in State Threads. It has no timers of their own and no threads
 * beside its own, and no queue either: a slot with a condition stands for one, as its users write
 * it.
 */
#include <errno.h>
#include <st.h>
#include <stddef.h>

#include "bench/primitives/primitives.h"

/* It has no call that lets the others run first; a sleep of no time does. */
static void let_others_run(void)
{
	st_usleep(0);
}

/* Without memory for a thread it returns NULL, or the process ends. */
static st_thread_t spawn(void *(*fn)(void *arg), void *arg)
{
	st_thread_t thread = st_thread_create(fn, arg, 1, 0);

	if (!thread)
		primitive_skip("a thread could not be made");
	return thread;
}

/* ---- tasks ---- */

static void *yield_until_told(void *is_over)
{
	while (!*(volatile bool *)is_over)
		let_others_run();
	return NULL;
}

static void yield(struct primitive_run *run)
{
	volatile bool is_over = false;
	st_thread_t other = spawn(yield_until_told, (void *)&is_over);

	while (primitive_next(run, 2 * BATCH))
		for (int i = 0; i < BATCH; i++)
			let_others_run();
	is_over = true;
	st_thread_join(other, NULL);
}

static void *do_nothing(void *arg)
{
	return arg;
}

static void spawn_join(struct primitive_run *run)
{
	while (primitive_next(run, BATCH))
		for (int i = 0; i < BATCH; i++)
			st_thread_join(spawn(do_nothing, NULL), NULL);
}

/* ---- for each other ---- */

static void lock(struct primitive_run *run)
{
	st_mutex_t mutex = st_mutex_new();

	while (primitive_next(run, BATCH))
		for (int i = 0; i < BATCH; i++) {
			st_mutex_lock(mutex);
			st_mutex_unlock(mutex);
		}
	st_mutex_destroy(mutex);
}

struct slot {
	st_cond_t has_changed;
	int64_t number;
	bool is_full;
	bool is_closed;
};

static void *receive_all(void *arg)
{
	struct slot *slot = arg;

	for (;;) {
		while (!slot->is_full && !slot->is_closed)
			st_cond_wait(slot->has_changed);
		if (!slot->is_full)
			return NULL;
		slot->is_full = false;
		st_cond_signal(slot->has_changed);
	}
}

static void send_number(struct slot *slot, int64_t number)
{
	while (slot->is_full)
		st_cond_wait(slot->has_changed);
	slot->number = number;
	slot->is_full = true;
	st_cond_signal(slot->has_changed);
}

static void message(struct primitive_run *run)
{
	struct slot slot = { .has_changed = st_cond_new() };
	st_thread_t receiver = spawn(receive_all, &slot);

	while (primitive_next(run, BATCH))
		for (int64_t i = 0; i < BATCH; i++)
			send_number(&slot, i);
	slot.is_closed = true;
	st_cond_signal(slot.has_changed);
	st_thread_join(receiver, NULL);
	st_cond_destroy(slot.has_changed);
}

/* ---- very many ---- */

/*
 * Each stack is a mapping with two guards, three areas of memory for the kernel, which allows a
 * process 65530 (vm.max_map_count).
 */
#define SLEEPERS 20000

static void *sleep_an_hour(void *arg)
{
	st_sleep(HOUR_S);
	return arg;
}

static st_thread_t *spawn_sleepers(int count)
{
	static st_thread_t sleepers[SLEEPERS];

	for (int i = 0; i < count; i++)
		sleepers[i] = spawn(sleep_an_hour, NULL);
	let_others_run();
	return sleepers;
}

static void cancel(struct primitive_run *run)
{
	st_thread_t *sleepers = spawn_sleepers(SOME);

	primitive_start(run);
	for (int i = 0; i < SOME; i++)
		st_thread_interrupt(sleepers[i]);
	for (int i = 0; i < SOME; i++)
		st_thread_join(sleepers[i], NULL);
	primitive_end(run, SOME);
}

static void memory(struct primitive_run *run)
{
	primitive_start(run);
	spawn_sleepers(SLEEPERS);
	primitive_end_memory(run, SLEEPERS);
}

/* ---- the list: each begins by making this thread its first ---- */

#define IN_STATE_THREADS(work)                                                                     \
	static void start_##work(struct primitive_run *run)                                        \
	{                                                                                          \
		if (st_set_eventsys(ST_EVENTSYS_ALT) < 0 || st_init() < 0)                         \
			primitive_skip("State Threads does not start");                            \
		work(run);                                                                         \
	}

IN_STATE_THREADS(yield)
IN_STATE_THREADS(spawn_join)
IN_STATE_THREADS(lock)
IN_STATE_THREADS(message)
IN_STATE_THREADS(cancel)
IN_STATE_THREADS(memory)

const struct primitive primitive_list[] = {
	{ "yield", start_yield, PROCESSOR },
	{ "spawn", start_spawn_join, PROCESSOR },
	{ "lock", start_lock, PROCESSOR },
	{ "message", start_message, PROCESSOR },
	{ "cancel-some", start_cancel, PROCESSOR },
	{ "memory", start_memory, PROCESSOR },
	{ NULL, NULL, PROCESSOR },
};
