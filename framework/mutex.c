/* SPDX-License-Identifier: MIT */
/*
 * What tasks hold: mutexes and reader-writer locks; and conditions, which go with a mutex. See
 * framework/line.h for how they wait.
 */
#include <rota/error.h>
#include <rota/sync.h>

#include "framework/await.h"
#include "framework/line.h"

/* Debug builds name a task that ends and holds a lock; the count would be half the cost of one. */
static inline void count_lock(struct rota_task *task, int by)
{
	if (ROTA_DEBUG)
		task->locks_held += (uint32_t)by;
}

/* ---- mutex ---- */

void rota_mutex_init(struct rota_mutex *mutex, enum rota_reach reach)
{
	rota__line_init(&mutex->line_, reach);
	mutex->owner_ = NULL;
}

void rota_mutex_fini(struct rota_mutex *mutex)
{
	ROTA_ASSERT(!mutex->owner_);
	rota__line_fini(&mutex->line_);
}

int rota_mutex_try_lock(struct rota_mutex *mutex)
{
	struct rota_task *task = rota__task();
	int status = -EAGAIN;

	rota__line_lock(&mutex->line_);
	if (!mutex->owner_) {
		mutex->owner_ = task;
		count_lock(task, 1);
		status = 0;
	}
	rota__line_unlock(&mutex->line_);
	return status;
}

/* Wait in the locked line, which this unlocks, until the mutex has been handed over. */
static int wait_for_mutex(struct rota_mutex *mutex, struct rota_task *task, bool is_exempt)
{
	struct rota_waiter waiter;
	int status = 0;

	rota__waiter_init(&waiter, ROTA_WAIT_MUTEX, mutex, rota__waiter_cancel);
	if (is_exempt) {
		rota__line_join(&mutex->line_, &waiter);
		rota__line_unlock(&mutex->line_);
		rota__await_exempt(&waiter.future);
	} else {
		status = (int)rota__line_wait(&mutex->line_, &waiter);
	}
	if (status == 0)
		count_lock(task, 1);
	return status;
}

/* Shared, held by somebody, or inside something cancelled. */
static ROTA_NOINLINE ROTA_SUSPENDS int lock_slowly(struct rota_mutex *mutex, struct rota_task *task)
{
	int status = rota__task_status(task);

	if (status < 0)
		return status;
	rota__line_lock(&mutex->line_);
	if (mutex->owner_ && mutex->owner_ != task)
		return wait_for_mutex(mutex, task, false);
	status = mutex->owner_ ? -EDEADLK : 0;
	mutex->owner_ = task;
	rota__line_unlock(&mutex->line_);
	count_lock(task, status == 0);
	return status;
}

static ROTA_NOINLINE void unlock_slowly(struct rota_mutex *mutex, struct rota_task *task)
{
	struct rota_waiter *next;

	rota__line_lock(&mutex->line_);
	ROTA_ASSERT(mutex->owner_ == task); /* only who holds a mutex unlocks it */
	next = rota__line_first(&mutex->line_);
	mutex->owner_ = next ? next->task_ : NULL;
	if (next)
		rota__line_grant(next, 0);
	rota__line_unlock(&mutex->line_);
	count_lock(task, -1);
}

/* Local and nobody else near: a look and a store. Debug builds check more. */
int rota_mutex_lock(struct rota_mutex *mutex)
{
	struct rota_task *task = rota__task();

	if (ROTA_UNLIKELY(ROTA_DEBUG || mutex->line_.is_shared_ || mutex->owner_ ||
			  task->reactor->cancelled_scopes))
		return lock_slowly(mutex, task);
	mutex->owner_ = task;
	return 0;
}

void rota_mutex_unlock(struct rota_mutex *mutex)
{
	struct rota_task *task = rota__task();

	if (ROTA_UNLIKELY(ROTA_DEBUG || mutex->line_.is_shared_ || mutex->owner_ != task ||
			  !rota__line_is_empty(&mutex->line_)))
		unlock_slowly(mutex, task);
	else
		mutex->owner_ = NULL;
}

/* ---- condition ---- */

void rota_condition_init(struct rota_condition *condition, enum rota_reach reach)
{
	rota__line_init(&condition->line_, reach);
}

void rota_condition_fini(struct rota_condition *condition)
{
	rota__line_fini(&condition->line_);
}

/* It is in line before it lets go of the mutex: who changes something after that finds it there. */
int rota_condition_wait(struct rota_condition *condition, struct rota_mutex *mutex)
{
	struct rota_task *task = rota__task();
	struct rota_waiter waiter;
	int status = rota__task_status(task);

	ROTA_ASSERT(mutex->owner_ == task);
	if (status < 0)
		return status;
	rota__waiter_init(&waiter, ROTA_WAIT_CONDITION, condition, rota__waiter_cancel);
	rota__line_lock(&condition->line_);
	rota__line_join(&condition->line_, &waiter);
	rota__line_unlock(&condition->line_);
	rota_mutex_unlock(mutex);
	status = (int)rota__await(&waiter.future);
	rota__line_lock(&mutex->line_);
	if (mutex->owner_) {
		rota_ignore(wait_for_mutex(mutex, task, true), "exempt: it comes");
		return status;
	}
	mutex->owner_ = task;
	count_lock(task, 1);
	rota__line_unlock(&mutex->line_);
	return status;
}

