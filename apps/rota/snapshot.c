/* SPDX-License-Identifier: MIT */
/*
 * The walk. Lists are followed as long as they are lists: each link must point back to the one
 * before, and each task say that it is of this reactor and this scope. So what is being changed is
 * noticed, and tried again; and since every task has one owner, and every scope one task, the walk
 * cannot go in circles between them. A circle within one list is found as R. P. Brent finds cycles
 * ("An improved Monte Carlo factorization algorithm", BIT 20, 1980): by comparing with a link that
 * was passed, a later one each time the way has doubled.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rota/base.h>

#include "apps/rota/snapshot.h"

/* Lists that are yet to be walked. */
#define LEVELS_MAX 65536

/* How often a list that is being changed is walked before what was seen has to do. */
#define TRIES 3

/* One list of tasks that is being walked. */
struct level {
	uint64_t scope;
	uint64_t head; /* the list's */
	uint64_t link; /* where the walk is; 0: not begun */
	uint64_t mark; /* for circles */
	uint64_t way, way_to_mark;
	uint32_t parent;
	uint32_t first; /* the records before this list */
	unsigned tries;
};

struct walk {
	struct snapshot *snapshot;
	struct target *target;
	const struct layout *layout;
	struct seen_reactor *reactor;
	struct level *levels; /* a stack: lists yet to be walked, innermost last */
	uint32_t count;
};

static void push_list(struct walk *walk, uint64_t scope, uint64_t offset, uint32_t parent)
{
	if (walk->count == LEVELS_MAX)
		walk->reactor->is_incomplete = true;
	else
		walk->levels[walk->count++] =
			(struct level){ .scope = scope, .head = scope + offset, .parent = parent };
}

/* A scope's tasks are on two lists: those a cancellation has reached, and those it has not. */
static void push_scope(struct walk *walk, uint64_t scope, uint32_t parent)
{
	push_list(walk, scope, walk->layout->scope_unswept, parent);
	push_list(walk, scope, walk->layout->scope_children, parent);
}

/*
 * The scopes that `task` has open, from the innermost out to the one it lives in: pushed in this
 * order, so that the outermost is walked first.
 */
static void push_scopes_of(struct walk *walk, uint32_t index)
{
	const struct seen_task *task = &walk->snapshot->tasks[index];
	uint64_t scope = task->scope;

	if (task->depth >= SNAPSHOT_DEPTH_MAX)
		walk->reactor->is_incomplete = true;
	for (unsigned i = 0; scope != task->owner && task->depth < SNAPSHOT_DEPTH_MAX; i++) {
		if (i == SNAPSHOT_SCOPES_MAX ||
		    target_u64(walk->target, scope, walk->layout->scope_task) != task->address) {
			walk->reactor->is_incomplete = true;
			break;
		}
		push_scope(walk, scope, index);
		scope = target_u64(walk->target, scope, walk->layout->scope_parent);
	}
}

/* ---- one task ---- */

/* What it waits for: the first future that is not done, and how many there are. */
static void look_at_wait(struct walk *walk, struct seen_task *task)
{
	const struct layout *layout = walk->layout;
	uint64_t set = target_u64(walk->target, task->address, layout->task_waiting);
	uint64_t wait = target_u64(walk->target, set, layout->set_waits);
	uint32_t count = target_u32(walk->target, set, layout->set_count);

	if (!set || target_u64(walk->target, set, layout->set_task) != task->address)
		return;
	task->needed = target_u32(walk->target, set, layout->set_needed);
	for (uint32_t i = 0; i < count && i < SNAPSHOT_SCOPES_MAX;
	     i++, wait += layout->wait_bytes) {
		uint64_t future = target_u64(walk->target, wait, layout->wait_future);

		if (!future || target_u64(walk->target, wait, layout->wait_set) != set ||
		    target_u8(walk->target, future, layout->future_done))
			continue;
		if (!task->pending++) {
			task->future = future;
			task->kind = target_u8(walk->target, future, layout->future_kind);
		}
	}
}

static uint8_t state_of(const struct layout *layout, uint8_t state)
{
	if (state == layout->state_ready)
		return SEEN_READY;
	if (state == layout->state_running)
		return SEEN_RUNS;
	if (state == layout->state_suspended)
		return SEEN_WAITS;
	return state == layout->state_ended ? SEEN_ENDED : SEEN_STATE_COUNT;
}

/* A cancelled scope around it, up to a shield, is what its calls would find. */
static bool is_cancelled(struct walk *walk, uint64_t scope)
{
	const struct layout *layout = walk->layout;

	for (unsigned i = 0; scope && i < SNAPSHOT_SCOPES_MAX; i++) {
		if (target_u32(walk->target, scope + layout->scope_reason, layout->reason_kind) !=
		    (uint32_t)layout->cancel_none)
			return true;
		if (target_u8(walk->target, scope, layout->scope_is_shield))
			return false;
		scope = target_u64(walk->target, scope, layout->scope_parent);
	}
	return false;
}

