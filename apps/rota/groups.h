/* SPDX-License-Identifier: MIT */
/*
 * Tasks that are alike: spawned at the same place, in the same state, waiting at the same place for
 * the same kind of thing. A million tasks are a handful of groups.
 */
#ifndef ROTA_APPS_ROTA_GROUPS_H
#define ROTA_APPS_ROTA_GROUPS_H

#include "apps/rota/snapshot.h"

/* More kinds of tasks go into one last group. */
#define GROUPS_MAX 4096

struct group {
	uint64_t site;
	uint32_t spot;
	uint8_t kind;
	uint8_t state;
	uint32_t first; /* the first of its tasks */
	uint64_t count;
	uint64_t hidden; /* of them: not shown one by one */
	uint64_t ready;  /* of them: could run, or do */
	uint64_t cpu_ns; /* what they have used */
	int64_t since;   /* who waits longest: since when */
};

struct groups {
	uint32_t count;
	struct group groups[GROUPS_MAX];
	uint32_t table_[(size_t)2 * GROUPS_MAX]; /* index + 1, open addressing; 0: empty */
};

/* Add a task; returns its group. */
struct group *groups_add(struct groups *groups, const struct snapshot *snapshot, uint32_t task);

/* The same, alike by where they were spawned only. */
struct group *groups_add_by_site(struct groups *groups, const struct snapshot *snapshot,
				 uint32_t task);

/* The largest first; groups_add must not follow. */
void groups_sort(struct groups *groups);

#endif /* ROTA_APPS_ROTA_GROUPS_H */
