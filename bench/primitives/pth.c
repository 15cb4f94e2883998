/* SPDX-License-Identifier: MIT */
/*
 * The works of bench/primitives in GNU Pth. Its timers are events of a thread that waits, and it
 * knows no threads beside its own.
 */
#include <pth.h>
#include <stddef.h>

#include "bench/primitives/primitives.h"

static pth_t spawn(void *(*fn)(void *arg), void *arg)
{
	pth_t thread = pth_spawn(PTH_ATTR_DEFAULT, fn, arg);

	if (!thread)
		primitive_skip("a thread could not be made");
	return thread;
}

/* ---- tasks ---- */

static void *yield_until_told(void *is_over)
{
	while (!*(volatile bool *)is_over)
		pth_yield(NULL);
	return NULL;
}

static void yield(struct primitive_run *run)
{
	volatile bool is_over = false;
	pth_t other = spawn(yield_until_told, (void *)&is_over);

	while (primitive_next(run, 2 * BATCH))
		for (int i = 0; i < BATCH; i++)
			pth_yield(NULL);
	is_over = true;
	pth_join(other, NULL);
}

static void *do_nothing(void *arg)
{
	return arg;
}

static void spawn_join(struct primitive_run *run)
{
	while (primitive_next(run, BATCH))
		for (int i = 0; i < BATCH; i++)
			pth_join(spawn(do_nothing, NULL), NULL);
}

/* ---- for each other ---- */

static void lock(struct primitive_run *run)
{
	pth_mutex_t mutex = PTH_MUTEX_INIT;

	while (primitive_next(run, BATCH))
		for (int i = 0; i < BATCH; i++) {
			pth_mutex_acquire(&mutex, FALSE, NULL);
			pth_mutex_release(&mutex);
		}
}

static void *receive_all(void *arg)
{
	pth_msgport_t port = arg;
	pth_event_t has_come = pth_event(PTH_EVENT_MSG, port);
	pth_message_t *message = NULL;

	/* The last one has no port to be replied to. */
	do {
		pth_wait(has_come);
		while ((message = pth_msgport_get(port)) && message->m_replyport)
			;
	} while (!message);
	pth_event_free(has_come, PTH_FREE_THIS);
	return NULL;
}

/* Putting never waits, so the sender lets the receiver run after each. */
static void message(struct primitive_run *run)
{
	pth_msgport_t port = pth_msgport_create("numbers");
	pth_message_t number = { .m_replyport = port }, last = { .m_replyport = NULL };
	pth_t receiver = spawn(receive_all, port);

	while (primitive_next(run, BATCH))
		for (int i = 0; i < BATCH; i++) {
			pth_msgport_put(port, &number);
			do
				pth_yield(NULL);
			while (pth_msgport_pending(port));
		}
	pth_msgport_put(port, &last);
	pth_join(receiver, NULL);
	pth_msgport_destroy(port);
}

/* ---- very many ---- */

/*
 * Its scheduler looks at every thread that waits, each time, so that the cost grows with the
 * square: SOME of them, also for their memory.
 */
static void *sleep_an_hour(void *arg)
{
	pth_sleep(HOUR_S);
	return arg;
}

static pth_t *spawn_sleepers(void)
{
	static pth_t sleepers[SOME];

	for (int i = 0; i < SOME; i++)
		sleepers[i] = spawn(sleep_an_hour, NULL);
	pth_yield(sleepers[SOME - 1]);
	return sleepers;
}

static void cancel(struct primitive_run *run)
{
	pth_t *sleepers = spawn_sleepers();

	primitive_start(run);
	for (int i = 0; i < SOME; i++)
		pth_cancel(sleepers[i]);
	for (int i = 0; i < SOME; i++)
		pth_join(sleepers[i], NULL);
	primitive_end(run, SOME);
}

static void memory(struct primitive_run *run)
{
	primitive_start(run);
	spawn_sleepers();
	primitive_end_memory(run, SOME);
}

/* ---- the list: each begins by making this thread its first ---- */

#define IN_PTH(work)                                                                               \
	static void start_##work(struct primitive_run *run)                                        \
	{                                                                                          \
		if (!pth_init())                                                                   \
			primitive_skip("Pth does not start");                                      \
		work(run);                                                                         \
	}

IN_PTH(yield)
IN_PTH(spawn_join)
IN_PTH(lock)
IN_PTH(message)
IN_PTH(cancel)
IN_PTH(memory)

const struct primitive primitive_list[] = {
	{ "yield", start_yield, PROCESSOR },
	{ "spawn", start_spawn_join, PROCESSOR },
	{ "lock", start_lock, PROCESSOR },
	{ "message", start_message, PROCESSOR },
	{ "cancel-some", start_cancel, PROCESSOR },
	{ "memory", start_memory, PROCESSOR },
	{ NULL, NULL, PROCESSOR },
};