/* False if there is no task of this reactor and this scope at `address`. */
static bool look_at_task(struct walk *walk, const struct level *level, uint64_t address,
			 struct seen_task *task)
{
	struct target *target = walk->target;
	const struct layout *layout = walk->layout;

	*task = (struct seen_task){
		.address = address,
		.id = target_u64(target, address, layout->task_id),
		.name = target_u64(target, address, layout->task_name),
		.site = target_u64(target, address, layout->task_site),
		.owner = target_u64(target, address, layout->task_owner),
		.scope = target_u64(target, address, layout->task_scope),
		.result = target_u64(target, address, layout->task_result),
		.arg = target_u64(target, address, layout->task_arg),
		.group = target_u64(target, address, layout->task_group),
		.cpu_ns = target_u64(target, address, layout->task_cpu_ns),
		.since = (int64_t)target_u64(target, address, layout->task_waiting_since),
		.parent = level->parent,
		.reactor = (uint32_t)(walk->reactor - walk->snapshot->reactors),
		.state = state_of(layout, target_u8(target, address, layout->task_state)),
		.is_in_generator = target_u64(target, address, layout->task_generator) != 0,
	};
	if (target_u64(target, address, layout->task_reactor) != walk->reactor->address ||
	    task->owner != level->scope || task->state == SEEN_STATE_COUNT ||
	    target_faulted(target))
		return false;
	if (level->parent != NO_TASK)
		task->depth = (uint16_t)(walk->snapshot->tasks[level->parent].depth + 1);
	if (task->state == SEEN_WAITS)
		look_at_wait(walk, task);
	/* To know where a live one runs it would have to be stopped. */
	if (task->state == SEEN_WAITS || task->state == SEEN_READY ||
	    (task->state == SEEN_RUNS && target->is_core))
		task->spot = stack_user_spot(walk->snapshot->places, address,
					     task->state == SEEN_RUNS);
	if (layout->scope_reason != LAYOUT_ABSENT && layout->cancel_none != LAYOUT_ABSENT)
		task->is_cancelled = is_cancelled(walk, task->scope);
	/* What is not there about a wait may have ended just now. */
	target_faulted(target);
	return true;
}

/* ---- the walk ---- */

/* One more record; NULL: no memory, or as many as are kept. */
static struct seen_task *new_record(struct snapshot *snapshot)
{
	if (snapshot->tasks_count == snapshot->tasks_room_) {
		uint32_t room = snapshot->tasks_room_ ? snapshot->tasks_room_ * 2 : 1024;
		struct seen_task *tasks;

		if (room > SNAPSHOT_TASKS_MAX)
			return NULL;
		tasks = realloc(snapshot->tasks, room * sizeof(*tasks));
		if (!tasks)
			return NULL;
		snapshot->tasks = tasks;
		snapshot->tasks_room_ = room;
	}
	return &snapshot->tasks[snapshot->tasks_count];
}

/* The list is not in order: once more from its begin, or leave it at what was seen of it. */
static void stumble(struct walk *walk, struct level *level)
{
	if (!walk->target->is_core && ++level->tries < TRIES) {
		walk->snapshot->tasks_count = level->first;
		target_forget(walk->target);
		level->link = 0;
		return;
	}
	walk->reactor->is_incomplete = true;
	walk->count--;
}

/* A link that was there before. */
static bool is_circle(struct level *level)
{
	if (level->link == level->mark)
		return true;
	if (++level->way >= level->way_to_mark) {
		level->mark = level->link;
		level->way_to_mark = level->way_to_mark * 2 + 1;
		level->way = 0;
	}
	return false;
}

/* One step along the innermost list. */
static void step(struct walk *walk)
{
	struct level *level = &walk->levels[walk->count - 1];
	uint64_t before = level->link ? level->link : level->head;
	uint64_t link = target_u64(walk->target, before, 0);
	struct seen_task *record;

	if (!level->link) {
		level->first = walk->snapshot->tasks_count;
		level->way = level->mark = level->way_to_mark = 0;
	}
	if (target_u64(walk->target, link, sizeof(uint64_t)) != before ||
	    target_faulted(walk->target)) {
		stumble(walk, level);
		return;
	}
	if (link == level->head) {
		walk->count--;
		return;
	}
	level->link = link;
	record = new_record(walk->snapshot);
	if (!record) {
		walk->reactor->more++;
		if (is_circle(level))
			stumble(walk, level);
		return;
	}
	if (is_circle(level) ||
	    !look_at_task(walk, level, link - walk->layout->task_scope_link, record)) {
		stumble(walk, level);
		return;
	}
	push_scopes_of(walk, walk->snapshot->tasks_count++);
}

