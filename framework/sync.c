/* SPDX-License-Identifier: MIT */
/*
 * What tasks count and wait for: semaphores, events, latches, barriers, once. See framework/line.h
 * for how they wait.
 */
#include <rota/error.h>
#include <rota/sync.h>

#include "framework/line.h"

/* ---- semaphore ---- */

void rota_semaphore_init(struct rota_semaphore *semaphore, enum rota_reach reach, uint64_t units)
{
	rota__line_init(&semaphore->line_, reach);
	semaphore->free_ = units;
}

void rota_semaphore_fini(struct rota_semaphore *semaphore)
{
	rota__line_fini(&semaphore->line_);
}

/* Locked. Units to the head of the line, as long as there are enough for it. */
static void serve(struct rota_semaphore *semaphore)
{
	struct rota_waiter *first;

	while ((first = rota__line_first(&semaphore->line_)) && first->want_ <= semaphore->free_) {
		semaphore->free_ -= first->want_;
		rota__line_grant(first, 0);
	}
}

static void wanter_left(void *object)
{
	serve(object);
}

/* There may be enough for those behind one that gives up. */
static void cancel_semaphore(struct rota_future *future)
{
	rota__waiter_give_up(future, wanter_left);
}

/* Locked. */
static bool take_units(struct rota_semaphore *semaphore, uint64_t units)
{
	if (!rota__line_is_empty(&semaphore->line_) || units > semaphore->free_)
		return false;
	semaphore->free_ -= units;
	return true;
}

int rota_semaphore_acquire(struct rota_semaphore *semaphore, uint64_t units)
{
	int status = rota__task_status(rota__task());
	struct rota_waiter waiter;

	rota__line_check(&semaphore->line_, __func__);
	if (status < 0)
		return status;
	rota__line_lock(&semaphore->line_);
	if (take_units(semaphore, units)) {
		rota__line_unlock(&semaphore->line_);
		return 0;
	}
	rota__waiter_init(&waiter, ROTA_WAIT_SEMAPHORE, semaphore, cancel_semaphore);
	waiter.want_ = units;
	return (int)rota__line_wait(&semaphore->line_, &waiter);
}

int rota_semaphore_try_acquire(struct rota_semaphore *semaphore, uint64_t units)
{
	bool is_taken;

	rota__line_check(&semaphore->line_, __func__);
	rota__line_lock(&semaphore->line_);
	is_taken = take_units(semaphore, units);
	rota__line_unlock(&semaphore->line_);
	return is_taken ? 0 : -EAGAIN;
}

void rota_semaphore_release(struct rota_semaphore *semaphore, uint64_t units)
{
	rota__line_check(&semaphore->line_, __func__);
	rota__line_lock(&semaphore->line_);
	ROTA_ASSERT(semaphore->free_ <= UINT64_MAX - units);
	semaphore->free_ += units;
	serve(semaphore);
	rota__line_unlock(&semaphore->line_);
}

/* ---- event ---- */

void rota_event_init(struct rota_event *event, enum rota_reach reach)
{
	rota__line_init(&event->line_, reach);
	event->is_set_ = false;
}

void rota_event_fini(struct rota_event *event)
{
	rota__line_fini(&event->line_);
}

void rota_event_set(struct rota_event *event)
{
	rota__line_check(&event->line_, __func__);
	rota__line_lock(&event->line_);
	event->is_set_ = true;
	rota__line_grant_all(&event->line_, 0);
	rota__line_unlock(&event->line_);
}

void rota_event_clear(struct rota_event *event)
{
	rota__line_check(&event->line_, __func__);
	rota__line_lock(&event->line_);
	event->is_set_ = false;
	rota__line_unlock(&event->line_);
}

bool rota_event_is_set(struct rota_event *event)
{
	bool is_set;

	rota__line_check(&event->line_, __func__);
	rota__line_lock(&event->line_);
	is_set = event->is_set_;
	rota__line_unlock(&event->line_);
	return is_set;
}

int rota_event_wait(struct rota_event *event)
{
	int status = rota__task_status(rota__task());
	struct rota_waiter waiter;

	rota__line_check(&event->line_, __func__);
	if (status < 0)
		return status;
	rota__line_lock(&event->line_);
	if (event->is_set_) {
		rota__line_unlock(&event->line_);
		return 0;
	}
	rota__waiter_init(&waiter, ROTA_WAIT_EVENT, event, rota__waiter_cancel);
	return (int)rota__line_wait(&event->line_, &waiter);
}

/* ---- latch ---- */

void rota_latch_init(struct rota_latch *latch, enum rota_reach reach, uint64_t count)
{
	rota__line_init(&latch->line_, reach);
	latch->left_ = count;
}

