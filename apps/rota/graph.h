/* SPDX-License-Identifier: MIT */
/*
 * Who waits for whom, as a graph with AND and OR: a task goes on when enough of the futures it
 * waits for can be done, and a future can be done when none of the tasks that have to do something
 * first is stuck. A future that nobody is known to have to do something for can always be done.
 *
 * The one idea: tasks are stuck together if none of them can go on although everything outside may.
 * The largest such set is what is left when those that can go on are taken away, and those that can
 * go on because of that, until no more can: E. Knapp, "Deadlock detection in distributed
 * databases", ACM Computing Surveys 19 (1987), has the model.
 */
#ifndef ROTA_APPS_ROTA_GRAPH_H
#define ROTA_APPS_ROTA_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#define NO_NODE UINT32_MAX

/* A task that waits. Indices lead from one to the other: nodes, goals, edges. */
struct node {
	uint32_t task;       /* its number; they ascend */
	uint32_t first_goal; /* those up to the next node's are its */
	uint32_t first_in;   /* reverse: the goals that need this one; up to the next node's */
	uint32_t pending;    /* futures that are not done */
	uint32_t needed;     /* of them, it goes on when so many are */
	/* graph_reduce and graph_components */
	uint32_t set;     /* which set it is in; 0: none */
	uint32_t missing; /* futures that have to be freed before it goes on */
	uint32_t order, lowest;
};

/* A future that cannot be done before others have done something. */
struct goal {
	uint32_t node; /* whose */
	/* those up to the next goal's: to each node that has to do something */
	uint32_t first_edge;
	uint32_t stuck; /* graph_reduce: how many of them are in the set */
};

struct graph {
	struct node *nodes; /* one more than nodes_count, for the ends */
	struct goal *goals; /* one more as well */
	uint32_t *edges;
	uint32_t *reverse;
	uint32_t nodes_count, goals_count, edges_count;
	uint32_t nodes_room, goals_room, edges_room;
	uint32_t sets;
};

/*
 * Make one: zeroed; first all nodes, with pending and needed set before graph_finish; then the
 * goals in the order of the nodes, each followed by its edges. Each returns 0 or -ENOMEM, after
 * which graph_drop is all that may follow.
 */
int graph_add_node(struct graph *graph, uint32_t task);
int graph_add_goal(struct graph *graph, uint32_t node);
int graph_add_edge(struct graph *graph, uint32_t to);
int graph_finish(struct graph *graph);
void graph_drop(struct graph *graph);

/* The node of a task, NO_NODE. */
uint32_t graph_find(const struct graph *graph, uint32_t task);

/* Keep, of the set of `nodes`, those that cannot go on by what is outside. Returns how many. */
uint32_t graph_reduce(struct graph *graph, uint32_t nodes[], uint32_t count);

/*
 * Reorder `nodes` so that each strongly connected component (R. Tarjan, "Depth-first search and
 * linear graph algorithms", SIAM Journal on Computing 1, 1972) is together; `ends`, room for
 * `count`, becomes where each ends. Returns how many components, or -ENOMEM.
 */
int64_t graph_components(struct graph *graph, uint32_t nodes[], uint32_t count, uint32_t ends[]);

/*
 * The shortest way from `nodes[0]` back to itself within the set: into `way`, room for `count`.
 * Returns its length, 0 if there is none, or -ENOMEM.
 */
int64_t graph_circle(struct graph *graph, const uint32_t nodes[], uint32_t count, uint32_t way[]);

#endif /* ROTA_APPS_ROTA_GRAPH_H */
