/* SPDX-License-Identifier: MIT */
/*
 * Deadlocks, found in the graph of waits: sets of tasks that are stuck together, cut into strongly
 * connected parts, as long as what is left of a part by itself is still stuck.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "apps/rota/deadlock.h"

/* Sets that are cut into parts; a damaged target could make many. */
#define SETS_MAX 4096

struct set {
	struct set *next;
	uint32_t count;
	uint32_t nodes[];
};

struct search {
	struct snapshot *snapshot;
	struct graph graph;
	struct set *sets; /* to be cut */
	unsigned sets_count;
	deadlock_fn found;
	void *arg;
	int deadlocks;
};

static int push_set(struct search *search, const uint32_t nodes[], uint32_t count)
{
	struct set *set;

	if (search->sets_count++ == SETS_MAX)
		return 0;
	set = malloc(sizeof(*set) + count * sizeof(*nodes));
	if (!set)
		return -ENOMEM;
	memcpy(set->nodes, nodes, count * sizeof(*nodes));
	set->count = count;
	set->next = search->sets;
	search->sets = set;
	return 0;
}

/* ---- a second look ---- */

/* Whether it still waits, since the same moment. */
static bool still_waits(struct target *target, const struct seen_task *task)
{
	const struct layout *layout = &target->layout;

	return target_u8(target, task->address, layout->task_state) == layout->state_suspended &&
	       target_u64(target, task->address, layout->task_id) == task->id &&
	       (int64_t)target_u64(target, task->address, layout->task_waiting_since) ==
		       task->since &&
	       !target_faulted(target);
}

static int compare(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

	return a < b ? -1 : a > b;
}

/* `tasks` ascend. 1: read anew they are still stuck together. */
static int are_stuck(struct snapshot *snapshot, const uint32_t tasks[], uint32_t count)
{
	uint32_t *nodes = calloc(count, sizeof(*nodes));
	struct graph graph;
	int status;

	for (uint32_t i = 0; i < count; i++) {
		if (!still_waits(snapshot->target, &snapshot->tasks[tasks[i]]) || !nodes) {
			free(nodes);
			return nodes ? 0 : -ENOMEM;
		}
		nodes[i] = i;
	}
	status = waits_graph(&graph, snapshot, tasks, count);
	if (status == 0)
		status = graph_reduce(&graph, nodes, count) == count;
	graph_drop(&graph);
	free(nodes);
	return status;
}

static int still_stuck(struct search *search, const uint32_t nodes[], uint32_t count)
{
	uint32_t *tasks = calloc(count, sizeof(*tasks));
	int status;

	if (!tasks)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		tasks[i] = search->graph.nodes[nodes[i]].task;
	qsort(tasks, count, sizeof(*tasks), compare);
	target_forget(search->snapshot->target);
	status = are_stuck(search->snapshot, tasks, count);
	free(tasks);
	return status;
}

/* ---- what is found ---- */

/* Report `nodes`, in this order, of a part of `part_count`. */
static int report(struct search *search, const uint32_t nodes[], uint32_t count,
		  uint32_t part_count)
{
	struct deadlock deadlock = { .count = DEADLOCK_TASKS_MAX };
	int status = still_stuck(search, nodes, count);

	if (status <= 0)
		return status;
	if (count < DEADLOCK_TASKS_MAX)
		deadlock.count = count;
	for (uint32_t i = 0; i < deadlock.count; i++)
		deadlock.tasks[i] = search->graph.nodes[nodes[i]].task;
	deadlock.more = part_count - deadlock.count;
	search->deadlocks++;
	search->found(search->snapshot, &deadlock, search->arg);
	return 0;
}

/*
 * A part that is stuck by itself: the shortest circle from its first task, if that is stuck by
 * itself as well, or else all of it.
 */
static int take_part(struct search *search, uint32_t nodes[], uint32_t count)
{
	uint32_t *way = calloc((size_t)count * 2, sizeof(*way));
	uint32_t *rest = way ? way + count : NULL;
	int64_t length;
	int status;

	if (!way)
		return -ENOMEM;
	qsort(nodes, count, sizeof(*nodes), compare);
	length = graph_circle(&search->graph, nodes, count, way);
	memcpy(rest, way, count * sizeof(*way));
	if (length > 0 && length <= DEADLOCK_TASKS_MAX &&
	    graph_reduce(&search->graph, rest, (uint32_t)length) == length)
		status = report(search, way, (uint32_t)length, count);
	else
		status = length < 0 ? (int)length : report(search, nodes, count, count);
	free(way);
	return status;
}

static bool is_circle_of_one(const struct graph *graph, uint32_t index)
{
	const struct node *node = &graph->nodes[index];

	for (uint32_t i = graph->goals[node->first_goal].first_edge;
	     i < graph->goals[node[1].first_goal].first_edge; i++)
		if (graph->edges[i] == index)
			return true;
	return false;
}

