/* SPDX-License-Identifier: MIT */
/*
 * The graph of who waits for whom, and what is found out about it. All of it takes time in
 * proportion to the nodes and edges it is about.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "apps/rota/graph.h"

/* ---- making one ---- */

/* Room for one more, and one for the end behind it. */
static int make_room(void **array, uint32_t count, uint32_t *room, size_t bytes)
{
	uint32_t more = *room ? *room * 2 : 64;
	void *grown;

	if (count + 2 <= *room)
		return 0;
	if (more < *room)
		return -ENOMEM;
	grown = realloc(*array, more * bytes);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*room = more;
	return 0;
}

int graph_add_node(struct graph *graph, uint32_t task)
{
	void *nodes = graph->nodes;
	int status = make_room(&nodes, graph->nodes_count, &graph->nodes_room,
			       sizeof(*graph->nodes));

	graph->nodes = nodes;
	if (status == 0)
		graph->nodes[graph->nodes_count++] = (struct node){ .task = task };
	return status;
}

uint32_t graph_find(const struct graph *graph, uint32_t task)
{
	uint32_t low = 0, high = graph->nodes_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (graph->nodes[middle].task < task)
			low = middle + 1;
		else
			high = middle;
	}
	return low < graph->nodes_count && graph->nodes[low].task == task ? low : NO_NODE;
}

int graph_add_goal(struct graph *graph, uint32_t node)
{
	void *goals = graph->goals;
	int status = make_room(&goals, graph->goals_count, &graph->goals_room,
			       sizeof(*graph->goals));

	graph->goals = goals;
	if (status == 0)
		graph->goals[graph->goals_count++] = (struct goal){ node, graph->edges_count, 0 };
	return status;
}

int graph_add_edge(struct graph *graph, uint32_t to)
{
	void *edges = graph->edges;
	int status = make_room(&edges, graph->edges_count, &graph->edges_room,
			       sizeof(*graph->edges));

	graph->edges = edges;
	if (status == 0)
		graph->edges[graph->edges_count++] = to;
	return status;
}

/* By node, which goals need it: a counting sort of the edges. */
static int add_reverse(struct graph *graph)
{
	uint32_t sum = 0;

	graph->reverse = calloc((size_t)graph->edges_count + 1, sizeof(*graph->reverse));
	if (!graph->reverse)
		return -ENOMEM;
	for (uint32_t i = 0; i < graph->edges_count; i++)
		graph->nodes[graph->edges[i]].first_in++;
	for (uint32_t i = 0; i <= graph->nodes_count; i++) {
		sum += graph->nodes[i].first_in;
		graph->nodes[i].first_in = sum;
	}
	for (uint32_t goal = graph->goals_count; goal-- > 0;)
		for (uint32_t i = graph->goals[goal].first_edge;
		     i < graph->goals[goal + 1].first_edge; i++)
			graph->reverse[--graph->nodes[graph->edges[i]].first_in] = goal;
	return 0;
}

/* What is behind the last goal of each node. They come in the order of the nodes. */
static void add_goal_ends(struct graph *graph)
{
	uint32_t goal = 0;

	for (uint32_t i = 0; i < graph->nodes_count; i++) {
		graph->nodes[i].first_goal = goal;
		while (goal < graph->goals_count && graph->goals[goal].node == i)
			goal++;
	}
	graph->nodes[graph->nodes_count].first_goal = goal;
}

int graph_finish(struct graph *graph)
{
	int status = graph_add_node(graph, 0);

	if (status == 0)
		status = graph_add_goal(graph, 0);
	if (status < 0)
		return status;
	graph->nodes_count--;
	graph->goals_count--;
	add_goal_ends(graph);
	return add_reverse(graph);
}

void graph_drop(struct graph *graph)
{
	free(graph->nodes);
	free(graph->goals);
	free(graph->edges);
	free(graph->reverse);
}

/* ---- sets ---- */

static uint32_t make_set(struct graph *graph, const uint32_t nodes[], uint32_t count)
{
	uint32_t set = ++graph->sets;

	for (uint32_t i = 0; i < count; i++)
		graph->nodes[nodes[i]].set = set;
	return set;
}

/* How many of its futures have to be freed, when none in the set does anything. */
static uint32_t count_missing(struct graph *graph, const struct node *node, uint32_t set)
{
	uint32_t blocked = 0;

	for (uint32_t i = node->first_goal; i < node[1].first_goal; i++) {
		struct goal *goal = &graph->goals[i];

		goal->stuck = 0;
		for (uint32_t j = goal->first_edge; j < goal[1].first_edge; j++)
			goal->stuck += graph->nodes[graph->edges[j]].set == set;
		blocked += goal->stuck > 0;
	}
	/* pending - blocked can be done without them */
	return node->needed + blocked > node->pending ? node->needed + blocked - node->pending : 0;
}

/* It goes on: who needs it may, too. The list of those that go on is linked by `order`. */
static uint32_t take_away(struct graph *graph, uint32_t index, uint32_t set)
{
	struct node *node = &graph->nodes[index];
	uint32_t next = node->order;

	for (uint32_t i = node->first_in; i < node[1].first_in; i++) {
		struct goal *goal = &graph->goals[graph->reverse[i]];
		struct node *waiter = &graph->nodes[goal->node];

		if (waiter->set != set || --goal->stuck || --waiter->missing)
			continue;
		waiter->set = 0;
		waiter->order = next;
		next = goal->node;
	}
	return next;
}

