/* SPDX-License-Identifier: MIT */
/*
 * Awaiting: how a task waits for futures, settles them, and is told of cancellation. Runs on the
 * reactor's thread; the wait records are in the waiting task's frame.
 */
#include <alloca.h>

#include <rota/error.h>
#include <rota/future.h>

#include "framework/await.h"

static void settle(struct rota_future *const futures[], unsigned count);

/* ---- completing ---- */

void rota_future_complete(struct rota_future *future, int64_t result)
{
	struct rota_wait_ *wait;

	ROTA_ASSERT(!future->done_);
	future->result = result;
	future->done_ = true;
	while ((wait = future->waits_)) {
		struct wait_set *set = wait->set;

		/* A future belongs to one reactor; others send a message. */
		ROTA_DCHECK(!rota__current_reactor || set->task->reactor == rota__current_reactor);
		rota__wait_detach(wait);
		if (set->needed && --set->needed == 0)
			rota__task_make_ready(set->task);
	}
}

/* ---- awaiting ---- */

int64_t rota_await(struct rota_future *future)
{
	return rota__await(future);
}

void rota__await_settled(struct rota_future *future)
{
	settle(&future, 1);
}

void rota__await_exempt(struct rota_future *future)
{
	if (!future->done_) {
		struct rota_wait_ wait;
		struct wait_set set = { .task = rota__task(),
					.waits = &wait,
					.count = 1,
					.needed = 1,
					.is_exempt = true };

		rota__wait_attach(&set, &wait, future);
		rota__wait_until_ready(&set, future);
	}
}

/* Wait until `needed` of the futures that are not done yet are; at least one is. */
static void wait_for(struct rota_future *const futures[], unsigned count, unsigned needed)
{
	struct rota_wait_ *waits = alloca(count * sizeof(*waits));
	struct wait_set set = {
		.task = rota__task(), .waits = waits, .count = count, .needed = needed
	};
	const struct rota_future *missing = futures[0];

	for (unsigned i = count; i-- > 0;) {
		waits[i].back = NULL;
		if (futures[i]->done_)
			continue;
		rota__wait_attach(&set, &waits[i], futures[i]);
		missing = futures[i];
	}
	rota__wait_until_ready(&set, missing);
}

static unsigned pending_count(struct rota_future *const futures[], unsigned count)
{
	unsigned pending = 0;

	for (unsigned i = 0; i < count; i++)
		pending += !futures[i]->done_;
	return pending;
}

static int first_done(struct rota_future *const futures[], unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (futures[i]->done_)
			return (int)i;
	return -1;
}

int rota_await_any(struct rota_future *const futures[], unsigned count)
{
	int status = rota_check_cancelled();
	int winner;

	ROTA_ASSERT(count > 0);
	if (status == 0 && first_done(futures, count) < 0)
		wait_for(futures, count, 1);
	winner = first_done(futures, count);
	settle(futures, count);
	if (status == 0)
		status = rota_check_cancelled();
	return status < 0 ? status : winner;
}

int rota_await_all(struct rota_future *const futures[], unsigned count)
{
	int status = rota_check_cancelled();
	unsigned pending = pending_count(futures, count);

	if (status == 0 && pending)
		wait_for(futures, count, pending);
	if (status == 0 && pending_count(futures, count) == 0)
		return 0;
	settle(futures, count);
	return rota_check_cancelled();
}

/*
 * Cancel what can be cancelled and wait for it, one after another: their completions are on their
 * way already.
 */
static void settle(struct rota_future *const futures[], unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (!futures[i]->done_ && futures[i]->cancel_)
			futures[i]->cancel_(futures[i]);
	for (unsigned i = 0; i < count; i++)
		if (futures[i]->cancel_)
			rota__await_exempt(futures[i]);
}

/* ---- cancelling ---- */

void rota__task_cancel_wait(struct rota_task *task)
{
	struct wait_set *set = task->waiting;
	unsigned cancellable = 0;

	if (!set || set->is_exempt || set->was_cancelled || !set->needed)
		return;
	set->was_cancelled = true;
	for (unsigned i = 0; i < set->count; i++) {
		struct rota_wait_ *wait = &set->waits[i];

		if (wait->back && wait->future->cancel_)
			cancellable++;
		else
			rota__wait_detach(wait);
	}
	/*
	 * One more than there are, so that the task is not ready before the last one has been
	 * asked.
	 */
	set->needed = cancellable + 1;
	for (unsigned i = 0; i < set->count; i++)
		if (set->waits[i].back)
			set->waits[i].future->cancel_(set->waits[i].future);
	if (--set->needed == 0)
		rota__task_make_ready(task);
}

/* ---- timers as futures ---- */

static void timeout_fire(struct rota_timer *timer)
{
	struct rota_timeout *timeout = ROTA_CONTAINER_OF(timer, struct rota_timeout, timer_);

	rota__frame_return(timeout->lender_);
	rota_future_complete(&timeout->future, 0);
}

static void timeout_cancel(struct rota_future *future)
{
	struct rota_timeout *timeout = ROTA_CONTAINER_OF(future, struct rota_timeout, future);

	rota__wheel_disarm(&rota__reactor()->wheel, &timeout->timer_);
	rota__frame_return(timeout->lender_);
	rota_future_complete(future, -ECANCELED);
}

void rota_timeout_start(struct rota_timeout *timeout, rota_ns deadline)
{
	rota_future_init(&timeout->future);
	timeout->future.cancel_ = timeout_cancel;
	timeout->future.kind_ = ROTA_WAIT_TIMER;
	rota_timer_init(&timeout->timer_, timeout_fire);
	timeout->lender_ = NULL;
	if (deadline == ROTA_NEVER)
		return;
	timeout->lender_ = rota__frame_lend(timeout);
	rota__wheel_arm(&rota__reactor()->wheel, &timeout->timer_, deadline);
}

int rota_sleep_until(rota_ns deadline)
{
	struct rota_timeout timeout;
	int status = rota_check_cancelled();

	if (status < 0)
		return status;
	rota_timeout_start(&timeout, deadline);
	return (int)rota__await(&timeout.future);
}
