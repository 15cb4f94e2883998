/* SPDX-License-Identifier: MIT */
/*
 * Between reactors: messages and calls. Reactors share nothing, so this is the only way across. A
 * message or call is memory of its sender's, linked into the receiver's mailbox: posting cannot
 * fail and needs no slot, and what is under way is bounded by who waits for it.
 */
#ifndef ROTA_MAILBOX_H
#define ROTA_MAILBOX_H

#include <rota/base.h>
#include <rota/future.h>
#include <rota/scope.h>
#include <rota/task.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rota_reactor;

/*
 * Something to be done once on another reactor, in the reactor's own context: `run` may not
 * suspend.
 */
struct rota_message {
	/* caller sets */
	void (*run)(struct rota_message *message);
	/* private */
	struct rota_message *next_;
};

/*
 * Have message->run called on `to`'s thread. Takes the message until `run` is called; `run` may
 * reuse or free it. Messages of one sender to one receiver arrive in order. From a reactor's thread
 * they leave in batches, once per turn; from any other thread at once. Never suspends, never fails.
 * Any thread; `to` must not have been destroyed.
 */
ROTA_API void rota_post(struct rota_reactor *to, struct rota_message *message);

/* Reasons a call takes along when it is cancelled: the caller's and what is behind it. A guess. */
#define ROTA_CALL_REASONS 3

/* A call under way. Caller's memory; lent from rota_call_start until its future is done. */
struct rota_call {
	struct rota_future future; /* completes with the function's result */
	/* private */
	struct rota_message message_;
	struct rota_reactor *from_;
	struct rota_reactor *to_;
	rota_task_fn fn_;
	void *arg_;
	rota_ns deadline_; /* the caller's, carried along */
	const struct rota_site *site_;
	struct rota_task *lender_; /* as in struct rota_timeout */
	struct rota_scope *scope_; /* the callee's scope while it runs; `to_`'s thread only */
	int64_t result_;
	struct rota_message cancel_message_;
	bool cancel_asked_; /* from_'s thread only */
	/* from_'s thread only: the cancel message has not come back */
	bool cancel_in_flight_;
	bool returned_;       /* from_'s thread only: the result is back */
	bool cancel_arrived_; /* to_'s thread only */
	/* why the caller was cancelled, and its causes; goes with cancel_message_ */
	struct rota_cancel_reason reasons_[ROTA_CALL_REASONS];
	/* why the function failed over there, or kind NONE; comes back with the result */
	struct rota_cancel_reason failed_;
};

/*
 * Start fn(arg) as a task on `to` (which may be the caller's own reactor). The caller's deadline
 * goes along; cancelling the future cancels the task over there, and it is done only when that task
 * has ended. Never suspends. Thread: a task's.
 */
#define rota_call_start(call, to, fn, arg)                                                         \
	rota_call_start_at((call), (to), (fn), (arg), ROTA_SITE(#fn))
ROTA_API void rota_call_start_at(struct rota_call *call, struct rota_reactor *to, rota_task_fn fn,
				 void *arg, const struct rota_site *site);

/*
 * Run fn(arg) on `to` and wait for its result. Returns that result; -ENOMEM or -ROTA_ESTACK when it
 * could not be started there, -ROTA_ECLOSING when `to` is stopping; -ECANCELED / -ETIMEDOUT if the
 * caller was cancelled. Suspends. Thread: a task's.
 */
#define rota_call_on(to, fn, arg) rota_call_on_at((to), (fn), (arg), ROTA_SITE(#fn))
ROTA_API ROTA_SUSPENDS int64_t rota_call_on_at(struct rota_reactor *to, rota_task_fn fn, void *arg,
					       const struct rota_site *site);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_MAILBOX_H */
