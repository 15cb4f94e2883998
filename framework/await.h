/* SPDX-License-Identifier: MIT */
/*
 * Waiting for one future, inlined. Internal to framework/; the reactor's thread, inside a task.
 *
 * A function that returns after a switch returns to where the processor does not expect it, 8 ns
 * each. So the framework's own calls that wait take the whole of rota_await into themselves, and
 * leave one such return, to the caller's code (docs/design/0001-tasks.md).
 */
#ifndef ROTA_FRAMEWORK_AWAIT_H
#define ROTA_FRAMEWORK_AWAIT_H

#include <rota/error.h>

#include "framework/reactor_internal.h"

#define ROTA_AWAIT_INLINE static inline __attribute__((always_inline))

/* `wait`, part of `set`, is on the list of who waits for `future`. */
ROTA_AWAIT_INLINE void rota__wait_attach(struct wait_set *set, struct rota_wait_ *wait,
					 struct rota_future *future)
{
	wait->set = set;
	wait->future = future;
	wait->next = future->waits_;
	wait->back = &future->waits_;
	if (wait->next)
		wait->next->back = &wait->next;
	future->waits_ = wait;
}

/* It is no more; harmless when it was not. */
ROTA_AWAIT_INLINE void rota__wait_detach(struct rota_wait_ *wait)
{
	if (!wait->back)
		return;
	*wait->back = wait->next;
	if (wait->next)
		wait->next->back = wait->back;
	wait->back = NULL;
}

/*
 * Suspend the set's task until as many are done as it needs, or a cancellation ends the wait.
 * `missing`, the first future that is not done, stands for all in the flight recorder: of a select
 * or a gather they are of one kind.
 */
ROTA_AWAIT_INLINE ROTA_SUSPENDS void rota__wait_until_ready(struct wait_set *set,
							    const struct rota_future *missing)
{
	struct rota_task *task = set->task;

	task->waiting = set;
	rota__record(task->reactor, ROTA_RECORD_WAIT,
		     (uint64_t)missing->kind_ << 48 | RECORD_LOW(set->count, 16) << 32 |
			     set->needed);
	rota__task_suspend(task);
	task->waiting = NULL;
	/* Nothing points into the waiting frame any more. */
	for (unsigned i = 0; i < set->count; i++)
		rota__wait_detach(&set->waits[i]);
}

/* Cancel `future`, which can be, and wait until it is done. */
ROTA_SUSPENDS void rota__await_settled(struct rota_future *future);

/* rota_await. */
ROTA_AWAIT_INLINE ROTA_SUSPENDS int64_t rota__await(struct rota_future *future)
{
	struct rota_task *task = rota__task();
	int status = rota__scope_status(task->reactor, task->scope);

	if (ROTA_UNLIKELY(status < 0)) {
		if (future->done_ || !future->cancel_)
			return status;
		rota__await_settled(future);
	} else if (!future->done_) {
		struct rota_wait_ wait;
		struct wait_set set = { .task = task, .waits = &wait, .count = 1, .needed = 1 };

		if (ROTA_UNLIKELY(future == task->result))
			return -EDEADLK;
		rota__wait_attach(&set, &wait, future);
		rota__wait_until_ready(&set, future);
	}
	/*
	 * Still pending, or cancelled by us or by another waiter: if we were told to stop, that is
	 * why.
	 */
	if (ROTA_UNLIKELY(!future->done_ || future->result == -ECANCELED)) {
		status = rota__scope_status(task->reactor, task->scope);
		if (status < 0)
			return status;
	}
	return future->result;
}

#endif /* ROTA_FRAMEWORK_AWAIT_H */
