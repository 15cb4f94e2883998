/* SPDX-License-Identifier: MIT */
/*
 * The hierarchical timer wheel (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987,
 * scheme 7). Framework-internal; belongs to one reactor. Arm and disarm are O(1) and allocate
 * nothing.
 *
 * The one idea: time is counted in ticks, and a timer's level is the highest group of six bits in
 * which its tick differs from the wheel's. So all timers of a level share the bits above it,
 * nothing ever wraps, and the earliest slot is the first set bit of the first level that has any.
 */
#ifndef ROTA_FRAMEWORK_TIMER_WHEEL_H
#define ROTA_FRAMEWORK_TIMER_WHEEL_H

#include <rota/timer.h>

#define ROTA_WHEEL_TICK_BITS 16 /* a tick is 65 536 ns */
#define ROTA_WHEEL_TICK_NS (INT64_C(1) << ROTA_WHEEL_TICK_BITS)
#define ROTA_WHEEL_SLOT_BITS 6
#define ROTA_WHEEL_SLOTS (1u << ROTA_WHEEL_SLOT_BITS)
#define ROTA_WHEEL_LEVELS 8u /* 48 bits of ticks: all there are */

struct rota_timer_wheel {
	rota_ns next; /* kept for rota__wheel_next */
	/* tick up to which all slots have been handled; the one at it may be half done */
	uint64_t cursor;
	uint64_t target;         /* tick of the latest `now`; behind it the cursor catches up */
	unsigned cascade_level;  /* > 0: the slot of this level at the cursor is half moved down */
	struct rota_link firing; /* timers that were armed when due already; now their turn */
	struct rota_link due;    /* the same, for the next advance */
	uint64_t occupied[ROTA_WHEEL_LEVELS]; /* bit per slot that has timers */
	struct rota_link slots[ROTA_WHEEL_LEVELS][ROTA_WHEEL_SLOTS];
};

/* An empty wheel; time begins at `now` (>= 0). */
void rota__wheel_init(struct rota_timer_wheel *wheel, rota_ns now);

/*
 * Fire `timer` at `deadline`; at the next advance when that is past, never when it is ROTA_NEVER.
 * Armed already: moved.
 */
void rota__wheel_arm(struct rota_timer_wheel *wheel, struct rota_timer *timer, rota_ns deadline);

/* It will not fire. Harmless if not armed. */
void rota__wheel_disarm(struct rota_timer_wheel *wheel, struct rota_timer *timer);

/*
 * Fire what is due at `now`, at most `budget` timers, earlier ticks first; also bounded in the
 * timers it moves between levels. What remains stays due: then rota__wheel_next is <= now. What
 * callbacks arm for `now` or before waits for the next advance.
 * Returns how many fired. Callbacks may not call it.
 */
unsigned rota__wheel_advance(struct rota_timer_wheel *wheel, rota_ns now, unsigned budget);

/*
 * When to call rota__wheel_advance next: no timer is due before. ROTA_NEVER when none is armed, 0
 * when one is due already. May be early (slots must be moved between levels), never late.
 */
static inline rota_ns rota__wheel_next(const struct rota_timer_wheel *wheel)
{
	return wheel->next;
}

#endif /* ROTA_FRAMEWORK_TIMER_WHEEL_H */
