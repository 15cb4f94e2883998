/* SPDX-License-Identifier: MIT */
/*
 * Lines: how tasks wait for what other tasks hand them. Internal to framework/; what all of
 * <rota/sync.h> and <rota/channel.h> is made of. Any reactor's thread, for shared objects.
 *
 * The one idea: every object is a state and a line of waiters, changed together under the line's
 * lock, which only shared objects have. Whoever hands something over takes the waiter off the line
 * first; from then on the waiter's future will be completed, and a cancel comes too late. If the
 * waiter lives on another reactor, a message in its own record does that there, and the record
 * stays until it has come, since the future is not done before.
 *
 * The protocol between reactors is modelled in docs/design/line.pml.
 */
#ifndef ROTA_FRAMEWORK_LINE_H
#define ROTA_FRAMEWORK_LINE_H

#include <rota/sync.h>

#include "framework/reactor_internal.h"

void rota__line_init(struct rota_line *line, enum rota_reach reach);

/* Nobody is in line (asserted). */
void rota__line_fini(struct rota_line *line);

/*
 * In debug builds: public function `call` is about to use an object. Is it there still, and if it
 * is a local one, here? The first use says where that is.
 */
void rota__line_check_use(struct rota_line *line, const char *call);

static inline void rota__line_check(struct rota_line *line, const char *call)
{
	if (ROTA_DEBUG)
		rota__line_check_use(line, call);
}

void rota__line_lock_shared(struct rota_line *line);

static inline void rota__line_lock(struct rota_line *line)
{
	if (line->is_shared_)
		rota__line_lock_shared(line);
}

static inline void rota__line_unlock(struct rota_line *line)
{
	if (line->is_shared_) /* partner: rota__line_lock_shared */
		__atomic_store_n(&line->lock_, 0, __ATOMIC_RELEASE);
}

static inline bool rota__line_is_empty(const struct rota_line *line)
{
	return rota_list_is_empty(&line->waiters_);
}

/* The first in line, who stays there; NULL: nobody. Locked. */
static inline struct rota_waiter *rota__line_first(const struct rota_line *line)
{
	return rota__line_is_empty(line)
		       ? NULL
		       : ROTA_CONTAINER_OF(line->waiters_.next, struct rota_waiter, link_);
}

/* Make `waiter` the current task's, for `object`; `cancel` is its future's. */
static inline void rota__waiter_init(struct rota_waiter *waiter, enum rota_wait_kind kind,
				     const void *object, rota_future_cancel_fn cancel)
{
	rota_future_init(&waiter->future);
	waiter->future.kind_ = (uint8_t)kind;
	waiter->future.cancel_ = cancel;
	waiter->object = object;
	waiter->task_ = rota__task();
	waiter->reactor_ = waiter->task_->reactor;
	waiter->value_ = NULL;
	waiter->select_ = NULL;
	waiter->want_ = 0;
	rota_list_init(&waiter->link_);
}

/* Go to the end of the line. Locked. */
static inline void rota__line_join(struct rota_line *line, struct rota_waiter *waiter)
{
	rota_list_push_back(&line->waiters_, &waiter->link_);
}

/*
 * Take `waiter` off its line and let its future be completed with `result`, here or where it lives.
 * Locked: a cancel either finds it in line, or is too late.
 */
void rota__line_grant(struct rota_waiter *waiter, int64_t result);

/* Grant everybody in line the same. Locked. */
void rota__line_grant_all(struct rota_line *line, int64_t result);

/* Take `waiter` off `line` if it is still there, locking it. */
void rota__line_leave(struct rota_line *line, struct rota_waiter *waiter);

/*
 * A waiter's future is cancelled: if it still stands in line, it leaves, and `left` (may be NULL)
 * is called with its object, locked, for what is different without it. The object begins with its
 * line.
 */
void rota__waiter_give_up(struct rota_future *future, void (*left)(void *object));

/* The same as a cancel function, for lines where leaving concerns nobody else. */
void rota__waiter_cancel(struct rota_future *future);

/*
 * Stand at the end of the locked line until granted something; unlocks it. Returns what was
 * granted, or -ECANCELED / -ETIMEDOUT and was granted nothing.
 */
ROTA_SUSPENDS int64_t rota__line_wait(struct rota_line *line, struct rota_waiter *waiter);

/* What calls return on entry: 0, -ECANCELED or -ETIMEDOUT. */
static inline int rota__task_status(const struct rota_task *task)
{
	return rota__scope_status(task->reactor, task->scope);
}

#endif /* ROTA_FRAMEWORK_LINE_H */
