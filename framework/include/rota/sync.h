/* SPDX-License-Identifier: MIT */
/*
 * Synchronisation of tasks: mutex, reader-writer lock, semaphore, condition, event, latch, barrier,
 * once. Each is the caller's memory, needs no allocation, and is for the tasks of one reactor
 * (ROTA_LOCAL) or of several (ROTA_SHARED); what does not suspend may be called by any thread, too,
 * if the object is shared.
 *
 * The one idea: who has to wait stands in a line, first come, first served, with a record in its
 * own frame, and what it waits for is handed over: an unlock with somebody in line gives the mutex
 * to them, never just frees it. So nobody can overtake, no wake-up can be lost, and who is
 * cancelled either leaves the line, or has been given the thing already and gets it. Every wait
 * honours scopes and returns -ECANCELED or -ETIMEDOUT like any other.
 *
 * All records start with struct rota_line, so that a tool can find who waits.
 */
#ifndef ROTA_SYNC_H
#define ROTA_SYNC_H

#include <rota/base.h>
#include <rota/future.h>
#include <rota/mailbox.h>
#include <rota/task.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rota_reactor;

/* Who may use an object. */
enum rota_reach {
	/* tasks of one reactor: the one that uses it first; costs no atomic operation */
	ROTA_LOCAL,
	ROTA_SHARED, /* tasks of all reactors of the process */
};

/* Private to the framework: who waits for an object, in order. */
struct rota_line {
	struct rota_link waiters_;
	struct rota_reactor *home_; /* local: the reactor it belongs to; NULL: not used yet */
	uint32_t lock_;             /* atomic; shared: held for a few instructions */
	bool is_shared_;
	bool is_ended_; /* …_fini has been called */
};

/* Private to the framework: one in a line. In the waiter's frame; lent until its future is done. */
struct rota_waiter {
	struct rota_future future;
	const void *object; /* what it waits for; kind_ of the future says what that is */
	struct rota_link link_;
	struct rota_reactor *reactor_;
	struct rota_task *task_;
	struct rota_message message_; /* from another reactor: the future is to be completed */
	int64_t result_;              /* with this */
	void *value_;                 /* channels: the message to be sent, or where it goes */
	struct rota_select_ *select_; /* channels: it is one of several; NULL: it is not */
	uint64_t want_;               /* semaphore: units; select: cases; others: none */
};

/* ---- mutex ---- */

/*
 * One task at a time. May be held across waits: for short sections without any, a reactor needs no
 * lock at all.
 */
struct rota_mutex {
	struct rota_line line_;
	struct rota_task *owner_; /* NULL: free */
};

/* A free mutex. */
ROTA_API void rota_mutex_init(struct rota_mutex *mutex, enum rota_reach reach);

/* Nobody holds it or waits for it (asserted). */
ROTA_API void rota_mutex_fini(struct rota_mutex *mutex);

/*
 * Returns   0: the current task holds it, until rota_mutex_unlock; -EDEADLK: it did already;
 *           -ECANCELED / -ETIMEDOUT: it does not.
 * Suspends  while another task holds it, or others came before.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_mutex_lock(struct rota_mutex *mutex);

/* The same without waiting: -EAGAIN when it is held. Honours no cancellation. Thread: a task's. */
ROTA_API ROTA_MUST_USE int rota_mutex_try_lock(struct rota_mutex *mutex);

/*
 * Hand it to the first in line, or free it. Never suspends. Thread: the task that holds it
 * (asserted). In debug builds a task that ends and holds a lock is named, and the process aborts.
 */
ROTA_API void rota_mutex_unlock(struct rota_mutex *mutex);

/* ---- reader-writer lock ---- */

/* Many readers or one writer, in order of arrival: a reader waits behind a writer that waits. */
struct rota_rwlock {
	struct rota_line line_;
	struct rota_task *writer_; /* NULL: none */
	uint64_t readers_;
};

/* A free lock. At fini nobody holds it or waits for it (asserted). */
ROTA_API void rota_rwlock_init(struct rota_rwlock *lock, enum rota_reach reach);
ROTA_API void rota_rwlock_fini(struct rota_rwlock *lock);

/*
 * Returns   0: held until the matching unlock; -EDEADLK: the task is its writer already;
 *           -ECANCELED / -ETIMEDOUT. A reader that asks a second time may wait for a writer that
 *           waits for its first: don't.
 * Suspends  while it has to wait.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_rwlock_lock_read(struct rota_rwlock *lock);
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_rwlock_lock_write(struct rota_rwlock *lock);

/* The same without waiting: -EAGAIN. Thread: a task's. */
ROTA_API ROTA_MUST_USE int rota_rwlock_try_lock_read(struct rota_rwlock *lock);
ROTA_API ROTA_MUST_USE int rota_rwlock_try_lock_write(struct rota_rwlock *lock);

/* Let go. Never suspends. Thread: a task that holds it (for the writer asserted). */
ROTA_API void rota_rwlock_unlock_read(struct rota_rwlock *lock);
ROTA_API void rota_rwlock_unlock_write(struct rota_rwlock *lock);

/* ---- semaphore ---- */

/* A number of units that are taken and given back; by whom does not matter. */
struct rota_semaphore {
	struct rota_line line_;
	uint64_t free_;
};

