/* SPDX-License-Identifier: MIT */
/*
 * The graph of waits, as read from a target.
 */
#include <string.h>

#include "apps/rota/waits.h"

bool waits_next_future(struct target *target, const struct seen_task *task, uint32_t *at,
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

/* What somebody in particular has to do something for; see about_future. */
static bool has_owner(const char *kind)
{
	static const char *const kinds[] = { "mutex", "rwlock_read", "rwlock_write", "once",
					     "task",  "scope",       "call" };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kind, kinds[i]))
			return true;
	return false;
}

/* What waits for a timer only is left out, so that a million sleepers take no room. */
static bool may_be_stuck(const struct snapshot *snapshot, const struct seen_task *task)
{
	const struct layout *layout = &snapshot->target->layout;

	return task->state == SEEN_WAITS && task->pending &&
	       (task->pending > 1 ||
		(task->kind < LAYOUT_KINDS_MAX && has_owner(layout->kinds[task->kind])));
}

/* `task` has to do something before the last goal can be done. */
static int add_edge(struct graph *graph, uint32_t task)
{
	uint32_t to = graph_find(graph, task);

	return to == NO_NODE ? 0 : graph_add_edge(graph, to);
}

/* The tasks of a scope that `parent` closes. */
static int add_scope(struct graph *graph, const struct snapshot *snapshot, uint32_t parent,
		     uint64_t scope)
{
	const struct seen_task *tasks = snapshot->tasks;
	int status = 0;

	for (uint32_t i = parent + 1; status == 0 && i < tasks[parent].end; i = tasks[i].end)
		if (tasks[i].owner == scope)
			status = add_edge(graph, i);
	return status;
}

static int add_goal(struct graph *graph, struct snapshot *snapshot, uint32_t node, uint64_t future,
		    uint8_t kind)
{
	uint32_t index = graph->nodes[node].task;
	int status = graph_add_goal(graph, node);
	struct wait wait;

	about_future(snapshot, future, kind, &wait);
	target_faulted(snapshot->target);
	if (status == 0 && wait.scope)
		status = add_scope(graph, snapshot, index, wait.scope);
	/* Who is cancelled waits for its scopes only. */
	if (status == 0 && wait.holder != NO_TASK && !snapshot->tasks[index].is_cancelled)
		status = add_edge(graph, wait.holder);
	return status;
}

static int add_goals(struct graph *graph, struct snapshot *snapshot, uint32_t index)
{
	struct node *node = &graph->nodes[index];
	const struct seen_task *task = &snapshot->tasks[node->task];
	struct target *target = snapshot->target;
	uint64_t set = target_u64(target, task->address, target->layout.task_waiting);
	uint64_t future;
	uint32_t at = 0;
	uint8_t kind;
	int status = 0;

	node->needed = target_u32(target, set, target->layout.set_needed);
	while (status == 0 && waits_next_future(target, task, &at, &future, &kind)) {
		node->pending++;
		status = add_goal(graph, snapshot, index, future, kind);
	}
	if (node->needed > node->pending)
		node->needed = node->pending;
	return status;
}

int waits_graph(struct graph *graph, struct snapshot *snapshot, const uint32_t tasks[],
		uint32_t count)
{
	int status = 0;

	*graph = (struct graph){ .sets = 0 };
	if (!tasks)
		count = snapshot->tasks_count;
	for (uint32_t i = 0; status == 0 && i < count; i++)
		if (tasks || may_be_stuck(snapshot, &snapshot->tasks[i]))
			status = graph_add_node(graph, tasks ? tasks[i] : i);
	for (uint32_t i = 0; status == 0 && i < graph->nodes_count; i++)
		status = add_goals(graph, snapshot, i);
	return status < 0 ? status : graph_finish(graph);
}
