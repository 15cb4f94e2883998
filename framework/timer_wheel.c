/* SPDX-License-Identifier: MIT */
/*
 * The timer wheel. Thread: the reactor it belongs to.
 *
 * Invariants. cursor <= target. Every timer on a slot has a tick > target at the time it was armed;
 * every slot's ticks are >= cursor. A slot of level L holds the ticks that agree with the cursor in
 * all bits above level L's and are ahead of it in level L's own, except the slot that is being
 * worked on, whose first tick is the cursor itself. `next` is as update_next leaves it, but 0 while
 * timers fire.
 */
#include "framework/timer_wheel.h"

/* Values of rota_timer.slot_; from SLOT_FIRST on, the index over all levels. */
enum { SLOT_NONE, SLOT_QUEUED, SLOT_FIRST };

/* Timers one advance moves down at most: about 0.1 ms when each is a cache miss. A guess. */
#define MOVES_MAX 4096u

static struct rota_timer *next_to_fire(struct rota_timer_wheel *wheel, unsigned *moves_left);
static bool cascade(struct rota_timer_wheel *wheel, unsigned *moves_left);
static bool earliest_slot(const struct rota_timer_wheel *wheel, unsigned *level, uint64_t *start);
static void update_next(struct rota_timer_wheel *wheel);
static void insert(struct rota_timer_wheel *wheel, struct rota_timer *timer, uint64_t tick);
static bool remove_armed(struct rota_timer_wheel *wheel, struct rota_timer *timer);

/* The first tick that does not begin before `deadline` (> 0): no timer fires early. */
static uint64_t tick_from(rota_ns deadline)
{
	return ((uint64_t)deadline + ROTA_WHEEL_TICK_NS - 1) >> ROTA_WHEEL_TICK_BITS;
}

static unsigned level_shift(unsigned level)
{
	return level * ROTA_WHEEL_SLOT_BITS;
}

static unsigned slot_at(uint64_t tick, unsigned level)
{
	return (unsigned)(tick >> level_shift(level)) & (ROTA_WHEEL_SLOTS - 1);
}

void rota__wheel_init(struct rota_timer_wheel *wheel, rota_ns now)
{
	ROTA_ASSERT(now >= 0);
	wheel->cursor = wheel->target = (uint64_t)now >> ROTA_WHEEL_TICK_BITS;
	wheel->next = ROTA_NEVER;
	wheel->cascade_level = 0;
	rota_list_init(&wheel->firing);
	rota_list_init(&wheel->due);
	for (unsigned level = 0; level < ROTA_WHEEL_LEVELS; level++) {
		wheel->occupied[level] = 0;
		for (unsigned slot = 0; slot < ROTA_WHEEL_SLOTS; slot++)
			rota_list_init(&wheel->slots[level][slot]);
	}
}

void rota__wheel_arm(struct rota_timer_wheel *wheel, struct rota_timer *timer, rota_ns deadline)
{
	if (timer->slot_ != SLOT_NONE)
		rota__wheel_disarm(wheel, timer);
	timer->deadline = deadline;
	if (deadline <= 0 || tick_from(deadline) <= wheel->target) {
		rota_list_push_back(&wheel->due, &timer->link_);
		timer->slot_ = SLOT_QUEUED;
		wheel->next = 0;
		return;
	}
	insert(wheel, timer, tick_from(deadline));
}

void rota__wheel_disarm(struct rota_timer_wheel *wheel, struct rota_timer *timer)
{
	if (timer->slot_ == SLOT_NONE)
		return;
	if (remove_armed(wheel, timer))
		update_next(wheel);
	timer->slot_ = SLOT_NONE;
}

unsigned rota__wheel_advance(struct rota_timer_wheel *wheel, rota_ns now, unsigned budget)
{
	unsigned moves_left = MOVES_MAX;
	unsigned fired = 0;

	/* A clock that went back leaves the wheel where it is. */
	if (now > 0 && (uint64_t)now >> ROTA_WHEEL_TICK_BITS > wheel->target)
		wheel->target = (uint64_t)now >> ROTA_WHEEL_TICK_BITS;
	rota_list_splice_back(&wheel->firing, &wheel->due);
	wheel->next = 0; /* looked for once, at the end */
	while (fired < budget) {
		struct rota_timer *timer = next_to_fire(wheel, &moves_left);

		if (!timer)
			break;
		remove_armed(wheel, timer);
		timer->slot_ = SLOT_NONE;
		fired++;
		timer->fire(timer);
	}
	update_next(wheel);
	return fired;
}

/* The next timer due, still armed; NULL when none is, or no moves are left to find it. */
static struct rota_timer *next_to_fire(struct rota_timer_wheel *wheel, unsigned *moves_left)
{
	struct rota_link *queue = &wheel->firing;
	unsigned level;
	uint64_t start;