void rota_condition_notify(struct rota_condition *condition, uint64_t count)
{
	struct rota_waiter *waiter;

	rota__line_lock(&condition->line_);
	while (count-- && (waiter = rota__line_first(&condition->line_)))
		rota__line_grant(waiter, 0);
	rota__line_unlock(&condition->line_);
}

void rota_condition_notify_all(struct rota_condition *condition)
{
	rota_condition_notify(condition, UINT64_MAX);
}

/* ---- reader-writer lock ---- */

void rota_rwlock_init(struct rota_rwlock *lock, enum rota_reach reach)
{
	rota__line_init(&lock->line_, reach);
	lock->writer_ = NULL;
	lock->readers_ = 0;
}

void rota_rwlock_fini(struct rota_rwlock *lock)
{
	ROTA_ASSERT(!lock->writer_);
	ROTA_ASSERT(!lock->readers_);
	rota__line_fini(&lock->line_);
}

/* Let in who may go in now, from the head of the line: one writer, or all readers up to one. */
static void let_in(struct rota_rwlock *lock)
{
	struct rota_waiter *first;

	while (!lock->writer_ && (first = rota__line_first(&lock->line_))) {
		if (first->future.kind_ == ROTA_WAIT_RWLOCK_READ)
			lock->readers_++;
		else if (lock->readers_)
			return;
		else
			lock->writer_ = first->task_;
		rota__line_grant(first, 0);
	}
}

static void writer_left(void *object)
{
	let_in(object);
}

/* Readers behind a writer that gives up need not wait for it any more. */
static void cancel_rwlock(struct rota_future *future)
{
	rota__waiter_give_up(future, writer_left);
}

/* Locked. True if `task` may have it at once, and has. */
static bool take_rwlock(struct rota_rwlock *lock, struct rota_task *task, bool is_write)
{
	if (lock->writer_ || !rota__line_is_empty(&lock->line_) || (is_write && lock->readers_))
		return false;
	if (is_write)
		lock->writer_ = task;
	else
		lock->readers_++;
	return true;
}

static int lock_rwlock(struct rota_rwlock *lock, bool is_write)
{
	struct rota_task *task = rota__task();
	int status = rota__task_status(task);
	struct rota_waiter waiter;

	if (status < 0)
		return status;
	rota__line_lock(&lock->line_);
	if (ROTA_UNLIKELY(lock->writer_ == task)) {
		rota__line_unlock(&lock->line_);
		return -EDEADLK;
	}
	if (take_rwlock(lock, task, is_write)) {
		rota__line_unlock(&lock->line_);
	} else {
		rota__waiter_init(&waiter,
				  is_write ? ROTA_WAIT_RWLOCK_WRITE : ROTA_WAIT_RWLOCK_READ, lock,
				  cancel_rwlock);
		status = (int)rota__line_wait(&lock->line_, &waiter);
	}
	if (status == 0)
		count_lock(task, 1);
	return status;
}

static int try_lock_rwlock(struct rota_rwlock *lock, bool is_write)
{
	struct rota_task *task = rota__task();
	bool is_taken;

	rota__line_lock(&lock->line_);
	is_taken = take_rwlock(lock, task, is_write);
	rota__line_unlock(&lock->line_);
	if (!is_taken)
		return -EAGAIN;
	count_lock(task, 1);
	return 0;
}

int rota_rwlock_lock_read(struct rota_rwlock *lock)
{
	return lock_rwlock(lock, false);
}

int rota_rwlock_lock_write(struct rota_rwlock *lock)
{
	return lock_rwlock(lock, true);
}

int rota_rwlock_try_lock_read(struct rota_rwlock *lock)
{
	return try_lock_rwlock(lock, false);
}

int rota_rwlock_try_lock_write(struct rota_rwlock *lock)
{
	return try_lock_rwlock(lock, true);
}

void rota_rwlock_unlock_read(struct rota_rwlock *lock)
{
	struct rota_task *task = rota__task();

	rota__line_lock(&lock->line_);
	ROTA_ASSERT(lock->readers_ > 0);
	lock->readers_--;
	let_in(lock);
	rota__line_unlock(&lock->line_);
	count_lock(task, -1);
}

void rota_rwlock_unlock_write(struct rota_rwlock *lock)
{
	struct rota_task *task = rota__task();

	rota__line_lock(&lock->line_);
	ROTA_ASSERT(lock->writer_ == task); /* only who holds a lock unlocks it */
	lock->writer_ = NULL;
	let_in(lock);
	rota__line_unlock(&lock->line_);
	count_lock(task, -1);
}