/* With `units` free. At fini nobody waits (asserted). */
ROTA_API void rota_semaphore_init(struct rota_semaphore *semaphore, enum rota_reach reach,
				  uint64_t units);
ROTA_API void rota_semaphore_fini(struct rota_semaphore *semaphore);

/*
 * Take `units`, all at once. Who wants many is not overtaken by who wants few.
 * Returns 0, or -ECANCELED / -ETIMEDOUT and has none. Suspends while there are too few.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_semaphore_acquire(struct rota_semaphore *semaphore,
								uint64_t units);

/* The same without waiting: -EAGAIN. Any thread, if it is shared. */
ROTA_API ROTA_MUST_USE int rota_semaphore_try_acquire(struct rota_semaphore *semaphore,
						      uint64_t units);

/* Give `units` back, or add them. Never suspends. Any thread, if it is shared. */
ROTA_API void rota_semaphore_release(struct rota_semaphore *semaphore, uint64_t units);

/* ---- condition ---- */

/* Wait for a change of what a mutex protects. */
struct rota_condition {
	struct rota_line line_;
};

/* At fini nobody waits (asserted). */
ROTA_API void rota_condition_init(struct rota_condition *condition, enum rota_reach reach);
ROTA_API void rota_condition_fini(struct rota_condition *condition);

/*
 * Let go of `mutex`, wait for a notification, and take the mutex again, also when cancelled: it is
 * held when this returns, whatever it returns. What was waited for may have changed again by then:
 * wait in a loop.
 * Returns 0: notified; -ECANCELED / -ETIMEDOUT: not notified, and nobody's notification lost.
 * Suspends. Thread: the task that holds the mutex (asserted).
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_condition_wait(struct rota_condition *condition,
							     struct rota_mutex *mutex);

/* Wake the first `count` of those who wait now. Never suspends. Any thread, if it is shared. */
ROTA_API void rota_condition_notify(struct rota_condition *condition, uint64_t count);
ROTA_API void rota_condition_notify_all(struct rota_condition *condition);

/* ---- event ---- */

/* Set or not; who waits goes on when it is. */
struct rota_event {
	struct rota_line line_;
	bool is_set_;
};

/* Not set. At fini nobody waits (asserted). */
ROTA_API void rota_event_init(struct rota_event *event, enum rota_reach reach);
ROTA_API void rota_event_fini(struct rota_event *event);

/* Wake all who wait; from now on nobody waits. Never suspends. Any thread, if it is shared. */
ROTA_API void rota_event_set(struct rota_event *event);
ROTA_API void rota_event_clear(struct rota_event *event);
ROTA_API bool rota_event_is_set(struct rota_event *event);

/* Wait until it is set. Returns 0, also if it was cleared again since; -ECANCELED / -ETIMEDOUT. */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_event_wait(struct rota_event *event);

/* ---- latch ---- */

/* A number of things to be done; who waits goes on when all are, for ever. */
struct rota_latch {
	struct rota_line line_;
	uint64_t left_;
};

/* `count` things are left to be done. At fini nobody waits (asserted). */
ROTA_API void rota_latch_init(struct rota_latch *latch, enum rota_reach reach, uint64_t count);
ROTA_API void rota_latch_fini(struct rota_latch *latch);

/* `count` more are done; not more than are left (asserted). Any thread, if it is shared. */
ROTA_API void rota_latch_count_down(struct rota_latch *latch, uint64_t count);

/* Wait until all are done. Returns 0, -ECANCELED or -ETIMEDOUT. */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_latch_wait(struct rota_latch *latch);

/* ---- barrier ---- */

/* `parties` tasks wait for each other, round after round. */
struct rota_barrier {
	struct rota_line line_;
	uint64_t parties_;
	uint64_t arrived_;
};

/* parties: at least 1 (asserted). At fini nobody waits (asserted). */
ROTA_API void rota_barrier_init(struct rota_barrier *barrier, enum rota_reach reach,
				uint64_t parties);
ROTA_API void rota_barrier_fini(struct rota_barrier *barrier);

/*
 * Wait until all parties have come.
 * Returns   the order of arrival in this round, from 0; exactly one gets 0. -ECANCELED /
 *           -ETIMEDOUT: the task has left, as if it had not come, and the others go on waiting.
 * Suspends  for all but the last to come.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int64_t rota_barrier_wait(struct rota_barrier *barrier);

/* ---- once ---- */

/* Something to be done once, by whoever needs it first. */
struct rota_once {
	struct rota_line line_;
	struct rota_task *runner_; /* who is at it; NULL: nobody */
	bool is_done_;
	int64_t result_;
};

/* Not done. At fini nobody is at it or waits (asserted). */
ROTA_API void rota_once_init(struct rota_once *once, enum rota_reach reach);
ROTA_API void rota_once_fini(struct rota_once *once);

/*
 * The first caller runs fn(arg), which may suspend; the others wait for it. When it fails, the next
 * in line runs its own fn(arg).
 * Returns   what the one that succeeded returned (>= 0), now and for ever; the caller's own fn's
 *           failure; -EDEADLK when fn itself comes here; -ECANCELED / -ETIMEDOUT.
 * Suspends  if another is at it, or fn does.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int64_t rota_once_run(struct rota_once *once, rota_task_fn fn,
							   void *arg);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_SYNC_H */