	while (rota_list_is_empty(queue)) {
		if (wheel->cascade_level && !cascade(wheel, moves_left))
			return NULL;
		/*
		 * Nothing lies between the cursor and the earliest slot, so it may jump, by years
		 * if need be.
		 */
		if (!earliest_slot(wheel, &level, &start) || start > wheel->target) {
			wheel->cursor = wheel->target;
			return NULL;
		}
		wheel->cursor = start;
		if (level)
			wheel->cascade_level = level;
		else
			queue = &wheel->slots[0][slot_at(start, 0)];
	}
	return ROTA_CONTAINER_OF(queue->next, struct rota_timer, link_);
}

/*
 * Move the timers of the slot at the cursor to the levels below. False if moves ran out before it
 * was empty.
 */
static bool cascade(struct rota_timer_wheel *wheel, unsigned *moves_left)
{
	unsigned level = wheel->cascade_level;
	struct rota_link *slot = &wheel->slots[level][slot_at(wheel->cursor, level)];

	while (!rota_list_is_empty(slot)) {
		struct rota_timer *timer;

		if (!*moves_left)
			return false;
		--*moves_left;
		timer = ROTA_CONTAINER_OF(slot->next, struct rota_timer, link_);
		remove_armed(wheel, timer);
		insert(wheel, timer, tick_from(timer->deadline));
	}
	wheel->cascade_level = 0;
	return true;
}

/*
 * The lowest level with timers and the first tick of its first slot: all timers of a level come
 * before those of the next.
 */
static bool earliest_slot(const struct rota_timer_wheel *wheel, unsigned *level, uint64_t *start)
{
	for (unsigned l = 0; l < ROTA_WHEEL_LEVELS; l++) {
		uint64_t slot;

		if (!wheel->occupied[l])
			continue;
		slot = (uint64_t)__builtin_ctzll(wheel->occupied[l]);
		*level = l;
		*start = (wheel->cursor >> level_shift(l + 1) << level_shift(l + 1)) |
			 slot << level_shift(l);
		return true;
	}
	return false;
}

static rota_ns find_next(const struct rota_timer_wheel *wheel)
{
	unsigned level;
	uint64_t start;

	if (!rota_list_is_empty(&wheel->firing) || !rota_list_is_empty(&wheel->due) ||
	    wheel->cascade_level)
		return 0;
	if (!earliest_slot(wheel, &level, &start))
		return ROTA_NEVER;
	if (start <= wheel->target)
		return 0;
	/* The tick after the last whole one of time: what ROTA_NEVER itself was armed for. */
	if (start > (uint64_t)ROTA_NEVER >> ROTA_WHEEL_TICK_BITS)
		return ROTA_NEVER;
	return (rota_ns)(start << ROTA_WHEEL_TICK_BITS);
}

/* Out of line: few arms and disarms change what is next. */
static ROTA_NOINLINE void update_next(struct rota_timer_wheel *wheel)
{
	wheel->next = find_next(wheel);
}

/* Put an unlinked timer on its slot; `tick` >= the cursor. */
static void insert(struct rota_timer_wheel *wheel, struct rota_timer *timer, uint64_t tick)
{
	/* The lowest bit is set so that equal ticks are level 0, too. */
	uint64_t difference = (tick ^ wheel->cursor) | 1;
	unsigned level = (63u - (unsigned)__builtin_clzll(difference)) / ROTA_WHEEL_SLOT_BITS;
	unsigned slot = slot_at(tick, level);

	rota_list_push_back(&wheel->slots[level][slot], &timer->link_);
	wheel->occupied[level] |= UINT64_C(1) << slot;
	timer->slot_ = (uint16_t)(SLOT_FIRST + level * ROTA_WHEEL_SLOTS + slot);
	/* Slots do not overlap: one that begins before the earliest ends before it as well. */
	if (timer->deadline < wheel->next)
		update_next(wheel);
}

/*
 * Take an armed timer off its list; its slot_ is the caller's to set. True: the list is empty now,
 * and `next` may be too early.
 */
static bool remove_armed(struct rota_timer_wheel *wheel, struct rota_timer *timer)
{
	struct rota_link *next = timer->link_.next;
	struct rota_link *prev = timer->link_.prev;

	next->prev = prev;
	prev->next = next;
	/* Only the list's head can be both neighbours, and only when the list is empty now. */
	if (next != prev || next->next != next)
		return false;
	if (timer->slot_ >= SLOT_FIRST) {
		unsigned index = timer->slot_ - (unsigned)SLOT_FIRST;

		wheel->occupied[index / ROTA_WHEEL_SLOTS] &= ~(UINT64_C(1)
							       << index % ROTA_WHEEL_SLOTS);
	}
	return true;
}