void rota_latch_fini(struct rota_latch *latch)
{
	rota__line_fini(&latch->line_);
}

void rota_latch_count_down(struct rota_latch *latch, uint64_t count)
{
	rota__line_check(&latch->line_, __func__);
	rota__line_lock(&latch->line_);
	ROTA_ASSERT(count <= latch->left_);
	latch->left_ -= count;
	if (!latch->left_)
		rota__line_grant_all(&latch->line_, 0);
	rota__line_unlock(&latch->line_);
}

int rota_latch_wait(struct rota_latch *latch)
{
	int status = rota__task_status(rota__task());
	struct rota_waiter waiter;

	rota__line_check(&latch->line_, __func__);
	if (status < 0)
		return status;
	rota__line_lock(&latch->line_);
	if (!latch->left_) {
		rota__line_unlock(&latch->line_);
		return 0;
	}
	rota__waiter_init(&waiter, ROTA_WAIT_LATCH, latch, rota__waiter_cancel);
	return (int)rota__line_wait(&latch->line_, &waiter);
}

/* ---- barrier ---- */

void rota_barrier_init(struct rota_barrier *barrier, enum rota_reach reach, uint64_t parties)
{
	ROTA_ASSERT(parties > 0);
	rota__line_init(&barrier->line_, reach);
	barrier->parties_ = parties;
	barrier->arrived_ = 0;
}

void rota_barrier_fini(struct rota_barrier *barrier)
{
	rota__line_fini(&barrier->line_);
}

static void party_left(void *object)
{
	struct rota_barrier *barrier = object;

	barrier->arrived_--;
}

static void cancel_barrier(struct rota_future *future)
{
	rota__waiter_give_up(future, party_left);
}

/* The order is that of the line when the last one comes: some may have left it before. */
int64_t rota_barrier_wait(struct rota_barrier *barrier)
{
	int status = rota__task_status(rota__task());
	struct rota_waiter waiter, *first;

	rota__line_check(&barrier->line_, __func__);
	if (status < 0)
		return status;
	rota__line_lock(&barrier->line_);
	if (++barrier->arrived_ < barrier->parties_) {
		rota__waiter_init(&waiter, ROTA_WAIT_BARRIER, barrier, cancel_barrier);
		return rota__line_wait(&barrier->line_, &waiter);
	}
	barrier->arrived_ = 0;
	for (int64_t i = 0; (first = rota__line_first(&barrier->line_)); i++)
		rota__line_grant(first, i);
	rota__line_unlock(&barrier->line_);
	return (int64_t)barrier->parties_ - 1;
}

/* ---- once ---- */

void rota_once_init(struct rota_once *once, enum rota_reach reach)
{
	rota__line_init(&once->line_, reach);
	once->runner_ = NULL;
	once->is_done_ = false;
	once->result_ = 0;
}

void rota_once_fini(struct rota_once *once)
{
	ROTA_ASSERT(!once->runner_);
	rota__line_fini(&once->line_);
}

/* It is the caller's turn: run fn, then tell the others, or let the next one try. */
static int64_t run_once(struct rota_once *once, rota_task_fn fn, void *arg)
{
	int64_t result = fn(arg);
	struct rota_waiter *next;

	rota__line_lock(&once->line_);
	once->runner_ = NULL;
	if (result >= 0) {
		once->is_done_ = true;
		once->result_ = result;
		rota__line_grant_all(&once->line_, 0);
	} else if ((next = rota__line_first(&once->line_))) {
		once->runner_ = next->task_;
		rota__line_grant(next, 0);
	}
	rota__line_unlock(&once->line_);
	return result;
}

int64_t rota_once_run(struct rota_once *once, rota_task_fn fn, void *arg)
{
	struct rota_task *task = rota__task();
	int64_t status = rota__task_status(task);
	struct rota_waiter waiter;

	rota__line_check(&once->line_, __func__);
	if (status < 0)
		return status;
	rota__line_lock(&once->line_);
	if (once->runner_ && once->runner_ != task) {
		rota__waiter_init(&waiter, ROTA_WAIT_ONCE, once, rota__waiter_cancel);
		status = rota__line_wait(&once->line_, &waiter);
		if (status < 0)
			return status;
		/* Done, or the turn was handed over. */
		rota__line_lock(&once->line_);
		if (!once->is_done_) {
			ROTA_DCHECK(once->runner_ == task);
			rota__line_unlock(&once->line_);
			return run_once(once, fn, arg);
		}
	} else if (once->runner_) {
		rota__line_unlock(&once->line_);
		return -EDEADLK;
	} else if (!once->is_done_) {
		once->runner_ = task;
		rota__line_unlock(&once->line_);
		return run_once(once, fn, arg);
	}
	status = once->result_;
	rota__line_unlock(&once->line_);
	return status;
}
