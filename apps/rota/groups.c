/* SPDX-License-Identifier: MIT */
/*
 * Groups of tasks that are alike, in a table of fixed size.
 */
#include <stdlib.h>

#include "apps/rota/groups.h"

#define TABLE_SLOTS ((size_t)2 * GROUPS_MAX)

static bool is_alike(const struct group *group, const struct seen_task *task)
{
	return group->site == task->site && group->spot == task->spot &&
	       group->kind == task->kind && group->state == task->state;
}

static size_t hash(const struct seen_task *task)
{
	uint64_t key = task->site * 31 + task->spot;

	key = (key * 31 + task->kind) * 31 + task->state;
	return (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 40) % TABLE_SLOTS;
}

struct group *groups_add(struct groups *groups, const struct snapshot *snapshot, uint32_t index)
{
	const struct seen_task *task = &snapshot->tasks[index];
	struct group *group;
	size_t slot = hash(task);

	while (groups->table_[slot] && !is_alike(&groups->groups[groups->table_[slot] - 1], task))
		slot = (slot + 1) % TABLE_SLOTS;
	if (!groups->table_[slot] && groups->count < GROUPS_MAX) {
		groups->groups[groups->count++] = (struct group){ .site = task->site,
								  .spot = task->spot,
								  .kind = task->kind,
								  .state = task->state,
								  .first = index,
								  .since = task->since };
		groups->table_[slot] = groups->count;
	}
	group = &groups->groups[(groups->table_[slot] ? groups->table_[slot] : GROUPS_MAX) - 1];
	group->count++;
	if (task->since < group->since) {
		group->since = task->since;
		group->first = index;
	}
	return group;
}

static int compare(const void *left, const void *right)
{
	const struct group *a = left, *b = right;

	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return a->first < b->first ? -1 : a->first > b->first;
}

void groups_sort(struct groups *groups)
{
	qsort(groups->groups, groups->count, sizeof(*groups->groups), compare);
}