/* Where each subtree ends: known once all is walked, from the last record to the first. */
static void mark_ends(struct snapshot *snapshot)
{
	for (uint32_t i = 0; i < snapshot->tasks_count; i++)
		snapshot->tasks[i].end = i + 1;
	for (uint32_t i = snapshot->tasks_count; i-- > 0;) {
		struct seen_task *task = &snapshot->tasks[i];

		if (task->parent != NO_TASK && snapshot->tasks[task->parent].end < task->end)
			snapshot->tasks[task->parent].end = task->end;
	}
}

static void walk_reactor(struct walk *walk)
{
	walk->count = 0;
	walk->reactor->first = walk->snapshot->tasks_count;
	push_scope(walk, walk->reactor->address + walk->layout->reactor_root, NO_TASK);
	while (walk->count)
		step(walk);
	walk->reactor->end = walk->snapshot->tasks_count;
}

int snapshot_take(struct snapshot *snapshot, struct target *target, struct places *places)
{
	struct walk walk = { .snapshot = snapshot, .target = target, .layout = &target->layout };
	uint64_t slots = target->layout.reactors_count;

	*snapshot = (struct snapshot){ .target = target, .places = places };
	if (slots > SNAPSHOT_REACTORS_MAX)
		slots = SNAPSHOT_REACTORS_MAX;
	snapshot->reactors = calloc(slots + 1, sizeof(*snapshot->reactors));
	snapshot->levels_ = calloc(LEVELS_MAX, sizeof(*snapshot->levels_));
	walk.levels = snapshot->levels_;
	if (!snapshot->reactors || !snapshot->levels_) {
		snapshot_drop(snapshot);
		return -ENOMEM;
	}
	for (uint32_t slot = 0; slot < slots; slot++) {
		uint64_t address = target_reactor(target, slot);

		if (target_faulted(target) || !address)
			continue;
		walk.reactor = &snapshot->reactors[snapshot->reactors_count++];
		snapshot_look_at_reactor(target, address, walk.reactor);
		walk_reactor(&walk);
	}
	mark_ends(snapshot);
	return 0;
}

void snapshot_drop(struct snapshot *snapshot)
{
	free(snapshot->reactors);
	free(snapshot->tasks);
	free(snapshot->levels_);
	free(snapshot->by_address);
	free(snapshot->by_result);
	free(snapshot->by_arg);
	*snapshot = (struct snapshot){ 0 };
}

int64_t snapshot_now(const struct snapshot *snapshot, const struct seen_reactor *reactor)
{
	return snapshot->target->is_core || reactor->is_simulated ? reactor->now
								  : snapshot->target->now;
}

/* ---- finding tasks ---- */

static uint64_t address_of(const struct seen_task *task)
{
	return task->address;
}

static uint64_t result_of(const struct seen_task *task)
{
	return task->result;
}

static uint64_t arg_of(const struct seen_task *task)
{
	return task->arg;
}

struct order {
	const struct seen_task *tasks;
	uint64_t (*key)(const struct seen_task *task);
};

static int compare(const void *left, const void *right, void *context)
{
	const struct order *order = context;
	uint64_t a = order->key(&order->tasks[*(const uint32_t *)left]);
	uint64_t b = order->key(&order->tasks[*(const uint32_t *)right]);

	return a < b ? -1 : a > b;
}

/* Sorted on first use; without memory for that nothing is found. */
static uint32_t find(struct snapshot *snapshot, uint32_t **index,
		     uint64_t (*key)(const struct seen_task *task), uint64_t wanted)
{
	struct order order = { snapshot->tasks, key };
	uint32_t low = 0, high = snapshot->tasks_count;

	if (!*index) {
		*index = calloc((size_t)snapshot->tasks_count + 1, sizeof(**index));
		if (!*index)
			return NO_TASK;
		for (uint32_t i = 0; i < snapshot->tasks_count; i++)
			(*index)[i] = i;
		qsort_r(*index, snapshot->tasks_count, sizeof(**index), compare, &order);
	}
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (key(&snapshot->tasks[(*index)[middle]]) < wanted)
			low = middle + 1;
		else
			high = middle;
	}
	if (!wanted || low == snapshot->tasks_count ||
	    key(&snapshot->tasks[(*index)[low]]) != wanted)
		return NO_TASK;
	return (*index)[low];
}

uint32_t snapshot_task_at(struct snapshot *snapshot, uint64_t address)
{
	return find(snapshot, &snapshot->by_address, address_of, address);
}

uint32_t snapshot_task_of_result(struct snapshot *snapshot, uint64_t future)
{
	return find(snapshot, &snapshot->by_result, result_of, future);
}

uint32_t snapshot_task_of_arg(struct snapshot *snapshot, uint64_t arg)
{
	return find(snapshot, &snapshot->by_arg, arg_of, arg);
}
