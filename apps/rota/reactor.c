/* SPDX-License-Identifier: MIT */
/*
 * What a reactor is at one look: where it stands, what its engine has counted, what its thread has
 * used, and its scheduling groups. Numbers that a damaged target shows are nonsense, but harmless.
 */
#include "apps/rota/snapshot.h"

/* No engine's instance is larger. */
#define ENGINE_BYTES_MAX (UINT64_C(1) << 24)

/* The engine's counters are in its instance, at the distance it says itself. */
static void look_at_engine(struct target *target, struct seen_reactor *reactor)
{
	const struct layout *layout = &target->layout;
	uint64_t engine = target_u64(target, reactor->address, layout->reactor_backend);
	uint64_t ops, stats_offset;

	if (!engine || layout->ops_stats_offset == LAYOUT_ABSENT)
		return;
	ops = target_u64(target, engine, layout->backend_ops);
	stats_offset = target_u64(target, ops, layout->ops_stats_offset);
	if (stats_offset > ENGINE_BYTES_MAX)
		return;
	reactor->enters = target_u64(target, engine + stats_offset, layout->stats_polls);
	reactor->completions = target_u64(target, engine + stats_offset, layout->stats_completions);
}

/* The first one's tasks are those of none of the others. */
static void look_at_groups(struct target *target, struct seen_reactor *reactor)
{
	const struct layout *layout = &target->layout;
	uint64_t tasks = target_u64(target, reactor->address, layout->reactor_tasks_alive);
	uint64_t address = reactor->address + layout->reactor_groups;

	if (layout->reactor_groups == LAYOUT_ABSENT || layout->group_bytes == LAYOUT_ABSENT ||
	    layout->group_count == LAYOUT_ABSENT)
		return;
	for (uint64_t i = 0; i < layout->group_count && i < SNAPSHOT_GROUPS_MAX;
	     i++, address += layout->group_bytes) {
		struct seen_group *group = &reactor->groups[reactor->groups_count];

		*group = (struct seen_group){
			.address = address,
			.name = target_u64(target, address, layout->group_name),
			.shares = target_u32(target, address, layout->group_shares),
			.tasks = target_u64(target, address, layout->group_tasks_alive),
			.cpu_ns = target_u64(target, address, layout->group_cpu_ns),
		};
		if (!group->shares)
			continue;
		reactor->groups_count++;
		if (i > 0)
			tasks -= group->tasks < tasks ? group->tasks : tasks;
	}
	if (reactor->groups_count)
		reactor->groups[0].tasks = tasks;
}

void snapshot_look_at_reactor(struct target *target, uint64_t address, struct seen_reactor *reactor)
{
	const struct layout *layout = &target->layout;

	*reactor = (struct seen_reactor){
		.address = address,
		.index = target_u32(target, address, layout->reactor_index),
		.current = target_u64(target, address, layout->reactor_current),
		.now = (int64_t)target_u64(target, address, layout->reactor_now),
		.turns = target_u64(target, address, layout->reactor_turns),
		.switches = target_u64(target, address, layout->reactor_switches),
		.cpu_ns = -1,
		.is_open = layout->reactor_is_open == LAYOUT_ABSENT ||
			   target_u8(target, address, layout->reactor_is_open),
		.is_stopping = target_u8(target, address, layout->reactor_is_stopping),
		.is_simulated = target_u8(target, address, layout->reactor_is_simulated),
		.is_sleeping = target_u32(target, address, layout->reactor_is_sleeping),
	};
	reactor->is_incomplete = target_faulted(target);
	look_at_engine(target, reactor);
	look_at_groups(target, reactor);
	/* All simulated ones have one thread: it is nobody's own. */
	if (reactor->is_open && !reactor->is_simulated)
		reactor->cpu_ns = target_thread_cpu_ns(
			target, (pid_t)target_u32(target, address, layout->reactor_tid));
	target_faulted(target); /* it may have been closed just now */
}

const struct seen_group *snapshot_group_of(const struct snapshot *snapshot,
					   const struct seen_task *task)
{
	const struct seen_reactor *reactor = &snapshot->reactors[task->reactor];

	for (unsigned i = 0; i < reactor->groups_count; i++)
		if (reactor->groups[i].address == task->group)
			return &reactor->groups[i];
	return NULL;
}

bool snapshot_uses_groups(const struct seen_reactor *reactor)
{
	for (unsigned i = 1; i < reactor->groups_count; i++)
		if (reactor->groups[i].tasks || reactor->groups[i].cpu_ns)
			return true;
	return false;
}
