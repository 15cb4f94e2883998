/* SPDX-License-Identifier: MIT */
/*
 * Lines of waiters. The lock of a shared line is held for a few instructions and never while
 * anything waits, so it is spun for; who holds it may have lost its processor, so not for long.
 */
#include <sched.h>

#include <rota/error.h>

#include "framework/await.h"
#include "framework/line.h"

/* Turns of a spin before the processor is given up. A guess: about 2 us. */
#define SPINS_MAX 64

void rota__line_init(struct rota_line *line, enum rota_reach reach)
{
	*line = (struct rota_line){ .is_shared_ = reach == ROTA_SHARED };
	rota_list_init(&line->waiters_);
}

void rota__line_fini(struct rota_line *line)
{
	ROTA_ASSERT(rota__line_is_empty(line)); /* somebody still waits */
}

void rota__line_lock_shared(struct rota_line *line)
{
	unsigned spins = 0;

	/* Partner: rota__line_unlock. */
	while (__atomic_exchange_n(&line->lock_, 1, __ATOMIC_ACQUIRE))
		while (__atomic_load_n(&line->lock_, __ATOMIC_RELAXED)) {
			if (++spins % SPINS_MAX)
				rota_pause();
			else
				sched_yield();
		}
}

void rota__line_check_home(struct rota_line *line)
{
	struct rota_reactor *here = rota__current_reactor;

	if (!line->home_)
		line->home_ = here;
	/* a local object is used by the tasks of one reactor; ROTA_SHARED is for several */
	ROTA_ASSERT(line->home_ == here);
}

static void grant_arrived(struct rota_message *message)
{
	struct rota_waiter *waiter = ROTA_CONTAINER_OF(message, struct rota_waiter, message_);

	rota_future_complete(&waiter->future, waiter->result_);
}

void rota__line_grant(struct rota_waiter *waiter, int64_t result)
{
	rota_list_remove(&waiter->link_);
	if (waiter->reactor_ == rota__current_reactor) {
		rota_future_complete(&waiter->future, result);
		return;
	}
	waiter->result_ = result;
	waiter->message_.run = grant_arrived;
	rota_post(waiter->reactor_, &waiter->message_);
}

void rota__line_grant_all(struct rota_line *line, int64_t result)
{
	struct rota_waiter *waiter;

	while ((waiter = rota__line_first(line)))
		rota__line_grant(waiter, result);
}

void rota__line_leave(struct rota_line *line, struct rota_waiter *waiter)
{
	rota__line_lock(line);
	rota_list_remove(&waiter->link_);
	rota__line_unlock(line);
}

void rota__waiter_give_up(struct rota_future *future, void (*left)(void *object))
{
	struct rota_waiter *waiter = ROTA_CONTAINER_OF(future, struct rota_waiter, future);
	void *object = (void *)(uintptr_t)waiter->object;
	struct rota_line *line = object; /* every object begins with its line */
	bool was_there;

	rota__line_lock(line);
	was_there = !rota_list_is_empty(&waiter->link_);
	if (was_there) {
		rota_list_remove(&waiter->link_);
		if (left)
			left(object);
	}
	rota__line_unlock(line);
	if (was_there)
		rota_future_complete(future, -ECANCELED);
}

void rota__waiter_cancel(struct rota_future *future)
{
	rota__waiter_give_up(future, NULL);
}

int64_t rota__line_wait(struct rota_line *line, struct rota_waiter *waiter)
{
	rota__line_join(line, waiter);
	rota__line_unlock(line);
	return rota__await(&waiter->future);
}
