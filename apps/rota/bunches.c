/* SPDX-License-Identifier: MIT */
/*
 * Bunches of tasks that are alike, in a table of fixed size.
 */
#include <stdlib.h>

#include "apps/rota/bunches.h"

#define TABLE_SLOTS ((size_t)2 * BUNCHES_MAX)

static bool is_alike(const struct bunch *bunch, const struct bunch *key)
{
	return bunch->site == key->site && bunch->spot == key->spot && bunch->kind == key->kind &&
	       bunch->state == key->state;
}

static size_t hash(const struct bunch *key)
{
	uint64_t hash = key->site * 31 + key->spot;

	hash = (hash * 31 + key->kind) * 31 + key->state;
	return (size_t)(hash * UINT64_C(0x9e3779b97f4a7c15) >> 40) % TABLE_SLOTS;
}

/* The bunch that is alike `key`, made if there is none. */
static struct bunch *find(struct bunches *bunches, const struct bunch *key)
{
	size_t slot = hash(key);

	while (bunches->table_[slot] &&
	       !is_alike(&bunches->bunches[bunches->table_[slot] - 1], key))
		slot = (slot + 1) % TABLE_SLOTS;
	if (!bunches->table_[slot] && bunches->count < BUNCHES_MAX) {
		bunches->bunches[bunches->count++] = *key;
		bunches->table_[slot] = bunches->count;
	}
	return &bunches->bunches[(bunches->table_[slot] ? bunches->table_[slot] : BUNCHES_MAX) - 1];
}

static struct bunch *add(struct bunch *bunch, const struct seen_task *task, uint32_t index)
{
	bunch->count++;
	bunch->ready += task->state == SEEN_READY || task->state == SEEN_RUNS;
	bunch->cpu_ns += task->cpu_ns;
	if (task->since < bunch->since) {
		bunch->since = task->since;
		bunch->first = index;
	}
	return bunch;
}

struct bunch *bunches_add(struct bunches *bunches, const struct snapshot *snapshot, uint32_t index)
{
	const struct seen_task *task = &snapshot->tasks[index];
	struct bunch key = { .site = task->site,
			     .spot = task->spot,
			     .kind = task->kind,
			     .state = task->state,
			     .first = index,
			     .since = task->since };

	return add(find(bunches, &key), task, index);
}

struct bunch *bunches_add_by_site(struct bunches *bunches, const struct snapshot *snapshot,
				  uint32_t index)
{
	const struct seen_task *task = &snapshot->tasks[index];
	struct bunch key = { .site = task->site, .first = index, .since = task->since };

	return add(find(bunches, &key), task, index);
}

static int compare(const void *left, const void *right)
{
	const struct bunch *a = left, *b = right;

	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return a->first < b->first ? -1 : a->first > b->first;
}

void bunches_sort(struct bunches *bunches)
{
	qsort(bunches->bunches, bunches->count, sizeof(*bunches->bunches), compare);
}
