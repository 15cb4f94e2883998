/* SPDX-License-Identifier: MIT */
/*
 * Futures: a result to come, completed exactly once. Everything that can be waited for is one: an
 * I/O operation, a timer, a task's end, a call on another reactor. A future belongs to one reactor
 * and is used on its thread only.
 *
 * The one idea: a future is memory of whoever wants the result, usually a local variable, and so it
 * outlives the wait. There is no promise object beside it: whoever holds the pointer may complete
 * it, once.
 */
#ifndef ROTA_FUTURE_H
#define ROTA_FUTURE_H

#include <rota/base.h>
#include <rota/time.h>
#include <rota/timer.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rota_future;
struct rota_task;
struct rota_wait_;

/*
 * Asks whatever will complete the future to do it soon. The future still completes, with -ECANCELED
 * or with its result.
 */
typedef void (*rota_future_cancel_fn)(struct rota_future *future);

/* What will complete a future: for those who look at a task that waits, from inside or outside. */
enum rota_wait_kind {
	ROTA_WAIT_FUTURE, /* whoever calls rota_future_complete */
	ROTA_WAIT_TASK,   /* a task's end: its result */
	ROTA_WAIT_SCOPE,  /* the end of all tasks of a scope that is being closed */
	ROTA_WAIT_TIMER,
	ROTA_WAIT_IO,   /* an operation of the engine's */
	ROTA_WAIT_CALL, /* a function on another reactor */
	ROTA_WAIT_CONN_INPUT,
	ROTA_WAIT_CONN_OUTPUT,
	ROTA_WAIT_MUTEX,
	ROTA_WAIT_RWLOCK_READ,
	ROTA_WAIT_RWLOCK_WRITE,
	ROTA_WAIT_SEMAPHORE,
	ROTA_WAIT_CONDITION,
	ROTA_WAIT_EVENT,
	ROTA_WAIT_BARRIER,
	ROTA_WAIT_LATCH,
	ROTA_WAIT_ONCE,
	ROTA_WAIT_CHANNEL_SEND,
	ROTA_WAIT_CHANNEL_RECEIVE,
	ROTA_WAIT_BROADCAST,
	ROTA_WAIT_OFFLOAD, /* a thread of the offload pool */
	ROTA_WAIT_SELECT,  /* one of several channels */
	ROTA_WAIT_KIND_COUNT
};

struct rota_future {
	/* read-only */
	int64_t result; /* valid once rota_future_is_done(): >= 0, or negative errno */
	/* private */
	struct rota_wait_ *waits_;     /* who waits, newest first */
	rota_future_cancel_fn cancel_; /* NULL: nothing to cancel, a waiter just stops waiting */
	bool done_;
	uint8_t kind_; /* enum rota_wait_kind */
};

/* A pending future which somebody completes with rota_future_complete. */
static inline void rota_future_init(struct rota_future *future)
{
	future->result = 0;
	future->waits_ = NULL;
	future->cancel_ = NULL;
	future->done_ = false;
	future->kind_ = ROTA_WAIT_FUTURE;
}

static inline bool rota_future_is_done(const struct rota_future *future)
{
	return future->done_;
}

/*
 * Complete the future: once (asserted). Its waiters become ready and run in a later pass; none runs
 * inside this call. Never suspends. Thread: the future's reactor. The memory may be reused as soon
 * as the waiters have run.
 */
ROTA_API void rota_future_complete(struct rota_future *future, int64_t result);

/*
 * Wait until `future` is done.
 *
 * Returns   the future's result, or, when a scope around the caller is or becomes cancelled,
 *           -ECANCELED or -ETIMEDOUT (rota_why() has the reason). A pending future that can be
 *           cancelled (an operation, a timer) has then been cancelled and is done, and if it got a
 *           result all the same, that result is returned; any other future is left as it is, with
 *           its result if it has one. -EDEADLK: the task awaits its own end.
 * Suspends  if the future is not done. Several tasks may await the same future.
 */
ROTA_API ROTA_SUSPENDS int64_t rota_await(struct rota_future *future);

/*
 * Wait until one of `futures` is done, then settle the others: each one that can be cancelled is
 * cancelled and waited for, so that nothing of them is lent to anybody when this returns, and a
 * result that came anyway is in its future. Futures that cannot be cancelled (another task's end)
 * are left as they are.
 *
 * count     at least 1.
 * Returns   the lowest index of a future that was done first, or -ECANCELED / -ETIMEDOUT (after
 *           settling).
 * Suspends  yes.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_await_any(struct rota_future *const futures[],
							unsigned count);

/*
 * Wait until all of `futures` are done, whatever their results; those stand in the futures.
 *
 * Returns   0, or -ECANCELED / -ETIMEDOUT; then those that can be cancelled are done, the others
 *           may be pending.
 * Suspends  if one is not done.
 */
ROTA_API ROTA_MUST_USE ROTA_SUSPENDS int rota_await_all(struct rota_future *const futures[],
							unsigned count);

/* ---- timers as futures ---- */

/* A future that completes with 0 at a deadline; cancelled, with -ECANCELED. Caller's memory. */
struct rota_timeout {
	struct rota_future future;
	/* private */
	struct rota_timer timer_;
	struct rota_task *lender_; /* in debug builds: in whose frame it is; NULL: in none */
};

/*
 * Start waiting for `deadline` on the current reactor. The memory is lent until the future is done.
 * Never suspends.
 */
ROTA_API void rota_timeout_start(struct rota_timeout *timeout, rota_ns deadline);

/*
 * Sleep until `deadline`, as precisely as rota_timer_arm. Returns 0, or -ECANCELED / -ETIMEDOUT
 * when a scope was cancelled. Suspends.
 */
ROTA_API ROTA_SUSPENDS int rota_sleep_until(rota_ns deadline);

/* Sleep for `duration_ms`; otherwise as rota_sleep_until. */
static inline ROTA_SUSPENDS int rota_sleep_ms(int64_t duration_ms)
{
	return rota_sleep_until(rota_after_ms(duration_ms));
}

#ifdef __cplusplus
}
#endif

#endif /* ROTA_FUTURE_H */