uint32_t graph_reduce(struct graph *graph, uint32_t nodes[], uint32_t count)
{
	uint32_t set = make_set(graph, nodes, count), going = NO_NODE, kept = 0;

	for (uint32_t i = 0; i < count; i++)
		graph->nodes[nodes[i]].missing = count_missing(graph, &graph->nodes[nodes[i]], set);
	for (uint32_t i = 0; i < count; i++) {
		struct node *node = &graph->nodes[nodes[i]];

		if (node->missing)
			continue;
		node->set = 0;
		node->order = going;
		going = nodes[i];
	}
	while (going != NO_NODE)
		going = take_away(graph, going, set);
	for (uint32_t i = 0; i < count; i++)
		if (graph->nodes[nodes[i]].set == set)
			nodes[kept++] = nodes[i];
	return kept;
}

/* ---- components ---- */

/* The search: nodes on the way, each with how far; and those that have no component yet. */
struct tarjan {
	uint32_t set, order;
	uint32_t *way, *edge, *open;
	uint32_t way_count, open_count;
	uint32_t *out, *ends;
	uint32_t out_count, ends_count;
};

static uint32_t first_edge(const struct graph *graph, const struct node *node)
{
	return graph->goals[node->first_goal].first_edge;
}

static void enter(struct graph *graph, struct tarjan *tarjan, uint32_t index)
{
	struct node *node = &graph->nodes[index];

	node->order = node->lowest = ++tarjan->order;
	tarjan->edge[tarjan->way_count] = first_edge(graph, node);
	tarjan->way[tarjan->way_count++] = index;
	tarjan->open[tarjan->open_count++] = index;
}

/* The last one of the way has been looked at: it ends a component, or belongs to one above. */
static void leave(struct graph *graph, struct tarjan *tarjan)
{
	uint32_t index = tarjan->way[--tarjan->way_count];
	struct node *node = &graph->nodes[index];

	if (node->lowest == node->order) {
		uint32_t last;

		do {
			last = tarjan->open[--tarjan->open_count];
			graph->nodes[last].set = 0;
			tarjan->out[tarjan->out_count++] = last;
		} while (last != index);
		tarjan->ends[tarjan->ends_count++] = tarjan->out_count;
	} else {
		struct node *above = &graph->nodes[tarjan->way[tarjan->way_count - 1]];

		if (above->lowest > node->lowest)
			above->lowest = node->lowest;
	}
}

static void look_from(struct graph *graph, struct tarjan *tarjan, uint32_t start)
{
	enter(graph, tarjan, start);
	while (tarjan->way_count) {
		uint32_t at = tarjan->way_count - 1;
		struct node *node = &graph->nodes[tarjan->way[at]];
		struct node *to;

		if (tarjan->edge[at] == first_edge(graph, node + 1)) {
			leave(graph, tarjan);
			continue;
		}
		to = &graph->nodes[graph->edges[tarjan->edge[at]++]];
		if (to->set != tarjan->set)
			continue; /* outside, or in a component already */
		if (!to->order)
			enter(graph, tarjan, (uint32_t)(to - graph->nodes));
		else if (node->lowest > to->order)
			node->lowest = to->order;
	}
}

int64_t graph_components(struct graph *graph, uint32_t nodes[], uint32_t count, uint32_t ends[])
{
	uint32_t *memory = calloc((size_t)count * 4 + 1, sizeof(*memory));
	struct tarjan tarjan = { .set = make_set(graph, nodes, count),
				 .way = memory,
				 .edge = memory + count,
				 .open = memory + (size_t)2 * count,
				 .out = memory + (size_t)3 * count,
				 .ends = ends };

	if (!memory)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		graph->nodes[nodes[i]].order = 0;
	for (uint32_t i = 0; i < count; i++)
		if (!graph->nodes[nodes[i]].order)
			look_from(graph, &tarjan, nodes[i]);
	memcpy(nodes, tarjan.out, count * sizeof(*nodes));
	free(memory);
	return tarjan.ends_count;
}

/* Breadth first; `lowest` is where each was come to from. */
static bool find_way_back(struct graph *graph, uint32_t start, uint32_t set, uint32_t *queue)
{
	uint32_t count = 0;

	queue[count++] = start;
	for (uint32_t i = 0; i < count; i++) {
		const struct node *node = &graph->nodes[queue[i]];

		for (uint32_t at = first_edge(graph, node); at < first_edge(graph, node + 1);
		     at++) {
			struct node *to = &graph->nodes[graph->edges[at]];

			if (to->set != set)
				continue;
			to->set = 0; /* come to */
			to->lowest = queue[i];
			if (graph->edges[at] == start)
				return true;
			queue[count++] = graph->edges[at];
		}
	}
	return false;
}

int64_t graph_circle(struct graph *graph, const uint32_t nodes[], uint32_t count, uint32_t way[])
{
	uint32_t *queue = calloc((size_t)count + 1, sizeof(*queue));
	uint32_t set = make_set(graph, nodes, count), length = 0;
	bool found;

	if (!queue)
		return -ENOMEM;
	found = find_way_back(graph, nodes[0], set, queue);
	free(queue);
	if (!found)
		return 0;
	/* Backwards from the start to the start. */
	for (uint32_t at = graph->nodes[nodes[0]].lowest; at != nodes[0];
	     at = graph->nodes[at].lowest)
		way[length++] = at;
	for (uint32_t i = 0; i < length / 2; i++) {
		uint32_t swapped = way[i];

		way[i] = way[length - 1 - i];
		way[length - 1 - i] = swapped;
	}
	memmove(way + 1, way, length * sizeof(*way));
	way[0] = nodes[0];
	return length + 1;
}
