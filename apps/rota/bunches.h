/* SPDX-License-Identifier: MIT */
/*
 * Tasks that are alike: spawned at the same place, in the same state, waiting at the same place for
 * the same kind of thing. A million tasks are a handful of bunches.
 */
#ifndef ROTA_APPS_ROTA_BUNCHES_H
#define ROTA_APPS_ROTA_BUNCHES_H

#include "apps/rota/snapshot.h"

/* More kinds of tasks go into one last bunch. */
#define BUNCHES_MAX 4096

struct bunch {
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

struct bunches {
	uint32_t count;
	struct bunch bunches[BUNCHES_MAX];
	uint32_t table_[(size_t)2 * BUNCHES_MAX]; /* index + 1, open addressing; 0: empty */
};

/* Add a task; returns its bunch. */
struct bunch *bunches_add(struct bunches *bunches, const struct snapshot *snapshot, uint32_t task);

/* The same, alike by where they were spawned only. */
struct bunch *bunches_add_by_site(struct bunches *bunches, const struct snapshot *snapshot,
				  uint32_t task);

/* The largest first; bunches_add must not follow. */
void bunches_sort(struct bunches *bunches);

#endif /* ROTA_APPS_ROTA_BUNCHES_H */