/* A strongly connected part of a set: what lies outside of it may come now. */
static int cut_part(struct search *search, uint32_t nodes[], uint32_t count)
{
	uint32_t kept;

	if (count == 1 && !is_circle_of_one(&search->graph, nodes[0]))
		return 0;
	kept = graph_reduce(&search->graph, nodes, count);
	if (kept == count)
		return take_part(search, nodes, count);
	return kept ? push_set(search, nodes, kept) : 0;
}

static int cut_set(struct search *search, struct set *set)
{
	uint32_t *ends = calloc(set->count, sizeof(*ends));
	int64_t parts = ends ? graph_components(&search->graph, set->nodes, set->count, ends)
			     : -ENOMEM;
	int status = parts < 0 ? (int)parts : 0;

	/* The part that was found last is the outermost, whose first task comes first. */
	for (int64_t i = parts; status == 0 && i-- > 0 && search->deadlocks < DEADLOCKS_MAX;) {
		uint32_t first = i ? ends[i - 1] : 0;

		status = cut_part(search, set->nodes + first, ends[i] - first);
	}
	free(ends);
	return status;
}

/* All that are stuck, together or because of each other, as one set. */
static int push_stuck(struct search *search)
{
	uint32_t count = search->graph.nodes_count;
	uint32_t *nodes = calloc((size_t)count + 1, sizeof(*nodes));
	int status = 0;

	if (!nodes)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		nodes[i] = i;
	count = graph_reduce(&search->graph, nodes, count);
	if (count)
		status = push_set(search, nodes, count);
	free(nodes);
	return status;
}

int deadlocks_find(struct snapshot *snapshot, deadlock_fn found, void *arg)
{
	struct search search = { .snapshot = snapshot, .found = found, .arg = arg };
	int status = waits_graph(&search.graph, snapshot, NULL, 0);

	if (status == 0)
		status = push_stuck(&search);
	while (search.sets) {
		struct set *set = search.sets;

		search.sets = set->next;
		if (status == 0)
			status = cut_set(&search, set);
		free(set);
	}
	graph_drop(&search.graph);
	return status < 0 ? status : search.deadlocks;
}

/* ---- as a sentence ---- */

static bool leads_to(const struct snapshot *snapshot, const struct wait *wait, uint32_t to)
{
	return wait->holder == to || (wait->scope && snapshot->tasks[to].owner == wait->scope);
}

/* Which of its waits is the one for `to`. */
static void find_wait(struct snapshot *snapshot, uint32_t from, uint32_t to, struct wait *wait)
{
	const struct seen_task *task = &snapshot->tasks[from];
	uint64_t future = task->future;
	uint8_t kind = task->kind;
	uint32_t at = 0;

	about_future(snapshot, future, kind, wait);
	while (!leads_to(snapshot, wait, to) &&
	       waits_next_future(snapshot->target, task, &at, &future, &kind))
		about_future(snapshot, future, kind, wait);
}

static void say_its_wait(struct snapshot *snapshot, uint32_t from, uint32_t next, struct text *text)
{
	const struct seen_task *task = &snapshot->tasks[from];
	struct wait wait;

	text_add(text, " waits in ");
	say_frame(places_at(snapshot->places, task->spot), text);
	text_add(text, " for ");
	if (task->needed < task->pending) {
		say_waits(snapshot, task, text);
		return;
	}
	find_wait(snapshot, from, next, &wait);
	say_wait(snapshot, task, &wait, text);
	if (wait.scope) {
		text_add(text, ", one of them ");
		say_task(snapshot, next, task->reactor, text);
	}
}

/* Whether the sentence about `from` has just ended with the name of `next`. */
static bool ends_with(struct snapshot *snapshot, uint32_t from, uint32_t next)
{
	const struct seen_task *task = &snapshot->tasks[from];
	struct wait wait;

	if (task->needed < task->pending)
		return false;
	find_wait(snapshot, from, next, &wait);
	return leads_to(snapshot, &wait, next);
}

void say_deadlock(struct snapshot *snapshot, const struct deadlock *deadlock, struct text *text)
{
	text_add(text, "deadlock: ");
	for (unsigned i = 0; i < deadlock->count; i++) {
		uint32_t task = deadlock->tasks[i];

		if (i > 0 && ends_with(snapshot, deadlock->tasks[i - 1], task)) {
			text_add(text, ", which");
		} else {
			text_add(text, "%s", i ? "; " : "");
			say_task(snapshot, task, UINT32_MAX, text);
		}
		say_its_wait(snapshot, task, deadlock->tasks[(i + 1) % deadlock->count], text);
	}
	if (deadlock->more)
		text_add(text, "; %" PRIu32 " more task%s stuck with them", deadlock->more,
			 deadlock->more == 1 ? " is" : "s are");
}
