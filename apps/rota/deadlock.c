/* SPDX-License-Identifier: MIT */
/*
 * Circles of waits, found by depth-first search: a task that is met again while it is being
 * followed closes one. An edge is a wait that cannot end before the other task has done something;
 * who waits for one of several is left out, any other may come.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "apps/rota/deadlock.h"

enum color { UNSEEN, FOLLOWED, DONE };

/* A task that is being followed, and how far. */
struct step {
	uint32_t task;
	uint32_t future; /* the next of its futures to look at */
	uint64_t scope;  /* whose tasks are looked at; 0: none's */
	uint32_t child;  /* the next of them */
};

struct search {
	struct snapshot *snapshot;
	struct step *steps;
	uint32_t count, room;
};

/* Whether nothing but the futures it waits for gets `task` going: all of them. */
static bool is_stuck_on_all(const struct seen_task *task)
{
	return task->state == SEEN_WAITS && task->pending && task->needed >= task->pending;
}

/* Its next pending future; false: there are no more. */
static bool next_future(struct target *target, const struct seen_task *task, uint32_t *at,
			uint64_t *future, uint8_t *kind)
{
	const struct layout *layout = &target->layout;
	uint64_t set = target_u64(target, task->address, layout->task_waiting);
	uint64_t waits = target_u64(target, set, layout->set_waits);
	uint32_t count = target_u32(target, set, layout->set_count);

	while (!target_faulted(target) && *at < count && *at < SNAPSHOT_SCOPES_MAX) {
		*future = target_u64(target, waits + (*at)++ * layout->wait_bytes,
				     layout->wait_future);
		*kind = target_u8(target, *future, layout->future_kind);
		if (*future && !target_u8(target, *future, layout->future_done))
			return !target_faulted(target);
	}
	return false;
}

/* The next task that has to do something before the step's can go on; NO_TASK: no more. */
static uint32_t next_task(struct snapshot *snapshot, struct step *step)
{
	const struct seen_task *task = &snapshot->tasks[step->task];
	struct wait wait;
	uint64_t future;
	uint8_t kind;

	for (;;) {
		while (step->scope && step->child < task->end) {
			const struct seen_task *child = &snapshot->tasks[step->child];
			uint32_t index = step->child;

			step->child = child->end;
			if (child->owner == step->scope)
				return index;
		}
		step->scope = 0;
		if (!is_stuck_on_all(task) ||
		    !next_future(snapshot->target, task, &step->future, &future, &kind))
			return NO_TASK;
		about_future(snapshot, future, kind, &wait);
		target_faulted(snapshot->target);
		step->scope = wait.scope;
		step->child = step->task + 1;
		/* Who is cancelled waits for its scopes only. */
		if (wait.holder != NO_TASK && !task->is_cancelled)
			return wait.holder;
	}
}

static int push(struct search *search, uint32_t task)
{
	if (search->count == search->room) {
		uint32_t room = search->room ? search->room * 2 : 64;
		struct step *steps = realloc(search->steps, room * sizeof(*steps));

		if (!steps)
			return -ENOMEM;
		search->steps = steps;
		search->room = room;
	}
	search->steps[search->count++] = (struct step){ .task = task };
	search->snapshot->tasks[task].color_ = FOLLOWED;
	return 0;
}

/* Whether `from` still waits, since the same moment, and for `to`. */
static bool still_waits(struct snapshot *snapshot, uint32_t from, uint32_t to)
{
	const struct seen_task *task = &snapshot->tasks[from];
	struct target *target = snapshot->target;
	const struct layout *layout = &target->layout;
	struct step step = { .task = from };
	uint32_t next;

	if (target_u8(target, task->address, layout->task_state) != layout->state_suspended ||
	    target_u64(target, task->address, layout->task_id) != task->id ||
	    (int64_t)target_u64(target, task->address, layout->task_waiting_since) != task->since ||
	    target_faulted(target))
		return false;
	while ((next = next_task(snapshot, &step)) != NO_TASK)
		if (next == to)
			return true;
	return false;
}

/* The steps from the one of `first` on are a circle. */
static int close_circle(struct search *search, uint32_t first, deadlock_fn found, void *arg)
{
	uint32_t circle[DEADLOCK_TASKS_MAX];
	uint32_t begin = search->count;
	unsigned count = 0;

	while (begin > 0 && search->steps[begin - 1].task != first)
		begin--;
	begin--;
	if (search->count - begin > DEADLOCK_TASKS_MAX)
		return 0;
	for (uint32_t i = begin; i < search->count; i++)
		circle[count++] = search->steps[i].task;
	target_forget(search->snapshot->target);
	for (unsigned i = 0; i < count; i++)
		if (!still_waits(search->snapshot, circle[i], circle[(i + 1) % count]))
			return 0;
	found(search->snapshot, circle, count, arg);
	return 1;
}

int deadlocks_find(struct snapshot *snapshot, deadlock_fn found, void *arg)
{
	struct search search = { .snapshot = snapshot };
	int status = 0, circles = 0;

	for (uint32_t i = 0; i < snapshot->tasks_count; i++)
		snapshot->tasks[i].color_ = UNSEEN;
	for (uint32_t i = 0; i < snapshot->tasks_count && circles < DEADLOCKS_MAX; i++) {
		if (snapshot->tasks[i].color_ == UNSEEN && is_stuck_on_all(&snapshot->tasks[i]))
			status = push(&search, i);
		while (status == 0 && search.count && circles < DEADLOCKS_MAX) {
			struct step *step = &search.steps[search.count - 1];
			uint32_t next = next_task(snapshot, step);

			if (next == NO_TASK) {
				snapshot->tasks[step->task].color_ = DONE;
				search.count--;
			} else if (snapshot->tasks[next].color_ == FOLLOWED) {
				circles += close_circle(&search, next, found, arg);
			} else if (snapshot->tasks[next].color_ == UNSEEN) {
				status = push(&search, next);
			}
		}
	}
	free(search.steps);
	return status < 0 ? status : circles;
}

/* Which of its waits is the one for `to`. */
static void find_wait(struct snapshot *snapshot, uint32_t from, uint32_t to, struct wait *wait)
{
	const struct seen_task *task = &snapshot->tasks[from];
	uint64_t future = task->future;
	uint8_t kind = task->kind;
	uint32_t at = 0;

	about_future(snapshot, future, kind, wait);
	while (wait->holder != to && next_future(snapshot->target, task, &at, &future, &kind))
		about_future(snapshot, future, kind, wait);
}

void say_deadlock(struct snapshot *snapshot, const uint32_t tasks[], unsigned count,
		  struct text *text)
{
	text_add(text, "deadlock: ");
	say_task(snapshot, tasks[0], UINT32_MAX, text);
	for (unsigned i = 0; i < count; i++) {
		uint32_t next = tasks[(i + 1) % count];
		const struct seen_task *task = &snapshot->tasks[tasks[i]];
		struct wait wait;

		find_wait(snapshot, tasks[i], next, &wait);
		text_add(text, "%s waits in ", i ? ", which" : "");
		say_frame(places_at(snapshot->places, task->spot), text);
		text_add(text, " for ");
		say_wait(snapshot, task, &wait, text);
		if (wait.scope) {
			text_add(text, ", one of them ");
			say_task(snapshot, next, task->reactor, text);
		}
	}
}
