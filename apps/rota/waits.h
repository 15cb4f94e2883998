/* SPDX-License-Identifier: MIT */
/*
 * What the tasks of a snapshot wait for: future by future, and as a graph of who has to do
 * something first.
 */
#ifndef ROTA_APPS_ROTA_WAITS_H
#define ROTA_APPS_ROTA_WAITS_H

#include "apps/rota/about.h"
#include "apps/rota/graph.h"

/*
 * The graph of `tasks` (ascending; `count` of them), as they are read now; NULL: of all that may be
 * stuck. Returns 0 or -ENOMEM; graph_drop in either case.
 */
int waits_graph(struct graph *graph, struct snapshot *snapshot, const uint32_t tasks[],
		uint32_t count);

/* The next pending future of a task, from `*at` on; false: there are no more. */
bool waits_next_future(struct target *target, const struct seen_task *task, uint32_t *at,
		       uint64_t *future, uint8_t *kind);

#endif /* ROTA_APPS_ROTA_WAITS_H */
