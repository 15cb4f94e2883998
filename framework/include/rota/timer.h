/* SPDX-License-Identifier: MIT */
/*
 * Timers on the reactor's wheel. The caller owns the timer, zeroed before its first use and
 * immovable while armed. Thread: the reactor's own.
 *
 * The one idea: a timer fires once, never before its deadline, and when the reactor is idle at most
 * one tick of the wheel (66 µs) after it. Its callback runs between tasks and may not suspend; it
 * may arm and disarm any timer.
 */
#ifndef ROTA_TIMER_H
#define ROTA_TIMER_H

#include <rota/base.h>
#include <rota/time.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rota_timer {
	/* caller sets */
	/* the timer is no longer armed then, and may be freed or armed again */
	void (*fire)(struct rota_timer *timer);
	/* read-only */
	rota_ns deadline; /* as armed last */
	/* private */
	struct rota_link link_;
	uint16_t slot_; /* where on the wheel; 0: not armed */
	uint16_t home_; /* while armed, in debug builds: by which reactor */
};

/* A timer that calls `fire`; not armed. */
static inline void rota_timer_init(struct rota_timer *timer, void (*fire)(struct rota_timer *timer))
{
	timer->fire = fire;
	timer->deadline = ROTA_NEVER;
	timer->link_.next = NULL;
	timer->link_.prev = NULL;
	timer->slot_ = 0;
	timer->home_ = 0;
}

/*
 * Fire at `deadline`, never before it and up to 65.6 us after it (one step of the wheel's time,
 * also for a deadline that is just now); at once (in this or the next turn) when that is past,
 * never when it is ROTA_NEVER. Moves a timer that is armed already. O(1), never suspends, cannot
 * fail. Lends `timer` until it has fired or was disarmed.
 */
ROTA_API void rota_timer_arm(struct rota_timer *timer, rota_ns deadline);

/* It will not fire. Harmless if not armed. */
ROTA_API void rota_timer_disarm(struct rota_timer *timer);

static inline bool rota_timer_is_armed(const struct rota_timer *timer)
{
	return timer->slot_ != 0;
}

#ifdef __cplusplus
}
#endif

#endif /* ROTA_TIMER_H */
