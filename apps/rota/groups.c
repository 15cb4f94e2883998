/* SPDX-License-Identifier: MIT */
/*
 * Groups of tasks that are alike, in a table of fixed size.
 */
#include <stdlib.h>

#include "apps/rota/groups.h"

#define TABLE_SLOTS ((size_t)2 * GROUPS_MAX)

static bool is_alike(const struct group *group, const struct group *key)
{
	return group->site == key->site && group->spot == key->spot && group->kind == key->kind &&
	       group->state == key->state;
}

static size_t hash(const struct group *key)
{
	uint64_t hash = key->site * 31 + key->spot;

	hash = (hash * 31 + key->kind) * 31 + key->state;
	return (size_t)(hash * UINT64_C(0x9e3779b97f4a7c15) >> 40) % TABLE_SLOTS;
}

/* The group that is alike `key`, made if there is none. */
static struct group *find(struct groups *groups, const struct group *key)
{
	size_t slot = hash(key);

	while (groups->table_[slot] && !is_alike(&groups->groups[groups->table_[slot] - 1], key))
		slot = (slot + 1) % TABLE_SLOTS;
	if (!groups->table_[slot] && groups->count < GROUPS_MAX) {
		groups->groups[groups->count++] = *key;
		groups->table_[slot] = groups->count;
	}
	return &groups->groups[(groups->table_[slot] ? groups->table_[slot] : GROUPS_MAX) - 1];
}

static struct group *add(struct group *group, const struct seen_task *task, uint32_t index)
{
	group->count++;
	group->ready += task->state == SEEN_READY || task->state == SEEN_RUNS;
	group->cpu_ns += task->cpu_ns;
	if (task->since < group->since) {
		group->since = task->since;
		group->first = index;
	}
	return group;
}

struct group *groups_add(struct groups *groups, const struct snapshot *snapshot, uint32_t index)
{
	const struct seen_task *task = &snapshot->tasks[index];
	struct group key = { .site = task->site,
			     .spot = task->spot,
			     .kind = task->kind,
			     .state = task->state,
			     .first = index,
			     .since = task->since };

	return add(find(groups, &key), task, index);
}

struct group *groups_add_by_site(struct groups *groups, const struct snapshot *snapshot,
				 uint32_t index)
{
	const struct seen_task *task = &snapshot->tasks[index];
	struct group key = { .site = task->site, .first = index, .since = task->since };

	return add(find(groups, &key), task, index);
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
