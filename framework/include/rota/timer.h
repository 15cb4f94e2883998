/* SPDX-License-Identifier: MIT */
/*
 * Timers on the reactor's wheel. The caller owns the timer, zeroed before its first use and immovable while armed. Thread: the
 * reactor's own.
 *
 * The one idea: a timer fires once, never before its deadline, and when the reactor is idle at most one tick of the wheel
 * (66 µs) after it. Its callback runs between tasks and may not suspend; it may arm and disarm any timer.
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
	void (*fire)(struct rota_timer *timer); /* the timer is no longer armed then, and may be freed or armed again */
	/* read-only */
	rota_ns deadline; /* as armed last */
	/* private */
	struct rota_link link_;
	uint16_t slot_; /* where on the wheel; 0: not armed */
};

#ifdef __cplusplus
}
#endif

#endif /* ROTA_TIMER_H */
